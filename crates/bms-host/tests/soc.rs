//! The state of charge on cells of the project's own plant, whose open-circuit voltage, resistances and hysteresis differ
//! from the estimator's tables: wrong starts, sensor errors, cold, aged cells, resets, years without a full charge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bms_core::Bms;
use bms_core::balancing::ManualRule;
use bms_core::config::{Chemistry, Config, ParameterId as P, ValidConfig};
use bms_core::estimation::{CellModel, FLAT, KNOTS, Learned, ModelEstimator, SLOPED};
use bms_core::measurement::{Cells, Group, Input, Reading, Sample, Temperatures};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::Instant;
use bms_core::units::{Charge, ah, amps, deg_c, ma, uv};
use bms_host::plant::{CellKind, Curve};

const CELLS: u8 = 4;

fn config(chemistry: Chemistry) -> ValidConfig {
    Config::preset(chemistry, CELLS)
        .with_charge_limit(amps(200), bms_core::time::secs(600))
        .with_discharge_limit(amps(200), bms_core::time::secs(600))
        .with_capacity(ah(100))
        .with(P::SamplePeriod, 1_000)
        .with(P::CapacityLearning, 2)
        .validate()
        .unwrap()
}

/// Half the distance between the branches of the open-circuit voltage, V.
fn half_width(chemistry: Chemistry) -> f64 {
    if chemistry == Chemistry::LiFePo4 { 0.006 } else { 0.0 }
}

/// The model of the plant's very cell, as a laboratory would fit it.
fn own_model(chemistry: Chemistry) -> CellModel {
    let kind = CellKind::of(chemistry);
    let curve = Curve::new(kind.open_circuit, 1_024);
    let volts = |volts: f64| (volts * 1e4).round() as u16;
    let log = |ohms: f64| (2_048.0 * (ohms * 1e6).log2()).round() as u16;
    let temperatures: &'static [i16] = &[-200, 0, 250, 450];
    let row = |tenths: i16| {
        let cold = (kind.activation_kelvin * (1.0 / (f64::from(tenths) / 10.0 + 273.15) - 1.0 / 298.15)).exp();
        let [(fast, _), (slow, _)] = kind.polarisation;
        [[log(kind.ohmic * cold), log(fast * cold), log(16e-6), log(slow * cold)]; KNOTS]
    };
    let [(_, fast), (_, slow)] = kind.polarisation;
    let half = volts(half_width(chemistry));
    CellModel {
        open_circuit: (0..129).map(|index| volts(curve.at(f64::from(index) / 128.0))).collect::<Vec<_>>().leak(),
        hysteresis: if half > 0 { vec![half; 2].leak() } else { &[] },
        hysteresis_rate: if half > 0 { 20 } else { 0 },
        entropic: &[],
        temperatures,
        resistances: temperatures.iter().map(|tenths| row(*tenths)).collect::<Vec<_>>().leak(),
        lag_seconds: [fast as u16, 100, slow as u16],
        capacity: Some(ah(100)),
        tuning: if chemistry == Chemistry::LiFePo4 { &FLAT } else { &SLOPED },
        ..CellModel::typical(chemistry)
    }
}

/// A cell of the plant's kind, exact, in one thread: charge, two polarisations, hysteresis.
struct Bench {
    bms: Bms<24, ModelEstimator, ManualRule>,
    config: ValidConfig,
    kind: CellKind,
    curve: Curve,
    now: u64,
    /// True state of charge, capacity in Ah, resistance against new, temperature.
    soc: f64,
    capacity: f64,
    ageing: f64,
    celsius: f64,
    polarisation: [f64; 2],
    branch: f64,
    /// What the sensors add.
    voltage_error: f64,
    offset: f64,
    seed: u64,
    covered: (u32, u32),
    worst_step: i32,
    shown: Option<u16>,
}

