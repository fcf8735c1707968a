//! The window in which nothing can trip.
//!
//! Nearly always nothing is active, nothing is pending, and every quantity lies where no row is violated. Then looking at
//! the rows can change nothing, and two compares a quantity stand for all of them. The window is folded from the rows
//! themselves, so it cannot disagree with them; a test steps with and without it and finds no difference.

use super::alarm::Alarm;
use super::monitor::Side;
use super::rows::{ROWS, Signal};
use super::signals::Circumstances;
use crate::config::{ParameterId as P, ValidConfig};
use crate::measurement::lost_time;
use crate::units::Current;

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
                // Looked at one by one in `holds`.
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

    /// Whether no row can be violated now. Anything unusual answers no: then the rows are looked at.
    pub(crate) fn holds<const N: usize>(&self, seen: &Circumstances<'_, N>) -> bool {
        let measured = seen.measurement;
        let temperatures = &measured.temperatures;
        let extremes = &measured.extremes;
        let current = measured.milliamps.as_milliamps();
        let both_closed = seen.previous.charge.is_closed() && seen.previous.discharge.is_closed();
        let plain = seen.facts.is_empty()
            && !measured.inputs.short_circuit
            && !measured.inputs.self_test_failed
            && !self.sum_watched
            && measured.suspect == 0
            && measured.open_wires.none()
            && measured.cells.usable(self.lost)
            && measured.current.usable(self.lost)
            && measured.count == seen.config.cell_count()
            && temperatures.all_usable(seen.config)
            && self.wires_and_terminal(seen, both_closed);
        if !plain {
            return false;
        }
        let range = temperatures.battery();
        let battery = !range.any
            || (range.warmest.as_tenths() <= self.warmest
                && range.coldest.as_tenths() >= self.coldest
                && range.warmest.minus(range.coldest).as_tenths() <= self.temperature_spread);
        let through_diode =
            both_closed || measured.milliamps.magnitude() <= Current::from_milliamps(self.against_diode);
        extremes.lowest().as_microvolts() >= self.lowest_cell
            && extremes.highest().as_microvolts() <= self.highest_cell
            && extremes.spread().as_microvolts() <= self.cell_spread
            && current <= self.charge
            && current >= self.discharge.saturating_neg()
            && battery
            && temperatures.mos().as_tenths() <= self.mos
            && through_diode
            && !(measured.cells.fresh() && stack_differs(seen))
    }

    /// What only some boards have, and only some steps change.
    fn wires_and_terminal<const N: usize>(&self, seen: &Circumstances<'_, N>, both_closed: bool) -> bool {
        let wires = seen.wires.worst().is_none_or(|(worst, _)| worst.as_microohms() <= self.wire);
        let over = seen.measurement.terminal_over_stack(seen.config);
        wires && over.is_none_or(|over| !both_closed || over.magnitude().as_microvolts() <= self.drop)
    }
}

fn stack_differs<const N: usize>(seen: &Circumstances<'_, N>) -> bool {
    seen.measurement.stack_difference(seen.config).is_some_and(|(difference, tolerance)| difference > tolerance)
}

const _: () = assert!(Alarm::COUNT == ROWS.len());
