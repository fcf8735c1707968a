//! What goes wrong: every port, every switch, the clock, the reset.

use bms_core::snapshot::{ResetCause, Stored};
use bms_host::fault::{Channel, FaultKind as K, Output};
use bms_host::plant::{SwitchFault, Thermistor, Wire};

use crate::bench::Bench;
use crate::truth::{Blur, Path, Quantity};

/// One fault.
#[derive(Clone)]
pub struct Fault {
    /// The port or part that it is in.
    pub part: &'static str,
    /// What goes wrong.
    pub name: String,
    /// Does it, before step `n` after the beginning.
    act: Act,
    /// Whether the sampler has a clock of its own, which stays right.
    pub two_clocks: bool,
    /// The paths that must open, and within which time, in ms; none: it is tolerated, as long as nothing is unsafe.
    pub opens: (&'static [Path], u32),
    /// Not while the part never delivered: an optional sensor that was not seen since the start is taken as not fitted (D16).
    pub once_seen: bool,
    /// No time passes for the core while it is hidden, so delays begin after it.
    pub stops_time: bool,
    /// It happens once and is over, so that what opened may close again.
    pub passes: bool,
    /// How far it takes readings from the truth.
    pub blur: Blur,
    /// What it hides.
    pub blinds: &'static [Quantity],
    /// How long it may hide it, in ms; `None`: for ever, since the reading is wrong and plausible.
    pub blind_ms: Option<u32>,
    /// The paths that no command opens while it is there.
    pub defeats: &'static [Path],
    /// How much later an output follows, in ms.
    pub slow_ms: u32,
}

#[derive(Clone, Copy)]
enum Act {
    Inject(K),
    Once(fn(&mut Bench)),
    Each(fn(&mut Bench, u32)),
}

const ALL: &[Path] = &[Path::Charge, Path::Discharge, Path::Heater, Path::Balancer];
const BOTH: &[Path] = &[Path::Charge, Path::Discharge];
const CHARGE: &[Path] = &[Path::Charge];
const DISCHARGE: &[Path] = &[Path::Discharge];
const EVERYTHING: &[Quantity] =
    &[Quantity::Cells, Quantity::CellOrder, Quantity::Current, Quantity::Temperature, Quantity::Mos];
const CELLS: &[Quantity] = &[Quantity::Cells, Quantity::CellOrder];
const ORDER: &[Quantity] = &[Quantity::CellOrder];
const CURRENT: &[Quantity] = &[Quantity::Current];
const BATTERY: &[Quantity] = &[Quantity::Temperature];
const HEAT: &[Quantity] = &[Quantity::Temperature, Quantity::Mos];
/// A lost stack voltage is a mismatch 2 s later (X01, X03).
const STACK_MS: u32 = 3_000;
const LOST_MS: u32 = 1_000;
const TEMPERATURE_LOST_MS: u32 = 10_000;
const SENSOR_MS: u32 = 1_000;
/// Outputs that carry energy end by themselves after so long.
const EXPIRY_MS: u32 = 2_000;
/// Nine scans in the same millisecond.
const STILL_MS: u32 = 900;
const MISMATCH_MS: u32 = 2_000;

fn new(part: &'static str, name: impl Into<String>, act: Act) -> Fault {
    Fault {
        part,
        name: name.into(),
        act,
        two_clocks: false,
        opens: (&[], 0),
        passes: false,
        stops_time: false,
        once_seen: false,
        blur: Blur::ROUNDING,
        blinds: &[],
        blind_ms: None,
        defeats: &[],
        slow_ms: 0,
    }
}
fn kind(part: &'static str, name: impl Into<String>, kind: K) -> Fault {
    new(part, name, Act::Inject(kind))
}

impl Fault {
    /// Acts before a step; 0 is the first one with the fault.
    pub fn act(&self, bench: &mut Bench, step: u32) {
        match self.act {
            Act::Inject(kind) if step == 0 => bench.inject(kind),
            Act::Once(act) if step == 0 => act(bench),
            Act::Each(act) => act(bench, step),
            Act::Inject(_) | Act::Once(_) => {}
        }
    }
    /// It must be noticed: these paths open within the time, and until then it may hide something.
    fn noticed(self, paths: &'static [Path], hides: &'static [Quantity], within_ms: u32) -> Self {
        Self { opens: (paths, within_ms), blinds: hides, blind_ms: Some(within_ms), ..self }
    }
    /// It may be hidden for a while, although nothing need open.
    fn hides(self, blinds: &'static [Quantity], ms: u32) -> Self {
        Self { blinds, blind_ms: Some(ms), ..self }
    }
    /// Wrong and plausible.
    fn deceives(self, blinds: &'static [Quantity]) -> Self {
        Self { blinds, blind_ms: None, ..self }
    }
    fn defeats(self, paths: &'static [Path]) -> Self {
        Self { defeats: paths, ..self }
    }
    fn blurs(self, cell: f64, current: f64, temperature: f64) -> Self {
        Self { blur: Blur { cell, current, temperature }, ..self }
    }
    fn once_seen(self) -> Self {
        Self { once_seen: true, ..self }
    }
    fn stops_time(self) -> Self {
        Self { stops_time: true, ..self }
    }
    fn passes(self) -> Self {
        Self { passes: true, ..self }
    }
    fn slow(self, ms: u32) -> Self {
        Self { slow_ms: ms, ..self }
    }
}

/// **The table of faults.**
#[must_use]
pub fn faults() -> Vec<Fault> {
    let mut all = vec![
        kind("sampler", "fails", K::SamplerLost).noticed(ALL, EVERYTHING, LOST_MS),
        kind("sampler", "silent", K::SamplerSilent).noticed(ALL, EVERYTHING, LOST_MS),
    ];
    for channel in Channel::ALL {
        all.extend(of_channel(channel));
    }
    all.extend(of_values());
    all.extend(of_sensors());
    all.extend(of_switches());
    all.extend(of_outputs());
    all.extend(of_clock());
    all.extend(of_resets());
    all
}

/// The part's name, what opens when it delivers nothing, what that hides, and when it must be noticed.
fn trust(channel: Channel) -> (&'static str, &'static [Path], &'static [Quantity], u32) {
    match channel {
        Channel::Cells => ("cells", ALL, CELLS, LOST_MS),
        Channel::Current => ("current", ALL, CURRENT, LOST_MS),
        Channel::Temperatures => ("temperatures", ALL, HEAT, TEMPERATURE_LOST_MS),
        Channel::Stack => ("stack", ALL, &[], STACK_MS),
        Channel::Terminal => ("terminal", &[], &[], 0),
        Channel::Feedback => ("feedback", &[], &[], 0),
        Channel::Inputs => ("inputs", &[], &[], 0),
    }
}

/// What every channel can do: be lost, no longer be taken, be late, stand still, be noisy.
fn of_channel(channel: Channel) -> Vec<Fault> {
    let (part, paths, hides, ms) = trust(channel);
    let noise = |fault: Fault, channel| match channel {
        Channel::Cells => fault.blurs(0.006, 0.1, 0.2),
        Channel::Current => fault.blurs(0.001, 0.6, 0.2),
        Channel::Temperatures => fault.blurs(0.001, 0.1, 1.2),
        _ => fault,
    };
    let seen = |fault: Fault| if channel == Channel::Stack { fault.once_seen() } else { fault };
    let amplitude = match channel {
        Channel::Cells => 5_000,
        Channel::Stack | Channel::Terminal => 50_000,
        Channel::Current | Channel::Feedback => 500,
        Channel::Temperatures => 10,
        Channel::Inputs => 0,
    };
    vec![
        seen(kind(part, "lost", K::Lost(channel)).noticed(paths, hides, ms)),
        seen(kind(part, "silent", K::Silent(channel)).noticed(paths, hides, ms)),
        seen(kind(part, "20 s late", K::Late { channel, by_ms: 20_000 }).noticed(paths, hides, ms)),
        kind(part, "300 ms late", K::Late { channel, by_ms: 300 }).hides(hides, 300).slow(400),
        kind(part, "stuck", K::Stuck(channel)).deceives(hides),
        noise(kind(part, "noisy", K::Noise { channel, amplitude }), channel),
    ]
}

/// Wrong values: out of range, inverted, swapped, of another count.
fn of_values() -> Vec<Fault> {
    let value = |part, name: &str, channel, value| kind(part, name, K::Value { channel, value });
    let one = |name: &str, cell, microvolts| kind("cells", name, K::CellValue { cell, microvolts });
    let mut all = vec![
        value("cells", "all 6.5 V", Channel::Cells, 6_500_000).noticed(BOTH, CELLS, MISMATCH_MS),
        value("cells", "all 0 V", Channel::Cells, 0).noticed(BOTH, CELLS, MISMATCH_MS),
        value("current", "+2000 A", Channel::Current, 2_000_000).noticed(CHARGE, CURRENT, 1_000).deceives(CURRENT),
        value("current", "-2000 A", Channel::Current, -2_000_000).noticed(DISCHARGE, CURRENT, 300).deceives(CURRENT),
        kind("current", "inverted", K::InvertedCurrent).deceives(CURRENT),
        value("temperatures", "all 200 °C", Channel::Temperatures, 2_000).noticed(ALL, HEAT, SENSOR_MS),
        value("temperatures", "all -100 °C", Channel::Temperatures, -1_000).noticed(ALL, HEAT, SENSOR_MS),
        value("stack", "0 V", Channel::Stack, 0).noticed(BOTH, &[], MISMATCH_MS),
        value("stack", "150 V", Channel::Stack, 150_000_000).noticed(BOTH, &[], MISMATCH_MS),
        value("terminal", "0 V", Channel::Terminal, 0),
        value("terminal", "150 V", Channel::Terminal, 150_000_000),
        kind("cells", "1 and 16 swapped", K::SwappedCells(0, 15)).deceives(ORDER),
        kind("cells", "7 and 10 swapped", K::SwappedCells(6, 9)).deceives(ORDER),
        kind("cells", "one fewer", K::CellCount(15)).noticed(ALL, CELLS, 0),
        kind("cells", "one more", K::CellCount(17)).noticed(ALL, CELLS, 0),
        kind("cells", "none", K::CellCount(0)).noticed(ALL, CELLS, 0),
    ];
    for cell in [0, 6, 15] {
        let number = cell + 1;
        all.push(kind("cells", format!("cell {number} invalid"), K::CellInvalid(cell)).noticed(ALL, CELLS, LOST_MS));
        all.push(one(&format!("cell {number} reads 6.5 V"), cell, 6_500_000).noticed(BOTH, CELLS, MISMATCH_MS));
        all.push(one(&format!("cell {number} reads 0 V"), cell, 0).noticed(BOTH, CELLS, MISMATCH_MS));
    }
    all
}

/// Thermistors and sense wires.
fn of_sensors() -> Vec<Fault> {
    let plant = |part, name: &str, act| new(part, name, Act::Once(act));
    vec![
        kind("temperatures", "T1 invalid", K::TemperatureInvalid(0)).noticed(ALL, BATTERY, SENSOR_MS).once_seen(),
        kind("temperatures", "switches' invalid", K::MosTemperatureInvalid).noticed(ALL, &[Quantity::Mos], SENSOR_MS),
        plant("temperatures", "T1 open", |bench| bench.pack.plant_mut().set_thermistor(0, Thermistor::Open))
            .noticed(ALL, BATTERY, SENSOR_MS)
            .once_seen(),
        plant("temperatures", "T2 shorted", |bench| bench.pack.plant_mut().set_thermistor(1, Thermistor::Shorted))
            .noticed(ALL, BATTERY, SENSOR_MS)
            .once_seen(),
        plant("temperatures", "switches' open", |bench| bench.pack.plant_mut().set_mos_thermistor(Thermistor::Open))
            .noticed(ALL, &[Quantity::Mos], SENSOR_MS),
        plant("temperatures", "switches' shorted", |bench| {
            bench.pack.plant_mut().set_mos_thermistor(Thermistor::Shorted);
        })
        .noticed(ALL, &[Quantity::Mos], SENSOR_MS),
        plant("sense wires", "wire 7 open", |bench| bench.pack.plant_mut().set_wire(7, Wire::Open))
            .noticed(BOTH, CELLS, 500),
        plant("sense wires", "wire 0 open", |bench| bench.pack.plant_mut().set_wire(0, Wire::Open)).noticed(
            BOTH,
            CELLS,
            MISMATCH_MS,
        ),
        plant("sense wires", "wire 16 open", |bench| bench.pack.plant_mut().set_wire(16, Wire::Open)).noticed(
            BOTH,
            CELLS,
            MISMATCH_MS,
        ),
        plant("sense wires", "wire 7 open and floating", |bench| {
            bench.pack.plant_mut().set_wire(7, Wire::OpenFloating);
        })
        .deceives(CELLS),
        plant("sense wires", "wire 7 at 1.5 Ω", |bench| bench.pack.plant_mut().set_wire(7, Wire::Ohms(1.5))),
        plant("self-test", "fails", |bench| bench.pack.plant_mut().set_self_test_failed(true)).noticed(ALL, &[], 0),
    ]
}

/// The power switches themselves.
fn of_switches() -> Vec<Fault> {
    let charge = |name: &str, act| new("charge switch", name, Act::Once(act));
    let discharge = |name: &str, act| new("discharge switch", name, Act::Once(act));
    vec![
        charge("stuck on", |bench| bench.pack.plant_mut().set_charge_switch_fault(SwitchFault::StuckOn))
            .defeats(CHARGE),
        charge("stuck off", |bench| bench.pack.plant_mut().set_charge_switch_fault(SwitchFault::StuckOff)),
        charge("500 ms slow", |bench| bench.pack.plant_mut().set_charge_switch_fault(SwitchFault::Slow(500_000)))
            .slow(500),
        discharge("stuck on", |bench| bench.pack.plant_mut().set_discharge_switch_fault(SwitchFault::StuckOn))
            .defeats(DISCHARGE),
        discharge("stuck off", |bench| bench.pack.plant_mut().set_discharge_switch_fault(SwitchFault::StuckOff)),
        discharge("500 ms slow", |bench| bench.pack.plant_mut().set_discharge_switch_fault(SwitchFault::Slow(500_000)))
            .slow(500),
    ]
}

/// Writes that fail, are lost, or come late.
fn of_outputs() -> Vec<Fault> {
    let outputs: [(Output, &str, &[Path]); 7] = [
        (Output::Switches, "switch port", BOTH),
        (Output::Balancer, "balancer port", &[Path::Balancer]),
        (Output::Heater, "heater port", &[Path::Heater]),
        (Output::Precharge, "precharge port", &[]),
        (Output::Power, "power port", &[]),
        (Output::LastResort, "last-resort port", &[]),
        (Output::Indicator, "indicator port", &[]),
    ];
    let of = |(output, part, paths): (Output, &'static str, &'static [Path])| {
        // Outputs that expire are off without a command.
        let defeats = if output == Output::Switches { paths } else { &[] };
        [
            kind(part, "write fails", K::WriteFails(output)).defeats(defeats).slow(EXPIRY_MS),
            kind(part, "write ignored", K::WriteIgnored(output)).defeats(defeats).slow(EXPIRY_MS),
            kind(part, "500 ms slow", K::WriteSlow { output, by_ms: 500 }).slow(600),
        ]
    };
    outputs.into_iter().flat_map(of).collect()
}

/// The clock, shared with the sampler or not.
fn of_clock() -> Vec<Fault> {
    let jump = |name: &str, fault| kind("clock", name, fault);
    let day = 86_400_000;
    let one = [
        jump("ahead by 900 ms", K::ClockAhead(900)),
        jump("ahead by 5 s", K::ClockAhead(5_000)).noticed(ALL, &[], 0).passes(),
        jump("ahead by 49 days", K::ClockAhead(49 * day)).noticed(ALL, &[], 0).passes(),
        jump("back by 1 ms a step", K::ClockBack(1)),
        // At a start there is no time to go back to: it stands still.
        jump("back by 5 s", K::ClockBack(5_000)).noticed(ALL, EVERYTHING, STILL_MS).passes().stops_time(),
        jump("wraps at 32 bits", K::ClockWraps).noticed(ALL, &[], 0).passes(),
        jump("stands still", K::ClockStopped).noticed(ALL, EVERYTHING, STILL_MS).passes().stops_time(),
    ];
    let two = one.clone().into_iter().map(|fault| Fault {
        name: format!("{}, not the sampler's", fault.name),
        two_clocks: true,
        // Then every reading is from the future or old.
        opens: if fault.opens.0.is_empty() { fault.opens } else { (ALL, fault.opens.1.max(LOST_MS)) },
        blinds: EVERYTHING,
        blind_ms: fault.blind_ms.map(|ms| ms.max(LOST_MS)).or(Some(LOST_MS)),
        ..fault
    });
    one.clone().into_iter().chain(two).collect()
}

/// Resets and brown-outs: once, in every step, in the middle of every delay; with what the store may have.
fn of_resets() -> Vec<Fault> {
    let once = |name: &str, act| new("reset", name, Act::Once(act)).noticed(ALL, &[], 0).passes();
    let each = |name: &str, act| new("reset", name, Act::Each(act)).hides(EVERYTHING, 0);
    vec![
        once("power on", |bench| bench.pack.reset(ResetCause::PowerOn)),
        once("brown-out", |bench| bench.pack.reset(ResetCause::BrownOut)),
        once("watchdog", |bench| bench.pack.reset(ResetCause::Watchdog)),
        once("unknown", |bench| bench.pack.reset(ResetCause::Unknown)),
        once("store empty", |bench| bench.pack.reset_with(Stored::Nothing, ResetCause::BrownOut)),
        once("store corrupt", |bench| bench.pack.reset_with(Stored::Corrupt, ResetCause::BrownOut)),
        once("counters corrupt", |bench| bench.pack.reset_with(Stored::CountersCorrupt, ResetCause::BrownOut)),
        each("brown-out in each of 20 steps", |bench, step| {
            if step < 20 {
                bench.pack.reset(ResetCause::BrownOut);
            }
        }),
        each("power on every 300 ms", |bench, step| {
            if step % 3 == 0 {
                bench.pack.reset(ResetCause::PowerOn);
            }
        }),
        each("power on every 1.7 s", |bench, step| {
            if step % 17 == 0 {
                bench.pack.reset(ResetCause::PowerOn);
            }
        }),
        each("brown-out every 7.3 s", |bench, step| {
            if step % 73 == 0 {
                bench.pack.reset(ResetCause::BrownOut);
            }
        }),
    ]
}
