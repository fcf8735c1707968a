//! A closed loop: the board on a simulated pack.

use bms_core::config::{ParameterId, SensorPolicy, ValidConfig};

use crate::plant::{
    Charger as PlantCharger, ImpossiblePack, Load as PlantLoad, PackSpec, Plant, SwitchFault, Thermistor, Wire,
};

use super::scenario::{Change, Channel, Charger, Fault, Load, Scenario};

/// The resistance of a short circuit, Ω.
const SHORT_OHMS: f64 = 0.005;

/// The pack that a scenario describes.
#[must_use]
pub fn spec(scenario: &Scenario, seed: u64) -> PackSpec {
    let config = &scenario.config;
    let plant = &scenario.plant;
    let stated = |value: &Option<toml::Spanned<f64>>| value.as_ref().map_or(0.0, |value| *value.get_ref());
    let mut spec = PackSpec::new(config.chemistry(), config.cell_count());
    spec.capacity_ah = *scenario.pack.capacity_ah.get_ref();
    if let Some(soc) = &scenario.pack.initial_soc {
        spec.cell_soc =
            (0..usize::from(spec.cells)).filter_map(|cell| soc.get_ref().of(cell)).map(|soc| soc / 100.0).collect();
    }
    spec.capacity_spread = stated(&plant.capacity_spread) / 100.0;
    spec.resistance_spread = stated(&plant.resistance_spread) / 100.0;
    if let Some(ambient) = &plant.ambient {
        spec.ambient_c = *ambient.get_ref();
    }
    if let Some(resistance) = &plant.wire_resistance {
        spec.wire_mohm = resistance.get_ref() * 1e3;
    }
    spec.seed = seed;
    spec.sensors.cell.noise = stated(&plant.voltage_noise);
    spec.sensors.cell.offset = stated(&plant.voltage_bias);
    spec.sensors.stack.noise = stated(&plant.voltage_noise);
    spec.sensors.current.noise = stated(&plant.current_noise);
    spec.sensors.current.gain = 1.0 + stated(&plant.current_gain) / 100.0;
    spec.sensors.current.offset = stated(&plant.current_offset);
    spec.sensors.temperature.offset = stated(&plant.temperature_bias);
    fit_board(&mut spec, config);
    spec
}

/// The board as the configuration says that it is.
pub fn fit_board(spec: &mut PackSpec, config: &ValidConfig) {
    let board = config.board();
    spec.topology = board.topology;
    spec.stack_voltage = board.stack_voltage;
    spec.terminal_voltage = board.terminal_voltage;
    spec.presence_inputs = true;
    spec.precharge_ohms = board.precharge.then_some(20.0);
    if !board.hardware_short_circuit {
        spec.comparator.0 = f64::INFINITY;
    }
    for (thermistor, policy) in spec.thermistors.iter_mut().zip(board.sensors) {
        *thermistor = if policy == SensorPolicy::NotFitted { Thermistor::NotFitted } else { Thermistor::Fitted };
    }
    let heater = config.get(ParameterId::HeaterResistance);
    spec.heater_ohms = (heater > 0).then(|| f64::from(heater) * 1e-6);
    spec.heater_from_battery = config.flag(ParameterId::HeaterFromBattery);
    if let Some(resistance) = config.model().and_then(|model| model.ratings().resistance) {
        spec.switch_mohm = f64::from(resistance.as_microohms()) * 1e-3;
    }
    let balance = config.model().map_or(2.0, |model| f64::from(model.ratings().balance.as_milliamps()) * 1e-3);
    spec.balancer.maximum_current = balance;
}

/// A plant with what a scenario can do to it.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// The pack.
    pub plant: Plant,
    capacity_ah: f64,
    charger_volts: f64,
}

impl ClosedLoop {
    /// A pack at rest.
    ///
    /// # Errors
    /// The specification is impossible.
    pub fn new(config: &ValidConfig, spec: &PackSpec) -> Result<Self, ImpossiblePack> {
        let cell = |parameter| f64::from(config.get(parameter)) * 1e-6;
        let charged = (cell(ParameterId::CellOvervoltageProtection) + cell(ParameterId::CellOvervoltageRecovery)) / 2.0;
        Ok(Self {
            plant: Plant::new(spec)?,
            capacity_ah: spec.capacity_ah,
            charger_volts: charged * f64::from(config.cell_count()),
        })
    }

    /// A charger that suits the pack.
    #[must_use]
    pub fn suitable_charger(&self) -> PlantCharger {
        PlantCharger { voltage: self.charger_volts, current: self.capacity_ah * 0.5 }
    }

