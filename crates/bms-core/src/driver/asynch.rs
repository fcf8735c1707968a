//! The shell that is awaited. It needs no executor: whatever polls the future drives the pack.
//!
//! As every `async fn`, these panic when polled again after they are ready. No executor does that, but a linked image
//! therefore holds that one panic, which the blocking shell's does not.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use super::blocking::sealed::Sealed;
use super::{Board, FirstError, Step};
use crate::balancing::{BalancerCapabilities, Strategy};
use crate::bms::Bms;
use crate::command::{Command, ScanMode};
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::measurement::{Input, Sample};
use crate::port::{Error, ErrorKind, asynch as port};
use crate::time::Instant;

/// The one driver; with async ports it has [`Driver::step`] and [`Driver::run`].
pub use super::Driver;

/// What a driver does with async ports. Every [`Board`] of async ports has it; nothing else can.
#[allow(async_fn_in_trait, reason = "sealed, and no Send bound is wanted: executors on bare metal share one core")]
#[diagnostic::on_unimplemented(message = "`{Self}` is not a `Board` whose ports are all async")]
pub trait Ports<const N: usize>: Sealed {
    /// The time now.
    fn now(&self) -> Instant;
    /// What the balancer can do.
    fn capabilities(&self) -> BalancerCapabilities;
    /// Waits for the sampler, but not beyond the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] at the deadline; else what the sampler reports.
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>, deadline: Instant) -> Result<(), ErrorKind>;
    /// Writes a command to every output, in the order of the blocking [`Ports::apply`](super::Ports::apply).
    ///
    /// # Errors
    /// The first error; that output's state is unknown.
    async fn apply(&mut self, command: &Command) -> Result<(), ErrorKind>;
}

impl<const N: usize, A, W, C, B, H, P, S, L, I> Ports<N> for Board<A, W, C, B, H, P, S, L, I>
where
    A: port::Sampler<N>,
    W: port::Switches,
    C: port::Timer,
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
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>, deadline: Instant) -> Result<(), ErrorKind> {
        match before(self.sampler.sample(mode, sample), self.clock.wait_until(deadline)).await {
            Some(gathered) => gathered.map_err(|error| error.kind()),
            None => Err(ErrorKind::Timeout),
        }
    }
    async fn apply(&mut self, command: &Command) -> Result<(), ErrorKind> {
        let mut first = FirstError::default();
        first.note(self.switches.apply(command.charge, command.discharge, command.clear_latch).await);
        first.note(self.precharge.precharge(command.precharge).await);
        first.note(self.balancer.apply(&command.balance).await);
        first.note(self.heater.heat(command.heater).await);
        first.note(self.last_resort.fire(command.last_resort).await);
        first.note(self.indicator.indicate(command.beep, command.link_led).await);
        first.note(self.power.power(command.power).await);
        first.result()
    }
}

/// What `work` gives, or `None` if `limit` is over first; `work` is dropped then. When both are ready, `work` wins, as
/// in the polled shell.
async fn before<T>(work: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(limit);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => limit.as_mut().poll(context).map(|()| None),
    })
    .await
}

impl<B: Ports<N>, const N: usize, E: Estimator, S: Strategy, F: Fittings> Driver<B, N, E, S, F> {
    /// Does one step as soon as there is something to do; see [`Driver::poll`].
    ///
    /// Dropping the future while it waits for the sampler changes nothing. Dropping it while outputs are written leaves
    /// some of them unwritten: the core takes that as a failed write, and the next step writes them all again.
    pub async fn step(&mut self) -> Step {
        if self.is_first() {
            return self.step_now().await;
        }
        let at = {
            let mut sample = Sample::new();
            let gathered = self.board.sample(self.bms.command().scan, &mut sample, self.bms.deadline()).await;
            let input = match gathered {
                Ok(()) => Input::Sample(&sample),
                Err(kind) => Input::Lost(kind),
            };
            self.decide_now(input)
        };
        self.write(at).await
    }

    /// Does one step now, without a sample; see [`Driver::poll_now`]. To use it while a step waits for the sampler, drop
    /// that step first.
    pub async fn step_now(&mut self) -> Step {
        let at = self.decide_now(Input::Tick);
        self.write(at).await
    }

    /// Lets the core decide; gives the time of the step. Not async, so that no future carries the sample any further.
    fn decide_now(&mut self, input: Input<'_, N>) -> Instant {
        let at = self.board.now();
        self.bms.set_balancer(self.board.capabilities());
        self.bms.step(at, input);
        at
    }

    async fn write(&mut self, at: Instant) -> Step {
        let command = self.bms.command();
        // Holds if this future is dropped before the writes are done.
        self.bms.output_result(Err(ErrorKind::Timeout));
        let written = self.board.apply(&command).await;
        let finished = self.board.now();
        self.finish(at, written, finished)
    }

    /// Steps for ever. After each step `each` may feed the watchdog, drain the events, record, and pass on requests.
    pub async fn run(&mut self, mut each: impl FnMut(Step, &mut Bms<N, E, S, F>)) -> ! {
        loop {
            let step = self.step().await;
            each(step, &mut self.bms);
        }
    }
}
