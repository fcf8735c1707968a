//! The serial protocol "4E57" of the GPS port: big endian, 115200 8N1.
//!
//! A frame: 4E 57, length (of everything behind those two), terminal number, command, source, transport, data, record
//! number, 68, two zero bytes, sum of every byte before these last four.

use bms_core::access::{Change, DeviceName, Session};
use bms_core::config::ParameterId as P;
use bms_core::event::PasswordKind;
use bms_core::time::{Duration, Instant};

use crate::alarms::Column;
use crate::board::{Board, View};
use crate::bytes::{Accumulator, Found, Framing, Order, get, put, put_text, sum16};
use crate::field::Kind::{I16, U8, U16, U32};
use crate::field::{Field, Quantity as Q, field};
use crate::native::{self, Layout, Text};
use crate::secure::Secure;

/// Longest request: a frame around the longest value.
pub const MAXIMUM_REQUEST: usize = 64;
/// Longest answer: every identifier and 32 cells.
pub const MAXIMUM_ANSWER: usize = 384;
const HEADER: usize = 11;
const TRAILER: usize = 9;
const CELLS: u8 = 0x79;

/// The commands.
mod command {
    pub const ACTIVATE: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const READ: u8 = 3;
    pub const PASSWORD: u8 = 5;
    pub const READ_ALL: u8 = 6;
}

/// What an identifier holds.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// A number; its `at` is not used.
    Number(Field),
    /// A temperature above zero as it is, below zero as 100 − value.
    Temperature(Q),
    /// The current: bit 15 is "charging", the rest the magnitude in 10 mA.
    Current,
    /// The switches and what else works, as bits.
    Switches,
    /// A text of a length.
    Text(Text, u8),
    /// Constant text of a length.
    Fixed(&'static str, u8),
}

/// One identifier.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The identifier.
    pub id: u8,
    /// What it holds.
    pub item: Item,
}

impl Row {
    /// Bytes of its value.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self.item {
            Item::Number(field) => field.kind.width(),
            Item::Temperature(_) | Item::Current | Item::Switches => 2,
            Item::Text(_, width) | Item::Fixed(_, width) => width as usize,
        }
    }
}

const fn number(id: u8, kind: crate::field::Kind, quantity: Q, divisor: i32) -> Row {
    Row { id, item: Item::Number(field(0, kind, quantity, divisor)) }
}

