//! Sense-wire resistances from the balancer's own current (W01): from every transfer that runs anyway, and of all wires on request
//! by the self-test.
//!
//! While the balancer takes I from a cell, the current returns through the two wires of that cell. Each wire is
//! shared with a neighbour, whose reading rises by I × R of the shared wire. The outermost wires have no neighbour;
//! theirs is what the cell itself drops beyond the other wire, its own internal resistance included. It is a
//! preliminary value, made to find a bad contact, as the manual says (§5.3.1 zone 3).

use super::sample::bit;
use super::scan::CellScan;
use crate::balancing::Plan;
use crate::units::{Current, Voltage, ma};

/// A wire that was not measured yet.
pub(crate) const UNKNOWN: u16 = u16::MAX;
/// The pack current may not move by more than this between the two readings.
const STEADY: Current = ma(500);
/// Below this balance current a wire cannot be told from noise.
const SMALLEST: Current = ma(100);

/// A wire counts as at least this, in mΩ, when its drop is reckoned out: it may not be measured, or was while the cell itself moved.
const USUAL: u16 = 25;

/// The readings around one cell without current, and what is known of all wires.
#[derive(Clone, Debug)]
pub(crate) struct WireEstimator<const N: usize> {
    /// Wire i runs to the negative side of cell index i, in mΩ.
    milliohms: [u16; N],
    /// The wire to the positive side of the last cell, in mΩ.
    top: u16,
    /// Around the source and the destination of the running transfer.
    baselines: [Option<Baseline>; 2],
    /// The worst of the wires that are known: mΩ and number.
    worst: Option<(u16, u8)>,
}

#[derive(Clone, Copy, Debug)]
struct Baseline {
    cell: u8,
    below: Option<u16>,
    own: u16,
    above: Option<u16>,
    pack_current: Current,
}

