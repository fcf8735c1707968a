//! Active balancing and sense wires: B01–B08, W01, W02, D04–D06, D26, D27.

use bms_core::balancing::{BalancerCapabilities, Phase, Plan};
use bms_core::bms::Request;
use bms_core::command::ScanMode;
use bms_core::config::{Chemistry, Config, Model, ParameterId, Profile, Rule, Violation};
use bms_core::measurement::Reading;
use bms_core::protection::Alarm;
use bms_core::time::{ms, secs};
use bms_core::units::{Current, Voltage, ah, amps, deg_c, ma, mohm, mv};

use crate::harness::{Act, Line, PROFILES, Pack, Presence, Setup, just_above, just_below, tenths};

use ParameterId as P;

/// Cells at 3.42 V, cell 4 (index 3) high and cell 11 (index 10) low.
fn uneven(profile: Profile) -> Pack {
    uneven_from(Setup::new(profile))
}

fn uneven_from(setup: Setup) -> Pack {
    let mut pack = setup.started();
    pack.all_cells(mv(3_420));
    pack.cell(3, mv(3_440));
    pack.cell(10, mv(3_405));
    pack
}

/// As [`uneven`], with the balancer running.
fn balancing(profile: Profile) -> Pack {
    let mut pack = uneven(profile);
    pack.until(secs(10), "balancing", Pack::balancing);
    pack
}

/// B01: energy is taken from the highest cell into the store, then released into the lowest; two phases in turn.
#[test]
fn energy_goes_from_the_highest_cell_to_the_store_to_the_lowest() {
    for profile in PROFILES {
        let mut pack = uneven(profile);
        let mut phases = Vec::new();
        for _ in 0..3_000 {
            pack.step();
            if let Some((source, destination, phase)) = pack.transfer() {
                assert_eq!((source, destination), (3, 10));
                if phases.last() != Some(&phase) {
                    phases.push(phase);
                }
            }
        }
        assert!(phases.starts_with(&[Phase::Take, Phase::Give, Phase::Take, Phase::Give]), "{phases:?}");
    }
}

/// B01 law 2: plans expire by themselves, within seconds and within the balancer's phase.
#[test]
fn every_plan_expires() {
    let mut pack = uneven(Profile::Default);
    let longest = BalancerCapabilities::MANUAL.phase_time;
    pack.throughout(secs(60), "expires", |pack| {
        pack.command.balance.until().is_none_or(|until| until > pack.now && until.since(pack.now) <= longest)
    });
}

/// B02: at most the parameter, the model's rating and 0.1 C.
#[test]
fn the_balance_current_is_limited() {
    for model in Model::ALL {
        let rating = model.ratings().balance.as_milliamps();
        let config = Config::lifepo4(model.ratings().most_cells).with_model(model);
        let rules = |config: Config| {
            config.validate().err().map(|violations| violations.iter().collect::<Vec<_>>()).unwrap_or_default()
        };
        let large = config.with_capacity(ah(280));
        assert_eq!(large.get(P::BalanceCurrent), rating, "{model:?}");
        assert_eq!(rules(large.with(P::BalanceCurrent, rating)), []);
        assert_eq!(rules(large.with(P::BalanceCurrent, rating + 1)), [Violation::Rule(Rule::BalanceCurrentOfModel)]);
        // A small battery: 0.1 C is less.
        let small = config.with_capacity(ah(5));
        assert_eq!(small.get(P::BalanceCurrent), 500);
        assert_eq!(rules(small), []);
        assert_eq!(rules(small.with(P::BalanceCurrent, 501)), [Violation::Rule(Rule::BalanceCurrentOfCapacity)]);
    }
    // The manual's example: 20 Ah shall not exceed 2 A.
    let pack = |milliamps| {
        Setup::new(Profile::Manual).set(P::Capacity, 20_000).set(P::BalanceCurrent, milliamps).config.validate()
    };
    assert!(pack(2_000).is_ok());
    assert!(pack(2_001).is_err());
    let mut pack = balancing(Profile::Default);
    pack.throughout(secs(30), "2 A", |pack| match pack.command.balance {
        Plan::Transfer { current, .. } => current <= amps(2) && current > Current::ZERO,
        _ => true,
    });
    pack.set(P::BalanceCurrent, 700).unwrap();
    pack.step();
    pack.throughout(secs(30), "0.7 A", |pack| match pack.command.balance {
        Plan::Transfer { current, .. } => current <= ma(700),
        _ => true,
    });
    assert!(pack.set(P::BalanceCurrent, 2_001).is_err());
    assert!(pack.set(P::Capacity, 6_900).is_err(), "0.1 C would be exceeded");
}

