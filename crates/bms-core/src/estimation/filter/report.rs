//! The estimator as the rest of the core sees it.

use super::observation::Observation;
use super::{ModelEstimator, PER_STEP, Phase};
use crate::estimation::math::{ONE, decay, narrow, ratio, scaled};
use crate::estimation::model::{PATHS, between_knots};
use crate::estimation::{
    Anchor, CellDifferences, Estimator, Evidence, Learned, Source, StateOfCharge, StateOfHealth, part_of,
};
use crate::snapshot::Snapshot;
use crate::units::{Charge, Resistance, Voltage};

impl ModelEstimator {
    /// The charge in the pack as of the last window.
    pub(super) fn settled(&self) -> Charge {
        let capacity = self.ledger.capacity().as_milliamp_millis();
        Charge::from_milliamp_millis((capacity >> 12).saturating_mul(self.charge().clamp(0, ONE)) >> 18)
    }
}

impl Estimator for ModelEstimator {
    fn update(&mut self, evidence: &Evidence<'_>) -> Option<Anchor> {
        let anchor = self.ledger.update(evidence);
        self.tail = self.ledger.at_full();
        let before = self.charge();
        if self.bank.busy() {
            self.search_on(PER_STEP);
        }
        let empty = anchor == Some(Anchor::Empty) && self.phase != Phase::New && self.is_rested();
        if empty {
            let seen = Observation { length: 60_000, ..self.last };
            self.take_anchor(Anchor::Empty, &seen);
        }
        self.display.corrected(self.charge().saturating_sub(before));
        if let Some(window) = self.gather(evidence) {
            self.digest(&window, evidence);
        }
        self.differences.balanced(
            evidence.balancing,
            evidence.balance_current,
            evidence.elapsed,
            self.ledger.capacity(),
        );
        let charge = self.charge();
        self.display.pass(evidence.elapsed, charge, self.tail, empty);
        anchor
    }
    fn remaining(&self) -> Option<Charge> {
        if self.phase == Phase::New {
            return None;
        }
        let now = self.settled().plus(self.window.moved);
        Some(now.max(Charge::ZERO).min(self.ledger.capacity()))
    }
    fn capacity(&self) -> Charge {
        self.ledger.capacity()
    }
    fn cycle_capacity(&self) -> Charge {
        self.ledger.cycle_capacity()
    }
    fn cycles(&self) -> u32 {
        self.ledger.cycles()
    }
    fn set_capacity(&mut self, capacity: Charge) {
        self.ledger.set_capacity(capacity);
    }
    fn state_of_charge(&self) -> Option<StateOfCharge> {
        let millionths = part_of(self.remaining()?, self.capacity(), 1_000_000)?;
        Some(StateOfCharge { millionths, sigma_millionths: self.sigma() })
    }
    fn state_of_charge_permille(&self) -> Option<u16> {
        let now = self.part(self.remaining()?);
        Some(self.display.permille(now))
    }
    fn state_of_health(&self) -> Option<StateOfHealth> {
        let resistance = ONE.saturating_add(self.tracker.states.resistance).saturating_mul(1_000) >> 30;
        Some(StateOfHealth {
            capacity_permille: self.ledger.health_permille(),
            resistance_permille: u16::try_from(resistance).unwrap_or(0),
        })
    }
    fn cell_differences(&self) -> CellDifferences<'_> {
        self.differences()
    }
    fn source(&self) -> Option<Source> {
        if self.phase == Phase::New {
            return None;
        }
        let model = &self.model;
        let soc = narrow(self.charge().clamp(0, ONE));
        // What the lags hold now, without the current itself.
        let [_, fast, middle, slow] = self.last.currents;
        let polarised = between_knots(model, &self.resistances.polarisation(&[0, fast, middle, slow]), soc);
        let scale = |microvolts: i32| {
            narrow(i64::from(microvolts).saturating_add(scaled(
                i64::from(microvolts),
                self.tracker.states.resistance,
                30,
            )))
        };
        let unloaded = model.middle(soc).saturating_add(self.shift(soc)).saturating_add(scale(polarised));
        let reference = model.capacity.unwrap_or(self.ledger.capacity()).as_milliamp_hours();
        // One C behind each lag after a while, as a resistance of one ampere.
        let after = |seconds: i64| {
            let mut currents = [1 << 16; PATHS];
            for (current, lag) in currents.iter_mut().skip(1).zip(model.lag_seconds) {
                let keep = decay(ratio(seconds << 30, i64::from(lag)));
                *current = narrow(ONE.saturating_sub(keep) >> 14);
            }
            let microvolts = scale(between_knots(model, &self.resistances.polarisation(&currents), soc));
            Resistance::from_microohms(narrow(ratio(i64::from(microvolts).saturating_mul(1_000), reference)))
        };
        Some(Source {
            unloaded: Voltage::from_microvolts(unloaded),
            resistance_10s: after(10),
            resistance_30s: after(30),
        })
    }
    fn learned(&self) -> Learned {
        self.to_keep()
    }
    fn restore(&mut self, snapshot: &Snapshot) {
        self.take_up(snapshot);
    }
    fn was_off(&mut self, seconds: Option<u32>) {
        self.stood(seconds);
    }
}
