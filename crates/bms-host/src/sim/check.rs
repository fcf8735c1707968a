//! `check`: is the configuration of a file valid, and what of it deserves a second look?

use std::io::Write;

use bms_core::config::ParameterId;

use super::arguments::CheckArguments;
use super::failure::{Failure, Outcome, write};
use super::numbers::quantity;
use super::scenario::{self, Refused, Scenario};

/// Checks a file.
///
/// # Errors
/// If the file cannot be read, or the result cannot be printed.
pub fn run(
    arguments: &CheckArguments,
    json: Option<&std::path::Path>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let (violations, warnings) = match scenario::load(&arguments.file) {
        Err(Refused::File(error)) => return Err(error.into()),
        Err(Refused::Config(violations)) => (violations, Vec::new()),
        Ok(scenario) => {
            let warnings: Vec<String> = scenario.config.warnings().iter().map(|warning| warning.to_string()).collect();
            writeln!(out, "{}", summary(&scenario))?;
            (Vec::new(), warnings)
        }
    };
    for violation in &violations {
        writeln!(out, "invalid: {violation}")?;
    }
    for warning in &warnings {
        writeln!(out, "warning: {}: {warning}", arguments.file.display())?;
    }
    match (violations.len(), warnings.len()) {
        (0, 0) => writeln!(out, "valid")?,
        (0, count) => writeln!(out, "valid, {count} to look at twice")?,
        (count, _) => writeln!(out, "{count} violated: this configuration is refused")?,
    }
    if let Some(file) = json {
        let report = serde_json::json!({
            "file": arguments.file,
            "valid": violations.is_empty(),
            "violations": violations.iter().map(|violation| serde_json::json!({
                "line": violation.line, "reason": violation.reason,
            })).collect::<Vec<_>>(),
            "warnings": warnings,
        });
        write(file, format!("{report:#}\n").as_bytes())?;
    }
    Ok(Outcome::violated_if(!violations.is_empty()))
}

/// The pack in one line.
#[must_use]
pub fn summary(scenario: &Scenario) -> String {
    let config = &scenario.config;
    let value = |parameter: ParameterId| quantity(config.get(parameter), parameter.info().unit);
    let model = config.model().map_or_else(|| "no model".to_owned(), |model| model.ratings().name.to_owned());
    format!(
        "{}: {} cells {}, {}, {model}; cells {} to {}, charge up to {}, discharge up to {}",
        scenario.title,
        config.cell_count(),
        config.chemistry().name(),
        value(ParameterId::Capacity),
        value(ParameterId::CellUndervoltageProtection),
        value(ParameterId::CellOvervoltageProtection),
        value(ParameterId::ChargeOvercurrentProtection),
        value(ParameterId::DischargeOvercurrentProtection),
    )
}
