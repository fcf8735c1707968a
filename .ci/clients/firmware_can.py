"""cantools reads what a firmware image in its emulator sends on its CAN bus; the times are the emulator's."""
from pathlib import Path

import cantools

DBC = Path(__file__).resolve().parents[2] / "docs" / "dbc"
INVERTER = (0x351, 0x355, 0x356, 0x359, 0x35C, 0x35E)
JK = (0x2F4, 0x4F4, 0x5F4, 0x18F128F4, 0x18F228F4, 0x18F428F4, 0x18F528F4, 0x1806E5F4,
      *range(0x18E028F4, 0x18E728F4, 0x10000))


def listen(board, database, seconds):
    """Signals of the last frame of each identifier, and the times of all, in ms; and the bit rate that was set."""
    board.ask(frames={})
    board.sleep(seconds)
    answer = board.ask(frames={})
    shown, times = {}, {}
    for at, ident, extended, data in answer["frames"]:
        if extended != (ident > 0x7FF):
            continue
        shown.update(database.decode_message(ident, bytes(data), decode_choices=False))
        times.setdefault(ident, []).append(at)
    return shown, times, answer["rate"]


def gaps(times):
    return [round(later - earlier, 1) for earlier, later in zip(times, times[1:])]


def inverter(board, row, compared):
    shown, times, rate = listen(board, cantools.database.load_file(DBC / "pylontech.dbc"), 4.5)
    truth = board.truth()
    check = compared()
    check.near("bit rate", rate, 500_000, 0)
    check.near("Voltage", shown.get("Voltage"), truth["voltage"], 0.3)
    check.near("Current", shown.get("Current"), truth["current"], 0.5)
    check.near("Temperature", shown.get("Temperature"), truth["temp1"], 1)
    fields = dict(part.split("=", 1) for part in truth["line"].split(" ") if "=" in part)
    check.near("StateOfCharge", shown.get("StateOfCharge"), float(fields["soc"]), 1)
    # Too cold to charge, while the load keeps the charge gate closed: the inverter must not charge.
    check.near("ChargeEnabled", shown.get("ChargeEnabled"), 0, 0)
    check.near("ChargeCurrentLimit", shown.get("ChargeCurrentLimit"), 0, 0)
    check.near("DischargeEnabled", shown.get("DischargeEnabled"), truth["discharge_mos"], 0)
    check.near("Modules", shown.get("Modules"), 1, 0)
    check.near("messages", len(times), len(INVERTER), 0)
    check.tell("cantools 45.1.0 with pylontech.dbc, the inverter's bus")
    periods = [gap for ident in INVERTER for gap in gaps(times.get(ident, []))]
    row("-", len(periods) >= 3 * len(INVERTER) and all(950 <= gap <= 1050 for gap in periods),
        f"CAN: each message each second, {min(periods, default=0)} … {max(periods, default=0)} ms")
    alive = board.ask(can={"id": 0x305, "extended": False, "data": [0] * 8})["heard"]
    other = board.ask(can={"id": 0x351, "extended": False, "data": [0] * 8})["heard"]
    row("-", alive and not other, "CAN: the filter lets in the inverter's sign of life, and nothing else")


def jk(board, row, compared):
    database = cantools.database.load_file(DBC / "jk.dbc")
    shown, times, rate = listen(board, database, 3.5)
    truth = board.truth()
    check = compared()
    check.near("bit rate", rate, 250_000, 0)
    check.near("Voltage", shown.get("Voltage"), truth["voltage"], 0.3)
    check.near("Current", shown.get("Current"), truth["current"], 0.5)
    for index, volts in enumerate(truth["cell_voltages"]):
        check.near(f"Cell{index + 1}", shown.get(f"Cell{index + 1}"), volts, 0.015)
    for name, key in (("Sensor1", "temp1"), ("Sensor2", "temp2"), ("Mos", "mos_temp")):
        check.near(name, shown.get(name), truth[key], 1)
    check.near("ChargeOn", shown.get("ChargeOn"), truth["charge_mos"], 0)
    check.near("DischargeOn", shown.get("DischargeOn"), truth["discharge_mos"], 0)
    check.near("messages", len(set(times) & set(JK)), len(JK), 0)
    check.tell("cantools 45.1.0 with jk.dbc")
    counts = {ident: len(times.get(ident, [])) for ident in JK}
    fast = gaps(times.get(0x2F4, []))
    late = [gap for gap in fast if gap > 25]
    # The line of text is waited for, once a second.
    row("-", min(counts.values()) >= 3 and len(late) <= 4 and max(fast, default=99) < 60,
        f"JK CAN: each of {len(JK)} messages came; 02F4 each 20 ms but {len(late)} times in 3.5 s, at most {max(fast, default=0)} ms")
    control = list(database.encode_message("Control", {"ControlMask": 1, "ControlCharge": 0, "ControlDischarge": 0,
                                                       "ControlBalance": 0}))

    def ask():
        board.ask(can={"id": 0x18F0F428, "extended": True, "data": control})
        board.sleep(0.5)
        return board.truth()["charge_mos"]
    row("D34", ask(), "JK CAN: charging off, asked for without the key: nothing happens")
    board.ask(set={"key": True})
    board.sleep(0.3)
    board.ask(set={"key": False})
    row("D34", not ask(), "JK CAN: the same after the key was pressed: the charge gate is low")
