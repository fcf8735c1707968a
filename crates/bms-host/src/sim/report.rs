//! What happened, for people: the table of trips, the status page.

use bms_core::Bms;
use bms_core::balancing::{Phase, Plan, Strategy};
use bms_core::bms::Request;
use bms_core::config::{ParameterId, Unit};
use bms_core::estimation::Estimator;
use bms_core::explain::{Explanation, Part, Reason};
use bms_core::measurement::Reading;
use bms_core::units::{Temperature, Voltage};

use crate::plant::SwitchFault;

use super::numbers::{clock, duration, quantity};
use super::page::{AlarmLine, Cell, Mark, Page, Wire};
use super::record::{Record, Trip};
use super::scenario::{Change, Channel, Charger, Fault, Load};
use super::table;

/// What tripped when, why, and how long after what was done. Warnings are left out; an alarm that comes again and again
/// from the same place and cause takes one line.
#[must_use]
pub fn trips(record: &Record) -> comfy_table::Table {
    let header = ["time", "alarm", "where", "value", "limit", "what was done", "tripped after", "active for", "times"];
    let mut rows: Vec<(Vec<String>, u32)> = Vec::new();
    for trip in record.trips.iter().filter(|trip| !trip.alarm.is_warning()) {
        let (cause, delay) = cause(record, trip);
        let row = vec![
            clock(trip.at_ms),
            trip.alarm.name().to_owned(),
            place(trip),
            value(trip),
            limit(trip),
            cause,
            delay.map_or_else(String::new, duration),
            trip.cleared_ms.map_or_else(|| "still".to_owned(), |cleared| duration(cleared - trip.at_ms)),
        ];
        match rows.last_mut() {
            Some((last, times)) if same_story(last, &row) => *times += 1,
            _ => rows.push((row, 1)),
        }
    }
    let with_times = rows.into_iter().map(|(mut row, times)| {
        row.push(if times > 1 { format!("{times} x") } else { String::new() });
        row
    });
    table::of(&header.map(str::to_owned), with_times.collect())
}

/// Whether two rows tell of the same alarm, place, cause and delay.
fn same_story(a: &[String], b: &[String]) -> bool {
    [1, 2, 5, 6].into_iter().all(|column| a.get(column) == b.get(column))
}

/// The same for programs, with warnings.
#[must_use]
pub fn trips_json(record: &Record) -> Vec<serde_json::Value> {
    record
        .trips
        .iter()
        .map(|trip| {
            let (cause, delay_ms) = cause(record, trip);
            serde_json::json!({
                "t_s": trip.at_ms as f64 / 1e3,
                "alarm": trip.alarm.name(),
                "warning": trip.alarm.is_warning(),
                "number": trip.index.map(|index| u16::from(index) + 1),
                "value": value(trip),
                "limit": limit(trip),
                "cause": cause,
                "after_s": delay_ms.map(|delay| delay as f64 / 1e3),
                "cleared_s": trip.cleared_ms.map(|cleared| cleared as f64 / 1e3),
            })
        })
        .collect()
}

/// What was done before it, and how long before. Where a limit was passed only later (a cell that fills up), the time
/// counts from there.
fn cause(record: &Record, trip: &Trip) -> (String, Option<u64>) {
    match record.cause(trip.at_ms) {
        Some(note) if trip.onset_ms > note.at_ms + A_WHILE_MS => {
            (format!("{}, then the limit was passed", note.text), Some(trip.at_ms - trip.onset_ms))
        }
        Some(note) => (note.text.clone(), Some(trip.at_ms - note.at_ms)),
        None => (String::new(), Some(trip.at_ms - trip.onset_ms)),
    }
}

/// A fault that shows later than this did not do so by itself.
const A_WHILE_MS: u64 = 3_000;

