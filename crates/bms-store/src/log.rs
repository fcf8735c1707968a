//! The log: a ring of pages that holds events in order, as a queue of the library. The oldest page gives way.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::queue::{QueueConfig, QueueStorage};

use crate::bank::{Buffers, RegionError, filling, needed, put_aside_remains, room};
use crate::codec::{open, seal};
use crate::item::entry::{ENTRY, Entry};
use crate::paced::{Paced, PageState};

type Queue<'m, 'g, F> = QueueStorage<&'m mut Paced<'g, F>, Cache<Uncached, Uncached, Uncached>>;

fn queue<'m, 'g, F: NorFlash>(
    flash: &'m mut Paced<'g, F>,
    region: &Range<u32>,
) -> Result<Queue<'m, 'g, F>, RegionError<F::Error>> {
    let config = QueueConfig::try_new(region.clone()).map_err(|_| RegionError::Unreadable)?;
    Ok(QueueStorage::new(flash, config, Cache::new_uncached()))
}

/// Sorts out what a power cut has left, without writing.
pub(crate) async fn assess<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
) -> Result<(), RegionError<F::Error>> {
    put_aside_remains(flash, region).await?;
    // A page whose erase was cut short may have lost only its end mark; it stands behind the page in use.
    for page in Paced::<F>::pages(region) {
        let next = Paced::<F>::next_page(region, page);
        if flash.state(page).await? == PageState::Filling && flash.state(next).await? == PageState::Filling {
            flash.defer(next);
        }
    }
    Ok(())
}

/// Goes through all entries, oldest first; tells how many records were there that are none.
pub(crate) async fn for_each<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Entry),
) -> Result<u32, RegionError<F::Error>> {
    // The library gives up pages without a readable entry as it passes; that is not for a reader to decide.
    let noted = flash.noted();
    let result = walk(flash, region, buffers, each).await;
    flash.set_noted(noted);
    result
}

async fn walk<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Entry),
) -> Result<u32, RegionError<F::Error>> {
    let mut queue = queue(flash, region)?;
    let mut entries = queue.iter().await?;
    let mut unreadable = 0_u32;
    while let Some(sealed) = entries.next(&mut buffers.work).await? {
        let length = sealed.len();
        let copied = buffers.record.get_mut(..length).map(|slot| slot.copy_from_slice(&sealed));
        let entry = copied
            .and_then(|()| open(buffers.record.get_mut(..length)?).ok())
            .filter(|record| (record.kind, record.version) == ENTRY)
            .and_then(|record| Entry::decode(record.sequence, record.payload).ok());
        match entry {
            Some(entry) => each(entry),
            None => unreadable = unreadable.saturating_add(1),
        }
    }
    Ok(unreadable)
}

/// Appends an entry. When the page in use is full, the oldest one is erased first, so that the library never stands without
/// a blank page.
pub(crate) async fn push<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    buffers: &mut Buffers,
    entry: &Entry,
) -> Result<(), RegionError<F::Error>> {
    let length =
        seal(&mut buffers.record, ENTRY, entry.number, |out| entry.encode(out)).map_err(|_| RegionError::Full)?;
    if let Some(page) = filling(flash, region).await?
        && room(flash, page).await? < needed(length)
    {
        let next = Paced::<F>::next_page(region, page);
        if flash.state(next).await? == PageState::Full {
            flash.defer(next);
        }
        if flash.is_deferred(next) {
            flash.erase_now(next).await?;
        }
    }
    let sealed = buffers.record.get(..length).ok_or(RegionError::Full)?;
    queue(flash, region)?.push(sealed, false).await?;
    give_up_oldest(flash, region).await
}

/// Once the page in use is half full, the oldest one is given up: it is erased at the next good moment, ahead of its use.
async fn give_up_oldest<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
) -> Result<(), RegionError<F::Error>> {
    if let Some(page) = filling(flash, region).await? {
        let next = Paced::<F>::next_page(region, page);
        let half = (F::ERASE_SIZE as u32) / 2;
        if !flash.is_deferred(next) && flash.state(next).await? == PageState::Full && room(flash, page).await? < half {
            flash.defer(next);
        }
    }
    Ok(())
}
