//! Learning while charging: at which charge each cell passes a level of voltage where the curve is steep.
//!
//! Cells of one kind under one current follow the same curve; a cell that passes a level 1 Ah after another has 1 Ah
//! less. No table of the curve is needed: how much charge a cell takes from a little below the level to a little above
//! it tells how well the level tells cells apart.

use super::knowledge::{Knowledge, TICKS, narrow};
use crate::config::Chemistry;
use crate::measurement::{CellScan, bit, mask};
use crate::units::{Charge, Current};

/// Half the width of a level, in tenths of a millivolt: the accuracy of a reading (3 mV, P05) and its noise.
const HALF_WIDTH: i32 = 40;
/// A pass below this doubt is not better in truth: currents and looks are not infinitely fine, in ticks.
const BEST: i32 = 4;
/// The cells' capacities differ: far from full, charge to the level and charge to full differ by this much, in ticks.
const FAR_FROM_FULL: i32 = 100;
/// Levels in use.
const LEVELS: usize = 2;

/// Where a level lies (in 0.1 mV, without the drop of the current), and whether it is close to full.
#[derive(Clone, Copy)]
struct Mark {
    tenths: i32,
    near_full: bool,
}

/// The marks of a chemistry, and the drop at 1 C in 0.1 mV.
const fn marks(chemistry: Chemistry) -> ([Mark; LEVELS], i32) {
    let (low, high, drop) = match chemistry {
        Chemistry::LiIon => (38_300, 40_800, 1_200),
        // The step between the two plateaus, and the knee.
        Chemistry::LiFePo4 => (33_150, 33_700, 1_200),
        Chemistry::Lto => (23_000, 25_300, 500),
    };
    ([Mark { tenths: low, near_full: false }, Mark { tenths: high, near_full: true }], drop)
}

/// What a current adds to a cell's voltage, in tenths of a millivolt.
pub(super) fn drop(chemistry: Chemistry, current: Current, capacity: Charge) -> i32 {
    let (_, drop_at_1c) = marks(chemistry);
    let milliamps_at_1c = capacity.as_milliamp_millis() / 3_600_000;
    let drop = i64::from(current.as_milliamps()).saturating_mul(i64::from(drop_at_1c)).checked_div(milliamps_at_1c);
    crate::units::saturate(drop.unwrap_or(0))
}

#[derive(Clone, Debug)]
struct Level<const N: usize> {
    /// Surplus of each cell by this level, in ticks.
    value: [i16; N],
    /// Cells that have come to the level, that have passed it, that had passed it before the sweep began.
    entered: u32,
    passed: u32,
    late: u32,
    /// Cells whose value is that of a pass, also after it was made use of.
    done: u32,
    /// The largest half-width of a pass, in ticks.
    width: i32,
}

impl<const N: usize> Level<N> {
    const fn new() -> Self {
        Self { value: [0; N], entered: 0, passed: 0, late: 0, done: 0, width: 0 }
    }
}

/// One charge, watched.
#[derive(Clone, Debug)]
pub(super) struct Sweep<const N: usize> {
    levels: [Level<N>; LEVELS],
    /// Charge since the sweep began, mA·ms.
    charge: i64,
    /// The current that it began with; zero: no sweep.
    current: Current,
    /// Charge from the first level to the last, the mean of the cells that passed both, in ticks; zero: not known.
    reach: i16,
}

/// What came of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Nothing,
    /// Cells were compared far from full.
    Compared,
    /// Cells were compared close to full: what each needs to be full is known, or bounded.
    Anchored,
}

