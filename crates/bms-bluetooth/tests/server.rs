//! The GATT server over a controller of software: what a client sees byte by byte (section 3.1 of the protocol).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod radio;

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};

use bms_bluetooth::{Resources, serve};
use bms_core::access::{Access, Change, Reading, Session};
use bms_core::bms::{Bms, Refusal};
use bms_core::prelude::*;
use bms_wire::ble::Peripheral;
use bms_wire::board::{Board, Identity, View};
use bms_wire::logbook::Logbook;
use bms_wire::native::Layout;
use bms_wire::telemetry::Telemetry;
use radio::{Client, Radio, Virtual, pass, settle};
use trouble_host::prelude::ExternalController;

const PACK: ValidConfig = const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated() };
/// Handle of the characteristic's value; its descriptor follows.
const VALUE: u8 = 9;
/// There is one time, so one test at a time.
static TIME: Mutex<()> = Mutex::new(());

struct Desk {
    bms: Bms<24>,
    access: Access,
    telemetry: Telemetry,
    logbook: Logbook,
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
        self.access.change(&mut self.bms, session, now, change)
    }
}

struct World<'a> {
    server: Pin<Box<dyn Future<Output = ()> + 'a>>,
    client: Client,
    _time: MutexGuard<'static, ()>,
}

fn desk() -> RefCell<Desk> {
    let bms = Bms::new(PACK);
    let mut telemetry = Telemetry::of(&bms.status());
    let cells: Vec<Option<Voltage>> = (0..16).map(|index| Some(mv(3_200 + index))).collect();
    telemetry.set_cells(&cells);
    RefCell::new(Desk { bms, access: Access::factory([7; 16]), telemetry, logbook: Logbook::new() })
}

impl<'a> World<'a> {
    fn new(desk: &'a RefCell<Desk>, resources: &'a mut Resources, peripheral: &'a mut Peripheral) -> Self {
        let time = TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let radio = Radio::default();
        let client = radio.client();
        let controller = ExternalController::<_, 8>::new(radio);
        let server = async move {
            serve(controller, resources, [1, 2, 3, 4, 5, 6], Virtual, peripheral, desk).await.expect("no radio fails");
        };
        let mut world = World { server: Box::pin(server), client, _time: time };
        world.settle();
        world
    }
    fn settle(&mut self) {
        settle(&mut self.server);
    }
    fn connected(&mut self) {
        assert!(self.client.connect());
        self.settle();
    }
    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.client.send(request);
        self.settle();
        self.client.receive().expect("an answer")
    }
    /// What comes unasked within this time.
    fn notified(&mut self, milliseconds: u64) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        for at in 0..=milliseconds {
            if at > 0 {
                pass(1);
            }
            self.settle();
            while let Some(packet) = self.client.receive() {
                assert_eq!(packet[..3], [0x1b, VALUE, 0], "a notification of FFE1");
                found.push((at, packet[3..].to_vec()));
            }
        }
        found
    }
    fn mtu(&mut self, wanted: u16) -> u16 {
        let [low, high] = wanted.to_le_bytes();
        let answer = self.ask(&[0x02, low, high]);
        assert_eq!(answer[0], 0x03);
        wanted.min(u16::from_le_bytes([answer[1], answer[2]]))
    }
    fn subscribe(&mut self, on: bool) {
        assert_eq!(self.ask(&[0x12, VALUE + 1, 0, u8::from(on), 0]), [0x13]);
    }
    /// Writes a request frame without response.
    fn command(&mut self, register: u8, value: &[u8]) {
        let packet = [&[0x52, VALUE, 0], request(register, value).as_slice()].concat();
        self.client.send(&packet);
        self.settle();
    }
}

fn request(register: u8, value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xaa, 0x55, 0x90, 0xeb, register, u8::try_from(value.len()).unwrap()];
    frame.extend_from_slice(value);
    frame.resize(19, 0);
    frame.push(frame.iter().fold(0, |sum, byte| byte.wrapping_add(sum)));
    frame
}

