"""powermon over a pseudo-terminal; it only listens, so the board uploads unasked."""
import asyncio
import logging

from powermon.commands.command import Command
from powermon.ports.serialport import SerialPort
from powermon.protocols import get_protocol_definition

from board import NATIVE, Board, Checker, state, states
from serial_tables import UART, coded, whole

logging.disable(logging.CRITICAL)
check = Checker("powermon 1.0.18")
check.note("its serial port cannot be made from a configuration file (from_config returns nothing); driven by its classes")
check.note("shows temperatures below zero in the protocol's code (105 is -5 °C); the current without a sign, with a direction")
check.note("its readings end at 16 cells")

# Its names of the bits of 8B.
FLAGS = ["Low Capacity Alarm", "MOS Tube Over Temperature Alarm", "charging_over_voltage_alarm",
         "discharge_under_voltage_alarm", "battery_over_temperature_alarm", "charging_over_current_alarm",
         "discharge_over_current_alarm", "cell_pressure_difference_alarm", "battery_box_over_temperature_alarm",
         "battery_low_temperature_alarm", "cell_over_voltage_alarm", "cell_under_voltage_alarm", "309_a_protection",
         "309_b_protection"]


async def listen(fixed):
    protocol = get_protocol_definition("JKSERIAL")
    with Board("uart", fixed, pty=True, upload=True) as board:
        port = SerialPort(board.path, 115200, protocol)
        await port.connect()
        try:
            for _ in range(12):
                command = Command.from_code("all_data")
                command.command_definition = protocol.get_command_definition("all_data")
                command.full_command = protocol.get_full_command("all_data")
                result = await port.send_and_receive(command)
                if not result.error and result.readings:
                    return {one.data_name: one.data_value for one in result.readings}
        finally:
            await port.disconnect()
    return {}


async def main():
    for word, fixed in states():
        shown = await listen(fixed)
        cells = fixed["cell_voltages"]

        def equal(key, expected, tolerance=0.0):
            check.equal(f"{word}: {key}", shown.get(key), expected, tolerance)
        equal("Cell Count", len(cells))
        for index, expected in enumerate(cells[:16]):
            equal(f"Cell {index + 1} Voltage", round(expected * 1000))
        equal("MOS Temperature", coded(fixed["mos_temp"]))
        equal("Battery Box Temperature", coded(fixed["temp1"]))
        equal("Battery Temperature", coded(fixed["temp2"]))
        equal("Battery Voltage", fixed["voltage"], 0.0051)
        # 15 bits of 10 mA are the protocol's end.
        equal("Battery Current", min(abs(fixed["current"]), 327.67), 0.0051)
        check.equal(f"{word}: direction", str(shown.get("direction")), "charge" if fixed["current"] > 0 else "discharge")
        equal("Battery State of Charge", fixed["soc"])
        equal("Battery Cycle Count", fixed["cycles"])
        equal("Battery Strings", len(cells))
        equal("Total Cycle Count Capacity", whole(fixed["cycle_capacity"]))
        equal("Battery Capacity", whole(fixed["capacity_full"]))
        equal("Charge MOS On", fixed["charge_mos"])
        equal("Discharge MOS On", fixed["discharge_mos"])
        equal("Equalization Switching State", bool(fixed["balancing"]))
    for bit, flag in enumerate(FLAGS):
        alarms = [alarm for alarm in NATIVE if UART.get(alarm) == bit]
        if alarms:
            shown = await listen(state(alarms=alarms[:1]))
            check.equal(f"alarm {alarms[0]}", [name for name in FLAGS if shown.get(name)], [flag])


asyncio.run(main())
check.finish()
