//! Faults of the measurement, applied to a sample.

use std::collections::VecDeque;

use bms_core::measurement::{Cells, Group, Reading, Sample, Temperatures};
use bms_core::port::ErrorKind;
use bms_core::time::Instant;
use bms_core::units::{Current, Temperature, Voltage};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Channel, FaultKind, FaultList};

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Delivered, changed or not.
    Delivered,
    /// The sampler failed.
    Failed(ErrorKind),
    /// Nothing came.
    Nothing,
}

/// Bends samples as a list of faults says; remembers what late and stuck channels need.
#[derive(Clone, Debug)]
pub struct SampleFaults<const N: usize = 24> {
    random: Pcg64Mcg,
    /// What was measured lately, for late channels.
    history: VecDeque<(Instant, Sample<N>)>,
    /// The last good groups, for stuck channels.
    last: Sample<N>,
}

/// How many samples a late channel can lag behind.
const HISTORY: usize = 4_096;

impl<const N: usize> SampleFaults<N> {
    /// With its own generator (PCG-64-MCG) for noise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: Pcg64Mcg::seed_from_u64(seed ^ 0x5eed), history: VecDeque::new(), last: Sample::new() }
    }
    /// Applies every fault that is active now.
    pub fn apply(&mut self, faults: &FaultList, now: Instant, sample: &mut Sample<N>) -> Delivery {
        if faults.is_empty() {
            return Delivery::Delivered;
        }
        self.remember(faults, now, sample);
        let mut delivery = Delivery::Delivered;
        for kind in faults.active(now) {
            match kind {
                FaultKind::SamplerLost => return Delivery::Failed(ErrorKind::Bus),
                FaultKind::SamplerSilent => delivery = Delivery::Nothing,
                other => self.bend(other, now, sample),
            }
        }
        delivery
    }
    /// Time stamps as a sampler tells them that reads the same faulty clock.
    pub fn tell_time(faults: &FaultList, sample: &mut Sample<N>) {
        restamp(sample, |at| faults.clock(at));
    }
    fn remember(&mut self, faults: &FaultList, now: Instant, sample: &Sample<N>) {
        let active = |wanted: fn(&FaultKind) -> bool| faults.active(now).any(|kind| wanted(&kind));
        if faults.iter().any(|fault| matches!(fault.kind, FaultKind::Late { .. })) {
            self.history.push_back((now, *sample));
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        if !active(|kind| matches!(kind, FaultKind::Stuck(_))) {
            merge(&mut self.last, sample);
        }
    }
    fn bend(&mut self, kind: FaultKind, now: Instant, sample: &mut Sample<N>) {
        match kind {
            FaultKind::Lost(channel) => set(sample, channel, &Change::Fail),
            FaultKind::Silent(channel) => set(sample, channel, &Change::Drop),
            FaultKind::Late { channel, by_ms } => {
                let latest = now.before(bms_core::time::ms(by_ms));
                let old = self.history.iter().rev().find(|(at, old)| *at <= latest && is_measured(old, channel));
                match old {
                    Some((_, old)) => set(sample, channel, &Change::Take(old)),
                    None => set(sample, channel, &Change::Drop),
                }
            }
            FaultKind::Stuck(channel) => {
                let mut held = self.last;
                restamp(&mut held, |_| now);
                if is_measured(sample, channel) && is_measured(&held, channel) {
                    set(sample, channel, &Change::Take(&held));
                }
            }
            FaultKind::Noise { channel, amplitude } => self.values(sample, channel, |value, random| {
                let width = u64::from(amplitude.unsigned_abs()) * 2 + 1;
                let jump = i64::try_from(random.next_u64() % width).unwrap_or(0) - i64::from(amplitude.unsigned_abs());
                value.saturating_add(i32::try_from(jump).unwrap_or(0))
            }),
            FaultKind::Value { channel, value } => self.values(sample, channel, |_, _| value),
            FaultKind::InvertedCurrent => self.values(sample, Channel::Current, |value, _| value.saturating_neg()),
            FaultKind::CellValue { cell, microvolts } => {
                cells(sample, |cells| cells.set(usize::from(cell), Voltage::from_microvolts(microvolts)));
            }
            FaultKind::CellInvalid(cell) => cells(sample, |cells| cells.invalidate(usize::from(cell))),
            FaultKind::SwappedCells(a, b) => cells(sample, |cells| {
                let (a, b) = (usize::from(a), usize::from(b));
                let (at_a, at_b) = (cells.get(a), cells.get(b));
                put(cells, a, at_b);
                put(cells, b, at_a);
            }),
            FaultKind::CellCount(count) => cells(sample, |cells| {
                let mut other = Cells::new(count);
                for index in 0..usize::from(count) {
                    put(&mut other, index, cells.get(index));
                }
                *cells = other;
            }),
            FaultKind::TemperatureInvalid(index) => temperatures(sample, |all| {
                if let Some(reading) = all.battery.get_mut(usize::from(index)) {
                    *reading = Reading::Invalid;
                }
            }),
            FaultKind::MosTemperatureInvalid => temperatures(sample, |all| all.mos = Reading::Invalid),
            FaultKind::SamplerLost
            | FaultKind::SamplerSilent
            | FaultKind::ClockStopped
            | FaultKind::ClockBack(_)
            | FaultKind::ClockAhead(_)
            | FaultKind::ClockWraps
            | FaultKind::WriteFails(_)
            | FaultKind::WriteIgnored(_)
            | FaultKind::WriteSlow { .. } => {}
        }
    }
    /// Changes every valid value of a channel, in µV, mA or 0.1 °C. Inputs and feedback have none but the balance current.
    fn values(&mut self, sample: &mut Sample<N>, channel: Channel, change: impl Fn(i32, &mut Pcg64Mcg) -> i32) {
        let random = &mut self.random;
        let mut volts = |group: &mut Group<Voltage>| {
            if let Group::Measured { value, .. } = group {
                *value = Voltage::from_microvolts(change(value.as_microvolts(), random));
            }
        };
        match channel {
            Channel::Stack => volts(&mut sample.stack),
            Channel::Terminal => volts(&mut sample.terminal),
            Channel::Cells => cells(sample, |cells| {
                for index in 0..usize::from(cells.count()) {
                    if let Reading::Valid(value) = cells.get(index) {
                        cells.set(index, Voltage::from_microvolts(change(value.as_microvolts(), random)));
                    }
                }
            }),
            Channel::Current => {
                if let Group::Measured { value, .. } = &mut sample.current {
                    *value = Current::from_milliamps(change(value.as_milliamps(), random));
                }
            }
            Channel::Temperatures => temperatures(sample, |all| {
                for reading in all.battery.iter_mut().chain([&mut all.mos]) {
                    if let Reading::Valid(value) = reading {
                        *value = Temperature::from_tenths(change(value.as_tenths(), random));
                    }
                }
            }),
            Channel::Feedback => {
                if let Group::Measured { value, .. } = &mut sample.feedback {
                    value.balance_current =
                        Current::from_milliamps(change(value.balance_current.as_milliamps(), random));
                }
            }
            Channel::Inputs => {}
        }
    }
}

