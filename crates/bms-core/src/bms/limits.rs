//! What a charger, an inverter and loads may do: published limits and the state of power.

use super::Bms;
use crate::balancing::Strategy;
use crate::command::Limits;
use crate::config::{Chemistry, ParameterId as P, Topology};
use crate::estimation::{Estimator, Source, StateOfPower, c_rate};
use crate::fittings::Fittings;
use crate::limits::{OPEN, driven, fall};
use crate::measurement::{Channel, Reading};
use crate::protection::{Alarm, AlarmSet, Inhibit, inhibiting};
use crate::units::{Current, Resistance, Temperature, Voltage, deg_c};

/// A state of charge tapers the limits in full up to the first of these standard deviations, in millionths, and no more from
/// the second on. In between it fades: no threshold at which a limit would leap.
const KNOWN: (i32, i32) = (100_000, 200_000);
/// What remains of a limit at a state of charge of 100 % or 0 %, in thousandths.
const AT_THE_END: i32 = 300;

impl<const N: usize, E: Estimator, S: Strategy, F: Fittings> Bms<N, E, S, F> {
    /// What a charger or an inverter may do now.
    #[inline(never)]
    pub(super) fn limits(&mut self, elapsed: u32, charge: bool, discharge: bool) -> Limits {
        const STUCK: AlarmSet = AlarmSet::of(&[Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck]);
        let (charge_taper, discharge_taper) = self.taper(elapsed);
        let config = &self.config;
        let active = self.protection.active();
        let inhibited = |what: Inhibit| !active.common(inhibiting(what, config)).is_empty();
        let stuck = !active.common(STUCK).is_empty();
        let back_to_back = config.board().topology == Topology::BackToBack;
        let bypass = config.current(P::DiodeBypassCurrent) > Current::ZERO;
        // Through an open switch's diode only a tenth of the rating may flow (X12).
        let through = |rating: Current, other_closed: bool| {
            if back_to_back && !other_closed && !bypass { tenth(rating) } else { rating }
        };
        let mut charge_current = Current::ZERO;
        if charge && !inhibited(Inhibit::CHARGE) && !stuck {
            charge_current = through(config.current(P::ChargeOvercurrentProtection), discharge);
            if self.gentle_charge() {
                charge_current = charge_current.min(c_rate(config, 50));
            }
            charge_current = part(charge_current, charge_taper);
            if !self.measurement.usable {
                // A missing reading raises no limit, and does not make it flicker (law 2).
                charge_current = charge_current.min(self.command.limits.charge_current);
            }
        }
        let mut discharge_current = Current::ZERO;
        if discharge && !inhibited(Inhibit::DISCHARGE) && !stuck {
            discharge_current =
                part(through(config.current(P::DischargeOvercurrentProtection), charge), discharge_taper);
            if !self.measurement.usable {
                discharge_current = discharge_current.min(self.command.limits.discharge_current);
            }
        }
        Limits {
            charge_voltage: config.voltage(P::CellOvervoltageRecovery).times(i32::from(config.cell_count())),
            charge_current,
            discharge_current,
        }
    }

    /// 0.05 C: a deeply discharged cell (X16), or Li-ion below 0 °C (D13).
    fn gentle_charge(&self) -> bool {
        let config = &self.config;
        let measured = &self.measurement;
        let deep =
            config.flag(P::Trickle) && measured.extremes.lowest() < config.voltage(P::CellUndervoltageProtection);
        let range = measured.temperatures.battery();
        let cold = config.chemistry() == Chemistry::LiIon && range.any && range.coldest < deg_c(0);
        deep || cold
    }

    /// The smooth part of both limits, in thousandths: each falls between a recovery value and its protection value, and at
    /// the ends of a well-known state of charge.
    fn taper(&mut self, elapsed: u32) -> (i32, i32) {
        if !self.config.flag(P::LimitTaper) {
            return (OPEN, OPEN);
        }
        let known = self.measurement.usable && self.measurement.channels.fresh(Channel::Cells);
        let targets = known.then(|| self.taper_targets());
        (
            self.tapers.charge.follow(elapsed, targets.map(|targets| targets.0)),
            self.tapers.discharge.follow(elapsed, targets.map(|targets| targets.1)),
        )
    }

