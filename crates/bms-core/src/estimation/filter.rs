//! The model-based estimator: exact counting, corrected by what the voltage tells.
//!
//! Every 5 s the means of current, voltage and temperature become one observation. While the state of charge is unknown a
//! [`Bank`] compares hypotheses; once it is known to a few percent a [`Tracker`] takes over. What neither can explain for
//! two minutes starts the bank again. The counters (T08–T11) and both anchors are those of the [`CoulombCounter`].

mod cells;
mod follow;
mod learning;
mod memory;
mod observation;
mod report;
mod trust;

use super::bank::Bank;
use super::difference::Differences;
use super::display::Display;
use super::math::ONE;
use super::model::{CellModel, Resistances};
use super::tracker::Tracker;
use super::{Anchor, CoulombCounter, Estimator, Evidence};
use crate::config::ValidConfig;
use crate::units::{Current, Temperature};
use observation::{NOTHING, Observation, Window};

/// How many hypotheses one step looks at.
const PER_STEP: usize = 24;
/// Temperature while no sensor delivers.
const ROOM: Temperature = Temperature::from_tenths(250);

/// Estimates the state of charge from current, voltage, temperature and a [`CellModel`].
#[derive(Clone, Debug)]
pub struct ModelEstimator {
    model: CellModel,
    ledger: CoulombCounter,
    window: Window,
    resistances: Resistances,
    tracker: Tracker,
    bank: Bank,
    display: Display,
    /// The current behind the lags, as C-rates with one = 2^24, and how much of the unknown past is left in each.
    lagged: [i64; 3],
    past: [i64; 3],
    /// Branch of the hysteresis, −1 … 1, and how much of it is unknown; one = 2^30.
    branch: i64,
    branch_unknown: i64,
    /// Charge counted since the bank began; one = 2^30.
    counted: i64,
    /// Charge moved since the capacity was learned; one = 2^30.
    throughput: i64,
    /// Charge moved since the last anchor, at most one; one = 2^30.
    unanchored: i64,
    /// Variance of the state of charge, one = 2^40.
    spread: i64,
    temperature: Temperature,
    unexplained: u32,
    phase: Phase,
    under_load: bool,
    tail: bool,
    last: Observation,
    /// Polarisation of the average cell over the last window, a positive number in µV.
    load: i32,
    differences: Differences,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was seen yet.
    New,
    /// Known from a snapshot; nothing was seen yet.
    Restored,
    Bank,
    Tracker,
}

impl ModelEstimator {
    /// An estimator for a kind of cell that knows nothing yet of this pack.
    #[must_use]
    pub const fn new(config: &ValidConfig, model: CellModel) -> Self {
        Self {
            model,
            ledger: CoulombCounter::new(config),
            window: Window::NEW,
            resistances: Resistances::new(),
            tracker: Tracker::new(),
            bank: Bank::new(),
            display: Display::new(),
            lagged: [0; 3],
            past: [ONE; 3],
            branch: 0,
            branch_unknown: 0,
            counted: 0,
            throughput: 0,
            unanchored: ONE,
            spread: 0,
            temperature: ROOM,
            unexplained: 0,
            phase: Phase::New,
            under_load: false,
            tail: false,
            last: NOTHING,
            load: 0,
            differences: Differences::new(),
        }
    }
    /// The exact counter underneath.
    #[must_use]
    pub const fn counter(&self) -> &CoulombCounter {
        &self.ledger
    }
    /// Whether hypotheses are being compared because the state of charge is not known well.
    #[must_use]
    pub fn is_searching(&self) -> bool {
        self.phase == Phase::Bank
    }

    /// The present state of charge, one = 2^30, as of the last window.
    fn charge(&self) -> i64 {
        self.tracker.states.charge
    }

    /// One finished window.
    fn digest(&mut self, window: &Window, evidence: &Evidence<'_>) {
        let seen = self.observe(window, evidence);
        self.last = seen;
        let first = matches!(self.phase, Phase::New);
        let expected = self.charge().saturating_add(seen.moved);
        if matches!(self.phase, Phase::New | Phase::Restored) {
            self.begin(&seen);
        }
        match self.phase {
            Phase::Bank => self.compare(&seen),
            _ => self.track(&seen),
        }
        if seen.resting {
            self.learn_zero(&seen, evidence.disconnected);
        }
        self.unanchored = self.unanchored.saturating_add(seen.moved.saturating_abs()).min(ONE);
        if self.tail {
            self.take_anchor(Anchor::Full, &seen);
        }
        if self.phase == Phase::Tracker {
            self.spread = self.tracker.covariance.cc;
        }
        self.learn(&seen, evidence);
        self.look_at_cell(window, &seen, evidence);
        if !first {
            self.display.corrected(self.charge().saturating_sub(expected));
        }
        self.display.leave(self.charge(), self.tail);
    }

    /// What the sensor shows when nothing flows, as learned at rest; subtracted from what is measured.
    #[must_use]
    pub fn current_offset(&self) -> Current {
        Current::from_milliamps(self.learned().current_offset_microamps / 1_000)
    }
}
