#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod bank;
mod blocking;
mod codec;
mod gate;
mod item;
mod keeper;
mod layout;
mod load;
mod log;
mod paced;
pub mod statistics;
mod store;
pub mod wear;

pub use bank::RegionError;
pub use blocking::{Blocking, now, poll_once};
pub use gate::{Gate, Moment, Stall};
pub use item::config::Identity;
pub use item::counters::Counters;
pub use item::entry::{Entry, FRAME_CELLS, Frozen};
pub use item::faults::Faults;
pub use keeper::{Keeper, Unsaved};
pub use layout::{Kind, Layout, LayoutError};
pub use load::{AccessBytes, ConfigProblem, Found, Loaded, Report};
pub use paced::FlashError;
pub use statistics::Statistics;
pub use store::{ACCESS_LENGTH, Health, SaveError, Store};
