//! The flash as the library below sees it: written at the gate's pace, verified, erased later.

use core::ops::Range;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use crate::gate::Gate;

/// Most pages that a store can have: one bit each.
pub(crate) const MAXIMUM_PAGES: u32 = 64;

/// Why the flash did not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The driver of the flash says so.
    Driver(E),
    /// A page is not blank after it was erased: worn out or stuck.
    NotErased {
        /// Where it begins.
        address: u32,
    },
    /// What was read back is not what was written: worn out or stuck.
    NotWritten {
        /// Where.
        address: u32,
    },
    /// Only reading is allowed now.
    ReadOnly,
}

impl<E: NorFlashError> NorFlashError for FlashError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Driver(error) => error.kind(),
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// How the library uses the two marks at both ends of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageState {
    /// No mark: blank.
    Open,
    /// It is being filled.
    Filling,
    /// Full.
    Full,
    /// Only the mark at its end: an erase was cut short.
    HalfErased,
}

/// Which pages have still to be erased, and which are spare.
#[derive(Clone, Copy)]
pub(crate) struct Noted(u64, u64);

/// Paces, verifies and defers.
///
/// **Erasing is deferred**: a page that the library has done with is only noted down and reads as blank from then on; the
/// flash is erased when the gate allows it, or before the page is written again. So the space for what comes next is
/// ready long before it is needed, and nothing waits for an erase meanwhile. What a power cut in between leaves is sorted
/// out at the next start (`bank.rs`).
///
/// **Spare pages** are erased ahead of their use. The library knows of one blank page behind the one in use and finds its
/// way by it; with several it could lose it. So the others are shown to it as closed and empty: it passes over them when
/// it reads, and "erases" one, which costs nothing, when it needs the next.
#[derive(Debug)]
pub(crate) struct Paced<'g, F> {
    flash: F,
    gate: &'g Gate,
    /// Start of the store, a multiple of the page size.
    start: u32,
    /// Pages that read as blank and have still to be erased, bit 0 for the first one.
    deferred: u64,
    /// Blank pages that the library sees as closed and empty, bit 0 for the first one.
    spare: u64,
    pub read_only: bool,
    pub erases: u32,
}

impl<'g, F: NorFlash> Paced<'g, F> {
    const PAGE: u32 = F::ERASE_SIZE as u32;
    /// The word of reading and writing, as the library has it.
    pub const WORD: u32 = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE as u32 } else { F::READ_SIZE as u32 };

    pub const fn new(flash: F, gate: &'g Gate, start: u32) -> Self {
        Self { flash, gate, start, deferred: 0, spare: 0, read_only: true, erases: 0 }
    }
    pub fn into_flash(self) -> F {
        self.flash
    }
    pub const fn flash(&self) -> &F {
        &self.flash
    }
    pub const fn gate(&self) -> &'g Gate {
        self.gate
    }
    fn bit(&self, address: u32) -> u64 {
        let page = address.saturating_sub(self.start).checked_div(Self::PAGE).unwrap_or(0);
        if page < MAXIMUM_PAGES { 1_u64.wrapping_shl(page) } else { 0 }
    }
    fn page_of(address: u32) -> u32 {
        address.saturating_sub(address.checked_rem(Self::PAGE).unwrap_or(0))
    }
    /// How many pages have still to be erased.
    pub const fn pages_to_erase(&self) -> u32 {
        self.deferred.count_ones()
    }
    /// What is noted of the pages, to be put back after an attempt.
    pub const fn noted(&self) -> Noted {
        Noted(self.deferred, self.spare)
    }
    pub const fn set_noted(&mut self, Noted(deferred, spare): Noted) {
        (self.deferred, self.spare) = (deferred, spare);
    }
    /// Lets a page read as blank from now on.
    pub fn defer(&mut self, page: u32) {
        self.deferred |= self.bit(page);
    }
    pub fn is_deferred(&self, page: u32) -> bool {
        self.deferred & self.bit(page) != 0
    }
    /// Shows a page as closed and empty, or no longer so.
    pub fn set_spare(&mut self, page: u32, spare: bool) {
        let bit = self.bit(page);
        if spare {
            self.spare |= bit;
        } else {
            self.spare &= !bit;
        }
    }
    pub fn is_spare(&self, page: u32) -> bool {
        self.spare & self.bit(page) != 0
    }
    /// The pages of a region.
    pub fn pages(region: &Range<u32>) -> impl DoubleEndedIterator<Item = u32> + use<F> {
        let start = region.start;
        let count = region.end.saturating_sub(start).checked_div(Self::PAGE).unwrap_or(0);
        (0..count).map(move |page| start.saturating_add(page.saturating_mul(Self::PAGE)))
    }
    /// The page behind another in the ring.
    pub fn next_page(region: &Range<u32>, page: u32) -> u32 {
        let next = page.saturating_add(Self::PAGE);
        if next >= region.end { region.start } else { next }
    }

    /// Erases a deferred page now, as soon as the gate allows it.
    pub async fn erase_now(&mut self, page: u32) -> Result<(), FlashError<F::Error>> {
        if self.read_only {
            return Err(FlashError::ReadOnly);
        }
        self.gate.erase().await;
        self.erases = self.erases.saturating_add(1);
        let end = page.saturating_add(Self::PAGE);
        self.flash.erase(page, end).await.map_err(FlashError::Driver)?;
        let blank = self.is_blank(page..end).await?;
        if !blank {
            return Err(FlashError::NotErased { address: page });
        }
        self.deferred &= !self.bit(page);
        Ok(())
    }
    /// What stands in the flash itself, deferred or not, in pieces; ends early when `each` says `false`.
    async fn scan(
        &mut self,
        range: Range<u32>,
        backwards: bool,
        mut each: impl FnMut(u32, &[u8]) -> bool,
    ) -> Result<(), FlashError<F::Error>> {
        const PIECE: u32 = 64;
        let mut piece = [0; PIECE as usize];
        let count = range.end.saturating_sub(range.start).div_ceil(PIECE);
        for number in 0..count {
            let number = if backwards { count.saturating_sub(number).saturating_sub(1) } else { number };
            let at = range.start.saturating_add(number.saturating_mul(PIECE));
            let length = range.end.saturating_sub(at).min(PIECE);
            let Some(bytes) = piece.get_mut(..length as usize) else { break };
            self.gate.read(bytes.len()).await;
            self.flash.read(at, bytes).await.map_err(FlashError::Driver)?;
            if !each(at, bytes) {
                break;
            }
        }
        Ok(())
    }
    /// Whether the flash itself is blank there.
    pub async fn is_blank(&mut self, range: Range<u32>) -> Result<bool, FlashError<F::Error>> {
        let mut blank = true;
        self.scan(range, false, |_, bytes| {
            blank = bytes.iter().all(|byte| *byte == 0xFF);
            blank
        })
        .await?;
        Ok(blank)
    }
    /// How many bits are programmed in a range of the flash itself.
    pub async fn programmed(&mut self, range: Range<u32>) -> Result<u32, FlashError<F::Error>> {
        let mut zeros = 0_u32;
        self.scan(range, false, |_, bytes| {
            zeros = bytes.iter().fold(zeros, |zeros, byte| zeros.saturating_add(byte.count_zeros()));
            true
        })
        .await?;
        Ok(zeros)
    }
    /// The end of what is written in a range of the flash itself: behind the last byte that is not blank.
    pub async fn used_until(&mut self, range: Range<u32>) -> Result<u32, FlashError<F::Error>> {
        let mut end = range.start;
        self.scan(range, true, |at, bytes| match bytes.iter().rposition(|byte| *byte != 0xFF) {
            Some(last) => {
                end = at.saturating_add(u32::try_from(last).unwrap_or(0)).saturating_add(1);
                false
            }
            None => true,
        })
        .await?;
        Ok(end)
    }
    /// How the library will see a page (its own rule: a mark counts from four zero bits on).
    pub async fn state(&mut self, page: u32) -> Result<PageState, FlashError<F::Error>> {
        if self.is_spare(page) {
            return Ok(PageState::Full);
        }
        if self.is_deferred(page) {
            return Ok(PageState::Open);
        }
        let last = page.saturating_add(Self::PAGE).saturating_sub(F::READ_SIZE as u32);
        Ok(match (self.marked(page).await?, self.marked(last).await?) {
            (false, false) => PageState::Open,
            (true, false) => PageState::Filling,
            (true, true) => PageState::Full,
            (false, true) => PageState::HalfErased,
        })
    }
    async fn marked(&mut self, address: u32) -> Result<bool, FlashError<F::Error>> {
        let mut word = [0xFF; 32];
        let Some(bytes) = word.get_mut(..F::READ_SIZE) else { return Ok(false) };
        self.flash.read(address, bytes).await.map_err(FlashError::Driver)?;
        Ok(bytes.iter().map(|byte| byte.count_zeros()).sum::<u32>() >= 4)
    }
}

