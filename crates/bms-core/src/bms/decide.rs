//! Arbitration: alarms, switches of the user, measurements → the absolute command.

use super::{Bms, Flags};
use crate::balancing::Strategy;
use crate::command::{Command, Expiring, LinkLed, Power, ScanMode, Switch};
use crate::config::{ParameterId as P, Topology};
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::heating::{Conditions, HeaterControl};
use crate::lifecycle::State;
use crate::measurement::Channel;
use crate::precharge::PrechargeControl;
use crate::protection::{Alarm, AlarmSet, Inhibit, inhibiting};
use crate::time::{Instant, ms};
use crate::units::Current;

/// One of the two switches, with what differs between them.
#[derive(Clone, Copy)]
struct Side {
    what: Inhibit,
    wanted: bool,
    closed_before: bool,
    /// The flag that an alarm held it open in the last step.
    held: u16,
    /// Whether the other switch was closed, without which nothing flows through this one's diode.
    other_closed: bool,
    /// Alarms of one direction only, whose open switch may be bypassed for the other direction (X12).
    bypassable: AlarmSet,
    /// The other direction's current is beyond all measure, which its own switch is about to end.
    beyond_measure: Alarm,
    /// The current through this switch's body diode, as a positive number.
    through_diode: Current,
}

const CHARGE_ONLY: AlarmSet = AlarmSet::of(&[
    Alarm::CellOvervoltage,
    Alarm::PackOvervoltage,
    Alarm::ChargeOvertemperature,
    Alarm::ChargeUndertemperature,
]);
const DISCHARGE_ONLY: AlarmSet = AlarmSet::of(&[
    Alarm::CellUndervoltage,
    Alarm::PackUndervoltage,
    Alarm::DischargeOvertemperature,
    Alarm::DischargeUndertemperature,
]);

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// Makes the command anew: every field of it, in place, a few at a time, because it is long and the stack is short.
    pub(super) fn decide(&mut self, now: Instant, elapsed: u32) {
        if self.lifecycle.is_running() {
            self.decide_paths(now, elapsed);
            if S::FITTED {
                self.command.balance = self.balance(now, elapsed);
            }
            let (charge, discharge) = (self.command.charge.is_closed(), self.command.discharge.is_closed());
            self.command.limits = self.limits(elapsed, charge, discharge);
        } else {
            self.everything_off(now);
        }
        self.indicate();
    }

    /// The switches, precharge and heater.
    #[inline(never)]
    fn decide_paths(&mut self, now: Instant, elapsed: u32) {
        let current = self.measurement.milliamps;
        let closed = |before: Switch, flags: Flags| before.is_closed() && !flags.has(Flags::RESTARTED);
        let charge_closed = closed(self.command.charge, self.flags);
        let discharge_closed = closed(self.command.discharge, self.flags);
        let charge = self.side(Side {
            what: Inhibit::CHARGE,
            wanted: self.switches.charge,
            closed_before: charge_closed,
            held: Flags::CHARGE_HELD,
            other_closed: discharge_closed,
            bypassable: CHARGE_ONLY,
            beyond_measure: Alarm::SevereDischargeOvercurrent,
            through_diode: Current::ZERO.minus(current),
        });
        let discharge_side = Side {
            what: Inhibit::DISCHARGE,
            wanted: self.switches.discharge,
            closed_before: discharge_closed,
            held: Flags::DISCHARGE_HELD,
            other_closed: charge_closed,
            bypassable: DISCHARGE_ONLY,
            beyond_measure: Alarm::SevereChargeOvercurrent,
            through_diode: current,
        };
        let (discharge, precharge) = self.discharge(now, discharge_side);
        // It still asks what the charge switch was told before.
        self.command.heater = self.heater(now, elapsed);
        self.command.charge = Switch::closed_if(charge);
        self.command.discharge = Switch::closed_if(discharge);
        self.command.precharge = precharge;
    }

    /// Starting, shutting down, off.
    #[inline(never)]
    fn everything_off(&mut self, now: Instant) {
        self.strategy.stop(now);
        self.wire_test.cancel();
        self.precharge.step(now, false, None);
        self.heating.forgive();
        self.command = Command::SAFE;
    }

    /// What moves no energy.
    fn indicate(&mut self) {
        let running = self.lifecycle.is_running();
        let quiet = running && self.switches.balance && self.command.balance.is_idle();
        let released = self.lifecycle.state() == State::Off;
        self.command.power = if released { Power::Release } else { Power::Hold };
        self.command.last_resort = Switch::closed_if(self.last_resort());
        self.command.clear_latch = self.clear_latch();
        self.command.scan = if quiet { ScanMode::Quiet } else { ScanMode::Any };
        self.command.beep = core::mem::take(&mut self.beep);
        self.command.link_led = match (running, self.flags.has(Flags::LINK_CONNECTED)) {
            (false, _) => LinkLed::Off,
            (true, true) => LinkLed::Steady,
            (true, false) => LinkLed::Flashing,
        };
    }

    /// Whether anything may close in this step: it brought a complete scan of the cells, lacks no required reading, could read
    /// the inputs if it was to, and follows no request or change (N07).
    fn closable(&self) -> bool {
        let measured = &self.measurement;
        let missing = |channel| measured.channels.known(channel) && !measured.channels.usable(channel);
        // What had been compared and cannot be now, might forbid it (X03, X19, law 2).
        let stack_check = self.config.flag(P::StackCheck);
        let terminal_check =
            self.config.get(P::TerminalMismatchVoltage) != 0 && measured.channels.known(Channel::Terminal);
        let unchecked = ((stack_check || terminal_check) && missing(Channel::Stack))
            || (terminal_check && missing(Channel::Terminal));
        let complete = measured.channels.fresh(Channel::Cells) && measured.usable && !measured.inputs_failed;
        complete && !unchecked && !self.flags.has(Flags::CHANGED)
    }

    /// One switch: closed only while wanted and not inhibited (P17); closing also needs [`Self::closable`] and no
    /// limit exceeded with its delay still running (D32).
    #[inline(never)]
    fn side(&mut self, side: Side) -> bool {
        let active = self.protection.active().common(inhibiting(side.what, &self.config));
        let held_before = self.flags.has(side.held);
        self.flags.set(side.held, !active.is_empty());
        if !side.wanted {
            return false;
        }
        if active.is_empty() {
            let mismatch = self.protection.active().contains(Alarm::TerminalMismatch);
            return side.closed_before
                || (self.closable() && !mismatch && !self.protection.threatens(side.what, &self.config));
        }
        self.bypassed(side, active, held_before)
    }

    /// X12: the switch is open for one direction only, and the other direction's current flows through its body
    /// diode: closing it carries that current without heating the diode.
    ///
    /// Only what flows through the open switch is believed: a current that has the wrong sign ends when the switch opens, and
    /// one that cannot flow, because the other switch is open too, is none. So no wrong current alone undoes an alarm.
    fn bypassed(&self, side: Side, active: AlarmSet, held_before: bool) -> bool {
        let limit = self.config.current(P::DiodeBypassCurrent);
        let pending = self.protection.pending().common(inhibiting(side.what, &self.config));
        let one_direction = active.and(pending).minus(side.bypassable).is_empty();
        let usable = self.measurement.channels.usable(Channel::Current);
        limit > Current::ZERO
            && self.config.board().topology == Topology::BackToBack
            && one_direction
            && usable
            && side.through_diode > limit
            && side.other_closed
            && held_before
            && !self.protection.pending().and(self.protection.active()).contains(side.beyond_measure)
            && (side.closed_before || self.closable())
    }

    /// The discharge switch with its precharge (X17).
    fn discharge(&mut self, now: Instant, side: Side) -> (bool, Expiring) {
        let closes = self.side(side);
        if !self.config.board().precharge || side.closed_before {
            return (closes, Expiring::Off);
        }
        let measured = &self.measurement;
        let voltages = (measured.channels.usable(Channel::Terminal) && measured.channels.usable(Channel::Stack))
            .then_some((measured.terminal_voltage, measured.stack_voltage));
        // While the precharge fails, its own alarm keeps `closes` false; wanting it on would never end the alarm.
        let (output, ready) = self.precharge.step(now, closes, voltages);
        (closes && ready, output)
    }

    /// H01, D28.
    #[inline(never)]
    fn heater(&mut self, now: Instant, elapsed: u32) -> Expiring {
        if !F::Heater::FITTED || !self.config.heater_fitted() {
            return Expiring::Off;
        }
        let measured = &self.measurement;
        let lost = measured.channels.lost(Channel::Cells);
        let range = measured.temperatures.battery();
        let charger = self.charger_present();
        let above_recovery = measured.channels.usable(Channel::Cells)
            && measured.suspect == 0
            && measured.extremes.lowest() > self.config.voltage(P::CellUndervoltageRecovery);
        let conditions = Conditions {
            cold: self.protection.active().contains(Alarm::ChargeUndertemperature),
            allowed: !self.protection.inhibits(Inhibit::HEATER, &self.config)
                && range.complete
                && measured.temperatures_usable(),
            fed: (charger || !self.config.flag(P::HeaterNeedsCharger))
                && (above_recovery || !self.config.flag(P::HeaterFromBattery)),
            coldest: range.coldest,
            may_begin: self.closable(),
        };
        // Longer than until it expires, it was not on.
        let on = self.heating.step(elapsed.min(lost), &conditions);
        if on { Expiring::On { until: now.after(ms(lost)) } } else { Expiring::Off }
    }

    /// X10: the last-resort output, for a stuck switch of a back-to-back board that has one.
    fn last_resort(&self) -> bool {
        const STUCK: AlarmSet = AlarmSet::of(&[Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck]);
        let board = self.config.board();
        board.last_resort && !self.protection.active().common(STUCK).is_empty()
    }

    /// D09: re-arm the latch shortly before the release, with both gates still commanded open.
    fn clear_latch(&self) -> bool {
        let ahead = self.config.duration(P::SamplePeriod).as_millis().saturating_mul(2);
        let release = self.config.duration(P::ShortCircuitRelease).as_millis();
        self.protection.active().contains(Alarm::ShortCircuit)
            && self.measurement.inputs.short_circuit
            && self.protection.timer(Alarm::ShortCircuit).saturating_add(ahead) >= release
    }
}
