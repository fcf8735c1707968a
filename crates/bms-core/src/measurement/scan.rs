//! A view of one scan of the cells.

use super::sample::{Reading, bit, from_tenths};
use crate::units::Voltage;

/// One scan of the cells, borrowed; index 0 is cell 1.
#[derive(Clone, Copy, Debug)]
pub struct CellScan<'a> {
    tenths: &'a [u16],
    valid: u32,
}

impl<'a> CellScan<'a> {
    pub(crate) fn new(tenths: &'a [u16], valid: u32, count: u8) -> Self {
        let cells = tenths.get(..usize::from(count)).unwrap_or(tenths);
        Self { tenths: cells, valid }
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
        (0..self.tenths.len()).all(|index| self.valid & bit(index) != 0)
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

    /// Over the first `count` cells that `usable` marks. Compares as `u32`: on an M0+ a 16-bit minimum costs four times
    /// as much.
    pub(crate) fn of(tenths: &[u16], usable: u32, count: u8) -> Self {
        let mut lowest = u32::from(u16::MAX);
        let mut highest = 0_u32;
        let mut found = Self::NONE;
        let mut rest = usable;
        for (index, value) in (0..count).zip(tenths) {
            let value = u32::from(*value);
            if rest & 1 != 0 {
                found.used = found.used.saturating_add(1);
                found.sum = found.sum.saturating_add(value);
                if value <= lowest && (value < lowest || found.used == 1) {
                    lowest = value;
                    found.lowest_index = index;
                }
                if value >= highest && (value > highest || found.used == 1) {
                    highest = value;
                    found.highest_index = index;
                }
            }
            rest >>= 1;
        }
        // Both came from 16 bits.
        found.lowest = lowest as u16;
        found.highest = highest as u16;
        found
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
}
