//! The short-circuit comparator on any pin, served by an interrupt of the highest priority.
//!
//! `embassy-rp` owns the one interrupt of all pins. So that the gates need not wait for its tasks, this module puts its own
//! handler before it: the vector table moves to RAM (256 bytes), where fetching it never waits for the flash either. Any
//! other pin's event goes on to the HAL.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use embassy_rp::Peri;
use embassy_rp::gpio::{Input, Pin, Pull};
use embassy_rp::interrupt::{InterruptExt, Priority};
use embassy_rp::pac::io::regs::Int;
use embassy_rp::pac::{IO_BANK0, Interrupt};

/// Words of the vector table: 16 of the core, 32 interrupts.
const WORDS: usize = 48;
const SLOT: usize = 16 + Interrupt::IO_IRQ_BANK0 as usize;

#[repr(C, align(256))]
struct Table(UnsafeCell<[usize; WORDS]>);

// SAFETY: written only by `attach`, before the table is in use.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([0; WORDS]));
static NUMBER: AtomicU32 = AtomicU32::new(0);
static HANDLER: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Makes `pin` the comparator's input, high while it sees a short circuit, and has `opens` called in the interrupt of its
/// rising edge. `opens` opens the gates and does nothing else: `|| GATES.trip()`. Call once, before other interrupts run.
///
/// The pin is pulled up: a comparator that is cut off reads as a short circuit.
#[must_use]
pub fn attach(pin: Peri<'static, impl Pin>, opens: fn()) -> Input<'static> {
    let number = u32::from(pin.pin());
    let input = Input::new(pin, Pull::Up);
    NUMBER.store(number, Ordering::Relaxed);
    HANDLER.store(opens as usize, Ordering::Relaxed);
    // SAFETY: the table in use has at least as many words as the core has exceptions and the chip has interrupts; beyond
    // them lies more flash. No interrupt uses `TABLE` before VTOR points at it, and it is aligned as VTOR demands.
    unsafe {
        let scb = &*cortex_m::peripheral::SCB::PTR;
        let present = scb.vtor.read() as *const usize;
        let table = TABLE.0.get().cast::<usize>();
        for word in 0..WORDS {
            table.add(word).write_volatile(present.add(word).read_volatile());
        }
        NEXT.store(table.add(SLOT).read_volatile(), Ordering::Relaxed);
        table.add(SLOT).write_volatile(entry as *const () as usize);
        scb.vtor.write(table as u32);
        cortex_m::asm::dsb();
    }
    IO_BANK0.intr(index(number)).write_value(Int(rising(number)));
    enable(number);
    Interrupt::IO_IRQ_BANK0.set_priority(Priority::P0);
    // SAFETY: the handler is in place.
    unsafe { Interrupt::IO_IRQ_BANK0.enable() };
    input
}

/// Each register holds eight pins.
const fn index(number: u32) -> usize {
    (number / 8) as usize
}
/// The bit of the rising edge among the four of a pin.
const fn rising(number: u32) -> u32 {
    8_u32.wrapping_shl((number & 7).wrapping_mul(4))
}

fn enable(number: u32) {
    IO_BANK0.int_proc(0).inte(index(number)).modify(|enabled| enabled.0 |= rising(number));
}

extern "C" fn entry() {
    let number = NUMBER.load(Ordering::Relaxed);
    let seen = IO_BANK0.int_proc(0).ints(index(number)).read().0 & rising(number) != 0;
    if seen {
        // SAFETY: `attach` stored such a function before it enabled the interrupt.
        let opens: fn() = unsafe { core::mem::transmute(HANDLER.load(Ordering::Relaxed)) };
        opens();
        IO_BANK0.intr(index(number)).write_value(Int(rising(number)));
    }
    if (0..4).any(|word| IO_BANK0.int_proc(0).ints(word).read().0 != 0) {
        // The HAL disables what it serves, also a new edge of ours.
        // SAFETY: the vector table held this handler.
        let next: extern "C" fn() = unsafe { core::mem::transmute(NEXT.load(Ordering::Relaxed)) };
        next();
        enable(number);
    }
}
