//! Currents: P06–P11, D07–D09, X05, X06, N04, N05.

use bms_core::config::{Config, Model, PARAMETERS, ParameterId, Profile, Rule, Violation};
use bms_core::protection::Alarm;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{Current, ah, amps, ma, mv};

use crate::harness::{PROFILES, Pack, Presence, Setup, and_one_ma, rates};

use ParameterId as P;

/// The over-current of a direction: alarm, sign, parameters, and the switches that stay closed.
struct Direction {
    alarm: Alarm,
    sign: i32,
    maximum: P,
    delay: P,
    release: P,
    open: (bool, bool),
}

const DIRECTIONS: [Direction; 2] = [
    Direction {
        alarm: Alarm::ChargeOvercurrent,
        sign: 1,
        maximum: P::ChargeOvercurrentProtection,
        delay: P::ChargeOvercurrentDelay,
        release: P::ChargeOvercurrentRelease,
        open: (false, true),
    },
    Direction {
        alarm: Alarm::DischargeOvercurrent,
        sign: -1,
        maximum: P::DischargeOvercurrentProtection,
        delay: P::DischargeOvercurrentDelay,
        release: P::DischargeOvercurrentRelease,
        open: (true, false),
    },
];

/// The manual's example: 10 A while charging, 100 A while discharging, 10 s delay, 50 s release.
fn example(setup: Setup, direction: &Direction) -> (Setup, Current) {
    let maximum = if direction.sign > 0 { amps(10) } else { amps(100) };
    let setup = setup
        .set(direction.maximum, maximum.as_milliamps())
        .set(direction.delay, 10_000)
        .set(direction.release, 50_000);
    (setup, maximum)
}

/// P06 P07 P08 P09 N01 N02 N03 N04: the manual's two examples, at every sample period, with jitter, across 2^32 ms.
#[test]
fn the_manuals_overcurrent_examples() {
    for profile in PROFILES {
        for setup in rates(profile) {
            for direction in &DIRECTIONS {
                let (setup, maximum) = example(setup, direction);
                let mut pack = setup.started();
                pack.current = maximum.times(direction.sign);
                pack.expect_never(direction.alarm, secs(12));
                pack.current = and_one_ma(maximum).times(direction.sign);
                let raised = pack.expect_trip(direction.alarm, secs(10));
                assert_eq!(pack.closed(), direction.open);
                pack.current = Current::ZERO;
                pack.expect_release(direction.alarm, raised, secs(50));
                assert_eq!(pack.closed(), (true, true), "turned on again");
            }
        }
    }
}

/// P06 P08 N02: a valid sample at or below the maximum starts the delay anew; a gap does not.
#[test]
fn the_overcurrent_must_be_continuous() {
    for direction in &DIRECTIONS {
        let (setup, maximum) = example(Setup::new(Profile::Default), direction);
        let mut pack = setup.started();
        for _ in 0..5 {
            pack.current = and_one_ma(maximum).times(direction.sign);
            pack.throughout(ms(9_900), "not yet", |pack| !pack.has(direction.alarm));
            pack.current = maximum.times(direction.sign);
            pack.step();
        }
        pack.current = and_one_ma(maximum).times(direction.sign);
        pack.step();
        let first = pack.now;
        for _ in 0..30 {
            pack.current_group = Presence::Measured;
            pack.step();
            pack.current_group = Presence::NotMeasured;
            pack.steps(2);
            pack.current_group = Presence::Failed;
            pack.step();
        }
        pack.current_group = Presence::Failed;
        assert!(pack.now.since(first) > secs(10) && pack.has(direction.alarm));
        let mut pack = example(Setup::new(Profile::Default), direction).0.started();
        pack.current = and_one_ma(maximum).times(direction.sign);
        pack.step();
        let first = pack.now;
        pack.steps(94);
        pack.current_group = Presence::Failed;
        pack.step();
        pack.expect_trip_since(direction.alarm, first, secs(10));
    }
}

