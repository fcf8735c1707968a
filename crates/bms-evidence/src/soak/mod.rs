//! Random use over pack-years: charging, discharging, long rests, faults, sensor errors, resets, parameter changes; the laws checked at
//! every step, by the truth of the simulated pack ([`truth`](crate::truth)) and by what the core commands ([`laws`]).
//!
//! A shard is a seed and a number of sections; a section is a stretch of one pack's life at one sample period between 1 ms and
//! 10 s, sometimes begun shortly before a clock's 2^32nd millisecond (49.7 days). A fifth of the sections has periods of at most
//! 100 ms. Shards are independent, so that a long run is done in parts and on any number of cores, and any of them can be repeated.

pub mod laws;
mod life;

use bms_core::protection::Alarm;
use bms_core::time::{Instant, ms};
use bms_host::plant::SensorErrors;
use bms_host::rig::Schedule;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, spec};
use crate::truth::{Blur, Watch};
use laws::Laws;

pub use life::KINDS;

/// What a run came to; adds up over shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Steps of the core.
    pub steps: u64,
    /// Those at sample periods of at most 100 ms.
    pub fast_steps: u64,
    /// Simulated time with the core at work, ms.
    pub awake_ms: u64,
    /// Simulated time at rest with the board off, ms.
    pub resting_ms: u64,
    /// Rests.
    pub rests: u64,
    /// Sections that crossed 2^32 ms.
    pub wraps: u64,
    /// Faults injected, by kind: [`KINDS`].
    pub faults: [u64; KINDS.len()],
    /// Resets and brown-outs.
    pub resets: u64,
    /// Resets by the watchdog, because steps or their checks failed.
    pub bites: u64,
    /// Parameter changes that were accepted.
    pub changes: u64,
    /// Alarms raised that open something.
    pub trips: u64,
    /// Steps with both switches closed, to show that the runs are not all idle.
    pub conducting: u64,
    /// Steps with the balancer at work.
    pub balancing: u64,
    /// Violations of a law.
    pub violations: u64,
}

impl Totals {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.fast_steps += other.fast_steps;
        self.awake_ms += other.awake_ms;
        self.resting_ms += other.resting_ms;
        self.rests += other.rests;
        self.wraps += other.wraps;
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        self.resets += other.resets;
        self.bites += other.bites;
        self.changes += other.changes;
        self.trips += other.trips;
        self.conducting += other.conducting;
        self.balancing += other.balancing;
        self.violations += other.violations;
    }
    /// Simulated years with the core at work, and at rest.
    #[must_use]
    pub fn years(&self) -> (f64, f64) {
        let years = |milliseconds: u64| milliseconds as f64 / (365.25 * 86_400e3);
        (years(self.awake_ms), years(self.resting_ms))
    }
}

/// Dice.
struct Dice(Pcg64Mcg);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end.max(1)
    }
    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.below(1 << 30) as f64 / (1_u64 << 30) as f64)
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
    /// A sample period in ms.
    fn period(&mut self) -> u32 {
        let evenly_in_size = |dice: &mut Self, low: f64, high: f64| dice.between(low.ln(), high.ln()).exp();
        let period = match self.below(5) {
            0 => evenly_in_size(self, 1.0, 100.9),
            1 | 2 => evenly_in_size(self, 100.0, 10_000.0),
            _ => self.between(1_000.0, 10_000.0),
        };
        (period as u32).clamp(1, 10_000)
    }
}

/// Sections of a shard: a multiple of five.
pub const SECTIONS: u64 = 20;
/// Steps of a section.
const SECTION: u64 = 60_000;
/// Steps of a shard.
pub const SHARD: u64 = SECTIONS * SECTION;

/// Runs one shard; `report` hears of every violation.
pub fn shard(seed: u64, mut report: impl FnMut(&str)) -> Totals {
    let mut totals = Totals::default();
    for section in 0..SECTIONS {
        let mut dice = Dice(Pcg64Mcg::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ section));
        let mut told = |what: &str| report(&format!("shard {seed}, section {section}, {what}"));
        one_section(&mut dice, &mut totals, &mut told);
    }
    totals
}

fn one_section(dice: &mut Dice, totals: &mut Totals, report: &mut dyn FnMut(&str)) {
    let period = dice.period();
    let config = life::configuration(dice, period).validate().expect("the configuration is valid");
    let mut spec = spec(&config);
    spec.seed = dice.below(1 << 40);
    spec.soc = dice.between(0.05, 0.98);
    spec.soc_spread = dice.between(0.0, 0.02);
    spec.capacity_spread = 0.01;
    spec.resistance_spread = 0.05;
    spec.sensors = SensorErrors::realistic();
    spec.wire_mohm = dice.between(5.0, 25.0);
    spec.terminal_millifarads = dice.between(0.1, 5.0);
    spec.ambient_c = dice.between(-10.0, 40.0);
    let jitter = if dice.one_in(2) { 0.25 } else { 0.0 };
    let mut bench = Bench::with_schedule(config, &spec, Schedule { jitter, ..Schedule::every(ms(period)) });
    // Noise and bias of four deviations, a gain of one per mille.
    bench.blur = Blur { cell: 0.006, current: 0.6, temperature: 2.0 };
    bench.pack.set_one_clock(true);
    // Some begin just before a counter of 32 bits is full.
    if dice.one_in(8) {
        let before = dice.below(u64::from(period) * SECTION / 2).min(1 << 31);
        bench.pack.pass_until(Instant::from_millis((1_u64 << 32) - before));
        totals.wraps += 1;
    }
    let mut laws = Laws::new(period + period.div_ceil(4));
    let mut asleep = None;
    let started = bench.now();
    let mut rested = 0;
    for step in 0..SECTION {
        if dice.one_in(400) {
            life::use_pack(dice, &mut bench, period);
        }
        if dice.one_in(1_500) {
            laws.injected(life::inject(dice, &mut bench, period, totals));
            bench.watch = Watch::new();
        }
        if dice.one_in(5_000) {
            life::ask(dice, &mut bench, totals, &mut laws);
        }
        if dice.one_in(30_000) && asleep.is_none() {
            life::put_away(&mut bench);
            asleep = Some(step);
        }
        if asleep.is_some() && !bench.pack.plant().powered() {
            rested += life::rest(dice, &mut bench, totals);
            asleep = None;
        } else if asleep.is_some_and(|since| step > since + 2_000) {
            // It did not go off: something needs it awake.
            asleep = None;
        }
        let before = bench.pack.bms().alarms();
        let bites = bench.bites;
        bench.step();
        totals.steps += 1;
        totals.fast_steps += u64::from(period <= 100);
        totals.bites += u64::from(bench.bites - bites);
        totals.trips += opening(bench.pack.bms().alarms().minus(before));
        totals.conducting += u64::from(bench.pack.plant().switches() == (true, true));
        totals.balancing += u64::from(!bench.pack.bms().command().balance.is_idle());
        if bench.bites != bites {
            laws.restarted();
        }
        if let Some(what) = laws.check(&mut bench) {
            totals.violations += 1;
            report(&format!("step {step}, period {period} ms: {what}; {}", laws::story(&bench)));
        }
    }
    totals.resting_ms += rested;
    totals.awake_ms += bench.now().as_millis().saturating_sub(started.as_millis()).saturating_sub(rested);
}

fn opening(raised: bms_core::protection::AlarmSet) -> u64 {
    raised.iter().filter(|alarm: &Alarm| !alarm.is_warning()).count() as u64
}
