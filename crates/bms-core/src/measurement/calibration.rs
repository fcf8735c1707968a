//! Calibration (C01, C02, D33): gains from a true voltage and a true current.

use fixed::types::I12F20;

use crate::config::{ParameterId as P, ValidConfig};
use crate::guard::digest;
use crate::units::{Current, Voltage, ma, saturate};

/// The corrections in the form that the hot path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calibration {
    /// Relative correction of the cells; ±2 % in steps of one millionth.
    voltage: I12F20,
    /// Correction of the current in parts per million.
    current_gain: i32,
    current_offset: Current,
}

/// Why a calibration was refused (D33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CalibrationError {
    /// C01 needs both switches open and less than 0.1 A.
    NotAtRest,
    /// C02 needs at least 5 A.
    CurrentTooSmall,
    /// The correction would exceed ±2 % (voltage) or ±10 % (current).
    CorrectionTooLarge,
    /// There is no valid measurement to compare with.
    NoMeasurement,
}

const MILLION: i64 = 1_000_000;

impl Calibration {
    pub(crate) const fn of(config: &ValidConfig) -> Self {
        // 2^20 / 10^6, rounded towards zero; ±20 000 ppm stay far inside the 32 bits.
        let bits = (config.get(P::VoltageGain) as i64).saturating_mul(1_048_576) / MILLION;
        Self {
            voltage: I12F20::from_bits(saturate(bits)),
            current_gain: config.get(P::CurrentGain),
            current_offset: Current::from_milliamps(config.get(P::CurrentOffset)),
        }
    }
    /// Over all of it (X20).
    pub(crate) const fn digest(&self) -> u32 {
        let offset = self.current_offset.as_milliamps();
        digest(&[self.voltage.to_bits() as u32, self.current_gain as u32, offset as u32])
    }
    #[cfg(test)]
    pub(crate) const fn flip(&mut self) {
        self.current_gain ^= 1 << 10;
    }
    /// Corrects a scan. The product stays within 32 bits: 65 535 × 2 % × 2²⁰ < 2³¹.
    pub(crate) fn correct_cells(&self, tenths: &mut [u16]) {
        let gain = self.voltage.to_bits();
        if gain == 0 {
            return;
        }
        for value in tenths {
            let raw = i32::from(*value);
            let corrected = raw.wrapping_add(raw.wrapping_mul(gain).wrapping_add(1 << 19) >> 20);
            *value = u16::try_from(corrected.max(0)).unwrap_or(u16::MAX);
        }
    }
    pub(crate) fn correct_current(&self, current: Current) -> Current {
        let shifted = current.plus(self.current_offset);
        if self.current_gain == 0 {
            return shifted;
        }
        let factor = MILLION.saturating_add(i64::from(self.current_gain));
        Current::from_milliamps(saturate(i64::from(shifted.as_milliamps()).saturating_mul(factor) / MILLION))
    }
}

/// The new voltage gain in ppm for a pack that reads `shown` with the present gain and truly has `truth` (C01).
pub(crate) fn voltage_gain(present: i32, shown: Voltage, truth: Voltage) -> Result<i32, CalibrationError> {
    new_gain(present, shown.as_microvolts(), truth.as_microvolts(), 20_000)
}

/// The new current gain in ppm for a shunt that reads `shown` with the present gain and truly carries `truth` (C02).
pub(crate) fn current_gain(present: i32, shown: Current, truth: Current) -> Result<i32, CalibrationError> {
    const SMALLEST: Current = ma(5_000);
    if shown.magnitude() < SMALLEST || truth.magnitude() < SMALLEST {
        return Err(CalibrationError::CurrentTooSmall);
    }
    new_gain(present, shown.as_milliamps(), truth.as_milliamps(), 100_000)
}

fn new_gain(present: i32, shown: i32, truth: i32, limit: i32) -> Result<i32, CalibrationError> {
    let factor = MILLION.saturating_add(i64::from(present));
    let gain = i64::from(truth)
        .saturating_mul(factor)
        .checked_div(i64::from(shown))
        .ok_or(CalibrationError::NoMeasurement)?
        .saturating_sub(MILLION);
    match i32::try_from(gain) {
        Ok(gain) if gain.saturating_abs() <= limit => Ok(gain),
        _ => Err(CalibrationError::CorrectionTooLarge),
    }
}
