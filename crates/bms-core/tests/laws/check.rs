//! The oracle: applies operations to a [`Bms`] and to twins of it, and compares.

use bms_core::Bms;
use bms_core::bms::Request;
use bms_core::command::Command;
use bms_core::config::{ParameterId as P, ValidConfig};
use bms_core::event::Event;
use bms_core::lifecycle::State;
use bms_core::measurement::{Group, Input, Sample};
use bms_core::port::ErrorKind;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::Stored;
use bms_core::time::{Duration, Instant, ms};
use bms_core::units::Temperature;

use super::op::{Memory, Op};
use super::timing::Timing;
use super::twin::{self, Paths};
use super::world::World;

/// Sees everything that the core says; the on-target images hash it and time it.
pub trait Observer {
    /// Whether twins are run beside the real one (laws 2, 3, 6); a measurement does without.
    const TWINS: bool = true;

    fn step(&mut self, bms: &mut Bms, now: Instant, input: Input<'_>) -> Command {
        bms.step(now, input)
    }
    fn command(&mut self, _now: Instant, _command: &Command) {}
    fn event(&mut self, _event: &Event) {}
}

/// Looks at nothing.
pub struct Quiet;
impl Observer for Quiet {}

/// The laws, each with what must occur for it to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// 1: a step before the first complete sample.
    StartIncomplete,
    /// 1: a path closed, so nothing may be exceeded.
    StartClosing,
    /// 2: a twin with worse information.
    WorseInformation,
    /// 2: of these, the full information closed something.
    WorseInformationMattered,
    /// 2: a step without a required reading.
    LackingClosesNothing,
    /// 2: a channel older than its stale time.
    StaleOpens,
    /// 3: a twin with worse physics.
    WorsePhysics,
    /// 3: of these, the safer reading had a switch open that the alarm inhibits.
    WorsePhysicsMattered,
    /// 4: an over- or under-voltage or an over-current became due in this step.
    TripDue,
    /// 4: such an alarm was raised.
    TripRaised,
    /// 6: a step after a request or a changed parameter.
    RequestClosesNothing,
    /// 6: a step under an emergency stop.
    EmergencyStop,
    /// 7: a reset with permanent faults or lock-outs standing.
    FaultsSurviveReset,
    /// 7: a step with a corrupt store.
    CorruptStaysOpen,
    /// 7: a step at which time went back.
    TimeWentBack,
    /// Any step at which both switches were closed: the sequences must reach normal operation.
    Operating,
}

impl Law {
    pub const ALL: [Self; 16] = [
        Self::StartIncomplete,
        Self::StartClosing,
        Self::WorseInformation,
        Self::WorseInformationMattered,
        Self::LackingClosesNothing,
        Self::StaleOpens,
        Self::WorsePhysics,
        Self::WorsePhysicsMattered,
        Self::TripDue,
        Self::TripRaised,
        Self::RequestClosesNothing,
        Self::EmergencyStop,
        Self::FaultsSurviveReset,
        Self::CorruptStaysOpen,
        Self::TimeWentBack,
        Self::Operating,
    ];
}

/// How often each law's precondition occurred, and the number of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: [u32; Law::ALL.len()],
    pub steps: u32,
}

impl Coverage {
    pub fn of(&self, law: Law) -> u32 {
        self.counts[law as usize]
    }
    pub fn count(&mut self, law: Law) {
        self.counts[law as usize] = self.counts[law as usize].saturating_add(1);
    }
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
        self.steps = self.steps.saturating_add(other.steps);
    }
}

/// What a law needs to remember of the core between steps.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub paths: Paths,
    pub alarms: AlarmSet,
    pub command: Command,
}

pub(super) fn view(bms: &Bms, now: Instant) -> View {
    let command = bms.command();
    View { paths: Paths::of(&command, now), alarms: bms.alarms(), command }
}

