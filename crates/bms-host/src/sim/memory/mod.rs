//! `status`, `log` and `store-test`: what a store's image holds, and that nothing is lost in one.

mod events;
mod histogram;
mod plot;
mod status;
mod test;

pub use events::log;
pub use status::status;
pub use test::{TestArguments, Trial, campaign, store_test};

use std::path::PathBuf;

use clap::Args;

use crate::flash::{Contents, Geometry, read_image};

use super::failure::FileError;

/// An image, and how the flash is divided that it was dumped from. The defaults are those of the simulated board.
#[derive(Clone, Debug, Args)]
pub struct ImageArguments {
    /// The image: a file of --store, or one that was dumped from a chip.
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Bytes of a page.
    #[arg(long, default_value_t = Geometry::SIMULATED.page, value_name = "BYTES")]
    pub page: u32,
    /// Bytes of a word that is programmed at once: 1 for RP2040, 4 for ESP32 and STM32F4, 8 for STM32G0, G4, L4.
    #[arg(long, default_value_t = Geometry::SIMULATED.word, value_name = "BYTES")]
    pub word: u32,
    /// Pages of each of the two banks.
    #[arg(long, default_value_t = Geometry::SIMULATED.bank_pages, value_name = "PAGES")]
    pub bank_pages: u32,
    /// Pages of the log.
    #[arg(long, default_value_t = Geometry::SIMULATED.log_pages, value_name = "PAGES")]
    pub log_pages: u32,
    /// Where in the image the store begins.
    #[arg(long, default_value_t = Geometry::SIMULATED.start, value_name = "BYTES")]
    pub start: u32,
    /// Also write the table as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draw the plots too.
    #[arg(long)]
    pub plots: bool,
}

impl ImageArguments {
    fn read(&self) -> Result<Contents, FileError> {
        let file = &self.image;
        let bytes = std::fs::read(file).map_err(|error| FileError::whole(file, error))?;
        let geometry = Geometry {
            word: self.word,
            page: self.page,
            bank_pages: self.bank_pages,
            log_pages: self.log_pages,
            start: self.start,
        };
        read_image(&bytes, geometry).map_err(|error| FileError::whole(file, error))
    }
}

/// Rows as CSV.
fn csv(file: &std::path::Path, rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), FileError> {
    let unusable = |error: &dyn std::fmt::Display| FileError::whole(file, error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| unusable(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| unusable(&error))?;
    super::failure::write(file, &bytes)
}