impl<const N: usize> Sweep<N> {
    pub(super) const fn new() -> Self {
        Self { levels: [Level::new(), Level::new()], charge: 0, current: Current::ZERO, reach: 0 }
    }
    /// Whether a charge is being watched.
    pub(super) fn active(&self) -> bool {
        self.current > Current::ZERO
    }
    /// Time passes.
    pub(super) fn pass(&mut self, current: Current, elapsed: u32) {
        if self.active() {
            let moved = Charge::moved(current, elapsed).as_milliamp_millis();
            self.charge = self.charge.saturating_add(moved);
        }
    }
    /// Whether this current continues the sweep.
    pub(super) fn continues(&self, current: Current) -> bool {
        self.active() && current.minus(self.current).magnitude() <= self.current.divided_by(8)
    }
    /// So many ticks went into the cell.
    pub(super) fn book(&mut self, cell: usize, ticks: i32) {
        for level in &mut self.levels {
            if let Some(value) = level.value.get_mut(cell).filter(|_| level.entered & bit(cell) != 0) {
                *value = narrow(i32::from(*value).saturating_add(ticks));
            }
        }
    }
    /// A quiet scan while charging.
    pub(super) fn look(
        &mut self,
        scan: &CellScan<'_>,
        chemistry: Chemistry,
        current: Current,
        capacity: Charge,
        knowledge: &mut Knowledge<N>,
    ) -> Outcome {
        let (marks, _) = marks(chemistry);
        let begins = !self.active();
        if begins {
            *self = Self { current, reach: self.reach, ..Self::new() };
        }
        let drop = drop(chemistry, current, capacity);
        let position = self.position(capacity.as_milliamp_millis());
        for (level, mark) in self.levels.iter_mut().zip(marks) {
            for cell in 0..scan.count() {
                let Some(reading) = scan.get(cell) else { continue };
                let above = i32::from(reading).saturating_sub(drop).saturating_sub(mark.tenths);
                let flag = bit(cell);
                if begins && above >= HALF_WIDTH.saturating_neg() {
                    level.late |= flag;
                }
                if (level.late | level.passed) & flag != 0 {
                    continue;
                }
                let Some(value) = level.value.get_mut(cell) else { continue };
                let now = position.saturating_neg();
                if level.entered & flag == 0 {
                    if above < HALF_WIDTH.saturating_neg() {
                        continue;
                    }
                    level.entered |= flag;
                    *value = narrow(now);
                }
                if above >= HALF_WIDTH {
                    level.passed |= flag;
                    level.done |= flag;
                    let half = i32::from(*value).saturating_sub(now) / 2;
                    level.width = level.width.max(half);
                    *value = narrow(now.saturating_add(half));
                }
            }
        }
        let all = mask(scan.count() as u8);
        let complete = |level: &Level<N>| level.passed != 0 && level.passed | level.late == all;
        let [far, near] = [self.levels.first(), self.levels.last()].map(|level| level.is_some_and(complete));
        self.learn([far, near], marks, scan.count(), position, knowledge)
    }
    /// Makes use of the levels that are told to be over.
    fn learn(
        &mut self,
        over: [bool; LEVELS],
        marks: [Mark; LEVELS],
        count: usize,
        position: i32,
        knowledge: &mut Knowledge<N>,
    ) -> Outcome {
        let mut outcome = Outcome::Nothing;
        let [first, last] = &mut self.levels;
        let [first_over, last_over] = over;
        let [first_mark, last_mark] = marks;
        if first_over {
            outcome = first.close(first_mark, count, position, knowledge, None);
        }
        if last_over {
            self.reach = last.reach_from(first).unwrap_or(self.reach);
            let before = (self.reach != 0).then_some((&*first, i32::from(self.reach)));
            outcome = last.close(last_mark, count, position, knowledge, before).max(outcome);
        }
        outcome
    }
    /// The charge ended, or its current changed: what was learned so far counts.
    pub(super) fn close(
        &mut self,
        chemistry: Chemistry,
        capacity: Charge,
        cells: u8,
        knowledge: &mut Knowledge<N>,
    ) -> Outcome {
        let mut outcome = Outcome::Nothing;
        if self.active() {
            let position = self.position(capacity.as_milliamp_millis());
            outcome = self.learn([true; LEVELS], marks(chemistry).0, usize::from(cells), position, knowledge);
        }
        self.current = Current::ZERO;
        outcome
    }
    /// Gives up, without learning.
    pub(super) fn abandon(&mut self) {
        self.current = Current::ZERO;
    }
    fn position(&self, capacity: i64) -> i32 {
        let ticks = self.charge.saturating_mul(i64::from(TICKS)).checked_div(capacity);
        crate::units::saturate(ticks.unwrap_or(0))
    }
}

