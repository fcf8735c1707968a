//! Temperatures from NTC thermistors, by a table of ADC codes.

use bms_core::measurement::{BATTERY_SENSORS, Reading, Temperatures};
use bms_core::port::{self, ErrorKind, ErrorType};
use bms_core::units::Temperature;

use crate::adc::AdcSource;

/// Points of a table: −45 °C … 125 °C, the range in which a sensor is believed (X02), in steps of 5 °C.
const POINTS: usize = 35;
const COLDEST: i32 = -450;
const STEP: i32 = 50;

/// How the thermistor and its fixed resistor are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounting {
    /// The thermistor goes to ground, the resistor to the ADC's reference: an open sensor reads full scale.
    ToGround,
    /// The thermistor goes to the ADC's reference, the resistor to ground: an open sensor reads zero.
    ToReference,
}

/// The codes that an ADC shows at −45, −40, … 125 °C, for one kind of thermistor with its fixed resistor, ratiometric to
/// the ADC's reference.
///
/// Make it in a `static` or `const`: the constructors compute with floats, which then never reach the chip. Between two
/// points it is interpolated; with a usual 10 kΩ part the error of that stays below 0.2 °C from −20 to 80 °C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThermistorTable {
    /// Falling with the temperature.
    codes: [u16; POINTS],
    full_scale: u16,
    mounting: Mounting,
}

impl ThermistorTable {
    /// A thermistor with R = R25 · exp(B · (1/T − 1/298.15 K)): resistance at 25 °C and fixed resistor in ohms, B in kelvin.
    #[must_use]
    pub const fn beta(ohms_at_25: u32, beta_kelvin: u32, resistor_ohms: u32, full_scale: u16) -> Self {
        let mut ohms = [0.0; POINTS];
        let mut index = 0;
        #[allow(
            clippy::indexing_slicing,
            clippy::arithmetic_side_effects,
            reason = "computed by the compiler, in bounds"
        )]
        while index < POINTS {
            let exponent = beta_kelvin as f64 * (1.0 / kelvin(index) - 1.0 / 298.15);
            ohms[index] = ohms_at_25 as f64 * exp(exponent);
            index += 1;
        }
        Self::of(ohms, resistor_ohms, full_scale)
    }
    /// A thermistor with 1/T = a + b · ln R + c · (ln R)³, T in kelvin, R in ohms; the fixed resistor in ohms.
    #[must_use]
    pub const fn steinhart_hart(a: f64, b: f64, c: f64, resistor_ohms: u32, full_scale: u16) -> Self {
        let mut ohms = [0.0; POINTS];
        let mut index = 0;
        #[allow(
            clippy::indexing_slicing,
            clippy::arithmetic_side_effects,
            reason = "computed by the compiler, in bounds"
        )]
        while index < POINTS {
            // Newton's way to ln R: the cubic is monotonic.
            let wanted = 1.0 / kelvin(index);
            let mut logarithm = 9.0;
            let mut round = 0;
            while round < 30 {
                let error = a + b * logarithm + c * logarithm * logarithm * logarithm - wanted;
                logarithm -= error / (b + 3.0 * c * logarithm * logarithm);
                round += 1;
            }
            ohms[index] = exp(logarithm);
            index += 1;
        }
        Self::of(ohms, resistor_ohms, full_scale)
    }
    /// The manufacturer's resistances at −45, −40, … 125 °C in ohms.
    #[must_use]
    pub const fn resistances(ohms: &[u32; POINTS], resistor_ohms: u32, full_scale: u16) -> Self {
        let mut floats = [0.0; POINTS];
        let mut index = 0;
        #[allow(
            clippy::indexing_slicing,
            clippy::arithmetic_side_effects,
            reason = "computed by the compiler, in bounds"
        )]
        while index < POINTS {
            floats[index] = ohms[index] as f64;
            index += 1;
        }
        Self::of(floats, resistor_ohms, full_scale)
    }
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "computed by the compiler, in bounds")]
    const fn of(ohms: [f64; POINTS], resistor_ohms: u32, full_scale: u16) -> Self {
        let mut codes = [0; POINTS];
        let mut index = 0;
        while index < POINTS {
            let part = ohms[index] / (ohms[index] + resistor_ohms as f64);
            codes[index] = (full_scale as f64 * part + 0.5) as u16;
            assert!(
                index == 0 || codes[index] <= codes[index - 1],
                "the resistance of an NTC falls with the temperature"
            );
            index += 1;
        }
        Self { codes, full_scale, mounting: Mounting::ToGround }
    }
    /// Mounted the other way round.
    #[must_use]
    pub const fn mounted(self, mounting: Mounting) -> Self {
        Self { mounting, ..self }
    }
    /// The temperature; `Invalid` for an open or shorted sensor, which reads beyond the table.
    #[must_use]
    pub fn reading(&self, code: u16) -> Reading<Temperature> {
        let code = match self.mounting {
            Mounting::ToGround => code,
            Mounting::ToReference => self.full_scale.saturating_sub(code),
        };
        // The first point that is not colder than the code.
        let upper = self.codes.partition_point(|point| *point > code);
        let (Some(colder), Some(warmer)) =
            (upper.checked_sub(1).and_then(|below| self.codes.get(below)), self.codes.get(upper))
        else {
            // Exactly the coldest point still counts.
            return if self.codes.first() == Some(&code) {
                Reading::Valid(Temperature::from_tenths(COLDEST))
            } else {
                Reading::Invalid
            };
        };
        let span = i32::from(*colder).wrapping_sub(i32::from(*warmer));
        let into = i32::from(*colder).wrapping_sub(i32::from(code));
        // At most 65535 × 50: no overflow.
        let part = into.wrapping_mul(STEP).checked_div(span).unwrap_or(0);
        let base = i32::try_from(upper).unwrap_or(0).wrapping_sub(1).wrapping_mul(STEP).wrapping_add(COLDEST);
        Reading::Valid(Temperature::from_tenths(base.wrapping_add(part)))
    }
}

