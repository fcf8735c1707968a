//! The status as a line of text, once a second.

use bms_core::prelude::{Instant, secs};
use bms_core::status::Status;
use bms_hal::text::Line;
use embassy_stm32::mode::Async;
use embassy_stm32::usart::{Config, UartTx};
use embassy_stm32::{Peri, bind_interrupts, dma, peripherals};
use embassy_time::{Duration, with_timeout};

/// 115200 baud take 35 ms for the longest line.
const AT_MOST: Duration = Duration::from_millis(60);

bind_interrupts!(struct Interrupts {
    DMA1_STREAM6 => dma::InterruptHandler<peripherals::DMA1_CH6>;
});

/// Sends the status by DMA, between two samples.
pub struct Report {
    uart: Option<UartTx<'static, Async>>,
    line: Line<448>,
    due: Instant,
}

impl Report {
    pub fn new(
        uart: Peri<'static, peripherals::USART2>,
        pin: Peri<'static, peripherals::PA2>,
        dma: Peri<'static, peripherals::DMA1_CH6>,
    ) -> Self {
        // Without a UART the pack is protected all the same.
        Self {
            uart: UartTx::new(uart, pin, dma, Interrupts, Config::default()).ok(),
            line: Line::new(),
            due: Instant::ZERO,
        }
    }
    /// Sends it if it is due. A UART that hangs costs its time limit, not the next sample.
    pub async fn send(&mut self, now: Instant, status: &Status<'_>) {
        if now < self.due {
            return;
        }
        self.due = now.after(secs(1));
        self.line.write_status(status);
        if let Some(uart) = &mut self.uart {
            let _ = with_timeout(AT_MOST, uart.write(self.line.next(usize::MAX))).await;
        }
    }
}
