//! Physical quantities as newtypes over integers.
//!
//! The scale and the sign are in the constructor (`mv(3_650)`, `ma(-100_000)`, `deg_c(60)`), so a
//! number never travels without its unit. There is no float, hence no NaN. All arithmetic here
//! **saturates**: a quantity at the end of its range stays there, which is always "more unsafe", never
//! a wrapped, innocent-looking value.

/// Defines one quantity: a newtype over `i32` with saturating arithmetic.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $from:ident, $get:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(i32);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The largest value; arithmetic saturates here.
            pub const MAX: Self = Self(i32::MAX);
            /// The smallest value; arithmetic saturates here.
            pub const MIN: Self = Self(i32::MIN);

            #[doc = concat!("From a whole number of ", $unit, ".")]
            #[must_use]
            pub const fn $from(value: i32) -> Self {
                Self(value)
            }
            #[doc = concat!("As a whole number of ", $unit, ".")]
            #[must_use]
            pub const fn $get(self) -> i32 {
                self.0
            }
            /// Sum, saturating.
            #[must_use]
            pub const fn plus(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
            /// Difference, saturating.
            #[must_use]
            pub const fn minus(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
            /// Product with a plain number, saturating.
            #[must_use]
            pub const fn times(self, factor: i32) -> Self {
                Self(self.0.saturating_mul(factor))
            }
            /// Quotient by a plain number, rounded towards zero. Division by zero gives the end of
            /// the range that has this value's sign (zero stays zero).
            #[must_use]
            pub const fn divided_by(self, divisor: i32) -> Self {
                match self.0.checked_div(divisor) {
                    Some(value) => Self(value),
                    None if divisor == 0 && self.0 == 0 => Self::ZERO,
                    None if divisor == 0 && self.0 < 0 => Self::MIN,
                    None => Self::MAX,
                }
            }
            /// Distance from zero, saturating.
            #[must_use]
            pub const fn magnitude(self) -> Self {
                Self(self.0.saturating_abs())
            }
        }
    };
}

quantity!(
    /// An electric potential difference in µV: −2147 V … 2147 V.
    Voltage, from_microvolts, as_microvolts, "microvolts"
);
quantity!(
    /// A current in mA. **Positive is charging**, everywhere (D17).
    Current, from_milliamps, as_milliamps, "milliamperes (positive charges the pack)"
);
quantity!(
    /// A temperature in tenths of a degree Celsius.
    Temperature, from_tenths, as_tenths, "tenths of a degree Celsius"
);
quantity!(
    /// A power in mW, up to ±2.1 MW.
    Power, from_milliwatts, as_milliwatts, "milliwatts"
);
quantity!(
    /// A resistance in µΩ, up to 2147 Ω.
    Resistance, from_microohms, as_microohms, "microohms"
);

/// A voltage in millivolts; saturates at ±2147 V.
#[must_use]
pub const fn mv(millivolts: i32) -> Voltage {
    Voltage::from_microvolts(millivolts.saturating_mul(1_000))
}
/// A voltage in microvolts.
#[must_use]
pub const fn uv(microvolts: i32) -> Voltage {
    Voltage::from_microvolts(microvolts)
}
/// A current in milliamperes, positive charging.
#[must_use]
pub const fn ma(milliamps: i32) -> Current {
    Current::from_milliamps(milliamps)
}
/// A current in whole amperes, positive charging; saturates.
#[must_use]
pub const fn amps(amperes: i32) -> Current {
    Current::from_milliamps(amperes.saturating_mul(1_000))
}
/// A temperature in whole degrees Celsius; saturates.
#[must_use]
pub const fn deg_c(degrees: i32) -> Temperature {
    Temperature::from_tenths(degrees.saturating_mul(10))
}
/// A resistance in milliohms; saturates at 2147 Ω.
#[must_use]
pub const fn mohm(milliohms: i32) -> Resistance {
    Resistance::from_microohms(milliohms.saturating_mul(1_000))
}
/// An electric charge in ampere-hours.
#[must_use]
pub const fn ah(ampere_hours: i32) -> Charge {
    Charge::from_milliamp_hours((ampere_hours as i64).saturating_mul(1_000))
}

