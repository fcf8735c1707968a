//! Outputs that are one pin each: those that expire, the power hold, the last resort.

use core::cell::RefCell;

use bms_core::command::{Expiring, Power as PowerState, Switch};
use bms_core::port::{self, Clock, ErrorKind, ErrorType};
use bms_core::time::Instant;
use critical_section::Mutex;
use embedded_hal::digital::OutputPin;

use crate::pins::drive;

/// A pin that carries energy and switches itself off: heater, precharge path.
///
/// It lives in a `static`; a timer's interrupt calls [`ExpiringOutput::expire`] at least every 10 ms, so that it ends in
/// time whatever the rest of the firmware does.
#[derive(Debug)]
pub struct ExpiringOutput<P>(Mutex<RefCell<Option<Timed<P>>>>);

#[derive(Debug)]
struct Timed<P> {
    pin: P,
    until: Option<Instant>,
}

impl<P> ExpiringOutput<P> {
    /// Empty: nothing to drive yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(None)))
    }
}

impl<P> Default for ExpiringOutput<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: OutputPin> ExpiringOutput<P> {
    /// Switches the pin off, then takes it over. `clock` is that of the board.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn install<C: Clock>(&self, mut pin: P, clock: C) -> Result<ExpiringPort<'_, P, C>, ErrorKind> {
        drive(&mut pin, false)?;
        critical_section::with(|section| match self.0.borrow(section).try_borrow_mut() {
            Ok(mut slot) => {
                *slot = Some(Timed { pin, until: None });
                Ok(ExpiringPort { output: self, clock })
            }
            Err(_) => Err(ErrorKind::Other),
        })
    }
    /// **For a timer's interrupt and the panic handler** (with the end of time): switches off what has expired.
    pub fn expire(&self, now: Instant) {
        critical_section::with(|section| {
            if let Ok(mut slot) = self.0.borrow(section).try_borrow_mut()
                && let Some(timed) = slot.as_mut()
                && timed.until.is_some_and(|until| until <= now)
                // Tried again at the next tick if the pin fails.
                && drive(&mut timed.pin, false).is_ok()
            {
                timed.until = None;
            }
        });
    }
    fn write(&self, now: Instant, state: Expiring) -> Result<(), ErrorKind> {
        critical_section::with(|section| {
            let mut slot = self.0.borrow(section).try_borrow_mut().map_err(|_| ErrorKind::Other)?;
            let timed = slot.as_mut().ok_or(ErrorKind::Unpowered)?;
            timed.until = match state {
                Expiring::On { until } if state.is_on(now) => Some(until),
                Expiring::On { .. } | Expiring::Off => None,
            };
            drive(&mut timed.pin, timed.until.is_some())
        })
    }
}

/// The port of an [`ExpiringOutput`]: a heater or a precharge path.
#[derive(Debug)]
pub struct ExpiringPort<'a, P, C> {
    output: &'a ExpiringOutput<P>,
    clock: C,
}

impl<P, C> ErrorType for ExpiringPort<'_, P, C> {
    type Error = ErrorKind;
}

impl<P: OutputPin, C: Clock> port::Heater for ExpiringPort<'_, P, C> {
    fn heat(&mut self, state: Expiring) -> Result<(), ErrorKind> {
        self.output.write(self.clock.now(), state)
    }
}

impl<P: OutputPin, C: Clock> port::Precharge for ExpiringPort<'_, P, C> {
    fn precharge(&mut self, state: Expiring) -> Result<(), ErrorKind> {
        self.output.write(self.clock.now(), state)
    }
}

/// The pin that holds the supply of the BMS while high.
#[derive(Clone, Copy, Debug)]
pub struct PowerHold<P>(P);

impl<P: OutputPin> PowerHold<P> {
    /// Holds the supply, then takes the pin over.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn new(mut pin: P) -> Result<Self, ErrorKind> {
        drive(&mut pin, true)?;
        Ok(Self(pin))
    }
}

impl<P> ErrorType for PowerHold<P> {
    type Error = ErrorKind;
}

impl<P: OutputPin> port::Power for PowerHold<P> {
    fn power(&mut self, state: PowerState) -> Result<(), ErrorKind> {
        drive(&mut self.0, matches!(state, PowerState::Hold))
    }
}

/// The pin that blows the fuse, or opens the main contactor, when high (X10).
#[derive(Clone, Copy, Debug)]
pub struct LastResortPin<P>(P);

impl<P: OutputPin> LastResortPin<P> {
    /// Drives the pin low, then takes it over.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn new(mut pin: P) -> Result<Self, ErrorKind> {
        drive(&mut pin, false)?;
        Ok(Self(pin))
    }
}

impl<P> ErrorType for LastResortPin<P> {
    type Error = ErrorKind;
}

impl<P: OutputPin> port::LastResort for LastResortPin<P> {
    fn fire(&mut self, state: Switch) -> Result<(), ErrorKind> {
        drive(&mut self.0, state.is_closed())
    }
}
