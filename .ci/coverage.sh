#!/usr/bin/env bash
# Lines of the modules that decide which no test of bms-core reaches; --write renews docs/evidence/coverage.txt, --check compares with it.
#
# Deterministic: the rule tests and unit tests. Lines of tests inside the modules do not count.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools.sh
source .ci/tools.sh
need_component llvm-tools
need_cargo_tool cargo-llvm-cov "$CARGO_LLVM_COV_VERSION"
readonly PAGE=docs/evidence/coverage.txt
report=${CARGO_TARGET_DIR:-target}/coverage.json
mkdir -p "$(dirname "$report")"
CARGO_PROFILE_DEV_OPT_LEVEL=0 cargo llvm-cov --locked --json --output-path "$report" -p bms-core --lib --test manual >"$report.log" 2>&1 || {
    tail -n 40 "$report.log" >&2
    exit 1
}
fresh=$(mktemp)
python3 .ci/coverage.py "$report" >"$fresh"
if [ "${1:-}" = --write ]; then
    mkdir -p docs/evidence
    cp "$fresh" "$PAGE"
fi
cat "$fresh"
if [ "${1:-}" = --check ]; then
    diff -u "$PAGE" "$fresh" || fail "$PAGE is stale: bash .ci/coverage.sh --write"
fi
rm -f "$fresh"
