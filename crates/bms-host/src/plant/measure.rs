//! From the truth to a [`Sample`]: wires, ranges, sensor errors, integers.

use bms_core::measurement::{BATTERY_SENSORS, Cells, Feedback, Group, Inputs, Reading, Sample, Temperatures};
use bms_core::time::Instant;
use bms_core::units::{Current, Temperature, Voltage};
use rand_pcg::Pcg64Mcg;

use super::sensor::{Dictated, SHORTED_DEGREES, SensorErrors, Thermistor, nearest, normal, normal_pair};
use super::{MAXIMUM_CELLS, Plant};

/// Which groups of a sample are to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the groups of a sample")]
pub struct Channels {
    pub cells: bool,
    pub current: bool,
    pub temperatures: bool,
    pub stack: bool,
    pub terminal: bool,
    pub feedback: bool,
    pub inputs: bool,
}

impl Channels {
    /// Everything that the board has.
    pub const ALL: Self = Self {
        cells: true,
        current: true,
        temperatures: true,
        stack: true,
        terminal: true,
        feedback: true,
        inputs: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        cells: false,
        current: false,
        temperatures: false,
        stack: false,
        terminal: false,
        feedback: false,
        inputs: false,
    };
}

/// The measuring side: errors, biases, what was integrated since the last reading.
#[derive(Clone, Debug)]
pub(super) struct Sensing {
    pub errors: SensorErrors,
    pub dictated: Dictated,
    pub thermistors: Option<[Thermistor; BATTERY_SENSORS]>,
    pub mos: Thermistor,
    cell_bias: [f64; MAXIMUM_CELLS],
    other_bias: [f64; 3],
    temperature_bias: [f64; BATTERY_SENSORS + 1],
    /// Charge through the shunt since the last reading, A·s, and the time, s.
    shunt: (f64, f64),
    mean_current: f64,
}

impl Sensing {
    pub(super) fn new(errors: &SensorErrors, cell_bias: &[f64], random: &mut Pcg64Mcg) -> Self {
        let mut draw = |sigma: f64| sigma * normal(random);
        Self {
            errors: *errors,
            dictated: Dictated::default(),
            thermistors: None,
            mos: Thermistor::Fitted,
            cell_bias: std::array::from_fn(|cell| draw(errors.cell.bias) + cell_bias.get(cell).copied().unwrap_or(0.0)),
            other_bias: [draw(errors.current.bias), draw(errors.stack.bias), draw(errors.stack.bias)],
            temperature_bias: std::array::from_fn(|_| draw(errors.temperature.bias)),
            shunt: (0.0, 0.0),
            mean_current: 0.0,
        }
    }
    pub(super) fn integrate(&mut self, current: f64, seconds: f64) {
        self.shunt.0 += current * seconds;
        self.shunt.1 += seconds;
    }
    /// The mean current since the last call.
    fn take_current(&mut self) -> f64 {
        let (charge, seconds) = self.shunt;
        if seconds > 0.0 {
            self.mean_current = charge / seconds;
            self.shunt = (0.0, 0.0);
        }
        self.mean_current
    }
}

fn microvolts(volts: f64) -> Voltage {
    Voltage::from_microvolts(nearest(volts * 1e6))
}

fn tenths(degrees: f64) -> Temperature {
    Temperature::from_tenths(nearest(degrees * 10.0))
}

