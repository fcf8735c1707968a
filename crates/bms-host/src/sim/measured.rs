//! Measured data of one cell: `time_s,current_a,voltage_v,temp_c`, and `soc_ref` where the laboratory gives it.

use std::path::Path;

use super::failure::{FileError, read};

/// One row. The current is the mean since the previous row, positive charging.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Seconds since the start of the file.
    pub time_s: f64,
    /// A.
    pub current: f64,
    /// V.
    pub voltage: f64,
    /// °C.
    pub temperature: f64,
    /// State of charge by the laboratory, 0 to 1.
    pub soc: Option<f64>,
    /// Charge since the start, Ah.
    pub charge_ah: f64,
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read or a line is not what it should be.
pub fn load(path: &Path) -> Result<Vec<Row>, FileError> {
    parse(path, &read(path)?)
}

/// Reads text; `path` is for messages.
///
/// # Errors
/// If a line is not what it should be.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Row>, FileError> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| csv_error(path, &error))?.clone();
    let column = |name: &str| header.iter().position(|title| title == name);
    let required = |name: &str| {
        column(name).ok_or_else(|| {
            FileError::at(path, 1, format!("no column {name}: expected time_s,current_a,voltage_v,temp_c"))
        })
    };
    let [time_column, current_column] = [required("time_s")?, required("current_a")?];
    let [voltage_column, temperature_column] = [required("voltage_v")?, required("temp_c")?];
    let soc_column = column("soc_ref");
    let mut rows: Vec<Row> = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(|error| csv_error(path, &error))?;
        let line = record.position().map_or(number + 2, |position| usize::try_from(position.line()).unwrap_or(0));
        let number_in = |column: usize| -> Result<f64, FileError> {
            let field = record.get(column).unwrap_or("");
            let value = field.parse::<f64>().ok().filter(|value| value.is_finite());
            let name = header.get(column).unwrap_or("");
            value.ok_or_else(|| FileError::at(path, line, format!("{name} = `{field}`: expected a number")))
        };
        let [time_s, current] = [number_in(time_column)?, number_in(current_column)?];
        let [voltage, temperature] = [number_in(voltage_column)?, number_in(temperature_column)?];
        let soc = soc_column.map(number_in).transpose()?;
        within(path, line, "voltage_v", voltage, 0.0, 6.5)?;
        within(path, line, "current_a", current, -2_000.0, 2_000.0)?;
        within(path, line, "temp_c", temperature, -60.0, 150.0)?;
        let last = rows.last();
        if last.is_some_and(|last| time_s <= last.time_s) {
            return Err(FileError::at(path, line, format!("time_s = {time_s} s does not come after the line before")));
        }
        let seconds = last.map_or(0.0, |last| time_s - last.time_s);
        let charge_ah = last.map_or(0.0, |last| last.charge_ah) + current * seconds / 3_600.0;
        rows.push(Row { time_s, current, voltage, temperature, soc, charge_ah });
    }
    if rows.len() < 2 {
        return Err(FileError::whole(path, "fewer than two rows of data"));
    }
    Ok(rows)
}

fn within(path: &Path, line: usize, name: &str, value: f64, low: f64, high: f64) -> Result<(), FileError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(FileError::at(path, line, format!("{name} = {value}: expected {low} to {high}")))
    }
}

fn csv_error(path: &Path, error: &csv::Error) -> FileError {
    let line = error.position().map_or(1, |position| usize::try_from(position.line()).unwrap_or(0));
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} fields, expected {expected_len}"),
        _ => error.to_string(),
    };
    FileError::at(path, line, reason)
}

/// What a pack needs to know of the cell.
#[derive(Clone, Copy, Debug)]
pub struct CellFacts {
    /// Capacity, Ah.
    pub capacity_ah: f64,
    /// Ohmic resistance, Ω: how the voltage follows a jump of the current.
    pub ohms: f64,
    /// Highest voltage, V.
    pub highest: f64,
}

