//! How published current limits fall before a protection would trip, without oscillating.
//!
//! A limit feeds back: less current, lower cell voltage, higher limit. So a taper falls and rises as a first-order lag (3 s
//! and 30 s), and what is published changes in steps of at least 1 %. Zero at an open switch is not the taper's affair.

use crate::units::{Resistance, Voltage};

/// The whole of a taper's level.
const WHOLE: i32 = 1 << 16;
/// Time constants, in ms: a limit falls fast and rises slowly.
const FALL: i32 = 3_000;
const RISE: i32 = 30_000;
/// Least published change, in thousandths.
const STEP: i32 = 10;
/// No taper: everything is allowed, in thousandths.
pub(crate) const OPEN: i32 = 1_000;

/// Both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tapers {
    pub charge: Taper,
    pub discharge: Taper,
}

impl Tapers {
    pub(crate) const fn new() -> Self {
        Self { charge: Taper::new(), discharge: Taper::new() }
    }
}

/// A factor between 0 and 1 that follows its target slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taper {
    level: i32,
    published: i16,
}

impl Taper {
    const fn new() -> Self {
        Self { level: WHOLE, published: OPEN as i16 }
    }
    /// Follows a target in thousandths; `None`, with a reading missing, holds. Returns what is published.
    pub(crate) fn follow(&mut self, elapsed: u32, target: Option<i32>) -> i32 {
        let Some(target) = target else { return i32::from(self.published) };
        if target == i32::from(self.published) && target == OPEN && self.level == WHOLE {
            return OPEN;
        }
        let goal = target.clamp(0, OPEN).saturating_mul(WHOLE) / OPEN;
        let distance = goal.saturating_sub(self.level);
        let lag = if distance < 0 { FALL } else { RISE };
        // Ten seconds at once: the product stays within 32 bits.
        let elapsed = elapsed.min(10_000) as i32;
        let change = distance.saturating_mul(elapsed).checked_div(lag.saturating_add(elapsed)).unwrap_or(0);
        // The last part of the way is too small for the division.
        self.level = if change == 0 && elapsed > 0 { goal } else { self.level.saturating_add(change) };
        let permille = self.level.saturating_mul(OPEN).saturating_add(WHOLE / 2) / WHOLE;
        if permille.saturating_sub(i32::from(self.published)).saturating_abs() >= STEP || self.level == goal {
            self.published = permille as i16;
        }
        i32::from(self.published)
    }
}

/// 1 000 up to `from`, falling to 0 at `to` and beyond; in either direction. Two equal ends: no taper.
pub(crate) fn fall(value: i32, from: i32, to: i32) -> i32 {
    let along = value.saturating_sub(from);
    let width = to.saturating_sub(from);
    if width == 0 || along == 0 || (along < 0) != (width < 0) {
        return OPEN;
    }
    let (along, width) = (along.unsigned_abs(), width.unsigned_abs());
    if along >= width {
        return 0;
    }
    // Brought within 22 bits, so that a thousand times it stays within 32.
    let excess = 10_u32.saturating_sub(width.leading_zeros());
    let part = (along >> excess).wrapping_mul(OPEN as u32).checked_div(width >> excess).unwrap_or(0);
    OPEN.wrapping_sub(part as i32)
}

/// The current in mA that a voltage drives through a resistance; nothing for a negative voltage, everything without a
/// resistance.
pub(crate) fn driven(voltage: Voltage, resistance: Resistance) -> i32 {
    if voltage <= Voltage::ZERO {
        return 0;
    }
    let microvolts = i64::from(voltage.as_microvolts());
    let milliamps = microvolts.saturating_mul(1_000).checked_div(i64::from(resistance.as_microohms()));
    milliamps.map_or(i32::MAX, |value| crate::units::saturate(value.max(0)))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_between_its_ends_in_both_directions() {
        for (value, from, to, expected) in
            [(5, 10, 20, 1_000), (10, 10, 20, 1_000), (15, 10, 20, 500), (20, 10, 20, 0), (99, 10, 20, 0)]
        {
            assert_eq!(fall(value, from, to), expected);
            assert_eq!(fall(-value, -from, -to), expected);
        }
        assert_eq!(fall(7, 5, 5), OPEN, "no width: no taper");
        assert_eq!(fall(i32::MAX, 0, i32::MIN), OPEN);
        assert_eq!(fall(i32::MIN, 0, i32::MIN), 0);
    }

    #[test]
    fn a_taper_falls_fast_rises_slowly_and_arrives() {
        let mut taper = Taper::new();
        assert_eq!(taper.follow(100, Some(OPEN)), OPEN);
        let mut before = OPEN;
        for _ in 0..300 {
            let now = taper.follow(100, Some(200));
            assert!(now <= before && (before - now == 0 || before - now >= STEP || now <= 200));
            before = now;
        }
        assert!((199..=200).contains(&before));
        let arrived = before;
        assert_eq!(taper.follow(1_000, None), arrived, "holds");
        for _ in 0..30 {
            before = taper.follow(1_000, Some(OPEN));
        }
        assert!((600..800).contains(&before), "{before} after one time constant");
    }

    /// A charger that follows the published limit late, on a cell whose voltage the current lifts: a loop gain above one.
    #[test]
    fn a_charger_in_the_loop_settles() {
        for (delay, gain) in [(0, 1), (2, 2), (5, 2), (10, 2)] {
            let mut taper = Taper::new();
            let mut history = [OPEN; 600];
            for second in 0..history.len() {
                let current = second.checked_sub(delay + 1).and_then(|at| history.get(at)).copied().unwrap_or(0);
                let published = taper.follow(1_000, Some(fall(700 + current * gain, 1_000, 2_000)));
                history[second] = published;
            }
            let (low, high) = history[300..].iter().fold((OPEN, 0), |(l, h), v| (l.min(*v), h.max(*v)));
            assert!(high - low <= STEP, "delay {delay}: {low} to {high}");
        }
    }
}
