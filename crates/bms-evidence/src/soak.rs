//! Random use over pack-years: charging, discharging, rests, faults, sensor errors, resets, parameter changes; the laws of
//! [`truth`](crate::truth) checked at every step.
//!
//! A shard is a seed and a number of sections; a section is one pack's life of an hour to some weeks, at one sample period
//! between 1 ms and 10 s, begun at any point of a 64-bit clock, often shortly before 2^32 ms. Shards are independent, so that a
//! long run is done in parts, and any of them can be repeated.

use bms_core::bms::{Refusal, Request};
use bms_core::config::{Config, ParameterId as P};
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use bms_core::time::{Duration, ms};
use bms_host::fault::{Channel, Fault, FaultKind as K, Output};
use bms_host::plant::{Charger, Load, SensorErrors};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, CELLS, config, spec};
use crate::truth::{Blur, Quantity, Watch};

/// What a run came to; adds up over shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Steps of the core.
    pub steps: u64,
    /// Those at sample periods of at most 100 ms.
    pub fast_steps: u64,
    /// Simulated time, ms.
    pub milliseconds: u64,
    /// Sections that crossed 2^32 ms.
    pub wraps: u64,
    /// Faults injected, by kind: lost or silent, late, noisy, wrong values, clock, outputs.
    pub faults: [u64; 6],
    /// Resets and brown-outs.
    pub resets: u64,
    /// Parameter changes that were accepted.
    pub changes: u64,
    /// Alarms raised that open something.
    pub trips: u64,
    /// Steps with both switches closed, to show that the runs are not all idle.
    pub conducting: u64,
    /// Violations of a law.
    pub violations: u64,
}

impl Totals {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.fast_steps += other.fast_steps;
        self.milliseconds += other.milliseconds;
        self.wraps += other.wraps;
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        self.resets += other.resets;
        self.changes += other.changes;
        self.trips += other.trips;
        self.conducting += other.conducting;
        self.violations += other.violations;
    }
    /// Simulated years.
    #[must_use]
    pub fn pack_years(&self) -> f64 {
        self.milliseconds as f64 / (365.25 * 86_400e3)
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
}

/// Sample periods in ms: fast ones take most steps, slow ones most time.
const PERIODS: [u32; 9] = [1, 2, 10, 50, 100, 250, 1_000, 4_000, 10_000];
/// Steps of a section.
const SECTION: u64 = 60_000;
/// What a fault may hide for as long as it takes to notice it, ms, beside the stale time.
const NOTICED_MS: u32 = 10_000;

/// Runs one shard; `report` hears of every violation.
pub fn shard(seed: u64, sections: u32, mut report: impl FnMut(&str)) -> Totals {
    let mut totals = Totals::default();
    for section in 0..u64::from(sections) {
        let mut dice = Dice(Pcg64Mcg::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ section));
        let mut told = |what: &str| report(&format!("seed {seed}, section {section}: {what}"));
        one_section(&mut dice, &mut totals, &mut told);
    }
    totals
}

