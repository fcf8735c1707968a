//! Validation: every rule a configuration must keep, and what is allowed but worth a warning.

use core::fmt;

use super::{Chemistry, Config, PARAMETER_COUNT, ParameterId, SensorPolicy};
use crate::units::{Current, Power, mv};

use ParameterId as P;

/// Pairs that must keep their order: (lower, upper, whether equal is allowed). Either side at 0 is "off"
/// where its row allows that, and then the pair is not checked.
const ORDERINGS: [(P, P, bool); 18] = [
    (P::AutoShutdownVoltage, P::CellUndervoltageProtection, false),
    (P::CellUndervoltageProtection, P::CellUndervoltageRecovery, false),
    (P::CellUndervoltageRecovery, P::CellOvervoltageRecovery, false),
    (P::CellOvervoltageRecovery, P::CellOvervoltageProtection, false),
    (P::BalanceStop, P::BalanceTrigger, true),
    (P::BalanceStartVoltage, P::CellOvervoltageProtection, false),
    (P::NeverChargeVoltage, P::CellUndervoltageProtection, false),
    (P::CellOvervoltageProtection, P::AbuseVoltage, false),
    (P::ChargeOvertemperatureRecovery, P::ChargeOvertemperatureProtection, false),
    (P::DischargeOvertemperatureRecovery, P::DischargeOvertemperatureProtection, false),
    (P::ChargeUndertemperatureProtection, P::ChargeUndertemperatureRecovery, false),
    (P::ChargeUndertemperatureRecovery, P::ChargeOvertemperatureRecovery, false),
    (P::DischargeUndertemperatureProtection, P::DischargeUndertemperatureRecovery, false),
    (P::DischargeUndertemperatureRecovery, P::DischargeOvertemperatureRecovery, false),
    (P::MosOvertemperatureRecovery, P::MosOvertemperatureProtection, false),
    (P::PackOvervoltageRecovery, P::PackOvervoltageProtection, false),
    (P::PackUndervoltageProtection, P::PackUndervoltageRecovery, false),
    (P::DischargeOvercurrentProtection, P::SevereDischargeCurrent, false),
];

/// A rule beyond ranges and orderings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[non_exhaustive]
pub enum Rule {
    /// The cell count is outside the model's range for this chemistry (table of models, D24).
    CellCountOfModel,
    /// The over-voltage protection exceeds the chemistry's hard cap (D31).
    OvervoltageCap,
    /// The under-voltage protection is below the chemistry's hard floor (D31).
    UndervoltageFloor,
    /// The charge over-current protection is outside 10 A … the model's rating (P10).
    ChargeCurrentOfModel,
    /// The discharge over-current protection is outside 10 A … the model's rating (P10).
    DischargeCurrentOfModel,
    /// The second-level discharge current exceeds the model's maximum (X05, D31).
    SevereCurrentOfModel,
    /// The balance current exceeds the model's rating (B02).
    BalanceCurrentOfModel,
    /// The balance current exceeds 0.1 C (B02).
    BalanceCurrentOfCapacity,
    /// The model has no heater output (H02).
    HeaterOfModel,
    /// The heater would draw more than 3 A at cells × OVP (H02).
    HeaterCurrent,
    /// The heater would take more than the model's power at cells × OVP (H02).
    HeaterPower,
    /// A heater without any battery temperature sensor (D16).
    HeaterWithoutSensor,
    /// A precharge path without stack and terminal voltage (X17).
    PrechargeWithoutVoltages,
    /// Pack over- or under-voltage with only one of protection and recovery set (X07).
    PackVoltageHalfSet,
}

impl Rule {
    const ALL: [Self; 14] = [
        Self::CellCountOfModel,
        Self::OvervoltageCap,
        Self::UndervoltageFloor,
        Self::ChargeCurrentOfModel,
        Self::DischargeCurrentOfModel,
        Self::SevereCurrentOfModel,
        Self::BalanceCurrentOfModel,
        Self::BalanceCurrentOfCapacity,
        Self::HeaterOfModel,
        Self::HeaterCurrent,
        Self::HeaterPower,
        Self::HeaterWithoutSensor,
        Self::PrechargeWithoutVoltages,
        Self::PackVoltageHalfSet,
    ];

