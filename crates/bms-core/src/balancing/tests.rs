//! What the guard, the mapping and the books must do, whatever a strategy wants.

extern crate std;
use std::vec::Vec;

use proptest::prelude::*;

use super::Strategy;
use super::*;
use crate::measurement::{Extremes, Feedback, mask};
use crate::units::{ah, ma, mv};
use proptest::strategy::Strategy as Generator;

fn reported(store_empty: bool) -> Feedback {
    Feedback { balance_current: ma(2_000), quiet: false, store_empty }
}

fn rules() -> Rules {
    Rules {
        trigger: mv(10),
        stop: mv(5),
        start_voltage: mv(3_400),
        floor: mv(2_900),
        ceiling: mv(3_500),
        current: ma(1_500),
        minimum_on: crate::time::secs(1),
        minimum_off: crate::time::secs(1),
    }
}

fn capabilities(kind: BalancerKind) -> BalancerCapabilities {
    BalancerCapabilities { kind, ..BalancerCapabilities::MANUAL }
}

fn scan(tenths: &[u16], valid: u32) -> CellScan<'_> {
    CellScan::new(tenths, valid, tenths.len() as u8, Extremes::of(tenths, valid))
}

fn any_plan() -> impl Generator<Value = Plan> {
    let cell = 0_u8..12;
    let current = -100_i32..3_000;
    let until = 0_u64..100_000;
    prop_oneof![
        Just(Plan::Idle),
        (cell.clone(), cell.clone(), any::<bool>(), current.clone(), until.clone()).prop_map(
            |(source, destination, take, current, until)| Plan::Transfer {
                source,
                destination,
                phase: if take { Phase::Take } else { Phase::Give },
                current: ma(current),
                until: Instant::from_millis(until),
            }
        ),
        (cell.clone(), cell, current, until.clone()).prop_map(|(source, destination, current, until)| Plan::Shuttle {
            source,
            destination,
            current: ma(current),
            until: Instant::from_millis(until),
        }),
        (any::<u32>(), until).prop_map(|(mask, until)| Plan::Bleed { mask, until: Instant::from_millis(until) }),
    ]
}