impl Bench {
    fn new(chemistry: Chemistry, soc: f64) -> Self {
        let config = config(chemistry);
        let kind = CellKind::of(chemistry);
        let bms =
            Bms::with_parts(config, ModelEstimator::new(&config, CellModel::typical(chemistry)), ManualRule::new());
        let curve = Curve::new(kind.open_circuit, 1_024);
        Self {
            bms,
            config,
            kind,
            curve,
            now: 0,
            soc,
            capacity: 100.0,
            ageing: 1.0,
            celsius: 25.0,
            polarisation: [0.0; 2],
            branch: 0.0,
            voltage_error: 0.0,
            offset: 0.0,
            seed: 7,
            covered: (0, 0),
            worst_step: 0,
            shown: None,
        }
    }
    /// With the model of the very cell instead of a typical one.
    fn knowing_the_cell(mut self) -> Self {
        let estimator = ModelEstimator::new(&self.config, own_model(self.config.chemistry()));
        self.bms = Bms::with_parts(self.config, estimator, ManualRule::new());
        self
    }
    /// What the BMS believes before it has seen anything.
    fn believing(mut self, soc: f64, sigma: f64) -> Self {
        let snapshot = Snapshot {
            remaining: Some(Charge::from_milliamp_hours((soc * 100_000.0) as i64)),
            capacity: ah(100),
            learned: Learned {
                soc_sigma_millionths: (sigma * 1e6) as u32,
                shown_permille: (soc * 1e3) as u16,
                ..Learned::default()
            },
            ..Snapshot::default()
        };
        self.bms.restore(Stored::Snapshot(snapshot), ResetCause::PowerOn);
        self
    }
    fn noise(&mut self) -> f64 {
        // SplitMix64: any fixed sequence will do.
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }
    /// A constant current in A (positive charges) for some seconds, as far as the cell takes it.
    fn flow(&mut self, current: f64, seconds: u32) {
        for _ in 0..seconds {
            self.second(current);
        }
    }
    fn second(&mut self, current: f64) {
        let moved = current / 3_600.0 / self.capacity;
        self.soc += moved;
        let cold = (self.kind.activation_kelvin * (1.0 / (self.celsius + 273.15) - 1.0 / 298.15)).exp();
        let per_ah = cold * self.ageing / 100.0;
        for (state, (ohms, tau)) in self.polarisation.iter_mut().zip(self.kind.polarisation) {
            *state += (ohms * per_ah * current - *state) * (1.0 - (-1.0 / tau).exp());
        }
        if current != 0.0 {
            self.branch += (current.signum() - self.branch) * (moved.abs() * 20.0).min(1.0);
        }
        let half = half_width(self.config.chemistry());
        let voltage = self.curve.at(self.soc)
            + self.branch * half
            + self.polarisation.iter().sum::<f64>()
            + self.kind.ohmic * per_ah * current;
        let noisy = voltage + self.voltage_error + self.noise() * 0.003;
        self.now += 1_000;
        let now = Instant::from_millis(self.now);
        let mut sample = Sample::new();
        let shown = current + self.offset + self.noise() * 0.1;
        sample.current = Group::at(now, ma((shown * 1e3) as i32));
        sample.cells = Group::at(now, Cells::from_voltages(&[uv((noisy * 1e6) as i32); CELLS as usize]));
        let reading = Reading::Valid(deg_c(self.celsius as i32));
        let mut battery = [Reading::NotMeasured; 5];
        battery[0] = reading;
        battery[1] = reading;
        sample.temperatures = Group::at(now, Temperatures { battery, mos: Reading::Valid(deg_c(30)) });
        self.bms.step(now, Input::Sample(&sample));
        while self.bms.poll_event().is_some() {}
        self.check();
    }
    /// What must hold after every step.
    fn check(&mut self) {
        let status = self.bms.status();
        if let Some(known) = status.state_of_charge.valid() {
            assert!(known.millionths <= 1_000_000 && known.sigma_millionths > 0, "in range, never certain");
            let error = (f64::from(known.millionths) * 1e-6 - self.soc).abs();
            self.covered.1 += 1;
            self.covered.0 += u32::from(error <= 2e-6 * f64::from(known.sigma_millionths));
        }
        if let Some(permille) = status.state_of_charge_permille.valid() {
            if let Some(before) = self.shown {
                self.worst_step = self.worst_step.max((i32::from(permille) - i32::from(before)).abs());
            }
            self.shown = Some(permille);
        }
        let remaining = status.remaining.valid();
        assert!(remaining.is_none_or(|charge| charge >= Charge::ZERO && charge <= status.capacity));
    }
    fn error(&self) -> f64 {
        let known = self.bms.status().state_of_charge.valid().expect("known");
        f64::from(known.millionths) * 1e-6 - self.soc
    }
    fn sigma(&self) -> f64 {
        f64::from(self.bms.status().state_of_charge.valid().expect("known").sigma_millionths) * 1e-6
    }
    fn coverage(&self) -> f64 {
        f64::from(self.covered.0) / f64::from(self.covered.1.max(1))
    }
    /// A drive: bursts and pauses, `mean` A on average (negative discharges).
    fn drive(&mut self, mean: f64, seconds: u32) {
        for second in 0..seconds {
            let pattern = [0.0, 0.5, 2.5, 1.5, 0.2, -0.6, 2.4, 1.5];
            self.second(mean * pattern[(second / 15) as usize % pattern.len()]);
        }
    }
    fn reset(&mut self) {
        let snapshot = self.bms.snapshot();
        let estimator = ModelEstimator::new(&self.config, CellModel::typical(self.config.chemistry()));
        self.bms = Bms::with_parts(self.config, estimator, ManualRule::new());
        self.bms.restore(Stored::Snapshot(snapshot), ResetCause::Watchdog);
    }
}

