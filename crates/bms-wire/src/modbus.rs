//! RS485 Modbus of the PB boards, and the native frames on its trigger; several boards on one bus by address.
//!
//! A register address is a **byte offset** into the native tables: 0x1000 settings, 0x1200 live, 0x1400 device. Numbers
//! are big endian here. Other addresses and wrong checksums are met with silence.

use bms_core::access::{Change, Session};
use bms_core::bms::{Refusal, Request};
use bms_core::config::Chemistry;
use bms_core::time::{Duration, Instant};

use crate::board::Board;
use crate::bytes::{Accumulator, Found, Framing, Order, crc16, get, put, put_text};
use crate::field::{Field, Quantity};
use crate::native::{self, FRAME_LENGTH, FrameType, Layout};

/// Longest request: a write of 32 registers.
pub const MAXIMUM_REQUEST: usize = 9 + 64;
/// Longest answer: a native frame and its acknowledgement.
pub const MAXIMUM_ANSWER: usize = FRAME_LENGTH + 8;
/// Most registers in one read.
pub const MAXIMUM_READ: u16 = 122;
/// Bytes of a table.
const TABLE_LENGTH: usize = 294;
/// The bus is left alone for this long before an answer.
pub const TURNAROUND: Duration = Duration::from_millis(3);

const READ: u8 = 0x03;
const WRITE: u8 = 0x10;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Exception {
    /// A function that is not there.
    Function = 1,
    /// A register that is not there, cannot be written, or may not be written now.
    Register = 2,
    /// A value outside its range, or against another setting.
    Value = 3,
}

/// Finds requests of any address.
#[derive(Clone, Copy, Debug)]
pub struct RequestFraming;

impl Framing for RequestFraming {
    fn look(bytes: &[u8]) -> Found {
        let length = match bytes {
            [address, ..] if *address > 15 => return Found::Garbage,
            [_, WRITE, _, _, high, low, count, ..] => {
                let registers = u16::from_be_bytes([*high, *low]);
                if registers == 0 || registers > 32 || u16::from(*count) != registers.saturating_mul(2) {
                    return Found::Garbage;
                }
                usize::from(*count).saturating_add(9)
            }
            [_, WRITE, ..] | [_] => return Found::Incomplete,
            // Other functions have this length too, or are garbage.
            _ => 8,
        };
        match bytes.get(..length) {
            None => Found::Incomplete,
            Some(frame) if is_whole(frame) => Found::Frame(length),
            Some(_) => Found::Garbage,
        }
    }
}

/// Whether the last two bytes are the checksum of the rest.
#[must_use]
pub fn is_whole(frame: &[u8]) -> bool {
    frame.split_last_chunk::<2>().is_some_and(|(rest, crc)| u16::from_le_bytes(*crc) == crc16(rest))
}

/// The board's side of the bus.
#[derive(Clone, Debug)]
pub struct Modbus {
    address: u8,
    requests: Accumulator<RequestFraming, MAXIMUM_REQUEST>,
    session: Session,
    answer: [u8; MAXIMUM_ANSWER],
    length: usize,
    due: Instant,
}

