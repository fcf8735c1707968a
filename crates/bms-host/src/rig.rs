//! Plant and core together, advanced through virtual time with one call.
//!
//! ```
//! use bms_core::prelude::*;
//! use bms_host::plant::{Load, PackSpec};
//! use bms_host::rig::Rig;
//!
//! const PACK: ValidConfig =
//!     const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated() };
//! let mut spec = PackSpec::new(Chemistry::LiFePo4, 16);
//! spec.capacity_ah = 280.0;
//! let mut rig = Rig::new(PACK, &spec)?;
//! rig.run_for(secs(2));
//! assert_eq!(rig.bms().command().discharge, Switch::Closed);
//! rig.plant_mut().set_load(Load::Current(500.0));
//! rig.run_for(secs(2));
//! assert_eq!(rig.bms().command().discharge, Switch::Open);
//! # Ok::<(), bms_host::plant::ImpossiblePack>(())
//! ```

use std::collections::VecDeque;

use bms_core::Bms;
use bms_core::balancing::{Quota, Strategy};
use bms_core::bms::{Refusal, Request};
use bms_core::command::Command;
use bms_core::config::{BoardDefinition, ParameterId, SensorPolicy, ValidConfig};
use bms_core::estimation::{CoulombCounter, Estimator};
use bms_core::event::{Event, EventKind};
use bms_core::measurement::{Input, Sample};
use bms_core::port::ErrorKind;
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::{Duration, Instant};

use crate::fault::{Delivery, FaultList, Output, SampleFaults, Write};
use crate::plant::{ImpossiblePack, PackSpec, Plant, Thermistor};
use crate::schedule::Walk;
use crate::trace::{Header, Operation, Record, RecordedInput};

pub use crate::schedule::Schedule;

/// What the core was given in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// A sample: [`Rig::sample`].
    Sample,
    /// A failed sampler.
    Lost(ErrorKind),
    /// Only time: the first step of a core, which writes every output safe, as the drivers do it.
    Tick,
    /// Nothing, there was no step: the sampler is silent, and the core's deadline has not passed.
    Nothing,
    /// Nothing, there was no step: the board has no power.
    Unpowered,
}

/// A pack and the core that protects it, without ports in between: the fast path.
///
/// Ports, drivers and executors are exercised by `DriverRig`.
#[derive(Clone, Debug)]
pub struct Rig<const N: usize = 24, E = CoulombCounter, S = Quota<N>> {
    plant: Plant,
    bms: Bms<N, E, S>,
    /// Makes a new core, for resets.
    make: fn(ValidConfig) -> Bms<N, E, S>,
    faults: FaultList,
    sample_faults: SampleFaults<N>,
    walk: Walk,
    /// When the next step comes.
    due: Instant,
    stepped: Instant,
    /// The core has not stepped since it was made.
    first: bool,
    sample: Sample<N>,
    given: Given,
    open_loop: bool,
    /// The sampler reads the core's clock, faults included.
    one_clock: bool,
    events: VecDeque<Event>,
    /// What the store holds.
    stored: Option<Snapshot>,
    slow: VecDeque<(Instant, Command)>,
    /// What was asked since the last step, and before it: for the trace.
    operations: Vec<Operation>,
    last_operations: Vec<Operation>,
    written: Result<(), ErrorKind>,
}

impl Rig {
    /// A pack of up to 24 cells with the default estimator and balancing strategy; a new board, powered on.
    ///
    /// # Errors
    /// The pack is impossible.
    pub fn new(config: ValidConfig, spec: &PackSpec) -> Result<Self, ImpossiblePack> {
        Self::with_core(config, Bms::new, spec)
    }
}

impl<const N: usize> Rig<N> {
    /// The same with room for `N` cells.
    ///
    /// # Errors
    /// The pack is impossible.
    pub fn with_capacity(config: ValidConfig, spec: &PackSpec) -> Result<Self, ImpossiblePack> {
        Self::with_core(config, Bms::<N>::with_capacity, spec)
    }
}

