//! The scenario file: what it may say, and how it is read. `docs/scenarios.md` explains it for people.

mod at;
mod expect;
mod fields;
mod pack;
mod words;

pub use at::{At, Change, Channel, Charger, Fault, LONGEST_S, Load};
pub use expect::{Demand, Expect, Output, Signal};
pub use pack::{MAXIMUM_CELLS, OneOrMany, Pack, Setting, Settings, saturating, unit_name};
pub use words::{Named, Word};

use std::path::{Path, PathBuf};

use bms_core::config::{ParameterId, ValidConfig, Violation, Violations};
use serde::Deserialize;
use toml::Spanned;

use super::failure::{FileError, line_of, read};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Option<String>,
    description: Option<String>,
    #[serde(default)]
    requirements: Vec<String>,
    seed: Option<u64>,
    sample_period_ms: Option<Spanned<u32>>,
    jitter: Option<Spanned<f64>>,
    duration_s: Option<Spanned<f64>>,
    pack: Pack,
    #[serde(default)]
    config: Settings,
    #[serde(default)]
    plant: PlantTable,
    #[serde(default)]
    at: Vec<At>,
    #[serde(default)]
    expect: Vec<Spanned<Expect>>,
}

/// `[plant]`: what the BMS is connected to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantTable {
    /// The sensors simply show what `[[at]]` says; there is no pack.
    #[serde(default)]
    pub open_loop: bool,
    /// Temperature of the surroundings at the start, °C.
    pub ambient: Option<Spanned<f64>>,
    /// How much the cells' capacities differ, % (one sigma).
    pub capacity_spread: Option<Spanned<f64>>,
    /// How much the cells' resistances differ, % (one sigma).
    pub resistance_spread: Option<Spanned<f64>>,
    /// Noise of every voltage reading, V (one sigma).
    pub voltage_noise: Option<Spanned<f64>>,
    /// Error of every cell voltage reading, V.
    pub voltage_bias: Option<Spanned<f64>>,
    /// Noise of the current reading, A (one sigma).
    pub current_noise: Option<Spanned<f64>>,
    /// Error of the current reading, %.
    pub current_gain: Option<Spanned<f64>>,
    /// Error of the current reading, A.
    pub current_offset: Option<Spanned<f64>>,
    /// Error of every temperature reading, °C.
    pub temperature_bias: Option<Spanned<f64>>,
    /// Resistance of every sense wire, Ω.
    pub wire_resistance: Option<Spanned<f64>>,
}

/// A scenario that can be run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file.
    pub file: PathBuf,
    /// What it shows, in a line.
    pub title: String,
    /// More words about it.
    pub description: String,
    /// The requirements it is about.
    pub requirements: Vec<String>,
    /// What randomness starts from, if the file says.
    pub seed: Option<u64>,
    /// Time between two samples, ms.
    pub sample_period_ms: u32,
    /// How much each period differs from that: a part of it, evenly distributed, 0 to 0.9.
    pub jitter: f64,
    /// How long it runs, s.
    pub duration_s: f64,
    /// `[pack]`.
    pub pack: Pack,
    /// The configuration.
    pub config: ValidConfig,
    /// `[plant]`.
    pub plant: PlantTable,
    /// `[[at]]`, in the order of time.
    pub at: Vec<At>,
    /// `[[expect]]` with the line of each.
    pub expect: Vec<(usize, Expect)>,
}

/// Why a scenario cannot be run.
#[derive(Debug)]
pub enum Refused {
    /// The file is unusable.
    File(FileError),
    /// The configuration is invalid: each violation, with its line where the file has one for it.
    Config(Vec<FileError>),
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Reads a scenario.
///
/// # Errors
/// If the file cannot be read, is not a scenario, or has an invalid configuration.
pub fn load(path: &Path) -> Result<Scenario, Refused> {
    parse(path, &read(path)?)
}

/// Reads a scenario from text; `path` is for messages.
///
/// # Errors
/// If it is not a scenario or has an invalid configuration.
pub fn parse(path: &Path, text: &str) -> Result<Scenario, Refused> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        FileError::at(path, line, error.message())
    })?;
    let wrong = |(offset, reason): (usize, String)| FileError::at(path, line_of(text, offset), reason);
    if let Some(mistake) = file.mistake() {
        return Err(wrong(mistake).into());
    }
    let sample_period_ms = file.sample_period_ms.as_ref().map_or(100, |period| *period.get_ref());
    let config = file.pack.config(sample_period_ms, &file.config);
    let config = config.validate().map_err(|violations| explain(path, text, &file.config, &violations))?;
    let mut at = file.at;
    at.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    for (place, _) in at.iter_mut().flat_map(|at| &mut at.changes) {
        *place = line_of(text, *place);
    }
    let expect: Vec<_> =
        file.expect.into_iter().map(|expect| (line_of(text, expect.span().start), expect.into_inner())).collect();
    let stated = file.duration_s.map(Spanned::into_inner);
    Ok(Scenario {
        file: path.to_owned(),
        title: file.title.unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned()),
        description: file.description.unwrap_or_default(),
        requirements: file.requirements,
        seed: file.seed,
        sample_period_ms,
        jitter: file.jitter.map_or(0.0, Spanned::into_inner),
        duration_s: stated.unwrap_or_else(|| natural_end(&at, &expect)),
        pack: file.pack,
        config,
        plant: file.plant,
        at,
        expect,
    })
}

