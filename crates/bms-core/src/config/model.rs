//! The manual's table of models (§2.1, table 1 and 2): ratings to start a configuration from.

use super::chemistry::Chemistry;
use crate::units::{Current, Power, Resistance, amps, ma};

/// A model of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(missing_docs, reason = "the names are the manual's; the table below is their documentation")]
#[repr(u8)]
#[non_exhaustive]
pub enum Model {
    Bd6a17s6p,
    Bd6a20s6p,
    Bd6a24s6p,
    Bd6a17s8p,
    Bd6a20s8p,
    Bd6a24s8p,
    Bd6a20s10p,
    Bd6a24s10p,
    B1a20s15p,
    B1a24s15p,
    B2a24s15p,
    B2a24s20p,
    B1a8s20p,
    B2a8s20p,
}

/// What a model is rated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Ratings {
    /// The manual's name.
    pub name: &'static str,
    /// Fewest cells for Li-ion, LiFePO4, LTO.
    pub fewest_cells: [u8; 3],
    /// Most cells, of any chemistry (D24).
    pub most_cells: u8,
    /// Internal resistance; `None` where the manual has none.
    pub resistance: Option<Resistance>,
    /// Continuous charging and discharging current, and the upper end of the over-current range (P10).
    pub continuous: Current,
    /// Maximum discharging current (X05).
    pub maximum_discharge: Current,
    /// Maximum balancing current (B02).
    pub balance: Current,
    /// Maximum heater power; zero where the model has no heater output (H02).
    pub heater: Power,
}

impl Ratings {
    /// Lower end of the over-current range of every model (P10).
    pub const OVERCURRENT_MINIMUM: Current = amps(10);

    /// Fewest cells of a chemistry.
    #[must_use]
    pub const fn fewest_cells_of(&self, chemistry: Chemistry) -> u8 {
        let [li_ion, lifepo4, lto] = self.fewest_cells;
        match chemistry {
            Chemistry::LiIon => li_ion,
            Chemistry::LiFePo4 => lifepo4,
            Chemistry::Lto => lto,
        }
    }
}

impl Model {
    /// All models, in the order of the manual's table.
    pub const ALL: [Self; 14] = [
        Self::Bd6a17s6p,
        Self::Bd6a20s6p,
        Self::Bd6a24s6p,
        Self::Bd6a17s8p,
        Self::Bd6a20s8p,
        Self::Bd6a24s8p,
        Self::Bd6a20s10p,
        Self::Bd6a24s10p,
        Self::B1a20s15p,
        Self::B1a24s15p,
        Self::B2a24s15p,
        Self::B2a24s20p,
        Self::B1a8s20p,
        Self::B2a8s20p,
    ];

    /// The model's ratings.
    #[must_use]
    #[rustfmt::skip]
    pub const fn ratings(self) -> Ratings {
        //                           cells                  µΩ     A    A max  mA balance, W heater
        match self {
            Self::Bd6a17s6p =>  row("BD6A17S6P",  [7, 8, 14], 17, Some(1_530), 60, 100, 600, 0),
            Self::Bd6a20s6p =>  row("BD6A20S6P",  [7, 8, 14], 20, Some(1_530), 60, 100, 600, 0),
            Self::Bd6a24s6p =>  row("BD6A24S6P",  [7, 8, 14], 24, Some(1_530), 60, 100, 600, 0),
            Self::Bd6a17s8p =>  row("BD6A17S8P",  [7, 8, 14], 17, Some(1_200), 80, 150, 600, 0),
            Self::Bd6a20s8p =>  row("BD6A20S8P",  [7, 8, 14], 20, Some(1_200), 80, 150, 600, 0),
            Self::Bd6a24s8p =>  row("BD6A24S8P",  [7, 8, 14], 24, Some(1_200), 80, 150, 600, 0),
            Self::Bd6a20s10p => row("BD6A20S10P", [7, 8, 14], 20, Some(1_000), 100, 200, 600, 200),
            Self::Bd6a24s10p => row("BD6A24S10P", [7, 8, 14], 24, Some(1_000), 100, 200, 600, 200),
            Self::B1a20s15p =>  row("B1A20S15P",  [7, 8, 14], 20, Some(650), 150, 300, 1_000, 200),
            Self::B1a24s15p =>  row("B1A24S15P",  [7, 8, 14], 24, Some(650), 150, 300, 1_000, 200),
            Self::B2a24s15p =>  row("B2A24S15P",  [7, 8, 14], 24, Some(470), 150, 300, 2_000, 200),
            Self::B2a24s20p =>  row("B2A24S20P",  [7, 8, 14], 24, Some(470), 200, 350, 2_000, 200),
            Self::B1a8s20p =>   row("B1A8S20P",   [4, 4, 5], 8, None, 200, 350, 1_000, 200),
            Self::B2a8s20p =>   row("B2A8S20P",   [4, 4, 5], 8, None, 200, 350, 2_000, 100),
        }
    }
    /// The model with this name, as the manual writes it, in any case, with or without "JK-".
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let bare = name.strip_prefix("JK-").unwrap_or(name);
        Self::ALL.into_iter().find(|model| model.ratings().name.eq_ignore_ascii_case(bare))
    }
}

/// One line of the table, in the units of the manual.
#[allow(clippy::too_many_arguments, reason = "one argument a column of the manual's table")]
const fn row(
    name: &'static str,
    fewest_cells: [u8; 3],
    most_cells: u8,
    microohms: Option<i32>,
    continuous: i32,
    maximum_discharge: i32,
    balance_milliamps: i32,
    heater_watts: i32,
) -> Ratings {
    Ratings {
        name,
        fewest_cells,
        most_cells,
        resistance: match microohms {
            Some(value) => Some(Resistance::from_microohms(value)),
            None => None,
        },
        continuous: amps(continuous),
        maximum_discharge: amps(maximum_discharge),
        balance: ma(balance_milliamps),
        heater: Power::from_milliwatts(heater_watts.saturating_mul(1_000)),
    }
}
