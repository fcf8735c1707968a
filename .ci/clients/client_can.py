"""cantools and python-can with the project's own DBC files, for every CAN dialect."""
import sys
import time
from pathlib import Path

import can
import cantools

from board import NATIVE, Board, Checker, native_word, state, states

DBC = Path(__file__).resolve().parents[2] / "docs" / "dbc"

# Bits of 359, pairs of 35A and two-bit fields of 07F4, from the protocols' descriptions.
SYSTEM = {"wire_resistance", "open_wire", "cell_count_mismatch", "current_data_lost", "charge_switch_stuck",
          "discharge_switch_stuck", "output_failed", "precharge_failed", "not_conducting", "battery_sensor_fault",
          "mos_sensor_fault", "temperature_data_lost", "cell_data_lost", "data_lost_long", "stack_mismatch",
          "self_test_failed", "limits_corrupt", "step_late", "time_went_back", "storage_corrupt", "wrong_chemistry",
          "reset_hold_off", "emergency_stop", "counters_corrupt"}
KINDS = {
    "OverVoltage": {"cell_overvoltage", "abuse", "pack_overvoltage", "cell_overvoltage_warning"},
    "UnderVoltage": {"cell_undervoltage", "auto_shutdown", "deep_discharge", "pack_undervoltage",
                     "cell_undervoltage_warning"},
    "OverTemperature": {"mos_overtemperature", "charge_overtemperature", "discharge_overtemperature",
                        "overtemperature_warning", "mos_temperature_warning"},
    "UnderTemperature": {"charge_undertemperature", "discharge_undertemperature", "undertemperature_warning"},
    "DischargeOvercurrent": {"discharge_overcurrent", "discharge_locked_out", "short_circuit",
                             "severe_discharge_overcurrent", "discharge_current_warning"},
    "ChargeOvercurrent": {"charge_overcurrent", "severe_charge_overcurrent", "charge_locked_out",
                          "charge_current_warning"},
    "System": SYSTEM,
}
PAIRS = {
    "HighVoltage": KINDS["OverVoltage"], "LowVoltage": KINDS["UnderVoltage"],
    "HighTemperature": {"mos_overtemperature", "discharge_overtemperature", "overtemperature_warning",
                        "mos_temperature_warning"},
    "HighTemperatureCharging": {"charge_overtemperature"}, "LowTemperature": {"discharge_undertemperature"},
    "LowTemperatureCharging": {"charge_undertemperature", "undertemperature_warning"},
    "HighCurrent": KINDS["DischargeOvercurrent"] - {"short_circuit"}, "HighChargeCurrent": KINDS["ChargeOvercurrent"],
    "ShortCircuit": {"short_circuit"},
    "Contactor": {"charge_switch_stuck", "discharge_switch_stuck", "output_failed", "precharge_failed",
                  "not_conducting"},
    "Imbalance": {"cell_spread", "cell_spread_warning"},
    "General": {"battery_sensor_fault", "mos_sensor_fault", "temperature_data_lost", "wrong_chemistry",
                "reset_hold_off", "emergency_stop", "temperature_spread", "temperature_spread_warning",
                "terminal_mismatch", "heater_ineffective"},
}
PAIRS["Internal"] = set(NATIVE) - set().union(*PAIRS.values())
LEVELS = {
    "CellOver": {"cell_overvoltage", "abuse", "cell_overvoltage_warning"},
    "CellUnder": KINDS["UnderVoltage"] - {"pack_undervoltage"},
    "PackOver": {"pack_overvoltage"}, "PackUnder": {"pack_undervoltage"}, "CellDifference": PAIRS["Imbalance"],
    "DischargeCurrent": KINDS["DischargeOvercurrent"], "ChargeCurrent": KINDS["ChargeOvercurrent"],
    "TooHot": KINDS["OverTemperature"], "TooCold": KINDS["UnderTemperature"],
    "TemperatureDifference": {"temperature_spread", "temperature_spread_warning"},
    "Internal": {"cell_data_lost", "data_lost_long", "stack_mismatch", "self_test_failed", "limits_corrupt",
                 "step_late", "time_went_back", "storage_corrupt", "wrong_chemistry", "reset_hold_off",
                 "emergency_stop", "counters_corrupt"},
}
# What each alarm opens, from the manual's rules.
WARNINGS = {alarm for alarm in NATIVE if alarm.endswith("_warning")} | {"terminal_mismatch", "counters_corrupt",
                                                                        "not_conducting"}
