#!/usr/bin/env bash
# Scores the state of charge on measured cells, where there are any: BMS_CELL_DATA, or the shared folder beside the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
data=${BMS_CELL_DATA:-../shared/estimation/data}
if [ ! -f "$data/meta.json" ]; then
    printf 'scoring the state of charge: skipped, no measured cells (BMS_CELL_DATA is not set)\n'
    exit 0
fi
BMS_CELL_DATA=$(realpath "$data")
export BMS_CELL_DATA
python=$target/venv-soc/bin/python
[ -x "$python" ] || python3 -m venv "$target/venv-soc"
"$python" -c 'import numpy' 2>/dev/null || "$target/venv-soc/bin/pip" install --quiet "numpy==2.3.5"
cargo build --quiet --locked --release --package bms-host --bin bms-sim
timeout 280 "$python" tools/score_soc.py --program "$target/release/bms-sim" --check
