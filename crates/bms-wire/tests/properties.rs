//! Round trips, chunking, garbage: whatever comes, in whatever pieces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod bench;

use bench::{Bench, at};
use bms_core::measurement::MAXIMUM_CELLS;
use bms_core::prelude::*;
use bms_core::snapshot::UserSwitches;
use bms_wire::alarms::{self, Column};
use bms_wire::ble::Peripheral;
use bms_wire::board::{Board, Identity, View};
use bms_wire::bytes::{Accumulator, Framing, Order, f32_bits};
use bms_wire::field::{Field, Kind, Quantity as Q};
use bms_wire::inverter_can::{PYLONTECH, SMA, VICTRON};
use bms_wire::jk_can;
use bms_wire::modbus;
use bms_wire::native::{self, FrameType, Layout, NativeFrame, Request, RequestFraming};
use bms_wire::secure::{SecureFraming, frame as secure_frame};
use bms_wire::telemetry::{Balancing, Telemetry};
use bms_wire::uart::{self, Uart};
use proptest::prelude::*;

fn telemetry() -> impl Strategy<Value = Telemetry> {
    let cells = prop::collection::vec(prop::option::weighted(0.95, 0_i32..6_553), 1..=MAXIMUM_CELLS);
    let reading = || prop::option::of(-450_i32..1_250);
    let sensors = (reading(), reading(), reading(), reading(), reading(), reading());
    let numbers =
        (0_i32..150_000, -2_000_000_i32..2_000_000, 0_u16..=1_000, 0_i64..2_000_000, any::<u32>(), -15_000_i32..15_000);
    (cells, sensors, numbers, any::<u64>(), any::<[bool; 6]>(), 0_u64..4_000_000_000).prop_map(
        |(cells, sensors, (volts, current, soc, remaining, cycles, balance), alarms, flags, seconds)| {
            let mut shown = Telemetry::default();
            shown.set_cells(&cells.into_iter().map(|cell| cell.map(mv)).collect::<Vec<_>>());
            shown.pack_voltage = Some(mv(volts));
            shown.current = Some(ma(current));
            shown.state_of_charge_permille = Some(soc);
            shown.remaining = Some(Charge::from_milliamp_hours(remaining));
            shown.capacity = Charge::from_milliamp_hours(remaining + 1_000);
            shown.cycles = cycles;
            shown.balance_current = ma(balance);
            let degrees = |reading: Option<i32>| reading.map(Temperature::from_tenths);
            let (one, two, three, four, five, mos) = sensors;
            shown.battery_temperatures = [one, two, three, four, five].map(degrees);
            shown.mos_temperature = degrees(mos);
            shown.alarms = AlarmSet::from_bits(alarms);
            shown.balancing = if flags[0] { Balancing::ChargingCell } else { Balancing::Off };
            shown.charge = flags[1];
            shown.discharge = flags[2];
            shown.switches = UserSwitches { charge: flags[3], discharge: flags[4], balance: flags[5] };
            shown.run_time_seconds = seconds;
            shown
        },
    )
}

fn config() -> ValidConfig {
    Config::lifepo4(16).with_model(Model::B2a24s20p).with_capacity(ah(280)).validate().unwrap()
}

