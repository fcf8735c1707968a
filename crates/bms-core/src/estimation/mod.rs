//! State of charge: what is in the pack, and how often it has been through it.
//!
//! [`CoulombCounter`] counts exactly and corrects itself at the full and the empty anchor. Better estimators implement
//! [`Estimator`] and are chosen by type, so that only what is used is paid for.

mod bank;
mod chemistry;
mod chemistry_tables;
mod coulomb;
mod difference;
mod display;
mod filter;
mod math;
mod model;
mod ocv;
mod state;
mod tracker;

pub use crate::measurement::{CellScan, CurrentInterval};
pub use chemistry::{FLAT, SLOPED, TYPICAL_FLAT, TYPICAL_SLOPED};
pub use chemistry_tables::{LI_ION, LIFEPO4, LTO};
pub use coulomb::CoulombCounter;
pub use difference::{CellDifference, CellDifferences};
pub use filter::ModelEstimator;
pub use model::{CellModel, KNOTS, PATHS, Tuning};
pub use ocv::interpolate;
pub(crate) use ocv::slope_permille_per_volt;
pub use state::{Learned, Source, StateOfCharge, StateOfHealth, StateOfPower};

use crate::balancing::Plan;
use crate::config::{ParameterId, ValidConfig};
use crate::port::NotFitted;
use crate::snapshot::Snapshot;
use crate::units::{Charge, Current, Temperature};

/// What an estimator is told in each step.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The configuration.
    pub config: &'a ValidConfig,
    /// The current since the last step, with its known length and the gap.
    pub interval: CurrentInterval,
    /// The scan of the cells, if a complete one came in this step.
    pub cells: Option<CellScan<'a>>,
    /// The balancer was off and settled when the cells were scanned.
    pub quiet: bool,
    /// Mean of the warmest and the coldest battery sensor; `None` while none delivers.
    pub temperature: Option<Temperature>,
    /// Both switches are open: whatever the sensor shows is its own error.
    pub disconnected: bool,
    /// Time since the last step, in ms.
    pub elapsed: u32,
    /// The over-voltage alarm was raised in this step.
    pub overvoltage: bool,
    /// The under-voltage alarm was raised in this step.
    pub undervoltage: bool,
    /// What the balancer was told for the time since the last step.
    pub balancing: &'a Plan,
    /// How much the balancer moved: as it reports it, or else as planned; never negative.
    pub balance_current: Current,
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
    /// Whether anything is estimated; `false` leaves counting out of the linked core.
    const FITTED: bool = true;
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
    /// The pack stood without power for so many seconds, with its switches open; `None`: for a time that nobody knows.
    /// Called after [`Estimator::restore`], before the first update.
    fn was_off(&mut self, _seconds: Option<u32>) {}
    /// The internal estimate with its standard deviation; `None` while nothing is known. An estimator that does not know
    /// how good it is says one half.
    fn state_of_charge(&self) -> Option<StateOfCharge> {
        let millionths = part_of(self.remaining()?, self.capacity(), 1_000_000)?;
        Some(StateOfCharge { millionths, sigma_millionths: 500_000 })
    }
    /// Capacity and resistance against new; `None` if it does not learn them.
    fn state_of_health(&self) -> Option<StateOfHealth> {
        None
    }
    /// The average cell as a source, for the state of power; `None` if it has no model.
    fn source(&self) -> Option<Source> {
        None
    }
    /// How far the cells' states of charge lie from the pack's; nothing of any cell, if it does not look at them one by one.
    fn cell_differences(&self) -> CellDifferences<'_> {
        CellDifferences::NONE
    }
    /// What must survive a reset beside the counters.
    fn learned(&self) -> Learned {
        Learned::default()
    }
    /// The state of charge that is shown to people, in thousandths; `None` while nothing is known.
    fn state_of_charge_permille(&self) -> Option<u16> {
        part_of(self.remaining()?, self.capacity(), 1_000).and_then(|permille| u16::try_from(permille).ok())
    }
}

/// No estimator: nothing is counted, the state of charge stays unknown.
impl Estimator for NotFitted {
    const FITTED: bool = false;
    fn update(&mut self, _: &Evidence<'_>) -> Option<Anchor> {
        None
    }
    fn remaining(&self) -> Option<Charge> {
        None
    }
    fn capacity(&self) -> Charge {
        Charge::ZERO
    }
    fn cycle_capacity(&self) -> Charge {
        Charge::ZERO
    }
    fn cycles(&self) -> u32 {
        0
    }
    fn set_capacity(&mut self, _: Charge) {}
    fn restore(&mut self, _: &Snapshot) {}
}

/// A charge as a part of the capacity, in `whole`ths, rounded down; `None` without a capacity.
fn part_of(charge: Charge, capacity: Charge, whole: i64) -> Option<u32> {
    let part = charge.as_milliamp_millis().saturating_mul(whole).checked_div(capacity.as_milliamp_millis())?;
    u32::try_from(part.clamp(0, whole)).ok()
}

/// What a cell loses at rest, in millionths of its capacity a day: 2 % a month. What it really is differs as much as that.
const SELF_DISCHARGE: u64 = 667;
/// Of a time that nobody knows: what may have been lost in six weeks.
const UNKNOWN_LOSS: u32 = 30_000;

/// What a pack is expected to have lost while it stood, in millionths of its capacity.
fn lost_while_off(seconds: u32) -> u32 {
    let lost = u64::from(seconds).wrapping_mul(SELF_DISCHARGE) / 86_400;
    // At most 2^32 × 667 / 86 400: within 32 bits.
    (lost as u32).min(1_000_000)
}

/// A rate in thousandths of the capacity per hour, as a current.
pub(crate) fn c_rate(config: &ValidConfig, permille: i32) -> Current {
    // Up to 2 000 000 mAh × 1 000 ‰: within 32 bits.
    let product = config.get(ParameterId::Capacity).wrapping_mul(permille);
    Current::from_milliamps(crate::units::thousandth(product.unsigned_abs()) as i32)
}
