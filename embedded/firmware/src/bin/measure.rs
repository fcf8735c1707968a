//! Counts instructions and stack of the core's calls; prints raw numbers for `.ci/figures.py`.

#![no_std]
#![no_main]

use bms_core::Bms;
use bms_core::balancing::Strategy;
use bms_core::command::Command;
use bms_core::config::{BoardDefinition, Config, Model, SensorPolicy, ValidConfig};
use bms_core::estimation::Estimator;
use bms_core::fittings::Fittings;
#[cfg(feature = "protection")]
use bms_core::fittings::NotFitted;
#[cfg(feature = "unbalanced")]
use bms_core::fittings::Unbalanced;
use bms_core::measurement::{Cells, Feedback, Group, Input, Inputs, Reading, Sample, Temperatures};
use bms_core::time::{Instant, ms};
use bms_core::units::{ah, deg_c, ma, mv};
use bms_on_target::Counter;
use bms_on_target::tally::{Range, stack_of};
#[cfg(not(any(feature = "unbalanced", feature = "protection")))]
use bms_scenarios::Xorshift;
#[cfg(not(any(feature = "unbalanced", feature = "protection")))]
use bms_scenarios::laws::{self, Observer};
use core::hint::black_box;
use semihosting::println;

/// The pack of `docs/performance.md`: 24 cells, 4 temperatures, 1 current; every alarm on.
const PACK: ValidConfig = const {
    let board = BoardDefinition {
        sensors: [
            SensorPolicy::Required,
            SensorPolicy::Required,
            SensorPolicy::Required,
            SensorPolicy::NotFitted,
            SensorPolicy::NotFitted,
        ],
        ..BoardDefinition::MANUAL
    };
    Config::li_ion(24).with_model(Model::B2a24s20p).with_capacity(ah(280)).with_board(board).validated()
};

#[inline(never)]
fn step<E: Estimator, S: Strategy, F: Fittings>(bms: &mut Bms<24, E, S, F>, now: Instant, input: Input<'_>) -> Command {
    bms.step(now, input)
}

#[inline(never)]
fn protect<E: Estimator, S: Strategy, F: Fittings>(bms: &mut Bms<24, E, S, F>, now: Instant, input: Input<'_>) {
    black_box(bms.protect_for_measurement(now, input));
}

fn healthy(now: Instant, turn: u32, conducting: bool) -> Sample {
    let wobble = (turn % 7) as i32;
    let mut cells = Cells::new(24);
    for index in 0..24 {
        cells.set(index, mv(3_700 + wobble + (index % 3) as i32));
    }
    let mut sample = Sample::new();
    sample.cells = Group::at(now, cells);
    // No current through an open switch, or it would count as stuck.
    sample.current = Group::at(now, ma(if conducting { -20_000 - wobble * 10 } else { 0 }));
    let sensor = Reading::Valid(deg_c(25));
    let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(35)), ..Temperatures::default() };
    for reading in temperatures.battery.iter_mut().take(3) {
        *reading = sensor;
    }
    sample.temperatures = Group::at(now, temperatures);
    let mut stack = mv(0);
    for index in 0..24 {
        stack = stack.plus(mv(3_700 + wobble + (index % 3)));
    }
    sample.stack = Group::at(now, stack);
    sample.feedback = Group::at(now, Feedback { quiet: true, store_empty: true, ..Feedback::default() });
    sample.inputs = Group::at(now, Inputs::default());
    sample
}

/// Measures every step of the generated sequences of the laws, faults and all.
#[cfg(not(any(feature = "unbalanced", feature = "protection")))]
struct Worst<'a> {
    counter: &'a Counter,
    step: &'a mut Range,
    protect: &'a mut Range,
}

