//! The operating states in which faults happen.

use bms_core::bms::Request;
use bms_core::config::{BoardDefinition, Config, ParameterId as P};
use bms_core::lifecycle::State as Lifecycle;
use bms_core::protection::Alarm;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::time::{ms, secs};
use bms_host::fault::{Channel, FaultKind, Output};
use bms_host::plant::{Charger, Load, PackSpec, SwitchFault, Thermistor, Wire};

use crate::bench::{Bench, config, spec};
use crate::truth::{Path, Truth};

/// One state.
pub struct State {
    /// Its name in the tables.
    pub name: &'static str,
    config: fn(Config) -> Config,
    spec: fn(&mut PackSpec),
    reach: fn(&mut Bench),
    holds: Holds,
}

enum Holds {
    Alarm(Alarm),
    If(fn(&Bench) -> bool),
}

impl State {
    /// A pack in this state.
    ///
    /// # Panics
    /// If the table does not lead there: then it would prove nothing.
    #[must_use]
    pub fn reached(&self) -> Bench {
        let config = (self.config)(config()).validate().expect("the configuration is valid");
        let mut spec = spec(&config);
        (self.spec)(&mut spec);
        let mut bench = Bench::new(config, &spec);
        bench.pack.set_one_clock(true);
        (self.reach)(&mut bench);
        let holds = match self.holds {
            Holds::Alarm(alarm) => bench.pack.bms().alarms().contains(alarm),
            Holds::If(condition) => condition(&bench),
        };
        assert!(holds, "{}: not reached; alarms {:?}", self.name, bench.pack.bms().alarms());
        // What led here is not judged.
        bench.watch = crate::truth::Watch::new();
        bench
    }
    /// The paths that no command opens in this state.
    #[must_use]
    pub const fn defeats(&self) -> &'static [Path] {
        match self.holds {
            Holds::Alarm(Alarm::ChargeSwitchStuck) => &[Path::Charge],
            Holds::Alarm(Alarm::DischargeSwitchStuck) => &[Path::Discharge],
            _ => &[],
        }
    }
}

const fn state(name: &'static str, reach: fn(&mut Bench), holds: fn(&Bench) -> bool) -> State {
    State { name, config: |config| config, spec: |_| {}, reach, holds: Holds::If(holds) }
}
const fn alarm(alarm: Alarm, reach: fn(&mut Bench)) -> State {
    State { name: alarm.name(), config: |config| config, spec: |_| {}, reach, holds: Holds::Alarm(alarm) }
}
const fn configured(state: State, config: fn(Config) -> Config) -> State {
    State { config, ..state }
}
const fn on(state: State, spec: fn(&mut PackSpec)) -> State {
    State { spec, ..state }
}

fn start(bench: &mut Bench) {
    bench.run_for(secs(2));
}
fn charge(bench: &mut Bench, current: f64) {
    bench.pack.plant_mut().set_charger(Some(Charger { voltage: 60.0, current }));
}
fn load(bench: &mut Bench, current: f64) {
    bench.pack.plant_mut().set_load(Load::Current(current));
}
fn ask(bench: &mut Bench, request: Request) {
    bench.pack.request(request).expect("the request is granted");
}
fn closed(bench: &Bench, path: Path) -> bool {
    Truth::of(bench.pack.plant()).is_closed(path)
}
/// At rest at this voltage for a while.
fn rest_at(bench: &mut Bench, volts: f64, length: u32) {
    start(bench);
    bench.level(volts);
    bench.run_for(ms(length));
}
fn at_temperature(bench: &mut Bench, celsius: f64) {
    start(bench);
    bench.pack.plant_mut().set_cell_temperature(celsius);
    bench.run_for(secs(2));
}
fn lost(bench: &mut Bench, channel: Channel, length: u32) {
    start(bench);
    bench.inject(FaultKind::Lost(channel));
    bench.run_for(secs(length));
}
/// Cells that want balancing.
fn apart(bench: &mut Bench) {
    bench.level(3.40);
    bench.level_one(2, 3.45);
    bench.level_one(11, 3.38);
}
/// Up to half an hour.
fn until(bench: &mut Bench, condition: fn(&Bench) -> bool) {
    for _ in 0..1_800 {
        bench.run_for(secs(1));
        if condition(bench) {
            return;
        }
    }
}
fn sensors_apart(bench: &mut Bench) {
    start(bench);
    bench.pack.plant_mut().dictated().battery[0] = Some(45.0);
    bench.run_for(secs(2));
}

