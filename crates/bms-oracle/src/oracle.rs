//! The oracle: a step, in the order in which the requirements are told.

use crate::outputs;
use crate::readings::{Clock, Known, News, Scan, Sensors, Stamps, Step, read, remember};
use crate::rules::{self, inhibits};
use crate::watch::{Time, Watch};
use bms_core::bms::Request;
use bms_core::config::{ParameterId as P, Topology, ValidConfig};
use bms_core::event::EventKind;
use bms_core::lifecycle::State;
use bms_core::measurement::{Feedback, Group, Input, Inputs};
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

/// D28: whether heating does any good.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heating {
    /// Time on since the battery was last found half a degree warmer.
    pub time: Time,
    /// How warm the coldest sensor was then.
    pub reference: i64,
    /// Half an hour in vain.
    pub ineffective: bool,
}

/// What a decision about the switches rests on, beside the alarms.
#[derive(Clone, Debug)]
pub(crate) struct DecidedOn {
    pub step: Step,
    pub switches: (bool, bool),
    pub held: (bool, bool),
    pub asked: bool,
    pub opened: bool,
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
    pub(crate) last_instant: Option<Instant>,
    pub(crate) stamps: Stamps,
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
    pub(crate) feedback: Known<Feedback>,
    /// The user's switches.
    pub switches: UserSwitches,
    /// Where the BMS stands.
    pub state: State,
    pub(crate) state_since: Time,
    /// Since when the BMS is awake (D02).
    pub awake_since: Time,
    pub(crate) stored: bool,
    pub(crate) asked: bool,
    pub(crate) shutdown_asked: bool,
    /// An emergency stop was asked for.
    pub emergency: bool,
    pub(crate) announced: Vec<EventKind>,
    /// The switches as ordered in the last step.
    pub charge: bool,
    /// The discharge switch as ordered in the last step.
    pub discharge: bool,
    /// Everything was opened by a new start.
    pub(crate) opened: bool,
    pub(crate) held: (bool, bool),
    pub(crate) heater: bool,
    pub(crate) alarms_before: AlarmSet,
    /// The last step found its time out of order.
    pub time_back: bool,
    still: u32,
    /// The last step came too late.
    pub late: bool,
    /// D10: trips of charge over-current, discharge over-current, short circuit, under-voltage.
    pub trips: [u32; 4],
    /// Conduction since the last trip: charging, discharging.
    pub(crate) conducting: [Time; 2],
    pub(crate) inputs_before: Option<Inputs>,
    pub(crate) restored: AlarmSet,
    pub(crate) before_step: AlarmSet,
    pub(crate) lost_at: Option<Time>,
    /// A transfer was ordered in the last step. Which one is not judged here, but warnings of cells look at quiet scans only (D04).
    pub balancing: bool,
    pub(crate) silent_at: Option<Time>,
    pub(crate) all_sensors_good: bool,
    pub(crate) decided_on: Option<DecidedOn>,
    pub(crate) commanded: bool,
    pub(crate) started_anew: bool,
    /// X15: complete scans since the start that did not fit.
    pub first_scans: u32,
    /// X15: the first scans fitted.
    pub chemistry_settled: bool,
    /// D28: what the heater was good for.
    pub heating: Heating,
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
            held: (false, false),
            heater: false,
            alarms_before: AlarmSet::EMPTY,
            time_back: false,
            still: 0,
            late: false,
            trips: [0; 4],
            conducting: [0; 2],
            inputs_before: None,
            restored: AlarmSet::EMPTY,
            before_step: AlarmSet::EMPTY,
            lost_at: None,
            balancing: false,
            silent_at: None,
            all_sensors_good: true,
            decided_on: None,
            commanded: false,
            started_anew: false,
            first_scans: 0,
            chemistry_settled: false,
            heating: Heating::default(),
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
    /// X10: without back-to-back switches, a stuck one opens the other too.
    pub(crate) fn inhibits(&self, alarm: Alarm) -> rules::Inhibits {
        let mut what = inhibits(alarm);
        let stuck = matches!(alarm, Alarm::ChargeSwitchStuck | Alarm::DischargeSwitchStuck);
        if stuck && self.config.board().topology != Topology::BackToBack {
            (what.charge, what.discharge) = (true, true);
        }
        what
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
        // What a battery sensor raised, only the sensors that could raise it end (D16, law 2).
        use Alarm as A;
        let of_sensors = [
            A::ChargeOvertemperature,
            A::DischargeOvertemperature,
            A::ChargeUndertemperature,
            A::DischargeUndertemperature,
            A::TemperatureSpread,
            A::BatterySensorFault,
        ];
        if of_sensors.iter().any(|alarm| self.active(*alarm)) {
            fresh.sensor_seen = self.sensor_seen;
        }
        (fresh.trips, fresh.conducting) = (self.trips, self.conducting);
        fresh.restored = fresh.alarms();
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
            Request::ClearPermanent => {
                for alarm in [Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck, Alarm::DeepDischarge, Alarm::Abuse]
                {
                    if self.active(alarm) {
                        self.watches[alarm as usize].clear();
                    }
                }
            }
            Request::ClearLockout => {
                let limit = self.get(P::RetryLimit) as u32;
                for trips in self.trips.iter_mut().filter(|_| limit > 0) {
                    // One more closing.
                    *trips = (*trips).min(limit.saturating_sub(1));
                }
                if self.heating.ineffective {
                    self.heating = Heating::default();
                }
            }
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
            self.watches[Alarm::WrongChemistry as usize].clear();
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
            // X15: a corrected configuration.
            self.watches[Alarm::WrongChemistry as usize].clear();
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
        // D32: only what was measured since counts.
        self.stamps = Stamps::from(self.now);
        for watch in &mut self.watches {
            watch.first = None;
        }
        self.state_since = self.now;
        self.awake_since = self.now;
        self.cells = Known { last: Some((self.now, ())), trusted: false, failed: false };
        self.scan = None;
        self.first_scans = 0;
        self.chemistry_settled = false;
        self.inputs = Known::default();
        self.stack = Known::default();
        self.terminal = Known::default();
        self.current = Known { last: Some((self.now, 0)), trusted: false, failed: false };
        for sensor in &mut self.sensors {
            *sensor = Known { last: Some((self.now, 0)), trusted: false, failed: false };
        }
        self.sensor_seen = [false; 6];
    }