/// What a load or charger that goes ends (D10).
const LOCKOUTS: AlarmSet = AlarmSet::of(&[Alarm::ChargeLockedOut, Alarm::DischargeLockedOut]);
/// The alarms that a reset must not lose.
const LASTING: AlarmSet = AlarmSet::of(&[
    Alarm::DeepDischarge,
    Alarm::Abuse,
    Alarm::ChargeSwitchStuck,
    Alarm::DischargeSwitchStuck,
    Alarm::ChargeLockedOut,
    Alarm::DischargeLockedOut,
]);

/// What was seen valid since the last start.
#[derive(Clone, Copy, Default)]
struct Seen {
    cells: bool,
    current: bool,
    mos: bool,
    /// One bit a battery sensor.
    battery: u32,
}

/// A BMS, its world, and the memory that the laws need.
pub struct Harness<O: Observer> {
    bms: Bms,
    world: World,
    observer: O,
    coverage: Coverage,
    seen: Seen,
    timing: Timing,
    last_valid_cells: Option<Instant>,
    last_valid_current: Option<Instant>,
    previous: Instant,
    emergency: bool,
    corrupt: bool,
    /// A twin that did not get the requests since the last step.
    unasked: Option<Bms>,
    turn: u32,
}

impl<O: Observer> Harness<O> {
    pub fn new(config: ValidConfig, observer: O) -> Self {
        let world = World::new(&config);
        let previous = Instant::ZERO;
        Self {
            bms: Bms::new(config),
            world,
            observer,
            coverage: Coverage::default(),
            seen: Seen::default(),
            timing: Timing::default(),
            last_valid_cells: None,
            last_valid_current: None,
            previous,
            emergency: false,
            corrupt: false,
            unasked: None,
            turn: 0,
        }
    }

    pub fn config(&self) -> &ValidConfig {
        self.bms.config()
    }
    pub fn bms(&self) -> &Bms {
        &self.bms
    }
    pub fn finish(self) -> (Coverage, O) {
        (self.coverage, self.observer)
    }

    pub fn apply(&mut self, op: &Op) {
        self.world.apply(op);
        match *op {
            Op::Samples { count, period } => self.samples(count, period),
            Op::Lost => {
                self.advance(ms(100));
                self.step(Input::Lost(ErrorKind::Bus));
            }
            Op::Tick { milliseconds } => {
                self.advance(ms(u32::from(milliseconds)));
                self.step(Input::Tick);
            }
            Op::TimeBack { milliseconds } => {
                self.world.now = self.world.now.before(ms(u32::from(milliseconds)));
                self.step_with_sample();
            }
            Op::Request(request) => self.request(request),
            Op::Parameter { parameter, value } => self.change(parameter, value),
            Op::Output { failed } => self.bms.output_result(if failed { Err(ErrorKind::Bus) } else { Ok(()) }),
            Op::Reset { cause, memory } => self.reset(cause, memory),
            Op::Repair => self.repair(),
            Op::Heal
            | Op::Cell { .. }
            | Op::AllCells { .. }
            | Op::CellInvalid { .. }
            | Op::CellCount { .. }
            | Op::Current { .. }
            | Op::Temperature { .. }
            | Op::StackOffset { .. }
            | Op::TerminalOffset { .. }
            | Op::Group { .. }
            | Op::Inputs(_) => {}
        }
    }

    fn advance(&mut self, duration: Duration) {
        self.world.now = self.world.now.after(duration);
    }

    fn ask(&mut self) {
        if O::TWINS && self.unasked.is_none() {
            self.unasked = Some(self.bms.clone());
        }
    }

    fn request(&mut self, request: Request) {
        self.ask();
        let accepted = self.bms.request(request).is_ok();
        match request {
            Request::EmergencyStop => {
                assert!(accepted, "law 6: an emergency stop was refused");
                self.emergency = true;
            }
            Request::ResetEmergencyStop if accepted => self.emergency = false,
            Request::RestoreFactorySettings if accepted => self.settings_changed(),
            _ => {}
        }
    }

