//! Configuration: what the pack is and where its limits lie.
//!
//! ```text
//! Config (anything) ── validate() ──► ValidConfig (cannot be wrong) ──► Bms
//! ```
//! A [`Config`] is an array of integers by [`ParameterId`] plus what no link may change: chemistry, model
//! and board. Only [`Config::validate`] makes a [`ValidConfig`], and it returns *every* violation.
//! Checked in a `const {}` block, an impossible limit does not compile:
//!
//! ```
//! use bms_core::prelude::*;
//! const PACK: ValidConfig = const {
//!     Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated()
//! };
//! ```
//! ```compile_fail
//! # use bms_core::prelude::*;
//! // 25 cells on a 24-cell model: "invalid pack configuration"
//! const PACK: ValidConfig = const { Config::lifepo4(25).with_model(Model::B2a24s15p).validated() };
//! ```

mod chemistry;
mod model;
mod parameter;
mod validate;

pub use chemistry::Chemistry;
pub use model::{Model, Ratings};
pub use parameter::{PARAMETER_COUNT, PARAMETERS, Parameter, ParameterId, Scope, Unit};
pub use validate::{Rule, Violation, Violations, Warning, Warnings};

use crate::measurement::BATTERY_SENSORS;
use crate::time::{Duration, ms};
use crate::units::{Charge, Current, Temperature, Voltage, saturate};

/// How closely the manual is followed (N06).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Profile {
    /// The manual to the letter: no delays it lacks, unlimited retries, none of the rows beyond it that can
    /// be switched off.
    Manual,
    /// Everything.
    Default,
}

/// How the pack's switches are built (D29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Topology {
    /// Two MOS banks back to back in one line (the manual's "common port"): an open one still conducts the
    /// opposite direction through its body diode.
    BackToBack,
    /// Separate charge and discharge ports.
    SeparatePorts,
    /// Contactors: an open one conducts in neither direction.
    Contactors,
}

/// Whether a battery temperature sensor must be there (D16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum SensorPolicy {
    /// Its absence is a fault.
    Required,
    /// May be absent ("NA"); once seen valid it is required until the next start.
    Optional,
    /// There is none; its readings are ignored.
    NotFitted,
}

/// What the board has: fixed in the firmware, out of reach of every link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BoardDefinition {
    /// How the switches are built.
    pub topology: Topology,
    /// The battery temperature sensors; the switches' own sensor is always required.
    pub sensors: [SensorPolicy; BATTERY_SENSORS],
    /// Whether B+…B− is measured before the switches (X03, X04, X13, X14, X17, X19, D30).
    pub stack_voltage: bool,
    /// Whether the voltage behind the switches is measured (X11, X17, X19, A01, D30).
    pub terminal_voltage: bool,
    /// Whether a precharge path is fitted (X17); needs the stack and the terminal voltage.
    pub precharge: bool,
    /// Whether a last-resort output (fuse, main contactor) is fitted (X10).
    pub last_resort: bool,
    /// Whether a comparator latches short circuits and opens the gates by itself (D09).
    pub hardware_short_circuit: bool,
}

impl BoardDefinition {
    /// The manual's board: back-to-back, two optional battery sensors, stack voltage, a short-circuit
    /// latch, no terminal voltage, no precharge, no fuse.
    pub const MANUAL: Self = Self {
        topology: Topology::BackToBack,
        sensors: [
            SensorPolicy::Optional,
            SensorPolicy::Optional,
            SensorPolicy::NotFitted,
            SensorPolicy::NotFitted,
            SensorPolicy::NotFitted,
        ],
        stack_voltage: true,
        terminal_voltage: false,
        precharge: false,
        last_resort: false,
        hardware_short_circuit: true,
    };
}

/// A configuration that may be wrong; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    values: [i32; PARAMETER_COUNT],
    chemistry: Chemistry,
    model: Option<Model>,
    profile: Profile,
    board: BoardDefinition,
}

