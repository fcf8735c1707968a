//! What is drawn: readings over time, thinned so that any length of run fits.

/// Readings of one moment, or the extremes of a short while.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Cell voltages in V as measured; not a number where there is none.
    pub cells: Vec<f32>,
    /// Lowest and highest pack current since the previous point, A.
    pub current: (f32, f32),
    /// State of charge in %, not a number while unknown.
    pub soc: f32,
}

/// At most so many points are kept.
const MOST: usize = 6_000;

/// Points in the order of time. When there are too many, every second goes and the interval doubles.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<Point>,
    interval_ms: u64,
}

impl Series {
    /// Adds what was read at a time. `make` is called only if a new point is due.
    pub fn add(&mut self, at_ms: u64, current: Option<f32>, make: impl FnOnce() -> (Vec<f32>, f32)) {
        if let Some(last) = self.points.last_mut()
            && at_ms < last.at_ms + self.interval_ms
        {
            if let Some(current) = current {
                last.current = wider(last.current, (current, current));
            }
            return;
        }
        let (cells, soc) = make();
        let current = current.map_or((f32::NAN, f32::NAN), |current| (current, current));
        self.points.push(Point { at_ms, cells, current, soc });
        if self.points.len() >= MOST {
            self.thin();
        }
    }
    /// The points.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    fn thin(&mut self) {
        let mut thinned: Vec<Point> = Vec::with_capacity(MOST);
        for (number, point) in self.points.drain(..).enumerate() {
            match thinned.last_mut() {
                Some(last) if number % 2 == 1 => last.current = wider(last.current, point.current),
                _ => thinned.push(point),
            }
        }
        self.points = thinned;
        self.interval_ms = (self.interval_ms * 2).max(self.natural_interval());
    }
    fn natural_interval(&self) -> u64 {
        match self.points.as_slice() {
            [first, .., last] => (last.at_ms - first.at_ms) / self.points.len() as u64,
            _ => 0,
        }
    }
}

/// The range that covers both; `min` and `max` ignore what is not a number.
fn wider(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    (a.0.min(b.0), a.1.max(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_thinned_and_keeps_the_extremes() {
        let mut series = Series::default();
        for step in 0..100_000_u64 {
            let current = if step == 77_777 { -400.0 } else { 1.0 };
            series.add(step * 100, Some(current), || (vec![3.3], 50.0));
        }
        assert!(series.points().len() < MOST && series.points().len() > 1_000);
        let lowest = series.points().iter().map(|point| point.current.0).fold(0.0, f32::min);
        assert_eq!(lowest, -400.0);
        assert!(series.points().is_sorted_by(|a, b| a.at_ms < b.at_ms));
    }
}
