//! Counts instructions of a byte on each link, ordinary and made to cost the most; sizes and stack. Raw numbers for
//! `.ci/figures.py`.

#![no_std]
#![no_main]

use bms_core::Bms;
use bms_core::access::{Access, Reading};
use bms_core::config::{Config, Model, ValidConfig};
use bms_core::time::{Instant, secs};
use bms_core::units::ah;
use bms_on_target::Counter;
use bms_wire::ble::Peripheral;
use bms_wire::board::Identity;
use bms_wire::modbus::Modbus;
use bms_wire::native::Layout;
use bms_wire::station::{Serial, Station};
use core::hint::black_box;
use semihosting::println;

const PACK: ValidConfig = const { Config::li_ion(24).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated() };
static IDENTITY: Identity = Identity::WIDEST;

/// Streams of bytes: noise, and for each protocol what looks like the beginning of a frame at every place.
const PATTERNS: [&[u8]; 9] = [
    // Nothing of anything.
    &[0xff],
    // Whole requests: read all, and a read of the cells.
    &[0x4e, 0x57, 0, 0x13, 0, 0, 0, 0, 6, 3, 0, 0, 0, 0, 0, 0, 0x68, 0, 0, 1, 0x29],
    &[1, 3, 0x12, 0, 0, 120, 0x40, 0x90],
    // Starts with a length that fits and never an end.
    &[0x4e, 0x57],
    &[0x4e, 0x57, 0, 0x30],
    // Every eight bytes are a read of somebody; every byte begins a write of 32 registers.
    &[1],
    &[1, 0x10, 0, 0, 0, 32, 64],
    // Bluetooth's and the authenticated mode's heads.
    &[0xaa, 0x55, 0x90, 0xeb],
    &[0xa5, 0x42, 0x4d, 0x53, 2, 16],
];

struct Range {
    count: u32,
    sum: u64,
    most: u32,
}

impl Range {
    const fn new() -> Self {
        Self { count: 0, sum: 0, most: 0 }
    }
    fn add(&mut self, value: u32) {
        self.count += 1;
        self.sum += u64::from(value);
        self.most = self.most.max(value);
    }
    fn print(&self, name: &str) {
        println!("ticks {name} {} 0 {} {}", self.count, self.sum, self.most);
    }
}

/// Every pattern, a thousand bytes of each and two hundred of noise behind it.
fn bytes(mut each: impl FnMut(u8)) {
    let mut noise = 0x2545_f491_u32;
    for pattern in PATTERNS {
        for turn in 0..1_000 {
            each(pattern[turn % pattern.len()]);
        }
        for _ in 0..200 {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            each(noise as u8);
        }
    }
}

fn run() -> ! {
    let counter = Counter::start();
    let mut empty = Range::new();
    for _ in 0..16 {
        let begin = counter.now();
        black_box(());
        empty.add(Counter::between(begin, counter.now()));
    }
    empty.print("empty");
    let mut bms = Bms::<24>::new(PACK);
    let mut station = Station::new(Access::factory([7; 16]), &IDENTITY, &bms.status());
    println!("bytes station {}", size_of::<Station>());
    println!("bytes serial {}", size_of::<Serial>());
    println!("bytes bluetooth {}", size_of::<Peripheral>());
    println!("bytes modbus {}", size_of::<Modbus>());
    let mut desk = station.desk(&mut bms);
    let now = Instant::from_millis(1_000);

    let (mut serial, mut taken, mut polled) = (Serial::new(true), Range::new(), Range::new());
    bytes(|byte| {
        let begin = counter.now();
        serial.receive(now, black_box(byte), &mut desk);
        taken.add(Counter::between(begin, counter.now()));
        serial.sent(usize::MAX);
    });
    taken.print("serial_byte");
    let begin = counter.now();
    serial.poll(now.after(secs(10)), &desk);
    polled.add(Counter::between(begin, counter.now()));
    polled.print("serial_upload");

    let (mut modbus, mut taken) = (Modbus::new(1), Range::new());
    bytes(|byte| {
        let begin = counter.now();
        modbus.receive(now, black_box(byte), &mut desk);
        taken.add(Counter::between(begin, counter.now()));
    });
    taken.print("modbus_byte");

    let (mut radio, mut taken) = (Peripheral::new(Layout::S32, Reading::Open), Range::new());
    radio.set_subscribed(true);
    bytes(|byte| {
        let begin = counter.now();
        radio.written(now, black_box(&[byte]), &mut desk);
        taken.add(Counter::between(begin, counter.now()));
    });
    taken.print("bluetooth_byte");
    semihosting::process::exit(0)
}

bms_on_target::entry!(run);
