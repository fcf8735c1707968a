//! [`Bms`]: the one object. Time and measurements in, a [`Command`] out.

mod balance;
mod decide;
mod limits;
mod protect;
mod report;
mod requests;
#[cfg(test)]
mod tests;

pub use requests::{Refusal, Request};

use crate::balancing::{BalancerCapabilities, Guard, Quota, Strategy, WireTest};
use crate::command::{Beep, Command, Expiring};
use crate::config::{ParameterId as P, ValidConfig};
use crate::estimation::{Anchor, CoulombCounter, Estimator, Evidence};
use crate::event::{Event, EventKind, EventQueue};
use crate::fittings::{AllFitted, Fittings};
use crate::guard::LimitGuard;
use crate::heating::HeaterControl;
use crate::lifecycle::{Change, Lifecycle, Signs, State};
use crate::limits::Tapers;
use crate::measurement::{
    CHARGER_CURRENT, Calibration, Channel, Group, Input, Limits, Measurement, Sample, WireEstimator,
};
use crate::port::{ErrorKind, NotFitted};
use crate::precharge::PrechargeControl;
use crate::protection::{Alarm, AlarmSet, Conduct, Edges, Inhibit, Protection, Retries, Window};
use crate::snapshot::{ResetCause, Stored, UserSwitches};
use crate::time::Instant;
use crate::units::Voltage;

/// The battery protection core.
///
/// `N` sizes the buffers for the cells (how many there are is a parameter), `E` estimates the state of charge, `S`
/// chooses what to balance. The defaults are exact counting and charge quotas; the manual's own balancing rule is
/// [`ManualRule`](crate::balancing::ManualRule), with [`Bms::with_parts`]. `F` says which of heater and precharge path the
/// board has. What a board lacks is [`NotFitted`] and costs nothing: see
/// [`fittings`](crate::fittings).
#[derive(Clone, Debug)]
pub struct Bms<const N: usize = 24, E = CoulombCounter, S = Quota<N>, F: Fittings = AllFitted> {
    config: ValidConfig,
    calibration: Calibration,
    guard: LimitGuard,
    window: Window,
    measurement: Measurement<N>,
    wires: WireEstimator<N>,
    protection: Protection,
    retries: Retries,
    estimator: E,
    strategy: S,
    capabilities: BalancerCapabilities,
    limits_of_balancing: Guard,
    wire_test: WireTest,
    lifecycle: Lifecycle,
    heating: F::Heater,
    precharge: F::Precharge,
    tapers: Tapers,
    events: EventQueue,
    switches: UserSwitches,
    /// The previous command: what the outputs were told.
    command: Command,
    last_step: Option<Instant>,
    /// Alarms that were restored and not reported yet.
    restored: AlarmSet,
    run_time: u64,
    /// Scans that came while the clock told the same time (X20).
    scans_in_no_time: u8,
    /// How long the balancer has been told to be off, in ms.
    idle_time: u32,
    chemistry: ChemistryWatch,
    previous_inputs: SeenInputs,
    beep: Beep,
    flags: Flags,
}

/// What was asked or noticed between two steps.
#[derive(Clone, Copy, Debug, Default)]
struct Flags(u16);

impl Flags {
    const EMERGENCY: u16 = 1;
    const SHUTDOWN_REQUESTED: u16 = 1 << 1;
    /// A request or a change came since the last step: nothing closes in the next one (N07).
    const CHANGED: u16 = 1 << 2;
    /// Everything starts anew: what was closed counts as open (N07).
    const RESTARTED: u16 = 1 << 3;
    const OUTPUT_FAILED: u16 = 1 << 4;
    /// The last step was late, or time went back.
    const UNTIMELY: u16 = 1 << 5;
    const TIME_WENT_BACK: u16 = 1 << 6;
    const LIMITS_CORRUPT: u16 = 1 << 7;
    const LINK_CONNECTED: u16 = 1 << 8;
    /// An alarm held the switch open in the last step, so what flowed since went through its diode (X12).
    const CHARGE_HELD: u16 = 1 << 9;
    const DISCHARGE_HELD: u16 = 1 << 10;
    /// Those that an alarm stands for.
    const FACTS: u16 =
        Self::EMERGENCY | Self::OUTPUT_FAILED | Self::UNTIMELY | Self::TIME_WENT_BACK | Self::LIMITS_CORRUPT;

