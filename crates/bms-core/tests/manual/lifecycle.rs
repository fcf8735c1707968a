//! Start, wake, shutdown and resets: A01, A02, D02, D32, X18, X20, N07, laws 1 and 7.

use bms_core::bms::Request;
use bms_core::command::{Beep, Power};
use bms_core::config::{Chemistry, Config, Model, ParameterId, Profile, Warning};
use bms_core::event::EventKind;
use bms_core::measurement::{Group, Reading};
use bms_core::port::ErrorKind;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{ah, amps, deg_c, mv};

use crate::harness::{Act, Line, PROFILES, Pack, Presence, Setup, half_full, tenths};

use ParameterId as P;

fn everything_off(pack: &Pack) -> bool {
    pack.closed() == (false, false) && !pack.balancing() && !pack.heating() && !pack.command.precharge.is_on(pack.now)
}

/// D32 law 1: with any part of the required readings missing since the start, nothing closes; complete, both do.
#[test]
fn nothing_closes_before_a_complete_valid_sample() {
    for profile in PROFILES {
        for missing in 1_u32..32 {
            let mut pack = Setup::new(profile).pack();
            let hide = |pack: &mut Pack| {
                let mut sample = pack.sample();
                if missing & 1 != 0 {
                    sample.cells = Group::NotMeasured;
                }
                if missing & 2 != 0 {
                    sample.current = Group::NotMeasured;
                }
                if missing & 4 != 0 {
                    sample.temperatures = Group::NotMeasured;
                }
                if let (true, Group::Measured { value, .. }) = (missing & 8 != 0, &mut sample.cells) {
                    value.invalidate(7);
                }
                if let (true, Group::Measured { value, .. }) = (missing & 16 != 0, &mut sample.temperatures) {
                    value.mos = Reading::Invalid;
                }
                sample
            };
            for _ in 0..600 {
                pack.sleep(ms(100));
                let sample = hide(&mut pack);
                pack.step_with(&sample);
                assert!(everything_off(&pack), "missing {missing:05b}");
            }
        }
        let mut pack = Setup::new(profile).pack();
        assert!(everything_off(&pack), "before the first step");
        pack.until(secs(2), "complete", |pack| pack.closed() == (true, true));
    }
}

/// D32: the groups may come one after the other; the last one completes the sample.
#[test]
fn the_groups_may_arrive_one_by_one() {
    let mut pack = Setup::new(Profile::Default).pack();
    for step in 0..3 {
        assert!(everything_off(&pack));
        pack.sleep(ms(100));
        let mut sample = pack.sample();
        if step != 0 {
            sample.cells = Group::NotMeasured;
        }
        if step != 1 {
            sample.current = Group::NotMeasured;
        }
        if step != 2 {
            sample.temperatures = Group::NotMeasured;
        }
        pack.step_with(&sample);
    }
    pack.until(secs(2), "complete", |pack| pack.closed() == (true, true));
}

/// D32: a limit that is exceeded keeps its switch open from the first sample, its delay still running.
#[test]
fn nothing_closes_while_a_delay_is_running() {
    let cases: [(Act, (bool, bool)); 6] = [
        (|pack| pack.cell(3, mv(2_690)), (false, true)),
        (|pack| pack.cell(3, mv(3_610)), (true, false)),
        (|pack| pack.battery(-10), (true, false)),
        (|pack| pack.battery(650), (true, true)),
        (|pack| pack.mos = tenths(800), (true, true)),
        (|pack| pack.current = amps(-250), (false, true)),
    ];
    for (cause, (charge_open, discharge_open)) in cases {
        let setup = Setup::new(Profile::Default)
            .set(P::CellUndervoltageDelay, 60_000)
            .set(P::CellOvervoltageDelay, 10_000)
            .set(P::TemperatureDelay, 60_000)
            .set(P::DiodeBypassCurrent, 0);
        let mut pack = setup.pack();
        cause(&mut pack);
        pack.throughout(secs(9), "the limit is exceeded", |pack| {
            let (charge, discharge) = pack.closed();
            (!charge || !charge_open) && (!discharge || !discharge_open)
        });
    }
}

