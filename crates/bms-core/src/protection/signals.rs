//! What each signal is, in terms of the measurement and of what the core itself did.

use super::alarm::{Alarm, AlarmSet};
use super::monitor::{Observation, Trust};
use super::rows::{Row, Signal};
use crate::command::Command;
use crate::config::{ParameterId as P, Profile, ValidConfig};
use crate::measurement::{BatteryRange, Channel, Measurement};
use crate::units::{Current, Voltage};

/// All that the monitors look at.
pub(crate) struct Circumstances<'a, const N: usize> {
    pub measurement: &'a Measurement<N>,
    pub config: &'a ValidConfig,
    /// The command of the previous step: what the switches were told.
    pub previous: &'a Command,
    /// Whether shutting down is possible at all: awake long enough, no charger.
    pub may_shut_down: bool,
    /// The alarms whose fact is true in this step.
    pub facts: AlarmSet,
    /// The cells were scanned with the balancer off and settled (D04).
    pub quiet: bool,
    /// The worst sense wire that is known: mΩ and number.
    pub worst_wire: Option<(u16, u8)>,
    pub battery: &'a BatteryRange,
}

/// Warnings that look at cells: they are not protective, so only quiet scans count, or the drops of the balancer's own
/// current would raise them (D04).
const WARNINGS_OF_CELLS: AlarmSet =
    AlarmSet::of(&[Alarm::CellSpreadWarning, Alarm::CellUndervoltageWarning, Alarm::CellOvervoltageWarning]);

