//! Who may read and who may change (S05–S08, D34, D35).
//!
//! ```text
//! key press ──► presence window ─┐
//! password, proof ──► Session ───┴─► Access::authority() ──► Authority ──► Bms::change(authority, change)
//! ```
//! The core's own API is for the firmware and asks nobody. A **link** must present an [`Authority`], which only
//! [`Access::authority`] makes: what a link cannot obtain it cannot do, and that is checked by the compiler.
//!
//! * Two independent passwords, for connecting (S06) and for changing (S05), stored salted and hashed, compared in
//!   constant time.
//! * The factory's passwords allow connecting; they authorise changes only together with presence (D34).
//! * Failures make the next attempt wait, longer each time; the count is part of the [`AccessRecord`] that is stored, and
//!   a reset starts the wait anew. Nothing of this blocks local presence.
//! * [`Session::challenge`](Access::challenge) is the mode for new apps: the password never travels, every message is
//!   authenticated and counted.
//!
//! **The caller stores** [`Access::record_to_store`] whenever it gives one, and answers the link afterwards: else cutting
//! the power after a wrong guess would give another one for nothing.

mod change;
mod password;
mod record;
mod sealed;

pub use change::Change;
pub use password::{MAXIMUM_PASSWORD, PasswordRefused};
pub use record::{AccessRecord, DeviceName, NameRefused, RECORD_LENGTH};
pub use sealed::{Challenge, MAC_LENGTH, derive_key, login_proof, mask, seal, session_key};

use crate::event::{AccessEvent, Event, EventKind, EventQueue, PasswordKind};
use crate::time::{Duration, Instant, secs};
use password::Secret;

/// How long a key press opens the window for changes, unless the board says otherwise.
pub const PRESENCE_WINDOW: Duration = secs(300);
/// How long a login authorises changes without a further authenticated message.
pub const LOGIN_TIME: Duration = secs(300);
/// From this many failures in a row on, each attempt waits [`LOCK_OUT`].
pub const LOCK_OUT_FAILURES: u8 = 10;
/// The longest wait.
pub const LOCK_OUT: Duration = secs(3_600);

/// Whether telemetry may be read before the connection password was given (D35).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reading {
    /// By anybody: the default of wired links.
    Open,
    /// After the connection password: the manual's way, and the default on Bluetooth.
    Password,
}

/// The right to change something, from whoever is allowed. It cannot be made outside this module and is not kept:
/// ask [`Access::authority`] for each change.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Authority {
    present: bool,
}

impl Authority {
    /// Whether somebody stands at the board; calibration, presets, factory settings and shutdown need it.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.present
    }
}

/// What one connection has shown so far. A link owns one and closes it when the connection ends.
#[derive(Clone, Debug, Default)]
pub struct Session {
    connected: bool,
    settings_until: Option<Instant>,
    sealed: sealed::Channel,
}

impl Session {
    /// Nothing was shown yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { connected: false, settings_until: None, sealed: sealed::Channel::new() }
    }
    /// The connection ended: everything it had shown is forgotten.
    pub fn close(&mut self) {
        *self = Self::new();
    }
}

/// Why an attempt to log in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoginRefused {
    /// The password, the proof or the message's code is wrong.
    Wrong,
    /// Too many failures: not even looked at. Try again after this time, or press the key.
    Blocked(Duration),
    /// No challenge was asked for, or the message's counter was used before.
    OutOfOrder,
}

/// The passwords, the window of presence, the failures.
#[derive(Clone, Debug)]
pub struct Access {
    record: AccessRecord,
    blocked_until: [Instant; 2],
    present_until: Option<Instant>,
    events: EventQueue,
    changed: bool,
}

impl Access {
    /// A new board with the factory's passwords "1234" (connection) and "123456" (settings).
    ///
    /// `salt`: from the board's entropy source, or its unique number where it has none.
    #[must_use]
    pub fn factory(salt: [u8; 16]) -> Self {
        Self::restored(AccessRecord::factory(salt), Instant::ZERO)
    }
    /// As it was stored. The wait that the failures earned starts anew at `now`.
    #[must_use]
    pub fn restored(record: AccessRecord, now: Instant) -> Self {
        let [connection, settings] = record.failures;
        Self {
            blocked_until: [now.after(wait_after(connection)), now.after(wait_after(settings))],
            present_until: None,
            events: EventQueue::new(),
            changed: false,
            record,
        }
    }
    /// The record, if it changed since the last call: store it **before** anything is answered.
    pub fn record_to_store(&mut self) -> Option<AccessRecord> {
        core::mem::take(&mut self.changed).then_some(self.record)
    }
    /// The record as it is.
    #[must_use]
    pub const fn record(&self) -> &AccessRecord {
        &self.record
    }
    /// The oldest event that was not fetched yet: every login, failure and change.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }
    fn tell(&mut self, now: Instant, event: AccessEvent) {
        self.events.push(now, EventKind::Access(event));
    }