/// L01 D21: a start that is wrong by 30 % is found out, by voltage alone where the curve slopes, at the knee where it is flat.
#[test]
fn a_wrong_start_is_found_out() {
    for (chemistry, hours, worst) in
        [(Chemistry::LiIon, 1, 0.1), (Chemistry::Lto, 1, 0.15), (Chemistry::LiFePo4, 3, 0.06)]
    {
        for believed in [0.55, 1.0] {
            let mut bench = Bench::new(chemistry, 0.85).believing(believed, 0.3);
            bench.voltage_error = 0.003;
            bench.drive(-25.0, hours * 3_600);
            // Either found out, or still admitted.
            let bound = f64::max(worst, 2.0 * bench.sigma());
            assert!(bench.error().abs() < bound, "{chemistry:?} from {believed}: {:+.3} of {bound:.3}", bench.error());
            assert!(bench.error().abs() < 0.2, "{chemistry:?} from {believed}: {:+.3}", bench.error());
        }
    }
}

/// L01: a good start is not spoilt: with sensor errors within their specification the estimate stays near.
#[test]
fn a_good_start_stays_good() {
    for chemistry in Chemistry::ALL {
        for (volts, offset) in [(0.003, 0.2), (-0.003, -0.2)] {
            let mut bench = Bench::new(chemistry, 0.95).believing(0.95, 0.02);
            (bench.voltage_error, bench.offset) = (volts, offset);
            bench.flow(0.0, 300);
            bench.drive(-30.0, 9_000);
            assert!(bench.error().abs() < 0.12, "{chemistry:?} {volts} {offset}: {:+.3}", bench.error());
            eprintln!("{chemistry:?}: {:.3} covered", bench.coverage());
            // 94.8 % for Li-ion, see docs/state-of-charge.md.
            assert!(bench.coverage() >= 0.94, "{chemistry:?}: {:.3} covered", bench.coverage());
        }
    }
}

/// L01: cold and aged cells with a typical table stay within bounds.
#[test]
fn cold_and_aged_cells_stay_within_bounds() {
    for chemistry in [Chemistry::LiIon, Chemistry::LiFePo4] {
        for (celsius, ageing, capacity) in [(-10.0, 1.0, 100.0), (25.0, 1.8, 85.0), (5.0, 1.5, 92.0)] {
            let mut bench = Bench::new(chemistry, 0.95).believing(0.95, 0.02);
            (bench.celsius, bench.ageing, bench.capacity) = (celsius, ageing, capacity);
            bench.drive(-25.0, 7_200);
            assert!(bench.error().abs() < 0.12, "{chemistry:?} {celsius} °C: {:+.3}", bench.error());
            assert!(bench.coverage() >= 0.95, "{chemistry:?} {celsius} °C {ageing}: {:.3} covered", bench.coverage());
        }
    }
}

