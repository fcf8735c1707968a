//! Integers of the core as people read them.

use bms_core::config::Unit;

/// A stored value in the unit that people read, exactly and without needless zeros: 2700000 µV is "2.7".
#[must_use]
pub fn number(stored: i32, unit: Unit) -> String {
    let scale = unit.scale().unsigned_abs().max(1);
    let (whole, rest) = (stored.unsigned_abs() / scale, stored.unsigned_abs() % scale);
    let sign = if stored < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let digits = scale.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// The same with its unit: "2.7 V".
#[must_use]
pub fn quantity(stored: i32, unit: Unit) -> String {
    let symbol = unit.symbol();
    let space = if symbol.is_empty() { "" } else { " " };
    format!("{}{space}{symbol}", number(stored, unit))
}

/// A time in the unit that fits: "0.520 s", "12.0 min", "3.25 h".
#[must_use]
pub fn duration(milliseconds: u64) -> String {
    let seconds = seconds(milliseconds);
    match milliseconds {
        0..120_000 => format!("{seconds:.3} s"),
        120_000..7_200_000 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.2} h", seconds / 3_600.0),
    }
}

/// A time of day since the start: "01:02:03.400".
#[must_use]
pub fn clock(milliseconds: u64) -> String {
    let (hours, rest) = (milliseconds / 3_600_000, milliseconds % 3_600_000);
    format!("{hours:02}:{:02}:{:02}.{:03}", rest / 60_000, rest / 1_000 % 60, rest % 1_000)
}

/// Milliseconds as seconds.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "simulated times are far below 2^53 ms")]
pub fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact_and_carry_their_unit() {
        assert_eq!(quantity(2_700_000, Unit::Microvolts), "2.7 V");
        assert_eq!(quantity(-200, Unit::DecidegreesCelsius), "-20 °C");
        assert_eq!(quantity(-5, Unit::DecidegreesCelsius), "-0.5 °C");
        assert_eq!(quantity(50, Unit::Permille), "5 %");
        assert_eq!(quantity(16, Unit::Count), "16");
        assert_eq!(number(1_000_001, Unit::Microohms), "1.000001");
        assert_eq!(quantity(i32::MIN, Unit::Milliseconds), "-2147483.648 s");
    }

    #[test]
    fn times() {
        assert_eq!(duration(520), "0.520 s");
        assert_eq!(duration(720_000), "12.0 min");
        assert_eq!(clock(3_723_400), "01:02:03.400");
    }
}
