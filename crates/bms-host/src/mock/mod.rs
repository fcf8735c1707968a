//! Every port of the core over one simulated pack, blocking and async, on a virtual clock.
//!
//! ```text
//!            ┌─ MockSampler, MockCells, MockCurrent, …   (measure)
//! MockPack ──┼─ MockClock                                (time)
//!            └─ MockSwitches, MockBalancer, MockHeater … (act)
//! ```
//! The mocks keep every MUST of the ports: the conformance kit says so in `tests/conformance.rs`.

mod asynch;
mod bench;
mod outputs;
mod rig;
mod senses;

pub use outputs::{MockBalancer, MockHeater, MockIndicator, MockLastResort, MockPower, MockPrecharge, MockSwitches};
pub use rig::{DriverRig, MockBoard};
pub use senses::{
    MockCells, MockClock, MockCurrent, MockFeedback, MockInputs, MockSampler, MockStack, MockTemperatures, MockTerminal,
};

use std::cell::{Cell, RefCell, RefMut};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bms_core::command::LinkLed;
use bms_core::time::{Duration, Instant};

use crate::plant::Plant;

/// A plant that several ports share. Clones are the same pack.
#[derive(Clone, Debug)]
pub struct MockPack(Rc<World>);

#[derive(Debug)]
struct World {
    plant: RefCell<Plant>,
    /// The earliest time for which anybody waits.
    wanted: Cell<Option<Instant>>,
    /// How often the buzzer was told to beep.
    beeps: Cell<u32>,
    link_led: Cell<LinkLed>,
    /// The connection to the measuring parts is cut.
    sensing_broken: Cell<bool>,
}

impl MockPack {
    /// Shares a plant.
    #[must_use]
    pub fn new(plant: Plant) -> Self {
        Self(Rc::new(World {
            plant: RefCell::new(plant),
            wanted: Cell::new(None),
            beeps: Cell::new(0),
            link_led: Cell::new(LinkLed::Off),
            sensing_broken: Cell::new(false),
        }))
    }
    /// The plant, to look at and to act on. Let it go before time passes.
    #[must_use]
    pub fn plant(&self) -> RefMut<'_, Plant> {
        self.0.plant.borrow_mut()
    }
    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.plant.borrow().now()
    }
    /// Lets virtual time pass.
    pub fn advance(&self, duration: Duration) {
        self.plant().advance(duration);
    }
    /// How often the buzzer was told to beep.
    #[must_use]
    pub fn beeps(&self) -> u32 {
        self.0.beeps.get()
    }
    /// Cuts the connection to the measuring parts, or mends it.
    pub fn set_sensing_broken(&self, broken: bool) {
        self.0.sensing_broken.set(broken);
    }
    /// What the link's LED shows.
    #[must_use]
    pub fn link_led(&self) -> LinkLed {
        self.0.link_led.get()
    }
    /// The clock.
    #[must_use]
    pub fn clock(&self) -> MockClock {
        MockClock(self.clone())
    }
    /// Somebody waits for this time.
    fn want(&self, at: Instant) {
        let earliest = self.0.wanted.get().map_or(at, |other| other.min(at));
        self.0.wanted.set(Some(earliest));
    }
    /// Lets time pass to the earliest time that was wanted, at least 1 ms and at most to `end`.
    fn advance_to_wanted(&self, end: Instant) {
        let now = self.now();
        let to = self.0.wanted.take().unwrap_or(end).min(end).max(now.after(Duration::from_millis(1)));
        self.advance(to.since(now));
    }
    /// Runs a future in virtual time: whenever everything waits, time passes. `None` if it is not ready at `end`; it is
    /// dropped then.
    pub fn run<T>(&self, end: Instant, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            self.0.wanted.take();
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Some(value);
            }
            if self.now() >= end {
                return None;
            }
            self.advance_to_wanted(end);
        }
    }
}
