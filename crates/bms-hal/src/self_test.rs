//! Self-tests of a board: a small piece of each at every reading of the inputs; a failure opens everything (X20).
//!
//! ```text
//! FlashCheck  ─┐
//! Reference   ─┼─ SelfTest ─► SelfTested ─► Inputs::self_test_failed ─► Alarm::SelfTestFailed: everything open
//! ClockCheck  ─┤                 └─► SelfTestReport: which of them
//! FnTest (RAM)─┘
//! ```

use core::sync::atomic::{AtomicU8, Ordering};

use bms_core::measurement::Inputs;
use bms_core::port::{self, ErrorKind, ErrorType};

use crate::adc::AdcSource;

/// What a self-test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SelfTestKind {
    /// The content of the program memory.
    Flash = 1,
    /// The working memory.
    Ram = 2,
    /// The clock that the core steps by, against another oscillator.
    Clock = 4,
    /// The ADC, by a voltage that is known.
    AdcReference = 8,
}

/// A self-test that is done piece by piece.
///
/// An implementation MUST
/// 1. take a bounded time for each piece, short against a sample period,
/// 2. tell a failure from the piece that finds it on, until the whole test has passed again,
/// 3. tell a failure as well if the test cannot be done.
pub trait SelfTest {
    /// What it looks at.
    fn kind(&self) -> SelfTestKind;
    /// Does the next piece; whether all is well.
    fn advance(&mut self) -> bool;
}

impl<T: SelfTest + ?Sized> SelfTest for &mut T {
    fn kind(&self) -> SelfTestKind {
        T::kind(self)
    }
    fn advance(&mut self) -> bool {
        T::advance(self)
    }
}

/// Which self-tests fail now; lives in a `static`, so that a log or a link can say why everything is open.
#[derive(Debug, Default)]
pub struct SelfTestReport(AtomicU8);

impl SelfTestReport {
    /// None fails.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }
    /// Whether the test of this kind fails.
    #[must_use]
    pub fn fails(&self, kind: SelfTestKind) -> bool {
        self.0.load(Ordering::Relaxed) & kind as u8 != 0
    }
    /// Whether any fails.
    #[must_use]
    pub fn any_fails(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// The inputs of a board, and with each reading of them a piece of every self-test.
///
/// One that fails sets [`Inputs::self_test_failed`], also where the inputs themselves cannot be read: then the reading
/// fails, which closes nothing either.
pub struct SelfTested<'a, I> {
    inputs: I,
    tests: &'a mut [&'a mut dyn SelfTest],
    report: &'a SelfTestReport,
}

impl<I> core::fmt::Debug for SelfTested<'_, I> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("SelfTested").field("report", &self.report).finish_non_exhaustive()
    }
}

impl<'a, I> SelfTested<'a, I> {
    /// Adds self-tests to inputs.
    pub const fn new(inputs: I, tests: &'a mut [&'a mut dyn SelfTest], report: &'a SelfTestReport) -> Self {
        Self { inputs, tests, report }
    }
    /// A piece of each; whether one fails.
    fn advance(&mut self) -> bool {
        let mut failed = 0;
        for test in self.tests.iter_mut() {
            if !test.advance() {
                failed |= test.kind() as u8;
            }
        }
        self.report.0.store(failed, Ordering::Relaxed);
        failed != 0
    }
}

impl<I: ErrorType> ErrorType for SelfTested<'_, I> {
    type Error = I::Error;
}

impl<I: port::InputSense> port::InputSense for SelfTested<'_, I> {
    fn inputs(&mut self) -> nb::Result<Inputs, I::Error> {
        let inputs = self.inputs.inputs()?;
        let failed = self.advance();
        Ok(Inputs { self_test_failed: inputs.self_test_failed || failed, ..inputs })
    }
}

#[cfg(feature = "async")]
impl<I: port::asynch::InputSense> port::asynch::InputSense for SelfTested<'_, I> {
    async fn inputs(&mut self) -> Result<Inputs, I::Error> {
        let inputs = self.inputs.inputs().await?;
        let failed = self.advance();
        Ok(Inputs { self_test_failed: inputs.self_test_failed || failed, ..inputs })
    }
}

/// A self-test made of a closure: `FnTest(SelfTestKind::Ram, || …)`. A march test of the RAM needs `unsafe` and knows the
/// chip, so it is not part of this library.
#[derive(Clone, Copy, Debug)]
pub struct FnTest<F>(
    /// What it looks at.
    pub SelfTestKind,
    /// Does a piece; whether all is well.
    pub F,
);

impl<F: FnMut() -> bool> SelfTest for FnTest<F> {
    fn kind(&self) -> SelfTestKind {
        self.0
    }
    fn advance(&mut self) -> bool {
        (self.1)()
    }
}

/// The program's CRC-32 (IEEE 802.3, as of `zlib`), some bytes at a time, again and again.
#[derive(Debug)]
pub struct FlashCheck<'a> {
    content: &'a [u8],
    expected: u32,
    bytes_each: usize,
    position: usize,
    crc: u32,
    good: bool,
}

