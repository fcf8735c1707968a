//! Protections beyond the manual: X07–X09, X13–X16.

use bms_core::bms::Request;
use bms_core::config::{Chemistry, Config, Model, ParameterId, Profile};
use bms_core::lifecycle::State;
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use bms_core::time::secs;
use bms_core::units::{ah, amps, mv, uv};

use crate::harness::{Act, Line, Setup, just_above, just_below, tenths};

use ParameterId as P;

/// X07: pack voltage limits act only when set, with hysteresis, each on its own direction.
#[test]
fn pack_voltage_limits_are_optional() {
    let mut pack = Setup::new(Profile::Default)
        .set(P::PackOvervoltageProtection, 56_800_000)
        .set(P::PackOvervoltageRecovery, 55_200_000)
        .set(P::PackUndervoltageProtection, 46_400_000)
        .set(P::PackUndervoltageRecovery, 48_000_000)
        .started();
    pack.all_cells(mv(3_550));
    pack.throughout(secs(5), "exactly at the limit", |pack| pack.closed() == (true, true));
    pack.all_cells(just_above(mv(3_550)));
    pack.until(secs(2), "too high", |pack| pack.closed() == (false, true));
    assert_eq!(pack.trips(), [Alarm::PackOvervoltage]);
    pack.all_cells(mv(3_450));
    pack.throughout(secs(5), "exactly at the recovery", |pack| pack.closed() == (false, true));
    pack.all_cells(just_below(mv(3_450)));
    pack.until(secs(2), "recovered", |pack| pack.closed() == (true, true));
    pack.all_cells(mv(2_900));
    pack.throughout(secs(5), "exactly at the limit", |pack| pack.closed() == (true, true));
    pack.all_cells(just_below(mv(2_900)));
    pack.until(secs(2), "too low", |pack| pack.closed() == (true, false));
    assert_eq!(pack.trips(), [Alarm::PackUndervoltage]);
    pack.all_cells(mv(3_000));
    pack.throughout(secs(5), "exactly at the recovery", |pack| pack.closed() == (true, false));
    pack.all_cells(just_above(mv(3_000)));
    pack.until(secs(2), "recovered", |pack| pack.closed() == (true, true));
    let half = Setup::new(Profile::Default).set(P::PackOvervoltageProtection, 57_000_000);
    assert!(half.config.validate().is_err(), "both or none");
}

/// X08: cells or temperatures far apart warn; they trip only when so set, and recover.
#[test]
fn spreads_warn_and_trip_only_when_set() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(5, mv(3_000));
    (pack.t1, pack.t2) = (tenths(250), tenths(400));
    pack.throughout(secs(10), "exactly 300 mV and 15 °C", |pack| {
        !pack.has(Alarm::CellSpreadWarning) && !pack.has(Alarm::TemperatureSpreadWarning)
    });
    pack.cell(5, uv(2_999_900));
    pack.t2 = tenths(401);
    pack.advance(secs(5));
    assert!(pack.has(Alarm::CellSpreadWarning) && pack.has(Alarm::TemperatureSpreadWarning));
    assert_eq!(pack.closed(), (true, true));
    pack.cell(5, mv(3_300));
    pack.t2 = tenths(250);
    pack.advance(secs(5));
    assert!(pack.alarms().is_empty());
    let base =
        Setup::new(Profile::Default).set(P::CellSpreadProtection, 200_000).set(P::TemperatureSpreadProtection, 100);
    for (alarm, change) in [
        (Alarm::CellSpread, (|pack| pack.cell(5, mv(3_099))) as Act),
        (Alarm::TemperatureSpread, |pack| pack.t2 = tenths(351)),
    ] {
        let mut pack = base.started();
        change(&mut pack);
        pack.until(secs(5), "trips", |pack| pack.has(alarm));
        assert_eq!(pack.closed(), (false, false));
        pack.cell(5, mv(3_300));
        pack.t2 = tenths(250);
        pack.until(secs(10), "recovers", |pack| pack.closed() == (true, true));
    }
}

