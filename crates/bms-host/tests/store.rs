//! What is stored survives everything that a flash does, and nothing waits for it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use bms_core::balancing::{LearnedBalance, Strategy};
use bms_core::bms::Request;
use bms_core::config::{BoardDefinition, ParameterId};
use bms_core::lifecycle::State;
use bms_core::prelude::*;
use bms_host::flash::campaign::{PACK, images, sequence, torn_and_flipped};
use bms_host::flash::{RamError, RamFlash};
use bms_host::plant::{Load, PackSpec};
use bms_host::rig::Rig;
use bms_store::wear::{Flash, RATES, Rates};
use bms_store::{
    Blocking, Counters, Faults, Found, Gate, Keeper, Kind, Layout, Loaded, Moment, SaveError, Stall, Statistics, Store,
    now, poll_once,
};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// T01 T10 T11 S02 D10 X13: old or new, never neither, never mixed; a short run of `bms-sim store-test`.
#[test]
fn nothing_is_lost_wherever_the_power_is_cut() {
    let mut figures = sequence::<4, 2048>(11, 40, 3);
    figures.add(sequence::<8, 2048>(12, 40, 2));
    figures.add(images(13, 100));
    println!("{figures:#?}");
    assert!(figures.cuts() > 3_000 && figures.images == 100 && figures.cuts_erasing > 0, "{figures:?}");
    assert_eq!(figures.lost, 0, "{figures:#?}");
}

/// T01 T10: a torn write or erase, and one rotten bit besides: still old or new, but for at most one entry of the log.
#[test]
fn a_torn_word_and_a_flipped_bit_together_lose_nothing() {
    let mut state = 0x5eed_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    for number in 0..400 {
        let script: Vec<u8> = (0..8 + number % 90).map(|_| byte()).collect();
        torn_and_flipped(&script).unwrap_or_else(|lost| panic!("script {number}: {lost}"));
    }
}

type Ram = RamFlash<4, 4096>;

fn open<'g>(flash: Ram, gate: &'g Gate, firmware: &ValidConfig) -> (Store<'g, Blocking<Ram>>, Loaded) {
    let flash = Blocking(flash);
    let layout = Layout::new(&flash, 0, 2, 3).unwrap();
    now(Store::open(flash, gate, layout, firmware)).unwrap()
}

