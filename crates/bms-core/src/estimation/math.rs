//! Fixed-point arithmetic of the estimators. Every helper rounds to nearest and saturates where its bounds could be left.

/// One, in the format of states of charge and of the filter's states.
pub(super) const ONE: i64 = 1 << 30;

/// `a × b / 2^shift`, rounded to nearest. The callers keep the product within 63 bits; beyond it the result saturates.
#[inline(always)]
pub(super) fn scaled(a: i64, b: i64, shift: u32) -> i64 {
    let half = 1_i64.wrapping_shl(shift.wrapping_sub(1));
    // Half more than a saturated product wraps: shifted down it would change its sign.
    product(a, b).saturating_add(half) >> shift
}

/// A product, saturating. Not inlined, as the division below: on a small processor the call is nothing against the work, and
/// there are a hundred and fifty of them.
#[inline(never)]
fn product(a: i64, b: i64) -> i64 {
    match (i32::try_from(a), i32::try_from(b)) {
        (Ok(a), Ok(b)) => i64::from(a).wrapping_mul(i64::from(b)),
        _ => a.saturating_mul(b),
    }
}

/// `a / b`, rounded towards zero; nothing for a division by zero.
#[inline(never)]
pub(super) fn ratio(a: i64, b: i64) -> i64 {
    a.checked_div(b).unwrap_or(0)
}

/// A value brought between a bound and its opposite. (`clamp` could panic, if the bound were negative.)
#[inline]
pub(super) fn bounded(value: i64, bound: i64) -> i64 {
    value.max(bound.saturating_neg()).min(bound)
}

/// A 64-bit value brought back into 32 bits.
#[inline]
pub(super) fn narrow(value: i64) -> i32 {
    crate::units::saturate(value)
}

/// A state of charge in millionths, with one = 2^30.
pub(super) fn from_millionths(millionths: u32) -> i32 {
    narrow(ratio(i64::from(millionths.min(1_000_000)) << 30, 1_000_000))
}

/// exp(−x) for x ≥ 0 with one = 2^30, as (2 − x)/(2 + x): exact enough for the small x between two updates, and 0 from 2 on.
pub(super) fn decay(x: i64) -> i64 {
    let two = ONE.wrapping_mul(2);
    let x = x.clamp(0, two);
    ratio(two.wrapping_sub(x).wrapping_mul(ONE), two.wrapping_add(x))
}

/// 2^x for x in 2048ths (up to 30 × 2048), by a cubic for the fraction: within 0.02 %.
pub(super) fn exp2(x: i32) -> i32 {
    let x = x.clamp(0, 30 * 2_048 - 1);
    let whole = (x >> 11) as u32;
    let f = i64::from(x & 2_047) << 5;
    // 2^f ≈ 1 + f (0.695 73 + f (0.225 27 + f 0.079 00)), f and the result with one = 2^16.
    let cubic = 14_763_i64.saturating_add(scaled(5_178, f, 16));
    let square = 45_595_i64.saturating_add(scaled(cubic, f, 16));
    let mantissa = 65_536_i64.saturating_add(scaled(square, f, 16));
    narrow(if whole >= 16 { mantissa << (whole.wrapping_sub(16)) } else { mantissa >> 16_u32.wrapping_sub(whole) })
}

/// exp(x) for x ≤ 0, with one = 2^16 on both sides.
pub(super) fn exp_negative(x: i32) -> u32 {
    // log2 e = 1.442 695, to 2048ths.
    let halvings = scaled(i64::from(x.min(0)), 94_548, 21);
    let up = narrow(halvings.saturating_add(16 * 2_048)).max(0);
    if up == 0 { 0 } else { exp2(up) as u32 }
}

/// The natural logarithm of a positive number with one = 2^16, in the same format: within 0.06, by its leading bit and a
/// straight line for the rest.
pub(super) fn logarithm(x: i64) -> i32 {
    let x = x.max(1) as u64;
    let top = 63_u32.wrapping_sub(x.leading_zeros());
    // The number as 1 … 2 with one = 2^16.
    let mantissa = (if top >= 16 { x >> top.wrapping_sub(16) } else { x << 16_u32.wrapping_sub(top) }) as i64;
    let log2 = i64::from(top).wrapping_sub(16).wrapping_mul(65_536).wrapping_add(mantissa.wrapping_sub(65_536));
    narrow(scaled(log2, 45_426, 16))
}

/// A table of equally spaced values over the state of charge (0 … 2^30), interpolated; the ends hold. The result has 8
/// more bits than the table. An empty table is zero.
pub(super) fn lookup<T: Copy + Into<i32>>(table: &[T], soc: i32) -> i32 {
    let Some(intervals) = table.len().checked_sub(1) else { return 0 };
    let position = i64::from(soc.clamp(0, 1 << 30)).wrapping_mul(intervals as i64);
    let index = (position >> 30) as usize;
    let part = ((position >> 14) & 0xFFFF) as i32;
    let Some(low) = table.get(index).copied() else { return 0 };
    let low: i32 = low.into();
    let high: i32 = table.get(index.wrapping_add(1)).copied().map_or(low, Into::into);
    let rise = i64::from(high.wrapping_sub(low)).wrapping_mul(i64::from(part)) >> 8;
    (low << 8).wrapping_add(rise as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_and_exponentials_are_close() {
        for x in 0..20 * 2_048 {
            let exact = (f64::from(x) / 2_048.0).exp2();
            let error = f64::from(exp2(x)) / exact - 1.0;
            assert!(error.abs() < 3e-4 + 1.0 / exact, "2^({x}/2048)");
        }
        for x in (-800_000..=0).step_by(777) {
            let exact = (f64::from(x) / 65_536.0).exp() * 65_536.0;
            assert!((f64::from(exp_negative(x)) - exact).abs() < 25.0, "exp({x}/65536)");
        }
        for x in (0..ONE / 2).step_by(1 << 20) {
            let x_real = x as f64 / ONE as f64;
            let error = decay(x) as f64 / ONE as f64 - (-x_real).exp();
            assert!(error.abs() < x_real.powi(3) / 11.0 + 1e-8, "exp(-{x_real})");
        }
    }

    #[test]
    fn logarithms_are_close() {
        for x in (1..1_i64 << 40).step_by((1 << 30) + 12_345).chain(1..70_000) {
            let exact = (x as f64 / 65_536.0).ln();
            assert!((f64::from(logarithm(x)) / 65_536.0 - exact).abs() < 0.06, "ln {x}");
        }
    }

    #[test]
    fn a_table_is_interpolated_and_its_ends_hold() {
        let table = [100_u16, 200, 400];
        for (soc, expected) in
            [(-5, 100 << 8), (0, 100 << 8), (1 << 28, 150 << 8), (3 << 28, 300 << 8), (i32::MAX, 400 << 8)]
        {
            assert_eq!(lookup(&table, soc), expected);
        }
        assert_eq!(lookup::<u16>(&[], 5), 0);
    }
}