/// Which cell, sensor or wire.
fn place(trip: &Trip) -> String {
    let number = trip.index.map(|index| u16::from(index) + 1);
    match (trip.reason.part, number) {
        (Part::Cell, Some(number)) => format!("cell {number}"),
        (Part::Sensor, Some(6)) => "MOS".to_owned(),
        (Part::Sensor, Some(number)) => format!("T{number}"),
        (Part::Wire, Some(number)) => format!("wire {}", number - 1),
        (Part::None, _) | (_, None) => String::new(),
    }
}

fn value(trip: &Trip) -> String {
    match trip.reason.unit {
        Unit::Flag => String::new(),
        unit => quantity(trip.value, unit),
    }
}

fn limit(trip: &Trip) -> String {
    match trip.reason.unit {
        Unit::Flag => String::new(),
        unit => quantity(trip.reason.threshold, unit),
    }
}

/// What a change does, in words.
#[must_use]
pub fn describe(change: &Change) -> String {
    match change {
        Change::AllCells(volts) => format!("all cells at {volts} V"),
        Change::Cell(cell, volts) => format!("cell {} at {volts} V", u16::from(*cell) + 1),
        Change::Current(amperes) => format!("current {amperes} A"),
        Change::Battery(sensor, degrees) => format!("T{} at {degrees} °C", u16::from(*sensor) + 1),
        Change::Mos(degrees) => format!("MOS at {degrees} °C"),
        Change::MeasuredCells(count) => format!("{count} cells are found"),
        Change::Stack(volts) => format!("stack at {volts} V"),
        Change::Terminal(volts) => format!("terminal at {volts} V"),
        Change::Ambient(degrees) => format!("pack at {degrees} °C"),
        Change::Charger(Charger::Absent) => "charger removed".to_owned(),
        Change::Charger(Charger::Suitable) => "charger connected".to_owned(),
        Change::Charger(Charger::Rated { voltage, current }) => format!("charger {voltage} V, {current} A connected"),
        Change::Load(Load::Absent) => "load removed".to_owned(),
        Change::Load(Load::Present) => "load connected".to_owned(),
        Change::Load(Load::Draws(amperes)) => format!("load of {amperes} A"),
        Change::ShortCircuit(true) => "short circuit".to_owned(),
        Change::ShortCircuit(false) => "short circuit removed".to_owned(),
        Change::Activation(true) => "activation pressed".to_owned(),
        Change::Activation(false) => "activation let go".to_owned(),
        Change::SelfTestFailed(true) => "self-test fails".to_owned(),
        Change::SelfTestFailed(false) => "self-test passes".to_owned(),
        Change::Request(request) => describe_request(*request),
        Change::Set(settings) => {
            let words: Vec<String> = settings.iter().map(|(parameter, value)| setting(*parameter, *value)).collect();
            format!("set {}", words.join(", "))
        }
        Change::Lost(channels) => format!("{} lost", channels_text(channels)),
        Change::Valid(channels) => format!("{} back", channels_text(channels)),
        Change::Fault(fault) => describe_fault(*fault),
        Change::Reset(cause) => format!("reset: {cause:?}"),
    }
}

fn setting(parameter: ParameterId, value: i32) -> String {
    let info = parameter.info();
    format!("{} = {}", info.name, quantity(value, info.unit))
}

fn describe_request(request: Request) -> String {
    let on = |on: bool| if on { "on" } else { "off" };
    match request {
        Request::SetCharge(state) => format!("request charge {}", on(state)),
        Request::SetDischarge(state) => format!("request discharge {}", on(state)),
        Request::SetBalance(state) => format!("request balance {}", on(state)),
        Request::CalibrateVoltage(truth) => {
            format!("calibrate voltage to {}", quantity(truth.as_microvolts(), Unit::Microvolts))
        }
        Request::CalibrateCurrent(truth) => {
            format!("calibrate current to {}", quantity(truth.as_milliamps(), Unit::Milliamps))
        }
        other => format!("request {other:?}"),
    }
}