fn one_section(dice: &mut Dice, totals: &mut Totals, report: &mut dyn FnMut(&str)) {
    let period = dice.pick(&PERIODS);
    let config = with_period(config(), period).validate().expect("the configuration is valid");
    let mut spec = spec(&config);
    spec.seed = dice.below(1 << 40);
    spec.soc = dice.between(0.05, 0.98);
    spec.soc_spread = dice.between(0.0, 0.02);
    spec.capacity_spread = 0.01;
    spec.sensors = SensorErrors::realistic();
    spec.terminal_millifarads = dice.between(0.1, 5.0);
    let mut bench = Bench::with_period(config, &spec, ms(period));
    // Noise of four deviations, bias of four, a gain of one per mille.
    bench.blur = Blur { cell: 0.006, current: 0.6, temperature: 2.0 };
    bench.pack.set_one_clock(true);
    // Somewhere on the clock, often just before a counter of 32 bits is full.
    if dice.one_in(3) {
        bench.pack.set_open_loop(true);
        let before = dice.below(u64::from(period) * SECTION / 2).min(1 << 31);
        let start = (1_u64 << 32) - before;
        bench.pack.plant_mut().skip(Duration::from_millis(u32::try_from(start).unwrap_or(u32::MAX)));
        bench.pack.set_open_loop(false);
        totals.wraps += 1;
    }
    let mut faulty_until = 0;
    for step in 0..SECTION {
        if dice.one_in(400) {
            use_pack(dice, &mut bench);
        }
        if dice.one_in(1_500) {
            faulty_until = step + inject(dice, &mut bench, period, totals);
        }
        if dice.one_in(5_000) {
            ask(dice, &mut bench, totals);
        }
        let before = bench.pack.bms().alarms();
        bench.step();
        totals.steps += 1;
        totals.fast_steps += u64::from(period <= 100);
        totals.trips += opening(bench.pack.bms().alarms().minus(before));
        totals.conducting += u64::from(bench.pack.plant().switches() == (true, true));
        let faulty = step <= faulty_until;
        if let Some(what) = violated(&bench, period, faulty) {
            totals.violations += 1;
            if std::env::var_os("SOAK_DEBUG").is_some() {
                let b = bench.pack.bms();
                eprintln!("truth {:?}", crate::truth::Truth::of(bench.pack.plant()));
                eprintln!("command {:?}", b.command());
                eprintln!("alarms {:?} given {:?} now {:?} stepped {:?}", b.alarms().iter().collect::<Vec<_>>(), bench.pack.given(), bench.now(), bench.pack.stepped_at());
                eprintln!("sample {:?}", bench.pack.sample());
                eprintln!("faults {:?}", bench.pack.faults());
            }
            report(&format!("step {step}, period {period} ms: {what}; alarms {:?}", bench.pack.bms().alarms()));
            bench.watch = Watch::new();
        }
    }
    totals.milliseconds += u64::from(period) * SECTION;
}

fn opening(raised: bms_core::protection::AlarmSet) -> u64 {
    raised.iter().filter(|alarm: &Alarm| !alarm.is_warning()).count() as u64
}

fn with_period(config: Config, period: u32) -> Config {
    config.with(P::SamplePeriod, i32::try_from(period).unwrap_or(i32::MAX))
}

/// The first hazard that lasted too long.
fn violated(bench: &Bench, period: u32, faulty: bool) -> Option<String> {
    let config = *bench.pack.bms().config();
    bench.watch.worst(&config).find_map(|(_, hazard, worst, delay)| {
        let lost = config.duration(P::DataLostTime).as_millis().max(3 * period);
        let hidden = match (faulty, hazard.quantity) {
            (false, _) => 0,
            (true, Quantity::Temperature | Quantity::Mos) => NOTICED_MS.max(3 * period),
            (true, _) => lost + 2_000,
        };
        // Readings that jump about a limit begin the delay anew; the blur covers their width, not their number.
        let allowed = delay.as_millis() + hidden + 2 * period + 1;
        (worst.as_millis() > allowed)
            .then(|| format!("{} for {} ms, allowed {allowed}", hazard.name, worst.as_millis()))
    })
}

/// What people do with a pack.
fn use_pack(dice: &mut Dice, bench: &mut Bench) {
    let plant = bench.pack.plant_mut();
    match dice.below(12) {
        0..=2 => {
            plant.set_load(Load::None);
            plant.set_charger(Some(Charger { voltage: dice.between(52.0, 60.0), current: dice.between(1.0, 90.0) }));
        }
        3..=5 => {
            plant.set_charger(None);
            plant.set_load(Load::Current(dice.between(1.0, 90.0)));
        }
        6 | 7 => {
            plant.set_charger(None);
            plant.set_load(Load::None);
        }
        8 => {
            plant.set_charger(None);
            plant.set_load(Load::Current(dice.between(90.0, 340.0)));
        }
        9 => {
            plant.set_load(Load::None);
            plant.set_charger(Some(Charger { voltage: 65.0, current: dice.between(90.0, 200.0) }));
        }
        10 => plant.set_cell_temperature(dice.between(-25.0, 75.0)),
        _ => {
            let cell = dice.below(CELLS as u64) as usize;
            plant.set_soc(cell, dice.between(0.0, 1.03));
            plant.set_mos_temperature(dice.between(10.0, 90.0));
        }
    }
}