/// A01 I05: it beeps when it wakes, once, and says that it started.
#[test]
fn it_beeps_at_wake() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).pack();
        let mut beeps = u32::from(pack.command.beep == Beep::Awake);
        for _ in 0..600 {
            pack.step();
            beeps += u32::from(pack.command.beep == Beep::Awake);
        }
        assert_eq!(beeps, 1);
        assert!(pack.saw(|event| *event == EventKind::Started));
    }
}

/// A board with terminal voltage whose power was released; the supply is still there.
fn asleep() -> Pack {
    let mut pack = Setup::new(Profile::Default).board(|board| board.terminal_voltage = true).started();
    pack.request(Request::Shutdown).unwrap();
    pack.until(secs(5), "released", |pack| pack.command.power == Power::Release);
    pack.events.clear();
    pack
}

/// A01: it wakes when a charger lifts the terminal 5 V above the battery, on the activation input, when C− is pulled below B−.
#[test]
fn it_wakes_on_each_of_the_manuals_causes() {
    let causes: [Act; 3] = [
        |pack| pack.terminal = Line::Sum(mv(5_100)),
        |pack| pack.inputs.activation = true,
        |pack| pack.inputs.reverse_wake = true,
    ];
    for cause in causes {
        let mut pack = asleep();
        pack.advance(secs(2));
        assert_eq!(pack.command.power, Power::Release);
        cause(&mut pack);
        let mut beeped = false;
        for _ in 0..10 {
            pack.step();
            beeped |= pack.command.beep == Beep::Awake;
        }
        assert!(beeped && pack.command.power == Power::Hold);
        assert!(pack.saw(|event| *event == EventKind::Started));
    }
    let mut pack = asleep();
    pack.terminal = Line::Sum(mv(4_900));
    pack.throughout(secs(8), "5 V", |pack| pack.command.power == Power::Release);
}

/// D02: switches, balancer and heater off; then the snapshot stored; then the power hold released.
#[test]
fn the_shutdown_has_an_order() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.all_cells(mv(3_420));
    pack.cell(3, mv(3_450));
    pack.until(secs(10), "balancing", Pack::balancing);
    pack.stores_snapshots = false;
    pack.request(Request::Shutdown).unwrap();
    pack.step();
    assert!(everything_off(&pack));
    pack.until(secs(1), "asks for the snapshot", |pack| pack.saw(|event| *event == EventKind::ShuttingDown));
    pack.throughout(ms(500), "not before it is stored", |pack| {
        pack.command.power == Power::Hold && everything_off(pack)
    });
    pack.snapshot_stored();
    pack.until(secs(1), "stored", |pack| pack.command.power == Power::Release);
}

/// D02: when the supply is still there after 10 s, it starts anew.
#[test]
fn it_starts_anew_when_the_supply_stays() {
    let mut pack = asleep();
    let released = pack.now;
    pack.until(secs(12), "anew", |pack| pack.command.power == Power::Hold);
    assert!(pack.now.since(released) >= secs(10));
    pack.until(secs(5), "closes", |pack| pack.closed() == (true, true));
    // After an automatic shutdown it stays awake a minute, and goes down again.
    let mut pack = Setup::new(Profile::Default).started();
    pack.settle();
    pack.all_cells(mv(2_590));
    pack.until(secs(12), "down", |pack| pack.command.power == Power::Release);
    pack.until(secs(12), "anew", |pack| pack.command.power == Power::Hold);
    pack.throughout(secs(59), "a minute awake", |pack| {
        pack.command.power == Power::Hold && !pack.command.discharge.is_closed()
    });
    pack.until(secs(15), "down again", |pack| pack.command.power == Power::Release);
}

/// X18: after brown-out, watchdog or an unknown reset everything stays open for the short-circuit release time.
#[test]
fn an_abnormal_reset_holds_off() {
    for (cause, holds) in [
        (ResetCause::PowerOn, false),
        (ResetCause::BrownOut, true),
        (ResetCause::Watchdog, true),
        (ResetCause::Unknown, true),
    ] {
        for stored in [Stored::Nothing, Stored::Snapshot(half_full())] {
            let mut pack =
                Setup::new(Profile::Default).set(P::ShortCircuitRelease, 20_000).after_reset(stored, cause).pack();
            let first = pack.now;
            pack.until(secs(25), "closes", |pack| pack.closed() == (true, true));
            let waited = pack.now.since(first);
            assert!(if holds { waited >= secs(20) } else { waited <= secs(2) }, "{cause:?}: {waited:?}");
            assert_eq!(pack.saw(|event| matches!(event, EventKind::Raised { alarm: Alarm::ResetHoldOff, .. })), holds);
            let mut pack = Setup::new(Profile::Manual).after_reset(stored, cause).pack();
            pack.until(secs(2), "not in the manual", |pack| pack.closed() == (true, true));
        }
    }
}

