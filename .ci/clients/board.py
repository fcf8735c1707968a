"""A served board: `bms-sim serve` as a process, with its states and the count of what was compared."""
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading

PROGRAM = os.environ["BMS_SIM"]


class Board:
    """One `bms-sim serve`; a context manager that ends the process."""

    def __init__(self, link, state=None, **options):
        command = [PROGRAM, "serve", "--link", link]
        if state is not None:
            handle, self.file = tempfile.mkstemp(suffix=".json")
            with os.fdopen(handle, "w") as out:
                json.dump(state, out)
            command += ["--state", self.file]
        else:
            self.file = None
        for name, value in options.items():
            option = "--" + name.replace("_", "-")
            command += [option] if value is True else [option, str(value)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.path = self.process.stdout.readline().decode().strip() if options.get("pty") else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        if self.file:
            os.unlink(self.file)

    def write(self, data):
        self.process.stdin.write(data)

    def line(self):
        """The next line of a text link; blocks."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.process.stdout.read(1)
            if not byte:
                raise EOFError("the board is gone")
            line += byte
        return line.decode().strip()


class BleBoard(Board):
    """A served Bluetooth board: writes go in, notifications come out of a queue."""

    def __init__(self, state=None, mtu=185, **options):
        super().__init__("ble", state, **options)
        self.notifications = queue.Queue()
        self.listener = None
        self.connected(mtu)
        threading.Thread(target=self._listen, daemon=True).start()

    def connected(self, mtu=185):
        self.write(f"M {mtu}\n".encode())

    def subscribe(self):
        self.write(b"S\n")

    def disconnect(self, mtu=185):
        self.write(f"D\nM {mtu}\n".encode())

    def write_characteristic(self, data):
        self.write(b"W " + bytes(data).hex().encode() + b"\n")

    def _listen(self):
        try:
            for line in iter(self.process.stdout.readline, b""):
                if line.startswith(b"N "):
                    data = bytes.fromhex(line[2:].strip().decode())
                    (self.listener or self.notifications.put)(data)
        except ValueError:
            pass  # closed while it was read: the end of the board


class Checker:
    """Counts comparisons of one client and remembers what differs."""

    def __init__(self, client):
        self.client = client + os.environ.get("BOARD_NOTE", "")
        self.compared = 0
        self.wrong = []
        self.notes = []

    def equal(self, what, shown, expected, tolerance=0.0):
        self.compared += 1
        if isinstance(expected, float) or isinstance(shown, float):
            numbers = isinstance(shown, (int, float)) and isinstance(expected, (int, float))
            good = numbers and abs(shown - expected) <= tolerance + 1e-9
        else:
            good = shown == expected
        if not good:
            self.wrong.append(f"{what}: shows {shown!r}, the state has {expected!r}")

    def note(self, text):
        """Something that the client itself cannot do."""
        if text not in self.notes:
            self.notes.append(text)

    def finish(self):
        """One line for the table, as JSON; what differs goes to the error output."""
        for wrong in self.wrong[:40]:
            print(f"{self.client}: {wrong}", file=sys.stderr)
        print(json.dumps({
            "client": self.client, "compared": self.compared, "wrong": len(self.wrong), "notes": self.notes,
        }))
        sys.exit(1 if self.wrong else 0)


def cells(count, lowest=3.201):
    """Different voltages, with the highest and the lowest not at an end."""
    voltages = [round(lowest + 0.003 * ((5 * index + 2) % count), 3) for index in range(count)]
    return voltages


def state(count=16, **changes):
    """A state in which no two values are alike, discharging in the cold."""
    voltages = cells(count)
    base = {
        "voltage": round(sum(voltages) + 0.004, 3), "current": -41.27, "soc": 63, "soh": 97, "cell_voltages": voltages,
        "temp1": -5.3, "temp2": -12.8, "mos_temp": 31.4, "cycles": 123, "cycle_capacity": 45678.0,
        "capacity_remaining": 176.412, "capacity_full": 280.0, "balance_current": -1.234, "balancing": 2,
        "charge_mos": True, "discharge_mos": True, "alarms": [], "name": "Shed7",
    }
    return base | changes


def states():
    """The states that every client is shown, with a word for each."""
    for count in (7, 8, 16, 24):
        yield f"{count} cells, discharging", state(count)
    yield "charging, warm", state(current=87.65, temp1=24.6, temp2=38.2, mos_temp=61.3, balancing=1, balance_current=0.612)
    yield "full, at rest", state(current=0.0, soc=100, capacity_remaining=280.0, balancing=0, balance_current=0.0)
    yield "empty, open", state(current=0.0, soc=0, capacity_remaining=0.4, charge_mos=False, discharge_mos=False, soh=71)
    yield "no sensors", state(temp1=None, temp2=None, mos_temp=None)
    yield "one sensor", state(temp1=None)
    yield "large numbers", state(24, current=-349.99, cycles=65000, cycle_capacity=2_100_000.0, capacity_full=2000.0,
                                 capacity_remaining=1999.999)


# Native bits of the core's alarms, from the protocol's description and not from the codec. None: no native bit.
NATIVE = {
    "wire_resistance": 0, "open_wire": 0, "mos_overtemperature": 1, "cell_count_mismatch": 2, "current_data_lost": 3,
    "cell_overvoltage": 4, "abuse": 4, "pack_overvoltage": 5, "charge_overcurrent": 6, "severe_charge_overcurrent": 6,
    "charge_locked_out": 6, "charge_overtemperature": 8, "charge_undertemperature": 9, "cell_data_lost": 10,
    "data_lost_long": 10, "stack_mismatch": 10, "self_test_failed": 10, "limits_corrupt": 10, "step_late": 10,
    "time_went_back": 10, "storage_corrupt": 10, "cell_undervoltage": 11, "auto_shutdown": 11, "deep_discharge": 11,
    "pack_undervoltage": 12, "discharge_overcurrent": 13, "discharge_locked_out": 13, "short_circuit": 14,
    "discharge_overtemperature": 15, "charge_switch_stuck": 16, "discharge_switch_stuck": 17, "output_failed": 17,
    "precharge_failed": 20, "not_conducting": 20, "overtemperature_warning": 21, "battery_sensor_fault": 22,
    "mos_sensor_fault": 22, "temperature_data_lost": 22, "severe_discharge_overcurrent": 25,
    "discharge_undertemperature": 27,
    "cell_spread": None, "cell_spread_warning": None, "temperature_spread": None, "temperature_spread_warning": None,
    "wrong_chemistry": None, "reset_hold_off": None, "emergency_stop": None, "counters_corrupt": None,
    "terminal_mismatch": None, "heater_ineffective": None, "cell_undervoltage_warning": None,
    "cell_overvoltage_warning": None, "charge_current_warning": None, "discharge_current_warning": None,
    "undertemperature_warning": None, "mos_temperature_warning": None,
}


def native_word(alarms):
    word = 0
    for alarm in alarms:
        if NATIVE[alarm] is not None:
            word |= 1 << NATIVE[alarm]
    return word
