//! scratch
use bms_core::measurement::*;
use bms_core::prelude::*;
struct S {
    now: u64,
    cells: Vec<i32>,
    current: i32,
    t: [i32; 2],
    count: Option<u8>,
    short: bool,
}
fn conf(p: Profile) -> ValidConfig {
    Config::lifepo4(4)
        .with_charge_limit(amps(50), ms(30_000))
        .with_discharge_limit(amps(100), ms(30_000))
        .with_profile(p)
        .validate()
        .unwrap()
}
impl S {
    fn new() -> Self {
        S { now: 1000, cells: vec![3_300_000; 4], current: 0, t: [250; 2], count: None, short: false }
    }
    fn sample(&self) -> Sample {
        let at = Instant::from_millis(self.now);
        let mut s = Sample::new();
        let v: Vec<_> = self.cells.iter().map(|c| uv(*c)).collect();
        let mut c = Cells::from_voltages(&v);
        if let Some(n) = self.count {
            c = Cells::new(n);
            for i in 0..usize::from(n) {
                c.set(i, uv(3_300_000))
            }
        }
        s.cells = Group::at(at, c);
        s.current = Group::at(at, ma(self.current));
        s.temperatures = Group::at(
            at,
            Temperatures {
                battery: [
                    Reading::Valid(Temperature::from_tenths(self.t[0])),
                    Reading::NotMeasured,
                    Reading::NotMeasured,
                    Reading::NotMeasured,
                    Reading::NotMeasured,
                ],
                mos: Reading::Valid(Temperature::from_tenths(self.t[1])),
            },
        );
        s.inputs = Group::at(at, Inputs { short_circuit: self.short, ..Inputs::default() });
        s.stack = Group::at(at, uv(self.cells.iter().sum()));
        s
    }
    fn step(&mut self, bms: &mut Bms, period: u64) {
        self.now += period;
        let s = self.sample();
        let c = bms.step(Instant::from_millis(self.now), Input::Sample(&s));
        while let Some(e) = bms.poll_event() {
            println!("   {} {:?}", self.now, e.kind)
        }
        let _ = c;
    }
}
#[test]
fn probe() {
    use bms_core::config::ParameterId as P;
    for kind in 0..3 {
        println!("stack kind {kind}");
        let mut b = Bms::new(conf(Profile::Default));
        let mut s = S::new();
        for k in 0..600 {
            s.now += 100;
            let mut x = s.sample();
            if k > 20 {
                x.stack = match kind {
                    0 => Group::NotMeasured,
                    1 => Group::Failed,
                    _ => {
                        if k % 2 == 0 {
                            Group::Failed
                        } else {
                            Group::NotMeasured
                        }
                    }
                }
            }
            b.step(Instant::from_millis(s.now), Input::Sample(&x));
            while let Some(e) = b.poll_event() {
                println!("   {} {:?}", s.now, e.kind)
            }
        }
    }
    println!("spread delays");
    let c = conf(Profile::Default)
        .to_config()
        .with(P::CellSpreadProtection, 500_000)
        .with(P::TemperatureSpreadProtection, 200)
        .with(P::PackOvervoltageProtection, 14_000_000)
        .with(P::PackOvervoltageRecovery, 13_800_000)
        .with(P::CellOvervoltageDelay, 700)
        .with(P::CellUndervoltageDelay, 900)
        .with(P::TemperatureDelay, 1500)
        .validate()
        .unwrap();
    let mut b = Bms::new(c);
    let mut s = S::new();
    for k in 0..60 {
        s.now += 100;
        if k == 10 {
            s.cells[0] = 2_700_100
        }
        let mut x = s.sample();
        if let Group::Measured { value, .. } = &mut x.temperatures {
            value.battery[1] = Reading::Valid(deg_c(if k > 10 { 50 } else { 25 }));
        }
        b.step(Instant::from_millis(s.now), Input::Sample(&x));
        while let Some(e) = b.poll_event() {
            println!("   {} {:?}", s.now, e.kind)
        }
    }
    println!("lockout after shutdown");
    let mut b = Bms::new(conf(Profile::Default).to_config().with(P::RetryLimit, 1).validate().unwrap());
    let mut s = S::new();
    s.step(&mut b, 100);
    s.current = 76_000;
    for _ in 0..20 {
        s.step(&mut b, 100);
    }
    s.current = 0;
    for _ in 0..20 {
        s.step(&mut b, 100);
    }
    println!("shutdown");
    b.request(Request::Shutdown).unwrap();
    for _ in 0..200 {
        s.step(&mut b, 100);
    }
}