/// P06 P08 P17: the current of one direction never trips the other.
#[test]
fn overcurrent_is_of_one_direction() {
    for (direction, other) in [(&DIRECTIONS[0], &DIRECTIONS[1]), (&DIRECTIONS[1], &DIRECTIONS[0])] {
        let mut pack = Setup::new(Profile::Manual).set(direction.maximum, 10_000).set(other.maximum, 200_000).started();
        pack.current = amps(100).times(direction.sign);
        pack.expect_never(other.alarm, secs(40));
        assert!(pack.has(direction.alarm));
        assert_eq!(pack.closed(), direction.open);
    }
}

/// P07 P09 P11: releases are adjustable from 2 to 120 s, defaults 60 s; D08: delays from 1 to 600 s, defaults 30 s.
#[test]
fn current_delays_and_releases_have_the_ranges_of_the_manual() {
    let row = |id: P| PARAMETERS.iter().find(|row| row.id == id).unwrap();
    for id in [P::ChargeOvercurrentRelease, P::DischargeOvercurrentRelease, P::ShortCircuitRelease] {
        assert_eq!((row(id).minimum, row(id).maximum, row(id).defaults), (2_000, 120_000, [60_000; 3]));
    }
    for id in [P::ChargeOvercurrentDelay, P::DischargeOvercurrentDelay] {
        assert_eq!((row(id).minimum, row(id).maximum, row(id).defaults), (1_000, 600_000, [30_000; 3]));
    }
    for release in [2, 120] {
        for direction in &DIRECTIONS {
            let setup = example(Setup::new(Profile::Manual), direction).0.set(direction.release, release * 1_000);
            let mut pack = setup.started();
            pack.current = amps(150).times(direction.sign);
            let raised = pack.expect_trip(direction.alarm, secs(10));
            pack.current = Current::ZERO;
            pack.expect_release(direction.alarm, raised, secs(u32::try_from(release).unwrap()));
        }
    }
}

/// P10 D31: the trip current is adjustable from 10 A to the model's continuous rating.
#[test]
fn the_overcurrent_range_is_the_models() {
    for model in Model::ALL {
        let rating = model.ratings().continuous.as_milliamps();
        for (parameter, rule) in [
            (P::ChargeOvercurrentProtection, Rule::ChargeCurrentOfModel),
            (P::DischargeOvercurrentProtection, Rule::DischargeCurrentOfModel),
        ] {
            let cells = model.ratings().most_cells;
            let config = Config::lifepo4(cells).with_model(model).with_capacity(ah(280));
            for value in [10_000, rating] {
                assert!(config.with(parameter, value).validate().is_ok(), "{model:?} {value}");
            }
            for value in [9_999, rating + 1] {
                let violations = config.with(parameter, value).validate().unwrap_err();
                assert!(violations.iter().any(|violation| violation == Violation::Rule(rule)), "{model:?} {value}");
            }
        }
    }
}

/// D07: the default is the model's continuous rating; without a model the caller must state the currents, from 0.1 A.
#[test]
fn without_a_model_the_currents_must_be_stated() {
    for model in Model::ALL {
        let config = Config::li_ion(8).with_model(model);
        let rating = model.ratings().continuous.as_milliamps();
        assert_eq!(config.get(P::ChargeOvercurrentProtection), rating);
        assert_eq!(config.get(P::DischargeOvercurrentProtection), rating);
    }
    let config = Config::lifepo4(16);
    let missing = config.validate().unwrap_err();
    for parameter in [P::ChargeOvercurrentProtection, P::DischargeOvercurrentProtection] {
        assert!(missing.iter().any(|violation| violation.names(parameter)));
    }
    let with = |current| config.with_charge_limit(current, secs(30)).with_discharge_limit(current, secs(30)).validate();
    assert!(with(ma(100)).is_ok());
    assert!(with(ma(99)).is_err());
}

/// D08: delays from 1 s to 600 s.
#[test]
fn the_longest_overcurrent_delay_works() {
    let mut pack = Setup::new(Profile::Manual)
        .every(1_000)
        .set(P::DischargeOvercurrentDelay, 600_000)
        .set(P::DischargeOvercurrentProtection, 100_000)
        .started();
    for refused in [0, 999, 601_000] {
        assert!(pack.set(P::DischargeOvercurrentDelay, refused).is_err());
    }
    pack.current = amps(-101);
    pack.expect_trip(Alarm::DischargeOvercurrent, secs(600));
}

