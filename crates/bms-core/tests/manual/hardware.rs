//! The hardware behind a [`Pack`], and what must hold in every step of every test.

use bms_core::balancing::{BalancerCapabilities, Phase, Plan};
use bms_core::command::{Power, Switch};
use bms_core::config::ParameterId;
use bms_core::measurement::{Cells, Feedback, Group, Input, Sample, Temperatures};
use bms_core::protection::{Alarm, Inhibit};
use bms_core::time::Instant;
use bms_core::units::{Charge, Current, Voltage, uv};

use crate::harness::{Line, Pack, Presence};

impl Pack {
    /// The whole sample of this moment.
    pub fn sample(&mut self) -> Sample {
        self.latched |= self.short;
        let at = Instant::from_millis(self.now.as_millis() - u64::from(self.sample_age));
        let mut temperatures = Temperatures { mos: self.mos, ..Temperatures::default() };
        temperatures.battery[0] = self.t1;
        temperatures.battery[1] = self.t2;
        let mut inputs = self.inputs;
        inputs.short_circuit |= self.latched;
        Sample {
            cells: arriving(self.cells_group, at, self.measured_cells()),
            current: arriving(self.current_group, at, self.current),
            temperatures: arriving(self.temperatures_group, at, temperatures),
            stack: self.line(self.stack, at),
            terminal: self.line(self.terminal, at),
            feedback: Group::at(at, self.feedback()),
            inputs: arriving(self.inputs_group, at, inputs),
        }
    }
    fn line(&self, line: Line, at: Instant) -> Group<Voltage> {
        match line {
            Line::Absent => Group::NotMeasured,
            Line::Failed => Group::Failed,
            Line::Sum(more) => Group::at(at, self.sum().plus(more)),
            Line::At(voltage) => Group::at(at, voltage),
        }
    }
    fn measured_cells(&self) -> Cells<24> {
        let mut cells = Cells::new(self.counted_cells.unwrap_or(u8::try_from(self.cells.len()).unwrap()));
        for (index, voltage) in self.cells.iter().enumerate() {
            cells.set(index, voltage.plus(self.wire_drop(index)));
            if self.invalid_cells >> index & 1 == 1 {
                cells.invalidate(index);
            }
        }
        cells
    }
    /// What the balancer's current through the sense wires adds to a cell's reading: the cell in use reads the drop of
    /// both its wires, a neighbour the opposite of the shared one.
    fn wire_drop(&self, index: usize) -> Voltage {
        let Some((used, into_cell)) = self.balanced_cell() else { return Voltage::ZERO };
        // A wire that hangs loose while its input floats: the load pulls it down.
        if let Some(open) = self.floating_wire.filter(|open| *open == used || *open == used + 1) {
            let (below, above) = (open.checked_sub(1), open);
            return match Some(index) {
                low if low == below => Voltage::ZERO.minus(self.cells[index]),
                high if high == Some(above) => below.map_or(Voltage::ZERO, |below| self.cells[below]),
                _ => Voltage::ZERO,
            };
        }
        let drop = |wire: usize| uv(into_cell.as_milliamps().saturating_mul(self.wires[wire]));
        if index == used {
            drop(index).plus(drop(index + 1))
        } else if index + 1 == used {
            Voltage::ZERO.minus(drop(used))
        } else if index == used + 1 {
            Voltage::ZERO.minus(drop(index))
        } else {
            Voltage::ZERO
        }
    }
    /// The cell in use, with the current into it.
    fn balanced_cell(&self) -> Option<(usize, Current)> {
        match self.command.balance {
            Plan::Transfer { source, phase: Phase::Take, current, until, .. } if self.now < until => {
                Some((usize::from(source), Current::ZERO.minus(current)))
            }
            Plan::Transfer { destination, phase: Phase::Give, current, until, .. }
                if self.now < until && self.store > 0 =>
            {
                Some((usize::from(destination), current))
            }
            _ => None,
        }
    }
    pub fn balance_moves(&mut self, milliseconds: u32) {
        match self.balanced_cell() {
            Some((_, into_cell)) => self.store -= Charge::moved(into_cell, milliseconds).as_milliamp_millis(),
            None if self.command.balance.is_idle() => {}
            None => self.idle_since = self.now,
        }
        if self.balanced_cell().is_some() {
            self.idle_since = self.now;
        }
    }
    fn feedback(&self) -> Feedback {
        let settled = self.now.since(self.idle_since) >= BalancerCapabilities::MANUAL.settle_time;
        Feedback {
            balance_current: self
                .balanced_cell()
                .filter(|_| !self.mute_balancer)
                .filter(|(used, _)| self.floating_wire.is_none_or(|open| open != *used && open != *used + 1))
                .map_or(Current::ZERO, |(_, into_cell)| into_cell),
            quiet: self.command.balance.is_idle() && settled && !self.never_quiet,
            store_empty: self.store <= 0,
        }
    }

