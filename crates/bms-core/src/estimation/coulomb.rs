//! Exact coulomb counting with full and empty anchors (L01, T08–T11).

use super::ocv::first_guess;
use super::{Anchor, Estimator, Evidence, c_rate, lost_while_off};
use crate::config::{ParameterId as P, ValidConfig};
use crate::snapshot::Snapshot;
use crate::units::{Charge, Temperature, Voltage, mv};

/// How long the tail must last for the full anchor, in ms of counted time.
const TAIL_TIME: u32 = 30_000;
/// Above this current, in thousandths of the capacity per hour, an alarm is no anchor.
const ANCHOR_RATE: i32 = 500;
/// Up to this current, and above freezing, the end of a discharge still tells the capacity that can be used.
const TEACHING_RATE: i32 = 1_000;
/// How far below the charge voltage a pack at the end of its charge may stand.
const CHARGER_TOLERANCE: Voltage = mv(5);
/// From this value of `capacity_learning` on a full cycle teaches.
const FULL_CYCLES: i32 = 1;
/// A new cycle counts only after this part of the capacity was discharged since the last full one (1/10).
const CYCLE_DEPTH: i64 = 10;

/// Counts every milliampere-millisecond.
///
/// The raw sum is never touched: anchors, clamps and guesses change `correction` only, gaps are booked apart (law 8).
#[derive(Clone, Debug)]
pub struct CoulombCounter {
    /// Σ I·Δt over all known intervals since the start.
    counted: Charge,
    /// What anchors and guesses added: remaining = counted + correction.
    correction: Charge,
    /// Time of which nothing is known, in ms.
    gap: u32,
    known: bool,
    capacity: Charge,
    discharged: Charge,
    discharged_at_full: Option<Charge>,
    cycles: u32,
    tail: u32,
    /// At the end of a charge, with the current tailing off.
    at_full: bool,
    /// What the owner configured.
    nominal: Charge,
    /// Where a full discharge stands: the capacity is learned from it (L02).
    round: Round,
}

/// A full discharge and charge under way (L02).
#[derive(Clone, Copy, Debug)]
enum Round {
    None,
    /// Full was seen at this count.
    Full(Charge),
    /// Empty was seen at this count, after this much was discharged since full.
    Empty(Charge, Charge),
}

impl CoulombCounter {
    /// A counter that knows nothing yet.
    #[must_use]
    pub const fn new(config: &ValidConfig) -> Self {
        Self {
            counted: Charge::ZERO,
            correction: Charge::ZERO,
            gap: 0,
            known: false,
            capacity: config.capacity(),
            discharged: Charge::ZERO,
            discharged_at_full: None,
            cycles: 0,
            tail: 0,
            at_full: false,
            nominal: config.capacity(),
            round: Round::None,
        }
    }
    /// The exact sum of current × time over all known intervals since the start, positive into the pack.
    #[must_use]
    pub const fn counted(&self) -> Charge {
        self.counted
    }
    /// What anchors, limits and first guesses added to the counted sum.
    #[must_use]
    pub const fn correction(&self) -> Charge {
        self.correction
    }
    /// Time of which the current is not known, in ms; saturates.
    #[must_use]
    pub const fn gap_millis(&self) -> u32 {
        self.gap
    }

    /// L02: a full discharge and the full charge after it give the capacity, if the two agree within a tenth.
    fn close_round(&mut self, config: &ValidConfig) {
        if let Round::Empty(then, discharged) = self.round
            && config.get(P::CapacityLearning) >= FULL_CYCLES
        {
            let charged = self.counted.minus(then).as_milliamp_millis();
            let apart = discharged.as_milliamp_millis().saturating_sub(charged).saturating_abs();
            if apart <= charged / 10 {
                self.learn(discharged);
            }
        }
        self.round = Round::Full(self.counted);
    }
    /// Whether the pack stands at the end of its charge: at the charge voltage, its current tailed off.
    pub(super) const fn at_full(&self) -> bool {
        self.at_full
    }
    /// The learned capacity in thousandths of the configured one.
    pub(super) fn health_permille(&self) -> u16 {
        let permille =
            self.capacity.as_milliamp_millis().saturating_mul(1_000).checked_div(self.nominal.as_milliamp_millis());
        u16::try_from(permille.unwrap_or(0).clamp(0, 65_535)).unwrap_or(u16::MAX)
    }
    /// Takes a learned capacity: between a fifth and 110 % of the configured one.
    pub(super) fn learn(&mut self, capacity: Charge) {
        let nominal = self.nominal.as_milliamp_millis();
        let (least, most) = (
            Charge::from_milliamp_millis(nominal / 5),
            Charge::from_milliamp_millis(nominal.saturating_add(nominal / 10)),
        );
        self.capacity = capacity.max(least).min(most);
    }
    /// Takes off what went by itself; a part of the capacity in millionths.
    fn lose(&mut self, millionths: u32) {
        let Some(remaining) = self.remaining() else { return };
        let lost = (self.capacity.as_milliamp_millis() / 1_000_000).saturating_mul(i64::from(millionths));
        self.set_remaining(remaining.minus(Charge::from_milliamp_millis(lost)).max(Charge::ZERO));
    }
    fn set_remaining(&mut self, remaining: Charge) {
        self.correction = remaining.minus(self.counted);
        self.known = true;
    }
    fn full(&mut self, config: &ValidConfig) -> Option<Anchor> {
        self.close_round(config);
        self.tail = 0;
        self.at_full = true;
        self.set_remaining(self.capacity);
        let depth = self.capacity.as_milliamp_millis() / CYCLE_DEPTH;
        let used = self.discharged_at_full.map(|then| self.discharged.minus(then).as_milliamp_millis());
        if used.is_some_and(|used| used < depth) {
            return None;
        }
        self.discharged_at_full = Some(self.discharged);
        self.cycles = self.cycles.saturating_add(1);
        Some(Anchor::Full)
    }
}

