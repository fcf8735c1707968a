//! Time as the core sees it: it never reads a clock, it is told `now`.

/// A point in time: milliseconds since an arbitrary start, monotonic.
///
/// Sixty-four bits never wrap (584 million years). A board whose timer has 32 bits extends it in its
/// clock port; the core treats a step backwards as a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Instant(u64);

impl Instant {
    /// The start of time.
    pub const ZERO: Self = Self(0);

    /// From milliseconds since the start.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }
    /// As milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
    /// The time from `earlier` to here; zero if `earlier` is later; saturates at
    /// [`Duration::MAX`] (49.7 days).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        let difference = self.0.saturating_sub(earlier.0);
        if difference > u32::MAX as u64 { Duration::MAX } else { Duration(difference as u32) }
    }
    /// The time from `earlier` to here in ms, without saturating: `None` if it is later, or more than 49.7 days earlier.
    pub(crate) const fn directly_after(self, earlier: Self) -> Option<u32> {
        let difference = self.0.wrapping_sub(earlier.0);
        if difference >> 32 == 0 { Some(difference as u32) } else { None }
    }
    /// This point moved later; saturates.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.0 as u64))
    }
    /// This point moved earlier; saturates at the start.
    #[must_use]
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.0 as u64))
    }
}

/// A length of time in milliseconds, at most 49.7 days; arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Duration(u32);

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// The longest time that can be told; a saturated value means "at least this long".
    pub const MAX: Self = Self(u32::MAX);

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u32) -> Self {
        Self(milliseconds)
    }
    /// As milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u32 {
        self.0
    }
    /// Sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// A duration in milliseconds.
#[must_use]
pub const fn ms(milliseconds: u32) -> Duration {
    Duration(milliseconds)
}
/// A duration in seconds; saturates.
#[must_use]
pub const fn secs(seconds: u32) -> Duration {
    Duration(seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_saturates_and_never_goes_negative() {
        let early = Instant::from_millis(10);
        let late = Instant::from_millis(10 + (1 << 33));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::MAX);
        assert_eq!(late.before(Duration::MAX).after(Duration::MAX), late);
    }
}
