//! Settings, presets, models and calibration: S01–S04, S09, S11, D14, D24, D31, the table of models.

use bms_core::bms::Request;
use bms_core::command::Beep;
use bms_core::config::{Chemistry, Config, Model, PARAMETERS, ParameterId, Profile, Rule, Scope, Violation};
use bms_core::event::EventKind;
use bms_core::measurement::{Cells, Group, Input, Reading, Sample, Temperatures};
use bms_core::time::secs;
use bms_core::units::{Current, ah, amps, deg_c, ma, mohm, mv};

use crate::harness::{Act, PROFILES, Pack, Setup};

use ParameterId as P;

/// Appendix 1, row by row: Li-ion, LiFePO4, LTO in the stored units.
const APPENDIX_1: [(P, [i32; 3]); 19] = [
    (P::CellUndervoltageProtection, [2_900_000, 2_700_000, 1_800_000]),
    (P::CellUndervoltageRecovery, [3_200_000, 2_900_000, 2_000_000]),
    (P::CellOvervoltageProtection, [4_200_000, 3_600_000, 2_700_000]),
    (P::CellOvervoltageRecovery, [4_100_000, 3_500_000, 2_400_000]),
    (P::BalanceTrigger, [10_000; 3]),
    (P::AutoShutdownVoltage, [2_800_000, 2_600_000, 1_700_000]),
    (P::ChargeOvercurrentDelay, [30_000; 3]),
    (P::ChargeOvercurrentRelease, [60_000; 3]),
    (P::DischargeOvercurrentDelay, [30_000; 3]),
    (P::DischargeOvercurrentRelease, [60_000; 3]),
    (P::ShortCircuitRelease, [60_000; 3]),
    (P::ChargeOvertemperatureProtection, [600; 3]),
    (P::ChargeOvertemperatureRecovery, [550; 3]),
    (P::DischargeOvertemperatureProtection, [600; 3]),
    (P::DischargeOvertemperatureRecovery, [550; 3]),
    (P::ChargeUndertemperatureProtection, [-200, 0, -200]),
    (P::ChargeUndertemperatureRecovery, [-100, 50, -100]),
    (P::MosOvertemperatureProtection, [750; 3]),
    (P::MosOvertemperatureRecovery, [700; 3]),
];

/// S01 D14: the presets are Appendix 1, 19 rows × 3, in both profiles, in the table and in a configuration.
#[test]
fn the_presets_are_appendix_1() {
    for (parameter, values) in APPENDIX_1 {
        for (chemistry, value) in Chemistry::ALL.into_iter().zip(values) {
            for profile in PROFILES {
                let config = Config::preset(chemistry, 16).with_profile(profile);
                assert_eq!(config.get(parameter), value, "{} of {chemistry:?}", parameter.info().name);
            }
            assert_eq!(parameter.info().default_for(chemistry), value);
        }
    }
}

/// S01 N06: every preset is a valid configuration, with every model whose cells it fits.
#[test]
fn every_preset_is_valid_with_every_model() {
    for chemistry in Chemistry::ALL {
        for profile in PROFILES {
            for model in Model::ALL {
                let cells = model.ratings().most_cells;
                let config =
                    Config::preset(chemistry, cells).with_profile(profile).with_model(model).with_capacity(ah(100));
                assert!(config.validate().is_ok(), "{chemistry:?} {profile:?} {model:?}");
            }
        }
    }
}

/// S01: a preset rewrites all working parameters; cell count, capacity and calibration stay.
#[test]
fn a_preset_rewrites_the_working_parameters_only() {
    let odd = Config::lifepo4(14)
        .with_model(Model::B2a24s20p)
        .with_capacity(ah(77))
        .with(P::VoltageGain, 1_234)
        .with(P::CurrentGain, -4_321)
        .with(P::CurrentOffset, 17)
        .with(P::CellUndervoltageProtection, 2_800_000)
        .with(P::DischargeOvercurrentDelay, 5_000)
        .with(P::ChargeOvertemperatureProtection, 450)
        .with(P::BalanceTrigger, 20_000);
    for chemistry in Chemistry::ALL {
        let config = odd.with_preset(chemistry);
        assert_eq!(config.chemistry(), chemistry);
        for (parameter, values) in APPENDIX_1 {
            assert_eq!(config.get(parameter), values[chemistry as usize], "{}", parameter.info().name);
        }
        for kept in [P::CellCount, P::Capacity, P::VoltageGain, P::CurrentGain, P::CurrentOffset] {
            assert_eq!(config.get(kept), odd.get(kept), "{}", kept.info().name);
        }
        assert!(config.validate().is_ok());
    }
}

