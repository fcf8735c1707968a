//! The model-based estimator: exact counting, corrected by what the voltage tells.
//!
//! Every 5 s the means of current, voltage and temperature become one observation. While the state of charge is unknown a
//! [`Bank`] compares hypotheses; once it is known to a few percent a [`Tracker`] takes over. What neither can explain for
//! two minutes starts the bank again. The counters (T08–T11) and both anchors are those of the [`CoulombCounter`].

use super::bank::{Bank, COUNT, POINTS, Pass, SPACING};
use super::display::Display;
use super::math::{ONE, decay, logarithm, narrow, ratio, scaled};
use super::model::{CellModel, PATHS, Resistances, Tuning, between_knots};
use super::tracker::{Seen, Tracker, deviation, variance};
use super::{Anchor, CoulombCounter, Estimator, Evidence, Learned, Source, StateOfCharge, StateOfHealth};
use crate::config::{ParameterId as P, ValidConfig};
use crate::snapshot::Snapshot;
use crate::units::{Charge, Current, Resistance, Temperature, Voltage};

/// Length of a window, in ms of known current.
const WINDOW: u32 = 5_000;
/// How many hypotheses one step looks at.
const PER_STEP: usize = 24;
/// Unexplained voltage for this long, in ms, starts the hypotheses anew.
const UNEXPLAINED: u32 = 120_000;
/// Nine, with one = 2^16: three sigmas squared.
const THREE_SIGMAS: i64 = 9 << 16;
/// A current above this part of the capacity per hour at the start means that load went before; one = 2^16.
const UNDER_LOAD: i32 = 1_311;
/// Thousandths of the capacity per hour that cannot be a sensor's offset.
const STUCK: i64 = 20;
/// Polarisation in µV below which the under-voltage alarm is an anchor.
const RESTED: i32 = 100_000;
/// Temperature while no sensor delivers.
const ROOM: Temperature = Temperature::from_tenths(250);

/// A state of charge in millionths, with one = 2^30.
pub(super) fn from_millionths(millionths: u32) -> i32 {
    narrow(ratio(i64::from(millionths.min(1_000_000)) << 30, 1_000_000))
}

/// The distance of a pass's prepared points; one = 2^30. Rounded up, so that the last one is full.
const FIVE_PERCENT: i32 = ((1 << 30) + 19) / 20;
/// The capacity is learned after this part of it has moved; one = 2^30.
const LEARNING: i64 = ONE / 5;
/// The value of `capacity_learning` that allows it.
const PARTIAL_CYCLES: i32 = 2;
/// What the table's error along the state of charge may come to as a voltage, in µV: or nothing would ever contradict an
/// estimate that stands at the steep end of the curve.
pub(super) const STEEPEST: i64 = 150_000;
/// How finely the bank can tell, in millionths: its spacing over √12.
const GRID: i64 = 5_774;
/// What a capacity may change by over a fifth of a cycle, in millionths.
const AGEING: i64 = 1_000;

/// Sums of one window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    moved: Charge,
    length: u32,
    /// µV·ms and ms of the average cell.
    voltage: i64,
    weight: u32,
    /// Time since the last voltage, in ms.
    since: u32,
}

/// Estimates the state of charge from current, voltage, temperature and a [`CellModel`].
#[derive(Clone, Debug)]
pub struct ModelEstimator {
    model: CellModel,
    ledger: CoulombCounter,
    window: Window,
    resistances: Resistances,
    tracker: Tracker,
    bank: Bank,
    display: Display,
    /// The current behind the lags, as C-rates with one = 2^24, and how much of the unknown past is left in each.
    lagged: [i64; 3],
    past: [i64; 3],
    /// Branch of the hysteresis, −1 … 1, and how much of it is unknown; one = 2^30.
    branch: i64,
    branch_unknown: i64,
    /// Charge counted since the bank began; one = 2^30.
    counted: i64,
    /// Charge moved since the capacity was learned; one = 2^30.
    throughput: i64,
    /// Variance of the state of charge, one = 2^40.
    spread: i64,
    temperature: Temperature,
    unexplained: u32,
    phase: Phase,
    under_load: bool,
    tail: bool,
    last: Observation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was seen yet.
    New,
    /// Known from a snapshot; nothing was seen yet.
    Restored,
    Bank,
    Tracker,
}

