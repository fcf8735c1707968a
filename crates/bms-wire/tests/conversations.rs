//! The links' state machines: what is answered, when, and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bench;
mod can;

use bench::{Bench, at};
use bms_core::access::{Challenge, Change, Reading, derive_key, login_proof, mask, seal, session_key};
use bms_core::bms::Request as Wish;
use bms_core::config::ParameterId as P;
use bms_core::event::{AccessEvent, PasswordKind};
use bms_wire::ble::{ACK_DELAY, PERIOD, Peripheral};
use bms_wire::board::Board;
use bms_wire::bytes::{crc16, sum16};
use bms_wire::field::Quantity as Q;
use bms_wire::modbus::Modbus;
use bms_wire::native::{self, ACK, FrameType, Layout, NativeFrame, Request, SETTINGS, Text};
use bms_wire::secure;
use bms_wire::uart::{self, IDENTIFIERS, Uart, View4e57};

fn write(register: u8, value: &[u8]) -> [u8; 20] {
    let mut request = Request { register, length: value.len() as u8, value: [0; 13] };
    request.value[..value.len()].copy_from_slice(value);
    request.to_bytes()
}

/// A connected and subscribed client.
fn connected(mtu: u16) -> Peripheral {
    let mut link = Peripheral::new(Layout::S32, Reading::Open);
    link.set_mtu(mtu);
    link.set_subscribed(true);
    link
}

/// Every notification of a time, in steps of a millisecond: when, bytes.
fn listen(link: &mut Peripheral, board: &mut Bench, from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
    let mut heard = Vec::new();
    for now in from..=to {
        while let Some(notification) = link.poll(at(now), board) {
            heard.push((now, notification.as_bytes().to_vec()));
        }
    }
    heard
}

/// Whole frames and acknowledgements of what was heard: (time of the end, type), 200 for an acknowledgement.
fn frames(heard: &[(u64, Vec<u8>)]) -> Vec<(u64, u8)> {
    let mut found = Vec::new();
    let mut frame: Vec<u8> = Vec::new();
    for (now, bytes) in heard {
        if frame.is_empty() && *bytes == ACK {
            found.push((*now, 200));
            continue;
        }
        assert!(!frame.is_empty() || bytes.starts_with(&[0x55, 0xaa, 0xeb, 0x90]), "a frame begins a notification");
        frame.extend(bytes);
        if frame.len() == 300 {
            found.push((*now, NativeFrame::new(&frame).unwrap().kind() as u8));
            frame.clear();
        }
        assert!(frame.len() < 300);
    }
    found
}

/// I04: the conversation with its times: device frame, acknowledgement apart, settings, then one stream.
#[test]
fn bluetooth_conversation() {
    let ack = u64::from(ACK_DELAY.as_millis());
    let period = u64::from(PERIOD.as_millis());
    for mtu in [23, 131, 185, 247, 517] {
        let mut board = Bench::new(16);
        let mut link = connected(mtu);
        link.written(at(1_000), &write(0x97, &[]), &mut board);
        let heard = listen(&mut link, &mut board, 1_000, 1_400);
        assert!(heard.iter().all(|(_, bytes)| bytes.len() <= usize::from(mtu - 3)));
        assert_eq!(frames(&heard), [(1_000, 3), (1_000 + ack, 200)]);
        link.written(at(2_000), &write(0x96, &[]), &mut board);
        link.written(at(2_010), &write(0x96, &[]), &mut board);
        let heard = frames(&listen(&mut link, &mut board, 2_010, 4_000));
        assert_eq!(heard[..2], [(2_010, 1), (2_010 + ack, 200)]);
        let cells: Vec<u64> = heard[2..].iter().map(|(now, kind)| if *kind == 2 { *now } else { 0 }).collect();
        assert!(cells.len() >= 4 && cells.windows(2).all(|pair| pair[1] - pair[0] == period), "{cells:?}");
        // A repeat starts no second stream; a disconnection drops everything.
        link.disconnected();
        assert!(listen(&mut link, &mut board, 4_001, 6_000).is_empty());
        assert_eq!(link.deadline(), None);
    }
}

