//! What is shown to people: it follows every charge that really moves, takes a correction in slowly, and claims an end only
//! once it is reached.

use super::math::{ONE, bounded, ratio};

/// Slowest pace of a correction: 0.5 % a minute, in 2^-30 a millisecond.
const LEAST_PACE: i64 = 89;
/// A larger one goes within this many milliseconds, and towards an anchor within a tenth of it.
const SPAN: i64 = 600_000;

/// The distance of what is shown from the estimate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Display {
    /// Shown less estimated state of charge, one = 2^30.
    gap: i64,
    full: bool,
    empty: bool,
}

impl Display {
    pub(super) const fn new() -> Self {
        Self { gap: 0, full: false, empty: false }
    }
    /// What was shown before a reset, against the estimate now.
    pub(super) fn restore(&mut self, shown_permille: u16, charge: i64) {
        self.gap = ratio(i64::from(shown_permille.min(1_000)) << 30, 1_000).saturating_sub(charge);
        self.full = shown_permille >= 1_000;
        self.empty = shown_permille == 0;
    }
    /// The estimate was corrected: what is shown stays where it is.
    pub(super) fn corrected(&mut self, by: i64) {
        self.gap = self.gap.saturating_sub(by).clamp(-ONE, ONE);
    }
    /// Time passes; at an anchor what is shown goes to the end, whatever the estimate still lacks.
    pub(super) fn pass(&mut self, elapsed: u32, charge: i64, full: bool, empty: bool) {
        self.full |= full;
        self.empty |= empty;
        let (goal, span) = match (full, empty) {
            (true, _) => (ONE.saturating_sub(charge), SPAN / 10),
            (_, true) => (charge.saturating_neg(), SPAN / 10),
            _ => (0, SPAN),
        };
        let distance = goal.saturating_sub(self.gap);
        if distance == 0 {
            return;
        }
        let pace = LEAST_PACE.max(ratio(distance.saturating_abs(), span));
        let step = pace.saturating_mul(i64::from(elapsed));
        self.gap = self.gap.saturating_add(bounded(distance, step));
    }
    /// What to show for an estimate, in thousandths.
    pub(super) fn permille(&self, charge: i64) -> u16 {
        let shown = charge.saturating_add(self.gap).clamp(0, ONE);
        let rounded = shown.saturating_mul(1_000).saturating_add(ONE / 2) >> 30;
        let (least, most) = (i64::from(!self.empty), if self.full { 1_000 } else { 999 });
        u16::try_from(rounded.max(least).min(most)).unwrap_or(0)
    }
    /// The ends are no longer claimed once half a percent has moved away from them.
    pub(super) fn leave(&mut self, charge: i64, full: bool) {
        let shown = charge.saturating_add(self.gap);
        self.full &= full || shown > ONE / 1_000 * 995;
        self.empty &= shown < ONE / 200;
    }
}
