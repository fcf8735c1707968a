//! The switches: P17, S10, X10–X12, X17, X19, X21, D09, D29, D30, N07.

use bms_core::bms::{Refusal, Request};
use bms_core::command::{Power, Switch};
use bms_core::config::{ParameterId, Profile, Topology};
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{Current, Voltage, amps, ma, mv};

use crate::harness::{Act, Line, PROFILES, Pack, Setup, tenths};

use ParameterId as P;

/// P17 S10 T02 T03: each switch is on only while its user switch is on; the two are independent.
#[test]
fn the_user_switches_are_independent() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        for (charge, discharge) in [(false, true), (true, false), (false, false), (true, true), (false, false)] {
            pack.request(Request::SetCharge(charge)).unwrap();
            pack.request(Request::SetDischarge(discharge)).unwrap();
            pack.advance(secs(2));
            assert_eq!(pack.closed(), (charge, discharge));
            let status = pack.status();
            assert_eq!((status.charge.is_closed(), status.discharge.is_closed()), (charge, discharge));
            assert_eq!((status.switches.charge, status.switches.discharge), (charge, discharge));
        }
    }
}

/// S10: switching off acts in the very next step.
#[test]
fn switching_off_acts_at_once() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.request(Request::SetCharge(false)).unwrap();
    pack.step();
    assert_eq!(pack.closed(), (false, true));
    pack.request(Request::SetDischarge(false)).unwrap();
    pack.step();
    assert_eq!(pack.closed(), (false, false));
}

/// N07 P17: a request never closes a switch in its own step, never clears an alarm, never overrides one (law 6).
#[test]
fn a_request_overrides_nothing() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.request(Request::SetCharge(false)).unwrap();
        pack.request(Request::SetDischarge(false)).unwrap();
        pack.steps(5);
        pack.request(Request::SetCharge(true)).unwrap();
        pack.request(Request::SetDischarge(true)).unwrap();
        pack.step();
        assert_eq!(pack.closed(), (false, false), "not in its own step");
        pack.until(secs(2), "later", |pack| pack.closed() == (true, true));

        pack.cell(3, mv(2_690));
        pack.cell(4, mv(3_610));
        pack.advance(secs(2));
        let alarms = pack.alarms();
        for request in [
            Request::SetCharge(true),
            Request::SetDischarge(true),
            Request::SetBalance(true),
            Request::ClearLockout,
            Request::ClearPermanent,
            Request::ResetEmergencyStop,
        ] {
            let _ = pack.request(request);
            pack.throughout(secs(1), "no request overrides an alarm", |pack| pack.closed() == (false, false));
            assert_eq!(pack.alarms(), alarms);
        }
    }
}

/// S10: the user switches survive a reset.
#[test]
fn the_user_switches_survive_a_reset() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.request(Request::SetDischarge(false)).unwrap();
    pack.request(Request::SetBalance(false)).unwrap();
    pack.step();
    let mut pack = pack.reset(ResetCause::PowerOn);
    pack.advance(secs(10));
    assert_eq!(pack.closed(), (true, false));
    assert!(!pack.status().switches.balance);
}

/// One direction of a stuck switch: what to switch off, the current against its diode, its alarm.
const STUCK: [(Request, i32, Alarm); 2] = [
    (Request::SetCharge(false), 1, Alarm::ChargeSwitchStuck),
    (Request::SetDischarge(false), -1, Alarm::DischargeSwitchStuck),
];

fn stuck(setup: Setup, (off, sign, alarm): (Request, i32, Alarm)) -> Pack {
    let mut pack = setup.started();
    pack.request(off).unwrap();
    pack.steps(10);
    pack.current = ma(2_001 * sign);
    pack.expect_trip(alarm, ms(500));
    pack
}

