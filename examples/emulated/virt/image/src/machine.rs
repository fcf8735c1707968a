//! The machine: time, interrupts, pins and converter. The latter two are memory; every change of a pin and every conversion
//! is written down, and whenever its time is up the machine stands still, tells them, and is told what the sensors see.
//!
//! Out: words of `[time in 100 ns, kind and number, value]`, the last one of kind `DONE`. In: [`WORDS`] words.

use core::cell::RefCell;
use core::convert::Infallible;

use bms_core::port::{Clock, ErrorKind};
use bms_core::prelude::*;
use bms_hal::{AdcSource, RetainedSnapshot};
use critical_section::Mutex;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use riscv::interrupt::Interrupt;
use riscv::register::{mcycle, mie, mstatus};
use riscv_rt::core_interrupt;
use semihosting::fs::File;
use semihosting::io::{Read, Write};

pub const CHARGE: u32 = 0;
pub const DISCHARGE: u32 = 1;
pub const POWER_HOLD: u32 = 3;
const GATES: u32 = 1 << CHARGE | 1 << DISCHARGE;

// Kinds of what is told.
const EDGE: u32 = 1 << 24;
const CONVERTED: u32 = 2 << 24;
const TEXT: u32 = 3 << 24;
const RESET: u32 = 4 << 24;
const STARTED: u32 = 5 << 24;
const DONE: u32 = 6 << 24;

/// What is told by the outside: how long to run (100 ns), flags, the code of a stuck converter, and the codes of the multiplexer's
/// positions and of the converter's channels 1 to 4.
const WORDS: usize = 3 + POSITIONS + 4;
const POSITIONS: usize = 16;
// Flags.
const COMPARATOR_HIGH: u32 = 1;
const COMPARATOR_RISES: u32 = 2;
const CHARGER_PLUGGED: u32 = 4;
const STALLED: u32 = 8;
const SILENT: u32 = 16;
const STUCK: u32 = 32;

const MICROSECOND: u64 = 10;
const MILLISECOND: u64 = 10_000;
const CONVERSION: u64 = 20 * MICROSECOND;
const SOFTWARE: *mut u32 = 0x0200_0000 as *mut u32;
const COMPARE: *mut u32 = 0x0200_4000 as *mut u32;
const TIME: *const u32 = 0x0200_bff8 as *const u32;
const FINISHER: *mut u32 = 0x0010_0000 as *mut u32;
const FINISHER_RESET: u32 = 0x7777;
/// Beyond the image, where a reset loads nothing.
const RETAINED: *const RetainedSnapshot = 0x80f0_0000 as *const RetainedSnapshot;
const BITTEN: *mut u32 = 0x80e0_0000 as *mut u32;
const BITE: u32 = 0x0062_6974;

struct State {
    told: [[u32; 3]; 4_096],
    count: usize,
    world: [u32; WORDS],
    levels: u32,
    select: u8,
    converted: u8,
    tick: u64,
    exchange: u64,
    fed: Option<(u64, u64)>,
    /// Cycles at the comparator's edge, and from there to both gates low.
    edge: Option<usize>,
    cycles: u32,
    files: Option<(File, File)>,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State {
    told: [[0; 3]; 4_096],
    count: 0,
    world: [0; WORDS],
    levels: 0,
    select: 0,
    converted: u8::MAX,
    tick: 0,
    exchange: 0,
    fed: None,
    edge: None,
    cycles: u32::MAX,
    files: None,
}));

fn with<T>(act: impl FnOnce(&mut State) -> T) -> T {
    critical_section::with(|section| act(&mut STATE.borrow_ref_mut(section)))
}

impl State {
    fn tell(&mut self, what: u32, value: u32) {
        let Some(slot) = self.told.get_mut(self.count) else { panic!("too much to tell") };
        *slot = [time() as u32, what, value];
        self.count += 1;
    }
    fn flag(&self, flag: u32) -> bool {
        self.world[1] & flag != 0
    }
    fn set(&mut self, output: u32, high: bool) {
        let levels = self.levels & !(1 << output) | u32::from(high) << output;
        if levels != self.levels {
            self.levels = levels;
            self.tell(EDGE | output, high.into());
            if levels & GATES == 0
                && let Some(edge) = self.edge.take()
            {
                self.cycles = mcycle::read().wrapping_sub(edge) as u32;
            }
        }
    }
    fn flush(&mut self) {
        let Some((_, out)) = &mut self.files else { return };
        for words in &self.told[..self.count] {
            let mut bytes = [0; 12];
            bytes.chunks_exact_mut(4).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
            if out.write_all(&bytes).is_err() {
                panic!("nobody listens");
            }
        }
        self.count = 0;
    }
    /// The machine stands still meanwhile.
    fn exchange(&mut self) {
        let cycles = core::mem::replace(&mut self.cycles, u32::MAX);
        self.tell(DONE, cycles);
        self.flush();
        let Some((from, _)) = &mut self.files else { return };
        let mut bytes = [0; WORDS * 4];
        if from.read_exact(&mut bytes).is_err() {
            panic!("nobody tells");
        }
        for (word, bytes) in self.world.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        self.exchange = time() + u64::from(self.world[0]);
        if self.flag(COMPARATOR_RISES) {
            self.edge = Some(mcycle::read());
            // SAFETY: a register of the machine.
            unsafe { SOFTWARE.write_volatile(1) };
        }
    }
    /// The watchdog: the reset leaves every pin low, and the machine begins anew.
    fn bite(&mut self) -> ! {
        for output in 0..4 {
            self.set(output, false);
        }
        self.tell(RESET, 0);
        self.flush();
        // SAFETY: memory that nothing else uses, and a register of the machine.
        unsafe {
            BITTEN.write_volatile(BITE);
            FINISHER.write_volatile(FINISHER_RESET);
        }
        loop {}
    }
}

