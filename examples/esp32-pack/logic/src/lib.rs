//! The board of `esp32-pack` as far as no chip is named: thirteen LiFePO4 cells, what the analog parts in front of the ADC
//! do, and the loop. An image brings the pins, the converter, a clock, a watchdog, and a place for the text.
//!
//! ```text
//! ADC channel 0  multiplexer's output (74HC4067): position 0 ground, 1 half the reference, 2 … 14 cell 1 … 13 × 0.3,
//!                                                  15 the stack through 1 MΩ : 47 kΩ
//! ADC channel 1  shunt amplifier, 1.25 V at rest
//! ADC channel 2, 3, 4  thermistors: battery 1, 2, the switches
//! ```
//! Everything analog is ratiometric to a reference of 2.5 V, which is the end of the converter's linear range.
#![no_std]
#![forbid(unsafe_code)]

use core::cell::RefCell;

use bms_core::config::{BoardDefinition, SensorPolicy};
use bms_core::driver::Ports;
use bms_core::estimation::CoulombCounter;
use bms_core::fittings::{NotFitted, Unbalanced};
use bms_core::port::compose::Senses;
use bms_core::port::{Clock, Sampler};
use bms_core::prelude::*;
use bms_hal::text::Line;
use bms_hal::{
    AdcSource, Averaged, CellTaps, DigitalInputs, Direction, DividedVoltage, HealthyWatchdog, Latch, Layout,
    Multiplexed, ParameterBlock, Reference, RetainedSnapshot, Scale, SharedAdc, ShuntAmplifier, Thermistor,
    ThermistorTable, Thermistors, Watchdog,
};
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};

pub const CELLS: usize = 13;
/// The code of the converter's full scale.
pub const FULL_SCALE: u16 = 4_095;
/// The watchdog bites after five missed samples.
pub const WATCHDOG: Duration = ms(500);

// An impossible limit does not compile.
pub const PACK: ValidConfig = const {
    let pack = Config::lifepo4(CELLS as u8).with_model(Model::B2a24s15p).with_capacity(ah(100));
    pack.with_board(DEFINITION).validated()
};
const DEFINITION: BoardDefinition = BoardDefinition {
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

/// What a production tool may change without a new build.
pub type Parameters = ParameterBlock<32>;
/// No balancer, heater or precharge path on this board.
pub type Core = Unbalanced<CELLS>;
/// The core behind its driver.
pub type Protection<P> = Driver<P, CELLS, CoulombCounter, NotFitted, NotFitted>;

/// The configuration with the tool's changes, and what a reset left; a wrong block keeps the pack open.
pub fn settings(block: &'static Parameters, retained: &RetainedSnapshot, cause: ResetCause) -> (ValidConfig, Stored) {
    match block.apply(PACK) {
        Ok(config) => (config, retained.load(cause)),
        Err(_) => (PACK, Stored::Corrupt),
    }
}

/// What stands behind the multiplexer, whose select lines come lowest bit first.
pub fn taps(
    adc: &RefCell<impl AdcSource>,
    select: [impl OutputPin; 4],
    delay: impl DelayNs,
) -> RefCell<impl AdcSource> {
    let multiplexer = Multiplexed::new(SharedAdc(adc), 0, select, delay, SETTLE_US);
    RefCell::new(Averaged::<_, EXTRA_BITS>::new(multiplexer))
}

/// All sensors, once a sample period.
pub fn sampler<'a, C: Clock + 'a>(
    clock: C,
    adc: &'a RefCell<impl AdcSource>,
    taps: &'a RefCell<impl AdcSource>,
    gates: &'static impl Latch,
    charger: impl InputPin + 'a,
    config: &ValidConfig,
) -> impl Sampler<CELLS> + 'a {
    let period = config.duration(ParameterId::SamplePeriod);
    let (direct, taps) = (Averaged::<_, EXTRA_BITS>::new(SharedAdc(adc)), SharedAdc(taps));
    let cells = CellTaps::new(taps, FIRST_CELL, Layout::Cells, &CELL_SCALES).with_references(&REFERENCES);
    let shunt =
        ShuntAmplifier::new(direct, 1, Direction::ChargingRaises, SHUNT_MICROOHMS, SHUNT_GAIN, REFERENCE_MV, FULL);
    Senses::new(clock)
        .with_cells(cells, period)
        .with_current(shunt, period)
        .with_temperatures(Thermistors::new(direct, &BATTERY, MOS), period)
        .with_stack(DividedVoltage::new(taps, STACK, STACK_SCALE), period)
        .with_inputs(DigitalInputs::new(gates).with_charger(charger), period)
}

/// Protects the pack for ever, and says once a second how it is. `send` sends as much of the line as goes without waiting;
/// `wait` sleeps until the next millisecond's interrupt.
pub fn run<P: Ports<CELLS>>(
    mut bms: Protection<P>,
    retained: &RetainedSnapshot,
    mut watchdog: HealthyWatchdog<impl Watchdog>,
    mut send: impl FnMut(&mut Line<384>),
    mut wait: impl FnMut(),
) -> ! {
    let mut line = Line::new();
    let mut next_line = Instant::ZERO;
    loop {
        match bms.poll() {
            Ok(step) => {
                retained.store(&bms.bms().snapshot());
                // Only a completed, in-time, healthy step has a token.
                if let Some(token) = step.watchdog {
                    watchdog.feed(token);
                }
                if step.at >= next_line && line.is_sent() {
                    next_line = step.at.after(secs(1));
                    line.write_status(&bms.status());
                }
            }
            Err(_nothing_to_do) => wait(),
        }
        while let Some(event) = bms.poll_event() {
            if event.kind == EventKind::ShuttingDown {
                bms.bms_mut().snapshot_stored();
            }
        }
        send(&mut line);
    }
}
