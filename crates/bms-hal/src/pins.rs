//! Pins that are not quite what the board has.

use core::convert::Infallible;

use bms_core::port::ErrorKind;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

/// A pin whose wire is active when low: an output that is driven, or an input that is read, the other way round.
#[derive(Clone, Copy, Debug)]
pub struct Inverted<P>(
    /// The pin as it is.
    pub P,
);

impl<P: ErrorType> ErrorType for Inverted<P> {
    type Error = P::Error;
}

impl<P: OutputPin> OutputPin for Inverted<P> {
    fn set_low(&mut self) -> Result<(), P::Error> {
        self.0.set_high()
    }
    fn set_high(&mut self) -> Result<(), P::Error> {
        self.0.set_low()
    }
}

impl<P: InputPin> InputPin for Inverted<P> {
    fn is_high(&mut self) -> Result<bool, P::Error> {
        self.0.is_low()
    }
    fn is_low(&mut self) -> Result<bool, P::Error> {
        self.0.is_high()
    }
}

/// The pin that a board does not have: always low, ignores what it is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPin;

impl ErrorType for NoPin {
    type Error = Infallible;
}

impl OutputPin for NoPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl InputPin for NoPin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(false)
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }
}

/// Drives a pin; any failure is a dead pin or bus.
pub(crate) fn drive<P: OutputPin>(pin: &mut P, high: bool) -> Result<(), ErrorKind> {
    let written = if high { pin.set_high() } else { pin.set_low() };
    written.map_err(|_| ErrorKind::Bus)
}

/// Reads a pin.
pub(crate) fn read<P: InputPin>(pin: &mut P) -> Result<bool, ErrorKind> {
    pin.is_high().map_err(|_| ErrorKind::Bus)
}
