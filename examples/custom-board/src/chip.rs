//! What differs between the two emulated machines: the entry, the timer, the comparator's interrupt line.

#[cfg(target_arch = "arm")]
mod machine {
    use cortex_m::peripheral::NVIC;
    use cortex_m::peripheral::syst::SystClkSource;
    use cortex_m_rt::{entry, exception};

    /// The machine has no comparator; this line of its interrupt controller is used for one.
    #[derive(Clone, Copy)]
    struct ComparatorLine;
    // SAFETY: an interrupt that the chip has.
    unsafe impl cortex_m::interrupt::InterruptNumber for ComparatorLine {
        fn number(self) -> u16 {
            0
        }
    }

    #[entry]
    fn start() -> ! {
        crate::firmware()
    }
    /// QEMU's micro:bit runs at 16 MHz.
    pub fn start_interrupts() {
        let Some(mut core) = cortex_m::Peripherals::take() else { super::halt() };
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(16_000 - 1);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        core.SYST.enable_interrupt();
        // SAFETY: its handler is in place.
        unsafe { NVIC::unmask(ComparatorLine) };
    }
    #[exception]
    fn SysTick() {
        crate::timer_interrupt();
    }
    #[exception]
    unsafe fn DefaultHandler(_line: i16) {
        crate::comparator_interrupt();
    }
    pub fn raise_comparator() {
        NVIC::pend(ComparatorLine);
        cortex_m::asm::isb();
    }
    pub fn wait_for_interrupt() {
        cortex_m::asm::wfi();
    }
}

#[cfg(target_arch = "riscv32")]
mod machine {
    use riscv::interrupt::Interrupt;
    use riscv::register::{mie, mstatus};
    use riscv_rt::{core_interrupt, entry};

    const SOFTWARE: *mut u32 = 0x0200_0000 as *mut u32;
    const COMPARE: *mut u32 = 0x0200_4000 as *mut u32;
    const TIME: *const u32 = 0x0200_bff8 as *const u32;
    /// QEMU's `virt` counts at 10 MHz.
    const MILLISECOND: u32 = 10_000;

    #[entry]
    fn start() -> ! {
        crate::firmware()
    }
    pub fn start_interrupts() {
        next_tick();
        // SAFETY: the handlers are in place.
        unsafe {
            mie::set_msoft();
            mie::set_mtimer();
            mstatus::set_mie();
        }
    }
    /// A run is over long before 32 bits are.
    fn next_tick() {
        // SAFETY: registers of the machine's timer.
        unsafe {
            let now = TIME.read_volatile();
            COMPARE.add(1).write_volatile(0);
            COMPARE.write_volatile(now.wrapping_add(MILLISECOND));
        }
    }
    #[core_interrupt(Interrupt::MachineTimer)]
    fn timer() {
        next_tick();
        crate::timer_interrupt();
    }
    #[core_interrupt(Interrupt::MachineSoft)]
    fn software() {
        // SAFETY: a register of the machine.
        unsafe { SOFTWARE.write_volatile(0) };
        crate::comparator_interrupt();
    }
    pub fn raise_comparator() {
        // SAFETY: as above.
        unsafe { SOFTWARE.write_volatile(1) };
    }
    pub fn wait_for_interrupt() {
        riscv::asm::wfi();
    }
}

pub use machine::{raise_comparator, start_interrupts, wait_for_interrupt};

/// Nothing could be driven: everything stays as the reset left it, open.
pub fn halt() -> ! {
    loop {
        wait_for_interrupt();
    }
}
