//! What is unsafe, judged by the truth of the plant and the limits of the configuration, never by what the core believes.

use bms_core::balancing::Plan;
use bms_core::config::{ParameterId as P, ValidConfig};
use bms_core::time::{Duration, Instant, ms};
use bms_host::plant::Plant;

/// An energy path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as the outputs")]
pub enum Path {
    Charge,
    Discharge,
    Heater,
    Balancer,
}

/// How far a reading may be from the truth without being wrong: what is beyond a limit by less is not beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blur {
    /// V.
    pub cell: f64,
    /// A.
    pub current: f64,
    /// °C.
    pub temperature: f64,
}

impl Blur {
    /// Rounding of good sensors.
    pub const ROUNDING: Self = Self { cell: 0.001, current: 0.1, temperature: 0.2 };
}

/// The truth at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    /// Lowest and highest cell, V.
    pub cells: (f64, f64),
    /// Coldest and warmest cell, °C.
    pub temperatures: (f64, f64),
    /// The switches, °C.
    pub mos: f64,
    /// A, positive charging.
    pub current: f64,
    /// Whether the charge and the discharge switch conduct.
    pub conducts: (bool, bool),
    /// Whether the heater is on.
    pub heater: bool,
    /// The lowest cell that the balancer takes from, and the highest that it gives to, V.
    pub balancer: Option<(f64, f64)>,
}

impl Truth {
    /// Looks at the plant.
    #[must_use]
    pub fn of(plant: &Plant) -> Self {
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let volts = |cell: u8| plant.cell_voltages().nth(usize::from(cell)).unwrap_or(f64::NAN);
        let balancer = match *plant.plan() {
            Plan::Idle => None,
            Plan::Transfer { source, destination, .. } | Plan::Shuttle { source, destination, .. } => {
                Some((volts(source), volts(destination)))
            }
            Plan::Bleed { mask, .. } => {
                let bled = plant.cell_voltages().enumerate().filter(|(cell, _)| mask >> cell & 1 == 1);
                Some((bled.map(|(_, volts)| volts).fold(f64::MAX, f64::min), f64::MIN))
            }
            // Unknown plans count as the worst.
            _ => Some((f64::MIN, f64::MAX)),
        };
        Self {
            cells: ends(&mut plant.cell_voltages()),
            temperatures: ends(&mut plant.cell_temperatures()),
            mos: plant.mos_temperature(),
            current: plant.current(),
            conducts: plant.switches(),
            heater: plant.heater_on(),
            balancer,
        }
    }
    /// Whether a path is closed.
    #[must_use]
    pub const fn is_closed(&self, path: Path) -> bool {
        match path {
            Path::Charge => self.conducts.0,
            Path::Discharge => self.conducts.1,
            Path::Heater => self.heater,
            Path::Balancer => self.balancer.is_some(),
        }
    }
}

/// Limits as the plant measures.
struct Limits<'a>(&'a ValidConfig, &'a Blur);

impl Limits<'_> {
    fn volts(&self, parameter: P) -> f64 {
        f64::from(self.0.get(parameter)) * 1e-6
    }
    fn amps(&self, parameter: P) -> f64 {
        f64::from(self.0.get(parameter)) * 1e-3
    }
    fn degrees(&self, parameter: P) -> f64 {
        f64::from(self.0.get(parameter)) * 0.1
    }
    /// Another direction's current flows through a switch that would else heat its diode (X12).
    fn bypasses(&self, current: f64) -> bool {
        let limit = self.amps(P::DiodeBypassCurrent);
        limit > 0.0 && current > limit - self.1.current
    }
}

