//! One cell of the plant's kind, exact, with the core that watches it; and the model of that very cell.

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

pub fn config(chemistry: Chemistry) -> ValidConfig {
    config_of(chemistry, CELLS)
}

pub fn config_of(chemistry: Chemistry, cells: u8) -> ValidConfig {
    Config::preset(chemistry, cells)
        .with_charge_limit(amps(200), bms_core::time::secs(600))
        .with_discharge_limit(amps(200), bms_core::time::secs(600))
        .with_capacity(ah(100))
        .with(P::SamplePeriod, 1_000)
        .with(P::CapacityLearning, 2)
        .validate()
        .unwrap()
}

/// Half the distance between the branches of the open-circuit voltage, V.
pub fn half_width(chemistry: Chemistry) -> f64 {
    if chemistry == Chemistry::LiFePo4 { 0.006 } else { 0.0 }
}

/// The model of the plant's very cell, as a laboratory would fit it.
pub fn own_model(chemistry: Chemistry) -> CellModel {
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
pub struct Bench {
    pub bms: Bms<24, ModelEstimator, ManualRule>,
    pub config: ValidConfig,
    pub kind: CellKind,
    pub curve: Curve,
    pub now: u64,
    /// True state of charge, capacity in Ah, resistance against new, temperature.
    pub soc: f64,
    pub capacity: f64,
    pub ageing: f64,
    pub celsius: f64,
    pub polarisation: [f64; 2],
    pub branch: f64,
    /// What the sensors add.
    pub voltage_error: f64,
    pub offset: f64,
    pub seed: u64,
    pub covered: (u32, u32),
    pub worst_step: i32,
    pub shown: Option<u16>,
}

impl Bench {
    pub fn new(chemistry: Chemistry, soc: f64) -> Self {
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
    pub fn knowing_the_cell(mut self) -> Self {
        let estimator = ModelEstimator::new(&self.config, own_model(self.config.chemistry()));
        self.bms = Bms::with_parts(self.config, estimator, ManualRule::new());
        self
    }
    /// What the BMS believes before it has seen anything.
    pub fn believing(mut self, soc: f64, sigma: f64) -> Self {
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
    pub fn noise(&mut self) -> f64 {
        // SplitMix64: any fixed sequence will do.
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }
    /// A constant current in A (positive charges) for some seconds, as far as the cell takes it.
    pub fn flow(&mut self, current: f64, seconds: u32) {
        for _ in 0..seconds {
            self.second(current);
        }
    }
    pub fn second(&mut self, current: f64) {
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
    pub fn check(&mut self) {
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
    pub fn error(&self) -> f64 {
        let known = self.bms.status().state_of_charge.valid().expect("known");
        f64::from(known.millionths) * 1e-6 - self.soc
    }
    pub fn sigma(&self) -> f64 {
        f64::from(self.bms.status().state_of_charge.valid().expect("known").sigma_millionths) * 1e-6
    }
    pub fn coverage(&self) -> f64 {
        f64::from(self.covered.0) / f64::from(self.covered.1.max(1))
    }
    /// A drive: bursts and pauses, `mean` A on average (negative discharges).
    pub fn drive(&mut self, mean: f64, seconds: u32) {
        for second in 0..seconds {
            let pattern = [0.0, 0.5, 2.5, 1.5, 0.2, -0.6, 2.4, 1.5];
            self.second(mean * pattern[(second / 15) as usize % pattern.len()]);
        }
    }
    pub fn reset(&mut self) {
        let snapshot = self.bms.snapshot();
        let estimator = ModelEstimator::new(&self.config, CellModel::typical(self.config.chemistry()));
        self.bms = Bms::with_parts(self.config, estimator, ManualRule::new());
        self.bms.restore(Stored::Snapshot(snapshot), ResetCause::Watchdog);
    }
}
