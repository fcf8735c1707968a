//! A simulated pack to run the core on.
//!
//! * [`cells`]: models of particular cells for the state of charge.
//! * [`plant`]: cells, wires, switches, balancer, charger, loads and heat in virtual time.
//! * [`rig`]: plant and core together, advanced with one call.
//! * [`mock`]: every port over the plant, and the drivers on them.
//! * [`trace`]: recording and bit-exact replay.
//! * [`fault`]: what can go wrong between them.
//! * [`flash`]: flash memories for `bms-store`, and what may go wrong with them.
//! * [`conformance`]: checks for any implementation of a port, also on a real board.
//! * [`sim`]: the program `bms-sim`.

pub mod cells;
pub mod conformance;
pub mod fault;
pub mod flash;
pub mod mock;
pub mod plant;
pub mod rig;
mod schedule;
pub mod sim;
pub mod trace;
