//! The conformance kit's test bench over a simulated pack.

use bms_core::balancing::{BalancerKind, Phase, Plan};
use bms_core::command::Power;
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::Current;

use super::MockPack;
use crate::conformance::{Bench, Condition, Observed};
use crate::plant::Thermistor;

impl Bench for MockPack {
    fn now(&self) -> Instant {
        MockPack::now(self)
    }
    fn wait(&mut self, duration: Duration) {
        self.advance(duration);
    }
    fn provoke(&mut self, condition: Condition) -> bool {
        let until = MockPack::now(self).after(secs(3_600));
        let mut plant = self.plant();
        match condition {
            Condition::Current(current) => {
                plant.dictated().current = Some(f64::from(current.as_milliamps()) * 1e-3);
            }
            Condition::CurrentBeyondRange => {
                let beyond = plant.spec().current_range * 2.0;
                plant.dictated().current = Some(beyond);
            }
            Condition::Cell(cell, voltage) => {
                let cells = &mut plant.dictated().cells;
                let index = usize::from(cell);
                if cells.len() <= index {
                    cells.resize(index + 1, None);
                }
                if let Some(slot) = cells.get_mut(index) {
                    *slot = Some(f64::from(voltage.as_microvolts()) * 1e-6);
                }
            }
            Condition::ThermistorOpen(index, open) => {
                let state = if open { Thermistor::Open } else { Thermistor::Fitted };
                plant.set_thermistor(usize::from(index), state);
            }
            Condition::ShortCircuit(present) => plant.hold_comparator(present),
            Condition::Balancing(true) => {
                let able = plant.balancer_capabilities();
                let current = able.maximum_current;
                let plan = match able.kind {
                    BalancerKind::Transfer => {
                        Plan::Transfer { source: 0, destination: 1, phase: Phase::Take, current, until }
                    }
                    BalancerKind::Shuttle => Plan::Shuttle { source: 0, destination: 1, current, until },
                    BalancerKind::Bleed => Plan::Bleed { mask: 1, until },
                };
                return plant.balance(&plan).is_ok();
            }
            Condition::Balancing(false) => return plant.balance(&Plan::Idle).is_ok(),
            Condition::SensingBroken(broken) => {
                drop(plant);
                self.set_sensing_broken(broken);
            }
            Condition::GatesUnpowered(true) => {
                plant.power(Power::Release);
                drop(plant);
                self.advance(ms(1));
            }
            Condition::GatesUnpowered(false) => {
                plant.set_activation(true);
                plant.advance(ms(1));
                plant.set_activation(false);
            }
        }
        true
    }
    fn observe(&mut self) -> Observed {
        let mut plant = self.plant();
        let (charge, discharge) = plant.switches();
        Observed {
            charge: Some(charge),
            discharge: Some(discharge),
            both_conducted: Some(plant.take_both_conducted()),
            balance_current: Some(Current::from_milliamps((plant.balance_current().abs() * 1e3).round() as i32)),
            heater: Some(plant.heater_on()),
            precharge: Some(plant.precharge_on()),
            power_held: Some(plant.powered()),
            fired: Some(plant.fuse_blown()),
        }
    }
}
