//! A 24-cell LiFePO4 pack on an STM32F427.
#![no_std]
#![no_main]

mod board;
#[cfg(feature = "can")]
mod can;
#[cfg_attr(not(feature = "link"), path = "unlinked.rs")]
mod link;
mod report;

use bms_core::fittings::{HeaterFitted, Unbalanced};
use bms_core::prelude::*;
use bms_hal::{ParameterBlock, RetainedSnapshot};
use embassy_futures::select::{Either, select};
use link::Links;

/// An impossible limit does not compile.
const PACK: ValidConfig = const {
    let pack = Config::lifepo4(board::CELLS as u8).with_model(Model::B2a24s20p).with_capacity(ah(280));
    pack.with_board(board::DEFINITION).with(ParameterId::HeaterResistance, 40_000_000).validated()
};

/// No balancer and no precharge path on this board.
type Core = Unbalanced<{ board::CELLS }, HeaterFitted>;

/// What a programmer may put in place of some of PACK's parameters, without building anew.
#[unsafe(no_mangle)]
static BMS_PARAMETERS: ParameterBlock<32> = ParameterBlock::EMPTY;

/// Survives a reset: faults, trip counts, charge.
#[unsafe(link_section = ".uninit.snapshot")]
static RETAINED: RetainedSnapshot = RetainedSnapshot::new();

#[embassy_executor::main]
async fn main(_spawner: embassy_executor::Spawner) {
    let board::Parts { ports, mut watchdog, mut report, wires, cause } = board::init();
    let (config, stored) = match BMS_PARAMETERS.apply(PACK) {
        Ok(config) => (config, RETAINED.load(cause)),
        // Unreadable limits: stay open, and say so.
        Err(_) => (PACK, Stored::Corrupt),
    };
    let mut driver = Driver::new(Core::without_balancer(config), ports);
    driver.bms_mut().restore(stored, cause);
    let mut links = Links::new(wires, &driver.status());
    loop {
        // A step that still waits for its sampler may be dropped.
        if let Either::First(step) = select(driver.step(), links.wait()).await {
            if let Some(token) = step.watchdog {
                watchdog.feed(token);
            }
            RETAINED.store(&driver.bms().snapshot());
            links.stepped(step.at, &driver.status());
            while let Some(event) = driver.poll_event() {
                links.note(&event);
                if event.kind == EventKind::ShuttingDown {
                    driver.bms_mut().snapshot_stored();
                }
            }
            report.send(step.at, &driver.status()).await;
        }
        links.answer(driver.bms_mut());
        links.send();
    }
}