/// S04 S02 S03: every service parameter can be read and changed at run time; out of its range it is refused, the set kept.
#[test]
fn every_parameter_can_be_changed_at_run_time() {
    for row in &PARAMETERS {
        let mut pack = Setup::new(Profile::Default).started();
        let before = *pack.config();
        assert_eq!(pack.config().get(row.id), before.get(row.id));
        for outside in [row.maximum + 1, row.minimum - 1, i32::MIN, i32::MAX] {
            if row.accepts(outside) {
                continue;
            }
            assert!(pack.set(row.id, outside).is_err(), "{} = {outside}", row.name);
            assert_eq!(*pack.config(), before, "never half-applied");
        }
        match row.scope {
            // A small change that no ordering forbids: the present value itself, and a step down where it is allowed.
            Scope::Service => {
                assert!(pack.set(row.id, before.get(row.id)).is_ok(), "{}", row.name);
                let changed = before.get(row.id) - row.step;
                let allowed = before.to_config().with(row.id, changed).validate();
                assert_eq!(pack.set(row.id, changed).is_ok(), allowed.is_ok(), "{} = {changed}", row.name);
                assert_eq!(pack.config().get(row.id), if allowed.is_ok() { changed } else { before.get(row.id) });
            }
            _ => {
                assert!(pack.set(row.id, before.get(row.id)).is_err(), "{} is not for service", row.name);
                assert_eq!(*pack.config(), before);
            }
        }
    }
}

/// S04: a change takes effect at once.
#[test]
fn a_change_takes_effect_at_once() {
    let mut pack = Setup::new(Profile::Manual).started();
    pack.all_cells(mv(3_100));
    pack.advance(secs(2));
    assert_eq!(pack.closed(), (true, true));
    // UVPR first, or the ordering would be broken.
    assert!(pack.set(P::CellUndervoltageProtection, 3_150_000).is_err());
    pack.set(P::CellUndervoltageRecovery, 3_200_000).unwrap();
    pack.set(P::CellUndervoltageProtection, 3_150_000).unwrap();
    pack.step();
    assert_eq!(pack.closed(), (true, false));
    assert!(pack.saw(|event| *event == EventKind::ParameterChanged { parameter: P::CellUndervoltageProtection }));
}

/// S04: whatever is changed at run time is what counts from the next step on.
#[test]
fn changed_limits_count_from_the_next_step() {
    let both = (true, true);
    let cases: [(P, i32, Act, (bool, bool)); 8] = [
        (P::CellOvervoltageProtection, 3_550_000, |pack| pack.cell(3, mv(3_560)), (false, true)),
        (P::CellUndervoltageProtection, 2_850_000, |pack| pack.cell(3, mv(2_840)), (true, false)),
        (P::ChargeOvertemperatureProtection, 560, |pack| pack.battery(570), (false, true)),
        (P::DischargeOvertemperatureProtection, 560, |pack| pack.battery(570), (true, false)),
        (P::ChargeUndertemperatureProtection, 40, |pack| pack.battery(30), (false, true)),
        (P::DischargeOvercurrentProtection, 50_000, |pack| pack.current = amps(-60), (true, false)),
        (P::ChargeOvercurrentProtection, 50_000, |pack| pack.current = amps(60), (false, true)),
        (P::PackOvervoltageProtection, 0, |pack| pack.all_cells(mv(3_590)), both),
    ];
    for (parameter, value, cause, open) in cases {
        let mut pack = Setup::new(Profile::Manual).started();
        cause(&mut pack);
        pack.throughout(secs(29), "within the old limit", |pack| pack.closed() == both);
        pack.current = Current::ZERO;
        pack.step();
        pack.set(parameter, value).unwrap();
        cause(&mut pack);
        pack.until(secs(32), "beyond the new one", |pack| pack.closed() == open);
    }
}

