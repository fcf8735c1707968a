//! When what is measured: the same for the direct rig and for the mock sampler, so that both deliver the same samples.

use bms_core::command::ScanMode;
use bms_core::time::Duration;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::plant::Channels;

/// When what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time between two steps.
    pub period: Duration,
    /// Each step comes up to this much later, evenly, from the rig's seed.
    pub jitter: Duration,
    /// Cells and stack voltage are measured in every such step.
    pub cells_every: u32,
    /// Temperatures are measured in every such step.
    pub temperatures_every: u32,
}

impl Default for Schedule {
    /// Ten steps a second, temperatures once a second.
    fn default() -> Self {
        Self { period: Duration::from_millis(100), jitter: Duration::ZERO, cells_every: 1, temperatures_every: 10 }
    }
}

impl Schedule {
    /// Everything in every step of this length.
    #[must_use]
    pub const fn every(period: Duration) -> Self {
        Self { period, jitter: Duration::ZERO, cells_every: 1, temperatures_every: 1 }
    }
}

/// Walks through a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub schedule: Schedule,
    random: Pcg64Mcg,
    steps: u64,
}

impl Walk {
    pub(crate) fn new(schedule: Schedule, seed: u64) -> Self {
        Self { schedule, random: Pcg64Mcg::seed_from_u64(seed ^ 0x0071_7365), steps: 0 }
    }
    /// Time from the step that was just taken to the next one.
    pub(crate) fn next_length(&mut self) -> Duration {
        let period = self.schedule.period.max(Duration::from_millis(1));
        let jitter = self.schedule.jitter.as_millis();
        if jitter == 0 {
            return period;
        }
        period.plus(Duration::from_millis(self.random.next_u32() % (jitter + 1)))
    }
    /// What is due in this step, which is then over.
    pub(crate) fn take_channels(&mut self, mode: ScanMode, quiet: bool) -> Channels {
        let due = |every: u32| self.steps.is_multiple_of(u64::from(every.max(1)));
        let cells = due(self.schedule.cells_every) && (mode == ScanMode::Any || quiet);
        let temperatures = due(self.schedule.temperatures_every);
        self.steps += 1;
        Channels { cells, stack: cells, temperatures, ..Channels::ALL }
    }
}
