//! The one PARAMETERS table.
//!
//! Range checks, wire codecs, stores, the generated documentation and the fuzz dictionary all read
//! this table; a new parameter is one row here.

use super::Profile;
use super::chemistry::Chemistry;

/// What a parameter's integer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Unit {
    /// A plain number.
    Count,
    /// 0 or 1.
    Flag,
    /// Microvolts.
    Microvolts,
    /// Milliamperes.
    Milliamps,
    /// Milliampere-hours.
    MilliampHours,
    /// Milliseconds.
    Milliseconds,
    /// Tenths of a degree Celsius.
    DecidegreesCelsius,
    /// Microohms.
    Microohms,
    /// Thousandths.
    Permille,
    /// Millionths.
    PartsPerMillion,
}

impl Unit {
    /// How many of the stored unit make one of the unit that people read (V, A, Ah, s, °C, Ω, %).
    #[must_use]
    pub const fn scale(self) -> i32 {
        match self {
            Self::Count | Self::Flag => 1,
            Self::Microvolts | Self::Microohms => 1_000_000,
            Self::Milliamps | Self::MilliampHours | Self::Milliseconds => 1_000,
            Self::DecidegreesCelsius | Self::Permille => 10,
            Self::PartsPerMillion => 10_000,
        }
    }
    /// The symbol of the unit that people read.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Count | Self::Flag => "",
            Self::Microvolts => "V",
            Self::Milliamps => "A",
            Self::MilliampHours => "Ah",
            Self::Milliseconds => "s",
            Self::DecidegreesCelsius => "°C",
            Self::Microohms => "Ω",
            Self::Permille | Self::PartsPerMillion => "%",
        }
    }
}

/// Who may change a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Scope {
    /// The owner, in service, within the range and the hard caps.
    Service,
    /// Set by the calibration requests only (C01, C02).
    Calibration,
    /// A rating of the board, fixed in the firmware; no link may write it (P15, D01).
    Board,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Parameter {
    /// Its identity.
    pub id: ParameterId,
    /// Its name in files, tools and messages.
    pub name: &'static str,
    /// What the integer counts.
    pub unit: Unit,
    /// Smallest allowed value, in the stored unit.
    pub minimum: i32,
    /// Largest allowed value, in the stored unit.
    pub maximum: i32,
    /// The granularity in which people set it; any integer in the range is accepted.
    pub step: i32,
    /// Whether 0 is allowed outside the range, and switches the function off.
    pub zero_is_off: bool,
    /// Who may change it.
    pub scope: Scope,
    /// Defaults for Li-ion, LiFePO4, LTO in the stored unit (profile `default`).
    pub defaults: [i32; 3],
    /// The value in the profile `manual`, where that differs from the chemistry's default (N06).
    pub manual_profile: Option<i32>,
    /// The requirement that it belongs to.
    pub requirement: &'static str,
    /// The section of the manual, or "-" where the manual is silent.
    pub section: &'static str,
    /// One line for people.
    pub description: &'static str,
}

impl Parameter {
    /// Whether `value` is inside the range, or is the allowed zero.
    #[must_use]
    pub const fn accepts(&self, value: i32) -> bool {
        self.id.accepts(value)
    }
    /// The default for a chemistry in the profile `default`.
    #[must_use]
    pub const fn default_for(&self, chemistry: Chemistry) -> i32 {
        of_chemistry(self.defaults, chemistry)
    }
}

const fn of_chemistry([li_ion, lifepo4, lto]: [i32; 3], chemistry: Chemistry) -> i32 {
    match chemistry {
        Chemistry::LiIon => li_ion,
        Chemistry::LiFePo4 => lifepo4,
        Chemistry::Lto => lto,
    }
}

/// One column of defaults may be written once when it is the same for all three chemistries.
macro_rules! defaults {
    ([$all:expr]) => {
        [$all, $all, $all]
    };
    ([$li_ion:expr, $lifepo4:expr, $lto:expr]) => {
        [$li_ion, $lifepo4, $lto]
    };
}
macro_rules! option {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}
macro_rules! off {
    () => {
        false
    };
    (or_off) => {
        true
    };
}