impl<F: NorFlash> ErrorType for Paced<'_, F> {
    type Error = FlashError<F::Error>;
}

impl<F: NorFlash> ReadNorFlash for Paced<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.gate.read(bytes.len()).await;
        if self.deferred | self.spare == 0 {
            return self.flash.read(offset, bytes).await.map_err(FlashError::Driver);
        }
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = Self::page_of(at).saturating_add(Self::PAGE);
            let length = rest.len().min(end.saturating_sub(at) as usize).max(1);
            let Some((piece, behind)) = rest.split_at_mut_checked(length) else { break };
            if self.is_spare(at) {
                // Nothing between the two marks.
                let last = Self::PAGE.saturating_sub(F::READ_SIZE as u32);
                let first = at.saturating_sub(Self::page_of(at));
                for (place, byte) in (first..).zip(piece.iter_mut()) {
                    *byte = if place < F::READ_SIZE as u32 || place >= last { 0 } else { 0xFF };
                }
            } else if self.is_deferred(at) {
                piece.fill(0xFF);
            } else {
                self.flash.read(at, piece).await.map_err(FlashError::Driver)?;
            }
            at = at.saturating_add(length as u32);
            rest = behind;
        }
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<F: NorFlash> NorFlash for Paced<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        for page in Self::pages(&(from..to)) {
            if self.is_spare(page) {
                self.set_spare(page, false);
            } else {
                self.defer(page);
            }
        }
        Ok(())
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        if self.read_only {
            return Err(FlashError::ReadOnly);
        }
        if self.is_deferred(offset) {
            self.erase_now(Self::page_of(offset)).await?;
        }
        let chunk = Gate::CHUNK.next_multiple_of(F::WRITE_SIZE.max(1));
        let mut at = offset;
        for piece in bytes.chunks(chunk) {
            self.gate.write(piece.len()).await;
            self.flash.write(at, piece).await.map_err(FlashError::Driver)?;
            let mut expected = piece.iter();
            let mut same = true;
            let end = at.saturating_add(piece.len() as u32);
            self.scan(at..end, false, |_, read| {
                same &= read.iter().all(|byte| expected.next() == Some(byte));
                same
            })
            .await?;
            if !same {
                return Err(FlashError::NotWritten { address: at });
            }
            at = end;
        }
        Ok(())
    }
}