impl Config {
    /// The preset of a chemistry (S01, Appendix 1) for a number of cells. The over-current limits are still
    /// missing: state a model or the currents (D07).
    #[must_use]
    pub const fn preset(chemistry: Chemistry, cells: u8) -> Self {
        let config = Self {
            values: [0; PARAMETER_COUNT],
            chemistry,
            model: None,
            profile: Profile::Default,
            board: BoardDefinition::MANUAL,
        };
        config.with_working_defaults().with(ParameterId::CellCount, cells as i32)
    }
    /// The LiFePO4 preset.
    #[must_use]
    pub const fn lifepo4(cells: u8) -> Self {
        Self::preset(Chemistry::LiFePo4, cells)
    }
    /// The ternary lithium preset.
    #[must_use]
    pub const fn li_ion(cells: u8) -> Self {
        Self::preset(Chemistry::LiIon, cells)
    }
    /// The lithium titanate preset.
    #[must_use]
    pub const fn lto(cells: u8) -> Self {
        Self::preset(Chemistry::Lto, cells)
    }

    /// Every parameter set to the default of this chemistry and profile.
    #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
    const fn with_working_defaults(mut self) -> Self {
        let mut index = 0;
        while index < PARAMETER_COUNT {
            self.values[index] = ParameterId::ALL[index].default_for(self.chemistry, self.profile);
            index = index.saturating_add(1);
        }
        self
    }

