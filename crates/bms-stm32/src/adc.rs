//! The ADC.

use bms_core::port::ErrorKind;
use bms_hal::AdcSource;
use embassy_stm32::adc::{Adc, AnyAdcChannel, BasicAdcRegs, Instance, SampleTime};

/// Some channels of one ADC, numbered from 0 in the order given.
///
/// A reading waits for one conversion: at most some 20 µs with the longest sample time. `embassy-stm32` waits for the end of
/// it without a time limit, so a converter that stops stops the firmware too; the watchdog is what ends that.
pub struct AdcChannels<'d, T: Instance, const N: usize> {
    adc: Adc<'d, T>,
    channels: [AnyAdcChannel<'d, T>; N],
    sample_time: SampleTime,
}

impl<'d, T: Instance, const N: usize> AdcChannels<'d, T, N> {
    /// Takes an ADC that is set up, its channels (`pin.degrade_adc()`), and how long each is sampled: as long as the
    /// source's resistance needs to charge the sampling capacitor.
    pub const fn new(adc: Adc<'d, T>, channels: [AnyAdcChannel<'d, T>; N], sample_time: SampleTime) -> Self {
        Self { adc, channels, sample_time }
    }
}

impl<T: Instance, const N: usize> AdcChannels<'_, T, N>
where
    T::Regs: BasicAdcRegs<SampleTime = SampleTime>,
{
    fn convert(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        let channel = self.channels.get_mut(usize::from(channel)).ok_or(ErrorKind::Other)?;
        Ok(self.adc.blocking_read(channel, self.sample_time))
    }
}

impl<T: Instance, const N: usize> AdcSource for AdcChannels<'_, T, N>
where
    T::Regs: BasicAdcRegs<SampleTime = SampleTime>,
{
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        Ok(self.convert(channel)?)
    }
}

/// Waits inside, like the blocking one: the F4's driver has no awaited single conversion, and one takes less time than
/// changing the task twice.
impl<T: Instance, const N: usize> bms_hal::asynch::AdcSource for AdcChannels<'_, T, N>
where
    T::Regs: BasicAdcRegs<SampleTime = SampleTime>,
{
    async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        self.convert(channel)
    }
}
