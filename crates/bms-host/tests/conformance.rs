//! The conformance kit accepts the mock ports and rejects broken ones, each by the rule that it breaks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::Cell;

use bms_core::balancing::{BalancerCapabilities, Plan};
use bms_core::command::{Expiring, Power as PowerState, ScanMode, Switch};
use bms_core::config::Chemistry;
use bms_core::measurement::{Cells, Feedback, Group, Inputs, Sample, Temperatures};
use bms_core::port::compose::Senses;
use bms_core::port::{
    Balancer, CellSense, Clock, CurrentSense, ErrorKind, ErrorType, FeedbackSense, Heater, InputSense, Power,
    Precharge, Sampler, Switches, TemperatureSense,
};
use bms_core::time::{Instant, ms};
use bms_core::units::{Current, amps, ma};
use bms_host::conformance::{self as kit, Bench, Condition, Report, SamplerPromise, Verdict};
use bms_host::fault::{Channel, Fault, FaultControl, FaultKind};
use bms_host::mock::{
    MockBalancer, MockCells, MockCurrent, MockFeedback, MockHeater, MockInputs, MockLastResort, MockPack, MockPower,
    MockPrecharge, MockSampler, MockStack, MockSwitches, MockTemperatures,
};
use bms_host::plant::{PackSpec, Plant};
use bms_host::rig::Schedule;

const CELLS: u8 = 8;

fn pack() -> MockPack {
    let mut spec = PackSpec::new(Chemistry::LiFePo4, CELLS);
    spec.heater_ohms = Some(10.0);
    spec.precharge_ohms = Some(30.0);
    spec.terminal_voltage = true;
    MockPack::new(Plant::new(&spec).unwrap())
}

fn schedule() -> Schedule {
    Schedule::every(ms(50))
}

fn promise() -> SamplerPromise {
    SamplerPromise::new(CELLS)
}

/// No rule broken, none left out, and at least so many kept.
fn accepted(report: &Report, at_least: usize) {
    assert!(report.is_conformant(), "\n{report}");
    assert!(report.findings().all(|(_, verdict)| *verdict != Verdict::NotPossible), "\n{report}");
    assert!(report.passed() >= at_least, "\n{report}");
}

/// The rule is among the broken ones.
fn rejected(report: &Report, rule: &str) {
    assert!(report.failed().any(|failed| failed.starts_with(rule)), "wanted: {rule}\n{report}");
}

#[test]
fn the_mock_ports_keep_every_rule() {
    let mut report = Report::new();
    let mut bench = pack();
    let clock = bench.clock();
    kit::clock(&mut bench, &clock, &mut report);
    let mut port = MockSampler::new(&bench, schedule());
    kit::sampler::<24>(&mut bench, &mut port, promise(), &mut report);
    let mut bench = pack();
    kit::current_sense(&mut bench.clone(), &mut MockCurrent(bench.clone()), ma(100), &mut report);
    kit::temperature_sense(&mut bench.clone(), &mut MockTemperatures(bench.clone()), 0, &mut report);
    kit::feedback_sense(&mut bench.clone(), &mut MockFeedback(bench.clone()), ms(20), &mut report);
    kit::input_sense(&mut bench.clone(), &mut MockInputs(bench.clone()), &mut report);
    let mut other = pack();
    kit::switches(&mut other, |bench| MockSwitches::new(bench), &mut report);
    kit::balancer(&mut bench, |bench| MockBalancer::new(bench), CELLS, &mut report);
    kit::heater(&mut bench, |bench| MockHeater::new(bench), &mut report);
    kit::precharge(&mut bench, |bench| MockPrecharge::new(bench), &mut report);
    kit::last_resort(&mut bench, |bench| MockLastResort::new(bench), &mut report);
    kit::power(&mut bench, |bench| MockPower::new(bench), &mut report);
    accepted(&report, 50);
}

/// B01: the kit covers each kind of balancer; one that takes another kind's plans is found out.
#[test]
fn each_kind_of_balancer_keeps_every_rule() {
    use bms_core::balancing::BalancerKind;
    for (kind, rules) in [(BalancerKind::Transfer, 8), (BalancerKind::Shuttle, 7), (BalancerKind::Bleed, 7)] {
        let mut spec = PackSpec::new(Chemistry::LiFePo4, CELLS);
        spec.balancer.kind = kind;
        let mut bench = MockPack::new(Plant::new(&spec).unwrap());
        let mut report = Report::new();
        kit::balancer(&mut bench, |bench| MockBalancer::new(bench), CELLS, &mut report);
        assert!(report.is_conformant() && report.passed() == rules, "{kind:?}:\n{report}");
    }
}

