//! One entry of the log: an event, and with an alarm the freeze frame.

use bms_core::config::ParameterId;
use bms_core::event::{AccessEvent, Event, EventKind};
use bms_core::measurement::{BATTERY_SENSORS, Reading};
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::status::Status;
use bms_core::time::Instant;
use bms_core::units::{Current, Temperature, Voltage, uv};

use crate::codec::{Malformed, Reader, Writer};

/// Most cells in a freeze frame.
pub const FRAME_CELLS: usize = 32;

/// The kind that an entry's envelope has, and its version.
pub(crate) const ENTRY: (u8, u8) = (0x10, 1);

/// What the log says of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 0 on, without holes.
    pub number: u32,
    /// The firmware's start in which it happened, counted from 1.
    pub start: u32,
    /// Run time since the first start when it happened, in seconds.
    pub run_time_seconds: u64,
    /// Seconds since 1970, if the board has a calendar.
    pub calendar: Option<u64>,
    /// When, since that start, and what. `None`: an event that this build does not know, with its number.
    pub event: Result<Event, u8>,
    /// The pack at that moment; with alarms that were raised.
    pub frame: Option<Frozen>,
}

/// The pack at the moment of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The active alarms.
    pub alarms: AlarmSet,
    /// Current, positive charging; `None` if not usable.
    pub current: Option<Current>,
    /// State of charge in thousandths; `None` while unknown.
    pub state_of_charge_permille: Option<u16>,
    /// The charge switch was commanded closed.
    pub charge: bool,
    /// The discharge switch was commanded closed.
    pub discharge: bool,
    /// Battery sensors, then the switches' one, in 0.1 °C; `None`: absent or not usable.
    pub temperature_tenths: [Option<i16>; BATTERY_SENSORS + 1],
    count: u8,
    tenths: [u16; FRAME_CELLS],
}

const NOTHING: u16 = u16::MAX;
const NO_TEMPERATURE: i16 = i16::MIN;

impl Frozen {
    /// The state that a status page shows.
    #[must_use]
    pub fn of(status: &Status<'_>) -> Self {
        let mut tenths = [NOTHING; FRAME_CELLS];
        for (index, slot) in tenths.iter_mut().enumerate().take(status.cells.count()) {
            *slot = status.cells.voltage(index).map_or(NOTHING, tenths_of_millivolt);
        }
        let mut temperature_tenths = [None; BATTERY_SENSORS + 1];
        let readings = status.battery_temperatures.iter().chain(core::iter::once(&status.mos_temperature));
        for (slot, reading) in temperature_tenths.iter_mut().zip(readings) {
            *slot = tenths_of_degree(*reading);
        }
        Self {
            alarms: status.alarms,
            current: status.current.valid(),
            state_of_charge_permille: status.state_of_charge_permille.valid(),
            charge: status.charge.is_closed(),
            discharge: status.discharge.is_closed(),
            temperature_tenths,
            count: u8::try_from(status.cells.count().min(FRAME_CELLS)).unwrap_or(0),
            tenths,
        }
    }
    /// The cells, lowest first in the pack; `None`: not usable.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Option<Voltage>> + '_ {
        let cells = self.tenths.get(..usize::from(self.count)).unwrap_or_default();
        cells.iter().map(|tenths| (*tenths != NOTHING).then(|| uv(i32::from(*tenths).saturating_mul(100))))
    }
    fn encode(&self, out: &mut Writer<'_>) {
        out.u64(self.alarms.bits());
        let bit = |on: bool, number: u32| u8::from(on).wrapping_shl(number);
        out.u8(bit(self.charge, 0) | bit(self.discharge, 1) | bit(self.current.is_some(), 2));
        out.i32(self.current.map_or(0, Current::as_milliamps));
        out.u16(self.state_of_charge_permille.unwrap_or(NOTHING));
        self.temperature_tenths.iter().for_each(|tenths| out.i16(tenths.unwrap_or(NO_TEMPERATURE)));
        out.u8(self.count);
        self.tenths.iter().take(usize::from(self.count)).for_each(|tenths| out.u16(*tenths));
    }
    fn decode(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let alarms = AlarmSet::from_bits(input.u64()?);
        let flags = input.u8()?;
        let (milliamps, permille) = (input.i32()?, input.u16()?);
        let mut temperature_tenths = [None; BATTERY_SENSORS + 1];
        for slot in &mut temperature_tenths {
            *slot = Some(input.i16()?).filter(|tenths| *tenths != NO_TEMPERATURE);
        }
        let count = input.u8()?;
        let mut tenths = [NOTHING; FRAME_CELLS];
        for slot in tenths.get_mut(..usize::from(count)).ok_or(Malformed)? {
            *slot = input.u16()?;
        }
        Ok(Self {
            alarms,
            current: (flags & 4 != 0).then(|| Current::from_milliamps(milliamps)),
            state_of_charge_permille: Some(permille).filter(|permille| *permille != NOTHING),
            charge: flags & 1 != 0,
            discharge: flags & 2 != 0,
            temperature_tenths,
            count,
            tenths,
        })
    }
}