/// B03 N01: runs when its switch is on, the difference exceeds the trigger and the cell exceeds the start voltage.
#[test]
fn balancing_starts_when_all_conditions_hold() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.all_cells(mv(3_420));
        pack.cell(3, mv(3_430));
        pack.throughout(secs(60), "the difference only reaches the trigger", |pack| !pack.balancing());
        pack.cell(3, just_above(mv(3_430)));
        pack.until(secs(10), "the difference exceeds it", Pack::balancing);
        assert_eq!(pack.transfer().unwrap().0, 3);

        let mut pack = Setup::new(profile).started();
        pack.all_cells(mv(3_370));
        pack.cell(3, mv(3_400));
        pack.throughout(secs(60), "the cell only reaches the start voltage", |pack| !pack.balancing());
        pack.cell(3, just_above(mv(3_400)));
        pack.until(secs(10), "it exceeds it", Pack::balancing);

        let mut pack = uneven(profile);
        pack.request(Request::SetBalance(false)).unwrap();
        pack.throughout(secs(60), "its switch is off", |pack| !pack.balancing());
        pack.request(Request::SetBalance(true)).unwrap();
        pack.until(secs(10), "its switch is on", Pack::balancing);
        pack.request(Request::SetBalance(false)).unwrap();
        pack.step();
        assert!(!pack.balancing(), "its switch is off again");
    }
}

/// B04 D04 N06: stops when the difference falls below the stop value: the trigger in the manual, half of it by default.
#[test]
fn balancing_stops_below_the_stop_difference() {
    for (profile, stop) in [(Profile::Manual, 10), (Profile::Default, 5)] {
        let mut pack = uneven(profile);
        assert_eq!(pack.config().get(P::BalanceStop), stop * 1_000);
        pack.until(secs(10), "balancing", Pack::balancing);
        pack.all_cells(mv(3_420));
        pack.cell(3, mv(3_420 + stop));
        pack.advance(secs(60));
        pack.until(secs(20), "at the stop value it goes on", Pack::balancing);
        pack.cell(3, just_below(mv(3_420 + stop)));
        pack.advance(secs(30));
        pack.throughout(secs(60), "stopped", |pack| !pack.balancing());
    }
}

/// B04: stops when the cell voltage falls below the start voltage.
#[test]
fn balancing_stops_below_the_start_voltage() {
    for profile in PROFILES {
        let mut pack = balancing(profile);
        pack.all_cells(mv(3_380));
        pack.cell(3, just_below(mv(3_400)));
        pack.advance(secs(30));
        pack.throughout(secs(60), "stopped", |pack| !pack.balancing());
    }
}

/// B05 B06 D06: trigger 10 mV; start voltage 3.30 / 3.40 / 2.30 V; 5 mV is accepted with a warning.
#[test]
fn balancing_defaults() {
    for (chemistry, start) in [(Chemistry::LiIon, 3_300), (Chemistry::LiFePo4, 3_400), (Chemistry::Lto, 2_300)] {
        for profile in PROFILES {
            let pack = Setup::of(chemistry, profile).pack();
            assert_eq!(pack.voltage_of(P::BalanceTrigger), mv(10));
            assert_eq!(pack.voltage_of(P::BalanceStartVoltage), mv(start));
        }
    }
    let mut pack = Setup::new(Profile::Default).started();
    assert!(pack.set(P::BalanceTrigger, 5_000).is_ok(), "recommended above 50 Ah");
    assert!(pack.config().warnings().contains(bms_core::config::Warning::TriggerWithinAccuracy));
    assert!(pack.set(P::BalanceTrigger, 4_999).is_err(), "the stop value may equal the trigger, not exceed it");
    assert!(pack.set(P::BalanceStop, 3_000).is_ok());
    assert!(pack.set(P::BalanceTrigger, 4_000).is_ok());
}

