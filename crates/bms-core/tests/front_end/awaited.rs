//! The async half of the adapter, and both drivers over the chip.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use bms_core::port::asynch as ports;

use super::*;

/// A transfer that takes its time: the bus works in the background, and is asked again.
async fn transfer() {
    let mut begun = false;
    poll_fn(|context| {
        if core::mem::replace(&mut begun, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl FrontEnd<'_> {
    async fn read_later<const L: usize>(&self, register: u8) -> Result<[u8; L], ChipError> {
        transfer().await;
        self.read(register)
    }
    async fn write_later(&self, register: u8, data: &[u8]) -> Result<(), ChipError> {
        transfer().await;
        self.write(register, data)
    }
}

impl ports::Timer for FrontEnd<'_> {
    async fn wait_until(&self, at: Instant) {
        poll_fn(|_| if self.now() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}
impl ports::CellSense for FrontEnd<'_> {
    async fn cells(&mut self, cells: &mut Cells<24>) -> Result<(), ChipError> {
        decode::cells(&self.read_later::<CELL_BYTES>(register::CELLS).await?, cells)
    }
}
impl ports::CurrentSense for FrontEnd<'_> {
    async fn current(&mut self) -> Result<Current, ChipError> {
        decode::current(&self.read_later::<3>(register::CURRENT).await?)
    }
}
impl ports::TemperatureSense for FrontEnd<'_> {
    async fn temperatures(&mut self) -> Result<Temperatures, ChipError> {
        decode::temperatures(&self.read_later::<7>(register::TEMPERATURES).await?)
    }
}
impl ports::InputSense for FrontEnd<'_> {
    async fn inputs(&mut self) -> Result<Inputs, ChipError> {
        let status = self.read_later::<2>(register::STATUS).await?;
        let latched = decode::checked(&status)?[0] & register::SHORT_LATCHED != 0;
        Ok(Inputs { short_circuit: latched, ..Inputs::default() })
    }
}
impl ports::Switches for FrontEnd<'_> {
    async fn apply(&mut self, charge: Switch, discharge: Switch, clear_latch: bool) -> Result<(), ChipError> {
        let data = decode::switches(charge, discharge, clear_latch);
        self.write_later(register::SWITCHES, &data).await?;
        let answer = self.read_later::<2>(register::SWITCHES).await?;
        Self::verify(data[0], &answer, &self.read_later::<2>(register::STATUS).await?)
    }
}
impl ports::Balancer for FrontEnd<'_> {
    fn capabilities(&self) -> BalancerCapabilities {
        CAPABILITIES
    }
    async fn apply(&mut self, plan: &Plan) -> Result<(), ChipError> {
        let (data, possible) = decode::bleed(plan, self.now());
        self.write_later(register::BLEED, &data).await?;
        possible
    }
}

/// Polls the future; a bus transfer takes no virtual time, everything else a millisecond a poll. `None` after `end`.
fn run<T>(bus: &RefCell<Chip>, end: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let now = bus.borrow().now.get();
        if now >= end {
            return None;
        }
        live(bus);
        // As often as there are transfers in a step, and once more.
        for _ in 0..16 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Some(value);
            }
        }
        bus.borrow().now.set(now + 1);
    }
}

fn await_until(bus: &RefCell<Chip>, driver: &mut Driver<impl bms_core::driver::asynch::Ports<24>>, end: u64) -> Trace {
    core::iter::from_fn(|| run(bus, end, driver.step())).map(|step| (step.at, step.command)).collect()
}

#[test]
fn both_drivers_run_the_chip_alike() {
    let polled = RefCell::new(Chip::new());
    let chip = FrontEnd::new(&polled).unwrap();
    let board = Board::new(sampler(chip), chip, chip).with_balancer(chip);
    let first = poll_until(&polled, &mut Driver::new(Bms::new(PACK), board), 110_000);

    let awaited = RefCell::new(Chip::new());
    let chip = FrontEnd::new(&awaited).unwrap();
    let board = Board::new(sampler(chip), chip, chip).with_balancer(chip);
    let second = await_until(&awaited, &mut Driver::new(Bms::new(PACK), board), 110_000);

    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one, other);
    }
    assert_eq!(first.len(), second.len());
    assert_eq!(polled.borrow().transfers, awaited.borrow().transfers);
}

#[test]
fn a_step_dropped_between_two_transfers_leaves_the_chip_usable() {
    let bus = RefCell::new(Chip::new());
    let chip = FrontEnd::new(&bus).unwrap();
    let mut driver = Driver::new(Bms::new(PACK), Board::new(sampler(chip), chip, chip));
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..4 {
        let mut step = pin!(driver.step());
        for _ in 0..polls {
            assert!(step.as_mut().poll(&mut context).is_pending());
        }
    }
    let trace = await_until(&bus, &mut driver, 19_000);
    assert_eq!(closed(&trace, 18_900), (true, true));
    // All four groups were due and none of them was lost with the dropped steps.
    assert!(trace[0].0 < Instant::from_millis(1_005));
}