/// D32 law 7: restored alarms hold to their recovery; timed ones start their release anew.
#[test]
fn restored_alarms_hold_to_their_recovery() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cell(3, mv(2_690));
        pack.advance(secs(1));
        pack.cell(3, mv(2_850));
        let mut pack = pack.reset(ResetCause::PowerOn);
        pack.throughout(secs(30), "between protection and recovery", |pack| {
            pack.closed() != (true, true) && !pack.command.discharge.is_closed()
        });
        pack.cell(3, mv(2_901));
        pack.until(secs(2), "recovered", |pack| pack.closed() == (true, true));

        let mut pack = Setup::new(profile).started();
        pack.current = amps(-201);
        pack.until(secs(31), "over-current", |pack| pack.has(Alarm::DischargeOvercurrent));
        pack.current = amps(0);
        pack.advance(secs(40));
        let mut pack = pack.reset(ResetCause::PowerOn);
        let first = pack.now;
        pack.until(secs(62), "released", |pack| pack.command.discharge.is_closed());
        assert!(pack.now.since(first) >= secs(60), "a reset never shortens a release");
    }
}

/// Law 7 law 5 R04: restored battery and switch temperatures hold to their recovery too.
#[test]
fn every_level_alarm_survives_a_reset() {
    let cases: [(Alarm, Act); 5] = [
        (Alarm::CellOvervoltage, |pack| pack.all_cells(mv(3_550))),
        (Alarm::ChargeOvertemperature, |pack| pack.battery(570)),
        (Alarm::DischargeOvertemperature, |pack| pack.battery(570)),
        (Alarm::ChargeUndertemperature, |pack| pack.battery(20)),
        (Alarm::MosOvertemperature, |pack| pack.mos = tenths(720)),
    ];
    for (alarm, between) in cases {
        let stored = Stored::Snapshot(Snapshot { alarms: AlarmSet::of(&[alarm]), ..half_full() });
        let mut pack = Setup::new(Profile::Default).after_reset(stored, ResetCause::PowerOn).pack();
        between(&mut pack);
        pack.throughout(secs(30), "held", |pack| pack.has(alarm) && pack.closed() != (true, true));
    }
}

/// Law 7: a corrupt store keeps the pack open and says so, until it is configured again; corrupt counters do not.
#[test]
fn a_corrupt_store_stays_open() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).after_reset(Stored::Corrupt, ResetCause::PowerOn).pack();
        pack.throughout(secs(120), "open", everything_off);
        assert!(pack.has(Alarm::StorageCorrupt));
        let mut pack = Setup::new(profile).after_reset(Stored::CountersCorrupt, ResetCause::PowerOn).pack();
        pack.until(secs(2), "protection goes on", |pack| pack.closed() == (true, true));
    }
}

/// N07: a change of chemistry or cell count re-enters start-up with everything open.
#[test]
fn a_change_of_chemistry_or_cell_count_starts_anew() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        let mut config = pack.config().to_config().with_preset(Chemistry::LiIon);
        config = config.with(P::CellUndervoltageProtection, 2_900_000);
        pack.reconfigure(config.validated()).unwrap();
        pack.step();
        assert!(everything_off(&pack), "a change of chemistry");
        pack.all_cells(mv(3_700));
        pack.until(secs(5), "started anew", |pack| pack.closed() == (true, true));
        pack.set(P::CellCount, 15).unwrap();
        pack.step();
        assert!(everything_off(&pack), "a change of the cell count");
        pack.cells.truncate(15);
        pack.until(secs(10), "started anew", |pack| pack.closed() == (true, true));
    }
}

