//! Any sequence of operations, faults included; every law in every step. The operations and the oracles are those of the
//! property tests. The first byte chooses: the whole core with its default strategy, or any strategy of balancing on any
//! kind of balancer, whose answers may be false.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bms-core/tests/balancing/mod.rs"]
mod balancing;
#[path = "../../crates/bms-core/tests/laws/mod.rs"]
mod laws;

/// First bytes from here on are for balancing.
const BALANCING: u8 = 192;

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((first @ BALANCING.., rest)) => {
            let mut seen = balancing::Seen::default();
            balancing::run(usize::from(first - BALANCING) % balancing::PAIRS, rest, &mut seen);
        }
        _ => {
            let _ = laws::run(bytes, laws::Quiet);
        }
    }
});
