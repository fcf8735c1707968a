//! The blocking ports.

use super::ErrorType;
use crate::balancing::{BalancerCapabilities, Plan};
use crate::command::{Beep, Expiring, LinkLed, Power as PowerState, ScanMode, Switch};
use crate::measurement::{Cells, Feedback, Inputs, Sample, Temperatures};
use crate::time::Instant;
use crate::units::{Current, Voltage};

/// A monotonic clock.
///
/// An implementation MUST
/// 1. never go back and never stop, also in sleep modes that the firmware uses,
/// 2. never wrap: extend a short timer,
/// 3. never fail and never block,
/// 4. tell time within 2 % of real time (trip delays follow it).
pub trait Clock {
    /// The time now.
    fn now(&self) -> Instant;
}

impl<T: Clock + ?Sized> Clock for &T {
    fn now(&self) -> Instant {
        T::now(self)
    }
}

/// Gathers all groups of a [`Sample`]; the one non-blocking port.
///
/// An implementation MUST
/// 1. fill `sample` only with what was measured since the last delivery, each group with the time of **its**
///    measurement, and leave the rest `NotMeasured`,
/// 2. report a reading that could not be taken as `Failed` or `Invalid`, never as the last or a made-up value,
/// 3. return [`nb::Error::WouldBlock`] while it has nothing new, and return promptly: no waiting inside,
/// 4. give cells in order, cell 1 at B−, and the number that the hardware really measures,
/// 5. give current positive when charging,
/// 6. for [`ScanMode::Quiet`], deliver cells only after the balancer has settled, and say so in
///    [`Feedback::quiet`](crate::measurement::Feedback::quiet); a scan that began before does not count as quiet,
/// 7. stay usable after an error.
pub trait Sampler<const N: usize = 24>: ErrorType {
    /// Fills `sample` with what is new.
    ///
    /// # Errors
    /// `WouldBlock` while nothing is new; any other error loses every channel for this step (`Input::Lost`).
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), Self::Error>;
}

impl<const N: usize, T: Sampler<N> + ?Sized> Sampler<N> for &mut T {
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), Self::Error> {
        T::sample(self, mode, sample)
    }
}

macro_rules! sense {
    ($(#[$doc:meta])* $name:ident, $method:ident -> $value:ty) => {
        $(#[$doc])*
        pub trait $name: ErrorType {
            /// Takes one reading.
            ///
            /// # Errors
            /// Whatever kept it from being taken; the group is then `Failed`.
            fn $method(&mut self) -> nb::Result<$value, Self::Error>;
        }
        impl<T: $name + ?Sized> $name for &mut T {
            fn $method(&mut self) -> nb::Result<$value, Self::Error> {
                T::$method(self)
            }
        }
    };
}

/// Measures the cell voltages. MUST keep to rules 2–4 of [`Sampler`].
pub trait CellSense<const N: usize = 24>: ErrorType {
    /// Reads all cells into `cells`.
    ///
    /// # Errors
    /// `WouldBlock` while a conversion runs; any other error makes the group `Failed`.
    fn cells(&mut self, cells: &mut Cells<N>) -> nb::Result<(), Self::Error>;
}

impl<const N: usize, T: CellSense<N> + ?Sized> CellSense<N> for &mut T {
    fn cells(&mut self, cells: &mut Cells<N>) -> nb::Result<(), Self::Error> {
        T::cells(self, cells)
    }
}

sense!(
    /// Measures the pack current. MUST give charging positive and an error, not a clipped value, beyond its range.
    CurrentSense, current -> Current
);
sense!(
    /// Measures one voltage (stack or terminal).
    VoltageSense, voltage -> Voltage
);
sense!(
    /// Measures the temperatures. MUST report an open or shorted sensor as `Invalid`.
    TemperatureSense, temperatures -> Temperatures
);
sense!(
    /// Tells what the balancer does now. MUST say `quiet` only when the balancer is off and the cells have settled, and
    /// MUST answer at once: a scan of the cells counts as quiet only together with this.
    FeedbackSense, feedback -> Feedback
);
sense!(
    /// Reads the digital inputs. MUST report the short-circuit *latch*, not the comparator's level. While this fails nothing closes; what is
    /// closed stays closed.
    InputSense, inputs -> Inputs
);

macro_rules! output {
    ($(#[$doc:meta])* $name:ident { $(#[$method_doc:meta])* $method:ident($($argument:ident: $kind:ty),*) }) => {
        $(#[$doc])*
        pub trait $name: ErrorType {
            $(#[$method_doc])*
            ///
            /// # Errors
            /// The output's state is unknown then; the core is told and keeps demanding.
            fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error>;
        }
        impl<T: $name + ?Sized> $name for &mut T {
            fn $method(&mut self, $($argument: $kind),*) -> Result<(), Self::Error> {
                T::$method(self, $($argument),*)
            }
        }
    };
}

output!(
    /// The charge and discharge switches with their short-circuit latch (D09).
    ///
    /// An implementation MUST
    /// 1. have both open when its constructor returns,
    /// 2. be one object that owns the pins **and** the latch: `apply` runs in a critical section and leaves both open
    ///    while latched, whatever it is told,
    /// 3. open before it closes when both change,
    /// 4. clear the latch only when told and only while the comparator's *level* is clear,
    /// 5. return an error when it cannot know that the gates follow.
    Switches {
        /// Drives both switches.
        apply(charge: Switch, discharge: Switch, clear_latch: bool)
    }
);

/// Moves or burns energy between cells as a [`Plan`] says.
///
/// An implementation MUST
/// 1. be off when its constructor returns,
/// 2. stop by itself at the plan's `until`, with no further call,
/// 3. never exceed the plan's current, nor its own capabilities,
/// 4. be off for [`Plan::Idle`] and for any plan that it cannot carry out, and return an error for the latter,
/// 5. never overfill its store.
pub trait Balancer: ErrorType {
    /// What it can do.
    fn capabilities(&self) -> BalancerCapabilities;
    /// Carries out a plan from now on.
    ///
    /// # Errors
    /// The plan is not possible or the hardware failed; the balancer is off or on its way there.
    fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error>;
}

impl<T: Balancer + ?Sized> Balancer for &mut T {
    fn capabilities(&self) -> BalancerCapabilities {
        T::capabilities(self)
    }
    fn apply(&mut self, plan: &Plan) -> Result<(), Self::Error> {
        T::apply(self, plan)
    }
}

output!(
    /// The heater. MUST switch off by itself at the time in [`Expiring::On`].
    Heater {
        /// Switches the heater.
        heat(state: Expiring)
    }
);
output!(
    /// The precharge path. MUST switch off by itself at the time in [`Expiring::On`].
    Precharge {
        /// Switches the path.
        precharge(state: Expiring)
    }
);
output!(
    /// The hold of the BMS's own supply. MUST hold from the start until told to release.
    Power {
        /// Holds or releases the supply.
        power(state: PowerState)
    }
);
output!(
    /// The last resort: a fuse or main contactor (X10). Closing it is irreversible.
    LastResort {
        /// Fires it when `Closed`.
        fire(state: Switch)
    }
);
output!(
    /// LED and buzzer.
    Indicator {
        /// Beeps once, and drives the link's LED from now on.
        indicate(beep: Beep, link_led: LinkLed)
    }
);
