//! Lifetime statistics and the log, drawn as SVG.

use std::path::Path;

use bms_core::event::EventKind;
use bms_core::protection::Alarm;
use bms_store::{Entry, Statistics};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::histogram::{Histogram, histograms};
use crate::sim::failure::{FileError, write};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), String>;

const WIDTH: u32 = 1_000;
const PANEL: u32 = 260;
const ROW: u32 = 22;
const INK: RGBColor = RGBColor(60, 64, 70);
const GRID: RGBColor = RGBColor(225, 228, 232);
const BAR: RGBColor = RGBColor(40, 120, 200);
const ALARM: RGBColor = RGBColor(214, 96, 60);
const WARNING: RGBColor = RGBColor(226, 180, 80);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn draw(file: &Path, height: u32, with: impl FnOnce(&Area<'_>) -> Drawn) -> Result<(), FileError> {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE).map_err(text).and_then(|()| with(&area)).and_then(|()| area.present().map_err(text))
    };
    drawn.map_err(|reason| FileError::whole(file, reason))?;
    write(file, svg.as_bytes())
}

/// The three histograms, and how often each alarm was raised.
///
/// # Errors
/// If the file cannot be drawn or written.
pub fn statistics(statistics: &Statistics, file: &Path) -> Result<(), FileError> {
    let trips: Vec<(Alarm, u16)> = Alarm::ALL
        .into_iter()
        .map(|alarm| (alarm, statistics.trips_of(alarm)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let below = u32::try_from(trips.len()).unwrap_or(60) * ROW + 90;
    draw(file, PANEL * 3 + below, |area| {
        let mut rest = area.clone();
        for histogram in histograms(statistics) {
            let (panel, under) = rest.split_vertically(PANEL);
            bars(&histogram, &panel)?;
            rest = under;
        }
        counts(&trips, &rest)
    })
}

/// Seconds of the unit that suits a time, and its name.
fn unit_of(seconds: f64) -> (f64, &'static str) {
    match seconds {
        ..180.0 => (1.0, "s"),
        ..10_800.0 => (60.0, "min"),
        ..360_000.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    }
}

fn bars(histogram: &Histogram, area: &Area<'_>) -> Drawn {
    let longest = histogram.seconds.iter().copied().max().unwrap_or(0).max(1);
    let (unit, unit_name) = unit_of(longest.into());
    let times: Vec<f64> = histogram.seconds.iter().map(|seconds| f64::from(*seconds) / unit).collect();
    let highest = f64::from(longest) / unit;
    let bins = times.len();
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .caption(format!("{} / {}", histogram.title, histogram.unit), ("sans-serif", 16).into_font().color(&INK))
        .build_cartesian_2d(0.0..bins as f64, 0.0..highest * 1.08)
        .map_err(text)?;
    let edge = |place: &f64| {
        let near = place.round();
        let on_edge = (place - near).abs() < 1e-6 && near >= 1.0;
        on_edge.then(|| histogram.edges.get(near as usize - 1)).flatten().map_or_else(String::new, f64::to_string)
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .y_desc(format!("time / {unit_name}"))
        .x_labels(bins + 1)
        .x_label_formatter(&edge)
        .y_labels(6)
        .draw()
        .map_err(text)?;
    let drawn = times.iter().enumerate().map(|(bin, time)| {
        let left = bin as f64;
        Rectangle::new([(left + 0.06, 0.0), (left + 0.94, *time)], BAR.filled())
    });
    chart.draw_series(drawn).map_err(text)?;
    Ok(())
}

fn colour(alarm: Alarm) -> RGBColor {
    if alarm.is_warning() { WARNING } else { ALARM }
}

fn counts(trips: &[(Alarm, u16)], area: &Area<'_>) -> Drawn {
    let most = trips.iter().map(|(_, count)| f64::from(*count)).fold(1.0_f64, f64::max);
    let font = ("sans-serif", 13).into_font().color(&INK);
    area.draw(&Text::new("alarms: times raised", (10, 12), ("sans-serif", 16).into_font().color(&INK)))
        .map_err(text)?;
    for (number, (alarm, count)) in trips.iter().enumerate() {
        let top = 40 + i32::try_from(number * ROW as usize).unwrap_or(0);
        let length = (f64::from(*count) / most * 640.0) as i32;
        let bar = [(250, top), (250 + length.max(1), top + 14)];
        area.draw(&Text::new(alarm.name(), (10, top), font.clone())).map_err(text)?;
        area.draw(&Rectangle::new(bar, colour(*alarm).filled())).map_err(text)?;
        area.draw(&Text::new(count.to_string(), (258 + length, top), font.clone())).map_err(text)?;
    }
    Ok(())
}

/// Alarms over the run time: from where each was raised to where it was cleared, one row an alarm.
///
/// # Errors
/// If the file cannot be drawn or written.
pub fn log(entries: &[Entry], file: &Path) -> Result<(), FileError> {
    let spans = spans(entries);
    let mut alarms: Vec<Alarm> = spans.iter().map(|span| span.alarm).collect();
    alarms.sort_unstable();
    alarms.dedup();
    let first = entries.first().map_or(0.0, |entry| entry.run_time_seconds as f64);
    let last = entries.iter().map(|entry| entry.run_time_seconds as f64).fold(first, f64::max);
    // What is still active at the end shows too.
    let last = last + ((last - first) * 0.03).max(1.0);
    let (unit, unit_name) = unit_of(last);
    let (begin, end) = (first / unit, last / unit);
    let height = u32::try_from(alarms.len()).unwrap_or(60) * ROW + 100;
    draw(file, height, |area| {
        if alarms.is_empty() {
            let title = ("sans-serif", 16).into_font().color(&INK);
            return area.draw(&Text::new("no alarms in the log", (10, 12), title)).map_err(text);
        }
        let rows = alarms.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(30)
            .x_label_area_size(36)
            .y_label_area_size(220)
            .caption("logged alarms", ("sans-serif", 16).into_font().color(&INK))
            .build_cartesian_2d(begin..end, 0.0..rows)
            .map_err(text)?;
        let name = |row: &f64| {
            let index = (rows - row) as usize;
            let middle = (row.fract() - 0.5).abs() < 0.01;
            middle.then(|| alarms.get(index)).flatten().map_or_else(String::new, |alarm| alarm.name().to_owned())
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_desc(format!("run time / {unit_name}"))
            .y_labels(alarms.len() * 2 + 1)
            .y_label_formatter(&name)
            .draw()
            .map_err(text)?;
        let sliver = (end - begin) / f64::from(WIDTH) * 2.0;
        let bars = spans.iter().filter_map(|span| {
            let row = rows - 1.0 - alarms.iter().position(|alarm| *alarm == span.alarm)? as f64;
            let from = span.from / unit;
            let to = span.to.map_or(end, |to| to / unit).max(from + sliver);
            Some(Rectangle::new([(from, row + 0.2), (to, row + 0.8)], colour(span.alarm).filled()))
        });
        chart.draw_series(bars).map_err(text)?;
        Ok(())
    })
}

/// From when to when an alarm was active, in seconds of run time.
struct Span {
    alarm: Alarm,
    from: f64,
    to: Option<f64>,
}

fn spans(entries: &[Entry]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for entry in entries {
        let at = entry.run_time_seconds as f64;
        match entry.event.map(|event| event.kind) {
            Ok(EventKind::Raised { alarm, .. }) => spans.push(Span { alarm, from: at, to: None }),
            Ok(EventKind::Cleared { alarm }) => {
                for span in spans.iter_mut().filter(|span| span.alarm == alarm && span.to.is_none()) {
                    span.to = Some(at);
                }
            }
            _ => {}
        }
    }
    spans
}
