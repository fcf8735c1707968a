//! Active alarms, permanent faults, trip counts with their lock-outs, the user's switches.

use bms_core::protection::{AlarmSet, Retries};
use bms_core::snapshot::{Snapshot, UserSwitches};

use crate::codec::{Malformed, Reader, Writer};

/// The part of a [`Snapshot`] that must be saved at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Faults {
    /// Alarms.
    pub alarms: AlarmSet,
    /// Trips per cause, and conduction since.
    pub retries: Retries,
    /// The user's switches.
    pub switches: UserSwitches,
    /// Optional battery sensors that had delivered.
    pub sensors_seen: u8,
}

/// The battery's sensors.
const SENSORS: u8 = 0b1_1111;

impl Faults {
    /// None, with a new board's switches.
    pub const NONE: Self = Self {
        alarms: AlarmSet::EMPTY,
        retries: Retries::restored([0; 4], [0; 2]),
        switches: UserSwitches { charge: true, discharge: true, balance: true },
        sensors_seen: 0,
    };

    /// That part of a snapshot.
    #[must_use]
    pub const fn of(snapshot: &Snapshot) -> Self {
        Self {
            alarms: snapshot.alarms,
            retries: snapshot.retries,
            switches: snapshot.switches,
            sensors_seen: snapshot.sensors_seen & SENSORS,
        }
    }
    /// Whether the two differ in what must be saved at once; the conduction times of the trip counts may wait.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        let urgent = |faults: &Self| (faults.alarms, faults.retries.counts(), faults.switches, faults.sensors_seen);
        urgent(self) != urgent(other)
    }

    /// Version 2: alarms (8), counts (4 × 1), conduction in ms (2 × 4), switches (bits: charge, discharge, balance, then the five
    /// battery sensors that were seen). In version 1 the sensors' bits are zero.
    pub(crate) fn encode(&self, out: &mut Writer<'_>) {
        out.u64(self.alarms.bits());
        out.bytes(&self.retries.counts());
        for conduction in self.retries.conduction_millis() {
            out.u32(conduction);
        }
        let bit = |on: bool, number: u32| u8::from(on).wrapping_shl(number);
        let switches = bit(self.switches.charge, 0) | bit(self.switches.discharge, 1) | bit(self.switches.balance, 2);
        out.u8(switches | self.sensors_seen.wrapping_shl(3));
    }
    /// An alarm that this build does not know is no reason to forget the others, but one to stay open: it is malformed.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(payload);
        let bits = input.u64()?;
        let alarms = AlarmSet::from_bits(bits);
        let counts = input.array()?;
        let retries = Retries::restored(counts, [input.u32()?, input.u32()?]);
        let switches = input.u8()?;
        input.end()?;
        if alarms.bits() != bits {
            return Err(Malformed);
        }
        let on = |bit: u8| switches & bit != 0;
        let user = UserSwitches { charge: on(1), discharge: on(2), balance: on(4) };
        Ok(Self { alarms, retries, switches: user, sensors_seen: switches >> 3 })
    }
}
