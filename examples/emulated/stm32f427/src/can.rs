//! The bxCAN of CAN1, which the emulator has no model of: it keeps what was written, and this does the rest (RM0090 32):
//! modes, three mailboxes, filter bank 0, a FIFO of three. The bus has another node that acknowledges everything.

use std::collections::VecDeque;

use emulated_bench::CanFrame;
use rigless::device::Level;
use rigless::device::RegisterFile;
use rigless::emulator::{Host, InterruptLine};
use rigless::machine::stm32f427_bench::Stm32f427Bench;
use rigless::mcu::Mcu;
use rigless::session::Session;
use rigless::soc::stm32f427::generated::can1::Register;

const CAN1: u64 = 0x4000_6400;
/// The peripheral's clock, APB1.
const CLOCK_HZ: u64 = 24_000_000;
const INITIALISE: u64 = 1;
const SLEEP: u64 = 2;
/// TSR, of each mailbox: the request is done, without an error; and the mailbox is empty.
const DONE: u64 = 0b11;
const EMPTY: [u64; 3] = [1 << 26, 1 << 27, 1 << 28];
const RELEASE: u64 = 1 << 5;
const REQUEST: u64 = 1;
const EXTENDED: u64 = 1 << 2;
const MAILBOXES: [[Register; 4]; 3] = [
    [Register::Ti0r, Register::Tdt0r, Register::Tdl0r, Register::Tdh0r],
    [Register::Ti1r, Register::Tdt1r, Register::Tdl1r, Register::Tdh1r],
    [Register::Ti2r, Register::Tdt2r, Register::Tdl2r, Register::Tdh2r],
];
const TRANSMIT_LINE: u16 = 19;
const RECEIVE_LINE: u16 = 20;

type Bench = Session<Stm32f427Bench>;

/// What the registers do not hold.
#[derive(Default)]
pub struct Bus {
    /// Mailbox, end on the wire in ns, frame.
    sending: VecDeque<(usize, u64, CanFrame)>,
    received: VecDeque<[u64; 4]>,
    /// Bits a second, as the firmware set it.
    rate: u64,
}

fn registers(session: &mut Bench) -> Option<&mut RegisterFile> {
    let bus = session.board_mut().mcu.bus_mut();
    let slot = bus.slot_of("CAN1")?;
    Some(bus.slot_mut(slot).registers_mut())
}

fn set_line(host: &mut dyn Host, line: u16, on: bool) {
    if let Some(line) = InterruptLine::new(line) {
        host.set_interrupt(line, if on { Level::High } else { Level::Low });
    }
}

pub fn covers(address: u64) -> bool {
    (CAN1..CAN1 + 0x400).contains(&address)
}