/// D05 B06: the highest cell must exceed the start voltage, wherever it is set.
#[test]
fn the_start_voltage_is_for_the_highest_cell() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).set(P::BalanceStartVoltage, 3_300_000).started();
        pack.all_cells(mv(3_250));
        pack.cell(0, mv(3_310));
        pack.cell(15, mv(3_240));
        pack.until(secs(10), "the highest exceeds it", Pack::balancing);
        assert_eq!(pack.transfer().map(|(source, destination, _)| (source, destination)), Some((0, 15)));
    }
}

/// B07 T14: the reported current is negative while taking, positive while giving, zero when off.
#[test]
fn the_balance_current_is_signed() {
    for profile in PROFILES {
        let mut pack = uneven(profile);
        assert_eq!(pack.status().balance_current, Current::ZERO);
        let (mut taken, mut given) = (false, false);
        for _ in 0..3_000 {
            let before = pack.transfer();
            pack.step();
            let reported = pack.status().balance_current;
            match before {
                Some((_, _, Phase::Take)) => assert!(reported <= Current::ZERO),
                Some((_, _, Phase::Give)) => assert!(reported >= Current::ZERO),
                None => assert_eq!(reported, Current::ZERO),
            }
            taken |= reported < Current::ZERO;
            given |= reported > Current::ZERO;
        }
        assert!(taken && given);
    }
}

/// B08 T04: the balance status shows the switch; the activity and the two cells are apart.
#[test]
fn the_balance_status_shows_the_switch() {
    let mut pack = Setup::new(Profile::Default).started();
    assert!(pack.status().switches.balance && pack.status().balance.is_idle());
    pack.request(Request::SetBalance(false)).unwrap();
    pack.step();
    assert!(!pack.status().switches.balance);
    let pack = balancing(Profile::Default);
    assert!(pack.status().switches.balance);
    assert_eq!(pack.status().balance, pack.command.balance);
}

/// D04: minimum on and off times: a pair is not changed faster, nor a pause ended sooner.
#[test]
fn balancing_has_minimum_times() {
    let setup = Setup::new(Profile::Default).set(P::BalanceMinimumOff, 30_000);
    let mut pack = uneven_from(setup);
    pack.until(secs(40), "balancing", Pack::balancing);
    pack.cell(3, mv(3_420));
    pack.cell(10, mv(3_420));
    pack.until(secs(40), "stopped", |pack| !pack.balancing());
    pack.advance(secs(3));
    pack.cell(3, mv(3_450));
    pack.throughout(secs(20), "pausing", |pack| !pack.balancing());
    pack.until(secs(20), "again", Pack::balancing);
}

/// D04: protective scans run while balancing; a raw violation stops the transfer in that step, its delay keeps running.
#[test]
fn a_raw_violation_stops_the_transfer_in_that_step() {
    for (index, voltage, alarm) in [
        (3, mv(3_601), Alarm::CellOvervoltage),
        (10, mv(2_699), Alarm::CellUndervoltage),
        (7, mv(3_601), Alarm::CellOvervoltage),
    ] {
        let mut pack = balancing(Profile::Default);
        pack.cell(index, voltage);
        pack.step();
        assert!(!pack.balancing() && !pack.has(alarm));
        let first = pack.now;
        pack.expect_trip_since(alarm, first, pack.duration_of(P::CellOvervoltageDelay));
    }
}

/// D04: quiet scans take at most 5 % of the time.
#[test]
fn quiet_scans_are_rare() {
    for period in [50, 100] {
        let mut pack = uneven_from(Setup::new(Profile::Default).every(period));
        pack.until(secs(10), "balancing", Pack::balancing);
        let (mut quiet, mut all) = (0_u32, 0_u32);
        for _ in 0..(600_000 / period) {
            pack.step();
            all += 1;
            quiet += u32::from(pack.command.scan == ScanMode::Quiet);
        }
        assert!(quiet > 0 && quiet * 20 <= all, "{quiet} of {all} at {period} ms");
    }
}