ELSE_ONLY = {"wire_resistance", "heater_ineffective"}
ONE_SWITCH = {"cell_undervoltage", "discharge_overcurrent", "pack_undervoltage", "cell_overvoltage",
              "charge_overcurrent", "pack_overvoltage", "severe_discharge_overcurrent", "discharge_locked_out",
              "severe_charge_overcurrent", "charge_locked_out", "charge_undertemperature", "charge_overtemperature",
              "discharge_overtemperature", "discharge_undertemperature", "cell_data_lost", "current_data_lost",
              "temperature_data_lost", "data_lost_long", "precharge_failed", "deep_discharge", "charge_switch_stuck",
              "discharge_switch_stuck"}
# Opens no switch by itself, but takes the power away.
POWER = {"auto_shutdown"}


def stops(alarm):
    return alarm not in WARNINGS | ELSE_ONLY | POWER


def stops_all(alarm):
    return stops(alarm) and alarm not in ONE_SWITCH


def message(line):
    ident, data = line.split("#")
    return can.Message(arbitration_id=int(ident, 16), is_extended_id=len(ident) == 8, data=bytes.fromhex(data))


def listen(database, link, fixed, seconds, after=0.0, **options):
    """The last values of every signal, through a virtual bus of python-can, and the times of every message."""
    shown, times, began = {}, {}, time.monotonic()
    with Board(link, fixed, **options) as board, can.Bus("served", interface="virtual") as sender, \
            can.Bus("served", interface="virtual") as receiver:
        while time.monotonic() < began + seconds:
            sender.send(message(board.line()))
            frame = receiver.recv(1.0)
            now = time.monotonic()
            if now < began + after:
                continue
            times.setdefault(frame.arbitration_id, []).append(now)
            shown.update(database.decode_message(frame.arbitration_id, frame.data, decode_choices=False))
    return shown, times


def off_schedule(times, slow):
    """What of the periods was not kept: each message about once a second, SMA's at least 0.2 s apart."""
    wrong = []
    for ident in (0x351, 0x355, 0x356):
        gaps = [late - early for early, late in zip(times[ident], times[ident][1:])]
        if len(gaps) < 2 or not (0.8 < min(gaps) and max(gaps) < 1.3):
            wrong.append(f"{ident:X}: {[round(gap, 2) for gap in gaps]} s")
    every = sorted(moment for moments in times.values() for moment in moments)
    apart = min(b - a for a, b in zip(every, every[1:]))
    if slow and apart <= 0.17:
        wrong.append(f"only {apart:.2f} s apart")
    return wrong


def text(shown, prefix):
    return "".join(chr(int(shown[f"{prefix}{index}"])) for index in range(8)).rstrip()


def whole(value):
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


