//! `bms-sim serve --link ble` over the whole Bluetooth host: the same options and the same lines of text, but what a client
//! writes goes through the attribute protocol, its MTU exchange and the table of FFE0, and notifications come back through
//! them. For tests with clients that have no radio.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

#[path = "../tests/radio/mod.rs"]
mod radio;

use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use bms_bluetooth::{Resources, serve};
use bms_core::access::Reading;
use bms_host::sim::arguments::{Arguments, Command, LayoutKind, ReadingKind};
use bms_host::sim::serve::ServedBoard;
use bms_wire::ble::Peripheral;
use bms_wire::native::Layout;
use clap::Parser;
use radio::{Client, Radio, Virtual, pass, settle};
use trouble_host::prelude::ExternalController;

/// Of the characteristic's value; its descriptor follows.
const VALUE: u8 = 9;
/// How far time goes at once: less than any period of the protocol.
const TICK: Duration = Duration::from_millis(2);

struct Bridge<'a> {
    server: Pin<Box<dyn Future<Output = ()> + 'a>>,
    client: Client,
    /// Until the client takes one, nothing is read or written.
    mtu: u16,
    connected: bool,
    with_response: bool,
}

impl Bridge<'_> {
    fn settle(&mut self) {
        settle(&mut self.server);
    }
    /// A request and its answer; what was notified meanwhile stays in order before it.
    fn ask(&mut self, request: &[u8], out: &mut Vec<Vec<u8>>) {
        self.client.send(request);
        self.settle();
        self.collect(out);
    }
    fn collect(&mut self, out: &mut Vec<Vec<u8>>) {
        while let Some(packet) = self.client.receive() {
            match packet[0] {
                0x1b => out.push(packet[3..].to_vec()),
                0x03 | 0x13 => {}
                other => panic!("unexpected answer {other:#x}: {packet:?}"),
            }
        }
    }
    fn connect(&mut self, out: &mut Vec<Vec<u8>>) {
        if !self.connected {
            // After a connection the server needs a moment to advertise again.
            for _ in 0..1_000 {
                if self.client.connect() {
                    break;
                }
                pass(1);
                self.settle();
            }
            self.connected = true;
            self.settle();
            if self.mtu > 23 {
                let [low, high] = self.mtu.to_le_bytes();
                self.ask(&[0x02, low, high], out);
            }
        }
    }
    fn line(&mut self, line: &str) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "M" => self.mtu = rest.trim().parse().expect("an MTU"),
            "S" | "U" => {
                self.connect(&mut out);
                self.ask(&[0x12, VALUE + 1, 0, u8::from(word == "S"), 0], &mut out);
            }
            "W" => {
                self.connect(&mut out);
                // In turn, because clients use either.
                let bytes: Vec<u8> = rest
                    .trim()
                    .as_bytes()
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                    .collect();
                self.with_response = !self.with_response;
                let opcode = if self.with_response { 0x12 } else { 0x52 };
                self.ask(&[&[opcode, VALUE, 0], bytes.as_slice()].concat(), &mut out);
            }
            "D" if self.connected => {
                self.client.disconnect();
                self.connected = false;
                self.settle();
                while self.client.receive().is_some() {}
            }
            _ => {}
        }
        out
    }
}

fn main() {
    let Some(Command::Serve(arguments)) = Arguments::parse().command else { panic!("only: serve --link ble") };
    let board = RefCell::new(ServedBoard::new(&arguments, 1, None).expect("usable arguments"));
    let layout = if arguments.layout == LayoutKind::S24 { Layout::S24 } else { Layout::S32 };
    let reading = if arguments.reading == ReadingKind::Open { Reading::Open } else { Reading::Password };
    let (mut resources, mut peripheral) = (Resources::new(), Peripheral::new(layout, reading));
    let radio = Radio::default();
    let client = radio.client();
    let controller = ExternalController::<_, 8>::new(radio);
    let (resources, peripheral, shared) = (&mut resources, &mut peripheral, &board);
    let server = async move {
        serve(controller, resources, [1, 2, 3, 4, 5, 6], Virtual, peripheral, shared).await.expect("no radio fails");
    };
    let mut bridge = Bridge { server: Box::pin(server), client, mtu: 23, connected: false, with_response: false };
    bridge.settle();

    let (lines, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let (started, mut passed) = (Instant::now(), 0);
    let mut out = io::stdout().lock();
    loop {
        let arrived = arrivals.recv_timeout(TICK);
        let now = u64::try_from(started.elapsed().as_millis()).unwrap();
        pass(now - passed);
        passed = now;
        board.borrow_mut().advance_to(now);
        bridge.settle();
        let mut notifications = Vec::new();
        bridge.collect(&mut notifications);
        match arrived {
            Ok(line) => notifications.append(&mut bridge.line(line.trim())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for bytes in notifications {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if writeln!(out, "N {hex}").and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    }
}
