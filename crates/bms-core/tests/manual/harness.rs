//! A pack in virtual time: the readings stand still until a test changes them, time passes in sample periods,
//! and every step is checked against what must hold at any time.
//!
//! Balancer, short-circuit latch and sense wires behave as hardware would: the latch holds until it is re-armed, the
//! balancer's store fills and empties, a wire drops voltage while the balancer draws through it.

use bms_core::balancing::{BalancerCapabilities, ManualRule, Phase, Plan};
use bms_core::bms::{Bms, Refusal, Request};
use bms_core::command::Command;
use bms_core::config::{Chemistry, ParameterId, Profile, ValidConfig};
use bms_core::estimation::CoulombCounter;
use bms_core::event::{Event, EventKind};
use bms_core::measurement::{Input, Inputs, Reading, Sample};
use bms_core::port::ErrorKind;
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::snapshot::{ResetCause, Snapshot, Stored, UserSwitches};
use bms_core::status::Status;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{Current, Temperature, Voltage, ah, deg_c, ma, mv, uv};

use crate::follower::Follower;
pub use crate::setup::{Setup, rates};

pub const PROFILES: [Profile; 2] = [Profile::Manual, Profile::Default];

/// The core with the manual's own counter and balancing rule.
pub type ManualBms = Bms<24, CoulombCounter, ManualRule>;

/// A core with the manual's rule.
pub fn manual_bms(config: ValidConfig) -> ManualBms {
    Bms::with_parts(config, CoulombCounter::new(&config), ManualRule::new())
}

/// Something that happens to a pack.
pub type Act = fn(&mut Pack);

/// How a group of readings arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Measured,
    NotMeasured,
    Failed,
}

/// A voltage along the power line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The board does not measure it.
    Absent,
    Failed,
    /// The sum of the cells plus this.
    Sum(Voltage),
    At(Voltage),
}

/// A tenth of a degree.
pub const fn tenths(value: i32) -> Reading<Temperature> {
    Reading::Valid(Temperature::from_tenths(value))
}

/// A voltage at which a cell of this chemistry is content, well between the recoveries.
pub const fn content(chemistry: Chemistry) -> Voltage {
    match chemistry {
        Chemistry::LiIon => mv(3_700),
        Chemistry::LiFePo4 => mv(3_300),
        Chemistry::Lto => mv(2_200),
    }
}

pub struct Pack {
    pub bms: ManualBms,
    follower: Follower,
    pub now: Instant,
    pub cells: Vec<Voltage>,
    /// One bit a cell whose reading is worthless.
    pub invalid_cells: u32,
    /// What the front end says it measures, where that differs.
    pub counted_cells: Option<u8>,
    pub current: Current,
    pub t1: Reading<Temperature>,
    pub t2: Reading<Temperature>,
    pub mos: Reading<Temperature>,
    pub stack: Line,
    pub terminal: Line,
    pub inputs: Inputs,
    pub cells_group: Presence,
    pub inputs_group: Presence,
    pub current_group: Presence,
    pub temperatures_group: Presence,
    /// How long before the step the readings were taken.
    pub sample_age: u32,
    /// A short circuit at the terminals.
    pub short: bool,
    pub latched: bool,
    /// What applying the next commands results in.
    pub output: Result<(), ErrorKind>,
    /// Whether the snapshot asked for at shutdown is stored at once.
    pub stores_snapshots: bool,
    /// The balancer never says that it is settled.
    pub never_quiet: bool,
    /// The balancer reports no current, whatever it moves.
    pub mute_balancer: bool,
    /// Resistance of each sense wire in mΩ, wire 0 at B−.
    pub wires: Vec<i32>,
    /// An open sense wire whose input floats to where it would be, until the balancer loads it.
    pub floating_wire: Option<usize>,
    pub command: Command,
    pub events: Vec<Event>,
    /// The user's switches as requested.
    pub wanted: UserSwitches,
    setup: Setup,
    pub random: u64,
    pub store: i64,
    pub idle_since: Instant,
}

