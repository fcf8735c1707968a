//! How far models of the two kinds of cells can be trusted.
//!
//! [`SLOPED`] and [`FLAT`] were tuned on measured cells with models fitted to them (docs/state-of-charge.md). A table that is only
//! typical of a chemistry is further off, and says so.

use super::model::Tuning;

/// For chemistries whose open-circuit voltage slopes everywhere: NMC, NCA, LTO.
pub const SLOPED: Tuning = Tuning {
    voltage_error: 6_500,
    polarisation_error: 21,
    table_error: 23_800,
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
    voltage_error: 697,
    polarisation_error: 231,
    table_error: 28_060,
    cold_growth: 46,
    error_seconds: 10_590,
    error_throughput: 286_900,
    noise: 57_810,
    resistance_error: 290,
    capacity_error: 50,
    offset_error: 1_471,
    standby_current: 3_516,
    drift: 1_564,
    outlier: 380,
    bank_drift: 42_260,
    bank_above: 74_850,
    hysteresis_unknown: 366,
    history_unknown: 1_324,
    full_error: 12_090,
    tail_seconds: 981,
};

/// For a sloped table that is not of the very cell: its error is large and the same over much of the curve.
pub const TYPICAL_SLOPED: Tuning = Tuning {
    voltage_error: 60_000,
    polarisation_error: 300,
    table_error: 50_000,
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
    cold_growth: 100,
    error_seconds: 36_000,
    error_throughput: 600_000,
    resistance_error: 500,
    capacity_error: 100,
    drift: 10_000,
    ..FLAT
};
