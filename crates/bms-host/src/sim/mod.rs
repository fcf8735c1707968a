//! The program `bms-sim`, as a library so that tests reach its parts.
//!
//! One [`Session`](session::Session) is a BMS and its world; every command drives one, and what happened stands in its
//! [`Record`](record::Record), from which tables, plots and verdicts are made.

pub mod arguments;
pub mod balance;
pub mod capacity;
pub mod cell;
pub mod check;
pub mod closed_loop;
pub mod demonstration;
pub mod failure;
pub mod measured;
pub mod memory;
pub mod numbers;
pub mod open_loop;
pub mod page;
pub mod parameters;
pub mod plot;
pub mod protections;
pub mod record;
pub mod replay;
pub mod report;
pub mod run;
pub mod saving;
pub mod scenario;
pub mod series;
pub mod serve;
pub mod session;
pub mod soc;
pub mod soc_plot;
pub mod table;
pub mod timeline;
pub mod trace;
pub mod verdict;
pub mod watch;
pub mod world;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Colour, Command};
use failure::{Failure, Outcome};

/// Runs the program with its command line (the name first); results go to the standard output.
#[must_use]
pub fn main(command_line: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(command_line) {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Help and version are no errors; clap knows which stream and code they take.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = run(&arguments, &mut out).and_then(|outcome| out.flush().map(|()| outcome).map_err(Failure::from));
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Violated) => ExitCode::from(1),
        Err(Failure::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Print(error)) => complain(&error),
        Err(Failure::File(error)) => complain(&error),
    }
}

fn complain(reason: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "bms-sim: {reason}");
    ExitCode::from(2)
}

/// Carries out a command.
///
/// # Errors
/// If a file is unusable, or nothing more can be printed.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let json = arguments.output.json.as_deref();
    let directory = &arguments.output.out;
    let store = arguments.store.as_deref();
    let colours = coloured(arguments.output.color);
    match &arguments.command {
        None => demonstration::run(arguments.seed, store, directory, json, colours, out),
        Some(Command::Run(arguments_of_run)) => {
            run::run(arguments_of_run, arguments.seed, store, directory, json, colours, out)
        }
        Some(Command::Capacity(measured)) => capacity::run(measured, json, out),
        Some(Command::Cell(tables)) => cell::run(tables, out),
        Some(Command::Soc(measured)) => soc::run(measured, json, out),
        Some(Command::Check(arguments)) => check::run(arguments, json, out),
        Some(Command::Parameters(arguments)) => parameters::run(arguments, json, out),
        Some(Command::Protections(arguments)) => protections::run(arguments, json, out),
        Some(Command::Replay(data)) => replay::run(data, arguments.seed.unwrap_or(1), directory, json, colours, out),
        Some(Command::Watch(watched)) => watch::run(watched, arguments.seed, store, json, colours, out),
        Some(Command::Status(image)) => memory::status(image, directory, json, out),
        Some(Command::Log(image)) => memory::log(image, directory, json, out),
        Some(Command::StoreTest(tested)) => memory::store_test(*tested, arguments.seed.unwrap_or(1), json, out),
        Some(Command::Serve(served)) => serve::run(served, arguments.seed, store, out),
        Some(Command::Trace(recorded)) => trace::run(recorded, json, out),
        Some(Command::Balance(bench)) => balance::run(bench, arguments.seed, directory, json, out),
    }
}

/// Whether output on a stream is coloured.
#[must_use]
pub fn coloured(choice: Colour) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}
