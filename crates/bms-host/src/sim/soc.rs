//! `soc`: measured data of one cell through the state-of-charge estimator, by the same integer code and the same
//! [`Bms::step`](bms_core::Bms::step) as in the firmware.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use bms_core::Bms;
use bms_core::balancing::ManualRule;
use bms_core::config::{BoardDefinition, Chemistry, Config, ParameterId as P, Profile, ValidConfig};
use bms_core::estimation::{CellModel, Learned, ModelEstimator};
use bms_core::measurement::{Cells, Group, Input, Reading, Sample, Temperatures};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::Instant;
use bms_core::units::{Charge, Current, Temperature, Voltage, deg_c};

use super::arguments::SocArguments;
use super::failure::{Failure, FileError, Outcome, write};
use super::measured::{self, Row};
use super::scenario::saturating;
use super::soc_plot;
use crate::cells::{self, Cell};

/// Capacity of the pack that the cell is scaled to, Ah: so that a milliampere is fine enough for any cell.
const PACK_AH: f64 = 50.0;
/// Cells of that pack; all alike.
const CELLS: u8 = 4;
/// What a row's means may stand for at most, ms.
const MEAN_MS: u64 = 60_000;
/// Longest step, ms.
const STEP_MS: u64 = 1_000;

/// The estimate after one row.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Seconds, as in the row.
    pub time_s: f64,
    /// Internal estimate, 0 to 1.
    pub soc: f64,
    /// Its standard deviation.
    pub sigma: f64,
    /// What people are shown.
    pub shown: f64,
}

/// What the BMS believes at the start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Capacity, Ah.
    pub capacity_ah: f64,
    /// State of charge, 0 to 1, and its standard deviation.
    pub soc: f64,
    /// See `soc`.
    pub sigma: f64,
}

/// A cell on the bench: a pack of equal cells whose sensors show measured data.
#[derive(Debug)]
pub struct Bench {
    /// The core.
    pub bms: Bms<24, ModelEstimator, ManualRule>,
    scale: f64,
    last: u64,
    temperature: Temperatures,
}

fn config(cell: &Cell) -> Result<ValidConfig, String> {
    let charge_voltage = saturating(cell.charge_voltage * 1e6);
    let low = match cell.chemistry {
        Chemistry::LiIon => 2_500_000,
        Chemistry::LiFePo4 => 2_000_000,
        Chemistry::Lto => 1_500_000,
    };
    Config::preset(cell.chemistry, CELLS)
        .with_profile(Profile::Manual)
        .with_board(BoardDefinition { stack_voltage: false, ..BoardDefinition::MANUAL })
        .with(P::Capacity, saturating(PACK_AH * 1e3))
        .with(P::ChargeOvercurrentProtection, 350_000)
        .with(P::DischargeOvercurrentProtection, 350_000)
        .with(P::SamplePeriod, 1_000)
        .with(P::DataLostTime, 5_000)
        .with(P::CellOvervoltageRecovery, charge_voltage)
        .with(P::CellOvervoltageProtection, charge_voltage.saturating_add(50_000))
        .with(P::CellUndervoltageProtection, low)
        .with(P::CellUndervoltageRecovery, low.saturating_add(100_000))
        .with(P::AutoShutdownVoltage, low.saturating_sub(100_000))
        .with(P::CapacityLearning, 2)
        .with(P::ZeroCurrentWindow, 3)
        .validate()
        .map_err(|violations| violations.iter().map(|one| one.to_string()).collect::<Vec<_>>().join("; "))
}

impl Bench {
    /// A pack of this cell.
    ///
    /// # Errors
    /// If the cell's charge voltage fits no configuration.
    pub fn new(cell: &Cell, start: Start) -> Result<Self, String> {
        let config = config(cell)?;
        let scale = PACK_AH / start.capacity_ah;
        let capacity = cell.model.capacity.map(|charge| {
            Charge::from_milliamp_hours(i64::from(saturating(charge.as_milliamp_hours() as f64 * scale)))
        });
        let model = CellModel { capacity, ..cell.model };
        let mut bms = Bms::with_parts(config, ModelEstimator::new(&config, model), ManualRule::new());
        let charge = (start.soc * PACK_AH * 3.6e9).round() as i64;
        let snapshot = Snapshot {
            remaining: Some(Charge::from_milliamp_millis(charge)),
            capacity: config.capacity(),
            learned: Learned {
                soc_sigma_millionths: saturating(start.sigma * 1e6).unsigned_abs().max(1),
                shown_permille: saturating(start.soc * 1e3) as u16,
                ..Learned::default()
            },
            ..Snapshot::default()
        };
        bms.restore(Stored::Snapshot(snapshot), ResetCause::PowerOn);
        let temperature = Temperatures { battery: [Reading::NotMeasured; 5], mos: Reading::Valid(deg_c(25)) };
        Ok(Self { bms, scale, last: 0, temperature })
    }

