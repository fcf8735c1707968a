//! What the checks found.

use serde_json::{Value, json};

pub struct Row {
    pub check: &'static str,
    pub id: &'static str,
    /// `None`: the board or the emulator lacks the means.
    pub passed: Option<bool>,
    pub detail: String,
}

impl Row {
    pub fn json(&self) -> Value {
        let result = match self.passed {
            Some(true) => "pass",
            Some(false) => "fail",
            None => "blank",
        };
        json!({"check": self.check, "id": self.id, "result": result, "detail": self.detail})
    }
}

/// The rows of one check, and figures by name.
pub struct Report {
    pub check: &'static str,
    pub rows: Vec<Row>,
    pub figures: Vec<(&'static str, f64)>,
    period: f64,
}

impl Report {
    pub fn new(check: &'static str, period: i32) -> Self {
        Self { check, rows: Vec::new(), figures: Vec::new(), period: f64::from(period) }
    }
    pub fn expect(&mut self, id: &'static str, passed: bool, detail: impl Into<String>) {
        self.rows.push(Row { check: self.check, id, passed: Some(passed), detail: detail.into() });
    }
    /// The same, where the board has the means for it.
    pub fn expect_if(&mut self, lacks: Option<&str>, id: &'static str, passed: bool, detail: impl Into<String>) {
        match lacks {
            Some(why) => self.blank(id, why),
            None => self.expect(id, passed, detail),
        }
    }
    pub fn blank(&mut self, id: &'static str, detail: impl Into<String>) {
        self.rows.push(Row { check: self.check, id, passed: None, detail: detail.into() });
    }
    /// A time, counted from the first sample, that must lie between its setting and one sample period more. In ms; the
    /// sample's time stamp is taken at the end of its scan, and rounded.
    pub fn timed(&mut self, id: &'static str, what: &str, took: Option<f64>, wanted: i32) {
        const SCAN: f64 = 3.0;
        match took {
            None => self.expect(id, false, format!("{what}: never")),
            Some(took) => {
                let late = took - f64::from(wanted);
                let detail = format!("{what} after {took:.1} ms; {late:+.1} ms to the setting");
                self.expect(id, (-1.0..=self.period + SCAN).contains(&late), detail);
            }
        }
    }
}
