//! The default strategy: charge quotas.
//!
//! ```text
//!  charging: the charge at which each cell passes a steep level ─┐
//!  at rest, under one current: voltage differences on a slope   ─┴─► Knowledge: surplus and doubt of each cell
//!  always:   what the balancer really moved ─────────────────────►        │
//!                                                                 Delivery: pair, link or resistors, at any SOC
//! ```
//! A voltage says little on a flat curve, and the voltage target of the manual's rule is met while a LiFePO4 pack is
//! still unbalanced. So this strategy looks where voltage tells something (near full, while charging; at rest where the
//! curve has a slope), turns what it sees into ampere-hours that each cell is ahead or behind **on the way to full**, and then
//! delivers those, counting, whatever the voltage says meanwhile. It moves nothing while the difference of two cells is
//! less than what it can tell apart.
//!
//! A cell with less capacity than the others is level with them only when full, and is left alone below that.
//!
//! The start voltage (B03) governs where it **looks** at rest, not when it delivers; trigger and stop value are the manual's rule's alone.

mod delivery;
mod knowledge;
mod ledger;
mod sweep;

pub use ledger::Ledger;

use super::{LearnedBalance, Phase, Plan, Situation, Strategy};
use crate::config::Chemistry;
use crate::estimation::slope_permille_per_volt;
use crate::measurement::{CellScan, bit};
use crate::time::{Duration, Instant, secs};
use crate::units::{Charge, Current, Voltage, uv};
use delivery::Delivery;
use knowledge::{Knowledge, TICKS};
use sweep::{Outcome, Sweep};

/// Below 1/50 C the cells rest; so long at rest or under one current, until their differences can be believed.
const REST: Duration = secs(120);
/// Looks at rest, at most one a second, until their mean is good for a start.
const LOOKS: u8 = 16;
/// Weight of a new look at rest: an eighth.
const WEIGHT: i32 = 8;
/// What two readings must differ by to mean anything: the standard deviation of the difference of two that are each
/// within 3 mV (P05), √2 · 3 mV / √3.
const RESOLUTION: Voltage = uv(2_450);
/// Under a current the cells' resistances differ too: what that adds, as a part of the drop, a tenth.
const UNEQUAL_DROPS: i32 = 10;
/// A look at a lower state of charge than before says less about full: so far below the highest look it is ignored, in
/// tenths of a millivolt.
const LOWER: i32 = 200;
/// The highest look loses a millivolt in this time, so that a pack that is never charged so far is looked at again.
const FADES: u32 = 3_600_000 / 10;
/// What was learned near full holds for 30 days.
const ANCHOR_HOLDS: Duration = Duration::from_millis(2_592_000_000);

/// Charge quotas, learned where voltage tells something, delivered at any state of charge.
///
/// `N` sizes its buffers as that of [`Bms`](crate::Bms) does.
#[derive(Clone, Debug)]
pub struct Quota<const N: usize = 24> {
    knowledge: Knowledge<N>,
    sweep: Sweep<N>,
    ledger: Ledger,
    delivery: Delivery,
    /// What was moved out of the source and into the destination and is not booked yet, mA·ms.
    unbooked: [i64; 2],
    /// When the cells were last compared near full.
    anchored: Option<Instant>,
    /// Whether cells were compared far from full since the start.
    compared: bool,
    /// How long the pack has rested, or been charged with one current, ms.
    rested: u32,
    /// Looks meanwhile.
    looks: u8,
    looked_at: Instant,
    /// Mean cell voltage of the look nearest to full, in tenths of a millivolt, and since when it fades.
    highest_look: (i32, Instant),
}

