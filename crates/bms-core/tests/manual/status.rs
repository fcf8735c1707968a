//! The status page: T01–T20, D17, D20, D21, and why a switch is open.

use bms_core::bms::Request;
use bms_core::command::LinkLed;
use bms_core::config::{ParameterId, Profile};
use bms_core::event::EventKind;
use bms_core::explain::{Clears, Part, Reason, Which};
use bms_core::measurement::Reading;
use bms_core::protection::Alarm;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::time::{ms, secs};
use bms_core::units::{amps, ma, mv, uv};

use crate::harness::{PROFILES, Presence, Setup, half_full, tenths};

use ParameterId as P;

/// T01: run time since the first start, across resets.
#[test]
fn the_run_time_counts_from_the_first_start() {
    let mut pack = Setup::new(Profile::Default).every(1_000).started();
    let begin = pack.status().run_time_seconds;
    pack.advance(secs(3_600));
    let hour = pack.status().run_time_seconds;
    assert!((3_599..=3_601).contains(&(hour - begin)));
    let mut pack = pack.reset(ResetCause::PowerOn);
    pack.advance(secs(60));
    let later = pack.status().run_time_seconds;
    assert!((hour + 58..=hour + 61).contains(&later), "{hour} → {later}");
}

/// T05 D20 T12 T13 T18: sum of the cells, average, spread, the highest and the lowest cell.
#[test]
fn the_cells_are_summed_up() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cell(6, mv(3_280));
        pack.cell(12, uv(3_310_400));
        pack.step();
        let status = pack.status();
        assert_eq!(status.pack_voltage, Reading::Valid(uv(14 * 3_300_000 + 3_280_000 + 3_310_400)));
        assert_eq!(status.cell_spread, Reading::Valid(uv(30_400)));
        assert_eq!((status.highest_cell, status.lowest_cell), (Some(12), Some(6)));
        let Reading::Valid(average) = status.average_cell else { panic!("valid") };
        assert!(average.minus(uv(3_299_400)).magnitude() <= uv(100), "{average:?}");
        assert_eq!(status.cells.reading(6), Reading::Valid(mv(3_280)));
        assert_eq!(status.cells.reading(16), Reading::NotMeasured);
    }
}

/// T06 T07 D17: + charging, − discharging; the power is never negative.
#[test]
fn current_is_signed_and_power_is_not() {
    let mut pack = Setup::new(Profile::Default).started();
    for (current, milliwatts) in [(amps(10), 528_000), (amps(-10), 528_000), (ma(0), 0), (ma(-1), 52)] {
        pack.current = current;
        pack.steps(2);
        assert_eq!(pack.status().current, Reading::Valid(current));
        let Reading::Valid(power) = pack.status().power else { panic!("valid") };
        assert_eq!(power.as_milliwatts(), milliwatts);
    }
}

/// T02 T03 T04: both switches and the balance switch.
#[test]
fn the_switches_are_shown() {
    let mut pack = Setup::new(Profile::Default).started();
    let shown = |pack: &crate::harness::Pack| {
        let status = pack.status();
        (status.charge.is_closed(), status.discharge.is_closed(), status.switches.balance)
    };
    assert_eq!(shown(&pack), (true, true, true));
    pack.cell(3, mv(2_690));
    pack.request(Request::SetBalance(false)).unwrap();
    pack.advance(secs(1));
    assert_eq!(shown(&pack), (true, false, false));
}

/// T15 T16 T17: the temperatures; "NA" where no sensor is fitted, and never an old value.
#[test]
fn a_missing_sensor_is_not_available() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.t1 = Reading::NotMeasured;
    pack.mos = tenths(415);
    pack.start();
    let status = pack.status();
    assert_eq!(status.battery_temperatures[0], Reading::NotMeasured);
    assert_eq!(status.battery_temperatures[1], tenths(250));
    assert_eq!(status.mos_temperature, tenths(415));
    pack.t2 = Reading::Invalid;
    pack.step();
    assert!(!pack.status().battery_temperatures[1].is_valid());
}

/// T05 T06 X01: a reading that is lost is shown as lost, with its age, never as its last value.
#[test]
fn a_lost_reading_is_shown_as_lost() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.current = amps(-10);
    pack.steps(3);
    pack.cells_group = Presence::NotMeasured;
    pack.current_group = Presence::NotMeasured;
    pack.advance(secs(2));
    let status = pack.status();
    assert!(!status.pack_voltage.is_valid() && !status.current.is_valid() && !status.power.is_valid());
    assert!(!status.average_cell.is_valid() && !status.cell_spread.is_valid());
    assert!(matches!(status.current, Reading::Stale { age } if age >= secs(1)), "{:?}", status.current);
}

