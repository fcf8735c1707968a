//! Open sense wires (X04).
//!
//! With the wire between two cells open, one reads near zero and its neighbour near double, and their sum
//! stays right. With an end wire open, the outermost cell reads near zero and the sum of all falls short of the
//! stack by about one cell. A cell that reads near zero *and* whose stack agrees is dead, not a wire.
//!
//! An open input may also float to a plausible voltage and give itself away only under load. So a sign that is seen while the
//! balancer pulls brings a test of that wire with the balancer; three signs in a row under load count as well. Once found, on a board
//! whose balancer was seen to work, a wire is whole again only after as many scans under load without a sign.

use super::CHARGER_VOLTAGE as SLACK;
use super::sample::bit;
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
    /// Signs under load; [`SCANS`] of them, or a confirmed wire that can be tested, hold until the wire passes a test.
    doubt: u8,
    /// Scans under load without a sign.
    passes: u8,
    /// The balancer was seen to move current: it can be tested with.
    testable: bool,
}

impl OpenWires {
    pub(crate) const fn new() -> Self {
        Self { scans: 0, wire: 0, doubt: 0, passes: 0, testable: false }
    }
    /// Looks at a complete scan with this sum; returns the cells that must not be believed.
    pub(crate) fn update(&mut self, cells: &[u16], sum: u32, stack: Option<Voltage>, stack_fitted: bool) -> u32 {
        match find(cells, sum, stack, stack_fitted) {
            Some((wire, suspects)) => {
                self.wire = wire;
                self.scans = self.scans.saturating_add(1);
                if self.testable && self.scans >= SCANS {
                    self.doubt = SCANS;
                }
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
    /// A scan with the balancer pulling at these cells; `loaded`: it reports a current; `asked`: somebody wants the wires tested.
    /// Tells whether the wire has now failed for good.
    pub(crate) fn under_load(&mut self, pulled: u32, loaded: bool, asked: bool) -> bool {
        self.testable |= loaded;
        if self.scans != 0 && (self.testable || asked) {
            self.doubt = self.doubt.saturating_add(1).min(SCANS);
            self.passes = 0;
        } else if loaded && self.doubt != 0 && self.touched_by(pulled) {
            self.passes = self.passes.saturating_add(1);
            if self.passes >= SCANS {
                self.rely_on_readings();
            }
        }
        self.scans != 0 && self.confirmed()
    }
    fn touched_by(&self, pulled: u32) -> bool {
        let above = usize::from(self.wire);
        pulled & (bit(above) | above.checked_sub(1).map_or(0, bit)) != 0
    }
    /// The wire passed, or no test is possible: what the readings say is all there is.
    pub(crate) fn rely_on_readings(&mut self) {
        self.doubt = 0;
        self.passes = 0;
    }
    /// The wire that a test with the balancer should look at.
    pub(crate) const fn suspect(&self) -> Option<u8> {
        if self.doubt != 0 && self.scans == 0 { Some(self.wire) } else { None }
    }
    /// The last scan showed no sign, and no wire waits for a test that it must pass.
    pub(crate) const fn none(&self) -> bool {
        self.scans == 0 && self.doubt < SCANS
    }
    /// Seen often enough.
    pub(crate) const fn confirmed(&self) -> bool {
        self.scans >= SCANS || self.doubt >= SCANS
    }
    /// The wire, 0 at B−.
    pub(crate) const fn wire(&self) -> u8 {
        self.wire
    }
}

/// The open wire, if there is one, and the cells that it makes meaningless. Sums and products of 32 cells of 16 bits stay far
/// below 2³²: nothing wraps.
fn find(cells: &[u16], sum: u32, stack: Option<Voltage>, stack_fitted: bool) -> Option<(u8, u32)> {
    let (mut healthy, mut healthy_cells) = (0_u32, 0_u32);
    for cell in cells {
        let value = u32::from(*cell);
        if (NEAR_ZERO..RANGE_END).contains(&value) {
            healthy = healthy.wrapping_add(value);
            healthy_cells = healthy_cells.wrapping_add(1);
        }
    }
    let typical = healthy.checked_div(healthy_cells)?;
    let short_of_stack = stack.map(|stack| stack.minus(Voltage::from_microvolts(sum.wrapping_mul(100) as i32)) > SLACK);
    // The outermost cell: the stack tells a wire from a dead cell. A board that could tell and cannot just now takes the safe
    // reading, a wire; one that never can, the other.
    let end_wire = short_of_stack.unwrap_or(stack_fitted);
    let mut suspects = 0_u32;
    let mut wire = None;
    let mut next = 0_usize;
    for cell in cells {
        let index = next;
        next = next.wrapping_add(1);
        let value = u32::from(*cell);
        if value >= NEAR_ZERO {
            continue;
        }
        let (lower, upper) = (index.checked_sub(1), next);
        let double = |other: Option<usize>| {
            let neighbour = other.and_then(|other| cells.get(other));
            neighbour.is_some_and(|neighbour| is_double(u32::from(*neighbour), value, typical))
        };
        let (open, partner) = if double(Some(upper)) {
            (upper, Some(upper))
        } else if double(lower) {
            (index, lower)
        } else if index == 0 && end_wire {
            (0, None)
        } else if upper == cells.len() && end_wire {
            (upper, None)
        } else {
            continue;
        };
        suspects |= bit(index) | partner.map_or(0, bit);
        wire = wire.or(Some(open as u8));
    }
    wire.map(|wire| (wire, suspects))
}

/// Whether a neighbour reads as two cells do, or is pinned at the end of the range.
fn is_double(neighbour: u32, low: u32, typical: u32) -> bool {
    let both = neighbour.wrapping_add(low);
    let twice = typical.wrapping_mul(2);
    let quarter = twice / 4;
    let near_twice = both >= twice.wrapping_sub(quarter) && both <= twice.wrapping_add(quarter);
    neighbour >= RANGE_END || (near_twice && neighbour > typical.wrapping_add(typical / 2))
}
