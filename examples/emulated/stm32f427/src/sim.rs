//! The emulated board: a thread runs the emulator and stops wherever the bench wants.

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use emulated_bench::{CanFrame, Edge, Fault, Happened, Output, Source};
use rigless::device::{Level, ResetCause};
use rigless::emulator::{self, Access, AccessKind, Driver, Host, Settled, Start, Stop};
use rigless::image::Image;
use rigless::machine::stm32f427_bench::Stm32f427Bench;
use rigless::session::Session;
use rigless::soc::Width;
use rigless::soc::stm32f427::peripherals::adc::Channel;
use rigless::soc::stm32f427::peripherals::gpio::Pin;
use rigless::time::VirtualNanos;

use crate::{can, exti};

pub const REFERENCE_MV: u32 = 3_300;
const GPIO: u64 = 0x4002_0000;
const PORT_SIZE: u64 = 0x400;
const PORT_A: usize = 0;
const PORT_B: usize = 1;
const PORT_C: usize = 2;
const ADC1_CONTROL: u64 = 0x4001_2008;
const START_CONVERSION: u64 = 1 << 30;
const CONVERTER_ON: u64 = 1;
const ADC1_SEQUENCE: u64 = 0x4001_2034;
const ADC1_DATA: u64 = 0x4001_204c;
/// The multiplexer's first select line, PC6.
const MULTIPLEXER: u8 = 6;
const COMPARATOR: u8 = 2;
const CHARGER: u8 = 11;
const KEY: u8 = 8;
/// USART2.
const TEXT: usize = 1;
/// USART1.
const LINK: usize = 0;
const OUTPUTS: [(usize, u8, Output); 4] = [
    (PORT_B, 12, Output::Charge),
    (PORT_B, 13, Output::Discharge),
    (PORT_B, 14, Output::Heater),
    (PORT_C, 12, Output::PowerHold),
];
const TIM2_CONTROL: u64 = 0x4000_0000;
const PAINT: u64 = 0xa5a5_a5a5;
/// How much of the stack is watched, and how much may lie untouched inside it.
const STACK_DEPTH: u64 = 12 * 1_024;
const STACK_GAP: u64 = 512;

type Bench = Session<Stm32f427Bench>;
type Action = Box<dyn FnOnce(&mut Bench, &mut dyn Host, Stop) + Send>;

/// What stands at the pins, in mV.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Behind the multiplexer.
    pub positions: [u32; 32],
    /// At the converter's other channels.
    pub channels: [u32; 16],
    pub charger: bool,
    pub key: bool,
}

impl Default for Levels {
    fn default() -> Self {
        Self { positions: [0; 32], channels: [0; 16], charger: false, key: false }
    }
}

/// What both threads see.
struct Shared {
    levels: Levels,
    /// All channels show this instead.
    stuck: Option<u32>,
    /// No conversion ends.
    silent: bool,
    position: u8,
    sequence: u64,
    previous: Option<Source>,
    /// The instruction count at the start of the last conversion.
    began: u64,
    pending: u64,
    outputs: [bool; 4],
    /// When both gates were last seen to go low, in instructions.
    opened: u64,
    resets: usize,
    text: usize,
    link: usize,
    bus: can::Bus,
    happened: Happened,
}

enum Ask {
    RunTo(u64),
    Act(Action),
    End,
}