/// D04: a scan taken while the balancer pulls at the cells does not feed balancing.
#[test]
fn loud_scans_do_not_choose_the_cells() {
    let mut pack = balancing(Profile::Manual);
    // 30 mΩ wires at 2 A: the source reads 120 mV lower, its neighbours 60 mV higher.
    pack.wires.fill(30);
    for _ in 0..3_000 {
        pack.step();
        assert!(pack.transfer().is_none_or(|(source, destination, _)| (source, destination) == (3, 10)));
    }
}

/// D04: only quiet scans feed balancing: without one it does not start, nor choose again.
#[test]
fn without_a_quiet_scan_there_is_no_balancing() {
    let mut pack = uneven(Profile::Default);
    pack.never_quiet = true;
    pack.throughout(secs(120), "no quiet scan", |pack| !pack.balancing());
    pack.never_quiet = false;
    pack.until(secs(10), "a quiet scan", Pack::balancing);
    pack.never_quiet = true;
    pack.cell(3, mv(3_420));
    pack.cell(5, mv(3_450));
    pack.throughout(secs(120), "no new choice", |pack| pack.transfer().is_none_or(|(source, ..)| source == 3));
    assert!(!pack.balancing(), "nothing goes on for ever on an old scan");
}

/// D27: sensor, wire, short-circuit and temperature alarms stop it; over-current does not.
#[test]
fn alarms_that_stop_balancing() {
    let stopping: [(Alarm, Act); 7] = [
        (Alarm::ShortCircuit, |pack| pack.short = true),
        (Alarm::MosOvertemperature, |pack| pack.mos = tenths(751)),
        (Alarm::ChargeOvertemperature, |pack| pack.battery(601)),
        (Alarm::ChargeUndertemperature, |pack| pack.battery(-1)),
        (Alarm::BatterySensorFault, |pack| pack.t1 = Reading::Invalid),
        (Alarm::CellDataLost, |pack| pack.cells_group = Presence::Failed),
        (Alarm::StackMismatch, |pack| pack.stack = Line::Sum(mv(5_000))),
    ];
    for (alarm, cause) in stopping {
        let mut pack = balancing(Profile::Default);
        cause(&mut pack);
        pack.until(secs(5), "the alarm", |pack| pack.has(alarm));
        assert!(!pack.balancing(), "{alarm}");
        pack.throughout(secs(30), alarm.name(), |pack| !pack.balancing());
    }
    for direction in [-1, 1] {
        let mut pack = balancing(Profile::Default);
        pack.current = amps(201).times(direction);
        pack.until(secs(31), "over-current", |pack| pack.closed() != (true, true));
        pack.current = Current::ZERO;
        pack.step();
        assert_eq!(pack.trips().len(), 1);
        pack.until(secs(10), "over-current does not stop it", Pack::balancing);
    }
}

/// D27: a stuck switch stops it.
#[test]
fn a_stuck_switch_stops_balancing() {
    let mut pack = balancing(Profile::Default);
    pack.request(Request::SetCharge(false)).unwrap();
    pack.advance(secs(1));
    pack.current = amps(3);
    pack.advance(secs(1));
    assert!(pack.has(Alarm::ChargeSwitchStuck));
    pack.current = Current::ZERO;
    pack.throughout(secs(30), "stopped", |pack| !pack.balancing());
}

/// D27: an over-voltage cell may be a source, never a destination; an under-voltage cell the reverse.
#[test]
fn transfers_that_relieve_a_cell_go_on() {
    for profile in PROFILES {
        let mut pack = uneven(profile);
        pack.cell(3, mv(3_610));
        pack.until(secs(5), "the alarm", |pack| pack.has(Alarm::CellOvervoltage));
        pack.until(secs(20), "relieves it", |pack| matches!(pack.transfer(), Some((3, 10, _))));
        let mut pack = uneven(profile);
        pack.cell(10, mv(2_690));
        pack.until(secs(5), "the alarm", |pack| pack.has(Alarm::CellUndervoltage));
        pack.until(secs(20), "relieves it", |pack| matches!(pack.transfer(), Some((3, 10, _))));
    }
}

