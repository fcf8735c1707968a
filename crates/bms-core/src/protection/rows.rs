//! The table of protections: one row an alarm. It reads like the manual's.
//!
//! A new alarm is a variant in `alarm.rs` (with what it inhibits), its parameters, and one row here.

use super::alarm::Alarm;
use super::monitor::{Release, Side};
use crate::config::{ParameterId as P, ValidConfig};
use crate::measurement::lost_time;
use crate::units::thousandth;

/// What an alarm looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    LowestCell,
    HighestCell,
    /// The cell that decides about the shutdown, while nothing charges (D02).
    ShutdownCell,
    CellSpread,
    SumOfCells,
    ChargeCurrent,
    DischargeCurrent,
    WarmestBattery,
    ColdestBattery,
    BatterySpread,
    Mos,
    /// Lowest or highest cell, while the stack agrees with the sum (X13, X14).
    ConfirmedLowestCell,
    ConfirmedHighestCell,
    /// Ages in ms (X01).
    CellAge,
    CurrentAge,
    TemperatureAge,
    /// By how much the most overdue required channel exceeds its own lost time, in ms (X01).
    Overdue,
    /// By how much the stack differs beyond its tolerance, in µV (X03).
    StackExcess,
    /// Worst sense wire in µΩ (W02).
    WorstWire,
    /// Current against the body diode of a switch that is commanded open (X10).
    ChargeThroughOpenSwitch,
    DischargeThroughOpenSwitch,
    /// Drop over closed switches (X11).
    SwitchDrop,
    /// Things that are true (1) or not (0); which one is the alarm's own, see `Bms::facts`.
    Fact,
    /// The same, read from the board's inputs.
    Input,
    /// The same, of the number of cells.
    CellCount,
    /// The same, of the temperature sensors.
    Sensor,
    /// The same, of the sense wires.
    OpenWire,
    /// The same, of the terminal.
    Terminal,
    /// Raised by hand only (restore), never by observation.
    Nothing,
}

/// A value out of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Fixed(u16),
    /// A parameter; at 0 the row is off where the parameter's row allows that.
    Of(P),
    /// A parameter moved by `times` margins towards the safe side; off with the margin (X09).
    Before(P, P, u8),
    /// The lower of both over-temperature protections less `times` the margin: the warning comes before the first trip (X09).
    BeforeWarm(P, u8),
    /// A parameter moved by `times` margins upwards.
    Beyond(P, P, u8),
    /// A current less `times` the margin in thousandths of itself (X09).
    Share(P, P, u8),
    /// A current times a ratio in thousandths (X06).
    Ratio(P, P),
    /// Four fifths of a parameter (X08: hysteresis).
    FourFifths(P),
    /// The stale time of cells and current (X01).
    LostTime,
    /// 0, off unless the flag is set (X03).
    NowIf(P),
    /// A parameter, off unless the flag is set (D11).
    If(P, P),
    /// The wire limit, D26 when the parameter is 0.
    WireLimit,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    Level(Value),
    /// Held for the data recovery time.
    Recovered,
    /// No longer violated.
    AtOnce,
    After(P),
    ByRequest,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub signal: Signal,
    pub side: Side,
    pub(super) trip: Value,
    pub(super) delay: Value,
    pub(super) ends: Ends,
}

const NOW: Value = Value::Fixed(0);

const fn above(signal: Signal, trip: Value, delay: Value, ends: Ends) -> Row {
    Row { signal, side: Side::Above, trip, delay, ends }
}
const fn below(signal: Signal, trip: Value, delay: Value, ends: Ends) -> Row {
    Row { signal, side: Side::Below, trip, delay, ends }
}
const fn reaching(signal: Signal, trip: Value, ends: Ends) -> Row {
    Row { signal, side: Side::Reaching, trip, delay: NOW, ends }
}
/// Something that is true: above 0.
const fn fact(signal: Signal, delay: Value, ends: Ends) -> Row {
    above(signal, NOW, delay, ends)
}