/// N07 law 6: a change of a limit neither closes a switch in its own step nor clears an alarm.
#[test]
fn a_parameter_change_clears_nothing() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cell(3, mv(2_690));
        pack.advance(secs(1));
        pack.set(P::CellUndervoltageProtection, 2_650_000).unwrap();
        pack.step();
        assert!(pack.has(Alarm::CellUndervoltage), "it holds to its recovery");
        pack.throughout(secs(10), "held", |pack| pack.closed() == (true, false));
        pack.set(P::CellUndervoltageRecovery, 2_680_000).unwrap();
        assert!(!pack.bms.command().discharge.is_closed());
        pack.until(secs(2), "recovers by the new value", |pack| pack.closed() == (true, true));
        let mut pack = Setup::new(profile).started();
        pack.current = amps(-201);
        pack.until(secs(31), "over-current", |pack| pack.has(Alarm::DischargeOvercurrent));
        pack.current = amps(0);
        pack.set(P::DischargeOvercurrentDelay, 60_000).unwrap();
        pack.step();
        assert!(pack.has(Alarm::DischargeOvercurrent));
    }
}

/// X20: a failed self-test opens everything until it passes.
#[test]
fn a_failed_self_test_opens_everything() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.inputs.self_test_failed = true;
        pack.step();
        assert!(everything_off(&pack) && pack.has(Alarm::SelfTestFailed));
        pack.throughout(secs(60), "while it fails", everything_off);
        pack.inputs.self_test_failed = false;
        pack.until(secs(10), "passes", |pack| pack.closed() == (true, true));
    }
}

/// X20: a step that comes later than the stale time opens everything; within it nothing happens.
#[test]
fn a_late_step_opens_everything() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.sleep(ms(700));
        pack.step();
        assert_eq!(pack.closed(), (true, true), "0.8 s");
        pack.sleep(ms(1_500));
        pack.step();
        assert!(everything_off(&pack) && pack.has(Alarm::StepLate));
        pack.until(secs(20), "in time again", |pack| pack.closed() == (true, true));
    }
}

/// X20 F9: time that goes back is a fault; nothing closes on it, nothing trips early or hangs.
#[test]
fn time_that_goes_back_is_a_fault() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).starting_at(1_000_000).started();
        pack.now = Instant::from_millis(pack.now.as_millis() - 10_000);
        pack.step();
        assert!(everything_off(&pack) && pack.has(Alarm::TimeWentBack));
        pack.until(secs(120), "goes on after it", |pack| pack.closed() == (true, true));
    }
}

/// X20: a clock that stands still while scans come in is a fault and earns no watchdog token: no delay would ever end.
#[test]
fn time_that_stands_still_is_a_fault() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        let healthy = |pack: &Pack| pack.bms.is_healthy();
        // The first one still comes with new time.
        pack.step();
        for _ in 0..8 {
            let sample = pack.sample();
            pack.step_with(&sample);
            assert!(healthy(&pack) && pack.closed() == (true, true), "a few steps in one millisecond are nothing");
        }
        let sample = pack.sample();
        pack.step_with(&sample);
        assert!(everything_off(&pack) && pack.has(Alarm::TimeWentBack) && !healthy(&pack));
        for _ in 0..200 {
            let sample = pack.sample();
            pack.step_with(&sample);
            assert!(everything_off(&pack), "nothing recovers while no time passes");
        }
        pack.until(secs(120), "goes on after it", |pack| pack.closed() == (true, true) && healthy(pack));
    }
}

/// X20: the limits are compared with their redundant copy; sound ones never raise the alarm.
#[test]
fn sound_limits_are_never_called_corrupt() {
    let mut pack = Setup::new(Profile::Default).started();
    for parameter in [P::CellUndervoltageDelay, P::BalanceCurrent, P::DischargeOvercurrentProtection] {
        let value = pack.config().get(parameter);
        pack.set(parameter, value - 100).unwrap();
        pack.expect_never(Alarm::LimitsCorrupt, secs(5));
    }
}

