//! Draws a run: cell voltages, current, switches and alarms over time, as SVG.

use std::path::{Path, PathBuf};

use bms_core::protection::Alarm;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::failure::{FileError, write};
use super::record::Record;
use super::scenario::{Output, Signal};
use super::series::Point;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), String>;
/// Chooses one of two cell voltages.
type Extreme = fn(f32, f32) -> f32;
type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const WIDTH: u32 = 1_000;
/// What the rows of the last plot are named with, left of the axis.
const LABELS: u32 = 190;
const PANEL: u32 = 300;
const GRID: RGBColor = RGBColor(225, 228, 232);
const INK: RGBColor = RGBColor(60, 64, 70);
const HIGHEST: RGBColor = RGBColor(31, 95, 191);
const LOWEST: RGBColor = RGBColor(200, 44, 44);
const CELL: RGBColor = RGBColor(150, 170, 190);
const CURRENT: RGBColor = RGBColor(34, 122, 84);
const CHARGE_COLOUR: RGBColor = RGBColor(40, 120, 200);
const ALARM_COLOUR: RGBColor = RGBColor(214, 96, 60);
const WARNING_COLOUR: RGBColor = RGBColor(226, 180, 80);

/// Draws all plots of a run into a directory: one a subject, and one with all of them above each other.
///
/// # Errors
/// If a file cannot be drawn or written.
pub fn draw_all(record: &Record, title: &str, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let rows = rows(record);
    let switches = switches_height(rows.len());
    let overview_height = PANEL * 2 + switches;
    type Draw<'a> = &'a dyn Fn(&Area<'_>) -> Drawn;
    let plots: [(&str, u32, Draw<'_>); 4] = [
        ("overview.svg", overview_height, &|area| {
            let (first, rest) = area.split_vertically(PANEL);
            let (second, third) = rest.split_vertically(PANEL);
            voltages(record, title, &first)?;
            current(record, "", &second)?;
            switches_plot(record, "", &rows, &third)
        }),
        ("voltages.svg", PANEL, &|area| voltages(record, title, area)),
        ("current.svg", PANEL, &|area| current(record, title, area)),
        ("switches.svg", switches, &|area| switches_plot(record, title, &rows, area)),
    ];
    let mut files = Vec::new();
    for (name, height, draw) in plots {
        let file = directory.join(name);
        let mut svg = String::new();
        let drawn = {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            area.fill(&WHITE).map_err(text).and_then(|()| draw(&area)).and_then(|()| area.present().map_err(text))
        };
        drawn.map_err(|reason| FileError::whole(&file, reason))?;
        write(&file, svg.as_bytes())?;
        files.push(file);
    }
    Ok(files)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The time axis: its unit and how many seconds that has.
fn time_unit(end_ms: u64) -> (&'static str, f64) {
    match end_ms {
        0..=300_000 => ("s", 1.0),
        300_001..=10_800_000 => ("min", 60.0),
        _ => ("h", 3_600.0),
    }
}

#[allow(clippy::cast_precision_loss, reason = "simulated times are far below 2^53 ms")]
fn scaled(at_ms: u64, seconds: f64) -> f64 {
    at_ms as f64 / 1_000.0 / seconds
}

/// The lowest and the highest finite value, with a little room around.
fn range(values: impl Iterator<Item = f32>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value.into()), high.max(value.into())));
    if low > high {
        return 0.0..1.0;
    }
    let room = ((high - low) * 0.06).max(0.01);
    low - room..high + room
}