/// X09: a warning before each trip; it inhibits nothing, and its margin can be set or switched off.
#[test]
fn warnings_come_before_trips() {
    let cases: [(Alarm, Act, Act); 7] = [
        (Alarm::CellUndervoltageWarning, |pack| pack.all_cells(mv(2_751)), |pack| pack.all_cells(mv(2_749))),
        (Alarm::CellOvervoltageWarning, |pack| pack.all_cells(mv(3_549)), |pack| pack.all_cells(mv(3_551))),
        (Alarm::ChargeCurrentWarning, |pack| pack.current = amps(189), |pack| pack.current = amps(191)),
        (Alarm::DischargeCurrentWarning, |pack| pack.current = amps(-189), |pack| pack.current = amps(-191)),
        (Alarm::OvertemperatureWarning, |pack| pack.battery(549), |pack| pack.battery(551)),
        (Alarm::UndertemperatureWarning, |pack| pack.battery(51), |pack| pack.battery(49)),
        (Alarm::MosTemperatureWarning, |pack| pack.mos = tenths(699), |pack| pack.mos = tenths(701)),
    ];
    for (alarm, before, within) in cases {
        let mut pack = Setup::new(Profile::Default).started();
        before(&mut pack);
        pack.expect_never(alarm, secs(5));
        within(&mut pack);
        pack.until(secs(3), "warns", |pack| pack.has(alarm));
        pack.throughout(secs(60), "inhibits nothing", |pack| pack.closed() == (true, true) && pack.trips().is_empty());
        pack.current = amps(0);
        pack.all_cells(mv(3_300));
        pack.battery(250);
        pack.mos = tenths(300);
        pack.until(secs(10), "ends", |pack| !pack.has(alarm));
        let off = [P::WarningVoltageMargin, P::WarningCurrentMargin, P::WarningTemperatureMargin];
        let silent = off.into_iter().fold(Setup::new(Profile::Default), |setup, margin| setup.set(margin, 0));
        for setup in [silent, Setup::new(Profile::Manual)] {
            let mut pack = setup.started();
            within(&mut pack);
            pack.expect_never(alarm, secs(20));
        }
    }
}

/// X13: a stack-confirmed cell below 2.0 / 2.0 / 1.0 V for 5 s is never charged again, across resets, until cleared locally.
#[test]
fn a_deeply_discharged_cell_is_never_charged() {
    for (chemistry, limit) in [(Chemistry::LiIon, 2_000), (Chemistry::LiFePo4, 2_000), (Chemistry::Lto, 1_000)] {
        let mut pack = Setup::of(chemistry, Profile::Default).started();
        let sound = pack.cells.clone();
        pack.cell(2, mv(limit));
        pack.expect_never(Alarm::DeepDischarge, secs(9));
        pack.cell(2, just_below(mv(limit)));
        pack.expect_trip(Alarm::DeepDischarge, secs(5));
        pack.cells = sound;
        pack.throughout(secs(600), "for good", |pack| pack.closed() == (false, true));
        let mut pack = pack.reset(ResetCause::PowerOn);
        pack.throughout(secs(60), "after a reset too", |pack| !pack.command.charge.is_closed());
        assert!(pack.has(Alarm::DeepDischarge));
        pack.request(Request::ClearPermanent).unwrap();
        pack.until(secs(10), "cleared", |pack| pack.closed() == (true, true));
    }
}

/// X14: a stack-confirmed cell above 4.40 / 4.00 / 3.00 V for 5 s locks the pack for good.
#[test]
fn an_abused_cell_locks_the_pack() {
    for (chemistry, limit) in [(Chemistry::LiIon, 4_400), (Chemistry::LiFePo4, 4_000), (Chemistry::Lto, 3_000)] {
        let mut pack = Setup::of(chemistry, Profile::Default).started();
        let sound = pack.cells.clone();
        pack.cell(2, mv(limit));
        pack.expect_never(Alarm::Abuse, secs(10));
        pack.cell(2, just_above(mv(limit)));
        pack.expect_trip(Alarm::Abuse, secs(5));
        pack.cells = sound;
        pack.throughout(secs(600), "for good", |pack| pack.closed() == (false, false));
        let mut pack = pack.reset(ResetCause::PowerOn);
        pack.throughout(secs(60), "after a reset too", |pack| pack.closed() == (false, false));
        pack.request(Request::ClearPermanent).unwrap();
        pack.until(secs(10), "cleared", |pack| pack.closed() == (true, true));
    }
}