/// D27: no transfer takes a cell below UVPR or lifts one above OVPR.
#[test]
fn transfers_keep_to_the_recoveries() {
    for profile in PROFILES {
        let mut pack = Setup::new(profile).started();
        pack.all_cells(mv(3_510));
        pack.cell(3, mv(3_560));
        pack.throughout(secs(60), "every destination is above OVPR", |pack| !pack.balancing());
        let mut pack = Setup::new(profile).set(P::BalanceStartVoltage, 2_000_000).started();
        pack.all_cells(mv(2_800));
        pack.cell(3, mv(2_890));
        pack.throughout(secs(60), "every source is below UVPR", |pack| !pack.balancing());
    }
}

/// D27 N01: exactly at the recovery, a cell neither gives nor receives.
#[test]
fn a_cell_at_its_recovery_neither_gives_nor_receives() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.all_cells(mv(3_500));
    pack.cell(3, mv(3_550));
    pack.throughout(secs(60), "every destination is at OVPR", |pack| !pack.balancing());
    pack.cell(10, just_below(mv(3_500)));
    pack.until(secs(10), "one is below", |pack| matches!(pack.transfer(), Some((3, 10, _))));
    let mut pack = Setup::new(Profile::Default).set(P::BalanceStartVoltage, 2_000_000).started();
    pack.all_cells(mv(2_860));
    pack.cell(3, mv(2_900));
    pack.throughout(secs(60), "the source is at UVPR", |pack| !pack.balancing());
    pack.cell(3, just_above(mv(2_900)));
    pack.until(secs(10), "it is above", Pack::balancing);
}

/// D27: at rest, charging and discharging, below a current limit.
#[test]
fn balancing_runs_below_a_pack_current() {
    for current in [amps(-100), amps(0), amps(100)] {
        let mut pack = uneven(Profile::Default);
        pack.current = current;
        pack.until(secs(10), "no limit by default", Pack::balancing);
        let mut pack = uneven_from(Setup::new(Profile::Default).set(P::BalanceCurrentLimit, 50_000));
        pack.current = current;
        pack.advance(secs(20));
        pack.until(secs(10), "below the limit", |pack| pack.balancing() || pack.current != Current::ZERO);
        assert!(current == Current::ZERO || !pack.balancing(), "above the limit");
    }
}

/// A Li-ion pack with 20 mΩ wires, balancing at 0.6 A.
fn wired() -> Setup {
    Setup::of(Chemistry::LiIon, Profile::Default).set(P::BalanceCurrent, 600)
}

/// After each cell was once the highest and once the lowest, so that every wire carried current.
fn tested(setup: Setup, wire: usize, milliohms: i32) -> Pack {
    let mut pack = setup.started();
    pack.wires.fill(20);
    pack.wires[wire] = milliohms;
    for high in 0..16 {
        pack.all_cells(mv(3_600));
        pack.cell(high, mv(3_620));
        pack.cell((high + 8) % 16, mv(3_590));
        pack.advance(secs(40));
    }
    pack.all_cells(mv(3_600));
    pack.advance(secs(5));
    pack
}

/// W01 T19 D26: the self-test estimates each of the n + 1 wires.
#[test]
fn transfers_estimate_the_wires_they_use() {
    for bad in [0, 1, 8, 15, 16] {
        let pack = tested(wired(), bad, 300);
        assert_eq!(pack.status().wires.count(), 17);
        for wire in 0..17 {
            let estimated = pack.status().wires.resistance(wire).unwrap_or_else(|| panic!("wire {wire} is unknown"));
            let true_value = mohm(if wire == bad { 300 } else { 20 });
            let error = estimated.minus(true_value).magnitude();
            assert!(error <= mohm(10), "wire {wire} of {bad}: {estimated:?}");
            assert!(!pack.status().wires.is_flagged(wire));
        }
        assert!(!pack.has(Alarm::WireResistance));
    }
}

