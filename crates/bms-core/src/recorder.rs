//! What happened before and during a fault: a ring of compact records and a list of freeze frames.
//!
//! Caller-owned, so that a board pays for it only if it has one, and sizes it:
//! [`Recorder`]`<24, 64, 8>` takes 64 × 32 bytes for the ring, 8 × 120 bytes for the frames and at most 96 bytes beside.
//!
//! ```text
//! each step:  record(now, &status) ─► ring of RING records ── a trip ─► a quarter of it more, then it holds
//! each event: event(&event, &status) ─► frame: event, record, cells, temperatures
//! ```
//! ```
//! # use bms_core::{event::Event, recorder::Recorder, status::Status, time::{Instant, ms}};
//! # fn after_a_step(now: Instant, events: impl Iterator<Item = Event>, status: Status<'_>) {
//! let mut recorder: Recorder<24, 64, 8> = Recorder::new(ms(100));
//! recorder.record(now, &status);
//! for event in events {
//!     recorder.event(&event, &status);
//! }
//! # }
//! ```

mod ring;

use self::ring::Ring;
use crate::event::{Event, EventKind};
use crate::measurement::{BATTERY_SENSORS, CellScan, Cells, Reading, Temperatures};
use crate::protection::{Alarm, AlarmSet};
use crate::status::Status;
use crate::time::{Duration, Instant};
use crate::units::{Current, Temperature, Voltage};

/// The state of the pack at one time, in 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record {
    at: Instant,
    alarms: AlarmSet,
    current: Current,
    lowest_tenths: u16,
    highest_tenths: u16,
    warmest_tenths: i16,
    state_of_charge_permille: u16,
    flags: Flags,
}

/// Bits: what is valid, what is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Flags(u16);

impl Flags {
    const CURRENT: u16 = 1;
    const CELLS: u16 = 1 << 1;
    const TEMPERATURE: u16 = 1 << 2;
    const STATE_OF_CHARGE: u16 = 1 << 3;
    const CHARGE: u16 = 1 << 4;
    const DISCHARGE: u16 = 1 << 5;
    const BALANCING: u16 = 1 << 6;
    const HEATER: u16 = 1 << 7;
    const OUTPUTS: u16 = Self::CHARGE | Self::DISCHARGE | Self::BALANCING | Self::HEATER;

    const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
    const fn with(self, bit: u16, on: bool) -> Self {
        if on { Self(self.0 | bit) } else { self }
    }
}

impl Record {
    /// The state that a status page shows.
    #[must_use]
    pub fn of(at: Instant, status: &Status<'_>) -> Self {
        let cell = |index: Option<u8>| index.and_then(|index| status.cells.voltage(usize::from(index)));
        let (lowest, highest) = (cell(status.lowest_cell), cell(status.highest_cell));
        let warmest = status.battery_temperatures.iter().filter_map(|reading| reading.valid()).max();
        let current = status.current.valid();
        let charge = status.state_of_charge_permille.valid();
        Self {
            at,
            alarms: status.alarms,
            current: current.unwrap_or_default(),
            lowest_tenths: lowest.map_or(0, tenths_of_millivolt),
            highest_tenths: highest.map_or(0, tenths_of_millivolt),
            warmest_tenths: warmest.map_or(0, tenths_of_degree),
            state_of_charge_permille: charge.unwrap_or_default(),
            flags: Flags::default()
                .with(Flags::CURRENT, current.is_some())
                .with(Flags::CELLS, lowest.is_some() && highest.is_some())
                .with(Flags::TEMPERATURE, warmest.is_some())
                .with(Flags::STATE_OF_CHARGE, charge.is_some())
                .with(Flags::CHARGE, status.charge.is_closed())
                .with(Flags::DISCHARGE, status.discharge.is_closed())
                .with(Flags::BALANCING, !status.balance.is_idle())
                .with(Flags::HEATER, status.heater),
        }
    }
    /// When.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }
    /// The active alarms.
    #[must_use]
    pub const fn alarms(&self) -> AlarmSet {
        self.alarms
    }
    /// Pack current, positive charging; `None` if it was not usable.
    #[must_use]
    pub fn current(&self) -> Option<Current> {
        self.flags.has(Flags::CURRENT).then_some(self.current)
    }
    /// The lowest cell, in steps of 0.1 mV; `None` if no cell was usable.
    #[must_use]
    pub fn lowest_cell(&self) -> Option<Voltage> {
        self.flags.has(Flags::CELLS).then(|| crate::measurement::from_tenths(self.lowest_tenths))
    }
    /// The highest cell, in steps of 0.1 mV; `None` if no cell was usable.
    #[must_use]
    pub fn highest_cell(&self) -> Option<Voltage> {
        self.flags.has(Flags::CELLS).then(|| crate::measurement::from_tenths(self.highest_tenths))
    }
    /// The warmest battery sensor; `None` if none was usable.
    #[must_use]
    pub fn warmest(&self) -> Option<Temperature> {
        self.flags.has(Flags::TEMPERATURE).then(|| Temperature::from_tenths(i32::from(self.warmest_tenths)))
    }
    /// State of charge in thousandths; `None` while unknown.
    #[must_use]
    pub fn state_of_charge_permille(&self) -> Option<u16> {
        self.flags.has(Flags::STATE_OF_CHARGE).then_some(self.state_of_charge_permille)
    }
    /// Whether the charge switch was commanded closed.
    #[must_use]
    pub const fn charge(&self) -> bool {
        self.flags.has(Flags::CHARGE)
    }
    /// Whether the discharge switch was commanded closed.
    #[must_use]
    pub const fn discharge(&self) -> bool {
        self.flags.has(Flags::DISCHARGE)
    }
    /// Whether the balancer moved energy.
    #[must_use]
    pub const fn balancing(&self) -> bool {
        self.flags.has(Flags::BALANCING)
    }
    /// Whether the heater was on.
    #[must_use]
    pub const fn heater(&self) -> bool {
        self.flags.has(Flags::HEATER)
    }
    /// Whether an alarm that came since `last` opened a switch.
    fn is_trip(&self, last: &Self) -> bool {
        let opened = last.charge() && !self.charge() || last.discharge() && !self.discharge();
        opened && self.alarms.minus(last.alarms).iter().any(|alarm| !alarm.is_warning())
    }
    /// Whether anything but measured values differs.
    const fn differs_in_kind(&self, other: &Self) -> bool {
        self.alarms.bits() != other.alarms.bits() || (self.flags.0 ^ other.flags.0) & Flags::OUTPUTS != 0
    }
}