    fn repair(&mut self) {
        self.samples(40, 200);
        for request in [
            Request::ResetEmergencyStop,
            Request::ClearPermanent,
            Request::ClearLockout,
            Request::SetCharge(true),
            Request::SetDischarge(true),
        ] {
            self.request(request);
        }
        if self.corrupt && self.bms.reconfigure(*self.bms.config()).is_ok() {
            self.corrupt = false;
            self.settings_changed();
        }
        self.samples(8, 900);
        self.samples(60, 100);
    }

    fn samples(&mut self, count: u8, period: u16) {
        for _ in 0..count {
            self.advance(ms(u32::from(period)));
            self.step_with_sample();
        }
    }

    fn change(&mut self, parameter: P, value: i32) {
        self.ask();
        let before = *self.bms.config();
        match self.bms.set_parameter(parameter, value) {
            Ok(()) => {
                assert_eq!(self.bms.config().get(parameter), value, "an accepted change must hold");
                assert!(self.bms.config().to_config().validate().is_ok(), "a change left an invalid configuration");
                self.settings_changed();
                // Another pack: everything starts anew (N07).
                if parameter == P::CellCount && before.get(parameter) != value {
                    self.seen = Seen::default();
                }
            }
            Err(_) => assert_eq!(*self.bms.config(), before, "a refused change must change nothing"),
        }
    }

    fn settings_changed(&mut self) {
        self.timing.forget();
        self.world.expect_cells(self.bms.config().cell_count());
    }

    fn reset(&mut self, cause: bms_core::snapshot::ResetCause, memory: Memory) {
        let snapshot = self.bms.snapshot();
        // A request since the last step, or a commanded shutdown, may have cleared what the alarms still show.
        let settled = self.unasked.is_none() && self.bms.state() == State::Running;
        let mut lasting = if settled { self.bms.alarms().common(LASTING) } else { AlarmSet::EMPTY };
        // A load or charger that was seen to go in the very last step has ended the lock-out; its alarm ends a step later (D10).
        let limit = self.bms.config().get(P::RetryLimit);
        if snapshot.retries.counts().iter().all(|count| i32::from(*count) < limit) {
            lasting = lasting.minus(LOCKOUTS);
        }
        let stored = match memory {
            Memory::Intact => Stored::Snapshot(snapshot),
            Memory::Nothing => Stored::Nothing,
            Memory::Corrupt => Stored::Corrupt,
            Memory::CountersCorrupt => Stored::CountersCorrupt,
        };
        self.bms = Bms::new(*self.bms.config());
        self.bms.restore(stored, cause);
        self.seen = Seen::default();
        self.timing.forget();
        self.last_valid_cells = None;
        self.last_valid_current = None;
        self.previous = Instant::ZERO;
        // An emergency stop that was stored still stands.
        self.emergency = self.emergency && memory == Memory::Intact;
        self.corrupt = memory == Memory::Corrupt;
        self.unasked = None;
        assert!(Paths::of(&self.bms.command(), self.world.now).all_open(), "law 7: a reset left a path closed");
        if memory == Memory::Intact && !lasting.is_empty() {
            self.coverage.count(Law::FaultsSurviveReset);
            self.step_with_sample();
            let lost = lasting.minus(self.bms.alarms());
            assert!(lost.is_empty(), "law 7: a reset lost {:?}", lost.iter().next());
        }
    }

    fn step_with_sample(&mut self) {
        let sample = self.world.sample(self.bms.command().balance.is_idle());
        let input = Input::Sample(&sample);
        if !O::TWINS {
            return self.step(input);
        }
        self.turn = self.turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (now, turn) = (self.world.now, self.turn >> 8);
        let before = view(&self.bms, now);

        // The twins first: they start from the state that the real one has now.
        let less = twin::less_informed(&sample, turn, self.seen.battery);
        let less_informed = self.twin(now, less.input());

        let bypass = self.bms.config().get(P::DiodeBypassCurrent);
        let quiet = before.command.balance.is_idle();
        let worse = twin::worse_physics(&self.world, turn, quiet, self.seen.battery, bypass);
        let worse_off = worse.as_ref().map(|worse| self.twin(now, Input::Sample(&worse.sample)));

        self.step(input);
        let after = view(&self.bms, now);
        twin::check_less_informed(&mut self.coverage, now, &before, &after, &less_informed, &less);
        if let (Some(worse), Some(worse_off)) = (worse, worse_off) {
            twin::check_worse_physics(&mut self.coverage, now, &after, &worse_off, &worse);
        }
    }

