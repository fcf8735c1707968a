#!/usr/bin/env python3
"""Reads cargo-llvm-cov's JSON: covered lines of each module that decides, and the lines that no test reaches."""
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "crates/bms-core/src"
MODULES = ["protection", "measurement", "command.rs", "config", "bms.rs", "bms", "guard.rs", "lifecycle.rs", "precharge.rs", "heating.rs"]


def tests_begin(lines):
    """The number of the line at which a file's own tests begin."""
    for number, line in enumerate(lines, 1):
        if line.startswith("#[cfg(test)]") and number < len(lines) and "{" in lines[number]:
            return number
    return len(lines) + 1


def counts(file):
    """Executions of each line that has code, from the file's segments."""
    hits, segments = {}, file["segments"]
    for here, after in zip(segments, segments[1:]):
        line, _, count, has_count, _, gap = here
        if not has_count or gap:
            continue
        for number in range(line, after[0] + (1 if after[1] > 1 else 0)):
            hits[number] = max(hits.get(number, 0), count)
    return hits


def main():
    report = json.loads(Path(sys.argv[1]).read_text())
    total, reached, gaps = 0, 0, []
    for file in sorted(report["data"][0]["files"], key=lambda file: file["filename"]):
        path = Path(file["filename"])
        if not path.is_relative_to(SOURCES) or path.name == "tests.rs":
            continue
        name = path.relative_to(SOURCES)
        if name.parts[0] not in MODULES:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        end = tests_begin(lines)
        hits = {number: count for number, count in counts(file).items() if number < end and lines[number - 1].strip(" {}();,")}
        missing = sorted(number for number, count in hits.items() if count == 0)
        total, reached = total + len(hits), reached + len(hits) - len(missing)
        print(f"{name}: {len(hits) - len(missing)} of {len(hits)}")
        gaps += [f"not reached: {name}:{number}: {lines[number - 1].strip()}" for number in missing]
    print(f"lines of the modules that decide: {reached} of {total} reached, {100 * reached / total:.2f} %")
    print("\n".join(gaps))


main()
