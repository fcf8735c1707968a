//! The two drivers: late and stuck samplers, failing outputs, dropped futures, watchdog tokens, equal commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

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

/// Faults at set times, the same for each run.
fn trouble(world: &World) {
    let now = world.now.get();
    world.cell.set(if (20_000..30_000).contains(&now) { mv(3_700) } else { mv(3_300) });
    world.stuck.set((40_000..44_000).contains(&now));
    world.failing.set((50_000..51_000).contains(&now).then_some("switches"));
    world.sampler_error.set((60_000..63_000).contains(&now).then_some(ErrorKind::Integrity));
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

#[test]
fn small_sense_ports_compose_into_a_sampler_with_rates_of_their_own() {
    let world = World::new();
    let port = Port(&world);
    let mut senses = Senses::new(port)
        .with_cells(port, ms(100))
        .with_current(port, ms(10))
        .with_temperatures(port, secs(1))
        .with_stack(port, ms(100));
    let mut counts = [0_u32; 3];
    while world.now.get() < 11_000 {
        let mut sample = Sample::<24>::new();
        if port::Sampler::sample(&mut senses, ScanMode::Any, &mut sample).is_ok() {
            counts[0] += u32::from(matches!(sample.cells, Group::Measured { .. }));
            counts[1] += u32::from(matches!(sample.current, Group::Measured { .. }));
            counts[2] += u32::from(matches!(sample.temperatures, Group::Measured { .. }));
            assert!(matches!(sample.terminal, Group::NotMeasured), "no such port is fitted");
        }
        world.pass(1);
    }
    assert_eq!(counts, [100, 1_000, 10]);
}

#[test]
fn one_failing_sense_port_costs_only_its_group() {
    let world = World::new();
    let port = Port(&world);
    world.sampler_error.set(Some(ErrorKind::Bus));
    let mut senses = Senses::new(port).with_cells(port, ms(100)).with_current(port, ms(100));
    let mut sample = Sample::<24>::new();
    port::Sampler::sample(&mut senses, ScanMode::Any, &mut sample).unwrap();
    assert_eq!(sample.current, Group::Failed);
    assert!(matches!(sample.cells, Group::Measured { .. }));
    assert!(port::Sampler::sample(&mut senses, ScanMode::Any, &mut sample).is_err(), "tried again only a period later");
}

#[test]
fn d04_a_quiet_scan_waits_for_the_balancer_to_settle() {
    let world = World::new();
    let port = Port(&world);
    let mut senses = Senses::new(port).with_cells(port, ms(100)).with_settle_time(ms(30));
    let mut sample = Sample::<24>::new();
    port::Sampler::sample(&mut senses, ScanMode::Any, &mut sample).unwrap();
    assert!(matches!(sample.feedback, Group::NotMeasured));
    let wanted = world.now.get();
    while port::Sampler::sample(&mut senses, ScanMode::Quiet, &mut sample).is_err() {
        world.pass(1);
    }
    assert_eq!(world.now.get(), wanted + 30);
    let Group::Measured { value, .. } = sample.feedback else { panic!("no feedback") };
    assert!(value.quiet && matches!(sample.cells, Group::Measured { .. }));
}

/// Cells whose conversion takes a while, as a delta-sigma converter's does.
struct SlowCells<'a> {
    world: &'a World,
    ready_at: Option<u64>,
}

impl ErrorType for SlowCells<'_> {
    type Error = ErrorKind;
}

impl port::CellSense for SlowCells<'_> {
    fn cells(&mut self, cells: &mut Cells<24>) -> nb::Result<(), ErrorKind> {
        let now = self.world.now.get();
        if now < *self.ready_at.get_or_insert(now + 5) {
            return Err(nb::Error::WouldBlock);
        }
        self.ready_at = None;
        *cells = self.world.cells();
        Ok(())
    }
}

