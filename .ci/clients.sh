#!/usr/bin/env bash
# Real clients, made by others, against served boards: every value that a client shows is compared with the state that the
# board was given. Prints a table; fails if anything differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DIRECTORY=${CARGO_TARGET_DIR:-target}/clients
# Pinned, so that a run today and a run next year see the same clients.
readonly CLIENTS=(mppsolar==0.16.56 powermon==1.0.18 jkctl==0.2.0 cantools==45.1.0 python-can==4.6.1)
readonly AIOBMSBLE=0.31.0 BLEAK=3.1.0 RETRY=4.7.1

# aiobmsble wants Python 3.12 for some of its syntax. With an older one only, that syntax is
# rewritten (older_python.py says how); nothing else of the client is touched.
newer_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
            printf '%s' "$python"
            return
        fi
    done
}

environment() {
    local name=$1 python=$2
    shift 2
    [ -x "$DIRECTORY/$name/bin/python" ] || "$python" -m venv "$DIRECTORY/$name"
    "$DIRECTORY/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

common() {
    mkdir -p "$DIRECTORY"
    environment common python3 "${CLIENTS[@]}"
}

install() {
    common
    local python
    python=$(newer_python)
    if [ -n "$python" ]; then
        environment bluetooth "$python" "bleak==$BLEAK" "bleak-retry-connector==$RETRY" "aiobmsble==$AIOBMSBLE"
    else
        environment bluetooth python3 "bleak==$BLEAK" "bleak-retry-connector==$RETRY"
        "$DIRECTORY/bluetooth/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
            --no-compile "aiobmsble==$AIOBMSBLE"
        "$DIRECTORY/bluetooth/bin/python" .ci/clients/older_python.py
    fi
}

run() {
    local name=$1 environment=$2
    shift 2
    BMS_SIM=$PROGRAM "$DIRECTORY/$environment/bin/python" -u "$@" >"$DIRECTORY/$name.json" 2>"$DIRECTORY/$name.log" &
    started+=("$name:$!")
}

# For .ci/firmware.py: only the clients, for boards that are no simulators.
if [ "${1:-}" = common ]; then
    common
    exit
fi

cargo build --quiet --locked --package bms-host --bin bms-sim
cargo build --quiet --locked --package bms-bluetooth --example bridge
PROGRAM=$(realpath "${CARGO_TARGET_DIR:-target}/debug/bms-sim")
BRIDGE=$(realpath "${CARGO_TARGET_DIR:-target}/debug/examples/bridge")
install

# Most of the time they wait for a period to pass, so all run at once.
started=()
run aiobmsble bluetooth .ci/clients/client_aiobmsble.py
run mppsolar-serial common .ci/clients/client_mppsolar.py serial
run mppsolar-24s common .ci/clients/client_mppsolar.py 24s
run mppsolar-32s common .ci/clients/client_mppsolar.py 32s
run powermon common .ci/clients/client_powermon.py
run jkctl common .ci/clients/client_jkctl.py
run registers common .ci/clients/client_registers.py
# The same through the Bluetooth host of the firmware: attribute protocol, MTU exchange, the table of FFE0.
export BOARD_NOTE=", over GATT"
PROGRAM=$BRIDGE run aiobmsble-gatt bluetooth .ci/clients/client_aiobmsble.py
PROGRAM=$BRIDGE run mppsolar-32s-gatt common .ci/clients/client_mppsolar.py 32s
PROGRAM=$BRIDGE run registers-gatt common .ci/clients/client_registers.py
unset BOARD_NOTE
for dialect in pylontech victron sma jk; do
    run "can-$dialect" common .ci/clients/client_can.py "$dialect"
done
failed=0
for one in "${started[@]}"; do
    wait "${one#*:}" || {
        failed=1
        printf -- '-- %s\n' "${one%%:*}"
        tail -n 20 "$DIRECTORY/${one%%:*}.log"
    }
done
python3 .ci/clients/table.py "$DIRECTORY"
exit $failed