/// One way to be unsafe.
pub struct Hazard {
    /// What it is called in the tables.
    pub name: &'static str,
    /// The rule that forbids it.
    pub rule: &'static str,
    /// The path that must be open.
    pub path: Path,
    /// The quantity that it lies in, for faults that blind it.
    pub quantity: Quantity,
    delay: fn(&ValidConfig) -> Duration,
    beyond: fn(&Truth, &Limits<'_>, &Blur) -> bool,
}

/// What a hazard lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the quantities")]
pub enum Quantity {
    Cells,
    /// Which cell is which.
    CellOrder,
    Current,
    Temperature,
    Mos,
}

fn after(parameter: P) -> impl Fn(&ValidConfig) -> Duration {
    move |config| config.duration(parameter)
}

/// **The table of what is unsafe.**
pub const HAZARDS: [Hazard; 18] = [
    Hazard {
        name: "charging above over-voltage",
        rule: "P03",
        path: Path::Charge,
        quantity: Quantity::Cells,
        delay: |config| after(P::CellOvervoltageDelay)(config),
        beyond: |truth, limits, blur| {
            truth.cells.1 > limits.volts(P::CellOvervoltageProtection) + blur.cell && !limits.bypasses(-truth.current)
        },
    },
    Hazard {
        name: "discharging below under-voltage",
        rule: "P01",
        path: Path::Discharge,
        quantity: Quantity::Cells,
        delay: |config| after(P::CellUndervoltageDelay)(config),
        beyond: |truth, limits, blur| {
            truth.cells.0 < limits.volts(P::CellUndervoltageProtection) - blur.cell && !limits.bypasses(truth.current)
        },
    },
    Hazard {
        name: "charging a deeply discharged cell",
        rule: "X13",
        path: Path::Charge,
        quantity: Quantity::Cells,
        delay: |_| ms(5_000),
        beyond: |truth, limits, blur| truth.cells.0 < limits.volts(P::NeverChargeVoltage) - blur.cell,
    },
    Hazard {
        name: "charge over-current",
        rule: "P06",
        path: Path::Charge,
        quantity: Quantity::Current,
        delay: |config| after(P::ChargeOvercurrentDelay)(config),
        beyond: |truth, limits, blur| truth.current > limits.amps(P::ChargeOvercurrentProtection) + blur.current,
    },
    Hazard {
        name: "severe charge over-current",
        rule: "X06",
        path: Path::Charge,
        quantity: Quantity::Current,
        delay: |config| after(P::SevereChargeDelay)(config),
        beyond: |truth, limits, blur| {
            let ratio = f64::from(limits.0.get(P::SevereChargeRatio)) * 1e-3;
            ratio > 0.0 && truth.current > limits.amps(P::ChargeOvercurrentProtection) * ratio + blur.current
        },
    },
    Hazard {
        name: "discharge over-current",
        rule: "P08",
        path: Path::Discharge,
        quantity: Quantity::Current,
        delay: |config| after(P::DischargeOvercurrentDelay)(config),
        beyond: |truth, limits, blur| -truth.current > limits.amps(P::DischargeOvercurrentProtection) + blur.current,
    },
    Hazard {
        name: "severe discharge over-current",
        rule: "X05",
        path: Path::Discharge,
        quantity: Quantity::Current,
        delay: |config| after(P::SevereDischargeDelay)(config),
        beyond: |truth, limits, blur| {
            let limit = limits.amps(P::SevereDischargeCurrent);
            limit > 0.0 && -truth.current > limit + blur.current
        },
    },
    Hazard {
        name: "charging too warm",
        rule: "P12",
        path: Path::Charge,
        quantity: Quantity::Temperature,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| {
            truth.temperatures.1 > limits.degrees(P::ChargeOvertemperatureProtection) + blur.temperature
                && !limits.bypasses(-truth.current)
        },
    },
    Hazard {
        name: "discharging too warm",
        rule: "P13",
        path: Path::Discharge,
        quantity: Quantity::Temperature,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| {
            truth.temperatures.1 > limits.degrees(P::DischargeOvertemperatureProtection) + blur.temperature
                && !limits.bypasses(truth.current)
        },
    },
    Hazard {
        name: "charging too cold",
        rule: "P14",
        path: Path::Charge,
        quantity: Quantity::Temperature,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| {
            truth.temperatures.0 < limits.degrees(P::ChargeUndertemperatureProtection) - blur.temperature
                && !limits.bypasses(-truth.current)
        },
    },
    Hazard {
        name: "discharging too cold",
        rule: "D11",
        path: Path::Discharge,
        quantity: Quantity::Temperature,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| {
            limits.0.flag(P::DischargeUndertemperature)
                && truth.temperatures.0 < limits.degrees(P::DischargeUndertemperatureProtection) - blur.temperature
                && !limits.bypasses(truth.current)
        },
    },
    Hazard {
        name: "charging with hot switches",
        rule: "P15",
        path: Path::Charge,
        quantity: Quantity::Mos,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| truth.mos > limits.degrees(P::MosOvertemperatureProtection) + blur.temperature,
    },
    Hazard {
        name: "discharging with hot switches",
        rule: "P15",
        path: Path::Discharge,
        quantity: Quantity::Mos,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| truth.mos > limits.degrees(P::MosOvertemperatureProtection) + blur.temperature,
    },
    Hazard {
        name: "heating a warm battery",
        rule: "H01",
        path: Path::Heater,
        quantity: Quantity::Temperature,
        delay: |_| Duration::ZERO,
        beyond: |truth, limits, blur| {
            truth.temperatures.0 > limits.degrees(P::ChargeUndertemperatureRecovery) + blur.temperature
        },
    },
    Hazard {
        name: "balancing into a full cell",
        rule: "D27",
        path: Path::Balancer,
        quantity: Quantity::CellOrder,
        delay: |_| Duration::ZERO,
        beyond: |truth, limits, blur| {
            truth.balancer.is_some_and(|(_, to)| to > limits.volts(P::CellOvervoltageRecovery) + blur.cell)
        },
    },
    Hazard {
        name: "balancing out of an empty cell",
        rule: "D27",
        path: Path::Balancer,
        quantity: Quantity::CellOrder,
        delay: |_| Duration::ZERO,
        beyond: |truth, limits, blur| {
            truth.balancer.is_some_and(|(from, _)| from < limits.volts(P::CellUndervoltageRecovery) - blur.cell)
        },
    },
    Hazard {
        name: "balancing too warm",
        rule: "D27",
        path: Path::Balancer,
        quantity: Quantity::Temperature,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| {
            truth.temperatures.1 > limits.degrees(P::ChargeOvertemperatureProtection) + blur.temperature
        },
    },
    Hazard {
        name: "balancing with hot switches",
        rule: "D27",
        path: Path::Balancer,
        quantity: Quantity::Mos,
        delay: |config| after(P::TemperatureDelay)(config),
        beyond: |truth, limits, blur| truth.mos > limits.degrees(P::MosOvertemperatureProtection) + blur.temperature,
    },
];

/// Follows the truth and measures how long each path was closed beyond its limit.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    since: [Option<Instant>; HAZARDS.len()],
    worst: [Duration; HAZARDS.len()],
}

impl Watch {
    /// Nothing was seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { since: [None; HAZARDS.len()], worst: [Duration::ZERO; HAZARDS.len()] }
    }
    /// Looks at one moment.
    pub fn look(&mut self, now: Instant, truth: &Truth, config: &ValidConfig, blur: &Blur) {
        let limits = Limits(config, blur);
        for ((hazard, since), worst) in HAZARDS.iter().zip(&mut self.since).zip(&mut self.worst) {
            if truth.is_closed(hazard.path) && (hazard.beyond)(truth, &limits, blur) {
                let began = *since.get_or_insert(now);
                *worst = (*worst).max(now.since(began));
            } else {
                *since = None;
            }
        }
    }
    /// Every hazard with the longest time that its path stayed closed beyond the limit, and the delay of its rule.
    pub fn worst<'a>(
        &'a self,
        config: &'a ValidConfig,
    ) -> impl Iterator<Item = (usize, &'static Hazard, Duration, Duration)> + 'a {
        HAZARDS
            .iter()
            .zip(self.worst)
            .enumerate()
            .map(|(index, (hazard, worst))| (index, hazard, worst, (hazard.delay)(config)))
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
