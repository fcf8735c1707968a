//! A simulated battery pack in virtual time: deterministic, seeded, fast.
//!
//! ```text
//! charger, load, short circuit ─► terminals ─► switches (diodes, delays, faults) ─► shunt ─► cells ─► heat
//!                                                            sense wires ◄─ balancer ◄──┘
//! truth ─► sensor errors ─► Sample
//! ```
//! [`Plant::advance`] carries the pack through time; between two events (a switch that moves, an output that expires, a
//! load pulse) everything is constant, so a step costs one pass over the cells. All times are virtual: the same seed and
//! the same calls give the same pack, bit for bit.
//!
//! Inside, quantities are `f64` in SI units (V, A, °C, J); current is positive when it charges. At the boundary to the
//! core they become the core's integers.

mod balancer;
mod cell;
mod chemistry;
mod circuit;
mod control;
mod curve;
mod measure;
mod sensor;
mod spec;
mod switch;
#[cfg(test)]
mod tests;
mod thermal;
mod wires;

pub use balancer::{BalanceLedger, BalancerSpec};
pub use chemistry::CellKind;
pub use circuit::{Charger, Load};
pub use curve::Curve;
pub use measure::Channels;
pub use sensor::{Dictated, SensorError, SensorErrors, Thermistor};
pub use spec::{ImpossiblePack, PackSpec};
pub use switch::{PackSwitch, SwitchFault};
pub use wires::{MAXIMUM_WIRES, Wire};

use bms_core::command::Expiring;
use bms_core::time::{Duration, Instant};
use rand_core::SeedableRng;
use rand_pcg::Pcg64Mcg;

use balancer::Balancer;
use cell::{Cell, StepFactors};
use circuit::{Outside, Paths};
use measure::Sensing;
use thermal::Thermal;
use wires::Wires;

/// The most cells that a pack has.
pub const MAXIMUM_CELLS: usize = bms_core::measurement::MAXIMUM_CELLS;

/// The longest single step of the integrator, µs.
const LONGEST_STEP: u64 = 10_000_000;

/// The simulated pack with its board.
#[derive(Clone, Debug)]
pub struct Plant {
    spec: PackSpec,
    kind: CellKind,
    curve: Curve,
    random: Pcg64Mcg,
    now: u64,
    cells: Vec<Cell>,
    factors: StepFactors,
    /// Sum of what the circuit sees behind the cells' ohmic resistance, and the sum of those resistances.
    source: f64,
    ohms: f64,
    charge_switch: PackSwitch,
    discharge_switch: PackSwitch,
    paths: Paths,
    balancer: Balancer,
    wires: Wires,
    thermal: Thermal,
    sensing: Sensing,
    /// The short-circuit comparator's latch, and when it will trip.
    latched: bool,
    trips_at: Option<u64>,
    comparator_held: bool,
    /// Pack current through the shunt, A, and the terminal voltage, V.
    current: f64,
    terminal: f64,
    conducting: bool,
    both_conducted: bool,
    charger: Option<Charger>,
    load: Load,
    load_since: u64,
    short_circuit: Option<f64>,
    precharge: Expiring,
    heater: Expiring,
    fuse_blown: bool,
    activation: bool,
    reverse_wake: bool,
    self_test_failed: bool,
    power_held: bool,
    powered: bool,
    supply_low_since: Option<u64>,
    browned_out: bool,
}

