//! How far models of the two kinds of cells can be trusted.
//!
//! [`SLOPED`] and [`FLAT`] were tuned on measured cells with models fitted to them (docs/state-of-charge.md). A table that is only
//! typical of a chemistry is further off, and says so.

use super::model::Tuning;

/// What a state of charge by a table of another cell is wrong by, however long the voltage is looked at.
const SYSTEMATIC: u32 = 75_000;

/// For chemistries whose open-circuit voltage slopes everywhere: NMC, NCA, LTO.
pub const SLOPED: Tuning = Tuning {
    voltage_error: 6_500,
    polarisation_error: 21,
    table_error: 23_800,
    systematic_error: 0,
    cold_growth: 600,
    error_seconds: 2_310,
    error_throughput: 25_000,
    noise: 9_900,
    resistance_error: 210,
    capacity_error: 32,
    offset_error: 5_000,
    standby_current: 6_910,
    drift: 275,
    outlier: 172,
    bank_drift: 129_000,
    bank_above: 120_000,
    hysteresis_unknown: 169,
    history_unknown: 1_470,
    full_error: 5_590,
    tail_seconds: 98,
};

/// For chemistries with a plateau: LiFePO4.
pub const FLAT: Tuning = Tuning {
    voltage_error: 944,
    polarisation_error: 109,
    table_error: 7_800,
    systematic_error: 0,
    cold_growth: 19,
    error_seconds: 15_080,
    error_throughput: 92_650,
    noise: 163_900,
    resistance_error: 1_724,
    capacity_error: 30,
    offset_error: 1_785,
    standby_current: 3_305,
    drift: 2_588,
    outlier: 716,
    bank_drift: 20_300,
    bank_above: 84_800,
    hysteresis_unknown: 569,
    history_unknown: 1_324,
    full_error: 47_675,
    tail_seconds: 600,
};

/// For a sloped table that is not of the very cell: its error is large and the same over much of the curve.
pub const TYPICAL_SLOPED: Tuning = Tuning {
    voltage_error: 60_000,
    polarisation_error: 300,
    table_error: 50_000,
    systematic_error: SYSTEMATIC,
    cold_growth: 200,
    error_seconds: 36_000,
    error_throughput: 400_000,
    resistance_error: 500,
    capacity_error: 80,
    drift: 10_000,
    ..SLOPED
};

/// For a table with a plateau that is not of the very cell.
pub const TYPICAL_FLAT: Tuning = Tuning {
    voltage_error: 20_000,
    polarisation_error: 500,
    table_error: 50_000,
    systematic_error: SYSTEMATIC,
    cold_growth: 100,
    error_seconds: 36_000,
    error_throughput: 600_000,
    resistance_error: 500,
    capacity_error: 100,
    drift: 10_000,
    noise: 57_800,
    offset_error: 1_471,
    standby_current: 3_516,
    outlier: 380,
    bank_drift: 42_260,
    bank_above: 74_850,
    hysteresis_unknown: 366,
    history_unknown: 1_324,
    full_error: 12_090,
    tail_seconds: 981,
};