impl<const N: usize> Circumstances<'_, N> {
    /// One look at what an alarm watches.
    pub(crate) fn observe(&self, alarm: Alarm) -> Observation {
        let measured = self.measurement;
        let channels = &measured.channels;
        let extremes = &measured.extremes;
        let fact = || Observation::now(i32::from(self.facts.contains(alarm)));
        if !self.quiet && WARNINGS_OF_CELLS.contains(alarm) {
            return Observation::UNKNOWN;
        }
        match Row::of(alarm).signal {
            Signal::LowestCell => self.cells(extremes.lowest()),
            Signal::HighestCell => self.cells(extremes.highest()),
            Signal::ShutdownCell => self.shutdown_cell(),
            Signal::CellSpread => self.cells(extremes.spread()),
            Signal::SumOfCells => {
                let mut seen = self.cells(extremes.sum());
                seen.trust.fresh = channels.fresh(Channel::Cells);
                seen
            }
            Signal::ConfirmedLowestCell => self.confirmed(extremes.lowest(), Voltage::MAX),
            Signal::ConfirmedHighestCell => self.confirmed(extremes.highest(), Voltage::MIN),
            Signal::ChargeCurrent => self.current(measured.milliamps),
            Signal::DischargeCurrent => self.current(Current::ZERO.minus(measured.milliamps)),
            Signal::ChargeThroughOpenSwitch => self.through_open(self.previous.charge.is_closed(), measured.milliamps),
            Signal::DischargeThroughOpenSwitch => {
                self.through_open(self.previous.discharge.is_closed(), Current::ZERO.minus(measured.milliamps))
            }
            Signal::WarmestBattery => self.battery(self.battery.warmest.as_tenths()),
            Signal::ColdestBattery => self.battery(self.battery.coldest.as_tenths()),
            Signal::BatterySpread => self.battery(self.battery.warmest.minus(self.battery.coldest).as_tenths()),
            Signal::Mos => {
                let bank = &measured.temperatures;
                self.temperature(bank.mos().as_tenths(), bank.mos_known(), !bank.mos_faulty())
            }
            Signal::CellAge => self.age(Channel::Cells),
            Signal::CurrentAge => self.age(Channel::Current),
            Signal::TemperatureAge => {
                let usable = measured.temperatures_usable();
                let trust = Trust { complete: usable && measured.temperatures.fresh, bad: !usable, ..Trust::NOW };
                Observation { value: capped(channels.age(Channel::Temperatures)), trust }
            }
            Signal::Overdue => self.overdue(),
            Signal::StackExcess => match measured.stack_excess(self.config) {
                _ if measured.stack_lost() => {
                    with(Observation::now(i32::MAX), Trust { complete: false, bad: true, ..Trust::NOW })
                }
                Some(excess) if channels.fresh(Channel::Cells) => {
                    // Known since the later of both was measured (N02).
                    let age = channels.seen(Channel::Cells).min(channels.seen(Channel::Stack));
                    with(Observation::now(excess), Trust { age, ..Trust::NOW })
                }
                _ => Observation::UNKNOWN,
            },
            Signal::WorstWire => match self.worst_wire {
                Some((milliohms, _)) => Observation::now(i32::from(milliohms).wrapping_mul(1_000)),
                None => Observation::UNKNOWN,
            },
            Signal::SwitchDrop => self.switch_drop(),
            Signal::Fact => fact(),
            // An input stands until it is read anew; only then it can recover.
            Signal::Input => with(fact(), Trust { complete: measured.inputs_fresh, ..Trust::NOW }),
            Signal::CellCount => {
                with(fact(), Trust { fresh: measured.scanned, complete: measured.scanned, ..Trust::NOW })
            }
            // A sensor's fault stands by itself; its recovery needs a new reading. The manual's profile has no such row: its
            // sensor simply shows "NA" (N06), and only a lost required channel acts (X01).
            Signal::Sensor if self.config.profile() == Profile::Manual => Observation::UNKNOWN,
            Signal::Sensor => {
                let fact = fact();
                let faulty = fact.value != 0;
                with(fact, Trust { complete: measured.temperatures.fresh && !faulty, bad: faulty, ..Trust::NOW })
            }
            Signal::OpenWire => {
                let complete = channels.fresh(Channel::Cells) && measured.open_wires.none();
                with(fact(), Trust { fresh: measured.scanned, complete, ..Trust::NOW })
            }
            // Without the terminal nothing can be said, least of all that it agrees again.
            Signal::Terminal if measured.terminal_over_stack().is_none() => Observation::UNKNOWN,
            Signal::Terminal => fact(),
            Signal::Nothing => Observation::UNKNOWN,
        }
    }

    /// The cell, sensor or wire that an alarm's value comes from, for reports: finding it costs a search.
    #[inline(never)]
    pub(crate) fn place(&self, alarm: Alarm) -> Option<u8> {
        let scan = self.measurement.scan(self.config);
        let cell = match Row::of(alarm).signal {
            Signal::ShutdownCell if self.config.flag(P::AutoShutdownByHighest) => scan.highest(),
            Signal::LowestCell | Signal::ShutdownCell | Signal::CellSpread | Signal::ConfirmedLowestCell => {
                scan.lowest()
            }
            Signal::HighestCell | Signal::ConfirmedHighestCell => scan.highest(),
            Signal::WarmestBattery | Signal::BatterySpread => return Some(self.battery.warmest_index),
            Signal::ColdestBattery => return Some(self.battery.coldest_index),
            Signal::WorstWire => return self.worst_wire.map(|(_, wire)| wire),
            Signal::OpenWire => return Some(self.measurement.open_wires.wire()),
            Signal::Sensor if matches!(alarm, Alarm::BatterySensorFault) => {
                return self.measurement.temperatures.faulty_battery_sensor();
            }
            _ => return None,
        };
        cell.map(|(index, _)| index)
    }

    fn cells(&self, value: Voltage) -> Observation {
        let measured = self.measurement;
        let complete = measured.channels.fresh(Channel::Cells) && measured.suspect == 0;
        let trust = Trust {
            fresh: measured.scanned && measured.extremes.used > 0,
            complete,
            bad: measured.channels.failed(Channel::Cells) || (measured.scanned && !complete),
            age: measured.channels.seen(Channel::Cells),
        };
        Observation { value: value.as_microvolts(), trust }
    }

    fn current(&self, value: Current) -> Observation {
        let channels = &self.measurement.channels;
        let fresh = channels.fresh(Channel::Current);
        let trust = Trust {
            fresh,
            complete: fresh,
            bad: channels.failed(Channel::Current),
            age: channels.seen(Channel::Current),
        };
        Observation { value: value.as_milliamps(), trust }
    }

    fn battery(&self, value: i32) -> Observation {
        self.temperature(value, self.battery.any, self.battery.complete)
    }
    fn temperature(&self, value: i32, any: bool, complete: bool) -> Observation {
        let new = self.measurement.temperatures.fresh;
        let trust = Trust {
            fresh: new && any,
            complete: new && complete,
            bad: !complete,
            age: self.measurement.channels.seen(Channel::Temperatures),
        };
        Observation { value, trust }
    }

    /// A cell that the stack confirms: an open wire, a drifting front end, or the limits of another chemistry must not
    /// lock a pack for good.
    fn confirmed(&self, value: Voltage, harmless: Voltage) -> Observation {
        if self.facts.contains(Alarm::WrongChemistry) {
            return self.cells(harmless);
        }
        match self.measurement.stack_excess(self.config) {
            Some(..=0) => self.cells(value),
            _ => Observation::UNKNOWN,
        }
    }

    /// D02: the lowest or the highest cell, but nothing shuts down while charging or just woken.
    fn shutdown_cell(&self) -> Observation {
        let extremes = &self.measurement.extremes;
        let highest = self.config.flag(P::AutoShutdownByHighest);
        let seen = self.cells(if highest { extremes.highest() } else { extremes.lowest() });
        if !seen.trust.complete {
            return Observation::UNKNOWN;
        }
        if self.may_shut_down { seen } else { Observation { value: i32::MAX, ..seen } }
    }

    /// An age: violated at any time, forgiven only by new good data.
    fn age(&self, channel: Channel) -> Observation {
        let channels = &self.measurement.channels;
        let bad = channels.failed(channel);
        let trust = Trust { complete: channels.fresh(channel) && !bad, bad, ..Trust::NOW };
        Observation { value: capped(channels.age(channel)), trust }
    }

    fn overdue(&self) -> Observation {
        let channels = &self.measurement.channels;
        let over = |channel: Channel| capped(channels.age(channel)).wrapping_sub(capped(channels.lost(channel)));
        let worst = over(Channel::Cells).max(over(Channel::Current)).max(over(Channel::Temperatures));
        let fresh = channels.fresh(Channel::Cells) || channels.fresh(Channel::Current);
        let bad = channels.failed(Channel::Cells)
            || channels.failed(Channel::Current)
            || !self.measurement.temperatures_usable();
        Observation { value: worst, trust: Trust { complete: fresh && !bad, bad, ..Trust::NOW } }
    }

    fn through_open(&self, closed: bool, against_diode: Current) -> Observation {
        // The comparator's latch may have opened a switch that was commanded closed, never the other way round.
        self.current(if closed { Current::ZERO } else { against_diode })
    }

    fn switch_drop(&self) -> Observation {
        let closed = self.previous.charge.is_closed() && self.previous.discharge.is_closed();
        match self.measurement.terminal_over_stack() {
            Some(over) if closed => Observation::now(over.magnitude().as_microvolts()),
            Some(_) => Observation::now(0),
            None => Observation::UNKNOWN,
        }
    }
}

fn with(seen: Observation, trust: Trust) -> Observation {
    Observation { trust, ..seen }
}

/// An age as a value; ages stay below 2³¹ for 24 days and then at their end.
fn capped(age: u32) -> i32 {
    i32::try_from(age).unwrap_or(i32::MAX)
}
