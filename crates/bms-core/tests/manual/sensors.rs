//! Trust in the measurements: X01–X04, D16.

use bms_core::config::{Chemistry, ParameterId, Profile, SensorPolicy, Warning};
use bms_core::measurement::{Group, Reading};
use bms_core::protection::Alarm;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::mv;

use crate::harness::{Line, PROFILES, Pack, Presence, Setup, rates, tenths};

use ParameterId as P;

/// Ways to lose a channel: (what, the alarm, the stale time at a sample period).
type Loss = (fn(&mut Pack, Presence), Alarm, fn(u32) -> u32);

const CHANNELS: [Loss; 3] = [
    (|pack, presence| pack.cells_group = presence, Alarm::CellDataLost, |period| (3 * period).max(1_000)),
    (|pack, presence| pack.current_group = presence, Alarm::CurrentDataLost, |period| (3 * period).max(1_000)),
    (|pack, presence| pack.temperatures_group = presence, Alarm::TemperatureDataLost, |_| 10_000),
];

/// X01 F5 F6: each channel, stale or failing, opens both switches within its time, in both profiles; never earlier.
#[test]
fn lost_data_open_both_switches() {
    for profile in PROFILES {
        for period in [7, 100, 1_000] {
            for (lose, alarm, stale) in CHANNELS {
                for presence in [Presence::NotMeasured, Presence::Failed] {
                    let mut pack = Setup::new(profile).every(period).started();
                    let last = pack.now;
                    lose(&mut pack, presence);
                    let stale = ms(stale(period));
                    // A required sensor that should have been read and was not is a fault of its own after 1 s (X02).
                    let sensors = alarm == Alarm::TemperatureDataLost && presence == Presence::Failed;
                    while pack.now.since(last) < stale {
                        let age = pack.now.since(last);
                        assert!(!pack.has(alarm), "{alarm} {age:?} after the last");
                        assert!(pack.closed() == (true, true) || (sensors && age >= secs(1)), "{alarm} {age:?}");
                        pack.step();
                    }
                    assert!(pack.has(alarm), "{alarm} is {:?} old", pack.now.since(last));
                    assert_eq!(pack.closed(), (false, false));
                    pack.throughout(secs(60), "stays open", |pack| pack.closed() == (false, false));
                    lose(&mut pack, Presence::Measured);
                    pack.step();
                    let valid = pack.now;
                    while pack.now.since(valid) < secs(5) {
                        assert_eq!(pack.closed(), (false, false), "5 s of valid data");
                        pack.step();
                    }
                    pack.until(ms(3 * period), "forgiven", |pack| pack.closed() == (true, true));
                    assert!(!pack.has(alarm));
                }
            }
        }
    }
}

/// X01 F6: a sampler that fails as a whole, or delivers nothing, loses every channel.
#[test]
fn a_dead_sampler_opens_both_switches() {
    for profile in PROFILES {
        for dead in [Pack::step_lost as fn(&mut Pack) -> _, Pack::step_tick] {
            let mut pack = Setup::new(profile).started();
            for _ in 0..9 {
                dead(&mut pack);
                assert_eq!(pack.closed(), (true, true));
            }
            dead(&mut pack);
            assert_eq!(pack.closed(), (false, false));
            for _ in 0..200 {
                dead(&mut pack);
                assert_eq!(pack.closed(), (false, false));
            }
        }
    }
}

/// X01: a repeated time stamp is no new measurement: a frozen front end goes stale.
#[test]
fn a_repeated_sample_goes_stale() {
    let mut pack = Setup::new(Profile::Default).started();
    let frozen = pack.sample();
    for _ in 0..10 {
        pack.sleep(ms(100));
        pack.step_with(&frozen);
    }
    assert_eq!(pack.closed(), (false, false));
    assert!(pack.has(Alarm::CellDataLost) && pack.has(Alarm::CurrentDataLost));
}

