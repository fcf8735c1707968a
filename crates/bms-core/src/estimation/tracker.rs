//! The filter for a state of charge that is roughly known: five states, one voltage.
//!
//! States, all with one = 2^30: state of charge; capacity error κ (the pack moves by (1 + κ)·Q/C); the current sensor's
//! offset as a C-rate; the slow voltage error in V; the relative resistance error. Covariances have one = 2^40. The slope of
//! the open-circuit voltage is taken across the present uncertainty, so a plateau is seen as what it is.

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::float_arithmetic, reason = "a test")]
mod twin;

use super::math::{ONE, narrow, ratio, scaled};
use super::model::Tuning;

/// A variance with one = 2^40 of a standard deviation in millionths.
pub(super) fn variance(millionths: i64) -> i64 {
    scaled(millionths.saturating_mul(millionths), 72_058, 16)
}

/// A standard deviation in millionths of a variance with one = 2^40.
pub(super) fn deviation(variance: i64) -> u32 {
    // √(v / 2^40) × 10^6.
    let root = (variance.max(0) as u64).isqrt() as i64;
    u32::try_from(scaled(root, 1_000_000, 20)).unwrap_or(u32::MAX)
}

/// What a factor (one = 2^30) leaves of a covariance. Twenty bits of it, so that the product fits 63 bits.
pub(super) fn faded(covariance: i64, keep: i64) -> i64 {
    scaled(covariance, keep >> 10, 20)
}

/// The variance of an error that forgets by `keep` towards its stationary variance.
pub(super) fn renewed(variance: i64, keep: i64, stationary: i64) -> i64 {
    let kept = scaled(keep, keep, 30);
    faded(variance, kept).saturating_add(faded(stationary, ONE.saturating_sub(kept)))
}

/// The five states, in the order of the covariance's rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct States {
    pub charge: i64,
    pub capacity: i64,
    pub offset: i64,
    pub bias: i64,
    pub resistance: i64,
}

/// The upper triangle of the covariance; `cc` charge, `k` capacity, `o` offset, `b` bias, `r` resistance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covariance {
    pub cc: i64,
    pub ck: i64,
    pub co: i64,
    pub cb: i64,
    pub cr: i64,
    pub kk: i64,
    pub ko: i64,
    pub kb: i64,
    pub kr: i64,
    pub oo: i64,
    pub ob: i64,
    pub or: i64,
    pub bb: i64,
    pub br: i64,
    pub rr: i64,
}

/// One observation of the voltage, as the tracker needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Measured less predicted voltage without the bias state, in V with one = 2^20.
    pub innovation: i64,
    /// dV/ds across the uncertainty, in V with one = 2^12.
    pub slope: i64,
    /// Polarisation in V with one = 2^20.
    pub polarisation: i64,
    /// Variance of the fast noise, one = 2^40.
    pub noise: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Tracker {
    pub states: States,
    pub covariance: Covariance,
}

