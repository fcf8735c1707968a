//! How far each channel can be trusted: how old it is, and what came in this step.
//!
//! All channels stand on one clock of their own, which only the length of each step moves on. So time passes for all of
//! them at once, and no jump of the board's clock can make old data look new.

use super::{Group, lost_time};
use crate::config::{ParameterId as P, ValidConfig};
use crate::guard::digest;
use crate::time::Instant;

/// A group of readings with an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Channel {
    Cells,
    Current,
    Stack,
    Terminal,
    /// Good whenever every expected sensor has delivered since it was last good. Sensors may come in turns; this is
    /// never younger than the oldest of them.
    Temperatures,
}

impl Channel {
    const COUNT: usize = 5;

    /// The channel's bit in one of the sets.
    const fn of(self, set: u32) -> u32 {
        set.wrapping_shl(self as u32)
    }
}

/// Ages saturate here (12 days), far beyond every limit and far from the clock's wrap.
const LONGEST: u32 = 1 << 30;

/// Sets of channels, a byte each, in one word. A good measurement came in this step.
const FRESH: u32 = 1;
/// A failure, or a worthless measurement, came in this step.
const FAILED: u32 = 1 << 8;
/// The newest measurement was good; it may be old.
const GOOD: u32 = 1 << 16;
/// There was a good measurement.
const KNOWN: u32 = 1 << 24;
/// What does not end with the step.
const LASTING: u32 = 0xffff_0000;

/// The trust in all channels.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    /// The time of this step.
    now: Instant,
    /// In ms; wraps, so only differences mean anything.
    clock: u32,
    /// When the newest good measurement was taken; before the first one, when measuring began.
    good_at: [u32; Channel::COUNT],
    /// When the newest measurement of any quality was taken.
    seen_at: [u32; Channel::COUNT],
    /// When the oldest reading was taken of those temperatures that wait for the others.
    round_at: u32,
    sets: u32,
    /// Age at which cells, current and voltages are lost, in ms.
    lost: u32,
    /// The same for temperatures.
    temperatures_lost: u32,
}

impl Channels {
    pub(crate) const fn new(config: &ValidConfig) -> Self {
        Self {
            now: Instant::ZERO,
            clock: 0,
            good_at: [0; Channel::COUNT],
            seen_at: [0_u32.wrapping_sub(LONGEST); Channel::COUNT],
            round_at: 0,
            sets: 0,
            lost: lost_time(config),
            temperatures_lost: config.duration(P::TemperatureLostTime).as_millis(),
        }
    }
    /// Measuring begins anew: what was measured before this step is no news (D32).
    pub(crate) fn begin_now(&mut self) {
        self.seen_at = [self.clock; Channel::COUNT];
    }
    /// The configuration was changed.
    pub(crate) fn reconfigured(&mut self, config: &ValidConfig) {
        let Self { lost, temperatures_lost, .. } = Self::new(config);
        self.lost = lost;
        self.temperatures_lost = temperatures_lost;
    }
    /// Over the ages at which channels are lost (X20).
    pub(crate) const fn digest_of_limits(&self) -> u32 {
        digest(&[self.lost, self.temperatures_lost])
    }
    #[cfg(test)]
    pub(crate) const fn flip_limits(&mut self) {
        self.lost ^= 1 << 15;
    }
    /// Time passes; nothing is new yet.
    pub(crate) fn advance(&mut self, now: Instant, elapsed: u32) {
        self.now = now;
        let before = self.clock;
        self.clock = before.wrapping_add(if elapsed < LONGEST { elapsed } else { LONGEST });
        self.sets &= LASTING;
        if before ^ self.clock >= LONGEST {
            self.saturate();
        }
    }
    /// Keeps old ages away from the clock's wrap; needed every 12 days.
    #[cold]
    #[inline(never)]
    fn saturate(&mut self) {
        for stamp in self.good_at.iter_mut().chain(&mut self.seen_at).chain([&mut self.round_at]) {
            if self.clock.wrapping_sub(*stamp) > LONGEST {
                *stamp = self.clock.wrapping_sub(LONGEST);
            }
        }
    }
    /// What a group brings, if that is new; notes a failure.
    #[inline(always)]
    pub(crate) fn arrival<'a, T>(&mut self, channel: Channel, group: &'a Group<T>) -> Option<&'a T> {
        match group {
            Group::NotMeasured => None,
            Group::Failed => {
                self.fail(channel);
                None
            }
            Group::Measured { at, value } => self.newer(channel, at).then_some(value),
        }
    }
    /// Whether a measurement taken `at` is newer than the last one; takes its age. One from the future is a failure: the
    /// time stamps cannot be trusted.
    #[inline(never)]
    fn newer(&mut self, channel: Channel, at: &Instant) -> bool {
        let Some(age) = self.now.directly_after(*at) else {
            // From the future, or as old as can be and newer than nothing.
            if *at > self.now {
                self.fail(channel);
            }
            return false;
        };
        let newer = age < self.seen(channel);
        if newer {
            set(&mut self.seen_at, channel, self.clock.wrapping_sub(age));
        }
        newer
    }
    /// What arrived is good.
    pub(crate) fn measured(&mut self, channel: Channel) {
        self.complete(channel);
        self.sets |= channel.of(FRESH);
    }
    /// With what arrived, all that belongs to the channel has been good.
    pub(crate) fn complete(&mut self, channel: Channel) {
        let at = get(&self.seen_at, channel);
        set(&mut self.good_at, channel, at);
        self.sets |= channel.of(GOOD | KNOWN);
    }
    /// Sensors come in turns, and this group is the first of them.
    pub(crate) fn begin_round(&mut self) {
        self.round_at = get(&self.seen_at, Channel::Temperatures);
    }
    /// The last of the turns: the channel is as old as its oldest reading, or a sensor could be lost for twice the time (X01).
    pub(crate) fn complete_round(&mut self) {
        self.complete(Channel::Temperatures);
        set(&mut self.good_at, Channel::Temperatures, self.round_at);
    }
    /// The channel should have delivered and did not.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&mut self, channel: Channel) {
        self.sets = self.sets & !channel.of(FRESH | GOOD) | channel.of(FAILED);
    }
    /// Time since the newest good measurement was taken, or since measuring began, in ms.
    pub(crate) fn age(&self, channel: Channel) -> u32 {
        self.clock.wrapping_sub(get(&self.good_at, channel))
    }
    /// Age of the newest measurement of any quality, in ms.
    pub(crate) fn seen(&self, channel: Channel) -> u32 {
        self.clock.wrapping_sub(get(&self.seen_at, channel))
    }
    /// A good measurement is new in this step.
    pub(crate) const fn fresh(&self, channel: Channel) -> bool {
        self.sets & channel.of(FRESH) != 0
    }
    /// A failure, or a worthless measurement, came in this step.
    pub(crate) const fn failed(&self, channel: Channel) -> bool {
        self.sets & channel.of(FAILED) != 0
    }
    /// There was a good measurement.
    pub(crate) const fn known(&self, channel: Channel) -> bool {
        self.sets & channel.of(KNOWN) != 0
    }
    /// The newest measurement was good; it may be old.
    pub(crate) const fn good(&self, channel: Channel) -> bool {
        self.sets & channel.of(GOOD) != 0
    }
    /// Age at which the channel is lost, in ms (X01).
    pub(crate) const fn lost(&self, channel: Channel) -> u32 {
        if matches!(channel, Channel::Temperatures) { self.temperatures_lost } else { self.lost }
    }
    /// The newest good measurement is too old.
    pub(crate) fn overdue(&self, channel: Channel) -> bool {
        self.age(channel) >= self.lost(channel)
    }
    /// The newest measurement was good and is not too old.
    pub(crate) fn usable(&self, channel: Channel) -> bool {
        self.good(channel) && !self.overdue(channel)
    }
}

