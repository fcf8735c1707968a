//! The published limits: they fall before a protection trips, smoothly, and are zero where nothing may flow.

use bms_core::bms::Request;
use bms_core::config::{ParameterId as P, Profile};
use bms_core::time::secs;
use bms_core::units::{Current, Voltage, amps, mv};

use crate::harness::{Pack, Presence, Setup, tenths};

/// What a charger and an inverter are told, in A.
fn limits(pack: &Pack) -> (i32, i32) {
    let limits = pack.command.limits;
    (limits.charge_current.as_milliamps() / 1_000, limits.discharge_current.as_milliamps() / 1_000)
}

/// X09 P03 P01: between the recovery and the protection value of the worst cell the limit falls in proportion, the other
/// direction's stays; nothing trips and no switch opens.
#[test]
fn a_limit_falls_before_the_cell_trips() {
    for (cell, charging, discharging) in [
        (mv(3_500), 200, 200),
        (mv(3_550), 100, 200),
        (mv(3_590), 20, 200),
        (mv(2_900), 200, 200),
        (mv(2_800), 200, 100),
        (mv(2_710), 200, 10),
    ] {
        let mut pack = Setup::new(Profile::Default).started();
        pack.cell(5, cell);
        pack.advance(secs(60));
        assert_eq!(limits(&pack), (charging, discharging), "{cell:?}");
        assert_eq!(pack.closed(), (true, true));
        // And it comes back, slowly.
        pack.cell(5, mv(3_300));
        pack.step();
        let soon = limits(&pack);
        assert!(soon.0 - charging <= 2 && soon.1 - discharging <= 2, "no leap upwards: {soon:?}");
        pack.advance(secs(300));
        assert_eq!(limits(&pack), (200, 200));
    }
}

/// P12 P13 P14 P15: the same for the temperatures of the battery and of the switches.
#[test]
fn a_limit_falls_before_a_temperature_trips() {
    for (battery, mos, charging, discharging) in
        [(550, 250, 200, 200), (575, 250, 100, 100), (25, 250, 100, 200), (250, 725, 100, 100)]
    {
        let mut pack = Setup::new(Profile::Default).started();
        pack.t1 = tenths(battery);
        pack.mos = tenths(mos);
        pack.advance(secs(60));
        assert_eq!(limits(&pack), (charging, discharging), "{battery} {mos}");
        assert_eq!(pack.closed(), (true, true));
    }
}

/// P17 X16: zero in the very step in which a switch opens, whoever opened it; a taper never delays that.
#[test]
fn limits_are_zero_at_an_open_switch() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.request(Request::SetCharge(false)).unwrap();
    pack.step();
    assert_eq!(limits(&pack), (0, 200));
    let mut pack = Setup::new(Profile::Default).started();
    pack.cell(2, mv(3_700));
    for _ in 0..100 {
        pack.step();
        if !pack.command.charge.is_closed() {
            assert_eq!(pack.command.limits.charge_current, Current::ZERO);
        }
    }
    assert!(!pack.command.charge.is_closed(), "it tripped");
}

/// N06: the manual knows no tapers; the profile can be told to have none, too.
#[test]
fn without_tapers_a_limit_stays_until_the_trip() {
    for setup in [Setup::new(Profile::Manual), Setup::new(Profile::Default).set(P::LimitTaper, 0)] {
        let mut pack = setup.started();
        pack.cell(5, mv(3_590));
        pack.advance(secs(60));
        assert_eq!(pack.command.limits.charge_current, amps(200));
    }
}

/// X09: a charger that obeys late neither trips the pack nor makes the limit swing.
#[test]
fn a_charger_that_obeys_late_settles() {
    for delay in [1, 20, 50] {
        let mut pack = Setup::new(Profile::Default).started();
        let mut history: Vec<i32> = Vec::new();
        for step in 0..3_000_usize {
            let current = step.checked_sub(delay).map_or(0, |at| history[at]);
            pack.current = amps(current);
            // 0.65 mΩ on a cell at 3.45 V: the full current lifts it almost to its protection value.
            let cell = mv(3_450).plus(Voltage::from_microvolts(current * 650));
            pack.cell(7, cell);
            pack.step();
            history.push(limits(&pack).0);
        }
        assert_eq!(pack.closed(), (true, true), "delay {delay}");
        let late = &history[2_000..];
        let (low, high) = (late.iter().min().unwrap(), late.iter().max().unwrap());
        assert!(high - low <= 4 && *low > 50, "delay {delay}: {low} to {high} A");
    }
}

/// X09 S04: with a required reading missing no limit rises, whatever is changed meanwhile (law 2); with it back, it does.
#[test]
fn no_limit_rises_while_a_reading_is_missing() {
    let lines: [fn(&mut Pack) -> &mut Presence; 2] = [|pack| &mut pack.cells_group, |pack| &mut pack.current_group];
    for lost in lines {
        let mut pack = Setup::new(Profile::Default)
            .set(P::ChargeOvercurrentProtection, 50_000)
            .set(P::DischargeOvercurrentProtection, 50_000)
            .started();
        assert_eq!(limits(&pack), (50, 50));
        *lost(&mut pack) = Presence::Failed;
        pack.step();
        pack.set(P::ChargeOvercurrentProtection, 150_000).unwrap();
        pack.set(P::DischargeOvercurrentProtection, 150_000).unwrap();
        pack.steps(3);
        assert_eq!((limits(&pack), pack.closed()), ((50, 50), (true, true)));
        *lost(&mut pack) = Presence::Measured;
        pack.steps(3);
        assert_eq!(limits(&pack), (150, 150));
    }
}
