//! One core after another, each with one bit of its memory flipped from outside, by the debugger (`.ci/ram_flips.py`): what opens, and when.
//!
//! Nothing in this image writes the memory of a core between its steps, and the marker below tells the compiler so: what the
//! optimiser could leave out because of that, it may.

#![no_std]
#![no_main]

use bms_core::Bms;
use bms_core::balancing::ManualRule;
use bms_core::command::Command;
use bms_core::config::{Config, Model, ValidConfig};
use bms_core::estimation::CoulombCounter;
use bms_core::measurement::{Cells, Group, Input, Inputs, Reading, Sample, Temperatures};
use bms_core::time::Instant;
use bms_core::units::{Current, Temperature, Voltage, ah, amps, deg_c, mv};
use core::hint::black_box;
// The panic handler.
use semihosting as _;

const CELLS: usize = 8;
type Core = Bms<CELLS, CoulombCounter, ManualRule>;

const PACK: ValidConfig =
    const { Config::lifepo4(CELLS as u8).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated() };
/// Within so many steps a flipped bit must be found.
const FOUND: u32 = 11;
/// Period in ms.
const PERIOD: u64 = 100;

/// What the pack does after the flip.
#[derive(Clone, Copy)]
struct Pack {
    cell: Voltage,
    current: Current,
    battery: Temperature,
}

const CONTENT: Pack = Pack { cell: mv(3_300), current: amps(0), battery: deg_c(25) };
/// One limit after the other exceeded, with the steps after which the path must be open: delay and two periods (N03).
const VIOLATIONS: [(Pack, u32, bool); 5] = [
    (Pack { cell: mv(3_700), ..CONTENT }, 7, true),
    (Pack { cell: mv(2_660), ..CONTENT }, 7, false),
    (Pack { current: amps(-400), ..CONTENT }, 5, false),
    (Pack { current: amps(330), ..CONTENT }, 12, true),
    (Pack { battery: deg_c(65), ..CONTENT }, 12, true),
];

fn sample(pack: &Pack, now: Instant) -> Sample<CELLS> {
    let mut cells = Cells::new(CELLS as u8);
    for index in 0..CELLS {
        cells.set(index, if index == 5 { pack.cell } else { mv(3_300) });
    }
    let mut temperatures = Temperatures::default();
    temperatures.battery[0] = Reading::Valid(pack.battery);
    temperatures.battery[1] = Reading::Valid(pack.battery);
    temperatures.mos = Reading::Valid(deg_c(30));
    let mut sample = Sample::new();
    sample.cells = Group::at(now, cells);
    sample.current = Group::at(now, pack.current);
    sample.temperatures = Group::at(now, temperatures);
    let sum = (0..CELLS).filter_map(|cell| cells.get(cell).valid()).fold(mv(0), Voltage::plus);
    sample.stack = Group::at(now, sum);
    sample.inputs = Group::at(now, Inputs::default());
    sample
}

#[inline(never)]
fn step(bms: &mut Core, now: &mut u64, pack: &Pack) -> Command {
    *now += PERIOD;
    let now = Instant::from_millis(*now);
    bms.step(now, Input::Sample(&sample(pack, now)))
}

fn all_open(command: &Command) -> bool {
    !command.charge.is_closed() && !command.discharge.is_closed() && command.balance.is_idle()
}

/// The debugger stops here; it sees the core's address and length, the configuration's, and what came of the last flip.
#[inline(never)]
#[allow(named_asm_labels, reason = "stands once, for the debugger")]
fn flip_here(core: usize, length: usize, config: usize, config_length: usize, result: u32) {
    // SAFETY: does nothing. `nomem`: the compiler may take it that no memory changes.
    unsafe {
        core::arch::asm!(
            ".global flip_here", "flip_here:", "nop",
            in("r0") core, in("r1") length, in("r2") config, in("r3") config_length, in("r4") result,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// The step in which everything was open (1 …), or 64 plus a bit for each violation whose path stayed closed, plus 32 if the
/// configuration is another one and nobody noticed.
#[inline(never)]
fn outcome(bms: &mut Core, now: u64) -> u32 {
    let mut time = now;
    for number in 1..=FOUND {
        if all_open(&step(bms, &mut time, &CONTENT)) {
            return number;
        }
    }
    let mut result = 64;
    if *bms.config() != *black_box(&PACK) {
        result |= 32;
    }
    for (index, (pack, steps, charges)) in VIOLATIONS.iter().enumerate() {
        let mut core = bms.clone();
        let mut then = time;
        let mut command = core.command();
        for _ in 0..*steps {
            command = step(&mut core, &mut then, pack);
        }
        let closed = if *charges { command.charge } else { command.discharge };
        result |= u32::from(closed.is_closed()) << index;
    }
    result
}

fn run() -> ! {
    let mut running = Core::with_parts(PACK, CoulombCounter::new(&PACK), ManualRule::new());
    let mut now = 1_000;
    for _ in 0..30 {
        step(&mut running, &mut now, &CONTENT);
    }
    let mut result = 0;
    loop {
        let mut core = running.clone();
        flip_here(
            &raw const core as usize,
            size_of::<Core>(),
            core.config() as *const ValidConfig as usize,
            size_of::<ValidConfig>(),
            result,
        );
        result = outcome(&mut core, now);
    }
}

bms_on_target::entry!(run);
