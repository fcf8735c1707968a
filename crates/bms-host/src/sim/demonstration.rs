//! Without a command: a day of a pack, what tripped, the status page and the plots.

use std::io::Write;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::{Failure, FileError, Outcome, write};
use super::page::PRINTED_WIDTH;
use super::plot;
use super::report;
use super::run::{Files, milliseconds, play_with};
use super::scenario::{self, Refused};

/// The day; also an example of a scenario.
const DAY: &str = include_str!("../../scenarios/demonstration-day.toml");

/// Plays the day.
///
/// # Errors
/// If the plots cannot be written.
pub fn run(
    seed: Option<u64>,
    store: Option<&Path>,
    plots: &Path,
    json: Option<&Path>,
    coloured: bool,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let started = std::time::Instant::now();
    let name = Path::new("demonstration-day.toml");
    let scenario = scenario::parse(name, DAY).map_err(|refused| match refused {
        Refused::File(error) => error,
        Refused::Config(violations) => FileError::whole(name, format!("{} violations", violations.len())),
    })?;
    let seed = seed.or(scenario.seed).unwrap_or(1);
    // Draws only on a terminal.
    let bar = ProgressBar::new(milliseconds(scenario.duration_s) / 1_000);
    let style =
        ProgressStyle::with_template("{msg} {bar:40} {percent:>3} %").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(scenario.title.clone());
    let finished = play_with(&scenario, seed, Files { store, ..Files::default() }, &mut |now_ms| {
        bar.set_position(now_ms / 1_000)
    })?;
    bar.finish_and_clear();
    let record = &finished.session.record;
    let took = started.elapsed();
    writeln!(out, "{}: what tripped (seed {seed})", scenario.title)?;
    writeln!(out, "{}", report::trips(record))?;
    let warnings = record.trips.iter().filter(|trip| trip.alarm.is_warning()).count();
    writeln!(out, "{warnings} warnings are in the plots and in --json.")?;
    writeln!(out)?;
    let page = report::page(finished.session.bms(), "At the end of the day: 16 x LiFePO4, 100 Ah");
    writeln!(out, "{}", page.to_text(PRINTED_WIDTH, coloured))?;
    if let Some(pack) = finished.session.world().pack() {
        let (lowest, highest) =
            pack.plant.socs().fold((1.0_f64, 0.0_f64), |(low, high), soc| (low.min(soc), high.max(soc)));
        writeln!(out, "The cells are truly at {:.1} % to {:.1} %.", lowest * 100.0, highest * 100.0)?;
    }
    for verdict in finished.verdicts.iter().filter(|verdict| !verdict.met) {
        writeln!(out, "VIOLATED: expected: {}", verdict.expected)?;
        writeln!(out, "          what happened: {}", verdict.happened)?;
    }
    for path in plot::draw_all(record, &scenario.title, plots)? {
        writeln!(out, "plot: {}", path.display())?;
    }
    let speed = scenario.duration_s / took.as_secs_f64().max(1e-9);
    writeln!(
        out,
        "{:.1} h in {:.1} s: {speed:.0} times real time, {} steps",
        scenario.duration_s / 3_600.0,
        took.as_secs_f64(),
        record.steps
    )?;
    if let Some(path) = json {
        let report = serde_json::json!({
            "title": scenario.title,
            "seed": seed,
            "steps": record.steps,
            "seconds_needed": took.as_secs_f64(),
            "trips": report::trips_json(record),
            "expectations": finished.verdicts,
            "page": page,
        });
        write(path, format!("{report:#}\n").as_bytes())?;
    }
    Ok(Outcome::violated_if(finished.verdicts.iter().any(|verdict| !verdict.met)))
}
