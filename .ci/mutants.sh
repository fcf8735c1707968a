#!/usr/bin/env bash
# Mutation testing of what decides; which files and tests stands in .cargo/mutants.toml.
#
#   mutants.sh diff [BASE]   only mutants in what changed since BASE (origin/main): a missed one fails
#   mutants.sh shard K/N     every Nth mutant, from the Kth: a representative part of all of them; the result stands in
#                            docs/evidence/mutants-K-of-N.txt with the commit that it was run on
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools.sh
source .ci/tools.sh
need_cargo_tool cargo-mutants "$CARGO_MUTANTS_VERSION"
out=${CARGO_TARGET_DIR:-target}/mutants
mkdir -p "$out"

run() {
    # 2: some were missed, 3: some took too long; both are results.
    nice -n 19 cargo mutants --package bms-core --jobs 1 --output "$out" --colors never --timeout 300 "$@" || [ $? -le 3 ]
}

case "${1:-}" in
    diff)
        git diff "${2:-origin/main}" -- crates/bms-core/src >"$out/changes.diff"
        [ -s "$out/changes.diff" ] || {
            printf 'mutants: nothing changed\n'
            exit 0
        }
        rm -rf "$out/mutants.out"
        run --in-diff "$out/changes.diff"
        # No file: nothing to mutate in what changed.
        if [ -s "$out/mutants.out/missed.txt" ]; then
            cat "$out/mutants.out/missed.txt"
            fail "no test notices these changes of what was changed"
        fi
        ;;
    shard)
        shard=${2:?which, as K/N}
        git diff --quiet HEAD -- crates/bms-core || fail "commit first: a result belongs to a commit"
        rm -rf "$out/mutants.out"
        run --shard "$shard" --sharding round-robin
        page=docs/evidence/mutants-${shard/\//-of-}.txt
        mkdir -p docs/evidence
        {
            printf 'commit %s, shard %s\n' "$(git rev-parse HEAD)" "$shard"
            for kind in caught missed timeout unviable; do
                printf '%s %d\n' "$kind" "$(wc -l <"$out/mutants.out/$kind.txt")"
            done
            sed 's/^/missed: /' "$out/mutants.out/missed.txt"
            sed 's/^/timeout: /' "$out/mutants.out/timeout.txt"
        } >"$page"
        cat "$page"
        ;;
    *) fail "usage: mutants.sh diff [BASE] | shard K/N" ;;
esac
