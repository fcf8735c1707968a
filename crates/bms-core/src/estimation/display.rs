//! What is shown to people: it follows every charge that really moves, takes a correction in slowly, and claims an end only
//! once it is reached.

use super::math::{ONE, ratio};

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
    /// Time passes; at an anchor the end may be claimed.
    pub(super) fn pass(&mut self, elapsed: u32, full: bool, empty: bool) {
        self.full |= full;
        self.empty |= empty;
        if self.gap == 0 {
            return;
        }
        let span = if full || empty { SPAN / 10 } else { SPAN };
        let pace = LEAST_PACE.max(ratio(self.gap.saturating_abs(), span));
        let step = pace.saturating_mul(i64::from(elapsed)).min(self.gap.saturating_abs());
        self.gap = if self.gap > 0 { self.gap.saturating_sub(step) } else { self.gap.saturating_add(step) };
    }
    /// What to show for an estimate, in thousandths.
    pub(super) fn permille(&self, charge: i64) -> u16 {
        let shown = charge.saturating_add(self.gap).clamp(0, ONE);
        let rounded = shown.saturating_mul(1_000).saturating_add(ONE / 2) >> 30;
        let (least, most) = (i64::from(!self.empty), if self.full { 1_000 } else { 999 });
        u16::try_from(rounded.clamp(least, most)).unwrap_or(0)
    }
    /// The ends are no longer claimed once the estimate has left them.
    pub(super) fn leave(&mut self, charge: i64) {
        self.full &= charge > ONE / 1_000 * 995;
        self.empty &= charge < ONE / 200;
    }
}
