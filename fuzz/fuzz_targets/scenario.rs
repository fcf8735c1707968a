//! Any scenario file: refused with a line and a reason, or played to its end; never a panic.

#![no_main]

use std::path::Path;

use bms_host::sim::run::play;
use bms_host::sim::scenario::{Refused, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(Path::new("fuzzed.toml"), text) {
        Err(Refused::File(error)) => assert!(!error.to_string().is_empty()),
        Err(Refused::Config(violations)) => assert!(!violations.is_empty(), "refused without a reason"),
        Ok(scenario) => {
            // Long ones are as good as short ones, and only cost time.
            let steps = scenario.duration_s * 1_000.0 / f64::from(scenario.sample_period_ms);
            if steps <= 2_000.0 && scenario.duration_s <= 600.0 {
                let _ = play(&scenario, 1);
            }
        }
    }
});
