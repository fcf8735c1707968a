//! The board: which pin is what, and what the analog parts in front of the ADC do.
//!
//! ```text
//! GPIO0  multiplexer's output (74HC4067)     GPIO10, 18, 19, 20  its select lines, lowest bit first
//! GPIO1  shunt amplifier, 1.25 V at rest     position 0 ground, 1 half the reference, 2 … 14 cell 1 … 13 × 0.3,
//! GPIO2, 3, 4  thermistors: battery 1, 2,             15 the stack through 1 MΩ : 47 kΩ
//!        the switches                        GPIO5  comparator, high at a short circuit
//! GPIO6  charge gate, high closes            GPIO8  high while a charger is plugged in
//! GPIO7  discharge gate, the same            GPIO9  power hold        GPIO21  UART, 115200 baud
//! ```
//! Gates have pull-downs; GPIO9 has the chip's own pull-up until it is driven, so the supply holds itself while the chip
//! starts, and its bootloader is reached by shorting it. Everything analog is ratiometric to a reference of 2.5 V, which
//! is the end of the converter's linear range. This converter is good to some 10 mV: a product that needs the
//! manual's ±3 mV has a front-end chip on I²C in its place.

use core::cell::RefCell;

use bms_core::config::{BoardDefinition, ParameterId, SensorPolicy, ValidConfig};
use bms_core::port::compose::Senses;
use bms_core::port::{ErrorKind, Power, Sampler, Switches};
use bms_core::time::ms;
use bms_esp32::{AdcPins, Clock, ComparatorLine, ComparatorPin, FULL_SCALE, MainWatchdog};
use bms_hal::{
    AdcSource, Averaged, CellTaps, DigitalInputs, Direction, DividedVoltage, Gates, HealthyWatchdog, Layout,
    Multiplexed, PowerHold, Reference, Scale, SharedAdc, ShuntAmplifier, Thermistor, ThermistorTable, Thermistors,
    Unchecked,
};
use esp_hal::analog::adc::{Adc, AdcConfig, Attenuation};
use esp_hal::delay::Delay;
use esp_hal::gpio::{AnyPin, Input, InputConfig, Io, Level, Output, OutputConfig, OutputPin, Pull};
use esp_hal::interrupt::Priority;
use esp_hal::peripherals::*;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::{handler, ram};

pub const CELLS: usize = 13;
pub const CLOCK: Clock = Clock;
pub const DEFINITION: BoardDefinition = BoardDefinition {
    sensors: [
        SensorPolicy::Required,
        SensorPolicy::Required,
        SensorPolicy::NotFitted,
        SensorPolicy::NotFitted,
        SensorPolicy::NotFitted,
    ],
    ..BoardDefinition::MANUAL
};

/// Four conversions are added up.
const EXTRA_BITS: u8 = 2;
const FULL: u16 = FULL_SCALE << EXTRA_BITS;
const REFERENCE_MV: u32 = 2_500;
const SETTLE_US: u32 = 50;
/// ± 250 A.
const SHUNT_MICROOHMS: u32 = 100;
const SHUNT_GAIN: u32 = 50;

/// Beyond two cells in series: behind a cut wire one input reads double, and must be seen to.
static CELL_SCALES: [Scale; CELLS] = [Scale::new(8_333_333, FULL); CELLS];
static REFERENCES: [Reference; 2] = [
    Reference { channel: 0, code: 0, tolerance: FULL / 100 },
    Reference { channel: 1, code: FULL / 2, tolerance: FULL / 100 },
];
const FIRST_CELL: u8 = 2;
const STACK: u8 = 15;
const STACK_SCALE: Scale = Scale::divider(1_000_000, 47_000, REFERENCE_MV * 1_000, FULL);
static NTC: ThermistorTable = ThermistorTable::beta(10_000, 3_435, 10_000, FULL);
static BATTERY: [Thermistor; 2] = [Thermistor { channel: 2, table: &NTC }, Thermistor { channel: 3, table: &NTC }];
const MOS: Thermistor = Thermistor { channel: 4, table: &NTC };

type Pin = Output<'static>;
static GATES: Gates<Pin, Pin, ComparatorPin> = Gates::new();
static COMPARATOR: ComparatorLine = ComparatorLine::new();

