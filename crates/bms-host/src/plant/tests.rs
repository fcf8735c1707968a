//! The plant's physics, checked against laws rather than against itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use bms_core::balancing::{Phase, Plan};
use bms_core::command::{Expiring, Switch};
use bms_core::config::{Chemistry, Topology};
use bms_core::measurement::{Group, Reading, Sample};
use bms_core::port::ErrorKind;
use bms_core::time::{ms, secs};
use bms_core::units::{amps, ma};

fn plant(change: impl FnOnce(&mut PackSpec)) -> Plant {
    let mut spec = PackSpec::new(Chemistry::LiFePo4, 8);
    change(&mut spec);
    Plant::new(&spec).unwrap()
}

/// Both switches closed and settled.
fn closed(change: impl FnOnce(&mut PackSpec)) -> Plant {
    let mut plant = plant(change);
    plant.drive(Switch::Closed, Switch::Closed, false);
    plant.advance(ms(10));
    plant
}

fn sample(plant: &mut Plant) -> Sample {
    let mut sample = Sample::new();
    plant.measure(Channels::ALL, &mut sample);
    sample
}

fn cell_mv(sample: &Sample, index: usize) -> f64 {
    let Group::Measured { value, .. } = sample.cells else { panic!("no cells") };
    f64::from(value.get(index).valid().unwrap().as_microvolts()) / 1e3
}

fn current_of(sample: &Sample) -> i32 {
    let Group::Measured { value, .. } = sample.current else { panic!("no current") };
    value.as_milliamps()
}

#[test]
fn impossible_packs_are_refused() {
    for change in [
        (|s: &mut PackSpec| s.cells = 3) as fn(&mut PackSpec),
        |s| s.cells = 33,
        |s| s.capacity_ah = 0.0,
        |s| s.soc = f64::NAN,
        |s| s.balancer.efficiency = 0.0,
    ] {
        let mut spec = PackSpec::new(Chemistry::LiFePo4, 8);
        change(&mut spec);
        assert!(Plant::new(&spec).is_err());
    }
}

#[test]
fn charge_is_conserved() {
    let mut plant = closed(|spec| {
        spec.board_current = 0.0;
        spec.capacity_spread = 0.02;
    });
    let before: Vec<f64> = plant.charges().collect();
    plant.set_load(Load::Current(20.0));
    plant.advance(secs(1_800));
    let lost_per_cell = 100.0 * 0.02 / 720.0 * 1_800.0;
    for (before, after) in before.iter().zip(plant.charges()) {
        let moved = before - after;
        assert!((moved - 36_000.0).abs() < lost_per_cell * 1.1 + 1e-6, "{moved}");
        assert!(moved > 36_000.0, "self-discharge comes on top");
    }
}

#[test]
fn energy_is_conserved() {
    // Chemical energy = electrical energy at the poles + heat, where the overpotential is heat.
    let mut plant = closed(|spec| {
        spec.board_current = 0.0;
        spec.soc = 0.8;
        spec.soc_spread = 0.05;
        spec.resistance_spread = 0.1;
    });
    let socs: Vec<f64> = plant.socs().collect();
    let heat_before = plant.cell_heat();
    plant.set_load(Load::Current(60.0));
    let mut electrical = 0.0;
    for _ in 0..36_000 {
        plant.advance(ms(50));
        electrical += -plant.current() * plant.stack_voltage() * 0.05;
    }
    let heat = plant.cell_heat() - heat_before;
    let chemical: f64 = socs
        .iter()
        .zip(plant.socs())
        .map(|(from, to)| {
            let steps = 2_000;
            let width = (from - to) / f64::from(steps);
            let sum: f64 = (0..steps).map(|k| plant.open_circuit(to + width * (f64::from(k) + 0.5))).sum();
            sum * width * 360_000.0
        })
        .sum();
    assert!(heat > 0.01 * chemical, "heat {heat} of {chemical}");
    let error = (chemical - electrical - heat) / chemical;
    assert!(error.abs() < 1e-4, "{chemical} J chemical, {electrical} J electrical, {heat} J heat: {error}");
}

