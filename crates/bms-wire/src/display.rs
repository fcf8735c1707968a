//! The serial display: RS485, 2400 8N1, one frame a second, without a checksum.

use bms_core::time::{Duration, Instant};

use crate::board::{Board, View};
use crate::bytes::{Order, put_text};
use crate::field::Kind::{I16, U16};
use crate::field::{Field, Quantity as Q, field};

/// Length of a frame.
pub const FRAME_LENGTH: usize = 96;
/// How often.
pub const PERIOD: Duration = Duration::from_millis(1_000);
/// Start, 93 bytes follow, "write variables" from 1000 on.
const HEAD: [u8; 6] = [0xa5, 0x5a, 0x5d, 0x82, 0x10, 0x00];

const fn flag(at: u16, native_bits: u32) -> Field {
    field(at, U16, Q::AlarmIn(native_bits), 1)
}

/// Everything on the display; offsets are of the data behind the head.
#[rustfmt::skip]
pub const TABLE: &[Field] = &[
    field( 0, U16, Q::PackVoltage, 10_000),
    field( 2, I16, Q::Current, 100),
    field( 4, U16, Q::Constant(0), 1),
    field( 6, U16, Q::StateOfCharge, 10),
    field( 8, U16, Q::CellSpread, 1_000),
    field(10, I16, Q::Mos, 10),
    field(12, I16, Q::FirstTemperature, 10),
    field(14, U16, Q::AnyAlarm, 1),
    field(16, U16, Q::AverageCell, 1_000),
    field(18, U16, Q::BalanceSwitch, 1),
    field(20, U16, Q::ChargeOn, 1),
    field(22, U16, Q::DischargeOn, 1),
    field(24, U16, Q::Cell, 1_000).times(24),
    flag(72, 1 << 11 | 1 << 12), // cell under
    flag(74, 1 << 4 | 1 << 5), // cell over
    flag(76, 1 << 6 | 1 << 13 | 1 << 25 | 1 << 26), // overcurrent
    flag(78, 1 << 1), // switches hot
    flag(80, 1 << 8 | 1 << 15 | 1 << 21), // battery hot
    flag(82, 1 << 7 | 1 << 14 | 1 << 24), // short circuit
    flag(84, 1 << 10), // coprocessor
    flag(86, 1), // wire resistance
    flag(88, 1 << 2), // cell count
];

/// One frame.
#[must_use]
pub fn encode(view: &View<'_>) -> [u8; FRAME_LENGTH] {
    let mut frame = [0; FRAME_LENGTH];
    put_text(&mut frame, 0, HEAD.len(), &HEAD);
    if let Some(data) = frame.get_mut(HEAD.len()..) {
        for field in TABLE {
            field.encode(data, Order::Big, view);
        }
    }
    frame
}

/// The value of a quantity in a received frame; `None` if it is none. Some boards start with the first two bytes the
/// other way round.
#[must_use]
pub fn value(frame: &[u8], quantity: Q, index: u8) -> Option<i64> {
    let frame = frame.first_chunk::<FRAME_LENGTH>()?;
    let swapped = frame.starts_with(&[0x5a, 0xa5]);
    if !(frame.starts_with(&[0xa5, 0x5a]) || swapped) || frame.get(2..6) != HEAD.get(2..6) {
        return None;
    }
    let field = TABLE.iter().find(|field| field.quantity == quantity)?;
    (index < field.count)
        .then(|| field.read(frame.get(HEAD.len()..).unwrap_or(&[]), Order::Big, index))
        .and_then(|raw| field.value(raw))
}

/// The board's side: it only speaks.
#[derive(Clone, Debug, Default)]
pub struct Display {
    due: Instant,
}

impl Display {
    /// A frame is due at once.
    #[must_use]
    pub const fn new() -> Self {
        Self { due: Instant::ZERO }
    }
    /// The frame to send now, if one is due.
    pub fn poll(&mut self, now: Instant, board: &impl Board) -> Option<[u8; FRAME_LENGTH]> {
        if now < self.due {
            return None;
        }
        self.due = now.after(PERIOD);
        Some(encode(&board.view()))
    }
    /// When a frame is due again.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.due
    }
}
