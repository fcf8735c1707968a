//! Alarm bits of every protocol, side by side, in one table over the core's alarms.

use bms_core::protection::{Alarm, AlarmSet, Inhibit};

/// Where an alarm goes in each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Bit of the native 32-bit word (Bluetooth, Modbus, JK CAN).
    pub native: Option<u8>,
    /// Bit of 4E57's field 8B.
    pub uart: Option<u8>,
    /// Two-bit field of JK CAN's 07F4.
    pub jk_can: Option<u8>,
    /// Bit of the first two bytes of Pylontech's 359 (8 and up: byte 1); its warning is 16 bits further.
    pub pylontech: Option<u8>,
    /// Pair of 35A for SMA and Victron, 0 is "general"; its warning is 16 pairs further.
    pub pair: Option<u8>,
}

const fn row(native: u8, uart: u8, jk_can: u8, pylontech: u8, pair: u8) -> Row {
    const fn some(value: u8) -> Option<u8> {
        if value == NONE { None } else { Some(value) }
    }
    Row { native: some(native), uart: some(uart), jk_can: some(jk_can), pylontech: some(pylontech), pair: some(pair) }
}

/// No bit in this protocol.
const NONE: u8 = u8::MAX;

/// Pairs of 35A.
mod pair {
    pub const GENERAL: u8 = 0;
    pub const HIGH_VOLTAGE: u8 = 1;
    pub const LOW_VOLTAGE: u8 = 2;
    pub const HIGH_TEMPERATURE: u8 = 3;
    pub const LOW_TEMPERATURE: u8 = 4;
    pub const HIGH_TEMPERATURE_CHARGING: u8 = 5;
    pub const LOW_TEMPERATURE_CHARGING: u8 = 6;
    pub const HIGH_CURRENT: u8 = 7;
    pub const HIGH_CHARGE_CURRENT: u8 = 8;
    pub const CONTACTOR: u8 = 9;
    pub const SHORT_CIRCUIT: u8 = 10;
    pub const INTERNAL: u8 = 11;
    pub const IMBALANCE: u8 = 12;
}
use pair::{
    CONTACTOR, GENERAL, HIGH_CHARGE_CURRENT, HIGH_CURRENT, HIGH_TEMPERATURE, HIGH_TEMPERATURE_CHARGING, HIGH_VOLTAGE,
    IMBALANCE, INTERNAL, LOW_TEMPERATURE, LOW_TEMPERATURE_CHARGING, LOW_VOLTAGE, SHORT_CIRCUIT,
};

/// Bits of 359.
mod bit359 {
    pub const OVER_VOLTAGE: u8 = 1;
    pub const UNDER_VOLTAGE: u8 = 2;
    pub const OVER_TEMPERATURE: u8 = 3;
    pub const UNDER_TEMPERATURE: u8 = 4;
    pub const DISCHARGE_CURRENT: u8 = 7;
    pub const CHARGE_CURRENT: u8 = 8;
    pub const SYSTEM: u8 = 11;
}
use bit359::{
    CHARGE_CURRENT, DISCHARGE_CURRENT, OVER_TEMPERATURE, OVER_VOLTAGE, SYSTEM, UNDER_TEMPERATURE, UNDER_VOLTAGE,
};

