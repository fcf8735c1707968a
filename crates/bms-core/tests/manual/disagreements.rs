//! What a second, independent reading of the requirements found: each of these once failed.

use bms_core::config::ParameterId as P;
use bms_core::config::Profile;
use bms_core::measurement::Reading;
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use bms_core::time::secs;
use bms_core::units::{Voltage, amps, deg_c, ma, mv};

use crate::harness::{Line, PROFILES, Presence, Setup};

/// D32 X01 X20: a reset does not shorten the five seconds of good data that lost data, a late step or a failed output need.
#[test]
fn a_reset_does_not_forgive_lost_data() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cells_group = Presence::Failed;
        pack.advance(secs(2));
        assert!(pack.has(Alarm::CellDataLost));
        let mut pack = pack.reset(ResetCause::PowerOn);
        pack.throughout(secs(4), "five seconds of valid data", |pack| pack.closed() == (false, false));
        pack.until(secs(2), "good for five seconds", |pack| pack.closed() == (true, true));
    }
    let mut pack = Setup::new(Profile::Default).started();
    pack.sleep(secs(3));
    pack.step();
    assert!(pack.has(Alarm::StepLate));
    let mut pack = pack.reset(ResetCause::PowerOn);
    pack.throughout(secs(4), "after a late step", |pack| pack.closed() == (false, false));
}

/// D02 D30: a current into the pack is a charger, whatever the charger's input says.
#[test]
fn a_pack_that_is_charged_does_not_shut_down_because_an_input_sees_no_charger() {
    for profile in PROFILES {
        for current in [ma(201), amps(20)] {
            let mut pack = Setup::new(profile).started();
            pack.inputs.charger = Some(false);
            pack.all_cells(mv(2_590));
            pack.current = current;
            pack.expect_never(Alarm::AutoShutdown, secs(120));
        }
        let mut pack = Setup::new(profile).started();
        pack.inputs.charger = Some(false);
        pack.all_cells(mv(2_590));
        pack.current = ma(200);
        pack.until(secs(120), "no more than the sensor's offset", |pack| pack.has(Alarm::AutoShutdown));
    }
}

/// D10: a current that ends because the switch opened is no removal of the charger, whatever the charger's input says.
#[test]
fn only_a_charger_that_was_seen_can_be_seen_to_go() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.set(P::RetryLimit, 1).unwrap();
    for charger in [None, Some(false)] {
        pack.inputs.charger = charger;
        pack.current = amps(301);
        pack.until(secs(3), "severe", |pack| !pack.closed().0);
        pack.current = amps(0);
        pack.inputs.charger = Some(false);
        pack.throughout(secs(70), "locked out", |pack| !pack.closed().0);
        assert!(pack.has(Alarm::ChargeLockedOut));
    }
    pack.inputs.charger = Some(true);
    pack.step();
    pack.inputs.charger = Some(false);
    pack.until(secs(3), "taken away", |pack| !pack.has(Alarm::ChargeLockedOut));
}

/// D02: an old reading shuts nothing down: while the cells are lost, the BMS stays awake with everything open.
#[test]
fn lost_cells_do_not_shut_down() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.advance(secs(61));
    pack.all_cells(mv(2_590));
    pack.step();
    pack.cells_group = Presence::NotMeasured;
    pack.expect_never(Alarm::AutoShutdown, secs(30));
    assert!(pack.has(Alarm::CellDataLost));
    pack.cells_group = Presence::Measured;
    pack.step();
    assert!(pack.has(Alarm::AutoShutdown), "the delay went on; the next scan confirms it");
}

/// X01: a sensor is lost when its own reading is ten seconds old, also while another comes back in between.
#[test]
fn a_sensor_is_lost_in_its_own_time() {
    let mut pack = Setup::new(Profile::Manual).started();
    pack.t1 = Reading::Invalid;
    pack.steps(2);
    let last = pack.now;
    // T2 falls silent after this; T1 was silent before and comes back nine seconds later.
    pack.t2 = Reading::NotMeasured;
    pack.advance(secs(9));
    pack.t1 = Reading::Valid(deg_c(25));
    pack.until(secs(2), "ten seconds after the last of T2", |pack| pack.has(Alarm::TemperatureDataLost));
    assert!(pack.now.since(last) <= secs(10), "{:?}", pack.now.since(last));
}

/// X10 X13 X14 N07: no parameter clears what only a local request may clear.
#[test]
fn switching_a_check_off_does_not_clear_a_permanent_fault() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(3, mv(1_950));
    pack.until(secs(10), "deeply discharged", |pack| pack.has(Alarm::DeepDischarge));
    pack.set(P::NeverChargeVoltage, 0).unwrap();
    pack.all_cells(mv(3_300));
    pack.throughout(secs(60), "never charged", |pack| !pack.closed().0 && pack.has(Alarm::DeepDischarge));

    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(3, mv(4_010));
    pack.until(secs(10), "abused", |pack| pack.has(Alarm::Abuse));
    pack.set(P::AbuseVoltage, 0).unwrap();
    pack.all_cells(mv(3_300));
    pack.throughout(secs(60), "never used", |pack| pack.closed() == (false, false) && pack.has(Alarm::Abuse));
}

/// X09: the warning comes before the first of both over-temperature trips, whichever it is.
#[test]
fn a_warm_battery_is_warned_of_before_charging_stops() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.set(P::ChargeOvertemperatureRecovery, 400).unwrap();
    pack.set(P::ChargeOvertemperatureProtection, 450).unwrap();
    pack.battery(400);
    pack.expect_never(Alarm::OvertemperatureWarning, secs(3));
    pack.battery(401);
    pack.until(secs(3), "a margin of 5 °C", |pack| pack.has(Alarm::OvertemperatureWarning));
    assert_eq!(pack.closed(), (true, true));
}

/// X03: a check that is switched off holds nothing.
#[test]
fn a_stack_check_that_is_switched_off_ends() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.stack = Line::Sum(mv(5_000));
    pack.until(secs(4), "differs", |pack| pack.has(Alarm::StackMismatch));
    pack.set(P::StackCheck, 0).unwrap();
    pack.until(secs(10), "not watched any more", |pack| !pack.has(Alarm::StackMismatch));
}

/// X03 X01: a stack voltage that was there and is lost is noticed like a difference, not passed over.
#[test]
fn a_lost_stack_voltage_is_noticed() {
    for lost in [Line::Failed, Line::Absent] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.advance(secs(2));
        pack.stack = lost;
        pack.until(secs(4), "stale, then two seconds", |pack| pack.closed() == (false, false));
        assert!(pack.has(Alarm::StackMismatch));
        pack.stack = Line::Sum(Voltage::ZERO);
        pack.throughout(secs(4), "five seconds of agreement", |pack| pack.closed() == (false, false));
        pack.until(secs(2), "agrees again", |pack| pack.closed() == (true, true));
    }
    let mut pack = Setup::new(Profile::Manual).started();
    pack.stack = Line::Failed;
    pack.throughout(secs(30), "not in the manual", |pack| pack.closed() == (true, true));
}