fn tenths_of_millivolt(voltage: Voltage) -> u16 {
    u16::try_from(voltage.as_microvolts().max(0) / 100).unwrap_or(NOTHING).min(NOTHING - 1)
}

fn tenths_of_degree(reading: Reading<Temperature>) -> Option<i16> {
    let tenths = reading.valid()?.as_tenths().clamp(i32::from(i16::MIN) + 1, i32::from(i16::MAX));
    i16::try_from(tenths).ok()
}

/// Number of an event, one byte of detail, index, value.
fn code(kind: EventKind) -> Option<(u8, u8, u8, i32)> {
    const NO_INDEX: u8 = u8::MAX;
    let plain = |code: u8, detail: u8| Some((code, detail, NO_INDEX, 0));
    let bit = |on: bool, number: u32| u8::from(on).wrapping_shl(number);
    match kind {
        EventKind::Raised { alarm, index, value } => Some((1, alarm as u8, index.unwrap_or(NO_INDEX), value)),
        EventKind::Cleared { alarm } => plain(2, alarm as u8),
        EventKind::Switched { charge, discharge } => plain(3, bit(charge, 0) | bit(discharge, 1)),
        EventKind::Balancing { active } => plain(4, u8::from(active)),
        EventKind::Heating { active } => plain(5, u8::from(active)),
        EventKind::Full => plain(6, 0),
        EventKind::Empty => plain(7, 0),
        EventKind::ParameterChanged { parameter } => plain(8, parameter as u8),
        EventKind::Reconfigured => plain(9, 0),
        EventKind::Started => plain(10, 0),
        EventKind::ShuttingDown => plain(11, 0),
        EventKind::Access(event) => plain(12, event.number()),
        EventKind::WireTest { active, visited } => Some((13, u8::from(active), NO_INDEX, i32::from(visited))),
        _ => None,
    }
}

fn kind((code, detail, index, value): (u8, u8, u8, i32)) -> Option<EventKind> {
    let alarm = Alarm::from_number(detail);
    Some(match code {
        1 => EventKind::Raised { alarm: alarm?, index: (index != u8::MAX).then_some(index), value },
        2 => EventKind::Cleared { alarm: alarm? },
        3 => EventKind::Switched { charge: detail & 1 != 0, discharge: detail & 2 != 0 },
        4 => EventKind::Balancing { active: detail != 0 },
        5 => EventKind::Heating { active: detail != 0 },
        6 => EventKind::Full,
        7 => EventKind::Empty,
        8 => EventKind::ParameterChanged { parameter: ParameterId::from_number(detail)? },
        9 => EventKind::Reconfigured,
        10 => EventKind::Started,
        11 => EventKind::ShuttingDown,
        13 => EventKind::WireTest { active: detail != 0, visited: u8::try_from(value).ok()? },
        12 => EventKind::Access(AccessEvent::from_number(detail)?),
        _ => return None,
    })
}

