//! Edge detection of the pin PB2, which the emulator has no model of: it keeps what was written to EXTI and SYSCFG, and
//! this does the rest (RM0090 12.2: the edge sets the pending bit, which raises the interrupt while unmasked; writing 1
//! clears it).

use rigless::device::Level;
use rigless::emulator::{Host, InterruptLine};
use rigless::machine::stm32f427_bench::Stm32f427Bench;
use rigless::mcu::Mcu;
use rigless::session::Session;
use rigless::soc::stm32f427::generated::exti::Register;
use rigless::soc::stm32f427::generated::syscfg;

const EXTI: u64 = 0x4001_3c00;
const PENDING: u64 = EXTI + 0x14;
/// Line 2.
pub const LINE: u64 = 1 << 2;
/// The interrupt of line 2 in the vector table.
const INTERRUPT: u16 = 8;
const PORT_B: u64 = 1;

type Bench = Session<Stm32f427Bench>;

pub fn covers(address: u64) -> bool {
    (EXTI..EXTI + 0x400).contains(&address)
}

fn set_line(host: &mut dyn Host, level: Level) {
    if let Some(line) = InterruptLine::new(INTERRUPT) {
        host.set_interrupt(line, level);
    }
}

/// After a reset.
pub fn release(host: &mut dyn Host) {
    set_line(host, Level::Low);
}

/// After a write of the firmware: gives what is pending then.
pub fn written(session: &mut Bench, host: &mut dyn Host, address: u64, value: u64, pending: u64) -> u64 {
    let pending = if address == PENDING { pending & !value } else { pending };
    let bus = session.board_mut().mcu.bus_mut();
    if let Some(slot) = bus.slot_of("EXTI") {
        let registers = bus.slot_mut(slot).registers_mut();
        registers.set(Register::Pr, pending);
        let raised = pending & LINE & registers.get(Register::Imr) != 0;
        set_line(host, if raised { Level::High } else { Level::Low });
    }
    pending
}

/// A rising edge at PB2: whether the line was armed for it.
pub fn edge(session: &mut Bench, host: &mut dyn Host) -> bool {
    let bus = session.board_mut().mcu.bus_mut();
    let (Some(exti), Some(syscfg)) = (bus.slot_of("EXTI"), bus.slot_of("SYSCFG")) else { return false };
    let selected = bus.slot_mut(syscfg).registers_mut().get(syscfg::Register::Exticr1) >> 8 & 0xf;
    let registers = bus.slot_mut(exti).registers_mut();
    if selected != PORT_B || registers.get(Register::Rtsr) & LINE == 0 {
        return false;
    }
    let pending = registers.get(Register::Pr) | LINE;
    registers.set(Register::Pr, pending);
    if registers.get(Register::Imr) & LINE != 0 {
        set_line(host, Level::High);
    }
    true
}