    /// The parameter that breaks the rule.
    #[must_use]
    pub const fn parameter(self) -> ParameterId {
        match self {
            Self::CellCountOfModel => P::CellCount,
            Self::OvervoltageCap => P::CellOvervoltageProtection,
            Self::UndervoltageFloor => P::CellUndervoltageProtection,
            Self::ChargeCurrentOfModel => P::ChargeOvercurrentProtection,
            Self::DischargeCurrentOfModel => P::DischargeOvercurrentProtection,
            Self::SevereCurrentOfModel => P::SevereDischargeCurrent,
            Self::BalanceCurrentOfModel | Self::BalanceCurrentOfCapacity => P::BalanceCurrent,
            Self::HeaterOfModel | Self::HeaterCurrent | Self::HeaterPower | Self::HeaterWithoutSensor => {
                P::HeaterResistance
            }
            Self::PrechargeWithoutVoltages => P::TerminalMismatchVoltage,
            Self::PackVoltageHalfSet => P::PackOvervoltageProtection,
        }
    }
    /// The rule in words.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::CellCountOfModel => "outside the model's cell range for this chemistry",
            Self::OvervoltageCap => "above the chemistry's hard cap",
            Self::UndervoltageFloor => "below the chemistry's hard floor",
            Self::ChargeCurrentOfModel | Self::DischargeCurrentOfModel => {
                "outside 10 A to the model's continuous rating"
            }
            Self::SevereCurrentOfModel => "above the model's maximum discharge current",
            Self::BalanceCurrentOfModel => "above the model's balance current",
            Self::BalanceCurrentOfCapacity => "above 0.1 C of the capacity",
            Self::HeaterOfModel => "the model has no heater output",
            Self::HeaterCurrent => "the heater would draw more than 3 A at cells x over-voltage protection",
            Self::HeaterPower => "the heater would exceed the model's power at cells x over-voltage protection",
            Self::HeaterWithoutSensor => "a heater needs a battery temperature sensor",
            Self::PrechargeWithoutVoltages => "precharge needs stack and terminal voltage measured",
            Self::PackVoltageHalfSet => "pack voltage protection and recovery must both be set or both be off",
        }
    }
}

/// One broken rule, with the parameter that breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Violation {
    /// The parameter is outside the range of its row.
    OutOfRange(ParameterId),
    /// `lower` must be below `upper`, and is not.
    Order {
        /// The one that must be lower.
        lower: ParameterId,
        /// The one that must be higher.
        upper: ParameterId,
    },
    /// A rule of its own.
    Rule(Rule),
}

impl Violation {
    /// Whether this violation concerns the parameter.
    #[must_use]
    pub fn names(&self, parameter: ParameterId) -> bool {
        match *self {
            Self::OutOfRange(named) => named == parameter,
            Self::Order { lower, upper } => lower == parameter || upper == parameter,
            Self::Rule(rule) => rule.parameter() == parameter,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfRange(parameter) => {
                let info = parameter.info();
                write!(out, "{}: outside ", info.name)?;
                crate::explain::write_scaled(out, info.minimum, info.unit)?;
                out.write_str(" to ")?;
                crate::explain::write_scaled(out, info.maximum, info.unit)?;
                if info.zero_is_off { out.write_str(" (or 0: off)") } else { Ok(()) }
            }
            Self::Order { lower, upper } => {
                write!(out, "{}: must be below {}", lower.info().name, upper.info().name)
            }
            Self::Rule(rule) => write!(out, "{}: {}", rule.parameter().info().name, rule.description()),
        }
    }
}

/// All violations of one configuration, as a `Copy` set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Violations {
    ranges: u128,
    orderings: u32,
    rules: u32,
}

const _: () = assert!(PARAMETER_COUNT <= 128 && ORDERINGS.len() <= 32);

impl Violations {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges == 0 && self.orderings == 0 && self.rules == 0
    }
    /// Each violation in turn: ranges, then orderings, then rules.
    pub fn iter(&self) -> impl Iterator<Item = Violation> + use<> {
        let this = *self;
        let ranges = ParameterId::ALL
            .into_iter()
            .filter(move |parameter| this.ranges.wrapping_shr(*parameter as u32) & 1 == 1)
            .map(Violation::OutOfRange);
        let orderings = ORDERINGS
            .iter()
            .zip(0_u32..32)
            .filter(move |(_, bit)| this.orderings.checked_shr(*bit).unwrap_or(0) & 1 == 1)
            .map(|(&(lower, upper, _), _)| Violation::Order { lower, upper });
        let rules = Rule::ALL
            .into_iter()
            .filter(move |rule| this.rules.checked_shr(*rule as u32).unwrap_or(0) & 1 == 1)
            .map(Violation::Rule);
        ranges.chain(orderings).chain(rules)
    }
    const fn add(&mut self, broken: bool, rule: Rule) {
        if broken {
            self.rules |= 1_u32.wrapping_shl(rule as u32);
        }
    }
}