impl<const N: usize, E: Estimator, S: Strategy> Rig<N, E, S> {
    /// A pack with a core of your own: `make` makes it at the start and after every reset.
    ///
    /// # Errors
    /// The pack is impossible.
    pub fn with_core(
        config: ValidConfig,
        make: fn(ValidConfig) -> Bms<N, E, S>,
        spec: &PackSpec,
    ) -> Result<Self, ImpossiblePack> {
        let plant = Plant::new(spec)?;
        let mut bms = make(config);
        bms.set_balancer(plant.balancer_capabilities());
        bms.restore(Stored::Nothing, ResetCause::PowerOn);
        Ok(Self {
            plant,
            bms,
            make,
            faults: FaultList::new(),
            sample_faults: SampleFaults::new(spec.seed),
            walk: Walk::new(Schedule::default(), spec.seed),
            due: Instant::ZERO,
            stepped: Instant::ZERO,
            first: true,
            sample: Sample::new(),
            given: Given::Nothing,
            open_loop: false,
            one_clock: false,
            events: VecDeque::new(),
            stored: None,
            slow: VecDeque::new(),
            operations: Vec::new(),
            last_operations: Vec::new(),
            written: Ok(()),
        })
    }
    /// The same rig with another schedule.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.walk.schedule = schedule;
        self
    }
    /// Open loop: the plant stands still, readings are what [`Plant::dictated`] says.
    pub fn set_open_loop(&mut self, open_loop: bool) {
        self.open_loop = open_loop;
    }
    /// Whether the sampler stamps its readings with the core's own clock, so that a fault of the clock concerns both, as on
    /// a board with one timer. Otherwise samples keep their true times.
    pub fn set_one_clock(&mut self, one_clock: bool) {
        self.one_clock = one_clock;
    }
    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.plant.now()
    }
    /// The `now` that the core was told in the last step.
    #[must_use]
    pub const fn stepped_at(&self) -> Instant {
        self.stepped
    }
    /// The pack: its truth.
    #[must_use]
    pub const fn plant(&self) -> &Plant {
        &self.plant
    }
    /// The pack, to act on.
    pub const fn plant_mut(&mut self) -> &mut Plant {
        &mut self.plant
    }
    /// The core.
    #[must_use]
    pub const fn bms(&self) -> &Bms<N, E, S> {
        &self.bms
    }
    /// Asks the core for something; the trace keeps it.
    ///
    /// # Errors
    /// The core's refusal.
    pub fn request(&mut self, request: Request) -> Result<(), Refusal> {
        self.operations.push(Operation::Request(request));
        self.bms.request(request)
    }
    /// Changes a parameter; the trace keeps it.
    ///
    /// # Errors
    /// The core's refusal.
    pub fn set_parameter(&mut self, parameter: ParameterId, value: i32) -> Result<(), Refusal> {
        self.operations.push(Operation::SetParameter(parameter, value));
        self.bms.set_parameter(parameter, value)
    }
    /// Changes the whole configuration; the trace keeps it.
    ///
    /// # Errors
    /// The core's refusal.
    pub fn reconfigure(&mut self, config: ValidConfig) -> Result<(), Refusal> {
        self.operations.push(Operation::Reconfigure(Box::new(config)));
        self.bms.reconfigure(config)
    }
    /// Tells the core whether a link is connected; the trace keeps it.
    pub fn set_link_connected(&mut self, connected: bool) {
        self.operations.push(Operation::SetLink(connected));
        self.bms.set_link_connected(connected);
    }
    /// What a trace begins with; ask before the first step.
    #[must_use]
    pub fn trace_header(&self) -> Header {
        Header { balancer: self.plant.balancer_capabilities(), ..Header::new(*self.bms.config()) }
    }
    /// The last step as a row of a trace; `None` if there was no step (no supply, silent sampler).
    #[must_use]
    pub fn record(&self) -> Option<Record<N>> {
        let input = match self.given {
            Given::Sample => RecordedInput::Sample(self.sample),
            Given::Lost(kind) => RecordedInput::Lost(kind),
            Given::Tick => RecordedInput::Tick,
            Given::Nothing | Given::Unpowered => return None,
        };
        Some(Record {
            now: self.stepped,
            operations: self.last_operations.clone(),
            input,
            outputs: Some(crate::trace::outputs_of(&self.bms, self.bms.command())),
            written: Some(self.written),
        })
    }
    /// The core. What is changed here does not stand in the trace; see [`Rig::request`].
    pub const fn bms_mut(&mut self) -> &mut Bms<N, E, S> {
        &mut self.bms
    }
    /// The faults to inject.
    pub const fn faults(&mut self) -> &mut FaultList {
        &mut self.faults
    }
    /// The faults that are there now.
    pub fn faults_active(&self) -> impl Iterator<Item = crate::fault::FaultKind> {
        self.faults.active(self.now())
    }
    /// What was measured for the last step, faults included; meaningful if [`Rig::given`] says so.
    #[must_use]
    pub const fn sample(&self) -> &Sample<N> {
        &self.sample
    }
    /// What the core was given in the last step.
    #[must_use]
    pub const fn given(&self) -> Given {
        self.given
    }
    /// The events since the last call, oldest first.
    pub fn take_events(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.events.drain(..)
    }
    /// Lets this much time pass, with every step that falls into it.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_for_each(duration, |_, _| {});
    }
    /// The same; `each` sees the rig after every step, and its command.
    pub fn run_for_each(&mut self, duration: Duration, mut each: impl FnMut(&mut Self, &Command)) {
        let end = self.now().after(duration);
        while self.due <= end {
            let command = self.step();
            each(self, &command);
        }
        self.pass_until(end);
    }
    /// Steps until the condition holds; `None` if it did not within the time, else when it did.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> Option<Instant> {
        let end = self.now().after(limit);
        while self.now() < end {
            self.step();
            if condition(self) {
                return Some(self.now());
            }
        }
        None
    }

    /// Lets time pass to the next step, measures, steps the core and carries out its command. The first step
    /// of a core has no sample and writes every output safe; the next one follows at the same time, with the first sample.
    pub fn step(&mut self) -> Command {
        self.pass_until(self.due);
        if self.plant.take_brown_out() {
            self.reset(ResetCause::BrownOut);
        }
        self.follow_supply();
        if !self.plant.powered() {
            self.due = self.now().after(self.walk.next_length());
            return Command::SAFE;
        }
        let now = self.now();
        if self.first {
            self.first = false;
            self.given = Given::Tick;
        } else {
            self.due = now.after(self.walk.next_length());
            self.given = self.sample_now(now);
        }
        let input = match self.given {
            Given::Sample => Input::Sample(&self.sample),
            Given::Lost(kind) => Input::Lost(kind),
            Given::Tick => Input::Tick,
            Given::Nothing | Given::Unpowered => return self.bms.command(),
        };
        self.last_operations.clear();
        self.last_operations.append(&mut self.operations);
        let told = self.faults.clock(now);
        self.stepped = told;
        let command = self.bms.step(told, input);
        self.written = self.apply(&command, now);
        self.bms.output_result(self.written);
        self.collect_events();
        command
    }
    /// Measures what is due, and lets the faults act on it.
    fn sample_now(&mut self, now: Instant) -> Given {
        let channels = self.walk.take_channels(self.bms.command().scan, self.plant.is_quiet());
        self.plant.measure(channels, &mut self.sample);
        let delivery = self.sample_faults.apply(&self.faults, now, &mut self.sample);
        if self.one_clock && !self.faults.is_empty() {
            SampleFaults::tell_time(&self.faults, &mut self.sample);
        }
        match delivery {
            Delivery::Delivered => Given::Sample,
            Delivery::Failed(kind) => Given::Lost(kind),
            // A driver waits for a silent sampler until the core's deadline.
            Delivery::Nothing if self.faults.clock(now) >= self.bms.deadline() => Given::Lost(ErrorKind::Timeout),
            Delivery::Nothing => Given::Nothing,
        }
    }
    fn pass_until(&mut self, at: Instant) {
        let length = at.since(self.now());
        if self.open_loop {
            self.plant.skip(length);
        } else {
            self.plant.advance(length);
        }
    }
    fn apply(&mut self, command: &Command, now: Instant) -> Result<(), ErrorKind> {
        if self.faults.is_empty() {
            return apply(&mut self.plant, command, |_| true);
        }
        let mut failed = None;
        let mut slow = false;
        let faults = &self.faults;
        let result = apply(&mut self.plant, command, |output| match faults.write(output, now) {
            Write::Done => true,
            Write::Fails(kind) => {
                failed = failed.or(Some(kind));
                false
            }
            Write::Ignored => false,
            Write::Slow(by) => {
                if !slow {
                    self.slow.push_back((now.after(by), *command));
                }
                slow = true;
                false
            }
        });
        while let Some((at, late)) = self.slow.front().copied() {
            if at > now {
                break;
            }
            self.slow.pop_front();
            // What came too late is carried out for the slow outputs only.
            let _ = apply(&mut self.plant, &late, |output| matches!(faults.write(output, now), Write::Slow(_)));
        }
        failed.map_or(result, Err)
    }
    fn collect_events(&mut self) {
        while let Some(event) = self.bms.poll_event() {
            match event.kind {
                EventKind::ShuttingDown => {
                    self.stored = Some(self.bms.snapshot());
                    self.bms.snapshot_stored();
                    self.operations.push(Operation::SnapshotStored);
                }
                EventKind::Raised { .. } | EventKind::Cleared { .. } => self.stored = Some(self.bms.snapshot()),
                _ => {}
            }
            self.events.push_back(event);
        }
    }
    /// A board whose supply is gone steps no more; one that is woken starts anew.
    fn follow_supply(&mut self) {
        if !self.plant.powered() {
            self.given = Given::Unpowered;
        } else if self.given == Given::Unpowered {
            self.given = Given::Nothing;
            self.restart(self.stored, ResetCause::PowerOn);
        }
    }
    /// Resets the firmware: outputs off, a new core with what the store holds. The store is as new as the last alarm or
    /// shutdown; counters are taken as stored just now.
    pub fn reset(&mut self, cause: ResetCause) {
        self.plant.reset_outputs();
        self.restart(Some(self.bms.snapshot()), cause);
    }
    /// Resets the firmware with a store of your choice.
    pub fn reset_with(&mut self, stored: Stored, cause: ResetCause) {
        self.plant.reset_outputs();
        self.bms = (self.make)(*self.bms.config());
        self.first = true;
        self.bms.set_balancer(self.plant.balancer_capabilities());
        self.bms.restore(stored, cause);
        self.operations.push(Operation::Reset(Box::new(stored), cause));
        self.slow.clear();
    }
    fn restart(&mut self, snapshot: Option<Snapshot>, cause: ResetCause) {
        self.reset_with(snapshot.map_or(Stored::Nothing, Stored::Snapshot), cause);
    }
}

