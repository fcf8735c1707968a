//! The temperature sensors: which are expected, which can be believed (D16, X01, X02).

use super::sample::{BATTERY_SENSORS, Reading, Temperatures};
use crate::config::{SensorPolicy, ValidConfig};
use crate::protection::Window;
use crate::time::ms;
use crate::units::{Temperature, deg_c};

/// Index of the switches' sensor, behind the battery's.
pub(crate) const MOS: usize = BATTERY_SENSORS;
const SENSORS: usize = BATTERY_SENSORS + 1;
const MOS_BIT: u8 = sensor_bit(MOS);
/// A sensor outside this range is broken or shorted (X02).
pub(crate) const COLDEST_PLAUSIBLE: i32 = deg_c(-45).as_tenths();
pub(crate) const WARMEST_PLAUSIBLE: i32 = deg_c(125).as_tenths();

/// All sensors with their trust; the group's age is its channel's.
#[derive(Clone, Debug)]
pub(crate) struct TemperatureBank {
    /// Last usable value of each, in tenths of a degree.
    tenths: [i16; SENSORS],
    /// Sensors that the board has.
    fitted: u8,
    /// Sensors whose newest reading is good.
    valid: u8,
    /// Sensors that must deliver: required ones, and optional ones since they were first seen.
    expected: u8,
    /// Sensors whose newest reading is beyond the plausible range: not trusted, and yet beyond every limit (law 3).
    beyond: u8,
    /// Good readings since all expected had last delivered.
    gathered: u8,
    /// Good readings of the newest group.
    group: u8,
    /// A group arrived in this step.
    pub fresh: bool,
    range: BatteryRange,
    /// The range is that of an earlier group.
    range_due: bool,
}

