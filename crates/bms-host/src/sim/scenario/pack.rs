//! `[pack]` and `[config]`: what the pack is and where its limits lie.

use std::fmt;

use bms_core::config::{
    BoardDefinition, Chemistry, Config, Model, Parameter, ParameterId, Profile, SensorPolicy, Topology, Unit,
};
use bms_core::measurement::BATTERY_SENSORS;
use bms_core::units::Charge;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use super::words::Named;

/// `[pack]`: the battery and the board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Chemistry of the cells.
    pub chemistry: Named<Chemistry>,
    /// Cells in series.
    pub cells: Spanned<u8>,
    /// Designed capacity in Ah.
    pub capacity_ah: Spanned<f64>,
    /// Model of the manual; without one, `[config]` must state the current limits (D07).
    pub model: Option<Named<Model>>,
    /// How closely the manual is followed (N06).
    pub profile: Option<Named<Profile>>,
    /// State of charge at the start in %: one for all cells, or one a cell.
    pub initial_soc: Option<Spanned<OneOrMany>>,
    /// Policy of the battery temperature sensors, T1 first; the rest is not fitted.
    pub sensors: Option<Spanned<Vec<Named<SensorPolicy>>>>,
    /// How the switches are built (D29).
    pub topology: Option<Named<Topology>>,
    /// Whether B+…B− is measured before the switches.
    pub stack_voltage: Option<bool>,
    /// Whether the voltage behind the switches is measured.
    pub terminal_voltage: Option<bool>,
    /// Whether a precharge path is fitted.
    pub precharge: Option<bool>,
    /// Whether a last-resort output is fitted.
    pub last_resort: Option<bool>,
    /// Whether a comparator latches short circuits.
    pub hardware_short_circuit: Option<bool>,
}

/// One number for all cells, or one a cell.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a list with one number a cell")]
pub enum OneOrMany {
    /// For all.
    One(f64),
    /// Cell 1 first.
    Many(Vec<f64>),
}

impl OneOrMany {
    /// The number of a cell (0 is cell 1).
    #[must_use]
    pub fn of(&self, index: usize) -> Option<f64> {
        match self {
            Self::One(value) => Some(*value),
            Self::Many(values) => values.get(index).copied(),
        }
    }
}

impl Pack {
    /// The board that the pack is wired to.
    #[must_use]
    pub fn board(&self) -> BoardDefinition {
        let mut board = BoardDefinition::MANUAL;
        if let Some(policies) = &self.sensors {
            board.sensors = [SensorPolicy::NotFitted; BATTERY_SENSORS];
            for (slot, policy) in board.sensors.iter_mut().zip(policies.get_ref()) {
                *slot = policy.0;
            }
        }
        if let Some(topology) = self.topology {
            board.topology = topology.0;
        }
        let flags = [
            (self.stack_voltage, &mut board.stack_voltage),
            (self.terminal_voltage, &mut board.terminal_voltage),
            (self.precharge, &mut board.precharge),
            (self.last_resort, &mut board.last_resort),
            (self.hardware_short_circuit, &mut board.hardware_short_circuit),
        ];
        for (stated, slot) in flags {
            *slot = stated.unwrap_or(*slot);
        }
        board
    }

    /// The configuration with the settings applied, not yet validated.
    #[must_use]
    pub fn config(&self, sample_period_ms: u32, settings: &Settings) -> Config {
        let mut config = Config::preset(self.chemistry.0, *self.cells.get_ref()).with_board(self.board());
        config = config.with_profile(self.profile.map_or(Profile::Default, |profile| profile.0));
        if let Some(model) = self.model {
            config = config.with_model(model.0);
        }
        let milliamp_hours = saturating(self.capacity_ah.get_ref() * 1_000.0);
        config = config.with_capacity(Charge::from_milliamp_hours(milliamp_hours.into()));
        config = config.with(ParameterId::SamplePeriod, i32::try_from(sample_period_ms).unwrap_or(i32::MAX));
        for setting in &settings.0 {
            config = config.with(setting.parameter, setting.stored);
        }
        config
    }