/// A field reads back what it wrote: the value to within its scale, or its end of range, or "not known".
fn reads_back(field: &Field, frame: &[u8], order: Order, view: &View<'_>) {
    for index in 0..field.count {
        let raw = field.read(frame, order, index);
        if field.kind == Kind::F32 {
            continue;
        }
        assert_eq!(raw, field.raw(view, index), "{:?} {index}", field.quantity);
        let (Some(value), Some(back)) = (field.quantity.value(view, index), field.value(raw)) else { continue };
        let inside = match field.kind {
            Kind::U8 => (0..=0xff).contains(&raw) && raw != 0xff && raw != 0,
            Kind::U16 => raw != 0xffff && raw != 0,
            Kind::I16 => raw.abs() < 0x7fff,
            Kind::I8 => raw.abs() < 0x7f,
            _ => raw != 0,
        };
        if inside {
            let error = (back - value).abs();
            assert!(2 * error <= i64::from(field.divisor), "{:?} {index}: {value} reads {back}", field.quantity);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// I01 I02 I03 I04: every table reads back what it wrote, in both layouts and byte orders.
    #[test]
    fn tables_go_there_and_back(shown in telemetry(), counter in any::<u8>()) {
        let config = config();
        let name = bms_core::access::DeviceName::new(b"Boat2").unwrap();
        let view = View { telemetry: &shown, config: &config, identity: &Identity::WIDEST, name: &name };
        for layout in [Layout::S32, Layout::S24] {
            for kind in [FrameType::Settings, FrameType::CellInfo, FrameType::DeviceInfo] {
                let mut frame = [0; 300];
                native::encode(&mut frame, kind, layout, counter, &view);
                let decoded = NativeFrame::new(&frame).unwrap();
                prop_assert_eq!((decoded.kind(), decoded.counter()), (kind, counter));
                let mut big = [0; 300];
                native::fill(&mut big, kind, layout, Order::Big, &view);
                for field in kind.table().iter().filter_map(|row| row.in_layout(layout)) {
                    prop_assert!(usize::from(field.at) + field.length() <= 299);
                    reads_back(&field, &frame, Order::Little, &view);
                    reads_back(&field, &big, Order::Big, &view);
                }
            }
        }
        for message in PYLONTECH.iter().chain(&SMA).chain(&VICTRON).chain(&jk_can::MESSAGES) {
            let bytes = message.encode(&view);
            let order = if message.id == 0x1806_e5f4 { Order::Big } else { Order::Little };
            for field in message.fields {
                prop_assert!(usize::from(field.at) + field.length() <= usize::from(message.length));
                reads_back(field, &bytes, order, &view);
            }
        }
        let screen = bms_wire::display::encode(&view);
        for field in bms_wire::display::TABLE {
            reads_back(field, &screen[6..], Order::Big, &view);
        }
    }

    /// Single precision is made as the processor makes it.
    #[test]
    fn floats_are_exact(value in -4_000_000_000_000_i64..4_000_000_000_000, divisor in 1_u32..2_000_000) {
        let exact = (value as f64 / f64::from(divisor)) as f32;
        let bits = f32_bits(value, divisor);
        // Two roundings (double, then single) may differ from one in the last place.
        prop_assert!((i64::from(bits) - i64::from(exact.to_bits())).abs() <= 1, "{value} / {divisor}");
        if divisor == 1 && value.abs() < 1 << 53 {
            prop_assert_eq!(bits, exact.to_bits());
        }
    }

    /// Frames between garbage, in any pieces, come out whole and in order.
    #[test]
    fn frames_survive_garbage_and_pieces(
        registers in prop::collection::vec(any::<u8>(), 1..6),
        garbage in prop::collection::vec(prop::collection::vec(0_u8..0xa0, 0..40), 6),
    ) {
        let frames: Vec<Vec<u8>> = registers
            .iter()
            .map(|register| Request { register: *register, length: 2, value: [0x55; 13] }.to_bytes().to_vec())
            .collect();
        prop_assert_eq!(found::<RequestFraming, 20>(&frames, &garbage), frames);
        let serial: Vec<Vec<u8>> = registers.iter().map(|id| serial_frame(3, *id)).collect();
        prop_assert_eq!(found::<uart::RequestFraming, { uart::MAXIMUM_REQUEST }>(&serial, &garbage), serial);
        let secure: Vec<Vec<u8>> = registers.iter().map(|kind| secure_frame(*kind, &[*kind; 30]).to_vec()).collect();
        prop_assert_eq!(found::<SecureFraming, { bms_wire::secure::MAXIMUM_FRAME }>(&secure, &garbage), secure);
    }

    /// Whatever comes on any link in whatever pieces: no panic, no change without authority, bounded answers.
    #[test]
    fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..600), pieces in prop::collection::vec(1_usize..50, 1..30)) {
        let mut board = Bench::new(16);
        let before = *board.bms.config();
        let switches = board.bms.status().switches;
        let mut radio = Peripheral::new(Layout::S32, bms_core::access::Reading::Open);
        radio.set_subscribed(true);
        let mut serial = Uart::new(true);
        let mut bus = modbus::Modbus::new(1);
        let mut rest: &[u8] = &bytes;
        for (step, piece) in pieces.iter().cycle().enumerate() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            rest = later;
            let time = at(step as u64 * 7);
            radio.written(time, now, &mut board);
            for byte in now {
                if let Some(answer) = serial.receive(time, *byte, &mut board) {
                    prop_assert!(answer.len() <= uart::MAXIMUM_ANSWER);
                }
                bus.receive(time, *byte, &mut board);
            }
            for _ in 0..100 {
                if radio.poll(time, &mut board).is_none() {
                    break;
                }
            }
            bus.poll(time);
            serial.poll(time, &board);
        }
        prop_assert_eq!(*board.bms.config(), before);
        prop_assert_eq!(board.bms.status().switches, switches);
    }

    /// The native bits of a set of alarms mean at least these alarms, and every bit comes from one of them.
    #[test]
    fn alarm_bits_both_ways(bits in any::<u64>()) {
        let set = AlarmSet::from_bits(bits);
        for column in [Column::Native, Column::Uart, Column::Pylontech] {
            let word = alarms::bits(set, column);
            let back = alarms::possible(word, column);
            for alarm in set.iter().filter(|alarm| alarms::bits(AlarmSet::EMPTY.with(*alarm), column) != 0) {
                prop_assert!(back.contains(alarm), "{column:?} {alarm:?}");
            }
            prop_assert_eq!(alarms::bits(back, column), word);
        }
    }
}