/// **Every identifier in the order of a read-all answer**, behind the cells; clients rely on the positions.
#[rustfmt::skip]
pub const IDENTIFIERS: &[Row] = &[
    Row { id: 0x80, item: Item::Temperature(Q::Mos) },
    Row { id: 0x81, item: Item::Temperature(Q::Battery(0)) },
    Row { id: 0x82, item: Item::Temperature(Q::Battery(1)) },
    number(0x83, U16, Q::PackVoltage, 10_000),
    Row { id: 0x84, item: Item::Current },
    number(0x85,  U8, Q::StateOfCharge, 10),
    number(0x86,  U8, Q::SensorCount, 1),
    number(0x87, U16, Q::Cycles, 1),
    number(0x89, U32, Q::CycleCapacity, 1_000),
    number(0x8a, U16, Q::Parameter(P::CellCount), 1),
    number(0x8b, U16, Q::Alarms(Column::Uart), 1),
    Row { id: 0x8c, item: Item::Switches },
    number(0x8e, U16, Q::PackLimit(P::PackOvervoltageProtection, P::CellOvervoltageProtection), 10_000),
    number(0x8f, U16, Q::PackLimit(P::PackUndervoltageProtection, P::CellUndervoltageProtection), 10_000),
    number(0x90, U16, Q::Parameter(P::CellOvervoltageProtection), 1_000),
    number(0x91, U16, Q::Parameter(P::CellOvervoltageRecovery), 1_000),
    number(0x92, U16, Q::Parameter(P::CellOvervoltageDelay), 1_000),
    number(0x93, U16, Q::Parameter(P::CellUndervoltageProtection), 1_000),
    number(0x94, U16, Q::Parameter(P::CellUndervoltageRecovery), 1_000),
    number(0x95, U16, Q::Parameter(P::CellUndervoltageDelay), 1_000),
    number(0x96, U16, Q::Parameter(P::CellSpreadProtection), 1_000),
    number(0x97, U16, Q::Parameter(P::DischargeOvercurrentProtection), 1_000),
    number(0x98, U16, Q::Parameter(P::DischargeOvercurrentDelay), 1_000),
    number(0x99, U16, Q::Parameter(P::ChargeOvercurrentProtection), 1_000),
    number(0x9a, U16, Q::Parameter(P::ChargeOvercurrentDelay), 1_000),
    number(0x9b, U16, Q::Parameter(P::BalanceStartVoltage), 1_000),
    number(0x9c, U16, Q::Parameter(P::BalanceTrigger), 1_000),
    number(0x9d,  U8, Q::BalanceSwitch, 1),
    number(0x9e, U16, Q::Parameter(P::MosOvertemperatureProtection), 10), // a board rating: refused
    number(0x9f, U16, Q::Parameter(P::MosOvertemperatureRecovery), 10),
    number(0xa0, U16, Q::Constant(100), 1), // temperature in the box: no limit of its own
    number(0xa1, U16, Q::Constant(100), 1),
    number(0xa2, U16, Q::Parameter(P::TemperatureSpreadProtection), 10),
    number(0xa3, U16, Q::Parameter(P::ChargeOvertemperatureProtection), 10),
    number(0xa4, U16, Q::Parameter(P::DischargeOvertemperatureProtection), 10),
    number(0xa5, I16, Q::Parameter(P::ChargeUndertemperatureProtection), 10),
    number(0xa6, I16, Q::Parameter(P::ChargeUndertemperatureRecovery), 10),
    number(0xa7, I16, Q::Parameter(P::DischargeUndertemperatureProtection), 10),
    number(0xa8, I16, Q::Parameter(P::DischargeUndertemperatureRecovery), 10),
    number(0xa9,  U8, Q::Parameter(P::CellCount), 1),
    number(0xaa, U32, Q::Parameter(P::Capacity), 1_000),
    number(0xab,  U8, Q::ChargeSwitch, 1),
    number(0xac,  U8, Q::DischargeSwitch, 1),
    number(0xad, U16, Q::Constant(1_000), 1), // current calibration
    number(0xae,  U8, Q::Address, 1),
    number(0xaf,  U8, Q::Chemistry, 1),
    number(0xb0, U16, Q::Constant(10), 1), // sleep delay
    number(0xb1,  U8, Q::Constant(20), 1), // low state of charge warning
    Row { id: 0xb2, item: Item::Text(Text::Mask, 10) },
    number(0xb3,  U8, Q::Constant(0), 1), // special charger
    Row { id: 0xb4, item: Item::Text(Text::Name, 8) },
    Row { id: 0xb5, item: Item::Text(Text::Manufactured, 4) },
    number(0xb6, U32, Q::RunTime, 60),
    Row { id: 0xb7, item: Item::Fixed("11.XW_S11.26___", 15) },
    number(0xb8,  U8, Q::Constant(0), 1), // current calibration running
    number(0xb9, U32, Q::FullCapacity, 1_000),
    Row { id: 0xba, item: Item::Text(Text::Model, 24) },
    number(0xc0,  U8, Q::Constant(1), 1), // the current is told as above
];

fn row(id: u8) -> Option<&'static Row> {
    IDENTIFIERS.iter().find(|row| row.id == id)
}

