//! One bank: a ring of pages that holds the newest record of every kind, as a map of the library.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::Error;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};

use crate::codec::{Record, open};
use crate::layout::{BUFFER, Kind};
use crate::paced::{FlashError, Paced, PageState};

/// Why a bank or the log did not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RegionError<E> {
    /// The flash.
    Flash(FlashError<E>),
    /// No room: the pages are too small for what has to stay.
    Full,
    /// Its content makes no sense any more.
    Unreadable,
}

impl<E> From<Error<FlashError<E>>> for RegionError<E> {
    fn from(error: Error<FlashError<E>>) -> Self {
        match error {
            Error::Storage { value, .. } => Self::Flash(value),
            Error::FullStorage | Error::ItemTooBig => Self::Full,
            _ => Self::Unreadable,
        }
    }
}

impl<E> From<FlashError<E>> for RegionError<E> {
    fn from(error: FlashError<E>) -> Self {
        Self::Flash(error)
    }
}

/// Two buffers: one for the library, one for a record.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub work: [u8; BUFFER],
    pub record: [u8; BUFFER],
}

impl Buffers {
    pub const fn new() -> Self {
        Self { work: [0; BUFFER], record: [0; BUFFER] }
    }
    /// The record, opened; `None` if it is none of this kind.
    pub fn open(&mut self, kind: Kind, length: usize) -> Option<Record<'_>> {
        let record = open(self.record.get_mut(..length)?).ok()?;
        (record.kind == kind as u8).then_some(record)
    }
}

type Map<'m, 'g, F> = MapStorage<u8, &'m mut Paced<'g, F>, Cache<Uncached, Uncached, Uncached, u8>>;

fn map<'m, 'g, F: NorFlash>(
    flash: &'m mut Paced<'g, F>,
    region: &Range<u32>,
) -> Result<Map<'m, 'g, F>, RegionError<F::Error>> {
    let config = MapConfig::try_new(region.clone()).map_err(|_| RegionError::Unreadable)?;
    Ok(MapStorage::new(flash, config, Cache::new_uncached()))
}

/// Copies the newest record of a kind, still sealed, into the record buffer; gives its length.
///
/// Nothing is repaired here while the flash is read-only; what needs repair is as good as not there then.
pub(crate) async fn fetch<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    kind: Kind,
    buffers: &mut Buffers,
) -> Result<Option<usize>, RegionError<F::Error>> {
    let noted = flash.noted();
    let fetched = map(flash, region)?.fetch_item::<&[u8]>(&mut buffers.work, &(kind as u8)).await;
    let found = match fetched {
        Ok(Some(sealed)) => match buffers.record.get_mut(..sealed.len()) {
            Some(slot) => {
                slot.copy_from_slice(sealed);
                Ok(Some(sealed.len()))
            }
            None => Ok(None),
        },
        Ok(None) => Ok(None),
        Err(error) => Err(error.into()),
    };
    if flash.read_only {
        flash.set_noted(noted);
    }
    found
}

/// Appends the sealed record in the record buffer. Before it, makes sure that the page in use has room for it or that the
/// next one is truly blank, so that the library never stands without a blank page.
pub(crate) async fn store<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    kind: Kind,
    length: usize,
    buffers: &mut Buffers,
) -> Result<(), RegionError<F::Error>> {
    make_room(flash, region, length).await?;
    let sealed = buffers.record.get(..length).ok_or(RegionError::Full)?;
    map(flash, region)?.store_item(&mut buffers.work, &(kind as u8), &sealed).await?;
    Ok(())
}

/// Erases the deferred page behind the one in use if that may not have room for `length` bytes more.
pub(crate) async fn make_room<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    length: usize,
) -> Result<(), RegionError<F::Error>> {
    let Some(page) = filling(flash, region).await? else { return Ok(()) };
    let next = Paced::<F>::next_page(region, page);
    if flash.is_deferred(next) && room(flash, page).await? < needed(length) {
        flash.erase_now(next).await?;
    }
    Ok(())
}

/// What a record may take with everything around it, and what a torn one before it may claim.
pub(crate) const fn needed(length: usize) -> u32 {
    (length as u32).saturating_add(BUFFER as u32).saturating_add(4 * 32)
}

/// Bytes that are blank at the end of a page.
pub(crate) async fn room<F: NorFlash>(flash: &mut Paced<'_, F>, page: u32) -> Result<u32, FlashError<F::Error>> {
    let end = page.saturating_add(F::ERASE_SIZE as u32).saturating_sub(Paced::<F>::WORD);
    let used = flash.used_until(page..end).await?;
    Ok(end.saturating_sub(used))
}

