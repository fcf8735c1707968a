# Installs what a stage needs and a bare machine lacks; what is there is left alone. Sourced by .ci/run.
# shellcheck shell=bash

# Pinned, so that a run today and a run next year use the same tools.
readonly CARGO_FUZZ_VERSION=0.13.2
readonly CARGO_LLVM_COV_VERSION=0.9.1
readonly CARGO_MUTANTS_VERSION=27.1.0
readonly TARGETS=(thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imc-unknown-none-elf)

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

need_rust() {
    command -v cargo >/dev/null || fail "no cargo; install Rust with rustup"
    cargo --version >/dev/null || fail "the toolchain of rust-toolchain.toml is not installed: rustup toolchain install"
}

need_component() {
    local component
    for component in "$@"; do
        # `llvm-tools` is listed with the host's name behind it, and `rustfmt` too.
        rustup component list --installed | grep -q "^$component" || rustup component add "$component"
    done
}

need_targets() {
    local installed target
    installed=$(rustup target list --installed)
    for target in "${TARGETS[@]}"; do
        grep -qx "$target" <<<"$installed" || rustup target add "$target"
    done
}

# A tool from crates.io in exactly this version.
need_cargo_tool() {
    if [ "$(cargo "${1#cargo-}" --version 2>/dev/null)" != "$1 $2" ]; then
        cargo install --locked --quiet "$1@$2"
    fi
}

# Any Node.js with npm that runs ES modules.
need_node() {
    command -v node >/dev/null && command -v npm >/dev/null && return
    command -v apt-get >/dev/null || fail "install Node.js 18 or newer with npm"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
}

# QEMU 10 or newer for Cortex-M and RISC-V.
need_qemu() {
    if command -v qemu-system-arm >/dev/null && command -v qemu-system-riscv32 >/dev/null; then
        local major
        major=$(qemu-system-arm --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')
        [ "$major" -ge 10 ] && return
    fi
    command -v apt-get >/dev/null || fail "install qemu-system-arm and qemu-system-riscv32, version 10 or newer"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    # Debian 12 has an older QEMU that cannot stand beside the newer qemu-utils of its backports.
    local release=()
    # shellcheck source=/dev/null
    if [ "$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")" = bookworm ]; then
        release=(-t bookworm-backports)
        if ! grep -qsrE '^[^#]*bookworm-backports' /etc/apt/sources.list /etc/apt/sources.list.d; then
            printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm-backports main\n' \
                http://deb.debian.org/debian |
                "${sudo[@]}" tee /etc/apt/sources.list.d/bookworm-backports.list >/dev/null
        fi
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${release[@]}" qemu-system-arm qemu-system-riscv >/dev/null
}
