//! What a proof image has around it: the panic handler that does not link, and registers that the optimiser cannot know.

use core::panic::PanicInfo;

#[cfg(not(feature = "locate"))]
unsafe extern "C" {
    /// Defined nowhere. If the link asks for it, something can panic.
    safe fn a_panic_is_reachable() -> !;
}

#[cfg(not(feature = "locate"))]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    a_panic_is_reachable()
}

#[cfg(feature = "locate")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // So that what panics, and where, is in the image.
    write(60, info.message().as_str().map_or(0, |text| text.as_ptr() as u32));
    write(61, info.location().map_or(0, |place| place.line()));
    loop {}
}

pub fn read(register: usize) -> u32 {
    // SAFETY: never run; the address stands for a peripheral.
    unsafe { core::ptr::read_volatile((0x4000_0000 + register * 4) as *const u32) }
}

pub fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile((0x4000_0000 + register * 4) as *mut u32, value) }
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
