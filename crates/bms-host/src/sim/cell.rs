//! `cell`: CSV tables of a cell become the const table for the firmware.

use std::io::Write;

use super::arguments::CellArguments;
use super::failure::{Failure, Outcome};
use crate::cells::own::Tables;

/// Runs the command.
///
/// # Errors
/// If a file cannot be used.
pub fn run(arguments: &CellArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let CellArguments { ocv, resistance, capacity_ah, chemistry } = arguments;
    let tables = Tables::load(*chemistry, *capacity_ah, ocv, resistance)?;
    out.write_all(tables.to_rust().as_bytes())?;
    Ok(Outcome::Done)
}
