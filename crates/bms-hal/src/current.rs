//! Pack current from a shunt and its amplifier.

use bms_core::port::{self, ErrorKind, ErrorType};
use bms_core::units::{Current, ma};

use crate::adc::AdcSource;
use crate::scale::Scale;

/// Which way a higher code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A charging current raises the code.
    ChargingRaises,
    /// A discharging current raises the code.
    DischargingRaises,
}

/// A bidirectional shunt amplifier whose output rests in the middle of the ADC's range.
///
/// A code near either end is an error, not a clipped value. The exact zero and gain are the core's calibration
/// (`current_offset`, `current_gain`).
#[derive(Clone, Copy, Debug)]
pub struct ShuntAmplifier<A> {
    adc: A,
    channel: u8,
    scale: Scale,
}

impl<A> ShuntAmplifier<A> {
    /// A shunt in µΩ, the amplifier's gain in V/V, the ADC's reference in mV and its full-scale code.
    ///
    /// The range is ± reference / 2 / gain / shunt: 100 µΩ, a gain of 50 and 3.3 V give ±330 A.
    pub const fn new(
        adc: A,
        channel: u8,
        direction: Direction,
        shunt_microohms: u32,
        gain: u32,
        reference_mv: u32,
        full_scale: u16,
    ) -> Self {
        let range = Self::full_range(shunt_microohms, gain, reference_mv);
        let scale = Scale::new(range, full_scale).with_zero(full_scale.div_ceil(2));
        let scale = match direction {
            Direction::ChargingRaises => scale,
            Direction::DischargingRaises => scale.negated(),
        };
        Self { adc, channel, scale }
    }
    /// From end to end, in mA.
    const fn full_range(shunt_microohms: u32, gain: u32, reference_mv: u32) -> i32 {
        let per_amp = (shunt_microohms as i64).saturating_mul(gain as i64);
        match (reference_mv as i64).saturating_mul(1_000_000).checked_div(per_amp) {
            Some(milliamps) if milliamps <= i32::MAX as i64 => milliamps as i32,
            _ => i32::MAX,
        }
    }
    fn current(&self, code: u16) -> Result<Current, ErrorKind> {
        self.scale.value(code).map(ma).ok_or(ErrorKind::Integrity)
    }
}

impl<A> ErrorType for ShuntAmplifier<A> {
    type Error = ErrorKind;
}

impl<A: AdcSource> port::CurrentSense for ShuntAmplifier<A> {
    fn current(&mut self) -> nb::Result<Current, ErrorKind> {
        let code = self.adc.read(self.channel)?;
        Ok(Self::current(self, code)?)
    }
}

#[cfg(feature = "async")]
impl<A: crate::asynch::AdcSource> port::asynch::CurrentSense for ShuntAmplifier<A> {
    async fn current(&mut self) -> Result<Current, ErrorKind> {
        let code = self.adc.read(self.channel).await?;
        Self::current(self, code)
    }
}
