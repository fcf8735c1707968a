//! The window in which nothing can trip.
//!
//! Nearly always every quantity lies where no row is violated. Then looking at a row that is neither pending nor active can
//! change nothing, and two compares a quantity stand for all rows that watch it. The window is folded from the rows
//! themselves, so it cannot disagree with them; a test steps with and without it and finds no difference.
//!
//! Spreads need the lowest and the highest, which cost more than the compares. So cells and battery sensors are compared
//! with a narrower band around where they were last, no wider than the spread allows; it moves along whenever a reading leaves it.

use super::alarm::{Alarm, AlarmSet};
use super::rows::{ROWS, Signal};
use super::signals::Circumstances;
use crate::config::{ParameterId as P, ValidConfig};
use crate::guard::digest;
use crate::measurement::{Band, COLDEST_PLAUSIBLE, Channel, NEAR_ZERO, WARMEST_PLAUSIBLE};
use crate::units::{Current, Temperature, Voltage};

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

/// Bounds within which no row is violated; they belong to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Lowest and highest, in tenths of a millivolt.
    cells: (u16, u16),
    cell_spread: u16,
    /// Around the cells as they were last.
    pub cells_now: Band,
    /// Coldest and warmest, in tenths of a degree.
    battery: (i16, i16),
    battery_spread: i16,
    /// Around the sensors as they were last.
    battery_now: (i16, i16),
    mos: i16,
    /// In mA, both positive.
    charge: i32,
    discharge: i32,
    against_diode: i32,
    /// In mΩ.
    wire: u16,
    /// In µV.
    drop: i32,
    /// The pack's sum has limits of its own (X07): then the rows are looked at.
    sum_watched: bool,
}

/// Currents and voltages beyond this are beyond every window; so sums of two stay within 32 bits.
const WIDEST: i32 = (1 << 30) - 1;

impl Window {
    pub(crate) const fn of(config: &ValidConfig) -> Self {
        let mut window = Self {
            cells: (NEAR_ZERO as u16, u16::MAX),
            cell_spread: u16::MAX,
            cells_now: Band::EMPTY,
            battery: (COLDEST_PLAUSIBLE as i16, WARMEST_PLAUSIBLE as i16),
            battery_spread: i16::MAX,
            battery_now: (i16::MAX, i16::MIN),
            mos: WARMEST_PLAUSIBLE as i16,
            charge: WIDEST,
            discharge: WIDEST,
            against_diode: WIDEST,
            wire: u16::MAX,
            drop: WIDEST,
            sum_watched: config.get(P::PackOvervoltageProtection) != 0
                || config.get(P::PackUndervoltageProtection) != 0,
        };
        let mut rest: &[super::Row] = &ROWS;
        while let [row, tail @ ..] = rest {
            if let Some(trip) = row.trip(config) {
                window.narrow(row.signal, row.side.last_safe(trip));
            }
            rest = tail;
        }
        window
    }
    /// Takes up one row: `safe` is the last value that does not violate it.
    const fn narrow(&mut self, signal: Signal, safe: i32) {
        // Every limit is validated to lie well within 16 bits of its unit here.
        match signal {
            Signal::LowestCell | Signal::ShutdownCell | Signal::ConfirmedLowestCell => {
                let low = (safe.saturating_add(99) / 100) as u16;
                if low > self.cells.0 {
                    self.cells.0 = low;
                }
            }
            Signal::HighestCell | Signal::ConfirmedHighestCell => lower_u16(&mut self.cells.1, safe / 100),
            Signal::CellSpread => lower_u16(&mut self.cell_spread, safe / 100),
            Signal::WarmestBattery => lower_i16(&mut self.battery.1, safe),
            Signal::ColdestBattery => {
                if safe > self.battery.0 as i32 {
                    self.battery.0 = safe as i16;
                }
            }
            Signal::BatterySpread => lower_i16(&mut self.battery_spread, safe),
            Signal::Mos => lower_i16(&mut self.mos, safe),
            Signal::ChargeCurrent => lower(&mut self.charge, safe),
            Signal::DischargeCurrent => lower(&mut self.discharge, safe),
            Signal::ChargeThroughOpenSwitch | Signal::DischargeThroughOpenSwitch => {
                lower(&mut self.against_diode, safe);
            }
            Signal::WorstWire => lower_u16(&mut self.wire, safe / 1_000),
            Signal::SwitchDrop => lower(&mut self.drop, safe),
            // Looked at one by one in `suspects`.
            Signal::SumOfCells
            | Signal::CellAge
            | Signal::CurrentAge
            | Signal::TemperatureAge
            | Signal::Overdue
            | Signal::StackExcess
            | Signal::Fact
            | Signal::Input
            | Signal::CellCount
            | Signal::Sensor
            | Signal::OpenWire
            | Signal::Terminal
            | Signal::Nothing => {}
        }
    }

