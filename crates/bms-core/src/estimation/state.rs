//! What an estimator tells of the pack, and what of it survives a reset: plain integers.

use crate::units::{Charge, Current, Resistance, Voltage};

/// A state of charge and how sure the estimator is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StateOfCharge {
    /// The estimate in millionths of the capacity: 0 … 1 000 000. It may jump where a correction comes; what is shown to
    /// people never does.
    pub millionths: u32,
    /// Its standard deviation in millionths. The true value lies within two of them in at least 95 % of the time.
    pub sigma_millionths: u32,
}

/// What the pack can still do, compared with a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StateOfHealth {
    /// Learned capacity in thousandths of the configured one.
    pub capacity_permille: u16,
    /// Its standard deviation, in the same unit: the true capacity lies within two of them in at least 95 % of the time.
    pub capacity_sigma_permille: u16,
    /// Learned resistance in thousandths of a new cell's (the estimator's table); 1 000 until something was learned.
    pub resistance_permille: u16,
}

/// The average cell as a source: what it would do under another current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The voltage that it would have now, with its present polarisation, if the current stopped.
    pub unloaded: Voltage,
    /// Voltage change for one more ampere after 10 s.
    pub resistance_10s: Resistance,
    /// Voltage change for one more ampere after 30 s.
    pub resistance_30s: Resistance,
}

/// What an estimator has learned and must not lose in a reset, beside the counters of the
/// [`Snapshot`](crate::snapshot::Snapshot). Zero everywhere means: nothing was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Learned {
    /// Standard deviation of the state of charge, in millionths; zero: not known.
    pub soc_sigma_millionths: u32,
    /// The state of charge that was shown last, in thousandths.
    pub shown_permille: u16,
    /// Standard deviation of the learned capacity, in thousandths of the configured one; zero: never learned.
    pub capacity_sigma_permille: u16,
    /// Resistance in thousandths of the table's; zero: never learned.
    pub resistance_permille: u16,
    /// Current that the sensor shows when none flows; subtracted from what is measured.
    pub current_offset_microamps: i32,
    /// Where the cell stands between its discharging (−1 000) and its charging (1 000) branch.
    pub hysteresis_permille: i16,
    /// Charge discharged since the pack was last full, if it ever was.
    pub discharged_since_full: Option<Charge>,
    /// State of charge at the last point that was known well enough to learn the capacity from it, in millionths, plus
    /// one; zero: none.
    pub anchor_millionths_plus_one: u32,
    /// Its standard deviation, in millionths.
    pub anchor_sigma_millionths: u32,
    /// Charge counted since then, positive into the pack.
    pub since_anchor: Charge,
}

/// What charger, inverter and loads may draw for a while without a cell leaving its limits. Positive numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StateOfPower {
    /// Charging current that could be held for 10 s.
    pub charge_10s: Current,
    /// Charging current that could be held for 30 s.
    pub charge_30s: Current,
    /// Discharging current that could be held for 10 s.
    pub discharge_10s: Current,
    /// Discharging current that could be held for 30 s.
    pub discharge_30s: Current,
}
