//! What the estimators know of a cell: const tables, and what they say at a temperature.

use super::math::{exp2, lookup, narrow, ratio, scaled};
use crate::config::Chemistry;
use crate::units::{Charge, Temperature, Voltage};

/// How many points over the state of charge the resistances have.
pub const KNOTS: usize = 11;
/// The current itself, and behind three lags.
pub const PATHS: usize = 4;
/// How the resistances change outside the table's temperatures, in kelvin.
const ACTIVATION: i64 = 2_800;

/// A cell, as the estimators see it. Plain tables: bring your own (docs/state-of-charge.md).
///
/// The voltage of a cell is `OCV(s) + entropic(s)·(T − 25 °C) ± hysteresis(s) + Σ resistance_k(s, T)·current_k`, with the
/// current itself and the current behind three lags of unit gain.
#[derive(Clone, Copy, Debug)]
pub struct CellModel {
    /// Open-circuit voltage in 0.1 mV, midway between charging and discharging, at equally spaced states of charge from 0
    /// to 100 %; any number of points, at least two, not falling.
    pub open_circuit: &'static [u16],
    /// Half the distance of the charging from the discharging branch, in 0.1 mV, equally spaced; empty: none.
    pub hysteresis: &'static [u16],
    /// How fast the branch changes: the inverse of the part of the capacity after which 63 % of the way is done.
    pub hysteresis_rate: u16,
    /// Change of the open-circuit voltage in µV/K, equally spaced; empty: none.
    pub entropic: &'static [i16],
    /// Temperatures of the resistances, in 0.1 °C, rising.
    pub temperatures: &'static [i16],
    /// States of charge of the resistances, in thousandths, rising from 0 to 1 000.
    pub soc_permille: &'static [u16; KNOTS],
    /// Resistances for one ampere-hour of [`CellModel::capacity`], as the binary logarithm of µΩ·Ah in 2 048ths; a row a
    /// temperature: at each state of charge the ohmic part and those behind the three lags.
    pub resistances: &'static [[[u16; PATHS]; KNOTS]],
    /// Time constants of the three lags, in s.
    pub lag_seconds: [u16; 3],
    /// The capacity that the resistances belong to: a larger cell has lower ones. `None`: the configured capacity, for
    /// tables that are typical of a chemistry.
    pub capacity: Option<Charge>,
    /// How far the table can be trusted.
    pub tuning: &'static Tuning,
}

/// How far a model and a sensor can be trusted. The defaults are [`SLOPED`](super::SLOPED) and [`FLAT`](super::FLAT).
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Slow voltage error of model and sensor at 25 °C, in µV (one sigma, as all here).
    pub voltage_error: u32,
    /// Relative error of the polarisation, in thousandths, that behaves as a slow voltage error.
    pub polarisation_error: u16,
    /// Error of the table along the state of charge, in millionths.
    pub table_error: u32,
    /// What does not average out however long the voltage is looked at, in millionths of the state of charge: 0 for a model
    /// of the very cell. It widens the published confidence as charge moves away from the last anchor.
    pub systematic_error: u32,
    /// How much the voltage error grows for 25 K below 25 °C, in hundredths of itself.
    pub cold_growth: u16,
    /// How long the slow voltage error lasts, in s.
    pub error_seconds: u32,
    /// After which part of the capacity the slow voltage error is another one, in millionths.
    pub error_throughput: u32,
    /// Fast voltage error of one 5 s mean, in µV.
    pub noise: u32,
    /// Relative error of the resistances, in thousandths.
    pub resistance_error: u16,
    /// Relative error of the capacity, in thousandths.
    pub capacity_error: u16,
    /// Error of the current sensor at zero, in millionths of the capacity per hour.
    pub offset_error: u32,
    /// What a steady small current that is taken for the sensor's own error may really be, in the same unit.
    pub standby_current: u32,
    /// Random walk of the state of charge, in millionths per square root of an hour.
    pub drift: u32,
    /// Innovations beyond this many sigmas count less, in hundredths.
    pub outlier: u16,
    /// The hypotheses' own drift, in millionths per square root of an hour.
    pub bank_drift: u32,
    /// Above this uncertainty of the state of charge hypotheses are compared, in millionths.
    pub bank_above: u32,
    /// How far the branch of the hysteresis is unknown at a start, in thousandths.
    pub hysteresis_unknown: u16,
    /// The current that may have flowed before a start under load, in thousandths of the capacity per hour.
    pub history_unknown: u16,
    /// Uncertainty of the full anchor, in millionths.
    pub full_error: u32,
    /// How long the tail current would still have flowed, in s: what is missing at the full anchor.
    pub tail_seconds: u32,
}

/// The resistances at one temperature, in µΩ·Ah.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resistances {
    tenths: i16,
    rows: [[i32; PATHS]; KNOTS],
}

