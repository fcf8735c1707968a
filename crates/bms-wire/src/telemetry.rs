//! What a link shows of the pack: plain values, copied from the core's status.

use bms_core::balancing::{Phase, Plan};
use bms_core::command::Limits;
use bms_core::measurement::{BATTERY_SENSORS, MAXIMUM_CELLS, Reading};
use bms_core::protection::AlarmSet;
use bms_core::snapshot::UserSwitches;
use bms_core::status::Status;
use bms_core::units::{Charge, Current, Power, Temperature, Voltage, mv};

/// What the balancer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Balancing {
    /// Nothing.
    #[default]
    Off,
    /// Energy goes into a cell.
    ChargingCell,
    /// Energy comes out of a cell.
    DischargingCell,
}

/// The values that protocols show, copied once so that a frame is of one moment and a link may run in another task.
///
/// `None` is "not known"; each protocol says in its table what it sends then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Telemetry {
    /// How many cells there are.
    pub cell_count: u8,
    /// Cell voltages, cell 1 first; `None` beyond the count and where the reading is not usable.
    pub cells: [Option<Voltage>; MAXIMUM_CELLS],
    /// Average of the cells (T12).
    pub average_cell: Option<Voltage>,
    /// Highest minus lowest cell (T13).
    pub cell_spread: Option<Voltage>,
    /// Index of the highest cell, 0 is cell 1.
    pub highest_cell: Option<u8>,
    /// Index of the lowest cell, 0 is cell 1.
    pub lowest_cell: Option<u8>,
    /// Resistance of the wire above each cell, in mΩ, `None` until known (T19).
    pub wires: [Option<u16>; MAXIMUM_CELLS],
    /// Flagged wires, bit 0 is the wire above cell 1 (W02).
    pub flagged_wires: u32,
    /// Pack voltage (T05).
    pub pack_voltage: Option<Voltage>,
    /// Pack current, positive charging (T06).
    pub current: Option<Current>,
    /// State of charge in thousandths (D21).
    pub state_of_charge_permille: Option<u16>,
    /// State of health in thousandths.
    pub state_of_health_permille: u16,
    /// Remaining capacity (T09).
    pub remaining: Option<Charge>,
    /// Capacity as learned (T08).
    pub capacity: Charge,
    /// Times charged to full (T11).
    pub cycles: u32,
    /// Cumulative discharged charge (T10).
    pub cycle_capacity: Charge,
    /// Battery temperatures; `None` where there is no sensor or no usable reading (T16, T17).
    pub battery_temperatures: [Option<Temperature>; BATTERY_SENSORS],
    /// Switch temperature (T15).
    pub mos_temperature: Option<Temperature>,
    /// Balance current, negative while taking (B07).
    pub balance_current: Current,
    /// What the balancer does (B08).
    pub balancing: Balancing,
    /// The charge switch conducts (T02).
    pub charge: bool,
    /// The discharge switch conducts (T03).
    pub discharge: bool,
    /// The user's switches (S10).
    pub switches: UserSwitches,
    /// The heater is on.
    pub heater: bool,
    /// Active alarms (T20).
    pub alarms: AlarmSet,
    /// Run time since the first start, in seconds (T01).
    pub run_time_seconds: u64,
    /// What a charger or an inverter may do.
    pub limits: Limits,
}

impl Telemetry {
    /// The values of this moment.
    #[must_use]
    pub fn of(status: &Status<'_>) -> Self {
        let mut cells = [None; MAXIMUM_CELLS];
        for (index, voltage) in status.cells.iter() {
            if let Some(slot) = cells.get_mut(index) {
                *slot = Some(voltage);
            }
        }
        let mut wires = [None; MAXIMUM_CELLS];
        let mut flagged_wires = 0_u32;
        for (index, slot) in wires.iter_mut().enumerate().take(status.cells.count()) {
            let wire = index.saturating_add(1);
            let milliohms = status.wires.resistance(wire).map(|resistance| resistance.as_microohms() / 1_000);
            *slot = milliohms.and_then(|milliohms| u16::try_from(milliohms).ok());
            if status.wires.is_flagged(wire) {
                flagged_wires |= u32::try_from(index).ok().and_then(|bit| 1_u32.checked_shl(bit)).unwrap_or(0);
            }
        }
        Self {
            cell_count: u8::try_from(status.cells.count()).unwrap_or(u8::MAX),
            cells,
            average_cell: status.average_cell.valid(),
            cell_spread: status.cell_spread.valid(),
            highest_cell: status.highest_cell,
            lowest_cell: status.lowest_cell,
            wires,
            flagged_wires,
            pack_voltage: status.pack_voltage.valid(),
            current: status.current.valid(),
            state_of_charge_permille: status.state_of_charge_permille.valid(),
            state_of_health_permille: status
                .state_of_health
                .valid()
                .map_or(1_000, |health| health.capacity_permille.min(1_000)),
            remaining: status.remaining.valid(),
            capacity: status.capacity,
            cycles: status.cycles,
            cycle_capacity: status.cycle_capacity,
            battery_temperatures: status.battery_temperatures.map(Reading::valid),
            mos_temperature: status.mos_temperature.valid(),
            balance_current: status.balance_current,
            balancing: match status.balance {
                Plan::Idle => Balancing::Off,
                Plan::Transfer { phase: Phase::Give, .. } => Balancing::ChargingCell,
                _ => Balancing::DischargingCell,
            },
            charge: status.charge.is_closed(),
            discharge: status.discharge.is_closed(),
            switches: status.switches,
            heater: status.heater,
            alarms: status.alarms,
            run_time_seconds: status.run_time_seconds,
            limits: status.limits,
        }
    }