impl<const N: usize> Quota<N> {
    /// Nothing is known, nothing moves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            knowledge: Knowledge::new(),
            sweep: Sweep::new(),
            ledger: Ledger::new(),
            delivery: Delivery::new(),
            unbooked: [0; 2],
            anchored: None,
            compared: false,
            rested: 0,
            looks: 0,
            looked_at: Instant::ZERO,
            highest_look: (0, Instant::ZERO),
        }
    }
    /// The books: what was moved since the start, and what was lost.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
    /// By how much a cell is ahead of the mean on the way to full, in thousandths of the capacity, and how far that may be
    /// wrong; `None` while it is not known.
    #[must_use]
    pub fn surplus_permille(&self, cell: usize) -> Option<(i32, i32)> {
        let permille = |ticks: i32| ticks.saturating_mul(1_000) / TICKS;
        Some((permille(self.knowledge.surplus(cell)?), permille(self.knowledge.doubt(cell)?)))
    }

    /// Books what the balancer did since the last step.
    fn book(&mut self, situation: &Situation<'_>) {
        let tick = tick(situation.capacity);
        let charge = self.ledger.moved(&situation.running, situation.balance_current, situation.elapsed);
        match situation.running {
            Plan::Idle => {}
            Plan::Transfer { source, destination, phase, .. } => {
                let voltage = self.delivery.voltage(phase);
                self.ledger.book(phase, charge, voltage);
                match phase {
                    Phase::Take => self.shift(0, source, charge.saturating_neg(), tick),
                    Phase::Give => self.shift(1, destination, charge, tick),
                }
                if phase == Phase::Give && situation.store_empty {
                    self.ledger.emptied();
                }
            }
            Plan::Shuttle { source, destination, .. } => {
                let arrives = charge.saturating_mul(i64::from(self.ledger.efficiency_permille())) / 1_000;
                self.ledger.book(Phase::Take, charge, self.delivery.voltage(Phase::Take));
                self.ledger.book(Phase::Give, arrives, self.delivery.voltage(Phase::Give));
                self.shift(0, source, charge.saturating_neg(), tick);
                self.shift(1, destination, arrives, tick);
            }
            Plan::Bleed { mask, .. } => {
                let current = situation.balance_current.unwrap_or(situation.capabilities.maximum_current);
                let each = Charge::moved(current.magnitude(), situation.elapsed).as_milliamp_millis();
                self.unbooked[0] = self.unbooked[0].saturating_sub(each);
                let ticks = whole(&mut self.unbooked[0], tick);
                for cell in 0..usize::from(situation.cells) {
                    if mask & bit(cell) != 0 {
                        self.ledger.book(Phase::Take, each, self.delivery.voltage(Phase::Take));
                        self.knowledge.book(cell, ticks);
                        self.sweep.book(cell, ticks);
                    }
                }
                self.ledger.emptied();
            }
        }
    }
    fn shift(&mut self, side: usize, cell: u8, charge: i64, tick: i64) {
        let Some(unbooked) = self.unbooked.get_mut(side) else { return };
        *unbooked = unbooked.saturating_add(charge);
        let ticks = whole(unbooked, tick);
        if ticks != 0 {
            self.knowledge.book(usize::from(cell), ticks);
            self.sweep.book(usize::from(cell), ticks);
            self.delivery.moved(ticks);
        }
    }

    /// A quiet scan, to learn from.
    fn look(&mut self, situation: &Situation<'_>, scan: &CellScan<'_>, current: Current) {
        let capacity = situation.capacity;
        let one_c = crate::units::saturate(capacity.as_milliamp_hours());
        let now = situation.now;
        if current.as_milliamps() >= one_c / 40 {
            let outcome = self.sweep.look(scan, situation.chemistry, current, capacity, &mut self.knowledge);
            self.anchor(outcome, now);
        }
        let anchored = self.anchored.is_some_and(|at| now.since(at) < ANCHOR_HOLDS);
        let sloped = situation.chemistry != Chemistry::LiFePo4;
        let due = self.looks == 0 || now.since(self.looked_at) >= secs(1);
        if sloped && !anchored && self.rested >= REST.as_millis() && due {
            let drop = sweep::drop(situation.chemistry, current.max(Current::ZERO), capacity);
            self.compare(situation, scan, drop);
        }
    }
    /// Compares all cells at rest or under one current, on a curve with a slope; `drop` in tenths of a millivolt.
    fn compare(&mut self, situation: &Situation<'_>, scan: &CellScan<'_>, drop: i32) {
        let (Some(mean), Some((_, top)), now) = (scan.average(), scan.highest(), situation.now) else { return };
        let shown = mean.as_microvolts() / 100;
        let tenths = shown.saturating_sub(drop);
        let (highest, since) = self.highest_look;
        let fallen = i32::try_from(now.since(since).as_millis() / FADES).unwrap_or(i32::MAX);
        if top <= situation.rules.start_voltage || tenths < highest.saturating_sub(LOWER).saturating_sub(fallen) {
            return;
        }
        if tenths >= highest {
            self.highest_look = (tenths, now);
        }
        self.looked_at = now;
        self.looks = self.looks.saturating_add(1).min(LOOKS);
        let weight = i32::from(self.looks).min(WEIGHT);
        // Ticks for a tenth of a millivolt, times 2¹⁰.
        let slope = slope_permille_per_volt(situation.chemistry, uv(tenths.saturating_mul(100)));
        let ticks = |tenths: i32| tenths.saturating_mul(slope).saturating_mul(TICKS / 1_000) / 10_000;
        let doubt = ticks((RESOLUTION.as_microvolts() / 100).saturating_add(drop / UNEQUAL_DROPS) / 2);
        for cell in 0..scan.count() {
            let Some(reading) = scan.get(cell) else { continue };
            let seen = ticks(i32::from(reading).saturating_sub(shown));
            let known = self.knowledge.surplus(cell).filter(|_| self.looks > 1).unwrap_or(seen);
            let step = nearest(seen.saturating_sub(known), weight);
            self.knowledge.learn(cell, known.saturating_add(step), doubt);
        }
    }
    fn anchor(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Compared => self.compared = true,
            Outcome::Anchored => self.anchored = Some(now),
        }
    }
}