    /// Over all that does not move with the readings (X20).
    pub(crate) const fn digest(&self) -> u32 {
        // Two halves a word.
        const fn pair(first: u16, second: u16) -> u32 {
            (first as u32) << 16 | second as u32
        }
        digest(&[
            pair(self.cells.0, self.cells.1),
            pair(self.cell_spread, self.wire),
            pair(self.battery.0 as u16, self.battery.1 as u16),
            pair(self.battery_spread as u16, self.mos as u16),
            self.charge as u32,
            self.discharge as u32,
            self.against_diode as u32,
            self.drop as u32,
            self.sum_watched as u32,
        ])
    }
    /// Whether what moves with the readings lies within the bounds, so that nothing beyond them is overlooked (X20).
    pub(crate) const fn is_sound(&self) -> bool {
        let (low, high) = self.battery_now;
        let none = low > high;
        let within = low >= self.battery.0 && high <= self.battery.1;
        let narrow = (high as i32).saturating_sub(low as i32) <= self.battery_spread as i32;
        self.cells_now.is_within(self.cells, self.cell_spread) && (none || (within && narrow))
    }

    #[cfg(test)]
    pub(crate) const fn flip(&mut self) {
        self.discharge ^= 1 << 20;
    }
    /// Lets the cells' band reach beyond the bounds.
    #[cfg(test)]
    pub(crate) fn widen(&mut self) {
        let beyond = self.cells.1.saturating_add(100);
        self.cells_now = Band::around(beyond, beyond, (0, u16::MAX), 400);
    }
    pub(crate) fn holds_battery(&self, temperature: Temperature) -> bool {
        let tenths = temperature.as_tenths();
        tenths >= i32::from(self.battery_now.0) && tenths <= i32::from(self.battery_now.1)
    }
    pub(crate) fn holds_mos(&self, temperature: Temperature) -> bool {
        let tenths = temperature.as_tenths();
        tenths >= COLDEST_PLAUSIBLE && tenths <= i32::from(self.mos)
    }
    pub(crate) fn holds_current(&self, current: Current) -> bool {
        let milliamps = current.as_milliamps();
        milliamps <= self.charge && milliamps >= self.discharge.wrapping_neg()
    }
    /// Whether a current says nothing about a switch that is commanded open.
    pub(crate) fn holds_against_diode(&self, current: Current) -> bool {
        current.as_milliamps().unsigned_abs() <= self.against_diode.unsigned_abs()
    }
    /// Whether the worst wire that is known, in mΩ, is good.
    pub(crate) fn holds_wire(&self, worst: Option<(u16, u8)>) -> bool {
        worst.is_none_or(|(milliohms, _)| milliohms <= self.wire)
    }

    /// Whether closed switches conduct with this drop.
    pub(crate) fn holds_drop(&self, over: Voltage) -> bool {
        over.as_microvolts().unsigned_abs() <= self.drop.unsigned_abs()
    }

