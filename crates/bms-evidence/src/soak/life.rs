//! What happens to a pack.

use bms_core::bms::Request;
use bms_core::config::{Chemistry, Config, ParameterId as P, Profile, Topology};
use bms_core::snapshot::ResetCause;
use bms_core::time::ms;
use bms_host::fault::{Channel, Fault, FaultKind as K, Output};
use bms_host::plant::{Charger, Load};

use super::laws::{Defeats, Hidden, Laws};
use super::{Dice, Totals};
use crate::bench::{Bench, CELLS, config};
use crate::truth::Watch;

/// The names of the kinds of faults in [`Totals::faults`].
pub const KINDS: [&str; 7] = ["lost or silent", "late", "noisy", "wrong values", "clock", "outputs", "slow outputs"];

/// A board, mostly the manual's.
pub(super) fn configuration(dice: &mut Dice, period: u32) -> Config {
    let chemistry = dice.pick(&[Chemistry::LiFePo4, Chemistry::LiFePo4, Chemistry::LiIon, Chemistry::Lto]);
    let mut board = *config().board();
    if dice.one_in(4) {
        board.topology = dice.pick(&[Topology::SeparatePorts, Topology::Contactors]);
    }
    board.precharge = dice.one_in(4);
    let made = config().with_preset(chemistry).with_board(board);
    let made = if dice.one_in(6) { made.with_profile(Profile::Manual) } else { made };
    let period = made.with(P::SamplePeriod, i32::try_from(period).unwrap_or(i32::MAX));
    // The heater's limits depend on the voltage; without one where the preset's do not fit.
    if period.validate().is_ok() { period } else { period.with(P::HeaterResistance, 0) }
}

/// What people do with a pack.
pub(super) fn use_pack(dice: &mut Dice, bench: &mut Bench, period: u32) {
    let full = f64::from(bench.pack.bms().config().get(P::CellOvervoltageProtection)) * 1e-6 * CELLS as f64;
    let plant = bench.pack.plant_mut();
    plant.set_activation(false);
    match dice.below(13) {
        0..=2 => {
            plant.set_load(Load::None);
            plant.set_charger(Some(Charger {
                voltage: full * dice.between(0.9, 1.05),
                current: dice.between(1.0, 90.0),
            }));
        }
        3..=5 => {
            plant.set_charger(None);
            plant.set_load(Load::Current(dice.between(1.0, 90.0)));
        }
        6 | 7 => {
            plant.set_charger(None);
            plant.set_load(Load::None);
        }
        8 => {
            plant.set_charger(None);
            plant.set_load(Load::Current(dice.between(90.0, 340.0)));
        }
        9 => {
            plant.set_load(Load::None);
            plant.set_charger(Some(Charger { voltage: full * 1.1, current: dice.between(90.0, 200.0) }));
        }
        10 => plant.set_cell_temperature(dice.between(-25.0, 75.0)),
        11 => {
            // A sun and a house at once.
            plant.set_charger(Some(Charger { voltage: full, current: dice.between(1.0, 60.0) }));
            let (on, off) = (dice.between(10.0, 80.0), dice.between(-20.0, 10.0));
            // Not faster than the samples, whose currents are means: a diode's bypass (X12) follows them.
            let period_ms = period * 20 + dice.below(60_000) as u32;
            plant.set_load(Load::Pulsed { on, off, period_ms, duty_permille: 400 });
        }
        _ => {
            let cell = dice.below(CELLS as u64) as usize;
            plant.set_soc(cell, dice.between(0.0, 1.03));
            plant.set_mos_temperature(dice.between(10.0, 90.0));
        }
    }
}

