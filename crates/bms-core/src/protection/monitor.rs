//! The one mechanism behind every alarm: limit, delay, release.
//!
//! ```text
//!            violated                    delay over
//!   Clear ─────────────► Pending ──────────────────────► Active
//!     ▲   ◄─────────────                                    │
//!     │    valid and not violated                           │
//!     └─────────────────────────────────────────────────────┘
//!        released: a recovery value passed, a time over, or never by itself
//! ```
//! "Held" is a recovery that lasts: its time runs from the first good observation, and anything bad starts it anew.
//!
//! A missing or invalid reading moves along none of these arrows (N02); only time does.

use super::rows::Row;
use crate::config::ValidConfig;

/// What one look at a signal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    /// The worst value among what is known.
    pub value: i32,
    pub trust: Trust,
}

/// What an observation can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Something new was measured in this step.
    pub fresh: bool,
    /// It is fresh and nothing that belongs to it is missing; only then it may end a delay or complete a recovery.
    pub complete: bool,
    /// Something that belongs to it is known to be missing now: a time of good data starts anew.
    pub bad: bool,
    /// Age of the measurement in ms: the delay counts from when it was taken.
    pub age: u32,
}

impl Trust {
    /// Known in this very step.
    pub(crate) const NOW: Self = Self { fresh: true, complete: true, bad: false, age: 0 };
    /// Nothing can be said.
    pub(crate) const NONE: Self = Self { fresh: false, complete: false, bad: false, age: 0 };
}

impl Observation {
    /// Nothing can be said.
    pub(crate) const UNKNOWN: Self = Self { value: 0, trust: Trust::NONE };

    /// Known in this very step.
    pub(crate) const fn now(value: i32) -> Self {
        Self { value, trust: Trust::NOW }
    }
}

/// Which side of the limit is unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Strictly above trips, strictly below the recovery releases (N01).
    Above,
    /// Strictly below trips, strictly above the recovery releases (N01).
    Below,
    /// Reaching (≥) trips.
    Reaching,
    /// Falling to (≤) trips: "reaches this value" (P16, N01).
    FallingTo,
}

impl Side {
    fn violates(self, value: i32, trip: i32) -> bool {
        match self {
            Self::Above => value > trip,
            Self::Below => value < trip,
            Self::Reaching => value >= trip,
            Self::FallingTo => value <= trip,
        }
    }
    /// The last value that does not violate the limit.
    pub(crate) const fn last_safe(self, trip: i32) -> i32 {
        match self {
            Self::Above | Self::Below => trip,
            Self::Reaching => trip.saturating_sub(1),
            Self::FallingTo => trip.saturating_add(1),
        }
    }
    fn recovers(self, value: i32, recovery: i32) -> bool {
        match self {
            Self::Above | Self::Reaching => value < recovery,
            Self::Below | Self::FallingTo => value > recovery,
        }
    }
}

/// How an active alarm ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// When a complete, valid observation is beyond this value.
    Level(i32),
    /// When good observations have lasted this long, in ms, from the first to the present one.
    Held(u32),
    /// This long after it was raised, in ms (N04).
    After(u32),
    /// Only by a request.
    Never,
}

/// Where a monitor stands. The timer belongs to the state: how long it is pending, how long it is active. For an active
/// `Held` row it is 0 while bad, then 1 ms more than the time since the first good observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Clear,
    Pending,
    Active,
}

/// One step of one monitor. `timer` was already advanced by the time since the last step.
pub(crate) fn update(state: State, timer: &mut u32, row: &Row, config: &ValidConfig, seen: &Observation) -> State {
    let Observation { value, trust } = *seen;
    let Some(trip) = row.trip(config) else {
        // Switched off (S04): nothing watches it any more.
        return State::Clear;
    };
    let violated = trust.fresh && row.side.violates(value, trip);
    let mut state = state;
    if state == State::Active {
        let released = match row.release(config) {
            Release::Level(recovery) => trust.complete && row.side.recovers(value, recovery),
            Release::Held(time) => {
                if violated || trust.bad {
                    *timer = 0;
                } else if trust.complete && *timer == 0 {
                    *timer = trust.age.saturating_add(1);
                }
                trust.complete && !violated && *timer > time
            }
            Release::After(time) => *timer >= time,
            Release::Never => false,
        };
        if !released {
            return State::Active;
        }
        state = State::Clear;
    }
    if violated {
        if state == State::Clear {
            *timer = trust.age;
        }
        state = State::Pending;
    } else if trust.complete {
        state = State::Clear;
    }
    if state == State::Pending && *timer >= row.delay(config) {
        *timer = 0;
        state = State::Active;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Model};
    use crate::protection::Alarm;

    const PACK: ValidConfig = const { Config::lifepo4(8).with_model(Model::B2a8s20p).validated() };
    const TRIP: i32 = 3_600_000;
    const RECOVERY: i32 = 3_500_000;
    const INCOMPLETE: Trust = Trust { complete: false, ..Trust::NOW };

    /// The over-voltage row: above 3.6 V for 500 ms, until below 3.5 V.
    fn step(state: State, timer: &mut u32, elapsed: u32, seen: Observation) -> State {
        *timer = timer.saturating_add(elapsed);
        update(state, timer, Row::of(Alarm::CellOvervoltage), &PACK, &seen)
    }

    /// N01 N02: strict comparisons, the delay from the first violating sample, gaps neither end nor complete.
    #[test]
    fn trips_after_the_delay_and_releases_strictly_beyond_the_recovery() {
        let mut timer = 0;
        assert_eq!(step(State::Clear, &mut timer, 100, Observation::now(TRIP)), State::Clear);
        let state = step(State::Clear, &mut timer, 100, Observation::now(TRIP + 1));
        assert_eq!(state, State::Pending);
        let state = step(state, &mut timer, 499, Observation::UNKNOWN);
        assert_eq!(state, State::Pending);
        let state = step(state, &mut timer, 1, Observation::UNKNOWN);
        assert_eq!(state, State::Active);
        let state = step(state, &mut timer, 100, Observation::now(RECOVERY));
        assert_eq!(state, State::Active);
        let state = step(state, &mut timer, 100, Observation { value: 0, trust: INCOMPLETE });
        assert_eq!(state, State::Active);
        assert_eq!(step(state, &mut timer, 100, Observation::now(RECOVERY - 1)), State::Clear);
    }

    /// N02: a valid sample that does not violate starts the delay anew.
    #[test]
    fn a_good_sample_starts_the_delay_anew() {
        let mut timer = 0;
        let mut state = step(State::Clear, &mut timer, 10, Observation::now(TRIP + 1));
        state = step(state, &mut timer, 499, Observation::now(TRIP));
        assert_eq!(state, State::Clear);
        state = step(state, &mut timer, 10, Observation::now(TRIP + 1));
        assert_eq!(step(state, &mut timer, 499, Observation::now(TRIP + 1)), State::Pending);
        assert_eq!(step(State::Pending, &mut timer, 1, Observation::now(TRIP + 1)), State::Active);
    }
}