/// Every violation of a configuration.
#[allow(clippy::indexing_slicing, reason = "the loops end at the arrays' lengths")]
pub(super) const fn violations(config: &Config) -> Violations {
    let mut found = Violations { ranges: 0, orderings: 0, rules: 0 };
    let mut index = 0;
    while index < PARAMETER_COUNT {
        if !ParameterId::ALL[index].accepts(config.values[index]) {
            found.ranges |= 1_u128.wrapping_shl(index as u32);
        }
        index = index.saturating_add(1);
    }
    let mut index = 0;
    while index < ORDERINGS.len() {
        let (lower, upper, equal_allowed) = ORDERINGS[index];
        let (low, high) = (config.get(lower), config.get(upper));
        let off = (low == 0 && lower.zero_is_off()) || (high == 0 && upper.zero_is_off());
        let ordered = low < high || (equal_allowed && low == high);
        if !off && !ordered {
            found.orderings |= 1_u32.wrapping_shl(index as u32);
        }
        index = index.saturating_add(1);
    }
    let chemistry = config.chemistry();
    found.add(
        config.get(P::CellOvervoltageProtection) > chemistry.overvoltage_cap().as_microvolts(),
        Rule::OvervoltageCap,
    );
    found.add(
        config.get(P::CellUndervoltageProtection) < chemistry.undervoltage_floor().as_microvolts(),
        Rule::UndervoltageFloor,
    );
    found.add(config.get(P::BalanceCurrent) > config.get(P::Capacity) / 10, Rule::BalanceCurrentOfCapacity);
    found.add(
        config.board.precharge && !(config.board.stack_voltage && config.board.terminal_voltage),
        Rule::PrechargeWithoutVoltages,
    );
    found.add(
        (config.get(P::PackOvervoltageProtection) == 0) != (config.get(P::PackOvervoltageRecovery) == 0)
            || (config.get(P::PackUndervoltageProtection) == 0) != (config.get(P::PackUndervoltageRecovery) == 0),
        Rule::PackVoltageHalfSet,
    );
    against_model(config, &mut found);
    heater(config, &mut found);
    found
}

/// The model's ratings.
const fn against_model(config: &Config, found: &mut Violations) {
    let Some(model) = config.model() else { return };
    let ratings = model.ratings();
    let cells = config.get(P::CellCount);
    found.add(
        cells < ratings.fewest_cells_of(config.chemistry()) as i32 || cells > ratings.most_cells as i32,
        Rule::CellCountOfModel,
    );
    found.add(
        outside_rating(config.get(P::ChargeOvercurrentProtection), ratings.continuous),
        Rule::ChargeCurrentOfModel,
    );
    found.add(
        outside_rating(config.get(P::DischargeOvercurrentProtection), ratings.continuous),
        Rule::DischargeCurrentOfModel,
    );
    found.add(
        config.get(P::SevereDischargeCurrent) > ratings.maximum_discharge.as_milliamps(),
        Rule::SevereCurrentOfModel,
    );
    found.add(config.get(P::BalanceCurrent) > ratings.balance.as_milliamps(), Rule::BalanceCurrentOfModel);
}

const fn outside_rating(milliamps: i32, rating: Current) -> bool {
    milliamps < super::Ratings::OVERCURRENT_MINIMUM.as_milliamps() || milliamps > rating.as_milliamps()
}

/// H02: current and power at cells × OVP, both at once.
const fn heater(config: &Config, found: &mut Violations) {
    const MAXIMUM_MILLIAMPS: i64 = 3_000;
    let microohms = config.get(P::HeaterResistance) as i64;
    if microohms <= 0 {
        return;
    }
    let limit = match config.model() {
        Some(model) => model.ratings().heater,
        None => Power::from_milliwatts(200_000),
    };
    found.add(limit.as_milliwatts() == 0, Rule::HeaterOfModel);
    found.add(!has_sensor(config), Rule::HeaterWithoutSensor);
    let microvolts = (config.get(P::CellCount) as i64).saturating_mul(config.get(P::CellOvervoltageProtection) as i64);
    // U > I·R and U² > P·R, in integers: µV = mA·µΩ/1000, and (mV)² = mW·µΩ/1000·1000.
    found.add(microvolts.saturating_mul(1_000) > MAXIMUM_MILLIAMPS.saturating_mul(microohms), Rule::HeaterCurrent);
    let millivolts = microvolts / 1_000;
    found.add(
        millivolts.saturating_mul(millivolts) > (limit.as_milliwatts() as i64).saturating_mul(microohms) / 1_000,
        Rule::HeaterPower,
    );
}

