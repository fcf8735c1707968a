//! An inverter on CAN1, 500 kbit/s: Pylontech's dialect out, the inverter's sign of life in. PD0 in, PD1 out.

use bms_core::prelude::Instant;
use bms_stm32::BxCan;
use bms_wire::board::Board;
use bms_wire::inverter_can::{Dialect, InverterCan};
use embassy_stm32::can::filter::Mask32;
use embassy_stm32::can::{
    Can, Fifo, Rx0InterruptHandler, Rx1InterruptHandler, SceInterruptHandler, TxInterruptHandler,
};
use embassy_stm32::{Peri, bind_interrupts, peripherals};

bind_interrupts!(struct Interrupts {
    CAN1_TX => TxInterruptHandler<peripherals::CAN1>;
    CAN1_RX0 => Rx0InterruptHandler<peripherals::CAN1>;
    CAN1_RX1 => Rx1InterruptHandler<peripherals::CAN1>;
    CAN1_SCE => SceInterruptHandler<peripherals::CAN1>;
});

pub struct Inverter {
    bus: BxCan<'static>,
    link: InverterCan,
}

impl Inverter {
    pub fn new(
        can: Peri<'static, peripherals::CAN1>,
        rx: Peri<'static, peripherals::PD0>,
        tx: Peri<'static, peripherals::PD1>,
    ) -> Self {
        let mut can = Can::new(can, rx, tx, Interrupts);
        can.modify_filters().enable_bank(0, Fifo::Fifo0, Mask32::accept_all());
        can.set_bitrate(500_000);
        Self { bus: BxCan(can), link: InverterCan::new(Dialect::Pylontech) }
    }
    /// Leaves the peripheral's sleep; waits for a bus at rest, so with a limit.
    pub async fn enable(&mut self) {
        self.bus.0.enable().await;
    }
    pub fn exchange(&mut self, now: Instant, board: &impl Board) {
        self.link.exchange(now, &mut self.bus, board);
    }
}
