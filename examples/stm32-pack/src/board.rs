//! The board: which pin does what, and how its dividers, shunt and thermistors are built.
//!
//! | pin | | pin | |
//! |---|---|---|---|
//! | PB12 | charge gate, high closes; pull-down on the board | PA0 | multiplexer's output: one cell × 0.4 |
//! | PB13 | discharge gate, the same | PA1 | shunt amplifier, 1.65 V at rest, charging raises |
//! | PB2 | comparator, high at a short circuit | PA3 PA4 PA5 | battery thermistors 1 and 2, that of the switches |
//! | PC6 … PC10 | multiplexer's select lines | PA6 | stack through 1 MΩ : 33 kΩ |
//! | PC11 | high while a charger is plugged in | PA2 | status as text, 115200 8N1 |
//! | PC12 | power hold | PB14 | heater, 40 Ω, fed by the battery |
//! | PC13 | LED of the link | PC14 | buzzer |
//! | PA9, PA10 | protocol 4E57 out and in, 115200 8N1 | PA8 | key, high while pressed |
//! | PD1, PD0 | CAN out and in, to an inverter or JK's | | |
//!
//! The multiplexer has 32 positions: 0 to 23 are the cells, 30 is ground, 31 half the reference. Both are read in every
//! scan: a converter or multiplexer that is stuck cannot show both.

use core::cell::RefCell;

use bms_core::config::SensorPolicy;
use bms_core::driver::asynch::Ports;
use bms_core::port::asynch::Blocking;
use bms_core::port::compose::Senses;
use bms_core::prelude::*;
use bms_hal::{
    Averaged, CellTaps, DigitalInputs, Direction, DividedVoltage, ExpiringOutput, Gates, HealthyWatchdog, Layout,
    LedAndBuzzer, Multiplexed, PowerHold, Reference, Scale, SharedAdc, ShuntAmplifier, Thermistor, ThermistorTable,
    Thermistors, Unchecked,
};
use bms_stm32::{
    AdcChannels, Clock, ComparatorHandler, ComparatorLine, ComparatorPin, IndependentWatchdog, OpensGates,
};
use cortex_m::peripheral::syst::SystClkSource;
use embassy_stm32::adc::{Adc, AdcChannel, SampleTime};
use embassy_stm32::gpio::{AnyPin, Input, Level, Output, Pull, Speed};
use embassy_stm32::rcc::{APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk};
use embassy_stm32::time::Hertz;
use embassy_stm32::{Peri, bind_interrupts, pac, peripherals};
use embassy_time::Delay;
use static_cell::StaticCell;

use crate::link::Wires;
use crate::report::Report;

/// What the board has.
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

pub const CELLS: usize = 24;
const CLOCK_HZ: u32 = 48_000_000;
const PERIOD: Duration = ms(100);
/// Two bits more than the converter has: every reading is the sum of four.
const EXTRA_BITS: u8 = 2;
const FULL_SCALE: u16 = 4_095 << EXTRA_BITS;
const REFERENCE_MV: u32 = 3_300;
/// The select lines' edge until the amplifier behind the multiplexer has settled.
const SETTLE_US: u32 = 50;

/// ± 330 A.
const SHUNT_MICROOHMS: u32 = 100;
const SHUNT_GAIN: u32 = 50;
const STACK: Scale = Scale::divider(1_000_000, 33_000, REFERENCE_MV * 1_000, FULL_SCALE);

/// Beyond two cells in series: behind a cut wire one input reads double, and must be seen to.
static CELL_SCALES: [Scale; CELLS] = [Scale::new(8_250_000, FULL_SCALE); CELLS];
static CELL_REFERENCES: [Reference; 2] = [
    Reference { channel: 30, code: 0, tolerance: FULL_SCALE / 100 },
    Reference { channel: 31, code: FULL_SCALE / 2, tolerance: FULL_SCALE / 100 },
];
static NTC: ThermistorTable = ThermistorTable::beta(10_000, 3_435, 10_000, FULL_SCALE);
static BATTERY: [Thermistor; 2] =
    [Thermistor { channel: adc::T1, table: &NTC }, Thermistor { channel: adc::T2, table: &NTC }];
const SWITCHES: Thermistor = Thermistor { channel: adc::MOS, table: &NTC };

/// Where each channel of the converter leads.
mod adc {
    pub const CELLS: u8 = 0;
    pub const CURRENT: u8 = 1;
    pub const T1: u8 = 2;
    pub const T2: u8 = 3;
    pub const MOS: u8 = 4;
    pub const STACK: u8 = 5;
}

type Gate = Output<'static>;
type Converter = AdcChannels<'static, peripherals::ADC1, 6>;

/// Pins and latch of the two gates; the interrupt and the panic handler reach them here.
static GATES: Gates<Gate, Gate, ComparatorPin> = Gates::new();
static HEATER: ExpiringOutput<Gate> = ExpiringOutput::new();
static COMPARATOR: ComparatorLine = ComparatorLine::new();
static CONVERTER: StaticCell<RefCell<Converter>> = StaticCell::new();

struct ShortCircuit;

impl OpensGates for ShortCircuit {
    fn open_gates() {
        GATES.trip();
    }
    fn line() -> &'static ComparatorLine {
        &COMPARATOR
    }
}

bind_interrupts!(struct Interrupts {
    EXTI2 => ComparatorHandler<ShortCircuit>;
});

/// What `main` works with.
pub struct Parts<P> {
    pub ports: P,
    pub watchdog: HealthyWatchdog<IndependentWatchdog<'static, peripherals::IWDG>>,
    pub report: Report,
    pub wires: Wires,
    pub cause: ResetCause,
}

