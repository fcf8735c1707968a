//! One run: a [`Rig`] over a scenario's world, with everything written down: record, trace, store.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bms_core::Bms;
use bms_core::balancing::Quota;
use bms_core::config::{ParameterId, ValidConfig};
use bms_core::estimation::CoulombCounter;
use bms_core::event::Event;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::time::{Duration, Instant};
use bms_core::units::Charge;
use bms_store::Loaded;

use crate::rig::{Given, Rig, Schedule};
use crate::trace::{self, Header, TraceError, TraceWriter};

use super::closed_loop::{self, ClosedLoop};
use super::failure::FileError;
use super::open_loop::OpenLoop;
use super::record::Record;
use super::saving::{Saving, cells_before};
use super::scenario::{Change, Fault, MAXIMUM_CELLS, Scenario};
use super::world::{self, World};

/// A run.
pub struct Session {
    /// The core and what it is connected to.
    rig: Rig<24, CoulombCounter, Quota<24>, World>,
    /// What happened so far.
    pub record: Record,
    /// What the store had at the start.
    stored: Stored,
    tracer: Option<Tracer>,
    /// The store, if the board has one.
    saving: Option<Saving>,
    /// What the store had at the start.
    loaded: Option<Loaded>,
}

/// Writes what the core is given and what it answers.
struct Tracer {
    file: PathBuf,
    out: TraceWriter<Box<dyn Write>>,
    failed: Option<TraceError>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").field("rig", &self.rig).finish_non_exhaustive()
    }
}

/// What became of a request or a change of parameters.
pub type Answer = Result<(), String>;

impl Session {
    /// A BMS that starts now, at time 0.
    #[must_use]
    pub fn new(config: ValidConfig, world: World, jitter: f64, seed: u64) -> Self {
        let period = config.duration(ParameterId::SamplePeriod);
        let volts = |parameter| f64::from(config.get(parameter)) * 1e-6;
        let mut record = Record::default();
        record.plausible_volts =
            (volts(ParameterId::AutoShutdownVoltage) - 0.3, volts(ParameterId::CellOvervoltageProtection) + 0.3);
        // Everything in every step, and from the first one: what a scenario dictates is seen at its time.
        let schedule = Schedule { jitter, quiet_scans: false, ..Schedule::every(period) };
        let rig = Rig::with_pack(config, Bms::new, world, seed).with_schedule(schedule).without_first_tick();
        Self { rig, record, stored: Stored::Nothing, tracer: None, saving: None, loaded: None }
    }

    /// The run that a scenario describes, before its first change.
    ///
    /// # Errors
    /// If the scenario's pack is impossible.
    pub fn of(scenario: &Scenario, seed: u64) -> Result<Self, FileError> {
        Self::with_store(scenario, seed, None)
    }
    /// The same; a file keeps the board's memory and the cells' state from one run to the next.
    ///
    /// # Errors
    /// If the scenario's pack is impossible, or the file unusable.
    pub fn with_store(scenario: &Scenario, seed: u64, file: Option<&Path>) -> Result<Self, FileError> {
        let stored = file.map(|file| Saving::open(file, &scenario.config)).transpose()?;
        let cells = file.map(|file| cells_before(file, scenario.config.cell_count())).transpose()?.flatten();
        let config = stored.as_ref().map_or(scenario.config, |(_, loaded)| loaded.config_or(&scenario.config));
        let world = if scenario.plant.open_loop {
            World::open(OpenLoop::new(scenario.config, resting_cells(scenario)))
        } else {
            let mut spec = closed_loop::spec(scenario, seed);
            if let Some(cells) = cells {
                spec.cell_soc = cells;
            }
            let pack = ClosedLoop::new(&scenario.config, &spec);
            World::closed(pack.map_err(|error| FileError::whole(&scenario.file, error))?)
        };
        let mut session = Self::new(config, world, scenario.jitter, seed);
        match stored {
            Some((saving, loaded)) => {
                if loaded.stored == Stored::Nothing {
                    session.know_state_of_charge(scenario);
                } else {
                    session.stored = loaded.stored;
                    session.rig.start_with(loaded.stored);
                }
                session.saving = Some(saving);
                session.loaded = Some(loaded);
            }
            None => session.know_state_of_charge(scenario),
        }
        for change in scenario.at.iter().flat_map(|at| &at.changes) {
            if let Change::Fault(Fault::Injected(kind)) = change.1 {
                world::foresee(session.rig.faults(), kind);
            }
        }
        Ok(session)
    }

