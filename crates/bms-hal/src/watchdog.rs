//! The hardware watchdog, fed by healthy steps only.

use bms_core::driver::WatchdogToken;

/// A hardware watchdog that runs.
///
/// An implementation MUST
/// 1. run from its constructor on, with no way to stop it,
/// 2. reset the chip, and with it every pin to its safe state, when it was not fed in time,
/// 3. not be fed by anything but [`Watchdog::feed`]: no interrupt, no idle task.
pub trait Watchdog {
    /// Starts its time anew.
    fn feed(&mut self);
}

impl<F: FnMut()> Watchdog for F {
    fn feed(&mut self) {
        self();
    }
}

/// A watchdog that only the token of a healthy step can feed (X20).
///
/// Choose its time as at least two sample periods, and at most what the pack bears with its protection standing still.
#[derive(Debug)]
pub struct HealthyWatchdog<W>(W);

impl<W: Watchdog> HealthyWatchdog<W> {
    /// Takes the watchdog away, so that nothing else feeds it.
    pub const fn new(watchdog: W) -> Self {
        Self(watchdog)
    }
    /// Feeds it once with the token of one step.
    pub fn feed(&mut self, _earned: WatchdogToken) {
        self.0.feed();
    }
}
