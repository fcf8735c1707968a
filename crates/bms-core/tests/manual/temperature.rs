//! Temperatures: P12–P15, N05, D01, D11–D13, I06.

use bms_core::config::{Chemistry, Config, Model, PARAMETERS, ParameterId, Profile, Scope};
use bms_core::measurement::Reading;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::{Duration, ms, secs};
use bms_core::units::{ah, amps, deg_c};

use crate::harness::{PROFILES, Pack, Setup, rates, tenths};

use ParameterId as P;

/// N05: 1 s; N06: the manual knows no temperature delay.
fn delay(profile: Profile) -> Duration {
    match profile {
        Profile::Manual => ms(0),
        Profile::Default => secs(1),
    }
}

/// One row of the manual's temperatures: where it trips, which way, where it recovers, what stays closed.
struct Row {
    alarm: Alarm,
    protection: i32,
    recovery: i32,
    /// +1: too warm, −1: too cold.
    unsafe_way: i32,
    closed: (bool, bool),
}

/// The rows of a chemistry, with charging and discharging apart so that each is seen alone.
fn rows(chemistry: Chemistry) -> [Row; 3] {
    let (cold, thawed) = if chemistry == Chemistry::LiFePo4 { (0, 50) } else { (-200, -100) };
    [
        Row {
            alarm: Alarm::ChargeOvertemperature,
            protection: 600,
            recovery: 550,
            unsafe_way: 1,
            closed: (false, true),
        },
        Row {
            alarm: Alarm::DischargeOvertemperature,
            protection: 600,
            recovery: 550,
            unsafe_way: 1,
            closed: (true, false),
        },
        Row {
            alarm: Alarm::ChargeUndertemperature,
            protection: cold,
            recovery: thawed,
            unsafe_way: -1,
            closed: (false, true),
        },
    ]
}

/// The preset, except that the over-temperature of the other direction is moved out of the way.
fn setup_for(row: &Row, chemistry: Chemistry, profile: Profile) -> Setup {
    let setup = Setup::of(chemistry, profile);
    match row.alarm {
        Alarm::ChargeOvertemperature => setup.set(P::DischargeOvertemperatureProtection, 800),
        Alarm::DischargeOvertemperature => setup.set(P::ChargeOvertemperatureProtection, 800),
        _ => setup,
    }
}

/// Shows a temperature on one of the two sensors.
fn show(pack: &mut Pack, sensor: usize, tenths_of_degree: i32) {
    if sensor == 0 {
        pack.t1 = tenths(tenths_of_degree);
    } else {
        pack.t2 = tenths(tenths_of_degree);
    }
}

/// P12 P13 P14 N01 N05 I06: trip beyond, recovery within, on either sensor, to the tenth of a degree.
#[test]
fn battery_temperatures_stop_one_direction_until_all_sensors_recover() {
    for profile in PROFILES {
        for chemistry in Chemistry::ALL {
            for row in rows(chemistry) {
                for sensor in [0, 1] {
                    let mut pack = setup_for(&row, chemistry, profile).started();
                    // The spread warning of X08 is not what is looked at: both sensors go along.
                    pack.battery(row.protection);
                    pack.expect_never(row.alarm, secs(5));
                    show(&mut pack, sensor, row.protection + row.unsafe_way);
                    pack.expect_trip(row.alarm, delay(profile));
                    assert_eq!(pack.closed(), row.closed, "{:?}", row.alarm);
                    for held in [row.protection, row.recovery] {
                        show(&mut pack, sensor, held);
                        pack.throughout(secs(5), "held until recovery", |pack| {
                            pack.has(row.alarm) && pack.closed() == row.closed
                        });
                    }
                    // All must recover: the other one is still at its old value.
                    show(&mut pack, sensor, row.recovery - row.unsafe_way);
                    pack.throughout(secs(5), "the other sensor is not there yet", |pack| pack.has(row.alarm));
                    show(&mut pack, 1 - sensor, row.recovery - row.unsafe_way);
                    pack.step();
                    assert!(!pack.has(row.alarm));
                    assert_eq!(pack.closed(), (true, true));
                }
            }
        }
    }
}

