//! How far models of the two kinds of cells can be trusted.

use super::model::Tuning;

/// For chemistries whose open-circuit voltage slopes everywhere: NMC, NCA, LTO.
pub const SLOPED: Tuning = Tuning {
    voltage_error: 4_627,
    polarisation_error: 103,
    table_error: 15_320,
    cold_growth: 855,
    error_seconds: 1_642,
    error_throughput: 16_340,
    noise: 11_690,
    resistance_error: 397,
    capacity_error: 32,
    offset_error: 12_380,
    standby_current: 961,
    drift: 4_337,
    outlier: 365,
    bank_drift: 119_000,
    bank_above: 120_000,
    hysteresis_unknown: 1_000,
    history_unknown: 1_343,
    full_error: 17_370,
    tail_seconds: 316,
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
