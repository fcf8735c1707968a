//! The authenticated mode for new apps: challenge and response, then messages with a code and a counter.
//!
//! With `key = HMAC(salt, password)` (what the board has stored, and what the app computes from the salt it is given):
//! ```text
//! proof       = HMAC(key, "login"   ‖ kind ‖ nonce ‖ number)[..16]
//! session key = HMAC(key, "session" ‖ kind ‖ nonce ‖ number)
//! code        = HMAC(session key, counter ‖ message)[..16]           counter strictly rising from 1
//! mask        = HMAC(session key, "mask" ‖ counter ‖ block)          for passwords inside a message
//! ```
//! The password never travels. A recorded login is worthless, because `number` is stored and never comes twice; a recorded
//! message is, because its counter was used. What travels can be read, only passwords in it are masked.

use subtle::ConstantTimeEq;

use super::password::hmac;
use super::{Access, Authority, LOGIN_TIME, LoginRefused, Session};
use crate::event::{AccessEvent, PasswordKind};
use crate::time::Instant;

/// Length of proofs and codes.
pub const MAC_LENGTH: usize = 16;

/// What a board asks an app to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Challenge {
    /// Of which password.
    pub kind: PasswordKind,
    /// The salt of the stored password.
    pub salt: [u8; 16],
    /// Fresh from the board's entropy source.
    pub nonce: [u8; 16],
    /// Rises with every challenge, also across resets.
    pub number: u32,
}

/// State of the authenticated mode of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    challenge: Option<(PasswordKind, [u8; 16], u32)>,
    key: Option<[u8; 32]>,
    kind: Option<PasswordKind>,
    counter: u32,
}

impl Channel {
    pub(super) const fn new() -> Self {
        Self { challenge: None, key: None, kind: None, counter: 0 }
    }
}

/// The key that a password and a salt make.
#[must_use]
pub fn derive_key(salt: &[u8; 16], password: &[u8]) -> [u8; 32] {
    hmac(salt, &[password])
}
/// The proof that answers a challenge.
#[must_use]
pub fn login_proof(key: &[u8; 32], challenge: &Challenge) -> [u8; MAC_LENGTH] {
    truncated(&hmac(key, &[b"login", &[challenge.kind as u8], &challenge.nonce, &challenge.number.to_le_bytes()]))
}
/// The key of the session that a challenge opens.
#[must_use]
pub fn session_key(key: &[u8; 32], challenge: &Challenge) -> [u8; 32] {
    hmac(key, &[b"session", &[challenge.kind as u8], &challenge.nonce, &challenge.number.to_le_bytes()])
}
/// The code of a message.
#[must_use]
pub fn seal(session_key: &[u8; 32], counter: u32, message: &[u8]) -> [u8; MAC_LENGTH] {
    truncated(&hmac(session_key, &[&counter.to_le_bytes(), message]))
}
/// Masks or unmasks passwords inside a message, in place.
pub fn mask(session_key: &[u8; 32], counter: u32, text: &mut [u8]) {
    for (block, chunk) in (0_u8..).zip(text.chunks_mut(32)) {
        let stream = hmac(session_key, &[b"mask", &counter.to_le_bytes(), &[block]]);
        for (byte, key) in chunk.iter_mut().zip(stream) {
            *byte ^= key;
        }
    }
}

fn truncated(code: &[u8; 32]) -> [u8; MAC_LENGTH] {
    code.first_chunk().copied().unwrap_or_default()
}

impl Access {
    /// Begins a login; `nonce` is fresh from the board's entropy source.
    pub fn challenge(&mut self, session: &mut Session, kind: PasswordKind, nonce: [u8; 16]) -> Challenge {
        self.record.challenges = self.record.challenges.saturating_add(1);
        self.changed = true;
        let number = self.record.challenges;
        session.sealed.challenge = Some((kind, nonce, number));
        Challenge { kind, salt: self.record.secret(kind).salt, nonce, number }
    }
    /// The app's answer to the challenge; each challenge takes one answer.
    ///
    /// # Errors
    /// [`LoginRefused`]; a wrong proof counts as a failed attempt.
    pub fn prove(&mut self, session: &mut Session, now: Instant, proof: &[u8; MAC_LENGTH]) -> Result<(), LoginRefused> {
        let Some((kind, nonce, number)) = session.sealed.challenge.take() else { return Err(LoginRefused::OutOfOrder) };
        let secret = *self.record.secret(kind);
        let challenge = Challenge { kind, salt: secret.salt, nonce, number };
        self.attempt(now, kind, |secret| login_proof(&secret.key, &challenge).ct_eq(proof).into())?;
        let key = session_key(&secret.key, &challenge);
        session.sealed = Channel { challenge: None, key: Some(key), kind: Some(kind), counter: 0 };
        self.logged_in(session, now, kind);
        Ok(())
    }
    /// Checks a message's code and counter. A message of a session that proved the settings password keeps the login
    /// alive.
    ///
    /// # Errors
    /// [`LoginRefused::Wrong`] for a wrong code, [`LoginRefused::OutOfOrder`] without a session or for a used counter.
    pub fn unseal(
        &mut self,
        session: &mut Session,
        now: Instant,
        counter: u32,
        message: &[u8],
        code: &[u8; MAC_LENGTH],
    ) -> Result<Option<Authority>, LoginRefused> {
        let (Some(key), Some(kind)) = (session.sealed.key, session.sealed.kind) else {
            return Err(LoginRefused::OutOfOrder);
        };
        if !bool::from(seal(&key, counter, message).ct_eq(code)) {
            self.tell(now, AccessEvent::Failed(kind));
            return Err(LoginRefused::Wrong);
        }
        if counter <= session.sealed.counter {
            return Err(LoginRefused::OutOfOrder);
        }
        session.sealed.counter = counter;
        if kind == PasswordKind::Settings {
            session.settings_until = Some(now.after(LOGIN_TIME));
        }
        Ok(self.authority(session, now))
    }
    /// Unmasks passwords in a message that was just unsealed.
    pub fn unmask(&self, session: &Session, text: &mut [u8]) {
        if let Some(key) = &session.sealed.key {
            mask(key, session.sealed.counter, text);
        }
    }
}
