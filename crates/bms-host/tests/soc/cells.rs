//! Cells one by one: each one's state of charge against the pack's, on packs of the plant whose cells differ in everything.

use bms_core::Bms;
use bms_core::balancing::ManualRule;
use bms_core::config::{Chemistry, ValidConfig};
use bms_core::estimation::{CellModel, ModelEstimator};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};
use bms_core::time::{ms, secs};
use bms_core::units::{Charge, ah};

use bms_host::plant::{Charger, Load, PackSpec, SensorError, SensorErrors};
use bms_host::rig::{Rig, Schedule, pack_for};

use crate::bench::{config_of, half_width, own_model};

pub type Pack = Rig<24, ModelEstimator, ManualRule>;

fn knowing(config: ValidConfig) -> Bms<24, ModelEstimator, ManualRule> {
    Bms::with_parts(config, ModelEstimator::new(&config, own_model(config.chemistry())), ManualRule::new())
}

fn typical(config: ValidConfig) -> Bms<24, ModelEstimator, ManualRule> {
    Bms::with_parts(config, ModelEstimator::new(&config, CellModel::typical(config.chemistry())), ManualRule::new())
}

/// A pack whose cells differ: 3 % in the state of charge, 2 % in the capacity, 8 % in the resistance, 1.5 mV in the readings.
pub fn pack(chemistry: Chemistry, own: bool, soc: f64, seed: u64, change: impl FnOnce(&mut PackSpec)) -> Pack {
    let config = config_of(chemistry, 12);
    let mut spec = pack_for(&config);
    spec.soc = soc;
    spec.soc_spread = 0.03;
    spec.capacity_spread = 0.02;
    spec.resistance_spread = 0.08;
    spec.hysteresis = half_width(chemistry);
    spec.seed = seed;
    spec.current_range = 1_000.0;
    spec.sensors = SensorErrors {
        cell: SensorError { noise: 0.001, bias: 0.0015, ..SensorError::default() },
        current: SensorError { noise: 0.1, offset: 0.1, ..SensorError::default() },
        ..SensorErrors::default()
    };
    change(&mut spec);
    let mut pack = Rig::with_core(config, if own { knowing } else { typical }, &spec).unwrap();
    pack = pack.with_schedule(Schedule::every(ms(1_000)));
    let mut known = Snapshot {
        remaining: Some(Charge::from_milliamp_hours((soc * 100_000.0) as i64)),
        capacity: ah(100),
        ..Snapshot::default()
    };
    known.learned.soc_sigma_millionths = 20_000;
    known.learned.shown_permille = (soc * 1e3) as u16;
    // The strategies are tested elsewhere; here nothing may move the cells.
    known.switches.balance = false;
    pack.reset_with(Stored::Snapshot(known), ResetCause::PowerOn);
    pack
}

/// How often the true difference was within two sigmas, over all cells and minutes; and how many cells were known on average.
#[derive(Default)]
struct Covered {
    within: u32,
    known: u32,
    looks: u32,
    squares: f64,
}

impl Covered {
    fn look(&mut self, pack: &Pack) {
        let socs: Vec<f64> = pack.plant().socs().collect();
        let mean = socs.iter().sum::<f64>() / socs.len() as f64;
        let status = pack.bms().status();
        for (cell, soc) in socs.iter().enumerate() {
            self.looks += 1;
            let Some(found) = status.cell_differences.get(cell) else { continue };
            let error = f64::from(found.millionths) * 1e-6 - (soc - mean);
            self.known += 1;
            self.squares += error * error;
            self.within += u32::from(error.abs() <= 2e-6 * f64::from(found.sigma_millionths));
        }
    }
    fn part(&self) -> f64 {
        f64::from(self.within) / f64::from(self.known.max(1))
    }
    fn known(&self) -> f64 {
        f64::from(self.known) / f64::from(self.looks.max(1))
    }
    fn rms(&self) -> f64 {
        (self.squares / f64::from(self.known.max(1))).sqrt()
    }
}

/// A working day: rest, discharge in bursts, rest, charge, rest.
fn day(pack: &mut Pack, amperes: f64, minutes: u32, covered: &mut Covered) {
    let mut go = |pack: &mut Pack, load: f64, minutes: u32| {
        pack.plant_mut().set_charger((load < 0.0).then_some(Charger { voltage: 200.0, current: -load }));
        for minute in 0..minutes {
            let burst = if minute % 3 == 0 { 1.8 } else { 0.6 };
            pack.plant_mut().set_load(if load > 0.0 { Load::Current(load * burst) } else { Load::None });
            pack.run_for(secs(60));
            covered.look(pack);
        }
    };
    go(pack, 0.0, 20);
    go(pack, amperes, minutes);
    go(pack, 0.0, 30);
    go(pack, -amperes, minutes * 8 / 10);
    go(pack, 0.0, 20);
}

/// L01: each cell's difference lies within two of its published sigmas in at least 95 % of the time, whatever else differs
/// between the cells, with the model of the cell and with a typical one; where the curve slopes it is known for nearly all.
#[test]
fn the_difference_of_each_cell_is_as_good_as_it_says() {
    for (chemistry, own, soc, known, rms) in [
        (Chemistry::LiIon, true, 0.85, 0.9, 0.006),
        (Chemistry::LiIon, false, 0.85, 0.8, 0.012),
        (Chemistry::Lto, true, 0.85, 0.9, 0.012),
        (Chemistry::LiFePo4, true, 0.85, 0.0, 0.03),
        (Chemistry::LiFePo4, false, 0.85, 0.0, 0.03),
        (Chemistry::LiFePo4, true, 0.15, 0.0, 0.03),
    ] {
        let mut covered = Covered::default();
        for seed in 1..=4 {
            let mut pack = pack(chemistry, own, soc, seed, |_| {});
            day(&mut pack, if soc > 0.5 { 30.0 } else { 5.0 }, 80, &mut covered);
        }
        let what = format!("{chemistry:?} own {own} from {soc}");
        eprintln!("{what}: {:.3} covered, {:.3} known, rms {:.4}", covered.part(), covered.known(), covered.rms());
        assert!(covered.known == 0 || covered.part() >= 0.95, "{what}: {:.3} covered", covered.part());
        assert!(covered.known() >= known, "{what}: {:.3} known", covered.known());
        assert!(covered.rms() <= rms, "{what}: rms {:.4}", covered.rms());
    }
}

/// L01: on the plateau of LiFePO4 nothing is said, rather than something wrong.
#[test]
fn a_plateau_tells_nothing_of_a_cell() {
    let mut pack = pack(Chemistry::LiFePo4, true, 0.55, 5, |spec| spec.soc_spread = 0.02);
    pack.run_for(secs(1_800));
    let status = pack.bms().status();
    assert!((0..12).all(|cell| status.cell_differences.get(cell).is_none()));
}

/// D21: the status page shows how far the cells lie apart, and how sure that is; nothing where nothing is known.
#[test]
fn the_page_shows_how_far_the_cells_lie_apart() {
    let mut pack = pack(Chemistry::LiIon, true, 0.7, 6, |_| {});
    let line = |pack: &Pack| {
        let page = bms_host::sim::report::page(pack.bms(), "a pack");
        page.summary.iter().find(|(label, _)| *label == "Charge of cells").map(|(_, value)| value.clone())
    };
    assert_eq!(line(&pack), None);
    pack.run_for(secs(600));
    let shown = line(&pack).expect("known after ten minutes at rest");
    assert!(shown.starts_with('-') && shown.contains(" to +") && shown.contains('±'), "{shown}");
}
