//! `status`: the records of a store, lifetime statistics, trips by kind.

use std::io::Write;
use std::path::Path;

use bms_core::config::{PARAMETERS, Scope, ValidConfig};
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::{Snapshot, Stored};
use bms_store::{ConfigProblem, Found, Kind, Loaded, Statistics};

use crate::flash::Contents;

use super::histogram::histograms;
use super::{ImageArguments, csv, plot};
use crate::sim::failure::{Failure, Outcome, write};
use crate::sim::numbers::{duration, quantity};
use crate::sim::table;

/// The command.
///
/// # Errors
/// If the image is unusable or a file cannot be written.
pub fn status(
    arguments: &ImageArguments,
    plots: &Path,
    json: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let contents = arguments.read()?;
    let loaded = &contents.loaded;
    print(&contents, out)?;
    if let Some(file) = &arguments.csv {
        csv(file, rows(&loaded.statistics))?;
    }
    if arguments.plots {
        let file = plots.join("statistics.svg");
        plot::statistics(&loaded.statistics, &file)?;
        writeln!(out, "plot: {}", file.display())?;
    }
    if let Some(file) = json {
        write(file, format!("{:#}\n", as_json(&contents)).as_bytes())?;
    }
    Ok(Outcome::violated_if(loaded.report.is_corrupt() || loaded.report.are_counters_corrupt()))
}

fn print(contents: &Contents, out: &mut dyn Write) -> Result<(), Failure> {
    let loaded = &contents.loaded;
    let report = &loaded.report;
    let header = ["record", "state", "format version", "copies"].map(str::to_owned);
    let mut records: Vec<Vec<String>> = Vec::new();
    for ((kind, version), copies) in Kind::ALL.into_iter().zip(report.versions).zip(report.copies) {
        let number = |value: u8| if value == 0 { String::new() } else { value.to_string() };
        records.push(vec![kind.name().to_owned(), found(report.of(kind)).to_owned(), number(version), number(copies)]);
    }
    writeln!(out, "{}", table::of(&header, records))?;
    for line in problems(loaded) {
        writeln!(out, "CORRUPT: {line}")?;
    }
    if let Some(identity) = contents.identity {
        let model = identity.model.map_or("no model", |model| model.ratings().name);
        writeln!(out, "Firmware built for {} cells, {}, {model}.", identity.cells, identity.chemistry.name())?;
    }
    if let Some(config) = &loaded.config {
        writeln!(out, "Settings: {} cells, {}; {}", config.cell_count(), config.chemistry().name(), changed(config))?;
    }
    if let Stored::Snapshot(snapshot) = loaded.stored {
        print_snapshot(&snapshot, loaded, out)?;
    }
    let log = if report.log_unreadable { ", UNREADABLE" } else { "" };
    writeln!(out, "Log: {} events{log}, {} missing between them.", report.entries, report.entries_lost)?;
    print_statistics(&loaded.statistics, out)?;
    Ok(())
}

fn found(found: Found) -> &'static str {
    match found {
        Found::Nothing => "never saved",
        Found::Good => "good",
        Found::Lost => "LOST: no readable copy of the newest",
        Found::Malformed => "MALFORMED",
        Found::Newer => "NEWER than this program reads",
    }
}

/// What keeps a pack with this store open, in words.
fn problems(loaded: &Loaded) -> Vec<String> {
    let report = &loaded.report;
    let mut lines = Vec::new();
    if report.wreck {
        lines.push("the flash is not blank, and nothing in it is readable".to_owned());
    }
    match report.config {
        Some(ConfigProblem::Invalid(violations)) => {
            lines.extend(violations.iter().map(|violation| format!("configuration: {violation}")));
        }
        Some(ConfigProblem::OtherPack(identity)) => {
            lines.push(format!("the configuration is for {} cells, {}", identity.cells, identity.chemistry.name()));
        }
        Some(_) => lines.push("the configuration is not used".to_owned()),
        None => {}
    }
    let bad = Kind::ALL.into_iter().filter(|kind| report.of(*kind).is_bad());
    lines.extend(bad.map(|kind| format!("{}: {}", kind.name(), found(report.of(kind)))));
    lines
}

