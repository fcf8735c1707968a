//! Hypotheses about where the pack stood when counting began, for a start that is not known and for plateaus.
//!
//! A voltage on a plateau fits several states of charge; one filter would lock onto one of them. Each hypothesis carries
//! its own slow voltage error and resistance error, so that a constant 3 mV is not taken for proof. One pass over all of
//! them is spread over several steps.

use super::math::{ONE, bounded, exp_negative, logarithm, narrow, ratio, scaled};
use super::tracker::{faded, renewed};

/// How many hypotheses there are: from −10 % to 110 % in steps of 2 %.
pub(super) const COUNT: usize = 61;
const LOWEST: i64 = -ONE / 10;
pub(super) const SPACING: i64 = ONE / 50;
/// Points of the voltages that are prepared for a pass, every 5 %.
pub(super) const POINTS: usize = 21;
/// What the table's error along the state of charge may come to as a voltage, in µV: or nothing would ever contradict an
/// estimate that stands at the steep end of the curve.
pub(super) const STEEPEST: i64 = 150_000;
/// A log-likelihood is a negative number with one = 2^16; less than this is as good as nothing.
const HOPELESS: i32 = -(20 << 16);

#[derive(Clone, Copy, Debug)]
struct Hypothesis {
    likelihood: i32,
    /// Its slow voltage error in V, one = 2^20.
    bias: i32,
    /// Its resistance error, one = 2^20.
    resistance: i32,
}

/// What all hypotheses are compared with in one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The voltage, in µV.
    pub voltage: i32,
    /// Charge counted since the bank began, in the middle of the window; one = 2^30.
    pub counted: i64,
    /// Polarisation at every 5 %, in µV.
    pub polarisation: [i32; POINTS],
    /// Hysteresis and temperature shift at every 5 %, in µV.
    pub shift: [i32; POINTS],
    /// How much of the slow voltage error stays; one = 2^30.
    pub keep: i64,
    /// Stationary variance of the slow voltage error; one = 2^40.
    pub bias: i64,
    /// Variance of the fast noise; one = 2^40.
    pub noise: i64,
    /// Error of the table along the state of charge, in millionths.
    pub table_error: i64,
    /// Innovations beyond this count less, in hundredths of sigma.
    pub outlier: i64,
    /// Length of the window in ms.
    pub length: u32,
}

/// Result of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posterior {
    /// Mean of the offset, one = 2^30.
    pub offset: i64,
    /// Its variance, one = 2^40.
    pub variance: i64,
    /// Mean and variance of the voltage error, and its tie to the offset.
    pub bias: i64,
    pub bias_variance: i64,
    pub bias_tie: i64,
    /// Mean and variance of the resistance error.
    pub resistance: i64,
    pub resistance_variance: i64,
}

