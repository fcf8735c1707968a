//! The one place that keeps the balancer's limits, whatever a strategy wants (B02, D04, D27).

use super::{BalancerCapabilities, EXPIRY, Phase, Plan, Rules};
use crate::measurement::{CellScan, Feedback, bit};
use crate::time::Instant;
use crate::units::{Current, ma};

/// A pause of up to this length in which the balancer could run counts as an interruption for a quiet scan (D04).
const INTERRUPTION: u32 = 5_000;
/// Quiet scans take at most one part in so many of the time (D04).
const QUIET_SHARE: u32 = 20;

/// A balancer that runs reports at least this much.
const AUDIBLE: Current = ma(100);
/// How long one may take to begin, ms.
const BEGINNING: u32 = 1_000;

/// What the limits need to remember.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// The pair that was admitted last, and since when.
    pair: (u8, u8),
    since: Instant,
    /// Charge taken into the store since it was last empty, mA·ms.
    taken: i64,
    /// Time that the balancer ran since the last quiet scan that was made use of, ms.
    ran: u32,
    /// Time that the balancer ran and reported hardly any current, ms.
    silent: u32,
}

impl Guard {
    pub(crate) const fn new() -> Self {
        Self { pair: (0, 0), since: Instant::ZERO, taken: 0, ran: u32::MAX, silent: 0 }
    }

    /// Time passed with this plan running.
    pub(crate) fn pass(&mut self, running: &Plan, elapsed: u32, feedback: &Feedback) {
        if !running.is_idle() {
            self.ran = self.ran.saturating_add(elapsed);
        }
        let heard = running.is_idle() || feedback.balance_current.magnitude() >= AUDIBLE;
        self.silent = if heard { 0 } else { self.silent.saturating_add(elapsed) };
        let store_empty = feedback.store_empty;
        match *running {
            Plan::Transfer { phase: Phase::Take, current, .. } => {
                let moved = i64::from(current.as_milliamps()).saturating_mul(i64::from(elapsed));
                self.taken = self.taken.saturating_add(moved);
            }
            _ if store_empty => self.taken = 0,
            _ => {}
        }
    }

    /// Whether the balancer runs and does not say so for longer than it takes to begin: what it reports is not the truth.
    pub(crate) const fn unheard(&self) -> bool {
        self.silent > BEGINNING
    }

    /// Whether a quiet scan may be used now, `idle` ms after the balancer went off: scans that interrupt a transfer must
    /// not take more than their share of the time.
    pub(crate) fn may_look(&mut self, idle: u32) -> bool {
        let allowed = idle > INTERRUPTION || self.ran / (QUIET_SHARE - 1) >= idle;
        if allowed {
            self.ran = 0;
        }
        allowed
    }

    /// The plan if it keeps every limit, otherwise nothing.
    pub(crate) fn admit(
        &mut self,
        plan: Plan,
        scan: &CellScan<'_>,
        rules: &Rules,
        capabilities: &BalancerCapabilities,
        now: Instant,
    ) -> Plan {
        let gives = |cell: u8| scan.voltage(usize::from(cell)).is_some_and(|voltage| voltage > rules.floor);
        let takes = |cell: u8| scan.voltage(usize::from(cell)).is_some_and(|voltage| voltage < rules.ceiling);
        let highest = rules.current.min(capabilities.maximum_current);
        let within = |current: Current| current > Current::ZERO && current <= highest;
        let kept = match plan {
            Plan::Idle => return Plan::Idle,
            Plan::Transfer { source, destination, phase, current, .. } => {
                let room = i64::from(capabilities.maximum_current.as_milliamps())
                    .saturating_mul(i64::from(capabilities.phase_time.as_millis()));
                source != destination
                    && gives(source)
                    && takes(destination)
                    && within(current)
                    && (phase == Phase::Give || self.taken < room)
                    && self.settled(source, destination, rules, now)
            }
            Plan::Shuttle { source, destination, current, .. } => {
                source.abs_diff(destination) == 1
                    && gives(source)
                    && takes(destination)
                    && within(current)
                    && self.settled(source, destination, rules, now)
            }
            Plan::Bleed { mask, .. } => {
                let all = crate::measurement::mask(scan.count() as u8);
                let mut cells = (0..scan.count()).filter(|cell| mask & bit(*cell) != 0);
                mask != 0
                    && mask & !all == 0
                    && highest > Current::ZERO
                    && cells.all(|cell| scan.voltage(cell).is_some_and(|voltage| voltage > rules.floor))
            }
        };
        if kept { plan.ending_by(now.after(EXPIRY)) } else { Plan::Idle }
    }

    /// A pair stays chosen for its shortest time (D04).
    fn settled(&mut self, source: u8, destination: u8, rules: &Rules, now: Instant) -> bool {
        if self.pair == (source, destination) {
            return true;
        }
        let due = self.since == Instant::ZERO || now.since(self.since) >= rules.minimum_on;
        if due {
            self.pair = (source, destination);
            self.since = now;
        }
        due
    }
}
