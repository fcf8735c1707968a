//! What people and links may ask for, and why they may be refused.

use core::fmt;

use super::{Bms, Flags};
use crate::balancing::Strategy;
use crate::command::Beep;
use crate::config::{Config, ParameterId, Scope, ValidConfig, Violation, Violations};
use crate::estimation::Estimator;
use crate::event::EventKind;
use crate::fittings::Fittings;
use crate::heating::HeaterControl;
use crate::measurement::{Calibration, CalibrationError, Channel, calibration};
use crate::precharge::PrechargeControl;
use crate::protection::{Alarm, AlarmSet, Window};
use crate::snapshot::PERMANENT;
use crate::units::{Current, Voltage, ma};

/// Something that a person or a link asks for.
///
/// A request never closes a switch by itself, and never in the step that follows it; what closes is decided by later
/// measurements (N07).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Request {
    /// The user's charge switch (S10).
    SetCharge(bool),
    /// The user's discharge switch (S10).
    SetDischarge(bool),
    /// The user's balance switch (S10).
    SetBalance(bool),
    /// Local: allow one more closing after a lock-out (D10), one more precharge, one more heating.
    ClearLockout,
    /// Local: forget the faults that nothing else clears (X10, X13, X14).
    ClearPermanent,
    /// Open every energy path at once (X21).
    EmergencyStop,
    /// End the emergency stop.
    ResetEmergencyStop,
    /// Switch off (D02).
    Shutdown,
    /// C01: the true pack voltage.
    CalibrateVoltage(Voltage),
    /// C02: the true current, positive charging.
    CalibrateCurrent(Current),
    /// W01: test every sense wire with the balancer, which takes some seconds a cell; [`EventKind::WireTest`] tells when it begins and
    /// ends, [`Status::wire_test`](crate::status::Status::wire_test) where it is. It runs as balancing may, and even while a wire is
    /// flagged or seems open.
    TestWires,
    /// S11: the preset of the configured chemistry; cell count, capacity and calibration stay.
    RestoreFactorySettings,
}

