//! What differs between the emulated boards: the entry point and the counter.

#![no_std]

pub mod tally;

/// Counts executed instructions, under QEMU with `-icount`.
///
/// Cortex-M has no instruction counter there, but the clock stands on the instruction count: SysTick ticks are
/// `instructions × 2^shift ns × frequency`. RISC-V counts in `mcycle`.
pub struct Counter;

#[cfg(target_arch = "arm")]
mod arch {
    use cortex_m::peripheral::{SYST, syst::SystClkSource};

    const RELOAD: u32 = 0x00ff_ffff;

    impl super::Counter {
        /// Starts the counter.
        ///
        /// # Panics
        /// If called twice.
        #[must_use]
        pub fn start() -> Self {
            let mut peripherals = cortex_m::Peripherals::take().expect("taken once");
            peripherals.SYST.set_clock_source(SystClkSource::Core);
            peripherals.SYST.set_reload(RELOAD);
            peripherals.SYST.clear_current();
            peripherals.SYST.enable_counter();
            Self
        }
        /// The count; wraps at 24 bits.
        #[inline(always)]
        #[must_use]
        pub fn now(&self) -> u32 {
            RELOAD - SYST::get_current()
        }
        /// The counts between two readings.
        #[must_use]
        pub fn between(earlier: u32, later: u32) -> u32 {
            later.wrapping_sub(earlier) & RELOAD
        }
    }
}

#[cfg(target_arch = "riscv32")]
mod arch {
    impl super::Counter {
        /// Starts the counter.
        #[must_use]
        pub fn start() -> Self {
            Self
        }
        /// The count; wraps at 32 bits.
        #[inline(always)]
        #[must_use]
        pub fn now(&self) -> u32 {
            riscv::register::mcycle::read() as u32
        }
        /// The counts between two readings.
        #[must_use]
        pub fn between(earlier: u32, later: u32) -> u32 {
            later.wrapping_sub(earlier)
        }
    }
}

/// The stack pointer of the caller's frame.
#[inline(always)]
#[must_use]
pub fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: only reads a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        core::arch::asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "riscv32")]
        core::arch::asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// Makes `fn $body() -> !` the entry point.
#[macro_export]
macro_rules! entry {
    ($body:path) => {
        #[cfg(target_arch = "arm")]
        #[cortex_m_rt::entry]
        fn entry() -> ! {
            $body()
        }
        #[cfg(target_arch = "riscv32")]
        #[riscv_rt::entry]
        fn entry() -> ! {
            $body()
        }
    };
}
