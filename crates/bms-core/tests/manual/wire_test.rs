//! The self-test of the sense wires, and the active test of an open one: W01, W02, X04.

use bms_core::balancing::{BalancerCapabilities, Phase, Plan};
use bms_core::bms::{Refusal, Request};
use bms_core::command::ScanMode;
use bms_core::config::{Chemistry, ParameterId as P, Profile};
use bms_core::event::EventKind;
use bms_core::protection::Alarm;
use bms_core::time::secs;
use bms_core::units::{Current, Voltage, amps, ma, mohm, mv};

use crate::harness::{Act, Pack, Presence, just_above, tenths};
use crate::setup::Setup;

/// A level pack: nothing to balance.
fn level(setup: Setup) -> Pack {
    let mut pack = setup.started();
    pack.all_cells(mv(3_350));
    pack.wires.fill(20);
    pack.advance(secs(5));
    pack
}

fn ended(pack: &Pack) -> Option<u8> {
    pack.events.iter().rev().find_map(|event| match event.kind {
        EventKind::WireTest { active: false, visited } => Some(visited),
        _ => None,
    })
}

fn until_ended(pack: &mut Pack) -> u8 {
    pack.events.clear();
    pack.request(Request::TestWires).unwrap();
    pack.until(secs(1_200), "the test ends", |pack| ended(pack).is_some());
    ended(pack).unwrap()
}

/// W01 T19: on request, every sense wire of a level pack is measured, with and without current; the charge goes around.
#[test]
fn the_self_test_measures_every_wire_of_a_level_pack() {
    for (profile, period, bad) in [
        (Profile::Default, 100, 7),
        (Profile::Manual, 100, 0),
        (Profile::Default, 100, 16),
        (Profile::Default, 20, 1),
        (Profile::Default, 1_000, 15),
    ] {
        let mut pack = level(Setup::new(profile).every(period));
        pack.wires[bad] = 90;
        pack.throughout(secs(60), "level: nothing moves", |pack| !pack.balancing());
        assert_eq!(pack.status().wires.resistance(3), None, "not measured yet");
        assert_eq!(pack.status().wire_test, None);
        pack.events.clear();
        pack.request(Request::TestWires).unwrap();
        pack.step();
        assert!(pack.saw(|event| *event == EventKind::WireTest { active: true, visited: 0 }));
        let mut visited = Vec::new();
        let mut taken = [0_i64; 16];
        while ended(&pack).is_none() {
            pack.step();
            let at = pack.status().wire_test;
            if let Some(cell) = at
                && visited.last() != Some(&cell)
            {
                visited.push(cell);
            }
            if let Some((source, _, Phase::Take)) = pack.transfer() {
                assert_eq!(Some(source), at, "the test has the balancer to itself");
                taken[usize::from(source)] += i64::from(period);
            }
            assert!(pack.now.as_millis() < 2_000_000, "{visited:?}");
        }
        assert_eq!(visited, (0..16).collect::<Vec<u8>>());
        assert_eq!(ended(&pack), Some(16));
        assert_eq!(pack.status().wire_test, None);
        for wire in 0..17 {
            let estimated = pack.status().wires.resistance(wire).unwrap_or_else(|| panic!("wire {wire} is unknown"));
            let error = estimated.minus(mohm(if wire == bad { 90 } else { 20 })).magnitude();
            assert!(error <= mohm(3), "wire {wire} of {bad}: {estimated:?}");
        }
        // A few seconds of 2 A each, and as much back: no cell has lost more than 0.01 Ah of 280.
        assert!(taken.iter().all(|millis| (1..=10_000).contains(millis)), "{taken:?}");
        assert!(pack.store <= 0, "the store is left empty");
        pack.throughout(secs(60), "over", |pack| !pack.balancing());
    }
}

/// W01 W02: the test finds a bad contact on a pack that never balanced, and, asked again after a repair, that it is gone; nothing else
/// would tell, since balancing is blocked.
#[test]
fn the_self_test_finds_a_bad_contact_and_its_repair() {
    let mut pack = level(Setup::new(Profile::Default));
    pack.wires[9] = 400;
    until_ended(&mut pack);
    pack.step();
    assert!(pack.has(Alarm::WireResistance) && pack.status().wires.is_flagged(9));
    pack.cell(3, mv(3_500));
    pack.throughout(secs(60), "no balancing", |pack| !pack.balancing());
    pack.all_cells(mv(3_350));
    pack.wires[9] = 20;
    assert_eq!(until_ended(&mut pack), 16);
    pack.advance(secs(1));
    assert!(!pack.has(Alarm::WireResistance) && !pack.status().wires.is_flagged(9));
}

