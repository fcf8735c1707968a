//! What `embedded-hal` does not cover on an RP2040, over `embassy-rp`: ADC, clock, comparator interrupt, watchdog, flash.
//! The pins' side is in [`bms_hal`].
//!
//! The crate does not choose the chip; the firmware does: `embassy-rp = { features = ["rp2040", "time-driver", …] }`.
//! The RP2040 has no CAN; its UARTs are used as they are.
#![no_std]
#![deny(clippy::arithmetic_side_effects)]

mod adc;
pub mod comparator;
mod watchdog;

#[cfg(feature = "async")]
pub use adc::AsyncAdc;
pub use adc::Rp2040Adc;
pub use bms_hal::EmbassyClock;
/// Flash as an embedded-storage `NorFlash`, for a store. An erase keeps interrupts off for up to 400 ms, in which the
/// comparator's interrupt cannot open the gates: write only with both open.
pub use embassy_rp::flash::Flash;
pub use watchdog::{Rp2040Watchdog, reset_cause};

/// The code of the ADC's full scale.
pub const FULL_SCALE: u16 = 4_095;
