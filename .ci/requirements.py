#!/usr/bin/env python3
"""Requirement IDs: docs/requirements.md lists them; this fills in which files and tests cite each.

    requirements.py            refresh the table
    requirements.py --check    fail if a rule without a test is not `planned`, a test names an unknown rule, or the table is stale

A test cites a rule in the comment directly above it or in its name (`p01_…`); a scenario (*.toml) in `requirements = […]`.
"""
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "requirements.md"

ID = re.compile(r"\b[PBWCSTLHAINXD][0-9]{2}\b")
ID_IN_NAME = re.compile(r"(?:^|_)([pbwcstlhainxd][0-9]{2})(?=_|$)")
# The table of models has a letter and no number; only a leading list of IDs may name it: `/// M P10: …`.
MODELS = re.compile(r"^\s*(?:[A-Z][0-9]{2}[ ,]+)*M(?:[ ,]+[A-Z][0-9]{2})*:", re.M)
ROW = re.compile(r"^\| (M|[PBWCSTLHAINXD][0-9]{2}) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$")
# What they say of a rule is a test of it, not its implementation.
TEST_CRATES = ("bms-oracle",)
TEST_ATTRIBUTE = re.compile(r"^\s*#\[(?:test|tokio::test|rstest)\b")
FUNCTION = re.compile(r"^\s*(?:pub\s+)?(?:async\s+)?fn\s+(\w+)")


def ids_in(text):
    found = set(ID.findall(text))
    if MODELS.search(text):
        found.add("M")
    return found


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


def split_tests(lines, whole_file_is_test):
    """Yields (is_test_code, line): a `#[cfg(test)]` module at the end of a source file is test code."""
    inside = whole_file_is_test
    for line in lines:
        inside = inside or re.match(r"\s*#\[cfg\(test\)\]", line) is not None
        yield inside, line


def rust_tests(lines):
    """Yields (function, comment above it) for every test function."""
    comment, is_test = [], False
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("//"):
            comment.append(stripped.lstrip("/!").strip())
        elif TEST_ATTRIBUTE.match(line):
            is_test = True
        elif stripped.startswith(("#[", "#![")):
            continue
        else:
            function = FUNCTION.match(line)
            if function and is_test:
                yield function.group(1), "\n".join(comment)
            comment, is_test = [], False


def collect():
    code, tests = defaultdict(set), defaultdict(list)
    for name in tracked_files():
        path = Path(name)
        if path.suffix == ".rs" and path.parts[0] == "crates" and len(path.parts) > 2:
            lines = (ROOT / path).read_text(encoding="utf-8").split("\n")
            marked = list(split_tests(lines, path.parts[2] == "tests" or path.stem == "tests" or path.parts[1] in TEST_CRATES))
            for identifier in ids_in("\n".join(line for is_test, line in marked if not is_test)):
                code[identifier].add(name)
            for function, comment in rust_tests(line for is_test, line in marked if is_test):
                cited = ids_in(comment) | {match.upper() for match in ID_IN_NAME.findall(function)}
                for identifier in cited:
                    tests[identifier].append((name, function))
        elif path.suffix == ".toml" and path.parts[0] in ("crates", "scenarios") and path.name != "Cargo.toml":
            text = (ROOT / path).read_text(encoding="utf-8")
            listed = re.search(r"^requirements = \[([^\]]*)\]", text, re.M)
            named = set(re.findall(r'"(\w+)"', listed.group(1))) if listed else set()
            for identifier in named:
                tests[identifier].append((name, ""))
    return code, tests


def short(name):
    return name.removeprefix("crates/").replace("/src/", "/").replace("/tests/", "/tests/")


def render(code, tests):
    """The file as it should be, and the rows' (ID, status) in order."""
    out, rows = [], []
    for line in TABLE.read_text(encoding="utf-8").split("\n"):
        row = ROW.match(line)
        if not row:
            out.append(line)
            continue
        identifier, status, rule = row.group(1), row.group(2).strip(), row.group(3).strip()
        files = ", ".join(f"`{short(name)}`" for name in sorted(code.get(identifier, ())))
        by_file = defaultdict(list)
        for name, function in sorted(tests.get(identifier, ())):
            by_file[name].append(function)
        proofs = "; ".join(
            f"`{short(name)}`" + (": " + ", ".join(functions) if any(functions) else "")
            for name, functions in by_file.items()
        )
        if status != "planned":
            status = "proven" if proofs else "open"
        rows.append((identifier, status, bool(proofs)))
        out.append(f"| {identifier} | {status} | {rule} | {files} | {proofs} |")
    return "\n".join(out), rows


def main():
    check = "--check" in sys.argv[1:]
    code, tests = collect()
    text, rows = render(code, tests)
    known = {identifier for identifier, _, _ in rows}
    problems = []
    if len(known) != len(rows):
        problems.append("an ID stands twice in docs/requirements.md")
    for identifier in sorted(set(tests) - known):
        for name, function in tests[identifier]:
            problems.append(f"{name}: {function} names {identifier}, which is no requirement")
    untested = [identifier for identifier, status, _ in rows if status == "open"]
    if untested:
        problems.append(f"{len(untested)} requirements without a test: {' '.join(untested)}")
    for identifier, status, has_test in rows:
        if status == "planned" and has_test:
            print(f"note: {identifier} is `planned` and has a test")
    if check:
        if text != TABLE.read_text(encoding="utf-8"):
            problems.append("docs/requirements.md is stale: run python3 .ci/requirements.py")
    else:
        TABLE.write_text(text, encoding="utf-8")
    proven = sum(status == "proven" for _, status, _ in rows)
    planned = sum(status == "planned" for _, status, _ in rows)
    citations = sum(len(found) for found in tests.values())
    print(f"requirements: {len(rows)} IDs, {proven} proven by {citations} citations, {planned} planned, {len(untested)} open")
    for problem in problems:
        print(f"requirements: {problem}", file=sys.stderr)
    return 1 if problems and check else 0


if __name__ == "__main__":
    sys.exit(main())