/// Time since the start, 100 ns.
fn time() -> u64 {
    loop {
        // SAFETY: registers of the machine's timer.
        let (high, low, again) =
            unsafe { (TIME.add(1).read_volatile(), TIME.read_volatile(), TIME.add(1).read_volatile()) };
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

fn wait(length: u64) {
    let end = time() + length;
    while time() < end {}
}

/// The machine has just started; why.
pub fn start() -> ResetCause {
    let from = File::open(c"/dev/stdin");
    let to = File::create(c"/dev/stdout");
    // SAFETY: memory that nothing else uses.
    let bitten = unsafe { BITTEN.read_volatile() == BITE };
    // SAFETY: as above.
    unsafe { BITTEN.write_volatile(0) };
    with(|state| {
        state.files = from.ok().zip(to.ok());
        state.tell(STARTED, 0);
        state.exchange();
    });
    if bitten { ResetCause::Watchdog } else { ResetCause::PowerOn }
}

/// Memory that a reset leaves alone.
pub fn retained() -> &'static RetainedSnapshot {
    // SAFETY: aligned memory of the machine that nothing else uses; any content is legal.
    unsafe { &*RETAINED }
}

pub fn start_interrupts() {
    with(|state| state.tick = time() + MILLISECOND);
    on_timer();
    // SAFETY: the handlers are in place.
    unsafe {
        mie::set_msoft();
        mie::set_mtimer();
        mstatus::set_mie();
    }
}

#[core_interrupt(Interrupt::MachineTimer)]
fn timer() {
    on_timer();
}
fn on_timer() {
    let next = with(|state| {
        if time() >= state.exchange {
            state.exchange();
        }
        let now = time();
        if now >= state.tick {
            state.tick += MILLISECOND;
            if state.fed.is_some_and(|(fed, length)| now >= fed + length) {
                state.bite();
            }
        }
        state.tick.min(state.exchange)
    });
    // SAFETY: registers of the machine's timer; no early interrupt in between.
    unsafe {
        COMPARE.add(1).write_volatile(u32::MAX);
        COMPARE.write_volatile(next as u32);
        COMPARE.add(1).write_volatile((next >> 32) as u32);
    }
}

#[core_interrupt(Interrupt::MachineSoft)]
fn software() {
    // SAFETY: a register of the machine.
    unsafe { SOFTWARE.write_volatile(0) };
    crate::short_circuit();
}

/// A main loop that is told to hang does so here; interrupts go on.
pub fn wait_for_interrupt() {
    if with(|state| state.flag(STALLED)) {
        loop {}
    }
    riscv::asm::wfi();
}

pub fn halt() -> ! {
    loop {}
}

pub fn uart(bytes: &[u8]) {
    for part in bytes.chunks(4) {
        let value = part.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        with(|state| state.tell(TEXT | part.len() as u32, value));
    }
}

#[derive(Clone, Copy)]
pub struct MachineClock;
impl Clock for MachineClock {
    fn now(&self) -> Instant {
        Instant::from_millis(time() / MILLISECOND)
    }
}

pub struct Delay;
impl DelayNs for Delay {
    fn delay_ns(&mut self, nanoseconds: u32) {
        wait(u64::from(nanoseconds).div_ceil(100));
    }
}

/// A watchdog that resets the machine when its time is over.
pub fn start_watchdog(length: Duration) -> impl bms_hal::Watchdog {
    let length = u64::from(length.as_millis()) * MILLISECOND;
    let feed = move || with(|state| state.fed = Some((time(), length)));
    feed();
    feed
}

/// An output pin.
pub struct Output(u32);
impl Output {
    pub fn low(output: u32) -> Self {
        with(|state| state.set(output, false));
        Self(output)
    }
    pub fn high(output: u32) -> Self {
        with(|state| state.set(output, true));
        Self(output)
    }
}
impl ErrorType for Output {
    type Error = Infallible;
}
impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), Infallible> {
        with(|state| state.set(self.0, false));
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        with(|state| state.set(self.0, true));
        Ok(())
    }
}

/// A select line of the multiplexer.
pub struct Select(u8);
pub fn select_lines() -> [Select; 4] {
    [Select(0), Select(1), Select(2), Select(3)]
}
impl ErrorType for Select {
    type Error = Infallible;
}
impl OutputPin for Select {
    fn set_low(&mut self) -> Result<(), Infallible> {
        with(|state| state.select &= !(1 << self.0));
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        with(|state| state.select |= 1 << self.0);
        Ok(())
    }
}

/// An input pin: a flag of what is told.
pub struct Input(u32);
pub const COMPARATOR: Input = Input(COMPARATOR_HIGH);
pub const CHARGER: Input = Input(CHARGER_PLUGGED);
impl ErrorType for Input {
    type Error = Infallible;
}
impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(with(|state| state.flag(self.0)))
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}

/// The converter. As on the chip, a reading waits for its end, and one that never ends stops the firmware.
pub struct Converter;
impl AdcSource for Converter {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        let source = with(|state| if channel == 0 { state.select } else { POSITIONS as u8 - 1 + channel });
        with(|state| {
            if core::mem::replace(&mut state.converted, source) != source {
                state.tell(CONVERTED | u32::from(source), 0);
            }
        });
        while with(|state| state.flag(SILENT)) {}
        wait(CONVERSION);
        with(|state| {
            let code = if state.flag(STUCK) {
                state.world[2]
            } else {
                state.world.get(3 + usize::from(source)).copied().ok_or(ErrorKind::Other)?
            };
            Ok(code as u16)
        })
    }
}
