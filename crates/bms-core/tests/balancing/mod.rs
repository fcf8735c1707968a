//! Balancing under any sequence of faults: every strategy on every kind of balancer, its limits checked in every step.
//!
//! ```text
//! bytes ─► strategy, kind ─► what happens (pack, sensors, balancer's answers, requests) ─► World ─► Sample ─► Bms ─► Plan
//!                                                                                                     └─ twins with worse data
//! ```
//! The property test (`balancing_laws.rs`) and the fuzzer (`step_sequence`) share it.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "an oracle panics when a law is broken; each user takes what it needs"
)]

use bms_core::balancing::{BalancerCapabilities, BalancerKind, ManualRule, PassiveBleed, Phase, Plan, Quota, Strategy};
use bms_core::bms::Request;
use bms_core::config::SensorPolicy;
use bms_core::estimation::CoulombCounter;
use bms_core::measurement::Feedback;
use bms_core::port::ErrorKind;
use bms_core::prelude::*;
use bms_core::protection::Inhibit;

const CELLS: usize = 8;
const PACK: ValidConfig = const { Config::li_ion(8).with_model(Model::B2a8s20p).with_capacity(ah(40)).validated() };

/// The pack, the balancer, and what is wrong with them.
#[derive(Clone)]
struct World {
    now: Instant,
    tenths: [u16; CELLS],
    invalid: u32,
    milliamps: i32,
    celsius: i32,
    /// Groups that are missing: cells, current, temperatures, feedback.
    missing: u8,
    /// Charge in the store, mA·ms.
    store: i64,
    idle_since: Instant,
    quiet_told: bool,
    answers: Answers,
    /// Charge that the core had taken since it was last told that the store is empty, mA·ms.
    taken: i64,
}

/// How the balancer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Truly,
    /// It says that nothing flows.
    NoCurrent,
    /// With the wrong sign.
    Inverted,
    /// Ten times as much.
    TooMuch,
    /// That the store is never empty.
    NeverEmpty,
    /// That it always is.
    AlwaysEmpty,
    /// That it is quiet, also while it runs.
    AlwaysQuiet,
    /// It does nothing at all, and says so.
    Dead,
}

impl Answers {
    const ALL: [Self; 8] = [
        Self::Truly,
        Self::NoCurrent,
        Self::Inverted,
        Self::TooMuch,
        Self::NeverEmpty,
        Self::AlwaysEmpty,
        Self::AlwaysQuiet,
        Self::Dead,
    ];
}

impl World {
    fn current(&self, plan: &Plan) -> i32 {
        match *plan {
            _ if self.answers == Answers::Dead => 0,
            Plan::Transfer { phase: Phase::Take, current, .. } | Plan::Shuttle { current, .. } => {
                -current.as_milliamps()
            }
            Plan::Transfer { phase: Phase::Give, current, .. } if self.store > 0 => current.as_milliamps(),
            Plan::Bleed { .. } => -500,
            _ => 0,
        }
    }
    fn pass(&mut self, plan: &Plan, milliseconds: u32) {
        let moved = i64::from(self.current(plan)) * i64::from(milliseconds);
        if let Plan::Transfer { .. } = plan {
            self.store = (self.store - moved).max(0);
        }
        self.now = self.now.after(ms(milliseconds));
        if !plan.is_idle() {
            self.idle_since = self.now;
        }
    }
    fn told_empty(&self) -> bool {
        match self.answers {
            Answers::NeverEmpty => false,
            Answers::AlwaysEmpty => true,
            _ => self.store == 0,
        }
    }
    fn sample(&self, plan: &Plan) -> Sample {
        let mut sample = Sample::new();
        let mut cells = Cells::new(CELLS as u8);
        for (index, tenths) in self.tenths.iter().enumerate() {
            cells.set_tenths(index, *tenths);
            if self.invalid >> index & 1 == 1 {
                cells.invalidate(index);
            }
        }
        let there = |group: u8| self.missing & group == 0;
        if there(1) {
            sample.cells = Group::at(self.now, cells);
        }
        let sum: i32 = self.tenths.iter().map(|tenths| i32::from(*tenths) * 100).sum();
        sample.stack = Group::at(self.now, uv(sum));
        if there(2) {
            sample.current = Group::at(self.now, ma(self.milliamps));
        }
        if there(4) {
            let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
            for (reading, policy) in temperatures.battery.iter_mut().zip(PACK.board().sensors) {
                if policy != SensorPolicy::NotFitted {
                    *reading = Reading::Valid(deg_c(self.celsius));
                }
            }
            sample.temperatures = Group::at(self.now, temperatures);
        }
        if there(8) {
            let quiet = self.quiet_told && plan.is_idle() && self.now.since(self.idle_since) >= ms(20);
            let truth = self.current(plan);
            let told = match self.answers {
                Answers::NoCurrent => 0,
                Answers::Inverted => -truth,
                Answers::TooMuch => truth * 10,
                _ => truth,
            };
            let feedback = Feedback {
                balance_current: ma(told),
                quiet: quiet || self.answers == Answers::AlwaysQuiet,
                store_empty: self.told_empty(),
            };
            sample.feedback = Group::at(self.now, feedback);
        }
        sample.inputs = Group::at(self.now, Inputs::default());
        sample
    }
}

