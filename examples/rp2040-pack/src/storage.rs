//! What must survive the loss of power, in the last pages of the Pico's flash. `build.rs` keeps the code out of them.

use bms_core::access::{Access, AccessRecord};
use bms_core::prelude::*;
use bms_store::{Blocking, Keeper, Layout, Loaded, Stall, Store, now};
use embassy_rp::Peri;
use embassy_rp::flash::{self, Flash};
use embassy_rp::peripherals::FLASH;

const SIZE: usize = 2_048 * 1_024;
const BANK_PAGES: u32 = 10;
const LOG_PAGES: u32 = 8;
const START: u32 = SIZE as u32 - (2 * BANK_PAGES + LOG_PAGES) * flash::ERASE_SIZE as u32;
/// The Pico's W25Q16JV by its data sheet: a page is programmed in at most 3 ms, a sector erased in at most 400 ms (typically 0.4
/// and 45 ms). Interrupts are off meanwhile, also the comparator's. A chunk may lie in two pages.
const STALL: Stall = Stall { write: ms(6), erase: ms(400) };

pub type Chip = Blocking<Flash<'static, FLASH, flash::Blocking, SIZE>>;

pub const fn keeper() -> Keeper<8> {
    Keeper::new(STALL)
}

/// Opens the store, reads all of it, and lets it write: everything is open still, and nobody waits.
#[inline(never)]
pub fn open<'k>(
    flash: Peri<'static, FLASH>,
    keeper: &'k Keeper<8>,
    firmware: &ValidConfig,
) -> (Store<'k, Chip>, Loaded) {
    let flash = Blocking(Flash::new_blocking(flash));
    let opened = Layout::new(&flash, START, BANK_PAGES, LOG_PAGES)
        .ok()
        .and_then(|layout| now(Store::open(flash, keeper.gate(), layout, firmware)));
    let Some((mut store, loaded)) = opened else { crate::board::stay_open() };
    let _ = now(store.start());
    (store, loaded)
}

/// The passwords as they were stored. Without a readable record those of the factory, salted anew: they open nothing without
/// the key.
#[inline(never)]
pub fn access(loaded: &Loaded) -> Access {
    let stored = loaded.access.as_ref().and_then(|bytes| AccessRecord::from_bytes(bytes.as_bytes().try_into().ok()?));
    match stored {
        Some(record) => Access::restored(record, Instant::ZERO),
        None => Access::factory(crate::board::salt()),
    }
}