def inverter(dialect):
    check = Checker(f"cantools 45.1.0 with {dialect}.dbc")
    database = cantools.database.load_file(DBC / f"{dialect}.dbc")
    slow = dialect == "sma"
    seconds = 2.4 if slow else 1.3
    for word, fixed in states():
        shown, _ = listen(database, "inverter-can", fixed, seconds, dialect=dialect)

        def equal(key, expected, tolerance=0.0):
            check.equal(f"{word}: {key}", shown.get(key), expected, tolerance)
        count = len(fixed["cell_voltages"])
        equal("ChargeVoltage", 3.5 * count, 0.051)
        equal("DischargeVoltage", 2.9 * count, 0.051)
        equal("StateOfCharge", fixed["soc"])
        equal("StateOfHealth", fixed["soh"])
        equal("Voltage", fixed["voltage"], 0.0051)
        equal("Current", fixed["current"], 0.051)
        first = next((fixed[name] for name in ("temp1", "temp2") if fixed[name] is not None), None)
        equal("Temperature", -3276.8 if first is None else first, 0.001)
        if dialect == "pylontech":
            equal("Modules", 1)
            check.equal(f"{word}: tag", chr(shown["TagP"]) + chr(shown["TagN"]), "PN")
            check.equal(f"{word}: maker", text(shown, "Letter"), "PYLON")
            # The pack of the simulator stands at rest and starts: both limits and both bits go together.
            check.equal(f"{word}: charge enabled", shown["ChargeEnabled"], int(shown["ChargeCurrentLimit"] > 0))
            check.equal(f"{word}: discharge enabled", shown["DischargeEnabled"], int(shown["DischargeCurrentLimit"] > 0))
        else:
            equal("StateOfChargeFine", float(fixed["soc"]), 0.001)
            equal("Capacity", whole(fixed["capacity_full"]))
            check.equal(f"{word}: maker", text(shown, "Letter"), "JKBMS")
        if dialect == "victron":
            cells = fixed["cell_voltages"]
            equal("LowestCell", min(cells))
            equal("HighestCell", max(cells))
            check.equal(f"{word}: lowest", text(shown, "LowestCellId"), f"C{cells.index(min(cells)) + 1:02}")
            check.equal(f"{word}: highest", text(shown, "HighestCellId"), f"C{cells.index(max(cells)) + 1:02}")
            temperatures = [fixed[name] for name in ("temp1", "temp2") if fixed[name] is not None]
            equal("Coldest", whole(min(temperatures)) + 273 if temperatures else 0)
            equal("Warmest", whole(max(temperatures)) + 273 if temperatures else 0)
            equal("InstalledCapacity", whole(fixed["capacity_full"]))
            check.equal(f"{word}: name", (text(shown, "First") + text(shown, "Second")).startswith("JK_"), True)
    # The limits of a pack that runs: the configuration's rating; and the periods. The schedule itself is proven in
    # virtual time by the tests of bms-wire; here a machine that pauses for a moment must not count as a late frame,
    # so a window with a pause in it is listened to again.
    for _ in range(4):
        shown, times = listen(database, "inverter-can", state(), 5.2, after=1.1, dialect=dialect)
        late = off_schedule(times, slow)
        if not late:
            break
    check.equal("running: charge limit", shown["ChargeCurrentLimit"], 200.0)
    check.equal("running: discharge limit", shown["DischargeCurrentLimit"], 200.0)
    check.equal("periods", late, [])
    # Several alarms a state: all that fall into different fields.
    for alarms in batches(KINDS if dialect == "pylontech" else PAIRS):
        shown, _ = listen(database, "inverter-can", state(alarms=sorted(alarms)), 2.2 if slow else 0.5, dialect=dialect)
        if dialect == "pylontech":
            for kind, members in KINDS.items():
                check.equal(f"{alarms} protection {kind}", shown[f"Protection{kind}"],
                            int(any(stops(alarm) for alarm in alarms & members)))
                check.equal(f"{alarms} warning {kind}", shown[f"Warning{kind}"],
                            int(any(not stops(alarm) for alarm in alarms & members)))
        else:
            stopping = stops_all if slow else stops
            for pair, members in PAIRS.items():
                check.equal(f"{alarms} alarm {pair}", shown[f"Alarm{pair}"],
                            1 if any(stopping(alarm) for alarm in alarms & members) else 2)
                check.equal(f"{alarms} warning {pair}", shown[f"Warning{pair}"],
                            1 if any(not stopping(alarm) for alarm in alarms & members) else 2)
    return check


def batches(kinds):
    """All alarms, in sets with at most one of each kind."""
    left = [sorted(members) for members in kinds.values()]
    left.append(sorted(set(NATIVE) - set().union(*kinds.values())))
    while any(left):
        yield {members.pop() for members in left if members}