/// The settings that differ from the preset of the same chemistry.
fn changed(config: &ValidConfig) -> String {
    let preset = config.to_config().with_preset(config.chemistry());
    let differing = PARAMETERS
        .iter()
        .filter(|parameter| parameter.scope == Scope::Service && config.get(parameter.id) != preset.get(parameter.id));
    let list: Vec<String> = differing
        .map(|parameter| format!("{} = {}", parameter.name, quantity(config.get(parameter.id), parameter.unit)))
        .collect();
    if list.is_empty() { "as the preset".to_owned() } else { format!("differing from the preset: {}", list.join(", ")) }
}

fn names(alarms: AlarmSet) -> String {
    let names: Vec<&str> = alarms.iter().map(Alarm::name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn print_snapshot(snapshot: &Snapshot, loaded: &Loaded, out: &mut dyn Write) -> Result<(), Failure> {
    let ampere_hours = |charge: bms_core::units::Charge| charge.as_milliamp_hours() as f64 / 1e3;
    writeln!(out, "Alarms held: {}.", names(snapshot.alarms))?;
    let [charge, discharge, short_circuit, undervoltage] = snapshot.retries.counts();
    writeln!(
        out,
        "Trips towards a lock-out: charge over-current {charge}, discharge over-current {discharge}, short circuit \
         {short_circuit}, under-voltage {undervoltage}."
    )?;
    let switches = snapshot.switches;
    let on = |on: bool| if on { "on" } else { "off" };
    writeln!(
        out,
        "User switches: charge {}, discharge {}, balance {}.",
        on(switches.charge),
        on(switches.discharge),
        on(switches.balance)
    )?;
    match snapshot.remaining {
        Some(remaining) => {
            let part = remaining.as_milliamp_millis() as f64 / snapshot.capacity.as_milliamp_millis().max(1) as f64;
            let sigma = f64::from(snapshot.learned.soc_sigma_millionths) / 1e4;
            let sure = if sigma > 0.0 { format!(" ± {sigma:.1} %") } else { String::new() };
            writeln!(
                out,
                "State of charge: {:.1} %{sure}, {:.2} of {:.2} Ah.",
                part * 100.0,
                ampere_hours(remaining),
                ampere_hours(snapshot.capacity)
            )?;
        }
        None => writeln!(out, "State of charge: unknown.")?,
    }
    writeln!(
        out,
        "{} full charges, {:.1} Ah discharged, {} run in {} starts.",
        snapshot.cycles,
        ampere_hours(snapshot.cycle_capacity),
        duration(snapshot.run_time_seconds.saturating_mul(1_000)),
        loaded.counters.starts
    )?;
    Ok(())
}

fn print_statistics(statistics: &Statistics, out: &mut dyn Write) -> Result<(), Failure> {
    const WIDTH: f64 = 40.0;
    for histogram in histograms(statistics) {
        let total = histogram.total();
        if total == 0 {
            continue;
        }
        writeln!(out, "{} / {}", histogram.title, histogram.unit)?;
        for (bin, seconds) in histogram.seconds.iter().enumerate().filter(|(_, seconds)| **seconds > 0) {
            let part = f64::from(*seconds) / total as f64;
            let bar = "█".repeat((part * WIDTH).ceil() as usize);
            writeln!(
                out,
                "  {:>14} {:>9.1} min {:>5.1} % {bar}",
                histogram.label(bin),
                f64::from(*seconds) / 60.0,
                part * 100.0
            )?;
        }
    }
    if *statistics == Statistics::new() {
        writeln!(out, "Nothing measured was ever saved.")?;
        return Ok(());
    }
    let (low, high) = statistics.cell_millivolts;
    let (cold, warm) = statistics.battery_tenths;
    let (discharge, charge) = statistics.milliamps;
    writeln!(
        out,
        "Ever seen: cells {:.3} to {:.3} V, battery {:.1} to {:.1} °C, current {:.1} to {:.1} A.",
        f64::from(low) / 1e3,
        f64::from(high) / 1e3,
        f64::from(cold) / 10.0,
        f64::from(warm) / 10.0,
        f64::from(discharge) / 1e3,
        f64::from(charge) / 1e3
    )?;
    let trips: Vec<Vec<String>> =
        trips(statistics).map(|(alarm, count)| vec![alarm.name().to_owned(), count.to_string()]).collect();
    if !trips.is_empty() {
        writeln!(out, "{}", table::of(&["alarm".to_owned(), "times raised".to_owned()], trips))?;
    }
    Ok(())
}

/// Alarms that were ever raised, and how often.
fn trips(statistics: &Statistics) -> impl Iterator<Item = (Alarm, u16)> + '_ {
    Alarm::ALL.into_iter().map(|alarm| (alarm, statistics.trips_of(alarm))).filter(|(_, count)| *count > 0)
}

/// The statistics as a table: kind, from, to, unit, seconds or times.
fn rows(statistics: &Statistics) -> Vec<Vec<String>> {
    let mut rows = vec![["kind", "from", "to", "unit", "value", "value_unit"].map(str::to_owned).to_vec()];
    for histogram in histograms(statistics) {
        for (bin, seconds) in histogram.seconds.iter().enumerate() {
            let edge = |edge: Option<usize>| {
                edge.and_then(|edge| histogram.edges.get(edge)).map_or_else(String::new, f64::to_string)
            };
            rows.push(vec![
                histogram.name.to_owned(),
                edge(bin.checked_sub(1)),
                edge(Some(bin)),
                histogram.unit.to_owned(),
                seconds.to_string(),
                "s".to_owned(),
            ]);
        }
    }
    rows.extend(trips(statistics).map(|(alarm, count)| {
        vec![
            "trips".to_owned(),
            alarm.name().to_owned(),
            String::new(),
            String::new(),
            count.to_string(),
            String::new(),
        ]
    }));
    rows
}

fn as_json(contents: &Contents) -> serde_json::Value {
    let loaded = &contents.loaded;
    let report = &loaded.report;
    let records: serde_json::Map<_, _> = Kind::ALL
        .into_iter()
        .zip(report.versions)
        .zip(report.copies)
        .map(|((kind, version), copies)| {
            let of = serde_json::json!({ "state": found(report.of(kind)), "version": version, "copies": copies });
            (kind.name().to_owned(), of)
        })
        .collect();
    let histograms: serde_json::Map<_, _> = histograms(&loaded.statistics)
        .into_iter()
        .map(|one| {
            let of = serde_json::json!({ "unit": one.unit, "edges": one.edges, "seconds": one.seconds });
            (one.name.to_owned(), of)
        })
        .collect();
    let snapshot = match loaded.stored {
        Stored::Snapshot(snapshot) => Some(snapshot),
        _ => None,
    };
    let statistics = &loaded.statistics;
    let trips: serde_json::Map<_, _> =
        trips(statistics).map(|(alarm, count)| (alarm.name().to_owned(), count.into())).collect();
    let settings: Option<serde_json::Map<_, _>> = loaded.config.map(|config| {
        PARAMETERS.iter().map(|parameter| (parameter.name.to_owned(), config.get(parameter.id).into())).collect()
    });
    serde_json::json!({
        "corrupt": report.is_corrupt(),
        "counters_corrupt": report.are_counters_corrupt(),
        "problems": problems(loaded),
        "records": records,
        "settings": settings,
        "snapshot": snapshot,
        "alarms": snapshot.map(|snapshot| snapshot.alarms.iter().map(Alarm::name).collect::<Vec<_>>()),
        "starts": loaded.counters.starts,
        "events": report.entries,
        "events_missing": report.entries_lost,
        "histograms": histograms,
        "extremes": {
            "cell_mv": statistics.cell_millivolts,
            "battery_dc": statistics.battery_tenths,
            "current_ma": statistics.milliamps,
        },
        "trips": trips,
    })
}
