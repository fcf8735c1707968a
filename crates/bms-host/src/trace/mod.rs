//! Recorded traces: every raw integer input and every output, as CSV, stepped again bit for bit.
//!
//! ```text
//! # bms-trace 1 {"config":{...},"balancer":{...},"stored":"Nothing","cause":"PowerOn"}
//! time_ms,operations,input,cells_count,cells_at_ms,cell01_uv,…,current_at_ms,current_ma,…,charge,discharge,…
//! 0,,sample,16,,3301200,…,,-1250,…,1,1,…
//! ```
//! # Columns
//! * `time_ms`: the step's `now`. The only column that must be there.
//! * `operations`: what was asked of the core between the previous step and this one, `;` between several; see
//!   [`Operation`].
//! * `input`: `sample` (also if empty), `tick`, or the error of a lost sampler: `bus`, `integrity`, `timeout`,
//!   `unpowered`, `other`.
//! * Groups: `cells_count cell01_uv …`, `current_ma`, `t1_dc … t5_dc mos_dc`, `stack_uv`, `terminal_uv`,
//!   `balance_now_ma quiet store_empty`, `short_circuit charger load activation reverse_wake self_test_failed`. An **empty**
//!   field is not measured, **`x`** is invalid, `s250` is stale since 250 ms.
//! * `<group>_at_ms` before each group: the group's own time stamp; empty where it is the step's time, `x` where the group
//!   failed. A group of which every field is empty was not measured.
//! * Outputs: `charge discharge balance_from balance_to balance_ma heater alarms soc_permille` and the rest of the
//!   [`Command`]. Cells are counted from 1. A trace without outputs (written by hand) can be stepped, not compared.
//! * `written`: how carrying out the command went: `ok` or the error; empty: nobody said.
//!
//! Columns may come in any order and be left out; unknown ones are errors. Reading never panics: a [`TraceError`] names the
//! line and the reason.

mod header;
mod operation;
mod read;
mod replay;
mod write;

pub use header::{ConfigImage, Header};
pub use operation::Operation;
pub use read::TraceReader;
pub(crate) use replay::outputs_of;
pub use replay::{Difference, Outcome, replay, replay_with};
pub use write::TraceWriter;

use bms_core::command::Command;
use bms_core::measurement::{Input, Reading, Sample};
use bms_core::port::ErrorKind;
use bms_core::protection::AlarmSet;
use bms_core::time::Instant;

/// What the core was given, owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a row is reused, not collected by the million")]
pub enum RecordedInput<const N: usize = 24> {
    /// A sample.
    Sample(Sample<N>),
    /// A failed or silent sampler.
    Lost(ErrorKind),
    /// Only time.
    Tick,
}

impl<const N: usize> RecordedInput<N> {
    /// As the core takes it.
    #[must_use]
    pub const fn as_input(&self) -> Input<'_, N> {
        match self {
            Self::Sample(sample) => Input::Sample(sample),
            Self::Lost(kind) => Input::Lost(*kind),
            Self::Tick => Input::Tick,
        }
    }
}

impl<const N: usize> From<Input<'_, N>> for RecordedInput<N> {
    fn from(input: Input<'_, N>) -> Self {
        match input {
            Input::Sample(sample) => Self::Sample(*sample),
            Input::Lost(kind) => Self::Lost(kind),
            Input::Tick => Self::Tick,
        }
    }
}

/// What the core answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// The command.
    pub command: Command,
    /// The active alarms.
    pub alarms: AlarmSet,
    /// The state of charge.
    pub soc_permille: Reading<u16>,
}

/// One row: one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<const N: usize = 24> {
    /// The step's time.
    pub now: Instant,
    /// What was asked of the core before it.
    pub operations: Vec<Operation>,
    /// What the core was given.
    pub input: RecordedInput<N>,
    /// What it answered; `None` in a trace without outputs.
    pub outputs: Option<Outputs>,
    /// How carrying it out went, as the core was told afterwards.
    pub written: Option<Result<(), ErrorKind>>,
}

/// A trace that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// Line of the file, from 1; 0 where there is none.
    pub line: u64,
    /// The column, if one is to blame.
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl TraceError {
    fn new(line: u64, column: Option<&str>, reason: impl Into<String>) -> Self {
        Self { line, column: column.map(str::to_owned), reason: reason.into() }
    }
    fn from_csv(error: &csv::Error) -> Self {
        let line = error.position().map_or(0, csv::Position::line);
        let reason = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} fields where the heading has {expected_len}")
            }
            csv::ErrorKind::Utf8 { .. } => "not UTF-8 text".to_owned(),
            csv::ErrorKind::Io(error) => error.to_string(),
            _ => error.to_string(),
        };
        Self::new(line, None, reason)
    }
}

impl std::fmt::Display for TraceError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "line {}: ", self.line)?;
        if let Some(column) = &self.column {
            write!(out, "{column}: ")?;
        }
        out.write_str(&self.reason)
    }
}

impl std::error::Error for TraceError {}

/// Names of the error kinds.
const KINDS: [(&str, ErrorKind); 5] = [
    ("bus", ErrorKind::Bus),
    ("integrity", ErrorKind::Integrity),
    ("timeout", ErrorKind::Timeout),
    ("unpowered", ErrorKind::Unpowered),
    ("other", ErrorKind::Other),
];

fn kind_name(kind: ErrorKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("other", |(name, _)| name)
}

fn kind_from(name: &str) -> Option<ErrorKind> {
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}
