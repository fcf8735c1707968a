//! A second, naive reading of the requirements, to compare [`bms_core`] with.
//!
//! Written from the requirements and the core's public types alone: slow, obvious, with absolute times and plain integers
//! of 64 bits where the core has ages and 32. [`differential::run`] drives both with the same operations and compares
//! every alarm, every switch and every event of every step. Where the two differ, the requirements decide.

mod decide;
pub mod differential;
pub mod operation;
pub mod oracle;
pub mod outputs;
pub mod readings;
mod retries;
pub mod rules;
mod tolerance;
pub mod watch;