/// S02 S01: settings of another pack are an alarm, not a guess; an explicit act ends it.
#[test]
fn another_pack_than_stored_stays_open_until_it_is_configured() {
    let gate = Gate::open();
    let (mut store, loaded) = open(Ram::new(7), &gate, &PACK);
    assert_eq!(loaded.stored, Stored::Nothing);
    now(store.save_config(&PACK)).unwrap().unwrap();
    let deep = AlarmSet::EMPTY.with(Alarm::DeepDischarge);
    now(store.save_faults(&Faults { alarms: deep, ..Faults::NONE })).unwrap().unwrap();
    let flash = store.into_flash().0;

    let eight = Config::lifepo4(8).with_model(Model::B2a24s15p).with_capacity(ah(280)).validate().unwrap();
    let lto = Config::lto(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validate().unwrap();
    for other in [eight, lto] {
        let (mut store, loaded) = open(flash.clone(), &gate, &other);
        assert!(loaded.report.is_corrupt() && loaded.config.is_none());
        let Stored::Snapshot(snapshot) = loaded.stored else { panic!("{:?}", loaded.stored) };
        assert!(snapshot.alarms.contains(Alarm::StorageCorrupt), "no alarm");
        assert!(snapshot.alarms.contains(Alarm::DeepDischarge), "the permanent fault is gone");
        let mut bms = Bms::new(other);
        bms.restore(loaded.stored, ResetCause::PowerOn);
        assert!(bms.status().alarms.contains(Alarm::StorageCorrupt));
        // The explicit act.
        bms.reconfigure(other).unwrap();
        assert!(!bms.status().alarms.contains(Alarm::StorageCorrupt));
        assert!(bms.status().alarms.contains(Alarm::DeepDischarge));
        now(store.save_config(&other)).unwrap().unwrap();
        now(store.save_faults(&Faults::of(&bms.snapshot()))).unwrap().unwrap();
        let (_, loaded) = open(store.into_flash().0, &gate, &other);
        assert!(!loaded.report.is_corrupt());
        assert_eq!(loaded.config, Some(other));
    }
}

/// A page that no longer changes costs the second copy, and nothing else.
#[test]
fn a_stuck_page_is_noticed_and_costs_one_copy() {
    let gate = Gate::open();
    for page in 0..4 {
        let mut flash = Ram::new(7);
        flash.stick(page);
        let (mut store, _) = open(flash, &gate, &PACK);
        let mut count = 0;
        for _ in 0..200 {
            count += 1;
            let counters = Counters { cycles: count, ..Counters::NONE };
            now(store.save_counters(&counters)).unwrap().unwrap();
        }
        let health = store.health();
        assert!(health.failing[page / 2] && !health.failing[1 - page / 2], "page {page}: {health:?}");
        let (_, loaded) = open(store.into_flash().0, &gate, &PACK);
        assert_eq!(loaded.counters.cycles, count, "page {page}");
    }
}

/// What a newer firmware wrote is neither used nor overwritten.
#[test]
fn newer_records_are_refused_and_kept() {
    use sequential_storage::cache::Cache;
    use sequential_storage::map::{MapConfig, MapStorage};
    let gate = Gate::open();
    let (mut store, _) = open(Ram::new(7), &gate, &PACK);
    now(store.save_config(&PACK)).unwrap().unwrap();
    let mut flash = Blocking(store.into_flash().0);
    // A record as the documentation of the format describes it, of version 99, in the first bank.
    let mut record = vec![Kind::Faults as u8, 99, 2, 0, 9, 0, 0, 0, 0xAB, 0xCD];
    let sum = record.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 })
    });
    record.extend((!sum).to_le_bytes());
    record.iter_mut().for_each(|byte| *byte ^= 0xA5);
    let mut map: MapStorage<u8, _, _> =
        MapStorage::new(&mut flash, MapConfig::try_new(0..8192).unwrap(), Cache::new_uncached());
    now(map.store_item(&mut [0; 512], &(Kind::Faults as u8), &record.as_slice())).unwrap().unwrap();

    let (mut store, loaded) = open(flash.0, &gate, &PACK);
    assert_eq!(loaded.report.of(Kind::Faults), Found::Newer);
    assert!(loaded.report.is_corrupt());
    now(store.start()).unwrap();
    assert_eq!(now(store.save_faults(&Faults::NONE)).unwrap(), Err(SaveError::Newer));
    let (_, again) = open(store.into_flash().0, &gate, &PACK);
    assert_eq!(again.report.of(Kind::Faults), Found::Newer, "it was overwritten");
    assert_eq!(again.report.copies[2], 2, "and it was copied");
}

/// The reckoning of the wear agrees with a month of saving on a flash that counts, and the pages wear evenly.
#[test]
fn wear_is_as_reckoned() {
    const DAYS: u32 = 12;
    let gate = Gate::open();
    let mut flash = Blocking(RamFlash::<4, 4096>::new(24));
    let layout = Layout::new(&flash, 0, 8, 8).unwrap();
    flash.0.start_journal();
    let (mut store, _) = now(Store::open(flash, &gate, layout, &PACK)).unwrap();
    let spread = |count: u32, step: u32, of: u32| step * count / of != (step + 1) * count / of;
    let steps = RATES.counters;
    for step in 0..DAYS * steps {
        let step = step % steps;
        if spread(RATES.config, step, steps) {
            now(store.save_config(&PACK)).unwrap().unwrap();
            now(store.settle()).unwrap().unwrap();
        }
        if spread(RATES.faults, step, steps) {
            now(store.save_faults(&Faults::NONE)).unwrap().unwrap();
            now(store.settle()).unwrap().unwrap();
        }
        if spread(RATES.access, step, steps) {
            now(store.save_access(&[7; 121])).unwrap().unwrap();
            now(store.settle()).unwrap().unwrap();
        }
        if spread(RATES.statistics, step, steps) {
            now(store.save_statistics(&Statistics::new())).unwrap().unwrap();
            now(store.settle()).unwrap().unwrap();
        }
        if spread(RATES.balancing, step, steps) {
            now(store.save_balancing(&LearnedBalance::NOTHING)).unwrap().unwrap();
            now(store.settle()).unwrap().unwrap();
        }
        now(store.save_counters(&Counters::NONE)).unwrap().unwrap();
        now(store.settle()).unwrap().unwrap();
        now(store.tidy());
    }
    let flash = store.into_flash().0;
    let banks = &flash.wear()[..16];
    let measured = f64::from(banks.iter().sum::<u32>()) / 16.0 / f64::from(DAYS) * 3_652.5;
    let model = Flash { page: 4096, word: 4, bank_pages: 8, log_pages: 8 };
    let reckoned = model.erases_of_a_bank_page(RATES, 10);
    println!("10 years, measured: {measured:.0} erases a page, reckoned: {reckoned}; {banks:?}");
    assert!(measured < reckoned as f64 && measured > reckoned as f64 * 0.8, "{measured} {reckoned}");
    assert!(banks.iter().max().unwrap() - banks.iter().min().unwrap() <= 1, "{banks:?}");
    assert_eq!(flash.rewrites, 0);
}