#[test]
fn charging_is_constant_current_then_constant_voltage() {
    let mut plant = closed(|spec| spec.soc = 0.90);
    plant.set_charger(Some(Charger { voltage: 8.0 * 3.5, current: 50.0 }));
    plant.advance(secs(10));
    assert!((plant.current() - 50.0).abs() < 1e-6);
    let mut last = 50.0;
    for _ in 0..120 {
        plant.advance(secs(60));
        assert!(plant.terminal_voltage() <= 28.0 + 1e-6, "{}", plant.terminal_voltage());
        assert!(plant.current() <= last + 1e-6, "the current only falls at the limit");
        last = plant.current();
    }
    assert!(last < 1.0, "the taper has ended: {last} A");
    assert!(plant.socs().all(|soc| soc > 0.99));
}

#[test]
fn body_diodes_let_the_opposite_direction_through() {
    for (charge, discharge, charges, discharges) in [
        (Switch::Closed, Switch::Closed, true, true),
        (Switch::Open, Switch::Closed, false, true),
        (Switch::Closed, Switch::Open, true, false),
        (Switch::Open, Switch::Open, false, false),
    ] {
        let mut plant = plant(|_| {});
        plant.drive(charge, discharge, false);
        plant.advance(ms(10));
        plant.set_charger(Some(Charger { voltage: 28.0, current: 10.0 }));
        plant.advance(secs(1));
        assert_eq!(plant.current() > 9.9, charges, "{charge:?} {discharge:?}: {}", plant.current());
        plant.set_charger(None);
        plant.set_load(Load::Current(10.0));
        plant.advance(secs(1));
        assert_eq!(plant.current() < -9.9, discharges, "{charge:?} {discharge:?}: {}", plant.current());
    }
}

#[test]
fn a_body_diode_heats_the_switches() {
    let warmed = |charge| {
        let mut plant = plant(|_| {});
        plant.drive(charge, Switch::Closed, false);
        plant.set_load(Load::Current(50.0));
        plant.advance(secs(120));
        plant.mos_temperature() - 25.0
    };
    assert!(warmed(Switch::Open) > 10.0 * warmed(Switch::Closed));
}

#[test]
fn switches_take_their_own_time_and_can_be_broken() {
    let mut plant = plant(|spec| spec.switch_times_us = (3_000, 7_000));
    plant.drive(Switch::Closed, Switch::Closed, false);
    plant.advance(ms(6));
    assert_eq!(plant.switches(), (false, false));
    plant.advance(ms(1));
    assert_eq!(plant.switches(), (true, true));
    plant.set_charge_switch_fault(SwitchFault::StuckOn);
    plant.set_discharge_switch_fault(SwitchFault::Slow(50_000));
    plant.drive(Switch::Open, Switch::Open, false);
    plant.advance(ms(52));
    assert_eq!(plant.switches(), (true, true));
    plant.advance(ms(1));
    assert_eq!(plant.switches(), (true, false));
    plant.set_charge_switch_fault(SwitchFault::StuckOff);
    plant.drive(Switch::Closed, Switch::Open, false);
    plant.advance(ms(100));
    assert_eq!(plant.switches(), (false, false));
}

#[test]
fn a_short_circuit_latches_and_opens_within_the_comparators_time() {
    let mut plant = closed(|_| {});
    plant.set_short_circuit(Some(0.002));
    plant.advance(ms(1));
    assert!(plant.latched());
    assert_eq!(plant.switches(), (false, false));
    let told = sample(&mut plant);
    assert!(matches!(told.inputs, Group::Measured { value, .. } if value.short_circuit));
    // No command closes over the latch.
    plant.drive(Switch::Closed, Switch::Closed, false);
    plant.advance(ms(10));
    assert_eq!(plant.switches(), (false, false));
    // Cleared while the short lasts: trips again.
    plant.drive(Switch::Closed, Switch::Closed, true);
    plant.advance(ms(10));
    assert!(plant.latched());
    plant.set_short_circuit(None);
    plant.drive(Switch::Closed, Switch::Closed, true);
    plant.advance(ms(10));
    assert_eq!((plant.switches(), plant.latched()), ((true, true), false));
}

#[test]
fn a_short_circuit_that_lasts_pulls_the_supply_down() {
    let mut plant = closed(|spec| {
        spec.comparator = (1e9, 200);
        spec.supply_minimum = 20.0;
    });
    plant.set_short_circuit(Some(0.002));
    plant.advance(ms(3));
    assert!(plant.stack_voltage() < 20.0 && !plant.take_brown_out(), "the capacitor still bridges it");
    plant.advance(ms(10));
    assert!(plant.take_brown_out());
    assert_eq!(plant.switches(), (false, false), "nothing drives the gates any more");
}

