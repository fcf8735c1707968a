//! The temperature sensors: which are expected, which can be believed (D16, X01, X02).

use super::sample::{BATTERY_SENSORS, Group, Reading, Temperatures};
use crate::config::{ParameterId as P, SensorPolicy, ValidConfig};
use crate::time::{Instant, ms};
use crate::units::{Temperature, deg_c};

/// Index of the switches' sensor, behind the battery's.
pub(crate) const MOS: usize = BATTERY_SENSORS;
const SENSORS: usize = BATTERY_SENSORS + 1;
const MOS_BIT: u8 = sensor_bit(MOS);
/// A sensor outside this range is broken or shorted (X02).
const COLDEST_PLAUSIBLE: i32 = deg_c(-45).as_tenths();
const WARMEST_PLAUSIBLE: i32 = deg_c(125).as_tenths();

/// All sensors with their trust.
#[derive(Clone, Debug)]
pub(crate) struct TemperatureBank {
    /// Last usable value of each, in tenths of a degree.
    tenths: [i16; SENSORS],
    /// Time since every expected sensor had delivered, in ms. Sensors may come in turns; this is never younger than the
    /// oldest of them.
    age: u32,
    /// Age of the newest group of any quality, in ms.
    seen: u32,
    /// Sensors whose newest reading is good.
    valid: u8,
    /// Sensors that must deliver: required ones, and optional ones since they were first seen.
    expected: u8,
    /// Sensors whose newest reading is beyond the plausible range: not trusted, and yet beyond every limit (law 3).
    beyond: u8,
    /// Good readings since all expected had last delivered.
    gathered: u8,
    /// Time since the first of them was taken, in ms.
    round: u32,
    fresh: bool,
    range: BatteryRange,
}

/// The warmest and the coldest of the battery's sensors with a good newest reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatteryRange {
    pub warmest: Temperature,
    pub coldest: Temperature,
    pub warmest_index: u8,
    pub coldest_index: u8,
    /// At least one sensor took part.
    pub any: bool,
    /// At least one took part, and every expected one.
    pub complete: bool,
}

const NO_RANGE: BatteryRange = BatteryRange {
    warmest: Temperature::MIN,
    coldest: Temperature::MAX,
    warmest_index: 0,
    coldest_index: 0,
    any: false,
    complete: false,
};

