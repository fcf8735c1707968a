//! The matrix as text: counts and worst times, the same on every run.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cell::{Outcome, Verdict};
use super::faults::{Fault, faults};
use super::pushes::PUSHES;
use super::states::STATES;
use super::{Row, cell};
use crate::bench::PERIOD;
use crate::truth::HAZARDS;

/// What the runs of one row of a table came to.
#[derive(Clone, Copy, Default)]
struct Counts {
    runs: u32,
    safe: u32,
    detected: u32,
    below: u32,
    deceived: u32,
    missed: u32,
    unsafe_: u32,
    /// Longest reaction and longest detection, ms.
    reaction: Option<u32>,
    detection: u32,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        match outcome.verdict {
            Verdict::Safe => self.safe += 1,
            Verdict::Detected(after) => {
                self.detected += 1;
                self.detection = self.detection.max(after);
            }
            Verdict::BelowDetection => self.below += 1,
            Verdict::Deceived { .. } => self.deceived += 1,
            Verdict::Missed { .. } => self.missed += 1,
            Verdict::Unsafe { .. } => self.unsafe_ += 1,
        }
        self.reaction = self.reaction.max(outcome.reaction);
    }
}

/// Whether nothing was unsafe and nothing missed.
#[must_use]
pub fn passed(rows: &[Row]) -> bool {
    runs(rows).all(|(_, _, _, outcome)| !matches!(outcome.verdict, Verdict::Unsafe { .. } | Verdict::Missed { .. }))
}

fn runs(rows: &[Row]) -> impl Iterator<Item = (usize, usize, usize, &Outcome)> {
    rows.iter().enumerate().flat_map(|(state, row)| {
        row.iter().enumerate().flat_map(move |(fault, cells)| {
            cells.iter().enumerate().map(move |(push, outcome)| (state, fault, push, outcome))
        })
    })
}

/// The whole report in Markdown.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let faults = faults();
    let mut out = String::new();
    let mut all = Counts::default();
    runs(rows).for_each(|(_, _, _, outcome)| all.add(outcome));
    let _ = writeln!(
        out,
        "{} states × {} faults × {} pushes = {} runs of {} s at {} ms: {} safe, {} with a path that no command opens and that was \
         noticed, {} with such a path and less current than X10 looks for, {} deceived, {} missed, **{} unsafe**.\n",
        STATES.len(),
        faults.len(),
        PUSHES.len(),
        all.runs,
        cell::STEPS * PERIOD.as_millis() / 1_000,
        PERIOD.as_millis(),
        all.safe,
        all.detected,
        all.below,
        all.deceived,
        all.missed,
        all.unsafe_,
    );
    by_fault(&mut out, rows, &faults);
    by_hazard(&mut out, rows);
    deceptions(&mut out, rows, &faults);
    let names: Vec<_> = STATES.iter().map(|state| state.name).collect();
    let pushes: Vec<_> = PUSHES.iter().map(|push| push.name).collect();
    let _ = writeln!(out, "States: {}.\n\nPushes: {}.", names.join(", "), pushes.join(", "));
    out
}

fn by_fault(out: &mut String, rows: &[Row], faults: &[Fault]) {
    out.push_str(
        "| part | fault | must open within, ms | did, ms | safe | noticed | below X10 | deceived | missed | unsafe |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (index, fault) in faults.iter().enumerate() {
        let mut counts = Counts::default();
        runs(rows).filter(|(_, at, _, _)| *at == index).for_each(|(_, _, _, outcome)| counts.add(outcome));
        let demand = if fault.opens.0.is_empty() { "–".to_owned() } else { fault.opens.1.to_string() };
        let did = counts.reaction.map_or_else(|| "–".to_owned(), |ms| ms.to_string());
        let noticed = if counts.detected == 0 {
            "0".to_owned()
        } else {
            format!("{}, at most {} ms", counts.detected, counts.detection)
        };
        let _ = writeln!(
            out,
            "| {} | {} | {demand} | {did} | {} | {noticed} | {} | {} | {} | {} |",
            fault.part, fault.name, counts.safe, counts.below, counts.deceived, counts.missed, counts.unsafe_
        );
    }
    out.push('\n');
}

fn by_hazard(out: &mut String, rows: &[Row]) {
    out.push_str("| energy path beyond its limit | rule | runs in which it was | longest, ms |\n|---|---|---|---|\n");
    for (index, hazard) in HAZARDS.iter().enumerate() {
        let times = || runs(rows).map(|(_, _, _, outcome)| outcome.beyond[index]).filter(|ms| *ms > 0);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            hazard.name,
            hazard.rule,
            times().count(),
            times().max().unwrap_or_default()
        );
    }
    out.push('\n');
}

fn deceptions(out: &mut String, rows: &[Row], faults: &[Fault]) {
    let mut seen: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    for (_, fault, _, outcome) in runs(rows) {
        if let Verdict::Deceived { hazard, .. } = outcome.verdict {
            *seen.entry((fault, hazard)).or_default() += 1;
        }
    }
    out.push_str(
        "**Deceived** are the runs in which the one reading that a limit rests on was wrong and plausible for ever, and the pack was \
         pushed over that limit. Nothing in the core sees that:\n\n",
    );
    for ((fault, hazard), count) in seen {
        let (fault, hazard) = (&faults[fault], &HAZARDS[hazard]);
        let _ = writeln!(out, "* {} {}: {} ({count} runs)", fault.part, fault.name, hazard.name);
    }
    out.push('\n');
}

/// Every run that was unsafe or missed, one a line, for finding out why.
#[must_use]
pub fn failures(rows: &[Row]) -> String {
    let faults = faults();
    let mut out = String::new();
    for (state, fault, push, outcome) in runs(rows) {
        let what = match outcome.verdict {
            Verdict::Unsafe { hazard, measured, allowed } => {
                format!("UNSAFE: {} for {measured} ms, allowed {allowed}", HAZARDS[hazard].name)
            }
            Verdict::Missed { measured, allowed } => format!("missed: {measured} ms, allowed {allowed}"),
            _ => continue,
        };
        let fault = &faults[fault];
        let _ = writeln!(out, "{} × {} {} × {}: {what}", STATES[state].name, fault.part, fault.name, PUSHES[push].name);
    }
    out
}