impl Voltage {
    /// Rounded to the nearest millivolt (halves away from zero).
    #[must_use]
    pub const fn as_millivolts(self) -> i32 {
        let half = if self.0 < 0 { -500 } else { 500 };
        self.0.saturating_add(half) / 1_000
    }
    /// The power that a current carries at this voltage; signed as the current is. Saturates.
    #[must_use]
    pub const fn power(self, current: Current) -> Power {
        let microvolt_milliamps = (self.0 as i64).saturating_mul(current.0 as i64);
        Power(saturate(microvolt_milliamps / 1_000_000))
    }
}

/// An electric charge in mA·ms (1 Ah = 3.6 × 10⁹), positive into the pack.
///
/// Sixty-four bits hold 2.5 million Ah, so a lifetime's throughput fits and nothing is rounded away at
/// any sample rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Charge(i64);

impl Charge {
    /// No charge.
    pub const ZERO: Self = Self(0);

    const PER_MILLIAMP_HOUR: i64 = 3_600_000;

    /// From milliampere-milliseconds.
    #[must_use]
    pub const fn from_milliamp_millis(value: i64) -> Self {
        Self(value)
    }
    /// As milliampere-milliseconds.
    #[must_use]
    pub const fn as_milliamp_millis(self) -> i64 {
        self.0
    }
    /// From milliampere-hours; saturates.
    #[must_use]
    pub const fn from_milliamp_hours(value: i64) -> Self {
        Self(value.saturating_mul(Self::PER_MILLIAMP_HOUR))
    }
    /// As whole milliampere-hours, rounded towards zero.
    #[must_use]
    pub const fn as_milliamp_hours(self) -> i64 {
        self.0 / Self::PER_MILLIAMP_HOUR
    }
    /// The charge that a constant current moves in a time. Exact.
    #[must_use]
    pub const fn moved(current: Current, milliseconds: u32) -> Self {
        // 2³¹ × 2³² stays within 64 bits: nothing wraps.
        Self((current.0 as i64).wrapping_mul(milliseconds as i64))
    }
    /// Sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
    /// Difference, saturating.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A thousandth, rounded down; exact. A division is a long loop on an M0+, a product is not.
pub(crate) const fn thousandth(value: u32) -> u32 {
    // 2³⁸ / 1000, rounded up.
    ((value as u64).wrapping_mul(274_877_907) >> 38) as u32
}

/// A 64-bit intermediate result, brought back to 32 bits without wrapping.
#[must_use]
pub(crate) const fn saturate(value: i64) -> i32 {
    if value > i32::MAX as i64 {
        i32::MAX
    } else if value < i32::MIN as i64 {
        i32::MIN
    } else {
        value as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Voltage::MAX.plus(mv(1)), Voltage::MAX);
        assert_eq!(Voltage::MIN.minus(mv(1)), Voltage::MIN);
        assert_eq!(Current::MIN.magnitude(), Current::MAX);
        assert_eq!(Current::MIN.divided_by(-1), Current::MAX);
        assert_eq!(ma(-5).divided_by(0), Current::MIN);
        assert_eq!(mv(i32::MAX), Voltage::MAX);
    }

    #[test]
    fn a_thousandth_is_exact() {
        let ends = (0..5_000).chain((1 << 31) - 5_000..(1 << 31) + 5_000).chain(u32::MAX - 5_000..=u32::MAX);
        for value in ends.chain((0..u32::MAX).step_by(99_991)) {
            assert_eq!(thousandth(value), value / 1_000);
        }
    }

    #[test]
    fn power_is_signed_as_the_current() {
        assert_eq!(mv(52_000).power(amps(-100)).as_milliwatts(), -5_200_000);
        assert_eq!(Voltage::MAX.power(Current::MAX), Power::MAX);
    }

    #[test]
    fn charge_loses_nothing_at_any_rate() {
        let mut slow = Charge::ZERO;
        let mut fast = Charge::ZERO;
        for _ in 0..3_600 {
            slow = slow.plus(Charge::moved(ma(1), 1_000));
        }
        for _ in 0..3_600_000 {
            fast = fast.plus(Charge::moved(ma(1), 1));
        }
        assert_eq!(slow, fast);
        assert_eq!(slow.as_milliamp_hours(), 1);
    }

    #[test]
    fn millivolts_round_to_nearest() {
        assert_eq!(uv(3_299_500).as_millivolts(), 3_300);
        assert_eq!(uv(-1_499).as_millivolts(), -1);
    }
}
