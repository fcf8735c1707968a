//! Native frames: 300 bytes, the same over Bluetooth and the RS485 trigger; and the 20-byte requests of Bluetooth.

mod tables;

pub use tables::{CELL_INFO, DEVICE_INFO, DEVICE_TEXTS, Layout, Row, SETTINGS, Text, action};

use crate::board::View;
use crate::bytes::{Found, Framing, Order, get, put, put_text, sum8};
use crate::field::Quantity;
use crate::logbook::Logbook;

/// Length of a native frame.
pub const FRAME_LENGTH: usize = 300;
/// Length of a request and of the acknowledgement.
pub const REQUEST_LENGTH: usize = 20;
const HEAD: [u8; 4] = [0x55, 0xaa, 0xeb, 0x90];
const REQUEST_HEAD: [u8; 4] = [0xaa, 0x55, 0x90, 0xeb];
/// The acknowledgement after an answer and after every accepted write.
pub const ACK: [u8; REQUEST_LENGTH] = [0xaa, 0x55, 0x90, 0xeb, 0xc8, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x44];

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum FrameType {
    /// The settings.
    Settings = 1,
    /// Cells and everything measured.
    CellInfo = 2,
    /// Who the board is.
    DeviceInfo = 3,
    /// The logbook.
    Logbook = 5,
}

impl FrameType {
    /// The type with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Settings),
            2 => Some(Self::CellInfo),
            3 => Some(Self::DeviceInfo),
            5 => Some(Self::Logbook),
            _ => None,
        }
    }
    /// The table of its numbers.
    #[must_use]
    pub const fn table(self) -> &'static [Row] {
        match self {
            Self::Settings => SETTINGS,
            Self::CellInfo => CELL_INFO,
            Self::DeviceInfo => DEVICE_INFO,
            Self::Logbook => &[],
        }
    }
}

/// The text of a view.
#[must_use]
pub fn text<'a>(view: &View<'a>, text: Text) -> &'a [u8] {
    match text {
        Text::Model => view.identity.model.as_bytes(),
        Text::Hardware => view.identity.hardware.as_bytes(),
        Text::Software => view.identity.software.as_bytes(),
        Text::Name => view.name.as_bytes(),
        Text::Manufactured => view.identity.manufactured.as_bytes(),
        Text::Serial => view.identity.serial.as_bytes(),
        Text::Maker => view.identity.maker.as_bytes(),
        Text::Mask => b"****",
    }
}

/// Fills a frame with everything but its checksum. `order` is the byte order of its numbers.
pub fn fill(frame: &mut [u8; FRAME_LENGTH], kind: FrameType, layout: Layout, order: Order, view: &View<'_>) {
    frame.fill(0);
    put_text(frame, 0, HEAD.len(), &HEAD);
    put(frame, 4, 1, order, i64::from(kind as u8));
    for row in kind.table() {
        if let Some(field) = row.in_layout(layout) {
            field.encode(frame, order, view);
        }
    }
    if kind == FrameType::DeviceInfo {
        for (at, width, what) in DEVICE_TEXTS {
            put_text(frame, usize::from(*at), usize::from(*width), text(view, *what));
        }
    }
}

/// A complete frame in the native byte order.
pub fn encode(frame: &mut [u8; FRAME_LENGTH], kind: FrameType, layout: Layout, counter: u8, view: &View<'_>) {
    fill(frame, kind, layout, Order::Little, view);
    finish(frame, counter);
}

/// The logbook frame: the newest 50 entries.
pub fn encode_logbook(frame: &mut [u8; FRAME_LENGTH], counter: u8, logbook: &Logbook) {
    frame.fill(0);
    put_text(frame, 0, HEAD.len(), &HEAD);
    put(frame, 4, 1, Order::Little, i64::from(FrameType::Logbook as u8));
    put(frame, 6, 4, Order::Little, i64::try_from(logbook.len()).unwrap_or(0));
    let mut at = 11_usize;
    for entry in logbook.iter() {
        put(frame, at, 4, Order::Little, i64::from(entry.seconds));
        put(frame, at.saturating_add(4), 1, Order::Little, i64::from(entry.code));
        at = at.saturating_add(5);
    }
    finish(frame, counter);
}

fn finish(frame: &mut [u8; FRAME_LENGTH], counter: u8) {
    put(frame, 5, 1, Order::Little, i64::from(counter));
    let sum = frame.split_last().map_or(0, |(_, rest)| sum8(rest));
    put(frame, FRAME_LENGTH - 1, 1, Order::Little, i64::from(sum));
}

/// A received native frame: the raw view, checked for head, length and sum.
#[derive(Clone, Copy, Debug)]
pub struct NativeFrame<'a> {
    bytes: &'a [u8; FRAME_LENGTH],
    kind: FrameType,
}