/// An alarm, frozen with everything around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<const N: usize = 24> {
    /// The event of kind [`EventKind::Raised`].
    pub event: Event,
    /// The pack at that moment.
    pub record: Record,
    /// The cells at that moment, suspect ones as they read.
    pub cells: Cells<N>,
    battery_tenths: [i16; BATTERY_SENSORS],
    mos_tenths: i16,
}

impl<const N: usize> Frame<N> {
    /// What an absent temperature is stored as.
    const NOT_MEASURED: i16 = i16::MIN;
    /// What a worthless temperature is stored as.
    const INVALID: i16 = i16::MIN + 1;

    fn new(event: Event, status: &Status<'_>) -> Self {
        Self {
            event,
            record: Record::of(event.at, status),
            cells: stored(&status.cells),
            battery_tenths: status.battery_temperatures.map(Self::pack),
            mos_tenths: Self::pack(status.mos_temperature),
        }
    }
    fn pack(reading: Reading<Temperature>) -> i16 {
        match reading {
            Reading::NotMeasured => Self::NOT_MEASURED,
            Reading::Invalid | Reading::Stale { .. } => Self::INVALID,
            Reading::Valid(temperature) => tenths_of_degree(temperature),
        }
    }
    fn unpack(stored: i16) -> Reading<Temperature> {
        match stored {
            Self::NOT_MEASURED => Reading::NotMeasured,
            Self::INVALID => Reading::Invalid,
            tenths => Reading::Valid(Temperature::from_tenths(i32::from(tenths))),
        }
    }
    /// The alarm that was raised.
    #[must_use]
    pub const fn alarm(&self) -> Option<Alarm> {
        match self.event.kind {
            EventKind::Raised { alarm, .. } => Some(alarm),
            _ => None,
        }
    }
    /// The temperatures at that moment; a stale one is `Invalid`.
    #[must_use]
    pub fn temperatures(&self) -> Temperatures {
        Temperatures { battery: self.battery_tenths.map(Self::unpack), mos: Self::unpack(self.mos_tenths) }
    }
}

fn stored<const N: usize>(scan: &CellScan<'_>) -> Cells<N> {
    let mut cells = Cells::new(u8::try_from(scan.count()).unwrap_or(u8::MAX));
    for (index, voltage) in scan.iter() {
        cells.set(index, voltage);
    }
    cells
}

/// 0 … 6.5535 V; beyond stays at the end.
fn tenths_of_millivolt(voltage: Voltage) -> u16 {
    u16::try_from(voltage.as_microvolts().max(0) / 100).unwrap_or(u16::MAX)
}

