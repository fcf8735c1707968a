//! CAN1: PD1 out, PD0 in. An inverter, or with the feature `jk-can` what JK's own displays and tools listen to.

use bms_core::port::Clock as _;
use bms_core::prelude::Instant;
use bms_stm32::{BxCan, Clock};
use bms_wire::board::Board;
use embassy_futures::poll_once;
use embassy_futures::select::select;
use embassy_stm32::can::filter::Mask32;
use embassy_stm32::can::{
    Can, Fifo, Rx0InterruptHandler, Rx1InterruptHandler, SceInterruptHandler, TxInterruptHandler,
};
use embassy_stm32::{Peri, bind_interrupts, peripherals};
use embassy_time::Timer;

/// The protocol, its bit rate and the one kind of frame that the board listens to.
#[cfg(not(feature = "jk-can"))]
mod protocol {
    use super::Mask32;
    use bms_wire::inverter_can::Dialect;
    pub use bms_wire::inverter_can::InverterCan as Protocol;
    use embassy_stm32::can::StandardId;

    pub const BIT_RATE: u32 = 500_000;
    pub const PROTOCOL: Protocol = Protocol::new(Dialect::Pylontech);
    /// 304 to 307, the inverter's sign of life.
    pub fn heard() -> Mask32 {
        const fn id(number: u16) -> StandardId {
            match StandardId::new(number) {
                Some(id) => id,
                None => StandardId::ZERO,
            }
        }
        Mask32::frames_with_std_id(id(0x304), id(0x7fc))
    }
}
#[cfg(feature = "jk-can")]
mod protocol {
    use super::Mask32;
    pub use bms_wire::jk_can::JkCan as Protocol;
    use embassy_stm32::can::ExtendedId;

    pub const BIT_RATE: u32 = 250_000;
    /// Address 0, the only one for which the switching message is documented.
    pub const PROTOCOL: Protocol = Protocol::new(0);
    /// The message that asks for switches.
    pub fn heard() -> Mask32 {
        const CONTROL: ExtendedId = match ExtendedId::new(bms_wire::jk_can::CONTROL) {
            Some(id) => id,
            None => ExtendedId::ZERO,
        };
        Mask32::frames_with_ext_id(CONTROL, ExtendedId::MAX)
    }
}

pub struct Bus {
    port: BxCan<'static>,
    protocol: protocol::Protocol,
    enabled: bool,
}

impl Bus {
    pub fn new(
        can: Peri<'static, peripherals::CAN1>,
        rx: Peri<'static, peripherals::PD0>,
        tx: Peri<'static, peripherals::PD1>,
    ) -> Self {
        bind_interrupts!(struct Interrupts {
            CAN1_TX => TxInterruptHandler<peripherals::CAN1>;
            CAN1_RX0 => Rx0InterruptHandler<peripherals::CAN1>;
            CAN1_RX1 => Rx1InterruptHandler<peripherals::CAN1>;
            CAN1_SCE => SceInterruptHandler<peripherals::CAN1>;
        });
        let mut can = Can::new(can, rx, tx, Interrupts);
        can.modify_filters().enable_bank(0, Fifo::Fifo0, protocol::heard());
        can.set_bitrate(protocol::BIT_RATE);
        // In order, and none displaces another.
        can.set_tx_fifo_scheduling(true);
        Self { port: BxCan(can), protocol: protocol::PROTOCOL, enabled: false }
    }
    /// Until a frame came or one is due. May be dropped.
    pub async fn wait(&mut self) {
        let due = self.protocol.deadline().since(Clock.now()).as_millis().max(1);
        select(Timer::after_millis(due.into()), self.port.0.wait_not_empty()).await;
    }
    /// Reads what came, queues what is due. A bus that never rests keeps the peripheral asleep, and nothing waits for it.
    pub fn exchange(&mut self, now: Instant, board: &mut impl Board) {
        self.enabled = self.enabled || poll_once(self.port.0.enable()).is_ready();
        if self.enabled {
            self.protocol.exchange(now, &mut self.port, board);
        }
    }
}
