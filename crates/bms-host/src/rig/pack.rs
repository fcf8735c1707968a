//! What a rig's core is connected to.

use bms_core::balancing::BalancerCapabilities;
use bms_core::command::Command;
use bms_core::config::{BoardDefinition, ParameterId, SensorPolicy, ValidConfig};
use bms_core::measurement::Sample;
use bms_core::port::ErrorKind;
use bms_core::time::{Duration, Instant};

use crate::fault::Output;
use crate::plant::{Channels, PackSpec, Plant, Thermistor};

/// Something that measures and obeys: the simulated pack, or sensors that show what they are told.
pub trait Pack<const N: usize> {
    /// Lets time pass.
    fn pass(&mut self, length: Duration);
    /// Measures the wanted groups; the others become `NotMeasured`.
    fn measure(&mut self, now: Instant, channels: Channels, sample: &mut Sample<N>);
    /// Whether the balancer disturbs no reading now.
    fn is_quiet(&self) -> bool;
    /// Carries a command out, as far as its outputs are `allowed`.
    ///
    /// # Errors
    /// An output cannot obey.
    fn apply(&mut self, now: Instant, command: &Command, allowed: impl Fn(Output) -> bool) -> Result<(), ErrorKind>;
    /// Every output off, as while no firmware runs.
    fn reset_outputs(&mut self);
    /// Whether the board has a supply.
    fn powered(&self) -> bool;
    /// Whether the supply collapsed since the last call.
    fn take_brown_out(&mut self) -> bool;
    /// What the balancer can do.
    fn balancer(&self) -> BalancerCapabilities;
}

impl<const N: usize> Pack<N> for Plant {
    fn pass(&mut self, length: Duration) {
        self.advance(length);
    }
    fn measure(&mut self, _: Instant, channels: Channels, sample: &mut Sample<N>) {
        Self::measure(self, channels, sample);
    }
    fn is_quiet(&self) -> bool {
        Self::is_quiet(self)
    }
    /// In the driver's order.
    fn apply(&mut self, _: Instant, command: &Command, allowed: impl Fn(Output) -> bool) -> Result<(), ErrorKind> {
        if allowed(Output::Switches) {
            self.drive(command.charge, command.discharge, command.clear_latch);
        }
        if allowed(Output::Precharge) {
            self.precharge(command.precharge);
        }
        let result = if allowed(Output::Balancer) { self.balance(&command.balance) } else { Ok(()) };
        if allowed(Output::Heater) {
            self.heat(command.heater);
        }
        if allowed(Output::LastResort) {
            self.fire(command.last_resort);
        }
        if allowed(Output::Power) {
            self.power(command.power);
        }
        result
    }
    fn reset_outputs(&mut self) {
        Self::reset_outputs(self);
    }
    fn powered(&self) -> bool {
        Self::powered(self)
    }
    fn take_brown_out(&mut self) -> bool {
        Self::take_brown_out(self)
    }
    fn balancer(&self) -> BalancerCapabilities {
        self.balancer_capabilities()
    }
}

/// The pack that a configuration describes: chemistry, cells, capacity, board; everything else as in [`PackSpec::new`].
#[must_use]
pub fn pack_for(config: &ValidConfig) -> PackSpec {
    let mut spec = PackSpec::new(config.chemistry(), config.cell_count());
    spec.capacity_ah = config.capacity().as_milliamp_hours() as f64 * 1e-3;
    let board: &BoardDefinition = config.board();
    spec.topology = board.topology;
    spec.stack_voltage = board.stack_voltage;
    spec.terminal_voltage = board.terminal_voltage;
    spec.precharge_ohms = board.precharge.then_some(30.0);
    let ohms = f64::from(config.get(ParameterId::HeaterResistance)) * 1e-6;
    spec.heater_ohms = (ohms > 0.0).then_some(ohms);
    spec.heater_from_battery = config.flag(ParameterId::HeaterFromBattery);
    for (thermistor, policy) in spec.thermistors.iter_mut().zip(board.sensors) {
        *thermistor = if policy == SensorPolicy::NotFitted { Thermistor::NotFitted } else { Thermistor::Fitted };
    }
    if let Some(ratings) = config.model().map(|model| model.ratings()) {
        spec.comparator.0 = f64::from(ratings.maximum_discharge.as_milliamps()) * 2e-3;
        spec.current_range = f64::from(ratings.maximum_discharge.as_milliamps()) * 1.5e-3;
        spec.balancer.maximum_current = f64::from(ratings.balance.as_milliamps()) * 1e-3;
        spec.balancer.store_joules = spec.balancer.maximum_current * 42.0;
        if let Some(resistance) = ratings.resistance {
            spec.switch_mohm = f64::from(resistance.as_microohms()) * 1e-3;
        }
    }
    spec.supply_minimum = f64::from(config.cell_count()) * 0.8;
    spec
}