/// Makes everything, the gates first. Until then their pins are inputs, and the pull-downs hold them open.
pub fn init() -> Parts<impl Ports<CELLS>> {
    let mut config = embassy_stm32::Config::default();
    // The crystal, not the RC oscillator: trip delays follow it. 48 MHz: a scan takes a millisecond, the rest is sleep.
    config.rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Oscillator });
    config.rcc.pll_src = PllSource::HSE;
    config.rcc.pll =
        Some(Pll { prediv: PllPreDiv::DIV4, mul: PllMul::MUL96, divp: Some(PllPDiv::DIV4), divq: None, divr: None });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    let p = embassy_stm32::init(config);

    let comparator = COMPARATOR.arm::<ShortCircuit, _>(p.PB2, p.EXTI2, Pull::None, Interrupts);
    let open = |pin: Peri<'static, AnyPin>| Output::new(pin, Level::Low, Speed::Low);
    let Ok(switches) = GATES.install(open(p.PB12.into()), open(p.PB13.into()), comparator, Unchecked) else {
        fail_safe()
    };

    let channels = [
        p.PA0.degrade_adc(),
        p.PA1.degrade_adc(),
        p.PA3.degrade_adc(),
        p.PA4.degrade_adc(),
        p.PA5.degrade_adc(),
        p.PA6.degrade_adc(),
    ];
    let converter = AdcChannels::new(Adc::new(p.ADC1), channels, SampleTime::CYCLES15);
    let converter = SharedAdc(CONVERTER.init(RefCell::new(converter)));
    let averaged = Averaged::<_, EXTRA_BITS>::new(converter);
    let select = [open(p.PC6.into()), open(p.PC7.into()), open(p.PC8.into()), open(p.PC9.into()), open(p.PC10.into())];
    let multiplexer = Multiplexed::new(averaged, adc::CELLS, select, Delay, SETTLE_US);
    let current = ShuntAmplifier::new(
        averaged,
        adc::CURRENT,
        Direction::ChargingRaises,
        SHUNT_MICROOHMS,
        SHUNT_GAIN,
        REFERENCE_MV,
        FULL_SCALE,
    );
    let inputs = DigitalInputs::new(&GATES).with_charger(Input::new(p.PC11, Pull::None));
    let sampler = Senses::new(Clock)
        .with_cells(
            CellTaps::new(multiplexer, 0, Layout::Cells, &CELL_SCALES).with_references(&CELL_REFERENCES),
            PERIOD,
        )
        .with_current(current, PERIOD)
        .with_temperatures(Thermistors::new(averaged, &BATTERY, SWITCHES), PERIOD)
        .with_stack(DividedVoltage::new(averaged, adc::STACK, STACK), PERIOD)
        .with_inputs(inputs, PERIOD);

    let (Ok(heater), Ok(power), Ok(indicator)) = (
        HEATER.install(open(p.PB14.into()), Clock),
        PowerHold::new(Output::new(p.PC12, Level::High, Speed::Low)),
        LedAndBuzzer::new(open(p.PC13.into()), open(p.PC14.into()), Clock),
    ) else {
        fail_safe()
    };
    start_tick();
    Parts {
        ports: Board::new(sampler, Blocking(switches), Clock)
            .with_heater(Blocking(heater))
            .with_power(Blocking(power))
            .with_indicator(Blocking(indicator)),
        // Bites after two to ten missed samples, whatever its oscillator does.
        watchdog: HealthyWatchdog::new(IndependentWatchdog::start(p.IWDG, ms(500))),
        report: Report::new(p.USART2, p.PA2, p.DMA1_CH6),
        #[cfg(not(feature = "link"))]
        wires: Wires,
        #[cfg(feature = "link")]
        wires: Wires {
            uart: (p.USART1, p.PA9, p.PA10),
            key: p.PA8,
            #[cfg(feature = "can")]
            can: (p.CAN1, p.PD0, p.PD1),
        },
        cause: reset_cause(),
    }
}

/// Every 10 ms, so that the heater ends in time whatever the rest does.
fn start_tick() {
    if let Some(cortex_m::Peripherals { SYST: mut timer, .. }) = cortex_m::Peripherals::take() {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(CLOCK_HZ / 100 - 1);
        timer.clear_current();
        timer.enable_counter();
        timer.enable_interrupt();
    }
}

#[cortex_m_rt::exception]
fn SysTick() {
    HEATER.expire(bms_core::port::Clock::now(&Clock));
}

/// Why the chip started; forgotten once it is read.
fn reset_cause() -> ResetCause {
    let flags = pac::RCC.csr().read();
    pac::RCC.csr().modify(|csr| csr.set_rmvf(true));
    if flags.wdgrstf() || flags.wwdgrstf() || flags.sftrstf() {
        // A software reset is the end of a panic: see `fail_safe`.
        ResetCause::Watchdog
    } else if flags.porrstf() {
        ResetCause::PowerOn
    } else if flags.borrstf() {
        ResetCause::BrownOut
    } else {
        ResetCause::Unknown
    }
}

/// Opens both gates and starts anew: whatever went wrong, the rest of this run is not to be trusted.
pub fn fail_safe() -> ! {
    GATES.trip();
    HEATER.expire(Instant::from_millis(u64::MAX));
    cortex_m::peripheral::SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    fail_safe()
}

#[cortex_m_rt::exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    fail_safe()
}

/// An interrupt that nobody asked for.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(_: i16) {
    fail_safe()
}
