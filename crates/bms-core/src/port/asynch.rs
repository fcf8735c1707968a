//! The async twins of the blocking ports, for executors such as Embassy and RTIC.
//!
//! Names, error types and **rules are those of the blocking traits** ([`crate::port`]); each trait here says only what
//! waiting adds. Three rules hold for every one of them. An implementation MUST
//! 1. be safe to drop at any `await`: a dropped reading is as if it was never begun, no half of it turns up in a later
//!    one, and the port stays usable; a dropped write may have been carried out or not, but nothing in between,
//! 2. end by itself, with [`ErrorKind::Timeout`](super::ErrorKind::Timeout) if nothing else: a future that waits for ever on a dead bus stops the
//!    whole board, and only the watchdog helps then,
//! 3. need no other task to be polled first, unless that one never waits for this.
//!
//! There are no `Send` bounds: on bare metal one core runs the executor. [`Blocking`] makes an async output of a
//! blocking one, [`Polled`] an async sampler of a polled one.
#![allow(async_fn_in_trait, reason = "no Send bound is wanted: executors on bare metal share one core")]

use core::convert::Infallible;
use core::future::pending;

use super::{Clock, ErrorType, NotFitted};
use crate::balancing::{BalancerCapabilities, Plan};
use crate::command::{Beep, Expiring, LinkLed, Power as PowerState, ScanMode, Switch};
use crate::measurement::{Cells, Feedback, Inputs, Sample, Temperatures};
use crate::port;
use crate::time::{Duration, Instant};
use crate::units::{Current, Voltage};

/// A clock that can be waited for.
///
/// An implementation MUST also
/// 1. be ready at once for a time that has passed,
/// 2. never be ready early,
/// 3. serve two waits at the same time: the driver waits for its deadline while the sampler waits for its next reading.
pub trait Timer: Clock {
    /// Waits until that time.
    async fn wait_until(&self, at: Instant);
}

impl<T: Timer + ?Sized> Timer for &T {
    async fn wait_until(&self, at: Instant) {
        T::wait_until(self, at).await;
    }
}

/// Gathers all groups of a [`Sample`]. Rules: [`port::Sampler`]; where that one would block, this one waits.
pub trait Sampler<const N: usize = 24>: ErrorType {
    /// Waits until something is new and fills `sample` with it. What a dropped call had gathered is lost, and is
    /// measured again.
    ///
    /// # Errors
    /// Loses every channel for this step (`Input::Lost`).
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), Self::Error>;
}

impl<const N: usize, T: Sampler<N> + ?Sized> Sampler<N> for &mut T {
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), Self::Error> {
        T::sample(self, mode, sample).await
    }
}

/// Measures the cell voltages. Rules: [`port::CellSense`].
pub trait CellSense<const N: usize = 24>: ErrorType {
    /// Reads all cells into `cells`.
    ///
    /// # Errors
    /// Makes the group `Failed`.
    async fn cells(&mut self, cells: &mut Cells<N>) -> Result<(), Self::Error>;
}

impl<const N: usize, T: CellSense<N> + ?Sized> CellSense<N> for &mut T {
    async fn cells(&mut self, cells: &mut Cells<N>) -> Result<(), Self::Error> {
        T::cells(self, cells).await
    }
}

impl<const N: usize> CellSense<N> for NotFitted {
    async fn cells(&mut self, _: &mut Cells<N>) -> Result<(), Infallible> {
        pending().await
    }
}