    /// A pack whose state of charge the file tells is one that the BMS has known for a while.
    fn know_state_of_charge(&mut self, scenario: &Scenario) {
        let Some(soc) = &scenario.pack.initial_soc else { return };
        let count = usize::from(scenario.config.cell_count());
        let mean = (0..count).filter_map(|cell| soc.get_ref().of(cell)).sum::<f64>() / count as f64;
        self.know_remaining(mean / 100.0);
    }
    /// The BMS starts with this state of charge (0 to 1) in its store.
    pub fn know_remaining(&mut self, soc: f64) {
        let capacity = f64::from(self.bms().config().get(ParameterId::Capacity));
        let milliamp_hours = super::scenario::saturating(capacity * soc);
        let mut snapshot = self.bms().snapshot();
        snapshot.remaining = Some(Charge::from_milliamp_hours(milliamp_hours.into()));
        self.stored = Stored::Snapshot(snapshot);
        self.rig.start_with(self.stored);
    }

    /// Writes a trace from now on; to be called before the first step.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn trace_to(&mut self, file: &Path) -> Result<(), FileError> {
        let out = std::fs::File::create(file).map_err(|error| FileError::whole(file, error))?;
        let out: Box<dyn Write> = Box::new(BufWriter::new(out));
        let header = Header { stored: self.stored, ..self.rig.trace_header() };
        let out = TraceWriter::new(out, &header, self.bms().config().cell_count());
        let out = out.map_err(|error| FileError::whole(file, error))?;
        self.tracer = Some(Tracer { file: file.to_owned(), out, failed: None });
        Ok(())
    }
    /// Ends the trace, if one is written.
    ///
    /// # Errors
    /// If anything of it could not be written.
    pub fn finish_trace(&mut self) -> Result<(), FileError> {
        let Some(tracer) = self.tracer.take() else { return Ok(()) };
        let result = tracer.failed.map_or(Ok(()), Err).and_then(|()| tracer.out.finish());
        result.map_err(|error| FileError::whole(&tracer.file, error))
    }
    /// Ends a run with a store: everything is saved, and the cells' true state beside it.
    ///
    /// # Errors
    /// If a file could not be written.
    pub fn finish_store(&mut self) -> Result<(), FileError> {
        let socs = self.world().pack().map(|pack| pack.plant.socs().collect());
        self.saving.as_mut().map_or(Ok(()), |saving| saving.finish(socs))
    }
    /// What the store had at the start, if there is one.
    #[must_use]
    pub const fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }
    /// A board in real time starts now, in seconds since 1970: how long it was off follows from the store. To be called before
    /// the first step.
    pub fn start_at(&mut self, calendar: Option<u64>) {
        let Some(loaded) = &self.loaded else { return };
        if loaded.stored != Stored::Nothing {
            self.rig.bms_mut().was_off(loaded.off_seconds(calendar));
        }
        if let (Some(saving), Some(seconds)) = (&self.saving, calendar) {
            saving.set_calendar(seconds);
        }
    }
    /// The same for a board whose time is simulated: its clock went on for so many seconds after the last save.
    pub fn start_after(&mut self, off: u32) {
        /// The first run's calendar: the beginning of 2026.
        const FIRST: u64 = 1_767_225_600;
        let Some(loaded) = &self.loaded else { return };
        match loaded.counters.saved_at {
            Some(before) if off > 0 => self.start_at(Some(before.saturating_add(u64::from(off)))),
            before => {
                if let Some(saving) = &self.saving {
                    saving.set_calendar(before.unwrap_or(FIRST));
                }
            }
        }
    }
    /// Saves the access record, if there is a store.
    pub fn save_access(&mut self, record: &[u8]) {
        let now = self.now();
        if let Some(saving) = &mut self.saving {
            saving.access(record, now);
        }
    }
    /// The protection core.
    #[must_use]
    pub const fn bms(&self) -> &Bms {
        self.rig.bms()
    }
    /// The protection core. What is changed here does not stand in the trace; see [`Session::change`].
    pub const fn bms_mut(&mut self) -> &mut Bms {
        self.rig.bms_mut()
    }
    /// What it is connected to.
    #[must_use]
    pub const fn world(&self) -> &World {
        self.rig.pack()
    }
    /// Virtual time, ms since the start.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now().as_millis()
    }
    /// Whether the board has no supply.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.rig.given() == Given::Unpowered
    }
    const fn now(&self) -> Instant {
        self.rig.now()
    }

    /// When the next step is due if it were taken from now: a sample period, with its jitter.
    #[must_use]
    pub fn next_period(&mut self) -> u32 {
        self.rig.next_length().as_millis()
    }

    /// Lets time pass without a step.
    pub fn advance(&mut self, milliseconds: u32) {
        self.rig.pass_until(self.now().after(Duration::from_millis(milliseconds)));
    }

    /// Lets one sample period pass and steps.
    pub fn advance_and_step(&mut self) {
        let period = self.next_period();
        self.advance(period);
        self.step();
    }

    /// Does something to the world or to the BMS.
    ///
    /// # Errors
    /// The core's refusal, or why settings fit together no more.
    pub fn change(&mut self, change: &Change) -> Answer {
        match change {
            Change::Request(request) => self.rig.request(*request).map_err(|refusal| refusal.to_string()),
            Change::Set(settings) => self.set(settings),
            Change::Reset(cause) => {
                let stored = in_store(&mut self.saving, &mut self.record, self.rig.bms(), self.rig.now());
                self.rig.reset_with(stored, *cause);
                Ok(())
            }
            _ => {
                let now = self.now();
                world::change_faults(self.rig.faults(), now, change);
                self.rig.pack_mut().change(change);
                Ok(())
            }
        }
    }

    /// One parameter by itself; several together or not at all, because their order must not matter.
    fn set(&mut self, settings: &[(ParameterId, i32)]) -> Answer {
        let answer = if let [(parameter, value)] = settings {
            self.rig.set_parameter(*parameter, *value)
        } else {
            let mut config = self.bms().config().to_config();
            for (parameter, value) in settings {
                config = config.with(*parameter, *value);
            }
            let config = config.validate().map_err(|violations| {
                violations.iter().map(|violation| violation.to_string()).collect::<Vec<_>>().join("; ")
            })?;
            self.rig.reconfigure(config)
        };
        answer.map_err(|refusal| refusal.to_string())
    }

    /// One step of the BMS, now.
    pub fn step(&mut self) {
        let now = self.now();
        let Self { rig, record, saving, .. } = self;
        let command = rig.step_restoring(|_, bms, cause| {
            if cause == ResetCause::BrownOut {
                record.note(now.as_millis(), "the supply collapses: brown-out");
            }
            in_store(saving, record, bms, now)
        });
        match rig.given() {
            Given::Unpowered => record.tell_off(now.as_millis()),
            Given::Nothing => {}
            Given::Sample | Given::Lost(_) | Given::Tick => {
                if let Some(tracer) = &mut self.tracer {
                    tracer.write(rig.record().as_ref());
                }
                let events: Vec<Event> = rig.take_events().collect();
                record.tell(now, &command, &events, rig.bms());
                if let Some(saving) = saving {
                    saving.step(now, &events, rig.bms_mut());
                }
            }
        }
    }
}

