//! [`Store`]: both banks and the log together.

use core::ops::Range;

use bms_core::balancing::LearnedBalance;
use bms_core::config::ValidConfig;
use bms_core::protection::{Alarm, AlarmSet};
use embedded_storage_async::nor_flash::NorFlash;

use crate::bank::{self, Buffers, RegionError};
use crate::codec::{Reader, Writer, seal};
use crate::gate::Gate;
use crate::item::balancing as balancing_item;
use crate::item::config as config_item;
use crate::item::counters::Counters;
use crate::item::entry::Entry;
use crate::item::faults::Faults;
use crate::item::statistics as statistics_item;
use crate::layout::{Kind, Layout};
use crate::load::Loaded;
use crate::log;
use crate::paced::{FlashError, Paced};
use crate::statistics::Statistics;

/// Longest access record, in bytes.
pub const ACCESS_LENGTH: usize = 160;

/// Why nothing was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SaveError<E> {
    /// Neither bank took it, or the log did not; the last error.
    Region(RegionError<E>),
    /// What is stored was written by a newer firmware; it is kept. [`Store::reset`] is the explicit act that ends this.
    Newer,
    /// It does not fit into a record.
    TooLong,
}

/// How a region does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Health {
    /// Failed writes since the start: first bank, second bank, log.
    pub failures: [u16; 3],
    /// The last write failed: first bank, second bank, log. With one bank failing, everything is kept once instead of
    /// twice.
    pub failing: [bool; 3],
}

/// The store on a flash. It is made by [`Store::open`], which only reads; [`Store::start`] lets it write.
///
/// Every future waits at the [`Gate`]; dropping one is like a power cut: the old value stays, or the new one is there.
#[derive(Debug)]
pub struct Store<'g, F> {
    pub(crate) flash: Paced<'g, F>,
    pub(crate) layout: Layout,
    pub(crate) firmware: ValidConfig,
    pub(crate) buffers: Buffers,
    /// The newest sequence number of every kind that must be there.
    pub(crate) heads: [u32; Kind::COUNT],
    /// The highest sequence number ever used.
    pub(crate) sequence: u32,
    pub(crate) next_event: u32,
    /// Kinds that a newer firmware wrote, one bit each.
    pub(crate) newer: u8,
    /// Nothing readable is there, but the flash is not blank: the first thing saved must say so.
    pub(crate) wreck: bool,
    /// The directory does not tell of the last save yet.
    unsettled: bool,
    /// A bank's last operation succeeded, so that what is deferred in it may be erased.
    settled: [bool; 2],
    /// A bank has its blank pages ahead, or cannot have them before something is saved.
    prepared: [bool; 2],
    health: Health,
}

