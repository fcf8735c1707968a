//! How others failed (`peers.md`, F1–F9): each is a test here; F1 and F4 are in `counting`.

use bms_core::balancing::Plan;
use bms_core::bms::Bms;
use bms_core::config::{Chemistry, Config, Model, Profile};
use bms_core::measurement::{Cells, Group, Input, Reading, Sample, Temperatures};
use bms_core::protection::Alarm;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::time::{Instant, ms, secs};
use bms_core::units::{Current, ah, amps, deg_c, mv};

use crate::harness::{PROFILES, Presence, Setup, tenths};

/// F2: with nothing valid at all there is no permission: everything opens, and every limit is zero.
#[test]
fn invalid_everything_permits_nothing() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.invalid_cells = u32::MAX;
        (pack.t1, pack.t2, pack.mos) = (Reading::Invalid, Reading::Invalid, Reading::Invalid);
        pack.current_group = Presence::Failed;
        pack.advance(secs(1));
        assert_eq!(pack.closed(), (false, false));
        assert!(!pack.alarms().is_empty());
        let limits = pack.command.limits;
        assert_eq!((limits.charge_current, limits.discharge_current), (Current::ZERO, Current::ZERO));
    }
}

/// F2 P14: the coldest sensor counts for the cold, the warmest for the heat, both at once.
#[test]
fn each_sensor_counts() {
    let mut pack = Setup::new(Profile::Manual).started();
    (pack.t1, pack.t2) = (tenths(-200), tenths(610));
    pack.advance(secs(2));
    assert!(pack.has(Alarm::ChargeUndertemperature) && pack.has(Alarm::ChargeOvertemperature));
    assert_eq!(pack.closed(), (false, false));
}

/// F2 P01: an under-voltage leaves the way to recharge open: the charge limit is not zero.
#[test]
fn undervoltage_can_be_recharged() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.all_cells(mv(2_690));
        pack.advance(secs(2));
        assert_eq!(pack.closed(), (true, false));
        assert!(pack.command.limits.charge_current > Current::ZERO);
        assert_eq!(pack.command.limits.discharge_current, Current::ZERO);
    }
}

/// F3: a cell far from the others is not dropped: it trips, high or low.
#[test]
fn an_outlier_is_not_dropped() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.all_cells(mv(3_000));
        pack.cell(8, mv(3_650));
        pack.advance(secs(2));
        assert!(pack.has(Alarm::CellOvervoltage));
        assert_eq!(pack.closed(), (false, true));
        let mut pack = Setup::new(profile).started();
        pack.all_cells(mv(3_450));
        pack.cell(8, mv(2_650));
        pack.advance(secs(2));
        assert!(pack.has(Alarm::CellUndervoltage));
        assert_eq!(pack.closed(), (true, false));
    }
}

/// F3 F7 N02: excluding a reading never relaxes a protection: an invalid one clears no alarm of any kind.
#[test]
fn an_invalid_reading_clears_no_alarm() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cell(2, mv(2_690));
        pack.cell(5, mv(3_610));
        pack.battery(610);
        pack.mos = tenths(760);
        pack.current = amps(-210);
        pack.advance(secs(31));
        let alarms = pack.trips();
        assert!(alarms.len() >= 5, "{alarms:?}");
        pack.all_cells(mv(3_300));
        pack.invalid_cells = 1 << 2 | 1 << 5;
        (pack.t1, pack.t2, pack.mos) = (Reading::Invalid, Reading::Invalid, Reading::Invalid);
        pack.current_group = Presence::Failed;
        pack.throughout(secs(50), "nothing is cleared", |pack| alarms.iter().all(|alarm| pack.has(*alarm)));
    }
}

/// F7: negative temperatures are temperatures, down to −40 °C and in tenths.
#[test]
fn negative_temperatures_are_temperatures() {
    let mut pack = Setup::of(Chemistry::LiIon, Profile::Manual).started();
    pack.t1 = tenths(-1);
    pack.step();
    assert_eq!(pack.status().battery_temperatures[0], tenths(-1));
    pack.throughout(secs(5), "−0.1 °C is above −20 °C", |pack| pack.closed() == (true, true));
    pack.t1 = tenths(-400);
    pack.advance(secs(2));
    assert_eq!(pack.closed(), (false, true));
}

/// F5 P15: a switch that is too warm blocks both directions; the flag is not only shown.
#[test]
fn warm_switches_block() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.mos = tenths(800);
        pack.advance(secs(2));
        assert_eq!(pack.closed(), (false, false));
        assert_eq!(pack.command.limits.charge_current, Current::ZERO);
    }
}

/// F6 X01: after a communication error the last voltages do not live on.
#[test]
fn old_voltages_do_not_live_on() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.cells_group = Presence::Failed;
        pack.throughout(secs(600), "open after a second", |pack| {
            pack.closed() == (false, false) || pack.now < Instant::from_millis(7_000)
        });
        assert!(!pack.status().pack_voltage.is_valid());
        assert_eq!(pack.command.balance, Plan::Idle);
    }
}

