//! What the campaign does to a store, and what the store should hold after it.

use bms_core::balancing::LearnedBalance;
use bms_core::config::ParameterId;
use bms_core::event::{Event, EventKind};
use bms_core::protection::{Alarm, AlarmSet, Retries};
use bms_core::snapshot::{Stored, UserSwitches};
use bms_core::time::Instant;
use bms_core::units::Charge;
use bms_store::{Blocking, Counters, Entry, Faults, Gate, Layout, Loaded, Statistics, Store, now};

use super::PACK;
use crate::flash::ram::{Noise, RamFlash};

/// What the store should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) config: Option<i32>,
    pub(super) faults: Option<(u64, u8)>,
    pub(super) counters: Option<i64>,
    pub(super) access: Option<u8>,
    pub(super) statistics: Option<u32>,
    pub(super) balancing: Option<i16>,
    pub(super) next_event: u32,
}

impl Contents {
    pub(super) fn of(loaded: &Loaded) -> Self {
        let faults = match loaded.stored {
            Stored::Snapshot(snapshot) => Some((snapshot.alarms.bits(), snapshot.retries.counts()[0])),
            _ => None,
        };
        let balancing = match loaded.stored {
            Stored::Snapshot(snapshot) => snapshot.balancing.surplus.first().copied(),
            _ => None,
        };
        let counters = loaded.counters.cycle_capacity.as_milliamp_millis();
        let saved = |kind| loaded.report.of(kind) == bms_store::Found::Good;
        Self {
            config: loaded.config.map(|config| config.get(ParameterId::BalanceTrigger)),
            faults: faults.filter(|_| saved(bms_store::Kind::Faults)),
            counters: saved(bms_store::Kind::Counters).then_some(counters),
            access: loaded.access.and_then(|access| access.as_bytes().first().copied()),
            statistics: saved(bms_store::Kind::Statistics)
                .then(|| loaded.statistics.trips_of(Alarm::CellUndervoltage).into()),
            balancing: balancing.filter(|_| saved(bms_store::Kind::Balancing)),
            next_event: 0,
        }
    }
}

const PERMANENT: [Alarm; 4] =
    [Alarm::DeepDischarge, Alarm::Abuse, Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck];

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Config(i32),
    Faults(u64, u8),
    Counters(i64),
    Access(u8),
    Statistics(u16),
    Balancing(i16),
    Log(bool),
    Settle,
    Tidy,
    Restart,
}

impl Operation {
    pub(super) fn random(noise: &mut Noise, model: &Contents) -> Self {
        let (bits, trips) = model.faults.unwrap_or_default();
        match noise.below(100) {
            0..4 => Self::Config(10_000 + 1_000 * noise.below(500) as i32),
            4..14 => {
                // Permanent faults only ever come; other alarms come and go.
                let kept = AlarmSet::from_bits(bits).common(AlarmSet::of(&PERMANENT));
                let mut alarms = AlarmSet::from_bits(noise.next()).common(AlarmSet::from_bits(0x3F)).and(kept);
                if noise.below(4) == 0
                    && let Some(fault) = PERMANENT.get(noise.below(PERMANENT.len()))
                {
                    alarms = alarms.with(*fault);
                }
                Self::Faults(alarms.bits(), trips.wrapping_add(1))
            }
            14..46 => Self::Counters(model.counters.unwrap_or(0) + 1 + noise.below(1 << 20) as i64),
            46..50 => Self::Balancing(noise.below(8_000) as i16 - 4_000),
            50..54 => Self::Access(noise.next().to_le_bytes()[0]),
            54..60 => Self::Statistics(u16::try_from(model.statistics.unwrap_or(0) + 1).unwrap_or(u16::MAX)),
            60..80 => Self::Log(noise.below(3) == 0),
            80..92 => Self::Settle,
            92..97 => Self::Tidy,
            _ => Self::Restart,
        }
    }
    pub(super) const fn apply(self, mut model: Contents) -> Contents {
        match self {
            Self::Config(value) => model.config = Some(value),
            Self::Faults(bits, trips) => model.faults = Some((bits, trips)),
            Self::Counters(value) => model.counters = Some(value),
            Self::Access(value) => model.access = Some(value),
            Self::Statistics(value) => model.statistics = Some(value as u32),
            Self::Balancing(value) => model.balancing = Some(value),
            Self::Log(_) => model.next_event += 1,
            Self::Settle | Self::Tidy | Self::Restart => {}
        }
        model
    }
}