    /// What a twin does with another input. Out of line: a small target has no room for two copies at a time.
    #[inline(never)]
    fn twin(&self, now: Instant, input: Input<'_>) -> View {
        let mut bms = self.bms.clone();
        bms.step(now, input);
        view(&bms, now)
    }

    /// One step, and the laws that need no twin.
    fn step(&mut self, input: Input<'_>) {
        let now = self.world.now;
        let before = view(&self.bms, now);
        let state = self.bms.state();
        let command = self.observer.step(&mut self.bms, now, input);
        assert_eq!(command, self.bms.command(), "command() is not the last command");
        let after = view(&self.bms, now);
        self.coverage.steps = self.coverage.steps.saturating_add(1);
        self.observer.command(now, &command);
        while let Some(event) = self.bms.poll_event() {
            self.observer.event(&event);
        }
        assert!(self.bms.deadline() >= now, "the deadline lies in the past");
        let closed = after.paths.closed_since(before.paths);
        if after.paths.charge && after.paths.discharge {
            self.coverage.count(Law::Operating);
        }

        self.law_start(&input, &after, closed);
        self.law_lacking(&input, closed);
        self.law_stale(now, &after);
        let alarms = (before.alarms, after.alarms);
        let config = *self.bms.config();
        self.timing.check(&mut self.coverage, &config, now, &input, alarms);
        if self.bms.state() != state {
            // Waking or starting anew begins every delay anew.
            self.timing.forget();
        }
        if self.bms.state() == State::Starting {
            self.seen.battery = 0;
        }
        self.law_requests(now, &input, &before, &after, closed);

        if self.emergency {
            self.coverage.count(Law::EmergencyStop);
            assert!(after.paths.all_open(), "law 6: a path is closed under an emergency stop: {:?}", after.paths);
        }
        if self.corrupt {
            self.coverage.count(Law::CorruptStaysOpen);
            assert!(after.paths.all_open(), "law 7: a path is closed with a corrupt store: {:?}", after.paths);
        }
        if now < self.previous {
            self.coverage.count(Law::TimeWentBack);
            assert!(after.paths.all_open(), "law 7: a path is closed although time went back: {:?}", after.paths);
        }
        self.previous = now;
    }

    /// Law 1.
    fn law_start(&mut self, input: &Input<'_>, after: &View, closed: Paths) {
        let now = self.world.now;
        if let Input::Sample(sample) = input {
            if all_cells_valid(sample, self.bms.config()) {
                self.seen.cells = true;
                self.last_valid_cells = Some(now);
            }
            if matches!(sample.current, Group::Measured { .. }) {
                self.seen.current = true;
                self.last_valid_current = Some(now);
            }
            if let Group::Measured { value, .. } = &sample.temperatures {
                self.seen.mos |= value.mos.is_valid();
                for (sensor, reading) in value.battery.iter().enumerate() {
                    self.seen.battery |= u32::from(reading.is_valid()) << sensor;
                }
            }
        }
        if !(self.seen.cells && self.seen.current && self.seen.mos) {
            self.coverage.count(Law::StartIncomplete);
            assert!(after.paths.all_open(), "law 1: closed before a complete valid sample: {:?}", after.paths);
        }
        if closed.charge || closed.discharge {
            self.coverage.count(Law::StartClosing);
            self.law_nothing_exceeded(closed);
        }
    }

