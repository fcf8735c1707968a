//! `balance`: balancing strategies on simulated packs, against the least that is possible.
//!
//! ```text
//! seed ─► pack (pack.rs) ─► DriverRig: plant, ports, Driver, Bms::step (trial.rs) ─► Result ─┐
//!                └─► the least charge, time and loss (bound.rs) ─────────────────────┴─► table, JSON, plot (report.rs)
//! ```

pub mod bound;
pub mod pack;
pub mod report;
pub mod trial;

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bms_core::config::Chemistry;
use clap::Args;

use super::arguments::{in_range, parse_capacity, parse_chemistry};
use super::failure::{Failure, FileError, Outcome};
use pack::Use;
use trial::{Contestant, Result as Trial};

/// Arguments of `balance`.
#[derive(Clone, Debug, Args)]
pub struct BalanceArguments {
    /// Cells in series.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(7..=24))]
    pub cells: u8,
    /// Chemistry: li-ion (nmc, nca), lifepo4 (lfp) or lto.
    #[arg(long, default_value = "lfp", value_parser = parse_chemistry)]
    pub chemistry: Chemistry,
    /// Capacity of the pack in Ah.
    #[arg(long, default_value_t = 100.0, value_name = "AH", value_parser = parse_capacity)]
    pub capacity_ah: f64,
    /// Spread of the cells' states of charge in % (one sigma).
    #[arg(long, default_value_t = 3.0, value_name = "PERCENT", value_parser = super::arguments::parse_spread)]
    pub spread: f64,
    /// Balance current in A; at most 0.1 C and the model's 2 A.
    #[arg(long, default_value_t = 2.0, value_name = "A", value_parser = parse_current)]
    pub current: f64,
    /// What happens to the pack meanwhile. Default: rest for sloped chemistries, cycle for LiFePO4.
    #[arg(long = "use", value_name = "USE")]
    pub use_asked: Option<Use>,
    /// As asked for, or the default.
    #[arg(skip = Use::Rest)]
    pub usage: Use,
    /// Strategy; may be given more than once. Default: all.
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Vec<Contestant>,
    /// How many packs: seeds 1 to N, or from --seed on.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// The spread to come to, in %. Default: 1 at rest, 1.5 in use.
    #[arg(long, value_name = "PERCENT", value_parser = parse_target)]
    pub target_spread: Option<f64>,
    /// How long to run, in multiples of the bound's time. Default: 2 at rest, 1.25 in use.
    #[arg(long, value_name = "TIMES", value_parser = parse_horizon)]
    pub horizon_times: Option<f64>,
    /// As asked for, or the default.
    #[arg(skip = 0.0)]
    pub horizon: f64,
    /// One cell in the middle has only this part of the capacity, in %, and is level with the others when full.
    #[arg(long, value_name = "PERCENT", value_parser = parse_weak)]
    pub weak: Option<f64>,
    /// Each cell's reading is wrong by up to this, in mV.
    #[arg(long, default_value_t = 3.0, value_name = "MV", value_parser = parse_bias)]
    pub bias: f64,
    /// Time between two steps of the core, ms.
    #[arg(long, default_value_t = 200, value_name = "MS", value_parser = clap::value_parser!(u32).range(50..=1000))]
    pub step_ms: u32,
    /// Exit with 1 unless the default strategy reaches its goals.
    #[arg(long)]
    pub goals: bool,
    /// Print the table as Markdown.
    #[arg(long)]
    pub markdown: bool,
}

fn parse_current(text: &str) -> Result<f64, String> {
    in_range(text, 0.05, 2.0, "A")
}
fn parse_target(text: &str) -> Result<f64, String> {
    in_range(text, 0.1, 20.0, "%")
}
fn parse_horizon(text: &str) -> Result<f64, String> {
    in_range(text, 0.1, 10.0, "times")
}
fn parse_bias(text: &str) -> Result<f64, String> {
    in_range(text, 0.0, 20.0, "mV")
}
fn parse_weak(text: &str) -> Result<f64, String> {
    in_range(text, 60.0, 100.0, "%")
}

impl BalanceArguments {
    /// The spread to come to, as a part of one.
    #[must_use]
    pub fn target(&self) -> f64 {
        self.target_spread.unwrap_or(if self.usage == Use::Rest { 1.0 } else { 1.5 }) / 100.0
    }
    /// With what depends on other arguments filled in.
    #[must_use]
    pub fn completed(&self) -> Self {
        let mut this = self.clone();
        let default = if this.chemistry == Chemistry::LiFePo4 { Use::Cycle } else { Use::Rest };
        this.usage = this.use_asked.unwrap_or(default);
        this.horizon = this.horizon_times.unwrap_or(if this.usage == Use::Rest { 2.0 } else { 1.25 });
        if this.strategy.is_empty() {
            this.strategy = Contestant::ALL.to_vec();
        }
        this
    }
}

/// Carries out the command.
///
/// # Errors
/// A file cannot be written, or nothing can be printed.
pub fn run(
    arguments: &BalanceArguments,
    seed: Option<u64>,
    directory: &Path,
    json: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let arguments = arguments.completed();
    let config = match pack::config(&arguments, arguments.step_ms) {
        Ok(config) => config,
        Err(reason) => {
            writeln!(out, "invalid configuration: {reason}")?;
            return Ok(Outcome::Violated);
        }
    };
    let first = seed.unwrap_or(1);
    let seeds: Vec<u64> = (first..first.saturating_add(arguments.seeds)).collect();
    let mut results: Vec<(Contestant, Vec<Trial>)> = Vec::new();
    for contestant in &arguments.strategy {
        let trials = on_all_cores(&seeds, |seed| trial::run(&arguments, config, *contestant, seed))
            .map_err(|reason| FileError::whole(directory, reason))?;
        results.push((*contestant, trials));
    }
    report::print(&arguments, &results, out)?;
    let plots = report::draw(&arguments, &results, directory)?;
    for plot in plots {
        writeln!(out, "plot: {}", plot.display())?;
    }
    if let Some(file) = json {
        super::failure::write(file, report::json(&arguments, &results).as_bytes())?;
    }
    let missed = if arguments.goals { report::missed_goals(&arguments, &results) } else { Vec::new() };
    for miss in &missed {
        writeln!(out, "MISSED: {miss}")?;
    }
    Ok(Outcome::violated_if(!missed.is_empty()))
}

/// Runs the seeds side by side; the answers come in their order.
fn on_all_cores<T: Send>(seeds: &[u64], run: impl Fn(u64) -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = run(*seed);
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((*seed, answer));
                    }
                }
            });
        }
    });
    let mut answers = answers.into_inner().map_err(|_| "a trial failed".to_owned())?;
    answers.sort_by_key(|(seed, _)| *seed);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