/// D21: what is shown never jumps, and claims neither end before its anchor.
#[test]
fn the_display_neither_jumps_nor_claims_an_end() {
    let mut bench = Bench::new(Chemistry::LiIon, 0.9).believing(0.6, 0.3);
    bench.drive(-20.0, 600);
    assert!(bench.error().abs() < 0.1);
    assert!(bench.worst_step <= 3, "{} ‰ in a second", bench.worst_step);
    bench.flow(20.0, 1_500);
    assert!(bench.shown < Some(1_000), "not full: no anchor yet");
    // The end of a charge: constant voltage, the current tails off.
    let mut current = 20.0;
    for _ in 0..9_000 {
        current *= 0.9995;
        bench.soc = bench.soc.min(1.0);
        bench.second(f64::max(current, 1.0));
    }
    assert_eq!(bench.shown, Some(1_000), "the anchor");
    assert!(bench.worst_step <= 3);
}

/// law 7 L01: resets at any time lose neither the state of charge nor what was learned.
#[test]
fn resets_lose_nothing() {
    for chemistry in Chemistry::ALL {
        let mut bench = Bench::new(chemistry, 0.9).believing(0.9, 0.02);
        for minutes in [1, 7, 3, 20, 2, 11] {
            bench.drive(-30.0, minutes * 60);
            let before = (bench.error(), bench.bms.status().state_of_charge_permille);
            bench.reset();
            bench.second(-30.0);
            assert!(
                (bench.error() - before.0).abs() < 0.02,
                "{chemistry:?}: {:+.3} after {:+.3}",
                bench.error(),
                before.0
            );
            assert!(bench.worst_step <= 3, "shown");
        }
        assert!(bench.error().abs() < 0.08, "{chemistry:?}: {:+.3}", bench.error());
    }
}

/// law 7 L01: months without power: what cells lose by themselves is taken off, the confidence falls by as much, and the first
/// voltage at rest corrects what it can.
#[test]
fn after_months_without_power_the_rest_voltage_counts() {
    for chemistry in Chemistry::ALL {
        for (days, told) in [(60_u32, true), (60, false), (200, true)] {
            let mut bench = Bench::new(chemistry, 0.70).believing(0.70, 0.02);
            bench.flow(0.0, 60);
            let lost = bench.kind.self_discharge_per_month * f64::from(days) / 30.0;
            bench.reset();
            bench.soc -= lost;
            bench.bms.was_off(told.then_some(days * 86_400));
            let shown = bench.bms.status().state_of_charge_permille.valid();
            bench.second(0.0);
            let name = format!("{chemistry:?} {days} days, told: {told}");
            assert!(bench.error().abs() < 2.0 * bench.sigma(), "{name}: {:+.3} of {:.3}", bench.error(), bench.sigma());
            if told {
                assert!(bench.error().abs() < 0.6 * lost, "{name}: {:+.3}, lost {lost:.3}", bench.error());
            }
            let now = bench.bms.status().state_of_charge_permille.valid();
            assert!(now.unwrap().abs_diff(shown.unwrap()) <= 3, "{name}: shown {shown:?}, then {now:?}");
        }
    }
}
/// L01 C02: partial cycles for days without a full charge, with a sensor offset: counting alone would drift away.
#[test]
fn days_of_partial_cycles_do_not_drift() {
    for chemistry in [Chemistry::LiIon, Chemistry::LiFePo4] {
        let mut bench = Bench::new(chemistry, 0.6).believing(0.6, 0.05);
        bench.offset = 0.2;
        for _ in 0..30 {
            bench.flow(-50.0, 3_600);
            bench.flow(0.0, 1_800);
            bench.flow(50.0, 3_600);
            bench.flow(0.0, 1_800);
        }
        let counted = 0.2 * 30.0 * 3.0 / 100.0;
        assert!(
            bench.error().abs() < 0.75 * counted,
            "{chemistry:?}: {:+.3}; counting alone {counted:+.3}",
            bench.error()
        );
    }
}

