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
pub(crate) use channel::Channel;
pub(crate) use open_wire::OpenWires;
pub use sample::{
    BATTERY_SENSORS, Cells, Feedback, Group, Input, Inputs, MAXIMUM_CELLS, Reading, Sample, Temperatures,
};
pub(crate) use sample::{bit, from_tenths};
pub use scan::CellScan;
pub(crate) use scan::Extremes;
pub(crate) use temperatures::TemperatureBank;
pub(crate) use wires::WireEstimator;

use crate::config::{ParameterId as P, ValidConfig};
use crate::time::Instant;
use crate::units::{Current, Voltage};

/// The checked state of every channel.
#[derive(Clone, Debug)]
pub(crate) struct Measurement<const N: usize> {
    /// Calibrated cell voltages in tenths of a millivolt.
    pub tenths: [u16; N],
    /// Cells whose newest reading is valid.
    pub valid: u32,
    /// Cells that an open wire makes meaningless.
    pub suspect: u32,
    /// How many cells the front end reports.
    pub count: u8,
    /// Lowest, highest and sum of the usable cells of the newest scan.
    pub extremes: Extremes,
    pub cells: Channel,
    /// A scan of the cells, good or not, came in this step.
    pub scanned: bool,
    pub current: Channel,
    pub milliamps: Current,
    /// Time since the current was last counted, for the coulomb counter.
    uncounted: u32,
    pub temperatures: TemperatureBank,
    pub stack: Channel,
    pub stack_voltage: Voltage,
    pub terminal: Channel,
    pub terminal_voltage: Voltage,
    pub feedback: Feedback,
    pub feedback_fresh: bool,
    pub inputs: Inputs,
    pub inputs_fresh: bool,
    pub open_wires: OpenWires,
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
            tenths: [0; N],
            valid: 0,
            suspect: 0,
            count: 0,
            extremes: Extremes::NONE,
            cells: Channel::new(),
            scanned: false,
            current: Channel::new(),
            milliamps: Current::ZERO,
            uncounted: 0,
            temperatures: TemperatureBank::for_start(config),
            stack: Channel::new(),
            stack_voltage: Voltage::ZERO,
            terminal: Channel::new(),
            terminal_voltage: Voltage::ZERO,
            feedback: Feedback { balance_current: Current::ZERO, quiet: true, store_empty: true },
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
            open_wires: OpenWires::new(),
        }
    }

    /// Takes in what a step was given. `elapsed` is the time since the previous step in ms.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        elapsed: u32,
        input: Input<'_, N>,
        config: &ValidConfig,
        calibration: &Calibration,
    ) {
        self.cells.advance(elapsed);
        self.current.advance(elapsed);
        self.stack.advance(elapsed);
        self.terminal.advance(elapsed);
        self.temperatures.advance(elapsed);
        self.uncounted = self.uncounted.saturating_add(elapsed);
        self.feedback_fresh = false;
        self.scanned = false;
        self.inputs_fresh = false;
        match input {
            Input::Tick => {}
            Input::Lost(_) => {
                self.cells.fail();
                self.current.fail();
                self.stack.fail();
                self.terminal.fail();
                self.temperatures.fail();
            }
            Input::Sample(sample) => self.take_sample(now, sample, config, calibration),
        }
    }

    fn take_sample(&mut self, now: Instant, sample: &Sample<N>, config: &ValidConfig, calibration: &Calibration) {
        let lost = lost_time(config);
        match &sample.cells {
            Group::NotMeasured => {}
            Group::Failed => self.cells.fail(),
            Group::Measured { at, value } => {
                if let Some(age) = self.cells.newer(now, *at) {
                    self.take_cells(age, value, config, calibration, lost);
                }
            }
        }
        self.take_current(now, &sample.current, calibration, lost);
        if let Some(voltage) = take_voltage(&mut self.stack, now, &sample.stack, lost) {
            self.stack_voltage = voltage;
        }
        if let Some(voltage) = take_voltage(&mut self.terminal, now, &sample.terminal, lost) {
            self.terminal_voltage = voltage;
        }
        self.temperatures.take(now, &sample.temperatures, config);
        if let Group::Measured { value, .. } = &sample.feedback {
            self.feedback = *value;
            self.feedback_fresh = true;
        }
        if let Group::Measured { value, .. } = &sample.inputs {
            self.inputs = *value;
            self.inputs_fresh = true;
        }
        if self.scanned {
            self.extremes = Extremes::of(self.cells_of(config), self.valid);
            // Without a cell near zero there is no open wire.
            let near_zero = config.flag(P::OpenWireCheck) && u32::from(self.extremes.lowest) < open_wire::NEAR_ZERO;
            self.suspect =
                if near_zero { self.look_for_open_wires(config, lost) } else { self.open_wires.nothing_found() };
            if self.suspect != 0 {
                self.extremes = Extremes::of(self.cells_of(config), self.valid & !self.suspect);
            }
        }
    }

    /// The cells that the pack has; none if it has more than there is room for.
    fn cells_of(&self, config: &ValidConfig) -> &[u16] {
        self.tenths.get(..usize::from(config.cell_count())).unwrap_or_default()
    }

    fn look_for_open_wires(&mut self, config: &ValidConfig, lost: u32) -> u32 {
        let stack = self.stack.usable(lost).then_some(self.stack_voltage);
        let scan = CellScan::new(&self.tenths, self.valid, config.cell_count(), self.extremes);
        self.open_wires.update(&scan, stack, config.board().stack_voltage)
    }

    fn take_cells(&mut self, age: u32, value: &Cells<N>, config: &ValidConfig, calibration: &Calibration, lost: u32) {
        self.tenths = value.tenths;
        self.valid = value.valid;
        self.count = value.count;
        self.scanned = true;
        calibration.correct_cells(&mut self.tenths);
        let wanted = mask(config.cell_count());
        let complete = self.valid & wanted == wanted && usize::from(config.cell_count()) <= N;
        self.cells.measured(age, complete, lost);
    }

    fn take_current(&mut self, now: Instant, group: &Group<Current>, calibration: &Calibration, lost: u32) {
        match group {
            Group::NotMeasured => {}
            Group::Failed => self.current.fail(),
            Group::Measured { at, value } => {
                if let Some(age) = self.current.newer(now, *at) {
                    self.milliamps = calibration.correct_current(*value);
                    self.current.measured(age, true, lost);
                }
            }
        }
    }

    /// What to count in this step: the new interval, or the gap.
    pub(crate) fn count_current(&mut self, config: &ValidConfig) -> CurrentInterval {
        let mut interval = CurrentInterval { current: self.milliamps, known: 0, gap: 0 };
        if self.current.failed() {
            interval.gap = self.uncounted;
            self.uncounted = 0;
        } else if self.current.fresh() {
            let age = self.current.age();
            let length = self.uncounted.saturating_sub(age);
            self.uncounted = age;
            // The first sample ever, and one after a silence, do not tell about the time before them.
            if self.current.streak() == 0 && length > 0 && !self.current.resumed() || length > lost_time(config) {
                interval.gap = length;
            } else {
                interval.known = length;
            }
        }
        interval
    }

    /// The cells of the newest scan, as far as they may be used.
    pub(crate) fn scan(&self, config: &ValidConfig) -> CellScan<'_> {
        CellScan::new(&self.tenths, self.valid & !self.suspect, config.cell_count(), self.extremes)
    }

    /// The cells as a display shows them: suspect ones too, as they read; none once they are stale.
    pub(crate) fn displayed(&self, config: &ValidConfig) -> CellScan<'_> {
        let valid = if self.cells.age() < lost_time(config) { self.valid } else { 0 };
        CellScan::new(&self.tenths, valid, config.cell_count(), self.extremes)
    }

    /// Whether a quantity is "above the stack by how much", with both ends usable.
    pub(crate) fn terminal_over_stack(&self, config: &ValidConfig) -> Option<Voltage> {
        let lost = lost_time(config);
        (self.terminal.usable(lost) && self.stack.usable(lost)).then(|| self.terminal_voltage.minus(self.stack_voltage))
    }

    /// Whether the stack voltage agrees with the sum of the cells: within n × 3 mV + 1 % (X03). `None` if either is not
    /// usable in this step.
    pub(crate) fn stack_difference(&self, config: &ValidConfig) -> Option<(Voltage, Voltage)> {
        let complete = self.cells.valid_now() && self.suspect == 0;
        if !(complete && self.stack.usable(lost_time(config))) {
            return None;
        }
        let sum = self.extremes.sum();
        Some((self.stack_voltage.minus(sum).magnitude(), self.stack_tolerance(config)))
    }

    /// n × 3 mV + 1 % (X03). A sum in tenths of a millivolt is one percent of it in microvolts: no division.
    fn stack_tolerance(&self, config: &ValidConfig) -> Voltage {
        let percent = Voltage::from_microvolts(self.extremes.sum as i32);
        Voltage::from_microvolts(i32::from(config.cell_count()).wrapping_mul(3_000)).plus(percent)
    }

    /// Whether a charger is present (D30): its input says so, or the terminal stands above the stack, or current flows in.
    /// An input that sees none does not outweigh a current that flows.
    pub(crate) fn charger_present(&self, config: &ValidConfig, charge_closed: bool) -> bool {
        let announced = self.inputs.charger == Some(true);
        let lost = lost_time(config);
        let flowing = self.current.usable(lost) && self.milliamps > CHARGER_CURRENT;
        let lifted = !charge_closed && self.terminal_over_stack(config).is_some_and(|over| over > CHARGER_VOLTAGE);
        announced || flowing || lifted
    }
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
pub(crate) fn lost_time(config: &ValidConfig) -> u32 {
    let period = config.duration(P::SamplePeriod);
    config.duration(P::DataLostTime).max(period.plus(period).plus(period)).as_millis()
}

fn take_voltage(channel: &mut Channel, now: Instant, group: &Group<Voltage>, lost: u32) -> Option<Voltage> {
    match group {
        Group::NotMeasured => None,
        Group::Failed => {
            channel.fail();
            None
        }
        Group::Measured { at, value } => channel.newer(now, *at).map(|age| {
            channel.measured(age, true, lost);
            *value
        }),
    }
}