fn channels_text(channels: &[Channel]) -> String {
    let words: Vec<String> = channels
        .iter()
        .map(|channel| match channel {
            Channel::All => "the whole sampler".to_owned(),
            Channel::Cells => "all cells".to_owned(),
            Channel::Cell(cell) => format!("cell {}", u16::from(*cell) + 1),
            Channel::Current => "current".to_owned(),
            Channel::Temperatures => "all temperatures".to_owned(),
            Channel::Battery(sensor) => format!("sensor T{}", u16::from(*sensor) + 1),
            Channel::Mos => "MOS sensor".to_owned(),
            Channel::Stack => "stack voltage".to_owned(),
            Channel::Terminal => "terminal voltage".to_owned(),
        })
        .collect();
    words.join(", ")
}

fn describe_fault(fault: Fault) -> String {
    match fault {
        Fault::None => "faults repaired".to_owned(),
        Fault::OpenWire(wire) => format!("sense wire {wire} breaks"),
        Fault::WireResistance(wire, ohms) => format!("sense wire {wire} at {ohms} Ω"),
        Fault::ChargeSwitch(fault) => format!("charge switch {}", switch_fault(fault)),
        Fault::DischargeSwitch(fault) => format!("discharge switch {}", switch_fault(fault)),
        Fault::Injected(kind) => format!("fault {kind:?}"),
    }
}

fn switch_fault(fault: SwitchFault) -> &'static str {
    match fault {
        SwitchFault::None => "repaired",
        SwitchFault::StuckOn => "welds",
        SwitchFault::StuckOff => "does not close",
        SwitchFault::Slow(_) => "is slow",
    }
}

/// The manual's status view of a BMS.
#[must_use]
pub fn page<const N: usize, E: Estimator, S: Strategy>(bms: &Bms<N, E, S>, title: &str) -> Page {
    let status = bms.status();
    let on = |on: bool| if on { "On" } else { "Off" }.to_owned();
    let volts = |reading: Reading<Voltage>, digits: usize| {
        shown(reading, |volts| format!("{:.digits$} V", f64::from(volts.as_microvolts()) * 1e-6))
    };
    let degrees = |reading: Reading<Temperature>| {
        shown(reading, |degrees| format!("{:.1} °C", f64::from(degrees.as_tenths()) / 10.0))
    };
    let amp_hours = |charge: bms_core::units::Charge| format!("{:.2} Ah", charge.as_milliamp_hours() as f64 / 1e3);
    let seconds = status.run_time_seconds;
    let [t1, t2, ..] = status.battery_temperatures;
    let mut summary = vec![
        (
            "Run time",
            format!("{}d {:02}:{:02}:{:02}", seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60),
        ),
        ("Charge", on(status.charge.is_closed())),
        ("Discharge", on(status.discharge.is_closed())),
        ("Balance", on(status.switches.balance)),
        ("Voltage", volts(status.pack_voltage, 2)),
        ("Current", shown(status.current, |amps| format!("{:.2} A", f64::from(amps.as_milliamps()) * 1e-3))),
        ("Power", shown(status.power, |power| format!("{:.1} W", f64::from(power.as_milliwatts()) * 1e-3))),
        (
            "State of charge",
            shown(status.state_of_charge_permille, |permille| format!("{:.1} %", f64::from(permille) / 10.0)),
        ),
        ("Battery capacity", amp_hours(status.capacity)),
        ("Remaining capacity", shown(status.remaining, amp_hours)),
        ("Cycle capacity", amp_hours(status.cycle_capacity)),
        ("Cycles", status.cycles.to_string()),
        ("Cell average", volts(status.average_cell, 3)),
        ("Cell difference", volts(status.cell_spread, 3)),
        ("Balancing", activity(&status.balance)),
        ("Balance current", format!("{:.2} A", f64::from(status.balance_current.as_milliamps()) * 1e-3)),
        ("MOS temperature", degrees(status.mos_temperature)),
        ("Battery T1", degrees(t1)),
        ("Battery T2", degrees(t2)),
    ];
    if let Some(cell) = status.wire_test {
        summary.push(("Wire test", format!("at cell {}", u16::from(cell) + 1)));
    }
    if bms.config().heater_fitted() {
        summary.push(("Heater", on(status.heater)));
    }
    let count = usize::from(bms.config().cell_count());
    let apart: Vec<_> = (0..count).filter_map(|cell| status.cell_differences.get(cell)).collect();
    let percent = |millionths: Option<i32>| f64::from(millionths.unwrap_or(0)) * 1e-4;
    if let Some(sigma) = apart.iter().map(|cell| cell.sigma_millionths).max() {
        let least = percent(apart.iter().map(|cell| cell.millionths).min());
        let most = percent(apart.iter().map(|cell| cell.millionths).max());
        // Two sigmas of the least known one.
        let text = format!("{least:+.1} to {most:+.1} %, ± {:.1}", f64::from(sigma) * 2e-4);
        summary.push(("Charge of cells", text));
    }
    let cells = (0..count).map(|index| {
        let is = |marked: Option<u8>| marked.is_some_and(|marked| usize::from(marked) == index);
        let mark = match () {
            () if is(status.highest_cell) => Mark::Highest,
            () if is(status.lowest_cell) => Mark::Lowest,
            () => Mark::None,
        };
        Cell { voltage: volts(status.cells.reading(index), 3), mark, balancing: works_on(&status.balance, index) }
    });
    let wires = (0..=count).map(|wire| Wire {
        resistance: status.wires.resistance(wire).map_or_else(
            || "-".to_owned(),
            |resistance| format!("{:.3} Ω", f64::from(resistance.as_microohms()) * 1e-6),
        ),
        flagged: status.wires.is_flagged(wire),
    });
    Page {
        title: title.to_owned(),
        summary,
        cells: cells.collect(),
        wires: wires.collect(),
        alarms: alarms(bms),
        footer: Vec::new(),
    }
}

