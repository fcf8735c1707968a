//! Numbers in byte buffers, without a panic; checksums; accumulators.

use bms_core::time::{Duration, Instant};

/// Which end of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The low byte.
    Little,
    /// The high byte.
    Big,
}

/// Puts the low `width` bytes of a number at a place; nothing happens if it does not fit there.
pub(crate) fn put(buffer: &mut [u8], at: usize, width: usize, order: Order, value: i64) {
    let Some(slot) = buffer.get_mut(at..at.saturating_add(width)) else { return };
    match order {
        Order::Little => slot.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from),
        Order::Big => slot.iter_mut().rev().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from),
    }
}

/// The number in `width` bytes at a place, zero beyond the end.
pub(crate) fn get(buffer: &[u8], at: usize, width: usize, order: Order) -> u64 {
    let Some(bytes) = buffer.get(at..at.saturating_add(width)) else { return 0 };
    let add = |value: u64, byte: &u8| value.wrapping_shl(8) | u64::from(*byte);
    match order {
        Order::Little => bytes.iter().rev().fold(0, add),
        Order::Big => bytes.iter().fold(0, add),
    }
}

/// Puts a text, cut or padded with NULs to a width.
pub(crate) fn put_text(buffer: &mut [u8], at: usize, width: usize, text: &[u8]) {
    let Some(slot) = buffer.get_mut(at..at.saturating_add(width)) else { return };
    slot.fill(0);
    slot.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
}

/// Arithmetic sum of the bytes, modulo 256.
#[must_use]
pub fn sum8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}
/// Arithmetic sum of the bytes, modulo 65536.
#[must_use]
pub fn sum16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(u16::from(*byte)))
}
/// The Modbus CRC; its low byte travels first.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 })
    })
}

/// What the bytes at the front of an accumulator are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Perhaps the start of a frame; more bytes are needed to tell.
    Incomplete,
    /// A frame of this many bytes, its checksum right.
    Frame(usize),
    /// Not the start of a frame.
    Garbage,
}

/// How the frames of a protocol are found. The answer for `Incomplete` must change before the buffer is full.
pub trait Framing {
    /// Looks at the first bytes; never empty.
    fn look(bytes: &[u8]) -> Found;
}

/// Collects bytes in any chunking until a frame is complete; finds the next frame after garbage.
///
/// Each byte is stored once. Looking for a frame takes at most one checksum for each byte that may start one, so the
/// work of one byte is bounded by the buffer's size squared.
#[derive(Clone, Debug)]
pub struct Accumulator<F, const N: usize> {
    buffer: [u8; N],
    length: usize,
    last: Instant,
    framing: core::marker::PhantomData<F>,
}

/// A frame that is not complete after this long is garbage: no client pauses so long inside one.
const PAUSE: Duration = Duration::from_millis(1_000);

impl<F: Framing, const N: usize> Accumulator<F, N> {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0; N], length: 0, last: Instant::ZERO, framing: core::marker::PhantomData }
    }
    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.length = 0;
    }
    /// Takes one byte; gives the frame that it completes. What follows a frame is kept for the next call of
    /// [`Accumulator::next_frame`].
    pub fn push(&mut self, now: Instant, byte: u8) -> Option<Frame<N>> {
        if now.since(self.last) > PAUSE {
            self.length = 0;
        }
        self.last = now;
        if let Some(slot) = self.buffer.get_mut(self.length) {
            *slot = byte;
            self.length = self.length.saturating_add(1);
        }
        self.next_frame()
    }
    /// The next complete frame of what was collected.
    pub fn next_frame(&mut self) -> Option<Frame<N>> {
        let collected = self.buffer.get(..self.length)?;
        let mut start = 0_usize;
        let mut found = None;
        while let Some(rest) = collected.get(start..).filter(|rest| !rest.is_empty()) {
            match F::look(rest) {
                // A full buffer that still waits holds no frame at its front.
                Found::Incomplete if start > 0 || self.length < N => break,
                Found::Incomplete | Found::Garbage => start = start.saturating_add(1),
                Found::Frame(length) => {
                    found = rest.get(..length).map(Frame::new);
                    start = start.saturating_add(length);
                    break;
                }
            }
        }
        // By cells, because a panic of `copy_within` could not be ruled out when linking.
        let cells = core::cell::Cell::from_mut(self.buffer.as_mut_slice()).as_slice_of_cells();
        cells.iter().zip(cells.get(start..).unwrap_or(&[])).for_each(|(to, from)| to.set(from.get()));
        self.length = self.length.saturating_sub(start);
        found
    }
}

impl<F: Framing, const N: usize> Default for Accumulator<F, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame, copied out of its accumulator.
#[derive(Clone, Copy, Debug)]
pub struct Frame<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Frame<N> {
    fn new(frame: &[u8]) -> Self {
        let mut bytes = [0; N];
        bytes.iter_mut().zip(frame).for_each(|(to, from)| *to = *from);
        Self { bytes, length: frame.len().min(N) }
    }
    /// The bytes of the frame and nothing else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

/// The bits of a single-precision number `value / divisor`, rounded to nearest, ties to even; made of integers only.
#[must_use]
pub fn f32_bits(value: i64, divisor: u32) -> u32 {
    let magnitude = value.unsigned_abs();
    if magnitude == 0 || divisor == 0 {
        return 0;
    }
    let divisor = u64::from(divisor);
    let sign = if value < 0 { 0x8000_0000 } else { 0 };
    // The quotient in 40 bits or a little more: magnitude × 2^shift / divisor.
    let room = magnitude.leading_zeros();
    let scaled = magnitude.checked_shl(room).unwrap_or(0);
    let quotient = scaled.checked_div(divisor).unwrap_or(0);
    let mut sticky = scaled.checked_rem(divisor).unwrap_or(0) != 0;
    if quotient == 0 {
        return sign;
    }
    // Normalise to 24 bits.
    let zeros = quotient.leading_zeros();
    let drop = 40_u32.saturating_sub(zeros);
    let mut mantissa = quotient.checked_shr(drop).unwrap_or(0);
    let rest = quotient & 1_u64.checked_shl(drop).unwrap_or(0).wrapping_sub(1);
    let half = 1_u64.checked_shl(drop).unwrap_or(0) >> 1;
    sticky |= rest & half.wrapping_sub(1) != 0;
    // 2^exponent is the weight of the mantissa's lowest bit.
    let mut exponent = i32::try_from(drop).unwrap_or(0).saturating_sub(i32::try_from(room).unwrap_or(0));
    if rest & half != 0 && (sticky || mantissa & 1 == 1) {
        mantissa = mantissa.saturating_add(1);
        if mantissa == 1 << 24 {
            mantissa >>= 1;
            exponent = exponent.saturating_add(1);
        }
    }
    let biased = exponent.saturating_add(150);
    let Ok(biased) = u32::try_from(biased) else { return sign };
    let fraction = u32::try_from(mantissa & 0x007f_ffff).unwrap_or(0);
    sign | biased.min(254).wrapping_shl(23) | fraction
}
