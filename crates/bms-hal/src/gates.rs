//! The two gates with their short-circuit latch (D09).

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};

use bms_core::command::Switch;
use bms_core::port::{self, ErrorKind, ErrorType};
use critical_section::Mutex;
use embedded_hal::digital::{InputPin, OutputPin};

use crate::pins::{drive, read};

/// What shows whether a short circuit was seen.
pub trait Latch {
    /// Whether the comparator has latched and nobody has cleared it yet.
    fn is_latched(&self) -> bool;
}

/// Charge and discharge gate with the comparator that opens both: one object owns pins and latch.
///
/// ```text
/// comparator ─► interrupt ─► trip() ─► both pins low, latched ─► DigitalInputs ─► core: ShortCircuit
///                                              ▲ only when told, and only while the level is clear
/// core ─► GateSwitches::apply ─ critical section
/// ```
/// It lives in a `static`, so that the interrupt reaches it, and is empty until [`Gates::install`]. A pin drives its
/// gate closed when high; wrap it in [`Inverted`](crate::Inverted) where it is the other way round. The comparator's pin
/// is high while it sees a short circuit.
///
/// ```
/// # use bms_hal::{Gates, NoPin, Unchecked};
/// # type Pin = NoPin;
/// static GATES: Gates<Pin, Pin, Pin> = Gates::new();
///
/// fn comparator_interrupt() {
///     GATES.trip();
/// }
/// # let (charge, discharge, comparator) = (NoPin, NoPin, NoPin);
/// let switches = GATES.install(charge, discharge, comparator, Unchecked)?;
/// # Ok::<(), bms_core::port::ErrorKind>(())
/// ```
/// Atomic loads and stores only, so that it runs on a Cortex-M0+.
#[derive(Debug)]
pub struct Gates<C, D, K, F = Unchecked> {
    latched: AtomicBool,
    parts: Mutex<Installed<Parts<C, D, K, F>>>,
}

/// What was installed, if anything was.
type Installed<T> = RefCell<Option<T>>;

#[derive(Debug)]
struct Parts<C, D, K, F> {
    charge: C,
    discharge: D,
    comparator: K,
    feedback: F,
}

impl<C: OutputPin, D: OutputPin, K: InputPin, F: GateFeedback> Parts<C, D, K, F> {
    /// Opens both; the second also when the first fails.
    fn open(&mut self) -> Result<(), ErrorKind> {
        let discharge = drive(&mut self.discharge, false);
        let charge = drive(&mut self.charge, false);
        discharge.and(charge)
    }
    /// Opens what shall be open before it closes what shall be closed.
    fn write(&mut self, charge: Switch, discharge: Switch) -> Result<(), ErrorKind> {
        if charge.is_closed() || discharge.is_closed() {
            self.feedback.may_close().inspect_err(|_| {
                // The error says more than another one of the pins would.
                let _ = self.open();
            })?;
        }
        let mut written = Ok(());
        if !discharge.is_closed() {
            written = written.and(drive(&mut self.discharge, false));
        }
        if !charge.is_closed() {
            written = written.and(drive(&mut self.charge, false));
        }
        // A gate that would not open keeps the other from closing.
        written?;
        if charge.is_closed() {
            drive(&mut self.charge, true)?;
        }
        if discharge.is_closed() {
            drive(&mut self.discharge, true)?;
        }
        self.feedback.follows(charge, discharge)
    }
}

impl<C, D, K, F> Gates<C, D, K, F> {
    /// Empty: nothing to drive yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { latched: AtomicBool::new(false), parts: Mutex::new(RefCell::new(None)) }
    }
}