#[test]
fn d04_a_scan_that_began_before_the_balancer_was_off_is_not_quiet() {
    let world = World::new();
    let port = Port(&world);
    let slow = SlowCells { world: &world, ready_at: None };
    let mut senses = Senses::new(port).with_cells(slow, ms(100)).with_settle_time(ms(30));
    let mut sample = Sample::<24>::new();
    assert!(port::Sampler::sample(&mut senses, ScanMode::Any, &mut sample).is_err(), "the conversion has begun");
    let mut next = || {
        while port::Sampler::sample(&mut senses, ScanMode::Quiet, &mut sample).is_err() {
            world.pass(1);
        }
        let Group::Measured { value, .. } = sample.feedback else { panic!("no feedback") };
        (world.now.get(), value.quiet)
    };
    assert_eq!(next(), (1_030, false), "begun too early");
    assert_eq!(next(), (1_035, true));
}

#[cfg(feature = "async")]
mod awaited {
    use core::future::{Future, pending};
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use bms_core::driver::asynch;
    use bms_core::port::asynch::{self as ports, Blocking, Polled};
    use proptest::prelude::*;

    use super::*;

    impl ports::Timer for Port<'_> {
        async fn wait_until(&self, at: Instant) {
            core::future::poll_fn(|_| if self.0.now() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
        }
    }

