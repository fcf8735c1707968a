//! `run`: a scripted scenario, and whether what it expects came true.

use std::io::Write;
use std::path::Path;

use super::arguments::RunArguments;
use super::failure::{Failure, FileError, Outcome, write};
use super::page::PRINTED_WIDTH;
use super::plot;
use super::report;
use super::scenario::{self, At, Refused, Scenario};
use super::session::Session;
use super::verdict::{Verdict, judge};

/// A scenario that was run.
#[derive(Debug)]
pub struct Finished {
    /// How it went.
    pub session: Session,
    /// What became of the expectations.
    pub verdicts: Vec<Verdict>,
}

/// Plays a scenario to its end.
///
/// # Errors
/// If the scenario's pack is impossible.
pub fn play(scenario: &Scenario, seed: u64) -> Result<Finished, FileError> {
    play_with(scenario, seed, Files::default(), &mut |_| ())
}

/// Files that a run uses besides the scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    /// Where the trace goes.
    pub trace: Option<&'a Path>,
    /// What keeps the board's memory from one run to the next.
    pub store: Option<&'a Path>,
    /// How long the board was without power since the last run, in seconds.
    pub off: u32,
}

/// Plays a scenario to its end, with a trace and a store if files are named, and tells now and then how far it is, in ms.
///
/// # Errors
/// If the scenario's pack is impossible or the trace cannot be written.
pub fn play_with(
    scenario: &Scenario,
    seed: u64,
    files: Files<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Finished, FileError> {
    let mut session = Session::with_store(scenario, seed, files.store)?;
    session.start_after(files.off);
    if let Some(file) = files.trace {
        session.trace_to(file)?;
    }
    let mut answers = Vec::new();
    let mut changes = scenario.at.iter().peekable();
    let end_ms = milliseconds(scenario.duration_s);
    let mut next_step = 0;
    loop {
        // What happens before the next step happens at its own time.
        while let Some(at) = changes.next_if(|at| milliseconds(at.time_s) <= next_step) {
            pass_until(&mut session, milliseconds(at.time_s));
            answers.extend(change(&mut session, at));
        }
        pass_until(&mut session, next_step);
        session.step();
        if session.record.steps % 4_096 == 0 {
            progress(session.now_ms());
        }
        next_step += u64::from(session.next_period());
        if next_step > end_ms {
            break;
        }
    }
    session.finish_trace()?;
    session.finish_store()?;
    let mut verdicts = answers;
    verdicts.extend(scenario.expect.iter().map(|(line, expect)| judge(*line, expect, &session.record)));
    Ok(Finished { session, verdicts })
}

fn pass_until(session: &mut Session, time_ms: u64) {
    let missing = time_ms.saturating_sub(session.now_ms());
    session.advance(u32::try_from(missing).unwrap_or(u32::MAX));
}

/// Carries out one `[[at]]`. What is asked of the BMS and has `refused` gives a verdict; a refusal without it is noted.
fn change(session: &mut Session, at: &At) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (line, change) in &at.changes {
        let what = report::describe(change);
        session.record.note(session.now_ms(), what.clone());
        let asks = matches!(change, scenario::Change::Request(_) | scenario::Change::Set(_));
        let answer = session.change(change);
        let happened = match &answer {
            Ok(()) => format!("accepted at {:.3} s", at.time_s),
            Err(reason) => format!("refused at {:.3} s: {reason}", at.time_s),
        };
        match at.refused.filter(|_| asks) {
            Some(refused) => {
                let expected = format!("{what} is {}", if refused { "refused" } else { "accepted" });
                verdicts.push(Verdict { line: *line, expected, met: answer.is_err() == refused, happened });
            }
            None if answer.is_err() => session.record.note(session.now_ms(), happened),
            None => {}
        }
    }
    verdicts
}

/// Seconds as milliseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be 0 to 1e7 s when read")]
#[must_use]
pub fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).round().max(0.0) as u64
}

/// The command.
///
/// # Errors
/// If a file is unusable.
pub fn run(
    arguments: &RunArguments,
    seed: Option<u64>,
    store: Option<&Path>,
    plots: &Path,
    json: Option<&Path>,
    coloured: bool,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let file = &arguments.scenario;
    let scenario = match scenario::load(file) {
        Ok(scenario) => scenario,
        Err(Refused::File(error)) => return Err(error.into()),
        Err(Refused::Config(violations)) => {
            for violation in violations {
                writeln!(out, "invalid: {violation}")?;
            }
            return Ok(Outcome::Violated);
        }
    };
    let seed = seed.or(scenario.seed).unwrap_or(1);
    let finished = play_with(
        &scenario,
        seed,
        Files { trace: arguments.trace.as_deref(), store, off: arguments.off },
        &mut |_| (),
    )?;
    writeln!(out, "{}", scenario.title)?;
    if finished.session.record.trips.iter().any(|trip| !trip.alarm.is_warning()) {
        writeln!(out, "{}", report::trips(&finished.session.record))?;
    }
    for verdict in &finished.verdicts {
        if verdict.met {
            writeln!(out, "as expected: {}: {}", verdict.expected, verdict.happened)?;
        } else {
            writeln!(out, "VIOLATED: {}:{}: expected: {}", file.display(), verdict.line, verdict.expected)?;
            writeln!(out, "          what happened: {}", verdict.happened)?;
        }
    }
    let violated = finished.verdicts.iter().filter(|verdict| !verdict.met).count();
    let (all, record) = (finished.verdicts.len(), &finished.session.record);
    writeln!(
        out,
        "{} of {all} expectations met in {:.3} s, {} steps",
        all - violated,
        record.end_ms as f64 / 1e3,
        record.steps
    )?;
    if arguments.page {
        let page = report::page(finished.session.bms(), &scenario.title);
        writeln!(out, "{}", page.to_text(PRINTED_WIDTH, coloured))?;
    }
    if arguments.plots {
        for path in plot::draw_all(record, &scenario.title, plots)? {
            writeln!(out, "plot: {}", path.display())?;
        }
    }
    if let Some(path) = json {
        let report = serde_json::json!({
            "scenario": file,
            "title": scenario.title,
            "requirements": scenario.requirements,
            "end_s": record.end_ms as f64 / 1e3,
            "steps": record.steps,
            "expectations": finished.verdicts,
            "trips": report::trips_json(record),
        });
        write(path, format!("{report:#}\n").as_bytes())?;
    }
    Ok(Outcome::violated_if(violated > 0))
}
