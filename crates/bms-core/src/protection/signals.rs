//! What each signal is, in terms of the measurement and of what the core itself did.

use super::monitor::Observation;
use super::rows::{Fact, Signal};
use crate::command::Command;
use crate::config::{ParameterId as P, ValidConfig};
use crate::measurement::{Measurement, WireEstimator, lost_time};
use crate::units::{Current, Voltage};

/// Things that are true in this step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FactSet(u32);

impl FactSet {
    pub(crate) const EMPTY: Self = Self(0);

    /// This set, with the fact in it if it is true.
    #[must_use]
    pub(crate) const fn with(self, fact: Fact, is_true: bool) -> Self {
        if is_true { Self(self.0 | 1_u32.wrapping_shl(fact as u32)) } else { self }
    }
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
    const fn contains(self, fact: Fact) -> bool {
        self.0 & 1_u32.wrapping_shl(fact as u32) != 0
    }
}

/// All that the monitors look at.
pub(crate) struct Circumstances<'a, const N: usize> {
    pub measurement: &'a Measurement<N>,
    pub wires: &'a WireEstimator<N>,
    pub config: &'a ValidConfig,
    /// The command of the previous step: what the switches were told.
    pub previous: &'a Command,
    /// Whether shutting down is possible at all: awake long enough, no charger.
    pub may_shut_down: bool,
    pub facts: FactSet,
}

