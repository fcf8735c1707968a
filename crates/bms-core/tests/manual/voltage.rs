//! Cell voltages: P01–P05, P16, P18, D02, D03, D31.

use bms_core::bms::Request;
use bms_core::command::Power;
use bms_core::config::{Chemistry, PARAMETERS, ParameterId, Profile};
use bms_core::event::EventKind;
use bms_core::measurement::Reading;
use bms_core::protection::Alarm;
use bms_core::time::{Duration, secs};
use bms_core::units::{amps, deg_c, ma, mv, uv};

use crate::harness::{Act, Line, PROFILES, Presence, Setup, just_above, just_below, rates};

use ParameterId as P;

/// Every chemistry in both profiles.
fn every_kind() -> impl Iterator<Item = Setup> {
    PROFILES
        .into_iter()
        .flat_map(|profile| Chemistry::ALL.into_iter().map(move |chemistry| Setup::of(chemistry, profile)))
}

/// P01 P02 N01: the manual's story, at the tenth of a millivolt, for each chemistry.
#[test]
fn a_cell_below_uvp_stops_discharging_until_all_cells_exceed_uvpr() {
    for setup in every_kind() {
        let mut pack = setup.started();
        let (protection, recovery) =
            (pack.voltage_of(P::CellUndervoltageProtection), pack.voltage_of(P::CellUndervoltageRecovery));
        let delay = pack.duration_of(P::CellUndervoltageDelay);
        pack.cell(4, protection);
        pack.expect_never(Alarm::CellUndervoltage, secs(65));
        pack.cell(4, just_below(protection));
        pack.expect_trip(Alarm::CellUndervoltage, delay);
        assert_eq!(pack.closed(), (true, false), "charging stays allowed");
        // Above the protection value is not enough, nor exactly at the recovery value.
        for voltage in [protection, just_above(protection), recovery] {
            pack.cell(4, voltage);
            pack.throughout(secs(5), "held until recovery", |pack| pack.closed() == (true, false));
            assert!(pack.has(Alarm::CellUndervoltage));
        }
        // All cells must exceed it.
        pack.cell(9, recovery);
        pack.cell(4, just_above(recovery));
        pack.throughout(secs(5), "one cell is still at the recovery value", |pack| pack.closed() == (true, false));
        pack.cell(9, just_above(recovery));
        pack.step();
        assert!(!pack.has(Alarm::CellUndervoltage));
        assert_eq!(pack.closed(), (true, true));
    }
}

/// P03 P04 N01: the manual's story, at the tenth of a millivolt, for each chemistry.
#[test]
fn a_cell_above_ovp_stops_charging_until_all_cells_are_below_ovpr() {
    for setup in every_kind() {
        let mut pack = setup.started();
        let (protection, recovery) =
            (pack.voltage_of(P::CellOvervoltageProtection), pack.voltage_of(P::CellOvervoltageRecovery));
        let delay = pack.duration_of(P::CellOvervoltageDelay);
        pack.cell(15, protection);
        pack.expect_never(Alarm::CellOvervoltage, secs(65));
        pack.cell(15, just_above(protection));
        pack.expect_trip(Alarm::CellOvervoltage, delay);
        assert_eq!(pack.closed(), (false, true), "discharging stays allowed");
        for voltage in [protection, just_below(protection), recovery] {
            pack.cell(15, voltage);
            pack.throughout(secs(5), "held until recovery", |pack| pack.closed() == (false, true));
            assert!(pack.has(Alarm::CellOvervoltage));
        }
        pack.cell(0, recovery);
        pack.cell(15, just_below(recovery));
        pack.throughout(secs(5), "one cell is still at the recovery value", |pack| pack.closed() == (false, true));
        pack.cell(0, just_below(recovery));
        pack.step();
        assert!(!pack.has(Alarm::CellOvervoltage));
        assert_eq!(pack.closed(), (true, true));
    }
}

