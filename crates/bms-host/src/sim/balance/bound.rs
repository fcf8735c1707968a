//! The least that balancing takes: charge, time and loss, whatever the strategy.
//!
//! One channel takes charge at the balance current, stores the energy, and gives it at the same current; of the energy the
//! part `efficiency` arrives. To bring all cells within ±d of a common level c, every cell above c + d must give what it has
//! beyond and every cell below c − d must receive what it lacks, so
//!
//! ```text
//! efficiency · Σ Q (x − c − d)⁺ = Σ Q (c − d − x)⁺      gives c
//! A* = Σ Q (x − c − d)⁺      T* = A* · (1 + efficiency) / current      E* = (1 − efficiency) · A* · mean voltage
//! ```

/// Where a cell stands (a state of charge) and its capacity in Ah.
pub type Standing = (f64, f64);

/// The bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    /// The common level.
    pub level: f64,
    /// A*, Ah.
    pub charge_ah: f64,
    /// T*, h.
    pub hours: f64,
    /// E*, Wh.
    pub loss_wh: f64,
}

/// The bound for bringing all cells within `spread` (highest minus lowest) with one channel of `amps`.
#[must_use]
pub fn bound(cells: &[Standing], spread: f64, amps: f64, efficiency: f64, volts: f64) -> Bound {
    let half = spread / 2.0;
    let above = |level: f64| cells.iter().map(|(x, q)| q * (x - level - half).max(0.0)).sum::<f64>();
    let below = |level: f64| cells.iter().map(|(x, q)| q * (level - half - x).max(0.0)).sum::<f64>();
    let (mut low, mut high) = cells.iter().fold((f64::MAX, f64::MIN), |(l, h), (x, _)| (l.min(*x), h.max(*x)));
    for _ in 0..100 {
        let level = (low + high) / 2.0;
        if efficiency * above(level) > below(level) {
            low = level;
        } else {
            high = level;
        }
    }
    let level = (low + high) / 2.0;
    let charge_ah = above(level);
    Bound {
        level,
        charge_ah,
        hours: charge_ah * (1.0 + efficiency) / amps,
        loss_wh: (1.0 - efficiency) * charge_ah * volts,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn two_cells() {
        // 10 Ah apart, lossless, to exact equality: 5 Ah move, in 5 h at 2 A (half the time taking, half giving).
        let found = bound(&[(0.6, 100.0), (0.5, 100.0)], 0.0, 2.0, 1.0, 3.3);
        assert!((found.charge_ah - 5.0).abs() < 1e-6 && (found.hours - 5.0).abs() < 1e-6, "{found:?}");
        assert!((found.level - 0.55).abs() < 1e-9 && found.loss_wh.abs() < 1e-9);
    }

    #[test]
    fn losses_and_tolerance() {
        // Within 2 %: 4 Ah and 4 Ah remain to move if nothing is lost; with half lost the level sinks until A·½ = B.
        let found = bound(&[(0.6, 100.0), (0.5, 100.0)], 0.02, 2.0, 0.5, 3.3);
        let given = 100.0 * (0.6 - found.level - 0.01);
        let received = 100.0 * (found.level - 0.01 - 0.5);
        assert!((given * 0.5 - received).abs() < 1e-6);
        assert!((found.hours - given * 1.5 / 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_balanced_pack_needs_nothing() {
        let found = bound(&[(0.501, 100.0), (0.5, 90.0), (0.4995, 110.0)], 0.01, 2.0, 0.9, 3.3);
        assert!(found.charge_ah.abs() < 1e-9 && found.hours.abs() < 1e-9);
    }
}