/// Writes the value of an identifier at a place; returns the place behind it.
fn put_item(frame: &mut [u8], at: usize, row: &Row, view: &View<'_>) -> usize {
    let width = row.width();
    match row.item {
        Item::Number(field) => put(frame, at, width, Order::Big, field.raw(view, 0)),
        Item::Temperature(quantity) => put(frame, at, 2, Order::Big, i64::from(temperature(quantity.value(view, 0)))),
        Item::Current => {
            let milliamps = Q::Current.value(view, 0).unwrap_or(0);
            let magnitude = milliamps.saturating_abs().saturating_add(5) / 10;
            let charging = if milliamps > 0 { 0x8000 } else { 0 };
            put(frame, at, 2, Order::Big, magnitude.min(0x7fff) | charging);
        }
        Item::Switches => {
            let bit = |quantity: Q, bit: u32| quantity.value(view, 0).unwrap_or(0).wrapping_shl(bit);
            let bits = bit(Q::ChargeOn, 0) | bit(Q::DischargeOn, 1) | bit(Q::IsBalancing, 2);
            // The battery is connected if its cells are seen.
            let connected = i64::from(view.telemetry.pack_voltage.is_some()).wrapping_shl(3);
            put(frame, at, 2, Order::Big, bits | connected);
        }
        Item::Text(text, _) => put_text(frame, at, width, native::text(view, text)),
        Item::Fixed(text, _) => put_text(frame, at, width, text.as_bytes()),
    }
    at.saturating_add(width)
}

/// Tenths of a degree in this protocol's encoding: whole degrees, below zero 100 − degrees; −40 °C (140) is its end and
/// stands for "no sensor" too.
#[must_use]
pub fn temperature(tenths: Option<i64>) -> u8 {
    let Some(tenths) = tenths else { return 140 };
    let half = if tenths < 0 { -5 } else { 5 };
    let degrees = tenths.saturating_add(half) / 10;
    // Exactly 100 would be read as −0 by some.
    let code = if degrees < 0 { 100_i64.saturating_sub(degrees.max(-40)) } else { degrees.min(99) };
    u8::try_from(code).unwrap_or(140)
}
/// The degrees that an encoded temperature means.
#[must_use]
pub fn degrees(code: u16) -> i32 {
    if code > 100 { 100_i32.saturating_sub(i32::from(code)) } else { i32::from(code) }
}

/// Finds requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestFraming;

impl Framing for RequestFraming {
    fn look(bytes: &[u8]) -> Found {
        match bytes {
            [0x4e] | [0x4e, 0x57] | [0x4e, 0x57, _] => return Found::Incomplete,
            [0x4e, 0x57, ..] => {}
            _ => return Found::Garbage,
        }
        let total = usize::try_from(get(bytes, 2, 2, Order::Big)).unwrap_or(0).saturating_add(2);
        if !(HEADER + TRAILER..=MAXIMUM_REQUEST).contains(&total) {
            return Found::Garbage;
        }
        match bytes.get(..total) {
            None => Found::Incomplete,
            Some(frame) if View4e57::new(frame).is_some() => Found::Frame(total),
            Some(_) => Found::Garbage,
        }
    }
}

/// A frame of either direction: the raw view, checked for start, length, end and sum.
#[derive(Clone, Copy, Debug)]
pub struct View4e57<'a> {
    bytes: &'a [u8],
}

