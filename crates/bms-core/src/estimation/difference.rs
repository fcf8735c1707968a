//! How far each cell's state of charge lies from the pack's: one filter for the pack, four bytes a cell.
//!
//! A cell's voltage above the average one, divided by the slope of the open-circuit voltage. What spoils it (the channel's own
//! error, another resistance, a slope that is not known well) is the same again and again and does not average out: so the best
//! look so far is held, and what may have changed since then widens it. On a plateau no look is good enough, and nothing is said.

use super::math::{narrow as narrow32, ratio};
use crate::balancing::{Phase, Plan};
use crate::measurement::MAXIMUM_CELLS;
use crate::units::{Charge, Current};

/// The format of differences: one, as a shift.
pub(super) const WHOLE: u32 = 14;
/// A step of a standard deviation, as a shift of that format: 2^-10 of the capacity.
const STEP: u32 = 4;
/// Nothing is known of the cell.
const UNKNOWN: u8 = u8::MAX;
/// A look that is worse than this tells nothing: a twentieth of the capacity, in steps.
const WORST: u32 = 51;
/// What another capacity may make of a change of the pack's state of charge: a thirty-second of it.
const OTHER_CAPACITY: u32 = 32;
/// Cells that leak differently drift apart by a step in this time, in ms (1.5 % a month).
const LEAK: u32 = 48 * 3_600_000;
/// What the balancer moved is known to an eighth: a step of doubt for this much of it.
const BOOKED: u32 = 8 << STEP;

/// A cell's state of charge less the pack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CellDifference {
    /// In millionths of the capacity; positive: fuller than the average cell.
    pub millionths: i32,
    /// Its standard deviation in millionths: the true difference lies within two of them in at least 95 % of the time.
    pub sigma_millionths: u32,
}

/// What is held of one cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    difference: i16,
    sigma: u8,
    /// The pack's state of charge then, in 256ths.
    at: u8,
}

impl Held {
    const NOTHING: Self = Self { difference: 0, sigma: UNKNOWN, at: 0 };

    /// Its standard deviation in steps, now that the pack's state of charge is another one.
    fn worth(&self, at: u8) -> Option<u32> {
        // A 256th is four steps.
        let moved = u32::from(self.at.abs_diff(at)).wrapping_mul(4);
        (self.sigma != UNKNOWN).then(|| u32::from(self.sigma).wrapping_add(moved.div_ceil(OTHER_CAPACITY)))
    }
    /// A look at the cell: what it says, and its standard deviation in steps.
    fn take(&mut self, told: i32, sigma: u32, at: u8) {
        if sigma > WORST {
            return;
        }
        let before = i32::from(self.difference);
        let (difference, sigma) = match self.worth(at) {
            // Another look of the same kind: the noise averages out, the rest stays.
            Some(held) if held < sigma.saturating_mul(2) => {
                let apart = told.saturating_sub(before);
                let contradicts = apart.unsigned_abs() >> STEP > held.saturating_add(sigma).saturating_mul(3);
                if held < sigma && !contradicts {
                    return;
                }
                if contradicts { (told, sigma) } else { (before.saturating_add(apart / 4), held.max(sigma)) }
            }
            _ => (told, sigma),
        };
        *self = Self { difference: narrow(difference), sigma: sigma.clamp(1, 254) as u8, at };
    }
    fn widen(&mut self) {
        if self.sigma < UNKNOWN {
            // Beyond the largest it is unknown.
            self.sigma = self.sigma.saturating_add(1);
        }
    }
}

fn narrow(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// All cells of a pack, as a display or a strategy sees them.
#[derive(Clone, Copy, Debug)]
pub struct CellDifferences<'a> {
    cells: &'a [Held],
    at: u8,
}