/// X10 N01 D29: commanded off, more than 2 A against its diode for 0.5 s; back-to-back, the other switch stays as it is.
#[test]
fn a_stuck_switch_is_noticed() {
    for case in STUCK {
        let (off, sign, alarm) = case;
        let mut pack = Setup::new(Profile::Default).started();
        pack.request(off).unwrap();
        pack.steps(10);
        pack.current = amps(2 * sign);
        pack.expect_never(alarm, secs(20));
        // Through its body diode an open switch conducts the opposite direction by design.
        pack.current = amps(-4 * sign);
        pack.expect_never(alarm, secs(20));

        let mut pack = stuck(Setup::new(Profile::Default), case);
        let other_stays = if sign > 0 { (false, true) } else { (true, false) };
        assert_eq!(pack.closed(), other_stays, "opening the other one would only heat its diode");
        assert_eq!(pack.command.last_resort, Switch::Open, "not fitted");
        let limits = pack.command.limits;
        assert_eq!((limits.charge_current, limits.discharge_current), (Current::ZERO, Current::ZERO));
        pack.current = Current::ZERO;
        pack.throughout(secs(60), "no release by itself", |pack| pack.has(alarm));
        let mut pack = pack.reset(ResetCause::PowerOn);
        pack.advance(secs(5));
        assert!(pack.has(alarm), "survives a reset");
        pack.request(Request::ClearPermanent).unwrap();
        pack.until(secs(5), "a local request with current 0", |pack| !pack.has(alarm));
    }
}

/// X10: the local request is not enough while current still flows.
#[test]
fn a_stuck_switch_is_not_cleared_while_current_flows() {
    for case in STUCK {
        let mut pack = stuck(Setup::new(Profile::Default), case);
        // D33: 0.1 A is no rest.
        let mut resting = stuck(Setup::new(Profile::Default), case);
        resting.current = ma(100);
        resting.step();
        assert_eq!(resting.request(Request::ClearPermanent), Err(Refusal::CurrentFlows));
        resting.current = ma(99);
        resting.step();
        assert_eq!(resting.request(Request::ClearPermanent), Ok(()));
        let _ = pack.request(Request::ClearPermanent);
        pack.advance(secs(5));
        assert!(pack.has(case.2));
    }
}

/// X10: the last-resort output fires where it is fitted, and only for a stuck switch.
#[test]
fn the_last_resort_is_for_a_stuck_switch_only() {
    for case in STUCK {
        let pack = stuck(Setup::new(Profile::Default).board(|board| board.last_resort = true), case);
        assert_eq!(pack.command.last_resort, Switch::Closed);
    }
    let mut pack = Setup::new(Profile::Default).board(|board| board.last_resort = true).started();
    pack.short = true;
    pack.mos = tenths(900);
    pack.cell(3, mv(4_500));
    pack.throughout(secs(10), "not for others", |pack| pack.command.last_resort == Switch::Open);
}

/// X10 D29: with separate ports or contactors the other switch opens.
#[test]
fn with_separate_ports_the_other_switch_opens_too() {
    for topology in [Topology::SeparatePorts, Topology::Contactors] {
        for case in STUCK {
            let pack = stuck(Setup::new(Profile::Default).board(|board| board.topology = topology), case);
            assert_eq!(pack.closed(), (false, false), "{topology:?}");
        }
    }
}

/// X11: switches that are on but drop more than 1 V for 1 s give a warning; only with terminal feedback.
#[test]
fn switches_that_do_not_conduct_warn() {
    let mut pack = Setup::new(Profile::Default).board(|board| board.terminal_voltage = true).started();
    pack.terminal = Line::Sum(mv(-1_000));
    pack.expect_never(Alarm::NotConducting, secs(10));
    pack.terminal = Line::Sum(mv(-1_001));
    pack.expect_trip(Alarm::NotConducting, secs(1));
    assert_eq!(pack.closed(), (true, true), "a warning");
    pack.terminal = Line::Sum(Voltage::ZERO);
    pack.until(secs(10), "clears", |pack| !pack.has(Alarm::NotConducting));
    let mut pack = Setup::new(Profile::Manual).board(|board| board.terminal_voltage = true).started();
    pack.terminal = Line::Sum(mv(-5_000));
    pack.expect_never(Alarm::NotConducting, secs(10));
}

