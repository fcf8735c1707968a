//! The same middleware for async ports. A silent sampler waits until its fault is over; the driver's deadline ends that.

use std::future::pending;

use bms_core::balancing::{BalancerCapabilities, Plan};
use bms_core::command::{Beep, Expiring, LinkLed, Power, ScanMode, Switch};
use bms_core::measurement::{Cells, Feedback, Group, Inputs, Sample, Temperatures};
use bms_core::port::asynch::{self, Timer};
use bms_core::port::{Clock, ErrorKind};
use bms_core::time::Instant;
use bms_core::units::{Current, Voltage};

use super::port::Order;
use super::{Delivery, Faulty, InjectedError, Output};

impl<P: Timer, C: Clock, const N: usize> Timer for Faulty<P, C, N> {
    async fn wait_until(&self, at: Instant) {
        // A clock that tells a wrong time also wakes at a wrong one.
        loop {
            let told = Clock::now(self);
            if told >= at {
                return;
            }
            self.port.wait_until(self.port.now().after(at.since(told))).await;
        }
    }
}

impl<P: asynch::Sampler<N>, C: Clock, const N: usize> asynch::Sampler<N> for Faulty<P, C, N> {
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), Self::Error> {
        loop {
            self.port.sample(mode, sample).await.map_err(InjectedError::Port)?;
            match self.bend(sample) {
                Delivery::Delivered => return Ok(()),
                Delivery::Failed(kind) => return Err(InjectedError::Injected(kind)),
                Delivery::Nothing => {}
            }
        }
    }
}

/// The value, or the injected error; a silent port stays silent.
async fn delivered<T, E>(bent: nb::Result<T, ErrorKind>) -> Result<T, InjectedError<E>> {
    match bent {
        Ok(value) => Ok(value),
        Err(nb::Error::Other(kind)) => Err(InjectedError::Injected(kind)),
        Err(nb::Error::WouldBlock) => pending().await,
    }
}

impl<P: asynch::CellSense<N>, C: Clock, const N: usize> asynch::CellSense<N> for Faulty<P, C, N> {
    async fn cells(&mut self, cells: &mut Cells<N>) -> Result<(), Self::Error> {
        self.port.cells(cells).await.map_err(InjectedError::Port)?;
        let measured = Group::at(self.clock.now(), *cells);
        let bent = self.bend_group(measured, |sample, group| sample.cells = group, |sample| sample.cells);
        *cells = delivered(bent).await?;
        Ok(())
    }
}

macro_rules! sense {
    ($($trait:ident::$method:ident -> $value:ty, $group:ident;)*) => {
        $(impl<P: asynch::$trait, C: Clock, const N: usize> asynch::$trait for Faulty<P, C, N> {
            async fn $method(&mut self) -> Result<$value, Self::Error> {
                let value = self.port.$method().await.map_err(InjectedError::Port)?;
                let measured = Group::at(self.clock.now(), value);
                let bent = self.bend_group(measured, |sample, group| sample.$group = group, |sample| sample.$group);
                delivered(bent).await
            }
        })*
    };
}

sense! {
    CurrentSense::current -> Current, current;
    VoltageSense::voltage -> Voltage, stack;
    TemperatureSense::temperatures -> Temperatures, temperatures;
    FeedbackSense::feedback -> Feedback, feedback;
    InputSense::inputs -> Inputs, inputs;
}

macro_rules! output {
    ($($trait:ident::$method:ident($($argument:ident: $kind:ty),*), $order:ident;)*) => {
        $(impl<P: asynch::$trait, C: Clock, const N: usize> asynch::$trait for Faulty<P, C, N> {
            async fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error> {
                match self.admit(Output::$trait, Order::$order($($argument),*)).map_err(InjectedError::Injected)? {
                    Some(Order::$order($($argument),*)) => {
                        self.port.$method($($argument),*).await.map_err(InjectedError::Port)
                    }
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

impl<P: asynch::Balancer, C: Clock, const N: usize> asynch::Balancer for Faulty<P, C, N> {
    fn capabilities(&self) -> BalancerCapabilities {
        self.port.capabilities()
    }
    async fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error> {
        match self.admit(Output::Balancer, Order::Plan(*plan)).map_err(InjectedError::Injected)? {
            Some(Order::Plan(plan)) => self.port.apply(&plan).await.map_err(InjectedError::Port),
            _ => Ok(()),
        }
    }
}
