//! What is physically there, and what the sampler makes of it.

use bms_core::config::{
    BoardDefinition, Chemistry, Config, Model, ParameterId, Profile, SensorPolicy, Topology, ValidConfig,
};
use bms_core::measurement::{BATTERY_SENSORS, Cells, Feedback, Group, Inputs, Reading, Sample, Temperatures};
use bms_core::time::Instant;
use bms_core::units::{Voltage, ah, deg_c, ma, uv};

use super::op::{Op, Presence};

/// The packs that the laws are checked on: every chemistry, both profiles, every topology, sparse and full boards.
pub fn configuration(selector: u8) -> ValidConfig {
    const FULL_BOARD: BoardDefinition = BoardDefinition {
        topology: Topology::Contactors,
        terminal_voltage: true,
        precharge: true,
        last_resort: true,
        ..BoardDefinition::MANUAL
    };
    const SPARSE_BOARD: BoardDefinition = BoardDefinition {
        topology: Topology::SeparatePorts,
        stack_voltage: false,
        sensors: [
            SensorPolicy::Required,
            SensorPolicy::NotFitted,
            SensorPolicy::NotFitted,
            SensorPolicy::NotFitted,
            SensorPolicy::NotFitted,
        ],
        hardware_short_circuit: false,
        ..BoardDefinition::MANUAL
    };
    match selector % 6 {
        0 => const { Config::lifepo4(16).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated() },
        1 => const { Config::li_ion(24).with_model(Model::Bd6a24s10p).with_capacity(ah(60)).validated() },
        2 => {
            const {
                Config::lifepo4(16)
                    .with_model(Model::B2a24s15p)
                    .with_capacity(ah(280))
                    .with_profile(Profile::Manual)
                    .validated()
            }
        }
        3 => {
            const { Config::lto(20).with_model(Model::B1a20s15p).with_capacity(ah(40)).with_board(FULL_BOARD).validated() }
        }
        4 => {
            const {
                Config::li_ion(7)
                    .with_model(Model::Bd6a17s6p)
                    .with_capacity(ah(20))
                    .with_board(SPARSE_BOARD)
                    .validated()
            }
        }
        _ => {
            const {
                Config::lifepo4(16)
                    .with_model(Model::B2a24s20p)
                    .with_capacity(ah(100))
                    .with(ParameterId::HeaterResistance, 20_000_000)
                    .with(ParameterId::HeaterNeedsCharger, 0)
                    .validated()
            }
        }
    }
}

/// The pack and the board's senses.
#[derive(Clone)]
pub struct World {
    pub now: Instant,
    board: BoardDefinition,
    healthy_tenths: u16,
    healthy_count: u8,
    pub cells: [u16; 24],
    pub invalid: u32,
    pub count: u8,
    pub milliamps: i32,
    pub temperatures: Temperatures,
    pub inputs: Inputs,
    stack_offset: i16,
    terminal_offset: i16,
    presence: [Presence; 7],
}

impl World {
    /// A healthy pack at rest.
    pub fn new(config: &ValidConfig) -> Self {
        let healthy_tenths = match config.to_config().chemistry() {
            Chemistry::LiIon => 37_000,
            Chemistry::LiFePo4 => 33_000,
            Chemistry::Lto => 22_500,
        };
        let mut world = Self {
            // Not zero, so that time can go back.
            now: Instant::from_millis(1_000_000),
            board: *config.to_config().board(),
            healthy_tenths,
            healthy_count: config.cell_count(),
            cells: [0; 24],
            invalid: 0,
            count: 0,
            milliamps: 0,
            temperatures: Temperatures::default(),
            inputs: Inputs::default(),
            stack_offset: 0,
            terminal_offset: 0,
            presence: [Presence::Measured; 7],
        };
        world.heal();
        world
    }

    /// The cell count that the core is now configured for.
    pub fn expect_cells(&mut self, count: u8) {
        self.healthy_count = count;
    }