impl Outcome {
    fn max(self, other: Self) -> Self {
        match (self, other) {
            (Self::Anchored, _) | (_, Self::Anchored) => Self::Anchored,
            (Self::Compared, _) | (_, Self::Compared) => Self::Compared,
            _ => Self::Nothing,
        }
    }
}

impl<const N: usize> Level<N> {
    /// The mean charge from an earlier level to this one, of the cells that passed both; a few are needed, since one alone may be the
    /// weak one.
    fn reach_from(&self, before: &Self) -> Option<i16> {
        const FEW: i32 = 4;
        let (mut sum, mut both) = (0_i32, 0_i32);
        for (cell, value) in self.values(self.passed & before.done) {
            let began = before.value.get(cell).map_or(value, |began| i32::from(*began));
            sum = sum.saturating_add(began.saturating_sub(value));
            both = both.saturating_add(1);
        }
        if both < FEW { None } else { sum.checked_div(both).map(narrow) }
    }
    /// Compares the cells that passed; `position` is where the charge stands now. `before` is the level before and the usual charge
    /// from there: cells that did not come so far would have passed about then.
    fn close(
        &mut self,
        mark: Mark,
        count: usize,
        position: i32,
        knowledge: &mut Knowledge<N>,
        before: Option<(&Self, i32)>,
    ) -> Outcome {
        let (passed, late) = (self.passed, self.late);
        // Once only.
        self.passed = 0;
        self.late = u32::MAX;
        if passed == 0 {
            return Outcome::Nothing;
        }
        let doubt = self.width.saturating_mul(3).checked_div(8).unwrap_or(0).max(BEST);
        let doubt = if mark.near_full { doubt } else { doubt.saturating_add(FAR_FROM_FULL) };
        // Where the level's values stand among what is known already: the mean over the cells that both know.
        let (mut offset, mut both) = (0_i32, 0_i32);
        for (cell, value) in self.values(passed) {
            if let Some(known) = knowledge.surplus(cell) {
                offset = offset.saturating_add(known.saturating_sub(value));
                both = both.saturating_add(1);
            }
        }
        // A weak cell is early at the last level and no more than usual at the one before: alone it would shift all others.
        if let Some((before, reach)) = before {
            for (cell, value) in before.values(before.done & !(passed | late)) {
                if let Some(known) = knowledge.surplus(cell) {
                    offset = offset.saturating_add(known.saturating_sub(value.saturating_sub(reach)));
                    both = both.saturating_add(1);
                }
            }
        }
        let offset = offset.checked_div(both).unwrap_or(0);
        for (cell, value) in self.values(passed) {
            let better = knowledge.doubt(cell).is_none_or(|known| doubt <= known.saturating_add(BEST));
            if better || mark.near_full {
                knowledge.learn(cell, value.saturating_add(offset), doubt);
            }
        }
        // Cells that did not come so far have less than one that would pass just now.
        for cell in (0..count).filter(|cell| (passed | late) & bit(*cell) == 0) {
            let entered = self.value.get(cell).filter(|_| self.entered & bit(cell) != 0);
            let now = position.saturating_neg();
            let value = entered.map_or(now, |entered| i32::from(*entered).saturating_add(now) / 2);
            knowledge.limit(cell, value.saturating_add(offset));
        }
        knowledge.recentre(count);
        if mark.near_full { Outcome::Anchored } else { Outcome::Compared }
    }
    /// The cells in a mask, with their values.
    fn values(&self, cells: u32) -> impl Iterator<Item = (usize, i32)> + '_ {
        // Not `enumerate`: its counter could overflow, in theory, and would bring a panic.
        let value = move |cell: usize| self.value.get(cell).map(|value| (cell, i32::from(*value)));
        (0..N).filter(move |cell| cells & bit(*cell) != 0).filter_map(value)
    }
}
