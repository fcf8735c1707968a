//! The native tables: cell information, settings, device information. Offsets are of the whole frame.
//!
//! The same tables travel over Bluetooth and the RS485 trigger in little endian, and over Modbus in big endian.

use bms_core::bms::Request;
use bms_core::config::{Chemistry, ParameterId as P};
use bms_core::units::{ma, mv};

use crate::alarms::Column;
use crate::field::Kind::{F32, I8, I16, I32, U8, U16, U32};
use crate::field::{Field, Quantity as Q, field};
use bms_core::access::Change;

/// Which of the two layouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layout {
    /// JK02_32S: software 11 and later.
    #[default]
    S32,
    /// JK02_24S: software below 11.
    S24,
}

/// A row of a native table: its place in the 32S layout stands in the field.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The row in the 32S layout.
    pub field: Field,
    /// Its offset in the 24S layout; 0 where that has none.
    pub at_24s: u16,
    /// Register that writes it over Bluetooth; 0 where there is none.
    pub register: u8,
    /// The register of the 24S layout, where that differs.
    pub register_24s: u8,
}

impl Row {
    /// The row in a layout, if it has one there.
    #[must_use]
    pub fn in_layout(&self, layout: Layout) -> Option<Field> {
        match layout {
            Layout::S32 => (self.field.at != 0).then_some(self.field),
            Layout::S24 if self.at_24s == 0 => None,
            Layout::S24 => {
                let mut field = self.field.moved(self.at_24s);
                if field.quantity == Q::Alarms(Column::Native) {
                    field.kind = U16;
                }
                field.count = field.count.min(24);
                Some(field)
            }
        }
    }
    /// The register of a layout; 0 where there is none.
    #[must_use]
    pub const fn register_in(&self, layout: Layout) -> u8 {
        match layout {
            Layout::S24 if self.register_24s != 0 => self.register_24s,
            Layout::S24 if self.at_24s == 0 => 0,
            _ => self.register,
        }
    }
}

const fn row(field: Field, at_24s: u16) -> Row {
    Row { field, at_24s, register: 0, register_24s: 0 }
}
/// A setting stands at the same place in both layouts.
const fn setting(field: Field, register: u8) -> Row {
    Row { field, at_24s: field.at, register, register_24s: 0 }
}
/// A setting that only 32S has.
const fn setting_32s(field: Field, register: u8) -> Row {
    Row { field, at_24s: 0, register, register_24s: 0 }
}

/// An absent sensor, in 0.1 °C.
const NO_SENSOR: i32 = -2_000;

