// An RP2040 in rp2040js, driven over a pipe: one JSON command a line, one JSON answer a line.
//
//   {"boot": {"elf": path, "parameters": [[number, value], …]}}   a fresh chip, power just on
//   {"world": {"mux": [16 codes], "shunt": code, "pins": {"4": 0}}}   what stands at its pins from now on
//   {"fault": {"adc": null | "silent" | code, "stall": bool}}     a converter that is broken, a main loop that hangs
//   {"link": [bytes]}                                             what comes in at UART1, one byte after the other
//   {"run": nanoseconds}                                          lets time pass; answers with what happened
//   {"power": true}                                               off and on again: the flash stays, RAM does not
//   {"rot": true}                                                 bits flip all over both banks of the store
//   {"edge": {"pin": 4, "watch": [2, 3], "limit": cycles}}        raises an input; counts cycles until all watched are low
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { GPIOPinState, Simulator } from 'rp2040js';

const FLASH = 0x10000000;
const SRAM = 0x20000000;
const VECTORS = FLASH + 0x100;
const CYCLE = 8; // ns at 125 MHz
const SELECT = [10, 11, 12, 13];
const OUTPUTS = [2, 3, 5, 8, 9, 25];
const MAGIC = 0x50534d42;
const BYTE = 86806; // ns at 115200 baud, 8N1

function readElf(path) {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const segments = [];
  const symbols = {};
  for (let i = 0; i < view.getUint16(44, true); i++) {
    const header = view.getUint32(28, true) + i * view.getUint16(42, true);
    const size = view.getUint32(header + 16, true);
    if (view.getUint32(header, true) !== 1 || size === 0) continue;
    const from = view.getUint32(header + 4, true);
    segments.push({ address: view.getUint32(header + 12, true), data: bytes.subarray(from, from + size) });
  }
  for (let i = 0; i < view.getUint16(48, true); i++) {
    const header = view.getUint32(32, true) + i * view.getUint16(46, true);
    if (view.getUint32(header + 4, true) !== 2) continue;
    const names = view.getUint32(32, true) + view.getUint32(header + 24, true) * view.getUint16(46, true);
    const strings = view.getUint32(names + 16, true);
    const from = view.getUint32(header + 16, true);
    for (let at = from; at < from + view.getUint32(header + 20, true); at += 16) {
      const name = strings + view.getUint32(at, true);
      symbols[bytes.toString('latin1', name, bytes.indexOf(0, name))] = view.getUint32(at + 4, true);
    }
  }
  return { segments, symbols };
}

let elf;
let chip;
// What stands at the pins; survives resets of the chip.
const world = { mux: new Array(16).fill(0), shunt: 2048, pins: {}, adc: null, stall: false };
let noise = 1;
let seen;
// Bytes on their way to UART1, and when the next one is there.
const coming = { bytes: [], at: 0 };

function forget() {
  seen = { edges: [], uart: '', link: [], reads: [], resets: [], awake: 0, converting: 0,
    flash: { erases: 0, programs: 0, erasedClosed: 0, closed: 0, open: 0 } };
}

/** A converter has noise: one code to either side, from a fixed sequence. */
function dither() {
  noise = (Math.imul(noise, 1664525) + 1013904223) >>> 0;
  return (noise >>> 16) % 3 - 1;
}

function convert(mcu, channel) {
  if (world.adc !== null) return world.adc;
  const position = SELECT.reduce((sum, pin, bit) => sum | (mcu.gpio[pin].value === GPIOPinState.High ? 1 << bit : 0), 0);
  // Positions of the multiplexer, and behind them the other channels; of a burst the first.
  const source = channel === 0 ? position : 15 + channel;
  if (chip.source !== source) seen.reads.push([chip.base + chip.clock.nanos, source]);
  chip.source = source;
  const code = channel === 0 ? world.mux[position] : world.shunt;
  return Math.max(0, Math.min(4095, code + dither()));
}

class Reset extends Error {}

// What of the boot ROM the flash driver calls. Each function is a breakpoint, at which the host does its work.
const ROM = 0x100;
const STORE = 2048 * 1024 - 112 * 1024;
const BANKS = 80 * 1024;
// W25Q16JV, typical by its data sheet: a sector is erased in 45 ms, a page programmed in 0.4 ms.
const ERASE_NS = 45_000_000;
const PROGRAM_NS = 400_000;
const GATES = [2, 3];
const routines = {
  IF() {}, EX() {}, FC() {}, CX() {},
  C4(mcu, [to, from, length]) {
    for (let at = 0; at < length; at += 4) mcu.writeUint32(to + at, mcu.readUint32(from + at));
  },
  RE(mcu, [address, length]) {
    mcu.flash.fill(0xff, address, address + length);
    stalled('erases', length / 4096, ERASE_NS * (length / 4096));
  },
  RP(mcu, [address, from, length]) {
    for (let at = 0; at < length; at++) mcu.flash[address + at] &= mcu.readUint8(from + at);
    stalled('programs', 1, PROGRAM_NS * Math.ceil(length / 256));
  },
};
const TAGS = Object.keys(routines);

