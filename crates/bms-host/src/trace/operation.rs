//! What is asked of the core between two steps; inputs like any other, so they stand in the trace.

use bms_core::Bms;
use bms_core::balancing::{BalancerCapabilities, Strategy};
use bms_core::bms::{Refusal, Request};
use bms_core::config::{PARAMETERS, ParameterId, ValidConfig};
use bms_core::estimation::Estimator;
use bms_core::snapshot::{ResetCause, Stored};
use bms_core::units::{ma, uv};

use super::header::{ConfigImage, StoredImage};

/// One call of the core beside [`Bms::step`] that changes it. In the file: `set_charge=1`, `clear_lockout`,
/// `parameter:cell_count=16`, `calibrate_voltage=52000000` (µV), `reconfigure={…}`, `reset={…}`.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// [`Bms::request`].
    Request(Request),
    /// [`Bms::set_parameter`].
    SetParameter(ParameterId, i32),
    /// [`Bms::reconfigure`].
    Reconfigure(Box<ValidConfig>),
    /// [`Bms::snapshot_stored`].
    SnapshotStored,
    /// [`Bms::set_balancer`].
    SetBalancer(BalancerCapabilities),
    /// [`Bms::set_link_connected`].
    SetLink(bool),
    /// The firmware was reset: a new core, then [`Bms::restore`].
    Reset(Box<Stored>, ResetCause),
}

impl Operation {
    /// Does it to a core; `fresh` makes a new one for a reset, and tells it of the balancer.
    ///
    /// # Errors
    /// The core refused; it did so in the recorded run too.
    pub fn apply<const N: usize, E: Estimator, S: Strategy>(
        &self,
        bms: &mut Bms<N, E, S>,
        fresh: impl FnOnce(ValidConfig) -> Bms<N, E, S>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Request(request) => bms.request(*request),
            Self::SetParameter(parameter, value) => bms.set_parameter(*parameter, *value),
            Self::Reconfigure(config) => bms.reconfigure(**config),
            Self::SnapshotStored => {
                bms.snapshot_stored();
                Ok(())
            }
            Self::SetBalancer(capabilities) => {
                bms.set_balancer(*capabilities);
                Ok(())
            }
            Self::SetLink(connected) => {
                bms.set_link_connected(*connected);
                Ok(())
            }
            Self::Reset(stored, cause) => {
                *bms = fresh(*bms.config());
                bms.restore(**stored, *cause);
                Ok(())
            }
        }
    }
    pub(super) fn to_text(&self) -> Result<String, String> {
        let json = |value: Result<String, serde_json::Error>| value.map_err(|error| error.to_string());
        Ok(match self {
            Self::Request(request) => request_text(*request).ok_or("a request that traces do not know")?,
            Self::SetParameter(parameter, value) => format!("parameter:{}={value}", parameter.info().name),
            Self::Reconfigure(config) => {
                format!("reconfigure={}", json(serde_json::to_string(&ConfigImage::from(&**config)))?)
            }
            Self::SnapshotStored => "snapshot_stored".to_owned(),
            Self::SetLink(connected) => format!("link={}", u8::from(*connected)),
            Self::SetBalancer(capabilities) => format!("balancer={}", json(serde_json::to_string(capabilities))?),
            Self::Reset(stored, cause) => {
                let image = (StoredImage::from(**stored), *cause);
                format!("reset={}", json(serde_json::to_string(&image))?)
            }
        })
    }
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let number = || value.parse::<i32>().map_err(|_| format!("`{value}` is not a whole number"));
        let flag = || match value {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(format!("`{value}` is neither 0 nor 1")),
        };
        if let Some(parameter) = name.strip_prefix("parameter:") {
            let row = PARAMETERS.iter().find(|row| row.name == parameter);
            let row = row.ok_or_else(|| format!("unknown parameter `{parameter}`"))?;
            return Ok(Self::SetParameter(row.id, number()?));
        }
        Ok(match name {
            "set_charge" => Self::Request(Request::SetCharge(flag()?)),
            "set_discharge" => Self::Request(Request::SetDischarge(flag()?)),
            "set_balance" => Self::Request(Request::SetBalance(flag()?)),
            "clear_lockout" => Self::Request(Request::ClearLockout),
            "clear_permanent" => Self::Request(Request::ClearPermanent),
            "emergency_stop" => Self::Request(Request::EmergencyStop),
            "reset_emergency_stop" => Self::Request(Request::ResetEmergencyStop),
            "shutdown" => Self::Request(Request::Shutdown),
            "calibrate_voltage" => Self::Request(Request::CalibrateVoltage(uv(number()?))),
            "calibrate_current" => Self::Request(Request::CalibrateCurrent(ma(number()?))),
            "test_wires" => Self::Request(Request::TestWires),
            "restore_factory_settings" => Self::Request(Request::RestoreFactorySettings),
            "snapshot_stored" => Self::SnapshotStored,
            "link" => Self::SetLink(flag()?),
            "balancer" => Self::SetBalancer(serde_json::from_str(value).map_err(|error| error.to_string())?),
            "reconfigure" => {
                let image: ConfigImage = serde_json::from_str(value).map_err(|error| error.to_string())?;
                Self::Reconfigure(Box::new(image.config()?))
            }
            "reset" => {
                let (stored, cause): (StoredImage, ResetCause) =
                    serde_json::from_str(value).map_err(|error| error.to_string())?;
                Self::Reset(Box::new(stored.into()), cause)
            }
            _ => return Err(format!("unknown operation `{name}`")),
        })
    }
}

fn request_text(request: Request) -> Option<String> {
    Some(match request {
        Request::SetCharge(on) => format!("set_charge={}", u8::from(on)),
        Request::SetDischarge(on) => format!("set_discharge={}", u8::from(on)),
        Request::SetBalance(on) => format!("set_balance={}", u8::from(on)),
        Request::ClearLockout => "clear_lockout".to_owned(),
        Request::ClearPermanent => "clear_permanent".to_owned(),
        Request::EmergencyStop => "emergency_stop".to_owned(),
        Request::ResetEmergencyStop => "reset_emergency_stop".to_owned(),
        Request::Shutdown => "shutdown".to_owned(),
        Request::CalibrateVoltage(truth) => format!("calibrate_voltage={}", truth.as_microvolts()),
        Request::CalibrateCurrent(truth) => format!("calibrate_current={}", truth.as_milliamps()),
        Request::TestWires => "test_wires".to_owned(),
        Request::RestoreFactorySettings => "restore_factory_settings".to_owned(),
        _ => return None,
    })
}
