//! What survives a reset, as plain data; storing it is the caller's (or a store's) work.

use crate::estimation::Learned;
use crate::protection::{Alarm, AlarmSet, Retries};
use crate::units::Charge;

/// Why the firmware started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ResetCause {
    /// Power came on, or a deliberate restart.
    PowerOn,
    /// The supply sagged.
    BrownOut,
    /// The watchdog bit, or a panic ended in a reset.
    Watchdog,
    /// Not known: treated as the worst.
    #[default]
    Unknown,
}

impl ResetCause {
    /// Whether the hold-off applies (X18).
    #[must_use]
    pub const fn is_abnormal(self) -> bool {
        !matches!(self, Self::PowerOn)
    }
}

/// What the store had at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nothing was ever stored: a new board.
    Nothing,
    /// The newest snapshot.
    Snapshot(Snapshot),
    /// Configuration, calibration or fault record unreadable: stay open and say so (law 7).
    Corrupt,
    /// Only the counters are unreadable: state of charge unknown, protection goes on (law 7).
    CountersCorrupt,
}

/// What must survive a reset (law 7): faults and trip counts, counters, user switches.
///
/// Its content is fixed; a store adds version and checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// Alarms that were active; they hold to their recovery, timed ones start their release anew.
    pub alarms: AlarmSet,
    /// Battery sensors that had delivered or are required; bit 0 is T1. A restored temperature alarm needs them for its recovery, so
    /// that it cannot end because a sensor that tripped it is gone (D16).
    #[cfg_attr(feature = "serde", serde(default))]
    pub sensors_seen: u8,
    /// Trips per cause (D10).
    pub retries: Retries,
    /// Charge in the pack, if the state of charge was known.
    pub remaining: Option<Charge>,
    /// Capacity as learned (T08).
    pub capacity: Charge,
    /// Cumulative discharged charge (T10).
    pub cycle_capacity: Charge,
    /// Times charged to full (T11).
    pub cycles: u32,
    /// What the estimator has learned beside that.
    pub learned: Learned,
    /// Run time since the first start, in seconds (T01).
    pub run_time_seconds: u64,
    /// The user's switches (S10).
    pub switches: UserSwitches,
}

/// The user's switches (S10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UserSwitches {
    /// Charging is wanted.
    pub charge: bool,
    /// Discharging is wanted.
    pub discharge: bool,
    /// Balancing is wanted.
    pub balance: bool,
}

impl Default for UserSwitches {
    /// All on, as the manual's board is delivered.
    fn default() -> Self {
        Self { charge: true, discharge: true, balance: true }
    }
}

/// The alarms that only a local request clears (X10, X13, X14).
pub(crate) const PERMANENT: AlarmSet =
    AlarmSet::of(&[Alarm::DeepDischarge, Alarm::Abuse, Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck]);
