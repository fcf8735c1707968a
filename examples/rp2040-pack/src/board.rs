//! The board: which pin is what, and what the analog parts in front of the ADC do.
//!
//! ```text
//! GP0  status as text, 115200 baud
//! GP20, GP21  the protocol 4E57, 115200 baud, to and from the chip      GP14  key: high while pressed
//!                             GP10 … GP13  select lines of a 16-channel multiplexer (74HC4067), its output at GP26
//! GP2  charge gate            position 0 ground, 1 a 2.048 V reference, 2 … 9 the taps of cell 1 … 8,
//! GP3  discharge gate                  10, 11 battery thermistors, 12 that of the switches, 13 the stack
//! GP4  comparator             GP27 shunt amplifier, 1.65 V at rest, rising when charging
//! GP5  heater                 GP6 charger plugged in   GP7 activation switch
//! GP25 LED   GP8 buzzer       GP9 power hold
//! ```
//! Gates, heater and power hold have pull-downs. Each tap has its divider (13.8 kΩ × cell number over 10 kΩ) and 100 nF. The Pico's converter has about nine true bits: with a ladder of eight cells a reading is good to some
//! 10 mV. A product that needs the ±3 mV of the manual measures with a differential amplifier or a front-end chip.

use core::cell::RefCell;

use bms_core::config::BoardDefinition;
use bms_core::port::compose::Senses;
use bms_core::port::{ErrorKind, Heater, Indicator, Power, Sampler, Switches};
use bms_core::time::{Duration, Instant};
use bms_hal::{
    Averaged, CellTaps, DigitalInputs, Direction, DividedVoltage, ExpiringOutput, Gates, Layout, LedAndBuzzer,
    Multiplexed, PowerHold, Reference, Scale, SharedAdc, ShuntAmplifier, Thermistor, ThermistorTable, Thermistors,
    Unchecked,
};
use bms_rp2040::{EmbassyClock, FULL_SCALE, Rp2040Adc, comparator};
use bms_wire::board::Identity;
use bms_wire::station::Serial;
use cortex_m::peripheral::scb::SystemHandler;
use cortex_m::peripheral::syst::SystClkSource;
use embassy_rp::Peri;
use embassy_rp::adc::{Adc, Channel, Config};
use embassy_rp::gpio::{AnyPin, Input, Level, Output, Pull};
use embassy_rp::peripherals::*;
use embassy_rp::uart::{self, UartRx, UartTx};
use embassy_time::Delay;
use embedded_hal_nb::serial::{Read, Write};

pub const CELLS: usize = 8;
/// The comparator only interrupts; no hardware holds the gates open while interrupts are off.
pub const DEFINITION: BoardDefinition = BoardDefinition { hardware_short_circuit: false, ..BoardDefinition::MANUAL };
pub const CLOCK: EmbassyClock = EmbassyClock;
/// 115200 baud send 11 bytes a millisecond; the buffer holds 32.
pub const UART_BYTES_PER_TICK: usize = 11;

/// Sixteen conversions are added up.
const EXTRA_BITS: u8 = 4;
const FULL: u16 = FULL_SCALE << EXTRA_BITS;
const REFERENCE_MV: u32 = 3_300;
/// The taps' capacitors hold their voltage; only the multiplexer's and the converter's own follow.
const SETTLE_US: u32 = 20;

static TAPS: [Scale; CELLS] = {
    let mut scales = [Scale::new(0, FULL); CELLS];
    let mut tap = 0;
    while tap < CELLS {
        scales[tap] = Scale::divider((tap as u32 + 1) * 13_800, 10_000, REFERENCE_MV * 1_000, FULL);
        tap += 1;
    }
    scales
};
static REFERENCES: [Reference; 2] = [
    Reference { channel: 0, code: 0, tolerance: FULL / 200 },
    Reference { channel: 1, code: (FULL as u32 * 2_048 / REFERENCE_MV) as u16, tolerance: FULL / 100 },
];
static NTC: ThermistorTable = ThermistorTable::beta(10_000, 3_435, 10_000, FULL);
static BATTERY: [Thermistor; 2] = [Thermistor { channel: 10, table: &NTC }, Thermistor { channel: 11, table: &NTC }];
const MOS: Thermistor = Thermistor { channel: 12, table: &NTC };
const STACK: u8 = 13;

type Pin = Output<'static>;
static GATES: Gates<Pin, Pin, Input<'static>> = Gates::new();
static HEATER: ExpiringOutput<Pin> = ExpiringOutput::new();

pub fn gates(
    charge: Peri<'static, PIN_2>,
    discharge: Peri<'static, PIN_3>,
    sense: Peri<'static, PIN_4>,
) -> impl Switches {
    let (charge, discharge) = (low(charge), low(discharge));
    must(GATES.install(charge, discharge, comparator::attach(sense, || GATES.trip()), Unchecked))
}

pub fn heater(pin: Peri<'static, PIN_5>) -> impl Heater {
    must(HEATER.install(low(pin), CLOCK))
}

pub fn indicator(led: Peri<'static, PIN_25>, buzzer: Peri<'static, PIN_8>) -> impl Indicator {
    must(LedAndBuzzer::new(low(led), low(buzzer), CLOCK))
}