    const fn has(self, any: u16) -> bool {
        self.0 & any != 0
    }
    const fn insert(&mut self, flags: u16) {
        self.0 |= flags;
    }
    const fn remove(&mut self, flags: u16) {
        self.0 &= !flags;
    }
    const fn set(&mut self, flag: u16, on: bool) {
        if on {
            self.insert(flag);
        } else {
            self.remove(flag);
        }
    }
}

/// The first scans after a start: do they fit the chemistry (X15)?
#[derive(Clone, Copy, Debug, Default)]
struct ChemistryWatch {
    scans: u8,
    implausible: u8,
}

/// So many scans within one millisecond are no board's: the clock stands still, or steps come without one.
const SCANS_IN_NO_TIME: u8 = 8;
/// Scans that X15 looks at.
const CHEMISTRY_SCANS: u8 = 3;

/// Load and charger in the previous step, to see them go (D10).
#[derive(Clone, Copy, Debug, Default)]
struct SeenInputs {
    charger: bool,
    load: bool,
}

impl Bms {
    /// A BMS for up to 24 cells with the exact counter and charge quotas for balancing. Everything is open until the first
    /// complete valid sample.
    #[must_use]
    pub const fn new(config: ValidConfig) -> Self {
        Self::with_parts(config, CoulombCounter::new(&config), Quota::new())
    }
}

impl<const N: usize> Bms<N> {
    /// A BMS for up to `N` cells (at most 32). A configured count above `N` never starts: the cell-count alarm stays.
    #[must_use]
    pub const fn with_capacity(config: ValidConfig) -> Self {
        Self::with_parts(config, CoulombCounter::new(&config), Quota::new())
    }
}