impl<C, D, K, F> Default for Gates<C, D, K, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: OutputPin, D: OutputPin, K: InputPin, F: GateFeedback> Gates<C, D, K, F> {
    /// Opens both gates, then takes the pins over. Do this first of all in a firmware, and enable the comparator's
    /// interrupt next. A former set of pins is let go.
    ///
    /// # Errors
    /// A pin could not be driven: the gates are in an unknown state.
    pub fn install(
        &self,
        charge: C,
        discharge: D,
        comparator: K,
        feedback: F,
    ) -> Result<GateSwitches<'_, C, D, K, F>, ErrorKind> {
        let mut parts = Parts { charge, discharge, comparator, feedback };
        parts.open()?;
        critical_section::with(|section| match self.parts.borrow(section).try_borrow_mut() {
            Ok(mut slot) => {
                *slot = Some(parts);
                Ok(GateSwitches(self))
            }
            Err(_) => Err(ErrorKind::Other),
        })
    }
    /// **For the comparator's interrupt and the panic handler**: latches and opens both gates, now. May be called from
    /// anywhere and any number of times.
    pub fn trip(&self) {
        critical_section::with(|section| {
            self.latched.store(true, Ordering::Release);
            if let Ok(mut parts) = self.parts.borrow(section).try_borrow_mut()
                && let Some(parts) = parts.as_mut()
            {
                // Nobody here could do more about a pin that fails; `apply` reports it.
                let _ = parts.open();
            }
        });
    }
    fn apply(&self, charge: Switch, discharge: Switch, clear_latch: bool) -> Result<(), ErrorKind> {
        critical_section::with(|section| {
            let mut parts = self.parts.borrow(section).try_borrow_mut().map_err(|_| ErrorKind::Other)?;
            let parts = parts.as_mut().ok_or(ErrorKind::Unpowered)?;
            let level = read(&mut parts.comparator);
            // A comparator that cannot be read may see a short circuit.
            if level != Ok(false) {
                self.latched.store(true, Ordering::Release);
            } else if clear_latch {
                self.latched.store(false, Ordering::Release);
            }
            if self.latched.load(Ordering::Acquire) {
                parts.open()?;
                parts.feedback.follows(Switch::Open, Switch::Open)?;
                level.map(|_| ())
            } else {
                parts.write(charge, discharge)
            }
        })
    }
}

impl<C, D, K, F> Latch for Gates<C, D, K, F> {
    fn is_latched(&self) -> bool {
        self.latched.load(Ordering::Acquire)
    }
}

/// The port of [`Gates`] that the driver writes.
#[derive(Debug)]
pub struct GateSwitches<'a, C, D, K, F = Unchecked>(&'a Gates<C, D, K, F>);

impl<C, D, K, F> ErrorType for GateSwitches<'_, C, D, K, F> {
    type Error = ErrorKind;
}

impl<C: OutputPin, D: OutputPin, K: InputPin, F: GateFeedback> port::Switches for GateSwitches<'_, C, D, K, F> {
    fn apply(&mut self, charge: Switch, discharge: Switch, clear_latch: bool) -> Result<(), ErrorKind> {
        self.0.apply(charge, discharge, clear_latch)
    }
}

/// How a board knows that the gates follow.
pub trait GateFeedback {
    /// Before a gate is closed: whether it could.
    ///
    /// # Errors
    /// Why not; both stay open.
    fn may_close(&mut self) -> Result<(), ErrorKind>;
    /// After both were written.
    ///
    /// # Errors
    /// They do not follow, or nobody can tell.
    fn follows(&mut self, charge: Switch, discharge: Switch) -> Result<(), ErrorKind>;
}

/// No feedback: a pin that could be written counts as a gate that follows. The core's own check of current against an
/// open switch (X10) remains.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unchecked;

impl GateFeedback for Unchecked {
    fn may_close(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
    fn follows(&mut self, _: Switch, _: Switch) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A gate driver that says by a high pin that its supply is good.
#[derive(Clone, Copy, Debug)]
pub struct SupplyGood<P>(
    /// The pin.
    pub P,
);

impl<P: InputPin> GateFeedback for SupplyGood<P> {
    fn may_close(&mut self) -> Result<(), ErrorKind> {
        if read(&mut self.0)? { Ok(()) } else { Err(ErrorKind::Unpowered) }
    }
    fn follows(&mut self, _: Switch, _: Switch) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Contactors with an auxiliary contact each, high while the contactor is closed. A welded one is an error.
///
/// A contactor takes its time: what its contact says counts once two commands in a row were the same, hence write at an
/// interval longer than its travel.
#[derive(Clone, Copy, Debug)]
pub struct AuxiliaryContacts<C, D> {
    charge: C,
    discharge: D,
    previous: (Switch, Switch),
}

impl<C: InputPin, D: InputPin> AuxiliaryContacts<C, D> {
    /// The contacts of the charge and the discharge contactor.
    pub const fn new(charge: C, discharge: D) -> Self {
        Self { charge, discharge, previous: (Switch::Open, Switch::Open) }
    }
}

impl<C: InputPin, D: InputPin> GateFeedback for AuxiliaryContacts<C, D> {
    fn may_close(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
    fn follows(&mut self, charge: Switch, discharge: Switch) -> Result<(), ErrorKind> {
        let settled = self.previous == (charge, discharge);
        self.previous = (charge, discharge);
        let seen = (read(&mut self.charge)?, read(&mut self.discharge)?);
        if settled && seen != (charge.is_closed(), discharge.is_closed()) { Err(ErrorKind::Integrity) } else { Ok(()) }
    }
}
