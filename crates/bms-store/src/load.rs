//! Loading: trusts nothing, panics never, says what it found.

use bms_core::balancing::LearnedBalance;
use bms_core::config::{ValidConfig, Violations};
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::{Snapshot, Stored};
use embedded_storage_async::nor_flash::NorFlash;

use crate::bank;
use crate::codec::Malformed;
use crate::item::balancing as balancing_item;
use crate::item::config::{self as config_item, Identity, StoredConfig};
use crate::item::counters::Counters;
use crate::item::faults::Faults;
use crate::item::statistics as statistics_item;
use crate::layout::Kind;
use crate::log;
use crate::statistics::Statistics;
use crate::store::{ACCESS_LENGTH, Store, bit};

/// What became of the record of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Found {
    /// It was never saved.
    #[default]
    Nothing,
    /// The newest one was read.
    Good,
    /// It must be there, but no copy of the newest one is readable.
    Lost,
    /// It is readable and makes no sense.
    Malformed,
    /// A newer firmware wrote it.
    Newer,
}

impl Found {
    /// Whether something was there and cannot be used.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        !matches!(self, Self::Nothing | Self::Good)
    }
}

/// Why the stored configuration is not used although its record is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// It breaks today's rules.
    Invalid(Violations),
    /// It was made by a firmware for another pack: another chemistry, cell count or model.
    OtherPack(Identity),
}

/// What was found in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Of each kind, by [`Kind`]'s order.
    pub found: [Found; Kind::COUNT],
    /// Of each kind: the version that it was read in; 0 if none was.
    pub versions: [u8; Kind::COUNT],
    /// Of each kind: how many copies of the newest record are readable.
    pub copies: [u8; Kind::COUNT],
    /// Why the configuration is not used although it could be read.
    pub config: Option<ConfigProblem>,
    /// The flash is not blank, and nothing in it is readable.
    pub wreck: bool,
    /// The log: entries that were read.
    pub entries: u32,
    /// The log: records that make no sense, or numbers that are missing between the first and the last.
    pub entries_lost: u32,
    /// The log could not be read.
    pub log_unreadable: bool,
}

impl Report {
    /// Of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Found {
        self.found.get(kind.index()).copied().unwrap_or_default()
    }
    /// Configuration or fault record are unusable, or nothing is readable: everything stays open.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.wreck
            || self.config.is_some()
            || [Kind::Directory, Kind::Config, Kind::Faults].into_iter().any(|kind| self.of(kind).is_bad())
    }
    /// The counters are unusable: the state of charge is unknown, protection goes on.
    #[must_use]
    pub fn are_counters_corrupt(&self) -> bool {
        self.of(Kind::Counters).is_bad()
    }
}

/// The access control's record, opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessBytes {
    bytes: [u8; ACCESS_LENGTH],
    length: u8,
}

impl AccessBytes {
    /// A record to be saved; `None` if it is longer than [`ACCESS_LENGTH`].
    #[must_use]
    pub fn from_bytes(record: &[u8]) -> Option<Self> {
        Self::new(record).ok()
    }
    fn new(payload: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = [0; ACCESS_LENGTH];
        bytes.get_mut(..payload.len()).ok_or(Malformed)?.copy_from_slice(payload);
        Ok(Self { bytes, length: u8::try_from(payload.len()).map_err(|_| Malformed)? })
    }
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration, checked by today's rules; `None`: the built-in one is to be used (nothing was stored, or it is
    /// unusable, which [`Loaded::stored`] then makes an alarm that keeps everything open).
    pub config: Option<ValidConfig>,
    /// For [`Bms::restore`](bms_core::Bms::restore).
    pub stored: Stored,
    /// The counters, as far as they are known; older than they should be if [`Report::are_counters_corrupt`].
    pub counters: Counters,
    /// The access record; `None`: none was ever saved, **or** it is unusable, see [`Report::of`]. In the latter case no
    /// factory password may be let in without somebody being there.
    pub access: Option<AccessBytes>,
    /// Lifetime statistics; those of a new pack if there are none.
    pub statistics: Statistics,
    /// What was found.
    pub report: Report,
}

