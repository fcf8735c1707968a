//! From steps to observations: every 5 s of known current the means of current, voltage and temperature.

use super::{ModelEstimator, Phase};
use crate::config::ParameterId as P;
use crate::estimation::math::{ONE, decay, narrow, ratio, scaled};
use crate::estimation::model::PATHS;
use crate::estimation::{Estimator, Evidence};
use crate::units::Charge;

/// Length of a window, in ms of known current.
const WINDOW: u32 = 5_000;
/// A current above this part of the capacity per hour at the start means that load went before; one = 2^16.
const UNDER_LOAD: i32 = 1_311;
/// Thousandths of the capacity per hour that cannot be a sensor's offset.
const STUCK: i64 = 20;

/// Sums of one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub moved: Charge,
    pub length: u32,
    /// µV·ms and ms of the average cell.
    pub voltage: i64,
    pub weight: u32,
    /// Time since the last voltage, in ms.
    pub since: u32,
    /// µV·ms and ms of one cell above the average one.
    pub cell: i64,
    pub cell_weight: u32,
}

impl Window {
    pub(super) const NEW: Self =
        Self { moved: Charge::ZERO, length: 0, voltage: 0, weight: 0, since: 0, cell: 0, cell_weight: 0 };
}

/// One window, normalised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    /// Mean current and mean lagged currents as C-rates of the model's capacity; one = 2^16.
    pub currents: [i32; PATHS],
    /// Charge moved as a part of the capacity, one = 2^30.
    pub moved: i64,
    pub hours: i64,
    pub length: u32,
    /// Mean voltage in µV, if there was one.
    pub voltage: Option<i32>,
    /// Measured mean current as a C-rate of the capacity; one = 2^30.
    pub measured: i64,
    pub resting: bool,
}

pub(super) const NOTHING: Observation =
    Observation { currents: [0; PATHS], moved: 0, hours: 0, length: 0, voltage: None, measured: 0, resting: false };

impl ModelEstimator {
    /// A charge as a part of the capacity, one = 2^30.
    pub(super) fn part(&self, charge: Charge) -> i64 {
        // Twelve bits off both: the capacity of 0.1 Ah still has 88 000 steps, and 9 000 Ah do not overflow.
        ratio(charge.as_milliamp_millis() << 18, self.ledger.capacity().as_milliamp_millis() >> 12)
    }
    /// A current as a C-rate of a capacity, with one = 2^`bits`.
    pub(super) fn rate(charge: Charge, length: u32, capacity: Charge, bits: u32) -> i64 {
        let milliamps = ratio(charge.as_milliamp_millis() << 10, i64::from(length));
        ratio(milliamps << (bits.saturating_sub(10)), capacity.as_milliamp_hours())
    }

    /// Adds a step to the window; the finished window, if it is long enough.
    pub(super) fn gather(&mut self, evidence: &Evidence<'_>) -> Option<Window> {
        let interval = &evidence.interval;
        let window = &mut self.window;
        if interval.known > 0 {
            window.moved = window.moved.plus(Charge::moved(interval.current, interval.known));
            window.length = window.length.saturating_add(interval.known);
        }
        window.since = window.since.saturating_add(evidence.elapsed).min(WINDOW);
        if evidence.quiet
            && let Some(cells) = &evidence.cells
            && let Some(average) = cells.average()
        {
            let weight = window.since.max(1);
            window.voltage =
                window.voltage.saturating_add(i64::from(average.as_microvolts()).wrapping_mul(i64::from(weight)));
            window.weight = window.weight.saturating_add(weight);
            if let Some(cell) = cells.voltage(usize::from(self.differences.cell)) {
                let above = i64::from(cell.minus(average).as_microvolts());
                window.cell = window.cell.saturating_add(above.wrapping_mul(i64::from(weight)));
                window.cell_weight = window.cell_weight.saturating_add(weight);
            }
            window.since = 0;
        }
        if let Some(temperature) = evidence.temperature {
            self.temperature = temperature;
        }
        let first = matches!(self.phase, Phase::New | Phase::Restored) && window.weight > 0 && window.length > 0;
        if window.length < WINDOW && !first {
            return None;
        }
        let finished = *window;
        *window = Window { since: finished.since, ..Window::NEW };
        Some(finished)
    }

    /// A window as an observation; moves lags and hysteresis on.
    pub(super) fn observe(&mut self, window: &Window, evidence: &Evidence<'_>) -> Observation {
        let capacity = self.ledger.capacity();
        let reference = self.model.capacity.unwrap_or(capacity);
        let length = window.length;
        let hours = ratio(i64::from(length) << 30, 3_600_000);
        let measured = Self::rate(window.moved, length, capacity, 30);
        let offset = self.tracker.states.offset;
        let moved = self.part(window.moved).saturating_sub(scaled(offset, hours, 30));
        // The polarisation follows the true current of the cell that the table belongs to.
        let own = Self::rate(window.moved, length, reference, 24);
        let own_offset = ratio(offset.saturating_mul(capacity.as_milliamp_hours()), reference.as_milliamp_hours()) >> 6;
        let current = own.saturating_sub(own_offset);
        if matches!(self.phase, Phase::New | Phase::Restored) {
            self.under_load = narrow(current >> 8).saturating_abs() > UNDER_LOAD;
        }
        let mut currents = [narrow(current >> 8); PATHS];
        let paths = currents.iter_mut().skip(1);
        let lags = self.lagged.iter_mut().zip(&mut self.past).zip(self.model.lag_seconds);
        for (mean, ((lagged, past), seconds)) in paths.zip(lags) {
            let keep = decay(ratio(i64::from(length) << 30, i64::from(seconds).saturating_mul(1_000)));
            let before = *lagged;
            *lagged = current.saturating_add(scaled(before.saturating_sub(current), keep, 30));
            *past = scaled(*past, keep, 30);
            let mut middle = before.saturating_add(*lagged) / 2;
            if self.under_load {
                // Nobody knows what flowed before: most likely the same as since.
                middle = ratio(middle << 30, ONE.saturating_sub(*past).max(ONE / 1_024));
            }
            *mean = narrow(middle >> 8);
        }
        let window_current = Self::rate(window.moved, length, capacity, 16).saturating_mul(1_000) >> 16;
        let limit = i64::from(evidence.config.get(P::ZeroCurrentWindow));
        // With both switches open any current is the sensor's, unless it is so large that a switch must be stuck.
        let limit = if evidence.disconnected { limit.max(STUCK) } else { limit };
        let resting = window_current.saturating_abs() < limit;
        if self.model.hysteresis_rate > 0 && !resting {
            let keep = decay(moved.saturating_abs().saturating_mul(i64::from(self.model.hysteresis_rate)));
            let goal = if moved < 0 { ONE.saturating_neg() } else { ONE };
            self.branch = goal.saturating_add(scaled(self.branch.saturating_sub(goal), keep, 30));
            self.branch_unknown = scaled(self.branch_unknown, keep, 30);
        }
        self.resistances.follow(&self.model, self.temperature);
        let voltage = (window.weight > 0).then(|| narrow(ratio(window.voltage, i64::from(window.weight))));
        Observation { currents, moved, hours, length, voltage, measured, resting }
    }
}