/// X13 X14: nothing permanent without the stack voltage that confirms it, and nothing in the profile of the manual.
#[test]
fn permanent_faults_need_the_stack_to_confirm() {
    let setups = [
        (Setup::new(Profile::Default), Some(Line::At(mv(52_800)))),
        (Setup::new(Profile::Default).board(|board| board.stack_voltage = false), None),
        (Setup::new(Profile::Manual), None),
    ];
    for (setup, stack) in setups {
        for voltage in [mv(1_700), mv(4_400)] {
            let mut pack = setup.started();
            pack.stack = stack.unwrap_or(pack.stack);
            pack.cell(2, voltage);
            pack.throughout(secs(9), "unconfirmed", |pack| !pack.has(Alarm::DeepDischarge) && !pack.has(Alarm::Abuse));
        }
    }
}

/// X15: first samples outside the preset's window: everything stays open until the configuration is corrected.
#[test]
fn a_wrong_chemistry_is_noticed_at_the_first_samples() {
    let mut pack = Setup::of(Chemistry::Lto, Profile::Default).pack();
    pack.all_cells(mv(2_300));
    pack.cell(4, just_above(mv(3_000)));
    pack.steps(2);
    assert_eq!(pack.bms.state(), State::Starting, "D32: not before it is known what the cells are");
    pack.step();
    assert!(pack.has(Alarm::WrongChemistry), "three samples");
    pack.throughout(secs(60), "nothing closes", |pack| pack.closed() == (false, false) && !pack.balancing());
    let mut pack = Setup::of(Chemistry::Lto, Profile::Default).pack();
    pack.all_cells(mv(3_300));
    pack.throughout(secs(60), "nothing closes", |pack| pack.closed() == (false, false) && !pack.balancing());
    let corrected = Config::lifepo4(16).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated();
    pack.reconfigure(corrected).unwrap();
    pack.until(secs(10), "corrected", |pack| pack.closed() == (true, true));
    let mut pack = Setup::of(Chemistry::LiFePo4, Profile::Default).pack();
    pack.all_cells(mv(4_150));
    pack.throughout(secs(10), "Li-ion cells on the LiFePO4 preset", |pack| pack.closed() == (false, false));
    assert!(pack.has(Alarm::WrongChemistry));
}

/// X15: exactly at the window's end, later samples, or the profile of the manual: no such alarm.
#[test]
fn only_the_first_samples_tell_a_wrong_chemistry() {
    let mut pack = Setup::of(Chemistry::Lto, Profile::Default).pack();
    pack.cell(4, mv(3_000));
    pack.expect_never(Alarm::WrongChemistry, secs(3));
    let mut pack = Setup::of(Chemistry::Lto, Profile::Default).started();
    pack.cell(4, mv(3_010));
    pack.expect_never(Alarm::WrongChemistry, secs(3));
    let mut pack = Setup::of(Chemistry::Lto, Profile::Manual).pack();
    pack.cell(4, mv(3_010));
    pack.expect_never(Alarm::WrongChemistry, secs(3));
}

/// X16 X12 N06: while the lowest cell is below UVP, 0.05 C is published as the charge limit.
#[test]
fn an_empty_pack_is_charged_slowly() {
    let mut pack = Setup::new(Profile::Default).started();
    assert_eq!(pack.command.limits.charge_current, amps(200));
    pack.cell(9, uv(2_699_900));
    pack.advance(secs(2));
    assert_eq!(pack.command.limits.charge_current, amps(14), "0.05 C of 280 Ah");
    assert!(pack.command.charge.is_closed());
    pack.cell(9, mv(2_750));
    pack.advance(secs(2));
    assert_eq!(pack.command.limits.charge_current, amps(200));
    let mut pack = Setup::new(Profile::Manual).started();
    pack.cell(9, mv(2_650));
    pack.advance(secs(2));
    assert_eq!(
        pack.command.limits.charge_current,
        amps(20),
        "not in the manual; without a bypass 10 % of the rating (X12)"
    );
}
