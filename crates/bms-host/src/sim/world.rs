//! What the BMS is connected to: a simulated pack, or sensors that show what they are told.

use bms_core::balancing::BalancerCapabilities;
use bms_core::command::{Command, Power};
use bms_core::measurement::Sample;
use bms_core::port::ErrorKind;
use bms_core::time::Instant;

use crate::fault::{self, Delivery, Fault, FaultKind, FaultList, Output, SampleFaults, Write};

use super::closed_loop::ClosedLoop;
use super::open_loop::OpenLoop;
use super::scenario::{self, Change, Channel};

/// The world of one run.
#[derive(Clone, Debug)]
pub struct World {
    kind: Kind,
    /// What goes wrong between the board and the core.
    faults: FaultList,
    sample_faults: SampleFaults,
    /// Open loop only: the board has a supply. A plant knows by itself.
    powered: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Open(Box<OpenLoop>),
    Closed(Box<ClosedLoop>),
}

impl World {
    /// Sensors that show what they are told.
    #[must_use]
    pub fn open(sensors: OpenLoop, seed: u64) -> Self {
        Self::new(Kind::Open(Box::new(sensors)), seed)
    }
    /// A simulated pack.
    #[must_use]
    pub fn closed(pack: ClosedLoop, seed: u64) -> Self {
        Self::new(Kind::Closed(Box::new(pack)), seed)
    }
    fn new(kind: Kind, seed: u64) -> Self {
        Self { kind, faults: FaultList::new(), sample_faults: SampleFaults::new(seed), powered: true }
    }

    /// The simulated pack, if there is one.
    #[must_use]
    pub fn pack(&self) -> Option<&ClosedLoop> {
        match &self.kind {
            Kind::Open(_) => None,
            Kind::Closed(pack) => Some(pack),
        }
    }
    /// The simulated pack, if there is one, to do things to it.
    pub fn pack_mut(&mut self) -> Option<&mut ClosedLoop> {
        match &mut self.kind {
            Kind::Open(_) => None,
            Kind::Closed(pack) => Some(pack),
        }
    }
    /// The sensors, if that is all there is.
    pub fn sensors_mut(&mut self) -> Option<&mut OpenLoop> {
        match &mut self.kind {
            Kind::Open(sensors) => Some(sensors),
            Kind::Closed(_) => None,
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, milliseconds: u32) {
        if let Kind::Closed(pack) = &mut self.kind {
            pack.advance(milliseconds);
        }
    }

    /// Carries out one field of an `[[at]]`; requests, parameters and resets are for the BMS.
    pub fn change(&mut self, now: Instant, change: &Change) {
        match change {
            Change::Lost(channels) => self.faults.extend(channels.iter().map(|one| Fault::from(now, loss_of(*one)))),
            Change::Valid(channels) => self.end_faults(now, |kind| channels.iter().any(|one| concerns(kind, *one))),
            Change::MeasuredCells(count) => {
                self.end_faults(now, |kind| matches!(kind, FaultKind::CellCount(_)));
                self.faults.add(Fault::from(now, FaultKind::CellCount(*count)));
            }
            Change::Fault(scenario::Fault::Injected(kind)) => self.faults.add(Fault::from(now, *kind)),
            Change::Fault(scenario::Fault::None) => self.end_faults(now, is_injected),
            _ => {}
        }
        match &mut self.kind {
            Kind::Open(sensors) => {
                sensors.change(change);
                self.powered |= sensors.wakes();
            }
            Kind::Closed(pack) => pack.change(change),
        }
    }
    fn end_faults(&mut self, now: Instant, which: impl Fn(FaultKind) -> bool) {
        let ended: Vec<FaultKind> = self.faults.active(now).filter(|kind| which(*kind)).collect();
        for kind in ended {
            self.faults.end(kind, now);
        }
    }

    /// Remembers readings from now on, because this fault will need them (late and stuck channels).
    pub fn foresee(&mut self, kind: FaultKind) {
        const NEVER: Instant = Instant::from_millis(u64::MAX);
        self.faults.add(Fault::from(NEVER, kind));
    }

    /// Measures; tells whether `sample` was delivered.
    pub fn measure(&mut self, now: Instant, sample: &mut Sample) -> Delivery {
        *sample = match &mut self.kind {
            Kind::Open(sensors) => sensors.sample(now),
            Kind::Closed(pack) => pack.sample(),
        };
        self.sample_faults.apply(&self.faults, now, sample)
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// If an output does not obey.
    pub fn apply(&mut self, now: Instant, command: &Command) -> Result<(), ErrorKind> {
        let fate = |output| self.faults.write(output, now);
        let result = match &mut self.kind {
            Kind::Open(sensors) => {
                sensors.apply(now, command);
                self.powered = command.power == Power::Hold || sensors.wakes();
                Ok(())
            }
            Kind::Closed(pack) => pack.apply(command, |output| fate(output) == Write::Done),
        };
        let failed = OUTPUTS.into_iter().find_map(|output| match fate(output) {
            Write::Fails(kind) => Some(kind),
            _ => None,
        });
        failed.map_or(result, Err)
    }

    /// Every output off, as while no firmware runs.
    pub fn reset_outputs(&mut self) {
        self.powered = true;
        if let Kind::Closed(pack) = &mut self.kind {
            pack.plant.reset_outputs();
        }
    }

    /// Whether the board has a supply.
    #[must_use]
    pub fn powered(&self) -> bool {
        match &self.kind {
            Kind::Open(_) => self.powered,
            Kind::Closed(pack) => pack.plant.powered(),
        }
    }
    /// Whether the supply collapsed since the last call.
    pub fn take_brown_out(&mut self) -> bool {
        match &mut self.kind {
            Kind::Open(_) => false,
            Kind::Closed(pack) => pack.plant.take_brown_out(),
        }
    }
    /// What the balancer can do.
    #[must_use]
    pub fn balancer(&self) -> BalancerCapabilities {
        match &self.kind {
            Kind::Open(_) => BalancerCapabilities::MANUAL,
            Kind::Closed(pack) => pack.plant.balancer_capabilities(),
        }
    }
}

const OUTPUTS: [Output; 7] = [
    Output::Switches,
    Output::Balancer,
    Output::Heater,
    Output::Precharge,
    Output::Power,
    Output::LastResort,
    Output::Indicator,
];

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
