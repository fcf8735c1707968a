"""mpp-solar and powermon read a real firmware image in its emulator over its UART, cantools over its CAN; what they show is
compared with the pack.

    client_firmware.py EMULATOR ELF RESULTS.json uart|inverter|jk...

The clients' serial port and their sleeping are replaced: time is the emulator's, so nothing depends on the machine's load.
"""
import asyncio
import json
import logging
import subprocess
import sys
import time

import serial
from mppsolar.inout.jkserialio import JKSerialIO
from mppsolar.protocols import get_protocol
from powermon.commands.command import Command
from powermon.ports.serialport import SerialPort
from powermon.protocols import get_protocol_definition

import firmware_can
from serial_tables import coded

logging.disable(logging.CRITICAL)
MUCH = 1 << 30
rows = []


class Board:
    """The emulated board, and the one serial port to it."""

    def __init__(self, emulator, image):
        self.process = subprocess.Popen([emulator, image, "--bridge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.buffer = b""
        self.is_open = True

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the emulator ended")
        return json.loads(line)

    def sleep(self, seconds):
        self.buffer += bytes(self.ask(wait={"bytes": MUCH, "ms": max(round(seconds * 1000), 1)})["bytes"])

    def truth(self):
        return self.ask(truth={})

    # What the clients use of pyserial.
    def write(self, data):
        self.ask(write=list(data))
        return len(data)

    @property
    def in_waiting(self):
        return len(self.buffer)

    def read(self, count):
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def reset_input_buffer(self):
        self.buffer = b""

    def nothing(self, *_):
        pass

    flushInput = reset_input_buffer
    flushOutput = reset_output_buffer = flush = close = nothing

    def __enter__(self):
        return self

    __exit__ = nothing


def row(rule, good, detail):
    rows.append({"check": "client", "id": rule, "result": "pass" if good else "fail", "detail": detail})
    print(f"{'ok' if good else 'FAIL':<5} client        {rule:<5} {detail}", flush=True)


class Compared:
    def __init__(self):
        self.count, self.wrong = 0, []

    def near(self, what, shown, expected, tolerance):
        self.count += 1
        if not isinstance(shown, (int, float)) or abs(shown - expected) > tolerance:
            self.wrong.append(f"{what} {shown!r} of {expected!r}")

    def tell(self, client):
        row("-", not self.wrong, f"{client}: {self.count} values within the converter's errors of the pack's truth"
            if not self.wrong else f"{client}: {'; '.join(self.wrong)}")


def mppsolar(board, cells):
    protocol = get_protocol("JKSERIAL")
    command = protocol.get_full_command("getBalancerData")
    board.reset_input_buffer()
    answer = JKSerialIO(device_path="emulated", serial_baud=115200).send_and_receive(full_command=command)
    truth = board.truth()
    shown = {key: value[0] for key, value in protocol.decode(answer, "getBalancerData").items() if isinstance(value, (list, tuple))}
    compared = Compared()
    compared.near("Cells_connected", shown.get("Cells_connected"), cells, 0)
    # Its table is of 16 cells: with another count the places behind them are wrong.
    for index, volts in enumerate(truth["cell_voltages"][:16]):
        compared.near(f"cell {index + 1}", shown.get(f"Voltage_Cell{index + 1:02}"), volts, 0.015)
    compared.tell("mpp-solar 0.16.56, request and answer")


async def powermon(board, cells):
    protocol = get_protocol_definition("JKSERIAL")
    port = SerialPort("emulated", 115200, protocol)
    await port.connect()
    for _ in range(6):
        command = Command.from_code("all_data")
        command.command_definition = protocol.get_command_definition("all_data")
        command.full_command = protocol.get_full_command("all_data")
        result = await port.send_and_receive(command)
        if not result.error and result.readings:
            break
    truth = board.truth()
    shown = {one.data_name: one.data_value for one in result.readings}
    compared = Compared()
    compared.near("Cell Count", shown.get("Cell Count"), cells, 0)
    for index, volts in enumerate(truth["cell_voltages"][:16]):
        compared.near(f"cell {index + 1}", shown.get(f"Cell {index + 1} Voltage"), volts * 1000, 15)
    for key, of in (("MOS Temperature", "mos_temp"), ("Battery Box Temperature", "temp1"), ("Battery Temperature", "temp2")):
        compared.near(key, shown.get(key), coded(truth[of]), 1)
    compared.near("Battery Voltage", shown.get("Battery Voltage"), truth["voltage"], 0.3)
    compared.near("Battery Current", shown.get("Battery Current"), abs(truth["current"]), 0.5)
    compared.near("direction", 1 if str(shown.get("direction")) == "charge" else -1, 1 if truth["current"] > 0 else -1, 0)
    compared.near("Battery Strings", shown.get("Battery Strings"), cells, 0)
    compared.near("Charge MOS On", shown.get("Charge MOS On"), truth["charge_mos"], 0)
    compared.near("Discharge MOS On", shown.get("Discharge MOS On"), truth["discharge_mos"], 0)
    fields = dict(part.split("=", 1) for part in truth["line"].split(" ") if "=" in part)
    compared.near("Battery State of Charge", shown.get("Battery State of Charge"), float(fields["soc"]), 1)
    compared.tell("powermon 1.0.18, listening to what is sent unasked")


def frame(command, data):
    body = bytes([0, 0, 0, 0, command, 3, 0]) + bytes(data) + bytes(4) + b"\x68"
    start = b"\x4e\x57" + (len(body) + 6).to_bytes(2, "big") + body
    return start + (sum(start) & 0xFFFF).to_bytes(4, "big")


def converse(board, command, data):
    """The answer's data to a plain request, or None."""
    board.reset_input_buffer()
    board.write(frame(command, data))
    board.sleep(0.2)
    answer = board.read(board.in_waiting)
    return answer[11:-9] if len(answer) >= 20 and answer[8] == command else None


def writes(board):
    overvoltage = 0x90
    before = converse(board, 3, [overvoltage])

    def write(millivolts):
        return converse(board, 2, [overvoltage, *millivolts.to_bytes(2, "big")])
    refused = write(3600)
    row("D34", refused is None and converse(board, 3, [overvoltage]) == before, "a write without the key: no answer, nothing changed")
    board.ask(set={"key": True})
    board.sleep(0.3)
    board.ask(set={"key": False})
    board.sleep(0.2)
    written, after = write(3600), converse(board, 3, [overvoltage])
    row("D34", written == bytes([overvoltage]) and after == bytes([overvoltage, *(3600).to_bytes(2, "big")]),
        "after the key was pressed: acknowledged, and read back")
    refused = write(4100)
    row("D34", refused is None and converse(board, 3, [overvoltage]) == after, "beyond the chemistry's cap: refused with the key too")


def uart(board):
    first = board.truth()
    cells = len(first["cell_voltages"])
    asyncio.run(powermon(board, cells))
    mppsolar(board, cells)
    writes(board)
    last = board.truth()
    seconds, lines = (last["now_ms"] - first["now_ms"]) / 1000, last["lines"] - first["lines"]
    row("T20", abs(lines - seconds) <= 1, f"meanwhile the status went on as text: {lines} lines in {seconds:.1f} s")


def main():
    emulator, image, results, *links = sys.argv[1:]
    board = Board(emulator, image)
    serial.Serial = serial.serial_for_url = lambda *_, **__: board
    time.sleep = board.sleep

    async def sleep(seconds, *_):
        board.sleep(seconds)
    asyncio.sleep = sleep
    board.ask(set={"load": 40.0, "battery": [1, -5.0]})
    # Before the cold (1 s) inhibits charging: then the gate is closed for the body diode's sake, and the status says off.
    board.sleep(0.2 if links == ["uart"] else 1.0)
    for link in links:
        if link == "uart":
            uart(board)
        else:
            {"inverter": firmware_can.inverter, "jk": firmware_can.jk}[link](board, row, Compared)
    with open(results, "w", encoding="utf-8") as out:
        json.dump({"rows": rows}, out, indent=2)
    sys.exit(any(one["result"] == "fail" for one in rows))


main()
