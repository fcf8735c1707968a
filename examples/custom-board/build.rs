//! Memory layout of the emulated boards, shared by the images.

use std::path::PathBuf;
use std::{env, fs};

/// BBC micro:bit (nRF51): Cortex-M0.
const MICROBIT: &str = "MEMORY { FLASH : ORIGIN = 0x0, LENGTH = 256K\n RAM : ORIGIN = 0x20000000, LENGTH = 16K }";
/// Olimex STM32-H405: Cortex-M4.
const H405: &str = "MEMORY { FLASH : ORIGIN = 0x08000000, LENGTH = 1024K\n RAM : ORIGIN = 0x20000000, LENGTH = 128K }";
/// QEMU's RISC-V `virt` board.
const VIRT: &str = "MEMORY { RAM : ORIGIN = 0x80000000, LENGTH = 4M }
REGION_ALIAS(\"REGION_TEXT\", RAM); REGION_ALIAS(\"REGION_RODATA\", RAM); REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM); REGION_ALIAS(\"REGION_HEAP\", RAM); REGION_ALIAS(\"REGION_STACK\", RAM);";

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let memory = if target.starts_with("thumbv6m") {
        MICROBIT
    } else if target.starts_with("thumb") {
        H405
    } else if target.starts_with("riscv32") {
        VIRT
    } else {
        return;
    };
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-search={}", out.display());
    if target.starts_with("riscv32") {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
}