    #[inline(never)]
    fn taper_targets(&self) -> (i32, i32) {
        let config = &self.config;
        let measured = &self.measurement;
        let extremes = &measured.extremes;
        let volts = |value: Voltage, from: P, to: P| fall(value.as_microvolts(), config.get(from), config.get(to));
        let degrees = |value: Temperature, from: P, to: P| fall(value.as_tenths(), config.get(from), config.get(to));
        let mos = degrees(measured.temperatures.mos(), P::MosOvertemperatureRecovery, P::MosOvertemperatureProtection);
        let mut charge = mos.min(volts(extremes.highest(), P::CellOvervoltageRecovery, P::CellOvervoltageProtection));
        let mut discharge =
            mos.min(volts(extremes.lowest(), P::CellUndervoltageRecovery, P::CellUndervoltageProtection));
        let range = measured.temperatures.battery();
        if range.any {
            let hot = (P::ChargeOvertemperatureRecovery, P::ChargeOvertemperatureProtection);
            let cold = (P::ChargeUndertemperatureRecovery, P::ChargeUndertemperatureProtection);
            charge = charge.min(degrees(range.warmest, hot.0, hot.1)).min(degrees(range.coldest, cold.0, cold.1));
            let hot = (P::DischargeOvertemperatureRecovery, P::DischargeOvertemperatureProtection);
            discharge = discharge.min(degrees(range.warmest, hot.0, hot.1));
            if config.flag(P::DischargeUndertemperature) {
                let cold = (P::DischargeUndertemperatureRecovery, P::DischargeUndertemperatureProtection);
                discharge = discharge.min(degrees(range.coldest, cold.0, cold.1));
            }
        }
        if let Some(known) = self.estimator.state_of_charge()
            // A plain counter does not know how good it is: nothing to compute.
            && (known.sigma_millionths as i32) < KNOWN.1
        {
            let (millionths, sigma) = (known.millionths as i32, known.sigma_millionths as i32);
            let trust = fall(sigma, KNOWN.0, KNOWN.1);
            let towards = |at: i32, from: i32, to: i32| {
                let taken =
                    OPEN.saturating_sub(fall(at, from, to)).saturating_mul(OPEN.saturating_sub(AT_THE_END)) / OPEN;
                OPEN.saturating_sub(taken.saturating_mul(trust) / OPEN)
            };
            // Towards empty by what is left for sure: with an estimate that is too high, full power would last until the
            // voltage breaks down. Towards full by the estimate: too late, the voltage's own taper comes before it; too
            // early costs every charge time.
            charge = charge.min(towards(millionths, 970_000, 1_000_000));
            discharge = discharge.min(towards(millionths.saturating_sub(sigma), 50_000, 0));
        }
        (charge, discharge)
    }

    /// The currents that would bring a cell to its protection value after 10 s and 30 s; within the second-level limits, and
    /// nothing where the published limit is zero.
    pub(super) fn state_of_power(&self) -> Reading<StateOfPower> {
        let Some(source) = self.estimator.source() else { return Reading::NotMeasured };
        if !self.measurement.usable {
            return Reading::Invalid;
        }
        let config = &self.config;
        let extremes = &self.measurement.extremes;
        let Source { unloaded, resistance_10s, resistance_30s } = source;
        // How far the extreme cells stand from the average one.
        let above = extremes.highest().minus(extremes.average());
        let below = extremes.average().minus(extremes.lowest());
        let up = config.voltage(P::CellOvervoltageProtection).minus(unloaded).minus(above);
        let down = unloaded.minus(below).minus(config.voltage(P::CellUndervoltageProtection));
        let limits = &self.command.limits;
        let bound = |room: Voltage, resistance: Resistance, limit: Current, most: Current| {
            if limit == Current::ZERO {
                return Current::ZERO;
            }
            Current::from_milliamps(driven(room, resistance)).min(most)
        };
        let charge_most = config.current(P::ChargeOvercurrentProtection);
        let severe = config.current(P::SevereDischargeCurrent);
        let discharge_most =
            if severe > Current::ZERO { severe } else { config.current(P::DischargeOvercurrentProtection) };
        Reading::Valid(StateOfPower {
            charge_10s: bound(up, resistance_10s, limits.charge_current, charge_most),
            charge_30s: bound(up, resistance_30s, limits.charge_current, charge_most),
            discharge_10s: bound(down, resistance_10s, limits.discharge_current, discharge_most),
            discharge_30s: bound(down, resistance_30s, limits.discharge_current, discharge_most),
        })
    }
}

/// A division that is not done ahead of knowing whether it is needed.
#[cold]
#[inline(never)]
fn tenth(current: Current) -> Current {
    current.divided_by(10)
}

/// A part of a current, in thousandths.
fn part(current: Current, permille: i32) -> Current {
    if permille >= OPEN { current } else { current.divided_by(OPEN).times(permille) }
}
