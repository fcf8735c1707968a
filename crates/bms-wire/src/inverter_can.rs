//! CAN for inverters: Pylontech low voltage 1.2, Victron, SMA; 500 kbit/s, standard frames, a set a second.

use bms_core::config::ParameterId as P;
use bms_core::time::{Duration, Instant};
use embedded_can::Frame;
use embedded_can::nb::Can;

use crate::alarms::Column;
use crate::board::Board;
use crate::can::{Extra, FRAMES_AT_ONCE, Message, Schedule, number};
use crate::field::Kind::{I16, U8, U16, U32};
use crate::field::{Field, Quantity as Q, field};
use crate::native::Text;

/// Whose dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Dialect {
    /// Pylontech low voltage 1.2: Deye, Growatt and many others.
    Pylontech,
    /// Victron.
    Victron,
    /// SMA: at least 200 ms between frames.
    Sma,
}

/// Without a message of the inverter for this long it counts as lost; that is only told.
pub const INVERTER_LOST: Duration = Duration::from_millis(10_000);
/// Once a second, and a little more often than a receiver expects.
const PERIOD: u32 = 1_000;
/// What SMA and Victron take as "not known".
const UNKNOWN: i32 = -0x8000;

const LIMITS: &[Field] = &[
    field(0, U16, Q::ChargeVoltageLimit, 100_000),
    field(2, I16, Q::ChargeLimit, 100),
    field(4, I16, Q::DischargeLimit, 100),
    field(6, U16, Q::DischargeVoltageLimit, 100_000),
];
const CHARGE: &[Field] = &[field(0, U16, Q::StateOfCharge, 10), field(2, U16, Q::StateOfHealth, 10)];
/// With the state of charge in 0.01 %.
const FINE_CHARGE: &[Field] =
    &[field(0, U16, Q::StateOfCharge, 10), field(2, U16, Q::StateOfHealth, 10), field(4, U16, Q::FineStateOfCharge, 1)];
const MEASURED: &[Field] = &[
    field(0, I16, Q::PackVoltage, 10_000),
    field(2, I16, Q::Current, 100),
    field(4, I16, Q::FirstTemperature, 1).or(UNKNOWN),
];
/// Protections, warnings, one module; "PN" follows.
const PROTECTIONS: &[Field] = &[field(0, U32, Q::Alarms(Column::Pylontech), 1), field(4, U8, Q::Constant(1), 1)];
/// Chemistry, hardware 1.0, Ah, software 1.1.
const ABOUT: &[Field] = &[
    field(0, U16, Q::Constant(0), 1),
    field(2, U16, Q::Constant(0x0100), 1),
    field(4, U16, Q::FullCapacity, 1_000),
    field(6, U16, Q::Constant(0x0101), 1),
];
/// Modules: online, blocking charge, blocking discharge, offline.
const MODULES: &[Field] = &[
    field(0, U16, Q::Constant(1), 1),
    field(2, U16, Q::ChargeBlocked, 1),
    field(4, U16, Q::DischargeBlocked, 1),
    field(6, U16, Q::Constant(0), 1),
];
/// Temperatures in K.
const EXTREMES: &[Field] = &[
    field(0, U16, Q::LowestVoltage, 1_000),
    field(2, U16, Q::HighestVoltage, 1_000),
    field(4, U16, Q::Coldest, 10).plus(273),
    field(6, U16, Q::Warmest, 10).plus(273),
];
const INSTALLED: &[Field] = &[field(0, U16, Q::Parameter(P::Capacity), 1_000)];

