//! NOR flash in RAM.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// What happened to the flash: the unit in which a power cut may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A word was programmed.
    Write {
        /// Where.
        address: u32,
        /// Its first bytes; the word is as long as the flash's.
        word: [u8; 32],
    },
    /// A page was erased.
    Erase {
        /// Where it begins.
        address: u32,
    },
}

/// Why the flash refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RamError {
    /// The power is off.
    NoPower,
    /// Beyond the end, or not at a word or page.
    Address,
}

impl NorFlashError for RamError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NoPower => NorFlashErrorKind::Other,
            Self::Address => NorFlashErrorKind::OutOfBounds,
        }
    }
}

/// NOR flash in RAM: words of `WORD` bytes that can be programmed once, pages of `PAGE` bytes.
///
/// * Programming a word twice, other than with zeros, is against the rules of many chips (their words carry a check sum):
///   it is carried out as the AND of both, and counted in [`RamFlash::rewrites`].
/// * [`RamFlash::cut_after`] takes the power away after so many steps; the last one is done by half.
/// * [`RamFlash::stick`] keeps a page from changing ever again.
#[derive(Clone, Debug)]
pub struct RamFlash<const WORD: usize, const PAGE: usize> {
    bytes: Vec<u8>,
    wear: Vec<u32>,
    stuck: Vec<bool>,
    /// What was done, if it is written down.
    journal: Option<Vec<Step>>,
    steps_left: Option<u64>,
    noise: u64,
    /// Words that were programmed again without an erase.
    pub rewrites: u64,
    /// Words programmed.
    pub words: u64,
}

