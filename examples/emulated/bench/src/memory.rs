//! What the firmware remembers: over the loss of power, over a reset, and when its memory is ruined.

use bms_core::prelude::*;
use bms_host::plant::Load;

use crate::checks::settings;
use crate::{Bench, Emulator, Fault, MS, Output, Report};

/// A lock-out after the second trip; everything else short as ever.
fn parameters() -> Vec<(ParameterId, i32)> {
    let mut parameters = settings(false).to_vec();
    parameters.retain(|(id, _)| *id != ParameterId::RetryLimit);
    parameters.push((ParameterId::RetryLimit, 1));
    parameters
}

/// What a status line says that must survive.
#[derive(Clone, Debug)]
struct Known {
    run_time: f64,
    soc: f64,
    locked: bool,
}

impl Known {
    fn of(bench: &Bench<'_>) -> Self {
        let locked = bench.field("alarms").split(',').any(|alarm| alarm == "discharge_locked_out");
        Self { run_time: bench.number("t"), soc: bench.number("soc"), locked }
    }
    /// After a start that may have lost what came after the last save of the counters.
    fn survives(&self, after: &Self, seconds: f64, percent: f64) -> bool {
        after.locked == self.locked
            && after.run_time >= self.run_time - seconds
            && (after.soc - self.soc).abs() <= percent
    }
}

pub(crate) fn check(emulator: &mut dyn Emulator, _: bool, report: &mut Report) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, &parameters())?;
    bench.run(1_000)?;
    let fresh = Known::of(&bench);
    // Counters are saved once 1 % has moved, not sooner than after a minute.
    bench.change(|world| world.plant.set_load(Load::Current(190.0)))?;
    bench.run(63_000)?;
    bench.change(|world| world.plant.set_load(Load::None))?;
    // A second trip locks the discharge switch.
    bench.change(|world| world.current(Some(-215.0)))?;
    bench.run(8_500)?;
    bench.change(|world| world.current(Some(0.0)))?;
    bench.run(3_000)?;
    let before = Known::of(&bench);
    report.expect("D10", before.locked && bench.gates() == (true, false), "locked out after two trips");
    report.expect(
        "L01",
        before.soc < fresh.soc - 1.0,
        format!("state of charge {:.1} % after {:.1} %", before.soc, fresh.soc),
    );

    if !bench.emulator.power_cycle()? {
        report.blank("T01", "the emulator keeps no flash over a loss of power");
        return Ok(());
    }
    bench.text.clear();
    bench.run(2_500)?;
    let after = Known::of(&bench);
    report.expect(
        "T01",
        before.survives(&after, 15.0, 0.7),
        format!(
            "power lost: run time {:.0} s (was {:.0}), state of charge {:.1} % (was {:.1}), locked out {}",
            after.run_time, before.run_time, after.soc, before.soc, after.locked
        ),
    );
    report.expect("D10", bench.gates() == (true, false), "and only the charge gate closed again");

    let before = after;
    bench.emulator.fault(Fault::Stalled)?;
    bench.run(3_500)?;
    let after = Known::of(&bench);
    report.expect(
        "X18",
        !bench.resets.is_empty() && before.survives(&after, 4.0, 0.1),
        format!(
            "reset by the watchdog: run time {:.0} s (was {:.0}), state of charge {:.1} % (was {:.1}), locked out {}",
            after.run_time, before.run_time, after.soc, before.soc, after.locked
        ),
    );

    bench.emulator.rot()?;
    bench.emulator.power_cycle()?;
    bench.text.clear();
    let since = bench.now;
    bench.run(3_500)?;
    let closed = bench.edges.iter().any(|edge| edge.at > since && edge.high && edge.output <= Output::Discharge);
    let said = bench.field("alarms").split(',').any(|alarm| alarm == "storage_corrupt");
    report.expect(
        "S02",
        !closed && said,
        format!("both copies rotten, power lost: both gates stayed off, the status says storage_corrupt: {said}"),
    );
    let flash = bench.flash;
    report.expect(
        "D09",
        flash.programs > 0 && flash.erases_closed == 0 && flash.stall_closed <= 3 * MS,
        format!(
            "flash: {} pages programmed, {} sectors erased, none of them with a gate closed; longest stall {:.1} ms with a gate \
             closed, {:.0} ms with both open (times of the data sheet)",
            flash.programs,
            flash.erases,
            flash.stall_closed as f64 / MS as f64,
            flash.stall_open as f64 / MS as f64
        ),
    );
    report.figures.push(("flash_stall_closed_ms", flash.stall_closed as f64 / MS as f64));
    Ok(())
}