    /// One parameter changed, unchecked: [`Config::validate`] decides.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the identifier is below the array's length")]
    pub const fn with(mut self, parameter: ParameterId, value: i32) -> Self {
        self.values[parameter as usize] = value;
        self
    }
    /// A model: its ratings bound the configuration, and become the defaults of the currents that are not yet stated.
    #[must_use]
    pub const fn with_model(mut self, model: Model) -> Self {
        self.model = Some(model);
        let ratings = model.ratings();
        let rated = ratings.continuous.as_milliamps();
        if self.get(ParameterId::ChargeOvercurrentProtection) == 0 {
            self = self.with(ParameterId::ChargeOvercurrentProtection, rated);
        }
        if self.get(ParameterId::DischargeOvercurrentProtection) == 0 {
            self = self.with(ParameterId::DischargeOvercurrentProtection, rated);
        }
        if self.get(ParameterId::SevereDischargeCurrent) == 0 && matches!(self.profile, Profile::Default) {
            self = self.with(ParameterId::SevereDischargeCurrent, ratings.maximum_discharge.as_milliamps());
        }
        self.with_balance_current_up_to(ratings.balance)
    }
    /// The balance current: the model's, but at most 0.1 C (B02).
    const fn with_balance_current_up_to(self, rating: Current) -> Self {
        let tenth_c = self.get(ParameterId::Capacity) / 10;
        let limit = rating.as_milliamps();
        self.with(ParameterId::BalanceCurrent, if tenth_c < limit { tenth_c } else { limit })
    }
    /// The battery's capacity; the balance current follows it down to 0.1 C.
    #[must_use]
    pub const fn with_capacity(self, capacity: Charge) -> Self {
        let milliamp_hours = saturate(capacity.as_milliamp_hours());
        let config = self.with(ParameterId::Capacity, milliamp_hours);
        match config.model {
            Some(model) => config.with_balance_current_up_to(model.ratings().balance),
            None => config.with_balance_current_up_to(Current::from_milliamps(config.get(ParameterId::BalanceCurrent))),
        }
    }
    /// Maximum charging current and its delay.
    #[must_use]
    pub const fn with_charge_limit(self, maximum: Current, delay: Duration) -> Self {
        self.with(ParameterId::ChargeOvercurrentProtection, maximum.as_milliamps())
            .with(ParameterId::ChargeOvercurrentDelay, delay.as_millis() as i32)
    }
    /// Maximum discharging current (given as a positive number) and its delay.
    #[must_use]
    pub const fn with_discharge_limit(self, maximum: Current, delay: Duration) -> Self {
        self.with(ParameterId::DischargeOvercurrentProtection, maximum.as_milliamps())
            .with(ParameterId::DischargeOvercurrentDelay, delay.as_millis() as i32)
    }
    /// The profile; **resets every parameter with a profile-dependent default** to that default.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
    pub const fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        let mut index = 0;
        while index < PARAMETER_COUNT {
            let parameter = ParameterId::ALL[index];
            if parameter.depends_on_profile() {
                self.values[index] = parameter.default_for(self.chemistry, profile);
            }
            index = index.saturating_add(1);
        }
        match self.model {
            Some(model) => self.with_model(model),
            None => self,
        }
    }
    /// The board.
    #[must_use]
    pub const fn with_board(mut self, board: BoardDefinition) -> Self {
        self.board = board;
        self
    }
    /// The preset of another chemistry over this configuration (S01): all working parameters are rewritten;
    /// cell count, capacity, currents stated by the owner, calibration, model, profile and board stay.
    #[must_use]
    pub const fn with_preset(self, chemistry: Chemistry) -> Self {
        let mut fresh = self;
        fresh.chemistry = chemistry;
        fresh = fresh.with_working_defaults();
        let kept = [
            ParameterId::CellCount,
            ParameterId::Capacity,
            ParameterId::SamplePeriod,
            ParameterId::ChargeOvercurrentProtection,
            ParameterId::DischargeOvercurrentProtection,
            ParameterId::SevereDischargeCurrent,
            ParameterId::BalanceCurrent,
            ParameterId::MosOvertemperatureProtection,
            ParameterId::MosOvertemperatureRecovery,
            ParameterId::HeaterResistance,
            ParameterId::HeaterFromBattery,
            ParameterId::VoltageGain,
            ParameterId::CurrentGain,
            ParameterId::CurrentOffset,
        ];
        let mut rest: &[ParameterId] = &kept;
        while let [parameter, tail @ ..] = rest {
            fresh = fresh.with(*parameter, self.get(*parameter));
            rest = tail;
        }
        fresh
    }

    /// The factory's settings (S11): the preset of this chemistry; the currents go back to the model's ratings.
    #[must_use]
    pub const fn with_factory_settings(self) -> Self {
        let fresh = self.with_preset(self.chemistry);
        match self.model {
            Some(model) => fresh
                .with(ParameterId::ChargeOvercurrentProtection, 0)
                .with(ParameterId::DischargeOvercurrentProtection, 0)
                .with(ParameterId::SevereDischargeCurrent, 0)
                .with_model(model),
            None => fresh,
        }
    }

    /// A parameter in its stored unit.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "the identifier is below the array's length")]
    pub const fn get(&self, parameter: ParameterId) -> i32 {
        self.values[parameter as usize]
    }
    /// The chemistry.
    #[must_use]
    pub const fn chemistry(&self) -> Chemistry {
        self.chemistry
    }
    /// The model, if one was stated.
    #[must_use]
    pub const fn model(&self) -> Option<Model> {
        self.model
    }
    /// The profile.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }
    /// The board.
    #[must_use]
    pub const fn board(&self) -> &BoardDefinition {
        &self.board
    }

    /// Checks every range, ordering, cap and rating.
    ///
    /// # Errors
    /// *All* violations, each naming its parameter, as one `Copy` set.
    pub const fn validate(self) -> Result<ValidConfig, Violations> {
        let violations = validate::violations(&self);
        if violations.is_empty() { Ok(ValidConfig(self)) } else { Err(violations) }
    }
    /// [`Config::validate`] for `const {}` blocks.
    ///
    /// # Panics
    /// If the configuration is invalid; in a `const {}` block that is a compile error. Use
    /// [`Config::validate`] for values that are known only at run time.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "meant for const blocks, where it is the compile error")]
    pub const fn validated(self) -> ValidConfig {
        match self.validate() {
            Ok(valid) => valid,
            Err(_) => panic!("invalid pack configuration"),
        }
    }
}

/// A configuration that passed every check; the only kind that [`Bms`](crate::Bms) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidConfig(Config);