impl<const N: usize, E, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// A BMS with an estimator and a balancing strategy of your own.
    #[must_use]
    pub const fn with_parts(config: ValidConfig, estimator: E, strategy: S) -> Self {
        let (calibration, window) = (Calibration::of(&config), Window::of(&config));
        let measurement = Measurement::for_start(&config);
        let derived = protect::derived(&calibration, &window, &measurement.channels);
        Self {
            guard: LimitGuard::new(&config, derived),
            calibration,
            window,
            measurement,
            wires: WireEstimator::new(),
            protection: Protection::new(),
            retries: Retries::new(),
            estimator,
            strategy,
            capabilities: if S::FITTED { BalancerCapabilities::MANUAL } else { NotFitted::CAPABILITIES },
            limits_of_balancing: Guard::new(),
            wire_test: WireTest::new(),
            lifecycle: Lifecycle::new(),
            heating: F::Heater::NEW,
            precharge: F::Precharge::NEW,
            tapers: Tapers::new(),
            events: EventQueue::new(),
            switches: UserSwitches { charge: true, discharge: true, balance: true },
            command: Command::SAFE,
            last_step: None,
            restored: AlarmSet::EMPTY,
            run_time: 0,
            scans_in_no_time: 0,
            idle_time: 0,
            chemistry: ChemistryWatch { scans: 0, implausible: 0 },
            previous_inputs: SeenInputs { charger: false, load: false },
            beep: Beep::Awake,
            flags: Flags(0),
            config,
        }
    }
}

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// Takes up what the store had. Call once, before the first step.
    ///
    /// Restored alarms hold to their recovery; timed ones start their release time anew, so a reset never shortens one
    /// (law 5). After an abnormal reset everything stays open for the short-circuit release time (X18).
    pub fn restore(&mut self, stored: Stored, cause: ResetCause) {
        // The first would shut the BMS down at once; a reset is what helps against the second (X20).
        const MOMENTARY: AlarmSet = AlarmSet::of(&[Alarm::AutoShutdown, Alarm::LimitsCorrupt]);
        // They recover only by the sensors that could raise them (D16, law 2).
        const OF_BATTERY_SENSORS: AlarmSet = AlarmSet::of(&[
            Alarm::ChargeOvertemperature,
            Alarm::DischargeOvertemperature,
            Alarm::ChargeUndertemperature,
            Alarm::DischargeUndertemperature,
            Alarm::TemperatureSpread,
            Alarm::BatterySensorFault,
        ]);
        match stored {
            Stored::Nothing => {}
            Stored::Snapshot(snapshot) => {
                self.protection.raise(snapshot.alarms.minus(MOMENTARY));
                if !snapshot.alarms.common(OF_BATTERY_SENSORS).is_empty() {
                    self.measurement.temperatures.expect(snapshot.sensors_seen);
                }
                self.flags.set(Flags::EMERGENCY, snapshot.alarms.contains(Alarm::EmergencyStop));
                self.retries = snapshot.retries;
                self.run_time = snapshot.run_time_seconds.saturating_mul(1_000);
                self.switches = snapshot.switches;
                self.estimator.restore(&snapshot);
                self.strategy.restore(&snapshot.balancing);
            }
            Stored::Corrupt => self.protection.raise(AlarmSet::EMPTY.with(Alarm::StorageCorrupt)),
            Stored::CountersCorrupt => self.protection.raise(AlarmSet::EMPTY.with(Alarm::CountersCorrupt)),
        }
        if cause.is_abnormal() && self.config.flag(P::ResetHoldOff) {
            self.protection.raise(AlarmSet::EMPTY.with(Alarm::ResetHoldOff));
        }
        self.restored = self.protection.active();
    }
    /// Tells how long the pack stood without power since the snapshot, in seconds, where the board has a clock that went on;
    /// `None` after a switch-off of unknown length. Call it, if at all, right after [`Bms::restore`]: the state of charge then
    /// loses what cells lose by themselves, is less sure by as much, and the first voltage counts as one at rest. Without the
    /// call no time has passed, as after a watchdog's reset.
    pub fn was_off(&mut self, seconds: Option<u32>) {
        self.estimator.was_off(seconds);
    }
    /// Tells what the fitted balancer can do; the default is [`BalancerCapabilities::MANUAL`].
    pub fn set_balancer(&mut self, capabilities: BalancerCapabilities) {
        self.capabilities = capabilities;
    }

    /// **One step**: what is known, and what shall be done about it.
    ///
    /// Pure and total: bounded time, no I/O, no panic; the same inputs give the same outputs. `now` should not go back
    /// (that is a fault, X20) and steps should come at least every [`Bms::deadline`].
    pub fn step(&mut self, now: Instant, input: Input<'_, N>) -> Command {
        let elapsed = self.pass_time(now);
        self.watch_clock(elapsed, &input);
        self.take(now, elapsed, input);
        if S::FITTED {
            self.pass_balancing(elapsed);
        }
        self.look_at_start();
        let edges = self.protect(elapsed);
        self.report_alarms(now, edges);
        self.estimate(now, elapsed, edges);
        self.live(now, elapsed);
        let before = Outputs::of(&self.command);
        self.decide(now, elapsed);
        self.flags.remove(Flags::RESTARTED);
        self.report_outputs(now, before);
        self.learn_from_outputs(elapsed, before);
        self.flags.remove(Flags::CHANGED);
        self.command
    }

    /// Only the part from sample to alarms, to measure what it costs.
    #[doc(hidden)]
    pub fn protect_for_measurement(&mut self, now: Instant, input: Input<'_, N>) -> AlarmSet {
        let elapsed = self.pass_time(now);
        self.watch_clock(elapsed, &input);
        self.take(now, elapsed, input);
        self.look_at_start();
        self.protect(elapsed);
        self.protection.active()
    }

    /// Time since the previous step in ms; notes a late step and a clock that went back (X20).
    fn pass_time(&mut self, now: Instant) -> u32 {
        let last = self.last_step.replace(now).unwrap_or(now);
        self.flags.remove(Flags::UNTIMELY | Flags::TIME_WENT_BACK);
        let elapsed = match now.directly_after(last) {
            Some(elapsed) => elapsed,
            None => self.out_of_time(now, last),
        };
        if elapsed > self.measurement.channels.lost(Channel::Cells) {
            self.flags.insert(Flags::UNTIMELY);
        }
        // It would wrap after 584 million years.
        self.run_time = self.run_time.wrapping_add(u64::from(elapsed));
        elapsed
    }

    /// Notes a clock that stands still while scans come in (X20): no delay would ever end, and every reading would stay new.
    fn watch_clock(&mut self, elapsed: u32, input: &Input<'_, N>) {
        if elapsed != 0 {
            self.scans_in_no_time = 0;
            return;
        }
        if matches!(input, Input::Sample(Sample { cells: Group::Measured { .. }, .. })) {
            self.scans_in_no_time = self.scans_in_no_time.saturating_add(1);
        }
        if self.scans_in_no_time > SCANS_IN_NO_TIME {
            self.flags.insert(Flags::UNTIMELY | Flags::TIME_WENT_BACK);
        }
    }

    /// Time went back, or stood still for more than 49 days.
    #[cold]
    #[inline(never)]
    fn out_of_time(&mut self, now: Instant, last: Instant) -> u32 {
        if now < last {
            self.flags.insert(Flags::UNTIMELY | Flags::TIME_WENT_BACK);
            // Its times are from another clock.
            self.precharge.forgive();
        }
        now.since(last).as_millis()
    }

    fn take(&mut self, now: Instant, elapsed: u32, input: Input<'_, N>) {
        let limits = Limits { config: &self.config, calibration: &self.calibration, window: &self.window };
        self.measurement.take(now, elapsed, input, &limits);
    }

    /// X15: the first complete scans must fit the chemistry.
    fn look_at_start(&mut self) {
        if self.chemistry.scans >= CHEMISTRY_SCANS {
            return;
        }
        let complete = self.measurement.channels.fresh(Channel::Cells) && self.measurement.suspect == 0;
        if !complete {
            return;
        }
        self.measurement.complete_extremes(&self.config);
        let extremes = &self.measurement.extremes;
        let chemistry = self.config.chemistry();
        let implausible = self.config.flag(P::ChemistryCheck)
            && (extremes.highest() > chemistry.plausible_maximum()
                || extremes.highest() < chemistry.plausible_minimum());
        self.chemistry = if implausible {
            ChemistryWatch {
                scans: self.chemistry.scans.saturating_add(1),
                implausible: self.chemistry.implausible.saturating_add(1),
            }
        } else {
            // One that fits settles it, as a good sample ends any delay (N02).
            ChemistryWatch { scans: CHEMISTRY_SCANS, implausible: 0 }
        };
    }

    #[inline(never)]
    fn estimate(&mut self, now: Instant, elapsed: u32, edges: Edges) {
        self.measurement.complete_extremes(&self.config);
        if !E::FITTED {
            return;
        }
        let interval = self.measurement.count_current();
        let complete = self.measurement.channels.fresh(Channel::Cells) && self.measurement.suspect == 0;
        let range = self.measurement.temperatures.battery();
        let (charge, discharge) = (self.command.charge.is_closed(), self.command.discharge.is_closed());
        let cells = complete.then(|| self.measurement.scan(&self.config));
        let balancing = &self.command.balance;
        let reported = self.measurement.feedback_fresh.then_some(self.measurement.feedback.balance_current.magnitude());
        let anchor = self.estimator.update(&Evidence {
            config: &self.config,
            interval,
            cells,
            quiet: self.command.balance.is_idle() && self.is_quiet(),
            temperature: range.any.then(|| range.warmest.plus(range.coldest).divided_by(2)),
            disconnected: !charge && !discharge,
            elapsed,
            overvoltage: edges.raised.contains(Alarm::CellOvervoltage),
            undervoltage: edges.raised.contains(Alarm::CellUndervoltage),
            balancing,
            balance_current: reported.unwrap_or(balancing.current()),
        });
        match anchor {
            Some(Anchor::Full) => self.events.push(now, EventKind::Full),
            Some(Anchor::Empty) => self.events.push(now, EventKind::Empty),
            None => {}
        }
    }

    /// Moves the lifecycle on.
    #[inline(never)]
    fn live(&mut self, now: Instant, elapsed: u32) {
        let inputs = &self.measurement.inputs;
        let lifted = self.measurement.terminal_over_stack().is_some_and(|over| over > WAKE_VOLTAGE);
        let signs = Signs {
            elapsed,
            complete: self.measurement.usable && self.chemistry_settled(),
            shut_down: self.flags.has(Flags::SHUTDOWN_REQUESTED)
                || self.protection.inhibits(Inhibit::POWER, &self.config),
            wake: lifted || inputs.activation || inputs.reverse_wake || inputs.charger == Some(true),
        };
        match self.lifecycle.step(&signs) {
            Some(Change::Started) => self.events.push(now, EventKind::Started),
            Some(Change::ShuttingDown) => self.events.push(now, EventKind::ShuttingDown),
            Some(Change::Anew) => {
                if self.flags.has(Flags::SHUTDOWN_REQUESTED) {
                    // A commanded shutdown and wake clears the trip counts (D10).
                    self.retries = Retries::new();
                }
                self.flags.remove(Flags::SHUTDOWN_REQUESTED);
                self.clear_alarms(AlarmSet::EMPTY.with(Alarm::AutoShutdown));
                self.start_anew();
                self.beep = Beep::Awake;
            }
            None => {}
        }
    }

    /// Ends alarms other than by their rows. What was told when it came is told when it goes.
    #[cold]
    #[inline(never)]
    fn clear_alarms(&mut self, alarms: AlarmSet) {
        let at = self.last_step.unwrap_or_default();
        for alarm in self.protection.active().common(alarms).iter() {
            self.events.push(at, EventKind::Cleared { alarm });
        }
        self.protection.clear(alarms);
    }

    /// Everything open until the next complete valid sample (D32).
    #[cold]
    #[inline(never)]
    fn start_anew(&mut self) {
        self.lifecycle.restart();
        self.flags.insert(Flags::RESTARTED);
        self.measurement = Measurement::for_start(&self.config);
        self.measurement.channels.begin_now();
        self.wires = WireEstimator::new();
        self.wire_test = WireTest::new();
        self.chemistry = ChemistryWatch::default();
        self.protection.forget_pending();
        self.precharge = F::Precharge::NEW;
        self.heating = F::Heater::NEW;
    }

    fn chemistry_settled(&self) -> bool {
        self.chemistry.implausible == 0 || self.chemistry.scans >= CHEMISTRY_SCANS
    }

    fn report_outputs(&mut self, now: Instant, before: Outputs) {
        let after = Outputs::of(&self.command);
        if (after.charge, after.discharge) != (before.charge, before.discharge) {
            self.events.push(now, EventKind::Switched { charge: after.charge, discharge: after.discharge });
        }
        if after.balancing != before.balancing {
            self.events.push(now, EventKind::Balancing { active: after.balancing });
        }
        if after.heating != before.heating {
            self.events.push(now, EventKind::Heating { active: after.heating });
        }
    }

    /// Trip counts, load and charger, wires: what follows from what was ordered and seen.
    #[inline(never)]
    fn learn_from_outputs(&mut self, elapsed: u32, before: Outputs) {
        // The current of this step flowed through the switches as they were.
        let (charge, discharge) = (before.charge, before.discharge);
        // Only an input sees a removal; a current also ends because a switch opened.
        let charger = self.measurement.inputs.charger == Some(true);
        let load = self.measurement.inputs.load == Some(true);
        let usable = self.measurement.channels.usable(Channel::Current);
        let current = self.measurement.milliamps;
        let conduct = Conduct {
            elapsed,
            charging: usable && charge && current > CHARGER_CURRENT,
            discharging: usable && discharge && current < crate::units::Current::ZERO.minus(CHARGER_CURRENT),
            load_removed: self.previous_inputs.load && self.measurement.inputs.load == Some(false),
            charger_removed: self.previous_inputs.charger && self.measurement.inputs.charger == Some(false),
        };
        self.retries.pass(self.retry_limit(), &conduct);
        self.previous_inputs = SeenInputs { charger, load };
        self.idle_time = if self.command.balance.is_idle() { self.idle_time.saturating_add(elapsed) } else { 0 };
    }

    /// The result of applying the last command; a failed write is an input to the next step.
    pub fn output_result(&mut self, result: Result<(), ErrorKind>) {
        self.flags.set(Flags::OUTPUT_FAILED, result.is_err());
    }
    /// When the next step must come at the latest: two sample periods after the last one. A driver that has no sample by
    /// then steps with [`Input::Lost`].
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let period = self.config.duration(P::SamplePeriod);
        self.last_step.map_or(Instant::ZERO, |last| last.after(period).after(period))
    }
    /// Whether the last step was in time and the integrity checks are good, whatever alarms are active. Only then may the
    /// watchdog be fed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.flags.has(Flags::UNTIMELY)
            && !self.flags.has(Flags::LIMITS_CORRUPT)
            && !self.measurement.inputs.self_test_failed
    }
    /// Tells whether a wireless link is connected, for its LED (I04).
    pub fn set_link_connected(&mut self, connected: bool) {
        self.flags.set(Flags::LINK_CONNECTED, connected);
    }
    /// The oldest event that was not fetched yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }
    /// How many events were lost because nobody fetched them; saturates.
    #[must_use]
    pub fn events_lost(&self) -> u32 {
        self.events.lost()
    }
    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &ValidConfig {
        &self.config
    }
    /// The command of the last step.
    #[must_use]
    pub const fn command(&self) -> Command {
        self.command
    }
    /// The active alarms.
    #[must_use]
    pub const fn alarms(&self) -> AlarmSet {
        self.protection.active()
    }
    /// The alarms whose delay is running.
    #[must_use]
    pub const fn pending_alarms(&self) -> AlarmSet {
        self.protection.pending()
    }
    /// The estimator.
    #[must_use]
    pub const fn estimator(&self) -> &E {
        &self.estimator
    }
    /// The balancing strategy.
    #[must_use]
    pub const fn strategy(&self) -> &S {
        &self.strategy
    }
    /// Where the BMS stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.lifecycle.state()
    }
    /// The snapshot that [`EventKind::ShuttingDown`] asked for is stored; the power may go.
    pub fn snapshot_stored(&mut self) {
        self.lifecycle.stored();
    }
}

/// A charger that lifts the terminal by this much wakes the BMS (A01).
const WAKE_VOLTAGE: Voltage = crate::units::mv(5_000);

/// What of a command is worth an event.
#[derive(Clone, Copy)]
struct Outputs {
    charge: bool,
    discharge: bool,
    balancing: bool,
    heating: bool,
}

impl Outputs {
    fn of(command: &Command) -> Self {
        Self {
            charge: command.charge.is_closed(),
            discharge: command.discharge.is_closed(),
            balancing: !command.balance.is_idle(),
            heating: !matches!(command.heater, Expiring::Off),
        }
    }
}