/// S04 P16: a refusal gives the reason in words, with the parameters that it concerns.
#[test]
fn a_refusal_names_its_reason() {
    let mut pack = Setup::new(Profile::Default).started();
    let mut reason = |parameter, value| pack.set(parameter, value).unwrap_err().to_string();
    let order = reason(P::CellUndervoltageProtection, 2_900_000);
    assert!(order.contains("cell_undervoltage_protection") && order.contains("cell_undervoltage_recovery"), "{order}");
    let range = reason(P::CellUndervoltageProtection, 4_350_001);
    assert!(range.contains("1.2") && range.contains("4.35"), "{range}");
    assert!(reason(P::MosOvertemperatureProtection, 800).contains("mos_overtemperature_protection"));
    assert!(reason(P::BalanceCurrent, 2_001).contains("balance_current"));
}

/// S02 S04 P18: more cells than the buffers hold are refused; a core that is built too small never closes.
#[test]
fn a_core_that_is_too_small_stays_open() {
    let config = Config::lifepo4(16).with_charge_limit(amps(50), secs(30)).with_discharge_limit(amps(50), secs(30));
    let mut pack = Setup::from_config(config).started();
    assert!(pack.set(P::CellCount, 25).is_err());
    assert_eq!(pack.config().cell_count(), 16);
    let mut small = bms_core::Bms::<8>::with_capacity(config.validated());
    for count in 1..100 {
        let at = bms_core::time::Instant::from_millis(count * 100);
        let mut sample = Sample::<8>::new();
        sample.cells = Group::at(at, Cells::from_voltages(&[mv(3_300); 16]));
        sample.current = Group::at(at, Current::ZERO);
        let mos = Reading::Valid(deg_c(25));
        sample.temperatures = Group::at(at, Temperatures { mos, ..Temperatures::default() });
        sample.stack = Group::at(at, mv(52_800));
        let command = small.step(at, Input::Sample(&sample));
        assert!(!command.charge.is_closed() && !command.discharge.is_closed());
    }
}

/// P02 P04 P12 P13 P14 P15 P16 D04 X13 X14: each pair must keep its order; equal is wrong too, except for the balance stop.
#[test]
fn pairs_must_keep_their_order() {
    let pairs = [
        (P::AutoShutdownVoltage, P::CellUndervoltageProtection),
        (P::CellUndervoltageProtection, P::CellUndervoltageRecovery),
        (P::CellUndervoltageRecovery, P::CellOvervoltageRecovery),
        (P::CellOvervoltageRecovery, P::CellOvervoltageProtection),
        (P::NeverChargeVoltage, P::CellUndervoltageProtection),
        (P::CellOvervoltageProtection, P::AbuseVoltage),
        (P::ChargeOvertemperatureRecovery, P::ChargeOvertemperatureProtection),
        (P::DischargeOvertemperatureRecovery, P::DischargeOvertemperatureProtection),
        (P::ChargeUndertemperatureProtection, P::ChargeUndertemperatureRecovery),
        (P::DischargeUndertemperatureProtection, P::DischargeUndertemperatureRecovery),
        (P::MosOvertemperatureRecovery, P::MosOvertemperatureProtection),
    ];
    for chemistry in Chemistry::ALL {
        let config = Setup::of(chemistry, Profile::Default).config;
        let order = |lower, upper, value| {
            let violations = config.with(lower, value).validate().err();
            violations.is_some_and(|found| found.iter().any(|found| found == Violation::Order { lower, upper }))
        };
        for (lower, upper) in pairs {
            let limit = config.get(upper);
            assert!(order(lower, upper, limit), "{} = {}", lower.info().name, upper.info().name);
            assert!(order(lower, upper, limit + 1) && !order(lower, upper, limit - 1));
        }
        let trigger = config.get(P::BalanceTrigger);
        assert!(!order(P::BalanceStop, P::BalanceTrigger, trigger));
        assert!(order(P::BalanceStop, P::BalanceTrigger, trigger + 1));
    }
}

