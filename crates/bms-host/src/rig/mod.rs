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

mod pack;

use std::collections::VecDeque;

use bms_core::Bms;
use bms_core::balancing::{Quota, Strategy};
use bms_core::bms::{Refusal, Request};
use bms_core::command::Command;
use bms_core::config::{ParameterId, ValidConfig};
use bms_core::estimation::{CoulombCounter, Estimator};
use bms_core::event::{Event, EventKind};
use bms_core::measurement::{Input, Sample};
use bms_core::port::ErrorKind;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::time::{Duration, Instant};

use crate::fault::{Delivery, FaultList, Output, SampleFaults, Write};
use crate::plant::{ImpossiblePack, PackSpec, Plant};
use crate::schedule::Walk;
use crate::trace::{Header, Operation, Record, RecordedInput};

pub use crate::schedule::Schedule;
pub use pack::{Pack, pack_for};

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

/// A pack and the core that protects it, without ports in between: the fast path, and the one that every command of
/// `bms-sim` takes. `P` is the simulated pack, or anything else that measures and obeys.
///
/// Ports, drivers and executors are exercised by [`DriverRig`](crate::mock::DriverRig).
#[derive(Clone, Debug)]
pub struct Rig<const N: usize = 24, E = CoulombCounter, S = Quota<N>, P = Plant> {
    pack: P,
    bms: Bms<N, E, S>,
    /// Makes a new core, for resets.
    make: fn(ValidConfig) -> Bms<N, E, S>,
    faults: FaultList,
    sample_faults: SampleFaults<N>,
    walk: Walk,
    now: Instant,
    /// When [`Rig::step`] comes next.
    due: Instant,
    stepped: Instant,
    /// A core begins with a step without a sample, as the drivers do it.
    ticks_first: bool,
    /// That step is still to come.
    first: bool,
    sample: Sample<N>,
    given: Given,
    /// The sampler reads the core's clock, faults included.
    one_clock: bool,
    events: VecDeque<Event>,
    /// What the store holds: as new as the last alarm or shutdown.
    stored: Stored,
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
        Ok(Self::with_pack(config, make, Plant::new(spec)?, spec.seed))
    }
    /// The pack: its truth.
    #[must_use]
    pub const fn plant(&self) -> &Plant {
        &self.pack
    }
    /// The pack, to act on. Its time passes through the rig only.
    pub const fn plant_mut(&mut self) -> &mut Plant {
        &mut self.pack
    }
}