/// Cell information, frame type 02.
#[rustfmt::skip]
pub const CELL_INFO: &[Row] = &[
    row(field(  6, U16, Q::Cell, 1_000).times(32),                6),
    row(field( 70, U32, Q::CellMask, 1),                         54),
    row(field( 74, U16, Q::AverageCell, 1_000),                  58),
    row(field( 76, U16, Q::CellSpread, 1_000),                   60),
    row(field( 78,  U8, Q::HighestCell, 1),                      62),
    row(field( 79,  U8, Q::LowestCell, 1),                       63),
    row(field( 80, U16, Q::Wire, 1).times(32),                   64),
    row(field(144, I16, Q::Mos, 1).or(NO_SENSOR),               134),
    row(field(146, U32, Q::FlaggedWires, 1),                    114),
    row(field(150, U32, Q::PackVoltage, 1_000),                 118),
    row(field(154, U32, Q::Power, 1),                           122),
    row(field(158, I32, Q::Current, 1),                         126),
    row(field(162, I16, Q::Battery(0), 1).or(NO_SENSOR),        130),
    row(field(164, I16, Q::Battery(1), 1).or(NO_SENSOR),        132),
    row(field(166, U32, Q::Alarms(Column::Native), 1),          136),
    row(field(170, I16, Q::BalanceCurrent, 1),                  138),
    row(field(172,  U8, Q::Balancing, 1),                       140),
    row(field(173,  U8, Q::StateOfCharge, 10),                  141),
    row(field(174, U32, Q::Remaining, 1),                       142),
    row(field(178, U32, Q::FullCapacity, 1),                    146),
    row(field(182, U32, Q::Cycles, 1),                          150),
    row(field(186, U32, Q::CycleCapacity, 1),                   154),
    row(field(190,  U8, Q::StateOfHealth, 10),                  158),
    row(field(191,  U8, Q::Constant(0), 1),                     159), // precharge on
    row(field(192, U16, Q::Constant(0), 1),                     160), // user alarm, meaning not published
    row(field(194, U32, Q::RunTime, 1),                         162),
    row(field(198,  U8, Q::ChargeOn, 1),                        166),
    row(field(199,  U8, Q::DischargeOn, 1),                     167),
    row(field(200, U16, Q::Constant(0), 1),                     168), // user alarm 2
    row(field(202, U16, Q::Constant(0), 1).times(6),            170), // times to release
    row(field(214,  U8, Q::SensorsPresent, 1),                  182),
    row(field(215,  U8, Q::HeaterOn, 1),                        183),
    row(field(218, U16, Q::Constant(0), 1),                     186), // emergency mode, seconds left
    row(field(220, U16, Q::Constant(1_000), 1),                 188), // discharge current correction
    row(field(222, U16, Q::Constant(0), 1).times(2),            190), // current sensor voltages
    row(field(226, F32, Q::VoltageCorrection, 1_000_000),       194),
    row(field(230, U16, Q::Constant(0), 1).times(2),            198), // PWM duties
    row(field(234, U16, Q::PackVoltage, 10_000),                202),
    row(field(236, I16, Q::Constant(0), 1),                     204), // heater current
    row(field(238,  U8, Q::Constant(0), 1),                     206), // relay
    row(field(239,  U8, Q::Constant(1), 1),                     207), // ACC
    row(field(240,  U8, Q::Constant(0), 1),                     208), // special charger
    row(field(245,  U8, Q::IsCharging, 1),                      213), // charger plugged in
    row(field(246, U32, Q::Constant(0), 1).times(2),              0), // system ticks, last supply dip
    row(field(254, I16, Q::Battery(2), 1).or(NO_SENSOR),          0),
    row(field(256, I16, Q::Battery(3), 1).or(NO_SENSOR),          0),
    row(field(258, I16, Q::Battery(4), 1).or(NO_SENSOR),          0),
    row(field(260, U16, Q::Constant(1_000), 1),                   0), // charge current correction
    row(field(262, U32, Q::RunTime, 1),                           0), // clock: the core has none
    row(field(266, U32, Q::Constant(0), 1),                       0), // detail log entries
    row(field(270, U32, Q::Constant(0), 1),                       0), // time to sleep
    row(field(274,  U8, Q::Constant(0), 1),                       0), // parallel limiter on
    row(field(275,  U8, Q::Chemistry, 1),                         0),
    row(field(278, U16, Q::Constant(0), 1),                       0), // time in charge phase
    row(field(280,  U8, Q::Constant(0), 1),                       0), // charge phase: bulk
    row(field(281,  U8, Q::Constant(0), 1),                       0), // buzzer, dry contacts
    row(field(287,  U8, Q::Constant(0xfe), 1),                    0), // data valid; not 0 on 32S
    row(field(288,  U8, Q::Constant(0xff), 1).times(3),           0), // data valid
];

