//! Sense wires: n + 1 of them, shared with the balancer, so that its current shows in the readings.

use super::MAXIMUM_CELLS;

/// How many wires a pack can have.
pub const MAXIMUM_WIRES: usize = MAXIMUM_CELLS + 1;

/// The state of one sense wire.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Connected with this resistance in Ω.
    Ohms(f64),
    /// Broken; the front end's bias pulls its input down: the cell below reads zero, the one above double.
    Open,
    /// Broken, and the input floats half-way, so that both cells read their mean until the balancer loads them.
    OpenFloating,
}

/// All sense wires; wire 0 is at B−, wire `k` on top of cell `k` (counted from 1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Wires {
    wires: [Wire; MAXIMUM_WIRES],
    any_open: bool,
}

impl Wires {
    pub(super) fn new(ohms: f64) -> Self {
        Self { wires: [Wire::Ohms(ohms); MAXIMUM_WIRES], any_open: false }
    }
    pub(super) fn set(&mut self, index: usize, wire: Wire) {
        if let Some(slot) = self.wires.get_mut(index) {
            *slot = wire;
        }
        self.any_open = self.wires.iter().any(|wire| !matches!(wire, Wire::Ohms(_)));
    }
    pub(super) fn get(&self, index: usize) -> Wire {
        self.wires.get(index).copied().unwrap_or(Wire::Open)
    }
    pub(super) const fn any_open(&self) -> bool {
        self.any_open
    }
    /// Whether both wires of a cell (0 is cell 1) are whole.
    pub(super) fn connects(&self, cell: usize) -> bool {
        matches!((self.get(cell), self.get(cell + 1)), (Wire::Ohms(_), Wire::Ohms(_)))
    }
    /// What each cell reads too much when these currents flow into the cells through the wires.
    pub(super) fn drops(&self, into_cells: &[f64; MAXIMUM_CELLS]) -> [f64; MAXIMUM_CELLS] {
        // The current in wire k is what enters cell k at its top minus what enters cell k + 1, whose bottom it is.
        let mut drops = [0.0; MAXIMUM_CELLS];
        // Rise of the lower wire's input above its node.
        let mut below = into_cells.first().map_or(0.0, |amps| -amps * self.ohms(0));
        for (index, amps) in into_cells.iter().enumerate() {
            let next = into_cells.get(index + 1).copied().unwrap_or(0.0);
            let above = (amps - next) * self.ohms(index + 1);
            if let Some(drop) = drops.get_mut(index) {
                *drop = above - below;
            }
            below = above;
        }
        drops
    }
    fn ohms(&self, index: usize) -> f64 {
        match self.get(index) {
            Wire::Ohms(ohms) => ohms,
            Wire::Open | Wire::OpenFloating => 0.0,
        }
    }
    /// What a front end sees of these cell voltages where wires are open; `loaded` are cells that the balancer pulls at.
    pub(super) fn apply_open(&self, voltages: &mut [f64], loaded: impl Fn(usize) -> bool) {
        // Potentials of the inputs above B−, from the bottom up.
        let count = voltages.len();
        let mut nodes = [0.0; MAXIMUM_WIRES];
        let mut potential = 0.0;
        for (node, voltage) in nodes.iter_mut().skip(1).zip(voltages.iter()) {
            potential += *voltage;
            *node = potential;
        }
        let whole = |index: usize| matches!(self.get(index), Wire::Ohms(_));
        let mut inputs = nodes;
        for index in 0..=count {
            if whole(index) {
                continue;
            }
            let lower = (0..index).rev().find(|below| whole(*below));
            let upper = (index + 1..=count).find(|above| whole(*above));
            let at = |node: Option<usize>| node.and_then(|node| nodes.get(node)).copied();
            let pulled = loaded(index) || index.checked_sub(1).is_some_and(&loaded);
            let floats = self.get(index) == Wire::OpenFloating && !pulled;
            let potential = match (at(lower), at(upper)) {
                (Some(low), Some(high)) if floats => {
                    let (first, last) = (lower.unwrap_or(0), upper.unwrap_or(count));
                    low + (high - low) * (index - first) as f64 / (last - first).max(1) as f64
                }
                (Some(low), _) => low,
                (None, Some(high)) => high,
                (None, None) => 0.0,
            };
            if let Some(input) = inputs.get_mut(index) {
                *input = potential;
            }
        }
        for (voltage, pair) in voltages.iter_mut().zip(inputs.windows(2)) {
            if let [low, high] = pair {
                *voltage = high - low;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_balancers_current_shows_in_three_cells() {
        let mut wires = Wires::new(0.01);
        wires.set(3, Wire::Ohms(0.1));
        let mut flows = [0.0; MAXIMUM_CELLS];
        flows[2] = -2.0;
        let drops = wires.drops(&flows);
        // Taking 2 A from cell 3: it reads less by both wires, its neighbours more by the shared one.
        assert!((drops[2] + 2.0 * 0.11).abs() < 1e-12);
        assert!((drops[1] - 2.0 * 0.01).abs() < 1e-12);
        assert!((drops[3] - 2.0 * 0.1).abs() < 1e-12);
        assert_eq!(drops[0], 0.0);
    }

    #[test]
    fn the_bottom_wire_drops_too() {
        let wires = Wires::new(0.02);
        let mut flows = [0.0; MAXIMUM_CELLS];
        flows[0] = 1.0;
        let drops = wires.drops(&flows);
        assert!((drops[0] - 0.04).abs() < 1e-12);
        assert!((drops[1] + 0.02).abs() < 1e-12);
    }

    #[test]
    fn an_open_wire_reads_zero_below_and_double_above() {
        let mut wires = Wires::new(0.01);
        wires.set(2, Wire::Open);
        let mut voltages = [3.3, 3.2, 3.1, 3.0];
        wires.apply_open(&mut voltages, |_| false);
        assert!(voltages[1].abs() < 1e-9 && (voltages[2] - 6.3).abs() < 1e-9);
        assert_eq!(voltages[0], 3.3);
    }

    #[test]
    fn open_end_wires_lose_one_cell_of_the_sum() {
        for (wire, cell) in [(0, 0), (4, 3)] {
            let mut wires = Wires::new(0.01);
            wires.set(wire, Wire::Open);
            let mut voltages = [3.3; 4];
            wires.apply_open(&mut voltages, |_| false);
            assert!(voltages[cell].abs() < 1e-9);
            assert!((voltages.iter().sum::<f64>() - 9.9).abs() < 1e-9);
        }
    }

    #[test]
    fn a_floating_wire_hides_until_it_is_loaded() {
        let mut wires = Wires::new(0.01);
        wires.set(2, Wire::OpenFloating);
        let mut voltages = [3.3, 3.4, 3.2, 3.3];
        wires.apply_open(&mut voltages, |_| false);
        assert!((voltages[1] - 3.3).abs() < 1e-9 && (voltages[2] - 3.3).abs() < 1e-9);
        let mut loaded = [3.3, 3.4, 3.2, 3.3];
        wires.apply_open(&mut loaded, |cell| cell == 1);
        assert!(loaded[1].abs() < 1e-9 && (loaded[2] - 6.6).abs() < 1e-9);
    }
}
