//! What the ports deliver: raw readings, each group with its own time.

use super::scan::Tenths;
use crate::port::ErrorKind;
use crate::time::{Duration, Instant};
use crate::units::{Current, Temperature, Voltage};

/// How many battery temperature sensors a sample carries, beside the switches' own.
pub const BATTERY_SENSORS: usize = 5;
/// The most cells that any buffer size holds.
pub const MAXIMUM_CELLS: usize = 32;

/// What is known of one quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reading<Q> {
    /// Nothing was measured. In a sample: not now, the last value still counts until it is stale.
    #[default]
    NotMeasured,
    /// It was measured and the result is worthless: broken wire, bus error, out of the physical range.
    Invalid,
    /// The last good value is too old to be used; only its age is told.
    Stale {
        /// Time since it was measured.
        age: Duration,
    },
    /// A usable value.
    Valid(Q),
}

impl<Q> Reading<Q> {
    /// The value, if it is usable.
    #[must_use]
    pub fn valid(self) -> Option<Q> {
        match self {
            Self::Valid(value) => Some(value),
            Self::NotMeasured | Self::Invalid | Self::Stale { .. } => None,
        }
    }
    /// Whether the value is usable.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }
}

/// One group of quantities that are measured together.
///
/// Current may come a thousand times a second and cells ten times: a step carries what is new, and
/// `NotMeasured` for the rest. **"Not measured now" is not "invalid"**: it neither helps nor harms until
/// the last measurement is too old (X01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Group<T> {
    /// Not part of this sample.
    #[default]
    NotMeasured,
    /// It should have been measured and could not be.
    Failed,
    /// Measured.
    Measured {
        /// When the measurement was taken: never later than the step's `now`, and later than the
        /// previous one of this group. A repeated or older time stamp is not a new measurement and is ignored; a
        /// future one counts as [`Group::Failed`].
        at: Instant,
        /// What was measured.
        value: T,
    },
}

impl<T> Group<T> {
    /// A measurement.
    #[must_use]
    pub const fn at(at: Instant, value: T) -> Self {
        Self::Measured { at, value }
    }
}

/// Cell voltages, cell 1 at B−, in steps of 0.1 mV from 0 to 6.5535 V.
///
/// Sixteen bits a cell, so that two fit one machine word; readings outside are kept at the end of the
/// range, which is beyond every limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Cells<const N: usize> {
    pub(crate) tenths: Tenths<N>,
    pub(crate) valid: u32,
    pub(crate) count: u8,
}

impl<const N: usize> Cells<N> {
    /// `count` cells, all invalid until [`Cells::set`]. More than `N` or [`MAXIMUM_CELLS`] stays visible in
    /// [`Cells::count`], so that a wrong wiring is noticed (P18), but is not stored.
    #[must_use]
    pub const fn new(count: u8) -> Self {
        Self { tenths: Tenths([0; N]), valid: 0, count }
    }
    /// From voltages, all valid, cell 1 first.
    #[must_use]
    pub fn from_voltages(voltages: &[Voltage]) -> Self {
        let mut cells = Self::new(u8::try_from(voltages.len()).unwrap_or(u8::MAX));
        for (index, voltage) in voltages.iter().enumerate() {
            cells.set(index, *voltage);
        }
        cells
    }
    /// Stores a valid reading of the cell with this index (0 is cell 1); rounded to 0.1 mV and kept
    /// within 0 … 6.5535 V. An index beyond the buffer is ignored.
    pub fn set(&mut self, index: usize, voltage: Voltage) {
        let rounded = voltage.as_microvolts().saturating_add(50).max(0) / 100;
        self.set_tenths(index, u16::try_from(rounded).unwrap_or(u16::MAX));
    }
    /// Stores a valid reading in tenths of a millivolt; the cheap way in for adapters.
    pub fn set_tenths(&mut self, index: usize, tenths_of_millivolt: u16) {
        if let Some(slot) = self.tenths.0.get_mut(index) {
            *slot = tenths_of_millivolt;
            self.valid |= bit(index);
        }
    }
    /// Marks the reading of a cell as worthless.
    pub fn invalidate(&mut self, index: usize) {
        self.valid &= !bit(index);
    }
    /// How many cells the front end measured.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }
    /// The reading of the cell with this index.
    #[must_use]
    pub fn get(&self, index: usize) -> Reading<Voltage> {
        match self.tenths.0.get(index) {
            Some(tenths) if self.valid & bit(index) != 0 => Reading::Valid(from_tenths(*tenths)),
            Some(_) if index < usize::from(self.count) => Reading::Invalid,
            _ => Reading::NotMeasured,
        }
    }
}