#[test]
fn a_rig_without_instruments_passes_nothing() {
    struct Bare(MockPack);
    impl Bench for Bare {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn wait(&mut self, duration: bms_core::time::Duration) {
            self.0.advance(duration);
        }
    }
    let mut report = Report::new();
    kit::switches(&mut Bare(pack()), |bench| MockSwitches::new(&bench.0), &mut report);
    assert_eq!(report.passed(), 0, "\n{report}");
    assert!(report.is_conformant());
}

// ---- broken clocks ----

struct BrokenClock {
    pack: MockPack,
    calls: Cell<u64>,
    distort: fn(u64, u64) -> u64,
}

impl Clock for BrokenClock {
    fn now(&self) -> Instant {
        self.calls.set(self.calls.get() + 1);
        Instant::from_millis((self.distort)(self.pack.now().as_millis(), self.calls.get()))
    }
}

#[test]
fn broken_clocks_are_rejected() {
    for (rule, distort) in [
        ("Clock 1", (|now, calls| if calls % 50 == 0 { now.saturating_sub(40) } else { now }) as fn(u64, u64) -> u64),
        ("Clock 1", |now, _| now.min(5_000)),
        ("Clock 1", |now, _| now & 0xfff),
        ("Clock 4", |now, _| now * 105 / 100),
    ] {
        let mut bench = pack();
        bench.wait(ms(100));
        let clock = BrokenClock { pack: bench.clone(), calls: Cell::new(0), distort };
        let mut report = Report::new();
        kit::clock(&mut bench, &clock, &mut report);
        rejected(&report, rule);
    }
}

// ---- broken samplers: the fault middleware makes most of them ----

fn sampler_with(kind: FaultKind) -> Report {
    let mut bench = pack();
    let faults = FaultControl::new();
    let mut port = faults.wrap::<_, _, 24>(MockSampler::new(&bench, schedule()), &bench.clock(), 1);
    faults.add(Fault::from(Instant::ZERO, kind));
    let mut report = Report::new();
    kit::sampler::<24>(&mut bench, &mut port, promise(), &mut report);
    report
}

#[test]
fn samplers_with_injected_faults_are_rejected() {
    use FaultKind as F;
    for (kind, rule) in [
        (F::InvertedCurrent, "Sampler 5: gives current positive"),
        (F::SwappedCells(2, 5), "Sampler 4: gives cells in order"),
        (F::CellCount(CELLS - 1), "Sampler 4: gives the number of cells"),
        (F::Value { channel: Channel::Cells, value: 3_300_000 }, "Sampler 2: never gives the last"),
        (F::Late { channel: Channel::Cells, by_ms: 2_000 }, "Sampler 2: never gives the last"),
        (F::SamplerLost, "Sampler: delivers"),
        (F::SamplerSilent, "Sampler: delivers"),
        (F::Value { channel: Channel::Current, value: 0 }, "Sampler 5: gives current positive"),
    ] {
        rejected(&sampler_with(kind), rule);
    }
}

/// A sampler with one bad habit.
struct BadSampler {
    pack: MockPack,
    good: MockSampler,
    last: Sample,
    habit: Habit,
}

#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// Repeats what it has, with new time stamps, when the sensing is cut off.
    StaleWithNewStamps,
    /// Zero instead of an error.
    ZeroInsteadOfError,
    /// Always has something.
    NeverBlocks,
    /// Takes its time.
    WaitsInside,
    /// Delivers the same measurement twice.
    Repeats,
    /// Stamps the time of delivery plus a second.
    FromTheFuture,
    /// Ignores the quiet mode.
    NeverQuiet,
    /// Says "quiet" as soon as the balancer is off, without letting it settle.
    NotSettled,
    /// Dead for good after an error.
    DiesOfAnError,
    /// Clips a current beyond its range.
    Clips,
}

impl ErrorType for BadSampler {
    type Error = ErrorKind;
}

