#!/usr/bin/env bash
# Random use of simulated packs, the laws checked at every step (crates/bms-evidence, `soak`).
#
#   soak.sh                     SOAK_SHARDS (80) shards of 1.2 million steps; the seed comes from the code, so that the same code
#                               always meets the same run, on any number of cores
#   soak.sh campaign SECONDS    goes on with the recorded run of this program, or begins it: docs/evidence/soak.json
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --quiet --locked --release -p bms-evidence
program=${CARGO_TARGET_DIR:-target}/release/bms-evidence

# The last commit that changed what is run.
program_of() { git log -1 --format=%H -- crates/bms-core/src crates/bms-host/src crates/bms-evidence/src; }

case "${1:-}" in
    "")
        # Of the code alone: the same code always meets the same run, whatever commit it came with.
        commit=$(git rev-parse HEAD:crates 2>/dev/null || echo 0)
        "$program" soak --shards "${SOAK_SHARDS:-80}" --seed "$((16#${commit:0:12}))" --commit "$commit"
        ;;
    campaign)
        git diff --quiet HEAD -- crates || {
            printf 'error: commit first: a result belongs to a commit\n' >&2
            exit 1
        }
        mkdir -p docs/evidence
        "$program" soak --seconds "${2:?for how many seconds}" --seed 100000000000 --commit "$(program_of)" --state docs/evidence/soak.json
        ;;
    *)
        printf 'usage: soak.sh [campaign SECONDS]\n' >&2
        exit 1
        ;;
esac