    /// Law 1: a switch closes only while none of its limits is exceeded. Diode bypass (X12) closes over its own alarm.
    fn law_nothing_exceeded(&self, closed: Paths) {
        let config = self.bms.config();
        let world = &self.world;
        let bypass = config.get(P::DiodeBypassCurrent);
        let count = usize::from(config.cell_count()).min(world.cells.len());
        let above = |limit: P| world.cells[..count].iter().any(|cell| i32::from(*cell) * 100 > config.get(limit));
        let below = |limit: P| world.cells[..count].iter().any(|cell| i32::from(*cell) * 100 < config.get(limit));
        let bypassed = |opposite: i32| bypass > 0 && opposite > bypass;
        if closed.charge && !bypassed(world.milliamps.saturating_neg()) {
            assert!(!above(P::CellOvervoltageProtection), "law 1: charge closed over an over-voltage");
            assert!(
                world.milliamps <= config.get(P::ChargeOvercurrentProtection),
                "law 1: charge closed over an over-current"
            );
        }
        if closed.discharge && !bypassed(world.milliamps) {
            assert!(!below(P::CellUndervoltageProtection), "law 1: discharge closed over an under-voltage");
            assert!(
                world.milliamps.saturating_neg() <= config.get(P::DischargeOvercurrentProtection),
                "law 1: discharge closed over an over-current"
            );
        }
        if closed.charge || closed.discharge {
            let mos = world.temperatures.mos.valid();
            let limit = Temperature::from_tenths(config.get(P::MosOvertemperatureProtection));
            assert!(mos.is_none_or(|mos| mos <= limit), "law 1: closed over a MOS over-temperature");
        }
    }

    /// Law 2: a step lacking a required reading closes nothing.
    fn law_lacking(&mut self, input: &Input<'_>, closed: Paths) {
        let lacking = match input {
            Input::Lost(_) => true,
            Input::Sample(sample) => {
                matches!(sample.cells, Group::Failed)
                    || matches!(sample.current, Group::Failed)
                    || matches!(sample.temperatures, Group::Failed)
            }
            Input::Tick => false,
        };
        if lacking {
            self.coverage.count(Law::LackingClosesNothing);
            assert!(closed.all_open(), "law 2: closed {closed:?} without a required reading");
        }
    }

    /// Law 2: a lost channel opens within its stale time.
    fn law_stale(&mut self, now: Instant, after: &View) {
        let config = self.bms.config();
        let period = config.get(P::SamplePeriod).saturating_mul(3);
        let limit = ms(config.get(P::DataLostTime).max(period).unsigned_abs());
        let grace = config.duration(P::DischargeLostGrace);
        for last in [self.last_valid_cells, self.last_valid_current] {
            let Some(age) = last.map(|last| now.since(last)) else { continue };
            if age > limit {
                self.coverage.count(Law::StaleOpens);
                assert!(!after.paths.charge, "law 2: charge closed on data that is {age:?} old");
            }
            if age > limit.plus(grace) {
                assert!(!after.paths.discharge, "law 2: discharge closed on data that is {age:?} old");
            }
        }
    }

    /// Law 6, N07: a request or a change closes nothing in its own step and clears no alarm.
    fn law_requests(&mut self, now: Instant, input: &Input<'_>, before: &View, after: &View, closed: Paths) {
        let Some(mut unasked) = self.unasked.take() else { return };
        self.coverage.count(Law::RequestClosesNothing);
        unasked.step(now, *input);
        let unasked = view(&unasked, now);
        let asked_for = closed.closed_since(unasked.paths);
        assert!(asked_for.all_open(), "law 6: a request closed {asked_for:?} in its own step");
        // What a request may clear by its nature: the lock-outs, the permanent faults, the emergency stop.
        let clearable = LASTING.with(Alarm::EmergencyStop).with(Alarm::StorageCorrupt);
        let cleared = before.alarms.minus(after.alarms).common(unasked.alarms).minus(clearable);
        assert!(cleared.is_empty(), "law 6: a request cleared {:?}", cleared.iter().next());
    }
}

/// Whether the sample has exactly the configured cells, all valid.
pub(super) fn all_cells_valid(sample: &Sample, config: &ValidConfig) -> bool {
    let Group::Measured { value, .. } = &sample.cells else { return false };
    let count = config.cell_count();
    value.count() == count && (0..usize::from(count)).all(|index| value.get(index).is_valid())
}
