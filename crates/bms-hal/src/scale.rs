//! From the codes of an ADC to quantities.

/// A straight line from codes to a quantity, with the codes that may be believed.
///
/// The quantity is an integer in the unit of the caller's choice: µV for a voltage, mA for a current. One product and a
/// shift, no division: cheap on a core without a divider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Quantity per code × 2^16.
    gain: i64,
    zero: u16,
    lowest: u16,
    highest: u16,
}

impl Scale {
    /// `quantity` at the code `full_scale`, zero at code 0. The last code is not believed: a converter at its end does not
    /// tell how far beyond the signal lies.
    ///
    /// A gain beyond 32 bits saturates; a `full_scale` of 0 makes every reading worthless.
    #[must_use]
    pub const fn new(quantity: i32, full_scale: u16) -> Self {
        let gain = match (quantity as i64).saturating_mul(1 << 16).checked_div(full_scale as i64) {
            Some(gain) => gain,
            None => 0,
        };
        Self { gain, zero: 0, lowest: 0, highest: full_scale.saturating_sub(1) }
    }
    /// A divider of two resistors in front of an ADC: `upper` towards the voltage, `lower` towards ground, in ohms, and the
    /// ADC's reference in µV. In µV at the upper end.
    #[must_use]
    pub const fn divider(upper_ohms: u32, lower_ohms: u32, reference_uv: u32, full_scale: u16) -> Self {
        let sum = (upper_ohms as i64).saturating_add(lower_ohms as i64);
        let top = match (reference_uv as i64).saturating_mul(sum).checked_div(lower_ohms as i64) {
            Some(top) if top <= i32::MAX as i64 => top as i32,
            _ => i32::MAX,
        };
        Self::new(top, full_scale)
    }
    /// Zero at another code, for bipolar signals. Codes within 1 % of either end of the scale are not believed then: an
    /// amplifier saturates there.
    #[must_use]
    pub const fn with_zero(self, zero: u16) -> Self {
        let margin = self.highest / 100;
        Self { zero, lowest: margin, highest: self.highest.saturating_sub(margin), ..self }
    }
    /// Only codes from `lowest` to `highest` are believed.
    #[must_use]
    pub const fn within(self, lowest: u16, highest: u16) -> Self {
        Self { lowest, highest, ..self }
    }
    /// The other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { gain: self.gain.wrapping_neg(), ..self }
    }
    /// The quantity, or `None` for a code that may not be believed. Rounded to nearest.
    #[must_use]
    pub fn value(&self, code: u16) -> Option<i32> {
        if code < self.lowest || code > self.highest {
            return None;
        }
        let offset = i64::from(code).wrapping_sub(i64::from(self.zero));
        // 17 bits × at most 47 bits stays within 64.
        let product = offset.wrapping_mul(self.gain).wrapping_add(1 << 15);
        Some(i32::try_from(product >> 16).unwrap_or(if product < 0 { i32::MIN } else { i32::MAX }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divider_gives_the_voltage_in_front_of_it() {
        let scale = Scale::divider(90_000, 10_000, 3_300_000, 4_095);
        assert_eq!(scale.value(0), Some(0));
        assert_eq!(scale.value(2_048), Some(16_504_029));
        assert_eq!(scale.value(4_095), None, "the last code is the end of the range");
    }

    #[test]
    fn a_bipolar_scale_has_both_signs_and_no_value_near_its_ends() {
        let scale = Scale::new(132_000, 4_095).with_zero(2_048);
        assert_eq!(scale.value(2_048), Some(0));
        let near = |code, wanted: i32| scale.value(code).is_some_and(|value| value.abs_diff(wanted) < 40);
        assert!(near(3_048, 32_234) && near(1_048, -32_234));
        assert_eq!(scale.negated().value(3_048), scale.value(3_048).map(|value| -value));
        assert_eq!((scale.value(39), scale.value(4_060)), (None, None));
    }

    #[test]
    fn nothing_overflows() {
        let scale = Scale::new(i32::MAX, 1).within(0, u16::MAX);
        assert_eq!(scale.value(u16::MAX), Some(i32::MAX));
        assert_eq!(scale.negated().value(u16::MAX), Some(i32::MIN));
        assert_eq!(Scale::new(5, 0).value(1), None);
    }
}
