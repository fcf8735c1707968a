//! Battery protection core: measurements of a lithium pack in, safe decisions out.
//!
//! ```text
//! ports ─► Sample ─check─► Measurement ─estimate─► Estimate ─protect─► AlarmSet ─balance─► Plan ─decide─► Command ─► ports
//!                                                                                           └─► Status, Event, Snapshot
//! ```
//! [`Bms::step`] is pure and total: no I/O, no `Result`, no panic, no clock. A reading that failed is an
//! input, not an error. The same inputs give the same outputs bit for bit.
//!
//! ```
//! use bms_core::prelude::*;
//!
//! const PACK: ValidConfig = const {
//!     Config::lifepo4(4).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated()
//! };
//! let mut bms = Bms::new(PACK);
//! let mut sample = Sample::new();
//! let now = Instant::from_millis(100);
//! sample.cells = Group::at(now, Cells::from_voltages(&[mv(3_300); 4]));
//! sample.current = Group::at(now, amps(-10));
//! let command = bms.step(now, Input::Sample(&sample));
//! // No temperature of the switches was seen yet: nothing closes (D32).
//! assert_eq!(command.discharge, Switch::Open);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "access")]
pub mod access;
pub mod balancing;
pub mod bms;
pub mod command;
pub mod config;
pub mod driver;
pub mod estimation;
pub mod event;
pub mod explain;
pub mod fittings;
mod guard;
mod heating;
pub mod lifecycle;
mod limits;
pub mod measurement;
pub mod port;
mod precharge;
pub mod protection;
pub mod recorder;
pub mod snapshot;
pub mod status;
pub mod time;
pub mod units;

pub use bms::Bms;

/// What most users need.
pub mod prelude {
    pub use crate::balancing::Plan;
    pub use crate::bms::{Bms, Refusal, Request};
    pub use crate::command::{Command, Switch};
    pub use crate::config::{BoardDefinition, Chemistry, Config, Model, ParameterId, Profile, ValidConfig};
    pub use crate::driver::{Board, Driver};
    pub use crate::event::{Event, EventKind};
    pub use crate::measurement::{Cells, Group, Input, Inputs, Reading, Sample, Temperatures};
    pub use crate::protection::{Alarm, AlarmSet};
    pub use crate::snapshot::{ResetCause, Snapshot, Stored};
    pub use crate::time::{Duration, Instant, ms, secs};
    pub use crate::units::{Charge, Current, Resistance, Temperature, Voltage, ah, amps, deg_c, ma, mohm, mv, uv};
}

/// The README's firmware is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeDoctests;