impl Modbus {
    /// A board at an address, 1 to 15.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            requests: Accumulator::new(),
            session: Session::new(),
            answer: [0; MAXIMUM_ANSWER],
            length: 0,
            due: Instant::ZERO,
        }
    }
    /// One byte came. A request for this board makes an answer, which [`Modbus::poll`] gives; one that was not fetched yet
    /// is dropped.
    pub fn receive(&mut self, now: Instant, byte: u8, board: &mut impl Board) {
        let Some(frame) = self.requests.push(now, byte) else { return };
        let request = frame.as_bytes();
        let [address, function, high, low, rest @ ..] = request else { return };
        if *address != self.address {
            return;
        }
        let register = u16::from_be_bytes([*high, *low]);
        let count = u16::try_from(get(rest, 0, 2, Order::Big)).unwrap_or(0);
        self.length = 0;
        let result = match *function {
            READ => self.read(register, count, board),
            WRITE => {
                let data = rest.get(3..rest.len().saturating_sub(2)).unwrap_or(&[]);
                self.write(now, register, data, board).map(|()| self.acknowledge(request))
            }
            _ => Err(Exception::Function),
        };
        if let Err(exception) = result {
            put_text(&mut self.answer, 0, 3, &[self.address, function | 0x80, exception as u8]);
            self.finish(0, 3);
        }
        self.due = now.after(TURNAROUND);
    }
    /// The answer, when the bus may be used.
    pub fn poll(&mut self, now: Instant) -> Option<&[u8]> {
        if self.length == 0 || now < self.due {
            return None;
        }
        let length = core::mem::take(&mut self.length);
        self.answer.get(..length)
    }
    /// When [`Modbus::poll`] has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (self.length > 0).then_some(self.due)
    }

    fn finish(&mut self, start: usize, end: usize) {
        let crc = crc16(self.answer.get(start..end).unwrap_or(&[]));
        put(&mut self.answer, end, 2, Order::Little, i64::from(crc));
        self.length = end.saturating_add(2);
    }
    fn read(&mut self, register: u16, count: u16, board: &impl Board) -> Result<(), Exception> {
        let (kind, offset) = table(register).ok_or(Exception::Register)?;
        let bytes = usize::from(count).saturating_mul(2);
        let inside = offset.saturating_add(bytes) <= TABLE_LENGTH;
        if !offset.is_multiple_of(2) || count == 0 || count > MAXIMUM_READ || !inside {
            return Err(Exception::Register);
        }
        let mut frame = [0; FRAME_LENGTH];
        native::fill(&mut frame, kind, Layout::S32, Order::Big, &board.view());
        let part = frame.get(offset.saturating_add(6)..).unwrap_or(&[]);
        put_text(&mut self.answer, 0, 3, &[self.address, READ, u8::try_from(bytes).unwrap_or(0)]);
        put_text(&mut self.answer, 3, bytes, part);
        self.finish(0, bytes.saturating_add(3));
        Ok(())
    }
    /// The normal acknowledgement: the head of the request, behind the native frame if there is one.
    fn acknowledge(&mut self, request: &[u8]) {
        let start = self.length;
        put_text(&mut self.answer, start, 6, request);
        self.finish(start, start.saturating_add(6));
    }

    fn write(&mut self, now: Instant, register: u16, data: &[u8], board: &mut impl Board) -> Result<(), Exception> {
        if let Some(kind) = trigger(register) {
            let mut frame = [0; FRAME_LENGTH];
            // One client wants 0 where others have a counter.
            native::encode(&mut frame, kind, Layout::S32, 0, &board.view());
            put_text(&mut self.answer, 0, FRAME_LENGTH, &frame);
            self.length = FRAME_LENGTH;
            return Ok(());
        }
        let refuse = |board: &mut _| {
            Board::access(board).note_change(now, false);
            Err(Exception::Register)
        };
        if let Some(action) = register.checked_sub(0x1600) {
            let number = i32::try_from(get(data, 0, data.len(), Order::Big)).unwrap_or(-1);
            let charging = Quantity::IsCharging.value(&board.view(), 0) == Some(1);
            return match change_of_action(action, number, charging) {
                Some(change) => self.ask(now, change, board),
                None => refuse(board),
            };
        }
        let Some((FrameType::Settings, offset)) = table(register) else { return refuse(board) };
        let end = offset.saturating_add(data.len());
        let mut covered = 0_usize;
        let mut asked = false;
        for row in native::SETTINGS.iter().filter(|row| row.field.at != 0) {
            let field = row.field.moved(row.field.at.saturating_sub(6));
            let at = usize::from(field.at);
            if at < offset || at.saturating_add(field.length()) > end {
                continue;
            }
            let part = data.get(at.saturating_sub(offset)..).unwrap_or(&[]);
            let raw = field.moved(0).read(part, Order::Big, 0);
            covered = covered.saturating_add(field.length());
            // What shares its register with another and stays as it is needs no change.
            if data.len() > field.length() && raw == field.raw(&board.view(), 0) {
                continue;
            }
            asked = true;
            match change_of(&field, raw) {
                Some(change) => self.ask(now, change, board)?,
                None => return refuse(board),
            }
        }
        // Parts of fields, or nothing at all, cannot be written.
        if covered == data.len() && asked { Ok(()) } else { refuse(board) }
    }
    fn ask(&self, now: Instant, change: Change, board: &mut impl Board) -> Result<(), Exception> {
        board.change(&self.session, now, change).map_err(|refusal| match refusal {
            Refusal::Invalid(_) | Refusal::TooManyCells => Exception::Value,
            _ => Exception::Register,
        })
    }
}

fn change_of(field: &Field, raw: i64) -> Option<Change> {
    if field.count == 1 { field.change(raw) } else { None }
}

/// The table and the offset in it that a register means.
fn table(register: u16) -> Option<(FrameType, usize)> {
    let kind = match register & 0xfe00 {
        0x1000 => FrameType::Settings,
        0x1200 => FrameType::CellInfo,
        0x1400 => FrameType::DeviceInfo,
        _ => return None,
    };
    Some((kind, usize::from(register & 0x01ff)))
}

/// The native frame that a register triggers.
const fn trigger(register: u16) -> Option<FrameType> {
    match register {
        0x161c => Some(FrameType::DeviceInfo),
        0x161e => Some(FrameType::Settings),
        0x1620 => Some(FrameType::CellInfo),
        _ => None,
    }
}

/// What an action register does. There is none for a loader, and "emergency" (going on in spite of an alarm) has no
/// meaning here.
fn change_of_action(action: u16, number: i32, charging: bool) -> Option<Change> {
    let of_register = |register| native::action(register, i64::from(number), Layout::S32, charging);
    Some(match action {
        0x00 => of_register(0x64)?,
        0x04 => Change::Request(Request::Shutdown),
        0x06 => of_register(0x67)?,
        0x0a => Change::Preset(Chemistry::LiIon),
        0x0c => Change::Preset(Chemistry::LiFePo4),
        0x0e => Change::Preset(Chemistry::Lto),
        0x18 => Change::Request(Request::RestoreFactorySettings),
        _ => return None,
    })
}
