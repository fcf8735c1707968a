//! A desk with simulated pins, a multiplexed ADC in front of a pack of constant voltages, and instruments.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bms_core::port::{Clock, ErrorKind, asynch};
use bms_core::time::{Duration, Instant};
use bms_hal::asynch as hal_asynch;
use bms_hal::{
    AdcSource, CellTaps, DigitalInputs, Direction, DividedVoltage, ExpiringOutput, ExpiringPort, GateSwitches, Gates,
    LastResortPin, Layout, Multiplexed, PowerHold, Reference, Scale, SharedAdc, ShuntAmplifier, SupplyGood, Thermistor,
    ThermistorTable, Thermistors,
};
use bms_host::conformance::{Bench, Condition, Observed};
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

pub const CELLS: u8 = 8;
const C: usize = CELLS as usize;
const FULL: u16 = 4_095;
const REFERENCE_UV: u32 = 3_300_000;

/// Dividers for the taps: the top of tap k reads 3.3 V at (k + 1) × 4.2 V. Positions of the multiplexer: 0 ground,
/// 1 a reference of 2 V, 2… the taps, then two thermistors, that of the switches, and the stack.
static SCALES: [Scale; C] = {
    let mut scales = [Scale::new(0, FULL); C];
    let mut tap = 0;
    while tap < C {
        scales[tap] = Scale::divider(upper(tap), 10_000, REFERENCE_UV, FULL);
        tap += 1;
    }
    scales
};
const fn upper(tap: usize) -> u32 {
    (tap as u32 + 1) * 13_800
}
static REFERENCES: [Reference; 2] =
    [Reference { channel: 0, code: 0, tolerance: 8 }, Reference { channel: 1, code: 2_482, tolerance: 40 }];
static NTC: ThermistorTable = ThermistorTable::beta(10_000, 3_435, 10_000, FULL);
static BATTERY: [Thermistor; 2] = [Thermistor { channel: 10, table: &NTC }, Thermistor { channel: 11, table: &NTC }];
const MOS: Thermistor = Thermistor { channel: 12, table: &NTC };
static STACK: Scale = Scale::divider(upper(C - 1), 10_000, REFERENCE_UV, FULL);
/// 100 µΩ × 50 with 3.3 V.
const AMPS_PER_CODE: f64 = 660.0 / 4_095.0;

#[derive(Default)]
struct State {
    now_us: u64,
    pins: [bool; 16],
    cells: [f64; C],
    current: f64,
    thermistors: [Option<f64>; 3],
    cut_taps: u32,
    stuck: Option<u16>,
    stuck_line: bool,
    broken: bool,
    busy: bool,
    both_conducted: bool,
}

/// Pins by number.
const CHARGE: usize = 0;
const DISCHARGE: usize = 1;
const COMPARATOR: usize = 2;
const SUPPLY: usize = 3;
const HEATER: usize = 4;
const PRECHARGE: usize = 5;
const HOLD: usize = 6;
const FUSE: usize = 7;
const SELECT: usize = 8;

pub type DeskGates = Gates<Pin, Pin, Pin, SupplyGood<Pin>>;

#[derive(Clone)]
pub struct Desk {
    state: Rc<RefCell<State>>,
    heater: &'static ExpiringOutput<Pin>,
    precharge: &'static ExpiringOutput<Pin>,
    tripped: Rc<RefCell<Option<&'static DeskGates>>>,
}

#[derive(Clone)]
pub struct Pin(Rc<RefCell<State>>, usize);

impl ErrorType for Pin {
    type Error = Infallible;
}
impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.borrow_mut().pins[self.1] = false;
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        let mut state = self.0.borrow_mut();
        state.pins[self.1] = true;
        state.both_conducted |= state.pins[CHARGE] && state.pins[DISCHARGE];
        Ok(())
    }
}
impl InputPin for Pin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.borrow().pins[self.1])
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().pins[self.1])
    }
}

#[derive(Clone)]
pub struct DeskClock(Rc<RefCell<State>>);
impl Clock for DeskClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.borrow().now_us / 1_000)
    }
}
impl asynch::Timer for DeskClock {
    async fn wait_until(&self, at: Instant) {
        std::future::poll_fn(|_| if self.now() >= at { std::task::Poll::Ready(()) } else { std::task::Poll::Pending })
            .await;
    }
}

pub struct DeskDelay(Rc<RefCell<State>>);
impl DelayNs for DeskDelay {
    fn delay_ns(&mut self, nanoseconds: u32) {
        self.0.borrow_mut().now_us += u64::from(nanoseconds / 1_000);
    }
}
impl embedded_hal_async::delay::DelayNs for DeskDelay {
    async fn delay_ns(&mut self, nanoseconds: u32) {
        DelayNs::delay_ns(self, nanoseconds);
    }
}

/// Channel 0 is behind the multiplexer, channel 1 the shunt amplifier. Blocks once before every conversion.
pub struct Converter(Rc<RefCell<State>>);

