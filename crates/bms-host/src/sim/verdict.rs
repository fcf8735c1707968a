//! Compares what happened with what a scenario expects.

use std::fmt::Write;

use super::record::Record;
use super::scenario::{Demand, Expect, Signal};

/// What became of one expectation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// The line in the scenario.
    pub line: usize,
    /// What was expected.
    pub expected: String,
    /// Whether it was met.
    pub met: bool,
    /// What happened, and when.
    pub happened: String,
}

/// Judges one expectation.
#[must_use]
pub fn judge(line: usize, expect: &Expect, record: &Record) -> Verdict {
    let (met, happened) = compare(expect, record);
    Verdict { line, expected: describe(expect), met, happened }
}

fn compare(expect: &Expect, record: &Record) -> (bool, String) {
    let timeline = record.timeline(expect.signal);
    let word = word(expect.signal, expect.state);
    let spans = timeline.spans(expect.state, record.end_ms);
    let opposite = timeline.spans(!expect.state, record.end_ms);
    let story = || tell(&spans, word, record.end_ms);
    match expect.demand {
        Demand::Entered { from, to, until } => {
            let entries: Vec<u64> =
                timeline.entries(expect.state).into_iter().filter(|at| right_source(expect, record, *at)).collect();
            let Some(entry) = entries.iter().copied().find(|at| within(*at, from, to)) else {
                let wrong_source = timeline.entries(expect.state).into_iter().find(|at| within(*at, from, to));
                return (false, wrong_source.map_or_else(story, |at| other_source(expect, record, at)));
            };
            match until.and_then(|until| opposite.iter().find(|(left, _)| *left >= entry && seconds(*left) < until)) {
                Some((left, _)) => (false, format!("{word} from {} to only {}", second(entry), second(*left))),
                None => (true, format!("{word} at {}", second(entry))),
            }
        }
        Demand::Until(until) => absent(&opposite, 0.0, until, expect, record.end_ms),
        Demand::Throughout(from, to) => absent(&opposite, from, to, expect, record.end_ms),
        Demand::Never(from, to) => match spans.iter().find(|span| overlaps(**span, from, to)) {
            Some((start, end)) => (false, format!("{word} from {} to {}", second(*start), second(*end))),
            None => (true, format!("never {word}")),
        },
    }
}

/// Whether no span of the opposite state touches from … to.
fn absent(opposite: &[(u64, u64)], from: f64, to: f64, expect: &Expect, end_ms: u64) -> (bool, String) {
    match opposite.iter().find(|span| overlaps(**span, from, to)) {
        Some((start, end)) => {
            let other = word(expect.signal, !expect.state);
            (false, format!("{other} from {} to {}", second(*start), second(*end)))
        }
        None => {
            let last = if to.is_finite() { to } else { seconds(end_ms) };
            (true, format!("{} from {from:.3} s to {last:.3} s", word(expect.signal, expect.state)))
        }
    }
}

/// Whether the alarm was raised by the expected cell or sensor.
fn right_source(expect: &Expect, record: &Record, at_ms: u64) -> bool {
    match (expect.signal, expect.index) {
        (Signal::Alarm(alarm), Some(index)) if expect.state => {
            record.trips.iter().any(|trip| trip.at_ms == at_ms && trip.alarm == alarm && trip.index == Some(index))
        }
        _ => true,
    }
}

fn other_source(expect: &Expect, record: &Record, at_ms: u64) -> String {
    let trip = record.trips.iter().find(|trip| trip.at_ms == at_ms && Signal::Alarm(trip.alarm) == expect.signal);
    match trip.and_then(|trip| trip.index) {
        Some(index) => format!("active at {}, but by number {}", second(at_ms), u16::from(index) + 1),
        None => format!("active at {}, but by no single cell or sensor", second(at_ms)),
    }
}

fn within(at_ms: u64, from: f64, to: f64) -> bool {
    (from - 1e-9..=to + 1e-9).contains(&seconds(at_ms))
}

fn overlaps((start, end): (u64, u64), from: f64, to: f64) -> bool {
    seconds(start) <= to - 1e-9 && seconds(end) > from + 1e-9
}

#[allow(clippy::cast_precision_loss, reason = "simulated times are far below 2^53 ms")]
fn seconds(at_ms: u64) -> f64 {
    at_ms as f64 / 1_000.0
}

fn second(at_ms: u64) -> String {
    format!("{:.3} s", seconds(at_ms))
}

/// The spans of a state in words, the first few.
fn tell(spans: &[(u64, u64)], word: &str, end_ms: u64) -> String {
    if spans.is_empty() {
        return format!("never {word} in {}", second(end_ms));
    }
    let mut text = word.to_owned();
    for (number, (start, end)) in spans.iter().take(3).enumerate() {
        let separator = if number == 0 { "" } else { "," };
        let _ = write!(text, "{separator} from {} to {}", second(*start), second(*end));
    }
    if spans.len() > 3 {
        let _ = write!(text, " and {} times more", spans.len() - 3);
    }
    text
}

fn word(signal: Signal, state: bool) -> &'static str {
    use super::scenario::Output;
    match (signal, state) {
        (Signal::Alarm(_), true) => "active",
        (Signal::Alarm(_), false) => "clear",
        (Signal::Output(Output::Charge | Output::Discharge), true) => "closed",
        (Signal::Output(Output::Charge | Output::Discharge), false) => "open",
        (Signal::Output(_), true) => "on",
        (Signal::Output(_), false) => "off",
    }
}

/// An expectation in words.
fn describe(expect: &Expect) -> String {
    let signal = expect.signal;
    let source = expect.index.map_or_else(String::new, |index| format!(" by number {}", u16::from(index) + 1));
    let state = word(signal, expect.state);
    match expect.demand {
        Demand::Entered { from, to, until: None } => {
            format!("{signal} becomes {state}{source} within {from} s to {to} s")
        }
        Demand::Entered { from, to, until: Some(until) } => {
            format!("{signal} becomes {state}{source} within {from} s to {to} s and stays so until {until} s")
        }
        Demand::Until(until) => format!("{signal} {state} until {until} s"),
        Demand::Throughout(_, to) if to.is_infinite() => format!("{signal} {state} throughout"),
        Demand::Throughout(from, to) => format!("{signal} {state} throughout {from} s to {to} s"),
        Demand::Never(_, to) if to.is_infinite() => format!("{signal} never {state}"),
        Demand::Never(from, to) => format!("{signal} never {state} within {from} s to {to} s"),
    }
}
