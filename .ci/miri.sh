#!/usr/bin/env bash
# Miri over the tests that it can run in minutes: undefined behaviour in any of them fails. Part of `full`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# A nightly compiler of one day, so that a run can be repeated.
readonly NIGHTLY=${MIRI_TOOLCHAIN:-nightly}
rustup toolchain list | grep -q "^$NIGHTLY" || rustup toolchain install "$NIGHTLY" --profile minimal
rustup component add --toolchain "$NIGHTLY" miri rust-src >/dev/null 2>&1
export MIRIFLAGS="-Zmiri-disable-isolation" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/miri
run() {
    printf 'miri: %s\n' "$*"
    cargo "+$NIGHTLY" miri test --quiet --locked "$@" 2>&1 | grep -E '^test result|error|Undefined' || return 1
}
run -p bms-core --lib -- --skip the_window_changes_nothing --skip an_old_measurement_stays_old_for_ever --skip a_flipped_bit
run -p bms-hal --lib
run -p bms-store --lib
run -p bms-wire --lib
