//! The program of a board: runs the checks, prints them, writes them down.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Map, json};

use crate::{Emulator, Report, bridge, checks, faults};

const USAGE: &str = "usage: PROGRAM ELF [--json FILE] [--defaults] [--only CHECK] | PROGRAM ELF --bridge";

/// `make` is given the path of the ELF. Exit code 1 when a check fails, 2 when nothing could be checked.
pub fn main<E: Emulator>(make: impl FnOnce(&str) -> Result<E, String>) -> ExitCode {
    let (mut elf, mut json, mut defaults, mut only, mut bridged) = (None, None, false, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            "--defaults" => defaults = true,
            "--bridge" => bridged = true,
            _ => elf = Some(argument),
        }
    }
    let Some(elf) = elf else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut emulator = match make(&elf) {
        Ok(emulator) => emulator,
        Err(error) => {
            eprintln!("{elf}: {error}");
            return ExitCode::from(2);
        }
    };
    if bridged {
        return match bridge::serve(&mut emulator, std::io::stdin().lock(), std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{elf}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let about = emulator.about();
    let (mut rows, mut figures) = (Vec::new(), Map::new());
    for (name, check) in checks::ALL.iter().chain(faults::ALL) {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let began = Instant::now();
        let mut report = Report::new(name, about.period);
        if let Err(error) = check(&mut emulator, defaults, &mut report) {
            report.expect("-", false, error);
        }
        for row in &report.rows {
            let word = match row.passed {
                Some(true) => "ok",
                Some(false) => "FAIL",
                None => "blank",
            };
            println!("{word:<5} {:<13} {:<5} {}", row.check, row.id, row.detail);
        }
        for (name, value) in &report.figures {
            println!("      {name} {value:.3}");
            figures.insert((*name).into(), json!(value));
        }
        eprintln!("      {name}: {:.1} s", began.elapsed().as_secs_f64());
        rows.append(&mut report.rows);
    }
    let failed = rows.iter().filter(|row| row.passed == Some(false)).count();
    println!("{}: {} checks, {failed} failed", about.chip, rows.len());
    if let Some(path) = json {
        let rows: Vec<_> = rows.iter().map(crate::Row::json).collect();
        let document = json!({
            "chip": about.chip, "firmware": about.firmware, "emulator": about.emulator, "rows": rows, "figures": figures,
            "parameters": if defaults { "the firmware's own" } else { "short delays" },
        });
        if let Err(error) = std::fs::write(&path, format!("{document:#}\n")) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    if failed == 0 && !rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
