//! The firmware's ELF, with its block of parameters filled.

use std::path::Path;

use bms_core::config::ParameterId;
use object::{Object, ObjectSection, ObjectSymbol};

/// "BMSP", little-endian.
const MAGIC: u32 = 0x5053_4d42;

/// The image as it was built.
pub struct Firmware {
    bytes: Vec<u8>,
}

impl Firmware {
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { bytes })
    }
    /// Address and size of a symbol.
    pub fn symbol(&self, name: &str) -> Result<(u64, u64), String> {
        let file = object::File::parse(&*self.bytes).map_err(|error| error.to_string())?;
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.map(|symbol| (symbol.address(), symbol.size())).ok_or(format!("no symbol {name}"))
    }
    /// The same image with these parameters in its block, as a production tool would write them.
    pub fn with_parameters(&self, parameters: &[(ParameterId, i32)]) -> Result<Vec<u8>, String> {
        let (address, size) = self.symbol("BMS_PARAMETERS")?;
        let file = object::File::parse(&*self.bytes).map_err(|error| error.to_string())?;
        let section = file
            .sections()
            .find(|section| (section.address()..section.address() + section.size()).contains(&address))
            .ok_or("BMS_PARAMETERS lies in no section")?;
        let (start, _) = section.file_range().ok_or("BMS_PARAMETERS has no bytes in the file")?;
        let offset = usize::try_from(start + address - section.address()).map_err(|error| error.to_string())?;

        let count = u32::try_from(parameters.len()).map_err(|error| error.to_string())?;
        let entries: Vec<u32> =
            parameters.iter().flat_map(|(id, value)| [u32::from(*id as u8), value.cast_unsigned()]).collect();
        let sum = entries.iter().fold(count, |sum, word| sum.wrapping_add(*word));
        let words: Vec<u8> = [MAGIC, count, sum].iter().chain(&entries).flat_map(|word| word.to_le_bytes()).collect();
        if words.len() as u64 > size {
            return Err(format!("{count} parameters do not fit into {size} bytes"));
        }
        let mut bytes = self.bytes.clone();
        bytes[offset..offset + words.len()].copy_from_slice(&words);
        Ok(bytes)
    }
}