/// Settings, frame type 01, with the registers that write them.
#[rustfmt::skip]
pub const SETTINGS: &[Row] = &[
    setting(field(  6, U32, Q::Constant(3_500), 1), 0x01), // smart sleep voltage
    setting(field( 10, U32, Q::Parameter(P::CellUndervoltageProtection), 1_000), 0x02),
    setting(field( 14, U32, Q::Parameter(P::CellUndervoltageRecovery), 1_000), 0x03),
    setting(field( 18, U32, Q::Parameter(P::CellOvervoltageProtection), 1_000), 0x04),
    setting(field( 22, U32, Q::Parameter(P::CellOvervoltageRecovery), 1_000), 0x05),
    setting(field( 26, U32, Q::Parameter(P::BalanceTrigger), 1_000), 0x06),
    setting(field( 30, U32, Q::Shown(P::CellOvervoltageRecovery), 1_000), 0x07), // 100 %: the charge voltage
    setting(field( 34, U32, Q::Shown(P::CellUndervoltageProtection), 1_000), 0x08), // 0 %
    setting(field( 38, U32, Q::Shown(P::CellOvervoltageRecovery), 1_000), 0x09), // requested charge voltage
    setting(field( 42, U32, Q::Shown(P::CellOvervoltageRecovery), 1_000), 0x0a), // requested float voltage
    setting(field( 46, U32, Q::Parameter(P::AutoShutdownVoltage), 1_000), 0x0b),
    setting(field( 50, U32, Q::Parameter(P::ChargeOvercurrentProtection), 1), 0x0c),
    setting(field( 54, U32, Q::Parameter(P::ChargeOvercurrentDelay), 1_000), 0x0d),
    setting(field( 58, U32, Q::Parameter(P::ChargeOvercurrentRelease), 1_000), 0x0e),
    setting(field( 62, U32, Q::Parameter(P::DischargeOvercurrentProtection), 1), 0x0f),
    setting(field( 66, U32, Q::Parameter(P::DischargeOvercurrentDelay), 1_000), 0x10),
    setting(field( 70, U32, Q::Parameter(P::DischargeOvercurrentRelease), 1_000), 0x11),
    setting(field( 74, U32, Q::Parameter(P::ShortCircuitRelease), 1_000), 0x12),
    setting(field( 78, U32, Q::Parameter(P::BalanceCurrent), 1), 0x13),
    setting(field( 82, I32, Q::Parameter(P::ChargeOvertemperatureProtection), 1), 0x14),
    setting(field( 86, I32, Q::Parameter(P::ChargeOvertemperatureRecovery), 1), 0x15),
    setting(field( 90, I32, Q::Parameter(P::DischargeOvertemperatureProtection), 1), 0x16),
    setting(field( 94, I32, Q::Parameter(P::DischargeOvertemperatureRecovery), 1), 0x17),
    setting(field( 98, I32, Q::Parameter(P::ChargeUndertemperatureProtection), 1), 0x18),
    setting(field(102, I32, Q::Parameter(P::ChargeUndertemperatureRecovery), 1), 0x19),
    setting(field(106, I32, Q::Parameter(P::MosOvertemperatureProtection), 1), 0x1a), // a board rating: refused
    setting(field(110, I32, Q::Parameter(P::MosOvertemperatureRecovery), 1), 0x1b),
    setting(field(114, U32, Q::Parameter(P::CellCount), 1), 0x1c),
    setting(field(118, U32, Q::ChargeSwitch, 1), 0x1d),
    setting(field(122, U32, Q::DischargeSwitch, 1), 0x1e),
    setting(field(126, U32, Q::BalanceSwitch, 1), 0x1f),
    setting(field(130, U32, Q::Parameter(P::Capacity), 1), 0x20),
    // The comparator's time is hardware. Its register is 25 on 24S, where 21 calibrates.
    Row { register_24s: 0x25, ..setting(field(134, U32, Q::Constant(0), 1), 0x21) },
    Row { register_24s: 0x26, ..setting(field(138, U32, Q::Parameter(P::BalanceStartVoltage), 1_000), 0x22) },
    row(field(142, U32, Q::Constant(0), 1).times(32), 158), // connection resistances
    setting_32s(field(270, U32, Q::Address, 1), 0),
    setting_32s(field(274, U32, Q::Constant(0), 1), 0x25), // precharge time
    setting_32s(field(278, U32, Q::Constant(1_500_000), 1), 0), // current range of the board
    setting_32s(field(282, U16, Q::Constant(0x0008), 1), 0), // switches: port 1 is RS485
    setting_32s(field(284,  I8, Q::Shown(P::ChargeUndertemperatureProtection), 10), 0x37), // heating starts (H01)
    setting_32s(field(285,  I8, Q::Shown(P::ChargeUndertemperatureRecovery), 10), 0x38), // heating stops
    setting_32s(field(286,  U8, Q::Constant(24), 1), 0x39), // smart sleep time
    setting_32s(field(287,  U8, Q::Constant(0xfe), 1), 0), // data valid
    setting_32s(field(288,  U8, Q::Constant(0xff), 1).times(4), 0), // data valid
    setting_32s(field(296,  I8, Q::Parameter(P::DischargeUndertemperatureProtection), 10), 0x3a),
    setting_32s(field(297,  I8, Q::Parameter(P::DischargeUndertemperatureRecovery), 10), 0x3b),
];

