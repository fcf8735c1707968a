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

/// The bound for converters between neighbours, one link at a time, each passing on what those beyond it need: the least
/// Σ|F| over all ways to bring the cells within `spread`, where F is what a link carries. Nothing is lost in it, so it is a
/// lower bound for real converters too. Exact to a two-thousandth of a cell's capacity a link.
#[must_use]
pub fn links(cells: &[Standing], spread: f64, amps: f64) -> Bound {
    const GRAIN: f64 = 2_000.0;
    let total: f64 = cells.iter().map(|(_, q)| q).sum();
    let mean = cells.iter().map(|(x, q)| x * q).sum::<f64>() / total.max(1e-9);
    let grain = total / cells.len().max(1) as f64 / GRAIN;
    let half = spread / 2.0;
    let least = |level: f64| {
        // The least cost of every flow through the link behind the cells so far; the flows are whole grains.
        let mut before = vec![(0_i64, 0.0)];
        for (cell, (x, q)) in cells.iter().enumerate() {
            let more = |edge: f64| (q * (x - level + edge) / grain).round() as i64;
            let (low, high) = (more(-half), more(half));
            let (first, last) = (before.first().map_or(0, |b| b.0) + low, before.last().map_or(0, |b| b.0) + high);
            let start = before.first().map_or(0, |b| b.0);
            let end_of_pack = cell + 1 == cells.len();
            before = (first..=last)
                .map(|flow| {
                    let from = usize::try_from((flow - high - start).max(0)).unwrap_or(0);
                    let to = usize::try_from((flow - low - start).max(0)).unwrap_or(0).min(before.len() - 1);
                    let reached = before.get(from..=to).into_iter().flatten().map(|b| b.1).fold(f64::MAX, f64::min);
                    let carried = if end_of_pack { 0.0 } else { flow.abs() as f64 * grain };
                    (flow, reached + carried)
                })
                .collect();
        }
        before.iter().find(|(flow, _)| *flow == 0).map_or(f64::MAX, |(_, cost)| *cost)
    };
    let levels = (-5..=5).map(|part| mean + half * f64::from(part) / 5.0);
    let (level, charge_ah) = levels
        .map(|level| (level, least(level)))
        .fold((mean, f64::MAX), |best, next| if next.1 < best.1 { next } else { best });
    Bound { level, charge_ah, hours: charge_ah / amps, loss_wh: 0.0 }
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
    fn links_carry_what_lies_beyond_them() {
        // 6 Ah from one end to the other: each of the two links carries them; within 2 %, 4 Ah.
        let cells = [(0.56, 100.0), (0.53, 100.0), (0.50, 100.0)];
        let exact = links(&cells, 0.0, 2.0);
        assert!((exact.charge_ah - 6.0).abs() < 0.2 && (exact.hours - 3.0).abs() < 0.1, "{exact:?}");
        let within = links(&cells, 0.02, 2.0);
        assert!((within.charge_ah - 4.0).abs() < 0.2, "{within:?}");
        assert!(links(&[(0.501, 100.0), (0.5, 90.0)], 0.01, 2.0).charge_ah < 1e-9);
    }

    #[test]
    fn a_balanced_pack_needs_nothing() {
        let found = bound(&[(0.501, 100.0), (0.5, 90.0), (0.4995, 110.0)], 0.01, 2.0, 0.9, 3.3);
        assert!(found.charge_ah.abs() < 1e-9 && found.hours.abs() < 1e-9);
    }
}