/// One window, normalised.
#[derive(Clone, Copy, Debug)]
struct Observation {
    /// Mean current and mean lagged currents as C-rates of the model's capacity; one = 2^16.
    currents: [i32; PATHS],
    /// Charge moved as a part of the capacity, one = 2^30.
    moved: i64,
    hours: i64,
    length: u32,
    /// Mean voltage in µV, if there was one.
    voltage: Option<i32>,
    /// Measured mean current as a C-rate of the capacity; one = 2^30.
    measured: i64,
    resting: bool,
}

const NOTHING: Observation =
    Observation { currents: [0; PATHS], moved: 0, hours: 0, length: 0, voltage: None, measured: 0, resting: false };

impl ModelEstimator {
    /// An estimator for a kind of cell that knows nothing yet of this pack.
    #[must_use]
    pub const fn new(config: &ValidConfig, model: CellModel) -> Self {
        Self {
            model,
            ledger: CoulombCounter::new(config),
            window: Window { moved: Charge::ZERO, length: 0, voltage: 0, weight: 0, since: 0 },
            resistances: Resistances::new(),
            tracker: Tracker::new(),
            bank: Bank::new(),
            display: Display::new(),
            lagged: [0; 3],
            past: [ONE; 3],
            branch: 0,
            branch_unknown: 0,
            counted: 0,
            throughput: 0,
            spread: 0,
            temperature: ROOM,
            unexplained: 0,
            phase: Phase::New,
            under_load: false,
            tail: false,
            last: NOTHING,
        }
    }
    /// The exact counter underneath.
    #[must_use]
    pub const fn counter(&self) -> &CoulombCounter {
        &self.ledger
    }
    /// Whether hypotheses are being compared because the state of charge is not known well.
    #[must_use]
    pub fn is_searching(&self) -> bool {
        self.phase == Phase::Bank
    }

    /// A charge as a part of the capacity, one = 2^30.
    fn part(&self, charge: Charge) -> i64 {
        // Twelve bits off both: the capacity of 0.1 Ah still has 88 000 steps, and 9 000 Ah do not overflow.
        ratio(charge.as_milliamp_millis() << 18, self.ledger.capacity().as_milliamp_millis() >> 12)
    }
    /// A current as a C-rate of a capacity, with one = 2^`bits`.
    fn rate(charge: Charge, length: u32, capacity: Charge, bits: u32) -> i64 {
        let milliamps = ratio(charge.as_milliamp_millis() << 10, i64::from(length));
        ratio(milliamps << (bits.saturating_sub(10)), capacity.as_milliamp_hours())
    }

