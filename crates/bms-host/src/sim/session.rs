//! One run: the BMS and its world, step by step, with everything written down.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bms_core::Bms;
use bms_core::command::Command;
use bms_core::config::{ParameterId, ValidConfig};
use bms_core::event::EventKind;
use bms_core::measurement::{Input, Sample};
use bms_core::port::ErrorKind;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::time::Instant;
use bms_core::units::Charge;

use crate::fault::Delivery;
use crate::trace::{self, Header, Operation, TraceError, TraceWriter};

use bms_store::Loaded;

use super::closed_loop::{self, ClosedLoop};
use super::failure::FileError;
use super::open_loop::OpenLoop;
use super::record::Record;
use super::saving::{Saving, cells_before};
use super::scenario::{Change, Fault, MAXIMUM_CELLS, Scenario};
use super::world::World;

/// A run.
pub struct Session {
    /// The protection core. What changes it goes through [`Session::change`], so that it stands in the trace.
    pub bms: Bms,
    /// What it is connected to.
    pub world: World,
    /// What happened so far.
    pub record: Record,
    now_ms: u64,
    period_ms: u32,
    jitter: f64,
    random: u64,
    asleep: bool,
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
    /// What was asked of the core since the last step.
    operations: Vec<Operation>,
    failed: Option<TraceError>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").field("now_ms", &self.now_ms).field("bms", &self.bms).finish_non_exhaustive()
    }
}

/// What became of a request or a change of parameters.
pub type Answer = Result<(), String>;

