//! What of the access control is stored, and how it looks in bytes.

use core::fmt;

use super::password::Secret;
use crate::event::PasswordKind;

/// Length of a stored record.
pub const RECORD_LENGTH: usize = 121;
const VERSION: u8 = 1;

/// A device name: 1 to 16 ASCII letters and digits (S08).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceName([u8; 16]);

/// A name that is none (S08).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NameRefused;

impl DeviceName {
    /// The name that a new board has.
    pub const FACTORY: Self = Self(*b"BMS\0\0\0\0\0\0\0\0\0\0\0\0\0");

    /// A name from its characters.
    ///
    /// # Errors
    /// If it is empty, longer than 16, or has other characters than ASCII letters and digits.
    pub fn new(name: &[u8]) -> Result<Self, NameRefused> {
        let mut bytes = [0; 16];
        let slot = bytes.get_mut(..name.len()).ok_or(NameRefused)?;
        if name.is_empty() || !name.iter().all(u8::is_ascii_alphanumeric) {
            return Err(NameRefused);
        }
        slot.copy_from_slice(name);
        Ok(Self(bytes))
    }
    /// The characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        self.0.get(..length).unwrap_or(&self.0)
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(core::str::from_utf8(self.as_bytes()).unwrap_or_default(), out)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for DeviceName {
    fn format(&self, out: defmt::Formatter<'_>) {
        defmt::write!(out, "{=str}", core::str::from_utf8(self.as_bytes()).unwrap_or_default());
    }
}

/// What of the access control survives a reset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessRecord {
    pub(super) connection: Secret,
    pub(super) settings: Secret,
    /// Failures in a row: connection, settings.
    pub(super) failures: [u8; 2],
    /// Challenges given so far, so that none is ever given twice.
    pub(super) challenges: u32,
    pub(super) name: DeviceName,
}

/// Tells nothing of the secrets.
impl fmt::Debug for AccessRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AccessRecord")
            .field("failures", &self.failures)
            .field("challenges", &self.challenges)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl AccessRecord {
    pub(super) fn factory(salt: [u8; 16]) -> Self {
        let mut other = salt;
        for byte in &mut other {
            *byte = !*byte;
        }
        Self {
            connection: Secret::factory(b"1234", salt),
            settings: Secret::factory(b"123456", other),
            failures: [0; 2],
            challenges: 0,
            name: DeviceName::FACTORY,
        }
    }
    pub(super) const fn secret(&self, kind: PasswordKind) -> &Secret {
        match kind {
            PasswordKind::Connection => &self.connection,
            PasswordKind::Settings => &self.settings,
        }
    }
    pub(super) const fn secret_mut(&mut self, kind: PasswordKind) -> &mut Secret {
        match kind {
            PasswordKind::Connection => &mut self.connection,
            PasswordKind::Settings => &mut self.settings,
        }
    }
    /// Failures in a row with this password.
    #[must_use]
    pub const fn failures(&self, kind: PasswordKind) -> u8 {
        let [connection, settings] = self.failures;
        match kind {
            PasswordKind::Connection => connection,
            PasswordKind::Settings => settings,
        }
    }
    /// Whether the owner chose this password (D34).
    #[must_use]
    pub const fn is_chosen(&self, kind: PasswordKind) -> bool {
        self.secret(kind).changed_from_factory()
    }
    /// The device name (S08).
    #[must_use]
    pub const fn name(&self) -> &DeviceName {
        &self.name
    }

    /// As bytes for a store, which adds its own checksum.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD_LENGTH] {
        let mut bytes = [0; RECORD_LENGTH];
        let parts: [&[u8]; 10] = [
            &[VERSION],
            &self.connection.salt,
            &self.connection.key,
            &[self.connection.chosen],
            &self.settings.salt,
            &self.settings.key,
            &[self.settings.chosen],
            &self.failures,
            &self.challenges.to_le_bytes(),
            &self.name.0,
        ];
        let mut rest: &mut [u8] = &mut bytes;
        for part in parts {
            let Some((slot, tail)) = rest.split_at_mut_checked(part.len()) else { break };
            slot.copy_from_slice(part);
            rest = tail;
        }
        bytes
    }
    /// From what a store had; `None` if it is no record of this version.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RECORD_LENGTH]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (connection, rest) = take_secret(rest)?;
        let (settings, rest) = take_secret(rest)?;
        let (failures, rest) = rest.split_first_chunk::<2>()?;
        let (challenges, rest) = rest.split_first_chunk::<4>()?;
        let name = rest.first_chunk::<16>()?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Some(Self {
            connection,
            settings,
            failures: *failures,
            challenges: u32::from_le_bytes(*challenges),
            name: DeviceName::new(name.get(..length)?).ok()?,
        })
    }
}

fn take_secret(bytes: &[u8]) -> Option<(Secret, &[u8])> {
    let (salt, rest) = bytes.split_first_chunk::<16>()?;
    let (key, rest) = rest.split_first_chunk::<32>()?;
    let (chosen, rest) = rest.split_first()?;
    (*chosen <= 1).then_some((Secret { salt: *salt, key: *key, chosen: *chosen }, rest))
}

const _: () = assert!(RECORD_LENGTH == 1 + 2 * (16 + 32 + 1) + 2 + 4 + 16);
