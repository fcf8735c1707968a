//! Async ports in blocking clothes, so that one set of checks serves both.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bms_core::balancing::{BalancerCapabilities, Plan};
use bms_core::command::{Expiring, Power, ScanMode, Switch};
use bms_core::measurement::{Cells, Feedback, Inputs, Sample, Temperatures};
use bms_core::port::{self, ErrorType, asynch};
use bms_core::units::{Current, Voltage};

/// An async port as a blocking one.
///
/// What measures is polled **once** a call and dropped if it is not ready: the hardest use of the rule that a dropped
/// reading is as if it was never begun. What acts is polled until it is ready, as often as its hardware needs; a write
/// that never ends hangs the check, as it would hang the board.
#[derive(Clone, Copy, Debug)]
pub struct Awaited<P>(
    /// The async port.
    pub P,
);

fn poll_once<T, E>(future: impl Future<Output = Result<T, E>>) -> nb::Result<T, E> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map_err(nb::Error::Other),
        Poll::Pending => Err(nb::Error::WouldBlock),
    }
}

fn poll_through<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}

impl<P: ErrorType> ErrorType for Awaited<P> {
    type Error = P::Error;
}

impl<const N: usize, P: asynch::Sampler<N>> port::Sampler<N> for Awaited<P> {
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), P::Error> {
        poll_once(self.0.sample(mode, sample))
    }
}

impl<const N: usize, P: asynch::CellSense<N>> port::CellSense<N> for Awaited<P> {
    fn cells(&mut self, cells: &mut Cells<N>) -> nb::Result<(), P::Error> {
        poll_once(self.0.cells(cells))
    }
}

macro_rules! sense {
    ($($trait:ident::$method:ident -> $value:ty;)*) => {
        $(impl<P: asynch::$trait> port::$trait for Awaited<P> {
            fn $method(&mut self) -> nb::Result<$value, P::Error> {
                poll_once(self.0.$method())
            }
        })*
    };
}

sense! {
    CurrentSense::current -> Current;
    VoltageSense::voltage -> Voltage;
    TemperatureSense::temperatures -> Temperatures;
    FeedbackSense::feedback -> Feedback;
    InputSense::inputs -> Inputs;
}

macro_rules! output {
    ($($trait:ident::$method:ident($($argument:ident: $kind:ty),*);)*) => {
        $(impl<P: asynch::$trait> port::$trait for Awaited<P> {
            fn $method(&mut self, $($argument: $kind),*) -> Result<(), P::Error> {
                poll_through(self.0.$method($($argument),*))
            }
        })*
    };
}

output! {
    Switches::apply(charge: Switch, discharge: Switch, clear_latch: bool);
    Heater::heat(state: Expiring);
    Precharge::precharge(state: Expiring);
    Power::power(state: Power);
    LastResort::fire(state: Switch);
}

impl<P: asynch::Balancer> port::Balancer for Awaited<P> {
    fn capabilities(&self) -> BalancerCapabilities {
        self.0.capabilities()
    }
    fn apply(&mut self, plan: &Plan) -> Result<(), P::Error> {
        poll_through(self.0.apply(plan))
    }
}
