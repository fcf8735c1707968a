//! One password as it is stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::LoginRefused;

/// The longest password, in bytes.
pub const MAXIMUM_PASSWORD: usize = 16;
/// The shortest that can be chosen; the factory's "1234" is what the manual has.
const MINIMUM_PASSWORD: usize = 4;

/// Why a password was not changed. Nothing was changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PasswordRefused {
    /// The old one was not accepted.
    Login(LoginRefused),
    /// The two entries of the new one differ.
    Differ,
    /// Not 4 to 16 printable ASCII characters without blanks.
    NotPossible,
}

/// HMAC-SHA-256 of a message in parts.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is possible; the error is only for other algorithms.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A password, salted and hashed.
///
/// One HMAC, not a thousand: the hash runs between two protective steps on a small chip. A chosen password of 16
/// characters does not need more and a four-digit one would not be saved by it; guessing over a link is what the waits
/// are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Secret {
    pub salt: [u8; 16],
    pub key: [u8; 32],
    /// 0 as the factory set it, 1 chosen by the owner.
    pub chosen: u8,
}

impl Secret {
    pub(super) fn factory(password: &[u8], salt: [u8; 16]) -> Self {
        Self { salt, key: hmac(&salt, &[password]), chosen: 0 }
    }
    pub(super) fn chosen(new: &[u8], again: &[u8], salt: [u8; 16]) -> Result<Self, PasswordRefused> {
        if new.len() != again.len() || !bool::from(new.ct_eq(again)) {
            return Err(PasswordRefused::Differ);
        }
        let possible =
            (MINIMUM_PASSWORD..=MAXIMUM_PASSWORD).contains(&new.len()) && new.iter().all(u8::is_ascii_graphic);
        if !possible {
            return Err(PasswordRefused::NotPossible);
        }
        Ok(Self { salt, key: hmac(&salt, &[new]), chosen: 1 })
    }
    /// In constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        hmac(&self.salt, &[password]).ct_eq(&self.key).into()
    }
    pub(super) const fn changed_from_factory(&self) -> bool {
        self.chosen != 0
    }
}
