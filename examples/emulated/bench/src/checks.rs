//! Start, protections, status: what a healthy board must do.

use bms_core::prelude::*;
use bms_host::plant::{Charger, Load};

use crate::{Bench, Emulator, MS, Output, Report, Source};

pub type Check = fn(&mut dyn Emulator, bool, &mut Report) -> Result<(), String>;

pub const ALL: &[(&str, Check)] = &[
    ("start", start),
    ("voltage", voltage),
    ("current", current),
    ("short circuit", short_circuit),
    ("temperature", temperature),
    ("shutdown", shutdown),
    ("cell count", cell_count),
    ("status", status),
    ("a pack", pack),
    ("load", load),
    ("memory", crate::memory::check),
];

/// Delays as short as the table of parameters allows; everything else stays the firmware's.
static SHORT: [(ParameterId, i32); 14] = [
    (ParameterId::CellUndervoltageDelay, 300),
    (ParameterId::CellOvervoltageDelay, 200),
    (ParameterId::AutoShutdownDelay, 2_000),
    (ParameterId::ChargeOvercurrentDelay, 1_000),
    (ParameterId::ChargeOvercurrentRelease, 2_000),
    (ParameterId::DischargeOvercurrentDelay, 2_000),
    (ParameterId::DischargeOvercurrentRelease, 3_000),
    (ParameterId::ShortCircuitRelease, 2_000),
    (ParameterId::RetryLimit, 0),
    (ParameterId::TemperatureDelay, 300),
    (ParameterId::DataLostTime, 500),
    (ParameterId::TemperatureLostTime, 1_000),
    (ParameterId::DataRecoveryTime, 1_000),
    (ParameterId::SensorFaultDelay, 500),
];

/// The parameters of a run.
pub fn settings(defaults: bool) -> &'static [(ParameterId, i32)] {
    if defaults { &[] } else { &SHORT }
}

fn start(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::power_up(emulator, settings(defaults))?;
    bench.run(700)?;
    let Some(first) = bench.edges.iter().find(|edge| edge.high && edge.output <= Output::Discharge).copied() else {
        return Err("the gates never closed".into());
    };
    let scan = bench.scans().next().unwrap_or(u64::MAX);
    let enabled = first.at as f64 / MS as f64;
    report.expect(
        "D32",
        first.at > scan,
        format!(
            "gates low from power-up for {enabled:.1} ms; the first scan began at {:.1} ms",
            scan as f64 / MS as f64
        ),
    );
    let second = bench.scans().nth(1).unwrap_or(u64::MAX);
    report.expect("D32", first.at < second.saturating_add(5 * MS), "closed with the first or second complete scan");
    report.expect("P17", bench.gates() == (true, true), "both gates closed");
    report.expect("A01", bench.on(Output::PowerHold), "power hold driven");
    report.expect("H01", !bench.on(Output::Heater), "heater off");
    Ok(())
}

fn voltage(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    let (low, high) = (bench.get(ParameterId::CellUndervoltageDelay), bench.get(ParameterId::CellOvervoltageDelay));
    let top = usize::from(bench.about.cells) - 1;
    bench.run(37)?;
    let took = bench.after(Source::Cell(2), (true, false), low, |world| world.cell(2, Some(2.66)))?;
    report.timed("P01", "cell 3 at 2.66 V: discharge gate off", took, low);
    bench.change(|world| world.cell(2, Some(2.87)))?;
    bench.run(800)?;
    report.expect("P02", bench.gates() == (true, false), "2.87 V, below the recovery: still off");
    let took = bench.after(Source::Cell(2), (true, true), 0, |world| world.cell(2, Some(2.95)))?;
    report.timed("P02", "2.95 V: on again", took, 0);

    let took = bench.after(Source::Cell(top as u8), (false, true), high, |world| world.cell(top, Some(3.66)))?;
    report.timed("P03", "the top cell at 3.66 V: charge gate off", took, high);
    bench.change(|world| world.cell(top, Some(3.54)))?;
    bench.run(800)?;
    report.expect("P04", bench.gates() == (false, true), "3.54 V, above the recovery: still off");
    let took = bench.after(Source::Cell(top as u8), (true, true), 0, |world| world.cell(top, Some(3.45)))?;
    report.timed("P04", "3.45 V: on again", took, 0);
    Ok(())
}

