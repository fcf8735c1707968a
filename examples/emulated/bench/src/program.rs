//! The program of a board: runs the checks, prints them, writes them down.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Map, json};

use crate::checks::Check;
use crate::{About, Emulator, Report, bridge, checks, faults};

const USAGE: &str = "usage: PROGRAM ELF [--json FILE] [--defaults] [--only CHECK] | PROGRAM ELF --bridge";

/// `make` is given the path of the ELF, and makes an emulator for each of as many checks as run at once: their time is
/// their own, so that no number changes with it. Exit code 1 when a check fails, 2 when nothing could be checked.
pub fn main<E: Emulator>(make: impl Fn(&str) -> Result<E, String> + Sync) -> ExitCode {
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
    let about = match make(&elf) {
        Ok(emulator) => emulator.about(),
        Err(error) => {
            eprintln!("{elf}: {error}");
            return ExitCode::from(2);
        }
    };
    if bridged {
        let served = make(&elf)
            .and_then(|mut emulator| bridge::serve(&mut emulator, std::io::stdin().lock(), std::io::stdout().lock()));
        return match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{elf}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let chosen: Vec<_> = checks::ALL.iter().chain(faults::ALL).filter(|(name, _)| wanted(name)).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(chosen.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((name, check)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = run(&make, &elf, &about, name, *check, defaults);
                    // A check that panicked in another worker is no reason to lose this one's result.
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(report);
                }
            });
        }
    });
    let mut reports = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_by_key(|report| chosen.iter().position(|(name, _)| *name == report.check));
    let (mut rows, mut figures) = (Vec::new(), Map::new());
    for mut report in reports {
        figures.extend(report.figures.iter().map(|(name, value)| ((*name).into(), json!(value))));
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

/// One check, printed when it is done.
fn run<E: Emulator>(
    make: impl Fn(&str) -> Result<E, String>,
    elf: &str,
    about: &About,
    name: &'static str,
    check: Check,
    defaults: bool,
) -> Report {
    let began = Instant::now();
    let mut report = Report::new(name, about.period);
    if let Some(why) = about.lacks(name) {
        report.blank("-", why);
    } else if let Err(error) = make(elf).and_then(|mut emulator| check(&mut emulator, defaults, &mut report)) {
        report.expect("-", false, error);
    }
    let mut text = String::new();
    for row in &report.rows {
        let word = match row.passed {
            Some(true) => "ok",
            Some(false) => "FAIL",
            None => "blank",
        };
        text += &format!("{word:<5} {:<13} {:<5} {}\n", row.check, row.id, row.detail);
    }
    for (name, value) in &report.figures {
        text += &format!("      {name} {value:.3}\n");
    }
    // In one piece, because others print too.
    print!("{text}");
    eprintln!("      {name}: {:.1} s", began.elapsed().as_secs_f64());
    report
}