impl CellDifferences<'_> {
    /// Nothing is known of any cell.
    pub const NONE: CellDifferences<'static> = CellDifferences { cells: &[], at: 0 };

    /// A cell's difference; index 0 is cell 1. `None` while nothing is known: its voltage was not seen on a slope yet.
    #[must_use]
    pub fn get(&self, cell: usize) -> Option<CellDifference> {
        let held = self.cells.get(cell)?;
        let sigma = held.worth(self.at)?;
        Some(CellDifference {
            // 10^6 / 2^14 = 15 625 / 2^8, 10^6 / 2^10 = 15 625 / 2^4.
            millionths: i32::from(held.difference).wrapping_mul(15_625) >> 8,
            sigma_millionths: sigma.wrapping_mul(15_625) >> 4,
        })
    }
}

/// One look at a cell; widths in the format of differences, voltages in µV.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// The cell's voltage above the average one.
    pub above: i32,
    /// The part of it that its difference so far explains, against a cell that stands where the pack does.
    pub explained: i32,
    /// What spoils it, one sigma.
    pub error: i32,
    /// Width and rise of the curve below and above the cell, as far as it is uncertain where the cell stands.
    pub sides: [(i32, i32); 2],
}

impl Look {
    /// The difference that it tells, and its standard deviation; `before` is what was believed, `average` what the differences of
    /// all cells explain on average.
    fn told(&self, before: i32, average: i32) -> Option<(i32, u32)> {
        let [(w0, r0), (w1, r1)] = self.sides;
        let (width, rise) = (w0.saturating_add(w1), r0.saturating_add(r1));
        let product = |a: i32, b: i32| i64::from(a).wrapping_mul(i64::from(b));
        // At an end of the curve there is only one side.
        let below = w1 == 0 || (w0 != 0 && product(r0, w1) < product(r1, w0));
        let (flat_width, flat_rise) = if below { (w0, r0) } else { (w1, r1) };
        if flat_rise <= 0 || rise <= 0 {
            return None;
        }
        // 100 mV × 2^14 is within 31 bits.
        let unexplained = self.above.saturating_sub(self.explained.saturating_sub(average));
        let change = unexplained.clamp(-100_000, 100_000).saturating_mul(width).checked_div(rise)?;
        let told = before.saturating_add(change);
        // What 100 mV are, by the mean slope and by the flatter side's.
        let mean = 100_000_i32.saturating_mul(width).checked_div(rise)?.max(1);
        let flat = 100_000_i32.saturating_mul(flat_width).checked_div(flat_rise)?;
        if flat > 1 << 16 {
            return None;
        }
        let spoilt = self.error.clamp(0, 20_000).saturating_mul(flat) / 100_000;
        // The slope may be wrong by an eighth, and where the curve bends by half of what the sides differ.
        let size = told.saturating_abs();
        let bent = size.saturating_mul(flat.saturating_sub(mean).max(0) / 2).checked_div(mean)?;
        Some((told, spoilt.saturating_add(bent).saturating_add(size / 8).unsigned_abs()))
    }
}

/// What is known of all cells.
#[derive(Clone, Debug)]
pub(super) struct Differences {
    cells: [Held; MAXIMUM_CELLS],
    /// The pack's state of charge, in 256ths.
    at: u8,
    /// The cell that is looked at in this window.
    pub cell: u8,
    /// What the differences explain on average, in µV: where the curve bends, the average voltage is not that of the average
    /// cell. And the sum of it in this round.
    average: i32,
    sum: i32,
    /// Time since the last step for leaking cells, ms.
    since: u32,
    /// The cells that give to the balancer and those that receive, and how much since it was booked last.
    balancing: (u32, u32),
    moved: Charge,
    /// Booked since the last step of doubt.
    booked: u32,
}

