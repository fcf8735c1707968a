//! What a second, independent reading of the requirements found: each of these once failed.

use bms_core::bms::Request;
use bms_core::config::ParameterId as P;
use bms_core::config::Profile;
use bms_core::event::EventKind;
use bms_core::measurement::{Group, Reading};
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use bms_core::time::{Instant, ms, secs};
use bms_core::units::{Voltage, amps, deg_c, ma, mv};

use crate::harness::{Act, Line, PROFILES, Pack, Presence, Setup};

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

/// X03 X19 law 2: while a voltage that was compared is missing, nothing closes; what is closed stays so until it is lost.
#[test]
fn what_cannot_be_compared_closes_nothing() {
    let setup = Setup::new(Profile::Default).board(|board| board.terminal_voltage = true);
    let stack: Act = |pack| pack.stack = Line::Failed;
    let terminal: Act = |pack| pack.terminal = Line::Failed;
    let back: Act = |pack| (pack.stack, pack.terminal) = (Line::Sum(Voltage::ZERO), Line::Sum(Voltage::ZERO));
    for fail in [stack, terminal] {
        let mut pack = setup.started();
        pack.request(Request::SetCharge(false)).unwrap();
        pack.steps(5);
        fail(&mut pack);
        pack.request(Request::SetCharge(true)).unwrap();
        pack.steps(8);
        assert_eq!(pack.closed(), (false, true), "not closed blindly; {}", pack.story());
        back(&mut pack);
        pack.until(secs(1), "compared again", |pack| pack.closed() == (true, true));
    }
    // What no check compares holds nothing open: both checks off, or no terminal ever measured.
    let unchecked = setup.set(P::StackCheck, 0).set(P::TerminalMismatchVoltage, 0);
    let without_terminal = Setup::new(Profile::Default).set(P::StackCheck, 0);
    for (setup, fail) in [(unchecked, stack), (unchecked, terminal), (without_terminal, stack)] {
        let mut pack = setup.started();
        pack.request(Request::SetCharge(false)).unwrap();
        pack.steps(5);
        fail(&mut pack);
        pack.request(Request::SetCharge(true)).unwrap();
        pack.steps(3);
        assert_eq!(pack.closed(), (true, true), "{}", pack.story());
    }
}

/// D32 N07: after a change of the cell count only a sample taken since then starts the pack.
#[test]
fn a_sample_from_before_a_new_start_does_not_count() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.steps(3);
        pack.cells.truncate(15);
        let mut old = pack.sample();
        old.cells = Group::at(pack.now, bms_core::measurement::Cells::from_voltages(&[mv(3_300); 15]));
        pack.set(P::CellCount, 15).unwrap();
        pack.step_tick();
        for _ in 0..5 {
            pack.sleep(ms(100));
            pack.step_with(&old);
            assert_eq!(pack.closed(), (false, false), "{}", pack.story());
        }
        pack.until(secs(3), "a new sample", |pack| pack.closed() == (true, true));
    }
}

/// X03 N02: the two seconds count from when the difference was measured, not from the step that heard of it.
#[test]
fn a_stack_mismatch_counts_from_its_measurement() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.advance(secs(2));
    pack.sample_age = 150;
    pack.steps(3);
    pack.stack = Line::Sum(mv(5_000));
    pack.step();
    let first = Instant::from_millis(pack.now.as_millis() - 150);
    pack.expect_trip_since(Alarm::StackMismatch, first, secs(2));
}

/// D10 X15: a short circuit is a trip, whatever the cells' chemistry.
#[test]
fn a_short_circuit_counts_on_a_wrong_chemistry() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.all_cells(mv(4_150));
    pack.until(secs(5), "wrong", |pack| pack.has(Alarm::WrongChemistry));
    pack.short = true;
    pack.step();
    pack.short = false;
    assert!(pack.has(Alarm::ShortCircuit));
    assert_eq!(pack.bms.snapshot().retries.counts(), [0, 0, 1, 0]);
}

/// X15 N02: a first scan that fits ends the suspicion of the one before it.
#[test]
fn one_scan_that_fits_settles_the_chemistry() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.cell(3, mv(4_150));
    pack.step();
    pack.cell(3, mv(3_300));
    pack.step();
    assert!(pack.saw(|kind| *kind == EventKind::Started), "{}", pack.story());
    pack.expect_never(Alarm::WrongChemistry, secs(3));
}

/// D28 D10: clearing a lock-out leaves a heater alone that does its work.
#[test]
fn clearing_a_lockout_does_not_switch_the_heater() {
    let mut pack = Setup::new(Profile::Default).set(P::HeaterResistance, 20_000_000).started();
    pack.inputs.charger = Some(true);
    pack.battery(-10);
    pack.until(secs(3), "cold", |pack| pack.heating());
    pack.request(Request::ClearLockout).unwrap();
    pack.throughout(secs(2), "goes on", |pack| pack.heating());
}

