//! The shell that is polled.

use core::convert::Infallible;

use super::{Board, Driver, FirstError, Step};
use crate::balancing::{BalancerCapabilities, Strategy};
use crate::command::{Command, ScanMode};
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::measurement::{Input, Sample};
use crate::port::{self, Error, ErrorKind};
use crate::time::Instant;

/// What a driver does with blocking ports. Every [`Board`] of blocking ports has it; nothing else can.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a `Board` whose ports are all blocking")]
pub trait Ports<const N: usize>: sealed::Sealed {
    /// The time now.
    fn now(&self) -> Instant;
    /// What the balancer can do.
    fn capabilities(&self) -> BalancerCapabilities;
    /// Asks the sampler.
    ///
    /// # Errors
    /// `WouldBlock` while nothing is new; else what the sampler reports.
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), ErrorKind>;
    /// Writes a command to every output, also after one of them has failed. The switches come first, so that no slow
    /// bus delays their opening and precharging hands over without a gap; the supply is let go only at the end.
    ///
    /// # Errors
    /// The first error; that output's state is unknown.
    fn apply(&mut self, command: &Command) -> Result<(), ErrorKind>;
}

pub(super) mod sealed {
    /// Keeps [`super::Ports`] to boards.
    pub trait Sealed {}
}

impl<A, W, C, B, H, P, S, L, I> sealed::Sealed for Board<A, W, C, B, H, P, S, L, I> {}

impl<const N: usize, A, W, C, B, H, P, S, L, I> Ports<N> for Board<A, W, C, B, H, P, S, L, I>
where
    A: port::Sampler<N>,
    W: port::Switches,
    C: port::Clock,
    B: port::Balancer,
    H: port::Heater,
    P: port::Precharge,
    S: port::Power,
    L: port::LastResort,
    I: port::Indicator,
{
    fn now(&self) -> Instant {
        self.clock.now()
    }
    fn capabilities(&self) -> BalancerCapabilities {
        self.balancer.capabilities()
    }
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), ErrorKind> {
        self.sampler.sample(mode, sample).map_err(|error| error.map(|error| error.kind()))
    }
    fn apply(&mut self, command: &Command) -> Result<(), ErrorKind> {
        let mut first = FirstError::default();
        first.note(self.switches.apply(command.charge, command.discharge, command.clear_latch));
        first.note(self.precharge.precharge(command.precharge));
        first.note(self.balancer.apply(&command.balance));
        first.note(self.heater.heat(command.heater));
        first.note(self.last_resort.fire(command.last_resort));
        first.note(self.indicator.indicate(command.beep, command.link_led));
        first.note(self.power.power(command.power));
        first.result()
    }
}

impl<B: Ports<N>, const N: usize, E: Estimator, S: Strategy, F: Fittings> Driver<B, N, E, S, F> {
    /// Does one step if there is something to do: a new sample, a sampler that failed, or a deadline that has passed
    /// with the sampler still silent. The last two count as "every channel lost in this step". The very first step
    /// comes at once and without a sample: it writes the safe state to every output, and deadlines count from it.
    ///
    /// Call it at least every few milliseconds, or whenever an interrupt may have brought something.
    ///
    /// # Errors
    /// Only `WouldBlock`: nothing to do now.
    pub fn poll(&mut self) -> nb::Result<Step, Infallible> {
        if self.is_first() {
            return Ok(self.poll_now());
        }
        let mut sample = Sample::new();
        let gathered = self.board.sample(self.bms.command().scan, &mut sample);
        let now = self.board.now();
        let input = match gathered {
            Ok(()) => Input::Sample(&sample),
            Err(nb::Error::Other(kind)) => Input::Lost(kind),
            Err(nb::Error::WouldBlock) if now >= self.bms.deadline() => Input::Lost(ErrorKind::Timeout),
            Err(nb::Error::WouldBlock) => return Err(nb::Error::WouldBlock),
        };
        Ok(self.act(now, input))
    }

    /// Does one step now, without a sample, so that a request takes effect at once: above all an emergency stop (X21).
    /// It closes nothing.
    pub fn poll_now(&mut self) -> Step {
        let now = self.board.now();
        self.act(now, Input::Tick)
    }

    fn act(&mut self, now: Instant, input: Input<'_, N>) -> Step {
        self.bms.set_balancer(self.board.capabilities());
        let command = self.bms.step(now, input);
        let written = self.board.apply(&command);
        self.finish(now, written, self.board.now())
    }
}
