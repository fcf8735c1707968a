//! The simulated pack, and what of it reaches the sensors.

use bms_core::command::{Expiring, Switch};
use bms_core::config::Chemistry;
use bms_core::measurement::{Group, Reading, Sample};
use bms_core::time::{Duration, secs};
use bms_core::units::Temperature;
use bms_host::plant::{Channels, PackSpec, Plant, Thermistor};

/// What the sensors see.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Between neighbouring taps, V. A cut tap is pulled to B− by its divider.
    pub taps: Vec<f64>,
    /// A, positive charging.
    pub current: f64,
    /// °C; `None` for one that is unplugged.
    pub battery: [Option<f64>; 2],
    pub mos: Option<f64>,
    /// V.
    pub stack: f64,
    pub charger: bool,
    pub activation: bool,
    /// The key that lets tools change something.
    pub key: bool,
}

pub struct World {
    pub plant: Plant,
    /// Taps that are cut off; 0 is the top of cell 1.
    pub cut: u32,
    pub charger: bool,
    pub activation: bool,
    pub key: bool,
    sample: Sample<24>,
}

impl World {
    pub fn new(cells: u8) -> Result<Self, String> {
        let mut spec = PackSpec::new(Chemistry::LiFePo4, cells);
        // 2.6 A at any number of cells: H02 allows 3 A, and more than 5 A would look like a load (X12).
        spec.heater_ohms = Some(1.25 * f64::from(cells));
        // Nothing flows by itself.
        spec.board_current = 0.0;
        let plant = Plant::new(&spec).map_err(|error| format!("{error:?}"))?;
        Ok(Self { plant, cut: 0, charger: false, activation: false, key: false, sample: Sample::new() })
    }
    /// Carries the pack on with the outputs as they are.
    pub fn advance(&mut self, milliseconds: u64, charge: bool, discharge: bool, heater: bool) -> Seen {
        self.plant.drive(Switch::closed_if(charge), Switch::closed_if(discharge), true);
        let until = self.plant.now().after(secs(1));
        self.plant.heat(if heater { Expiring::On { until } } else { Expiring::Off });
        self.plant.advance(Duration::from_millis(u32::try_from(milliseconds).unwrap_or(u32::MAX)));
        self.seen()
    }
    pub fn seen(&mut self) -> Seen {
        self.plant.measure(Channels::ALL, &mut self.sample);
        let celsius = |reading: Reading<Temperature>| reading.valid().map(|value| f64::from(value.as_tenths()) / 10.0);
        let (battery, mos) = match self.sample.temperatures {
            Group::Measured { value, .. } => {
                ([celsius(value.battery[0]), celsius(value.battery[1])], celsius(value.mos))
            }
            _ => ([None, None], None),
        };
        let mut taps = Vec::new();
        let mut top = 0.0;
        if let Group::Measured { value, .. } = &self.sample.cells {
            for index in 0..usize::from(value.count()) {
                top += value.get(index).valid().map_or(0.0, |volts| f64::from(volts.as_microvolts()) * 1e-6);
                taps.push(if self.cut >> index & 1 == 1 { 0.0 } else { top });
            }
        }
        let current = match self.sample.current {
            Group::Measured { value, .. } => f64::from(value.as_milliamps()) * 1e-3,
            _ => 0.0,
        };
        let stack = match self.sample.stack {
            Group::Measured { value, .. } => f64::from(value.as_microvolts()) * 1e-6,
            _ => 0.0,
        };
        Seen { taps, current, battery, mos, stack, charger: self.charger, activation: self.activation, key: self.key }
    }
    /// Dictates one cell's voltage, and with it the stack's; `None` ends that.
    pub fn cell(&mut self, index: usize, volts: Option<f64>) {
        let cells: Vec<f64> = self.plant.cell_voltages().collect();
        let dictated = self.plant.dictated();
        dictated.cells = vec![None; cells.len()];
        dictated.cells[index] = volts;
        let others: f64 = cells.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, volts)| volts).sum();
        dictated.stack = volts.map(|volts| others + volts);
    }
    pub fn current(&mut self, amperes: Option<f64>) {
        self.plant.dictated().current = amperes;
    }
    pub fn battery(&mut self, index: usize, celsius: f64) {
        self.plant.dictated().battery[index] = Some(celsius);
    }
    pub fn mos(&mut self, celsius: f64) {
        self.plant.dictated().mos = Some(celsius);
    }
    pub fn unplug(&mut self, index: usize) {
        self.plant.set_thermistor(index, Thermistor::Open);
    }
    pub fn unplug_mos(&mut self) {
        self.plant.set_mos_thermistor(Thermistor::Open);
    }
}

/// The part of the reference that stands over a thermistor of 10 kΩ (B = 3435 K) to ground, against 10 kΩ; all of it when
/// it is unplugged.
pub fn thermistor(celsius: Option<f64>) -> f64 {
    celsius.map_or(1.0, |celsius| {
        let ohms = 1e4 * (3_435.0 * (1.0 / (celsius + 273.15) - 1.0 / 298.15)).exp();
        ohms / (ohms + 1e4)
    })
}
