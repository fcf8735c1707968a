//! Capacity and counters: L01, T08–T11, D21, D22, law 8, F1, F4.

use bms_core::config::{ParameterId, Profile};
use bms_core::event::EventKind;
use bms_core::measurement::Reading;
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::secs;
use bms_core::units::{Charge, Current, ah, amps, ma, mv};

use crate::harness::{Pack, Presence, Setup, half_full};

use ParameterId as P;

/// A started pack whose state of charge is known: 140 of 280 Ah.
fn half(setup: Setup) -> Pack {
    setup.after_reset(Stored::Snapshot(half_full()), ResetCause::PowerOn).started()
}

fn remaining(pack: &Pack) -> Charge {
    match pack.status().remaining {
        Reading::Valid(charge) => charge,
        other => panic!("{other:?}"),
    }
}

/// L01 F1 T09: the counter is exact to the milliampere-millisecond, at any sample rate and in both directions.
#[test]
fn coulombs_are_counted_exactly() {
    for (period, current, steps) in [
        (10, ma(-1_000), 60_000_u32),
        (1, ma(-10_000), 60_000),
        (100, ma(-1_000), 36_000),
        (1_000, ma(-1), 3_600),
        (7, ma(1), 20_000),
        (1, ma(3), 20_000),
    ] {
        let mut pack = half(Setup::new(Profile::Default).every(period));
        pack.current = current;
        pack.step();
        let before = remaining(&pack);
        pack.steps(steps);
        let moved = Charge::moved(current, period * steps);
        assert_eq!(remaining(&pack), before.plus(moved), "{current:?} every {period} ms");
    }
}

/// L01 law 8: exact with jitter too: Σ I·Δt over the intervals as they were.
#[test]
fn coulombs_are_counted_exactly_with_jitter() {
    let mut pack = half(Setup::new(Profile::Default).every(7).jitter());
    let mut expected = remaining(&pack);
    let mut last = pack.now;
    for step in 0..50_000 {
        pack.current = ma((step * 7_919) % 40_001 - 20_000);
        pack.step();
        expected = expected.plus(Charge::moved(pack.current, pack.now.since(last).as_millis()));
        last = pack.now;
        assert_eq!(remaining(&pack), expected);
    }
}

/// N05 L01: a current is the mean since the previous one, also when other groups come in between.
#[test]
fn a_current_counts_for_the_time_since_the_previous_one() {
    let mut pack = half(Setup::new(Profile::Default));
    pack.current = amps(-10);
    pack.step();
    let before = remaining(&pack);
    for _ in 0..100 {
        pack.current_group = Presence::NotMeasured;
        pack.steps(3);
        pack.current_group = Presence::Measured;
        pack.step();
    }
    assert_eq!(remaining(&pack), before.plus(Charge::moved(amps(-10), 100 * 400)));
}

/// F1: the failure that was measured: 1 A for an hour at 100 Hz is 1 % of 100 Ah, 10 A at 1 kHz for 6 minutes too.
#[test]
fn small_steps_are_not_lost() {
    for (period, current, steps) in [(10, amps(-1), 360_000), (1, amps(-10), 360_000), (100, amps(-1), 36_000)] {
        let full = Snapshot { remaining: Some(ah(100)), capacity: ah(100), ..Snapshot::default() };
        let setup = Setup::new(Profile::Default).every(period).set(P::Capacity, 100_000);
        let mut pack = setup.after_reset(Stored::Snapshot(full), ResetCause::PowerOn).started();
        pack.current = current;
        pack.steps(steps);
        assert_eq!(pack.status().state_of_charge_permille, Reading::Valid(990));
    }
}

/// F4 D17 D21: the sign and the scale: discharging lowers it, charging raises it, by Q / C.
#[test]
fn sign_and_scale_are_right() {
    for (current, permille) in [(amps(-28), 400), (amps(28), 600)] {
        let mut pack = half(Setup::new(Profile::Default).every(1_000));
        pack.current = current;
        pack.steps(3_600);
        let Reading::Valid(shown) = pack.status().state_of_charge_permille else { panic!("known") };
        assert!((permille - 1..=permille + 1).contains(&shown), "{shown}");
    }
}

/// T10 D22: the cycle capacity sums what was discharged, whatever is charged in between, across resets.
#[test]
fn the_cycle_capacity_is_what_was_discharged() {
    let mut pack = half(Setup::new(Profile::Default).every(1_000));
    let start = pack.status().cycle_capacity;
    for _ in 0..5 {
        pack.current = amps(-10);
        pack.steps(360);
        pack.current = amps(10);
        pack.steps(360);
    }
    pack.current = Current::ZERO;
    pack.step();
    assert_eq!(pack.status().cycle_capacity.minus(start), ah(5));
    assert_eq!(pack.status().cycles, 0, "an independent counter");
    let pack = pack.reset(ResetCause::PowerOn);
    assert_eq!(pack.status().cycle_capacity.minus(start), ah(5));
}

