//! Rest voltage against state of charge: only for the first guess of a pack that nothing is known of.

use num_traits::{CheckedDiv, PrimInt, Saturating};

use crate::config::Chemistry;
use crate::units::Voltage;

/// Linear interpolation in a table of (x, y) with rising x; the ends hold beyond it. An empty table gives `None`.
/// Rounds towards zero; a product beyond the type's range saturates.
pub fn interpolate<T: PrimInt + Saturating + CheckedDiv>(table: &[(T, T)], x: T) -> Option<T> {
    let (first, last) = (table.first()?, table.last()?);
    if x <= first.0 {
        return Some(first.1);
    }
    for pair in table.windows(2) {
        let [(x0, y0), (x1, y1)] = pair else { continue };
        if x <= *x1 {
            let width = x1.saturating_sub(*x0);
            let rise = y1.saturating_sub(*y0);
            let along = x.saturating_sub(*x0);
            let part = along.checked_mul(&rise)?.checked_div(&width)?;
            return Some(y0.saturating_add(part));
        }
    }
    Some(last.1)
}

/// (mV, ‰) of typical rested cells, rounded to 5 mV: coarse on purpose, see the module's first line.
const LI_ION: [(i32, i32); 9] = [
    (3_000, 0),
    (3_450, 100),
    (3_550, 200),
    (3_620, 350),
    (3_680, 500),
    (3_800, 650),
    (3_930, 800),
    (4_060, 920),
    (4_180, 1_000),
];
const LIFEPO4: [(i32, i32); 9] = [
    (2_800, 0),
    (3_120, 80),
    (3_210, 150),
    (3_260, 300),
    (3_290, 450),
    (3_300, 600),
    (3_330, 720),
    (3_340, 950),
    (3_400, 1_000),
];
const LTO: [(i32, i32); 7] =
    [(1_900, 0), (2_120, 100), (2_200, 250), (2_280, 500), (2_360, 700), (2_470, 900), (2_640, 1_000)];

/// A first guess of the state of charge in thousandths, for a rested cell.
pub(super) fn first_guess(chemistry: Chemistry, rested: Voltage) -> i32 {
    let table: &[(i32, i32)] = match chemistry {
        Chemistry::LiIon => &LI_ION,
        Chemistry::LiFePo4 => &LIFEPO4,
        Chemistry::Lto => &LTO,
    };
    interpolate(table, rested.as_millivolts()).unwrap_or(0)
}

/// How many thousandths of the charge a volt is worth around a rest voltage: the mean slope over 100 mV.
pub(crate) fn slope_permille_per_volt(chemistry: Chemistry, rested: Voltage) -> i32 {
    const AROUND: Voltage = crate::units::mv(50);
    let (low, high) = (first_guess(chemistry, rested.minus(AROUND)), first_guess(chemistry, rested.plus(AROUND)));
    high.saturating_sub(low).saturating_mul(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_hold_and_the_middle_is_linear() {
        let table = [(0_i32, 0_i32), (10, 100), (20, 100), (30, 0)];
        assert_eq!(interpolate(&table, -5), Some(0));
        assert_eq!(interpolate(&table, 5), Some(50));
        assert_eq!(interpolate(&table, 25), Some(50));
        assert_eq!(interpolate(&table, 99), Some(0));
        assert_eq!(interpolate::<i32>(&[], 1), None);
    }

    #[test]
    fn a_guess_is_within_its_range_and_monotone() {
        for chemistry in Chemistry::ALL {
            let mut before = 0;
            for millivolts in 0..5_000 {
                let guess = first_guess(chemistry, crate::units::mv(millivolts));
                assert!((before..=1_000).contains(&guess));
                before = guess;
            }
        }
    }
}
