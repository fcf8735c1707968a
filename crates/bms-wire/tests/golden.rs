//! Frames that were captured from real boards decode to the values that other people's clients read in them.
//!
//! The frames are facts; their sources stand in the first line of each file. What is expected comes from the protocol's
//! description, not from this code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use bms_core::config::ParameterId as P;
use bms_wire::alarms::Column;
use bms_wire::can::Message;
use bms_wire::display;
use bms_wire::field::Quantity as Q;
use bms_wire::inverter_can::{PYLONTECH, SMA, VICTRON};
use bms_wire::jk_can;
use bms_wire::modbus::is_whole;
use bms_wire::native::{ACK, FrameType, Layout, NativeFrame, Request, Text};
use bms_wire::uart::{View4e57, degrees};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String =
        hex.lines().filter(|line| !line.starts_with('#')).flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

macro_rules! capture {
    ($name:literal) => {
        bytes(include_str!(concat!("captures/", $name, ".hex")))
    };
}

/// Values of a frame: quantity, index, value in the quantity's unit.
fn expect(frame: &NativeFrame<'_>, layout: Layout, values: &[(Q, u8, i64)]) {
    for (quantity, index, value) in values {
        assert_eq!(frame.value(layout, *quantity, *index), Some(*value), "{quantity:?} {index}");
    }
}

fn expect_cells(frame: &NativeFrame<'_>, layout: Layout, millivolts: &[i64]) {
    for (index, value) in (0_u8..).zip(millivolts) {
        assert_eq!(frame.value(layout, Q::Cell, index), Some(value * 1_000), "cell {}", index + 1);
    }
    let mask = (1_i64 << millivolts.len()) - 1;
    assert_eq!(frame.value(layout, Q::CellMask, 0), Some(mask));
}

#[test]
fn i04_native_24s_device_and_settings() {
    let device = capture!("ble_bd6a17s6p_v7_1_0h.dev");
    let frame = NativeFrame::new(&device).unwrap();
    assert_eq!((frame.kind(), frame.counter()), (FrameType::DeviceInfo, 140));
    assert_eq!(frame.text(Text::Model), Some(b"JK-BD6A17S6P".as_slice()));
    assert_eq!(frame.text(Text::Hardware), Some(b"7.X".as_slice()));
    assert_eq!(frame.text(Text::Software), Some(b"7.1.0H".as_slice()));
    assert_eq!(frame.text(Text::Name), Some(b"JK-BD6A17S6P".as_slice()));
    assert_eq!(frame.text(Text::Serial), Some(b"1060706180".as_slice()));
    expect(&frame, Layout::S24, &[(Q::RunTime, 0, 15_967_800), (Q::PowerOns, 0, 14)]);

    let settings = capture!("ble_bd6a17s6p_v7_1_0h.settings");
    let frame = NativeFrame::new(&settings).unwrap();
    assert_eq!(frame.kind(), FrameType::Settings);
    expect(
        &frame,
        Layout::S24,
        &[
            (Q::Parameter(P::CellCount), 0, 16),
            (Q::Parameter(P::CellUndervoltageProtection), 0, 2_650_000),
            (Q::Parameter(P::CellOvervoltageProtection), 0, 3_650_000),
            (Q::Parameter(P::BalanceTrigger), 0, 10_000),
            (Q::Parameter(P::ChargeOvercurrentProtection), 0, 30_000),
            (Q::Parameter(P::DischargeOvercurrentProtection), 0, 60_000),
            (Q::Parameter(P::Capacity), 0, 81_000),
            (Q::Parameter(P::ChargeUndertemperatureProtection), 0, 0),
        ],
    );
}

#[test]
fn i04_native_24s_cells() {
    let cells = capture!("ble_bd6a17s6p_v7_1_0h.cell");
    let frame = NativeFrame::new(&cells).unwrap();
    let layout = Layout::S24;
    expect_cells(
        &frame,
        layout,
        &[3230, 3231, 3232, 3232, 3233, 3233, 3226, 3235, 3243, 3231, 3231, 3231, 3232, 3232, 3233, 3232],
    );
    expect(
        &frame,
        layout,
        &[
            (Q::AverageCell, 0, 3_232_000),
            (Q::CellSpread, 0, 14_000),
            (Q::HighestCell, 0, 8),
            (Q::LowestCell, 0, 6),
            (Q::PackVoltage, 0, 51_715_000),
            (Q::Current, 0, 3_045),
            (Q::Battery(0), 0, 263),
            (Q::Battery(1), 0, 267),
            (Q::Mos, 0, 293),
            (Q::StateOfCharge, 0, 300),
            (Q::Remaining, 0, 24_439),
            (Q::FullCapacity, 0, 81_000),
            (Q::Cycles, 0, 111),
            (Q::StateOfHealth, 0, 1_000),
            (Q::RunTime, 0, 15_967_430),
            (Q::Alarms(Column::Native), 0, 0),
            (Q::ChargeOn, 0, 1),
            (Q::DischargeOn, 0, 1),
        ],
    );
    let other = capture!("ble_jk02_24s.cell");
    let frame = NativeFrame::new(&other).unwrap();
    expect(
        &frame,
        layout,
        &[
            (Q::Cell, 15, 3_309_000),
            (Q::PackVoltage, 0, 52_971_000),
            (Q::Current, 0, 2_329),
            (Q::Battery(0), 0, 181),
            (Q::Mos, 0, 228),
            (Q::StateOfCharge, 0, 560),
            (Q::Remaining, 0, 113_245),
            (Q::Cycles, 0, 60),
            (Q::RunTime, 0, 57_469_067),
        ],
    );
    let ack = capture!("ble_jk02_24s.ack");
    assert_eq!(ack[..20], ACK);
}

