"""aiobmsble (Home Assistant's BMS_BLE) against a served Bluetooth board."""
import asyncio
import enum
import logging
import sys

if sys.version_info < (3, 12):
    # What `value in Enum` means since then.
    enum.EnumMeta.__contains__ = lambda cls, value: isinstance(value, cls) or value in cls._value2member_map_

from board import NATIVE, BleBoard, Checker, native_word, state, states
from fake_bleak import install

from aiobmsble import TempSensor
from aiobmsble.bms.jikong_bms import BMS

logging.disable(logging.INFO)
check = Checker("aiobmsble 0.31.0")


async def read(board, mtu):
    # It gives up after its five seconds; a machine that pauses for longer is asked again.
    for last in (False, False, False, False, True):
        bms = BMS(install(board, mtu))
        try:
            sample = await bms.async_update()
            return sample, await bms.device_info()
        except TimeoutError:
            if last:
                raise
        finally:
            await bms.disconnect()


def compare(word, layout, fixed, sample):
    def equal(key, expected, tolerance=0.0):
        check.equal(f"{layout}, {word}: {key}", sample.get(key), expected, tolerance)

    count = len(fixed["cell_voltages"])
    equal("voltage", fixed["voltage"])
    equal("current", fixed["current"])
    equal("battery_level", fixed["soc"])
    equal("battery_health", fixed["soh"])
    equal("cycle_charge", fixed["capacity_remaining"])
    equal("design_capacity", int(fixed["capacity_full"]))
    equal("cycles", fixed["cycles"])
    equal("balance_current", fixed["balance_current"])
    equal("balancer", bool(fixed["balancing"]))
    equal("chrg_mosfet", fixed["charge_mos"])
    equal("dischrg_mosfet", fixed["discharge_mos"])
    equal("cell_count", count)
    equal("delta_voltage", round(max(fixed["cell_voltages"]) - min(fixed["cell_voltages"]), 3))
    for index, expected in enumerate(fixed["cell_voltages"]):
        shown = sample["cell_voltages"][index] if index < len(sample["cell_voltages"]) else None
        check.equal(f"{layout}, {word}: cell {index + 1}", shown, expected)
    equal("power", fixed["voltage"] * fixed["current"], 0.001)
    # In the order of the client: 32S the switches' sensor first, 24S last.
    mos, battery = [fixed["mos_temp"]], [fixed["temp1"], fixed["temp2"]]
    temperatures = [value for value in (mos + battery if layout == "32s" else battery + mos) if value is not None]
    if layout == "24s" and None in mos + battery:
        check.note("24S: its sensor mask has the switches' sensor at bit 2, where both layouts have it at bit 0")
        temperatures = None
    if temperatures is not None:
        check.equal(f"{layout}, {word}: temperatures", [one.value for one in sample["temp_values"]], temperatures)
        check.equal(f"{layout}, {word}: sensor kinds", [one.type == TempSensor.T.MOSFET for one in sample["temp_values"]],
                    [value == fixed["mos_temp"] for value in temperatures])
    # It keeps the low half of the 32 bits.
    equal("problem_code", native_word(fixed["alarms"]) & 0xFFFF)


async def main():
    for layout in ("32s", "24s"):
        for number, (word, fixed) in enumerate(states()):
            mtu = (185, 247, 131, 23)[number % 4]
            with BleBoard(fixed, mtu, layout=layout) as board:
                sample, info = await read(board, mtu)
            compare(word, layout, fixed, sample)
            check.equal(f"{layout}, {word}: name", info["name"], fixed["name"])
            check.equal(f"{layout}, {word}: model", info["model"].startswith("JK_"), True)
            check.equal(f"{layout}, {word}: software", info["sw_version"], "15.41" if layout == "32s" else "10.07")
    check.note("shows only the low 16 of the 32 alarm bits")
    for alarm in NATIVE:
        fixed = state(alarms=[alarm])
        with BleBoard(fixed) as board:
            sample, _ = await read(board, 185)
        check.equal(f"alarm {alarm}", sample["problem_code"], native_word([alarm]) & 0xFFFF)


asyncio.run(main())
check.finish()