/// I04: the link's LED is steady when connected and flashes when not, whatever the pack does.
#[test]
fn the_link_led_shows_the_connection() {
    let mut pack = Setup::new(Profile::Default).pack();
    assert_eq!(pack.step().link_led, LinkLed::Flashing);
    for connected in [true, false, true] {
        pack.set_link_connected(connected);
        let expected = if connected { LinkLed::Steady } else { LinkLed::Flashing };
        pack.step();
        pack.throughout(secs(5), "shown", |pack| pack.command.link_led == expected);
        pack.mos = tenths(800);
        pack.throughout(secs(5), "with an alarm too", |pack| pack.command.link_led == expected);
        pack.mos = tenths(300);
        pack.advance(secs(5));
    }
}

/// T20 D21: the active alarms and the state of charge in thousandths.
#[test]
fn alarms_and_state_of_charge_are_shown() {
    let mut pack =
        Setup::new(Profile::Manual).after_reset(Stored::Snapshot(half_full()), ResetCause::PowerOn).started();
    assert!(pack.status().alarms.is_empty());
    assert_eq!(pack.status().state_of_charge_permille, Reading::Valid(500));
    pack.cell(3, mv(2_690));
    pack.mos = tenths(760);
    pack.advance(secs(2));
    let shown: Vec<_> = pack.status().alarms.iter().collect();
    assert_eq!(shown, [Alarm::CellUndervoltage, Alarm::MosOvertemperature]);
}

/// T20: each alarm and each release is an event with its cell and value, in order.
#[test]
fn alarms_are_events() {
    let mut pack = Setup::new(Profile::Manual).started();
    pack.events.clear();
    pack.cell(3, mv(2_690));
    pack.step();
    let at = pack.now;
    pack.cell(3, mv(3_300));
    pack.step();
    let kinds: Vec<_> = pack.events.iter().map(|event| event.kind).collect();
    let expected = [
        EventKind::Raised { alarm: Alarm::CellUndervoltage, index: Some(3), value: 2_690_000 },
        EventKind::Switched { charge: true, discharge: false },
        EventKind::Cleared { alarm: Alarm::CellUndervoltage },
        EventKind::Switched { charge: true, discharge: true },
    ];
    assert_eq!(kinds, expected);
    assert_eq!(pack.events[0].at, at);
    assert_eq!(pack.bms.events_lost(), 0);
}

/// T20 P18: for each open switch: which alarm, which cell, the value, the threshold, since when, what clears it.
#[test]
fn an_open_switch_is_explained() {
    let mut pack = Setup::new(Profile::Manual).started();
    assert_eq!(pack.bms.explain().count(), 0);
    pack.cell(3, mv(2_690));
    pack.step();
    pack.advance(ms(300));
    let explanations: Vec<_> = pack.bms.explain().collect();
    assert_eq!(explanations.len(), 1);
    assert_eq!(explanations[0].switch, Which::Discharge);
    let Reason::Alarm(reason) = explanations[0].reason else { panic!("{explanations:?}") };
    assert_eq!((reason.alarm, reason.index, reason.part), (Alarm::CellUndervoltage, Some(3), Part::Cell));
    assert_eq!((reason.value, reason.threshold), (Some(2_690_000), 2_700_000));
    assert_eq!(reason.since, ms(300));
    assert_eq!(reason.clears, Clears::Above(2_900_000));
    let text = format!("{}", explanations[0]);
    assert!(text.contains("2.69") && text.contains("2.7") && text.contains("2.9"), "{text}");

    pack.cell(3, mv(3_300));
    pack.request(Request::SetCharge(false)).unwrap();
    pack.steps(2);
    let explanations: Vec<_> = pack.bms.explain().collect();
    assert_eq!(explanations.len(), 1);
    assert_eq!((explanations[0].switch, explanations[0].reason), (Which::Charge, Reason::SwitchedOff));
}

/// T20 P07: a timed release is told with the time that is left.
#[test]
fn the_rest_of_a_release_is_told() {
    let mut pack = Setup::new(Profile::Manual).set(P::DischargeOvercurrentProtection, 100_000).started();
    pack.current = amps(-120);
    pack.until(secs(31), "trips", |pack| pack.has(Alarm::DischargeOvercurrent));
    pack.current = amps(0);
    pack.advance(secs(20));
    let explanation = pack.bms.explain().next().unwrap();
    let Reason::Alarm(reason) = explanation.reason else { panic!("{explanation:?}") };
    assert_eq!(reason.clears, Clears::In(secs(40)));
}

/// T19 W01: n + 1 wires, unknown until tested.
#[test]
fn wires_are_unknown_until_tested() {
    let pack = Setup::new(Profile::Default).started();
    let wires = pack.status().wires;
    assert_eq!(wires.count(), 17);
    assert!((0..18).all(|wire| wires.resistance(wire).is_none() && !wires.is_flagged(wire)));
}
