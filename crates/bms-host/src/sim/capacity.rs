//! `capacity`: ageing data through the estimator; the learned capacity of each cycle beside the laboratory's.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::arguments::CapacityArguments;
use super::failure::{Failure, FileError, Outcome, read, write};
use super::measured::{self, Row};
use super::soc::{Bench, Start};
use crate::cells;

/// One cycle of the laboratory.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cycle {
    number: u32,
    end_s: f64,
    capacity_ah: f64,
    /// The integral of the current in the data itself, if the laboratory gives it beside its own figure.
    integrated_ah: Option<f64>,
}

/// A line of the result.
#[derive(Clone, Copy, Debug, Serialize)]
struct Learned {
    cycle: u32,
    /// By the laboratory, Ah.
    laboratory_ah: f64,
    learned_ah: f64,
    error_percent: f64,
    nominal_error_percent: f64,
    /// Against the integral of the current in the data: all that a pack can know.
    integral_error_percent: Option<f64>,
}

fn cycles(path: &Path) -> Result<Vec<Cycle>, FileError> {
    let text = read(path)?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or("").split(',').map(str::trim).collect();
    let column = |name: &str| {
        header
            .iter()
            .position(|title| *title == name)
            .ok_or_else(|| FileError::at(path, 1, format!("no column {name}")))
    };
    let columns = [column("cycle")?, column("t_end_s")?, column("capacity_lab_ah")?];
    let integrated = column("capacity_integrated_ah").ok();
    lines
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |column: usize| {
                let field = fields.get(column).copied().unwrap_or("");
                let value = field.trim().parse::<f64>().ok().filter(|value| value.is_finite());
                value.ok_or_else(|| FileError::at(path, index + 2, format!("`{field}`: expected a number")))
            };
            let [cycle, end, capacity] = columns;
            let integrated_ah = integrated.map(number).transpose()?;
            Ok(Cycle {
                number: number(cycle)? as u32,
                end_s: number(end)?,
                capacity_ah: number(capacity)?,
                integrated_ah,
            })
        })
        .collect()
}

/// Sizes of the errors over all cycles, at the end of the table as comments.
fn summary(results: &[Learned], out: &mut dyn Write) -> std::io::Result<()> {
    let mut line = |name: &str, of: &dyn Fn(&Learned) -> Option<f64>| {
        let mut sizes: Vec<f64> = results.iter().filter_map(of).map(f64::abs).filter(|size| size.is_finite()).collect();
        sizes.sort_by(f64::total_cmp);
        let at = |part: f64| sizes.get((sizes.len().saturating_sub(1) as f64 * part) as usize).copied();
        match (at(0.5), at(0.95)) {
            (Some(median), Some(most)) => {
                writeln!(out, "# {name}: median {median:.1} %, 95 % within {most:.1} %, {} cycles", sizes.len())
            }
            _ => Ok(()),
        }
    };
    line("learned against the laboratory's", &|one| Some(one.error_percent))?;
    line("learned against the current's own integral", &|one| one.integral_error_percent)?;
    line("the nominal capacity against the laboratory's", &|one| Some(one.nominal_error_percent))
}

/// Runs the command.
///
/// # Errors
/// If a file cannot be used.
pub fn run(arguments: &CapacityArguments, json: Option<&Path>, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let rows: Vec<Row> = measured::load(&arguments.input)?;
    let cycles = cycles(&arguments.cycles)?;
    let cell = cells::find(&arguments.cell)?;
    let nominal = arguments.nominal_ah;
    let start = Start { capacity_ah: nominal, soc: rows.first().and_then(|row| row.soc).unwrap_or(1.0), sigma: 0.05 };
    let mut bench = Bench::new(&cell, start).map_err(|reason| FileError::whole(Path::new(&arguments.cell), reason))?;
    let begin = rows.first().map_or(0.0, |row| row.time_s - 60.0);
    let mut due = cycles.iter();
    let mut next = due.next();
    let mut results = Vec::new();
    for row in &rows {
        bench.row(((row.time_s - begin) * 1e3).round().max(1.0) as u64, row);
        while let Some(cycle) = next.filter(|cycle| row.time_s >= cycle.end_s) {
            let learned = bench.capacity_ah();
            let percent = |value: f64| (value / cycle.capacity_ah - 1.0) * 100.0;
            results.push(Learned {
                cycle: cycle.number,
                laboratory_ah: cycle.capacity_ah,
                learned_ah: learned,
                error_percent: percent(learned),
                nominal_error_percent: percent(nominal),
                integral_error_percent: cycle.integrated_ah.map(|integral| (learned / integral - 1.0) * 100.0),
            });
            next = due.next();
        }
    }
    writeln!(out, "cycle,laboratory_ah,learned_ah,error_percent,nominal_error_percent,integral_error_percent")?;
    for line in &results {
        let Learned { cycle, laboratory_ah, learned_ah, error_percent, nominal_error_percent, integral_error_percent } =
            line;
        let integral = integral_error_percent.map_or(String::new(), |value| format!("{value:.2}"));
        writeln!(
            out,
            "{cycle},{laboratory_ah:.4},{learned_ah:.4},{error_percent:.2},{nominal_error_percent:.2},{integral}"
        )?;
    }
    summary(&results, out)?;
    if let Some(file) = json {
        let text = serde_json::to_vec_pretty(&results).map_err(|error| FileError::whole(file, error))?;
        write(file, &text)?;
    }
    Ok(Outcome::Done)
}
