//! What a simulated pack is built of.

use bms_core::config::{Chemistry, Topology};
use bms_core::measurement::BATTERY_SENSORS;

use super::balancer::BalancerSpec;
use super::sensor::{SensorErrors, Thermistor};

/// The pack and its board. Start from [`PackSpec::new`] and change fields.
#[derive(Clone, Debug)]
pub struct PackSpec {
    /// Chemistry of the cells.
    pub chemistry: Chemistry,
    /// Number of cells in series, 4 … 32.
    pub cells: u8,
    /// Nominal capacity in Ah.
    pub capacity_ah: f64,
    /// State of charge at the start, 0 … 1; cells beyond [`PackSpec::cell_soc`] take this one.
    pub soc: f64,
    /// State of charge of single cells, cell 1 first; shorter is fine.
    pub cell_soc: Vec<f64>,
    /// Standard deviation of the state of charge from cell to cell.
    pub soc_spread: f64,
    /// Relative standard deviation of the capacity from cell to cell.
    pub capacity_spread: f64,
    /// Relative standard deviation of the resistances from cell to cell.
    pub resistance_spread: f64,
    /// Half the distance of the charging from the discharging branch of the open-circuit voltage, V; 0: no hysteresis.
    pub hysteresis: f64,
    /// Ambient temperature at the start, °C; everything begins at it.
    pub ambient_c: f64,
    /// Heat that one cell gives to the ambient, W/K for one Ah^(2/3).
    pub heat_loss: f64,
    /// Seed of the one pseudo-random generator (PCG-64-MCG): spreads, biases, noise.
    pub seed: u64,
    /// How the switches are built.
    pub topology: Topology,
    /// Resistance of both switches together, mΩ.
    pub switch_mohm: f64,
    /// Time to open and to close a switch, µs.
    pub switch_times_us: (u32, u32),
    /// Warming of the switches, K/W, and their heat capacity, J/K.
    pub switch_thermal: (f64, f64),
    /// Resistance of busbars and fuse, mΩ.
    pub busbar_mohm: f64,
    /// Resistance of each sense wire, mΩ.
    pub wire_mohm: f64,
    /// Short-circuit comparator: threshold in A and delay in µs.
    pub comparator: (f64, u32),
    /// Where the front end's cell inputs saturate, V.
    pub cell_range: f64,
    /// Where the current measurement ends, A: beyond it the reading fails.
    pub current_range: f64,
    /// Precharge resistor, Ω; `None`: not fitted.
    pub precharge_ohms: Option<f64>,
    /// Capacitance at the terminals (an inverter's), mF.
    pub terminal_millifarads: f64,
    /// Heating film, Ω; `None`: not fitted.
    pub heater_ohms: Option<f64>,
    /// Whether the heater is fed by the battery (through the shunt) or by the charger's input.
    pub heater_from_battery: bool,
    /// What the board itself draws from the pack, beside the shunt, A.
    pub board_current: f64,
    /// How long the board's supply bridges a collapsed stack voltage, µs.
    pub supply_hold_up_us: u32,
    /// Below this stack voltage the supply collapses, V.
    pub supply_minimum: f64,
    /// The balancer.
    pub balancer: BalancerSpec,
    /// Errors of the measurement.
    pub sensors: SensorErrors,
    /// What each battery temperature input is connected to. Sensor k sits at cell `k × cells / sensors`.
    pub thermistors: [Thermistor; BATTERY_SENSORS],
    /// Whether B+…B− is measured before the switches.
    pub stack_voltage: bool,
    /// Whether the voltage behind the switches is measured.
    pub terminal_voltage: bool,
    /// Whether the board sees charger and load by inputs of their own.
    pub presence_inputs: bool,
}

impl PackSpec {
    /// A 100 Ah pack at 50 %, 25 °C, with equal cells, perfect sensors and the manual's board: back-to-back switches,
    /// two temperature sensors, stack voltage, an active balancer.
    #[must_use]
    pub fn new(chemistry: Chemistry, cells: u8) -> Self {
        use Thermistor::{Fitted, NotFitted};
        Self {
            chemistry,
            cells,
            capacity_ah: 100.0,
            soc: 0.5,
            cell_soc: Vec::new(),
            soc_spread: 0.0,
            capacity_spread: 0.0,
            resistance_spread: 0.0,
            hysteresis: 0.0,
            ambient_c: 25.0,
            heat_loss: 0.025,
            seed: 1,
            topology: Topology::BackToBack,
            switch_mohm: 0.65,
            switch_times_us: (200, 500),
            switch_thermal: (0.6, 250.0),
            busbar_mohm: 1.0,
            wire_mohm: 20.0,
            comparator: (700.0, 200),
            cell_range: 5.0,
            current_range: 500.0,
            precharge_ohms: None,
            terminal_millifarads: 0.1,
            heater_ohms: None,
            heater_from_battery: true,
            board_current: 0.01,
            supply_hold_up_us: 5_000,
            supply_minimum: 12.0,
            balancer: BalancerSpec::default(),
            sensors: SensorErrors::default(),
            thermistors: [Fitted, Fitted, NotFitted, NotFitted, NotFitted],
            stack_voltage: true,
            terminal_voltage: false,
            presence_inputs: false,
        }
    }
}

/// A pack that cannot be simulated; the text says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImpossiblePack(pub &'static str);

impl std::fmt::Display for ImpossiblePack {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for ImpossiblePack {}

impl PackSpec {
    pub(super) fn check(&self) -> Result<(), ImpossiblePack> {
        let finite = [self.capacity_ah, self.soc, self.ambient_c, self.switch_mohm, self.busbar_mohm, self.wire_mohm];
        if !finite.iter().all(|value| value.is_finite()) || !self.cell_soc.iter().all(|soc| soc.is_finite()) {
            return Err(ImpossiblePack("a quantity of the pack is not a number"));
        }
        if !(4..=32).contains(&self.cells) {
            return Err(ImpossiblePack("a pack has 4 to 32 cells"));
        }
        if self.capacity_ah <= 0.0 {
            return Err(ImpossiblePack("the capacity must be above zero"));
        }
        if self.switch_mohm + self.busbar_mohm <= 0.0 {
            return Err(ImpossiblePack("the resistance of switches and busbars must be above zero"));
        }
        if !(0.0..=1.0).contains(&self.balancer.efficiency) || self.balancer.efficiency == 0.0 {
            return Err(ImpossiblePack("the balancer's efficiency lies above 0 and at most at 1"));
        }
        Ok(())
    }
}
