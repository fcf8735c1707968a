//! Laws of balancing over random faults: every strategy on every kind of balancer, in every step.
#![allow(missing_docs, clippy::unwrap_used)]

mod balancing;

use std::cell::RefCell;

use balancing::{PAIRS, Seen};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};

/// B02 B03 D04 D27 W02 X01 X21: no plan violates a limit in any state reached under faults; worse data neither starts a transfer nor lets
/// one go on; each strategy on each kind of balancer, the test of the wires among them.
#[test]
fn no_plan_violates_a_limit_whatever_fails() {
    let cases = std::env::var("BMS_PROPERTY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48);
    let config = Cases { cases, failure_persistence: None, ..Cases::default() };
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let seen = RefCell::new([Seen::default(); PAIRS]);
    TestRunner::new_with_rng(config, seed)
        .run(&vec(any::<u8>(), 20..160), |bytes| {
            let mut seen = seen.borrow_mut();
            for (pair, seen) in seen.iter_mut().enumerate() {
                balancing::run(pair, &bytes, seen);
            }
            Ok(())
        })
        .unwrap();
    for (index, seen) in seen.into_inner().into_iter().enumerate() {
        println!("{index}: {seen:?}");
        // PassiveBleed does nothing but the test of the wires where there is no resistor.
        assert!(
            seen.steps > 20_000
                && seen.twins > 5_000
                && seen.moving > 50
                && seen.stopped > 20
                && seen.tested > 20
                && seen.deceived > 20,
            "{index}: {seen:?}"
        );
    }
}
