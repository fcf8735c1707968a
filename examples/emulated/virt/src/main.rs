//! Runs the board logic of `esp32-pack` on QEMU's generic RISC-V machine, and checks what it does. Pins and converter are memory of
//! the image; it tells what changed and is told what the sensors see whenever its time is up (`image/src/machine.rs`).

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bms_core::prelude::*;
use emulated_bench::{About, Edge, Emulator, Fault, Happened, Output, Seen, Source};
use esp32_pack_logic::{CELLS, FULL_SCALE, PACK};

/// "BMSP": where the block of parameters begins.
const MAGIC: [u8; 4] = 0x5053_4d42_u32.to_le_bytes();
const BLOCK: usize = 12 + 8 * 32;
/// Nanoseconds of the machine's tick.
const TICK: u64 = 100;
/// An instruction lasts 2^5 ns: a slow chip. The machine's cycle counter counts nanoseconds then.
const SHIFT: u32 = 5;

const COMPARATOR_HIGH: u32 = 1;
const COMPARATOR_RISES: u32 = 2;
const CHARGER_PLUGGED: u32 = 4;
const STALLED: u32 = 8;
const SILENT: u32 = 16;
const STUCK: u32 = 32;

struct Virt {
    elf: Vec<u8>,
    patched: PathBuf,
    machine: Option<(Child, ChildStdin, ChildStdout)>,
    codes: [u32; 20],
    flags: u32,
    stuck: u32,
    /// The machine's time 0, and its time now, ns since power-up.
    zero: u64,
    now: u64,
    pending: Happened,
    cycles: Option<u64>,
}

impl Virt {
    fn new(elf: &str) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let patched = std::env::temp_dir().join(format!("esp32-pack-virt-{}-{number}.elf", std::process::id()));
        let elf = fs::read(elf).map_err(|error| error.to_string())?;
        let pending = Happened::default();
        Ok(Self {
            elf,
            patched,
            machine: None,
            codes: [0; 20],
            flags: 0,
            stuck: 0,
            zero: 0,
            now: 0,
            pending,
            cycles: None,
        })
    }
    /// The image with these parameters in its block.
    fn image(&self, parameters: &[(ParameterId, i32)]) -> Result<Vec<u8>, String> {
        let empty: Vec<u8> = MAGIC.into_iter().chain([0; BLOCK - 4]).collect();
        let mut found = self.elf.windows(BLOCK).enumerate().filter(|(_, window)| *window == empty.as_slice());
        let (Some((at, _)), None) = (found.next(), found.next()) else {
            return Err("the image has no empty block of parameters, or several".into());
        };
        let entries: Vec<u32> = parameters.iter().flat_map(|(id, value)| [*id as u32, value.cast_unsigned()]).collect();
        let count = parameters.len() as u32;
        let sum = entries.iter().fold(count, |sum, word| sum.wrapping_add(*word));
        let mut image = self.elf.clone();
        let words = [count, sum].into_iter().chain(entries);
        for (to, word) in image[at + 4..at + BLOCK].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Ok(image)
    }
    fn stop(&mut self) {
        if let Some((mut process, to, from)) = self.machine.take() {
            drop((to, from));
            let _ = process.kill();
            let _ = process.wait();
        }
    }
    /// Takes in what the machine tells until it stands still.
    fn hear(&mut self) -> Result<(), String> {
        loop {
            let Some((_, _, from)) = &mut self.machine else { return Err("no power".into()) };
            let mut bytes = [0; 12];
            from.read_exact(&mut bytes).map_err(|error| format!("the machine ended: {error}"))?;
            let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            let (time, number, value) = (u64::from(word(0)) * TICK, word(4) & 0x00ff_ffff, word(8));
            let at = self.zero + time;
            match word(4) >> 24 {
                1 => {
                    let output = match number {
                        0 => Output::Charge,
                        1 => Output::Discharge,
                        3 => Output::PowerHold,
                        _ => return Err(format!("no output {number}")),
                    };
                    self.pending.edges.push(Edge { at, output, high: value == 1 });
                }
                2 => {
                    let source = match number {
                        position @ 2..=14 => Source::Cell(position as u8 - 2),
                        16 => Source::Current,
                        channel @ 17..=18 => Source::Battery(channel as u8 - 17),
                        19 => Source::Mos,
                        _ => continue,
                    };
                    self.pending.reads.push((at, source));
                }
                3 => {
                    let text = &value.to_le_bytes()[..number.min(4) as usize];
                    self.pending.text.push_str(&String::from_utf8_lossy(text));
                }
                4 => {
                    self.pending.resets.push(at);
                    self.now = at;
                    // What hung begins anew.
                    self.flags &= !STALLED;
                }
                5 => self.zero = self.now.saturating_sub(time),
                6 => {
                    self.now = at;
                    self.cycles = (value != u32::MAX).then_some(u64::from(value) >> SHIFT);
                    return Ok(());
                }
                kind => return Err(format!("no such kind: {kind}")),
            }
        }
    }
    fn tell(&mut self, nanoseconds: u64, flags: u32) -> Result<(), String> {
        let Some((_, to, _)) = &mut self.machine else { return Err("no power".into()) };
        let ticks = u32::try_from(nanoseconds / TICK).unwrap_or(u32::MAX);
        let words = [ticks, self.flags | flags, self.stuck].into_iter().chain(self.codes);
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        to.write_all(&bytes).and_then(|()| to.flush()).map_err(|error| error.to_string())
    }
    fn pass(&mut self, nanoseconds: u64, flags: u32) -> Result<(), String> {
        let end = self.now + nanoseconds;
        let mut flags = flags;
        // A reset in between ends a stretch early.
        while self.now + TICK <= end {
            self.tell(end - self.now, flags)?;
            flags = 0;
            self.hear()?;
        }
        Ok(())
    }
}

