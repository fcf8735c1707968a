//! Drives the core and the oracle with the same operations.

use crate::operation::{Bytes, Fault, Operation, configuration, nominal, operation};
use crate::oracle::{Oracle, Verdict};
use bms_core::Bms;
use bms_core::balancing::Plan;
use bms_core::command::Power;
use bms_core::config::{Config, ParameterId as P, ValidConfig};
use bms_core::event::EventKind;
use bms_core::lifecycle::State;
use bms_core::measurement::{Cells, Feedback, Group, Input, Inputs, Reading, Sample, Temperatures};
use bms_core::port::ErrorKind;
use bms_core::protection::Alarm;
use bms_core::snapshot::Stored;
use bms_core::time::Instant;
use bms_core::units::{Current, Temperature, Voltage};

/// How often what was compared.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Steps.
    pub steps: u64,
    /// Alarms raised, by number.
    pub raised: Vec<u64>,
    /// Alarms cleared, by number.
    pub cleared: Vec<u64>,
    /// Switches that changed.
    pub switched: u64,
    /// Steps in which both switches were closed.
    pub both_closed: u64,
    /// Steps with the heater on.
    pub heated: u64,
    /// Steps with a transfer.
    pub balanced: u64,
    /// Operations by name.
    pub operations: std::collections::BTreeMap<String, u64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { raised: vec![0; Alarm::COUNT], cleared: vec![0; Alarm::COUNT], ..Self::default() }
    }
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.switched += other.switched;
        self.both_closed += other.both_closed;
        self.heated += other.heated;
        self.balanced += other.balanced;
        for (mine, theirs) in self.raised.iter_mut().zip(&other.raised) {
            *mine += theirs;
        }
        for (mine, theirs) in self.cleared.iter_mut().zip(&other.cleared) {
            *mine += theirs;
        }
        for (name, count) in &other.operations {
            *self.operations.entry(name.clone()).or_default() += count;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let raised: u64 = self.raised.iter().sum();
        let kinds = self.raised.iter().filter(|count| **count > 0).count();
        let faults = self.operations.get("Fault").copied().unwrap_or(0);
        write!(
            out,
            "{} steps, {faults} faults, {raised} alarms raised of {kinds} kinds, {} times a switch changed, both closed in {} steps",
            self.steps, self.switched, self.both_closed
        )
    }
}

/// The pack as it is, and what the sensors make of it.
struct World {
    now: u64,
    cells: Vec<i32>,
    current: i32,
    temperatures: [i32; 6],
    inputs: Inputs,
    stack_offset: i32,
    terminal_offset: i32,
    faults: Vec<(Fault, u8)>,
}

