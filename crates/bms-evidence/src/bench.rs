//! The pack with its core, a watchdog that only a healthy step feeds, and the watch over the truth.

use bms_core::Bms;
use bms_core::balancing::ManualRule;
use bms_core::config::{BoardDefinition, Config, Model, ParameterId as P, ValidConfig};
use bms_core::estimation::CoulombCounter;
use bms_core::snapshot::ResetCause;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{ah, amps};
use bms_host::plant::PackSpec;
use bms_host::rig::{Given, Rig, Schedule, pack_for};

use crate::truth::{Blur, Truth, Watch};

/// Plant and core. The balancing rule is the manual's, which acts at once; what bounds it is the same for every strategy.
pub type Pack = Rig<CELLS, CoulombCounter, ManualRule>;

/// Cells of the pack.
pub const CELLS: usize = 16;
/// Time between two steps.
pub const PERIOD: Duration = ms(100);
/// The watchdog's time, or three periods if that is longer.
pub const WATCHDOG: Duration = secs(2);

/// The configuration of the campaigns: sixteen LiFePO4 cells, every channel measured, a heater; short over-current delays
/// and releases, so that a run need not be long.
#[must_use]
pub const fn config() -> Config {
    let board = BoardDefinition { terminal_voltage: true, ..BoardDefinition::MANUAL };
    Config::lifepo4(CELLS as u8)
        .with_model(Model::B2a24s15p)
        .with_capacity(ah(100))
        .with_board(board)
        .with_charge_limit(amps(100), secs(2))
        .with_discharge_limit(amps(100), secs(2))
        .with(P::ChargeOvercurrentRelease, 5_000)
        .with(P::DischargeOvercurrentRelease, 5_000)
        .with(P::ShortCircuitRelease, 5_000)
        .with(P::HeaterResistance, 20_000_000)
}

/// The pack that a configuration describes, with inputs that see charger and load.
#[must_use]
pub fn spec(config: &ValidConfig) -> PackSpec {
    let mut spec = pack_for(config);
    spec.presence_inputs = true;
    spec
}

/// A pack under watch.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Plant and core.
    pub pack: Pack,
    /// What was seen of the truth.
    pub watch: Watch,
    /// How exact the readings are.
    pub blur: Blur,
    /// Without a healthy step for so long the watchdog resets the firmware.
    watchdog: Duration,
    /// The last healthy step, in true time.
    fed: Instant,
    /// How often the watchdog bit.
    pub bites: u32,
}

impl Bench {
    /// A new board, powered on.
    ///
    /// # Panics
    /// If the pack is impossible.
    #[must_use]
    pub fn new(config: ValidConfig, spec: &PackSpec) -> Self {
        Self::with_schedule(config, spec, Schedule::every(PERIOD))
    }
    /// The same with other times of steps.
    ///
    /// # Panics
    /// If the pack is impossible.
    #[must_use]
    pub fn with_schedule(config: ValidConfig, spec: &PackSpec, schedule: Schedule) -> Self {
        let make = |config| Bms::with_parts(config, CoulombCounter::new(&config), ManualRule::new());
        let pack = Pack::with_core(config, make, spec).expect("the pack is possible");
        let pack = pack.with_schedule(schedule);
        Self {
            pack,
            watch: Watch::new(),
            blur: Blur::ROUNDING,
            watchdog: WATCHDOG.max(ms(schedule.period.as_millis().saturating_mul(4))),
            fed: Instant::ZERO,
            bites: 0,
        }
    }
    /// True time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.pack.now()
    }
    /// One step of the core, then a look at the truth.
    pub fn step(&mut self) {
        self.pack.step();
        let now = self.now();
        let healthy = match self.pack.given() {
            Given::Sample | Given::Lost(_) | Given::Tick => self.pack.bms().is_healthy(),
            Given::Nothing => false,
            // Nothing runs, so nothing bites.
            Given::Unpowered => true,
        };
        if healthy {
            self.fed = now;
        } else if now.since(self.fed) >= self.watchdog {
            self.fed = now;
            self.bites += 1;
            self.pack.reset(ResetCause::Watchdog);
        }
        let config = *self.pack.bms().config();
        self.watch.look(now, &Truth::of(self.pack.plant()), &config, &self.blur);
    }
    /// Lets this much time pass.
    pub fn run_for(&mut self, length: Duration) {
        let end = self.now().after(length);
        while self.now() < end {
            self.step();
        }
    }
    /// Brings all cells to rest at a voltage.
    pub fn level(&mut self, volts: f64) {
        for cell in 0..CELLS {
            self.level_one(cell, volts);
        }
    }
    /// Brings one cell (0 is cell 1) to rest at a voltage.
    pub fn level_one(&mut self, cell: usize, volts: f64) {
        let (mut low, mut high) = (-0.05, 1.2);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if self.pack.plant().open_circuit(middle) < volts {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.pack.plant_mut().set_soc(cell, high);
    }
    /// Injects a fault from now on.
    pub fn inject(&mut self, kind: bms_host::fault::FaultKind) {
        let now = self.now();
        self.pack.faults().add(bms_host::fault::Fault::from(now, kind));
    }
}
