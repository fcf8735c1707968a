//! [`Keeper`]: what is to be saved, and when.

use core::cell::RefCell;

use bms_core::Bms;
use bms_core::balancing::{LearnedBalance, Strategy};
use bms_core::config::ValidConfig;
use bms_core::estimation::Estimator;
use bms_core::event::{Event, EventKind};
use bms_core::fittings::Fittings;
use bms_core::lifecycle::State;
use bms_core::snapshot::Stored;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::Charge;
use embedded_storage_async::nor_flash::NorFlash;

use crate::gate::{Gate, Moment, Stall};
use crate::item::counters::Counters;
use crate::item::entry::{Entry, Frozen};
use crate::item::faults::Faults;
use crate::layout::Kind;
use crate::load::{AccessBytes, Found, Loaded};
use crate::statistics::Statistics;
use crate::store::{SaveError, Store};

/// When what is saved; the wear budget ([`wear`](crate::wear)) rests on these.
pub(crate) mod schedule {
    use super::{Duration, ms, secs};

    /// Counters: when the charge in the pack has moved by this part of the capacity (1/100) …
    pub const CHARGE_PART: i64 = 100;
    /// … or after this time, …
    pub const COUNTERS_EVERY: Duration = secs(3_600);
    /// … but not sooner than this after the last time, except at shutdown.
    pub const COUNTERS_PAUSE: Duration = secs(60);
    /// What the balancing strategy has learned, when it changed: not sooner than this, except at shutdown.
    pub const BALANCING_PAUSE: Duration = secs(600);
    /// Faults that only went away; new ones are saved at once.
    pub const CLEARED_PAUSE: Duration = secs(10);
    /// Lifetime statistics.
    pub const STATISTICS_EVERY: Duration = secs(6 * 3_600);
    /// Log entries: this many at once …
    pub const BURST: u8 = 64;
    /// … and one more each time this has passed.
    pub const ENTRY_EVERY: Duration = secs(60);
    /// After a failed write.
    pub const RETRY: Duration = ms(10_000);
}

/// How old what is not saved yet is. `None`: everything is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Unsaved {
    /// The configuration.
    pub config: Option<Duration>,
    /// Alarms, permanent faults, trip counts, user switches.
    pub faults: Option<Duration>,
    /// State of charge and counters: since when they are due; that they move on before is by design.
    pub counters: Option<Duration>,
    /// The access record.
    pub access: Option<Duration>,
    /// The oldest event that waits.
    pub events: Option<Duration>,
    /// Events that found no room while they waited, or came too often; stays at its end.
    pub events_lost: u32,
}

impl Unsaved {
    /// The oldest of all.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        [self.config, self.faults, self.counters, self.access, self.events].into_iter().flatten().max()
    }
}

/// Stands between the loop that protects the pack and the [`Store`] that waits for the flash.
///
/// The loop tells it of every step and event, which costs no flash access; [`Keeper::run`] saves what is due, in the
/// moments that the loop's steps leave. Both share it by reference; it is for one core and not `Sync`.
#[derive(Debug)]
pub struct Keeper<const QUEUE: usize = 16> {
    gate: Gate,
    stall: Stall,
    desk: RefCell<Desk<QUEUE>>,
}

#[derive(Debug)]
struct Desk<const QUEUE: usize> {
    now: Instant,
    start: u32,
    /// Seconds since 1970 at a time of the core.
    calendar: Option<(u64, Instant)>,
    config: Option<(ValidConfig, Instant)>,
    faults: Faults,
    faults_saved: Faults,
    faults_since: Option<Instant>,
    faults_at: Instant,
    counters: Counters,
    counters_saved: Counters,
    counters_since: Option<Instant>,
    counters_at: Instant,
    access: Option<(AccessBytes, Instant)>,
    statistics: Statistics,
    statistics_at: Instant,
    statistics_due: bool,
    balancing: LearnedBalance,
    balancing_saved: LearnedBalance,
    balancing_due: bool,
    balancing_at: Instant,
    events: heapless::Deque<Entry, QUEUE>,
    events_lost: u32,
    /// Entries that may still be made, and when that was reckoned.
    tokens: u8,
    tokens_at: Instant,
    shutting_down: bool,
    /// It has just begun: what is known now is saved once, although it changes a little with every step.
    leaving: bool,
    retry_at: Option<Instant>,
    begun: bool,
}