impl World {
    fn new(config: &ValidConfig) -> Self {
        Self {
            now: 1_000_000,
            cells: vec![nominal(config); config.cell_count().into()],
            current: 0,
            temperatures: [250; 6],
            inputs: Inputs::default(),
            stack_offset: 0,
            terminal_offset: 0,
            faults: Vec::new(),
        }
    }
    fn sample(&mut self, board: &bms_core::config::BoardDefinition) -> Sample {
        let now = Instant::from_millis(self.now);
        let old = |age: u16| Instant::from_millis(self.now.saturating_sub(age.into()));
        let faults: Vec<Fault> = self.faults.iter().map(|(fault, _)| *fault).collect();
        let has = |fault| faults.contains(&fault);
        let mut sample = Sample::new();
        // Cells
        let voltages: Vec<Voltage> = self.cells.iter().map(|cell| Voltage::from_microvolts(*cell)).collect();
        let mut cells = Cells::from_voltages(&voltages);
        let (mut cells_at, mut current_at, mut inputs_at, mut stack_at) = (now, now, now, now);
        for fault in &faults {
            match fault {
                Fault::CellCount(more) => {
                    let count = (self.cells.len() as i64 + i64::from(*more)) as u8;
                    cells = Cells::new(count);
                    for (index, voltage) in voltages.iter().enumerate().take(count.into()) {
                        cells.set(index, *voltage);
                    }
                    if *more > 0 {
                        cells.set(usize::from(count) - 1, voltages[0]);
                    }
                }
                Fault::CellInvalid(index) => cells.invalidate(usize::from(*index)),
                Fault::CellsAge(age) => cells_at = old(*age),
                Fault::CellsFuture => cells_at = Instant::from_millis(self.now + 1),
                Fault::CurrentAge(age) => current_at = old(*age),
                Fault::InputsAge(age) => inputs_at = old(*age),
                Fault::StackAge(age) => stack_at = old(*age),
                _ => {}
            }
        }
        sample.cells = Group::at(cells_at, cells);
        sample.current = Group::at(current_at, Current::from_milliamps(self.current));
        let mut temperatures = Temperatures { battery: [Reading::NotMeasured; 5], mos: Reading::NotMeasured };
        for (index, tenths) in self.temperatures.iter().enumerate() {
            let mut reading = Reading::Valid(Temperature::from_tenths(*tenths));
            if (2..5).contains(&index) {
                reading = Reading::NotMeasured;
            }
            let index = index as u8;
            if has(Fault::SensorInvalid(index)) {
                reading = Reading::Invalid;
            } else if has(Fault::SensorAbsent(index)) {
                reading = Reading::NotMeasured;
            } else if has(Fault::SensorShorted(index)) {
                reading = Reading::Valid(Temperature::from_tenths(2_000));
            }
            match temperatures.battery.get_mut(usize::from(index)) {
                Some(slot) => *slot = reading,
                None => temperatures.mos = reading,
            }
        }
        sample.temperatures = Group::at(now, temperatures);
        let stack = self.cells.iter().map(|cell| i64::from(*cell)).sum::<i64>() as i32 + self.stack_offset;
        if board.stack_voltage {
            sample.stack = Group::at(stack_at, Voltage::from_microvolts(stack));
        }
        if board.terminal_voltage {
            sample.terminal = Group::at(now, Voltage::from_microvolts(stack + self.terminal_offset));
        }
        sample.inputs = Group::at(inputs_at, self.inputs);
        let feedback = Feedback { balance_current: Current::ZERO, quiet: true, store_empty: true };
        sample.feedback = Group::at(now, feedback);
        for fault in &faults {
            match fault {
                Fault::CellsFailed => sample.cells = Group::Failed,
                Fault::CellsAbsent => sample.cells = Group::NotMeasured,
                Fault::CurrentFailed => sample.current = Group::Failed,
                Fault::CurrentAbsent => sample.current = Group::NotMeasured,
                Fault::TemperaturesFailed => sample.temperatures = Group::Failed,
                Fault::TemperaturesAbsent => sample.temperatures = Group::NotMeasured,
                Fault::StackFailed => sample.stack = Group::Failed,
                Fault::StackAbsent => sample.stack = Group::NotMeasured,
                Fault::TerminalFailed => sample.terminal = Group::Failed,
                Fault::InputsFailed => sample.inputs = Group::Failed,
                Fault::InputsAbsent => sample.inputs = Group::NotMeasured,
                _ => {}
            }
        }
        for (_, left) in &mut self.faults {
            *left -= 1;
        }
        self.faults.retain(|(_, left)| *left > 0);
        sample
    }
}

/// Both, the world, and what happened so far.
pub struct Pair {
    bms: Bms,
    oracle: Oracle,
    world: World,
    events_lost: u32,
    /// How often what was compared.
    pub tally: Tally,
    /// The operations so far.
    pub log: Vec<String>,
}

impl Pair {
    fn new(config: ValidConfig) -> Self {
        Self {
            bms: Bms::new(config),
            oracle: Oracle::new(config),
            world: World::new(&config),
            events_lost: 0,
            tally: Tally::new(),
            log: vec![describe(&config)],
        }
    }

