//! Models of particular cells, for the program: fitted to laboratory data, or read from a file.

mod fitted;
pub mod own;

use std::path::Path;

use bms_core::config::Chemistry;
use bms_core::estimation::{CellModel, LI_ION, LIFEPO4, LTO};

use crate::sim::failure::FileError;

/// A cell with what a charger does to it.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Its chemistry.
    pub chemistry: Chemistry,
    /// The voltage at which its charge ends, V.
    pub charge_voltage: f64,
    /// Its model.
    pub model: CellModel,
}

/// The cells that are known by name.
pub const CELLS: [(&str, Cell); 9] = [
    ("pan", Cell { chemistry: Chemistry::LiIon, charge_voltage: 4.2, model: fitted::PAN }),
    ("a123", Cell { chemistry: Chemistry::LiFePo4, charge_voltage: 3.6, model: fitted::A123 }),
    ("lfpflat", Cell { chemistry: Chemistry::LiFePo4, charge_voltage: 3.6, model: fitted::LFPFLAT }),
    ("calce", Cell { chemistry: Chemistry::LiFePo4, charge_voltage: 3.6, model: fitted::CALCE }),
    ("ae_nmc", Cell { chemistry: Chemistry::LiIon, charge_voltage: 4.2, model: fitted::AE_NMC }),
    ("ae_lfp", Cell { chemistry: Chemistry::LiFePo4, charge_voltage: 3.6, model: fitted::AE_LFP }),
    ("li-ion", Cell { chemistry: Chemistry::LiIon, charge_voltage: 4.2, model: LI_ION }),
    ("lifepo4", Cell { chemistry: Chemistry::LiFePo4, charge_voltage: 3.55, model: LIFEPO4 }),
    ("lto", Cell { chemistry: Chemistry::Lto, charge_voltage: 2.7, model: LTO }),
];

/// A cell by its name, or from a file.
///
/// # Errors
/// If there is no such name and no usable file.
pub fn find(name: &str) -> Result<Cell, FileError> {
    if let Some((_, cell)) = CELLS.iter().find(|(known, _)| *known == name) {
        return Ok(*cell);
    }
    let path = Path::new(name);
    if path.is_file() {
        return own::load(path);
    }
    let names: Vec<&str> = CELLS.iter().map(|(name, _)| *name).collect();
    Err(FileError::whole(path, format!("no cell of this name ({}) and no such file", names.join(", "))))
}
