//! A front-end chip behind I²C, sketched: do the ports fit the chips that most 16-cell boards use?
//!
//! The chip is made up, in the manner of its kind: cell voltages in mV, current as a signed count with the *discharging*
//! direction positive, temperatures in 0.1 K, switch drivers with a short-circuit latch of their own, bleed resistors
//! with a timer, and a checksum (PEC) on every transfer. One adapter, a copyable handle to the shared bus, is all ports at
//! once; decoding is shared by its blocking and its async half.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

#[cfg(feature = "async")]
mod awaited;

use core::cell::{Cell, RefCell};

use bms_core::balancing::{BalancerCapabilities, BalancerKind, Plan};
use bms_core::port::{self, Balancer, CellSense, Clock, ErrorKind, ErrorType, Switches, compose::Senses};
use bms_core::prelude::*;

const PACK: ValidConfig = const { Config::lifepo4(8).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated() };
const CELLS: usize = 8;

/// The register map.
mod register {
    pub const STATUS: u8 = 0x00;
    pub const CELLS: u8 = 0x10;
    pub const CURRENT: u8 = 0x40;
    pub const TEMPERATURES: u8 = 0x50;
    pub const SWITCHES: u8 = 0x60;
    pub const BLEED: u8 = 0x70;
    /// In STATUS.
    pub const SHORT_LATCHED: u8 = 1;
    /// In SWITCHES.
    pub const CHARGE: u8 = 1;
    pub const DISCHARGE: u8 = 2;
    pub const CLEAR_LATCH: u8 = 4;
}

/// CRC-8, polynomial x⁸ + x² + x + 1, as SMBus's PEC.
fn pec(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |value, _| if value & 0x80 == 0 { value << 1 } else { (value << 1) ^ 0x07 })
    })
}

/// What the bus driver of a HAL reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BusFault {
    NoAcknowledge,
    Stuck,
}

/// The error of the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChipError {
    Bus(BusFault),
    /// The checksum does not fit.
    Checksum,
    /// The converter is at the end of its range.
    Saturated,
    /// The chip did not take what was written.
    Ignored,
    /// The chip can only bleed.
    Unsupported,
}

impl port::Error for ChipError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Bus(BusFault::NoAcknowledge) => ErrorKind::Bus,
            Self::Bus(BusFault::Stuck) => ErrorKind::Timeout,
            Self::Checksum | Self::Saturated => ErrorKind::Integrity,
            Self::Ignored | Self::Unsupported => ErrorKind::Other,
        }
    }
}

/// The chip, and the pack behind it, in virtual time.
struct Chip {
    now: Cell<u64>,
    cells_mv: Cell<[u16; CELLS]>,
    /// In 10 mA, discharging positive.
    current: Cell<i16>,
    /// In 0.1 K; 0 is an open sensor.
    temperatures: Cell<[u16; 3]>,
    switches: Cell<u8>,
    short: Cell<bool>,
    latched: Cell<bool>,
    bleed: Cell<(u32, u64)>,
    /// Transfers of this register come damaged.
    damaged: Cell<Option<u8>>,
    fault: Cell<Option<BusFault>>,
    transfers: Cell<u32>,
}

impl Chip {
    fn new() -> Self {
        Self {
            now: Cell::new(1_000),
            cells_mv: Cell::new([3_300; CELLS]),
            current: Cell::new(0),
            temperatures: Cell::new([2_982, 2_992, 3_032]),
            switches: Cell::new(0),
            short: Cell::new(false),
            latched: Cell::new(false),
            bleed: Cell::new((0, 0)),
            damaged: Cell::new(None),
            fault: Cell::new(None),
            transfers: Cell::new(0),
        }
    }
    /// The comparator acts without any bus.
    fn set_short(&self, short: bool) {
        self.short.set(short);
        if short {
            self.latched.set(true);
            self.switches.set(0);
        }
    }
    fn bleeding(&self) -> u32 {
        let (mask, until) = self.bleed.get();
        if self.now.get() < until { mask } else { 0 }
    }
    fn register(&self, register: u8) -> Vec<u8> {
        match register {
            register::STATUS => vec![u8::from(self.latched.get()) * register::SHORT_LATCHED],
            register::CELLS => self.cells_mv.get().iter().flat_map(|value| value.to_le_bytes()).collect(),
            register::CURRENT => self.current.get().to_le_bytes().to_vec(),
            register::TEMPERATURES => self.temperatures.get().iter().flat_map(|value| value.to_le_bytes()).collect(),
            register::SWITCHES => vec![self.switches.get()],
            _ => Vec::new(),
        }
    }
}