impl<const N: usize> Default for Quota<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Strategy for Quota<N> {
    fn observe(&mut self, situation: &Situation<'_>) {
        self.book(situation);
        let Some(current) = situation.pack_current else {
            // An unknown charge passed.
            self.sweep.abandon();
            self.rested = 0;
            return;
        };
        self.sweep.pass(current, situation.elapsed);
        if self.sweep.active() && !self.sweep.continues(current) {
            let outcome =
                self.sweep.close(situation.chemistry, situation.capacity, situation.cells, &mut self.knowledge);
            self.anchor(outcome, situation.now);
            self.rested = 0;
            self.looks = 0;
        }
        let one_c = crate::units::saturate(situation.capacity.as_milliamp_hours());
        if current.magnitude().as_milliamps() < one_c / 50 || self.sweep.active() {
            self.rested = self.rested.saturating_add(situation.elapsed);
        } else {
            self.rested = 0;
            self.looks = 0;
        }
        if let Some(scan) = &situation.quiet_scan {
            self.look(situation, scan, current);
        }
    }
    fn plan(&mut self, situation: &Situation<'_>) -> Plan {
        let ready = self.anchored.is_some() || self.compared || self.looks >= LOOKS;
        self.delivery.plan(situation, &self.knowledge, ready, self.sweep.active())
    }
    fn stop(&mut self, _: Instant) {
        self.delivery.stop();
    }
    fn learned(&self) -> LearnedBalance {
        let mut learned = LearnedBalance { efficiency_permille: self.ledger.learned(), ..LearnedBalance::NOTHING };
        if self.anchored.is_some() {
            self.knowledge.store(&mut learned);
        }
        learned
    }
    fn restore(&mut self, learned: &LearnedBalance) {
        self.ledger.restore(learned.efficiency_permille);
        self.knowledge.restore(learned);
        let known = learned.surplus.iter().any(|surplus| *surplus != LearnedBalance::UNKNOWN);
        self.anchored = known.then_some(Instant::ZERO);
    }
    fn forget(&mut self) {
        *self = Self { ledger: self.ledger, ..Self::new() };
    }
}

/// One tick in mA·ms.
fn tick(capacity: Charge) -> i64 {
    capacity.as_milliamp_millis() / knowledge::TICKS_IN_CAPACITY
}

/// Takes the whole ticks out of a rest of charge.
fn whole(rest: &mut i64, tick: i64) -> i32 {
    let ticks = rest.checked_div(tick).unwrap_or(0);
    *rest = rest.saturating_sub(ticks.saturating_mul(tick));
    crate::units::saturate(ticks)
}

/// Rounded to the nearest.
fn nearest(value: i32, divisor: i32) -> i32 {
    let half = if value < 0 { (divisor / 2).saturating_neg() } else { divisor / 2 };
    value.saturating_add(half).checked_div(divisor).unwrap_or(0)
}