#[allow(clippy::arithmetic_side_effects, reason = "computed by the compiler")]
const fn kelvin(point: usize) -> f64 {
    (COLDEST as f64 + STEP as f64 * point as f64) / 10.0 + 273.15
}

/// eˣ for |x| < 50: a power series of x / 64, squared six times.
#[allow(clippy::arithmetic_side_effects, reason = "computed by the compiler")]
const fn exp(x: f64) -> f64 {
    let small = x / 64.0;
    let (mut term, mut sum, mut n) = (1.0, 1.0, 1.0);
    while n < 16.0 {
        term = term * small / n;
        sum += term;
        n += 1.0;
    }
    let mut squared = 0;
    while squared < 6 {
        sum = sum * sum;
        squared += 1;
    }
    sum
}

/// One thermistor: its channel and its table.
#[derive(Clone, Copy, Debug)]
pub struct Thermistor {
    /// The ADC's channel.
    pub channel: u8,
    /// Its table.
    pub table: &'static ThermistorTable,
}

/// The thermistors of a board: up to five of the battery, T1 first, and that of the switches.
///
/// A conversion that fails makes its own sensor invalid only.
#[derive(Debug)]
pub struct Thermistors<A> {
    adc: A,
    battery: &'static [Thermistor],
    mos: Thermistor,
    gathered: Temperatures,
    next: usize,
}

impl<A> Thermistors<A> {
    /// Thermistors on the channels of one ADC.
    pub const fn new(adc: A, battery: &'static [Thermistor], mos: Thermistor) -> Self {
        Self { adc, battery, mos, gathered: NOTHING, next: 0 }
    }
    /// The sensor to read next; `None` when all are read.
    fn sensor(&self) -> Option<Thermistor> {
        let fitted = self.battery.get(..self.battery.len().min(BATTERY_SENSORS)).unwrap_or_default();
        fitted.get(self.next).copied().or((self.next == fitted.len()).then_some(self.mos))
    }
    fn take(&mut self, reading: Reading<Temperature>) {
        let fitted = self.battery.len().min(BATTERY_SENSORS);
        let slot =
            if self.next == fitted { Some(&mut self.gathered.mos) } else { self.gathered.battery.get_mut(self.next) };
        if let Some(slot) = slot {
            *slot = reading;
        }
        self.next = self.next.saturating_add(1);
    }
    fn finish(&mut self) -> Temperatures {
        self.next = 0;
        core::mem::replace(&mut self.gathered, NOTHING)
    }
}

const NOTHING: Temperatures =
    Temperatures { battery: [Reading::NotMeasured; BATTERY_SENSORS], mos: Reading::NotMeasured };