impl<const N: usize> WireEstimator<N> {
    pub(crate) const fn new() -> Self {
        Self { milliohms: [UNKNOWN; N], top: UNKNOWN, baselines: [None; 2], worst: None }
    }
    /// The quiet readings before the balancer starts on a pair of cells.
    pub(crate) fn arm(&mut self, scan: &CellScan<'_>, cells: [u8; 2], pack_current: Current) {
        self.baselines = cells.map(|cell| {
            let index = usize::from(cell);
            scan.get(index).map(|own| Baseline {
                cell,
                below: index.checked_sub(1).and_then(|below| scan.get(below)),
                own,
                above: index.checked_add(1).and_then(|above| scan.get(above)),
                pack_current,
            })
        });
    }
    /// A reading while the balancer runs; whether it told anything.
    pub(crate) fn update(&mut self, scan: &CellScan<'_>, plan: &Plan, balance: Current, pack_current: Current) -> bool {
        let pulled = plan.pulled();
        let shuttles = matches!(plan, Plan::Shuttle { .. });
        if pulled.count_ones() != 1 && !shuttles {
            return false;
        }
        let mut told = false;
        for baseline in self.baselines.into_iter().flatten() {
            let steady = pack_current.minus(baseline.pack_current).magnitude() < STEADY;
            if pulled & bit(usize::from(baseline.cell)) == 0 || !steady || balance.magnitude() < SMALLEST {
                continue;
            }
            told = true;
            if shuttles {
                self.estimate_ends(scan, &baseline, pulled, balance);
            } else {
                self.estimate(scan, &baseline, balance);
            }
        }
        self.worst = None;
        let mut wire = 0_u8;
        for value in self.milliohms.iter().chain(core::iter::once(&self.top)) {
            if *value != UNKNOWN && self.worst.is_none_or(|(worst, _)| *value > worst) {
                self.worst = Some((*value, wire));
            }
            wire = wire.saturating_add(1);
        }
        told
    }
    /// One cell alone carries the current.
    fn estimate(&mut self, scan: &CellScan<'_>, baseline: &Baseline, balance: Current) {
        let index = usize::from(baseline.cell);
        let above_index = index.saturating_add(1);
        let own = scan.get(index).map(|now| milliohms(now, baseline.own, balance));
        let lower = neighbour(scan, index.checked_sub(1), baseline.below, balance);
        let upper = neighbour(scan, Some(above_index), baseline.above, balance);
        // The outermost wires: what the cell itself drops beyond its other wire.
        let rest = |other: Option<u16>| own.zip(other).map(|(own, other)| own.saturating_sub(other));
        let lower = if index == 0 { rest(upper) } else { lower };
        let upper = if above_index == scan.count() { rest(lower) } else { upper };
        self.store(index, lower);
        self.store(above_index, upper);
    }
    /// Two neighbours carry it, in opposite directions: the wire between them carries both currents, the outer ones one each, and
    /// show in the cells beyond. An outermost wire is what its cell drops beyond twice the wire between.
    fn estimate_ends(&mut self, scan: &CellScan<'_>, baseline: &Baseline, pulled: u32, balance: Current) {
        let index = usize::from(baseline.cell);
        let above_index = index.saturating_add(1);
        let is_lower = pulled & bit(above_index) != 0;
        let outer = if is_lower { index } else { above_index };
        let between = if is_lower { above_index } else { index };
        let beyond = if is_lower {
            neighbour(scan, index.checked_sub(1), baseline.below, balance)
        } else {
            neighbour(scan, Some(above_index), baseline.above, balance)
        };
        let own = || {
            let own = scan.get(index).map(|now| milliohms(now, baseline.own, balance))?;
            let between = self.milliohms.get(between).copied().filter(|between| *between != UNKNOWN)?;
            Some(own.saturating_sub(between.saturating_mul(2)))
        };
        let value = beyond.or_else(own);
        self.store(outer, value);
    }
    fn store(&mut self, wire: usize, value: Option<u16>) {
        let Some(value) = value else { return };
        match self.milliohms.get_mut(wire) {
            Some(slot) => *slot = value,
            None => self.top = value,
        }
    }
    /// Whether a cell that the running plan loads, or a neighbour at the same wire, is really beyond the bounds although its
    /// reading need not be: taking from a cell lowers its reading by the drop over both its wires, giving lifts it.
    pub(crate) fn hide(&self, scan: &CellScan<'_>, plan: &Plan, balance: Current, bounds: (Voltage, Voltage)) -> bool {
        let pulled = plan.pulled();
        let touched = pulled | pulled << 1 | pulled >> 1;
        let into = |cell: usize| plan.direction(cell).saturating_mul(balance.as_milliamps());
        (0..scan.count()).filter(|cell| touched & bit(*cell) != 0).any(|cell| {
            let Some(read) = scan.voltage(cell) else { return false };
            let below: i32 = cell.checked_sub(1).map_or(0, into);
            let (own, above) = (into(cell), into(cell.saturating_add(1)));
            // mA × mΩ = µV. A few amperes and some ten ohms stay far within 32 bits.
            let upper = self.ohms(cell.saturating_add(1)).saturating_mul(own.saturating_sub(above));
            let lower = self.ohms(cell).saturating_mul(below.saturating_sub(own));
            let real = read.minus(Voltage::from_microvolts(upper.saturating_sub(lower)));
            real < bounds.0 || real > bounds.1
        })
    }
    /// A wire in mΩ.
    fn ohms(&self, wire: usize) -> i32 {
        let known = self.milliohms.get(wire).copied().unwrap_or(self.top);
        i32::from(if known == UNKNOWN { USUAL } else { known.max(USUAL) })
    }
    /// The worst wire that is known, in mΩ, and its number.
    pub(crate) const fn worst(&self) -> Option<(u16, u8)> {
        self.worst
    }
    pub(crate) fn view(&self, count: u8) -> (&[u16], Option<u16>) {
        let wires = usize::from(count).saturating_add(1);
        match self.milliohms.get(..wires) {
            Some(all) => (all, None),
            None => (&self.milliohms, Some(self.top)),
        }
    }
}

fn neighbour(scan: &CellScan<'_>, index: Option<usize>, before: Option<u16>, balance: Current) -> Option<u16> {
    let now = index.and_then(|index| scan.get(index))?;
    Some(milliohms(now, before?, balance))
}

/// |ΔU| / |I|, with U in tenths of a millivolt and I in mA: 0.1 mV / 1 mA = 100 mΩ.
fn milliohms(now: u16, before: u16, balance: Current) -> u16 {
    let drop = u32::from(now.abs_diff(before)).saturating_mul(100);
    let value = drop.checked_div(balance.magnitude().as_milliamps().unsigned_abs()).unwrap_or(0);
    u16::try_from(value).unwrap_or(UNKNOWN.saturating_sub(1)).min(UNKNOWN.saturating_sub(1))
}
