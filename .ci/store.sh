#!/usr/bin/env bash
# Nothing is lost when the power goes: the campaign of power cuts for STORE_SECONDS (60), and what wears how fast.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${STORE_SECONDS:-60} seed=${STORE_SEED:-1}
target=${CARGO_TARGET_DIR:-target}

cargo test --quiet --locked -p bms-store wear -- --nocapture --test-threads=1 | grep 'erases of'
cargo run --quiet --locked -p bms-host --bin bms-sim -- \
    store-test --seconds "$seconds" --seed "$seed" --json "$target/store.json"