impl Bus {
    /// After a reset.
    pub fn release(&mut self, host: &mut dyn Host) {
        *self = Self::default();
        set_line(host, TRANSMIT_LINE, false);
        set_line(host, RECEIVE_LINE, false);
    }
    /// After an access of the firmware: gives the frames that have left by now.
    pub fn accessed(
        &mut self,
        session: &mut Bench,
        host: &mut dyn Host,
        now: u64,
        written: Option<(u64, u64)>,
    ) -> Vec<CanFrame> {
        let Some(registers) = registers(session) else { return vec![] };
        if let Some((address, value)) = written {
            self.written(registers, now, address - CAN1, value);
        }
        let sent = self.pass(registers, now);
        let interrupts = registers.get(Register::Ier);
        let done = registers.get(Register::Tsr) & (DONE | DONE << 8 | DONE << 16) != 0;
        set_line(host, TRANSMIT_LINE, done && interrupts & 1 != 0);
        set_line(host, RECEIVE_LINE, !self.received.is_empty() && interrupts & 2 != 0);
        sent
    }
    fn written(&mut self, registers: &mut RegisterFile, now: u64, offset: u64, value: u64) {
        match offset {
            0x00 => {
                let mode = if value & SLEEP != 0 { SLEEP } else { value & INITIALISE };
                registers.set(Register::Msr, 0xc00 | mode);
            }
            0x08 => {
                let cleared = (0..3).filter(|mailbox| value >> (8 * mailbox) & 1 != 0);
                let mask = cleared.fold(0, |mask, mailbox| mask | 0xf << (8 * mailbox));
                registers.set(Register::Tsr, self.status() & !mask);
            }
            0x0c if value & RELEASE != 0 => {
                self.received.pop_front();
            }
            0x1c => self.rate = CLOCK_HZ / ((value & 0x3ff) + 1) / (3 + (value >> 16 & 0xf) + (value >> 20 & 7)),
            0x180 | 0x190 | 0x1a0 if value & REQUEST != 0 => {
                let mailbox = (offset - 0x180) as usize / 16;
                let [id, length, low, high] = MAILBOXES[mailbox].map(|register| registers.get(register));
                let extended = id & EXTENDED != 0;
                let data = [low, high].map(|word| (word as u32).to_le_bytes()).concat();
                let frame = CanFrame {
                    at: 0,
                    id: if extended { id >> 3 } else { id >> 21 } as u32,
                    extended,
                    data: data[..(length & 0xf).min(8) as usize].to_vec(),
                };
                // Frame, gap and about one bit in eight stuffed.
                let bits = (if extended { 67 } else { 47 } + 8 * frame.data.len() as u64) * 9 / 8;
                let begin = self.sending.back().map_or(now, |(_, end, _)| *end).max(now);
                self.sending.push_back((mailbox, begin + bits * 1_000_000_000 / self.rate.max(1), frame));
            }
            _ => {}
        }
    }
    /// TSR without what is done: which mailboxes are empty, and the number of the next one.
    fn status(&self) -> u64 {
        let empty: Vec<_> = (0..3).filter(|mailbox| self.sending.iter().all(|(used, ..)| used != mailbox)).collect();
        let code = empty.first().copied().unwrap_or(0) as u64;
        empty.iter().fold(code << 24, |status, mailbox| status | EMPTY[*mailbox])
    }
    fn pass(&mut self, registers: &mut RegisterFile, now: u64) -> Vec<CanFrame> {
        let (mut sent, mut done) = (vec![], registers.get(Register::Tsr) & 0x0f_0f0f);
        let asleep = registers.get(Register::Msr) & (SLEEP | INITIALISE) != 0;
        while let Some((mailbox, end, frame)) = self.sending.pop_front_if(|(_, end, _)| *end <= now && !asleep) {
            done |= DONE << (8 * mailbox);
            let identifier = MAILBOXES[mailbox][0];
            registers.set(identifier, registers.get(identifier) & !REQUEST);
            sent.push(CanFrame { at: end, ..frame });
        }
        registers.set(Register::Tsr, self.status() | done);
        let mut full = self.received.len() as u64;
        full |= u64::from(full == 3) << 3;
        registers.set(Register::Rf0r, full);
        let head = self.received.front().copied().unwrap_or_default();
        for (register, value) in
            [Register::Ri0r, Register::Rdt0r, Register::Rdl0r, Register::Rdh0r].into_iter().zip(head)
        {
            registers.set(register, value);
        }
        sent
    }
    /// A frame of another node: whether the filter let it in. A full FIFO loses it.
    pub fn arrives(&mut self, session: &mut Bench, host: &mut dyn Host, now: u64, frame: &CanFrame) -> bool {
        let Some(registers) = registers(session) else { return false };
        let id = u64::from(frame.id);
        let identifier = if frame.extended { id << 3 | EXTENDED } else { id << 21 };
        let (wanted, mask) = (registers.get(Register::F0r1), registers.get(Register::F0r2));
        let filtered = registers.get(Register::Fa1r) & 1 == 0 || (identifier ^ wanted) & mask != 0;
        let asleep = registers.get(Register::Msr) & (SLEEP | INITIALISE) != 0;
        if filtered || asleep || self.received.len() == 3 {
            return false;
        }
        let mut data = [0; 8];
        data.iter_mut().zip(&frame.data).for_each(|(to, from)| *to = *from);
        let [low, high] =
            [0, 4].map(|at| data[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        self.received.push_back([identifier, frame.data.len() as u64, low, high]);
        self.accessed(session, host, now, None);
        true
    }
    /// What the firmware set, in bits a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }
}
