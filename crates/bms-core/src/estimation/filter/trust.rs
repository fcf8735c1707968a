//! How far the voltage can be trusted: what of the model differs from the cell, and for how long.

use super::{ModelEstimator, Observation};
use crate::estimation::math::{ONE, decay, narrow, ratio, scaled};
use crate::estimation::model::{Tuning, between_knots};
use crate::estimation::tracker::{deviation, variance};

/// How much capacity a cell of unknown age may have lost, one sigma, in millionths: it is replaced at a fifth.
const AGED: i64 = 100_000;

impl ModelEstimator {
    pub(super) fn tuning(&self) -> &'static Tuning {
        self.model.tuning
    }

    /// Stationary variance of the slow voltage error at a state of charge, one = 2^40, without the table's own error.
    pub(super) fn slow_error(&self, soc: i32, seen: &Observation) -> i64 {
        let tuning = self.tuning();
        let magnitudes = seen.currents.map(i32::saturating_abs);
        let load = between_knots(&self.model, &self.resistances.polarisation(&magnitudes), soc);
        let fixed = self.colder(i64::from(tuning.voltage_error));
        let relative = i64::from(load).saturating_mul(i64::from(tuning.polarisation_error)) / 1_000;
        let branch = scaled(i64::from(self.model.half_width(soc)), self.branch_unknown, 30);
        let mut sum = variance(fixed).saturating_add(variance(relative)).saturating_add(variance(branch));
        if self.under_load {
            let rate = (i32::from(tuning.history_unknown) << 16) / 1_000;
            let slowest = between_knots(&self.model, &self.resistances.polarisation(&[0, 0, 0, rate]), soc);
            let [_, _, past] = self.past;
            sum = sum.saturating_add(variance(scaled(i64::from(slowest), past, 30)));
        }
        sum
    }
    /// The standard deviation that is published, in millionths: what the filter believes, and what a table of another cell
    /// gets wrong in a way that the filter cannot see. That part is there after a sixteenth of the capacity has moved.
    pub(super) fn sigma(&self) -> u32 {
        let part = self.unanchored.saturating_mul(16).min(ONE);
        let systematic = scaled(i64::from(self.tuning().systematic_error), part, 30);
        deviation(self.spread.saturating_add(variance(systematic))).clamp(2_000, 500_000)
    }
    /// The standard deviation of the capacity that is published, in thousandths: what the filter believes, and how far a cell
    /// that has aged would still be pulled to where it began. The filter takes a capacity for better known than cells stay,
    /// so as not to spoil a good one; as much of that as is left in its variance still pulls.
    pub(super) fn capacity_sigma(&self) -> u16 {
        let believed = self.tracker.covariance.kk;
        let begin = variance(i64::from(self.tuning().capacity_error).saturating_mul(1_000));
        // Before the first look nothing is learned.
        let left =
            if believed == 0 { ONE } else { ratio(believed.saturating_mul(1 << 20), begin).clamp(0, 1 << 20) << 10 };
        let pull = scaled(AGED, left, 30);
        (deviation(believed.saturating_add(variance(pull))) / 1_000).clamp(1, 1_000) as u16
    }
    /// Grows in the cold.
    pub(super) fn colder(&self, error: i64) -> i64 {
        let below = i64::from(250_i32.saturating_sub(self.temperature.as_tenths()).clamp(0, 700));
        let growth = i64::from(self.tuning().cold_growth).saturating_mul(below);
        error.saturating_add(error.saturating_mul(growth) / 25_000)
    }

    /// Hysteresis and temperature shift at a state of charge, in µV.
    pub(super) fn shift(&self, soc: i32) -> i32 {
        let branch = scaled(i64::from(self.model.half_width(soc)), self.branch, 30);
        narrow(branch).saturating_add(self.model.thermal(soc, self.temperature))
    }
    /// How much of the slow voltage error stays over a window.
    pub(super) fn keep(&self, seen: &Observation) -> i64 {
        let tuning = self.tuning();
        let by_time = ratio(i64::from(seen.length) << 30, i64::from(tuning.error_seconds).saturating_mul(1_000));
        let by_charge =
            ratio(seen.moved.saturating_abs().saturating_mul(1_000_000), i64::from(tuning.error_throughput));
        decay(by_time.saturating_add(by_charge))
    }
}