impl Sampler<24> for BadSampler {
    fn sample(&mut self, mode: ScanMode, sample: &mut Sample) -> nb::Result<(), ErrorKind> {
        let now = self.pack.now();
        let mode = if matches!(self.habit, Habit::NeverQuiet | Habit::NotSettled) { ScanMode::Any } else { mode };
        if self.habit == Habit::WaitsInside {
            self.pack.advance(ms(9));
        }
        let answer = self.good.sample(mode, sample);
        match (self.habit, &answer) {
            (Habit::StaleWithNewStamps, Err(nb::Error::Other(_))) => {
                *sample = self.last;
                restamp(sample, now);
                return Ok(());
            }
            (Habit::ZeroInsteadOfError, Err(nb::Error::Other(_))) => {
                sample.cells = Group::at(now, Cells::from_voltages(&[bms_core::units::Voltage::ZERO; CELLS as usize]));
                sample.current = Group::at(now, Current::ZERO);
                return Ok(());
            }
            (Habit::NeverBlocks | Habit::Repeats, Err(nb::Error::WouldBlock)) => {
                *sample = self.last;
                return if self.habit == Habit::NeverBlocks || now.as_millis() % 7 == 3 { Ok(()) } else { answer };
            }
            (Habit::DiesOfAnError, Err(nb::Error::Other(_))) => {
                self.good = MockSampler::new(&self.pack, Schedule::every(bms_core::time::Duration::MAX));
                let _ = self.good.sample(ScanMode::Any, sample);
                return answer;
            }
            (Habit::FromTheFuture, Ok(())) => restamp(sample, now.after(ms(1_000))),
            (Habit::NotSettled, Ok(())) => {
                if let Group::Measured { value, .. } = &mut sample.feedback {
                    value.quiet = self.pack.plant().plan().is_idle();
                    if !value.quiet {
                        sample.cells = Group::NotMeasured;
                    }
                }
            }
            (Habit::Clips, Ok(())) if sample.current == Group::Failed => {
                sample.current = Group::at(now, amps(500));
            }
            _ => {}
        }
        if answer.is_ok() {
            self.last = *sample;
        }
        answer
    }
}

fn restamp(sample: &mut Sample, now: Instant) {
    if let Group::Measured { at, .. } = &mut sample.cells {
        *at = now;
    }
    if let Group::Measured { at, .. } = &mut sample.current {
        *at = now;
    }
}

#[test]
fn samplers_with_bad_habits_are_rejected() {
    for (habit, rule) in [
        (Habit::StaleWithNewStamps, "Sampler 2: reports a reading that could not"),
        (Habit::ZeroInsteadOfError, "Sampler 2: reports a reading that could not"),
        (Habit::NeverBlocks, "Sampler 3: returns WouldBlock"),
        (Habit::WaitsInside, "Sampler 3: returns promptly"),
        (Habit::Repeats, "Sampler 1: each delivery"),
        (Habit::FromTheFuture, "Sampler 1: no measurement is from the future"),
        (Habit::NeverQuiet, "Sampler 6: no quiet scan while"),
        (Habit::NotSettled, "Sampler 6: a quiet scan begins after"),
        (Habit::DiesOfAnError, "Sampler 7"),
        (Habit::Clips, "CurrentSense: gives an error beyond"),
    ] {
        let mut bench = pack();
        // An odd period, so that no rhythm of the kit falls together with it.
        let good = MockSampler::new(&bench, Schedule::every(ms(7)));
        let mut port = BadSampler { pack: bench.clone(), good, last: Sample::new(), habit };
        let mut report = Report::new();
        kit::sampler::<24>(&mut bench, &mut port, promise(), &mut report);
        rejected(&report, rule);
    }
}

// ---- broken small senses ----

struct Bent<P>(P);

impl<P: ErrorType> ErrorType for Bent<P> {
    type Error = P::Error;
}
impl CurrentSense for Bent<MockCurrent> {
    fn current(&mut self) -> nb::Result<Current, ErrorKind> {
        self.0.current().map(|current| Current::ZERO.minus(current))
    }
}
impl TemperatureSense for Bent<MockTemperatures> {
    fn temperatures(&mut self) -> nb::Result<Temperatures, ErrorKind> {
        let mut all = self.0.temperatures()?;
        for reading in &mut all.battery {
            *reading = bms_core::measurement::Reading::Valid(reading.valid().unwrap_or_default());
        }
        Ok(all)
    }
}
impl FeedbackSense for Bent<MockFeedback> {
    fn feedback(&mut self) -> nb::Result<Feedback, ErrorKind> {
        self.0.feedback().map(|feedback| Feedback { quiet: true, ..feedback })
    }
}
impl InputSense for Bent<MockInputs> {
    fn inputs(&mut self) -> nb::Result<Inputs, ErrorKind> {
        let level = self.0.0.plant().comparator_level();
        self.0.inputs().map(|inputs| Inputs { short_circuit: level, ..inputs })
    }
}

