//! The balancer: an active one with an energy store, with bleeding and shuttling beside it.

use bms_core::balancing::{BalancerCapabilities, BalancerKind, Phase, Plan};
use bms_core::port::ErrorKind;
use bms_core::time::Duration;
use bms_core::units::Current;

use super::wires::Wires;
use super::{MAXIMUM_CELLS, cell::Cell};

/// What the balancer is built of.
#[derive(Clone, Copy, Debug)]
pub struct BalancerSpec {
    /// How it is built: it refuses plans for another kind.
    pub kind: BalancerKind,
    /// Largest current of a phase in A.
    pub maximum_current: f64,
    /// What arrives of the energy in each phase, 0 … 1.
    pub efficiency: f64,
    /// How much energy the store takes, J.
    pub store_joules: f64,
    /// Time until readings are free of its drops, ms.
    pub settle_ms: u32,
    /// Bleed resistor of each cell, Ω.
    pub bleed_ohms: f64,
}

impl Default for BalancerSpec {
    /// The manual's kind: 2 A, a store that takes 10 s at 4.2 V, 95 % each way.
    fn default() -> Self {
        Self {
            kind: BalancerKind::Transfer,
            maximum_current: 2.0,
            efficiency: 0.95,
            store_joules: 84.0,
            settle_ms: 20,
            bleed_ohms: 33.0,
        }
    }
}

/// Energy that the balancer moved, in J. `taken = given + stored + lost`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BalanceLedger {
    /// Out of source cells (and into bleed resistors).
    pub taken: f64,
    /// Into destination cells.
    pub given: f64,
    /// In the store now.
    pub stored: f64,
    /// Turned into heat.
    pub lost: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Balancer {
    pub spec: BalancerSpec,
    pub ledger: BalanceLedger,
    /// Charge that it moved into each cell since the start (negative: out of it), A·s, and how much of it went out of cells.
    pub moved: [f64; MAXIMUM_CELLS],
    pub taken: f64,
    plan: Plan,
    /// Current into each cell.
    currents: [f64; MAXIMUM_CELLS],
    /// What each cell reads too much (or, negative, too little) because of the wires.
    drops: [f64; MAXIMUM_CELLS],
    off_since: u64,
}

