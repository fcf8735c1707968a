//! Lifetime statistics: how warm, how full and how hard a pack was used, and what tripped how often.

use bms_core::event::{Event, EventKind};
use bms_core::protection::Alarm;
use bms_core::status::Status;
use bms_core::time::{Duration, Instant};
use bms_core::units::{Charge, Current, Temperature, Voltage};

/// How many bins each histogram has: one more than it has edges.
pub const TEMPERATURE_BINS: usize = 14;
/// See [`TEMPERATURE_BINS`].
pub const VOLTAGE_BINS: usize = 16;
/// See [`TEMPERATURE_BINS`].
pub const CURRENT_BINS: usize = 14;
/// Room for the trips of so many alarms; more than there are.
pub const TRIP_COUNTERS: usize = 64;

/// Edges of the temperature bins: tenths of a degree Celsius of the warmest battery sensor.
pub const TEMPERATURE_EDGES: [i32; TEMPERATURE_BINS - 1] =
    [-300, -200, -100, 0, 100, 200, 250, 300, 350, 400, 450, 500, 600];
/// Edges of the voltage bins: millivolts of the highest cell.
pub const VOLTAGE_EDGES: [i32; VOLTAGE_BINS - 1] =
    [1_800, 2_000, 2_200, 2_400, 2_600, 2_800, 3_000, 3_200, 3_300, 3_400, 3_500, 3_600, 3_800, 4_000, 4_200];
/// Edges of the current bins: thousandths of the capacity an hour, positive charging.
pub const CURRENT_EDGES: [i32; CURRENT_BINS - 1] =
    [-3_000, -2_000, -1_000, -500, -200, -50, -5, 5, 50, 200, 500, 1_000, 2_000];

/// What a pack has been through. Times are in seconds; everything stays at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Time in each band of temperature.
    pub temperature: [u32; TEMPERATURE_BINS],
    /// Time in each band of the highest cell's voltage.
    pub voltage: [u32; VOLTAGE_BINS],
    /// Time in each band of current.
    pub current: [u32; CURRENT_BINS],
    /// How often each alarm was raised, by its number.
    pub trips: [u16; TRIP_COUNTERS],
    /// Lowest and highest cell voltage ever seen, in mV; both 0 while none was.
    pub cell_millivolts: (u16, u16),
    /// Coldest and warmest battery temperature ever seen, in 0.1 °C; both 0 while none was.
    pub battery_tenths: (i16, i16),
    /// Largest discharging (negative) and charging current ever seen, in mA.
    pub milliamps: (i32, i32),
    /// Time since the last whole second, in ms; not stored.
    rest: u16,
    last: Option<Instant>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self::new()
    }
}

impl Statistics {
    /// Of a new pack.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            temperature: [0; TEMPERATURE_BINS],
            voltage: [0; VOLTAGE_BINS],
            current: [0; CURRENT_BINS],
            trips: [0; TRIP_COUNTERS],
            cell_millivolts: (0, 0),
            battery_tenths: (0, 0),
            milliamps: (0, 0),
            rest: 0,
            last: None,
        }
    }
    /// Hears the state after a step. What is not valid is not counted; the time of it is lost to that histogram only.
    pub fn observe(&mut self, now: Instant, status: &Status<'_>) {
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.since(last)).as_millis();
        self.last = Some(now);
        let total = elapsed.saturating_add(u32::from(self.rest));
        let seconds = total / 1_000;
        self.rest = u16::try_from(total % 1_000).unwrap_or(0);
        let cell = |index: Option<u8>| index.and_then(|index| status.cells.voltage(usize::from(index)));
        if let (Some(lowest), Some(highest)) = (cell(status.lowest_cell), cell(status.highest_cell)) {
            add(&mut self.voltage, &VOLTAGE_EDGES, highest.as_millivolts(), seconds);
            let (low, high) = (millivolts(lowest), millivolts(highest));
            let seen = self.cell_millivolts != (0, 0);
            self.cell_millivolts =
                if seen { (self.cell_millivolts.0.min(low), self.cell_millivolts.1.max(high)) } else { (low, high) };
        }
        let temperatures = || status.battery_temperatures.iter().filter_map(|reading| reading.valid());
        if let (Some(coldest), Some(warmest)) = (temperatures().min(), temperatures().max()) {
            add(&mut self.temperature, &TEMPERATURE_EDGES, warmest.as_tenths(), seconds);
            let (low, high) = (tenths(coldest), tenths(warmest));
            let seen = self.battery_tenths != (0, 0);
            self.battery_tenths =
                if seen { (self.battery_tenths.0.min(low), self.battery_tenths.1.max(high)) } else { (low, high) };
        }
        if let Some(current) = status.current.valid() {
            add(&mut self.current, &CURRENT_EDGES, rate(current, status.capacity), seconds);
            let milliamps = current.as_milliamps();
            self.milliamps = (self.milliamps.0.min(milliamps), self.milliamps.1.max(milliamps));
        }
    }
    /// Hears an event.
    pub fn count(&mut self, event: &Event) {
        if let EventKind::Raised { alarm, .. } = event.kind
            && let Some(count) = self.trips.get_mut(usize::from(alarm as u8))
        {
            *count = count.saturating_add(1);
        }
    }
    /// How often an alarm was raised.
    #[must_use]
    pub fn trips_of(&self, alarm: Alarm) -> u16 {
        self.trips.get(usize::from(alarm as u8)).copied().unwrap_or(0)
    }
    /// The same without what is not stored.
    #[must_use]
    pub const fn stored(mut self) -> Self {
        self.rest = 0;
        self.last = None;
        self
    }
}

/// The bin of a value: bin n lies below edge n and not below edge n − 1.
#[must_use]
pub fn bin_of(edges: &[i32], value: i32) -> usize {
    edges.partition_point(|edge| *edge <= value)
}

fn add(bins: &mut [u32], edges: &[i32], value: i32, seconds: u32) {
    if let Some(bin) = bins.get_mut(bin_of(edges, value)) {
        *bin = bin.saturating_add(seconds);
    }
}

fn millivolts(voltage: Voltage) -> u16 {
    u16::try_from(voltage.as_millivolts().max(0)).unwrap_or(u16::MAX)
}

fn tenths(temperature: Temperature) -> i16 {
    i16::try_from(temperature.as_tenths()).unwrap_or(if temperature > Temperature::ZERO { i16::MAX } else { i16::MIN })
}

/// A current as thousandths of the capacity an hour; 0 without a capacity.
fn rate(current: Current, capacity: Charge) -> i32 {
    let thousandths = i64::from(current.as_milliamps()).saturating_mul(1_000);
    let rate = thousandths.checked_div(capacity.as_milliamp_hours()).unwrap_or(0);
    i32::try_from(rate).unwrap_or(if rate > 0 { i32::MAX } else { i32::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_half_open_and_cover_everything() {
        assert_eq!(bin_of(&TEMPERATURE_EDGES, i32::MIN), 0);
        assert_eq!(bin_of(&TEMPERATURE_EDGES, -300), 1);
        assert_eq!(bin_of(&TEMPERATURE_EDGES, -301), 0);
        assert_eq!(bin_of(&CURRENT_EDGES, i32::MAX), CURRENT_BINS - 1);
        assert!(VOLTAGE_EDGES.is_sorted() && TEMPERATURE_EDGES.is_sorted() && CURRENT_EDGES.is_sorted());
    }
}