impl Drop for Virt {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_file(&self.patched);
    }
}

/// The board of `esp32-pack-logic`: which voltage stands where, as a code.
fn codes(seen: &Seen) -> [u32; 20] {
    const REFERENCE: f64 = 2.5;
    let code = |part: f64| (part * f64::from(FULL_SCALE)).round().clamp(0.0, FULL_SCALE.into()) as u32;
    let thermistor = |celsius| code(emulated_bench::thermistor(celsius));
    let mut codes = [0; 20];
    codes[1] = code(0.5);
    let mut below = 0.0;
    for (tap, slot) in seen.taps.iter().zip(&mut codes[2..2 + CELLS]) {
        // A wire that is cut: the amplifier's bias pulls its input to the one below.
        let tap = if *tap == 0.0 { below } else { *tap };
        *slot = code((tap - below) * 0.3 / REFERENCE);
        below = tap;
    }
    codes[15] = code(seen.stack * 47.0 / 1_047.0 / REFERENCE);
    // 100 µΩ × 50, half the reference at rest.
    codes[16] = code(0.5 + seen.current * 100e-6 * 50.0 / REFERENCE);
    codes[17] = thermistor(seen.battery[0]);
    codes[18] = thermistor(seen.battery[1]);
    codes[19] = thermistor(seen.mos);
    codes
}

impl Emulator for Virt {
    fn about(&self) -> About {
        About {
            chip: "RV32IMC, the C3's board logic",
            firmware: "esp32-pack-virt",
            emulator: "QEMU, virt",
            cells: CELLS as u8,
            period: 100,
            watchdog: f64::from(esp32_pack_logic::WATCHDOG.as_millis()),
            // Instructions: this emulator counts those, not cycles.
            short_circuit_cycles: 400,
            megahertz: 1e3 / f64::from(1 << SHIFT),
            amplifier: 250,
            lacks: &[
                ("H01", "the board has no heater"),
                ("load", "instructions of an emulator are no load of the chip"),
            ],
            configuration: || PACK.to_config(),
        }
    }
    fn power_up(&mut self, parameters: &[(ParameterId, i32)]) -> Result<(), String> {
        self.stop();
        fs::write(&self.patched, self.image(parameters)?).map_err(|error| error.to_string())?;
        // Sleeping takes no time outside, and a run is the same every time.
        let time = format!("shift={SHIFT},sleep=off");
        let mut process = Command::new("qemu-system-riscv32")
            .args(["-M", "virt", "-bios", "none", "-nographic", "-monitor", "none", "-serial", "null"])
            .args(["-semihosting-config", "enable=on,target=native", "-icount", &time, "-kernel"])
            .arg(&self.patched)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("qemu-system-riscv32: {error}"))?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("no pipe".into());
        };
        self.machine = Some((process, to, from));
        (self.zero, self.now, self.pending) = (0, 0, Happened::default());
        self.hear()
    }
    fn show(&mut self, seen: &Seen) -> Result<(), String> {
        self.codes = codes(seen);
        self.flags = self.flags & !CHARGER_PLUGGED | if seen.charger { CHARGER_PLUGGED } else { 0 };
        Ok(())
    }
    fn run(&mut self, nanoseconds: u64) -> Result<Happened, String> {
        self.pass(nanoseconds, 0)?;
        Ok(Happened { now: self.now, ..std::mem::take(&mut self.pending) })
    }
    fn short_circuit(&mut self) -> Result<Option<u64>, String> {
        self.flags |= COMPARATOR_HIGH;
        self.pass(1_000_000, COMPARATOR_RISES)?;
        Ok(self.cycles)
    }
    fn short_circuit_over(&mut self) -> Result<(), String> {
        self.flags &= !COMPARATOR_HIGH;
        Ok(())
    }
    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        self.flags &= !(STALLED | SILENT | STUCK);
        match fault {
            Fault::None => self.flags = 0,
            Fault::Stuck(part) => {
                self.stuck = (part * f64::from(FULL_SCALE)) as u32;
                self.flags |= STUCK;
            }
            Fault::Silent => self.flags |= SILENT,
            Fault::Stalled => self.flags |= STALLED,
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    emulated_bench::main(Virt::new)
}
