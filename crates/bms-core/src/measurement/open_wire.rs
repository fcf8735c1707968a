//! Open sense wires (X04).
//!
//! With the wire between two cells open, one reads near zero and its neighbour near double, and their sum
//! stays right. With an end wire open, the outermost cell reads near zero and the sum of all falls short of the
//! stack by about one cell. A cell that reads near zero *and* whose stack agrees is dead, not a wire.

use super::CHARGER_VOLTAGE as SLACK;
use super::sample::bit;
use super::scan::CellScan;
use crate::units::Voltage;

/// "Near zero": below 1.0 V, in tenths of a millivolt.
pub(crate) const NEAR_ZERO: u32 = 10_000;
/// The end of the measuring range, where "double" saturates (P05).
const RANGE_END: u32 = 50_000;
/// Scans in a row until it counts.
const SCANS: u8 = 3;

/// The search's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenWires {
    scans: u8,
    wire: u8,
}

impl OpenWires {
    pub(crate) const fn new() -> Self {
        Self { scans: 0, wire: 0 }
    }
    /// Looks at a new scan; returns the cells that must not be believed.
    pub(crate) fn update(&mut self, scan: &CellScan<'_>, stack: Option<Voltage>, stack_fitted: bool) -> u32 {
        let found = find(scan, stack, stack_fitted);
        match found {
            Some((wire, suspects)) => {
                self.wire = wire;
                self.scans = self.scans.saturating_add(1);
                suspects
            }
            None => self.nothing_found(),
        }
    }
    /// A scan without any sign of an open wire: no cell is suspect.
    pub(crate) fn nothing_found(&mut self) -> u32 {
        self.scans = 0;
        0
    }
    /// The last scan showed no sign.
    pub(crate) const fn none(&self) -> bool {
        self.scans == 0
    }
    /// Seen often enough.
    pub(crate) const fn confirmed(&self) -> bool {
        self.scans >= SCANS
    }
    /// The wire, 0 at B−.
    pub(crate) const fn wire(&self) -> u8 {
        self.wire
    }
}

/// The open wire, if there is one, and the cells that it makes meaningless.
fn find(scan: &CellScan<'_>, stack: Option<Voltage>, stack_fitted: bool) -> Option<(u8, u32)> {
    let mut suspects = 0_u32;
    let mut wire = None;
    let count = scan.count();
    let mut sum = 0_u32;
    let mut healthy = 0_u32;
    let mut healthy_cells = 0_u32;
    for index in 0..count {
        let value = u32::from(scan.get(index)?);
        sum = sum.saturating_add(value);
        if (NEAR_ZERO..RANGE_END).contains(&value) {
            healthy = healthy.saturating_add(value);
            healthy_cells = healthy_cells.saturating_add(1);
        }
    }
    let typical = healthy.checked_div(healthy_cells)?;
    let short_of_stack = stack.map(|stack| {
        let sum = Voltage::from_microvolts(i32::try_from(sum).unwrap_or(i32::MAX).saturating_mul(100));
        stack.minus(sum) > SLACK
    });
    for index in 0..count {
        let value = u32::from(scan.get(index)?);
        if value >= NEAR_ZERO {
            continue;
        }
        let upper = index.saturating_add(1);
        let double = |other: Option<usize>| {
            other
                .and_then(|other| scan.get(other))
                .is_some_and(|neighbour| is_double(u32::from(neighbour), value, typical))
        };
        let (open, partner) = if double(Some(upper)) {
            (upper, Some(upper))
        } else if double(index.checked_sub(1)) {
            (index, index.checked_sub(1))
        } else if index == 0 || upper == count {
            match short_of_stack {
                // The stack agrees: the cell is dead.
                Some(false) => continue,
                Some(true) => (if index == 0 { 0 } else { upper }, None),
                // The board could tell and cannot just now, or never can: the safe reading is a wire.
                None if stack_fitted => (if index == 0 { 0 } else { upper }, None),
                None => continue,
            }
        } else {
            continue;
        };
        suspects |= bit(index);
        if let Some(partner) = partner {
            suspects |= bit(partner);
        }
        wire = wire.or(u8::try_from(open).ok());
    }
    wire.map(|wire| (wire, suspects))
}

/// Whether a neighbour reads as two cells do, or is pinned at the end of the range.
fn is_double(neighbour: u32, low: u32, typical: u32) -> bool {
    let both = neighbour.saturating_add(low);
    let twice = typical.saturating_mul(2);
    let quarter = twice / 4;
    let near_twice = both >= twice.saturating_sub(quarter) && both <= twice.saturating_add(quarter);
    neighbour >= RANGE_END || (near_twice && neighbour > typical.saturating_add(typical / 2))
}
