//! Battery protection on a Raspberry Pi Pico: eight LiFePO4 cells, short circuit by interrupt, status on one UART, the
//! protocol of owners' tools on the other.

#![no_std]
#![no_main]

mod board;
mod storage;

use core::pin::pin;

use bms_core::fittings::{HeaterFitted, Unbalanced};
use bms_core::port::Clock;
use bms_core::prelude::*;
use bms_hal::text::Line;
use bms_hal::{HealthyWatchdog, ParameterBlock, RetainedSnapshot};
use bms_rp2040::{Rp2040Watchdog, reset_cause};
use bms_store::{AccessBytes, Loaded, poll_once};
use bms_wire::station::{Serial, Station};
use embassy_time::Duration as Time;

// An impossible limit does not compile.
const PACK: ValidConfig = const {
    let pack = Config::lifepo4(board::CELLS as u8).with_model(Model::B2a8s20p).with_capacity(ah(100));
    pack.with_board(board::DEFINITION).with(ParameterId::HeaterResistance, 10_000_000).validated()
};
/// No balancer and no precharge path on this board.
type Core = Unbalanced<{ board::CELLS }, HeaterFitted>;
/// What a production tool may change without a new build.
#[unsafe(no_mangle)]
static BMS_PARAMETERS: ParameterBlock<32> = ParameterBlock::EMPTY;
/// Survives resets, not the loss of power: newer than the flash.
#[unsafe(link_section = ".uninit.snapshot")]
static RETAINED: RetainedSnapshot = RetainedSnapshot::new();

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    // First of all: both gates open, and the comparator's interrupt on.
    let switches = board::gates(p.PIN_2, p.PIN_3, p.PIN_4);
    let cause = reset_cause();
    let mut watchdog = HealthyWatchdog::new(Rp2040Watchdog::start(p.WATCHDOG, Time::from_millis(500)));
    let period = sample_period();
    let adc = board::adc(p.ADC, p.PIN_26, p.PIN_27);
    let taps = board::taps(&adc, [p.PIN_10.into(), p.PIN_11.into(), p.PIN_12.into(), p.PIN_13.into()]);
    let sampler = board::sampler(&adc, &taps, period, p.PIN_6, p.PIN_7);
    let pack = Board::new(sampler, switches, board::CLOCK)
        .with_heater(board::heater(p.PIN_5))
        .with_indicator(board::indicator(p.PIN_25, p.PIN_8))
        .with_power(board::power(p.PIN_9));
    let mut uart = board::uart(p.UART0, p.PIN_0);
    let (mut link, key) = (board::link(p.UART1, p.PIN_20, p.PIN_21), board::key(p.PIN_14));
    let mut bms = Driver::new(const { Core::without_balancer(PACK) }, pack);
    let keeper = storage::keeper();
    let mut store = storage::open(p.FLASH, &keeper, &firmware());
    restore(bms.bms_mut(), cause, &mut store.1);
    keeper.begin(&store.1, bms.bms().config());
    let mut saving = pin!(keeper.run(&mut store.0));

    let mut station = Station::new(storage::access(&store.1), &board::IDENTITY, &bms.status());
    let mut serial = Serial::new(true);
    let mut line = Line::<320>::new();
    let mut next_line = Instant::ZERO;
    board::start_tick();
    loop {
        match bms.poll() {
            Ok(step) => {
                RETAINED.store(&bms.bms().snapshot());
                // Only a completed, in-time, healthy step has a token.
                if let Some(token) = step.watchdog {
                    watchdog.feed(token);
                }
                station.stepped(step.at, &bms.status(), key.is_high());
                if step.at >= next_line && line.is_sent() {
                    next_line = step.at.after(secs(1));
                    line.write_status(&bms.status());
                }
                while let Some(event) = bms.poll_event() {
                    station.note(&event);
                    keeper.event(&event, bms.bms());
                }
                // The flash gets its moment between two samples; before a shutdown the core hears that all is saved.
                keeper.after_step(board::CLOCK.now(), bms.bms_mut());
                let _ = poll_once(saving.as_mut());
            }
            Err(_nothing_to_do) => cortex_m::asm::wfi(),
        }
        // Nothing is answered before it is stored, or a power cut gives a guess for nothing.
        if let Some(record) = station.record_to_store().and_then(|record| AccessBytes::from_bytes(&record.to_bytes())) {
            keeper.access(record, board::CLOCK.now());
        }
        let stored = keeper.unsaved().access.is_none();
        link.exchange(&mut serial, &mut station.desk(bms.bms_mut()), stored);
        // As much as the UART's buffer takes without waiting.
        let _ = uart.blocking_write(line.next(board::UART_BYTES_PER_TICK));
    }
}

/// What this board is built for. A function of its own, so that its stack is free again; so are the next ones.
#[inline(never)]
fn firmware() -> ValidConfig {
    BMS_PARAMETERS.apply(PACK).unwrap_or(PACK)
}

#[inline(never)]
fn sample_period() -> Duration {
    firmware().duration(ParameterId::SamplePeriod)
}

/// The settings and what was known before: from the flash, and after a reset from what is newer.
#[inline(never)]
fn restore(bms: &mut Core, cause: ResetCause, loaded: &mut Loaded) {
    *bms = Core::without_balancer(loaded.config_or(&firmware()));
    if BMS_PARAMETERS.apply(PACK).is_err() {
        // Unreadable limits: stay open, and say so.
        loaded.stored = Stored::Corrupt;
    } else if cause != ResetCause::PowerOn {
        loaded.renew(RETAINED.load(cause));
    }
    bms.restore(loaded.stored, cause);
    if cause == ResetCause::PowerOn {
        // The board has no clock that goes on.
        bms.was_off(None);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    board::open_everything();
    // The watchdog ends this.
    loop {
        cortex_m::asm::nop();
    }
}