impl Plant {
    /// Builds a pack at rest, with every output off and the switches open.
    ///
    /// # Errors
    /// The specification is impossible.
    pub fn new(spec: &PackSpec) -> Result<Self, ImpossiblePack> {
        spec.check()?;
        let kind = CellKind::of(spec.chemistry);
        let curve = Curve::new(kind.open_circuit, 1_024);
        let mut random = Pcg64Mcg::seed_from_u64(spec.seed);
        let cells: Vec<Cell> =
            (0..usize::from(spec.cells)).map(|index| new_cell(spec, &kind, &curve, index, &mut random)).collect();
        let sensing = Sensing::new(&spec.sensors, &spec.cell_bias, &mut random);
        let (open, close) = spec.switch_times_us;
        let mut plant = Self {
            kind,
            curve,
            random,
            now: 0,
            cells,
            factors: StepFactors::new(0, kind.polarisation.map(|(_, tau)| tau), spec.hysteresis),
            source: 0.0,
            ohms: 0.0,
            charge_switch: PackSwitch::new(open, close),
            discharge_switch: PackSwitch::new(open, close),
            paths: Paths::new(spec.topology, false, false),
            balancer: Balancer::new(spec.balancer),
            wires: Wires::new(spec.wire_mohm * 1e-3),
            thermal: Thermal::new(spec),
            sensing,
            latched: false,
            trips_at: None,
            comparator_held: false,
            current: 0.0,
            terminal: 0.0,
            conducting: false,
            both_conducted: false,
            charger: None,
            load: Load::None,
            load_since: 0,
            short_circuit: None,
            precharge: Expiring::Off,
            heater: Expiring::Off,
            fuse_blown: false,
            activation: false,
            reverse_wake: false,
            self_test_failed: false,
            power_held: true,
            powered: true,
            supply_low_since: None,
            browned_out: false,
            spec: spec.clone(),
        };
        plant.add_up();
        Ok(plant)
    }
    /// The specification that it was built from.
    #[must_use]
    pub const fn spec(&self) -> &PackSpec {
        &self.spec
    }
    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        Instant::from_millis(self.now / 1_000)
    }
    /// Carries the pack through a stretch of time.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now.saturating_add(u64::from(duration.as_millis()) * 1_000);
        while self.now < end {
            self.settle_events();
            let (current, terminal) = self.solve();
            let until = self.next_event(end);
            self.integrate(current, terminal, until.saturating_sub(self.now));
        }
        self.settle_events();
    }

    /// Completes everything that is due: switch movements, expiries, the latch, the supply.
    fn settle_events(&mut self) {
        let moved = [self.charge_switch.moves_at(), self.discharge_switch.moves_at()];
        if moved.iter().flatten().any(|at| *at <= self.now) {
            self.charge_switch.settle(self.now);
            self.discharge_switch.settle(self.now);
            self.update_paths();
        }
        if self.balancer.stops_at(&self.cells, self.now).is_some_and(|at| at <= self.now) {
            self.balancer.stop(&mut self.cells, self.now);
        }
        for output in [&mut self.precharge, &mut self.heater] {
            if *output != Expiring::Off && !output.is_on(Instant::from_millis(self.now / 1_000)) {
                *output = Expiring::Off;
            }
        }
        if self.trips_at.is_some_and(|at| at <= self.now) {
            self.trips_at = None;
            self.latch();
        }
        self.settle_supply();
    }
    fn update_paths(&mut self) {
        let open = self.fuse_blown;
        self.paths = Paths::new(
            self.spec.topology,
            self.charge_switch.conducts() && !open,
            self.discharge_switch.conducts() && !open,
        );
        if open {
            self.paths.regeneration = false;
        }
        self.both_conducted |= self.switches() == (true, true);
    }
    /// The end of the step that begins now.
    fn next_event(&self, end: u64) -> u64 {
        let expiry = |output: Expiring| match output {
            Expiring::On { until } => Some(until.as_millis().saturating_mul(1_000)),
            Expiring::Off => None,
        };
        let supply = self.supply_low_since.map(|since| since + u64::from(self.spec.supply_hold_up_us));
        [
            self.charge_switch.moves_at(),
            self.discharge_switch.moves_at(),
            self.balancer.stops_at(&self.cells, self.now),
            expiry(self.precharge),
            expiry(self.heater),
            self.trips_at,
            supply,
            self.load.next_edge(self.now - self.load_since).map(|rest| self.now + rest),
        ]
        .into_iter()
        .flatten()
        .fold(end.min(self.now + LONGEST_STEP), u64::min)
        // An event that is due but cannot be settled must not stop time.
        .max(self.now + 1)
    }
    /// The pack current through the terminals and the terminal voltage of the step that begins now; sets the comparator.
    fn solve(&mut self) -> (f64, f64) {
        let ohms = self.ohms + (self.spec.switch_mohm + self.spec.busbar_mohm) * 1e-3;
        let mut through = self.outside(self.source).through(self.paths, self.source, ohms);
        if let Load::Power(_) = self.load {
            // Its current depends on the voltage that it makes; this converges unless the pack cannot deliver it.
            for _ in 0..4 {
                let seen = through.map_or(self.source, |(_, terminal, _)| terminal);
                through = self.outside(seen).through(self.paths, self.source, ohms);
            }
        }
        let closes = !self.conducting && through.is_some();
        self.conducting = through.is_some();
        let (current, terminal, diode) = through.unwrap_or((0.0, self.terminal, 0.0));
        self.thermal.switch_loss = current.abs() * diode + current * current * self.spec.switch_mohm * 1e-3;
        let (threshold, delay) = self.spec.comparator;
        let beyond = -current > threshold || (closes && self.inrush_trips(ohms));
        match (beyond, self.trips_at) {
            (true, None) if !self.latched => self.trips_at = Some(self.now + u64::from(delay)),
            (false, Some(_)) => self.trips_at = None,
            _ => {}
        }
        (current, terminal)
    }
    fn outside(&self, terminal: f64) -> Outside {
        let wanted = self.load.current(terminal, self.now - self.load_since);
        let short = self.short_circuit.map_or(0.0, |ohms| 1.0 / ohms.max(1e-5));
        Outside { charger: self.charger, load_current: wanted, conductance: self.load.conductance() + short }
    }
    /// Whether closing onto the discharged terminal capacitance looks like a short circuit to the comparator.
    fn inrush_trips(&self, ohms: f64) -> bool {
        let (threshold, delay) = self.spec.comparator;
        let peak = (self.source - self.terminal) / ohms;
        if peak <= threshold {
            return false;
        }
        let time_constant_us = ohms * self.spec.terminal_millifarads * 1e3;
        time_constant_us * (peak / threshold).ln() > f64::from(delay)
    }
    /// One step with constant currents.
    fn integrate(&mut self, current: f64, terminal: f64, micros: u64) {
        if micros != self.factors.micros {
            self.factors = StepFactors::new(micros, self.kind.polarisation.map(|(_, tau)| tau), self.spec.hysteresis);
        }
        let seconds = self.factors.seconds;
        let precharge = if self.conducting {
            self.terminal = terminal;
            0.0
        } else {
            self.relax_terminal(seconds)
        };
        let heater = self.heater_power();
        let drawn = if self.spec.heater_from_battery { heater / self.source.max(1.0) } else { 0.0 };
        self.current = current - precharge - drawn;
        let through_cells = self.current - if self.powered { self.spec.board_current } else { 0.0 };
        let (mut source, mut voltage) = (0.0, 0.0);
        for cell in &mut self.cells {
            cell.step(through_cells, &self.factors, &self.curve);
            source += cell.source;
            voltage += cell.voltage;
        }
        self.source = source;
        if !self.balancer.plan().is_idle() {
            self.balancer.book(&self.cells, seconds);
        }
        self.now += micros;
        self.sensing.integrate(self.current, seconds);
        self.thermal.book(heater, seconds);
        if self.thermal.is_due(self.now) {
            self.thermal.step(&mut self.cells, self.kind.activation_kelvin, self.now);
            self.add_up();
        }
        self.watch_supply(voltage);
    }
    /// Terminal voltage with the switches open: a capacitance between charger, load, leak and precharge. Gives the mean
    /// precharge current.
    fn relax_terminal(&mut self, seconds: f64) -> f64 {
        const LEAK: f64 = 1e-4;
        let outside = self.outside(self.terminal);
        let path = match (self.precharge, self.spec.precharge_ohms) {
            (Expiring::On { .. }, Some(ohms)) if ohms > 0.0 && !self.fuse_blown => 1.0 / ohms,
            _ => 0.0,
        };
        let conductance = path + outside.conductance + LEAK;
        let fed = outside.charger.map_or(0.0, |charger| charger.current) + path * self.source - outside.load_current;
        let settled = fed / conductance;
        let time_constant = self.spec.terminal_millifarads.max(1e-3) * 1e-3 / conductance;
        let kept = (-seconds / time_constant).exp();
        let ceiling = outside.charger.map_or(f64::MAX, |charger| charger.voltage.max(self.source));
        let before = self.terminal;
        self.terminal = (settled + (before - settled) * kept).clamp(0.0, ceiling);
        let mean = settled + (before - settled) * (time_constant / seconds.max(1e-9)) * (1.0 - kept);
        path * (self.source - mean.clamp(0.0, ceiling))
    }
    /// Sums over the cells after their resistances changed.
    fn add_up(&mut self) {
        self.source = self.cells.iter().map(|cell| cell.source).sum();
        self.ohms = self.cells.iter().map(|cell| cell.resistance.first().copied().unwrap_or(0.0)).sum();
    }
}

