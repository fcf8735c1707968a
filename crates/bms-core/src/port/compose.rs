//! A sampler made of small sense ports, each read at its own rate.
//!
//! ```text
//! cells        every 100 ms ─┐
//! current      every  10 ms ─┼─► Senses ─► Sample: what is new, each group with its own time
//! temperatures every 1000 ms ┘
//! ```
//! The ports are read one after the other, in the order of the fields of [`Sample`]. A reading that fails makes its
//! group `Failed` and is tried again a period later; the other groups are not touched. A polled port that stays busy
//! leaves its group `NotMeasured` until the core's stale rule acts (X01). An async port that hangs delays the others:
//! the driver's deadline ends the wait, with every channel lost for that step. A board that must read the current while
//! a slow cell scan waits implements [`Sampler`] itself.

use core::convert::Infallible;

#[cfg(feature = "async")]
use super::asynch;
use super::blocking::{CellSense, CurrentSense, FeedbackSense, InputSense, Sampler, TemperatureSense, VoltageSense};
use super::{Clock, ErrorType, NotFitted};
use crate::balancing::BalancerCapabilities;
use crate::command::ScanMode;
use crate::measurement::{Cells, Feedback, Group, Sample};
use crate::time::{Duration, Instant};
use crate::units::Current;

/// One sense port and when to read it.
#[derive(Clone, Copy, Debug)]
struct Channel<P> {
    port: P,
    period: Duration,
    /// When it is read next; `None` for a port that is not fitted.
    due: Option<Instant>,
}

impl Channel<NotFitted> {
    const NOT_FITTED: Self = Self { port: NotFitted, period: Duration::ZERO, due: None };
}

impl<P> Channel<P> {
    const fn new(port: P, period: Duration) -> Self {
        Self { port, period, due: Some(Instant::ZERO) }
    }
    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
    /// Keeps the rhythm; after a pause it starts anew instead of catching up.
    fn advance<T>(&mut self, now: Instant, group: &Group<T>) {
        if let (Some(due), Group::Failed | Group::Measured { .. }) = (self.due, group) {
            let period = self.period.max(Duration::from_millis(1));
            let next = due.after(period);
            self.due = Some(if next > now { next } else { now.after(period) });
        }
    }
    /// Reads a polled port if it is due.
    fn poll<T, E>(
        &mut self,
        now: Instant,
        clock: &impl Clock,
        read: impl FnOnce(&mut P) -> nb::Result<T, E>,
    ) -> Group<T> {
        if !self.is_due(now) {
            return Group::NotMeasured;
        }
        match read(&mut self.port) {
            Ok(value) => Group::at(clock.now(), value),
            Err(nb::Error::WouldBlock) => Group::NotMeasured,
            Err(nb::Error::Other(_)) => Group::Failed,
        }
    }
    /// Reads an async port if it is due.
    #[cfg(feature = "async")]
    async fn read<T, E>(
        &mut self,
        now: Instant,
        clock: &impl Clock,
        read: impl AsyncFnOnce(&mut P) -> Result<T, E>,
    ) -> Group<T> {
        if !self.is_due(now) {
            return Group::NotMeasured;
        }
        read(&mut self.port).await.map_or(Group::Failed, |value| Group::at(clock.now(), value))
    }
}

/// A [`Sampler`] made of small sense ports, each with its own period (at least 1 ms). All of them are blocking, or all
/// are async (feature `async`).
///
/// ```
/// # use bms_core::port::{CellSense, Clock, compose::Senses};
/// # use bms_core::prelude::ms;
/// # fn sampler<C: Clock>(clock: C, cell_chip: impl CellSense<24>, shunt: impl bms_core::port::CurrentSense)
/// # -> impl bms_core::port::Sampler<24> {
/// Senses::new(clock).with_cells(cell_chip, ms(100)).with_current(shunt, ms(10))
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Senses<
    Clock,
    Cells = NotFitted,
    Current = NotFitted,
    Temperatures = NotFitted,
    Stack = NotFitted,
    Terminal = NotFitted,
    Feedback = NotFitted,
    Inputs = NotFitted,
> {
    clock: Clock,
    cells: Channel<Cells>,
    current: Channel<Current>,
    temperatures: Channel<Temperatures>,
    stack: Channel<Stack>,
    terminal: Channel<Terminal>,
    feedback: Channel<Feedback>,
    inputs: Channel<Inputs>,
    quiet: QuietScan,
}

/// Watches that cells called quiet were scanned with the balancer off and settled (D04).
#[derive(Clone, Copy, Debug)]
struct QuietScan {
    settle_time: Duration,
    /// While a quiet scan is wanted: from when the cells are free of the balancer's drops.
    settled_at: Option<Instant>,
    /// When the scan that is running began.
    began: Option<Instant>,
}