impl Balancer {
    pub(super) fn new(spec: BalancerSpec) -> Self {
        Self {
            spec,
            ledger: BalanceLedger::default(),
            moved: [0.0; MAXIMUM_CELLS],
            taken: 0.0,
            plan: Plan::Idle,
            currents: [0.0; MAXIMUM_CELLS],
            drops: [0.0; MAXIMUM_CELLS],
            off_since: 0,
        }
    }
    pub(super) fn capabilities(&self) -> BalancerCapabilities {
        let watts = self.spec.maximum_current * 4.2;
        let seconds = if watts > 0.0 { self.spec.store_joules / watts } else { 0.0 };
        let amps = match self.spec.kind {
            BalancerKind::Bleed => 4.2 / self.spec.bleed_ohms.max(1e-3),
            BalancerKind::Transfer | BalancerKind::Shuttle => self.spec.maximum_current,
        };
        BalancerCapabilities {
            kind: self.spec.kind,
            maximum_current: Current::from_milliamps((amps * 1e3) as i32),
            phase_time: Duration::from_millis((seconds * 1e3) as u32),
            settle_time: Duration::from_millis(self.spec.settle_ms),
        }
    }
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }
    /// Starts a plan, or refuses it and is off.
    pub(super) fn apply(
        &mut self,
        plan: &Plan,
        cells: &mut [Cell],
        wires: &Wires,
        now_us: u64,
    ) -> Result<(), ErrorKind> {
        if !plan.is_idle()
            && same_but_for_expiry(plan, &self.plan)
            && plan.until().is_some_and(|until| until.as_millis() * 1_000 > now_us)
        {
            self.plan = *plan;
            return Ok(());
        }
        self.stop(cells, now_us);
        let count = cells.len();
        let mut flows = [0.0; MAXIMUM_CELLS];
        let possible = match *plan {
            Plan::Idle => return Ok(()),
            Plan::Transfer { source, destination, phase, current, .. } => {
                let amps = f64::from(current.as_milliamps()) * 1e-3;
                let (cell, flow) = match phase {
                    Phase::Take => (source, -amps),
                    Phase::Give => (destination, amps),
                };
                put(&mut flows, cell, flow);
                self.is(BalancerKind::Transfer)
                    && source != destination
                    && self.can(amps)
                    && usize::from(source.max(destination)) < count
            }
            Plan::Shuttle { source, destination, current, .. } => {
                let amps = f64::from(current.as_milliamps()) * 1e-3;
                put(&mut flows, source, -amps);
                put(&mut flows, destination, amps * self.spec.efficiency);
                self.is(BalancerKind::Shuttle)
                    && source.abs_diff(destination) == 1
                    && self.can(amps)
                    && usize::from(source.max(destination)) < count
            }
            Plan::Bleed { mask, .. } => {
                for (index, (flow, cell)) in flows.iter_mut().zip(cells.iter()).enumerate() {
                    if mask >> index & 1 == 1 {
                        *flow = -cell.voltage / self.spec.bleed_ohms;
                    }
                }
                self.is(BalancerKind::Bleed) && mask != 0 && (count >= 32 || mask >> count == 0)
            }
            _ => false,
        };
        if !possible || plan.until().is_some_and(|until| until.as_millis() * 1_000 <= now_us) {
            return Err(ErrorKind::Other);
        }
        self.plan = *plan;
        self.currents = flows;
        for (index, flow) in self.currents.iter_mut().enumerate() {
            if !wires.connects(index) {
                *flow = 0.0;
            }
        }
        self.drops = wires.drops(&self.currents);
        for (cell, flow) in cells.iter_mut().zip(self.currents) {
            cell.own_current = flow - cell.self_discharge;
        }
        Ok(())
    }
    fn is(&self, kind: BalancerKind) -> bool {
        self.spec.kind == kind
    }
    fn can(&self, amps: f64) -> bool {
        amps > 0.0 && amps <= self.spec.maximum_current + 1e-9
    }
    /// Stops whatever runs.
    pub(super) fn stop(&mut self, cells: &mut [Cell], now_us: u64) {
        if self.plan.is_idle() {
            return;
        }
        self.plan = Plan::Idle;
        self.currents = [0.0; MAXIMUM_CELLS];
        self.off_since = now_us;
        for cell in cells {
            cell.own_current = -cell.self_discharge;
        }
    }
    /// When it stops by itself: at its expiry, or when the store is full or empty.
    pub(super) fn stops_at(&self, cells: &[Cell], now_us: u64) -> Option<u64> {
        let expiry = self.plan.until()?.as_millis() * 1_000;
        let Plan::Transfer { phase, .. } = self.plan else {
            return Some(expiry);
        };
        let (room, watts) = match phase {
            Phase::Take => (self.spec.store_joules - self.ledger.stored, self.power(cells) * -self.spec.efficiency),
            Phase::Give => (self.ledger.stored, self.power(cells) / self.spec.efficiency),
        };
        let micros = if watts > 0.0 { room.max(0.0) / watts * 1e6 } else { f64::MAX };
        Some(expiry.min(now_us.saturating_add(micros as u64)))
    }
    /// Power into the cells.
    fn power(&self, cells: &[Cell]) -> f64 {
        cells.iter().zip(self.currents).map(|(cell, amps)| cell.voltage * amps).sum()
    }
    /// Books the energy of one integrator step.
    pub(super) fn book(&mut self, cells: &[Cell], seconds: f64) {
        for (moved, amps) in self.moved.iter_mut().zip(self.currents) {
            *moved += amps * seconds;
            self.taken -= amps.min(0.0) * seconds;
        }
        let ledger = &mut self.ledger;
        match self.plan {
            Plan::Transfer { phase: Phase::Take, .. } => {
                let joules: f64 = cells.iter().zip(self.currents).map(|(c, a)| -c.voltage * a).sum::<f64>() * seconds;
                let stored = (joules * self.spec.efficiency).min(self.spec.store_joules - ledger.stored).max(0.0);
                ledger.taken += joules;
                ledger.stored += stored;
                ledger.lost += joules - stored;
            }
            Plan::Transfer { phase: Phase::Give, .. } => {
                let joules: f64 = cells.iter().zip(self.currents).map(|(c, a)| c.voltage * a).sum::<f64>() * seconds;
                // The cell's voltage rises a little within the step that empties the store.
                let used = (joules / self.spec.efficiency).min(ledger.stored);
                ledger.given += joules;
                ledger.stored -= used;
                ledger.lost += used - joules;
            }
            _ => {
                for (cell, amps) in cells.iter().zip(self.currents) {
                    let joules = cell.voltage * amps * seconds;
                    if joules < 0.0 {
                        ledger.taken -= joules;
                    } else {
                        ledger.given += joules;
                    }
                    ledger.lost -= joules;
                }
            }
        }
    }
    /// Current as the board reports it: negative while taking, positive while giving (B07).
    pub(super) fn reported_current(&self) -> f64 {
        match self.plan {
            Plan::Transfer { .. } => self.currents.iter().sum(),
            _ => self.currents.iter().fold(0.0, |least: f64, amps| least.min(*amps)),
        }
    }
    /// Whether it is off and its drops are gone.
    pub(super) fn quiet(&self, now_us: u64) -> bool {
        self.plan.is_idle()
            && (self.off_since == 0 || now_us >= self.off_since + u64::from(self.spec.settle_ms) * 1_000)
    }
    /// What each cell reads too much now.
    pub(super) fn reading_errors(&self, now_us: u64) -> Option<[f64; MAXIMUM_CELLS]> {
        if !self.plan.is_idle() {
            return Some(self.drops);
        }
        if self.quiet(now_us) {
            return None;
        }
        // Five time constants fit into the settling time.
        let since = (now_us - self.off_since) as f64 / (f64::from(self.spec.settle_ms) * 1e3);
        Some(self.drops.map(|drop| drop * (-5.0 * since).exp()))
    }
}

/// Whether the second plan only runs to another time.
fn same_but_for_expiry(a: &Plan, b: &Plan) -> bool {
    match (*a, *b) {
        (
            Plan::Transfer { source: s1, destination: d1, phase: p1, current: c1, .. },
            Plan::Transfer { source: s2, destination: d2, phase: p2, current: c2, .. },
        ) => (s1, d1, p1, c1) == (s2, d2, p2, c2),
        (Plan::Bleed { mask: m1, .. }, Plan::Bleed { mask: m2, .. }) => m1 == m2,
        (
            Plan::Shuttle { source: s1, destination: d1, current: c1, .. },
            Plan::Shuttle { source: s2, destination: d2, current: c2, .. },
        ) => (s1, d1, c1) == (s2, d2, c2),
        _ => false,
    }
}

fn put(flows: &mut [f64; MAXIMUM_CELLS], index: u8, amps: f64) {
    if let Some(slot) = flows.get_mut(usize::from(index)) {
        *slot = amps;
    }
}
