//! Precharge before each close of the discharge switch (X17).

use core::fmt::Debug;

use crate::command::Expiring;
use crate::port::NotFitted;
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
pub struct Precharge {
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

/// What decides about the precharge path: [`Precharge`], or nothing where none is fitted.
pub trait PrechargeControl: Clone + Debug {
    /// There is something to decide about.
    const FITTED: bool = true;
    /// Nothing was tried.
    const NEW: Self;
    /// The discharge switch wants to close (and may). `voltages` are terminal and stack, if both are usable now.
    /// Returns the output and whether closing is allowed in this step.
    fn step(&mut self, now: Instant, wanted: bool, voltages: Option<(Voltage, Voltage)>) -> (Expiring, bool);
    /// No try failed so far.
    fn untried(&self) -> bool;
    /// All tries were in vain.
    fn failed(&self) -> bool;
    /// A local request: try again.
    fn forgive(&mut self) {
        *self = Self::NEW;
    }
}

/// Where the board needs a precharge, a core without one never closes.
impl PrechargeControl for NotFitted {
    const FITTED: bool = false;
    const NEW: Self = Self;
    fn step(&mut self, _: Instant, _: bool, _: Option<(Voltage, Voltage)>) -> (Expiring, bool) {
        (Expiring::Off, false)
    }
    fn untried(&self) -> bool {
        true
    }
    fn failed(&self) -> bool {
        false
    }
}

impl PrechargeControl for Precharge {
    const NEW: Self = Self { state: State::Idle, tries: 0 };
    fn step(&mut self, now: Instant, wanted: bool, voltages: Option<(Voltage, Voltage)>) -> (Expiring, bool) {
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
    fn untried(&self) -> bool {
        self.tries == 0
    }
    fn failed(&self) -> bool {
        self.tries >= TRIES
    }
}
