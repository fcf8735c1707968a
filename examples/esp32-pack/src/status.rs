//! What the firmware without a radio has: the status on the UART, and a tick that wakes the loop.

use core::cell::RefCell;

use bms_hal::text::Line;
use critical_section::Mutex;
use esp_hal::peripherals::{GPIO21, TIMG0, UART0};
use esp_hal::timer::PeriodicTimer;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::uart::{Config, UartTx};
use esp_hal::{Blocking, handler};

use crate::board::fail_safe;

pub fn uart(uart: UART0<'static>, pin: GPIO21<'static>) -> Option<UartTx<'static, Blocking>> {
    // Without it the pack is protected all the same.
    UartTx::new(uart, Config::default()).ok().map(|uart| uart.with_tx(pin))
}

/// As much as the UART's buffer takes without waiting: a millisecond's worth.
pub fn send<const N: usize>(uart: &mut Option<UartTx<'static, Blocking>>, line: &mut Line<N>) {
    const BYTES_PER_TICK: usize = 11;
    if let Some(uart) = uart {
        let _ = uart.write(line.next(BYTES_PER_TICK));
    }
}

static TICK: Mutex<RefCell<Option<PeriodicTimer<'static, Blocking>>>> = Mutex::new(RefCell::new(None));

/// A millisecond's interrupt, which wakes the loop.
pub fn start_tick(group: TIMG0<'static>) {
    let mut timer = PeriodicTimer::new(TimerGroup::new(group).timer0);
    timer.set_interrupt_handler(tick);
    timer.listen();
    if timer.start(esp_hal::time::Duration::from_millis(1)).is_err() {
        fail_safe();
    }
    critical_section::with(|section| TICK.borrow_ref_mut(section).replace(timer));
}

#[handler]
fn tick() {
    critical_section::with(|section| {
        if let Some(timer) = TICK.borrow_ref_mut(section).as_mut() {
            timer.clear_interrupt();
        }
    });
}

pub fn wait_for_interrupt() {
    riscv::asm::wfi();
}
