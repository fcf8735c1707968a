//! What the simulated cells are made of: open-circuit voltages and resistances of published kind.
//!
//! The tables are the simulator's own. They are meant to differ from whatever a state-of-charge estimator in the core
//! assumes, as real cells do.

use bms_core::config::Chemistry;

/// What all cells of a chemistry share, for one ampere-hour of capacity where it depends on size.
#[derive(Clone, Copy, Debug)]
pub struct CellKind {
    /// Open-circuit voltage in V over the state of charge, from over-discharge to over-charge.
    pub open_circuit: &'static [(f64, f64)],
    /// Ohmic resistance in Ω·Ah at 25 °C: a 100 Ah cell has a hundredth.
    pub ohmic: f64,
    /// The fast and the slow polarisation: resistance in Ω·Ah and time constant in s.
    pub polarisation: [(f64, f64); 2],
    /// How much the resistances grow in the cold: the exponent's temperature in K.
    pub activation_kelvin: f64,
    /// Heat capacity in J/K for one Ah.
    pub heat_capacity: f64,
    /// Loss of charge at rest, as a part of the capacity a month.
    pub self_discharge_per_month: f64,
}

impl CellKind {
    /// The cells of a chemistry.
    #[must_use]
    pub const fn of(chemistry: Chemistry) -> Self {
        match chemistry {
            Chemistry::LiIon => Self {
                open_circuit: &LI_ION,
                ohmic: 0.070,
                polarisation: [(0.035, 12.0), (0.045, 420.0)],
                activation_kelvin: 2_600.0,
                heat_capacity: 16.0,
                self_discharge_per_month: 0.02,
            },
            Chemistry::LiFePo4 => Self {
                open_circuit: &LIFEPO4,
                ohmic: 0.055,
                polarisation: [(0.030, 15.0), (0.050, 600.0)],
                activation_kelvin: 3_000.0,
                heat_capacity: 19.0,
                self_discharge_per_month: 0.02,
            },
            Chemistry::Lto => Self {
                open_circuit: &LTO,
                ohmic: 0.020,
                polarisation: [(0.012, 8.0), (0.015, 240.0)],
                activation_kelvin: 2_000.0,
                heat_capacity: 24.0,
                self_discharge_per_month: 0.03,
            },
        }
    }
}

const LI_ION: [(f64, f64); 18] = [
    (-0.06, 0.0),
    (-0.02, 1.6),
    (0.00, 2.85),
    (0.02, 3.18),
    (0.05, 3.36),
    (0.10, 3.465),
    (0.20, 3.565),
    (0.30, 3.62),
    (0.40, 3.66),
    (0.50, 3.715),
    (0.60, 3.80),
    (0.70, 3.89),
    (0.80, 3.985),
    (0.90, 4.075),
    (0.95, 4.12),
    (1.00, 4.19),
    (1.05, 4.42),
    (1.12, 4.95),
];

// Two plateaus with the step near 65 %, both nearly flat; steep ends.
const LIFEPO4: [(f64, f64); 20] = [
    (-0.06, 0.0),
    (-0.02, 1.5),
    (0.00, 2.52),
    (0.02, 2.86),
    (0.05, 3.08),
    (0.10, 3.198),
    (0.15, 3.222),
    (0.20, 3.248),
    (0.30, 3.281),
    (0.40, 3.291),
    (0.50, 3.294),
    (0.60, 3.298),
    (0.65, 3.310),
    (0.70, 3.330),
    (0.80, 3.334),
    (0.90, 3.337),
    (0.97, 3.350),
    (1.00, 3.460),
    (1.03, 3.80),
    (1.10, 4.60),
];

const LTO: [(f64, f64); 14] = [
    (-0.06, 0.0),
    (-0.02, 1.1),
    (0.00, 1.80),
    (0.03, 1.98),
    (0.10, 2.08),
    (0.25, 2.16),
    (0.50, 2.245),
    (0.75, 2.345),
    (0.90, 2.44),
    (0.96, 2.53),
    (1.00, 2.68),
    (1.03, 2.83),
    (1.08, 3.10),
    (1.15, 3.60),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_table_rises() {
        for chemistry in Chemistry::ALL {
            let table = CellKind::of(chemistry).open_circuit;
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{chemistry:?}");
        }
    }

    #[test]
    fn lifepo4_has_a_plateau() {
        let curve = crate::plant::Curve::new(CellKind::of(Chemistry::LiFePo4).open_circuit, 512);
        assert!(curve.at(0.90) - curve.at(0.30) < 0.060);
        assert!(curve.at(0.30) - curve.at(0.0) > 0.5);
    }
}