/** Time passes, and the core sees nothing of it. */
function stalled(what, count, ns) {
  const closed = GATES.some((pin) => chip.mcu.gpio[pin].value === GPIOPinState.High);
  seen.flash[what] += count;
  const which = closed ? 'closed' : 'open';
  seen.flash[which] = Math.max(seen.flash[which], ns);
  if (closed && what === 'erases') seen.flash.erasedClosed += count;
  chip.clock.tick(ns);
}

function installRom(mcu) {
  const half = (address, value) => {
    const shift = (address & 2) * 8;
    const word = mcu.bootrom[address >> 2];
    mcu.bootrom[address >> 2] = ((word & ~(0xffff << shift)) | (value << shift)) >>> 0;
  };
  half(0x14, ROM);
  half(0x16, ROM);
  half(0x18, ROM | 1);
  for (let number = 0; number <= TAGS.length; number++) {
    half(ROM + 4 * number, 0xbe00 | number); // bkpt number
    half(ROM + 4 * number + 2, 0x4770); // bx lr
  }
  // No background read of the flash is ever under way.
  mcu.peripherals[0x14000] = { readUint32: () => 0, writeUint32Atomic() {} };
  mcu.onBreak = (number) => {
    const { registers } = mcu.core;
    if (number > 0) return routines[TAGS[number - 1]](mcu, [registers[0] >>> 0, registers[1] >>> 0, registers[2] >>> 0]);
    const tag = String.fromCharCode(registers[1] & 0xff, registers[1] >>> 8);
    if (!(tag in routines)) throw new Error(`no ROM function ${tag}`);
    registers[0] = (ROM + 4 * (TAGS.indexOf(tag) + 1)) | 1;
  };
}

/** Power on, or a reset that leaves RAM as it is; flash and time stay. */
function start(previous, powered = true) {
  const simulator = new Simulator();
  const mcu = simulator.rp2040;
  mcu.logger = { debug() {}, info() {}, warn() {}, error() {} };
  chip = { mcu, clock: simulator.clock, base: previous ? previous.base + previous.clock.nanos : 0, source: -1, low: SRAM + 0x42000 };
  if (previous) {
    mcu.flash.set(previous.mcu.flash);
    if (powered) mcu.sram.set(previous.mcu.sram);
    else mcu.sram.fill(0xa5);
  } else {
    // Power-on contents are anything but zero.
    mcu.sram.fill(0xa5);
    for (const { address, data } of elf.segments) {
      if (address >= FLASH && address < FLASH + mcu.flash.length) mcu.flash.set(data, address - FLASH);
    }
  }
  const watchdog = mcu.peripherals[0x40058];
  if (previous && powered) watchdog.reason = 1;
  installRom(mcu);
  watchdog.onWatchdogTrigger = () => {
    throw new Reset();
  };
  mcu.adc.onADCRead = (channel) => {
    if (world.adc === 'silent') return;
    const code = convert(mcu, channel);
    mcu.adc.currentChannel = channel;
    mcu.adc.channelValues[channel] = code;
    mcu.adc.sampleAlarm.schedule(mcu.adc.sampleTime * 1000);
  };
  mcu.uart[0].onByte = (byte) => (seen.uart += String.fromCharCode(byte));
  mcu.uart[1].onByte = (byte) => seen.link.push(byte);
  for (const pin of OUTPUTS) {
    mcu.gpio[pin].addListener((state) =>
      seen.edges.push([chip.base + chip.clock.nanos, pin, state === GPIOPinState.High ? 1 : 0]));
  }
  // The boot ROM and the second stage only set up the flash: start where they end.
  mcu.core.VTOR = VECTORS;
  mcu.core.SP = mcu.readUint32(VECTORS);
  mcu.core.PC = mcu.readUint32(VECTORS + 4) & ~1;
  chip.top = mcu.core.SP;
  chip.low = Math.min(chip.top, previous ? previous.low : chip.top);
  apply();
}

function apply() {
  if (!chip) return;
  for (const [pin, level] of Object.entries(world.pins)) chip.mcu.gpio[pin].setInputValue(!!level);
}