    /// Carries out one field of an `[[at]]`; requests, parameters and resets are not for the pack.
    pub fn change(&mut self, change: &Change) {
        let plant = &mut self.plant;
        match change {
            Change::AllCells(volts) => {
                let count = usize::from(plant.spec().cells);
                plant.dictated().cells = vec![Some(*volts); count];
            }
            Change::Cell(cell, volts) => dictate(&mut plant.dictated().cells, *cell, Some(*volts)),
            Change::Current(amperes) => {
                // A source or sink that forces this current, as far as the switches let it.
                let charger = PlantCharger { voltage: 150.0, current: *amperes };
                plant.set_charger((*amperes > 0.0).then_some(charger));
                plant.set_load(if *amperes < 0.0 { PlantLoad::Current(-amperes) } else { PlantLoad::None });
            }
            Change::Battery(sensor, degrees) => {
                if let Some(slot) = plant.dictated().battery.get_mut(usize::from(*sensor)) {
                    *slot = Some(*degrees);
                }
            }
            Change::Mos(degrees) => plant.dictated().mos = Some(*degrees),
            Change::Stack(volts) => plant.dictated().stack = Some(*volts),
            Change::Terminal(volts) => plant.dictated().terminal = Some(*volts),
            Change::Ambient(degrees) => {
                plant.set_ambient(*degrees);
                plant.set_cell_temperature(*degrees);
            }
            Change::Charger(charger) => {
                let suitable = self.suitable_charger();
                self.plant.set_charger(match *charger {
                    Charger::Absent => None,
                    Charger::Suitable => Some(suitable),
                    Charger::Rated { voltage, current } => Some(PlantCharger { voltage, current }),
                });
            }
            Change::Load(load) => plant.set_load(match *load {
                Load::Absent => PlantLoad::None,
                Load::Present => PlantLoad::Current(self.capacity_ah * 0.2),
                Load::Draws(amperes) => PlantLoad::Current(amperes),
            }),
            Change::ShortCircuit(shorted) => plant.set_short_circuit(shorted.then_some(SHORT_OHMS)),
            Change::Activation(pressed) => plant.set_activation(*pressed),
            Change::SelfTestFailed(failed) => plant.set_self_test_failed(*failed),
            Change::Valid(channels) => channels.iter().for_each(|channel| self.undictate(*channel)),
            Change::Fault(fault) => self.break_or_mend(*fault),
            Change::Request(_) | Change::Set(_) | Change::Reset(_) | Change::Lost(_) | Change::MeasuredCells(_) => {}
        }
    }

    /// The sensor shows the pack again.
    fn undictate(&mut self, channel: Channel) {
        let dictated = self.plant.dictated();
        match channel {
            Channel::All => *dictated = crate::plant::Dictated::default(),
            Channel::Cells => dictated.cells.clear(),
            Channel::Cell(cell) => {
                if let Some(slot) = dictated.cells.get_mut(usize::from(cell)) {
                    *slot = None;
                }
            }
            Channel::Current => dictated.current = None,
            Channel::Temperatures => {
                dictated.battery = Default::default();
                dictated.mos = None;
            }
            Channel::Battery(sensor) => {
                if let Some(slot) = dictated.battery.get_mut(usize::from(sensor)) {
                    *slot = None;
                }
            }
            Channel::Mos => dictated.mos = None,
            Channel::Stack => dictated.stack = None,
            Channel::Terminal => dictated.terminal = None,
        }
    }

    fn break_or_mend(&mut self, fault: Fault) {
        match fault {
            Fault::None => {
                self.plant.set_charge_switch_fault(SwitchFault::None);
                self.plant.set_discharge_switch_fault(SwitchFault::None);
                let ohms = self.plant.spec().wire_mohm * 1e-3;
                for wire in 0..=usize::from(self.plant.spec().cells) {
                    self.plant.set_wire(wire, Wire::Ohms(ohms));
                }
            }
            Fault::OpenWire(wire) => self.plant.set_wire(usize::from(wire), Wire::Open),
            Fault::WireResistance(wire, ohms) => self.plant.set_wire(usize::from(wire), Wire::Ohms(ohms)),
            Fault::ChargeSwitch(fault) => self.plant.set_charge_switch_fault(fault),
            Fault::DischargeSwitch(fault) => self.plant.set_discharge_switch_fault(fault),
            Fault::Injected(_) => {}
        }
    }
}

fn dictate(cells: &mut Vec<Option<f64>>, cell: u8, volts: Option<f64>) {
    let index = usize::from(cell);
    if cells.len() <= index {
        cells.resize(index + 1, None);
    }
    if let Some(slot) = cells.get_mut(index) {
        *slot = volts;
    }
}