impl Session {
    /// A BMS that starts now, at time 0.
    #[must_use]
    pub fn new(config: ValidConfig, world: World, jitter: f64, seed: u64) -> Self {
        let mut bms = Bms::new(config);
        bms.set_balancer(world.balancer());
        let period_ms = config.get(ParameterId::SamplePeriod).unsigned_abs();
        let volts = |parameter| f64::from(config.get(parameter)) * 1e-6;
        let mut record = Record::default();
        record.plausible_volts =
            (volts(ParameterId::AutoShutdownVoltage) - 0.3, volts(ParameterId::CellOvervoltageProtection) + 0.3);
        Self {
            bms,
            world,
            record,
            now_ms: 0,
            period_ms,
            jitter,
            random: seed,
            asleep: false,
            stored: Stored::Nothing,
            tracer: None,
            saving: None,
            loaded: None,
        }
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
            World::open(OpenLoop::new(scenario.config, resting_cells(scenario)), seed)
        } else {
            let mut spec = closed_loop::spec(scenario, seed);
            if let Some(cells) = cells {
                spec.cell_soc = cells;
            }
            let pack = ClosedLoop::new(&scenario.config, &spec);
            World::closed(pack.map_err(|error| FileError::whole(&scenario.file, error))?, seed)
        };
        let mut session = Self::new(config, world, scenario.jitter, seed);
        match stored {
            Some((saving, loaded)) => {
                if loaded.stored == Stored::Nothing {
                    session.know_state_of_charge(scenario);
                } else {
                    session.stored = loaded.stored;
                    session.bms.restore(loaded.stored, ResetCause::PowerOn);
                }
                session.saving = Some(saving);
                session.loaded = Some(loaded);
            }
            None => session.know_state_of_charge(scenario),
        }
        for change in scenario.at.iter().flat_map(|at| &at.changes) {
            if let Change::Fault(Fault::Injected(kind)) = change.1 {
                session.world.foresee(kind);
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
        let capacity = f64::from(self.bms.config().get(ParameterId::Capacity));
        let milliamp_hours = super::scenario::saturating(capacity * soc);
        let mut snapshot = self.bms.snapshot();
        snapshot.remaining = Some(Charge::from_milliamp_hours(milliamp_hours.into()));
        self.stored = Stored::Snapshot(snapshot);
        self.bms.restore(self.stored, ResetCause::PowerOn);
    }

    /// Writes a trace from now on; to be called before the first step.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn trace_to(&mut self, file: &Path) -> Result<(), FileError> {
        let out = std::fs::File::create(file).map_err(|error| FileError::whole(file, error))?;
        let out: Box<dyn Write> = Box::new(BufWriter::new(out));
        let header = Header {
            config: *self.bms.config(),
            balancer: self.world.balancer(),
            stored: self.stored,
            cause: ResetCause::PowerOn,
        };
        let out = TraceWriter::new(out, &header, self.bms.config().cell_count());
        let out = out.map_err(|error| FileError::whole(file, error))?;
        self.tracer = Some(Tracer { file: file.to_owned(), out, operations: Vec::new(), failed: None });
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
        let socs = self.world.pack().map(|pack| pack.plant.socs().collect());
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
            self.bms.was_off(loaded.off_seconds(calendar));
        }
        if let (Some(saving), Some(seconds)) = (&self.saving, calendar) {
            saving.set_calendar(seconds);
        }
    }
    /// Saves the access record, if there is a store.
    pub fn save_access(&mut self, record: &[u8]) {
        let now = self.now();
        if let Some(saving) = &mut self.saving {
            saving.access(record, now);
        }
    }
    /// Asks something of the core; the trace keeps it.
    fn ask(&mut self, operation: Operation) -> Answer {
        let balancer = self.world.balancer();
        let answer = operation.apply(&mut self.bms, |config| {
            let mut bms = Bms::new(config);
            bms.set_balancer(balancer);
            bms
        });
        if let Some(tracer) = &mut self.tracer {
            tracer.operations.push(operation);
        }
        answer.map_err(|refusal| refusal.to_string())
    }

    /// Virtual time, ms since the start.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now_ms
    }
    /// Whether the board has no supply.
    #[must_use]
    pub const fn is_asleep(&self) -> bool {
        self.asleep
    }
    fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    /// When the next step is due if it were taken from now: a sample period, with its jitter.
    #[must_use]
    pub fn next_period(&mut self) -> u32 {
        if self.jitter == 0.0 {
            return self.period_ms;
        }
        // SplitMix64: small, named, and the same everywhere.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let even = f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX) * 2.0 - 1.0;
        let period = f64::from(self.period_ms) * (1.0 + self.jitter * even);
        super::scenario::saturating(period).max(1).unsigned_abs()
    }

    /// Lets time pass without a step.
    pub fn advance(&mut self, milliseconds: u32) {
        self.world.advance(milliseconds);
        self.now_ms += u64::from(milliseconds);
    }

    /// Lets one sample period pass and steps.
    pub fn advance_and_step(&mut self) {
        let period = self.next_period();
        self.advance(period);
        self.step();
    }

    /// Does something to the world or to the BMS.
    pub fn change(&mut self, change: &Change) -> Answer {
        match change {
            Change::Request(request) => self.ask(Operation::Request(*request)),
            Change::Set(settings) => self.set(settings),
            Change::Reset(cause) => {
                self.reboot(*cause);
                Ok(())
            }
            _ => {
                self.world.change(self.now(), change);
                Ok(())
            }
        }
    }

    /// One parameter by itself; several together or not at all, because their order must not matter.
    fn set(&mut self, settings: &[(ParameterId, i32)]) -> Answer {
        if let [(parameter, value)] = settings {
            return self.ask(Operation::SetParameter(*parameter, *value));
        }
        let mut config = self.bms.config().to_config();
        for (parameter, value) in settings {
            config = config.with(*parameter, *value);
        }
        let config = config.validate().map_err(|violations| {
            violations.iter().map(|violation| violation.to_string()).collect::<Vec<_>>().join("; ")
        })?;
        self.ask(Operation::Reconfigure(Box::new(config)))
    }

    /// One step of the BMS, now.
    pub fn step(&mut self) {
        if !self.world.powered() {
            self.asleep = true;
            self.record.tell_off(self.now_ms);
            return;
        }
        if self.asleep {
            self.reboot(ResetCause::PowerOn);
        }
        if self.world.take_brown_out() {
            self.record.note(self.now_ms, "the supply collapses: brown-out");
            self.reboot(ResetCause::BrownOut);
        }
        let now = self.now();
        let mut sample = Sample::new();
        let input = match self.world.measure(now, &mut sample) {
            Delivery::Delivered => Input::Sample(&sample),
            Delivery::Failed(kind) => Input::Lost(kind),
            // As a driver does: it waits for a silent sampler until the deadline.
            Delivery::Nothing if now >= self.bms.deadline() => Input::Lost(ErrorKind::Timeout),
            Delivery::Nothing => return,
        };
        let command = self.bms.step(now, input);
        let result = self.world.apply(now, &command);
        self.trace(now, input, command, result);
        self.bms.output_result(result);
        let known = self.record.events.len();
        self.record.tell(now, &command, &mut self.bms);
        if let Some(saving) = &mut self.saving {
            saving.step(now, self.record.events.get(known..).unwrap_or_default(), &mut self.bms);
        }
        if self.record.events.iter().skip(known).any(|event| event.kind == EventKind::ShuttingDown) {
            // It always accepts that.
            let _ = self.ask(Operation::SnapshotStored);
        }
    }

    fn trace(&mut self, now: Instant, input: Input<'_>, command: Command, written: Result<(), ErrorKind>) {
        let Some(tracer) = &mut self.tracer else { return };
        let row = trace::Record {
            now,
            operations: std::mem::take(&mut tracer.operations),
            input: input.into(),
            outputs: Some(trace::outputs_of(&self.bms, command)),
            written: Some(written),
        };
        if let Err(error) = tracer.out.write(&row) {
            tracer.failed.get_or_insert(error);
        }
    }

    /// The firmware starts anew with what its store has: the newest snapshot.
    fn reboot(&mut self, cause: ResetCause) {
        self.asleep = false;
        self.world.reset_outputs();
        let mut stored = Stored::Snapshot(self.bms.snapshot());
        if let Some(saving) = self.saving.take() {
            // What the flash really has, not what the core would have liked to save.
            match saving.again() {
                Ok((saving, loaded)) => {
                    stored = loaded.stored;
                    self.saving = Some(saving);
                }
                Err(error) => self.record.note(self.now_ms, error.to_string()),
            }
        }
        // A reset is never refused.
        let _ = self.ask(Operation::Reset(Box::new(stored), cause));
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