impl Differences {
    pub(super) const fn new() -> Self {
        Self {
            cells: [Held::NOTHING; MAXIMUM_CELLS],
            at: 0,
            cell: 0,
            average: 0,
            sum: 0,
            since: 0,
            balancing: (0, 0),
            moved: Charge::ZERO,
            booked: 0,
        }
    }
    pub(super) fn view(&self) -> CellDifferences<'_> {
        CellDifferences { cells: &self.cells, at: self.at }
    }
    /// The difference of the cell that is looked at, as far as it is known.
    pub(super) fn present(&self) -> i32 {
        let held = self.cells.get(usize::from(self.cell));
        held.filter(|held| held.sigma != UNKNOWN).map_or(0, |held| i32::from(held.difference))
    }
    /// A window has passed: the next cell's turn, of `count`.
    pub(super) fn pass(&mut self, count: u8, length: u32, at: u8) {
        self.at = at;
        self.cell = self.cell.wrapping_add(1);
        if self.cell >= count {
            self.cell = 0;
            self.average = self.sum.checked_div(i32::from(count)).unwrap_or(0);
            self.sum = 0;
            self.centre(count);
        }
        self.since = self.since.saturating_add(length);
        if self.since >= LEAK {
            self.since = 0;
            self.cells.iter_mut().for_each(Held::widen);
        }
    }
    /// Only differences mean anything: once all are known, their mean is zero.
    fn centre(&mut self, count: u8) {
        let Some(cells) = self.cells.get_mut(..usize::from(count)) else { return };
        if cells.iter().any(|held| held.sigma == UNKNOWN) {
            return;
        }
        let sum = cells.iter().fold(0_i32, |sum, held| sum.saturating_add(i32::from(held.difference)));
        let mean = sum.checked_div(i32::from(count)).unwrap_or(0);
        for held in cells {
            held.difference = narrow(i32::from(held.difference).saturating_sub(mean));
        }
    }
    /// Takes a look at the cell whose turn it is.
    pub(super) fn look(&mut self, look: &Look, at: u8) {
        self.at = at;
        self.sum = self.sum.saturating_add(look.explained);
        let Some((told, sigma)) = look.told(self.present(), self.average) else { return };
        let steps = sigma.saturating_add((1 << STEP) - 1) >> STEP;
        if let Some(held) = self.cells.get_mut(usize::from(self.cell)) {
            held.take(told, steps.max(1), at);
        }
    }
    /// What the balancer did since the last step. It is booked when a thousandth of the capacity has moved, or when the
    /// balancer turns to other cells.
    pub(super) fn balanced(&mut self, plan: &Plan, current: Current, elapsed: u32, capacity: Charge) {
        let cells = match *plan {
            Plan::Idle => (0, 0),
            Plan::Transfer { source, phase: Phase::Take, .. } => (bit(source), 0),
            Plan::Transfer { destination, phase: Phase::Give, .. } => (0, bit(destination)),
            Plan::Bleed { mask, .. } => (mask, 0),
            Plan::Shuttle { source, destination, .. } => (bit(source), bit(destination)),
        };
        let thousandth = capacity.as_milliamp_millis() >> 10;
        if cells != self.balancing || self.moved.as_milliamp_millis() >= thousandth {
            self.book(capacity);
            self.balancing = cells;
        }
        if cells != (0, 0) {
            self.moved = self.moved.plus(Charge::moved(current, elapsed));
        }
    }
    /// Books what was moved at the cells that gave and at those that received.
    fn book(&mut self, capacity: Charge) {
        let moved = core::mem::replace(&mut self.moved, Charge::ZERO).as_milliamp_millis();
        if moved <= 0 {
            return;
        }
        let capacity = capacity.as_milliamp_millis();
        // A day at 2 000 A is within 2^48, and rounded to nearest, or short phases would lose some.
        let parts = ratio(moved.min(1 << 48).wrapping_shl(WHOLE).saturating_add(capacity / 2), capacity);
        let parts = narrow32(parts.min(i64::from(i16::MAX)));
        self.booked = self.booked.saturating_add(parts.unsigned_abs());
        let doubt = self.booked >= BOOKED;
        if doubt {
            self.booked = 0;
        }
        let (mut giving, mut taking) = self.balancing;
        for held in &mut self.cells {
            let change = if giving & 1 == 1 { parts.saturating_neg() } else { 0 };
            let change = change.saturating_add(if taking & 1 == 1 { parts } else { 0 });
            held.difference = narrow(i32::from(held.difference).saturating_add(change));
            if doubt && change != 0 {
                held.widen();
            }
            (giving, taking) = (giving >> 1, taking >> 1);
        }
    }
}