impl<'g, F: NorFlash> Store<'g, F> {
    pub(crate) const fn new(flash: F, gate: &'g Gate, layout: Layout, firmware: &ValidConfig) -> Self {
        Self {
            flash: Paced::new(flash, gate, layout.start()),
            layout,
            firmware: *firmware,
            buffers: Buffers::new(),
            heads: [0; Kind::COUNT],
            sequence: 0,
            next_event: 0,
            newer: 0,
            wreck: false,
            unsettled: false,
            settled: [false; 2],
            prepared: [false; 2],
            health: Health { failures: [0; 3], failing: [false; 3] },
        }
    }
    /// Opens the store and reads everything in it, without writing. `firmware` is the built-in configuration: settings that
    /// were made for another pack are not taken.
    ///
    /// It never fails: what cannot be read is told in [`Loaded`], and what follows from it in
    /// [`Loaded::stored`], which is for [`Bms::restore`](bms_core::Bms::restore).
    pub async fn open(flash: F, gate: &'g Gate, layout: Layout, firmware: &ValidConfig) -> (Self, Loaded) {
        let mut store = Self::new(flash, gate, layout, firmware);
        let loaded = store.load().await;
        (store, loaded)
    }
    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash.into_flash()
    }
    /// The flash, to look at.
    #[must_use]
    pub const fn flash(&self) -> &F {
        self.flash.flash()
    }
    /// The gate.
    #[must_use]
    pub const fn gate(&self) -> &'g Gate {
        self.flash.gate()
    }
    /// How banks and log do.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }
    /// Pages erased since the start.
    #[must_use]
    pub const fn erases(&self) -> u32 {
        self.flash.erases
    }
    /// Pages that wait for being erased.
    #[must_use]
    pub const fn pages_to_erase(&self) -> u32 {
        self.flash.pages_to_erase()
    }
    /// The number that the next event gets.
    #[must_use]
    pub const fn next_event(&self) -> u32 {
        self.next_event
    }

    fn bank(&self, bank: usize) -> Range<u32> {
        let [first, second] = &self.layout.banks;
        if bank == 0 { first.clone() } else { second.clone() }
    }

    /// Lets the store write: finishes what a power cut left unfinished, copies what only one bank has into the other, and
    /// erases ahead. Best before the first step, with the gate free: everything is open then and nobody waits.
    ///
    /// On a blank flash, and on one with nothing readable in it, nothing is done yet.
    pub async fn start(&mut self) {
        self.flash.read_only = false;
        if self.sequence == 0 || self.wreck {
            return;
        }
        for bank in 0..2 {
            let mut mended = self.mend(bank).await;
            if mended.is_err() {
                mended = self.rebuild(bank).await;
            }
            self.note(bank, mended.is_ok());
        }
        // Also shows, at the next start, that the pages in use are in use.
        let _ = self.write_directory().await;
        // What is behind the next page has time.
        while self.erase_one().await {}
    }
    /// Copies into a bank what the other one has newer.
    async fn mend(&mut self, bank: usize) -> Result<(), RegionError<F::Error>> {
        let (here, there) = (self.bank(bank), self.bank(1_usize.saturating_sub(bank)));
        for kind in Kind::ALL {
            let own = self.sequence_in(&here, kind).await;
            let other = self.sequence_in(&there, kind).await;
            if other <= own {
                continue;
            }
            let Some(length) = bank::fetch(&mut self.flash, &there, kind, &mut self.buffers).await? else { continue };
            bank::store(&mut self.flash, &here, kind, length, &mut self.buffers).await?;
        }
        Ok(())
    }
    async fn sequence_in(&mut self, region: &Range<u32>, kind: Kind) -> Option<u32> {
        let length = bank::fetch(&mut self.flash, region, kind, &mut self.buffers).await.ok()??;
        self.buffers.open(kind, length).map(|record| record.sequence)
    }
    /// Gives up a bank that makes no sense any more, and fills it from the other one.
    async fn rebuild(&mut self, bank: usize) -> Result<(), RegionError<F::Error>> {
        let (here, there) = (self.bank(bank), self.bank(1_usize.saturating_sub(bank)));
        for kind in Kind::ALL {
            let best = self.sequence_in(&here, kind).await;
            if best > self.sequence_in(&there, kind).await {
                // The other one is no better.
                return Err(RegionError::Unreadable);
            }
        }
        self.clear(&here).await?;
        self.mend(bank).await
    }
    async fn clear(&mut self, region: &Range<u32>) -> Result<(), FlashError<F::Error>> {
        for page in Paced::<F>::pages(region) {
            self.flash.set_spare(page, false);
            self.flash.defer(page);
            self.flash.erase_now(page).await?;
        }
        Ok(())
    }
    fn note(&mut self, region: usize, good: bool) {
        if let Some(failing) = self.health.failing.get_mut(region) {
            *failing = !good;
        }
        if !good && let Some(failures) = self.health.failures.get_mut(region) {
            *failures = failures.saturating_add(1);
        }
        if let Some(settled) = self.settled.get_mut(region) {
            *settled = good;
        }
        if let Some(prepared) = self.prepared.get_mut(region) {
            *prepared = false;
        }
    }

    /// Appends a record to both banks; it is saved when one has it. (`dyn`: one copy of the code for all kinds.)
    async fn save(&mut self, kind: Kind, payload: &dyn Fn(&mut Writer<'_>)) -> Result<(), SaveError<F::Error>> {
        self.flash.read_only = false;
        if self.newer & bit(kind) != 0 {
            return Err(SaveError::Newer);
        }
        self.sequence = self.sequence.saturating_add(1);
        let mut result = Err(SaveError::TooLong);
        for bank in 0..2 {
            let region = self.bank(bank);
            let mut written = self.write(&region, kind, payload).await?;
            if self.wreck && written.is_err() {
                // Nothing in it could be read anyway.
                written = self.clear(&region).await.map_err(RegionError::Flash);
                if written.is_ok() {
                    written = self.write(&region, kind, payload).await?;
                }
            }
            self.note(bank, written.is_ok());
            match written {
                Ok(()) => result = Ok(()),
                Err(error) => result = result.or(Err(SaveError::Region(error))),
            }
        }
        result?;
        if let Some(head) = self.heads.get_mut(kind.index()) {
            *head = self.sequence;
        }
        self.unsettled = true;
        Ok(())
    }
    async fn write(
        &mut self,
        region: &Range<u32>,
        kind: Kind,
        payload: &dyn Fn(&mut Writer<'_>),
    ) -> Result<Result<(), RegionError<F::Error>>, SaveError<F::Error>> {
        let label = (kind as u8, kind.version());
        let length = seal(&mut self.buffers.record, label, self.sequence, payload).map_err(|_| SaveError::TooLong)?;
        Ok(bank::store(&mut self.flash, region, kind, length, &mut self.buffers).await)
    }
    /// What is not readable must not be forgotten by saving something else first.
    async fn own_up(&mut self) -> Result<(), SaveError<F::Error>> {
        if !self.wreck {
            return Ok(());
        }
        let faults = Faults { alarms: AlarmSet::EMPTY.with(Alarm::StorageCorrupt), ..Faults::default() };
        self.save(Kind::Faults, &|out| faults.encode(out)).await?;
        self.wreck = false;
        Ok(())
    }

    /// Saves the configuration.
    ///
    /// # Errors
    /// If no bank took it.
    pub async fn save_config(&mut self, config: &ValidConfig) -> Result<(), SaveError<F::Error>> {
        self.own_up().await?;
        let firmware = self.firmware;
        self.save(Kind::Config, &|out| config_item::encode(config, &firmware, out)).await
    }
    /// Saves alarms, permanent faults, trip counts and user switches.
    ///
    /// # Errors
    /// If no bank took it.
    pub async fn save_faults(&mut self, faults: &Faults) -> Result<(), SaveError<F::Error>> {
        self.own_up().await?;
        self.save(Kind::Faults, &|out| faults.encode(out)).await
    }
    /// Saves state of charge, capacity, cycles, run time; the number of the next event is filled in.
    ///
    /// # Errors
    /// If no bank took it.
    pub async fn save_counters(&mut self, counters: &Counters) -> Result<(), SaveError<F::Error>> {
        self.own_up().await?;
        let counters = Counters { next_event: self.next_event, ..*counters };
        self.save(Kind::Counters, &|out| counters.encode(out)).await
    }
    /// Saves the access control's record, at most [`ACCESS_LENGTH`] bytes.
    ///
    /// # Errors
    /// If it is too long, or no bank took it.
    pub async fn save_access(&mut self, record: &[u8]) -> Result<(), SaveError<F::Error>> {
        if record.len() > ACCESS_LENGTH {
            return Err(SaveError::TooLong);
        }
        self.own_up().await?;
        self.save(Kind::Access, &|out| out.bytes(record)).await
    }
    /// Saves the lifetime statistics.
    ///
    /// # Errors
    /// If no bank took it.
    pub async fn save_statistics(&mut self, statistics: &Statistics) -> Result<(), SaveError<F::Error>> {
        self.own_up().await?;
        self.save(Kind::Statistics, &|out| statistics_item::encode(statistics, out)).await
    }
    /// Saves what the balancing strategy has learned.
    ///
    /// # Errors
    /// If no bank took it.
    pub async fn save_balancing(&mut self, learned: &LearnedBalance) -> Result<(), SaveError<F::Error>> {
        self.own_up().await?;
        self.save(Kind::Balancing, &|out| balancing_item::encode(learned, out)).await
    }
    /// Appends an entry to the log; its number is filled in and given back.
    ///
    /// # Errors
    /// If the log did not take it.
    pub async fn log(&mut self, entry: &Entry) -> Result<u32, SaveError<F::Error>> {
        self.flash.read_only = false;
        let number = self.next_event;
        let entry = Entry { number, ..*entry };
        let region = self.layout.log.clone();
        let mut pushed = log::push(&mut self.flash, &region, &mut self.buffers, &entry).await;
        if matches!(pushed, Err(RegionError::Unreadable | RegionError::Full)) {
            // What cannot be continued is begun anew; the numbers go on.
            pushed = self.clear(&region).await.map_err(RegionError::Flash);
            if pushed.is_ok() {
                pushed = log::push(&mut self.flash, &region, &mut self.buffers, &entry).await;
            }
        }
        self.note(2, pushed.is_ok());
        pushed.map_err(SaveError::Region)?;
        self.next_event = self.next_event.saturating_add(1);
        Ok(number)
    }
    /// Writes down which records there must be, after one or several saves: then even the loss of both copies of the last
    /// one would be noticed.
    ///
    /// # Errors
    /// If no bank took it.
    pub async fn settle(&mut self) -> Result<(), SaveError<F::Error>> {
        if self.unsettled { self.write_directory().await } else { Ok(()) }
    }
    async fn write_directory(&mut self) -> Result<(), SaveError<F::Error>> {
        let heads = self.heads;
        // Not of balancing: an older one does little harm, and the directory is written more often than anything else.
        let listed = heads.get(1..Kind::Balancing.index()).unwrap_or_default();
        self.save(Kind::Directory, &|out| listed.iter().for_each(|head| out.u32(*head))).await?;
        self.unsettled = false;
        Ok(())
    }
    /// Erases what waits for it, and half of each bank ahead of its use, as the gate allows. Nothing is lost if it is cut short.
    pub async fn tidy(&mut self) {
        while self.tidy_one().await {}
    }
    /// Erases one page, or does one step towards giving up another; `false` if there was nothing to do or it failed.
    async fn tidy_one(&mut self) -> bool {
        if self.erase_one().await {
            return true;
        }
        for bank in 0..2 {
            let ready = self.prepared.get(bank).is_none_or(|prepared| *prepared);
            if ready || self.settled.get(bank).is_none_or(|settled| !settled) {
                continue;
            }
            let done = self.give_up_one(bank).await;
            if matches!(done, Ok(true)) {
                return true;
            }
            if done.is_err() {
                self.note(bank, false);
            }
            if let Some(prepared) = self.prepared.get_mut(bank) {
                *prepared = true;
            }
        }
        false
    }
    /// Brings a bank nearer to doing without its oldest page: copies one record that it would lack, or gives the page up.
    /// What is unreadable in that page is taken from the other bank. `false`: enough pages are blank, or it cannot be done now.
    async fn give_up_one(&mut self, bank: usize) -> Result<bool, RegionError<F::Error>> {
        let (here, there) = (self.bank(bank), self.bank(1_usize.saturating_sub(bank)));
        let Some(oldest) = bank::to_give_up(&mut self.flash, &here).await? else { return Ok(false) };
        for kind in Kind::ALL {
            self.flash.set_spare(oldest, true);
            let without = self.sequence_in(&here, kind).await;
            self.flash.set_spare(oldest, false);
            let (own, other) = (self.sequence_in(&here, kind).await, self.sequence_in(&there, kind).await);
            if own.max(other) <= without {
                continue;
            }
            let from = if own >= other { &here } else { &there };
            let fetched = bank::fetch(&mut self.flash, from, kind, &mut self.buffers).await?;
            let length = fetched.ok_or(RegionError::Unreadable)?;
            bank::store(&mut self.flash, &here, kind, length, &mut self.buffers).await?;
            return Ok(true);
        }
        self.flash.set_spare(oldest, true);
        self.flash.defer(oldest);
        Ok(true)
    }
    /// Erases one page; `false` if none was left or it failed.
    async fn erase_one(&mut self) -> bool {
        for region in 0..3 {
            let pages = if region < 2 { self.bank(region) } else { self.layout.log.clone() };
            if region < 2 && self.settled.get(region).is_none_or(|settled| !settled) {
                // In a bank something new must stand in the page in use first.
                continue;
            }
            for page in Paced::<F>::pages(&pages) {
                if self.flash.is_deferred(page) {
                    let erased = self.flash.erase_now(page).await.is_ok();
                    if !erased {
                        self.note(region, false);
                    }
                    return erased;
                }
            }
        }
        false
    }
    /// Erases what waits for it, if that is allowed right now.
    pub(crate) async fn tidy_if_allowed(&mut self) {
        if !self.flash.read_only && self.flash.gate().may_erase() {
            self.tidy_one().await;
        }
    }
    /// Whether something was saved that the directory does not tell of yet.
    pub(crate) const fn is_unsettled(&self) -> bool {
        self.unsettled
    }
    /// Goes through the log, oldest entry first; tells how many records in it make no sense.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn for_each_entry(&mut self, mut each: impl FnMut(Entry)) -> Result<u32, RegionError<F::Error>> {
        let region = self.layout.log.clone();
        log::for_each(&mut self.flash, &region, &mut self.buffers, &mut each).await
    }
    /// The explicit act: everything is given up, as on a new board. **Permanent faults are forgotten too**; whoever calls
    /// this has authority to.
    ///
    /// # Errors
    /// If a page cannot be erased.
    pub async fn reset(&mut self) -> Result<(), SaveError<F::Error>> {
        self.flash.read_only = false;
        for region in [self.bank(1), self.bank(0), self.layout.log.clone()] {
            self.clear(&region).await.map_err(|error| SaveError::Region(RegionError::Flash(error)))?;
        }
        (self.heads, self.sequence, self.newer, self.wreck, self.unsettled) = ([0; Kind::COUNT], 0, 0, false, false);
        Ok(())
    }

    /// The directory's own statement.
    pub(crate) fn take_directory(&mut self, payload: &[u8]) {
        let mut input = Reader::new(payload);
        for head in self.heads.iter_mut().skip(1) {
            let Ok(stated) = input.u32() else { break };
            *head = stated.max(*head);
        }
    }
}

pub(crate) const fn bit(kind: Kind) -> u8 {
    1_u8.wrapping_shl(kind as u32)
}