pub fn power(hold: Peri<'static, PIN_9>) -> impl Power {
    must(PowerHold::new(low(hold)))
}

/// The converter; channel 0 is the multiplexer, channel 1 the shunt amplifier.
pub type Converter = RefCell<Rp2040Adc<'static, 2>>;
pub fn adc(adc: Peri<'static, ADC>, taps: Peri<'static, PIN_26>, shunt: Peri<'static, PIN_27>) -> Converter {
    let channels = [Channel::new_pin(taps, Pull::None), Channel::new_pin(shunt, Pull::None)];
    RefCell::new(Rp2040Adc::new(Adc::new_blocking(adc, Config::default()), channels))
}

pub type Taps<'a> = RefCell<Averaged<Multiplexed<SharedAdc<'a, Rp2040Adc<'static, 2>>, Pin, Delay, 4>, EXTRA_BITS>>;
pub fn taps<'a>(adc: &'a Converter, select: [Peri<'static, AnyPin>; 4]) -> Taps<'a> {
    RefCell::new(Averaged::new(Multiplexed::new(SharedAdc(adc), 0, select.map(low), Delay, SETTLE_US)))
}

pub fn sampler<'a>(
    adc: &'a Converter,
    taps: &'a Taps<'_>,
    period: Duration,
    charger: Peri<'static, PIN_6>,
    activation: Peri<'static, PIN_7>,
) -> impl Sampler<CELLS> {
    let taps = SharedAdc(taps);
    let shunt = Averaged::<_, EXTRA_BITS>::new(SharedAdc(adc));
    let inputs = DigitalInputs::new(&GATES)
        .with_charger(Input::new(charger, Pull::Down))
        .with_activation(Input::new(activation, Pull::Down));
    Senses::new(CLOCK)
        .with_cells(CellTaps::new(taps, 2, Layout::Ladder, &TAPS).with_references(&REFERENCES), period)
        .with_current(ShuntAmplifier::new(shunt, 1, Direction::ChargingRaises, 100, 50, REFERENCE_MV, FULL), period)
        .with_temperatures(Thermistors::new(taps, &BATTERY, MOS), period)
        .with_stack(DividedVoltage::new(taps, STACK, TAPS[CELLS - 1]), period)
        .with_inputs(inputs, period)
}

pub fn uart(uart: Peri<'static, UART0>, tx: Peri<'static, PIN_0>) -> UartTx<'static, uart::Blocking> {
    UartTx::new_blocking(uart, tx, uart::Config::default())
}

/// What the board calls itself; tools look at the model's beginning and at the software version.
pub const IDENTITY: Identity = Identity { hardware: "RP2040", most_cells: CELLS as u8, ..Identity::WIDEST };

/// For the factory's passwords.
pub fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    embassy_rp::clocks::RoscRng.fill_bytes(&mut salt);
    salt
}

/// Somebody is there: the one way to let tools change anything.
pub fn key(pin: Peri<'static, PIN_14>) -> Input<'static> {
    Input::new(pin, Pull::Down)
}

/// The UART of owners' tools. Its 32 bytes of buffer are nearly three milliseconds; the tick empties it each one.
pub struct Link(UartTx<'static, uart::Blocking>, UartRx<'static, uart::Blocking>);
pub fn link(uart: Peri<'static, UART1>, tx: Peri<'static, PIN_20>, rx: Peri<'static, PIN_21>) -> Link {
    let (tx, rx) = uart::Uart::new_blocking(uart, tx, rx, uart::Config::default()).split();
    Link(tx, rx)
}
impl Link {
    /// `answers`: whether anything may be sent now.
    pub fn exchange(&mut self, serial: &mut Serial, board: &mut impl bms_wire::board::Board, answers: bool) {
        let Self(tx, rx) = self;
        let now = bms_core::port::Clock::now(&CLOCK);
        // A byte that came broken is left out; the frame's sum then fails.
        serial.exchange(now, board, || rx.read().ok(), |byte| answers && tx.write(byte).is_ok());
    }
}

/// A millisecond's interrupt: ends the heater in time and wakes the loop.
pub fn start_tick() {
    let Some(cortex_m::Peripherals { SYST: mut timer, SCB: mut system, .. }) = cortex_m::Peripherals::take() else {
        return;
    };
    // SAFETY: nothing relies on this priority; below the comparator's.
    unsafe { system.set_priority(SystemHandler::SysTick, 0xc0) };
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(embassy_rp::clocks::clk_sys_freq() / 1_000 - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

#[cortex_m_rt::exception]
fn SysTick() {
    HEATER.expire(bms_core::port::Clock::now(&CLOCK));
}

/// For the panic handler: whatever carries energy is off.
pub fn open_everything() {
    GATES.trip();
    HEATER.expire(Instant::from_millis(u64::MAX));
}

fn low(pin: Peri<'static, impl embassy_rp::gpio::Pin>) -> Pin {
    Output::new(pin, Level::Low)
}

/// A pin of this chip does not fail; if one did, the board would stay as it starts: everything open.
fn must<T>(made: Result<T, ErrorKind>) -> T {
    match made {
        Ok(port) => port,
        Err(_) => stay_open(),
    }
}

/// Until the watchdog ends it.
pub fn stay_open() -> ! {
    loop {
        open_everything();
    }
}
