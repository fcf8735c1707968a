"""Bluetooth register writes, as mpp-solar and as plain requests, read back from the settings frame."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fake_bluepy"))

from bluepy import btle
from mppsolar.inout.jkbleio import JkBleIO
from mppsolar.protocols import get_protocol

from board import BleBoard, Checker, state

check = Checker("Bluetooth registers (mpp-solar 0.16.56, plain)")
check.note("mpp-solar: fails itself when it looks for the acknowledgement (it expects a cell frame's type there)")


def request(register, value=b""):
    frame = bytes.fromhex("aa5590eb") + bytes([register, len(value)]) + value + bytes(13 - len(value))
    return frame + bytes([sum(frame) & 0xFF])


# Longest wait for what must come.
PATIENCE = 60


def settings_and_acks(board):
    """Asks for the settings frame; gives it, and how many acknowledgements came before it. Notifications keep their order,
    so those are of what was written before; no time is waited for what must not come."""
    board.write_characteristic(request(0x96))
    frame, whole, before, until = b"", None, 0, time.monotonic() + PATIENCE
    while True:
        data = board.notifications.get(timeout=max(until - time.monotonic(), 0.001))
        if data.startswith(bytes.fromhex("aa5590ebc8")):
            if whole is not None:
                return whole, before  # that of the settings frame itself
            before += 1
            continue
        frame = data if data.startswith(bytes.fromhex("55aaeb90")) else frame + data
        if len(frame) >= 300 and frame[4] == 1:
            whole = frame[:300]


def settings(board):
    return settings_and_acks(board)[0]


def number(frame, at, width=4):
    return int.from_bytes(frame[at:at + width], "little", signed=True)


# Register, offset in the settings frame, width there, value: an allowed one for the simulator's LiFePO4 pack.
ALLOWED = [
    (0x02, 10, 4, 2750), (0x03, 14, 4, 2950), (0x04, 18, 4, 3620), (0x05, 22, 4, 3480), (0x06, 26, 4, 12),
    (0x0B, 46, 4, 2550), (0x0C, 50, 4, 120000), (0x0D, 54, 4, 20), (0x0E, 58, 4, 50), (0x0F, 62, 4, 150000),
    (0x10, 66, 4, 25), (0x11, 70, 4, 40), (0x12, 74, 4, 70), (0x13, 78, 4, 900), (0x14, 82, 4, 580), (0x15, 86, 4, 520),
    (0x16, 90, 4, 620), (0x17, 94, 4, 540), (0x18, 98, 4, 10), (0x19, 102, 4, 60), (0x1D, 118, 4, 0), (0x1E, 122, 4, 0),
    (0x1F, 126, 4, 0), (0x20, 130, 4, 250000), (0x22, 138, 4, 3410), (0x3A, 296, 1, -15), (0x3B, 297, 1, -5),
]
# Beyond a cap or range, against an ordering, a board's rating, without a meaning, not there.
REFUSED = [(0x04, 4, 4100), (0x02, 4, 1100), (0x03, 4, 2500), (0x0F, 4, 400000), (0x1A, 4, 900), (0x01, 4, 3350),
           (0x21, 4, 500), (0x25, 4, 5), (0x27, 4, 1), (0x6B, 4, 1), (0x6C, 4, 1), (0xFF, 4, 0), (0x1D, 4, 2)]

with BleBoard(state(), unlock=600) as board:
    board.subscribe()
    for register, at, width, value in ALLOWED:
        board.write_characteristic(request(register, value.to_bytes(4 if width == 4 else 1, "little", signed=True)))
        after, acks = settings_and_acks(board)
        check.equal(f"register {register:02x}: acknowledged", acks, 1)
        check.equal(f"register {register:02x}: read back", number(after, at, width), value)
    before = settings(board)[6:299]
    for register, width, value in REFUSED:
        board.write_characteristic(request(register, value.to_bytes(width, "little")))
        _, acks = settings_and_acks(board)
        check.equal(f"register {register:02x} = {value}: no acknowledgement", acks, 0)
    check.equal("refused writes changed nothing", settings(board)[6:299], before)

with BleBoard(state()) as board:
    board.subscribe()
    before = settings(board)[6:299]
    for register, _, width, value in ALLOWED:
        board.write_characteristic(request(register, value.to_bytes(4 if width == 4 else 1, "little", signed=True)))
    after, acks = settings_and_acks(board)
    check.equal("locked: acknowledgements", acks, 0)
    check.equal("locked: nothing changed", after[6:299], before)

for layout, name in (("32s", "JK02_32"), ("24s", "JK02")):
    with BleBoard(state(), layout=layout, unlock=600) as board:
        btle.board = board
        protocol = get_protocol(name)
        for command, at, expected in (("setCellOVP3.55", 18, 3550), ("setChargingOff", 118, 0), ("setChargingOn", 118, 1),
                                      ("setDischargingOff", 122, 0), ("setDischargingOn", 122, 1)):
            if protocol.get_full_command(command) is None:
                check.note(f"mpp-solar {name}: has no {command}")
                continue
            try:
                JkBleIO("served").send_and_receive(command=command, protocol=protocol)
            except TypeError:
                pass  # its own limit, above
            board.connected()
            board.subscribe()
            settings(board)  # may still be one that mpp-solar asked for
            check.equal(f"{name} {command}", number(settings(board), at), expected)

check.finish()