/// A fault that passes; gives the number of steps until it is over and forgiven.
fn inject(dice: &mut Dice, bench: &mut Bench, period: u32, totals: &mut Totals) -> u64 {
    let channel = dice.pick(&Channel::ALL);
    let (group, kind) = match dice.below(9) {
        0 => (0, K::Lost(channel)),
        1 => (0, K::Silent(channel)),
        2 => (0, dice.pick(&[K::SamplerLost, K::SamplerSilent])),
        3 => (1, K::Late { channel, by_ms: period.saturating_mul(1 + dice.below(60) as u32) }),
        4 => (2, K::Noise { channel: Channel::Stack, amplitude: 100_000 }),
        5 => (3, K::CellInvalid(dice.below(CELLS as u64) as u8)),
        6 => (3, K::CellCount(dice.below(20) as u8)),
        7 => (4, dice.pick(&[K::ClockAhead(5_000), K::ClockAhead(4_000_000_000), K::ClockBack(3_000)])),
        _ => {
            let output = dice.pick(&[Output::Balancer, Output::Heater, Output::Precharge, Output::Indicator]);
            (5, K::WriteFails(output))
        }
    };
    totals.faults[group] += 1;
    let steps = 1 + dice.below(300);
    let length = ms(u32::try_from(steps).unwrap_or(1).saturating_mul(period));
    let now = bench.now();
    bench.pack.faults().clear();
    bench.pack.faults().add(Fault::during(now, length, kind));
    // What it hid is seen by then.
    steps + u64::from(NOTICED_MS / period) + 10
}

/// What else happens to the core.
fn ask(dice: &mut Dice, bench: &mut Bench, totals: &mut Totals) {
    match dice.below(8) {
        0 | 1 => {
            totals.resets += 1;
            let cause =
                dice.pick(&[ResetCause::PowerOn, ResetCause::BrownOut, ResetCause::Watchdog, ResetCause::Unknown]);
            bench.pack.reset(cause);
        }
        2 | 3 => {
            let (parameter, value) = dice.pick(&[
                (P::CellOvervoltageProtection, 3_580_000),
                (P::CellOvervoltageProtection, 3_600_000),
                (P::CellUndervoltageProtection, 2_750_000),
                (P::CellUndervoltageProtection, 2_700_000),
                (P::ChargeOvercurrentDelay, 5_000),
                (P::DischargeOvercurrentProtection, 80_000),
                (P::DischargeOvercurrentProtection, 100_000),
                (P::TemperatureDelay, 500),
                (P::BalanceTrigger, 20_000),
            ]);
            totals.changes += u64::from(bench.pack.set_parameter(parameter, value).is_ok());
            // Other limits from here on.
            bench.watch = Watch::new();
        }
        4 => answered(bench.pack.request(Request::ClearLockout)),
        5 => answered(bench.pack.request(Request::ClearPermanent)),
        6 => answered(bench.pack.request(dice.pick(&[Request::EmergencyStop, Request::ResetEmergencyStop]))),
        _ => {
            answered(bench.pack.request(dice.pick(&[Request::SetCharge(false), Request::SetDischarge(false)])));
            answered(bench.pack.request(Request::SetCharge(true)));
            answered(bench.pack.request(Request::SetDischarge(true)));
            answered(bench.pack.request(Request::ResetEmergencyStop));
        }
    }
}

/// A refusal is an answer too.
fn answered(_: Result<(), Refusal>) {}

/// The names of the kinds of faults in [`Totals::faults`].
pub const KINDS: [&str; 6] = ["lost or silent", "late", "noisy", "wrong values", "clock", "outputs"];