fn frame_of(notifications: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let bytes: Vec<u8> = notifications.iter().flat_map(|(_, bytes)| bytes.clone()).take(300).collect();
    assert_eq!(bytes[..4], [0x55, 0xaa, 0xeb, 0x90]);
    assert_eq!(bytes[299], bytes[..299].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    bytes
}

macro_rules! world {
    ($world:ident, $desk:ident, $reading:expr) => {
        let $desk = desk();
        let (mut resources, mut peripheral) = (Resources::new(), Peripheral::new(Layout::S32, $reading));
        #[allow(unused_mut)]
        let mut $world = World::new(&$desk, &mut resources, &mut peripheral);
    };
}

#[test]
fn it_advertises_what_clients_look_for() {
    world!(world, _desk, Reading::Open);
    let data = world.client.advertised().expect("advertising");
    assert_eq!(data[..3], [2, 1, 6], "general discoverable, low energy only");
    assert_eq!(data[3..7], [3, 3, 0xe0, 0xff], "the service");
    assert_eq!(data[7..11], [3, 0xff, 0x65, 0x0b], "the manufacturer");
    assert_eq!(data[11..], [4, 9, b'B', b'M', b'S'], "the owner's name");
}

#[test]
fn the_table_is_the_one_that_every_client_works_with() {
    world!(world, _desk, Reading::Open);
    world.connected();
    // Primary services: the last is FFE0, from handle 7 to the end.
    let services = world.ask(&[0x10, 1, 0, 0xff, 0xff, 0x00, 0x28]);
    assert_eq!(services, [0x11, 6, 1, 0, 5, 0, 0x00, 0x18, 6, 0, 6, 0, 0x01, 0x18, 7, 0, 0xff, 0xff, 0xe0, 0xff]);
    // Its one characteristic: write, write without response, notify; the value's handle is not 3.
    let characteristics = world.ask(&[0x08, 7, 0, 0xff, 0xff, 0x03, 0x28]);
    assert_eq!(characteristics, [0x09, 7, 8, 0, 0x04 | 0x08 | 0x10, VALUE, 0, 0xe1, 0xff]);
    let more = world.ask(&[0x08, VALUE, 0, 0xff, 0xff, 0x03, 0x28]);
    assert_eq!(more[0], 0x01, "no second FFE1");
    let descriptors = world.ask(&[0x04, VALUE + 1, 0, 0xff, 0xff]);
    assert_eq!(descriptors, [0x05, 1, VALUE + 1, 0, 0x02, 0x29]);
    // The name is readable, the characteristic is not.
    assert_eq!(world.ask(&[0x0a, 3, 0]), [0x0b, b'B', b'M', b'S']);
    assert_eq!(world.ask(&[0x0a, VALUE, 0]), [0x01, 0x0a, VALUE, 0, 0x02]);
}

#[test]
fn frames_are_cut_to_the_mtu_and_never_begin_within_a_notification() {
    for wanted in [23, 64, 115, 131, 185, 247, 517] {
        world!(world, desk, Reading::Open);
        world.connected();
        let mtu = if wanted == 23 { 23 } else { world.mtu(wanted) };
        assert_eq!(mtu, wanted.min(247));
        world.subscribe(true);
        world.command(0x97, &[]);
        let notified = world.notified(0);
        let room = usize::from(mtu - 3).min(244);
        assert_eq!(notified.len(), 300_usize.div_ceil(room), "MTU {mtu}");
        assert!(notified.iter().all(|(_, bytes)| bytes.len() <= room));
        assert_eq!(frame_of(&notified)[4], 3, "device information");
        // The acknowledgement comes later, by itself.
        let ack = world.notified(60);
        assert_eq!(ack.len(), 1);
        assert!(ack[0].0 >= 40, "{} ms", ack[0].0);
        assert_eq!(ack[0].1[..5], [0xaa, 0x55, 0x90, 0xeb, 0xc8]);
        // The settings, then cell frames each half second.
        world.command(0x96, &[]);
        let notified = world.notified(2_040);
        let starts: Vec<(u64, u8)> = notified
            .iter()
            .filter(|(_, bytes)| bytes.starts_with(&[0x55, 0xaa, 0xeb, 0x90]))
            .map(|(at, bytes)| (*at, bytes[4]))
            .collect();
        assert_eq!(starts[0], (0, 1));
        assert!(starts.len() >= 4 && starts[1..].iter().all(|(_, kind)| *kind == 2), "{starts:?}");
        assert!(starts[1..].windows(2).all(|pair| pair[1].0 - pair[0].0 == 500), "{starts:?}");
        let cells =
            notified.iter().position(|(_, bytes)| bytes.get(4) == Some(&2) && bytes.starts_with(&[0x55])).unwrap();
        let cells = frame_of(&notified[cells..]);
        for index in 0..16 {
            let shown = u16::from_le_bytes([cells[6 + 2 * index], cells[7 + 2 * index]]);
            assert_eq!(u32::from(shown), 3_200 + u32::try_from(index).unwrap());
        }
        drop(world);
        assert!(desk.try_borrow_mut().is_ok());
    }
}

#[test]
fn it_answers_writes_with_response_and_takes_any_chunking() {
    world!(world, _desk, Reading::Open);
    world.connected();
    world.mtu(185);
    world.subscribe(true);
    let frame = request(0x97, &[]);
    for part in frame.chunks(7) {
        assert_eq!(world.ask(&[&[0x12, VALUE, 0], part].concat()), [0x13]);
    }
    assert_eq!(frame_of(&world.notified(0))[4], 3);
}

#[test]
fn nothing_is_sent_to_who_did_not_subscribe_and_nothing_stays_after_a_disconnection() {
    world!(world, _desk, Reading::Open);
    world.connected();
    world.mtu(185);
    world.command(0x96, &[]);
    assert_eq!(world.notified(1_500), []);
    world.subscribe(true);
    world.command(0x96, &[]);
    assert!(!world.notified(600).is_empty());
    world.subscribe(false);
    assert_eq!(world.notified(1_500), []);
    world.subscribe(true);
    world.command(0x96, &[]);
    world.settle();
    world.client.disconnect();
    world.settle();
    while world.client.receive().is_some() {}
    // It advertises again, and the next client gets nothing of the last one's.
    world.connected();
    world.subscribe(true);
    assert_eq!(world.notified(1_500), []);
    world.command(0x97, &[]);
    assert_eq!(world.notified(0)[0].1.len(), 20, "the MTU begins anew");
}

#[test]
fn a_change_needs_the_key_and_the_limits_of_the_core() {
    world!(world, desk, Reading::Open);
    world.connected();
    world.mtu(185);
    world.subscribe(true);
    let limit = |desk: &RefCell<Desk>| desk.borrow().bms.config().voltage(ParameterId::CellUndervoltageProtection);
    let before = limit(&desk);
    world.command(0x02, &2_900_u32.to_le_bytes());
    assert_eq!(world.notified(100), [], "refused without an answer");
    assert_eq!(limit(&desk), before);
    desk.borrow_mut().access.presence_seen(bms_core::port::Clock::now(&Virtual), secs(300));
    world.command(0x02, &2_750_u32.to_le_bytes());
    let ack = world.notified(100);
    assert_eq!(ack.len(), 1);
    assert_eq!(limit(&desk), mv(2_750));
    world.command(0x02, &9_000_u32.to_le_bytes());
    assert_eq!(world.notified(100), [], "beyond what the chemistry allows");
    assert_eq!(limit(&desk), mv(2_750));
}

#[test]
fn with_a_password_only_the_device_is_told() {
    world!(world, _desk, Reading::Password);
    world.connected();
    world.mtu(185);
    world.subscribe(true);
    world.command(0x96, &[]);
    assert_eq!(world.notified(1_500), []);
    world.command(0x97, &[]);
    assert_eq!(frame_of(&world.notified(0))[4], 3);
}
