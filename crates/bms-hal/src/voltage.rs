//! One voltage behind a divider: the stack, or the terminals behind the switches.

use bms_core::port::{self, ErrorKind, ErrorType};
use bms_core::units::{Voltage, uv};

use crate::adc::AdcSource;
use crate::scale::Scale;

/// A voltage on one channel of an ADC.
#[derive(Clone, Copy, Debug)]
pub struct DividedVoltage<A> {
    adc: A,
    channel: u8,
    scale: Scale,
}

impl<A> DividedVoltage<A> {
    /// The scale gives µV: [`Scale::divider`].
    pub const fn new(adc: A, channel: u8, scale: Scale) -> Self {
        Self { adc, channel, scale }
    }
    fn voltage(&self, code: u16) -> Result<Voltage, ErrorKind> {
        self.scale.value(code).map(uv).ok_or(ErrorKind::Integrity)
    }
}

impl<A> ErrorType for DividedVoltage<A> {
    type Error = ErrorKind;
}

impl<A: AdcSource> port::VoltageSense for DividedVoltage<A> {
    fn voltage(&mut self) -> nb::Result<Voltage, ErrorKind> {
        let code = self.adc.read(self.channel)?;
        Ok(Self::voltage(self, code)?)
    }
}

#[cfg(feature = "async")]
impl<A: crate::asynch::AdcSource> port::asynch::VoltageSense for DividedVoltage<A> {
    async fn voltage(&mut self) -> Result<Voltage, ErrorKind> {
        let code = self.adc.read(self.channel).await?;
        Self::voltage(self, code)
    }
}
