//! What [`bms_hal`] needs of an ESP32 and `embedded-hal` does not cover, over `esp-hal`. RISC-V chips only.
//!
//! | need | here |
//! |---|---|
//! | ADC | [`AdcPins`] is an [`AdcSource`](bms_hal::AdcSource), polled and awaited |
//! | short-circuit comparator | [`ComparatorLine`]: any pin's interrupt |
//! | watchdog | [`MainWatchdog`], and why the chip was reset: [`reset_cause`] |
//! | monotonic clock | [`Clock`], the system timer |
//! | CAN | `Can` (feature `can`), as `embedded_can`'s non-blocking port |
//! | flash | the crate `esp-storage`: its `FlashStorage` is `embedded_storage`'s `NorFlash`, as a store wants it |
//! | UART, pins, I²C, SPI | as they are: `esp-hal` implements `embedded-hal` and `embedded-io` |
//!
//! # The chip
//! This crate names none. The firmware does, by features of `esp-hal`:
//! ```toml
//! bms-esp32 = "0.1"
//! esp-hal = { version = "~1.2", features = ["esp32c3", "unstable"] }
//! ```
//! Without one the build of `esp-hal` fails and says so. Checked here: ESP32-C3.
//!
//! # What to mind
//! * The converter of these chips is good to some 10 mV at best, also calibrated: use its attenuation's linear range,
//!   references in every scan, or an analog front end.
//! * **Flash**: while it is erased or written the cache is off, and no interrupt runs that is not in RAM, the comparator's
//!   included unless all it calls is in RAM. Write only with both switches open.
//! * A radio needs tens of milliseconds of processor time: give the protection the higher priority, or another chip.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

mod adc;
#[cfg(feature = "can")]
mod can;
mod clock;
mod comparator;
mod watchdog;

pub use adc::{AdcPins, FULL_SCALE, Pins};
#[cfg(feature = "can")]
pub use can::Can;
pub use clock::Clock;
pub use comparator::{ComparatorLine, ComparatorPin};
pub use watchdog::{MainWatchdog, reset_cause};
