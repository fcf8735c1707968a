//! Heat: cells, switches, heater. Slow, so it is stepped once a second.

use super::cell::Cell;
use super::spec::PackSpec;

/// Time between two thermal steps, µs.
const PERIOD: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct Thermal {
    pub ambient: f64,
    pub mos: f64,
    /// Power lost in the switches in the present step, W.
    pub switch_loss: f64,
    /// All heat that the cells made so far, J.
    pub cell_heat: f64,
    switch_joules: f64,
    heater_joules: f64,
    last: u64,
    /// Of one cell, J/K and W/K.
    heat_capacity: f64,
    loss: f64,
    switch: (f64, f64),
}

impl Thermal {
    pub(super) fn new(spec: &PackSpec) -> Self {
        let kind = super::CellKind::of(spec.chemistry);
        Self {
            ambient: spec.ambient_c,
            mos: spec.ambient_c,
            switch_loss: 0.0,
            cell_heat: 0.0,
            switch_joules: 0.0,
            heater_joules: 0.0,
            last: 0,
            heat_capacity: kind.heat_capacity * spec.capacity_ah,
            loss: spec.heat_loss * spec.capacity_ah.powf(2.0 / 3.0),
            switch: spec.switch_thermal,
        }
    }
    pub(super) fn book(&mut self, heater_watts: f64, seconds: f64) {
        self.switch_joules += self.switch_loss * seconds;
        self.heater_joules += heater_watts * seconds;
    }
    pub(super) const fn is_due(&self, now: u64) -> bool {
        now >= self.last + PERIOD
    }
    /// Turns the heat since the last step into temperatures.
    pub(super) fn step(&mut self, cells: &mut [Cell], activation_kelvin: f64, now: u64) {
        let seconds = (now - self.last) as f64 * 1e-6;
        self.last = now;
        let heater = self.heater_joules / cells.len().max(1) as f64;
        self.heater_joules = 0.0;
        // Neighbours exchange heat with a time constant of about ten minutes.
        let exchange = self.heat_capacity / 600.0;
        let mut below = cells.first().map_or(self.ambient, |cell| cell.temperature);
        let mut rest = cells.iter_mut().peekable();
        while let Some(cell) = rest.next() {
            let own = cell.temperature;
            let above = rest.peek().map_or(own, |next| next.temperature);
            let flow = exchange * (below + above - 2.0 * own) - self.loss * (own - self.ambient);
            cell.temperature += (cell.heat + heater + flow * seconds) / self.heat_capacity;
            self.cell_heat += cell.heat;
            cell.heat = 0.0;
            below = own;
            if (cell.temperature - cell.resistance_temperature).abs() > 0.02 {
                cell.update_resistance(activation_kelvin);
            }
        }
        let (kelvin_per_watt, joules_per_kelvin) = self.switch;
        let flow = (self.mos - self.ambient) / kelvin_per_watt * seconds;
        self.mos += (self.switch_joules - flow) / joules_per_kelvin;
        self.switch_joules = 0.0;
    }
}
