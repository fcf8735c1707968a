//! The direct rig, the blocking driver and the async driver give the same commands; faults act alike on all three.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bms_core::balancing::ManualRule;
use bms_core::estimation::CoulombCounter;
use bms_core::prelude::*;
use bms_host::fault::{Channel, Fault, FaultKind, Output};
use bms_host::mock::DriverRig;
use bms_host::plant::{Charger, Load, PackSpec, Plant, SensorErrors};
use bms_host::rig::{Rig, Schedule, pack_for};

const PACK: ValidConfig = const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(100)).validated() };

fn spec() -> PackSpec {
    let mut spec = pack_for(&PACK);
    spec.soc = 0.98;
    spec.soc_spread = 0.02;
    spec.sensors = SensorErrors::realistic();
    spec
}

type Script = &'static [(u32, fn(&mut Plant))];

/// Commands with their times.
type Log = Vec<(Instant, Command)>;

/// The manual's rule balances by voltage alone, so it is at work within the minutes of these scripts.
type Core = Bms<24, CoulombCounter, ManualRule>;

fn core(config: ValidConfig) -> Core {
    Bms::with_parts(config, CoulombCounter::new(&config), ManualRule::new())
}

fn direct(script: Script, faults: &[Fault], schedule: Schedule) -> Log {
    let mut rig = Rig::with_core(PACK, core, &spec()).unwrap().with_schedule(schedule);
    rig.faults().extend(faults.iter().copied());
    let mut log = Log::new();
    for (seconds, act) in script {
        act(rig.plant_mut());
        rig.run_for_each(secs(*seconds), |rig, command| log.push((rig.stepped_at(), *command)));
    }
    log
}

fn driven(script: Script, faults: &[Fault], schedule: Schedule, asynchronous: bool) -> Log {
    let mut rig = DriverRig::with_core(PACK, core, &spec(), schedule).unwrap();
    for fault in faults {
        rig.faults().add(*fault);
    }
    let mut log = Log::new();
    for (seconds, act) in script {
        act(&mut rig.pack().plant());
        let each = |at: Instant, command: &Command| log.push((at, *command));
        if asynchronous {
            rig.run_async_for(secs(*seconds), each);
        } else {
            rig.run_for(secs(*seconds), each);
        }
    }
    log
}

fn compare(script: Script, faults: &[Fault], schedule: Schedule) -> Log {
    let expected = direct(script, faults, schedule);
    for asynchronous in [false, true] {
        let actual = driven(script, faults, schedule, asynchronous);
        for (step, (a, b)) in expected.iter().zip(&actual).enumerate() {
            assert_eq!(a, b, "step {step}, async: {asynchronous}");
        }
        assert_eq!(expected.len(), actual.len());
    }
    expected
}

const DAY: Script = &[
    (20, |_| {}),
    (60, |plant| plant.set_charger(Some(Charger { voltage: 57.6, current: 50.0 }))),
    (60, |plant| {
        plant.set_charger(None);
        plant.set_load(Load::Pulsed { on: 60.0, off: 1.0, period_ms: 3_300, duty_permille: 500 });
    }),
    (10, |plant| plant.set_load(Load::Current(250.0))),
    (5, |plant| plant.set_short_circuit(Some(0.001))),
    (70, |plant| {
        plant.set_short_circuit(None);
        plant.set_load(Load::None);
    }),
];

#[test]
fn all_three_paths_give_the_same_commands() {
    let log = compare(DAY, &[], Schedule::default());
    let closed = log.iter().filter(|(_, command)| command.discharge.is_closed()).count();
    assert!(closed > 500 && closed < log.len() - 50, "it closes and it trips: {closed} of {}", log.len());
    assert!(log.iter().any(|(_, command)| !command.balance.is_idle()), "it balances");
}

#[test]
fn the_same_with_jitter_and_other_rates() {
    let schedule = Schedule { jitter: 0.35, cells_every: 5, temperatures_every: 50, ..Schedule::every(ms(20)) };
    compare(DAY, &[], schedule);
}

#[test]
fn the_same_with_faults_of_the_measurement_and_of_the_outputs() {
    let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
    let faults = [
        Fault::during(at(5), secs(3), FaultKind::Lost(Channel::Current)),
        Fault::during(at(12), secs(2), FaultKind::SamplerLost),
        Fault::during(at(25), secs(4), FaultKind::Noise { channel: Channel::Cells, amplitude: 20_000 }),
        Fault::during(at(40), secs(4), FaultKind::Late { channel: Channel::Cells, by_ms: 350 }),
        Fault::during(at(90), secs(4), FaultKind::WriteFails(Output::Switches)),
        Fault::during(at(100), secs(4), FaultKind::Stuck(Channel::Cells)),
        Fault::during(at(110), secs(4), FaultKind::WriteIgnored(Output::Balancer)),
        Fault::during(at(60), secs(1), FaultKind::ClockBack(700)),
    ];
    compare(DAY, &faults, Schedule::default());
}

fn running() -> Rig {
    let mut spec = pack_for(&PACK);
    spec.soc = 0.5;
    let mut rig = Rig::new(PACK, &spec).unwrap();
    rig.run_for(secs(10));
    assert!(rig.bms().command().discharge.is_closed() && rig.bms().command().charge.is_closed());
    rig
}

