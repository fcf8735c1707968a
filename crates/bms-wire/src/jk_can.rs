//! JK's own CAN, V2: 250 kbit/s (or 500), little endian, the address added to every identifier.

use bms_core::access::{Change, Session};
use bms_core::bms::Request;
use bms_core::time::{Duration, Instant};
use embedded_can::Frame;
use embedded_can::nb::Can;

use crate::alarms::Column;
use crate::board::Board;
use crate::can::{Extra, FRAMES_AT_ONCE, Message, Schedule, When, number};
use crate::field::Kind::{U8, U16, U32};
use crate::field::{Field, Quantity as Q, field};

/// A temperature in whole degrees from −50 °C; FF is "no sensor".
const fn degrees(at: u16, quantity: Q) -> Field {
    field(at, U8, quantity, 10).plus(50).or(0xff)
}
/// The number of a cell or sensor, 1 is the first.
const fn ordinal(at: u16, quantity: Q) -> Field {
    field(at, U8, quantity, 1).plus(1)
}

const BATTERY: &[Field] = &[
    field(0, U16, Q::PackVoltage, 100_000),
    // From −400 A, + charging.
    field(2, U16, Q::Current, 100).plus(4_000).or(4_000),
    field(4, U8, Q::StateOfCharge, 10),
    field(6, U16, Q::HoursLeft, 1),
];
const CELL_EXTREMES: &[Field] = &[
    field(0, U16, Q::HighestVoltage, 1_000),
    ordinal(2, Q::HighestCell),
    field(3, U16, Q::LowestVoltage, 1_000),
    ordinal(5, Q::LowestCell),
];
const TEMPERATURE_EXTREMES: &[Field] = &[
    degrees(0, Q::Warmest),
    ordinal(1, Q::WarmestSensor),
    degrees(2, Q::Coldest),
    ordinal(3, Q::ColdestSensor),
    degrees(4, Q::AverageTemperature),
];
const LEVELS: &[Field] = &[field(0, U32, Q::Alarms(Column::JkCan), 1)];
const CAPACITY: &[Field] = &[
    field(0, U16, Q::Remaining, 100),
    field(2, U16, Q::FullCapacity, 100),
    field(4, U16, Q::CycleCapacity, 100),
    field(6, U16, Q::Cycles, 1),
];
const TEMPERATURES: &[Field] = &[
    degrees(1, Q::Battery(0)),
    degrees(2, Q::Battery(1)),
    degrees(3, Q::Mos),
    degrees(4, Q::Battery(3)),
    degrees(5, Q::Battery(4)),
];
const FAULTS: &[Field] = &[field(0, U32, Q::Alarms(Column::Native), 1)];
const RUN_TIME: &[Field] =
    &[field(0, U32, Q::RunTime, 1), field(4, U16, Q::Constant(0), 1), field(6, U8, Q::StateOfHealth, 10)];
const CHARGER: &[Field] = &[field(0, U16, Q::ChargeVoltageLimit, 100_000), field(2, U16, Q::ChargeLimit, 100)];

/// Four cells from one on.
macro_rules! cells {
    ($from:literal) => {
        &[field(0, U16, Q::CellFrom($from), 1_000).times(4)]
    };
}

/// The messages.
pub const MESSAGES: [Message; 17] = [
    Message::new(0x02f4, 8, 20, BATTERY),
    Message::new(0x04f4, 8, 100, CELL_EXTREMES),
    Message::new(0x05f4, 8, 500, TEMPERATURE_EXTREMES),
    Message::new(0x07f4, 8, 100, LEVELS).only(When::Alarm(Column::JkCan)),
    Message::new(0x18f1_28f4, 8, 100, CAPACITY),
    Message::new(0x18f2_28f4, 8, 500, TEMPERATURES).with(Extra::SensorMask),
    Message::new(0x18f3_28f4, 8, 100, FAULTS).only(When::Alarm(Column::Native)),
    Message::new(0x18f4_28f4, 8, 500, RUN_TIME),
    Message::new(0x18f5_28f4, 8, 500, &[]).with(Extra::Works),
    Message::new(0x18e0_28f4, 8, 1_000, cells!(0)),
    Message::new(0x18e1_28f4, 8, 1_000, cells!(4)),
    Message::new(0x18e2_28f4, 8, 1_000, cells!(8)),
    Message::new(0x18e3_28f4, 8, 1_000, cells!(12)),
    Message::new(0x18e4_28f4, 8, 1_000, cells!(16)),
    Message::new(0x18e5_28f4, 8, 1_000, cells!(20)),
    Message::new(0x18e6_28f4, 8, 1_000, cells!(24)),
    Message::new(0x1806_e5f4, 8, 500, CHARGER).with(Extra::Charger),
];

/// Switches the board: which of charge, discharge, balance; and how each. A board's address is added.
pub const CONTROL: u32 = 0x18f0_f428;

/// The board's side of the bus.
#[derive(Clone, Debug)]
pub struct JkCan {
    address: u8,
    schedule: Schedule<17>,
    session: Session,
}

impl JkCan {
    /// A board at an address, 0 to 11.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self { address, schedule: Schedule::new(Duration::ZERO), session: Session::new() }
    }
    /// The next frame to send now, if one is due. Call again until there is none.
    pub fn poll<F: Frame>(&mut self, now: Instant, board: &impl Board) -> Option<F> {
        let view = board.view();
        self.schedule.take(now, &MESSAGES, &view)?.frame(&view, self.address)
    }
    /// When a frame is due again.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.schedule.deadline_of(MESSAGES.len())
    }
    /// For a bus that is polled: reads what came, and sends what is due. A frame that finds no room is tried again a
    /// millisecond later, with the values of then.
    pub fn exchange<C: Can>(&mut self, now: Instant, bus: &mut C, board: &mut impl Board) {
        for _ in 0..FRAMES_AT_ONCE {
            let Ok(frame) = bus.receive() else { break };
            self.receive(now, &frame, board);
        }
        self.schedule.send(now, &MESSAGES, &board.view(), self.address, bus);
    }
    /// A frame came; only the control message means something.
    pub fn receive<F: Frame>(&mut self, now: Instant, frame: &F, board: &mut impl Board) {
        if number(frame.id()) != CONTROL.saturating_add(u32::from(self.address)) || !frame.is_extended() {
            return;
        }
        let [mask, charge, discharge, balance, ..] = frame.data() else { return };
        let wanted = [
            (0b001, *charge, Request::SetCharge as fn(bool) -> Request),
            (0b010, *discharge, Request::SetDischarge),
            (0b100, *balance, Request::SetBalance),
        ];
        for (bit, state, request) in wanted {
            if mask & bit != 0 && state <= 1 {
                // There is no answer on this bus; a refusal is logged.
                let _ = board.change(&self.session, now, Change::Request(request(state == 1)));
            }
        }
    }
}