/// N04: the alarm may be active while its switch is already open, and is released all the same.
#[test]
fn an_overcurrent_alarm_needs_no_closed_switch() {
    let mut pack = Setup::new(Profile::Manual).set(P::DischargeOvercurrentProtection, 100_000).started();
    pack.cell(3, mv(2_690));
    pack.step();
    assert_eq!(pack.closed(), (true, false));
    pack.current = amps(-101);
    let raised = pack.expect_trip(Alarm::DischargeOvercurrent, secs(30));
    pack.current = Current::ZERO;
    pack.expect_release(Alarm::DischargeOvercurrent, raised, secs(60));
    assert_eq!(pack.closed(), (true, false), "the under-voltage still holds");
    pack.cell(3, mv(3_300));
    pack.step();
    assert_eq!(pack.closed(), (true, true));
}

/// N06 P07 P09: in the profile of the manual the over-current tries again for ever.
#[test]
fn the_manual_retries_without_end() {
    for direction in &DIRECTIONS {
        let mut pack = example(Setup::new(Profile::Manual).every(1_000), direction).0.started();
        for _ in 0..20 {
            pack.current = amps(150).times(direction.sign);
            let raised = pack.expect_trip(direction.alarm, secs(10));
            pack.current = Current::ZERO;
            pack.expect_release(direction.alarm, raised, secs(50));
            assert_eq!(pack.closed(), (true, true));
        }
    }
}

/// The short circuit, until released; gives the time of the alarm.
fn shorted(pack: &mut Pack) -> Instant {
    pack.short = true;
    pack.step();
    assert_eq!(pack.closed(), (false, false), "both open in the step that sees the latch");
    assert!(pack.has(Alarm::ShortCircuit));
    pack.now
}

/// P11 D09: both switches open at once, and close after the release time, once the latch is re-armed.
#[test]
fn a_short_circuit_opens_both_and_is_released_after_its_time() {
    for profile in PROFILES {
        for setup in rates(profile) {
            let mut pack = setup.set(P::ShortCircuitRelease, 20_000).started();
            let raised = shorted(&mut pack);
            pack.short = false;
            let period = u32::try_from(pack.config().get(P::SamplePeriod)).unwrap();
            while pack.closed() != (true, true) {
                pack.step();
                let passed = pack.now.since(raised);
                assert!(
                    passed >= secs(20) || (pack.closed() == (false, false) && pack.has(Alarm::ShortCircuit)),
                    "not before its time"
                );
                // The latch may be re-armed just before, while both gates are still commanded open.
                assert!(
                    !pack.command.clear_latch || passed.plus(ms(2 * period)) >= secs(20),
                    "the latch holds as long"
                );
                assert!(passed <= secs(20).plus(ms(4 * period)), "released after its time");
            }
            assert!(!pack.has(Alarm::ShortCircuit) && !pack.latched);
        }
    }
}

/// D09 P11: while the short circuit is there, the latch holds and nothing closes over it, however long.
#[test]
fn nothing_closes_over_the_latch() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        shorted(&mut pack);
        pack.throughout(secs(300), "the short is still there", |pack| {
            pack.closed() == (false, false) && pack.has(Alarm::ShortCircuit)
        });
    }
}

/// D09 F5: a latch that was set before the start is respected.
#[test]
fn a_latch_set_at_the_start_is_respected() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).pack();
        pack.latched = true;
        pack.step();
        assert!(pack.has(Alarm::ShortCircuit));
        pack.throughout(secs(59), "open for the release time", |pack| pack.closed() == (false, false));
        pack.until(secs(5), "released", |pack| pack.closed() == (true, true));
    }
}

