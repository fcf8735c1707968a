//! From bytes to operations: the same for property tests and fuzzing.

use bms_core::bms::Request;
use bms_core::config::{
    BoardDefinition, Chemistry, Config, Model, PARAMETERS, ParameterId as P, Profile, SensorPolicy,
};
use bms_core::config::{Scope, Topology, ValidConfig};
use bms_core::snapshot::ResetCause;
use bms_core::time::ms;
use bms_core::units::{Charge, amps};

/// Bytes, read once; zeros after the end.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    bytes: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// From the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// The next one.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }
    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    /// Two bytes.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }
}

/// What of a sample goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The group failed.
    CellsFailed,
    /// The group was not measured.
    CellsAbsent,
    /// One reading is worthless.
    CellInvalid(u8),
    /// One cell more or less is measured.
    CellCount(i8),
    /// The time stamp lies in the future.
    CellsFuture,
    /// The time stamp is that old.
    CellsAge(u16),
    /// The current failed.
    CurrentFailed,
    /// The current was not measured.
    CurrentAbsent,
    /// The current's time stamp is that old.
    CurrentAge(u16),
    /// All temperatures failed.
    TemperaturesFailed,
    /// No temperature was measured.
    TemperaturesAbsent,
    /// A sensor is open.
    SensorInvalid(u8),
    /// A sensor was not read.
    SensorAbsent(u8),
    /// A sensor is shorted.
    SensorShorted(u8),
    /// The stack voltage failed.
    StackFailed,
    /// The stack voltage was not measured.
    StackAbsent,
    /// The terminal voltage failed.
    TerminalFailed,
    /// The digital inputs failed.
    InputsFailed,
    /// The digital inputs were not read.
    InputsAbsent,
    /// The digital inputs' time stamp is that old.
    InputsAge(u16),
    /// The stack voltage's time stamp is that old.
    StackAge(u16),
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Steps with a sample each.
    Steps {
        /// How many.
        count: u16,
        /// Milliseconds each.
        period: u32,
    },
    /// A step with `Tick`.
    Tick(u32),
    /// A step with `Lost`.
    Lost(u32),
    /// A step at an earlier time.
    Back(u32),
    /// A cell's voltage in microvolts; `None` is all cells.
    Cell(Option<u8>, i32),
    /// The current in mA.
    Current(i32),
    /// A temperature in tenths of a degree; 5 is the switches', 6 all of the battery's.
    Temperature(u8, i32),
    /// A fault for so many steps.
    Fault(Fault, u8),
    /// The short-circuit latch is set.
    Short,
    /// Charger input.
    Charger(Option<bool>),
    /// Load input.
    Load(Option<bool>),
    /// Activation input.
    Activation(bool),
    /// C− pulled below B−.
    Reverse(bool),
    /// A self-test fails or passes.
    SelfTest(bool),
    /// The stack's difference to the sum of the cells, in µV.
    StackOffset(i32),
    /// The terminal's difference to the stack, in µV.
    TerminalOffset(i32),
    /// A request.
    Request(Request),
    /// A parameter.
    Parameter(P, i32),
    /// A new configuration: chemistry, cells.
    Reconfigure(Chemistry, u8),
    /// A reset.
    Reset(ResetCause),
    /// Writing the last command failed, or did not.
    Output(bool),
    /// The snapshot is stored.
    Stored,
}

/// How the pack and its board are built.
pub fn configuration(bytes: &mut Bytes<'_>) -> Option<ValidConfig> {
    let shape = bytes.byte();
    let chemistry = Chemistry::ALL[usize::from(shape % 3)];
    let profile = if (shape / 3).is_multiple_of(2) { Profile::Manual } else { Profile::Default };
    let cells = bytes.pick(&[4, 5, 8, 16, 24]);
    let board = bytes.byte();
    let mut definition = BoardDefinition::MANUAL;
    let policies = [SensorPolicy::Required, SensorPolicy::Optional, SensorPolicy::NotFitted];
    definition.sensors[0] = policies[usize::from(board % 3)];
    definition.sensors[1] = policies[usize::from(board / 3 % 3)];
    definition.topology = match board / 9 % 8 {
        6 => Topology::SeparatePorts,
        7 => Topology::Contactors,
        _ => Topology::BackToBack,
    };
    definition.terminal_voltage = board / 72 % 2 == 1 && profile == Profile::Manual;
    let mut config = Config::preset(chemistry, cells);
    config = if cells >= 14 {
        config.with_model(Model::B2a24s20p)
    } else {
        config.with_charge_limit(amps(50), ms(30_000)).with_discharge_limit(amps(100), ms(30_000))
    };
    config = config.with_capacity(Charge::from_milliamp_hours(100_000)).with_profile(profile).with_board(definition);
    if bytes.below(4) == 0 && definition.sensors[..2] != [SensorPolicy::NotFitted; 2] {
        config = config.with(P::HeaterResistance, 60_000_000);
    }
    for _ in 0..bytes.below(6) {
        let parameter = parameter(bytes);
        let value = value(bytes, parameter, &config);
        let changed = config.with(parameter, value);
        if changed.validate().is_ok() {
            config = changed;
        }
    }
    config.validate().ok()
}

