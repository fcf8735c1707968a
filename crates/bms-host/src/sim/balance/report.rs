//! The results as a table, as JSON and as plots.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::{Value, json};

use super::BalanceArguments;
use super::pack::Use;
use super::trial::{Contestant, Result as Trial};
use crate::sim::failure::{Failure, FileError, write};
use crate::sim::table;

type Results = [(Contestant, Vec<Trial>)];

const HEADER: [&str; 13] = [
    "strategy",
    "time h",
    "of T*",
    "Ah moved",
    "of A*",
    "loss Wh",
    "wrong way Ah",
    "pair changes",
    "turns",
    "quiet",
    "spread after",
    "usable Ah",
    "share",
];

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::NAN } else { sum / f64::from(count) }
}

fn worst(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::MIN, f64::max)
}

/// The time against T* of the duty that quiet scans leave.
#[must_use]
pub fn time_ratio(trial: &Trial) -> Option<f64> {
    trial.time_h.map(|time| time / (trial.bound.hours / (1.0 - trial.quiet_share)))
}

fn row(contestant: Contestant, trials: &[Trial]) -> Vec<String> {
    let reached = trials.iter().filter(|trial| trial.time_h.is_some()).count();
    let of = |what: fn(&Trial) -> f64| mean(trials.iter().map(what));
    let time = if reached == 0 {
        "never".to_owned()
    } else {
        let hours = mean(trials.iter().filter_map(|trial| trial.time_h));
        if reached == trials.len() { format!("{hours:.1}") } else { format!("{hours:.1} ({reached}/{})", trials.len()) }
    };
    let ratio =
        if reached == 0 { "–".to_owned() } else { format!("{:.2}", mean(trials.iter().filter_map(time_ratio))) };
    vec![
        contestant.name().to_owned(),
        time,
        ratio,
        format!("{:.1}", of(|trial| trial.ah_moved)),
        format!("{:.2}", of(|trial| trial.ah_moved / trial.bound.charge_ah.max(1e-9))),
        format!("{:.1}", of(|trial| trial.loss_wh)),
        format!("{:.2}", of(|trial| trial.wrong_way_ah)),
        format!("{:.0}", of(|trial| f64::from(trial.pair_changes))),
        format!("{:.1}", of(|trial| f64::from(trial.turns))),
        format!("{:.1} %", 100.0 * of(|trial| trial.quiet_share)),
        format!(
            "{:.2} % (worst {:.2})",
            100.0 * of(|trial| trial.spread_after),
            100.0 * worst(trials.iter().map(|trial| trial.spread_after))
        ),
        format!("{:.1} → {:.1}", of(|trial| trial.usable_ah_before), of(|trial| trial.usable_ah_after)),
        format!("{:.0} %", 100.0 * of(|trial| trial.share_of_bound)),
    ]
}

/// Prints the table.
///
/// # Errors
/// Nothing more can be printed.
pub fn print(arguments: &BalanceArguments, results: &Results, out: &mut dyn Write) -> std::io::Result<()> {
    let Some((_, trials)) = results.first() else { return Ok(()) };
    let of = |what: fn(&Trial) -> f64| mean(trials.iter().map(what));
    writeln!(
        out,
        "{} × {} Ah {}, {} use, {} A, {} packs: spread {:.1} %; the least to {:.1} %: {:.1} h, {:.1} Ah, {:.1} Wh lost",
        arguments.cells,
        arguments.capacity_ah,
        arguments.chemistry.name(),
        arguments.usage.name(),
        arguments.current,
        trials.len(),
        100.0 * of(|trial| trial.spread_before),
        100.0 * arguments.target(),
        of(|trial| trial.bound.hours),
        of(|trial| trial.bound.charge_ah),
        of(|trial| trial.bound.loss_wh),
    )?;
    let rows: Vec<Vec<String>> = results.iter().map(|(contestant, trials)| row(*contestant, trials)).collect();
    let header = HEADER.map(str::to_owned);
    if arguments.markdown {
        writeln!(out, "\n| {} |\n|{}", header.join(" | "), "---|".repeat(header.len()))?;
        for row in rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        return writeln!(out);
    }
    writeln!(out, "{}", table::of(&header, rows))?;
    let speed = mean(results.iter().flat_map(|(_, trials)| trials.iter().map(|trial| trial.speed)));
    writeln!(out, "step {} ms, {speed:.0} × real time a thread", arguments.step_ms)
}

/// The results of every strategy and seed.
#[must_use]
pub fn json(arguments: &BalanceArguments, results: &Results) -> String {
    let mut all: Vec<Value> = Vec::new();
    for (contestant, trials) in results {
        for trial in trials {
            all.push(json!({
                "strategy": contestant.name(),
                "use": arguments.usage.name(),
                "chemistry": arguments.chemistry.name(),
                "cells": arguments.cells,
                "seed": trial.seed,
                "target_spread": arguments.target(),
                "time_h": trial.time_h,
                "time_from_start_h": trial.time_from_start_h,
                "ran_h": trial.ran_h,
                "bound_h": trial.bound.hours,
                "ah_moved": trial.ah_moved,
                "ah_bound": trial.bound.charge_ah,
                "loss_wh": trial.loss_wh,
                "loss_bound_wh": trial.bound.loss_wh,
                "wrong_way_ah": trial.wrong_way_ah,
                "pair_changes": trial.pair_changes,
                "turns": trial.turns,
                "quiet_share": trial.quiet_share,
                "spread_before": trial.spread_before,
                "spread_after": trial.spread_after,
                "usable_ah_before": trial.usable_ah_before,
                "usable_ah_after": trial.usable_ah_after,
                "share_of_bound": trial.share_of_bound,
                "charges": trial.charges,
            }));
        }
    }
    let mut text = serde_json::to_string_pretty(&all).unwrap_or_default();
    text.push('\n');
    text
}

