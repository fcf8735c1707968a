//! What the measuring images count with.

use semihosting::println;

/// Least, sum and most of many measurements.
pub struct Range {
    count: u32,
    least: u32,
    most: u32,
    sum: u64,
}

impl Default for Range {
    fn default() -> Self {
        Self::new()
    }
}

impl Range {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { count: 0, least: u32::MAX, most: 0, sum: 0 }
    }
    /// One more.
    pub fn add(&mut self, value: u32) {
        self.count += 1;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        self.sum += u64::from(value);
    }
    /// One line for `.ci/figures.py`.
    pub fn print(&self, name: &str) {
        println!("ticks {name} {} {} {} {}", self.count, self.least, self.sum, self.most);
    }
}

/// How much stack a call uses: paints the stack below, calls, and looks how far down the paint is gone.
#[inline(never)]
#[must_use]
pub fn stack_of(call: &mut dyn FnMut()) -> u32 {
    const PAINT: u32 = 0xA5A5_5A5A;
    const DEPTH: usize = 768;
    let top = crate::stack_pointer();
    let word = |index: usize| (top - 4 - index * 4) as *mut u32;
    for index in 0..DEPTH {
        // SAFETY: below the stack pointer, so no live frame; nothing interrupts, and RAM reaches this far down.
        unsafe { word(index).write_volatile(PAINT) };
    }
    call();
    // From far below upwards; what the call left unpainted marks its deepest reach.
    let mut reach = DEPTH;
    while reach > 0 {
        // SAFETY: as above.
        if unsafe { word(reach - 1).read_volatile() } != PAINT {
            break;
        }
        reach -= 1;
    }
    (reach * 4) as u32
}
