//! A radio made of software: the controller that the host talks to, and the client at the other end of the air, which
//! speaks the attribute protocol byte by byte and owes nothing to the host under test.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bt_hci_transport::{PacketKind, PacketToController, PacketToHost, ReadHciError, Transport};
use embassy_time::MockDriver;

/// The longest piece of a packet over the air: the shortest that a controller may have, so that all is cut and joined.
const AIR: usize = 27;
const CONNECTION: u16 = 0x40;
const ATTRIBUTES: u16 = 4;

#[derive(Default)]
struct Air {
    /// HCI packets for the host, with their kind before them.
    to_host: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
    /// What the host sent, joined: (channel, payload).
    heard: VecDeque<(u16, Vec<u8>)>,
    joining: Vec<u8>,
    advertised: Option<Vec<u8>>,
    advertising: bool,
    connected: bool,
    commands: Vec<u16>,
}

/// The host's end.
#[derive(Clone, Default)]
pub struct Radio(Rc<RefCell<Air>>);

/// What a controller that is no more would answer; this one is always there.
#[derive(Debug)]
pub struct Gone;
impl embedded_io::Error for Gone {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}
impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("gone")
    }
}
impl std::error::Error for Gone {}
impl From<ReadHciError<Infallible>> for Gone {
    fn from(_: ReadHciError<Infallible>) -> Self {
        Self
    }
}
impl embedded_io::ErrorType for Radio {
    type Error = Gone;
}