impl Entry {
    /// Whether events of this kind are logged; a kind that has no code yet is not.
    #[must_use]
    pub fn is_logged(event: &Event) -> bool {
        code(event.kind).is_some()
    }
    /// Version 1; the number stands in the envelope.
    pub(crate) fn encode(&self, out: &mut Writer<'_>) {
        out.u32(self.start);
        out.u64(self.run_time_seconds);
        out.u64(self.calendar.unwrap_or(u64::MAX));
        let (at, coded) = match self.event {
            Ok(event) => (event.at.as_millis(), code(event.kind).unwrap_or((0, 0, 0, 0))),
            Err(number) => (0, (number, 0, 0, 0)),
        };
        out.u64(at);
        let (code, detail, index, value) = coded;
        out.u8(code);
        out.u8(detail);
        out.u8(index);
        out.i32(value);
        out.u8(u8::from(self.frame.is_some()));
        if let Some(frame) = &self.frame {
            frame.encode(out);
        }
    }
    pub(crate) fn decode(number: u32, payload: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(payload);
        let (start, run_time_seconds) = (input.u32()?, input.u64()?);
        let calendar = Some(input.u64()?).filter(|seconds| *seconds != u64::MAX);
        let at = Instant::from_millis(input.u64()?);
        let coded = (input.u8()?, input.u8()?, input.u8()?, input.i32()?);
        let event = kind(coded).map(|kind| Event { at, kind }).ok_or(coded.0);
        let frame = match input.u8()? {
            0 => None,
            1 => Some(Frozen::decode(&mut input)?),
            _ => return Err(Malformed),
        };
        input.end()?;
        Ok(Self { number, start, run_time_seconds, calendar, event, frame })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_event_comes_back() {
        let kinds = [
            EventKind::Raised { alarm: Alarm::OpenWire, index: Some(3), value: -5 },
            EventKind::Raised { alarm: Alarm::ShortCircuit, index: None, value: 0 },
            EventKind::Cleared { alarm: Alarm::Abuse },
            EventKind::Switched { charge: true, discharge: false },
            EventKind::Balancing { active: true },
            EventKind::Heating { active: false },
            EventKind::Full,
            EventKind::Empty,
            EventKind::ParameterChanged { parameter: ParameterId::BalanceTrigger },
            EventKind::Reconfigured,
            EventKind::Started,
            EventKind::ShuttingDown,
            EventKind::WireTest { active: false, visited: 16 },
            EventKind::Access(AccessEvent::ChangeRefused),
        ];
        for kind in kinds {
            let event = Event { at: Instant::from_millis(1 << 40), kind };
            let entry =
                Entry { number: 9, start: 2, run_time_seconds: 3, calendar: Some(4), event: Ok(event), frame: None };
            let mut buffer = [0; 128];
            let mut out = Writer::new(&mut buffer);
            entry.encode(&mut out);
            let length = out.finish().unwrap();
            assert_eq!(Entry::decode(9, &buffer[..length]), Ok(entry));
        }
    }

    /// T11: numbers are part of the format. Those of events and of what happened about passwords are written down, and none is
    /// ever used for something else: an entry with this number decodes to that kind, and only to that.
    #[test]
    fn numbers_of_events_are_never_used_again() {
        let list = include_str!("numbers.txt");
        let part = |title: &str| -> Vec<&str> {
            let lines = list.lines().skip_while(|line| *line != title).skip(1);
            lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).collect()
        };
        let name = |number: u8| -> Option<String> {
            let known = kind((number, 0, 0, 0))?;
            assert_eq!(code(known).unwrap().0, number, "{known:?} is written with another number than it is read with");
            Some(format!("{known:?}").chars().take_while(|c| c.is_alphanumeric()).collect())
        };
        let written: Vec<_> = (1..=u8::MAX).filter_map(|number| Some(format!("{number} {}", name(number)?))).collect();
        assert_eq!(part("[events]"), written, "a new event takes the next number, at the end of numbers.txt");
        let access: Vec<_> = AccessEvent::ALL.iter().map(|event| format!("{} {event:?}", event.number())).collect();
        assert_eq!(part("[access events]"), access, "a new one comes at the end of the list and of numbers.txt");
    }
}
