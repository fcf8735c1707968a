//! A client of the board's serial line, outside: it lets the emulated time pass and sees what the pack really does.
//!
//! One JSON command a line, one JSON answer a line. The time is the emulator's, so nothing depends on how fast it is.
//! ```text
//! {"write": [bytes]}                 to the UART of the tools
//! {"wait": {"bytes": n, "ms": t}}    until so many came, or so long → {"bytes": [bytes]}
//! {"can": {"id": n, "extended": true, "data": [bytes]}}    to the CAN bus → {"heard": true}, if the board's filter lets it in
//! {"frames": {}}                     what came on the CAN bus → {"rate": bits a second, "frames": [[ms, id, extended, [bytes]]]}
//! {"set": {"load": A, "charger": [V, A], "cell": [index, V], "battery": [index, °C], "mos": °C, "key": true}}
//! {"truth": {}}                      what the pack does, its gates, and how many lines of text came
//! ```

use std::io::{BufRead, Write};

use bms_host::plant::{Charger, Load};
use serde_json::{Value, json};

use crate::{Bench, CanFrame, Emulator};

/// How finely the client's time passes, in ms.
const STEP: u64 = 1;

/// Answers commands until there are no more.
pub fn serve(emulator: &mut dyn Emulator, from: impl BufRead, mut to: impl Write) -> Result<(), String> {
    let mut bench = Bench::enabled(emulator, &[])?;
    for line in from.lines() {
        let line = line.map_err(|error| error.to_string())?;
        let command: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        let answer = obey(&mut bench, &command)?;
        writeln!(to, "{answer}").and_then(|()| to.flush()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn obey(bench: &mut Bench, command: &Value) -> Result<Value, String> {
    let float = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let index = |value: &Value| value.as_u64().unwrap_or(u64::MAX) as usize;
    if let Some(bytes) = command["write"].as_array() {
        let bytes: Vec<u8> = bytes.iter().map(|byte| byte.as_u64().unwrap_or(0) as u8).collect();
        bench.emulator.link(&bytes)?;
        return Ok(json!({}));
    }
    if let Some(wait) = command.get("wait") {
        let (wanted, mut rest) = (index(&wait["bytes"]), wait["ms"].as_u64().unwrap_or(0));
        while bench.link.len() < wanted && rest > 0 {
            bench.run(STEP)?;
            rest = rest.saturating_sub(STEP);
        }
        let count = wanted.min(bench.link.len());
        return Ok(json!({"bytes": bench.link.drain(..count).collect::<Vec<_>>()}));
    }
    if let Some(frame) = command.get("can") {
        let data = frame["data"].as_array().map_or(vec![], |all| all.iter().map(|byte| index(byte) as u8).collect());
        let extended = frame["extended"].as_bool() == Some(true);
        let heard = bench.emulator.can(CanFrame { at: bench.now, id: index(&frame["id"]) as u32, extended, data })?;
        return Ok(json!({"heard": heard}));
    }
    if command.get("frames").is_some() {
        let frames: Vec<_> = std::mem::take(&mut bench.can)
            .into_iter()
            .map(|frame| json!([frame.at as f64 / crate::MS as f64, frame.id, frame.extended, frame.data]))
            .collect();
        return Ok(json!({"rate": bench.can_rate, "frames": frames}));
    }
    if let Some(changes) = command["set"].as_object() {
        for (what, value) in changes {
            bench.change(|world| match what.as_str() {
                "load" => world.plant.set_load(Load::Current(float(value))),
                "charger" => {
                    let charger = Charger { voltage: float(&value[0]), current: float(&value[1]) };
                    world.plant.set_charger((charger.current > 0.0).then_some(charger));
                }
                "cell" => world.cell(index(&value[0]), value[1].as_f64()),
                "battery" => world.battery(index(&value[0]), float(&value[1])),
                "mos" => world.mos(float(value)),
                "key" => world.key = value.as_bool() == Some(true),
                _ => eprintln!("no {what} to set"),
            })?;
        }
        return Ok(json!({}));
    }
    if command.get("truth").is_some() {
        let seen = bench.world.seen();
        let cells: Vec<f64> =
            seen.taps.iter().scan(0.0, |below, tap| Some(tap - std::mem::replace(below, *tap))).collect();
        return Ok(json!({
            "cell_voltages": cells, "voltage": seen.stack, "current": seen.current, "temp1": seen.battery[0],
            "temp2": seen.battery[1], "mos_temp": seen.mos, "charge_mos": bench.gates().0, "discharge_mos": bench.gates().1,
            "resets": bench.resets.iter().map(|at| *at as f64 / crate::MS as f64).collect::<Vec<_>>(),
            "now_ms": bench.now / crate::MS, "lines": bench.text.matches("\r\n").count(), "line": bench.last_line(),
        }));
    }
    Err(format!("no such command: {command}"))
}
