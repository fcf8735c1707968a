//! From measurements to alarms: what is true in this step, whether any row wants a look, and what is told of it.

use core::hint::black_box;

use super::{Bms, CHEMISTRY_SCANS, Flags};
use crate::balancing::Strategy;
use crate::config::{ParameterId as P, Profile};
use crate::estimation::Estimator;
use crate::event::EventKind;
use crate::fittings::Fittings;
use crate::guard;
use crate::heating::HeaterControl;
use crate::measurement::{Calibration, Channel, Channels};
use crate::precharge::PrechargeControl;
use crate::protection::{Alarm, AlarmSet, Circumstances, Edges, Window};
use crate::time::Instant;
use crate::units::Voltage;

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// Nothing can be true of what [`Self::facts`] looks at; cheaper than looking.
    pub(super) fn nothing_remarkable(&self) -> bool {
        let measured = &self.measurement;
        !self.flags.has(Flags::FACTS)
            && !measured.inputs.short_circuit
            && !measured.inputs.self_test_failed
            && measured.temperatures.all_valid()
            && self.chemistry.implausible == 0
            && (self.precharge.untried() && !self.precharge_failed())
            && (self.retries.none() || self.retries.locked(self.retry_limit()) == (false, false))
            && !self.heater_ineffective()
            && (!measured.channels.good(Channel::Terminal) || self.terminal_fits())
            && (!S::FITTED || self.window.holds_wire(self.wires.worst()))
    }

    /// The terminal stands where no alarm looks at it: with both switches closed, near the stack.
    #[inline(never)]
    pub(super) fn terminal_fits(&self) -> bool {
        let both_closed = self.command.charge.is_closed() && self.command.discharge.is_closed();
        let drop = self.measurement.terminal_over_stack();
        drop.is_none_or(|over| both_closed && self.window.holds_drop(over))
    }

    /// The alarms whose fact is true in this step.
    #[inline(never)]
    pub(super) fn facts(&self) -> AlarmSet {
        let measured = &self.measurement;
        let flags = &self.flags;
        let (charge_locked, discharge_locked) = self.retries.locked(self.retry_limit());
        let both_open = !self.command.charge.is_closed() && !self.command.discharge.is_closed();
        let sensors = self.config.profile() != Profile::Manual;
        let mut facts = AlarmSet::EMPTY;
        let mut add = |alarm: Alarm, is_true: bool| {
            if is_true {
                facts = facts.with(alarm);
            }
        };
        add(Alarm::ShortCircuit, measured.inputs.short_circuit);
        add(Alarm::CellCountMismatch, measured.scanned && measured.count != self.config.cell_count());
        add(Alarm::BatterySensorFault, sensors && measured.temperatures.faulty_battery_sensor().is_some());
        add(Alarm::MosSensorFault, sensors && measured.temperatures.mos_faulty());
        add(Alarm::OpenWire, measured.scanned && measured.open_wires.confirmed());
        add(Alarm::SelfTestFailed, measured.inputs.self_test_failed);
        // It lasts until the configuration is corrected, also over a reset (X15).
        let known_wrong = self.protection.active().contains(Alarm::WrongChemistry);
        add(Alarm::WrongChemistry, known_wrong || self.chemistry.implausible >= CHEMISTRY_SCANS);
        add(Alarm::PrechargeFailed, self.precharge_failed());
        add(Alarm::TerminalMismatch, both_open && self.terminal_mismatch());
        add(Alarm::LimitsCorrupt, flags.has(Flags::LIMITS_CORRUPT));
        add(Alarm::StepLate, flags.has(Flags::UNTIMELY) && !flags.has(Flags::TIME_WENT_BACK));
        add(Alarm::TimeWentBack, flags.has(Flags::TIME_WENT_BACK));
        add(Alarm::EmergencyStop, flags.has(Flags::EMERGENCY));
        add(Alarm::ChargeLockedOut, charge_locked);
        add(Alarm::DischargeLockedOut, discharge_locked);
        add(Alarm::HeaterIneffective, self.heater_ineffective());
        add(Alarm::OutputFailed, flags.has(Flags::OUTPUT_FAILED));
        facts
    }

    pub(super) fn circumstances(&self) -> Circumstances<'_, N> {
        Circumstances {
            measurement: &self.measurement,
            config: &self.config,
            previous: &self.command,
            may_shut_down: self.may_shut_down(),
            facts: self.facts(),
            quiet: self.command.balance.is_idle() && self.is_quiet(),
            worst_wire: self.worst_wire(),
            battery: self.measurement.temperatures.battery(),
        }
    }

    /// Only a balancer's current tells of wires.
    fn worst_wire(&self) -> Option<(u16, u8)> {
        if S::FITTED { self.wires.worst() } else { None }
    }

    /// All tries were in vain, or the core was built without what the board needs.
    fn precharge_failed(&self) -> bool {
        if F::Precharge::FITTED { self.precharge.failed() } else { self.config.board().precharge }
    }

    /// The heater does not warm, or the core was built without what drives it.
    fn heater_ineffective(&self) -> bool {
        if F::Heater::FITTED { self.heating.ineffective() } else { self.config.heater_fitted() }
    }

    /// D02: awake long enough, and nothing charges.
    pub(super) fn may_shut_down(&self) -> bool {
        self.lifecycle.awake_long_enough() && !self.charger_present()
    }
    pub(super) fn charger_present(&self) -> bool {
        self.measurement.charger_present(self.command.charge.is_closed())
    }
    /// X19: the terminal forbids closing.
    pub(super) fn terminal_mismatch(&self) -> bool {
        let limit = self.config.voltage(P::TerminalMismatchVoltage);
        if limit == Voltage::ZERO {
            return false;
        }
        let Some(over) = self.measurement.terminal_over_stack() else {
            return false;
        };
        let ceiling = self
            .config
            .voltage(P::CellOvervoltageProtection)
            .times(i32::from(self.config.cell_count()))
            .plus(crate::units::mv(5_000));
        // A charger that was recognised by its own input may stand above the stack; that is how it charges.
        let explained = self.config.board().precharge || self.measurement.inputs.charger == Some(true);
        (over > limit && !explained) || self.measurement.terminal_voltage > ceiling
    }
    pub(super) fn retry_limit(&self) -> u8 {
        u8::try_from(self.config.get(P::RetryLimit)).unwrap_or(u8::MAX)
    }

    pub(super) fn protect(&mut self, elapsed: u32) -> Edges {
        // The optimiser must not know that nobody wrote them in between.
        let (calibration, window) = (black_box(&self.calibration), black_box(&self.window));
        let channels = black_box(&self.measurement.channels);
        let made_of_limits = || if window.is_sound() { derived(calibration, window, channels) } else { 0 };
        if self.guard.step(&self.config, made_of_limits) || !self.protection.is_sound() {
            self.flags.insert(Flags::LIMITS_CORRUPT);
        }
        let edges = if self.is_clear() { Edges::default() } else { self.look_at_rows(elapsed) };
        self.flags.remove(Flags::OUTPUT_FAILED);
        edges
    }

    /// Nothing is pending or active, and every quantity lies where no row is violated.
    pub(super) fn is_clear(&self) -> bool {
        let measured = &self.measurement;
        let channels = &measured.channels;
        let both_closed = self.command.charge.is_closed() && self.command.discharge.is_closed();
        measured.outside.nothing()
            && self.protection.at_rest()
            && !channels.overdue(Channel::Cells)
            && !channels.overdue(Channel::Current)
            && !channels.overdue(Channel::Temperatures)
            && !measured.stack_lost()
            && (both_closed || self.window.holds_against_diode(measured.milliamps))
            && self.nothing_remarkable()
    }

    #[inline(never)]
    pub(super) fn look_at_rows(&mut self, elapsed: u32) -> Edges {
        self.measurement.complete_extremes(&self.config);
        let seen = Circumstances {
            measurement: &self.measurement,
            config: &self.config,
            previous: &self.command,
            may_shut_down: self.may_shut_down(),
            facts: self.facts(),
            quiet: self.command.balance.is_idle() && self.is_quiet(),
            worst_wire: self.worst_wire(),
            battery: self.measurement.temperatures.battery(),
        };
        let suspects = self.window.suspects(&seen);
        let mut edges = self.protection.step(elapsed, suspects, &seen);
        if self.flags.has(Flags::CHANGED) {
            // A request or a change clears no alarm in its own step (N07).
            self.protection.keep(edges.cleared);
            edges.cleared = AlarmSet::EMPTY;
        }
        // The limits of another chemistry say nothing of these cells; a current is a current (D10).
        let wrong_chemistry = self.protection.active().contains(Alarm::WrongChemistry);
        let meaningless = if wrong_chemistry { AlarmSet::of(&[Alarm::CellUndervoltage]) } else { AlarmSet::EMPTY };
        self.retries.trips(edges.raised.minus(meaningless));
        edges
    }

    pub(super) fn report_alarms(&mut self, now: Instant, edges: Edges) {
        let restored = core::mem::take(&mut self.restored).common(self.protection.active());
        let raised = edges.raised.and(restored);
        if !raised.and(edges.cleared).is_empty() {
            self.report_changes(now, raised, edges.cleared);
        }
    }

    #[inline(never)]
    pub(super) fn report_changes(&mut self, now: Instant, raised: AlarmSet, cleared: AlarmSet) {
        for alarm in raised.iter() {
            let seen = self.circumstances();
            let (index, value) = (seen.place(alarm), seen.observe(alarm).value);
            self.events.push(now, EventKind::Raised { alarm, index, value });
        }
        for alarm in cleared.iter() {
            self.events.push(now, EventKind::Cleared { alarm });
        }
    }
}

/// The digest of what is made of the limits and decides in their place (X20).
pub(super) const fn derived(calibration: &Calibration, window: &Window, channels: &Channels) -> u32 {
    guard::digest(&[calibration.digest(), window.digest(), channels.digest_of_limits()])
}
