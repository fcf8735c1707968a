#!/usr/bin/env python3
"""Runs the real image of `esp32-pack` in the emulator labwired and checks what it does: run.py ELF ROM [--json FILE].

The emulator runs some twenty-five times slower than the chip, so the block of parameters sets the shortest sample period
and no delays. Exit code 1 when a check fails."""
import argparse
import json
import sys
import time
from pathlib import Path

from board import Board

PERIOD_MS = 5
# Numbers of bms_core::config::ParameterId, by the name in docs/parameters.md; see `parameter_numbers`.
SHORT = {
    "sample_period": PERIOD_MS,
    "cell_undervoltage_delay": 0,
    "cell_overvoltage_delay": 0,
    "temperature_delay": 0,
    "data_lost_time": 100,
    "data_recovery_time": 0,
    "sensor_fault_delay": 0,
    "retry_limit": 0,
}
BLANK = [
    ("P06", "charge over-current: a delay of at least 1 s is half a minute here; the board's logic is the other chips'"),
    ("P08", "discharge over-current: the same"),
    ("P11", "short circuit by interrupt: neither a moved pin nor a set status bit raises a GPIO interrupt in this emulator"),
    ("P16", "auto-shutdown: a minute awake comes first"),
    ("X20", "stalled main loop: nothing here can stall the core, and a reset was not tried"),
]


def parameter_numbers(root):
    """The numbers are the order of the one table in the core."""
    import re

    table = (root / "crates/bms-core/src/config/parameter.rs").read_text()
    names = re.findall(r'^    [A-Z]\w+ "([a-z_0-9]+)", [A-Z]', table, re.M)
    return {name: number for number, name in enumerate(names)}


class Checks:
    def __init__(self, board):
        self.board = board
        self.rows = []

    def expect(self, check, number, passed, detail):
        self.rows.append({"check": check, "id": number, "result": "pass" if passed else "fail", "detail": detail})
        print(f"{'ok' if passed else 'FAIL':<5} {check:<13} {number:<5} {detail}", flush=True)

    def blank(self, number, why):
        self.rows.append({"check": "not run", "id": number, "result": "blank", "detail": why})
        print(f"blank {'not run':<13} {number:<5} {why}", flush=True)

    def after(self, check, number, what, source, wanted, **world):
        """Changes the world; the gates must stand as wanted within one sample period of the first reading of it."""
        board = self.board
        since = board.now_us
        board.change(**world)
        board.run(2 * PERIOD_MS)
        read = board.selected.get(source, since)
        edge = next((at for at, gates in board.edges if at > since and gates == wanted), None)
        if edge is None:
            self.expect(check, number, False, f"{what}: never")
            return
        late = (edge - read) / 1000
        self.expect(check, number, -1 <= late <= PERIOD_MS + 5, f"{what}: {late:.1f} ms after it was read, period {PERIOD_MS} ms")

    def held(self, check, number, what, wanted, **world):
        self.board.change(**world)
        self.board.run(2 * PERIOD_MS)
        self.expect(check, number, self.board.gates == wanted, what)


def cells(index, volts):
    pack = [3.3] * 13
    pack[index] = volts
    return pack


def run(elf, routines, root):
    numbers = parameter_numbers(root)
    board = Board(elf, routines, {numbers[name]: value for name, value in SHORT.items()})
    checks = Checks(board)
    board.run(40)
    first = board.edges[0] if board.edges else None
    if first is None:
        checks.expect("start", "D32", False, "the gates never closed")
        return checks.rows
    unread = [position for position in range(16) if board.selected.get(position, first[0] + 1) > first[0]]
    checks.expect("start", "D32", not unread, f"both gates low for {first[0] / 1000:.1f} ms, looked at every 25 µs; by then all 16 positions had been read: {not unread}")
    checks.expect("start", "P17", board.gates == (True, True), f"both gates closed: {board.gates}")
    text = board.text()
    line = next((line for line in text.split("\r\n") if line.startswith("bms t=") and "alarms=" in line), "")
    fields = dict(part.split("=", 1) for part in line.split(" ")[1:])
    wanted = {"t", "state", "chg", "dis", "v", "i", "cells", "temp", "mos", "alarms"}
    checks.expect("status", "T20", wanted <= fields.keys() and len(fields["cells"].split(",")) == 13 if fields else False, f"the UART's first line: {line[:90]}")
    both, no_discharge, no_charge, none = (True, True), (True, False), (False, True), (False, False)
    checks.after("voltage", "P01", "cell 4 at 2.66 V, discharge gate off", 2 + 3, no_discharge, cells=cells(3, 2.66))
    checks.held("voltage", "P02", "2.87 V, below the recovery: still off", no_discharge, cells=cells(3, 2.87))
    checks.after("voltage", "P02", "2.95 V, on again", 2 + 3, both, cells=cells(3, 2.95))
    checks.after("voltage", "P03", "cell 13 at 3.66 V, charge gate off", 2 + 12, no_charge, cells=cells(12, 3.66))
    checks.held("voltage", "P04", "3.54 V, above the recovery: still off", no_charge, cells=cells(12, 3.54))
    checks.after("voltage", "P04", "3.45 V, on again", 2 + 12, both, cells=cells(12, 3.45))
    normal = {2: 25.0, 3: 25.0, 4: 25.0}
    checks.after("temperature", "P14", "T2 at -2 °C, charge gate off", 15, no_charge, celsius=normal | {3: -2.0})
    checks.after("temperature", "P14", "6.5 °C, on again", 15, both, celsius=normal | {3: 6.5})
    checks.after("temperature", "P13", "T1 at 62 °C, both gates off", 15, none, celsius=normal | {2: 62.0})
    checks.after("temperature", "P13", "54 °C, on again", 15, both, celsius=normal | {2: 54.0})
    checks.after("temperature", "P15", "switches at 77 °C, both gates off", 15, none, celsius=normal | {4: 77.0})
    checks.after("temperature", "P15", "68 °C, on again", 15, both, celsius=normal | {4: 68.0})
    checks.held("sensors", "X02", "thermistor T1 unplugged: both gates off", none, celsius=normal | {2: None})
    board.change(celsius=normal)
    board.run(3 * PERIOD_MS)
    board.change(stuck=0.5)
    board.run(115)
    checks.expect("sensors", "X01", board.gates == none, "converter stuck at half its range: both gates off")
    for number, why in BLANK:
        checks.blank(number, why)
    board.close()
    return checks.rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("elf")
    parser.add_argument("rom")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    began = time.monotonic()
    rows = run(arguments.elf, arguments.rom, Path(__file__).resolve().parents[3])
    failed = sum(row["result"] == "fail" for row in rows)
    print(f"ESP32-C3: {len(rows)} rows, {failed} failed, {time.monotonic() - began:.0f} s")
    if arguments.json:
        document = {"chip": "ESP32-C3", "firmware": "esp32-pack", "emulator": "labwired 0.25.0", "rows": rows, "parameters": f"no delays, {PERIOD_MS} ms sample period"}
        Path(arguments.json).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.exit(1 if failed else 0)


main()
