//! The watchdog, and why the chip started.

use bms_core::snapshot::ResetCause;
use bms_hal::Watchdog;
use embassy_rp::Peri;
use embassy_rp::peripherals::WATCHDOG;
use embassy_time::Duration;

/// The longest time of the hardware.
const LONGEST: Duration = Duration::from_millis(8_388);

/// The hardware watchdog, running. Its reset makes inputs of all pins, so that the gates' pull-downs open them.
pub struct Rp2040Watchdog {
    watchdog: embassy_rp::watchdog::Watchdog,
    time: Duration,
}

impl Rp2040Watchdog {
    /// Starts it; `time` is at most 8.3 s.
    #[must_use]
    pub fn start(peripheral: Peri<'static, WATCHDOG>, time: Duration) -> Self {
        let time = time.min(LONGEST);
        let mut watchdog = embassy_rp::watchdog::Watchdog::new(peripheral);
        watchdog.start(time);
        Self { watchdog, time }
    }
}

impl Watchdog for Rp2040Watchdog {
    fn feed(&mut self) {
        self.watchdog.feed(self.time);
    }
}

/// Why the chip started. Ask before [`Rp2040Watchdog::start`]. The chip does not tell a brown-out from power coming on.
#[must_use]
pub fn reset_cause() -> ResetCause {
    let reason = embassy_rp::pac::WATCHDOG.reason().read();
    if reason.timer() || reason.force() { ResetCause::Watchdog } else { ResetCause::PowerOn }
}
