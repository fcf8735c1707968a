//! Draws an estimated state of charge with its confidence, and the true one where it is known, as SVG.

use std::path::Path;

use plotters::prelude::*;

use super::failure::{FileError, write};
use super::measured::Row;
use super::soc::Estimate;

const SIZE: (u32, u32) = (1_000, 360);
/// More points than pixels help nobody.
const POINTS: usize = 700;
const GRID: RGBColor = RGBColor(225, 228, 232);
const ESTIMATED: RGBColor = RGBColor(31, 95, 191);
const BAND: RGBColor = RGBColor(196, 214, 240);
const TRUE: RGBColor = RGBColor(34, 122, 84);
const SHOWN: RGBColor = RGBColor(214, 96, 60);

/// Points of a line: hours and percent.
type Line = Vec<(f64, f64)>;

/// Draws the plot.
///
/// # Errors
/// If it cannot be drawn or written.
pub fn draw(file: &Path, title: &str, rows: &[Row], estimates: &[Estimate]) -> Result<(), FileError> {
    let mut svg = String::new();
    chart(&mut svg, title, rows, estimates).map_err(|reason| FileError::whole(file, reason))?;
    write(file, svg.as_bytes())
}

fn chart(svg: &mut String, title: &str, rows: &[Row], estimates: &[Estimate]) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let every = (estimates.len() / POINTS).max(1);
    let begin = estimates.first().map_or(0.0, |first| first.time_s);
    let end = estimates.last().map_or(1.0, |last| (last.time_s - begin) / 3_600.0).max(0.01);
    let hours = |time_s: f64| (time_s - begin) / 3_600.0;
    let thin: Vec<&Estimate> = estimates.iter().step_by(every).collect();
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| text(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..end, 0.0..100.0)
        .map_err(|error| text(&error))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .x_desc("time, h")
        .y_label_formatter(&|percent| format!("{percent:.0}"))
        .y_desc("state of charge, %")
        .draw()
        .map_err(|error| text(&error))?;
    let edge = |estimate: &&Estimate, side: f64| {
        (hours(estimate.time_s), (100.0 * (estimate.soc + side * 2.0 * estimate.sigma)).clamp(0.0, 100.0))
    };
    let band: Line =
        thin.iter().map(|one| edge(one, 1.0)).chain(thin.iter().rev().map(|one| edge(one, -1.0))).collect();
    chart.draw_series([Polygon::new(band, BAND.filled())]).map_err(|error| text(&error))?;
    let truth = rows.iter().step_by(every).filter_map(|row| Some((hours(row.time_s), 100.0 * row.soc?)));
    let lines: [(&str, RGBColor, Line); 3] = [
        ("true", TRUE, truth.collect()),
        ("shown", SHOWN, thin.iter().map(|one| (hours(one.time_s), 100.0 * one.shown)).collect()),
        ("estimated, ± 2 σ", ESTIMATED, thin.iter().map(|one| (hours(one.time_s), 100.0 * one.soc)).collect()),
    ];
    for (name, colour, points) in lines {
        if points.is_empty() {
            continue;
        }
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(|error| text(&error))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(GRID)
        .position(SeriesLabelPosition::UpperRight)
        .draw()
        .map_err(|error| text(&error))?;
    area.present().map_err(|error| text(&error))
}