/// What the default strategy did not reach of its goals.
#[must_use]
pub fn missed_goals(arguments: &BalanceArguments, results: &Results) -> Vec<String> {
    let mut missed = Vec::new();
    let Some((_, trials)) = results.iter().find(|(contestant, _)| *contestant == Contestant::Quota) else {
        return missed;
    };
    let mut at_most = |what: &str, value: f64, goal: f64| {
        if value.is_nan() || value > goal {
            missed.push(format!("{what}: {value:.3}, goal {goal:.3}"));
        }
    };
    match arguments.usage {
        Use::Rest => {
            let ratio = mean(trials.iter().map(|trial| time_ratio(trial).unwrap_or(f64::INFINITY)));
            at_most("mean time to the target against T*", ratio, 1.15);
        }
        Use::Charge => {}
        Use::Cycle => {
            at_most(
                "worst spread after 1.25 T* from the first knee, %",
                100.0 * worst(trials.iter().map(|t| t.spread_after)),
                100.0 * arguments.target(),
            );
            let wrong = worst(trials.iter().map(|trial| trial.wrong_way_ah / trial.bound.charge_ah.max(1e-9)));
            at_most("worst charge moved the wrong way against A*", wrong, 0.02);
            at_most("most pair changes", worst(trials.iter().map(|trial| f64::from(trial.pair_changes))), 200.0);
        }
    }
    missed
}

/// Draws where the cells of the first pack stood over time, one plot a strategy.
///
/// # Errors
/// A plot cannot be drawn or written.
pub fn draw(arguments: &BalanceArguments, results: &Results, directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for (contestant, trials) in results {
        let Some(trial) = trials.first() else { continue };
        let name =
            format!("balance-{}-{}-{}.svg", arguments.chemistry.name(), arguments.usage.name(), contestant.name());
        let file = directory.join(name);
        let svg = plot(arguments, *contestant, trial).map_err(|reason| FileError::whole(&file, reason))?;
        write(&file, svg.as_bytes())?;
        files.push(file);
    }
    Ok(files)
}

fn plot(arguments: &BalanceArguments, contestant: Contestant, trial: &Trial) -> Result<String, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    // Around the mean of the moment: how far apart the cells are, whatever the pack does.
    let lines: Vec<(f64, Vec<f64>)> = trial
        .course
        .iter()
        .map(|(at, cells)| {
            let middle = mean(cells.iter().copied());
            (*at, cells.iter().map(|cell| 100.0 * (cell - middle)).collect())
        })
        .collect();
    let most = lines.iter().flat_map(|(_, cells)| cells.iter().map(|cell| cell.abs())).fold(1.0, f64::max) * 1.05;
    let end = lines.last().map_or(1.0, |(at, _)| *at).max(1e-3);
    let mut title = format!(
        "{}: {}, {} use, pack {}",
        contestant.name(),
        arguments.chemistry.name(),
        arguments.usage.name(),
        trial.seed
    );
    let _ = match trial.time_from_start_h {
        Some(time) => write!(title, ", within {:.1} % after {time:.1} h", 100.0 * arguments.target()),
        None => write!(title, ", {:.1} % apart at the end", 100.0 * trial.spread_after),
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 420)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| text(&error))?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(title, ("sans-serif", 18))
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..end, -most..most)
            .map_err(|error| text(&error))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 228, 232))
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 14))
            .x_desc("time / h")
            .y_desc(if arguments.usage == Use::Rest {
                "state of charge − mean / %"
            } else {
                "state of charge when the first cell is full − mean / %"
            })
            .draw()
            .map_err(|error| text(&error))?;
        let half = 50.0 * arguments.target();
        let band = Rectangle::new([(0.0, -half), (end, half)], RGBColor(205, 232, 205).filled());
        chart.draw_series([band]).map_err(|error| text(&error))?;
        // From red, that begins highest, to blue, that begins lowest, so that a cell can be followed.
        let mut order: Vec<usize> = (0..lines.first().map_or(0, |(_, cells)| cells.len())).collect();
        let begins = |cell: &usize| lines.first().and_then(|(_, cells)| cells.get(*cell)).copied().unwrap_or(0.0);
        order.sort_by(|one, other| begins(other).total_cmp(&begins(one)));
        let last = order.len().saturating_sub(1).max(1) as f64;
        for (rank, cell) in order.iter().enumerate() {
            let part = rank as f64 / last;
            let between = |high: f64, low: f64| (high + (low - high) * part).round() as u8;
            let colour = RGBColor(between(205.0, 25.0), between(60.0, 95.0), between(35.0, 205.0)).stroke_width(2);
            let points = lines.iter().filter_map(|(at, cells)| cells.get(*cell).map(|x| (*at, *x)));
            chart.draw_series(LineSeries::new(points, colour)).map_err(|error| text(&error))?;
        }
        let label = format!("target: {:.1} % apart", 100.0 * arguments.target());
        let at = (end * 0.99, half);
        let style =
            ("sans-serif", 14).into_font().color(&RGBColor(40, 110, 40)).pos(Pos::new(HPos::Right, VPos::Bottom));
        chart.draw_series([Text::new(label, at, style)]).map_err(|error| text(&error))?;
        area.present().map_err(|error| text(&error))?;
    }
    Ok(svg)
}
