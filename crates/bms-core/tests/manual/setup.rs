//! What a [`Pack`] is made of, and how it starts.

use bms_core::config::{BoardDefinition, Chemistry, Config, Model, ParameterId, Profile};
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::units::ah;

use crate::harness::Pack;

/// What a pack is made of and how it starts.
#[derive(Clone, Copy)]
pub struct Setup {
    pub config: Config,
    pub period: u32,
    pub jitter: bool,
    pub start: u64,
    pub stored: Stored,
    pub cause: ResetCause,
}

impl Setup {
    /// Sixteen cells, 280 Ah, the 200 A model.
    pub fn of(chemistry: Chemistry, profile: Profile) -> Self {
        let config =
            Config::preset(chemistry, 16).with_profile(profile).with_model(Model::B2a24s20p).with_capacity(ah(280));
        Self::from_config(config)
    }
    pub fn from_config(config: Config) -> Self {
        Self { config, period: 100, jitter: false, start: 5_000, stored: Stored::Nothing, cause: ResetCause::PowerOn }
    }
    pub fn new(profile: Profile) -> Self {
        Self::of(Chemistry::LiFePo4, profile)
    }
    pub fn set(mut self, parameter: ParameterId, value: i32) -> Self {
        self.config = self.config.with(parameter, value);
        self
    }
    pub fn board(mut self, change: impl FnOnce(&mut BoardDefinition)) -> Self {
        let mut board = *self.config.board();
        change(&mut board);
        self.config = self.config.with_board(board);
        self
    }
    pub fn every(mut self, milliseconds: u32) -> Self {
        self.period = milliseconds;
        self.set(ParameterId::SamplePeriod, i32::try_from(milliseconds).unwrap())
    }
    pub fn jitter(mut self) -> Self {
        self.jitter = true;
        self
    }
    pub fn starting_at(mut self, milliseconds: u64) -> Self {
        self.start = milliseconds;
        self
    }
    pub fn after_reset(mut self, stored: Stored, cause: ResetCause) -> Self {
        self.stored = stored;
        self.cause = cause;
        self
    }
    /// The pack before its first sample: stepped once, as a driver begins.
    pub fn pack(self) -> Pack {
        let mut pack = Pack::new(self);
        pack.begin();
        pack
    }
    /// The pack with both switches closed.
    pub fn started(self) -> Pack {
        let mut pack = self.pack();
        pack.start();
        pack
    }
}

/// The rates at which the timing rules are tried: 1 ms … 1 s, with jitter, and across the wrap of a 32-bit clock.
pub fn rates(profile: Profile) -> Vec<Setup> {
    let across = (1_u64 << 32) - 40_000;
    let base = Setup::new(profile);
    vec![
        base.every(1),
        base.every(7),
        base.every(100),
        base.every(1_000),
        base.every(100).jitter(),
        base.every(1_000).jitter(),
        base.every(7).jitter().starting_at(across),
        base.every(100).starting_at(across),
    ]
}
