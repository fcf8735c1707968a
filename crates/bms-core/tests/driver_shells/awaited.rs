//! The awaited shell: dropped futures, and the same commands as the polled one.

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

/// Faults at set times, the same for each run.
fn trouble(world: &World) {
    let now = world.now.get();
    world.cell.set(if (20_000..30_000).contains(&now) { mv(3_700) } else { mv(3_300) });
    world.stuck.set((40_000..44_000).contains(&now));
    world.failing.set((50_000..51_000).contains(&now).then_some("switches"));
    world.sampler_error.set((60_000..63_000).contains(&now).then_some(ErrorKind::Integrity));
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