/// What a group of temperatures added to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// Every expected sensor, by itself.
    AtOnce,
    /// The last that was missing.
    InTurns,
    /// Some, and nothing older waits for the others.
    Begun,
    /// Some more, or none.
    GoingOn,
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
        let mut fitted = MOS_BIT;
        let mut rest: &[SensorPolicy] = &config.board().sensors;
        let mut index = 0;
        while let [policy, tail @ ..] = rest {
            if !matches!(policy, SensorPolicy::NotFitted) {
                fitted |= sensor_bit(index);
            }
            if matches!(policy, SensorPolicy::Required) {
                expected |= sensor_bit(index);
            }
            index = index.saturating_add(1);
            rest = tail;
        }
        Self {
            tenths: [0; SENSORS],
            fitted,
            valid: 0,
            expected,
            beyond: 0,
            gathered: 0,
            group: 0,
            fresh: false,
            range: NO_RANGE,
            range_due: false,
        }
    }
    /// The battery sensors that must deliver; bit 0 is T1.
    pub(crate) const fn seen(&self) -> u8 {
        self.expected & !MOS_BIT
    }
    /// These were seen in an earlier life: they must deliver.
    pub(crate) const fn expect(&mut self, sensors: u8) {
        self.expected |= sensors & self.fitted & !MOS_BIT;
    }
    /// No sensor delivers.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&mut self) {
        self.valid = 0;
        self.beyond = 0;
        self.range_due = true;
    }
    /// Takes a group; `true` if all went well: every expected sensor delivered, nothing else did, all within the window.
    #[inline(never)]
    pub(crate) fn take(&mut self, group: &Temperatures, window: &Window) -> bool {
        self.fresh = true;
        self.range_due = true;
        let (mut within, mut outside) = (0_u8, 0_u8);
        let mut bit = 1_u8;
        for (reading, slot) in group.battery.iter().zip(&mut self.tenths) {
            if let Reading::Valid(value) = reading {
                if window.holds_battery(*value) {
                    *slot = value.as_tenths() as i16;
                    within |= bit;
                } else {
                    outside |= bit;
                }
            }
            bit = bit.wrapping_shl(1);
        }
        if let Reading::Valid(value) = group.mos
            && window.holds_mos(value)
        {
            let [.., slot] = &mut self.tenths;
            *slot = value.as_tenths() as i16;
            within |= MOS_BIT;
        }
        if within & self.fitted != self.expected || outside & self.fitted != 0 {
            self.take_each(group);
            return false;
        }
        self.valid = self.expected;
        self.group = self.expected;
        self.beyond = 0;
        true
    }
    #[inline(never)]
    fn take_each(&mut self, group: &Temperatures) {
        self.group = 0;
        for (index, reading) in group.battery.iter().enumerate() {
            self.note(index, *reading);
        }
        self.note(MOS, group.mos);
        self.expected |= self.valid;
    }
    /// Takes one sensor's reading.
    fn note(&mut self, index: usize, reading: Reading<Temperature>) {
        let bit = sensor_bit(index) & self.fitted;
        let (good, beyond) = match reading {
            Reading::NotMeasured => return,
            Reading::Valid(temperature) => {
                let tenths = temperature.as_tenths();
                // One step outside the plausible range is beyond every limit, and fits 16 bits.
                let kept = tenths.clamp(COLDEST_PLAUSIBLE - 1, WARMEST_PLAUSIBLE + 1);
                if let Some(slot) = self.tenths.get_mut(index) {
                    *slot = kept as i16;
                }
                let plausible = (COLDEST_PLAUSIBLE..=WARMEST_PLAUSIBLE).contains(&tenths);
                (plausible, !plausible)
            }
            Reading::Invalid | Reading::Stale { .. } => (false, false),
        };
        self.valid = if good { self.valid | bit } else { self.valid & !bit };
        self.beyond = if beyond { self.beyond | bit } else { self.beyond & !bit };
        if good {
            self.group |= bit;
        }
    }
    /// How far every expected sensor has delivered since all had.
    pub(crate) const fn gather(&mut self) -> Gathered {
        let waiting = self.gathered & !self.group;
        self.gathered |= self.group;
        if self.gathered & self.expected != self.expected {
            return if waiting == 0 { Gathered::Begun } else { Gathered::GoingOn };
        }
        self.gathered = 0;
        if self.group & self.expected == self.expected { Gathered::AtOnce } else { Gathered::InTurns }
    }
    /// Whether the newest reading of every expected sensor is good.
    pub(crate) const fn all_valid(&self) -> bool {
        self.valid & self.expected == self.expected
    }
    /// What is known of one sensor, when the group has this age and is lost at that one.
    pub(crate) fn reading(&self, index: usize, age: u32, lost: u32) -> Reading<Temperature> {
        match self.tenths.get(index) {
            Some(_) if self.expected & sensor_bit(index) == 0 => Reading::NotMeasured,
            Some(_) if self.valid & sensor_bit(index) == 0 => Reading::Invalid,
            Some(_) if age >= lost => Reading::Stale { age: ms(age) },
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
    /// Whether a battery sensor delivers, and every expected one does.
    pub(crate) const fn battery_complete(&self) -> bool {
        (self.valid | self.beyond & self.expected) & !MOS_BIT != 0
            && self.valid & self.expected & !MOS_BIT == self.expected & !MOS_BIT
    }
    /// The battery's sensors together; see [`TemperatureBank::complete_range`].
    pub(crate) const fn battery(&self) -> &BatteryRange {
        &self.range
    }
    /// Looks up the warmest and the coldest sensor. Needed before anything reads them; the protection can do without while
    /// all lie within the window.
    #[inline(never)]
    pub(crate) fn complete_range(&mut self) {
        if !self.range_due {
            return;
        }
        self.range_due = false;
        let (mut coldest, mut warmest) = (Temperature::MAX.as_tenths(), Temperature::MIN.as_tenths());
        let (mut coldest_index, mut warmest_index) = (0, 0);
        let mut known = (self.valid | self.beyond & self.expected) & !MOS_BIT;
        let any = known != 0;
        let mut index = 0_u8;
        for tenths in &self.tenths {
            let value = i32::from(*tenths);
            if known & 1 != 0 {
                if value > warmest {
                    (warmest, warmest_index) = (value, index);
                }
                if value < coldest {
                    (coldest, coldest_index) = (value, index);
                }
            }
            known >>= 1;
            index = index.wrapping_add(1);
        }
        self.range = BatteryRange {
            warmest: Temperature::from_tenths(warmest),
            coldest: Temperature::from_tenths(coldest),
            warmest_index,
            coldest_index,
            any,
            complete: self.battery_complete(),
        };
    }
}

/// The mask bit of a sensor.
const fn sensor_bit(index: usize) -> u8 {
    1_u8.wrapping_shl(index as u32)
}
