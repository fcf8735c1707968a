//! The oracle: a step, in the order in which the requirements are told.

use crate::readings::{Clock, Known, News, Scan, Sensors, Stamps, Step, read, remember};
use crate::rules::{self, inhibits};
use crate::watch::{Release, Time, Watch};
use bms_core::bms::Request;
use bms_core::config::{ParameterId as P, ValidConfig};
use bms_core::event::EventKind;
use bms_core::lifecycle::State;
use bms_core::measurement::{Feedback, Input, Inputs};
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::{ResetCause, UserSwitches};
use bms_core::time::Instant;

/// What the oracle says of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The active alarms.
    pub alarms: AlarmSet,
    /// Where the BMS stands.
    pub state: State,
    /// The charge switch is closed.
    pub charge: bool,
    /// The discharge switch is closed.
    pub discharge: bool,
    /// The heater is on.
    pub heater: bool,
    /// The last-resort output acts.
    pub last_resort: bool,
    /// The power hold is released.
    pub power_released: bool,
    /// The latch is to be re-armed.
    pub clear_latch: bool,
    /// Balancing must not run.
    pub balance_forbidden: bool,
    /// Trips per cause (D10).
    pub trips: [u32; 4],
    /// What is to be told, apart from balancing and the anchors of the state of charge.
    pub events: Vec<EventKind>,
}

/// Everything known.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The configuration in force.
    pub config: ValidConfig,
    /// One watch an alarm, by its number.
    pub watches: Vec<Watch>,
    /// The oracle's time of the last step.
    pub now: Time,
    /// The oracle's time of the step before.
    pub before: Time,
    last_instant: Option<Instant>,
    stamps: Stamps,
    /// The last complete scan.
    pub cells: Known<()>,
    /// The last complete scan's voltages.
    pub scan: Option<Vec<i64>>,
    /// The current.
    pub current: Known<i64>,
    /// Each temperature sensor.
    pub sensors: [Known<i64>; 6],
    /// Sensors that were valid once since the start (D16).
    pub sensor_seen: [bool; 6],
    /// Before the switches.
    pub stack: Known<i64>,
    /// Behind the switches.
    pub terminal: Known<i64>,
    /// The digital inputs.
    pub inputs: Known<Inputs>,
    feedback: Known<Feedback>,
    /// The user's switches.
    pub switches: UserSwitches,
    /// Where the BMS stands.
    pub state: State,
    state_since: Time,
    /// Since when the BMS is awake (D02).
    pub awake_since: Time,
    stored: bool,
    asked: bool,
    shutdown_asked: bool,
    /// An emergency stop was asked for.
    pub emergency: bool,
    announced: Vec<EventKind>,
    /// The switches as ordered in the last step.
    pub charge: bool,
    /// The discharge switch as ordered in the last step.
    pub discharge: bool,
    /// Everything was opened by a new start.
    opened: bool,
    heater: bool,
    alarms_before: AlarmSet,
    /// The last step found its time out of order.
    pub time_back: bool,
    /// The last step came too late.
    pub late: bool,
    /// How writing the last command went.
    pub output_failed: Option<bool>,
}

impl Oracle {
    /// Before the first step.
    pub fn new(config: ValidConfig) -> Self {
        Self {
            config,
            watches: vec![Watch::default(); Alarm::COUNT],
            now: 0,
            before: 0,
            last_instant: None,
            stamps: Stamps::default(),
            cells: Known::default(),
            scan: None,
            current: Known::default(),
            sensors: Default::default(),
            sensor_seen: [false; 6],
            stack: Known::default(),
            terminal: Known::default(),
            inputs: Known::default(),
            feedback: Known::default(),
            switches: UserSwitches { charge: true, discharge: true, balance: true },
            state: State::Starting,
            state_since: 0,
            awake_since: 0,
            stored: false,
            asked: false,
            shutdown_asked: false,
            emergency: false,
            announced: Vec::new(),
            charge: false,
            discharge: false,
            opened: false,
            heater: false,
            alarms_before: AlarmSet::EMPTY,
            time_back: false,
            late: false,
            output_failed: None,
        }
    }
    /// A parameter.
    pub fn get(&self, parameter: P) -> i64 {
        self.config.get(parameter).into()
    }
    /// Whether an alarm is active.
    pub fn active(&self, alarm: Alarm) -> bool {
        self.watches[alarm as usize].active()
    }
    /// X01: the age at which cells and current count as lost.
    pub fn stale(&self) -> Time {
        self.get(P::DataLostTime).max(3 * self.get(P::SamplePeriod))
    }
    /// The active alarms.
    pub fn alarms(&self) -> AlarmSet {
        let mut set = AlarmSet::EMPTY;
        for alarm in Alarm::ALL {
            if self.active(alarm) {
                set = set.with(alarm);
            }
        }
        set
    }

