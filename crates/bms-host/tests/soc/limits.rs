//! The published limits and the state of power, on packs of the plant: nothing trips where they are obeyed, they neither swing
//! nor leap, and what is promised for ten seconds can be drawn for ten seconds.

use bms_core::config::{Chemistry, ParameterId as P};
use bms_core::time::secs;
use bms_core::units::Current;
use bms_host::plant::{Charger, Load};

use crate::cells::{Pack, pack};

fn amperes(current: Current) -> f64 {
    f64::from(current.as_milliamps()) * 1e-3
}

/// How far a series swings back: the sum of all turns that are larger than `least`, beyond its first fall.
fn swings(series: &[f64], least: f64) -> u32 {
    let (mut extreme, mut falling, mut turns) = (series[0], true, 0);
    for value in series {
        let forward = if falling { *value <= extreme } else { *value >= extreme };
        if forward {
            extreme = *value;
        } else if (value - extreme).abs() > least {
            (extreme, falling) = (*value, !falling);
            turns += 1;
        }
    }
    turns
}

/// Charges (or discharges) a pack with whoever obeys the published limit some seconds late, until the limit has fallen to a
/// tenth, a switch opens, or the time is over. Checks zero at an open switch on the way.
fn obeyed(pack: &mut Pack, charge: bool, most: f64, delay: usize) -> (Vec<f64>, bool) {
    let mut series: Vec<f64> = Vec::new();
    for second in 0..3 * 3_600_usize {
        let told = second.checked_sub(delay).map_or(most, |then| series[then]);
        let current = told.min(most);
        if charge {
            pack.plant_mut().set_charger(Some(Charger { voltage: 200.0, current }));
        } else {
            pack.plant_mut().set_load(Load::Current(current));
        }
        pack.run_for(secs(1));
        let command = pack.bms().command();
        for (limit, switch) in
            [(command.limits.charge_current, command.charge), (command.limits.discharge_current, command.discharge)]
        {
            assert!(switch.is_closed() || limit == Current::ZERO, "a limit at an open switch");
        }
        let (limit, switch) = if charge {
            (command.limits.charge_current, command.charge)
        } else {
            (command.limits.discharge_current, command.discharge)
        };
        if !switch.is_closed() {
            return (series, true);
        }
        series.push(amperes(limit));
        if second > 60 && amperes(limit) < most / 10.0 {
            break;
        }
    }
    (series, false)
}

/// P01 P03 X09: a charger and a load that obey the limit never trip the pack, at either end, on cells that differ; and the limit
/// falls without swinging: it never turns by more than a twentieth of itself, however late it is obeyed.
#[test]
fn an_obeyed_limit_neither_trips_nor_swings() {
    for chemistry in Chemistry::ALL {
        for (own, delay, celsius, seed) in [(true, 1, 25.0, 11), (false, 3, 10.0, 12), (false, 10, 25.0, 13)] {
            for charge in [true, false] {
                let mut pack = pack(chemistry, own, if charge { 0.8 } else { 0.25 }, seed, |spec| {
                    spec.ambient_c = celsius;
                    spec.soc_spread = 0.01;
                });
                pack.run_for(secs(30));
                let (series, tripped) = obeyed(&mut pack, charge, 60.0, delay);
                let what = format!("{chemistry:?} own {own} charge {charge} delay {delay} at {celsius} °C");
                assert!(!tripped, "{what}: tripped after {} s at {:?}", series.len(), series.last());
                // From where the limit falls below the rating.
                let rating = series.iter().copied().fold(0.0, f64::max);
                let begin = series.iter().position(|limit| *limit < rating * 0.98).unwrap_or(series.len() - 1);
                let turns = swings(&series[begin..], rating / 20.0);
                eprintln!("{what}: {} s, {turns} turns, from {rating} A to {:?}", series.len(), series.last());
                assert!(turns <= 1, "{what}: {turns} turns");
                // And without a leap upwards.
                let leap = series.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
                assert!(leap <= rating / 20.0, "{what}: a leap of {leap:.1} A");
            }
        }
    }
}

