//! The links that can be served, each between what its port carries and the protocol's state machine.

use std::fmt::Write as _;

use bms_core::access::Reading;
use bms_core::time::Instant;
use bms_wire::ble::Peripheral;
use bms_wire::display::Display;
use bms_wire::inverter_can::{Dialect, InverterCan};
use bms_wire::jk_can::JkCan;
use bms_wire::modbus::Modbus;
use bms_wire::native::Layout;
use bms_wire::uart::Uart;

use super::board::ServedBoard;
use super::candump::CanFrame;
use crate::sim::arguments::{DialectKind, LayoutKind, LinkKind, ReadingKind, ServeArguments};

/// A link: bytes of its port in and out.
pub trait Link {
    /// Bytes came from the port; what to send at once is added to `out`.
    fn receive(&mut self, now: Instant, bytes: &[u8], board: &mut ServedBoard, out: &mut Vec<u8>);
    /// Time has passed; what is due is added to `out`.
    fn poll(&mut self, _now: Instant, _board: &mut ServedBoard, _out: &mut Vec<u8>) {}
    /// When something is due; `None` if only bytes can bring it.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// Whether it speaks without being asked, so that the end of the input is not the end.
    fn speaks_unasked(&self) -> bool {
        false
    }
}

/// The link that the command line names.
#[must_use]
pub fn open(arguments: &ServeArguments) -> Box<dyn Link> {
    match arguments.link {
        LinkKind::Ble => {
            let layout = if arguments.layout == LayoutKind::S24 { Layout::S24 } else { Layout::S32 };
            let reading = if arguments.reading == ReadingKind::Open { Reading::Open } else { Reading::Password };
            Box::new(Bluetooth { peripheral: Peripheral::new(layout, reading), line: Vec::new() })
        }
        LinkKind::Uart => Box::new(Uart::new(arguments.upload)),
        LinkKind::Modbus => Box::new(Modbus::new(arguments.address.unwrap_or(1))),
        LinkKind::Display => Box::new(Display::new()),
        LinkKind::InverterCan => {
            let dialect = match arguments.dialect {
                DialectKind::Pylontech => Dialect::Pylontech,
                DialectKind::Victron => Dialect::Victron,
                DialectKind::Sma => Dialect::Sma,
            };
            Box::new(CanBridge { bus: InverterCan::new(dialect), line: Vec::new() })
        }
        LinkKind::JkCan => Box::new(CanBridge { bus: JkCan::new(arguments.address.unwrap_or(0)), line: Vec::new() }),
    }
}

impl Link for Uart {
    fn receive(&mut self, now: Instant, bytes: &[u8], board: &mut ServedBoard, out: &mut Vec<u8>) {
        for byte in bytes {
            if let Some(answer) = Self::receive(self, now, *byte, board) {
                out.extend_from_slice(answer);
            }
        }
    }
    fn poll(&mut self, now: Instant, board: &mut ServedBoard, out: &mut Vec<u8>) {
        if let Some(upload) = Self::poll(self, now, board) {
            out.extend_from_slice(upload);
        }
    }
    fn deadline(&self) -> Option<Instant> {
        Self::deadline(self)
    }
}

impl Link for Modbus {
    fn receive(&mut self, now: Instant, bytes: &[u8], board: &mut ServedBoard, out: &mut Vec<u8>) {
        for byte in bytes {
            Self::receive(self, now, *byte, board);
        }
        Link::poll(self, now, board, out);
    }
    fn poll(&mut self, now: Instant, _board: &mut ServedBoard, out: &mut Vec<u8>) {
        if let Some(answer) = Self::poll(self, now) {
            out.extend_from_slice(answer);
        }
    }
    fn deadline(&self) -> Option<Instant> {
        Self::deadline(self)
    }
}

impl Link for Display {
    fn receive(&mut self, _now: Instant, _bytes: &[u8], _board: &mut ServedBoard, _out: &mut Vec<u8>) {}
    fn poll(&mut self, now: Instant, board: &mut ServedBoard, out: &mut Vec<u8>) {
        if let Some(frame) = Self::poll(self, now, board) {
            out.extend_from_slice(&frame);
        }
    }
    fn deadline(&self) -> Option<Instant> {
        Some(Self::deadline(self))
    }
    fn speaks_unasked(&self) -> bool {
        true
    }
}

