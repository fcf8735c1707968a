//! The board's chip: which pin is what. What stands behind the converter, and the loop, are `esp32-pack-logic`.
//!
//! ```text
//! GPIO0  multiplexer's output (74HC4067)     GPIO10, 18, 19, 20  its select lines, lowest bit first
//! GPIO1  shunt amplifier                     GPIO5  comparator, high at a short circuit
//! GPIO2, 3, 4  thermistors: battery 1, 2,    GPIO8  high while a charger is plugged in
//!        the switches                        GPIO9  power hold        GPIO21  UART, 115200 baud
//! GPIO6  charge gate, high closes            GPIO7  discharge gate, the same
//! ```
//! Gates have pull-downs; GPIO9 has the chip's own pull-up until it is driven, so the supply holds itself while the chip
//! starts, and its bootloader is reached by shorting it. This converter is good to some 10 mV: a product that needs the
//! manual's ±3 mV has a front-end chip on I²C in its place.

use core::cell::RefCell;

use bms_core::port::{ErrorKind, Power, Sampler, Switches};
use bms_core::prelude::*;
use bms_esp32::{AdcPins, Clock, ComparatorLine, ComparatorPin, MainWatchdog};
use bms_hal::{AdcSource, Gates, HealthyWatchdog, PowerHold, Unchecked};
use esp_hal::analog::adc::{Adc, AdcConfig, Attenuation};
use esp_hal::delay::Delay;
use esp_hal::gpio::{AnyPin, Input, InputConfig, Io, Level, Output, OutputConfig, OutputPin, Pull};
use esp_hal::interrupt::Priority;
use esp_hal::peripherals::*;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::{handler, ram};
use esp32_pack_logic::{CELLS, FULL_SCALE, WATCHDOG};

pub const CLOCK: Clock = Clock;
const _: () = assert!(FULL_SCALE == bms_esp32::FULL_SCALE);

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

pub fn watchdog(group: TIMG1<'static>) -> HealthyWatchdog<MainWatchdog<TIMG1<'static>>> {
    HealthyWatchdog::new(MainWatchdog::start(TimerGroup::new(group).wdt, WATCHDOG))
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

pub fn taps(adc: &RefCell<impl AdcSource>, select: [AnyPin<'static>; 4]) -> RefCell<impl AdcSource> {
    esp32_pack_logic::taps(adc, select.map(low), Delay::new())
}

pub fn sampler<'a>(
    adc: &'a RefCell<impl AdcSource>,
    taps: &'a RefCell<impl AdcSource>,
    config: &ValidConfig,
    charger: GPIO8<'static>,
) -> impl Sampler<CELLS> + 'a {
    let charger = Input::new(charger, InputConfig::default().with_pull(Pull::Down));
    esp32_pack_logic::sampler(CLOCK, adc, taps, &GATES, charger, config)
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
