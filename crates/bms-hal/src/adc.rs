//! Where readings come from: any ADC, one conversion at a time.

use core::cell::RefCell;

use bms_core::port::ErrorKind;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;

use crate::pins::drive;

/// An ADC with numbered channels.
///
/// An implementation MUST
/// 1. give the code of a conversion that was begun after the call (or after the first call that returned `WouldBlock`
///    for this channel), never an older one,
/// 2. give an error, not a code, when a conversion could not be done,
/// 3. not wait longer than one conversion.
pub trait AdcSource {
    /// Converts one channel.
    ///
    /// # Errors
    /// `WouldBlock` while the conversion runs; else whatever kept it from being done.
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind>;
}

impl<A: AdcSource + ?Sized> AdcSource for &mut A {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        A::read(self, channel)
    }
}

/// An ADC made of a closure over any HAL's own: `FnAdc(|channel| …)`.
#[derive(Clone, Copy, Debug)]
pub struct FnAdc<F>(
    /// Converts the channel that it is given.
    pub F,
);

impl<F: FnMut(u8) -> nb::Result<u16, ErrorKind>> AdcSource for FnAdc<F> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        (self.0)(channel)
    }
}

/// One ADC for several sensors, which read it one after the other.
#[derive(Debug)]
pub struct SharedAdc<'a, A>(
    /// The ADC.
    pub &'a RefCell<A>,
);

impl<A> Clone for SharedAdc<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for SharedAdc<'_, A> {}

impl<A: AdcSource> AdcSource for SharedAdc<'_, A> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        self.0.try_borrow_mut().map_err(|_| nb::Error::WouldBlock)?.read(channel)
    }
}

/// The sum of 2^`BITS` conversions: `BITS` more bits, of which about half are real where the noise is at least one code.
///
/// Twelve bits and `BITS` = 4 fill sixteen; the full scale becomes 2^`BITS` × that of one conversion.
#[derive(Clone, Copy, Debug)]
pub struct Averaged<A, const BITS: u8> {
    adc: A,
    sum: u16,
    taken: u16,
    channel: u8,
}

impl<A, const BITS: u8> Averaged<A, BITS> {
    const COUNT: u16 = {
        assert!(BITS <= 8, "more than 256 conversions take too long");
        1_u16.wrapping_shl(BITS as u32)
    };

    /// Adds up 2^`BITS` conversions of this ADC.
    pub const fn new(adc: A) -> Self {
        Self { adc, sum: 0, taken: 0, channel: u8::MAX }
    }
    fn begin(&mut self, channel: u8) {
        self.sum = 0;
        self.taken = 0;
        self.channel = channel;
    }
    /// Takes in one conversion; the sum when all are there. A sum beyond 16 bits stays at the end, which is out of range.
    fn add(&mut self, code: u16) -> Option<u16> {
        self.sum = self.sum.saturating_add(code);
        self.taken = self.taken.saturating_add(1);
        (self.taken >= Self::COUNT).then(|| {
            self.channel = u8::MAX;
            self.sum
        })
    }
}

impl<A: AdcSource, const BITS: u8> AdcSource for Averaged<A, BITS> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        if self.channel != channel {
            self.begin(channel);
        }
        loop {
            match self.adc.read(channel) {
                Ok(code) => {
                    if let Some(sum) = self.add(code) {
                        return Ok(sum);
                    }
                }
                Err(nb::Error::WouldBlock) => return Err(nb::Error::WouldBlock),
                Err(error) => {
                    self.channel = u8::MAX;
                    return Err(error);
                }
            }
        }
    }
}

/// An analog multiplexer in front of one channel of an ADC. Its channels are the multiplexer's positions.
///
/// A position is given time to settle whenever it was not the one selected before.
#[derive(Debug)]
pub struct Multiplexed<A, P, D, const LINES: usize> {
    adc: A,
    input: u8,
    select: [P; LINES],
    delay: D,
    settle_us: u32,
    selected: Option<u8>,
}