fn current(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    use ParameterId as P;
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    bench.run(53)?;
    let cases = [
        ("P06", "P07", 215.0, (false, true), P::ChargeOvercurrentDelay, P::ChargeOvercurrentRelease, "charge"),
        (
            "P08",
            "P09",
            -215.0,
            (true, false),
            P::DischargeOvercurrentDelay,
            P::DischargeOvercurrentRelease,
            "discharge",
        ),
    ];
    for (trip, release, amperes, wanted, delay, pause, what) in cases {
        let (delay, pause) = (bench.get(delay), bench.get(pause));
        let since = bench.now;
        let took = bench.after(Source::Current, wanted, delay, |world| world.current(Some(amperes)))?;
        report.timed(trip, &format!("215 A of {what}, 200 A allowed: {what} gate off"), took, delay);
        let opened = bench.gates_were(since, wanted).unwrap_or(since);
        bench.change(|world| world.current(Some(0.0)))?;
        bench.run(pause as u64 + 300)?;
        let closed = bench.gates_were(opened + 1, (true, true)).map(|at| (at - opened) as f64 / MS as f64);
        report.timed(release, "on again, counted from the alarm", closed, pause);
    }
    report.blank("X05", "the board's amplifier ends at 330 A, before the model's maximum of 350 A");
    report.blank("X17", "the board has no precharge path");
    // The shunt amplifier ends at 330 A, below the model's 350 A: beyond its range the current counts as lost (X01).
    let lost = bench.get(P::DataLostTime);
    let took = bench.after(Source::Current, (false, false), lost, |world| world.current(Some(-400.0)))?;
    report.timed(
        "X01",
        "400 A of discharge, beyond the amplifier's range: both gates off",
        took,
        lost - bench.about.period,
    );
    Ok(())
}

fn short_circuit(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    let release = bench.get(ParameterId::ShortCircuitRelease);
    let limit = bench.about.short_circuit_cycles;
    // Before, in and after a scan, and during the UART's line.
    let phases: &[u64] =
        if defaults { &[3_000] } else { &[0, 100, 200, 300, 400, 500, 600, 700, 800, 1_000, 5_000, 50_000] };
    let (mut least, mut most, mut releases) = (u64::MAX, 0, Vec::new());
    for phase in phases {
        let scan = bench.scans().next_back().unwrap_or(0);
        let next = scan + bench.about.period as u64 * MS * 2 - MS / 5 + phase * 1_000;
        let wait = next.saturating_sub(bench.now);
        let happened = bench.emulator.run(wait)?;
        bench.book(happened);
        let Some(cycles) = bench.emulator.short_circuit()? else {
            return Err(format!("phase {phase} µs: gates closed"));
        };
        (least, most) = (least.min(cycles), most.max(cycles));
        let opened = bench.now;
        bench.run(150)?;
        bench.emulator.short_circuit_over()?;
        bench.run(release as u64 + 300)?;
        releases.extend(bench.gates_were(opened + MS, (true, true)).map(|at| (at - opened) as f64 / MS as f64));
    }
    report.expect(
        "P11",
        most <= limit,
        format!(
            "{} edges in and around a scan: both gates low {least} to {most} cycles later, {limit} allowed",
            phases.len()
        ),
    );
    report.figures.push(("short_circuit_cycles", most as f64));
    // From the alarm, which comes with the next reading of the inputs.
    let period = f64::from(bench.about.period);
    let late = releases.iter().map(|took| took - f64::from(release)).fold(f64::MIN, f64::max);
    let early = releases.iter().map(|took| took - f64::from(release)).fold(f64::MAX, f64::min);
    let fine = releases.len() == phases.len() && early >= -1.0 && late <= 2.0 * period + 5.0;
    report.expect(
        "P11",
        fine,
        format!("on again {early:+.1} to {late:+.1} ms to the setting of {release} ms after the edge"),
    );
    bench.emulator.short_circuit()?;
    bench.run(release as u64 + 1_000)?;
    report.expect("D09", bench.gates() == (false, false), "comparator still high after the release time: open");
    bench.emulator.short_circuit_over()?;
    Ok(())
}

