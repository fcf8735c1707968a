//! The core and the oracle agree on every alarm, switch, event and trip count of every step.
//!
//! `BMS_ORACLE_CASES`, `BMS_ORACLE_SEED`: how many sequences of operations, and which.

use bms_core::config::Profile;
use bms_core::protection::Alarm;
use bms_oracle::differential::{Tally, run_where};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs sequences of one profile; what was compared.
fn compare(profile: Profile) -> Tally {
    let cases = number("BMS_ORACLE_CASES", 80) as u32;
    let seed = number("BMS_ORACLE_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = profile as u8;
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, random);
    let tally = RefCell::new(Tally::new());
    // The first byte chooses chemistry and profile.
    let sequence = (0_u8..3, proptest::collection::vec(any::<u8>(), 300..500))
        .prop_map(move |(chemistry, rest)| [vec![chemistry + 3 * profile as u8], rest].concat());
    let outcome = runner.run(&sequence, |bytes| match run_where(&bytes, |config| config.profile() == profile) {
        Ok(one) => {
            tally.borrow_mut().add(&one);
            Ok(())
        }
        Err(why) => Err(TestCaseError::fail(why)),
    });
    let tally = tally.into_inner();
    println!("oracle: profile {profile:?}, seed {seed}, {cases} sequences, {tally}");
    match outcome {
        Err(TestError::Fail(why, bytes)) => panic!("{why}\nbytes {bytes:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
        Ok(()) => {}
    }
    tally
}

/// A comparison that never saw the thing proves nothing.
fn assert_raised(tally: &Tally, alarms: &[Alarm]) {
    for alarm in alarms {
        assert!(tally.raised[*alarm as usize] > 0, "{alarm:?} was never raised");
    }
}

/// P01 P02 P03 P04 P06 P07 P08 P09 P11 P12 P13 P14 P15 P16 P17 P18 N01 N02 N03 N04 N05 N06 N07 D02 D12 D32: the manual's profile.
#[test]
fn the_core_and_the_oracle_agree_on_the_manual() {
    use Alarm as A;
    let tally = compare(Profile::Manual);
    assert_raised(
        &tally,
        &[
            A::CellUndervoltage,
            A::CellOvervoltage,
            A::ChargeOvercurrent,
            A::DischargeOvercurrent,
            A::ShortCircuit,
            A::ChargeOvertemperature,
            A::DischargeOvertemperature,
            A::ChargeUndertemperature,
            A::MosOvertemperature,
            A::AutoShutdown,
            A::CellCountMismatch,
            A::CellDataLost,
            A::CurrentDataLost,
            A::TemperatureDataLost,
            A::TimeWentBack,
            A::StepLate,
            A::EmergencyStop,
        ],
    );
    assert!(tally.both_closed > 1_000 && tally.switched > 100, "{tally}");
}

/// X01 X02 X03 X05 X06 X08 X09 X10 X12 X13 X14 X15 X18 X20 X21 D10 H01 D28: the default profile.
#[test]
fn the_core_and_the_oracle_agree_on_what_is_beyond_the_manual() {
    use Alarm as A;
    let tally = compare(Profile::Default);
    assert_raised(
        &tally,
        &[
            A::CellUndervoltage,
            A::CellOvervoltage,
            A::BatterySensorFault,
            A::MosSensorFault,
            A::StackMismatch,
            A::SevereDischargeOvercurrent,
            A::SevereChargeOvercurrent,
            A::CellSpreadWarning,
            A::TemperatureSpreadWarning,
            A::CellUndervoltageWarning,
            A::OvertemperatureWarning,
            A::ChargeSwitchStuck,
            A::DischargeSwitchStuck,
            A::DeepDischarge,
            A::Abuse,
            A::ResetHoldOff,
            A::ChargeLockedOut,
            A::DischargeLockedOut,
        ],
    );
    assert!(tally.both_closed > 1_000 && tally.switched > 100 && tally.heated > 0, "{tally}");
}

/// The two tables of what an alarm inhibits, written apart, are one.
#[test]
fn both_know_what_each_alarm_inhibits() {
    use bms_core::protection::Inhibit;
    for alarm in Alarm::ALL {
        let (core, oracle) = (alarm.inhibits(), bms_oracle::rules::inhibits(alarm));
        let core =
            [Inhibit::CHARGE, Inhibit::DISCHARGE, Inhibit::BALANCE, Inhibit::HEATER].map(|what| core.includes(what));
        assert_eq!(core, [oracle.charge, oracle.discharge, oracle.balance, oracle.heater], "{alarm:?}");
    }
}