impl Transport for Radio {
    async fn read<'a, P: PacketToHost<'a>>(&self, rx: &'a mut [u8]) -> Result<P, Gone> {
        let packet = poll_fn(|context| {
            let mut air = self.0.borrow_mut();
            air.waker = Some(context.waker().clone());
            air.to_host.pop_front().map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let mut reader = packet.as_slice();
        let kind = PacketKind::read(&mut reader).map_err(|_| Gone)?;
        P::read_hci(kind, &mut reader, rx).map_err(|_| Gone)
    }
    async fn write<P: PacketToController>(&self, packet: &P) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        packet.write_hci(&mut bytes).map_err(|_| Gone)?;
        let mut air = self.0.borrow_mut();
        match P::KIND {
            PacketKind::Cmd => air.command(&bytes),
            PacketKind::AclData => air.data(&bytes),
            other => panic!("nothing of this kind was expected: {other:?}"),
        }
        Ok(())
    }
}

impl Air {
    fn event(&mut self, code: u8, parameters: &[u8]) {
        let mut packet = vec![4, code, u8::try_from(parameters.len()).unwrap()];
        packet.extend_from_slice(parameters);
        self.give(packet);
    }
    fn give(&mut self, packet: Vec<u8>) {
        self.to_host.push_back(packet);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
    /// Every command is obeyed at once.
    fn command(&mut self, bytes: &[u8]) {
        let opcode = u16::from_le_bytes([bytes[0], bytes[1]]);
        let parameters = &bytes[3..];
        self.commands.push(opcode);
        match opcode {
            // LE set advertising data: length, then 31 bytes.
            0x2008 => self.advertised = Some(parameters[1..=usize::from(parameters[0])].to_vec()),
            0x200a => self.advertising = parameters[0] == 1,
            _ => {}
        }
        let answer: &[u8] = match opcode {
            // LE read buffer size: 27 bytes, four packets.
            0x2002 => &[0, AIR as u8, 0, 4],
            // Read the public address; size of the accept list.
            0x1009 => &[0, 1, 2, 3, 4, 5, 6],
            0x200f => &[0, 8],
            _ => &[0],
        };
        if opcode == 0x0406 {
            self.event(0x0f, &[0, 1, bytes[0], bytes[1]]);
            self.disconnected();
        } else {
            self.event(0x0e, &[&[1, bytes[0], bytes[1]], answer].concat());
        }
    }
    fn disconnected(&mut self) {
        if std::mem::take(&mut self.connected) {
            let [low, high] = CONNECTION.to_le_bytes();
            self.event(0x05, &[0, low, high, 0x13]);
        }
    }
    /// A piece from the host: kept, joined, acknowledged.
    fn data(&mut self, bytes: &[u8]) {
        let (flags, length) = (bytes[1] >> 4 & 3, usize::from(u16::from_le_bytes([bytes[2], bytes[3]])));
        assert_eq!(bytes.len(), 4 + length);
        assert!(length <= AIR, "a piece of {length} bytes, {AIR} were offered");
        if flags != 1 {
            assert!(self.joining.is_empty(), "a packet begins within another");
        }
        self.joining.extend_from_slice(&bytes[4..]);
        let whole = 4 + usize::from(u16::from_le_bytes([self.joining[0], self.joining[1]]));
        if self.joining.len() == whole {
            let channel = u16::from_le_bytes([self.joining[2], self.joining[3]]);
            let payload = self.joining.split_off(4);
            self.joining.clear();
            self.heard.push_back((channel, payload));
        }
        let [low, high] = CONNECTION.to_le_bytes();
        self.event(0x13, &[1, low, high, 1, 0]);
    }
}

/// The client's end.
#[derive(Clone)]
pub struct Client(Rc<RefCell<Air>>);

impl Radio {
    pub fn client(&self) -> Client {
        Client(self.0.clone())
    }
}

impl Client {
    pub fn advertised(&self) -> Option<Vec<u8>> {
        let air = self.0.borrow();
        air.advertising.then(|| air.advertised.clone()).flatten()
    }
    /// True if somebody advertised.
    pub fn connect(&self) -> bool {
        let mut air = self.0.borrow_mut();
        if !std::mem::take(&mut air.advertising) {
            return false;
        }
        air.connected = true;
        air.heard.clear();
        let [low, high] = CONNECTION.to_le_bytes();
        // LE connection complete: success, peripheral, public address, 30 ms, no latency, 4 s.
        air.event(0x3e, &[1, 0, low, high, 1, 0, 9, 8, 7, 6, 5, 4, 24, 0, 0, 0, 144, 1, 0]);
        true
    }
    pub fn disconnect(&self) {
        let mut air = self.0.borrow_mut();
        air.disconnected();
        air.joining.clear();
    }
    /// Sends an attribute request, in pieces.
    pub fn send(&self, request: &[u8]) {
        let mut whole = u16::try_from(request.len()).unwrap().to_le_bytes().to_vec();
        whole.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        whole.extend_from_slice(request);
        let mut air = self.0.borrow_mut();
        for (index, piece) in whole.chunks(AIR).enumerate() {
            let flags: u16 = if index == 0 { 2 } else { 1 };
            let mut packet = vec![2];
            packet.extend_from_slice(&(CONNECTION | flags << 12).to_le_bytes());
            packet.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_le_bytes());
            packet.extend_from_slice(piece);
            air.give(packet);
        }
    }
    /// The oldest attribute packet that came.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let (channel, payload) = self.0.borrow_mut().heard.pop_front()?;
        assert_eq!(channel, ATTRIBUTES);
        Some(payload)
    }
}

/// Polls a future until it has nothing more to do at this moment.
pub fn settle(future: &mut Pin<Box<dyn Future<Output = ()> + '_>>) {
    // Each pass moves at least one packet when there is one; what is longer than this is a loop.
    for _ in 0..2_000 {
        let woken = std::sync::Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "the server ended");
        if !woken.0.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
    }
    panic!("it never comes to rest");
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);
impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The time that timers and the board see.
#[derive(Clone, Copy)]
pub struct Virtual;
impl bms_core::port::Clock for Virtual {
    fn now(&self) -> bms_core::time::Instant {
        bms_core::time::Instant::from_millis(embassy_time::Instant::now().as_millis())
    }
}
pub fn pass(milliseconds: u64) {
    MockDriver::get().advance(embassy_time::Duration::from_millis(milliseconds));
}
