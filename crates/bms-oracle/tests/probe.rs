//! scratch
use bms_core::prelude::*;
use bms_core::measurement::*;
struct S { now: u64, cells: Vec<i32>, current: i32, t: [i32; 2], count: Option<u8>, short: bool }
fn conf(p: Profile) -> ValidConfig {
    Config::lifepo4(4).with_charge_limit(amps(50), ms(30_000)).with_discharge_limit(amps(100), ms(30_000)).with_profile(p).validate().unwrap()
}
impl S {
    fn new() -> Self { S { now: 1000, cells: vec![3_300_000; 4], current: 0, t: [250; 2], count: None, short: false } }
    fn sample(&self) -> Sample {
        let at = Instant::from_millis(self.now);
        let mut s = Sample::new();
        let v: Vec<_> = self.cells.iter().map(|c| uv(*c)).collect();
        let mut c = Cells::from_voltages(&v);
        if let Some(n) = self.count { c = Cells::new(n); for i in 0..usize::from(n) { c.set(i, uv(3_300_000)) } }
        s.cells = Group::at(at, c);
        s.current = Group::at(at, ma(self.current));
        s.temperatures = Group::at(at, Temperatures { battery: [Reading::Valid(Temperature::from_tenths(self.t[0])), Reading::NotMeasured, Reading::NotMeasured, Reading::NotMeasured, Reading::NotMeasured], mos: Reading::Valid(Temperature::from_tenths(self.t[1])) });
        s.inputs = Group::at(at, Inputs { short_circuit: self.short, ..Inputs::default() });
        s.stack = Group::at(at, uv(self.cells.iter().sum()));
        s
    }
    fn step(&mut self, bms: &mut Bms, period: u64) {
        self.now += period;
        let s = self.sample();
        let c = bms.step(Instant::from_millis(self.now), Input::Sample(&s));
        while let Some(e) = bms.poll_event() { println!("   {} {:?}", self.now, e.kind) }
        let _ = c;
    }
}
#[test]
fn probe() {
    for period in [50u64, 100, 200, 500, 700, 1000] {
        let mut b = Bms::new(conf(Profile::Manual)); let mut s = S::new();
        s.now += 100; let x = s.sample(); b.step(Instant::from_millis(s.now), Input::Sample(&x));
        s.short = true; let t0 = s.now + period; let mut first = None;
        for _ in 0..2000 { s.now += period; let x = s.sample(); let c = b.step(Instant::from_millis(s.now), Input::Sample(&x)); if c.clear_latch && first.is_none() { first = Some(s.now - t0) } }
        println!("period {period} clear_latch at {first:?}");
    }
    for charger in [None, Some(false), Some(true)] { for cur in [0, 200, 201, 60000] {
        let mut b = Bms::new(conf(Profile::Manual)); let mut s = S::new(); s.cells = vec![2_500_000; 4]; s.current = cur;
        let mut at = None;
        for _ in 0..1000 { s.now += 100; let mut x = s.sample(); x.inputs = Group::at(Instant::from_millis(s.now), Inputs { charger, ..Inputs::default() }); b.step(Instant::from_millis(s.now), Input::Sample(&x)); if b.alarms().contains(Alarm::AutoShutdown) && at.is_none() { at = Some(s.now) } }
        println!("charger {charger:?} current {cur}: shutdown {at:?}");
    } }
}