fn serial_frame(command: u8, id: u8) -> Vec<u8> {
    let mut frame = vec![0x4e, 0x57, 0, 0x13, 0, 0, 0, 0, command, 3, 0, id, 0, 0, 0, 0, 0x68, 0, 0];
    let sum = bms_wire::bytes::sum16(&frame[..17]);
    frame.extend(sum.to_be_bytes());
    frame
}

/// What an accumulator finds in frames with garbage before each.
fn found<F: Framing, const N: usize>(frames: &[Vec<u8>], garbage: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut accumulator: Accumulator<F, N> = Accumulator::new();
    let mut all = Vec::new();
    for (frame, noise) in frames.iter().zip(garbage) {
        for byte in noise.iter().chain(frame) {
            let mut next = accumulator.push(at(0), *byte);
            while let Some(one) = next {
                all.push(one.as_bytes().to_vec());
                next = accumulator.next_frame();
            }
        }
        // Garbage that looks like a beginning holds what follows until it is refuted by a pause.
        if accumulator_waits(&all, frame) {
            let mut next = accumulator.push(at(0), 0);
            for _ in 0..2 * N {
                if let Some(one) = next {
                    all.push(one.as_bytes().to_vec());
                }
                next = accumulator.push(at(0), 0);
            }
        }
    }
    all
}

fn accumulator_waits(all: &[Vec<u8>], frame: &[u8]) -> bool {
    all.last().map(Vec::as_slice) != Some(frame)
}

/// Every alarm shows somewhere on an inverter's bus, and an alarm that opens a switch shows as no mere warning.
#[test]
fn every_alarm_reaches_an_inverter() {
    for alarm in Alarm::ALL {
        let set = AlarmSet::EMPTY.with(alarm);
        let pairs = alarms::pairs(set, false);
        assert_ne!(pairs, alarms::pairs(AlarmSet::EMPTY, false), "{alarm}");
        if alarms::stops(alarm) {
            assert_ne!(pairs as u32, alarms::pairs(AlarmSet::EMPTY, false) as u32, "{alarm}");
            assert!(alarms::of(alarm).pylontech.is_some() || alarms::of(alarm).pair.is_some(), "{alarm}");
        }
    }
}

/// The deadline of a pack that is not there yet: nothing known, and still whole frames.
#[test]
fn nothing_known_is_shown_as_nothing() {
    let mut board = Bench::new(16);
    board.telemetry = Telemetry::default();
    let mut frame = [0; 300];
    native::encode(&mut frame, FrameType::CellInfo, Layout::S32, 0, &board.view());
    let decoded = NativeFrame::new(&frame).unwrap();
    assert_eq!(decoded.value(Layout::S32, Q::Battery(0), 0), None);
    assert_eq!(decoded.value(Layout::S32, Q::SensorsPresent, 0), Some(0));
    assert_eq!(decoded.value(Layout::S32, Q::CellMask, 0), Some(0));
}