impl Pack {
    pub fn new(setup: Setup) -> Self {
        let config = match setup.config.validate() {
            Ok(config) => config,
            Err(violations) => panic!("{:?}", violations.iter().collect::<Vec<_>>()),
        };
        let prepared = || {
            let mut bms = manual_bms(config);
            bms.restore(setup.stored, setup.cause);
            bms.set_balancer(BalancerCapabilities::MANUAL);
            bms
        };
        let count = usize::from(config.cell_count());
        let board = config.board();
        Self {
            bms: prepared(),
            follower: Follower::new(prepared),
            now: Instant::from_millis(setup.start),
            cells: vec![content(config.chemistry()); count],
            invalid_cells: 0,
            counted_cells: None,
            current: Current::ZERO,
            t1: Reading::Valid(deg_c(25)),
            t2: Reading::Valid(deg_c(25)),
            mos: Reading::Valid(deg_c(30)),
            stack: if board.stack_voltage { Line::Sum(Voltage::ZERO) } else { Line::Absent },
            terminal: if board.terminal_voltage { Line::Sum(Voltage::ZERO) } else { Line::Absent },
            inputs: Inputs::default(),
            cells_group: Presence::Measured,
            inputs_group: Presence::Measured,
            current_group: Presence::Measured,
            temperatures_group: Presence::Measured,
            sample_age: 0,
            short: false,
            latched: false,
            output: Ok(()),
            stores_snapshots: true,
            never_quiet: false,
            mute_balancer: false,
            wires: vec![0; count + 1],
            floating_wire: None,
            command: Command::SAFE,
            events: Vec::new(),
            wanted: match setup.stored {
                Stored::Snapshot(snapshot) => snapshot.switches,
                _ => UserSwitches::default(),
            },
            setup,
            random: 0x9E37_79B9_7F4A_7C15,
            store: 0,
            idle_since: Instant::ZERO,
        }
    }

    // -- readings

    pub fn all_cells(&mut self, voltage: Voltage) {
        self.cells.fill(voltage);
    }
    pub fn cell(&mut self, index: usize, voltage: Voltage) {
        self.cells[index] = voltage;
    }
    pub fn battery(&mut self, tenths_of_degree: i32) {
        self.t1 = tenths(tenths_of_degree);
        self.t2 = tenths(tenths_of_degree);
    }
    pub fn sum(&self) -> Voltage {
        self.cells.iter().fold(Voltage::ZERO, |sum, cell| sum.plus(*cell))
    }
    pub fn config(&self) -> &ValidConfig {
        self.bms.config()
    }
    pub fn voltage_of(&self, parameter: ParameterId) -> Voltage {
        self.config().voltage(parameter)
    }
    pub fn duration_of(&self, parameter: ParameterId) -> Duration {
        self.config().duration(parameter)
    }

    // -- time

