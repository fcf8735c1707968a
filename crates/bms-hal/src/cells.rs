//! Cell voltages from taps.

use bms_core::measurement::Cells;
use bms_core::port::{self, ErrorKind, ErrorType};
use bms_core::units::uv;

use crate::adc::AdcSource;
use crate::scale::Scale;

/// How the taps reach the ADC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Each channel shows a tap against B− behind its own divider; a cell is the difference of two neighbours. A wire that
    /// is cut shows as a cell at zero beside one that is doubled, which the core finds (X04).
    Ladder,
    /// Each channel shows one cell, by a differential amplifier.
    Cells,
}

/// A channel whose code is known, read at the start of every scan: it finds a stuck ADC, multiplexer or reference (X20).
/// Have two with different codes, of which one is ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The channel.
    pub channel: u8,
    /// The code that it must show.
    pub code: u16,
    /// How far it may be off.
    pub tolerance: u16,
}

impl Reference {
    fn accepts(&self, code: u16) -> bool {
        code.abs_diff(self.code) <= self.tolerance
    }
}

/// The cells of a pack, measured one after the other on `CELLS` channels of an ADC, with the lowest cell on `first`.
///
/// A code out of range makes its cell invalid (in a ladder the one above it too), a conversion that fails, or a reference
/// that is wrong, the whole scan.
#[derive(Debug)]
pub struct CellTaps<A, const CELLS: usize> {
    adc: A,
    first: u8,
    layout: Layout,
    scales: &'static [Scale; CELLS],
    references: &'static [Reference],
    codes: [u16; CELLS],
    /// How far the scan has come: references first, then taps.
    next: usize,
}

impl<A, const CELLS: usize> CellTaps<A, CELLS> {
    /// The taps of cell 1 to `CELLS` on the channels `first`, `first` + 1, …
    pub const fn new(adc: A, first: u8, layout: Layout, scales: &'static [Scale; CELLS]) -> Self {
        const { assert!(CELLS <= port_limit(), "more cells than the core knows") };
        Self { adc, first, layout, scales, references: &[], codes: [0; CELLS], next: 0 }
    }
    /// Checks these channels in every scan.
    #[must_use]
    pub const fn with_references(mut self, references: &'static [Reference]) -> Self {
        self.references = references;
        self
    }
    /// The channel to read next; `None` when the scan is complete.
    fn channel(&self) -> Option<u8> {
        if let Some(reference) = self.references.get(self.next) {
            return Some(reference.channel);
        }
        let tap = self.next.saturating_sub(self.references.len());
        (tap < CELLS).then(|| self.first.saturating_add(u8::try_from(tap).unwrap_or(u8::MAX)))
    }
    fn take(&mut self, code: u16) -> Result<(), ErrorKind> {
        match self.references.get(self.next) {
            Some(reference) if !reference.accepts(code) => return Err(ErrorKind::Integrity),
            Some(_) => {}
            None => {
                if let Some(slot) = self.codes.get_mut(self.next.saturating_sub(self.references.len())) {
                    *slot = code;
                }
            }
        }
        self.next = self.next.saturating_add(1);
        Ok(())
    }
    fn fill<const N: usize>(&mut self, cells: &mut Cells<N>) {
        self.next = 0;
        *cells = Cells::new(u8::try_from(CELLS).unwrap_or(u8::MAX));
        let mut below = Some(0);
        for (index, (scale, code)) in self.scales.iter().zip(self.codes).enumerate() {
            let here = scale.value(code);
            let cell = match self.layout {
                Layout::Cells => here,
                Layout::Ladder => here.zip(below).map(|(here, below)| here.saturating_sub(below)),
            };
            if let Some(microvolts) = cell {
                cells.set(index, uv(microvolts));
            }
            below = here;
        }
    }
}

/// The most cells.
const fn port_limit() -> usize {
    bms_core::measurement::MAXIMUM_CELLS
}

impl<A, const CELLS: usize> ErrorType for CellTaps<A, CELLS> {
    type Error = ErrorKind;
}

impl<A: AdcSource, const CELLS: usize, const N: usize> port::CellSense<N> for CellTaps<A, CELLS> {
    fn cells(&mut self, cells: &mut Cells<N>) -> nb::Result<(), ErrorKind> {
        while let Some(channel) = self.channel() {
            let taken = match self.adc.read(channel) {
                Ok(code) => self.take(code),
                Err(nb::Error::WouldBlock) => return Err(nb::Error::WouldBlock),
                Err(nb::Error::Other(error)) => Err(error),
            };
            if let Err(error) = taken {
                self.next = 0;
                return Err(nb::Error::Other(error));
            }
        }
        self.fill(cells);
        Ok(())
    }
}

#[cfg(feature = "async")]
impl<A: crate::asynch::AdcSource, const CELLS: usize, const N: usize> port::asynch::CellSense<N>
    for CellTaps<A, CELLS>
{
    async fn cells(&mut self, cells: &mut Cells<N>) -> Result<(), ErrorKind> {
        // Whatever a dropped call had read is read again.
        self.next = 0;
        while let Some(channel) = self.channel() {
            let code = self.adc.read(channel).await?;
            self.take(code)?;
        }
        self.fill(cells);
        Ok(())
    }
}
