//! Calibration: C01, C02, D33.

use bms_core::bms::Request;
use bms_core::config::{ParameterId, Profile};
use bms_core::measurement::Reading;
use bms_core::protection::Alarm;
use bms_core::time::secs;
use bms_core::units::{Current, amps, ma, mv, uv};

use crate::harness::{Pack, Setup};

use ParameterId as P;

/// A pack with both switches off by the user and no current, as C01 asks for.
fn ready_to_calibrate() -> Pack {
    let mut pack = Setup::new(Profile::Default).started();
    pack.request(Request::SetCharge(false)).unwrap();
    pack.request(Request::SetDischarge(false)).unwrap();
    pack.advance(secs(1));
    assert_eq!(pack.closed(), (false, false));
    pack
}

/// C01 D33: the voltage is calibrated from the true pack voltage, with both switches off and no current, by at most 2 %.
#[test]
fn the_voltage_is_calibrated_from_the_true_pack_voltage() {
    for true_value in [mv(53_200), mv(52_100), mv(52_800 + 1_050), mv(52_800 - 1_050)] {
        let mut pack = ready_to_calibrate();
        pack.request(Request::CalibrateVoltage(true_value)).unwrap();
        pack.advance(secs(1));
        let Reading::Valid(shown) = pack.status().pack_voltage else { panic!("valid") };
        assert!(shown.minus(true_value).magnitude() <= mv(16), "{shown:?} for {true_value:?}");
        assert!(pack.config().get(P::VoltageGain) != 0);
        // What the protections look at is calibrated too.
        let Reading::Valid(cell) = pack.status().cells.reading(0) else { panic!("valid") };
        assert!(cell.times(16).minus(true_value).magnitude() <= mv(16));
    }
}

/// C01 D33: refused outside its bounds, and then nothing changes.
#[test]
fn a_voltage_calibration_outside_its_bounds_is_refused() {
    let mut pack = Setup::new(Profile::Default).started();
    assert!(pack.request(Request::CalibrateVoltage(mv(53_000))).is_err(), "both switches on");
    pack.request(Request::SetCharge(false)).unwrap();
    pack.advance(secs(1));
    assert!(pack.request(Request::CalibrateVoltage(mv(53_000))).is_err(), "one switch on");
    for current in [100, -100, 5_000] {
        let mut pack = ready_to_calibrate();
        pack.current = ma(current);
        pack.steps(2);
        assert!(pack.request(Request::CalibrateVoltage(mv(53_000))).is_err(), "{current} mA");
    }
    let mut pack = ready_to_calibrate();
    pack.current = ma(99);
    pack.steps(2);
    assert!(pack.request(Request::CalibrateVoltage(mv(53_000))).is_ok());
    for wrong in [mv(52_800 + 1_110), mv(52_800 - 1_110), mv(0), mv(-52_800), uv(i32::MAX)] {
        let mut pack = ready_to_calibrate();
        let before = *pack.config();
        assert!(pack.request(Request::CalibrateVoltage(wrong)).is_err(), "{wrong:?}");
        pack.advance(secs(1));
        assert_eq!(*pack.config(), before);
        assert_eq!(pack.status().pack_voltage, Reading::Valid(mv(52_800)));
    }
    let mut pack = ready_to_calibrate();
    pack.invalid_cells = 1;
    pack.step();
    assert!(pack.request(Request::CalibrateVoltage(mv(53_000))).is_err(), "not from an invalid reading");
}

/// D33: the correction is bounded as a whole: two of 1.5 % are 3 %.
#[test]
fn calibrations_do_not_add_up_beyond_the_bound() {
    let mut pack = ready_to_calibrate();
    pack.request(Request::CalibrateVoltage(mv(53_592))).unwrap();
    pack.advance(secs(1));
    assert!(pack.request(Request::CalibrateVoltage(mv(54_396))).is_err());
}

/// C02 D33 D17: the current is calibrated from a true current of at least 5 A, by at most 10 %.
#[test]
fn the_current_is_calibrated_from_a_true_current() {
    for (measured, true_value) in [(10_000, 10_500), (-10_000, -9_100), (5_000, 5_400), (-100_000, -109_000)] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.current = ma(measured);
        pack.steps(3);
        pack.request(Request::CalibrateCurrent(ma(true_value))).unwrap();
        pack.steps(3);
        let Reading::Valid(shown) = pack.status().current else { panic!("valid") };
        assert!(shown.minus(ma(true_value)).magnitude() <= ma(5), "{shown:?} for {true_value}");
    }
}

/// C02 D33: refused outside its bounds, and then nothing changes.
#[test]
fn a_current_calibration_outside_its_bounds_is_refused() {
    for (measured, true_value) in [
        (4_000, 4_100),
        (10_000, 4_999),
        (10_000, 11_200),
        (10_000, 8_800),
        (10_000, -10_000),
        (-10_000, 10_000),
        (0, 10_000),
        (10_000, 0),
        (10_000, i32::MIN),
    ] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.current = ma(measured);
        pack.steps(3);
        let before = *pack.config();
        assert!(pack.request(Request::CalibrateCurrent(ma(true_value))).is_err(), "{measured} → {true_value}");
        pack.steps(3);
        assert_eq!(*pack.config(), before);
        assert_eq!(pack.status().current, Reading::Valid(ma(measured)));
    }
}

/// C02: a calibrated current is what the protections look at.
#[test]
fn the_protections_use_the_calibrated_current() {
    let mut pack = Setup::new(Profile::Manual).set(P::DischargeOvercurrentProtection, 100_000).started();
    pack.current = amps(-100);
    pack.steps(3);
    pack.request(Request::CalibrateCurrent(amps(-105))).unwrap();
    pack.until(secs(32), "105 A", |pack| pack.has(Alarm::DischargeOvercurrent));
    pack.current = Current::ZERO;
    pack.step();
    assert_eq!(pack.status().current, Reading::Valid(Current::ZERO), "a gain, not an offset");
}
