//! `log`: the events of a store.

use std::io::Write;
use std::path::Path;

use bms_core::Bms;
use bms_core::config::{Config, Unit, ValidConfig};
use bms_core::event::{Event, EventKind};
use bms_core::explain::Part;
use bms_core::protection::Alarm;
use bms_core::time::secs;
use bms_core::units::amps;
use bms_store::{Entry, Frozen};

use super::{ImageArguments, csv, plot};
use crate::sim::failure::{Failure, Outcome, write};
use crate::sim::numbers::{clock, quantity};
use crate::sim::table;

/// The command.
///
/// # Errors
/// If the image is unusable or a file cannot be written.
pub fn log(
    arguments: &ImageArguments,
    plots: &Path,
    json: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let contents = arguments.read()?;
    let entries = &contents.entries;
    let config = contents.loaded.config.or_else(any_config);
    let words = |entry: &Entry| what(entry, config.as_ref());
    let header = ["no", "start", "time", "event", "where and how much", "at that moment"].map(str::to_owned);
    let rows = entries.iter().map(|entry| {
        let (event, detail) = words(entry);
        let frame = entry.frame.as_ref().map_or_else(String::new, frame_in_words);
        vec![entry.number.to_string(), entry.start.to_string(), when(entry), event, detail, frame]
    });
    writeln!(out, "{}", table::of(&header, rows.collect()))?;
    let report = &contents.loaded.report;
    let unreadable = if report.log_unreadable { "; the log is UNREADABLE" } else { "" };
    writeln!(out, "{} events, {} missing between them{unreadable}.", entries.len(), report.entries_lost)?;
    if report.is_corrupt() {
        writeln!(out, "CORRUPT: not all of this image is readable; `status` tells what.")?;
    }
    if let Some(file) = &arguments.csv {
        csv(file, csv_rows(entries, &words))?;
    }
    if arguments.plots {
        let file = plots.join("log.svg");
        plot::log(entries, &file)?;
        writeln!(out, "plot: {}", file.display())?;
    }
    if let Some(file) = json {
        let all: Vec<_> = entries.iter().map(|entry| as_json(entry, &words(entry))).collect();
        write(file, format!("{:#}\n", serde_json::Value::Array(all)).as_bytes())?;
    }
    Ok(Outcome::violated_if(report.log_unreadable || report.is_corrupt()))
}

/// Units are the same in every configuration.
fn any_config() -> Option<ValidConfig> {
    Config::lifepo4(16).with_charge_limit(amps(100), secs(30)).with_discharge_limit(amps(100), secs(30)).validate().ok()
}

fn when(entry: &Entry) -> String {
    entry.event.map_or_else(|_| String::new(), |event| clock(event.at.as_millis()))
}

/// The event, and the rest of it, in words.
fn what(entry: &Entry, config: Option<&ValidConfig>) -> (String, String) {
    let kind = match entry.event {
        Ok(Event { kind, .. }) => kind,
        Err(number) => return (format!("event {number}, not known to this program"), String::new()),
    };
    let on = |on: bool| if on { "on" } else { "off" };
    match kind {
        EventKind::Raised { alarm, index, value } => {
            (format!("{alarm} raised"), config.map_or_else(String::new, |config| detail(alarm, index, value, config)))
        }
        EventKind::Cleared { alarm } => (format!("{alarm} cleared"), String::new()),
        EventKind::Switched { charge, discharge } => {
            ("switched".to_owned(), format!("charge {}, discharge {}", on(charge), on(discharge)))
        }
        EventKind::Balancing { active } => (format!("balancing {}", on(active)), String::new()),
        EventKind::WireTest { active: true, .. } => ("test of the wires began".to_owned(), String::new()),
        EventKind::WireTest { active: false, visited } => {
            ("test of the wires ended".to_owned(), format!("{visited} cells visited"))
        }
        EventKind::Heating { active } => (format!("heating {}", on(active)), String::new()),
        EventKind::Full => ("full".to_owned(), String::new()),
        EventKind::Empty => ("empty".to_owned(), String::new()),
        EventKind::ParameterChanged { parameter } => ("parameter changed".to_owned(), parameter.info().name.to_owned()),
        EventKind::Reconfigured => ("reconfigured".to_owned(), String::new()),
        EventKind::Started => ("started".to_owned(), String::new()),
        EventKind::ShuttingDown => ("shutting down".to_owned(), String::new()),
        EventKind::Access(event) => ("access".to_owned(), format!("{event:?}")),
        _ => ("another event".to_owned(), String::new()),
    }
}

