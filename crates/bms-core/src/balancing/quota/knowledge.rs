//! What is known of each cell: how far it is ahead of the others on the way to full, and how sure that is.

use crate::balancing::LearnedBalance;

/// The unit of charge here: 1/8192 of the capacity, so that sixteen bits a cell do.
pub(super) const TICKS: i32 = 8_192;
pub(super) const TICKS_IN_CAPACITY: i64 = TICKS as i64;
/// One step of a stored doubt, in ticks.
const DOUBT_STEP: i32 = 2;
/// A doubt that says: the cell has at most this surplus.
const AT_MOST: u8 = 254;
/// Doubts up to this are those of good readings; larger ones come from far off, where the most likely value tells more.
const LIKELY: u8 = 30;
/// Nothing is known.
const UNKNOWN: u8 = 255;
/// Charge moved since the last look makes the books wrong by about a thirtieth of it.
const BOOKED_TO_DOUBT: u8 = 64;

/// Surplus of each cell in ticks, its common part arbitrary, and the half-width of what it may be.
#[derive(Clone, Debug)]
pub(super) struct Knowledge<const N: usize> {
    surplus: [i16; N],
    doubt: [u8; N],
    booked: u8,
}

impl<const N: usize> Knowledge<N> {
    pub(super) const fn new() -> Self {
        Self { surplus: [0; N], doubt: [UNKNOWN; N], booked: 0 }
    }
    fn get(&self, cell: usize) -> Option<(i32, u8)> {
        Some((i32::from(*self.surplus.get(cell)?), *self.doubt.get(cell)?))
    }
    /// The most likely surplus, if there is one.
    pub(super) fn surplus(&self, cell: usize) -> Option<i32> {
        self.get(cell).filter(|(_, doubt)| *doubt < AT_MOST).map(|(surplus, _)| surplus)
    }
    /// How far it may be wrong.
    pub(super) fn doubt(&self, cell: usize) -> Option<i32> {
        self.get(cell)
            .filter(|(_, doubt)| *doubt < AT_MOST)
            .map(|(_, doubt)| i32::from(doubt).saturating_mul(DOUBT_STEP))
    }
    /// The same with large doubts halved: what is likely, not only what is certain.
    pub(super) fn likely(&self) -> Self {
        let halved = |doubt: u8| if doubt < AT_MOST { (doubt / 2).max(doubt.min(LIKELY)) } else { doubt };
        Self { doubt: self.doubt.map(halved), ..self.clone() }
    }
    /// The cell has at least this surplus.
    pub(super) fn lower(&self, cell: usize) -> Option<i32> {
        Some(self.surplus(cell)?.saturating_sub(self.doubt(cell)?))
    }
    /// The cell has at most this surplus.
    pub(super) fn upper(&self, cell: usize) -> Option<i32> {
        match self.get(cell)? {
            (_, UNKNOWN) => None,
            (surplus, AT_MOST) => Some(surplus),
            (surplus, doubt) => Some(surplus.saturating_add(i32::from(doubt).saturating_mul(DOUBT_STEP))),
        }
    }
    /// The mean of `count` cells, or an upper bound of it where only upper bounds are known; `None` while a cell is unknown.
    pub(super) fn centre(&self, count: usize) -> Option<i32> {
        let mut sum = 0_i32;
        for cell in 0..count {
            let (surplus, _) = self.get(cell).filter(|(_, doubt)| *doubt != UNKNOWN)?;
            sum = sum.saturating_add(surplus);
        }
        sum.checked_div(i32::try_from(count).ok()?)
    }
    /// A new value, at least as good as the old one.
    pub(super) fn learn(&mut self, cell: usize, surplus: i32, doubt: i32) {
        let steps = doubt.saturating_add(1) / DOUBT_STEP;
        self.put(cell, surplus, u8::try_from(steps.clamp(1, i32::from(AT_MOST).saturating_sub(1))).unwrap_or(AT_MOST));
    }
    /// The cell cannot have more than this.
    pub(super) fn limit(&mut self, cell: usize, at_most: i32) {
        match self.get(cell) {
            Some((_, UNKNOWN | AT_MOST)) => self.put(cell, at_most, AT_MOST),
            Some(_) if self.upper(cell).is_some_and(|upper| upper > at_most) => {
                // What is left between the lower end and the limit; where they contradict each other, the limit is right.
                let doubt = self.doubt(cell).unwrap_or(0);
                let lower = self.lower(cell).unwrap_or(at_most).min(at_most.saturating_sub(doubt));
                let half = at_most.saturating_sub(lower) / 2;
                self.learn(cell, at_most.saturating_sub(half), half);
            }
            _ => {}
        }
    }
    /// So many ticks went into the cell (negative: out of it).
    pub(super) fn book(&mut self, cell: usize, ticks: i32) {
        if let Some(slot) = self.surplus.get_mut(cell) {
            *slot = narrow(i32::from(*slot).saturating_add(ticks));
        }
        let step = u8::try_from(ticks.unsigned_abs()).unwrap_or(u8::MAX);
        self.booked = self.booked.saturating_add(step);
        if self.booked >= BOOKED_TO_DOUBT {
            self.booked = 0;
            if let Some(doubt) = self.doubt.get_mut(cell).filter(|doubt| **doubt < AT_MOST.saturating_sub(1)) {
                *doubt = doubt.saturating_add(1);
            }
        }
    }
    /// Moves all values so that their mean is zero: only differences mean anything.
    pub(super) fn recentre(&mut self, count: usize) {
        if let Some(centre) = self.centre(count) {
            for slot in self.surplus.iter_mut().take(count) {
                *slot = narrow(i32::from(*slot).saturating_sub(centre));
            }
        }
    }
    fn put(&mut self, cell: usize, surplus: i32, doubt: u8) {
        if let (Some(slot), Some(doubts)) = (self.surplus.get_mut(cell), self.doubt.get_mut(cell)) {
            *slot = narrow(surplus);
            *doubts = doubt;
        }
    }
    /// For the snapshot.
    pub(super) fn store(&self, learned: &mut LearnedBalance) {
        for (cell, slot) in learned.surplus.iter_mut().enumerate() {
            *slot = self.surplus(cell).map_or(LearnedBalance::UNKNOWN, narrow);
            let doubt = u16::try_from(self.doubt(cell).unwrap_or(0)).unwrap_or(u16::MAX);
            learned.doubt = learned.doubt.max(doubt);
        }
    }
    /// From the snapshot.
    pub(super) fn restore(&mut self, learned: &LearnedBalance) {
        for (cell, surplus) in learned.surplus.iter().enumerate() {
            if *surplus != LearnedBalance::UNKNOWN {
                self.learn(cell, i32::from(*surplus), i32::from(learned.doubt));
            }
        }
    }
}

/// Back to sixteen bits; four capacities are more than any pack is unbalanced by.
pub(super) fn narrow(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN).saturating_add(1), i32::from(i16::MAX)) as i16
}