    fn believe(&mut self, step: &Step) {
        match &step.cells {
            News::None => {}
            News::New(at, scan) if scan.complete().is_some() => {
                self.cells = Known { last: Some((*at, ())), trusted: scan.count == scan.cells.len(), failed: false };
                self.scan = scan.complete();
            }
            _ => {
                self.cells.trusted = false;
                self.cells.failed = true;
            }
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
        // X20: time that stands still over eight scans.
        let scan = matches!(input, Input::Sample(sample) if matches!(sample.cells, Group::Measured { .. }));
        self.still = if elapsed > 0 { 0 } else { self.still + u32::from(scan) };
        self.time_back = elapsed < 0 || self.still > 8;
        self.before = self.now;
        self.now += elapsed.max(0) as Time;
        self.late = elapsed > self.stale() as i128;
        self.last_instant = Some(instant);
        let clock = Clock { instant, now: self.now };
        let step = read(&mut self.stamps, input, clock, self.config.cell_count().into());
        self.believe(&step);
        for row in rules::rows(self, &step) {
            let watch = &mut self.watches[row.alarm as usize];
            let before = *watch;
            watch.update(self.now, row.seen, row.delay, row.release, row.off);
            // N07: a change or a request clears nothing in its own step. What is violated still begins anew.
            if self.asked && before.active() && !watch.active() {
                let again = watch.first.is_some();
                *watch = before;
                if again {
                    watch.raise(self.now);
                }
            }
        }
        self.first_scans_fit(&step);
        let restored = self.restored;
        self.retries(&step, elapsed.max(0) as Time);
        let mut events = std::mem::take(&mut self.announced);
        self.live(&mut events);
        let alarms = self.alarms();
        let decided_on = DecidedOn {
            step: step.clone(),
            switches: (self.charge, self.discharge),
            held: self.held,
            asked: self.asked,
            opened: self.opened,
        };
        self.decided_on = Some(decided_on);
        let (charge, discharge) = self.decide(&step);
        let heater = self.heat(&step, elapsed.max(0) as Time);
        for alarm in Alarm::ALL {
            match (self.alarms_before.contains(alarm), alarms.contains(alarm)) {
                (false, true) => events.push(EventKind::Raised { alarm, index: None, value: 0 }),
                (true, false) => events.push(EventKind::Cleared { alarm }),
                // Restored, and over before it was told of.
                (false, false) if restored.contains(alarm) => events.push(EventKind::Cleared { alarm }),
                _ => {}
            }
        }
        if (charge, discharge) != (self.charge, self.discharge) {
            events.push(EventKind::Switched { charge, discharge });
        }
        if heater != self.heater {
            events.push(EventKind::Heating { active: heater });
        }
        let balance_forbidden = outputs::balance_forbidden(self, &step, self.state);
        (self.charge, self.discharge, self.heater) = (charge, discharge, heater);
        self.before_step = self.alarms_before;
        self.alarms_before = alarms;
        self.all_sensors_good = outputs::all_sensors_good(self, &step);
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
            clear_latch: outputs::clear_latch(self),
            balance_forbidden,
            trips: self.trips,
            events,
        }
    }