/// S05 D34: without authority no register of any link changes anything, and each attempt is an event.
#[test]
fn no_write_without_authority() {
    let mut board = Bench::new(16);
    let before = *board.bms.config();
    let switches = board.bms.status().switches;
    let mut link = connected(185);
    let mut attempts = 0;
    for register in 0..=255_u8 {
        if matches!(register, 0x96 | 0x97 | 0xa1) {
            continue;
        }
        for value in [&[0, 0, 0, 0][..], &[1, 0, 0, 0], &[0x16, 0x0d, 0, 0], &[1], &[]] {
            link.written(at(2_000), &write(register, value), &mut board);
            attempts += board.access_events().iter().filter(|event| **event == AccessEvent::ChangeRefused).count();
        }
    }
    assert_eq!(attempts, 253 * 5);
    assert!(listen(&mut link, &mut board, 2_000, 3_000).is_empty(), "a refused write has no acknowledgement");
    let mut serial = Uart::new(false);
    for row in IDENTIFIERS {
        let frame = serial_frame(2, row.id, &vec![1; row.width()]);
        for byte in frame {
            assert!(serial.receive(at(2_000), byte, &mut board).is_none(), "{:02x} answers", row.id);
        }
    }
    let mut bus = Modbus::new(1);
    for register in (0x1000..0x1126).step_by(2).chain(0x1600..0x1640) {
        if matches!(register, 0x161c | 0x161e | 0x1620) {
            continue;
        }
        for length in [2, 4] {
            let answer = modbus_write(&mut bus, 1, register, &[0, 1, 0, 1][..length], &mut board);
            assert_eq!(answer.get(1), Some(&0x90), "{register:x}");
        }
    }
    assert_eq!(*board.bms.config(), before);
    assert_eq!(board.bms.status().switches, switches);
    assert!(board.asked > 100);
}

/// S04 D31: with presence every writable register takes the value that it shows, and changed values are read back.
#[test]
fn registers_read_back_what_was_written() {
    let mut written = 0;
    for layout in [Layout::S32, Layout::S24] {
        for row in SETTINGS {
            let Some(field) = row.in_layout(layout).filter(|_| row.register_in(layout) != 0) else { continue };
            let mut board = Bench::unlocked(16);
            let mut link = Peripheral::new(layout, Reading::Open);
            link.set_subscribed(true);
            link.set_mtu(247);
            let shown = field.raw(&board.view(), 0);
            let writable = field.change(shown).is_some()
                && !matches!(
                    field.quantity,
                    Q::Parameter(P::MosOvertemperatureProtection | P::MosOvertemperatureRecovery)
                );
            for raw in [shown, shown + 1, shown - 1] {
                let bytes = raw.to_le_bytes();
                let request = write(row.register_in(layout), &bytes[..field.kind.width()]);
                link.written(at(1_000), &request, &mut board);
                board.telemetry = bms_wire::telemetry::Telemetry::of(&board.bms.status());
                let now_shown = field.raw(&board.view(), 0);
                let acknowledged = !listen(&mut link, &mut board, 1_000, 1_100).is_empty();
                if acknowledged {
                    assert_eq!(now_shown, raw, "{:?}", field.quantity);
                    written += 1;
                } else {
                    // Refused: by the range, an ordering, or because it has no meaning.
                    assert!(raw != shown || !writable, "{:?} refuses its own value", field.quantity);
                }
            }
        }
    }
    assert!(written > 120, "only {written} values were accepted");
    let mut board = Bench::unlocked(16);
    let mut link = connected(185);
    // 4.1 V is beyond the hard cap of LiFePO4; an ordering; a board rating; emergency, loader: nothing.
    for (register, value) in [(0x04, 4_100_u32), (0x02, 3_500), (0x1a, 900), (0x6b, 1), (0xff, 0), (0x66, 0)] {
        link.written(at(1_000), &write(register, &value.to_le_bytes()), &mut board);
        assert!(listen(&mut link, &mut board, 1_000, 1_100).is_empty(), "{register:02x} is accepted");
    }
    // The edge of the range arrives 1 mV low from a client that truncates.
    let row = SETTINGS.iter().find(|row| row.register == 0x0b).unwrap();
    assert_eq!(row.field.change(1_199), Some(Change::Parameter(P::AutoShutdownVoltage, 1_200_000)));
}