#[cfg(not(any(feature = "unbalanced", feature = "protection")))]
impl Observer for Worst<'_> {
    const TWINS: bool = false;

    fn step(&mut self, bms: &mut Bms, now: Instant, input: Input<'_>) -> Command {
        let mut twin = bms.clone();
        let begin = self.counter.now();
        protect(&mut twin, now, black_box(input));
        let end = self.counter.now();
        self.protect.add(Counter::between(begin, end));
        let begin = self.counter.now();
        let command = step(bms, now, black_box(input));
        let end = self.counter.now();
        self.step.add(Counter::between(begin, end));
        command
    }
}

/// A healthy pack at work, on a core with these parts: instructions, stack, memory.
#[inline(never)]
fn normal<E, S, F>(counter: &Counter, mut bms: Bms<24, E, S, F>)
where
    E: Estimator + Clone,
    S: Strategy + Clone,
    F: Fittings,
{
    println!("bytes state {}", size_of_val(&bms));
    let mut now = Instant::from_millis(1_000);
    let (mut steps, mut protects) = (Range::new(), Range::new());
    for turn in 0..1_000 {
        now = now.after(ms(100));
        let sample = healthy(now, turn, bms.command().discharge.is_closed());
        let mut twin = bms.clone();
        let begin = counter.now();
        protect(&mut twin, now, black_box(Input::Sample(&sample)));
        let middle = counter.now();
        let command = step(&mut bms, now, black_box(Input::Sample(&sample)));
        let end = counter.now();
        while bms.poll_event().is_some() {}
        // The first 20 s are the start; what counts is a pack at work.
        if turn >= 200 {
            let runs = command.charge.is_closed() && command.discharge.is_closed();
            assert!(runs, "a healthy pack must run: {:?} {:?}", bms.state(), bms.alarms().iter().next());
            protects.add(Counter::between(begin, middle));
            steps.add(Counter::between(middle, end));
        }
    }
    steps.print("step_normal");
    protects.print("protect_normal");

    now = now.after(ms(100));
    let sample = healthy(now, 0, true);
    let base = stack_of(&mut || {
        black_box(&sample);
    });
    let used = stack_of(&mut || {
        step(&mut bms, now, black_box(Input::Sample(&sample)));
    });
    println!("bytes stack_step {}", used - base);
}

/// The generated sequences of the laws, on the default core.
#[cfg(not(any(feature = "unbalanced", feature = "protection")))]
fn worst(counter: &Counter) {
    let (mut steps, mut protects) = (Range::new(), Range::new());
    let mut random = Xorshift::new(0x0BAD_CE11);
    let mut total = 0;
    let mut selector = 0_u8;
    while total < 8_000 {
        let mut bytes = [0; 512];
        random.fill(&mut bytes);
        // The 24-cell configuration, and every third time another.
        bytes[0] = if selector % 3 == 2 { selector } else { 1 };
        selector = selector.wrapping_add(1);
        let observer = Worst { counter, step: &mut steps, protect: &mut protects };
        let (coverage, _) = laws::run(&bytes, observer);
        total += coverage.steps;
    }
    steps.print("step_any");
    protects.print("protect_any");
}

fn run() -> ! {
    let counter = Counter::start();
    let mut empty = Range::new();
    for _ in 0..16 {
        let begin = counter.now();
        black_box(());
        let end = counter.now();
        empty.add(Counter::between(begin, end));
    }
    empty.print("empty");

    println!("bytes sample {}", size_of::<Sample>());
    println!("bytes command {}", size_of::<Command>());
    println!("bytes recorder {}", size_of::<bms_core::recorder::Recorder<24, 64, 8>>());
    println!("bytes snapshot {}", size_of::<bms_core::snapshot::Snapshot>());

    #[cfg(feature = "unbalanced")]
    normal(&counter, Unbalanced::<24>::without_balancer(PACK));
    #[cfg(feature = "protection")]
    normal(&counter, Bms::<24, _, _, NotFitted>::with_parts(PACK, NotFitted, NotFitted));
    #[cfg(not(any(feature = "unbalanced", feature = "protection")))]
    {
        normal(&counter, Bms::new(PACK));
        worst(&counter);
    }
    semihosting::process::exit(0)
}

bms_on_target::entry!(run);
