//! The measuring ports and the clock.

use bms_core::command::ScanMode;
use bms_core::measurement::{Cells, Feedback, Group, Inputs, Sample, Temperatures};
use bms_core::port::{self, ErrorKind, ErrorType};
use bms_core::time::Instant;
use bms_core::units::{Current, Voltage};

use super::MockPack;
use crate::plant::Channels;
use crate::schedule::{Schedule, Walk};

/// Virtual time.
#[derive(Clone, Debug)]
pub struct MockClock(pub(super) MockPack);

impl port::Clock for MockClock {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// The combined sampler: one delivery a period of its schedule.
#[derive(Clone, Debug)]
pub struct MockSampler {
    pub(super) pack: MockPack,
    walk: Walk,
    due: Instant,
}

impl MockSampler {
    /// A sampler whose first delivery is now. The seed is that of the pack.
    #[must_use]
    pub fn new(pack: &MockPack, schedule: Schedule) -> Self {
        let walk = Walk::new(schedule, pack.plant().spec().seed);
        Self { pack: pack.clone(), walk, due: pack.now() }
    }
    /// What is new now, or the time until which nothing will be.
    pub(super) fn take<const N: usize>(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), Pause> {
        let now = self.pack.now();
        if now < self.due {
            return Err(Pause::Until(self.due));
        }
        if self.pack.0.sensing_broken.get() {
            self.due = now.after(self.walk.next_length());
            return Err(Pause::Broken);
        }
        let mut plant = self.pack.plant();
        let channels = self.walk.take_channels(mode, plant.is_quiet());
        plant.measure(channels, sample);
        self.due = now.after(self.walk.next_length());
        Ok(())
    }
}

/// Why a sampler has nothing.
pub(super) enum Pause {
    Until(Instant),
    Broken,
}

impl ErrorType for MockSampler {
    type Error = ErrorKind;
}

impl<const N: usize> port::Sampler<N> for MockSampler {
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> nb::Result<(), ErrorKind> {
        self.take(mode, sample).map_err(|pause| match pause {
            Pause::Broken => nb::Error::Other(ErrorKind::Bus),
            Pause::Until(due) => {
                self.pack.want(due);
                nb::Error::WouldBlock
            }
        })
    }
}

/// Defines a small sense port: one group of a sample, measured when asked.
macro_rules! sense {
    ($(#[$doc:meta])* $name:ident, $trait:ident::$method:ident -> $value:ty, $group:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub MockPack);

        impl $name {
            pub(super) fn read(&self) -> Result<$value, ErrorKind> {
                if self.0.0.sensing_broken.get() {
                    return Err(ErrorKind::Bus);
                }
                let mut sample = Sample::<32>::new();
                self.0.plant().measure(Channels { $group: true, ..Channels::NONE }, &mut sample);
                match sample.$group {
                    Group::Measured { value, .. } => Ok(value),
                    Group::Failed => Err(ErrorKind::Integrity),
                    Group::NotMeasured => Err(ErrorKind::Other),
                }
            }
        }
        impl ErrorType for $name {
            type Error = ErrorKind;
        }
        impl port::$trait for $name {
            fn $method(&mut self) -> nb::Result<$value, ErrorKind> {
                self.read().map_err(nb::Error::Other)
            }
        }
    };
}

sense!(
    /// The current sensor.
    MockCurrent, CurrentSense::current -> Current, current
);
sense!(
    /// The stack voltage; fails where the pack's board does not measure it.
    MockStack, VoltageSense::voltage -> Voltage, stack
);
sense!(
    /// The terminal voltage; fails where the pack's board does not measure it.
    MockTerminal, VoltageSense::voltage -> Voltage, terminal
);
sense!(
    /// The temperature sensors.
    MockTemperatures, TemperatureSense::temperatures -> Temperatures, temperatures
);
sense!(
    /// What the balancer does.
    MockFeedback, FeedbackSense::feedback -> Feedback, feedback
);
sense!(
    /// The digital inputs.
    MockInputs, InputSense::inputs -> Inputs, inputs
);

/// The cell voltages.
#[derive(Clone, Debug)]
pub struct MockCells(pub MockPack);

impl MockCells {
    pub(super) fn read<const N: usize>(&self, cells: &mut Cells<N>) -> Result<(), ErrorKind> {
        if self.0.0.sensing_broken.get() {
            return Err(ErrorKind::Bus);
        }
        let mut sample = Sample::<N>::new();
        self.0.plant().measure(Channels { cells: true, ..Channels::NONE }, &mut sample);
        if let Group::Measured { value, .. } = sample.cells {
            *cells = value;
        }
        Ok(())
    }
}

impl ErrorType for MockCells {
    type Error = ErrorKind;
}

impl<const N: usize> port::CellSense<N> for MockCells {
    fn cells(&mut self, cells: &mut Cells<N>) -> nb::Result<(), ErrorKind> {
        self.read(cells).map_err(nb::Error::Other)
    }
}
