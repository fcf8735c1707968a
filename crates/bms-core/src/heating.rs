//! The heater (H01, H02, D28).

use core::fmt::Debug;

use crate::port::NotFitted;
use crate::units::{Temperature, deg_c};

/// A heater must warm the coldest sensor by this much …
const RISE: Temperature = Temperature::from_tenths(5);
/// … within this time, in ms.
const TRIAL: u32 = 1_800_000;

/// What the heater's decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The battery is too cold to charge (H01).
    pub cold: bool,
    /// A heater is fitted, nothing inhibits it, every expected temperature is usable **now**.
    pub allowed: bool,
    /// Its source can feed it: charger present if required, cells above UVPR if fed by the battery (D28).
    pub fed: bool,
    /// A step that lacks a reading, or follows a change, switches nothing on.
    pub may_begin: bool,
    /// The coldest battery sensor.
    pub coldest: Temperature,
}

/// The heater's memory: whether it does any good.
#[derive(Clone, Copy, Debug)]
pub struct Heating {
    on: bool,
    /// Time on since the last 0.5 °C of rise, in ms.
    without_rise: u32,
    reference: Temperature,
    ineffective: bool,
}

/// What decides about the heater: [`Heating`], or nothing where none is fitted.
pub trait HeaterControl: Clone + Debug {
    /// There is something to decide about.
    const FITTED: bool = true;
    /// Off, nothing known.
    const NEW: Self;
    /// Decides for this step; `elapsed` is how long the heater can have been on since the last one, in ms.
    fn step(&mut self, elapsed: u32, now: &Conditions) -> bool;
    /// It ran half an hour without warming the battery.
    fn ineffective(&self) -> bool;
    /// It was switched on in the last step.
    fn on(&self) -> bool;
    /// A local request: try once more.
    fn forgive(&mut self) {
        *self = Self::NEW;
    }
}

impl HeaterControl for NotFitted {
    const FITTED: bool = false;
    const NEW: Self = Self;
    fn step(&mut self, _: u32, _: &Conditions) -> bool {
        false
    }
    fn ineffective(&self) -> bool {
        false
    }
    fn on(&self) -> bool {
        false
    }
}

impl HeaterControl for Heating {
    const NEW: Self = Self { on: false, without_rise: 0, reference: deg_c(0), ineffective: false };
    fn step(&mut self, elapsed: u32, now: &Conditions) -> bool {
        if !now.cold {
            *self = Self::NEW;
            return false;
        }
        if self.on {
            self.without_rise = self.without_rise.saturating_add(elapsed);
        }
        let wanted = now.allowed && now.fed && !self.ineffective;
        if wanted {
            let warmed = now.coldest.minus(self.reference) >= RISE;
            if warmed || (!self.on && self.without_rise == 0) {
                self.reference = now.coldest;
                self.without_rise = 0;
            }
            self.ineffective = self.without_rise >= TRIAL;
        }
        self.on = wanted && !self.ineffective && (self.on || now.may_begin);
        self.on
    }
    fn ineffective(&self) -> bool {
        self.ineffective
    }
    fn on(&self) -> bool {
        self.on
    }
}