fn serial_frame(command: u8, id: u8, value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x4e, 0x57, 0, 0, 0, 0, 0, 0, command, 3, 0, id];
    frame.extend(value);
    frame.extend([0, 0, 0, 0, 0x68, 0, 0]);
    let length = (frame.len()) as u16;
    frame[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = sum16(&frame[..frame.len() - 2]);
    frame.extend(sum.to_be_bytes());
    frame
}

fn serial_answer(link: &mut Uart, now: u64, frame: &[u8], board: &mut Bench) -> Option<Vec<u8>> {
    let mut answer = None;
    for byte in frame {
        if let Some(found) = link.receive(at(now), *byte, board) {
            assert!(answer.replace(found.to_vec()).is_none());
        }
    }
    answer
}

/// I02: read all in its three forms, read one, write, activation; the sum below 65536 that one client wants.
#[test]
fn serial_conversation() {
    for cells in [7, 8, 16, 24] {
        let config_cells = cells.max(8);
        let mut board = Bench::unlocked(config_cells);
        let mut link = Uart::new(false);
        let all = serial_frame(6, 0, &[]);
        let answer = serial_answer(&mut link, 1_000, &all, &mut board).unwrap();
        let view = View4e57::new(&answer).unwrap();
        assert_eq!(view.command(), 6);
        let ids: Vec<u8> = std::iter::once(0x79).chain(IDENTIFIERS.iter().map(|row| row.id)).collect();
        assert!(ids.iter().all(|id| view.item(*id).is_some()));
        let sum: u32 = answer[..answer.len() - 4].iter().map(|byte| u32::from(*byte)).sum();
        assert!(sum < 65_536);
        // mpp-solar asks with command 3; OpenDTU leaves the identifier away.
        let three = serial_answer(&mut link, 1_001, &serial_frame(3, 0, &[]), &mut board).unwrap();
        assert_eq!((three[8], &three[11..three.len() - 4]), (3, &answer[11..answer.len() - 4]));
        let mut short = all[..11].to_vec();
        short.extend([0, 0, 0, 0, 0x68, 0, 0, 0, 0]);
        short[3] = 0x12;
        let length = short.len();
        let sum = sum16(&short[..length - 4]);
        short[length - 2..].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(serial_answer(&mut link, 1_002, &short, &mut board), Some(answer.clone()));
        for id in ids {
            let one = serial_answer(&mut link, 1_003, &serial_frame(3, id, &[]), &mut board).unwrap();
            let one = View4e57::new(&one).unwrap();
            assert_eq!(one.item(id), view.item(id), "{id:02x}");
        }
        assert!(serial_answer(&mut link, 1_004, &serial_frame(1, 0, &[]), &mut board).is_some());
        let answer = serial_answer(&mut link, 1_005, &serial_frame(2, 0x90, &3_550_u16.to_be_bytes()), &mut board);
        assert_eq!(View4e57::new(&answer.unwrap()).unwrap().data(), [0x90]);
        assert_eq!(board.bms.config().get(P::CellOvervoltageProtection), 3_550_000);
        // Beyond the cap, and a password field: no answer.
        assert_eq!(serial_answer(&mut link, 1_006, &serial_frame(2, 0x90, &4_100_u16.to_be_bytes()), &mut board), None);
        assert_eq!(serial_answer(&mut link, 1_007, &serial_frame(2, 0xb2, b"123456\0\0\0\0"), &mut board), None);
        // S08: the name.
        assert!(serial_answer(&mut link, 1_008, &serial_frame(2, 0xb4, b"Boat2\0\0\0"), &mut board).is_some());
        assert_eq!(board.access.record().name().as_bytes(), b"Boat2");
        assert_eq!(serial_answer(&mut link, 1_009, &serial_frame(2, 0xb4, b"Bo at\0\0\0"), &mut board), None);
    }
}