fn new_cell(spec: &PackSpec, kind: &CellKind, curve: &Curve, index: usize, random: &mut Pcg64Mcg) -> Cell {
    // Every cell draws three numbers, whatever the spreads, so that changing one spread keeps the others' draws.
    let mut draw = |spread: f64| 1.0 + spread * sensor::normal(random);
    let drawn = draw(spec.capacity_spread);
    let part = spec.cell_capacity.get(index).copied().unwrap_or(drawn);
    let capacity_ah = (spec.capacity_ah * part).max(spec.capacity_ah * 0.1);
    let per_ah = draw(spec.resistance_spread).max(0.2) / spec.capacity_ah;
    let soc = spec.cell_soc.get(index).copied().unwrap_or(spec.soc) + (draw(spec.soc_spread) - 1.0);
    let [(fast, _), (slow, _)] = kind.polarisation;
    let resistance = [kind.ohmic * per_ah, fast * per_ah, slow * per_ah];
    let self_discharge = capacity_ah * kind.self_discharge_per_month / (30.0 * 24.0);
    let mut cell = Cell {
        charge: 0.0,
        per_capacity: 1.0 / (capacity_ah * 3_600.0),
        resistance,
        resistance_at_25: resistance,
        polarisation: [0.0; 2],
        branch: 0.0,
        own_current: -self_discharge,
        self_discharge,
        source: 0.0,
        voltage: 0.0,
        heat: 0.0,
        temperature: spec.ambient_c,
        resistance_temperature: 25.0,
    };
    cell.rest_at(soc, curve);
    cell.update_resistance(kind.activation_kelvin);
    cell
}