/// A reading in words; "NA" is the manual's word for a sensor that is not there.
fn shown<Q>(reading: Reading<Q>, text: impl FnOnce(Q) -> String) -> String {
    match reading {
        Reading::Valid(value) => text(value),
        Reading::NotMeasured => "NA".to_owned(),
        Reading::Invalid => "invalid".to_owned(),
        Reading::Stale { age } => format!("lost for {:.1} s", f64::from(age.as_millis()) / 1e3),
    }
}

/// What the balancer does, cells counted from 1 (B08).
fn activity(plan: &Plan) -> String {
    match *plan {
        Plan::Transfer { source, destination, phase, .. } => {
            let phase = if phase == Phase::Take { "taking" } else { "giving" };
            format!("{} → {}, {phase}", source + 1, destination + 1)
        }
        Plan::Shuttle { source, destination, .. } => format!("{} → {}", source + 1, destination + 1),
        Plan::Bleed { mask, .. } => format!("burning in {} cells", mask.count_ones()),
        _ => "-".to_owned(),
    }
}

fn works_on(plan: &Plan, index: usize) -> bool {
    match *plan {
        Plan::Transfer { source, destination, .. } | Plan::Shuttle { source, destination, .. } => {
            usize::from(source) == index || usize::from(destination) == index
        }
        Plan::Bleed { mask, .. } => u32::try_from(index).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1),
        _ => false,
    }
}

/// Why what is open, then every other active alarm.
fn alarms<const N: usize, E: Estimator, S: Strategy>(bms: &Bms<N, E, S>) -> Vec<AlarmLine> {
    let explanations: Vec<Explanation> = bms.explain().collect();
    let explained =
        |alarm| explanations.iter().any(|one| matches!(one.reason, Reason::Alarm(reason) if reason.alarm == alarm));
    let others = bms
        .alarms()
        .iter()
        .filter(|alarm| !explained(*alarm))
        .map(|alarm| AlarmLine { text: bms.alarm_reason(alarm).to_string(), warning: alarm.is_warning() });
    let switches = explanations.iter().map(|one| AlarmLine { text: one.to_string(), warning: false });
    switches.chain(others).collect()
}