fn detail(alarm: Alarm, index: Option<u8>, value: i32, config: &ValidConfig) -> String {
    let reason = Bms::new(*config).alarm_reason(alarm);
    let place = match (reason.part, index.map(|index| u16::from(index) + 1)) {
        (Part::Cell, Some(number)) => format!("cell {number}"),
        (Part::Sensor, Some(6)) => "MOS".to_owned(),
        (Part::Sensor, Some(number)) => format!("T{number}"),
        (Part::Wire, Some(number)) => format!("wire {}", number - 1),
        (Part::None, _) | (_, None) => String::new(),
    };
    let value = if reason.unit == Unit::Flag { String::new() } else { quantity(value, reason.unit) };
    [place, value].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Lowest and highest cell, in V.
fn extremes(frame: &Frozen) -> Option<(f64, f64)> {
    let volts = frame.cells().flatten().map(|cell| f64::from(cell.as_microvolts()) * 1e-6);
    volts.fold(None, |range: Option<(f64, f64)>, cell| {
        Some(range.map_or((cell, cell), |(low, high)| (low.min(cell), high.max(cell))))
    })
}

fn frame_in_words(frame: &Frozen) -> String {
    let mut parts = Vec::new();
    if let Some((low, high)) = extremes(frame) {
        parts.push(format!("cells {low:.3}…{high:.3} V"));
    }
    if let Some(current) = frame.current {
        parts.push(format!("{:.1} A", f64::from(current.as_milliamps()) / 1e3));
    }
    if let Some(warmest) = frame.temperature_tenths.iter().take(5).flatten().max() {
        parts.push(format!("{:.1} °C", f64::from(*warmest) / 10.0));
    }
    if let Some(soc) = frame.state_of_charge_permille {
        parts.push(format!("{:.1} %", f64::from(soc) / 10.0));
    }
    parts.join(", ")
}

type Words<'a> = &'a dyn Fn(&Entry) -> (String, String);

fn csv_rows(entries: &[Entry], words: Words<'_>) -> Vec<Vec<String>> {
    const CELLS: usize = bms_store::FRAME_CELLS;
    let mut header: Vec<String> = [
        "number",
        "start",
        "time_ms",
        "run_time_s",
        "calendar_s",
        "event",
        "detail",
        "current_ma",
        "soc_permille",
        "t1_dc",
        "t2_dc",
        "t3_dc",
        "t4_dc",
        "t5_dc",
        "mos_dc",
    ]
    .map(str::to_owned)
    .to_vec();
    header.extend((1..=CELLS).map(|cell| format!("cell{cell:02}_uv")));
    let mut rows = vec![header];
    for entry in entries {
        let text = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
        let (event, detail) = words(entry);
        let frame = entry.frame.as_ref();
        let mut row = vec![
            entry.number.to_string(),
            entry.start.to_string(),
            entry.event.map_or_else(|_| String::new(), |event| event.at.as_millis().to_string()),
            entry.run_time_seconds.to_string(),
            entry.calendar.map_or_else(String::new, |seconds| seconds.to_string()),
            event,
            detail,
            text(frame.and_then(|frame| frame.current).map(|current| current.as_milliamps().into())),
            text(frame.and_then(|frame| frame.state_of_charge_permille).map(i64::from)),
        ];
        let temperatures = frame.map_or([None; 6], |frame| frame.temperature_tenths);
        row.extend(temperatures.map(|tenths| text(tenths.map(i64::from))));
        let cells: Vec<_> = frame.map_or_else(Vec::new, |frame| frame.cells().collect());
        row.extend(
            (0..CELLS)
                .map(|cell| text(cells.get(cell).copied().flatten().map(|voltage| voltage.as_microvolts().into()))),
        );
        rows.push(row);
    }
    rows
}

fn as_json(entry: &Entry, (event, detail): &(String, String)) -> serde_json::Value {
    serde_json::json!({
        "number": entry.number,
        "start": entry.start,
        "time_ms": entry.event.ok().map(|event| event.at.as_millis()),
        "run_time_s": entry.run_time_seconds,
        "calendar_s": entry.calendar,
        "event": event,
        "detail": detail,
        "kind": entry.event.ok().map(|event| event.kind),
        "frame": entry.frame.as_ref().map(|frame| serde_json::json!({
            "alarms": frame.alarms.iter().map(Alarm::name).collect::<Vec<_>>(),
            "current_ma": frame.current.map(|current| current.as_milliamps()),
            "soc_permille": frame.state_of_charge_permille,
            "charge": frame.charge,
            "discharge": frame.discharge,
            "temperatures_dc": frame.temperature_tenths,
            "cells_uv": frame.cells().map(|cell| cell.map(|cell| cell.as_microvolts())).collect::<Vec<_>>(),
        })),
    })
}