/// W02 D26 T19: a wire above min(1 Ω, 0.4 V / balance current) is flagged, and balancing cannot be turned on.
#[test]
fn a_bad_wire_blocks_balancing() {
    for bad in [0, 5, 16] {
        let mut pack = tested(wired(), bad, 750);
        assert!(pack.status().wires.is_flagged(bad), "0.4 V / 0.6 A");
        assert!(pack.has(Alarm::WireResistance));
        assert_eq!(pack.closed(), (true, true));
        pack.cell(3, mv(3_700));
        pack.throughout(secs(60), "no balancing", |pack| !pack.balancing());
        let _ = pack.request(Request::SetBalance(true));
        pack.throughout(secs(60), "not by the switch either", |pack| !pack.balancing());
    }
    let pack = tested(wired().set(P::WireResistanceLimit, 250_000), 5, 300);
    assert!(pack.status().wires.is_flagged(5), "a limit of its own");
}

/// B03 D16: balancing needs valid cells; an invalid one stops it at once.
#[test]
fn an_invalid_cell_stops_balancing_at_once() {
    for index in [3, 10, 7] {
        let mut pack = balancing(Profile::Default);
        pack.invalid_cells = 1 << index;
        pack.step();
        assert!(!pack.balancing(), "cell {index}");
        pack.throughout(secs(30), "unseen", |pack| !pack.balancing());
    }
    let mut pack = balancing(Profile::Default);
    pack.t1 = Reading::Valid(deg_c(26));
    pack.cell(3, Voltage::ZERO.plus(mv(3_441)));
    pack.until(secs(10), "goes on with good ones", Pack::balancing);
}

/// D04 X09: warnings look at quiet scans only; what the balancer's own current drops over the wires raises none.
#[test]
fn the_balancers_own_drops_raise_no_warning() {
    let mut pack = Setup::new(Profile::Default).started();
    pack.all_cells(mv(3_490));
    pack.cell(3, mv(3_480));
    pack.cell(9, mv(3_540));
    // 2 A through two wires of 20 mΩ lift the lowest cell beyond 3.55 V while it is charged.
    pack.wires = vec![20; 17];
    let mut transfers = 0;
    for _ in 0..1_200 {
        pack.step();
        transfers += u32::from(pack.balancing());
        assert!(!pack.has(Alarm::CellOvervoltageWarning), "{}", pack.story());
    }
    assert!(transfers > 600, "{transfers}");
    pack.cell(9, mv(3_560));
    pack.until(secs(60), "a quiet scan shows it", |pack| pack.has(Alarm::CellOvervoltageWarning));
}

/// D04 P01 P03 N03: a balancer that takes from a cell lowers its reading by the drops over its wires, one that gives lifts it, and the
/// neighbours' readings go the other way. What that hides is found, and the transfer makes way for a true reading, also when the
/// balancer does not report its current.
#[test]
fn the_drop_of_the_wires_hides_no_violation() {
    let cases: [(Phase, usize, Voltage, Alarm); 4] = [
        (Phase::Take, 3, mv(3_620), Alarm::CellOvervoltage),
        (Phase::Give, 9, mv(3_620), Alarm::CellOvervoltage),
        (Phase::Give, 10, mv(2_660), Alarm::CellUndervoltage),
        (Phase::Take, 2, mv(2_680), Alarm::CellUndervoltage),
    ];
    let both = cases.into_iter().flat_map(|case| [(case, false), (case, true)]);
    for (profile, ((phase, cell, voltage, alarm), mute)) in
        PROFILES.into_iter().flat_map(|profile| both.clone().map(move |case| (profile, case)))
    {
        let mut pack = uneven(profile);
        pack.wires.fill(20);
        pack.until(secs(60), "the phase", |pack| pack.transfer() == Some((3, 10, phase)));
        // A balancer that says for more than a second that nothing flows is not believed.
        pack.mute_balancer = mute;
        pack.advance(ms(1_100));
        assert_eq!(pack.transfer(), Some((3, 10, phase)));
        pack.cell(cell, voltage);
        let delay = match alarm {
            Alarm::CellOvervoltage => pack.duration_of(P::CellOvervoltageDelay),
            _ => pack.duration_of(P::CellUndervoltageDelay),
        };
        // The loaded reading, the first true one, and the alarm at the step at or after the delay.
        pack.step();
        assert!(!pack.balancing(), "{phase:?} hides {alarm}");
        pack.step();
        pack.advance(delay);
        assert!(pack.has(alarm), "{alarm}; {}", pack.story());
    }
}
