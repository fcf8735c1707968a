//! A block of parameters in flash that a production tool may fill without building the firmware anew.

use core::hint::black_box;

use bms_core::config::{ParameterId, ValidConfig, Violations};

/// "BMSP", little-endian.
const MAGIC: u32 = 0x5053_4d42;

/// Up to `N` parameters that replace those of the firmware, as words: magic, count, checksum, then number and value of each.
///
/// Give it a symbol of its own, so that a programmer finds it in the ELF:
/// ```
/// # use bms_hal::ParameterBlock;
/// #[unsafe(no_mangle)]
/// static BMS_PARAMETERS: ParameterBlock<16> = ParameterBlock::EMPTY;
/// ```
/// The numbers are those of `ParameterId`; the checksum is the sum of all numbers and values plus the count, wrapping.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ParameterBlock<const N: usize> {
    magic: u32,
    count: u32,
    checksum: u32,
    entries: [[u32; 2]; N],
}

/// Why a block was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Magic, count or checksum is wrong.
    Corrupt,
    /// There is no parameter of this number.
    Unknown(u32),
    /// With it the configuration would be wrong.
    Invalid(Violations),
}

impl<const N: usize> ParameterBlock<N> {
    /// No parameter: the firmware's configuration stands.
    pub const EMPTY: Self = Self { magic: MAGIC, count: 0, checksum: 0, entries: [[0; 2]; N] };

    /// The configuration with the block's parameters, checked as a whole.
    ///
    /// # Errors
    /// Nothing of the block is used then. Start with `Stored::Corrupt`, so that the pack stays open and says so.
    pub fn apply(&'static self, config: ValidConfig) -> Result<ValidConfig, Refused> {
        // What stands in flash may differ from what was compiled.
        let block = black_box(self);
        let count = usize::try_from(block.count).unwrap_or(usize::MAX);
        let Some(entries) = block.entries.get(..count).filter(|_| block.magic == MAGIC) else {
            return Err(Refused::Corrupt);
        };
        let sum = entries.iter().flatten().fold(block.count, |sum, word| sum.wrapping_add(*word));
        if sum != block.checksum {
            return Err(Refused::Corrupt);
        }
        if entries.is_empty() {
            return Ok(config);
        }
        let mut changed = config.to_config();
        for [number, value] in entries {
            let parameter = u8::try_from(*number).ok().and_then(ParameterId::from_number);
            changed = changed.with(parameter.ok_or(Refused::Unknown(*number))?, value.cast_signed());
        }
        changed.validate().map_err(Refused::Invalid)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use bms_core::config::{Config, Model};

    const PACK: ValidConfig = const { Config::lifepo4(8).with_model(Model::B2a8s20p).validated() };

    const fn block(entries: [[u32; 2]; 2], error: u32) -> ParameterBlock<2> {
        let [[a, b], [c, d]] = entries;
        let checksum = 2 + a + b + c + d;
        ParameterBlock { magic: MAGIC, count: 2, checksum: checksum ^ error, entries }
    }
    const DELAY: u32 = ParameterId::DischargeOvercurrentDelay as u32;
    const RELEASE: u32 = ParameterId::DischargeOvercurrentRelease as u32;

    #[test]
    fn a_block_replaces_parameters_or_nothing() {
        static EMPTY: ParameterBlock<2> = ParameterBlock::EMPTY;
        static SHORT: ParameterBlock<2> = block([[DELAY, 1_000], [RELEASE, 2_000]], 0);
        static BROKEN: ParameterBlock<2> = block([[DELAY, 1_000], [RELEASE, 2_000]], 1);
        static UNKNOWN: ParameterBlock<2> = block([[DELAY, 1_000], [999, 2_000]], 0);
        static WRONG: ParameterBlock<2> = block([[DELAY, 1_000], [RELEASE, 1]], 0);
        assert_eq!(EMPTY.apply(PACK), Ok(PACK));
        let short = SHORT.apply(PACK).map(|config| config.get(ParameterId::DischargeOvercurrentRelease));
        assert_eq!(short, Ok(2_000));
        assert_eq!(BROKEN.apply(PACK), Err(Refused::Corrupt));
        assert_eq!(UNKNOWN.apply(PACK), Err(Refused::Unknown(999)));
        assert!(matches!(WRONG.apply(PACK), Err(Refused::Invalid(_))));
    }
}
