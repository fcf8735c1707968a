#!/usr/bin/env python3
"""Runs the scenarios on the host and in QEMU on every target; all must pass and give the same hashes: of the core's commands
and events, and of all that the model-based estimator publishes."""
import os
import re
import subprocess

from emulate import EMBEDDED, TARGET_DIR, TARGETS, Failed, build, guarded, run


def hashes_in(output, where):
    found = [re.search(rf"^{name}hash ([0-9a-f]{{16}})$", output, re.M) for name in ("", "soc ")]
    if None in found:
        raise Failed(f"a hash is missing from {where}:\n{output}")
    return [hit.group(1) for hit in found]


def main():
    done = subprocess.run(
        ["cargo", "run", "--quiet", "--locked", "--release", "--package", "bms-scenarios", "--bin", "host"],
        cwd=EMBEDDED, env=dict(os.environ, CARGO_TARGET_DIR=str(TARGET_DIR)),
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise Failed(f"the scenarios fail on the host:\n{done.stdout}{done.stderr}")
    expected = hashes_in(done.stdout, "the host")
    steps = [re.search(rf"^{name}steps (\d+)$", done.stdout, re.M).group(1) for name in ("", "soc ")]
    print(f"{'host':<30} hash {expected[0]}, {steps[0]} steps; estimator {expected[1]}, {steps[1]} steps")
    for target in TARGETS:
        output = run(build("bms-on-target", target, binary="on_target"), target, shift=0)
        found = hashes_in(output, target)
        tests = output.count("... ok")
        print(f"{target:<30} hash {found[0]}, estimator {found[1]}, {tests} tests passed in QEMU")
        if found != expected:
            raise Failed(f"{target} gives {found}, the host {expected}")


guarded(main)
