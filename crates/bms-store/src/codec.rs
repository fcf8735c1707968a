//! Bytes in and out: little-endian fields behind bounds, and the envelope of a record.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// No table: 1 kB of flash is worth more here than a few microseconds.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Every byte of a record is stored XOR this, so that runs of 0xFF in a payload ("none", "not measured") never look like
/// erased flash.
const WHITENING: u8 = 0xA5;

#[cfg(test)]
/// Bytes of an envelope around a payload: kind, version, length (2), sequence (4) before it, CRC-32 (4) behind it.
pub(crate) const ENVELOPE: usize = 12;

/// A buffer is full or at its end, or a value is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends fields to a buffer.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0, full: false }
    }
    pub fn bytes(&mut self, bytes: &[u8]) {
        // In two steps, so that the compiler sees that the lengths are the same.
        match self.buffer.get_mut(self.length..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(slot) => {
                slot.copy_from_slice(bytes);
                self.length = self.length.saturating_add(bytes.len());
            }
            None => self.full = true,
        }
    }
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }
    pub fn i16(&mut self, value: i16) {
        self.bytes(&value.to_le_bytes());
    }
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }
    pub fn i32(&mut self, value: i32) {
        self.bytes(&value.to_le_bytes());
    }
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_le_bytes());
    }
    /// How much was written, if all of it had room.
    pub fn finish(self) -> Result<usize, Malformed> {
        if self.full { Err(Malformed) } else { Ok(self.length) }
    }
}

/// Takes fields off a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_le_bytes)
    }
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }
    /// Nothing may be left over.
    pub const fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// An opened envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub kind: u8,
    pub version: u8,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// Puts a payload into an envelope; gives the length of the whole.
pub(crate) fn seal(
    buffer: &mut [u8],
    (kind, version): (u8, u8),
    sequence: u32,
    payload: impl FnOnce(&mut Writer<'_>),
) -> Result<usize, Malformed> {
    let (head, rest) = buffer.split_at_mut_checked(8).ok_or(Malformed)?;
    let mut body = Writer::new(rest);
    payload(&mut body);
    let length = body.finish()?;
    let mut header = Writer::new(head);
    header.u8(kind);
    header.u8(version);
    header.u16(u16::try_from(length).map_err(|_| Malformed)?);
    header.u32(sequence);
    header.finish()?;
    let sealed = length.saturating_add(8);
    let sum = CRC.checksum(buffer.get(..sealed).ok_or(Malformed)?);
    let mut tail = Writer::new(buffer.get_mut(sealed..).ok_or(Malformed)?);
    tail.u32(sum);
    let whole = sealed.saturating_add(tail.finish()?);
    whiten(buffer.get_mut(..whole).ok_or(Malformed)?);
    Ok(whole)
}

/// Opens an envelope in place.
pub(crate) fn open(bytes: &mut [u8]) -> Result<Record<'_>, Malformed> {
    whiten(bytes);
    let (sealed, sum) = bytes.split_last_chunk::<4>().ok_or(Malformed)?;
    if CRC.checksum(sealed) != u32::from_le_bytes(*sum) {
        return Err(Malformed);
    }
    let mut reader = Reader::new(sealed);
    let (kind, version, length, sequence) = (reader.u8()?, reader.u8()?, reader.u16()?, reader.u32()?);
    let payload = reader.take(usize::from(length))?;
    reader.end()?;
    Ok(Record { kind, version, sequence, payload })
}

fn whiten(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= WHITENING;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_opens_again_and_every_flipped_bit_is_noticed() {
        let mut buffer = [0; 64];
        let length = seal(&mut buffer, (3, 1), 7, |out| out.bytes(&[0xFF; 20])).unwrap();
        assert_eq!(length, 20 + ENVELOPE);
        assert!(!buffer[..length].windows(4).any(|run| run == [0xFF; 4]), "looks erased");
        let sealed = buffer;
        let record = open(&mut buffer[..length]).unwrap();
        assert_eq!((record.kind, record.version, record.sequence, record.payload), (3, 1, 7, &[0xFF; 20][..]));
        for bit in 0..length * 8 {
            let mut flipped = sealed;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&mut flipped[..length]), Err(Malformed), "bit {bit}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(seal(&mut [0; 16], (0, 0), 0, |out| out.bytes(&[0; 9])), Err(Malformed));
        assert_eq!(open(&mut [0; 3]), Err(Malformed));
        assert_eq!(open(&mut []), Err(Malformed));
    }
}
