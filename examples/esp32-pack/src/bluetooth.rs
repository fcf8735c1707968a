//! Battery protection on an ESP32-C3 that owners' tools find by Bluetooth: the board of `esp32-pack`, and the radio.
//!
//! Protection and links are two tasks of one executor, so that nothing needs a lock: neither holds the core across a wait.
//! The radio's own tasks may run in between; the short-circuit interrupt is above them all, and the watchdog behind.
#![no_std]
#![no_main]

mod board;
mod desk;

use core::cell::RefCell;

use bms_bluetooth::{Resources, serve};
use bms_core::prelude::*;
use bms_esp32::reset_cause;
use bms_hal::{ParameterBlock, RetainedSnapshot};
use bms_wire::ble::Peripheral;
use bms_wire::native::Layout;
use bt_hci::controller::ExternalController;
use desk::Desk;
use embassy_futures::join::join;
use embassy_time::{Duration as Time, Ticker, Timer};
use esp_hal::peripherals::BT;
use esp_hal::timer::timg::TimerGroup;
use esp_radio::ble::controller::BleConnector;
use esp32_pack_logic::{Core, Parameters};

esp_bootloader_esp_idf::esp_app_desc!();

/// What a production tool may change without a new build.
#[unsafe(no_mangle)]
static BMS_PARAMETERS: Parameters = ParameterBlock::EMPTY;
/// Survives resets, not the loss of power.
#[unsafe(link_section = ".rtc_fast.persistent")]
static RETAINED: RetainedSnapshot = RetainedSnapshot::new();

#[esp_rtos::main]
async fn main(_spawner: embassy_executor::Spawner) -> ! {
    let p = esp_hal::init(esp_hal::Config::default());
    // First of all: both gates open, and the comparator's interrupt on.
    let switches = board::gates(p.GPIO6, p.GPIO7, p.GPIO5, p.IO_MUX);
    let cause = reset_cause();
    let mut watchdog = board::watchdog(p.TIMG1);
    let (config, stored) = esp32_pack_logic::settings(&BMS_PARAMETERS, &RETAINED, cause);
    let adc = board::adc(p.ADC1, (p.GPIO0, p.GPIO1, p.GPIO2, p.GPIO3, p.GPIO4));
    let taps = board::taps(&adc, [p.GPIO10.into(), p.GPIO18.into(), p.GPIO19.into(), p.GPIO20.into()]);
    let sampler = board::sampler(&adc, &taps, &config, p.GPIO8);
    let pack = Board::new(sampler, switches, board::CLOCK).with_power(board::power(p.GPIO9));
    let mut bms = Driver::new(Core::without_balancer(config), pack);
    bms.bms_mut().restore(stored, cause);
    // The radio's needs: a heap and a scheduler. The protection uses neither.
    esp_alloc::heap_allocator!(size: 64 * 1024);
    esp_rtos::start(TimerGroup::new(p.TIMG0).timer0, p.FROM_CPU_INTR0);

    let desk = RefCell::new(Desk::new(bms, p.GPIO21));
    let protecting = async {
        let mut tick = Ticker::every(Time::from_millis(1));
        loop {
            if let Some(token) = desk.borrow_mut().protect(&RETAINED) {
                watchdog.feed(token);
            }
            tick.next().await;
        }
    };
    join(protecting, linking(p.BT, &desk)).await;
    board::fail_safe()
}

/// The radio. When it fails it is started anew; the pack is protected all the same.
async fn linking(mut radio: BT<'static>, desk: &RefCell<impl bms_wire::board::Board>) {
    // JK02_32S; what is shown is open to all, as clients want it, changes are not.
    let mut peripheral = Peripheral::new(Layout::S32, bms_core::access::Reading::Open);
    let mut resources = Resources::new();
    let address = esp_hal::efuse::base_mac_address();
    loop {
        if let Ok(connector) = BleConnector::new(radio.reborrow(), Default::default()) {
            let controller = ExternalController::<_, 8>::new(connector);
            let mut bytes = [0; 6];
            bytes.copy_from_slice(address.as_bytes());
            let _ended = serve(controller, &mut resources, bytes, board::CLOCK, &mut peripheral, desk).await;
        }
        Timer::after_secs(5).await;
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    board::fail_safe()
}
