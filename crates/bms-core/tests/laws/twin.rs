//! Laws 2 and 3: a twin that knows less, and a twin that is worse off, never do what the other would not.

use bms_core::command::{Command, Expiring, Limits};
use bms_core::measurement::{Group, Input, Reading, Sample};
use bms_core::port::ErrorKind;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::time::Instant;
use bms_core::units::Temperature;

use super::check::{Coverage, Law, View};
use super::world::World;

/// The energy paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    pub charge: bool,
    pub discharge: bool,
    pub precharge: bool,
    pub heater: bool,
    pub balance: bool,
}

impl Paths {
    pub fn of(command: &Command, now: Instant) -> Self {
        Self {
            charge: command.charge.is_closed(),
            discharge: command.discharge.is_closed(),
            precharge: expires_after(command.precharge, now),
            heater: expires_after(command.heater, now),
            balance: command.balance.until().is_some_and(|until| now < until),
        }
    }
    pub fn all_open(self) -> bool {
        self == Self::default()
    }
    /// The paths that are closed here and were open before.
    pub fn closed_since(self, before: Self) -> Self {
        Self {
            charge: self.charge && !before.charge,
            discharge: self.discharge && !before.discharge,
            precharge: self.precharge && !before.precharge,
            heater: self.heater && !before.heater,
            balance: self.balance && !before.balance,
        }
    }
}

fn expires_after(output: Expiring, now: Instant) -> bool {
    output.is_on(now)
}

/// A poorer version of a sample.
pub struct LessInformed {
    sample: Option<Sample>,
    input: fn() -> Input<'static>,
    /// A group was not measured in this step, which is no fault.
    paused: bool,
    /// The full sample tells of a short circuit, and this one has no inputs.
    new_short_unheard: bool,
    /// For messages.
    what: &'static str,
}

impl LessInformed {
    pub fn input(&self) -> Input<'_> {
        match &self.sample {
            Some(sample) => Input::Sample(sample),
            None => (self.input)(),
        }
    }
}

/// One of the ways in which a sample can be poorer, by `turn`.
/// `seen` are the battery sensors that were valid since the start: an optional one that was not is absent by right (D16).
pub fn less_informed(sample: &Sample, turn: u32, seen: u32) -> LessInformed {
    let mut poor = *sample;
    let index = (turn >> 5) as usize;
    let new_short_unheard = matches!(&sample.inputs, Group::Measured { value, .. } if value.short_circuit);
    let what = match turn % 16 {
        0 => {
            let input = || Input::Lost(ErrorKind::Timeout);
            return LessInformed { sample: None, input, paused: false, new_short_unheard, what: "lost" };
        }
        1 => {
            return LessInformed { sample: None, input: || Input::Tick, paused: true, new_short_unheard, what: "tick" };
        }
        2 => fail(&mut poor.cells, "cells failed"),
        3 => pause(&mut poor.cells, "cells paused"),
        4 => fail(&mut poor.current, "current failed"),
        5 => pause(&mut poor.current, "current paused"),
        6 => fail(&mut poor.temperatures, "temperatures failed"),
        7 => pause(&mut poor.temperatures, "temperatures paused"),
        8 => fail(&mut poor.stack, "stack failed"),
        9 => pause(&mut poor.stack, "stack paused"),
        10 => fail(&mut poor.terminal, "terminal failed"),
        11 => fail(&mut poor.inputs, "inputs failed"),
        12 => fail(&mut poor.feedback, "feedback failed"),
        13 => {
            if let Group::Measured { value, .. } = &mut poor.cells {
                value.invalidate(index % usize::from(value.count()).max(1));
            }
            "a cell invalid"
        }
        14 => {
            if let Group::Measured { value, .. } = &mut poor.temperatures {
                let sensor = index % 2;
                if seen & (1 << sensor) != 0 {
                    value.battery[sensor] = Reading::Invalid;
                }
            }
            "a battery sensor invalid"
        }
        _ => {
            if let Group::Measured { value, .. } = &mut poor.temperatures {
                value.mos = Reading::Invalid;
            }
            "the MOS sensor invalid"
        }
    };
    let new_short_unheard = new_short_unheard && matches!(poor.inputs, Group::Failed);
    LessInformed {
        sample: Some(poor),
        input: || Input::Tick,
        paused: what.ends_with("paused"),
        new_short_unheard,
        what,
    }
}

