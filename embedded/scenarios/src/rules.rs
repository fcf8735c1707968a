//! A few rules of the manual, asserted on the target itself.

use bms_core::prelude::*;

/// Name and test.
pub const RULES: [(&str, fn()); 5] = [
    ("d32_nothing_closes_before_a_complete_sample", nothing_closes_before_a_complete_sample),
    ("p01_p02_undervoltage_opens_discharge_until_all_recover", undervoltage),
    ("p03_p04_overvoltage_opens_charge_until_all_recover", overvoltage),
    ("p06_p07_charge_overcurrent_after_its_delay", charge_overcurrent),
    ("x21_emergency_stop_opens_everything", emergency_stop),
];

const PACK: ValidConfig = const {
    Config::lifepo4(16)
        .with_model(Model::B2a24s20p)
        .with_capacity(ah(280))
        .with_charge_limit(amps(10), secs(10))
        .with_profile(Profile::Manual)
        .validated()
};

/// A pack and its BMS, one sample every 100 ms.
struct Rig {
    bms: Bms,
    now: Instant,
    cells: [Voltage; 16],
    current: Current,
}

use bms_core::units::Current;
use bms_core::units::Voltage;

impl Rig {
    fn new() -> Self {
        Self { bms: Bms::new(PACK), now: Instant::from_millis(1_000), cells: [mv(3_300); 16], current: ma(-1_000) }
    }
    fn running() -> Self {
        let mut rig = Self::new();
        let command = rig.run(ms(20_000));
        assert!(command.charge.is_closed() && command.discharge.is_closed(), "a healthy pack must run");
        rig
    }
    fn run(&mut self, duration: Duration) -> Command {
        let end = self.now.after(duration);
        while self.now < end {
            self.now = self.now.after(ms(100));
            let mut sample = Sample::new();
            sample.cells = Group::at(self.now, Cells::from_voltages(&self.cells));
            sample.current = Group::at(self.now, self.current);
            sample.stack = Group::at(self.now, self.cells.iter().fold(mv(0), |sum, cell| sum.plus(*cell)));
            let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
            temperatures.battery[0] = Reading::Valid(deg_c(25));
            temperatures.battery[1] = Reading::Valid(deg_c(25));
            sample.temperatures = Group::at(self.now, temperatures);
            self.bms.step(self.now, Input::Sample(&sample));
        }
        self.bms.command()
    }
}

fn nothing_closes_before_a_complete_sample() {
    let mut rig = Rig::new();
    let mut sample = Sample::new();
    for _ in 0..100 {
        rig.now = rig.now.after(ms(100));
        sample.cells = Group::at(rig.now, Cells::from_voltages(&rig.cells));
        sample.current = Group::at(rig.now, rig.current);
        let command = rig.bms.step(rig.now, Input::Sample(&sample));
        assert_eq!((command.charge, command.discharge), (Switch::Open, Switch::Open));
    }
}

fn undervoltage() {
    let mut rig = Rig::running();
    rig.cells[7] = mv(2_700);
    assert!(rig.run(ms(1_000)).discharge.is_closed(), "equal is not below");
    rig.cells[7] = mv(2_699);
    let command = rig.run(ms(100));
    assert_eq!((command.charge, command.discharge), (Switch::Closed, Switch::Open));
    rig.cells[7] = mv(2_900);
    assert!(!rig.run(ms(1_000)).discharge.is_closed(), "equal is not above");
    rig.cells[7] = mv(2_901);
    assert!(rig.run(ms(1_000)).discharge.is_closed());
}

fn overvoltage() {
    let mut rig = Rig::running();
    rig.cells[15] = mv(3_600);
    assert!(rig.run(ms(1_000)).charge.is_closed(), "equal is not above");
    rig.cells[15] = mv(3_601);
    let command = rig.run(ms(100));
    assert_eq!((command.charge, command.discharge), (Switch::Open, Switch::Closed));
    rig.cells[15] = mv(3_500);
    assert!(!rig.run(ms(1_000)).charge.is_closed(), "equal is not below");
    rig.cells[15] = mv(3_499);
    assert!(rig.run(ms(1_000)).charge.is_closed());
}

fn charge_overcurrent() {
    let mut rig = Rig::running();
    rig.current = ma(10_001);
    assert!(rig.run(ms(10_000)).charge.is_closed(), "not before its delay");
    assert!(!rig.run(ms(100)).charge.is_closed(), "at the first step at which the delay is over");
    rig.current = ma(0);
    assert!(!rig.run(ms(59_900)).charge.is_closed(), "the release counts from the alarm");
    assert!(rig.run(ms(1_000)).charge.is_closed());
}

fn emergency_stop() {
    let mut rig = Rig::running();
    assert_eq!(rig.bms.request(Request::EmergencyStop), Ok(()));
    let command = rig.run(ms(100));
    assert_eq!((command.charge, command.discharge), (Switch::Open, Switch::Open));
    assert!(!rig.run(ms(60_000)).discharge.is_closed());
}

#[cfg(test)]
mod tests {
    #[test]
    fn rules_hold_on_the_host() {
        for (_, rule) in super::RULES {
            rule();
        }
    }
}