/// **The table.** In the order of [`Alarm`].
#[rustfmt::skip]
const fn row(alarm: Alarm) -> Row {
    use Alarm as A;
    use Ends::{After, AtOnce, ByRequest, Level, Recovered};
    use Signal as S;
    use Value::{Before, BeforeWarm, Beyond, Fixed, NowIf, FourFifths, If, LostTime, Of, Ratio, Share, WireLimit};
    match alarm {
        // alarm                                signal                trip                                  delay                                 ends
        A::CellUndervoltage           => below(S::LowestCell,         Of(P::CellUndervoltageProtection),    Of(P::CellUndervoltageDelay),         Level(Of(P::CellUndervoltageRecovery))),
        A::CellOvervoltage            => above(S::HighestCell,        Of(P::CellOvervoltageProtection),     Of(P::CellOvervoltageDelay),          Level(Of(P::CellOvervoltageRecovery))),
        A::ChargeOvercurrent          => above(S::ChargeCurrent,      Of(P::ChargeOvercurrentProtection),   Of(P::ChargeOvercurrentDelay),        After(P::ChargeOvercurrentRelease)),
        A::DischargeOvercurrent       => above(S::DischargeCurrent,   Of(P::DischargeOvercurrentProtection), Of(P::DischargeOvercurrentDelay),    After(P::DischargeOvercurrentRelease)),
        A::ShortCircuit               => fact(S::Input,               NOW,                                                                        After(P::ShortCircuitRelease)),
        A::ChargeOvertemperature      => above(S::WarmestBattery,     Of(P::ChargeOvertemperatureProtection), Of(P::TemperatureDelay),            Level(Of(P::ChargeOvertemperatureRecovery))),
        A::DischargeOvertemperature   => above(S::WarmestBattery,     Of(P::DischargeOvertemperatureProtection), Of(P::TemperatureDelay),         Level(Of(P::DischargeOvertemperatureRecovery))),
        A::ChargeUndertemperature     => below(S::ColdestBattery,     Of(P::ChargeUndertemperatureProtection), Of(P::TemperatureDelay),           Level(Of(P::ChargeUndertemperatureRecovery))),
        A::DischargeUndertemperature  => below(S::ColdestBattery,     If(P::DischargeUndertemperature, P::DischargeUndertemperatureProtection), Of(P::TemperatureDelay),        Level(Of(P::DischargeUndertemperatureRecovery))),
        A::MosOvertemperature         => above(S::Mos,                Of(P::MosOvertemperatureProtection),  Of(P::TemperatureDelay),              Level(Of(P::MosOvertemperatureRecovery))),
        A::AutoShutdown               => Row { signal: S::ShutdownCell, side: Side::FallingTo, trip: Of(P::AutoShutdownVoltage), delay: Of(P::AutoShutdownDelay), ends: AtOnce },
        A::CellCountMismatch          => fact(S::CellCount,           NOW,                                                                        Recovered),
        A::CellDataLost               => reaching(S::CellAge,         LostTime,                                                                   Recovered),
        A::CurrentDataLost            => reaching(S::CurrentAge,      LostTime,                                                                   Recovered),
        A::TemperatureDataLost        => reaching(S::TemperatureAge,  Of(P::TemperatureLostTime),                                                 Recovered),
        A::DataLostLong               => reaching(S::Overdue,         Of(P::DischargeLostGrace),                                                  Recovered),
        A::BatterySensorFault         => fact(S::Sensor,              Of(P::SensorFaultDelay),                                                 Recovered),
        A::MosSensorFault             => fact(S::Sensor,              Of(P::SensorFaultDelay),                                                    Recovered),
        A::StackMismatch              => above(S::StackExcess,        NowIf(P::StackCheck),                 Fixed(2_000),                         Recovered),
        A::OpenWire                   => fact(S::OpenWire,            NOW,                                                                        Recovered),
        A::WireResistance             => above(S::WorstWire,          WireLimit,                            NOW,                                  AtOnce),
        A::SevereDischargeOvercurrent => above(S::DischargeCurrent,   Of(P::SevereDischargeCurrent),        Of(P::SevereDischargeDelay),          After(P::DischargeOvercurrentRelease)),
        A::SevereChargeOvercurrent    => above(S::ChargeCurrent,      Ratio(P::ChargeOvercurrentProtection, P::SevereChargeRatio), Of(P::SevereChargeDelay), After(P::ChargeOvercurrentRelease)),
        A::PackOvervoltage            => above(S::SumOfCells,         Of(P::PackOvervoltageProtection),     Of(P::CellOvervoltageDelay),          Level(Of(P::PackOvervoltageRecovery))),
        A::PackUndervoltage           => below(S::SumOfCells,         Of(P::PackUndervoltageProtection),    Of(P::CellUndervoltageDelay),         Level(Of(P::PackUndervoltageRecovery))),
        A::CellSpread                 => above(S::CellSpread,         Of(P::CellSpreadProtection),          Of(P::CellOvervoltageDelay),          Level(FourFifths(P::CellSpreadProtection))),
        A::TemperatureSpread          => above(S::BatterySpread,      Of(P::TemperatureSpreadProtection),   Of(P::TemperatureDelay),              Level(FourFifths(P::TemperatureSpreadProtection))),
        A::CellSpreadWarning          => above(S::CellSpread,         Of(P::CellSpreadWarning),             NOW,                                  Level(FourFifths(P::CellSpreadWarning))),
        A::TemperatureSpreadWarning   => above(S::BatterySpread,      Of(P::TemperatureSpreadWarning),      NOW,                                  Level(FourFifths(P::TemperatureSpreadWarning))),
        A::CellUndervoltageWarning    => below(S::LowestCell,         Beyond(P::CellUndervoltageProtection, P::WarningVoltageMargin, 1), NOW,      Level(Beyond(P::CellUndervoltageProtection, P::WarningVoltageMargin, 2))),
        A::CellOvervoltageWarning     => above(S::HighestCell,        Before(P::CellOvervoltageProtection, P::WarningVoltageMargin, 1), NOW,       Level(Before(P::CellOvervoltageProtection, P::WarningVoltageMargin, 2))),
        A::ChargeCurrentWarning       => above(S::ChargeCurrent,      Share(P::ChargeOvercurrentProtection, P::WarningCurrentMargin, 1), NOW,      Level(Share(P::ChargeOvercurrentProtection, P::WarningCurrentMargin, 2))),
        A::DischargeCurrentWarning    => above(S::DischargeCurrent,   Share(P::DischargeOvercurrentProtection, P::WarningCurrentMargin, 1), NOW,   Level(Share(P::DischargeOvercurrentProtection, P::WarningCurrentMargin, 2))),
        A::OvertemperatureWarning     => above(S::WarmestBattery,     BeforeWarm(P::WarningTemperatureMargin, 1),  NOW,                                  Level(BeforeWarm(P::WarningTemperatureMargin, 2))),
        A::UndertemperatureWarning    => below(S::ColdestBattery,     Beyond(P::ChargeUndertemperatureProtection, P::WarningTemperatureMargin, 1), NOW, Level(Beyond(P::ChargeUndertemperatureProtection, P::WarningTemperatureMargin, 2))),
        A::MosTemperatureWarning      => above(S::Mos,                Before(P::MosOvertemperatureProtection, P::WarningTemperatureMargin, 1), NOW, Level(Before(P::MosOvertemperatureProtection, P::WarningTemperatureMargin, 2))),
        A::ChargeSwitchStuck          => above(S::ChargeThroughOpenSwitch, Of(P::StuckSwitchCurrent),       Fixed(500),                           ByRequest),
        A::DischargeSwitchStuck       => above(S::DischargeThroughOpenSwitch, Of(P::StuckSwitchCurrent),    Fixed(500),                           ByRequest),
        A::NotConducting              => above(S::SwitchDrop,         Of(P::NotConductingVoltage),          Fixed(1_000),                         AtOnce),
        A::DeepDischarge              => below(S::ConfirmedLowestCell, Of(P::NeverChargeVoltage),           Fixed(5_000),                         ByRequest),
        A::Abuse                      => above(S::ConfirmedHighestCell, Of(P::AbuseVoltage),                Fixed(5_000),                         ByRequest),
        A::WrongChemistry             => fact(S::Fact,                NOW,                                                                        ByRequest),
        A::PrechargeFailed            => fact(S::Fact,                NOW,                                                                        AtOnce),
        A::ResetHoldOff               => fact(S::Nothing,             NOW,                                                                        After(P::ShortCircuitRelease)),
        A::TerminalMismatch           => fact(S::Terminal,            NOW,                                                                        AtOnce),
        A::SelfTestFailed             => fact(S::Input,               NOW,                                                                        AtOnce),
        A::LimitsCorrupt              => fact(S::Fact,                NOW,                                                                        ByRequest),
        A::StepLate                   => fact(S::Fact,                NOW,                                                                        Recovered),
        A::TimeWentBack               => fact(S::Fact,                NOW,                                                                        Recovered),
        A::EmergencyStop              => fact(S::Fact,                NOW,                                                                        AtOnce),
        A::ChargeLockedOut            => fact(S::Fact,                NOW,                                                                        AtOnce),
        A::DischargeLockedOut         => fact(S::Fact,                NOW,                                                                      AtOnce),
        A::HeaterIneffective          => fact(S::Fact,                NOW,                                                                       AtOnce),
        A::OutputFailed               => fact(S::Fact,                NOW,                                                                        Recovered),
        A::StorageCorrupt             => fact(S::Nothing,             NOW,                                                                        ByRequest),
        A::CountersCorrupt            => fact(S::Nothing,             NOW,                                                                        ByRequest),
    }
}

