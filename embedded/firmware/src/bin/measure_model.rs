//! The model-based estimator: what one of its updates costs, how deep a step with it goes, its memory; for `.ci/figures.py`.

#![no_std]
#![no_main]

use bms_core::balancing::Quota;
use bms_core::command::Command;
use bms_core::config::{Chemistry, Config, Model, ValidConfig};
use bms_core::estimation::{
    Anchor, CellModel, Estimator, Evidence, Learned, ModelEstimator, Source, StateOfCharge, StateOfHealth,
};
use bms_core::measurement::{Cells, Feedback, Group, Input, Inputs, Reading, Sample, Temperatures};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::{Instant, ms};
use bms_core::units::{Charge, Current, Voltage, ah, amps, deg_c, ma};
use bms_on_target::Counter;
use bms_on_target::tally::{Range, stack_of};
use core::cell::Cell;
use core::hint::black_box;
use semihosting::println;

/// Counts the instructions of the last update of the estimator within.
#[derive(Clone)]
struct Timed<'a> {
    inner: ModelEstimator,
    counter: &'a Counter,
    spent: &'a Cell<u32>,
}

impl Estimator for Timed<'_> {
    fn update(&mut self, evidence: &Evidence<'_>) -> Option<Anchor> {
        let begin = self.counter.now();
        let anchor = black_box(&mut self.inner).update(black_box(evidence));
        self.spent.set(Counter::between(begin, self.counter.now()));
        anchor
    }
    fn remaining(&self) -> Option<Charge> {
        self.inner.remaining()
    }
    fn capacity(&self) -> Charge {
        self.inner.capacity()
    }
    fn cycle_capacity(&self) -> Charge {
        self.inner.cycle_capacity()
    }
    fn cycles(&self) -> u32 {
        self.inner.cycles()
    }
    fn set_capacity(&mut self, capacity: Charge) {
        self.inner.set_capacity(capacity);
    }
    fn restore(&mut self, snapshot: &Snapshot) {
        self.inner.restore(snapshot);
    }
    fn state_of_charge(&self) -> Option<StateOfCharge> {
        self.inner.state_of_charge()
    }
    fn state_of_health(&self) -> Option<StateOfHealth> {
        self.inner.state_of_health()
    }
    fn source(&self) -> Option<Source> {
        self.inner.source()
    }
    fn learned(&self) -> Learned {
        self.inner.learned()
    }
}

type Pack<'a> = bms_core::Bms<24, Timed<'a>, Quota<24>>;

#[inline(never)]
fn step(bms: &mut Pack<'_>, now: Instant, input: Input<'_>) -> Command {
    bms.step(now, input)
}

fn config(chemistry: Chemistry) -> ValidConfig {
    let built = Config::preset(chemistry, 24).with_model(Model::B2a24s20p).with_capacity(ah(100));
    built.with_charge_limit(amps(150), bms_core::time::secs(60)).validate().expect("valid")
}

/// A pack at work: bursts around a mean current, 0.6 mΩ a cell, cells a little apart.
fn sample(now: Instant, turn: u32, charge: &mut i64, chemistry: Chemistry, conducting: bool) -> Sample {
    const AMPS: [i32; 4] = [-60, -20, 10, -30];
    let milliamps = if conducting { AMPS[(turn / 150) as usize % 4] * 1_000 } else { 0 };
    *charge += i64::from(milliamps) * 100;
    let millionths = (*charge / 360_000).clamp(0, 1_000_000) as u32;
    let model = CellModel::typical(chemistry);
    let mut cells = Cells::new(24);
    for index in 0..24_u32 {
        let open_circuit = model.open_circuit_voltage(millionths.saturating_add(index * 500));
        let wobble = (turn.wrapping_mul(7 + index) % 5) as i32 * 100;
        cells.set(index as usize, Voltage::from_microvolts(open_circuit.as_microvolts() + milliamps * 6 / 10 + wobble));
    }
    let mut sample = Sample::new();
    sample.cells = Group::at(now, cells);
    sample.current = Group::at(now, Current::from_milliamps(milliamps).plus(ma(if conducting { 80 } else { 0 })));
    let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(35)), ..Temperatures::default() };
    for reading in temperatures.battery.iter_mut().take(3) {
        // Drifts, so that the resistances are computed anew now and then.
        *reading = Reading::Valid(bms_core::units::Temperature::from_tenths(150 + (turn / 100) as i32));
    }
    sample.temperatures = Group::at(now, temperatures);
    sample.feedback = Group::at(now, Feedback { quiet: true, store_empty: true, ..Feedback::default() });
    sample.inputs = Group::at(now, Inputs::default());
    sample
}

/// Fifty updates make a window: one of them closes it.
const WINDOW: u32 = 50;

fn run() -> ! {
    let counter = &Counter::start();
    let mut empty = Range::new();
    for _ in 0..16 {
        let begin = counter.now();
        black_box(());
        let end = counter.now();
        empty.add(Counter::between(begin, end));
    }
    empty.print("empty");
    println!("bytes model {}", size_of::<ModelEstimator>());
    println!("bytes counter {}", size_of::<bms_core::estimation::CoulombCounter>());
    let (mut all, mut closing) = (Range::new(), Range::new());
    let mut searching = Range::new();
    let mut deepest = 0;
    for chemistry in [Chemistry::LiIon, Chemistry::LiFePo4] {
        let config = config(chemistry);
        // A good start, and one that is wrong and says so: the hypotheses.
        for (believed, sigma) in [(800_000_i64, 20_000), (500_000, 300_000)] {
            let spent = Cell::new(0);
            let inner = ModelEstimator::new(&config, CellModel::typical(chemistry));
            let mut bms = Pack::with_parts(config, Timed { inner, counter, spent: &spent }, Quota::new());
            let learned = Learned { soc_sigma_millionths: sigma, shown_permille: 500, ..Learned::default() };
            let remaining = Some(Charge::from_milliamp_hours(believed / 10));
            let known = Snapshot { remaining, capacity: ah(100), learned, ..Snapshot::default() };
            bms.restore(Stored::Snapshot(known), ResetCause::PowerOn);
            let mut now = Instant::from_millis(1_000);
            let mut charge = 800_000_i64 * 360_000;
            let base = stack_of(&mut || {
                black_box(&charge);
            });
            let mut largest = 0;
            for turn in 0..6_000 {
                now = now.after(ms(100));
                let conducting = bms.command().discharge.is_closed() && bms.command().charge.is_closed();
                let sample = sample(now, turn, &mut charge, chemistry, conducting);
                if turn % 10 == 9 || turn < 50 {
                    let used = stack_of(&mut || {
                        step(&mut bms, now, black_box(Input::Sample(&sample)));
                    });
                    deepest = deepest.max(used - base);
                } else {
                    step(&mut bms, now, black_box(Input::Sample(&sample)));
                }
                while bms.poll_event().is_some() {}
                if bms.estimator().inner.is_searching() {
                    searching.add(spent.get());
                } else {
                    all.add(spent.get());
                    largest = largest.max(spent.get());
                    if turn % WINDOW == WINDOW - 1 {
                        // The largest of fifty is the one that closed the window.
                        closing.add(core::mem::take(&mut largest));
                    }
                }
            }
            assert!(bms.command().discharge.is_closed(), "a healthy pack runs: {:?}", bms.alarms().iter().next());
        }
    }
    all.print("update_tracking");
    closing.print("update_window");
    searching.print("update_searching");
    println!("bytes stack_model {deepest}");
    semihosting::process::exit(0)
}

bms_on_target::entry!(run);