    /// What holds in every step of every test.
    pub fn check(&self, was_latched: bool, input: Input<'_>) {
        let (charge, discharge) = self.closed();
        let alarms = self.alarms();
        let inhibited = |what| alarms.iter().any(|alarm| alarm.inhibits().includes(what));
        let bypass = self.config().current(ParameterId::DiodeBypassCurrent);
        let against = |current: Current| bypass > Current::ZERO && current > bypass;
        let switches = self.wanted;
        let sampled = matches!(input, Input::Sample(_));
        let story = || self.story();
        assert!(!(was_latched && sampled && (charge || discharge)), "closed over the latch (D09); {}", story());
        if charge {
            assert!(switches.charge, "charge closed against its user switch (P17); {}", story());
            let bypassed = against(Current::ZERO.minus(self.current));
            assert!(bypassed || !inhibited(Inhibit::CHARGE), "charge closed against an alarm (P17); {}", story());
        }
        if discharge {
            assert!(switches.discharge, "discharge closed against its user switch (P17); {}", story());
            let bypassed = against(self.current);
            assert!(bypassed || !inhibited(Inhibit::DISCHARGE), "discharge closed against an alarm (P17); {}", story());
        }
        if self.heating() {
            assert!(!charge && !inhibited(Inhibit::HEATER), "heating while charging or inhibited (H01); {}", story());
        }
        if let Plan::Transfer { source, destination, current, until, .. } = self.command.balance {
            // A test of the wires runs under the alarms that it is about (X04, W02), and under no other.
            let excused = |alarm: Alarm| {
                self.status().wire_test.is_some() && matches!(alarm, Alarm::OpenWire | Alarm::WireResistance)
            };
            let mut forbidding = alarms.iter().filter(|alarm| alarm.inhibits().includes(Inhibit::BALANCE));
            assert!(
                switches.balance && source != destination && until > self.now && forbidding.all(excused),
                "transfer; {}",
                story()
            );
            assert!(current <= self.config().current(ParameterId::BalanceCurrent), "too much (B02); {}", story());
        }
        if self.command.precharge.is_on(self.now) {
            assert!(!discharge && !inhibited(Inhibit::DISCHARGE), "precharge (X17); {}", story());
        }
        if self.command.power == Power::Release {
            let off = !charge && !discharge && !self.balancing() && !self.heating();
            assert!(off, "power released with an energy path on (D02); {}", story());
        }
        if self.command.last_resort == Switch::Closed {
            let stuck = alarms.contains(Alarm::ChargeSwitchStuck) || alarms.contains(Alarm::DischargeSwitchStuck);
            assert!(stuck && self.config().board().last_resort, "fuse fired (X10); {}", story());
        }
    }
}

fn arriving<T>(presence: Presence, at: Instant, value: T) -> Group<T> {
    match presence {
        Presence::Measured => Group::at(at, value),
        Presence::NotMeasured => Group::NotMeasured,
        Presence::Failed => Group::Failed,
    }
}
