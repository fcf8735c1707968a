//! LED and buzzer.

use bms_core::command::{Beep, LinkLed};
use bms_core::port::{self, Clock, ErrorKind, ErrorType};
use bms_core::time::{Duration, Instant, ms};
use embedded_hal::digital::OutputPin;

use crate::pins::drive;

/// How long a beep sounds.
const BEEP: Duration = ms(100);
/// Half of the flashing LED's rhythm, in ms.
const FLASH: u64 = 500;

/// The link's LED and a buzzer, both on when high. [`NoPin`](crate::NoPin) stands for what is missing.
///
/// Rhythm and end of the beep follow the writes of the driver, one a step.
#[derive(Clone, Copy, Debug)]
pub struct LedAndBuzzer<L, B, C> {
    led: L,
    buzzer: B,
    clock: C,
    sounds_until: Option<Instant>,
}

impl<L: OutputPin, B: OutputPin, C: Clock> LedAndBuzzer<L, B, C> {
    /// Switches both off, then takes the pins over.
    ///
    /// # Errors
    /// A pin could not be driven.
    pub fn new(mut led: L, mut buzzer: B, clock: C) -> Result<Self, ErrorKind> {
        drive(&mut led, false)?;
        drive(&mut buzzer, false)?;
        Ok(Self { led, buzzer, clock, sounds_until: None })
    }
}

impl<L, B, C> ErrorType for LedAndBuzzer<L, B, C> {
    type Error = ErrorKind;
}

impl<L: OutputPin, B: OutputPin, C: Clock> port::Indicator for LedAndBuzzer<L, B, C> {
    fn indicate(&mut self, beep: Beep, link_led: LinkLed) -> Result<(), ErrorKind> {
        let now = self.clock.now();
        if beep != Beep::None {
            self.sounds_until = Some(now.after(BEEP));
        }
        self.sounds_until = self.sounds_until.filter(|until| now < *until);
        let lit = match link_led {
            LinkLed::Off => false,
            LinkLed::Steady => true,
            LinkLed::Flashing => (now.as_millis() / FLASH) & 1 == 0,
        };
        let buzzer = drive(&mut self.buzzer, self.sounds_until.is_some());
        drive(&mut self.led, lit).and(buzzer)
    }
}
