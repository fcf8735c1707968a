//! Scenarios that run unchanged on the host and on every target.
//!
//! [`trace`] drives the core through generated sequences of operations, faults included, checks every law on the way,
//! and folds every command and event into one 64-bit hash. The same code gives the same hash wherever it runs, or some arithmetic
//! depends on the machine.

#![no_std]

#[path = "../../../crates/bms-core/tests/laws/mod.rs"]
pub mod laws;

pub mod digest;
pub mod rules;
pub mod soc;

use bms_core::command::Command;
use bms_core::event::Event;
use bms_core::time::Instant;
use digest::Digest;
use laws::{Coverage, Observer};

/// Marsaglia's xorshift64*: fixed and named, so that a trace never changes by itself.
pub struct Xorshift(u64);

impl Xorshift {
    /// `seed` must not be zero.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next 64 bits.
    pub fn next_word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    /// Fills a buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next_word().to_le_bytes();
            for (slot, byte) in chunk.iter_mut().zip(bytes) {
                *slot = byte;
            }
        }
    }
}

/// Folds all that the core says.
#[derive(Default)]
struct Hasher(Digest);

impl Observer for Hasher {
    fn command(&mut self, now: Instant, command: &Command) {
        self.0.word(now.as_millis());
        self.0.command(command);
    }
    fn event(&mut self, event: &Event) {
        self.0.event(event);
    }
}

/// What a trace came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Over every command and event.
    pub hash: u64,
    /// How often each law applied, and the number of steps.
    pub coverage: Coverage,
}

/// Runs generated sequences until at least `steps` steps are done.
#[must_use]
pub fn trace(seed: u64, steps: u32) -> Outcome {
    let mut random = Xorshift::new(seed);
    let mut hash = Digest::default();
    let mut coverage = Coverage::default();
    let mut selector = 0_u8;
    while coverage.steps < steps {
        let mut bytes = [0; 512];
        random.fill(&mut bytes);
        // Every configuration in turn.
        bytes[0] = selector;
        selector = selector.wrapping_add(1);
        let (part, hasher) = laws::run(&bytes, Hasher::default());
        hash.word(hasher.0.finish());
        coverage.add(&part);
    }
    Outcome { hash: hash.finish(), coverage }
}

/// The trace that the host and every target must agree on.
#[must_use]
pub fn standard_trace() -> Outcome {
    trace(0x05EE_DBA7_7E41_E500, 20_000)
}
