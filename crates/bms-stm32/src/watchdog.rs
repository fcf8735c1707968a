//! The independent watchdog: its own oscillator, and no way to stop it.

use bms_core::time::Duration;
use bms_hal::Watchdog;
use embassy_stm32::Peri;
use embassy_stm32::wdg::{IndependentWatchdog as Hal, Instance};

/// The IWDG, running.
pub struct IndependentWatchdog<'d, T: Instance>(Hal<'d, T>);

impl<'d, T: Instance> IndependentWatchdog<'d, T> {
    /// Starts it. Its time lies between 1 ms and 20 s; what is beyond becomes the nearest end.
    ///
    /// The oscillator is not exact: that of an F4 may run 1.5 times too fast or half as fast. Leave the reserve for it, in
    /// both directions.
    pub fn start(peripheral: Peri<'d, T>, time: Duration) -> Self {
        let milliseconds = time.as_millis().clamp(1, 20_000);
        let mut watchdog = Hal::new(peripheral, milliseconds.saturating_mul(1_000));
        watchdog.unleash();
        Self(watchdog)
    }
}

impl<T: Instance> Watchdog for IndependentWatchdog<'_, T> {
    fn feed(&mut self) {
        self.0.pet();
    }
}

impl<T: Instance> core::fmt::Debug for IndependentWatchdog<'_, T> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("IndependentWatchdog")
    }
}