/// F8: there is hysteresis: noise of ±20 mV around the limit switches once, not a thousand times.
#[test]
fn noise_at_a_limit_switches_once() {
    for profile in PROFILES {
        for (limit, open) in [(2_700, (true, false)), (3_600, (false, true))] {
            let mut pack = Setup::new(profile).started();
            let mut changes = 0;
            let mut last = pack.closed();
            for step in 0..10_000_i32 {
                pack.all_cells(mv(limit + (step * 7_919) % 41 - 20));
                pack.step();
                changes += u32::from(pack.closed() != last);
                last = pack.closed();
            }
            assert!(changes <= 1, "{changes} changes");
            assert!(profile == Profile::Default || last == open);
        }
    }
}

/// F8: each limit is compared with its own value: over- and under-voltage, charge and discharge are not swapped.
#[test]
fn the_right_parameter_is_compared() {
    for chemistry in Chemistry::ALL {
        let mut pack = Setup::of(chemistry, Profile::Manual).started();
        let content = pack.cells[0];
        pack.all_cells(mv(2_750).plus(content).minus(mv(2_750)));
        pack.throughout(secs(5), "content", |pack| pack.trips().is_empty());
    }
    let mut pack = Setup::new(Profile::Manual)
        .set(bms_core::config::ParameterId::ChargeOvercurrentProtection, 50_000)
        .set(bms_core::config::ParameterId::DischargeOvercurrentProtection, 150_000)
        .started();
    pack.current = amps(-140);
    pack.throughout(secs(40), "below the discharge limit", |pack| pack.trips().is_empty());
    pack.current = amps(60);
    pack.advance(secs(31));
    assert_eq!(pack.trips(), [Alarm::ChargeOvercurrent]);
}

/// F9: neither failure of a wrapping clock: no trip comes early at 2^32 ms, and none hangs beyond it.
#[test]
fn a_wrap_of_32_bits_changes_nothing() {
    for profile in PROFILES {
        for before in [100_u64, 15_000, 29_900, 60_000, 89_000] {
            let wrap = 1_u64 << 32;
            let mut pack = Setup::new(profile).starting_at(wrap - before - 5_000).started();
            pack.advance(ms(u32::try_from(wrap - before - pack.now.as_millis()).unwrap()));
            pack.current = amps(-210);
            let raised = pack.expect_trip(Alarm::DischargeOvercurrent, secs(30));
            pack.current = Current::ZERO;
            pack.expect_release(Alarm::DischargeOvercurrent, raised, secs(60));
            assert_eq!(pack.closed(), (true, true));
            assert!(pack.now.as_millis() > wrap - before);
        }
    }
}

/// F9: from zero, across 2^32 and 2^33, and after years.
#[test]
fn any_start_of_time_will_do() {
    for start in [0, (1 << 31) - 3_000, (1 << 33) - 3_000, 1 << 50] {
        let mut pack = Setup::new(Profile::Default).starting_at(start).started();
        pack.cell(3, mv(2_690));
        pack.expect_trip(Alarm::CellUndervoltage, ms(500));
        pack.advance(secs(5));
        assert_eq!(pack.closed(), (true, false));
    }
}

/// F3 P18: thirty-two cells: the last one counts as the first does.
#[test]
fn thirty_two_cells_are_protected() {
    for index in [0, 23, 24, 31] {
        let config = Config::lifepo4(32).with_charge_limit(amps(50), secs(30)).with_discharge_limit(amps(50), secs(30));
        let config = config.with_capacity(ah(100)).with_profile(Profile::Manual).validated();
        let mut bms = Bms::<32>::with_capacity(config);
        bms.restore(Stored::Nothing, ResetCause::PowerOn);
        let mut voltages = [mv(3_300); 32];
        let mut step = |time: u64, voltages: &[_; 32]| {
            let at = Instant::from_millis(time);
            let mut sample = Sample::<32>::new();
            sample.cells = Group::at(at, Cells::from_voltages(voltages));
            sample.current = Group::at(at, Current::ZERO);
            let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
            temperatures.battery[0] = Reading::Valid(deg_c(25));
            sample.temperatures = Group::at(at, temperatures);
            sample.stack = Group::at(at, voltages.iter().fold(mv(0), |sum, cell| sum.plus(*cell)));
            bms.step(at, Input::Sample(&sample))
        };
        let mut command = step(100, &voltages);
        for count in 2..20 {
            command = step(count * 100, &voltages);
        }
        assert!(command.charge.is_closed() && command.discharge.is_closed());
        voltages[index] = mv(2_690);
        command = step(2_000, &voltages);
        assert!(command.charge.is_closed() && !command.discharge.is_closed(), "cell {index}");
        voltages[index] = mv(3_610);
        command = step(2_100, &voltages);
        assert!(!command.charge.is_closed(), "cell {index}");
    }
}

/// F5: a model on a chemistry it does not fit, or a wrong cell count, is not configurable at all.
#[test]
fn an_impossible_pack_cannot_be_configured() {
    assert!(Config::lto(8).with_model(Model::Bd6a24s10p).validate().is_err());
    assert!(Config::lifepo4(25).with_model(Model::B2a24s15p).validate().is_err());
    assert!(Config::lifepo4(33).validate().is_err());
    assert!(Config::lifepo4(3).validate().is_err());
}
