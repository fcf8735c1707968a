"""Builds images of embedded/ and runs them in QEMU; shared by on_target.py, figures.py and ram_flips.py."""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "embedded"
TARGET_DIR = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")

M0, M4, RISCV = "thumbv6m-none-eabi", "thumbv7em-none-eabihf", "riscv32imc-unknown-none-elf"
TARGETS = [M0, M4, RISCV]
MACHINES = {
    M0: ["qemu-system-arm", "-M", "microbit"],
    M4: ["qemu-system-arm", "-M", "olimex-stm32-h405"],
    RISCV: ["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
}


class Failed(Exception):
    """Something that must hold does not; the text says what."""


def build(package, target, *, binary, profile="release", features=()):
    """Builds one image and returns its path."""
    command = ["cargo", "build", "--quiet", "--locked", "--package", package, "--bin", binary,
               "--target", target, "--profile", profile]
    if features:
        command += ["--features", ",".join(features)]
    done = subprocess.run(command, cwd=EMBEDDED, env=dict(os.environ, CARGO_TARGET_DIR=str(TARGET_DIR)),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{package} ({', '.join(features) or 'no features'}) does not build for {target}:\n{done.stderr}")
    return TARGET_DIR / target / profile / binary


def run(image, target, *, shift, seconds=300):
    """Runs an image in QEMU, one instruction lasting 2^shift ns, and returns what it printed."""
    command = MACHINES[target] + [
        "-nographic", "-monitor", "none", "-serial", "null", "-icount", f"shift={shift}",
        "-semihosting-config", "enable=on,target=native", "-kernel", str(image),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{image.name} on {target} did not end within {seconds} s:\n{late.stdout or ''}") from late
    if done.returncode != 0:
        raise Failed(f"{image.name} on {target} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def tool(name):
    version = subprocess.run(["rustc", "-vV"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    host = re.search(r"^host: (\S+)$", version, re.M).group(1)
    root = subprocess.run(["rustc", "--print", "sysroot"], cwd=ROOT, capture_output=True, text=True, check=True)
    path = Path(root.stdout.strip()) / "lib" / "rustlib" / host / "bin" / name
    if not path.exists():
        raise Failed(f"{name} is missing: rustup component add llvm-tools")
    return str(path)


def output_of(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


def guarded(main):
    """Runs `main`, turning Failed into one message and exit code 1."""
    try:
        main()
    except Failed as failure:
        sys.stdout.flush()
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)
