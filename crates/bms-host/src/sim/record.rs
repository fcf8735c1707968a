//! What happened in a run.

use bms_core::Bms;
use bms_core::command::{Command, Expiring, Power};
use bms_core::event::{Event, EventKind};
use bms_core::explain::AlarmReason;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::time::Instant;

use super::scenario::{Output, Signal};
use super::series::Series;
use super::timeline::Timeline;

/// An alarm that was raised.
#[derive(Clone, Debug)]
pub struct Trip {
    /// When, ms since the start.
    pub at_ms: u64,
    /// Which.
    pub alarm: Alarm,
    /// The cell or sensor, 0 is the first.
    pub index: Option<u8>,
    /// The value that raised it, in the alarm's own unit.
    pub value: i32,
    /// What the core says of it: threshold, unit, what clears it.
    pub reason: AlarmReason,
    /// Since when its limit was passed without a break, as far as the BMS saw.
    pub onset_ms: u64,
    /// When it was released.
    pub cleared_ms: Option<u64>,
}

/// Something that was done to the pack or the BMS.
#[derive(Clone, Debug)]
pub struct Note {
    /// When, ms since the start.
    pub at_ms: u64,
    /// What.
    pub text: String,
}

/// The history of a run.
#[derive(Clone, Debug)]
pub struct Record {
    outputs: [Timeline; Output::ALL.len()],
    alarms: Vec<Timeline>,
    onsets: Vec<Option<u64>>,
    /// Alarms in the order in which they were raised.
    pub trips: Vec<Trip>,
    /// What was done.
    pub notes: Vec<Note>,
    /// All events of the core.
    pub events: Vec<Event>,
    /// Events that the core had no room for.
    pub events_lost: u32,
    /// Readings over time.
    pub series: Series,
    /// Cell voltages that are worth drawing, V: a little beyond the protections.
    pub plausible_volts: (f64, f64),
    /// What was last told, to skip what has not changed.
    last: Option<(Command, AlarmSet, AlarmSet)>,
    /// How many steps were made.
    pub steps: u64,
    /// When the last was made, ms since the start.
    pub end_ms: u64,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            outputs: Default::default(),
            alarms: vec![Timeline::default(); Alarm::COUNT],
            onsets: vec![None; Alarm::COUNT],
            trips: Vec::new(),
            notes: Vec::new(),
            events: Vec::new(),
            events_lost: 0,
            series: Series::default(),
            plausible_volts: (0.0, 5.0),
            last: None,
            steps: 0,
            end_ms: 0,
        }
    }
}

impl Record {
    /// The history of an output or an alarm.
    #[must_use]
    pub fn timeline(&self, signal: Signal) -> &Timeline {
        const NEVER: &Timeline = &Timeline::NEVER;
        match signal {
            Signal::Output(output) => self.outputs.get(output as usize).unwrap_or(NEVER),
            Signal::Alarm(alarm) => self.alarms.get(alarm as usize).unwrap_or(NEVER),
        }
    }

    /// Notes something that was done.
    pub fn note(&mut self, at_ms: u64, text: impl Into<String>) {
        self.notes.push(Note { at_ms, text: text.into() });
    }

    /// What was done last before a time.
    #[must_use]
    pub fn cause(&self, at_ms: u64) -> Option<&Note> {
        self.notes.iter().rev().find(|note| note.at_ms <= at_ms)
    }

    /// The board is off: everything is open and nothing is watched.
    pub fn tell_off(&mut self, at_ms: u64) {
        for timeline in self.outputs.iter_mut().chain(&mut self.alarms) {
            timeline.tell(at_ms, false);
        }
        self.last = None;
        self.end_ms = at_ms;
    }

    /// Tells what a step ordered, what happened in it and what the BMS then says of itself.
    pub fn tell<const N: usize>(&mut self, now: Instant, command: &Command, events: &[Event], bms: &Bms<N>) {
        let at_ms = now.as_millis();
        let (active, pending) = (bms.alarms(), bms.pending_alarms());
        for event in events {
            self.take(*event, bms);
        }
        // Most steps change nothing.
        let expires = command.heater != Expiring::Off || command.precharge != Expiring::Off;
        if expires || self.last != Some((*command, active, pending)) {
            self.last = Some((*command, active, pending));
            self.tell_changes(now, command, active, pending);
        }
        self.events_lost = bms.events_lost();
        let status = bms.status();
        let current = status.current.valid().map(|current| as_f32(current.as_milliamps(), 1e-3));
        self.series.add(at_ms, current, || {
            let cells = (0..usize::from(bms.config().cell_count()))
                .map(|cell| status.cells.voltage(cell).map_or(f32::NAN, |volts| as_f32(volts.as_microvolts(), 1e-6)))
                .collect();
            let soc = status.state_of_charge_permille.valid().map_or(f32::NAN, |permille| f32::from(permille) / 10.0);
            (cells, soc)
        });
        self.steps += 1;
        self.end_ms = at_ms;
    }

    fn tell_changes(&mut self, now: Instant, command: &Command, active: AlarmSet, pending: AlarmSet) {
        let at_ms = now.as_millis();
        for (output, timeline) in Output::ALL.into_iter().zip(&mut self.outputs) {
            timeline.tell(at_ms, is_on(command, output, now));
        }
        for (alarm, timeline) in Alarm::ALL.into_iter().zip(&mut self.alarms) {
            timeline.tell(at_ms, active.contains(alarm));
        }
        for (alarm, onset) in Alarm::ALL.into_iter().zip(&mut self.onsets) {
            *onset = pending.contains(alarm).then(|| onset.unwrap_or(at_ms));
        }
    }

    fn take<const N: usize>(&mut self, event: Event, bms: &Bms<N>) {
        self.events.push(event);
        let at_ms = event.at.as_millis();
        match event.kind {
            EventKind::Raised { alarm, index, value } => {
                let onset_ms = self.onsets.get(alarm as usize).copied().flatten().unwrap_or(at_ms);
                let reason = bms.alarm_reason(alarm);
                self.trips.push(Trip { at_ms, alarm, index, value, reason, onset_ms, cleared_ms: None });
            }
            EventKind::Cleared { alarm } => {
                let open = self.trips.iter_mut().rev().find(|trip| trip.alarm == alarm && trip.cleared_ms.is_none());
                if let Some(trip) = open {
                    trip.cleared_ms = Some(at_ms);
                }
            }
            _ => {}
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "what is drawn needs no more digits than an f32 has")]
fn as_f32(stored: i32, scale: f32) -> f32 {
    stored as f32 * scale
}

/// Whether an output is on.
#[must_use]
pub fn is_on(command: &Command, output: Output, now: Instant) -> bool {
    match output {
        Output::Charge => command.charge.is_closed(),
        Output::Discharge => command.discharge.is_closed(),
        Output::Precharge => command.precharge.is_on(now),
        Output::Balance => !command.balance.is_idle(),
        Output::Heater => command.heater.is_on(now),
        Output::Power => command.power == Power::Hold,
        Output::LastResort => command.last_resort.is_closed(),
    }
}
