//! What the core orders: the absolute state of every output, made anew in each step.

use crate::balancing::Plan;
use crate::time::Instant;
use crate::units::{Current, Voltage};

/// The state of a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Switch {
    /// Open, not conducting.
    #[default]
    Open,
    /// Closed, conducting.
    Closed,
}

impl Switch {
    /// Closed if `closed`.
    #[must_use]
    pub const fn closed_if(closed: bool) -> Self {
        if closed { Self::Closed } else { Self::Open }
    }
    /// Whether it conducts.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// An output that carries energy and therefore expires: the port switches it off at `until` unless a newer command
/// says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Expiring {
    /// Off.
    #[default]
    Off,
    /// On, at the latest until this time.
    On {
        /// When the port must switch it off by itself.
        until: Instant,
    },
}

impl Expiring {
    /// Whether it is on at a time.
    #[must_use]
    pub fn is_on(self, now: Instant) -> bool {
        matches!(self, Self::On { until } if now < until)
    }
}

/// The power hold of the BMS itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Power {
    /// Stay on.
    #[default]
    Hold,
    /// Let go: the supply disappears and the BMS is off until it is woken (A01).
    Release,
}

/// What kind of cell scan is wanted next (D04).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ScanMode {
    /// At any time, balancer running or not.
    #[default]
    Any,
    /// With the balancer off and settled: the balancer is already ordered off in the same command; the sampler
    /// waits until it has settled and says so in [`Feedback::quiet`](crate::measurement::Feedback::quiet).
    Quiet,
}

/// A beep of the buzzer (A01, S09).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Beep {
    /// Silence.
    #[default]
    None,
    /// Awake (A01).
    Awake,
    /// A parameter change was accepted (S09).
    Accepted,
}

/// The LED of the wireless link (I04).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LinkLed {
    /// Dark: shut down.
    #[default]
    Off,
    /// Flashing: not connected. The port makes the rhythm.
    Flashing,
    /// Steady: connected.
    Steady,
}

/// What a charger or an inverter may do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// Highest charging voltage of the pack.
    pub charge_voltage: Voltage,
    /// Largest charging current, as a positive number; zero while charging is not possible.
    pub charge_current: Current,
    /// Largest discharging current, as a positive number; zero while discharging is not possible.
    pub discharge_current: Current,
}

/// The absolute state of every output.
///
/// Applying the same command twice does nothing new; applying only the newest is always right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Command {
    /// The charge switch.
    pub charge: Switch,
    /// The discharge switch.
    pub discharge: Switch,
    /// The precharge path (X17).
    pub precharge: Expiring,
    /// The balancer.
    pub balance: Plan,
    /// The heater (H01).
    pub heater: Expiring,
    /// The power hold (P16).
    pub power: Power,
    /// The last-resort output: a fuse or main contactor, for a stuck switch only (X10). Irreversible.
    pub last_resort: Switch,
    /// Re-arm the short-circuit latch; the gate refuses while the comparator's level is still set (D09).
    pub clear_latch: bool,
    /// What kind of scan is wanted next.
    pub scan: ScanMode,
    /// The buzzer.
    pub beep: Beep,
    /// The LED of the wireless link.
    pub link_led: LinkLed,
    /// What a charger or an inverter may do.
    pub limits: Limits,
}

impl Command {
    /// Everything open and off, power held: what a board does before the first step and whenever it is in doubt.
    pub const SAFE: Self = Self {
        charge: Switch::Open,
        discharge: Switch::Open,
        precharge: Expiring::Off,
        balance: Plan::Idle,
        heater: Expiring::Off,
        power: Power::Hold,
        last_resort: Switch::Open,
        clear_latch: false,
        scan: ScanMode::Any,
        beep: Beep::None,
        link_led: LinkLed::Off,
        limits: Limits {
            charge_voltage: Voltage::ZERO,
            charge_current: Current::ZERO,
            discharge_current: Current::ZERO,
        },
    };
}

impl Default for Command {
    fn default() -> Self {
        Self::SAFE
    }
}