/// X01: repeated, older and future time stamps are no measurements, for each group on its own.
#[test]
fn only_new_measurements_count() {
    // What the stamp of the group is, from now and from the last good one.
    let stamps: [fn(Instant, Instant) -> Instant; 3] =
        [|_, last| last, |_, last| last.before(ms(50)), |now, _| now.after(ms(1))];
    for stamp in stamps {
        for (channel, (_, alarm, stale)) in CHANNELS.into_iter().enumerate() {
            let mut pack = Setup::new(Profile::Default).started();
            let last = pack.now;
            while pack.now.since(last) < ms(stale(100)) {
                assert!(!pack.has(alarm));
                pack.sleep(ms(100));
                let mut sample = pack.sample();
                let at = stamp(pack.now, last);
                match channel {
                    0 => sample.cells = restamped(sample.cells, at),
                    1 => sample.current = restamped(sample.current, at),
                    _ => sample.temperatures = restamped(sample.temperatures, at),
                }
                pack.step_with(&sample);
            }
            assert!(pack.has(alarm), "{alarm}");
            assert_eq!(pack.closed(), (false, false));
        }
    }
}

fn restamped<T>(group: Group<T>, at: Instant) -> Group<T> {
    match group {
        Group::Measured { value, .. } => Group::at(at, value),
        other => other,
    }
}

/// X01: one invalid cell is lost cell data; the others do not make up for it (F3, F7).
#[test]
fn one_invalid_cell_is_lost_data() {
    for profile in PROFILES {
        for index in [0, 7, 15] {
            let mut pack = Setup::new(profile).started();
            pack.invalid_cells = 1 << index;
            pack.throughout(ms(900), "not before", |pack| pack.closed() == (true, true));
            pack.step();
            assert_eq!(pack.closed(), (false, false));
            assert!(pack.has(Alarm::CellDataLost));
        }
    }
}

/// X01: discharging may end later than charging, when so set, by at most 10 s.
#[test]
fn discharging_may_outlast_lost_data() {
    let mut pack = Setup::new(Profile::Default).set(P::DischargeLostGrace, 10_000).started();
    let last = pack.now;
    pack.cells_group = Presence::Failed;
    while pack.now.since(last) < secs(11) {
        pack.step();
        let age = pack.now.since(last);
        assert_eq!(pack.closed(), (age < secs(1), age < secs(11)), "{age:?}");
    }
    assert!(pack.has(Alarm::DataLostLong));
    assert!(pack.set(P::DischargeLostGrace, 10_001).is_err());
}

/// X01 N02: an interruption completes no recovery of lost data.
#[test]
fn lost_data_are_forgiven_only_by_valid_data() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cells_group = Presence::Failed;
    pack.advance(secs(2));
    pack.cells_group = Presence::Measured;
    pack.advance(ms(4_500));
    pack.cells_group = Presence::Failed;
    pack.throughout(secs(20), "not by invalid data", |pack| pack.closed() == (false, false));
}

/// X01 N02: a silence does not count as valid data, however soon good data follow it.
#[test]
fn a_silence_does_not_count_as_valid_data() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cells_group = Presence::Failed;
    pack.advance(secs(2));
    pack.cells_group = Presence::Measured;
    pack.step();
    pack.cells_group = Presence::NotMeasured;
    pack.advance(secs(6));
    pack.cells_group = Presence::Measured;
    pack.throughout(ms(4_900), "5 s of valid data", |pack| pack.closed() == (false, false));
    pack.until(ms(500), "forgiven", |pack| pack.closed() == (true, true));
}

/// X04 P02 F3: an open wire hides its cells: an under-voltage elsewhere is not released meanwhile.
#[test]
fn an_open_wire_completes_no_recovery() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(3, mv(2_690));
    pack.until(secs(1), "the alarm", |pack| pack.has(Alarm::CellUndervoltage));
    pack.cell(3, mv(3_300));
    open_wire(&mut pack, 8, 9);
    pack.throughout(secs(30), "two cells are unseen", |pack| pack.has(Alarm::CellUndervoltage));
}

/// X02 D16: a sensor that is invalid or out of −45 … 125 °C for 1 s opens what it protects; 5 s valid release it.
#[test]
fn a_broken_temperature_sensor_opens() {
    let broken = [Reading::Invalid, tenths(-451), tenths(1_251)];
    for show in broken {
        for (alarm, which) in
            [(Alarm::BatterySensorFault, 0), (Alarm::BatterySensorFault, 1), (Alarm::MosSensorFault, 2)]
        {
            let mut pack = Setup::new(Profile::Default).started();
            let set = |pack: &mut Pack, reading| match which {
                0 => pack.t1 = reading,
                1 => pack.t2 = reading,
                _ => pack.mos = reading,
            };
            set(&mut pack, show);
            pack.expect_trip(alarm, secs(1));
            assert_eq!(pack.closed(), (false, false), "{alarm} {show:?}");
            set(&mut pack, tenths(250));
            pack.step();
            let valid = pack.now;
            pack.expect_release(alarm, valid, secs(5));
            pack.until(ms(300), "closes again", |pack| pack.closed() == (true, true));
        }
    }
}

