//! Any sequence of operations, faults included: the core and the oracle agree in every step.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = bms_oracle::differential::run(bytes) {
        panic!("{difference}");
    }
});
