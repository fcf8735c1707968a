//! What the voltage tells: by the tracker while the state of charge is roughly known, by the bank while it is not.

use super::{ModelEstimator, Observation, Phase};
use crate::estimation::bank::{COUNT, POINTS, Pass, SPACING, STEEPEST};
use crate::estimation::math::{ONE, bounded, from_millionths, logarithm, narrow, ratio, scaled};
use crate::estimation::model::between_knots;
use crate::estimation::tracker::{Seen, deviation, variance};

/// Unexplained voltage for this long, in ms, starts the hypotheses anew.
const UNEXPLAINED: u32 = 120_000;
/// Nine, with one = 2^16: three sigmas squared.
const THREE_SIGMAS: i64 = 9 << 16;
/// The distance of a pass's prepared points; one = 2^30. Rounded up, so that the last one is full.
const FIVE_PERCENT: i32 = ((1 << 30) + 19) / 20;
/// How finely the bank can tell, in millionths: its spacing over √12.
const GRID: i64 = 5_774;

impl ModelEstimator {
    /// The first observation: where to begin.
    pub(super) fn begin(&mut self, seen: &Observation) {
        let tuning = self.tuning();
        let covariance = &mut self.tracker.covariance;
        if covariance.kk == 0 {
            covariance.kk = variance(i64::from(tuning.capacity_error).saturating_mul(1_000));
        }
        covariance.rr = variance(i64::from(tuning.resistance_error).saturating_mul(1_000));
        if covariance.oo == 0 {
            covariance.oo = variance(i64::from(tuning.offset_error));
        }
        self.branch_unknown = ratio(i64::from(tuning.hysteresis_unknown) << 30, 1_000);
        let charge = self.charge();
        let bias = self.slow_error(narrow(charge.clamp(0, ONE)), seen);
        let sigma = if self.phase == Phase::New { i64::MAX } else { i64::from(deviation(self.spread)) };
        if sigma > i64::from(tuning.bank_above) {
            let sigma = if sigma == i64::MAX {
                ONE.saturating_mul(8)
            } else {
                i64::from(from_millionths(deviation(self.spread)))
            };
            self.search(charge, sigma, bias);
        } else {
            let spread = self.spread;
            self.tracker.restart(charge, spread, bias);
            self.phase = Phase::Tracker;
        }
    }
    /// Compares hypotheses around a state of charge.
    pub(super) fn search(&mut self, charge: i64, sigma: i64, bias: i64) {
        let resistance = self.tracker.states.resistance;
        self.bank.restart(charge, sigma, bias, resistance, self.tracker.covariance.rr);
        self.counted = 0;
        self.unexplained = 0;
        self.phase = Phase::Bank;
    }

    pub(super) fn track(&mut self, seen: &Observation) {
        let tuning = self.tuning();
        let model = self.model;
        let middle = self.charge().saturating_add(seen.moved / 2);
        let soc = narrow(middle.clamp(0, ONE));
        // Across the uncertainty, but not so narrow that a point of the table decides.
        let sigma = i64::from(from_millionths(deviation(self.tracker.covariance.cc).clamp(4_000, 150_000)));
        let above = narrow(i64::from(soc).saturating_add(sigma).min(ONE));
        let below = narrow(i64::from(soc).saturating_sub(sigma).max(0));
        let open = |soc: i32| {
            let branch = scaled(i64::from(model.half_width(soc)), self.branch, 30);
            i64::from(model.middle(soc)).saturating_add(branch)
        };
        let (low, centre, high) = (open(below), open(soc), open(above));
        let width = i64::from(above).saturating_sub(i64::from(below));
        let slope = ratio(high.saturating_sub(low) << 30, width).clamp(10_000, 16_000_000);
        let mean = centre.saturating_mul(2).saturating_add(low).saturating_add(high) / 4;
        let curved = mean.saturating_sub(centre);
        let table = (slope.saturating_mul(i64::from(tuning.table_error)) / 1_000_000).min(STEEPEST);
        let bias = self.slow_error(soc, seen).saturating_add(variance(table));
        self.tracker.predict(seen.moved, seen.hours, self.keep(seen), bias, tuning);
        let Some(voltage) = seen.voltage else { return };
        let polarisation = i64::from(between_knots(&model, &self.resistances.polarisation(&seen.currents), soc));
        let resistance = self.tracker.states.resistance;
        self.load = narrow(polarisation.saturating_add(scaled(polarisation, resistance, 30))).saturating_abs();
        let expected = mean
            .saturating_add(i64::from(model.thermal(soc, self.temperature)))
            .saturating_add(polarisation)
            .saturating_add(scaled(polarisation, resistance, 30));
        let square = self.tracker.correct(
            &Seen {
                innovation: scaled(i64::from(voltage).saturating_sub(expected), 68_719, 16),
                slope: scaled(slope, 4_295, 20),
                polarisation: scaled(polarisation, 68_719, 16),
                noise: variance(self.colder(i64::from(tuning.noise))).saturating_add(variance(curved)),
            },
            tuning,
        );
        if square > THREE_SIGMAS {
            self.unexplained = self.unexplained.saturating_add(seen.length);
        } else {
            self.unexplained = self.unexplained.saturating_sub(self.unexplained / 5);
        }
        if self.unexplained >= UNEXPLAINED {
            let charge = self.charge();
            self.search(charge, i64::from(from_millionths(150_000)), bias);
        }
    }

