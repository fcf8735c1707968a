//! State of charge with its confidence, capacity, cycles, run time, and what the estimator has learned.

use bms_core::estimation::Learned;
use bms_core::snapshot::Snapshot;
use bms_core::units::Charge;

use crate::codec::{Malformed, Reader, Writer};

/// The part of a [`Snapshot`] that changes all the time, and the store's own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Charge in the pack, if it was known.
    pub remaining: Option<Charge>,
    /// Capacity as learned.
    pub capacity: Charge,
    /// Cumulative discharged charge.
    pub cycle_capacity: Charge,
    /// Times charged to full.
    pub cycles: u32,
    /// Run time since the first start, in seconds.
    pub run_time_seconds: u64,
    /// What the estimator has learned beside that.
    pub learned: Learned,
    /// How often the firmware has started.
    pub starts: u32,
    /// The number of the next event, so that none is ever used twice, even if the log is lost.
    pub next_event: u32,
    /// Seconds since 1970 when this was saved, if the board has a calendar.
    pub saved_at: Option<u64>,
}

impl Counters {
    /// Of a new board.
    pub const NONE: Self = Self {
        remaining: None,
        capacity: Charge::ZERO,
        cycle_capacity: Charge::ZERO,
        cycles: 0,
        run_time_seconds: 0,
        learned: Learned {
            soc_sigma_millionths: 0,
            shown_permille: 0,
            capacity_sigma_permille: 0,
            resistance_permille: 0,
            current_offset_microamps: 0,
            hysteresis_permille: 0,
            discharged_since_full: None,
            anchor_millionths_plus_one: 0,
            anchor_sigma_millionths: 0,
            since_anchor: Charge::ZERO,
        },
        starts: 0,
        next_event: 0,
        saved_at: None,
    };

    /// That part of a snapshot; the store's own counts are zero.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            remaining: snapshot.remaining,
            capacity: snapshot.capacity,
            cycle_capacity: snapshot.cycle_capacity,
            cycles: snapshot.cycles,
            run_time_seconds: snapshot.run_time_seconds,
            learned: snapshot.learned,
            ..Self::default()
        }
    }

    /// Version 2. Version 1 ends after `saved_at`.
    pub(crate) fn encode(&self, out: &mut Writer<'_>) {
        option(out, self.remaining.map(Charge::as_milliamp_millis));
        out.i64(self.capacity.as_milliamp_millis());
        out.i64(self.cycle_capacity.as_milliamp_millis());
        out.u32(self.cycles);
        out.u64(self.run_time_seconds);
        out.u32(self.starts);
        out.u32(self.next_event);
        out.u64(self.saved_at.unwrap_or(NO_CALENDAR));
        let learned = &self.learned;
        out.u32(learned.soc_sigma_millionths);
        out.u16(learned.shown_permille);
        out.u16(learned.capacity_sigma_permille);
        out.u16(learned.resistance_permille);
        out.i32(learned.current_offset_microamps);
        out.i16(learned.hysteresis_permille);
        option(out, learned.discharged_since_full.map(Charge::as_milliamp_millis));
        out.u32(learned.anchor_millionths_plus_one);
        out.u32(learned.anchor_sigma_millionths);
        out.i64(learned.since_anchor.as_milliamp_millis());
    }
    /// Version 1 knew no learned values: nothing was learned then.
    pub(crate) fn decode(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(payload);
        let mut counters = Self {
            remaining: charge(&mut input)?,
            capacity: Charge::from_milliamp_millis(input.i64()?),
            cycle_capacity: Charge::from_milliamp_millis(input.i64()?),
            cycles: input.u32()?,
            run_time_seconds: input.u64()?,
            starts: input.u32()?,
            next_event: input.u32()?,
            saved_at: Some(input.u64()?).filter(|seconds| *seconds != NO_CALENDAR),
            learned: Learned::default(),
        };
        if version >= 2 {
            counters.learned = Learned {
                soc_sigma_millionths: input.u32()?,
                shown_permille: input.u16()?,
                capacity_sigma_permille: input.u16()?,
                resistance_permille: input.u16()?,
                current_offset_microamps: input.i32()?,
                hysteresis_permille: input.i16()?,
                discharged_since_full: charge(&mut input)?,
                anchor_millionths_plus_one: input.u32()?,
                anchor_sigma_millionths: input.u32()?,
                since_anchor: Charge::from_milliamp_millis(input.i64()?),
            };
        }
        input.end()?;
        let sane = counters.capacity >= Charge::ZERO
            && counters.cycle_capacity >= Charge::ZERO
            && counters.remaining.is_none_or(|remaining| remaining >= Charge::ZERO);
        if sane { Ok(counters) } else { Err(Malformed) }
    }
}

const NO_CALENDAR: u64 = u64::MAX;

fn option(out: &mut Writer<'_>, value: Option<i64>) {
    out.u8(u8::from(value.is_some()));
    out.i64(value.unwrap_or(0));
}

fn charge(input: &mut Reader<'_>) -> Result<Option<Charge>, Malformed> {
    let (known, value) = (input.u8()?, input.i64()?);
    match known {
        0 => Ok(None),
        1 => Ok(Some(Charge::from_milliamp_millis(value))),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    /// The bytes of version 1, as they were written: known charge 1 000, capacity 2 000, discharged 3 000, 4 cycles, 5 s,
    /// 6 starts, event 7, no calendar.
    const VERSION_1: [u8; 53] = {
        let mut bytes = [0; 53];
        (bytes[0], bytes[1], bytes[2]) = (1, 0xE8, 0x03);
        (bytes[9], bytes[10]) = (0xD0, 0x07);
        (bytes[17], bytes[18]) = (0xB8, 0x0B);
        (bytes[25], bytes[29], bytes[37], bytes[41]) = (4, 5, 6, 7);
        let mut place = 45;
        while place < 53 {
            bytes[place] = 0xFF;
            place += 1;
        }
        bytes
    };

    #[test]
    fn version_1_migrates() {
        let old = Counters::decode(1, &VERSION_1).unwrap();
        let expected = Counters {
            remaining: Some(Charge::from_milliamp_millis(1_000)),
            capacity: Charge::from_milliamp_millis(2_000),
            cycle_capacity: Charge::from_milliamp_millis(3_000),
            cycles: 4,
            run_time_seconds: 5,
            starts: 6,
            next_event: 7,
            ..Counters::NONE
        };
        assert_eq!(old, expected);
        // Its fields stand at the same place in version 2.
        let mut buffer = [0; 128];
        let mut out = Writer::new(&mut buffer);
        expected.encode(&mut out);
        let length = out.finish().unwrap();
        assert_eq!(buffer[..53], VERSION_1);
        assert_eq!(Counters::decode(2, &buffer[..length]), Ok(expected));
        assert_eq!(Counters::decode(2, &buffer[..53]), Err(Malformed));
    }

    #[test]
    fn impossible_counters_are_refused() {
        let mut bytes = VERSION_1;
        bytes[16] = 0x80;
        assert_eq!(Counters::decode(1, &bytes), Err(Malformed), "a negative capacity");
        bytes = VERSION_1;
        bytes[0] = 2;
        assert_eq!(Counters::decode(1, &bytes), Err(Malformed));
    }
}