    fn step(&mut self, input: &Input<'_>) -> Result<(), String> {
        let now = Instant::from_millis(self.world.now);
        self.oracle.balancing = !self.bms.command().balance.is_idle();
        let command = self.bms.step(now, *input);
        let mut expected = self.oracle.step(now, input);
        let trips = self.bms.snapshot().retries.counts().map(u32::from);
        self.oracle.tolerate(&mut expected, self.bms.alarms(), trips);
        let mut events = Vec::new();
        let mut balancing = Vec::new();
        while let Some(event) = self.bms.poll_event() {
            match event.kind {
                EventKind::Raised { alarm, .. } => {
                    self.tally.raised[alarm as usize] += 1;
                    events.push(EventKind::Raised { alarm, index: None, value: 0 });
                }
                EventKind::Cleared { alarm } => {
                    self.tally.cleared[alarm as usize] += 1;
                    events.push(event.kind);
                }
                EventKind::Full | EventKind::Empty => {}
                EventKind::Balancing { active } => balancing.push(active),
                kind => events.push(kind),
            }
        }
        self.tally.steps += 1;
        self.tally.switched += u64::from(events.iter().any(|kind| matches!(kind, EventKind::Switched { .. })));
        self.tally.both_closed += u64::from(command.charge.is_closed() && command.discharge.is_closed());
        self.tally.heated += u64::from(command.heater.is_on(now));
        self.tally.balanced += u64::from(!command.balance.is_idle());
        let sorted = |mut kinds: Vec<EventKind>| {
            kinds.sort_by_key(|kind| format!("{kind:?}"));
            kinds
        };
        let actual = Verdict {
            alarms: self.bms.alarms(),
            state: self.bms.state(),
            charge: command.charge.is_closed(),
            discharge: command.discharge.is_closed(),
            heater: command.heater.is_on(now),
            last_resort: command.last_resort.is_closed(),
            power_released: command.power == Power::Release,
            clear_latch: command.clear_latch,
            balance_forbidden: expected.balance_forbidden,
            trips,
            events: sorted(events),
        };
        let expected = Verdict { events: sorted(expected.events), ..expected };
        if command.clear_latch {
            self.world.inputs.short_circuit = false;
        }
        // What nobody fetched in time is lost, and counted.
        let actual = if self.bms.events_lost() > self.events_lost {
            Verdict { events: expected.events.clone(), ..actual }
        } else {
            actual
        };
        self.events_lost = self.bms.events_lost();
        if actual != expected {
            return Err(difference(&actual, &expected));
        }
        if expected.balance_forbidden && !command.balance.is_idle() {
            return Err(format!("{:?} although forbidden", command.balance));
        }
        if let Plan::Transfer { until, .. } = command.balance
            && until <= now
        {
            return Err("a plan that is over when it begins".into());
        }
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), String> {
        let config = *self.bms.config();
        let count = usize::from(config.cell_count());
        let stopping = matches!(self.bms.state(), State::ShuttingDown | State::Off);
        match operation {
            // Whether a new start outweighs a shutdown that was asked for is nobody's rule.
            Operation::Parameter(P::CellCount, _) | Operation::Reconfigure(..) if stopping => {}
            Operation::Steps { count, period } => {
                for index in 0..*count {
                    self.world.now += u64::from(*period);
                    let sample = self.world.sample(config.board());
                    self.step(&Input::Sample(&sample)).map_err(|why| format!("at its step {index}: {why}"))?;
                }
            }
            Operation::Tick(period) => {
                self.world.now += u64::from(*period);
                self.step(&Input::Tick)?;
            }
            Operation::Lost(period) => {
                self.world.now += u64::from(*period);
                self.step(&Input::Lost(ErrorKind::Timeout))?;
            }
            Operation::Back(period) => {
                self.world.now = self.world.now.saturating_sub((*period).into());
                let sample = self.world.sample(config.board());
                self.step(&Input::Sample(&sample))?;
            }
            Operation::Cell(Some(cell), voltage) => self.world.cells[usize::from(*cell) % count] = *voltage,
            Operation::Cell(None, voltage) => self.world.cells.fill(*voltage),
            Operation::Current(current) => self.world.current = *current,
            Operation::Temperature(6, tenths) => self.world.temperatures[..2].fill(*tenths),
            Operation::Temperature(which, tenths) => self.world.temperatures[usize::from(*which)] = *tenths,
            Operation::Fault(fault, steps) => self.world.faults.push((*fault, *steps)),
            Operation::Short => self.world.inputs.short_circuit = true,
            Operation::Charger(seen) => self.world.inputs.charger = *seen,
            Operation::Load(seen) => self.world.inputs.load = *seen,
            Operation::Activation(on) => self.world.inputs.activation = *on,
            Operation::Reverse(on) => self.world.inputs.reverse_wake = *on,
            Operation::SelfTest(failed) => self.world.inputs.self_test_failed = *failed,
            Operation::StackOffset(offset) => self.world.stack_offset = *offset,
            Operation::TerminalOffset(offset) => self.world.terminal_offset = *offset,
            Operation::Request(request) => {
                if self.bms.request(*request).is_ok() {
                    self.oracle.request(*request);
                }
            }
            Operation::Parameter(parameter, value) => {
                let wanted = config.to_config().with(*parameter, *value).validate();
                let accepted = self.bms.set_parameter(*parameter, *value);
                let expected = crate::operation::writable(*parameter) && wanted.is_ok();
                if accepted.is_ok() != expected {
                    return Err(format!("{accepted:?}, expected {expected}"));
                }
                if let (Ok(()), Ok(config)) = (accepted, wanted) {
                    self.oracle.parameter_changed(*parameter, config);
                    if *parameter == P::CellCount {
                        self.world.cells.resize((*value) as usize, nominal(&config));
                    }
                }
            }
            Operation::Reconfigure(chemistry, cells) => {
                let cells = if *cells == 0 { config.cell_count() } else { *cells };
                let changed: Config = config.to_config().with(P::CellCount, cells.into()).with_preset(*chemistry);
                if let Ok(changed) = changed.validate() {
                    let answer = self.bms.reconfigure(changed);
                    if answer.is_ok() {
                        self.oracle.reconfigured(changed);
                        self.world.cells = vec![nominal(&changed); cells.into()];
                    }
                }
            }
            Operation::Reset(cause) => {
                let snapshot = self.bms.snapshot();
                self.bms = Bms::new(config);
                self.events_lost = 0;
                self.bms.restore(Stored::Snapshot(snapshot), *cause);
                self.oracle = self.oracle.reset(*cause);
                self.world.now = 5_000;
            }
            Operation::Output(good) => {
                self.bms.output_result(if *good { Ok(()) } else { Err(ErrorKind::Timeout) });
                self.oracle.output_failed = Some(!*good);
            }
            Operation::Stored => {
                self.bms.snapshot_stored();
                self.oracle.stored();
            }
        }
        Ok(())
    }
}

