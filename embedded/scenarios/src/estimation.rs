//! The state-of-charge estimator on a generated load: search, tracking, anchors, resets; every result goes into the hash.

use bms_core::Bms;
use bms_core::balancing::ManualRule;
use bms_core::config::{Chemistry, Config, Model, ValidConfig};
use bms_core::estimation::{CellModel, Estimator, Learned, ModelEstimator};
use bms_core::measurement::{Cells, Group, Input, Reading, Sample, Temperatures};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::Instant;
use bms_core::units::{Charge, Temperature, ah, deg_c, ma, mohm, uv};

use crate::Xorshift;
use crate::digest::Digest;

/// A core with the model-based estimator.
pub type Estimating = Bms<24, ModelEstimator, ManualRule>;

/// A pack of 100 Ah.
#[must_use]
pub const fn config(chemistry: Chemistry) -> ValidConfig {
    Config::preset(chemistry, 8).with_model(Model::B2a24s20p).with_capacity(ah(100)).validated()
}

/// Its core, which believes in a state of charge with a standard deviation, both in millionths.
#[must_use]
pub fn core(config: ValidConfig, believed: i64, sigma: u32) -> Estimating {
    let estimator = ModelEstimator::new(&config, CellModel::typical(config.chemistry()));
    let mut bms = Bms::with_parts(config, estimator, ManualRule::new());
    let learned =
        Learned { soc_sigma_millionths: sigma, shown_permille: (believed / 1_000) as u16, ..Learned::default() };
    let remaining = Charge::from_milliamp_hours(believed / 10);
    let snapshot = Snapshot { remaining: Some(remaining), capacity: ah(100), learned, ..Snapshot::default() };
    bms.restore(Stored::Snapshot(snapshot), ResetCause::PowerOn);
    bms
}

/// One second of a pack whose cells follow the typical curve at a state of charge in millionths.
#[must_use]
pub fn sample(now: Instant, chemistry: Chemistry, charge: i64, milliamps: i32, noise: i32, tenths: i32) -> Sample {
    let open = CellModel::typical(chemistry).open_circuit_voltage(charge.clamp(0, 1_000_000) as u32);
    let drop = i64::from(milliamps) * i64::from(mohm(1).as_microohms()) / 1_000;
    let cell = open.plus(uv(drop as i32 + noise));
    let mut sample = Sample::new();
    sample.cells = Group::at(now, Cells::from_voltages(&[cell; 8]));
    sample.current = Group::at(now, ma(milliamps));
    let reading = Reading::Valid(Temperature::from_tenths(tenths));
    let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
    for slot in temperatures.battery.iter_mut().take(2) {
        *slot = reading;
    }
    sample.temperatures = Group::at(now, temperatures);
    sample
}

/// Runs the estimator for a while on each chemistry; the hash over all that it says.
#[must_use]
pub fn hash(seconds: u32) -> u64 {
    let mut hash = Digest::default();
    for chemistry in Chemistry::ALL {
        let mut random = Xorshift::new(0x0050_CE57_1A7E_0001 + u64::from(chemistry as u8));
        let config = config(chemistry);
        let mut bms = core(config, 400_000, 300_000);
        let (mut charge, mut now, mut milliamps) = (800_000_000_i64, Instant::from_millis(0), 0_i32);
        for second in 0..seconds {
            if second % 40 == 0 {
                milliamps = (random.next_word() % 120_000) as i32 - 80_000;
            }
            // 100 Ah are 360 million milliampere-seconds: in thousandths of millionths.
            charge = (charge + i64::from(milliamps) * 1_000 / 360).clamp(0, 1_000_000_000);
            now = now.after(bms_core::time::ms(1_000));
            let noise = (random.next_word() % 6_000) as i32 - 3_000;
            let tenths = 250 - (second / 20 % 400) as i32;
            let sample = sample(now, chemistry, charge / 1_000, milliamps, noise, tenths);
            bms.step(now, Input::Sample(&sample));
            while bms.poll_event().is_some() {}
            let known = bms.estimator().state_of_charge();
            hash.word(known.map_or(0, |known| u64::from(known.millionths) << 32 | u64::from(known.sigma_millionths)));
            if second % 701 == 700 {
                let learned = bms.estimator().learned();
                hash.word(learned.current_offset_microamps as u64);
                hash.word(u64::from(learned.resistance_permille) << 16 | learned.hysteresis_permille as u16 as u64);
                let snapshot = bms.snapshot();
                let estimator = ModelEstimator::new(&config, CellModel::typical(chemistry));
                bms = Bms::with_parts(config, estimator, ManualRule::new());
                bms.restore(Stored::Snapshot(snapshot), ResetCause::PowerOn);
            }
        }
    }
    hash.finish()
}