impl Loaded {
    /// The configuration to run with.
    #[must_use]
    pub fn config_or(&self, firmware: &ValidConfig) -> ValidConfig {
        self.config.unwrap_or(*firmware)
    }
    /// Takes up what memory that a reset leaves alone still had: it is newer than the flash. What the flash alone keeps stays, and
    /// so do its warnings: an unreadable record is not healed by a reset.
    pub fn renew(&mut self, retained: Stored) {
        const SAID: AlarmSet = AlarmSet::of(&[Alarm::StorageCorrupt, Alarm::CountersCorrupt]);
        let Stored::Snapshot(newer) = retained else { return };
        self.stored = match self.stored {
            Stored::Nothing => retained,
            Stored::Corrupt => Stored::Snapshot(Snapshot { alarms: newer.alarms.with(Alarm::StorageCorrupt), ..newer }),
            Stored::CountersCorrupt => {
                Stored::Snapshot(Snapshot { alarms: newer.alarms.with(Alarm::CountersCorrupt), ..newer })
            }
            Stored::Snapshot(older) => Stored::Snapshot(Snapshot {
                alarms: newer.alarms.and(older.alarms.common(SAID)),
                learned: older.learned,
                run_time_seconds: newer.run_time_seconds.max(older.run_time_seconds),
                ..newer
            }),
        };
    }
    /// How long the board was off, in seconds, for [`Bms::was_off`](bms_core::Bms::was_off); `now` in seconds since 1970.
    ///
    /// `None` (it is not known) without a calendar now or when it was saved, and if the clock cannot be right: it says a time
    /// before the save, or more than twenty years after it.
    #[must_use]
    pub fn off_seconds(&self, now: Option<u64>) -> Option<u32> {
        const TWENTY_YEARS: u64 = 20 * 365 * 86_400;
        let off = now?.checked_sub(self.counters.saved_at?)?;
        if off <= TWENTY_YEARS { u32::try_from(off).ok() } else { None }
    }
}

/// Takes version and payload of a record. (`dyn`: one copy of the code for all kinds.)
type Decode<'a> = &'a mut dyn FnMut(u8, &[u8]) -> Result<(), Malformed>;

/// Puts what was decoded where it is wanted.
fn keep<T>(slot: &mut Option<T>, decoded: Result<T, Malformed>) -> Result<(), Malformed> {
    *slot = Some(decoded?);
    Ok(())
}

/// The newest record of a kind in both banks.
#[derive(Clone, Copy, Default)]
struct Best {
    sequence: u32,
    version: u8,
    bank: usize,
    copies: u8,
}