/// S05 D34: the factory's password authorises nothing over a link; a chosen one does, for its time, and an empty one (that
/// a client sends before each write) is no attempt.
#[test]
fn a_chosen_password_authorises_over_the_serial_line() {
    let mut board = Bench::new(16);
    let mut link = Uart::new(false);
    let change = |link: &mut Uart, board: &mut Bench, now, millivolts: u16| {
        serial_answer(link, now, &serial_frame(2, 0x90, &millivolts.to_be_bytes()), board).is_some()
    };
    serial_answer(&mut link, 0, &serial_frame(5, 0, b"123456\0\0\0\0"), &mut board).unwrap();
    assert!(!change(&mut link, &mut board, 10, 3_550));
    serial_answer(&mut link, 20, &serial_frame(5, 0, &[0]), &mut board).unwrap();
    assert!(!board.access_events().contains(&AccessEvent::Failed(PasswordKind::Settings)));
    let texts = [b"123456".as_slice(), b"Winter26", b"Winter26"];
    board.access.change_password(at(30), PasswordKind::Settings, texts, [9; 16]).unwrap();
    assert!(change(&mut link, &mut board, 40, 3_550), "this line had shown the right password");
    let mut other = Uart::new(false);
    assert!(!change(&mut other, &mut board, 50, 3_540));
    serial_answer(&mut other, 60, &serial_frame(5, 0, b"wrong\0\0\0\0\0"), &mut board).unwrap();
    assert!(!change(&mut other, &mut board, 70, 3_540));
    serial_answer(&mut other, 2_000, &serial_frame(5, 0, b"Winter26\0\0"), &mut board).unwrap();
    assert!(change(&mut other, &mut board, 2_010, 3_540));
    assert!(!change(&mut other, &mut board, 400_000, 3_530), "the login has ended");
}

fn modbus_frame(body: &[u8]) -> Vec<u8> {
    let mut frame = body.to_vec();
    frame.extend(crc16(body).to_le_bytes());
    frame
}
fn modbus_ask(bus: &mut Modbus, body: &[u8], board: &mut Bench) -> Vec<u8> {
    for byte in modbus_frame(body) {
        bus.receive(at(1_000), byte, board);
    }
    assert!(bus.poll(at(1_001)).is_none(), "the bus is left alone first");
    bus.poll(at(1_010)).map(<[u8]>::to_vec).unwrap_or_default()
}
fn modbus_write(bus: &mut Modbus, address: u8, register: u16, data: &[u8], board: &mut Bench) -> Vec<u8> {
    let [high, low] = register.to_be_bytes();
    let mut body = vec![address, 0x10, high, low, 0, data.len() as u8 / 2, data.len() as u8];
    body.extend(data);
    modbus_ask(bus, &body, board)
}

