#!/usr/bin/env python3
"""The STM32 and ESP32 half of the firmware: the chips' crates for every chip they are checked for, the examples' images and
their sizes, and each image in its emulator. Writes target/firmware/<chip>.json. Without an argument all of it, one after the other;
`firmware.py` runs the emulators side by side.

chips.py [check|build|stm32f427|esp32c3]..."""
import json
import os
import shutil
import subprocess
import sys
import time

from emulate import TARGET_DIR, Failed, guarded

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = TARGET_DIR / "firmware"
M4F, M0, RISCV = "thumbv7em-none-eabihf", "thumbv6m-none-eabi", "riscv32imc-unknown-none-elf"
# Library crates choose no chip; here they are checked with each, and linted with one.
CLIPPY = {"STM32F427", "ESP32-C3"}
CHECKED = [
    ("STM32F405", "bms-stm32", M4F, ["embassy-stm32/stm32f405rg", "bms-stm32/bxcan"]),
    ("STM32F427", "bms-stm32", M4F, ["embassy-stm32/stm32f427zi", "bms-stm32/bxcan"]),
    ("STM32G071", "bms-stm32", M0, ["embassy-stm32/stm32g071rb"]),
    ("STM32G474", "bms-stm32", M4F, ["embassy-stm32/stm32g474re", "embassy-stm32/dual-bank", "bms-stm32/fdcan"]),
    ("STM32H743", "bms-stm32", M4F, ["embassy-stm32/stm32h743zi", "bms-stm32/fdcan"]),
    ("STM32L476", "bms-stm32", M4F, ["embassy-stm32/stm32l476rg", "bms-stm32/bxcan"]),
    ("ESP32-C3", "bms-esp32", RISCV, ["esp-hal/esp32c3", "esp-hal/unstable", "bms-esp32/can"]),
    ("ESP32-C3, async", "bms-esp32", RISCV, ["esp-hal/esp32c3", "esp-hal/unstable", "bms-esp32/async"]),
]
# Image: the example's folder, target, features and whatever else cargo is told. What differs by features only is copied
# to its own name once it is built; the last is what stays under cargo's name.
IMAGES = {
    "stm32-pack-unlinked": ("stm32-pack", M4F, ["--no-default-features"]),
    "stm32-pack-jk-can": ("stm32-pack", M4F, ["--features", "jk-can"]),
    "stm32-pack": ("stm32-pack", M4F, []),
    "esp32-pack": ("esp32-pack", RISCV, ["--bin", "esp32-pack"]),
    "esp32-bluetooth": ("esp32-pack", RISCV, ["--features", "bluetooth", "--bin", "esp32-bluetooth"]),
    "esp32-empty": ("esp32-pack", RISCV, ["--features", "empty", "--bin", "esp32-empty"]),
}
LABWIRED_VENV = TARGET_DIR / "labwired-venv"
PYTHON = LABWIRED_VENV / "bin" / "python"
C3_HARNESS = "examples/emulated/esp32c3"


def run(command, folder=".", **environment):
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=os.path.join(ROOT, folder),
        env=dict(os.environ, CARGO_TARGET_DIR=str(TARGET_DIR), **environment),
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} in {folder}: exit code {done.returncode}")
    return time.monotonic() - began


def check():
    for chip, crate, target, features in CHECKED:
        command, rest = ("clippy", ["--", "-D", "warnings"]) if chip in CLIPPY else ("check", [])
        took = run(["cargo", command, "--quiet", "--locked", "-p", crate, "--target", target, "--features", ",".join(features), *rest])
        print(f"{crate:<10} {chip:<16} {command}: {took:.0f} s", flush=True)
    for folder in ("examples/stm32-pack", "examples/esp32-pack", "examples/emulated/stm32f427", "examples/emulated/esp32c3/rom"):
        run(["cargo", "fmt", "--all", "--check"], folder)


def elf(image):
    return TARGET_DIR / IMAGES[image][1] / "release" / image


def build():
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    host = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in host.splitlines() if line.startswith("host:"))
    size = os.path.join(sysroot, "lib", "rustlib", host, "bin", "llvm-size")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for image, (folder, _, options) in IMAGES.items():
        run(["cargo", "build", "--quiet", "--locked", "--release", *options], f"examples/{folder}")
        if not image.startswith("esp32") and image != folder:
            shutil.copyfile(elf(folder), elf(image))
        listed = subprocess.run([size, "-A", elf(image)], capture_output=True, text=True, check=True).stdout
        flash, ram = sections(listed)
        print(f"{image}: flash {flash} bytes, static RAM {ram} bytes", flush=True)
        (RESULTS / f"{image}.size.json").write_text(json.dumps({"flash": flash, "ram": ram}) + "\n")
    # The emulator declares a newer compiler than it needs; nothing else is built so.
    run(["cargo", "build", "--quiet", "--locked", "--release", "--ignore-rust-version"], "examples/emulated/stm32f427", RUSTC_BOOTSTRAP="1")
    run(["cargo", "build", "--quiet", "--locked", "--release"], f"{C3_HARNESS}/rom")
    if not PYTHON.exists():
        run([sys.executable, "-m", "venv", LABWIRED_VENV])
        run([PYTHON, "-m", "pip", "install", "--quiet", "--requirement", f"{ROOT}/{C3_HARNESS}/requirements.txt"])


def sections(listed):
    """Bytes in flash and in RAM: by address, debug sections apart."""
    flash = ram = 0
    for line in listed.splitlines():
        part = line.split()
        if len(part) != 3 or not part[2].isdigit() or part[0].startswith((".debug", ".comment", ".ARM", ".riscv")):
            continue
        name, length, address = part[0], int(part[1]), int(part[2])
        in_ram = 0x20000000 <= address < 0x30000000 or 0x3FC80000 <= address < 0x3FD00000
        code_in_ram = 0x4037C000 <= address < 0x40400000
        if address == 0 or length == 0 or name in (".stack", ".flash_gap", ".text_dummy", ".rotext_dummy", ".rwdata_dummy", ".eh_frame"):
            continue
        if in_ram or code_in_ram or 0x50000000 <= address < 0x50002000:
            ram += length
        if not in_ram or name.startswith((".data", ".rwtext")):
            flash += length
    return flash, ram


def stm32f427():
    program = TARGET_DIR / "release" / "stm32f427-emulated"
    run([program, elf("stm32-pack"), "--json", RESULTS / f"stm32f427{'-defaults' if flags() else ''}.json", *flags()])


def esp32c3():
    routines = TARGET_DIR / RISCV / "release" / "esp32c3-rom"
    run([PYTHON, f"{ROOT}/{C3_HARNESS}/run.py", elf("esp32-pack"), routines, "--json", RESULTS / "esp32c3.json"])


def flags():
    return ["--defaults"] if os.environ.get("FIRMWARE_DEFAULTS") else []


def main():
    steps = {"check": check, "build": build, "stm32f427": stm32f427, "esp32c3": esp32c3}
    for name in sys.argv[1:] or steps:
        steps[name]()


if __name__ == "__main__":
    guarded(main)