    /// What is wrong with the table beyond its types: byte offset and reason.
    #[must_use]
    pub fn mistake(&self) -> Option<(usize, String)> {
        let cells = usize::from(*self.cells.get_ref());
        if !(4..=MAXIMUM_CELLS).contains(&cells) {
            return Some((self.cells.span().start, format!("cells = {cells}: expected 4 to {MAXIMUM_CELLS}")));
        }
        if !(1.0..=2_000.0).contains(self.capacity_ah.get_ref()) {
            let value = self.capacity_ah.get_ref();
            return Some((self.capacity_ah.span().start, format!("capacity_ah = {value} Ah: expected 1 to 2000 Ah")));
        }
        if let Some(sensors) = self.sensors.as_ref().filter(|sensors| sensors.get_ref().len() > BATTERY_SENSORS) {
            let reason = format!("{} sensors: expected at most {BATTERY_SENSORS}", sensors.get_ref().len());
            return Some((sensors.span().start, reason));
        }
        let soc = self.initial_soc.as_ref()?;
        let values = match soc.get_ref() {
            OneOrMany::One(value) => std::slice::from_ref(value),
            OneOrMany::Many(values) if values.len() == cells => values.as_slice(),
            OneOrMany::Many(values) => {
                let reason = format!("initial_soc has {} numbers for {cells} cells", values.len());
                return Some((soc.span().start, reason));
            }
        };
        let wrong = values.iter().find(|value| !(**value == 0.0 || (1.0..=100.0).contains(*value)))?;
        let reason = format!("initial_soc = {wrong}: expected %, 0 or 1 to 100 (a half-full pack is 50, not 0.5)");
        Some((soc.span().start, reason))
    }
}

/// The most cells that the simulator handles; the core's default buffer size.
pub const MAXIMUM_CELLS: usize = 24;

/// `[config]`: parameter = value, in the units that people read.
#[derive(Clone, Debug, Default)]
pub struct Settings(pub Vec<Setting>);

/// One line of `[config]`, or of `set` in `[[at]]`.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Which.
    pub parameter: ParameterId,
    /// The value in the parameter's stored unit.
    pub stored: i32,
    /// Where it stands in the file: byte offset.
    pub offset: usize,
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Settings;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a table of parameter = value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = Vec::new();
                while let Some(Named(parameter)) = map.next_key::<Named<ParameterId>>()? {
                    settings.push(map.next_value_seed(SettingOf(parameter))?);
                }
                Ok(Settings(settings))
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// Reads the value of one parameter, so that a mistake is told with the line of the value.
struct SettingOf(ParameterId);

impl<'de> DeserializeSeed<'de> for SettingOf {
    type Value = Setting;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting, D::Error> {
        let value = Spanned::<Number>::deserialize(deserializer)?;
        let offset = value.span().start;
        let stored = to_stored(self.0.info(), value.into_inner()).map_err(D::Error::custom)?;
        Ok(Setting { parameter: self.0, stored, offset })
    }
}

/// A number or a flag.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a number, or true or false")]
pub enum Number {
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Plain(f64),
}

/// From the unit that people read to the stored integer.
fn to_stored(parameter: &Parameter, number: Number) -> Result<i32, String> {
    let value = match number {
        Number::Flag(flag) if matches!(parameter.unit, Unit::Flag) => return Ok(i32::from(flag)),
        Number::Flag(_) => {
            return Err(format!("{}: expected a number in {}", parameter.name, unit_name(parameter.unit)));
        }
        Number::Plain(value) => value,
    };
    let scaled = value * f64::from(parameter.unit.scale());
    let rounded = scaled.round();
    if !rounded.is_finite() || rounded.abs() > f64::from(i32::MAX) {
        return Err(format!("{} = {value}: too large", parameter.name));
    }
    if (scaled - rounded).abs() > 1e-3 {
        let finest = 1.0 / f64::from(parameter.unit.scale());
        let unit = parameter.unit.symbol();
        if unit.is_empty() {
            return Err(format!("{} = {value}: expected {}", parameter.name, unit_name(parameter.unit)));
        }
        return Err(format!("{} = {value}: finer than the parameter's resolution of {finest} {unit}", parameter.name));
    }
    Ok(saturating(rounded))
}

/// The unit's symbol, or what a number without one counts.
#[must_use]
pub fn unit_name(unit: Unit) -> &'static str {
    match unit.symbol() {
        "" => "whole numbers",
        symbol => symbol,
    }
}

/// The nearest 32-bit integer; not a number gives zero.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "float to integer casts saturate, which is what is wanted")]
pub fn saturating(value: f64) -> i32 {
    value.round() as i32
}