    /// The drivers behind, for what only they do.
    pub fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }
    fn tick_clock(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let period = self.setup.period;
        let step = if self.setup.jitter {
            let percent = 70 + u32::try_from((self.random >> 33) % 61).unwrap();
            (period * percent / 100).max(1)
        } else {
            period
        };
        self.now = self.now.after(ms(step));
        step
    }
    /// The first step, at the start, without a sample.
    pub fn begin(&mut self) {
        self.feed(Input::Tick);
    }
    /// One sample period passes and a sample is stepped.
    pub fn step(&mut self) -> Command {
        let step = self.tick_clock();
        self.balance_moves(step);
        let sample = self.sample();
        self.feed(Input::Sample(&sample))
    }
    /// One sample period passes without news.
    pub fn step_tick(&mut self) -> Command {
        let step = self.tick_clock();
        self.balance_moves(step);
        self.feed(Input::Tick)
    }
    /// One sample period passes and the sampler fails.
    pub fn step_lost(&mut self) -> Command {
        let step = self.tick_clock();
        self.balance_moves(step);
        self.feed(Input::Lost(ErrorKind::Timeout))
    }
    /// Steps with a sample of the test's own making, at `now`.
    pub fn step_with(&mut self, sample: &Sample) -> Command {
        self.feed(Input::Sample(sample))
    }
    /// Nothing steps for a time.
    pub fn sleep(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }
    pub fn steps(&mut self, count: u32) -> Command {
        for _ in 0..count {
            self.step();
        }
        self.command
    }
    /// Steps for at least this long.
    pub fn advance(&mut self, time: Duration) -> Command {
        let end = self.now.after(time);
        while self.now < end {
            self.step();
        }
        self.command
    }
    /// Steps until the condition holds; fails after `limit`.
    pub fn until(&mut self, limit: Duration, what: &str, mut condition: impl FnMut(&Self) -> bool) -> Duration {
        let begin = self.now;
        while !condition(self) {
            assert!(self.now.since(begin) < limit, "not within {limit:?}: {what}; {}", self.story());
            self.step();
        }
        self.now.since(begin)
    }
    /// Steps for a time in which the condition must hold throughout.
    pub fn throughout(&mut self, time: Duration, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let end = self.now.after(time);
        while self.now < end {
            self.step();
            assert!(condition(self), "{what}; {}", self.story());
        }
    }
    /// Until both switches are closed.
    pub fn start(&mut self) {
        self.until(secs(100), "both switches close", |pack| pack.closed() == (true, true));
    }
    /// Started, and awake long enough for an automatic shutdown (D02).
    pub fn settle(&mut self) {
        self.advance(secs(70));
    }

    // -- what the core says

    /// Charge and discharge switch, closed or not.
    pub fn closed(&self) -> (bool, bool) {
        (self.command.charge.is_closed(), self.command.discharge.is_closed())
    }
    pub fn status(&self) -> Status<'_> {
        self.bms.status()
    }
    pub fn alarms(&self) -> AlarmSet {
        self.bms.alarms()
    }
    pub fn has(&self, alarm: Alarm) -> bool {
        self.alarms().contains(alarm)
    }
    /// Alarms that inhibit anything.
    pub fn trips(&self) -> Vec<Alarm> {
        self.alarms().iter().filter(|alarm| !alarm.is_warning()).collect()
    }
    pub fn heating(&self) -> bool {
        self.command.heater.is_on(self.now)
    }
    pub fn balancing(&self) -> bool {
        !self.command.balance.is_idle()
    }
    pub fn transfer(&self) -> Option<(u8, u8, Phase)> {
        match self.command.balance {
            Plan::Transfer { source, destination, phase, .. } => Some((source, destination, phase)),
            _ => None,
        }
    }
    pub fn saw(&self, wanted: impl Fn(&EventKind) -> bool) -> bool {
        self.events.iter().any(|event| wanted(&event.kind))
    }
    pub fn story(&self) -> String {
        let active: Vec<_> = self.alarms().iter().map(Alarm::name).collect();
        format!("at {:?}, closed {:?}, alarms {active:?}, command {:?}", self.now, self.closed(), self.command)
    }

    // -- rules of time (N02, N04)

    /// The next step brings the first violating sample: the alarm must come at the first step at which `delay`
    /// has passed since, not before. Gives the time of the alarm.
    pub fn expect_trip(&mut self, alarm: Alarm, delay: Duration) -> Instant {
        assert!(!self.has(alarm), "{alarm} too early; {}", self.story());
        self.step();
        let first = self.now;
        self.expect_trip_since(alarm, first, delay)
    }
    /// As [`Pack::expect_trip`], for a violation that began at `first`, this step's included.
    pub fn expect_trip_since(&mut self, alarm: Alarm, first: Instant, delay: Duration) -> Instant {
        loop {
            let due = self.now.since(first) >= delay;
            assert_eq!(self.has(alarm), due, "{alarm} {:?} after the first; {}", self.now.since(first), self.story());
            if due {
                return self.now;
            }
            self.step();
        }
    }
    /// The alarm must end at the first step at which `release` has passed since `raised`, not before.
    pub fn expect_release(&mut self, alarm: Alarm, raised: Instant, release: Duration) {
        loop {
            self.step();
            let due = self.now.since(raised) >= release;
            assert_eq!(!self.has(alarm), due, "{alarm} {:?} after the alarm; {}", self.now.since(raised), self.story());
            if due {
                return;
            }
        }
    }
    /// The alarm must not come within a time.
    pub fn expect_never(&mut self, alarm: Alarm, time: Duration) {
        self.throughout(time, alarm.name(), |pack| !pack.has(alarm));
    }

    // -- changes, applied alike to the core behind each driver

    pub fn request(&mut self, request: Request) -> Result<(), Refusal> {
        self.follower.each(&mut |bms| {
            let _ = bms.request(request);
        });
        self.bms.request(request)?;
        match request {
            Request::SetCharge(on) => self.wanted.charge = on,
            Request::SetDischarge(on) => self.wanted.discharge = on,
            Request::SetBalance(on) => self.wanted.balance = on,
            _ => {}
        }
        Ok(())
    }
    pub fn set(&mut self, parameter: ParameterId, value: i32) -> Result<(), Refusal> {
        self.follower.each(&mut |bms| {
            let _ = bms.set_parameter(parameter, value);
        });
        self.bms.set_parameter(parameter, value)
    }
    pub fn reconfigure(&mut self, config: ValidConfig) -> Result<(), Refusal> {
        self.follower.each(&mut |bms| {
            let _ = bms.reconfigure(config);
        });
        self.bms.reconfigure(config)
    }
    pub fn set_link_connected(&mut self, connected: bool) {
        self.follower.each(&mut |bms| bms.set_link_connected(connected));
        self.bms.set_link_connected(connected);
    }
    pub fn snapshot_stored(&mut self) {
        self.follower.each(&mut Bms::snapshot_stored);
        self.bms.snapshot_stored();
    }
    /// A reset: the same pack starts again from what was stored; the readings stay.
    pub fn reset(&self, cause: ResetCause) -> Self {
        self.restart_from(Stored::Snapshot(self.bms.snapshot()), cause)
    }
    pub fn restart_from(&self, stored: Stored, cause: ResetCause) -> Self {
        let mut setup = self.setup;
        setup.config = self.config().to_config();
        let mut next = setup.after_reset(stored, cause).starting_at(1_000).pack();
        next.cells.clone_from(&self.cells);
        next.current = Current::ZERO;
        (next.t1, next.t2, next.mos) = (self.t1, self.t2, self.mos);
        (next.stack, next.terminal, next.inputs) = (self.stack, self.terminal, self.inputs);
        next
    }

    fn feed(&mut self, input: Input<'_>) -> Command {
        let was_latched = self.latched;
        self.command = self.bms.step(self.now, input);
        self.bms.output_result(self.output);
        self.follower.step(self.now, input, self.output, &self.command);
        let mut shutting_down = false;
        while let Some(event) = self.bms.poll_event() {
            shutting_down |= event.kind == EventKind::ShuttingDown;
            if self.events.len() < 10_000 {
                self.events.push(event);
            }
        }
        if shutting_down && self.stores_snapshots {
            self.snapshot_stored();
        }
        self.check(was_latched, input);
        if self.command.clear_latch && !self.short {
            self.latched = false;
        }
        self.command
    }
}

/// A snapshot as a board in use would have it: half full, everything else as new.
pub fn half_full() -> Snapshot {
    Snapshot { remaining: Some(ah(140)), capacity: ah(280), ..Snapshot::default() }
}

/// A milliampere more.
pub const fn and_one_ma(current: Current) -> Current {
    current.plus(ma(1))
}
/// A tenth of a millivolt more.
pub const fn just_above(voltage: Voltage) -> Voltage {
    voltage.plus(uv(100))
}
/// A tenth of a millivolt less.
pub const fn just_below(voltage: Voltage) -> Voltage {
    voltage.minus(uv(100))
}
