//! The balancer: what the strategy is told, and what of its plan is allowed.

use super::{Bms, Flags};
use crate::balancing::{Plan, Rules, Situation, Strategy, fit};
use crate::config::ParameterId as P;
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::measurement::Channel;
use crate::protection::{Alarm, AlarmSet, Inhibit};
use crate::time::Instant;
use crate::units::Current;

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// The strategy's plan, if nothing forbids it (B02–B06, D04, D27).
    #[inline(never)]
    pub(super) fn balance(&mut self, now: Instant, elapsed: u32) -> Plan {
        let running = self.command.balance;
        let was_idle = running.is_idle();
        // First of all: the drop of a bad wire may be what stops the transfer (W02).
        if !was_idle && self.measurement.scanned && self.measurement.feedback_fresh {
            let scan = self.measurement.scan(&self.config);
            let balance = self.measurement.feedback.balance_current;
            self.wires.update(&scan, &running, balance, self.measurement.milliamps);
        }
        let allowed = self.may_balance(was_idle);
        self.limits_of_balancing.pass(&running, elapsed, self.measurement.feedback.store_empty);
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
        if !allowed {
            self.strategy.stop(now);
            return Plan::Idle;
        }
        let wanted = fit(self.strategy.plan(&situation), &self.capabilities, now);
        let plan = self.limits_of_balancing.admit(wanted, &scan, &rules, &self.capabilities, now);
        if let Plan::Transfer { source, destination, .. } = plan
            && was_idle
        {
            self.wires.arm(&scan, [source, destination], self.measurement.milliamps);
        }
        plan
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
            && !self.protection.inhibits(Inhibit::BALANCE, config)
            && !self.protection.threatens(Inhibit::BALANCE, config)
            && (limit == Current::ZERO || measured.milliamps.magnitude() <= limit)
            // A raw violation stops the transfer while its delay keeps running (D04).
            && self.protection.pending().common(raw).is_empty()
            && (!was_idle || !self.flags.has(Flags::CHANGED))
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