impl QuietScan {
    /// Hears what is wanted. Gives the time of the next scan when that has just become a quiet one.
    fn want(&mut self, mode: ScanMode, now: Instant) -> Option<Instant> {
        match (mode, self.settled_at) {
            (ScanMode::Any, _) => self.settled_at = None,
            (ScanMode::Quiet, Some(_)) => {}
            (ScanMode::Quiet, None) => {
                self.settled_at = Some(now.after(self.settle_time));
                return self.settled_at;
            }
        }
        None
    }
    /// The scan is over. Whether it was quiet from its start.
    fn finish(&mut self) -> bool {
        let began = self.began.take();
        self.settled_at.is_some_and(|settled| began.is_some_and(|began| began >= settled))
    }
}

impl<Clock> Senses<Clock> {
    /// No port yet; add them with the `with_` functions.
    pub const fn new(clock: Clock) -> Self {
        Self {
            clock,
            cells: Channel::NOT_FITTED,
            current: Channel::NOT_FITTED,
            temperatures: Channel::NOT_FITTED,
            stack: Channel::NOT_FITTED,
            terminal: Channel::NOT_FITTED,
            feedback: Channel::NOT_FITTED,
            inputs: Channel::NOT_FITTED,
            quiet: QuietScan { settle_time: BalancerCapabilities::MANUAL.settle_time, settled_at: None, began: None },
        }
    }
}

