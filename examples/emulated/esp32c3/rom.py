"""Makes the contents of the mask ROM for one firmware: every entry that the firmware's linker scripts name leads to our own
routine of that name, and all others return 0 at once. Nothing of the chip's real ROM is needed or contained."""
import struct

from elftools.elf.elffile import ELFFile

BASE, SIZE = 0x40000000, 0x60000
# Below this the vendor's entries, above it the linked routines.
ROUTINES = 0x40030000
RETURN_0 = 0x80824501  # li a0, 0; ret
RETURN_1 = 0x80824505  # li a0, 1; ret
# The answer 1 is "power came on".
ANSWER_1 = {"rtc_get_reset_reason"}


def symbols(elf):
    table = elf.get_section_by_name(".symtab")
    return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols() if symbol.name}


def jump(origin, target):
    """The instruction `j target`."""
    offset = target - origin
    if not -(1 << 20) <= offset < 1 << 20:
        raise ValueError(f"{origin:#x} is too far from {target:#x}")
    return (
        (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20 | (offset >> 12 & 0xFF) << 12 | 0x6F
    )


def make(routines_path, firmware_path):
    with open(routines_path, "rb") as file:
        routines = ELFFile(file)
        ours = symbols(routines)
        rom = bytearray(struct.pack("<I", RETURN_0) * (SIZE // 4))
        for section in routines.iter_sections():
            start = section["sh_addr"] - BASE
            if section["sh_addr"] >= ROUTINES and section["sh_type"] == "SHT_PROGBITS":
                rom[start : start + section["sh_size"]] = section.data()
    with open(firmware_path, "rb") as file:
        named = symbols(ELFFile(file))
    for name, address in named.items():
        if BASE <= address < ROUTINES:
            if name in ANSWER_1:
                word = RETURN_1
            elif ours.get(name, 0) >= ROUTINES:
                word = jump(address, ours[name])
            else:
                continue
            rom[address - BASE : address - BASE + 4] = struct.pack("<I", word)
    return bytes(rom)