    /// Gives the bank a window; what it has not finished of the one before, it finishes first.
    pub(super) fn compare(&mut self, seen: &Observation) {
        self.counted = self.counted.saturating_add(seen.moved);
        self.tracker.states.charge = self.charge().saturating_add(seen.moved);
        let Some(voltage) = seen.voltage else { return };
        if self.bank.busy() {
            self.search_on(COUNT);
        }
        if self.phase != Phase::Bank {
            return;
        }
        let tuning = self.tuning();
        let counted = self.counted.saturating_sub(seen.moved / 2);
        let best = narrow(self.bank.best().saturating_add(counted).clamp(0, ONE));
        let knots = self.resistances.polarisation(&seen.currents);
        let (mut polarisation, mut shift) = ([0; POINTS], [0; POINTS]);
        let mut soc = 0_i32;
        for (polarised, shifted) in polarisation.iter_mut().zip(&mut shift) {
            *polarised = between_knots(&self.model, &knots, soc);
            *shifted = self.shift(soc);
            soc = soc.saturating_add(FIVE_PERCENT).min(1 << 30);
        }
        let pass = Pass {
            voltage,
            counted,
            polarisation,
            shift,
            keep: self.keep(seen),
            bias: self.slow_error(best, seen),
            noise: variance(self.colder(i64::from(tuning.noise))),
            table_error: i64::from(tuning.table_error),
            outlier: i64::from(tuning.outlier),
            length: seen.length,
        };
        let there = scaled(i64::from(between_knots(&self.model, &knots, best)), 68_719, 16);
        let wander = scaled(variance(i64::from(tuning.resistance_error).saturating_mul(300)), seen.hours, 30);
        self.bank.begin(pass, there, wander);
        if self.spread == 0 {
            // The very first look is finished at once.
            self.search_on(COUNT);
        }
    }

    /// Goes on comparing; takes the result when there is one, and hands over when it is narrow.
    pub(super) fn search_on(&mut self, count: usize) {
        let Some(found) = self.bank.work(self.model.open_circuit, count) else { return };
        let tuning = self.tuning();
        self.bank.diffuse(60_000, price(tuning.bank_drift));
        let charge = found.offset.saturating_add(self.counted);
        let spread = found.variance.saturating_add(variance(GRID));
        self.tracker.states.charge = charge;
        self.spread = spread;
        let narrow_enough = i64::from(tuning.bank_above).saturating_mul(7) / 10;
        if i64::from(deviation(spread)) < narrow_enough {
            self.tracker.restart(charge, spread, found.bias_variance);
            self.tracker.states.bias = found.bias;
            self.tracker.states.resistance = found.resistance;
            // Rounding must not make the tie closer than the two are uncertain.
            let root = |variance: i64| (variance.max(0) as u64).isqrt() as i64;
            let limit = scaled(root(spread).saturating_mul(root(found.bias_variance)), 31, 5);
            self.tracker.covariance.cb = bounded(found.bias_tie, limit);
            self.tracker.covariance.rr = found.resistance_variance;
            self.phase = Phase::Tracker;
        }
    }
}

/// What a step to a neighbour costs, as a log-likelihood with one = 2^16: −ln(½ drift²/60/spacing²).
fn price(drift: u32) -> i32 {
    let spacing = ratio(SPACING.saturating_mul(1_000_000), ONE).max(1);
    let likely = ratio(
        i64::from(drift).saturating_mul(i64::from(drift)) << 16,
        spacing.saturating_mul(spacing).saturating_mul(120),
    );
    logarithm(likely).saturating_neg().clamp(0, 20 << 16)
}
