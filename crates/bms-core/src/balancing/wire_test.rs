//! The self-test of the sense wires: a short pull at each cell, so that every wire carries current once (W01, X04).
//!
//! ```text
//!  quiet scan ─► pull at the cell (three scans) ─► give back to its neighbour until the store is empty ─► next cell
//! ```
//! Each cell gives a little and receives it from the one before, so a balanced pack stays balanced. The guard keeps every limit as
//! for any other plan; quiet scans are rationed as ever (D04), so that a cell takes some seconds. A cell that may not give, or does
//! not, is left out.

use super::{BalancerKind, EXPIRY, Phase, Plan, Situation};
use crate::measurement::bit;
use crate::time::{Duration, Instant, secs};

/// Scans under load until a cell counts as visited.
const SCANS: u8 = 3;
/// A cell that cannot be visited within this time, and the shortest time of a pair, is left out.
const PATIENCE: u32 = 30_000;
/// Between two looks at a wire that was found open.
const RETEST: Duration = secs(60);

/// What a scan with the balancer running was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Nothing: no current was reported.
    None,
    /// Current flowed through the wires of the cell.
    Seen,
    /// The wires' resistances were estimated from it.
    Estimated,
}

/// What is being tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Nothing,
    /// Every cell, on request.
    All,
    /// The one wire that seems to be open.
    Wire,
}

/// What ended in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The test of all wires; how many cells were visited.
    All(u8),
    /// The test of one wire, which could not be carried out.
    Impossible,
}

/// The test's progress.
#[derive(Clone, Debug)]
pub(crate) struct WireTest {
    task: Task,
    cell: u8,
    visited: u8,
    phase: Phase,
    /// A pull was asked for in the last step.
    pulling: bool,
    /// The cell has given; what it gave may still be in the store.
    taken: bool,
    /// The wire turned out to be open.
    failed: bool,
    loaded: u8,
    /// Time since the phase began, ms.
    waited: u32,
    retest_at: Instant,
}

impl WireTest {
    pub(crate) const fn new() -> Self {
        Self {
            task: Task::Nothing,
            cell: 0,
            visited: 0,
            phase: Phase::Take,
            pulling: false,
            taken: false,
            failed: false,
            loaded: 0,
            waited: 0,
            retest_at: Instant::ZERO,
        }
    }
    pub(crate) fn active(&self) -> bool {
        self.task != Task::Nothing
    }
    /// The cell that the test is at.
    pub(crate) fn cell(&self) -> Option<u8> {
        self.active().then_some(self.cell)
    }
    /// Begins with all wires.
    pub(crate) fn start(&mut self) {
        *self = Self { task: Task::All, retest_at: self.retest_at, ..Self::new() };
    }
    /// Begins with one wire, unless something is being tested or it was done a moment ago.
    pub(crate) fn probe(&mut self, wire: u8, cells: u8, now: Instant) {
        if self.task == Task::Nothing && now >= self.retest_at {
            let cell = wire.min(cells.saturating_sub(1));
            *self = Self { task: Task::Wire, cell, retest_at: now.after(RETEST), ..Self::new() };
        }
    }
    /// The wire turned out to be open: the alarm says so, the test is over.
    pub(crate) const fn fail(&mut self) {
        self.failed = true;
    }
    /// Forgets what it was doing.
    pub(crate) fn cancel(&mut self) {
        *self = Self { retest_at: self.retest_at, ..Self::new() };
    }

