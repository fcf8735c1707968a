//! What is learned: the anchors, the sensor's zero, the capacity.

use super::{ModelEstimator, Observation, Phase};
use crate::config::ParameterId as P;
use crate::estimation::math::{ONE, from_millionths, narrow, ratio, scaled};
use crate::estimation::model::between_knots;
use crate::estimation::tracker::variance;
use crate::estimation::{Anchor, Estimator, Evidence};
use crate::units::Charge;

/// Polarisation in µV below which the under-voltage alarm is an anchor.
const RESTED: i32 = 100_000;
/// The capacity is learned after this part of it has moved; one = 2^30.
const LEARNING: i64 = ONE / 5;
/// The value of `capacity_learning` that allows it.
const PARTIAL_CYCLES: i32 = 2;
/// What a capacity may change by over a fifth of a cycle, in millionths.
const AGEING: i64 = 1_000;

impl ModelEstimator {
    /// Whether the polarisation is so small that the lowest voltage means an empty pack, not a cold or loaded one.
    pub(super) fn is_rested(&self) -> bool {
        let soc = narrow(self.charge().clamp(0, ONE));
        let knots = self.resistances.polarisation(&self.last.currents);
        between_knots(&self.model, &knots, soc).saturating_abs() < RESTED
    }

    /// The full anchor: as long as the tail flows, what is still missing follows from it.
    pub(super) fn take_anchor(&mut self, anchor: Anchor, seen: &Observation) {
        let tuning = self.tuning();
        let (charge, error) = match anchor {
            Anchor::Full => {
                let missing = scaled(seen.measured.max(0), ratio(i64::from(tuning.tail_seconds) << 30, 3_600), 30);
                (ONE.saturating_sub(missing.min(ONE * 3 / 100)), i64::from(tuning.full_error))
            }
            Anchor::Empty => (0, 20_000),
        };
        self.unanchored = 0;
        // Sixty seconds of it count as one look.
        let minutes = i64::from(seen.length.clamp(1, 60_000));
        if self.phase == Phase::Bank {
            let sigma = i64::from(from_millionths(error.max(10_000) as u32));
            self.bank.anchor(charge, self.counted, sigma, ratio(minutes << 16, 60_000));
        } else {
            self.tracker.anchor(charge, variance(error).saturating_mul(60_000).checked_div(minutes).unwrap_or(0));
        }
    }

    /// The sensor's offset, while nothing flows.
    pub(super) fn learn_zero(&mut self, seen: &Observation, disconnected: bool) {
        let tuning = self.tuning();
        let standby = if disconnected { 0 } else { i64::from(tuning.standby_current) };
        // Half a thousandth of the capacity in one second, and what may really flow for a minute.
        let length = i64::from(seen.length.max(1));
        let noise = ratio(variance(500).saturating_mul(1_000), length)
            .saturating_add(ratio(variance(standby).saturating_mul(60_000), length));
        self.tracker.zero(seen.measured, noise);
    }

    /// Takes the capacity error into the learned capacity, by at most 2 % (L02's alternative). Only after enough charge has
    /// moved to tell.
    pub(super) fn learn(&mut self, seen: &Observation, evidence: &Evidence<'_>) {
        self.throughput = self.throughput.saturating_add(seen.moved.saturating_abs());
        if self.throughput < LEARNING || self.phase != Phase::Tracker {
            return;
        }
        self.throughput = 0;
        // A typical table cannot tell a smaller capacity from its own error: there only full cycles teach.
        if evidence.config.get(P::CapacityLearning) != PARTIAL_CYCLES || self.model.capacity.is_none() {
            return;
        }
        let states = &mut self.tracker.states;
        let change = states.capacity.clamp(-ONE / 50, ONE / 50);
        let capacity = self.ledger.capacity().as_milliamp_millis();
        let learned = ratio((capacity >> 12).saturating_mul(ONE), ONE.saturating_add(change)) << 12;
        states.capacity = states.capacity.saturating_sub(change);
        self.ledger.learn(Charge::from_milliamp_millis(learned));
        // A cell ages: an old certainty fades.
        let covariance = &mut self.tracker.covariance;
        let most = variance(i64::from(self.model.tuning.capacity_error).saturating_mul(1_000));
        covariance.kk = covariance.kk.saturating_add(variance(AGEING)).min(most);
    }
}