macro_rules! parameters {
    ($($id:ident $name:literal, $unit:ident $min:literal ..= $max:literal $([$off:ident])? step $step:literal,
       $defaults:tt $(manual $manual:literal)?, $scope:ident, $requirement:literal, $section:literal, $description:literal;)*) => {
        /// Names one parameter. The numbers are stable: stores and links use them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum ParameterId {
            $(#[doc = $description] $id,)*
        }

        /// Every parameter, in the order of [`ParameterId`].
        pub const PARAMETERS: [Parameter; PARAMETER_COUNT] = [
            $(Parameter {
                id: ParameterId::$id,
                name: $name,
                unit: Unit::$unit,
                minimum: $min,
                maximum: $max,
                step: $step,
                zero_is_off: off!($($off)?),
                scope: Scope::$scope,
                defaults: defaults!($defaults),
                manual_profile: option!($($manual)?),
                requirement: $requirement,
                section: $section,
                description: $description,
            },)*
        ];

        /// How many parameters there are.
        pub const PARAMETER_COUNT: usize = [$(ParameterId::$id),*].len();
    };
}

parameters! {
    // -- the pack
    CellCount "cell_count", Count 4..=32 step 1, [16], Service, "S02", "5.3.2 d", "Number of cells in series.";
    Capacity "capacity", MilliampHours 1_000..=2_000_000 step 100, [100_000], Service, "S03", "5.3.2 e", "Designed capacity of the battery.";
    SamplePeriod "sample_period", Milliseconds 1..=10_000 step 1, [100], Board, "X01", "-", "Time between two complete scans that the board promises.";
    // -- cell voltages
    CellUndervoltageProtection "cell_undervoltage_protection", Microvolts 1_200_000..=4_350_000 step 1_000, [2_900_000, 2_700_000, 1_800_000], Service, "P01", "5.3.2 i", "Below this, any cell stops discharging.";
    CellUndervoltageRecovery "cell_undervoltage_recovery", Microvolts 1_200_000..=4_350_000 step 1_000, [3_200_000, 2_900_000, 2_000_000], Service, "P02", "5.3.2 i", "Above this, all cells allow discharging again.";
    CellUndervoltageDelay "cell_undervoltage_delay", Milliseconds 0..=60_000 step 100, [500] manual 0, Service, "D03", "-", "How long a cell must stay below the protection value.";
    CellOvervoltageProtection "cell_overvoltage_protection", Microvolts 1_200_000..=4_350_000 step 1_000, [4_200_000, 3_600_000, 2_700_000], Service, "P03", "5.3.2 j", "Above this, any cell stops charging.";
    CellOvervoltageRecovery "cell_overvoltage_recovery", Microvolts 1_200_000..=4_350_000 step 1_000, [4_100_000, 3_500_000, 2_400_000], Service, "P04", "5.3.2 j", "Below this, all cells allow charging again.";
    CellOvervoltageDelay "cell_overvoltage_delay", Milliseconds 0..=10_000 step 100, [500] manual 0, Service, "D03", "-", "How long a cell must stay above the protection value.";
    AutoShutdownVoltage "auto_shutdown_voltage", Microvolts 1_200_000..=4_350_000 step 1_000, [2_800_000, 2_600_000, 1_700_000], Service, "P16", "5.3.2 k", "At or below this the BMS shuts down.";
    AutoShutdownDelay "auto_shutdown_delay", Milliseconds 0..=600_000 step 1_000, [10_000] manual 0, Service, "D02", "-", "How long the cell must stay at or below the shutdown value.";
    AutoShutdownByHighest "auto_shutdown_by_highest", Flag 0..=1 step 1, [0], Service, "D02", "-", "1: the highest cell decides about the shutdown, as in other editions; 0: the lowest, as in the manual.";
    // -- currents
    ChargeOvercurrentProtection "charge_overcurrent_protection", Milliamps 100..=350_000 step 100, [0], Service, "P06", "5.3.2 l", "Maximum charging current.";
    ChargeOvercurrentDelay "charge_overcurrent_delay", Milliseconds 1_000..=600_000 step 1_000, [30_000], Service, "P06", "5.3.2 l", "How long the charging current must stay above the maximum.";
    ChargeOvercurrentRelease "charge_overcurrent_release", Milliseconds 2_000..=120_000 step 1_000, [60_000], Service, "P07", "5.3.2 l", "Time from the charge over-current alarm to its release.";
    DischargeOvercurrentProtection "discharge_overcurrent_protection", Milliamps 100..=350_000 step 100, [0], Service, "P08", "5.3.2 m", "Maximum discharging current.";
    DischargeOvercurrentDelay "discharge_overcurrent_delay", Milliseconds 1_000..=600_000 step 1_000, [30_000], Service, "P08", "5.3.2 m", "How long the discharging current must stay above the maximum.";
    DischargeOvercurrentRelease "discharge_overcurrent_release", Milliseconds 2_000..=120_000 step 1_000, [60_000], Service, "P09", "5.3.2 m", "Time from the discharge over-current alarm to its release.";
    SevereDischargeCurrent "severe_discharge_current", Milliamps 100..=1_000_000 [or_off] step 100, [0] manual 0, Service, "X05", "-", "Second-level discharging current; the model's maximum. 0: off.";
    SevereDischargeDelay "severe_discharge_delay", Milliseconds 10..=2_000 step 10, [300], Service, "X05", "-", "Delay of the second-level discharge over-current.";
    SevereChargeRatio "severe_charge_ratio", Permille 1_100..=3_000 [or_off] step 100, [1_500] manual 0, Service, "X06", "-", "Second-level charging current as a ratio of the maximum charging current. 0: off.";
    SevereChargeDelay "severe_charge_delay", Milliseconds 10..=10_000 step 10, [1_000], Service, "X06", "-", "Delay of the second-level charge over-current.";
    ShortCircuitRelease "short_circuit_release", Milliseconds 2_000..=120_000 step 1_000, [60_000], Service, "P11", "5.3.2 n", "Time from a short circuit to its release.";
    RetryLimit "retry_limit", Count 1..=100 [or_off] step 1, [3] manual 0, Service, "D10", "-", "Trips of one cause until it is locked out. 0: unlimited, as the manual.";
    // -- temperatures
    ChargeOvertemperatureProtection "charge_overtemperature_protection", DecidegreesCelsius 300..=800 step 10, [600], Service, "P12", "5.3.2 q", "Above this battery temperature charging stops.";
    ChargeOvertemperatureRecovery "charge_overtemperature_recovery", DecidegreesCelsius 250..=800 step 10, [550], Service, "P12", "5.3.2 q", "Below this battery temperature charging starts again.";
    DischargeOvertemperatureProtection "discharge_overtemperature_protection", DecidegreesCelsius 300..=800 step 10, [600], Service, "P13", "A1 14", "Above this battery temperature discharging stops.";
    DischargeOvertemperatureRecovery "discharge_overtemperature_recovery", DecidegreesCelsius 250..=800 step 10, [550], Service, "P13", "A1 15", "Below this battery temperature discharging starts again.";
    ChargeUndertemperatureProtection "charge_undertemperature_protection", DecidegreesCelsius -400..=200 step 10, [-200, 0, -200], Service, "P14", "5.3.2 r", "Below this battery temperature charging stops and the heater starts.";
    ChargeUndertemperatureRecovery "charge_undertemperature_recovery", DecidegreesCelsius -400..=250 step 10, [-100, 50, -100], Service, "P14", "5.3.2 r", "Above this battery temperature charging starts and the heater stops.";
    DischargeUndertemperature "discharge_undertemperature", Flag 0..=1 step 1, [0], Service, "D11", "-", "1: discharging stops in the cold too.";
    DischargeUndertemperatureProtection "discharge_undertemperature_protection", DecidegreesCelsius -400..=200 step 10, [-200], Service, "D11", "-", "Below this battery temperature discharging stops, if switched on.";
    DischargeUndertemperatureRecovery "discharge_undertemperature_recovery", DecidegreesCelsius -400..=250 step 10, [-100], Service, "D11", "-", "Above this battery temperature discharging starts again.";
    TemperatureDelay "temperature_delay", Milliseconds 0..=60_000 step 100, [1_000] manual 0, Service, "N05", "-", "How long a temperature must stay beyond its protection value.";
    MosOvertemperatureProtection "mos_overtemperature_protection", DecidegreesCelsius 500..=1_100 step 10, [750], Board, "P15", "5.3.2 s", "Above this switch temperature everything stops.";
    MosOvertemperatureRecovery "mos_overtemperature_recovery", DecidegreesCelsius 450..=1_050 step 10, [700], Board, "P15", "A1 19", "Below this switch temperature everything starts again.";
    // -- balancing
    BalanceTrigger "balance_trigger", Microvolts 2_000..=1_000_000 step 1_000, [10_000], Service, "B05", "5.3.2 f", "Balancing starts when highest minus lowest cell exceeds this.";
    BalanceStop "balance_stop", Microvolts 1_000..=1_000_000 step 1_000, [5_000] manual 10_000, Service, "D04", "5.3.2 f", "Balancing stops when highest minus lowest cell falls below this.";
    BalanceStartVoltage "balance_start_voltage", Microvolts 1_200_000..=4_250_000 step 1_000, [3_300_000, 3_400_000, 2_300_000], Service, "B06", "5.3.2 o", "Balancing needs the highest cell above this.";
    BalanceCurrent "balance_current", Milliamps 50..=15_000 step 10, [600], Service, "B02", "5.3.2 p", "Maximum balancing current; at most the model's and 0.1 C.";
    BalanceMinimumOn "balance_minimum_on", Milliseconds 0..=600_000 step 100, [1_000] manual 0, Service, "D04", "-", "Shortest time that a pair of cells stays chosen.";
    BalanceMinimumOff "balance_minimum_off", Milliseconds 0..=600_000 step 100, [1_000] manual 0, Service, "D04", "-", "Shortest pause after balancing stopped.";
    BalanceCurrentLimit "balance_pack_current_limit", Milliamps 100..=1_000_000 [or_off] step 100, [0], Service, "D27", "-", "Pack current above which balancing pauses. 0: no limit.";
    WireResistanceLimit "wire_resistance_limit", Microohms 1_000..=5_000_000 [or_off] step 1_000, [0], Service, "D26", "5.3.1 zone 3", "A sense wire above this blocks balancing. 0: min(1 Ω, 0.4 V / balance current).";
    // -- trust in the measurements
    DataLostTime "data_lost_time", Milliseconds 100..=10_000 step 100, [1_000], Service, "X01", "-", "Age at which cell voltages and current count as lost; at least three sample periods.";
    TemperatureLostTime "temperature_lost_time", Milliseconds 100..=10_000 step 100, [10_000], Service, "X01", "-", "Age at which a temperature counts as lost.";
    DataRecoveryTime "data_recovery_time", Milliseconds 0..=60_000 step 100, [5_000], Service, "X01", "-", "Time of valid data before lost data is forgiven.";
    DischargeLostGrace "discharge_lost_grace", Milliseconds 0..=10_000 step 100, [0], Service, "X01", "-", "How much later than charging the discharge switch opens when data is lost.";
    SensorFaultDelay "sensor_fault_delay", Milliseconds 0..=10_000 step 100, [1_000], Service, "X02", "-", "How long a required sensor may be missing or shorted.";
    StackCheck "stack_check", Flag 0..=1 step 1, [1] manual 0, Service, "X03", "-", "1: compare the stack voltage with the sum of the cells.";
    OpenWireCheck "open_wire_check", Flag 0..=1 step 1, [1] manual 0, Service, "X04", "-", "1: look for open sense wires.";
    ChemistryCheck "chemistry_check", Flag 0..=1 step 1, [1] manual 0, Service, "X15", "-", "1: the first samples must fit the chemistry.";
    // -- the pack as a whole
    PackOvervoltageProtection "pack_overvoltage_protection", Microvolts 5_000_000..=150_000_000 [or_off] step 10_000, [0], Service, "X07", "-", "Pack voltage above which charging stops. 0: off.";
    PackOvervoltageRecovery "pack_overvoltage_recovery", Microvolts 5_000_000..=150_000_000 [or_off] step 10_000, [0], Service, "X07", "-", "Pack voltage below which charging starts again.";
    PackUndervoltageProtection "pack_undervoltage_protection", Microvolts 4_000_000..=150_000_000 [or_off] step 10_000, [0], Service, "X07", "-", "Pack voltage below which discharging stops. 0: off.";
    PackUndervoltageRecovery "pack_undervoltage_recovery", Microvolts 4_000_000..=150_000_000 [or_off] step 10_000, [0], Service, "X07", "-", "Pack voltage above which discharging starts again.";
    CellSpreadWarning "cell_spread_warning", Microvolts 20_000..=2_000_000 [or_off] step 1_000, [300_000] manual 0, Service, "X08", "-", "Highest minus lowest cell above this warns. 0: off.";
    CellSpreadProtection "cell_spread_protection", Microvolts 20_000..=2_000_000 [or_off] step 1_000, [0], Service, "X08", "-", "Highest minus lowest cell above this stops charging and discharging. 0: off.";
    TemperatureSpreadWarning "temperature_spread_warning", DecidegreesCelsius 10..=800 [or_off] step 10, [150] manual 0, Service, "X08", "-", "Warmest minus coldest sensor above this warns. 0: off.";
    TemperatureSpreadProtection "temperature_spread_protection", DecidegreesCelsius 10..=800 [or_off] step 10, [0], Service, "X08", "-", "Warmest minus coldest sensor above this stops charging and discharging. 0: off.";
    WarningVoltageMargin "warning_voltage_margin", Microvolts 5_000..=500_000 [or_off] step 1_000, [50_000] manual 0, Service, "X09", "-", "A cell voltage this near to its protection value warns. 0: off.";
    WarningTemperatureMargin "warning_temperature_margin", DecidegreesCelsius 10..=200 [or_off] step 10, [50] manual 0, Service, "X09", "-", "A temperature this near to its protection value warns. 0: off.";
    WarningCurrentMargin "warning_current_margin", Permille 10..=500 [or_off] step 10, [50] manual 0, Service, "X09", "-", "A current within this part of its maximum warns. 0: off.";
    // -- switches
    StuckSwitchCurrent "stuck_switch_current", Milliamps 100..=20_000 [or_off] step 100, [2_000] manual 0, Service, "X10", "-", "Current through an open switch against its body diode that counts as stuck. 0: off.";
    NotConductingVoltage "not_conducting_voltage", Microvolts 100_000..=10_000_000 [or_off] step 10_000, [1_000_000] manual 0, Service, "X11", "-", "Drop over closed switches that warns. 0: off.";
    DiodeBypassCurrent "diode_bypass_current", Milliamps 500..=50_000 [or_off] step 100, [5_000] manual 0, Service, "X12", "-", "Opposite current above which a switch held open by a one-direction alarm closes. 0: off.";
    TerminalMismatchVoltage "terminal_mismatch_voltage", Microvolts 100_000..=20_000_000 [or_off] step 10_000, [1_000_000] manual 0, Service, "X19", "-", "Terminal above the stack by more than this refuses a closing without precharge. 0: off.";
    ResetHoldOff "reset_hold_off", Flag 0..=1 step 1, [1] manual 0, Service, "X18", "-", "1: stay open for the short-circuit release time after an abnormal reset.";
    // -- abuse
    NeverChargeVoltage "never_charge_voltage", Microvolts 500_000..=3_000_000 [or_off] step 1_000, [2_000_000, 2_000_000, 1_000_000] manual 0, Service, "X13", "-", "A cell below this is never charged again. 0: off.";
    AbuseVoltage "abuse_voltage", Microvolts 2_000_000..=4_800_000 [or_off] step 1_000, [4_400_000, 4_000_000, 3_000_000] manual 0, Service, "X14", "-", "A cell above this locks the pack for good. 0: off.";
    Trickle "trickle", Flag 0..=1 step 1, [1] manual 0, Service, "X16", "-", "1: publish 0.05 C as the charge limit while the lowest cell is below the under-voltage protection.";
    // -- heater
    HeaterResistance "heater_resistance", Microohms 100_000..=2_000_000_000 [or_off] step 100_000, [0], Service, "H02", "3.1", "Resistance of the heating film. 0: none fitted.";
    HeaterNeedsCharger "heater_needs_charger", Flag 0..=1 step 1, [1], Service, "D28", "-", "1: heat only while a charger is present.";
    HeaterFromBattery "heater_from_battery", Flag 0..=1 step 1, [1], Service, "D28", "3.2 P7", "1: the heater is fed by the battery; 0: by the charger's input.";
    // -- counting
    FullCurrent "full_current", Permille 1..=500 step 1, [50], Service, "T11", "-", "Charging current, as a part of the capacity per hour, below which a pack at its charge voltage is full.";
    CapacityLearning "capacity_learning", Count 0..=2 step 1, [2] manual 1, Service, "L02", "5.3.1 H", "0: the configured capacity stays; 1: learned from a full discharge and charge only, as in the manual; 2: from partial cycles too.";
    ZeroCurrentWindow "zero_current_window", Permille 1..=20 [or_off] step 1, [3] manual 0, Service, "C02", "-", "A steady current below this part of the capacity per hour counts as the sensor's own error. 0: only with both switches open.";
    LimitTaper "limit_taper", Flag 0..=1 step 1, [1] manual 0, Service, "X16", "-", "1: the published current limits fall smoothly between the recovery and the protection values.";
    // -- calibration
    VoltageGain "voltage_gain", PartsPerMillion -20_000..=20_000 step 1, [0], Calibration, "C01", "5.3.2 g", "Correction of every cell voltage.";
    CurrentGain "current_gain", PartsPerMillion -100_000..=100_000 step 1, [0], Calibration, "C02", "5.3.2 h", "Correction of the current.";
    CurrentOffset "current_offset", Milliamps -5_000..=5_000 step 1, [0], Calibration, "C02", "5.3.2 h", "Added to the measured current before the gain.";
}