    /// X15: three first scans outside the chemistry's window.
    fn first_scans_fit(&mut self, step: &Step) {
        let Some(cells) = scan_of(step).and_then(|(_, scan)| scan.complete()) else { return };
        if self.config.get(P::ChemistryCheck) == 0 {
            // The first scans have passed; switched on later, the check looks at those of the next start.
            self.chemistry_settled = true;
            return;
        }
        if self.chemistry_settled {
            return;
        }
        let watch = &mut self.watches[Alarm::WrongChemistry as usize];
        let chemistry = self.config.chemistry();
        let highest = i64::from(chemistry.plausible_maximum().as_microvolts());
        let lowest = i64::from(chemistry.plausible_minimum().as_microvolts());
        if cells.iter().any(|cell| *cell > highest) || cells.iter().all(|cell| *cell < lowest) {
            self.first_scans += 1;
            if !watch.active() {
                watch.first = Some(self.now);
            }
            if self.first_scans >= 3 {
                if !watch.active() {
                    watch.raise(self.now);
                }
                self.chemistry_settled = true;
            }
        } else {
            watch.first = None;
            self.chemistry_settled = true;
        }
    }

    /// A01: a charger lifts the terminal 5 V above the battery.
    fn lifted(&self) -> bool {
        let stale = self.stale();
        match (self.terminal.usable(self.now, stale), self.stack.usable(self.now, stale)) {
            (Some(terminal), Some(stack)) => terminal - stack > 5_000_000,
            _ => false,
        }
    }

    /// A01, P16, D02, D32: starting, running, shutting down.
    fn live(&mut self, events: &mut Vec<EventKind>) {
        let since = self.now - self.state_since;
        let asked = self
            .inputs
            .last
            .is_some_and(|(_, inputs)| inputs.activation || inputs.reverse_wake || inputs.charger == Some(true));
        let woken = asked || self.lifted();
        self.started_anew = matches!(self.state, State::ShuttingDown | State::Off | State::Starting);
        let next = match self.state {
            State::Starting if self.active(Alarm::AutoShutdown) || self.shutdown_asked => State::ShuttingDown,
            State::Starting if outputs::complete(self) => State::Running,
            State::Running if self.active(Alarm::AutoShutdown) || self.shutdown_asked => State::ShuttingDown,
            State::ShuttingDown if self.stored || since >= 2_000 => State::Off,
            State::Off if since >= 10_000 || woken => State::Starting,
            same => same,
        };
        if next != self.state {
            self.state_since = self.now;
            if next == State::ShuttingDown {
                self.commanded = self.shutdown_asked;
            } else if next == State::Starting && self.commanded {
                self.trips = [0; 4];
            }
            match next {
                State::ShuttingDown => {
                    events.push(EventKind::ShuttingDown);
                    self.stored = false;
                }
                State::Starting => {
                    self.start_anew();
                    // Ends with the shutdown.
                    self.watches[Alarm::AutoShutdown as usize].clear();
                }
                State::Running => events.push(EventKind::Started),
                _ => {}
            }
            self.state = next;
        }
        self.shutdown_asked = false;
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
    step.cells.measured()
}
