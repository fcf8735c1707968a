//! A snapshot in memory that a reset leaves alone.

use core::sync::atomic::{AtomicU32, Ordering};

use bms_core::balancing::LearnedBalance;
use bms_core::estimation::Learned;
use bms_core::protection::{AlarmSet, Retries};
use bms_core::snapshot::{ResetCause, Snapshot, Stored, UserSwitches};
use bms_core::units::Charge;

/// Words of one copy without sequence and checksum.
const WORDS: usize = PLAIN + 1 + CELLS / 2;
/// Words before what balancing has learned.
const PLAIN: usize = 16;
/// Cells that [`LearnedBalance`] has room for.
const CELLS: usize = LearnedBalance::NOTHING.surplus.len();
/// "BMS" and the version of this format.
const MAGIC: u32 = 0x424d_5302;

/// The newest [`Snapshot`], kept through resets that leave the memory powered: watchdog, panic, software.
///
/// Put it into a section that the start-up code does not clear:
/// ```
/// # use bms_hal::RetainedSnapshot;
/// #[unsafe(link_section = ".uninit.snapshot")]
/// static RETAINED: RetainedSnapshot = RetainedSnapshot::new();
/// ```
/// Two copies are written in turn, so that a reset in the middle of one leaves the other. Every pattern of bits is a legal
/// content; what was never stored does not pass the checksum. What an estimator has learned is not kept, what balancing has learned is. Power loss loses it: a store in flash is another matter.
#[derive(Debug)]
pub struct RetainedSnapshot {
    copies: [Copy; 2],
}

#[derive(Debug)]
struct Copy {
    /// Even and odd decide which copy is written next; the larger is newer.
    sequence: AtomicU32,
    words: [AtomicU32; WORDS],
    checksum: AtomicU32,
}

impl Copy {
    const fn new() -> Self {
        Self { sequence: AtomicU32::new(0), words: [const { AtomicU32::new(0) }; WORDS], checksum: AtomicU32::new(0) }
    }
    fn read(&self) -> Option<(u32, [u32; WORDS])> {
        let sequence = self.sequence.load(Ordering::Relaxed);
        let mut words = [0; WORDS];
        for (word, stored) in words.iter_mut().zip(&self.words) {
            *word = stored.load(Ordering::Relaxed);
        }
        (checksum(sequence, &words) == self.checksum.load(Ordering::Relaxed)).then_some((sequence, words))
    }
    fn write(&self, sequence: u32, words: &[u32; WORDS]) {
        // Broken until the last word is written.
        self.checksum.store(!checksum(sequence, words), Ordering::SeqCst);
        self.sequence.store(sequence, Ordering::Relaxed);
        for (stored, word) in self.words.iter().zip(words) {
            stored.store(*word, Ordering::Relaxed);
        }
        self.checksum.store(checksum(sequence, words), Ordering::SeqCst);
    }
}

impl RetainedSnapshot {
    /// Nothing stored.
    #[must_use]
    pub const fn new() -> Self {
        Self { copies: [Copy::new(), Copy::new()] }
    }
    /// Stores a snapshot. A few hundred cycles: after every step is fine.
    pub fn store(&self, snapshot: &Snapshot) {
        let next = self.newest().map_or(1, |(sequence, _)| sequence.wrapping_add(1));
        let [even, odd] = &self.copies;
        let copy = if next & 1 == 0 { even } else { odd };
        copy.write(next, &encode(snapshot));
    }
    /// What was stored. After a power-on there can be nothing; after any other reset, damage is reported as such, and the
    /// pack stays open (law 7).
    #[must_use]
    pub fn load(&self, cause: ResetCause) -> Stored {
        match self.newest() {
            _ if cause == ResetCause::PowerOn => Stored::Nothing,
            Some((_, words)) => decode(&words).map_or(Stored::Corrupt, Stored::Snapshot),
            None => Stored::Corrupt,
        }
    }
    fn newest(&self) -> Option<(u32, [u32; WORDS])> {
        let [even, odd] = &self.copies;
        match (even.read(), odd.read()) {
            (Some(a), Some(b)) => {
                // By distance, so that the sequence may wrap.
                let ahead = a.0.wrapping_sub(b.0).cast_signed() > 0;
                Some(if ahead { a } else { b })
            }
            (a, b) => a.or(b),
        }
    }
}

impl Default for RetainedSnapshot {
    fn default() -> Self {
        Self::new()
    }
}

/// FNV-1a on words.
fn checksum(sequence: u32, words: &[u32; WORDS]) -> u32 {
    words
        .iter()
        .fold((0x811c_9dc5 ^ sequence).wrapping_mul(0x0100_0193), |sum, word| (sum ^ word).wrapping_mul(0x0100_0193))
}

const fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}
const fn whole(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}
const fn charge(low: u32, high: u32) -> Charge {
    Charge::from_milliamp_millis(whole(low, high).cast_signed())
}

