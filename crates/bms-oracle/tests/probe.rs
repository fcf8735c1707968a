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
    for a in [0, 1] {
        let mut b = Bms::new(conf(Profile::Default));
        let mut s = S::new();
        println!("case {a}");
        for k in 0..150 {
            let dt = if k == 11 { 1001 } else { 100 };
            s.now += dt;
            let mut x = s.sample();
            if let Group::Measured { value, .. } = &mut x.temperatures {
                value.battery[1] =
                    if k > 10 { Reading::Valid(Temperature::from_tenths(-451)) } else { Reading::Valid(deg_c(25)) };
                if a == 1 && k >= 10 && k < 21 {
                    value.battery[0] = Reading::Invalid
                }
            }
            b.step(Instant::from_millis(s.now), Input::Sample(&x));
            while let Some(e) = b.poll_event() {
                println!("   {} k {k} {:?}", s.now, e.kind)
            }
        }
    }
}
