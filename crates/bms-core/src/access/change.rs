//! What a link may ask to be changed.

use super::{Access, Authority, DeviceName, Session};
use crate::balancing::Strategy;
use crate::bms::{Bms, Refusal, Request};
use crate::config::{Chemistry, ParameterId};
use crate::estimation::Estimator;
use crate::fittings::Fittings;
use crate::time::Instant;

/// A change that a link asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Change {
    /// One parameter, in its stored unit (S04).
    Parameter(ParameterId, i32),
    /// A request.
    Request(Request),
    /// The preset of a chemistry (S01).
    Preset(Chemistry),
    /// The device name (S08).
    Name(DeviceName),
}

impl Change {
    /// Whether somebody must stand at the board: what clears faults, calibrates, rewrites everything or switches off.
    #[must_use]
    pub const fn needs_presence(&self) -> bool {
        match self {
            Self::Parameter(..) | Self::Name(_) => false,
            Self::Preset(_) => true,
            Self::Request(request) => !matches!(
                request,
                Request::SetCharge(_) | Request::SetDischarge(_) | Request::SetBalance(_) | Request::EmergencyStop
            ),
        }
    }
}

impl Access {
    /// **The way of every link's change**: asks for the authority, carries the change out exactly as
    /// [`Bms::set_parameter`], [`Bms::request`] and [`Bms::reconfigure`] do for the firmware (the same ranges, orderings
    /// and hard caps, D31), and tells what became of it as an event.
    ///
    /// # Errors
    /// [`Refusal::NotAuthorised`] if nobody showed the right to it; otherwise the reason of the refusal. Nothing was
    /// changed then.
    pub fn change<const N: usize, E: Estimator, S: Strategy, F: Fittings>(
        &mut self,
        bms: &mut Bms<N, E, S, F>,
        session: &Session,
        now: Instant,
        change: Change,
    ) -> Result<(), Refusal> {
        let result = match self.authority(session, now) {
            None => Err(Refusal::NotAuthorised),
            Some(authority) => match change {
                Change::Name(name) => {
                    self.set_name(now, &authority, name);
                    Ok(())
                }
                _ => bms.change(&authority, change),
            },
        };
        self.note_change(now, result.is_ok());
        result
    }
}

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// Carries out a change of the pack for whoever shows an authority.
    ///
    /// # Errors
    /// [`Refusal::NotAuthorised`] if the change needs presence, or concerns the name, which [`Access`] has; otherwise the
    /// reason of the refusal. Nothing was changed then.
    pub fn change(&mut self, authority: &Authority, change: Change) -> Result<(), Refusal> {
        if change.needs_presence() && !authority.is_present() {
            return Err(Refusal::NotAuthorised);
        }
        match change {
            Change::Parameter(parameter, value) => self.set_parameter(parameter, value),
            Change::Request(request) => self.request(request),
            Change::Preset(chemistry) => {
                let config = self.config().to_config().with_preset(chemistry).validate();
                let config = config
                    .map_err(|violations| violations.iter().next().map_or(Refusal::TooManyCells, Refusal::Invalid))?;
                self.reconfigure(config)
            }
            Change::Name(_) => Err(Refusal::NotAuthorised),
        }
    }
}
