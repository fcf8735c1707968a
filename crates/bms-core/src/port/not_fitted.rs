//! The port that a board does not have.

use core::convert::Infallible;

use super::blocking::{Balancer, Heater, Indicator, LastResort, Power, Precharge};
use super::{CellSense, CurrentSense, ErrorType, FeedbackSense, InputSense, TemperatureSense, VoltageSense};
use crate::balancing::{BalancerCapabilities, BalancerKind, Plan};
use crate::command::{Beep, Expiring, LinkLed, Power as PowerState, Switch};
use crate::measurement::{Cells, Feedback, Inputs, Temperatures};
use crate::time::Duration;
use crate::units::{Current, Voltage};

/// Stands for an output or a sense port that a board does not have: an output ignores what it is told, a sense port
/// never has anything new, so that its group stays `NotMeasured`.
///
/// Switches, sampler and clock are never optional, so this type does not stand for them. Whether the pack *needs* the
/// missing part is the configuration's business: a heater in the configuration and none on the board shows as
/// [`Alarm::HeaterIneffective`](crate::protection::Alarm::HeaterIneffective).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotFitted;

impl NotFitted {
    /// A balancer that moves nothing.
    pub(crate) const CAPABILITIES: BalancerCapabilities = BalancerCapabilities {
        kind: BalancerKind::Transfer,
        maximum_current: Current::ZERO,
        phase_time: Duration::ZERO,
        settle_time: Duration::ZERO,
    };
}

impl ErrorType for NotFitted {
    type Error = Infallible;
}

impl Balancer for NotFitted {
    fn capabilities(&self) -> BalancerCapabilities {
        Self::CAPABILITIES
    }
    fn apply(&mut self, _: &Plan) -> Result<(), Infallible> {
        Ok(())
    }
}

macro_rules! ignores {
    ($($name:ident::$method:ident($($kind:ty),*);)*) => {
        $(impl $name for NotFitted {
            fn $method(&mut self, $(_: $kind),*) -> Result<(), Infallible> {
                Ok(())
            }
        })*
    };
}

ignores! {
    Heater::heat(Expiring);
    Precharge::precharge(Expiring);
    Power::power(PowerState);
    LastResort::fire(Switch);
    Indicator::indicate(Beep, LinkLed);
}

macro_rules! never_new {
    ($($name:ident::$method:ident -> $value:ty;)*) => {
        $(impl $name for NotFitted {
            fn $method(&mut self) -> nb::Result<$value, Infallible> {
                Err(nb::Error::WouldBlock)
            }
        })*
    };
}

never_new! {
    CurrentSense::current -> Current;
    VoltageSense::voltage -> Voltage;
    TemperatureSense::temperatures -> Temperatures;
    FeedbackSense::feedback -> Feedback;
    InputSense::inputs -> Inputs;
}

impl<const N: usize> CellSense<N> for NotFitted {
    fn cells(&mut self, _: &mut Cells<N>) -> nb::Result<(), Infallible> {
        Err(nb::Error::WouldBlock)
    }
}
