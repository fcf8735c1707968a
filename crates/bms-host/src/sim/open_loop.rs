//! An open loop: the sensors show what the scenario says, whatever the BMS does.

use bms_core::balancing::{BalancerCapabilities, Phase, Plan};
use bms_core::command::Command;
use bms_core::config::{SensorPolicy, ValidConfig};
use bms_core::measurement::{BATTERY_SENSORS, Cells, Feedback, Group, Inputs, Reading, Sample, Temperatures};
use bms_core::time::Instant;
use bms_core::units::{Current, Temperature, Voltage};

use super::scenario::{Change, Channel, Charger, Fault, Load, MAXIMUM_CELLS, saturating};

/// The sensors of a board without a pack.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    config: ValidConfig,
    cells: [f64; MAXIMUM_CELLS],
    current: f64,
    battery: [f64; BATTERY_SENSORS],
    mos: f64,
    stack: Option<f64>,
    terminal: Option<f64>,
    inputs: Inputs,
    short_circuit: bool,
    fault: Fault,
    plan: Plan,
    plan_since: Instant,
    /// How long the store was filled less how long it was emptied, ms.
    store: i64,
}

impl OpenLoop {
    /// Cells at these voltages, everything at 25 °C, no current.
    #[must_use]
    pub fn new(config: ValidConfig, cells: [f64; MAXIMUM_CELLS]) -> Self {
        Self {
            config,
            cells,
            current: 0.0,
            battery: [25.0; BATTERY_SENSORS],
            mos: 25.0,
            stack: None,
            terminal: None,
            inputs: Inputs::default(),
            short_circuit: false,
            fault: Fault::None,
            plan: Plan::Idle,
            plan_since: Instant::ZERO,
            store: 0,
        }
    }

    /// Carries out one field of an `[[at]]`; requests, parameters and resets are not for the sensors.
    pub fn change(&mut self, change: &Change) {
        match change {
            Change::AllCells(volts) => self.cells.fill(*volts),
            Change::Cell(cell, volts) => set(&mut self.cells, *cell, *volts),
            Change::Current(amperes) => self.current = *amperes,
            Change::Battery(sensor, degrees) => set(&mut self.battery, *sensor, *degrees),
            Change::Mos(degrees) => self.mos = *degrees,
            Change::Stack(volts) => self.stack = Some(*volts),
            Change::Terminal(volts) => self.terminal = Some(*volts),
            Change::Charger(charger) => {
                self.inputs.charger = Some(*charger != Charger::Absent);
                if let Charger::Rated { voltage, .. } = charger {
                    self.terminal = Some(*voltage);
                }
            }
            Change::Load(load) => self.inputs.load = Some(*load != Load::Absent),
            Change::ShortCircuit(level) => {
                self.short_circuit = *level;
                self.inputs.short_circuit |= *level;
            }
            Change::Activation(pressed) => self.inputs.activation = *pressed,
            Change::SelfTestFailed(failed) => self.inputs.self_test_failed = *failed,
            Change::Valid(channels) => {
                for channel in channels {
                    match channel {
                        Channel::Stack => self.stack = None,
                        Channel::Terminal => self.terminal = None,
                        _ => {}
                    }
                }
            }
            Change::Fault(fault) => self.fault = *fault,
            Change::Ambient(_)
            | Change::Request(_)
            | Change::Set(_)
            | Change::Reset(_)
            | Change::Lost(_)
            | Change::MeasuredCells(_) => {}
        }
    }

    /// What the sensors show.
    #[must_use]
    pub fn sample(&self, now: Instant) -> Sample {
        let board = self.config.board();
        let mut sample = Sample::new();
        sample.cells = Group::at(now, self.cell_readings());
        sample.current = Group::at(now, Current::from_milliamps(saturating(self.current * 1e3)));
        sample.temperatures = Group::at(now, self.temperatures());
        if board.stack_voltage {
            sample.stack = Group::at(now, volts(self.stack_volts()));
        }
        if board.terminal_voltage {
            sample.terminal = Group::at(now, volts(self.terminal.unwrap_or(self.stack_volts())));
        }
        sample.feedback = Group::at(now, self.feedback(now));
        sample.inputs = Group::at(now, self.inputs);
        sample
    }

    /// Carries out a command as far as sensors show it.
    pub fn apply(&mut self, now: Instant, command: &Command) {
        let lasted = i64::from(now.since(self.plan_since).as_millis());
        match self.plan {
            Plan::Transfer { phase: Phase::Take, .. } => self.store += lasted,
            Plan::Transfer { phase: Phase::Give, .. } => self.store = (self.store - lasted).max(0),
            _ => {}
        }
        (self.plan, self.plan_since) = (command.balance, now);
        if command.clear_latch && !self.short_circuit {
            self.inputs.short_circuit = false;
        }
    }

    /// Whether something would wake the board.
    #[must_use]
    pub fn wakes(&self) -> bool {
        self.inputs.activation || self.inputs.charger == Some(true)
    }

    fn count(&self) -> usize {
        usize::from(self.config.cell_count())
    }
    fn stack_volts(&self) -> f64 {
        self.stack.unwrap_or_else(|| self.cells.iter().take(self.count()).sum())
    }
    fn cell_readings(&self) -> Cells<24> {
        let mut shown = self.cells;
        if let Fault::OpenWire(wire) = self.fault {
            // The input falls to the wire below; at B+ and B− one cell simply shows nothing.
            let (below, above) = (usize::from(wire).checked_sub(1), usize::from(wire));
            let lost = below.and_then(|cell| shown.get(cell)).copied();
            match (below, lost) {
                (Some(cell), Some(lost)) => {
                    set(&mut shown, u8::try_from(cell).unwrap_or(u8::MAX), 0.0);
                    if let Some(neighbour) = shown.get_mut(above).filter(|_| above < self.count()) {
                        *neighbour += lost;
                    }
                }
                _ => set(&mut shown, 0, 0.0),
            }
        }
        let mut cells = Cells::new(self.config.cell_count());
        for (index, shown) in shown.iter().enumerate().take(self.count()) {
            cells.set(index, volts(*shown));
        }
        cells
    }
    fn temperatures(&self) -> Temperatures {
        let reading = |degrees: f64| Reading::Valid(Temperature::from_tenths(saturating(degrees * 10.0)));
        let mut temperatures = Temperatures { mos: reading(self.mos), ..Temperatures::default() };
        let sensors = self.config.board().sensors.iter().zip(self.battery);
        for (slot, (policy, degrees)) in temperatures.battery.iter_mut().zip(sensors) {
            if *policy != SensorPolicy::NotFitted {
                *slot = reading(degrees);
            }
        }
        temperatures
    }
    fn feedback(&self, now: Instant) -> Feedback {
        let settled =
            now.since(self.plan_since) >= BalancerCapabilities::MANUAL.settle_time || self.plan_since == Instant::ZERO;
        let balance_current = match self.plan {
            Plan::Transfer { phase: Phase::Take, current, .. } => Current::ZERO.minus(current),
            Plan::Transfer { phase: Phase::Give, current, .. } => current,
            _ => Current::ZERO,
        };
        Feedback { balance_current, quiet: self.plan.is_idle() && settled, store_empty: self.store == 0 }
    }
}

fn set<const COUNT: usize>(values: &mut [f64; COUNT], index: u8, value: f64) {
    if let Some(slot) = values.get_mut(usize::from(index)) {
        *slot = value;
    }
}

fn volts(volts: f64) -> Voltage {
    Voltage::from_microvolts(saturating(volts * 1e6))
}
