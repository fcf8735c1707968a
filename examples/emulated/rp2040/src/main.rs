//! Runs the real image of `rp2040-pack` in rp2040js, and checks what it does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use bms_core::prelude::*;
use emulated_bench::{About, Edge, Emulator, Fault, Flash, Happened, Output, Seen, Source};
use serde_json::{Value, json};

const FULL_SCALE: f64 = 4_095.0;
const CHARGE: u64 = 2;
const DISCHARGE: u64 = 3;
const COMPARATOR: u64 = 4;

/// The emulator in a process of its own.
struct Rp2040 {
    elf: String,
    _process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pins: Value,
}

impl Rp2040 {
    fn new(elf: &str) -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/emulator.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node {script}: {error}"))?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("no pipe".into());
        };
        Ok(Self { elf: elf.into(), _process: process, to, from: BufReader::new(from), pins: json!({"4": 0}) })
    }
    fn ask(&mut self, command: Value) -> Result<Value, String> {
        writeln!(self.to, "{command}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.from.read_line(&mut line).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        match answer.get("error") {
            Some(error) => Err(error.as_str().unwrap_or("unknown").into()),
            None => Ok(answer),
        }
    }
}

/// The board of `examples/rp2040-pack/src/board.rs`: which voltage stands where, as a code.
fn codes(seen: &Seen) -> (Vec<u64>, u64) {
    let code = |part: f64| (part * FULL_SCALE).round().clamp(0.0, FULL_SCALE) as u64;
    let divided = |volts: f64, tap: usize| code(volts * 1e4 / (1e4 + 13_800.0 * (tap as f64 + 1.0)) / 3.3);
    let thermistor = |celsius| code(emulated_bench::thermistor(celsius));
    let mut positions = vec![0, code(2.048 / 3.3)];
    positions.extend(seen.taps.iter().enumerate().map(|(tap, volts)| divided(*volts, tap)));
    positions.extend([thermistor(seen.battery[0]), thermistor(seen.battery[1]), thermistor(seen.mos)]);
    positions.push(divided(seen.stack, seen.taps.len() - 1));
    positions.resize(16, 0);
    // 100 µΩ × 50, half the reference at rest.
    (positions, code(0.5 + seen.current * 100e-6 * 50.0 / 3.3))
}

impl Emulator for Rp2040 {
    fn about(&self) -> About {
        About {
            chip: "RP2040",
            firmware: "rp2040-pack",
            emulator: "rp2040js 1.4.1",
            cells: 8,
            period: 100,
            watchdog: 500.0,
            short_circuit_cycles: 500,
            megahertz: 125.0,
            configuration: || Config::lifepo4(8).with_model(Model::B2a8s20p).with_capacity(ah(100)),
        }
    }
    fn power_up(&mut self, parameters: &[(ParameterId, i32)]) -> Result<(), String> {
        let parameters: Vec<_> = parameters.iter().map(|(id, value)| json!([*id as u32, value])).collect();
        let elf = self.elf.clone();
        self.ask(json!({"boot": {"elf": elf, "parameters": parameters}})).map(|_| ())
    }
    fn show(&mut self, seen: &Seen) -> Result<(), String> {
        let (mux, shunt) = codes(seen);
        self.pins["6"] = json!(u8::from(seen.charger));
        self.pins["7"] = json!(u8::from(seen.activation));
        self.pins["14"] = json!(u8::from(seen.key));
        let pins = self.pins.clone();
        self.ask(json!({"world": {"mux": mux, "shunt": shunt, "pins": pins}})).map(|_| ())
    }
    fn run(&mut self, nanoseconds: u64) -> Result<Happened, String> {
        let answer = self.ask(json!({"run": nanoseconds}))?;
        let number = |value: &Value| value.as_f64().unwrap_or(0.0) as u64;
        let numbers = |name: &str| answer[name].as_array().map_or(vec![], |all| all.iter().map(number).collect());
        let edge = |edge: &Value| {
            let output = match number(&edge[1]) {
                CHARGE => Output::Charge,
                DISCHARGE => Output::Discharge,
                5 => Output::Heater,
                9 => Output::PowerHold,
                _ => return None,
            };
            Some(Edge { at: number(&edge[0]), output, high: number(&edge[2]) == 1 })
        };
        let read = |read: &Value| {
            let source = match number(&read[1]) {
                position @ 2..=9 => Source::Cell(position as u8 - 2),
                position @ 10..=11 => Source::Battery(position as u8 - 10),
                12 => Source::Mos,
                16 => Source::Current,
                _ => return None,
            };
            Some((number(&read[0]), source))
        };
        Ok(Happened {
            now: number(&answer["now"]),
            edges: answer["edges"].as_array().map_or(vec![], |all| all.iter().filter_map(edge).collect()),
            text: answer["uart"].as_str().unwrap_or("").into(),
            link: numbers("link").into_iter().map(|byte| byte as u8).collect(),
            reads: answer["reads"].as_array().map_or(vec![], |all| all.iter().filter_map(read).collect()),
            converting: number(&answer["converting"]),
            resets: numbers("resets"),
            awake: number(&answer["awake"]),
            stack: number(&answer["stack"]),
            flash: Flash {
                erases: number(&answer["flash"]["erases"]),
                programs: number(&answer["flash"]["programs"]),
                erases_closed: number(&answer["flash"]["erasedClosed"]),
                stall_closed: number(&answer["flash"]["closed"]),
                stall_open: number(&answer["flash"]["open"]),
            },
        })
    }
    fn link(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.ask(json!({"link": bytes})).map(|_| ())
    }
    fn short_circuit(&mut self) -> Result<Option<u64>, String> {
        self.pins["4"] = json!(1);
        let watched = json!({"pin": COMPARATOR, "watch": [CHARGE, DISCHARGE], "limit": 1_000_000});
        let answer = self.ask(json!({"edge": watched}))?;
        Ok(answer["open"].as_bool().unwrap_or(false).then(|| answer["cycles"].as_u64().unwrap_or(u64::MAX)))
    }
    fn short_circuit_over(&mut self) -> Result<(), String> {
        self.pins["4"] = json!(0);
        self.ask(json!({"world": {"pins": {"4": 0}}})).map(|_| ())
    }
    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        let argument = match fault {
            Fault::None => {
                self.pins["4"] = json!(0);
                json!({})
            }
            Fault::Stuck(part) => json!({"adc": (part * FULL_SCALE) as u64}),
            Fault::Silent => json!({"adc": "silent"}),
            Fault::Stalled => json!({"stall": true}),
        };
        self.ask(json!({"fault": argument})).map(|_| ())
    }
    fn keeps_flash(&self) -> bool {
        true
    }
    fn power_cycle(&mut self) -> Result<(), String> {
        self.ask(json!({"power": true})).map(|_| ())
    }
    fn rot(&mut self) -> Result<(), String> {
        self.ask(json!({"rot": true})).map(|_| ())
    }
}

fn main() -> ExitCode {
    emulated_bench::main(Rp2040::new)
}
