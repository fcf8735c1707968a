//! Delivering quotas with the balancer that is fitted.

use super::knowledge::Knowledge;
use crate::balancing::{BalancerKind, EXPIRY, Phase, Plan, Situation};
use crate::measurement::{CellScan, bit};
use crate::time::{Duration, Instant, secs};
use crate::units::{Charge, Current, Voltage};

/// Between two looks at the cells.
const LOOK: Duration = secs(60);
/// The same while a charge is being watched.
const LOOK_WHILE_CHARGING: Duration = secs(20);
/// Nothing starts below this certain difference of two cells, in ticks: 0.3 % of the capacity.
const START: i32 = 24;
/// What has started goes on down to this one.
const END: i32 = 4;
/// A pair gets at most this much before the next one has its turn, in ticks: 0.3 % of the capacity.
const PORTION: i32 = 25;

#[derive(Clone, Copy, Debug)]
enum Work {
    /// Waiting for a quiet scan.
    Idle,
    Transfer {
        source: u8,
        destination: u8,
        phase: Phase,
        phase_ends: Instant,
    },
    Shuttle {
        source: u8,
        destination: u8,
    },
    Bleed {
        mask: u32,
    },
}

/// What is being delivered now.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    work: Work,
    /// The pair whose turn it is, and the ticks that it may still move.
    pair: Option<(u8, u8)>,
    left: i32,
    /// Whether differences down to [`END`] count.
    running: bool,
    looks_at: Instant,
    /// Rest voltages of source and destination, for the books.
    voltages: (Voltage, Voltage),
}

impl Delivery {
    pub(super) const fn new() -> Self {
        Self {
            work: Work::Idle,
            pair: None,
            left: 0,
            running: false,
            looks_at: Instant::ZERO,
            voltages: (Voltage::ZERO, Voltage::ZERO),
        }
    }
    /// The voltage at which a phase moves charge.
    pub(super) const fn voltage(&self, phase: Phase) -> Voltage {
        match phase {
            Phase::Take => self.voltages.0,
            Phase::Give => self.voltages.1,
        }
    }
    /// So many ticks were booked.
    pub(super) fn moved(&mut self, ticks: i32) {
        if ticks < 0 {
            self.left = self.left.saturating_add(ticks);
        }
    }
    pub(super) fn stop(&mut self) {
        self.work = Work::Idle;
    }
    /// The plan from now on; nothing new begins unless `ready`.
    pub(super) fn plan<const N: usize>(
        &mut self,
        situation: &Situation<'_>,
        knowledge: &Knowledge<N>,
        ready: bool,
        charging: bool,
    ) -> Plan {
        let now = situation.now;
        if let (Work::Idle, Some(scan)) = (self.work, &situation.quiet_scan) {
            self.work = if ready { self.choose(situation, scan, knowledge) } else { Work::Idle };
            self.looks_at = now.after(if charging { LOOK_WHILE_CHARGING } else { LOOK });
        }
        let current = situation.rules.current.min(situation.capabilities.maximum_current);
        let until = now.after(EXPIRY);
        match self.work {
            Work::Idle => Plan::Idle,
            Work::Transfer { source, destination, phase, phase_ends } => {
                self.transfer(situation, current, source, destination, phase, phase_ends)
            }
            Work::Shuttle { .. } | Work::Bleed { .. } if now >= self.looks_at => {
                self.work = Work::Idle;
                Plan::Idle
            }
            Work::Shuttle { source, destination } => Plan::Shuttle { source, destination, current, until },
            Work::Bleed { mask } => Plan::Bleed { mask, until },
        }
    }

    /// The two phases of a transfer through the store (B01).
    fn transfer(
        &mut self,
        situation: &Situation<'_>,
        current: Current,
        source: u8,
        destination: u8,
        mut phase: Phase,
        mut phase_ends: Instant,
    ) -> Plan {
        let now = situation.now;
        let ran = matches!(situation.running, Plan::Transfer { phase: ran, .. } if ran == phase);
        let stopped = ran && situation.balance_current == Some(Current::ZERO);
        let over = match phase {
            Phase::Take => now >= phase_ends || stopped,
            Phase::Give => now >= phase_ends || stopped || (ran && situation.store_empty),
        };
        if over {
            if phase == Phase::Give && (now >= self.looks_at || self.left <= 0) {
                self.work = Work::Idle;
                return Plan::Idle;
            }
            (phase, phase_ends) = self.next_phase(situation, current, phase == Phase::Give);
            self.work = Work::Transfer { source, destination, phase, phase_ends };
        }
        Plan::Transfer { source, destination, phase, current, until: phase_ends.min(now.after(EXPIRY)) }
    }
    fn next_phase(&self, situation: &Situation<'_>, current: Current, take: bool) -> (Phase, Instant) {
        let whole = situation.capabilities.phase_time;
        if !take {
            // Until the store is empty, which the balancer tells.
            return (Phase::Give, situation.now.after(whole.plus(whole)));
        }
        // No longer than what the pair may still move.
        let tick = super::tick(situation.capacity);
        let left = Charge::from_milliamp_millis(tick.saturating_mul(i64::from(self.left.max(1))));
        let time = left.as_milliamp_millis().checked_div(i64::from(current.as_milliamps())).unwrap_or(0);
        let time = Duration::from_millis(u32::try_from(time).unwrap_or(u32::MAX));
        (Phase::Take, situation.now.after(whole.min(time.max(secs(1)))))
    }

