//! Whole runs of every balancing strategy on every kind of balancer, and the test of the wires on each, on the simulated pack.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bms_core::balancing::{BalancerKind, ManualRule, PassiveBleed, Phase, Plan, Quota, Strategy};
use bms_core::bms::Request;
use bms_core::estimation::CoulombCounter;
use bms_core::event::EventKind;
use bms_core::prelude::*;
use bms_host::plant::{PackSpec, Wire};
use bms_host::rig::Rig;

const KINDS: [BalancerKind; 3] = [BalancerKind::Transfer, BalancerKind::Shuttle, BalancerKind::Bleed];
const PACK: ValidConfig = const { Config::li_ion(8).with_model(Model::B2a24s15p).with_capacity(ah(20)).validated() };

fn spread(rig: &[f64]) -> f64 {
    let (low, high) = rig.iter().fold((f64::MAX, f64::MIN), |(low, high), soc| (low.min(*soc), high.max(*soc)));
    high - low
}

/// What came of a run.
#[derive(Debug)]
struct Run {
    before: f64,
    after: f64,
    moved_ah: f64,
}

/// A pack at rest for some hours; the limits and the plant's own books are checked in every step.
fn run<S: Strategy>(
    kind: BalancerKind,
    make: fn(ValidConfig) -> Bms<24, CoulombCounter, S>,
    socs: &[f64],
    seed: u64,
    hours: u32,
) -> Run {
    let mut spec = PackSpec::new(Chemistry::LiIon, 8);
    spec.capacity_ah = 20.0;
    spec.seed = seed;
    spec.cell_soc = socs.to_vec();
    spec.cell_bias = (0..8).map(|cell| 0.003 * f64::from((cell * 5 + seed as i32) % 7 - 3) / 3.0).collect();
    spec.sensors.cell.noise = 0.001;
    spec.balancer.kind = kind;
    spec.balancer.maximum_current = 2.0;
    let mut rig = Rig::with_core(PACK, make, &spec).unwrap();
    let before = spread(&rig.plant().socs().collect::<Vec<_>>());
    let (mut short, mut ran, mut off) = (0_u64, 0_u64, 0_u64);
    for _ in 0..hours * 36_000 {
        let command = rig.step();
        match command.balance {
            Plan::Idle => off += 100,
            plan => {
                short += if ran > 0 && off <= 5_000 { off } else { 0 };
                (off, ran) = (0, ran + 100);
                let wanted = match plan {
                    Plan::Transfer { .. } => BalancerKind::Transfer,
                    Plan::Shuttle { .. } => BalancerKind::Shuttle,
                    _ => BalancerKind::Bleed,
                };
                assert_eq!(wanted, kind, "a plan for another balancer");
                // The port took it: the plant refuses what it cannot do, and stops by itself only when the store is full or empty.
                let alike = core::mem::discriminant(rig.plant().plan()) == core::mem::discriminant(&plan);
                let by_itself = rig.plant().plan().is_idle() && kind == BalancerKind::Transfer;
                assert!(alike || by_itself, "{plan:?}, but {:?}", rig.plant().plan());
                if let Plan::Transfer { current, .. } | Plan::Shuttle { current, .. } = plan {
                    assert!(current <= amps(2) && rig.plant().balance_current().abs() <= 2.001);
                }
            }
        }
    }
    let books = rig.plant().balance_ledger();
    let error = books.taken - books.given - books.stored - books.lost;
    assert!(error.abs() <= 1e-6 * books.taken.max(1.0) && books.lost >= -1e-6 && books.stored >= -1e-6, "{books:?}");
    assert!(short * 20 <= short + ran, "quiet scans: {short} of {ran} ms");
    let after = spread(&rig.plant().socs().collect::<Vec<_>>());
    Run { before, after, moved_ah: rig.plant().balancer_taken() / 3_600.0 }
}

fn quota(config: ValidConfig) -> Bms<24, CoulombCounter, Quota<24>> {
    Bms::with_parts(config, CoulombCounter::new(&config), Quota::new())
}
fn manual(config: ValidConfig) -> Bms<24, CoulombCounter, ManualRule> {
    Bms::with_parts(config, CoulombCounter::new(&config), ManualRule::new())
}
fn passive(config: ValidConfig) -> Bms<24, CoulombCounter, PassiveBleed> {
    Bms::with_parts(config, CoulombCounter::new(&config), PassiveBleed::new())
}