    /// Somebody pressed the key at the board: changes are open until `now + window`, and waiting for failures is over
    /// (D34). Never call this from a link.
    pub fn presence_seen(&mut self, now: Instant, window: Duration) {
        self.present_until = Some(now.after(window));
        if self.record.failures != [0; 2] {
            self.record.failures = [0; 2];
            self.changed = true;
        }
        self.blocked_until = [now; 2];
        self.tell(now, AccessEvent::PresenceSeen);
    }
    /// Whether the window of presence is open.
    #[must_use]
    pub fn is_present(&self, now: Instant) -> bool {
        self.present_until.is_some_and(|until| now < until)
    }
    /// The right to change something now, if there is one: presence, or a login with a **changed** settings password.
    #[must_use]
    pub fn authority(&self, session: &Session, now: Instant) -> Option<Authority> {
        let present = self.is_present(now);
        let logged_in =
            session.settings_until.is_some_and(|until| now < until) && self.record.settings.changed_from_factory();
        (present || logged_in).then_some(Authority { present })
    }
    /// Whether telemetry may be shown (D35).
    #[must_use]
    pub const fn may_read(&self, session: &Session, reading: Reading) -> bool {
        matches!(reading, Reading::Open) || session.connected
    }
    /// A link's change was carried out or refused: an event either way.
    pub fn note_change(&mut self, now: Instant, carried_out: bool) {
        self.tell(now, if carried_out { AccessEvent::Changed } else { AccessEvent::ChangeRefused });
    }

    /// A password that travelled as it is, on a link that carries it.
    ///
    /// # Errors
    /// [`LoginRefused::Wrong`] or [`LoginRefused::Blocked`].
    pub fn log_in(
        &mut self,
        session: &mut Session,
        now: Instant,
        kind: PasswordKind,
        password: &[u8],
    ) -> Result<(), LoginRefused> {
        self.attempt(now, kind, |secret| secret.matches(password))?;
        self.logged_in(session, now, kind);
        Ok(())
    }
    fn logged_in(&mut self, session: &mut Session, now: Instant, kind: PasswordKind) {
        session.connected = true;
        if kind == PasswordKind::Settings {
            session.settings_until = Some(now.after(LOGIN_TIME));
        }
        self.tell(now, AccessEvent::LoggedIn(kind));
    }
    /// The one place where a secret is compared: waits, counts, tells.
    fn attempt(
        &mut self,
        now: Instant,
        kind: PasswordKind,
        right: impl FnOnce(&Secret) -> bool,
    ) -> Result<(), LoginRefused> {
        let [connection, settings] = self.blocked_until;
        let until = if kind == PasswordKind::Connection { connection } else { settings };
        if now < until {
            self.tell(now, AccessEvent::Blocked(kind));
            return Err(LoginRefused::Blocked(until.since(now)));
        }
        if right(self.record.secret(kind)) {
            self.note_failures(now, kind, 0);
            return Ok(());
        }
        let failures = self.record.failures(kind).saturating_add(1);
        self.note_failures(now, kind, failures);
        self.tell(now, AccessEvent::Failed(kind));
        Err(LoginRefused::Wrong)
    }
    fn note_failures(&mut self, now: Instant, kind: PasswordKind, failures: u8) {
        self.changed |= self.record.failures(kind) != failures;
        let [connection, settings] = &mut self.record.failures;
        let [connection_until, settings_until] = &mut self.blocked_until;
        let (count, until) = match kind {
            PasswordKind::Connection => (connection, connection_until),
            PasswordKind::Settings => (settings, settings_until),
        };
        *count = failures;
        *until = now.after(wait_after(failures));
    }

    /// S07: a new password needs the old one, and the new one twice. `salt` is fresh from the board's entropy source.
    ///
    /// # Errors
    /// Why not; a wrong old password counts as a failed attempt.
    pub fn change_password(
        &mut self,
        now: Instant,
        kind: PasswordKind,
        [old, new, again]: [&[u8]; 3],
        salt: [u8; 16],
    ) -> Result<(), PasswordRefused> {
        self.attempt(now, kind, |secret| secret.matches(old)).map_err(PasswordRefused::Login)?;
        let secret = Secret::chosen(new, again, salt)?;
        *self.record.secret_mut(kind) = secret;
        self.changed = true;
        self.tell(now, AccessEvent::PasswordChanged(kind));
        Ok(())
    }
    /// S08: the device name.
    pub fn set_name(&mut self, now: Instant, _authority: &Authority, name: DeviceName) {
        self.record.name = name;
        self.changed = true;
        self.tell(now, AccessEvent::NameChanged);
    }
}

/// How long to wait after so many failures in a row: 1, 2, 4 … 256 s, then the lock-out.
#[must_use]
pub fn wait_after(failures: u8) -> Duration {
    match failures {
        0 => Duration::ZERO,
        1..LOCK_OUT_FAILURES => secs(1_u32.checked_shl(u32::from(failures).saturating_sub(1)).unwrap_or(u32::MAX)),
        _ => LOCK_OUT,
    }
}
