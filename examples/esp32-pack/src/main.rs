//! Battery protection on an ESP32-C3: thirteen LiFePO4 cells, short circuit by interrupt, status on the UART.
#![no_std]
#![no_main]

mod board;
mod status;

use bms_core::fittings::Unbalanced;
use bms_core::prelude::*;
use bms_esp32::reset_cause;
use bms_hal::text::Line;
use bms_hal::{ParameterBlock, RetainedSnapshot};

esp_bootloader_esp_idf::esp_app_desc!();

// An impossible limit does not compile.
const PACK: ValidConfig = const {
    let pack = Config::lifepo4(board::CELLS as u8).with_model(Model::B2a24s15p).with_capacity(ah(100));
    pack.with_board(board::DEFINITION).validated()
};
/// What a production tool may change without a new build.
#[unsafe(no_mangle)]
static BMS_PARAMETERS: ParameterBlock<32> = ParameterBlock::EMPTY;
/// Survives resets, not the loss of power.
#[unsafe(link_section = ".rtc_fast.persistent")]
static RETAINED: RetainedSnapshot = RetainedSnapshot::new();

#[esp_hal::main]
fn main() -> ! {
    let p = esp_hal::init(esp_hal::Config::default());
    // First of all: both gates open, and the comparator's interrupt on.
    let switches = board::gates(p.GPIO6, p.GPIO7, p.GPIO5, p.IO_MUX);
    let cause = reset_cause();
    let mut watchdog = board::watchdog(p.TIMG1);
    let (config, stored) = match BMS_PARAMETERS.apply(PACK) {
        Ok(config) => (config, RETAINED.load(cause)),
        Err(_) => (PACK, Stored::Corrupt),
    };
    let adc = board::adc(p.ADC1, (p.GPIO0, p.GPIO1, p.GPIO2, p.GPIO3, p.GPIO4));
    let taps = board::taps(&adc, [p.GPIO10.into(), p.GPIO18.into(), p.GPIO19.into(), p.GPIO20.into()]);
    let sampler = board::sampler(&adc, &taps, &config, p.GPIO8);
    let pack = Board::new(sampler, switches, board::CLOCK).with_power(board::power(p.GPIO9));
    let mut uart = status::uart(p.UART0, p.GPIO21);
    let mut bms = Driver::new(Unbalanced::<{ board::CELLS }>::without_balancer(config), pack);
    bms.bms_mut().restore(stored, cause);

    let mut line = Line::<384>::new();
    let mut next_line = Instant::ZERO;
    status::start_tick(p.TIMG0);
    loop {
        match bms.poll() {
            Ok(step) => {
                RETAINED.store(&bms.bms().snapshot());
                // Only a completed, in-time, healthy step has a token.
                if let Some(token) = step.watchdog {
                    watchdog.feed(token);
                }
                if step.at >= next_line && line.is_sent() {
                    next_line = step.at.after(secs(1));
                    line.write_status(&bms.status());
                }
            }
            Err(_nothing_to_do) => status::wait_for_interrupt(),
        }
        while let Some(event) = bms.poll_event() {
            if event.kind == EventKind::ShuttingDown {
                bms.bms_mut().snapshot_stored();
            }
        }
        status::send(&mut uart, &mut line);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    board::fail_safe()
}
