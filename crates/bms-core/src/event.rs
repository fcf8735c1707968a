//! Events: what happened, in order, bounded, with losses counted.

use crate::config::ParameterId;
use crate::protection::Alarm;
use crate::time::Instant;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Event {
    /// When: the `now` of the step.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum EventKind {
    /// An alarm was raised.
    Raised {
        /// Which.
        alarm: Alarm,
        /// The cell or sensor, where there is one; 0 is the first.
        index: Option<u8>,
        /// The value that tripped it, in the alarm's own unit (see [`Explanation`](crate::explain::Explanation)).
        value: i32,
    },
    /// An alarm was released.
    Cleared {
        /// Which.
        alarm: Alarm,
    },
    /// The switches changed.
    Switched {
        /// The charge switch is closed.
        charge: bool,
        /// The discharge switch is closed.
        discharge: bool,
    },
    /// Balancing started or stopped.
    Balancing {
        /// It runs.
        active: bool,
    },
    /// The self-test of the sense wires began or ended (W01).
    WireTest {
        /// It runs.
        active: bool,
        /// Cells that were visited; all of them, or some could not be.
        visited: u8,
    },
    /// The heater was switched.
    Heating {
        /// It is on.
        active: bool,
    },
    /// The pack reached the full anchor.
    Full,
    /// The pack reached the empty anchor.
    Empty,
    /// A parameter was changed.
    ParameterChanged {
        /// Which.
        parameter: ParameterId,
    },
    /// The whole configuration was changed.
    Reconfigured,
    /// The BMS woke or started anew.
    Started,
    /// The snapshot should be stored now: the power is about to go.
    ShuttingDown,
    /// Something about who may change what (S05–S08).
    Access(AccessEvent),
}

/// Which password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum PasswordKind {
    /// Allows connecting (S06).
    Connection,
    /// Gates every change (S05).
    Settings,
}

/// What happened about passwords and authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum AccessEvent {
    /// A password or a proof of it was right.
    LoggedIn(PasswordKind),
    /// A password or a proof of it was wrong.
    Failed(PasswordKind),
    /// An attempt while attempts are blocked; it was not looked at.
    Blocked(PasswordKind),
    /// A password was changed.
    PasswordChanged(PasswordKind),
    /// The device name was changed (S08).
    NameChanged,
    /// Somebody is there: the window for changes is open (D34).
    PresenceSeen,
    /// A change over a link was carried out.
    Changed,
    /// A change over a link was refused: no authority, or the change itself is not allowed.
    ChangeRefused,
}

impl AccessEvent {
    /// All of them; their places are numbers that stores keep.
    pub const ALL: [Self; 12] = [
        Self::LoggedIn(PasswordKind::Connection),
        Self::LoggedIn(PasswordKind::Settings),
        Self::Failed(PasswordKind::Connection),
        Self::Failed(PasswordKind::Settings),
        Self::Blocked(PasswordKind::Connection),
        Self::Blocked(PasswordKind::Settings),
        Self::PasswordChanged(PasswordKind::Connection),
        Self::PasswordChanged(PasswordKind::Settings),
        Self::NameChanged,
        Self::PresenceSeen,
        Self::Changed,
        Self::ChangeRefused,
    ];
    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        (0..).zip(Self::ALL).find(|(_, event)| *event == self).map_or(u8::MAX, |(number, _)| number)
    }
    /// The one with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// How many events wait for being fetched.
const CAPACITY: usize = 8;

/// A bounded queue: the oldest events are kept (the first cause matters most), later ones are counted as lost.
///
/// Filled from the front; fetching one moves the others up. Eight places need no ring and no indices that could be wrong.
#[derive(Clone, Debug)]
pub(crate) struct EventQueue {
    queue: [Option<Event>; CAPACITY],
    lost: u32,
}

impl EventQueue {
    pub(crate) const fn new() -> Self {
        Self { queue: [None; CAPACITY], lost: 0 }
    }
    #[inline(never)]
    pub(crate) fn push(&mut self, at: Instant, kind: EventKind) {
        match self.queue.iter_mut().find(|place| place.is_none()) {
            Some(free) => *free = Some(Event { at, kind }),
            None => self.lost = self.lost.saturating_add(1),
        }
    }
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let mut moved = None;
        for place in self.queue.iter_mut().rev() {
            core::mem::swap(place, &mut moved);
        }
        moved
    }
    pub(crate) const fn lost(&self) -> u32 {
        self.lost
    }
}