#[test]
fn closing_blindly_onto_a_large_capacitor_trips_and_precharge_avoids_it() {
    let build = || {
        plant(|spec| {
            spec.terminal_millifarads = 20.0;
            spec.precharge_ohms = Some(20.0);
            spec.comparator = (300.0, 200);
            spec.terminal_voltage = true;
        })
    };
    let mut blind = build();
    blind.drive(Switch::Closed, Switch::Closed, false);
    blind.advance(ms(10));
    assert!(blind.latched());
    let mut careful = build();
    careful.precharge(Expiring::On { until: Instant::from_millis(2_000) });
    careful.advance(secs(1));
    assert!(careful.current() < 0.0, "precharge flows through the shunt");
    careful.advance(secs(1));
    assert!(careful.terminal_voltage() > 0.95 * careful.stack_voltage());
    assert!(!careful.precharge_on());
    careful.drive(Switch::Closed, Switch::Closed, false);
    careful.advance(ms(10));
    assert_eq!((careful.latched(), careful.switches()), (false, (true, true)));
}

fn transfer(phase: Phase, current: bms_core::units::Current, until_ms: u64) -> Plan {
    Plan::Transfer { source: 2, destination: 5, phase, current, until: Instant::from_millis(until_ms) }
}

#[test]
fn a_transfer_conserves_charge_and_energy() {
    let mut plant = plant(|spec| spec.board_current = 0.0);
    let before: Vec<f64> = plant.charges().collect();
    for round in 0..20_u64 {
        let start = plant.now().as_millis();
        plant.balance(&transfer(Phase::Take, amps(2), start + 5_000)).unwrap();
        plant.advance(secs(6));
        plant.balance(&transfer(Phase::Give, amps(2), start + 12_000)).unwrap();
        plant.advance(secs(6));
        assert!(plant.plan().is_idle(), "round {round}");
    }
    let moved: Vec<f64> = plant.charges().zip(&before).map(|(after, before)| after - before).collect();
    let self_discharged = 240.0 * 100.0 * 0.02 / 720.0;
    assert!((moved[2] + 200.0 + self_discharged).abs() < 1e-6, "source: {} A·s", moved[2]);
    // Both phases lose 5 %; the cells' voltages are nearly equal.
    assert!((moved[5] - 200.0 * 0.95 * 0.95).abs() < 2.0, "destination: {} A·s", moved[5]);
    assert!((moved[0] + self_discharged).abs() < 1e-6, "the others only self-discharge");
    let ledger = plant.balance_ledger();
    let balance = ledger.taken - ledger.given - ledger.stored - ledger.lost;
    assert!(balance.abs() < 1e-6 * ledger.taken, "{ledger:?}");
    assert!(ledger.lost > 0.0 && ledger.stored >= -1e-9);
}

#[test]
fn the_store_is_never_overfilled_nor_overdrawn() {
    let mut plant = plant(|spec| spec.balancer.store_joules = 20.0);
    plant.balance(&transfer(Phase::Take, amps(2), 60_000)).unwrap();
    plant.advance(secs(20));
    assert!(plant.plan().is_idle(), "full: stops by itself");
    let full = plant.balance_ledger();
    assert!((full.stored - 20.0).abs() < 0.01, "{full:?}");
    plant.balance(&transfer(Phase::Give, amps(2), 60_000)).unwrap();
    plant.advance(secs(20));
    assert!(plant.plan().is_idle(), "empty: stops by itself");
    assert!(plant.balance_ledger().stored.abs() < 0.01);
}

#[test]
fn impossible_plans_are_refused_and_stop_what_runs() {
    let mut plant = plant(|_| {});
    plant.balance(&transfer(Phase::Take, amps(2), 60_000)).unwrap();
    for bad in [
        transfer(Phase::Take, amps(3), 60_000),
        transfer(Phase::Take, ma(0), 60_000),
        transfer(Phase::Take, amps(1), 0),
        Plan::Transfer {
            source: 8,
            destination: 1,
            phase: Phase::Take,
            current: amps(1),
            until: Instant::from_millis(60_000),
        },
        Plan::Shuttle { source: 1, destination: 3, current: amps(1), until: Instant::from_millis(60_000) },
        Plan::Bleed { mask: 1 << 8, until: Instant::from_millis(60_000) },
    ] {
        assert_eq!(plant.balance(&bad), Err(ErrorKind::Other), "{bad:?}");
        assert!(plant.plan().is_idle());
    }
}

