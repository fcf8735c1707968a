//! What a firmware keeps for its links: the key, the store's order, the serial line and the buses it polls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bench;
mod can;

use std::collections::VecDeque;

use bench::{Bench, at};
use bms_core::access::Access;
use bms_core::config::ParameterId as P;
use bms_wire::board::Identity;
use bms_wire::bytes::sum16;
use bms_wire::inverter_can::{Dialect, InverterCan};
use bms_wire::jk_can::JkCan;
use bms_wire::station::{KEY_WINDOW, Serial, Station};
use bms_wire::uart::{UPLOAD_PAUSE, UPLOAD_PERIOD, View4e57};
use can::Frame;
use embedded_can::Frame as _;
use embedded_can::nb::Can;

static IDENTITY: Identity = Identity::WIDEST;

fn request(command: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x4e, 0x57, 0, 0, 0, 0, 0, 0, command, 3, 0];
    frame.extend(data);
    frame.extend([0, 0, 0, 0, 0x68]);
    frame[3] = u8::try_from(frame.len() + 2).unwrap();
    let sum = sum16(&frame);
    frame.extend([0, 0]);
    frame.extend(sum.to_be_bytes());
    frame
}

/// A board whose serial port is polled each millisecond and takes eleven bytes in it.
struct Firmware {
    board: Bench,
    station: Station,
    serial: Serial,
    now: u64,
    out: Vec<u8>,
}

impl Firmware {
    fn new(uploads: bool) -> Self {
        let board = Bench::new(16);
        let station = Station::new(Access::factory([3; 16]), &IDENTITY, &board.bms.status());
        Self { board, station, serial: Serial::new(uploads), now: 200, out: Vec::new() }
    }
    fn step(&mut self, key: bool) {
        self.now += 100;
        self.board.step(self.now);
        self.station.stepped(at(self.now), &self.board.bms.status(), key);
    }
    /// What comes back within a time.
    fn talk(&mut self, bytes: &[u8], milliseconds: u64) -> Vec<u8> {
        let mut coming: VecDeque<u8> = bytes.iter().copied().collect();
        for _ in 0..milliseconds {
            self.now += 1;
            let (out, mut room) = (&mut self.out, 11);
            let mut desk = self.station.desk(&mut self.board.bms);
            self.serial.exchange(
                at(self.now),
                &mut desk,
                || coming.pop_front(),
                |byte| {
                    let fits = room > 0;
                    if fits {
                        out.push(byte);
                        room -= 1;
                    }
                    fits
                },
            );
        }
        std::mem::take(&mut self.out)
    }
    fn set_overvoltage(&mut self, millivolts: u16) -> Vec<u8> {
        let [high, low] = millivolts.to_be_bytes();
        self.talk(&request(2, &[0x90, high, low]), 50)
    }
    fn overvoltage(&self) -> i32 {
        self.board.bms.config().get(P::CellOvervoltageProtection) / 1_000
    }
}

/// D34 I02: nothing is written before the key is pressed nor after its window, and holding it opens no second one.
#[test]
fn the_key_opens_a_window() {
    let mut firmware = Firmware::new(false);
    assert!(firmware.set_overvoltage(3_600).is_empty());
    let before = firmware.overvoltage();
    firmware.step(true);
    assert_eq!(View4e57::new(&firmware.set_overvoltage(3_580)).unwrap().data(), [0x90]);
    assert_eq!(firmware.overvoltage(), 3_580);
    assert_ne!(before, 3_580);
    // A stuck key.
    firmware.now += u64::from(KEY_WINDOW.as_millis());
    firmware.step(true);
    assert!(firmware.set_overvoltage(3_600).is_empty());
    assert_eq!(firmware.overvoltage(), 3_580);
    // Let go and pressed again.
    firmware.step(false);
    firmware.step(true);
    assert!(!firmware.set_overvoltage(3_600).is_empty());
    assert_eq!(firmware.overvoltage(), 3_600);
}

/// S07 I02: a failed password is to be stored before anything is sent.
#[test]
fn attempts_are_stored_first() {
    let mut firmware = Firmware::new(false);
    assert!(firmware.station.record_to_store().is_none());
    let wrong = request(5, b"\xb2nonsense\0\0");
    let heard = firmware.talk(&wrong, 1);
    assert!(heard.is_empty(), "answered in the call after");
    assert!(firmware.station.record_to_store().is_some());
    assert!(!firmware.talk(&[], 10).is_empty());
}

/// I02: uploads come by themselves, each whole, and pause for whoever asks.
#[test]
fn uploads_pause_for_requests() {
    let mut firmware = Firmware::new(true);
    let period = u64::from(UPLOAD_PERIOD.as_millis());
    let count = |bytes: &[u8]| bytes.windows(2).filter(|start| **start == [0x4e, 0x57]).count();
    let heard = firmware.talk(&[], 4 * period);
    assert_eq!(count(&heard), 4);
    assert_eq!(View4e57::new(&heard[..heard.len() / 4]).unwrap().command(), 6);
    let pause = u64::from(UPLOAD_PAUSE.as_millis());
    let heard = firmware.talk(&request(3, &[0x85]), pause - 10);
    assert!(View4e57::new(&heard).unwrap().number(0x85).is_some(), "only the answer");
    assert_eq!(count(&firmware.talk(&[], period)), 1);
}