#[test]
fn i04_native_32s_settings_and_cells() {
    let settings = capture!("ble_session_32s_pb2a16s15p_write25.settings");
    let frame = NativeFrame::new(&settings).unwrap();
    let layout = Layout::S32;
    expect(
        &frame,
        layout,
        &[
            (Q::Parameter(P::CellCount), 0, 16),
            (Q::Parameter(P::CellUndervoltageProtection), 0, 2_800_000),
            (Q::Parameter(P::CellOvervoltageProtection), 0, 3_649_000),
            (Q::Parameter(P::BalanceTrigger), 0, 3_000),
            (Q::Parameter(P::ChargeOvercurrentProtection), 0, 52_000),
            (Q::Parameter(P::Capacity), 0, 2_000),
            (Q::Parameter(P::ChargeUndertemperatureProtection), 0, 50),
            (Q::Address, 0, 1),
        ],
    );
    let cells = capture!("ble_session_32s_pb2a16s15p_write25.cell");
    let frame = NativeFrame::new(&cells).unwrap();
    expect_cells(
        &frame,
        layout,
        &[3378, 3339, 3338, 3345, 3338, 3340, 3345, 3338, 3349, 3338, 3366, 3344, 3340, 3338, 3340, 3326],
    );
    expect(
        &frame,
        layout,
        &[
            (Q::AverageCell, 0, 3_344_000),
            (Q::CellSpread, 0, 52_000),
            (Q::HighestCell, 0, 0),
            (Q::LowestCell, 0, 15),
            (Q::PackVoltage, 0, 53_501_000),
            (Q::Current, 0, 0),
            (Q::Battery(0), 0, 182),
            (Q::Battery(1), 0, 181),
            (Q::Mos, 0, 175),
            (Q::StateOfCharge, 0, 1_000),
            (Q::Remaining, 0, 1_999),
            (Q::FullCapacity, 0, 2_000),
            (Q::Alarms(Column::Native), 0, 0),
            (Q::ChargeOn, 0, 1),
        ],
    );
    // The frame is followed by an acknowledgement in the same stream; only its own 300 bytes count.
    let mut run = capture!("ble_jk02_32s_v19_05.cell");
    run.extend(ACK);
    let frame = NativeFrame::new(&run).unwrap();
    expect(
        &frame,
        layout,
        &[
            (Q::Cell, 0, 3_333_000),
            (Q::HighestCell, 0, 15),
            (Q::LowestCell, 0, 12),
            (Q::Current, 0, 31_881),
            (Q::Battery(0), 0, 134),
            (Q::Battery(1), 0, 128),
            (Q::Mos, 0, 129),
            (Q::StateOfCharge, 0, 250),
            (Q::Remaining, 0, 49_286),
            (Q::FullCapacity, 0, 200_000),
            (Q::Cycles, 0, 9),
        ],
    );
}