/// A measured group that now fails; one that did not measure stays as it is.
fn fail<T>(group: &mut Group<T>, what: &'static str) -> &'static str {
    if matches!(group, Group::Measured { .. }) {
        *group = Group::Failed;
    }
    what
}

fn pause<T>(group: &mut Group<T>, what: &'static str) -> &'static str {
    if matches!(group, Group::Measured { .. }) {
        *group = Group::NotMeasured;
    }
    what
}

/// Law 2.
pub fn check_less_informed(
    coverage: &mut Coverage,
    now: Instant,
    before: &View,
    full: &View,
    less: &View,
    how: &LessInformed,
) {
    coverage.count(Law::WorseInformation);
    let full_closed = full.paths.closed_since(before.paths);
    if !full_closed.all_open() || !before.alarms.minus(full.alarms).is_empty() {
        coverage.count(Law::WorseInformationMattered);
    }
    let mut only_less = less.paths.closed_since(before.paths).closed_since(full.paths);
    if how.paused {
        // "Not measured now" is not invalid: a close may rest on the previous reading until it is stale.
        only_less = Paths::default();
    }
    // An input that was not read cannot be known to have changed; the switches hold all the same.
    let unheard = how.what == "inputs failed";
    if unheard {
        only_less.balance = false;
    }
    assert!(only_less.all_open(), "law 2 at {now:?}: less information ({}) closed {only_less:?}", how.what);
    let mut cleared = before.alarms.minus(less.alarms).common(full.alarms);
    if how.new_short_unheard {
        // The old one ended by its own time; that a new one came in this very step cannot be known without the input. No
        // switch closes for it, as asserted above, and the comparator holds its level until the input is read.
        cleared = cleared.minus(AlarmSet::of(&[Alarm::ShortCircuit]));
    }
    assert!(
        cleared.is_empty(),
        "law 2 at {now:?}: less information ({}) cleared {:?}",
        how.what,
        cleared.iter().next()
    );
    let (old, rich, poor) = (before.command.limits, full.command.limits, less.command.limits);
    let raised = |limit: fn(&Limits) -> i32| {
        !how.paused && !unheard && limit(&poor) > limit(&old) && limit(&poor) > limit(&rich)
    };
    assert!(
        !raised(|limits| limits.charge_current.as_milliamps()),
        "law 2 at {now:?}: less information ({}) raised the charge limit",
        how.what
    );
    assert!(
        !raised(|limits| limits.discharge_current.as_milliamps()),
        "law 2 at {now:?}: less information ({}) raised the discharge limit",
        how.what
    );
}

/// The same sample with one reading further in the unsafe direction of an alarm.
pub struct WorseOff {
    pub sample: Sample,
    charge: bool,
    discharge: bool,
    what: &'static str,
}

/// One of the ways in which the world can be worse, by `turn`; `None` where the reading is not there.
pub fn worse_physics(world: &World, turn: u32, quiet: bool, seen: u32, bypass: i32) -> Option<WorseOff> {
    let mut worse = world.clone();
    let amount = (turn >> 9) % 4_000 + 1;
    let index = (turn >> 4) as usize % usize::from(world.count).clamp(1, 24);
    let cell = &mut worse.cells[index];
    let tenths = (amount % 1_000) as i32 + 1;
    let sensor = index % 2;
    let known = seen & (1 << sensor) != 0;
    // From the middle outwards only: a warmer sensor is worse for one alarm and better for another.
    let (charge, discharge, what) = match turn % 7 {
        0 if *cell >= world.healthy_tenths() => {
            *cell = cell.saturating_add(amount as u16);
            (true, false, "a cell higher")
        }
        1 if *cell <= world.healthy_tenths() => {
            *cell = cell.saturating_sub(amount as u16);
            (false, true, "a cell lower")
        }
        2 if world.milliamps >= 0 => {
            worse.milliamps = worse.milliamps.saturating_add((amount * 50) as i32);
            (true, false, "more charging current")
        }
        3 if world.milliamps <= 0 => {
            worse.milliamps = worse.milliamps.saturating_sub((amount * 50) as i32);
            (false, true, "more discharging current")
        }
        4 if known => {
            outwards(&mut worse.temperatures.battery[sensor], tenths)?;
            if spread(&worse.temperatures.battery) < spread(&world.temperatures.battery) {
                return None;
            }
            (true, true, "a warmer battery")
        }
        5 if known => {
            outwards(&mut worse.temperatures.battery[sensor], -tenths)?;
            if spread(&worse.temperatures.battery) < spread(&world.temperatures.battery) {
                return None;
            }
            (true, false, "a colder battery")
        }
        6 => {
            outwards(&mut worse.temperatures.mos, tenths)?;
            (true, true, "warmer switches")
        }
        _ => return None,
    };
    // By design an open switch closes while the opposite current flows through its diode (X12).
    let bypassed = |opposite: i32| bypass > 0 && opposite > bypass;
    let charge = charge && !bypassed(worse.milliamps.saturating_neg());
    let discharge = discharge && !bypassed(worse.milliamps);
    Some(WorseOff { sample: worse.sample(quiet), charge, discharge, what })
}

/// Moves a valid temperature away from 20 °C; `None` if it is not there or lies on the other side.
fn outwards(reading: &mut Reading<Temperature>, by: i32) -> Option<()> {
    let value = reading.valid()?;
    let beyond = value.as_tenths() - 200;
    if beyond.signum() * by.signum() < 0 {
        return None;
    }
    *reading = Reading::Valid(value.plus(Temperature::from_tenths(by)));
    Some(())
}

/// Between the coldest and the warmest, in tenths of a kelvin. A sensor that comes nearer to the others is not worse in every
/// respect.
fn spread(battery: &[Reading<Temperature>]) -> i32 {
    let known = || battery.iter().filter_map(|reading| reading.valid()).map(Temperature::as_tenths);
    known().max().unwrap_or(0) - known().min().unwrap_or(0)
}

/// Law 3.
pub fn check_worse_physics(coverage: &mut Coverage, now: Instant, safer: &View, worse: &View, how: &WorseOff) {
    coverage.count(Law::WorsePhysics);
    // By design a charging current proves a charger, and a charger keeps the BMS awake (D02).
    let kept_awake = safer.alarms.contains(Alarm::AutoShutdown) && !worse.alarms.contains(Alarm::AutoShutdown);
    if kept_awake {
        return;
    }
    if (how.charge && !safer.paths.charge) || (how.discharge && !safer.paths.discharge) {
        coverage.count(Law::WorsePhysicsMattered);
    }
    assert!(
        !(how.charge && worse.paths.charge && !safer.paths.charge),
        "law 3 at {now:?}: {} leaves charge closed, which the safer reading opened ({:?} against {:?})",
        how.what,
        worse.alarms,
        safer.alarms
    );
    assert!(
        !(how.discharge && worse.paths.discharge && !safer.paths.discharge),
        "law 3 at {now:?}: {} leaves discharge closed, which the safer reading opened ({:?} against {:?})",
        how.what,
        worse.alarms,
        safer.alarms
    );
}
