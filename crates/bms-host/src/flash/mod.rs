//! Flash memories for [`bms_store`] on a desk: in RAM with everything that can go wrong, in a file, as the image of a chip;
//! and the campaign that shows that nothing is lost.

pub mod campaign;
mod file;
mod image;
mod ram;

pub use file::{BANK_PAGES, FileFlash, FileFlashError, LOG_PAGES};
pub use image::{Contents, Geometry, ImageError, read_image};
pub use ram::{RamError, RamFlash, Step};
