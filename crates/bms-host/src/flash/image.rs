//! Reading a store's image, whatever flash it was dumped from.

use bms_core::config::{Chemistry, Config, ValidConfig};
use bms_core::units::amps;
use bms_store::{Blocking, ConfigProblem, Entry, Gate, Identity, Layout, LayoutError, Loaded, Store, now};

use super::ram::RamFlash;

/// How a flash is divided, and what of it the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a word that is programmed at once.
    pub word: u32,
    /// Bytes of a page.
    pub page: u32,
    /// Pages of each bank.
    pub bank_pages: u32,
    /// Pages of the log.
    pub log_pages: u32,
    /// Where in the image the store begins.
    pub start: u32,
}

impl Geometry {
    /// That of the simulated board.
    pub const SIMULATED: Self = Self {
        word: super::file::WORD as u32,
        page: super::file::PAGE as u32,
        bank_pages: super::file::BANK_PAGES,
        log_pages: super::file::LOG_PAGES,
        start: 0,
    };
}

/// Why an image cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// No flash has such words or pages.
    Geometry,
    /// The layout does not fit the image.
    Layout(LayoutError),
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Geometry => "words are 1, 2, 4, 8, 16 or 32 bytes long, pages 2, 4, 8, 16, 32, 64 or 128 kB",
            Self::Layout(LayoutError::NotAtPage) => "the store does not begin at a page",
            Self::Layout(LayoutError::TooFewPages) => "a bank needs two pages, the log three",
            Self::Layout(LayoutError::TooLarge) => "the image is shorter than that many pages",
            Self::Layout(_) => "the store cannot lie like this",
        })
    }
}

/// What is in an image.
#[derive(Clone, Debug)]
pub struct Contents {
    /// What was loaded.
    pub loaded: Loaded,
    /// The pack that the firmware was built for, if a configuration says so.
    pub identity: Option<Identity>,
    /// The log, oldest first.
    pub entries: Vec<Entry>,
}

/// Reads an image; it is never changed.
///
/// # Errors
/// The geometry is impossible. Content, however damaged, is no error: [`Contents::loaded`] says what was found.
pub fn read_image(bytes: &[u8], geometry: Geometry) -> Result<Contents, ImageError> {
    macro_rules! dispatch {
        ($($word:literal)*; $pages:tt) => {
            match geometry.word { $($word => dispatch!(@ $word $pages),)* _ => Err(ImageError::Geometry) }
        };
        (@ $word:literal ($($page:literal)*)) => {
            match geometry.page { $($page => read_as::<$word, $page>(bytes, geometry),)* _ => Err(ImageError::Geometry) }
        };
    }
    dispatch!(1 2 4 8 16 32; (2_048 4_096 8_192 16_384 32_768 65_536 131_072))
}

fn read_as<const WORD: usize, const PAGE: usize>(bytes: &[u8], geometry: Geometry) -> Result<Contents, ImageError> {
    // Any firmware: which one it was, the image itself says.
    let any =
        firmware(Identity { chemistry: Chemistry::LiFePo4, cells: 16, model: None }).ok_or(ImageError::Geometry)?;
    let mut contents = read_with::<WORD, PAGE>(bytes, geometry, &any)?;
    if let Some(ConfigProblem::OtherPack(identity)) = contents.loaded.report.config
        && let Some(own) = firmware(identity)
    {
        contents = read_with::<WORD, PAGE>(bytes, geometry, &own)?;
        contents.identity = Some(identity);
    } else if contents.loaded.config.is_some() {
        contents.identity = Some(Identity::of(&any));
    }
    Ok(contents)
}

fn read_with<const WORD: usize, const PAGE: usize>(
    bytes: &[u8],
    geometry: Geometry,
    firmware: &ValidConfig,
) -> Result<Contents, ImageError> {
    let gate = Gate::open();
    let flash = Blocking(RamFlash::<WORD, PAGE>::with_content(bytes.to_vec()));
    let layout = Layout::new(&flash, geometry.start, geometry.bank_pages, geometry.log_pages);
    let layout = layout.map_err(ImageError::Layout)?;
    let opened = now(Store::open(flash, &gate, layout, firmware));
    let (mut store, loaded) = opened.ok_or(ImageError::Geometry)?;
    let mut entries = Vec::new();
    // An unreadable log is said in the report.
    let _ = now(store.for_each_entry(|entry| entries.push(entry)));
    Ok(Contents { loaded, identity: None, entries })
}

/// A firmware's built-in configuration for a pack.
fn firmware(identity: Identity) -> Option<ValidConfig> {
    let second = bms_core::time::secs(30);
    let config = Config::preset(identity.chemistry, identity.cells);
    let config = match identity.model {
        Some(model) => config.with_model(model),
        None => config.with_charge_limit(amps(100), second).with_discharge_limit(amps(100), second),
    };
    config.validate().ok()
}
