//! The scenarios as tests on the target; a panic ends QEMU with an error.

#![no_std]
#![no_main]

use semihosting::println;

fn run() -> ! {
    let mut passed = 0;
    for (name, rule) in bms_scenarios::rules::RULES {
        rule();
        println!("test {name} ... ok");
        passed += 1;
    }
    let outcome = bms_scenarios::standard_trace();
    println!("test laws_hold_on_the_target ... ok");
    println!("steps {}", outcome.coverage.steps);
    println!("hash {:016x}", outcome.hash);
    let soc = bms_scenarios::soc::standard_trace();
    println!("test the_estimator_runs_on_the_target ... ok");
    println!("soc steps {}", soc.steps);
    println!("soc hash {:016x}", soc.hash);
    println!("{} passed, 0 failed", passed + 2);
    semihosting::process::exit(0)
}

bms_on_target::entry!(run);
