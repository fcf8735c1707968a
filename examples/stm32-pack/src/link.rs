//! The serial protocol of owners' tools, and with the feature `can` an inverter's bus.

use bms_core::access::Access;
use bms_core::port::Clock;
use bms_wire::board::{Board, Identity};
use bms_wire::station::Serial;
use embassy_futures::poll_once;
use embassy_stm32::gpio::{Input, Pull};
use embassy_stm32::usart::{BufferedInterruptHandler, BufferedUart, BufferedUartRx, BufferedUartTx, Config};
use embassy_stm32::{Peri, bind_interrupts, peripherals, uid};
use embedded_io_async::{Read, Write};
use static_cell::StaticCell;

/// What the board calls itself; tools look at the model's beginning and at the software version.
pub const IDENTITY: Identity = Identity { hardware: "F427", ..Identity::WIDEST };

bind_interrupts!(struct Interrupts {
    USART1 => BufferedInterruptHandler<peripherals::USART1>;
});

/// The factory's passwords, salted with the chip's number. They open nothing without the key; a product stores the record.
pub fn access() -> Access {
    let mut salt = [0; 16];
    salt.iter_mut().zip(uid::uid()).for_each(|(to, from)| *to = *from);
    Access::factory(salt)
}

/// Speaks 4E57 on USART1: PA9 out, PA10 in. PA8 is the key, high while pressed: the one way to let tools change anything.
pub struct Link {
    uart: Option<(BufferedUartTx<'static>, BufferedUartRx<'static>)>,
    serial: Serial,
    key: Input<'static>,
    heard: ([u8; 32], usize),
    #[cfg(feature = "can")]
    pub inverter: crate::can::Inverter,
}

impl Link {
    pub fn new(
        uart: Peri<'static, peripherals::USART1>,
        [tx, rx]: [StaticBuffer; 2],
        pins: (Peri<'static, peripherals::PA9>, Peri<'static, peripherals::PA10>),
        key: Peri<'static, peripherals::PA8>,
        #[cfg(feature = "can")] inverter: crate::can::Inverter,
    ) -> Self {
        // Without a UART the pack is protected all the same.
        let uart = BufferedUart::new(uart, pins.1, pins.0, tx, rx, Interrupts, Config::default()).ok();
        Self {
            uart: uart.map(BufferedUart::split),
            serial: Serial::new(true),
            key: Input::new(key, Pull::Down),
            heard: ([0; 32], 0),
            #[cfg(feature = "can")]
            inverter,
        }
    }
    pub fn key(&self) -> bool {
        self.key.is_high()
    }
    /// Waits for bytes. May be dropped: nothing is taken before it is ready.
    pub async fn hear(&mut self) {
        match &mut self.uart {
            Some((_, rx)) => self.heard.1 = rx.read(&mut self.heard.0).await.unwrap_or(0),
            None => core::future::pending().await,
        }
    }
    /// Answers what was heard, and whatever is due. Store what changed in `Access` before [`Link::send`].
    pub fn answer(&mut self, board: &mut impl Board) {
        let now = Clock::now(&bms_stm32::Clock);
        for byte in self.heard.0.iter().take(core::mem::take(&mut self.heard.1)) {
            self.serial.receive(now, *byte, board);
        }
        self.serial.poll(now, board);
        #[cfg(feature = "can")]
        self.inverter.exchange(now, board);
    }
    /// As much as the buffer takes without waiting; the interrupt sends it.
    pub fn send(&mut self) {
        if let Some((tx, _)) = &mut self.uart
            && !self.serial.unsent().is_empty()
            && let core::task::Poll::Ready(Ok(count)) = poll_once(tx.write(self.serial.unsent()))
        {
            self.serial.sent(count);
        }
    }
}

type StaticBuffer = &'static mut [u8];
/// Room for the longest answer, and for the longest request.
pub fn buffers() -> [StaticBuffer; 2] {
    static TX: StaticCell<[u8; bms_wire::uart::MAXIMUM_ANSWER]> = StaticCell::new();
    static RX: StaticCell<[u8; bms_wire::uart::MAXIMUM_REQUEST]> = StaticCell::new();
    [TX.init([0; bms_wire::uart::MAXIMUM_ANSWER]), RX.init([0; bms_wire::uart::MAXIMUM_REQUEST])]
}
