//! What makes real clients fail though a protocol's description is followed. The list is in `docs/links.md`, each with its test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bench;

use bench::{Bench, at};
use bms_core::access::Reading;
use bms_core::config::ParameterId as P;
use bms_wire::ble::Peripheral;
use bms_wire::board::{Board, Identity};
use bms_wire::bytes::{crc16, sum8};
use bms_wire::jk_can::MESSAGES;
use bms_wire::modbus::Modbus;
use bms_wire::native::{ACK, FrameType, Layout, encode};
use bms_wire::uart::{IDENTIFIERS, View4e57};

fn native(board: &Bench, kind: FrameType, layout: Layout) -> [u8; 300] {
    let mut frame = [0; 300];
    encode(&mut frame, kind, layout, 7, &board.view());
    frame
}

/// A request as a client writes it, filler and all.
fn asked(register: u8, length: u8, thirteen: [u8; 13]) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..6].copy_from_slice(&[0xaa, 0x55, 0x90, 0xeb, register, length]);
    bytes[6..19].copy_from_slice(&thirteen);
    bytes[19] = sum8(&bytes[..19]);
    bytes
}

fn connected(layout: Layout) -> Peripheral {
    let mut link = Peripheral::new(layout, Reading::Open);
    link.set_mtu(247);
    link.set_subscribed(true);
    link
}

/// I04 S04: one client fills up with the sign of the value; only the value's own bytes count.
#[test]
fn filler_is_ignored() {
    let mut board = Bench::unlocked(16);
    let mut link = connected(Layout::S32);
    let mut value = [0xff; 13];
    value[0] = (-5_i8) as u8;
    link.written(at(1_000), &asked(0x3b, 1, value), &mut board);
    assert_eq!(board.bms.config().get(P::DischargeUndertemperatureRecovery), -50);
    assert_eq!(link.poll(at(2_000), &mut board).unwrap().as_bytes(), ACK);
}

/// I04 S04: the same client sends register 01 with a length of one and the value behind it: refused, not taken as 22 mV.
#[test]
fn a_short_length_is_refused() {
    let mut board = Bench::unlocked(16);
    let mut link = connected(Layout::S32);
    let before = *board.bms.config();
    for register in [0x01, 0x04] {
        let mut value = [0; 13];
        value[..2].copy_from_slice(&[0x16, 0x0d]);
        link.written(at(1_000), &asked(register, 1, value), &mut board);
        assert!(link.poll(at(2_000), &mut board).is_none());
    }
    assert_eq!(*board.bms.config(), before);
}

/// S04: one client truncates in single precision, so 3.549 V arrives 1 mV low: taken as it comes.
#[test]
fn a_millivolt_less_is_taken() {
    let mut board = Bench::unlocked(16);
    let mut link = connected(Layout::S32);
    for millivolts in [3_549_u32, 3_551] {
        let mut value = [0; 13];
        value[..4].copy_from_slice(&millivolts.to_le_bytes());
        link.written(at(1_000), &asked(0x04, 4, value), &mut board);
        let millivolts = i32::try_from(millivolts).unwrap();
        assert_eq!(board.bms.config().get(P::CellOvervoltageProtection), millivolts * 1_000);
    }
}

/// I04: byte 287 of a 32S cell frame tells one client the layout.
#[test]
fn valid_flags_are_set_on_32s() {
    assert_ne!(native(&Bench::new(16), FrameType::CellInfo, Layout::S32)[287], 0);
}

/// I04: a sensor that is not there reads -200.0 °C, and its presence bit is 0.
#[test]
fn a_missing_sensor_has_no_presence_bit() {
    let frame = native(&Bench::new(16), FrameType::CellInfo, Layout::S32);
    assert_eq!(i16::from_le_bytes([frame[162], frame[163]]), 120);
    assert_eq!(i16::from_le_bytes([frame[164], frame[165]]), -2_000);
    assert_eq!(frame[214] & 0b111, 0b011);
}