/// I01: byte-addressed registers, big endian; the triggers; 15 boards on one bus; exceptions; silence.
#[test]
fn modbus_conversation() {
    let mut board = Bench::unlocked(16);
    for address in 1..=15 {
        let mut bus = Modbus::new(address);
        let read = modbus_ask(&mut bus, &[address, 3, 0x12, 0x90, 0, 2], &mut board);
        assert_eq!(read[..3], [address, 3, 4]);
        assert_eq!(u32::from_be_bytes(read[3..7].try_into().unwrap()), 52_920);
        for other in (0..=15).filter(|other| *other != address) {
            assert!(modbus_ask(&mut bus, &[other, 3, 0x12, 0x90, 0, 2], &mut board).is_empty());
        }
    }
    let mut bus = Modbus::new(1);
    // Every even offset of every table in one piece and in twos.
    for table in [0x1000_u16, 0x1200, 0x1400] {
        let [high, low] = table.to_be_bytes();
        let whole = modbus_ask(&mut bus, &[1, 3, high, low, 0, 120], &mut board);
        assert_eq!(whole.len(), 245);
        for offset in (0..240_u8).step_by(2) {
            let [high, low] = (table + u16::from(offset)).to_be_bytes();
            let part = modbus_ask(&mut bus, &[1, 3, high, low, 0, 1], &mut board);
            assert_eq!(part[3..5], whole[3 + usize::from(offset)..][..2], "{table:x} {offset}");
        }
    }
    for (request, exception) in [
        ([1, 3, 0x12, 0x91, 0, 2], 2), // odd
        ([1, 3, 0x20, 0x00, 0, 2], 2),
        ([1, 3, 0x12, 0x00, 0, 125], 2),
        ([1, 3, 0x11, 0x24, 0, 9], 2), // over the end
        ([1, 4, 0x12, 0x00, 0, 2], 1),
    ] {
        let answer = modbus_ask(&mut bus, &request, &mut board);
        assert_eq!(answer, modbus_frame(&[1, request[1] | 0x80, exception]));
    }
    for (register, kind) in
        [(0x161c, FrameType::DeviceInfo), (0x161e, FrameType::Settings), (0x1620, FrameType::CellInfo)]
    {
        let answer = modbus_write(&mut bus, 1, register, &[0, 0], &mut board);
        assert_eq!(answer.len(), 308);
        let frame = NativeFrame::new(&answer).unwrap();
        assert_eq!((frame.kind(), frame.counter()), (kind, 0));
        let [high, low] = register.to_be_bytes();
        assert_eq!(answer[300..], modbus_frame(&[1, 0x10, high, low, 0, 1]));
    }
    let done = modbus_write(&mut bus, 1, 0x100c, &3_550_u32.to_be_bytes(), &mut board);
    assert_eq!(done, modbus_frame(&[1, 0x10, 0x10, 0x0c, 0, 2]));
    assert_eq!(board.bms.config().get(P::CellOvervoltageProtection), 3_550_000);
    let refused = modbus_write(&mut bus, 1, 0x100c, &4_100_u32.to_be_bytes(), &mut board);
    assert_eq!(refused, modbus_frame(&[1, 0x90, 3]));
    // Half a field; the loader; a clock.
    for (register, data) in [(0x100c, &[0, 1][..]), (0x1626, &[0, 0]), (0x1612, &[0, 0, 0, 1]), (0x1428, b"ab")] {
        assert_eq!(modbus_write(&mut bus, 1, register, data, &mut board), modbus_frame(&[1, 0x90, 2]), "{register:x}");
    }
    // Two bytes of one register: only the changed one is asked for.
    let cold = modbus_write(&mut bus, 1, 0x1122, &[(-15_i8) as u8, (-10_i8) as u8], &mut board);
    assert_eq!(cold, modbus_frame(&[1, 0x10, 0x11, 0x22, 0, 1]));
    assert_eq!(board.bms.config().get(P::DischargeUndertemperatureProtection), -150);
}

/// S05 S06: no frame of any link contains a password, and the fields are not empty.
#[test]
fn frames_contain_no_password() {
    let mut board = Bench::new(16);
    let texts = [b"1234".as_slice(), b"Hidden77", b"Hidden77"];
    board.access.change_password(at(0), PasswordKind::Connection, texts, [1; 16]).unwrap();
    let mut frame = [0; 300];
    native::encode(&mut frame, FrameType::DeviceInfo, Layout::S32, 0, &board.view());
    let serial = serial_answer(&mut Uart::new(false), 1, &serial_frame(6, 0, &[]), &mut board).unwrap();
    for secret in [b"1234".as_slice(), b"123456", b"Hidden77"] {
        assert!(!frame.windows(secret.len()).any(|part| part == secret));
        assert!(!serial.windows(secret.len()).any(|part| part == secret));
    }
    assert_eq!(NativeFrame::new(&frame).unwrap().text(Text::Mask), Some(b"****".as_slice()));
}