/** What a watchdog does, or a loss of power: every pin is an input again, so that the pull-downs open the gates. */
function reset(powered = true) {
  const was = OUTPUTS.filter((pin) => chip.mcu.gpio[pin].value === GPIOPinState.High);
  const at = chip.base + chip.clock.nanos;
  if (powered) seen.resets.push(at);
  for (const pin of was) seen.edges.push([at, pin, 0]);
  start(chip, powered);
}

function step() {
  const { mcu, clock } = chip;
  const { core } = mcu;
  const now = chip.base + clock.nanos;
  if (coming.bytes.length > 0 && now >= coming.at) {
    // What no longer fits is lost, as in the chip.
    const byte = coming.bytes.shift();
    if (!mcu.uart[1].rxFIFO.full) mcu.uart[1].feedByte(byte);
    coming.at = now + BYTE;
  }
  try {
    // The emulator lets only the interrupts of the chip end a WFI, not SysTick.
    if (core.waiting && core.pendingSystick && core.checkForInterrupts()) core.waiting = false;
    if (core.waiting) {
      const longest = coming.bytes.length > 0 ? BYTE : 1_000_000;
      clock.tick(Math.max(1, Math.min(clock.nanosToNextAlarm || 1000, longest)));
      return 0;
    }
    const cycles = core.executeInstruction();
    seen.awake += cycles;
    if (mcu.adc.busy) seen.converting += cycles;
    if (core.SP < chip.low) chip.low = core.SP;
    clock.tick(cycles * CYCLE);
    return cycles;
  } catch (error) {
    if (!(error instanceof Reset)) throw error;
    reset();
    return 0;
  }
}

/** A main loop that hangs: it goes on at an instruction that jumps to itself. Interrupts go on. */
function stall() {
  const trap = SRAM + 0x41ff0;
  chip.mcu.writeUint16(trap, 0xe7fe);
  // Not inside an interrupt.
  while (chip.mcu.core.IPSR !== 0) step();
  chip.mcu.core.waiting = false;
  chip.mcu.core.PC = trap;
}

const commands = {
  boot({ elf: path, parameters = [] }) {
    elf = readElf(path);
    const block = elf.symbols.BMS_PARAMETERS;
    const segment = elf.segments.find(({ address, data }) => block >= address && block < address + data.length);
    const words = new DataView(segment.data.buffer, segment.data.byteOffset + block - segment.address);
    if (words.getUint32(0, true) !== MAGIC) throw new Error('no parameter block');
    let sum = parameters.length;
    parameters.forEach(([number, value], index) => {
      words.setUint32(12 + 8 * index, number, true);
      words.setInt32(16 + 8 * index, value, true);
      sum += number + (value >>> 0);
    });
    words.setUint32(4, parameters.length, true);
    words.setUint32(8, sum >>> 0, true);
    forget();
    start(null);
    return {};
  },
  world(change) {
    const { pins = {}, ...rest } = change;
    Object.assign(world, rest);
    Object.assign(world.pins, pins);
    apply();
    return {};
  },
  fault({ adc = null, stall: stalled = false }) {
    world.adc = adc;
    if (stalled) stall();
    return {};
  },
  link(bytes) {
    coming.bytes.push(...bytes);
    coming.at = Math.max(coming.at, chip.base + chip.clock.nanos + BYTE);
    return {};
  },
  power() {
    reset(false);
    return {};
  },
  rot() {
    for (let at = STORE; at < STORE + BANKS; at += 16) chip.mcu.flash[at + ((at >> 4) & 15)] ^= 1 << ((at >> 8) & 7);
    return {};
  },
  run(nanoseconds) {
    const end = chip.base + chip.clock.nanos + nanoseconds;
    while (chip.base + chip.clock.nanos < end) step();
    const answer = { now: chip.base + chip.clock.nanos, stack: chip.top - chip.low, ...seen };
    forget();
    return answer;
  },
  edge({ pin, watch, limit }) {
    world.pins[pin] = 1;
    chip.mcu.gpio[pin].setInputValue(true);
    let cycles = 0;
    const from = chip.clock.nanos;
    while (watch.some((out) => chip.mcu.gpio[out].value === GPIOPinState.High) && cycles < limit) {
      step();
      cycles = Math.round((chip.clock.nanos - from) / CYCLE);
    }
    return { cycles, open: !watch.some((out) => chip.mcu.gpio[out].value === GPIOPinState.High) };
  },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  let answer;
  try {
    const [[name, argument]] = Object.entries(JSON.parse(line));
    answer = commands[name](argument);
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
