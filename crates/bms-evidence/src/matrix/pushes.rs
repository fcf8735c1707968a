//! Ways to push a pack over each of its limits while a fault is there.

use bms_host::plant::{Charger, Load};

use crate::bench::Bench;

/// One push.
pub struct Push {
    /// Its name in the tables.
    pub name: &'static str,
    /// Begins it.
    pub begin: fn(&mut Bench),
}

const fn push(name: &'static str, begin: fn(&mut Bench)) -> Push {
    Push { name, begin }
}

/// **The table of pushes.**
pub const PUSHES: [Push; 11] = [
    push("none", |_| {}),
    push("charged over the limit", |bench| {
        bench.level(3.55);
        bench.pack.plant_mut().set_load(Load::None);
        bench.pack.plant_mut().set_charger(Some(Charger { voltage: 70.0, current: 60.0 }));
    }),
    push("one cell over the limit", |bench| {
        bench.level_one(6, 3.70);
        bench.pack.plant_mut().set_load(Load::None);
        bench.pack.plant_mut().set_charger(Some(Charger { voltage: 58.0, current: 20.0 }));
    }),
    push("discharged below the limit", |bench| {
        bench.level(2.75);
        bench.pack.plant_mut().set_charger(None);
        bench.pack.plant_mut().set_load(Load::Current(60.0));
    }),
    push("one cell below the limit", |bench| {
        bench.level_one(9, 2.65);
        bench.pack.plant_mut().set_charger(None);
        bench.pack.plant_mut().set_load(Load::Current(20.0));
    }),
    push("overload", |bench| {
        bench.pack.plant_mut().set_charger(None);
        bench.pack.plant_mut().set_load(Load::Current(320.0));
    }),
    push("charger too strong", |bench| {
        bench.pack.plant_mut().set_load(Load::None);
        bench.pack.plant_mut().set_charger(Some(Charger { voltage: 60.0, current: 170.0 }));
    }),
    push("battery hot", |bench| bench.pack.plant_mut().set_cell_temperature(70.0)),
    push("battery cold", |bench| bench.pack.plant_mut().set_cell_temperature(-15.0)),
    push("switches hot", |bench| bench.pack.plant_mut().set_mos_temperature(95.0)),
    push("short circuit", |bench| bench.pack.plant_mut().set_short_circuit(Some(0.01))),
];
