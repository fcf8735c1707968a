//! `replay`: measured data of one cell, scaled to a pack with a spread, through the protection core.

use std::io::Write;
use std::path::Path;

use bms_core::Bms;
use bms_core::config::{Chemistry, Config, Model, ParameterId, ValidConfig};
use bms_core::units::Charge;
use indicatif::ProgressBar;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::arguments::ReplayArguments;
use super::failure::{Failure, Outcome, write};
use super::measured::{self, CellFacts, Row};
use super::numbers::duration;
use super::open_loop::OpenLoop;
use super::page::PRINTED_WIDTH;
use super::plot;
use super::report;
use super::run::milliseconds;
use super::scenario::{Change, MAXIMUM_CELLS, saturating};
use super::session::Session;
use super::world::World;

/// Time between two samples, ms.
const PERIOD_MS: u64 = 1_000;

/// How one cell of the pack differs from the measured one.
#[derive(Clone, Copy, Debug)]
struct Difference {
    /// Of the resistance, as a part.
    resistance: f64,
    /// Of the capacity, as a part.
    capacity: f64,
    /// Of the state of charge at the start, as a part of the capacity.
    soc: f64,
}

/// The measured cell as a pack.
#[derive(Debug)]
struct Pack {
    facts: CellFacts,
    slopes: Vec<f64>,
    /// Pack current per A of the cell.
    scale: f64,
    differences: Vec<Difference>,
    /// How much warmer than the cells the switches are, K.
    warming: f64,
}

impl Pack {
    /// The switches follow the heat of the current, slowly.
    fn warm(&mut self, bms: &Bms, milliseconds: u32) {
        /// Warming, K/W, and time constant, s.
        const WARMING: (f64, f64) = (0.6, 150.0);
        let current = bms.status().current.valid().map_or(0.0, |amps| f64::from(amps.as_milliamps()) * 1e-3);
        let ohms = bms.config().model().and_then(|model| model.ratings().resistance);
        let watts = current.powi(2) * ohms.map_or(0.5e-3, |ohms| f64::from(ohms.as_microohms()) * 1e-6);
        let (kelvin_per_watt, seconds) = WARMING;
        let part = (f64::from(milliseconds) / 1_000.0 / seconds).min(1.0);
        self.warming += (watts * kelvin_per_watt - self.warming) * part;
    }
}

/// The command.
///
/// # Errors
/// If a file is unusable.
pub fn run(
    arguments: &ReplayArguments,
    seed: u64,
    plots: &Path,
    json: Option<&Path>,
    coloured: bool,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let rows = measured::load(&arguments.data)?;
    let facts = measured::facts(&rows, arguments.cell_capacity_ah);
    let chemistry = arguments.chemistry.unwrap_or(match facts.highest {
        volts if volts > 3.75 => Chemistry::LiIon,
        volts if volts > 2.9 => Chemistry::LiFePo4,
        _ => Chemistry::Lto,
    });
    let config = match config(arguments, chemistry) {
        Ok(config) => config,
        Err(reasons) => {
            for reason in reasons {
                writeln!(out, "invalid: {reason}")?;
            }
            return Ok(Outcome::Violated);
        }
    };
    let mut pack = Pack {
        facts,
        slopes: measured::slopes(&rows, &facts),
        scale: arguments.capacity_ah / facts.capacity_ah,
        differences: differences(arguments, seed),
        warming: 0.0,
    };
    let title = title(arguments, chemistry, &rows, &pack);
    writeln!(out, "{title}")?;
    let mut session = Session::new(config, World::open(OpenLoop::new(config, [0.0; MAXIMUM_CELLS])), 0.0, seed);
    if let Some(soc) = rows.first().and_then(|row| row.soc) {
        session.know_remaining(soc);
    }
    if let Some(file) = &arguments.trace {
        session.trace_to(file)?;
    }
    let bar = ProgressBar::new(rows.len() as u64);
    let cut_off_ah = play(&mut session, &rows, &mut pack, &mut |row| bar.set_position(row));
    bar.finish_and_clear();
    session.finish_trace()?;
    let record = &session.record;
    if record.trips.iter().all(|trip| trip.alarm.is_warning()) {
        writeln!(out, "nothing tripped")?;
    } else {
        writeln!(out, "{}", report::trips(record))?;
    }
    if cut_off_ah > 0.05 {
        writeln!(
            out,
            "{cut_off_ah:.2} Ah of the measured current met an open switch and did not flow; the cells' voltages go on as measured."
        )?;
    }
    let page = report::page(session.bms(), &format!("After {}", duration(record.end_ms)));
    write!(out, "{}", page.to_text(PRINTED_WIDTH, coloured))?;
    let counted = session.bms().status().state_of_charge_permille.valid().map(|permille| f64::from(permille) / 10.0);
    let laboratory = rows.last().and_then(|row| row.soc).map(|soc| soc * 100.0);
    if let (Some(counted), Some(laboratory)) = (counted, laboratory) {
        writeln!(out, "State of charge: counted {counted:.1} %, by the laboratory {laboratory:.1} %")?;
    }
    for path in plot::draw_all(record, &title, plots)? {
        writeln!(out, "plot: {}", path.display())?;
    }
    if let Some(path) = json {
        let report = serde_json::json!({
            "title": title,
            "data": arguments.data,
            "rows": rows.len(),
            "cell_capacity_ah": facts.capacity_ah,
            "cell_resistance_ohm": facts.ohms,
            "cut_off_ah": cut_off_ah,
            "soc_counted_percent": counted,
            "soc_laboratory_percent": laboratory,
            "trips": report::trips_json(record),
            "page": page,
        });
        write(path, format!("{report:#}\n").as_bytes())?;
    }
    Ok(Outcome::Done)
}

