//! Cell chemistries: the presets' names, the caps that nothing exceeds, and the window of the first samples.

use crate::units::{Voltage, mv};

/// A cell chemistry, one of the manual's three presets (§5.3.2 a–c, Appendix 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Chemistry {
    /// Ternary lithium: NMC, NCA.
    LiIon,
    /// Lithium iron phosphate.
    LiFePo4,
    /// Lithium titanate.
    Lto,
}

impl Chemistry {
    /// All of them, in the order of the manual's table.
    pub const ALL: [Self; 3] = [Self::LiIon, Self::LiFePo4, Self::Lto];

    /// The name in files and tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiIon => "li-ion",
            Self::LiFePo4 => "lifepo4",
            Self::Lto => "lto",
        }
    }
    /// The chemistry with this name; `nmc`, `nca` and `lfp` are accepted too.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "li-ion" | "nmc" | "nca" => Some(Self::LiIon),
            "lifepo4" | "lfp" => Some(Self::LiFePo4),
            "lto" => Some(Self::Lto),
            _ => None,
        }
    }
    /// The highest over-voltage protection that any parameter or link can set (D31).
    #[must_use]
    pub const fn overvoltage_cap(self) -> Voltage {
        match self {
            Self::LiIon => mv(4_350),
            Self::LiFePo4 => mv(3_800),
            Self::Lto => mv(2_850),
        }
    }
    /// The lowest under-voltage protection that any parameter or link can set (D31).
    #[must_use]
    pub const fn undervoltage_floor(self) -> Voltage {
        match self {
            Self::LiIon => mv(2_500),
            Self::LiFePo4 => mv(2_000),
            Self::Lto => mv(1_500),
        }
    }
    /// The highest voltage that a healthy cell of this chemistry can show at the first sample (X15).
    #[must_use]
    pub const fn plausible_maximum(self) -> Voltage {
        match self {
            Self::LiIon => mv(4_500),
            Self::LiFePo4 => mv(3_900),
            Self::Lto => mv(3_000),
        }
    }
    /// The highest voltage at which **all** cells of a pack may stand at the first sample before the
    /// preset is taken for a wrong one: a pack that is wholly below its deep-discharge limit is more
    /// likely of another chemistry (X15).
    #[must_use]
    pub const fn plausible_minimum(self) -> Voltage {
        match self {
            Self::LiIon => mv(1_800),
            Self::LiFePo4 => mv(1_500),
            Self::Lto => mv(1_000),
        }
    }
}