/// W01 D04: during the test quiet scans keep to their share of the time: five seconds off, or one part in twenty.
#[test]
fn the_self_test_rations_its_quiet_scans() {
    let mut pack = level(Setup::new(Profile::Default));
    pack.request(Request::TestWires).unwrap();
    pack.events.clear();
    let (mut off, mut short, mut ran) = (0, 0, 0);
    while ended(&pack).is_none() {
        pack.step();
        if pack.balancing() {
            // A pause that was no longer than an interruption.
            short += if ran > 0 && off <= 5_000 { off } else { 0 };
            ran += 100;
            off = 0;
        } else {
            assert_eq!(pack.command.scan, ScanMode::Quiet);
            off += 100;
        }
    }
    assert!(ran > 5_000 && short * 20 <= ran + short, "{short} of {ran}");
}

/// W01 B02 B03 D27: it is refused, or stops, where balancing may not run, and keeps the same limits.
#[test]
fn the_self_test_keeps_the_limits_of_balancing() {
    let forbidding: [(Alarm, Act); 4] = [
        (Alarm::MosOvertemperature, |pack| pack.mos = tenths(751)),
        (Alarm::ChargeUndertemperature, |pack| pack.battery(-1)),
        (Alarm::CellDataLost, |pack| pack.cells_group = Presence::Failed),
        (Alarm::ShortCircuit, |pack| pack.short = true),
    ];
    for (alarm, cause) in forbidding {
        let mut pack = level(Setup::new(Profile::Default));
        pack.request(Request::TestWires).unwrap();
        pack.until(secs(20), "it runs", Pack::balancing);
        cause(&mut pack);
        pack.until(secs(5), "the alarm", |pack| pack.has(alarm));
        pack.throughout(secs(60), alarm.name(), |pack| !pack.balancing());
        assert!(ended(&pack).is_some_and(|visited| visited < 16), "given up, and told");
        assert_eq!(pack.request(Request::TestWires), Err(Refusal::BalancerBlocked), "{alarm}");
    }
    let mut pack = level(Setup::new(Profile::Default));
    pack.request(Request::SetBalance(false)).unwrap();
    pack.step();
    assert_eq!(pack.request(Request::TestWires), Err(Refusal::BalancerBlocked));
    let mut pack = level(Setup::new(Profile::Default));
    let none = BalancerCapabilities { maximum_current: Current::ZERO, ..BalancerCapabilities::MANUAL };
    pack.follower().each(&mut |bms| bms.set_balancer(none));
    pack.bms.set_balancer(none);
    assert_eq!(pack.request(Request::TestWires), Err(Refusal::BalancerBlocked));
    // A cell at its under-voltage recovery does not give: it is left out.
    let mut pack = level(Setup::new(Profile::Default).set(P::BalanceCurrent, 700));
    pack.cell(5, mv(2_900));
    pack.events.clear();
    pack.request(Request::TestWires).unwrap();
    while ended(&pack).is_none() {
        pack.step();
        if let Plan::Transfer { source, destination, current, .. } = pack.command.balance {
            assert!(current <= ma(700) && pack.cells[usize::from(source)] > mv(2_900), "{source} {destination}");
        }
    }
    assert_eq!(ended(&pack), Some(15));
    pack.cell(5, just_above(mv(2_900)));
    assert_eq!(until_ended(&mut pack), 16);
}

/// W01: while the pack's current jumps, nothing is estimated: the cell waits, and is left out in the end.
#[test]
fn an_unsteady_pack_current_tells_nothing_of_the_wires() {
    let mut pack = level(Setup::new(Profile::Default));
    pack.request(Request::TestWires).unwrap();
    for step in 0..4_000 {
        pack.current = amps(step * 7 % 101);
        pack.step();
        assert!((0..17).all(|wire| pack.status().wires.resistance(wire).is_none()));
    }
}