impl<const WORD: usize, const PAGE: usize> RamFlash<WORD, PAGE> {
    /// A blank flash.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        Self::with_content(vec![0xFF; pages * PAGE])
    }
    /// A flash with a content; what is missing of the last page is blank.
    #[must_use]
    pub fn with_content(mut bytes: Vec<u8>) -> Self {
        let pages = bytes.len().div_ceil(PAGE);
        bytes.resize(pages * PAGE, 0xFF);
        Self {
            bytes,
            wear: vec![0; pages],
            stuck: vec![false; pages],
            journal: None,
            steps_left: None,
            noise: 1,
            rewrites: 0,
            words: 0,
        }
    }
    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// How often each page was erased.
    #[must_use]
    pub fn wear(&self) -> &[u32] {
        &self.wear
    }
    /// Writes down every step from now on.
    pub fn start_journal(&mut self) {
        self.journal = Some(Vec::new());
    }
    /// How many steps were written down.
    #[must_use]
    pub fn journal_length(&self) -> usize {
        self.journal.as_ref().map_or(0, Vec::len)
    }
    /// What was written down.
    pub fn take_journal(&mut self) -> Vec<Step> {
        self.journal.take().unwrap_or_default()
    }
    /// The power goes during the last of this many more steps; `noise` decides what is left of it.
    pub fn cut_after(&mut self, steps: u64, noise: u64) {
        self.steps_left = Some(steps);
        self.noise = noise;
    }
    /// Power again.
    pub fn restore_power(&mut self) {
        self.steps_left = None;
    }
    /// Whether the power went.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.steps_left == Some(0)
    }
    /// A page that no longer changes.
    pub fn stick(&mut self, page: usize) {
        if let Some(stuck) = self.stuck.get_mut(page) {
            *stuck = true;
        }
    }
    /// Flips one bit, counted from the start.
    pub fn flip(&mut self, bit: usize) {
        if let Some(byte) = self.bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }
    /// Carries a step out.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Write { address, word } => {
                let start = *address as usize;
                for (slot, byte) in self.bytes.iter_mut().skip(start).zip(word.iter().take(WORD)) {
                    *slot &= byte;
                }
            }
            Step::Erase { address } => {
                self.bytes.iter_mut().skip(*address as usize).take(PAGE).for_each(|byte| *byte = 0xFF);
            }
        }
    }
    /// Carries a step out by half: some bits of a word are programmed, or some words of a page are erased.
    pub fn apply_torn(&mut self, step: &Step, noise: u64) {
        match step {
            Step::Write { address, word } => {
                let mut noise = Noise(noise);
                let mut part = *word;
                part.iter_mut().for_each(|byte| *byte |= noise.next().to_le_bytes()[0]);
                self.apply(&Step::Write { address: *address, word: part });
            }
            Step::Erase { address } => {
                let edge = Noise(noise).below(PAGE / WORD);
                self.apply_torn_erase(*address, edge, noise);
            }
        }
    }
    /// Erases a page until the power goes at the word `edge`, which is erased by half. `noise` decides whether the words
    /// before it are erased, those behind it, or any of both.
    pub fn apply_torn_erase(&mut self, address: u32, edge: usize, noise: u64) {
        let mut noise = Noise(noise);
        let way = noise.next() % 3;
        for number in 0..PAGE / WORD {
            let erased = match way {
                0 => number < edge,
                1 => number > edge,
                _ => noise.next().is_multiple_of(2),
            };
            for byte in self.bytes.iter_mut().skip(address as usize + number * WORD).take(WORD) {
                if number == edge {
                    *byte |= noise.next().to_le_bytes()[0];
                } else if erased {
                    *byte = 0xFF;
                }
            }
        }
    }
    fn step(&mut self, step: Step) -> Result<(), RamError> {
        let page = match step {
            Step::Write { address, .. } | Step::Erase { address } => address as usize / PAGE,
        };
        if self.is_cut() {
            return Err(RamError::NoPower);
        }
        if let Some(journal) = &mut self.journal {
            journal.push(step);
        }
        if let Some(left) = &mut self.steps_left {
            *left -= 1;
        }
        if self.stuck.get(page) == Some(&true) {
            return Ok(());
        }
        if self.is_cut() {
            self.apply_torn(&step, self.noise);
            return Err(RamError::NoPower);
        }
        match step {
            Step::Write { address, word } => {
                self.words += 1;
                let old = self.bytes.iter().skip(address as usize).take(WORD);
                let again = old.clone().any(|byte| *byte != 0xFF) && word.iter().take(WORD).any(|byte| *byte != 0);
                self.rewrites += u64::from(again);
            }
            Step::Erase { .. } => {
                if let Some(wear) = self.wear.get_mut(page) {
                    *wear += 1;
                }
            }
        }
        self.apply(&step);
        Ok(())
    }
}

/// SplitMix64: small, named, and the same everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

impl<const WORD: usize, const PAGE: usize> ErrorType for RamFlash<WORD, PAGE> {
    type Error = RamError;
}

impl<const WORD: usize, const PAGE: usize> ReadNorFlash for RamFlash<WORD, PAGE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), RamError> {
        let start = offset as usize;
        let source = self.bytes.get(start..start + bytes.len()).ok_or(RamError::Address)?;
        bytes.copy_from_slice(source);
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WORD: usize, const PAGE: usize> NorFlash for RamFlash<WORD, PAGE> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), RamError> {
        if !(from as usize).is_multiple_of(PAGE)
            || !(to as usize).is_multiple_of(PAGE)
            || to as usize > self.bytes.len()
        {
            return Err(RamError::Address);
        }
        for page in from as usize / PAGE..to as usize / PAGE {
            self.step(Step::Erase { address: (page * PAGE) as u32 })?;
        }
        Ok(())
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RamError> {
        let start = offset as usize;
        if !start.is_multiple_of(WORD) || !bytes.len().is_multiple_of(WORD) || start + bytes.len() > self.bytes.len() {
            return Err(RamError::Address);
        }
        for (number, chunk) in bytes.chunks(WORD).enumerate() {
            let mut word = [0xFF; 32];
            for (slot, byte) in word.iter_mut().zip(chunk) {
                *slot = *byte;
            }
            self.step(Step::Write { address: (start + number * WORD) as u32, word })?;
        }
        Ok(())
    }
}
