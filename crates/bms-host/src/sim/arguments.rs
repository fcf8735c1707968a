//! The command line.

use std::path::PathBuf;

use bms_core::config::Chemistry;
use clap::{Args, Parser, Subcommand};

use super::memory::{ImageArguments, TestArguments};

/// A battery protection system on a simulated pack.
///
/// Without a command: a demonstration day on a 16-cell LiFePO4 pack.
/// Exit code: 0 done, 1 a violated expectation or an invalid configuration, 2 bad usage or an unreadable file.
#[derive(Debug, Parser)]
#[command(name = "bms-sim", version, max_term_width = 120)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where the results go.
    #[command(flatten)]
    pub output: OutputArguments,
    /// What randomness starts from: the same seed gives the same run. Default: the scenario's, or 1.
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
    /// The flash of the simulated board: what it remembers from one run to the next (demonstration, run, watch).
    #[arg(long, global = true, value_name = "FILE")]
    pub store: Option<PathBuf>,
}

/// Where results go.
#[derive(Clone, Debug, Args)]
pub struct OutputArguments {
    /// Directory for the plots.
    #[arg(long, default_value = "target/bms-sim", global = true, value_name = "DIR")]
    pub out: PathBuf,
    /// Also write the results as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Colours: by default only on a terminal.
    #[arg(long, default_value = "auto", global = true, value_name = "WHEN")]
    pub color: Colour,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scripted scenario and check what it expects (docs/scenarios.md)
    Run(RunArguments),
    /// Run measured data of one cell, scaled to a pack
    Replay(ReplayArguments),
    /// Step a recorded trace again and compare every output bit for bit
    Trace(TraceArguments),
    /// Watch a simulated pack live; switch, inject faults, change parameters
    Watch(WatchArguments),
    /// Speak one of the protocols of owners' tools, in real time (docs/links.md)
    Serve(ServeArguments),
    /// Check the configuration in a scenario or configuration file
    Check(CheckArguments),
    /// Compare balancing strategies on simulated packs with the least that is possible (docs/balancing.md)
    Balance(super::balance::BalanceArguments),
    /// Estimate the state of charge of measured cell data
    Soc(SocArguments),
    /// Turn CSV tables of a cell into the const table for the firmware
    Cell(CellArguments),
    /// Learn the capacity from measured ageing data, and compare it with the laboratory's
    Capacity(CapacityArguments),
    /// Print the table of parameters
    Parameters(ParametersArguments),
    /// List every alarm: what trips it, when, how it ends, what it inhibits.
    Protections(ProtectionsArguments),
    /// What a store's image holds: settings, faults, counters, lifetime statistics, trips by kind
    Status(ImageArguments),
    /// The events in a store's image, with freeze frames
    Log(ImageArguments),
    /// Cut the power at every word written and erased, flip bits, open arbitrary images: is anything lost?
    StoreTest(TestArguments),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    pub scenario: PathBuf,
    /// Write a trace that `bms-sim trace` can step again.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Draw the plots too.
    #[arg(long)]
    pub plots: bool,
    /// Print the status page of the end too.
    #[arg(long)]
    pub page: bool,
    /// With --store: the board was without power for so long since the last run, by a clock that went on (a run's own time is
    /// simulated; watch and serve take the computer's clock).
    #[arg(long, default_value_t = 0, value_name = "SECONDS", conflicts_with = "trace")]
    pub off: u32,
}