/// S04: a whole set is taken or refused as one.
#[test]
fn a_whole_set_is_taken_as_one() {
    let mut pack = Setup::new(Profile::Default).started();
    let next = pack
        .config()
        .to_config()
        .with(P::CellUndervoltageProtection, 3_000_000)
        .with(P::CellUndervoltageRecovery, 3_100_000);
    pack.reconfigure(next.validated()).unwrap();
    pack.step();
    assert_eq!(pack.config().to_config(), next);
    let wrong = next.with(P::CellUndervoltageRecovery, 3_000_000).with(P::CellCount, 33).with(P::BalanceCurrent, 5_000);
    let violations: Vec<_> = wrong.validate().unwrap_err().iter().collect();
    let order = Violation::Order { lower: P::CellUndervoltageProtection, upper: P::CellUndervoltageRecovery };
    for expected in [order, Violation::OutOfRange(P::CellCount), Violation::Rule(Rule::BalanceCurrentOfModel)] {
        assert!(violations.contains(&expected), "all violations are named: {violations:?}");
    }
}

/// P15 D01 D16 S04: what is a rating of the board no run-time change reaches, one by one or as a whole set.
#[test]
fn no_run_time_change_reaches_the_boards_ratings() {
    let mut pack = Setup::new(Profile::Default).started();
    let before = *pack.config();
    let hot = before.to_config().with(P::MosOvertemperatureProtection, 1_000);
    let mut board = *before.board();
    board.sensors = [bms_core::config::SensorPolicy::NotFitted; 5];
    for changed in [hot, before.to_config().with_board(board)] {
        let _ = pack.reconfigure(changed.validated());
        pack.step();
        assert_eq!(pack.config().get(P::MosOvertemperatureProtection), 750);
        assert_eq!(pack.config().board(), before.board());
    }
}

/// S09 I05: a successful change is acknowledged with a beep, a refused one is not.
#[test]
fn a_change_is_acknowledged_with_a_beep() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.advance(secs(5));
    let beeps = |pack: &mut Pack| (0..20).filter(|_| pack.step().beep == Beep::Accepted).count();
    assert_eq!(beeps(&mut pack), 0);
    pack.set(P::BalanceTrigger, 20_000).unwrap();
    assert_eq!(beeps(&mut pack), 1);
    assert!(pack.set(P::BalanceTrigger, -1).is_err());
    assert_eq!(beeps(&mut pack), 0);
}

/// S11: restoring the factory settings brings the preset back; nothing closes in that step.
#[test]
fn factory_settings_can_be_restored() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.set(P::CellUndervoltageProtection, 2_800_000).unwrap();
    pack.set(P::DischargeOvercurrentDelay, 5_000).unwrap();
    pack.request(Request::RestoreFactorySettings).unwrap();
    let before = pack.closed();
    pack.step();
    let (charge, discharge) = pack.closed();
    assert!((!charge || before.0) && (!discharge || before.1));
    for (parameter, values) in APPENDIX_1 {
        assert_eq!(pack.config().get(parameter), values[1], "{}", parameter.info().name);
    }
    pack.until(secs(10), "goes on", |pack| pack.closed() == (true, true));
}

/// D31: hard caps that no parameter and no link exceeds.
#[test]
fn hard_caps_hold() {
    for (chemistry, overvoltage, undervoltage) in
        [(Chemistry::LiIon, 4_350, 2_500), (Chemistry::LiFePo4, 3_800, 2_000), (Chemistry::Lto, 2_850, 1_500)]
    {
        let mut pack = Setup::of(chemistry, Profile::Default)
            .set(P::AutoShutdownVoltage, 1_200_000)
            .set(P::NeverChargeVoltage, 0)
            .started();
        assert!(pack.set(P::CellOvervoltageProtection, overvoltage * 1_000).is_ok());
        assert!(pack.set(P::CellOvervoltageProtection, overvoltage * 1_000 + 1).is_err());
        assert!(pack.set(P::CellUndervoltageProtection, undervoltage * 1_000).is_ok());
        assert!(pack.set(P::CellUndervoltageProtection, undervoltage * 1_000 - 1).is_err());
        assert!(pack.set(P::DischargeOvercurrentProtection, 200_001).is_err());
        assert!(pack.set(P::ChargeOvercurrentProtection, 200_001).is_err());
    }
}