/// X02 N01: −45.0 and 125.0 °C are still temperatures.
#[test]
fn the_ends_of_the_sensor_range_are_temperatures() {
    for (shown, trip) in [(-450, Alarm::ChargeUndertemperature), (1_250, Alarm::DischargeOvertemperature)] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.battery(shown);
        pack.expect_never(Alarm::BatterySensorFault, secs(5));
        assert!(pack.has(trip));
    }
}

/// X02 D16: the switches' sensor is required in any profile; without it nothing closes.
#[test]
fn the_switch_sensor_is_always_required() {
    for profile in PROFILES {
        for reading in [Reading::Invalid, Reading::NotMeasured] {
            let mut pack = Setup::new(profile).pack();
            pack.mos = reading;
            pack.throughout(secs(60), "never closes", |pack| pack.closed() == (false, false));
            let mut pack = Setup::new(profile).started();
            pack.mos = reading;
            pack.until(secs(11), "opens", |pack| pack.closed() == (false, false));
        }
    }
}

/// D16 T16 T17: an optional sensor may be absent ("NA"); once seen it is required; one that is not fitted is ignored.
#[test]
fn an_optional_sensor_is_required_once_seen() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.t2 = Reading::NotMeasured;
    pack.start();
    pack.throughout(secs(30), "absent", |pack| pack.closed() == (true, true));
    assert_eq!(pack.status().battery_temperatures[1], Reading::NotMeasured);
    pack.t2 = tenths(200);
    pack.advance(secs(2));
    assert_eq!(pack.status().battery_temperatures[1], tenths(200));
    pack.t2 = Reading::Invalid;
    pack.expect_trip(Alarm::BatterySensorFault, secs(1));

    let mut pack = Setup::new(Profile::Default).board(|board| board.sensors[1] = SensorPolicy::NotFitted).pack();
    pack.t2 = tenths(900);
    pack.start();
    pack.t2 = Reading::Invalid;
    pack.throughout(secs(30), "ignored", |pack| pack.closed() == (true, true));
}

/// X02 D16: a required sensor that was never there keeps everything open.
#[test]
fn a_required_sensor_must_be_there() {
    for absent in [Reading::NotMeasured, Reading::Invalid] {
        let mut pack = Setup::new(Profile::Default).board(|board| board.sensors[0] = SensorPolicy::Required).pack();
        pack.t1 = absent;
        pack.throughout(secs(60), "open", |pack| pack.closed() == (false, false));
    }
}

/// D16: without any battery sensor validation warns, and there is no balancing; switching them off is out of reach of links.
#[test]
fn without_battery_sensors_there_is_a_warning_and_no_balancing() {
    let mut pack = Setup::new(Profile::Default)
        .board(|board| board.sensors = [SensorPolicy::NotFitted; bms_core::measurement::BATTERY_SENSORS])
        .started();
    assert!(pack.config().warnings().contains(Warning::NoBatterySensor));
    pack.all_cells(mv(3_420));
    pack.cell(3, mv(3_450));
    pack.throughout(secs(60), "no balancing", |pack| !pack.balancing());
    assert_eq!(pack.closed(), (true, true));
}

/// X03: a stack voltage that differs from the sum by more than n × 3 mV + 1 % for 2 s; within for 5 s releases.
#[test]
fn the_stack_voltage_must_agree_with_the_cells() {
    for sign in [-1, 1] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.stack = Line::Sum(mv(560 * sign));
        pack.expect_never(Alarm::StackMismatch, secs(20));
        pack.stack = Line::Sum(mv(600 * sign));
        pack.expect_trip(Alarm::StackMismatch, secs(2));
        assert_eq!(pack.closed(), (false, false));
        pack.stack = Line::Sum(mv(0));
        pack.step();
        let within = pack.now;
        pack.expect_release(Alarm::StackMismatch, within, secs(5));
        assert_eq!(pack.closed(), (true, true));
    }
    let mut pack = Setup::new(Profile::Manual).started();
    pack.stack = Line::Sum(mv(5_000));
    pack.throughout(secs(20), "not in the manual", |pack| pack.closed() == (true, true));
}

