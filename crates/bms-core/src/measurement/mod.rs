//! From what the ports deliver to what may be believed.
//!
//! `Measurement` holds, per channel, the last value, whether it may be used, and how old it is. A reading that
//! failed never overwrites a good one with something else; it ages until the lost-data rows act (X01).

pub(crate) mod calibration;
mod channel;
mod open_wire;
mod sample;
mod scan;
mod temperatures;
mod wires;

pub(crate) use calibration::Calibration;
pub use calibration::CalibrationError;
pub(crate) use channel::{Channel, Channels};
pub(crate) use open_wire::{NEAR_ZERO, OpenWires};
pub use sample::{
    BATTERY_SENSORS, Cells, Feedback, Group, Input, Inputs, MAXIMUM_CELLS, Reading, Sample, Temperatures,
};
pub(crate) use sample::{bit, from_tenths};
pub use scan::CellScan;
pub(crate) use scan::{Band, Extremes, Tenths};
pub(crate) use temperatures::{BatteryRange, COLDEST_PLAUSIBLE, Gathered, TemperatureBank, WARMEST_PLAUSIBLE};
pub(crate) use wires::WireEstimator;

use crate::config::{ParameterId as P, ValidConfig};
use crate::protection::Window;
use crate::time::Instant;
use crate::units::{Current, Voltage};

/// The checked state of every channel.
#[derive(Clone, Debug)]
pub(crate) struct Measurement<const N: usize> {
    /// Calibrated cell voltages in tenths of a millivolt.
    pub tenths: Tenths<N>,
    /// Cells whose newest reading is valid.
    pub valid: u32,
    /// Cells that an open wire makes meaningless.
    pub suspect: u32,
    /// How many cells the front end reports.
    pub count: u8,
    /// Lowest, highest and sum of the usable cells of the newest scan; see [`Measurement::complete_extremes`].
    pub extremes: Extremes,
    /// The newest scan lies within the window, so its lowest and highest cell were not needed yet.
    extremes_due: bool,
    pub channels: Channels,
    /// A scan of the cells, good or not, came in this step.
    pub scanned: bool,
    pub milliamps: Current,
    /// Time since the current was last counted, for the coulomb counter.
    uncounted: u32,
    /// Nothing was known of the current before this step.
    first_current: bool,
    pub temperatures: TemperatureBank,
    pub stack_voltage: Voltage,
    pub terminal_voltage: Voltage,
    pub feedback: Feedback,
    pub feedback_fresh: bool,
    pub inputs: Inputs,
    pub inputs_fresh: bool,
    /// This step was to read the inputs, and could not.
    pub inputs_failed: bool,
    pub open_wires: OpenWires,
    /// Every required channel has a newest reading that is good and not stale, as of the last step; see
    /// [`Measurement::complete_extremes`].
    pub usable: bool,
    /// What of this step lies outside the window in which nothing can trip.
    pub outside: Outside,
}

/// The groups of this step that want a closer look: they lie outside the window, or are not complete.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outside {
    pub cells: bool,
    pub current: bool,
    pub temperatures: bool,
    pub stack: bool,
}

impl Outside {
    const NOTHING: Self = Self { cells: false, current: false, temperatures: false, stack: false };

    pub(crate) const fn nothing(self) -> bool {
        !(self.cells | self.current | self.temperatures | self.stack)
    }
}

/// The current of one step, as the coulomb counter needs it (N05).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CurrentInterval {
    /// The mean current over the interval.
    pub current: Current,
    /// Length of the interval that this current is known for, in ms.
    pub known: u32,
    /// Length of time of which nothing is known, in ms.
    pub gap: u32,
}