/// An open wire whose input floats.
fn floating(wire: usize) -> Pack {
    let mut pack = level(Setup::of(Chemistry::LiIon, Profile::Default));
    pack.all_cells(mv(3_700));
    pack.floating_wire = Some(wire);
    pack.throughout(secs(60), "it cannot be seen", |pack| !pack.has(Alarm::OpenWire) && pack.closed() == (true, true));
    pack
}

/// X04: an open wire whose input floats shows under the balancer's load only; the self-test finds it, and it is never a voltage.
#[test]
fn an_open_wire_that_floats_is_found_under_load() {
    for wire in [1, 8, 15] {
        let mut pack = floating(wire);
        pack.request(Request::TestWires).unwrap();
        pack.until(secs(300), "found", |pack| pack.has(Alarm::OpenWire));
        assert_eq!(pack.closed(), (false, false));
        let raised = pack.events.iter().find_map(|event| match event.kind {
            EventKind::Raised { alarm: Alarm::OpenWire, index, .. } => index,
            _ => None,
        });
        assert_eq!(raised.map(usize::from), Some(wire));
        // Without load nothing is seen, and still it holds.
        let voltages = [Alarm::CellUndervoltage, Alarm::CellOvervoltage, Alarm::Abuse, Alarm::DeepDischarge];
        pack.throughout(secs(300), "it holds", |pack| {
            pack.has(Alarm::OpenWire)
                && pack.closed() == (false, false)
                && voltages.iter().all(|alarm| !pack.has(*alarm))
        });
        // Mended: the next test with the balancer passes.
        pack.floating_wire = None;
        pack.until(secs(90), "the retest passes", |pack| !pack.has(Alarm::OpenWire));
        pack.until(secs(5), "closed again", |pack| pack.closed() == (true, true));
        pack.throughout(secs(120), "for good", |pack| !pack.has(Alarm::OpenWire));
    }
}

/// X04: where the balancer was seen to work, a wire that looked open must pass a test under load, and then five seconds without a
/// sign; no other alarm's ban is broken for it. A wire that cannot be tested is judged by the readings.
#[test]
fn an_open_wire_is_whole_again_when_the_retest_passes() {
    let opened = |pack: &mut Pack| {
        let sound = (pack.cells.clone(), pack.stack);
        let double = pack.cells[4].plus(pack.cells[5]);
        pack.stack = crate::harness::Line::At(pack.sum());
        pack.cell(4, Voltage::ZERO);
        pack.cell(5, double);
        pack.until(secs(2), "found", |pack| pack.has(Alarm::OpenWire));
        pack.throughout(secs(20), "no test while the sign is there", |pack| !pack.balancing());
        (pack.cells, pack.stack) = sound;
    };
    let mut pack = level(Setup::new(Profile::Default));
    until_ended(&mut pack);
    opened(&mut pack);
    let mut tested = false;
    while pack.has(Alarm::OpenWire) {
        pack.step();
        tested |= matches!(pack.transfer(), Some((5, _, Phase::Take)));
    }
    assert!(tested, "released without a test");
    // Under another alarm there is no test, and so no release.
    let mut pack = level(Setup::new(Profile::Default));
    until_ended(&mut pack);
    pack.mos = tenths(751);
    pack.until(secs(5), "too warm", |pack| pack.has(Alarm::MosOvertemperature));
    opened(&mut pack);
    pack.throughout(secs(60), "no test", |pack| pack.has(Alarm::OpenWire) && !pack.balancing());
    pack.mos = tenths(400);
    pack.until(secs(90), "the retest passes", |pack| !pack.has(Alarm::OpenWire));
    // Every cell above its over-voltage recovery: none may receive.
    let mut pack = level(Setup::new(Profile::Default));
    until_ended(&mut pack);
    pack.all_cells(mv(3_520));
    opened(&mut pack);
    pack.until(secs(60), "judged by the readings", |pack| !pack.has(Alarm::OpenWire));
    // The balancer is switched off.
    let mut pack = level(Setup::new(Profile::Default));
    until_ended(&mut pack);
    pack.request(Request::SetBalance(false)).unwrap();
    opened(&mut pack);
    pack.until(secs(7), "judged by the readings", |pack| !pack.has(Alarm::OpenWire));
}
