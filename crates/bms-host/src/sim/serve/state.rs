//! `--state FILE.json`: fixed values to show, for exact checks of a client.

use std::path::Path;

use bms_core::access::DeviceName;
use bms_core::measurement::BATTERY_SENSORS;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::units::{Charge, Current, Temperature, Voltage};
use bms_wire::alarms::{Column, possible};
use bms_wire::telemetry::{Balancing, Telemetry};
use serde::Deserialize;

use crate::sim::failure::{FileError, read};

/// V, A (+ charging), Ah, °C, %. What is missing is shown as the pack has it; `null` is "not known" or "no sensor".
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    voltage: Option<f64>,
    current: Option<f64>,
    soc: Option<f64>,
    soh: Option<f64>,
    cell_voltages: Option<Vec<Option<f64>>>,
    #[serde(default, deserialize_with = "present")]
    temp1: Option<Option<f64>>,
    #[serde(default, deserialize_with = "present")]
    temp2: Option<Option<f64>>,
    #[serde(default, deserialize_with = "present")]
    temp3: Option<Option<f64>>,
    #[serde(default, deserialize_with = "present")]
    temp4: Option<Option<f64>>,
    #[serde(default, deserialize_with = "present")]
    temp5: Option<Option<f64>>,
    #[serde(default, deserialize_with = "present")]
    mos_temp: Option<Option<f64>>,
    cycles: Option<u32>,
    cycle_capacity: Option<f64>,
    capacity_remaining: Option<f64>,
    capacity_full: Option<f64>,
    balance_current: Option<f64>,
    balancing: Option<BalancingKey>,
    charge_mos: Option<Flag>,
    discharge_mos: Option<Flag>,
    alarms: Option<AlarmsKey>,
    name: Option<String>,
}

/// 0 off, 1 charging a cell, 2 discharging a cell; or only whether.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum BalancingKey {
    Works(bool),
    Phase(u8),
}

/// `true`, `false`, 1 or 0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Flag {
    Flag(bool),
    Number(u8),
}

/// The core's names, or the native 32-bit word.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum AlarmsKey {
    Names(Vec<String>),
    Native(u32),
}

/// Tells a key that is `null` from one that is missing.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Fixed values.
#[derive(Clone, Debug)]
pub struct State {
    keys: Keys,
    alarms: Option<AlarmSet>,
    name: Option<DeviceName>,
}

impl State {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not JSON of this form; an unknown key, alarm or name is told.
    pub fn load(file: &Path) -> Result<Self, FileError> {
        let text = read(file)?;
        let keys: Keys =
            serde_json::from_str(&text).map_err(|error| FileError::at(file, error.line(), error.to_string()))?;
        let alarms = match &keys.alarms {
            None => None,
            Some(AlarmsKey::Native(word)) => Some(possible(*word, Column::Native)),
            Some(AlarmsKey::Names(names)) => Some(names.iter().try_fold(AlarmSet::EMPTY, |set, name| {
                let alarm = Alarm::from_name(name);
                alarm.map(|alarm| set.with(alarm)).ok_or_else(|| FileError::whole(file, format!("no alarm {name:?}")))
            })?),
        };
        let name = keys.name.as_ref().map(|name| {
            DeviceName::new(name.as_bytes())
                .map_err(|_| FileError::whole(file, "name: 1 to 16 ASCII letters and digits"))
        });
        if keys.cell_voltages.as_ref().is_some_and(|cells| cells.is_empty() || cells.len() > 24) {
            return Err(FileError::whole(file, "cell_voltages: 1 to 24 cells"));
        }
        Ok(Self { name: name.transpose()?, alarms, keys })
    }
    /// How many cells the file has.
    #[must_use]
    pub fn cell_count(&self) -> Option<u8> {
        self.keys.cell_voltages.as_ref().and_then(|cells| u8::try_from(cells.len()).ok())
    }
    /// The full capacity, which is also the designed one then.
    #[must_use]
    pub const fn capacity_ah(&self) -> Option<f64> {
        self.keys.capacity_full
    }
    /// The device name.
    #[must_use]
    pub const fn name(&self) -> Option<&DeviceName> {
        self.name.as_ref()
    }

    /// Shows these values instead of the pack's.
    pub fn show_in(&self, shown: &mut Telemetry) {
        let keys = &self.keys;
        if let Some(cells) = &keys.cell_voltages {
            let voltages: Vec<Option<Voltage>> = cells.iter().map(|cell| cell.map(volts)).collect();
            shown.set_cells(&voltages);
            if keys.voltage.is_none() {
                shown.pack_voltage = Some(volts(cells.iter().flatten().sum()));
            }
        }
        set(&mut shown.pack_voltage, keys.voltage.map(|value| Some(volts(value))));
        set(&mut shown.current, keys.current.map(|value| Some(amperes(value))));
        set(&mut shown.state_of_charge_permille, keys.soc.map(|value| Some(permille(value))));
        set(&mut shown.state_of_health_permille, keys.soh.map(permille));
        let given = [keys.temp1, keys.temp2, keys.temp3, keys.temp4, keys.temp5];
        for (slot, given) in shown.battery_temperatures.iter_mut().zip(given).take(BATTERY_SENSORS) {
            set(slot, given.map(|value| value.map(degrees)));
        }
        set(&mut shown.mos_temperature, keys.mos_temp.map(|value| value.map(degrees)));
        set(&mut shown.cycles, keys.cycles);
        set(&mut shown.cycle_capacity, keys.cycle_capacity.map(ampere_hours));
        set(&mut shown.remaining, keys.capacity_remaining.map(|value| Some(ampere_hours(value))));
        set(&mut shown.capacity, keys.capacity_full.map(ampere_hours));
        set(&mut shown.balance_current, keys.balance_current.map(amperes));
        set(
            &mut shown.balancing,
            keys.balancing.map(|value| match value {
                BalancingKey::Works(false) | BalancingKey::Phase(0) => Balancing::Off,
                BalancingKey::Works(true) | BalancingKey::Phase(1) => Balancing::ChargingCell,
                BalancingKey::Phase(_) => Balancing::DischargingCell,
            }),
        );
        set(&mut shown.charge, keys.charge_mos.map(is_on));
        set(&mut shown.discharge, keys.discharge_mos.map(is_on));
        set(&mut shown.alarms, self.alarms);
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

const fn is_on(flag: Flag) -> bool {
    match flag {
        Flag::Flag(on) => on,
        Flag::Number(number) => number != 0,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a float to an integer saturates")]
fn scaled(value: f64, scale: f64) -> i32 {
    (value * scale).round() as i32
}
fn volts(value: f64) -> Voltage {
    Voltage::from_microvolts(scaled(value, 1e6))
}
fn amperes(value: f64) -> Current {
    Current::from_milliamps(scaled(value, 1e3))
}
fn degrees(value: f64) -> Temperature {
    Temperature::from_tenths(scaled(value, 10.0))
}
fn permille(value: f64) -> u16 {
    u16::try_from(scaled(value, 10.0).clamp(0, 1_000)).unwrap_or(0)
}
#[allow(clippy::cast_possible_truncation, reason = "a float to an integer saturates")]
fn ampere_hours(value: f64) -> Charge {
    Charge::from_milliamp_hours((value * 1e3).round() as i64)
}