    /// A reset: only what the snapshot holds survives (law 7).
    pub fn reset(&self, cause: ResetCause) -> Self {
        let mut fresh = Self::new(self.config);
        for alarm in Alarm::ALL {
            if self.active(alarm) && rules::survives_reset(alarm) {
                fresh.watches[alarm as usize].raise(0);
            }
        }
        fresh.switches = self.switches;
        fresh.emergency = self.emergency || self.active(Alarm::EmergencyStop);
        if cause.is_abnormal() && self.get(P::ResetHoldOff) == 1 {
            fresh.watches[Alarm::ResetHoldOff as usize].raise(0);
        }
        fresh
    }
    /// A request that was accepted.
    pub fn request(&mut self, request: Request) {
        self.asked = true;
        match request {
            Request::SetCharge(on) => self.switches.charge = on,
            Request::SetDischarge(on) => self.switches.discharge = on,
            Request::SetBalance(on) => self.switches.balance = on,
            Request::EmergencyStop => self.emergency = true,
            Request::ResetEmergencyStop => self.emergency = false,
            Request::Shutdown => self.shutdown_asked = true,
            _ => {}
        }
    }
    /// A parameter that was changed.
    pub fn parameter_changed(&mut self, parameter: P, config: ValidConfig) {
        self.asked = true;
        let count = self.config.cell_count();
        self.config = config;
        self.announced.push(EventKind::ParameterChanged { parameter });
        if config.cell_count() != count {
            self.start_anew();
        }
    }
    /// A configuration that was changed.
    pub fn reconfigured(&mut self, config: ValidConfig) {
        self.asked = true;
        let before = (self.config.cell_count(), self.config.chemistry());
        self.config = config;
        self.announced.push(EventKind::Reconfigured);
        if (config.cell_count(), config.chemistry()) != before {
            self.start_anew();
        }
    }
    /// The snapshot is stored.
    pub fn stored(&mut self) {
        if self.state == State::ShuttingDown {
            self.stored = true;
        }
    }
    fn start_anew(&mut self) {
        self.state = State::Starting;
        self.opened = true;
        self.state_since = self.now;
        self.awake_since = self.now;
        self.cells = Known { last: Some((self.now, ())), trusted: false };
        self.scan = None;
        self.current = Known { last: Some((self.now, 0)), trusted: false };
        for sensor in &mut self.sensors {
            *sensor = Known { last: Some((self.now, 0)), trusted: false };
        }
        self.sensor_seen = [false; 6];
    }

    fn believe(&mut self, step: &Step) {
        match &step.cells {
            News::None => {}
            News::New(at, scan) if scan.complete().is_some() => {
                self.cells = Known { last: Some((*at, ())), trusted: scan.count == scan.cells.len() };
                self.scan = scan.complete();
            }
            _ => self.cells.trusted = false,
        }
        remember(&mut self.current, &step.current);
        remember(&mut self.stack, &step.stack);
        remember(&mut self.terminal, &step.terminal);
        remember(&mut self.inputs, &step.inputs);
        remember(&mut self.feedback, &step.feedback);
        for index in 0..6 {
            let news = sensor_news(&step.temperatures, index);
            remember(&mut self.sensors[index], &news);
            self.sensor_seen[index] |= matches!(news, News::New(..));
        }
    }