impl Estimator for CoulombCounter {
    fn update(&mut self, evidence: &Evidence<'_>) -> Option<Anchor> {
        let interval = &evidence.interval;
        self.gap = self.gap.saturating_add(interval.gap);
        if interval.known > 0 {
            let moved = Charge::moved(interval.current, interval.known);
            self.counted = self.counted.plus(moved);
            if moved < Charge::ZERO {
                self.discharged = self.discharged.minus(moved);
            }
            if self.known {
                let remaining = self.counted.plus(self.correction);
                // Full is claimed by the anchor only; both ends hold.
                if remaining > self.capacity || remaining < Charge::ZERO {
                    self.set_remaining(remaining.max(Charge::ZERO).min(self.capacity));
                }
            }
        }
        let milliamps = interval.current.as_milliamps();
        let cells = evidence.cells?;
        let config = evidence.config;
        // A sag under a heavy load, or one cell that a pulse lifts, is no anchor. (A 64-bit division: only when asked.)
        let within = |rate: i32| interval.current.magnitude() <= c_rate(config, rate);
        if evidence.undervoltage && milliamps < 0 && within(TEACHING_RATE) {
            let freezing = evidence.temperature.is_some_and(|is| is < Temperature::from_tenths(0));
            if let Round::Full(then) = self.round
                && !freezing
            {
                self.round = Round::Empty(self.counted, then.minus(self.counted));
            }
            if within(ANCHOR_RATE) {
                self.set_remaining(Charge::ZERO);
                return Some(Anchor::Empty);
            }
        }
        // The published charge voltage holds every cell at the recovery value on average; chargers are a little short of it.
        let recovery = config.voltage(P::CellOvervoltageRecovery);
        let reaches = |voltage: Option<Voltage>| voltage.is_some_and(|is| is.plus(CHARGER_TOLERANCE) >= recovery);
        if evidence.overvoltage && milliamps > 0 && within(ANCHOR_RATE) && reaches(cells.average()) {
            return self.full(config);
        }
        if !self.known
            && interval.current.magnitude() < c_rate(config, 50)
            && let Some(rested) = cells.average()
        {
            let permille = first_guess(config.chemistry(), rested);
            let charge = (self.capacity.as_milliamp_millis() / 1_000).saturating_mul(i64::from(permille));
            self.set_remaining(Charge::from_milliamp_millis(charge));
        }
        let at_charge_voltage = reaches(cells.highest().map(|(_, highest)| highest));
        let charging_at_it = at_charge_voltage && milliamps > 0;
        let tail = charging_at_it && interval.current < c_rate(config, config.get(P::FullCurrent));
        if tail {
            self.tail = self.tail.saturating_add(interval.known);
            if self.tail >= TAIL_TIME {
                return self.full(config);
            }
        } else if interval.known > 0 {
            self.tail = 0;
            self.at_full &= charging_at_it;
        }
        None
    }
    fn remaining(&self) -> Option<Charge> {
        self.known.then(|| self.counted.plus(self.correction).max(Charge::ZERO).min(self.capacity))
    }
    fn capacity(&self) -> Charge {
        self.capacity
    }
    fn cycle_capacity(&self) -> Charge {
        self.discharged
    }
    fn cycles(&self) -> u32 {
        self.cycles
    }
    fn set_capacity(&mut self, capacity: Charge) {
        if let Some(remaining) = self.remaining() {
            self.capacity = capacity;
            self.set_remaining(remaining.max(Charge::ZERO).min(capacity));
        }
        self.capacity = capacity;
        self.nominal = capacity;
        self.round = Round::None;
    }
    fn restore(&mut self, snapshot: &Snapshot) {
        if snapshot.capacity > Charge::ZERO {
            self.capacity = snapshot.capacity;
        }
        self.discharged = snapshot.cycle_capacity.max(Charge::ZERO);
        self.cycles = snapshot.cycles;
        if let Some(remaining) = snapshot.remaining {
            let remaining = remaining.max(Charge::ZERO).min(self.capacity);
            // What is missing was discharged since the pack was full.
            self.discharged_at_full = Some(self.discharged.minus(self.capacity.minus(remaining)));
            self.set_remaining(remaining);
        }
    }
    /// Takes off what cells usually lose; a time that nobody knows changes nothing.
    fn was_off(&mut self, seconds: Option<u32>) {
        if let Some(seconds) = seconds {
            self.lose(lost_while_off(seconds));
        }
    }
}
