//! What stands between the truth and a reading.

use rand_core::Rng;
use rand_pcg::Pcg64Mcg;

/// The error of one measuring channel. A reading is `true × gain + offset + bias + noise`, then rounded to the quantum
/// and refused beyond the range.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorError {
    /// Standard deviation of the noise, in the channel's unit (V, A, °C).
    pub noise: f64,
    /// Standard deviation of a constant error that differs from channel to channel, drawn once from the seed.
    pub bias: f64,
    /// Factor, 1 is right.
    pub gain: f64,
    /// Constant error of every channel of the kind.
    pub offset: f64,
    /// Step of the converter; 0: none.
    pub quantum: f64,
}

impl Default for SensorError {
    fn default() -> Self {
        Self { noise: 0.0, bias: 0.0, gain: 1.0, offset: 0.0, quantum: 0.0 }
    }
}

impl SensorError {
    /// A perfect channel.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
    /// Only noise of this standard deviation.
    #[must_use]
    pub fn noise(sigma: f64) -> Self {
        Self { noise: sigma, ..Self::default() }
    }
    #[inline]
    pub(super) fn read(&self, truth: f64, bias: f64, random: &mut Pcg64Mcg) -> f64 {
        self.bend(truth, bias, if self.noise > 0.0 { normal(random) } else { 0.0 })
    }
    /// The reading with this much noise, in standard deviations.
    #[inline]
    pub(super) fn bend(&self, truth: f64, bias: f64, noise: f64) -> f64 {
        let mut value = truth * self.gain + self.offset + bias + self.noise * noise;
        if self.quantum > 0.0 {
            value = f64::from(nearest(value / self.quantum)) * self.quantum;
        }
        value
    }
}

/// The errors of all kinds of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorErrors {
    /// Cell voltages, V.
    pub cell: SensorError,
    /// Current, A.
    pub current: SensorError,
    /// Stack and terminal voltage, V.
    pub stack: SensorError,
    /// Temperatures, °C.
    pub temperature: SensorError,
}

impl SensorErrors {
    /// What a decent front end does: ±0.4 mV noise and ±0.8 mV bias on cells, 20 mA noise on current, 0.1 °C steps.
    #[must_use]
    pub fn realistic() -> Self {
        Self {
            cell: SensorError { noise: 0.000_4, bias: 0.000_8, ..SensorError::default() },
            current: SensorError { noise: 0.02, offset: 0.005, gain: 1.001, ..SensorError::default() },
            stack: SensorError { noise: 0.005, bias: 0.01, ..SensorError::default() },
            temperature: SensorError { noise: 0.05, bias: 0.3, quantum: 0.1, ..SensorError::default() },
        }
    }
}

/// What a temperature input is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thermistor {
    /// A good sensor.
    Fitted,
    /// A broken wire: `Invalid`.
    Open,
    /// A short: far beyond every plausible temperature.
    Shorted,
    /// There is none: `NotMeasured`.
    #[default]
    NotFitted,
}

/// What a shorted thermistor reads, °C.
pub(super) const SHORTED_DEGREES: f64 = 150.0;

/// Readings that are dictated instead of measured; `None` measures. In V, A and °C.
///
/// This is how an open-loop scenario drives the core: current and cells are simply what the sensors show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dictated {
    /// Current, positive charging.
    pub current: Option<f64>,
    /// Cells, cell 1 first; shorter is fine.
    pub cells: Vec<Option<f64>>,
    /// Battery temperatures, T1 first.
    pub battery: [Option<f64>; bms_core::measurement::BATTERY_SENSORS],
    /// Switch temperature.
    pub mos: Option<f64>,
    /// Stack voltage. With dictated cells and none here, it is their sum.
    pub stack: Option<f64>,
    /// Terminal voltage.
    pub terminal: Option<f64>,
}

/// Rounded to the nearest integer, halves away from zero; without a library call on machines that have no instruction.
#[inline]
pub(super) fn nearest(value: f64) -> i32 {
    (value + 0.5_f64.copysign(value)) as i32
}

/// Two of [`normal`]'s kind from one draw, in steps of 1/148 of a standard deviation: for readings that are rounded anyway.
#[inline]
pub(super) fn normal_pair(random: &mut Pcg64Mcg) -> [f64; 2] {
    let bits = random.next_u64();
    // Bytes added up side by side: four of them in each half.
    let pairs = (bits & 0x00ff_00ff_00ff_00ff) + (bits >> 8 & 0x00ff_00ff_00ff_00ff);
    let sums = (pairs & 0x0000_ffff_0000_ffff) + (pairs >> 16 & 0x0000_ffff_0000_ffff);
    // Each byte has a variance of 65535/12.
    [sums & 0xffff, sums >> 32].map(|sum| (f64::from(sum as u32) - 510.0) * (1.0 / 147.8))
}

/// A nearly normal number with mean 0 and standard deviation 1: the sum of four even ones, so at most ±3.46.
#[inline]
pub(super) fn normal(random: &mut Pcg64Mcg) -> f64 {
    let bits = random.next_u64();
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    // Each has a variance of 65536²/12.
    (sum as f64 - 131_070.0) * (1.0 / 37_837.2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn noise_has_the_stated_mean_and_deviation() {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let values: Vec<f64> = (0..100_000).map(|_| normal(&mut random)).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let pairs: Vec<[f64; 2]> = (0..100_000).map(|_| normal_pair(&mut random)).collect();
        for half in 0..2 {
            let mean = pairs.iter().map(|pair| pair[half]).sum::<f64>() / 1e5;
            let variance = pairs.iter().map(|pair| (pair[half] - mean).powi(2)).sum::<f64>() / 1e5;
            assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        }
        let covariance = pairs.iter().map(|pair| pair[0] * pair[1]).sum::<f64>() / 1e5;
        assert!(covariance.abs() < 0.01, "the two are independent: {covariance}");
    }

    #[test]
    fn a_reading_has_gain_offset_bias_and_steps() {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let error = SensorError { gain: 1.1, offset: 0.5, quantum: 0.25, ..SensorError::none() };
        assert_eq!(error.read(2.0, 0.02, &mut random), 2.75);
        assert_eq!(SensorError::none().read(3.3, 0.0, &mut random), 3.3);
    }
}