/// Arguments of `soc`.
#[derive(Debug, Args)]
pub struct SocArguments {
    /// Measured data: CSV with the columns time_s,current_a,voltage_v,temp_c; soc_ref too, if it shall be compared.
    #[arg(long, value_name = "IN.csv")]
    pub input: PathBuf,
    /// Where the estimate goes: CSV with the columns time_s,soc_est,soc_sigma,soc_shown.
    #[arg(long, value_name = "OUT.csv")]
    pub output: PathBuf,
    /// Capacity that the BMS is configured with, in Ah.
    #[arg(long, value_name = "AH", value_parser = parse_capacity)]
    pub capacity_ah: f64,
    /// State of charge that the BMS believes at the start, 0 to 1.
    #[arg(long, value_name = "SOC", value_parser = parse_part)]
    pub initial_soc: f64,
    /// How sure it is of that: one standard deviation, 0 to 1.
    #[arg(long, value_name = "SIGMA", value_parser = parse_part)]
    pub initial_sigma: f64,
    /// The cell: a name (pan, a123, lfpflat, calce, ae_nmc, ae_lfp, li-ion, lifepo4, lto) or a TOML file (docs/state-of-charge.md).
    #[arg(long, value_name = "NAME|FILE")]
    pub cell: String,
    /// Draw the estimate with its confidence, beside soc_ref where the input has it.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Arguments of `cell`.
#[derive(Debug, Args)]
pub struct CellArguments {
    /// Open-circuit voltages: CSV with the columns soc,discharge_v and, if known, charge_v.
    #[arg(long, value_name = "OCV.csv")]
    pub ocv: PathBuf,
    /// Resistances: CSV with the columns temp_c,soc,ohmic_mohm,fast_mohm,middle_mohm,slow_mohm.
    #[arg(long, value_name = "R.csv")]
    pub resistance: PathBuf,
    /// Capacity of the cell that was measured, in Ah.
    #[arg(long, value_name = "AH", value_parser = parse_capacity)]
    pub capacity_ah: f64,
    /// Chemistry: li-ion (nmc, nca), lifepo4 (lfp) or lto.
    #[arg(long, value_parser = parse_chemistry)]
    pub chemistry: Chemistry,
}

/// Arguments of `capacity`.
#[derive(Debug, Args)]
pub struct CapacityArguments {
    /// Measured data: CSV with the columns time_s,current_a,voltage_v,temp_c.
    #[arg(long, value_name = "IN.csv")]
    pub input: PathBuf,
    /// The laboratory's cycles: CSV with the columns cycle,t_end_s,capacity_lab_ah.
    #[arg(long, value_name = "CYCLES.csv")]
    pub cycles: PathBuf,
    /// Capacity that the BMS is configured with, in Ah.
    #[arg(long, value_name = "AH", value_parser = parse_capacity)]
    pub nominal_ah: f64,
    /// The cell, as for `soc`.
    #[arg(long, value_name = "NAME|FILE")]
    pub cell: String,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Measured data: CSV with the columns time_s,current_a,voltage_v,temp_c.
    #[arg(value_name = "CELL.csv")]
    pub data: PathBuf,
    /// Cells in series.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(4..=24))]
    pub cells: u8,
    /// Chemistry: li-ion (nmc, nca), lifepo4 (lfp) or lto. Default: from the data's highest voltage.
    #[arg(long, value_parser = parse_chemistry)]
    pub chemistry: Option<Chemistry>,
    /// Capacity of the pack in Ah; the data's current is scaled by it.
    #[arg(long, default_value_t = 100.0, value_name = "AH", value_parser = parse_capacity)]
    pub capacity_ah: f64,
    /// Capacity of the measured cell in Ah. Default: from the data's soc_ref column, or else its throughput.
    #[arg(long, value_name = "AH", value_parser = parse_capacity)]
    pub cell_capacity_ah: Option<f64>,
    /// Spread of the cells in %: their capacity and resistance differ by about this much (one sigma).
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT", value_parser = parse_spread)]
    pub spread: f64,
    /// Write a trace that `bms-sim trace` can step again.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// The trace.
    #[arg(value_name = "TRACE.csv")]
    pub trace: PathBuf,
    /// For a trace without its first line: the scenario whose configuration it was recorded with.
    #[arg(long, value_name = "SCENARIO.toml")]
    pub scenario: Option<PathBuf>,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// A scenario to start from. Default: the demonstration's pack.
    #[arg(value_name = "SCENARIO.toml")]
    pub scenario: Option<PathBuf>,
    /// Draw this many pages as text, one a simulated second, instead of taking over the terminal.
    #[arg(long, value_name = "PAGES")]
    pub headless: Option<u32>,
    /// Keys to press, one before each headless page.
    #[arg(long, value_name = "KEYS", requires = "headless", default_value = "")]
    pub keys: String,
    /// Simulated seconds a second.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub speed: u32,
}

/// Arguments of `serve`.
///
/// uart, modbus and display: raw bytes on standard input and output. ble: one line each, to the board `M 185` (MTU), `S`
/// (subscribed), `U` (unsubscribed), `W hex` (written), `D` (disconnected), from the board `N hex` (one notification). CAN:
/// one frame a line as candump writes it, `351#…`, both ways.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The protocol.
    #[arg(long)]
    pub link: LinkKind,
    /// Layout of the native frames (ble).
    #[arg(long, default_value = "32s")]
    pub layout: LayoutKind,
    /// Dialect of the inverter CAN.
    #[arg(long, default_value = "pylontech")]
    pub dialect: DialectKind,
    /// A scenario, played in real time. Default: a resting pack.
    #[arg(long, value_name = "SCENARIO.toml")]
    pub scenario: Option<PathBuf>,
    /// Cells in series. Default: the state's, or 16.
    #[arg(long, value_parser = clap::value_parser!(u8).range(4..=24))]
    pub cells: Option<u8>,
    /// Fixed values to show instead of what the pack does (docs/links.md).
    #[arg(long, value_name = "FILE.json")]
    pub state: Option<PathBuf>,
    /// A key press at the start opens the window for changes for this long; 0: no key is pressed.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub unlock: u32,
    /// Address on a shared bus. Default: 1, on jk-can 0.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=15))]
    pub address: Option<u8>,
    /// Who may read over ble: anybody, or only after the connection password (the manual's way).
    #[arg(long, default_value = "open")]
    pub reading: ReadingKind,
    /// The settings password that the owner chose; without it the factory's is in force.
    #[arg(long, value_name = "PASSWORD")]
    pub settings_password: Option<String>,
    /// uart: also send everything unasked, every 0.45 s in which nothing was asked, for tools that only listen.
    #[arg(long)]
    pub upload: bool,
    /// Serve on a new pseudo-terminal, whose path is printed.
    #[arg(long)]
    pub pty: bool,
    /// Serve on a CAN interface of the system.
    #[arg(long, value_name = "IF", conflicts_with = "pty")]
    pub socketcan: Option<String>,
    /// Tell every event on standard error.
    #[arg(long)]
    pub events: bool,
}

