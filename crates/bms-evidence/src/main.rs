//! The campaigns as commands: `bms-evidence matrix`.

use std::process::ExitCode;

use bms_evidence::matrix::{self, report};

const USAGE: &str = "usage: bms-evidence matrix    every fault in every state; a table in Markdown";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("matrix") => {
            let rows = matrix::run();
            print!("{}", report::markdown(&rows));
            eprint!("{}", report::failures(&rows));
            if report::passed(&rows) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
