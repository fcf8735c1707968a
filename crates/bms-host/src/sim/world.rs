//! What the BMS is connected to: a simulated pack, or sensors that show what they are told.

use bms_core::balancing::BalancerCapabilities;
use bms_core::command::{Command, Power};
use bms_core::measurement::Sample;
use bms_core::port::ErrorKind;
use bms_core::time::{Duration, Instant};

use crate::fault::{self, Fault, FaultKind, FaultList, Output};
use crate::plant::Channels;
use crate::rig::Pack;

use super::closed_loop::ClosedLoop;
use super::open_loop::OpenLoop;
use super::scenario::{self, Change, Channel};

/// The world of one run.
#[derive(Clone, Debug)]
pub enum World {
    /// Sensors that show what they are told.
    Open {
        /// They.
        sensors: Box<OpenLoop>,
        /// The board has a supply.
        powered: bool,
    },
    /// A simulated pack.
    Closed(Box<ClosedLoop>),
}

impl World {
    /// Sensors that show what they are told.
    #[must_use]
    pub fn open(sensors: OpenLoop) -> Self {
        Self::Open { sensors: Box::new(sensors), powered: true }
    }
    /// A simulated pack.
    #[must_use]
    pub fn closed(pack: ClosedLoop) -> Self {
        Self::Closed(Box::new(pack))
    }
    /// The simulated pack, if there is one.
    #[must_use]
    pub fn pack(&self) -> Option<&ClosedLoop> {
        match self {
            Self::Open { .. } => None,
            Self::Closed(pack) => Some(pack),
        }
    }
    /// Carries out one field of an `[[at]]`; faults of the measurement and the outputs are for [`change_faults`], requests,
    /// parameters and resets for the BMS.
    pub fn change(&mut self, change: &Change) {
        match self {
            Self::Open { sensors, powered } => {
                sensors.change(change);
                *powered |= sensors.wakes();
            }
            Self::Closed(pack) => pack.change(change),
        }
    }
}

impl Pack<24> for World {
    fn pass(&mut self, length: Duration) {
        if let Self::Closed(pack) = self {
            pack.plant.advance(length);
        }
    }
    fn measure(&mut self, now: Instant, channels: Channels, sample: &mut Sample) {
        match self {
            // They show everything at any time.
            Self::Open { sensors, .. } => *sample = sensors.sample(now),
            Self::Closed(pack) => pack.plant.measure(channels, sample),
        }
    }
    fn is_quiet(&self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Closed(pack) => pack.plant.is_quiet(),
        }
    }
    fn apply(&mut self, now: Instant, command: &Command, allowed: impl Fn(Output) -> bool) -> Result<(), ErrorKind> {
        match self {
            Self::Open { sensors, powered } => {
                sensors.apply(now, command);
                *powered = command.power == Power::Hold || sensors.wakes();
                Ok(())
            }
            Self::Closed(pack) => Pack::<24>::apply(&mut pack.plant, now, command, allowed),
        }
    }
    fn reset_outputs(&mut self) {
        match self {
            Self::Open { powered, .. } => *powered = true,
            Self::Closed(pack) => pack.plant.reset_outputs(),
        }
    }
    fn powered(&self) -> bool {
        match self {
            Self::Open { powered, .. } => *powered,
            Self::Closed(pack) => pack.plant.powered(),
        }
    }
    fn take_brown_out(&mut self) -> bool {
        match self {
            Self::Open { .. } => false,
            Self::Closed(pack) => pack.plant.take_brown_out(),
        }
    }
    fn balancer(&self) -> BalancerCapabilities {
        match self {
            Self::Open { .. } => BalancerCapabilities::MANUAL,
            Self::Closed(pack) => pack.plant.balancer_capabilities(),
        }
    }
}

/// Begins and ends the faults of the measurement and the outputs that one field of an `[[at]]` asks for.
pub fn change_faults(faults: &mut FaultList, now: Instant, change: &Change) {
    match change {
        Change::Lost(channels) => faults.extend(channels.iter().map(|one| Fault::from(now, loss_of(*one)))),
        Change::Valid(channels) => end_faults(faults, now, |kind| channels.iter().any(|one| concerns(kind, *one))),
        Change::MeasuredCells(count) => {
            end_faults(faults, now, |kind| matches!(kind, FaultKind::CellCount(_)));
            faults.add(Fault::from(now, FaultKind::CellCount(*count)));
        }
        Change::Fault(scenario::Fault::Injected(kind)) => faults.add(Fault::from(now, *kind)),
        Change::Fault(scenario::Fault::None) => end_faults(faults, now, is_injected),
        _ => {}
    }
}

fn end_faults(faults: &mut FaultList, now: Instant, which: impl Fn(FaultKind) -> bool) {
    let ended: Vec<FaultKind> = faults.active(now).filter(|kind| which(*kind)).collect();
    for kind in ended {
        faults.end(kind, now);
    }
}

/// Lets the rig remember readings from now on, because this fault will need them (late and stuck channels).
pub fn foresee(faults: &mut FaultList, kind: FaultKind) {
    const NEVER: Instant = Instant::from_millis(u64::MAX);
    faults.add(Fault::from(NEVER, kind));
}

/// What `lost` does to a channel.
fn loss_of(channel: Channel) -> FaultKind {
    match channel {
        Channel::All => FaultKind::SamplerLost,
        Channel::Cell(cell) => FaultKind::CellInvalid(cell),
        Channel::Battery(sensor) => FaultKind::TemperatureInvalid(sensor),
        Channel::Mos => FaultKind::MosTemperatureInvalid,
        Channel::Cells => FaultKind::Lost(fault::Channel::Cells),
        Channel::Current => FaultKind::Lost(fault::Channel::Current),
        Channel::Temperatures => FaultKind::Lost(fault::Channel::Temperatures),
        Channel::Stack => FaultKind::Lost(fault::Channel::Stack),
        Channel::Terminal => FaultKind::Lost(fault::Channel::Terminal),
    }
}

/// Whether `valid` of a channel ends the fault.
fn concerns(kind: FaultKind, channel: Channel) -> bool {
    let whole = loss_of(channel);
    let of_group = match (kind, whole) {
        (
            FaultKind::Silent(group)
            | FaultKind::Stuck(group)
            | FaultKind::Late { channel: group, .. }
            | FaultKind::Noise { channel: group, .. },
            FaultKind::Lost(valid),
        ) => group == valid,
        (FaultKind::InvertedCurrent, FaultKind::Lost(valid)) => valid == fault::Channel::Current,
        _ => false,
    };
    kind == whole || of_group
}

/// Whether `fault = "none"` ends it; what is lost comes back with `valid` only.
fn is_injected(kind: FaultKind) -> bool {
    !matches!(
        kind,
        FaultKind::SamplerLost
            | FaultKind::Lost(_)
            | FaultKind::CellInvalid(_)
            | FaultKind::TemperatureInvalid(_)
            | FaultKind::MosTemperatureInvalid
            | FaultKind::CellCount(_)
    )
}
