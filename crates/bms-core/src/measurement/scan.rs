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
    /// The first usable cell that reads this.
    fn find(&self, tenths: u16) -> Option<(u8, Voltage)> {
        let index = (0..self.tenths.len()).find(|index| self.get(*index) == Some(tenths))?;
        Some((index as u8, from_tenths(tenths)))
    }
    /// The lowest usable cell: index and voltage; the first of several equal ones.
    #[must_use]
    pub fn lowest(&self) -> Option<(u8, Voltage)> {
        self.find(self.extremes.lowest)
    }
    /// The highest usable cell: index and voltage; the first of several equal ones.
    #[must_use]
    pub fn highest(&self) -> Option<(u8, Voltage)> {
        self.find(self.extremes.highest)
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

/// Lowest, highest and sum of the usable cells. Which cell it is costs registers in the hot loop of an M0+, so it is looked
/// up only when somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extremes {
    pub lowest: u16,
    pub highest: u16,
    /// Sum in tenths of a millivolt.
    pub sum: u32,
    /// How many cells took part.
    pub used: u8,
}

impl Extremes {
    pub(crate) const NONE: Self = Self { lowest: u16::MAX, highest: 0, sum: 0, used: 0 };

    /// Over those of `cells` that `usable` marks.
    pub(crate) fn of(cells: &[u16], usable: u32) -> Self {
        let mut found = Self::NONE;
        let mut usable = usable;
        for value in cells {
            if usable & 1 != 0 {
                found.used = found.used.wrapping_add(1);
                found.sum = found.sum.wrapping_add(u32::from(*value));
                if u32::from(*value) < u32::from(found.lowest) {
                    found.lowest = *value;
                }
                if u32::from(*value) > u32::from(found.highest) {
                    found.highest = *value;
                }
            }
            usable >>= 1;
        }
        found
    }
    /// Lowest and highest of all these, whose sum is known. The hot loop: counts and compares as `u32`, because on an M0+ a
    /// 16-bit minimum costs four times as much.
    #[inline(never)]
    pub(crate) fn find_ends(&mut self, cells: &[u16]) {
        let (mut lowest, mut highest) = (u32::from(u16::MAX), 0_u32);
        let mut look = |value: u16| {
            let value = u32::from(value);
            if value < lowest {
                lowest = value;
            }
            if value > highest {
                highest = value;
            }
        };
        let (fours, rest) = cells.as_chunks::<4>();
        for four in fours {
            four.iter().copied().for_each(&mut look);
        }
        rest.iter().copied().for_each(look);
        self.lowest = lowest as u16;
        self.highest = highest as u16;
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
        // 32 × 65 535 × 100 stays within 32 bits.
        Voltage::from_microvolts((self.sum as i32).wrapping_mul(100))
    }
    pub(crate) fn average(&self) -> Voltage {
        self.sum().divided_by(i32::from(self.used.max(1)))
    }
}

/// Cells from `low` to `width` above it, in tenths of a millivolt; `width` is a power of two less one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    low: u16,
    width: u16,
}

impl Band {
    /// The widest: sixteen words of sums still fit the half of a word.
    const WIDEST: u16 = (1 << 12) - 1;
    /// Without a width, no cell lies in it.
    pub(crate) const EMPTY: Self = Self { low: u16::MAX, width: 0 };