/// X12 N01: a switch held open by a cell-voltage or one-direction temperature alarm closes while the opposite current exceeds 5 A.
#[test]
fn the_body_diode_is_bypassed() {
    let cases: [(Act, i32, (bool, bool)); 4] = [
        (|pack| pack.cell(3, mv(2_690)), 1, (true, false)),
        (|pack| pack.cell(3, mv(3_610)), -1, (false, true)),
        (|pack| pack.battery(-10), -1, (false, true)),
        (|pack| pack.battery(610), 1, (true, false)),
    ];
    for (cause, opposite, open) in cases {
        let setup = Setup::new(Profile::Default).set(P::ChargeOvertemperatureProtection, 800);
        let mut pack = setup.started();
        cause(&mut pack);
        pack.until(secs(5), "opens", |pack| pack.closed() == open);
        let alarms = pack.trips();
        pack.current = amps(5 * opposite);
        pack.throughout(secs(5), "5 A is not more than 5 A", |pack| pack.closed() == open);
        pack.current = ma(5_001 * opposite);
        pack.steps(2);
        assert_eq!(pack.closed(), (true, true));
        pack.throughout(secs(60), "closed, the alarm active", |pack| {
            pack.closed() == (true, true) && pack.trips() == alarms
        });
        pack.current = amps(5 * opposite);
        pack.step();
        assert_eq!(pack.closed(), open, "open within one sample below");
        // The forbidden direction never closes it.
        pack.current = amps(-20 * opposite);
        pack.throughout(secs(5), "the wrong way", |pack| pack.closed() == open);
    }
}

/// X12: only what flows through the open switch counts: it opens first, whatever flows, and closes again a step later.
#[test]
fn the_bypass_begins_with_an_open_switch() {
    for (cause, opposite, open) in [
        (Act::from(|pack: &mut Pack| pack.cell(3, mv(2_690))), 1, (true, false)),
        (|pack| pack.cell(3, mv(3_610)), -1, (false, true)),
    ] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.current = amps(20 * opposite);
        pack.steps(5);
        cause(&mut pack);
        pack.until(secs(5), "opens although the opposite current flows", |pack| pack.closed() == open);
        pack.step();
        assert_eq!(pack.closed(), (true, true), "the current still flows: through the diode");
        // A sensor with the wrong sign: what it told ends with the opening.
        let mut pack = Setup::new(Profile::Default).started();
        pack.current = amps(20 * opposite);
        pack.steps(5);
        cause(&mut pack);
        pack.until(secs(5), "opens", |pack| pack.closed() == open);
        pack.current = amps(0);
        pack.throughout(secs(5), "nothing flows through the diode", |pack| pack.closed() == open);
    }
}

/// X12: no bypass for a current that cannot be: beyond the second level, or while the other switch is open.
#[test]
fn the_bypass_is_not_for_an_impossible_current() {
    for (cause, opposite, open) in [
        (Act::from(|pack: &mut Pack| pack.cell(3, mv(2_690))), 1, (true, false)),
        (|pack| pack.cell(3, mv(3_610)), -1, (false, true)),
    ] {
        let mut pack = Setup::new(Profile::Default).started();
        cause(&mut pack);
        pack.until(secs(5), "opens", |pack| pack.closed() == open);
        pack.current = amps(2_000 * opposite);
        let alone = |pack: &Pack| !(if opposite > 0 { pack.closed().1 } else { pack.closed().0 });
        pack.throughout(secs(20), "never by such a current", alone);
        assert!(pack.has(if opposite > 0 {
            Alarm::SevereChargeOvercurrent
        } else {
            Alarm::SevereDischargeOvercurrent
        }));
        let mut pack = Setup::new(Profile::Default).started();
        cause(&mut pack);
        pack.until(secs(5), "opens", |pack| pack.closed() == open);
        let other = if opposite > 0 { Request::SetCharge(false) } else { Request::SetDischarge(false) };
        pack.request(other).unwrap();
        pack.step();
        pack.current = ma(5_100 * opposite);
        pack.throughout(secs(5), "the other switch is open", |pack| pack.closed() == (false, false));
    }
}