/// The table as data, so that a row is an index away.
pub(crate) const ROWS: [Row; Alarm::COUNT] = {
    let mut rows = [row(Alarm::CellUndervoltage); Alarm::COUNT];
    let mut index = 0;
    while index < Alarm::COUNT {
        #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
        {
            rows[index] = row(Alarm::ALL[index]);
        }
        index = index.saturating_add(1);
    }
    rows
};

impl Row {
    /// The row of an alarm.
    #[allow(clippy::indexing_slicing, reason = "there is a row for every alarm")]
    pub(crate) const fn of(alarm: Alarm) -> &'static Self {
        const TABLE: &[Row; Alarm::COUNT] = &ROWS;
        &TABLE[alarm as usize]
    }
    /// Whether it ends by a time of good data, whose timer stands still while there is none.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self.ends, Ends::Recovered | Ends::AtOnce)
    }
    /// Where it trips; `None` where it is switched off.
    pub(crate) const fn trip(&self, config: &ValidConfig) -> Option<i32> {
        self.trip.read(config)
    }
    /// How long it must be violated, in ms.
    pub(crate) fn delay(&self, config: &ValidConfig) -> u32 {
        self.delay.read(config).unwrap_or(0).unsigned_abs()
    }
    /// How it ends.
    pub(crate) fn release(&self, config: &ValidConfig) -> Release {
        match self.ends {
            // A level is off only together with its trip.
            Ends::Level(value) => value.read(config).map_or(Release::Never, Release::Level),
            Ends::Recovered => Release::Held(config.duration(P::DataRecoveryTime).as_millis()),
            Ends::AtOnce => Release::Held(0),
            Ends::After(parameter) => Release::After(config.duration(parameter).as_millis()),
            Ends::ByRequest => Release::Never,
        }
    }
}

