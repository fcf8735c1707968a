//! Runs the real image of `stm32-pack` in an emulated STM32F427, and checks what it does.

mod can;
mod exti;
mod image;
mod sim;

use std::path::Path;
use std::process::ExitCode;

use bms_core::prelude::*;
use emulated_bench::{About, CanFrame, Emulator, Fault, Happened, Seen};

use image::Firmware;
use sim::{Levels, REFERENCE_MV, Sim};

/// Positions of the multiplexer that are not cells.
const GROUND: usize = 30;
const HALF: usize = 31;

struct Stm32F427 {
    firmware: Firmware,
    sim: Option<Sim>,
    levels: Levels,
}

impl Stm32F427 {
    fn sim(&mut self) -> Result<&mut Sim, String> {
        self.sim.as_mut().ok_or_else(|| "no power".into())
    }
}

/// The board of `examples/stm32-pack/src/board.rs`: which voltage stands where, in mV.
fn levels(seen: &Seen) -> Levels {
    let millivolts = |volts: f64| (volts * 1e3).round().clamp(0.0, f64::from(REFERENCE_MV)) as u32;
    let thermistor = |celsius| millivolts(emulated_bench::thermistor(celsius) * 3.3);
    let mut levels = Levels::default();
    let mut below = 0.0;
    for (position, tap) in seen.taps.iter().enumerate() {
        // A wire that is cut: the amplifier's bias pulls its input to the one below.
        let tap = if *tap == 0.0 { below } else { *tap };
        // The differential amplifier's 0.4.
        levels.positions[position] = millivolts((tap - below) * 0.4);
        below = tap;
    }
    levels.positions[GROUND] = 0;
    levels.positions[HALF] = REFERENCE_MV / 2;
    // 100 µΩ × 50, half the reference at rest.
    levels.channels[1] = millivolts(1.65 + seen.current * 100e-6 * 50.0);
    levels.channels[3] = thermistor(seen.battery[0]);
    levels.channels[4] = thermistor(seen.battery[1]);
    levels.channels[5] = thermistor(seen.mos);
    levels.channels[6] = millivolts(seen.stack * 33.0 / 1_033.0);
    levels.charger = seen.charger;
    levels.key = seen.key;
    levels
}

impl Emulator for Stm32F427 {
    fn about(&self) -> About {
        About {
            chip: "STM32F427",
            firmware: "stm32-pack",
            emulator: "rigless 0.4.0",
            cells: 24,
            period: 100,
            watchdog: 500.0,
            // Instructions: this emulator counts those, not cycles.
            short_circuit_cycles: 400,
            megahertz: 48.0,
            configuration: || Config::lifepo4(24).with_model(Model::B2a24s20p).with_capacity(ah(280)),
        }
    }
    fn power_up(&mut self, parameters: &[(ParameterId, i32)]) -> Result<(), String> {
        self.sim = None;
        let image = self.firmware.with_parameters(parameters)?;
        let statics = self.firmware.symbol("__sheap")?.0;
        let top = self.firmware.symbol("_stack_start")?.0;
        self.sim = Some(Sim::start(image, self.levels.clone(), statics..top)?);
        Ok(())
    }
    fn show(&mut self, seen: &Seen) -> Result<(), String> {
        self.levels = levels(seen);
        match &mut self.sim {
            Some(sim) => sim.show(self.levels.clone()),
            None => Ok(()),
        }
    }
    fn run(&mut self, nanoseconds: u64) -> Result<Happened, String> {
        self.sim()?.run(nanoseconds)
    }
    fn link(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.sim()?.link(bytes)
    }
    fn can(&mut self, frame: CanFrame) -> Result<bool, String> {
        self.sim()?.can(frame)
    }
    fn short_circuit(&mut self) -> Result<Option<u64>, String> {
        self.sim()?.short_circuit()
    }
    fn short_circuit_over(&mut self) -> Result<(), String> {
        self.sim()?.comparator(false).map(|_| ())
    }
    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        match &mut self.sim {
            Some(sim) => sim.fault(fault),
            None => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    emulated_bench::main(|elf| {
        Ok(Stm32F427 { firmware: Firmware::read(Path::new(elf))?, sim: None, levels: Levels::default() })
    })
}