    /// The rows that may be violated now; the others need no look unless they are pending or active. Moves the bands to
    /// where the readings are.
    #[inline(never)]
    pub(crate) fn suspects<const N: usize>(&mut self, seen: &Circumstances<'_, N>) -> AlarmSet {
        let measured = seen.measurement;
        let channels = &measured.channels;
        let mut found = seen.facts;
        let mut look = |beyond: bool, rows: AlarmSet| {
            if beyond {
                found = found.and(rows);
            }
        };
        let late = channels.overdue(Channel::Cells)
            || channels.overdue(Channel::Current)
            || channels.overdue(Channel::Temperatures);
        look(late, watching!(Signal::CellAge | Signal::CurrentAge | Signal::TemperatureAge | Signal::Overdue));
        if measured.outside.cells {
            let extremes = &measured.extremes;
            let spread = extremes.highest.saturating_sub(extremes.lowest);
            look(
                extremes.lowest < self.cells.0,
                watching!(Signal::LowestCell | Signal::ShutdownCell | Signal::ConfirmedLowestCell),
            );
            look(
                extremes.highest > self.cells.1,
                watching!(Signal::HighestCell | Signal::ShutdownCell | Signal::ConfirmedHighestCell),
            );
            look(spread > self.cell_spread, watching!(Signal::CellSpread));
            look(self.sum_watched, watching!(Signal::SumOfCells));
            if !self.sum_watched {
                self.cells_now = Band::around(extremes.lowest, extremes.highest, self.cells, self.cell_spread);
            }
        }
        let differs = channels.fresh(Channel::Cells) && measured.stack_differs(seen.config);
        look(differs || measured.stack_lost(), watching!(Signal::StackExcess));
        let current = measured.milliamps;
        if measured.outside.current {
            look(current.as_milliamps() > self.charge, watching!(Signal::ChargeCurrent));
            look(current.as_milliamps() < self.discharge.saturating_neg(), watching!(Signal::DischargeCurrent));
        }
        let both_closed = seen.previous.charge.is_closed() && seen.previous.discharge.is_closed();
        look(
            !both_closed && !self.holds_against_diode(current),
            watching!(Signal::ChargeThroughOpenSwitch | Signal::DischargeThroughOpenSwitch),
        );
        if measured.outside.temperatures {
            let range = seen.battery;
            let (coldest, warmest) = (range.coldest.as_tenths(), range.warmest.as_tenths());
            let spread = warmest.saturating_sub(coldest);
            look(range.any && warmest > i32::from(self.battery.1), watching!(Signal::WarmestBattery));
            look(range.any && coldest < i32::from(self.battery.0), watching!(Signal::ColdestBattery));
            look(range.any && spread > i32::from(self.battery_spread), watching!(Signal::BatterySpread));
            look(measured.temperatures.mos().as_tenths() > i32::from(self.mos), watching!(Signal::Mos));
            if range.any && spread <= i32::from(self.battery_spread) {
                let slack = i32::from(self.battery_spread).saturating_sub(spread) / 2;
                let (low, high) = (i32::from(self.battery.0), i32::from(self.battery.1));
                // Within the bounds, so within 16 bits.
                self.battery_now = (
                    coldest.saturating_sub(slack).max(low).min(high) as i16,
                    warmest.saturating_add(slack).min(high).max(low) as i16,
                );
            }
        }
        look(!self.holds_wire(seen.worst_wire), watching!(Signal::WorstWire));
        let drop = measured.terminal_over_stack();
        look(both_closed && drop.is_some_and(|over| !self.holds_drop(over)), watching!(Signal::SwitchDrop));
        found
    }
}

const fn lower(bound: &mut i32, safe: i32) {
    if safe < *bound {
        *bound = safe;
    }
}
const fn lower_u16(bound: &mut u16, safe: i32) {
    if safe < *bound as i32 {
        *bound = safe as u16;
    }
}
const fn lower_i16(bound: &mut i16, safe: i32) {
    if safe < *bound as i32 {
        *bound = safe as i16;
    }
}

const _: () = assert!(Alarm::COUNT == ROWS.len());
