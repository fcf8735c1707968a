//! The same as the firmware's `on_target`, on the host: prints the hash that every target must give.

fn main() {
    for (name, rule) in bms_scenarios::rules::RULES {
        rule();
        println!("test {name} ... ok");
    }
    let outcome = bms_scenarios::standard_trace();
    println!("steps {}", outcome.coverage.steps);
    println!("hash {:016x}", outcome.hash);
    let soc = bms_scenarios::soc::standard_trace();
    println!("soc steps {}", soc.steps);
    println!("soc hash {:016x}", soc.hash);
}
