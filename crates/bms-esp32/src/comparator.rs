//! The short-circuit comparator's interrupt (D09).

use core::cell::RefCell;
use core::convert::Infallible;

use critical_section::Mutex;
use embedded_hal::digital::{ErrorType, InputPin};
use esp_hal::gpio::{Event, Input, Io};
use esp_hal::interrupt::InterruptHandler;

/// The comparator's pin with its interrupt. It lives in a `static`; the interrupt's handler is the firmware's:
///
/// ```ignore
/// static GATES: Gates<Output<'static>, Output<'static>, ComparatorPin> = Gates::new();
/// static COMPARATOR: ComparatorLine = ComparatorLine::new();
///
/// #[handler(priority = Priority::max())]
/// #[ram]
/// fn short_circuit() {
///     GATES.trip();
///     COMPARATOR.acknowledge();
/// }
///
/// let pin = COMPARATOR.arm(Input::new(p.GPIO5, InputConfig::default()), &mut Io::new(p.IO_MUX), short_circuit);
/// let switches = GATES.install(charge, discharge, pin, Unchecked)?;
/// ```
pub struct ComparatorLine(Mutex<RefCell<Option<Input<'static>>>>);

impl ComparatorLine {
    /// Not armed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(None)))
    }
    /// From now on a rising edge of the pin runs `handler`, which is that of **all** pins. An edge that came before is
    /// not seen; `Gates` look at the level whenever they are written.
    pub fn arm(&'static self, mut pin: Input<'static>, io: &mut Io<'_>, handler: InterruptHandler) -> ComparatorPin {
        critical_section::with(|section| {
            io.set_interrupt_handler(handler);
            pin.clear_interrupt();
            pin.listen(Event::RisingEdge);
            if let Ok(mut slot) = self.0.borrow(section).try_borrow_mut() {
                *slot = Some(pin);
            }
        });
        ComparatorPin(self)
    }
    /// For the handler, after the gates are open. A second edge in between changes nothing: they are latched.
    pub fn acknowledge(&self) {
        critical_section::with(|section| {
            if let Ok(mut slot) = self.0.borrow(section).try_borrow_mut()
                && let Some(pin) = slot.as_mut()
            {
                pin.clear_interrupt();
            }
        });
    }
    /// The level; high for a pin that is not there: nobody may take that for "no short circuit".
    fn is_high(&self) -> bool {
        critical_section::with(|section| match self.0.borrow(section).try_borrow() {
            Ok(slot) => slot.as_ref().is_none_or(Input::is_high),
            Err(_) => true,
        })
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

/// The comparator's level, for `bms_hal::Gates`.
#[derive(Clone, Copy, Debug)]
pub struct ComparatorPin(&'static ComparatorLine);

impl ErrorType for ComparatorPin {
    type Error = Infallible;
}

impl InputPin for ComparatorPin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.is_high())
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.is_high())
    }
}
