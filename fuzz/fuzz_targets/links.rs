//! Anything on any link, in any pieces and order: no panic, whole answers only, no change without authority, and with
//! authority never a configuration that is not valid.

#![no_main]

use bms_core::Bms;
use bms_core::access::{Access, Change, Reading, Session};
use bms_core::bms::Refusal;
use bms_core::config::{Config, Model, ValidConfig};
use bms_core::time::{Duration, Instant};
use bms_core::units::ah;
use bms_wire::alarms::{Column, possible};
use bms_wire::ble::Peripheral;
use bms_wire::board::{Board, Identity, View};
use bms_wire::display;
use bms_wire::field::Quantity;
use bms_wire::inverter_can::{PYLONTECH, SMA, VICTRON};
use bms_wire::jk_can;
use bms_wire::logbook::Logbook;
use bms_wire::modbus::{self, Modbus};
use bms_wire::native::{ACK, CELL_INFO, Layout, NativeFrame, Request, SETTINGS, Text};
use bms_wire::secure;
use bms_wire::telemetry::Telemetry;
use bms_wire::uart::{IDENTIFIERS, Uart, View4e57};
use libfuzzer_sys::fuzz_target;

struct Desk {
    bms: Bms,
    access: Access,
    logbook: Logbook,
    telemetry: Telemetry,
    before: ValidConfig,
}

impl Board for Desk {
    fn view(&self) -> View<'_> {
        View {
            telemetry: &self.telemetry,
            config: self.bms.config(),
            identity: &Identity::WIDEST,
            name: self.access.record().name(),
        }
    }
    fn logbook(&self) -> &Logbook {
        &self.logbook
    }
    fn access(&mut self) -> &mut Access {
        &mut self.access
    }
    fn change(&mut self, session: &Session, now: Instant, change: Change) -> Result<(), Refusal> {
        // The factory's password is in force: only presence authorises.
        let allowed = self.access.is_present(now);
        let result = self.access.change(&mut self.bms, session, now, change);
        assert!(allowed || result == Err(Refusal::NotAuthorised), "{change:?} without authority");
        if result.is_err() {
            assert_eq!(*self.bms.config(), self.before, "a refused change changed something");
        }
        assert!(self.bms.config().to_config().validate().is_ok(), "{change:?} made an invalid configuration");
        self.before = *self.bms.config();
        self.telemetry = Telemetry::of(&self.bms.status());
        result
    }
}

/// The next `length` bytes, as many as there are.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (now, later) = bytes.split_at(length.min(bytes.len()));
    *bytes = later;
    now
}