const fn has_sensor(config: &Config) -> bool {
    let mut rest: &[SensorPolicy] = &config.board.sensors;
    while let [sensor, tail @ ..] = rest {
        if !matches!(sensor, SensorPolicy::NotFitted) {
            return true;
        }
        rest = tail;
    }
    false
}

/// Something that is allowed but deserves a second look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[non_exhaustive]
pub enum Warning {
    /// Cells × OVP exceeds the 100 V supply (D15).
    SupplyAbove100Volts,
    /// Cells × the shutdown voltage is below the 20 V supply (D15).
    SupplyBelow20Volts,
    /// Li-ion may be charged below 0 °C, where lithium plates (D13).
    ChargingBelowFreezing,
    /// No battery temperature sensor: no temperature protection, no heater, no balancing (D16).
    NoBatterySensor,
    /// The balance trigger is below twice the measuring accuracy of 3 mV (B05, P05).
    TriggerWithinAccuracy,
    /// No second-level discharge current: only the slow over-current and the hardware act (X05).
    NoSevereDischargeCurrent,
    /// No hardware short-circuit latch: software cannot stop a short circuit in time (D09).
    NoShortCircuitLatch,
}

impl Warning {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SupplyAbove100Volts,
        Self::SupplyBelow20Volts,
        Self::ChargingBelowFreezing,
        Self::NoBatterySensor,
        Self::TriggerWithinAccuracy,
        Self::NoSevereDischargeCurrent,
        Self::NoShortCircuitLatch,
    ];
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::SupplyAbove100Volts => "cell_overvoltage_protection: cells x this exceeds the 100 V supply",
            Self::SupplyBelow20Volts => "auto_shutdown_voltage: cells x this is below the 20 V supply",
            Self::ChargingBelowFreezing => "charge_undertemperature_protection: Li-ion plates lithium when charged below 0 °C; the charge limit there is 0.05 C",
            Self::NoBatterySensor => "no battery temperature sensor: no temperature protection, no heater, no balancing",
            Self::TriggerWithinAccuracy => "balance_trigger: below twice the measuring accuracy of 3 mV",
            Self::NoSevereDischargeCurrent => "severe_discharge_current: off; only the slow over-current and the hardware act",
            Self::NoShortCircuitLatch => "no short-circuit latch: software cannot stop a short circuit in time",
        })
    }
}

/// The warnings of a configuration, as a `Copy` set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Warnings(u32);

impl Warnings {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }
    /// Whether this one is among them.
    #[must_use]
    pub const fn contains(&self, warning: Warning) -> bool {
        self.0 & 1_u32.wrapping_shl(warning as u32) != 0
    }
    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = Warning> + use<> {
        let this = *self;
        Warning::ALL.into_iter().filter(move |warning| this.contains(*warning))
    }
    const fn add(&mut self, present: bool, warning: Warning) {
        if present {
            self.0 |= 1_u32.wrapping_shl(warning as u32);
        }
    }
}

/// Every warning of a configuration.
pub(super) const fn warnings(config: &Config) -> Warnings {
    const ACCURACY_TWICE: i32 = mv(6).as_microvolts();
    let mut found = Warnings(0);
    let cells = config.get(P::CellCount);
    found.add(
        cells.saturating_mul(config.get(P::CellOvervoltageProtection)) > mv(100_000).as_microvolts(),
        Warning::SupplyAbove100Volts,
    );
    found.add(
        cells.saturating_mul(config.get(P::AutoShutdownVoltage)) < mv(20_000).as_microvolts(),
        Warning::SupplyBelow20Volts,
    );
    found.add(
        matches!(config.chemistry(), Chemistry::LiIon) && config.get(P::ChargeUndertemperatureProtection) < 0,
        Warning::ChargingBelowFreezing,
    );
    found.add(!has_sensor(config), Warning::NoBatterySensor);
    found.add(config.get(P::BalanceTrigger) < ACCURACY_TWICE, Warning::TriggerWithinAccuracy);
    found.add(config.get(P::SevereDischargeCurrent) == 0, Warning::NoSevereDischargeCurrent);
    found.add(!config.board.hardware_short_circuit, Warning::NoShortCircuitLatch);
    found
}
