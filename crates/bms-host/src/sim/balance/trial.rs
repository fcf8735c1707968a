//! One strategy on one pack.

use std::time::Instant as Clock;

use bms_core::Bms;
use bms_core::balancing::{BalancerKind, ManualRule, PassiveBleed, Plan, Quota, Strategy};
use bms_core::command::Command;
use bms_core::config::ValidConfig;
use bms_core::estimation::CoulombCounter;
use bms_core::time::{Duration, Instant, secs};

use super::BalanceArguments;
use super::bound::{Bound, bound, links};
use super::pack::{self, Use};
use crate::mock::{DriverRig, MockPack};
use crate::plant::{Charger, Load, Plant};
use crate::schedule::Schedule;

/// A strategy, with the hardware that it is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Contestant {
    /// Charge quotas, one channel with a store: the default.
    Quota,
    /// The manual's rule, one channel with a store.
    Manual,
    /// Charge quotas, converters between neighbours.
    QuotaNeighbours,
    /// Charge quotas, a bleed resistor at each cell.
    QuotaResistors,
    /// Bleeding by voltage, a resistor at each cell.
    Passive,
}

impl Contestant {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Quota, Self::Manual, Self::QuotaNeighbours, Self::QuotaResistors, Self::Passive];
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Manual => "manual",
            Self::QuotaNeighbours => "quota-neighbours",
            Self::QuotaResistors => "quota-resistors",
            Self::Passive => "passive",
        }
    }
    const fn kind(self) -> BalancerKind {
        match self {
            Self::Quota | Self::Manual => BalancerKind::Transfer,
            Self::QuotaNeighbours => BalancerKind::Shuttle,
            Self::QuotaResistors | Self::Passive => BalancerKind::Bleed,
        }
    }
}

/// What came of it. Charges in Ah, times in h, spreads of the state of charge as a part of one.
#[derive(Clone, Debug, Default)]
pub struct Result {
    /// The seed.
    pub seed: u64,
    /// The least that is possible.
    pub bound: Bound,
    /// When the true spread came down to the target: since the first charge knee in cycling use, since the start otherwise.
    pub time_h: Option<f64>,
    /// The same since the start.
    pub time_from_start_h: Option<f64>,
    /// Length of the run.
    pub ran_h: f64,
    /// Charge out of cells when the target was reached, or at the end.
    pub ah_moved: f64,
    /// Energy turned into heat by then.
    pub loss_wh: f64,
    /// Charge out of cells that had less than the mean, or into cells that had more.
    pub wrong_way_ah: f64,
    /// How often a cell was driven back by more than 0.5 % of the nominal capacity.
    pub turns: u32,
    /// How often another pair (link, set of resistors) was chosen.
    pub pair_changes: u32,
    /// Part of the time with the balancer off between transfers, for quiet scans.
    pub quiet_share: f64,
    /// True spread before and after.
    pub spread_before: f64,
    /// At the end of the run.
    pub spread_after: f64,
    /// At the terminals.
    pub usable_ah_before: f64,
    /// At the terminals, at the end of the run.
    pub usable_ah_after: f64,
    /// How much of what still had to move was moved, against the most that the bound allows in the time.
    pub share_of_bound: f64,
    /// Charges begun, for cycling use.
    pub charges: u32,
    /// Time, and where each cell stood.
    pub course: Vec<(f64, Vec<f64>)>,
    /// Simulated seconds a second.
    pub speed: f64,
}

/// Runs one strategy on the pack of one seed.
///
/// # Errors
/// The pack is impossible.
pub fn run(
    arguments: &BalanceArguments,
    config: ValidConfig,
    contestant: Contestant,
    seed: u64,
) -> std::result::Result<Result, String> {
    match contestant {
        Contestant::Quota | Contestant::QuotaNeighbours | Contestant::QuotaResistors => {
            trial(arguments, config, contestant, seed, |config| {
                Bms::with_parts(config, CoulombCounter::new(&config), Quota::<24>::new())
            })
        }
        Contestant::Manual => trial(arguments, config, contestant, seed, |config| {
            Bms::with_parts(config, CoulombCounter::new(&config), ManualRule::new())
        }),
        Contestant::Passive => trial(arguments, config, contestant, seed, |config| {
            Bms::with_parts(config, CoulombCounter::new(&config), PassiveBleed::new())
        }),
    }
}

/// How often the truth is looked at.
const LOOK: Duration = secs(10);
/// What counts as driving a cell back: 0.5 % of the capacity against the way before.
const TURN: f64 = 0.005;
/// How often it is kept for the plot, h.
const COURSE_H: f64 = 0.1;

fn hours_of(at: Instant) -> f64 {
    at.as_millis() as f64 / 3.6e6
}