/// Two readings, each within 3 mV, on the 8.5 mV that a percent of charge makes here.
const UNCERTAINTY: f64 = 0.0071;

/// B01 D04: every strategy on every kind of balancer brings an uneven pack together, or, where it cannot be carried out, moves
/// nothing; limits, quiet scans and the books of energy hold throughout.
#[test]
fn every_strategy_on_every_balancer() {
    let socs = [0.60, 0.63, 0.58, 0.60, 0.62, 0.57, 0.60, 0.61];
    for kind in KINDS {
        for (name, outcome) in [
            ("quota", run(kind, quota, &socs, 1, 4)),
            ("manual", run(kind, manual, &socs, 1, 4)),
            ("passive", run(kind, passive, &socs, 1, 4)),
        ] {
            println!("{kind:?} {name}: {outcome:?}");
            let fits = name != "passive" || kind == BalancerKind::Bleed;
            if fits {
                assert!(outcome.moved_ah > 0.3, "{kind:?} {name}: {outcome:?}");
                assert!(outcome.after < outcome.before - 0.005, "{kind:?} {name}: {outcome:?}");
            } else {
                assert!(outcome.moved_ah.abs() < 1e-9, "{kind:?} {name}: {outcome:?}");
            }
        }
    }
}

/// D04: over a full run on a level pack, no strategy on any balancer makes the true spread larger than what the readings can tell.
#[test]
fn a_level_pack_stays_level() {
    for seed in 2..5 {
        let socs = [0.6, 0.601, 0.599, 0.6, 0.6005, 0.5995, 0.6, 0.6];
        for kind in KINDS {
            for (name, outcome) in [
                ("quota", run(kind, quota, &socs, seed, 3)),
                ("manual", run(kind, manual, &socs, seed, 3)),
                ("passive", run(kind, passive, &socs, seed, 3)),
            ] {
                assert!(outcome.after <= outcome.before + UNCERTAINTY, "{kind:?} {name} {seed}: {outcome:?}");
            }
        }
    }
}

/// W01: on request each kind of balancer measures every wire of a level pack; a bad one is found whichever it is.
#[test]
fn every_balancer_tests_the_wires() {
    for kind in KINDS {
        for bad in [0, 1, 4, 8] {
            let mut spec = PackSpec::new(Chemistry::LiIon, 8);
            spec.capacity_ah = 20.0;
            spec.balancer.kind = kind;
            let mut rig = Rig::with_core(PACK, quota, &spec).unwrap();
            rig.plant_mut().set_wire(bad, Wire::Ohms(0.15));
            for _ in 0..600 {
                rig.step();
            }
            let _ = rig.take_events().count();
            rig.request(Request::TestWires).unwrap();
            let mut visited = None;
            let mut phases = 0_u32;
            for _ in 0..6_000 {
                let command = rig.step();
                phases |= match command.balance {
                    Plan::Idle => 0,
                    Plan::Transfer { phase: Phase::Take, .. } => 1,
                    _ => 2,
                };
                visited = rig.take_events().fold(visited, |visited, event| match event.kind {
                    EventKind::WireTest { active: false, visited } => Some(visited),
                    _ => visited,
                });
                if visited.is_some() {
                    break;
                }
            }
            assert_eq!(visited, Some(8), "{kind:?}");
            assert_eq!(phases, if kind == BalancerKind::Transfer { 3 } else { 2 });
            let wires = rig.bms().status().wires;
            let measured: Vec<i32> =
                (0..9).map(|wire| wires.resistance(wire).map_or(-1, |ohms| ohms.as_microohms() / 1_000)).collect();
            println!("{kind:?} {bad}: {measured:?}");
            for (wire, milliohms) in measured.iter().enumerate() {
                // An end wire includes its cell's own resistance; the converters give a little less than they take.
                let truth = if wire == bad { 150 } else { 20 };
                let tolerance = 8 + truth / 10 + if wire == 0 || wire == 8 { 15 } else { 0 };
                assert!((milliohms - truth).abs() <= tolerance, "{kind:?} wire {wire} of {bad}: {measured:?}");
            }
        }
    }
}
