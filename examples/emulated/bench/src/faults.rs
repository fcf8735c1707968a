//! Broken hardware: everything must end with both gates low.

use bms_core::prelude::*;

use crate::checks::{Check, settings};
use crate::{Bench, Emulator, Fault, MS, Output, Report, World};

pub const ALL: &[(&str, Check)] =
    &[("sensors", sensors), ("converter", converter), ("stalled", stalled), ("parameters", parameters)];

type Case = (&'static str, &'static str, &'static str, fn(&Bench<'_>) -> i32, fn(&mut World));

fn sensors(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let sensor = |bench: &Bench<'_>| bench.get(ParameterId::SensorFaultDelay);
    let cases: [Case; 3] = [
        ("X02", "thermistor T1 unplugged", "battery_sensor_fault", sensor, |world| world.unplug(0)),
        ("X02", "thermistor of the switches unplugged", "mos_sensor_fault", sensor, |world| world.unplug_mos()),
        // Three samples.
        (
            "X04",
            "sense wire between cells 3 and 4 cut",
            "open_wire",
            |bench| 3 * bench.about.period,
            |world| world.cut = 1 << 2,
        ),
    ];
    for (id, what, alarm, limit, break_it) in cases {
        let mut bench = Bench::enabled(emulator, settings(defaults))?;
        bench.run(23)?;
        let limit = limit(&bench);
        let since = bench.now;
        bench.change(break_it)?;
        bench.run(limit as u64 + 2_500)?;
        ended_safe(&bench, id, what, alarm, since, limit, report);
    }
    Ok(())
}

fn converter(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    for part in [0.0, 0.4, 1.0] {
        let mut bench = Bench::enabled(emulator, settings(defaults))?;
        let limit = bench.get(ParameterId::DataLostTime);
        let since = bench.now;
        bench.emulator.fault(Fault::Stuck(part))?;
        bench.run(limit as u64 + 2_500)?;
        let what = format!("converter stuck at {:.0} % of its range", part * 100.0);
        ended_safe(&bench, "X01", &what, "data_lost", since, limit, report);
    }
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    let since = bench.now;
    bench.emulator.fault(Fault::Silent)?;
    bench.run(1_500)?;
    let took = bench.gates_were(since, (false, false)).map_or(f64::INFINITY, |at| (at - since) as f64 / MS as f64);
    let safe = bench.gates() == (false, false) && took <= bench.about.watchdog + 2.0 * f64::from(bench.about.period);
    report.expect(
        "X20",
        safe,
        format!("converter never ready: both gates off after {took:.0} ms, {} watchdog resets", bench.resets.len()),
    );
    Ok(())
}

fn ended_safe(
    bench: &Bench<'_>,
    id: &'static str,
    what: &str,
    alarm: &str,
    since: u64,
    limit: i32,
    report: &mut Report,
) {
    let open = bench.gates_were(since, (false, false));
    let took = open.map_or(f64::INFINITY, |at| (at - since) as f64 / MS as f64);
    let named = bench.last_line().contains(alarm);
    let in_time = took <= f64::from(limit) + 2.0 * f64::from(bench.about.period) + 5.0;
    let safe = bench.gates() == (false, false) && in_time && named;
    report.expect(
        id,
        safe,
        format!("{what}: both gates off after {took:.0} ms, {limit} set; the status names {alarm}: {named}"),
    );
}

fn stalled(emulator: &mut dyn Emulator, defaults: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, settings(defaults))?;
    let release = bench.get(ParameterId::ShortCircuitRelease) as u64;
    let since = bench.now;
    bench.emulator.fault(Fault::Stalled)?;
    bench.run(bench.about.watchdog as u64 + 200)?;
    let reset = bench.resets.first().copied();
    let took = reset.map_or(f64::INFINITY, |at| (at - since) as f64 / MS as f64);
    // The last feed lies up to one period back.
    let expected = bench.about.watchdog - f64::from(bench.about.period) - 5.0..=bench.about.watchdog + 5.0;
    report.expect(
        "X20",
        expected.contains(&took),
        format!("main loop stalled: reset by the watchdog after {took:.0} ms"),
    );
    let Some(reset) = reset else { return Ok(()) };
    let closed = |bench: &Bench<'_>| {
        bench
            .edges
            .iter()
            .find(|edge| edge.at > reset && edge.high && edge.output <= Output::Discharge)
            .map(|edge| edge.at)
    };
    report.expect(
        "X20",
        bench.gates() == (false, false) && closed(&bench).is_none(),
        "both gates low through the reset",
    );
    bench.run(release - 400)?;
    report.expect(
        "X18",
        closed(&bench).is_none() && bench.text.contains("reset_hold_off"),
        "held off for the short-circuit release time, and said so",
    );
    bench.run(1_200)?;
    report.expect("X18", bench.gates() == (true, true), "then on again");
    let times = bench.text.split("bms t=").skip(1).filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
    let times: Vec<u64> = times.collect();
    let last = times.last().copied().unwrap_or(0);
    report.expect("T01", last > 0 && times.is_sorted(), format!("the run time goes on over the reset, to {last} s"));
    Ok(())
}

fn parameters(emulator: &mut dyn Emulator, _: bool, report: &mut Report) -> Result<(), String> {
    let wrong: [(&str, &[(ParameterId, i32)]); 2] = [
        ("a recovery below its protection", &[(ParameterId::CellUndervoltageRecovery, 1_300_000)]),
        ("a delay beyond its range", &[(ParameterId::DischargeOvercurrentDelay, 999)]),
    ];
    for (what, parameters) in wrong {
        let mut bench = Bench::power_up(emulator, parameters)?;
        bench.run(2_500)?;
        let closed = bench.edges.iter().any(|edge| edge.high && edge.output <= Output::Discharge);
        let said = bench.text.contains("storage_corrupt");
        report.expect("S04", !closed && said, format!("{what}: never closed, the status says storage_corrupt: {said}"));
    }
    Ok(())
}