/// D35: behind the connection password nothing but the device information is shown.
#[test]
fn telemetry_behind_the_connection_password() {
    let mut board = Bench::new(16);
    let mut link = Peripheral::new(Layout::S32, Reading::Password);
    link.set_mtu(247);
    link.set_subscribed(true);
    link.written(at(0), &write(0x97, &[]), &mut board);
    link.written(at(0), &write(0x96, &[]), &mut board);
    link.written(at(0), &write(0xa1, &[]), &mut board);
    let kinds: Vec<u8> = frames(&listen(&mut link, &mut board, 0, 1_500)).iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [3, 200]);
    app_logs_in(&mut link, &mut board, 2_000, PasswordKind::Connection, b"1234").unwrap();
    link.written(at(3_000), &write(0x96, &[]), &mut board);
    let kinds: Vec<u8> = frames(&listen(&mut link, &mut board, 3_000, 3_300)).iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [1, 200, 2]);
}

/// What an app gets back for a frame of the authenticated mode.
fn secured(link: &mut Peripheral, board: &mut Bench, now: u64, kind: u8, body: &[u8]) -> Vec<u8> {
    link.written(at(now), &secure::frame(kind, body), board);
    let answer: Vec<u8> = listen(link, board, now, now).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(answer[4], kind | 0x80);
    answer[6..answer.len() - 2].to_vec()
}

/// Logs in as an app does; the session key, or the result's number.
fn app_logs_in(
    link: &mut Peripheral,
    board: &mut Bench,
    now: u64,
    kind: PasswordKind,
    password: &[u8],
) -> Result<[u8; 32], u8> {
    let body = secured(link, board, now, 1, &[kind as u8]);
    let challenge = Challenge {
        kind,
        salt: body[1..17].try_into().unwrap(),
        nonce: body[17..33].try_into().unwrap(),
        number: u32::from_le_bytes(body[33..37].try_into().unwrap()),
    };
    let key = derive_key(&challenge.salt, password);
    match secured(link, board, now, 2, &login_proof(&key, &challenge))[0] {
        0 => Ok(session_key(&key, &challenge)),
        result => Err(result),
    }
}

fn sealed(key: &[u8; 32], kind: u8, counter: u32, content: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(content);
    let mut body = counter.to_le_bytes().to_vec();
    body.extend(content);
    body.extend(seal(key, counter, &message));
    body
}

/// S05 S07 D34: challenge and response; the counter against replay; a password changed without ever travelling.
#[test]
fn authenticated_mode() {
    for mtu in [23, 247] {
        let mut board = Bench::new(16);
        let mut link = connected(mtu);
        let factory = app_logs_in(&mut link, &mut board, 0, PasswordKind::Settings, b"123456").unwrap();
        let mut content = vec![0x04, 4];
        content.extend(3_550_u32.to_le_bytes());
        // The factory's password is right, and yet authorises nothing.
        assert_eq!(secured(&mut link, &mut board, 10, 3, &sealed(&factory, 3, 1, &content)), [4]);
        let mut texts = [0; 48];
        texts[..6].copy_from_slice(b"123456");
        texts[16..24].copy_from_slice(b"Harbour8");
        texts[32..40].copy_from_slice(b"Harbour8");
        mask(&factory, 2, &mut texts);
        let mut new = vec![1];
        new.extend(texts);
        assert_eq!(secured(&mut link, &mut board, 20, 4, &sealed(&factory, 4, 2, &new)), [0]);
        assert!(board.access.record().is_chosen(PasswordKind::Settings));
        link.disconnected();
        link.set_mtu(mtu);
        link.set_subscribed(true);
        assert_eq!(app_logs_in(&mut link, &mut board, 100, PasswordKind::Settings, b"123456"), Err(1));
        assert_eq!(app_logs_in(&mut link, &mut board, 110, PasswordKind::Settings, b"Harbour8"), Err(2), "it waits");
        let key = app_logs_in(&mut link, &mut board, 2_000, PasswordKind::Settings, b"Harbour8").unwrap();
        let message = sealed(&key, 3, 1, &content);
        assert_eq!(secured(&mut link, &mut board, 2_010, 3, &message), [0]);
        assert_eq!(board.bms.config().get(P::CellOvervoltageProtection), 3_550_000);
        assert_eq!(secured(&mut link, &mut board, 2_020, 3, &message), [3], "played again");
        let mut forged = sealed(&key, 3, 2, &content);
        forged[6] ^= 1;
        assert_eq!(secured(&mut link, &mut board, 2_030, 3, &forged), [1]);
        // Presence-only changes stay refused.
        assert_eq!(secured(&mut link, &mut board, 2_040, 3, &sealed(&key, 3, 3, &[0x9d, 0])), [4]);
    }
}

