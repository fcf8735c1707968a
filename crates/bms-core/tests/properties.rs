//! The laws of `docs/architecture.md` as properties over random sequences of operations that include faults.
//!
//! `BMS_PROPERTY_CASES` and `BMS_PROPERTY_SEED` make a longer or another campaign; by default the sequences are the same in
//! every run, so that a red build means a change.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod laws;

use std::cell::RefCell;

use bms_core::prelude::*;
use laws::{Coverage, Law, Quiet};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{self, RngAlgorithm, TestRng, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn runner(cases: u32) -> TestRunner {
    let cases = u32::try_from(number("BMS_PROPERTY_CASES", u64::from(cases))).unwrap_or(u32::MAX);
    let mut seed = [7_u8; 32];
    seed[..8].copy_from_slice(&number("BMS_PROPERTY_SEED", 20_260_101).to_le_bytes());
    let config = test_runner::Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..test_runner::Config::default()
    };
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

/// A healthy 16-cell pack's sample, with one cell and the current chosen.
fn sample(now: Instant, first_cell: Voltage, current: Current) -> Sample {
    let mut cells = [mv(3_300); 16];
    cells[0] = first_cell;
    let mut sample = Sample::new();
    sample.cells = Group::at(now, Cells::from_voltages(&cells));
    sample.stack = Group::at(now, cells.iter().fold(mv(0), |sum, cell| sum.plus(*cell)));
    sample.current = Group::at(now, current);
    let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
    temperatures.battery[0] = Reading::Valid(deg_c(25));
    temperatures.battery[1] = Reading::Valid(deg_c(25));
    sample.temperatures = Group::at(now, temperatures);
    sample.inputs = Group::at(now, Inputs::default());
    sample
}

const PACK: ValidConfig = const { Config::lifepo4(16).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated() };

/// L01: law 8, the raw counter is exactly Σ I·Δt, at any sample rate and with jitter, whatever the anchors do.
#[test]
fn the_counter_is_exact_at_any_sample_rate() {
    let steps = RefCell::new(0_u32);
    runner(64)
        .run(&vec((1_u32..1_000, -190_000_i32..190_000), 2..200), |samples| {
            let mut bms = Bms::new(PACK);
            let mut now = Instant::from_millis(5_000);
            bms.step(now, Input::Sample(&sample(now, mv(3_300), ma(0))));
            let mut expected = 0_i64;
            for (milliseconds, milliamps) in samples {
                now = now.after(ms(milliseconds));
                bms.step(now, Input::Sample(&sample(now, mv(3_300), ma(milliamps))));
                expected += i64::from(milliseconds) * i64::from(milliamps);
                prop_assert_eq!(bms.estimator().counted().as_milliamp_millis(), expected);
                *steps.borrow_mut() += 1;
            }
            prop_assert_eq!(bms.estimator().gap_millis(), 0);
            Ok(())
        })
        .unwrap();
    assert!(steps.into_inner() > 2_000, "too few steps to mean anything");
}

/// D10 P08 X05: law 5, a lasting overload closes the switch no more often than the retry policy allows, and a battery that
/// rebounds when the load goes no more often either.
#[test]
fn a_lasting_fault_closes_no_more_often_than_the_retries_allow() {
    let lockouts = RefCell::new(0_u32);
    runner(24)
        .run(&(20_u32..200, 201_000_i32..600_000, any::<bool>()), |(period, overload, rebound)| {
            let mut bms = Bms::new(PACK);
            let mut now = Instant::from_millis(5_000);
            let (mut closures, mut closed) = (0, false);
            for _ in 0..(3_600_000 / period) {
                now = now.after(ms(period));
                let (cell, current) = match (closed, rebound) {
                    (false, _) => (mv(3_300), ma(0)),
                    (true, false) => (mv(3_300), ma(-overload)),
                    (true, true) => (mv(2_650), ma(-10_000)),
                };
                let command = bms.step(now, Input::Sample(&sample(now, cell, current)));
                while bms.poll_event().is_some() {}
                closures += u32::from(command.discharge.is_closed() && !closed);
                closed = command.discharge.is_closed();
            }
            let allowed = bms.config().get(ParameterId::RetryLimit).unsigned_abs();
            prop_assert!(closures >= 1, "the pack never closed");
            prop_assert!(closures <= allowed, "{closures} closures in an hour, {allowed} trips allowed");
            *lockouts.borrow_mut() += u32::from(bms.alarms().contains(Alarm::DischargeLockedOut));
            Ok(())
        })
        .unwrap();
    assert!(lockouts.into_inner() >= 20, "the lock-out hardly ever came");
}