proptest! {
    /// B02 D04 D27: no plan, wanted in any state, gets a limit violated; what is refused is off.
    #[test]
    fn nothing_gets_past_the_guard(
        wanted in proptest::collection::vec(any_plan(), 1..40),
        tenths in proptest::collection::vec(20_000_u16..40_000, 8),
        valid in any::<u32>(),
        kind in prop_oneof![Just(BalancerKind::Transfer), Just(BalancerKind::Shuttle), Just(BalancerKind::Bleed)],
    ) {
        let (rules, capabilities) = (rules(), capabilities(kind));
        let scan = scan(&tenths, valid & mask(8));
        let mut guard = Guard::new();
        let mut now = Instant::from_millis(1_000);
        let mut pair = None;
        let mut taken = 0_i64;
        for plan in wanted {
            let plan = guard.admit(fit(plan, &capabilities, now), &scan, &rules, &capabilities, now);
            let volts = |cell: u8| scan.voltage(usize::from(cell));
            if let Some(until) = plan.until() {
                prop_assert!(until <= now.after(EXPIRY));
            }
            match plan {
                Plan::Idle => {}
                Plan::Transfer { source, destination, current, phase, .. } => {
                    prop_assert_eq!(kind, BalancerKind::Transfer);
                    prop_assert!(source != destination && current > Current::ZERO && current <= rules.current);
                    prop_assert!(volts(source).unwrap() > rules.floor && volts(destination).unwrap() < rules.ceiling);
                    if let Some((before, since)) = pair && before != (source, destination) {
                        prop_assert!(now.since(since) >= rules.minimum_on, "changed too soon");
                    }
                    if pair.is_none_or(|(before, _)| before != (source, destination)) {
                        pair = Some(((source, destination), now));
                    }
                    prop_assert!(phase == Phase::Give || taken < 2_000 * 10_000, "the store is overfilled");
                }
                Plan::Shuttle { source, destination, current, .. } => {
                    prop_assert_eq!(kind, BalancerKind::Shuttle);
                    prop_assert!(source.abs_diff(destination) == 1 && current > Current::ZERO && current <= rules.current);
                    prop_assert!(volts(source).unwrap() > rules.floor && volts(destination).unwrap() < rules.ceiling);
                }
                Plan::Bleed { mask, .. } => {
                    prop_assert_eq!(kind, BalancerKind::Bleed);
                    prop_assert!(mask != 0 && mask < 1 << 8);
                    for cell in (0..8).filter(|cell| mask >> cell & 1 == 1) {
                        prop_assert!(volts(cell).unwrap() > rules.floor);
                    }
                }
            }
            if let Plan::Transfer { phase: Phase::Take, current, .. } = plan {
                taken += i64::from(current.as_milliamps()) * 700;
            }
            guard.pass(&plan, 700, &reported(false));
            now = now.after(crate::time::ms(700));
        }
    }

    /// B01 law 8: energy taken = given + stored + lost, and the loss is never negative, whatever is reported.
    #[test]
    fn the_books_balance(steps in proptest::collection::vec((any::<bool>(), 0_i64..30_000_000, 2_500_i32..4_200, any::<bool>()), 1..200)) {
        let mut ledger = Ledger::default();
        let mut charge = (0_i64, 0_i64);
        for (take, moved, millivolts, empty) in steps {
            let before = ledger.lost;
            ledger.book_for_test(if take { Phase::Take } else { Phase::Give }, moved, mv(millivolts));
            if take { charge.0 += moved } else { charge.1 += moved }
            if empty && !take {
                ledger.emptied_for_test();
                prop_assert_eq!(ledger.stored(), 0);
            }
            prop_assert!(ledger.stored() >= 0 && ledger.lost >= before);
            prop_assert_eq!(ledger.energy_taken, ledger.energy_given + ledger.stored() + ledger.lost);
            prop_assert_eq!(ledger.taken.as_milliamp_millis(), charge.0);
            prop_assert_eq!(ledger.given.as_milliamp_millis(), charge.1);
            prop_assert!((300..=1_000).contains(&ledger.efficiency_permille()));
        }
    }
}

/// B01: a transfer is relayed link by link where only neighbours are connected, each link in its turn.
#[test]
fn a_transfer_is_relayed_between_neighbours() {
    let capabilities = capabilities(BalancerKind::Shuttle);
    let until = Instant::from_millis(1_000_000);
    for (source, destination) in [(2_u8, 5_u8), (5, 2), (0, 1)] {
        let plan = Plan::Transfer { source, destination, phase: Phase::Take, current: ma(500), until };
        let mut links = Vec::new();
        for turn in 0..u64::from(source.abs_diff(destination)) {
            match fit(plan, &capabilities, Instant::from_millis(turn * 10_000)) {
                Plan::Shuttle { source, destination, .. } => links.push((source, destination)),
                other => panic!("{other:?}"),
            }
        }
        let ends = (links.iter().any(|link| link.0 == source), links.iter().any(|link| link.1 == destination));
        assert_eq!(ends, (true, true), "{links:?}");
        assert!(links.iter().all(|(from, to)| from.abs_diff(*to) == 1 && (to > from) == (destination > source)));
    }
}

/// B01: where there is only a resistor, the source burns while it would give, and nothing happens while it would receive.
#[test]
fn a_transfer_becomes_a_resistor() {
    let capabilities = capabilities(BalancerKind::Bleed);
    let until = Instant::from_millis(1_000);
    let plan = |phase| Plan::Transfer { source: 3, destination: 1, phase, current: ma(500), until };
    assert_eq!(fit(plan(Phase::Take), &capabilities, Instant::ZERO), Plan::Bleed { mask: 8, until });
    assert_eq!(fit(plan(Phase::Give), &capabilities, Instant::ZERO), Plan::Idle);
}