fn cells<const N: usize>(sample: &mut Sample<N>, change: impl FnOnce(&mut Cells<N>)) {
    if let Group::Measured { value, .. } = &mut sample.cells {
        change(value);
    }
}

fn temperatures<const N: usize>(sample: &mut Sample<N>, change: impl FnOnce(&mut Temperatures)) {
    if let Group::Measured { value, .. } = &mut sample.temperatures {
        change(value);
    }
}

fn put<const N: usize>(cells: &mut Cells<N>, index: usize, reading: Reading<Voltage>) {
    match reading {
        Reading::Valid(value) => cells.set(index, value),
        _ => cells.invalidate(index),
    }
}

enum Change<'a, const N: usize> {
    Fail,
    Drop,
    Take(&'a Sample<N>),
}

fn set<const N: usize>(sample: &mut Sample<N>, channel: Channel, change: &Change<'_, N>) {
    fn one<T: Clone, const N: usize>(
        group: &mut Group<T>,
        change: &Change<'_, N>,
        pick: impl Fn(&Sample<N>) -> &Group<T>,
    ) {
        *group = match change {
            // A channel that is not due now does not fail now.
            Change::Fail if matches!(group, Group::NotMeasured) => Group::NotMeasured,
            Change::Fail => Group::Failed,
            Change::Drop => Group::NotMeasured,
            Change::Take(other) => pick(other).clone(),
        };
    }
    match channel {
        Channel::Cells => one(&mut sample.cells, change, |other| &other.cells),
        Channel::Current => one(&mut sample.current, change, |other| &other.current),
        Channel::Temperatures => one(&mut sample.temperatures, change, |other| &other.temperatures),
        Channel::Stack => one(&mut sample.stack, change, |other| &other.stack),
        Channel::Terminal => one(&mut sample.terminal, change, |other| &other.terminal),
        Channel::Feedback => one(&mut sample.feedback, change, |other| &other.feedback),
        Channel::Inputs => one(&mut sample.inputs, change, |other| &other.inputs),
    }
}

fn is_measured<const N: usize>(sample: &Sample<N>, channel: Channel) -> bool {
    fn measured<T>(group: &Group<T>) -> bool {
        matches!(group, Group::Measured { .. })
    }
    match channel {
        Channel::Cells => measured(&sample.cells),
        Channel::Current => measured(&sample.current),
        Channel::Temperatures => measured(&sample.temperatures),
        Channel::Stack => measured(&sample.stack),
        Channel::Terminal => measured(&sample.terminal),
        Channel::Feedback => measured(&sample.feedback),
        Channel::Inputs => measured(&sample.inputs),
    }
}

/// Takes over every group that was measured.
fn merge<const N: usize>(into: &mut Sample<N>, from: &Sample<N>) {
    for channel in Channel::ALL {
        if is_measured(from, channel) {
            set(into, channel, &Change::Take(from));
        }
    }
}

/// The same values with other time stamps.
fn restamp<const N: usize>(sample: &mut Sample<N>, told: impl Fn(Instant) -> Instant) {
    fn stamp<T>(group: &mut Group<T>, told: &impl Fn(Instant) -> Instant) {
        if let Group::Measured { at, .. } = group {
            *at = told(*at);
        }
    }
    stamp(&mut sample.cells, &told);
    stamp(&mut sample.current, &told);
    stamp(&mut sample.temperatures, &told);
    stamp(&mut sample.stack, &told);
    stamp(&mut sample.terminal, &told);
    stamp(&mut sample.feedback, &told);
    stamp(&mut sample.inputs, &told);
}
