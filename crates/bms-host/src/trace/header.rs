//! The first line: everything that the core started with.

use std::collections::BTreeMap;

use bms_core::balancing::BalancerCapabilities;
use bms_core::config::{BoardDefinition, Chemistry, Config, Model, PARAMETERS, Profile, ValidConfig};
use bms_core::snapshot::{ResetCause, Snapshot, Stored};

/// A configuration as data: every parameter by its name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigImage {
    /// The chemistry.
    pub chemistry: Chemistry,
    /// The model, if one was stated.
    pub model: Option<Model>,
    /// The profile.
    pub profile: Profile,
    /// The board.
    pub board: BoardDefinition,
    /// Every parameter in its stored unit.
    pub parameters: BTreeMap<String, i32>,
}

impl From<&ValidConfig> for ConfigImage {
    fn from(config: &ValidConfig) -> Self {
        Self {
            chemistry: config.chemistry(),
            model: config.model(),
            profile: config.profile(),
            board: *config.board(),
            parameters: PARAMETERS.iter().map(|p| (p.name.to_owned(), config.get(p.id))).collect(),
        }
    }
}

impl ConfigImage {
    /// The configuration again. Parameters that the image lacks take their defaults.
    ///
    /// # Errors
    /// An unknown parameter, or what is invalid about the set.
    pub fn config(&self) -> Result<ValidConfig, String> {
        let cells = self.parameters.get("cell_count").copied().unwrap_or(16);
        let cells = u8::try_from(cells).map_err(|_| format!("cell_count: {cells} is out of range"))?;
        let mut config = Config::preset(self.chemistry, cells).with_profile(self.profile).with_board(self.board);
        if let Some(model) = self.model {
            config = config.with_model(model);
        }
        for (name, value) in &self.parameters {
            let parameter =
                PARAMETERS.iter().find(|p| p.name == name).ok_or_else(|| format!("unknown parameter `{name}`"))?;
            config = config.with(parameter.id, *value);
        }
        config.validate().map_err(|violations| {
            let all: Vec<String> = violations.iter().map(|violation| violation.to_string()).collect();
            format!("invalid configuration: {}", all.join("; "))
        })
    }
}

/// [`Stored`] as data.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) enum StoredImage {
    Nothing,
    Snapshot(Snapshot),
    Corrupt,
    CountersCorrupt,
}

impl From<Stored> for StoredImage {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Nothing => Self::Nothing,
            Stored::Snapshot(snapshot) => Self::Snapshot(snapshot),
            Stored::Corrupt => Self::Corrupt,
            Stored::CountersCorrupt => Self::CountersCorrupt,
        }
    }
}

impl From<StoredImage> for Stored {
    fn from(image: StoredImage) -> Self {
        match image {
            StoredImage::Nothing => Self::Nothing,
            StoredImage::Snapshot(snapshot) => Self::Snapshot(snapshot),
            StoredImage::Corrupt => Self::Corrupt,
            StoredImage::CountersCorrupt => Self::CountersCorrupt,
        }
    }
}

/// What the core started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Its configuration.
    pub config: ValidConfig,
    /// What it was told of the balancer.
    pub balancer: BalancerCapabilities,
    /// What the store had.
    pub stored: Stored,
    /// Why it started.
    pub cause: ResetCause,
}

impl Header {
    /// A new board with the manual's balancer, powered on.
    #[must_use]
    pub const fn new(config: ValidConfig) -> Self {
        Self { config, balancer: BalancerCapabilities::MANUAL, stored: Stored::Nothing, cause: ResetCause::PowerOn }
    }
    pub(super) fn to_line(&self) -> Result<String, String> {
        let image = HeaderImage {
            config: ConfigImage::from(&self.config),
            balancer: self.balancer,
            stored: self.stored.into(),
            cause: self.cause,
        };
        let json = serde_json::to_string(&image).map_err(|error| error.to_string())?;
        Ok(format!("{MARK}{json}\n"))
    }
    pub(super) fn from_line(line: &str) -> Result<Self, String> {
        let json = line.strip_prefix(MARK).ok_or("a trace begins with `# bms-trace 1`")?;
        let image: HeaderImage = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(Self {
            config: image.config.config()?,
            balancer: image.balancer,
            stored: image.stored.into(),
            cause: image.cause,
        })
    }
}

const MARK: &str = "# bms-trace 1 ";

#[derive(serde::Serialize, serde::Deserialize)]
struct HeaderImage {
    config: ConfigImage,
    balancer: BalancerCapabilities,
    stored: StoredImage,
    cause: ResetCause,
}