/// What each fault of the measurement must come to, whatever the pack does.
#[test]
fn measurement_faults_open_the_switches() {
    use FaultKind as F;
    for (kind, alarm) in [
        (F::SamplerLost, Alarm::CellDataLost),
        (F::SamplerSilent, Alarm::CellDataLost),
        (F::Lost(Channel::Cells), Alarm::CellDataLost),
        (F::Silent(Channel::Current), Alarm::CurrentDataLost),
        (F::Lost(Channel::Temperatures), Alarm::TemperatureDataLost),
        (F::CellInvalid(3), Alarm::CellDataLost),
        (F::Value { channel: Channel::Temperatures, value: 800 }, Alarm::MosOvertemperature),
        (F::CellValue { cell: 3, microvolts: 3_700_000 }, Alarm::CellOvervoltage),
        (F::CellCount(15), Alarm::CellCountMismatch),
        (F::Late { channel: Channel::Cells, by_ms: 5_000 }, Alarm::CellDataLost),
        (F::MosTemperatureInvalid, Alarm::MosSensorFault),
    ] {
        let mut rig = running();
        let now = rig.now();
        rig.faults().add(Fault::from(now, kind));
        rig.run_for(secs(15));
        let command = rig.bms().command();
        assert!(!command.charge.is_closed(), "{kind:?}");
        assert!(
            rig.bms().status().alarms.contains(alarm),
            "{kind:?}: {:?}",
            rig.bms().status().alarms.iter().collect::<Vec<_>>()
        );
        rig.faults().end(kind, now.after(secs(15)));
        rig.run_for(secs(120));
        assert!(rig.bms().command().charge.is_closed(), "{kind:?} is over");
    }
}

#[test]
fn a_clock_that_goes_back_is_noticed() {
    let mut rig = running();
    let now = rig.now();
    rig.faults().add(Fault::from(now, FaultKind::ClockBack(5_000)));
    let mut raised = false;
    rig.run_for_each(ms(300), |rig, _| raised |= rig.bms().status().alarms.contains(Alarm::TimeWentBack));
    assert!(raised && !rig.bms().command().charge.is_closed());
}

#[test]
fn an_inverted_current_shows_a_load_as_a_charger() {
    let mut rig = running();
    rig.plant_mut().set_load(Load::Current(20.0));
    let now = rig.now();
    rig.faults().add(Fault::from(now, FaultKind::InvertedCurrent));
    rig.run_for(secs(1));
    assert!(rig.bms().status().current.valid().unwrap() > amps(19));
}

#[test]
fn swapped_cells_are_swapped() {
    let mut rig = running();
    rig.plant_mut().set_soc(2, 0.1);
    rig.run_for(secs(1));
    let low = rig.bms().status().lowest_cell;
    assert_eq!(low, Some(2));
    let now = rig.now();
    rig.faults().add(Fault::from(now, FaultKind::SwappedCells(2, 7)));
    rig.run_for(secs(1));
    assert_eq!(rig.bms().status().lowest_cell, Some(7));
}

#[test]
fn slow_switches_obey_later() {
    let mut rig = running();
    rig.plant_mut().set_load(Load::Current(20.0));
    rig.run_for(secs(1));
    let now = rig.now();
    rig.faults().add(Fault::from(now, FaultKind::WriteSlow { output: Output::Switches, by_ms: 500 }));
    rig.bms_mut().request(Request::EmergencyStop).unwrap();
    rig.run_for(ms(400));
    assert!(!rig.bms().command().discharge.is_closed());
    assert_eq!(rig.plant().switches(), (true, true));
    rig.run_for(ms(400));
    assert_eq!(rig.plant().switches(), (false, false));
}

#[test]
fn a_failing_switch_port_is_noticed() {
    let mut rig = running();
    let now = rig.now();
    rig.faults().add(Fault::during(now, secs(2), FaultKind::WriteFails(Output::Switches)));
    rig.run_for(ms(300));
    assert!(rig.bms().status().alarms.contains(Alarm::OutputFailed));
    assert!(!rig.bms().command().discharge.is_closed());
}

#[test]
fn a_brown_out_resets_the_firmware_and_the_hold_off_applies() {
    let mut rig = running();
    let resets = |rig: &Rig| rig.bms().status().alarms.contains(Alarm::ResetHoldOff);
    assert!(!resets(&rig));
    rig.reset(ResetCause::BrownOut);
    rig.run_for(secs(1));
    assert!(resets(&rig));
    assert!(!rig.bms().command().discharge.is_closed());
}

#[test]
fn an_empty_pack_shuts_down_and_a_charger_wakes_it() {
    let mut spec = pack_for(&PACK);
    spec.soc = 0.03;
    let mut rig = Rig::new(PACK, &spec).unwrap();
    rig.plant_mut().set_load(Load::Current(60.0));
    rig.run_for(secs(61));
    for cell in 0..16 {
        rig.plant_mut().set_soc(cell, 0.001);
    }
    rig.plant_mut().set_load(Load::None);
    rig.run_until(secs(3_600), |rig| !rig.plant().powered()).expect("it lets its supply go");
    let stopped = rig.now();
    rig.run_for(secs(60));
    assert_eq!(rig.plant().switches(), (false, false));
    rig.plant_mut().set_charger(Some(Charger { voltage: 57.6, current: 20.0 }));
    rig.run_until(secs(60), |rig| rig.bms().command().charge.is_closed()).expect("it wakes and charges");
    assert!(rig.now() > stopped);
}

#[test]
fn the_drivers_rig_survives_the_same_shutdown() {
    let mut spec = pack_for(&PACK);
    spec.soc = 0.001;
    let mut rig: DriverRig = DriverRig::new(PACK, &spec, Schedule::default()).unwrap();
    rig.run_for(secs(200), |_, _| {});
    assert!(!rig.pack().plant().powered());
    rig.pack().plant().set_charger(Some(Charger { voltage: 57.6, current: 20.0 }));
    let mut charged = false;
    rig.run_for(secs(60), |_, command| charged |= command.charge.is_closed());
    assert!(charged);
}