/// Carries a command out on the plant, in the driver's order, as far as `allowed`.
pub(crate) fn apply(
    plant: &mut Plant,
    command: &Command,
    mut allowed: impl FnMut(Output) -> bool,
) -> Result<(), ErrorKind> {
    let mut result = Ok(());
    if allowed(Output::Switches) {
        plant.drive(command.charge, command.discharge, command.clear_latch);
    }
    if allowed(Output::Precharge) {
        plant.precharge(command.precharge);
    }
    if allowed(Output::Balancer) {
        result = plant.balance(&command.balance);
    }
    if allowed(Output::Heater) {
        plant.heat(command.heater);
    }
    if allowed(Output::LastResort) {
        plant.fire(command.last_resort);
    }
    if allowed(Output::Power) {
        plant.power(command.power);
    }
    result
}

/// The pack that a configuration describes: chemistry, cells, capacity, board; everything else as in [`PackSpec::new`].
#[must_use]
pub fn pack_for(config: &ValidConfig) -> PackSpec {
    let mut spec = PackSpec::new(config.chemistry(), config.cell_count());
    spec.capacity_ah = config.capacity().as_milliamp_hours() as f64 * 1e-3;
    let board: &BoardDefinition = config.board();
    spec.topology = board.topology;
    spec.stack_voltage = board.stack_voltage;
    spec.terminal_voltage = board.terminal_voltage;
    spec.precharge_ohms = board.precharge.then_some(30.0);
    let ohms = f64::from(config.get(bms_core::config::ParameterId::HeaterResistance)) * 1e-6;
    spec.heater_ohms = (ohms > 0.0).then_some(ohms);
    spec.heater_from_battery = config.flag(bms_core::config::ParameterId::HeaterFromBattery);
    for (thermistor, policy) in spec.thermistors.iter_mut().zip(board.sensors) {
        *thermistor = if policy == SensorPolicy::NotFitted { Thermistor::NotFitted } else { Thermistor::Fitted };
    }
    if let Some(ratings) = config.model().map(|model| model.ratings()) {
        spec.comparator.0 = f64::from(ratings.maximum_discharge.as_milliamps()) * 2e-3;
        spec.current_range = f64::from(ratings.maximum_discharge.as_milliamps()) * 1.5e-3;
        spec.balancer.maximum_current = f64::from(ratings.balance.as_milliamps()) * 1e-3;
        spec.balancer.store_joules = spec.balancer.maximum_current * 42.0;
        if let Some(resistance) = ratings.resistance {
            spec.switch_mohm = f64::from(resistance.as_microohms()) * 1e-3;
        }
    }
    spec.supply_minimum = f64::from(config.cell_count()) * 0.8;
    spec
}
