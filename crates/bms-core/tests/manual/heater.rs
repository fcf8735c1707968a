//! Heating: H01, H02, D28.

use bms_core::config::{Config, Model, ParameterId, Profile, Rule, SensorPolicy, Violation};
use bms_core::measurement::Reading;
use bms_core::protection::Alarm;
use bms_core::time::{Duration, secs};
use bms_core::units::{amps, ma, mv};

use crate::harness::{Act, PROFILES, Pack, Presence, Setup, tenths};

use ParameterId as P;

/// A pack with a heating film of 20 Ω, a charger and a cold battery: it heats.
fn cold(profile: Profile) -> Pack {
    let mut pack = heated(profile).started();
    pack.inputs.charger = Some(true);
    pack.battery(-10);
    pack.until(secs(3), "heats", Pack::heating);
    pack
}

fn heated(profile: Profile) -> Setup {
    Setup::new(profile).set(P::HeaterResistance, 20_000_000)
}

/// H01: below the charge low-temperature protection: charging off, heater on; above its recovery the reverse.
#[test]
fn the_heater_runs_while_it_is_too_cold_to_charge() {
    for profile in PROFILES {
        let mut pack = heated(profile).started();
        pack.inputs.charger = Some(true);
        pack.battery(0);
        pack.throughout(secs(10), "not below yet", |pack| !pack.heating() && pack.closed() == (true, true));
        pack.t2 = tenths(-1);
        pack.until(secs(3), "below", Pack::heating);
        assert_eq!(pack.closed(), (false, true));
        assert!(pack.status().heater && pack.has(Alarm::ChargeUndertemperature));
        pack.battery(50);
        pack.throughout(secs(10), "not above the recovery yet", |pack| {
            pack.heating() && pack.closed() == (false, true)
        });
        pack.battery(51);
        pack.steps(2);
        assert!(!pack.heating());
        assert_eq!(pack.closed(), (true, true));
    }
}

/// H01: without a heating film there is nothing to switch.
#[test]
fn no_heater_no_heating() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.inputs.charger = Some(true);
    pack.battery(-10);
    pack.throughout(secs(60), "none fitted", |pack| !pack.heating());
}

/// The rules that a heater breaks.
fn broken(config: Config) -> Vec<Violation> {
    config.validate().err().map(|violations| violations.iter().collect()).unwrap_or_default()
}

fn film(model: Model, cells: u8, microohms: i32) -> Vec<Violation> {
    broken(Config::lifepo4(cells).with_model(model).with(P::HeaterResistance, microohms))
}

/// H02: at most 3 A at cells × OVP.
#[test]
fn the_heater_current_is_limited() {
    // 16 × 3.6 V / 3 A = 19.2 Ω
    assert_eq!(film(Model::B2a24s20p, 16, 19_200_000), []);
    assert_eq!(film(Model::B2a24s20p, 16, 19_199_999), [Violation::Rule(Rule::HeaterCurrent)]);
}

/// H02: at most 200 W at cells × OVP, and at the same time at most 3 A.
#[test]
fn the_heater_power_is_limited() {
    // 24 × 3.6 V = 86.4 V: 200 W from 37.325 Ω on, while 3 A would allow 28.8 Ω.
    assert_eq!(film(Model::B2a24s20p, 24, 37_325_000), []);
    assert_eq!(film(Model::B2a24s20p, 24, 37_324_000), [Violation::Rule(Rule::HeaterPower)]);
    let both = film(Model::B2a24s20p, 24, 28_000_000);
    assert!(both.contains(&Violation::Rule(Rule::HeaterPower)) && both.contains(&Violation::Rule(Rule::HeaterCurrent)));
}

/// H02: 100 W on the B2A8S20P, 200 W on its sister.
#[test]
fn the_b2a8s20p_heats_with_100_watts() {
    // Li-ion, 8 × 4.2 V = 33.6 V: 100 W from 11.2896 Ω on.
    let film = |model, microohms| broken(Config::li_ion(8).with_model(model).with(P::HeaterResistance, microohms));
    assert_eq!(film(Model::B2a8s20p, 11_290_000), []);
    assert_eq!(film(Model::B2a8s20p, 11_289_000), [Violation::Rule(Rule::HeaterPower)]);
    assert_eq!(film(Model::B1a8s20p, 11_289_000), []);
}

/// H02: the 6P and 8P models have no heater output.
#[test]
fn small_models_have_no_heater() {
    for model in Model::ALL {
        let name = model.ratings().name;
        let none = name.ends_with("S6P") || name.ends_with("S8P");
        let config =
            Config::lifepo4(model.ratings().most_cells).with_model(model).with(P::HeaterResistance, 100_000_000);
        let found = broken(config);
        assert_eq!(found.contains(&Violation::Rule(Rule::HeaterOfModel)), none, "{name}");
        assert_eq!(found.is_empty(), !none, "{name}");
    }
}

/// H02 S04: a later change that would break it is refused too, and the old set kept.
#[test]
fn a_later_change_that_overloads_the_heater_is_refused() {
    let mut pack = Setup::new(Profile::Default).set(P::HeaterResistance, 19_200_000).started();
    let before = *pack.config();
    assert!(pack.set(P::CellOvervoltageProtection, 3_601_000).is_err());
    assert!(pack.set(P::CellCount, 17).is_err());
    assert!(pack.set(P::HeaterResistance, 19_000_000).is_err());
    assert_eq!(*pack.config(), before);
    assert!(pack.set(P::CellOvervoltageProtection, 3_599_000).is_ok());
}

