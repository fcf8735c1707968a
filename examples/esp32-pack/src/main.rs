//! Battery protection on an ESP32-C3: thirteen LiFePO4 cells, short circuit by interrupt, status on the UART.
#![no_std]
#![no_main]

mod board;
mod status;

use bms_core::prelude::*;
use bms_esp32::reset_cause;
use bms_hal::{ParameterBlock, RetainedSnapshot};
use esp32_pack_logic::{Core, Parameters};

esp_bootloader_esp_idf::esp_app_desc!();

/// What a production tool may change without a new build.
#[unsafe(no_mangle)]
static BMS_PARAMETERS: Parameters = ParameterBlock::EMPTY;
/// Survives resets, not the loss of power.
#[unsafe(link_section = ".rtc_fast.persistent")]
static RETAINED: RetainedSnapshot = RetainedSnapshot::new();

#[esp_hal::main]
fn main() -> ! {
    let p = esp_hal::init(esp_hal::Config::default());
    // First of all: both gates open, and the comparator's interrupt on.
    let switches = board::gates(p.GPIO6, p.GPIO7, p.GPIO5, p.IO_MUX);
    let cause = reset_cause();
    let watchdog = board::watchdog(p.TIMG1);
    let (config, stored) = esp32_pack_logic::settings(&BMS_PARAMETERS, &RETAINED, cause);
    let adc = board::adc(p.ADC1, (p.GPIO0, p.GPIO1, p.GPIO2, p.GPIO3, p.GPIO4));
    let taps = board::taps(&adc, [p.GPIO10.into(), p.GPIO18.into(), p.GPIO19.into(), p.GPIO20.into()]);
    let sampler = board::sampler(&adc, &taps, &config, p.GPIO8);
    let pack = Board::new(sampler, switches, board::CLOCK).with_power(board::power(p.GPIO9));
    let mut uart = status::uart(p.UART0, p.GPIO21);
    let mut bms = Driver::new(Core::without_balancer(config), pack);
    bms.bms_mut().restore(stored, cause);
    status::start_tick(p.TIMG0);
    let send = |line: &mut _| status::send(&mut uart, line);
    esp32_pack_logic::run(bms, &RETAINED, watchdog, send, status::wait_for_interrupt)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    board::fail_safe()
}
