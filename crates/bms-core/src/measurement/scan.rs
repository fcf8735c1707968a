//! A view of one scan of the cells.

use super::sample::{Reading, bit, from_tenths};
use crate::units::Voltage;

/// One scan of the cells, borrowed; index 0 is cell 1.
#[derive(Clone, Copy, Debug)]
pub struct CellScan<'a> {
    tenths: &'a [u16],
    valid: u32,
    extremes: Extremes,
}

impl<'a> CellScan<'a> {
    pub(crate) fn new(tenths: &'a [u16], valid: u32, count: u8, extremes: Extremes) -> Self {
        let cells = tenths.get(..usize::from(count)).unwrap_or(tenths);
        Self { tenths: cells, valid, extremes }
    }
    /// The lowest usable cell: index and voltage; the first of several equal ones.
    #[must_use]
    pub fn lowest(&self) -> Option<(u8, Voltage)> {
        (self.extremes.used > 0).then(|| (self.extremes.lowest_index, self.extremes.lowest()))
    }
    /// The highest usable cell: index and voltage; the first of several equal ones.
    #[must_use]
    pub fn highest(&self) -> Option<(u8, Voltage)> {
        (self.extremes.used > 0).then(|| (self.extremes.highest_index, self.extremes.highest()))
    }
    /// The average of the usable cells.
    #[must_use]
    pub fn average(&self) -> Option<Voltage> {
        (self.extremes.used > 0).then(|| self.extremes.average())
    }
    /// How many cells there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.tenths.len()
    }
    /// The voltage of a cell, if it may be used.
    #[must_use]
    pub fn voltage(&self, index: usize) -> Option<Voltage> {
        self.get(index).map(from_tenths)
    }
    /// The reading of a cell.
    #[must_use]
    pub fn reading(&self, index: usize) -> Reading<Voltage> {
        if index >= self.tenths.len() {
            return Reading::NotMeasured;
        }
        self.voltage(index).map_or(Reading::Invalid, Reading::Valid)
    }
    /// Whether every cell may be used.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        usize::from(self.extremes.used) == self.tenths.len()
    }
    pub(crate) fn get(&self, index: usize) -> Option<u16> {
        self.tenths.get(index).copied().filter(|_| self.valid & bit(index) != 0)
    }
    /// The usable cells with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Voltage)> + use<'a> {
        let this = *self;
        (0..this.tenths.len()).filter_map(move |index| this.voltage(index).map(|voltage| (index, voltage)))
    }
}

/// Lowest, highest and sum of the usable cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extremes {
    pub lowest: u16,
    pub highest: u16,
    pub lowest_index: u8,
    pub highest_index: u8,
    /// Sum in tenths of a millivolt.
    pub sum: u32,
    /// How many cells took part.
    pub used: u8,
}

impl Extremes {
    pub(crate) const NONE: Self =
        Self { lowest: u16::MAX, highest: 0, lowest_index: 0, highest_index: 0, sum: 0, used: 0 };

    /// Over the first `count` cells that `usable` marks. Counts and compares as `u32`: on an M0+ a 16-bit minimum costs
    /// four times as much. Sixteen bits times 32 cells stay far below 2³²: nothing wraps.
    pub(crate) fn of(tenths: &[u16], usable: u32, count: u8) -> Self {
        // One more than any reading, and one less: the first cell replaces both.
        let (mut lowest, mut lowest_index) = (0x1_0000_u32, 0_u32);
        let (mut highest, mut highest_index) = (0_u32, 0_u32);
        let (mut sum, mut used, mut index) = (0_u32, 0_u32, 0_u32);
        let mut rest = usable;
        for value in tenths.iter().take(usize::from(count)) {
            if rest & 1 != 0 {
                let value = u32::from(*value);
                used = used.wrapping_add(1);
                sum = sum.wrapping_add(value);
                if value < lowest {
                    lowest = value;
                    lowest_index = index;
                }
                // Counted from 1, so that a reading of zero is higher than none.
                if value >= highest {
                    let first = value > highest || used == 1;
                    highest = value;
                    highest_index = if first { index } else { highest_index };
                }
            }
            rest >>= 1;
            index = index.wrapping_add(1);
        }
        if used == 0 {
            return Self::NONE;
        }
        Self {
            lowest: lowest as u16,
            highest: highest as u16,
            lowest_index: lowest_index as u8,
            highest_index: highest_index as u8,
            sum,
            used: used as u8,
        }
    }
    pub(crate) const fn lowest(&self) -> Voltage {
        from_tenths(self.lowest)
    }
    pub(crate) const fn highest(&self) -> Voltage {
        from_tenths(self.highest)
    }
    pub(crate) const fn spread(&self) -> Voltage {
        from_tenths(self.highest.saturating_sub(self.lowest))
    }
    pub(crate) const fn sum(&self) -> Voltage {
        Voltage::from_microvolts((self.sum as i32).saturating_mul(100))
    }
    pub(crate) fn average(&self) -> Voltage {
        self.sum().divided_by(i32::from(self.used.max(1)))
    }
}
