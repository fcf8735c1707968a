//! CAN (TWAI) as `embedded_can`'s non-blocking port.

use esp_hal::Blocking;
use esp_hal::twai::{EspTwaiError, EspTwaiFrame, Twai};

/// A TWAI controller, started. A bus that is off or has no other node answers `WouldBlock` or an error: drop the frame, and
/// nothing of the protection waits for a bus.
pub struct Can<'d>(
    /// The driver.
    pub Twai<'d, Blocking>,
);

impl embedded_can::nb::Can for Can<'_> {
    type Frame = EspTwaiFrame;
    type Error = EspTwaiError;

    fn transmit(&mut self, frame: &EspTwaiFrame) -> nb::Result<Option<EspTwaiFrame>, EspTwaiError> {
        self.0.transmit(frame).map(|()| None)
    }
    fn receive(&mut self) -> nb::Result<EspTwaiFrame, EspTwaiError> {
        self.0.receive()
    }
}