/// The messages of Pylontech.
pub const PYLONTECH: [Message; 6] = [
    Message::new(0x359, 7, PERIOD, PROTECTIONS).with(Extra::Bytes(5, b"PN")),
    Message::new(0x351, 8, PERIOD, LIMITS),
    Message::new(0x355, 4, PERIOD, CHARGE),
    Message::new(0x356, 6, PERIOD, MEASURED),
    Message::new(0x35c, 2, PERIOD, &[]).with(Extra::Requests),
    Message::new(0x35e, 8, PERIOD, &[]).with(Extra::Bytes(0, b"PYLON   ")),
];
/// The messages of Victron.
pub const VICTRON: [Message; 15] = [
    Message::new(0x351, 8, PERIOD, LIMITS),
    Message::new(0x355, 6, PERIOD, FINE_CHARGE),
    Message::new(0x356, 6, PERIOD, MEASURED),
    Message::new(0x35a, 8, PERIOD, &[]).with(Extra::Pairs(false)),
    Message::new(0x35e, 8, PERIOD, &[]).with(Extra::Text(Text::Maker, 0)),
    Message::new(0x35f, 8, PERIOD, ABOUT),
    Message::new(0x370, 8, PERIOD, &[]).with(Extra::Text(Text::Model, 0)),
    Message::new(0x371, 8, PERIOD, &[]).with(Extra::Text(Text::Model, 8)),
    Message::new(0x372, 8, PERIOD, MODULES),
    Message::new(0x373, 8, PERIOD, EXTREMES),
    Message::new(0x374, 8, PERIOD, &[]).with(Extra::Number(b'C', Q::LowestCell)),
    Message::new(0x375, 8, PERIOD, &[]).with(Extra::Number(b'C', Q::HighestCell)),
    Message::new(0x376, 8, PERIOD, &[]).with(Extra::Number(b'T', Q::ColdestSensor)),
    Message::new(0x377, 8, PERIOD, &[]).with(Extra::Number(b'T', Q::WarmestSensor)),
    Message::new(0x379, 2, PERIOD, INSTALLED),
];
/// The messages of SMA: with 200 ms between any two, four have a slot each second and the others the rest.
pub const SMA: [Message; 6] = [
    Message::new(0x351, 8, PERIOD, LIMITS),
    Message::new(0x355, 6, PERIOD, FINE_CHARGE),
    Message::new(0x356, 6, PERIOD, MEASURED),
    Message::new(0x35a, 8, PERIOD, &[]).with(Extra::Pairs(true)),
    Message::new(0x35e, 8, 4 * PERIOD, &[]).with(Extra::Text(Text::Maker, 0)),
    Message::new(0x35f, 8, 4 * PERIOD, ABOUT),
];

impl Dialect {
    /// Its messages.
    #[must_use]
    pub const fn messages(self) -> &'static [Message] {
        match self {
            Self::Pylontech => &PYLONTECH,
            Self::Victron => &VICTRON,
            Self::Sma => &SMA,
        }
    }
    /// Between two frames.
    #[must_use]
    pub const fn gap(self) -> Duration {
        match self {
            Self::Pylontech | Self::Victron => Duration::from_millis(10),
            Self::Sma => Duration::from_millis(200),
        }
    }
}

/// The board's side of an inverter's bus.
#[derive(Clone, Debug)]
pub struct InverterCan {
    dialect: Dialect,
    schedule: Schedule<15>,
    heard: Option<Instant>,
}

impl InverterCan {
    /// Nothing was sent or heard yet.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, schedule: Schedule::new(dialect.gap()), heard: None }
    }
    /// The next frame to send now, if one is due.
    pub fn poll<F: Frame>(&mut self, now: Instant, board: &impl Board) -> Option<F> {
        let view = board.view();
        self.schedule.take(now, self.dialect.messages(), &view)?.frame(&view, 0)
    }
    /// When a frame is due again.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.schedule.deadline_of(self.dialect.messages().len())
    }
    /// A frame came. Only the inverter's sign of life means something.
    pub fn receive<F: Frame>(&mut self, now: Instant, frame: &F) {
        if matches!(number(frame.id()), 0x305..=0x307) {
            self.heard = Some(now);
        }
    }
    /// For a bus that is polled: reads what came, and sends what is due. A frame that finds no room is tried again a
    /// millisecond later, with the values of then.
    pub fn exchange<C: Can>(&mut self, now: Instant, bus: &mut C, board: &impl Board) {
        for _ in 0..FRAMES_AT_ONCE {
            let Ok(frame) = bus.receive() else { break };
            self.receive(now, &frame);
        }
        self.schedule.send(now, self.dialect.messages(), &board.view(), 0, bus);
    }
    /// Whether the inverter has said nothing for ten seconds, or never anything. For the display; nothing depends on it.
    #[must_use]
    pub fn inverter_lost(&self, now: Instant) -> bool {
        self.heard.is_none_or(|heard| now.since(heard) > INVERTER_LOST)
    }
}
