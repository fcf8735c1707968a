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
        let all = super::mask(cells.len() as u8);
        if usable & all == all {
            return Self { used: cells.len() as u8, ..Self::of_all(cells) };
        }
        let mut found = Self::NONE;
        for (index, value) in cells.iter().enumerate() {
            if usable & bit(index) != 0 {
                found.used = found.used.saturating_add(1);
                found.sum = found.sum.saturating_add(u32::from(*value));
                found.lowest = found.lowest.min(*value);
                found.highest = found.highest.max(*value);
            }
        }
        found
    }
    /// The hot loop: counts and compares as `u32`, because on an M0+ a 16-bit minimum costs four times as much. Sixteen
    /// bits times 32 cells stay far below 2³²: nothing wraps.
    #[inline(never)]
    fn of_all(cells: &[u16]) -> Self {
        let (mut lowest, mut highest, mut sum) = (u32::from(u16::MAX), 0_u32, 0_u32);
        for value in cells {
            let value = u32::from(*value);
            sum = sum.wrapping_add(value);
            if value < lowest {
                lowest = value;
            }
            if value > highest {
                highest = value;
            }
        }
        Self { lowest: lowest as u16, highest: highest as u16, sum, used: 0 }
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

/// The sum of the cells, if each lies within `low ..= high`, which must be less than 2¹⁵ apart.
///
/// Two cells a word, without telling them apart: `cell - low` and `high - cell` both keep the top bit of their half clear
/// only while the cell lies within, and then nothing is borrowed from the other half. The sum of the words gives the sum of the
/// lower halves once that of the upper ones is known.
#[inline]
pub(crate) fn sum_within(cells: &[u16], low: u16, high: u16) -> Option<u32> {
    if low > high {
        return None;
    }
    let both = |half: u16| u32::from(half).wrapping_mul(0x0001_0001);
    let (lows, highs) = (both(low), both(high));
    let (mut outside, mut words, mut upper) = (0_u32, 0_u32, 0_u32);
    let (pairs, odd) = cells.as_chunks::<2>();
    for [first, second] in pairs {
        let word = u32::from(*first) | u32::from(*second) << 16;
        outside |= word.wrapping_sub(lows) | highs.wrapping_sub(word);
        words = words.wrapping_add(word);
        upper = upper.wrapping_add(word >> 16);
    }
    let mut sum = words.wrapping_sub(upper << 16).wrapping_add(upper);
    if let [last] = odd {
        let word = both(*last);
        outside |= word.wrapping_sub(lows) | highs.wrapping_sub(word);
        sum = sum.wrapping_add(u32::from(*last));
    }
    (outside & 0x8000_8000 == 0).then_some(sum)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test")]
mod tests {
    use super::sum_within;

    /// Against the plain way, at and around the ends, in both halves, for even and odd counts.
    #[test]
    fn two_cells_a_word_say_the_same_as_one_by_one() {
        let bands = [(29_500_u16, 41_500_u16), (0, 0x7fff), (0x8000, 0xffff), (1, 1), (0x7ffe, 0x8001), (40_000, 30_000)];
        for (low, high) in bands {
            let values = [
                0, 1, 2, 0x7ffd, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xfffe, 0xffff, 29_499, 29_500, 41_500, 41_501,
            ]
            .into_iter()
            .chain([low, high, low.wrapping_sub(1), high.wrapping_add(1)]);
            for odd in values.clone() {
                for even in values.clone() {
                    for cells in [&[even, odd][..], &[odd, even, low], &[low, high, even, odd], &[high, low, odd]] {
                        let within = low <= high && cells.iter().all(|cell| (low..=high).contains(cell));
                        let sum = cells.iter().map(|cell| u32::from(*cell)).sum();
                        assert_eq!(sum_within(cells, low, high), within.then_some(sum), "{cells:?} in {low}..={high}");
                    }
                }
            }
        }
    }
}
