//! `[[at]]`: what happens at a time.

use std::fmt;

use bms_core::bms::Request;
use bms_core::measurement::BATTERY_SENSORS;
use bms_core::snapshot::ResetCause;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use crate::fault::FaultKind;
use crate::plant::SwitchFault;

use super::fields::{Channels, ChargerField, FaultField, LoadField, Physical, RequestField};
use super::pack::{MAXIMUM_CELLS, Settings};
use super::words::{Named, Word, words};

/// No scenario is longer, s.
pub const LONGEST_S: f64 = 1e7;

/// One `[[at]]`.
#[derive(Clone, Debug)]
pub struct At {
    /// Seconds since the start.
    pub time_s: f64,
    /// What changes, with the place of each value (byte offset while reading, then the line); in an order in which they
    /// can be applied.
    pub changes: Vec<(usize, Change)>,
    /// Whether the `request` or `set` must be refused (`true`) or accepted (`false`).
    pub refused: Option<bool>,
}

/// One field of an `[[at]]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// All cells, V.
    AllCells(f64),
    /// One cell (0 is cell 1), V.
    Cell(u8, f64),
    /// Pack current in A, positive charging.
    Current(f64),
    /// A battery temperature sensor (0 is T1), °C.
    Battery(u8, f64),
    /// The switches' temperature, °C.
    Mos(f64),
    /// How many cells the front end finds.
    MeasuredCells(u8),
    /// Stack voltage, V.
    Stack(f64),
    /// Terminal voltage, V.
    Terminal(f64),
    /// Temperature of the surroundings, °C.
    Ambient(f64),
    /// A charger comes or goes.
    Charger(Charger),
    /// A load comes or goes.
    Load(Load),
    /// A short circuit begins or ends.
    ShortCircuit(bool),
    /// The activation input.
    Activation(bool),
    /// The board's self-test fails.
    SelfTestFailed(bool),
    /// A request to the BMS.
    Request(Request),
    /// Parameters that change at run time.
    Set(Vec<(bms_core::config::ParameterId, i32)>),
    /// Channels that fail.
    Lost(Vec<Channel>),
    /// Channels that work again; an overridden sensor shows the plant again.
    Valid(Vec<Channel>),
    /// A fault of the hardware.
    Fault(Fault),
    /// The BMS is reset.
    Reset(ResetCause),
}

/// A charger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Charger {
    /// None.
    Absent,
    /// One that suits the pack: cells × OVP less a little, half of the capacity per hour.
    Suitable,
    /// One with these ratings.
    Rated {
        /// V.
        voltage: f64,
        /// A.
        current: f64,
    },
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// None.
    Absent,
    /// One that is seen; in a closed loop it takes a fifth of the capacity per hour.
    Present,
    /// One that takes this many A while the pack gives them.
    Draws(f64),
}

/// A fault of the hardware.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// All faults are repaired.
    None,
    /// A sense wire is broken: 0 at B−, n at B+.
    OpenWire(u8),
    /// A sense wire has this resistance, Ω.
    WireResistance(u8, f64),
    /// The charge switch does not obey.
    ChargeSwitch(SwitchFault),
    /// The discharge switch does not obey.
    DischargeSwitch(SwitchFault),
    /// What is measured or written goes wrong on its way.
    Injected(FaultKind),
}

/// What can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The whole sampler.
    All,
    /// All cells.
    Cells,
    /// One cell (0 is cell 1).
    Cell(u8),
    /// The pack current.
    Current,
    /// All temperatures.
    Temperatures,
    /// One battery sensor (0 is T1).
    Battery(u8),
    /// The switches' sensor.
    Mos,
    /// The stack voltage.
    Stack,
    /// The terminal voltage.
    Terminal,
}

/// Reads `prefix` followed by a number from 1 to `most`; gives it counted from 0.
fn numbered(word: &str, prefix: &str, most: usize) -> Option<u8> {
    let digits = word.strip_prefix(prefix)?;
    let canonical = !digits.starts_with(['0', '+']);
    let number = digits.parse::<u8>().ok().filter(|number| canonical && usize::from(*number) <= most)?;
    number.checked_sub(1)
}

