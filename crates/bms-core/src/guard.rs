//! The limits' redundant copy (X20): a digest of the whole configuration, made when it was accepted and compared with a
//! fresh one a few words a step, the whole of it within ten steps. Any single flipped bit changes it.
//!
//! What is derived from the limits and decides in their place (the window of the fast path, the calibration, the stale times) has a digest
//! of its own, which is looked at in the tenth step.

use core::hint::black_box;

use crate::config::{PARAMETER_COUNT, ValidConfig};

/// Parameters that one step looks at; the tenth step takes what is left, chemistry, model and board.
const PER_STEP: usize = PARAMETER_COUNT / 10 + 1;
const SEED: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// The digest and how far the comparison is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitGuard {
    expected: u32,
    running: u32,
    /// Steps since the last comparison.
    position: u8,
    corrupt: bool,
}

impl LimitGuard {
    pub(crate) const fn new(config: &ValidConfig, derived: u32) -> Self {
        let mut digest = SEED;
        let mut rest: &[i32] = config.values();
        while let [value, tail @ ..] = rest {
            digest = mix(digest, *value as u32);
            rest = tail;
        }
        Self { expected: mix(mix(digest, config.kind()), derived), running: SEED, position: 0, corrupt: false }
    }
    /// Looks at the next few words; `true` for ever once they differ. `derived` is the digest of what was made of the limits.
    #[inline(never)]
    pub(crate) fn step(&mut self, config: &ValidConfig, derived: impl FnOnce() -> u32) -> bool {
        // The optimiser must not know that nobody wrote the configuration in between.
        let config = black_box(config);
        let (parts, rest) = config.values().as_chunks::<PER_STEP>();
        if let Some(part) = parts.get(usize::from(self.position)) {
            self.running = part.iter().fold(self.running, |digest, value| mix(digest, *value as u32));
            self.position = self.position.wrapping_add(1);
        } else {
            let digest = rest.iter().fold(self.running, |digest, value| mix(digest, *value as u32));
            self.corrupt |= mix(mix(digest, config.kind()), derived()) != black_box(self.expected);
            self.running = SEED;
            self.position = 0;
        }
        self.corrupt
    }
}

/// A digest of words that are derived from the limits.
pub(crate) const fn digest(words: &[u32]) -> u32 {
    let mut digest = SEED;
    let mut rest = words;
    while let [word, tail @ ..] = rest {
        digest = mix(digest, *word);
        rest = tail;
    }
    digest
}

/// One step of FNV-1a on words: a bijection for each word, so no single change goes unnoticed.
const fn mix(digest: u32, word: u32) -> u32 {
    (digest ^ word).wrapping_mul(PRIME)
}
