//! When the flash may be touched: the loop that protects the pack offers moments, the store waits for them.
//!
//! Most chips run nothing while their flash is written or erased. So the store never decides by itself when that happens:
//! it waits inside its future until the loop that steps the core says, through a [`Gate`], that now is a good moment, and
//! for how much.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use bms_core::command::Command;
use bms_core::config::ValidConfig;
use bms_core::time::{Duration, Instant};

/// What may happen now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Moment {
    /// Nothing.
    #[default]
    Busy,
    /// One chunk of words may be written, some flash read.
    Write,
    /// Besides, one page may be erased.
    Erase,
}

/// How long a chip's flash takes, at worst; from its data sheet or measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stall {
    /// Writing one chunk of [`Gate::CHUNK`] bytes.
    pub write: Duration,
    /// Erasing one page.
    pub erase: Duration,
}

impl Moment {
    /// What the pack's state allows between a step that has just been finished and the next one.
    ///
    /// * **Writing** a chunk: if it is over before the next sample is due.
    /// * **Erasing**: with both switches commanded open, precharge and heater off, always: nothing can happen to the pack
    ///   meanwhile. With a switch closed only on a board whose comparator latches the gates open by itself
    ///   ([`hardware_short_circuit`](bms_core::config::BoardDefinition::hardware_short_circuit)), and only if the erase is
    ///   over before the core's deadline. Always where an erase stalls nothing ([`Stall::NONE`]).
    #[must_use]
    pub fn of(config: &ValidConfig, command: &Command, now: Instant, deadline: Instant, stall: Stall) -> Self {
        let left = deadline.since(now);
        let period = config.duration(bms_core::config::ParameterId::SamplePeriod);
        let latched = config.board().hardware_short_circuit && stall.erase < left;
        if is_open(command, now) || latched || stall.erase == Duration::ZERO {
            Self::Erase
        } else if stall.write < period {
            Self::Write
        } else {
            Self::Busy
        }
    }
}

impl Stall {
    /// Code runs on while the flash is written and erased: from another bank or chip, with interrupts on, and with a driver that
    /// awaits it.
    pub const NONE: Self = Self { write: Duration::ZERO, erase: Duration::ZERO };

    /// How many chunks may be written in one moment: one, or as many as fit before the deadline while everything is open.
    #[must_use]
    pub fn chunks(self, command: &Command, now: Instant, deadline: Instant) -> u8 {
        const MOST: u32 = 16;
        if !is_open(command, now) {
            return 1;
        }
        let fit = deadline.since(now).as_millis().checked_div(self.write.as_millis()).unwrap_or(MOST);
        u8::try_from(fit.clamp(1, MOST)).unwrap_or(1)
    }
}

/// Whether nothing can happen to the pack.
fn is_open(command: &Command, now: Instant) -> bool {
    !command.charge.is_closed()
        && !command.discharge.is_closed()
        && !command.precharge.is_on(now)
        && !command.heater.is_on(now)
        && command.balance.is_idle()
}

/// Joins the loop that steps the core with the flash. For one core and one executor (or none): it is not `Sync`.
#[derive(Debug, Default)]
pub struct Gate {
    free: Cell<bool>,
    write: Cell<usize>,
    read: Cell<usize>,
    erase: Cell<u8>,
    waker: RefCell<Option<Waker>>,
    /// The flash waits for leave to erase.
    wants_erase: Cell<bool>,
}

impl Gate {
    /// Bytes written in one moment, at most (one flash word, where that is longer).
    pub const CHUNK: usize = 64;
    /// Bytes read in one moment, at most: reading does not stall the chip, but takes time.
    pub const READ: usize = 2_048;

