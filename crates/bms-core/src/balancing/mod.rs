//! Balancing: a strategy looks at the pack and makes a plan; ports carry it out.
//!
//! ```text
//!  Situation ─► Strategy ─► Plan ─fit─► what the fitted balancer can do ─guard─► Command.balance ─► Balancer port
//!     ▲          ManualRule: the manual's rule     BalancerKind                 every limit, in one place
//!     │          Quota: charge quotas (default)
//!     └─ what was really moved                     PassiveBleed: for boards without a store
//! ```
//! A [`Strategy`] knows cells, not hardware. Whatever it returns, the guard keeps the limits (B02, D04, D27) and
//! the [`Plan`] expires by itself, so that a board that hears nothing more stops moving energy.

mod fit;
mod guard;
mod manual_rule;
mod passive;
mod quota;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;
mod wire_test;

pub(crate) use fit::fit;
pub(crate) use guard::Guard;
pub use manual_rule::ManualRule;
pub use passive::PassiveBleed;
pub use quota::{Ledger, Quota};
pub(crate) use wire_test::{Ended, Load, WireTest};

use crate::config::Chemistry;
use crate::measurement::{CellScan, MAXIMUM_CELLS};
use crate::port::NotFitted;
use crate::time::{Duration, Instant};
use crate::units::{Charge, Current, Voltage};

/// A plan is renewed in every step and ends by itself at the latest this long after the last one.
const EXPIRY: Duration = Duration::from_millis(2_000);

/// Which half of a transfer is running (B01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Phase {
    /// Energy goes from the source cell into the balancer's store; the reported current is negative (B07).
    Take,
    /// Energy goes from the store into the destination cell; the reported current is positive (B07).
    Give,
}

/// What the balancer shall do until the plan expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Plan {
    /// Nothing: off.
    #[default]
    Idle,
    /// Move energy through the store, one phase at a time. Cells are indices, 0 is cell 1.
    Transfer {
        /// The cell that gives.
        source: u8,
        /// The cell that receives.
        destination: u8,
        /// Which half is running.
        phase: Phase,
        /// The current, as a positive number.
        current: Current,
        /// When the port must stop by itself.
        until: Instant,
    },
    /// Burn energy of every cell in the mask (bit 0 is cell 1) in its bleed resistor.
    Bleed {
        /// The cells.
        mask: u32,
        /// When the port must stop by itself.
        until: Instant,
    },
    /// Move energy between two neighbouring cells directly.
    Shuttle {
        /// The cell that gives.
        source: u8,
        /// Its neighbour, which receives.
        destination: u8,
        /// The current, as a positive number.
        current: Current,
        /// When the port must stop by itself.
        until: Instant,
    },
}

impl Plan {
    /// Whether no energy is moved.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }
    /// The same plan, ending at the latest then.
    pub(crate) fn ending_by(mut self, end: Instant) -> Self {
        match &mut self {
            Self::Idle => {}
            Self::Transfer { until, .. } | Self::Bleed { until, .. } | Self::Shuttle { until, .. } => {
                *until = (*until).min(end);
            }
        }
        self
    }
    /// What it moves, as a positive number; of bleed resistors it is not known.
    pub(crate) const fn current(&self) -> Current {
        match *self {
            Self::Idle | Self::Bleed { .. } => Current::ZERO,
            Self::Transfer { current, .. } | Self::Shuttle { current, .. } => current,
        }
    }
    /// When the port must stop by itself.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        match *self {
            Self::Idle => None,
            Self::Transfer { until, .. } | Self::Bleed { until, .. } | Self::Shuttle { until, .. } => Some(until),
        }
    }
}

/// How a balancer is built: which plans it can carry out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BalancerKind {
    /// One energy store that any cell can be connected to, as the manual's: [`Plan::Transfer`].
    #[default]
    Transfer,
    /// A converter between each two neighbours: [`Plan::Shuttle`].
    Shuttle,
    /// A switch and a resistor at each cell: [`Plan::Bleed`].
    Bleed,
}

/// What the fitted balancer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BalancerCapabilities {
    /// How it is built.
    #[cfg_attr(feature = "serde", serde(default))]
    pub kind: BalancerKind,
    /// Largest current of a phase.
    pub maximum_current: Current,
    /// Longest time of one phase before the store is full (when taking) or empty (when giving).
    pub phase_time: Duration,
    /// Time from off until the cells are free of the balancer's drops (D04).
    pub settle_time: Duration,
}

impl BalancerCapabilities {
    /// The manual's kind of balancer: 2 A, a store that takes 10 s, settled after 20 ms.
    pub const MANUAL: Self = Self {
        kind: BalancerKind::Transfer,
        maximum_current: Current::from_milliamps(2_000),
        phase_time: Duration::from_millis(10_000),
        settle_time: Duration::from_millis(20),
    };
}

