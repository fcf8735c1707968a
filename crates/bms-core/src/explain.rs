//! Why is a switch open? Which alarm, which cell or sensor, the value, the threshold, since when, what clears it;
//! formatted without allocation.

use core::fmt;

use crate::balancing::Strategy;
use crate::bms::Bms;
use crate::config::Unit;
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::lifecycle::State;
use crate::protection::{Alarm, Inhibit, Release, Row, Side, Signal, inhibiting};
use crate::time::{Duration, ms};

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Which {
    /// The charge switch.
    Charge,
    /// The discharge switch.
    Discharge,
}

/// One reason why a switch is open. A switch may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Explanation {
    /// The switch.
    pub switch: Which,
    /// Why.
    pub reason: Reason,
}

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// The user switched it off (S10).
    SwitchedOff,
    /// No complete valid sample yet (D32).
    Starting,
    /// Shutting down or off (P16).
    ShutDown,
    /// A limit is exceeded and its delay runs, or a required reading is missing right now: nothing closes meanwhile.
    Waiting(Option<Alarm>),
    /// An alarm.
    Alarm(AlarmReason),
}

/// An alarm that holds a switch open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AlarmReason {
    /// Which.
    pub alarm: Alarm,
    /// The cell or sensor, 0 is the first; `None` where there is none.
    pub index: Option<u8>,
    /// Whether the index is a cell (otherwise a sensor or a wire).
    pub part: Part,
    /// The value now, in `unit`; `None` for things that are true or not, and while it is not known.
    pub value: Option<i32>,
    /// The threshold, in `unit`.
    pub threshold: i32,
    /// The unit of value and threshold.
    pub unit: Unit,
    /// How long it is active; for alarms that end after a time of good data ([`Clears::GoodFor`]): how long data has been
    /// good, zero while it is bad. Saturates.
    pub since: Duration,
    /// What clears it.
    pub clears: Clears,
}

/// What an index counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Part {
    /// Cells.
    Cell,
    /// Battery temperature sensors.
    Sensor,
    /// Sense wires.
    Wire,
    /// Nothing.
    None,
}

/// What clears an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Clears {
    /// The value above this.
    Above(i32),
    /// The value below this.
    Below(i32),
    /// Good data for this long.
    GoodFor(Duration),
    /// This much time from now.
    In(Duration),
    /// A local request or a change of the configuration.
    Request,
}

/// All reasons, charge first.
pub(crate) fn explanations<const N: usize, E: Estimator, S: Strategy, F: Fittings>(
    bms: &Bms<N, E, S, F>,
) -> impl Iterator<Item = Explanation> + '_ {
    [Which::Charge, Which::Discharge].into_iter().flat_map(move |switch| {
        let (what, closed, wanted) = bms.switch_facts(switch);
        let general = match bms.state() {
            _ if closed => None,
            State::Starting => Some(Reason::Starting),
            State::ShuttingDown | State::Off => Some(Reason::ShutDown),
            State::Running if !wanted => Some(Reason::SwitchedOff),
            State::Running => None,
        };
        let held = bms.alarms().common(inhibiting(what, bms.config()));
        let alarms = if closed { crate::protection::AlarmSet::EMPTY } else { held };
        let waiting = (!closed && general.is_none() && held.is_empty())
            .then(|| Reason::Waiting(bms.pending_alarms().common(inhibiting(what, bms.config())).iter().next()));
        general
            .into_iter()
            .chain(waiting)
            .chain(alarms.iter().map(move |alarm| Reason::Alarm(bms.alarm_reason(alarm))))
            .map(move |reason| Explanation { switch, reason })
    })
}

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    fn switch_facts(&self, switch: Which) -> (Inhibit, bool, bool) {
        let command = self.command();
        let wanted = self.status().switches;
        match switch {
            Which::Charge => (Inhibit::CHARGE, command.charge.is_closed(), wanted.charge),
            Which::Discharge => (Inhibit::DISCHARGE, command.discharge.is_closed(), wanted.discharge),
        }
    }
    /// What can be said about an active alarm.
    #[must_use]
    pub fn alarm_reason(&self, alarm: Alarm) -> AlarmReason {
        let row = Row::of(alarm);
        let (seen, index, timer) = self.look(alarm);
        let (unit, part) = kind(alarm);
        let trip = row.trip(self.config());
        let clears = match (row.release(self.config()), row.side) {
            // Switched off meanwhile.
            _ if trip.is_none() => Clears::GoodFor(Duration::ZERO),
            (Release::Level(recovery), Side::Above | Side::Reaching) => Clears::Below(recovery),
            (Release::Level(recovery), Side::Below | Side::FallingTo) => Clears::Above(recovery),
            (Release::Held(time), _) => Clears::GoodFor(ms(time)),
            (Release::After(time), _) => Clears::In(ms(time.saturating_sub(timer))),
            (Release::Never, _) => Clears::Request,
        };
        let since = if row.is_held() { ms(timer.saturating_sub(1)) } else { ms(timer) };
        let known = unit != Unit::Flag && seen.trust.complete;
        AlarmReason {
            alarm,
            index,
            part,
            value: known.then_some(seen.value),
            threshold: trip.unwrap_or(0),
            unit,
            since,
            clears,
        }
    }
}