/// The protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LinkKind {
    /// Bluetooth JK02.
    Ble,
    /// Serial 4E57.
    Uart,
    /// RS485 Modbus, and the native frames on its trigger.
    Modbus,
    /// JK CAN.
    JkCan,
    /// Inverter CAN.
    InverterCan,
    /// The serial display.
    Display,
}

/// Layouts of the native frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LayoutKind {
    /// JK02_32S.
    #[value(name = "32s")]
    S32,
    /// JK02_24S.
    #[value(name = "24s")]
    S24,
}

/// Dialects of the inverter CAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DialectKind {
    /// Pylontech low voltage 1.2.
    Pylontech,
    /// Victron.
    Victron,
    /// SMA.
    Sma,
}

/// Who may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReadingKind {
    /// Anybody.
    Open,
    /// After the connection password.
    Password,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// A scenario, or a file with only `[pack]` and `[config]`.
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,
}

/// Arguments of `parameters`.
#[derive(Debug, Args)]
pub struct ParametersArguments {
    /// Only the defaults of this chemistry: li-ion (nmc, nca), lifepo4 (lfp) or lto.
    #[arg(long, value_parser = parse_chemistry)]
    pub chemistry: Option<Chemistry>,
    /// As Markdown, for docs/parameters.md.
    #[arg(long)]
    pub markdown: bool,
}

/// Arguments of `protections`.
#[derive(Debug, Args)]
pub struct ProtectionsArguments {
    /// As Markdown, for docs/protections.md.
    #[arg(long)]
    pub markdown: bool,
}

pub(super) fn parse_capacity(text: &str) -> Result<f64, String> {
    in_range(text, 0.01, 2_000.0, "Ah")
}

fn parse_part(text: &str) -> Result<f64, String> {
    in_range(text, 0.0, 1.0, "")
}

pub(super) fn parse_spread(text: &str) -> Result<f64, String> {
    in_range(text, 0.0, 20.0, "%")
}

pub(super) fn in_range(text: &str, low: f64, high: f64, unit: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (low..=high).contains(value));
    value.ok_or_else(|| format!("expected {low} to {high} {unit}"))
}

pub(super) fn parse_chemistry(name: &str) -> Result<Chemistry, String> {
    Chemistry::from_name(name).ok_or_else(|| "expected li-ion (nmc, nca), lifepo4 (lfp) or lto".to_owned())
}