/// I01 S05: JK CAN's control message needs authority too.
#[test]
fn jk_can_control_needs_authority() {
    use bms_wire::jk_can::JkCan;
    let control = can::Frame { id: 0x18f0_f428, data: vec![1, 0, 0, 0] };
    for (mut board, charge) in [(Bench::new(16), true), (Bench::unlocked(16), false)] {
        let mut bus = JkCan::new(0);
        bus.receive(at(10), &control, &mut board);
        assert_eq!(board.bms.status().switches.charge, charge);
        // Another board's message.
        let mut other = JkCan::new(3);
        other.receive(at(20), &can::Frame { id: 0x18f0_f428, data: vec![2, 0, 0, 0] }, &mut board);
        assert!(board.bms.status().switches.discharge);
    }
    let _ = Wish::SetCharge(true);
}

/// I01: the frames of a second: identifiers, periods, gaps; the limits and the enable bits go to zero together.
#[test]
fn inverter_frames_keep_their_times() {
    use bms_wire::inverter_can::{Dialect, InverterCan};
    for (dialect, gap) in [(Dialect::Pylontech, 10), (Dialect::Victron, 10), (Dialect::Sma, 200)] {
        let mut board = Bench::new(16);
        board.step(200);
        let mut bus = InverterCan::new(dialect);
        let mut sent: Vec<(u64, u32, Vec<u8>)> = Vec::new();
        for now in 0..60_000 {
            while let Some(frame) = bus.poll::<can::Frame>(at(now), &board) {
                sent.push((now, frame.id, frame.data));
            }
        }
        assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= gap), "{dialect:?}");
        for id in [0x351, 0x355, 0x356] {
            let times: Vec<u64> = sent.iter().filter(|(_, one, _)| *one == id).map(|(now, _, _)| *now).collect();
            assert!(times.windows(2).all(|pair| (800..=1_200).contains(&(pair[1] - pair[0]))), "{dialect:?} {id:x}");
        }
        let of = |id: u32| sent.iter().rev().find(|(_, one, _)| *one == id).map(|(_, _, data)| data.clone()).unwrap();
        assert_eq!(of(0x351)[2..6], [0xd0, 7, 0xd0, 7], "200 A both ways");
        board.bms.request(Wish::SetCharge(false)).unwrap();
        board.step(300);
        let mut blocked: Vec<can::Frame> = Vec::new();
        for now in 60_000..63_000 {
            blocked.extend(std::iter::from_fn(|| bus.poll::<can::Frame>(at(now), &board)));
        }
        let of = |id: u32| blocked.iter().rev().find(|frame| frame.id == id).map(|frame| frame.data.clone());
        assert_eq!(of(0x351).unwrap()[2..4], [0, 0]);
        if dialect == Dialect::Pylontech {
            assert_eq!(of(0x35c).unwrap(), [0x40, 0]);
        }
        assert!(bus.inverter_lost(at(63_000)));
        bus.receive(at(63_000), &can::Frame { id: 0x305, data: vec![0; 8] });
        assert!(!bus.inverter_lost(at(72_000)) && bus.inverter_lost(at(73_001)));
    }
}

#[test]
fn temperatures_of_the_serial_line() {
    assert_eq!(
        [None, Some(-400), Some(-14), Some(0), Some(994), Some(1_100)].map(uart::temperature),
        [140, 140, 101, 0, 99, 99]
    );
    for degrees in -40..=99 {
        assert_eq!(uart::degrees(u16::from(uart::temperature(Some(i64::from(degrees) * 10)))), degrees);
    }
}