/// A flash that notes when it was touched, and how much at once.
struct Spy {
    flash: Ram,
    log: Rc<Touched>,
}

#[derive(Default)]
struct Touched {
    written: Cell<usize>,
    erased: Cell<usize>,
    erases: Cell<usize>,
}

impl ErrorType for Spy {
    type Error = RamError;
}
impl ReadNorFlash for Spy {
    const READ_SIZE: usize = 1;
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), RamError> {
        self.flash.read(offset, bytes)
    }
    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}
impl NorFlash for Spy {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), RamError> {
        self.log.erased.set(self.log.erased.get() + 1);
        self.log.erases.set(self.log.erases.get() + 1);
        self.flash.erase(from, to)
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RamError> {
        self.log.written.set(self.log.written.get() + bytes.len());
        self.flash.write(offset, bytes)
    }
}

/// D09: half of a bank stands erased ahead, so a pack whose switches stay closed goes on saving for as long as `wear` says without
/// an erase; then it waits, and says so. Nothing is lost if power goes then.
#[test]
fn a_bank_is_erased_ahead_and_written_for_long_without() {
    const PAGES: u32 = 10;
    let gate = Gate::open();
    let flash = Blocking(RamFlash::<4, 4096>::new(23));
    let layout = Layout::new(&flash, 0, PAGES, 3).unwrap();
    let (mut store, _) = now(Store::open(flash, &gate, layout.clone(), &PACK)).unwrap();
    now(store.save_config(&PACK)).unwrap().unwrap();
    now(store.save_faults(&Faults::NONE)).unwrap().unwrap();
    now(store.save_access(&[7; 121])).unwrap().unwrap();
    now(store.save_statistics(&Statistics::new())).unwrap().unwrap();
    now(store.save_balancing(&LearnedBalance::NOTHING)).unwrap().unwrap();
    // Around the ring, and somewhere into a page.
    let mut cycles = 0;
    for _ in 0..370 {
        cycles += 1;
        now(store.save_counters(&Counters { cycles, ..Counters::NONE })).unwrap().unwrap();
        now(store.settle()).unwrap().unwrap();
        now(store.tidy()).unwrap();
    }
    let blank = |flash: &RamFlash<4, 4096>| {
        let pages: Vec<&[u8]> = flash.bytes().chunks(4096).collect();
        let count = |bank: &[&[u8]]| bank.iter().filter(|page| page.iter().all(|byte| *byte == 0xFF)).count();
        [count(&pages[..PAGES as usize]), count(&pages[PAGES as usize..2 * PAGES as usize])]
    };
    let ahead = blank(&store.flash().0);
    assert!(ahead.iter().all(|count| *count >= PAGES as usize / 2), "{ahead:?}");
    assert!(store.flash().0.wear().iter().sum::<u32>() > 0, "never around the ring");

    gate.set_free(false);
    let saved = Cell::new(0);
    {
        let mut saving = pin!(async {
            loop {
                let cycles = cycles + saved.get() + 1;
                store.save_counters(&Counters { cycles, ..Counters::NONE }).await.unwrap();
                store.settle().await.unwrap();
                saved.set(saved.get() + 1);
            }
        });
        while !gate.wants_erase() {
            gate.offer(Moment::Write);
            let _ = poll_once(saving.as_mut());
        }
    }
    let model = Flash { page: 4096, word: 4, bank_pages: PAGES, log_pages: 3 };
    let only_counters = Rates { counters: 1, ..Rates::default() };
    let least = model.minutes_without_erasing(only_counters) / 1_440;
    println!("{} saves without an erase, at least {least} reckoned; blank pages ahead {ahead:?}", saved.get());
    assert!(u64::from(saved.get()) >= least && least > 100, "{} {least}", saved.get());
    gate.set_free(true);
    let (_, loaded) = now(Store::open(store.into_flash(), &gate, layout, &PACK)).unwrap();
    assert!(!loaded.report.is_corrupt() && loaded.config.is_some() && loaded.access.is_some());
    assert!(loaded.counters.cycles >= cycles + saved.get(), "{}", loaded.counters.cycles);
}

