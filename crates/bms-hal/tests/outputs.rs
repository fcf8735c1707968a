//! What the conformance kit cannot see: contactors that weld, the indicator's rhythm, who may feed the watchdog.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use bms_core::command::{Beep, LinkLed, Switch};
use bms_core::port::compose::Senses;
use bms_core::port::{Clock, ErrorKind, Indicator, Switches};
use bms_core::prelude::*;
use bms_hal::{AuxiliaryContacts, Gates, HealthyWatchdog, Inverted, LedAndBuzzer, NoPin, Unchecked};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

#[derive(Clone, Default)]
struct Pin(Rc<Cell<bool>>);

impl ErrorType for Pin {
    type Error = Infallible;
}
impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set(false);
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}
impl InputPin for Pin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.get())
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.get())
    }
}

#[derive(Clone, Default)]
struct Time(Rc<Cell<u64>>);

impl Clock for Time {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.get())
    }
}

#[test]
fn a_welded_contactor_is_an_error() {
    use Switch::{Closed, Open};
    let (charge, discharge, contact) = (Pin::default(), Pin::default(), Pin::default());
    let gates = Gates::new();
    let feedback = AuxiliaryContacts::new(contact.clone(), discharge.clone());
    let mut port = gates.install(charge.clone(), discharge, NoPin, feedback).unwrap();
    // It travels: told once, the contact may still be behind.
    assert_eq!(port.apply(Closed, Closed, false), Ok(()));
    contact.0.set(true);
    assert_eq!(port.apply(Closed, Closed, false), Ok(()));
    assert_eq!(port.apply(Open, Open, false), Ok(()));
    assert_eq!(port.apply(Open, Open, false), Err(ErrorKind::Integrity), "welded");
    contact.0.set(false);
    assert_eq!(port.apply(Open, Open, false), Ok(()));
}

#[test]
fn nothing_is_driven_before_pins_are_installed() {
    let gates: Gates<Pin, Pin, Pin> = Gates::new();
    gates.trip();
    let (charge, discharge) = (Pin::default(), Pin::default());
    charge.0.set(true);
    let mut port = gates.install(charge.clone(), discharge, Pin::default(), Unchecked).unwrap();
    assert!(!charge.0.get(), "open when the constructor returns");
    port.apply(Switch::Closed, Switch::Closed, false).unwrap();
    assert!(!charge.0.get(), "the latch of before still holds");
    port.apply(Switch::Open, Switch::Open, true).unwrap();
    port.apply(Switch::Closed, Switch::Closed, false).unwrap();
    assert!(charge.0.get());
}

#[test]
fn an_active_low_gate_is_open_when_high() {
    let (charge, discharge) = (Pin::default(), Pin::default());
    let gates = Gates::new();
    let mut port = gates.install(Inverted(charge.clone()), Inverted(discharge.clone()), NoPin, Unchecked).unwrap();
    assert!(charge.0.get() && discharge.0.get());
    port.apply(Switch::Closed, Switch::Open, false).unwrap();
    assert!(!charge.0.get() && discharge.0.get());
}

// A01 I04 I05 S09
#[test]
fn a01_i04_s09_a_beep_ends_and_the_led_flashes() {
    let (led, buzzer, time) = (Pin::default(), Pin::default(), Time::default());
    let mut port = LedAndBuzzer::new(led.clone(), buzzer.clone(), time.clone()).unwrap();
    port.indicate(Beep::Awake, LinkLed::Flashing).unwrap();
    assert!(buzzer.0.get());
    let mut seen = Vec::new();
    for step in 1..=20 {
        time.0.set(step * 100);
        port.indicate(Beep::None, LinkLed::Flashing).unwrap();
        assert!(!buzzer.0.get(), "a beep lasts 100 ms");
        seen.push(led.0.get());
    }
    assert!(seen.windows(2).filter(|pair| matches!(pair, [a, b] if a != b)).count() == 4, "1 Hz: {seen:?}");
    port.indicate(Beep::None, LinkLed::Steady).unwrap();
    assert!(led.0.get());
    port.indicate(Beep::None, LinkLed::Off).unwrap();
    assert!(!led.0.get());
}

// X20
#[test]
fn x20_only_a_healthy_step_feeds_the_watchdog() {
    const PACK: ValidConfig = const { Config::lifepo4(8).with_model(Model::B2a8s20p).validated() };
    let fed = Cell::new(0);
    let mut watchdog = HealthyWatchdog::new(|| fed.set(fed.get() + 1));
    let time = Time::default();
    let gates = Gates::<Pin, Pin, Pin>::new();
    let switches = gates.install(Pin::default(), Pin::default(), Pin::default(), Unchecked).unwrap();
    // No sensor at all: every step is late with data and yet on time itself.
    let mut driver = Driver::new(Bms::new(PACK), Board::new(Senses::new(time.clone()), switches, time.clone()));
    let mut step = |driver: &mut Driver<_, 24>| {
        if let Ok(step) = driver.poll()
            && let Some(token) = step.watchdog
        {
            watchdog.feed(token);
        }
    };
    for _ in 0..1_000 {
        time.0.set(time.0.get() + 10);
        step(&mut driver);
    }
    let healthy = fed.get();
    assert!(healthy > 5, "lost sensors do not starve it: {healthy}");
    // Time goes back: not a step to trust.
    time.0.set(0);
    step(&mut driver);
    assert_eq!(fed.get(), healthy);
}