/// P01 P03: not only some cell: each one trips alone.
#[test]
fn every_single_cell_trips() {
    for index in 0..16 {
        let mut pack = Setup::new(Profile::Default).started();
        pack.cell(index, mv(2_699));
        pack.advance(secs(1));
        assert_eq!(pack.trips(), [Alarm::CellUndervoltage]);
        let cell = u8::try_from(index).unwrap();
        let named = |event: &EventKind| matches!(event, EventKind::Raised { alarm: Alarm::CellUndervoltage, index, .. } if *index == Some(cell));
        assert!(pack.saw(named), "cell {index} is named");
        let mut pack = Setup::new(Profile::Default).started();
        pack.cell(index, mv(3_601));
        pack.advance(secs(1));
        assert_eq!(pack.trips(), [Alarm::CellOvervoltage]);
    }
}

/// P01 P03 N02 N03 D03: at every sample period, with jitter, and across the wrap of a 32-bit clock.
#[test]
fn voltage_trips_come_at_the_first_step_after_the_delay() {
    for profile in PROFILES {
        for setup in rates(profile) {
            for delay in [0, 500, 3_000, 10_000] {
                let setup = setup.set(P::CellUndervoltageDelay, delay).set(P::CellOvervoltageDelay, delay);
                let delay = Duration::from_millis(u32::try_from(delay).unwrap());
                let mut pack = setup.started();
                pack.advance(secs(25));
                pack.cell(3, mv(2_699));
                pack.expect_trip(Alarm::CellUndervoltage, delay);
                assert_eq!(pack.closed(), (true, false));
                pack.cell(3, mv(3_300));
                pack.step();
                assert_eq!(pack.closed(), (true, true), "released in the step of the recovery");
                pack.cell(3, mv(3_601));
                pack.expect_trip(Alarm::CellOvervoltage, delay);
                assert_eq!(pack.closed(), (false, true));
            }
        }
    }
}

/// N02: the delay counts from the time of the sample, not from the step that brings it.
#[test]
fn the_delay_counts_from_the_time_of_the_first_violating_sample() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.sample_age = 30;
    pack.steps(5);
    pack.cell(3, mv(2_699));
    pack.step();
    let first = pack.now.before(Duration::from_millis(30));
    pack.expect_trip_since(Alarm::CellUndervoltage, first, Duration::from_millis(500));
}

/// N02: a valid sample without violation ends the pending time; the next violation starts it anew.
#[test]
fn a_valid_sample_without_violation_starts_the_delay_anew() {
    let mut pack = Setup::new(Profile::Default).started();
    for _ in 0..20 {
        pack.cell(3, mv(2_690));
        pack.throughout(Duration::from_millis(500), "pending only", |pack| !pack.has(Alarm::CellUndervoltage));
        pack.cell(3, mv(2_700));
        pack.step();
    }
    pack.cell(3, mv(2_690));
    pack.expect_trip(Alarm::CellUndervoltage, Duration::from_millis(500));
}

/// N02: the condition is "any cell": when another cell takes over, the delay goes on.
#[test]
fn a_violation_that_moves_to_another_cell_goes_on() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(3, mv(2_690));
    pack.step();
    let first = pack.now;
    pack.steps(2);
    pack.cell(3, mv(3_300));
    pack.cell(8, mv(2_690));
    pack.step();
    pack.expect_trip_since(Alarm::CellUndervoltage, first, Duration::from_millis(500));
}

/// N02 F7: missing, failed and invalid readings do not end a pending delay; it still trips on time.
#[test]
fn a_gap_does_not_end_a_pending_delay() {
    let gaps: [Act; 5] = [
        |pack| {
            pack.cells_group = Presence::NotMeasured;
            pack.step();
        },
        |pack| {
            pack.cells_group = Presence::Failed;
            pack.step();
        },
        |pack| {
            pack.invalid_cells = 1 << 3;
            pack.step();
        },
        |pack| {
            pack.step_tick();
        },
        |pack| {
            pack.step_lost();
        },
    ];
    for gap in gaps {
        let mut pack = Setup::new(Profile::Default).started();
        pack.cell(3, mv(2_690));
        pack.step();
        let first = pack.now;
        for _ in 0..4 {
            gap(&mut pack);
            assert!(!pack.has(Alarm::CellUndervoltage));
        }
        gap(&mut pack);
        assert_eq!(pack.now.since(first), Duration::from_millis(500));
        assert!(pack.has(Alarm::CellUndervoltage), "the first step at which the delay has passed");
        assert!(!pack.command.discharge.is_closed());
    }
}