    /// A closed gate.
    #[must_use]
    pub const fn new() -> Self {
        Self::with(false)
    }
    /// Everything may be done at once: before the first step, when nothing is closed and nobody waits, and on a desk.
    #[must_use]
    pub const fn open() -> Self {
        Self::with(true)
    }
    const fn with(free: bool) -> Self {
        Self {
            free: Cell::new(free),
            write: Cell::new(0),
            read: Cell::new(0),
            erase: Cell::new(0),
            waker: RefCell::new(None),
            wants_erase: Cell::new(false),
        }
    }
    /// Opens the gate for good, or closes it again until the next offer.
    pub fn set_free(&self, free: bool) {
        self.free.set(free);
        if free {
            self.wake();
        }
    }
    /// Offers a moment; what was left of the last one is gone.
    pub fn offer(&self, moment: Moment) {
        self.offer_chunks(moment, 1);
    }
    /// The same for several chunks.
    pub fn offer_chunks(&self, moment: Moment, chunks: u8) {
        let chunks = if moment == Moment::Busy { 0 } else { usize::from(chunks) };
        let any = chunks > 0;
        self.write.set(Self::CHUNK.saturating_mul(chunks));
        self.read.set(Self::READ.saturating_mul(chunks));
        self.erase.set(u8::from(moment == Moment::Erase));
        if any {
            self.wake();
        }
    }
    /// Whether the flash waits for leave to erase; nothing can be saved until it gets it.
    #[must_use]
    pub fn wants_erase(&self) -> bool {
        self.wants_erase.get()
    }
    fn wake(&self) {
        if let Ok(mut waker) = self.waker.try_borrow_mut()
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }
    fn park(&self, context: &Context<'_>) {
        if let Ok(mut waker) = self.waker.try_borrow_mut() {
            *waker = Some(context.waker().clone());
        }
    }
    async fn wait(&self, mut allowed: impl FnMut() -> bool) {
        poll_fn(|context| {
            if self.free.get() || allowed() {
                return Poll::Ready(());
            }
            self.park(context);
            Poll::Pending
        })
        .await;
    }
    /// Waits until `length` bytes may be written; a whole chunk is the most that is ever asked for.
    pub(crate) async fn write(&self, length: usize) {
        self.wait(|| take(&self.write, length, Self::CHUNK)).await;
    }
    pub(crate) async fn read(&self, length: usize) {
        self.wait(|| take(&self.read, length, Self::READ)).await;
    }
    pub(crate) async fn erase(&self) {
        self.wants_erase.set(true);
        self.wait(|| {
            let left = self.erase.get();
            self.erase.set(left.saturating_sub(1));
            // An erase is all that fits into its moment.
            if left > 0 {
                self.write.set(0);
            }
            left > 0
        })
        .await;
        self.wants_erase.set(false);
    }
    /// Whether an erase would be allowed now.
    pub(crate) fn may_erase(&self) -> bool {
        self.free.get() || self.erase.get() > 0
    }
    /// Takes a moment of any kind, whole; waits for one if there is none, also while the gate is free.
    pub(crate) async fn moment(&self) {
        poll_fn(|context| {
            if self.write.replace(0) > 0 {
                return Poll::Ready(());
            }
            self.park(context);
            Poll::Pending
        })
        .await;
    }
}

/// Takes `length` off a budget; what is longer than the whole budget takes all of it.
fn take(budget: &Cell<usize>, length: usize, whole: usize) -> bool {
    let left = budget.get();
    let needed = length.min(whole);
    if left < needed || left == 0 {
        return false;
    }
    budget.set(left.saturating_sub(needed));
    true
}

#[cfg(test)]
mod tests {
    use core::pin::pin;

    use super::*;
    use crate::blocking::poll_once;

    /// D09: how long chips stand still by their data sheets' longest times and by what is done in one go. (name, bytes that are
    /// programmed at once, µs for them, whether the driver keeps interrupts off over a whole call, ms for an erase)
    #[test]
    fn longest_stalls_by_chip() {
        for (chip, unit, microseconds, whole_call, erase) in [
            ("RP2040 with W25Q16JV", 256, 3_000, false, 400),
            ("ESP32-C3 with an SPI flash like it", 256, 3_000, true, 400),
            ("STM32F427, 128 kB sectors, 32 bits", 4, 100, false, 2_000),
            ("STM32G0, G4, 2 kB pages", 8, 125, false, 40),
        ] {
            // Words are aligned; a chunk may lie across the border of two pages of the flash.
            let units = if unit > Gate::CHUNK { 2 } else { Gate::CHUNK / unit };
            let moment = units as f64 * f64::from(microseconds) / 1e3;
            let stretch = if whole_call { moment } else { f64::from(microseconds) / 1e3 };
            println!(
                "{chip}: interrupts off for {stretch:.1} ms, {moment:.1} ms in one moment, {erase} ms for an erase"
            );
            assert!(moment <= 10.0, "{chip}: a chunk takes {moment} ms");
        }
    }

    /// Whoever waits for moments gets each one once: nothing spins.
    #[test]
    fn a_moment_comes_once_an_offer() {
        for gate in [Gate::new(), Gate::open()] {
            assert!(poll_once(pin!(gate.moment())).is_pending());
            gate.offer(Moment::Write);
            assert!(poll_once(pin!(gate.moment())).is_ready());
            assert!(poll_once(pin!(gate.moment())).is_pending());
        }
    }

    #[test]
    fn an_erase_needs_an_offer_of_its_own() {
        let gate = Gate::new();
        gate.offer(Moment::Write);
        assert!(poll_once(pin!(gate.erase())).is_pending() && gate.wants_erase());
        gate.offer(Moment::Erase);
        assert!(poll_once(pin!(gate.erase())).is_ready());
        assert!(poll_once(pin!(gate.erase())).is_pending());
        assert!(poll_once(pin!(gate.write(4))).is_pending(), "an erase is all that fits");
    }
}
