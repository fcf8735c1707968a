//! Middleware: a port with faults is a port.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bms_core::balancing::{BalancerCapabilities, Plan};
use bms_core::command::{Beep, Expiring, LinkLed, Power, ScanMode, Switch};
use bms_core::measurement::{Cells, Feedback, Group, Inputs, Sample, Temperatures};
use bms_core::port::{self, Clock, Error, ErrorKind, ErrorType};
use bms_core::time::Instant;
use bms_core::units::{Current, Voltage};

use super::{Delivery, Fault, FaultKind, FaultList, Output, SampleFaults, Write};

/// One list of faults for all ports that it wraps. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct FaultControl(Rc<RefCell<FaultList>>);

impl FaultControl {
    /// No faults yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.0.borrow_mut().add(fault);
    }
    /// Ends every fault of this kind.
    pub fn end(&self, kind: FaultKind, now: Instant) {
        self.0.borrow_mut().end(kind, now);
    }
    /// Forgets all.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
    /// Wraps a port. Noise comes from the seed.
    pub fn wrap<P, C: Clone, const N: usize>(&self, port: P, clock: &C, seed: u64) -> Faulty<P, C, N> {
        Faulty {
            port,
            clock: clock.clone(),
            control: self.clone(),
            samples: SampleFaults::new(seed),
            waiting: VecDeque::new(),
        }
    }
}

/// A port with faults. It has every trait of the port inside, blocking and async.
#[derive(Clone, Debug)]
pub struct Faulty<P, C, const N: usize = 24> {
    pub(super) port: P,
    pub(super) clock: C,
    control: FaultControl,
    samples: SampleFaults<N>,
    /// Slow writes on their way.
    waiting: VecDeque<(Instant, Order)>,
}

impl<P, C, const N: usize> Faulty<P, C, N> {
    /// The port inside.
    pub const fn inner(&mut self) -> &mut P {
        &mut self.port
    }
}

/// The error of a port with faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedError<E> {
    /// A fault of the list.
    Injected(ErrorKind),
    /// The port itself.
    Port(E),
}

impl<E: Error> Error for InjectedError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Injected(kind) => *kind,
            Self::Port(error) => error.kind(),
        }
    }
}

impl<P: ErrorType, C, const N: usize> ErrorType for Faulty<P, C, N> {
    type Error = InjectedError<P::Error>;
}

/// A write, kept for later.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Switches(Switch, Switch, bool),
    Plan(Plan),
    Heater(Expiring),
    Precharge(Expiring),
    Power(Power),
    LastResort(Switch),
    Indicate(Beep, LinkLed),
}

impl<P, C: Clock, const N: usize> Faulty<P, C, N> {
    /// What of a write is carried out now, if anything.
    pub(super) fn admit(&mut self, output: Output, order: Order) -> Result<Option<Order>, ErrorKind> {
        let now = self.clock.now();
        let fate = self.control.0.borrow().write(output, now);
        match fate {
            Write::Done => {
                self.waiting.clear();
                Ok(Some(order))
            }
            Write::Fails(kind) => Err(kind),
            Write::Ignored => Ok(None),
            Write::Slow(by) => {
                self.waiting.push_back((now.after(by), order));
                let mut due = None;
                while let Some((at, waiting)) = self.waiting.front().copied()
                    && at <= now
                {
                    due = Some(waiting);
                    self.waiting.pop_front();
                }
                Ok(due)
            }
        }
    }
    /// Bends a sample that the port has delivered.
    pub(super) fn bend(&mut self, sample: &mut Sample<N>) -> Delivery {
        let now = self.clock.now();
        self.samples.apply(&self.control.0.borrow(), now, sample)
    }
    /// Bends one group that a small sense port has delivered.
    pub(super) fn bend_group<T>(
        &mut self,
        group: Group<T>,
        place: impl FnOnce(&mut Sample<N>, Group<T>),
        take: impl FnOnce(Sample<N>) -> Group<T>,
    ) -> nb::Result<T, ErrorKind> {
        let mut sample = Sample::new();
        place(&mut sample, group);
        match self.bend(&mut sample) {
            Delivery::Failed(kind) => return Err(nb::Error::Other(kind)),
            Delivery::Nothing => return Err(nb::Error::WouldBlock),
            Delivery::Delivered => {}
        }
        match take(sample) {
            Group::Measured { value, .. } => Ok(value),
            Group::Failed => Err(nb::Error::Other(ErrorKind::Bus)),
            Group::NotMeasured => Err(nb::Error::WouldBlock),
        }
    }
}