    fn tuning(&self) -> &'static Tuning {
        self.model.tuning
    }

    /// Adds a step to the window; the finished window, if it is long enough.
    fn gather(&mut self, evidence: &Evidence<'_>) -> Option<Window> {
        let interval = &evidence.interval;
        let window = &mut self.window;
        if interval.known > 0 {
            window.moved = window.moved.plus(Charge::moved(interval.current, interval.known));
            window.length = window.length.saturating_add(interval.known);
        }
        window.since = window.since.saturating_add(evidence.elapsed).min(WINDOW);
        if evidence.quiet
            && let Some(average) = evidence.cells.and_then(|cells| cells.average())
        {
            let weight = window.since.max(1);
            window.voltage =
                window.voltage.saturating_add(i64::from(average.as_microvolts()).wrapping_mul(i64::from(weight)));
            window.weight = window.weight.saturating_add(weight);
            window.since = 0;
        }
        if let Some(temperature) = evidence.temperature {
            self.temperature = temperature;
        }
        let first = matches!(self.phase, Phase::New | Phase::Restored) && window.weight > 0 && window.length > 0;
        if window.length < WINDOW && !first {
            return None;
        }
        let finished = *window;
        *window = Window { since: finished.since, ..Window::default() };
        Some(finished)
    }

    /// A window as an observation; moves lags and hysteresis on.
    fn observe(&mut self, window: &Window, evidence: &Evidence<'_>) -> Observation {
        let capacity = self.ledger.capacity();
        let reference = self.model.capacity.unwrap_or(capacity);
        let length = window.length;
        let hours = ratio(i64::from(length) << 30, 3_600_000);
        let measured = Self::rate(window.moved, length, capacity, 30);
        let offset = self.tracker.states.offset;
        let moved = self.part(window.moved).saturating_sub(scaled(offset, hours, 30));
        // The polarisation follows the true current of the cell that the table belongs to.
        let own = Self::rate(window.moved, length, reference, 24);
        let own_offset = ratio(offset.saturating_mul(capacity.as_milliamp_hours()), reference.as_milliamp_hours()) >> 6;
        let current = own.saturating_sub(own_offset);
        if matches!(self.phase, Phase::New | Phase::Restored) {
            self.under_load = narrow(current >> 8).saturating_abs() > UNDER_LOAD;
        }
        let mut currents = [narrow(current >> 8); PATHS];
        let paths = currents.iter_mut().skip(1);
        let lags = self.lagged.iter_mut().zip(&mut self.past).zip(self.model.lag_seconds);
        for (mean, ((lagged, past), seconds)) in paths.zip(lags) {
            let keep = decay(ratio(i64::from(length) << 30, i64::from(seconds).saturating_mul(1_000)));
            let before = *lagged;
            *lagged = current.saturating_add(scaled(before.saturating_sub(current), keep, 30));
            *past = scaled(*past, keep, 30);
            let mut middle = before.saturating_add(*lagged) / 2;
            if self.under_load {
                // Nobody knows what flowed before: most likely the same as since.
                middle = ratio(middle << 30, ONE.saturating_sub(*past).max(ONE / 1_024));
            }
            *mean = narrow(middle >> 8);
        }
        let window_current = Self::rate(window.moved, length, capacity, 16).saturating_mul(1_000) >> 16;
        let limit = i64::from(evidence.config.get(P::ZeroCurrentWindow));
        // With both switches open any current is the sensor's, unless it is so large that a switch must be stuck.
        let limit = if evidence.disconnected { limit.max(STUCK) } else { limit };
        let resting = window_current.saturating_abs() < limit;
        if self.model.hysteresis_rate > 0 && !resting {
            let keep = decay(moved.saturating_abs().saturating_mul(i64::from(self.model.hysteresis_rate)));
            let goal = if moved < 0 { ONE.saturating_neg() } else { ONE };
            self.branch = goal.saturating_add(scaled(self.branch.saturating_sub(goal), keep, 30));
            self.branch_unknown = scaled(self.branch_unknown, keep, 30);
        }
        self.resistances.follow(&self.model, self.temperature);
        let voltage = (window.weight > 0).then(|| narrow(ratio(window.voltage, i64::from(window.weight))));
        Observation { currents, moved, hours, length, voltage, measured, resting }
    }

    /// Stationary variance of the slow voltage error at a state of charge, one = 2^40, without the table's own error.
    fn slow_error(&self, soc: i32, seen: &Observation) -> i64 {
        let tuning = self.tuning();
        let magnitudes = seen.currents.map(i32::saturating_abs);
        let load = between_knots(&self.model, &self.resistances.polarisation(&magnitudes), soc);
        let fixed = self.colder(i64::from(tuning.voltage_error));
        let relative = i64::from(load).saturating_mul(i64::from(tuning.polarisation_error)) / 1_000;
        let branch = scaled(i64::from(self.model.half_width(soc)), self.branch_unknown, 30);
        let mut sum = variance(fixed).saturating_add(variance(relative)).saturating_add(variance(branch));
        if self.under_load {
            let rate = (i32::from(tuning.history_unknown) << 16) / 1_000;
            let slowest = between_knots(&self.model, &self.resistances.polarisation(&[0, 0, 0, rate]), soc);
            let [_, _, past] = self.past;
            sum = sum.saturating_add(variance(scaled(i64::from(slowest), past, 30)));
        }
        sum
    }
    /// Grows in the cold.
    fn colder(&self, error: i64) -> i64 {
        let below = i64::from(250_i32.saturating_sub(self.temperature.as_tenths()).clamp(0, 700));
        let growth = i64::from(self.tuning().cold_growth).saturating_mul(below);
        error.saturating_add(error.saturating_mul(growth) / 25_000)
    }

    /// Hysteresis and temperature shift at a state of charge, in µV.
    fn shift(&self, soc: i32) -> i32 {
        let branch = scaled(i64::from(self.model.half_width(soc)), self.branch, 30);
        narrow(branch).saturating_add(self.model.thermal(soc, self.temperature))
    }

    /// The first observation: where to begin.
    fn begin(&mut self, seen: &Observation) {
        let tuning = self.tuning();
        let covariance = &mut self.tracker.covariance;
        if covariance.kk == 0 {
            covariance.kk = variance(i64::from(tuning.capacity_error).saturating_mul(1_000));
        }
        covariance.rr = variance(i64::from(tuning.resistance_error).saturating_mul(1_000));
        if covariance.oo == 0 {
            covariance.oo = variance(i64::from(tuning.offset_error));
        }
        self.branch_unknown = ratio(i64::from(tuning.hysteresis_unknown) << 30, 1_000);
        let charge = self.charge();
        let bias = self.slow_error(narrow(charge.clamp(0, ONE)), seen);
        let sigma = if self.phase == Phase::New { i64::MAX } else { i64::from(deviation(self.spread)) };
        if sigma > i64::from(tuning.bank_above) {
            let sigma = if sigma == i64::MAX {
                ONE.saturating_mul(8)
            } else {
                i64::from(from_millionths(deviation(self.spread)))
            };
            self.search(charge, sigma, bias);
        } else {
            let spread = self.spread;
            self.tracker.restart(charge, spread, bias);
            self.phase = Phase::Tracker;
        }
    }
    /// Compares hypotheses around a state of charge.
    fn search(&mut self, charge: i64, sigma: i64, bias: i64) {
        let resistance = self.tracker.states.resistance;
        self.bank.restart(charge, sigma, bias, resistance, self.tracker.covariance.rr);
        self.counted = 0;
        self.unexplained = 0;
        self.phase = Phase::Bank;
    }

    /// The present state of charge, one = 2^30, as of the last window.
    fn charge(&self) -> i64 {
        self.tracker.states.charge
    }

    /// How much of the slow voltage error stays over a window.
    fn keep(&self, seen: &Observation) -> i64 {
        let tuning = self.tuning();
        let by_time = ratio(i64::from(seen.length) << 30, i64::from(tuning.error_seconds).saturating_mul(1_000));
        let by_charge =
            ratio(seen.moved.saturating_abs().saturating_mul(1_000_000), i64::from(tuning.error_throughput));
        decay(by_time.saturating_add(by_charge))
    }

    fn track(&mut self, seen: &Observation) {
        let tuning = self.tuning();
        let model = self.model;
        let middle = self.charge().saturating_add(seen.moved / 2);
        let soc = narrow(middle.clamp(0, ONE));
        // Across the uncertainty, but not so narrow that a point of the table decides.
        let sigma = i64::from(from_millionths(deviation(self.tracker.covariance.cc).clamp(4_000, 150_000)));
        let above = narrow(i64::from(soc).saturating_add(sigma).min(ONE));
        let below = narrow(i64::from(soc).saturating_sub(sigma).max(0));
        let open = |soc: i32| {
            let branch = scaled(i64::from(model.half_width(soc)), self.branch, 30);
            i64::from(model.middle(soc)).saturating_add(branch)
        };
        let (low, centre, high) = (open(below), open(soc), open(above));
        let width = i64::from(above).saturating_sub(i64::from(below));
        let slope = ratio(high.saturating_sub(low) << 30, width).clamp(10_000, 16_000_000);
        let mean = centre.saturating_mul(2).saturating_add(low).saturating_add(high) / 4;
        let curved = mean.saturating_sub(centre);
        let table = (slope.saturating_mul(i64::from(tuning.table_error)) / 1_000_000).min(STEEPEST);
        let bias = self.slow_error(soc, seen).saturating_add(variance(table));
        self.tracker.predict(seen.moved, seen.hours, self.keep(seen), bias, tuning);
        let Some(voltage) = seen.voltage else { return };
        let polarisation = i64::from(between_knots(&model, &self.resistances.polarisation(&seen.currents), soc));
        let resistance = self.tracker.states.resistance;
        let expected = mean
            .saturating_add(i64::from(model.thermal(soc, self.temperature)))
            .saturating_add(polarisation)
            .saturating_add(scaled(polarisation, resistance, 30));
        let square = self.tracker.correct(
            &Seen {
                innovation: scaled(i64::from(voltage).saturating_sub(expected), 68_719, 16),
                slope: scaled(slope, 4_295, 20),
                polarisation: scaled(polarisation, 68_719, 16),
                noise: variance(self.colder(i64::from(tuning.noise))).saturating_add(variance(curved)),
            },
            tuning,
        );
        if square > THREE_SIGMAS {
            self.unexplained = self.unexplained.saturating_add(seen.length);
        } else {
            self.unexplained = self.unexplained.saturating_sub(self.unexplained / 5);
        }
        if self.unexplained >= UNEXPLAINED {
            let charge = self.charge();
            self.search(charge, i64::from(from_millionths(150_000)), bias);
        }
    }

    /// Gives the bank a window; what it has not finished of the one before, it finishes first.
    fn compare(&mut self, seen: &Observation) {
        self.counted = self.counted.saturating_add(seen.moved);
        self.tracker.states.charge = self.charge().saturating_add(seen.moved);
        let Some(voltage) = seen.voltage else { return };
        if self.bank.busy() {
            self.search_on(COUNT);
        }
        if self.phase != Phase::Bank {
            return;
        }
        let tuning = self.tuning();
        let counted = self.counted.saturating_sub(seen.moved / 2);
        let best = narrow(self.bank.best().saturating_add(counted).clamp(0, ONE));
        let knots = self.resistances.polarisation(&seen.currents);
        let (mut polarisation, mut shift) = ([0; POINTS], [0; POINTS]);
        let mut soc = 0_i32;
        for (polarised, shifted) in polarisation.iter_mut().zip(&mut shift) {
            *polarised = between_knots(&self.model, &knots, soc);
            *shifted = self.shift(soc);
            soc = soc.saturating_add(FIVE_PERCENT).min(1 << 30);
        }
        let pass = Pass {
            voltage,
            counted,
            polarisation,
            shift,
            keep: self.keep(seen),
            bias: self.slow_error(best, seen),
            noise: variance(self.colder(i64::from(tuning.noise))),
            table_error: i64::from(tuning.table_error),
            outlier: i64::from(tuning.outlier),
            length: seen.length,
        };
        let there = scaled(i64::from(between_knots(&self.model, &knots, best)), 68_719, 16);
        let wander = scaled(variance(i64::from(tuning.resistance_error).saturating_mul(300)), seen.hours, 30);
        self.bank.begin(pass, there, wander);
        if self.spread == 0 {
            // The very first look is finished at once.
            self.search_on(COUNT);
        }
    }

    /// Goes on comparing; takes the result when there is one, and hands over when it is narrow.
    fn search_on(&mut self, count: usize) {
        let Some(found) = self.bank.work(self.model.open_circuit, count) else { return };
        let tuning = self.tuning();
        self.bank.diffuse(60_000, price(tuning.bank_drift));
        let charge = found.offset.saturating_add(self.counted);
        let spread = found.variance.saturating_add(variance(GRID));
        self.tracker.states.charge = charge;
        self.spread = spread;
        let narrow_enough = i64::from(tuning.bank_above).saturating_mul(7) / 10;
        if i64::from(deviation(spread)) < narrow_enough {
            self.tracker.restart(charge, spread, found.bias_variance);
            self.tracker.states.bias = found.bias;
            self.tracker.states.resistance = found.resistance;
            // Rounding must not make the tie closer than the two are uncertain.
            let root = |variance: i64| (variance.max(0) as u64).isqrt() as i64;
            let limit = scaled(root(spread).saturating_mul(root(found.bias_variance)), 31, 5);
            self.tracker.covariance.cb = found.bias_tie.clamp(limit.saturating_neg(), limit);
            self.tracker.covariance.rr = found.resistance_variance;
            self.phase = Phase::Tracker;
        }
    }

    /// Whether the polarisation is so small that the lowest voltage means an empty pack, not a cold or loaded one.
    fn is_rested(&self) -> bool {
        let soc = narrow(self.charge().clamp(0, ONE));
        let knots = self.resistances.polarisation(&self.last.currents);
        between_knots(&self.model, &knots, soc).saturating_abs() < RESTED
    }

    /// The full anchor: as long as the tail flows, what is still missing follows from it.
    fn take_anchor(&mut self, anchor: Anchor, seen: &Observation) {
        let tuning = self.tuning();
        let (charge, error) = match anchor {
            Anchor::Full => {
                let missing = scaled(seen.measured.max(0), ratio(i64::from(tuning.tail_seconds) << 30, 3_600), 30);
                (ONE.saturating_sub(missing.min(ONE * 3 / 100)), i64::from(tuning.full_error))
            }
            Anchor::Empty => (0, 20_000),
        };
        // Sixty seconds of it count as one look.
        let minutes = i64::from(seen.length.clamp(1, 60_000));
        if self.phase == Phase::Bank {
            let sigma = i64::from(from_millionths(error.max(10_000) as u32));
            self.bank.anchor(charge, self.counted, sigma, ratio(minutes << 16, 60_000));
        } else {
            self.tracker.anchor(charge, variance(error).saturating_mul(60_000).checked_div(minutes).unwrap_or(0));
        }
    }

    /// One finished window.
    fn digest(&mut self, window: &Window, evidence: &Evidence<'_>) {
        let seen = self.observe(window, evidence);
        self.last = seen;
        let first = matches!(self.phase, Phase::New);
        let expected = self.charge().saturating_add(seen.moved);
        if matches!(self.phase, Phase::New | Phase::Restored) {
            self.begin(&seen);
        }
        match self.phase {
            Phase::Bank => self.compare(&seen),
            _ => self.track(&seen),
        }
        if seen.resting {
            let tuning = self.tuning();
            let standby = if evidence.disconnected { 0 } else { i64::from(tuning.standby_current) };
            // Half a thousandth of the capacity in one second, and what may really flow for a minute.
            let length = i64::from(seen.length.max(1));
            let noise = ratio(variance(500).saturating_mul(1_000), length)
                .saturating_add(ratio(variance(standby).saturating_mul(60_000), length));
            self.tracker.zero(seen.measured, noise);
        }
        if self.tail {
            self.take_anchor(Anchor::Full, &seen);
        }
        if self.phase == Phase::Tracker {
            self.spread = self.tracker.covariance.cc;
        }
        self.learn(&seen, evidence);
        if !first {
            self.display.corrected(self.charge().saturating_sub(expected));
        }
        self.display.leave(self.charge(), self.tail);
    }

    /// The charge in the pack as of the last window.
    fn settled(&self) -> Charge {
        let capacity = self.ledger.capacity().as_milliamp_millis();
        Charge::from_milliamp_millis((capacity >> 12).saturating_mul(self.charge().clamp(0, ONE)) >> 18)
    }

    /// Takes the capacity error into the learned capacity, by at most 2 % (L02's alternative). Only after enough charge has
    /// moved to tell.
    fn learn(&mut self, seen: &Observation, evidence: &Evidence<'_>) {
        self.throughput = self.throughput.saturating_add(seen.moved.saturating_abs());
        if self.throughput < LEARNING || self.phase != Phase::Tracker {
            return;
        }
        self.throughput = 0;
        // A typical table cannot tell a smaller capacity from its own error: there only full cycles teach.
        if evidence.config.get(P::CapacityLearning) != PARTIAL_CYCLES || self.model.capacity.is_none() {
            return;
        }
        let states = &mut self.tracker.states;
        let change = states.capacity.clamp(-ONE / 50, ONE / 50);
        let capacity = self.ledger.capacity().as_milliamp_millis();
        let learned = ratio((capacity >> 12).saturating_mul(ONE), ONE.saturating_add(change)) << 12;
        states.capacity = states.capacity.saturating_sub(change);
        self.ledger.learn(Charge::from_milliamp_millis(learned));
        // A cell ages: an old certainty fades.
        let covariance = &mut self.tracker.covariance;
        let most = variance(i64::from(self.model.tuning.capacity_error).saturating_mul(1_000));
        covariance.kk = covariance.kk.saturating_add(variance(AGEING)).min(most);
    }
}

