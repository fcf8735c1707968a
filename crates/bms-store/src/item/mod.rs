//! The payloads: explicit fields, little-endian, one file a kind.
//!
//! `encode` writes the newest version, `decode` reads that and every older one. A field is only ever added at the end, with
//! a new version; what an older one lacks has a stated default.

pub(crate) mod balancing;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod entry;
pub(crate) mod faults;
pub(crate) mod statistics;