/// P12 P14 P15 N02 N03 N05: the delay of temperatures, at every sample period, with jitter, across 2^32 ms.
#[test]
fn temperature_trips_come_at_the_first_step_after_the_delay() {
    for profile in PROFILES {
        for setup in rates(profile) {
            let mut pack = setup.started();
            pack.battery(601);
            pack.expect_trip(Alarm::ChargeOvertemperature, delay(profile));
            assert!(pack.has(Alarm::DischargeOvertemperature));
            pack.battery(-1);
            pack.expect_trip(Alarm::ChargeUndertemperature, delay(profile));
            pack.battery(250);
            pack.mos = tenths(751);
            pack.expect_trip(Alarm::MosOvertemperature, delay(profile));
            assert_eq!(pack.closed(), (false, false));
        }
    }
}

/// P15 D01 N01: warm switches open both; above 75 °C, until below 70 °C.
#[test]
fn warm_switches_open_both() {
    for profile in PROFILES {
        for chemistry in Chemistry::ALL {
            let mut pack = Setup::of(chemistry, profile).started();
            pack.mos = tenths(750);
            pack.expect_never(Alarm::MosOvertemperature, secs(5));
            pack.mos = tenths(751);
            pack.expect_trip(Alarm::MosOvertemperature, delay(profile));
            assert_eq!(pack.closed(), (false, false));
            pack.mos = tenths(700);
            pack.throughout(secs(5), "held", |pack| pack.closed() == (false, false));
            pack.mos = tenths(699);
            pack.step();
            assert!(!pack.has(Alarm::MosOvertemperature));
            assert_eq!(pack.closed(), (true, true));
        }
    }
}

/// P15 D01: a board rating of 50–110 °C; not modifiable in service; 65 °C is a valid recovery.
#[test]
fn the_switch_temperature_is_a_rating_of_the_board() {
    for parameter in [P::MosOvertemperatureProtection, P::MosOvertemperatureRecovery] {
        let row = PARAMETERS.iter().find(|row| row.id == parameter).unwrap();
        assert_eq!(row.scope, Scope::Board);
        let mut pack = Setup::new(Profile::Default).started();
        let before = *pack.config();
        for value in [row.minimum, 650, 720, row.maximum] {
            assert!(pack.set(parameter, value).is_err(), "{} in service", row.name);
        }
        assert_eq!(*pack.config(), before);
    }
    let config = |protection, recovery| {
        Config::lifepo4(16)
            .with_model(Model::B2a24s20p)
            .with(P::MosOvertemperatureProtection, protection)
            .with(P::MosOvertemperatureRecovery, recovery)
            .validate()
            .is_ok()
    };
    assert!(config(750, 650), "the manual's text");
    assert!(config(500, 450) && config(1_100, 1_000));
    assert!(!config(499, 450) && !config(1_101, 1_000));
    assert!(!config(700, 700), "the recovery must be lower");
    let mut pack = Setup::new(Profile::Manual).set(P::MosOvertemperatureRecovery, 650).started();
    pack.mos = tenths(751);
    pack.advance(secs(2));
    pack.mos = tenths(650);
    pack.throughout(secs(5), "held", |pack| pack.closed() == (false, false));
    pack.mos = tenths(649);
    pack.step();
    assert_eq!(pack.closed(), (true, true));
}

/// D11: discharge low-temperature is off by default; on, −20 → −10 °C.
#[test]
fn discharging_in_the_cold_is_protected_only_when_asked() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.battery(-390);
        pack.throughout(secs(10), "off by default", |pack| pack.command.discharge.is_closed());
        let mut pack = Setup::new(profile).set(P::DischargeUndertemperature, 1).started();
        pack.battery(-200);
        pack.expect_never(Alarm::DischargeUndertemperature, secs(5));
        pack.t2 = tenths(-201);
        pack.expect_trip(Alarm::DischargeUndertemperature, delay(profile));
        assert!(!pack.command.discharge.is_closed());
        pack.battery(-100);
        pack.throughout(secs(5), "held", |pack| !pack.command.discharge.is_closed());
        pack.battery(-99);
        pack.step();
        assert!(pack.command.discharge.is_closed());
    }
}

/// D12: whether or not current flows; opening the switch does not re-arm it.
#[test]
fn charge_temperatures_are_checked_with_and_without_current() {
    for profile in PROFILES {
        for current in [-50, 0, 50] {
            let mut pack = Setup::new(profile).set(P::DiodeBypassCurrent, 0).started();
            pack.current = amps(current);
            pack.battery(-1);
            pack.step();
            pack.expect_trip_since(Alarm::ChargeUndertemperature, pack.now, delay(profile));
            pack.current = amps(current.min(0));
            pack.throughout(secs(60), "no oscillation", |pack| pack.closed() == (false, true));
        }
    }
}

