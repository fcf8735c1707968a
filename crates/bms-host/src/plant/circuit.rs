//! What hangs on the terminals: charger, loads, a short circuit, and the way through the switches.

use bms_core::config::Topology;

/// A constant-current, constant-voltage charger.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Charger {
    /// Voltage that it does not exceed, V.
    pub voltage: f64,
    /// Current that it does not exceed, A.
    pub current: f64,
}

/// What draws current from the terminals; positive currents discharge the pack, negative ones (regeneration) charge it.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Nothing.
    #[default]
    None,
    /// A constant current, A.
    Current(f64),
    /// A constant power, W.
    Power(f64),
    /// A resistance, Ω.
    Ohms(f64),
    /// A current that comes and goes.
    Pulsed {
        /// Current while on, A.
        on: f64,
        /// Current while off, A.
        off: f64,
        /// Length of a period, ms.
        period_ms: u32,
        /// Part of the period that is on, ‰.
        duty_permille: u16,
    },
    /// A motor: starts at `peak` and falls to `steady` with the time constant.
    Inrush {
        /// Current at the start, A.
        peak: f64,
        /// Current in the end, A.
        steady: f64,
        /// Time constant of the fall, ms.
        time_constant_ms: u32,
    },
}

impl Load {
    /// The current that it wants at a terminal voltage, so long after it was switched on.
    pub(super) fn current(&self, terminal: f64, since_us: u64) -> f64 {
        match *self {
            Self::None | Self::Ohms(_) => 0.0,
            Self::Current(amps) => amps,
            // Below a volt a converter has long given up.
            Self::Power(watts) => watts / terminal.max(1.0),
            Self::Pulsed { on, off, period_ms, duty_permille } => {
                if in_pulse(since_us, period_ms, duty_permille) {
                    on
                } else {
                    off
                }
            }
            Self::Inrush { peak, steady, time_constant_ms } => {
                let progress = since_us as f64 / (f64::from(time_constant_ms.max(1)) * 1e3);
                steady + (peak - steady) * (-progress).exp()
            }
        }
    }
    /// Its conductance in S.
    pub(super) fn conductance(&self) -> f64 {
        match *self {
            Self::Ohms(ohms) if ohms > 0.0 => 1.0 / ohms,
            _ => 0.0,
        }
    }
    /// Whether anything is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self != Self::None
    }
    /// Time until the current is another one, seen from `since_us` after switching on.
    pub(super) fn next_edge(&self, since_us: u64) -> Option<u64> {
        match *self {
            Self::Pulsed { period_ms, duty_permille, .. } => {
                let period = u64::from(period_ms.max(1)) * 1_000;
                let on = period * u64::from(duty_permille.min(1_000)) / 1_000;
                let phase = since_us % period;
                Some(if phase < on { on - phase } else { period - phase })
            }
            // Twenty steps a time constant, until nothing is left of the peak.
            Self::Inrush { time_constant_ms, .. } => {
                let time_constant = u64::from(time_constant_ms.max(1)) * 1_000;
                (since_us < 20 * time_constant).then_some(time_constant / 20)
            }
            _ => None,
        }
    }
}

fn in_pulse(since_us: u64, period_ms: u32, duty_permille: u16) -> bool {
    let period = u64::from(period_ms.max(1)) * 1_000;
    since_us % period < period * u64::from(duty_permille.min(1_000)) / 1_000
}

/// Which way the switches leave for the pack's current.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Paths {
    /// Drop of the body diode in the charging direction; `None` blocks.
    pub charge: Option<f64>,
    /// The same for discharging.
    pub discharge: Option<f64>,
    /// Whether charger and load have ports of their own.
    pub separate: bool,
    /// Whether the load's port lets regeneration through its open switch.
    pub regeneration: bool,
}

/// The drop of a body diode, V.
pub(super) const DIODE_VOLTS: f64 = 0.75;

impl Paths {
    /// What conducting switches of a topology let through.
    pub(super) fn new(topology: Topology, charge: bool, discharge: bool) -> Self {
        let closed = |conducts: bool| conducts.then_some(0.0);
        match topology {
            // One line: each bank blocks one direction, its diode lets the other through.
            Topology::BackToBack => Self {
                charge: charge.then_some(if discharge { 0.0 } else { DIODE_VOLTS }),
                discharge: discharge.then_some(if charge { 0.0 } else { DIODE_VOLTS }),
                separate: false,
                regeneration: true,
            },
            // Nothing draws from the charger's port, so its diode never conducts.
            Topology::SeparatePorts | Topology::Contactors => Self {
                charge: closed(charge),
                discharge: closed(discharge),
                separate: true,
                regeneration: discharge || topology == Topology::SeparatePorts,
            },
        }
    }
}

/// The outside of the terminals as seen in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outside {
    pub charger: Option<Charger>,
    pub load_current: f64,
    pub conductance: f64,
}

/// Inner resistance of the charger in its voltage limit, Ω.
const CHARGER_OHMS: f64 = 0.005;