impl Converter {
    fn convert(&self, channel: u8) -> Result<u16, ErrorKind> {
        let state = self.0.borrow();
        if state.broken {
            return Err(ErrorKind::Bus);
        }
        if let Some(code) = state.stuck {
            return Ok(code);
        }
        let code = match channel {
            1 => 2_048.0 + state.current / AMPS_PER_CODE,
            _ => {
                let line = |bit: usize| usize::from(state.pins[SELECT + bit] && !(bit == 0 && state.stuck_line)) << bit;
                let position = line(0) | line(1) | line(2) | line(3);
                f64::from(FULL) * state.fraction(position)
            }
        };
        Ok(code.round().clamp(0.0, f64::from(FULL)) as u16)
    }
}

impl State {
    /// What stands at a position of the multiplexer, as a part of the reference.
    fn fraction(&self, position: usize) -> f64 {
        let divided = |volts: f64, tap: usize| volts * 1e4 / (1e4 + f64::from(upper(tap))) / 3.3;
        match position {
            0 => 0.0,
            1 => 2.0 / 3.3,
            2..=9 => {
                let tap = position - 2;
                let volts: f64 = self.cells[..=tap].iter().sum();
                if self.cut_taps >> tap & 1 == 1 { 0.0 } else { divided(volts, tap) }
            }
            10..=12 => self.thermistors[position - 10].map_or(1.0, |celsius| {
                let ohms = 1e4 * (3_435.0 * (1.0 / (celsius + 273.15) - 1.0 / 298.15)).exp();
                ohms / (ohms + 1e4)
            }),
            _ => divided(self.cells.iter().sum(), C - 1),
        }
    }
}

impl AdcSource for Converter {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        let waited = !std::mem::replace(&mut self.0.borrow_mut().busy, false);
        if waited {
            self.0.borrow_mut().busy = true;
            return Err(nb::Error::WouldBlock);
        }
        Ok(self.convert(channel)?)
    }
}
impl hal_asynch::AdcSource for Converter {
    async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        self.convert(channel)
    }
}

/// Polls a little: the ADC says `WouldBlock` before each conversion, and a polled port is asked again.
pub struct Patient(Converter);
impl AdcSource for Patient {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        match AdcSource::read(&mut self.0, channel) {
            Err(nb::Error::WouldBlock) => AdcSource::read(&mut self.0, channel),
            answer => answer,
        }
    }
}
impl hal_asynch::AdcSource for Patient {
    async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        self.0.convert(channel)
    }
}

pub type DeskAdc = RefCell<Multiplexed<Patient, Pin, DeskDelay, 4>>;
/// Both channels of the converter as one source: below 32 the multiplexer's positions, 32 the amplifier.
#[derive(Clone, Copy)]
pub struct Channels<'a>(SharedAdc<'a, Multiplexed<Patient, Pin, DeskDelay, 4>>, &'a Desk);
impl AdcSource for Channels<'_> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        if channel == 32 {
            Ok(Converter(self.1.state.clone()).convert(1)?)
        } else {
            AdcSource::read(&mut self.0, channel)
        }
    }
}
impl hal_asynch::AdcSource for Channels<'_> {
    async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
        if channel == 32 {
            Converter(self.1.state.clone()).convert(1)
        } else {
            hal_asynch::AdcSource::read(&mut self.0, channel).await
        }
    }
}

