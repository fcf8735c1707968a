#!/usr/bin/env python3
"""The part of docs/evidence.md that comes from recorded runs: docs/evidence/, each with the commit that it was run on."""
import json
import math
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "evidence"
KINDS = ["lost or silent", "late", "noisy", "wrong values", "clock", "outputs", "slow outputs"]


def short(commit):
    return f"`{commit[:12]}`"


def soak():
    path = FOLDER / "soak.json"
    print("## Random use over pack-years\n")
    print("`.ci/soak.sh`: boards, chemistries and periods between 1 ms and 10 s are drawn; use, long rests, faults, resets and changed parameters come at")
    print("random; at every step the truth of the pack is held against the limits, and the command against the rules of closing.")
    print("`.ci/run soak`, part of `.ci/run full`, runs 96 million steps from a seed that the code gives; the recorded run is resumable.\n")
    if not path.exists():
        print("Nothing is recorded.\n")
        return
    state = json.loads(path.read_text())
    totals = state["totals"]
    steps = totals["steps"]
    years = [totals[name] / (365.25 * 86_400e3) for name in ("awake_ms", "resting_ms")]
    faults = ", ".join(f"{count:,} {kind}" for kind, count in zip(KINDS, totals["faults"]))
    print(f"* program of {short(state['commit'])}, seed {state['seed']}, {state['shards']} shards: {steps:,} steps, "
          f"{100 * totals['fast_steps'] / steps:.0f} % of them at periods up to 100 ms; {years[0]:.1f} pack-years at work and {years[1]:.1f} at rest; "
          f"{totals['wraps']} stretches over 2^32 ms")
    print(f"* both switches closed in {100 * totals['conducting'] / steps:.0f} % of the steps, balancing in {100 * totals['balancing'] / steps:.0f} %")
    print(f"* faults injected: {faults}; {totals['resets']:,} resets, {totals['bites']:,} more by the watchdog, {totals['changes']:,} changed parameters")
    print(f"* trips {totals['trips']:,}, violations of a law {totals['violations']}\n")


def ram_flips():
    path = FOLDER / "ram-flips.txt"
    print("## Flipped bits of memory\n")
    print("`.ci/ram_flips.py`: a debugger flips bits of a core that runs as release code for a Cortex-M0 in QEMU; afterwards the pack goes on, and five limits")
    print("are exceeded one after the other. `.ci/run evidence` flips a part of them, `full` every bit.\n")
    if path.exists():
        lines = path.read_text().splitlines()
        print(f"Recorded at {short(lines[0].split()[1])}:\n")
        print("\n".join(f"* {line}" for line in lines[1:]) + "\n")
    else:
        print("No run over every bit is recorded.\n")


def coverage():
    path = FOLDER / "coverage.txt"
    print("## Coverage\n")
    if path.exists():
        lines = path.read_text().splitlines()
        total = next(line for line in lines if line.startswith("lines of"))
        missing = sum(line.startswith("not reached") for line in lines)
        print(f"`.ci/coverage.sh`: {total}. The {missing} lines without a test stand in [`evidence/coverage.txt`](evidence/coverage.txt). Branches: the stable compiler does not count them.\n")
    else:
        print("Not recorded.\n")


def mutants():
    print("## Mutation testing\n")
    print("`.ci/mutants.sh`: changes one operator or value at a time in what decides; a mutant that no test of bms-core notices is missed. Shards are")
    print("systematic samples of all mutants.\n")
    viable = missed = 0
    names = []
    for path in sorted((FOLDER / "mutants").glob("*.txt")) if (FOLDER / "mutants").exists() else []:
        lines = path.read_text().splitlines()
        count = {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in lines[1:5]}
        viable, missed = viable + count["viable"], missed + count["missed"]
        names += [line for line in lines if line.startswith("missed: ")]
        print(f"* {lines[0]}: {count['viable']} viable, {count['missed']} missed, {count['timeout']} ended by time")
    if viable:
        share = (viable - missed) / viable
        error = 1.96 * math.sqrt(max(share * (1 - share), 1 / viable) / viable)
        print(f"\n{100 * share:.1f} % of {viable} viable mutants caught (a sample; ± {100 * error:.1f} %).\n")
    else:
        print("No shard is recorded.\n")
    reasons = dict(line.split(" — ", 1) for line in (FOLDER / "survivors.txt").read_text().splitlines()) if (FOLDER / "survivors.txt").exists() else {}
    for name in names:
        name = name.removeprefix("missed: ")
        print(f"* `{name}`: {reasons.get(name.split(': ', 1)[-1], 'no reason found yet')}")
    if names:
        print()


def fuzzing():
    path = FOLDER / "fuzz.txt"
    print("## Fuzzing\n")
    print("`.ci/run fuzz` starts from seeds that it makes; no corpus is stored. ", end="")
    print("A longer run: [`evidence/fuzz.txt`](evidence/fuzz.txt).\n" if path.exists() else "No longer run is recorded.\n")
    if path.exists():
        print(path.read_text())


def miri():
    path = FOLDER / "miri.txt"
    print("## Miri\n")
    print(path.read_text() if path.exists() else "No run is recorded (`.ci/miri.sh`, part of `full`).\n")


for part in (soak, ram_flips, coverage, mutants, fuzzing, miri):
    part()