/// Parameters that concern rounding or the state of charge only, which the oracle does not judge.
const LEFT_OUT: [P; 5] =
    [P::VoltageGain, P::CurrentGain, P::CurrentOffset, P::TerminalMismatchVoltage, P::NotConductingVoltage];

fn parameter(bytes: &mut Bytes<'_>) -> P {
    let chosen = PARAMETERS[bytes.below(PARAMETERS.len())].id;
    if LEFT_OUT.contains(&chosen) || chosen == P::CellCount { P::CellUndervoltageDelay } else { chosen }
}

fn value(bytes: &mut Bytes<'_>, parameter: P, config: &Config) -> i32 {
    let row = parameter.info();
    let now = config.get(parameter);
    match bytes.below(8) {
        0 => row.minimum,
        1 => row.maximum,
        2 => 0,
        3 => now + row.step,
        4 => now - row.step,
        5 => now / 2,
        6 => now.saturating_mul(2),
        _ => {
            let span = (i64::from(row.maximum) - i64::from(row.minimum)).max(0);
            (i64::from(row.minimum) + span * i64::from(bytes.byte()) / 255) as i32
        }
    }
}

/// A voltage at or beside one of the limits, in steps of 0.1 mV.
fn cell_voltage(bytes: &mut Bytes<'_>, config: &ValidConfig) -> i32 {
    let limit = match bytes.below(16) {
        0 => config.get(P::CellUndervoltageProtection),
        1 => config.get(P::CellUndervoltageRecovery),
        2 => config.get(P::CellOvervoltageProtection),
        3 => config.get(P::CellOvervoltageRecovery),
        4 => config.get(P::AutoShutdownVoltage),
        5 => config.get(P::BalanceStartVoltage),
        6 => config.get(P::NeverChargeVoltage).max(1_100_000),
        7 => config.get(P::AbuseVoltage).max(1_100_000),
        8 => config.get(P::CellUndervoltageProtection) + config.get(P::WarningVoltageMargin),
        9 => config.get(P::CellOvervoltageProtection) - config.get(P::WarningVoltageMargin),
        _ => nominal(config),
    };
    limit / 100 * 100 + bytes.pick(&[-100, 0, 100, 5_000, -5_000, 20_000])
}

/// Between both recoveries.
pub fn nominal(config: &ValidConfig) -> i32 {
    (config.get(P::CellUndervoltageRecovery) + config.get(P::CellOvervoltageRecovery)) / 200 * 100
}

fn current(bytes: &mut Bytes<'_>, config: &ValidConfig) -> i32 {
    let charge = config.get(P::ChargeOvercurrentProtection);
    let discharge = config.get(P::DischargeOvercurrentProtection);
    let limit = match bytes.below(16) {
        0 | 1 => charge,
        2 | 3 => -discharge,
        4 => charge * config.get(P::SevereChargeRatio).max(1_000) / 1_000,
        5 => -config.get(P::SevereDischargeCurrent),
        6 => 200,
        7 => config.get(P::StuckSwitchCurrent),
        8 => -config.get(P::StuckSwitchCurrent),
        9 => config.get(P::DiodeBypassCurrent),
        10 => -config.get(P::DiodeBypassCurrent),
        11 => -20_000,
        12 => 20_000,
        _ => 0,
    };
    limit + bytes.pick(&[-1, 0, 1, 100])
}

fn temperature(bytes: &mut Bytes<'_>, config: &ValidConfig) -> i32 {
    let limit = match bytes.below(16) {
        0 => P::ChargeOvertemperatureProtection,
        1 => P::ChargeOvertemperatureRecovery,
        2 => P::DischargeOvertemperatureProtection,
        3 => P::DischargeOvertemperatureRecovery,
        4 => P::ChargeUndertemperatureProtection,
        5 => P::ChargeUndertemperatureRecovery,
        6 => P::DischargeUndertemperatureProtection,
        7 => P::DischargeUndertemperatureRecovery,
        8 => P::MosOvertemperatureProtection,
        9 => P::MosOvertemperatureRecovery,
        10 => return bytes.pick(&[-450, -451, 1_250, 1_251]),
        _ => return 250,
    };
    config.get(limit) + bytes.pick(&[-1, 0, 1, 10, -10])
}