fn encode(snapshot: &Snapshot) -> [u32; WORDS] {
    let [alarms, alarms_high] = halves(snapshot.alarms.bits());
    let of = |charge: Charge| halves(charge.as_milliamp_millis().cast_unsigned());
    let [remaining, remaining_high] = of(snapshot.remaining.unwrap_or_default());
    let [capacity, capacity_high] = of(snapshot.capacity);
    let [cycled, cycled_high] = of(snapshot.cycle_capacity);
    let [time, time_high] = halves(snapshot.run_time_seconds);
    let UserSwitches { charge, discharge, balance } = snapshot.switches;
    let flags = u32::from(snapshot.remaining.is_some())
        | u32::from(charge) << 1
        | u32::from(discharge) << 2
        | u32::from(balance) << 3
        | u32::from(snapshot.sensors_seen) << 8;
    let [charging, discharging] = snapshot.retries.conduction_millis();
    let counts = u32::from_le_bytes(snapshot.retries.counts());
    let plain: [u32; PLAIN] = [
        MAGIC,
        alarms,
        alarms_high,
        counts,
        remaining,
        remaining_high,
        capacity,
        capacity_high,
        cycled,
        cycled_high,
        snapshot.cycles,
        time,
        time_high,
        flags,
        charging,
        discharging,
    ];
    let learned = &snapshot.balancing;
    let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    let head = pair(learned.efficiency_permille, learned.doubt);
    let cells = learned.surplus.chunks(2).map(|cells| match cells {
        [low, high] => pair(low.cast_unsigned(), high.cast_unsigned()),
        _ => 0,
    });
    let mut words = [0; WORDS];
    for (word, value) in words.iter_mut().zip(plain.into_iter().chain([head]).chain(cells)) {
        *word = value;
    }
    words
}

fn decode(words: &[u32; WORDS]) -> Option<Snapshot> {
    let [
        magic,
        alarms,
        alarms_high,
        counts,
        remaining,
        remaining_high,
        capacity,
        capacity_high,
        cycled,
        cycled_high,
        cycles,
        time,
        time_high,
        flags,
        charging,
        discharging,
        head,
        cells @ ..,
    ] = words;
    let [magic, alarms, alarms_high, counts] = [*magic, *alarms, *alarms_high, *counts];
    let [remaining, remaining_high, capacity, capacity_high] = [*remaining, *remaining_high, *capacity, *capacity_high];
    let [cycled, cycled_high, cycles, time] = [*cycled, *cycled_high, *cycles, *time];
    let [time_high, flags, charging, discharging] = [*time_high, *flags, *charging, *discharging];
    let (low, high) = (|word: u32| word as u16, |word: u32| (word >> 16) as u16);
    let mut balancing = LearnedBalance::NOTHING;
    (balancing.efficiency_permille, balancing.doubt) = (low(*head), high(*head));
    for (pair, word) in balancing.surplus.chunks_mut(2).zip(cells) {
        for (surplus, value) in pair.iter_mut().zip([low(*word), high(*word)]) {
            *surplus = value.cast_signed();
        }
    }
    let flag = |bit: u32| flags & 1_u32.wrapping_shl(bit) != 0;
    (magic == MAGIC).then(|| Snapshot {
        alarms: AlarmSet::from_bits(whole(alarms, alarms_high)),
        sensors_seen: (flags >> 8) as u8,
        retries: Retries::restored(counts.to_le_bytes(), [charging, discharging]),
        remaining: flag(0).then(|| charge(remaining, remaining_high)),
        capacity: charge(capacity, capacity_high),
        cycle_capacity: charge(cycled, cycled_high),
        cycles,
        learned: Learned::default(),
        run_time_seconds: whole(time, time_high),
        switches: UserSwitches { charge: flag(1), discharge: flag(2), balance: flag(3) },
        balancing,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use bms_core::protection::Alarm;
    use bms_core::units::ah;

    fn snapshot(cycles: u32) -> Snapshot {
        let mut balancing = LearnedBalance { efficiency_permille: 901, doubt: 12, ..LearnedBalance::NOTHING };
        balancing.surplus[..3].copy_from_slice(&[-300, 1, 299]);
        balancing.surplus[31] = -1;
        Snapshot {
            alarms: AlarmSet::of(&[Alarm::ShortCircuit, Alarm::CountersCorrupt]),
            sensors_seen: 0b1_0101,
            retries: Retries::restored([1, 2, 3, 4], [50, 60]),
            remaining: Some(ah(-3)),
            capacity: ah(280),
            cycle_capacity: ah(100_000),
            cycles,
            learned: Learned::default(),
            run_time_seconds: u64::MAX / 3,
            switches: UserSwitches { charge: true, discharge: false, balance: true },
            balancing,
        }
    }

    // X18
    #[test]
    fn x18_a_snapshot_survives_every_reset_but_power_loss() {
        let retained = RetainedSnapshot::new();
        assert_eq!(retained.load(ResetCause::Watchdog), Stored::Corrupt, "never written");
        for cycles in 1..4 {
            retained.store(&snapshot(cycles));
            assert_eq!(retained.load(ResetCause::Watchdog), Stored::Snapshot(snapshot(cycles)));
        }
        assert_eq!(retained.load(ResetCause::PowerOn), Stored::Nothing);
    }

    #[test]
    fn a_reset_in_the_middle_of_a_write_leaves_the_one_before() {
        let retained = RetainedSnapshot::new();
        retained.store(&snapshot(1));
        retained.store(&snapshot(2));
        // The third one goes over the first; it comes half-way.
        let [_, odd] = &retained.copies;
        odd.words[10].store(99, Ordering::Relaxed);
        assert_eq!(retained.load(ResetCause::Watchdog), Stored::Snapshot(snapshot(2)));
    }
}
