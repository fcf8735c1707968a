//! Fault injection: a plain list of faults with their times, and middleware that brings them into any port.
//!
//! ```text
//! Fault { from, until, kind } ─► FaultList ─┬─► SampleFaults: bends one sample        (the direct rig)
//!                                           └─► Faulty<P>: wraps a port, is one again (the driver's rig, real ports)
//! ```
//! The list is data: scenario files, fuzzers and fault matrices fill it.

mod asynch;
mod port;
mod sample;

pub use port::{FaultControl, Faulty, InjectedError};
pub use sample::{Delivery, SampleFaults};

use bms_core::port::ErrorKind;
use bms_core::time::{Duration, Instant};

/// A group of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "named as the groups of a sample")]
pub enum Channel {
    Cells,
    Current,
    Temperatures,
    Stack,
    Terminal,
    Feedback,
    Inputs,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Cells, Self::Current, Self::Temperatures, Self::Stack, Self::Terminal, Self::Feedback, Self::Inputs];
}

/// An output port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "named as the ports")]
pub enum Output {
    Switches,
    Balancer,
    Heater,
    Precharge,
    Power,
    LastResort,
    Indicator,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Switches, Self::Balancer, Self::Heater, Self::Precharge, Self::Power, Self::LastResort, Self::Indicator];
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The whole sampler fails: every channel is lost.
    SamplerLost,
    /// The sampler delivers nothing, as if it had hung.
    SamplerSilent,
    /// The channel's reading fails.
    Lost(Channel),
    /// The channel is no longer measured.
    Silent(Channel),
    /// The channel delivers what it measured this long ago, with the time stamp of then.
    Late {
        /// Which.
        channel: Channel,
        /// How late, ms.
        by_ms: u32,
    },
    /// The channel repeats its value of the fault's beginning, with new time stamps.
    Stuck(Channel),
    /// The channel's values jump about evenly, up to the amplitude in µV, mA or 0.1 °C.
    Noise {
        /// Which.
        channel: Channel,
        /// At most this much.
        amplitude: i32,
    },
    /// Every value of the channel becomes this one, in µV, mA or 0.1 °C.
    Value {
        /// Which.
        channel: Channel,
        /// The value.
        value: i32,
    },
    /// One cell (0 is cell 1) shows this value in µV.
    CellValue {
        /// Which.
        cell: u8,
        /// The value.
        microvolts: i32,
    },
    /// One cell's reading (0 is cell 1) is invalid.
    CellInvalid(u8),
    /// A battery temperature (0 is T1) is invalid.
    TemperatureInvalid(u8),
    /// The switches' temperature is invalid.
    MosTemperatureInvalid,
    /// The current has the wrong sign.
    InvertedCurrent,
    /// Two cells' readings are swapped; 0 is cell 1.
    SwappedCells(u8, u8),
    /// The front end reports this many cells.
    CellCount(u8),
    /// The clock stands still from here on.
    ClockStopped,
    /// The clock tells a time so far in the past, ms.
    ClockBack(u32),
    /// The clock tells a time so far in the future, ms.
    ClockAhead(u32),
    /// A counter of 32 bits that nobody extends wraps when the fault begins: the clock starts anew at zero.
    ClockWraps,
    /// Writes to the output fail and are not carried out.
    WriteFails(Output),
    /// Writes to the output are reported as done and are not carried out.
    WriteIgnored(Output),
    /// Writes to the output are carried out so much later, at the first write after that.
    WriteSlow {
        /// Which.
        output: Output,
        /// How much later, ms.
        by_ms: u32,
    },
}

/// One fault and when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// Begins.
    pub from: Instant,
    /// Is over; `None`: never.
    pub until: Option<Instant>,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault that stays.
    #[must_use]
    pub const fn from(from: Instant, kind: FaultKind) -> Self {
        Self { from, until: None, kind }
    }
    /// A fault that passes.
    #[must_use]
    pub const fn during(from: Instant, length: Duration, kind: FaultKind) -> Self {
        Self { from, until: Some(from.after(length)), kind }
    }
    /// Whether it is there at a time.
    #[must_use]
    pub fn is_active(&self, now: Instant) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// All faults of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultList(Vec<Fault>);

impl FaultList {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }
    /// Adds one.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }
    /// Ends every fault of this kind now.
    pub fn end(&mut self, kind: FaultKind, now: Instant) {
        for fault in self.0.iter_mut().filter(|fault| fault.kind == kind && fault.is_active(now)) {
            fault.until = Some(now);
        }
    }
    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
    /// Whether there are none at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
    /// Those that are there at a time, in the order in which they were added.
    pub fn active(&self, now: Instant) -> impl Iterator<Item = FaultKind> {
        self.0.iter().filter(move |fault| fault.is_active(now)).map(|fault| fault.kind)
    }
    /// What a clock with these faults tells when it is really `now`.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Instant {
        let active = self.0.iter().filter(|fault| fault.is_active(now));
        active.fold(now, |told, fault| match fault.kind {
            FaultKind::ClockStopped => told.min(fault.from),
            FaultKind::ClockBack(by_ms) => told.before(Duration::from_millis(by_ms)),
            FaultKind::ClockAhead(by_ms) => told.after(Duration::from_millis(by_ms)),
            FaultKind::ClockWraps => Instant::from_millis(told.as_millis().saturating_sub(fault.from.as_millis())),
            _ => told,
        })
    }
    /// What happens to a write.
    #[must_use]
    pub fn write(&self, output: Output, now: Instant) -> Write {
        let mut fate = Write::Done;
        for kind in self.active(now) {
            match kind {
                FaultKind::WriteFails(which) if which == output => return Write::Fails(ErrorKind::Bus),
                FaultKind::WriteIgnored(which) if which == output => fate = Write::Ignored,
                FaultKind::WriteSlow { output: which, by_ms } if which == output => {
                    fate = Write::Slow(Duration::from_millis(by_ms));
                }
                _ => {}
            }
        }
        fate
    }
}

impl Extend<Fault> for FaultList {
    fn extend<T: IntoIterator<Item = Fault>>(&mut self, faults: T) {
        self.0.extend(faults);
    }
}

impl FromIterator<Fault> for FaultList {
    fn from_iter<T: IntoIterator<Item = Fault>>(faults: T) -> Self {
        Self(faults.into_iter().collect())
    }
}

/// The fate of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// As it should be.
    Done,
    /// Not done, and said so.
    Fails(ErrorKind),
    /// Not done, and not said.
    Ignored,
    /// Done later.
    Slow(Duration),
}
