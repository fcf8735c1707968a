//! Any sequence of operations, faults included; every law in every step. The operations and the oracle are those of the
//! property tests.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bms-core/tests/laws/mod.rs"]
mod laws;

fuzz_target!(|bytes: &[u8]| {
    let _ = laws::run(bytes, laws::Quiet);
});