impl<const N: usize> Measurement<N> {
    /// Nothing is known; required temperature sensors are expected.
    pub(crate) const fn for_start(config: &ValidConfig) -> Self {
        Self {
            tenths: Tenths([0; N]),
            valid: 0,
            suspect: 0,
            count: 0,
            extremes: Extremes::NONE,
            extremes_due: false,
            channels: Channels::new(config),
            scanned: false,
            milliamps: Current::ZERO,
            uncounted: 0,
            first_current: false,
            temperatures: TemperatureBank::for_start(config),
            stack_voltage: Voltage::ZERO,
            terminal_voltage: Voltage::ZERO,
            // What the store holds is not known until it is heard.
            feedback: Feedback { balance_current: Current::ZERO, quiet: true, store_empty: false },
            feedback_fresh: false,
            inputs: Inputs {
                short_circuit: false,
                charger: None,
                load: None,
                activation: false,
                reverse_wake: false,
                self_test_failed: false,
            },
            inputs_fresh: false,
            inputs_failed: false,
            open_wires: OpenWires::new(),
            usable: false,
            outside: Outside::NOTHING,
        }
    }

    /// Takes in what a step was given. `elapsed` is the time since the previous step in ms.
    pub(crate) fn take(&mut self, now: Instant, elapsed: u32, input: Input<'_, N>, limits: &Limits<'_>) {
        self.channels.advance(now, elapsed);
        self.uncounted = self.uncounted.saturating_add(elapsed);
        self.feedback_fresh = false;
        self.scanned = false;
        self.inputs_fresh = false;
        self.inputs_failed = false;
        self.temperatures.fresh = false;
        self.outside = Outside::NOTHING;
        match input {
            Input::Tick => {}
            Input::Lost(_) => self.lose(),
            Input::Sample(sample) => self.take_sample(sample, limits),
        }
    }

    #[cold]
    #[inline(never)]
    fn lose(&mut self) {
        for channel in [Channel::Cells, Channel::Current, Channel::Stack, Channel::Terminal] {
            self.channels.fail(channel);
        }
        self.temperatures.fail();
    }

    fn take_sample(&mut self, sample: &Sample<N>, limits: &Limits<'_>) {
        if let Some(value) = self.channels.arrival(Channel::Current, &sample.current) {
            self.first_current = !self.channels.known(Channel::Current);
            self.channels.measured(Channel::Current);
            self.milliamps = limits.calibration.correct_current(*value);
            self.outside.current = !limits.window.holds_current(self.milliamps);
        }
        if let Some(value) = self.channels.arrival(Channel::Stack, &sample.stack) {
            self.channels.measured(Channel::Stack);
            self.stack_voltage = *value;
        }
        if let Some(value) = self.channels.arrival(Channel::Terminal, &sample.terminal) {
            self.channels.measured(Channel::Terminal);
            self.terminal_voltage = *value;
        }
        self.take_temperatures(&sample.temperatures, limits);
        if let Group::Measured { value, .. } = &sample.feedback {
            self.feedback = *value;
            self.feedback_fresh = true;
        }
        match &sample.inputs {
            Group::Measured { value, .. } => {
                self.inputs = *value;
                self.inputs_fresh = true;
            }
            Group::Failed => self.inputs_failed = true,
            Group::NotMeasured => {}
        }
        if let Some(value) = self.channels.arrival(Channel::Cells, &sample.cells) {
            self.take_cells(value, limits);
        }
    }

    /// A scan. Nearly always all cells lie within the window, and then only their sum is needed.
    #[inline(never)]
    fn take_cells(&mut self, value: &Cells<N>, limits: &Limits<'_>) {
        self.tenths = value.tenths;
        self.valid = value.valid;
        self.count = value.count;
        self.scanned = true;
        self.suspect = 0;
        limits.calibration.correct_cells(&mut self.tenths.0);
        let count = limits.config.cell_count();
        let wanted = mask(count);
        if usize::from(count) <= N && self.valid & wanted == wanted {
            self.channels.measured(Channel::Cells);
            if let Some(sum) = limits.window.cells_now.sum_within(&self.tenths, count)
                && self.count == count
            {
                self.open_wires.nothing_found();
                self.extremes.sum = sum;
                self.extremes.used = count;
                self.extremes_due = true;
                self.outside.stack = self.stack_differs(limits.config);
                return;
            }
        } else {
            self.channels.fail(Channel::Cells);
        }
        self.look_closer(limits.config);
    }

