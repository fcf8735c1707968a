//! What the core tells of itself: status, snapshot, reasons.

use super::{Bms, Flags};
use crate::balancing::{LearnedBalance, Strategy};
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::heating::HeaterControl;
use crate::measurement::{BATTERY_SENSORS, Channel, Channels, Reading};
use crate::protection::{Alarm, AlarmSet, Observation, Retries, wire_limit};
use crate::snapshot::Snapshot;
use crate::status::{Status, Wires};
use crate::time::ms;
use crate::units::{Charge, Voltage};

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// What must survive a reset.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // A commanded shutdown and wake clears lock-outs (D10).
        const LOCKED: AlarmSet = AlarmSet::of(&[Alarm::ChargeLockedOut, Alarm::DischargeLockedOut]);
        let mut active = self.protection.active();
        if self.flags.has(Flags::EMERGENCY) {
            // Also one that was asked for since the last step (X21).
            active = active.with(Alarm::EmergencyStop);
        }
        let (alarms, retries) = if self.flags.has(Flags::SHUTDOWN_REQUESTED) {
            (active.minus(LOCKED), Retries::new())
        } else {
            (active, self.retries)
        };
        Snapshot {
            alarms,
            sensors_seen: self.measurement.temperatures.seen(),
            retries,
            remaining: self.estimator.remaining(),
            capacity: self.capacity(),
            cycle_capacity: self.estimator.cycle_capacity(),
            cycles: self.estimator.cycles(),
            learned: self.estimator.learned(),
            run_time_seconds: self.run_time / 1_000,
            switches: self.switches,
            balancing: self.learned_of_balancing(),
        }
    }

    /// As learned; without an estimator as configured.
    fn capacity(&self) -> Charge {
        if E::FITTED { self.estimator.capacity() } else { self.config.capacity() }
    }

    /// Certain only once nothing moves any more: what was delivered after the snapshot would be delivered again.
    fn learned_of_balancing(&self) -> LearnedBalance {
        let learned = self.strategy.learned();
        if self.lifecycle.is_running() { learned.while_running() } else { learned }
    }

    /// Everything that a display shows.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        let config = &self.config;
        let measured = &self.measurement;
        let channels = &measured.channels;
        let extremes = &measured.extremes;
        let cells_usable = channels.usable(Channel::Cells) && measured.suspect == 0;
        let of_cells = |value: Voltage| reading(channels, Channel::Cells, cells_usable, value);
        let pack_voltage = of_cells(extremes.sum());
        let current = reading(channels, Channel::Current, channels.usable(Channel::Current), measured.milliamps);
        let power = match (pack_voltage.valid(), current.valid()) {
            (Some(voltage), Some(current)) => Reading::Valid(voltage.power(current.magnitude())),
            _ => Reading::Invalid,
        };
        let age = channels.age(Channel::Temperatures);
        let lost = channels.lost(Channel::Temperatures);
        let mut battery_temperatures = [Reading::NotMeasured; BATTERY_SENSORS];
        for (index, slot) in battery_temperatures.iter_mut().enumerate() {
            *slot = measured.temperatures.reading(index, age, lost);
        }
        let (milliohms, top) = self.wires.view(config.cell_count());
        Status {
            state: self.lifecycle.state(),
            run_time_seconds: self.run_time / 1_000,
            charge: self.command.charge,
            discharge: self.command.discharge,
            switches: self.switches,
            pack_voltage,
            stack_voltage: reading(channels, Channel::Stack, channels.usable(Channel::Stack), measured.stack_voltage),
            current,
            power,
            capacity: self.capacity(),
            remaining: self.estimator.remaining().map_or(Reading::Invalid, Reading::Valid),
            state_of_charge_permille: self
                .estimator
                .state_of_charge_permille()
                .map_or(Reading::Invalid, Reading::Valid),
            state_of_charge: self.estimator.state_of_charge().map_or(Reading::Invalid, Reading::Valid),
            state_of_health: self.estimator.state_of_health().map_or(Reading::NotMeasured, Reading::Valid),
            cell_differences: self.estimator.cell_differences(),
            state_of_power: self.state_of_power(),
            cycle_capacity: self.estimator.cycle_capacity(),
            cycles: self.estimator.cycles(),
            average_cell: of_cells(extremes.average()),
            cell_spread: of_cells(extremes.spread()),
            balance_current: measured.feedback.balance_current,
            balance: self.command.balance,
            mos_temperature: measured.temperatures.reading(BATTERY_SENSORS, age, lost),
            battery_temperatures,
            cells: measured.displayed(config),
            highest_cell: measured.scan(config).highest().map(|(index, _)| index),
            lowest_cell: measured.scan(config).lowest().map(|(index, _)| index),
            wires: Wires { milliohms, top, limit: crate::units::Resistance::from_microohms(wire_limit(config)) },
            wire_test: self.wire_test.cell(),
            heater: self.heating.on(),
            alarms: self.protection.active(),
            limits: self.command.limits,
        }
    }

    /// One look at what an alarm watches, where, and its timer.
    pub(crate) fn look(&self, alarm: Alarm) -> (Observation, Option<u8>, u32) {
        let seen = self.circumstances();
        (seen.observe(alarm), seen.place(alarm), self.protection.timer(alarm))
    }

    /// Why each open switch is open; see [`explain`](crate::explain).
    pub fn explain(&self) -> impl Iterator<Item = crate::explain::Explanation> + '_ {
        crate::explain::explanations(self)
    }
}

fn reading<Q>(channels: &Channels, channel: Channel, usable: bool, value: Q) -> Reading<Q> {
    if usable {
        Reading::Valid(value)
    } else if channels.good(channel) && channels.overdue(channel) {
        Reading::Stale { age: ms(channels.age(channel)) }
    } else if channels.known(channel) {
        Reading::Invalid
    } else {
        Reading::NotMeasured
    }
}