struct Emulator {
    shared: Arc<Mutex<Shared>>,
    ask: Receiver<Ask>,
    done: SyncSender<Stop>,
    until: u64,
    /// The bench waits for `until`.
    runs: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a conversion showed.
fn source(sequence: u64, position: u8) -> Option<Source> {
    match (sequence, position) {
        (0, cell @ 0..24) => Some(Source::Cell(cell)),
        (1, _) => Some(Source::Current),
        (3, _) => Some(Source::Battery(0)),
        (4, _) => Some(Source::Battery(1)),
        (5, _) => Some(Source::Mos),
        _ => None,
    }
}

fn level(session: &mut Bench, port: usize, pin: u8) -> bool {
    let (gpio, registers) = session.board_mut().mcu.port(port);
    Pin::new(pin).is_some_and(|pin| gpio.level(pin, registers) == Level::High)
}

fn drive(session: &mut Bench, at: VirtualNanos, port: usize, pin: u8, high: bool) {
    let level = if high { Level::High } else { Level::Low };
    if let Some(pin) = Pin::new(pin) {
        session.board_mut().mcu.drive_port(at, port, |gpio, registers, context| {
            gpio.drive(pin, Some(level), registers, context);
        });
    }
}

/// What came out of USART1 since the last time.
fn take_link(session: &Bench, shared: &mut Shared) {
    if let Some(peer) = session.board().mcu.usart[LINK].peer() {
        let new = peer.received().get(shared.link..).unwrap_or(&[]);
        shared.link += new.len();
        shared.happened.link.extend(new.iter().map(|word| *word as u8));
    }
}

fn put(session: &mut Bench, pin: u8, millivolts: u32) {
    if let Some(channel) = Channel::new(pin) {
        session.board_mut().mcu.adc[0].set_input(channel, millivolts);
    }
}

impl Emulator {
    /// The outputs as a wire sees them: an input is held low by its pull-down.
    fn look(&self, session: &mut Bench, at: u64, instructions: u64) {
        for (index, (port, pin, output)) in OUTPUTS.into_iter().enumerate() {
            let high = level(session, port, pin);
            let mut shared = lock(&self.shared);
            if shared.outputs[index] != high {
                shared.outputs[index] = high;
                shared.happened.edges.push(Edge { at, output, high });
                if !shared.outputs[0] && !shared.outputs[1] {
                    shared.opened = instructions;
                }
            }
        }
    }
    /// Every analog pin as it stands now.
    fn refresh(&self, session: &mut Bench) {
        let position = (0..5).fold(0, |bits, line| bits | u8::from(level(session, PORT_C, MULTIPLEXER + line)) << line);
        let mut shared = lock(&self.shared);
        shared.position = position;
        let (levels, stuck) = (shared.levels.clone(), shared.stuck);
        drop(shared);
        put(session, 0, stuck.unwrap_or(levels.positions[usize::from(position)]));
        for pin in 1..8 {
            put(session, pin, stuck.unwrap_or(levels.channels[usize::from(pin)]));
        }
    }
    /// After a reset nothing is pending.
    fn take_resets(&self, session: &Bench, host: &mut dyn Host) {
        let mut shared = lock(&self.shared);
        for reset in &session.resets()[shared.resets..] {
            if reset.cause != ResetCause::Core {
                shared.happened.resets.push(reset.at.0);
            }
        }
        if shared.resets < session.resets().len() {
            shared.resets = session.resets().len();
            shared.pending = 0;
            exti::release(host);
            shared.bus.release(host);
        }
    }
    fn converter(&self, session: &mut Bench, host: &mut dyn Host, access: &Access, value: u64) {
        let mut shared = lock(&self.shared);
        match (access.address, access.kind) {
            (ADC1_SEQUENCE, AccessKind::Write) => shared.sequence = value & 0x1f,
            (ADC1_DATA, AccessKind::Read) => {
                let source = source(shared.sequence, shared.position);
                // The first of several conversions.
                if let Some(source) = source
                    && shared.previous != Some(source)
                {
                    shared.happened.reads.push((access.virtual_time.0, source));
                }
                shared.previous = source;
                shared.happened.converting += access.instruction_count - shared.began;
            }
            (ADC1_CONTROL, AccessKind::Write) if value & START_CONVERSION != 0 => {
                shared.began = access.instruction_count;
                if !shared.silent {
                    return;
                }
                drop(shared);
                let off = Access::new(
                    AccessKind::Write,
                    ADC1_CONTROL,
                    Width::W32,
                    value & !(START_CONVERSION | CONVERTER_ON),
                );
                session.access(off.at(access.instruction_count, access.virtual_time), host);
            }
            _ => {}
        }
    }
}

impl Driver<Stm32f427Bench> for Emulator {
    fn on_settled(&mut self, session: &mut Bench, host: &mut dyn Host, settled: Settled) {
        let Settled::Access { access, value } = settled else { return };
        if (ADC1_CONTROL..=ADC1_DATA).contains(&access.address) {
            self.converter(session, host, &access, value);
        }
        if can::covers(access.address) {
            let written = (access.kind == AccessKind::Write).then_some((access.address, value));
            let mut shared = lock(&self.shared);
            let sent = shared.bus.accessed(session, host, access.virtual_time.0, written);
            shared.happened.can.extend(sent);
        }
        if access.kind == AccessKind::Read {
            return;
        }
        match (access.address.wrapping_sub(GPIO) / PORT_SIZE) as usize {
            PORT_B => self.look(session, access.virtual_time.0, access.instruction_count),
            PORT_C => {
                self.look(session, access.virtual_time.0, access.instruction_count);
                self.refresh(session);
            }
            _ => {}
        }
        if exti::covers(access.address) {
            let pending = lock(&self.shared).pending;
            let left = exti::written(session, host, access.address, value, pending);
            lock(&self.shared).pending = left;
        }
    }

