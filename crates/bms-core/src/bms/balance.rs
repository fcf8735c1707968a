//! The balancer: what the strategy is told, and what of its plan is allowed.

use super::{Bms, Flags};
use crate::balancing::{Ended, Load, Phase, Plan, Rules, Situation, Strategy, fit};
use crate::config::ParameterId as P;
use crate::estimation::Estimator;
use crate::event::EventKind;
use crate::fittings::Fittings;
use crate::measurement::Channel;
use crate::protection::{Alarm, AlarmSet, Inhibit, inhibiting};
use crate::time::Instant;
use crate::units::{Current, Voltage};

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// What the balancer did since the last step, whatever the core does now.
    pub(super) fn pass_balancing(&mut self, elapsed: u32) {
        let running = self.command.balance;
        // That the store was empty before energy went in says nothing of now.
        if matches!(running, Plan::Transfer { phase: Phase::Take, .. }) && !self.measurement.feedback_fresh {
            self.measurement.feedback.store_empty = false;
        }
        self.limits_of_balancing.pass(&running, elapsed, &self.measurement.feedback);
    }

    /// The strategy's plan, if nothing forbids it (B02–B06, D04, D27).
    #[inline(never)]
    pub(super) fn balance(&mut self, now: Instant, elapsed: u32) -> Plan {
        let running = self.command.balance;
        let was_idle = running.is_idle();
        // First of all: the drop of a bad wire may be what stops the transfer (W02).
        let load = if was_idle { Load::None } else { self.look_at_wires(&running) };
        self.test_suspect(now);
        let allowed = self.may_balance(was_idle) && (was_idle || !self.hidden_violation(&running));
        let quiet = self.measurement.channels.fresh(Channel::Cells)
            && self.measurement.suspect == 0
            && was_idle
            && self.is_quiet()
            && self.limits_of_balancing.may_look(self.idle_time);
        let measured = &self.measurement;
        let config = &self.config;
        let scan = measured.scan(config);
        let rules = Rules {
            trigger: config.voltage(P::BalanceTrigger),
            stop: config.voltage(P::BalanceStop),
            start_voltage: config.voltage(P::BalanceStartVoltage),
            floor: config.voltage(P::CellUndervoltageRecovery),
            ceiling: config.voltage(P::CellOvervoltageRecovery),
            current: config.current(P::BalanceCurrent),
            minimum_on: config.duration(P::BalanceMinimumOn),
            minimum_off: config.duration(P::BalanceMinimumOff),
        };
        let situation = Situation {
            now,
            elapsed,
            quiet_scan: quiet.then_some(scan),
            cells: config.cell_count(),
            chemistry: config.chemistry(),
            capacity: config.capacity(),
            pack_current: measured.channels.usable(Channel::Current).then_some(measured.milliamps),
            running,
            balance_current: measured.feedback_fresh.then_some(measured.feedback.balance_current),
            rules,
            capabilities: self.capabilities,
            store_empty: measured.feedback.store_empty,
        };
        self.strategy.observe(&situation);
        let mut ended = None;
        if self.wire_test.active() {
            ended = self.wire_test.observe(&situation, load, allowed);
        }
        let testing = self.wire_test.active();
        let wanted = match (allowed, testing) {
            (true, true) => self.wire_test.plan(&situation),
            (true, false) => fit(self.strategy.plan(&situation), &self.capabilities, now),
            (false, _) => Plan::Idle,
        };
        if testing || !allowed {
            self.strategy.stop(now);
        }
        let plan = self.limits_of_balancing.admit(wanted, &scan, &rules, &self.capabilities, now);
        if was_idle {
            match plan {
                Plan::Transfer { source, destination, .. } | Plan::Shuttle { source, destination, .. } => {
                    self.wires.arm(&scan, [source, destination], self.measurement.milliamps);
                }
                Plan::Bleed { mask, .. } => {
                    self.wires.arm(&scan, [mask.trailing_zeros() as u8; 2], self.measurement.milliamps);
                }
                Plan::Idle => {}
            }
        }
        match ended {
            Some(Ended::All(visited)) => self.events.push(now, EventKind::WireTest { active: false, visited }),
            Some(Ended::Impossible) => self.measurement.open_wires.rely_on_readings(),
            None => {}
        }
        plan
    }

    /// What a scan with the balancer running tells of the wires: resistance (W01), and whether one is open (X04).
    fn look_at_wires(&mut self, running: &Plan) -> Load {
        if !self.measurement.scanned {
            return Load::None;
        }
        let balance = self.measurement.feedback.balance_current;
        let reported = self.measurement.feedback_fresh && balance.magnitude() >= LOADED;
        let asked = self.wire_test.active();
        if self.measurement.open_wires.under_load(running.pulled(), reported, asked) {
            self.wire_test.fail();
        }
        if !reported {
            return Load::None;
        }
        let scan = self.measurement.scan(&self.config);
        let told = self.wires.update(&scan, running, balance, self.measurement.milliamps);
        if told { Load::Estimated } else { Load::Seen }
    }

    /// A wire that seems to be open is tested with the balancer, if there is one that may run at all (X04).
    fn test_suspect(&mut self, now: Instant) {
        let Some(wire) = self.measurement.open_wires.suspect() else { return };
        if self.switches.balance && self.capabilities.maximum_current > Current::ZERO {
            if !self.inhibited_but_for_wires() {
                self.wire_test.probe(wire, self.config.cell_count(), now);
            }
        } else {
            self.measurement.open_wires.rely_on_readings();
        }
    }

    /// Whether an alarm forbids even a test of the wires: any that inhibits balancing, but for those that the test is about.
    pub(super) fn inhibited_but_for_wires(&self) -> bool {
        const OF_WIRES: AlarmSet = AlarmSet::of(&[Alarm::OpenWire, Alarm::WireResistance]);
        let active = self.protection.active().common(inhibiting(Inhibit::BALANCE, &self.config));
        !active.minus(OF_WIRES).is_empty()
    }

    #[inline(never)]
    fn may_balance(&self, was_idle: bool) -> bool {
        let config = &self.config;
        let measured = &self.measurement;
        let limit = config.current(P::BalanceCurrentLimit);
        let raw = AlarmSet::of(&[Alarm::CellUndervoltage, Alarm::CellOvervoltage]);
        self.switches.balance
            && self.capabilities.maximum_current > Current::ZERO
            && self.measurement.usable
            && measured.temperatures.battery_complete()
            && if self.wire_test.active() {
                !self.inhibited_but_for_wires()
            } else {
                !self.protection.inhibits(Inhibit::BALANCE, config)
            }
            && !self.protection.threatens(Inhibit::BALANCE, config)
            && (limit == Current::ZERO || measured.milliamps.magnitude() <= limit)
            // A raw violation stops the transfer while its delay keeps running (D04).
            && self.protection.pending().common(raw).is_empty()
            && (!was_idle || !self.flags.has(Flags::CHANGED))
    }

    /// Whether the running balancer's drops over the sense wires hide a violation that no alarm stands for yet: it stops, so that
    /// the next scan tells, and the delay begins (D04).
    fn hidden_violation(&self, running: &Plan) -> bool {
        if !self.measurement.scanned {
            return false;
        }
        let active = self.protection.active();
        let lowest = if active.contains(Alarm::CellUndervoltage) {
            Voltage::MIN
        } else {
            self.config.voltage(P::CellUndervoltageProtection)
        };
        let highest = if active.contains(Alarm::CellOvervoltage) {
            Voltage::MAX
        } else {
            self.config.voltage(P::CellOvervoltageProtection)
        };
        let measured = &self.measurement;
        // Feedback that is missing, or says for long that nothing flows, hides nothing: the full current is assumed.
        let balance = if measured.feedback_fresh && !self.limits_of_balancing.unheard() {
            measured.feedback.balance_current.magnitude()
        } else {
            self.capabilities.maximum_current
        };
        self.wires.hide(&measured.scan(&self.config), running, balance, (lowest, highest))
    }

    /// Quiet by the balancer's own word, or because it has been off for long enough (D04).
    pub(super) fn is_quiet(&self) -> bool {
        let measured = &self.measurement;
        if measured.feedback_fresh {
            return measured.feedback.quiet;
        }
        let off_when_measured = self.idle_time.saturating_sub(measured.channels.age(Channel::Cells));
        off_when_measured >= self.capabilities.settle_time.as_millis()
    }
}

/// Below this balance current a scan does not count as one under load.
const LOADED: Current = crate::units::ma(100);
