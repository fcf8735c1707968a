//! Precharge before each close of the discharge switch (X17).

use crate::command::Expiring;
use crate::time::{Duration, Instant, ms};
use crate::units::Voltage;

/// Longest precharge.
const LONGEST: Duration = ms(2_000);
/// Rest between two tries.
const REST: Duration = ms(10_000);
/// Tries until it counts as failed.
const TRIES: u8 = 3;

/// Where the precharge stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Precharge {
    state: State,
    tries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Charging { until: Instant },
    Ready,
    Resting { until: Instant },
}

impl Precharge {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, tries: 0 }
    }
    /// The discharge switch wants to close (and may). `voltages` are terminal and stack, if both are usable now.
    /// Returns the output and whether closing is allowed in this step.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        wanted: bool,
        voltages: Option<(Voltage, Voltage)>,
    ) -> (Expiring, bool) {
        if !wanted {
            // A try that was broken off counts as none; the rest after a failed one is kept.
            if !matches!(self.state, State::Resting { until } if now < until) {
                self.state = State::Idle;
            }
            return (Expiring::Off, false);
        }
        let ready = voltages.is_some_and(|(terminal, stack)| terminal >= stack.divided_by(10).times(9));
        match self.state {
            State::Charging { .. } if ready => {
                self.state = State::Ready;
                self.tries = 0;
                (Expiring::Off, true)
            }
            // Never a blind close: without voltages the time runs out.
            State::Charging { until } if now >= until => {
                self.tries = self.tries.saturating_add(1);
                self.state = State::Resting { until: now.after(REST) };
                (Expiring::Off, false)
            }
            State::Charging { until } => (Expiring::On { until }, false),
            State::Ready => (Expiring::Off, ready),
            State::Resting { until } if now < until => (Expiring::Off, false),
            State::Idle | State::Resting { .. } => {
                if self.failed() {
                    return (Expiring::Off, false);
                }
                let until = now.after(LONGEST);
                self.state = State::Charging { until };
                (Expiring::On { until }, false)
            }
        }
    }
    /// No try failed so far.
    pub(crate) const fn untried(&self) -> bool {
        self.tries == 0
    }
    /// All tries were in vain.
    pub(crate) const fn failed(&self) -> bool {
        self.tries >= TRIES
    }
    /// A local request: try again.
    pub(crate) fn forgive(&mut self) {
        *self = Self::new();
    }
}