/// How often the laws had something to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub steps: u32,
    pub moving: u32,
    pub stopped: u32,
    pub twins: u32,
    pub tested: u32,
    /// Steps with a plan while the balancer answers falsely.
    pub deceived: u32,
}

/// How many pairs of a strategy and a kind of balancer there are.
pub const PAIRS: usize = 9;

/// Plays one pair, 0 … 8.
pub fn run(pair: usize, bytes: &[u8], seen: &mut Seen) {
    let kind = [BalancerKind::Transfer, BalancerKind::Shuttle, BalancerKind::Bleed][pair / 3 % 3];
    match pair % 3 {
        0 => play(bytes, kind, Quota::<24>::new(), seen),
        1 => play(bytes, kind, ManualRule::new(), seen),
        _ => play(bytes, kind, PassiveBleed::new(), seen),
    }
}

fn play<S: Strategy + Clone>(bytes: &[u8], kind: BalancerKind, strategy: S, seen: &mut Seen) {
    let capabilities = BalancerCapabilities { kind, ..BalancerCapabilities::MANUAL };
    let fresh = strategy.clone();
    let mut bms: Bms<24, CoulombCounter, S> = Bms::with_parts(PACK, CoulombCounter::new(&PACK), strategy);
    bms.set_balancer(capabilities);
    let mut world = World {
        now: Instant::from_millis(1_000),
        tenths: [37_000, 37_150, 36_900, 37_000, 37_200, 36_800, 37_000, 37_050],
        invalid: 0,
        milliamps: 0,
        celsius: 25,
        missing: 0,
        store: 0,
        idle_since: Instant::ZERO,
        quiet_told: true,
        answers: Answers::Truly,
        taken: 0,
    };
    bms.step(world.now, Input::Tick);
    let mut wanted = true;
    for pair in bytes.chunks_exact(2) {
        let (what, value) = (pair[0], pair[1]);
        let cell = usize::from(value) % CELLS;
        let mut steps = 20;
        match what % 32 {
            0 => world.tenths[cell] = 26_000 + u16::from(value) * 70,
            1 => world.tenths[cell] = 37_000 + u16::from(value % 40) * 10,
            2 => world.invalid ^= 1 << cell,
            3 => world.milliamps = (i32::from(value) - 128) * 700,
            4 => world.celsius = i32::from(value) - 60,
            5 => world.missing ^= 1 << (value % 4),
            6 => world.quiet_told = value % 4 != 0,
            7 => {
                wanted = value % 3 != 0;
                bms.request(Request::SetBalance(wanted)).unwrap();
            }
            8 => {
                let _ = bms.request(Request::TestWires);
            }
            9 => {
                let _ = bms.request(if value % 2 == 0 { Request::EmergencyStop } else { Request::ResetEmergencyStop });
            }
            10 => bms.output_result(Err(ErrorKind::Bus)),
            11 => world.store = i64::from(value) * 100_000,
            25 => world.answers = Answers::ALL[usize::from(value) % Answers::ALL.len()],
            26 => {
                // A reset in the middle of a transfer; the store of the balancer keeps what it has.
                let snapshot = bms.snapshot();
                bms = Bms::with_parts(PACK, CoulombCounter::new(&PACK), fresh.clone());
                bms.set_balancer(capabilities);
                bms.restore(Stored::Snapshot(snapshot), ResetCause::PowerOn);
                (wanted, world.taken) = (snapshot.switches.balance, 0);
            }
            12..=15 => {
                // Everything heals.
                world.answers = Answers::Truly;
                (world.invalid, world.missing, world.celsius, world.milliamps, world.quiet_told) = (0, 0, 25, 0, true);
                world.tenths = [37_000, 37_150, 36_900, 37_000, 37_200, 36_800, 37_000, 37_050];
                let _ = bms.request(Request::ResetEmergencyStop);
                let _ = bms.request(Request::ClearLockout);
                let _ = bms.request(Request::ClearPermanent);
                steps = 100;
            }
            16..=24 => steps = 250,
            _ => {}
        }
        for step in 0..steps {
            let before = bms.command().balance;
            let milliseconds = if steps > 100 { 700 } else { 100 };
            world.pass(&before, milliseconds);
            match before {
                Plan::Transfer { phase: Phase::Take, current, .. } => {
                    world.taken += i64::from(current.as_milliamps()) * i64::from(milliseconds);
                }
                // Only what the core hears empties the store in its books.
                _ if world.missing & 8 == 0 && world.told_empty() => world.taken = 0,
                _ => {}
            }
            let sample = world.sample(&before);
            // Worse data in this very step must neither start a transfer nor let one go on.
            if step % 4 == 0 {
                seen.twins += 1;
                let mut worse = sample;
                let lack = (what ^ value ^ step as u8) % 3;
                match (lack, &mut worse.cells) {
                    (0, Group::Measured { value: cells, .. }) => cells.invalidate(cell),

                    (0 | 1, cells) => *cells = Group::Failed,
                    _ => worse.current = Group::Failed,
                }
                let mut twin = bms.clone();
                let plan = twin.step(world.now, Input::Sample(&worse)).balance;
                assert!(plan.is_idle(), "{plan:?} on worse data ({lack}), before {before:?}");
            }
            let plan = bms.step(world.now, Input::Sample(&sample)).balance;
            bms.output_result(Ok(()));
            while bms.poll_event().is_some() {}
            seen.steps += 1;
            seen.moving += u32::from(!plan.is_idle());
            seen.stopped += u32::from(plan.is_idle() && !before.is_idle());
            seen.deceived += u32::from(!plan.is_idle() && world.answers != Answers::Truly);
            seen.tested += u32::from(!plan.is_idle() && bms.status().wire_test.is_some());
            check(&bms, &world, &plan, kind, wanted);
        }
    }
}