/// Every decoder, with whatever.
fn decode(bytes: &[u8]) {
    if let Ok(frame) = NativeFrame::new(bytes) {
        for layout in [Layout::S32, Layout::S24] {
            for row in CELL_INFO.iter().chain(SETTINGS) {
                let _ = frame.value(layout, row.field.quantity, bytes[0]);
            }
        }
        let _ = frame.text(Text::Name);
    }
    if let Some(view) = View4e57::new(bytes) {
        let _ = (view.cell(bytes[0]), view.number(bytes[0]));
    }
    for message in PYLONTECH.iter().chain(&SMA).chain(&VICTRON).chain(&jk_can::MESSAGES) {
        for field in message.fields {
            let _ = message.value(bytes, field.quantity);
        }
    }
    let _ = display::value(bytes, Quantity::Cell, bytes.first().copied().unwrap_or(0));
    if let Some(word) = bytes.first_chunk::<4>() {
        let word = u32::from_le_bytes(*word);
        for column in [Column::Native, Column::Uart, Column::JkCan, Column::Pylontech] {
            let _ = possible(word, column);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let config = Config::lifepo4(16).with_model(Model::B2a24s20p).with_capacity(ah(280)).validate().expect("valid");
    let mut desk = Desk {
        bms: Bms::new(config),
        access: Access::factory([1; 16]),
        logbook: Logbook::new(),
        telemetry: Telemetry::default(),
        before: config,
    };
    let mut radio = Peripheral::new(Layout::S32, Reading::Open);
    let mut serial = Uart::new(true);
    let mut bus = Modbus::new(1);
    let mut frame: Vec<u8> = Vec::new();
    let mut now = Instant::ZERO;
    while let [operation, rest @ ..] = data {
        data = rest;
        let mut sent: Vec<u8> = Vec::new();
        match operation % 12 {
            0 => {
                now = now.after(Duration::from_millis(u32::from(take(&mut data, 1).first().copied().unwrap_or(0)) * 37))
            }
            1 => desk.access.presence_seen(now, Duration::from_millis(5_000)),
            2 => radio.set_mtu(u16::from(take(&mut data, 1).first().copied().unwrap_or(0)) * 3),
            3 => radio.set_subscribed(operation & 0x80 == 0),
            4 => {
                radio.disconnected();
                frame.clear();
            }
            5 => sent.extend_from_slice(take(&mut data, usize::from(operation / 12))),
            // A request of Bluetooth, of the serial line, of Modbus, of the authenticated mode; all well formed.
            6 | 7 => {
                let [register, length, ..] = take(&mut data, 2) else { break };
                let mut value = [0; 13];
                let given = take(&mut data, usize::from(length % 14));
                value[..given.len()].copy_from_slice(given);
                sent.extend(Request { register: *register, length: given.len() as u8, value }.to_bytes());
            }
            8 => {
                let [command, id, ..] = take(&mut data, 2) else { break };
                let width = IDENTIFIERS.iter().find(|row| row.id == *id).map_or(2, |row| row.width());
                let mut line = vec![0x4e, 0x57, 0, 0, 0, 0, 0, 0, command % 7, 3, 0, *id];
                line.extend(take(&mut data, width));
                line.extend([0, 0, 0, 0, 0x68, 0, 0]);
                let length = line.len() as u16;
                line[2..4].copy_from_slice(&length.to_be_bytes());
                let sum = bms_wire::bytes::sum16(&line[..line.len() - 2]);
                line.extend(sum.to_be_bytes());
                sent = line;
            }
            9 | 10 => {
                let [high, low, count, ..] = take(&mut data, 3) else { break };
                let registers = count % 8 + 1;
                let mut body = vec![1, 0x10, 0x10 | high & 7, *low, 0, registers, registers * 2];
                if operation % 12 == 10 {
                    body = vec![1, 3, 0x10 | high & 7, *low, 0, *count];
                } else {
                    let given = take(&mut data, usize::from(registers) * 2);
                    body.extend(given);
                    body.resize(7 + usize::from(registers) * 2, 0);
                }
                let crc = bms_wire::bytes::crc16(&body);
                body.extend(crc.to_le_bytes());
                sent = body;
            }
            _ => {
                let [kind, length, ..] = take(&mut data, 2) else { break };
                sent.extend(&secure::frame(kind % 6, take(&mut data, usize::from(length % 70))));
            }
        }
        decode(&sent);
        radio.written(now, &sent, &mut desk);
        for byte in &sent {
            if let Some(answer) = serial.receive(now, *byte, &mut desk) {
                assert!(View4e57::new(answer).is_some() || answer.starts_with(&[0xa5, 0x42]), "half an answer");
            }
            bus.receive(now, *byte, &mut desk);
        }
        if let Some(answer) = bus.poll(now) {
            let tail = if answer.len() == 308 { &answer[300..] } else { answer };
            assert!(modbus::is_whole(tail));
        }
        if let Some(upload) = serial.poll(now, &desk) {
            assert!(View4e57::new(upload).is_some());
        }
        // At most a full queue of frames at the smallest MTU.
        for _ in 0..200 {
            let Some(notification) = radio.poll(now, &mut desk) else { break };
            let bytes = notification.as_bytes();
            if bytes == ACK && frame.is_empty() || bytes.starts_with(&[0xa5, 0x42]) {
                continue;
            }
            if bytes.starts_with(&[0x55, 0xaa, 0xeb, 0x90]) {
                frame.clear();
            }
            frame.extend_from_slice(bytes);
            if frame.len() == 300 {
                assert!(NativeFrame::new(&frame).is_ok());
                frame.clear();
            }
        }
    }
});
