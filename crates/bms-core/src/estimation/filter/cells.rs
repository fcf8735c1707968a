//! One cell a window: its voltage against the average one's, as a difference of the state of charge.

use super::observation::{Observation, Window};
use super::{ModelEstimator, Phase};
use crate::estimation::difference::{Look, WHOLE};
use crate::estimation::math::{ONE, from_millionths, narrow, ratio};
use crate::estimation::{CellDifferences, Evidence};

/// How far two channels of a front end read apart, one sigma, in µV: 5 mV between two of them are rare.
const CHANNEL: i32 = 1_700;
/// How far two cells' resistances lie apart, one sigma: a tenth.
const OTHER_RESISTANCE: i32 = 10;
/// How far two cells' branches of the hysteresis lie apart: a quarter of what there is.
const OTHER_BRANCH: i32 = 4;
/// Where the curve is taken around a cell, at least, in millionths.
const LEAST_WIDTH: u32 = 10_000;

impl ModelEstimator {
    /// The window's cell, while the pack's state of charge is known; then it is the next one's turn.
    pub(super) fn look_at_cell(&mut self, window: &Window, seen: &Observation, evidence: &Evidence<'_>) {
        let soc = narrow(self.charge().clamp(0, ONE));
        let at = (soc >> 22).min(255) as u8;
        if self.phase == Phase::Tracker && window.cell_weight > 0 {
            let look = self.look(narrow(ratio(window.cell, i64::from(window.cell_weight))), soc);
            self.differences.look(&look, at);
        }
        self.differences.pass(evidence.config.cell_count(), seen.length, at);
    }

    /// A cell that reads `above` the average one, in µV.
    fn look(&self, above: i32, soc: i32) -> Look {
        let model = &self.model;
        let own = narrow(i64::from(soc).saturating_add(i64::from(self.differences.present()) << 16).clamp(0, ONE));
        // Where the pack stands is as uncertain as the table is shifted.
        let width = from_millionths(self.sigma().saturating_add(self.tuning().table_error).max(LEAST_WIDTH));
        let low = own.saturating_sub(width).max(0);
        let high = own.saturating_add(width).min(1 << 30);
        let [pack, below, centre, above_it] = [soc, low, own, high].map(|soc| model.middle(soc));
        let side = |from: i32, to: i32, rise: i32| (to.saturating_sub(from) >> (30_u32.wrapping_sub(WHOLE)), rise);
        Look {
            above,
            explained: centre.saturating_sub(pack),
            error: CHANNEL
                .saturating_add(self.load / OTHER_RESISTANCE)
                .saturating_add(model.half_width(soc) / OTHER_BRANCH),
            sides: [side(low, own, centre.saturating_sub(below)), side(own, high, above_it.saturating_sub(centre))],
        }
    }

    pub(super) fn differences(&self) -> CellDifferences<'_> {
        self.differences.view()
    }
}