/// Why a request or a change was refused. Nothing was changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// The parameter is a rating of the board or set by calibration only (P15, D01).
    NotWritable(ParameterId),
    /// The first broken rule that the change would bring; it names the other parameter, if one is concerned.
    Invalid(Violation),
    /// The board's definition is fixed in the firmware; a new one needs a new [`Bms`] (D16, D29).
    BoardFixed,
    /// More cells than the core's buffers hold.
    TooManyCells,
    /// The load is still seen (D10).
    LoadPresent,
    /// Current still flows through the switch that was found stuck (X10).
    CurrentFlows,
    /// The calibration is not possible now or out of bounds (D33).
    Calibration(CalibrationError),
    /// The balancer may not run now: it is not fitted or switched off, or an alarm forbids it (D27).
    BalancerBlocked,
    /// Nobody showed the right to change this (S05, D34).
    NotAuthorised,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritable(parameter) => write!(out, "{}: cannot be changed in service", parameter.info().name),
            Self::Invalid(violation) => violation.fmt(out),
            Self::BoardFixed => out.write_str("the board's definition cannot be changed in service"),
            Self::TooManyCells => out.write_str("cell_count: more cells than this build has room for"),
            Self::LoadPresent => out.write_str("the load is still connected"),
            Self::BalancerBlocked => out.write_str("the balancer is not fitted, switched off, or held by an alarm"),
            Self::CurrentFlows => out.write_str("current still flows"),
            Self::NotAuthorised => {
                out.write_str("not authorised: press the key, or present a changed settings password")
            }
            Self::Calibration(error) => out.write_str(match error {
                CalibrationError::NotAtRest => "needs both switches open and less than 0.1 A",
                CalibrationError::CurrentTooSmall => "needs at least 5 A",
                CalibrationError::CorrectionTooLarge => "the correction would exceed 2 % (voltage) or 10 % (current)",
                CalibrationError::NoMeasurement => "there is no valid measurement to compare with",
            }),
        }
    }
}

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// Carries out a request, or says why not.
    ///
    /// # Errors
    /// The reason of the refusal; nothing was changed then.
    pub fn request(&mut self, request: Request) -> Result<(), Refusal> {
        match request {
            Request::SetCharge(on) => self.switches.charge = on,
            Request::SetDischarge(on) => self.switches.discharge = on,
            Request::SetBalance(on) => self.switches.balance = on,
            Request::ClearLockout => {
                if self.measurement.inputs.load == Some(true) {
                    return Err(Refusal::LoadPresent);
                }
                self.retries.allow_once(self.retry_limit());
                self.precharge.forgive();
                if self.heating.ineffective() {
                    self.heating.forgive();
                }
            }
            Request::ClearPermanent => self.clear_permanent()?,
            Request::EmergencyStop => self.flags.insert(Flags::EMERGENCY),
            Request::ResetEmergencyStop => self.flags.remove(Flags::EMERGENCY),
            Request::Shutdown => self.flags.insert(Flags::SHUTDOWN_REQUESTED),
            Request::CalibrateVoltage(truth) => {
                let config = self.calibrated_voltage(truth).map_err(Refusal::Calibration)?;
                self.adopt_checked(config)?;
            }
            Request::CalibrateCurrent(truth) => {
                let config = self.calibrated_current(truth).map_err(Refusal::Calibration)?;
                self.adopt_checked(config)?;
            }
            Request::TestWires => {
                let fitted = S::FITTED && self.capabilities.maximum_current > Current::ZERO;
                let running = self.lifecycle.is_running() && self.switches.balance;
                if !fitted || !running || self.inhibited_but_for_wires() {
                    return Err(Refusal::BalancerBlocked);
                }
                self.wire_test.start();
                let started = EventKind::WireTest { active: true, visited: 0 };
                self.events.push(self.last_step.unwrap_or_default(), started);
            }
            Request::RestoreFactorySettings => self.adopt_checked(self.config.to_config().with_factory_settings())?,
        }
        self.flags.insert(Flags::CHANGED);
        Ok(())
    }

    fn clear_permanent(&mut self) -> Result<(), Refusal> {
        const STUCK: AlarmSet = AlarmSet::of(&[Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck]);
        let at_rest =
            self.measurement.channels.usable(Channel::Current) && self.measurement.milliamps.magnitude() < REST_CURRENT;
        if !self.protection.active().common(STUCK).is_empty() && !at_rest {
            return Err(Refusal::CurrentFlows);
        }
        self.clear_alarms(PERMANENT.with(Alarm::CountersCorrupt));
        Ok(())
    }

    fn calibrated_voltage(&self, truth: Voltage) -> Result<Config, CalibrationError> {
        let measured = &self.measurement;
        let usable = |channel: Channel| measured.channels.usable(channel);
        if !usable(Channel::Cells) || measured.suspect != 0 || !usable(Channel::Current) {
            return Err(CalibrationError::NoMeasurement);
        }
        let open = !self.command.charge.is_closed() && !self.command.discharge.is_closed();
        if !open || measured.milliamps.magnitude() >= REST_CURRENT {
            return Err(CalibrationError::NotAtRest);
        }
        let present = self.config.get(ParameterId::VoltageGain);
        let gain = calibration::voltage_gain(present, measured.extremes.sum(), truth)?;
        Ok(self.config.to_config().with(ParameterId::VoltageGain, gain))
    }

    fn calibrated_current(&self, truth: Current) -> Result<Config, CalibrationError> {
        if !self.measurement.channels.usable(Channel::Current) {
            return Err(CalibrationError::NoMeasurement);
        }
        let present = self.config.get(ParameterId::CurrentGain);
        let gain = calibration::current_gain(present, self.measurement.milliamps, truth)?;
        Ok(self.config.to_config().with(ParameterId::CurrentGain, gain))
    }

    /// Changes one parameter at run time (S04): it takes effect with the next step, or is refused with the reason
    /// and the old set kept. A change of the cell count starts anew with everything open (N07).
    ///
    /// # Errors
    /// The first rule that the new value would break; it names the other parameter where an ordering is broken.
    pub fn set_parameter(&mut self, parameter: ParameterId, value: i32) -> Result<(), Refusal> {
        if parameter.scope() != Scope::Service {
            return Err(Refusal::NotWritable(parameter));
        }
        self.adopt_checked(self.config.to_config().with(parameter, value))?;
        self.events.push(self.last_step.unwrap_or_default(), EventKind::ParameterChanged { parameter });
        Ok(())
    }

    /// Changes the whole configuration at once (S01, S04). A change of chemistry or cell count starts anew with everything
    /// open (N07). What a corrupt store left open may start again (law 7).
    ///
    /// # Errors
    /// Another board, or another rating of the board, than the firmware has (P15, D01, D16); more cells than the buffers
    /// hold.
    pub fn reconfigure(&mut self, config: ValidConfig) -> Result<(), Refusal> {
        if config.board() != self.config.board() || config.model() != self.config.model() {
            return Err(Refusal::BoardFixed);
        }
        let mut ratings = ParameterId::ALL.into_iter().filter(|parameter| parameter.scope() == Scope::Board);
        if let Some(rating) = ratings.find(|rating| config.get(*rating) != self.config.get(*rating)) {
            return Err(Refusal::NotWritable(rating));
        }
        self.adopt(config)?;
        self.clear_alarms(AlarmSet::EMPTY.with(Alarm::StorageCorrupt));
        self.events.push(self.last_step.unwrap_or_default(), EventKind::Reconfigured);
        Ok(())
    }

    fn adopt_checked(&mut self, config: Config) -> Result<(), Refusal> {
        let valid = config.validate().map_err(|violations: Violations| {
            violations.iter().next().map_or(Refusal::TooManyCells, Refusal::Invalid)
        })?;
        self.adopt(valid)
    }

    /// The one place where a configuration takes effect.
    fn adopt(&mut self, config: ValidConfig) -> Result<(), Refusal> {
        if usize::from(config.cell_count()) > N {
            return Err(Refusal::TooManyCells);
        }
        let other_pack =
            config.chemistry() != self.config.chemistry() || config.cell_count() != self.config.cell_count();
        let other_capacity = config.capacity() != self.config.capacity();
        self.config = config;
        self.calibration = Calibration::of(&self.config);
        self.window = Window::of(&self.config);
        self.measurement.channels.reconfigured(&self.config);
        let derived = super::protect::derived(&self.calibration, &self.window, &self.measurement.channels);
        self.guard = crate::guard::LimitGuard::new(&self.config, derived);
        if other_capacity {
            self.estimator.set_capacity(self.config.capacity());
        }
        if other_pack || other_capacity {
            self.strategy.forget();
        }
        if other_pack {
            self.clear_alarms(AlarmSet::EMPTY.with(Alarm::WrongChemistry));
            self.start_anew();
        }
        self.beep = Beep::Accepted;
        self.flags.insert(Flags::CHANGED);
        Ok(())
    }
}

/// Below this nothing flows (D33).
const REST_CURRENT: Current = ma(100);
