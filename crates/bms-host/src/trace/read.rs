//! Reading: one step a row, every mistake with its line.

use std::io::{BufRead, BufReader, Read};
use std::str::FromStr;

use bms_core::balancing::{Phase, Plan};
use bms_core::command::{Beep, Command, Expiring, Limits, LinkLed, Power, ScanMode, Switch};
use bms_core::measurement::{Cells, Feedback, Group, Inputs, Reading, Sample, Temperatures};
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::time::{Duration, Instant};
use bms_core::units::{Current, Temperature, Voltage};

use super::write::columns;
use super::{Header, Operation, Outputs, Record, RecordedInput, TraceError, kind_from};

/// Reads a trace, row by row.
pub struct TraceReader<R: Read> {
    rows: csv::Reader<BufReader<R>>,
    header: Header,
    /// For each known column, in writing order: where it stands in the file.
    places: Vec<(String, Option<usize>)>,
    row: csv::StringRecord,
    last: Option<Instant>,
    /// Lines of the file above the heading.
    above: u64,
}

impl<R: Read> TraceReader<R> {
    /// Reads the header and the heading.
    ///
    /// # Errors
    /// No header, an invalid configuration, an unknown or repeated column.
    pub fn new(input: R) -> Result<Self, TraceError> {
        let mut input = BufReader::new(input);
        let mut line = String::new();
        input.read_line(&mut line).map_err(|error| TraceError::new(1, None, error.to_string()))?;
        let header = Header::from_line(line.trim_end()).map_err(|reason| TraceError::new(1, None, reason))?;
        Self::with_heading(input, header, 1)
    }
    /// For files without a header line, such as those written by hand: the heading comes first.
    ///
    /// # Errors
    /// An unknown or repeated column.
    pub fn headless(input: R, header: Header) -> Result<Self, TraceError> {
        Self::with_heading(BufReader::new(input), header, 0)
    }
    fn with_heading(input: BufReader<R>, header: Header, above: u64) -> Result<Self, TraceError> {
        let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
        let heading = rows.headers().map_err(|error| at_file_line(TraceError::from_csv(&error), above))?.clone();
        let known = columns(bms_core::measurement::MAXIMUM_CELLS);
        if let Some(unknown) = heading.iter().find(|name| !known.iter().any(|column| column == name)) {
            return Err(TraceError::new(above + 1, Some(unknown), "unknown column"));
        }
        let mut places = Vec::with_capacity(known.len());
        for name in known {
            let mut found = heading.iter().enumerate().filter(|(_, column)| **column == *name);
            let place = found.next().map(|(index, _)| index);
            if found.next().is_some() {
                return Err(TraceError::new(above + 1, Some(&name), "stands there twice"));
            }
            places.push((name, place));
        }
        if places.first().is_none_or(|(_, place)| place.is_none()) {
            return Err(TraceError::new(above + 1, Some("time_ms"), "is missing"));
        }
        Ok(Self { rows, header, places, row: csv::StringRecord::new(), last: None, above })
    }
    /// What the core started with.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }
    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn next_record<const N: usize>(&mut self) -> Result<Option<Record<N>>, TraceError> {
        let above = self.above;
        let read = self.rows.read_record(&mut self.row);
        if !read.map_err(|error| at_file_line(TraceError::from_csv(&error), above))? {
            return Ok(None);
        }
        let line = self.row.position().map_or(0, |position| position.line() + above);
        let mut fields = Fields { row: &self.row, places: self.places.iter(), line };
        let record = fields.record::<N>()?;
        // A recorded clock may have gone back (X20); in a file written by hand it is a mistake.
        if record.outputs.is_none() && self.last.is_some_and(|last| record.now < last) {
            return Err(TraceError::new(line, Some("time_ms"), "goes back"));
        }
        self.last = Some(record.now);
        Ok(Some(record))
    }
}

/// The parser counts from the heading.
fn at_file_line(mut error: TraceError, above: u64) -> TraceError {
    error.line += above;
    error
}

/// Takes the fields of a row in writing order.
struct Fields<'a> {
    row: &'a csv::StringRecord,
    places: std::slice::Iter<'a, (String, Option<usize>)>,
    line: u64,
}

type Parsed<T> = Result<T, TraceError>;