    /// Awaits as slowly as a bus does, and knows when it is dropped half-way.
    struct HalfRead<'a>(&'a World);
    impl<'a> HalfRead<'a> {
        fn begin(world: &'a World) -> Self {
            world.half_read.set(world.half_read.get() + 1);
            Self(world)
        }
    }
    impl Drop for HalfRead<'_> {
        fn drop(&mut self) {
            self.0.half_read.set(self.0.half_read.get() - 1);
        }
    }

    /// An async sampler that takes a fresh sample each time, the last step of it after a wait.
    struct SlowSampler<'a>(&'a World);
    impl ErrorType for SlowSampler<'_> {
        type Error = ErrorKind;
    }
    impl ports::Sampler for SlowSampler<'_> {
        async fn sample(&mut self, _: ScanMode, sample: &mut Sample) -> Result<(), ErrorKind> {
            let _guard = HalfRead::begin(self.0);
            if self.0.stuck.get() {
                return pending().await;
            }
            ports::Timer::wait_until(&Port(self.0), self.0.now().after(ms(100))).await;
            let Ok(taken) = self.0.sample() else { panic!("the world is ready") };
            *sample = taken;
            Ok(())
        }
    }

    macro_rules! same_in_async {
        ($($name:ident::$method:ident -> $value:ty;)*) => {
            $(impl ports::$name for Port<'_> {
                async fn $method(&mut self) -> Result<$value, ErrorKind> {
                    port::$name::$method(self).map_err(|error| match error {
                        nb::Error::Other(kind) => kind,
                        nb::Error::WouldBlock => panic!("these never block"),
                    })
                }
            })*
        };
    }
    same_in_async! {
        CurrentSense::current -> Current;
        TemperatureSense::temperatures -> Temperatures;
        VoltageSense::voltage -> Voltage;
    }
    impl ports::CellSense for Port<'_> {
        async fn cells(&mut self, cells: &mut Cells<24>) -> Result<(), ErrorKind> {
            *cells = self.0.cells();
            Ok(())
        }
    }

    /// The whole executor: polls, and lets a millisecond pass while nothing is ready. `None` after `end`.
    fn run<T>(world: &World, end: u64, mut change: impl FnMut(&World), future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        while world.now.get() < end {
            change(world);
            match future.as_mut().poll(&mut context) {
                Poll::Ready(value) => return Some(value),
                Poll::Pending => world.pass(1),
            }
        }
        None
    }

    fn await_until<B: asynch::Ports<24>>(
        world: &World,
        driver: &mut Driver<B>,
        end: u64,
        mut change: impl FnMut(&World),
    ) -> Trace {
        let mut trace = Trace::new();
        while let Some(step) = run(world, end, &mut change, driver.step()) {
            note(&mut trace, step, driver);
        }
        trace
    }

    #[test]
    fn both_shells_give_the_same_commands_whatever_happens() {
        let polled = World::new();
        let mut driver = Driver::new(Bms::new(PACK), board(&polled));
        let first = poll_until(&polled, &mut driver, 70_000, trouble);

        let awaited = World::new();
        let port = Port(&awaited);
        let sampler = Polled { sampler: port, timer: port, period: ms(1) };
        let board = Board::new(sampler, Blocking(port), port).with_heater(Blocking(port)).with_power(Blocking(port));
        let mut driver = Driver::new(Bms::new(PACK), board);
        let second = await_until(&awaited, &mut driver, 70_000, trouble);

        assert_eq!(openings(&first), 4, "over-voltage, silence, failed writes, failed readings");
        for (one, other) in first.iter().zip(&second) {
            assert_eq!(one, other);
        }
        assert_eq!(first.len(), second.len());
        assert_eq!(polled.written.borrow().len(), awaited.written.borrow().len());
    }

    /// One thing that happens to the world.
    #[derive(Clone, Copy, Debug)]
    enum Change {
        Cell(i32),
        Stuck(bool),
        SamplerError(Option<ErrorKind>),
        Failing(Option<&'static str>),
        WriteTime(u64),
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => (2_000..4_400).prop_map(Change::Cell),
            2 => any::<bool>().prop_map(Change::Stuck),
            2 => prop_oneof![Just(None), Just(Some(ErrorKind::Bus))].prop_map(Change::SamplerError),
            2 => prop_oneof![Just(None), Just(Some("switches")), Just(Some("heater"))].prop_map(Change::Failing),
            1 => (0..700_u64).prop_map(Change::WriteTime),
        ]
    }

    /// Carries out what has come due, each change once.
    fn timeline(changes: &[(u64, Change)]) -> impl FnMut(&World) {
        let mut at = 1_000;
        let mut rest = changes.iter().map(move |(pause, change)| {
            at += pause;
            (at, *change)
        });
        let mut next = rest.next();
        move |world| {
            while let Some((_, change)) = next.filter(|(due, _)| *due <= world.now.get()) {
                match change {
                    Change::Cell(millivolts) => world.cell.set(mv(millivolts)),
                    Change::Stuck(stuck) => world.stuck.set(stuck),
                    Change::SamplerError(error) => world.sampler_error.set(error),
                    Change::Failing(output) => world.failing.set(output),
                    Change::WriteTime(time) => world.write_time.set(time),
                }
                next = rest.next();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
        #[test]
        fn both_shells_give_the_same_commands_in_any_world(
            changes in proptest::collection::vec((0..4_000_u64, any_change()), 0..24),
        ) {
            let polled = World::new();
            let mut driver = Driver::new(Bms::new(PACK), board(&polled));
            let first = poll_until(&polled, &mut driver, 50_000, timeline(&changes));

            let awaited = World::new();
            let port = Port(&awaited);
            let sampler = Polled { sampler: port, timer: port, period: ms(1) };
            let board = Board::new(sampler, Blocking(port), port).with_heater(Blocking(port)).with_power(Blocking(port));
            let mut driver = Driver::new(Bms::new(PACK), board);
            let second = await_until(&awaited, &mut driver, 50_000, timeline(&changes));

            // The last step may end beyond the end.
            let length = first.len().min(second.len());
            prop_assert!(length > 0 && first.len().abs_diff(second.len()) <= 1);
            prop_assert_eq!(&first[..length], &second[..length]);
        }
    }

    #[test]
    fn both_shells_give_the_same_commands_with_a_composed_sampler() {
        fn senses(port: Port<'_>) -> Senses<Port<'_>, Port<'_>, Port<'_>, Port<'_>, Port<'_>> {
            Senses::new(port)
                .with_cells(port, ms(100))
                .with_current(port, ms(20))
                .with_temperatures(port, secs(1))
                .with_stack(port, ms(100))
        }
        let polled = World::new();
        let port = Port(&polled);
        let mut driver = Driver::new(Bms::new(PACK), Board::new(senses(port), port, port));
        let first = poll_until(&polled, &mut driver, 70_000, trouble);

        let awaited = World::new();
        let port = Port(&awaited);
        let mut driver = Driver::new(Bms::new(PACK), Board::new(senses(port), Blocking(port), port));
        let second = await_until(&awaited, &mut driver, 70_000, trouble);

        assert!(openings(&first) >= 3, "over-voltage, failed writes, a failed shunt");
        assert_eq!(first.len(), second.len());
        for (one, other) in first.iter().zip(&second) {
            assert_eq!(one, other);
        }
    }

    #[test]
    fn x01_a_stuck_async_sampler_is_dropped_at_the_deadline() {
        let world = World::new();
        let port = Port(&world);
        let mut driver = Driver::new(Bms::new(PACK), Board::new(SlowSampler(&world), Blocking(port), port));
        await_until(&world, &mut driver, 15_000, |_| {});
        assert_eq!(world.gates.get(), (Switch::Closed, Switch::Closed));
        world.stuck.set(true);
        let trace = await_until(&world, &mut driver, 17_000, |_| {});
        assert_eq!(world.half_read.get(), 0, "the pending reading was dropped");
        assert!(!trace.last().unwrap().1.charge.is_closed());
        world.stuck.set(false);
        await_until(&world, &mut driver, 40_000, |_| {});
        assert_eq!(world.gates.get(), (Switch::Closed, Switch::Closed), "and the sampler works again");
    }

    #[test]
    fn a_step_dropped_while_it_waits_changes_nothing() {
        let world = World::new();
        let port = Port(&world);
        let mut driver = Driver::new(Bms::new(PACK), Board::new(SlowSampler(&world), Blocking(port), port));
        await_until(&world, &mut driver, 15_000, |_| {});
        let before = driver.bms().command();
        for _ in 0..5 {
            assert!(run(&world, world.now.get() + 10, |_| {}, driver.step()).is_none());
            assert_eq!(world.half_read.get(), 0);
        }
        assert_eq!(driver.bms().command(), before);
        let step = run(&world, world.now.get() + 200, |_| {}, driver.step()).expect("goes on");
        assert_eq!(step.command, before);
        assert!(step.watchdog.is_some());
    }

    /// Switches whose bus hangs in the middle of a write.
    struct HangingSwitches<'a>(&'a World);
    impl ErrorType for HangingSwitches<'_> {
        type Error = ErrorKind;
    }
    impl ports::Switches for HangingSwitches<'_> {
        async fn apply(&mut self, charge: Switch, discharge: Switch, _: bool) -> Result<(), ErrorKind> {
            if self.0.failing.get().is_some() {
                return pending().await;
            }
            self.0.gates.set((charge, discharge));
            Ok(())
        }
    }

    #[test]
    fn a_step_dropped_while_it_writes_counts_as_a_failed_write() {
        let world = World::new();
        let port = Port(&world);
        let mut driver = Driver::new(Bms::new(PACK), Board::new(SlowSampler(&world), HangingSwitches(&world), port));
        await_until(&world, &mut driver, 15_000, |_| {});
        assert_eq!(world.gates.get(), (Switch::Closed, Switch::Closed));
        world.failing.set(Some("switches"));
        assert!(run(&world, world.now.get() + 500, |_| {}, driver.step()).is_none());
        world.failing.set(None);
        let step = run(&world, world.now.get() + 500, |_| {}, driver.step()).expect("goes on");
        assert!(driver.status().alarms.contains(Alarm::OutputFailed));
        assert!(!step.command.discharge.is_closed());
    }

    #[test]
    fn run_hands_each_step_to_its_caller() {
        let world = World::new();
        let port = Port(&world);
        let mut driver = Driver::new(Bms::new(PACK), Board::new(SlowSampler(&world), Blocking(port), port));
        let (mut fed, mut events) = (0, 0);
        let end = world.now.get() + 10_000;
        run(&world, end, |_| {}, async {
            driver
                .run(|step, bms| {
                    fed += u32::from(step.watchdog.is_some());
                    while bms.poll_event().is_some() {
                        events += 1;
                    }
                })
                .await
        });
        assert!(fed >= 99, "{fed}");
        assert!(events > 0);
    }
}
