//! The board as a Bluetooth peripheral: the radio's side of [`bms_wire::ble`].
//!
//! ```text
//! radio's controller ◄─ HCI ─► trouble-host ◄─► serve() ◄─► bms_wire::ble::Peripheral ◄─► Board
//! ```
//! [`serve`] advertises, takes one connection at a time, and carries what the client writes to the state machine and what
//! that gives to the client: one notification each, never longer than the agreed MTU allows. `bms-sim serve --link ble` runs
//! the same state machine; the tests here run all of this over a controller made of software.
//!
//! # The table
//! | service | characteristic | properties |
//! |---|---|---|
//! | 1800 generic access | 2A00 name, 2A01 appearance | read |
//! | 1801 generic attribute | | |
//! | FFE0 | FFE1, with descriptor 2902 | write, write without response, notify |
//!
//! No pairing, as the devices that clients know. Who may read and change is [`bms_core::access`]'s affair, above the radio.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

mod table;

use core::cell::RefCell;

use bms_core::access::DeviceName;
use bms_core::port::Clock;
use bms_wire::ble::{MANUFACTURER, Peripheral, SERVICE};
use bms_wire::board::Board;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use trouble_host::prelude::*;

use table::Table;

/// After the controller refused to advertise, or a client could not be taken.
const PAUSE: Duration = Duration::from_millis(500);
/// Signalling and attributes.
const CHANNELS: usize = 2;

/// What the Bluetooth host needs in RAM, some six kilobytes.
pub type Resources = HostResources<DefaultPacketPool, 1, CHANNELS>;

/// Serves for ever. Returns when the controller fails, for the firmware to make a new one or to go on without.
///
/// `address` is the static random address, its two highest bits are set here. The board is borrowed for single calls, never
/// across a wait, so that the protecting loop may run in another task of the same executor.
///
/// # Errors
/// What the controller answered.
pub async fn serve<C: Controller>(
    controller: C,
    resources: &mut Resources,
    address: [u8; 6],
    clock: impl Clock,
    peripheral: &mut Peripheral,
    board: &RefCell<impl Board>,
) -> Result<(), BleHostError<C::Error>> {
    let [a, b, c, d, e, f] = address;
    let address = Address::random([a, b, c, d, e, f | 0xc0]);
    let stack = trouble_host::new(controller, resources).set_random_address(address).build();
    let mut runner = stack.runner();
    let mut advertiser = stack.peripheral();
    let talking = async {
        loop {
            let name = name_of(board);
            if connection(&mut advertiser, &name, &clock, peripheral, board).await.is_none() {
                Timer::after(PAUSE).await;
            }
            peripheral.disconnected();
        }
    };
    match select(runner.run(), talking).await {
        Either::First(ended) => ended,
        Either::Second(never) => never,
    }
}

/// Advertises until a client comes, and serves it until it goes. `None` if that was not possible.
async fn connection<C: Controller>(
    advertiser: &mut trouble_host::prelude::Peripheral<'_, C, DefaultPacketPool>,
    name: &DeviceName,
    clock: &impl Clock,
    peripheral: &mut Peripheral,
    board: &RefCell<impl Board>,
) -> Option<()> {
    let table = Table::new(name)?;
    let mut advertisement = [0; 31];
    let length = advertise(name, &mut advertisement)?;
    let data = Advertisement::ConnectableScannableUndirected { adv_data: advertisement.get(..length)?, scan_data: &[] };
    let accepting = advertiser.advertise(&AdvertisementParameters::default(), data).await.ok()?;
    let client = accepting.accept().await.ok()?.with_attribute_server(&table.server).ok()?;
    talk(&client, &table, clock, peripheral, board).await;
    Some(())
}

/// What is advertised: the service, the number that clients look for, and the owner's name, which fits.
fn advertise(name: &DeviceName, to: &mut [u8; 31]) -> Option<usize> {
    let data = [
        AdStructure::Flags(LE_GENERAL_DISCOVERABLE | BR_EDR_NOT_SUPPORTED),
        AdStructure::CompleteServiceUuids16(&[SERVICE.to_le_bytes()]),
        AdStructure::ManufacturerSpecificData { company_identifier: MANUFACTURER, payload: &[] },
        AdStructure::CompleteLocalName(name.as_bytes()),
    ];
    AdStructure::encode_slice(&data, to).ok()
}

async fn talk(
    client: &GattConnection<'_, '_, DefaultPacketPool>,
    table: &Table<'_>,
    clock: &impl Clock,
    peripheral: &mut Peripheral,
    board: &RefCell<impl Board>,
) {
    let mut subscribed = false;
    loop {
        peripheral.set_mtu(client.raw().att_mtu());
        if table.ffe1.should_notify(client) != subscribed {
            subscribed = !subscribed;
            peripheral.set_subscribed(subscribed);
        }
        while let Some(notification) = with(board, |board| peripheral.poll(clock.now(), board)).flatten() {
            // A full radio makes this wait; a client that is gone shows below.
            if table.ffe1.notify_raw(client, notification.as_bytes(), false).await.is_err() {
                break;
            }
        }
        let event = match peripheral.deadline() {
            None => client.next().await,
            Some(due) => {
                let wait = u64::from(due.since(clock.now()).as_millis()).max(1);
                match select(client.next(), Timer::after_millis(wait)).await {
                    Either::First(event) => event,
                    Either::Second(()) => continue,
                }
            }
        };
        match event {
            GattConnectionEvent::Disconnected { .. } => return,
            GattConnectionEvent::Gatt { event: GattEvent::Write(write) } if write.handle() == table.ffe1.handle => {
                write.with_data(|_, bytes| with(board, |board| peripheral.written(clock.now(), bytes, board)));
                // The table keeps no copy. Only a write with response has a reply.
                if let Ok(reply) = write.accept_unprocessed() {
                    reply.send().await;
                }
            }
            GattConnectionEvent::Gatt { event } => {
                if let Ok(reply) = event.accept() {
                    reply.send().await;
                }
            }
            _ => {}
        }
    }
}

fn name_of(board: &RefCell<impl Board>) -> DeviceName {
    with(board, |board| *board.view().name).unwrap_or(DeviceName::FACTORY)
}

/// Nobody holds the board across a wait, so this always works.
fn with<B, R>(board: &RefCell<B>, work: impl FnOnce(&mut B) -> R) -> Option<R> {
    board.try_borrow_mut().ok().map(|mut board| work(&mut board))
}
