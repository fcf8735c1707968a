//! A cell of one's own: from CSV tables to a model, and to the const table for the firmware.

use std::fmt::Write as _;
use std::path::Path;

use bms_core::config::Chemistry;
use bms_core::estimation::{CellModel, FLAT, KNOTS, PATHS, SLOPED};
use bms_core::units::Charge;
use serde::Deserialize;

use super::Cell;
use crate::sim::failure::{FileError, read};

/// Points of the open-circuit voltage, and of the hysteresis.
const POINTS: usize = 65;
const COARSE: usize = 17;
/// States of charge of the resistances, in thousandths.
const SOC_PERMILLE: [u16; KNOTS] = [0, 50, 100, 150, 200, 300, 400, 550, 700, 850, 1_000];
/// The inverse of the part of the capacity after which the hysteresis has changed sides.
const HYSTERESIS_RATE: u16 = 15;

/// A cell file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CellFile {
    chemistry: String,
    capacity_ah: f64,
    charge_voltage: f64,
    ocv: String,
    resistance: String,
}

/// The tables of a cell, before they become const.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// Its chemistry.
    pub chemistry: Chemistry,
    capacity_ah: f64,
    open_circuit: Vec<u16>,
    hysteresis: Vec<u16>,
    temperatures: Vec<i16>,
    resistances: Vec<[[u16; PATHS]; KNOTS]>,
}

/// Rows of numbers under a header; the last `optional` columns may be missing.
fn table(path: &Path, names: &[&str], optional: usize) -> Result<Vec<Vec<f64>>, FileError> {
    let text = read(path)?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = lines.next().map(|(_, line)| line.split(',').map(str::trim).collect::<Vec<_>>()).unwrap_or_default();
    let least = names.len() - optional;
    if header.len() < least || !names.starts_with(&header) {
        return Err(FileError::at(path, 1, format!("the columns must be {}", names.join(","))));
    }
    let mut rows = Vec::new();
    for (index, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let numbers: Option<Vec<f64>> =
            fields.iter().map(|field| field.parse::<f64>().ok().filter(|value| value.is_finite())).collect();
        match numbers {
            Some(numbers) if numbers.len() == header.len() => rows.push(numbers),
            _ => return Err(FileError::at(path, index + 1, format!("`{line}`: expected {} numbers", header.len()))),
        }
    }
    if rows.len() < 2 {
        return Err(FileError::whole(path, "fewer than two rows of data"));
    }
    Ok(rows)
}

/// Linear interpolation over points sorted by x; the ends hold.
fn at(points: &[(f64, f64)], x: f64) -> f64 {
    let mut before = points.first().copied().unwrap_or((0.0, 0.0));
    for (x1, y1) in points.iter().copied() {
        if x <= x1 {
            let width = x1 - before.0;
            return if width > 0.0 { before.1 + (y1 - before.1) * ((x - before.0) / width).max(0.0) } else { y1 };
        }
        before = (x1, y1);
    }
    before.1
}

fn grid(points: usize) -> impl Iterator<Item = f64> {
    (0..points).map(move |index| index as f64 / (points - 1) as f64)
}

impl Tables {
    /// Reads both CSV files.
    ///
    /// # Errors
    /// If one is unusable, with its line.
    pub fn load(chemistry: Chemistry, capacity_ah: f64, ocv: &Path, resistance: &Path) -> Result<Self, FileError> {
        let mut rows = table(ocv, &["soc", "discharge_v", "charge_v"], 1)?;
        rows.sort_by(|a, b| a.first().partial_cmp(&b.first()).unwrap_or(std::cmp::Ordering::Equal));
        let column = |index: usize| -> Option<Vec<(f64, f64)>> {
            rows.iter().map(|row| Some((*row.first()?, *row.get(index)?))).collect()
        };
        let discharge = column(1).unwrap_or_default();
        let charge = column(2).unwrap_or_else(|| discharge.clone());
        if discharge
            .iter()
            .chain(&charge)
            .any(|(soc, volts)| !(-0.01..=1.01).contains(soc) || !(0.5..=5.0).contains(volts))
        {
            return Err(FileError::whole(ocv, "soc must lie between 0 and 1, voltages between 0.5 and 5"));
        }
        let mut highest = 0_u16;
        let open_circuit = grid(POINTS)
            .map(|soc| {
                let middle = (at(&discharge, soc) + at(&charge, soc)) / 2.0;
                highest = highest.max((middle * 1e4).round() as u16);
                highest
            })
            .collect();
        let half: Vec<u16> = grid(COARSE)
            .map(|soc| ((at(&charge, soc) - at(&discharge, soc)).max(0.0) / 2.0 * 1e4).round() as u16)
            .collect();
        let hysteresis = if half.iter().all(|value| *value == 0) { Vec::new() } else { half };
        let names = ["temp_c", "soc", "ohmic_mohm", "fast_mohm", "middle_mohm", "slow_mohm"];
        let mut rows = table(resistance, &names, 0)?;
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        let mut temperatures: Vec<i16> =
            rows.iter().filter_map(|row| row.first()).map(|celsius| (celsius * 10.0).round() as i16).collect();
        temperatures.dedup();
        let resistances = temperatures
            .iter()
            .map(|tenths| {
                let mut knots = [[0; PATHS]; KNOTS];
                for (knot, permille) in knots.iter_mut().zip(SOC_PERMILLE) {
                    for (path, slot) in knot.iter_mut().enumerate() {
                        let points: Vec<(f64, f64)> = rows
                            .iter()
                            .filter(|row| row.first().is_some_and(|celsius| (celsius * 10.0).round() as i16 == *tenths))
                            .filter_map(|row| Some((*row.get(1)?, *row.get(2 + path)?)))
                            .collect();
                        // For one ampere-hour, in µΩ·Ah, as a logarithm; 16 µΩ·Ah is as good as nothing.
                        let microohms = at(&points, f64::from(permille) / 1e3) * 1e3 * capacity_ah;
                        *slot = (2_048.0 * microohms.max(16.0).log2()).round() as u16;
                    }
                }
                knots
            })
            .collect();
        Ok(Self { chemistry, capacity_ah, open_circuit, hysteresis, temperatures, resistances })
    }
    /// The model, for as long as the program runs.
    #[must_use]
    pub fn leak(self) -> CellModel {
        CellModel {
            open_circuit: self.open_circuit.leak(),
            hysteresis_rate: if self.hysteresis.is_empty() { 0 } else { HYSTERESIS_RATE },
            hysteresis: self.hysteresis.leak(),
            entropic: &[],
            temperatures: self.temperatures.leak(),
            soc_permille: &SOC_PERMILLE,
            resistances: self.resistances.leak(),
            lag_seconds: [8, 100, 1_500],
            capacity: Some(Charge::from_milliamp_hours((self.capacity_ah * 1e3).round() as i64)),
            tuning: if self.chemistry == Chemistry::LiFePo4 { &FLAT } else { &SLOPED },
        }
    }
    /// The const table in Rust.
    #[must_use]
    pub fn to_rust(&self) -> String {
        let tuning = if self.chemistry == Chemistry::LiFePo4 { "FLAT" } else { "SLOPED" };
        let rate = if self.hysteresis.is_empty() { 0 } else { HYSTERESIS_RATE };
        let mut text = format!(
            "use bms_core::estimation::{{CellModel, {tuning}}};\nuse bms_core::units::Charge;\n\n/// Written by `bms-sim cell`.\n\
             pub const CELL: CellModel = CellModel {{\n    open_circuit: &{:?},\n    hysteresis: &{:?},\n    hysteresis_rate: {rate},\n    \
             entropic: &[],\n    temperatures: &{:?},\n    soc_permille: &{SOC_PERMILLE:?},\n    resistances: &[\n",
            self.open_circuit, self.hysteresis, self.temperatures
        );
        for table in &self.resistances {
            text.push_str("        [\n");
            for knot in table {
                let _ = writeln!(text, "            {knot:?},");
            }
            text.push_str("        ],\n");
        }
        let milliamp_hours = (self.capacity_ah * 1e3).round();
        let _ = write!(
            text,
            "    ],\n    lag_seconds: [8, 100, 1_500],\n    capacity: Some(Charge::from_milliamp_hours({milliamp_hours})),\n    \
             tuning: &{tuning},\n}};\n"
        );
        text
    }
}