/// **The one table**: native, 4E57, JK CAN, 359, 35A. An alarm without a bit of its own takes the nearest in meaning, and
/// one that stops the pack always reaches an inverter.
#[must_use]
#[rustfmt::skip]
pub const fn of(alarm: Alarm) -> Row {
    match alarm {
        Alarm::WireResistance | Alarm::OpenWire => row(0, NONE, NONE, SYSTEM, INTERNAL),
        Alarm::MosOvertemperature =>            row( 1,    1,    7, OVER_TEMPERATURE,  HIGH_TEMPERATURE),
        Alarm::CellCountMismatch =>             row( 2, NONE, NONE, SYSTEM,            INTERNAL),
        Alarm::CurrentDataLost =>               row( 3, NONE, NONE, SYSTEM,            INTERNAL),
        Alarm::CellOvervoltage =>               row( 4,   10,    0, OVER_VOLTAGE,      HIGH_VOLTAGE),
        Alarm::Abuse =>                         row( 4,   10,    0, OVER_VOLTAGE,      HIGH_VOLTAGE),
        Alarm::PackOvervoltage =>               row( 5,    2,    2, OVER_VOLTAGE,      HIGH_VOLTAGE),
        Alarm::ChargeOvercurrent =>             row( 6,    5,    6, CHARGE_CURRENT,    HIGH_CHARGE_CURRENT),
        Alarm::SevereChargeOvercurrent =>       row( 6,    5,    6, CHARGE_CURRENT,    HIGH_CHARGE_CURRENT),
        Alarm::ChargeLockedOut =>               row( 6,    5,    6, CHARGE_CURRENT,    HIGH_CHARGE_CURRENT),
        Alarm::ChargeOvertemperature =>         row( 8,    4,    7, OVER_TEMPERATURE,  HIGH_TEMPERATURE_CHARGING),
        Alarm::ChargeUndertemperature =>        row( 9,    9,    8, UNDER_TEMPERATURE, LOW_TEMPERATURE_CHARGING),
        Alarm::CellUndervoltage =>              row(11,   11,    1, UNDER_VOLTAGE,     LOW_VOLTAGE),
        Alarm::AutoShutdown =>                  row(11,   11,    1, UNDER_VOLTAGE,     LOW_VOLTAGE),
        Alarm::DeepDischarge =>                 row(11,   11,    1, UNDER_VOLTAGE,     LOW_VOLTAGE),
        Alarm::PackUndervoltage =>              row(12,    3,    3, UNDER_VOLTAGE,     LOW_VOLTAGE),
        Alarm::DischargeOvercurrent =>          row(13,    6,    5, DISCHARGE_CURRENT, HIGH_CURRENT),
        Alarm::DischargeLockedOut =>            row(13,    6,    5, DISCHARGE_CURRENT, HIGH_CURRENT),
        Alarm::ShortCircuit =>                  row(14,    6,    5, DISCHARGE_CURRENT, SHORT_CIRCUIT),
        Alarm::DischargeOvertemperature =>      row(15,    4,    7, OVER_TEMPERATURE,  HIGH_TEMPERATURE),
        Alarm::ChargeSwitchStuck =>             row(16, NONE, NONE, SYSTEM,            CONTACTOR),
        Alarm::DischargeSwitchStuck | Alarm::OutputFailed => row(17, NONE, NONE, SYSTEM, CONTACTOR),
        Alarm::PrechargeFailed | Alarm::NotConducting => row(20, NONE, NONE, SYSTEM,   CONTACTOR),
        Alarm::OvertemperatureWarning =>        row(21,    8,    7, OVER_TEMPERATURE,  HIGH_TEMPERATURE),
        Alarm::BatterySensorFault | Alarm::MosSensorFault | Alarm::TemperatureDataLost =>
                                                row(22, NONE, NONE, SYSTEM,            GENERAL),
        Alarm::SevereDischargeOvercurrent =>    row(25,    6,    5, DISCHARGE_CURRENT, HIGH_CURRENT),
        Alarm::DischargeUndertemperature =>     row(27,    9,    8, UNDER_TEMPERATURE, LOW_TEMPERATURE),
        // The measuring part of the board does not deliver: what JK calls its coprocessor.
        Alarm::CellDataLost | Alarm::DataLostLong | Alarm::StackMismatch | Alarm::SelfTestFailed
        | Alarm::LimitsCorrupt | Alarm::StepLate | Alarm::TimeWentBack | Alarm::StorageCorrupt =>
                                                row(10,   12,   14, SYSTEM,            INTERNAL),
        // Without a native bit.
        Alarm::CellSpread | Alarm::CellSpreadWarning => row(NONE, 7, 4, NONE,          IMBALANCE),
        Alarm::TemperatureSpread | Alarm::TemperatureSpreadWarning => row(NONE, NONE, 9, NONE, GENERAL),
        Alarm::WrongChemistry | Alarm::ResetHoldOff | Alarm::EmergencyStop => row(NONE, NONE, 14, SYSTEM, GENERAL),
        Alarm::CountersCorrupt =>               row(NONE, NONE,  14, SYSTEM,           INTERNAL),
        Alarm::TerminalMismatch | Alarm::HeaterIneffective => row(NONE, NONE, NONE, NONE, GENERAL),
        Alarm::CellUndervoltageWarning =>       row(NONE, NONE,  1, UNDER_VOLTAGE,     LOW_VOLTAGE),
        Alarm::CellOvervoltageWarning =>        row(NONE, NONE,  0, OVER_VOLTAGE,      HIGH_VOLTAGE),
        Alarm::ChargeCurrentWarning =>          row(NONE, NONE,  6, CHARGE_CURRENT,    HIGH_CHARGE_CURRENT),
        Alarm::DischargeCurrentWarning =>       row(NONE, NONE,  5, DISCHARGE_CURRENT, HIGH_CURRENT),
        Alarm::UndertemperatureWarning =>       row(NONE, NONE,  8, UNDER_TEMPERATURE, LOW_TEMPERATURE_CHARGING),
        Alarm::MosTemperatureWarning =>         row(NONE, NONE,  7, OVER_TEMPERATURE,  HIGH_TEMPERATURE),
        // An alarm that this version does not know stops the pack for a reason of the board's own.
        _ =>                                    row(NONE, NONE, NONE, SYSTEM,          INTERNAL),
    }
}