impl<const N: usize, E: Estimator, S: Strategy, P: Pack<N>> Rig<N, E, S, P> {
    /// A core on anything that is a pack to it.
    pub fn with_pack(config: ValidConfig, make: fn(ValidConfig) -> Bms<N, E, S>, pack: P, seed: u64) -> Self {
        let mut rig = Self {
            bms: make(config),
            pack,
            make,
            faults: FaultList::new(),
            sample_faults: SampleFaults::new(seed),
            walk: Walk::new(Schedule::default(), seed),
            now: Instant::ZERO,
            due: Instant::ZERO,
            stepped: Instant::ZERO,
            ticks_first: true,
            first: true,
            sample: Sample::new(),
            given: Given::Nothing,
            one_clock: false,
            events: VecDeque::new(),
            stored: Stored::Nothing,
            slow: VecDeque::new(),
            operations: Vec::new(),
            last_operations: Vec::new(),
            written: Ok(()),
        };
        rig.start_with(Stored::Nothing);
        rig
    }
    /// A board that is powered on with something in its store; to be called before the first step.
    pub fn start_with(&mut self, stored: Stored) {
        self.bms.set_balancer(self.pack.balancer());
        self.bms.restore(stored, ResetCause::PowerOn);
        self.stored = stored;
    }
    /// The same rig with another schedule.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.walk.schedule = schedule;
        self
    }
    /// The same rig whose cores begin with a sample at once. Otherwise the first step of each has none and writes every
    /// output safe, and the next one follows at the same time, as with the drivers.
    #[must_use]
    pub fn without_first_tick(mut self) -> Self {
        (self.ticks_first, self.first) = (false, false);
        self
    }
    /// Whether the sampler stamps its readings with the core's own clock, so that a fault of the clock concerns both, as on
    /// a board with one timer. Otherwise samples keep their true times.
    pub fn set_one_clock(&mut self, one_clock: bool) {
        self.one_clock = one_clock;
    }
    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }
    /// The `now` that the core was told in the last step.
    #[must_use]
    pub const fn stepped_at(&self) -> Instant {
        self.stepped
    }
    /// What the core is connected to.
    #[must_use]
    pub const fn pack(&self) -> &P {
        &self.pack
    }
    /// The same, to act on. Its time passes through the rig only.
    pub const fn pack_mut(&mut self) -> &mut P {
        &mut self.pack
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
        self.ask(Operation::Request(request))
    }
    /// Changes a parameter; the trace keeps it.
    ///
    /// # Errors
    /// The core's refusal.
    pub fn set_parameter(&mut self, parameter: ParameterId, value: i32) -> Result<(), Refusal> {
        self.ask(Operation::SetParameter(parameter, value))
    }
    /// Changes the whole configuration; the trace keeps it.
    ///
    /// # Errors
    /// The core's refusal.
    pub fn reconfigure(&mut self, config: ValidConfig) -> Result<(), Refusal> {
        self.ask(Operation::Reconfigure(Box::new(config)))
    }
    /// Tells the core whether a link is connected; the trace keeps it.
    pub fn set_link_connected(&mut self, connected: bool) {
        // Never refused.
        let _ = self.ask(Operation::SetLink(connected));
    }
    fn ask(&mut self, operation: Operation) -> Result<(), Refusal> {
        let (make, balancer) = (self.make, self.pack.balancer());
        let answer = operation.apply(&mut self.bms, |config| {
            let mut bms = make(config);
            bms.set_balancer(balancer);
            bms
        });
        self.operations.push(operation);
        answer
    }
    /// What a trace begins with; ask before the first step.
    #[must_use]
    pub fn trace_header(&self) -> Header {
        Header { balancer: self.pack.balancer(), ..Header::new(*self.bms.config()) }
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

    /// Lets time pass without a step.
    pub fn pass_until(&mut self, at: Instant) {
        let length = at.since(self.now);
        self.pack.pass(length);
        self.now = self.now.after(length);
    }
    /// Lets time pass to the next step of the schedule, and takes it: [`Rig::step_now`].
    pub fn step(&mut self) -> Command {
        self.pass_until(self.due);
        let command = self.step_now();
        if self.given != Given::Tick {
            self.due = self.now.after(self.next_length());
        }
        command
    }
    /// Time from a step to the next one by the schedule, jitter included; for who keeps the time.
    pub fn next_length(&mut self) -> Duration {
        self.walk.next_length()
    }
    /// One step, whatever the schedule says: measures, steps the core and carries out its command. A board without power
    /// does nothing; one that is woken, or whose supply collapsed, starts anew with what its store holds: what was saved at the
    /// last alarm or shutdown; counters are taken as stored just now when the supply collapses.
    pub fn step_now(&mut self) -> Command {
        self.step_restoring(|stored, bms, cause| match cause {
            ResetCause::BrownOut => Stored::Snapshot(bms.snapshot()),
            _ => stored,
        })
    }
    /// The same for a board with a store of its own: `restore` says what it holds after a power-on or a brown-out, given
    /// what was saved at the last alarm or shutdown.
    pub fn step_restoring(&mut self, mut restore: impl FnMut(Stored, &Bms<N, E, S>, ResetCause) -> Stored) -> Command {
        if self.pack.take_brown_out() {
            let stored = restore(self.stored, &self.bms, ResetCause::BrownOut);
            self.reset_with(stored, ResetCause::BrownOut);
        }
        if !self.pack.powered() {
            self.given = Given::Unpowered;
            return Command::SAFE;
        }
        if self.given == Given::Unpowered {
            let stored = restore(self.stored, &self.bms, ResetCause::PowerOn);
            self.reset_with(stored, ResetCause::PowerOn);
        }
        let now = self.now;
        self.given = if std::mem::take(&mut self.first) { Given::Tick } else { self.sample_now(now) };
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
        let channels = self.walk.take_channels(self.bms.command().scan, self.pack.is_quiet());
        self.pack.measure(now, channels, &mut self.sample);
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
    fn apply(&mut self, command: &Command, now: Instant) -> Result<(), ErrorKind> {
        if self.faults.is_empty() {
            return self.pack.apply(now, command, |_| true);
        }
        let fate = |output| self.faults.write(output, now);
        let result = self.pack.apply(now, command, |output| fate(output) == Write::Done);
        let slow = Output::ALL.into_iter().find_map(|output| match fate(output) {
            Write::Slow(by) => Some(by),
            _ => None,
        });
        if let Some(by) = slow {
            self.slow.push_back((now.after(by), *command));
        }
        while let Some((at, late)) = self.slow.front().copied() {
            if at > now {
                break;
            }
            self.slow.pop_front();
            // What came too late is carried out for the slow outputs only.
            let _ = self.pack.apply(now, &late, |output| matches!(fate(output), Write::Slow(_)));
        }
        let failed = Output::ALL.into_iter().find_map(|output| match fate(output) {
            Write::Fails(kind) => Some(kind),
            _ => None,
        });
        failed.map_or(result, Err)
    }
    fn collect_events(&mut self) {
        while let Some(event) = self.bms.poll_event() {
            match event.kind {
                EventKind::ShuttingDown => {
                    self.stored = Stored::Snapshot(self.bms.snapshot());
                    // Never refused.
                    let _ = self.ask(Operation::SnapshotStored);
                }
                EventKind::Raised { .. } | EventKind::Cleared { .. } => {
                    self.stored = Stored::Snapshot(self.bms.snapshot());
                }
                _ => {}
            }
            self.events.push_back(event);
        }
    }
    /// Resets the firmware: outputs off, a new core with what the store holds, counters as they were just now.
    pub fn reset(&mut self, cause: ResetCause) {
        self.reset_with(Stored::Snapshot(self.bms.snapshot()), cause);
    }
    /// Resets the firmware with a store of your choice.
    pub fn reset_with(&mut self, stored: Stored, cause: ResetCause) {
        self.pack.reset_outputs();
        self.first = self.ticks_first;
        self.given = Given::Nothing;
        self.slow.clear();
        // Never refused.
        let _ = self.ask(Operation::Reset(Box::new(stored), cause));
    }
}