/// X12 D29 N06: not for other causes, not for the user's switch, not on other topologies, not in the manual.
#[test]
fn the_bypass_is_only_for_its_causes() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.request(Request::SetDischarge(false)).unwrap();
    pack.steps(5);
    pack.current = amps(20);
    pack.throughout(secs(5), "the user's switch", |pack| pack.closed() == (true, false));
    let mut pack = Setup::new(Profile::Default).started();
    pack.mos = tenths(800);
    pack.advance(secs(2));
    pack.current = amps(20);
    pack.throughout(secs(1), "both directions", |pack| pack.closed() == (false, false));
    let others = [
        Setup::new(Profile::Manual),
        Setup::new(Profile::Default).board(|board| board.topology = Topology::SeparatePorts),
        Setup::new(Profile::Default).board(|board| board.topology = Topology::Contactors),
    ];
    for setup in others {
        let mut pack = setup.started();
        pack.cell(3, mv(2_690));
        pack.advance(secs(1));
        pack.current = amps(20);
        pack.throughout(secs(5), "no bypass", |pack| pack.closed() == (true, false));
    }
}

/// X12: without the bypass the opposite direction's limit is 10 % of the rating.
#[test]
fn without_the_bypass_the_opposite_limit_is_a_tenth() {
    for (voltage, charging) in [(mv(2_690), true), (mv(3_610), false)] {
        for (bypass, expected) in [(0, amps(20)), (5_000, amps(200))] {
            let setup = Setup::new(Profile::Default).set(P::DiodeBypassCurrent, bypass).set(P::Trickle, 0);
            let mut pack = setup.started();
            pack.cell(3, voltage);
            pack.advance(secs(2));
            let limits = pack.command.limits;
            let (open, opposite) = if charging {
                (limits.discharge_current, limits.charge_current)
            } else {
                (limits.charge_current, limits.discharge_current)
            };
            assert_eq!(opposite, expected);
            assert!(open == Current::ZERO, "no current through an open switch");
        }
    }
}

/// A board with a precharge path, its terminals empty.
fn precharging() -> Pack {
    let mut pack = Setup::new(Profile::Default)
        .board(|board| {
            board.precharge = true;
            board.terminal_voltage = true;
        })
        .pack();
    pack.terminal = Line::At(Voltage::ZERO);
    pack
}

/// X17: before discharge closes, precharge runs until the terminals reach 90 % of the stack.
#[test]
fn precharge_comes_before_each_close_of_discharge() {
    let mut pack = precharging();
    for _ in 0..2 {
        let mut precharged = false;
        for _ in 0..10 {
            pack.step();
            assert!(!pack.command.discharge.is_closed());
            precharged |= pack.command.precharge.is_on(pack.now);
        }
        assert!(precharged);
        pack.terminal = Line::At(mv(52_800 / 100 * 90 - 10));
        pack.steps(3);
        assert!(!pack.command.discharge.is_closed(), "not yet 90 %");
        pack.terminal = Line::At(mv(52_800 / 100 * 90));
        pack.until(secs(1), "90 %", |pack| pack.command.discharge.is_closed());
        assert!(!pack.command.precharge.is_on(pack.now));
        pack.terminal = Line::Sum(Voltage::ZERO);
        pack.advance(secs(5));
        pack.request(Request::SetDischarge(false)).unwrap();
        pack.steps(3);
        pack.terminal = Line::At(Voltage::ZERO);
        pack.advance(secs(1));
        assert!(!pack.command.precharge.is_on(pack.now), "not while discharging is switched off");
        pack.request(Request::SetDischarge(true)).unwrap();
    }
}

/// X17: three tries of 2 s, 10 s apart, then an alarm; never a blind close.
#[test]
fn precharge_gives_up_after_three_tries() {
    let mut pack = precharging();
    let mut tries: Vec<(Instant, Instant)> = Vec::new();
    let mut was_on = false;
    for _ in 0..1_200 {
        pack.step();
        assert!(!pack.command.discharge.is_closed(), "never a blind close");
        let on = pack.command.precharge.is_on(pack.now);
        match (was_on, on) {
            (false, true) => tries.push((pack.now, pack.now)),
            (true, true) => tries.last_mut().unwrap().1 = pack.now,
            _ => {}
        }
        was_on = on;
    }
    assert_eq!(tries.len(), 3);
    for (begin, end) in &tries {
        assert!(end.since(*begin) <= secs(2) && end.since(*begin) >= ms(1_500), "about 2 s each");
    }
    for pair in tries.windows(2) {
        let rest: Duration = pair[1].0.since(pair[0].1);
        assert!(rest >= secs(10) && rest <= secs(11), "10 s rest: {rest:?}");
    }
    assert!(pack.has(Alarm::PrechargeFailed));
    pack.throughout(secs(300), "stays open", |pack| !pack.command.discharge.is_closed());
}