    /// A scan that lies outside the window, or lacks a cell.
    #[inline(never)]
    fn look_closer(&mut self, config: &ValidConfig) {
        self.outside.cells = true;
        self.extremes_due = false;
        self.extremes = Extremes::of(self.cells_of(config.cell_count()), self.valid);
        // Without a cell near zero, or with one that says nothing, no open wire can be told.
        let near_zero = config.flag(P::OpenWireCheck) && u32::from(self.extremes.lowest) < NEAR_ZERO;
        if !near_zero || !self.channels.fresh(Channel::Cells) {
            self.open_wires.nothing_found();
            return;
        }
        let stack = self.channels.usable(Channel::Stack).then_some(self.stack_voltage);
        let cells = self.tenths.0.get(..usize::from(config.cell_count())).unwrap_or_default();
        self.suspect = self.open_wires.update(cells, self.extremes.sum, stack, config.board().stack_voltage);
        if self.suspect != 0 {
            self.extremes = Extremes::of(self.cells_of(config.cell_count()), self.valid & !self.suspect);
        }
    }

    /// What the protection can mostly do without, and everything after it needs: the lowest and the highest of readings that
    /// were within the window, and whether all is usable.
    pub(crate) fn complete_extremes(&mut self, config: &ValidConfig) {
        self.temperatures.complete_range();
        self.usable = self.all_usable(config);
        if self.extremes_due {
            self.extremes_due = false;
            let cells = self.tenths.0.get(..usize::from(config.cell_count())).unwrap_or_default();
            self.extremes.find_ends(cells);
        }
    }

    fn take_temperatures(&mut self, group: &Group<Temperatures>, limits: &Limits<'_>) {
        match self.channels.arrival(Channel::Temperatures, group) {
            Some(value) => {
                self.outside.temperatures = !self.temperatures.take(value, limits.window);
                match self.temperatures.gather() {
                    Gathered::AtOnce => self.channels.complete(Channel::Temperatures),
                    Gathered::InTurns => self.channels.complete_round(),
                    Gathered::Begun => self.channels.begin_round(),
                    Gathered::GoingOn => {}
                }
            }
            None if self.channels.failed(Channel::Temperatures) => self.temperatures.fail(),
            None => {}
        }
    }

    /// The cells that the pack has; none if it has more than there is room for.
    fn cells_of(&self, count: u8) -> &[u16] {
        self.tenths.0.get(..usize::from(count)).unwrap_or_default()
    }

    /// What to count in this step: the new interval, or the gap.
    pub(crate) fn count_current(&mut self) -> CurrentInterval {
        let mut interval = CurrentInterval { current: self.milliamps, known: 0, gap: 0 };
        if self.channels.failed(Channel::Current) {
            interval.gap = self.uncounted;
            self.uncounted = 0;
        } else if self.channels.fresh(Channel::Current) {
            let age = self.channels.age(Channel::Current);
            let length = self.uncounted.saturating_sub(age);
            self.uncounted = age;
            // The first sample ever, and one after a silence, do not tell about the time before them.
            if self.first_current || length > self.channels.lost(Channel::Current) {
                interval.gap = length;
            } else {
                interval.known = length;
            }
        }
        interval
    }

    fn all_usable(&self, config: &ValidConfig) -> bool {
        self.channels.usable(Channel::Cells)
            && self.suspect == 0
            && self.count == config.cell_count()
            && self.channels.usable(Channel::Current)
            && self.temperatures_usable()
    }
    /// Whether every expected sensor delivers usable values.
    pub(crate) fn temperatures_usable(&self) -> bool {
        self.temperatures.all_valid() && !self.channels.overdue(Channel::Temperatures)
    }

