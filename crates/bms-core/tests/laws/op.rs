//! Operations: what can happen to a BMS, decoded from bytes.

use bms_core::bms::Request;
use bms_core::config::{PARAMETERS, ParameterId, ValidConfig};
use bms_core::measurement::{Inputs, Reading};
use bms_core::snapshot::ResetCause;
use bms_core::units::{Temperature, amps, mv};

/// A stream of bytes that ends.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    pub fn half(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }
    pub fn word(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]))
    }
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.byte()? & 1 == 1)
    }
}

/// How a group of readings comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Measured,
    NotMeasured,
    Failed,
}

/// What a store gives back at a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Intact,
    Nothing,
    Corrupt,
    CountersCorrupt,
}

/// One thing that happens, to the pack, to the board, or by a user.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Everything physical becomes healthy again; time and the BMS go on.
    Heal,
    /// A cell shows another voltage, in 0.1 mV.
    Cell {
        index: u8,
        tenths: u16,
    },
    AllCells {
        tenths: u16,
    },
    /// The reading of a cell is worthless from now on.
    CellInvalid {
        index: u8,
    },
    /// The front end sees another number of cells.
    CellCount {
        count: u8,
    },
    Current {
        milliamps: i32,
    },
    /// Sensors 0 … 4 are the battery's, 5 is the switches'.
    Temperature {
        sensor: u8,
        reading: Reading<Temperature>,
    },
    /// The stack voltage differs from the sum of the cells.
    StackOffset {
        millivolts: i16,
    },
    /// The terminal differs from the stack.
    TerminalOffset {
        millivolts: i16,
    },
    /// A group (cells, current, temperatures, stack, terminal, feedback, inputs) fails, pauses, or works again.
    Group {
        group: u8,
        presence: Presence,
    },
    Inputs(Inputs),
    /// Samples of the world as it is, one each period.
    Samples {
        count: u8,
        period: u16,
    },
    /// The whole sample is lost.
    Lost,
    /// Only time passes.
    Tick {
        milliseconds: u16,
    },
    /// The clock goes back.
    TimeBack {
        milliseconds: u16,
    },
    Request(Request),
    Parameter {
        parameter: ParameterId,
        value: i32,
    },
    /// Writing the outputs failed or worked.
    Output {
        failed: bool,
    },
    Reset {
        cause: ResetCause,
        memory: Memory,
    },
    /// Heals the world, ends the emergency stop, clears lock-outs and permanent faults, switches on, and waits.
    Repair,
}

impl Op {
    /// The next operation; `None` when the bytes are used up.
    pub fn decode(bytes: &mut Bytes<'_>, config: &ValidConfig) -> Option<Self> {
        Some(match bytes.byte()? {
            0..=59 => samples(bytes)?,
            60..=94 => Self::Heal,
            95..=119 => Self::Cell { index: bytes.byte()? % 24, tenths: cell_voltage(bytes, config)? },
            120..=134 => Self::AllCells { tenths: cell_voltage(bytes, config)? },
            135..=139 => Self::CellInvalid { index: bytes.byte()? % 24 },
            140 => Self::CellCount { count: bytes.byte()? },
            141..=164 => Self::Current { milliamps: current(bytes, config)? },
            165..=184 => Self::Temperature { sensor: bytes.byte()? % 6, reading: temperature(bytes, config)? },
            185..=187 => Self::StackOffset { millivolts: bytes.half()? as i16 },
            188..=189 => Self::TerminalOffset { millivolts: bytes.half()? as i16 },
            190..=199 => Self::Group { group: bytes.byte()? % 7, presence: presence(bytes)? },
            200..=207 => Self::Inputs(inputs(bytes)?),
            208..=213 => Self::Lost,
            214..=219 => Self::Tick { milliseconds: bytes.half()? % 10_000 },
            220..=221 => Self::TimeBack { milliseconds: bytes.half()? },
            222..=236 => Self::Request(request(bytes)?),
            237..=243 => parameter(bytes)?,
            244..=245 => Self::Output { failed: bytes.flag()? },
            246..=247 => reset(bytes)?,
            // What an owner does about everything that has piled up.
            248..=255 => Self::Repair,
        })
    }
}

/// Mostly the promised period; sometimes fast, slow, or a gap.
fn samples(bytes: &mut Bytes<'_>) -> Option<Op> {
    let count = bytes.byte()? % 48 + 1;
    let period = match bytes.byte()? {
        fast @ 0..=31 => u16::from(fast) + 1,
        32..=191 => 100,
        slow @ 192..=239 => u16::from(slow) * 4,
        gap @ 240..=255 => u16::from(gap - 239) * 700,
    };
    Some(Op::Samples { count, period })
}

/// A value near one of `centres`, in steps of `grain`.
fn near(bytes: &mut Bytes<'_>, centres: &[i32], grain: i32) -> Option<i32> {
    let centre = centres[usize::from(bytes.byte()?) % centres.len()];
    let offset = i32::from(bytes.byte()? as i8);
    // Half of the draws sit within three grains of the limit, where equality is.
    let offset = if offset % 2 == 0 { offset / 2 % 4 } else { offset };
    Some(centre.saturating_add(offset.saturating_mul(grain)))
}

