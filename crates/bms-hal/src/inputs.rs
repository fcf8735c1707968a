//! Digital inputs: charger detection, activation, reverse wake, and the latch of the gates.

use bms_core::measurement::Inputs;
use bms_core::port::{self, ErrorKind, ErrorType};
use embedded_hal::digital::InputPin;

use crate::gates::Latch;
use crate::pins::{NoPin, read};

/// The digital inputs of a board. What it lacks is left out.
///
/// A pin that cannot be read fails the whole group, so that no half of it is believed.
#[derive(Debug)]
pub struct DigitalInputs<'a, Latch: ?Sized, Charger = NoPin, Load = NoPin, Activation = NoPin, Reverse = NoPin> {
    latch: &'a Latch,
    charger: Option<Charger>,
    load: Option<Load>,
    activation: Activation,
    reverse_wake: Reverse,
}

impl<'a, L: Latch + ?Sized> DigitalInputs<'a, L> {
    /// Only the short-circuit latch of these gates.
    pub const fn new(gates: &'a L) -> Self {
        Self { latch: gates, charger: None, load: None, activation: NoPin, reverse_wake: NoPin }
    }
}

impl<'a, K: ?Sized, C, L, A, R> DigitalInputs<'a, K, C, L, A, R> {
    /// High while a charger is plugged in (D30).
    pub fn with_charger<X>(self, pin: X) -> DigitalInputs<'a, K, X, L, A, R> {
        let Self { latch, charger: _, load, activation, reverse_wake } = self;
        DigitalInputs { latch, charger: Some(pin), load, activation, reverse_wake }
    }
    /// High while a load is connected (D10).
    pub fn with_load<X>(self, pin: X) -> DigitalInputs<'a, K, C, X, A, R> {
        let Self { latch, charger, load: _, activation, reverse_wake } = self;
        DigitalInputs { latch, charger, load: Some(pin), activation, reverse_wake }
    }
    /// High while the activation switch is pressed (A01).
    pub fn with_activation<X>(self, activation: X) -> DigitalInputs<'a, K, C, L, X, R> {
        let Self { latch, charger, load, activation: _, reverse_wake } = self;
        DigitalInputs { latch, charger, load, activation, reverse_wake }
    }
    /// High while C− is pulled below B− (A01).
    pub fn with_reverse_wake<X>(self, reverse_wake: X) -> DigitalInputs<'a, K, C, L, A, X> {
        let Self { latch, charger, load, activation, reverse_wake: _ } = self;
        DigitalInputs { latch, charger, load, activation, reverse_wake }
    }
}

impl<K: ?Sized, C, L, A, R> ErrorType for DigitalInputs<'_, K, C, L, A, R> {
    type Error = ErrorKind;
}

impl<K: Latch + ?Sized, C: InputPin, L: InputPin, A: InputPin, R: InputPin> DigitalInputs<'_, K, C, L, A, R> {
    fn gather(&mut self) -> Result<Inputs, ErrorKind> {
        Ok(Inputs {
            short_circuit: self.latch.is_latched(),
            charger: self.charger.as_mut().map(read).transpose()?,
            load: self.load.as_mut().map(read).transpose()?,
            activation: read(&mut self.activation)?,
            reverse_wake: read(&mut self.reverse_wake)?,
            self_test_failed: false,
        })
    }
}

impl<K: Latch + ?Sized, C: InputPin, L: InputPin, A: InputPin, R: InputPin> port::InputSense
    for DigitalInputs<'_, K, C, L, A, R>
{
    fn inputs(&mut self) -> nb::Result<Inputs, ErrorKind> {
        Ok(self.gather()?)
    }
}

#[cfg(feature = "async")]
impl<K: Latch + ?Sized, C: InputPin, L: InputPin, A: InputPin, R: InputPin> port::asynch::InputSense
    for DigitalInputs<'_, K, C, L, A, R>
{
    async fn inputs(&mut self) -> Result<Inputs, ErrorKind> {
        self.gather()
    }
}
