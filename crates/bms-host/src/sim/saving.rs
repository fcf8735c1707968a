//! What a simulated board remembers between two runs: `--store FILE`.
//!
//! The file is the image of the board's flash. Beside it stands `FILE.pack`, with the true state of the simulated cells, as
//! a battery on a shelf would keep it.

use std::path::{Path, PathBuf};

use bms_core::Bms;
use bms_core::config::ValidConfig;
use bms_core::event::Event;
use bms_core::time::{Instant, ms};
use bms_store::{AccessBytes, Blocking, Gate, Keeper, Layout, Loaded, Stall, Store, now};

use crate::flash::{BANK_PAGES, FileFlash, LOG_PAGES};

use super::failure::{FileError, write};

/// A board's store in a file.
#[derive(Debug)]
pub struct Saving {
    file: PathBuf,
    store: Store<'static, Blocking<FileFlash>>,
    keeper: Keeper,
    /// What the firmware was built for.
    firmware: ValidConfig,
}

/// A desk has time: its gate is always free.
fn free_gate() -> &'static Gate {
    thread_local! {
        static GATE: &'static Gate = Box::leak(Box::new(Gate::open()));
    }
    GATE.with(|gate| *gate)
}

/// The simulated board's flash: a word in 0.1 ms, a page in 45 ms.
const STALL: Stall = Stall { write: ms(2), erase: ms(45) };

impl Saving {
    /// Opens the file, or makes a blank one, and loads what is in it.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(file: &Path, firmware: &ValidConfig) -> Result<(Self, Loaded), FileError> {
        let unusable = |error: &dyn std::fmt::Display| FileError::whole(file, error);
        let flash = Blocking(FileFlash::open(file).map_err(|error| unusable(&error))?);
        let layout = Layout::new(&flash, 0, BANK_PAGES, LOG_PAGES).map_err(|_| unusable(&"too small"))?;
        let opened = now(Store::open(flash, free_gate(), layout, firmware));
        let (mut store, loaded) = opened.ok_or_else(|| unusable(&"cannot be read"))?;
        now(store.start());
        let saving = Self { file: file.to_owned(), store, keeper: Keeper::new(STALL), firmware: *firmware };
        saving.keeper.begin(&loaded, &loaded.config_or(firmware));
        Ok((saving, loaded))
    }
    /// Opens the same file again, as after a reset.
    ///
    /// # Errors
    /// The file cannot be used any more.
    pub fn again(self) -> Result<(Self, Loaded), FileError> {
        Self::open(&self.file, &self.firmware)
    }
    /// The calendar's time, in seconds since 1970, at the time 0 of the core; for a board in real time.
    pub fn set_calendar(&self, seconds: u64) {
        self.keeper.set_calendar(seconds, Instant::ZERO);
    }
    /// Saves the access record, at once: nothing may be answered before.
    pub fn access(&mut self, record: &[u8], at: Instant) {
        if let Some(record) = AccessBytes::from_bytes(record) {
            self.keeper.access(record, at);
            self.save();
        }
    }
    /// Hears the events of a step and that it was done; saves what is due.
    pub fn step(&mut self, now_is: Instant, events: &[Event], bms: &mut Bms) {
        for event in events {
            self.keeper.event(event, bms);
        }
        self.keeper.after_step(now_is, bms);
        self.save();
    }
    fn save(&mut self) {
        while now(self.keeper.work(&mut self.store)) == Some(true) {}
        now(self.store.tidy());
    }
    /// Saves everything, and the cells' true state of charge (0 to 1) beside it.
    ///
    /// # Errors
    /// The file beside it cannot be written.
    pub fn finish(&mut self, socs: Option<Vec<f64>>) -> Result<(), FileError> {
        self.keeper.save_everything();
        self.save();
        match socs {
            Some(socs) => {
                let lines: String = socs.iter().map(|soc| format!("{soc:.9}\n")).collect();
                write(&beside(&self.file), lines.as_bytes())
            }
            None => Ok(()),
        }
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pack");
    name.into()
}

/// The true state of charge of each cell at the end of the last run with this store, 0 to 1; `None` if there was none, or of
/// another number of cells.
///
/// # Errors
/// The file makes no sense.
pub fn cells_before(file: &Path, count: u8) -> Result<Option<Vec<f64>>, FileError> {
    let path = beside(file);
    if !path.exists() {
        return Ok(None);
    }
    let text = super::failure::read(&path)?;
    let mut socs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let soc = line.parse::<f64>().ok().filter(|soc| (0.0..=1.0).contains(soc));
        socs.push(soc.ok_or_else(|| FileError::at(&path, number + 1, "expected a state of charge, 0 to 1"))?);
    }
    Ok((socs.len() == usize::from(count)).then_some(socs))
}