/// A bus as a HAL gives it, blocking.
impl Chip {
    fn read(&self, register: u8, answer: &mut [u8]) -> Result<(), BusFault> {
        self.transfers.set(self.transfers.get() + 1);
        if let Some(fault) = self.fault.get() {
            return Err(fault);
        }
        let mut bytes = self.register(register);
        bytes.push(pec(&bytes));
        answer.copy_from_slice(&bytes);
        if self.damaged.get() == Some(register) {
            answer[0] ^= 0x10;
        }
        Ok(())
    }
    fn write(&self, register: u8, data: &[u8]) -> Result<(), BusFault> {
        self.transfers.set(self.transfers.get() + 1);
        if let Some(fault) = self.fault.get() {
            return Err(fault);
        }
        let (sum, payload) = data.split_last().unwrap();
        if self.damaged.get() == Some(register) || *sum != pec(payload) {
            return Ok(());
        }
        match (register, payload) {
            (register::SWITCHES, [bits]) => {
                if bits & register::CLEAR_LATCH != 0 && !self.short.get() {
                    self.latched.set(false);
                }
                let wanted = bits & (register::CHARGE | register::DISCHARGE);
                self.switches.set(if self.latched.get() { 0 } else { wanted });
            }
            (register::BLEED, [low, high, seconds]) => {
                let until = self.now.get() + u64::from(*seconds) * 1_000;
                self.bleed.set((u32::from(u16::from_le_bytes([*low, *high])), until));
            }
            _ => {}
        }
        Ok(())
    }
}

/// From bytes to readings, and back: no bus in it, so both halves of the adapter share it.
mod decode {
    use super::{CELLS, ChipError, register};
    use bms_core::prelude::*;

    pub fn checked(answer: &[u8]) -> Result<&[u8], ChipError> {
        let (sum, payload) = answer.split_last().ok_or(ChipError::Checksum)?;
        if *sum == super::pec(payload) { Ok(payload) } else { Err(ChipError::Checksum) }
    }
    fn words(payload: &[u8]) -> impl Iterator<Item = u16> {
        payload.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
    }
    pub fn cells(answer: &[u8], cells: &mut Cells<24>) -> Result<(), ChipError> {
        *cells = Cells::new(CELLS as u8);
        for (index, millivolts) in words(checked(answer)?).enumerate() {
            cells.set_tenths(index, millivolts.saturating_mul(10));
        }
        Ok(())
    }
    pub fn current(answer: &[u8]) -> Result<Current, ChipError> {
        let count = words(checked(answer)?).next().unwrap_or_default() as i16;
        match count {
            i16::MIN | i16::MAX => Err(ChipError::Saturated),
            // The chip counts discharging as positive.
            count => Ok(ma(i32::from(count) * -10)),
        }
    }
    pub fn temperatures(answer: &[u8]) -> Result<Temperatures, ChipError> {
        let reading = |kelvin: Option<u16>| match kelvin {
            None => Reading::NotMeasured,
            Some(0) => Reading::Invalid,
            Some(tenths) => Reading::Valid(Temperature::from_tenths(i32::from(tenths) - 2_732)),
        };
        let mut values = words(checked(answer)?);
        let mut temperatures = Temperatures::default();
        temperatures.battery[0] = reading(values.next());
        temperatures.battery[1] = reading(values.next());
        temperatures.mos = reading(values.next());
        Ok(temperatures)
    }
    pub fn switches(charge: Switch, discharge: Switch, clear_latch: bool) -> [u8; 2] {
        let mut bits = 0;
        for (on, bit) in [
            (charge.is_closed(), register::CHARGE),
            (discharge.is_closed(), register::DISCHARGE),
            (clear_latch, register::CLEAR_LATCH),
        ] {
            bits |= if on { bit } else { 0 };
        }
        [bits, super::pec(&[bits])]
    }
    /// The bleed register for a plan; the chip counts whole seconds, so it is rounded down: never longer than allowed.
    pub fn bleed(plan: &Plan, now: Instant) -> ([u8; 4], Result<(), ChipError>) {
        let (mask, seconds, result) = match *plan {
            Plan::Idle => (0, 0, Ok(())),
            Plan::Bleed { mask, until } => (mask as u16, (until.since(now).as_millis() / 1_000).min(255) as u8, Ok(())),
            _ => (0, 0, Err(ChipError::Unsupported)),
        };
        let [low, high] = mask.to_le_bytes();
        ([low, high, seconds, super::pec(&[low, high, seconds])], result)
    }
}