impl<'a> View4e57<'a> {
    /// Checks a frame.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.len().checked_sub(4)?;
        let good = bytes.starts_with(&[0x4e, 0x57])
            && bytes.len() >= HEADER + TRAILER
            && get(bytes, 2, 2, Order::Big) == u64::try_from(bytes.len().saturating_sub(2)).ok()?
            && bytes.get(end.saturating_sub(1)) == Some(&0x68)
            && get(bytes, end, 4, Order::Big) == u64::from(sum16(bytes.get(..end)?));
        good.then_some(Self { bytes })
    }
    /// The command.
    #[must_use]
    pub fn command(&self) -> u8 {
        self.bytes.get(8).copied().unwrap_or(0)
    }
    /// The identifiers and values.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.bytes.get(HEADER..self.bytes.len().saturating_sub(TRAILER)).unwrap_or(&[])
    }
    /// The terminal number, echoed in answers.
    fn terminal(&self) -> u64 {
        get(self.bytes, 4, 4, Order::Big)
    }
    /// The voltage of a cell in mV, from a read-all answer.
    #[must_use]
    pub fn cell(&self, index: u8) -> Option<u16> {
        let [CELLS, length, cells @ ..] = self.data() else { return None };
        let at = usize::from(index).saturating_mul(3);
        let entry = cells.get(..usize::from(*length))?.get(at..at.saturating_add(3))?;
        u16::try_from(get(entry, 1, 2, Order::Big)).ok()
    }
    /// The bytes of an identifier's value, from a read-all answer.
    #[must_use]
    pub fn item(&self, id: u8) -> Option<&'a [u8]> {
        let mut rest = self.data();
        loop {
            let (found, tail) = rest.split_first()?;
            let width = match *found {
                CELLS => usize::from(*tail.first()?).saturating_add(1),
                other => row(other)?.width(),
            };
            let (value, next) = tail.split_at_checked(width)?;
            if *found == id {
                return Some(value);
            }
            rest = next;
        }
    }
    /// The number in an identifier's value.
    #[must_use]
    pub fn number(&self, id: u8) -> Option<u64> {
        self.item(id).map(|value| get(value, 0, value.len(), Order::Big))
    }
}

/// Between two uploads.
pub const UPLOAD_PERIOD: Duration = Duration::from_millis(450);
/// After a request there are no uploads for so long: who asks needs none, and an answer must not meet one.
pub const UPLOAD_PAUSE: Duration = Duration::from_millis(5_000);

/// The board's side of the serial line.
#[derive(Clone, Debug)]
pub struct Uart {
    requests: Accumulator<RequestFraming, MAXIMUM_REQUEST>,
    secure: Secure,
    session: Session,
    /// When everything is sent unasked.
    upload: Option<Instant>,
    answer: [u8; MAXIMUM_ANSWER],
    length: usize,
}

