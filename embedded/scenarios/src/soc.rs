//! The model-based estimator on packs that are computed in integers: its numbers must be the same wherever it runs.
//!
//! Three chemistries, each from a wrong start under load through rest, cold, a reset, days without power, a charge to full, a
//! discharge to empty and nonsense at the sensors. After every step all that the estimator publishes is folded into one hash.

use crate::Xorshift;
use crate::digest::Digest;
use bms_core::balancing::ManualRule;
use bms_core::bms::Request;
use bms_core::estimation::{CellModel, FLAT, Learned, ModelEstimator, SLOPED};
use bms_core::prelude::*;
use bms_core::snapshot::Snapshot;
use bms_core::units::{Charge, Current};

type Pack = Bms<24, ModelEstimator, ManualRule>;

const CELLS: u8 = 16;
/// Charge of a cell, in mA·ms.
const CAPACITY: i64 = 100_000 * 3_600_000;
/// One cell's state of charge above the cell before it, in millionths.
const SPREAD: i64 = 2_000;

/// What a trace came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Over all that was published.
    pub hash: u64,
    /// How many steps there were.
    pub steps: u32,
    /// Steps in which hypotheses were compared.
    pub searching: u32,
    /// How many cells' differences were known, in one step a minute.
    pub cells: u32,
    /// Anchors reached: full and empty.
    pub anchors: (u32, u32),
}

fn model(chemistry: Chemistry) -> CellModel {
    let typical = CellModel::typical(chemistry);
    match chemistry {
        // As of the very cell: the capacity is learned from partial cycles.
        Chemistry::LiIon => CellModel { capacity: Some(ah(100)), tuning: &SLOPED, ..typical },
        Chemistry::LiFePo4 => CellModel { capacity: Some(ah(100)), tuning: &FLAT, ..typical },
        Chemistry::Lto => typical,
    }
}

fn config(chemistry: Chemistry) -> ValidConfig {
    Config::preset(chemistry, CELLS)
        .with_charge_limit(amps(200), secs(600))
        .with_discharge_limit(amps(200), secs(600))
        .with_capacity(ah(100))
        .with(ParameterId::SamplePeriod, 1_000)
        .with(ParameterId::CapacityLearning, 2)
        .validate()
        .expect("a valid configuration")
}

struct Run {
    chemistry: Chemistry,
    config: ValidConfig,
    bms: Pack,
    random: Xorshift,
    digest: Digest,
    now: Instant,
    /// In mA·ms, of the average cell.
    charge: i64,
    /// µV behind a lag of 60 s.
    lagged: i64,
    tenths: i32,
    outcome: Outcome,
}

impl Run {
    fn new(chemistry: Chemistry) -> Self {
        let config = config(chemistry);
        let mut bms = fresh(&config);
        let believed = Snapshot {
            remaining: Some(Charge::from_milliamp_hours(50_000)),
            capacity: ah(100),
            learned: Learned { soc_sigma_millionths: 300_000, shown_permille: 500, ..Learned::default() },
            ..Snapshot::default()
        };
        bms.restore(Stored::Snapshot(believed), ResetCause::PowerOn);
        Self {
            chemistry,
            config,
            bms,
            random: Xorshift::new(0x50C0_FFEE),
            digest: Digest::default(),
            now: Instant::from_millis(1_000),
            charge: CAPACITY / 100 * 80,
            lagged: 0,
            tenths: 250,
            outcome: Outcome::default(),
        }
    }

    fn noise(&mut self, most: i32) -> i32 {
        let width = most as u64 * 2 + 1;
        (self.random.next_word() % width) as i32 - most
    }

