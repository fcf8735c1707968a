//! The board logic of `esp32-pack`, whole, on QEMU's generic RISC-V machine: what its image has of the ESP32-C3 is here the machine's.
#![no_std]
#![no_main]

mod machine;

use core::cell::RefCell;

use bms_core::prelude::*;
use bms_hal::{Gates, HealthyWatchdog, ParameterBlock, PowerHold, Unchecked};
use esp32_pack_logic::{Core, Parameters};
use machine::{CHARGE, DISCHARGE, Input, MachineClock, Output, POWER_HOLD};

#[unsafe(no_mangle)]
static BMS_PARAMETERS: Parameters = ParameterBlock::EMPTY;
static GATES: Gates<Output, Output, Input> = Gates::new();

/// The comparator's interrupt.
fn short_circuit() {
    GATES.trip();
}

#[riscv_rt::entry]
fn main() -> ! {
    let cause = machine::start();
    let retained = machine::retained();
    let Ok(switches) = GATES.install(Output::low(CHARGE), Output::low(DISCHARGE), machine::COMPARATOR, Unchecked)
    else {
        machine::halt()
    };
    let Ok(power) = PowerHold::new(Output::high(POWER_HOLD)) else { machine::halt() };
    let watchdog = HealthyWatchdog::new(machine::start_watchdog(esp32_pack_logic::WATCHDOG));
    let (config, stored) = esp32_pack_logic::settings(&BMS_PARAMETERS, retained, cause);
    let adc = RefCell::new(machine::Converter);
    let taps = esp32_pack_logic::taps(&adc, machine::select_lines(), machine::Delay);
    let sampler = esp32_pack_logic::sampler(MachineClock, &adc, &taps, &GATES, machine::CHARGER, &config);
    let pack = Board::new(sampler, switches, MachineClock).with_power(power);
    let mut bms = Driver::new(Core::without_balancer(config), pack);
    bms.bms_mut().restore(stored, cause);
    machine::start_interrupts();
    esp32_pack_logic::run(bms, retained, watchdog, |line| machine::uart(line.next(11)), machine::wait_for_interrupt)
}