/// D13 P14: Li-ion may be charged down to −20 °C; validation warns, and below 0 °C the charge limit is 0.05 C.
#[test]
fn li_ion_charges_slowly_in_the_cold() {
    use bms_core::config::Warning;
    let mut pack = Setup::of(Chemistry::LiIon, Profile::Default).started();
    assert!(pack.config().warnings().contains(Warning::ChargingBelowFreezing));
    pack.battery(0);
    pack.advance(secs(2));
    assert_eq!(pack.command.limits.charge_current, amps(200));
    pack.t2 = tenths(-1);
    pack.advance(secs(2));
    assert_eq!(pack.command.limits.charge_current, amps(14), "0.05 C of 280 Ah");
    assert_eq!(pack.closed(), (true, true));
    pack.t2 = tenths(-199);
    pack.advance(secs(2));
    assert_eq!(pack.closed(), (true, true));
    pack.battery(100);
    // Near the protection value the limit had fallen; it comes back slowly.
    pack.advance(secs(300));
    assert_eq!(pack.command.limits.charge_current, amps(200));
    for chemistry in [Chemistry::LiFePo4, Chemistry::Lto] {
        let config = Config::preset(chemistry, 16).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated();
        assert!(!config.warnings().contains(Warning::ChargingBelowFreezing), "{chemistry:?}");
    }
}

/// I06 T15 T16 T17: three temperatures are reported: battery 1, battery 2 and the switches.
#[test]
fn three_temperatures_are_reported() {
    let mut pack = Setup::new(Profile::Manual).started();
    (pack.t1, pack.t2, pack.mos) = (tenths(-155), tenths(211), tenths(333));
    pack.step();
    let status = pack.status();
    assert_eq!(status.battery_temperatures[0], tenths(-155));
    assert_eq!(status.battery_temperatures[1], tenths(211));
    assert_eq!(status.mos_temperature, tenths(333));
    pack.t1 = Reading::Valid(deg_c(60));
    pack.step();
    assert_eq!(pack.status().battery_temperatures[0], Reading::Valid(deg_c(60)));
}

/// F8 F2: temperatures are watched all the time, not only at the start, and the coldest sensor counts for the cold.
#[test]
fn temperatures_are_watched_all_the_time() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).every(1_000).started();
        pack.advance(secs(3_600));
        (pack.t1, pack.t2) = (tenths(-200), tenths(250));
        pack.advance(secs(3));
        assert!(pack.has(Alarm::ChargeUndertemperature));
        assert_eq!(pack.closed(), (false, true));
        pack.t1 = tenths(250);
        pack.advance(secs(3));
        pack.t2 = tenths(650);
        pack.advance(secs(3));
        assert_eq!(pack.closed(), (false, false));
    }
}

/// D16 N02: after a reset, a restored temperature alarm does not end because the sensor that raised it is gone.
#[test]
fn a_restored_temperature_alarm_needs_the_sensors_that_were_seen() {
    for profile in PROFILES {
        let setup = Setup::new(profile);
        let mut pack = setup.started();
        pack.t1 = tenths(700);
        pack.until(secs(5), "trips", |pack| pack.has(Alarm::ChargeOvertemperature));
        let snapshot = pack.bms.snapshot();
        assert_eq!(snapshot.sensors_seen, 0b11);
        let mut pack = setup.after_reset(Stored::Snapshot(snapshot), ResetCause::PowerOn).pack();
        pack.t1 = Reading::Invalid;
        pack.throughout(secs(60), "T1 is gone, T2 is cool", |pack| {
            pack.has(Alarm::ChargeOvertemperature) && !pack.closed().0
        });
        pack.t1 = tenths(549);
        pack.until(secs(10), "both are cool", |pack| !pack.has(Alarm::ChargeOvertemperature));
        // Without such an alarm an absent optional sensor shows "NA", as after any start.
        let calm = Snapshot { alarms: AlarmSet::EMPTY, ..snapshot };
        let mut pack = setup.after_reset(Stored::Snapshot(calm), ResetCause::PowerOn).pack();
        pack.t1 = Reading::NotMeasured;
        pack.start();
    }
}
