//! The drivers: two thin shells around one [`Bms`], one that is polled and one that is awaited.
//!
//! ```text
//!  sampler ─► Input ─► Bms::step ─► Command ─► switches, precharge, balancer, heater, last resort, power, indicator
//!     ▲         ▲                                   │ first error
//!  scan mode    └── Lost, when past the deadline    └──► Bms::output_result ─► the next step
//! ```
//! Everything else is shared: the [`Board`], the order of the writes, when a step earns a [`WatchdogToken`]. So both
//! shells give the same commands for the same measurements at the same times.
//!
//! ```
//! # use bms_core::driver::WatchdogToken;
//! # use bms_core::port::{Clock, Sampler, Switches};
//! # use bms_core::prelude::*;
//! # fn firmware(
//! #     switches: impl Switches, sampler: impl Sampler, clock: impl Clock,
//! #     feed: impl Fn(WatchdogToken), wait_for_interrupt: impl Fn(), log: impl Fn(Event),
//! # ) -> ! {
//! const PACK: ValidConfig =
//!     const { Config::lifepo4(8).with_model(Model::B2a8s20p).with_capacity(ah(280)).validated() };
//! let mut driver = Driver::new(Bms::new(PACK), Board::new(sampler, switches, clock));
//! loop {
//!     match driver.poll() {
//!         Ok(step) => step.watchdog.map_or((), &feed),
//!         Err(_nothing_to_do) => wait_for_interrupt(),
//!     }
//!     while let Some(event) = driver.poll_event() {
//!         log(event);
//!     }
//! }
//! # }
//! ```
//! # What a firmware still does
//! * make the ports (the switches' first), restore what was stored: `Bms::restore`,
//! * feed the hardware watchdog with the token of each step, and with nothing else,
//! * drain the events after each step.

#[cfg(feature = "async")]
pub mod asynch;
mod blocking;
mod board;

pub use blocking::Ports;
pub use board::Board;

use crate::balancing::{Quota, Strategy};
use crate::bms::{Bms, Refusal, Request};
use crate::command::Command;
use crate::estimation::{CoulombCounter, Estimator};
use crate::event::Event;
use crate::fittings::{AllFitted, Fittings};
use crate::port::{Error, ErrorKind};
use crate::status::Status;
use crate::time::Instant;

/// Runs a [`Bms`] on a [`Board`].
///
/// It is polled by [`Driver::poll`] where the board's ports are blocking, and awaited by `Driver::step` (feature
/// `async`) where they are async.
#[derive(Debug)]
pub struct Driver<B, const N: usize = 24, E = CoulombCounter, S = Quota<N>, F: Fittings = AllFitted> {
    bms: Bms<N, E, S, F>,
    board: B,
}

/// What one step did.
#[derive(Debug)]
pub struct Step {
    /// The time of the step.
    pub at: Instant,
    /// What was ordered, and has been written to the ports.
    pub command: Command,
    /// Leave to feed the watchdog; `None` if the step was late or an integrity check is bad.
    pub watchdog: Option<WatchdogToken>,
}

/// Leave to feed the hardware watchdog once.
///
/// Only a driver makes one, and only for a step that was completed, on time, with the integrity checks good, whatever
/// alarms are active: a lost sensor must not reboot the board for ever, but a core that hangs, runs late, or no longer
/// trusts its own limits must (X20).
#[must_use = "feed the watchdog with it"]
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WatchdogToken(());

impl<B, const N: usize, E: Estimator, S: Strategy, F: Fittings> Driver<B, N, E, S, F> {
    /// Joins core and board. Writes nothing: the ports' constructors have made every output safe already.
    pub const fn new(bms: Bms<N, E, S, F>, board: B) -> Self {
        Self { bms, board }
    }
    /// The next event, if there is one.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.bms.poll_event()
    }
    /// Everything that a display shows.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        self.bms.status()
    }
    /// Asks for something; it takes effect in the next step.
    ///
    /// # Errors
    /// Why not.
    pub fn request(&mut self, request: Request) -> Result<(), Refusal> {
        self.bms.request(request)
    }
    /// The core.
    #[must_use]
    pub const fn bms(&self) -> &Bms<N, E, S, F> {
        &self.bms
    }
    /// The core, to be changed: parameters, configuration, what was stored.
    #[must_use]
    pub const fn bms_mut(&mut self) -> &mut Bms<N, E, S, F> {
        &mut self.bms
    }
    /// The board.
    #[must_use]
    pub const fn board(&self) -> &B {
        &self.board
    }
    /// The board, for what lies outside the ports.
    #[must_use]
    pub const fn board_mut(&mut self) -> &mut B {
        &mut self.board
    }
    /// Whether the core was never stepped: its deadline lies at the start of time until then.
    fn is_first(&self) -> bool {
        self.bms.deadline() == Instant::ZERO
    }
    /// Ends a step: the core hears how the writes went, and the watchdog may be fed if all is well.
    fn finish(&mut self, at: Instant, written: Result<(), ErrorKind>, finished: Instant) -> Step {
        self.bms.output_result(written);
        let on_time = at <= finished && finished <= self.bms.deadline();
        let watchdog = (on_time && self.bms.is_healthy()).then_some(WatchdogToken(()));
        Step { at, command: self.bms.command(), watchdog }
    }
}

/// Keeps the first error of several writes; a later one never hides it, nor does an error keep the rest from being
/// written.
#[derive(Default)]
struct FirstError(Option<ErrorKind>);

impl FirstError {
    fn note<E: Error>(&mut self, written: Result<(), E>) {
        if let (None, Err(error)) = (self.0, &written) {
            self.0 = Some(error.kind());
        }
    }
    fn result(self) -> Result<(), ErrorKind> {
        self.0.map_or(Ok(()), Err)
    }
}
