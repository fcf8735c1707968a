//! The manual's rules, one test or table each, named after the rule, with its requirement IDs above it.
//!
//! Expectations come from `requirements.md` and the manual alone. All run in virtual time on the pack of
//! [`harness`]; `tests/drivers.rs` runs the same scenarios through both drivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod manual {
    #[cfg(feature = "access")]
    pub mod access;
    pub mod balancing;
    pub mod beyond;
    pub mod calibration;
    pub mod counting;
    pub mod current;
    pub mod disagreements;
    pub mod hardware;
    pub mod harness;
    pub mod heater;
    pub mod lifecycle;
    pub mod limits;
    pub mod peers;
    pub mod retry;
    pub mod sensors;
    pub mod settings;
    pub mod setup;
    pub mod status;
    pub mod switches;
    pub mod temperature;
    pub mod voltage;
    pub mod wire_test;
}
pub use manual::{hardware, harness, setup};

/// Nothing follows the core here; see `tests/drivers.rs`.
mod follower {
    use bms_core::command::Command;
    use bms_core::measurement::Input;
    use bms_core::port::ErrorKind;
    use bms_core::time::Instant;

    use crate::harness::ManualBms;

    pub struct Follower;

    impl Follower {
        pub fn new(_: impl Fn() -> ManualBms) -> Self {
            Self
        }
        pub fn step(&mut self, _: Instant, _: Input<'_>, _: Result<(), ErrorKind>, _: &Command) {}
        pub fn each(&mut self, _: &mut dyn FnMut(&mut ManualBms)) {}
    }
}