/// What checks need of a row at run time, as small as it can be. The texts of [`PARAMETERS`] are linked only into a firmware that shows them.
#[derive(Clone, Copy)]
struct Check {
    minimum: i32,
    maximum: i32,
    zero_is_off: bool,
    scope: Scope,
}

/// What a preset needs of a row at run time.
#[derive(Clone, Copy)]
struct Preset {
    chemistries: [i32; 3],
    manual: Option<i32>,
}

const DEFAULTS: [Preset; PARAMETER_COUNT] = {
    let mut defaults = [Preset { chemistries: [0; 3], manual: None }; PARAMETER_COUNT];
    let mut index = 0;
    while index < PARAMETER_COUNT {
        #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
        {
            let Parameter { defaults: chemistries, manual_profile: manual, .. } = PARAMETERS[index];
            defaults[index] = Preset { chemistries, manual };
        }
        index = index.saturating_add(1);
    }
    defaults
};

const CHECKS: [Check; PARAMETER_COUNT] = {
    let mut checks = [Check { minimum: 0, maximum: 0, zero_is_off: false, scope: Scope::Service }; PARAMETER_COUNT];
    let mut index = 0;
    while index < PARAMETER_COUNT {
        #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
        {
            let Parameter { minimum, maximum, zero_is_off, scope, .. } = PARAMETERS[index];
            checks[index] = Check { minimum, maximum, zero_is_off, scope };
        }
        index = index.saturating_add(1);
    }
    checks
};

