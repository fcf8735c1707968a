//! What acts on the pack: the board's outputs, the world outside, injected faults; and the truth, to look at.

use bms_core::balancing::{BalancerCapabilities, Phase, Plan};
use bms_core::command::{Expiring, Power, Switch};
use bms_core::config::Topology;
use bms_core::measurement::BATTERY_SENSORS;
use bms_core::port::ErrorKind;

use super::balancer::Balancer;
use super::{BalanceLedger, Charger, Dictated, Load, Plant, SensorErrors, SwitchFault, Thermistor, Wire};

/// The board's outputs.
impl Plant {
    /// Drives both switches as the gate object of a board does: while the comparator has latched they stay open, and the
    /// latch is cleared only when told and only while the comparator's level is clear.
    pub fn drive(&mut self, charge: Switch, discharge: Switch, clear_latch: bool) {
        if !self.powered {
            return;
        }
        if clear_latch && self.latched && !self.comparator_level() {
            self.latched = false;
        }
        let allowed = |state: Switch| if self.latched { Switch::Open } else { state };
        let (charge, discharge) = (allowed(charge), allowed(discharge));
        self.charge_switch.order(charge, self.now);
        self.discharge_switch.order(discharge, self.now);
    }
    /// Switches the precharge path. Has no effect where none is fitted.
    pub fn precharge(&mut self, state: Expiring) {
        self.precharge = if self.powered && self.spec.precharge_ohms.is_some() { state } else { Expiring::Off };
    }
    /// Switches the heater. Has no effect where none is fitted.
    pub fn heat(&mut self, state: Expiring) {
        self.heater = if self.powered && self.spec.heater_ohms.is_some() { state } else { Expiring::Off };
    }
    /// Starts a balancing plan; it ends at its expiry or when the store is full or empty.
    ///
    /// # Errors
    /// The plan is impossible (cells, current, expiry); the balancer is off then.
    pub fn balance(&mut self, plan: &Plan) -> Result<(), ErrorKind> {
        if !self.powered {
            return Err(ErrorKind::Unpowered);
        }
        self.balancer.apply(plan, &mut self.cells, &self.wires, self.now)
    }
    /// What the balancer can do.
    #[must_use]
    pub fn balancer_capabilities(&self) -> BalancerCapabilities {
        self.balancer.capabilities()
    }
    /// Holds or releases the board's supply.
    pub fn power(&mut self, state: Power) {
        self.power_held = self.powered && state == Power::Hold;
    }
    /// Fires the last resort: the pack is cut off for good.
    pub fn fire(&mut self, state: Switch) {
        if state.is_closed() && !self.fuse_blown {
            self.fuse_blown = true;
            self.update_paths();
        }
    }
    /// Everything off, as after a reset: what the hardware does while no firmware runs. A latch stays.
    pub fn reset_outputs(&mut self) {
        self.charge_switch.order(Switch::Open, self.now);
        self.discharge_switch.order(Switch::Open, self.now);
        self.precharge = Expiring::Off;
        self.heater = Expiring::Off;
        self.balancer.stop(&mut self.cells, self.now);
    }
}

/// The world outside.
impl Plant {
    /// Connects or removes a charger.
    pub fn set_charger(&mut self, charger: Option<Charger>) {
        self.charger = charger;
    }
    /// Connects a load; it is switched on now.
    pub fn set_load(&mut self, load: Load) {
        self.load = load;
        self.load_since = self.now;
    }
    /// Shorts the terminals with this many Ω, or removes the short.
    pub fn set_short_circuit(&mut self, ohms: Option<f64>) {
        self.short_circuit = ohms;
    }
    /// Changes the ambient temperature, °C; the pack follows slowly.
    pub fn set_ambient(&mut self, celsius: f64) {
        self.thermal.ambient = celsius;
    }
    /// Brings all cells to a temperature at once, °C.
    pub fn set_cell_temperature(&mut self, celsius: f64) {
        for cell in &mut self.cells {
            cell.temperature = celsius;
            cell.update_resistance(self.kind.activation_kelvin);
        }
        self.add_up();
    }
    /// Brings the switches to a temperature at once, °C.
    pub fn set_mos_temperature(&mut self, celsius: f64) {
        self.thermal.mos = celsius;
    }
    /// Brings a cell (0 is cell 1) to a state of charge, at rest. An index beyond the pack is ignored.
    pub fn set_soc(&mut self, cell: usize, soc: f64) {
        if let Some(cell) = self.cells.get_mut(cell) {
            cell.rest_at(soc, &self.curve);
        }
        self.add_up();
    }
    /// Presses or lets go the activation input (A01).
    pub fn set_activation(&mut self, pressed: bool) {
        self.activation = pressed;
    }
    /// Pulls C− below B− or lets go (A01).
    pub fn set_reverse_wake(&mut self, pulled: bool) {
        self.reverse_wake = pulled;
    }
}