/// Unit and place of what an alarm watches.
fn kind(alarm: Alarm) -> (Unit, Part) {
    match Row::of(alarm).signal {
        Signal::LowestCell
        | Signal::HighestCell
        | Signal::ShutdownCell
        | Signal::CellSpread
        | Signal::ConfirmedLowestCell
        | Signal::ConfirmedHighestCell => (Unit::Microvolts, Part::Cell),
        Signal::SumOfCells | Signal::StackExcess | Signal::SwitchDrop => (Unit::Microvolts, Part::None),
        Signal::ChargeCurrent
        | Signal::DischargeCurrent
        | Signal::ChargeThroughOpenSwitch
        | Signal::DischargeThroughOpenSwitch => (Unit::Milliamps, Part::None),
        Signal::WarmestBattery | Signal::ColdestBattery | Signal::BatterySpread => {
            (Unit::DecidegreesCelsius, Part::Sensor)
        }
        Signal::Mos => (Unit::DecidegreesCelsius, Part::None),
        Signal::CellAge | Signal::CurrentAge | Signal::TemperatureAge | Signal::Overdue => {
            (Unit::Milliseconds, Part::None)
        }
        Signal::WorstWire => (Unit::Microohms, Part::Wire),
        Signal::OpenWire => (Unit::Flag, Part::Wire),
        Signal::Sensor if matches!(alarm, Alarm::BatterySensorFault) => (Unit::Flag, Part::Sensor),
        Signal::Fact | Signal::Input | Signal::CellCount | Signal::Sensor | Signal::Terminal | Signal::Nothing => {
            (Unit::Flag, Part::None)
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.switch {
            Which::Charge => "charge off: ",
            Which::Discharge => "discharge off: ",
        })?;
        self.reason.fmt(out)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwitchedOff => out.write_str("switched off by the user"),
            Self::Starting => out.write_str("starting, no complete valid sample yet"),
            Self::ShutDown => out.write_str("shut down"),
            Self::Waiting(Some(alarm)) => write!(out, "waiting, {alarm} is pending"),
            Self::Waiting(None) => out.write_str("waiting for a complete valid sample"),
            Self::Alarm(reason) => reason.fmt(out),
        }
    }
}

impl fmt::Display for AlarmReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.alarm)?;
        let number = self.index.map(|index| u16::from(index).saturating_add(1));
        match (self.part, number) {
            (Part::Cell, Some(number)) => write!(out, ", cell {number}")?,
            (Part::Sensor, Some(number)) => write!(out, ", sensor T{number}")?,
            (Part::Wire, Some(number)) => write!(out, ", wire {}", number.saturating_sub(1))?,
            (Part::None, _) | (_, None) => {}
        }
        if self.unit != Unit::Flag {
            if let Some(value) = self.value {
                out.write_str(", now ")?;
                write_scaled(out, value, self.unit)?;
            }
            out.write_str(", limit ")?;
            write_scaled(out, self.threshold, self.unit)?;
        }
        out.write_str(if matches!(self.clears, Clears::GoodFor(_)) { ", good for " } else { ", for " })?;
        write_duration(out, self.since)?;
        out.write_str("; clears ")?;
        match self.clears {
            Clears::Above(value) => {
                out.write_str("above ")?;
                write_scaled(out, value, self.unit)
            }
            Clears::Below(value) => {
                out.write_str("below ")?;
                write_scaled(out, value, self.unit)
            }
            Clears::GoodFor(Duration::ZERO) => out.write_str("when it ends"),
            Clears::GoodFor(time) => {
                out.write_str("after ")?;
                write_duration(out, time)?;
                out.write_str(" of good data")
            }
            Clears::In(time) => {
                out.write_str("in ")?;
                write_duration(out, time)
            }
            Clears::Request => out.write_str("by request"),
        }
    }
}

/// Seconds with one decimal.
fn write_duration(out: &mut fmt::Formatter<'_>, time: Duration) -> fmt::Result {
    let milliseconds = time.as_millis();
    write!(out, "{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100)
}

/// A stored value in the unit that people read, without trailing zeros: 3650000 µV → "3.65 V".
pub(crate) fn write_scaled(out: &mut fmt::Formatter<'_>, value: i32, unit: Unit) -> fmt::Result {
    let scale = unit.scale().unsigned_abs();
    let magnitude = value.unsigned_abs();
    if value < 0 {
        out.write_str("-")?;
    }
    write!(out, "{}", magnitude.checked_div(scale).unwrap_or(magnitude))?;
    let mut fraction = magnitude.checked_rem(scale).unwrap_or(0);
    let mut place = scale / 10;
    if fraction > 0 {
        out.write_str(".")?;
    }
    while fraction > 0 && place > 0 {
        let digit = fraction.checked_div(place).unwrap_or(0);
        write!(out, "{digit}")?;
        fraction = fraction.checked_rem(place).unwrap_or(0);
        place /= 10;
    }
    if unit.symbol().is_empty() { Ok(()) } else { write!(out, " {}", unit.symbol()) }
}
