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

/// What one look at a signal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    /// The worst value among what is known.
    pub value: i32,
    /// Which cell or sensor it comes from.
    pub index: Option<u8>,
    /// Something new was measured in this step.
    pub fresh: bool,
    /// It is fresh and nothing that belongs to it is missing; only then it may end a delay or complete a recovery.
    pub complete: bool,
    /// Something that belongs to it is known to be missing now: a time of good data starts anew.
    pub bad: bool,
    /// Age of the measurement in ms: the delay counts from when it was taken.
    pub age: u32,
}

impl Observation {
    /// Nothing can be said.
    pub(crate) const UNKNOWN: Self = Self { value: 0, index: None, fresh: false, complete: false, bad: false, age: 0 };

    /// A fact of this very step.
    pub(crate) const fn now(value: i32, index: Option<u8>) -> Self {
        Self { value, index, fresh: true, complete: true, bad: false, age: 0 }
    }
    /// A fact that is true or not.
    pub(crate) const fn fact(value: bool) -> Self {
        Self::now(value as i32, None)
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

/// One limit, ready to be watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub side: Side,
    pub trip: i32,
    /// In ms.
    pub delay: u32,
    pub release: Release,
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
pub(crate) fn update(state: State, timer: &mut u32, limit: Option<&Limit>, seen: &Observation) -> State {
    let Some(limit) = limit else {
        // Switched off. An alarm that is still active ends with the next complete observation.
        return if state == State::Active && !seen.complete { state } else { State::Clear };
    };
    let violated = seen.fresh && limit.side.violates(seen.value, limit.trip);
    let mut state = state;
    if state == State::Active {
        let released = match limit.release {
            Release::Level(recovery) => seen.complete && limit.side.recovers(seen.value, recovery),
            Release::Held(time) => {
                if violated || seen.bad {
                    *timer = 0;
                } else if seen.complete && *timer == 0 {
                    *timer = seen.age.saturating_add(1);
                }
                seen.complete && !violated && *timer > time
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
            *timer = seen.age;
        }
        state = State::Pending;
    } else if seen.complete {
        state = State::Clear;
    }
    if state == State::Pending && *timer >= limit.delay {
        *timer = 0;
        state = State::Active;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { side: Side::Above, trip: 100, delay: 50, release: Release::Level(90) };

    fn step(state: State, timer: &mut u32, elapsed: u32, seen: Observation) -> State {
        *timer = timer.saturating_add(elapsed);
        update(state, timer, Some(&LIMIT), &seen)
    }

    /// N01 N02: strict comparisons, the delay from the first violating sample, gaps neither end nor complete.
    #[test]
    fn trips_after_the_delay_and_releases_strictly_beyond_the_recovery() {
        let mut timer = 0;
        let over = Observation::now(101, None);
        assert_eq!(step(State::Clear, &mut timer, 10, Observation::now(100, None)), State::Clear);
        let state = step(State::Clear, &mut timer, 10, over);
        assert_eq!(state, State::Pending);
        let state = step(state, &mut timer, 40, Observation::UNKNOWN);
        assert_eq!(state, State::Pending);
        let state = step(state, &mut timer, 10, Observation::UNKNOWN);
        assert_eq!(state, State::Active);
        let state = step(state, &mut timer, 10, Observation::now(90, None));
        assert_eq!(state, State::Active);
        let incomplete = Observation { complete: false, ..Observation::now(0, None) };
        let state = step(state, &mut timer, 10, incomplete);
        assert_eq!(state, State::Active);
        assert_eq!(step(state, &mut timer, 10, Observation::now(89, None)), State::Clear);
    }

    /// N02: a valid sample that does not violate starts the delay anew.
    #[test]
    fn a_good_sample_starts_the_delay_anew() {
        let mut timer = 0;
        let mut state = step(State::Clear, &mut timer, 10, Observation::now(101, None));
        state = step(state, &mut timer, 49, Observation::now(100, None));
        assert_eq!(state, State::Clear);
        state = step(state, &mut timer, 10, Observation::now(101, None));
        assert_eq!(step(state, &mut timer, 49, Observation::now(101, None)), State::Pending);
        assert_eq!(step(State::Pending, &mut timer, 1, Observation::now(101, None)), State::Active);
    }
}
