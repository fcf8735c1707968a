//! The ADC.

use bms_core::port::ErrorKind;
use bms_hal::AdcSource;
use embassy_rp::adc::{Adc, Blocking, Channel};

/// `N` channels of the ADC, numbered from 0 in the order of the array. A conversion takes 2 µs and is waited for.
///
/// The HAL waits without end for a converter that never becomes ready; the watchdog ends that, with the gates open.
pub struct Rp2040Adc<'d, const N: usize> {
    adc: Adc<'d, Blocking>,
    channels: [Channel<'d>; N],
}

impl<'d, const N: usize> Rp2040Adc<'d, N> {
    /// Takes over the ADC and its channels.
    pub const fn new(adc: Adc<'d, Blocking>, channels: [Channel<'d>; N]) -> Self {
        Self { adc, channels }
    }
}

impl<const N: usize> AdcSource for Rp2040Adc<'_, N> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        let channel = self.channels.get_mut(usize::from(channel)).ok_or(ErrorKind::Other)?;
        Ok(self.adc.blocking_read(channel).map_err(|_| ErrorKind::Integrity)?)
    }
}

/// The same, awaited.
#[cfg(feature = "async")]
pub struct AsyncAdc<'d, const N: usize> {
    adc: Adc<'d, embassy_rp::adc::Async>,
    channels: [Channel<'d>; N],
}

#[cfg(feature = "async")]
impl<'d, const N: usize> AsyncAdc<'d, N> {
    /// Takes over the ADC and its channels.
    pub const fn new(adc: Adc<'d, embassy_rp::adc::Async>, channels: [Channel<'d>; N]) -> Self {
        Self { adc, channels }
    }
}

#[cfg(feature = "async")]
impl<const N: usize> bms_hal::asynch::AdcSource for AsyncAdc<'_, N> {
    async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        let channel = self.channels.get_mut(usize::from(channel)).ok_or(ErrorKind::Other)?;
        self.adc.read(channel).await.map_err(|_| ErrorKind::Integrity)
    }
}