/// The covariance of the two nuisances that all hypotheses share; one = 2^40.
#[derive(Clone, Copy, Debug)]
struct Shared {
    bb: i64,
    br: i64,
    rr: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Bank {
    hypotheses: [Hypothesis; COUNT],
    shared: Shared,
    pass: Option<(Pass, Gains)>,
    next: usize,
    first: bool,
    since_diffusion: u32,
}

/// What a pass needs beside its observation: ready-made from the shared covariance.
#[derive(Clone, Copy, Debug)]
struct Gains {
    /// The first pass since a restart.
    first: bool,
    bias: i64,
    resistance: i64,
    spread: i64,
}

fn offset_of(index: usize) -> i64 {
    SPACING.wrapping_mul(index as i64).wrapping_add(LOWEST)
}

impl Bank {
    pub(super) const fn new() -> Self {
        Self {
            hypotheses: [Hypothesis { likelihood: 0, bias: 0, resistance: 0 }; COUNT],
            shared: Shared { bb: 0, br: 0, rr: 0 },
            pass: None,
            next: 0,
            first: true,
            since_diffusion: 0,
        }
    }
    /// Begins anew around a state of charge with a standard deviation (both with one = 2^30), nothing else known.
    pub(super) fn restart(&mut self, charge: i64, sigma: i64, bias: i64, resistance: i64, resistance_error: i64) {
        self.shared = Shared { bb: bias, br: 0, rr: resistance_error };
        self.pass = None;
        self.first = true;
        self.since_diffusion = 0;
        for (index, hypothesis) in self.hypotheses.iter_mut().enumerate() {
            let sigmas = ratio(offset_of(index).saturating_sub(charge) << 12, sigma.max(1)).clamp(-40_000, 40_000);
            let likelihood = narrow(sigmas.saturating_mul(sigmas) >> 9).saturating_neg().max(HOPELESS);
            *hypothesis = Hypothesis { likelihood, bias: 0, resistance: narrow(resistance >> 10) };
        }
    }
    /// The state of charge is known from elsewhere: `counted` since the bank began, `sigma` of the anchor.
    pub(super) fn anchor(&mut self, charge: i64, counted: i64, sigma: i64, weight: i64) {
        for (index, hypothesis) in self.hypotheses.iter_mut().enumerate() {
            let distance = offset_of(index).saturating_add(counted).saturating_sub(charge);
            let sigmas = ratio(distance << 12, sigma.max(1)).clamp(-40_000, 40_000);
            let loss = scaled(sigmas.saturating_mul(sigmas) >> 9, weight, 16);
            hypothesis.likelihood = hypothesis.likelihood.saturating_sub(narrow(loss)).max(i32::MIN / 2);
        }
        self.normalise();
    }
    /// The most likely state of charge: its offset.
    pub(super) fn best(&self) -> i64 {
        let best = self.hypotheses.iter().enumerate().max_by_key(|(_, hypothesis)| hypothesis.likelihood);
        best.map_or(0, |(index, _)| offset_of(index))
    }
    /// Whether a pass is under way.
    pub(super) const fn busy(&self) -> bool {
        self.pass.is_some()
    }
    /// Begins a pass. `polarisation` is that of the most likely hypothesis, in V with one = 2^20; `wander` the growth of the
    /// resistance error's variance.
    pub(super) fn begin(&mut self, pass: Pass, polarisation: i64, wander: i64) {
        let shared = &mut self.shared;
        shared.bb = renewed(shared.bb, pass.keep, pass.bias);
        shared.br = faded(shared.br, pass.keep);
        shared.rr = shared.rr.saturating_add(wander);
        let bias = shared.bb.saturating_add(scaled(shared.br, polarisation, 20));
        let resistance = shared.br.saturating_add(scaled(shared.rr, polarisation, 20));
        let spread = bias.saturating_add(scaled(resistance, polarisation, 20)).saturating_add(pass.noise).max(1);
        let gain = |tie: i64| ratio(tie << 22, spread);
        shared.bb = shared.bb.saturating_sub(scaled(gain(bias), bias, 22)).max(16);
        shared.br = shared.br.saturating_sub(scaled(gain(bias), resistance, 22));
        shared.rr = shared.rr.saturating_sub(scaled(gain(resistance), resistance, 22)).max(16);
        self.pass = Some((pass, Gains { first: core::mem::take(&mut self.first), bias, resistance, spread }));
        self.next = 0;
    }
    /// Goes on with the pass for a number of hypotheses; the result when it is finished.
    pub(super) fn work(&mut self, open_circuit: &[u16], count: usize) -> Option<Posterior> {
        let (pass, gains) = self.pass?;
        let end = self.next.saturating_add(count).min(COUNT);
        let begin = self.next;
        let mut charge = offset_of(begin).saturating_add(pass.counted);
        for hypothesis in self.hypotheses.get_mut(begin..end).unwrap_or_default() {
            hypothesis.compare(charge, &pass, &gains, open_circuit);
            charge = charge.saturating_add(SPACING);
        }
        self.next = end;
        if end < COUNT {
            return None;
        }
        self.pass = None;
        self.normalise();
        self.since_diffusion = self.since_diffusion.saturating_add(pass.length);
        Some(self.posterior())
    }
    /// The most likely one becomes zero; nothing becomes impossible for ever.
    fn normalise(&mut self) {
        let most = self.hypotheses.iter().map(|hypothesis| hypothesis.likelihood).max().unwrap_or(0);
        for hypothesis in &mut self.hypotheses {
            hypothesis.likelihood = hypothesis.likelihood.saturating_sub(most).max(i32::MIN / 4);
        }
    }
    /// Lets each hypothesis win a little over its neighbours: counting drifts. `loss` is the price of a step, in
    /// log-likelihood.
    pub(super) fn diffuse(&mut self, every: u32, loss: i32) {
        if self.since_diffusion < every {
            return;
        }
        self.since_diffusion = 0;
        let mut before = HOPELESS;
        let mut rest = self.hypotheses.as_mut_slice();
        while let [first, tail @ ..] = rest {
            let after = tail.first().map_or(HOPELESS, |next| next.likelihood);
            let own = first.likelihood;
            first.likelihood = own.max(before.max(after).saturating_sub(loss)).max(HOPELESS);
            before = own;
            rest = tail;
        }
    }
    /// Mean and spread over the hypotheses.
    pub(super) fn posterior(&self) -> Posterior {
        let mut weights = 0_i64;
        let mut first = [0_i64; 3];
        let mut second = [0_i64; 4];
        // Relative to the most likely one, so that differences of large squares do not matter.
        let centre = self.best();
        let add = |slot: &mut i64, value: i64| *slot = slot.saturating_add(value);
        let mut at = LOWEST.wrapping_sub(SPACING);
        for hypothesis in &self.hypotheses {
            at = at.wrapping_add(SPACING);
            let weight = i64::from(exp_negative(hypothesis.likelihood));
            if weight == 0 {
                continue;
            }
            let offset = at.wrapping_sub(centre) >> 10;
            let values = [offset, i64::from(hypothesis.bias), i64::from(hypothesis.resistance)];
            let [_, bias, resistance] = values;
            weights = weights.saturating_add(weight);
            for (slot, value) in first.iter_mut().zip(values) {
                add(slot, weight.wrapping_mul(value));
            }
            let square = |value: i64| value.wrapping_mul(value);
            let products = [square(offset), square(bias), square(resistance), offset.wrapping_mul(bias)];
            for (slot, value) in second.iter_mut().zip(products) {
                // Four bits off, or 61 full weights could overflow.
                add(slot, weight.wrapping_mul(value >> 4));
            }
        }
        // Means with one = 2^28, products with one = 2^40.
        let [offset, bias, resistance] = first.map(|sum| ratio(sum << 8, weights));
        let [oo, bb, rr, ob] = second.map(|sum| ratio(sum, weights) << 4);
        let centred = |square: i64, a: i64, b: i64| square.saturating_sub(scaled(a, b, 16));
        let (variance, bias_variance) = (centred(oo, offset, offset).max(0), centred(bb, bias, bias).max(0));
        let bias_variance = bias_variance.saturating_add(self.shared.bb);
        Posterior {
            offset: centre.saturating_add(offset << 2),
            variance,
            bias: bias << 2,
            bias_variance,
            bias_tie: centred(ob, offset, bias),
            resistance: resistance << 2,
            resistance_variance: centred(rr, resistance, resistance).max(0).saturating_add(self.shared.rr),
        }
    }
}

/// A value of a table of every 5 %.
fn point(values: &[i32; POINTS], soc: i64) -> i64 {
    let position = soc.wrapping_mul(20);
    let index = (position >> 30) as usize;
    let low = values.get(index).copied().unwrap_or(0);
    let high = values.get(index.wrapping_add(1)).copied().unwrap_or(low);
    let part = (position >> 14) & 0xFFFF;
    i64::from(low).wrapping_add(i64::from(high.wrapping_sub(low)).wrapping_mul(part) >> 16)
}

impl Hypothesis {
    fn compare(&mut self, charge: i64, pass: &Pass, gains: &Gains, open_circuit: &[u16]) {
        // Beyond full and empty there is no pack.
        if !(-ONE * 3 / 100..=ONE * 103 / 100).contains(&charge) {
            self.likelihood = self.likelihood.saturating_sub(2 << 16).max(i32::MIN / 4);
            return;
        }
        let within = charge.clamp(0, ONE);
        let polarisation = point(&pass.polarisation, within);
        let (open, slope) = voltage_and_slope(open_circuit, within);
        let polarised = polarisation.saturating_add(scaled(polarisation, i64::from(self.resistance), 20));
        let expected = open.saturating_add(point(&pass.shift, within)).saturating_add(polarised);
        let bias = scaled(i64::from(self.bias), pass.keep, 30);
        let missed = scaled(i64::from(pass.voltage).saturating_sub(expected), 68_719, 16);
        let innovation = missed.saturating_sub(bias).clamp(-(1 << 21), 1 << 21);
        // The table's own error along the state of charge, where the curve is steep.
        let steep = (slope.saturating_mul(pass.table_error) / 1_000_000).min(STEEPEST);
        let table = scaled(steep.saturating_mul(steep), 72_058, 16);
        let spread = gains.spread.saturating_add(table);
        let square = ratio(innovation.saturating_mul(innovation) << 12, (spread >> 4).max(1));
        let beyond = |part: i64| {
            let sigmas = scaled(part, 100 << 16, 30);
            narrow(scaled(sigmas, sigmas, 17).saturating_mul(i64::from(pass.length)) / 60_000)
        };
        let outside = if charge < 0 { beyond(charge) } else { beyond(charge.saturating_sub(ONE).max(0)) };
        // A hypothesis that could explain anything is worth less: once, since its voltage error then remembers the choice.
        let vague = if gains.first { logarithm(ratio(spread << 12, (gains.spread >> 4).max(1))) / 2 } else { 0 };
        let loss = cost(square, pass.outlier).saturating_add(outside).saturating_add(vague);
        self.likelihood = self.likelihood.saturating_sub(loss).max(i32::MIN / 4);
        let bound = (pass.bias.saturating_add(table).max(0) as u64).isqrt() as i64;
        let bias_gain = ratio(gains.bias.saturating_add(table) << 20, spread);
        let bias = bias.saturating_add(scaled(bias_gain, innovation, 20));
        self.bias = narrow(bounded(bias, bound.saturating_mul(3)));
        let resistance_gain = ratio(gains.resistance << 20, spread);
        let resistance = i64::from(self.resistance).saturating_add(scaled(resistance_gain, innovation, 20));
        self.resistance = narrow(resistance.clamp(-(1 << 19), 1 << 20));
    }
}

/// Half the square of the innovation in sigmas (one = 2^16), growing only in proportion beyond `limit` hundredths.
fn cost(square: i64, limit: i64) -> i32 {
    let whole = limit.saturating_mul(limit).saturating_mul(1 << 16) / 10_000;
    if square <= whole {
        return narrow(square / 2);
    }
    // √ of a number with 16 fractional bits has 8.
    let sigmas = i64::from(u32::try_from(square).unwrap_or(u32::MAX).isqrt()) << 8;
    narrow(sigmas.saturating_mul(limit) / 100).saturating_sub(narrow(whole / 2))
}

/// Open-circuit voltage in µV and its slope in µV for a whole charge.
fn voltage_and_slope(table: &[u16], soc: i64) -> (i64, i64) {
    let intervals = table.len().saturating_sub(1) as i64;
    // Full lies at the end of the last interval, not at the start of one more.
    let position = soc.wrapping_mul(intervals).min((intervals << 30).wrapping_sub(1)).max(0);
    let index = (position >> 30) as usize;
    let (Some(low), Some(high)) = (table.get(index), table.get(index.wrapping_add(1))) else { return (0, 0) };
    let rise = i64::from(*high).wrapping_sub(i64::from(*low)).wrapping_mul(100);
    let part = (position >> 14) & 0xFFFF;
    let value = i64::from(*low).wrapping_mul(100).wrapping_add(rise.wrapping_mul(part) >> 16);
    (value, rise.wrapping_mul(intervals))
}
