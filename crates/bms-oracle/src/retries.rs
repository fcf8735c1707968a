//! D10: trips are counted, three lock out, and what forgives.

use crate::oracle::Oracle;
use crate::readings::Step;
use crate::watch::Time;
use bms_core::config::ParameterId as P;
use bms_core::lifecycle::State;
use bms_core::protection::{Alarm, AlarmSet};

impl Oracle {
    /// D10: counting trips, locking out, forgiving.
    pub(crate) fn retries(&mut self, step: &Step, elapsed: Time) {
        use Alarm as A;
        let causes: [&[A]; 4] = [
            &[A::ChargeOvercurrent, A::SevereChargeOvercurrent],
            &[A::DischargeOvercurrent, A::SevereDischargeOvercurrent],
            &[A::ShortCircuit],
            &[A::CellUndervoltage],
        ];
        let limit = self.get(P::RetryLimit) as u32;
        // What was counted before this step locks out in it.
        let locked = |trips: &[u32]| limit > 0 && trips.iter().any(|trips| *trips >= limit);
        let (charge, discharge) = (locked(&[self.trips[0], self.trips[2]]), locked(&self.trips[1..]));
        for (alarm, locked) in [(A::ChargeLockedOut, charge), (A::DischargeLockedOut, discharge)] {
            let watch = &mut self.watches[alarm as usize];
            if locked && !watch.active() {
                watch.raise(self.now);
            } else if !locked && !self.asked && !matches!(self.state, State::ShuttingDown | State::Off) {
                watch.clear();
            }
        }
        let stale = self.stale();
        let current = self.current.usable(self.now, stale).unwrap_or(0);
        let (charging, discharging) = (self.charge && current > 200, self.discharge && current < -200);
        // Ten minutes without a trip: of whatever cause. Which way the current flowed tells which causes are forgiven.
        let mut tripped = [false; 4];
        let mut forgiven = Vec::new();
        for (cause, alarms) in causes.iter().enumerate() {
            let known = self.alarms_before.and(self.restored);
            let raised = alarms.iter().any(|alarm| self.active(*alarm) && !known.contains(*alarm));
            // The limits of another chemistry say nothing of the cells.
            let of_cells = alarms.contains(&A::CellUndervoltage);
            tripped[cause] = raised && !(of_cells && self.active(A::WrongChemistry));
            self.trips[cause] += u32::from(tripped[cause]);
        }
        if tripped.contains(&true) {
            self.conducting = [0; 2];
        }
        for (direction, (flows, of_direction)) in
            [(charging, &[0_usize, 2][..]), (discharging, &[1, 2, 3])].into_iter().enumerate()
        {
            if flows && self.trips != [0; 4] {
                self.conducting[direction] += elapsed;
            }
            if self.conducting[direction] >= 600_000 {
                self.conducting[direction] = 0;
                for cause in of_direction.iter().filter(|cause| limit == 0 || self.trips[**cause] < limit) {
                    forgiven.push(*cause);
                }
            }
        }
        for cause in forgiven {
            self.trips[cause] = 0;
        }
        let forgive = |trips: &mut u32| {
            if limit > 0 && *trips >= limit {
                *trips = 0;
            }
        };
        // A pack that is charged has more than its rebound.
        if charging {
            forgive(&mut self.trips[3]);
        }
        if let (Some(before), Some((_, now))) = (self.inputs_before, step.inputs.measured()) {
            if before.load == Some(true) && now.load == Some(false) {
                self.trips[1..].iter_mut().for_each(forgive);
            }
            if before.charger == Some(true) && now.charger == Some(false) {
                forgive(&mut self.trips[0]);
                forgive(&mut self.trips[2]);
            }
        }
        self.restored = AlarmSet::EMPTY;
        self.inputs_before = self.inputs.last.map(|(_, inputs)| inputs);
    }
}