pub(super) fn port_error<E>(error: nb::Error<E>) -> nb::Error<InjectedError<E>> {
    error.map(InjectedError::Port)
}

impl<P: Clock, C: Clock, const N: usize> Clock for Faulty<P, C, N> {
    fn now(&self) -> Instant {
        self.control.0.borrow().clock(self.port.now())
    }
}

impl<P: port::Sampler<N>, C: Clock, const N: usize> port::Sampler<N> for Faulty<P, C, N> {
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), Self::Error> {
        self.port.sample(mode, sample).map_err(port_error)?;
        match self.bend(sample) {
            Delivery::Delivered => Ok(()),
            Delivery::Failed(kind) => Err(nb::Error::Other(InjectedError::Injected(kind))),
            Delivery::Nothing => Err(nb::Error::WouldBlock),
        }
    }
}

impl<P: port::CellSense<N>, C: Clock, const N: usize> port::CellSense<N> for Faulty<P, C, N> {
    fn cells(&mut self, cells: &mut Cells<N>) -> nb::Result<(), Self::Error> {
        self.port.cells(cells).map_err(port_error)?;
        let measured = Group::at(self.clock.now(), *cells);
        *cells = self
            .bend_group(measured, |sample, group| sample.cells = group, |sample| sample.cells)
            .map_err(|error| error.map(InjectedError::Injected))?;
        Ok(())
    }
}

macro_rules! sense {
    ($($trait:ident::$method:ident -> $value:ty, $group:ident;)*) => {
        $(impl<P: port::$trait, C: Clock, const N: usize> port::$trait for Faulty<P, C, N> {
            fn $method(&mut self) -> nb::Result<$value, Self::Error> {
                let measured = Group::at(self.clock.now(), self.port.$method().map_err(port_error)?);
                self.bend_group(measured, |sample, group| sample.$group = group, |sample| sample.$group)
                    .map_err(|error| error.map(InjectedError::Injected))
            }
        })*
    };
}

// A single voltage counts as the stack's.
sense! {
    CurrentSense::current -> Current, current;
    VoltageSense::voltage -> Voltage, stack;
    TemperatureSense::temperatures -> Temperatures, temperatures;
    FeedbackSense::feedback -> Feedback, feedback;
    InputSense::inputs -> Inputs, inputs;
}

macro_rules! output {
    ($($trait:ident::$method:ident($($argument:ident: $kind:ty),*), $order:ident;)*) => {
        $(impl<P: port::$trait, C: Clock, const N: usize> port::$trait for Faulty<P, C, N> {
            fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error> {
                match self.admit(Output::$trait, Order::$order($($argument),*)).map_err(InjectedError::Injected)? {
                    Some(Order::$order($($argument),*)) => self.port.$method($($argument),*).map_err(InjectedError::Port),
                    _ => Ok(()),
                }
            }
        })*
    };
}

output! {
    Switches::apply(charge: Switch, discharge: Switch, clear_latch: bool), Switches;
    Heater::heat(state: Expiring), Heater;
    Precharge::precharge(state: Expiring), Precharge;
    Power::power(state: Power), Power;
    LastResort::fire(state: Switch), LastResort;
    Indicator::indicate(beep: Beep, link_led: LinkLed), Indicate;
}

impl<P: port::Balancer, C: Clock, const N: usize> port::Balancer for Faulty<P, C, N> {
    fn capabilities(&self) -> BalancerCapabilities {
        self.port.capabilities()
    }
    fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error> {
        match self.admit(Output::Balancer, Order::Plan(*plan)).map_err(InjectedError::Injected)? {
            Some(Order::Plan(plan)) => self.port.apply(&plan).map_err(InjectedError::Port),
            _ => Ok(()),
        }
    }
}
