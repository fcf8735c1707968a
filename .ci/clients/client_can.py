"""cantools and python-can with the project's own DBC files, for every CAN dialect."""
import sys
import time
from pathlib import Path

import can
import cantools

from board import NATIVE, Board, Checker, native_word, state, states

# Longest wait for what must come; only a board that does not send it makes anybody wait so long.
PATIENCE = 120
# What each dialect sends always; of JK's two more while there is an alarm.
ALWAYS = {
    "pylontech": (0x351, 0x355, 0x356, 0x359, 0x35C, 0x35E),
    "victron": (0x351, 0x355, 0x356, 0x35A, 0x35E, 0x35F, *range(0x370, 0x378), 0x379),
    "sma": (0x351, 0x355, 0x356, 0x35A, 0x35E, 0x35F),
    "jk": (0x2F4, 0x4F4, 0x5F4, 0x18F128F4, 0x18F228F4, 0x18F428F4, 0x18F528F4, *range(0x18E028F4, 0x18E728F4, 0x10000),
           0x1806E5F4),
}
LEVEL_MESSAGE, FAULT_MESSAGE = 0x7F4, 0x18F328F4

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


def listen(database, link, fixed, wanted, rounds=1, after=0.0, **options):
    """The last values of every signal, through a virtual bus of python-can, and the times of every message: until each of
    the wanted messages came so often. Frames are counted, not seconds, so a machine that pauses changes nothing."""
    shown, times, began = {}, {}, time.monotonic()
    with Board(link, fixed, **options) as board, can.Bus("served", interface="virtual") as sender, \
            can.Bus("served", interface="virtual") as receiver:
        while any(len(times.get(ident, ())) < rounds for ident in wanted):
            sender.send(message(board.line()))
            frame = receiver.recv(60.0)
            now = time.monotonic()
            if now > began + PATIENCE:
                missing = [f"{ident:X}" for ident in wanted if len(times.get(ident, ())) < rounds]
                raise TimeoutError(f"not {rounds} times within {PATIENCE} s: {missing}")
            if now < began + after:
                continue
            times.setdefault(frame.arbitration_id, []).append(now)
            shown.update(database.decode_message(frame.arbitration_id, frame.data, decode_choices=False))
    return shown, times


def too_often(times, ident, period):
    """Whether a message came more often than its period allows; a pause can only make it rarer. One may have waited."""
    moments = times[ident]
    return len(moments) > (moments[-1] - moments[0]) / period + 2


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
    wanted = ALWAYS[dialect]
    for word, fixed in states():
        shown, _ = listen(database, "inverter-can", fixed, wanted, dialect=dialect)

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
    # The limits of a pack that runs: the configuration's rating; and the periods. That no frame is late is proven in
    # virtual time by the tests of bms-wire. Here it is seen as well if the machine does not pause just then; what a pause
    # cannot excuse is checked in any case: no frame too often, every message as often as the others.
    periodic = (0x351, 0x355, 0x356)
    for _ in range(3):
        shown, times = listen(database, "inverter-can", state(), periodic, rounds=4, after=1.1, dialect=dialect)
        late = off_schedule(times, slow)
        if not late:
            break
    else:
        check.note(f"the machine was too busy to see the periods: {'; '.join(late)}")
    check.equal("no frame too often", [f"{ident:X}" for ident in periodic if too_often(times, ident, 1.0)], [])
    counts = [len(times[ident]) for ident in periodic]
    check.equal("each as often as the others", max(counts) - min(counts) <= 1, True)
    check.equal("running: charge limit", shown["ChargeCurrentLimit"], 200.0)
    check.equal("running: discharge limit", shown["DischargeCurrentLimit"], 200.0)
    # Several alarms a state: all that fall into different fields.
    for alarms in batches(KINDS if dialect == "pylontech" else PAIRS):
        shown, _ = listen(database, "inverter-can", state(alarms=sorted(alarms)), (0x359 if dialect == "pylontech" else 0x35A,),
                          dialect=dialect)
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
        shown, times = listen(database, "jk-can", fixed, ALWAYS["jk"])

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
        check.equal(f"{word}: silent about alarms", LEVEL_MESSAGE in times or FAULT_MESSAGE in times, False)
        check.equal(f"{word}: 2F4 not too often", too_often(times, 0x2F4, 0.020), False)
    for alarms in batches(LEVELS):
        # Both come each 100 ms while there is something to tell, as 4F4 always does.
        told = [ident for ident, there in ((LEVEL_MESSAGE, alarms & set().union(*LEVELS.values())),
                                           (FAULT_MESSAGE, native_word(alarms))) if there]
        shown, _ = listen(database, "jk-can", state(alarms=sorted(alarms)), (0x4F4, *told), rounds=3)
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
            def states_of_charge(until, most):
                """Up to so many reports of the switch, or until it stands as wanted."""
                while most > 0:
                    frame = message(board.line())
                    if frame.arbitration_id == 0x18F528F4:
                        most -= 1
                        yield (on := database.decode_message(frame.arbitration_id, frame.data)["ChargeOn"])
                        if on == until:
                            return
            before = list(states_of_charge(1, 240))[-1]
            control = database.encode_message("Control", {"ControlMask": 1, "ControlCharge": 0,
                                                          "ControlDischarge": 0, "ControlBalance": 0})
            board.write(b"18F0F428#" + control.hex().encode() + b"\n")
            # Refused is what has not happened for four reports, two seconds.
            after = list(states_of_charge(0, 4 if expected else 240))[-1]
        check.equal(f"control, unlocked for {unlock} s: charged before", int(before), 1)
        check.equal(f"control, unlocked for {unlock} s", int(after), expected)
    return check


(jk() if sys.argv[1] == "jk" else inverter(sys.argv[1])).finish()
