//! Power goes in the middle of a write or an erase of a store's flash, and one bit rots besides: each record is the old or the
//! new one, and at most one entry of the log is gone.

#![no_main]

use bms_host::flash::campaign::torn_and_flipped;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    if let Err(lost) = torn_and_flipped(script) {
        panic!("{lost}");
    }
});
