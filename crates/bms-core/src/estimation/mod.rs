//! State of charge: what is in the pack, and how often it has been through it.
//!
//! [`CoulombCounter`] counts exactly and corrects itself at the full and the empty anchor. Better estimators implement
//! [`Estimator`] and are chosen by type, so that only what is used is paid for.

mod coulomb;
mod ocv;

pub use crate::measurement::{CellScan, CurrentInterval};
pub use coulomb::CoulombCounter;
pub use ocv::interpolate;
pub(crate) use ocv::slope_permille_per_volt;

use crate::config::ValidConfig;
use crate::snapshot::Snapshot;
use crate::units::{Charge, Current};

/// What an estimator is told in each step.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The configuration.
    pub config: &'a ValidConfig,
    /// The current since the last step, with its known length and the gap.
    pub interval: CurrentInterval,
    /// The scan of the cells, if a complete one came in this step.
    pub cells: Option<CellScan<'a>>,
    /// The over-voltage alarm was raised in this step.
    pub overvoltage: bool,
    /// The under-voltage alarm was raised in this step.
    pub undervoltage: bool,
}

/// An anchor that an estimator has just reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Full: the state of charge is 100 %.
    Full,
    /// Empty: the state of charge is 0 %.
    Empty,
}

/// Estimates the state of charge.
pub trait Estimator {
    /// One step; bounded work, no panic. Returns an anchor that was reached in this step.
    fn update(&mut self, evidence: &Evidence<'_>) -> Option<Anchor>;
    /// The charge in the pack, between zero and the capacity; `None` while nothing is known.
    fn remaining(&self) -> Option<Charge>;
    /// The capacity as learned (T08).
    fn capacity(&self) -> Charge;
    /// Cumulative discharged charge (T10).
    fn cycle_capacity(&self) -> Charge;
    /// Times charged to full (T11).
    fn cycles(&self) -> u32;
    /// The capacity was changed by the owner.
    fn set_capacity(&mut self, capacity: Charge);
    /// Takes up what survived a reset.
    fn restore(&mut self, snapshot: &Snapshot);
    /// State of charge in thousandths; `None` while nothing is known.
    fn state_of_charge_permille(&self) -> Option<u16> {
        let capacity = self.capacity().as_milliamp_millis();
        let permille = self.remaining()?.as_milliamp_millis().saturating_mul(1_000).checked_div(capacity)?;
        u16::try_from(permille.clamp(0, 1_000)).ok()
    }
}

/// A rate in thousandths of the capacity per hour, as a current.
pub(crate) fn c_rate(config: &ValidConfig, permille: i32) -> Current {
    let milliamp_hours = config.capacity().as_milliamp_hours();
    Current::from_milliamps(crate::units::saturate(milliamp_hours.saturating_mul(i64::from(permille)) / 1_000))
}