impl<A, P: OutputPin, D, const LINES: usize> Multiplexed<A, P, D, LINES> {
    /// A multiplexer with its select lines, lowest bit first, whose output stands on channel `input` of `adc`. `settle_us`
    /// is how long the ADC's input needs to follow: ten time constants of the source resistance and all capacitance behind
    /// the switch leave 0.2 codes of a full-scale step at 12 bits.
    pub const fn new(adc: A, input: u8, select: [P; LINES], delay: D, settle_us: u32) -> Self {
        Self { adc, input, select, delay, settle_us, selected: None }
    }
    /// Selects a position; whether it must settle.
    fn select(&mut self, position: u8) -> Result<bool, ErrorKind> {
        if self.selected == Some(position) {
            return Ok(false);
        }
        self.selected = None;
        if u32::from(position).checked_shr(u32::try_from(LINES).unwrap_or(u32::MAX)).unwrap_or(0) != 0 {
            // There is no such position.
            return Err(ErrorKind::Other);
        }
        let mut bits = position;
        for line in &mut self.select {
            drive(line, bits & 1 != 0)?;
            bits >>= 1;
        }
        self.selected = Some(position);
        Ok(true)
    }
}

impl<A: AdcSource, P: OutputPin, D: DelayNs, const LINES: usize> AdcSource for Multiplexed<A, P, D, LINES> {
    fn read(&mut self, channel: u8) -> nb::Result<u16, ErrorKind> {
        if self.select(channel)? {
            self.delay.delay_us(self.settle_us);
        }
        self.adc.read(self.input)
    }
}

/// The awaited twins; same names, same rules.
#[cfg(feature = "async")]
pub mod asynch {
    #![allow(async_fn_in_trait, reason = "no Send bound is wanted: executors on bare metal share one core")]

    use bms_core::port::ErrorKind;
    use embedded_hal::digital::OutputPin;
    use embedded_hal_async::delay::DelayNs;

    use super::{Averaged, Multiplexed, SharedAdc};

    /// An ADC with numbered channels. Rules: [`crate::AdcSource`]. A dropped call MUST leave it usable.
    pub trait AdcSource {
        /// Converts one channel.
        ///
        /// # Errors
        /// Whatever kept it from being done.
        async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind>;
    }

    impl<A: AdcSource + ?Sized> AdcSource for &mut A {
        async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
            A::read(self, channel).await
        }
    }

    /// An ADC that converts at once, or waits inside for one conversion, as an async one.
    #[derive(Clone, Copy, Debug)]
    pub struct Blocking<A>(
        /// The blocking ADC.
        pub A,
    );

    impl<A: crate::AdcSource> AdcSource for Blocking<A> {
        async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
            loop {
                match self.0.read(channel) {
                    Ok(code) => return Ok(code),
                    Err(nb::Error::Other(error)) => return Err(error),
                    Err(nb::Error::WouldBlock) => yield_once().await,
                }
            }
        }
    }

    /// Lets the others run once.
    async fn yield_once() {
        let mut yielded = false;
        core::future::poll_fn(|context| {
            if yielded {
                return core::task::Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            core::task::Poll::Pending
        })
        .await;
    }

    impl<A: AdcSource> AdcSource for SharedAdc<'_, A> {
        #[allow(clippy::await_holding_refcell_ref, reason = "a second reader is refused, not blocked")]
        async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
            match self.0.try_borrow_mut() {
                Ok(mut adc) => adc.read(channel).await,
                Err(_) => Err(ErrorKind::Other),
            }
        }
    }

    impl<A: AdcSource, const BITS: u8> AdcSource for Averaged<A, BITS> {
        async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
            self.begin(channel);
            loop {
                let code = self.adc.read(channel).await?;
                if let Some(sum) = self.add(code) {
                    return Ok(sum);
                }
            }
        }
    }

    impl<A: AdcSource, P: OutputPin, D: DelayNs, const LINES: usize> AdcSource for Multiplexed<A, P, D, LINES> {
        async fn read(&mut self, channel: u8) -> Result<u16, ErrorKind> {
            if self.select(channel)? {
                // Not settled if this is dropped.
                self.selected = None;
                self.delay.delay_us(self.settle_us).await;
                self.selected = Some(channel);
            }
            self.adc.read(self.input).await
        }
    }
}
