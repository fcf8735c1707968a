//! One cell: open-circuit voltage, ohmic resistance, two RC pairs, heat.

use super::Curve;

/// The branch changes within about the inverse of this part of the capacity.
const HYSTERESIS_RATE: f64 = 20.0;

/// What is the same for all cells in one step of the integrator.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepFactors {
    /// Length of the step in µs; what the rest was computed for.
    pub micros: u64,
    /// Length of the step in s.
    pub seconds: f64,
    /// What remains of each polarisation after the step.
    pub kept: [f64; 2],
    /// Half the distance of the charging from the discharging branch of the open-circuit voltage, V.
    pub hysteresis: f64,
}

impl StepFactors {
    pub(super) fn new(micros: u64, time_constants: [f64; 2], hysteresis: f64) -> Self {
        let seconds = micros as f64 * 1e-6;
        Self { micros, seconds, kept: time_constants.map(|tau| (-seconds / tau).exp()), hysteresis }
    }
}

/// The state of one cell. Currents are positive when they charge it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Charge above empty in A·s.
    pub charge: f64,
    /// One over the capacity in A·s.
    pub per_capacity: f64,
    /// Resistances in Ω at the present temperature: ohmic and of the two polarisations.
    pub resistance: [f64; 3],
    /// Resistances in Ω at 25 °C.
    pub resistance_at_25: [f64; 3],
    /// Voltages of the two polarisations.
    pub polarisation: [f64; 2],
    /// Where the open-circuit voltage stands between its discharging (−1) and its charging branch (1).
    pub branch: f64,
    /// Current beside the pack's: balancer, minus self-discharge.
    pub own_current: f64,
    /// Self-discharge, a positive number.
    pub self_discharge: f64,
    /// Open-circuit voltage plus polarisation: what the circuit sees behind the ohmic resistance.
    pub source: f64,
    /// Voltage at the cell's poles.
    pub voltage: f64,
    /// Heat since the last thermal step, J.
    pub heat: f64,
    /// °C.
    pub temperature: f64,
    /// Temperature for which `resistance` was computed.
    pub resistance_temperature: f64,
}

impl Cell {
    /// State of charge, 1 is full.
    pub(super) fn soc(&self) -> f64 {
        self.charge * self.per_capacity
    }
    /// Sets the state of charge and lets the cell rest.
    pub(super) fn rest_at(&mut self, soc: f64, curve: &Curve) {
        if self.per_capacity > 0.0 {
            self.charge = soc / self.per_capacity;
        }
        self.polarisation = [0.0; 2];
        self.source = curve.at(soc).max(0.0);
        self.voltage = self.source;
    }
    /// Carries a constant pack current through one step.
    #[inline]
    pub(super) fn step(&mut self, pack_current: f64, factors: &StepFactors, curve: &Curve) {
        let current = pack_current + self.own_current;
        let [ohmic, fast, slow] = self.resistance;
        let [keep_fast, keep_slow] = factors.kept;
        let [u_fast, u_slow] = self.polarisation;
        self.charge += current * factors.seconds;
        let u_fast = u_fast * keep_fast + fast * current * (1.0 - keep_fast);
        let u_slow = u_slow * keep_slow + slow * current * (1.0 - keep_slow);
        self.polarisation = [u_fast, u_slow];
        let overpotential = u_fast + u_slow + ohmic * current;
        // A cell does not go below zero by itself; a reversed one is beyond this model.
        let moved = (current * factors.seconds * self.per_capacity).abs();
        self.branch += (current.signum() - self.branch) * (moved * HYSTERESIS_RATE).min(1.0);
        let shift = self.branch * factors.hysteresis;
        let open_circuit = (curve.at(self.charge * self.per_capacity) + shift).max(0.0);
        self.source = open_circuit + u_fast + u_slow;
        self.voltage = open_circuit + overpotential;
        self.heat += current * overpotential * factors.seconds;
    }
    /// Follows the temperature with the resistances.
    pub(super) fn update_resistance(&mut self, activation_kelvin: f64) {
        let kelvin = (self.temperature + 273.15).max(200.0);
        let factor = (activation_kelvin * (1.0 / kelvin - 1.0 / 298.15)).exp();
        self.resistance = self.resistance_at_25.map(|ohms| ohms * factor);
        self.resistance_temperature = self.temperature;
    }
}