impl<'a> Fields<'a> {
    fn next(&mut self) -> (&'a str, &'a str) {
        match self.places.next() {
            Some((name, place)) => (name, place.and_then(|place| self.row.get(place)).unwrap_or("")),
            None => ("", ""),
        }
    }
    fn wrong(&self, column: &str, reason: impl Into<String>) -> TraceError {
        TraceError::new(self.line, Some(column), reason)
    }
    fn maybe<T: FromStr>(&mut self) -> Parsed<Option<T>> {
        let (name, text) = self.next();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| self.wrong(name, format!("`{text}` is not a number that fits here")))
    }
    fn maybe_flag(&mut self) -> Parsed<Option<bool>> {
        let (name, text) = self.next();
        match text {
            "" => Ok(None),
            "0" => Ok(Some(false)),
            "1" => Ok(Some(true)),
            _ => Err(self.wrong(name, format!("`{text}` is neither 0 nor 1"))),
        }
    }
    fn flag(&mut self) -> Parsed<bool> {
        Ok(self.maybe_flag()?.unwrap_or(false))
    }
    fn switch(&mut self) -> Parsed<Switch> {
        self.flag().map(Switch::closed_if)
    }
    fn word<T: Copy>(&mut self, words: &[(&str, T)], default: T) -> Parsed<T> {
        let (name, text) = self.next();
        if text.is_empty() {
            return Ok(default);
        }
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| self.wrong(name, format!("`{text}` is not known")))
    }
    fn reading<T>(&mut self, make: impl FnOnce(i32) -> T) -> Parsed<Reading<T>> {
        let (name, text) = self.next();
        if text.is_empty() {
            return Ok(Reading::NotMeasured);
        }
        if text == "x" {
            return Ok(Reading::Invalid);
        }
        if let Some(age) = text.strip_prefix('s') {
            let age = age.parse().map_err(|_| self.wrong(name, format!("`{text}` is no age in ms")))?;
            return Ok(Reading::Stale { age: Duration::from_millis(age) });
        }
        let number = text.parse().map_err(|_| self.wrong(name, format!("`{text}` is not a whole number")))?;
        Ok(Reading::Valid(make(number)))
    }
    fn stamp(&mut self) -> Parsed<Stamp> {
        let (name, text) = self.next();
        match text {
            "" => Ok(Stamp::Now),
            "x" => Ok(Stamp::Failed),
            _ => match text.parse() {
                Ok(millis) => Ok(Stamp::At(Instant::from_millis(millis))),
                Err(_) => Err(self.wrong(name, format!("`{text}` is no time in ms"))),
            },
        }
    }

    fn record<const N: usize>(&mut self) -> Parsed<Record<N>> {
        let now = match self.maybe()? {
            Some(millis) => Instant::from_millis(millis),
            None => return Err(self.wrong("time_ms", "is empty")),
        };
        let (name, text) = self.next();
        let mut operations = Vec::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            operations.push(Operation::from_text(part).map_err(|reason| self.wrong(name, reason))?);
        }
        let (name, kind) = self.next();
        let sample = self.sample::<N>(now)?;
        let input = match kind {
            "" | "sample" => RecordedInput::Sample(sample),
            "tick" => RecordedInput::Tick,
            _ => match kind_from(kind) {
                Some(kind) => RecordedInput::Lost(kind),
                None => return Err(self.wrong(name, format!("`{kind}` is no input"))),
            },
        };
        let outputs = self.outputs()?;
        let (name, text) = self.next();
        let written = match text {
            "" => None,
            "ok" => Some(Ok(())),
            _ => Some(Err(kind_from(text).ok_or_else(|| self.wrong(name, format!("`{text}` is no result")))?)),
        };
        Ok(Record { now, operations, input, outputs, written })
    }
    fn sample<const N: usize>(&mut self, now: Instant) -> Parsed<Sample<N>> {
        let mut sample = Sample::new();
        sample.cells = self.cells(now)?;
        let stamp = self.stamp()?;
        sample.current = stamp.group(now, self.maybe()?.map(Current::from_milliamps));
        let stamp = self.stamp()?;
        let mut all = Temperatures::default();
        for reading in all.battery.iter_mut().chain([&mut all.mos]) {
            *reading = self.reading(Temperature::from_tenths)?;
        }
        let measured = stamp.is_told() || all != Temperatures::default();
        sample.temperatures = stamp.group(now, measured.then_some(all));
        for group in [&mut sample.stack, &mut sample.terminal] {
            let stamp = self.stamp()?;
            *group = stamp.group(now, self.maybe()?.map(Voltage::from_microvolts));
        }
        let stamp = self.stamp()?;
        let (current, quiet, empty) = (self.maybe()?, self.maybe_flag()?, self.maybe_flag()?);
        let measured = current.is_some() || quiet.is_some() || empty.is_some();
        let feedback = Feedback {
            balance_current: Current::from_milliamps(current.unwrap_or(0)),
            quiet: quiet.unwrap_or(false),
            store_empty: empty.unwrap_or(false),
        };
        sample.feedback = stamp.group(now, measured.then_some(feedback));
        sample.inputs = self.inputs(now)?;
        Ok(sample)
    }
    fn cells<const N: usize>(&mut self, now: Instant) -> Parsed<Group<Cells<N>>> {
        let count: Option<u8> = self.maybe()?;
        let stamp = self.stamp()?;
        let mut readings = [Reading::NotMeasured; bms_core::measurement::MAXIMUM_CELLS];
        let mut shown = 0;
        for (number, slot) in (1_u8..).zip(readings.iter_mut()) {
            let line = self.line;
            *slot = self.reading(Voltage::from_microvolts)?;
            if let Reading::Valid(voltage) = slot
                && !(0..=6_553_500).contains(&voltage.as_microvolts())
            {
                let column = format!("cell{number:02}_uv");
                return Err(TraceError::new(line, Some(&column), "a cell lies between 0 and 6553500 µV"));
            }
            if *slot != Reading::NotMeasured {
                shown = number;
            }
        }
        if count.is_none() && shown == 0 {
            return Ok(stamp.group(now, None));
        }
        let mut cells = Cells::new(count.unwrap_or(shown));
        for (index, reading) in readings.iter().enumerate() {
            match reading {
                Reading::Valid(voltage) => cells.set(index, *voltage),
                _ => cells.invalidate(index),
            }
        }
        Ok(stamp.group(now, Some(cells)))
    }
    fn inputs(&mut self, now: Instant) -> Parsed<Group<Inputs>> {
        let stamp = self.stamp()?;
        let short_circuit = self.maybe_flag()?;
        let (charger, load) = (self.maybe_flag()?, self.maybe_flag()?);
        let others = [self.maybe_flag()?, self.maybe_flag()?, self.maybe_flag()?];
        let [activation, reverse_wake, self_test_failed] = others.map(|flag| flag.unwrap_or(false));
        let told = short_circuit.or(charger).or(load).is_some() || others.iter().any(Option::is_some);
        let inputs = Inputs {
            short_circuit: short_circuit.unwrap_or(false),
            charger,
            load,
            activation,
            reverse_wake,
            self_test_failed,
        };
        Ok(stamp.group(now, told.then_some(inputs)))
    }

    fn outputs(&mut self) -> Parsed<Option<Outputs>> {
        let (charge, discharge) = (self.maybe_flag()?, self.maybe_flag()?);
        let plan = (self.cell_number()?, self.cell_number()?, self.maybe::<i32>()?);
        let heater = self.flag()?;
        let alarms = self.alarms()?;
        let soc_permille = self.soc()?;
        let balance = self.plan(plan)?;
        let heater = self.expiring(Some(heater))?;
        let precharge = self.expiring(None)?;
        let power = self.word(&[("hold", Power::Hold), ("release", Power::Release)], Power::Hold)?;
        let (last_resort, clear_latch) = (self.switch()?, self.flag()?);
        let scan = self.word(&[("any", ScanMode::Any), ("quiet", ScanMode::Quiet)], ScanMode::Any)?;
        let beeps = [("none", Beep::None), ("awake", Beep::Awake), ("accepted", Beep::Accepted)];
        let beep = self.word(&beeps, Beep::None)?;
        let leds = [("off", LinkLed::Off), ("flashing", LinkLed::Flashing), ("steady", LinkLed::Steady)];
        let link_led = self.word(&leds, LinkLed::Off)?;
        let limits = Limits {
            charge_voltage: Voltage::from_microvolts(self.maybe()?.unwrap_or(0)),
            charge_current: Current::from_milliamps(self.maybe()?.unwrap_or(0)),
            discharge_current: Current::from_milliamps(self.maybe()?.unwrap_or(0)),
        };
        let (Some(charge), Some(discharge)) = (charge, discharge) else { return Ok(None) };
        let command = Command {
            charge: Switch::closed_if(charge),
            discharge: Switch::closed_if(discharge),
            precharge,
            balance,
            heater,
            power,
            last_resort,
            clear_latch,
            scan,
            beep,
            link_led,
            limits,
        };
        Ok(Some(Outputs { command, alarms, soc_permille }))
    }
    /// A cell counted from 1, as an index.
    fn cell_number(&mut self) -> Parsed<Option<u8>> {
        let number: Option<u16> = self.maybe()?;
        match number.map(|number| number.checked_sub(1).and_then(|index| u8::try_from(index).ok())) {
            None => Ok(None),
            Some(Some(index)) => Ok(Some(index)),
            Some(None) => Err(self.wrong("balance_from", "cells are counted from 1")),
        }
    }
    fn alarms(&mut self) -> Parsed<AlarmSet> {
        let (name, text) = self.next();
        text.split_whitespace().try_fold(AlarmSet::EMPTY, |set, word| match Alarm::from_name(word) {
            Some(alarm) => Ok(set.with(alarm)),
            None => Err(self.wrong(name, format!("`{word}` is no alarm"))),
        })
    }
    fn soc(&mut self) -> Parsed<Reading<u16>> {
        let read = self.reading(u16::try_from)?;
        match read {
            Reading::Valid(Ok(value)) => Ok(Reading::Valid(value)),
            Reading::Valid(Err(_)) => Err(self.wrong("soc_permille", "out of range")),
            Reading::Invalid => Ok(Reading::Invalid),
            Reading::NotMeasured => Ok(Reading::NotMeasured),
            Reading::Stale { age } => Ok(Reading::Stale { age }),
        }
    }
    fn plan(&mut self, (from, to, milliamps): (Option<u8>, Option<u8>, Option<i32>)) -> Parsed<Plan> {
        let (name, kind) = self.next();
        let mask: Option<u32> = self.maybe()?;
        let until: Option<u64> = self.maybe()?;
        let until = until.map(Instant::from_millis);
        let current = Current::from_milliamps(milliamps.unwrap_or(0)).magnitude();
        match (kind, from, to, until) {
            ("" | "idle", ..) => Ok(Plan::Idle),
            ("take" | "give", Some(source), Some(destination), Some(until)) => {
                let phase = if kind == "take" { Phase::Take } else { Phase::Give };
                Ok(Plan::Transfer { source, destination, phase, current, until })
            }
            ("shuttle", Some(source), Some(destination), Some(until)) => {
                Ok(Plan::Shuttle { source, destination, current, until })
            }
            ("bleed", _, _, Some(until)) => Ok(Plan::Bleed { mask: mask.unwrap_or(0), until }),
            _ => Err(self.wrong(name, format!("`{kind}` lacks its cells or its end"))),
        }
    }
    fn expiring(&mut self, told: Option<bool>) -> Parsed<Expiring> {
        let on = match told {
            Some(on) => on,
            None => self.flag()?,
        };
        let until: Option<u64> = self.maybe()?;
        match (on, until) {
            (false, _) => Ok(Expiring::Off),
            (true, Some(until)) => Ok(Expiring::On { until: Instant::from_millis(until) }),
            (true, None) => Err(self.wrong("heater_until_ms", "an output that is on has an end")),
        }
    }
}

/// A group's time stamp as it stands in the file.
enum Stamp {
    Now,
    Failed,
    At(Instant),
}

impl Stamp {
    const fn is_told(&self) -> bool {
        matches!(self, Self::At(_))
    }
    fn group<T>(self, now: Instant, value: Option<T>) -> Group<T> {
        match (self, value) {
            (Self::Failed, _) => Group::Failed,
            (_, None) => Group::NotMeasured,
            (Self::Now, Some(value)) => Group::at(now, value),
            (Self::At(at), Some(value)) => Group::at(at, value),
        }
    }
}
