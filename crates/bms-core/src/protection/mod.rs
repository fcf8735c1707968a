//! Protection: from measurements to the complete set of alarms.
//!
//! | file | |
//! |---|---|
//! | `alarm.rs` | the alarms, and what each inhibits |
//! | `rows.rs` | **the table**: signal, limit, delay and release of every alarm |
//! | `monitor.rs` | the one mechanism that watches a row |
//! | `signals.rs` | what each signal is |
//! | `describe.rs` | the table in words |
//! | `retry.rs` | counting trips, locking out (D10) |

mod alarm;
mod describe;
mod monitor;
mod retry;
mod rows;
mod signals;
mod window;

pub use alarm::{Alarm, AlarmSet, Inhibit};
pub use describe::Description;
pub(crate) use monitor::{Observation, Release, Side};
pub(crate) use retry::Conduct;
pub use retry::Retries;
pub(crate) use rows::{Row, Signal, wire_limit};
pub(crate) use signals::Circumstances;
pub(crate) use window::Window;

use core::hint::black_box;

use crate::config::{Topology, ValidConfig};
use crate::snapshot::PERMANENT;
use monitor::State;

/// All monitors.
#[derive(Clone, Debug)]
pub(crate) struct Protection {
    active: AlarmSet,
    pending: AlarmSet,
    /// The active ones once more, inverted: a flipped bit must not end an alarm (X20).
    inactive: u64,
    /// One timer a monitor; see [`monitor::State`].
    timers: [u32; Alarm::COUNT],
}

/// What one step changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Edges {
    pub raised: AlarmSet,
    pub cleared: AlarmSet,
}

impl Protection {
    pub(crate) const fn new() -> Self {
        Self { active: AlarmSet::EMPTY, pending: AlarmSet::EMPTY, inactive: u64::MAX, timers: [0; Alarm::COUNT] }
    }
    /// The one place where alarms come and go.
    fn set_active(&mut self, active: AlarmSet) {
        // What a flipped bit made unsound stays so.
        self.inactive ^= self.active.bits() ^ active.bits();
        self.active = active;
    }
    /// Whether the active alarms are those that were set.
    pub(crate) fn is_sound(&self) -> bool {
        black_box(self.active.bits()) ^ black_box(self.inactive) == u64::MAX
    }
    pub(crate) const fn active(&self) -> AlarmSet {
        self.active
    }
    pub(crate) const fn pending(&self) -> AlarmSet {
        self.pending
    }
    #[cfg(test)]
    pub(crate) const fn flip(&mut self, alarm: Alarm) {
        self.active = AlarmSet::from_bits(self.active.bits() ^ 1 << alarm as u8);
    }
    /// How long the alarm stands where it is, in ms, saturating.
    pub(crate) fn timer(&self, alarm: Alarm) -> u32 {
        self.timers.get(alarm as usize).copied().unwrap_or(0)
    }
    /// Raises an alarm without an observation (restore, requests).
    pub(crate) fn raise(&mut self, alarms: AlarmSet) {
        self.set_active(self.active.and(alarms));
        self.pending = self.pending.minus(alarms);
        for alarm in alarms.iter() {
            if let Some(timer) = self.timers.get_mut(alarm as usize) {
                *timer = 0;
            }
        }
    }
    /// Clears alarms by request.
    pub(crate) fn clear(&mut self, alarms: AlarmSet) {
        self.set_active(self.active.minus(alarms));
    }
    /// Puts back what a step cleared (N07): the next one decides again.
    pub(crate) fn keep(&mut self, alarms: AlarmSet) {
        self.set_active(self.active.and(alarms));
        self.pending = self.pending.minus(alarms);
    }
    /// Delays start anew, alarms stay: after a change of the configuration.
    pub(crate) fn forget_pending(&mut self) {
        self.pending = AlarmSet::EMPTY;
    }

    /// Whether some row is pending or active, so that it must be looked at.
    pub(crate) const fn at_rest(&self) -> bool {
        self.active.bits() | self.pending.bits() == 0
    }

