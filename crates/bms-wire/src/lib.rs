//! The protocols that owners' tools already speak, as pure functions and state machines.
//!
//! ```text
//! Status ─► Telemetry ─┐                         ┌─► bytes, notifications, CAN frames
//! Config ──────────────┼─► View ─► mapping table ┤
//! Identity ────────────┘        (one a protocol) └◄─ bytes ─► Change ─► Access ─► Bms
//! ```
//! * **No I/O**: a link is given bytes and the time, and gives bytes to send. Serial ports, radios and buses are the
//!   firmware's.
//! * Codecs and state machines are apart: [`native`] knows frames, [`ble`] knows the conversation.
//! * Each protocol is one table of [`field::Field`]s, which writes, reads and takes changes.
//! * [`bytes::Accumulator`] takes any chunking, finds the next frame after garbage, and never reads past a frame.
//! * Every change goes through [`board::Board::change`], which asks [`bms_core::access`]; there is no other way.
//! * No password is ever sent, no loader command exists.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

pub mod alarms;
pub mod ble;
pub mod board;
pub mod bytes;
pub mod can;
pub mod display;
pub mod field;
pub mod inverter_can;
pub mod jk_can;
pub mod logbook;
pub mod modbus;
pub mod native;
pub mod secure;
pub mod station;
pub mod telemetry;
pub mod uart;