impl Word for Channel {
    const KIND: &'static str = "channel";
    fn words() -> Vec<String> {
        ["all", "cells", "cell1 (cell2 …)", "current", "temperatures", "t1 (t2 …)", "mos", "stack", "terminal"]
            .map(str::to_owned)
            .to_vec()
    }
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "all" => Self::All,
            "cells" => Self::Cells,
            "current" => Self::Current,
            "temperatures" => Self::Temperatures,
            "mos" => Self::Mos,
            "stack" => Self::Stack,
            "terminal" => Self::Terminal,
            _ => match numbered(word, "cell", MAXIMUM_CELLS) {
                Some(cell) => Self::Cell(cell),
                None => Self::Battery(numbered(word, "t", BATTERY_SENSORS)?),
            },
        })
    }
}

words!(Request, "request",
    "charge_on" => Request::SetCharge(true),
    "charge_off" => Request::SetCharge(false),
    "discharge_on" => Request::SetDischarge(true),
    "discharge_off" => Request::SetDischarge(false),
    "balance_on" => Request::SetBalance(true),
    "balance_off" => Request::SetBalance(false),
    "clear_lockout" => Request::ClearLockout,
    "clear_permanent" => Request::ClearPermanent,
    "emergency_stop" => Request::EmergencyStop,
    "reset_emergency_stop" => Request::ResetEmergencyStop,
    "shutdown" => Request::Shutdown,
    "test_wires" => Request::TestWires,
    "restore_factory_settings" => Request::RestoreFactorySettings,
);

/// The keys of an `[[at]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Time,
    Refused,
    AllCells,
    Cell(u8),
    Current,
    Battery(u8),
    Mos,
    MeasuredCells,
    Stack,
    Terminal,
    Ambient,
    Charger,
    Load,
    ShortCircuit,
    Activation,
    SelfTestFailed,
    Request,
    Set,
    Lost,
    Valid,
    Fault,
    Reset,
}

impl Word for Key {
    const KIND: &'static str = "field";
    fn words() -> Vec<String> {
        [
            "t_s",
            "refused",
            "all_cells",
            "cell1",
            "current",
            "t1",
            "mos",
            "measured_cells",
            "stack",
            "terminal",
            "ambient",
            "charger",
            "load",
            "short_circuit",
            "activation",
            "self_test_failed",
            "request",
            "set",
            "lost",
            "valid",
            "fault",
            "reset",
        ]
        .map(str::to_owned)
        .to_vec()
    }
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "t_s" => Self::Time,
            "refused" => Self::Refused,
            "all_cells" => Self::AllCells,
            "current" => Self::Current,
            "mos" => Self::Mos,
            "measured_cells" => Self::MeasuredCells,
            "stack" => Self::Stack,
            "terminal" => Self::Terminal,
            "ambient" => Self::Ambient,
            "charger" => Self::Charger,
            "load" => Self::Load,
            "short_circuit" => Self::ShortCircuit,
            "activation" => Self::Activation,
            "self_test_failed" => Self::SelfTestFailed,
            "request" => Self::Request,
            "set" => Self::Set,
            "lost" => Self::Lost,
            "valid" => Self::Valid,
            "fault" => Self::Fault,
            "reset" => Self::Reset,
            _ => match numbered(word, "cell", MAXIMUM_CELLS) {
                Some(cell) => Self::Cell(cell),
                None => Self::Battery(numbered(word, "t", BATTERY_SENSORS)?),
            },
        })
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = At;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a table with t_s and what happens then")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<At, A::Error> {
                read_at(map)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// Reads one `[[at]]` field by field.