/// The two CAN protocols.
trait Bus {
    fn next(&mut self, now: Instant, board: &mut ServedBoard) -> Option<CanFrame>;
    fn take(&mut self, now: Instant, frame: &CanFrame, board: &mut ServedBoard);
    fn due(&self) -> Instant;
}

impl Bus for InverterCan {
    fn next(&mut self, now: Instant, board: &mut ServedBoard) -> Option<CanFrame> {
        self.poll(now, board)
    }
    fn take(&mut self, now: Instant, frame: &CanFrame, _board: &mut ServedBoard) {
        let was_lost = self.inverter_lost(now);
        self.receive(now, frame);
        if was_lost && !self.inverter_lost(now) {
            eprintln!("bms-sim: the inverter answers");
        }
    }
    fn due(&self) -> Instant {
        self.deadline()
    }
}

impl Bus for JkCan {
    fn next(&mut self, now: Instant, board: &mut ServedBoard) -> Option<CanFrame> {
        self.poll(now, board)
    }
    fn take(&mut self, now: Instant, frame: &CanFrame, board: &mut ServedBoard) {
        self.receive(now, frame, board);
    }
    fn due(&self) -> Instant {
        self.deadline()
    }
}

/// CAN as lines of candump.
struct CanBridge<B> {
    bus: B,
    line: Vec<u8>,
}

impl<B: Bus> Link for CanBridge<B> {
    fn receive(&mut self, now: Instant, bytes: &[u8], board: &mut ServedBoard, _out: &mut Vec<u8>) {
        for line in lines(&mut self.line, bytes).iter().filter(|line| !line.is_empty()) {
            match CanFrame::from_line(line) {
                Some(frame) => self.bus.take(now, &frame, board),
                None => eprintln!("bms-sim: not a frame as candump writes it: {line}"),
            }
        }
    }
    fn poll(&mut self, now: Instant, board: &mut ServedBoard, out: &mut Vec<u8>) {
        while let Some(frame) = self.bus.next(now, board) {
            out.extend_from_slice(format!("{frame}\n").as_bytes());
        }
    }
    fn deadline(&self) -> Option<Instant> {
        Some(self.bus.due())
    }
    fn speaks_unasked(&self) -> bool {
        true
    }
}

/// Takes complete lines out of what came.
fn lines(buffer: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    buffer.extend_from_slice(bytes);
    let mut found = Vec::new();
    while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = buffer.drain(..=end).collect();
        found.push(String::from_utf8_lossy(&line).trim().to_owned());
    }
    // Nobody writes lines so long.
    if buffer.len() > 4_096 {
        buffer.clear();
    }
    found
}

/// Bluetooth as a text bridge.
struct Bluetooth {
    peripheral: Peripheral,
    line: Vec<u8>,
}

impl Link for Bluetooth {
    fn receive(&mut self, now: Instant, bytes: &[u8], board: &mut ServedBoard, out: &mut Vec<u8>) {
        for line in lines(&mut self.line, bytes) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match (word, rest.trim()) {
                ("M", mtu) => match mtu.parse() {
                    Ok(mtu) => self.peripheral.set_mtu(mtu),
                    Err(_) => eprintln!("bms-sim: not an MTU: {line}"),
                },
                ("S", _) => self.peripheral.set_subscribed(true),
                ("U", _) => self.peripheral.set_subscribed(false),
                ("D", _) => self.peripheral.disconnected(),
                ("W", hex) => match from_hex(hex) {
                    Some(bytes) => self.peripheral.written(now, &bytes, board),
                    None => eprintln!("bms-sim: not hexadecimal: {line}"),
                },
                ("", _) => {}
                _ => eprintln!("bms-sim: not M, S, U, W or D: {line}"),
            }
        }
        self.poll(now, board, out);
    }
    fn poll(&mut self, now: Instant, board: &mut ServedBoard, out: &mut Vec<u8>) {
        while let Some(notification) = self.peripheral.poll(now, board) {
            out.extend_from_slice(format!("N {}\n", to_hex(notification.as_bytes())).as_bytes());
        }
    }
    fn deadline(&self) -> Option<Instant> {
        self.peripheral.deadline()
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
