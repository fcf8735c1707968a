//! The hardware as the core sees it: small traits, written by whoever ports the core to a board.
//!
//! One port is non-blocking, the [`Sampler`]; all outputs are plain `Result`s. The async twins are in
//! `asynch` (feature `async`) and share the error types, so that one adapter has one error.
//!
//! # For adapter authors
//! * Constructors drive every output to its safe state **before** they return; no trait here has an `init`.
//! * Units and signs are those of [`units`](crate::units): positive current charges.
//! * Never hide a failure: a reading that could not be taken is an error or an `Invalid`, never the last value, never zero.
//! * Run the conformance kit of `bms-host` against the port before trusting it with a pack.

#[cfg(feature = "async")]
pub mod asynch;
mod blocking;
pub mod compose;
mod not_fitted;

pub use blocking::{
    Balancer, CellSense, Clock, CurrentSense, FeedbackSense, Heater, Indicator, InputSense, LastResort, Power,
    Precharge, Sampler, Switches, TemperatureSense, VoltageSense,
};
pub use not_fitted::NotFitted;

use core::convert::Infallible;
use core::fmt::Debug;

/// What went wrong at a port, as far as the core cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bus or the pin did not answer.
    Bus,
    /// An answer came but its checksum, range or framing is wrong.
    Integrity,
    /// No answer in time.
    Timeout,
    /// The device has no power.
    Unpowered,
    /// Anything else.
    Other,
}

/// An error of a port.
pub trait Error: Debug {
    /// The generic kind of this error.
    fn kind(&self) -> ErrorKind;
}

impl Error for Infallible {
    fn kind(&self) -> ErrorKind {
        match *self {}
    }
}

impl Error for ErrorKind {
    fn kind(&self) -> ErrorKind {
        *self
    }
}

/// The error type of a port, shared by its blocking and its async trait.
pub trait ErrorType {
    /// The error.
    type Error: Error;
}

impl<T: ErrorType + ?Sized> ErrorType for &mut T {
    type Error = T::Error;
}
