//! The simulator program; everything is in [`bms_host::sim`], so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    bms_host::sim::main(std::env::args_os())
}
