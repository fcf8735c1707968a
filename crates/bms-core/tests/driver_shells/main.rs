//! The two drivers: late and stuck samplers, failing outputs, dropped futures, watchdog tokens, equal commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

#[cfg(feature = "async")]
mod awaited;
mod senses;

use core::cell::{Cell, RefCell};

use bms_core::command::{Expiring, Power as PowerState, ScanMode};
use bms_core::driver::Step;
use bms_core::port::{self, ErrorKind, ErrorType, NotFitted, compose::Senses};
use bms_core::prelude::*;

const PACK: ValidConfig = const { Config::lifepo4(4).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated() };
const SAMPLE_PERIOD: u64 = 100;

/// A pack in virtual time, and what its ports were told.
struct World {
    now: Cell<u64>,
    /// Cell 2; the others are at 3.3 V.
    cell: Cell<Voltage>,
    /// The sampler never answers.
    stuck: Cell<bool>,
    /// The sampler fails.
    sampler_error: Cell<Option<ErrorKind>>,
    /// This output fails.
    failing: Cell<Option<&'static str>>,
    /// Every write of one switch or output takes this long.
    write_time: Cell<u64>,
    written: RefCell<Vec<&'static str>>,
    gates: Cell<(Switch, Switch)>,
    /// Async readings that were begun and not ended.
    #[cfg_attr(not(feature = "async"), allow(dead_code, reason = "nothing is awaited"))]
    half_read: Cell<u32>,
    delivered: Cell<u64>,
}

impl World {
    fn new() -> Self {
        Self {
            now: Cell::new(1_000),
            cell: Cell::new(mv(3_300)),
            stuck: Cell::new(false),
            sampler_error: Cell::new(None),
            failing: Cell::new(None),
            write_time: Cell::new(0),
            written: RefCell::new(Vec::new()),
            gates: Cell::new((Switch::Open, Switch::Open)),
            half_read: Cell::new(0),
            delivered: Cell::new(0),
        }
    }
    fn now(&self) -> Instant {
        Instant::from_millis(self.now.get())
    }
    fn pass(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
    }
    fn write(&self, output: &'static str) -> Result<(), ErrorKind> {
        self.pass(self.write_time.get());
        self.written.borrow_mut().push(output);
        if self.failing.get() == Some(output) { Err(ErrorKind::Bus) } else { Ok(()) }
    }
    fn cells(&self) -> Cells<24> {
        Cells::from_voltages(&[mv(3_300), self.cell.get(), mv(3_300), mv(3_300)])
    }
    fn current(&self) -> Current {
        if self.gates.get().1.is_closed() { amps(-4) } else { Current::ZERO }
    }
    fn temperatures(&self) -> Temperatures {
        let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
        temperatures.battery[0] = Reading::Valid(deg_c(25));
        temperatures.battery[1] = Reading::Valid(deg_c(25));
        temperatures
    }
    fn sample(&self) -> nb::Result<Sample, ErrorKind> {
        if let Some(kind) = self.sampler_error.get() {
            self.pass(SAMPLE_PERIOD);
            return Err(nb::Error::Other(kind));
        }
        if self.stuck.get() || self.now.get() < self.delivered.get() + SAMPLE_PERIOD {
            return Err(nb::Error::WouldBlock);
        }
        self.delivered.set(self.now.get());
        let now = self.now();
        let mut sample = Sample::new();
        sample.cells = Group::at(now, self.cells());
        sample.current = Group::at(now, self.current());
        sample.temperatures = Group::at(now, self.temperatures());
        sample.stack = Group::at(now, self.cell.get().plus(mv(9_900)));
        Ok(sample)
    }
}

/// Every port of the board, blocking and async, over one world.
#[derive(Clone, Copy)]
struct Port<'a>(&'a World);

impl ErrorType for Port<'_> {
    type Error = ErrorKind;
}

impl port::Clock for Port<'_> {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl port::Sampler for Port<'_> {
    fn sample(&mut self, _: ScanMode, sample: &mut Sample) -> nb::Result<(), ErrorKind> {
        *sample = self.0.sample()?;
        Ok(())
    }
}

impl port::CellSense for Port<'_> {
    fn cells(&mut self, cells: &mut Cells<24>) -> nb::Result<(), ErrorKind> {
        *cells = self.0.cells();
        Ok(())
    }
}

