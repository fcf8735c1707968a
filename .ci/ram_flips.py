#!/usr/bin/env python3
"""Flips bits of a core's memory in a release image that runs in QEMU, and tells what opens and when (X20).

Every third bit of the configuration is flipped, and every 27th of the core's whole memory; --all flips every one and writes
docs/evidence/ram-flips.txt. A bit of a limit that is not found within eleven steps fails, and so does any that keeps a path closed
beyond a limit for longer than its delay and two periods.
"""
import collections
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emulate import M0, MACHINES, ROOT, Failed, build, guarded, output_of, tool

FOUND = 11
VIOLATIONS = ["over-voltage", "under-voltage", "severe discharge over-current", "severe charge over-current", "over-temperature"]
# Chemistry, model, profile and board: fields of one byte, whose invalid values the compiler need not tell from valid ones.
ONE_BYTE_FIELDS = 20
PAGE = ROOT / "docs" / "evidence" / "ram-flips.txt"

class Debugger:
    """QEMU with its stub for debuggers, stopped at `flip_here`."""

    def __init__(self, image, stop):
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "gdb"
        self.qemu = subprocess.Popen(
            MACHINES[M0] + ["-nographic", "-monitor", "none", "-serial", "null", "-S", "-semihosting-config", "enable=on,target=native",
                            "-chardev", f"socket,path={path},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb", "-kernel", str(image)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise Failed("QEMU does not open its stub for debuggers")
        self.buffer = b""
        self.stop = stop
        self.ask("qSupported:")
        self.ask(f"Z0,{stop:x},2")

    def close(self):
        self.socket.close()
        self.qemu.kill()
        self.qemu.wait()
        self.directory.cleanup()

    def ask(self, text, seconds=60):
        body = text.encode()
        self.socket.sendall(b"$" + body + b"#%02x" % (sum(body) & 255))
        self.socket.settimeout(seconds)
        while True:
            found = re.search(rb"\$([^#]*)#..", self.buffer)
            if found:
                self.buffer = self.buffer[found.end():]
                self.socket.sendall(b"+")
                return found.group(1).decode()
            more = self.socket.recv(4096)
            if not more:
                raise OSError("QEMU ended")
            self.buffer += more

    def go(self):
        """Runs to the next stop; None if the image hangs or ends."""
        try:
            answer = self.ask("c", seconds=20)
        except OSError:
            return None
        return self.registers() if answer.startswith("T05") else None

    def registers(self):
        text = self.ask("g")
        return [int.from_bytes(bytes.fromhex(text[at:at + 8]), "little") for at in range(0, 16 * 8, 8)]

    def skip(self):
        """On from the stop: over its two bytes."""
        self.ask(f"Pf={(self.stop + 2).to_bytes(4, 'little').hex()}")

    def flip(self, address, bit):
        byte = int(self.ask(f"m{address:x},1"), 16) ^ 1 << bit
        self.ask(f"M{address:x},1:{byte:02x}")


def main():
    image = build("bms-on-target", M0, binary="ram_flips")
    lines = output_of(tool("llvm-nm"), image).splitlines()
    stop = next(int(line.split()[0], 16) & ~1 for line in lines if line.endswith(" flip_here"))
    everything = "--all" in sys.argv
    stride = 1 if everything else 3
    debugger = Debugger(image, stop)
    core, length, config, config_length, _ = registers_of(debugger)
    of_config = range((config - core) * 8, (config - core + config_length) * 8)
    bits = [bit for bit in range(length * 8) if bit % (stride if bit in of_config else stride ** 3) == 0]
    steps, missed, hiding, resets, harmless = collections.Counter(), [], collections.Counter(), 0, 0
    places = collections.defaultdict(list)
    for bit in bits:
        debugger.flip(core + bit // 8, bit % 8)
        debugger.skip()
        after = debugger.go()
        if after is None:
            # It hangs or stops by itself: the watchdog's matter, which opens everything.
            resets += 1
            debugger.close()
            debugger = Debugger(image, stop)
            if registers_of(debugger)[0] != core:
                raise Failed("the image is another one")
            continue
        result = after[4]
        if 0 < result <= FOUND:
            steps[result] += 1
        elif result & 31:
            for number, name in enumerate(VIOLATIONS):
                if result >> number & 1:
                    hiding[name] += 1
                    places[bit // 32 * 4].append(name)
        elif result & 32:
            missed.append(bit)
        else:
            harmless += 1
    debugger.close()
    flipped = sum(bit in of_config for bit in bits)
    text = f"""{flipped} of the {len(of_config)} bits of the configuration and {len(bits) - flipped} of the {length * 8 - len(of_config)} other bits of the core
{sum(steps.values())} opened everything, within {max(steps)} steps at the latest
{harmless + len(missed)} changed nothing that the five violations afterwards met; {len(missed)} of them were invalid values of one-byte fields
{resets} ended in a reset
{sum(hiding.values())} hid a violation ({", ".join(VIOLATIONS)})
"""
    print(text, end="")
    values = [bit for bit in missed if bit // 8 - (config - core) < config_length - ONE_BYTE_FIELDS]
    if values:
        raise Failed(f"flipped bits of limits that nobody noticed: {values}")
    if hiding:
        raise Failed(f"flipped bits that hide violations: {dict(hiding)} at {dict(places)}")
    if everything:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        PAGE.write_text(f"commit {commit}\n{text}")


def registers_of(debugger):
    registers = debugger.go()
    if registers is None:
        raise Failed("the image does not reach its marker")
    return registers[:5]


guarded(main)