/// One row of the manual's tables of models.
struct Row(&'static str, [u8; 3], u8, Option<i32>, i32, i32, i32, i32);

/// M D24 H02 B02 P10: every row of the table of models.
#[test]
fn the_table_of_models() {
    let rows = [
        Row("BD6A17S6P", [7, 8, 14], 17, Some(1_530), 60, 100, 600, 0),
        Row("BD6A20S6P", [7, 8, 14], 20, Some(1_530), 60, 100, 600, 0),
        Row("BD6A24S6P", [7, 8, 14], 24, Some(1_530), 60, 100, 600, 0),
        Row("BD6A17S8P", [7, 8, 14], 17, Some(1_200), 80, 150, 600, 0),
        Row("BD6A20S8P", [7, 8, 14], 20, Some(1_200), 80, 150, 600, 0),
        Row("BD6A24S8P", [7, 8, 14], 24, Some(1_200), 80, 150, 600, 0),
        Row("BD6A20S10P", [7, 8, 14], 20, Some(1_000), 100, 200, 600, 200),
        Row("BD6A24S10P", [7, 8, 14], 24, Some(1_000), 100, 200, 600, 200),
        Row("B1A20S15P", [7, 8, 14], 20, Some(650), 150, 300, 1_000, 200),
        Row("B1A24S15P", [7, 8, 14], 24, Some(650), 150, 300, 1_000, 200),
        Row("B2A24S15P", [7, 8, 14], 24, Some(470), 150, 300, 2_000, 200),
        Row("B2A24S20P", [7, 8, 14], 24, Some(470), 200, 350, 2_000, 200),
        Row("B1A8S20P", [4, 4, 5], 8, None, 200, 350, 1_000, 200),
        Row("B2A8S20P", [4, 4, 5], 8, None, 200, 350, 2_000, 100),
    ];
    assert_eq!(rows.len(), Model::ALL.len());
    for Row(name, fewest, most, microohms, continuous, maximum, balance, heater) in rows {
        let model = Model::from_name(name).unwrap();
        let ratings = model.ratings();
        assert_eq!(ratings.name, name);
        assert_eq!((ratings.fewest_cells, ratings.most_cells), (fewest, most), "{name}");
        assert_eq!(ratings.resistance.map(|resistance| resistance.as_microohms()), microohms, "{name}");
        assert_eq!((ratings.continuous, ratings.maximum_discharge), (amps(continuous), amps(maximum)), "{name}");
        assert_eq!(ratings.balance, ma(balance), "{name}");
        assert_eq!(ratings.heater.as_milliwatts(), heater * 1_000, "{name}");
        for chemistry in Chemistry::ALL {
            let valid =
                |cells| Config::preset(chemistry, cells).with_model(model).with_capacity(ah(100)).validate().is_ok();
            let least = fewest[chemistry as usize];
            assert!(valid(least) && valid(most), "{name} {chemistry:?}");
            assert!(!valid(least - 1) && !valid(most + 1), "{name} {chemistry:?}");
        }
    }
}

/// D15 A02 N01: exactly 20 V and exactly 100 V are within the supply.
#[test]
fn the_ends_of_the_supply_are_within() {
    use bms_core::config::Warning;
    let low =
        |value| Setup::from_config(Config::li_ion(8).with_model(Model::B2a24s20p)).set(P::AutoShutdownVoltage, value);
    let warned = |setup: Setup, warning| setup.config.validate().unwrap().warnings().contains(warning);
    assert!(!warned(low(2_500_000), Warning::SupplyBelow20Volts));
    assert!(warned(low(2_499_999), Warning::SupplyBelow20Volts));
    let many = Config::lifepo4(32).with_charge_limit(amps(50), secs(30)).with_discharge_limit(amps(50), secs(30));
    let high = |value| {
        Setup::from_config(many)
            .set(P::CellOvervoltageRecovery, 3_100_000)
            .set(P::BalanceStartVoltage, 3_000_000)
            .set(P::CellOvervoltageProtection, value)
    };
    assert!(!warned(high(3_125_000), Warning::SupplyAbove100Volts));
    assert!(warned(high(3_125_001), Warning::SupplyAbove100Volts));
}

/// D26: the wire limit is min(1 Ω, 0.4 V / balance current) unless set.
#[test]
fn the_wire_limit_can_be_set() {
    let mut pack = Setup::new(Profile::Default).started();
    assert_eq!(pack.config().get(P::WireResistanceLimit), 0, "the formula");
    assert!(pack.set(P::WireResistanceLimit, mohm(500).as_microohms()).is_ok());
    assert!(pack.set(P::WireResistanceLimit, 5_000_001).is_err());
}
