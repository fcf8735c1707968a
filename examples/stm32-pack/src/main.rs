//! A 24-cell LiFePO4 pack on an STM32F427.
#![no_std]
#![no_main]

mod board;
mod report;

use bms_core::fittings::{HeaterFitted, Unbalanced};
use bms_core::prelude::*;
use bms_hal::{ParameterBlock, RetainedSnapshot};

/// An impossible limit does not compile.
const PACK: ValidConfig = const {
    let pack = Config::lifepo4(board::CELLS as u8).with_model(Model::B2a24s20p).with_capacity(ah(280));
    pack.with_board(board::DEFINITION).with(ParameterId::HeaterResistance, 40_000_000).validated()
};

/// What a programmer may put in place of some of PACK's parameters, without building anew.
#[unsafe(no_mangle)]
static BMS_PARAMETERS: ParameterBlock<32> = ParameterBlock::EMPTY;

/// Survives a reset: faults, trip counts, charge.
#[unsafe(link_section = ".uninit.snapshot")]
static RETAINED: RetainedSnapshot = RetainedSnapshot::new();

#[embassy_executor::main]
async fn main(_spawner: embassy_executor::Spawner) {
    let board::Parts { ports, mut watchdog, mut report, cause } = board::init();
    let (config, stored) = match BMS_PARAMETERS.apply(PACK) {
        Ok(config) => (config, RETAINED.load(cause)),
        // Unreadable limits: stay open, and say so.
        Err(_) => (PACK, Stored::Corrupt),
    };
    let mut driver = Driver::new(Unbalanced::<{ board::CELLS }, HeaterFitted>::without_balancer(config), ports);
    driver.bms_mut().restore(stored, cause);
    loop {
        let step = driver.step().await;
        if let Some(token) = step.watchdog {
            watchdog.feed(token);
        }
        RETAINED.store(&driver.bms().snapshot());
        while let Some(event) = driver.poll_event() {
            if event.kind == EventKind::ShuttingDown {
                driver.bms_mut().snapshot_stored();
            }
        }
        report.send(step.at, &driver.status()).await;
    }
}