fn title(arguments: &ReplayArguments, chemistry: Chemistry, rows: &[Row], pack: &Pack) -> String {
    let name = arguments.data.file_name().unwrap_or_default().to_string_lossy();
    let seconds = rows.last().map_or(0.0, |row| row.time_s) - rows.first().map_or(0.0, |row| row.time_s);
    format!(
        "{name} as {} x {}, {} Ah: {:.2} h of a {:.2} Ah cell with {:.1} mΩ, spread {} %",
        arguments.cells,
        chemistry.name(),
        arguments.capacity_ah,
        seconds / 3_600.0,
        pack.facts.capacity_ah,
        pack.facts.ohms * 1e3,
        arguments.spread,
    )
}

/// The largest model if it takes this many cells; otherwise the currents of the largest model.
fn config(arguments: &ReplayArguments, chemistry: Chemistry) -> Result<ValidConfig, Vec<String>> {
    let model = if arguments.cells <= 8 { Model::B2a8s20p } else { Model::B2a24s20p };
    let fits = arguments.cells >= model.ratings().fewest_cells_of(chemistry);
    let mut config = Config::preset(chemistry, arguments.cells);
    if fits {
        config = config.with_model(model);
    } else {
        let ratings = model.ratings();
        config = config
            .with(ParameterId::ChargeOvercurrentProtection, ratings.continuous.as_milliamps())
            .with(ParameterId::DischargeOvercurrentProtection, ratings.continuous.as_milliamps())
            .with(ParameterId::SevereDischargeCurrent, ratings.maximum_discharge.as_milliamps());
    }
    config = config.with_capacity(Charge::from_milliamp_hours(saturating(arguments.capacity_ah * 1e3).into()));
    config = config.with(ParameterId::SamplePeriod, i32::try_from(PERIOD_MS).unwrap_or(i32::MAX));
    config.validate().map_err(|violations| violations.iter().map(|violation| violation.to_string()).collect())
}

/// Draws how the cells differ.
fn differences(arguments: &ReplayArguments, seed: u64) -> Vec<Difference> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut draw = |sigma: f64| {
        // Nearly normal: the sum of twelve even numbers.
        let sum: f64 = (0..12).map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX)).sum();
        sigma * (sum - 6.0)
    };
    let spread = arguments.spread / 100.0;
    (0..arguments.cells)
        .map(|_| Difference { resistance: draw(spread * 5.0), capacity: draw(spread), soc: draw(spread) })
        .collect()
}

/// Plays all rows; gives the charge that met an open switch, Ah.
fn play(session: &mut Session, rows: &[Row], pack: &mut Pack, progress: &mut dyn FnMut(u64)) -> f64 {
    let Some(first) = rows.first() else { return 0.0 };
    let mut cut_off = 0.0;
    let mut previous = first;
    let slopes = std::mem::take(&mut pack.slopes);
    for (number, (row, slope)) in rows.iter().zip(&slopes).enumerate() {
        // A row's current is the mean since the row before, so the time between is stepped with it.
        let end_ms = milliseconds(row.time_s - first.time_s);
        let begin_ms = session.now_ms();
        while session.now_ms() < end_ms || number == 0 {
            let left = end_ms.saturating_sub(session.now_ms());
            let length = u32::try_from(left.min(PERIOD_MS)).unwrap_or(0);
            session.advance(length);
            let part =
                if end_ms > begin_ms { (session.now_ms() - begin_ms) as f64 / (end_ms - begin_ms) as f64 } else { 1.0 };
            pack.warm(session.bms(), length);
            cut_off += show(session, pack, (previous, row), part, *slope) * f64::from(length) / 3.6e6;
            session.step();
            if number == 0 {
                break;
            }
        }
        previous = row;
        if number % 512 == 0 {
            progress(number as u64);
        }
    }
    cut_off
}

/// Shows the sensors what they see on the way from one row to the next; gives the current that an open switch stops.
fn show(session: &mut Session, pack: &Pack, (from, to): (&Row, &Row), part: f64, slope: f64) -> f64 {
    let mixed = |a: f64, b: f64| a + (b - a) * part;
    let (charge_closed, discharge_closed) = {
        let command = session.bms().command();
        (command.charge.is_closed(), command.discharge.is_closed())
    };
    // Back to back: a closed switch of the other direction does not help, an open one stops its own.
    let wanted = to.current * pack.scale;
    let flows = if wanted > 0.0 { charge_closed } else { discharge_closed };
    let current = if flows { wanted } else { 0.0 };
    let cell_current = current / pack.scale;
    let resting = mixed(from.voltage, to.voltage) - to.current * pack.facts.ohms;
    let moved = to.charge_ah / pack.facts.capacity_ah;
    let mut changes: Vec<Change> = (0..)
        .zip(&pack.differences)
        .map(|(cell, difference)| {
            let ohmic = cell_current * pack.facts.ohms * (1.0 + difference.resistance);
            // A smaller cell moves further on its curve.
            let offset = difference.soc - moved * difference.capacity;
            Change::Cell(cell, (resting + ohmic + slope * offset).clamp(0.0, 6.5))
        })
        .collect();
    let temperature = mixed(from.temperature, to.temperature);
    changes.extend([
        Change::Current(current),
        Change::Battery(0, temperature),
        Change::Battery(1, temperature),
        Change::Mos(temperature + pack.warming),
    ]);
    for change in &changes {
        // What sensors show is never refused.
        let _ = session.change(change);
    }
    (wanted - current).abs()
}
