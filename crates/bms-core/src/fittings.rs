//! What a board has, as types: what is not fitted is neither linked nor stored. (Only the table of sense wires stays.)
//!
//! | part of the core | fitted by | absent by |
//! |---|---|---|
//! | counting, state of charge | an [`Estimator`](crate::estimation::Estimator) | [`NotFitted`] as `E` |
//! | balancing | a [`Strategy`](crate::balancing::Strategy) | [`NotFitted`] as `S` |
//! | heater, precharge | [`AllFitted`] (default), [`HeaterFitted`], [`PrechargeFitted`] | [`NotFitted`] as `F` |
//!
//! Most boards without a balancer want [`Unbalanced`]:
//! ```
//! use bms_core::prelude::*;
//! use bms_core::fittings::{HeaterFitted, Unbalanced};
//!
//! const PACK: ValidConfig = const { Config::lifepo4(8).with_model(Model::B2a8s20p).validated() };
//! let with_heater = Unbalanced::<8, HeaterFitted>::without_balancer(PACK);
//! let switches_only = Unbalanced::<8>::without_balancer(PACK);
//! assert!(size_of_val(&switches_only) < size_of_val(&Bms::<8>::with_capacity(PACK)));
//! ```
//! The types only leave code out; they never make a board less safe. Where the configuration says that the board has a
//! precharge path and the core was built without, the discharge switch never closes and
//! [`Alarm::PrechargeFailed`](crate::protection::Alarm::PrechargeFailed) says why; a heater that the core cannot drive stays
//! off and shows as [`Alarm::HeaterIneffective`](crate::protection::Alarm::HeaterIneffective).

use core::fmt::Debug;

use crate::bms::Bms;
use crate::config::ValidConfig;
use crate::estimation::CoulombCounter;
use crate::heating::{HeaterControl, Heating};
pub use crate::port::NotFitted;
use crate::precharge::{Precharge, PrechargeControl};

/// Which of heater and precharge path a board has. Implemented by the four types of this module; nothing else can.
pub trait Fittings: sealed::Sealed + Clone + Debug {
    /// Decides about the heater (H01, D28).
    #[doc(hidden)]
    type Heater: HeaterControl;
    /// Decides about the precharge path (X17).
    #[doc(hidden)]
    type Precharge: PrechargeControl;
}

mod sealed {
    /// Keeps [`super::Fittings`] to its four types.
    pub trait Sealed {}
}

macro_rules! fittings {
    ($($(#[$doc:meta])* $name:ident: $heater:ty, $precharge:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $name;
            impl sealed::Sealed for $name {}
            impl Fittings for $name {
                type Heater = $heater;
                type Precharge = $precharge;
            }
        )*
    };
}

fittings! {
    /// Heater and precharge path, each used if the configuration says so.
    AllFitted: Heating, Precharge;
    /// A heater, no precharge path.
    HeaterFitted: Heating, NotFitted;
    /// A precharge path, no heater.
    PrechargeFitted: NotFitted, Precharge;
}

impl sealed::Sealed for NotFitted {}
impl Fittings for NotFitted {
    type Heater = Self;
    type Precharge = Self;
}

/// A core for a board that has no balancer, for up to `N` cells, with exact counting.
pub type Unbalanced<const N: usize = 24, F = NotFitted> = Bms<N, CoulombCounter, NotFitted, F>;

impl<const N: usize, F: Fittings> Unbalanced<N, F> {
    /// A BMS that never balances. Everything is open until the first complete valid sample.
    #[must_use]
    pub const fn without_balancer(config: ValidConfig) -> Self {
        Self::with_parts(config, CoulombCounter::new(&config), NotFitted)
    }
}
