#!/usr/bin/env bash
# Scores the state of charge on measured cells, where there are any: BMS_CELL_DATA, or the shared folder beside the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${BMS_CELL_DATA:-../shared/estimation/data}
if [ ! -f "$data/meta.json" ]; then
    printf 'scoring the state of charge: skipped, no measured cells (BMS_CELL_DATA is not set)\n'
    exit 0
fi
BMS_CELL_DATA=$(realpath "$data")
export BMS_CELL_DATA
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --locked --release --package bms-host --bin bms-sim --example soc_score
timeout 280 "$target/release/examples/soc_score" --check
for cycles in "$BMS_CELL_DATA"/aging/*_cycles.csv; do
    [ -f "$cycles" ] || continue
    printf '\ncapacity learned on %s:\n' "$(basename "${cycles%_cycles.csv}")"
    timeout 120 "$target/release/bms-sim" capacity --input "${cycles%_cycles.csv}.csv" --cycles "$cycles" --nominal-ah 1.8 --cell li-ion | grep '^#'
done
