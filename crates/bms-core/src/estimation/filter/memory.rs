//! What survives a reset, and what time without power does to it.

use super::{ModelEstimator, Phase};
use crate::estimation::math::{ONE, decay, narrow, ratio};
use crate::estimation::tracker::{deviation, variance};
use crate::estimation::{Estimator, Learned, UNKNOWN_LOSS, lost_while_off};
use crate::snapshot::Snapshot;

impl ModelEstimator {
    pub(super) fn to_keep(&self) -> Learned {
        let states = &self.tracker.states;
        let offset =
            self.ledger.capacity().as_milliamp_hours().saturating_mul(states.offset >> 6).saturating_mul(1_000) >> 24;
        Learned {
            // Without what a table gets wrong: that is added again after the reset.
            soc_sigma_millionths: if self.phase == Phase::New {
                0
            } else {
                deviation(self.spread).clamp(2_000, 500_000)
            },
            shown_permille: self.state_of_charge_permille().unwrap_or(0),
            resistance_permille: self.state_of_health().map_or(0, |health| health.resistance_permille),
            current_offset_microamps: narrow(offset),
            capacity_sigma_permille: (deviation(self.tracker.covariance.kk) / 1_000).clamp(1, 1_000) as u16,
            hysteresis_permille: narrow(self.branch.saturating_mul(1_000) >> 30) as i16,
            ..Learned::default()
        }
    }
    pub(super) fn take_up(&mut self, snapshot: &Snapshot) {
        self.ledger.restore(snapshot);
        let learned = &snapshot.learned;
        let Some(remaining) = self.ledger.remaining() else { return };
        self.tracker.states.charge = self.part(remaining);
        // A snapshot without a sigma comes from a plain counter.
        let sigma = if learned.soc_sigma_millionths == 0 { 100_000 } else { learned.soc_sigma_millionths };
        self.spread = variance(i64::from(sigma.min(500_000)));
        self.branch = ratio(i64::from(learned.hysteresis_permille.clamp(-1_000, 1_000)) << 30, 1_000);
        if learned.resistance_permille > 0 {
            let above = i64::from(learned.resistance_permille).saturating_sub(1_000);
            self.tracker.states.resistance = ratio(above << 30, 1_000).clamp(-ONE / 2, ONE);
        }
        let capacity = self.ledger.capacity().as_milliamp_hours();
        let offset =
            ratio((i64::from(learned.current_offset_microamps) << 24).checked_div(1_000).unwrap_or(0), capacity) << 6;
        let most = variance(i64::from(self.tuning().offset_error));
        if learned.current_offset_microamps != 0 {
            self.tracker.states.offset = offset.clamp(-ONE / 50, ONE / 50);
            self.tracker.covariance.oo = most / 4;
        }
        if learned.soc_sigma_millionths > 0 {
            self.display.restore(learned.shown_permille, self.charge());
        }
        if learned.capacity_sigma_permille > 0 {
            let most = self.tuning().capacity_error;
            let sigma = learned.capacity_sigma_permille.min(most);
            self.tracker.covariance.kk = variance(i64::from(sigma).saturating_mul(1_000));
        }
        self.phase = Phase::Restored;
    }
    /// The expected loss is taken off, and is uncertain by as much; what flowed before has faded from the lags, so that the
    /// first voltage is one at rest and weighs as such against the stored confidence.
    pub(super) fn stood(&mut self, seconds: Option<u32>) {
        if self.phase != Phase::Restored {
            return;
        }
        let before = self.charge();
        self.ledger.was_off(seconds);
        if let Some(remaining) = self.ledger.remaining() {
            self.tracker.states.charge = self.part(remaining);
        }
        self.display.corrected(self.charge().saturating_sub(before));
        let lost = seconds.map_or(UNKNOWN_LOSS, lost_while_off);
        self.spread = self.spread.saturating_add(variance(i64::from(lost))).min(variance(500_000));
        let Some(seconds) = seconds else { return };
        for (past, lag) in self.past.iter_mut().zip(self.model.lag_seconds) {
            *past = decay(ratio(i64::from(seconds) << 30, i64::from(lag)));
        }
    }
}