    /// One second of a current; what the switches do not let through does not flow.
    fn second(&mut self, wanted: Current) {
        let command = self.bms.command();
        let open = if wanted < Current::ZERO { !command.discharge.is_closed() } else { !command.charge.is_closed() };
        let milliamps = if open { 0 } else { wanted.as_milliamps() };
        self.charge += i64::from(milliamps) * 1_000;
        // 1 % more resistance for each kelvin below 25 °C.
        let cold = i64::from(1_000 + (250 - self.tenths).max(0));
        let microvolts = |micro_ohms: i64| i64::from(milliamps) * micro_ohms * cold / 1_000_000;
        self.lagged += (microvolts(400) - self.lagged) / 60;
        let polarised = microvolts(600) + self.lagged;
        let mut cells = Cells::new(CELLS);
        for index in 0..CELLS {
            let millionths = self.charge / (CAPACITY / 1_000_000) + (i64::from(index) - 8) * SPREAD;
            let beyond = (millionths - 1_000_000).max(0) + millionths.min(0);
            let within = millionths.clamp(0, 1_000_000) as u32;
            let open_circuit = model(self.chemistry).open_circuit_voltage(within).as_microvolts();
            let noise = self.noise(500);
            let sum = i64::from(open_circuit) + 3_000 + beyond * 5 + polarised + i64::from(noise);
            cells.set(usize::from(index), Voltage::from_microvolts(sum.clamp(0, 5_000_000) as i32));
        }
        // The sensor is off by 150 mA.
        let seen = Current::from_milliamps(milliamps + 150 + self.noise(50));
        self.step(cells, seen);
    }

    fn step(&mut self, cells: Cells<24>, current: Current) {
        self.now = self.now.after(secs(1));
        let mut sample = Sample::new();
        sample.cells = Group::at(self.now, cells);
        sample.current = Group::at(self.now, current);
        let sensor = Reading::Valid(Temperature::from_tenths(self.tenths));
        let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
        for reading in temperatures.battery.iter_mut().take(2) {
            *reading = sensor;
        }
        sample.temperatures = Group::at(self.now, temperatures);
        let command = self.bms.step(self.now, Input::Sample(&sample));
        self.digest.command(&command);
        while let Some(event) = self.bms.poll_event() {
            self.outcome.anchors.0 += u32::from(event.kind == EventKind::Full);
            self.outcome.anchors.1 += u32::from(event.kind == EventKind::Empty);
            self.digest.event(&event);
        }
        self.outcome.steps += 1;
        self.outcome.searching += u32::from(self.bms.estimator().is_searching());
        self.fold();
    }

    /// All that the estimator publishes, and now and then all that it would keep.
    fn fold(&mut self) {
        let status = self.bms.status();
        let digest = &mut self.digest;
        let known = status.state_of_charge.valid();
        digest.word(
            known.map_or(u64::MAX, |known| u64::from(known.millionths) << 32 | u64::from(known.sigma_millionths)),
        );
        digest.word(status.state_of_charge_permille.valid().map_or(u64::MAX, u64::from));
        digest.word(status.remaining.valid().map_or(u64::MAX, |charge| charge.as_milliamp_millis() as u64));
        digest.word(status.capacity.as_milliamp_millis() as u64);
        if let Some(health) = status.state_of_health.valid() {
            digest.word(u64::from(health.capacity_permille) << 16 | u64::from(health.resistance_permille));
        }
        if let Some(power) = status.state_of_power.valid() {
            for current in [power.charge_10s, power.charge_30s, power.discharge_10s, power.discharge_30s] {
                digest.word(current.as_milliamps() as u64);
            }
        }
        if self.outcome.steps.is_multiple_of(60) {
            let learned = self.bms.snapshot().learned;
            digest.word(u64::from(learned.soc_sigma_millionths));
            digest.word(learned.current_offset_microamps as u64);
            digest.word(learned.hysteresis_permille as u64);
            for cell in 0..usize::from(CELLS) {
                let known = status.cell_differences.get(cell);
                digest.word(known.map_or(u64::MAX, |known| {
                    (known.millionths as u32 as u64) << 32 | u64::from(known.sigma_millionths)
                }));
                self.outcome.cells += u32::from(known.is_some());
            }
            digest.word(u64::from(learned.capacity_sigma_permille) << 16 | u64::from(learned.resistance_permille));
        }
    }