/// A02 D15: a supply outside 20 … 100 V is warned of, not refused.
#[test]
fn supplies_outside_the_manuals_are_warned_of() {
    let warnings = |config: Config| config.with_model(Model::B2a24s20p).with_capacity(ah(100)).validated().warnings();
    assert!(warnings(Config::li_ion(24)).contains(Warning::SupplyAbove100Volts), "24 × 4.2 V");
    assert!(!warnings(Config::li_ion(23)).contains(Warning::SupplyAbove100Volts));
    assert!(warnings(Config::li_ion(7)).contains(Warning::SupplyBelow20Volts), "7 × 2.8 V");
    assert!(!warnings(Config::li_ion(8)).contains(Warning::SupplyBelow20Volts));
}

/// A02: −30 … 70 °C are temperatures like others: protection works there, no sensor is called broken.
#[test]
fn it_works_from_minus_30_to_70_degrees() {
    for degrees in [-30, 70] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.battery(degrees * 10);
        pack.mos = Reading::Valid(deg_c(degrees));
        pack.throughout(secs(30), "no sensor fault", |pack| {
            !pack.has(Alarm::BatterySensorFault)
                && !pack.has(Alarm::MosSensorFault)
                && !pack.has(Alarm::MosOvertemperature)
        });
    }
}

/// F5 X10: an output that could not be written is a fault, not ignored; it recovers when it works again.
#[test]
fn a_failed_output_is_a_fault() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.output = Err(ErrorKind::Bus);
    pack.steps(3);
    assert!(pack.has(Alarm::OutputFailed));
    assert_eq!(pack.closed(), (false, false));
    pack.throughout(secs(10), "while it fails", |pack| pack.closed() == (false, false));
    pack.output = Ok(());
    pack.until(secs(60), "works again", |pack| pack.closed() == (true, true));
}

/// N02: `deadline` is always ahead, and no farther than the stale time.
#[test]
fn the_deadline_is_ahead() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.throughout(secs(30), "ahead", |pack| {
        let deadline = pack.bms.deadline();
        deadline > pack.now && deadline.since(pack.now) <= Duration::from_millis(1_000)
    });
}

/// D32 N02 law 2: a step that lacks a required reading closes nothing, also when a release ends in it.
#[test]
fn a_release_in_a_gap_closes_only_with_the_next_sample() {
    let gaps: [Act; 6] = [
        |pack| {
            pack.step_lost();
        },
        |pack| {
            pack.step_tick();
        },
        |pack| {
            pack.cells_group = Presence::Failed;
            pack.step();
            pack.cells_group = Presence::Measured;
        },
        |pack| {
            pack.current_group = Presence::Failed;
            pack.step();
            pack.current_group = Presence::Measured;
        },
        |pack| {
            pack.temperatures_group = Presence::Failed;
            pack.step();
            pack.temperatures_group = Presence::Measured;
        },
        |pack| {
            pack.invalid_cells = 1;
            pack.step();
            pack.invalid_cells = 0;
        },
    ];
    for profile in PROFILES {
        for gap in gaps {
            let mut pack = Setup::new(profile).set(P::DischargeOvercurrentRelease, 2_000).started();
            pack.current = amps(-201);
            pack.until(secs(31), "over-current", |pack| pack.has(Alarm::DischargeOvercurrent));
            pack.current = amps(0);
            pack.steps(17);
            for _ in 0..6 {
                gap(&mut pack);
                assert!(!pack.command.discharge.is_closed(), "a gap closes nothing");
            }
            pack.until(secs(1), "the next samples do", |pack| pack.closed() == (true, true));
        }
    }
}

/// R04 law 5 N06: a sound pack in use raises nothing and switches nothing, for hours, in any configuration.
#[test]
fn a_sound_pack_raises_nothing() {
    for profile in PROFILES {
        for chemistry in Chemistry::ALL {
            let mut pack = Setup::of(chemistry, profile).every(1_000).started();
            pack.events.clear();
            for step in 0..7_200_i32 {
                pack.current = amps((step * 37) % 300 - 150);
                let lift = (step * 7_919) % 5;
                pack.all_cells(crate::harness::content(chemistry).plus(mv(lift)));
                pack.battery(150 + (step / 60) % 100);
                pack.step();
                assert!(
                    pack.alarms().is_empty(),
                    "{chemistry:?} {profile:?}: {:?}",
                    pack.alarms().iter().collect::<Vec<_>>()
                );
            }
            assert_eq!(pack.closed(), (true, true));
            assert!(pack.events.is_empty(), "{:?}", pack.events);
        }
    }
}