/// N02 F3 F7: an invalid or missing reading completes no recovery.
#[test]
fn a_gap_does_not_complete_a_recovery() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cell(3, mv(2_690));
        pack.advance(secs(1));
        assert!(pack.has(Alarm::CellUndervoltage));
        pack.all_cells(mv(3_300));
        pack.cell(3, mv(2_800));
        pack.invalid_cells = 1 << 3;
        pack.throughout(secs(20), "the low cell is only unseen", |pack| pack.has(Alarm::CellUndervoltage));
        pack.invalid_cells = 0;
        pack.cells_group = Presence::NotMeasured;
        pack.throughout(secs(20), "nothing is seen", |pack| pack.has(Alarm::CellUndervoltage));
        pack.cells_group = Presence::Failed;
        pack.throughout(secs(20), "nothing is seen", |pack| pack.has(Alarm::CellUndervoltage));
        pack.cells_group = Presence::Measured;
        pack.throughout(secs(20), "still low", |pack| pack.has(Alarm::CellUndervoltage));
    }
}

/// P01 P03 S02: with any number of cells, the last one counts as the first does.
#[test]
fn every_cell_count_is_protected() {
    for count in 7..=24_u8 {
        let model = bms_core::config::Model::B2a24s20p;
        let config = bms_core::config::Config::li_ion(count).with_profile(Profile::Manual).with_model(model);
        for index in [0, usize::from(count) - 1] {
            let mut pack = Setup::from_config(config).started();
            pack.cell(index, mv(2_899));
            pack.step();
            assert_eq!(pack.closed(), (true, false), "cell {index} of {count}");
            pack.cell(index, mv(4_201));
            pack.step();
            assert!(!pack.command.charge.is_closed(), "cell {index} of {count}");
        }
    }
}

/// D03: the delays, 0–10 s for over-voltage and 0–60 s for under-voltage, 0.5 s by default, none in the manual (N06).
#[test]
fn voltage_delays_have_their_ranges() {
    for (parameter, longest) in [(P::CellOvervoltageDelay, 10_000), (P::CellUndervoltageDelay, 60_000)] {
        let row = parameter.info();
        assert_eq!((row.minimum, row.maximum, row.defaults), (0, longest, [500; 3]));
        assert_eq!(row.manual_profile, Some(0));
    }
}

/// P05 D31: the four voltages are adjustable over 1.2 … 4.35 V, and no further.
#[test]
fn the_cell_voltages_have_the_range_of_the_manual() {
    for parameter in [
        P::CellUndervoltageProtection,
        P::CellUndervoltageRecovery,
        P::CellOvervoltageProtection,
        P::CellOvervoltageRecovery,
    ] {
        let row = PARAMETERS.iter().find(|row| row.id == parameter).unwrap();
        assert_eq!((row.minimum, row.maximum), (1_200_000, 4_350_000), "{}", row.name);
        assert!(row.accepts(1_200_000) && row.accepts(4_350_000));
        assert!(!row.accepts(1_199_999) && !row.accepts(4_350_001) && !row.accepts(0));
    }
}

/// P05: readings from 1 V to 5 V are measurements, in steps of 0.1 mV, well within the 3 mV.
#[test]
fn cells_from_1_to_5_volts_are_measured() {
    let mut pack = Setup::new(Profile::Manual).started();
    for voltage in [mv(1_000), mv(5_000), uv(3_123_400)] {
        pack.cell(2, voltage);
        pack.step();
        assert_eq!(pack.status().cells.reading(2), Reading::Valid(voltage));
    }
}