/// Shows the readings that an open wire between two cells gives: one near nothing, its neighbour near double.
fn open_wire(pack: &mut Pack, low: usize, high: usize) {
    let double = pack.cells[low].plus(pack.cells[high]);
    pack.stack = Line::At(pack.sum());
    pack.cell(low, mv(30));
    pack.cell(high, double.minus(mv(30)));
}

/// X04: an open sense wire opens everything at the third sample, and never counts as under- or over-voltage.
#[test]
fn an_open_wire_is_no_cell_voltage() {
    for period in [7, 100, 1_000] {
        for (low, high) in [(4, 5), (5, 4), (0, 1), (15, 14)] {
            let mut pack = Setup::new(Profile::Default).every(period).started();
            let sound = (pack.cells.clone(), pack.stack);
            open_wire(&mut pack, low, high);
            pack.steps(2);
            assert!(!pack.has(Alarm::OpenWire), "three samples");
            pack.step();
            assert!(pack.has(Alarm::OpenWire), "cells {low}, {high}, period {period}");
            assert_eq!(pack.closed(), (false, false));
            pack.throughout(secs(60), "not a voltage", |pack| {
                !pack.has(Alarm::CellUndervoltage)
                    && !pack.has(Alarm::CellOvervoltage)
                    && !pack.has(Alarm::AutoShutdown)
                    && !pack.has(Alarm::DeepDischarge)
                    && !pack.has(Alarm::Abuse)
                    && pack.closed() == (false, false)
            });
            (pack.cells, pack.stack) = sound;
            pack.until(secs(30), "the retest passes", |pack| pack.closed() == (true, true));
            assert!(!pack.has(Alarm::OpenWire));
        }
    }
}

/// X04: an end wire has no neighbour, and a neighbour may saturate; the sum against the stack tells.
#[test]
fn end_wires_and_saturated_neighbours_are_found_by_the_sum() {
    for end in [0, 15] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.stack = Line::At(pack.sum());
        pack.cell(end, mv(0));
        pack.until(secs(2), "found", |pack| pack.has(Alarm::OpenWire));
        assert_eq!(pack.closed(), (false, false));
        pack.throughout(secs(60), "not a voltage", |pack| {
            !pack.has(Alarm::CellUndervoltage) && !pack.has(Alarm::DeepDischarge)
        });
    }
    let mut pack = Setup::of(Chemistry::LiIon, Profile::Default).started();
    pack.all_cells(mv(4_050));
    pack.step();
    pack.stack = Line::At(pack.sum());
    pack.cell(7, mv(10));
    pack.cell(8, mv(5_000));
    pack.until(secs(2), "found", |pack| pack.has(Alarm::OpenWire));
    pack.throughout(secs(60), "not a voltage", |pack| !pack.has(Alarm::CellOvervoltage) && !pack.has(Alarm::Abuse));
}

/// X04 P01: a cell below 1.0 V whose stack agrees is a dead cell, not a wire.
#[test]
fn a_dead_cell_is_no_open_wire() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(6, mv(500));
    pack.throughout(secs(10), "not a wire", |pack| !pack.has(Alarm::OpenWire));
    assert!(pack.has(Alarm::CellUndervoltage) && pack.has(Alarm::DeepDischarge));
}

/// N06 X04: in the profile of the manual it is what it reads: under- and over-voltage.
#[test]
fn the_manual_knows_no_open_wires() {
    let mut pack = Setup::new(Profile::Manual).started();
    open_wire(&mut pack, 4, 5);
    pack.step();
    assert!(pack.has(Alarm::CellUndervoltage) && pack.has(Alarm::CellOvervoltage) && !pack.has(Alarm::OpenWire));
}

/// X01 N03: at every rate, cells lost for good open within their time.
#[test]
fn lost_cells_open_at_every_rate() {
    for setup in rates(Profile::Default) {
        let mut pack = setup.started();
        let last = pack.now;
        let period = u32::try_from(pack.config().get(P::SamplePeriod)).unwrap();
        let stale: Duration = ms((3 * period).max(1_000));
        pack.cells_group = Presence::NotMeasured;
        while pack.now.since(last) < stale {
            pack.step();
        }
        assert_eq!(pack.closed(), (false, false));
    }
}