    /// The cells of the newest scan, as far as they may be used.
    pub(crate) fn scan(&self, config: &ValidConfig) -> CellScan<'_> {
        CellScan::new(&self.tenths.0, self.valid & !self.suspect, config.cell_count(), self.extremes)
    }

    /// The cells as a display shows them: suspect ones too, as they read; none once they are stale.
    pub(crate) fn displayed(&self, config: &ValidConfig) -> CellScan<'_> {
        let valid = if self.channels.overdue(Channel::Cells) { 0 } else { self.valid };
        CellScan::new(&self.tenths.0, valid, config.cell_count(), self.extremes)
    }

    /// How far the terminal stands above the stack, with both usable.
    pub(crate) fn terminal_over_stack(&self) -> Option<Voltage> {
        (self.channels.usable(Channel::Terminal) && self.channels.usable(Channel::Stack))
            .then(|| self.terminal_voltage.minus(self.stack_voltage))
    }

    /// By how much the stack voltage differs from the sum of the cells beyond the tolerance of n × 3 mV + 1 % (X03), in µV,
    /// saturating. `None` if either is not usable.
    pub(crate) fn stack_excess(&self, config: &ValidConfig) -> Option<i32> {
        let complete = self.channels.good(Channel::Cells) && self.suspect == 0;
        if !(complete && self.channels.usable(Channel::Stack)) {
            return None;
        }
        let difference = self.stack_voltage.as_microvolts().abs_diff(self.extremes.sum().as_microvolts());
        // A sum in tenths of a millivolt is one percent of it in microvolts: no division.
        let tolerance = u32::from(config.cell_count()).wrapping_mul(3_000).wrapping_add(self.extremes.sum);
        let excess = difference.wrapping_sub(tolerance) as i32;
        // A difference above 2³¹ + tolerance only wraps where it is far beyond it.
        Some(if difference > tolerance && excess < 0 { i32::MAX } else { excess })
    }
    /// Whether the stack voltage was there and is lost: what it confirmed is not confirmed any more (X03).
    pub(crate) fn stack_lost(&self) -> bool {
        self.channels.known(Channel::Stack) && self.channels.overdue(Channel::Stack)
    }
    /// Whether they differ beyond it.
    pub(crate) fn stack_differs(&self, config: &ValidConfig) -> bool {
        self.stack_excess(config).is_some_and(|excess| excess > 0)
    }

    /// Whether a charger is present (D30): its input says so, or the terminal stands above the stack, or current flows in.
    pub(crate) fn charger_present(&self, charge_closed: bool) -> bool {
        // An input that sees none does not outweigh a current that flows.
        let announced = self.inputs.charger == Some(true);
        let flowing = self.milliamps > CHARGER_CURRENT && self.channels.usable(Channel::Current);
        let lifted = || self.terminal_over_stack().is_some_and(|over| over > CHARGER_VOLTAGE);
        announced || flowing || (!charge_closed && lifted())
    }
}

/// What a step's readings are measured against.
pub(crate) struct Limits<'a> {
    pub config: &'a ValidConfig,
    pub calibration: &'a Calibration,
    pub window: &'a Window,
}

/// A charging current above this proves a charger (D30, D02).
pub(crate) const CHARGER_CURRENT: Current = crate::units::ma(200);
/// A terminal this far above the stack proves a charger while charging is off (D30).
const CHARGER_VOLTAGE: Voltage = crate::units::mv(500);

/// The mask of the first `count` cells.
pub(crate) fn mask(count: u8) -> u32 {
    1_u32.checked_shl(u32::from(count)).map_or(u32::MAX, |next| next.wrapping_sub(1))
}

/// Age at which cells and current are lost: at least three sample periods (X01).
pub(crate) const fn lost_time(config: &ValidConfig) -> u32 {
    let least = config.duration(P::DataLostTime).as_millis();
    let periods = config.duration(P::SamplePeriod).as_millis().saturating_mul(3);
    if least > periods { least } else { periods }
}