fn temperature(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    // So that charging stops before discharging does.
    let mut parameters = settings(defaults).to_vec();
    if !defaults {
        parameters.push((ParameterId::ChargeOvertemperatureProtection, 500));
        parameters.push((ParameterId::ChargeOvertemperatureRecovery, 450));
    }
    let mut bench = Bench::enabled(emulator, &parameters)?;
    let delay = bench.get(ParameterId::TemperatureDelay);
    bench.run(11)?;
    if !defaults {
        let took = bench.after(Source::Battery(0), (false, true), delay, |world| world.battery(0, 52.0))?;
        report.timed("P12", "T1 at 52 °C, 50 allowed: charge gate off", took, delay);
    }
    let took = bench.after(Source::Battery(0), (false, false), delay, |world| world.battery(0, 61.5))?;
    report.timed("P13", "T1 at 61.5 °C: discharge gate off", took, delay);
    let wanted = if defaults { (true, true) } else { (false, true) };
    let took = bench.after(Source::Battery(0), wanted, 0, |world| world.battery(0, 54.0))?;
    report.timed("P13", "54 °C: on again", took, 0);
    let took = bench.after(Source::Battery(0), (true, true), 0, |world| world.battery(0, 30.0))?;
    if !defaults {
        report.timed("P12", "30 °C: on again", took, 0);
    }
    bench.change(|world| world.charger = true)?;
    let took = bench.after(Source::Battery(1), (false, true), delay, |world| world.battery(1, -2.0))?;
    report.timed("P14", "T2 at -2 °C: charge gate off", took, delay);
    report.expect("H01", bench.on(Output::Heater), "heater on, with a charger plugged in");
    bench.change(|world| world.battery(1, 4.0))?;
    bench.run(800)?;
    report.expect("P14", bench.gates() == (false, true), "4 °C, below the recovery: still off");
    let took = bench.after(Source::Battery(1), (true, true), 0, |world| world.battery(1, 6.5))?;
    report.timed("P14", "6.5 °C: on again", took, 0);
    report.expect("H01", !bench.on(Output::Heater), "heater off again");
    let took = bench.after(Source::Mos, (false, false), delay, |world| world.mos(77.0))?;
    report.timed("P15", "switches at 77 °C: both gates off", took, delay);
    let took = bench.after(Source::Mos, (true, true), 0, |world| world.mos(68.5))?;
    report.timed("P15", "68.5 °C: on again", took, 0);
    Ok(())
}

fn shutdown(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    let delay = bench.get(ParameterId::AutoShutdownDelay);
    // At least a minute awake (D02).
    bench.run(60_500)?;
    bench.change(|world| world.cell(2, Some(2.55)))?;
    let since = bench.now;
    bench.run(delay as u64 + 1_500)?;
    let released = bench.edges.iter().find(|edge| edge.at > since && edge.output == Output::PowerHold && !edge.high);
    let open = bench.gates() == (false, false);
    let took = released.map_or(f64::NAN, |edge| (edge.at - since) as f64 / MS as f64);
    report.expect(
        "P16",
        open && released.is_some(),
        format!("cell 3 at 2.55 V: both gates off, power hold let go after {took:.0} ms"),
    );
    Ok(())
}

fn cell_count(emulator: &mut dyn Emulator, _: bool, report: &mut Report) -> Result<(), String> {
    let fewer = i32::from(emulator.about().cells) - 1;
    let mut bench = Bench::power_up(emulator, &[(ParameterId::CellCount, fewer)])?;
    bench.run(2_500)?;
    let closed = bench.edges.iter().any(|edge| edge.high && edge.output <= Output::Discharge);
    let said = bench.text.contains("cell_count_mismatch");
    report.expect(
        "P18",
        !closed && said,
        format!("configured for {fewer} cells: never closed, the status says so: {said}"),
    );
    Ok(())
}

