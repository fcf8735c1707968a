//! Every fault in every operating state, with the pack pushed over each of its limits meanwhile.
//!
//! A new fault, state or push is one row of its table; nothing else knows them one by one.

pub mod cell;
pub mod faults;
pub mod pushes;
pub mod report;
pub mod states;

use std::sync::atomic::{AtomicUsize, Ordering};

use cell::Outcome;
use faults::{Fault, faults};
use pushes::PUSHES;
use states::STATES;

/// The outcomes of one state: for each fault, for each push.
pub type Row = Vec<Vec<Outcome>>;

/// Runs the whole matrix on all cores: for each state its row.
#[must_use]
pub fn run() -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let faults = faults();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut rows = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(state) = STATES.get(index) else { return rows };
                        rows.push((index, row(state, &faults)));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no run panics")).collect()
    });
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// One state with every fault and push.
#[must_use]
pub fn row(state: &states::State, faults: &[Fault]) -> Row {
    let reached = state.reached();
    faults
        .iter()
        .map(|fault| PUSHES.iter().map(|push| cell::run(&reached, state.defeats(), fault, push)).collect())
        .collect()
}
