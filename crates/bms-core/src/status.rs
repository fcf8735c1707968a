//! Everything that a display shows (T01–T20), borrowed from the core.

use crate::balancing::Plan;
use crate::command::{Limits, Switch};
use crate::estimation::{CellDifferences, StateOfCharge, StateOfHealth, StateOfPower};
use crate::lifecycle::State;
use crate::measurement::{BATTERY_SENSORS, CellScan, Reading};
use crate::protection::AlarmSet;
use crate::snapshot::UserSwitches;
use crate::units::{Charge, Current, Power, Resistance, Temperature, Voltage};

/// The manual's status page (§5.3.1).
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// Running, starting, shutting down.
    pub state: State,
    /// T01: run time since the first start, in seconds; persistent.
    pub run_time_seconds: u64,
    /// T02: the charge switch as commanded.
    pub charge: Switch,
    /// T03: the discharge switch as commanded.
    pub discharge: Switch,
    /// The user's switches; T04 is `switches.balance`.
    pub switches: UserSwitches,
    /// T05: sum of the cells.
    pub pack_voltage: Reading<Voltage>,
    /// Stack voltage, where the board measures it.
    pub stack_voltage: Reading<Voltage>,
    /// T06: pack current, positive charging.
    pub current: Reading<Current>,
    /// T07: pack voltage × |current|, never negative.
    pub power: Reading<Power>,
    /// T08: battery capacity as learned.
    pub capacity: Charge,
    /// T09: remaining capacity; invalid while the state of charge is unknown.
    pub remaining: Reading<Charge>,
    /// T20, D21: the state of charge to show, in thousandths; invalid while unknown. It moves slowly.
    pub state_of_charge_permille: Reading<u16>,
    /// The estimate behind it, with its standard deviation; invalid while unknown.
    pub state_of_charge: Reading<StateOfCharge>,
    /// Capacity and resistance against new; not measured if the estimator does not learn them.
    pub state_of_health: Reading<StateOfHealth>,
    /// How far each cell's state of charge lies from the pack's, where the estimator tells.
    pub cell_differences: CellDifferences<'a>,
    /// Currents that could be held for 10 s and 30 s; not measured without a model of the cell.
    pub state_of_power: Reading<StateOfPower>,
    /// T10: cumulative discharged charge.
    pub cycle_capacity: Charge,
    /// T11: times charged to full.
    pub cycles: u32,
    /// T12: average of the cells.
    pub average_cell: Reading<Voltage>,
    /// T13: highest minus lowest cell.
    pub cell_spread: Reading<Voltage>,
    /// T14, B07: negative while taking from the source, positive while giving to the destination.
    pub balance_current: Current,
    /// B08: what the balancer does, with the two cells.
    pub balance: Plan,
    /// T15: switch temperature.
    pub mos_temperature: Reading<Temperature>,
    /// T16, T17 and up to three more; `NotMeasured` is the manual's "NA".
    pub battery_temperatures: [Reading<Temperature>; BATTERY_SENSORS],
    /// T18: the cells.
    pub cells: CellScan<'a>,
    /// T18: index of the highest cell (blue).
    pub highest_cell: Option<u8>,
    /// T18: index of the lowest cell (red).
    pub lowest_cell: Option<u8>,
    /// T19: sense-wire resistances, n + 1 of them, wire 0 at B−; `None` until estimated.
    pub wires: Wires<'a>,
    /// W01: the cell at which the requested self-test of the wires is; `None` while none runs.
    pub wire_test: Option<u8>,
    /// The heater is on.
    pub heater: bool,
    /// T20: active alarms.
    pub alarms: AlarmSet,
    /// What a charger or an inverter may do.
    pub limits: Limits,
}

/// The sense wires' resistances.
#[derive(Clone, Copy, Debug)]
pub struct Wires<'a> {
    pub(crate) milliohms: &'a [u16],
    /// The topmost wire, where the buffer is exactly as long as the string of cells.
    pub(crate) top: Option<u16>,
    pub(crate) limit: Resistance,
}

impl Wires<'_> {
    /// How many wires there are: cells + 1.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.milliohms.len().saturating_add(self.top.is_some() as usize)
    }
    /// The estimated resistance of a wire, `None` until the self-test has seen it (W01).
    #[must_use]
    pub fn resistance(&self, wire: usize) -> Option<Resistance> {
        let milliohms = match self.milliohms.get(wire) {
            Some(value) => *value,
            None if wire == self.milliohms.len() => self.top?,
            None => return None,
        };
        (milliohms != u16::MAX).then(|| crate::units::mohm(i32::from(milliohms)))
    }
    /// Whether the wire is flagged (yellow, W02).
    #[must_use]
    pub fn is_flagged(&self, wire: usize) -> bool {
        self.resistance(wire).is_some_and(|resistance| resistance > self.limit)
    }
}