/// I04: the number of cells in the settings is 1 to 24, or one client gives up.
#[test]
fn the_settings_count_the_cells() {
    for cells in [8, 16, 24] {
        let frame = native(&Bench::new(cells), FrameType::Settings, Layout::S32);
        assert_eq!(u32::from_le_bytes(frame[114..118].try_into().unwrap()), u32::from(cells));
    }
}

/// I04: clients choose the layout by the version's major number, and want the model to begin with JK.
#[test]
fn the_identity_is_recognised() {
    let frame = native(&Bench::new(16), FrameType::DeviceInfo, Layout::S32);
    assert!(frame[6..].starts_with(b"JK_") && frame[30..].starts_with(b"15.41"));
    assert_eq!(Identity::WIDEST.software.split('.').next(), Some("15"));
}

/// I02: tools read 4E57 by places: every identifier, rising, between 79 and C0.
#[test]
fn identifiers_keep_their_order() {
    let ids: Vec<u8> = IDENTIFIERS.iter().map(|row| row.id).filter(|id| *id <= 0xba || *id == 0xc0).collect();
    let expected: Vec<u8> = (0x80..=0x87).chain(0x89..=0x8c).chain(0x8e..=0xba).chain([0xc0]).collect();
    assert_eq!(ids, expected);
}

/// I02: the vendor's printed example has a wrong sum; such a frame is none.
#[test]
fn a_wrong_sum_is_no_frame() {
    let good = [0x4e, 0x57, 0, 0x13, 0, 0, 0, 0, 6, 3, 0, 0, 0, 0, 0, 0, 0x68, 0, 0, 1, 0x29];
    assert!(View4e57::new(&good).is_some());
    let mut bad = good;
    bad[20] ^= 1;
    assert!(View4e57::new(&bad).is_none());
}

/// I01: without the cells' messages one client stops; they are sent whatever the pack has.
#[test]
fn cells_are_always_on_jk_can() {
    for id in (0x18e0_28f4..=0x18e6_28f4).step_by(0x1_0000) {
        let message = MESSAGES.iter().find(|message| message.id == id).unwrap();
        assert!(message.is_wanted(&Bench::new(8).view()), "{id:x}");
    }
}

/// S04 D34: Modbus address 0 is everybody's: nobody answers, and nothing is written, with authority or without.
#[test]
fn modbus_broadcasts_do_nothing() {
    let mut board = Bench::unlocked(16);
    let before = *board.bms.config();
    let mut bus = Modbus::new(1);
    for body in [&[0_u8, 0x10, 0x10, 0x0c, 0, 2, 4, 0, 0, 0x0d, 0xde][..], &[0, 3, 0x12, 0x90, 0, 2]] {
        for byte in body.iter().chain(&crc16(body).to_le_bytes()) {
            bus.receive(at(1_000), *byte, &mut board);
        }
        assert!(bus.poll(at(2_000)).is_none());
    }
    assert_eq!(*board.bms.config(), before);
    assert_eq!(board.asked, 0);
}

/// The list in the document names tests that exist.
#[test]
fn every_trap_has_its_test() {
    const DOCUMENT: &str = include_str!("../../../docs/links.md");
    const SOURCES: [&str; 5] = [
        include_str!("traps.rs"),
        include_str!("conversations.rs"),
        include_str!("golden.rs"),
        include_str!("station.rs"),
        include_str!("../../bms-bluetooth/src/table.rs"),
    ];
    let list = DOCUMENT.split("## Traps").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(rows.len() >= 20, "{} traps", rows.len());
    for row in rows {
        let test = row.rsplit('`').nth(1).unwrap();
        assert!(SOURCES.iter().any(|source| source.contains(&format!("fn {test}("))), "no test {test}");
    }
    for test in include_str!("traps.rs").split("\n#[test]\nfn ").skip(1).map(|text| text.split('(').next().unwrap()) {
        assert!(test == "every_trap_has_its_test" || list.contains(&format!("`{test}`")), "{test} is not in the list");
    }
}
