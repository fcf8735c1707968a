//! FNV-1a over 64 bits, fed field by field so that no memory layout plays a part.

use bms_core::balancing::{Phase, Plan};
use bms_core::command::{Beep, Command, Expiring, LinkLed, Power, ScanMode};
use bms_core::event::{Event, EventKind};
use bms_core::time::Instant;

/// A running hash.
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Folds eight bytes, least significant first.
    pub fn word(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    /// The hash so far.
    #[must_use]
    pub const fn finish(&self) -> u64 {
        self.0
    }

    fn signed(&mut self, value: i32) {
        self.word(i64::from(value) as u64);
    }
    fn flag(&mut self, value: bool) {
        self.word(u64::from(value));
    }
    fn time(&mut self, at: Instant) {
        self.word(at.as_millis());
    }
    fn expiring(&mut self, output: Expiring) {
        match output {
            Expiring::Off => self.word(0),
            Expiring::On { until } => {
                self.word(1);
                self.time(until);
            }
        }
    }

    fn plan(&mut self, plan: Plan) {
        match plan {
            Plan::Idle => self.word(0),
            Plan::Transfer { source, destination, phase, current, until } => {
                self.word(1);
                self.word(u64::from(source));
                self.word(u64::from(destination));
                self.flag(phase == Phase::Take);
                self.signed(current.as_milliamps());
                self.time(until);
            }
            Plan::Bleed { mask, until } => {
                self.word(2);
                self.word(u64::from(mask));
                self.time(until);
            }
            Plan::Shuttle { source, destination, current, until } => {
                self.word(3);
                self.word(u64::from(source));
                self.word(u64::from(destination));
                self.signed(current.as_milliamps());
                self.time(until);
            }
            _ => panic!("a kind of plan that the digest does not know"),
        }
    }

    /// Folds a command, every field of it.
    pub fn command(&mut self, command: &Command) {
        let Command {
            charge,
            discharge,
            precharge,
            balance,
            heater,
            power,
            last_resort,
            clear_latch,
            scan,
            beep,
            link_led,
            limits,
        } = *command;
        self.flag(charge.is_closed());
        self.flag(discharge.is_closed());
        self.expiring(precharge);
        self.plan(balance);
        self.expiring(heater);
        self.flag(power == Power::Release);
        self.flag(last_resort.is_closed());
        self.flag(clear_latch);
        self.flag(scan == ScanMode::Quiet);
        self.word(match beep {
            Beep::None => 0,
            Beep::Awake => 1,
            Beep::Accepted => 2,
        });
        self.word(match link_led {
            LinkLed::Off => 0,
            LinkLed::Flashing => 1,
            LinkLed::Steady => 2,
        });
        self.signed(limits.charge_voltage.as_microvolts());
        self.signed(limits.charge_current.as_milliamps());
        self.signed(limits.discharge_current.as_milliamps());
    }

    /// Folds an event.
    pub fn event(&mut self, event: &Event) {
        self.time(event.at);
        match event.kind {
            EventKind::Raised { alarm, index, value } => {
                self.word(1);
                self.word(alarm as u64);
                self.word(index.map_or(u64::MAX, u64::from));
                self.signed(value);
            }
            EventKind::Cleared { alarm } => {
                self.word(2);
                self.word(alarm as u64);
            }
            EventKind::Switched { charge, discharge } => {
                self.word(3);
                self.flag(charge);
                self.flag(discharge);
            }
            EventKind::Balancing { active } => {
                self.word(4);
                self.flag(active);
            }
            EventKind::Heating { active } => {
                self.word(5);
                self.flag(active);
            }
            EventKind::Full => self.word(6),
            EventKind::Empty => self.word(7),
            EventKind::ParameterChanged { parameter } => {
                self.word(8);
                self.word(parameter as u64);
            }
            EventKind::Reconfigured => self.word(9),
            EventKind::Started => self.word(10),
            EventKind::ShuttingDown => self.word(11),
            _ => panic!("a kind of event that the digest does not know"),
        }
    }
}