/// The adapter: a handle to the shared bus, every port in one.
#[derive(Clone, Copy)]
struct FrontEnd<'a> {
    bus: &'a RefCell<Chip>,
}

impl<'a> FrontEnd<'a> {
    /// Opens both switches and stops bleeding **before** anything else can fail.
    fn new(bus: &'a RefCell<Chip>) -> Result<Self, ChipError> {
        let this = Self { bus };
        this.write(register::SWITCHES, &decode::switches(Switch::Open, Switch::Open, false))?;
        this.write(register::BLEED, &decode::bleed(&Plan::Idle, Instant::ZERO).0)?;
        Ok(this)
    }
    fn read<const L: usize>(&self, register: u8) -> Result<[u8; L], ChipError> {
        let mut answer = [0; L];
        self.bus.borrow().read(register, &mut answer).map_err(ChipError::Bus)?;
        Ok(answer)
    }
    fn write(&self, register: u8, data: &[u8]) -> Result<(), ChipError> {
        self.bus.borrow().write(register, data).map_err(ChipError::Bus)
    }
    /// The chip says nothing about a damaged write: it is read back. An open switch is right while latched.
    fn verify(wanted: u8, answer: &[u8], status: &[u8]) -> Result<(), ChipError> {
        let latched = decode::checked(status)?[0] & register::SHORT_LATCHED != 0;
        let wanted = if latched { 0 } else { wanted & !register::CLEAR_LATCH };
        if decode::checked(answer)? == [wanted] { Ok(()) } else { Err(ChipError::Ignored) }
    }
}

const CELL_BYTES: usize = CELLS * 2 + 1;

impl ErrorType for FrontEnd<'_> {
    type Error = ChipError;
}

impl Clock for FrontEnd<'_> {
    fn now(&self) -> Instant {
        Instant::from_millis(self.bus.borrow().now.get())
    }
}

impl CellSense for FrontEnd<'_> {
    fn cells(&mut self, cells: &mut Cells<24>) -> nb::Result<(), ChipError> {
        Ok(decode::cells(&self.read::<CELL_BYTES>(register::CELLS)?, cells)?)
    }
}

impl port::CurrentSense for FrontEnd<'_> {
    fn current(&mut self) -> nb::Result<Current, ChipError> {
        Ok(decode::current(&self.read::<3>(register::CURRENT)?)?)
    }
}

impl port::TemperatureSense for FrontEnd<'_> {
    fn temperatures(&mut self) -> nb::Result<Temperatures, ChipError> {
        Ok(decode::temperatures(&self.read::<7>(register::TEMPERATURES)?)?)
    }
}

impl port::InputSense for FrontEnd<'_> {
    fn inputs(&mut self) -> nb::Result<Inputs, ChipError> {
        let status = self.read::<2>(register::STATUS)?;
        let latched = decode::checked(&status)?[0] & register::SHORT_LATCHED != 0;
        Ok(Inputs { short_circuit: latched, ..Inputs::default() })
    }
}

impl Switches for FrontEnd<'_> {
    fn apply(&mut self, charge: Switch, discharge: Switch, clear_latch: bool) -> Result<(), ChipError> {
        let data = decode::switches(charge, discharge, clear_latch);
        self.write(register::SWITCHES, &data)?;
        Self::verify(data[0], &self.read::<2>(register::SWITCHES)?, &self.read::<2>(register::STATUS)?)
    }
}

const CAPABILITIES: BalancerCapabilities = BalancerCapabilities {
    kind: BalancerKind::Bleed,
    maximum_current: ma(50),
    phase_time: secs(255),
    settle_time: ms(10),
};

