#!/usr/bin/env python3
"""What can panic in the flash store linked for a Cortex-M0+ with overflow checks on, and in whose source.

Nothing of ours may, but for the arm that every `async fn` has for being polled after its end. The libraries below may: their
arithmetic is checked here (in a firmware it wraps); what would panic there too is counted, and may not become more.
"""
import re
import struct
from collections import Counter

from emulate import M0, Failed, build, guarded
from figures import output_of, tool

PANIC = re.compile(r"panic|unwrap_failed|expect_failed|assert_failed|slice_\w*fail|slice_(start|end)_index|len_mismatch_fail")
# Places in other crates that do not come from checked arithmetic (docs/storage.md says what they are).
KNOWN = {"sequential-storage": 13}


class Image:
    def __init__(self, path):
        self.path, self.bytes = path, path.read_bytes()
        offset, count = struct.unpack_from("<I", self.bytes, 28)[0], struct.unpack_from("<H", self.bytes, 44)[0]
        headers = [struct.unpack_from("<IIIII", self.bytes, offset + 32 * number) for number in range(count)]
        self.segments = [(address, at, size) for kind, at, address, _, size in headers if kind == 1]

    def read(self, address, length):
        for start, at, size in self.segments:
            if start <= address and address + length <= start + size:
                return self.bytes[at + address - start:at + address - start + length]
        return None

    def source(self, address):
        """The file and line of a `core::panic::Location` there; None if there is none."""
        found = self.read(address, 16)
        if found is None:
            return None
        text, length, line, _ = struct.unpack("<IIII", found)
        name = self.read(text, length) if 0 < length < 300 else None
        return (name.decode(errors="replace"), line) if name and name.endswith(b".rs") else None


def crate(file):
    if "bms-" in file:
        return re.search(r"bms-\w+", file).group(0)
    found = re.search(r"registry/src/[^/]+/(.+?)-\d+\.", file)
    if found:
        return found.group(1)
    # A function, where the place is not known.
    return "core" if "/library/" in file else "sequential-storage" if "sequential_storage" in file else "bms-proof"


def panics(image):
    """(crate, file and line, kind) of each call to panicking code."""
    function, loaded = "", []
    for line in output_of(tool("llvm-objdump"), "-d", "--no-show-raw-insn", "--demangle", image.path).splitlines():
        head = re.match(r"[0-9a-f]+ <(.*)>:$", line)
        if head:
            function, loaded = head.group(1), []
            continue
        literal = re.search(r"\tldr\tr\d+, \[pc, #0x[0-9a-f]+\]\s+@ (0x[0-9a-f]+)", line)
        if literal:
            word = image.read(int(literal.group(1), 16), 4)
            place = image.source(struct.unpack("<I", word)[0]) if word else None
            loaded = loaded[-3:] + [place] if place else loaded
        called = re.search(r"\tbl?\t0x[0-9a-f]+ <(.*)>", line)
        if called and PANIC.search(called.group(1)) and not PANIC.search(function):
            kind = called.group(1).rpartition("::panic_const_")[2]
            file, number = loaded[-1] if loaded else (function, 0)
            yield crate(file), f"{file}:{number}", kind.partition("+")[0]


def main():
    image = Image(build("bms-proof", M0, binary="proof", profile="proof", features=["store", "locate"]))
    counts, arithmetic, resumed, ours = Counter(), Counter(), 0, []
    for owner, place, kind in panics(image):
        if kind == "async_fn_resumed":
            resumed += 1
        elif owner in ("bms-store", "bms-core"):
            ours.append(f"{place}: {kind}")
        elif kind.endswith("overflow"):
            arithmetic[owner] += owner != "bms-proof"
        else:
            counts[owner] += 1

    def told(of):
        return ", ".join(f"{count} in {owner}" for owner, count in sorted(of.items()) if count) or "none"

    print(f"store on {M0}: {len(ours)} panics in bms-store and bms-core; {resumed} arms for a future polled after its end; "
          f"below: {told(counts)}; of checked arithmetic: {told(arithmetic)}")
    more = [owner for owner, count in counts.items() if count > KNOWN.get(owner, 0)]
    if ours or more or not resumed:
        raise Failed("\n".join(ours + [f"more panics than known in {owner}" for owner in more]) or "nothing was found at all")


if __name__ == "__main__":
    guarded(main)