impl Value {
    /// The value, or `None` where the row is switched off.
    const fn read(self, config: &ValidConfig) -> Option<i32> {
        // Most rows.
        if let Self::Of(parameter) = self {
            let value = config.get(parameter);
            return if value == 0 && parameter.zero_is_off() { None } else { Some(value) };
        }
        self.calculate(config)
    }
    #[inline(never)]
    const fn calculate(self, config: &ValidConfig) -> Option<i32> {
        let (parameter, other) = match self {
            Self::Fixed(value) => return Some(value as i32),
            Self::LostTime => return Some(lost_time(config) as i32),
            Self::WireLimit => return Some(wire_limit(config)),
            Self::NowIf(flag) => return if config.flag(flag) { Some(0) } else { None },
            Self::If(flag, parameter) if config.flag(flag) => (parameter, parameter),
            Self::If(..) => return None,
            Self::Of(parameter) | Self::FourFifths(parameter) => (parameter, parameter),
            Self::BeforeWarm(margin, _) => (first_warm(config), margin),
            Self::Before(parameter, other, _)
            | Self::Beyond(parameter, other, _)
            | Self::Share(parameter, other, _)
            | Self::Ratio(parameter, other) => (parameter, other),
        };
        let (value, margin) = (config.get(parameter), config.get(other));
        if (value == 0 && parameter.zero_is_off()) || (margin == 0 && other.zero_is_off()) {
            return None;
        }
        // Validated values: no product or sum comes near the end of 32 bits.
        Some(match self {
            Self::Before(_, _, times) | Self::BeforeWarm(_, times) => {
                value.wrapping_sub(margin.wrapping_mul(times as i32))
            }
            Self::Beyond(_, _, times) => value.wrapping_add(margin.wrapping_mul(times as i32)),
            Self::Share(_, _, times) => permille(value, 1_000_i32.wrapping_sub(margin.wrapping_mul(times as i32))),
            Self::Ratio(..) => permille(value, margin),
            Self::FourFifths(_) => (value / 5).wrapping_mul(4),
            _ => value,
        })
    }
}

/// The over-temperature protection that trips first.
const fn first_warm(config: &ValidConfig) -> P {
    let (charge, discharge) = (P::ChargeOvertemperatureProtection, P::DischargeOvertemperatureProtection);
    if config.get(charge) < config.get(discharge) { charge } else { discharge }
}

/// value × ‰, of positive numbers: currents reach 10⁶ mA and ratios 3000, so the product stays within 32 bits.
const fn permille(value: i32, permille: i32) -> i32 {
    thousandth(value.unsigned_abs().wrapping_mul(permille.unsigned_abs())) as i32
}

/// D26: min(1 Ω, 0.4 V / balance current), unless the owner set one. In µΩ.
pub(crate) const fn wire_limit(config: &ValidConfig) -> i32 {
    const ONE_OHM: i32 = 1_000_000;
    match (config.get(P::WireResistanceLimit), config.get(P::BalanceCurrent)) {
        // 0.4 V / I: 400 000 µV / mA = mΩ, times 1000; up to 400 mA that is an ohm and more.
        (0, ..=400) => ONE_OHM,
        (0, milliamps) => match 400_000_i32.checked_div(milliamps) {
            Some(milliohms) => milliohms.wrapping_mul(1_000),
            None => ONE_OHM,
        },
        (limit, _) => limit,
    }
}
