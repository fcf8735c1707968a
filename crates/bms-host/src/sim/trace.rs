//! `trace`: steps a recorded trace again and compares every output bit for bit.

use std::io::{BufReader, Write};
use std::path::Path;

use crate::trace::{Difference, Header, Outputs, TraceError, TraceReader, replay};

use super::arguments::TraceArguments;
use super::failure::{Failure, FileError, Outcome, write};
use super::scenario::{self, Refused};

/// Lines before the first step: the header and the heading.
const LINES_BEFORE: u64 = 2;

/// The command.
///
/// # Errors
/// If a file is unusable.
pub fn run(arguments: &TraceArguments, json: Option<&Path>, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let file = &arguments.trace;
    let unusable = |error: TraceError| {
        let line = usize::try_from(error.line).ok().filter(|line| *line > 0);
        let column = error.column.map_or_else(String::new, |column| format!("{column}: "));
        FileError { file: file.clone(), line, reason: format!("{column}{}", error.reason) }
    };
    let input = BufReader::new(std::fs::File::open(file).map_err(|error| FileError::whole(file, error))?);
    let (mut reader, before) = match &arguments.scenario {
        None => (TraceReader::new(input).map_err(unusable)?, LINES_BEFORE),
        Some(scenario) => match scenario::load(scenario) {
            Ok(scenario) => {
                let header = Header::new(scenario.config);
                (TraceReader::headless(input, header).map_err(unusable)?, LINES_BEFORE - 1)
            }
            Err(Refused::File(error)) => return Err(error.into()),
            Err(Refused::Config(violations)) => {
                for violation in violations {
                    writeln!(out, "invalid: {violation}")?;
                }
                return Ok(Outcome::Violated);
            }
        },
    };
    let found = replay::<24, _>(&mut reader).map_err(unusable)?;
    let line = |difference: &Difference| difference.step + before;
    match &found.first {
        None => writeln!(out, "identical: {} of {} steps compared", found.compared, found.steps)?,
        Some(first) => {
            writeln!(
                out,
                "DIFFERENT: {}:{}: at {:.3} s",
                file.display(),
                line(first),
                first.at.as_millis() as f64 / 1e3
            )?;
            for (name, recorded, replayed) in fields(&first.recorded, &first.replayed) {
                writeln!(out, "  {name}: recorded {recorded}, now {replayed}")?;
            }
            writeln!(out, "{} of {} compared steps differ", found.different, found.compared)?;
        }
    }
    if let Some(path) = json {
        let report = serde_json::json!({
            "trace": file,
            "steps": found.steps,
            "compared": found.compared,
            "different": found.different,
            "first": found.first.as_ref().map(|first| serde_json::json!({
                "line": line(first),
                "t_s": first.at.as_millis() as f64 / 1e3,
                "fields": fields(&first.recorded, &first.replayed).iter().map(|(name, recorded, replayed)| {
                    serde_json::json!({ "name": name, "recorded": recorded, "replayed": replayed })
                }).collect::<Vec<_>>(),
            })),
        });
        write(path, format!("{report:#}\n").as_bytes())?;
    }
    Ok(Outcome::violated_if(!found.is_identical()))
}

/// The outputs that differ: name, recorded, replayed.
fn fields(recorded: &Outputs, replayed: &Outputs) -> Vec<(&'static str, String, String)> {
    let all = |outputs: &Outputs| {
        let command = &outputs.command;
        let alarms: Vec<&str> = outputs.alarms.iter().map(bms_core::protection::Alarm::name).collect();
        [
            ("charge", format!("{:?}", command.charge)),
            ("discharge", format!("{:?}", command.discharge)),
            ("precharge", format!("{:?}", command.precharge)),
            ("balance", format!("{:?}", command.balance)),
            ("heater", format!("{:?}", command.heater)),
            ("power", format!("{:?}", command.power)),
            ("last_resort", format!("{:?}", command.last_resort)),
            ("clear_latch", format!("{:?}", command.clear_latch)),
            ("scan", format!("{:?}", command.scan)),
            ("beep", format!("{:?}", command.beep)),
            ("limits", format!("{:?}", command.limits)),
            ("alarms", if alarms.is_empty() { "none".to_owned() } else { alarms.join(" ") }),
            ("soc_permille", format!("{:?}", outputs.soc_permille)),
        ]
    };
    all(recorded)
        .into_iter()
        .zip(all(replayed))
        .filter(|(recorded, replayed)| recorded.1 != replayed.1)
        .map(|((name, recorded), (_, replayed))| (name, recorded, replayed))
        .collect()
}
