//! The store on a flash of registers: opens, starts, saves everything, reads the log, and does it by the keeper too.

use core::pin::pin;

use bms_core::balancing::LearnedBalance;
use bms_core::event::EventKind;
use bms_core::prelude::*;
use bms_store::{
    AccessBytes, Counters, Entry, Faults, Gate, Keeper, Layout, Moment, Stall, Statistics, Store, poll_once,
};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use crate::outside::{read, write};

const PACK: ValidConfig = const { Config::li_ion(24).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated() };

struct Registers;

#[derive(Debug)]
struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Registers {
    type Error = Failed;
}

fn result() -> Result<(), Failed> {
    if read(30) == 0 { Ok(()) } else { Err(Failed) }
}

impl ReadNorFlash for Registers {
    const READ_SIZE: usize = 1;
    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        write(31, offset);
        bytes.iter_mut().for_each(|byte| *byte = read(32) as u8);
        result()
    }
    fn capacity(&self) -> usize {
        read(33) as usize
    }
}

impl NorFlash for Registers {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4_096;
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        write(34, from);
        write(35, to);
        result()
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        write(36, offset);
        bytes.iter().for_each(|byte| write(37, u32::from(*byte)));
        result()
    }
}

async fn by_hand(store: &mut Store<'_, Registers>) {
    store.start().await;
    let event = Event { at: Instant::from_millis(u64::from(read(38))), kind: EventKind::Full };
    let entry =
        Entry { number: 0, start: read(39), run_time_seconds: 0, calendar: None, event: Ok(event), frame: None };
    let mut failed = u32::from(store.save_config(&PACK).await.is_err());
    failed += u32::from(store.save_faults(&Faults::NONE).await.is_err());
    failed += u32::from(store.save_counters(&Counters::NONE).await.is_err());
    failed += u32::from(store.save_access(&[read(40) as u8; 121]).await.is_err());
    failed += u32::from(store.save_statistics(&Statistics::new()).await.is_err());
    failed += u32::from(store.save_balancing(&LearnedBalance::NOTHING).await.is_err());
    failed += u32::from(store.log(&entry).await.is_err());
    failed += u32::from(store.settle().await.is_err());
    store.tidy().await;
    failed += u32::from(store.for_each_entry(|entry| write(41, entry.number)).await.is_err());
    failed += u32::from(store.reset().await.is_err());
    write(42, failed);
}

pub fn run() -> ! {
    let keeper = Keeper::<8>::new(Stall { write: ms(3), erase: ms(400) });
    let own = Gate::open();
    loop {
        let Ok(layout) = Layout::new(&Registers, read(43), read(44), read(45)) else { continue };
        if read(46) == 1 {
            let mut opened = pin!(async {
                let (mut store, loaded) = Store::open(Registers, &own, layout, &PACK).await;
                write(47, u32::from(loaded.report.is_corrupt()));
                write(48, loaded.off_seconds(Some(u64::from(read(49)))).unwrap_or(0));
                by_hand(&mut store).await;
            });
            while poll_once(opened.as_mut()).is_pending() {
                own.offer(if read(50) == 0 { Moment::Write } else { Moment::Erase });
            }
            continue;
        }
        let mut bms = Bms::<24>::new(PACK);
        let mut kept = pin!(async {
            let (mut store, loaded) = Store::open(Registers, keeper.gate(), layout, &PACK).await;
            bms.restore(loaded.stored, ResetCause::PowerOn);
            keeper.begin(&loaded, &PACK);
            keeper.run(&mut store).await;
        });
        let mut other = Bms::<24>::new(PACK);
        for _ in 0..read(51) {
            let now = Instant::from_millis(u64::from(read(52)));
            let event = Event { at: now, kind: EventKind::ShuttingDown };
            keeper.event(&event, &other);
            keeper.after_step(now, &mut other);
            if let Some(record) = AccessBytes::from_bytes(&[read(53) as u8; 121]) {
                keeper.access(record, now);
            }
            keeper.config(&PACK, now);
            keeper.set_calendar(u64::from(read(54)), now);
            write(55, keeper.unsaved().events_lost);
            let _ = poll_once(kept.as_mut());
        }
    }
}