/// ±3276.6 °C; beyond stays at the end, clear of the values that mean "none".
fn tenths_of_degree(temperature: Temperature) -> i16 {
    const END: i32 = i16::MAX as i32 - 1;
    // Within 16 bits by the clamp.
    temperature.as_tenths().clamp(-END, END) as i16
}

/// Whether the ring takes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It does.
    Running,
    /// After a trip: it takes this many more.
    Ending(usize),
    /// It keeps what it has.
    Held,
}

/// Remembers what led to a fault: the last `RING` records, and the last `FRAMES` alarms with `N` cells each.
///
/// After an alarm has opened a switch, the ring takes another quarter of its length and then **holds**, so that a
/// reader who comes hours later still finds what led to the first trip; [`Recorder::rearm`] lets it run again.
/// Frames are kept whatever the ring does; a new one displaces the oldest. What was displaced or not taken is counted.
#[derive(Clone, Debug)]
pub struct Recorder<const N: usize, const RING: usize, const FRAMES: usize> {
    records: Ring<Record, RING>,
    frames: Ring<Frame<N>, FRAMES>,
    interval: Duration,
    state: State,
    records_missed: u32,
    frames_lost: u32,
}

impl<const N: usize, const RING: usize, const FRAMES: usize> Recorder<N, RING, FRAMES> {
    /// How many records the ring takes after a trip.
    const AFTERMATH: usize = RING / 4;

    /// An empty recorder that keeps at most one record an `interval`, and besides one whenever an alarm or an output
    /// changes. With [`Duration::ZERO`] it keeps every step.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self {
            records: Ring::new(),
            frames: Ring::new(),
            interval,
            state: State::Running,
            records_missed: 0,
            frames_lost: 0,
        }
    }
    /// Hears the state after a step; call it after every one.
    pub fn record(&mut self, now: Instant, status: &Status<'_>) {
        let record = Record::of(now, status);
        let last = self.records.newest();
        let due = last.is_none_or(|last| now.since(last.at) >= self.interval || record.differs_in_kind(last));
        if !due {
            return;
        }
        self.state = match self.state {
            State::Running if last.is_some_and(|last| record.is_trip(last)) => State::Ending(Self::AFTERMATH),
            State::Running => State::Running,
            State::Ending(left) => left.checked_sub(1).map_or(State::Held, State::Ending),
            State::Held => State::Held,
        };
        if self.state == State::Held {
            self.records_missed = self.records_missed.saturating_add(1);
        } else {
            self.records.push(record);
        }
    }
    /// Hears an event, with the state after its step; call it for each one. An alarm that is raised gives a frame.
    pub fn event(&mut self, event: &Event, status: &Status<'_>) {
        let raised = matches!(event.kind, EventKind::Raised { .. });
        if raised && self.frames.push(Frame::new(*event, status)) {
            self.frames_lost = self.frames_lost.saturating_add(1);
        }
    }
    /// The ring, oldest record first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }
    /// The freeze frames, oldest first.
    pub fn frames(&self) -> impl Iterator<Item = &Frame<N>> {
        self.frames.iter()
    }
    /// Takes the oldest freeze frame out.
    pub fn take_frame(&mut self) -> Option<Frame<N>> {
        self.frames.take_oldest()
    }
    /// Whether the ring holds what led to a trip.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }
    /// Lets the ring run again, with what it has; for after it was read.
    pub const fn rearm(&mut self) {
        self.state = State::Running;
    }
    /// How many records were not taken because the ring held; stays at its end.
    #[must_use]
    pub const fn records_missed(&self) -> u32 {
        self.records_missed
    }
    /// How many freeze frames were displaced unread; stays at its end.
    #[must_use]
    pub const fn frames_lost(&self) -> u32 {
        self.frames_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_documented() {
        assert_eq!(size_of::<Record>(), 32);
        assert_eq!(size_of::<Frame<24>>(), 120);
        let beside = size_of::<Recorder<24, 64, 8>>() - 64 * 32 - 8 * 120;
        assert!(beside <= 96, "{beside}");
    }

    #[test]
    fn a_temperature_at_the_end_of_its_range_stays_one() {
        for temperature in [Temperature::MIN, Temperature::MAX, Temperature::ZERO] {
            assert!(Frame::<1>::unpack(Frame::<1>::pack(Reading::Valid(temperature))).is_valid());
        }
        assert_eq!(Frame::<1>::unpack(Frame::<1>::pack(Reading::Invalid)), Reading::Invalid);
        assert_eq!(Frame::<1>::unpack(Frame::<1>::pack(Reading::NotMeasured)), Reading::NotMeasured);
    }
}