impl<A> ErrorType for Thermistors<A> {
    type Error = ErrorKind;
}

impl<A: AdcSource> port::TemperatureSense for Thermistors<A> {
    fn temperatures(&mut self) -> nb::Result<Temperatures, ErrorKind> {
        while let Some(sensor) = self.sensor() {
            let reading = match self.adc.read(sensor.channel) {
                Ok(code) => sensor.table.reading(code),
                Err(nb::Error::WouldBlock) => return Err(nb::Error::WouldBlock),
                Err(nb::Error::Other(_)) => Reading::Invalid,
            };
            self.take(reading);
        }
        Ok(self.finish())
    }
}

#[cfg(feature = "async")]
impl<A: crate::asynch::AdcSource> port::asynch::TemperatureSense for Thermistors<A> {
    async fn temperatures(&mut self) -> Result<Temperatures, ErrorKind> {
        self.finish();
        while let Some(sensor) = self.sensor() {
            let reading =
                self.adc.read(sensor.channel).await.map_or(Reading::Invalid, |code| sensor.table.reading(code));
            self.take(reading);
        }
        Ok(self.finish())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate std;
    use super::*;

    const FULL: u16 = 4_095;
    static BETA: ThermistorTable = ThermistorTable::beta(10_000, 3_435, 10_000, FULL);
    // A usual 10 kΩ part.
    static STEINHART: ThermistorTable =
        ThermistorTable::steinhart_hart(1.129_241e-3, 2.341_077e-4, 8.775_468e-8, 10_000, FULL);

    fn code(ohms: f64) -> u16 {
        (f64::from(FULL) * ohms / (ohms + 10_000.0)).round() as u16
    }
    fn error(table: &ThermistorTable, celsius: f64, ohms: f64) -> f64 {
        match table.reading(code(ohms)) {
            Reading::Valid(read) => (f64::from(read.as_tenths()) / 10.0 - celsius).abs(),
            other => panic!("{celsius} °C reads {other:?}"),
        }
    }

    #[test]
    fn the_table_agrees_with_both_formulas() {
        let mut worst: f64 = 0.0;
        for tenths in -200..=800 {
            let celsius = f64::from(tenths) / 10.0;
            let kelvin = celsius + 273.15;
            let beta = 10_000.0 * (3_435.0 * (1.0 / kelvin - 1.0 / 298.15)).exp();
            worst = worst.max(error(&BETA, celsius, beta));
            // Steinhart–Hart solved for R in closed form.
            let (a, b, c) = (1.129_241e-3, 2.341_077e-4, 8.775_468e-8);
            let y = (a - 1.0 / kelvin) / (2.0 * c);
            let x = (y * y + (b / (3.0_f64 * c)).powi(3)).sqrt();
            let ohms = ((x - y).cbrt() - (x + y).cbrt()).exp();
            worst = worst.max(error(&STEINHART, celsius, ohms));
        }
        assert!(worst < 0.25, "{worst} °C");
    }

    // X02
    #[test]
    fn x02_open_and_shorted_sensors_are_invalid_either_way_round() {
        let upside_down = BETA.mounted(Mounting::ToReference);
        for code in [0, 20, FULL, FULL - 10] {
            assert_eq!(BETA.reading(code), Reading::Invalid, "{code}");
            assert_eq!(upside_down.reading(code), Reading::Invalid, "{code}");
        }
        for code in [500, 2_048, 3_500] {
            assert_eq!(upside_down.reading(FULL - code), BETA.reading(code));
        }
    }

    #[test]
    fn the_ends_of_the_table_count_and_nothing_beyond() {
        let (cold, hot) = (BETA.codes[0], BETA.codes[POINTS - 1]);
        assert_eq!(BETA.reading(cold), Reading::Valid(Temperature::from_tenths(-450)));
        assert_eq!(BETA.reading(hot), Reading::Valid(Temperature::from_tenths(1_250)));
        assert_eq!(BETA.reading(cold + 1), Reading::Invalid);
        assert_eq!(BETA.reading(hot - 1), Reading::Invalid);
    }

    #[test]
    fn warmer_never_reads_colder() {
        let mut last = i32::MAX;
        for code in 0..=FULL {
            if let Reading::Valid(read) = BETA.reading(code) {
                assert!(read.as_tenths() <= last);
                last = read.as_tenths();
            }
        }
    }
}
