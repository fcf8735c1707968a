//! Clocks.

use core::sync::atomic::{AtomicU32, Ordering};

use bms_core::port::Clock;
use bms_core::time::Instant;

/// A clock that a timer's interrupt advances by one millisecond: for boards without a HAL's time driver.
///
/// It lives in a `static`. Atomic loads and stores only; [`TickClock::tick`] must be called from one interrupt only.
#[derive(Debug)]
pub struct TickClock {
    low: AtomicU32,
    high: AtomicU32,
}

impl TickClock {
    /// At the start of time.
    #[must_use]
    pub const fn new() -> Self {
        Self { low: AtomicU32::new(0), high: AtomicU32::new(0) }
    }
    /// A millisecond has passed.
    pub fn tick(&self) {
        let low = self.low.load(Ordering::Relaxed).wrapping_add(1);
        if low == 0 {
            // First the carry: a reader between the two sees the end of the old range, and reads again.
            self.high.store(self.high.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
        self.low.store(low, Ordering::Release);
    }
}

impl Default for TickClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TickClock {
    fn now(&self) -> Instant {
        loop {
            let high = self.high.load(Ordering::Acquire);
            let low = self.low.load(Ordering::Acquire);
            // An interrupt in between is seen by the second look; one between carry and low is over before we run.
            if high == self.high.load(Ordering::Acquire) {
                return Instant::from_millis((u64::from(high) << 32) | u64::from(low));
            }
        }
    }
}

/// The clock of every HAL with an `embassy-time` driver.
#[cfg(feature = "embassy-time")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

#[cfg(feature = "embassy-time")]
impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }
}

#[cfg(feature = "embassy-time")]
impl bms_core::port::asynch::Timer for EmbassyClock {
    async fn wait_until(&self, at: Instant) {
        embassy_time::Timer::at(embassy_time::Instant::from_millis(at.as_millis())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_beyond_32_bits() {
        let clock = TickClock { low: AtomicU32::new(u32::MAX), high: AtomicU32::new(7) };
        let before = clock.now();
        clock.tick();
        assert_eq!(clock.now().since(before).as_millis(), 1);
        assert_eq!(clock.now().as_millis(), 8 << 32);
    }
}
