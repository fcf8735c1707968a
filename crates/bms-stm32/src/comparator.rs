//! The short-circuit comparator's interrupt (D09).

use core::cell::RefCell;
use core::marker::PhantomData;

use critical_section::Mutex;
use embassy_stm32::Peri;
use embassy_stm32::exti::blocking::ExtiGroupMask;
use embassy_stm32::exti::{Channel, ExtiInput, TriggerEdge};
use embassy_stm32::gpio::{ExtiPin, Pin, Pull};
use embassy_stm32::interrupt::Priority;
use embassy_stm32::interrupt::typelevel::{Binding, Handler, Interrupt};
use embassy_stm32::mode::Blocking;

/// The comparator's pin, for [`bms_hal::Gates::install`].
pub type ComparatorPin = ExtiInput<'static, Blocking>;

/// The firmware's gates and the line of their comparator, as the interrupt reaches them: both stand in a `static`.
pub trait OpensGates: 'static {
    /// Opens both gates, now: [`bms_hal::Gates::trip`].
    fn open_gates();
    /// The line to acknowledge.
    fn line() -> &'static ComparatorLine;
}

/// The EXTI line of the comparator. It lives in a `static`.
///
/// ```ignore
/// static GATES: Gates<Output<'static>, Output<'static>, ComparatorPin> = Gates::new();
/// static COMPARATOR: ComparatorLine = ComparatorLine::new();
/// struct ShortCircuit;
/// impl OpensGates for ShortCircuit {
///     fn open_gates() { GATES.trip() }
///     fn line() -> &'static ComparatorLine { &COMPARATOR }
/// }
/// bind_interrupts!(struct Interrupts { EXTI2 => ComparatorHandler<ShortCircuit>; });
///
/// let pin = COMPARATOR.arm::<ShortCircuit, _>(p.PB2, p.EXTI2, Pull::None, Interrupts);
/// let switches = GATES.install(charge, discharge, pin, Unchecked)?;
/// ```
pub struct ComparatorLine(Mutex<RefCell<Option<ExtiGroupMask>>>);

impl ComparatorLine {
    /// Not armed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(None)))
    }
    /// From now on a rising edge of the pin opens the gates, before any other interrupt is served. An edge that came
    /// before is not seen; `Gates` look at the level whenever they are written.
    ///
    /// `irqs` is the proof that the interrupt is bound to [`ComparatorHandler`]; lines 5 to 15 share interrupts with others
    /// on some chips: choose one of its own.
    pub fn arm<G: OpensGates, P: Pin + ExtiPin>(
        &self,
        pin: Peri<'static, P>,
        channel: Peri<'static, P::ExtiChannel>,
        pull: Pull,
        _irqs: impl Binding<<P::ExtiChannel as Channel>::IRQ, ComparatorHandler<G>>,
    ) -> ComparatorPin {
        let input = ExtiInput::new_blocking(pin, channel, pull, TriggerEdge::Rising);
        critical_section::with(|section| {
            if let Ok(mut mask) = self.0.borrow(section).try_borrow_mut() {
                *mask = Some(ExtiGroupMask::new(&[&input]));
            }
        });
        <P::ExtiChannel as Channel>::IRQ::set_priority(Priority::P0);
        <P::ExtiChannel as Channel>::IRQ::unpend();
        // SAFETY: the handler is bound, says `irqs`, and shares nothing that a critical section does not guard.
        unsafe { <P::ExtiChannel as Channel>::IRQ::enable() };
        input
    }
    fn acknowledge(&self) {
        critical_section::with(|section| {
            if let Ok(mask) = self.0.borrow(section).try_borrow()
                && let Some(mask) = mask.as_ref()
            {
                mask.clear();
            }
        });
    }
}

impl Default for ComparatorLine {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for ComparatorLine {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("ComparatorLine")
    }
}

/// The interrupt: opens the gates, then acknowledges. For `bind_interrupts!`.
#[derive(Debug)]
pub struct ComparatorHandler<G>(PhantomData<G>);

impl<I: Interrupt, G: OpensGates> Handler<I> for ComparatorHandler<G> {
    unsafe fn on_interrupt() {
        G::open_gates();
        // A second edge in between changes nothing: the gates are open and latched.
        G::line().acknowledge();
    }
}
