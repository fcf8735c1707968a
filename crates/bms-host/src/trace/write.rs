//! Writing: one row a step.

use std::fmt::{Display, Write as _};
use std::io::Write;

use bms_core::balancing::{Phase, Plan};
use bms_core::command::{Beep, Command, Expiring, LinkLed, Power, ScanMode, Switch};
use bms_core::measurement::{Group, Reading, Sample};
use bms_core::time::Instant;

use super::{Header, Outputs, Record, RecordedInput, TraceError, kind_name};

/// The columns of a trace with room for `cells` cells.
pub(super) fn columns(cells: usize) -> Vec<String> {
    let mut names: Vec<String> =
        ["time_ms", "operations", "input", "cells_count", "cells_at_ms"].map(Into::into).into();
    names.extend((1..=cells).map(|cell| format!("cell{cell:02}_uv")));
    names.extend(AFTER_CELLS.map(Into::into));
    names
}

#[rustfmt::skip]
const AFTER_CELLS: [&str; 48] = [
    "current_at_ms", "current_ma",
    "temperatures_at_ms", "t1_dc", "t2_dc", "t3_dc", "t4_dc", "t5_dc", "mos_dc",
    "stack_at_ms", "stack_uv",
    "terminal_at_ms", "terminal_uv",
    "feedback_at_ms", "balance_now_ma", "quiet", "store_empty",
    "inputs_at_ms", "short_circuit", "charger", "load", "activation", "reverse_wake", "self_test_failed",
    "charge", "discharge", "balance_from", "balance_to", "balance_ma", "heater", "alarms", "soc_permille",
    "balance", "balance_mask", "balance_until_ms", "heater_until_ms", "precharge", "precharge_until_ms",
    "power", "last_resort", "clear_latch", "scan", "beep", "link_led",
    "limit_uv", "limit_charge_ma", "limit_discharge_ma",
    "written",
];

/// Writes a trace.
pub struct TraceWriter<W: Write> {
    out: csv::Writer<W>,
    /// The row so far, and the text of one field.
    row: csv::StringRecord,
    text: String,
    rows: u64,
    columns: usize,
}