/// T11 P16: before a shutdown what is known is saved once, although it changes a little with every step; the core hears soon that
/// it may switch off.
#[test]
fn a_shutdown_saves_once_and_ends() {
    let mut spec = PackSpec::new(Chemistry::LiFePo4, 16);
    spec.capacity_ah = 280.0;
    let mut rig = Rig::new(PACK, &spec).unwrap();
    let touched = Rc::new(Touched::default());
    let flash = Blocking(Spy { flash: Ram::new(7), log: Rc::clone(&touched) });
    let layout = Layout::new(&flash, 0, 2, 3).unwrap();
    let keeper: Keeper = Keeper::new(Stall { write: ms(3), erase: ms(45) });
    let (mut store, loaded) = now(Store::open(flash, keeper.gate(), layout, &PACK)).unwrap();
    keeper.begin(&loaded, &PACK);
    let (mut told, mut off) = (None, None);
    let mut written = 0;
    {
        let mut saving = pin!(keeper.run(&mut store));
        for step in 0..1_000_u32 {
            if step == 200 {
                rig.request(Request::Shutdown).unwrap();
                written = touched.written.get();
            }
            rig.step();
            let events: Vec<Event> = rig.take_events().collect();
            for event in &events {
                keeper.event(event, rig.bms());
                if event.kind == EventKind::ShuttingDown {
                    told = Some(step);
                }
            }
            let at = rig.now();
            keeper.after_step(at, rig.bms_mut());
            let _ = poll_once(saving.as_mut());
            if rig.bms().status().state == State::Off {
                off = Some(step);
                break;
            }
        }
    }
    let (told, off) = (told.expect("no shutdown"), off.expect("it never ended"));
    let written = touched.written.get() - written;
    println!("off {} steps after the shutdown began, {written} bytes written", off - told);
    // Counters, statistics, faults, balancing, the event and the directory, twice each.
    assert!(off - told <= 10 && written <= 2_400, "{} steps, {written} bytes", off - told);
}

