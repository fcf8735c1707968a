//! The manual's own rule: from the highest cell to the lowest (§5.3.1 N, §5.3.2 f, o; B01–B08).
//!
//! ```text
//!  quiet scan ─► pair chosen ─► Take (store fills) ─► Give (store empties) ─► pause for the next quiet scan
//! ```

use super::{EXPIRY, Phase, Plan, Situation, Strategy};
use crate::measurement::CellScan;
use crate::time::Instant;

/// Highest to lowest while their difference exceeds the trigger, until it falls below the stop value.
#[derive(Clone, Debug)]
pub struct ManualRule {
    state: State,
    /// Between trigger and stop, what counts is whether it was running.
    running: bool,
    stopped_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Waiting for a quiet scan.
    Idle,
    Moving {
        source: u8,
        destination: u8,
        phase: Phase,
        phase_ends: Instant,
        chosen_at: Instant,
    },
}

impl ManualRule {
    /// At rest.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Idle, running: false, stopped_at: None }
    }

    fn choose(&mut self, situation: &Situation<'_>, scan: &CellScan<'_>) {
        let rules = &situation.rules;
        let pair = scan.highest().zip(scan.lowest()).filter(|(highest, lowest)| highest.0 != lowest.0);
        let Some((highest, lowest)) = pair.filter(|_| scan.is_complete()) else {
            return self.stop(situation.now);
        };
        let difference = highest.1.minus(lowest.1);
        let wide = if self.running { difference >= rules.stop } else { difference > rules.trigger };
        let rested = self.stopped_at.is_none_or(|stopped| situation.now.since(stopped) >= rules.minimum_off);
        let allowed = highest.1 > rules.start_voltage && highest.1 > rules.floor && lowest.1 < rules.ceiling;
        if !(wide && allowed && (self.running || rested)) {
            if self.running {
                self.stop(situation.now);
            }
            return;
        }
        // A store that an interrupted transfer left full is emptied first.
        let phase = if situation.store_empty { Phase::Take } else { Phase::Give };
        self.running = true;
        self.state = State::Moving {
            source: highest.0,
            destination: lowest.0,
            phase,
            phase_ends: situation.now.after(situation.capabilities.phase_time),
            chosen_at: situation.now,
        };
    }
}

impl Default for ManualRule {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for ManualRule {
    fn plan(&mut self, situation: &Situation<'_>) -> Plan {
        let now = situation.now;
        if let (State::Idle, Some(scan)) = (self.state, &situation.quiet_scan) {
            self.choose(situation, scan);
        }
        let State::Moving { source, destination, mut phase, mut phase_ends, chosen_at } = self.state else {
            return Plan::Idle;
        };
        if now >= phase_ends {
            let pair_done = phase == Phase::Give && now.since(chosen_at) >= situation.rules.minimum_on;
            if pair_done {
                self.state = State::Idle;
                return Plan::Idle;
            }
            phase = if phase == Phase::Take { Phase::Give } else { Phase::Take };
            phase_ends = now.after(situation.capabilities.phase_time);
            self.state = State::Moving { source, destination, phase, phase_ends, chosen_at };
        }
        let current = situation.rules.current.min(situation.capabilities.maximum_current);
        Plan::Transfer { source, destination, phase, current, until: phase_ends.min(now.after(EXPIRY)) }
    }
    fn stop(&mut self, now: Instant) {
        if self.running {
            self.stopped_at = Some(now);
        }
        self.running = false;
        self.state = State::Idle;
    }
}
