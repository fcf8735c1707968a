//! The alarms, and the one table of what each inhibits.

use core::fmt;

/// What an alarm keeps from happening: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Inhibit(u8);

impl Inhibit {
    /// Nothing: a warning.
    pub const NOTHING: Self = Self(0);
    /// Charging.
    pub const CHARGE: Self = Self(1);
    /// Discharging, and precharging, which is a part of it (X17).
    pub const DISCHARGE: Self = Self(2);
    /// Balancing.
    pub const BALANCE: Self = Self(4);
    /// Heating.
    pub const HEATER: Self = Self(8);
    /// Staying awake: the alarm shuts the BMS down (P16).
    pub const POWER: Self = Self(16);
    /// Both switches.
    pub const SWITCHES: Self = Self::CHARGE.and(Self::DISCHARGE);
    /// Every energy path; power stays.
    pub const ALL: Self = Self::SWITCHES.and(Self::BALANCE).and(Self::HEATER);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Whether anything of `other` is inhibited.
    #[must_use]
    pub const fn includes(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

macro_rules! alarms {
    ($(#[doc = $doc:literal] $id:ident $name:literal;)*) => {
        /// Every condition that the core watches. The numbers are stable: snapshots, links and logs use them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Alarm {
            $(#[doc = $doc] $id,)*
        }
        impl Alarm {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$id),*];
            /// How many there are.
            pub const COUNT: usize = [$(Self::$id),*].len();
            /// The name in files, tools and messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name,)* }
            }
            /// The requirement and what it means, as `P01: a cell below the under-voltage protection.`
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$id => $doc.trim_ascii(),)* }
            }
        }
    };
}

alarms! {
    /// P01: a cell below the under-voltage protection.
    CellUndervoltage "cell_undervoltage";
    /// P03: a cell above the over-voltage protection.
    CellOvervoltage "cell_overvoltage";
    /// P06: charging current above the maximum.
    ChargeOvercurrent "charge_overcurrent";
    /// P08: discharging current above the maximum.
    DischargeOvercurrent "discharge_overcurrent";
    /// P11: the short-circuit comparator has latched.
    ShortCircuit "short_circuit";
    /// P12: battery too warm to charge.
    ChargeOvertemperature "charge_overtemperature";
    /// P13: battery too warm to discharge.
    DischargeOvertemperature "discharge_overtemperature";
    /// P14: battery too cold to charge.
    ChargeUndertemperature "charge_undertemperature";
    /// D11: battery too cold to discharge.
    DischargeUndertemperature "discharge_undertemperature";
    /// P15: switches too warm.
    MosOvertemperature "mos_overtemperature";
    /// P16: the deciding cell at or below the shutdown voltage: the BMS shuts down.
    AutoShutdown "auto_shutdown";
    /// P18: the measured cells are not the configured ones.
    CellCountMismatch "cell_count_mismatch";
    /// X01: cell voltages lost or stale.
    CellDataLost "cell_data_lost";
    /// X01: current lost or stale.
    CurrentDataLost "current_data_lost";
    /// X01: a temperature lost or stale.
    TemperatureDataLost "temperature_data_lost";
    /// X01: the optional longer delay has passed; discharging stops too.
    DataLostLong "data_lost_long";
    /// X02: a required battery sensor missing or shorted.
    BatterySensorFault "battery_sensor_fault";
    /// X02: the switches' sensor missing or shorted.
    MosSensorFault "mos_sensor_fault";
    /// X03: stack voltage and sum of cells differ.
    StackMismatch "stack_mismatch";
    /// X04: an open sense wire.
    OpenWire "open_wire";
    /// W02: a sense wire's resistance above its limit.
    WireResistance "wire_resistance";
    /// X05: second-level discharging current.
    SevereDischargeOvercurrent "severe_discharge_overcurrent";
    /// X06: second-level charging current.
    SevereChargeOvercurrent "severe_charge_overcurrent";
    /// X07: pack voltage too high.
    PackOvervoltage "pack_overvoltage";
    /// X07: pack voltage too low.
    PackUndervoltage "pack_undervoltage";
    /// X08: cells too far apart.
    CellSpread "cell_spread";
    /// X08: temperatures too far apart.
    TemperatureSpread "temperature_spread";
    /// X08: cells far apart.
    CellSpreadWarning "cell_spread_warning";
    /// X08: temperatures far apart.
    TemperatureSpreadWarning "temperature_spread_warning";
    /// X09: a cell near its under-voltage protection.
    CellUndervoltageWarning "cell_undervoltage_warning";
    /// X09: a cell near its over-voltage protection.
    CellOvervoltageWarning "cell_overvoltage_warning";
    /// X09: charging current near its maximum.
    ChargeCurrentWarning "charge_current_warning";
    /// X09: discharging current near its maximum.
    DischargeCurrentWarning "discharge_current_warning";
    /// X09: battery nearly too warm.
    OvertemperatureWarning "overtemperature_warning";
    /// X09: battery nearly too cold to charge.
    UndertemperatureWarning "undertemperature_warning";
    /// X09: switches nearly too warm.
    MosTemperatureWarning "mos_temperature_warning";
    /// X10: the charge switch conducts although it is off.
    ChargeSwitchStuck "charge_switch_stuck";
    /// X10: the discharge switch conducts although it is off.
    DischargeSwitchStuck "discharge_switch_stuck";
    /// X11: the switches are on but do not conduct.
    NotConducting "not_conducting";
    /// X13: a cell so deeply discharged that it must never be charged.
    DeepDischarge "deep_discharge";
    /// X14: a cell so far over-charged that the pack must never be used.
    Abuse "abuse";
    /// X15: the first samples do not fit the chemistry.
    WrongChemistry "wrong_chemistry";
    /// X17: the precharge failed.
    PrechargeFailed "precharge_failed";
    /// X18: waiting after an abnormal reset.
    ResetHoldOff "reset_hold_off";
    /// X19: the terminal voltage forbids closing.
    TerminalMismatch "terminal_mismatch";
    /// X20: a self-test of the board failed.
    SelfTestFailed "self_test_failed";
    /// X20: the limits and their redundant copy differ; only a reboot helps.
    LimitsCorrupt "limits_corrupt";
    /// X20: a step came later than the stale time.
    StepLate "step_late";
    /// X20: time went back, or stands still.
    TimeWentBack "time_went_back";
    /// X21: the emergency stop was requested.
    EmergencyStop "emergency_stop";
    /// D10: charging retried too often.
    ChargeLockedOut "charge_locked_out";
    /// D10: discharging retried too often.
    DischargeLockedOut "discharge_locked_out";
    /// D28: the heater does not warm the battery.
    HeaterIneffective "heater_ineffective";
    /// An output could not be written: what the switches do is unknown.
    OutputFailed "output_failed";
    /// Law 7: what was stored is corrupt; the pack stays open until it is configured again.
    StorageCorrupt "storage_corrupt";
    /// Law 7: stored counters are corrupt; the state of charge is unknown, protection goes on.
    CountersCorrupt "counters_corrupt";
}