impl Resistances {
    pub(super) const fn new() -> Self {
        Self { tenths: i16::MAX, rows: [[0; PATHS]; KNOTS] }
    }
    /// Brings the rows to a temperature, if it is another one by 0.4 K or more.
    pub(super) fn follow(&mut self, model: &CellModel, temperature: Temperature) {
        let tenths = temperature.as_tenths().clamp(-400, 900) as i16;
        if tenths.abs_diff(self.tenths) < 4 {
            return;
        }
        self.tenths = tenths;
        let (below, above, part, shift) = position(model.temperatures, tenths);
        let (Some(low), Some(high)) = (model.resistances.get(below), model.resistances.get(above)) else { return };
        for ((row, low), high) in self.rows.iter_mut().zip(low).zip(high) {
            for ((value, low), high) in row.iter_mut().zip(low).zip(high) {
                let (low, high) = (i64::from(*low), i64::from(*high));
                let log = low.saturating_add(scaled(high.wrapping_sub(low), part, 16)).saturating_add(shift);
                *value = exp2(narrow(log));
            }
        }
    }
    /// The polarisation in µV at each knot, for currents in thousandths… see [`Self::at`].
    pub(super) fn polarisation(&self, currents: &[i32; PATHS]) -> [i32; KNOTS] {
        let mut out = [0; KNOTS];
        for (slot, row) in out.iter_mut().zip(&self.rows) {
            let mut sum = 0_i64;
            for (resistance, current) in row.iter().zip(currents) {
                sum = sum.saturating_add(scaled(i64::from(*resistance), i64::from(*current), 16));
            }
            *slot = narrow(sum);
        }
        out
    }
}

/// Where a temperature lies in the table: two rows, the part of the way in 65 536ths (in 1/T), and a shift of the
/// logarithm outside the table.
fn position(temperatures: &[i16], tenths: i16) -> (usize, usize, i64, i64) {
    let kelvin = |tenths: i16| i64::from(tenths).saturating_add(2_732);
    let last = temperatures.len().saturating_sub(1);
    let (Some(coldest), Some(warmest)) = (temperatures.first(), temperatures.last()) else { return (0, 0, 0, 0) };
    // log2(e) × 2 048 × 10 for temperatures in tenths of a kelvin.
    let outside = |edge: i16| {
        let difference = kelvin(edge).saturating_sub(kelvin(tenths));
        ratio(ACTIVATION.saturating_mul(29_546).saturating_mul(difference), kelvin(edge).saturating_mul(kelvin(tenths)))
    };
    if tenths <= *coldest {
        return (0, 0, 0, outside(*coldest));
    }
    if tenths >= *warmest {
        return (last, last, 0, outside(*warmest));
    }
    let above = temperatures.iter().position(|edge| *edge > tenths).unwrap_or(last);
    let below = above.saturating_sub(1);
    let (Some(t0), Some(t1)) = (temperatures.get(below), temperatures.get(above)) else { return (0, 0, 0, 0) };
    let (t0, t1, t) = (kelvin(*t0), kelvin(*t1), kelvin(tenths));
    let part = ratio(t.wrapping_sub(t0).saturating_mul(t1) << 16, t1.wrapping_sub(t0).saturating_mul(t));
    (below, above, part, 0)
}

/// A value between the knots.
pub(super) fn between_knots(model: &CellModel, values: &[i32; KNOTS], soc: i32) -> i32 {
    let permille = i64::from(soc.clamp(0, 1 << 30)).wrapping_mul(1_000);
    let mut knots = model.soc_permille.iter().zip(values);
    let Some((mut x0, mut y0)) = knots.next() else { return 0 };
    for (x1, y1) in knots {
        let end = i64::from(*x1) << 30;
        if permille <= end {
            // At most 1 000 × 2^16: a 32-bit division, a fifth of a 64-bit one on a small processor.
            let along = permille.wrapping_sub(i64::from(*x0) << 30).max(0) >> 14;
            let part = (along as u32).checked_div(u32::from(x1.saturating_sub(*x0))).unwrap_or(0);
            return y0.saturating_add(narrow(scaled(i64::from(y1.saturating_sub(*y0)), i64::from(part), 16)));
        }
        (x0, y0) = (x1, y1);
    }
    *y0
}

impl CellModel {
    /// A typical cell of a chemistry: a start. A model of your own cell is better, see docs/state-of-charge.md.
    #[must_use]
    pub const fn typical(chemistry: Chemistry) -> Self {
        match chemistry {
            Chemistry::LiIon => super::LI_ION,
            Chemistry::LiFePo4 => super::LIFEPO4,
            Chemistry::Lto => super::LTO,
        }
    }
    /// Open-circuit voltage in µV, on the middle of the branches, at a state of charge with one = 2^30.
    pub(super) fn middle(&self, soc: i32) -> i32 {
        lookup(self.open_circuit, soc).saturating_mul(100) >> 8
    }
    /// Half the distance between the branches, in µV.
    pub(super) fn half_width(&self, soc: i32) -> i32 {
        lookup(self.hysteresis, soc).saturating_mul(100) >> 8
    }
    /// Shift of the open-circuit voltage by temperature, in µV.
    pub(super) fn thermal(&self, soc: i32, temperature: Temperature) -> i32 {
        if self.entropic.is_empty() {
            return 0;
        }
        let difference = i64::from(temperature.as_tenths().clamp(-400, 900).wrapping_sub(250));
        narrow(i64::from(lookup(self.entropic, soc)).wrapping_mul(difference) / 2_560)
    }
    /// The open-circuit voltage in the middle of the branches at 25 °C, at a state of charge in millionths.
    #[must_use]
    pub fn open_circuit_voltage(&self, millionths: u32) -> Voltage {
        Voltage::from_microvolts(self.middle(super::math::from_millionths(millionths)))
    }
}