fn fault(bytes: &mut Bytes<'_>, cells: u8) -> Fault {
    let age = bytes.pick(&[1, 50, 99, 100, 101, 500, 999, 1_000]);
    match bytes.below(26) {
        0 | 1 => Fault::CellsFailed,
        2 => Fault::CellsAbsent,
        3 | 4 => Fault::CellInvalid(bytes.byte() % cells),
        5 => Fault::CellCount(bytes.pick(&[-1, 1])),
        6 => Fault::CellsFuture,
        7 => Fault::CellsAge(age),
        8 | 9 => Fault::CurrentFailed,
        10 => Fault::CurrentAbsent,
        11 => Fault::CurrentAge(age),
        12 => Fault::TemperaturesFailed,
        13 => Fault::TemperaturesAbsent,
        14 | 15 => Fault::SensorInvalid(bytes.pick(&[0, 1, 5])),
        16 => Fault::SensorAbsent(bytes.pick(&[0, 1, 5])),
        17 => Fault::SensorShorted(bytes.pick(&[0, 1, 5])),
        18 => Fault::StackFailed,
        19 => Fault::StackAbsent,
        20 => Fault::TerminalFailed,
        21 => Fault::InputsFailed,
        22 => Fault::InputsAbsent,
        23 => Fault::InputsAge(age),
        24 => Fault::StackAge(age),
        _ => Fault::None,
    }
}

fn request(bytes: &mut Bytes<'_>) -> Request {
    match bytes.below(12) {
        0 => Request::SetCharge(false),
        1 | 2 => Request::SetCharge(true),
        3 => Request::SetDischarge(false),
        4 | 5 => Request::SetDischarge(true),
        6 => Request::SetBalance(bytes.byte().is_multiple_of(2)),
        7 => Request::ClearLockout,
        8 => Request::ClearPermanent,
        9 => Request::EmergencyStop,
        10 => Request::ResetEmergencyStop,
        _ => Request::Shutdown,
    }
}

const PERIODS: [u32; 16] = [100, 100, 100, 100, 100, 100, 1, 10, 50, 200, 250, 300, 500, 999, 1_000, 1_001];

/// The next operation.
pub fn operation(bytes: &mut Bytes<'_>, config: &ValidConfig) -> Operation {
    let cells = config.cell_count();
    match bytes.byte() {
        0..=69 => Operation::Steps { count: 1, period: bytes.pick(&PERIODS) },
        70..=114 => {
            let period = bytes.pick(&PERIODS);
            Operation::Steps { count: u16::from(bytes.byte() % 64) + 2, period }
        }
        115..=124 => Operation::Steps { count: u16::from(bytes.byte()) * 4 + 2, period: bytes.pick(&[100, 200, 500]) },
        125..=149 => {
            let which = bytes.byte();
            let voltage = cell_voltage(bytes, config);
            Operation::Cell((which >= 64).then_some(which % cells), voltage)
        }
        150..=169 => Operation::Current(current(bytes, config)),
        170..=186 => Operation::Temperature(bytes.pick(&[0, 1, 5, 6]), temperature(bytes, config)),
        187..=204 => {
            let fault = fault(bytes, cells);
            Operation::Fault(fault, bytes.pick(&[1, 1, 1, 2, 3, 5, 9, 10, 11, 12, 60, 100, 110]))
        }
        205..=207 => Operation::Short,
        208..=210 => Operation::Charger(bytes.pick(&[None, Some(true), Some(false)])),
        211..=213 => Operation::Load(bytes.pick(&[None, Some(true), Some(false)])),
        214 => Operation::Activation(bytes.byte().is_multiple_of(2)),
        215 => Operation::Reverse(bytes.byte().is_multiple_of(2)),
        216 | 217 => Operation::SelfTest(bytes.byte().is_multiple_of(3)),
        218..=220 => Operation::StackOffset(bytes.pick(&[0, 0, 12_000, 200_000, 1_000_000, -1_000_000, 5_000_000])),
        221..=223 => Operation::TerminalOffset(bytes.pick(&[
            0, 0, -500_000, 500_000, 500_100, 1_000_000, 1_000_100, 5_000_000, 5_000_100, 10_000_000, -1_000_100,
        ])),
        224..=232 => Operation::Request(request(bytes)),
        233..=240 => {
            let parameter = parameter(bytes);
            Operation::Parameter(parameter, value(bytes, parameter, &config.to_config()))
        }
        241 => Operation::Parameter(P::CellCount, bytes.pick(&[4, 5, 8, 16, 24])),
        242 => Operation::Reconfigure(Chemistry::ALL[bytes.below(3)], bytes.pick(&[0, 0, 0, 4, 5, 8])),
        243 | 244 => {
            use ResetCause as R;
            Operation::Reset(bytes.pick(&[R::PowerOn, R::BrownOut, R::Watchdog, R::Unknown]))
        }
        245..=247 => Operation::Tick(bytes.pick(&PERIODS)),
        248..=250 => Operation::Lost(bytes.pick(&PERIODS)),
        251 => Operation::Back(bytes.pick(&[1, 100, 10_000])),
        252 => Operation::Output(bytes.byte().is_multiple_of(2)),
        253 => Operation::Stored,
        _ => Operation::Tick(bytes.pick(&[2_000, 10_000, 60_000, 3_600_000, u32::MAX])),
    }
}

/// Whether a link may write a parameter (P15, D01).
pub fn writable(parameter: P) -> bool {
    parameter.info().scope == Scope::Service
}
