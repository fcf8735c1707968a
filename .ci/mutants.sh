#!/usr/bin/env bash
# Mutation testing of what decides; which files and tests stands in .cargo/mutants.toml.
#
#   mutants.sh diff [BASE]   only mutants in what changed since BASE (origin/main): a missed one fails
#   mutants.sh shard K/N     every Nth mutant, from the Kth: a systematic sample of all of them; the result stands in
#                            docs/evidence/mutants/K-of-N.txt with the commit that it was run on
#
# Each mutant meets the rule tests, which build and run in seconds; what they miss meets every test of bms-core.
# Runs in a tree of its own, so that work may go on meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools.sh
source .ci/tools.sh
need_cargo_tool cargo-mutants "$CARGO_MUTANTS_VERSION"
root=$PWD
out=$(realpath -m "${CARGO_TARGET_DIR:-target}/mutants")
tree=$out/tree
readonly EVERYTHING=(--lib --test properties --test drivers --test front_end --test balancing_laws --test driver_shells)

# A fresh tree of this commit; built files stay.
checkout() {
    mkdir -p "$out"
    if [ -e "$tree/.git" ]; then
        git -C "$tree" checkout --quiet --force --detach "$(git rev-parse HEAD)"
    else
        git worktree prune
        git worktree add --quiet --force --detach "$tree" HEAD
    fi
}

# run NAME ARGUMENTS…: leaves $out/NAME/mutants.out.
run() {
    local name=$1
    shift
    rm -rf "${out:?}/$name"
    mkdir -p "$out/$name"
    # 2: some were missed, 3: some took too long; both are results.
    (cd "$tree" && CARGO_TARGET_DIR=$out/target nice -n 19 cargo mutants --package bms-core --in-place --baseline skip \
        --timeout 120 --colors never --no-shuffle --output "$out/$name" "$@") || [ $? -le 3 ]
    touch "$out/$name/mutants.out/"{caught,missed,timeout,unviable}.txt
}

# What the rule tests missed, again with every test of bms-core; the names stand at the end of lines in the file given.
again() {
    local names
    names=$(sed 's/[][\\.*^$+?(){}|]/\\&/g' "$1" | paste -sd '|')
    run again --re "^($names)\$" -- "${EVERYTHING[@]}"
}

# Both passes; the names of those that no test noticed are in $out/missed.txt.
both() {
    run first "$@"
    : >"$out/missed.txt"
    [ -s "$out/first/mutants.out/missed.txt" ] || return 0
    again "$out/first/mutants.out/missed.txt"
    cp "$out/again/mutants.out/missed.txt" "$out/missed.txt"
}

count() { cat "$@" 2>/dev/null | wc -l; }

case "${1:-}" in
    diff)
        mkdir -p "$out"
        git diff "${2:-origin/main}" -- crates/bms-core/src >"$out/changes.diff"
        [ -s "$out/changes.diff" ] || {
            printf 'mutants: nothing changed\n'
            exit 0
        }
        checkout
        both --in-diff "$out/changes.diff"
        if [ -s "$out/missed.txt" ]; then
            cat "$out/missed.txt"
            fail "no test notices these changes of what was changed"
        fi
        ;;
    shard)
        shard=${2:?which, as K/N}
        git diff --quiet HEAD -- crates/bms-core || fail "commit first: a result belongs to a commit"
        checkout
        rm -rf "$out/again"
        both --shard "$shard" --sharding round-robin
        page=$root/docs/evidence/mutants/${shard/\//-of-}.txt
        mkdir -p "$(dirname "$page")"
        viable=$(count "$out/first/mutants.out/"{caught,missed,timeout}.txt)
        {
            printf 'commit %s, shard %s\n' "$(git -C "$tree" rev-parse HEAD)" "$shard"
            printf 'viable %d\nmissed %d\ntimeout %d\nunviable %d\nonly noticed by tests beside the rule tests %d\n' "$viable" \
                "$(count "$out/missed.txt")" "$(count "$out/first/mutants.out/timeout.txt")" \
                "$(count "$out/first/mutants.out/unviable.txt")" \
                "$(($(count "$out/first/mutants.out/missed.txt") - $(count "$out/missed.txt")))"
            sed 's/^/missed: /' "$out/missed.txt"
            sed 's/^/timeout: /' "$out/first/mutants.out/timeout.txt"
        } >"$page"
        cat "$page"
        ;;
    *) fail "usage: mutants.sh diff [BASE] | shard K/N" ;;
esac