    /// Other cells, with what follows from them: count, average, spread, highest, lowest. For fixed values.
    pub fn set_cells(&mut self, voltages: &[Option<Voltage>]) {
        self.cell_count = u8::try_from(voltages.len().min(MAXIMUM_CELLS)).unwrap_or(u8::MAX);
        self.cells = [None; MAXIMUM_CELLS];
        let (mut sum, mut used) = (Voltage::ZERO, 0_i32);
        let mut highest: Option<(u8, Voltage)> = None;
        let mut lowest: Option<(u8, Voltage)> = None;
        for ((index, slot), voltage) in (0_u8..).zip(&mut self.cells).zip(voltages) {
            *slot = *voltage;
            let Some(voltage) = *voltage else { continue };
            sum = sum.plus(voltage);
            used = used.saturating_add(1);
            if highest.is_none_or(|(_, best)| voltage > best) {
                highest = Some((index, voltage));
            }
            if lowest.is_none_or(|(_, best)| voltage < best) {
                lowest = Some((index, voltage));
            }
        }
        self.average_cell = (used > 0).then(|| sum.divided_by(used));
        self.cell_spread = highest.zip(lowest).map(|((_, high), (_, low))| high.minus(low));
        self.highest_cell = highest.map(|(index, _)| index);
        self.lowest_cell = lowest.map(|(index, _)| index);
    }

    /// Pack voltage × |current| (T07).
    #[must_use]
    pub fn power(&self) -> Option<Power> {
        Some(self.pack_voltage?.power(self.current?.magnitude()))
    }
    /// The highest battery temperature with its sensor's index.
    #[must_use]
    pub fn warmest(&self) -> Option<(u8, Temperature)> {
        self.sensors().max_by_key(|(_, temperature)| *temperature)
    }
    /// The lowest battery temperature with its sensor's index.
    #[must_use]
    pub fn coldest(&self) -> Option<(u8, Temperature)> {
        self.sensors().min_by_key(|(_, temperature)| *temperature)
    }
    /// The average battery temperature.
    #[must_use]
    pub fn average_temperature(&self) -> Option<Temperature> {
        let count = i32::try_from(self.sensors().count()).ok().filter(|count| *count > 0)?;
        Some(self.sensors().fold(Temperature::ZERO, |sum, (_, one)| sum.plus(one)).divided_by(count))
    }
    fn sensors(&self) -> impl Iterator<Item = (u8, Temperature)> + '_ {
        (0_u8..).zip(&self.battery_temperatures).filter_map(|(index, reading)| reading.map(|value| (index, value)))
    }
    /// The voltage of a cell by its index.
    #[must_use]
    pub fn cell(&self, index: Option<u8>) -> Option<Voltage> {
        self.cells.get(usize::from(index?)).copied().flatten()
    }
}

/// Nothing is known, everything is open.
impl Default for Telemetry {
    fn default() -> Self {
        Self {
            cell_count: 0,
            cells: [None; MAXIMUM_CELLS],
            average_cell: None,
            cell_spread: None,
            highest_cell: None,
            lowest_cell: None,
            wires: [None; MAXIMUM_CELLS],
            flagged_wires: 0,
            pack_voltage: None,
            current: None,
            state_of_charge_permille: None,
            state_of_health_permille: 1_000,
            remaining: None,
            capacity: Charge::ZERO,
            cycles: 0,
            cycle_capacity: Charge::ZERO,
            battery_temperatures: [None; BATTERY_SENSORS],
            mos_temperature: None,
            balance_current: Current::ZERO,
            balancing: Balancing::Off,
            charge: false,
            discharge: false,
            switches: UserSwitches { charge: false, discharge: false, balance: false },
            heater: false,
            alarms: AlarmSet::EMPTY,
            run_time_seconds: 0,
            limits: Limits { charge_voltage: mv(0), ..Limits::default() },
        }
    }
}