impl port::CurrentSense for Port<'_> {
    fn current(&mut self) -> nb::Result<Current, ErrorKind> {
        self.0.sampler_error.get().map_or(Ok(self.0.current()), |kind| Err(nb::Error::Other(kind)))
    }
}

impl port::TemperatureSense for Port<'_> {
    fn temperatures(&mut self) -> nb::Result<Temperatures, ErrorKind> {
        Ok(self.0.temperatures())
    }
}

impl port::VoltageSense for Port<'_> {
    fn voltage(&mut self) -> nb::Result<Voltage, ErrorKind> {
        Ok(self.0.cell.get().plus(mv(9_900)))
    }
}

impl port::Switches for Port<'_> {
    fn apply(&mut self, charge: Switch, discharge: Switch, _: bool) -> Result<(), ErrorKind> {
        self.0.write("switches")?;
        self.0.gates.set((charge, discharge));
        Ok(())
    }
}

impl port::Heater for Port<'_> {
    fn heat(&mut self, _: Expiring) -> Result<(), ErrorKind> {
        self.0.write("heater")
    }
}

impl port::Power for Port<'_> {
    fn power(&mut self, _: PowerState) -> Result<(), ErrorKind> {
        self.0.write("power")
    }
}

/// A board of blocking ports.
fn board(world: &World) -> Board<Port<'_>, Port<'_>, Port<'_>, NotFitted, Port<'_>, NotFitted, Port<'_>> {
    let port = Port(world);
    Board::new(port, port, port).with_heater(port).with_power(port)
}

/// What both shells must agree on: each step's time, command and token, and the events after it.
type Trace = Vec<(Instant, Command, bool, Vec<Event>)>;

fn note<B>(trace: &mut Trace, step: Step, driver: &mut Driver<B>) {
    let events = core::iter::from_fn(|| driver.poll_event()).collect();
    trace.push((step.at, step.command, step.watchdog.is_some(), events));
}

/// How often the charge switch was opened.
fn openings(trace: &Trace) -> usize {
    trace.windows(2).filter(|pair| pair[0].1.charge.is_closed() && !pair[1].1.charge.is_closed()).count()
}

/// Polls every millisecond until `end`, changing the world on the way.
fn poll_until<B: bms_core::driver::Ports<24>>(
    world: &World,
    driver: &mut Driver<B>,
    end: u64,
    mut change: impl FnMut(&World),
) -> Trace {
    let mut trace = Trace::new();
    while world.now.get() < end {
        change(world);
        match driver.poll() {
            Ok(step) => note(&mut trace, step, driver),
            Err(nb::Error::WouldBlock) => world.pass(1),
            Err(nb::Error::Other(never)) => match never {},
        }
    }
    trace
}

/// A driver whose switches are closed, with everything well.
fn running(world: &World) -> Driver<impl bms_core::driver::Ports<24>> {
    let mut driver = Driver::new(Bms::new(PACK), board(world));
    poll_until(world, &mut driver, 15_000, |_| {});
    assert_eq!(world.gates.get(), (Switch::Closed, Switch::Closed), "{:?}", driver.status().alarms);
    driver
}

#[test]
fn the_core_and_its_driver_may_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Bms>();
    assert_send::<Driver<NotFitted>>();
}

#[test]
fn a_small_board_needs_three_ports() {
    let world = World::new();
    let port = Port(&world);
    let mut driver = Driver::new(Bms::new(PACK), Board::new(port, port, port));
    poll_until(&world, &mut driver, 15_000, |_| {});
    assert_eq!(world.gates.get(), (Switch::Closed, Switch::Closed));
}

#[test]
fn x21_an_emergency_stop_need_not_wait_for_a_sample() {
    let world = World::new();
    let mut driver = running(&world);
    driver.request(Request::EmergencyStop).unwrap();
    assert_eq!(world.gates.get(), (Switch::Closed, Switch::Closed), "a request alone does nothing");
    let step = driver.poll_now();
    assert_eq!(world.gates.get(), (Switch::Open, Switch::Open));
    assert_eq!((step.at, step.command.power), (world.now(), PowerState::Hold));
}

