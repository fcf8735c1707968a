//! Any configuration: validation is total, says what is wrong, and what it lets pass keeps the hard caps and runs.

#![no_main]

use bms_core::Bms;
use bms_core::config::{
    BoardDefinition, Chemistry, Config, Model, PARAMETERS, ParameterId as P, Profile, SensorPolicy, Topology,
};
use bms_core::measurement::Input;
use bms_core::time::ms;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bms-core/tests/laws/mod.rs"]
mod laws;

use laws::{Bytes, World};

fn board(bytes: &mut Bytes<'_>) -> Option<BoardDefinition> {
    let bits = bytes.byte()?;
    let mut sensors = BoardDefinition::MANUAL.sensors;
    for sensor in &mut sensors {
        *sensor = match bytes.byte()? % 3 {
            0 => SensorPolicy::Required,
            1 => SensorPolicy::Optional,
            _ => SensorPolicy::NotFitted,
        };
    }
    Some(BoardDefinition {
        topology: match bits % 3 {
            0 => Topology::BackToBack,
            1 => Topology::SeparatePorts,
            _ => Topology::Contactors,
        },
        sensors,
        stack_voltage: bits & 4 != 0,
        terminal_voltage: bits & 8 != 0,
        precharge: bits & 16 != 0,
        last_resort: bits & 32 != 0,
        hardware_short_circuit: bits & 64 != 0,
    })
}

fn config(bytes: &mut Bytes<'_>) -> Option<Config> {
    let chemistry = Chemistry::ALL[usize::from(bytes.byte()?) % 3];
    let mut config = Config::preset(chemistry, bytes.byte()? % 40);
    let model = bytes.byte()?;
    if model < 200 {
        config = config.with_model(Model::ALL[usize::from(model) % Model::ALL.len()]);
    }
    if bytes.flag()? {
        config = config.with_profile(Profile::Manual);
    }
    if bytes.flag()? {
        config = config.with_board(board(bytes)?);
    }
    // Few or many changes on top of the preset, in range, at the ends, or anything.
    for _ in 0..bytes.byte()? % 16 {
        let row = &PARAMETERS[usize::from(bytes.byte()?) % PARAMETERS.len()];
        let value = match bytes.byte()? {
            0..=63 => bytes.word()?,
            64..=79 => row.minimum,
            80..=95 => row.maximum,
            96..=111 => 0,
            _ => {
                let span = i64::from(row.maximum) - i64::from(row.minimum);
                (i64::from(row.minimum) + span * i64::from(bytes.half()?) / 65_535) as i32
            }
        };
        config = config.with(row.id, value);
    }
    Some(config)
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes::new(bytes);
    let Some(config) = config(&mut bytes) else { return };
    let valid = match config.validate() {
        Err(violations) => {
            assert!(violations.iter().next().is_some(), "refused without a reason");
            for violation in violations.iter() {
                assert!(!violation.to_string().is_empty());
            }
            return;
        }
        Ok(valid) => valid,
    };
    // A second, naive check of what nothing may exceed (D31, P05, P16, B02).
    let chemistry = config.chemistry();
    assert!(valid.voltage(P::CellOvervoltageProtection) <= chemistry.overvoltage_cap());
    assert!(valid.voltage(P::CellUndervoltageProtection) >= chemistry.undervoltage_floor());
    assert!(valid.get(P::AutoShutdownVoltage) < valid.get(P::CellUndervoltageProtection));
    assert!(valid.get(P::CellUndervoltageProtection) < valid.get(P::CellUndervoltageRecovery));
    assert!(valid.get(P::CellUndervoltageRecovery) < valid.get(P::CellOvervoltageProtection));
    assert!(valid.get(P::CellOvervoltageRecovery) < valid.get(P::CellOvervoltageProtection));
    assert!(valid.get(P::BalanceCurrent) <= valid.get(P::Capacity) / 10);
    if let Some(model) = config.model() {
        let rating = model.ratings().continuous.as_milliamps();
        assert!(valid.get(P::ChargeOvercurrentProtection) <= rating);
        assert!(valid.get(P::DischargeOvercurrentProtection) <= rating);
    }
    for warning in valid.warnings().iter() {
        assert!(!warning.to_string().is_empty());
    }
    // It runs, in a healthy world and without one.
    let mut bms = Bms::new(valid);
    let mut world = World::new(&valid);
    for turn in 0..40_u32 {
        world.now = world.now.after(ms(valid.get(P::SamplePeriod).unsigned_abs()));
        let sample = world.sample(true);
        let command = bms.step(world.now, if turn % 9 == 8 { Input::Tick } else { Input::Sample(&sample) });
        if usize::from(valid.cell_count()) > 24 {
            assert!(!command.charge.is_closed() && !command.discharge.is_closed(), "more cells than there is room for");
        }
        while bms.poll_event().is_some() {}
    }
    for explanation in bms.explain() {
        assert!(!explanation.to_string().is_empty());
    }
    let _ = (bms.status(), bms.deadline());
});