    /// One row: means since the row before. Where rows are far apart, only its last minute is known to be like it.
    pub fn row(&mut self, milliseconds: u64, row: &Row) {
        let current = Current::from_milliamps(saturating(row.current * self.scale * 1e3));
        if self.last == 0 {
            self.step(1, current, None);
        }
        let end = milliseconds.max(self.last.saturating_add(1));
        while end.saturating_sub(self.last) > STEP_MS {
            let next = self.last.saturating_add(STEP_MS);
            let known = end.saturating_sub(next) < MEAN_MS;
            self.step(next, current, known.then_some(row));
        }
        self.step(end, current, Some(row));
    }
    fn step(&mut self, milliseconds: u64, current: Current, row: Option<&Row>) {
        let now = Instant::from_millis(milliseconds);
        let mut sample = Sample::new();
        sample.current = Group::at(now, current);
        if let Some(row) = row {
            let voltage = Voltage::from_microvolts(saturating(row.voltage * 1e6));
            sample.cells = Group::at(now, Cells::from_voltages(&[voltage; CELLS as usize]));
            let value = Reading::Valid(Temperature::from_tenths(saturating(row.temperature * 10.0)));
            let [first, second, ..] = &mut self.temperature.battery;
            (*first, *second) = (value, value);
            sample.temperatures = Group::at(now, self.temperature);
        }
        self.last = milliseconds;
        self.bms.step(now, Input::Sample(&sample));
        while self.bms.poll_event().is_some() {}
    }
    /// The learned capacity of the cell, Ah.
    #[must_use]
    pub fn capacity_ah(&self) -> f64 {
        self.bms.status().capacity.as_milliamp_millis() as f64 / 3.6e9 / self.scale
    }
    /// What is estimated now.
    #[must_use]
    pub fn estimate(&self, time_s: f64) -> Estimate {
        let status = self.bms.status();
        let known = status.state_of_charge.valid();
        Estimate {
            time_s,
            soc: known.map_or(0.5, |known| f64::from(known.millionths) * 1e-6),
            sigma: known.map_or(0.5, |known| f64::from(known.sigma_millionths) * 1e-6),
            shown: status.state_of_charge_permille.valid().map_or(0.5, |permille| f64::from(permille) * 1e-3),
        }
    }
}

/// The estimate after every row.
///
/// # Errors
/// As [`Bench::new`].
pub fn estimate(rows: &[Row], cell: &Cell, start: Start) -> Result<Vec<Estimate>, String> {
    let mut bench = Bench::new(cell, start)?;
    let times: Vec<f64> = rows.iter().map(|row| row.time_s).collect();
    let period = match times.as_slice() {
        [first, second, ..] => second - first,
        _ => 1.0,
    };
    let begin = times.first().map_or(0.0, |first| first - period);
    Ok(rows
        .iter()
        .map(|row| {
            bench.row(((row.time_s - begin) * 1e3).round().max(1.0) as u64, row);
            bench.estimate(row.time_s)
        })
        .collect())
}

/// Runs the command.
///
/// # Errors
/// If a file cannot be used.
pub fn run(arguments: &SocArguments, json: Option<&Path>, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let rows = measured::load(&arguments.input)?;
    let cell = cells::find(&arguments.cell)?;
    let start =
        Start { capacity_ah: arguments.capacity_ah, soc: arguments.initial_soc, sigma: arguments.initial_sigma };
    let estimates =
        estimate(&rows, &cell, start).map_err(|reason| FileError::whole(Path::new(&arguments.cell), reason))?;
    let mut text = String::from("time_s,soc_est,soc_sigma,soc_shown\n");
    for estimate in &estimates {
        let Estimate { time_s, soc, sigma, shown } = estimate;
        let _ = writeln!(text, "{time_s},{soc:.6},{sigma:.6},{shown:.3}");
    }
    write(&arguments.output, text.as_bytes())?;
    if let Some(file) = &arguments.plot {
        let title = format!("{} from {:.0} % ± {:.0} %", arguments.cell, 100.0 * start.soc, 100.0 * start.sigma);
        soc_plot::draw(file, &title, &rows, &estimates)?;
    }
    let error = rows.iter().zip(&estimates).filter_map(|(row, estimate)| Some((estimate.soc - row.soc?).powi(2)));
    let (count, sum) = error.fold((0_u32, 0.0), |(count, sum), square| (count + 1, sum + square));
    if count > 0 {
        writeln!(out, "root mean square error: {:.2} %", 100.0 * (sum / f64::from(count)).sqrt())?;
    }
    if let Some(last) = estimates.last() {
        writeln!(
            out,
            "end: {:.1} % ± {:.1} %, shown {:.1} %",
            100.0 * last.soc,
            100.0 * last.sigma,
            100.0 * last.shown
        )?;
    }
    if let Some(file) = json {
        let text = serde_json::to_vec_pretty(&estimates).map_err(|error| FileError::whole(file, error))?;
        write(file, &text)?;
    }
    Ok(Outcome::Done)
}