/// D28: a charger must be present by default; without one the heater is off.
#[test]
fn the_heater_needs_a_charger_by_default() {
    for profile in PROFILES {
        let mut pack = heated(profile).started();
        pack.battery(-10);
        pack.throughout(secs(30), "no charger", |pack| !pack.heating());
        pack.inputs.charger = Some(true);
        pack.until(secs(3), "a charger", Pack::heating);
        pack.inputs.charger = Some(false);
        pack.until(secs(3), "it is gone", |pack| !pack.heating());
        let mut pack = heated(profile).set(P::HeaterNeedsCharger, 0).started();
        pack.battery(-10);
        pack.until(secs(3), "not required", Pack::heating);
    }
}

/// D28 D30: a charger shows by its current too.
#[test]
fn a_charging_current_is_a_charger() {
    // The switch still conducts for a moment; charging 0.2 A is not yet a charger.
    let mut pack = heated(Profile::Manual).started();
    pack.battery(-10);
    pack.current = ma(200);
    pack.throughout(secs(5), "0.2 A", |pack| !pack.heating());
    pack.current = ma(201);
    pack.until(secs(2), "more than 0.2 A", Pack::heating);
}

/// D28: from the battery only above UVPR; from the charger's input regardless.
#[test]
fn the_battery_feeds_the_heater_only_above_uvpr() {
    let mut pack = cold(Profile::Default);
    pack.cell(5, mv(2_900));
    pack.until(secs(2), "one cell is at UVPR", |pack| !pack.heating());
    pack.cell(5, mv(2_901));
    pack.until(secs(5), "above", Pack::heating);
    let mut pack = heated(Profile::Default).set(P::HeaterFromBattery, 0).started();
    pack.inputs.charger = Some(true);
    pack.all_cells(mv(2_750));
    pack.battery(-10);
    pack.until(secs(3), "fed by the charger", Pack::heating);
}

/// D28 X02: a valid temperature is needed; the heater is off in the step that lacks it.
#[test]
fn the_heater_needs_a_valid_temperature() {
    for profile in PROFILES {
        let mut pack = cold(profile);
        (pack.t1, pack.t2) = (Reading::Invalid, Reading::Invalid);
        pack.step();
        assert!(!pack.heating(), "at once");
        pack.throughout(secs(30), "off", |pack| !pack.heating());
        let mut pack = cold(profile);
        pack.temperatures_group = Presence::Failed;
        pack.step();
        assert!(!pack.heating(), "at once");
    }
    let mut pack = cold(Profile::Default);
    pack.t2 = Reading::Invalid;
    pack.step();
    assert!(!pack.heating(), "one of two sensors is enough to doubt");
}

/// D28: at most 30 minutes without a rise of 0.5 °C, then an alarm and no more heating.
#[test]
fn a_heater_that_does_not_warm_is_switched_off() {
    let mut pack = heated(Profile::Default).every(1_000).started();
    pack.inputs.charger = Some(true);
    pack.battery(-100);
    pack.until(secs(3), "heats", Pack::heating);
    for rise in 1..=3 {
        pack.throughout(secs(29 * 60), "warming", |pack| pack.heating() && !pack.has(Alarm::HeaterIneffective));
        pack.battery(-100 + 5 * rise);
        pack.step();
    }
    pack.battery(-100 + 15 + 4);
    let end = pack.now.after(secs(30 * 60));
    pack.throughout(secs(30 * 60 - 5), "not yet", |pack| pack.heating());
    pack.until(secs(15), "30 minutes", |pack| pack.has(Alarm::HeaterIneffective));
    assert!(pack.now <= end.after(secs(5)));
    assert!(!pack.heating());
    pack.throughout(secs(600), "no more", |pack| !pack.heating());
    assert_eq!(pack.closed(), (false, true));
}

/// H01 law 2: the heater's output expires by itself within seconds.
#[test]
fn the_heater_expires_by_itself() {
    let mut pack = cold(Profile::Default);
    pack.throughout(secs(60), "expires", |pack| {
        !pack.command.heater.is_on(pack.now.after(Duration::from_millis(60_000)))
    });
}

/// H01 X21: every alarm against the heater and an emergency stop switch it off.
#[test]
fn alarms_switch_the_heater_off() {
    let causes: [Act; 5] = [
        |pack| pack.short = true,
        |pack| pack.mos = tenths(800),
        |pack| pack.cells_group = Presence::Failed,
        |pack| pack.inputs.self_test_failed = true,
        |pack| pack.request(bms_core::bms::Request::EmergencyStop).unwrap(),
    ];
    for cause in causes {
        let mut pack = cold(Profile::Default);
        cause(&mut pack);
        pack.until(secs(2), "off", |pack| !pack.heating());
        pack.throughout(secs(10), "off", |pack| !pack.heating());
    }
}

/// D16 H02: no heater without any battery sensor.
#[test]
fn a_heater_needs_a_battery_sensor() {
    let setup = heated(Profile::Default).board(|board| board.sensors = [SensorPolicy::NotFitted; 5]);
    assert_eq!(broken(setup.config), [Violation::Rule(Rule::HeaterWithoutSensor)]);
}

/// H01: discharging goes on while it heats, whatever the current.
#[test]
fn discharging_goes_on_while_heating() {
    let mut pack = cold(Profile::Manual);
    pack.current = amps(-50);
    pack.throughout(secs(30), "discharging", |pack| pack.heating() && pack.closed() == (false, true));
}
