//! How fast virtual time passes: `cargo run --release -p bms-host --example speed`.
//!
//! A 24-cell pack at ten steps a second with sensor noise on every channel, balancing and a pulsed load, on one core.
#![allow(clippy::unwrap_used, reason = "an example")]

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant as Clock;

use bms_core::Bms;
use bms_core::measurement::Sample;
use bms_core::prelude::*;
use bms_host::plant::{Channels, Load, Plant, SensorErrors};
use bms_host::rig::{Rig, pack_for};

const PACK: ValidConfig = const { Config::lifepo4(24).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated() };

fn measure(name: &str, virtual_seconds: u32, work: impl FnOnce()) {
    let start = processor_seconds();
    work();
    let seconds = processor_seconds() - start;
    let per_step = seconds / (f64::from(virtual_seconds) * 10.0) * 1e9;
    println!("{name:<44} {:>9.0} x real time, {per_step:>6.0} ns a step", f64::from(virtual_seconds) / seconds);
}

fn main() {
    let day: u32 = 86_400;
    let mut spec = pack_for(&PACK);
    spec.soc_spread = 0.01;
    spec.sensors = SensorErrors::realistic();
    let load = Load::Pulsed { on: 30.0, off: 2.0, period_ms: 7_000, duty_permille: 300 };

    let mut plant = Plant::new(&spec).unwrap();
    plant.drive(Switch::Closed, Switch::Closed, false);
    plant.set_load(load);
    measure("plant", day, || (0..day * 10).for_each(|_| plant.advance(ms(100))));

    let mut sample: Sample = Sample::new();
    measure("plant and measurement", day, || {
        for _ in 0..day * 10 {
            plant.advance(ms(100));
            plant.measure(Channels::ALL, &mut sample);
            black_box(&sample);
        }
    });

    let mut rig: Rig = Rig::new(PACK, &spec).unwrap();
    rig.plant_mut().set_load(load);
    measure("plant, measurement and Bms::step", day, || rig.run_for(secs(day)));

    let mut bms = Bms::new(PACK);
    measure("Bms::step alone", day, || {
        for step in 0..u64::from(day) * 10 {
            let now = Instant::from_millis(step * 100);
            sample.cells = restamp(sample.cells, now);
            sample.current = restamp(sample.current, now);
            sample.temperatures = restamp(sample.temperatures, now);
            sample.stack = restamp(sample.stack, now);
            sample.feedback = restamp(sample.feedback, now);
            sample.inputs = restamp(sample.inputs, now);
            black_box(bms.step(now, Input::Sample(&sample)));
            while bms.poll_event().is_some() {}
        }
    });
}

/// Time that this process was on a processor, so that other work on the machine does not count; on systems that do not
/// tell, the time of day.
fn processor_seconds() -> f64 {
    static START: OnceLock<Clock> = OnceLock::new();
    let start = *START.get_or_init(Clock::now);
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| nanoseconds * 1e-9)
}

fn restamp<T>(group: Group<T>, now: Instant) -> Group<T> {
    match group {
        Group::Measured { value, .. } => Group::at(now, value),
        other => other,
    }
}