/// The page in use.
pub(crate) async fn filling<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
) -> Result<Option<u32>, FlashError<F::Error>> {
    for page in Paced::<F>::pages(region) {
        if flash.state(page).await? == PageState::Filling {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

/// Notes every page that a cut-short erase has left without meaning: it reads as blank from then on.
pub(crate) async fn put_aside_remains<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
) -> Result<(), FlashError<F::Error>> {
    for page in Paced::<F>::pages(region) {
        let state = flash.state(page).await?;
        let end = page.saturating_add(F::ERASE_SIZE as u32);
        let remains = match state {
            PageState::HalfErased => true,
            PageState::Open => !flash.is_deferred(page) && !flash.is_blank(page..end).await?,
            PageState::Filling | PageState::Full => false,
        };
        if remains {
            flash.defer(page);
        }
    }
    Ok(())
}

/// Sorts out what a power cut has left of a bank, without writing: only pages are noted that read as blank from then on.
///
/// When a page is full, the library begins the next one, copies into it what is still valid in the oldest page, and gives
/// that one up to be erased. With the erase deferred, a cut leaves the oldest page as it was, and the library would take the
/// copying for unfinished and **erase the page in use** to begin anew. Whether the copying was finished shows itself: only
/// then is anything new written behind it. So if the page in use holds anything newer than all the rest, the oldest page
/// is put aside; otherwise the page in use is expendable, and the library may repair in its way.
pub(crate) async fn assess<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    buffers: &mut Buffers,
) -> Result<(), RegionError<F::Error>> {
    put_aside_remains(flash, region).await?;
    note_spares(flash, region).await?;
    sort_out(flash, region, buffers).await?;
    note_spares(flash, region).await
}

async fn sort_out<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    buffers: &mut Buffers,
) -> Result<(), RegionError<F::Error>> {
    let Some(page) = filling(flash, region).await? else { return Ok(()) };
    let next = Paced::<F>::next_page(region, page);
    // In a ring of two, or when the oldest page lost only its end mark, both look as if they were being filled.
    let other = if flash.state(next).await? == PageState::Filling {
        next
    } else {
        previous_filling(flash, region, page).await?
    };
    if other != page {
        let keep = newer_without(flash, region, page, other, buffers).await?;
        flash.defer(if keep == page { other } else { page });
        return Ok(());
    }
    if flash.state(next).await? != PageState::Full {
        return Ok(());
    }
    let before = flash.noted();
    let with = newest(flash, region, buffers).await;
    flash.defer(page);
    let without = newest(flash, region, buffers).await;
    flash.set_noted(before);
    if with > without {
        flash.defer(next);
    }
    Ok(())
}

/// Notes which blank pages are spare: all but the one behind the page in use, or, when that has just been closed, behind it.
async fn note_spares<F: NorFlash>(flash: &mut Paced<'_, F>, region: &Range<u32>) -> Result<(), RegionError<F::Error>> {
    for page in Paced::<F>::pages(region) {
        flash.set_spare(page, false);
    }
    let (mut filled, mut fillings, mut next, mut nexts) = (0, 0_u32, 0, 0_u32);
    let mut before = match Paced::<F>::pages(region).next_back() {
        Some(last) => flash.state(last).await?,
        None => return Ok(()),
    };
    for page in Paced::<F>::pages(region) {
        let state = flash.state(page).await?;
        if state == PageState::Filling {
            (filled, fillings) = (page, fillings.saturating_add(1));
        }
        if state == PageState::Open && before == PageState::Full {
            (next, nexts) = (page, nexts.saturating_add(1));
        }
        before = state;
    }
    let next = match (fillings, nexts) {
        (1, _) => Paced::<F>::next_page(region, filled),
        (0, 1) => next,
        // A new ring, or damage that the library sees as it is.
        _ => return Ok(()),
    };
    for page in Paced::<F>::pages(region) {
        if page != next && flash.state(page).await? == PageState::Open {
            flash.set_spare(page, true);
        }
    }
    Ok(())
}

/// How many pages of a bank are kept blank ahead of the one in use. More would be longer without an erase, and copy the newest
/// records more often.
pub(crate) const fn ahead(pages: u32) -> u32 {
    pages / 2
}

/// The oldest page, if fewer than [`ahead`] are blank and it is time to give it up: nothing in the ring waits for an erase, and
/// the page in use has room for the longest record, so that no copy turns the page. (The page in use must be known as such by
/// something new in it, not by copies: see [`assess`].)
pub(crate) async fn to_give_up<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
) -> Result<Option<u32>, RegionError<F::Error>> {
    let Some(page) = filling(flash, region).await? else { return Ok(None) };
    let mut oldest = Paced::<F>::next_page(region, page);
    if flash.state(oldest).await? != PageState::Open {
        return Ok(None);
    }
    let count = region.end.saturating_sub(region.start).checked_div(F::ERASE_SIZE as u32).unwrap_or(0);
    let mut blank = 0_u32;
    while blank < count && (blank == 0 || flash.is_spare(oldest)) {
        if flash.is_deferred(oldest) {
            return Ok(None);
        }
        blank = blank.saturating_add(1);
        oldest = Paced::<F>::next_page(region, oldest);
    }
    if blank >= ahead(count) || flash.state(oldest).await? != PageState::Full {
        return Ok(None);
    }
    Ok((room(flash, page).await? >= needed(BUFFER)).then_some(oldest))
}

/// Another page that looks as if it were being filled, or the page itself.
async fn previous_filling<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    page: u32,
) -> Result<u32, FlashError<F::Error>> {
    for candidate in Paced::<F>::pages(region) {
        if candidate != page && flash.state(candidate).await? == PageState::Filling {
            return Ok(candidate);
        }
    }
    Ok(page)
}

/// Which of two pages holds the newest record.
async fn newer_without<F: NorFlash>(
    flash: &mut Paced<'_, F>,
    region: &Range<u32>,
    one: u32,
    other: u32,
    buffers: &mut Buffers,
) -> Result<u32, RegionError<F::Error>> {
    let before = flash.noted();
    flash.defer(other);
    let of_one = newest(flash, region, buffers).await;
    flash.set_noted(before);
    flash.defer(one);
    let of_other = newest(flash, region, buffers).await;
    flash.set_noted(before);
    Ok(if of_one >= of_other { one } else { other })
}

/// The highest sequence number that can be read; 0 if nothing can.
pub(crate) async fn newest<F: NorFlash>(flash: &mut Paced<'_, F>, region: &Range<u32>, buffers: &mut Buffers) -> u32 {
    let mut newest = 0;
    for kind in Kind::ALL {
        if let Ok(Some(length)) = fetch(flash, region, kind, buffers).await
            && let Some(record) = buffers.open(kind, length)
        {
            newest = newest.max(record.sequence);
        }
    }
    newest
}