/// P16 D02: the lowest cell at (not only below) the shutdown value shuts down, after its delay.
#[test]
fn the_lowest_cell_reaching_the_shutdown_value_shuts_down() {
    for setup in every_kind() {
        let mut pack = setup.started();
        pack.settle();
        let (value, delay) = (pack.voltage_of(P::AutoShutdownVoltage), pack.duration_of(P::AutoShutdownDelay));
        pack.cell(11, just_above(value));
        pack.expect_never(Alarm::AutoShutdown, secs(30));
        assert_eq!(pack.command.power, Power::Hold);
        pack.cell(11, value);
        pack.expect_trip(Alarm::AutoShutdown, delay);
        assert!(pack.saw(|event| *event == EventKind::ShuttingDown));
        pack.until(secs(2), "the power goes", |pack| pack.command.power == Power::Release);
        assert_eq!(pack.closed(), (false, false));
    }
}

/// P16: the shutdown value must be lower than the under-voltage protection.
#[test]
fn the_shutdown_value_must_be_lower_than_uvp() {
    for setup in every_kind() {
        let mut pack = setup.started();
        let uvp = pack.config().get(P::CellUndervoltageProtection);
        assert!(pack.set(P::AutoShutdownVoltage, uvp).is_err(), "equal is not lower");
        assert!(pack.set(P::AutoShutdownVoltage, uvp - 1_000).is_ok());
        assert!(pack.set(P::CellUndervoltageProtection, uvp - 1_000).is_err());
        assert_eq!(pack.config().get(P::CellUndervoltageProtection), uvp);
    }
}

/// D02: by the highest cell, as in other editions, when so set.
#[test]
fn the_shutdown_can_follow_the_highest_cell() {
    let mut pack = Setup::new(Profile::Default).set(P::AutoShutdownByHighest, 1).started();
    pack.settle();
    pack.cell(11, mv(2_550));
    pack.expect_never(Alarm::AutoShutdown, secs(30));
    pack.all_cells(mv(2_600));
    pack.expect_trip(Alarm::AutoShutdown, secs(10));
}

/// D02: not while charging: current above 0.2 A, or a charger present, also when the cold inhibits charging.
#[test]
fn no_shutdown_while_charging() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.settle();
        pack.current = ma(201);
        pack.cell(11, mv(2_590));
        pack.expect_never(Alarm::AutoShutdown, secs(60));
        pack.current = ma(200);
        pack.until(secs(11), "200 mA is not charging", |pack| pack.has(Alarm::AutoShutdown));

        let mut pack = Setup::new(profile).started();
        pack.settle();
        pack.inputs.charger = Some(true);
        pack.cell(11, mv(2_590));
        pack.battery(-50);
        pack.throughout(secs(60), "a charger is there", |pack| {
            pack.command.power == Power::Hold && !pack.has(Alarm::AutoShutdown)
        });
        assert!(pack.has(Alarm::ChargeUndertemperature));
        pack.inputs.charger = Some(false);
        pack.until(secs(11), "it is gone", |pack| pack.has(Alarm::AutoShutdown));
    }
}

/// D02 D30: behind an open charge switch a charger shows as more than 0.5 V above the stack.
#[test]
fn a_charger_at_the_terminals_prevents_the_shutdown() {
    for (above, charger) in [(500, false), (501, true)] {
        let mut pack = Setup::new(Profile::Default).board(|board| board.terminal_voltage = true).started();
        pack.settle();
        pack.request(Request::SetCharge(false)).unwrap();
        pack.step();
        pack.cell(11, mv(2_590));
        pack.terminal = Line::Sum(mv(above));
        let mut shut_down = false;
        for _ in 0..120 {
            pack.step();
            shut_down |= pack.has(Alarm::AutoShutdown);
        }
        assert_eq!(shut_down, !charger, "{above} mV");
    }
}

/// D02 N02: an invalid reading or an open wire never shuts the board down.
#[test]
fn no_shutdown_on_an_invalid_reading() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.settle();
        pack.cell(11, mv(0));
        pack.invalid_cells = 1 << 11;
        pack.throughout(secs(60), "stays awake", |pack| pack.command.power == Power::Hold);
        pack.invalid_cells = u32::MAX;
        pack.throughout(secs(60), "stays awake", |pack| pack.command.power == Power::Hold);
        pack.cells_group = Presence::Failed;
        pack.throughout(secs(60), "stays awake", |pack| pack.command.power == Power::Hold);
    }
    let mut pack = Setup::new(Profile::Default).started();
    pack.settle();
    pack.stack = Line::At(pack.sum());
    pack.cell(7, mv(20));
    pack.cell(8, mv(6_550));
    pack.throughout(secs(60), "an open wire", |pack| pack.command.power == Power::Hold);
}