impl<W: Write> TraceWriter<W> {
    /// Writes the header and the heading for a pack of this many cells (a sample with more loses nothing: the count stands
    /// in its own column, but their voltages are not kept).
    ///
    /// # Errors
    /// The writer's.
    pub fn new(mut out: W, header: &Header, cells: u8) -> Result<Self, TraceError> {
        let line = header.to_line().map_err(|reason| TraceError::new(1, None, reason))?;
        out.write_all(line.as_bytes()).map_err(|error| TraceError::new(1, None, error.to_string()))?;
        let mut out = csv::Writer::from_writer(out);
        let names = columns(usize::from(cells));
        out.write_record(&names).map_err(|error| TraceError::from_csv(&error))?;
        Ok(Self { out, row: csv::StringRecord::new(), text: String::new(), rows: 0, columns: usize::from(cells) })
    }
    /// Writes one step.
    ///
    /// # Errors
    /// The writer's, or an operation that has no text.
    pub fn write<const N: usize>(&mut self, record: &Record<N>) -> Result<(), TraceError> {
        self.rows += 1;
        self.row.clear();
        self.put(record.now.as_millis());
        let operations: Result<Vec<String>, String> = record.operations.iter().map(super::Operation::to_text).collect();
        let operations = operations.map_err(|reason| TraceError::new(self.rows + 2, Some("operations"), reason))?;
        self.put(operations.join(";"));
        let nothing = Sample::new();
        let (kind, sample) = match &record.input {
            RecordedInput::Sample(sample) => ("sample", sample),
            RecordedInput::Lost(kind) => (kind_name(*kind), &nothing),
            RecordedInput::Tick => ("tick", &nothing),
        };
        self.put(kind);
        self.put_cells(record.now, sample);
        self.put_rest(record.now, sample);
        match &record.outputs {
            Some(outputs) => self.put_outputs(outputs),
            None => self.skip(23),
        }
        match record.written {
            None => self.skip(1),
            Some(Ok(())) => self.put("ok"),
            Some(Err(kind)) => self.put(kind_name(kind)),
        }
        self.out.write_record(&self.row).map_err(|error| TraceError::from_csv(&error))
    }
    /// Hands everything to the writer below.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> Result<(), TraceError> {
        self.out.flush().map_err(|error| TraceError::new(self.rows, None, error.to_string()))
    }

    fn put(&mut self, value: impl Display) {
        self.text.clear();
        // Writing to a string does not fail.
        let _ = write!(self.text, "{value}");
        self.row.push_field(&self.text);
    }
    fn skip(&mut self, fields: usize) {
        for _ in 0..fields {
            self.row.push_field("");
        }
    }
    fn put_flag(&mut self, flag: bool) {
        self.put(u8::from(flag));
    }
    fn put_maybe(&mut self, flag: Option<bool>) {
        match flag {
            Some(flag) => self.put_flag(flag),
            None => self.skip(1),
        }
    }
    fn put_reading<T>(&mut self, reading: Reading<T>, number: impl FnOnce(T) -> i32) {
        match reading {
            Reading::NotMeasured => self.skip(1),
            Reading::Invalid => self.put('x'),
            Reading::Stale { age } => self.put(format_args!("s{}", age.as_millis())),
            Reading::Valid(value) => self.put(number(value)),
        }
    }
    /// The group's time stamp, and its value if it was measured. `explicit`: its fields alone would not show that it was.
    fn put_time<T: Copy>(&mut self, now: Instant, group: &Group<T>, explicit: impl FnOnce(&T) -> bool) -> Option<T> {
        match group {
            Group::NotMeasured => self.skip(1),
            Group::Failed => self.put('x'),
            Group::Measured { at, value } => {
                if *at != now || explicit(value) {
                    self.put(at.as_millis());
                } else {
                    self.skip(1);
                }
                return Some(*value);
            }
        }
        None
    }
    fn put_cells<const N: usize>(&mut self, now: Instant, sample: &Sample<N>) {
        match &sample.cells {
            Group::Measured { value, .. } => self.put(value.count()),
            _ => self.skip(1),
        }
        let measured = self.put_time(now, &sample.cells, |_| false);
        for index in 0..self.columns {
            match measured {
                Some(cells) => self.put_reading(cells.get(index), |voltage| voltage.as_microvolts()),
                None => self.skip(1),
            }
        }
    }
    fn put_rest<const N: usize>(&mut self, now: Instant, sample: &Sample<N>) {
        match self.put_time(now, &sample.current, |_| false) {
            Some(current) => self.put(current.as_milliamps()),
            None => self.skip(1),
        }
        match self.put_time(now, &sample.temperatures, |all| {
            all.battery.iter().chain([&all.mos]).all(|reading| *reading == Reading::NotMeasured)
        }) {
            Some(all) => {
                for reading in all.battery.iter().chain([&all.mos]) {
                    self.put_reading(*reading, |celsius| celsius.as_tenths());
                }
            }
            None => self.skip(6),
        }
        for group in [&sample.stack, &sample.terminal] {
            match self.put_time(now, group, |_| false) {
                Some(voltage) => self.put(voltage.as_microvolts()),
                None => self.skip(1),
            }
        }
        match self.put_time(now, &sample.feedback, |_| false) {
            Some(feedback) => {
                self.put(feedback.balance_current.as_milliamps());
                self.put_flag(feedback.quiet);
                self.put_flag(feedback.store_empty);
            }
            None => self.skip(3),
        }
        match self.put_time(now, &sample.inputs, |_| false) {
            Some(inputs) => {
                self.put_flag(inputs.short_circuit);
                self.put_maybe(inputs.charger);
                self.put_maybe(inputs.load);
                self.put_flag(inputs.activation);
                self.put_flag(inputs.reverse_wake);
                self.put_flag(inputs.self_test_failed);
            }
            None => self.skip(6),
        }
    }
    fn put_outputs(&mut self, outputs: &Outputs) {
        let command = &outputs.command;
        let plan = PlanFields::of(&command.balance);
        let cell = |index: Option<u8>| index.map(|index| u16::from(index) + 1);
        self.put_switch(command.charge);
        self.put_switch(command.discharge);
        self.put_number(cell(plan.from));
        self.put_number(cell(plan.to));
        self.put_number(plan.milliamps);
        self.put_flag(command.heater != Expiring::Off);
        let alarms: Vec<&str> = outputs.alarms.iter().map(bms_core::protection::Alarm::name).collect();
        self.put(alarms.join(" "));
        self.put_reading(outputs.soc_permille, i32::from);
        self.put(plan.kind);
        self.put_number(plan.mask);
        self.put_number(command.balance.until().map(Instant::as_millis));
        self.put_number(until(command.heater));
        self.put_flag(command.precharge != Expiring::Off);
        self.put_number(until(command.precharge));
        self.put_command_rest(command);
    }
    fn put_command_rest(&mut self, command: &Command) {
        self.put(match command.power {
            Power::Hold => "hold",
            Power::Release => "release",
        });
        self.put_switch(command.last_resort);
        self.put_flag(command.clear_latch);
        self.put(match command.scan {
            ScanMode::Any => "any",
            ScanMode::Quiet => "quiet",
        });
        self.put(match command.beep {
            Beep::None => "none",
            Beep::Awake => "awake",
            Beep::Accepted => "accepted",
        });
        self.put(match command.link_led {
            LinkLed::Off => "off",
            LinkLed::Flashing => "flashing",
            LinkLed::Steady => "steady",
        });
        self.put(command.limits.charge_voltage.as_microvolts());
        self.put(command.limits.charge_current.as_milliamps());
        self.put(command.limits.discharge_current.as_milliamps());
    }
    fn put_switch(&mut self, state: Switch) {
        self.put_flag(state.is_closed());
    }
    fn put_number(&mut self, number: Option<impl Display>) {
        match number {
            Some(number) => self.put(number),
            None => self.skip(1),
        }
    }
}

fn until(output: Expiring) -> Option<u64> {
    match output {
        Expiring::Off => None,
        Expiring::On { until } => Some(until.as_millis()),
    }
}

/// A plan in fields.
struct PlanFields {
    kind: &'static str,
    from: Option<u8>,
    to: Option<u8>,
    /// Signed as B07 says.
    milliamps: Option<i32>,
    mask: Option<u32>,
}

impl PlanFields {
    fn of(plan: &Plan) -> Self {
        let none = Self { kind: "idle", from: None, to: None, milliamps: None, mask: None };
        match *plan {
            Plan::Transfer { source, destination, phase, current, .. } => {
                let amount = current.as_milliamps();
                let (kind, milliamps) = match phase {
                    Phase::Take => ("take", amount.saturating_neg()),
                    Phase::Give => ("give", amount),
                };
                Self { kind, from: Some(source), to: Some(destination), milliamps: Some(milliamps), mask: None }
            }
            Plan::Bleed { mask, .. } => Self { kind: "bleed", mask: Some(mask), ..none },
            Plan::Shuttle { source, destination, current, .. } => Self {
                kind: "shuttle",
                from: Some(source),
                to: Some(destination),
                milliamps: Some(current.as_milliamps()),
                mask: None,
            },
            _ => none,
        }
    }
}
