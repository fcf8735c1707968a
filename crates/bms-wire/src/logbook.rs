//! The logbook that native frames and the vendor's tools show, from the core's events.

use bms_core::event::{Event, EventKind};
use bms_core::protection::Alarm;

/// How many entries a logbook frame holds.
pub const CAPACITY: usize = 50;

/// One entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// When, in seconds of the board's time.
    pub seconds: u32,
    /// What, in the vendor's numbers.
    pub code: u8,
}

/// The newest entries.
#[derive(Clone, Debug, Default)]
pub struct Logbook {
    entries: heapless::Deque<Entry, CAPACITY>,
}

impl Logbook {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: heapless::Deque::new() }
    }
    /// Takes an event of the core, if the vendor has a number for it. The oldest entry makes room.
    pub fn note(&mut self, event: &Event) {
        let Some(code) = code(event.kind) else { return };
        let seconds = u32::try_from(event.at.as_millis() / 1_000).unwrap_or(u32::MAX);
        if self.entries.is_full() {
            self.entries.pop_front();
        }
        // There is room now.
        let _ = self.entries.push_back(Entry { seconds, code });
    }
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }
}

/// The vendor's number of an event.
#[must_use]
pub fn code(kind: EventKind) -> Option<u8> {
    const CELL_OVER: u8 = 100;
    const CELL_UNDER: u8 = 200;
    Some(match kind {
        EventKind::Started => 1,
        EventKind::ShuttingDown => 2,
        EventKind::Raised { alarm: Alarm::CellOvervoltage, index: Some(cell), .. } if cell < 32 => {
            CELL_OVER.saturating_add(cell)
        }
        EventKind::Raised { alarm: Alarm::CellUndervoltage, index: Some(cell), .. } if cell < 32 => {
            CELL_UNDER.saturating_add(cell)
        }
        EventKind::Raised { alarm, .. } => raised(alarm)?,
        // The release has the next number, where there is one.
        EventKind::Cleared { alarm } => match raised(alarm)? {
            39 | 60 => return None,
            code => code.saturating_add(1),
        },
        _ => return None,
    })
}

fn raised(alarm: Alarm) -> Option<u8> {
    Some(match alarm {
        Alarm::MosOvertemperature => 11,
        Alarm::CurrentDataLost => 13,
        Alarm::CellDataLost => 15,
        Alarm::CellOvervoltage => 17,
        Alarm::PackOvervoltage => 19,
        Alarm::ChargeOvercurrent | Alarm::SevereChargeOvercurrent => 21,
        Alarm::ChargeOvertemperature => 25,
        Alarm::ChargeUndertemperature => 27,
        Alarm::CellUndervoltage => 29,
        Alarm::PackUndervoltage => 31,
        Alarm::DischargeOvercurrent | Alarm::SevereDischargeOvercurrent => 33,
        Alarm::ShortCircuit => 35,
        Alarm::DischargeOvertemperature => 37,
        Alarm::ResetHoldOff => 39,
        Alarm::CellCountMismatch => 60,
        Alarm::DischargeUndertemperature => 72,
        _ => return None,
    })
}
