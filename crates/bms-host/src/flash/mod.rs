//! Flash memories for [`bms_store`] on a desk: in RAM with everything that can go wrong, in a file, and the campaign that
//! shows that nothing is lost.

pub mod campaign;
mod ram;

pub use ram::{RamError, RamFlash, Step};