/// D04: interruptions for quiet scans take at most 5 % of the time, however often a strategy stops.
#[test]
fn looks_are_rationed() {
    let mut guard = Guard::new();
    let plan = Plan::Bleed { mask: 1, until: Instant::from_millis(u64::MAX) };
    assert!(guard.may_look(100), "the first is free");
    let (mut ran, mut looked) = (0, 0);
    for _ in 0..1_000 {
        guard.pass(&plan, 300, &reported(true));
        ran += 300;
        if guard.may_look(100) {
            looked += 100;
        }
    }
    assert!(looked > 0 && looked * 20 <= ran + looked, "{looked} of {ran}");
    assert!(guard.may_look(INTERRUPTED), "nothing is interrupted by then");
}

const INTERRUPTED: u32 = 5_001;

fn situation<'a>(scan: Option<CellScan<'a>>, now: u64, current: i32) -> Situation<'a> {
    Situation {
        now: Instant::from_millis(now),
        elapsed: 1_000,
        quiet_scan: scan,
        cells: 8,
        chemistry: Chemistry::LiIon,
        capacity: ah(100),
        pack_current: Some(ma(current)),
        running: Plan::Idle,
        balance_current: Some(Current::ZERO),
        rules: Rules { start_voltage: mv(3_300), ceiling: mv(4_100), ..rules() },
        capabilities: BalancerCapabilities::MANUAL,
        store_empty: true,
    }
}

/// D04 law 2: without quiet scans, or without a known current, the quota strategy moves nothing, ever; with them it does.
#[test]
fn worse_data_never_starts_a_transfer() {
    let mut tenths = [37_000_u16; 8];
    tenths[2] = 37_500;
    tenths[5] = 36_500;
    let all = mask(8);
    let run = |with: &dyn Fn(u64) -> (bool, bool)| {
        let mut quota = Quota::<8>::new();
        (0..600).any(|second| {
            let (scanned, known) = with(second);
            let mut situation = situation(scanned.then(|| scan(&tenths, all)), second * 1_000, 0);
            situation.pack_current = situation.pack_current.filter(|_| known);
            quota.observe(&situation);
            !quota.plan(&situation).is_idle()
        })
    };
    assert!(run(&|_| (true, true)));
    assert!(!run(&|_| (false, true)), "no quiet scan");
    assert!(!run(&|_| (true, false)), "no current");
    assert!(!run(&|second| (true, second % 100 != 0)), "never at rest for long enough, as far as is known");
}

/// D04: differences below what two readings can tell apart move nothing.
#[test]
fn differences_below_the_resolution_move_nothing() {
    for (millivolts_apart, moves) in [(2, false), (40, true)] {
        let mut tenths = [37_000_u16; 8];
        tenths[2] = 37_000 + millivolts_apart * 10;
        let mut quota = Quota::<8>::new();
        let moved = (0..600).any(|second| {
            let situation = situation(Some(scan(&tenths, mask(8))), second * 1_000, 0);
            quota.observe(&situation);
            !quota.plan(&situation).is_idle()
        });
        assert_eq!(moved, moves, "{millivolts_apart} mV");
    }
}

/// What was learned survives, and a changed pack voids it.
#[test]
fn quotas_survive_a_shutdown_and_not_another_pack() {
    let mut learned = LearnedBalance { efficiency_permille: 870, doubt: 12, ..LearnedBalance::NOTHING };
    learned.surplus[..8].copy_from_slice(&[0, 300, -300, 0, 0, 0, 0, 0]);
    let mut quota = Quota::<8>::new();
    quota.restore(&learned);
    assert_eq!(quota.learned(), learned);
    assert_eq!(quota.ledger().efficiency_permille(), 870);
    let tenths = [33_000_u16; 8];
    let starts = |quota: &mut Quota<8>| {
        let situation =
            Situation { chemistry: Chemistry::LiFePo4, ..situation(Some(scan(&tenths, mask(8))), 1_000, 0) };
        quota.observe(&situation);
        quota.plan(&situation)
    };
    assert!(matches!(starts(&mut quota), Plan::Transfer { source: 1, destination: 2, phase: Phase::Take, .. }));
    quota.forget();
    assert!(starts(&mut quota).is_idle());
}