#[allow(clippy::indexing_slicing, reason = "a channel's number is below the array's length")]
const fn get(stamps: &[u32; Channel::COUNT], channel: Channel) -> u32 {
    stamps[channel as usize]
}
#[allow(clippy::indexing_slicing, reason = "a channel's number is below the array's length")]
const fn set(stamps: &mut [u32; Channel::COUNT], channel: Channel, at: u32) {
    stamps[channel as usize] = at;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::units::amps;

    const PACK: ValidConfig = const {
        Config::lifepo4(8)
            .with_charge_limit(amps(10), crate::time::secs(10))
            .with_discharge_limit(amps(10), crate::time::secs(10))
            .validated()
    };

    /// Neither the wrap of the clock nor the longest step makes old data look new (law 2).
    #[test]
    fn an_old_measurement_stays_old_for_ever() {
        for step in [1_000_000, LONGEST / 3, LONGEST, u32::MAX] {
            let mut channels = Channels::new(&PACK);
            channels.advance(Instant::from_millis(5), 5);
            assert!(channels.newer(Channel::Cells, &Instant::ZERO));
            channels.measured(Channel::Cells);
            assert!(channels.usable(Channel::Cells));
            let mut age = channels.age(Channel::Cells);
            for _ in 0..20_000 {
                channels.advance(Instant::ZERO, step);
                let older = channels.age(Channel::Cells);
                assert!(
                    older >= age.min(LONGEST) && channels.overdue(Channel::Cells),
                    "step {step}: {age} then {older}"
                );
                assert!(channels.seen(Channel::Current) >= LONGEST, "nothing was ever seen");
                age = older;
            }
        }
    }

    #[test]
    fn a_repeated_or_older_measurement_is_none() {
        let mut channels = Channels::new(&PACK);
        let mut newer = |now, at| {
            channels.advance(Instant::from_millis(now), 0);
            let newer = channels.newer(Channel::Stack, &Instant::from_millis(at));
            if newer {
                channels.measured(Channel::Stack);
            }
            (newer, channels.good(Channel::Stack), channels.failed(Channel::Stack))
        };
        assert_eq!(newer(1 << 40, 0), (false, false, false), "as old as can be");
        assert_eq!(newer(1_000, 900), (true, true, false));
        assert_eq!(newer(1_000, 900), (false, true, false));
        assert_eq!(newer(1_000, 899), (false, true, false));
        assert_eq!(newer(1_000, 901), (true, true, false));
        assert_eq!(newer(1_000, 1_001), (false, false, true), "from the future");
    }
}
