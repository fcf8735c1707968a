//! Where in the flash everything lies, and what kinds of records there are.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;

use crate::paced::MAXIMUM_PAGES;

/// Longest record with its envelope and key, and the buffer for it.
pub(crate) const BUFFER: usize = 512;
/// Smallest page: room for the newest record of every kind, and for one more.
pub(crate) const SMALLEST_PAGE: u32 = 2_048;

/// What a record is about. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Which records there must be: the newest sequence number of every other kind.
    Directory = 1,
    /// The configuration.
    Config = 2,
    /// Active alarms, permanent faults, trip counts and lock-outs, the user's switches.
    Faults = 3,
    /// State of charge, capacity, cycles, run time, what was learned.
    Counters = 4,
    /// Passwords and who may do what: an opaque record of the access control.
    Access = 5,
    /// Lifetime statistics.
    Statistics = 6,
    /// What the balancing strategy has learned.
    Balancing = 7,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Directory, Self::Config, Self::Faults, Self::Counters, Self::Access, Self::Statistics, Self::Balancing];

    /// The name in tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Config => "configuration",
            Self::Faults => "faults",
            Self::Counters => "counters",
            Self::Access => "access",
            Self::Statistics => "statistics",
            Self::Balancing => "balancing",
        }
    }
    /// The version that this build writes, and the newest that it reads.
    #[must_use]
    pub const fn version(self) -> u8 {
        match self {
            Self::Directory | Self::Config | Self::Access | Self::Statistics | Self::Balancing => 1,
            // 2: which sensors had delivered.
            Self::Faults => 2,
            // 2: what the estimator has learned.
            Self::Counters => 2,
        }
    }
    pub(crate) const fn index(self) -> usize {
        (self as usize).saturating_sub(1)
    }
}

/// Three rings of pages: two banks that hold the same, and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Layout {
    pub(crate) banks: [Range<u32>; 2],
    pub(crate) log: Range<u32>,
}

/// Why a layout is impossible on this flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LayoutError {
    /// Its start is not the start of a page.
    NotAtPage,
    /// A page is smaller than 2 kB, or a word longer than 32 bytes.
    Unsuitable,
    /// A bank needs two pages, the log three.
    TooFewPages,
    /// More than 64 pages in all, or beyond the end of the flash.
    TooLarge,
}

impl Layout {
    /// Two banks of `bank` pages each, and a log of `log` pages behind them, from `start` on.
    ///
    /// # Errors
    /// What does not fit this flash.
    pub fn new<F: NorFlash>(flash: &F, start: u32, bank: u32, log: u32) -> Result<Self, LayoutError> {
        let page = F::ERASE_SIZE as u32;
        if page < SMALLEST_PAGE || F::WRITE_SIZE > 32 || F::READ_SIZE > 32 || F::WRITE_SIZE == 0 || F::READ_SIZE == 0 {
            return Err(LayoutError::Unsuitable);
        }
        if !start.is_multiple_of(page) {
            return Err(LayoutError::NotAtPage);
        }
        if bank < 2 || log < 3 {
            return Err(LayoutError::TooFewPages);
        }
        let pages = bank.checked_mul(2).and_then(|banks| banks.checked_add(log)).ok_or(LayoutError::TooLarge)?;
        if pages > MAXIMUM_PAGES {
            return Err(LayoutError::TooLarge);
        }
        let end_of = |pages: u32| pages.checked_mul(page).and_then(|length| start.checked_add(length));
        let bank_end = end_of(bank).ok_or(LayoutError::TooLarge)?;
        let banks_end = end_of(bank.saturating_mul(2)).ok_or(LayoutError::TooLarge)?;
        let end = end_of(pages).ok_or(LayoutError::TooLarge)?;
        if end as usize > flash.capacity() {
            return Err(LayoutError::TooLarge);
        }
        Ok(Self { banks: [start..bank_end, bank_end..banks_end], log: banks_end..end })
    }
    /// Where the store begins.
    #[must_use]
    pub const fn start(&self) -> u32 {
        let [first, _] = &self.banks;
        first.start
    }
    /// The banks.
    #[must_use]
    pub fn banks(&self) -> [Range<u32>; 2] {
        self.banks.clone()
    }
    /// The log.
    #[must_use]
    pub fn log(&self) -> Range<u32> {
        self.log.clone()
    }
}