    /// One step.
    pub fn step<const N: usize>(&mut self, instant: Instant, input: &Input<'_, N>) -> Verdict {
        let elapsed = self.last_instant.map_or(0, |last| instant.as_millis() as i128 - last.as_millis() as i128);
        self.time_back = elapsed < 0;
        self.before = self.now;
        self.now += elapsed.max(0) as Time;
        self.late = elapsed > self.stale() as i128;
        self.last_instant = Some(instant);
        let clock = Clock { instant, now: self.now };
        if self.time_back {
            // Old time stamps tell nothing any more.
            self.stamps = Stamps::default();
        }
        let step = read(&mut self.stamps, input, clock, self.config.cell_count().into());
        self.believe(&step);
        for row in rules::rows(self, &step) {
            // N07: a change or a request clears nothing in its own step.
            let release = if self.asked { Release::Never } else { row.release };
            self.watches[row.alarm as usize].update(self.now, row.seen, row.delay, release);
        }
        let mut events = std::mem::take(&mut self.announced);
        self.live(&step, &mut events);
        let alarms = self.alarms();
        let (charge, discharge) = self.decide(&step);
        let heater = rules::heater(self, &step, self.heater);
        for alarm in Alarm::ALL {
            match (self.alarms_before.contains(alarm), alarms.contains(alarm)) {
                (false, true) => events.push(EventKind::Raised { alarm, index: None, value: 0 }),
                (true, false) => events.push(EventKind::Cleared { alarm }),
                _ => {}
            }
        }
        if (charge, discharge) != (self.charge, self.discharge) {
            events.push(EventKind::Switched { charge, discharge });
        }
        if heater != self.heater {
            events.push(EventKind::Heating { active: heater });
        }
        let balance_forbidden = rules::balance_forbidden(self, &step, self.state);
        (self.charge, self.discharge, self.heater) = (charge, discharge, heater);
        self.alarms_before = alarms;
        self.asked = false;
        self.opened = false;
        self.output_failed = None;
        Verdict {
            alarms,
            state: self.state,
            charge,
            discharge,
            heater,
            last_resort: false,
            power_released: self.state == State::Off,
            clear_latch: rules::clear_latch(self),
            balance_forbidden,
            trips: [0; 4],
            events,
        }
    }

    /// A01, P16, D02, D32: starting, running, shutting down.
    fn live(&mut self, step: &Step, events: &mut Vec<EventKind>) {
        let since = self.now - self.state_since;
        let woken = step.inputs.new().is_some_and(|(_, inputs)| inputs.activation || inputs.reverse_wake);
        let next = match self.state {
            State::Starting if self.active(Alarm::AutoShutdown) || self.shutdown_asked => State::ShuttingDown,
            State::Starting if rules::complete(self) => State::Running,
            State::Running if self.active(Alarm::AutoShutdown) || self.shutdown_asked => State::ShuttingDown,
            State::ShuttingDown if self.stored || since >= 2_000 => State::Off,
            State::Off if since >= 10_000 || woken => State::Starting,
            same => same,
        };
        if next != self.state {
            self.state_since = self.now;
            match next {
                State::ShuttingDown => {
                    events.push(EventKind::ShuttingDown);
                    self.stored = false;
                }
                State::Starting => {
                    self.start_anew();
                }
                State::Running => events.push(EventKind::Started),
                _ => {}
            }
            self.state = next;
        }
        self.shutdown_asked = false;
    }

    /// P17 and law 1: what may be closed.
    fn decide(&self, step: &Step) -> (bool, bool) {
        let running = self.state == State::Running;
        let may_close = running && !self.asked && rules::all_usable(self, step);
        let one = |was: bool, wanted: bool, inhibited: fn(rules::Inhibits) -> bool| {
            let active = Alarm::ALL.iter().any(|alarm| self.active(*alarm) && inhibited(inhibits(*alarm)));
            let pending =
                Alarm::ALL.iter().any(|alarm| self.watches[*alarm as usize].pending() && inhibited(inhibits(*alarm)));
            running && wanted && !active && (was || (may_close && !pending))
        };
        (
            one(self.charge && !self.opened, self.switches.charge, |what| what.charge),
            one(self.discharge && !self.opened, self.switches.discharge, |what| what.discharge),
        )
    }
}

/// One sensor's part of the temperatures' news.
pub fn sensor_news(temperatures: &News<Sensors>, index: usize) -> News<i64> {
    use crate::readings::Sensor;
    match temperatures {
        News::None => News::None,
        News::Failed => News::Failed,
        News::New(at, sensors) => match sensors[index] {
            Sensor::Absent => News::None,
            Sensor::Bad(_) => News::Failed,
            Sensor::Good(value) => News::New(*at, value),
        },
    }
}

/// The scan of this step.
pub fn scan_of(step: &Step) -> Option<(Time, &Scan)> {
    step.cells.new()
}