impl Outside {
    /// Pack current and terminal voltage with a source behind a resistance, nothing blocked.
    pub(super) fn solve(&self, source: f64, ohms: f64) -> (f64, f64) {
        let divided = 1.0 / (1.0 + self.conductance * ohms);
        let (seen, inner) = (source * divided, ohms * divided);
        // A load cannot pull the terminals below zero.
        let load = self.load_current.min(seen / inner);
        let charging = self.charger.map_or(0.0, |charger| {
            ((charger.voltage - seen + load * inner) / (inner + CHARGER_OHMS)).clamp(0.0, charger.current)
        });
        let terminal = seen + (charging - load) * inner;
        ((terminal - source) / ohms, terminal)
    }
    /// The same through the switches: pack current, terminal voltage, voltage over body diodes. `None`: blocked.
    pub(super) fn through(&self, paths: Paths, source: f64, ohms: f64) -> Option<(f64, f64, f64)> {
        if paths.separate {
            return self.through_ports(paths, source, ohms);
        }
        if let (Some(0.0), Some(0.0)) = (paths.charge, paths.discharge) {
            let (current, terminal) = self.solve(source, ohms);
            return Some((current, terminal, 0.0));
        }
        let charging = paths.charge.and_then(|diode| {
            let (current, terminal) = self.solve(source + diode, ohms);
            (current > 0.0).then_some((current, terminal, diode))
        });
        charging.or_else(|| {
            let diode = paths.discharge?;
            let (current, terminal) = self.solve(source - diode, ohms);
            (current < 0.0).then_some((current, terminal, diode))
        })
    }
    fn through_ports(&self, paths: Paths, source: f64, ohms: f64) -> Option<(f64, f64, f64)> {
        let mut outside = *self;
        if paths.charge.is_none() {
            outside.charger = None;
        }
        if paths.discharge.is_none() {
            outside.load_current = if paths.regeneration { outside.load_current.min(0.0) } else { 0.0 };
            outside.conductance = 0.0;
        }
        if outside.charger.is_none() && paths.discharge.is_none() && outside.load_current == 0.0 {
            return None;
        }
        let (current, terminal) = outside.solve(source, ohms);
        Some((current, terminal, 0.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const SOURCE: f64 = 52.0;
    const OHMS: f64 = 0.02;

    fn outside(charger: Option<Charger>, load_current: f64) -> Outside {
        Outside { charger, load_current, conductance: 0.0 }
    }

    #[test]
    fn a_charger_limits_first_its_current_then_its_voltage() {
        let charger = Some(Charger { voltage: 56.0, current: 50.0 });
        let (current, terminal) = outside(charger, 0.0).solve(SOURCE, OHMS);
        assert!((current - 50.0).abs() < 1e-9 && terminal < 56.0);
        let (current, terminal) = outside(charger, 0.0).solve(55.8, OHMS);
        assert!(current < 50.0 && current > 0.0 && terminal <= 56.0);
        let (current, _) = outside(charger, 0.0).solve(57.0, OHMS);
        assert_eq!(current, 0.0);
    }

    #[test]
    fn a_body_diode_lets_only_the_other_direction_through() {
        let charger = Some(Charger { voltage: 56.0, current: 10.0 });
        let charge_open = Paths::new(Topology::BackToBack, false, true);
        assert_eq!(outside(charger, 0.0).through(charge_open, SOURCE, OHMS), None);
        let (current, terminal, diode) = outside(None, 30.0).through(charge_open, SOURCE, OHMS).unwrap();
        assert!((current + 30.0).abs() < 1e-9);
        assert!((terminal - (SOURCE - DIODE_VOLTS - 30.0 * OHMS)).abs() < 1e-9);
        assert_eq!(diode, DIODE_VOLTS);
        let discharge_open = Paths::new(Topology::BackToBack, true, false);
        assert_eq!(outside(None, 30.0).through(discharge_open, SOURCE, OHMS), None);
        let (current, _, _) = outside(charger, 0.0).through(discharge_open, SOURCE, OHMS).unwrap();
        assert!((current - 10.0).abs() < 1e-9);
        let both_open = Paths::new(Topology::BackToBack, false, false);
        assert_eq!(outside(charger, 0.0).through(both_open, SOURCE, OHMS), None);
        assert_eq!(outside(None, 30.0).through(both_open, SOURCE, OHMS), None);
    }

    #[test]
    fn contactors_have_no_diodes() {
        let charger = Some(Charger { voltage: 56.0, current: 10.0 });
        let charge_open = Paths::new(Topology::Contactors, false, true);
        let (current, _, _) = outside(charger, 30.0).through(charge_open, SOURCE, OHMS).unwrap();
        assert!((current + 30.0).abs() < 1e-9, "the charger has a port of its own");
        let discharge_open = Paths::new(Topology::Contactors, true, false);
        let (current, _, _) = outside(charger, 30.0).through(discharge_open, SOURCE, OHMS).unwrap();
        assert!((current - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_short_circuit_is_limited_by_the_resistances() {
        let shorted = Outside { charger: None, load_current: 0.0, conductance: 1.0 / 0.005 };
        let (current, terminal) = shorted.solve(SOURCE, OHMS);
        assert!((current + SOURCE / (OHMS + 0.005)).abs() < 1e-6);
        assert!((terminal - SOURCE * 0.2).abs() < 1e-6);
    }
}
