//! A pack switch with its own time and its faults.

use bms_core::command::Switch;

/// What is wrong with a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchFault {
    /// Nothing.
    #[default]
    None,
    /// Conducts whatever it is told.
    StuckOn,
    /// Never conducts (its body diode does).
    StuckOff,
    /// Takes this much longer, in µs.
    Slow(u32),
}

/// One pack switch.
#[derive(Clone, Copy, Debug)]
pub struct PackSwitch {
    /// Time from the order to opening, µs.
    pub open_time_us: u32,
    /// Time from the order to closing, µs.
    pub close_time_us: u32,
    /// What is wrong with it.
    pub fault: SwitchFault,
    ordered: bool,
    conducting: bool,
    change_at: Option<u64>,
}

impl PackSwitch {
    /// An open switch with these times in µs.
    #[must_use]
    pub const fn new(open_time_us: u32, close_time_us: u32) -> Self {
        Self {
            open_time_us,
            close_time_us,
            fault: SwitchFault::None,
            ordered: false,
            conducting: false,
            change_at: None,
        }
    }
    /// Whether it conducts now, in either direction.
    #[must_use]
    pub fn conducts(&self) -> bool {
        match self.fault {
            SwitchFault::StuckOn => true,
            SwitchFault::StuckOff => false,
            SwitchFault::None | SwitchFault::Slow(_) => self.conducting,
        }
    }
    /// What its gate is told.
    #[must_use]
    pub const fn gate(&self) -> Switch {
        Switch::closed_if(self.ordered)
    }
    pub(super) fn order(&mut self, state: Switch, now_us: u64) {
        if state.is_closed() == self.ordered {
            return;
        }
        self.ordered = state.is_closed();
        let own = if self.ordered { self.close_time_us } else { self.open_time_us };
        let extra = if let SwitchFault::Slow(micros) = self.fault { micros } else { 0 };
        self.change_at = Some(now_us + u64::from(own) + u64::from(extra));
    }
    /// When it moves next.
    pub(super) const fn moves_at(&self) -> Option<u64> {
        self.change_at
    }
    /// Completes a movement that is due.
    pub(super) fn settle(&mut self, now_us: u64) {
        if self.change_at.is_some_and(|at| at <= now_us) {
            self.conducting = self.ordered;
            self.change_at = None;
        }
    }
}
