//! Law 4 (N02, N03): a second, naive implementation of when the plain alarms are due.

use bms_core::config::{ParameterId as P, ValidConfig};
use bms_core::measurement::{Group, Input, Reading, Sample};
use bms_core::protection::{Alarm, AlarmSet};
use bms_core::time::Instant;

use super::check::{Coverage, Law};

/// Since when a limit is violated.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Pending {
    /// After a reset or a change: not known until a sample is clean.
    #[default]
    Unknown,
    No,
    Since(Instant),
}

/// The alarms that the oracle predicts.
const ROWS: [(Alarm, P, P); 4] = [
    (Alarm::CellOvervoltage, P::CellOvervoltageProtection, P::CellOvervoltageDelay),
    (Alarm::CellUndervoltage, P::CellUndervoltageProtection, P::CellUndervoltageDelay),
    (Alarm::ChargeOvercurrent, P::ChargeOvercurrentProtection, P::ChargeOvercurrentDelay),
    (Alarm::DischargeOvercurrent, P::DischargeOvercurrentProtection, P::DischargeOvercurrentDelay),
];

#[derive(Clone, Default)]
pub(super) struct Timing {
    pending: [Pending; ROWS.len()],
    last: Instant,
}

impl Timing {
    pub fn forget(&mut self) {
        self.pending = [Pending::Unknown; ROWS.len()];
    }

    pub fn check(
        &mut self,
        coverage: &mut Coverage,
        config: &ValidConfig,
        now: Instant,
        input: &Input<'_>,
        (before, after): (AlarmSet, AlarmSet),
    ) {
        // With time going back nothing is predicted, and a repeated time is no new measurement.
        let new = now > self.last;
        if now < self.last {
            self.forget();
        }
        self.last = now;
        for (pending, (alarm, limit, delay)) in self.pending.iter_mut().zip(ROWS) {
            let seen = match input {
                Input::Sample(sample) if new => violated(sample, config, alarm, limit, after),
                Input::Sample(_) | Input::Lost(_) | Input::Tick => Seen::Nothing,
            };
            *pending = match (seen, *pending) {
                (Seen::Clean, _) => Pending::No,
                (Seen::Violated, Pending::No) => Pending::Since(now),
                (Seen::Untrusted, _) => Pending::Unknown,
                (Seen::Nothing | Seen::Violated, kept) => kept,
            };
            let due = match *pending {
                Pending::Unknown => continue,
                Pending::No => false,
                Pending::Since(since) => now.since(since) >= config.duration(delay),
            };
            if before.contains(alarm) && !after.contains(alarm) {
                // Released while it is still violated: a new delay begins.
                *pending = Pending::Unknown;
                continue;
            }
            let raised = after.contains(alarm) && !before.contains(alarm);
            if raised {
                coverage.count(Law::TripRaised);
                assert!(due, "law 4 at {now:?}: {alarm} was raised before its time");
            }
            // A violation that was not seen in this step may trip in this step or with the next sample (N02: "missing
            // neither ends nor completes").
            if due && seen == Seen::Violated {
                coverage.count(Law::TripDue);
                assert!(after.contains(alarm), "law 4 at {now:?}: {alarm} is due and was not raised");
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Clean,
    Violated,
    /// A reading that the core may rightly take for a fault of the wiring or the sensor.
    Untrusted,
}

fn violated(sample: &Sample, config: &ValidConfig, alarm: Alarm, limit: P, after: AlarmSet) -> Seen {
    let limit = config.get(limit);
    match alarm {
        Alarm::ChargeOvercurrent | Alarm::DischargeOvercurrent => {
            let Group::Measured { value, .. } = sample.current else { return Seen::Nothing };
            if config.get(P::CurrentGain) != 0 || config.get(P::CurrentOffset) != 0 {
                return Seen::Untrusted;
            }
            let charging = alarm == Alarm::ChargeOvercurrent;
            let milliamps = value.as_milliamps();
            let magnitude = if charging { milliamps } else { milliamps.saturating_neg() };
            if magnitude > limit { Seen::Violated } else { Seen::Clean }
        }
        _ => {
            let Group::Measured { value, .. } = &sample.cells else { return Seen::Nothing };
            let doubtful = AlarmSet::of(&[Alarm::OpenWire, Alarm::StackMismatch, Alarm::CellCountMismatch]);
            let offset = match (&sample.stack, stack_of(sample)) {
                (Group::Measured { value, .. }, Some(sum)) => (value.as_microvolts() - sum).abs(),
                _ => 0,
            };
            if value.count() != config.cell_count()
                || config.get(P::VoltageGain) != 0
                || !after.common(doubtful).is_empty()
                || offset > 0
            {
                return Seen::Untrusted;
            }
            let (mut any_violated, mut any_missing) = (false, false);
            for index in 0..usize::from(value.count()) {
                let Reading::Valid(voltage) = value.get(index) else {
                    any_missing = true;
                    continue;
                };
                // Below 1 V a cell may be an open wire, above 5 V it is outside the measuring range.
                if !(1_000_000..=5_000_000).contains(&voltage.as_microvolts()) {
                    return Seen::Untrusted;
                }
                any_violated |= if alarm == Alarm::CellOvervoltage {
                    voltage.as_microvolts() > limit
                } else {
                    voltage.as_microvolts() < limit
                };
            }
            match (any_violated, any_missing) {
                (true, _) => Seen::Violated,
                (false, false) => Seen::Clean,
                (false, true) => Seen::Nothing,
            }
        }
    }
}

/// Sum of the cells in microvolts, if all are valid.
fn stack_of(sample: &Sample) -> Option<i32> {
    let Group::Measured { value, .. } = &sample.cells else { return None };
    (0..usize::from(value.count()))
        .map(|index| value.get(index).valid().map(|voltage| voltage.as_microvolts()))
        .try_fold(0_i32, |sum, voltage| Some(sum.saturating_add(voltage?)))
}
