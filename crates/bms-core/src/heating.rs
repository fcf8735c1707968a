//! The heater (H01, H02, D28).

use crate::units::{Temperature, deg_c};

/// A heater must warm the coldest sensor by this much …
const RISE: Temperature = Temperature::from_tenths(5);
/// … within this time, in ms.
const TRIAL: u32 = 1_800_000;

/// What the heater's decision rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
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
pub(crate) struct Heating {
    on: bool,
    /// Time on since the last 0.5 °C of rise, in ms.
    without_rise: u32,
    reference: Temperature,
    ineffective: bool,
}

impl Heating {
    pub(crate) const fn new() -> Self {
        Self { on: false, without_rise: 0, reference: deg_c(0), ineffective: false }
    }
    /// Decides for this step; `elapsed` is how long the heater can have been on since the last one, in ms.
    pub(crate) fn step(&mut self, elapsed: u32, now: &Conditions) -> bool {
        if !now.cold {
            *self = Self::new();
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
    /// It ran half an hour without warming the battery.
    pub(crate) const fn ineffective(&self) -> bool {
        self.ineffective
    }
    /// A local request: try once more.
    pub(crate) fn forgive(&mut self) {
        *self = Self::new();
    }
}
