"""mpp-solar: JKSERIAL over a pseudo-terminal, JK02 and JK02_32 over Bluetooth."""
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fake_bluepy"))

from bluepy import btle
from mppsolar.inout.jkbleio import JkBleIO
from mppsolar.inout.jkserialio import JKSerialIO
from mppsolar.protocols import get_protocol

from board import NATIVE, BleBoard, Board, Checker, state, states
from serial_tables import UART, coded, whole

logging.disable(logging.CRITICAL)


def value(shown, key):
    entry = shown.get(key)
    return entry[0] if isinstance(entry, (list, tuple)) else entry


def serial(fixed):
    with Board("uart", fixed, pty=True) as board:
        protocol = get_protocol("JKSERIAL")
        command = protocol.get_full_command("getBalancerData")
        # It gives up after 100 ms; a machine that pauses for longer is asked again.
        for _ in range(20):
            port = JKSerialIO(device_path=board.path, serial_baud=115200)
            answer = port.send_and_receive(full_command=command)
            if isinstance(answer, (bytes, bytearray)) and answer[-5:-2] == b"\x68\0\0":
                break
        return protocol.decode(answer, "getBalancerData")


def check_serial():
    check = Checker("mpp-solar 0.16.56 JKSERIAL")
    check.note("its table is of exactly 16 cells")
    check.note("shows temperatures below zero in the protocol's code (105 is -5 °C)")
    for word, fixed in states():
        if len(fixed["cell_voltages"]) != 16:
            continue
        shown = serial(fixed)

        def equal(key, expected, tolerance=0.0):
            check.equal(f"{word}: {key}", value(shown, key), expected, tolerance)
        equal("Cells_connected", 16)
        for index, expected in enumerate(fixed["cell_voltages"]):
            equal(f"Voltage_Cell{index + 1:02}", expected, 0.0)
        equal("MOS_Temp", coded(fixed["mos_temp"]))
        equal("Battery_T1", coded(fixed["temp1"]))
        equal("Battery_T2", coded(fixed["temp2"]))
        equal("Battery_Voltage", fixed["voltage"], 0.005)
        equal("Battery_Current", fixed["current"], 0.005)
        equal("Percent_Remain", fixed["soc"])
        equal("Cycle_Count", fixed["cycles"])
        equal("Total_capacity", whole(fixed["cycle_capacity"]))
        equal("Battery Warning Message", "0000")
        status = fixed["charge_mos"] * 1 | fixed["discharge_mos"] * 2 | bool(fixed["balancing"]) * 4 | 8
        equal("Battery status information", f"{status:04x}")
        equal("Capacity Setting", whole(fixed["capacity_full"]))
        equal("Charge Enabled", 1)
    for alarm in NATIVE:
        bits = 1 << UART[alarm] if alarm in UART else 0
        shown = value(serial(state(alarms=[alarm])), "Battery Warning Message")
        check.equal(f"alarm {alarm}", shown, f"{bits:04x}")
    return check


def bluetooth(fixed, layout, name, command, **options):
    with BleBoard(fixed, 185, layout=layout, **options) as board:
        btle.board = board
        protocol = get_protocol(name)
        results = []
        for one in [command] if isinstance(command, str) else command:
            record = JkBleIO("served").send_and_receive(command=one, protocol=protocol)
            results.append(protocol.decode(record, one) if record is not None else None)
        return results[0] if isinstance(command, str) else results


def check_bluetooth(layout, name, most):
    check = Checker(f"mpp-solar 0.16.56 {name}")
    check.note("over a stand-in for bluepy")
    check.note("shows no alarms; a missing sensor as -200 °C")
    for word, fixed in states():
        shown = bluetooth(fixed, layout, name, "getCellData")

        def equal(key, expected, tolerance=0.0):
            check.equal(f"{word}: {key}", value(shown, key), expected, tolerance)

        def warm(degrees):
            return -200.0 if degrees is None else degrees
        cells = fixed["cell_voltages"]
        for index in range(most):
            equal(f"Voltage_Cell{index + 1:02}", cells[index] if index < len(cells) else 0.0)
        equal("Average_Cell_Voltage", sum(cells) / len(cells), 0.0005)
        equal("Delta_Cell_Voltage", max(cells) - min(cells))
        equal("Battery_Voltage", fixed["voltage"])
        power = fixed["voltage"] * abs(fixed["current"]) * 1000
        equal("Battery_Power", power if name == "JK02" else power / 1000, 1 if name == "JK02" else 0.001)
        # The 24S table calls the pack's current the balancer's.
        equal("Balance_Current" if name == "JK02" else "Battery_Current", fixed["current"])
        equal("Battery_T1", warm(fixed["temp1"]))
        equal("Battery_T2", warm(fixed["temp2"]))
        equal("MOS_Temp", warm(fixed["mos_temp"]))
        equal("Percent_Remain", fixed["soc"])
        equal("Capacity_Remain", fixed["capacity_remaining"])
        equal("Nominal_Capacity", fixed["capacity_full"])
        equal("Cycle_Count", fixed["cycles"])
        equal("Cycle_Capacity", fixed["cycle_capacity"])
    info = bluetooth(state(), layout, name, "getInfo")
    check.equal("Device Name", value(info, "Device Name"), "Shed7")
    check.equal("no password", value(info, "Device Passcode"), "****")
    check.equal("no settings password", value(info, "Setup Passcode"), "****")
    return check


def main():
    mode = sys.argv[1]
    if mode == "serial":
        check_serial().finish()
    elif mode == "24s":
        check_bluetooth("24s", "JK02", 24).finish()
    else:
        check_bluetooth("32s", "JK02_32", 32).finish()


main()