fn read_at<'de, A: MapAccess<'de>>(mut map: A) -> Result<At, A::Error> {
    let (mut time_s, mut refused, mut changes) = (None, None, Vec::new());
    while let Some(Named(key)) = map.next_key::<Named<Key>>()? {
        match key {
            Key::Time => time_s = Some(map.next_value::<f64>()?),
            Key::Refused => refused = Some(map.next_value::<bool>()?),
            _ => changes.push(read_change(key, &mut map)?),
        }
    }
    let time_s = time_s.ok_or_else(|| A::Error::custom("t_s is missing: when does this happen?"))?;
    if !(0.0..=LONGEST_S).contains(&time_s) {
        return Err(A::Error::custom(format!("t_s = {time_s} s: expected 0 to {LONGEST_S} s")));
    }
    // All cells first, so that single ones can differ; a reset last, so that it meets everything else.
    changes.sort_by_key(|(_, change)| match change {
        Change::AllCells(_) => 0,
        Change::Valid(_) => 1,
        Change::Reset(_) => 3,
        _ => 2,
    });
    let asks = changes.iter().any(|(_, change)| matches!(change, Change::Request(_) | Change::Set(_)));
    if refused.is_some() && !asks {
        return Err(A::Error::custom("refused needs a request or set"));
    }
    Ok(At { time_s, changes, refused })
}

fn read_change<'de, A: MapAccess<'de>>(key: Key, map: &mut A) -> Result<(usize, Change), A::Error> {
    let (offset, change) = match key {
        Key::AllCells => number(map, Change::AllCells)?,
        Key::Cell(cell) => number(map, |volts| Change::Cell(cell, volts))?,
        Key::Current => number(map, Change::Current)?,
        Key::Battery(sensor) => number(map, |degrees| Change::Battery(sensor, degrees))?,
        Key::Mos => number(map, Change::Mos)?,
        Key::MeasuredCells => other(map, Change::MeasuredCells)?,
        Key::Stack => number(map, Change::Stack)?,
        Key::Terminal => number(map, Change::Terminal)?,
        Key::Ambient => number(map, Change::Ambient)?,
        Key::ShortCircuit => flag(map, Change::ShortCircuit)?,
        Key::Activation => flag(map, Change::Activation)?,
        Key::SelfTestFailed => flag(map, Change::SelfTestFailed)?,
        Key::Charger => other(map, |ChargerField(charger)| Change::Charger(charger))?,
        Key::Load => other(map, |LoadField(load)| Change::Load(load))?,
        Key::Request => other(map, |RequestField(request)| Change::Request(request))?,
        Key::Set => other(map, |settings: Settings| {
            Change::Set(settings.0.iter().map(|setting| (setting.parameter, setting.stored)).collect())
        })?,
        Key::Lost => other(map, |Channels(channels)| Change::Lost(channels))?,
        Key::Valid => other(map, |Channels(channels)| Change::Valid(channels))?,
        Key::Fault => other(map, |FaultField(fault)| Change::Fault(fault))?,
        Key::Reset => other(map, |Named(cause): Named<ResetCause>| Change::Reset(cause))?,
        Key::Time | Key::Refused => return Err(A::Error::custom("not a change")),
    };
    Ok((offset, change))
}

fn other<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    change: impl Fn(T) -> Change,
) -> Result<(usize, Change), A::Error> {
    let value = map.next_value::<Spanned<T>>()?;
    Ok((value.span().start, change(value.into_inner())))
}

fn number<'de, A: MapAccess<'de>>(map: &mut A, change: impl Fn(f64) -> Change) -> Result<(usize, Change), A::Error> {
    other(map, |Physical(value)| change(value))
}

fn flag<'de, A: MapAccess<'de>>(map: &mut A, change: impl Fn(bool) -> Change) -> Result<(usize, Change), A::Error> {
    other(map, change)
}

words!(Fault, "fault",
    "none" => Fault::None,
    "charge_stuck_closed" => Fault::ChargeSwitch(SwitchFault::StuckOn),
    "charge_stuck_open" => Fault::ChargeSwitch(SwitchFault::StuckOff),
    "discharge_stuck_closed" => Fault::DischargeSwitch(SwitchFault::StuckOn),
    "discharge_stuck_open" => Fault::DischargeSwitch(SwitchFault::StuckOff),
    "sampler_silent" => Fault::Injected(FaultKind::SamplerSilent),
    "inverted_current" => Fault::Injected(FaultKind::InvertedCurrent),
);