/// X05 P09: the second level opens the discharge switch within 0.3 s above the model's maximum discharge current.
#[test]
fn the_second_discharge_level() {
    for setup in rates(Profile::Default) {
        let mut pack = setup.started();
        assert_eq!(pack.config().get(P::SevereDischargeCurrent), 350_000, "the model's maximum");
        pack.current = amps(-350);
        pack.expect_never(Alarm::SevereDischargeOvercurrent, secs(5));
        pack.current = ma(-350_001);
        let raised = pack.expect_trip(Alarm::SevereDischargeOvercurrent, ms(300));
        assert_eq!(pack.closed(), (true, false));
        pack.current = Current::ZERO;
        pack.expect_release(Alarm::SevereDischargeOvercurrent, raised, secs(60));
        assert_eq!(pack.closed(), (true, true));
    }
}

/// X05: its delay is adjustable from 0.01 to 2 s.
#[test]
fn the_second_discharge_level_has_its_own_delay() {
    for delay in [10, 2_000] {
        let mut pack = Setup::new(Profile::Default).every(1).set(P::SevereDischargeDelay, delay).started();
        pack.current = amps(-351);
        pack.expect_trip(Alarm::SevereDischargeOvercurrent, ms(u32::try_from(delay).unwrap()));
    }
    let mut pack = Setup::new(Profile::Default).started();
    for refused in [9, 2_001] {
        assert!(pack.set(P::SevereDischargeDelay, refused).is_err());
    }
    assert!(pack.set(P::SevereDischargeCurrent, 350_001).is_err(), "above the model's maximum (D31)");
    assert!(pack.set(P::SevereDischargeCurrent, 0).is_ok(), "can be switched off");
}

/// X06 P07: above 1.5 times the charge limit the charge switch opens within 1 s.
#[test]
fn the_second_charge_level() {
    for setup in rates(Profile::Default) {
        let mut pack = setup.set(P::ChargeOvercurrentProtection, 100_000).started();
        pack.current = amps(150);
        pack.expect_never(Alarm::SevereChargeOvercurrent, secs(5));
        pack.current = ma(150_001);
        let raised = pack.expect_trip(Alarm::SevereChargeOvercurrent, secs(1));
        assert_eq!(pack.closed(), (false, true));
        pack.current = Current::ZERO;
        pack.expect_release(Alarm::SevereChargeOvercurrent, raised, secs(60));
        assert_eq!(pack.closed(), (true, true));
    }
}

/// X06 N01: 1.5 times a limit that is no round number: 10.5 A gives 15.75 A.
#[test]
fn the_second_charge_level_is_exact() {
    let mut pack = Setup::new(Profile::Default).set(P::ChargeOvercurrentProtection, 10_500).started();
    pack.current = ma(15_750);
    pack.expect_never(Alarm::SevereChargeOvercurrent, secs(5));
    pack.current = ma(15_751);
    pack.expect_trip(Alarm::SevereChargeOvercurrent, secs(1));
}

/// N06 X05 X06: the profile of the manual has no second levels.
#[test]
fn the_manual_has_no_second_levels() {
    let mut pack = Setup::new(Profile::Manual).started();
    for current in [amps(-1_000), amps(1_000)] {
        pack.current = current;
        pack.throughout(secs(20), "only the manual's 30 s", |pack| pack.trips().is_empty());
        pack.current = Current::ZERO;
        pack.step();
    }
}

/// N05 P08: current samples a thousand times a second against cells ten times a second.
#[test]
fn current_may_be_sampled_faster_than_the_cells() {
    let mut pack = Setup::new(Profile::Default).every(1).set(P::DischargeOvercurrentDelay, 1_000).started();
    pack.current = amps(-201);
    pack.step();
    let first = pack.now;
    for count in 0_u32.. {
        pack.cells_group = if count % 100 == 0 { Presence::Measured } else { Presence::NotMeasured };
        pack.temperatures_group = pack.cells_group;
        let due = pack.now.since(first) >= Duration::from_millis(1_000);
        assert_eq!(pack.has(Alarm::DischargeOvercurrent), due);
        if due {
            break;
        }
        pack.step();
    }
    assert_eq!(pack.closed(), (true, false));
}
