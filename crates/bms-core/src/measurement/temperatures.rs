//! The temperature sensors: which are expected, which can be believed (D16, X01, X02).

use super::channel::Channel;
use super::sample::{BATTERY_SENSORS, Reading, Temperatures};
use crate::config::{ParameterId as P, SensorPolicy, ValidConfig};
use crate::time::{Instant, ms};
use crate::units::{Temperature, deg_c};

/// Index of the switches' sensor, behind the battery's.
pub(crate) const MOS: usize = BATTERY_SENSORS;
const SENSORS: usize = BATTERY_SENSORS + 1;
/// A sensor outside this range is broken or shorted (X02).
const PLAUSIBLE: core::ops::RangeInclusive<Temperature> = deg_c(-45)..=deg_c(125);

/// All sensors with their trust.
#[derive(Clone, Debug)]
pub(crate) struct TemperatureBank {
    /// Last usable value of each, in tenths of a degree.
    tenths: [i16; SENSORS],
    channels: [Channel; SENSORS],
    /// Sensors that must deliver: required ones, and optional ones since they were first seen.
    expected: u8,
    /// A group arrived in this step.
    fresh: bool,
}

/// The warmest and the coldest of the battery's sensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatteryRange {
    pub warmest: Temperature,
    pub coldest: Temperature,
    pub warmest_index: u8,
    pub coldest_index: u8,
    /// At least one sensor took part.
    pub any: bool,
    /// Every expected sensor took part.
    pub complete: bool,
}

impl TemperatureBank {
    /// Nothing was seen; required sensors are expected from the start.
    pub(crate) const fn for_start(config: &ValidConfig) -> Self {
        let mut expected = sensor_bit(MOS);
        let mut rest: &[SensorPolicy] = &config.board().sensors;
        let mut index = 0;
        while let [policy, tail @ ..] = rest {
            if matches!(policy, SensorPolicy::Required) {
                expected |= sensor_bit(index);
            }
            index = index.saturating_add(1);
            rest = tail;
        }
        Self { tenths: [0; SENSORS], channels: [Channel::new(); SENSORS], expected, fresh: false }
    }
    pub(crate) fn advance(&mut self, elapsed: u32) {
        self.fresh = false;
        for channel in &mut self.channels {
            channel.advance(elapsed);
        }
    }
    pub(crate) fn fail(&mut self) {
        for channel in &mut self.channels {
            channel.fail();
        }
    }
    pub(crate) fn take(&mut self, now: Instant, at: Instant, value: &Temperatures, config: &ValidConfig) {
        let lost = config.duration(P::TemperatureLostTime).as_millis();
        let readings = value.battery.iter().chain(core::iter::once(&value.mos));
        for (index, reading) in readings.enumerate() {
            if config.board().sensors.get(index) == Some(&SensorPolicy::NotFitted) {
                continue;
            }
            let (Some(channel), Some(slot)) = (self.channels.get_mut(index), self.tenths.get_mut(index)) else {
                continue;
            };
            if matches!(reading, Reading::NotMeasured) {
                continue;
            }
            let Some(age) = channel.newer(now, at) else { continue };
            self.fresh = true;
            match reading.valid().filter(|temperature| PLAUSIBLE.contains(temperature)) {
                Some(temperature) => {
                    *slot = i16::try_from(temperature.as_tenths()).unwrap_or(i16::MAX);
                    channel.measured(age, true, lost);
                    self.expected |= sensor_bit(index);
                }
                None => channel.measured(age, false, lost),
            }
        }
    }
    /// A group arrived in this step.
    pub(crate) const fn fresh(&self) -> bool {
        self.fresh
    }
    /// Age of the newest group, in ms.
    pub(crate) fn seen(&self) -> u32 {
        self.channels.iter().map(Channel::seen).min().unwrap_or(u32::MAX)
    }
    fn expects(&self, index: usize) -> bool {
        self.expected & sensor_bit(index) != 0
    }
    /// What is known of one sensor.
    pub(crate) fn reading(&self, index: usize, config: &ValidConfig) -> Reading<Temperature> {
        let lost = config.duration(P::TemperatureLostTime).as_millis();
        match (self.channels.get(index), self.tenths.get(index)) {
            (Some(channel), Some(tenths)) if self.expects(index) => {
                if channel.usable(lost) {
                    Reading::Valid(Temperature::from_tenths(i32::from(*tenths)))
                } else if channel.valid_now() {
                    Reading::Stale { age: ms(channel.age()) }
                } else {
                    Reading::Invalid
                }
            }
            _ => Reading::NotMeasured,
        }
    }
    /// Whether every expected sensor delivers usable values.
    pub(crate) fn all_usable(&self, config: &ValidConfig) -> bool {
        let lost = config.duration(P::TemperatureLostTime).as_millis();
        self.channels.iter().enumerate().all(|(index, channel)| !self.expects(index) || channel.usable(lost))
    }
    /// The age of the oldest expected sensor, and which it is (X01).
    pub(crate) fn oldest(&self) -> (u32, u8) {
        let mut oldest = (0, 0);
        for (number, (index, channel)) in (0_u8..).zip(self.channels.iter().enumerate()) {
            if self.expects(index) && channel.age() > oldest.0 {
                oldest = (channel.age(), number);
            }
        }
        oldest
    }
    /// The first expected battery sensor that delivers no good value (X02).
    pub(crate) fn faulty_battery_sensor(&self) -> Option<u8> {
        (0_u8..)
            .zip(self.channels.iter().enumerate())
            .take(BATTERY_SENSORS)
            .find(|(_, (index, channel))| self.expects(*index) && !channel.valid_now())
            .map(|(number, _)| number)
    }
    /// Whether the switches' sensor delivers no good value (X02).
    pub(crate) fn mos_faulty(&self) -> bool {
        self.channels.get(MOS).is_none_or(|channel| !channel.valid_now())
    }
    /// The switches' temperature, however old.
    pub(crate) fn mos(&self) -> Temperature {
        Temperature::from_tenths(self.tenths.get(MOS).map_or(0, |tenths| i32::from(*tenths)))
    }
    /// The battery's sensors together. Only good newest readings take part.
    pub(crate) fn battery(&self) -> BatteryRange {
        let mut range = BatteryRange {
            warmest: Temperature::MIN,
            coldest: Temperature::MAX,
            warmest_index: 0,
            coldest_index: 0,
            any: false,
            complete: true,
        };
        let sensors = self.tenths.iter().zip(&self.channels).enumerate().take(BATTERY_SENSORS);
        for (number, (index, (tenths, channel))) in (0_u8..).zip(sensors) {
            if !self.expects(index) {
                continue;
            }
            if !channel.valid_now() {
                range.complete = false;
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
        range.complete &= range.any;
        range
    }
}

/// The mask bit of a sensor.
const fn sensor_bit(index: usize) -> u8 {
    1_u8.wrapping_shl(index as u32)
}
