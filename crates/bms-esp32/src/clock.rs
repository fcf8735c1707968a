//! The system timer as the core's clock.

use bms_core::time::Instant;

/// The system timer: 64 bits of microseconds since the start, on the crystal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl bms_core::port::Clock for Clock {
    fn now(&self) -> Instant {
        Instant::from_millis(esp_hal::time::Instant::now().duration_since_epoch().as_millis())
    }
}