impl<const N: usize> Circumstances<'_, N> {
    /// One look.
    pub(crate) fn observe(&self, signal: Signal) -> Observation {
        let measured = self.measurement;
        let extremes = &measured.extremes;
        match signal {
            Signal::LowestCell => self.cells(extremes.lowest()),
            Signal::HighestCell => self.cells(extremes.highest()),
            Signal::ShutdownCell => self.shutdown_cell(),
            Signal::CellSpread => self.cells(extremes.spread()),
            Signal::SumOfCells => Observation { fresh: measured.cells.fresh(), ..self.cells(extremes.sum()) },
            Signal::ChargeCurrent => self.current(measured.milliamps),
            Signal::DischargeCurrent => self.current(Current::ZERO.minus(measured.milliamps)),
            Signal::WarmestBattery => {
                let range = measured.temperatures.battery();
                self.temperature(range.warmest.as_tenths(), Some(range.warmest_index), range.any, range.complete)
            }
            Signal::ColdestBattery => {
                let range = measured.temperatures.battery();
                self.temperature(range.coldest.as_tenths(), Some(range.coldest_index), range.any, range.complete)
            }
            Signal::BatterySpread => {
                let range = measured.temperatures.battery();
                let spread = range.warmest.minus(range.coldest);
                self.temperature(spread.as_tenths(), Some(range.warmest_index), range.any, range.complete)
            }
            Signal::Mos => {
                let bank = &measured.temperatures;
                self.temperature(bank.mos().as_tenths(), None, bank.mos_known(), !bank.mos_faulty())
            }
            Signal::ConfirmedLowestCell => self.confirmed(extremes.lowest(), Voltage::MAX),
            Signal::ConfirmedHighestCell => self.confirmed(extremes.highest(), Voltage::MIN),
            Signal::CellAge => age(measured.cells.age(), measured.cells.fresh(), measured.cells.failed()),
            Signal::CurrentAge => age(measured.current.age(), measured.current.fresh(), measured.current.failed()),
            Signal::TemperatureAge => {
                let usable = measured.temperatures.all_usable(self.config);
                age(measured.temperatures.age(), usable && measured.temperatures.fresh(), !usable)
            }
            Signal::Overdue => self.overdue(),
            Signal::StackExcess => match measured.stack_difference(self.config) {
                Some((difference, tolerance)) if measured.cells.fresh() => {
                    Observation::now(difference.minus(tolerance).as_microvolts(), None)
                }
                _ => Observation::UNKNOWN,
            },
            Signal::WorstWire => match self.wires.worst() {
                Some((resistance, wire)) => Observation::now(resistance.as_microohms(), Some(wire)),
                None => Observation::UNKNOWN,
            },
            Signal::ChargeThroughOpenSwitch => self.through_open(self.previous.charge.is_closed(), measured.milliamps),
            Signal::DischargeThroughOpenSwitch => {
                self.through_open(self.previous.discharge.is_closed(), Current::ZERO.minus(measured.milliamps))
            }
            Signal::SwitchDrop => self.switch_drop(),
            Signal::Fact(fact) => self.fact(fact),
        }
    }

    /// The look with the cell that it concerns, for reports: finding it costs a search.
    pub(crate) fn observe_with_cell(&self, signal: Signal) -> Observation {
        let seen = self.observe(signal);
        let scan = self.measurement.scan(self.config);
        let by_highest = self.config.flag(P::AutoShutdownByHighest);
        let cell = match signal {
            Signal::ShutdownCell if by_highest => scan.highest(),
            Signal::LowestCell | Signal::ShutdownCell | Signal::CellSpread | Signal::ConfirmedLowestCell => {
                scan.lowest()
            }
            Signal::HighestCell | Signal::ConfirmedHighestCell => scan.highest(),
            _ => return seen,
        };
        Observation { index: cell.map(|(index, _)| index), ..seen }
    }

    fn cells(&self, value: Voltage) -> Observation {
        let measured = self.measurement;
        let complete = measured.cells.fresh() && measured.suspect == 0;
        Observation {
            value: value.as_microvolts(),
            index: None,
            fresh: measured.scanned && measured.extremes.used > 0,
            complete,
            bad: measured.cells.failed() || (measured.scanned && !complete),
            age: measured.cells.seen(),
        }
    }

    fn current(&self, value: Current) -> Observation {
        let channel = &self.measurement.current;
        Observation {
            value: value.as_milliamps(),
            index: None,
            fresh: channel.fresh(),
            complete: channel.fresh(),
            bad: channel.failed(),
            age: channel.seen(),
        }
    }

    fn temperature(&self, value: i32, index: Option<u8>, any: bool, complete: bool) -> Observation {
        let new = self.measurement.temperatures.fresh();
        Observation {
            value,
            index,
            fresh: new && any,
            complete: new && complete,
            bad: !complete,
            age: self.measurement.temperatures.seen(),
        }
    }

    /// A cell that the stack confirms: an open wire, a drifting front end, or the limits of another chemistry must not
    /// lock a pack for good.
    fn confirmed(&self, value: Voltage, harmless: Voltage) -> Observation {
        if self.facts.contains(Fact::WrongChemistry) {
            return self.cells(harmless);
        }
        match self.measurement.stack_difference(self.config) {
            Some((difference, tolerance)) if difference <= tolerance => self.cells(value),
            _ => Observation::UNKNOWN,
        }
    }

    /// D02: the lowest or the highest cell, but nothing shuts down while charging or just woken.
    fn shutdown_cell(&self) -> Observation {
        let extremes = &self.measurement.extremes;
        let highest = self.config.flag(P::AutoShutdownByHighest);
        let seen = self.cells(if highest { extremes.highest() } else { extremes.lowest() });
        if !seen.complete {
            return Observation::UNKNOWN;
        }
        if self.may_shut_down { seen } else { Observation { value: i32::MAX, ..seen } }
    }

    fn overdue(&self) -> Observation {
        let measured = self.measurement;
        let lost = lost_time(self.config);
        let temperature_lost = self.config.duration(P::TemperatureLostTime).as_millis();
        let over = |age: u32, limit: u32| i64::from(age).saturating_sub(i64::from(limit));
        let worst = over(measured.cells.age(), lost)
            .max(over(measured.current.age(), lost))
            .max(over(measured.temperatures.age(), temperature_lost));
        let fresh = measured.cells.fresh() || measured.current.fresh();
        let bad =
            measured.cells.failed() || measured.current.failed() || !measured.temperatures.all_usable(self.config);
        Observation { complete: fresh && !bad, bad, ..Observation::now(crate::units::saturate(worst), None) }
    }

    fn through_open(&self, closed: bool, against_diode: Current) -> Observation {
        // The comparator's latch may have opened a switch that was commanded closed, never the other way round.
        let value = if closed { Current::ZERO } else { against_diode };
        self.current(value)
    }

    fn switch_drop(&self) -> Observation {
        let closed = self.previous.charge.is_closed() && self.previous.discharge.is_closed();
        match self.measurement.terminal_over_stack(self.config) {
            Some(over) if closed => Observation::now(over.magnitude().as_microvolts(), None),
            Some(_) => Observation::now(0, None),
            None => Observation::UNKNOWN,
        }
    }

    fn fact(&self, fact: Fact) -> Observation {
        let measured = self.measurement;
        match fact {
            Fact::ShortCircuit => self.input(measured.inputs.short_circuit),
            Fact::CellCountWrong => {
                let wrong = measured.count != self.config.cell_count();
                Observation {
                    fresh: measured.scanned,
                    complete: measured.scanned,
                    ..Observation::now(i32::from(wrong), None)
                }
            }
            Fact::BatterySensorFaulty => {
                let faulty = measured.temperatures.faulty_battery_sensor();
                self.sensor(faulty.is_some(), faulty)
            }
            Fact::MosSensorFaulty => self.sensor(measured.temperatures.mos_faulty(), None),
            Fact::OpenWire => Observation {
                fresh: measured.scanned,
                complete: measured.cells.fresh() && measured.open_wires.none(),
                ..Observation::now(i32::from(measured.open_wires.confirmed()), Some(measured.open_wires.wire()))
            },
            Fact::SelfTestFailed => self.input(measured.inputs.self_test_failed),
            // Without the terminal nothing can be said, least of all that it agrees again.
            Fact::TerminalMismatch if measured.terminal_over_stack(self.config).is_none() => Observation::UNKNOWN,
            Fact::WrongChemistry
            | Fact::PrechargeFailed
            | Fact::TerminalMismatch
            | Fact::LimitsCorrupt
            | Fact::StepLate
            | Fact::TimeWentBack
            | Fact::EmergencyStop
            | Fact::ChargeLockedOut
            | Fact::DischargeLockedOut
            | Fact::HeaterIneffective
            | Fact::OutputFailed => Observation::fact(self.facts.contains(fact)),
            Fact::Never => Observation::UNKNOWN,
        }
    }

    /// An input stands until it is read anew; only then it can recover.
    fn input(&self, bad: bool) -> Observation {
        Observation { complete: self.measurement.inputs_fresh, ..Observation::fact(bad) }
    }

    /// A sensor's fault stands by itself; its recovery needs a new reading. The manual's profile has no such row: its
    /// sensor simply shows "NA" (N06), and only a lost required channel acts (X01).
    fn sensor(&self, faulty: bool, index: Option<u8>) -> Observation {
        if self.config.profile() == crate::config::Profile::Manual {
            return Observation::UNKNOWN;
        }
        let fresh = self.measurement.temperatures.fresh();
        Observation { complete: fresh && !faulty, bad: faulty, ..Observation::now(i32::from(faulty), index) }
    }
}

/// An age: violated at any time, forgiven only by new good data.
fn age(age: u32, good: bool, bad: bool) -> Observation {
    let value = i32::try_from(age).unwrap_or(i32::MAX);
    Observation { complete: good && !bad, bad, ..Observation::now(value, None) }
}