    /// Bursts and pauses around a mean current.
    fn drive(&mut self, mean: i32, seconds: u32) {
        const TENTHS: [i32; 8] = [0, 5, 25, 15, 2, -6, 24, 15];
        for second in 0..seconds {
            let tenths = TENTHS[(second / 15) as usize % TENTHS.len()];
            self.second(Current::from_milliamps(mean * tenths * 100));
        }
    }

    /// Constant current, then constant voltage until the current has tailed off.
    fn charge_to_full(&mut self, most: i32) {
        let recovery = self.config.voltage(ParameterId::CellOvervoltageRecovery);
        let mut milliamps = most * 1_000;
        for _ in 0..7_200 {
            self.second(Current::from_milliamps(milliamps));
            let highest = self.bms.status().average_cell.valid().unwrap_or(recovery);
            milliamps = if highest > recovery { milliamps / 50 * 49 } else { (milliamps / 50 * 51).min(most * 1_000) };
            if self.outcome.anchors.0 > 0 {
                break;
            }
        }
    }

    fn discharge_to_empty(&mut self, milliamps: i32) {
        for _ in 0..14_400 {
            self.second(Current::from_milliamps(-milliamps));
            if self.outcome.anchors.1 > 0 {
                break;
            }
        }
    }

    fn reset(&mut self, off: Option<u32>) {
        let snapshot = self.bms.snapshot();
        self.bms = fresh(&self.config);
        self.bms.restore(Stored::Snapshot(snapshot), ResetCause::PowerOn);
        if let Some(seconds) = off {
            self.bms.was_off(Some(seconds));
        }
    }

    /// Nothing of it means anything; the estimate must stay in its range.
    fn nonsense(&mut self, steps: u32) {
        for _ in 0..steps {
            let mut cells = Cells::new(CELLS);
            for index in 0..usize::from(CELLS) {
                cells.set(index, Voltage::from_microvolts(self.noise(2_500_000) + 2_500_000));
            }
            self.tenths = self.noise(1_500);
            let current = Current::from_milliamps(self.noise(2_000_000));
            self.step(cells, current);
            if let Some(known) = self.bms.status().state_of_charge.valid() {
                assert!(known.millionths <= 1_000_000 && known.sigma_millionths <= 500_000, "in range");
            }
        }
    }

    fn run(mut self) -> Outcome {
        self.drive(-20, 3_000);
        for wanted in [false, true] {
            self.bms.request(Request::SetCharge(wanted)).expect("accepted");
            self.bms.request(Request::SetDischarge(wanted)).expect("accepted");
            for _ in 0..120 {
                self.second(Current::ZERO);
            }
        }
        self.tenths = -50;
        self.drive(-15, 900);
        self.reset(None);
        self.drive(-15, 60);
        self.reset(Some(86_400));
        self.tenths = 250;
        self.charge_to_full(60);
        self.discharge_to_empty(45_000);
        self.nonsense(400);
        let known = self.bms.status().state_of_charge.valid();
        assert!(known.is_some(), "a state of charge is known");
        Outcome { hash: self.digest.finish(), ..self.outcome }
    }
}

fn fresh(config: &ValidConfig) -> Pack {
    Bms::with_parts(*config, ModelEstimator::new(config, model(config.chemistry())), ManualRule::new())
}

/// The trace of the estimator that the host and every target must agree on.
#[must_use]
pub fn standard_trace() -> Outcome {
    let mut sum = Outcome::default();
    let mut digest = Digest::default();
    for chemistry in Chemistry::ALL {
        let one = Run::new(chemistry).run();
        assert!(one.searching > 0 && one.searching < one.steps, "hypotheses and tracker both had their turn");
        assert!(one.anchors.0 > 0 && one.anchors.1 > 0, "{chemistry:?}: both anchors were reached");
        assert!(one.cells > 0, "{chemistry:?}: cells were told apart");
        digest.word(one.hash);
        sum.steps += one.steps;
        sum.searching += one.searching;
        sum.cells += one.cells;
        sum.anchors = (sum.anchors.0 + one.anchors.0, sum.anchors.1 + one.anchors.1);
    }
    Outcome { hash: digest.finish(), ..sum }
}