/// Numbers of the device information, frame type 03.
#[rustfmt::skip]
pub const DEVICE_INFO: &[Row] = &[
    row(field( 21,  U8, Q::MostCells, 1),         21),
    row(field( 38, U32, Q::RunTime, 1),           38),
    row(field( 42, U32, Q::PowerOns, 1),          42),
    row(field(184,  U8, Q::Constant(1), 1),        0), // UART1: JK Modbus
    row(field(185,  U8, Q::Constant(2), 1),        0), // CAN: Pylontech 1.2
    row(field(186, U32, Q::Constant(0x03), 1),     0), // UART1 may be 4E57, JK Modbus
    row(field(202, U32, Q::Constant(0x215), 1),    0), // CAN may be JK, Pylontech, Victron, SMA
    row(field(218,  U8, Q::Constant(0), 1),        0), // UART2: 4E57
    row(field(219, U32, Q::Constant(0x01), 1),     0),
    row(field(287,  U8, Q::Constant(0xfe), 1),     0), // data valid
    row(field(298,  U8, Q::Constant(1), 1),        0), // protocol version
];

/// A text that a protocol shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Text {
    /// Model.
    Model,
    /// Hardware version.
    Hardware,
    /// Software version.
    Software,
    /// Device name (S08).
    Name,
    /// Date of manufacture, YYMMDD.
    Manufactured,
    /// Serial number.
    Serial,
    /// The maker's name.
    Maker,
    /// **Never a password**: a mask of a fixed length in its field, so that clients find a text.
    Mask,
}

/// Texts of the device information: offset, length.
pub const DEVICE_TEXTS: &[(u16, u8, Text)] = &[
    (6, 15, Text::Model),
    (22, 8, Text::Hardware),
    (30, 8, Text::Software),
    (46, 16, Text::Name),
    (62, 16, Text::Mask),
    (78, 8, Text::Manufactured),
    (86, 11, Text::Serial),
    (118, 16, Text::Mask),
];

/// Registers that do something instead of keeping a value; all need presence.
#[must_use]
pub fn action(register: u8, value: i64, layout: Layout, charging: bool) -> Option<Change> {
    let number = i32::try_from(value).ok()?;
    // The tools send a current without a sign.
    let truth = ma(if charging { number } else { number.saturating_neg() });
    Some(match (layout, register) {
        (Layout::S32, 0x64) | (Layout::S24, 0x21) => Change::Request(Request::CalibrateVoltage(mv(number))),
        (Layout::S32, 0x67) | (Layout::S24, 0x24) => Change::Request(Request::CalibrateCurrent(truth)),
        (Layout::S32, 0x65) => Change::Request(Request::Shutdown),
        (Layout::S32, 0x9d) => Change::Request(Request::RestoreFactorySettings),
        (Layout::S32, 0x68) => Change::Preset(Chemistry::LiIon),
        (Layout::S32, 0x69) => Change::Preset(Chemistry::LiFePo4),
        (Layout::S32, 0x6a) => Change::Preset(Chemistry::Lto),
        _ => return None,
    })
}