/// Faults of the hardware. Faults of the ports are in [`fault`](crate::fault).
impl Plant {
    /// Changes a sense wire; wire 0 is at B−. An index beyond the pack is ignored.
    pub fn set_wire(&mut self, wire: usize, state: Wire) {
        if wire <= self.cells.len() {
            self.wires.set(wire, state);
        }
    }
    /// Breaks or mends the charge switch.
    pub fn set_charge_switch_fault(&mut self, fault: SwitchFault) {
        self.charge_switch.fault = fault;
        self.update_paths();
    }
    /// Breaks or mends the discharge switch.
    pub fn set_discharge_switch_fault(&mut self, fault: SwitchFault) {
        self.discharge_switch.fault = fault;
        self.update_paths();
    }
    /// Changes what a battery temperature input (0 is T1) is connected to.
    pub fn set_thermistor(&mut self, index: usize, state: Thermistor) {
        let mut states = self.sensing.thermistors.unwrap_or(self.spec.thermistors);
        if let Some(slot) = states.get_mut(index) {
            *slot = state;
        }
        self.sensing.thermistors = Some(states);
    }
    /// Changes what the switches' temperature input is connected to.
    pub fn set_mos_thermistor(&mut self, state: Thermistor) {
        self.sensing.mos = state;
    }
    /// Makes the board's self-test fail or pass (X20).
    pub fn set_self_test_failed(&mut self, failed: bool) {
        self.self_test_failed = failed;
    }
    /// Changes the sensors' noise, gain, offset and steps; the biases stay as they were drawn.
    pub fn set_sensor_errors(&mut self, errors: SensorErrors) {
        self.sensing.errors = errors;
    }
    /// Readings to dictate from now on; see [`Dictated`].
    pub fn dictated(&mut self) -> &mut Dictated {
        &mut self.sensing.dictated
    }
    /// Holds the comparator's level set (and trips the latch), or lets it go.
    pub fn hold_comparator(&mut self, held: bool) {
        self.comparator_held = held;
        if held {
            self.latch();
        }
    }
    /// Trips the short-circuit latch as the comparator does: both gates open at once.
    pub fn latch(&mut self) {
        self.latched = true;
        self.charge_switch.order(Switch::Open, self.now);
        self.discharge_switch.order(Switch::Open, self.now);
    }
}