impl ValidConfig {
    /// As a plain configuration, to derive another from.
    #[must_use]
    pub const fn to_config(&self) -> Config {
        self.0
    }
    /// What is allowed but deserves a second look.
    #[must_use]
    pub const fn warnings(&self) -> Warnings {
        validate::warnings(&self.0)
    }
    /// Whether a heater is fitted (H02).
    #[must_use]
    pub const fn heater_fitted(&self) -> bool {
        self.get(ParameterId::HeaterResistance) > 0
    }
    /// A parameter in its stored unit.
    #[must_use]
    pub const fn get(&self, parameter: ParameterId) -> i32 {
        self.0.get(parameter)
    }
    /// The stored values, for loops over all of them.
    pub(crate) const fn values(&self) -> &[i32; PARAMETER_COUNT] {
        &self.0.values
    }
    /// Chemistry, profile, model and board in one word: whatever of them changes, changes it.
    pub(crate) const fn kind(&self) -> u32 {
        let board = &self.0.board;
        let model = match self.0.model {
            Some(model) => (model as u32).wrapping_add(1),
            None => 0,
        };
        let mut kind = model << 2 | self.0.chemistry as u32;
        kind = kind << 2 | board.topology as u32;
        let mut rest: &[SensorPolicy] = &board.sensors;
        while let [sensor, tail @ ..] = rest {
            kind = kind << 2 | *sensor as u32;
            rest = tail;
        }
        let flags = [
            matches!(self.0.profile, Profile::Manual),
            board.stack_voltage,
            board.terminal_voltage,
            board.precharge,
            board.last_resort,
            board.hardware_short_circuit,
        ];
        let mut rest: &[bool] = &flags;
        while let [flag, tail @ ..] = rest {
            kind = kind << 1 | *flag as u32;
            rest = tail;
        }
        kind
    }
    /// Memory that decays.
    #[cfg(test)]
    #[allow(clippy::indexing_slicing, reason = "a test")]
    pub(crate) fn flip(&mut self, position: usize, bit: u32) {
        self.0.values[position] ^= 1_i32.wrapping_shl(bit);
    }
    /// The same, of what is not a parameter.
    #[cfg(test)]
    pub(crate) fn replace(&mut self, change: impl FnOnce(&mut Chemistry, &mut Option<Model>, &mut BoardDefinition)) {
        change(&mut self.0.chemistry, &mut self.0.model, &mut self.0.board);
    }
    /// A parameter that is a voltage.
    #[must_use]
    pub const fn voltage(&self, parameter: ParameterId) -> Voltage {
        Voltage::from_microvolts(self.get(parameter))
    }
    /// A parameter that is a current, as a positive number.
    #[must_use]
    pub const fn current(&self, parameter: ParameterId) -> Current {
        Current::from_milliamps(self.get(parameter))
    }
    /// A parameter that is a temperature.
    #[must_use]
    pub const fn temperature(&self, parameter: ParameterId) -> Temperature {
        Temperature::from_tenths(self.get(parameter))
    }
    /// A parameter that is a duration.
    #[must_use]
    pub const fn duration(&self, parameter: ParameterId) -> Duration {
        ms(self.get(parameter).unsigned_abs())
    }
    /// A parameter that is a flag.
    #[must_use]
    pub const fn flag(&self, parameter: ParameterId) -> bool {
        self.get(parameter) != 0
    }
    /// The number of cells.
    #[must_use]
    pub const fn cell_count(&self) -> u8 {
        self.get(ParameterId::CellCount) as u8
    }
    /// The designed capacity.
    #[must_use]
    pub const fn capacity(&self) -> Charge {
        Charge::from_milliamp_hours(self.get(ParameterId::Capacity) as i64)
    }
    /// The chemistry.
    #[must_use]
    pub const fn chemistry(&self) -> Chemistry {
        self.0.chemistry
    }
    /// The model, if one was stated.
    #[must_use]
    pub const fn model(&self) -> Option<Model> {
        self.0.model
    }
    /// The profile.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.0.profile
    }
    /// The board.
    #[must_use]
    pub const fn board(&self) -> &BoardDefinition {
        &self.0.board
    }
}
