#!/usr/bin/env python3
"""Runs the scenarios on the host and in QEMU on every target; all must pass and give the same hash."""
import os
import re
import subprocess

from emulate import EMBEDDED, TARGET_DIR, TARGETS, Failed, build, guarded, run


def hash_in(output, where):
    found = re.search(r"^hash ([0-9a-f]{16})$", output, re.M)
    if not found:
        raise Failed(f"no hash from {where}:\n{output}")
    return found.group(1)


def main():
    done = subprocess.run(
        ["cargo", "run", "--quiet", "--locked", "--release", "--package", "bms-scenarios", "--bin", "host"],
        cwd=EMBEDDED, env=dict(os.environ, CARGO_TARGET_DIR=str(TARGET_DIR)),
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise Failed(f"the scenarios fail on the host:\n{done.stdout}{done.stderr}")
    expected = hash_in(done.stdout, "the host")
    steps = re.search(r"^steps (\d+)$", done.stdout, re.M).group(1)
    print(f"{'host':<30} hash {expected}, {steps} steps")
    for target in TARGETS:
        output = run(build("bms-on-target", target, binary="on_target"), target, shift=0)
        found = hash_in(output, target)
        tests = output.count("... ok")
        print(f"{target:<30} hash {found}, {tests} tests passed in QEMU")
        if found != expected:
            raise Failed(f"{target} gives {found}, the host {expected}")


guarded(main)
