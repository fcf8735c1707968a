//! A firmware on an emulated board, with the simulated pack of `bms-host` as its analog world, and the checks of what it
//! does.
//!
//! ```text
//! Plant ─► Seen (volts, amperes, degrees) ─ Emulator::show ─► codes at the chip's pins ─► the real release ELF
//!   ▲                                                                                        │ edges of the outputs
//!   └───────────────────────────── Bench::run, in steps of 10 ms ◄───────────────────────────┘
//! ```

pub mod bridge;
pub mod checks;
pub mod faults;
mod memory;
mod owner;
mod program;
mod report;
mod world;

pub use program::main;
pub use report::{Report, Row};
pub use world::{Seen, World, thermistor};

use bms_core::prelude::*;

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// How often the pack is carried on, in ms.
const PLANT_STEP: u64 = 10;

/// What a board's program tells of itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub chip: &'static str,
    pub firmware: &'static str,
    pub emulator: &'static str,
    /// Cells that the board measures.
    pub cells: u8,
    /// The sample period, ms.
    pub period: i32,
    /// The watchdog's time, ms.
    pub watchdog: f64,
    /// Most cycles from the comparator's edge to both gates low.
    pub short_circuit_cycles: u64,
    /// The clock, MHz.
    pub megahertz: f64,
    /// The firmware's own configuration.
    pub configuration: fn() -> Config,
}

/// What has a pin of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    Charge,
    Discharge,
    Heater,
    PowerHold,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// 0 is cell 1.
    Cell(u8),
    Current,
    Battery(u8),
    Mos,
}

/// An output that changed.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Nanoseconds since power-up.
    pub at: u64,
    pub output: Output,
    pub high: bool,
}

/// A data frame on the CAN bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanFrame {
    /// The end of it, in nanoseconds since power-up.
    pub at: u64,
    pub id: u32,
    pub extended: bool,
    pub data: Vec<u8>,
}

/// Broken hardware.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// The converter shows the same whatever it is connected to, as a part of its range.
    Stuck(f64),
    /// The converter never becomes ready.
    Silent,
    /// The main loop hangs; interrupts go on.
    Stalled,
}

/// What happened while time passed.
#[derive(Clone, Debug, Default)]
pub struct Happened {
    pub now: u64,
    pub edges: Vec<Edge>,
    pub text: String,
    /// What came out of the UART of the tools.
    pub link: Vec<u8>,
    /// What the board sent on its CAN bus, and the bit rate that it set, 0 without one.
    pub can: Vec<CanFrame>,
    pub can_rate: u64,
    /// What was converted when.
    pub reads: Vec<(u64, Source)>,
    /// Resets by the watchdog.
    pub resets: Vec<u64>,
    /// Cycles that the core did not sleep, and those of them in which it waited for the converter.
    pub awake: u64,
    pub converting: u64,
    /// Deepest stack since power-up, in bytes.
    pub stack: u64,
    /// What was done to the flash.
    pub flash: Flash,
}

/// What the firmware did to its flash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flash {
    /// Sectors erased, pages programmed, and sectors erased while a gate was closed.
    pub erases: u64,
    pub programs: u64,
    pub erases_closed: u64,
    /// The longest stall with a gate closed, and with both open, ns.
    pub stall_closed: u64,
    pub stall_open: u64,
}

impl Flash {
    fn add(&mut self, more: Self) {
        self.erases += more.erases;
        self.programs += more.programs;
        self.erases_closed += more.erases_closed;
        self.stall_closed = self.stall_closed.max(more.stall_closed);
        self.stall_open = self.stall_open.max(more.stall_open);
    }
}