/// X09: with a typical table, too, the discharge limit falls towards the empty end before a cell's voltage does: by what is left
/// for sure. A state of charge that is as good as unknown limits nothing.
#[test]
fn the_discharge_limit_falls_with_what_is_left_for_sure() {
    for own in [true, false] {
        let mut pack = pack(Chemistry::LiFePo4, own, 0.3, 21, |spec| spec.soc_spread = 0.0);
        pack.run_for(secs(30));
        let rating = amperes(pack.bms().command().limits.discharge_current);
        let mut began = None;
        let floor = f64::from(pack.bms().config().get(P::CellUndervoltageRecovery)) * 1e-6;
        for _ in 0..6 * 60 {
            pack.plant_mut().set_load(Load::Current(10.0));
            pack.run_for(secs(30));
            let status = pack.bms().status();
            let known = status.state_of_charge.valid().unwrap();
            if began.is_none() && amperes(status.limits.discharge_current) < rating * 0.95 {
                let lowest = pack.plant().cell_voltages().fold(f64::MAX, f64::min);
                assert!(lowest > floor, "own {own}: before the voltage's own taper, at {lowest:.3} V");
                began = Some((f64::from(known.millionths) * 1e-6, f64::from(known.sigma_millionths) * 1e-6));
                break;
            }
        }
        let (soc, sigma) = began.expect("the limit falls");
        eprintln!("own {own}: the limit begins to fall at {soc:.3}, sigma {sigma:.3}");
        assert!(soc > 0.03 && (soc - sigma) < 0.055, "own {own}: at {soc:.3}, sigma {sigma:.3}");
    }
    let mut pack = pack(Chemistry::LiFePo4, false, 0.04, 22, |spec| spec.soc = 0.5);
    pack.reset_with(bms_core::snapshot::Stored::Nothing, bms_core::snapshot::ResetCause::PowerOn);
    pack.run_for(secs(60));
    let status = pack.bms().status();
    assert!(status.state_of_charge.valid().unwrap().sigma_millionths > 200_000);
    assert_eq!(amperes(status.limits.discharge_current), 200.0, "an unknown state of charge takes nothing away");
}

/// L01: the state of power holds: the published current for ten seconds, or thirty, leaves every cell above its protection
/// value; and it is no needlessly small number, where the current limits do not bound it.
#[test]
fn the_state_of_power_can_be_drawn() {
    let mut bounded = 0;
    for chemistry in [Chemistry::LiIon, Chemistry::LiFePo4, Chemistry::Lto] {
        let mut pack = pack(chemistry, true, 0.9, 31, |spec| {
            spec.ambient_c = -5.0;
            spec.soc_spread = 0.01;
        });
        let config = *pack.bms().config();
        let floor = f64::from(config.get(P::CellUndervoltageProtection)) * 1e-6;
        let ceiling = f64::from(config.get(P::CellOvervoltageProtection)) * 1e-6;
        let range = ceiling - floor;
        for step in 0..10 {
            pack.plant_mut().set_load(Load::Current(30.0));
            pack.run_for(secs(970));
            let Some(power) = pack.bms().status().state_of_power.valid() else { continue };
            for (seconds, out, into) in
                [(10, power.discharge_10s, power.charge_10s), (30, power.discharge_30s, power.charge_30s)]
            {
                assert!(out >= Current::ZERO && into >= Current::ZERO);
                for (charge, current) in [(false, amperes(out)), (true, amperes(into))] {
                    if current == 0.0 {
                        continue;
                    }
                    let mut twin = pack.clone();
                    twin.plant_mut().set_load(if charge { Load::None } else { Load::Current(current) });
                    twin.plant_mut().set_charger(charge.then_some(Charger { voltage: 500.0, current }));
                    twin.run_for(secs(seconds));
                    let lowest = twin.plant().cell_voltages().fold(f64::MAX, f64::min);
                    let highest = twin.plant().cell_voltages().fold(0.0, f64::max);
                    let what = format!("{chemistry:?} step {step}, {seconds} s, charge {charge}, {current:.0} A");
                    // A fiftieth of the range for what model and sensors are off.
                    let slack = range / 50.0;
                    assert!(lowest > floor - slack && highest < ceiling + slack, "{what}: {lowest:.3} {highest:.3} V");
                    // Not the rating, but the voltage bounds it: then the true one must come near its end.
                    let rating = config.current(P::SevereDischargeCurrent);
                    let rating = amperes(rating.max(config.current(P::DischargeOvercurrentProtection)));
                    if !charge && current < rating * 0.95 {
                        let socs = twin.plant().socs().fold(f64::MAX, f64::min);
                        let room = twin.plant().open_circuit(socs) - floor;
                        assert!(
                            lowest < floor + room * 0.6,
                            "{what}: needlessly small, {lowest:.3} V of {room:.3} above {floor:.3}"
                        );
                        bounded += 1;
                    }
                }
            }
        }
    }
    assert!(bounded > 0, "somewhere the voltage bounds it, not the rating");
}
