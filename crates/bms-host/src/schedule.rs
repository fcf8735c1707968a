//! When what is measured: the same for the direct rig and for the mock sampler, so that both deliver the same samples.

use bms_core::command::ScanMode;
use bms_core::time::Duration;

use crate::plant::Channels;

/// When what is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Time between two steps.
    pub period: Duration,
    /// Each step is up to this part of the period longer or shorter, evenly, from the rig's seed; 0 to 1.
    pub jitter: f64,
    /// Cells and stack voltage are measured in every such step.
    pub cells_every: u32,
    /// Temperatures are measured in every such step.
    pub temperatures_every: u32,
    /// Cells are not measured while the balancer disturbs them and the core asks for a quiet scan.
    pub quiet_scans: bool,
}

impl Default for Schedule {
    /// Ten steps a second, temperatures once a second.
    fn default() -> Self {
        Self { temperatures_every: 10, ..Self::every(Duration::from_millis(100)) }
    }
}

impl Schedule {
    /// Everything in every step of this length.
    #[must_use]
    pub const fn every(period: Duration) -> Self {
        Self { period, jitter: 0.0, cells_every: 1, temperatures_every: 1, quiet_scans: true }
    }
}

/// Walks through a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub schedule: Schedule,
    random: u64,
    steps: u64,
}

impl Walk {
    pub(crate) fn new(schedule: Schedule, seed: u64) -> Self {
        Self { schedule, random: seed, steps: 0 }
    }
    /// Time from the step that was just taken to the next one.
    pub(crate) fn next_length(&mut self) -> Duration {
        let period = self.schedule.period.max(Duration::from_millis(1));
        if self.schedule.jitter == 0.0 {
            return period;
        }
        // SplitMix64: small, named, and the same everywhere.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let even = f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX) * 2.0 - 1.0;
        let length = f64::from(period.as_millis()) * (1.0 + self.schedule.jitter * even);
        // The cast saturates.
        Duration::from_millis((length.round() as u32).max(1))
    }
    /// What is due in this step, which is then over.
    pub(crate) fn take_channels(&mut self, mode: ScanMode, quiet: bool) -> Channels {
        let due = |every: u32| self.steps.is_multiple_of(u64::from(every.max(1)));
        let cells = due(self.schedule.cells_every) && (mode == ScanMode::Any || quiet || !self.schedule.quiet_scans);
        let temperatures = due(self.schedule.temperatures_every);
        self.steps += 1;
        Channels { cells, stack: cells, temperatures, ..Channels::ALL }
    }
}
