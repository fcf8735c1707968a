#!/usr/bin/env bash
# Balancing strategies on simulated packs: the goals checked, the tables of docs/balancing.md compared (or, with --write, renewed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DOCUMENT=docs/balancing.md
readonly OUT=${CARGO_TARGET_DIR:-target}/balance

cargo build --quiet --locked --release -p bms-host
sim_to() { "${CARGO_TARGET_DIR:-target}/release/bms-sim" balance --out "$@"; }
sim() { sim_to "$OUT/more" "$@"; }
# The plots of the document are of this run alone.
shown() { sim_to "$OUT" "$@"; }

mkdir -p "$OUT/more"
tables=$(mktemp)
missed=0
{
    printf '### Li-ion (NMC) at rest\n\n'
    sim --chemistry nmc --markdown --goals --json "$OUT/nmc-rest.json" || missed=1
    printf '\n### LiFePO4 in cycling use\n\n'
    shown --chemistry lfp --markdown --goals --json "$OUT/lfp-cycle.json" || missed=1
    printf '\n### LiFePO4 in cycling use, 32 other packs\n\n'
    sim --chemistry lfp --strategy quota --seed 100 --seeds 32 --markdown --goals || missed=1
    printf '\n### Li-ion (NMC) in cycling use\n\n'
    sim --chemistry nmc --use cycle --strategy quota --strategy manual --markdown
    printf '\n### The same for three times the time of the bound, and with readings without a constant error\n\n'
    sim --chemistry nmc --use cycle --horizon-times 3 --strategy quota --markdown
    sim --chemistry nmc --use cycle --horizon-times 3 --bias 0 --strategy quota --markdown
    printf '\n### One charge from 50 %%, LiFePO4\n\n'
    sim --chemistry lfp --use charge --strategy quota --strategy manual --markdown
    printf '\n### One charge from 50 %%, Li-ion (NMC)\n\n'
    sim --chemistry nmc --use charge --strategy quota --strategy manual --markdown
    printf '\n### One cell with 80 %% of the capacity, LiFePO4 in cycling use, ten times the time of the bound\n\n'
    sim --chemistry lfp --weak 80 --spread 0 --horizon-times 10 --strategy quota --strategy manual --markdown
} | grep -v '^plot: ' >"$tables"
# A pipe has its own shell: what was missed stands in the text.
grep '^MISSED' "$tables" && missed=1

fresh=$(mktemp)
awk -v file="$tables" '
    /<!-- end of tables -->/ { skip = 0 }
    !skip { print }
    /<!-- tables: / { skip = 1; print ""; while ((getline line < file) > 0) print line }
' "$DOCUMENT" | cat -s >"$fresh"
if [ "${1:-}" = --write ]; then
    cp "$fresh" "$DOCUMENT"
    cp "$OUT/balance-lifepo4-cycle-quota.svg" docs/images/balance-quota.svg
    cp "$OUT/balance-lifepo4-cycle-manual.svg" docs/images/balance-manual.svg
elif ! diff -u "$DOCUMENT" "$fresh"; then
    printf 'error: %s is stale: run .ci/balance.sh --write\n' "$DOCUMENT" >&2
    exit 1
fi

# Whole runs on random packs: the true spread never grows by more than readings tell.
seed=$(printf '%d' "0x$(git rev-parse --short=8 HEAD:crates 2>/dev/null || printf 1353b29)")
printf 'random packs, seed %s\n' "$seed"
BMS_PROPERTY_CASES=${BALANCE_CASES:-96} BMS_PROPERTY_SEED=$seed \
    cargo test --quiet --locked -p bms-host --test balance what_is_moved -- --nocapture | grep -E 'at worst|test result'
[ "$missed" = 0 ] || { printf 'error: balancing misses its goals\n' >&2; exit 1; }
