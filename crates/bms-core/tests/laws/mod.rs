//! The laws of `docs/architecture.md`, checked in every step of any sequence of operations.
//!
//! ```text
//! bytes ─decode─► Op, Op, … ─► World (what is physically there) ─► Sample ─► Bms ─► Command
//!                                                                            └─ twins: worse information, worse physics
//! ```
//! One generator and one oracle serve three users: the property tests (`properties.rs`), the fuzzer (`fuzz/`) and
//! the images that run on the targets (`embedded/`). So this folder depends on `bms_core` and `core` alone.
//!
//! A broken law panics with its number and the time. How often each law had something to say is counted in
//! [`Coverage`]: a law that never applied proves nothing.

#![allow(dead_code, unused_imports, reason = "each of the three users takes what it needs")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an oracle panics when a law is broken"
)]

mod check;
mod op;
mod timing;
mod twin;
mod world;

pub use check::{Coverage, Harness, Law, Observer, Quiet};
pub use op::{Bytes, Op};
#[allow(unused_imports, reason = "the fuzz targets build their own world")]
pub use world::{World, configuration};

/// Decodes operations from `bytes` until they are used up, applies each, checks every law.
pub fn run<O: Observer>(bytes: &[u8], observer: O) -> (Coverage, O) {
    let mut bytes = Bytes::new(bytes);
    let mut harness = Harness::new(configuration(bytes.byte().unwrap_or(0)), observer);
    while let Some(op) = Op::decode(&mut bytes, harness.config()) {
        harness.apply(&op);
    }
    harness.finish()
}