/// A number on an axis, without needless zeros.
fn tick(value: &f64) -> String {
    let text = format!("{value:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// One panel with axes.
fn panel<'a, 'b>(
    area: &Area<'a>,
    title: &str,
    record: &Record,
    vertical: std::ops::Range<f64>,
    unit: &str,
) -> Result<Chart<'a, 'b>, String>
where
    'a: 'b,
{
    let (time, seconds) = time_unit(record.end_ms);
    let mut builder = ChartBuilder::on(area);
    builder.margin(10).margin_right(24).x_label_area_size(36).y_label_area_size(LABELS);
    if !title.is_empty() {
        builder.caption(title, ("sans-serif", 17).into_font().color(&INK));
    }
    let mut chart =
        builder.build_cartesian_2d(0.0..scaled(record.end_ms, seconds).max(1e-3), vertical).map_err(text)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .x_desc(format!("time / {time}"))
        .y_desc(unit)
        .x_labels(13)
        .x_label_formatter(&tick)
        .y_labels(7)
        .y_label_formatter(&tick)
        .draw()
        .map_err(text)?;
    Ok(chart)
}

fn voltages(record: &Record, title: &str, area: &Area<'_>) -> Drawn {
    let points = record.series.points();
    let (_, seconds) = time_unit(record.end_ms);
    let (floor, ceiling) = record.plausible_volts;
    let seen = range(points.iter().flat_map(|point| point.cells.iter().copied()));
    // A wire that breaks reads 0 V; that must not flatten everything else.
    let plausible = seen.start.max(floor)..seen.end.min(ceiling).max(floor + 0.1);
    // Unless there is nothing else: cells of another chemistry than was set.
    let vertical = if plausible.start < plausible.end { plausible } else { seen };
    let (low, high) = (vertical.start, vertical.end);
    let pixel = (record.end_ms as f64 / 1_000.0 / seconds / f64::from(WIDTH), (high - low) / 220.0);
    let mut chart = panel(area, title, record, vertical, "cell voltages / V")?;
    let count = points.iter().map(|point| point.cells.len()).max().unwrap_or(0);
    let line =
        |pick: &dyn Fn(&Point) -> Option<f32>| -> Vec<Vec<(f64, f64)>> {
            broken(points.iter().map(|point| {
                (scaled(point.at_ms, seconds), pick(point).map(|volts| f64::from(volts).clamp(low, high)))
            }))
            .into_iter()
            .map(|part| simplify(&part, pixel))
            .collect()
        };
    for cell in 0..count {
        for part in line(&|point| point.cells.get(cell).copied()) {
            chart.draw_series(LineSeries::new(part, CELL.mix(0.55))).map_err(text)?;
        }
    }
    let extremes: [(&str, RGBColor, Extreme); 2] =
        [("highest cell", HIGHEST, f32::max), ("lowest cell", LOWEST, f32::min)];
    for (name, colour, extreme) in extremes {
        let parts = line(&|point| point.cells.iter().copied().filter(|cell| cell.is_finite()).reduce(extreme));
        for (number, part) in parts.into_iter().enumerate() {
            let drawn = chart.draw_series(LineSeries::new(part, colour.stroke_width(2))).map_err(text)?;
            if number == 0 {
                drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            }
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(GRID)
        .label_font(("sans-serif", 13).into_font().color(&INK))
        .draw()
        .map_err(text)
}

fn current(record: &Record, title: &str, area: &Area<'_>) -> Drawn {
    let points = record.series.points();
    let (_, seconds) = time_unit(record.end_ms);
    let vertical = range(points.iter().flat_map(|point| [point.current.0, point.current.1, 0.0]));
    let pixel = (record.end_ms as f64 / 1_000.0 / seconds / f64::from(WIDTH), (vertical.end - vertical.start) / 220.0);
    let mut chart = panel(area, title, record, vertical, "current / A (+ charging)")?;
    let zero = vec![(0.0, 0.0), (scaled(record.end_ms, seconds), 0.0)];
    chart.draw_series(LineSeries::new(zero, INK.mix(0.4))).map_err(text)?;
    // Both extremes of every point, so that a short peak is seen.
    let both = points.iter().flat_map(|point| {
        let at = scaled(point.at_ms, seconds);
        let (low, high) = point.current;
        let value = |value: f32| Some(f64::from(value)).filter(|value| value.is_finite());
        [(at, value(low)), (at, value(high))]
    });
    for part in broken(both) {
        chart.draw_series(LineSeries::new(simplify(&part, pixel), CURRENT.stroke_width(1))).map_err(text)?;
    }
    Ok(())
}

/// One row of the last plot.
struct Row {
    label: &'static str,
    signal: Signal,
    colour: RGBColor,
}

/// The switches, what else was ever on, and every alarm that was ever active.
fn rows(record: &Record) -> Vec<Row> {
    let outputs = Output::ALL.into_iter().filter_map(|output| {
        let signal = Signal::Output(output);
        let always = matches!(output, Output::Charge | Output::Discharge | Output::Balance);
        let interesting = output != Output::Power && record.timeline(signal).was_ever(true);
        (always || interesting).then_some(Row { label: output.name(), signal, colour: CHARGE_COLOUR })
    });
    let alarms = Alarm::ALL.into_iter().filter_map(|alarm| {
        let signal = Signal::Alarm(alarm);
        let colour = if alarm.is_warning() { WARNING_COLOUR } else { ALARM_COLOUR };
        record.timeline(signal).was_ever(true).then_some(Row { label: alarm.name(), signal, colour })
    });
    outputs.chain(alarms).collect()
}

fn switches_height(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(60).saturating_mul(20).saturating_add(90)
}

fn switches_plot(record: &Record, title: &str, rows: &[Row], area: &Area<'_>) -> Drawn {
    let (_, seconds) = time_unit(record.end_ms);
    let count = rows.len() as f64;
    let end = scaled(record.end_ms, seconds).max(1e-3);
    let (time, _) = time_unit(record.end_ms);
    let mut builder = ChartBuilder::on(area);
    builder.margin(10).margin_right(24).x_label_area_size(36).y_label_area_size(LABELS);
    if !title.is_empty() {
        builder.caption(title, ("sans-serif", 17).into_font().color(&INK));
    }
    let mut chart = builder.build_cartesian_2d(0.0..end, 0.0..count).map_err(text)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .x_desc(format!("time / {time}"))
        .y_labels(0)
        .x_labels(13)
        .x_label_formatter(&tick)
        .draw()
        .map_err(text)?;
    let sliver = end / f64::from(WIDTH) * 1.5;
    for (number, row) in rows.iter().enumerate() {
        let bottom = count - 1.0 - number as f64;
        let spans = merged(record.timeline(row.signal).spans(true, record.end_ms), record.end_ms / 2_000);
        let bars = spans.into_iter().map(|(from, to)| {
            let from = scaled(from, seconds);
            let to = scaled(to, seconds).max(from + sliver);
            Rectangle::new([(from, bottom + 0.15), (to, bottom + 0.85)], row.colour.filled())
        });
        chart.draw_series(bars).map_err(text)?;
        // Left of the axis, level with its bars.
        let (x, y) = chart.backend_coord(&(0.0, bottom + 0.5));
        let (origin_x, origin_y) = area.get_base_pixel();
        let style = ("sans-serif", 13).into_font().color(&INK).pos(right_middle());
        area.draw(&Text::new(row.label, (x - origin_x - 8, y - origin_y), style)).map_err(text)?;
    }
    Ok(())
}

fn right_middle() -> plotters::style::text_anchor::Pos {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    Pos::new(HPos::Right, VPos::Center)
}

/// Spans with gaps too narrow to be drawn are joined.
fn merged(spans: Vec<(u64, u64)>, gap_ms: u64) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from.saturating_sub(last.1) <= gap_ms => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A line is broken where there is no value.
fn broken(points: impl Iterator<Item = (f64, Option<f64>)>) -> Vec<Vec<(f64, f64)>> {
    let mut parts = vec![Vec::new()];
    for (x, y) in points {
        match (y.filter(|y| y.is_finite()), parts.last_mut()) {
            (Some(y), Some(part)) => part.push((x, y)),
            (None, Some(part)) if !part.is_empty() => parts.push(Vec::new()),
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Leaves out what cannot be seen: within one pixel column only the first, lowest, highest and last point stay, and
/// of a straight line only its ends.
fn simplify(points: &[(f64, f64)], (pixel_x, pixel_y): (f64, f64)) -> Vec<(f64, f64)> {
    let mut columns: Vec<(f64, f64)> = Vec::new();
    let mut rest = points;
    while let Some(first) = rest.first() {
        let size = rest.iter().take_while(|point| point.0 < first.0 + pixel_x).count().max(1);
        let (column, after) = rest.split_at(size.min(rest.len()));
        let lowest = column.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let highest = column.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut kept: Vec<_> =
            [column.first(), lowest, highest, column.last()].into_iter().flatten().copied().collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.dedup();
        columns.extend(kept);
        rest = after;
    }
    straightened(&columns, pixel_y / 2.0)
}

/// Douglas and Peucker's way: the point farthest from the straight line stays if it is farther than `tolerance`, and
/// both halves are treated alike.
fn straightened(points: &[(f64, f64)], tolerance: f64) -> Vec<(f64, f64)> {
    let Some(last) = points.len().checked_sub(1) else { return Vec::new() };
    let mut keep = vec![false; points.len()];
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        for end in [from, to] {
            if let Some(slot) = keep.get_mut(end) {
                *slot = true;
            }
        }
        let (Some(a), Some(b)) = (points.get(from), points.get(to)) else { continue };
        let width = (b.0 - a.0).max(f64::MIN_POSITIVE);
        let between = points.iter().enumerate().take(to).skip(from + 1);
        let distances = between.map(|(index, p)| (index, (a.1 + (b.1 - a.1) * (p.0 - a.0) / width - p.1).abs()));
        let farthest = distances.max_by(|x, y| x.1.total_cmp(&y.1));
        if let Some((index, _)) = farthest.filter(|(_, distance)| *distance > tolerance) {
            open.push((from, index));
            open.push((index, to));
        }
    }
    points.iter().zip(keep).filter_map(|(point, kept)| kept.then_some(*point)).collect()
}