macro_rules! sense {
    ($(#[$doc:meta])* $name:ident, $method:ident -> $value:ty) => {
        $(#[$doc])*
        #[doc = concat!("Rules: [`port::", stringify!($name), "`].")]
        pub trait $name: ErrorType {
            /// Takes one reading.
            ///
            /// # Errors
            /// Whatever kept it from being taken; the group is then `Failed`.
            async fn $method(&mut self) -> Result<$value, Self::Error>;
        }
        impl<T: $name + ?Sized> $name for &mut T {
            async fn $method(&mut self) -> Result<$value, Self::Error> {
                T::$method(self).await
            }
        }
        impl $name for NotFitted {
            async fn $method(&mut self) -> Result<$value, Infallible> {
                pending().await
            }
        }
    };
}

sense!(
    /// Measures the pack current.
    CurrentSense, current -> Current
);
sense!(
    /// Measures one voltage (stack or terminal).
    VoltageSense, voltage -> Voltage
);
sense!(
    /// Measures the temperatures.
    TemperatureSense, temperatures -> Temperatures
);
sense!(
    /// Tells what the balancer does now.
    FeedbackSense, feedback -> Feedback
);
sense!(
    /// Reads the digital inputs. While this fails nothing closes; what is
    /// closed stays closed.
    InputSense, inputs -> Inputs
);

macro_rules! output {
    ($(#[$doc:meta])* $name:ident { $(#[$method_doc:meta])* $method:ident($($argument:ident: $kind:ty),*) }) => {
        $(#[$doc])*
        #[doc = concat!("Rules: [`port::", stringify!($name), "`].")]
        pub trait $name: ErrorType {
            $(#[$method_doc])*
            ///
            /// # Errors
            /// The output's state is unknown then; the core is told and keeps demanding.
            async fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error>;
        }
        impl<T: $name + ?Sized> $name for &mut T {
            async fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error> {
                T::$method(self, $($argument),*).await
            }
        }
        impl<T: port::$name> $name for Blocking<T> {
            async fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error> {
                self.0.$method($($argument),*)
            }
        }
    };
}

macro_rules! optional_output {
    ($($name:ident::$method:ident($($kind:ty),*);)*) => {
        $(impl $name for NotFitted {
            async fn $method(&mut self, $(_: $kind),*) -> Result<(), Infallible> {
                Ok(())
            }
        })*
    };
}

output!(
    /// The charge and discharge switches with their short-circuit latch (D09). The critical section is held only while
    /// pins are written, never across an `await`.
    Switches {
        /// Drives both switches.
        apply(charge: Switch, discharge: Switch, clear_latch: bool)
    }
);
output!(
    /// The heater.
    Heater {
        /// Switches the heater.
        heat(state: Expiring)
    }
);
output!(
    /// The precharge path.
    Precharge {
        /// Switches the path.
        precharge(state: Expiring)
    }
);
output!(
    /// The hold of the BMS's own supply.
    Power {
        /// Holds or releases the supply.
        power(state: PowerState)
    }
);
output!(
    /// The last resort: a fuse or main contactor (X10).
    LastResort {
        /// Fires it when `Closed`.
        fire(state: Switch)
    }
);
output!(
    /// LED and buzzer.
    Indicator {
        /// Beeps once, without waiting for the end, and drives the link's LED from now on.
        indicate(beep: Beep, link_led: LinkLed)
    }
);

optional_output! {
    Heater::heat(Expiring);
    Precharge::precharge(Expiring);
    Power::power(PowerState);
    LastResort::fire(Switch);
    Indicator::indicate(Beep, LinkLed);
}

/// Moves or burns energy between cells as a [`Plan`] says. Rules: [`port::Balancer`].
pub trait Balancer: ErrorType {
    /// What it can do; known without asking the hardware.
    fn capabilities(&self) -> BalancerCapabilities;
    /// Carries out a plan from now on.
    ///
    /// # Errors
    /// The plan is not possible or the hardware failed; the balancer is off or on its way there.
    async fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error>;
}

impl<T: Balancer + ?Sized> Balancer for &mut T {
    fn capabilities(&self) -> BalancerCapabilities {
        T::capabilities(self)
    }
    async fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error> {
        T::apply(self, plan).await
    }
}

impl Balancer for NotFitted {
    fn capabilities(&self) -> BalancerCapabilities {
        Self::CAPABILITIES
    }
    async fn apply(&mut self, _: &Plan) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A blocking output as an async one, for those that take no time: pins, registers.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<T>(
    /// The blocking port.
    pub T,
);

impl<T: ErrorType> ErrorType for Blocking<T> {
    type Error = T::Error;
}

impl<T: port::Balancer> Balancer for Blocking<T> {
    fn capabilities(&self) -> BalancerCapabilities {
        self.0.capabilities()
    }
    async fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error> {
        self.0.apply(plan)
    }
}

/// A polled sampler as an async one: asked at once, then every `period`.
///
/// For boards whose sampler exists only in the polled form, and for running one sampler through both shells.
#[derive(Clone, Copy, Debug)]
pub struct Polled<T, C> {
    /// The polled sampler.
    pub sampler: T,
    /// What to wait with.
    pub timer: C,
    /// How often to ask; at least 1 ms.
    pub period: Duration,
}

impl<T: ErrorType, C> ErrorType for Polled<T, C> {
    type Error = T::Error;
}

impl<const N: usize, T: port::Sampler<N>, C: Timer> Sampler<N> for Polled<T, C> {
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), Self::Error> {
        loop {
            match self.sampler.sample(mode, sample) {
                Ok(()) => return Ok(()),
                Err(nb::Error::Other(error)) => return Err(error),
                Err(nb::Error::WouldBlock) => {}
            }
            let pause = self.period.max(Duration::from_millis(1));
            self.timer.wait_until(self.timer.now().after(pause)).await;
        }
    }
}