pub(super) type Ram<const WORD: usize, const PAGE: usize> = Blocking<RamFlash<WORD, PAGE>>;

/// Pages of the log.
pub(super) const LOG: u32 = 3;

pub(super) fn open<'g, const WORD: usize, const PAGE: usize>(
    flash: RamFlash<WORD, PAGE>,
    gate: &'g Gate,
    bank: u32,
) -> Option<(Store<'g, Ram<WORD, PAGE>>, Loaded)> {
    let flash = Blocking(flash);
    let layout = Layout::new(&flash, 0, bank, LOG).ok()?;
    now(Store::open(flash, gate, layout, &PACK))
}

pub(super) fn perform<'g, const WORD: usize, const PAGE: usize>(
    mut store: Store<'g, Ram<WORD, PAGE>>,
    gate: &'g Gate,
    bank: u32,
    operation: Operation,
) -> Option<(Store<'g, Ram<WORD, PAGE>>, Result<(), String>)> {
    let text = |result: Result<(), bms_store::SaveError<_>>| result.map_err(|error| format!("{error:?}"));
    let result = match operation {
        Operation::Config(value) => {
            let config = PACK.to_config().with(ParameterId::BalanceTrigger, value).validate().ok()?;
            text(now(store.save_config(&config))?)
        }
        Operation::Faults(bits, trips) => {
            let retries = Retries::restored([trips; 4], [7; 2]);
            let alarms = AlarmSet::from_bits(bits);
            let faults = Faults { alarms, retries, switches: UserSwitches::default(), sensors_seen: bits as u8 & 31 };
            text(now(store.save_faults(&faults))?)
        }
        Operation::Counters(value) => {
            let amount = Charge::from_milliamp_millis(value);
            let counters = Counters { remaining: Some(amount), cycle_capacity: amount, ..Counters::default() };
            text(now(store.save_counters(&counters))?)
        }
        Operation::Access(value) => text(now(store.save_access(&[value; 121]))?),
        Operation::Statistics(value) => {
            let mut statistics = Statistics::new();
            if let Some(count) = statistics.trips.get_mut(usize::from(Alarm::CellUndervoltage as u8)) {
                *count = value;
            }
            text(now(store.save_statistics(&statistics))?)
        }
        Operation::Balancing(value) => {
            let learned = LearnedBalance { surplus: [value; 32], ..LearnedBalance::NOTHING };
            text(now(store.save_balancing(&learned))?)
        }
        Operation::Log(framed) => text(now(store.log(&entry(store.next_event(), framed)))?.map(|_| ())),
        Operation::Settle => text(now(store.settle())?),
        Operation::Tidy => {
            now(store.tidy())?;
            Ok(())
        }
        Operation::Restart => {
            let (mut again, _) = open(store.into_flash().0, gate, bank)?;
            now(again.start())?;
            store = again;
            Ok(())
        }
    };
    Some((store, result))
}

/// The entry that belongs to a number.
pub(super) fn entry(number: u32, framed: bool) -> Entry {
    let kind = EventKind::Raised { alarm: Alarm::CellUndervoltage, index: Some(3), value: number as i32 };
    let event = Event { at: Instant::from_millis(u64::from(number) * 7), kind };
    let frame = framed.then(|| bms_store::Frozen::of(&bms_core::Bms::new(PACK).status()));
    Entry { number, start: 1, run_time_seconds: number.into(), calendar: None, event: Ok(event), frame }
}
