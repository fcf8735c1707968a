//! The books of a balancer with a store: what was taken, what was given, what was lost on the way.

use crate::balancing::{Phase, Plan};
use crate::units::{Charge, Current, Voltage};

/// Weight of a new efficiency: an eighth.
const LEARNING: i32 = 8;
/// What is assumed until it was learned, thousandths.
const ASSUMED: u16 = 900;
/// A cycle of the store below this is too short to learn from, in nJ.
const SHORTEST: i64 = 5_000_000_000;

/// Charge and energy that the balancer moved since the start.
///
/// `energy_taken = energy_given + stored + lost` and `lost ≥ 0`, always: where the readings say that more came out of the
/// store than went in, the surplus is a reading error and is not booked as given energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Charge out of cells.
    pub taken: Charge,
    /// Charge into cells.
    pub given: Charge,
    /// Energy out of cells, nJ.
    pub energy_taken: i64,
    /// Energy into cells, nJ.
    pub energy_given: i64,
    /// Energy turned into heat, nJ; counted when the store is empty again.
    pub lost: i64,
    /// Energy of the running cycle of the store: taken and given, nJ.
    cycle: (i64, i64),
    /// LearnedBalance efficiency in thousandths, 0 while unknown.
    efficiency: u16,
    /// The last current, to halve the interval in which it ended.
    flowed: bool,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            taken: Charge::ZERO,
            given: Charge::ZERO,
            energy_taken: 0,
            energy_given: 0,
            lost: 0,
            cycle: (0, 0),
            efficiency: 0,
            flowed: false,
        }
    }
    /// Energy in the store, nJ: what was taken and neither given nor counted as lost yet.
    #[must_use]
    pub const fn stored(&self) -> i64 {
        self.energy_taken.saturating_sub(self.energy_given).saturating_sub(self.lost)
    }
    /// What arrives of the energy taken, in thousandths; a careful guess until it was learned.
    #[must_use]
    pub const fn efficiency_permille(&self) -> u16 {
        if self.efficiency == 0 { ASSUMED } else { self.efficiency }
    }
    pub(super) const fn learned(&self) -> u16 {
        self.efficiency
    }
    pub(super) fn restore(&mut self, permille: u16) {
        self.efficiency = if permille == 0 { 0 } else { permille.clamp(300, 1_000) };
    }
    /// How much charge moved in an interval at whose end the balancer reported `reported`.
    pub(super) fn moved(&mut self, plan: &Plan, reported: Option<Current>, elapsed: u32) -> i64 {
        let planned = match *plan {
            Plan::Transfer { current, .. } | Plan::Shuttle { current, .. } => current,
            Plan::Idle | Plan::Bleed { .. } => Current::ZERO,
        };
        let current = reported.map_or(planned, Current::magnitude);
        let flows = current > Current::ZERO;
        let charge = if flows {
            Charge::moved(current, elapsed)
        } else if self.flowed {
            // It ended somewhere in this interval.
            Charge::moved(planned, elapsed / 2)
        } else {
            Charge::ZERO
        };
        self.flowed = flows;
        charge.as_milliamp_millis()
    }
    /// Books what a phase moved at a cell of this voltage.
    pub(super) fn book(&mut self, phase: Phase, charge: i64, voltage: Voltage) {
        let energy = charge.saturating_mul(i64::from(voltage.as_millivolts()));
        let moved = Charge::from_milliamp_millis(charge);
        match phase {
            Phase::Take => {
                self.taken = self.taken.plus(moved);
                self.energy_taken = self.energy_taken.saturating_add(energy);
                self.cycle.0 = self.cycle.0.saturating_add(energy);
            }
            Phase::Give => {
                self.given = self.given.plus(moved);
                let energy = energy.min(self.stored()).max(0);
                self.energy_given = self.energy_given.saturating_add(energy);
                self.cycle.1 = self.cycle.1.saturating_add(energy);
            }
        }
    }
    /// The store is empty: what is left of it in the books was lost, and the efficiency shows.
    pub(super) fn emptied(&mut self) {
        let (taken, given) = self.cycle;
        self.cycle = (0, 0);
        self.lost = self.lost.saturating_add(self.stored().max(0));
        if taken < SHORTEST || given <= 0 {
            return;
        }
        let permille = given.saturating_mul(1_000).checked_div(taken).unwrap_or(0).clamp(300, 1_000) as i32;
        let before = if self.efficiency == 0 { permille } else { i32::from(self.efficiency) };
        let change = permille.saturating_sub(before).checked_div(LEARNING).unwrap_or(0);
        self.efficiency = before.saturating_add(change) as u16;
    }
    #[cfg(test)]
    pub(crate) fn book_for_test(&mut self, phase: Phase, charge: i64, voltage: Voltage) {
        self.book(phase, charge, voltage);
    }
    #[cfg(test)]
    pub(crate) fn emptied_for_test(&mut self) {
        self.emptied();
    }
}