    /// Looks at what the last step brought; tells when the test is over.
    pub(crate) fn observe(&mut self, situation: &Situation<'_>, load: Load, allowed: bool) -> Option<Ended> {
        let enough = if self.task == Task::All { Load::Estimated } else { Load::Seen };
        self.waited = self.waited.saturating_add(situation.elapsed);
        if load == enough || load == Load::Estimated {
            self.loaded = self.loaded.saturating_add(1);
        }
        if situation.running.is_idle() {
            // It was not admitted, or has ended: only a new quiet scan can begin the next one.
            self.pulling = false;
        } else if self.is_over(situation) {
            self.waited = 0;
            self.loaded = 0;
            self.pulling = false;
            match (self.phase, situation.capabilities.kind) {
                (Phase::Take, BalancerKind::Transfer) => {
                    (self.phase, self.pulling, self.taken) = (Phase::Give, true, true);
                }
                (Phase::Take, BalancerKind::Shuttle) => (self.phase, self.taken) = (Phase::Give, true),
                // The store was not empty at first.
                (Phase::Give, _) if !self.taken => self.phase = Phase::Take,
                (Phase::Take, BalancerKind::Bleed) | (Phase::Give, _) => {
                    self.taken = true;
                    return self.next(situation);
                }
            }
        }
        let impatient = self.waited > PATIENCE.saturating_add(situation.rules.minimum_on.as_millis());
        if impatient && self.task == Task::All && allowed {
            return self.next(situation);
        }
        if impatient || self.failed {
            let (task, visited, failed) = (self.task, self.visited, self.failed);
            self.cancel();
            return match task {
                Task::All => Some(Ended::All(visited)),
                Task::Wire | Task::Nothing => (!failed).then_some(Ended::Impossible),
            };
        }
        None
    }
    /// Whether the running pull has done its work.
    fn is_over(&self, situation: &Situation<'_>) -> bool {
        match (self.phase, situation.capabilities.kind) {
            (Phase::Give, BalancerKind::Transfer) => situation.store_empty,
            _ => self.loaded >= SCANS,
        }
    }
    /// On to the next cell.
    fn next(&mut self, situation: &Situation<'_>) -> Option<Ended> {
        let visited = self.visited.saturating_add(u8::from(self.taken));
        let cell = self.cell.saturating_add(1);
        let (task, retest_at) = (self.task, self.retest_at);
        self.cancel();
        if task == Task::Wire {
            return None;
        }
        // A chain of converters has one link less than cells.
        let missing = u8::from(situation.capabilities.kind == BalancerKind::Shuttle);
        if cell.saturating_add(missing) >= situation.cells {
            return Some(Ended::All(if visited == 0 { 0 } else { visited.saturating_add(missing) }));
        }
        *self = Self { task, cell, visited, retest_at, ..Self::new() };
        None
    }

    /// The pull that is wanted now.
    pub(crate) fn plan(&mut self, situation: &Situation<'_>) -> Plan {
        if !self.pulling && situation.quiet_scan.is_none() {
            return Plan::Idle;
        }
        self.pulling = true;
        let (source, until) = (self.cell, situation.now.after(EXPIRY));
        let current = situation.rules.current.min(situation.capabilities.maximum_current);
        let after = source.saturating_add(1);
        match situation.capabilities.kind {
            BalancerKind::Bleed => Plan::Bleed { mask: bit(usize::from(source)), until },
            BalancerKind::Transfer => {
                // Around the ring; a store that is not empty is emptied first.
                let destination = if after < situation.cells { after } else { 0 };
                if situation.running.is_idle() && !situation.store_empty && self.phase == Phase::Take {
                    // A drop over a bad wire looks like a violation and stops the pull after its first scan; that one tells enough.
                    (self.phase, self.taken) = (Phase::Give, self.loaded > 0);
                }
                Plan::Transfer { source, destination, phase: self.phase, current, until }
            }
            BalancerKind::Shuttle => {
                // The lowest link comes last: its wire is told with the help of the one above.
                let links = situation.cells.saturating_sub(1);
                let lower = match self.task {
                    Task::All if after < links => after,
                    Task::All => 0,
                    Task::Wire | Task::Nothing => source.min(links.saturating_sub(1)),
                };
                let upper = lower.saturating_add(1);
                let (source, destination) = if self.phase == Phase::Take { (lower, upper) } else { (upper, lower) };
                Plan::Shuttle { source, destination, current, until }
            }
        }
    }
}

impl Plan {
    /// The cells whose wires carry current in this plan, one bit each.
    pub(crate) fn pulled(&self) -> u32 {
        let cell = |cell: u8| bit(usize::from(cell));
        match *self {
            Self::Idle => 0,
            Self::Transfer { source, phase: Phase::Take, .. } => cell(source),
            Self::Transfer { destination, phase: Phase::Give, .. } => cell(destination),
            Self::Bleed { mask, .. } => mask,
            Self::Shuttle { source, destination, .. } => cell(source) | cell(destination),
        }
    }
    /// Which way a cell (0 is cell 1) carries the balancer's current: 1 into it, -1 out of it.
    pub(crate) fn direction(&self, cell: usize) -> i32 {
        let is = |which: u8| usize::from(which) == cell;
        match *self {
            Self::Transfer { source, phase: Phase::Take, .. } if is(source) => -1,
            Self::Transfer { destination, phase: Phase::Give, .. } if is(destination) => 1,
            Self::Shuttle { source, .. } if is(source) => -1,
            Self::Shuttle { destination, .. } if is(destination) => 1,
            Self::Bleed { mask, .. } if mask & bit(cell) != 0 => -1,
            _ => 0,
        }
    }
}