/// What a step to a neighbour costs, as a log-likelihood with one = 2^16: −ln(½ drift²/60/spacing²).
fn price(drift: u32) -> i32 {
    let spacing = ratio(SPACING.saturating_mul(1_000_000), ONE).max(1);
    let likely = ratio(
        i64::from(drift).saturating_mul(i64::from(drift)) << 16,
        spacing.saturating_mul(spacing).saturating_mul(120),
    );
    logarithm(likely).saturating_neg().clamp(0, 20 << 16)
}

impl Estimator for ModelEstimator {
    fn update(&mut self, evidence: &Evidence<'_>) -> Option<Anchor> {
        let anchor = self.ledger.update(evidence);
        self.tail = self.ledger.at_full();
        let before = self.charge();
        if self.bank.busy() {
            self.search_on(PER_STEP);
        }
        let empty = anchor == Some(Anchor::Empty) && self.phase != Phase::New && self.is_rested();
        if empty {
            let seen = Observation { length: 60_000, ..self.last };
            self.take_anchor(Anchor::Empty, &seen);
        }
        self.display.corrected(self.charge().saturating_sub(before));
        if let Some(window) = self.gather(evidence) {
            self.digest(&window, evidence);
        }
        let charge = self.charge();
        self.display.pass(evidence.elapsed, charge, self.tail, empty);
        anchor
    }
    fn remaining(&self) -> Option<Charge> {
        if self.phase == Phase::New {
            return None;
        }
        let now = self.settled().plus(self.window.moved);
        Some(now.max(Charge::ZERO).min(self.ledger.capacity()))
    }
    fn capacity(&self) -> Charge {
        self.ledger.capacity()
    }
    fn cycle_capacity(&self) -> Charge {
        self.ledger.cycle_capacity()
    }
    fn cycles(&self) -> u32 {
        self.ledger.cycles()
    }
    fn set_capacity(&mut self, capacity: Charge) {
        self.ledger.set_capacity(capacity);
    }
    fn state_of_charge(&self) -> Option<StateOfCharge> {
        let millionths = super::part_of(self.remaining()?, self.capacity(), 1_000_000)?;
        Some(StateOfCharge { millionths, sigma_millionths: deviation(self.spread).clamp(2_000, 500_000) })
    }
    fn state_of_charge_permille(&self) -> Option<u16> {
        let now = self.part(self.remaining()?);
        Some(self.display.permille(now))
    }
    fn state_of_health(&self) -> Option<StateOfHealth> {
        let resistance = ONE.saturating_add(self.tracker.states.resistance).saturating_mul(1_000) >> 30;
        Some(StateOfHealth {
            capacity_permille: self.ledger.health_permille(),
            resistance_permille: u16::try_from(resistance).unwrap_or(0),
        })
    }
    fn source(&self) -> Option<Source> {
        if self.phase == Phase::New {
            return None;
        }
        let model = &self.model;
        let soc = narrow(self.charge().clamp(0, ONE));
        // What the lags hold now, without the current itself.
        let [_, fast, middle, slow] = self.last.currents;
        let polarised = between_knots(model, &self.resistances.polarisation(&[0, fast, middle, slow]), soc);
        let scale = |microvolts: i32| {
            narrow(i64::from(microvolts).saturating_add(scaled(
                i64::from(microvolts),
                self.tracker.states.resistance,
                30,
            )))
        };
        let unloaded = model.middle(soc).saturating_add(self.shift(soc)).saturating_add(scale(polarised));
        let reference = model.capacity.unwrap_or(self.ledger.capacity()).as_milliamp_hours();
        // One C behind each lag after a while, as a resistance of one ampere.
        let after = |seconds: i64| {
            let mut currents = [1 << 16; PATHS];
            for (current, lag) in currents.iter_mut().skip(1).zip(model.lag_seconds) {
                let keep = decay(ratio(seconds << 30, i64::from(lag)));
                *current = narrow(ONE.saturating_sub(keep) >> 14);
            }
            let microvolts = scale(between_knots(model, &self.resistances.polarisation(&currents), soc));
            Resistance::from_microohms(narrow(ratio(i64::from(microvolts).saturating_mul(1_000), reference)))
        };
        Some(Source {
            unloaded: Voltage::from_microvolts(unloaded),
            resistance_10s: after(10),
            resistance_30s: after(30),
        })
    }
    fn learned(&self) -> Learned {
        let states = &self.tracker.states;
        let offset =
            self.ledger.capacity().as_milliamp_hours().saturating_mul(states.offset >> 6).saturating_mul(1_000) >> 24;
        Learned {
            soc_sigma_millionths: self.state_of_charge().map_or(0, |known| known.sigma_millionths),
            shown_permille: self.state_of_charge_permille().unwrap_or(0),
            resistance_permille: self.state_of_health().map_or(0, |health| health.resistance_permille),
            current_offset_microamps: narrow(offset),
            capacity_sigma_permille: (deviation(self.tracker.covariance.kk) / 1_000).clamp(1, 1_000) as u16,
            hysteresis_permille: narrow(self.branch.saturating_mul(1_000) >> 30) as i16,
            ..Learned::default()
        }
    }
    fn restore(&mut self, snapshot: &Snapshot) {
        self.ledger.restore(snapshot);
        let learned = &snapshot.learned;
        let Some(remaining) = self.ledger.remaining() else { return };
        self.tracker.states.charge = self.part(remaining);
        // A snapshot without a sigma comes from a plain counter.
        let sigma = if learned.soc_sigma_millionths == 0 { 100_000 } else { learned.soc_sigma_millionths };
        self.spread = variance(i64::from(sigma.min(500_000)));
        self.branch = ratio(i64::from(learned.hysteresis_permille.clamp(-1_000, 1_000)) << 30, 1_000);
        if learned.resistance_permille > 0 {
            let above = i64::from(learned.resistance_permille).saturating_sub(1_000);
            self.tracker.states.resistance = ratio(above << 30, 1_000).clamp(-ONE / 2, ONE);
        }
        let capacity = self.ledger.capacity().as_milliamp_hours();
        let offset =
            ratio((i64::from(learned.current_offset_microamps) << 24).checked_div(1_000).unwrap_or(0), capacity) << 6;
        let most = variance(i64::from(self.tuning().offset_error));
        if learned.current_offset_microamps != 0 {
            self.tracker.states.offset = offset.clamp(-ONE / 50, ONE / 50);
            self.tracker.covariance.oo = most / 4;
        }
        if learned.soc_sigma_millionths > 0 {
            self.display.restore(learned.shown_permille, self.charge());
        }
        if learned.capacity_sigma_permille > 0 {
            let most = self.tuning().capacity_error;
            let sigma = learned.capacity_sigma_permille.min(most);
            self.tracker.covariance.kk = variance(i64::from(sigma).saturating_mul(1_000));
        }
        self.phase = Phase::Restored;
    }
}

/// The current that is taken for the sensor's own error.
impl ModelEstimator {
    /// What the sensor shows when nothing flows, as learned at rest; subtracted from what is measured.
    #[must_use]
    pub fn current_offset(&self) -> Current {
        Current::from_milliamps(self.learned().current_offset_microamps / 1_000)
    }
}