impl Balancer for FrontEnd<'_> {
    fn capabilities(&self) -> BalancerCapabilities {
        CAPABILITIES
    }
    fn apply(&mut self, plan: &Plan) -> Result<(), ChipError> {
        let (data, possible) = decode::bleed(plan, self.now());
        self.write(register::BLEED, &data)?;
        possible
    }
}

type Gathered<'a> = Senses<
    FrontEnd<'a>,
    FrontEnd<'a>,
    FrontEnd<'a>,
    FrontEnd<'a>,
    port::NotFitted,
    port::NotFitted,
    port::NotFitted,
    FrontEnd<'a>,
>;

/// The sampler of this board.
fn sampler(chip: FrontEnd<'_>) -> Gathered<'_> {
    Senses::new(chip)
        .with_cells(chip, ms(100))
        .with_current(chip, ms(50))
        .with_temperatures(chip, secs(1))
        .with_inputs(chip, ms(50))
        .with_settle_time(CAPABILITIES.settle_time)
}

/// Physics and faults at set times, the same for each run.
fn live(bus: &RefCell<Chip>) {
    let chip = bus.borrow();
    let now = chip.now.get();
    let discharging = chip.switches.get() & register::DISCHARGE != 0;
    // 4 A.
    chip.current.set(if discharging { 400 } else { 0 });
    chip.damaged.set((20_000..23_000).contains(&now).then_some(register::CELLS));
    if now == 40_000 {
        chip.set_short(true);
    }
    if now == 40_001 {
        chip.set_short(false);
    }
}

type Trace = Vec<(Instant, Command)>;

/// Polls every millisecond until `end`.
fn poll_until(bus: &RefCell<Chip>, driver: &mut Driver<impl bms_core::driver::Ports<24>>, end: u64) -> Trace {
    let mut trace = Trace::new();
    loop {
        let now = bus.borrow().now.get();
        if now >= end {
            return trace;
        }
        live(bus);
        match driver.poll() {
            Ok(step) => trace.push((step.at, step.command)),
            Err(nb::Error::WouldBlock) => bus.borrow().now.set(now + 1),
            Err(nb::Error::Other(never)) => match never {},
        }
    }
}

fn closed(trace: &Trace, at: u64) -> (bool, bool) {
    let (_, command) = trace.iter().rfind(|(when, _)| when.as_millis() <= at).expect("a step before");
    (command.charge.is_closed(), command.discharge.is_closed())
}

#[test]
fn readings_come_with_the_core_s_units_and_signs() {
    let bus = RefCell::new(Chip::new());
    let mut chip = FrontEnd::new(&bus).unwrap();
    bus.borrow().cells_mv.set([3_300, 3_301, 3_302, 3_303, 3_304, 3_305, 3_306, 3_307]);
    bus.borrow().current.set(1_234);
    bus.borrow().temperatures.set([2_982, 0, 3_032]);
    let mut cells = Cells::default();
    chip.cells(&mut cells).unwrap();
    assert_eq!((cells.count(), cells.get(7)), (8, Reading::Valid(mv(3_307))));
    assert_eq!(port::CurrentSense::current(&mut chip).unwrap(), ma(-12_340), "discharging is negative");
    let temperatures = port::TemperatureSense::temperatures(&mut chip).unwrap();
    assert_eq!(temperatures.battery[0], Reading::Valid(deg_c(25)));
    assert_eq!(temperatures.battery[1], Reading::Invalid, "an open sensor");
    assert_eq!(temperatures.battery[2], Reading::NotMeasured, "no such sensor");
    assert_eq!(temperatures.mos, Reading::Valid(deg_c(30)));
}

#[test]
fn each_failure_has_its_kind() {
    let bus = RefCell::new(Chip::new());
    let mut chip = FrontEnd::new(&bus).unwrap();
    let mut kind_of = |change: &dyn Fn(&Chip)| {
        change(&bus.borrow());
        match port::CurrentSense::current(&mut chip) {
            Err(nb::Error::Other(error)) => port::Error::kind(&error),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind_of(&|chip| chip.current.set(i16::MAX)), ErrorKind::Integrity);
    assert_eq!(kind_of(&|chip| chip.damaged.set(Some(register::CURRENT))), ErrorKind::Integrity);
    assert_eq!(kind_of(&|chip| chip.fault.set(Some(BusFault::NoAcknowledge))), ErrorKind::Bus);
    assert_eq!(kind_of(&|chip| chip.fault.set(Some(BusFault::Stuck))), ErrorKind::Timeout);
    assert!(FrontEnd::new(&bus).is_err(), "no adapter while it cannot open the switches");
}

#[test]
fn a_bad_checksum_makes_the_group_failed_and_never_repeats_the_last_value() {
    let bus = RefCell::new(Chip::new());
    let mut senses = sampler(FrontEnd::new(&bus).unwrap());
    let mut sample = Sample::<24>::new();
    port::Sampler::sample(&mut senses, Default::default(), &mut sample).unwrap();
    assert!(matches!(sample.cells, Group::Measured { .. }));
    bus.borrow().damaged.set(Some(register::CELLS));
    bus.borrow().now.set(1_100);
    port::Sampler::sample(&mut senses, Default::default(), &mut sample).unwrap();
    assert_eq!(sample.cells, Group::Failed);
    assert!(matches!(sample.current, Group::Measured { .. }), "the other groups are whole");
    assert_eq!(sample.temperatures, Group::NotMeasured, "not due");
}

#[test]
fn a_write_that_the_chip_did_not_take_is_an_error() {
    let bus = RefCell::new(Chip::new());
    let mut chip = FrontEnd::new(&bus).unwrap();
    bus.borrow().damaged.set(Some(register::SWITCHES));
    assert!(Switches::apply(&mut chip, Switch::Closed, Switch::Closed, false).is_err());
    bus.borrow().damaged.set(None);
    assert!(Switches::apply(&mut chip, Switch::Closed, Switch::Closed, false).is_ok());
}

#[test]
fn d09_no_command_closes_over_the_latch() {
    let bus = RefCell::new(Chip::new());
    let mut chip = FrontEnd::new(&bus).unwrap();
    let mut gates = |clear| {
        Switches::apply(&mut chip, Switch::Closed, Switch::Closed, clear).unwrap();
        bus.borrow().switches.get()
    };
    assert_eq!(gates(false), 3);
    bus.borrow().set_short(true);
    assert_eq!(gates(true), 0, "the comparator's level is still set");
    bus.borrow().set_short(false);
    assert_eq!(gates(false), 0, "latched");
    assert_eq!(gates(true), 3);
}

#[test]
fn bleeding_ends_by_the_chip_s_own_timer_and_other_plans_are_refused() {
    let bus = RefCell::new(Chip::new());
    let mut chip = FrontEnd::new(&bus).unwrap();
    let until = chip.now().after(ms(2_500));
    Balancer::apply(&mut chip, &Plan::Bleed { mask: 0b101, until }).unwrap();
    assert_eq!(bus.borrow().bleeding(), 0b101);
    bus.borrow().now.set(until.as_millis());
    assert_eq!(bus.borrow().bleeding(), 0, "without any further call");
    let shuttle = Plan::Shuttle { source: 0, destination: 1, current: ma(50), until: until.after(secs(5)) };
    Balancer::apply(&mut chip, &Plan::Bleed { mask: 1, until: until.after(secs(5)) }).unwrap();
    assert_eq!(Balancer::apply(&mut chip, &shuttle), Err(ChipError::Unsupported));
    assert_eq!(bus.borrow().bleeding(), 0, "and the balancer is off");
}

#[test]
fn x01_p11_a_pack_runs_on_the_chip() {
    let bus = RefCell::new(Chip::new());
    let chip = FrontEnd::new(&bus).unwrap();
    let board = Board::new(sampler(chip), chip, chip).with_balancer(chip);
    let mut driver = Driver::new(Bms::new(PACK), board);
    let trace = poll_until(&bus, &mut driver, 110_000);
    assert_eq!(closed(&trace, 19_999), (true, true));
    assert!(!closed(&trace, 21_200).0, "cells lost: no charging");
    assert_eq!(closed(&trace, 39_999), (true, true), "good again for five seconds");
    assert_eq!(closed(&trace, 40_100), (false, false), "the latch is seen");
    assert_eq!(closed(&trace, 99_000), (false, false));
    assert_eq!(closed(&trace, 109_000), (true, true), "released after its time");
    assert_eq!(bus.borrow().switches.get(), 3, "and the chip was told to clear its latch");
}