impl Plant {
    /// Measures the wanted groups now; the others become `NotMeasured`.
    pub fn measure<const N: usize>(&mut self, channels: Channels, sample: &mut Sample<N>) {
        let at = self.now();
        *sample = Sample::new();
        if channels.cells {
            self.measure_cells(at, &mut sample.cells);
        }
        if channels.current {
            sample.current = self.measure_current(at);
        }
        if channels.temperatures {
            sample.temperatures = Group::at(at, self.measure_temperatures());
        }
        if channels.stack && self.spec.stack_voltage {
            sample.stack = Group::at(at, self.measure_stack());
        }
        if channels.terminal && self.spec.terminal_voltage {
            let truth = self.sensing.dictated.terminal.unwrap_or(self.terminal);
            let [_, _, bias] = self.sensing.other_bias;
            sample.terminal = Group::at(at, microvolts(self.sensing.errors.stack.read(truth, bias, &mut self.random)));
        }
        if channels.feedback {
            sample.feedback = Group::at(at, self.measure_feedback());
        }
        if channels.inputs {
            sample.inputs = Group::at(at, self.measure_inputs());
        }
    }
    fn measure_cells<const N: usize>(&mut self, at: Instant, group: &mut Group<Cells<N>>) {
        let count = self.spec.cells;
        let mut voltages = [0.0; MAXIMUM_CELLS];
        for (voltage, cell) in voltages.iter_mut().zip(&self.cells) {
            *voltage = cell.voltage;
        }
        if let Some(errors) = self.balancer.reading_errors(self.now) {
            for (voltage, error) in voltages.iter_mut().zip(errors).take(usize::from(count)) {
                *voltage += error;
            }
        }
        for (voltage, dictated) in voltages.iter_mut().zip(&self.sensing.dictated.cells) {
            *voltage = dictated.unwrap_or(*voltage);
        }
        if self.wires.any_open()
            && let Some(read) = voltages.get_mut(..usize::from(count))
        {
            let source = self.balancer.loaded_cell();
            self.wires.apply_open(read, |cell| source == Some(cell));
        }
        let mut cells = Cells::new(count);
        let errors = self.sensing.errors.cell;
        let range = self.spec.cell_range;
        let pairs = voltages.chunks(2).zip(self.sensing.cell_bias.chunks(2)).take(usize::from(count).div_ceil(2));
        let mut index = 0;
        for (voltages, biases) in pairs {
            let noise = if errors.noise > 0.0 { normal_pair(&mut self.random) } else { [0.0; 2] };
            for ((voltage, bias), noise) in voltages.iter().zip(biases).zip(noise) {
                let read = errors.bend(*voltage, *bias, noise).min(range);
                if index < usize::from(count) {
                    // The cast saturates, so a negative reading is zero.
                    cells.set_tenths(index, (read * 1e4 + 0.5) as u16);
                }
                index += 1;
            }
        }
        *group = Group::at(at, cells);
    }
    fn measure_current(&mut self, at: Instant) -> Group<Current> {
        let mean = self.sensing.take_current();
        let truth = self.sensing.dictated.current.unwrap_or(mean);
        let [bias, ..] = self.sensing.other_bias;
        let read = self.sensing.errors.current.read(truth, bias, &mut self.random);
        if read.abs() > self.spec.current_range {
            return Group::Failed;
        }
        Group::at(at, Current::from_milliamps(nearest(read * 1e3)))
    }
    fn measure_stack(&mut self) -> Voltage {
        let dictated = &self.sensing.dictated;
        let truth = dictated.stack.unwrap_or_else(|| {
            let cells = self.cells.iter().map(|cell| cell.voltage);
            if dictated.cells.is_empty() {
                return cells.sum();
            }
            let told = dictated.cells.iter().copied().chain(std::iter::repeat(None));
            cells.zip(told).map(|(measured, told)| told.unwrap_or(measured)).sum()
        });
        let [_, bias, _] = self.sensing.other_bias;
        microvolts(self.sensing.errors.stack.read(truth, bias, &mut self.random))
    }
    fn measure_temperatures(&mut self) -> Temperatures {
        let mut answer = Temperatures::default();
        let states = self.sensing.thermistors.unwrap_or(self.spec.thermistors);
        let fitted = states.iter().filter(|state| **state != Thermistor::NotFitted).count().max(1);
        let truths: [Option<f64>; BATTERY_SENSORS] = std::array::from_fn(|index| {
            let told = self.sensing.dictated.battery.get(index).copied().flatten();
            told.or_else(|| self.cells.get(index * self.cells.len() / fitted).map(|cell| cell.temperature))
        });
        let mut biases = self.sensing.temperature_bias.iter();
        for ((reading, state), truth) in answer.battery.iter_mut().zip(states).zip(truths) {
            *reading = self.sensing.errors.temperature.thermistor(
                state,
                truth.unwrap_or_default(),
                biases.next().copied().unwrap_or_default(),
                &mut self.random,
            );
        }
        answer.mos = self.sensing.errors.temperature.thermistor(
            self.sensing.mos,
            self.sensing.dictated.mos.unwrap_or(self.thermal.mos),
            biases.next().copied().unwrap_or_default(),
            &mut self.random,
        );
        answer
    }
    fn measure_feedback(&self) -> Feedback {
        Feedback {
            balance_current: Current::from_milliamps(nearest(self.balancer.reported_current() * 1e3)),
            quiet: self.balancer.quiet(self.now),
            store_empty: self.balancer.ledger.stored < 0.01 * self.spec.balancer.store_joules,
        }
    }
    fn measure_inputs(&self) -> Inputs {
        let seen = |present: bool| self.spec.presence_inputs.then_some(present);
        Inputs {
            short_circuit: self.latched,
            charger: seen(self.charger.is_some()),
            load: seen(self.load.is_connected() || self.short_circuit.is_some()),
            activation: self.activation,
            reverse_wake: self.reverse_wake,
            self_test_failed: self.self_test_failed,
        }
    }
}

impl super::SensorError {
    fn thermistor(&self, state: Thermistor, truth: f64, bias: f64, random: &mut Pcg64Mcg) -> Reading<Temperature> {
        match state {
            Thermistor::Fitted => Reading::Valid(tenths(self.read(truth, bias, random))),
            Thermistor::Open => Reading::Invalid,
            Thermistor::Shorted => Reading::Valid(tenths(SHORTED_DEGREES)),
            Thermistor::NotFitted => Reading::NotMeasured,
        }
    }
}