/// What is saved next.
enum Job {
    Config(ValidConfig),
    Faults(Faults),
    Access(AccessBytes),
    Entry(Entry),
    Counters(Counters),
    Statistics(Statistics),
    Balancing(LearnedBalance),
    Settle,
}

impl<const QUEUE: usize> Keeper<QUEUE> {
    /// A keeper whose gate is still free, for the start.
    #[must_use]
    pub const fn new(stall: Stall) -> Self {
        Self {
            gate: Gate::open(),
            stall,
            desk: RefCell::new(Desk {
                now: Instant::ZERO,
                start: 1,
                calendar: None,
                config: None,
                faults: Faults::NONE,
                faults_saved: Faults::NONE,
                faults_since: None,
                faults_at: Instant::ZERO,
                counters: Counters::NONE,
                counters_saved: Counters::NONE,
                counters_since: None,
                counters_at: Instant::ZERO,
                access: None,
                statistics: Statistics::new(),
                statistics_at: Instant::ZERO,
                statistics_due: false,
                balancing: LearnedBalance::NOTHING,
                balancing_saved: LearnedBalance::NOTHING,
                balancing_due: false,
                balancing_at: Instant::ZERO,
                events: heapless::Deque::new(),
                events_lost: 0,
                tokens: schedule::BURST,
                tokens_at: Instant::ZERO,
                shutting_down: false,
                leaving: false,
                retry_at: None,
                begun: false,
            }),
        }
    }
    /// For [`Store::open`].
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }
    fn with<T>(&self, what: impl FnOnce(&mut Desk<QUEUE>) -> T) -> Option<T> {
        // It is never held across a wait.
        self.desk.try_borrow_mut().ok().map(|mut desk| what(&mut desk))
    }
    /// Takes up what was loaded, and closes the gate: from now on the flash is touched only in the moments that
    /// [`Keeper::after_step`] offers. A configuration that was never saved is saved: then a later firmware for another pack
    /// will be noticed.
    pub fn begin(&self, loaded: &Loaded, config: &ValidConfig) {
        self.with(|desk| {
            if let Stored::Snapshot(snapshot) = loaded.stored {
                desk.faults_saved = Faults::of(&snapshot);
                desk.balancing_saved = snapshot.balancing;
            }
            let report = &loaded.report;
            if report.of(Kind::Config) == Found::Nothing && !report.is_corrupt() {
                desk.config = Some((*config, desk.now));
            }
            desk.counters_saved = loaded.counters;
            desk.start = loaded.counters.starts.saturating_add(1);
            // A start is counted at once.
            desk.counters_since = Some(desk.now);
            desk.statistics = loaded.statistics;
            desk.begun = true;
        });
        self.gate.set_free(false);
    }
    /// Tells the calendar's time, in seconds since 1970, at a time of the core.
    pub fn set_calendar(&self, seconds: u64, at: Instant) {
        self.with(|desk| desk.calendar = Some((seconds, at)));
    }
    /// Hears an event; call it for each one, with the core after the step that brought it.
    ///
    /// Balancing that starts and stops is not logged: it is no news and would wear the flash.
    pub fn event<const N: usize, E: Estimator, S: Strategy, F: Fittings>(&self, event: &Event, bms: &Bms<N, E, S, F>) {
        self.with(|desk| {
            desk.statistics.count(event);
            match event.kind {
                EventKind::ParameterChanged { .. } | EventKind::Reconfigured => {
                    desk.config = Some((*bms.config(), event.at));
                }
                EventKind::ShuttingDown => {
                    (desk.shutting_down, desk.leaving) = (true, true);
                    desk.statistics_due = true;
                }
                _ => {}
            }
            if matches!(event.kind, EventKind::Balancing { .. }) || !Entry::is_logged(event) {
                return;
            }
            let frame = match event.kind {
                EventKind::Raised { alarm, .. } if !alarm.is_warning() => Some(Frozen::of(&bms.status())),
                _ => None,
            };
            desk.note(event, frame);
        });
    }
    /// Has the access control's record saved.
    pub fn access(&self, record: AccessBytes, now: Instant) {
        self.with(|desk| desk.access = Some((record, now)));
    }
    /// Has the configuration saved, as after an explicit act of a person; changes through the core are heard as events.
    pub fn config(&self, config: &ValidConfig, now: Instant) {
        self.with(|desk| desk.config = Some((*config, now)));
    }
    /// Hears that a step was done, decides what is due, and offers the flash its moment until the next one. `now` is the
    /// time after the outputs were written. Once everything is saved before a shutdown, the core is told so.
    pub fn after_step<const N: usize, E: Estimator, S: Strategy, F: Fittings>(
        &self,
        now: Instant,
        bms: &mut Bms<N, E, S, F>,
    ) {
        let saved = self.with(|desk| {
            desk.now = now;
            let status = bms.status();
            desk.statistics.observe(now, &status);
            let state = status.state;
            let snapshot = bms.snapshot();
            desk.faults = Faults::of(&snapshot);
            desk.balancing = snapshot.balancing;
            desk.counters = Counters { starts: desk.start, saved_at: desk.calendar_at(now), ..Counters::of(&snapshot) };
            desk.look();
            let leaving = matches!(state, State::ShuttingDown | State::Off);
            desk.shutting_down &= leaving;
            desk.shutting_down && !desk.anything_due()
        });
        if saved == Some(true) {
            bms.snapshot_stored();
        }
        let (command, deadline) = (bms.command(), bms.deadline());
        let moment = Moment::of(bms.config(), &command, now, deadline, self.stall);
        self.gate.offer_chunks(moment, self.stall.chunks(&command, now, deadline));
    }
    /// Makes everything due, as before a planned power-off or an update of the firmware.
    pub fn save_everything(&self) {
        self.with(|desk| {
            desk.counters_since.get_or_insert(desk.now);
            if desk.faults != desk.faults_saved {
                desk.faults_since.get_or_insert(desk.now);
            }
            desk.statistics_due = true;
            desk.balancing_due |= desk.balancing != desk.balancing_saved;
        });
    }
    /// How old what is not saved yet is.
    #[must_use]
    pub fn unsaved(&self) -> Unsaved {
        self.with(|desk| {
            let now = desk.now;
            let age = |since: Option<Instant>| since.map(|since| now.since(since));
            Unsaved {
                config: age(desk.config.map(|(_, since)| since)),
                faults: age(desk.faults_since),
                counters: age(desk.counters_since),
                access: age(desk.access.map(|(_, since)| since)),
                events: age(desk.events.front().and_then(|entry| entry.event.ok()).map(|event| event.at)),
                events_lost: desk.events_lost,
            }
        })
        .unwrap_or_default()
    }
    /// The lifetime statistics, up to the last step.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.with(|desk| desk.statistics).unwrap_or_default()
    }
    /// Saves what is due, for ever. Poll it after every step, or give it a task of its own.
    pub async fn run<F: NorFlash>(&self, store: &mut Store<'_, F>) -> ! {
        loop {
            if !self.work(store).await {
                self.gate.moment().await;
                store.tidy_if_allowed().await;
            }
        }
    }
    /// Saves one thing that is due; `false` if nothing was, or it failed.
    pub async fn work<F: NorFlash>(&self, store: &mut Store<'_, F>) -> bool {
        let Some(job) = self.with(|desk| desk.next(store.is_unsettled())).flatten() else { return false };
        let result = match &job {
            Job::Config(config) => store.save_config(config).await,
            Job::Faults(faults) => store.save_faults(faults).await,
            Job::Access(access) => store.save_access(access.as_bytes()).await,
            Job::Entry(entry) => store.log(entry).await.map(|_| ()),
            Job::Counters(counters) => store.save_counters(counters).await,
            Job::Statistics(statistics) => store.save_statistics(statistics).await,
            Job::Balancing(learned) => store.save_balancing(learned).await,
            Job::Settle => store.settle().await,
        };
        let done = matches!(result, Ok(()) | Err(SaveError::Newer | SaveError::TooLong));
        self.with(|desk| if done { desk.done(&job) } else { desk.retry_at = Some(desk.now.after(schedule::RETRY)) });
        done
    }
}

