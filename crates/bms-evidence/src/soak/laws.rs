//! The laws that every step keeps.

use bms_core::balancing::BalancerCapabilities;
use bms_core::bms::Request;
use bms_core::config::{ParameterId as P, Topology};
use bms_core::measurement::Group;
use bms_core::protection::{Alarm, AlarmSet, Inhibit};
use bms_host::rig::Given;

use crate::bench::Bench;
use crate::truth::{Path, Quantity, Truth, Watch};

/// What a fault may hide, and for how many steps it may matter.
#[derive(Clone, Copy, Debug)]
pub struct Hidden {
    /// Steps until it is over and everything that it hid was seen.
    pub steps: u64,
    /// How much later an output acts, ms.
    pub slow_ms: u32,
    /// The outputs obey no command meanwhile: the switches, or everything else.
    pub defeats: Defeats,
    /// The stack voltage may be missing: it confirms no cell (X13), and one that never came since the start is not missed.
    pub blinds_stack: bool,
}

impl Hidden {
    /// No fault.
    pub const NOTHING: Self = Self { steps: 0, slow_ms: 0, defeats: Defeats::Nothing, blinds_stack: false };
}

/// Outputs that obey no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defeats {
    /// None.
    Nothing,
    /// The charge and discharge switch.
    Switches,
    /// Heater and balancer.
    Others,
}

impl Defeats {
    fn covers(self, path: Path) -> bool {
        match path {
            Path::Charge | Path::Discharge => self == Self::Switches,
            Path::Heater | Path::Balancer => self == Self::Others,
        }
    }
}

/// Alarms of one direction, over which its open switch may be closed for the other direction's current (X12).
const BYPASSABLE: [AlarmSet; 2] = [
    AlarmSet::of(&[
        Alarm::CellOvervoltage,
        Alarm::PackOvervoltage,
        Alarm::ChargeOvertemperature,
        Alarm::ChargeUndertemperature,
    ]),
    AlarmSet::of(&[
        Alarm::CellUndervoltage,
        Alarm::PackUndervoltage,
        Alarm::DischargeOvertemperature,
        Alarm::DischargeUndertemperature,
    ]),
];
/// On a back-to-back board the other switch stays as it is (X10).
const STUCK: AlarmSet = AlarmSet::of(&[Alarm::ChargeSwitchStuck, Alarm::DischargeSwitchStuck]);

/// What a fault may hide for as long as it takes to notice it, ms.
const NOTICED_MS: u32 = 10_000;
/// What the laws remember.
pub struct Laws {
    /// The longest time between two steps, ms.
    period: u32,
    fault: Hidden,
    /// Every cell, the current and the switches' temperature were seen since the last start.
    seen: [bool; 3],
    /// Asked or changed since the last step.
    asked: bool,
    closed: [bool; 2],
    emergency: bool,
}

impl Laws {
    pub(super) const fn new(period: u32) -> Self {
        Self { period, fault: Hidden::NOTHING, seen: [false; 3], asked: false, closed: [false; 2], emergency: false }
    }
    /// A fault begins.
    pub(super) fn injected(&mut self, mut fault: Hidden) {
        // What it hides is seen by then.
        fault.steps += u64::from(NOTICED_MS / self.period) + 10;
        self.fault = fault;
    }
    /// The core starts anew.
    pub(super) fn restarted(&mut self) {
        self.seen = [false; 3];
        self.closed = [false; 2];
    }
    /// Something was asked of the core and accepted.
    pub(super) fn asked(&mut self, request: Request) {
        self.asked = true;
        match request {
            Request::EmergencyStop => self.emergency = true,
            Request::ResetEmergencyStop => self.emergency = false,
            _ => {}
        }
    }
    /// A parameter was changed.
    pub(super) fn changed(&mut self) {
        self.asked = true;
    }

    /// The first law that this step broke.
    pub(super) fn check(&mut self, bench: &mut Bench) -> Option<String> {
        if self.fault.steps == 1 {
            self.fault = Hidden::NOTHING;
            // What was allowed while it lasted is no longer.
            bench.watch = Watch::new();
        }
        self.fault.steps = self.fault.steps.saturating_sub(1);
        let broken = self.by_command(bench).map(str::to_owned).or_else(|| self.by_truth(bench));
        if broken.is_some() {
            bench.watch = Watch::new();
        }
        broken
    }