impl TemperatureBank {
    /// Nothing was seen; required sensors are expected from the start.
    pub(crate) const fn for_start(config: &ValidConfig) -> Self {
        let mut expected = MOS_BIT;
        let mut rest: &[SensorPolicy] = &config.board().sensors;
        let mut index = 0;
        while let [policy, tail @ ..] = rest {
            if matches!(policy, SensorPolicy::Required) {
                expected |= sensor_bit(index);
            }
            index = index.saturating_add(1);
            rest = tail;
        }
        Self {
            tenths: [0; SENSORS],
            age: 0,
            seen: u32::MAX,
            valid: 0,
            expected,
            beyond: 0,
            gathered: 0,
            round: 0,
            fresh: false,
            range: NO_RANGE,
        }
    }
    /// Time passes; nothing is new yet.
    pub(crate) fn advance(&mut self, elapsed: u32) {
        self.fresh = false;
        self.age = self.age.saturating_add(elapsed);
        self.round = self.round.saturating_add(elapsed);
        self.seen = self.seen.saturating_add(elapsed);
    }
    /// No sensor delivers.
    pub(crate) fn fail(&mut self) {
        self.valid = 0;
        self.beyond = 0;
        self.range = NO_RANGE;
    }
    pub(crate) fn take(&mut self, now: Instant, group: &Group<Temperatures>, config: &ValidConfig) {
        let (at, value) = match group {
            Group::NotMeasured => return,
            Group::Failed => return self.fail(),
            Group::Measured { at, value } => (*at, value),
        };
        if at > now {
            return self.fail();
        }
        let age = now.since(at).as_millis();
        if age >= self.seen {
            return;
        }
        self.seen = age;
        self.fresh = true;
        if self.gathered == 0 {
            self.round = age;
        }
        let before = core::mem::take(&mut self.gathered);
        let mut bit = 1_u8;
        for ((reading, policy), slot) in value.battery.iter().zip(&config.board().sensors).zip(&mut self.tenths) {
            if *policy != SensorPolicy::NotFitted {
                self.beyond = note(reading, bit, slot, &mut self.valid, &mut self.gathered, self.beyond);
            }
            bit = bit.wrapping_shl(1);
        }
        if let Some(slot) = self.tenths.get_mut(MOS) {
            self.beyond = note(&value.mos, MOS_BIT, slot, &mut self.valid, &mut self.gathered, self.beyond);
        }
        self.expected |= self.valid;
        if self.gathered & self.expected == self.expected {
            // All at once.
            self.gathered = 0;
            self.age = age;
        } else if (self.gathered | before) & self.expected == self.expected {
            // In turns: as old as the oldest reading that it took, or one could be lost for twice the time (X01).
            self.gathered = 0;
            self.age = self.round;
        } else {
            self.gathered |= before;
        }
        self.range = self.battery_range();
    }
    /// A group arrived in this step.
    pub(crate) const fn fresh(&self) -> bool {
        self.fresh
    }
    /// Age of the newest group, in ms.
    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }
    /// Time since every expected sensor had delivered, in ms (X01).
    pub(crate) const fn age(&self) -> u32 {
        self.age
    }
    /// Whether every expected sensor delivers usable values.
    pub(crate) fn all_usable(&self, config: &ValidConfig) -> bool {
        self.valid & self.expected == self.expected && self.age < config.duration(P::TemperatureLostTime).as_millis()
    }
    /// What is known of one sensor.
    pub(crate) fn reading(&self, index: usize, config: &ValidConfig) -> Reading<Temperature> {
        let lost = config.duration(P::TemperatureLostTime).as_millis();
        match self.tenths.get(index) {
            Some(_) if self.expected & sensor_bit(index) == 0 => Reading::NotMeasured,
            Some(_) if self.valid & sensor_bit(index) == 0 => Reading::Invalid,
            Some(_) if self.age >= lost => Reading::Stale { age: ms(self.age) },
            Some(tenths) => Reading::Valid(Temperature::from_tenths(i32::from(*tenths))),
            None => Reading::NotMeasured,
        }
    }
    /// The first expected battery sensor that delivers no good value (X02).
    pub(crate) fn faulty_battery_sensor(&self) -> Option<u8> {
        let faulty = self.expected & !self.valid & !MOS_BIT;
        (faulty != 0).then(|| faulty.trailing_zeros() as u8)
    }
    /// Whether the switches' sensor delivers no good value (X02).
    pub(crate) const fn mos_faulty(&self) -> bool {
        self.valid & MOS_BIT == 0
    }
    /// Whether the switches' sensor says something: a good value, or one beyond the plausible range.
    pub(crate) const fn mos_known(&self) -> bool {
        (self.valid | self.beyond) & MOS_BIT != 0
    }
    /// The switches' temperature, however old.
    pub(crate) fn mos(&self) -> Temperature {
        Temperature::from_tenths(self.tenths.get(MOS).map_or(0, |tenths| i32::from(*tenths)))
    }
    /// The battery's sensors together.
    pub(crate) const fn battery(&self) -> &BatteryRange {
        &self.range
    }
    fn battery_range(&self) -> BatteryRange {
        let mut range = NO_RANGE;
        for (number, tenths) in (0..=u8::MAX).zip(self.tenths.iter().take(BATTERY_SENSORS)) {
            if (self.valid | self.beyond & self.expected) & sensor_bit(usize::from(number)) == 0 {
                continue;
            }
            let value = Temperature::from_tenths(i32::from(*tenths));
            range.any = true;
            if value > range.warmest {
                range.warmest = value;
                range.warmest_index = number;
            }
            if value < range.coldest {
                range.coldest = value;
                range.coldest_index = number;
            }
        }
        range.complete = range.any && self.valid & self.expected & !MOS_BIT == self.expected & !MOS_BIT;
        range
    }
}

/// Takes one sensor's reading; returns the sensors that read beyond the plausible range.
fn note(reading: &Reading<Temperature>, bit: u8, slot: &mut i16, valid: &mut u8, gathered: &mut u8, beyond: u8) -> u8 {
    match reading {
        Reading::NotMeasured => return beyond,
        Reading::Valid(temperature) => {
            let tenths = temperature.as_tenths();
            // One step outside the plausible range is beyond every limit, and fits 16 bits.
            let kept = tenths.clamp(COLDEST_PLAUSIBLE - 1, WARMEST_PLAUSIBLE + 1);
            *slot = kept as i16;
            if kept == tenths && (COLDEST_PLAUSIBLE..=WARMEST_PLAUSIBLE).contains(&tenths) {
                *valid |= bit;
                *gathered |= bit;
            } else {
                *valid &= !bit;
                return beyond | bit;
            }
        }
        Reading::Invalid | Reading::Stale { .. } => *valid &= !bit,
    }
    beyond & !bit
}

/// The mask bit of a sensor.
const fn sensor_bit(index: usize) -> u8 {
    1_u8.wrapping_shl(index as u32)
}
