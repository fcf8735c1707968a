//! The proof for the protocols: every state machine of `bms-wire` and its codecs, with bytes, frames and times that the
//! optimiser cannot know. See `main.rs` for the core's, and `outside.rs` for what makes it a proof.

#![no_std]
#![no_main]

mod outside;

use bms_core::access::{Access, AccessRecord, Reading};
use bms_core::prelude::*;
use bms_wire::ble::Peripheral;
use bms_wire::board::{Board, Identity};
use bms_wire::display::Display;
use bms_wire::inverter_can::{Dialect, InverterCan};
use bms_wire::jk_can::JkCan;
use bms_wire::modbus::Modbus;
use bms_wire::native::{CELL_INFO, Layout, NativeFrame, SETTINGS, Text};
use bms_wire::station::{Serial, Station};
use bms_wire::uart::View4e57;
use embedded_can::{ExtendedId, Frame, Id, StandardId};
use outside::{read, write};

const PACK: ValidConfig = const { Config::li_ion(24).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated() };
static IDENTITY: Identity = Identity::WIDEST;

struct Bus;
#[derive(Clone)]
struct Message {
    id: Id,
    data: [u8; 8],
    length: usize,
}

impl Frame for Message {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..data.len())?.copy_from_slice(data);
        Some(Self { id: id.into(), data: bytes, length: data.len() })
    }
    fn new_remote(_: impl Into<Id>, _: usize) -> Option<Self> {
        None
    }
    fn is_extended(&self) -> bool {
        matches!(self.id, Id::Extended(_))
    }
    fn is_remote_frame(&self) -> bool {
        false
    }
    fn id(&self) -> Id {
        self.id
    }
    fn dlc(&self) -> usize {
        self.length
    }
    fn data(&self) -> &[u8] {
        self.data.get(..self.length).unwrap_or(&[])
    }
}

impl embedded_can::nb::Can for Bus {
    type Frame = Message;
    type Error = core::convert::Infallible;
    fn transmit(&mut self, frame: &Message) -> nb::Result<Option<Message>, Self::Error> {
        for byte in frame.data() {
            write(40, u32::from(*byte));
        }
        if read(40) == 0 { Ok(None) } else { Err(nb::Error::WouldBlock) }
    }
    fn receive(&mut self) -> nb::Result<Message, Self::Error> {
        let short = || StandardId::new(read(41) as u16).map(Id::Standard);
        let id = ExtendedId::new(read(42)).map(Id::Extended).or_else(short).ok_or(nb::Error::WouldBlock)?;
        let mut data = [0; 8];
        data.fill_with(|| read(43) as u8);
        Ok(Message { id, data, length: (read(44) as usize).min(8) })
    }
}

fn out(bytes: &[u8]) {
    for byte in bytes {
        write(30, u32::from(*byte));
    }
}

/// The decoders that a client has.
fn decode(bytes: &[u8]) {
    let index = read(31) as u8;
    if let Ok(frame) = NativeFrame::new(bytes) {
        for row in CELL_INFO.iter().chain(SETTINGS) {
            write(31, frame.value(Layout::S24, row.field.quantity, index).unwrap_or(0) as u32);
        }
        out(frame.text(Text::Name).unwrap_or(&[]));
    }
    if let Some(view) = View4e57::new(bytes) {
        write(31, view.number(index).unwrap_or(0) as u32);
        write(31, u32::from(view.cell(index).unwrap_or(0)));
    }
}

fn run() -> ! {
    let mut bms = Bms::<24>::new(PACK);
    let salt = core::array::from_fn(|_| read(32) as u8);
    let mut station = Station::new(Access::factory(salt), &IDENTITY, &bms.status());
    let mut serial = Serial::new(true);
    let mut radio = Peripheral::new(Layout::S32, Reading::Password);
    let mut older = Peripheral::new(Layout::S24, Reading::Open);
    let mut modbus = Modbus::new(1);
    let mut display = Display::new();
    let mut inverters = [Dialect::Pylontech, Dialect::Victron, Dialect::Sma].map(InverterCan::new);
    let mut jk = JkCan::new(read(33) as u8);
    let mut heard = [0; 300];
    loop {
        let now = Instant::from_millis(u64::from(read(11)) << 32 | u64::from(read(12)));
        // Any state of the core, and of what is kept.
        core::hint::black_box((&mut bms, &mut station));
        station.stepped(now, &bms.status(), read(36) == 1);
        while let Some(event) = bms.poll_event() {
            station.note(&event);
        }
        if let Some(record) = station.record_to_store() {
            keep(&record);
        }
        heard.fill_with(|| read(37) as u8);
        decode(heard.get(..read(38) as usize).unwrap_or(&[]));
        let mut desk = station.desk(&mut bms);
        serial.exchange(
            now,
            &mut desk,
            || (read(39) & 1 == 0).then(|| read(39) as u8),
            |byte| {
                write(39, u32::from(byte));
                read(39) == 0
            },
        );
        for radio in [&mut radio, &mut older] {
            match read(45) {
                0 => radio.disconnected(),
                1 => radio.set_mtu(read(46) as u16),
                2 => radio.set_subscribed(read(46) == 1),
                _ => radio.written(now, heard.get(..read(38) as usize).unwrap_or(&[]), &mut desk),
            }
            while let Some(notification) = radio.poll(now, &mut desk) {
                out(notification.as_bytes());
            }
            write(45, radio.deadline().map_or(0, |at| at.as_millis() as u32));
        }
        modbus.receive(now, read(47) as u8, &mut desk);
        if let Some(answer) = modbus.poll(now) {
            out(answer);
        }
        if let Some(frame) = display.poll(now, &desk) {
            out(&frame);
        }
        for inverter in &mut inverters {
            inverter.exchange(now, &mut Bus, &desk);
            write(48, u32::from(inverter.inverter_lost(now)) | inverter.deadline().as_millis() as u32);
        }
        jk.exchange(now, &mut Bus, &mut desk);
        write(49, jk.deadline().as_millis() as u32);
        desk.access().presence_seen(now, secs(read(50) & 0xff));
    }
}

fn keep(record: &AccessRecord) {
    write(51, record.name().as_bytes().len() as u32);
}

entry!(run);