#[test]
fn i02_serial_frames_of_7_14_and_16_cells() {
    let request = capture!("uart_16s_arminjo.req");
    let view = View4e57::new(&request).unwrap();
    assert_eq!((view.command(), view.data()), (6, [0].as_slice()));

    let sixteen = capture!("uart_16s_arminjo.rsp");
    let view = View4e57::new(&sixteen).unwrap();
    let cells: Vec<u16> = (0..16).map(|cell| view.cell(cell).unwrap()).collect();
    assert_eq!(cells, [3270, 3262, 3271, 3271, 3271, 3269, 3270, 3271, 3266, 3266, 3266, 3266, 3265, 3265, 3265, 3265]);
    assert_eq!(view.cell(16), None);
    let values = [
        (0x83, 5_228),
        (0x84, 0),
        (0x85, 60),
        (0x87, 0),
        (0x8b, 0),
        (0x8c, 3),
        (0x90, 3_450),
        (0x93, 3_000),
        (0xaa, 110),
        (0xc0, 1),
    ];
    for (id, value) in values {
        assert_eq!(view.number(id), Some(value), "{id:02x}");
    }
    assert_eq!([0x80, 0x81, 0x82].map(|id| degrees(view.number(id).unwrap() as u16)), [22, 21, 22]);
    assert_eq!(view.item(0xb7), Some(b"11.XW_S11.26___".as_slice()));

    let fourteen = capture!("uart_14s_esphome.rsp");
    let view = View4e57::new(&fourteen).unwrap();
    assert_eq!((view.cell(0), view.cell(13), view.cell(14)), (Some(3_821), Some(3_826), None));
    for (id, value) in [(0x83, 5_359), (0x84, 0x80d0), (0x85, 15), (0x8c, 7), (0x90, 4_050), (0xaa, 14)] {
        assert_eq!(view.number(id), Some(value), "{id:02x}");
    }
    let seven = capture!("uart_7s_b1a8s20p_1151.rsp");
    let view = View4e57::new(&seven).unwrap();
    assert_eq!((view.cell(4), view.cell(7)), (Some(3_803), None));
    for (id, value) in [(0x83, 2_658), (0x85, 90), (0x93, 2_820), (0xb9, 117)] {
        assert_eq!(view.number(id), Some(value), "{id:02x}");
    }
    // One flipped bit is seen.
    let mut broken = sixteen;
    broken[20] ^= 4;
    assert!(View4e57::new(&broken).is_none());
}

#[test]
fn i01_modbus_trigger_frames_and_examples() {
    for request in ["rs485_req_dev", "rs485_req_cell", "rs485_req_settings"] {
        let frame = match request {
            "rs485_req_dev" => capture!("rs485_fc16_trigger_8s_v15_10.req_dev"),
            "rs485_req_cell" => capture!("rs485_fc16_trigger_8s_v15_10.req_cell"),
            _ => capture!("rs485_fc16_trigger_8s_v15_10.req_settings"),
        };
        assert!(is_whole(&frame), "{request}");
    }
    let cells = capture!("rs485_fc16_trigger_8s_v15_10.cell");
    assert!(is_whole(&cells[300..]));
    let frame = NativeFrame::new(&cells).unwrap();
    expect_cells(&frame, Layout::S32, &[3357, 3357, 3357, 3356, 3356, 3357, 3356, 3356]);
    expect(
        &frame,
        Layout::S32,
        &[
            (Q::PackVoltage, 0, 26_852_000),
            (Q::Current, 0, 17_841),
            (Q::Battery(0), 0, 296),
            (Q::Mos, 0, 300),
            (Q::StateOfCharge, 0, 880),
            (Q::Remaining, 0, 193_465),
            (Q::Cycles, 0, 101),
            (Q::RunTime, 0, 13_503_354),
        ],
    );
    let settings = capture!("rs485_fc16_trigger_8s_v15_10.settings");
    let frame = NativeFrame::new(&settings).unwrap();
    expect(
        &frame,
        Layout::S32,
        &[
            (Q::Parameter(P::CellCount), 0, 8),
            (Q::Parameter(P::CellUndervoltageProtection), 0, 2_650_000),
            (Q::Parameter(P::DischargeOvercurrentProtection), 0, 150_000),
            (Q::Parameter(P::ChargeUndertemperatureProtection), 0, -100),
        ],
    );
    // Examples of the vendor's document.
    for example in [
        "010300050002d40a",
        "01030411223344 4bc6",
        "011000200002040005 2233b903",
        "0110002000024002",
        "010312900002c15e",
    ] {
        assert!(is_whole(&bytes(example)), "{example}");
    }
}

fn can(messages: &[Message], id: u32, hex: &str, quantity: Q) -> Option<i64> {
    messages.iter().find(|message| message.id == id).unwrap().value(&bytes(hex), quantity)
}

