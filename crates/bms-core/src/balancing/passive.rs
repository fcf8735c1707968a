//! Passive balancing by voltage, for boards that have only a resistor at each cell.

use super::{EXPIRY, Plan, Situation, Strategy};
use crate::measurement::bit;
use crate::time::{Duration, Instant, secs};

/// How long the resistors work before the cells are looked at again.
const LOOK: Duration = secs(60);

/// Burns what each cell has above the lowest, by voltage, and only above the start voltage: the classic rule.
///
/// The same trigger, stop and start voltage as for the manual's rule hold (B03, B04). Where voltage says nothing, as on
/// the plateau of LiFePO4, nothing happens; [`Quota`](super::Quota) on the same hardware also works there.
#[derive(Clone, Debug, Default)]
pub struct PassiveBleed {
    mask: u32,
    looks_at: Instant,
}

impl PassiveBleed {
    /// Nothing burns.
    #[must_use]
    pub const fn new() -> Self {
        Self { mask: 0, looks_at: Instant::ZERO }
    }
}

impl Strategy for PassiveBleed {
    fn plan(&mut self, situation: &Situation<'_>) -> Plan {
        let now = situation.now;
        let rules = &situation.rules;
        if let Some(scan) = &situation.quiet_scan {
            let lowest = scan.lowest().map(|(_, voltage)| voltage);
            let mut mask = 0;
            for (cell, voltage) in scan.iter() {
                let over = lowest.map(|lowest| voltage.minus(lowest));
                let running = self.mask & bit(cell) != 0;
                let wide = over.is_some_and(|over| if running { over >= rules.stop } else { over > rules.trigger });
                if wide && voltage > rules.start_voltage && voltage > rules.floor {
                    mask |= bit(cell);
                }
            }
            self.mask = mask;
            self.looks_at = now.after(LOOK);
        }
        if self.mask == 0 || now >= self.looks_at {
            return Plan::Idle;
        }
        Plan::Bleed { mask: self.mask, until: now.after(EXPIRY) }
    }
    fn stop(&mut self, _: Instant) {
        self.mask = 0;
        self.looks_at = Instant::ZERO;
    }
}
