//! The async measuring ports: they wait for virtual time.

use std::future::poll_fn;
use std::task::Poll;

use bms_core::command::ScanMode;
use bms_core::measurement::{Cells, Feedback, Inputs, Sample, Temperatures};
use bms_core::port::{ErrorKind, asynch};
use bms_core::time::Instant;
use bms_core::units::{Current, Voltage};

use super::senses::Pause;
use super::{
    MockCells, MockClock, MockCurrent, MockFeedback, MockInputs, MockPack, MockSampler, MockStack, MockTemperatures,
    MockTerminal,
};

async fn wait(pack: &MockPack, at: Instant) {
    poll_fn(|_| {
        if pack.now() >= at {
            return Poll::Ready(());
        }
        pack.want(at);
        Poll::Pending
    })
    .await;
}

impl asynch::Timer for MockClock {
    async fn wait_until(&self, at: Instant) {
        wait(&self.0, at).await;
    }
}

impl<const N: usize> asynch::Sampler<N> for MockSampler {
    async fn sample(&mut self, mode: ScanMode, sample: &mut Sample<N>) -> Result<(), ErrorKind> {
        // Nothing is measured before the wait is over, so a dropped call loses nothing.
        loop {
            match self.take(mode, sample) {
                Ok(()) => return Ok(()),
                Err(Pause::Broken) => return Err(ErrorKind::Bus),
                Err(Pause::Until(due)) => wait(&self.pack, due).await,
            }
        }
    }
}

impl<const N: usize> asynch::CellSense<N> for MockCells {
    async fn cells(&mut self, cells: &mut Cells<N>) -> Result<(), ErrorKind> {
        self.read(cells)
    }
}

macro_rules! sense {
    ($($name:ident: $trait:ident::$method:ident -> $value:ty;)*) => {
        $(impl asynch::$trait for $name {
            async fn $method(&mut self) -> Result<$value, ErrorKind> {
                self.read()
            }
        })*
    };
}

sense! {
    MockCurrent: CurrentSense::current -> Current;
    MockStack: VoltageSense::voltage -> Voltage;
    MockTerminal: VoltageSense::voltage -> Voltage;
    MockTemperatures: TemperatureSense::temperatures -> Temperatures;
    MockFeedback: FeedbackSense::feedback -> Feedback;
    MockInputs: InputSense::inputs -> Inputs;
}
