//! The limits' redundant copy (X20): a digest of the whole configuration, made when it was accepted and compared with a
//! fresh one a few words a step, the whole of it within ten steps. Any single flipped bit changes it.

use core::hint::black_box;

use crate::config::{PARAMETER_COUNT, ParameterId, ValidConfig};

/// Parameters that one step looks at.
const PER_STEP: usize = 9;
const SEED: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// The digest and how far the comparison is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitGuard {
    expected: u32,
    running: u32,
    position: usize,
    corrupt: bool,
}

impl LimitGuard {
    pub(crate) const fn new(config: &ValidConfig) -> Self {
        let mut digest = SEED;
        let mut rest: &[ParameterId] = &ParameterId::ALL;
        while let [parameter, tail @ ..] = rest {
            digest = mix(digest, config.get(*parameter));
            rest = tail;
        }
        Self { expected: digest, running: SEED, position: 0, corrupt: false }
    }
    /// Looks at the next few words; `true` for ever once they differ.
    pub(crate) fn step(&mut self, config: &ValidConfig) -> bool {
        // The optimiser must not know that nobody wrote the configuration in between.
        let config = black_box(config);
        for _ in 0..PER_STEP {
            match config.word(self.position) {
                Some(value) => {
                    self.running = mix(self.running, value);
                    self.position = self.position.saturating_add(1);
                }
                None => {
                    self.corrupt |= self.running != black_box(self.expected);
                    self.running = SEED;
                    self.position = 0;
                    break;
                }
            }
        }
        self.corrupt
    }
}

/// One step of FNV-1a on words: a bijection for each word, so no single change goes unnoticed.
const fn mix(digest: u32, value: i32) -> u32 {
    (digest ^ value as u32).wrapping_mul(PRIME)
}

const _: () = assert!(PARAMETER_COUNT / PER_STEP < 10);
