//! `bms-evidence matrix`: the campaigns as commands.

use std::collections::BTreeMap;

use bms_evidence::matrix::cell::Verdict;
use bms_evidence::matrix::{faults::faults, pushes::PUSHES, run, states::STATES};
use bms_evidence::truth::HAZARDS;

fn main() {
    let rows = run();
    let faults = faults();
    let mut seen: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut counts = [0_u32; 6];
    for (state, row) in STATES.iter().zip(&rows) {
        for (fault, cells) in faults.iter().zip(row) {
            for (push, cell) in PUSHES.iter().zip(cells) {
                let key = match cell.verdict {
                    Verdict::Safe => { counts[0] += 1; continue }
                    Verdict::Detected(_) => { counts[1] += 1; continue }
                    Verdict::BelowDetection => { counts[2] += 1; format!("below {} {}", fault.part, fault.name) }
                    Verdict::Deceived { hazard, .. } => { counts[3] += 1; format!("deceived {} {} {}", fault.part, fault.name, HAZARDS[hazard].name) }
                    Verdict::Missed { .. } => { counts[4] += 1; format!("missed {} {}", fault.part, fault.name) }
                    Verdict::Unsafe { hazard, .. } => { counts[5] += 1; format!("UNSAFE {} {} {}", fault.part, fault.name, HAZARDS[hazard].name) }
                };
                let entry = seen.entry(key).or_default();
                entry.0 += 1;
                if entry.0 <= 3 || std::env::args().any(|a| a == "all") {
                    entry.1 += &format!("\n     {} × {}: {:?} bites {}", state.name, push.name, cell.verdict, cell.bites);
                }
            }
        }
    }
    for (key, (count, examples)) in seen {
        println!("{key}: {count}{examples}");
    }
    println!("{} states × {} faults × {} pushes: {counts:?}", STATES.len(), faults.len(), PUSHES.len());
}