    /// A band around cells from `lowest` to `highest`, within both ends and no wider than `spread`; empty where there is
    /// none.
    pub(crate) fn around(lowest: u16, highest: u16, ends: (u16, u16), spread: u16) -> Self {
        let mut width = Self::WIDEST;
        while width > spread.min(ends.1.saturating_sub(ends.0)) {
            width >>= 1;
        }
        let used = highest.saturating_sub(lowest);
        if lowest < ends.0 || highest > ends.1 || used > width {
            return Self::EMPTY;
        }
        let slack = width.saturating_sub(used) / 2;
        let low = lowest.saturating_sub(slack).max(ends.0).min(ends.1.saturating_sub(width));
        Self { low, width }
    }
    /// Whether it is empty, or as [`Band::around`] makes it.
    pub(crate) const fn is_within(&self, ends: (u16, u16), spread: u16) -> bool {
        let shape = self.width & self.width.wrapping_add(1) == 0 && self.width <= Self::WIDEST;
        shape
            && (self.width == 0
                || (self.low >= ends.0 && self.low.saturating_add(self.width) <= ends.1 && self.width <= spread))
    }
    /// The sum of the first `count` cells, if all lie in the band.
    ///
    /// Two cells a word, without telling them apart: in each half, `cell - low` has no bit beyond `width` only while the cell lies in
    /// the band, and then nothing was borrowed from the other half, and no half of the sum overflows.
    #[inline(never)]
    pub(crate) fn sum_within<const N: usize>(self, cells: &Tenths<N>, count: u8) -> Option<u32> {
        if self.width == 0 {
            return None;
        }
        let low = u32::from(self.low);
        let lows = low.wrapping_mul(0x0001_0001);
        let (mut any, mut sums) = (0_u32, 0_u32);
        let (pairs, odd) = cells.0.get(..usize::from(count))?.as_chunks::<2>();
        // By index: only so the compiler knows that every pair is an aligned word.
        for index in 0..pairs.len() {
            let Some([first, second]) = pairs.get(index) else { break };
            let word = u32::from(*first) | u32::from(*second) << 16;
            let above = word.wrapping_sub(lows);
            any |= above;
            sums = sums.wrapping_add(above);
        }
        let mut sum = (sums & 0xffff).wrapping_add(sums >> 16).wrapping_add(low.wrapping_mul(u32::from(count)));
        if let [last] = odd {
            let above = u32::from(*last).wrapping_sub(low);
            any |= above | above << 16;
            sum = sum.wrapping_add(above);
        }
        let within = u32::from(self.width).wrapping_mul(0x0001_0001);
        (any & !within == 0).then_some(sum)
    }
}

/// Tenths of a millivolt, placed so that two cells are read as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(align(4))]
pub(crate) struct Tenths<const N: usize>(pub [u16; N]);

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a test")]
mod tests {
    use super::{Band, Tenths};

    /// Against the plain way, at and around the ends, in both halves, for even and odd counts, and for the most cells.
    #[test]
    fn two_cells_a_word_say_the_same_as_one_by_one() {
        let bands =
            [(29_500, 4_095), (29_500, 2_047), (0, 4_095), (61_440, 4_095), (0x7ffe, 3), (1, 1), (1, 0), (u16::MAX, 0)];
        for (low, width) in bands {
            let high = low + width;
            let values = [0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff].into_iter().chain([
                low,
                high,
                low.wrapping_sub(1),
                high.wrapping_add(1),
                low ^ 0x8000,
            ]);
            for odd in values.clone() {
                for even in values.clone() {
                    for cells in [&[even, odd][..], &[odd, even, low], &[low, high, even, odd], &[odd], &[odd; 32]] {
                        let within = width > 0 && cells.iter().all(|cell| (low..=high).contains(cell));
                        let sum = cells.iter().map(|cell| u32::from(*cell)).sum();
                        let mut tenths = Tenths([even; 32]);
                        tenths.0[..cells.len()].copy_from_slice(cells);
                        let found = Band { low, width }.sum_within(&tenths, cells.len() as u8);
                        assert_eq!(found, within.then_some(sum), "{cells:?} in {low}..={high}");
                    }
                }
            }
        }
        assert_eq!(Band { low: 0, width: 4_095 }.sum_within(&Tenths([0; 24]), 25), None, "more than there is room for");
    }

    /// A band holds the cells that it was made around, and lies within the ends and the spread.
    #[test]
    fn a_band_keeps_its_bounds() {
        let ends = (29_500, 41_500);
        for spread in [200, 3_000, 20_000] {
            for lowest in (29_000..42_000).step_by(97) {
                for highest in [lowest, lowest + 50, lowest + 1_999, lowest + 5_000] {
                    let band = Band::around(lowest, highest, ends, spread);
                    let sum = band.sum_within(&Tenths([lowest, highest]), 2);
                    let Band { low, width } = band;
                    if low == u16::MAX {
                        assert!(lowest < ends.0 || highest > ends.1 || highest - lowest > (spread / 2).min(4_095));
                        continue;
                    }
                    assert_eq!(sum, Some(u32::from(lowest) + u32::from(highest)));
                    assert!(low >= ends.0 && low + width <= ends.1 && width <= spread && (width + 1).is_power_of_two());
                }
            }
        }
    }
}
