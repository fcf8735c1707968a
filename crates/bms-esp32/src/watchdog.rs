//! The main watchdog of a timer group, and why the chip was reset.

use bms_core::snapshot::ResetCause;
use bms_core::time::Duration;
use bms_hal::Watchdog;
use esp_hal::rtc_cntl::{SocResetReason, reset_reason};
use esp_hal::system::Cpu;
use esp_hal::timer::timg::{MwdtStage, TimerGroupInstance, Wdt};

/// The watchdog of a timer group, running: it resets the whole chip.
pub struct MainWatchdog<G: TimerGroupInstance>(Wdt<G>);

impl<G: TimerGroupInstance> MainWatchdog<G> {
    /// Starts it; its time is at least 1 ms.
    pub fn start(mut watchdog: Wdt<G>, time: Duration) -> Self {
        let time = esp_hal::time::Duration::from_millis(u64::from(time.as_millis().max(1)));
        watchdog.set_timeout(MwdtStage::Stage0, time);
        watchdog.enable();
        Self(watchdog)
    }
}

impl<G: TimerGroupInstance> Watchdog for MainWatchdog<G> {
    fn feed(&mut self) {
        self.0.feed();
    }
}

impl<G: TimerGroupInstance> core::fmt::Debug for MainWatchdog<G> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("MainWatchdog")
    }
}

/// Why the chip started. A software reset counts as the end of a panic.
#[must_use]
pub fn reset_cause() -> ResetCause {
    match reset_reason(Cpu::ProCpu) {
        Some(SocResetReason::ChipPowerOn) => ResetCause::PowerOn,
        Some(SocResetReason::SysBrownOut) => ResetCause::BrownOut,
        Some(
            SocResetReason::CoreSw
            | SocResetReason::CoreMwdt0
            | SocResetReason::CoreMwdt1
            | SocResetReason::CoreRtcWdt
            | SocResetReason::SysRtcWdt
            | SocResetReason::SysSuperWdt,
        ) => ResetCause::Watchdog,
        _ => ResetCause::Unknown,
    }
}
