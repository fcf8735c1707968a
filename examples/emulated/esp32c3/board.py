"""The board of examples/esp32-pack in the emulator labwired: what stands at its pins, and what it drives."""
import math
import os
import struct
import tempfile
from pathlib import Path

import labwired
import rom

GPIO_OUT, GPIO_ENABLE, GPIO_IN = 0x60004004, 0x60004020, 0x6000403C
UART_ID, UPDATE = 0x60000080, 1 << 31
CHARGE, DISCHARGE, HOLD = 6, 7, 9
SELECT = (10, 18, 19, 20)
# Shorter than the firmware waits after it has moved the multiplexer, so that the level follows in time.
SLICE_US = 25
CELLS, FIRST_CELL, GROUND, HALF, STACK = 13, 2, 0, 1, 15
REFERENCE = 2.5


def chip_description(folder):
    """The package's description of the chip, with what the HAL needs and it lacks."""
    packaged = Path(labwired.__file__).parent / "configs"
    text = (packaged / "chips" / "esp32c3.yaml").read_text()
    text = text.replace('"../peripherals', f'"{packaged}/peripherals')
    # The analog front end's internal bus: plain storage will do.
    # The system timer of the S3 is the same, and its model finishes a reading; the one named there does not.
    timer = 'type: "declarative"\n    base_address: 0x60023000'
    extra = 'memory_regions:\n  - name: "regi2c"\n    base: 0x6000E000\n    size: "4KB"\n'
    if text.count("memory_regions:\n") != 1 or text.count(timer) != 1:
        raise SystemExit("labwired's description of the chip is not the one that this was written for")
    text = text.replace("memory_regions:\n", extra)
    (folder / "chip.yaml").write_text(text.replace(timer, timer.replace("declarative", "esp32s3_systimer")))


# One device of each kind, because two of a kind cannot be told apart: what makes it show a part of the converter's range.
DEVICES = {
    0: ("potentiometer", "position", lambda part: 100 * part),
    1: ("mq-6", "ppm", lambda part: 10000 * part),
    2: ("soil-moisture", "moisture", lambda part: 100 * (1 - part)),
    3: ("ntc-thermistor", "temperature", lambda part: 1 / (math.log(max(1 / part - 1, 1e-3)) / 3950 + 1 / 298.15) - 273.15),
    4: ("ldr", "lux", lambda part: 10 * max(1 / part - 1, 1e-3) ** (-1 / 0.7)),
}


def system_description(folder):
    # The timer's model takes 15 clocks for its 16 MHz, as on the S3: at this rate its time and the emulator's agree.
    devices = "".join(
        f'  - id: "channel{channel}"\n    type: "{kind}"\n    connection: "apb_saradc"\n    config: {{ channel: {channel} }}\n'
        for channel, (kind, _, _) in DEVICES.items()
    )
    path = folder / "system.yaml"
    path.write_text(f'name: "pack"\nchip: "chip.yaml"\ncpu_hz: 240_000_000\nexternal_devices:\n{devices}')
    return path


def with_parameters(elf, parameters):
    """The image with these parameters, number to value, in its block."""
    from elftools.elf.elffile import ELFFile

    data = bytearray(Path(elf).read_bytes())
    with open(elf, "rb") as file:
        parsed = ELFFile(file)
        symbol = parsed.get_section_by_name(".symtab").get_symbol_by_name("BMS_PARAMETERS")[0]
        address = symbol["st_value"]
        segment = next(
            part
            for part in parsed.iter_segments()
            if part["p_type"] == "PT_LOAD" and part["p_vaddr"] <= address < part["p_vaddr"] + part["p_filesz"]
        )
        offset = segment["p_offset"] + address - segment["p_vaddr"]
    words = [word for number, value in parameters.items() for word in (number, value & 0xFFFFFFFF)]
    block = [0x50534D42, len(parameters), (len(parameters) + sum(words)) & 0xFFFFFFFF, *words]
    data[offset : offset + 4 * len(block)] = struct.pack(f"<{len(block)}I", *block)
    return bytes(data)


class Board:
    """Powered up, with a pack of equal cells at 25 °C and no current."""

    def __init__(self, elf, routines, parameters):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        image = folder / "firmware.elf"
        image.write_bytes(with_parameters(elf, parameters))
        chip_description(folder)
        (folder / "rom.bin").write_bytes(rom.make(routines, elf))
        os.environ["LABWIRED_ESP32C3_ROM"] = str(folder / "rom.bin")
        self.sim = labwired.Sim(str(image), system=str(system_description(folder)))
        self.cells = [3.3] * CELLS
        self.current = 0.0
        self.celsius = {2: 25.0, 3: 25.0, 4: 25.0}
        self.stuck = None
        self.position = None
        self.now_us = 0
        self.gates = (False, False)
        self.edges = []
        # When each position was selected first since the last change of the world, µs.
        self.selected = {}
        self.levels()

    def part(self, position):
        """What the multiplexer shows, as a part of the range."""
        if position == GROUND:
            volts = 0.0
        elif position == HALF:
            volts = REFERENCE / 2
        elif position == STACK:
            volts = sum(self.cells) * 47 / 1047
        else:
            volts = self.cells[position - FIRST_CELL] * 0.3
        return volts / REFERENCE

    def put(self, channel, part):
        _, key, value = DEVICES[channel]
        part = min(max(part if self.stuck is None else self.stuck, 1e-4), 0.9999)
        self.sim.set_input(key, value(part))

    def levels(self):
        """Puts the world at the pins."""
        self.put(0, self.part(self.position or 0))
        self.put(1, 0.5 + self.current * 100e-6 * 50 / REFERENCE)
        for channel, celsius in self.celsius.items():
            ohms = None if celsius is None else 1e4 * math.exp(3435 * (1 / (celsius + 273.15) - 1 / 298.15))
            self.put(channel, 1.0 if ohms is None else ohms / (ohms + 1e4))

    def change(self, **world):
        for name, value in world.items():
            setattr(self, name, value)
        self.selected = {}
        self.levels()

    def driven(self, pin):
        """A pin that is no output is held low by its pull-down."""
        return bool(self.out & self.enabled & 1 << pin)

    def run(self, milliseconds):
        end = self.now_us + round(milliseconds * 1000)
        while self.now_us < end:
            self.sim.run_for(f"{SLICE_US}us")
            self.now_us += SLICE_US
            # The UART's model takes over what was set at once, and does not say so.
            if self.sim.read_u32(UART_ID) & UPDATE:
                self.sim.write_u32(UART_ID, self.sim.read_u32(UART_ID) & ~UPDATE)
            self.out, self.enabled = self.sim.read_u32(GPIO_OUT), self.sim.read_u32(GPIO_ENABLE)
            position = sum((self.out >> pin & 1) << bit for bit, pin in enumerate(SELECT))
            if position != self.position:
                self.position = position
                self.selected.setdefault(position, self.now_us)
                self.put(0, self.part(position))
            gates = self.driven(CHARGE), self.driven(DISCHARGE)
            if gates != self.gates:
                self.gates = gates
                self.edges.append((self.now_us, gates))

    def text(self):
        return self.sim.uart_transcript()

    def close(self):
        self.sim.close()
        self.folder.cleanup()
