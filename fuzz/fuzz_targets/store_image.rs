//! Any content of a store's flash: opening and using it never panics, what is corrupt is said and goes on being said, and a
//! flash that is not blank is never taken for a new board.

#![no_main]

use std::sync::OnceLock;

use bms_host::flash::campaign::{image, sample_image};
use libfuzzer_sys::fuzz_target;

/// Images of stores that were used for a while.
fn used(number: u8) -> Vec<u8> {
    static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let images = IMAGES.get_or_init(|| (0..8).map(|seed| sample_image(seed, 40 + 20 * seed as usize)).collect());
    images[usize::from(number) % images.len()].clone()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let content = if *first < 64 {
        rest.to_vec()
    } else {
        // A used one with changes: where (2), what (1).
        let mut content = used(*first);
        for change in rest.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % content.len();
            content[place] ^= change[2];
        }
        content
    };
    if let Err(error) = image(&content) {
        panic!("{error}");
    }
});