    /// What to do next, if there is anything certain enough.
    fn choose<const N: usize>(
        &mut self,
        situation: &Situation<'_>,
        scan: &CellScan<'_>,
        knowledge: &Knowledge<N>,
    ) -> Work {
        let least = if self.running { END } else { START };
        let rules = &situation.rules;
        let may = |cell: usize, gives: bool| {
            scan.voltage(cell)
                .is_some_and(|voltage| if gives { voltage > rules.floor } else { voltage < rules.ceiling })
        };
        // The pair whose turn it is stays; and rather than stand still, act on what is only likely.
        let of = |knowledge: &Knowledge<N>, pair: Option<(u8, u8)>| {
            let candidate = |cell: usize, gives: bool| match pair {
                Some((source, destination)) => cell == usize::from(if gives { source } else { destination }),
                None => may(cell, gives),
            };
            pair_of(scan, knowledge, |cell, gives| may(cell, gives) && candidate(cell, gives))
                .filter(|pair| pair.gap >= least)
        };
        let kept = self.pair.filter(|_| self.left > 0);
        let best = kept
            .and_then(|_| of(knowledge, kept).or_else(|| of(&knowledge.likely(), kept)))
            .or_else(|| of(knowledge, None))
            .or_else(|| of(&knowledge.likely(), None));
        let Some(pair) = best else {
            self.running = false;
            self.pair = None;
            return Work::Idle;
        };
        self.running = true;
        if self.pair != Some((pair.source, pair.destination)) {
            self.pair = Some((pair.source, pair.destination));
            self.left = PORTION;
        }
        let work = match situation.capabilities.kind {
            BalancerKind::Transfer => self.transfer_between(situation, &pair),
            BalancerKind::Shuttle => self.link(scan, knowledge),
            BalancerKind::Bleed => Self::resistors(scan, knowledge, least),
        };
        let voltage = |cell: u8| scan.voltage(usize::from(cell)).unwrap_or_default();
        self.voltages = match work {
            Work::Transfer { source, destination, .. } | Work::Shuttle { source, destination } => {
                (voltage(source), voltage(destination))
            }
            Work::Bleed { .. } | Work::Idle => (scan.average().unwrap_or_default(), Voltage::ZERO),
        };
        work
    }
    fn transfer_between(&mut self, situation: &Situation<'_>, pair: &Pair) -> Work {
        self.left = self.left.min(pair.portion).max(1);
        let current = situation.rules.current.min(situation.capabilities.maximum_current);
        // A store that an interrupted transfer left full is emptied first.
        let (phase, phase_ends) = self.next_phase(situation, current, situation.store_empty);
        Work::Transfer { source: pair.source, destination: pair.destination, phase, phase_ends }
    }
    /// The link between neighbours that has most to carry: everything below it is together so far from level.
    fn link<const N: usize>(&self, scan: &CellScan<'_>, knowledge: &Knowledge<N>) -> Work {
        let Some(centre) = knowledge.centre(scan.count()) else { return Work::Idle };
        let (mut flow, mut most, mut work) = (0_i32, END, Work::Idle);
        for lower in 0..scan.count().saturating_sub(1) {
            let Some(surplus) = knowledge.surplus(lower) else { return Work::Idle };
            flow = flow.saturating_add(surplus).saturating_sub(centre);
            if flow.saturating_abs() > most {
                most = flow.saturating_abs();
                let (below, above) = (lower as u8, (lower as u8).saturating_add(1));
                let (source, destination) = if flow > 0 { (below, above) } else { (above, below) };
                work = Work::Shuttle { source, destination };
            }
        }
        work
    }
    /// The cells that certainly have more than the lowest.
    fn resistors<const N: usize>(scan: &CellScan<'_>, knowledge: &Knowledge<N>, least: i32) -> Work {
        let mut lowest = i32::MAX;
        for cell in 0..scan.count() {
            // The lowest must be known, not only bounded.
            let Some(upper) = knowledge.surplus(cell).and(knowledge.upper(cell)) else { return Work::Idle };
            lowest = lowest.min(upper);
        }
        let mut mask = 0;
        for cell in 0..scan.count() {
            if knowledge.lower(cell).is_some_and(|lower| lower.saturating_sub(lowest) >= least) {
                mask |= bit(cell);
            }
        }
        if mask == 0 { Work::Idle } else { Work::Bleed { mask } }
    }
}

/// The pair with the largest certain difference.
struct Pair {
    source: u8,
    destination: u8,
    /// How far they are certainly apart, in ticks.
    gap: i32,
    /// How much may move before one of them comes to the middle.
    portion: i32,
}

/// The best of the cells that may give (`true`) or receive.
fn pair_of<const N: usize>(
    scan: &CellScan<'_>,
    knowledge: &Knowledge<N>,
    may: impl Fn(usize, bool) -> bool,
) -> Option<Pair> {
    let centre = knowledge.centre(scan.count())?;
    let (mut source, mut destination) = (None, None);
    for cell in 0..scan.count() {
        if let Some(lower) = knowledge.lower(cell).filter(|lower| *lower > centre && may(cell, true))
            && source.is_none_or(|(_, most)| lower > most)
        {
            source = Some((cell, lower));
        }
        // A cell that is only bounded counts with its bound; of equal ones the one with the lowest voltage.
        let Some(reading) = scan.get(cell) else { continue };
        if let Some(upper) = knowledge.upper(cell).filter(|upper| *upper < centre && may(cell, false)) {
            let order = (knowledge.surplus(cell).unwrap_or(upper), reading);
            if destination.is_none_or(|(_, _, before)| order < before) {
                destination = Some((cell, upper, order));
            }
        }
    }
    let ((source, lower), (destination, upper, _)) = source.zip(destination)?;
    Some(Pair {
        source: source as u8,
        destination: destination as u8,
        gap: lower.saturating_sub(upper),
        portion: lower.saturating_sub(centre).min(centre.saturating_sub(upper)),
    })
}