/// A cell from a TOML file; its CSV files lie beside it.
///
/// # Errors
/// If a file is unusable.
pub fn load(path: &Path) -> Result<Cell, FileError> {
    let text = read(path)?;
    let file: CellFile = toml::from_str(&text).map_err(|error| FileError::whole(path, error.message()))?;
    let chemistry = Chemistry::from_name(&file.chemistry)
        .ok_or_else(|| FileError::whole(path, "chemistry: expected li-ion (nmc, nca), lifepo4 (lfp) or lto"))?;
    if !(0.01..=2_000.0).contains(&file.capacity_ah) {
        return Err(FileError::whole(path, "capacity_ah: expected 0.01 to 2000"));
    }
    let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
    let tables = Tables::load(chemistry, file.capacity_ah, &beside(&file.ocv), &beside(&file.resistance))?;
    Ok(Cell { chemistry, charge_voltage: file.charge_voltage, model: tables.leak() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("bms-cell-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn two_csv_files_become_a_model() {
        let folder = folder();
        let file = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        file("o.csv", "soc,discharge_v,charge_v\n0,2.8,2.84\n0.5,3.28,3.30\n1,3.4,3.42\n");
        file(
            "r.csv",
            "temp_c,soc,ohmic_mohm,fast_mohm,middle_mohm,slow_mohm\n25,0,1,0.5,0.2,0.3\n25,1,0.5,0.25,0.1,0.15\n0,0,2,1,0.4,0.6\n",
        );
        file(
            "c.toml",
            "chemistry = \"lfp\"\ncapacity_ah = 100.0\ncharge_voltage = 3.55\nocv = \"o.csv\"\nresistance = \"r.csv\"\n",
        );
        let cell = load(&folder.join("c.toml")).unwrap();
        let model = cell.model;
        assert_eq!((model.open_circuit[0], model.open_circuit[32], model.open_circuit[64]), (28_200, 32_900, 34_100));
        assert_eq!((model.hysteresis[0], model.hysteresis[16]), (200, 100));
        assert_eq!(model.temperatures, [0, 250]);
        // 1 mΩ of a 100 Ah cell is 100 000 µΩ·Ah.
        assert_eq!(model.resistances[1][0][0], (2_048.0 * 100_000_f64.log2()).round() as u16);
        let tables = Tables::load(Chemistry::LiFePo4, 100.0, &folder.join("o.csv"), &folder.join("r.csv")).unwrap();
        assert!(tables.to_rust().contains("pub const CELL: CellModel"));
    }

    #[test]
    fn bad_tables_are_refused_with_their_line() {
        let folder = folder();
        let path = folder.join("bad.csv");
        for (text, reason) in [
            ("a,b\n1,2\n", "bad.csv:1: the columns must be soc,discharge_v,charge_v"),
            ("soc,discharge_v\n0,2.8\nx,3\n", "bad.csv:3: `x,3`: expected 2 numbers"),
            ("soc,discharge_v\n0,2.8\n", "bad.csv: fewer than two rows of data"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = table(&path, &["soc", "discharge_v", "charge_v"], 1).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{error}");
        }
    }
}
