//! The core on mock ports through its drivers, blocking and async.

use bms_core::Bms;
use bms_core::balancing::{Quota, Strategy};
use bms_core::command::Command;
use bms_core::config::ValidConfig;
use bms_core::driver::{Board, Driver};
use bms_core::estimation::{CoulombCounter, Estimator};
use bms_core::event::{Event, EventKind};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::{Duration, Instant};

use super::{
    MockBalancer, MockClock, MockHeater, MockIndicator, MockLastResort, MockPack, MockPower, MockPrecharge,
    MockSampler, MockSwitches,
};
use crate::fault::{FaultControl, Faulty};
use crate::plant::{ImpossiblePack, PackSpec, Plant};
use crate::schedule::Schedule;

/// A complete board of mocks, each behind fault injection.
pub type MockBoard<const N: usize> = Board<
    Faulty<MockSampler, MockClock, N>,
    Faulty<MockSwitches, MockClock, N>,
    Faulty<MockClock, MockClock, N>,
    Faulty<MockBalancer, MockClock, N>,
    Faulty<MockHeater, MockClock, N>,
    Faulty<MockPrecharge, MockClock, N>,
    Faulty<MockPower, MockClock, N>,
    Faulty<MockLastResort, MockClock, N>,
    Faulty<MockIndicator, MockClock, N>,
>;

/// The core behind its driver on a board of mocks. Slower than [`Rig`](crate::rig::Rig) and nearer to a firmware.
///
/// For the same configuration, pack, schedule and seed it gives the same commands as the direct rig.
#[derive(Debug)]
pub struct DriverRig<const N: usize = 24, E = CoulombCounter, S = Quota<N>> {
    driver: Driver<MockBoard<N>, N, E, S>,
    /// Makes a new core, for resets.
    make: fn(ValidConfig) -> Bms<N, E, S>,
    pack: MockPack,
    faults: FaultControl,
    events: Vec<Event>,
    stored: Option<Snapshot>,
    unpowered: bool,
}

impl<const N: usize> DriverRig<N> {
    /// A pack with the default estimator and balancing strategy.
    ///
    /// # Errors
    /// The pack is impossible.
    pub fn new(config: ValidConfig, spec: &PackSpec, schedule: Schedule) -> Result<Self, ImpossiblePack> {
        Self::with_core(config, Bms::<N>::with_capacity, spec, schedule)
    }
}

impl<const N: usize, E: Estimator, S: Strategy> DriverRig<N, E, S> {
    /// A pack with a core of your own: `make` makes it at the start and after every reset.
    ///
    /// # Errors
    /// The pack is impossible.
    pub fn with_core(
        config: ValidConfig,
        make: fn(ValidConfig) -> Bms<N, E, S>,
        spec: &PackSpec,
        schedule: Schedule,
    ) -> Result<Self, ImpossiblePack> {
        let pack = MockPack::new(Plant::new(spec)?);
        let faults = FaultControl::new();
        let clock = pack.clock();
        // The switches first: both are open before anything else can fail.
        let switches = faults.wrap(MockSwitches::new(&pack), &clock, spec.seed);
        let board = Board {
            sampler: faults.wrap(MockSampler::new(&pack, schedule), &clock, spec.seed),
            switches,
            balancer: faults.wrap(MockBalancer::new(&pack), &clock, spec.seed),
            heater: faults.wrap(MockHeater::new(&pack), &clock, spec.seed),
            precharge: faults.wrap(MockPrecharge::new(&pack), &clock, spec.seed),
            power: faults.wrap(MockPower::new(&pack), &clock, spec.seed),
            last_resort: faults.wrap(MockLastResort::new(&pack), &clock, spec.seed),
            indicator: faults.wrap(MockIndicator::new(&pack), &clock, spec.seed),
            clock: faults.wrap(clock.clone(), &clock, spec.seed),
        };
        let mut bms = make(config);
        bms.restore(Stored::Nothing, ResetCause::PowerOn);
        let driver = Driver::new(bms, board);
        Ok(Self { driver, make, pack, faults, events: Vec::new(), stored: None, unpowered: false })
    }
    /// The pack.
    #[must_use]
    pub const fn pack(&self) -> &MockPack {
        &self.pack
    }
    /// The faults to inject.
    #[must_use]
    pub const fn faults(&self) -> &FaultControl {
        &self.faults
    }
    /// The driver, with the core.
    #[must_use]
    pub const fn driver(&self) -> &Driver<MockBoard<N>, N, E, S> {
        &self.driver
    }
    /// The driver, with the core, for requests and changes.
    pub const fn driver_mut(&mut self) -> &mut Driver<MockBoard<N>, N, E, S> {
        &mut self.driver
    }
    /// The events since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
    /// Polls the blocking driver through a stretch of virtual time; `each` sees every step's time and command.
    pub fn run_for(&mut self, duration: Duration, mut each: impl FnMut(Instant, &Command)) {
        let end = self.pack.now().after(duration);
        while self.pack.now() < end {
            self.pack.want(self.driver.bms().deadline());
            match self.driver.poll() {
                Ok(step) => {
                    each(step.at, &step.command);
                    self.after_step();
                    // Whatever came of it, the next step needs new time.
                    self.pack.0.wanted.take();
                }
                Err(_) => {
                    self.pack.advance_to_wanted(end);
                    self.follow_supply(end);
                }
            }
        }
        // A step that is due at the end itself still belongs to the stretch.
        if let Ok(step) = self.driver.poll() {
            each(step.at, &step.command);
            self.after_step();
        }
    }
    /// The same through the async driver.
    pub fn run_async_for(&mut self, duration: Duration, mut each: impl FnMut(Instant, &Command)) {
        let end = self.pack.now().after(duration);
        let pack = self.pack.clone();
        loop {
            match pack.run(end, self.driver.step()) {
                Some(step) => {
                    each(step.at, &step.command);
                    self.after_step();
                    self.follow_supply(end);
                }
                None => return,
            }
        }
    }
    fn after_step(&mut self) {
        while let Some(event) = self.driver.poll_event() {
            match event.kind {
                EventKind::ShuttingDown => {
                    self.stored = Some(self.driver.bms().snapshot());
                    self.driver.bms_mut().snapshot_stored();
                }
                EventKind::Raised { .. } | EventKind::Cleared { .. } => {
                    self.stored = Some(self.driver.bms().snapshot());
                }
                _ => {}
            }
            self.events.push(event);
        }
    }
    /// A supply that collapses resets the firmware; one that is gone lets time pass without it.
    fn follow_supply(&mut self, end: Instant) {
        if self.pack.plant().take_brown_out() {
            let snapshot = self.driver.bms().snapshot();
            self.restart(Stored::Snapshot(snapshot), ResetCause::BrownOut);
        }
        while !self.pack.plant().powered() && self.pack.now() < end {
            self.unpowered = true;
            self.pack.advance(Duration::from_millis(10));
        }
        if self.unpowered && self.pack.plant().powered() {
            self.unpowered = false;
            self.restart(self.stored.map_or(Stored::Nothing, Stored::Snapshot), ResetCause::PowerOn);
        }
    }
    /// Resets the firmware.
    pub fn restart(&mut self, stored: Stored, cause: ResetCause) {
        self.pack.plant().reset_outputs();
        let mut bms = (self.make)(*self.driver.bms().config());
        bms.restore(stored, cause);
        *self.driver.bms_mut() = bms;
    }
}