fn status(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    bench.change(|world| world.plant.set_load(Load::Current(50.0)))?;
    bench.run(3_600)?;
    let lines = bench.text.matches("\r\n").count();
    report.expect("T20", (4..=5).contains(&lines), format!("{lines} lines in 4.3 s, {} bytes", bench.text.len()));
    let line = bench.last_line();
    let field = |name: &str| line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| field(name).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let cells: Vec<f64> = field("cells").unwrap_or("").split(',').filter_map(|cell| cell.parse().ok()).collect();
    let truth = bench.world.plant.cell_voltages();
    let worst = cells.iter().zip(truth).map(|(shown, truth)| (shown - truth).abs()).fold(0.0, f64::max);
    let all = cells.len() == usize::from(bench.about.cells);
    report.expect(
        "T18",
        all && worst < 0.015,
        format!("{} cells, within {:.1} mV of the truth", cells.len(), worst * 1e3),
    );
    report.expect("T06", (number("i") + 50.0).abs() < 0.5, format!("current {:.2} A of -50 A", number("i")));
    let temperatures = field("temp").unwrap_or("");
    report.expect("T16", temperatures.split(',').count() == 2, format!("temperatures {temperatures}"));
    let running = field("chg") == Some("1") && field("dis") == Some("1") && field("state") == Some("running");
    report.expect("T02", running, line);
    Ok(())
}

/// Charged until the first cell is full, discharged until the first is empty, with nothing dictated: the pack itself trips.
fn pack(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    let cells = usize::from(bench.about.cells);
    bench.change(|world| {
        (0..cells).for_each(|cell| world.plant.set_soc(cell, 0.998));
        world.plant.set_charger(Some(Charger { voltage: 31.0 / 8.0 * cells as f64, current: 180.0 }));
    })?;
    let since = bench.now;
    bench.run(20_000)?;
    let full = bench.gates_were(since, (false, true)).map(|at| (at - since) as f64 * 1e-9);
    let highest = bench.world.plant.cell_voltages().fold(0.0, f64::max);
    report.expect(
        "P03",
        full.is_some() && highest < 3.75,
        format!(
            "charged at 1.8 C: charge gate off after {:.1} s, highest cell {highest:.3} V",
            full.unwrap_or(f64::NAN)
        ),
    );
    bench.change(|world| {
        world.plant.set_charger(None);
        (0..cells).for_each(|cell| world.plant.set_soc(cell, 0.008));
        world.plant.set_load(Load::Current(100.0));
    })?;
    let since = bench.now;
    bench.run(30_000)?;
    let empty = bench.gates_were(since, (true, false)).map(|at| (at - since) as f64 * 1e-9);
    let lowest = bench.world.plant.cell_voltages().fold(9.0, f64::min);
    report.expect(
        "P01",
        empty.is_some() && lowest > 2.4,
        format!(
            "discharged at 1 C: discharge gate off after {:.1} s, lowest cell {lowest:.3} V",
            empty.unwrap_or(f64::NAN)
        ),
    );
    Ok(())
}

/// How much of the chip the firmware takes, at ten samples a second and at as many as its converter can.
fn load(emulator: &mut dyn Emulator, _: bool, report: &mut Report) -> Result<(), String> {
    for (name, own, period) in [
        ("cpu_percent_10_hz", "cpu_percent_10_hz_without_converter", 100),
        ("cpu_percent_1_khz", "cpu_percent_1_khz_without_converter", 1),
    ] {
        let mut bench = Bench::power_up(emulator, &[(ParameterId::SamplePeriod, period)])?;
        bench.run(1_000)?;
        let (before, waited, scans) = (bench.awake, bench.converting, bench.scans().count());
        bench.run(1_000)?;
        let cycles = bench.about.megahertz * 1e6;
        let (awake, waited) = ((bench.awake - before) as f64 / cycles, (bench.converting - waited) as f64 / cycles);
        let rate = bench.scans().count() - scans;
        report.expect(
            "-",
            true,
            format!(
                "{rate} scans a second: awake {:.2} %, of which {:.2} % waiting for the converter",
                awake * 1e2,
                waited * 1e2
            ),
        );
        report.figures.push((name, awake * 1e2));
        report.figures.push((own, (awake - waited) * 1e2));
        if period == 100 {
            report.figures.push(("awake_ms_per_second", awake * 1e3));
            report.figures.push(("stack_bytes", bench.stack as f64));
        }
    }
    Ok(())
}
