//! NOR flash in a file: what a simulated board remembers between two runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use super::ram::{RamError, RamFlash};

/// Bytes of a word of the simulated board's flash.
pub const WORD: usize = 4;
/// Bytes of a page.
pub const PAGE: usize = 4_096;
/// Pages of each bank.
pub const BANK_PAGES: u32 = 8;
/// Pages of the log.
pub const LOG_PAGES: u32 = 8;

/// A flash of 24 pages of 4 kB, every change of which is written to a file at once.
#[derive(Debug)]
pub struct FileFlash {
    ram: RamFlash<WORD, PAGE>,
    file: File,
}

/// Why it refused.
#[derive(Debug)]
pub enum FileFlashError {
    /// As flash.
    Flash(RamError),
    /// The file.
    File(io::Error),
}

impl NorFlashError for FileFlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Flash(error) => error.kind(),
            Self::File(_) => NorFlashErrorKind::Other,
        }
    }
}

impl FileFlash {
    /// Opens the file; makes a blank one if there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is longer than this flash.
    pub fn open(path: &Path) -> io::Result<Self> {
        let length = (2 * BANK_PAGES + LOG_PAGES) as usize * PAGE;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.len() > length {
            let reason = format!("{} bytes are more than the {length} of a simulated board's store", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if bytes.len() < length {
            bytes.resize(length, 0xFF);
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&bytes)?;
        }
        Ok(Self { ram: RamFlash::with_content(bytes), file })
    }
    fn copy_out(&mut self, from: u32, to: u32) -> Result<(), FileFlashError> {
        let changed = self.ram.bytes().get(from as usize..to as usize).unwrap_or_default();
        self.file
            .seek(SeekFrom::Start(from.into()))
            .and_then(|_| self.file.write_all(changed))
            .map_err(FileFlashError::File)
    }
}

impl ErrorType for FileFlash {
    type Error = FileFlashError;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FileFlashError> {
        self.ram.read(offset, bytes).map_err(FileFlashError::Flash)
    }
    fn capacity(&self) -> usize {
        self.ram.capacity()
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FileFlashError> {
        self.ram.erase(from, to).map_err(FileFlashError::Flash)?;
        self.copy_out(from, to)
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FileFlashError> {
        self.ram.write(offset, bytes).map_err(FileFlashError::Flash)?;
        self.copy_out(offset, offset.saturating_add(bytes.len() as u32))
    }
}
