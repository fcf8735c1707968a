//! Balancing: a strategy looks at the pack and makes a plan; ports carry it out.
//!
//! A [`Strategy`] knows cells and limits, not hardware. The [`Plan`] expires by itself, so that a board that hears
//! nothing more stops moving energy.

mod manual_rule;

pub use manual_rule::ManualRule;

use crate::measurement::CellScan;
use crate::time::{Duration, Instant};
use crate::units::{Current, Voltage};

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
    /// When the port must stop by itself.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        match *self {
            Self::Idle => None,
            Self::Transfer { until, .. } | Self::Bleed { until, .. } | Self::Shuttle { until, .. } => Some(until),
        }
    }
}

/// What the fitted balancer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BalancerCapabilities {
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
        maximum_current: Current::from_milliamps(2_000),
        phase_time: Duration::from_millis(10_000),
        settle_time: Duration::from_millis(20),
    };
}

/// What a strategy is given in each step.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The step's time.
    pub now: Instant,
    /// A complete **quiet** scan, if one came in this step: the only thing to decide upon (D04).
    pub quiet_scan: Option<CellScan<'a>>,
    /// Limits that every plan keeps.
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

/// Chooses what to balance.
///
/// Called only while nothing inhibits balancing and its switch is on; whatever it returns, the core still stops a
/// transfer that any alarm, missing reading or raw violation forbids.
pub trait Strategy {
    /// The plan from now on; it must expire within a few seconds.
    fn plan(&mut self, situation: &Situation<'_>) -> Plan;
    /// Balancing was stopped from outside; forget the pair.
    fn stop(&mut self, now: Instant);
}