fn describe(config: &ValidConfig) -> String {
    let board = config.board();
    let plain = Config::preset(config.chemistry(), config.cell_count()).with_profile(config.profile());
    let mut text =
        format!("{:?} {:?} {} cells, {:?}", config.chemistry(), config.profile(), config.cell_count(), board.topology);
    text += &format!(
        ", sensors {:?}, terminal {}, precharge {}",
        &board.sensors[..2],
        board.terminal_voltage,
        board.precharge
    );
    for row in bms_core::config::PARAMETERS {
        if config.get(row.id) != plain.get(row.id) {
            text += &format!(", {} {}", row.name, config.get(row.id));
        }
    }
    text
}

fn difference(actual: &Verdict, expected: &Verdict) -> String {
    let mut text = String::new();
    let names = |set: bms_core::protection::AlarmSet| set.iter().map(|alarm| format!("{alarm:?}")).collect::<Vec<_>>();
    let missing = expected.alarms.minus(actual.alarms);
    let extra = actual.alarms.minus(expected.alarms);
    if !missing.is_empty() {
        text += &format!("oracle alone has {:?}; ", names(missing));
    }
    if !extra.is_empty() {
        text += &format!("core alone has {:?}; ", names(extra));
    }
    if actual.alarms == expected.alarms {
        text += &format!("\n  core   {actual:?}\n  oracle {expected:?}");
    }
    text += &format!("\n  both have {:?}", names(actual.alarms.common(expected.alarms)));
    text
}

/// Runs what the bytes say.
///
/// # Errors
/// The first difference, with the operations that led there.
pub fn run(bytes: &[u8]) -> Result<Tally, String> {
    run_where(bytes, |_| true)
}

/// Runs what the bytes say, if the configuration is wanted.
///
/// # Errors
/// The first difference, with the operations that led there.
pub fn run_where(bytes: &[u8], wanted: impl Fn(&ValidConfig) -> bool) -> Result<Tally, String> {
    let mut bytes = Bytes::new(bytes);
    let Some(config) = configuration(&mut bytes).filter(|config| wanted(config)) else { return Ok(Tally::new()) };
    let mut pair = Pair::new(config);
    while !bytes.is_empty() {
        let next = operation(&mut bytes, pair.bms.config());
        let text = format!("{next:?}");
        let name = text.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        *pair.tally.operations.entry(name).or_default() += 1;
        pair.log.push(text);
        if let Err(why) = pair.apply(&next) {
            let mut log = String::new();
            for same in pair.log.chunk_by(|one, next| one == next) {
                log += &format!(
                    "\n  {}{}",
                    same[0],
                    if same.len() > 1 { format!(" × {}", same.len()) } else { String::new() }
                );
            }
            return Err(format!("{why}\nafter{log}"));
        }
    }
    Ok(pair.tally)
}