    /// Laws of what is commanded.
    fn by_command(&mut self, bench: &Bench) -> Option<&'static str> {
        if bench.pack.given() == Given::Nothing {
            // No step, no command: a driver waits for a silent sampler until the core's deadline.
            return None;
        }
        let bms = bench.pack.bms();
        let command = bms.command();
        let config = bms.config();
        let closed = [command.charge.is_closed(), command.discharge.is_closed()];
        let closes = [closed[0] && !self.closed[0], closed[1] && !self.closed[1]];
        self.closed = closed;
        let asked = core::mem::take(&mut self.asked);
        let on = command.heater.is_on(bench.pack.stepped_at()) || !command.balance.is_idle();
        let precharges = command.precharge.is_on(bench.pack.stepped_at());
        let any = closed[0] || closed[1] || on || precharges;
        match bench.pack.given() {
            Given::Sample => self.see(bench),
            // A core that was just made.
            Given::Tick => self.restarted(),
            // What the store has of an emergency stop is as old as the last event.
            Given::Unpowered => {
                self.restarted();
                self.emergency = false;
            }
            _ => {}
        }
        if any && self.seen != [true; 3] {
            return Some("law 1: closed before a complete sample");
        }
        if self.emergency && any {
            return Some("law 6: closed under an emergency stop");
        }
        if asked && (closes[0] || closes[1]) {
            return Some("law 6: closed in the step of a request or a change");
        }
        if bench.pack.given() != Given::Sample && (closes[0] || closes[1]) {
            return Some("law 2: closed without a sample");
        }
        let back_to_back = config.board().topology == Topology::BackToBack;
        let bypass = back_to_back && config.get(P::DiodeBypassCurrent) > 0;
        for (side, inhibit) in [Inhibit::CHARGE, Inhibit::DISCHARGE].into_iter().enumerate() {
            let mut forbidding = bms.alarms().common(AlarmSet::inhibiting(inhibit));
            if bypass {
                forbidding = forbidding.minus(BYPASSABLE[side]);
            }
            if back_to_back {
                forbidding = forbidding.minus(STUCK);
            }
            // The core's own alarms: what is closed was decided with them.
            if closed[side] && !forbidding.is_empty() {
                return Some("P17: closed over an alarm that forbids it");
            }
        }
        None
    }

    fn see(&mut self, bench: &Bench) {
        let sample = bench.pack.sample();
        let count = bench.pack.bms().config().cell_count();
        if let Group::Measured { value, .. } = &sample.cells {
            self.seen[0] |= value.count() == count && (0..usize::from(count)).all(|cell| value.get(cell).is_valid());
        }
        self.seen[1] |= matches!(sample.current, Group::Measured { .. });
        if let Group::Measured { value, .. } = &sample.temperatures {
            self.seen[2] |= value.mos.is_valid();
        }
    }

    /// The first hazard that lasted too long, by the plant's truth.
    fn by_truth(&self, bench: &Bench) -> Option<String> {
        let config = *bench.pack.bms().config();
        let period = self.period;
        let faulty = self.fault.steps > 0;
        bench.watch.worst(&config).find_map(|(_, hazard, worst, delay)| {
            if hazard.rule == "X13" && self.fault.blinds_stack {
                return None;
            }
            let lost = config.duration(P::DataLostTime).as_millis().max(3 * period);
            let hidden = match (faulty, hazard.quantity) {
                (false, _) => 0,
                (true, Quantity::Temperature | Quantity::Mos) => NOTICED_MS.max(3 * period),
                (true, _) => lost + 2_000,
            };
            // A transfer that hid it ends first; then the board waits until the balancer has settled, for a scan without its drops (D04).
            let settles = BalancerCapabilities::MANUAL.settle_time.as_millis();
            let loaded = if hazard.quantity == Quantity::Cells { 2 * period + settles } else { 0 };
            let allowed = delay.as_millis() + hidden + 2 * period + loaded + 1 + self.fault.slow_ms;
            (worst.as_millis() > allowed && !self.fault.defeats.covers(hazard.path))
                .then(|| format!("{}: {} for {} ms, allowed {allowed}", hazard.rule, hazard.name, worst.as_millis()))
        })
    }
}

/// What one must know to look into a violation.
pub(super) fn story(bench: &Bench) -> String {
    let bms = bench.pack.bms();
    let alarms: Vec<_> = bms.alarms().iter().map(Alarm::name).collect();
    let faults: Vec<_> = bench.pack.faults_active().collect();
    format!("alarms {alarms:?}, faults {faults:?}, {:?}, {:?}", Truth::of(bench.pack.plant()), bms.command())
}
