//! The routines of the compiler that Espressif's linker scripts take from the ROM: memory and integer arithmetic. They come
//! from the compiler's own library; this only keeps them. `rom.py` makes the ROM of them.
#![no_std]
#![no_main]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

type Function = unsafe extern "C" fn();

macro_rules! functions {
    ($($name:ident),* $(,)?) => {
        unsafe extern "C" {
            $(fn $name();)*
        }
        /// Everything that is to be linked.
        #[used]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".functions")]
        static FUNCTIONS: [Function; [$(stringify!($name)),*].len()] = [$($name),*];
    };
}

functions!(
    memset, memcpy, memmove, memcmp, __muldi3, __divsi3, __udivsi3, __modsi3, __umodsi3, __divdi3, __udivdi3, __moddi3,
    __umoddi3, __ashldi3, __lshrdi3, __ashrdi3,
);
