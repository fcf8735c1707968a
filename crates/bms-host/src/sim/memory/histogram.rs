//! The lifetime histograms, as people read them.

use bms_store::Statistics;
use bms_store::statistics::{CURRENT_EDGES, TEMPERATURE_EDGES, VOLTAGE_EDGES};

/// One histogram.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Its name in files.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The unit of the edges.
    pub unit: &'static str,
    /// Between the bins, in `unit`.
    pub edges: Vec<f64>,
    /// Seconds in each.
    pub seconds: Vec<u32>,
}

impl Histogram {
    /// What bounds a bin, in words.
    pub fn label(&self, bin: usize) -> String {
        let below = bin.checked_sub(1).and_then(|edge| self.edges.get(edge));
        match (below, self.edges.get(bin)) {
            (None, Some(high)) => format!("< {high}"),
            (Some(low), Some(high)) => format!("{low} … {high}"),
            (Some(low), None) => format!("≥ {low}"),
            (None, None) => String::new(),
        }
    }
    /// All time in it.
    pub fn total(&self) -> u64 {
        self.seconds.iter().map(|seconds| u64::from(*seconds)).sum()
    }
}

/// All three.
pub fn histograms(statistics: &Statistics) -> [Histogram; 3] {
    let scaled = |edges: &[i32], unit: f64| edges.iter().map(|edge| f64::from(*edge) / unit).collect();
    [
        Histogram {
            name: "temperature",
            title: "warmest battery sensor",
            unit: "°C",
            edges: scaled(&TEMPERATURE_EDGES, 10.0),
            seconds: statistics.temperature.to_vec(),
        },
        Histogram {
            name: "cell_voltage",
            title: "highest cell",
            unit: "V",
            edges: scaled(&VOLTAGE_EDGES, 1_000.0),
            seconds: statistics.voltage.to_vec(),
        },
        Histogram {
            name: "current",
            title: "current (+ charging)",
            unit: "C",
            edges: scaled(&CURRENT_EDGES, 1_000.0),
            seconds: statistics.current.to_vec(),
        },
    ]
}
