//! What is wired to the registers, and a demonstration that checks itself: a script of voltages and currents, and of what
//! the gates must do. Ends the run by semihosting; exit code 1 if anything was wrong.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use semihosting::{print, println, process};

use crate::{CHARGE, CHARGER, COMPARATOR, DISCHARGE, HEATER, REGISTERS, chip};

static STATUS: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicU32 = AtomicU32::new(0);
/// When the gates last changed, ms, and how they stood.
static CHANGED: AtomicU32 = AtomicU32::new(0);
static GATES: AtomicU32 = AtomicU32::new(0);

const BOTH: u32 = 1 << CHARGE | 1 << DISCHARGE;

fn show(channel: usize, code: u32) {
    if let Some(register) = REGISTERS.converter.get(channel) {
        register.store(code, Relaxed);
    }
}
fn cell(index: usize, millivolts: u32) {
    show(index, millivolts * 4_095 / 5_000);
    // The stack goes with it: 40 V are full scale.
    let others = 7 * 3_300;
    show(11, (others + millivolts) * 4_095 / 40_000);
}
fn input(bit: u32, high: bool) {
    let others = REGISTERS.inputs.load(Relaxed) & !(1 << bit);
    REGISTERS.inputs.store(others | u32::from(high) << bit, Relaxed);
}
/// 10 kΩ, B = 3435 K: codes at some temperatures.
const AT_25: u32 = 2_048;
const AT_MINUS_5: u32 = 3_191;
const AT_66: u32 = 818;
const AT_80: u32 = 586;
const UNPLUGGED: u32 = 4_095;

/// Every millisecond. Groups are scanned 20 ms apart, so that what needs two of them takes a period and 20 ms at most.
pub fn tick(now: u64) {
    let now = now as u32;
    let outputs = REGISTERS.outputs.load(Relaxed);
    if outputs & BOTH != GATES.load(Relaxed) {
        GATES.store(outputs & BOTH, Relaxed);
        CHANGED.store(now, Relaxed);
    }
    let dog = REGISTERS.watchdog.load(Relaxed);
    REGISTERS.watchdog.store(dog.saturating_sub(1), Relaxed);
    let charge_only = 1 << CHARGE;
    let discharge_only = 1 << DISCHARGE;
    match now {
        1 => {
            (0..8).for_each(|index| cell(index, 3_300));
            show(8, 2_048);
            show(9, AT_25);
            show(10, AT_25);
            show(12, 2_048);
        }
        450 => expect("D32", "both gates closed after the first scan", BOTH, 0..=200),
        500 => cell(2, 2_600),
        1_500 => expect("P01", "cell 3 low for 0.5 s: discharge gate off", charge_only, 1_000..=1_110),
        1_501 => cell(2, 3_300),
        2_000 => expect("P02", "on again", BOTH, 1_501..=1_630),
        2_010 => cell(7, 3_700),
        3_000 => expect("P03", "cell 8 high for 0.5 s: charge gate off", discharge_only, 2_510..=2_620),
        3_001 => cell(7, 3_300),
        3_500 => expect("P04", "on again", BOTH, 3_001..=3_130),
        // 130 A of discharge, 100 A allowed.
        3_510 => show(8, 2_048 - 807),
        5_000 => expect("P08", "over-current for 1 s: discharge gate off", charge_only, 4_510..=4_620),
        5_001 => show(8, 2_048),
        5_010 => {
            input(COMPARATOR, true);
            chip::raise_comparator();
        }
        5_012 => expect("P11", "both gates off in the comparator's interrupt", 0, 5_010..=5_011),
        5_200 => input(COMPARATOR, false),
        // The discharge gate is still held by its over-current release of 60 s.
        7_400 => expect("P11", "charge gate on after the release time", charge_only, 7_010..=7_310),
        7_410 => show(9, AT_MINUS_5),
        7_411 => input(CHARGER, true),
        9_000 => {
            expect("P14", "battery at -5 °C for 1 s: charge gate off", 0, 8_410..=8_520);
            check("H01", "heater on", outputs >> HEATER & 1 == 1, now);
        }
        9_001 => show(9, AT_25),
        9_500 => {
            expect("P14", "on again", charge_only, 9_001..=9_130);
            check("H01", "heater off", outputs >> HEATER & 1 == 0, now);
        }
        9_510 => show(9, AT_66),
        11_000 => expect("P12", "battery at 66 °C for 1 s: charge gate off", 0, 10_510..=10_620),
        11_001 => show(9, AT_25),
        11_500 => expect("P12", "on again", charge_only, 11_001..=11_130),
        11_510 => show(10, AT_80),
        13_000 => expect("P15", "switches at 80 °C for 1 s: both gates off", 0, 12_510..=12_620),
        13_001 => show(10, AT_25),
        13_500 => expect("P15", "on again", charge_only, 13_001..=13_130),
        13_510 => show(10, UNPLUGGED),
        15_000 => expect("X02", "thermistor of the switches unplugged for 1 s: both gates off", 0, 14_510..=14_620),
        15_001 => show(10, AT_25),
        20_500 => expect("X02", "on again after 5 s of good data", charge_only, 20_001..=20_210),
        // The reference channel no longer shows its voltage.
        20_510 => show(12, 3_000),
        22_000 => expect("X01", "converter's reference wrong for 1 s: both gates off", 0, 21_400..=21_620),
        22_001 => check("X20", "the watchdog was always fed in time", dog > 0, now),
        22_002 => STATUS.store(true, Relaxed),
        22_100 => {
            let failed = FAILED.load(Relaxed);
            println!("{failed} checks failed");
            process::exit(i32::from(failed > 0));
        }
        _ => {}
    }
    if now > 1_000 && dog == 0 {
        check("X20", "the watchdog bites", false, now);
    }
}

fn expect(id: &str, what: &str, gates: u32, changed: core::ops::RangeInclusive<u32>) {
    let at = CHANGED.load(Relaxed);
    check(id, what, GATES.load(Relaxed) == gates && changed.contains(&at), at);
}

fn check(id: &str, what: &str, fine: bool, at: u32) {
    if !fine {
        FAILED.store(FAILED.load(Relaxed) + 1, Relaxed);
    }
    println!("{} {id} {what}, at {at} ms", if fine { "ok  " } else { "FAIL" });
}

pub fn wants_status() -> bool {
    let wants = STATUS.load(Relaxed);
    STATUS.store(false, Relaxed);
    wants
}

pub fn print(bytes: &[u8]) {
    print!("{}", core::str::from_utf8(bytes).unwrap_or("?"));
}