/// A second after the last thing that happens or is expected.
fn natural_end(at: &[At], expect: &[(usize, Expect)]) -> f64 {
    let last_change = at.iter().map(|at| at.time_s).fold(0.0, f64::max);
    let last_demand = expect.iter().map(|(_, expect)| match expect.demand {
        Demand::Entered { to, until, .. } => until.unwrap_or(to),
        Demand::Until(until) => until,
        Demand::Throughout(_, to) | Demand::Never(_, to) => to,
    });
    last_demand.filter(|time| time.is_finite()).fold(last_change, f64::max).min(LONGEST_S) + 1.0
}

/// Every violation, with the line of the parameter that breaks it.
fn explain(path: &Path, text: &str, settings: &Settings, violations: &Violations) -> Refused {
    let lines = violations.iter().map(|violation| {
        let setting = settings.0.iter().find(|setting| violation.names(setting.parameter));
        let line = setting.map(|setting| line_of(text, setting.offset));
        let hint = if unstated_current(&violation) { " (state a model, or this parameter)" } else { "" };
        FileError { file: path.to_owned(), line, reason: format!("{violation}{hint}") }
    });
    Refused::Config(lines.collect())
}

fn unstated_current(violation: &Violation) -> bool {
    use ParameterId::{ChargeOvercurrentProtection, DischargeOvercurrentProtection};
    matches!(violation, Violation::OutOfRange(ChargeOvercurrentProtection | DischargeOvercurrentProtection))
}

impl File {
    /// What is wrong beyond types and names: byte offset and reason.
    fn mistake(&self) -> Option<(usize, String)> {
        if let Some(period) = self.sample_period_ms.as_ref().filter(|period| !(1..=10_000).contains(period.get_ref())) {
            let reason = format!("sample_period_ms = {} ms: expected 1 to 10000 ms", period.get_ref());
            return Some((period.span().start, reason));
        }
        outside(self.jitter.as_ref(), "jitter", 0.0, 0.9, "of the sample period")
            .or_else(|| outside(self.duration_s.as_ref(), "duration_s", 0.0, LONGEST_S, "s"))
            .or_else(|| self.pack.mistake())
            .or_else(|| self.plant.mistake())
            .or_else(|| self.at.iter().find_map(|at| self.mistake_in(at)))
            .or_else(|| self.expect.iter().find_map(|expect| self.mistake_in_expectation(expect)))
    }

    fn mistake_in(&self, at: &At) -> Option<(usize, String)> {
        let cells = *self.pack.cells.get_ref();
        at.changes.iter().find_map(|(offset, change)| {
            let reason = match change {
                Change::Cell(cell, _) if *cell >= cells => beyond(*cell, cells),
                Change::Lost(channels) | Change::Valid(channels) => {
                    channels.iter().find_map(|channel| match channel {
                        Channel::Cell(cell) if *cell >= cells => Some(beyond(*cell, cells)),
                        _ => None,
                    })?
                }
                Change::Fault(Fault::OpenWire(wire) | Fault::WireResistance(wire, _)) if *wire > cells => {
                    format!("wire {wire}: the wires of {cells} cells are 0 to {cells}")
                }
                Change::Fault(Fault::WireResistance(..) | Fault::ChargeSwitch(_) | Fault::DischargeSwitch(_))
                    if self.plant.open_loop =>
                {
                    "this fault needs a plant; this scenario is open_loop".to_owned()
                }
                Change::MeasuredCells(count) if usize::from(*count) > MAXIMUM_CELLS => {
                    format!("measured_cells = {count}: expected at most {MAXIMUM_CELLS}")
                }
                Change::Ambient(_) if self.plant.open_loop => {
                    "ambient needs a plant; an open loop has t1, t2 … for the sensors".to_owned()
                }
                _ => return None,
            };
            Some((*offset, reason))
        })
    }

    fn mistake_in_expectation(&self, expect: &Spanned<Expect>) -> Option<(usize, String)> {
        let cells = *self.pack.cells.get_ref();
        let index = expect.get_ref().index.filter(|index| *index >= cells.max(6))?;
        Some((expect.span().start, beyond(index, cells)))
    }
}

fn beyond(cell: u8, cells: u8) -> String {
    format!("cell {} of a pack of {cells} cells", u16::from(cell) + 1)
}

/// The mistake of a number outside its range.
fn outside(value: Option<&Spanned<f64>>, name: &str, low: f64, high: f64, unit: &str) -> Option<(usize, String)> {
    let value = value.filter(|value| !(low..=high).contains(value.get_ref()))?;
    Some((value.span().start, format!("{name} = {} {unit}: expected {low} to {high} {unit}", value.get_ref())))
}

impl PlantTable {
    fn mistake(&self) -> Option<(usize, String)> {
        let ranges = [
            (&self.ambient, "ambient", -60.0, 150.0, "°C"),
            (&self.capacity_spread, "capacity_spread", 0.0, 20.0, "%"),
            (&self.resistance_spread, "resistance_spread", 0.0, 100.0, "%"),
            (&self.voltage_noise, "voltage_noise", 0.0, 0.1, "V"),
            (&self.voltage_bias, "voltage_bias", -0.5, 0.5, "V"),
            (&self.current_noise, "current_noise", 0.0, 10.0, "A"),
            (&self.current_gain, "current_gain", -20.0, 20.0, "%"),
            (&self.current_offset, "current_offset", -10.0, 10.0, "A"),
            (&self.temperature_bias, "temperature_bias", -20.0, 20.0, "°C"),
            (&self.wire_resistance, "wire_resistance", 0.0, 10.0, "Ω"),
        ];
        for (value, name, low, high, unit) in ranges {
            if let Some(mistake) = outside(value.as_ref(), name, low, high, unit) {
                return Some(mistake);
            }
            if self.open_loop
                && let Some(value) = value
            {
                return Some((value.span().start, format!("{name} needs a plant; this scenario is open_loop")));
            }
        }
        None
    }
}
