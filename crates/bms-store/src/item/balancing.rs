//! What the balancing strategy has learned, as a payload.

use bms_core::balancing::LearnedBalance;

use crate::codec::{Malformed, Reader, Writer};

/// Version 1: efficiency in thousandths (2), doubt (2), surplus of 32 cells (2 each, the lowest number: not known), in 1/8192 of
/// the capacity.
pub(crate) fn encode(learned: &LearnedBalance, out: &mut Writer<'_>) {
    out.u16(learned.efficiency_permille);
    out.u16(learned.doubt);
    learned.surplus.iter().for_each(|surplus| out.i16(*surplus));
}

pub(crate) fn decode(payload: &[u8]) -> Result<LearnedBalance, Malformed> {
    let mut input = Reader::new(payload);
    let mut learned = LearnedBalance::NOTHING;
    learned.efficiency_permille = input.u16()?;
    learned.doubt = input.u16()?;
    for surplus in &mut learned.surplus {
        *surplus = input.i16()?;
    }
    input.end()?;
    if learned.efficiency_permille <= 1_000 { Ok(learned) } else { Err(Malformed) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_nonsense_is_refused() {
        let mut learned = LearnedBalance { efficiency_permille: 903, doubt: 45, ..LearnedBalance::NOTHING };
        learned.surplus[..3].copy_from_slice(&[-300, 0, 299]);
        let mut buffer = [0; 128];
        let mut out = Writer::new(&mut buffer);
        encode(&learned, &mut out);
        let length = out.finish().unwrap();
        assert_eq!(decode(&buffer[..length]), Ok(learned));
        assert_eq!(decode(&buffer[..length - 1]), Err(Malformed));
        assert_eq!(decode(&buffer[..=length]), Err(Malformed));
        buffer[1] = 0xFF;
        assert_eq!(decode(&buffer[..length]), Err(Malformed), "more comes out than goes in");
    }
}