impl<const N: usize> Default for Cells<N> {
    fn default() -> Self {
        Self::new(0)
    }
}

/// The mask bit of a cell; none beyond [`MAXIMUM_CELLS`].
pub(crate) fn bit(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|shift| 1_u32.checked_shl(shift)).unwrap_or(0)
}

/// Tenths of a millivolt as a voltage.
pub(crate) const fn from_tenths(tenths: u16) -> Voltage {
    // 65 535 × 100 stays within 32 bits; a saturating product would cost a 64-bit one on an M0+.
    Voltage::from_microvolts((tenths as i32).wrapping_mul(100))
}

/// All temperatures of one measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Temperatures {
    /// Battery sensors, T1 first. An open sensor is `Invalid`; one that does not exist or was not read this time is
    /// `NotMeasured`.
    pub battery: [Reading<Temperature>; BATTERY_SENSORS],
    /// The switches' sensor.
    pub mos: Reading<Temperature>,
}

/// What the board says of its outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Feedback {
    /// Current that the balancer moves now: negative while it takes from the source, positive while it gives to the
    /// destination (B07). Zero when it is off.
    pub balance_current: Current,
    /// Whether the balancer is off **and settled**, so that the cells of this sample are free of its drops (D04).
    pub quiet: bool,
    /// Whether the balancer's energy store is empty; `true` for balancers without one. At the start and once energy was taken it must be
    /// heard before more is taken than one phase holds: a board that never tells balances by resistors or neighbours only.
    pub store_empty: bool,
}

/// Digital inputs and detections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Copied as two words.
#[repr(align(4))]
pub struct Inputs {
    /// The short-circuit comparator has latched (D09).
    pub short_circuit: bool,
    /// A charger is seen, where the board can tell by an input of its own.
    pub charger: Option<bool>,
    /// A load is seen, where the board can tell.
    pub load: Option<bool>,
    /// The activation input (switch, display K+/K−) is pressed (A01).
    pub activation: bool,
    /// C− is pulled below B− (A01).
    pub reverse_wake: bool,
    /// A self-test of the board failed: flash, RAM, clock or ADC reference (X20).
    pub self_test_failed: bool,
}

/// What one call of the sampler gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sample<const N: usize = 24> {
    /// Cell voltages.
    pub cells: Group<Cells<N>>,
    /// Pack current, positive charging (D17); the mean since the previous measurement where the hardware
    /// integrates (N05).
    pub current: Group<Current>,
    /// Temperatures.
    pub temperatures: Group<Temperatures>,
    /// B+…B− before the switches.
    pub stack: Group<Voltage>,
    /// The pack's terminals, behind the switches.
    pub terminal: Group<Voltage>,
    /// The balancer's feedback.
    pub feedback: Group<Feedback>,
    /// Digital inputs.
    pub inputs: Group<Inputs>,
}

impl<const N: usize> Sample<N> {
    /// A sample in which nothing is measured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cells: Group::NotMeasured,
            current: Group::NotMeasured,
            temperatures: Group::NotMeasured,
            stack: Group::NotMeasured,
            terminal: Group::NotMeasured,
            feedback: Group::NotMeasured,
            inputs: Group::NotMeasured,
        }
    }
}

/// What a step is given.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a, const N: usize = 24> {
    /// The sampler delivered.
    Sample(&'a Sample<N>),
    /// The sampler failed, or was too late: every channel counts as failed in this step.
    Lost(ErrorKind),
    /// Only time has passed.
    Tick,
}
