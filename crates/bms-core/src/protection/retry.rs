//! Counting trips per cause, and locking out (D10).
//!
//! Three trips of one cause lock its switch out. The count clears after ten minutes of conduction without a trip; the
//! lock opens when the load or charger is *seen* to go, by a commanded shutdown and wake, or by a local request, which
//! allows one more closing only.

use super::alarm::{Alarm, AlarmSet};

/// What tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Cause {
    ChargeOvercurrent,
    DischargeOvercurrent,
    ShortCircuit,
    Undervoltage,
}

impl Cause {
    const ALL: [Self; 4] =
        [Self::ChargeOvercurrent, Self::DischargeOvercurrent, Self::ShortCircuit, Self::Undervoltage];

    const fn alarms(self) -> AlarmSet {
        match self {
            Self::ChargeOvercurrent => AlarmSet::of(&[Alarm::ChargeOvercurrent, Alarm::SevereChargeOvercurrent]),
            Self::DischargeOvercurrent => {
                AlarmSet::of(&[Alarm::DischargeOvercurrent, Alarm::SevereDischargeOvercurrent])
            }
            Self::ShortCircuit => AlarmSet::of(&[Alarm::ShortCircuit]),
            Self::Undervoltage => AlarmSet::of(&[Alarm::CellUndervoltage]),
        }
    }
    /// Whether it concerns charging.
    const fn charges(self) -> bool {
        matches!(self, Self::ChargeOvercurrent | Self::ShortCircuit)
    }
    /// Whether it concerns discharging.
    const fn discharges(self) -> bool {
        !matches!(self, Self::ChargeOvercurrent)
    }
}

/// Conduction without a trip that clears a count.
const FORGIVEN_AFTER: u32 = 600_000;

/// Trips per cause; survives resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Retries {
    counts: [u8; 4],
    /// Conduction since the last trip, in ms, charging and discharging.
    conduction: [u32; 2],
}

/// What a step tells the retry policy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conduct {
    pub elapsed: u32,
    /// The charge switch is closed and current flows in.
    pub charging: bool,
    /// The discharge switch is closed and current flows out.
    pub discharging: bool,
    /// The load was seen to go.
    pub load_removed: bool,
    /// The charger was seen to go.
    pub charger_removed: bool,
}

impl Retries {
    pub(crate) const fn new() -> Self {
        Self { counts: [0; 4], conduction: [0; 2] }
    }
    /// What [`Retries::counts`] and [`Retries::conduction_millis`] gave before a reset.
    #[must_use]
    pub const fn restored(counts: [u8; 4], conduction_millis: [u32; 2]) -> Self {
        Self { counts, conduction: conduction_millis }
    }
    /// Conduction since the last trip in ms: charging, discharging.
    #[must_use]
    pub const fn conduction_millis(&self) -> [u32; 2] {
        self.conduction
    }
    /// How often a cause tripped: charge over-current, discharge over-current, short circuit, under-voltage.
    #[must_use]
    pub const fn counts(&self) -> [u8; 4] {
        self.counts
    }
    /// Nothing tripped lately.
    pub(crate) fn none(&self) -> bool {
        self.counts == [0; 4]
    }
    /// Counts what was raised in this step.
    pub(crate) fn trips(&mut self, raised: AlarmSet) {
        for (cause, count) in Cause::ALL.into_iter().zip(&mut self.counts) {
            if !raised.common(cause.alarms()).is_empty() {
                *count = count.saturating_add(1);
                self.conduction = [0; 2];
            }
        }
    }
    /// Lets time pass and looks for what forgives.
    pub(crate) fn pass(&mut self, limit: u8, conduct: &Conduct) {
        if self.none() {
            // Nothing to forgive; the next trip sets the times back.
            return;
        }
        let [charge_time, discharge_time] = &mut self.conduction;
        if conduct.charging {
            *charge_time = charge_time.saturating_add(conduct.elapsed);
        }
        if conduct.discharging {
            *discharge_time = discharge_time.saturating_add(conduct.elapsed);
        }
        let (charged, discharged) = (*charge_time >= FORGIVEN_AFTER, *discharge_time >= FORGIVEN_AFTER);
        for (cause, count) in Cause::ALL.into_iter().zip(&mut self.counts) {
            let locked = limit > 0 && *count >= limit;
            let conducted = (cause.charges() && charged) || (cause.discharges() && discharged);
            let removed = (cause.charges() && conduct.charger_removed)
                || (cause.discharges() && conduct.load_removed)
                // Charging is what cures an empty pack.
                || (cause == Cause::Undervoltage && conduct.charging);
            if (!locked && conducted) || (locked && removed) {
                *count = 0;
            }
        }
        if charged {
            *charge_time = 0;
        }
        if discharged {
            *discharge_time = 0;
        }
    }
    /// Whether charging, discharging is locked out.
    pub(crate) fn locked(&self, limit: u8) -> (bool, bool) {
        let mut locked = (false, false);
        for (cause, count) in Cause::ALL.into_iter().zip(self.counts) {
            if limit > 0 && count >= limit {
                locked.0 |= cause.charges();
                locked.1 |= cause.discharges();
            }
        }
        locked
    }
    /// A local request: one more closing, the next trip locks again.
    pub(crate) fn allow_once(&mut self, limit: u8) {
        for count in &mut self.counts {
            if limit > 0 && *count >= limit {
                *count = limit.saturating_sub(1);
            }
        }
    }
}