impl<const QUEUE: usize> Desk<QUEUE> {
    fn calendar_at(&self, now: Instant) -> Option<u64> {
        self.calendar.map(|(seconds, at)| seconds.saturating_add(u64::from(now.since(at).as_millis() / 1_000)))
    }
    fn note(&mut self, event: &Event, frame: Option<Frozen>) {
        let waited = self.now.since(self.tokens_at).as_millis() / schedule::ENTRY_EVERY.as_millis();
        if waited > 0 {
            self.tokens = u8::try_from(waited)
                .map_or(schedule::BURST, |more| self.tokens.saturating_add(more).min(schedule::BURST));
            self.tokens_at = self.now;
        }
        let entry = Entry {
            number: 0,
            start: self.start,
            run_time_seconds: self.counters.run_time_seconds,
            calendar: self.calendar_at(event.at),
            event: Ok(*event),
            frame,
        };
        if self.tokens > 0 && self.events.push_back(entry).is_ok() {
            self.tokens = self.tokens.saturating_sub(1);
        } else {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }
    /// Decides what is due.
    fn look(&mut self) {
        let now = self.now;
        if !self.begun {
            return;
        }
        let (is, was) = (&self.faults, &self.faults_saved);
        let news = |alarms: bms_core::protection::AlarmSet| alarms.iter().any(|alarm| !alarm.is_warning());
        let worse = news(is.alarms.minus(was.alarms))
            || is.retries.counts() != was.retries.counts()
            || is.switches != was.switches;
        let better = news(was.alarms.minus(is.alarms)) && now.since(self.faults_at) >= schedule::CLEARED_PAUSE;
        if worse || better {
            self.faults_since.get_or_insert(now);
        } else if !news(was.alarms.minus(is.alarms)) {
            self.faults_since = None;
        }
        let (is, was) = (&self.counters, &self.counters_saved);
        let part = is.capacity.as_milliamp_millis() / schedule::CHARGE_PART;
        let moved = is.remaining.unwrap_or(Charge::ZERO).minus(was.remaining.unwrap_or(Charge::ZERO));
        let moved = moved.as_milliamp_millis().saturating_abs() >= part.max(1);
        let counted = is.cycles != was.cycles || is.capacity != was.capacity;
        let since = now.since(self.counters_at);
        let due = (moved || counted || since >= schedule::COUNTERS_EVERY) && since >= schedule::COUNTERS_PAUSE;
        let leaving = core::mem::take(&mut self.leaving);
        if due || (leaving && is != was) {
            self.counters_since.get_or_insert(now);
        }
        self.statistics_due |= now.since(self.statistics_at) >= schedule::STATISTICS_EVERY;
        let outdated = self.balancing_saved.is_outdated_by(&self.balancing)
            && now.since(self.balancing_at) >= schedule::BALANCING_PAUSE;
        self.balancing_due |= outdated || (leaving && self.balancing != self.balancing_saved);
    }
    fn anything_due(&self) -> bool {
        self.config.is_some()
            || self.faults_since.is_some()
            || self.access.is_some()
            || !self.events.is_empty()
            || self.counters_since.is_some()
            || self.statistics_due
            || self.balancing_due
    }
    /// What matters most comes first.
    fn next(&mut self, unsettled: bool) -> Option<Job> {
        if !self.begun || self.retry_at.is_some_and(|at| self.now < at) {
            return None;
        }
        self.retry_at = None;
        if self.faults_since.is_some() {
            return Some(Job::Faults(self.faults));
        }
        if let Some((config, _)) = self.config {
            return Some(Job::Config(config));
        }
        if let Some((access, _)) = self.access {
            return Some(Job::Access(access));
        }
        if let Some(entry) = self.events.front() {
            return Some(Job::Entry(*entry));
        }
        if self.counters_since.is_some() {
            return Some(Job::Counters(self.counters));
        }
        if self.statistics_due {
            return Some(Job::Statistics(self.statistics));
        }
        if self.balancing_due {
            return Some(Job::Balancing(self.balancing));
        }
        unsettled.then_some(Job::Settle)
    }
    /// What has changed since the job was taken stays due.
    fn done(&mut self, job: &Job) {
        let now = self.now;
        match job {
            Job::Config(saved) => {
                self.config = self.config.filter(|(config, _)| config != saved);
            }
            Job::Faults(saved) => {
                self.faults_saved = *saved;
                self.faults_at = now;
                self.faults_since = self.faults.differs(saved).then_some(now);
            }
            Job::Access(saved) => self.access = self.access.filter(|(access, _)| access != saved),
            Job::Entry(_) => {
                self.events.pop_front();
            }
            Job::Counters(saved) => {
                self.counters_saved = *saved;
                self.counters_at = now;
                self.counters_since = None;
            }
            Job::Statistics(_) => {
                self.statistics_at = now;
                self.statistics_due = false;
            }
            Job::Balancing(saved) => {
                self.balancing_saved = *saved;
                self.balancing_at = now;
                self.balancing_due = false;
            }
            Job::Settle => {}
        }
    }
}