fn trial<S: Strategy>(
    arguments: &BalanceArguments,
    config: ValidConfig,
    contestant: Contestant,
    seed: u64,
    make: fn(ValidConfig) -> Bms<24, CoulombCounter, S>,
) -> std::result::Result<Result, String> {
    let began = Clock::now();
    let spec = pack::spec(arguments, contestant.kind(), seed);
    let period = Duration::from_millis(arguments.step_ms);
    let schedule = Schedule { temperatures_every: 5, ..Schedule::every(period) };
    // The whole way: sampler, driver, core, balancer port.
    let mut rig = DriverRig::with_core(config, make, &spec, schedule).map_err(|error| error.to_string())?;
    let pack = rig.pack().clone();
    let usage = arguments.usage;
    let nominal = arguments.capacity_ah;
    let target = arguments.target();
    let efficiency = spec.balancer.efficiency * spec.balancer.efficiency;
    let before = pack::standing(&pack.plant(), usage, nominal);
    // Of what this hardware could do: one channel, or links of which each carries what others need.
    let least_of = |standing: &[(f64, f64)]| match contestant.kind() {
        BalancerKind::Shuttle => links(standing, target, arguments.current),
        _ => bound(standing, target, arguments.current, efficiency, pack::volts(arguments.chemistry)),
    };
    let least = least_of(&before);
    let mut result = Result {
        seed,
        bound: least,
        spread_before: pack::spread(&before),
        usable_ah_before: pack::usable_ah(pack.plant().clone(), &config, nominal),
        ..Result::default()
    };
    let mut watcher = Watcher::new(nominal);
    let mut duty = Duty::new(usage, nominal, &config);
    // The horizon: what the goals ask for, and some more to see whether it stays.
    let horizon = |knee: Option<f64>| match usage {
        Use::Rest => Some(arguments.horizon * least.hours.max(1.0)),
        Use::Charge => None,
        Use::Cycle => knee.map(|knee| knee + arguments.horizon * least.hours.max(1.0)),
    };
    let mut reached = None;
    let mut knee = None;
    loop {
        rig.run_for(LOOK, |at, command| {
            watcher.command(&command.balance, arguments.step_ms);
            if duty.step(&pack, command) && knee.is_none() {
                knee = Some(hours_of(at));
            }
        });
        let hours = hours_of(pack.now());
        let plant = pack.plant();
        let standing = pack::standing(&plant, usage, nominal);
        watcher.look(&plant, &standing);
        if result.course.last().is_none_or(|(at, _)| hours - at >= COURSE_H) {
            result.course.push((hours, standing.iter().map(|(x, _)| *x).collect()));
        }
        let since = hours - if usage == Use::Cycle { knee.unwrap_or(hours) } else { 0.0 };
        if reached.is_none() && pack::spread(&standing) <= target {
            reached = Some(hours);
            result.time_h = Some(since);
            result.time_from_start_h = Some(hours);
            watcher.freeze(&plant);
        }
        let over = horizon(knee).is_some_and(|end| hours >= end) || duty.finished();
        if over || hours > 400.0 {
            break;
        }
    }
    let plant = pack.plant();
    watcher.freeze(&plant);
    let after = pack::standing(&plant, usage, nominal);
    result.ran_h = hours_of(plant.now());
    result.ah_moved = watcher.moved;
    result.loss_wh = watcher.lost;
    result.wrong_way_ah = watcher.wrong;
    result.pair_changes = watcher.pairs;
    result.turns = watcher.turns();
    result.quiet_share = watcher.quiet_share();
    result.charges = duty.charges;
    result.spread_after = pack::spread(&after);
    result.usable_ah_after = pack::usable_ah(plant.clone(), &config, nominal);
    // What still has to move, before and after, against what could be moved meanwhile.
    let rest = least_of(&after);
    let hours = result.time_from_start_h.unwrap_or(result.ran_h);
    let possible = (hours * least.charge_ah / least.hours.max(1e-9)).min(least.charge_ah);
    result.share_of_bound = if possible > 0.0 { (least.charge_ah - rest.charge_ah) / possible } else { 1.0 };
    result.speed = result.ran_h * 3_600.0 / began.elapsed().as_secs_f64().max(1e-9);
    Ok(result)
}

/// Charges and discharges the pack.
struct Duty {
    usage: Use,
    nominal: f64,
    /// What the charger holds the pack at, V.
    volts: f64,
    charging: Option<bool>,
    charges: u32,
    /// How long the pack has been full or the charger idle, steps.
    full: u32,
    done: bool,
}