    /// Looks at the rows that may be violated, and at those that are pending or active.
    #[inline(never)]
    pub(crate) fn step<const N: usize>(
        &mut self,
        elapsed: u32,
        suspects: AlarmSet,
        seen: &Circumstances<'_, N>,
    ) -> Edges {
        let before = self.active;
        let rows = suspects.and(self.active).and(self.pending);
        let (mut active, mut pending) = (self.active.halves(), self.pending.halves());
        let halves = rows.halves().into_iter().zip(&mut active).zip(&mut pending);
        for (first, ((mut rows, active), pending)) in [0_u32, 32].into_iter().zip(halves) {
            while rows != 0 {
                let number = rows.trailing_zeros();
                let bit = 1_u32.wrapping_shl(number);
                rows &= !bit;
                let number = first.wrapping_add(number);
                let alarm = Alarm::from_number(number as u8);
                let (Some(alarm), Some(timer)) = (alarm, self.timers.get_mut(number as usize)) else { continue };
                let row = Row::of(alarm);
                let state = if *active & bit != 0 {
                    State::Active
                } else if *pending & bit != 0 {
                    State::Pending
                } else {
                    State::Clear
                };
                // A time of good data stands still while data is bad.
                let still_bad = state == State::Active && *timer == 0 && row.is_held();
                if state != State::Clear && !still_bad {
                    *timer = timer.saturating_add(elapsed);
                }
                let waited = *timer;
                let observation = seen.observe(alarm);
                let mut next = monitor::update(state, timer, row, seen.config, &observation);
                if alarm == Alarm::AutoShutdown
                    && (state, next) == (State::Pending, State::Active)
                    && !observation.trust.fresh
                {
                    // An old reading shuts nothing down (D02): the next scan decides.
                    (next, *timer) = (State::Pending, waited);
                }
                if state == State::Active && PERMANENT.contains(alarm) {
                    // Switching the check off is no local request (X10, X13, X14).
                    next = State::Active;
                }
                *active = if next == State::Active { *active | bit } else { *active & !bit };
                *pending = if next == State::Pending { *pending | bit } else { *pending & !bit };
            }
        }
        self.set_active(AlarmSet::from_halves(active));
        self.pending = AlarmSet::from_halves(pending);
        Edges { raised: self.active.minus(before), cleared: before.minus(self.active) }
    }

    /// Whether an active alarm inhibits something on this board.
    pub(crate) fn inhibits(&self, what: Inhibit, config: &ValidConfig) -> bool {
        !self.active.common(inhibiting(what, config)).is_empty()
    }
    /// Whether a pending one will.
    pub(crate) fn threatens(&self, what: Inhibit, config: &ValidConfig) -> bool {
        !self.pending.common(inhibiting(what, config)).is_empty()
    }
}

/// The alarms that inhibit something on this board: the table, and the one exception for stuck switches (X10).
pub(crate) fn inhibiting(what: Inhibit, config: &ValidConfig) -> AlarmSet {
    const CHARGE: AlarmSet = AlarmSet::inhibiting(Inhibit::CHARGE);
    const DISCHARGE: AlarmSet = AlarmSet::inhibiting(Inhibit::DISCHARGE);
    const BALANCE: AlarmSet = AlarmSet::inhibiting(Inhibit::BALANCE);
    const HEATER: AlarmSet = AlarmSet::inhibiting(Inhibit::HEATER);
    const POWER: AlarmSet = AlarmSet::inhibiting(Inhibit::POWER);
    const STUCK: AlarmSet = AlarmSet::of(&[Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck]);
    let alarms = match what {
        Inhibit::CHARGE => CHARGE,
        Inhibit::DISCHARGE => DISCHARGE,
        Inhibit::BALANCE => BALANCE,
        Inhibit::HEATER => HEATER,
        Inhibit::POWER => POWER,
        several => return AlarmSet::inhibiting(several),
    };
    let switches = what.includes(Inhibit::SWITCHES);
    if switches && config.board().topology != Topology::BackToBack { alarms.and(STUCK) } else { alarms }
}