/// Writes `with_field`: the same sampler with another port, hence another type.
macro_rules! with {
    ($(#[$doc:meta])* $method:ident, $field:ident, [$($kept:ident)*], [$($result:ident)*]) => {
        $(#[$doc])*
        pub fn $method<X>(self, port: X, period: Duration) -> Senses<$($result),*> {
            let Self { $($kept,)* $field: _ } = self;
            Senses { $($kept,)* $field: Channel::new(port, period) }
        }
    };
}

impl<C, K, A, T, S, M, F, I> Senses<C, K, A, T, S, M, F, I> {
    with!(
        /// Adds the cells ([`CellSense`]).
        with_cells, cells, [clock current temperatures stack terminal feedback inputs quiet], [C X A T S M F I]
    );
    with!(
        /// Adds the pack current ([`CurrentSense`]).
        with_current, current, [clock cells temperatures stack terminal feedback inputs quiet], [C K X T S M F I]
    );
    with!(
        /// Adds the temperatures ([`TemperatureSense`]).
        with_temperatures, temperatures, [clock cells current stack terminal feedback inputs quiet], [C K A X S M F I]
    );
    with!(
        /// Adds B+…B− before the switches ([`VoltageSense`]).
        with_stack, stack, [clock cells current temperatures terminal feedback inputs quiet], [C K A T X M F I]
    );
    with!(
        /// Adds the pack's terminals behind the switches ([`VoltageSense`]).
        with_terminal, terminal, [clock cells current temperatures stack feedback inputs quiet], [C K A T S X F I]
    );
    with!(
        /// Adds what the balancer says of itself ([`FeedbackSense`]); it is read after every scan of the cells, too.
        /// Without it the balancer counts as quiet when it was ordered off and its settling time has passed, and as one
        /// without a store.
        with_feedback, feedback, [clock cells current temperatures stack terminal inputs quiet], [C K A T S M X I]
    );
    with!(
        /// Adds the digital inputs ([`InputSense`]).
        with_inputs, inputs, [clock cells current temperatures stack terminal feedback quiet], [C K A T S M F X]
    );
    /// Sets the time from "balancer off" until the cells are free of its drops; else 20 ms.
    #[must_use]
    pub const fn with_settle_time(mut self, settle_time: Duration) -> Self {
        self.quiet.settle_time = settle_time;
        self
    }

    /// Before the ports are read: a quiet scan that is wanted anew is due once the balancer has settled, not before.
    fn prepare(&mut self, mode: ScanMode, now: Instant) {
        if let Some(settled) = self.quiet.want(mode, now) {
            self.cells.due = self.cells.due.map(|_| settled);
        }
    }
    /// After the cells were read: whether their scan was a quiet one; `None` if there was none. A balancer with a word
    /// of its own is asked for it now.
    fn finish_scan<const N: usize>(&mut self, now: Instant, group: &Group<Cells<N>>) -> Option<bool> {
        if matches!(group, Group::NotMeasured) {
            return None;
        }
        if self.feedback.due.is_some() {
            self.feedback.due = Some(now);
        }
        Some(self.quiet.finish())
    }
    /// What is said of the balancer: its own word as far as the scan bears it out. One without a word was ordered off
    /// whenever a quiet scan is wanted.
    fn judge(&self, group: Group<Feedback>, quiet: Option<bool>, now: Instant) -> Group<Feedback> {
        match (group, quiet) {
            (Group::Measured { at, value }, _) => {
                Group::at(at, Feedback { quiet: quiet == Some(true) && value.quiet, ..value })
            }
            (Group::NotMeasured, Some(quiet)) if self.feedback.due.is_none() && self.quiet.settled_at.is_some() => {
                Group::at(now, Feedback { balance_current: Current::ZERO, quiet, store_empty: true })
            }
            (Group::NotMeasured | Group::Failed, _) => group,
        }
    }
    /// After the ports were read: when to read them next, and whether there is anything to deliver. A scan that began
    /// too early to be quiet is repeated at once. Only here, so that an async call that was dropped half-way measures
    /// all of it again.
    fn advance<const N: usize>(&mut self, now: Instant, sample: &Sample<N>, quiet: Option<bool>) -> bool {
        self.cells.advance(now, &sample.cells);
        let measured = matches!(sample.cells, Group::Measured { .. });
        if measured && self.quiet.settled_at.is_some() && quiet == Some(false) {
            self.cells.due = Some(now);
        }
        self.current.advance(now, &sample.current);
        self.temperatures.advance(now, &sample.temperatures);
        self.stack.advance(now, &sample.stack);
        self.terminal.advance(now, &sample.terminal);
        self.feedback.advance(now, &sample.feedback);
        self.inputs.advance(now, &sample.inputs);
        *sample != Sample::new()
    }
    /// When the next port is due.
    #[cfg(feature = "async")]
    fn next_due(&self) -> Instant {
        [
            self.cells.due,
            self.current.due,
            self.temperatures.due,
            self.stack.due,
            self.terminal.due,
            self.feedback.due,
            self.inputs.due,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Instant::from_millis(u64::MAX))
    }
}

impl<C, K, A, T, S, M, F, I> ErrorType for Senses<C, K, A, T, S, M, F, I> {
    /// A failure concerns its group only.
    type Error = Infallible;
}

impl<const N: usize, C, K, A, T, S, M, F, I> Sampler<N> for Senses<C, K, A, T, S, M, F, I>
where
    C: Clock,
    K: CellSense<N>,
    A: CurrentSense,
    T: TemperatureSense,
    S: VoltageSense,
    M: VoltageSense,
    F: FeedbackSense,
    I: InputSense,
{
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), Infallible> {
        let now = self.clock.now();
        *sample = Sample::new();
        self.prepare(mode, now);
        if self.cells.is_due(now) {
            self.quiet.began.get_or_insert(now);
        }
        let clock = &self.clock;
        sample.cells = self.cells.poll(now, clock, |port| {
            let mut cells = Cells::default();
            port.cells(&mut cells).map(|()| cells)
        });
        sample.current = self.current.poll(now, clock, A::current);
        sample.temperatures = self.temperatures.poll(now, clock, T::temperatures);
        sample.stack = self.stack.poll(now, clock, S::voltage);
        sample.terminal = self.terminal.poll(now, clock, M::voltage);
        let quiet = self.finish_scan(now, &sample.cells);
        let feedback = self.feedback.poll(now, &self.clock, F::feedback);
        sample.feedback = self.judge(feedback, quiet, now);
        sample.inputs = self.inputs.poll(now, &self.clock, I::inputs);
        if self.advance(now, sample, quiet) { Ok(()) } else { Err(nb::Error::WouldBlock) }
    }
}

#[cfg(feature = "async")]
impl<const N: usize, C, K, A, T, S, M, F, I> asynch::Sampler<N> for Senses<C, K, A, T, S, M, F, I>
where
    C: asynch::Timer,
    K: asynch::CellSense<N>,
    A: asynch::CurrentSense,
    T: asynch::TemperatureSense,
    S: asynch::VoltageSense,
    M: asynch::VoltageSense,
    F: asynch::FeedbackSense,
    I: asynch::InputSense,
{
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), Infallible> {
        loop {
            let now = self.clock.now();
            *sample = Sample::new();
            self.prepare(mode, now);
            self.quiet.began = Some(now);
            let clock = &self.clock;
            sample.cells = self
                .cells
                .read(now, clock, async |port: &mut K| {
                    let mut cells = Cells::default();
                    port.cells(&mut cells).await.map(|()| cells)
                })
                .await;
            sample.current = self.current.read(now, clock, A::current).await;
            sample.temperatures = self.temperatures.read(now, clock, T::temperatures).await;
            sample.stack = self.stack.read(now, clock, S::voltage).await;
            sample.terminal = self.terminal.read(now, clock, M::voltage).await;
            let quiet = self.finish_scan(now, &sample.cells);
            let feedback = self.feedback.read(now, &self.clock, F::feedback).await;
            sample.feedback = self.judge(feedback, quiet, now);
            sample.inputs = self.inputs.read(now, &self.clock, I::inputs).await;
            if self.advance(now, sample, quiet) {
                return Ok(());
            }
            self.clock.wait_until(self.next_due()).await;
        }
    }
}
