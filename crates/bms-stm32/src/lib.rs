//! What [`bms_hal`] needs of an STM32 and `embedded-hal` does not cover, over `embassy-stm32`.
//!
//! | need | here |
//! |---|---|
//! | ADC | [`AdcChannels`] is an [`AdcSource`](bms_hal::AdcSource), blocking and awaited |
//! | short-circuit comparator | [`ComparatorLine`] and [`ComparatorHandler`]: any pin's EXTI line |
//! | watchdog | [`IndependentWatchdog`] |
//! | monotonic clock | [`Clock`], over the HAL's time driver |
//! | flash | [`flash`]: handed through as `embedded_storage`'s `NorFlash` |
//! | CAN | `bxcan`, `fdcan`: features of this crate, as `embedded_can`'s non-blocking port |
//! | UART, pins, I²C, SPI | as they are: `embassy-stm32` implements `embedded-hal` and `embedded-io` |
//!
//! # The chip
//! This crate names none. The firmware does, by a feature of `embassy-stm32`:
//! ```toml
//! bms-stm32 = "0.1"
//! embassy-stm32 = { version = "0.6", features = ["stm32f427zi", "time-driver-tim2", "memory-x"] }
//! ```
//! Without one the build of `embassy-stm32` fails and says so. Chips of two flash banks that can be joined (G474) also
//! want its feature `dual-bank` or `single-bank`. Checked here: F405, F427, G071, G474, H743, L476. Supported are the chips
//! whose ADC `embassy-stm32` reads at once: F2, F4, F7, G0, G4, H5, H7, L4 and newer. F0, F1, F3 and L0 are not: their
//! driver only has an awaited read; give [`bms_hal::asynch::AdcSource`] to them by hand.
#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]
#![deny(clippy::arithmetic_side_effects)]

mod adc;
#[cfg(any(feature = "bxcan", feature = "fdcan"))]
mod can;
mod comparator;
mod watchdog;

pub use adc::AdcChannels;
pub use bms_hal::EmbassyClock as Clock;
#[cfg(feature = "bxcan")]
pub use can::BxCan;
#[cfg(feature = "fdcan")]
pub use can::FdCan;
pub use comparator::{ComparatorHandler, ComparatorLine, ComparatorPin, OpensGates};
pub use watchdog::IndependentWatchdog;

pub mod flash {
    //! The chip's own flash, as it is.
    //!
    //! [`Flash::new_blocking`] is `embedded_storage`'s `NorFlash` with offsets from the start of the flash; a store takes
    //! it with a range of offsets that the linker script keeps free of code. Mind
    //! * **the erase sizes**: F4 and H7 erase sectors of 16 to 128 KiB, one at a time; use `into_blocking_regions` and a
    //!   region of small sectors. G0, G4 and L4 erase pages of 2 KiB (4 KiB),
    //! * **the time**: a sector of 128 KiB takes 1 to 4 s on an F4, and the core stands still when it executes from the
    //!   same bank. Erase only with both switches open, or keep code and store in different banks, or the watchdog bites.
    pub use embassy_stm32::flash::*;
}