/// A bus with so many mailboxes, as a chip has them.
struct Bus {
    came: VecDeque<Frame>,
    mailboxes: usize,
    sent: Vec<Frame>,
}

impl Can for Bus {
    type Frame = Frame;
    type Error = embedded_can::ErrorKind;
    fn transmit(&mut self, frame: &Frame) -> nb::Result<Option<Frame>, Self::Error> {
        self.mailboxes = self.mailboxes.checked_sub(1).ok_or(nb::Error::WouldBlock)?;
        self.sent.push(frame.clone());
        Ok(None)
    }
    fn receive(&mut self) -> nb::Result<Frame, Self::Error> {
        self.came.pop_front().ok_or(nb::Error::WouldBlock)
    }
}

/// I01: the loop of a firmware sends each message once a second, whatever room the bus has, and hears the inverter.
#[test]
fn an_inverter_on_a_bus() {
    let mut firmware = Firmware::new(false);
    let mut link = InverterCan::new(Dialect::Pylontech);
    let mut bus = Bus { came: VecDeque::new(), mailboxes: 3, sent: Vec::new() };
    assert!(link.inverter_lost(at(0)));
    for now in 0..10_000 {
        // A frame of 8 bytes takes a quarter of a millisecond.
        bus.mailboxes = 3;
        if now % 1_000 == 0 {
            bus.came.push_back(Frame::new(embedded_can::StandardId::new(0x305).unwrap(), &[0; 8]).unwrap());
        }
        let desk = firmware.station.desk(&mut firmware.board.bms);
        link.exchange(at(now), &mut bus, &desk);
    }
    assert!(!link.inverter_lost(at(10_000)));
    for id in [0x351, 0x355, 0x356, 0x359, 0x35c, 0x35e] {
        assert_eq!(bus.sent.iter().filter(|frame| frame.id == id).count(), 10, "{id:x}");
    }
    // Nobody acknowledges: the mailboxes stay full, and the loop goes on.
    let before = bus.sent.len();
    bus.mailboxes = 2;
    for now in 10_000..30_000 {
        link.exchange(at(now), &mut bus, &firmware.station.desk(&mut firmware.board.bms));
    }
    assert_eq!(bus.sent.len(), before + 2);
    assert!(link.inverter_lost(at(30_000)));
}

/// I01 D34: JK CAN on a bus: what it tells, and its control message behind the key.
#[test]
fn jk_can_on_a_bus() {
    let mut firmware = Firmware::new(false);
    let mut link = JkCan::new(0);
    let mut bus = Bus { came: VecDeque::new(), mailboxes: 0, sent: Vec::new() };
    let control = Frame { id: 0x18f0_f428, data: vec![1, 0, 0, 0] };
    for key in [false, true] {
        firmware.step(key);
        bus.came.push_back(control.clone());
        bus.mailboxes = 40;
        link.exchange(at(firmware.now), &mut bus, &mut firmware.station.desk(&mut firmware.board.bms));
        assert_eq!(firmware.board.bms.status().switches.charge, !key);
    }
    assert!(bus.sent.iter().any(|frame| frame.id == 0x2f4));
}

/// I01: with the three mailboxes of a chip no message of JK's starves, though seventeen are due at once; on a bus where nobody
/// acknowledges the loop may sleep between two attempts.
#[test]
fn jk_can_through_three_mailboxes() {
    let mut firmware = Firmware::new(false);
    let mut link = JkCan::new(0);
    let mut bus = Bus { came: VecDeque::new(), mailboxes: 3, sent: Vec::new() };
    for now in 0..10_000_u64 {
        // A frame takes half a millisecond and more.
        bus.mailboxes = (bus.mailboxes + usize::from(now % 5 != 0)).min(3);
        link.exchange(at(now), &mut bus, &mut firmware.station.desk(&mut firmware.board.bms));
    }
    for message in bms_wire::jk_can::MESSAGES {
        let sent = bus.sent.iter().filter(|frame| frame.id == message.id).count();
        let wanted = 10_000 / message.period.as_millis() as usize;
        let alarms = matches!(message.id, 0x07f4 | 0x18f3_28f4);
        assert!(if alarms { sent == 0 } else { sent >= wanted - 1 }, "{:x}: {sent} of {wanted}", message.id);
    }
    bus.mailboxes = 0;
    for now in 10_000..10_100 {
        link.exchange(at(now), &mut bus, &mut firmware.station.desk(&mut firmware.board.bms));
        assert!(link.deadline() > at(now), "a loop that waits for the deadline would spin");
    }
}
