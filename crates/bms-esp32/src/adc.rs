//! The ADC.

use bms_core::port::ErrorKind;
use bms_hal::AdcSource;
use esp_hal::Blocking;
use esp_hal::analog::adc::{Adc, AdcCalScheme, AdcChannel, AdcPin};
use esp_hal::peripherals::ADC1;

/// The code of the full scale.
pub const FULL_SCALE: u16 = 4_095;

type Converter<'d> = Adc<'d, ADC1<'d>, Blocking>;

/// Up to five analog pins, as a tuple of what `AdcConfig::enable_pin` gave: each pin has a type of its own.
pub trait Pins<'d> {
    /// Converts the pin of this number, and waits for the end of it.
    ///
    /// # Errors
    /// The conversion failed, or there is no such pin.
    fn convert(&mut self, adc: &mut Converter<'d>, channel: u8) -> Result<u16, ErrorKind>;
}

macro_rules! pins {
    ($($number:literal $field:tt $pin:ident $scheme:ident),*) => {
        impl<'d, $($pin: AdcChannel, $scheme: AdcCalScheme<ADC1<'d>>),*> Pins<'d>
            for ($(AdcPin<$pin, ADC1<'d>, $scheme>,)*)
        {
            fn convert(&mut self, adc: &mut Converter<'d>, channel: u8) -> Result<u16, ErrorKind> {
                match channel {
                    $($number => nb::block!(adc.read_oneshot(&mut self.$field)).map_err(|()| ErrorKind::Bus),)*
                    _ => Err(ErrorKind::Other),
                }
            }
        }
    };
}

pins!(0 0 A Ac);
pins!(0 0 A Ac, 1 1 B Bc);
pins!(0 0 A Ac, 1 1 B Bc, 2 2 C Cc);
pins!(0 0 A Ac, 1 1 B Bc, 2 2 C Cc, 3 3 D Dc);
pins!(0 0 A Ac, 1 1 B Bc, 2 2 C Cc, 3 3 D Dc, 4 4 E Ec);

/// The pins of the converter ADC1, numbered from 0 in the order of the tuple. The second converter of a C3 is not used: it
/// gives wrong results, says its maker.
///
/// A reading waits for one conversion, some 20 µs, without a time limit: a converter that stops stops the firmware too, and
/// the watchdog is what ends that.
pub struct AdcPins<'d, P> {
    adc: Converter<'d>,
    pins: P,
}

impl<'d, P: Pins<'d>> AdcPins<'d, P> {
    /// Takes the converter and its pins: `AdcPins::new(adc, (config.enable_pin(p.GPIO0, …), …))`.
    pub const fn new(adc: Converter<'d>, pins: P) -> Self {
        Self { adc, pins }
    }
}

impl<'d, P: Pins<'d>> AdcSource for AdcPins<'d, P> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        Ok(self.pins.convert(&mut self.adc, channel)?)
    }
}

/// Waits inside, like the blocking one: a conversion takes less time than changing the task twice.
#[cfg(feature = "async")]
impl<'d, P: Pins<'d>> bms_hal::asynch::AdcSource for AdcPins<'d, P> {
    async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        self.pins.convert(&mut self.adc, channel)
    }
}

impl<P> core::fmt::Debug for AdcPins<'_, P> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("AdcPins")
    }
}