impl Duty {
    fn new(usage: Use, nominal: f64, config: &ValidConfig) -> Self {
        use bms_core::config::ParameterId as P;
        let volts = |parameter| f64::from(config.get(parameter)) * 1e-6;
        let cell = (volts(P::CellOvervoltageProtection) + volts(P::CellOvervoltageRecovery)) / 2.0;
        let volts = cell * f64::from(config.cell_count());
        Self { usage, nominal, volts, charging: None, charges: 0, full: 0, done: false }
    }
    /// Goes on; true when a charge has just ended.
    fn step(&mut self, pack: &MockPack, command: &Command) -> bool {
        if self.usage == Use::Rest {
            return false;
        }
        let current = self.nominal * 0.2;
        let mut plant = pack.plant();
        match self.charging {
            None => {
                if command.charge.is_closed() && command.discharge.is_closed() {
                    self.charge(&mut plant, current);
                }
                false
            }
            Some(true) => {
                let tapered = plant.current() < current / 4.0;
                self.full = if !command.charge.is_closed() || tapered { self.full + 1 } else { 0 };
                let ended = self.full > 50;
                if ended {
                    self.full = 0;
                    plant.set_charger(None);
                    if self.usage == Use::Charge {
                        self.done = true;
                    } else {
                        plant.set_load(Load::Current(current));
                        self.charging = Some(false);
                    }
                }
                ended
            }
            Some(false) => {
                let cells = f64::from(plant.spec().cells);
                if plant.socs().sum::<f64>() / cells <= 0.4 {
                    plant.set_load(Load::None);
                    self.charge(&mut plant, current);
                }
                false
            }
        }
    }
    fn charge(&mut self, plant: &mut Plant, current: f64) {
        plant.set_charger(Some(Charger { voltage: self.volts, current }));
        self.charging = Some(true);
        self.charges += 1;
    }
    const fn finished(&self) -> bool {
        self.done
    }
}

/// Counts what the balancer does.
struct Watcher {
    last: Plan,
    moving_ms: u64,
    idle_ms: u64,
    pause_ms: u64,
    before: Vec<f64>,
    wrong: f64,
    pairs: u32,
    frozen: bool,
    moved: f64,
    lost: f64,
    /// Of each cell: the furthest that it came on its way, whether that is up, how often it was driven back; Ah.
    ways: Vec<Way>,
    turn: f64,
}

#[derive(Clone, Copy, Default)]
struct Way {
    furthest: f64,
    up: bool,
    turns: u32,
}

impl Watcher {
    fn new(nominal: f64) -> Self {
        Self {
            ways: Vec::new(),
            turn: nominal * TURN,
            last: Plan::Idle,
            moving_ms: 0,
            idle_ms: 0,
            pause_ms: 0,
            before: Vec::new(),
            wrong: 0.0,
            pairs: 0,
            frozen: false,
            moved: 0.0,
            lost: 0.0,
        }
    }
    fn command(&mut self, plan: &Plan, step_ms: u32) {
        if plan.is_idle() {
            self.pause_ms += u64::from(step_ms);
            return;
        }
        // A pause of some seconds is an interruption, a longer one is not wanting to move anything.
        if self.pause_ms <= 5_000 && self.moving_ms > 0 {
            self.idle_ms += self.pause_ms;
        }
        self.pause_ms = 0;
        self.moving_ms += u64::from(step_ms);
        let same = match (self.last, *plan) {
            (Plan::Transfer { source: a, destination: b, .. }, Plan::Transfer { source: c, destination: d, .. })
            | (Plan::Shuttle { source: a, destination: b, .. }, Plan::Shuttle { source: c, destination: d, .. }) => {
                (a, b) == (c, d)
            }
            (Plan::Bleed { mask: a, .. }, Plan::Bleed { mask: b, .. }) => a == b,
            _ => false,
        };
        if !same {
            self.pairs += 1;
        }
        self.last = *plan;
    }
    fn look(&mut self, plant: &Plant, standing: &[(f64, f64)]) {
        let now: Vec<f64> = plant.balanced_charges().collect();
        let total: f64 = standing.iter().map(|(_, capacity)| capacity).sum();
        let mean = standing.iter().map(|(x, capacity)| x * capacity).sum::<f64>() / total;
        for ((now, before), (x, _)) in now.iter().zip(self.before.iter()).zip(standing) {
            let into = (now - before) / 3_600.0;
            // What is given to a cell above the mean, or taken from one below it.
            if into * (x - mean) > 0.0 {
                self.wrong += into.abs();
            }
        }
        self.ways.resize(now.len(), Way::default());
        for (way, moved) in self.ways.iter_mut().zip(&now) {
            let moved = moved / 3_600.0;
            let back = if way.up { way.furthest - moved } else { moved - way.furthest };
            if back > self.turn {
                // The first departure is no turn.
                way.turns += u32::from(way.furthest != 0.0);
                *way = Way { furthest: moved, up: !way.up, ..*way };
            } else if back < 0.0 {
                way.furthest = moved;
            }
        }
        self.before = now;
    }
    fn turns(&self) -> u32 {
        self.ways.iter().map(|way| way.turns).sum()
    }
    /// What it took until now: when the target is reached, or at the end.
    fn freeze(&mut self, plant: &Plant) {
        if !self.frozen {
            self.frozen = true;
            self.moved = plant.balancer_taken() / 3_600.0;
            self.lost = plant.balance_ledger().lost / 3_600.0;
        }
    }
    fn quiet_share(&self) -> f64 {
        self.idle_ms as f64 / (self.idle_ms + self.moving_ms).max(1) as f64
    }
}