/// A fault that passes.
pub(super) fn inject(dice: &mut Dice, bench: &mut Bench, period: u32, totals: &mut Totals) -> Hidden {
    let channel = dice.pick(&Channel::ALL);
    let mut hidden = Hidden { steps: 1 + dice.below(300), ..Hidden::NOTHING };
    let cell = dice.below(CELLS as u64) as u8;
    let (group, kind) = match dice.below(12) {
        0 => (0, K::Lost(channel)),
        1 => (0, K::Silent(channel)),
        2 => (0, dice.pick(&[K::SamplerLost, K::SamplerSilent])),
        3 => (1, K::Late { channel, by_ms: period.saturating_mul(1 + dice.below(60) as u32) }),
        4 => (2, K::Noise { channel: Channel::Stack, amplitude: 100_000 }),
        5 => (3, K::CellInvalid(cell)),
        6 => (3, K::CellCount(dice.below(20) as u8)),
        7 => (3, dice.pick(&[K::TemperatureInvalid(0), K::TemperatureInvalid(1), K::MosTemperatureInvalid])),
        // The manual to the letter has nothing that would notice it.
        8 if bench.pack.bms().config().profile() == Profile::Default => {
            (3, K::CellValue { cell, microvolts: dice.pick(&[0, 500_000, 4_990_000]) })
        }
        8 | 9 => (4, dice.pick(&[K::ClockAhead(5_000), K::ClockAhead(4_000_000_000), K::ClockBack(3_000)])),
        10 => {
            let output = dice.pick(&[Output::Switches, Output::Balancer, Output::Heater, Output::Precharge]);
            hidden.defeats = if output == Output::Switches { Defeats::Switches } else { Defeats::Others };
            (5, K::WriteFails(output))
        }
        _ => {
            let by_ms = 1 + dice.below(2 * u64::from(period)) as u32;
            // Carried out at the first write after that.
            hidden.slow_ms = by_ms + 2 * period;
            (6, K::WriteSlow { output: dice.pick(&[Output::Switches, Output::Balancer, Output::Heater]), by_ms })
        }
    };
    totals.faults[group] += 1;
    hidden.blinds_stack = group <= 2
        && (channel == Channel::Stack || matches!(kind, K::SamplerLost | K::SamplerSilent))
        || matches!(kind, K::Noise { .. });
    let length = ms(u32::try_from(hidden.steps).unwrap_or(1).saturating_mul(period));
    let now = bench.now();
    bench.pack.faults().clear();
    bench.pack.faults().add(Fault::during(now, length, kind));
    hidden
}

/// What else happens to the core.
pub(super) fn ask(dice: &mut Dice, bench: &mut Bench, totals: &mut Totals, laws: &mut Laws) {
    let mut request = |request| {
        if bench.pack.request(request).is_ok() {
            laws.asked(request);
        }
    };
    match dice.below(9) {
        0 | 1 => {
            totals.resets += 1;
            let causes = [ResetCause::PowerOn, ResetCause::BrownOut, ResetCause::Watchdog, ResetCause::Unknown];
            bench.pack.reset(dice.pick(&causes));
            laws.restarted();
        }
        2 | 3 => {
            let config = *bench.pack.bms().config();
            let parameter = dice.pick(&[
                P::CellOvervoltageProtection,
                P::CellUndervoltageProtection,
                P::ChargeOvercurrentDelay,
                P::DischargeOvercurrentDelay,
                P::ChargeOvercurrentProtection,
                P::DischargeOvercurrentProtection,
                P::TemperatureDelay,
                P::CellOvervoltageDelay,
                P::BalanceTrigger,
            ]);
            let value = (f64::from(config.get(parameter)) * dice.between(0.9, 1.1)) as i32;
            if bench.pack.set_parameter(parameter, value).is_ok() {
                totals.changes += 1;
                laws.changed();
                // Other limits from here on.
                bench.watch = Watch::new();
            }
        }
        4 => request(Request::ClearLockout),
        5 => request(Request::ClearPermanent),
        6 => request(dice.pick(&[Request::EmergencyStop, Request::ResetEmergencyStop])),
        7 => request(dice.pick(&[Request::TestWires, Request::SetBalance(false), Request::SetBalance(true)])),
        _ => {
            request(dice.pick(&[Request::SetCharge(false), Request::SetDischarge(false)]));
            request(Request::SetCharge(true));
            request(Request::SetDischarge(true));
            request(Request::ResetEmergencyStop);
        }
    }
}

/// The pack is disconnected and switched off.
pub(super) fn put_away(bench: &mut Bench) {
    let plant = bench.pack.plant_mut();
    plant.set_charger(None);
    plant.set_load(Load::None);
    // A refusal leaves it awake.
    let _ = bench.pack.request(Request::Shutdown);
}

/// An hour to two months with the board off; then a charger wakes it. Gives the time, ms.
pub(super) fn rest(dice: &mut Dice, bench: &mut Bench, totals: &mut Totals) -> u64 {
    // Short ones are as frequent as long ones.
    let most = dice.pick(&[24, 24 * 7, 24 * 60]);
    let hours = 1 + dice.below(most);
    for _ in 0..hours {
        let until = bench.now().after(ms(3_600_000));
        bench.pack.pass_until(until);
    }
    let plant = bench.pack.plant_mut();
    let full = plant.spec().cells;
    plant.set_charger(Some(Charger { voltage: f64::from(full) * 4.5, current: dice.between(5.0, 50.0) }));
    plant.set_activation(true);
    totals.rests += 1;
    hours * 3_600_000
}
