//! The status as one line of text, for a UART.
//!
//! ```text
//! bms t=12 state=running chg=1 dis=1 v=26.408 i=-1.500 soc=51.2 cells=3.301,3.301 temp=25.0,NA mos=31.0 alarms=
//! ```
//! Volts, amperes (positive charges), percent, degrees Celsius, seconds. `NA` stands for what was not measured, `?` for what
//! may not be believed. Written without `core::fmt`, which would cost more flash than the rest of a small firmware's text.

use bms_core::lifecycle::State;
use bms_core::measurement::Reading;
use bms_core::status::Status;
use bms_core::units::Temperature;
use heapless::Vec;

/// A line of up to `N` bytes that is written as a whole and sent in small pieces, so that a slow UART keeps nothing
/// waiting. What does not fit is cut off, and the line then ends in `~`.
#[derive(Clone, Debug)]
pub struct Line<const N: usize> {
    bytes: Vec<u8, N>,
    sent: usize,
}

impl<const N: usize> Line<N> {
    /// Nothing to send.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), sent: 0 }
    }
    /// Whether all was sent.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.sent >= self.bytes.len()
    }
    /// Up to `most` bytes that are next to be sent; they count as sent.
    pub fn next(&mut self, most: usize) -> &[u8] {
        let from = self.sent;
        self.sent = from.saturating_add(most).min(self.bytes.len());
        self.bytes.get(from..self.sent).unwrap_or_default()
    }
    /// Replaces the line by the status.
    pub fn write_status(&mut self, status: &Status<'_>) {
        self.bytes.clear();
        self.sent = 0;
        self.text("bms t=");
        self.decimal(i64::try_from(status.run_time_seconds).unwrap_or(i64::MAX), 0);
        self.text(" state=");
        self.text(match status.state {
            State::Starting => "starting",
            State::Running => "running",
            State::ShuttingDown => "shutting_down",
            State::Off => "off",
        });
        self.text(" chg=");
        self.byte(if status.charge.is_closed() { b'1' } else { b'0' });
        self.text(" dis=");
        self.byte(if status.discharge.is_closed() { b'1' } else { b'0' });
        self.text(" v=");
        self.reading(status.pack_voltage, 3, |value| value.as_millivolts());
        self.text(" i=");
        self.reading(status.current, 3, |value| value.as_milliamps());
        self.text(" soc=");
        self.reading(status.state_of_charge_permille, 1, i32::from);
        self.text(" cells=");
        for index in 0..status.cells.count() {
            self.separator(index);
            let cell = status.cells.voltage(index).map_or(Reading::Invalid, Reading::Valid);
            self.reading(cell, 3, |value| value.as_millivolts());
        }
        self.text(" temp=");
        let fitted = |reading: &Reading<Temperature>| !matches!(reading, Reading::NotMeasured);
        let sensors = status.battery_temperatures.iter().rposition(fitted).map_or(1, |last| last.saturating_add(1));
        for (index, reading) in status.battery_temperatures.iter().take(sensors).enumerate() {
            self.separator(index);
            self.reading(*reading, 1, Temperature::as_tenths);
        }
        self.text(" mos=");
        self.reading(status.mos_temperature, 1, Temperature::as_tenths);
        self.text(" alarms=");
        for (index, alarm) in status.alarms.iter().enumerate() {
            self.separator(index);
            self.text(alarm.name());
        }
        self.text("\r\n");
        if self.bytes.is_full() {
            let kept = self.bytes.len().saturating_sub(3);
            self.bytes.truncate(kept);
            self.text("~\r\n");
        }
    }

    fn byte(&mut self, byte: u8) {
        // A full line is noticed at its end.
        let _ = self.bytes.push(byte);
    }
    fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.byte(byte);
        }
    }
    fn separator(&mut self, index: usize) {
        if index > 0 {
            self.byte(b',');
        }
    }
    fn reading<Q>(&mut self, reading: Reading<Q>, decimals: u8, number: impl FnOnce(Q) -> i32) {
        match reading {
            Reading::Valid(value) => self.decimal(i64::from(number(value)), decimals),
            Reading::NotMeasured => self.text("NA"),
            Reading::Invalid | Reading::Stale { .. } => self.byte(b'?'),
        }
    }
    /// A number with so many of its digits behind the point.
    fn decimal(&mut self, value: i64, decimals: u8) {
        // From the last digit to the first, then turned round.
        let mut digits: Vec<u8, 24> = Vec::new();
        let mut rest = u32::try_from(value.unsigned_abs()).unwrap_or(u32::MAX);
        let mut place = 0;
        while rest > 0 || place <= decimals {
            if place == decimals && decimals > 0 {
                let _ = digits.push(b'.');
            }
            // Below ten.
            let _ = digits.push(b'0'.wrapping_add((rest % 10) as u8));
            rest /= 10;
            place = place.saturating_add(1);
        }
        if value < 0 {
            let _ = digits.push(b'-');
        }
        for digit in digits.iter().rev() {
            self.byte(*digit);
        }
    }
}

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate std;
    use super::*;
    use bms_core::prelude::*;
    use std::string::String;

    const PACK: ValidConfig = const { Config::lifepo4(4).with_model(Model::B2a8s20p).validated() };

    fn all<const N: usize>(line: &mut Line<N>) -> String {
        let mut text = String::new();
        while !line.is_sent() {
            text.push_str(core::str::from_utf8(line.next(7)).unwrap());
        }
        text
    }
    fn bms() -> Bms {
        let mut bms = Bms::new(PACK);
        let mut sample = Sample::new();
        let now = Instant::from_millis(100);
        sample.cells = Group::at(now, Cells::from_voltages(&[mv(3_300), mv(3_301), mv(2_009), mv(50)]));
        sample.current = Group::at(now, ma(-1_050));
        let temperatures =
            Temperatures { mos: Reading::Valid(Temperature::from_tenths(-5)), ..Temperatures::default() };
        sample.temperatures = Group::at(now, temperatures);
        bms.step(now, Input::Sample(&sample));
        bms
    }

    #[test]
    fn the_line_says_what_the_status_says() {
        let mut line = Line::<400>::new();
        line.write_status(&bms().status());
        let text = all(&mut line);
        assert!(text.starts_with("bms t=0 state="), "{text}");
        for part in [" i=-1.050 ", " cells=3.300,3.301,2.009,0.050 ", " temp=NA ", " mos=-0.5 ", "chg=0 dis=0"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.ends_with("\r\n"));
    }

    #[test]
    fn numbers_of_every_size() {
        for (value, decimals, wanted) in [
            (0, 0, "0"),
            (0, 3, "0.000"),
            (-7, 1, "-0.7"),
            (1_234, 3, "1.234"),
            (i64::MAX, 0, "4294967295"),
            (10, 0, "10"),
        ] {
            let mut line = Line::<32>::new();
            line.decimal(value, decimals);
            assert_eq!(all(&mut line), wanted);
        }
    }

    #[test]
    fn a_line_that_does_not_fit_says_so() {
        let mut line = Line::<40>::new();
        line.write_status(&bms().status());
        let text = all(&mut line);
        assert_eq!(text.len(), 40);
        assert!(text.ends_with("~\r\n"), "{text}");
    }
}
