//! The table of protections in words, for documents and tools. It is made from the rows themselves, so it cannot disagree.

use core::fmt::{self, Display};

use super::alarm::Alarm;
use super::monitor::Side;
use super::rows::{Ends, Row, Signal, Value};
use crate::config::ParameterId as P;

/// One alarm's row in words; parameters are named as in the PARAMETERS table.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    alarm: Alarm,
    row: &'static Row,
}

impl Alarm {
    /// What trips it, when, and how it ends, in words.
    #[must_use]
    pub const fn describe(self) -> Description {
        Description { alarm: self, row: Row::of(self) }
    }
}

impl Description {
    /// What is looked at, and the limit.
    pub fn trips(self) -> impl Display {
        fmt::from_fn(move |out| {
            let row = self.row;
            let Some(quantity) = quantity(row.signal) else {
                return out.write_str(match row.signal {
                    Signal::Nothing => "raised at start or by the store only",
                    _ => "as soon as it is true",
                });
            };
            let side = match row.side {
                Side::Above => "above",
                Side::Below => "below",
                Side::Reaching => "reaching",
                Side::FallingTo => "at or below",
            };
            write!(out, "{quantity} {side} ")?;
            limit(row.trip, out)
        })
    }
    /// How long it must last.
    pub fn delay(self) -> impl Display {
        fmt::from_fn(move |out| match self.row.delay {
            Value::Fixed(0) => out.write_str("none"),
            Value::Fixed(millis) => write!(out, "{} s", Thousandths(millis)),
            value => limit(value, out),
        })
    }
    /// How it ends.
    pub fn ends(self) -> impl Display {
        fmt::from_fn(move |out| match self.row.ends {
            Ends::Level(value) => {
                let beyond = if matches!(self.row.side, Side::Below | Side::FallingTo) { "above" } else { "below" };
                write!(out, "{beyond} ")?;
                limit(value, out)
            }
            Ends::Recovered => write!(out, "good for `{}`", P::DataRecoveryTime.info().name),
            Ends::AtOnce => out.write_str("as soon as it is not so"),
            Ends::After(parameter) => write!(out, "after `{}`", parameter.info().name),
            Ends::ByRequest => out.write_str("never by itself"),
        })
    }
    /// The sections of the manual behind its limit; "-" where the manual is silent.
    #[must_use]
    pub fn section(self) -> &'static str {
        match (self.alarm, self.row.trip, self.row.ends) {
            (Alarm::CellCountMismatch, ..) => P::CellCount.info().section,
            (_, Value::Fixed(_), Ends::After(parameter)) if self.row.signal != Signal::Nothing => {
                parameter.info().section
            }
            // A second level and a warning are not the manual's, though they stand on its values.
            (_, Value::Of(parameter) | Value::If(_, parameter), _) => parameter.info().section,
            (_, Value::WireLimit, _) => P::WireResistanceLimit.info().section,
            _ => "-",
        }
    }
}

/// Milliseconds as seconds, without trailing zeros.
struct Thousandths(u16);

impl Display for Thousandths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (whole, 0) => write!(out, "{whole}"),
            (whole, part) if part % 100 == 0 => write!(out, "{whole}.{}", part / 100),
            (whole, part) => write!(out, "{whole}.{part:03}"),
        }
    }
}

/// A factor; none for once.
struct Times(u8);

impl Display for Times {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { Ok(()) } else { write!(out, "{} × ", self.0) }
    }
}

const fn quantity(signal: Signal) -> Option<&'static str> {
    Some(match signal {
        Signal::LowestCell => "lowest cell",
        Signal::HighestCell => "highest cell",
        Signal::ShutdownCell => "deciding cell, while nothing charges,",
        Signal::CellSpread => "highest less lowest cell",
        Signal::SumOfCells => "sum of the cells",
        Signal::ChargeCurrent => "charging current",
        Signal::DischargeCurrent => "discharging current",
        Signal::WarmestBattery => "warmest battery sensor",
        Signal::ColdestBattery => "coldest battery sensor",
        Signal::BatterySpread => "warmest less coldest battery sensor",
        Signal::Mos => "switches' sensor",
        Signal::ConfirmedLowestCell => "lowest cell, with the stack agreeing,",
        Signal::ConfirmedHighestCell => "highest cell, with the stack agreeing,",
        Signal::CellAge => "age of the cell voltages",
        Signal::CurrentAge => "age of the current",
        Signal::TemperatureAge => "age of a temperature",
        Signal::Overdue => "time since a required reading is lost",
        Signal::StackExcess => "difference of stack voltage and sum of cells",
        Signal::WorstWire => "resistance of the worst sense wire",
        Signal::ChargeThroughOpenSwitch => "charging current through the open charge switch",
        Signal::DischargeThroughOpenSwitch => "discharging current through the open discharge switch",
        Signal::SwitchDrop => "voltage over the closed switches",
        Signal::Fact
        | Signal::Input
        | Signal::CellCount
        | Signal::Sensor
        | Signal::OpenWire
        | Signal::Terminal
        | Signal::Nothing => return None,
    })
}

fn limit(value: Value, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = |parameter: P| parameter.info().name;
    match value {
        Value::Fixed(value) => write!(out, "{value}"),
        Value::Of(parameter) => write!(out, "`{}`", name(parameter)),
        Value::Before(parameter, margin, times) => {
            write!(out, "`{}` − {}`{}`", name(parameter), Times(times), name(margin))
        }
        Value::BeforeWarm(margin, times) => write!(
            out,
            "the lower of `{}` and `{}`, less {}`{}`",
            name(P::ChargeOvertemperatureProtection),
            name(P::DischargeOvertemperatureProtection),
            Times(times),
            name(margin)
        ),
        Value::Beyond(parameter, margin, times) => {
            write!(out, "`{}` + {}`{}`", name(parameter), Times(times), name(margin))
        }
        Value::Share(parameter, margin, times) => {
            write!(out, "`{}` × (1 − {}`{}`)", name(parameter), Times(times), name(margin))
        }
        Value::Ratio(parameter, ratio) => write!(out, "`{}` × `{}`", name(parameter), name(ratio)),
        Value::FourFifths(parameter) => write!(out, "0.8 × `{}`", name(parameter)),
        Value::LostTime => write!(out, "`{}`, at least 3 × `{}`", name(P::DataLostTime), name(P::SamplePeriod)),
        Value::NowIf(flag) => write!(out, "1 % + 3 mV a cell, if `{}`", name(flag)),
        Value::If(flag, parameter) => write!(out, "`{}`, if `{}`", name(parameter), name(flag)),
        Value::WireLimit => {
            write!(out, "`{}`, or min(1 Ω, 0.4 V / `{}`)", name(P::WireResistanceLimit), name(P::BalanceCurrent))
        }
    }
}