/// D02: at least 60 s awake after a wake.
#[test]
fn no_shutdown_in_the_first_minute_awake() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.all_cells(mv(2_590));
    pack.step();
    pack.throughout(Duration::from_millis(59_800), "awake", |pack| pack.command.power == Power::Hold);
    pack.until(secs(12), "then it shuts down", |pack| pack.command.power == Power::Release);
}

/// D02: the minute counts from the first step, to the tick.
#[test]
fn the_first_minute_ends_after_60_seconds() {
    let mut pack = Setup::new(Profile::Default).set(P::AutoShutdownDelay, 0).pack();
    pack.all_cells(mv(2_590));
    let awake = pack.now;
    pack.until(secs(62), "down", |pack| pack.has(Alarm::AutoShutdown));
    assert!((60_000..=60_100).contains(&pack.now.since(awake).as_millis()), "{:?}", pack.now.since(awake));
}

/// P18: a wrong number of cells opens both switches, says so, and ends when the number is right.
#[test]
fn the_cell_count_must_match() {
    for profile in PROFILES {
        for count in [0, 1, 15, 17, 24, 25, 33, 255] {
            let mut pack = Setup::new(profile).started();
            pack.counted_cells = Some(count);
            pack.step();
            assert_eq!(pack.closed(), (false, false), "{count} cells");
            assert!(pack.has(Alarm::CellCountMismatch));
            pack.throughout(secs(30), "open while it is wrong", |pack| pack.closed() == (false, false));
            pack.counted_cells = None;
            pack.until(secs(10), "closes again", |pack| pack.closed() == (true, true));
            assert!(!pack.has(Alarm::CellCountMismatch));

            let mut pack = Setup::new(profile).pack();
            pack.counted_cells = Some(count);
            pack.throughout(secs(30), "never closes", |pack| pack.closed() == (false, false));
            assert!(pack.has(Alarm::CellCountMismatch), "{count} cells from the start");
        }
    }
}

/// P18 S02: a wrongly configured cell count is found too, and the right one ends it.
#[test]
fn a_wrongly_configured_cell_count_is_found() {
    let mut pack = Setup::new(Profile::Manual).started();
    pack.set(P::CellCount, 15).unwrap();
    pack.throughout(secs(5), "open", |pack| pack.closed() == (false, false));
    assert!(pack.has(Alarm::CellCountMismatch));
    pack.set(P::CellCount, 16).unwrap();
    pack.start();
}

/// P01 P03 P17: the two are independent: a pack with a low and a high cell may do neither.
#[test]
fn over_and_under_voltage_together_open_both() {
    let mut pack = Setup::new(Profile::Manual).started();
    pack.cell(0, mv(2_690));
    pack.cell(1, mv(3_610));
    pack.step();
    assert_eq!(pack.closed(), (false, false));
    pack.cell(0, mv(3_300));
    pack.step();
    assert_eq!(pack.closed(), (false, true));
}

/// D32 P01: charging an empty pack works: it recovers through its charger.
#[test]
fn an_empty_pack_can_be_charged() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).pack();
        pack.all_cells(mv(2_650));
        pack.mos = Reading::Valid(deg_c(20));
        pack.until(secs(3), "charging is allowed", |pack| pack.closed() == (true, false));
        pack.current = amps(4);
        pack.all_cells(mv(2_901));
        pack.until(secs(1), "recovered", |pack| pack.closed() == (true, true));
    }
}

/// P03 D32: a front end whose bus is stuck reads the end of the range in every cell, from the first scan on.
#[test]
fn cells_pinned_at_the_end_of_the_range_are_overvoltage() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).pack();
        pack.all_cells(uv(6_553_500));
        for _ in 0..100 {
            pack.step();
            assert!(!pack.closed().0, "{}", pack.story());
        }
        assert!(pack.has(Alarm::CellOvervoltage), "{}", pack.story());
    }
}
