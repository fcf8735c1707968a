//! The ports of this crate pass the conformance kit on simulated pins and an ADC, blocking and awaited.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod desk;

use bms_core::port::compose::Senses;
use bms_core::port::{ErrorKind, TemperatureSense};
use bms_core::time::ms;
use bms_core::units::{ma, mv};
use bms_host::conformance::{self as kit, Awaited, Report, SamplerPromise, Verdict};
use desk::{CELLS, Desk};

fn promise() -> SamplerPromise {
    SamplerPromise { cell_error: mv(12), ..SamplerPromise::new(CELLS) }
}

/// No rule broken; none left out but those named; and at least so many kept.
fn accepted(report: &Report, left_out: &[&str], at_least: usize) {
    assert!(report.is_conformant(), "\n{report}");
    for (rule, verdict) in report.findings() {
        let excused = left_out.iter().any(|start| rule.starts_with(start));
        assert!(excused || *verdict != Verdict::NotPossible, "not possible: {rule}\n{report}");
    }
    assert!(report.passed() >= at_least, "\n{report}");
}

// D09
#[test]
fn d09_the_gates_keep_every_rule_of_switches() {
    let mut report = Report::new();
    let desk = Desk::new();
    let gates = desk.gates();
    kit::switches(&mut desk.clone(), |_| desk.install(gates), &mut report);
    accepted(&report, &[], 9);
    kit::input_sense(&mut desk.clone(), &mut desk.inputs(gates), &mut report);
    kit::input_sense(&mut desk.clone(), &mut Awaited(desk.inputs(gates)), &mut report);
    accepted(&report, &[], 11);
}

#[test]
fn the_other_outputs_keep_every_rule() {
    let mut report = Report::new();
    let desk = Desk::new();
    kit::heater(&mut desk.clone(), |_| desk.heater(), &mut report);
    kit::precharge(&mut desk.clone(), |_| desk.precharge(), &mut report);
    kit::power(&mut desk.clone(), |_| desk.power(), &mut report);
    kit::last_resort(&mut desk.clone(), |_| desk.last_resort(), &mut report);
    accepted(&report, &[], 11);
}

#[test]
fn the_senses_keep_every_rule_of_a_sampler() {
    let desk = Desk::new();
    let adc = desk.adc();
    let gates = desk.gates();
    let _switches = desk.install(gates);
    let mut sampler = Senses::new(desk.clock())
        .with_cells(desk.cells(&adc), ms(100))
        .with_current(desk.current(&adc), ms(50))
        .with_temperatures(desk.temperatures(&adc), ms(150))
        .with_stack(desk.stack(&adc), ms(100))
        .with_inputs(desk.inputs(gates), ms(50));
    let mut report = Report::new();
    kit::sampler::<24>(&mut desk.clone(), &mut sampler, promise(), &mut report);
    let mut sampler = Awaited(
        Senses::new(desk.clock())
            .with_cells(desk.cells(&adc), ms(100))
            .with_current(desk.current(&adc), ms(50))
            .with_inputs(desk.inputs(gates), ms(50)),
    );
    kit::sampler::<24>(&mut desk.clone(), &mut sampler, promise(), &mut report);
    kit::current_sense(&mut desk.clone(), &mut desk.current(&adc), ma(200), &mut report);
    kit::temperature_sense(&mut desk.clone(), &mut desk.temperatures(&adc), 0, &mut report);
    // There is no balancer on this desk.
    accepted(&report, &["Sampler 6"], 30);
}

// X02
#[test]
fn x02_one_broken_thermistor_leaves_the_others_alone() {
    let desk = Desk::new();
    let adc = desk.adc();
    let mut port = desk.temperatures(&adc);
    desk.set_thermistor(0, None);
    let all = port.temperatures().unwrap();
    assert!(!all.battery[0].is_valid() && all.battery[1].is_valid() && all.mos.is_valid(), "{all:?}");
}

// X20
#[test]
fn x20_a_stuck_adc_or_multiplexer_fails_the_scan() {
    use bms_core::measurement::Cells;
    use bms_core::port::CellSense;
    for stuck in [0, 1_500, 2_482, 4_095] {
        let desk = Desk::new();
        let adc = desk.adc();
        let mut port = desk.cells(&adc);
        let mut cells = Cells::<24>::default();
        assert!(port.cells(&mut cells).is_ok());
        desk.stick_adc(Some(stuck));
        assert_eq!(port.cells(&mut cells), Err(nb::Error::Other(ErrorKind::Integrity)), "{stuck}");
        desk.stick_adc(None);
        assert!(port.cells(&mut cells).is_ok(), "it recovers");
        desk.stick_select_line(true);
        assert!(port.cells(&mut cells).is_err());
    }
}

// X04
#[test]
fn x04_a_cut_tap_shows_as_a_cell_at_zero_beside_a_doubled_one() {
    use bms_core::measurement::Cells;
    use bms_core::port::CellSense;
    let desk = Desk::new();
    let adc = desk.adc();
    let mut port = desk.cells(&adc);
    desk.cut_tap(3);
    let mut cells = Cells::<24>::default();
    port.cells(&mut cells).unwrap();
    let read = |index| cells.get(index).valid().unwrap().as_millivolts();
    assert_eq!(read(3), 0);
    assert!(read(4) > 6_000, "{} mV", read(4));
}

/// The driver, the core and these ports together: closes after the first complete scan, opens in the interrupt.
#[test]
fn d32_a_whole_pack_on_the_desk() {
    use bms_core::prelude::*;
    const PACK: ValidConfig = const { Config::lifepo4(CELLS).with_model(Model::B2a8s20p).validated() };
    let desk = Desk::new();
    let adc = desk.adc();
    let gates = desk.gates();
    let switches = desk.install(gates);
    let sampler = Senses::new(desk.clock())
        .with_cells(desk.cells(&adc), ms(100))
        .with_current(desk.current(&adc), ms(100))
        .with_temperatures(desk.temperatures(&adc), ms(100))
        .with_stack(desk.stack(&adc), ms(100))
        .with_inputs(desk.inputs(gates), ms(10));
    let mut driver = Driver::new(Bms::new(PACK), Board::new(sampler, switches, desk.clock()));
    assert_eq!(desk.gate_pins(), (false, false));
    let run = |driver: &mut Driver<_, 24>, milliseconds: u32| {
        for _ in 0..milliseconds {
            while driver.poll().is_ok() {}
            desk.wait_ms(1);
        }
    };
    run(&mut driver, 300);
    assert_eq!(desk.gate_pins(), (true, true));
    desk.short_circuit(true, gates);
    assert_eq!(desk.gate_pins(), (false, false), "in the interrupt, before any step");
    desk.short_circuit(false, gates);
    run(&mut driver, 59_000);
    assert_eq!(desk.gate_pins(), (false, false));
    assert!(driver.status().alarms.contains(Alarm::ShortCircuit));
    run(&mut driver, 2_000);
    assert_eq!(desk.gate_pins(), (true, true), "after the release time, with the latch cleared");
}