#[test]
fn wire_drops_show_while_balancing_and_fade_within_the_settling_time() {
    let mut plant = plant(|_| {});
    let quiet = cell_mv(&sample(&mut plant), 2);
    plant.balance(&transfer(Phase::Take, amps(2), 1_000)).unwrap();
    plant.advance(ms(100));
    let running = sample(&mut plant);
    // Two wires of 20 mΩ at 2 A, and the cell's own resistance.
    assert!(cell_mv(&running, 2) < quiet - 80.0);
    assert!(cell_mv(&running, 1) > quiet + 39.0 && cell_mv(&running, 3) > quiet + 39.0);
    assert!(
        matches!(running.feedback, Group::Measured { value, .. } if !value.quiet && value.balance_current == amps(-2))
    );
    plant.balance(&Plan::Idle).unwrap();
    plant.advance(ms(4));
    let settling = cell_mv(&sample(&mut plant), 1) - quiet;
    assert!(settling > 5.0 && settling < 30.0, "{settling}");
    plant.advance(ms(16));
    let settled = sample(&mut plant);
    assert!((cell_mv(&settled, 1) - quiet).abs() < 0.2);
    assert!(matches!(settled.feedback, Group::Measured { value, .. } if value.quiet));
}

#[test]
fn an_open_wire_reads_zero_and_double_up_to_the_range() {
    let mut plant = plant(|_| {});
    plant.set_wire(3, Wire::Open);
    let read = sample(&mut plant);
    assert_eq!(cell_mv(&read, 2), 0.0);
    assert_eq!(cell_mv(&read, 3), 5_000.0, "double saturates at the converter's range");
    let Group::Measured { value: stack, .. } = read.stack else { panic!() };
    assert!(
        (f64::from(stack.as_microvolts()) * 1e-6 - plant.stack_voltage()).abs() < 1e-3,
        "the stack is measured elsewhere"
    );
    // No balancing current flows through it.
    let before = plant.charges().nth(2).unwrap();
    plant.balance(&transfer(Phase::Take, amps(2), 5_000)).unwrap();
    plant.advance(secs(5));
    assert!((before - plant.charges().nth(2).unwrap()).abs() < 0.1);
}

#[test]
fn the_same_seed_gives_the_same_pack_and_another_seed_another() {
    let run = |seed: u64| {
        let mut plant = closed(|spec| {
            spec.seed = seed;
            spec.soc_spread = 0.02;
            spec.sensors = SensorErrors::realistic();
        });
        plant.set_load(Load::Pulsed { on: 40.0, off: 2.0, period_ms: 330, duty_permille: 400 });
        let mut all = Vec::new();
        for _ in 0..200 {
            plant.advance(ms(100));
            all.push(sample(&mut plant));
        }
        all
    };
    assert!(run(5) == run(5));
    assert!(run(5) != run(6));
}

#[test]
fn the_current_reading_is_the_mean_since_the_last_one() {
    let mut plant = closed(|_| {});
    plant.set_load(Load::Pulsed { on: 30.0, off: 0.0, period_ms: 100, duty_permille: 250 });
    sample(&mut plant);
    for _ in 0..5 {
        plant.advance(ms(100));
        assert!((current_of(&sample(&mut plant)) + 7_500).abs() <= 1);
    }
    plant.advance(ms(25));
    assert_eq!(current_of(&sample(&mut plant)), -30_000);
}

#[test]
fn inrush_falls_to_the_steady_current() {
    let mut plant = closed(|_| {});
    plant.set_load(Load::Inrush { peak: 300.0, steady: 20.0, time_constant_ms: 200 });
    plant.advance(ms(1));
    assert!(plant.current() < -290.0);
    plant.advance(secs(2));
    assert!((plant.current() + 20.0).abs() < 0.1);
}

#[test]
fn a_constant_power_load_draws_more_at_lower_voltage() {
    let current_at = |soc| {
        let mut plant = closed(|spec| spec.soc = soc);
        plant.set_load(Load::Power(500.0));
        plant.advance(secs(2));
        assert!((plant.terminal_voltage() * -plant.current() - 500.0).abs() < 2.0);
        -plant.current()
    };
    assert!(current_at(0.1) > current_at(0.9));
}

