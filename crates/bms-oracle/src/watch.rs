//! N02 and N04 in the plainest words: when does an alarm come, when does it go.

/// Milliseconds of the oracle's own time, which never goes back.
pub type Time = i64;

/// What this step showed of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing new: no measurement, or one that decides nothing.
    Nothing,
    /// A measurement that failed, or lacks the part that could decide.
    Bad,
    /// A valid measurement, taken then, beyond the limit.
    Violating(Time),
    /// A valid measurement, taken then, within the limit but not yet beyond the recovery.
    Within(Time),
    /// A valid measurement, taken then, beyond the recovery.
    Recovered(Time),
}

/// How an alarm ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// At the first measurement beyond the recovery.
    Level,
    /// So long after it was raised.
    After(Time),
    /// After so long a time of good measurements without a bad one.
    GoodFor(Time),
    /// Not by itself.
    Never,
}

/// One condition with its delay and its release.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// When the first violating measurement was taken, while the delay runs.
    pub first: Option<Time>,
    /// When the alarm was raised, while it is active.
    pub raised: Option<Time>,
    good_since: Option<Time>,
}

impl Watch {
    /// Whether the alarm is active.
    pub fn active(&self) -> bool {
        self.raised.is_some()
    }
    /// Whether the delay is running.
    pub fn pending(&self) -> bool {
        self.raised.is_none() && self.first.is_some()
    }
    /// Raises it now.
    pub fn raise(&mut self, now: Time) {
        *self = Self { first: None, raised: Some(now), good_since: None };
    }
    /// Ends it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
    /// One step; `off`: the condition is not watched.
    pub fn update(&mut self, now: Time, seen: Seen, delay: Time, release: Release, off: bool) {
        if off {
            // What nothing but a person may end is not ended by switching off its cause.
            if release != Release::Never {
                self.clear();
            }
            self.first = None;
            return;
        }
        if let Some(raised) = self.raised {
            match seen {
                Seen::Violating(_) | Seen::Bad => self.good_since = None,
                Seen::Within(at) | Seen::Recovered(at) => {
                    self.good_since.get_or_insert(at);
                }
                Seen::Nothing => {}
            }
            let over = match release {
                Release::Level => matches!(seen, Seen::Recovered(_)),
                Release::After(time) => now - raised >= time,
                Release::GoodFor(time) => {
                    let fresh = matches!(seen, Seen::Within(_) | Seen::Recovered(_));
                    fresh && self.good_since.is_some_and(|since| now - since >= time)
                }
                Release::Never => false,
            };
            if !over {
                return;
            }
            // The step that ends an alarm may begin it anew.
            self.clear();
        }
        match seen {
            Seen::Violating(at) => {
                self.first.get_or_insert(at);
            }
            Seen::Within(_) | Seen::Recovered(_) => self.first = None,
            Seen::Nothing | Seen::Bad => {}
        }
        if self.first.is_some_and(|first| now - first >= delay) {
            self.raise(now);
        }
    }
}
