//! The same recursion in floating point: what the integers cost.

use super::super::math::ONE;
use super::super::{FLAT, SLOPED};
use super::*;

const Q30: f64 = (1_u64 << 30) as f64;
const Q40: f64 = (1_u64 << 40) as f64;

/// States and covariance in the order charge, capacity, offset, bias, resistance.
struct Twin {
    x: [f64; 5],
    p: [[f64; 5]; 5],
}

impl Twin {
    fn predict(&mut self, moved: f64, hours: f64, keep: f64, bias: f64, tuning: &Tuning) {
        self.x[0] += moved * (1.0 + self.x[1]);
        self.x[3] *= keep;
        let mut f = [[0.0; 5]; 5];
        for (index, row) in f.iter_mut().enumerate() {
            row[index] = if index == 3 { keep } else { 1.0 };
        }
        (f[0][1], f[0][2]) = (moved, -hours);
        let times = |a: &[[f64; 5]; 5], b: &[[f64; 5]; 5], turned: bool| {
            let mut out = [[0.0; 5]; 5];
            for i in 0..5 {
                for j in 0..5 {
                    out[i][j] = (0..5).map(|k| a[i][k] * if turned { b[j][k] } else { b[k][j] }).sum();
                }
            }
            out
        };
        self.p = times(&times(&f, &self.p, false), &f, true);
        self.p[3][3] += bias * (1.0 - keep * keep);
        self.p[0][0] += (f64::from(tuning.drift) * 1e-6).powi(2) * hours;
        self.p[4][4] += (f64::from(tuning.resistance_error) * 0.3e-3).powi(2) * hours;
    }
    fn correct(&mut self, innovation: f64, slope: f64, polarisation: f64, noise: f64, tuning: &Tuning) {
        let h = [slope, 0.0, 0.0, 1.0, polarisation];
        let ties: [f64; 5] = core::array::from_fn(|i| (0..5).map(|k| self.p[i][k] * h[k]).sum());
        let mut spread = (0..5).map(|k| ties[k] * h[k]).sum::<f64>() + noise;
        let innovation = innovation - self.x[3];
        let (sigmas, limit) = ((innovation * innovation / spread).sqrt(), f64::from(tuning.outlier) / 100.0);
        if sigmas > limit {
            spread *= sigmas / limit;
        }
        for (state, tie) in self.x.iter_mut().zip(ties) {
            *state += tie / spread * innovation;
        }
        for (row, tie) in self.p.iter_mut().zip(ties) {
            for (entry, other) in row.iter_mut().zip(ties) {
                *entry -= tie * other / spread;
            }
        }
        self.x[0] = self.x[0].clamp(-0.01, 1.01);
    }
}

/// 1 to 4 days of windows of 5 s on a curve that slopes and on one that is flat, with errors of both sensors: the integers never
/// leave the floating-point twin by more than 0.2 % of the charge, and believe the same of themselves.
#[test]
fn integers_follow_the_float_twin() {
    for (tuning, steep, bend) in [(&SLOPED, 0.9, 0.05), (&FLAT, 0.05, 0.01)] {
        let open = |soc: f64| 3.3 + steep * (soc - 0.5) + bend * (soc * 20.0).sin();
        let (hours, keep, bias) = (5.0 / 3_600.0, (-5.0 / f64::from(tuning.error_seconds)).exp(), 0.004_f64.powi(2));
        let noise = (f64::from(tuning.noise) * 1e-6).powi(2);
        let start = [0.05_f64, 0.03, 0.003, 0.004, 0.2].map(|sigma| sigma * sigma);
        let mut twin = Twin { x: [0.75, 0.0, 0.0, 0.0, 0.0], p: [[0.0; 5]; 5] };
        for (index, variance) in start.iter().enumerate() {
            twin.p[index][index] = *variance;
        }
        let fixed = |value: f64, one: f64| (value * one).round() as i64;
        let mut tracker = Tracker::new();
        tracker.states.charge = fixed(0.75, Q30);
        let p = &mut tracker.covariance;
        for (slot, variance) in [&mut p.cc, &mut p.kk, &mut p.oo, &mut p.bb, &mut p.rr].into_iter().zip(start) {
            *slot = fixed(variance, Q40);
        }
        let (mut soc, mut direction, mut seed) = (0.8_f64, -1.0, 1_u64);
        let (mut apart, mut beliefs) = (0.0_f64, 0.0_f64);
        for window in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (seed >> 40) as f64 / (1_u64 << 24) as f64 - 0.5;
            if !(0.15..0.85).contains(&soc) {
                direction = -direction;
                soc = soc.clamp(0.15, 0.85);
            }
            let rate = direction * (0.4 + 0.4 * random) * f64::from(window % 7 != 0);
            let moved = rate * hours;
            // The cell is 3 % smaller, the sensor 0.1 % of the capacity per hour off, the voltage 2 mV, the resistance a fifth.
            soc += moved * 1.03;
            let seen_moved = moved + 0.001 * hours;
            let voltage = open(soc) + 0.05 * 1.2 * rate + 0.002 + 0.001 * random;
            let (polarisation, slope) = (0.05 * rate, |at: f64| (open(at + 0.01) - open(at - 0.01)) / 0.02);

            twin.predict(seen_moved, hours, keep, bias, tuning);
            let at = twin.x[0];
            let expected = open(at) + polarisation * (1.0 + twin.x[4]);
            twin.correct(voltage - expected, slope(at), polarisation, noise, tuning);

            tracker.predict(fixed(seen_moved, Q30), fixed(hours, Q30), fixed(keep, Q30), fixed(bias, Q40), tuning);
            let at = tracker.states.charge as f64 / Q30;
            let expected = open(at) + polarisation * (1.0 + tracker.states.resistance as f64 / Q30);
            let q20 = (1_u64 << 20) as f64;
            tracker.correct(
                &Seen {
                    innovation: fixed(voltage - expected, q20),
                    slope: fixed(slope(at), 4_096.0),
                    polarisation: fixed(polarisation, q20),
                    noise: fixed(noise, Q40),
                },
                tuning,
            );
            apart = apart.max((tracker.states.charge as f64 / Q30 - twin.x[0]).abs());
            let believed = (tracker.covariance.cc as f64 / Q40).sqrt() / twin.p[0][0].sqrt();
            beliefs = beliefs.max((believed - 1.0).abs());
            assert!(tracker.states.charge.abs() <= ONE + ONE / 50);
        }
        assert!(apart < 0.002, "{apart:.5} apart");
        assert!(beliefs < 0.05, "beliefs differ by {beliefs:.3}");
    }
}