#[test]
fn the_heater_warms_the_cells_and_expires() {
    let mut plant = plant(|spec| {
        spec.heater_ohms = Some(4.0);
        spec.ambient_c = -10.0;
    });
    plant.heat(Expiring::On { until: Instant::from_millis(600_000) });
    plant.advance(secs(60));
    assert!(plant.heater_on() && plant.current() < -5.0);
    plant.advance(secs(600));
    assert!(!plant.heater_on() && plant.current().abs() < 1e-9);
    assert!(plant.cell_temperatures().all(|celsius| celsius > -9.0));
}

#[test]
fn cold_cells_have_a_higher_resistance() {
    let drop_at = |celsius: f64| {
        let mut plant = closed(|spec| spec.ambient_c = celsius);
        let rest = plant.stack_voltage();
        plant.set_load(Load::Current(50.0));
        plant.advance(ms(100));
        rest - plant.stack_voltage()
    };
    assert!(drop_at(-20.0) > 3.0 * drop_at(25.0));
}

#[test]
fn broken_thermistors_read_as_what_they_are() {
    let mut plant = plant(|_| {});
    plant.set_thermistor(0, Thermistor::Open);
    plant.set_thermistor(1, Thermistor::Shorted);
    let Group::Measured { value, .. } = sample(&mut plant).temperatures else { panic!() };
    assert_eq!(value.battery[0], Reading::Invalid);
    assert!(value.battery[1].valid().unwrap().as_tenths() > 1_250);
    assert_eq!(value.battery[2], Reading::NotMeasured);
    assert_eq!(value.mos.valid().unwrap().as_tenths(), 250);
}

#[test]
fn current_beyond_the_range_fails_instead_of_clipping() {
    let mut plant = closed(|spec| spec.current_range = 100.0);
    plant.set_load(Load::Current(150.0));
    plant.advance(ms(100));
    sample(&mut plant);
    plant.advance(ms(100));
    assert_eq!(sample(&mut plant).current, Group::Failed);
}

#[test]
fn released_power_is_lost_and_a_charger_wakes() {
    let mut plant = closed(|_| {});
    plant.power(bms_core::command::Power::Release);
    plant.advance(ms(10));
    assert!(!plant.powered());
    assert_eq!(plant.switches(), (false, false));
    plant.drive(Switch::Closed, Switch::Closed, false);
    plant.advance(ms(10));
    assert_eq!(plant.switches(), (false, false), "without supply nothing closes");
    plant.set_charger(Some(Charger { voltage: plant.stack_voltage() + 6.0, current: 5.0 }));
    plant.advance(secs(1));
    assert!(plant.powered());
}

#[test]
fn a_blown_fuse_interrupts_a_stuck_switch() {
    let mut plant = closed(|_| {});
    plant.set_load(Load::Current(30.0));
    plant.set_charge_switch_fault(SwitchFault::StuckOn);
    plant.set_discharge_switch_fault(SwitchFault::StuckOn);
    plant.drive(Switch::Open, Switch::Open, false);
    plant.advance(secs(1));
    assert!(plant.current() < -29.0);
    plant.fire(Switch::Closed);
    plant.advance(secs(1));
    assert_eq!(plant.current(), 0.0);
}

#[test]
fn dictated_readings_replace_the_truth() {
    let mut plant = plant(|_| {});
    plant.dictated().cells = vec![None, Some(4.3)];
    plant.dictated().current = Some(-12.5);
    plant.advance(ms(100));
    let read = sample(&mut plant);
    assert_eq!(cell_mv(&read, 1), 4_300.0);
    assert!(cell_mv(&read, 0) < 3_400.0);
    assert_eq!(current_of(&read), -12_500);
    assert_eq!(plant.now(), Instant::from_millis(100));
}

#[test]
fn separate_ports_charge_while_discharging_is_off() {
    let mut plant = plant(|spec| spec.topology = Topology::SeparatePorts);
    plant.drive(Switch::Closed, Switch::Open, false);
    plant.set_charger(Some(Charger { voltage: 28.0, current: 10.0 }));
    plant.set_load(Load::Current(30.0));
    plant.advance(secs(1));
    assert!((plant.current() - 10.0).abs() < 1e-6);
}