/// What a strategy is told in each step.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The step's time.
    pub now: Instant,
    /// Time since the previous step, ms.
    pub elapsed: u32,
    /// A complete **quiet** scan, if one came in this step: the only thing to decide upon (D04).
    pub quiet_scan: Option<CellScan<'a>>,
    /// How many cells there are.
    pub cells: u8,
    /// What the cells are made of.
    pub chemistry: Chemistry,
    /// Nominal capacity.
    pub capacity: Charge,
    /// The pack's current, positive charging; `None` if it is not known in this step.
    pub pack_current: Option<Current>,
    /// What the balancer was told in the previous step, and did since.
    pub running: Plan,
    /// What the balancer reported in this step (B07), `None` if it did not.
    pub balance_current: Option<Current>,
    /// Limits that the guard keeps; a plan beyond them becomes [`Plan::Idle`].
    pub rules: Rules,
    /// What the balancer can do.
    pub capabilities: BalancerCapabilities,
    /// Whether the store is empty (B01).
    pub store_empty: bool,
}

/// Limits that every strategy keeps, from the configuration (B02–B06, D04, D27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Balancing starts above this difference.
    pub trigger: Voltage,
    /// Balancing stops below this difference.
    pub stop: Voltage,
    /// The highest cell must exceed this.
    pub start_voltage: Voltage,
    /// No cell is taken below this (UVPR).
    pub floor: Voltage,
    /// No cell is lifted above this (OVPR).
    pub ceiling: Voltage,
    /// Largest current.
    pub current: Current,
    /// Shortest time that a pair stays chosen.
    pub minimum_on: Duration,
    /// Shortest pause.
    pub minimum_off: Duration,
}

/// What a strategy has learned and what survives a reset, in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LearnedBalance {
    /// What arrives of the energy that a transfer takes, in thousandths; 0: not learned.
    pub efficiency_permille: u16,
    /// How far a value of `surplus` may be wrong, in 1/8192 of the capacity.
    pub doubt: u16,
    /// By how much each cell is ahead of the others on the way to full, in 1/8192 of the capacity; [`LearnedBalance::UNKNOWN`]
    /// where nothing is known.
    pub surplus: [i16; MAXIMUM_CELLS],
}

impl LearnedBalance {
    /// Nothing is known of this cell.
    pub const UNKNOWN: i16 = i16::MIN;
    /// Nothing was learned.
    pub const NOTHING: Self = Self { efficiency_permille: 0, doubt: 0, surplus: [Self::UNKNOWN; MAXIMUM_CELLS] };

    /// How far a stored `surplus` may lag behind what was delivered since, in 1/8192 of the capacity: 0.5 %. A store that
    /// saves whenever [`LearnedBalance::is_outdated_by`] says so stays within it.
    pub const LAG: u16 = 41;

    /// As it may be stored while transfers go on: what is delivered after the snapshot makes it wrong by up to
    /// [`LearnedBalance::LAG`], and would be delivered again.
    pub(crate) const fn while_running(self) -> Self {
        Self { doubt: self.doubt.saturating_add(Self::LAG), ..self }
    }

    /// Whether this stored state should be replaced by a newer one: a cell moved by half of [`LearnedBalance::LAG`], one
    /// became known or unknown, the doubt fell by as much, or the efficiency changed by 2 %.
    #[must_use]
    pub fn is_outdated_by(&self, newer: &Self) -> bool {
        let half = Self::LAG / 2;
        self.efficiency_permille.abs_diff(newer.efficiency_permille) >= 20
            || newer.doubt.saturating_add(half) <= self.doubt
            || self.surplus.iter().zip(&newer.surplus).any(|(old, new)| old.abs_diff(*new) >= half)
    }
}

impl Default for LearnedBalance {
    fn default() -> Self {
        Self::NOTHING
    }
}

/// Chooses what to balance.
pub trait Strategy {
    /// Whether there is anything to balance with; `false` leaves balancing out of the linked core.
    const FITTED: bool = true;
    /// Looks at what happened, in every step, also while balancing is not allowed: keeps the books and learns.
    fn observe(&mut self, situation: &Situation<'_>) {
        let _ = situation;
    }
    /// The plan from now on. Called only while nothing inhibits balancing and its switch is on.
    fn plan(&mut self, situation: &Situation<'_>) -> Plan;
    /// Balancing was stopped from outside; forget the pair.
    fn stop(&mut self, now: Instant);
    /// What shall survive a shutdown.
    fn learned(&self) -> LearnedBalance {
        LearnedBalance::NOTHING
    }
    /// Takes up what survived.
    fn restore(&mut self, learned: &LearnedBalance) {
        let _ = learned;
    }
    /// The pack is another one, or has another capacity: what was learned of its cells is void.
    fn forget(&mut self) {}
}

/// No balancer: nothing moves, nothing is linked.
impl Strategy for NotFitted {
    const FITTED: bool = false;
    fn plan(&mut self, _: &Situation<'_>) -> Plan {
        Plan::Idle
    }
    fn stop(&mut self, _: Instant) {}
}