fn cell_voltage(bytes: &mut Bytes<'_>, config: &ValidConfig) -> Option<u16> {
    use ParameterId as P;
    if bytes.byte()? < 24 {
        return bytes.half();
    }
    let centres = [
        P::CellUndervoltageProtection,
        P::CellUndervoltageRecovery,
        P::CellOvervoltageProtection,
        P::CellOvervoltageRecovery,
        P::AutoShutdownVoltage,
        P::NeverChargeVoltage,
        P::AbuseVoltage,
        P::BalanceStartVoltage,
    ]
    .map(|parameter| config.get(parameter) / 100);
    let grain = if bytes.flag()? { 1 } else { 50 };
    near(bytes, &centres, grain).map(|tenths| u16::try_from(tenths.max(0)).unwrap_or(u16::MAX))
}

fn current(bytes: &mut Bytes<'_>, config: &ValidConfig) -> Option<i32> {
    use ParameterId as P;
    if bytes.byte()? < 8 {
        return bytes.word();
    }
    let charge = config.get(P::ChargeOvercurrentProtection);
    let centres = [
        0,
        charge,
        charge.saturating_add(charge / 2),
        -config.get(P::DischargeOvercurrentProtection),
        -config.get(P::SevereDischargeCurrent),
        config.get(P::DiodeBypassCurrent),
        -config.get(P::DiodeBypassCurrent),
        config.get(P::StuckSwitchCurrent),
    ];
    let grain = if bytes.flag()? { 1 } else { 100 };
    near(bytes, &centres, grain)
}

fn temperature(bytes: &mut Bytes<'_>, config: &ValidConfig) -> Option<Reading<Temperature>> {
    use ParameterId as P;
    let centres = [
        config.get(P::ChargeOvertemperatureProtection),
        config.get(P::ChargeOvertemperatureRecovery),
        config.get(P::ChargeUndertemperatureProtection),
        config.get(P::ChargeUndertemperatureRecovery),
        config.get(P::MosOvertemperatureProtection),
        config.get(P::MosOvertemperatureRecovery),
        -450,
        1_250,
    ];
    Some(match bytes.byte()? {
        0..=23 => Reading::Invalid,
        24..=39 => Reading::NotMeasured,
        _ => Reading::Valid(Temperature::from_tenths(near(bytes, &centres, 1)?)),
    })
}

fn presence(bytes: &mut Bytes<'_>) -> Option<Presence> {
    Some(match bytes.byte()? % 4 {
        0 => Presence::Failed,
        1 => Presence::NotMeasured,
        _ => Presence::Measured,
    })
}

fn maybe(bits: u8) -> Option<bool> {
    match bits % 4 {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn inputs(bytes: &mut Bytes<'_>) -> Option<Inputs> {
    let bits = bytes.byte()?;
    Some(Inputs {
        short_circuit: bits & 3 == 0,
        charger: maybe(bits >> 2),
        load: maybe(bits >> 4),
        activation: bits & 0x40 != 0,
        reverse_wake: bits & 0x80 != 0,
        self_test_failed: bytes.byte()? < 32,
    })
}

fn request(bytes: &mut Bytes<'_>) -> Option<Request> {
    Some(match bytes.byte()? % 21 {
        0 => Request::SetCharge(false),
        1..=2 => Request::SetCharge(true),
        3 => Request::SetDischarge(false),
        4..=5 => Request::SetDischarge(true),
        6 => Request::SetBalance(bytes.flag()?),
        7..=8 => Request::ClearLockout,
        9..=10 => Request::ClearPermanent,
        11..=12 => Request::EmergencyStop,
        13..=16 => Request::ResetEmergencyStop,
        17 => Request::Shutdown,
        18 => Request::CalibrateVoltage(mv(i32::from(bytes.half()?))),
        19 => Request::CalibrateCurrent(amps(i32::from(bytes.byte()? as i8))),
        _ => Request::RestoreFactorySettings,
    })
}

/// Any parameter; a value in its range, at the range's ends, or anything.
fn parameter(bytes: &mut Bytes<'_>) -> Option<Op> {
    let row = &PARAMETERS[usize::from(bytes.byte()?) % PARAMETERS.len()];
    let value = match bytes.byte()? {
        0..=15 => bytes.word()?,
        16..=23 => 0,
        24..=31 => row.minimum.saturating_sub(1),
        32..=39 => row.maximum.saturating_add(1),
        _ => {
            let span = i64::from(row.maximum) - i64::from(row.minimum);
            let part = span * i64::from(bytes.half()?) / i64::from(u16::MAX);
            i32::try_from(i64::from(row.minimum) + part).unwrap_or(row.maximum)
        }
    };
    Some(Op::Parameter { parameter: row.id, value })
}

fn reset(bytes: &mut Bytes<'_>) -> Option<Op> {
    let cause = match bytes.byte()? % 4 {
        0 => ResetCause::PowerOn,
        1 => ResetCause::BrownOut,
        2 => ResetCause::Watchdog,
        _ => ResetCause::Unknown,
    };
    let memory = match bytes.byte()? {
        0..=7 => Memory::Corrupt,
        8..=23 => Memory::CountersCorrupt,
        24..=47 => Memory::Nothing,
        _ => Memory::Intact,
    };
    Some(Op::Reset { cause, memory })
}