/// **The table of states.** Those of an alarm are called as the alarm.
pub const STATES: [State; 61] = [
    state("start-up", |_| {}, |bench| bench.pack.bms().state() == Lifecycle::Starting),
    state("idle", start, |bench| closed(bench, Path::Charge) && closed(bench, Path::Discharge)),
    state(
        "charging",
        |bench| {
            start(bench);
            charge(bench, 50.0);
            bench.run_for(secs(5));
        },
        |bench| closed(bench, Path::Charge) && bench.pack.plant().current() > 45.0,
    ),
    state(
        "discharging",
        |bench| {
            start(bench);
            load(bench, 50.0);
            bench.run_for(secs(5));
        },
        |bench| closed(bench, Path::Discharge) && bench.pack.plant().current() < -45.0,
    ),
    state(
        "balancing",
        |bench| {
            apart(bench);
            until(bench, |bench| closed(bench, Path::Balancer));
        },
        |bench| closed(bench, Path::Balancer),
    ),
    state(
        "heating",
        |bench| {
            at_temperature(bench, -5.0);
            charge(bench, 20.0);
            bench.run_for(secs(3));
        },
        |bench| closed(bench, Path::Heater),
    ),
    state(
        "shut down",
        |bench| {
            bench.run_for(secs(62));
            bench.level(2.55);
            bench.run_for(secs(30));
        },
        |bench| bench.pack.bms().state() != Lifecycle::Running,
    ),
    alarm(Alarm::CellUndervoltage, |bench| rest_at(bench, 2.65, 3_000)),
    alarm(Alarm::CellOvervoltage, |bench| rest_at(bench, 3.65, 3_000)),
    alarm(Alarm::ChargeOvercurrent, |bench| {
        start(bench);
        charge(bench, 110.0);
        bench.run_for(secs(3));
    }),
    alarm(Alarm::DischargeOvercurrent, |bench| {
        start(bench);
        load(bench, 110.0);
        bench.run_for(secs(3));
    }),
    alarm(Alarm::ShortCircuit, |bench| {
        start(bench);
        bench.pack.plant_mut().set_short_circuit(Some(0.01));
        bench.run_for(ms(200));
        bench.pack.plant_mut().set_short_circuit(None);
        bench.run_for(ms(500));
    }),
    alarm(Alarm::ChargeOvertemperature, |bench| at_temperature(bench, 65.0)),
    configured(alarm(Alarm::DischargeOvertemperature, |bench| at_temperature(bench, 58.0)), |config| {
        config.with(P::DischargeOvertemperatureProtection, 550).with(P::DischargeOvertemperatureRecovery, 500)
    }),
    alarm(Alarm::ChargeUndertemperature, |bench| at_temperature(bench, -5.0)),
    configured(alarm(Alarm::DischargeUndertemperature, |bench| at_temperature(bench, -25.0)), |config| {
        config.with(P::DischargeUndertemperature, 1)
    }),
    alarm(Alarm::MosOvertemperature, |bench| {
        start(bench);
        bench.pack.plant_mut().set_mos_temperature(95.0);
        bench.run_for(secs(2));
    }),
    alarm(Alarm::CellCountMismatch, |bench| {
        start(bench);
        bench.inject(FaultKind::CellCount(15));
        bench.run_for(secs(2));
    }),
    alarm(Alarm::CellDataLost, |bench| lost(bench, Channel::Cells, 3)),
    alarm(Alarm::CurrentDataLost, |bench| lost(bench, Channel::Current, 3)),
    alarm(Alarm::TemperatureDataLost, |bench| lost(bench, Channel::Temperatures, 13)),
    alarm(Alarm::DataLostLong, |bench| lost(bench, Channel::Cells, 5)),
    alarm(Alarm::BatterySensorFault, |bench| {
        start(bench);
        bench.pack.plant_mut().set_thermistor(0, Thermistor::Open);
        bench.run_for(secs(3));
    }),
    alarm(Alarm::MosSensorFault, |bench| {
        start(bench);
        bench.pack.plant_mut().set_mos_thermistor(Thermistor::Shorted);
        bench.run_for(secs(3));
    }),
    alarm(Alarm::StackMismatch, |bench| {
        start(bench);
        bench.inject(FaultKind::Value { channel: Channel::Stack, value: 45_000_000 });
        bench.run_for(secs(4));
    }),
    alarm(Alarm::OpenWire, |bench| {
        start(bench);
        bench.pack.plant_mut().set_wire(5, Wire::Open);
        bench.run_for(secs(2));
    }),
    alarm(Alarm::WireResistance, |bench| {
        apart(bench);
        bench.pack.plant_mut().set_wire(3, Wire::Ohms(0.3));
        bench.pack.plant_mut().set_wire(12, Wire::Ohms(0.3));
        until(bench, |bench| bench.pack.bms().alarms().contains(Alarm::WireResistance));
    }),
    alarm(Alarm::SevereDischargeOvercurrent, |bench| {
        start(bench);
        load(bench, 320.0);
        bench.run_for(secs(1));
    }),
    alarm(Alarm::SevereChargeOvercurrent, |bench| {
        start(bench);
        charge(bench, 170.0);
        bench.run_for(ms(1_500));
    }),
    configured(alarm(Alarm::PackOvervoltage, |bench| rest_at(bench, 3.55, 3_000)), |config| {
        config.with(P::PackOvervoltageProtection, 56_000_000).with(P::PackOvervoltageRecovery, 55_000_000)
    }),
    configured(alarm(Alarm::PackUndervoltage, |bench| rest_at(bench, 2.75, 3_000)), |config| {
        config.with(P::PackUndervoltageProtection, 45_000_000).with(P::PackUndervoltageRecovery, 47_000_000)
    }),
    configured(
        alarm(Alarm::CellSpread, |bench| {
            start(bench);
            bench.level_one(4, 3.0);
            bench.run_for(secs(2));
        }),
        |config| config.with(P::CellSpreadProtection, 200_000),
    ),
    configured(alarm(Alarm::TemperatureSpread, sensors_apart), |config| {
        config.with(P::TemperatureSpreadProtection, 150)
    }),
    alarm(Alarm::CellSpreadWarning, |bench| {
        start(bench);
        bench.level_one(4, 2.95);
        bench.run_for(secs(2));
    }),
    alarm(Alarm::TemperatureSpreadWarning, sensors_apart),
    alarm(Alarm::CellUndervoltageWarning, |bench| rest_at(bench, 2.74, 2_000)),
    alarm(Alarm::CellOvervoltageWarning, |bench| rest_at(bench, 3.57, 2_000)),
    alarm(Alarm::ChargeCurrentWarning, |bench| {
        start(bench);
        charge(bench, 97.0);
        bench.run_for(secs(2));
    }),
    alarm(Alarm::DischargeCurrentWarning, |bench| {
        start(bench);
        load(bench, 97.0);
        bench.run_for(secs(2));
    }),
    alarm(Alarm::OvertemperatureWarning, |bench| at_temperature(bench, 57.0)),
    alarm(Alarm::UndertemperatureWarning, |bench| at_temperature(bench, 3.0)),
    alarm(Alarm::MosTemperatureWarning, |bench| {
        start(bench);
        bench.pack.plant_mut().set_mos_temperature(73.0);
        bench.run_for(ms(500));
    }),
    alarm(Alarm::ChargeSwitchStuck, |bench| {
        start(bench);
        bench.pack.plant_mut().set_charge_switch_fault(SwitchFault::StuckOn);
        charge(bench, 20.0);
        bench.run_for(secs(1));
        ask(bench, Request::SetCharge(false));
        bench.run_for(secs(2));
    }),
    alarm(Alarm::DischargeSwitchStuck, |bench| {
        start(bench);
        bench.pack.plant_mut().set_discharge_switch_fault(SwitchFault::StuckOn);
        load(bench, 20.0);
        bench.run_for(secs(1));
        ask(bench, Request::SetDischarge(false));
        bench.run_for(secs(2));
    }),
    alarm(Alarm::NotConducting, |bench| {
        start(bench);
        bench.pack.plant_mut().set_discharge_switch_fault(SwitchFault::StuckOff);
        load(bench, 10.0);
        bench.run_for(secs(5));
    }),
    alarm(Alarm::DeepDischarge, |bench| {
        start(bench);
        bench.level_one(3, 1.9);
        bench.run_for(secs(7));
    }),
    alarm(Alarm::Abuse, |bench| {
        start(bench);
        bench.level_one(3, 4.1);
        bench.run_for(secs(7));
    }),
    on(alarm(Alarm::WrongChemistry, |bench| bench.run_for(secs(1))), |spec| spec.soc = 1.06),
    configured(
        alarm(Alarm::PrechargeFailed, |bench| {
            bench.pack.plant_mut().set_load(Load::Ohms(1.0));
            bench.run_for(secs(60));
        }),
        |config| {
            let board = BoardDefinition { precharge: true, ..*config.board() };
            config.with_board(board)
        },
    ),
    alarm(Alarm::ResetHoldOff, |bench| {
        start(bench);
        bench.pack.reset(ResetCause::Watchdog);
        bench.run_for(secs(1));
    }),
    on(
        alarm(Alarm::TerminalMismatch, |bench| {
            ask(bench, Request::SetCharge(false));
            ask(bench, Request::SetDischarge(false));
            charge(bench, 5.0);
            bench.run_for(secs(2));
        }),
        |spec| spec.presence_inputs = false,
    ),
    alarm(Alarm::SelfTestFailed, |bench| {
        start(bench);
        bench.pack.plant_mut().set_self_test_failed(true);
        bench.run_for(secs(1));
    }),
    alarm(Alarm::StepLate, |bench| {
        start(bench);
        bench.inject(FaultKind::ClockAhead(5_000));
        bench.run_for(secs(1));
    }),
    alarm(Alarm::TimeWentBack, |bench| {
        bench.run_for(secs(10));
        bench.inject(FaultKind::ClockBack(5_000));
        bench.run_for(secs(1));
    }),
    alarm(Alarm::EmergencyStop, |bench| {
        start(bench);
        ask(bench, Request::EmergencyStop);
        bench.run_for(secs(1));
    }),
    alarm(Alarm::ChargeLockedOut, |bench| {
        start(bench);
        charge(bench, 110.0);
        bench.run_for(secs(30));
    }),
    alarm(Alarm::DischargeLockedOut, |bench| {
        start(bench);
        load(bench, 110.0);
        bench.run_for(secs(30));
    }),
    alarm(Alarm::HeaterIneffective, |bench| {
        at_temperature(bench, -5.0);
        charge(bench, 20.0);
        for _ in 0..190 {
            bench.pack.plant_mut().set_cell_temperature(-5.0);
            bench.run_for(secs(10));
        }
    }),
    alarm(Alarm::OutputFailed, |bench| {
        start(bench);
        bench.inject(FaultKind::WriteFails(Output::Balancer));
        bench.run_for(secs(1));
    }),
    alarm(Alarm::StorageCorrupt, |bench| {
        bench.pack.reset_with(Stored::Corrupt, ResetCause::PowerOn);
        bench.run_for(secs(1));
    }),
    alarm(Alarm::CountersCorrupt, |bench| {
        bench.pack.reset_with(Stored::CountersCorrupt, ResetCause::PowerOn);
        bench.run_for(secs(1));
    }),
];