def jk():
    check = Checker("cantools 45.1.0 with jk.dbc")
    database = cantools.database.load_file(DBC / "jk.dbc")
    for word, fixed in states():
        shown, times = listen(database, "jk-can", fixed, 1.2)

        def equal(key, expected, tolerance=0.0):
            check.equal(f"{word}: {key}", shown.get(key), expected, tolerance)

        def degrees(value):
            return 205 if value is None else whole(value)
        cells = fixed["cell_voltages"]
        equal("Voltage", fixed["voltage"], 0.051)
        equal("Current", fixed["current"], 0.051)
        equal("StateOfCharge", fixed["soc"])
        equal("HoursLeft", int(fixed["capacity_remaining"] / -fixed["current"]) if fixed["current"] < 0 else 0)
        equal("HighestCell", max(cells))
        equal("LowestCell", min(cells))
        equal("HighestNumber", cells.index(max(cells)) + 1)
        equal("LowestNumber", cells.index(min(cells)) + 1)
        for index in range(28):
            equal(f"Cell{index + 1}", cells[index] if index < len(cells) else 0.0)
        battery = [value for value in (fixed["temp1"], fixed["temp2"]) if value is not None]
        equal("Warmest", degrees(max(battery, default=None)))
        equal("Coldest", degrees(min(battery, default=None)))
        if battery:
            equal("Average", sum(battery) / len(battery), 0.56)
        for name, key in (("Sensor1", "temp1"), ("Sensor2", "temp2"), ("Mos", "mos_temp")):
            equal(name, degrees(fixed[key]))
        equal("Sensor4", 205)
        equal("SensorMask", (fixed["temp1"] is not None) | (fixed["temp2"] is not None) << 1
              | (fixed["mos_temp"] is not None) << 2)
        equal("Remaining", fixed["capacity_remaining"], 0.051)
        equal("Full", fixed["capacity_full"], 0.051)
        # 16 bits of 0.1 Ah are the protocol's end.
        equal("CycleCapacity", min(fixed["cycle_capacity"], 6553.5), 0.051)
        equal("Cycles", fixed["cycles"])
        equal("StateOfHealth", fixed["soh"])
        equal("ChargeOn", int(fixed["charge_mos"]))
        equal("DischargeOn", int(fixed["discharge_mos"]))
        equal("Balancing", int(bool(fixed["balancing"])))
        equal("RequestVoltage", 3.5 * len(cells), 0.051)
        check.equal(f"{word}: silent about alarms", 0x7F4 in times or 0x18F328F4 in times, False)
        check.equal(f"{word}: period of 2F4", 40 < len(times[0x2F4]) < 65, True)
    for alarms in batches(LEVELS):
        shown, _ = listen(database, "jk-can", state(alarms=sorted(alarms)), 0.5)
        for name, members in LEVELS.items():
            found = alarms & members
            level = 0
            if found:
                worst = [1 if stops(alarm) or alarm in POWER else 3 if alarm in WARNINGS else 2 for alarm in found]
                level = min(worst)
            check.equal(f"{alarms} level {name}", shown.get(f"Level{name}", 0), level)
        check.equal(f"{alarms} faults", shown.get("NativeAlarms", 0), native_word(alarms))
    # The control message: refused while locked, done while unlocked.
    for unlock, expected in ((0, 1), (60, 0)):
        with Board("jk-can", {"current": 0.0}, unlock=unlock) as board:
            on, sent, until = [], False, time.monotonic() + 2.6
            while time.monotonic() < until:
                frame = message(board.line())
                if frame.arbitration_id == 0x18F528F4:
                    on.append(database.decode_message(frame.arbitration_id, frame.data)["ChargeOn"])
                if time.monotonic() > until - 1.4 and not sent:
                    control = database.encode_message("Control", {"ControlMask": 1, "ControlCharge": 0,
                                                                  "ControlDischarge": 0, "ControlBalance": 0})
                    board.write(b"18F0F428#" + control.hex().encode() + b"\n")
                    sent = True
        check.equal(f"control, unlocked for {unlock} s", int(on[-1]), expected)
    return check


(jk() if sys.argv[1] == "jk" else inverter(sys.argv[1])).finish()
