//! The laws of `docs/architecture.md` as properties over random sequences of operations that include faults.
//!
//! `BMS_PROPERTY_CASES` and `BMS_PROPERTY_SEED` make a longer or another campaign; by default the sequences are the same in
//! every run, so that a red build means a change.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod laws;

use std::cell::RefCell;

use laws::{Coverage, Law, Quiet};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn runner(cases: u32) -> TestRunner {
    let cases = u32::try_from(number("BMS_PROPERTY_CASES", u64::from(cases))).unwrap_or(u32::MAX);
    let mut seed = [7_u8; 32];
    seed[..8].copy_from_slice(&number("BMS_PROPERTY_SEED", 20_260_101).to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// Every law in every step of random sequences; each law must have applied often enough to mean something.
///
/// D32 N02 N03 N07 X01 X20 X21: laws 1–4, 6 and 7.
#[test]
fn laws_hold_in_every_step_of_random_sequences() {
    let total = RefCell::new(Coverage::default());
    runner(384)
        .run(&vec(any::<u8>(), 64..1_024), |bytes| {
            let (coverage, Quiet) = laws::run(&bytes, Quiet);
            total.borrow_mut().add(&coverage);
            Ok(())
        })
        .unwrap();
    let total = total.into_inner();
    println!("{} steps", total.steps);
    let mut weak = Vec::new();
    for law in Law::ALL {
        let count = total.of(law);
        println!("{law:?}: {count}");
        if count < floor(law) {
            weak.push(format!("{law:?}: {count} < {}", floor(law)));
        }
    }
    assert!(weak.is_empty(), "laws that hardly ever applied: {weak:?}");
}

/// How often a law's precondition must occur in the default campaign.
fn floor(law: Law) -> u32 {
    match law {
        Law::WorseInformation | Law::WorsePhysics | Law::Operating => 10_000,
        Law::StartIncomplete | Law::WorsePhysicsMattered | Law::EmergencyStop | Law::RequestClosesNothing => 1_000,
        Law::StartClosing
        | Law::WorseInformationMattered
        | Law::LackingClosesNothing
        | Law::StaleOpens
        | Law::TimeWentBack
        | Law::CorruptStaysOpen
        | Law::TripDue => 200,
        Law::TripRaised | Law::FaultsSurviveReset => 20,
    }
}
