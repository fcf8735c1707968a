//! The window in which nothing can trip.
//!
//! Nearly always every quantity lies where no row is violated. Then looking at a row that is neither pending nor active can
//! change nothing, and two compares a quantity stand for all rows that watch it. The window is folded from the rows
//! themselves, so it cannot disagree with them; a test steps with and without it and finds no difference.

use super::alarm::{Alarm, AlarmSet};
use super::monitor::Side;
use super::rows::{ROWS, Signal};
use super::signals::Circumstances;
use crate::config::{ParameterId as P, ValidConfig};
use crate::measurement::lost_time;
use crate::units::Current;

/// The rows that watch certain signals.
macro_rules! watching {
    ($signals:pat) => {{
        const ROWS_OF_SIGNALS: AlarmSet = {
            let mut set = AlarmSet::EMPTY;
            let mut index = 0;
            while index < Alarm::COUNT {
                #[allow(clippy::indexing_slicing, reason = "the loop ends at the length of both arrays")]
                if matches!(ROWS[index].signal, $signals) {
                    set = set.with(Alarm::ALL[index]);
                }
                index = index.saturating_add(1);
            }
            set
        };
        ROWS_OF_SIGNALS
    }};
}

/// Bounds within which no row is violated; both ends belong to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    lowest_cell: i32,
    highest_cell: i32,
    cell_spread: i32,
    charge: i32,
    discharge: i32,
    warmest: i32,
    coldest: i32,
    temperature_spread: i32,
    mos: i32,
    against_diode: i32,
    wire: i32,
    drop: i32,
    lost: u32,
    /// The pack's sum has limits of its own (X07): then the rows are looked at.
    sum_watched: bool,
}

impl Window {
    pub(crate) fn of(config: &ValidConfig) -> Self {
        let mut window = Self {
            lowest_cell: i32::MIN,
            highest_cell: i32::MAX,
            cell_spread: i32::MAX,
            charge: i32::MAX,
            discharge: i32::MAX,
            warmest: i32::MAX,
            coldest: i32::MIN,
            temperature_spread: i32::MAX,
            mos: i32::MAX,
            against_diode: i32::MAX,
            wire: i32::MAX,
            drop: i32::MAX,
            lost: lost_time(config),
            sum_watched: config.get(P::PackOvervoltageProtection) != 0
                || config.get(P::PackUndervoltageProtection) != 0,
        };
        for row in &ROWS {
            let Some(limit) = row.limit(config) else {
                continue;
            };
            let bound = match row.signal {
                Signal::LowestCell | Signal::ShutdownCell | Signal::ConfirmedLowestCell => &mut window.lowest_cell,
                Signal::HighestCell | Signal::ConfirmedHighestCell => &mut window.highest_cell,
                Signal::CellSpread => &mut window.cell_spread,
                Signal::ChargeCurrent => &mut window.charge,
                Signal::DischargeCurrent => &mut window.discharge,
                Signal::WarmestBattery => &mut window.warmest,
                Signal::ColdestBattery => &mut window.coldest,
                Signal::BatterySpread => &mut window.temperature_spread,
                Signal::Mos => &mut window.mos,
                Signal::ChargeThroughOpenSwitch | Signal::DischargeThroughOpenSwitch => &mut window.against_diode,
                Signal::WorstWire => &mut window.wire,
                Signal::SwitchDrop => &mut window.drop,
                // Looked at one by one in `suspects`.
                Signal::SumOfCells
                | Signal::CellAge
                | Signal::CurrentAge
                | Signal::TemperatureAge
                | Signal::Overdue
                | Signal::StackExcess
                | Signal::Fact(_) => continue,
            };
            *bound = match limit.side {
                Side::Above => limit.trip.min(*bound),
                Side::Below => limit.trip.max(*bound),
                Side::Reaching => limit.trip.saturating_sub(1).min(*bound),
                Side::FallingTo => limit.trip.saturating_add(1).max(*bound),
            };
        }
        window
    }

    /// The rows that may be violated now; the others need no look unless they are pending or active. Anything unusual
    /// answers "all".
    pub(crate) fn suspects<const N: usize>(&self, seen: &Circumstances<'_, N>) -> AlarmSet {
        let measured = seen.measurement;
        let temperatures = &measured.temperatures;
        let plain = seen.facts.is_empty()
            && !measured.inputs.short_circuit
            && !measured.inputs.self_test_failed
            && !self.sum_watched
            && measured.suspect == 0
            && measured.open_wires.none()
            && measured.cells.usable(self.lost)
            && measured.current.usable(self.lost)
            && measured.count == seen.config.cell_count()
            && temperatures.all_usable(seen.config);
        if !plain {
            return watching!(_);
        }
        let mut found = AlarmSet::EMPTY;
        let mut look = |beyond: bool, rows: AlarmSet| {
            if beyond {
                found = found.and(rows);
            }
        };
        let extremes = &measured.extremes;
        look(
            extremes.lowest().as_microvolts() < self.lowest_cell,
            watching!(Signal::LowestCell | Signal::ShutdownCell | Signal::ConfirmedLowestCell),
        );
        look(
            extremes.highest().as_microvolts() > self.highest_cell,
            watching!(Signal::HighestCell | Signal::ShutdownCell | Signal::ConfirmedHighestCell),
        );
        look(extremes.spread().as_microvolts() > self.cell_spread, watching!(Signal::CellSpread));
        let current = measured.milliamps;
        look(current.as_milliamps() > self.charge, watching!(Signal::ChargeCurrent));
        look(current.as_milliamps() < self.discharge.saturating_neg(), watching!(Signal::DischargeCurrent));
        let both_closed = seen.previous.charge.is_closed() && seen.previous.discharge.is_closed();
        look(
            !both_closed && current.magnitude() > Current::from_milliamps(self.against_diode),
            watching!(Signal::ChargeThroughOpenSwitch | Signal::DischargeThroughOpenSwitch),
        );
        let range = temperatures.battery();
        look(range.any && range.warmest.as_tenths() > self.warmest, watching!(Signal::WarmestBattery));
        look(range.any && range.coldest.as_tenths() < self.coldest, watching!(Signal::ColdestBattery));
        let spread = range.warmest.minus(range.coldest).as_tenths();
        look(range.any && spread > self.temperature_spread, watching!(Signal::BatterySpread));
        look(temperatures.mos().as_tenths() > self.mos, watching!(Signal::Mos));
        let worst_wire = seen.wires.worst().map_or(0, |(worst, _)| worst.as_microohms());
        look(worst_wire > self.wire, watching!(Signal::WorstWire));
        let drop = measured.terminal_over_stack(seen.config).map_or(0, |over| over.magnitude().as_microvolts());
        look(both_closed && drop > self.drop, watching!(Signal::SwitchDrop));
        look(measured.cells.fresh() && stack_differs(seen), watching!(Signal::StackExcess));
        found
    }
}

fn stack_differs<const N: usize>(seen: &Circumstances<'_, N>) -> bool {
    seen.measurement.stack_difference(seen.config).is_some_and(|(difference, tolerance)| difference > tolerance)
}

const _: () = assert!(Alarm::COUNT == ROWS.len());