/// Charges to full: at the charge voltage with a small current.
fn fill(pack: &mut Pack) {
    let cells = i32::try_from(pack.cells.len()).unwrap();
    let voltage = pack.command.limits.charge_voltage.divided_by(cells);
    pack.all_cells(voltage);
    pack.current = amps(3);
    pack.advance(secs(300));
    pack.current = Current::ZERO;
    pack.all_cells(mv(3_350));
    pack.advance(secs(60));
}

/// T11 D22 T08: the cycles count how often it was charged to full; full is 100 %.
#[test]
fn the_cycles_count_full_charges() {
    let mut pack = half(Setup::new(Profile::Default).every(1_000));
    for cycle in 1..=3 {
        pack.events.clear();
        fill(&mut pack);
        assert_eq!(pack.status().cycles, cycle);
        assert!(pack.saw(|event| *event == EventKind::Full));
        assert_eq!(pack.status().state_of_charge_permille, Reading::Valid(1_000));
        assert_eq!(remaining(&pack), pack.status().capacity);
        pack.current = amps(-100);
        pack.steps(3_600);
        pack.current = Current::ZERO;
        pack.step();
    }
    let cycles = pack.status().cycles;
    assert_eq!(pack.reset(ResetCause::PowerOn).status().cycles, cycles);
}

/// T11: staying full is one cycle, not one a minute.
#[test]
fn staying_full_is_one_cycle() {
    let mut pack = half(Setup::new(Profile::Default).every(1_000));
    for _ in 0..5 {
        fill(&mut pack);
    }
    assert_eq!(pack.status().cycles, 1);
}

/// L01: reaching the end of discharge anchors empty.
#[test]
fn undervoltage_is_empty() {
    let mut pack = half(Setup::new(Profile::Default));
    pack.current = amps(-20);
    pack.all_cells(mv(2_690));
    pack.advance(secs(5));
    assert!(pack.saw(|event| *event == EventKind::Empty));
    assert_eq!(pack.status().state_of_charge_permille, Reading::Valid(0));
}

/// T08 S03: the capacity is the learned one; never more charge than it, never less than none.
#[test]
fn the_charge_stays_within_the_capacity() {
    for current in [amps(-150), amps(150)] {
        let mut pack = half(Setup::new(Profile::Manual).every(1_000));
        assert_eq!(pack.status().capacity, ah(280));
        pack.current = current;
        for _ in 0..7_200 {
            pack.step();
            let charge = remaining(&pack);
            assert!(charge >= Charge::ZERO && charge <= ah(280));
        }
    }
}

/// F5 F4: the state of charge survives a reset; it is not read anew from the voltage, and does not jump.
#[test]
fn the_state_of_charge_survives_a_reset() {
    let mut pack = half(Setup::new(Profile::Default).every(1_000));
    pack.current = amps(-28);
    pack.steps(1_800);
    pack.current = Current::ZERO;
    pack.step();
    let before = remaining(&pack);
    for cause in [ResetCause::PowerOn, ResetCause::BrownOut, ResetCause::Watchdog] {
        let mut next = pack.reset(cause);
        next.all_cells(mv(3_250));
        next.advance(secs(60));
        assert_eq!(remaining(&next), before, "{cause:?}");
    }
}

/// L01 law 7: with corrupt counters the state of charge is unknown, or told by the voltage, never a made-up full.
#[test]
fn corrupt_counters_are_not_made_up() {
    let mut pack = Setup::new(Profile::Default).after_reset(Stored::CountersCorrupt, ResetCause::PowerOn).pack();
    pack.all_cells(mv(2_750));
    pack.advance(secs(10));
    if let Reading::Valid(permille) = pack.status().state_of_charge_permille {
        assert!(permille < 300, "{permille} at 2.75 V");
    }
}

/// L02 T08: with the manual's rule the capacity is learned from a full discharge and the full charge after it, and from nothing else.
#[test]
fn the_capacity_is_learned_from_a_full_cycle() {
    for (mode, expected) in [(1, ah(250)), (0, ah(280))] {
        let mut pack = half(Setup::new(Profile::Default).every(1_000).set(P::CapacityLearning, mode));
        fill(&mut pack);
        // Half a discharge teaches nothing.
        pack.current = amps(-100);
        pack.steps(3_600);
        fill(&mut pack);
        assert_eq!(pack.status().capacity, ah(280));
        // All of it does: 250 Ah out, and in again.
        pack.current = amps(-100);
        pack.steps(2 * 3_600 + 1_800);
        pack.all_cells(mv(2_690));
        pack.current = amps(-10);
        pack.advance(secs(5));
        assert_eq!(pack.status().capacity, ah(280), "not before it is charged again");
        pack.all_cells(mv(3_300));
        pack.current = amps(100);
        pack.steps(2 * 3_600 + 1_790);
        fill(&mut pack);
        let learned = pack.status().capacity;
        assert!(learned.minus(expected).as_milliamp_hours().abs() < 500, "mode {mode}: {learned:?}");
    }
}
