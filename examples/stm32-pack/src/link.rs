//! What owners' tools speak to: the serial protocol, and with the feature `can` a bus.

use bms_core::access::Access;
use bms_core::event::Event;
use bms_core::port::Clock as _;
use bms_core::prelude::Instant;
use bms_core::status::Status;
use bms_stm32::Clock;
use bms_wire::board::Identity;
use bms_wire::station::{Serial, Station};
use bms_wire::uart::{MAXIMUM_ANSWER, MAXIMUM_REQUEST};
use embassy_futures::poll_once;
#[cfg(feature = "can")]
use embassy_futures::select::select;
use embassy_stm32::gpio::{Input, Pull};
use embassy_stm32::usart::{BufferedInterruptHandler, BufferedUart, BufferedUartRx, BufferedUartTx, Config};
use embassy_stm32::{Peri, bind_interrupts, peripherals, uid};
use embedded_io_async::{Read, Write};
use static_cell::StaticCell;

#[cfg(feature = "can")]
use crate::can::Bus;

/// What the board calls itself; tools look at the model's beginning and at the software version.
static IDENTITY: Identity = Identity { hardware: "F427", ..Identity::WIDEST };

/// Pins and peripherals of the links.
pub struct Wires {
    /// 4E57, PA9 out, PA10 in.
    pub uart: (Peri<'static, peripherals::USART1>, Peri<'static, peripherals::PA9>, Peri<'static, peripherals::PA10>),
    /// High while pressed: the one way to let tools change anything.
    pub key: Peri<'static, peripherals::PA8>,
    #[cfg(feature = "can")]
    pub can: (Peri<'static, peripherals::CAN1>, Peri<'static, peripherals::PD0>, Peri<'static, peripherals::PD1>),
}

pub struct Links {
    station: Station,
    uart: Option<(BufferedUartTx<'static>, BufferedUartRx<'static>)>,
    serial: Serial,
    heard: ([u8; 32], usize),
    key: Input<'static>,
    #[cfg(feature = "can")]
    bus: Bus,
}

impl Links {
    pub fn new(wires: Wires, status: &Status<'_>) -> Self {
        bind_interrupts!(struct Interrupts {
            USART1 => BufferedInterruptHandler<peripherals::USART1>;
        });
        // Room for the longest answer, and for the longest request.
        static TX: StaticCell<[u8; MAXIMUM_ANSWER]> = StaticCell::new();
        static RX: StaticCell<[u8; MAXIMUM_REQUEST]> = StaticCell::new();
        let (tx, rx) = (TX.init([0; MAXIMUM_ANSWER]), RX.init([0; MAXIMUM_REQUEST]));
        let (uart, out, into) = wires.uart;
        Self {
            station: Station::new(access(), &IDENTITY, status),
            // Without a UART the pack is protected all the same.
            uart: BufferedUart::new(uart, into, out, tx, rx, Interrupts, Config::default())
                .ok()
                .map(BufferedUart::split),
            serial: Serial::new(true),
            heard: ([0; 32], 0),
            key: Input::new(wires.key, Pull::Down),
            #[cfg(feature = "can")]
            bus: Bus::new(wires.can.0, wires.can.1, wires.can.2),
        }
    }
    /// Until a link has something to do. May be dropped: nothing is taken before it is ready.
    pub async fn wait(&mut self) {
        let heard = async {
            match &mut self.uart {
                Some((_, rx)) => self.heard.1 = rx.read(&mut self.heard.0).await.unwrap_or(0),
                None => core::future::pending().await,
            }
        };
        #[cfg(feature = "can")]
        select(heard, self.bus.wait()).await;
        #[cfg(not(feature = "can"))]
        heard.await;
    }
    /// After each step.
    pub fn stepped(&mut self, now: Instant, status: &Status<'_>) {
        self.station.stepped(now, status, self.key.is_high());
    }
    /// Each event.
    pub fn note(&mut self, event: &Event) {
        self.station.note(event);
    }
    /// Answers what was heard, and whatever is due; CAN's frames are on their way at once.
    pub fn answer(&mut self, bms: &mut crate::Core) {
        let (now, mut board) = (Clock.now(), self.station.desk(bms));
        for byte in self.heard.0.iter().take(core::mem::take(&mut self.heard.1)) {
            self.serial.receive(now, *byte, &mut board);
        }
        self.serial.poll(now, &board);
        #[cfg(feature = "can")]
        self.bus.exchange(now, &mut board);
    }
    /// The serial answer, as much as the buffer takes without waiting; the interrupt sends it. What changed in the access
    /// record is stored before.
    pub fn send(&mut self) {
        if let Some((tx, _)) = &mut self.uart
            && !self.serial.unsent().is_empty()
            && let core::task::Poll::Ready(Ok(count)) = poll_once(tx.write(self.serial.unsent()))
        {
            self.serial.sent(count);
        }
    }
}

/// The factory's passwords, salted with the chip's number. They open nothing without the key; a product stores the record.
fn access() -> Access {
    let mut salt = [0; 16];
    salt.iter_mut().zip(uid::uid()).for_each(|(to, from)| *to = from);
    Access::factory(salt)
}