impl<F: NorFlash> Store<'_, F> {
    /// The newest record of a kind that can be read.
    async fn best(&mut self, kind: Kind) -> Best {
        let mut best = Best::default();
        for (number, region) in self.layout.banks().into_iter().enumerate() {
            let Ok(Some(length)) = bank::fetch(&mut self.flash, &region, kind, &mut self.buffers).await else {
                continue;
            };
            let Some(record) = self.buffers.open(kind, length) else { continue };
            match record.sequence.cmp(&best.sequence) {
                core::cmp::Ordering::Greater => {
                    best = Best { sequence: record.sequence, version: record.version, bank: number, copies: 1 };
                }
                core::cmp::Ordering::Equal => best.copies = best.copies.saturating_add(1),
                core::cmp::Ordering::Less => {}
            }
        }
        best
    }
    /// Reads a record's payload.
    async fn read(&mut self, kind: Kind, best: Best, decode: Decode<'_>) -> Result<(), Malformed> {
        let [first, second] = self.layout.banks();
        let region = if best.bank == 0 { first } else { second };
        let fetched = bank::fetch(&mut self.flash, &region, kind, &mut self.buffers).await;
        let length = fetched.ok().flatten().ok_or(Malformed)?;
        let record = self.buffers.open(kind, length).ok_or(Malformed)?;
        decode(record.version, record.payload)
    }
    /// Reads what is there of a kind, also if it is not the newest; `decode` is called only if something can be read.
    async fn take(&mut self, kind: Kind, report: &mut Report, decode: Decode<'_>) {
        let best = self.best(kind).await;
        self.sequence = self.sequence.max(best.sequence);
        let head = self.heads.get(kind.index()).copied().unwrap_or(0);
        let mut found = match best.sequence {
            0 if head == 0 => Found::Nothing,
            sequence if sequence < head => Found::Lost,
            _ => Found::Good,
        };
        if best.sequence > 0 {
            if best.version > kind.version() {
                found = Found::Newer;
                self.newer |= bit(kind);
            } else if self.read(kind, best, decode).await.is_err() {
                found = Found::Malformed;
            }
        }
        if let Some(head) = self.heads.get_mut(kind.index()) {
            *head = best.sequence.max(*head);
        }
        let place = kind.index();
        for (slot, value) in [(&mut report.versions, best.version), (&mut report.copies, best.copies)] {
            if let Some(slot) = slot.get_mut(place) {
                *slot = value;
            }
        }
        if let Some(slot) = report.found.get_mut(place) {
            *slot = found;
        }
    }

    pub(crate) async fn load(&mut self) -> Loaded {
        let mut report = Report::default();
        for region in self.layout.banks() {
            // A bank that cannot be made sense of has nothing readable.
            let _ = bank::assess(&mut self.flash, &region, &mut self.buffers).await;
        }
        let (mut heads, mut stated) = ([0; 32], None);
        self.take(Kind::Directory, &mut report, &mut |_, payload| {
            heads.get_mut(..payload.len()).ok_or(Malformed)?.copy_from_slice(payload);
            keep(&mut stated, Ok(payload.len()))
        })
        .await;
        if let Some(length) = stated {
            self.take_directory(heads.get(..length).unwrap_or_default());
        }
        let firmware = self.firmware;
        let (mut config, mut faults, mut counters) = (None, None, None);
        let (mut access, mut statistics, mut balancing) = (None, None, None);
        let told = &mut report;
        self.take(Kind::Config, told, &mut |_, bytes| keep(&mut config, config_item::decode(bytes, &firmware))).await;
        self.take(Kind::Faults, told, &mut |_, bytes| keep(&mut faults, Faults::decode(bytes))).await;
        self.take(Kind::Counters, told, &mut |version, bytes| keep(&mut counters, Counters::decode(version, bytes)))
            .await;
        self.take(Kind::Access, told, &mut |_, bytes| keep(&mut access, AccessBytes::new(bytes))).await;
        self.take(Kind::Statistics, told, &mut |_, bytes| keep(&mut statistics, statistics_item::decode(bytes))).await;
        self.take(Kind::Balancing, told, &mut |_, bytes| keep(&mut balancing, balancing_item::decode(bytes))).await;
        // One that makes no sense is no alarm: the next charge tells anew.
        let balancing = balancing.filter(|_| report.of(Kind::Balancing) == Found::Good);
        // No sequence number is used twice, also not one that only the directory knows.
        self.sequence = self.heads.iter().copied().fold(self.sequence, u32::max);
        report.wreck = self.sequence == 0 && !self.is_new().await;
        self.wreck = report.wreck;
        let usable = |kind: Kind| report.of(kind) == Found::Good;
        let config = match config.filter(|_| usable(Kind::Config)) {
            Some(StoredConfig::Valid(config)) => Some(config),
            Some(StoredConfig::Invalid(violations)) => {
                report.config = Some(ConfigProblem::Invalid(violations));
                None
            }
            Some(StoredConfig::OtherPack(identity)) => {
                report.config = Some(ConfigProblem::OtherPack(identity));
                None
            }
            None => None,
        };
        self.load_log(&mut report).await;
        let known = counters.unwrap_or_default();
        self.next_event = self.next_event.max(known.next_event);
        let access = access.filter(|_| report.of(Kind::Access) == Found::Good);
        let stored = stored(&report, faults, counters, balancing);
        Loaded { config, stored, counters: known, access, statistics: statistics.unwrap_or_default(), report }
    }

    /// Whether nothing was ever saved: the flash is blank, but for the beginning of the very first record and a bit or two.
    async fn is_new(&mut self) -> bool {
        const ROTTEN_BITS: u32 = 2;
        let [first, second] = self.layout.banks();
        // A page mark and a record, at most.
        let begun = first.start.saturating_add(crate::layout::BUFFER as u32).saturating_add(96);
        for blank in [begun..first.end, second] {
            if self.flash.programmed(blank).await.is_ok_and(|bits| bits > ROTTEN_BITS) {
                return false;
            }
        }
        true
    }

    async fn load_log(&mut self, report: &mut Report) {
        let region = self.layout.log();
        let mut range: Option<(u32, u32)> = None;
        let mut entries = 0_u32;
        let assessed = log::assess(&mut self.flash, &region).await;
        let mut note = |entry: crate::item::entry::Entry| {
            entries = entries.saturating_add(1);
            range = Some(range.map_or((entry.number, entry.number), |(first, _)| (first, entry.number)));
        };
        let walked = log::for_each(&mut self.flash, &region, &mut self.buffers, &mut note).await;
        report.entries = entries;
        report.log_unreadable = assessed.is_err() || walked.is_err();
        if let Some((first, last)) = range {
            self.next_event = last.saturating_add(1);
            report.entries_lost = last.saturating_sub(first).saturating_add(1).saturating_sub(entries);
        }
    }
}

/// What the core is to take up.
fn stored(
    report: &Report,
    faults: Option<Faults>,
    counters: Option<Counters>,
    balancing: Option<LearnedBalance>,
) -> Stored {
    let nothing = faults.is_none() && counters.is_none();
    if nothing && report.is_corrupt() {
        return Stored::Corrupt;
    }
    // What balancing has learned may be the first record of all.
    if nothing && balancing.is_none() && !report.are_counters_corrupt() {
        return Stored::Nothing;
    }
    let faults = faults.unwrap_or_default();
    let counters = counters.unwrap_or_default();
    let mut alarms = faults.alarms;
    let mut remaining = counters.remaining;
    if report.is_corrupt() {
        alarms = alarms.with(Alarm::StorageCorrupt);
    }
    if report.are_counters_corrupt() {
        alarms = alarms.with(Alarm::CountersCorrupt);
        remaining = None;
    }
    let _: AlarmSet = alarms;
    Stored::Snapshot(Snapshot {
        balancing: balancing.unwrap_or_default(),
        alarms,
        retries: faults.retries,
        switches: faults.switches,
        sensors_seen: faults.sensors_seen,
        remaining,
        capacity: counters.capacity,
        cycle_capacity: counters.cycle_capacity,
        cycles: counters.cycles,
        run_time_seconds: counters.run_time_seconds,
        learned: counters.learned,
    })
}
