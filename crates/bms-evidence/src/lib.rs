//! Campaigns that try to make the core fail silently, on the simulated pack.
//!
//! ```text
//! states × faults × pushes ─► Bench (plant + core + watchdog) ─► Watch (the plant's truth) ─► table of outcomes
//! ```
//! * [`truth`]: what is unsafe, judged by the plant alone: an energy path closed beyond its limit for too long.
//! * [`mod@bench`]: the pack with its core, a watchdog, and the watch over both.
//! * [`matrix`]: every fault in every operating state, with the pack pushed over each of its limits meanwhile.
//! * [`soak`]: random use over pack-years, resumable in parts.

pub mod bench;
pub mod matrix;
pub mod soak;
pub mod truth;
