#!/usr/bin/env bash
# Documents that are generated from the code: written anew, or with --check compared with what is committed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

document() {
    local file=$1
    shift
    local fresh
    fresh=$(mktemp)
    "$@" >"$fresh"
    if [ "$mode" = --check ]; then
        diff -u "$file" "$fresh" >&2 || {
            printf 'error: %s is stale: run .ci/generated.sh\n' "$file" >&2
            exit 1
        }
        printf '%s is fresh\n' "$file"
    else
        cp "$fresh" "$file"
    fi
    rm -f "$fresh"
}

mode=${1:---write}
document docs/parameters.md cargo run --quiet --locked --package bms-host --bin bms-sim -- parameters --markdown
document docs/protections.md cargo run --quiet --locked --package bms-host --bin bms-sim -- protections --markdown
