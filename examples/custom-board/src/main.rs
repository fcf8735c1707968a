//! The worked example of docs/porting.md: a board whose chip no HAL knows. Everything that a port needs is in this file: pins
//! and converter over hand-made registers, two interrupts, the main loop. In QEMU the registers are memory, and
//! `world.rs` is what is wired to them.

#![no_std]
#![no_main]

mod chip;
mod world;

use core::cell::RefCell;
use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bms_core::fittings::{HeaterFitted, Unbalanced};
use bms_core::port::compose::Senses;
use bms_core::port::{Clock, ErrorKind};
use bms_core::prelude::*;
use bms_hal::text::Line;
use bms_hal::{
    CellTaps, DigitalInputs, Direction, DividedVoltage, ExpiringOutput, FnAdc, Gates, HealthyWatchdog, Layout,
    Reference, Scale, SharedAdc, ShuntAmplifier, Thermistor, ThermistorTable, Thermistors, TickClock, Unchecked,
};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

// ---- the chip's registers

/// What a vendor's header would have. Real ones lie at a fixed address.
pub struct Registers {
    pub outputs: AtomicU32,
    pub inputs: AtomicU32,
    pub converter: [AtomicU32; 16],
    pub watchdog: AtomicU32,
}
pub static REGISTERS: Registers = Registers {
    outputs: AtomicU32::new(0),
    inputs: AtomicU32::new(0),
    converter: [const { AtomicU32::new(0) }; 16],
    watchdog: AtomicU32::new(0),
};

/// Bits of the output and the input register.
pub const CHARGE: u32 = 0;
pub const DISCHARGE: u32 = 1;
pub const HEATER: u32 = 2;
pub const COMPARATOR: u32 = 0;
pub const CHARGER: u32 = 1;

/// A pin: one bit of a register. A write reads, changes and writes: not one instruction, hence in a critical section, where
/// `Gates` and `ExpiringOutput` put every one of theirs.
struct Bit(&'static AtomicU32, u32);

impl ErrorType for Bit {
    type Error = Infallible;
}
impl OutputPin for Bit {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.store(self.0.load(Relaxed) & !(1 << self.1), Relaxed);
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.store(self.0.load(Relaxed) | 1 << self.1, Relaxed);
        Ok(())
    }
}
impl InputPin for Bit {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.load(Relaxed) >> self.1 & 1 == 1)
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}

/// One conversion. A real one starts it, and returns `WouldBlock` until the ready flag is set.
fn convert(channel: u8) -> nb::Result<u16, ErrorKind> {
    let register = REGISTERS.converter.get(usize::from(channel)).ok_or(ErrorKind::Other)?;
    Ok(u16::try_from(register.load(Relaxed)).map_err(|_| ErrorKind::Integrity)?)
}

// ---- the board

const CELLS: usize = 8;
const FULL: u16 = 4_095;
/// A differential amplifier a cell: 5 V are full scale.
static SCALES: [Scale; CELLS] = [Scale::new(5_000_000, FULL); CELLS];
static REFERENCES: [Reference; 1] = [Reference { channel: 12, code: 2_048, tolerance: 20 }];
static NTC: ThermistorTable = ThermistorTable::beta(10_000, 3_435, 10_000, FULL);
static BATTERY: [Thermistor; 1] = [Thermistor { channel: 9, table: &NTC }];
const MOS: Thermistor = Thermistor { channel: 10, table: &NTC };

static CLOCK: TickClock = TickClock::new();
static GATES: Gates<Bit, Bit, Bit> = Gates::new();
static HEATER_PIN: ExpiringOutput<Bit> = ExpiringOutput::new();

/// The comparator's interrupt, of the highest priority.
pub fn comparator_interrupt() {
    GATES.trip();
}

/// The timer's interrupt, every millisecond.
pub fn timer_interrupt() {
    CLOCK.tick();
    HEATER_PIN.expire(CLOCK.now());
    world::tick(CLOCK.now().as_millis());
}

/// Short delays, so that the demonstration is short.
const PACK: ValidConfig = const {
    let pack = Config::lifepo4(CELLS as u8).with_model(Model::B2a8s20p).with_capacity(ah(100));
    let pack = pack.with_discharge_limit(amps(100), secs(1)).with(ParameterId::ShortCircuitRelease, 2_000);
    pack.with(ParameterId::HeaterResistance, 10_000_000).validated()
};

pub fn firmware() -> ! {
    let pin = |bit| Bit(&REGISTERS.outputs, bit);
    let sense = |bit| Bit(&REGISTERS.inputs, bit);
    // First of all: both gates open.
    let Ok(switches) = GATES.install(pin(CHARGE), pin(DISCHARGE), sense(COMPARATOR), Unchecked) else { chip::halt() };
    let Ok(heater) = HEATER_PIN.install(pin(HEATER), &CLOCK) else { chip::halt() };
    let mut watchdog = HealthyWatchdog::new(|| REGISTERS.watchdog.store(500, Relaxed));
    chip::start_interrupts();

    let converter = RefCell::new(FnAdc(convert));
    let adc = SharedAdc(&converter);
    let inputs = DigitalInputs::new(&GATES).with_charger(sense(CHARGER));
    let sampler = Senses::new(&CLOCK)
        .with_cells(CellTaps::new(adc, 0, Layout::Cells, &SCALES).with_references(&REFERENCES), ms(100))
        .with_current(ShuntAmplifier::new(adc, 8, Direction::ChargingRaises, 100, 50, 3_300, FULL), ms(100))
        .with_temperatures(Thermistors::new(adc, &BATTERY, MOS), ms(100))
        .with_stack(DividedVoltage::new(adc, 11, Scale::new(40_000_000, FULL)), ms(100))
        .with_inputs(inputs, ms(10));
    let board = Board::new(sampler, switches, &CLOCK).with_heater(heater);
    let mut bms = Driver::new(Unbalanced::<CELLS, HeaterFitted>::without_balancer(PACK), board);
    let mut line = Line::<320>::new();
    loop {
        match bms.poll() {
            Ok(step) => step.watchdog.map_or((), |token| watchdog.feed(token)),
            Err(_nothing_to_do) => chip::wait_for_interrupt(),
        }
        while bms.poll_event().is_some() {}
        if world::wants_status() {
            line.write_status(&bms.status());
            world::print(line.next(320));
        }
    }
}