/// D09 D02: in a pack at work the flash is written a chunk at a time and erased only with the switches open; nothing that is
/// due waits for long, and the age of what is not saved is told.
#[test]
fn a_pack_at_work_never_waits_for_its_flash() {
    // No gate latch: an erase may only come with the switches open.
    let board = BoardDefinition { hardware_short_circuit: false, ..BoardDefinition::MANUAL };
    let pack = PACK.to_config().with_board(board).validate().unwrap();
    let mut spec = PackSpec::new(Chemistry::LiFePo4, 16);
    spec.capacity_ah = 280.0;
    spec.soc = 0.9;
    let mut rig = Rig::new(pack, &spec).unwrap();
    let touched = Rc::new(Touched::default());
    let flash = Blocking(Spy { flash: Ram::new(7), log: Rc::clone(&touched) });
    let layout = Layout::new(&flash, 0, 2, 3).unwrap();
    let keeper: Keeper = Keeper::new(Stall { write: ms(3), erase: ms(45) });
    let (mut store, loaded) = now(Store::open(flash, keeper.gate(), layout, &pack)).unwrap();
    now(store.start()).unwrap();
    keeper.begin(&loaded, &pack);
    let mut oldest = Duration::ZERO;
    let (mut erased_open, mut steps_closed) = (0, 0_u32);
    {
        let mut saving = pin!(keeper.run(&mut store));
        rig.plant_mut().set_load(Load::Current(40.0));
        for step in 0..150_000_u32 {
            if step % 10_000 == 1_500 {
                let trigger = 10_000 + 1_000 * (step as i32 / 10_000);
                rig.set_parameter(ParameterId::BalanceTrigger, trigger).unwrap();
            }
            if step % 15_000 == 13_000 {
                rig.request(Request::EmergencyStop).unwrap();
            }
            if step % 15_000 == 14_000 {
                rig.request(Request::ResetEmergencyStop).unwrap();
            }
            let command = rig.step();
            let events: Vec<Event> = rig.take_events().collect();
            for event in &events {
                keeper.event(event, rig.bms());
            }
            let at = rig.now();
            keeper.after_step(at, rig.bms_mut());
            touched.written.set(0);
            touched.erased.set(0);
            let _ = poll_once(saving.as_mut());
            let closed = command.charge.is_closed() || command.discharge.is_closed();
            steps_closed += u32::from(closed);
            // With everything open a stall harms nobody: as many chunks as fit before the deadline, at most sixteen.
            let most = if closed { Gate::CHUNK } else { 16 * Gate::CHUNK };
            assert!(touched.written.get() <= most, "{} bytes at once", touched.written.get());
            assert!(touched.erased.get() <= 1 && !(closed && touched.erased.get() > 0), "erased with a switch closed");
            erased_open += touched.erased.get();
            let unsaved = keeper.unsaved();
            let worst = [unsaved.config, unsaved.faults, unsaved.counters].into_iter().flatten().max();
            oldest = oldest.max(worst.unwrap_or(Duration::ZERO));
            assert_eq!(unsaved.events_lost, 0);
        }
    }
    println!("{steps_closed} steps closed, {erased_open} erases with open switches, oldest unsaved {oldest:?}");
    assert!(steps_closed > 100_000 && erased_open > 0, "{steps_closed} {erased_open}");
    assert!(oldest <= secs(60), "something waited for {oldest:?}");
    let flash = store.into_flash().0.flash;
    let gate = Gate::open();
    let (mut store, loaded) = open(flash, &gate, &pack);
    assert_eq!(loaded.config, Some(*rig.bms().config()));
    let Stored::Snapshot(snapshot) = loaded.stored else { panic!("{:?}", loaded.stored) };
    let difference = snapshot.remaining.unwrap().minus(rig.bms().snapshot().remaining.unwrap());
    assert!(difference.as_milliamp_hours().abs() <= 280_000 / 80, "{difference:?}");
    let mut numbers = Vec::new();
    now(store.for_each_entry(|entry| numbers.push(entry.number))).unwrap().unwrap();
    assert!(numbers.len() > 20 && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

/// B01 D04: what the balancing strategy has learned is there after the power went without warning, as uncertain as what may have
/// been delivered since makes it; after an ordered shutdown it is as certain as before. An unreadable one is relearned.
#[test]
fn quotas_survive_a_power_cut() {
    let surplus = |ahead: i16| {
        let mut learned = LearnedBalance { efficiency_permille: 900, doubt: 12, ..LearnedBalance::NOTHING };
        learned.surplus[..16].fill(0);
        (learned.surplus[3], learned.surplus[10]) = (ahead, -ahead);
        learned
    };
    let gate = Gate::open();
    let (mut store, _) = open(Ram::new(7), &gate, &PACK);
    now(store.save_faults(&Faults::NONE)).unwrap().unwrap();
    now(store.save_balancing(&surplus(900))).unwrap().unwrap();
    let (store, loaded) = open(store.into_flash().0, &gate, &PACK);
    let Stored::Snapshot(snapshot) = loaded.stored else { panic!("{:?}", loaded.stored) };
    assert_eq!(snapshot.balancing, surplus(900));

    let keeper: Keeper = Keeper::new(Stall { write: ms(3), erase: ms(45) });
    let layout = Layout::new(store.flash(), 0, 2, 3).unwrap();
    let (mut store, loaded) = now(Store::open(store.into_flash(), keeper.gate(), layout, &PACK)).unwrap();
    let mut spec = PackSpec::new(Chemistry::LiFePo4, 16);
    spec.capacity_ah = 280.0;
    let mut rig = Rig::new(PACK, &spec).unwrap();
    rig.bms_mut().restore(loaded.stored, ResetCause::PowerOn);
    keeper.begin(&loaded, &PACK);
    let stored = |flash: Ram| {
        let gate = Gate::open();
        let (_, loaded) = open(flash, &gate, &PACK);
        let Stored::Snapshot(snapshot) = loaded.stored else { panic!("{:?}", loaded.stored) };
        snapshot.balancing
    };
    {
        let mut saving = pin!(keeper.run(&mut store));
        // Three hours at 1.5 A, half of the time taking: 0.8 % of 280 Ah.
        for _ in 0..108_000 {
            rig.step();
            let at = rig.now();
            keeper.after_step(at, rig.bms_mut());
            let _ = poll_once(saving.as_mut());
        }
    }
    let learned = rig.bms().strategy().learned();
    assert!(learned.surplus[3] < 900 - 60, "nothing was delivered: {learned:?}");
    let kept = stored(store.into_flash().0);
    assert_eq!(kept.doubt, learned.doubt + LearnedBalance::LAG);
    assert!(kept.surplus.iter().zip(&learned.surplus).all(|(a, b)| a.abs_diff(*b) <= LearnedBalance::LAG), "{kept:?}");
    let mut again = Bms::new(PACK);
    let power_cut = Snapshot { balancing: kept, ..Snapshot::default() };
    again.restore(Stored::Snapshot(power_cut), ResetCause::BrownOut);
    let restored = again.strategy().learned();
    assert_eq!((restored.surplus, restored.efficiency_permille), (kept.surplus, kept.efficiency_permille));
    assert!(restored.doubt >= kept.doubt && restored.doubt <= kept.doubt + 1, "{restored:?}");
}

/// L01 T05: a gap counts by the board's clock if it has one that can be right, and as one of unknown length otherwise; the rest
/// voltage then corrects what is stored, as far as its confidence allows.
#[test]
fn a_gap_counts_by_the_clock_if_that_can_be_right() {
    const SAVED: u64 = 1_800_000_000;
    const YEAR: u64 = 365 * 86_400;
    let gate = Gate::open();
    let mut spec = PackSpec::new(Chemistry::LiFePo4, 16);
    spec.capacity_ah = 280.0;
    spec.soc = 0.6;
    let mut rig = Rig::new(PACK, &spec).unwrap();
    (0..100).for_each(|_| {
        let _ = rig.step();
    });
    let mut snapshot = rig.bms().snapshot();
    snapshot.remaining = Some(ah(168));
    let image = |saved_at| {
        let (mut store, _) = open(Ram::new(7), &gate, &PACK);
        let counters = Counters { saved_at, ..Counters::of(&snapshot) };
        now(store.save_counters(&counters)).unwrap().unwrap();
        store.into_flash().0
    };
    // What is left after a start: (saved at, the clock now) → off time.
    for (saved_at, clock, expected) in [
        (Some(SAVED), Some(SAVED + YEAR), Some(31_536_000)),
        (Some(SAVED), Some(SAVED), Some(0)),
        (Some(SAVED), Some(SAVED - 1), None),
        (Some(SAVED), Some(SAVED + 30 * YEAR), None),
        (Some(SAVED), None, None),
        (None, Some(SAVED), None),
    ] {
        let (_, loaded) = open(image(saved_at), &gate, &PACK);
        let off = loaded.off_seconds(clock);
        assert_eq!(off, expected, "saved {saved_at:?}, now {clock:?}");
        let mut bms = Bms::new(PACK);
        bms.restore(loaded.stored, ResetCause::PowerOn);
        let before = bms.snapshot().remaining.unwrap();
        bms.was_off(off);
        let after = bms.snapshot().remaining.unwrap();
        match off {
            Some(seconds) if seconds > 0 => {
                let lost = before.minus(after).as_milliamp_hours();
                assert!((2_000..100_000).contains(&lost), "a year's self-discharge: {lost} mAh");
            }
            _ => assert_eq!(before, after),
        }
    }
}

/// D34: failed attempts are saved before they are answered; the wait grows over any number of power cuts, and the right password
/// ends it.
#[test]
fn cutting_the_power_after_a_wrong_password_gives_no_further_guess() {
    use bms_core::access::{Access, AccessRecord, LoginRefused, Session, wait_after};
    use bms_core::event::PasswordKind;
    let gate = Gate::open();
    let mut flash = Ram::new(7);
    let mut waits = Vec::new();
    for start in 0..12_u8 {
        let (mut store, loaded) = open(flash, &gate, &PACK);
        now(store.start()).unwrap();
        let restored = loaded.access.map(|bytes| {
            AccessRecord::from_bytes(bytes.as_bytes().try_into().unwrap()).expect("a record of this version")
        });
        let now_is = Instant::from_millis(1_000);
        let mut access = restored.map_or_else(|| Access::factory([7; 16]), |record| Access::restored(record, now_is));
        assert_eq!(access.record().failures(PasswordKind::Settings), start.min(12));
        let mut session = Session::new();
        // At once after the start: the wait that the failures before have earned begins anew.
        let again = access.log_in(&mut session, now_is, PasswordKind::Settings, b"000000");
        match again {
            Err(LoginRefused::Blocked(wait)) => {
                assert_eq!(wait, wait_after(start));
                waits.push(wait);
            }
            other => assert!(start == 0 && other == Err(LoginRefused::Wrong), "start {start}: {other:?}"),
        }
        if start > 0 {
            let later = now_is.after(wait_after(start));
            assert_eq!(access.log_in(&mut session, later, PasswordKind::Settings, b"000000"), Err(LoginRefused::Wrong));
        }
        let record = access.record_to_store().expect("a failure is to be stored");
        now(store.save_access(&record.to_bytes())).unwrap().unwrap();
        // Power goes.
        flash = store.into_flash().0;
    }
    assert!(waits.is_sorted() && waits.first() == Some(&secs(1)) && waits.last() == Some(&secs(3_600)), "{waits:?}");
}

/// X18: what memory that a reset leaves alone still had is newer than the flash; what only the flash knows stays, and a corrupt
/// flash is not healed by it.
#[test]
fn a_reset_takes_what_is_newer_and_heals_nothing() {
    let gate = Gate::open();
    let (mut store, _) = open(Ram::new(7), &gate, &PACK);
    let learned = bms_core::estimation::Learned { soc_sigma_millionths: 12_345, ..Default::default() };
    let counters = Counters { run_time_seconds: 1_000, remaining: Some(ah(100)), learned, ..Counters::NONE };
    now(store.save_counters(&counters)).unwrap().unwrap();
    let (_, mut loaded) = open(store.into_flash().0, &gate, &PACK);
    let newer = bms_core::snapshot::Snapshot {
        run_time_seconds: 1_060,
        remaining: Some(ah(99)),
        alarms: AlarmSet::EMPTY.with(Alarm::DeepDischarge),
        ..Default::default()
    };
    let stored = loaded.stored;
    loaded.renew(Stored::Corrupt);
    assert_eq!(loaded.stored, stored, "RAM that lost its content takes nothing away");
    loaded.renew(Stored::Snapshot(newer));
    let Stored::Snapshot(both) = loaded.stored else { panic!("{:?}", loaded.stored) };
    assert_eq!((both.run_time_seconds, both.remaining, both.learned), (1_060, Some(ah(99)), learned));
    assert!(both.alarms.contains(Alarm::DeepDischarge));
    for (corrupt, alarm) in
        [(Stored::Corrupt, Alarm::StorageCorrupt), (Stored::CountersCorrupt, Alarm::CountersCorrupt)]
    {
        let mut loaded = Loaded { stored: corrupt, ..loaded.clone() };
        loaded.renew(Stored::Snapshot(newer));
        let Stored::Snapshot(both) = loaded.stored else { panic!("{:?}", loaded.stored) };
        assert!(both.alarms.contains(alarm) && both.alarms.contains(Alarm::DeepDischarge));
    }
}
