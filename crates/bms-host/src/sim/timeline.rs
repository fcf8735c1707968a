//! When a state was on and when it was off.

/// The history of one state. Times are milliseconds since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// When it was first told, and what it was.
    first: Option<(u64, bool)>,
    /// When it changed.
    toggles: Vec<u64>,
}

impl Timeline {
    /// Of something that nobody ever told of.
    pub const NEVER: Self = Self { first: None, toggles: Vec::new() };

    /// Tells the state at a time, which must not be earlier than the last.
    pub fn tell(&mut self, at_ms: u64, state: bool) {
        match self.first {
            None => self.first = Some((at_ms, state)),
            Some(_) if self.last() != state => self.toggles.push(at_ms),
            Some(_) => {}
        }
    }
    /// The newest state.
    fn last(&self) -> bool {
        self.first.is_some_and(|(_, state)| state) != (self.toggles.len() % 2 == 1)
    }
    /// Whether it ever was on.
    #[must_use]
    pub fn was_ever(&self, state: bool) -> bool {
        self.first.is_some_and(|(_, first)| first == state) || !self.toggles.is_empty()
    }
    /// The spans in which it was in a state, `end_ms` closing the last: (from, to).
    #[must_use]
    pub fn spans(&self, state: bool, end_ms: u64) -> Vec<(u64, u64)> {
        let Some((start, first)) = self.first else { return Vec::new() };
        let mut edges = vec![start];
        edges.extend_from_slice(&self.toggles);
        edges.push(end_ms.max(edges.last().copied().unwrap_or(0)));
        let skipped = usize::from(first != state);
        edges
            .windows(2)
            .skip(skipped)
            .step_by(2)
            .filter_map(|pair| match pair {
                [from, to] => Some((*from, *to)),
                _ => None,
            })
            .collect()
    }
    /// When it entered a state, without a state that it had from the first.
    #[must_use]
    pub fn entries(&self, state: bool) -> Vec<u64> {
        let skipped = usize::from(self.first.is_some_and(|(_, first)| first == state));
        self.toggles.iter().copied().skip(skipped).step_by(2).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(states: &[(u64, bool)]) -> Timeline {
        let mut timeline = Timeline::default();
        for (at, state) in states {
            timeline.tell(*at, *state);
        }
        timeline
    }

    #[test]
    fn spans_and_entries() {
        let timeline = told(&[(0, false), (10, true), (20, true), (30, false), (40, true)]);
        assert_eq!(timeline.spans(true, 50), [(10, 30), (40, 50)]);
        assert_eq!(timeline.spans(false, 50), [(0, 10), (30, 40)]);
        assert_eq!(timeline.entries(true), [10, 40]);
        assert_eq!(timeline.entries(false), [30]);
    }

    #[test]
    fn a_state_from_the_first_is_no_entry() {
        let timeline = told(&[(5, true), (6, false), (7, true)]);
        assert_eq!(timeline.entries(true), [7]);
        assert_eq!(timeline.entries(false), [6]);
        assert_eq!(timeline.spans(true, 9), [(5, 6), (7, 9)]);
        assert!(!told(&[(5, true)]).was_ever(false));
        assert!(Timeline::default().spans(true, 9).is_empty());
    }
}
