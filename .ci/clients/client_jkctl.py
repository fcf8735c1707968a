"""jkctl over RS485 Modbus on a pseudo-terminal: everything it shows, and what it writes."""
import json
import os
import subprocess
import sys

from jkctl.device import Device
from jkctl.modbus import Bus

from board import NATIVE, Board, Checker, native_word, state, states

PROGRAM = os.path.join(os.path.dirname(sys.executable), "jkctl")
check = Checker("jkctl 0.2.0")


def runtime(fixed, address=1):
    with Board("modbus", fixed, pty=True, address=address) as board:
        bus = Bus(board.path, turnaround=0.004, timeout=5)
        try:
            device = Device(bus, address)
            return device.snapshot("02"), device.snapshot("03")
        finally:
            bus.ser.close()


def compare():
    for number, (word, fixed) in enumerate(states()):
        address = (1, 2, 7, 15)[number % 4]
        shown, about = runtime(fixed, address)
        cells = fixed["cell_voltages"]

        def equal(key, expected, tolerance=0.0):
            check.equal(f"{word}: {key}", shown.get(key), expected, tolerance)
        for index in range(32):
            check.equal(f"{word}: cell {index + 1}", shown["cellVol"][index], cells[index] if index < len(cells) else 0.0)
        equal("cellStatus", (1 << len(cells)) - 1)
        equal("cellVolAve", sum(cells) / len(cells), 0.0005)
        equal("maxVoltDelta", max(cells) - min(cells))
        equal("celMaxVol", cells.index(max(cells)))
        equal("celMinVol", cells.index(min(cells)))
        equal("batVol", fixed["voltage"])
        equal("batCurrent", fixed["current"])
        equal("batWatt", fixed["voltage"] * abs(fixed["current"]), 0.0011)
        for key, name in (("tempMos", "mos_temp"), ("batTemp1", "temp1"), ("batTemp2", "temp2")):
            equal(key, -200.0 if fixed[name] is None else fixed[name])
        sensors = (fixed["mos_temp"] is not None) | (fixed["temp1"] is not None) << 1 | (fixed["temp2"] is not None) << 2
        for key in shown:
            if key.lower().startswith("temp") and "sensor" in key.lower():
                equal(key, sensors)
        equal("equCurrent", fixed["balance_current"])
        equal("equStatus", fixed["balancing"])
        equal("socRelativeStateOfCharge", fixed["soc"])
        equal("socCapabilityRemain", fixed["capacity_remaining"])
        equal("socFullChargeCapacity", fixed["capacity_full"])
        equal("socCycleCount", fixed["cycles"])
        equal("socCycleCapacity", fixed["cycle_capacity"])
        equal("sOCSOH", fixed["soh"])
        equal("chargeStatus", int(fixed["charge_mos"]))
        equal("dischargeStatus", int(fixed["discharge_mos"]))
        equal("sysAlarm", 0)
        for key, held in about.items():
            if "ame" in key and held == fixed["name"]:
                check.compared += 1
        texts = [str(held) for held in about.values()]
        check.equal(f"{word}: name", any(fixed["name"] in text for text in texts), True)
        check.equal(f"{word}: no password", any("1234" in text for text in texts), False)
    for alarm in NATIVE:
        shown, _ = runtime(state(alarms=[alarm]))
        check.equal(f"alarm {alarm}", shown["sysAlarm"], native_word([alarm]))


def jkctl(board, *words):
    done = subprocess.run([sys.executable, PROGRAM, *words, "--port", board.path, "--timeout", "5"], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def held(text, key):
    try:
        return float(json.loads(text)[key].split()[0])
    except (ValueError, KeyError, IndexError):
        return text


def writes():
    """Through the command line, each value read back; then the refusals."""
    with Board("modbus", state(), pty=True, unlock=120) as board:
        for key, value in (("volCellUV", 2.75), ("volCellOV", 3.59), ("volBalanTrig", 0.008)):
            code, text = jkctl(board, "settings", "set", f"{key}={value}")
            check.equal(f"set {key}: exit ({text.strip()[-200:]})", code, 0)
            code, text = jkctl(board, "settings", "get", key, "--json")
            check.equal(f"get {key}", held(text, key), value)
        for switch in ("charge", "discharge", "balance"):
            for state_word in ("off", "on"):
                code, text = jkctl(board, switch, state_word)
                check.equal(f"{switch} {state_word}: exit ({text.strip()[-200:]})", code, 0)
                code, text = jkctl(board, switch)
                check.equal(f"{switch} is {state_word}", state_word in text.lower().split(), True)
        # Over the hard cap of the chemistry; against an ordering; a rating of the board.
        for key, value in (("volCellOV", 4.1), ("volCellUV", 3.5), ("tmpMosOT", 100)):
            code, text = jkctl(board, "settings", "set", f"{key}={value}")
            check.equal(f"refused {key}={value}", code != 0, True)
        code, text = jkctl(board, "settings", "get", "volCellOV", "--json")
        check.equal("still volCellOV", held(text, "volCellOV"), 3.59)
    with Board("modbus", state(), pty=True) as board:
        code, text = jkctl(board, "settings", "set", "volCellOV=3.55")
        check.equal("locked: refused", code != 0, True)
        code, text = jkctl(board, "charge", "off")
        check.equal("locked: charge off refused", code != 0, True)
        code, text = jkctl(board, "settings", "get", "volCellOV", "--json")
        check.equal("locked: unchanged", held(text, "volCellOV"), 3.6)


compare()
writes()
check.finish()