impl Uart {
    /// Nothing was heard yet. `uploads`: everything is also sent unasked, for tools that only listen.
    #[must_use]
    pub const fn new(uploads: bool) -> Self {
        Self {
            requests: Accumulator::new(),
            secure: Secure::new(),
            session: Session::new(),
            upload: if uploads { Some(Instant::ZERO) } else { None },
            answer: [0; MAXIMUM_ANSWER],
            length: 0,
        }
    }
    /// One byte came; the answer to send, if it completed a request.
    pub fn receive(&mut self, now: Instant, byte: u8, board: &mut impl Board) -> Option<&[u8]> {
        if let Some(answer) = self.secure.receive(now, byte, &mut self.session, Layout::S32, board) {
            self.requests.clear();
            self.length = answer.len();
            put_text(&mut self.answer, 0, answer.len(), &answer);
            return self.answer.get(..self.length);
        }
        let frame = self.requests.push(now, byte)?;
        let request = View4e57::new(frame.as_bytes())?;
        self.upload = self.upload.map(|_| now.after(UPLOAD_PAUSE));
        self.length = 0;
        self.answer(now, request, board);
        self.answer.get(..self.length).filter(|answer| !answer.is_empty())
    }
    /// What is sent unasked now, if it is time.
    pub fn poll(&mut self, now: Instant, board: &impl Board) -> Option<&[u8]> {
        if now < self.upload? {
            return None;
        }
        self.upload = Some(now.after(UPLOAD_PERIOD));
        let end = self.put_all(HEADER, &board.view());
        self.finish(end, command::READ_ALL, 2, 0);
        self.answer.get(..self.length)
    }
    /// The last frame that [`Uart::receive`] or [`Uart::poll`] gave.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        self.answer.get(..self.length).unwrap_or(&[])
    }
    /// When [`Uart::poll`] has something.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.upload
    }

    fn answer(&mut self, now: Instant, request: View4e57<'_>, board: &mut impl Board) {
        let terminal = request.terminal();
        let (id, value) = match request.data() {
            [] => (0, &[][..]),
            [id, value @ ..] => (*id, value),
        };
        let end = match request.command() {
            command::READ_ALL => Some(self.put_all(HEADER, &board.view())),
            // One client reads all with identifier 0.
            command::READ if id == 0 => Some(self.put_all(HEADER, &board.view())),
            command::READ => self.put_one(id, &board.view()),
            command::ACTIVATE => Some(HEADER),
            command::PASSWORD => {
                // Some send an empty one before each write; that is no attempt.
                let password = value.split(|byte| *byte == 0).next().unwrap_or(&[]);
                if !password.is_empty() {
                    // What it allows is asked when something is written.
                    let _ = board.access().log_in(&mut self.session, now, PasswordKind::Settings, password);
                }
                put(&mut self.answer, HEADER, 1, Order::Big, i64::from(id));
                Some(HEADER + 1)
            }
            command::WRITE => {
                let done = match change(id, value) {
                    Some(change) => board.change(&self.session, now, change).is_ok(),
                    None => {
                        board.access().note_change(now, false);
                        false
                    }
                };
                // There is no negative answer: a refused write is not answered.
                put(&mut self.answer, HEADER, 1, Order::Big, i64::from(id));
                done.then_some(HEADER + 1)
            }
            _ => None,
        };
        if let Some(end) = end {
            self.finish(end, request.command(), 1, terminal);
        }
    }
    fn put_one(&mut self, id: u8, view: &View<'_>) -> Option<usize> {
        if id == CELLS {
            return Some(self.put_cells(HEADER, view));
        }
        let row = row(id)?;
        put(&mut self.answer, HEADER, 1, Order::Big, i64::from(id));
        Some(put_item(&mut self.answer, HEADER + 1, row, view))
    }
    fn put_all(&mut self, at: usize, view: &View<'_>) -> usize {
        let mut at = self.put_cells(at, view);
        for row in IDENTIFIERS {
            put(&mut self.answer, at, 1, Order::Big, i64::from(row.id));
            at = put_item(&mut self.answer, at.saturating_add(1), row, view);
        }
        at
    }
    fn put_cells(&mut self, at: usize, view: &View<'_>) -> usize {
        let count = view.telemetry.cell_count.min(32);
        put(&mut self.answer, at, 1, Order::Big, i64::from(CELLS));
        put(&mut self.answer, at.saturating_add(1), 1, Order::Big, i64::from(count.saturating_mul(3)));
        let cell = field(0, U16, Q::Cell, 1_000);
        let mut at = at.saturating_add(2);
        for index in 0..count {
            put(&mut self.answer, at, 1, Order::Big, i64::from(index.saturating_add(1)));
            put(&mut self.answer, at.saturating_add(1), 2, Order::Big, cell.raw(view, index));
            at = at.saturating_add(3);
        }
        at
    }
    fn finish(&mut self, end: usize, command: u8, transport: u8, terminal: u64) {
        let frame = &mut self.answer;
        let total = end.saturating_add(TRAILER);
        put_text(frame, 0, 2, &[0x4e, 0x57]);
        put(frame, 2, 2, Order::Big, i64::try_from(total.saturating_sub(2)).unwrap_or(0));
        put(frame, 4, 4, Order::Big, i64::try_from(terminal).unwrap_or(0));
        put_text(frame, 8, 3, &[command, 0, transport]);
        put(frame, end, 4, Order::Big, 0);
        put(frame, end.saturating_add(4), 1, Order::Big, 0x68);
        let sum = sum16(frame.get(..total.saturating_sub(4)).unwrap_or(&[]));
        put(frame, end.saturating_add(5), 4, Order::Big, i64::from(sum));
        self.length = total.min(frame.len());
    }
}

/// The change that a write asks for.
#[must_use]
pub fn change(id: u8, value: &[u8]) -> Option<Change> {
    let row = row(id)?;
    if value.len() != row.width() {
        return None;
    }
    match row.item {
        Item::Number(field) => field.change(field.read(value, Order::Big, 0)),
        Item::Text(Text::Name, _) => {
            let length = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
            DeviceName::new(value.get(..length)?).ok().map(Change::Name)
        }
        _ => None,
    }
}
