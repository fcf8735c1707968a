//! `[[expect]]`: what must and what must not happen.

use bms_core::protection::Alarm;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

use super::words::{Named, words};

/// One `[[expect]]`, checked.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What is looked at.
    pub signal: Signal,
    /// For an alarm: the cell or sensor that raised it (0 is the first).
    pub index: Option<u8>,
    /// The state in question: closed, on, active.
    pub state: bool,
    /// What is demanded of it.
    pub demand: Demand,
}

/// What an expectation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// An output.
    Output(Output),
    /// An alarm.
    Alarm(Alarm),
}

/// The outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the outputs of a Command")]
pub enum Output {
    Charge,
    Discharge,
    Precharge,
    Balance,
    Heater,
    Power,
    LastResort,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Charge, Self::Discharge, Self::Precharge, Self::Balance, Self::Heater, Self::Power, Self::LastResort];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Discharge => "discharge",
            Self::Precharge => "precharge",
            Self::Balance => "balance",
            Self::Heater => "heater",
            Self::Power => "power",
            Self::LastResort => "last_resort",
        }
    }
}

words!(Output, "output",
    "charge" => Output::Charge,
    "discharge" => Output::Discharge,
    "precharge" => Output::Precharge,
    "balance" => Output::Balance,
    "heater" => Output::Heater,
    "power" => Output::Power,
    "last_resort" => Output::LastResort,
);

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(output) => write!(out, "output {}", output.name()),
            Self::Alarm(alarm) => write!(out, "alarm {alarm}"),
        }
    }
}

/// What is demanded of a state. Times are seconds since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Demand {
    /// It is entered within the window, having been different before; and held until `until`, if that is given.
    Entered {
        /// From when.
        from: f64,
        /// To when.
        to: f64,
        /// Held until then.
        until: Option<f64>,
    },
    /// It is there from the first step until then.
    Until(f64),
    /// It is there all the time in the span.
    Throughout(f64, f64),
    /// It is never there in the span.
    Never(f64, f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    output: Option<Named<Output>>,
    alarm: Option<Named<Alarm>>,
    cell: Option<u8>,
    sensor: Option<u8>,
    state: Option<State>,
    window: Option<[f64; 2]>,
    until: Option<f64>,
    throughout: Option<Span>,
    never: Option<Span>,
}

struct State(bool);

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnOff;
        impl Visitor<'_> for OnOff {
            type Value = bool;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("true, false, \"on\", \"off\", \"closed\", \"open\", \"active\" or \"clear\"")
            }
            fn visit_bool<E: Error>(self, state: bool) -> Result<bool, E> {
                Ok(state)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
                match text {
                    "on" | "closed" | "active" => Ok(true),
                    "off" | "open" | "clear" => Ok(false),
                    _ => Err(E::custom(format!(
                        "unknown state `{text}`: expected on, off, closed, open, active or clear"
                    ))),
                }
            }
        }
        deserializer.deserialize_any(OnOff).map(Self)
    }
}

/// `true`, or `[from_s, to_s]`.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "expected true, or [from_s, to_s]")]
enum Span {
    Whole(bool),
    Part([f64; 2]),
}

impl Span {
    fn bounds(self) -> Result<(f64, f64), &'static str> {
        match self {
            Self::Whole(true) => Ok((0.0, f64::INFINITY)),
            Self::Whole(false) => Err("false says nothing: expected true, or [from_s, to_s]"),
            Self::Part([from, to]) if 0.0 <= from && from <= to => Ok((from, to)),
            Self::Part(_) => Err("expected [from_s, to_s] with 0 <= from_s <= to_s"),
        }
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked(Table::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn checked(table: Table) -> Result<Expect, &'static str> {
    let signal = match (table.output, table.alarm) {
        (Some(Named(output)), None) => Signal::Output(output),
        (None, Some(Named(alarm))) => Signal::Alarm(alarm),
        _ => return Err("expected either output or alarm"),
    };
    let index = match (table.cell, table.sensor, signal) {
        (None, None, _) => None,
        (Some(number), None, Signal::Alarm(_)) | (None, Some(number), Signal::Alarm(_)) => {
            Some(number.checked_sub(1).ok_or("cells and sensors are counted from 1")?)
        }
        (Some(_), Some(_), _) => return Err("expected either cell or sensor"),
        (_, _, Signal::Output(_)) => return Err("cell and sensor are for alarms"),
    };
    let state = match (table.state, signal) {
        (Some(State(state)), _) => state,
        (None, Signal::Alarm(_)) => true,
        (None, Signal::Output(_)) => return Err("state is missing: on or off?"),
    };
    let demand = match (table.window, table.until, table.throughout, table.never) {
        (Some([from, to]), until, None, None) => {
            if !(0.0 <= from && from <= to) || until.is_some_and(|until| until < to) {
                return Err("window: expected [from_s, to_s] with 0 <= from_s <= to_s <= until");
            }
            Demand::Entered { from, to, until }
        }
        (None, Some(until), None, None) if until >= 0.0 => Demand::Until(until),
        (None, Some(_), None, None) => return Err("until: expected a time from 0 s"),
        (None, None, Some(span), None) => span.bounds().map(|(from, to)| Demand::Throughout(from, to))?,
        (None, None, None, Some(span)) => span.bounds().map(|(from, to)| Demand::Never(from, to))?,
        (None, None, None, None) => return Err("when? expected window, until, throughout or never"),
        _ => return Err("expected one of window (with or without until), until, throughout, never"),
    };
    Ok(Expect { signal, index, state, demand })
}