const _: () = assert!(Alarm::COUNT <= 64);

impl Alarm {
    /// The alarm with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
    /// The alarm with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alarm| alarm.name() == name)
    }
    /// **The one table of what each alarm inhibits.**
    ///
    /// A stuck switch (X10) is the exception that depends on the board: with back-to-back switches the other one stays as
    /// it is, because opening it would only heat its body diode; with separate ports or contactors it opens too.
    #[must_use]
    pub const fn inhibits(self) -> Inhibit {
        use Inhibit as I;
        match self {
            // Cell alarms do not stop a transfer that relieves them; the plan itself keeps to D27.
            Self::CellUndervoltage | Self::DischargeOvercurrent | Self::PackUndervoltage => I::DISCHARGE,
            Self::CellOvervoltage | Self::ChargeOvercurrent | Self::PackOvervoltage => I::CHARGE,
            Self::SevereDischargeOvercurrent | Self::DischargeLockedOut => I::DISCHARGE,
            Self::SevereChargeOvercurrent | Self::ChargeLockedOut => I::CHARGE,
            Self::ChargeUndertemperature => I::CHARGE.and(I::BALANCE),
            Self::ChargeOvertemperature => I::CHARGE.and(I::BALANCE).and(I::HEATER),
            Self::DischargeOvertemperature => I::DISCHARGE.and(I::BALANCE).and(I::HEATER),
            Self::DischargeUndertemperature => I::DISCHARGE.and(I::BALANCE),
            Self::AutoShutdown => I::POWER,
            Self::CellDataLost | Self::CurrentDataLost | Self::TemperatureDataLost => {
                I::CHARGE.and(I::BALANCE).and(I::HEATER)
            }
            Self::DataLostLong => I::DISCHARGE,
            Self::WireResistance => I::BALANCE,
            Self::PrechargeFailed => I::DISCHARGE,
            Self::DeepDischarge => I::CHARGE.and(I::BALANCE),
            Self::HeaterIneffective => I::HEATER,
            Self::CellSpread | Self::TemperatureSpread => I::SWITCHES,
            Self::ChargeSwitchStuck => I::CHARGE.and(I::BALANCE),
            Self::DischargeSwitchStuck => I::DISCHARGE.and(I::BALANCE),
            Self::OpenWire => I::SWITCHES.and(I::BALANCE),
            Self::ShortCircuit
            | Self::MosOvertemperature
            | Self::CellCountMismatch
            | Self::BatterySensorFault
            | Self::MosSensorFault
            | Self::StackMismatch
            | Self::Abuse
            | Self::WrongChemistry
            | Self::ResetHoldOff
            | Self::SelfTestFailed
            | Self::LimitsCorrupt
            | Self::StepLate
            | Self::TimeWentBack
            | Self::EmergencyStop
            | Self::OutputFailed
            | Self::StorageCorrupt => I::ALL,
            Self::CellSpreadWarning
            | Self::TemperatureSpreadWarning
            | Self::CellUndervoltageWarning
            | Self::CellOvervoltageWarning
            | Self::ChargeCurrentWarning
            | Self::DischargeCurrentWarning
            | Self::OvertemperatureWarning
            | Self::UndertemperatureWarning
            | Self::MosTemperatureWarning
            | Self::TerminalMismatch
            | Self::CountersCorrupt
            | Self::NotConducting => I::NOTHING,
        }
    }
    /// Whether it only warns.
    #[must_use]
    pub fn is_warning(self) -> bool {
        self.inhibits() == Inhibit::NOTHING
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A set of alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AlarmSet(u64);

impl AlarmSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// From the bits that [`AlarmSet::bits`] gave; unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let known = 1_u64.wrapping_shl(Alarm::COUNT as u32).wrapping_sub(1);
        Self(bits & known)
    }
    /// One bit an alarm, bit 0 for alarm number 0.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// The set of these alarms.
    #[must_use]
    pub const fn of(alarms: &[Alarm]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = alarms;
        while let [first, tail @ ..] = rest {
            set = set.with(*first);
            rest = tail;
        }
        set
    }
    /// The bit of an alarm; a shift of 32 bits, because one of 64 is a call on small cores.
    const fn bit(alarm: Alarm) -> u64 {
        let number = alarm as u32;
        let bit = 1_u32.wrapping_shl(number);
        if number < 32 { bit as u64 } else { (bit as u64) << 32 }
    }
    /// The lower and the upper 32 alarms.
    pub(crate) const fn halves(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }
    /// From what [`AlarmSet::halves`] gave.
    pub(crate) const fn from_halves([lower, upper]: [u32; 2]) -> Self {
        Self((upper as u64) << 32 | lower as u64)
    }
    /// This set and one more.
    #[must_use]
    pub const fn with(self, alarm: Alarm) -> Self {
        Self(self.0 | Self::bit(alarm))
    }
    /// This set without one.
    #[must_use]
    pub const fn without(self, alarm: Alarm) -> Self {
        Self(self.0 & !Self::bit(alarm))
    }
    /// Whether the alarm is in the set.
    #[must_use]
    pub const fn contains(self, alarm: Alarm) -> bool {
        self.0 & Self::bit(alarm) != 0
    }
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// What both have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// This set without the others.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// The alarms that inhibit something.
    #[must_use]
    pub const fn inhibiting(what: Inhibit) -> Self {
        let mut set = Self::EMPTY;
        let mut rest: &[Alarm] = &Alarm::ALL;
        while let [alarm, tail @ ..] = rest {
            if alarm.inhibits().includes(what) {
                set = set.with(*alarm);
            }
            rest = tail;
        }
        set
    }
    /// Each alarm of the set in turn.
    pub fn iter(self) -> impl Iterator<Item = Alarm> + use<> {
        let [mut lower, mut upper] = self.halves();
        core::iter::from_fn(move || {
            let (half, first) = if lower != 0 { (&mut lower, 0) } else { (&mut upper, 32) };
            let number = half.trailing_zeros().wrapping_add(first);
            *half &= half.wrapping_sub(1);
            Alarm::from_number(number as u8)
        })
    }
}