fn check<S: Strategy>(bms: &Bms<24, CoulombCounter, S>, world: &World, plan: &Plan, kind: BalancerKind, wanted: bool) {
    if plan.is_idle() {
        return;
    }
    let testing = bms.status().wire_test.is_some();
    let of_wires = |alarm: &Alarm| testing && matches!(alarm, Alarm::OpenWire | Alarm::WireResistance);
    let forbidding = bms.alarms().iter().find(|alarm| alarm.inhibits().includes(Inhibit::BALANCE) && !of_wires(alarm));
    assert_eq!(forbidding, None, "{plan:?}");
    assert!(wanted && world.invalid == 0, "{plan:?}");
    assert!(plan.until().is_some_and(|until| until > world.now && until <= world.now.after(ms(2_000))), "{plan:?}");
    let limit = |parameter| PACK.voltage(parameter);
    let volts = |cell: usize| uv(i32::from(world.tenths[cell]) * 100);
    let gives = |cell: usize| assert!(volts(cell) > limit(ParameterId::CellUndervoltageRecovery), "{plan:?}");
    let takes = |cell: usize| assert!(volts(cell) < limit(ParameterId::CellOvervoltageRecovery), "{plan:?}");
    let most = PACK.current(ParameterId::BalanceCurrent);
    match *plan {
        Plan::Transfer { source, destination, current, .. } | Plan::Shuttle { source, destination, current, .. } => {
            let shuttles = matches!(plan, Plan::Shuttle { .. });
            assert_eq!(kind, if shuttles { BalancerKind::Shuttle } else { BalancerKind::Transfer });
            assert!(source != destination && (!shuttles || source.abs_diff(destination) == 1), "{plan:?}");
            assert!(current > ma(0) && current <= most, "{plan:?}");
            if let Plan::Transfer { phase: Phase::Take, .. } = plan {
                let room = i64::from(BalancerCapabilities::MANUAL.maximum_current.as_milliamps())
                    * i64::from(BalancerCapabilities::MANUAL.phase_time.as_millis());
                assert!(world.taken < room, "the store is full: {} of {room} mA·ms", world.taken);
            }
            gives(usize::from(source));
            takes(usize::from(destination));
        }
        Plan::Bleed { mask, .. } => {
            assert!(kind == BalancerKind::Bleed && mask != 0 && mask >> CELLS == 0, "{plan:?}");
            (0..CELLS).filter(|cell| mask >> cell & 1 == 1).for_each(gives);
        }
        _ => panic!("{plan:?}"),
    }
}