impl Tracer {
    fn write(&mut self, row: Option<&trace::Record<24>>) {
        if let Some(Err(error)) = row.map(|row| self.out.write(row)) {
            self.failed.get_or_insert(error);
        }
    }
}

/// Seconds since 1970 by the computer's clock, if that can be right.
#[must_use]
pub fn computer_clock() -> Option<u64> {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// What the firmware finds when it starts anew: what its store has, or the newest snapshot if the board has none.
fn in_store(saving: &mut Option<Saving>, record: &mut Record, bms: &Bms, now: Instant) -> Stored {
    // What the flash really has, not what the core would have liked to save.
    match saving.take().map(Saving::again) {
        Some(Ok((again, loaded))) => {
            *saving = Some(again);
            loaded.stored
        }
        Some(Err(error)) => {
            record.note(now.as_millis(), error.to_string());
            Stored::Snapshot(bms.snapshot())
        }
        None => Stored::Snapshot(bms.snapshot()),
    }
}

/// Open-circuit voltages for the initial state of charge, where the file has one; otherwise the middle of the range.
fn resting_cells(scenario: &Scenario) -> [f64; MAXIMUM_CELLS] {
    let volts = |parameter| f64::from(scenario.config.get(parameter)) * 1e-6;
    let (low, high) = (volts(ParameterId::CellUndervoltageRecovery), volts(ParameterId::CellOvervoltageRecovery));
    let soc = scenario.pack.initial_soc.as_ref();
    std::array::from_fn(|cell| {
        let part = soc.and_then(|soc| soc.get_ref().of(cell)).unwrap_or(50.0) / 100.0;
        low + (high - low) * part
    })
}