/// The truth.
impl Plant {
    /// Voltage at the poles of each cell in V, cell 1 first.
    pub fn cell_voltages(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().map(|cell| cell.voltage)
    }
    /// State of charge of each cell, 0 … 1.
    pub fn socs(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().map(super::cell::Cell::soc)
    }
    /// Charge of each cell above empty, A·s.
    pub fn charges(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().map(|cell| cell.charge)
    }
    /// Temperature of each cell, °C.
    pub fn cell_temperatures(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().map(|cell| cell.temperature)
    }
    /// Sum of the cells, V.
    #[must_use]
    pub fn stack_voltage(&self) -> f64 {
        self.cell_voltages().sum()
    }
    /// Voltage at the terminals, V.
    #[must_use]
    pub const fn terminal_voltage(&self) -> f64 {
        self.terminal
    }
    /// Current through the shunt in the last step of the integrator, A, positive charging.
    #[must_use]
    pub const fn current(&self) -> f64 {
        self.current
    }
    /// Temperature of the switches, °C.
    #[must_use]
    pub const fn mos_temperature(&self) -> f64 {
        self.thermal.mos
    }
    /// Heat that the cells have made so far, J; updated once a second.
    #[must_use]
    pub const fn cell_heat(&self) -> f64 {
        self.thermal.cell_heat
    }
    /// Open-circuit voltage of a rested cell, V, at a state of charge.
    #[must_use]
    pub fn open_circuit(&self, soc: f64) -> f64 {
        self.curve.at(soc)
    }
    /// Whether the charge switch and the discharge switch conduct (their body diodes apart).
    #[must_use]
    pub fn switches(&self) -> (bool, bool) {
        (self.charge_switch.conducts(), self.discharge_switch.conducts())
    }
    /// Whether both switches conducted at any time since the last call.
    pub fn take_both_conducted(&mut self) -> bool {
        let answer = self.both_conducted;
        self.both_conducted = self.switches() == (true, true);
        answer
    }
    /// What the gates of the charge and the discharge switch are told.
    #[must_use]
    pub const fn gates(&self) -> (Switch, Switch) {
        (self.charge_switch.gate(), self.discharge_switch.gate())
    }
    /// Whether the short-circuit comparator has latched.
    #[must_use]
    pub const fn latched(&self) -> bool {
        self.latched
    }
    /// The comparator's level: whether more than the threshold flows now, or it is held. With the gates open nothing
    /// flows, so a retry onto a lasting short circuit trips again.
    #[must_use]
    pub fn comparator_level(&self) -> bool {
        self.comparator_held || -self.current > self.spec.comparator.0
    }
    /// What the balancer does now.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.balancer.plan()
    }
    /// Current of the balancer in A, signed as B07 says.
    #[must_use]
    pub fn balance_current(&self) -> f64 {
        self.balancer.reported_current()
    }
    /// Whether the balancer is off and settled, so that readings are free of its drops.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.balancer.quiet(self.now)
    }
    /// Energy that the balancer moved.
    #[must_use]
    pub const fn balance_ledger(&self) -> BalanceLedger {
        self.balancer.ledger
    }
    /// Charge that the balancer moved into each cell since the start, A·s; negative: out of it.
    pub fn balanced_charges(&self) -> impl Iterator<Item = f64> {
        self.balancer.moved.iter().copied().take(self.cells.len())
    }
    /// Charge that the balancer took out of cells since the start, A·s.
    #[must_use]
    pub const fn balancer_taken(&self) -> f64 {
        self.balancer.taken
    }
    /// Whether the heater is on.
    #[must_use]
    pub fn heater_on(&self) -> bool {
        self.heater.is_on(self.now())
    }
    /// Whether the precharge path is on.
    #[must_use]
    pub fn precharge_on(&self) -> bool {
        self.precharge.is_on(self.now())
    }
    /// Whether the last resort was fired.
    #[must_use]
    pub const fn fuse_blown(&self) -> bool {
        self.fuse_blown
    }
    /// The charger, if one is connected.
    #[must_use]
    pub const fn charger(&self) -> Option<Charger> {
        self.charger
    }
    /// The load.
    #[must_use]
    pub const fn load(&self) -> Load {
        self.load
    }
    /// Whether the board has a supply: it holds it itself, or something wakes it (A01).
    #[must_use]
    pub const fn powered(&self) -> bool {
        self.powered
    }
    /// Whether the supply collapsed since the last call, so that the firmware must be taken as reset.
    pub const fn take_brown_out(&mut self) -> bool {
        let answer = self.browned_out;
        self.browned_out = false;
        answer
    }
}

/// Supply and heater, for the integrator.
impl Plant {
    pub(super) fn settle_supply(&mut self) {
        let lifted = self.charger.is_some() && self.terminal > self.source + 5.0;
        let woken = lifted || self.activation || self.reverse_wake;
        if self.powered && !self.power_held && !woken {
            self.powered = false;
            self.reset_outputs();
        } else if !self.powered && woken {
            self.powered = true;
            self.power_held = true;
        }
        if let Some(since) = self.supply_low_since
            && self.now >= since + u64::from(self.spec.supply_hold_up_us)
        {
            self.supply_low_since = None;
            self.browned_out = true;
            self.reset_outputs();
        }
    }
    pub(super) fn watch_supply(&mut self, stack: f64) {
        if stack >= self.spec.supply_minimum {
            self.supply_low_since = None;
        } else if self.supply_low_since.is_none() && self.powered && !self.browned_out {
            self.supply_low_since = Some(self.now);
        }
    }
    /// Power of the heater, W.
    pub(super) fn heater_power(&self) -> f64 {
        let (Expiring::On { .. }, Some(ohms)) = (self.heater, self.spec.heater_ohms) else {
            return 0.0;
        };
        let volts = if self.spec.heater_from_battery {
            self.source
        } else {
            self.charger.map_or(0.0, |charger| charger.voltage)
        };
        volts * volts / ohms.max(0.01)
    }
    /// The topology that it was built with.
    #[must_use]
    pub const fn topology(&self) -> Topology {
        self.spec.topology
    }
    /// The battery temperature inputs.
    #[must_use]
    pub fn thermistors(&self) -> [Thermistor; BATTERY_SENSORS] {
        self.sensing.thermistors.unwrap_or(self.spec.thermistors)
    }
}

impl Balancer {
    /// The cell that the balancer pulls at now.
    pub(super) fn loaded_cell(&self) -> Option<usize> {
        match *self.plan() {
            Plan::Transfer { source, phase: Phase::Take, .. } => Some(usize::from(source)),
            Plan::Transfer { destination, phase: Phase::Give, .. } => Some(usize::from(destination)),
            Plan::Shuttle { source, .. } => Some(usize::from(source)),
            _ => None,
        }
    }
}