#[test]
fn law1_the_first_step_writes_the_safe_state_before_any_sample() {
    let world = World::new();
    world.gates.set((Switch::Closed, Switch::Closed));
    world.stuck.set(true);
    let mut driver = Driver::new(Bms::new(PACK), board(&world));
    let step = driver.poll().unwrap();
    assert_eq!(world.gates.get(), (Switch::Open, Switch::Open));
    assert!(step.watchdog.is_some());
    assert_eq!(driver.poll().unwrap_err(), nb::Error::WouldBlock, "deadlines count from here");
}

#[test]
fn polling_between_samples_does_nothing() {
    let world = World::new();
    let mut driver = running(&world);
    while driver.poll().is_err() {
        world.pass(1);
    }
    let writes = world.written.borrow().len();
    assert_eq!(driver.poll().unwrap_err(), nb::Error::WouldBlock);
    assert_eq!(world.written.borrow().len(), writes);
}

#[test]
fn x01_a_stuck_sampler_is_stepped_over_at_the_deadline_and_opens_the_pack() {
    let world = World::new();
    let mut driver = running(&world);
    world.stuck.set(true);
    let silent = world.now.get();
    let trace = poll_until(&world, &mut driver, silent + 2_000, |_| {});
    assert!(!trace.is_empty());
    let opened = trace.iter().find(|(_, command, ..)| !command.charge.is_closed()).expect("never opened");
    assert!(opened.0.as_millis() - silent <= 1_000 + SAMPLE_PERIOD, "opened at {opened:?}");
    assert_eq!(world.gates.get().0, Switch::Open);
    assert!(trace.iter().all(|(_, _, fed, _)| *fed), "a dead sensor must not reboot the board for ever");
}

#[test]
fn a_late_sample_costs_one_lost_step_and_no_switch() {
    let world = World::new();
    let mut driver = running(&world);
    let last = world.delivered.get();
    let trace = poll_until(&world, &mut driver, last + 10 * SAMPLE_PERIOD, |world| {
        world.stuck.set(world.now.get() < last + 250);
    });
    let times: Vec<_> = trace.iter().map(|(at, ..)| at.as_millis() - last).collect();
    assert_eq!(times[..3], [200, 250, 350], "stepped without a sample at the deadline, then as it came");
    assert_eq!(openings(&trace), 0);
    assert!(trace.iter().all(|(_, _, fed, _)| *fed));
}

#[test]
fn x20_a_step_that_comes_far_too_late_earns_no_token() {
    let world = World::new();
    let mut driver = running(&world);
    world.pass(20_000);
    let step = driver.poll().unwrap();
    assert!(step.watchdog.is_none());
    assert!(!step.command.charge.is_closed() && !step.command.discharge.is_closed());
}

#[test]
fn a_step_whose_writes_outlast_the_deadline_earns_no_token() {
    let world = World::new();
    let mut driver = running(&world);
    world.write_time.set(20_000);
    while world.write_time.get() > 0 {
        match driver.poll() {
            Ok(step) => {
                assert!(step.watchdog.is_none());
                world.write_time.set(0);
            }
            Err(_) => world.pass(1),
        }
    }
}

#[test]
fn a_failing_output_reaches_the_next_step_and_keeps_no_other_from_being_written() {
    let world = World::new();
    let mut driver = running(&world);
    world.failing.set(Some("switches"));
    world.written.borrow_mut().clear();
    let end = world.now.get() + 3 * SAMPLE_PERIOD;
    let trace = poll_until(&world, &mut driver, end, |_| {});
    assert!(driver.status().alarms.contains(Alarm::OutputFailed));
    assert!(!trace.last().unwrap().1.discharge.is_closed());
    assert_eq!(world.written.borrow()[..3], ["switches", "heater", "power"], "the switches first, the supply last");
}

#[test]
fn a_failing_sampler_is_input_not_silence() {
    let world = World::new();
    let mut driver = running(&world);
    world.sampler_error.set(Some(ErrorKind::Integrity));
    let trace = poll_until(&world, &mut driver, world.now.get() + 2_000, |_| {});
    assert!(!trace.last().unwrap().1.charge.is_closed());
    assert!(driver.status().alarms.contains(Alarm::CellDataLost));
    assert!(trace.iter().all(|(_, _, fed, _)| *fed));
}
