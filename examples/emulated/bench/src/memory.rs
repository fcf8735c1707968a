//! What the firmware remembers: over the loss of power, over a reset, and when its memory is ruined.

use bms_core::prelude::*;
use bms_host::plant::Load;

use crate::checks::settings;
use crate::owner::{self, OVERVOLTAGE};
use crate::{Bench, Emulator, Fault, MS, Output, Report};

/// A limit that an owner sets, in mV, and another one.
const CHOSEN: [u16; 2] = [3_610, 3_590];
/// The factory's settings password, and what an owner chooses instead.
const FACTORY: &[u8] = b"123456";
const PASSWORD: &[u8] = b"harbour7";

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
    /// After a start that may have lost what came after the last save of the counters: less than 1 % of the capacity, or what
    /// moved in a minute.
    fn survives(&self, after: &Self, seconds: f64, percent: f64) -> bool {
        after.locked == self.locked
            && after.run_time >= self.run_time - seconds
            && (after.soc - self.soc).abs() <= percent
    }
    fn told(&self, after: &Self) -> String {
        format!(
            "run time {:.0} s (was {:.0}), state of charge {:.1} % (was {:.1}), locked out {}",
            after.run_time, self.run_time, after.soc, self.soc, after.locked
        )
    }
}

pub(crate) fn check(emulator: &mut dyn Emulator, _: bool, report: &mut Report) -> Result<(), String> {
    if !emulator.keeps_flash() {
        report.blank("T01", "the emulator keeps no flash over a loss of power");
        return Ok(());
    }
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
    let owned = bench.emulator.link(&[]).is_ok();
    if owned {
        owner::press_key(&mut bench)?;
        let written = owner::write(&mut bench, OVERVOLTAGE, CHOSEN[0])?;
        let chosen = owner::choose_password(&mut bench, FACTORY, PASSWORD)?;
        report.expect("S05", written && chosen, "with the key, a limit was changed and a settings password chosen");
        // A change is saved a chunk at a time.
        bench.run(3_000)?;
    } else {
        report.blank("S05", "this firmware has no link that changes settings");
    }

    bench.emulator.power_cycle()?;
    power_lost(&mut bench, &before, owned, report)?;
    watchdog(&mut bench, owned, report)?;
    ruined(&mut bench, report)?;
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
    report.figures.push(("flash_stall_open_ms", flash.stall_open as f64 / MS as f64));
    Ok(())
}

/// Power was lost, and is there again.
fn power_lost(bench: &mut Bench<'_>, before: &Known, owned: bool, report: &mut Report) -> Result<(), String> {
    bench.text.clear();
    bench.run(2_500)?;
    let after = Known::of(bench);
    report.expect("T01", before.survives(&after, 20.0, 1.0), format!("power lost: {}", before.told(&after)));
    report.expect("D10", bench.gates() == (true, false), "and only the charge gate closed again");
    if !owned {
        return Ok(());
    }
    let limit = owner::read(bench, OVERVOLTAGE)?;
    report.expect("S04", limit == Some(CHOSEN[0]), format!("power lost: the changed limit is {limit:?} mV"));
    // The window of the key is closed: only a chosen password opens.
    let without = owner::write(bench, OVERVOLTAGE, CHOSEN[1])?;
    owner::log_in(bench, FACTORY)?;
    let factory = owner::write(bench, OVERVOLTAGE, CHOSEN[1])?;
    // A wrong one costs a wait.
    bench.run(2_000)?;
    owner::log_in(bench, PASSWORD)?;
    let chosen = owner::write(bench, OVERVOLTAGE, CHOSEN[1])?;
    report.expect(
        "S05",
        !without && !factory && chosen,
        format!("power lost: a write without a password {without}, with the factory's {factory}, with the chosen one {chosen}"),
    );
    bench.run(2_000)
}

/// The main loop hangs; the watchdog bites, and RAM stays.
fn watchdog(bench: &mut Bench<'_>, owned: bool, report: &mut Report) -> Result<(), String> {
    let (before, limit) = (Known::of(bench), if owned { owner::read(bench, OVERVOLTAGE)? } else { None });
    bench.emulator.fault(Fault::Stalled)?;
    bench.run(3_500)?;
    let after = Known::of(bench);
    report.expect(
        "X18",
        !bench.resets.is_empty() && before.survives(&after, 4.0, 0.1),
        format!("reset by the watchdog: {}", before.told(&after)),
    );
    if owned {
        let now = owner::read(bench, OVERVOLTAGE)?;
        report.expect(
            "S04",
            now.is_some() && now == limit,
            format!("reset by the watchdog: the changed limit is {now:?} mV"),
        );
    }
    Ok(())
}

/// Both copies of everything rot, and power is lost.
fn ruined(bench: &mut Bench<'_>, report: &mut Report) -> Result<(), String> {
    bench.emulator.rot()?;
    bench.emulator.power_cycle()?;
    bench.text.clear();
    let since = bench.now;
    bench.run(3_500)?;
    let closed = bench.edges.iter().any(|edge| edge.at > since && edge.high && edge.output <= Output::Discharge);
    let said = bench.field("alarms").split(',').any(|alarm| alarm == "storage_corrupt");
    report.expect(
        "X20",
        !closed && said,
        format!("both copies rotten, power lost: both gates stayed off, the status says storage_corrupt: {said}"),
    );
    Ok(())
}