impl<'a> FlashCheck<'a> {
    /// `expected` is the CRC of `content`, from the build; so many bytes are looked at each time (at least one). It is good until a
    /// whole pass says otherwise: check once before the start where the flash may be bad already ([`FlashCheck::whole`]).
    #[must_use]
    pub const fn new(content: &'a [u8], expected: u32, bytes_each: usize) -> Self {
        let bytes_each = if bytes_each == 0 { 1 } else { bytes_each };
        Self { content, expected, bytes_each, position: 0, crc: !0, good: true }
    }
    /// Looks at all of it at once; whether it is good.
    pub fn whole(&mut self) -> bool {
        (self.position, self.crc) = (0, !0);
        loop {
            self.advance();
            if self.position == 0 {
                return self.good;
            }
        }
    }
    /// One byte more.
    const fn next(crc: u32, byte: u8) -> u32 {
        let mut crc = crc ^ byte as u32;
        let mut bit = 0_u8;
        while bit < 8 {
            let low = crc & 1;
            crc >>= 1;
            if low == 1 {
                crc ^= 0xEDB8_8320;
            }
            bit = bit.saturating_add(1);
        }
        crc
    }
    /// The CRC of some bytes, for the build.
    #[must_use]
    pub const fn crc(mut content: &[u8]) -> u32 {
        let mut crc = !0;
        while let [first, rest @ ..] = content {
            crc = Self::next(crc, *first);
            content = rest;
        }
        !crc
    }
}

impl SelfTest for FlashCheck<'_> {
    fn kind(&self) -> SelfTestKind {
        SelfTestKind::Flash
    }
    fn advance(&mut self) -> bool {
        let rest = self.content.get(self.position..).unwrap_or_default();
        let piece = rest.get(..self.bytes_each).unwrap_or(rest);
        self.crc = piece.iter().fold(self.crc, |crc, byte| Self::next(crc, *byte));
        self.position = self.position.saturating_add(piece.len());
        if self.position >= self.content.len() {
            self.good = !self.crc == self.expected;
            (self.position, self.crc) = (0, !0);
        }
        self.good
    }
}

/// The ADC by a channel whose voltage is known: the chip's band gap, a reference chip, a divider of one.
#[derive(Debug)]
pub struct AdcReference<A> {
    adc: A,
    channel: u8,
    window: (u16, u16),
    good: bool,
    /// Pieces in which the conversion was not ready.
    waited: u8,
}

/// So often a conversion may be not ready, before that is a failure.
const PATIENCE: u8 = 20;

impl<A: AdcSource> AdcReference<A> {
    /// The codes that are good, both ends included.
    pub const fn new(adc: A, channel: u8, lowest: u16, highest: u16) -> Self {
        Self { adc, channel, window: (lowest, highest), good: true, waited: 0 }
    }
}

impl<A: AdcSource> SelfTest for AdcReference<A> {
    fn kind(&self) -> SelfTestKind {
        SelfTestKind::AdcReference
    }
    fn advance(&mut self) -> bool {
        let (lowest, highest) = self.window;
        match self.adc.read(self.channel) {
            Ok(code) => {
                self.waited = 0;
                self.good = (lowest..=highest).contains(&code);
            }
            Err(nb::Error::WouldBlock) => {
                self.waited = self.waited.saturating_add(1);
                self.good &= self.waited <= PATIENCE;
            }
            Err(nb::Error::Other(_)) => self.good = false,
        }
        self.good
    }
}

/// The core's clock against a counter that another oscillator drives, over a stretch of time.
#[derive(Debug)]
pub struct ClockCheck<C, F> {
    clock: C,
    other: F,
    /// Ticks of the other one in a second, and how far the two may differ, in thousandths.
    hertz: u32,
    permille: u32,
    began: Option<(bms_core::time::Instant, u32)>,
    good: bool,
}

/// So long the two are compared, ms.
const STRETCH: u64 = 1_000;

impl<C: port::Clock, F: FnMut() -> u32> ClockCheck<C, F> {
    /// `other` gives a free-running count (that may wrap) of an oscillator of its own, `hertz` a second.
    pub const fn new(clock: C, other: F, hertz: u32, permille: u32) -> Self {
        Self { clock, other, hertz, permille, began: None, good: true }
    }
}

impl<C: port::Clock, F: FnMut() -> u32> SelfTest for ClockCheck<C, F> {
    fn kind(&self) -> SelfTestKind {
        SelfTestKind::Clock
    }
    fn advance(&mut self) -> bool {
        let (now, count) = (self.clock.now(), (self.other)());
        let Some((began, first)) = self.began else {
            self.began = Some((now, count));
            return self.good;
        };
        let ticks = u64::from(count.wrapping_sub(first));
        let passed = now.as_millis().saturating_sub(began.as_millis());
        // Either of them may stand still: the other one ends the stretch.
        let by_other = ticks.saturating_mul(1_000).checked_div(u64::from(self.hertz)).unwrap_or(u64::MAX);
        if passed >= STRETCH || by_other >= STRETCH.saturating_mul(2) {
            let allowed = passed.saturating_mul(u64::from(self.permille)) / 1_000;
            self.good = passed.abs_diff(by_other) <= allowed.saturating_add(1);
            self.began = Some((now, count));
        }
        self.good
    }
}

/// A board without inputs of its own has self-tests too.
impl ErrorType for NoInputs {
    type Error = ErrorKind;
}

/// No digital inputs: what [`SelfTested`] adds its tests to on a board that has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInputs;

impl port::InputSense for NoInputs {
    fn inputs(&mut self) -> nb::Result<Inputs, ErrorKind> {
        Ok(Inputs::default())
    }
}

#[cfg(feature = "async")]
impl port::asynch::InputSense for NoInputs {
    async fn inputs(&mut self) -> Result<Inputs, ErrorKind> {
        Ok(Inputs::default())
    }
}
