//! The campaigns as commands.

mod campaign;

use std::process::ExitCode;

use bms_evidence::matrix::{self, report};

const USAGE: &str = "\
usage: bms-evidence matrix
           every fault in every state; a table in Markdown
       bms-evidence soak [--shards N | --seconds N] [--seed N] [--state FILE] [--commit ID]
           random use, from a new seed that is printed, or on from where FILE stopped; a shard is 1.2 million steps
       bms-evidence soak --repeat SHARD
           one shard again, as a violation names it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, [])) if command == "matrix" => {
            let rows = matrix::run();
            print!("{}", report::markdown(&rows));
            eprint!("{}", report::failures(&rows));
            Ok(report::passed(&rows))
        }
        Some((command, options)) if command == "soak" => campaign::soak(options),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}
