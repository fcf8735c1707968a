//! The attribute table.

use bms_core::access::DeviceName;
use bms_wire::ble::{CHARACTERISTIC, SERVICE};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use trouble_host::prelude::*;

/// Three services, three characteristics, one descriptor.
const ATTRIBUTES: usize = 10;

/// The attributes and who subscribed to them.
pub type Server<'a> = AttributeServer<'a, NoopRawMutex, DefaultPacketPool, ATTRIBUTES, 1>;

/// The table of one connection, so that a new name shows in the next.
pub struct Table<'a> {
    pub server: Server<'a>,
    pub ffe1: Characteristic<[u8; 0]>,
}

impl<'a> Table<'a> {
    /// `None` only if the name were none.
    pub fn new(name: &'a DeviceName) -> Option<Self> {
        let mut table = AttributeTable::new();
        let name = core::str::from_utf8(name.as_bytes()).ok()?;
        // Takes the first six handles, so that the value handle below is not 3, which one client takes for another layout.
        GapConfig::default(name).build(&mut table).ok()?;
        let properties =
            [CharacteristicProp::Write, CharacteristicProp::WriteWithoutResponse, CharacteristicProp::Notify];
        // What is written goes to the state machine, not into the table.
        let mut service = table.add_service(Service::new(SERVICE));
        let ffe1 = service.add_characteristic_small(CHARACTERISTIC, properties, []).build();
        service.build();
        Some(Self { server: AttributeServer::new(table), ffe1 })
    }
}
