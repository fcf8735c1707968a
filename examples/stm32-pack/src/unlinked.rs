//! A board that speaks to nobody: the feature `link` is off.

use bms_core::event::Event;
use bms_core::prelude::Instant;
use bms_core::status::Status;

pub struct Wires;
pub struct Links;

impl Links {
    pub fn new(_: Wires, _: &Status<'_>) -> Self {
        Self
    }
    pub async fn wait(&mut self) {
        core::future::pending().await
    }
    pub fn stepped(&mut self, _: Instant, _: &Status<'_>) {}
    pub fn note(&mut self, _: &Event) {}
    pub fn answer(&mut self, _: &mut crate::Core) {}
    pub fn send(&mut self) {}
}
