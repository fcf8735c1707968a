//! CAN frames as candump and cansend write them: `351#28020000`, `18F128F4#0102`.

use std::fmt;

use embedded_can::{ExtendedId, Frame, Id, StandardId};

use super::links::{from_hex, to_hex};

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanFrame {
    id: Id,
    data: Vec<u8>,
}

impl Frame for CanFrame {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        (data.len() <= 8).then(|| Self { id: id.into(), data: data.to_vec() })
    }
    fn new_remote(_id: impl Into<Id>, _dlc: usize) -> Option<Self> {
        None
    }
    fn is_extended(&self) -> bool {
        matches!(self.id, Id::Extended(_))
    }
    fn is_remote_frame(&self) -> bool {
        false
    }
    fn id(&self) -> Id {
        self.id
    }
    fn dlc(&self) -> usize {
        self.data.len()
    }
    fn data(&self) -> &[u8] {
        &self.data
    }
}

impl CanFrame {
    /// From a line; what stands before the last word (time, interface) does not matter.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let (id, data) = line.split_whitespace().last()?.split_once('#')?;
        let number = u32::from_str_radix(id, 16).ok()?;
        // Three digits are a standard identifier, eight an extended one.
        let id = match id.len() {
            1..=3 => StandardId::new(u16::try_from(number).ok()?).map(Id::Standard)?,
            4..=8 => ExtendedId::new(number).map(Id::Extended)?,
            _ => return None,
        };
        Self::new(id, &from_hex(&data.replace('.', ""))?)
    }
}

impl fmt::Display for CanFrame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Id::Standard(id) => write!(out, "{:03X}", id.as_raw())?,
            Id::Extended(id) => write!(out, "{:08X}", id.as_raw())?,
        }
        write!(out, "#{}", to_hex(&self.data).to_uppercase())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn lines_go_there_and_back() {
        for line in ["351#2802F401", "18F128F4#", "7FF#0102030405060708"] {
            assert_eq!(CanFrame::from_line(line).unwrap().to_string(), line);
        }
        assert_eq!(CanFrame::from_line(" (1.5) can0 305#00.00").unwrap().to_string(), "305#0000");
        for line in ["", "351", "800#00", "351#0", "351#010203040506070809", "20000000#00", "xyz#00"] {
            assert_eq!(CanFrame::from_line(line), None, "{line}");
        }
    }
}