    pub fn healthy_tenths(&self) -> u16 {
        self.healthy_tenths
    }

    fn heal(&mut self) {
        self.cells = [self.healthy_tenths; 24];
        self.invalid = 0;
        self.count = self.healthy_count;
        // Little enough not to prove a stuck switch while the switches are open (X10).
        self.milliamps = -1_000;
        let mut battery = [Reading::NotMeasured; BATTERY_SENSORS];
        for (reading, policy) in battery.iter_mut().zip(self.board.sensors) {
            if policy != SensorPolicy::NotFitted {
                *reading = Reading::Valid(deg_c(25));
            }
        }
        self.temperatures = Temperatures { battery, mos: Reading::Valid(deg_c(30)) };
        self.inputs = Inputs::default();
        self.stack_offset = 0;
        self.terminal_offset = 0;
        self.presence = [Presence::Measured; 7];
    }

    /// The physical part of an operation.
    pub fn apply(&mut self, op: &Op) {
        match *op {
            Op::Heal | Op::Repair => self.heal(),
            Op::Cell { index, tenths } => {
                self.cells[usize::from(index)] = tenths;
                self.invalid &= !(1 << index);
            }
            Op::AllCells { tenths } => self.cells = [tenths; 24],
            Op::CellInvalid { index } => self.invalid |= 1 << index,
            Op::CellCount { count } => self.count = count,
            Op::Current { milliamps } => self.milliamps = milliamps,
            Op::Temperature { sensor, reading } => match self.temperatures.battery.get_mut(usize::from(sensor)) {
                Some(battery) => *battery = reading,
                None => self.temperatures.mos = reading,
            },
            Op::StackOffset { millivolts } => self.stack_offset = millivolts,
            Op::TerminalOffset { millivolts } => self.terminal_offset = millivolts,
            Op::Group { group, presence } => self.presence[usize::from(group)] = presence,
            Op::Inputs(inputs) => self.inputs = inputs,
            Op::Samples { .. }
            | Op::Lost
            | Op::Tick { .. }
            | Op::TimeBack { .. }
            | Op::Request(_)
            | Op::Parameter { .. }
            | Op::Output { .. }
            | Op::Reset { .. } => {}
        }
    }

    fn stack(&self) -> Voltage {
        let count = usize::from(self.count).min(self.cells.len());
        let tenths: i32 = self.cells[..count].iter().map(|cell| i32::from(*cell)).sum();
        uv(tenths * 100 + i32::from(self.stack_offset) * 1_000)
    }

    fn group<T>(&self, group: usize, fitted: bool, value: T) -> Group<T> {
        match self.presence[group] {
            Presence::Measured if fitted => Group::at(self.now, value),
            Presence::Failed if fitted => Group::Failed,
            _ => Group::NotMeasured,
        }
    }

    /// What the sampler delivers now. `quiet`: the balancer is off and settled.
    pub fn sample(&self, quiet: bool) -> Sample {
        let mut cells = Cells::new(self.count);
        for (index, tenths) in self.cells.iter().enumerate().take(usize::from(self.count)) {
            if self.invalid & (1 << index) == 0 {
                cells.set_tenths(index, *tenths);
            }
        }
        let terminal = uv(self.stack().as_microvolts().saturating_add(i32::from(self.terminal_offset) * 1_000));
        let feedback = Feedback { quiet, store_empty: true, ..Feedback::default() };
        let mut sample = Sample::new();
        sample.cells = self.group(0, true, cells);
        sample.current = self.group(1, true, ma(self.milliamps));
        sample.temperatures = self.group(2, true, self.temperatures);
        sample.stack = self.group(3, self.board.stack_voltage, self.stack());
        sample.terminal = self.group(4, self.board.terminal_voltage, terminal);
        sample.feedback = self.group(5, true, feedback);
        sample.inputs = self.group(6, true, self.inputs);
        sample
    }
}