/// D28: interruptions neither hide half an hour without a rise, nor count as heating.
#[test]
fn interruptions_do_not_hide_a_heater_in_vain() {
    let mut pack = Setup::new(Profile::Default).set(P::HeaterResistance, 20_000_000).every(1_000).started();
    pack.inputs.charger = Some(true);
    pack.battery(-10);
    pack.until(secs(5), "cold", |pack| pack.heating());
    // The output expired soon after the steps stopped.
    pack.sleep(secs(3_600));
    pack.step();
    pack.throughout(secs(60), "not in vain yet", |pack| !pack.has(Alarm::HeaterIneffective));
    assert!(pack.heating());
    for _ in 0..20 {
        pack.cells_group = Presence::Failed;
        pack.advance(secs(10));
        assert!(!pack.heating(), "{}", pack.story());
        pack.cells_group = Presence::Measured;
        pack.advance(secs(60));
    }
    pack.until(secs(700), "half an hour in all", |pack| pack.has(Alarm::HeaterIneffective));
}

/// D02 T20: what was told when it came is told when it goes, also when a new start or a person ends it.
#[test]
fn every_alarm_that_was_raised_is_cleared_in_the_events() {
    let cleared = |pack: &Pack, alarm| pack.saw(|kind| *kind == EventKind::Cleared { alarm });
    let mut pack = Setup::new(Profile::Default).started();
    pack.advance(secs(61));
    pack.all_cells(mv(2_590));
    pack.until(secs(20), "shuts down", |pack| pack.has(Alarm::AutoShutdown));
    pack.inputs.charger = Some(true);
    pack.until(secs(20), "starts anew", |pack| !pack.has(Alarm::AutoShutdown));
    assert!(cleared(&pack, Alarm::AutoShutdown));

    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(3, mv(4_010));
    pack.until(secs(10), "abused", |pack| pack.has(Alarm::Abuse));
    pack.all_cells(mv(3_300));
    pack.request(Request::ClearPermanent).unwrap();
    pack.step();
    assert!(!pack.has(Alarm::Abuse) && cleared(&pack, Alarm::Abuse));
}

/// D10: the charging that cures an empty pack is that of the interval that ended with this step, whatever opens in it.
#[test]
fn charging_counts_until_the_switch_opens() {
    let mut pack = Setup::new(Profile::Default).set(P::RetryLimit, 1).set(P::CellUndervoltageDelay, 0).started();
    pack.all_cells(mv(2_690));
    pack.steps(2);
    assert!(pack.has(Alarm::DischargeLockedOut));
    pack.current = amps(20);
    pack.short = true;
    pack.step();
    assert!(pack.has(Alarm::ShortCircuit));
    assert_eq!(pack.bms.snapshot().retries.counts(), [0, 0, 1, 0], "cured before it was shorted");
}

/// S04: a row that is switched off ends with the step after the change, also without a complete observation.
#[test]
fn a_row_that_is_switched_off_ends() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.set(P::DischargeUndertemperature, 1).unwrap();
    pack.battery(-250);
    pack.until(secs(3), "too cold", |pack| pack.has(Alarm::DischargeUndertemperature));
    pack.t2 = Reading::Invalid;
    pack.step();
    pack.set(P::DischargeUndertemperature, 0).unwrap();
    pack.step();
    assert!(pack.has(Alarm::DischargeUndertemperature), "not in its own step (N07)");
    pack.step();
    assert!(!pack.has(Alarm::DischargeUndertemperature));
}

/// X20 P11: inputs that cannot be read may tell of a failed self-test or a short circuit: nothing closes until they can (law 2).
/// A board that has none, or does not read them in this step, waits for nothing.
#[test]
fn nothing_closes_while_the_inputs_fail() {
    for profile in PROFILES {
        for presence in [Presence::Failed, Presence::NotMeasured] {
            let mut pack = Setup::new(profile).started();
            pack.all_cells(mv(2_690));
            pack.until(secs(120), "empty", |pack| pack.has(Alarm::CellUndervoltage) && !pack.closed().1);
            pack.inputs_group = presence;
            pack.all_cells(mv(3_300));
            pack.until(secs(120), "recovered", |pack| !pack.has(Alarm::CellUndervoltage));
            if presence == Presence::Failed {
                pack.throughout(secs(2), "inputs unread", |pack| !pack.closed().1);
                pack.inputs_group = Presence::Measured;
            }
            pack.until(secs(2), "closed again", |pack| pack.closed().1);
        }
    }
}
