//! Lifetime statistics as a payload.

use crate::codec::{Malformed, Reader, Writer};
use crate::statistics::Statistics;

/// Version 1: temperature (14 × 4), voltage (16 × 4), current (14 × 4), trips (64 × 2), lowest and highest cell (2 × 2),
/// coldest and warmest (2 × 2), largest currents (2 × 4).
pub(crate) fn encode(statistics: &Statistics, out: &mut Writer<'_>) {
    let times = statistics.temperature.iter().chain(&statistics.voltage).chain(&statistics.current);
    times.for_each(|seconds| out.u32(*seconds));
    statistics.trips.iter().for_each(|count| out.u16(*count));
    out.u16(statistics.cell_millivolts.0);
    out.u16(statistics.cell_millivolts.1);
    out.i16(statistics.battery_tenths.0);
    out.i16(statistics.battery_tenths.1);
    out.i32(statistics.milliamps.0);
    out.i32(statistics.milliamps.1);
}

pub(crate) fn decode(payload: &[u8]) -> Result<Statistics, Malformed> {
    let mut input = Reader::new(payload);
    let mut statistics = Statistics::new();
    let times = statistics.temperature.iter_mut().chain(&mut statistics.voltage).chain(&mut statistics.current);
    for seconds in times {
        *seconds = input.u32()?;
    }
    for count in &mut statistics.trips {
        *count = input.u16()?;
    }
    statistics.cell_millivolts = (input.u16()?, input.u16()?);
    statistics.battery_tenths = (input.i16()?, input.i16()?);
    statistics.milliamps = (input.i32()?, input.i32()?);
    input.end()?;
    Ok(statistics)
}
