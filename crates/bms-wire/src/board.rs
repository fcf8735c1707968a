//! What a link needs of the board that it speaks for.

use bms_core::access::{Access, Change, DeviceName, Session};
use bms_core::balancing::Strategy;
use bms_core::bms::{Bms, Refusal};
use bms_core::config::{Chemistry, ValidConfig};
use bms_core::estimation::Estimator;
use bms_core::fittings::{AllFitted, Fittings};
use bms_core::time::Instant;

use crate::logbook::Logbook;
use crate::telemetry::Telemetry;

/// Who the board says it is. All texts are ASCII; what is too long for a field of a protocol is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Model; several clients want it to start with `JK-` or `JK_`.
    pub model: &'static str,
    /// Hardware version, for example `15A`.
    pub hardware: &'static str,
    /// Software version: its major number tells clients the layout, 11 or more is JK02_32S.
    pub software: &'static str,
    /// Serial number, up to 11 characters.
    pub serial: &'static str,
    /// Date of manufacture, `YYMMDD`.
    pub manufactured: &'static str,
    /// The maker's name, up to 8 characters, for Victron and SMA (Pylontech's dialect has its own).
    pub maker: &'static str,
    /// Address on a shared bus.
    pub address: u8,
    /// How often the power came on.
    pub power_ons: u32,
    /// Largest number of cells that the board can have.
    pub most_cells: u8,
}

impl Identity {
    /// A board as widely understood as possible: JK02_32S, software 15.41.
    pub const WIDEST: Self = Self {
        model: "JK_BMS",
        hardware: "15A",
        software: "15.41",
        serial: "00000000001",
        manufactured: "250101",
        maker: "JKBMS",
        address: 1,
        power_ons: 1,
        most_cells: 24,
    };
}

/// Everything that is shown, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The measured and decided.
    pub telemetry: &'a Telemetry,
    /// The configuration in force.
    pub config: &'a ValidConfig,
    /// Who the board is.
    pub identity: &'a Identity,
    /// What the owner calls it (S08).
    pub name: &'a DeviceName,
}

/// The board behind a link. [`Desk`] is the ready one.
pub trait Board {
    /// Everything that is shown.
    fn view(&self) -> View<'_>;
    /// What happened so far.
    fn logbook(&self) -> &Logbook;
    /// Who may read and change.
    fn access(&mut self) -> &mut Access;
    /// Carries out a change, with an authority from [`Board::access`]. **An implementation stores
    /// [`Access::record_to_store`] before it returns.**
    ///
    /// # Errors
    /// Why not; nothing was changed then.
    fn change(&mut self, session: &Session, now: Instant, change: Change) -> Result<(), Refusal>;
    /// Sixteen bytes nobody can guess, for challenges; zeros if the board has no source. The challenge's number still
    /// rises then, so that no recording can be played back.
    fn entropy(&mut self) -> [u8; 16] {
        [0; 16]
    }
}

/// The board made of the core's parts.
#[derive(Debug)]
pub struct Desk<'a, const N: usize, E, S, F: Fittings = AllFitted> {
    /// The protection core.
    pub bms: &'a mut Bms<N, E, S, F>,
    /// Who may read and change.
    pub access: &'a mut Access,
    /// Who the board is.
    pub identity: &'a Identity,
    /// What happened so far.
    pub logbook: &'a Logbook,
    /// What is shown: [`Telemetry::of`] the status, from the last step.
    pub telemetry: &'a Telemetry,
}

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Board for Desk<'_, N, E, S, F> {
    fn view(&self) -> View<'_> {
        View {
            telemetry: self.telemetry,
            config: self.bms.config(),
            identity: self.identity,
            name: self.access.record().name(),
        }
    }
    fn logbook(&self) -> &Logbook {
        self.logbook
    }
    fn access(&mut self) -> &mut Access {
        self.access
    }
    fn change(&mut self, session: &Session, now: Instant, change: Change) -> Result<(), Refusal> {
        self.access.change(self.bms, session, now, change)
    }
}

/// The number that native frames and 4E57 have for a chemistry.
#[must_use]
pub const fn chemistry_number(chemistry: Chemistry) -> u8 {
    match chemistry {
        Chemistry::LiFePo4 => 0,
        Chemistry::LiIon => 1,
        Chemistry::Lto => 2,
    }
}
/// The chemistry with a number of native frames and 4E57.
#[must_use]
pub const fn chemistry_from_number(number: u8) -> Option<Chemistry> {
    match number {
        0 => Some(Chemistry::LiFePo4),
        1 => Some(Chemistry::LiIon),
        2 => Some(Chemistry::Lto),
        _ => None,
    }
}
