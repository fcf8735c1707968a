//! CAN as `embedded_can`'s non-blocking port, so that links need not know the chip.
//!
//! A bus that is off or has no other node keeps its frames, and the port then answers `WouldBlock`. Drop the frame: the next
//! second brings a newer one, and nothing of the protection waits for a bus.

use core::convert::Infallible;

use embassy_stm32::can::{Can, Frame};

/// A bxCAN (F1, F4, F7, L4), enabled, with its bit timing and filters set.
#[cfg(feature = "bxcan")]
pub struct BxCan<'d>(
    /// The driver.
    pub Can<'d>,
);

#[cfg(feature = "bxcan")]
impl embedded_can::nb::Can for BxCan<'_> {
    type Frame = Frame;
    type Error = Infallible;

    fn transmit(&mut self, frame: &Frame) -> nb::Result<Option<Frame>, Infallible> {
        match self.0.try_write(frame) {
            Ok(status) => Ok(status.dequeued_frame().copied()),
            Err(_full) => Err(nb::Error::WouldBlock),
        }
    }
    /// A bus error is counted by the peripheral, and looks like nothing received.
    fn receive(&mut self) -> nb::Result<Frame, Infallible> {
        self.0.try_read().map(|envelope| envelope.frame).map_err(|_| nb::Error::WouldBlock)
    }
}

/// An FDCAN (G0 with CAN, G4, H5, H7) in classic frames, started.
#[cfg(feature = "fdcan")]
pub struct FdCan<'d>(
    /// The driver.
    pub Can<'d>,
);

#[cfg(feature = "fdcan")]
impl embedded_can::nb::Can for FdCan<'_> {
    type Frame = Frame;
    type Error = Infallible;

    fn transmit(&mut self, frame: &Frame) -> nb::Result<Option<Frame>, Infallible> {
        // The driver only has the awaited form; a first poll queues the frame if there is room.
        match embassy_futures::poll_once(self.0.write(frame)) {
            core::task::Poll::Ready(replaced) => Ok(replaced),
            core::task::Poll::Pending => Err(nb::Error::WouldBlock),
        }
    }
    /// A bus error is counted by the peripheral, and looks like nothing received.
    fn receive(&mut self) -> nb::Result<Frame, Infallible> {
        match embassy_futures::poll_once(self.0.read()) {
            core::task::Poll::Ready(Ok(envelope)) => Ok(envelope.frame),
            core::task::Poll::Ready(Err(_)) | core::task::Poll::Pending => Err(nb::Error::WouldBlock),
        }
    }
}
