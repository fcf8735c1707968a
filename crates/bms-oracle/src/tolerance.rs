//! What the requirements leave open.

use crate::oracle::{Oracle, Verdict};
use bms_core::config::ParameterId as P;
use bms_core::event::EventKind;
use bms_core::lifecycle::State;
use bms_core::protection::{Alarm, AlarmSet};

impl Oracle {
    /// Where two readings of the requirements are as good, the core's is taken over:
    ///
    /// * X01 does not say whether the long loss ends with the last channel or after its own time of good data;
    /// * sensors that come in turns may count as lost early, never late (the core keeps one age for all);
    /// * how far sensors are apart while one of them is silent is nobody's rule;
    /// * when within a commanded shutdown the trips are forgotten is open, and without a limit nobody counts.
    pub fn tolerate(&mut self, verdict: &mut Verdict, core: AlarmSet, trips: [u32; 4]) {
        let stopped = matches!(self.state, State::ShuttingDown | State::Off) || self.started_anew;
        if stopped || self.get(P::RetryLimit) == 0 {
            (self.trips, verdict.trips) = (trips, trips);
        }
        let lost = [Alarm::CellDataLost, Alarm::CurrentDataLost, Alarm::TemperatureDataLost];
        if lost.iter().any(|alarm| self.active(*alarm) || core.contains(*alarm)) {
            self.lost_at = Some(self.now);
        }
        // The channels' times of good data may follow one another.
        let lately = 2 * self.get(P::DataRecoveryTime) + 2_000;
        let lost_lately = self.lost_at.is_some_and(|at| self.now - at <= lately);
        if !self.all_sensors_good {
            self.silent_at = Some(self.now);
        }
        let mut other_alarms = false;
        let silent_lately = self.silent_at.is_some_and(|at| self.now - at <= lately);
        for (alarm, either) in [
            (Alarm::ChargeLockedOut, stopped),
            (Alarm::DischargeLockedOut, stopped),
            (Alarm::DataLostLong, lost_lately),
            (Alarm::TemperatureSpreadWarning, silent_lately),
            (Alarm::TemperatureSpread, silent_lately),
            (Alarm::TemperatureDataLost, silent_lately),
        ] {
            let watch = &mut self.watches[alarm as usize];
            let (mine, theirs) = (verdict.alarms.contains(alarm), core.contains(alarm));
            // What was due is due: a loss that the oracle has just found must be there.
            let due = mine && watch.raised == Some(self.now) && alarm == Alarm::TemperatureDataLost;
            if mine == theirs || !either || due {
                continue;
            }
            other_alarms = true;
            let told = |kind: &EventKind| match kind {
                EventKind::Raised { alarm: of, .. } | EventKind::Cleared { alarm: of } => *of == alarm,
                _ => false,
            };
            verdict.events.retain(|kind| !told(kind));
            if theirs {
                watch.raise(self.now);
                verdict.alarms = verdict.alarms.with(alarm);
            } else {
                watch.clear();
                verdict.alarms = verdict.alarms.without(alarm);
            }
            match (self.before_step.contains(alarm), theirs) {
                (false, true) => verdict.events.push(EventKind::Raised { alarm, index: None, value: 0 }),
                (true, false) => verdict.events.push(EventKind::Cleared { alarm }),
                _ => {}
            }
        }
        if other_alarms {
            // The switches follow the alarms in the same step.
            self.decide_again(verdict);
        }
        self.alarms_before = verdict.alarms;
    }
}