impl ParameterId {
    /// Every parameter, by number.
    pub const ALL: [Self; PARAMETER_COUNT] = {
        let mut all = [Self::CellCount; PARAMETER_COUNT];
        let mut index = 0;
        while index < PARAMETER_COUNT {
            #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
            {
                all[index] = PARAMETERS[index].id;
            }
            index = index.saturating_add(1);
        }
        all
    };
    /// Whether 0 switches the function off.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the macro makes the table and the enum of one length")]
    pub const fn zero_is_off(self) -> bool {
        CHECKS[self as usize].zero_is_off
    }
    /// Whether `value` is inside the range, or is the allowed zero.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the macro makes the table and the enum of one length")]
    pub const fn accepts(self, value: i32) -> bool {
        let Check { minimum, maximum, zero_is_off, .. } = CHECKS[self as usize];
        (zero_is_off && value == 0) || (value >= minimum && value <= maximum)
    }
    /// Who may change it.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the macro makes the table and the enum of one length")]
    pub const fn scope(self) -> Scope {
        CHECKS[self as usize].scope
    }
    /// The default for a chemistry in a profile.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the macro makes the table and the enum of one length")]
    pub const fn default_for(self, chemistry: Chemistry, profile: Profile) -> i32 {
        let Preset { chemistries, manual } = DEFAULTS[self as usize];
        match (profile, manual) {
            (Profile::Manual, Some(value)) => value,
            _ => of_chemistry(chemistries, chemistry),
        }
    }
    /// Whether the profile `manual` has another default than the profile `default`.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the macro makes the table and the enum of one length")]
    pub(super) const fn depends_on_profile(self) -> bool {
        DEFAULTS[self as usize].manual.is_some()
    }
    /// The row of the table, with its texts: who only needs a number or a check does better without.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the macro makes the table and the enum of one length")]
    pub const fn info(self) -> &'static Parameter {
        const TABLE: &[Parameter; PARAMETER_COUNT] = &PARAMETERS;
        &TABLE[self as usize]
    }
    /// The parameter with this number, as a link or a store has it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
    /// The parameter with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        PARAMETERS.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.id)
    }
}