/// X17: an alarm against discharging ends the precharge at once.
#[test]
fn precharge_is_a_part_of_the_discharge_path() {
    let mut pack = precharging();
    pack.until(secs(5), "precharging", |pack| pack.command.precharge.is_on(pack.now));
    pack.mos = tenths(800);
    pack.short = true;
    pack.step();
    assert!(!pack.command.precharge.is_on(pack.now));
}

/// X19: terminals more than 1 V above the stack keep the switch that would close open; within, it closes.
#[test]
fn a_terminal_mismatch_refuses_closing() {
    let setup = Setup::new(Profile::Default).board(|board| board.terminal_voltage = true);
    let mut pack = setup.pack();
    pack.terminal = Line::Sum(mv(1_001));
    pack.throughout(secs(30), "refused", |pack| pack.closed() == (false, false));
    assert!(pack.has(Alarm::TerminalMismatch));
    pack.terminal = Line::Sum(mv(1_000));
    pack.until(secs(2), "within", |pack| pack.closed() == (true, true));
    assert!(!pack.has(Alarm::TerminalMismatch));
    // A switch that is closed already is not opened by it.
    pack.terminal = Line::Sum(mv(3_000));
    pack.throughout(secs(10), "only before closing", |pack| pack.closed() == (true, true));
}

/// X19: terminals above n × OVP + 5 V are refused even with a precharge.
#[test]
fn an_excessive_terminal_voltage_refuses_closing() {
    let mut pack = precharging();
    pack.terminal = Line::At(mv(16 * 3_600 + 5_001));
    pack.throughout(secs(60), "refused", |pack| pack.closed() == (false, false));
    assert!(pack.has(Alarm::TerminalMismatch));
}

/// X19 N01: exactly n × OVP + 5 V is within.
#[test]
fn the_highest_allowed_terminal_voltage_closes() {
    let mut pack = precharging();
    pack.terminal = Line::At(mv(16 * 3_600 + 5_000));
    pack.until(secs(5), "within", |pack| pack.closed() == (true, true));
}

/// X21: an emergency stop opens every energy path in one step from any state; power and fuse are not touched.
#[test]
fn an_emergency_stop_opens_everything() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).board(|board| board.last_resort = true).started();
        pack.all_cells(mv(3_420));
        pack.cell(3, mv(3_450));
        pack.until(secs(10), "balancing", Pack::balancing);
        pack.request(Request::EmergencyStop).unwrap();
        pack.step();
        assert_eq!(pack.closed(), (false, false));
        assert!(!pack.balancing() && !pack.heating() && pack.has(Alarm::EmergencyStop));
        assert_eq!((pack.command.power, pack.command.last_resort), (Power::Hold, Switch::Open));
        for request in
            [Request::SetCharge(true), Request::SetDischarge(true), Request::ClearLockout, Request::ClearPermanent]
        {
            let _ = pack.request(request);
        }
        pack.throughout(secs(600), "until reset", |pack| pack.closed() == (false, false) && !pack.balancing());
        pack.request(Request::ResetEmergencyStop).unwrap();
        pack.until(secs(5), "an explicit reset", |pack| pack.closed() == (true, true));
    }
}

/// X21: before the start, too.
#[test]
fn an_emergency_stop_holds_from_the_start() {
    let mut pack = Setup::new(Profile::Default).pack();
    pack.request(Request::EmergencyStop).unwrap();
    pack.throughout(secs(60), "never closes", |pack| pack.closed() == (false, false));
}