/// L02: the capacity is learned from partial cycles alone, without one full charge, while the cell ages: from the nominal
/// capacity of an aged cell, following it down, and never worse than nominal for a cell that is as it was.
#[test]
fn capacity_is_learned_from_partial_cycles() {
    for chemistry in [Chemistry::LiIon, Chemistry::LiFePo4] {
        for (begin, end) in [(100.0, 100.0), (88.0, 88.0), (98.0, 93.8)] {
            for (volts, offset) in [(0.003, 0.1), (-0.003, -0.1)] {
                let mut bench = Bench::new(chemistry, 0.85).knowing_the_cell().believing(0.85, 0.05);
                (bench.voltage_error, bench.offset) = (volts, offset);
                let cycles = 60;
                let mut worst = 0.0_f64;
                for cycle in 0..cycles {
                    bench.capacity = begin + (end - begin) * f64::from(cycle) / f64::from(cycles);
                    // Between 85 % and somewhere above 20 %.
                    let deep = 0.35 + 0.30 * (bench.noise() + 0.5);
                    let seconds = (deep * bench.capacity / 30.0 * 3_600.0) as u32;
                    bench.flow(-30.0, seconds);
                    bench.flow(0.0, 2_400);
                    bench.flow(30.0, seconds);
                    bench.flow(0.0, 2_400);
                    let learned = bench.bms.status().capacity.as_milliamp_hours() as f64 / 1e3;
                    if cycle >= 30 {
                        worst = worst.max((learned / bench.capacity - 1.0).abs());
                    }
                }
                eprintln!("{chemistry:?} {begin} to {end} Ah, {volts} V: {worst:.3}");
                // On the plateau of LiFePO4 half of the error is still there after sixty cycles.
                let nominal = if chemistry == Chemistry::LiFePo4 { 100.0 / end - 1.0 } else { 0.0 };
                assert!(worst < 0.03 + nominal / 2.0, "{chemistry:?} {begin} to {end} Ah, {volts} V: {worst:.3}");
            }
        }
    }
}

/// law 8 T10: the charge of any sequence is the same at any sample rate, to the last milliampere-millisecond.
#[test]
fn charge_is_conserved_at_any_rate() {
    let mut totals = Vec::new();
    for period in [10_u64, 50, 250, 1_000] {
        let config = config(Chemistry::LiIon);
        let estimator = ModelEstimator::new(&config, CellModel::typical(Chemistry::LiIon));
        let mut bms: Bms<24, ModelEstimator, ManualRule> = Bms::with_parts(config, estimator, ManualRule::new());
        let mut sample = Sample::new();
        let mut now = 0;
        while now < 60_000 {
            now += period;
            // One second after another has its own current, whatever the sample period.
            let current = ma(-1 - ((now - 1) / 1_000) as i32 * 997);
            sample.current = Group::at(Instant::from_millis(now), current);
            bms.step(Instant::from_millis(now), Input::Sample(&sample));
        }
        // The first sample says nothing about the time before it.
        totals.push(bms.estimator().counter().counted().as_milliamp_millis() - i64::from(period as i32));
    }
    assert!(totals.iter().all(|total| *total == totals[0]), "{totals:?}");
}

/// law 7: nonsense at the sensors leaves the estimate in range and the core running.
#[test]
fn garbage_does_no_harm() {
    let mut bench = Bench::new(Chemistry::LiFePo4, 0.5);
    for round in 0..2_000 {
        let wild = bench.noise() * 4_000.0;
        bench.offset = wild;
        bench.voltage_error = bench.noise() * 6.0;
        bench.celsius = bench.noise() * 300.0;
        if round % 100 == 0 {
            bench.reset();
        }
        bench.soc = 0.5;
        bench.second(wild);
    }
}
