//! The ports of [`bms_core`] over any `embedded-hal` 1.0 implementation.
//!
//! ```text
//! pins ──────────► Gates (latch, interrupt) ───────────────► Switches, InputSense
//!                  ExpiringOutput, PowerHold, Indicator ───► Heater, Precharge, Power, Indicator
//! ADC ─ AdcSource ─ Multiplexed ─ SharedAdc ─┬─ CellTaps ──► CellSense
//!                                            ├─ ShuntAmplifier, DividedVoltage, Thermistors
//! watchdog ──────► HealthyWatchdog  ◄─ WatchdogToken of a healthy step
//! flash, ADC reference, other clock ─ SelfTest ─ SelfTested ─► InputSense
//! ```
//! `embedded-hal` has no trait for an ADC, so this crate has [`AdcSource`]; a closure makes one of any HAL's ADC
//! ([`FnAdc`]). Everything that measures exists blocking (`nb`) and, with the feature `async`, awaited, from one
//! type. The outputs are pins; `bms_core::port::asynch::Blocking` makes async ports of them.
//!
//! All ports here share one error, [`ErrorKind`](bms_core::port::ErrorKind).
//!
//! # What stands in a `static`
//! An interrupt can only reach a `static`. Two things are made to live in one: [`Gates`], because the comparator's
//! interrupt opens them, and [`ExpiringOutput`], because a timer's interrupt ends it. Both are empty until they are
//! given their pins by `install`, which drives the pins safe before it returns.
//!
//! No `unsafe`, no panic, no allocation. The only floating-point arithmetic is in the `const` constructors of
//! [`ThermistorTable`]; used in a `const` or `static`, none of it reaches the chip.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

mod adc;
mod cells;
mod clock;
mod current;
mod gates;
mod indicator;
mod inputs;
mod outputs;
mod parameters;
mod pins;
mod retained;
mod scale;
mod self_test;
pub mod text;
mod thermistor;
mod voltage;
mod watchdog;

#[cfg(feature = "async")]
pub use adc::asynch;
pub use adc::{AdcSource, Averaged, FnAdc, Multiplexed, SharedAdc};
pub use cells::{CellTaps, Layout, Reference};
#[cfg(feature = "embassy-time")]
pub use clock::EmbassyClock;
pub use clock::TickClock;
pub use current::{Direction, ShuntAmplifier};
pub use gates::{AuxiliaryContacts, GateFeedback, GateSwitches, Gates, Latch, SupplyGood, Unchecked};
pub use indicator::LedAndBuzzer;
pub use inputs::DigitalInputs;
pub use outputs::{ExpiringOutput, ExpiringPort, LastResortPin, PowerHold};
pub use parameters::{ParameterBlock, Refused};
pub use pins::{Inverted, NoPin};
pub use retained::RetainedSnapshot;
pub use scale::Scale;
pub use self_test::{
    AdcReference, ClockCheck, FlashCheck, FnTest, NoInputs, SelfTest, SelfTestKind, SelfTestReport, SelfTested,
};
pub use thermistor::{Mounting, Thermistor, ThermistorTable, Thermistors};
pub use voltage::DividedVoltage;
pub use watchdog::{HealthyWatchdog, Watchdog};