/// An emulated board.
pub trait Emulator {
    fn about(&self) -> About;
    /// Power comes on, with these parameters in the firmware's block.
    fn power_up(&mut self, parameters: &[(ParameterId, i32)]) -> Result<(), String>;
    /// Puts what the sensors see at the chip's pins.
    fn show(&mut self, seen: &Seen) -> Result<(), String>;
    /// Lets time pass, in ns.
    fn run(&mut self, nanoseconds: u64) -> Result<Happened, String>;
    /// Lets bytes come in at the UART of the tools, one after the other at its speed.
    fn link(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Err("this firmware has no such UART".into())
    }
    /// A frame of another node on the CAN bus: whether the board's filter let it in.
    fn can(&mut self, _frame: CanFrame) -> Result<bool, String> {
        Err("this firmware has no CAN".into())
    }
    /// Raises the comparator's output; cycles until both gates were low, `None` if they never were.
    fn short_circuit(&mut self) -> Result<Option<u64>, String>;
    /// The comparator's output falls.
    fn short_circuit_over(&mut self) -> Result<(), String>;
    /// Breaks something.
    fn fault(&mut self, fault: Fault) -> Result<(), String>;
    /// Whether the flash can be written, and stays as it is when power goes.
    fn keeps_flash(&self) -> bool {
        false
    }
    /// Power goes and comes again.
    fn power_cycle(&mut self) -> Result<(), String> {
        Err("this emulator keeps no flash".into())
    }
    /// Bits flip all over what the firmware has stored.
    fn rot(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// The emulated board in its world, with all that was seen since power-up.
pub struct Bench<'a> {
    pub emulator: &'a mut dyn Emulator,
    pub about: About,
    pub world: World,
    pub now: u64,
    pub edges: Vec<Edge>,
    pub text: String,
    pub link: Vec<u8>,
    pub can: Vec<CanFrame>,
    pub can_rate: u64,
    pub reads: Vec<(u64, Source)>,
    pub resets: Vec<u64>,
    pub awake: u64,
    pub converting: u64,
    pub stack: u64,
    pub flash: Flash,
    levels: [bool; 4],
    config: Config,
}

impl<'a> Bench<'a> {
    /// Power comes on.
    pub fn power_up(emulator: &'a mut dyn Emulator, parameters: &[(ParameterId, i32)]) -> Result<Self, String> {
        let about = emulator.about();
        let mut world = World::new(about.cells)?;
        emulator.fault(Fault::None)?;
        emulator.show(&world.seen())?;
        emulator.power_up(parameters)?;
        let config = parameters.iter().fold((about.configuration)(), |config, (id, value)| config.with(*id, *value));
        Ok(Self {
            emulator,
            about,
            world,
            now: 0,
            edges: vec![],
            text: String::new(),
            link: vec![],
            can: vec![],
            can_rate: 0,
            reads: vec![],
            resets: vec![],
            awake: 0,
            converting: 0,
            stack: 0,
            flash: Flash::default(),
            levels: [false; 4],
            config,
        })
    }
    /// Power comes on, and both gates close.
    pub fn enabled(emulator: &'a mut dyn Emulator, parameters: &[(ParameterId, i32)]) -> Result<Self, String> {
        let mut bench = Self::power_up(emulator, parameters)?;
        bench.run(700)?;
        match bench.gates() {
            (true, true) => Ok(bench),
            gates => Err(format!("not enabled after 700 ms: {gates:?}; {}", bench.last_line())),
        }
    }
    /// A parameter as the firmware has it, in ms where it is a time.
    pub fn get(&self, parameter: ParameterId) -> i32 {
        self.config.get(parameter)
    }
    /// Lets time pass, in ms.
    pub fn run(&mut self, milliseconds: u64) -> Result<(), String> {
        let mut rest = milliseconds;
        while rest > 0 {
            let step = rest.min(PLANT_STEP);
            let (charge, discharge) = self.gates();
            self.emulator.show(&self.world.advance(step, charge, discharge, self.on(Output::Heater)))?;
            let happened = self.emulator.run(step * MS)?;
            self.book(happened);
            rest -= step;
        }
        Ok(())
    }
    fn book(&mut self, happened: Happened) {
        self.now = happened.now;
        for edge in &happened.edges {
            self.levels[edge.output as usize] = edge.high;
        }
        self.edges.extend(happened.edges);
        self.text.push_str(&happened.text);
        self.link.extend(happened.link);
        self.can.extend(happened.can);
        self.can_rate = happened.can_rate;
        self.reads.extend(happened.reads);
        self.resets.extend(happened.resets);
        self.awake += happened.awake;
        self.converting += happened.converting;
        self.stack = self.stack.max(happened.stack);
        self.flash.add(happened.flash);
    }
    /// Changes the world, at once.
    pub fn change(&mut self, change: impl FnOnce(&mut World)) -> Result<(), String> {
        change(&mut self.world);
        let seen = self.world.seen();
        self.emulator.show(&seen)
    }
    pub fn on(&self, output: Output) -> bool {
        self.levels[output as usize]
    }
    pub fn gates(&self) -> (bool, bool) {
        (self.on(Output::Charge), self.on(Output::Discharge))
    }
    /// When the gates first stood so, from `since` on.
    pub fn gates_were(&self, since: u64, wanted: (bool, bool)) -> Option<u64> {
        let mut gates = (false, false);
        for edge in &self.edges {
            match edge.output {
                Output::Charge => gates.0 = edge.high,
                Output::Discharge => gates.1 = edge.high,
                _ => continue,
            }
            if edge.at >= since && gates == wanted {
                return Some(edge.at);
            }
        }
        None
    }
    /// When a source was first converted, from `since` on.
    pub fn read(&self, source: Source, since: u64) -> Option<u64> {
        self.reads.iter().find(|(at, what)| *at >= since && *what == source).map(|(at, _)| *at)
    }
    /// When the scans of the cells began.
    pub fn scans(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.reads.iter().filter(|(_, what)| *what == Source::Cell(0)).map(|(at, _)| *at)
    }
    /// Changes the world, waits, and tells how long after the first reading of `source` the gates stood as wanted, in ms.
    pub fn after(
        &mut self,
        source: Source,
        wanted: (bool, bool),
        at_most: i32,
        change: impl FnOnce(&mut World),
    ) -> Result<Option<f64>, String> {
        let since = self.now;
        self.change(change)?;
        self.run(at_most as u64 + 400)?;
        let times = self.read(source, since).zip(self.gates_were(since, wanted));
        Ok(times.map(|(seen, done)| (done as f64 - seen as f64) / MS as f64))
    }
    /// A field of the last whole line on the UART; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.last_line().split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
    }
    /// The same as a number.
    pub fn number(&self, name: &str) -> f64 {
        self.field(name).parse().unwrap_or(f64::NAN)
    }
    /// The last whole line on the UART.
    pub fn last_line(&self) -> &str {
        let whole = self.text.rfind("\r\n").map_or("", |end| &self.text[..end]);
        whole.rsplit("\r\n").next().unwrap_or("")
    }
}