#[test]
fn broken_small_senses_are_rejected() {
    let bench = pack();
    let mut report = Report::new();
    kit::current_sense(&mut bench.clone(), &mut Bent(MockCurrent(bench.clone())), ma(100), &mut report);
    rejected(&report, "CurrentSense: gives charging positive");
    kit::temperature_sense(&mut bench.clone(), &mut Bent(MockTemperatures(bench.clone())), 0, &mut report);
    rejected(&report, "TemperatureSense");
    kit::feedback_sense(&mut bench.clone(), &mut Bent(MockFeedback(bench.clone())), ms(20), &mut report);
    rejected(&report, "FeedbackSense");
    kit::input_sense(&mut bench.clone(), &mut Bent(MockInputs(bench.clone())), &mut report);
    rejected(&report, "InputSense");
}

// ---- broken switches ----

/// Switches with one fault. They drive the plant's gates past its own latch where the fault is to ignore it.
struct BadSwitches {
    pack: MockPack,
    fault: SwitchesFault,
    latched: bool,
    charge: Switch,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum SwitchesFault {
    LeftAsFound,
    ClosesOverTheLatch,
    ClearsWithTheLevelSet,
    ClearsUntold,
    NeverClears,
    ClosesFirst,
    SaysOkWhenDead,
    Swapped,
}

impl BadSwitches {
    fn new(pack: &MockPack, fault: SwitchesFault) -> Self {
        if fault != SwitchesFault::LeftAsFound {
            pack.plant().drive(Switch::Open, Switch::Open, false);
        }
        Self { pack: pack.clone(), fault, latched: false, charge: Switch::Open }
    }
}

impl ErrorType for BadSwitches {
    type Error = ErrorKind;
}

impl Switches for BadSwitches {
    fn apply(&mut self, charge: Switch, discharge: Switch, clear: bool) -> Result<(), ErrorKind> {
        use SwitchesFault as F;
        let mut plant = self.pack.plant();
        let powered = plant.powered();
        match self.fault {
            F::ClosesOverTheLatch => {
                let level = plant.comparator_level();
                // The latch is there and reported, but the gates are driven past it.
                self.latched |= level;
                if plant.latched() {
                    plant.hold_comparator(false);
                    plant.drive(charge, discharge, true);
                } else {
                    plant.drive(charge, discharge, clear);
                }
            }
            F::ClearsWithTheLevelSet if clear => {
                plant.hold_comparator(false);
                plant.drive(charge, discharge, true);
            }
            F::ClearsUntold => plant.drive(charge, discharge, true),
            F::NeverClears => plant.drive(charge, discharge, false),
            F::ClosesFirst => {
                let closes = charge != self.charge && charge == Switch::Open;
                if closes {
                    plant.drive(Switch::Closed, discharge, clear);
                    plant.advance(ms(1));
                }
                plant.drive(charge, discharge, clear);
            }
            F::Swapped => plant.drive(discharge, charge, clear),
            _ => plant.drive(charge, discharge, clear),
        }
        self.charge = charge;
        if powered || self.fault == F::SaysOkWhenDead { Ok(()) } else { Err(ErrorKind::Unpowered) }
    }
}

#[test]
fn broken_switches_are_rejected() {
    use SwitchesFault as F;
    for (fault, rule) in [
        (F::LeftAsFound, "Switches 1"),
        (F::ClosesOverTheLatch, "Switches 2: stay open while latched"),
        (F::ClearsWithTheLevelSet, "Switches 4: the latch is not cleared while"),
        (F::ClearsUntold, "Switches 4: the latch is cleared only when told"),
        (F::NeverClears, "Switches 4: the latch is cleared when told"),
        (F::ClosesFirst, "Switches 3"),
        (F::SaysOkWhenDead, "Switches 5"),
        (F::Swapped, "Switches: follow"),
    ] {
        let mut report = Report::new();
        kit::switches(&mut pack(), |bench| BadSwitches::new(bench, fault), &mut report);
        rejected(&report, rule);
    }
}

#[test]
fn a_short_circuit_that_opens_nothing_is_rejected() {
    /// A bench whose comparator is not wired to the gates.
    struct Unwired(MockPack, bool);
    impl Bench for Unwired {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn wait(&mut self, duration: bms_core::time::Duration) {
            self.0.advance(duration);
        }
        fn provoke(&mut self, condition: Condition) -> bool {
            match condition {
                Condition::ShortCircuit(present) => self.1 = present,
                other => return self.0.provoke(other),
            }
            true
        }
        fn observe(&mut self) -> kit::Observed {
            self.0.observe()
        }
    }
    let mut report = Report::new();
    kit::switches(&mut Unwired(pack(), false), |bench| MockSwitches::new(&bench.0), &mut report);
    rejected(&report, "Switches 2: a short circuit opens both");
}

// ---- broken balancers, heaters, supplies ----

struct BadBalancer {
    pack: MockPack,
    fault: BalancerFault,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum BalancerFault {
    LeftAsFound,
    NeverExpires,
    TooMuchCurrent,
    IdleIgnored,
    ObeysAnything,
    Overfills,
}

impl ErrorType for BadBalancer {
    type Error = ErrorKind;
}

fn change(plan: &Plan, current: Option<Current>, end: Option<Instant>) -> Plan {
    match *plan {
        Plan::Transfer { source, destination, phase, current: old, until } => {
            Plan::Transfer { source, destination, phase, current: current.unwrap_or(old), until: end.unwrap_or(until) }
        }
        other => other,
    }
}

impl Balancer for BadBalancer {
    fn capabilities(&self) -> BalancerCapabilities {
        let mut able = self.pack.plant().balancer_capabilities();
        if self.fault == BalancerFault::Overfills {
            // It knows no limit of its store, and promises a short phase.
            able.phase_time = ms(2_000);
        }
        able
    }
    fn apply(&mut self, plan: &Plan) -> Result<(), ErrorKind> {
        use BalancerFault as F;
        let mut plant = self.pack.plant();
        let maximum = plant.balancer_capabilities().maximum_current;
        match self.fault {
            F::NeverExpires => plant.balance(&change(plan, None, Some(Instant::from_millis(u64::from(u32::MAX))))),
            F::TooMuchCurrent => plant.balance(&change(plan, Some(maximum), None)),
            F::IdleIgnored if plan.is_idle() => Ok(()),
            F::ObeysAnything => {
                let _ = plant.balance(plan);
                Ok(())
            }
            _ => plant.balance(plan),
        }
    }
}

#[test]
fn broken_balancers_are_rejected() {
    use BalancerFault as F;
    for (fault, rule) in [
        (F::LeftAsFound, "Balancer 1"),
        (F::NeverExpires, "Balancer 2"),
        (F::TooMuchCurrent, "Balancer 3: never exceeds the plan's"),
        (F::IdleIgnored, "Balancer 4: is off for an idle plan"),
        (F::ObeysAnything, "Balancer 4: refuses"),
        (F::Overfills, "Balancer 5"),
    ] {
        let mut report = Report::new();
        let make = |bench: &mut MockPack| {
            if fault != F::LeftAsFound {
                let _ = bench.plant().balance(&Plan::Idle);
            }
            BadBalancer { pack: bench.clone(), fault }
        };
        kit::balancer(&mut pack(), make, CELLS, &mut report);
        rejected(&report, rule);
    }
}

/// On until told otherwise, whatever the end says.
struct Forever(MockPack);

fn for_ever(state: Expiring) -> Expiring {
    match state {
        Expiring::Off => Expiring::Off,
        Expiring::On { .. } => Expiring::On { until: Instant::from_millis(u64::from(u32::MAX)) },
    }
}

impl ErrorType for Forever {
    type Error = ErrorKind;
}
impl Heater for Forever {
    fn heat(&mut self, state: Expiring) -> Result<(), ErrorKind> {
        self.0.plant().heat(for_ever(state));
        Ok(())
    }
}
impl Precharge for Forever {
    fn precharge(&mut self, state: Expiring) -> Result<(), ErrorKind> {
        self.0.plant().precharge(for_ever(state));
        Ok(())
    }
}
impl Power for Forever {
    fn power(&mut self, _: PowerState) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[test]
fn outputs_that_do_not_expire_are_rejected() {
    let mut report = Report::new();
    kit::heater(&mut pack(), |bench| Forever(bench.clone()), &mut report);
    rejected(&report, "Heater: switches off by itself");
    rejected(&report, "Heater: is off when its constructor returns");
    kit::precharge(&mut pack(), |bench| Forever(bench.clone()), &mut report);
    rejected(&report, "Precharge: switches off by itself");
    kit::power(&mut pack(), |bench| Forever(bench.clone()), &mut report);
    rejected(&report, "Power: releases");
}

// ---- async ports, and samplers composed of small ports ----

#[test]
fn the_async_mock_ports_keep_every_rule() {
    let mut report = Report::new();
    let mut bench = pack();
    let mut port = kit::Awaited(MockSampler::new(&bench, schedule()));
    kit::sampler::<24>(&mut bench, &mut port, promise(), &mut report);
    let mut bench = pack();
    kit::current_sense(&mut bench.clone(), &mut kit::Awaited(MockCurrent(bench.clone())), ma(100), &mut report);
    kit::input_sense(&mut bench.clone(), &mut kit::Awaited(MockInputs(bench.clone())), &mut report);
    let mut other = pack();
    kit::switches(&mut other, |bench| kit::Awaited(MockSwitches::new(bench)), &mut report);
    kit::balancer(&mut bench, |bench| kit::Awaited(MockBalancer::new(bench)), CELLS, &mut report);
    kit::heater(&mut bench, |bench| kit::Awaited(MockHeater::new(bench)), &mut report);
    kit::power(&mut bench, |bench| kit::Awaited(MockPower::new(bench)), &mut report);
    accepted(&report, 40);
}

#[test]
fn a_sampler_composed_of_small_ports_keeps_every_rule() {
    for asynchronous in [false, true] {
        let mut bench = pack();
        let composed = Senses::new(bench.clock())
            .with_cells(MockCells(bench.clone()), ms(50))
            .with_current(MockCurrent(bench.clone()), ms(10))
            .with_temperatures(MockTemperatures(bench.clone()), ms(150))
            .with_stack(MockStack(bench.clone()), ms(50))
            .with_feedback(MockFeedback(bench.clone()), ms(10))
            .with_inputs(MockInputs(bench.clone()), ms(10));
        let mut report = Report::new();
        if asynchronous {
            kit::sampler::<24>(&mut bench, &mut kit::Awaited(composed), promise(), &mut report);
        } else {
            let mut composed = composed;
            kit::sampler::<24>(&mut bench, &mut composed, promise(), &mut report);
        }
        accepted(&report, 14);
    }
}

#[test]
fn the_middleware_without_faults_changes_nothing_and_with_faults_acts_on_small_ports() {
    let bench = pack();
    let faults = FaultControl::new();
    let mut port = faults.wrap::<_, _, 24>(MockCurrent(bench.clone()), &bench.clock(), 1);
    let mut report = Report::new();
    kit::current_sense(&mut bench.clone(), &mut port, ma(100), &mut report);
    accepted(&report, 3);
    faults.add(Fault::from(bench.now(), FaultKind::InvertedCurrent));
    let mut report = Report::new();
    kit::current_sense(&mut bench.clone(), &mut port, ma(100), &mut report);
    rejected(&report, "CurrentSense: gives charging positive");
    faults.clear();
    faults.add(Fault::from(bench.now(), FaultKind::Lost(Channel::Current)));
    assert!(matches!(CurrentSense::current(&mut port), Err(nb::Error::Other(_))));
    let mut cells = Cells::<24>::new(0);
    let mut port = faults.wrap::<_, _, 24>(MockCells(bench.clone()), &bench.clock(), 1);
    faults.add(Fault::from(bench.now(), FaultKind::CellInvalid(2)));
    CellSense::cells(&mut port, &mut cells).unwrap();
    assert!(!cells.get(2).is_valid() && cells.get(3).is_valid());
    let mut clock = faults.wrap::<_, _, 24>(bench.clock(), &bench.clock(), 1);
    faults.add(Fault::during(bench.now().after(ms(3_000)), ms(500), FaultKind::ClockBack(100)));
    let mut report = Report::new();
    kit::clock(&mut bench.clone(), &clock, &mut report);
    rejected(&report, "Clock 1");
    let _ = clock.inner();
}