impl Desk {
    pub fn new() -> Self {
        let state = State { cells: [3.3; C], thermistors: [Some(25.0); 3], ..State::default() };
        let state = Rc::new(RefCell::new(state));
        state.borrow_mut().pins[SUPPLY] = true;
        Self {
            state,
            heater: Box::leak(Box::new(ExpiringOutput::new())),
            precharge: Box::leak(Box::new(ExpiringOutput::new())),
            tripped: Rc::default(),
        }
    }
    fn pin(&self, number: usize) -> Pin {
        Pin(self.state.clone(), number)
    }
    pub fn clock(&self) -> DeskClock {
        DeskClock(self.state.clone())
    }
    pub fn adc(&self) -> DeskAdc {
        let select = [0, 1, 2, 3].map(|bit| self.pin(SELECT + bit));
        RefCell::new(Multiplexed::new(
            Patient(Converter(self.state.clone())),
            0,
            select,
            DeskDelay(self.state.clone()),
            20,
        ))
    }
    fn channels<'a>(&'a self, adc: &'a DeskAdc) -> Channels<'a> {
        Channels(SharedAdc(adc), self)
    }
    pub fn cells<'a>(&'a self, adc: &'a DeskAdc) -> CellTaps<Channels<'a>, C> {
        CellTaps::new(self.channels(adc), 2, Layout::Ladder, &SCALES).with_references(&REFERENCES)
    }
    pub fn current<'a>(&'a self, adc: &'a DeskAdc) -> ShuntAmplifier<Channels<'a>> {
        ShuntAmplifier::new(self.channels(adc), 32, Direction::ChargingRaises, 100, 50, 3_300, FULL)
    }
    pub fn temperatures<'a>(&'a self, adc: &'a DeskAdc) -> Thermistors<Channels<'a>> {
        Thermistors::new(self.channels(adc), &BATTERY, MOS)
    }
    pub fn stack<'a>(&'a self, adc: &'a DeskAdc) -> DividedVoltage<Channels<'a>> {
        DividedVoltage::new(self.channels(adc), 13, STACK)
    }
    /// In a firmware they stand in a `static`.
    pub fn gates(&self) -> &'static DeskGates {
        let gates = Box::leak(Box::new(Gates::new()));
        *self.tripped.borrow_mut() = Some(gates);
        gates
    }
    pub fn install(&self, gates: &'static DeskGates) -> GateSwitches<'static, Pin, Pin, Pin, SupplyGood<Pin>> {
        let pins = [CHARGE, DISCHARGE, COMPARATOR].map(|number| self.pin(number));
        let [charge, discharge, comparator] = pins;
        gates.install(charge, discharge, comparator, SupplyGood(self.pin(SUPPLY))).unwrap()
    }
    pub fn inputs(&self, gates: &'static DeskGates) -> DigitalInputs<'static, DeskGates> {
        DigitalInputs::new(gates)
    }
    pub fn heater(&self) -> ExpiringPort<'static, Pin, DeskClock> {
        self.heater.install(self.pin(HEATER), self.clock()).unwrap()
    }
    pub fn precharge(&self) -> ExpiringPort<'static, Pin, DeskClock> {
        self.precharge.install(self.pin(PRECHARGE), self.clock()).unwrap()
    }
    pub fn power(&self) -> PowerHold<Pin> {
        PowerHold::new(self.pin(HOLD)).unwrap()
    }
    pub fn last_resort(&self) -> LastResortPin<Pin> {
        LastResortPin::new(self.pin(FUSE)).unwrap()
    }
    pub fn gate_pins(&self) -> (bool, bool) {
        let state = self.state.borrow();
        (state.pins[CHARGE], state.pins[DISCHARGE])
    }
    pub fn set_thermistor(&self, index: usize, celsius: Option<f64>) {
        self.state.borrow_mut().thermistors[index] = celsius;
    }
    pub fn stick_adc(&self, code: Option<u16>) {
        self.state.borrow_mut().stuck = code;
    }
    pub fn stick_select_line(&self, stuck: bool) {
        self.state.borrow_mut().stuck_line = stuck;
    }
    pub fn cut_tap(&self, tap: usize) {
        self.state.borrow_mut().cut_taps |= 1 << tap;
    }
    /// The comparator's level, with its interrupt on the rising edge.
    pub fn short_circuit(&self, present: bool, gates: &DeskGates) {
        self.state.borrow_mut().pins[COMPARATOR] = present;
        if present {
            gates.trip();
        }
    }
    /// Lets time pass, with the timer's interrupt every millisecond.
    pub fn wait_ms(&self, milliseconds: u32) {
        for _ in 0..milliseconds {
            self.state.borrow_mut().now_us += 1_000;
            let now = self.clock().now();
            self.heater.expire(now);
            self.precharge.expire(now);
        }
    }
}

impl Bench for Desk {
    fn now(&self) -> Instant {
        self.clock().now()
    }
    fn wait(&mut self, duration: Duration) {
        self.wait_ms(duration.as_millis());
    }
    fn provoke(&mut self, condition: Condition) -> bool {
        let mut state = self.state.borrow_mut();
        match condition {
            Condition::Current(current) => state.current = f64::from(current.as_milliamps()) * 1e-3,
            Condition::CurrentBeyondRange => state.current = 500.0,
            Condition::Cell(cell, voltage) => {
                state.cells[usize::from(cell)] = f64::from(voltage.as_microvolts()) * 1e-6;
            }
            Condition::ThermistorOpen(index, open) => {
                state.thermistors[usize::from(index)] = (!open).then_some(25.0);
            }
            Condition::ShortCircuit(present) => {
                drop(state);
                let gates = *self.tripped.borrow();
                self.short_circuit(present, gates.unwrap());
            }
            Condition::SensingBroken(broken) => state.broken = broken,
            Condition::GatesUnpowered(dead) => state.pins[SUPPLY] = !dead,
            Condition::Balancing(_) => return false,
        }
        true
    }
    fn observe(&mut self) -> Observed {
        let mut state = self.state.borrow_mut();
        let both_conducted = std::mem::take(&mut state.both_conducted);
        Observed {
            charge: Some(state.pins[CHARGE]),
            discharge: Some(state.pins[DISCHARGE]),
            both_conducted: Some(both_conducted),
            balance_current: None,
            heater: Some(state.pins[HEATER]),
            precharge: Some(state.pins[PRECHARGE]),
            power_held: Some(state.pins[HOLD]),
            fired: Some(state.pins[FUSE]),
        }
    }
}
