//! A conformance kit: checks, each named after a MUST of the port documentation, for any implementation of a port.
//!
//! ```text
//! Bench (mock or real: instruments, wait, provoke) ─┐
//!                                                   ├─► check functions ─► Report: passed, failed why, not possible
//! the port under test, or what constructs it ───────┘
//! ```
//! Async ports are checked through [`Awaited`].
//!
//! # On a real board
//! Implement [`Bench`] for the test rig around the board: a bench supply for cells and current, a relay in the sense lines,
//! pins that read back gates and outputs. Whatever the rig cannot do it answers with `false` or `None`; those checks are
//! then reported as [`Verdict::NotPossible`], never as passed. The kit needs no more than the ports' own traits, so the
//! ports can run on the target and be reached over a debug link.
//!
//! Checks of outputs take a constructor, because the first MUST of every output concerns the moment it returns.

mod awaited;
mod outputs;
mod senses;

pub use awaited::Awaited;
pub use outputs::{balancer, heater, last_resort, power, precharge, switches};
pub use senses::{SamplerPromise, clock, current_sense, feedback_sense, input_sense, sampler, temperature_sense};

use bms_core::time::{Duration, Instant};
use bms_core::units::{Current, Voltage};

/// What a test rig can do around a board.
pub trait Bench {
    /// The rig's own time, not the port's.
    fn now(&self) -> Instant;
    /// Lets time pass.
    fn wait(&mut self, duration: Duration);
    /// Brings something about, and waits until it is so; `false` if the rig cannot.
    fn provoke(&mut self, condition: Condition) -> bool {
        let _ = condition;
        false
    }
    /// Looks at the board with the rig's own instruments.
    fn observe(&mut self) -> Observed {
        Observed::default()
    }
}

/// What a rig may be asked to bring about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A true pack current, positive charging.
    Current(Current),
    /// A current that the sensor cannot measure.
    CurrentBeyondRange,
    /// The true voltage of one cell; 0 is cell 1, at B−.
    Cell(u8, Voltage),
    /// The connection to the measuring parts is cut, or whole again.
    SensingBroken(bool),
    /// A battery temperature sensor (0 is T1) is cut off, or whole again.
    ThermistorOpen(u8, bool),
    /// The short-circuit comparator sees a short circuit, or no longer.
    ShortCircuit(bool),
    /// The balancer runs between any two cells (by the rig's own means), or is off.
    Balancing(bool),
    /// The gates cannot follow because their driver has no supply, or can again.
    GatesUnpowered(bool),
}

/// What a rig sees; `None` where it has no instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The charge switch conducts.
    pub charge: Option<bool>,
    /// The discharge switch conducts.
    pub discharge: Option<bool>,
    /// Both conducted at any time since the last look.
    pub both_conducted: Option<bool>,
    /// Current that the balancer takes from or gives to a cell, without a sign.
    pub balance_current: Option<Current>,
    /// The heater is on.
    pub heater: Option<bool>,
    /// The precharge path is on.
    pub precharge: Option<bool>,
    /// The board holds its supply.
    pub power_held: Option<bool>,
    /// The last resort was fired.
    pub fired: Option<bool>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule is kept.
    Passed,
    /// The rule is broken; this is how.
    Failed(String),
    /// The rig cannot provoke or see what the check needs.
    NotPossible,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<(&'static str, Verdict)>);

impl Report {
    /// No findings yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }
    /// Rule and verdict of every check.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, &Verdict)> {
        self.0.iter().map(|(rule, verdict)| (*rule, verdict))
    }
    /// The broken rules.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        self.findings().filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_))).map(|(rule, _)| rule)
    }
    /// How many rules were found to be kept.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.findings().filter(|(_, verdict)| **verdict == Verdict::Passed).count()
    }
    /// Whether no rule is broken. A rig that can do nothing finds nothing broken: look at [`Report::passed`] too.
    #[must_use]
    pub fn is_conformant(&self) -> bool {
        self.failed().next().is_none()
    }
    fn add(&mut self, rule: &'static str, verdict: Verdict) {
        self.0.push((rule, verdict));
    }
    fn check(&mut self, rule: &'static str, kept: bool, complaint: impl FnOnce() -> String) {
        self.add(rule, if kept { Verdict::Passed } else { Verdict::Failed(complaint()) });
    }
    /// For an observation that the rig may lack.
    fn observed(&mut self, rule: &'static str, kept: Option<bool>, complaint: impl FnOnce() -> String) {
        match kept {
            Some(kept) => self.check(rule, kept, complaint),
            None => self.add(rule, Verdict::NotPossible),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (rule, verdict) in self.findings() {
            match verdict {
                Verdict::Passed => writeln!(out, "passed        {rule}")?,
                Verdict::Failed(why) => writeln!(out, "FAILED        {rule}: {why}")?,
                Verdict::NotPossible => writeln!(out, "not possible  {rule}")?,
            }
        }
        Ok(())
    }
}