fn bit(cell: u8) -> u32 {
    1_u32.wrapping_shl(u32::from(cell))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test")]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::units::{ah, ma};

    fn look(above: i32, rises: [i32; 2]) -> Look {
        Look { above, explained: 0, error: 2_000, sides: rises.map(|rise| (1 << 9, rise)) }
    }

    #[test]
    fn a_slope_tells_and_a_plateau_does_not() {
        // 1/32 to each side rises by 31 mV: 1 V for the whole charge.
        let (told, sigma) = look(10_000, [31_250, 31_250]).told(0, 0).expect("a slope");
        assert_eq!((told, sigma), (163, 32 + 163 / 8), "10 mV and 2 mV of 1 V, in 2^-14");
        // The flatter side says how sure it is.
        let (_, sigma) = look(10_000, [5_000, 57_500]).told(0, 0).expect("a slope");
        assert!(sigma > 204 + 163 / 8, "{sigma}");
        assert!(look(10_000, [0, 100]).told(0, 0).is_none(), "a plateau");
        let mut all = Differences::new();
        all.look(&look(10_000, [500, 500]), 128);
        assert!(all.view().get(0).is_none(), "too flat: nothing is known");
        all.look(&look(10_000, [31_250, 31_250]), 128);
        let known = all.view().get(0).expect("known");
        assert_eq!(known.millionths, 163 * 15_625 / 256);
        assert!((2_000..6_000).contains(&known.sigma_millionths), "{known:?}");
        assert!(all.view().get(1).is_none() && all.view().get(99).is_none());
    }

    #[test]
    fn the_best_look_is_held_and_widens_as_charge_moves() {
        let mut all = Differences::new();
        all.look(&look(10_000, [31_250, 31_250]), 255);
        let known = all.view().get(0);
        all.look(&look(5_000, [4_000, 4_000]), 255);
        all.at = 255;
        let now = all.view().get(0).expect("known");
        assert_eq!(Some(now.millionths), known.map(|known| known.millionths), "a worse look changes nothing");
        all.at = 0;
        let later = all.view().get(0).expect("known");
        assert!(later.sigma_millionths > now.sigma_millionths + 25_000, "a thirty-second of the capacity");
        // A look that cannot be is believed: the cell was exchanged.
        all.look(&look(-90_000, [15_000, 15_000]), 255);
        assert!(all.view().get(0).expect("known").millionths < -50_000);
    }

    #[test]
    fn what_the_balancer_moves_is_booked() {
        let mut all = Differences::new();
        for cell in 0..2 {
            all.cell = cell;
            all.look(&look(0, [31_250, 31_250]), 128);
        }
        let phase =
            |phase| Plan::Transfer { source: 0, destination: 1, phase, current: ma(2_000), until: Instant::ZERO };
        for _ in 0..360 {
            for taking in [Phase::Take, Phase::Give] {
                for _ in 0..100 {
                    all.balanced(&phase(taking), ma(2_000), 100, ah(100));
                }
            }
        }
        all.balanced(&Plan::Idle, ma(0), 100, ah(100));
        // 2 A for an hour of each: 2 % of 100 Ah.
        let [from, to] = [0, 1].map(|cell| all.view().get(cell).expect("known").millionths);
        assert!((from + 20_000).abs() < 2_000 && (to - 20_000).abs() < 2_000, "{from} {to}");
    }
}
