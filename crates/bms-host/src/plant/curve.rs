//! A table over an even grid: one multiplication and one look-up a value.

/// A function of one variable, given by points and stretched linearly beyond them.
#[derive(Clone, Debug)]
pub struct Curve {
    start: f64,
    points_per_unit: f64,
    /// Value at the left end of each interval and the rise over it.
    intervals: Vec<(f64, f64)>,
    /// Index of the last interval.
    last: i32,
}

impl Curve {
    /// Resamples a table of `(x, y)` with rising `x` to `intervals` even steps. A table of fewer than two points is
    /// the constant zero.
    #[must_use]
    pub fn new(points: &[(f64, f64)], intervals: usize) -> Self {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self { start: 0.0, points_per_unit: 0.0, intervals: vec![(0.0, 0.0)], last: 0 };
        };
        let width = (last.0 - first.0) / intervals.max(1) as f64;
        let value = |index: usize| interpolate(points, first.0 + width * index as f64);
        let last_interval = i32::try_from(intervals.max(1) - 1).unwrap_or(i32::MAX);
        Self {
            last: last_interval,
            start: first.0,
            points_per_unit: if width > 0.0 { 1.0 / width } else { 0.0 },
            intervals: (0..intervals.max(1)).map(|index| (value(index), value(index + 1) - value(index))).collect(),
        }
    }
    /// The value at `x`.
    #[must_use]
    #[inline]
    pub fn at(&self, x: f64) -> f64 {
        let position = (x - self.start) * self.points_per_unit;
        // Beyond the table the first or the last interval is stretched. A signed 32-bit cast is the cheapest.
        let index = (position as i32).clamp(0, self.last);
        match self.intervals.get(index as usize) {
            Some(&(value, rise)) => value + (position - f64::from(index)) * rise,
            None => 0.0,
        }
    }
}

/// Linear interpolation in a table with rising `x`; the ends are stretched.
fn interpolate(points: &[(f64, f64)], x: f64) -> f64 {
    let mut answer = points.first().map_or(0.0, |point| point.1);
    for pair in points.windows(2) {
        if let [(x0, y0), (x1, y1)] = *pair
            && x1 > x0
        {
            answer = y0 + (y1 - y0) * (x - x0) / (x1 - x0);
            if x <= x1 {
                break;
            }
        }
    }
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn follows_its_points_and_stretches_beyond_them() {
        let curve = Curve::new(&[(0.0, 3.0), (0.5, 3.2), (1.0, 4.2)], 100);
        for (x, y) in [(0.0, 3.0), (0.25, 3.1), (0.5, 3.2), (1.0, 4.2), (1.1, 4.4), (-0.5, 2.8)] {
            assert!((curve.at(x) - y).abs() < 1e-9, "{x}: {}", curve.at(x));
        }
    }
}
