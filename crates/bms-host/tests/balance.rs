//! Whole runs of every balancing strategy on every kind of balancer, and the test of the wires on each, on the simulated pack.
//!
//! `BMS_PROPERTY_CASES` and `BMS_PROPERTY_SEED` make a longer or another campaign of random packs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bms_core::balancing::{BalancerKind, ManualRule, PassiveBleed, Phase, Plan, Quota, Strategy};
use bms_core::bms::Request;
use bms_core::estimation::CoulombCounter;
use bms_core::event::EventKind;
use bms_core::prelude::*;
use bms_host::plant::{PackSpec, Wire};
use bms_host::rig::Rig;
use bms_host::sim::balance::BalanceArguments;
use bms_host::sim::balance::pack::{self, Use};
use bms_host::sim::balance::trial::{self, Contestant};
use bms_host::sim::report;
use clap::{Args, FromArgMatches};
use proptest::prelude::{Just, Strategy as Values, prop_oneof};
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};

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
                // One resistor of 33 Ω, half of the time, is the least: 0.06 A.
                assert!(outcome.moved_ah > 0.2, "{kind:?} {name}: {outcome:?}");
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

/// The arguments of `bms-sim balance` with their defaults.
fn arguments(text: &[&str]) -> BalanceArguments {
    let command = BalanceArguments::augment_args(clap::Command::new("balance"));
    let matches = command.get_matches_from(core::iter::once("balance").chain(text.iter().copied()));
    BalanceArguments::from_arg_matches(&matches).unwrap().completed()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// B01: a cell with 80 % of the capacity that is level with the others when full does not become the measure of all others at the
/// level near full, and is not driven back and forth with every charge.
#[test]
fn a_weak_cell_is_left_where_it_belongs() {
    // The pack in which the weak cell does not come to the level near full in the first charge.
    let arguments = arguments(&["--weak", "80", "--spread", "0", "--horizon-times", "5"]);
    let config = pack::config(&arguments, arguments.step_ms).unwrap();
    let trial = trial::run(&arguments, config, Contestant::Quota, 3).unwrap();
    assert!(trial.charges >= 4, "{trial:?}");
    assert!(trial.spread_after <= 0.015, "spread {}", trial.spread_after);
    assert!(trial.turns <= 3, "{} turns in {} charges", trial.turns, trial.charges);
}

/// Where all cells can be told apart best, readings of ±3 mV and unlike resistances tell this much, as a part of the capacity:
/// at rest on a slope, and while charging.
const TOLD_AT_REST: f64 = 0.0085;
const TOLD_IN_USE: f64 = 0.015;

/// D04: over a whole run on random packs, with random constant errors, balance and charge currents, the sum of what was moved never
/// makes the true spread larger, at any time, than it was and than the readings can tell. The strategies that claim it: the default
/// one everywhere, those that go by voltage at rest where the curve has a slope.
#[test]
fn what_is_moved_never_makes_a_pack_worse_than_readings_tell() {
    let cases = u32::try_from(number("BMS_PROPERTY_CASES", 24)).unwrap();
    let mut seed = [5_u8; 32];
    seed[..8].copy_from_slice(&number("BMS_PROPERTY_SEED", 20_260_101).to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Cases { cases, failure_persistence: None, max_shrink_iters: 0, ..Cases::default() };
    let everywhere = prop_oneof![
        Just(Contestant::Quota),
        Just(Contestant::Quota),
        Just(Contestant::QuotaNeighbours),
        Just(Contestant::QuotaResistors)
    ]
    .prop_flat_map(|contestant| {
        let chemistry = prop_oneof![Just("nmc"), Just("lfp"), Just("lto")];
        (Just(contestant), chemistry, prop_oneof![Just("rest"), Just("charge"), Just("cycle")])
    });
    let by_voltage = (prop_oneof![Just(Contestant::Manual), Just(Contestant::Passive)], Just("nmc"), Just("rest"));
    let what = prop_oneof![3 => everywhere, 1 => by_voltage];
    // Cells (LTO has at least 14), spread in tenths of a percent, error in tenths of a millivolt, balance current in hundredths of
    // 0.1 C, capacity, steps, pack.
    let of_pack = (
        14_u8..=18,
        prop_oneof![Just(0), 0_u32..=25],
        0_u32..=30,
        30_u32..=100,
        10_u32..=100,
        2_u32..=10,
        0_u64..100_000,
    );
    let worst = std::cell::Cell::new((0.0_f64, 0_u32, 0.0_f64));
    TestRunner::new_with_rng(config, random)
        .run(
            &(what, of_pack),
            |((contestant, chemistry, usage), (cells, spread, bias, current, capacity, step, pack))| {
                let milliamps = (capacity * current).min(2_000);
                let arguments = arguments(
                    &[
                        ["--chemistry", chemistry, "--use", usage, "--horizon-times", "1.5"]
                            .map(str::to_owned)
                            .to_vec(),
                        vec!["--cells".to_owned(), cells.to_string(), "--capacity-ah".to_owned(), capacity.to_string()],
                        vec!["--spread".to_owned(), format!("{:.1}", f64::from(spread) / 10.0)],
                        vec!["--bias".to_owned(), format!("{:.1}", f64::from(bias) / 10.0)],
                        vec!["--current".to_owned(), format!("{:.2}", f64::from(milliamps / 10) / 100.0)],
                        vec!["--step-ms".to_owned(), (step * 100).to_string()],
                    ]
                    .concat()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
                );
                let config = pack::config(&arguments, arguments.step_ms).unwrap();
                let trial = trial::run(&arguments, config, contestant, pack).unwrap();
                let told = if arguments.usage == Use::Rest { TOLD_AT_REST } else { TOLD_IN_USE };
                let spread_of = |cells: &[f64]| {
                    cells.iter().fold(f64::MIN, |most, cell| most.max(*cell))
                        - cells.iter().fold(f64::MAX, |least, cell| least.min(*cell))
                };
                let most = trial.course.iter().map(|(_, cells)| spread_of(cells)).fold(trial.spread_after, f64::max);
                let worse = most - trial.spread_before;
                let (before, moved, ah) = worst.get();
                worst.set((before.max(worse / told), moved + u32::from(trial.ah_moved > 0.0), ah + trial.ah_moved));
                assert!(
                    worse <= told,
                    "{contestant:?} pack {pack}: {:.4} became {most:.4}; {arguments:?}",
                    trial.spread_before
                );
                Ok(())
            },
        )
        .unwrap();
    let (worst, moved, ah) = worst.get();
    println!(
        "{cases} packs, {moved} with something to move ({ah:.0} Ah): at worst {:.0} % of what readings tell",
        worst * 100.0
    );
    assert!(moved >= cases / 3, "only {moved} of {cases} packs had something to move");
}

/// T04 T14 B07 B08: the status view shows the switch, the two cells, what is being done and the signed current, in each phase and
/// on each kind of balancer.
#[test]
fn the_status_view_shows_what_the_balancer_does() {
    let rig = |kind: BalancerKind| {
        let mut spec = PackSpec::new(Chemistry::LiIon, 8);
        spec.capacity_ah = 20.0;
        spec.cell_soc = vec![0.60, 0.60, 0.66, 0.60, 0.54, 0.60, 0.60, 0.60];
        spec.balancer.kind = kind;
        Rig::with_core(PACK, quota, &spec).unwrap()
    };
    let page = |rig: &Rig| report::page(rig.bms(), "balancing").to_text(112, false);
    // What the view says in the first step in which the plan is as wanted and the board has answered.
    let seen = |rig: &mut Rig, wanted: fn(&Plan) -> bool| {
        let mut in_a_row = 0;
        for _ in 0..36_000 {
            in_a_row = if wanted(&rig.step().balance) { in_a_row + 1 } else { 0 };
            if in_a_row == 5 {
                return page(rig);
            }
        }
        panic!("{}", page(rig));
    };
    let shows = |text: &str, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "no {word:?} in\n{text}");
        }
        // The cells that are worked on are marked.
        text.matches('*').count()
    };

    let mut channel = rig(BalancerKind::Transfer);
    let idle = seen(&mut channel, Plan::is_idle);
    assert_eq!(shows(&idle, &["Balance", "On", "Balancing", "-", "Balance current", "+0.00 A"]), 1);
    let taking = seen(&mut channel, |plan| matches!(plan, Plan::Transfer { phase: Phase::Take, .. }));
    assert_eq!(shows(&taking, &["3 → 5, taking", "-2.00 A"]), 3);
    let giving = seen(&mut channel, |plan| matches!(plan, Plan::Transfer { phase: Phase::Give, .. }));
    assert_eq!(shows(&giving, &["3 → 5, giving", "+2.00 A"]), 3);
    channel.request(Request::SetBalance(false)).unwrap();
    channel.step();
    let off = seen(&mut channel, Plan::is_idle);
    shows(&off, &["Balance            Off", "+0.00 A"]);

    let neighbours = seen(&mut rig(BalancerKind::Shuttle), |plan| matches!(plan, Plan::Shuttle { .. }));
    assert_eq!(shows(&neighbours, &["3 → 4", "-2.00 A"]), 3);
    let resistors = seen(&mut rig(BalancerKind::Bleed), |plan| matches!(plan, Plan::Bleed { .. }));
    shows(&resistors, &["burning in"]);
}