/// Capacity and resistance from the data, where they are not stated.
#[must_use]
pub fn facts(rows: &[Row], stated_capacity: Option<f64>) -> CellFacts {
    let extent = |pick: &dyn Fn(&Row) -> f64| {
        let (low, high) =
            rows.iter().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        high - low
    };
    let charge = extent(&|row| row.charge_ah);
    let soc = extent(&|row| row.soc.unwrap_or(0.0));
    let capacity_ah = stated_capacity.unwrap_or(if soc > 0.1 { charge / soc } else { charge }).max(0.01);
    // Regression over the jumps of more than a tenth of the capacity per hour.
    let (mut product, mut square) = (0.0, 0.0);
    for pair in rows.windows(2) {
        if let [a, b] = pair
            && (b.current - a.current).abs() > capacity_ah * 0.1
            && b.time_s - a.time_s < 5.0
        {
            product += (b.current - a.current) * (b.voltage - a.voltage);
            square += (b.current - a.current).powi(2);
        }
    }
    let ohms = if square > 0.0 { (product / square).clamp(0.0, 0.2 / capacity_ah) } else { 0.05 / capacity_ah };
    let highest = rows.iter().map(|row| row.voltage).fold(f64::NEG_INFINITY, f64::max);
    CellFacts { capacity_ah, ohms, highest }
}

/// How the resting voltage rises with the state of charge around each row, in V for a full charge: the measured voltage
/// less its ohmic part, over a window of about 4 % of the capacity.
#[must_use]
pub fn slopes(rows: &[Row], facts: &CellFacts) -> Vec<f64> {
    let window = facts.capacity_ah * 0.04;
    let resting = |row: &Row| row.voltage - row.current * facts.ohms;
    let mut slope = 0.0;
    let mut begin = 0;
    rows.iter()
        .map(|row| {
            while rows.get(begin).is_some_and(|first| (row.charge_ah - first.charge_ah).abs() > window) {
                if let Some(first) = rows.get(begin) {
                    let moved = (row.charge_ah - first.charge_ah) / facts.capacity_ah;
                    // Slowly: a drive cycle's polarisation is not the cell's curve.
                    let seen = ((resting(row) - resting(first)) / moved).clamp(0.0, 8.0);
                    slope += (seen - slope) * 0.05;
                }
                begin += 1;
            }
            slope
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn reason(text: &str) -> String {
        parse(Path::new("cell.csv"), text).unwrap_err().to_string()
    }

    #[test]
    fn good_data_is_read_with_its_charge() {
        let rows = parse(Path::new("x"), "time_s,current_a,voltage_v,temp_c\n1,-2,3.3,25\n3,-1.8,3.2,25.5\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert!((rows[1].charge_ah + 3.6 / 3_600.0).abs() < 1e-9);
    }

    #[test]
    fn bad_data_is_refused_with_its_line() {
        let header = "time_s,current_a,voltage_v,temp_c\n";
        assert!(reason("time,current\n1,2\n").starts_with("cell.csv:1: no column time_s"));
        assert_eq!(reason(&format!("{header}1,2,x,25\n")), "cell.csv:2: voltage_v = `x`: expected a number");
        assert_eq!(
            reason(&format!("{header}1,2,3,25\n1,2,3,25\n")),
            "cell.csv:3: time_s = 1 s does not come after the line before"
        );
        assert_eq!(reason(&format!("{header}1,2,3\n")), "cell.csv:2: 3 fields, expected 4");
        assert_eq!(reason(&format!("{header}1,2,9,25\n")), "cell.csv:2: voltage_v = 9: expected 0 to 6.5");
        assert_eq!(reason(header), "cell.csv: fewer than two rows of data");
        assert_eq!(reason(&format!("{header}1,nan,3,25\n")), "cell.csv:2: current_a = `nan`: expected a number");
    }
}
