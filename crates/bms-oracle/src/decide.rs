//! The oracle's end of a step: heater and switches.

use crate::oracle::{Heating, Oracle, Verdict};
use crate::readings::Step;
use crate::watch::Time;
use crate::{outputs, rules};
use bms_core::event::EventKind;
use bms_core::lifecycle::State;
use bms_core::protection::Alarm;

impl Oracle {
    /// H01, D28: the heater. Its half hour goes on over interruptions, as long as the battery is too cold.
    pub(crate) fn heat(&mut self, step: &Step, elapsed: Time) -> bool {
        let was = self.heater && !self.opened;
        if self.state != State::Running || !self.active(Alarm::ChargeUndertemperature) {
            self.heating = Heating::default();
            return false;
        }
        if was {
            // The output expires with the stale time.
            self.heating.time += elapsed.min(self.stale());
        }
        if self.heating.ineffective || !outputs::heater_wanted(self) {
            return false;
        }
        let coldest = outputs::coldest(self).unwrap_or(0);
        if coldest - self.heating.reference >= 5 || (!was && self.heating.time == 0) {
            self.heating = Heating { reference: coldest, ..Heating::default() };
        }
        self.heating.ineffective = self.heating.time >= 1_800_000;
        !self.heating.ineffective && (was || (!self.asked && outputs::all_usable(self, step)))
    }

    /// Decides about the switches once more, with other alarms.
    pub(crate) fn decide_again(&mut self, verdict: &mut Verdict) {
        let Some(on) = self.decided_on.take() else { return };
        (self.charge, self.discharge, self.held) = (on.switches.0, on.switches.1, on.held);
        (self.asked, self.opened) = (on.asked, on.opened);
        let (charge, discharge) = self.decide(&on.step);
        (self.asked, self.opened) = (false, false);
        verdict.events.retain(|kind| !matches!(kind, EventKind::Switched { .. }));
        if (charge, discharge) != on.switches {
            verdict.events.push(EventKind::Switched { charge, discharge });
        }
        (self.charge, self.discharge) = (charge, discharge);
        (verdict.charge, verdict.discharge) = (charge, discharge);
    }

    /// P17 and law 1: what may be closed.
    pub(crate) fn decide(&mut self, step: &Step) -> (bool, bool) {
        let running = self.state == State::Running;
        let may_close = running && !self.asked && outputs::all_usable(self, step);
        let one = |was: bool, wanted: bool, inhibited: fn(rules::Inhibits) -> bool| {
            let active = Alarm::ALL.iter().any(|alarm| self.active(*alarm) && inhibited(self.inhibits(*alarm)));
            let pending = Alarm::ALL
                .iter()
                .any(|alarm| self.watches[*alarm as usize].pending() && inhibited(self.inhibits(*alarm)));
            running && wanted && !active && (was || (may_close && !pending))
        };
        // X12: beginning it is a closing like others, going on with it is not.
        // The switch has opened first, so that the current flows through its diode; the other one is closed, or none flows.
        let (was_charge, was_discharge) = (self.charge && !self.opened, self.discharge && !self.opened);
        let bypass = |held: bool, was: bool, wanted: bool, inhibited: fn(rules::Inhibits) -> bool, charge: bool| {
            let (other, severe) = if charge {
                (was_discharge, Alarm::SevereDischargeOvercurrent)
            } else {
                (was_charge, Alarm::SevereChargeOvercurrent)
            };
            let others = Alarm::ALL.iter().any(|alarm| {
                self.active(*alarm) && inhibited(self.inhibits(*alarm)) && !outputs::of_one_direction(*alarm, charge)
            });
            let pending = Alarm::ALL.iter().any(|alarm| {
                let watch = &self.watches[*alarm as usize];
                watch.pending() && inhibited(self.inhibits(*alarm)) && !outputs::of_one_direction(*alarm, charge)
            });
            let measured = other && held && !self.watches[severe as usize].pending() && !self.active(severe);
            running
                && wanted
                && !others
                && !pending
                && measured
                && outputs::bypassed(self, charge)
                && (was || may_close)
        };
        let charge = one(was_charge, self.switches.charge, |what| what.charge);
        let discharge = one(was_discharge, self.switches.discharge, |what| what.discharge);
        let around = (
            bypass(self.held.0, was_charge, self.switches.charge, |what| what.charge, true),
            bypass(self.held.1, was_discharge, self.switches.discharge, |what| what.discharge, false),
        );
        let held = |inhibited: fn(rules::Inhibits) -> bool| {
            running && Alarm::ALL.iter().any(|alarm| self.active(*alarm) && inhibited(self.inhibits(*alarm)))
        };
        self.held = (held(|what| what.charge), held(|what| what.discharge));
        (charge || around.0, discharge || around.1)
    }
}