/// What is wrong with a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrameError {
    /// Fewer than 300 bytes.
    TooShort,
    /// It does not begin with 55 AA EB 90.
    Head,
    /// An unknown type.
    Type(u8),
    /// The sum in the last byte is wrong.
    Sum,
}

impl<'a> NativeFrame<'a> {
    /// Looks at the first 300 bytes; what follows them (an acknowledgement, `AT`) is not of the frame.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let bytes = bytes.first_chunk::<FRAME_LENGTH>().ok_or(FrameError::TooShort)?;
        if !bytes.starts_with(&HEAD) {
            return Err(FrameError::Head);
        }
        let number = bytes.get(4).copied().unwrap_or(0);
        let kind = FrameType::from_number(number).ok_or(FrameError::Type(number))?;
        match bytes.split_last() {
            Some((sum, rest)) if *sum == sum8(rest) => Ok(Self { bytes, kind }),
            _ => Err(FrameError::Sum),
        }
    }
    /// What it carries.
    #[must_use]
    pub const fn kind(&self) -> FrameType {
        self.kind
    }
    /// Its counter.
    #[must_use]
    pub fn counter(&self) -> u8 {
        self.bytes.get(5).copied().unwrap_or(0)
    }
    /// The value of a quantity, in the quantity's unit; `None` if this frame has none or does not know it.
    #[must_use]
    pub fn value(&self, layout: Layout, quantity: Quantity, index: u8) -> Option<i64> {
        let field = self.kind.table().iter().find(|row| row.field.quantity == quantity)?.in_layout(layout)?;
        (index < field.count).then(|| field.read(self.bytes, Order::Little, index)).and_then(|raw| field.value(raw))
    }
    /// A text of a device frame, up to its first NUL.
    #[must_use]
    pub fn text(&self, text: Text) -> Option<&'a [u8]> {
        let (at, width, _) = DEVICE_TEXTS.iter().find(|(_, _, what)| *what == text)?;
        let field = self.bytes.get(usize::from(*at)..)?.get(..usize::from(*width))?;
        let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        field.get(..length).filter(|_| self.kind == FrameType::DeviceInfo)
    }
}

/// A request of Bluetooth: a command or a register with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request {
    /// The command or register.
    pub register: u8,
    /// Length of the value, 0 to 13.
    pub length: u8,
    /// The value's bytes; what is beyond the length is filler and not kept.
    pub value: [u8; 13],
}

impl Request {
    /// From 20 bytes; `None` if head, length or sum is wrong.
    #[must_use]
    pub fn new(bytes: &[u8; REQUEST_LENGTH]) -> Option<Self> {
        let (sum, rest) = bytes.split_last()?;
        let length = *bytes.get(5)?;
        if !bytes.starts_with(&REQUEST_HEAD) || *sum != sum8(rest) || length > 13 {
            return None;
        }
        let mut value = [0; 13];
        let used = bytes.get(6..)?.get(..usize::from(length))?;
        value.iter_mut().zip(used).for_each(|(to, from)| *to = *from);
        Some(Self { register: *bytes.get(4)?, length, value })
    }
    /// The bytes of a request.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; REQUEST_LENGTH] {
        let mut bytes = [0; REQUEST_LENGTH];
        put_text(&mut bytes, 0, 4, &REQUEST_HEAD);
        put(&mut bytes, 4, 1, Order::Little, i64::from(self.register));
        put(&mut bytes, 5, 1, Order::Little, i64::from(self.length.min(13)));
        put_text(&mut bytes, 6, 13, self.value.get(..usize::from(self.length)).unwrap_or(&self.value));
        let sum = bytes.split_last().map_or(0, |(_, rest)| sum8(rest));
        put(&mut bytes, REQUEST_LENGTH - 1, 1, Order::Little, i64::from(sum));
        bytes
    }
    /// The value's 1 to 4 bytes as a number; `None` for another length.
    #[must_use]
    pub fn number(&self, signed: bool) -> Option<i64> {
        let width = usize::from(self.length);
        if !(1..=4).contains(&width) {
            return None;
        }
        let bits = i64::try_from(get(&self.value, 0, width, Order::Little)).ok()?;
        let sign = 1_i64.checked_shl(u32::from(self.length).saturating_mul(8).saturating_sub(1))?;
        Some(if signed && bits & sign != 0 { bits.saturating_sub(sign.saturating_mul(2)) } else { bits })
    }
}

/// Finds requests in what is written to the characteristic.
#[derive(Clone, Copy, Debug)]
pub struct RequestFraming;

impl Framing for RequestFraming {
    fn look(bytes: &[u8]) -> Found {
        let known = bytes.len().min(REQUEST_HEAD.len());
        if bytes.get(..known) != REQUEST_HEAD.get(..known) {
            return Found::Garbage;
        }
        match bytes.first_chunk() {
            None => Found::Incomplete,
            Some(frame) if Request::new(frame).is_some() => Found::Frame(REQUEST_LENGTH),
            Some(_) => Found::Garbage,
        }
    }
}