#[handler(priority = Priority::max())]
#[ram]
fn short_circuit() {
    GATES.trip();
    COMPARATOR.acknowledge();
}

pub fn gates(
    charge: GPIO6<'static>,
    discharge: GPIO7<'static>,
    sense: GPIO5<'static>,
    io_mux: IO_MUX<'static>,
) -> impl Switches {
    let (charge, discharge) = (low(charge), low(discharge));
    let sense = Input::new(sense, InputConfig::default().with_pull(Pull::Down));
    let comparator = COMPARATOR.arm(sense, &mut Io::new(io_mux), short_circuit);
    must(GATES.install(charge, discharge, comparator, Unchecked))
}

pub fn power(hold: GPIO9<'static>) -> impl Power {
    must(PowerHold::new(Output::new(hold, Level::High, OutputConfig::default())))
}

/// Bites after five missed samples.
pub fn watchdog(group: TIMG1<'static>) -> HealthyWatchdog<MainWatchdog<TIMG1<'static>>> {
    HealthyWatchdog::new(MainWatchdog::start(TimerGroup::new(group).wdt, ms(500)))
}

type AnalogPins = (GPIO0<'static>, GPIO1<'static>, GPIO2<'static>, GPIO3<'static>, GPIO4<'static>);

/// The converter; channel 0 is the multiplexer, 1 the shunt, 2 to 4 the thermistors.
pub fn adc(adc: ADC1<'static>, pins: AnalogPins) -> RefCell<impl AdcSource> {
    const RANGE: Attenuation = Attenuation::_11dB;
    let mut config = AdcConfig::new();
    let pins = (
        config.enable_pin(pins.0, RANGE),
        config.enable_pin(pins.1, RANGE),
        config.enable_pin(pins.2, RANGE),
        config.enable_pin(pins.3, RANGE),
        config.enable_pin(pins.4, RANGE),
    );
    RefCell::new(AdcPins::new(Adc::new(adc, config), pins))
}

/// What stands behind the multiplexer.
pub fn taps<'a>(adc: &'a RefCell<impl AdcSource>, select: [AnyPin<'static>; 4]) -> RefCell<impl AdcSource + 'a> {
    let multiplexer = Multiplexed::new(SharedAdc(adc), 0, select.map(low), Delay::new(), SETTLE_US);
    RefCell::new(Averaged::<_, EXTRA_BITS>::new(multiplexer))
}

pub fn sampler<'a>(
    adc: &'a RefCell<impl AdcSource>,
    taps: &'a RefCell<impl AdcSource>,
    config: &ValidConfig,
    charger: GPIO8<'static>,
) -> impl Sampler<CELLS> + 'a {
    let period = config.duration(ParameterId::SamplePeriod);
    let (direct, taps) = (Averaged::<_, EXTRA_BITS>::new(SharedAdc(adc)), SharedAdc(taps));
    let cells = CellTaps::new(taps, FIRST_CELL, Layout::Cells, &CELL_SCALES).with_references(&REFERENCES);
    let shunt =
        ShuntAmplifier::new(direct, 1, Direction::ChargingRaises, SHUNT_MICROOHMS, SHUNT_GAIN, REFERENCE_MV, FULL);
    let charger = Input::new(charger, InputConfig::default().with_pull(Pull::Down));
    Senses::new(CLOCK)
        .with_cells(cells, period)
        .with_current(shunt, period)
        .with_temperatures(Thermistors::new(direct, &BATTERY, MOS), period)
        .with_stack(DividedVoltage::new(taps, STACK, STACK_SCALE), period)
        .with_inputs(DigitalInputs::new(&GATES).with_charger(charger), period)
}

/// Opens both gates and starts anew: whatever went wrong, the rest of this run is not to be trusted.
pub fn fail_safe() -> ! {
    GATES.trip();
    esp_hal::system::software_reset()
}

fn low(pin: impl OutputPin + 'static) -> Pin {
    Output::new(pin, Level::Low, OutputConfig::default())
}

/// A pin of this chip does not fail; if one did, the board would stay as it starts: everything open.
fn must<T>(made: Result<T, ErrorKind>) -> T {
    made.unwrap_or_else(|_| fail_safe())
}
