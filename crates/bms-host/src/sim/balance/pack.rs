//! The packs that strategies are compared on, and the truth about them.

use bms_core::balancing::BalancerKind;
use bms_core::config::{Chemistry, Config, Model, ParameterId, ValidConfig};
use bms_core::units::Charge;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::BalanceArguments;
use crate::plant::{Charger, Load, PackSpec, Plant};

/// What happens to the pack meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Use {
    /// Nothing: it rests at 60 %.
    Rest,
    /// It is charged once with 0.2 C from 50 % until full.
    Charge,
    /// It is charged with 0.2 C until full and discharged with 0.2 C to 40 %, again and again.
    Cycle,
}

impl Use {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Charge => "charge",
            Self::Cycle => "cycle",
        }
    }
    const fn start(self) -> f64 {
        match self {
            Self::Rest => 0.6,
            Self::Charge | Self::Cycle => 0.5,
        }
    }
}

/// The configuration of the core.
///
/// # Errors
/// What the core finds wrong with it.
pub fn config(arguments: &BalanceArguments, step_ms: u32) -> Result<ValidConfig, String> {
    let base = match arguments.chemistry {
        Chemistry::LiIon => Config::li_ion(arguments.cells),
        Chemistry::LiFePo4 => Config::lifepo4(arguments.cells),
        Chemistry::Lto => Config::lto(arguments.cells),
    };
    let capacity = Charge::from_milliamp_hours((arguments.capacity_ah * 1e3) as i64);
    let most = (arguments.capacity_ah * 100.0).min(2_000.0) as i32;
    let milliamps = ((arguments.current * 1e3) as i32).min(most) / 10 * 10;
    base.with_model(Model::B2a24s20p)
        .with_capacity(capacity)
        .with(ParameterId::BalanceCurrent, milliamps)
        .with(ParameterId::SamplePeriod, step_ms as i32)
        .validate()
        .map_err(|violations| violations.iter().map(|violation| violation.to_string()).collect::<Vec<_>>().join("; "))
}

/// The pack of a seed: charge and capacity of the cells normally distributed, a bias on each cell's reading.
#[must_use]
pub fn spec(arguments: &BalanceArguments, kind: BalancerKind, seed: u64) -> PackSpec {
    // Its own generator, so that the plant's draws do not depend on the number of cells.
    let mut random = Pcg64Mcg::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut spec = PackSpec::new(arguments.chemistry, arguments.cells);
    spec.capacity_ah = arguments.capacity_ah;
    spec.seed = seed;
    spec.resistance_spread = 0.03;
    spec.sensors.cell.noise = 0.001;
    let cells = 0..arguments.cells;
    let spread = arguments.spread / 100.0;
    let start = arguments.usage.start();
    spec.cell_soc = cells.clone().map(|_| (start + spread * normal(&mut random)).clamp(0.02, 0.98)).collect();
    spec.cell_capacity = cells.clone().map(|_| 1.0 + 0.02 * normal(&mut random)).collect();
    spec.cell_bias = cells.map(|_| arguments.bias * 1e-3 * (2.0 * uniform(&mut random) - 1.0)).collect();
    if let (Some(part), Some(weak)) = (arguments.weak, spec.cell_capacity.get_mut(usize::from(arguments.cells / 2))) {
        *weak = part / 100.0;
        // Level with the others when full, as a cell that aged in a pack that was kept balanced.
        if let Some(soc) = spec.cell_soc.get_mut(usize::from(arguments.cells / 2)) {
            *soc = 1.0 - (1.0 - start) / (part / 100.0);
        }
    }
    spec.balancer.kind = kind;
    spec.balancer.maximum_current = 2.0;
    // As much as the active ones move, so that they can be compared.
    spec.balancer.bleed_ohms = volts(arguments.chemistry) / arguments.current;
    spec
}

/// Evenly from 0 to 1.
fn uniform(random: &mut Pcg64Mcg) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Normally distributed, to within ±6.
fn normal(random: &mut Pcg64Mcg) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

/// A typical cell voltage.
#[must_use]
pub const fn volts(chemistry: Chemistry) -> f64 {
    match chemistry {
        Chemistry::LiIon => 3.8,
        Chemistry::LiFePo4 => 3.31,
        Chemistry::Lto => 2.3,
    }
}

/// Where each cell truly stands.
///
/// At rest that is its state of charge. A pack in use has another state of charge every minute, and cells of different
/// capacity can be level at one state of charge of the pack only; what balancing is for is that all are full at the same
/// time. So in use it is the state of charge that the cell has when the first cell is full.
#[must_use]
pub fn standing(plant: &Plant, usage: Use, nominal_ah: f64) -> Vec<(f64, f64)> {
    let parts = plant.spec().cell_capacity.iter();
    let cells: Vec<(f64, f64)> = plant.socs().zip(parts.map(|part| part * nominal_ah)).collect();
    if usage == Use::Rest {
        return cells;
    }
    let least = cells.iter().map(|(soc, capacity)| capacity * (1.0 - soc)).fold(f64::MAX, f64::min);
    cells.iter().map(|(soc, capacity)| (1.0 - (capacity * (1.0 - soc) - least) / capacity, *capacity)).collect()
}

/// Highest minus lowest.
#[must_use]
pub fn spread(standing: &[(f64, f64)]) -> f64 {
    let (low, high) = standing.iter().fold((f64::MAX, f64::MIN), |(l, h), (x, _)| (l.min(*x), h.max(*x)));
    high - low
}

/// What the pack delivers at its terminals: charged with 0.2 C until the first cell is at its over-voltage protection, then
/// discharged with 0.2 C until the first is at its under-voltage protection; Ah. The pack is a copy.
#[must_use]
pub fn usable_ah(mut plant: Plant, config: &ValidConfig, nominal_ah: f64) -> f64 {
    use bms_core::command::Switch::Closed;
    use bms_core::time::Duration;
    let volts = |parameter| f64::from(config.get(parameter)) * 1e-6;
    let (full, empty) = (volts(ParameterId::CellOvervoltageProtection), volts(ParameterId::CellUndervoltageProtection));
    let current = nominal_ah * 0.2;
    let step = Duration::from_millis(5_000);
    plant.reset_outputs();
    plant.set_load(Load::None);
    plant.set_charger(Some(Charger { voltage: 150.0, current }));
    let mut limit = 20_000;
    while limit > 0 && plant.cell_voltages().all(|cell| cell < full) {
        plant.drive(Closed, Closed, true);
        plant.advance(step);
        limit -= 1;
    }
    let charge = |plant: &Plant| plant.charges().sum::<f64>() / 3_600.0 / f64::from(plant.spec().cells);
    let before = charge(&plant);
    plant.set_charger(None);
    plant.set_load(Load::Current(current));
    while limit > 0 && plant.cell_voltages().all(|cell| cell > empty) {
        plant.drive(Closed, Closed, true);
        plant.advance(step);
        limit -= 1;
    }
    before - charge(&plant)
}
