//! How far one channel can be trusted: its age, and how long it has been good without interruption.

use crate::time::Instant;

/// The trust in one channel. Ages instead of time stamps: they saturate, so no clock value can confuse them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// Time since the newest good measurement was taken, in ms.
    age: u32,
    /// Time since the newest measurement of any quality, in ms.
    seen: u32,
    /// How long good measurements have followed each other, in ms.
    streak: u32,
    state: State,
    /// A good measurement came in this step.
    fresh: bool,
    /// A failure, or a worthless measurement, came in this step.
    failed: bool,
    /// The previous measurement was a failure.
    resumed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Never,
    Good,
    Bad,
}

impl Channel {
    pub(crate) const fn new() -> Self {
        Self { age: 0, seen: u32::MAX, streak: 0, state: State::Never, fresh: false, failed: false, resumed: false }
    }
    /// Time passes; nothing is new yet.
    pub(crate) fn advance(&mut self, elapsed: u32) {
        self.age = self.age.saturating_add(elapsed);
        self.seen = self.seen.saturating_add(elapsed);
        self.fresh = false;
        self.failed = false;
    }
    /// The age of a measurement taken `at`, if it is newer than the last one. One from the future is a failure: the
    /// time stamps cannot be trusted.
    pub(crate) fn newer(&mut self, now: Instant, at: Instant) -> Option<u32> {
        if at > now {
            self.fail();
            return None;
        }
        let age = now.since(at).as_millis();
        (age < self.seen).then_some(age)
    }
    /// A measurement arrived, usable or not. A silence longer than `lost` begins a new streak.
    pub(crate) fn measured(&mut self, age: u32, good: bool, lost: u32) {
        if !good {
            self.seen = age;
            self.fail();
            return;
        }
        let interval = self.age.saturating_sub(age);
        self.streak =
            if self.state == State::Good && interval <= lost { self.streak.saturating_add(interval) } else { 0 };
        self.resumed = self.state == State::Bad;
        self.age = age;
        self.seen = age;
        self.state = State::Good;
        self.fresh = true;
    }
    /// The channel should have delivered and did not.
    pub(crate) fn fail(&mut self) {
        self.streak = 0;
        self.failed = true;
        self.fresh = false;
        if self.state == State::Good {
            self.state = State::Bad;
        }
    }
    pub(crate) const fn age(&self) -> u32 {
        self.age
    }
    /// Age of the newest measurement of any quality, in ms.
    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }
    pub(crate) const fn streak(&self) -> u32 {
        self.streak
    }
    /// A good measurement is new in this step.
    pub(crate) const fn fresh(&self) -> bool {
        self.fresh
    }
    /// Anything at all was measured in this step, good or not.
    pub(crate) const fn failed(&self) -> bool {
        self.failed
    }
    /// The measurement before this one had failed.
    pub(crate) const fn resumed(&self) -> bool {
        self.resumed
    }
    /// Nothing was ever measured.
    pub(crate) const fn never(&self) -> bool {
        matches!(self.state, State::Never)
    }
    /// The newest measurement was good; it may be old.
    pub(crate) const fn valid_now(&self) -> bool {
        matches!(self.state, State::Good)
    }
    /// The newest measurement was good and is younger than `lost`.
    pub(crate) const fn usable(&self, lost: u32) -> bool {
        self.valid_now() && self.age < lost
    }
}