impl Tracker {
    pub(super) const fn new() -> Self {
        let states = States { charge: 0, capacity: 0, offset: 0, bias: 0, resistance: 0 };
        let covariance = Covariance {
            cc: 0,
            ck: 0,
            co: 0,
            cb: 0,
            cr: 0,
            kk: 0,
            ko: 0,
            kb: 0,
            kr: 0,
            oo: 0,
            ob: 0,
            or: 0,
            bb: 0,
            br: 0,
            rr: 0,
        };
        Self { states, covariance }
    }
    /// A state of charge with its variance; what is known of capacity, offset and resistance stays, without its ties.
    pub(super) fn restart(&mut self, charge: i64, charge_variance: i64, bias_variance: i64) {
        self.states.charge = charge;
        self.states.bias = 0;
        self.covariance = Covariance {
            cc: charge_variance,
            kk: self.covariance.kk,
            oo: self.covariance.oo,
            rr: self.covariance.rr,
            bb: bias_variance,
            ..Self::new().covariance
        };
    }
    /// Charge moved (`moved`, one = 2^30) and time passed (`hours`, one = 2^30); the bias forgets by `keep`, and its
    /// stationary variance is `bias`.
    pub(super) fn predict(&mut self, moved: i64, hours: i64, keep: i64, bias: i64, tuning: &Tuning) {
        let states = &mut self.states;
        states.charge = states.charge.saturating_add(moved).saturating_add(scaled(moved, states.capacity, 30));
        states.bias = scaled(states.bias, keep, 30);
        let p = &mut self.covariance;
        let (f, g) = (moved, hours.saturating_neg());
        let mixed = |k: i64, o: i64| scaled(f, k, 30).saturating_add(scaled(g, o, 30));
        let ck = p.ck.saturating_add(mixed(p.kk, p.ko));
        let co = p.co.saturating_add(mixed(p.ko, p.oo));
        p.cb = p.cb.saturating_add(mixed(p.kb, p.ob));
        p.cr = p.cr.saturating_add(mixed(p.kr, p.or));
        p.cc = p.cc.saturating_add(mixed(p.ck.saturating_add(ck), p.co.saturating_add(co)));
        (p.ck, p.co) = (ck, co);
        for tie in [&mut p.cb, &mut p.kb, &mut p.ob, &mut p.br] {
            *tie = faded(*tie, keep);
        }
        p.bb = renewed(p.bb, keep, bias);
        p.cc = p.cc.saturating_add(scaled(variance(i64::from(tuning.drift)), hours, 30));
        // The resistance wanders by a third of its uncertainty in an hour.
        let wander = variance(i64::from(tuning.resistance_error).saturating_mul(300));
        p.rr = p.rr.saturating_add(scaled(wander, hours, 30));
    }
    /// The variance that a voltage would show, and the ties of the states to it.
    fn ties(&self, seen: &Seen) -> ([i64; 5], i64) {
        let p = &self.covariance;
        let tie = |c: i64, b: i64, r: i64| {
            scaled(c, seen.slope, 12).saturating_add(b).saturating_add(scaled(r, seen.polarisation, 20))
        };
        let ties = [
            tie(p.cc, p.cb, p.cr),
            tie(p.ck, p.kb, p.kr),
            tie(p.co, p.ob, p.or),
            tie(p.cb, p.bb, p.br),
            tie(p.cr, p.br, p.rr),
        ];
        let [c, _, _, b, r] = ties;
        (ties, tie(c, b, r).saturating_add(seen.noise).max(1))
    }
    /// Takes a voltage in; returns the square of the innovation in sigmas, with one = 2^16.
    pub(super) fn correct(&mut self, seen: &Seen, tuning: &Tuning) -> i64 {
        let (ties, mut spread) = self.ties(seen);
        let innovation = seen.innovation.saturating_sub(self.states.bias >> 10).clamp(-(1 << 22), 1 << 22);
        let square = ratio(innovation.saturating_mul(innovation) << 12, spread >> 4);
        let limit = i64::from(tuning.outlier);
        // Beyond the limit the innovation counts as if it lay on it: the spread grows by their ratio.
        if square.saturating_mul(10_000) > limit.saturating_mul(limit) << 16 {
            let sigmas = i64::from(narrow(square).unsigned_abs().isqrt());
            spread = ratio(spread.saturating_mul(sigmas), limit.saturating_mul(256) / 100).max(spread);
        }
        self.absorb(ties, spread, innovation);
        square
    }
    /// A direct look at one state: its row of the covariance, what was seen less the state (one = 2^20), the variance.
    fn absorb(&mut self, ties: [i64; 5], spread: i64, innovation: i64) {
        // Twenty-two bits of gain; a tie is at most the root of two variances, so the products below fit 63 bits.
        let gain = |tie: i64| ratio(tie << 22, spread);
        let [gc, gk, go, gb, gr] = ties.map(gain);
        let [tc, tk, to, tb, tr] = ties;
        let states = &mut self.states;
        let add = |state: &mut i64, gain: i64| *state = state.saturating_add(scaled(gain, innovation, 12));
        add(&mut states.charge, gc);
        add(&mut states.capacity, gk);
        add(&mut states.offset, go);
        add(&mut states.bias, gb);
        add(&mut states.resistance, gr);
        let p = &mut self.covariance;
        let take = |element: &mut i64, gain: i64, tie: i64| *element = element.saturating_sub(scaled(gain, tie, 22));
        take(&mut p.cc, gc, tc);
        take(&mut p.ck, gc, tk);
        take(&mut p.co, gc, to);
        take(&mut p.cb, gc, tb);
        take(&mut p.cr, gc, tr);
        take(&mut p.kk, gk, tk);
        take(&mut p.ko, gk, to);
        take(&mut p.kb, gk, tb);
        take(&mut p.kr, gk, tr);
        take(&mut p.oo, go, to);
        take(&mut p.ob, go, tb);
        take(&mut p.or, go, tr);
        take(&mut p.bb, gb, tb);
        take(&mut p.br, gb, tr);
        take(&mut p.rr, gr, tr);
        for variance in [&mut p.cc, &mut p.kk, &mut p.oo, &mut p.bb, &mut p.rr] {
            *variance = (*variance).max(16);
        }
        states.charge = states.charge.clamp(-ONE / 100, ONE.saturating_add(ONE / 100));
        states.capacity = states.capacity.clamp(-ONE / 5, ONE / 5);
        states.resistance = states.resistance.clamp(-ONE / 2, ONE);
    }
    /// The state of charge is known from elsewhere (an anchor), with a variance.
    pub(super) fn anchor(&mut self, charge: i64, noise: i64) {
        let p = &self.covariance;
        let ties = [p.cc, p.ck, p.co, p.cb, p.cr];
        self.absorb(ties, p.cc.saturating_add(noise).max(1), charge.saturating_sub(self.states.charge) >> 10);
    }
    /// The sensor's offset is seen (as a C-rate, one = 2^30), with a variance.
    pub(super) fn zero(&mut self, offset: i64, noise: i64) {
        let p = &self.covariance;
        let ties = [p.co, p.ko, p.oo, p.ob, p.or];
        self.absorb(ties, p.oo.saturating_add(noise).max(1), offset.saturating_sub(self.states.offset) >> 10);
    }
}