    fn on_stop(&mut self, session: &mut Bench, stop: Stop, host: &mut dyn Host) -> Option<VirtualNanos> {
        self.take_resets(session, host);
        self.look(session, stop.at.0, stop.instruction_count);
        if stop.at.0 >= self.until {
            // Here it is where the bench wanted it.
            if std::mem::take(&mut self.runs) && self.done.send(stop).is_err() {
                return None;
            }
            while !self.runs {
                match self.ask.recv() {
                    Ok(Ask::RunTo(until)) if until > stop.at.0 => (self.until, self.runs) = (until, true),
                    Ok(Ask::RunTo(_)) => {}
                    Ok(Ask::Act(action)) => {
                        action(session, host, stop);
                        self.refresh(session);
                    }
                    Ok(Ask::End) | Err(_) => return None,
                }
                if !self.runs && self.done.send(stop).is_err() {
                    return None;
                }
            }
        }
        Some(VirtualNanos(self.until))
    }
}

/// A board that runs.
pub struct Sim {
    ask: SyncSender<Ask>,
    done: Receiver<Stop>,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<Result<(), String>>>,
    now: u64,
    /// Instructions up to the last report.
    counted: u64,
    stack: Range<u64>,
    /// The deepest address of the stack that was touched.
    deepest: u64,
}

impl Sim {
    /// Powers the board up. `ram` lies between the statics and the top of the stack.
    pub fn start(image: Vec<u8>, levels: Levels, ram: Range<u64>) -> Result<Self, String> {
        let shared = Arc::new(Mutex::new(Shared {
            levels,
            stuck: None,
            silent: false,
            position: 0,
            sequence: 0,
            previous: None,
            began: 0,
            pending: 0,
            outputs: [false; 4],
            opened: 0,
            resets: 0,
            text: 0,
            link: 0,
            bus: can::Bus::default(),
            happened: Happened::default(),
        }));
        let (ask, asked) = sync_channel(1);
        let (finished, done) = sync_channel(1);
        let driver = Emulator { shared: shared.clone(), ask: asked, done: finished, until: 0, runs: false };
        let thread = std::thread::spawn(move || run(image, driver));
        let stack = ram.start.max(ram.end - STACK_DEPTH)..ram.end;
        let mut sim = Self { ask, done, shared, thread: Some(thread), now: 1, counted: 0, deepest: stack.end, stack };
        sim.run_to(1)?;
        let painted = sim.stack.clone();
        sim.act(move |_, host, _| {
            for address in painted.step_by(4) {
                let _ = host.write(address, Width::W32, PAINT);
            }
        })?;
        Ok(sim)
    }
    fn answer(&mut self) -> Result<Stop, String> {
        match self.done.recv() {
            Ok(stop) => Ok(stop),
            Err(_) => Err(match self.thread.take().map(JoinHandle::join) {
                Some(Ok(Err(error))) => error,
                _ => "the emulator ended".into(),
            }),
        }
    }
    fn run_to(&mut self, until: u64) -> Result<Stop, String> {
        self.ask.send(Ask::RunTo(until)).map_err(|error| error.to_string())?;
        self.answer()
    }
    fn act(&mut self, action: impl FnOnce(&mut Bench, &mut dyn Host, Stop) + Send + 'static) -> Result<Stop, String> {
        self.ask.send(Ask::Act(Box::new(action))).map_err(|error| error.to_string())?;
        self.answer()
    }
    pub fn show(&mut self, levels: Levels) -> Result<(), String> {
        let (charger, key) = (levels.charger, levels.key);
        lock(&self.shared).levels = levels;
        self.act(move |session, _, stop| {
            drive(session, stop.at, PORT_C, CHARGER, charger);
            drive(session, stop.at, PORT_A, KEY, key);
        })
        .map(|_| ())
    }
    /// Bytes to USART1, one after the other at its speed. What was not heard of the bytes before is lost.
    pub fn link(&mut self, bytes: &[u8]) -> Result<(), String> {
        let shared = self.shared.clone();
        let words: Vec<u16> = bytes.iter().copied().map(u16::from).collect();
        self.act(move |session, _, _| {
            let mut shared = lock(&shared);
            take_link(session, &mut shared);
            // A new far end, that has heard nothing yet.
            session.board_mut().mcu.usart[LINK].drive_rx(words);
            shared.link = 0;
        })
        .map(|_| ())
    }
    /// A frame of another node: whether the firmware's filter let it in.
    pub fn can(&mut self, frame: CanFrame) -> Result<bool, String> {
        let shared = self.shared.clone();
        let (send, receive) = sync_channel(1);
        self.act(move |session, host, stop| {
            let heard = lock(&shared).bus.arrives(session, host, stop.at.0, &frame);
            let _ = send.send(heard);
        })?;
        receive.recv().map_err(|error| error.to_string())
    }
    /// Lets time pass; tells what happened since the last call.
    pub fn run(&mut self, nanoseconds: u64) -> Result<Happened, String> {
        self.now += nanoseconds;
        let stop = self.run_to(self.now)?;
        let (shared, stack, from) = (self.shared.clone(), self.stack.clone(), self.deepest);
        let (send, receive) = sync_channel(1);
        self.act(move |session, host, stop| {
            let mut shared = lock(&shared);
            if let Some(peer) = session.board().mcu.usart[TEXT].peer() {
                let new = &peer.received()[shared.text..];
                shared.happened.text.extend(new.iter().map(|word| char::from(*word as u8)));
                shared.text += new.len();
            }
            take_link(session, &mut shared);
            let sent = shared.bus.accessed(session, host, stop.at.0, None);
            shared.happened.can.extend(sent);
            shared.happened.can_rate = shared.bus.rate();
            let mut deepest = from;
            let mut address = from;
            while address > stack.start && deepest - address < STACK_GAP {
                address -= 4;
                if host.read(address, Width::W32).is_ok_and(|word| word != PAINT) {
                    deepest = address;
                }
            }
            let _ = send.send(deepest);
        })?;
        self.deepest = receive.recv().unwrap_or(self.deepest);
        let mut happened = std::mem::take(&mut lock(&self.shared).happened);
        happened.now = self.now;
        happened.awake = stop.instruction_count - self.counted;
        happened.stack = self.stack.end - self.deepest;
        self.counted = stop.instruction_count;
        Ok(happened)
    }
    /// The comparator's output.
    pub fn comparator(&mut self, high: bool) -> Result<Stop, String> {
        let shared = self.shared.clone();
        self.act(move |session, host, stop| {
            drive(session, stop.at, PORT_B, COMPARATOR, high);
            if high && exti::edge(session, host) {
                lock(&shared).pending |= exti::LINE;
            }
        })
    }
    /// Raises the comparator's output: how many instructions later both gates were low.
    pub fn short_circuit(&mut self) -> Result<Option<u64>, String> {
        const ENOUGH: u64 = 20_000;
        let edge = self.comparator(true)?;
        if lock(&self.shared).outputs[..2] == [false, false] {
            return Ok(Some(0));
        }
        self.now += ENOUGH;
        self.run_to(self.now)?;
        let shared = lock(&self.shared);
        let open = shared.outputs[..2] == [false, false];
        Ok(open.then(|| shared.opened - edge.instruction_count))
    }
    pub fn fault(&mut self, fault: Fault) -> Result<(), String> {
        let mut shared = lock(&self.shared);
        shared.silent = fault == Fault::Silent;
        shared.stuck = None;
        match fault {
            Fault::Stuck(part) => shared.stuck = Some((part * f64::from(REFERENCE_MV)).round() as u32),
            Fault::Stalled => {
                drop(shared);
                // The timer that wakes the main loop stands still.
                return self
                    .act(|session, host, stop| {
                        let halt = Access::new(AccessKind::Write, TIM2_CONTROL, Width::W32, 0);
                        session.access(halt.at(stop.instruction_count, stop.at), host);
                    })
                    .map(|_| ());
            }
            _ => {}
        }
        drop(shared);
        self.act(|_, _, _| ()).map(|_| ())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.ask.send(Ask::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(image: Vec<u8>, driver: Emulator) -> Result<(), String> {
    let board = Stm32f427Bench::new().map_err(|error| error.to_string())?;
    let mut session = Session::new(Box::new(board), 0, VirtualNanos(1)).map_err(|error| error.to_string())?;
    // The pull-downs of the gates and of the power hold; comparator and charger input at rest.
    let held_low = OUTPUTS.map(|(port, pin, _)| (port, pin));
    for (port, pin) in held_low.into_iter().chain([(PORT_B, COMPARATOR), (PORT_C, CHARGER)]) {
        drive(&mut session, VirtualNanos(0), port, pin, false);
    }
    let images = [Image::new(Path::new("firmware"), image, None).map_err(|error| error.to_string())?];
    emulator::run(session, &Start::new(&images), driver).map(|_| ()).map_err(|error| error.to_string())
}