/// Which protocol's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Column {
    /// The native 32-bit word; 24S keeps its low half.
    Native,
    /// 4E57's field 8B.
    Uart,
    /// JK CAN's two-bit levels: 0 none, 1 serious, 2 important, 3 general.
    JkCan,
    /// Pylontech's 359: two bytes of protections, two of warnings.
    Pylontech,
}

/// How bad, as JK CAN tells it.
fn level(alarm: Alarm) -> u32 {
    let inhibits = alarm.inhibits();
    if stops(alarm) || inhibits.includes(Inhibit::POWER) {
        1
    } else if alarm.is_warning() {
        3
    } else {
        2
    }
}

/// Whether an alarm opens a switch.
#[must_use]
pub fn stops(alarm: Alarm) -> bool {
    let inhibits = alarm.inhibits();
    inhibits.includes(Inhibit::CHARGE) || inhibits.includes(Inhibit::DISCHARGE)
}
/// Whether an alarm opens both switches, as a contactor would.
#[must_use]
pub fn stops_all(alarm: Alarm) -> bool {
    let inhibits = alarm.inhibits();
    inhibits.includes(Inhibit::CHARGE) && inhibits.includes(Inhibit::DISCHARGE)
}

/// The alarms as bits of a protocol.
#[must_use]
pub fn bits(alarms: AlarmSet, column: Column) -> u32 {
    alarms.iter().fold(0, |bits, alarm| {
        let row = of(alarm);
        let one = |place: Option<u8>| place.map_or(0, |bit| 1_u32.checked_shl(u32::from(bit)).unwrap_or(0));
        match column {
            Column::Native => bits | one(row.native),
            Column::Uart => bits | one(row.uart),
            Column::JkCan => row.jk_can.map_or(bits, |place| {
                let shift = u32::from(place).saturating_mul(2);
                let present = bits.checked_shr(shift).unwrap_or(0) & 3;
                let level = level(alarm);
                // The worst of those that share a field.
                let worst = if present == 0 { level } else { level.min(present) };
                bits & !3_u32.checked_shl(shift).unwrap_or(0) | worst.checked_shl(shift).unwrap_or(0)
            }),
            Column::Pylontech => {
                let warning = if stops(alarm) { 0 } else { 16 };
                bits | one(row.pylontech).checked_shl(warning).unwrap_or(0)
            }
        }
    })
}

/// 35A: 13 pairs of alarms, then at bit 32 the same of warnings; 01 present, 10 not present.
///
/// `contactor_only`: an alarm that leaves one direction usable is told as a warning, because it would put the inverter
/// into standby (SMA).
#[must_use]
pub fn pairs(alarms: AlarmSet, contactor_only: bool) -> u64 {
    const PAIRS: u32 = 13;
    let quiet = (0..PAIRS).fold(0_u64, |bits, pair| bits | 2_u64.wrapping_shl(pair.wrapping_mul(2)));
    alarms.iter().fold(quiet | quiet.wrapping_shl(32), |bits, alarm| {
        let Some(pair) = of(alarm).pair else { return bits };
        let is_alarm = if contactor_only { stops_all(alarm) } else { stops(alarm) };
        let shift = u32::from(pair).wrapping_mul(2).wrapping_add(if is_alarm { 0 } else { 32 });
        bits & !3_u64.wrapping_shl(shift) | 1_u64.wrapping_shl(shift)
    })
}

/// Every core alarm that shows as one of these bits: what a received word may mean.
#[must_use]
pub fn possible(word: u32, column: Column) -> AlarmSet {
    Alarm::ALL.into_iter().fold(AlarmSet::EMPTY, |set, alarm| {
        let own = bits(AlarmSet::EMPTY.with(alarm), column);
        let shown = match column {
            // Any level of the field.
            Column::JkCan => own != 0 && word & (own | own.wrapping_shl(1) & 0xaaaa_aaaa | own >> 1 & 0x5555_5555) != 0,
            _ => own & word != 0,
        };
        if shown { set.with(alarm) } else { set }
    })
}
