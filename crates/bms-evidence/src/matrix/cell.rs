//! One cell of the matrix: a state, a fault, a push.

use bms_core::lifecycle::State;
use bms_core::protection::{Alarm, AlarmSet};

use super::faults::Fault;
use super::pushes::Push;
use crate::bench::{Bench, PERIOD};
use crate::truth::{HAZARDS, Path, Truth};

/// Steps of a run: half a minute.
pub const STEPS: u32 = 300;
/// The step in which the push begins.
const PUSHED_AT: u32 = 3;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// How long the paths stayed closed that the fault itself must open, ms; `None`: nothing is required, or nothing was closed.
    pub reaction: Option<u32>,
    /// How long each path was closed beyond its limit, ms, as far as it counts.
    pub beyond: [u32; HAZARDS.len()],
    /// How often the watchdog bit.
    pub bites: u32,
}

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No path was closed beyond its limit for longer than allowed, and what had to open did in time.
    Safe,
    /// A path that no command opens was closed beyond its limit; that was noticed this long after, ms.
    Detected(u32),
    /// The same, and nothing was noticed: less than the stuck switch's current flowed, or it was not measured.
    BelowDetection,
    /// The very reading that the limit rests on was wrong and plausible, and the path stayed closed.
    Deceived {
        /// Which hazard.
        hazard: usize,
        /// How long, ms.
        measured: u32,
    },
    /// The fault's own reaction did not come in time.
    Missed {
        /// How long it took, ms.
        measured: u32,
        /// How long it may take, ms.
        allowed: u32,
    },
    /// A path was closed beyond its limit for too long.
    Unsafe {
        /// Which hazard.
        hazard: usize,
        /// How long, ms.
        measured: u32,
        /// How long it may be, ms.
        allowed: u32,
    },
}

/// What tells that an output does not obey.
const DISOBEDIENCE: AlarmSet = AlarmSet::EMPTY
    .with(Alarm::ChargeSwitchStuck)
    .with(Alarm::DischargeSwitchStuck)
    .with(Alarm::OutputFailed)
    // The latch that cannot be cleared.
    .with(Alarm::ShortCircuit);

/// Current through a switch that was told to open, A: beyond it the switch must be found stuck (X10).
const STUCK_CURRENT: f64 = 2.1;
/// Its delay, ms.
const STUCK_DELAY: u32 = 500;

/// Runs one cell from a state that was reached before, in which some paths may obey no command.
#[must_use]
pub fn run(reached: &Bench, defeated: &[Path], fault: &Fault, push: &Push) -> Outcome {
    let mut bench = reached.clone();
    bench.blur = fault.blur;
    if fault.two_clocks {
        bench.pack.set_one_clock(false);
    }
    let config = *bench.pack.bms().config();
    let began = bench.now();
    let two_periods = PERIOD.as_millis() * 2;
    let defeated = |path: Path| defeated.contains(&path) || fault.defeats.contains(&path);
    let running = bench.pack.bms().state() == State::Running;
    let (must_open, within) = if fault.once_seen && !running { (&[][..], 0) } else { fault.opens };
    let mut closed_until = None;
    let mut opened = false;
    let mut noticed_at = None;
    let mut disobeyed = 0;
    for step in 0..STEPS {
        fault.act(&mut bench, step);
        if step == PUSHED_AT {
            (push.begin)(&mut bench);
        }
        bench.step();
        let truth = Truth::of(bench.pack.plant());
        let closed = must_open.iter().any(|path| truth.is_closed(*path) && !defeated(*path));
        opened |= !closed;
        if closed && !(opened && fault.passes) {
            closed_until = Some(bench.now());
        }
        let command = bench.pack.bms().command();
        // Nothing runs without power, and an unmeasured current tells nothing.
        let watched = bench.pack.plant().powered() && !bench.pack.bms().alarms().contains(Alarm::CurrentDataLost);
        let flows = |path: Path, told: bool, amps: f64| {
            watched && defeated(path) && !told && truth.is_closed(path) && amps > STUCK_CURRENT
        };
        let disobeys = flows(Path::Charge, command.charge.is_closed(), truth.current)
            || flows(Path::Discharge, command.discharge.is_closed(), -truth.current);
        if noticed_at.is_none() {
            disobeyed = if disobeys { disobeyed + 1 } else { 0 };
            if !bench.pack.bms().alarms().common(DISOBEDIENCE).is_empty() {
                noticed_at = Some(bench.now());
            }
        }
    }
    let mut beyond = [0; HAZARDS.len()];
    let mut verdict = Verdict::Safe;
    let reaction = closed_until.map(|at| at.since(began).as_millis());
    for (index, hazard, worst, delay) in bench.watch.worst(&config) {
        let blind = if fault.blinds.contains(&hazard.quantity) { fault.blind_ms } else { Some(0) };
        let measured = worst.as_millis();
        let (delay, hidden) = (delay.as_millis(), blind.unwrap_or(0));
        let noticed_by = if fault.stops_time { delay + hidden } else { delay.max(hidden) };
        let allowed = noticed_by + two_periods + fault.slow_ms;
        if measured <= allowed {
            if !defeated(hazard.path) && blind.is_some() {
                beyond[index] = measured;
            }
        } else if defeated(hazard.path) {
            verdict = noticed_at.map_or(Verdict::BelowDetection, |at| Verdict::Detected(at.since(began).as_millis()));
        } else if blind.is_none() {
            if verdict == Verdict::Safe {
                verdict = Verdict::Deceived { hazard: index, measured };
            }
        } else {
            verdict = Verdict::Unsafe { hazard: index, measured, allowed };
            break;
        }
    }
    let stuck = disobeyed * PERIOD.as_millis();
    if let Verdict::Safe | Verdict::BelowDetection | Verdict::Detected(_) = verdict
        && stuck > STUCK_DELAY + two_periods
    {
        verdict = Verdict::Missed { measured: stuck, allowed: STUCK_DELAY + two_periods };
    }
    if let (Some(measured), Verdict::Safe) = (reaction, verdict)
        && measured > within + two_periods
    {
        verdict = Verdict::Missed { measured, allowed: within + two_periods };
    }
    Outcome { verdict, reaction, beyond, bites: bench.bites }
}