#[test]
fn i01_jk_can() {
    let jk = &jk_can::MESSAGES;
    let capture = [
        (0x2f4, "1302b20f51000000", Q::PackVoltage, 53_100_000),
        (0x2f4, "1302b20f51000000", Q::Current, 1_800),
        (0x2f4, "1302b20f51000000", Q::StateOfCharge, 810),
        (0x4f4, "ff0c06fc0c010000", Q::HighestVoltage, 3_327_000),
        (0x4f4, "ff0c06fc0c010000", Q::HighestCell, 5),
        (0x4f4, "ff0c06fc0c010000", Q::LowestVoltage, 3_324_000),
        (0x4f4, "ff0c06fc0c010000", Q::LowestCell, 0),
        (0x5f4, "4801480048000000", Q::Warmest, 220),
        (0x5f4, "4801480048000000", Q::AverageTemperature, 220),
        (0x18f1_28f4, "e108f00a6b802300", Q::Remaining, 227_300),
        (0x18f1_28f4, "e108f00a6b802300", Q::FullCapacity, 280_000),
        (0x18f1_28f4, "e108f00a6b802300", Q::CycleCapacity, 3_287_500),
        (0x18f1_28f4, "e108f00a6b802300", Q::Cycles, 35),
        // Examples of the vendor's document.
        (0x5f4, "48062f013f000000", Q::Coldest, -30),
        (0x5f4, "48062f013f000000", Q::AverageTemperature, 130),
        (0x18f2_28f4, "07484750ffff0000", Q::Battery(1), 210),
        (0x18f2_28f4, "07484750ffff0000", Q::Mos, 300),
        (0x18f4_28f4, "c8000000280a6400", Q::RunTime, 200),
        (0x18f4_28f4, "c8000000280a6400", Q::StateOfHealth, 1_000),
        (0x18e0_28f4, "ad0eab0ea30ea60e", Q::CellFrom(0), 3_757_000),
        (0x1806_e5f4, "034800c800000000", Q::ChargeVoltageLimit, 84_000_000),
        (0x1806_e5f4, "034800c800000000", Q::ChargeLimit, 20_000),
        (0x7f4, "4300200000000000", Q::Alarms(Column::JkCan), 0x0020_0043),
    ];
    for (id, hex, quantity, value) in capture {
        assert_eq!(can(jk, id, hex, quantity), Some(value), "{id:x} {quantity:?}");
    }
    assert_eq!(can(jk, 0x18f2_28f4, "07484750ffff0000", Q::Battery(3)), None);
}

#[test]
fn i01_inverter_can() {
    let captured = [
        (0x351, "2802f4012003e001", Q::ChargeVoltageLimit, 55_200_000),
        (0x351, "2802f4012003e001", Q::ChargeLimit, 50_000),
        (0x351, "2802f4012003e001", Q::DischargeLimit, 80_000),
        (0x351, "2802f4012003e001", Q::DischargeVoltageLimit, 48_000_000),
        (0x351, "1402740e740ecc01", Q::ChargeLimit, 370_000),
        (0x355, "3c006400", Q::StateOfCharge, 600),
        (0x355, "1a006400", Q::StateOfHealth, 1_000),
        (0x356, "6c140200dc00", Q::PackVoltage, 52_280_000),
        (0x356, "6c140200dc00", Q::Current, 200),
        (0x356, "6c140200dc00", Q::FirstTemperature, 220),
        (0x359, "0000000001504e", Q::Alarms(Column::Pylontech), 0),
    ];
    for (id, hex, quantity, value) in captured {
        assert_eq!(can(&PYLONTECH, id, hex, quantity), Some(value), "{id:x} {quantity:?}");
    }
    for dialect in [SMA.as_slice(), &VICTRON] {
        assert_eq!(can(dialect, 0x355, "3c0064007017", Q::FineStateOfCharge), Some(6_000));
        assert_eq!(can(dialect, 0x35f, "0000000118010101", Q::FullCapacity), Some(280_000));
    }
    assert_eq!(can(&VICTRON, 0x373, "c10cc70c25012701", Q::Coldest), Some(200));
    assert_eq!(can(&VICTRON, 0x373, "c10cc70c25012701", Q::HighestVoltage), Some(3_271_000));
}

#[test]
fn i03_display() {
    let frame = capture!("display_a55a.status_a");
    let values = [
        (Q::PackVoltage, 0, 52_530_000),
        (Q::Current, 0, 0),
        (Q::StateOfCharge, 0, 990),
        (Q::CellSpread, 0, 224_000),
        (Q::Mos, 0, 260),
        (Q::FirstTemperature, 0, 240),
        (Q::AverageCell, 0, 4_041_000),
        (Q::ChargeOn, 0, 1),
        (Q::Cell, 0, 4_048_000),
        (Q::Cell, 12, 4_048_000),
        (Q::Cell, 13, 0),
        (Q::AlarmIn(1), 0, 0),
    ];
    for (quantity, index, value) in values {
        assert_eq!(display::value(&frame, quantity, index), Some(value), "{quantity:?} {index}");
    }
    assert_eq!(display::value(&capture!("display_a55a.status_t"), Q::StateOfCharge, 0), Some(1_000));
}

#[test]
fn requests_of_clients() {
    // ESPHome fills with sign-extension bytes; they are not part of the value.
    let mut request = [
        0xaa, 0x55, 0x90, 0xeb, 0x37, 1, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0,
    ];
    request[19] = request[..19].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let read = Request::new(&request).unwrap();
    assert_eq!((read.register, read.number(true)), (0x37, Some(-5)));
    request[5] = 14;
    assert_eq!(Request::new(&request), None);
}
