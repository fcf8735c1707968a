//! Values in `[[at]]` that may be written in more than one way.

use std::fmt;

use bms_core::bms::Request;
use bms_core::units::{Current, Voltage};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::fault::{self, FaultKind};

use super::at::{Channel, Charger, Fault, Load};
use super::pack::saturating;
use super::words::{Named, Word, unknown};

/// A number that a sensor could show in some unit.
pub(super) struct Physical(pub f64);

impl<'de> Deserialize<'de> for Physical {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.is_finite() && value.abs() <= 2_000.0 {
            Ok(Self(value))
        } else {
            Err(D::Error::custom(format!("{value}: expected -2000 to 2000 V, A or °C")))
        }
    }
}

pub(super) struct ChargerField(pub Charger);

impl<'de> Deserialize<'de> for ChargerField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Rated {
            voltage: f64,
            current: f64,
        }
        struct Charging;
        impl<'de> Visitor<'de> for Charging {
            type Value = Charger;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("true, false or { voltage = V, current = A }")
            }
            fn visit_bool<E: Error>(self, present: bool) -> Result<Charger, E> {
                Ok(if present { Charger::Suitable } else { Charger::Absent })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Charger, A::Error> {
                let Rated { voltage, current } = Rated::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                if !(0.0..=200.0).contains(&voltage) || !(0.0..=1_000.0).contains(&current) {
                    return Err(A::Error::custom("a charger has 0 to 200 V and 0 to 1000 A"));
                }
                Ok(Charger::Rated { voltage, current })
            }
        }
        deserializer.deserialize_any(Charging).map(Self)
    }
}

pub(super) struct LoadField(pub Load);

impl<'de> Deserialize<'de> for LoadField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Loading;
        impl Visitor<'_> for Loading {
            type Value = Load;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("true, false or a current in A")
            }
            fn visit_bool<E: Error>(self, present: bool) -> Result<Load, E> {
                Ok(if present { Load::Present } else { Load::Absent })
            }
            fn visit_f64<E: Error>(self, amperes: f64) -> Result<Load, E> {
                if (0.0..=2_000.0).contains(&amperes) {
                    Ok(Load::Draws(amperes))
                } else {
                    Err(E::custom(format!("a load of {amperes} A: expected 0 to 2000 A, a positive number")))
                }
            }
            fn visit_i64<E: Error>(self, amperes: i64) -> Result<Load, E> {
                self.visit_f64(i32::try_from(amperes).map_or(f64::INFINITY, f64::from))
            }
        }
        deserializer.deserialize_any(Loading).map(Self)
    }
}

pub(super) struct RequestField(pub Request);

impl<'de> Deserialize<'de> for RequestField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Calibration {
            CalibrateVoltage(f64),
            CalibrateCurrent(f64),
        }
        struct Asking;
        impl<'de> Visitor<'de> for Asking {
            type Value = Request;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the name of a request, { calibrate_voltage = V } or { calibrate_current = A }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Request, E> {
                Request::from_word(text).ok_or_else(|| E::custom(unknown::<Request>(text)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Request, A::Error> {
                let calibration = Calibration::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(match calibration {
                    Calibration::CalibrateVoltage(volts) => {
                        Request::CalibrateVoltage(Voltage::from_microvolts(saturating(volts * 1e6)))
                    }
                    Calibration::CalibrateCurrent(amperes) => {
                        Request::CalibrateCurrent(Current::from_milliamps(saturating(amperes * 1e3)))
                    }
                })
            }
        }
        deserializer.deserialize_any(Asking).map(Self)
    }
}

pub(super) struct Channels(pub Vec<Channel>);

impl<'de> Deserialize<'de> for Channels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<Channel>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a channel or a list of channels")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Channel::from_word(text).map(|channel| vec![channel]).ok_or_else(|| E::custom(unknown::<Channel>(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut channels = Vec::new();
                while let Some(Named(channel)) = list.next_element::<Named<Channel>>()? {
                    channels.push(channel);
                }
                Ok(channels)
            }
        }
        deserializer.deserialize_any(List).map(Self)
    }
}

pub(super) struct FaultField(pub Fault);

impl<'de> Deserialize<'de> for FaultField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// As written: cells from 1, seconds, and V, A or °C.
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Detailed {
            OpenWire(u8),
            WireResistance((u8, f64)),
            Stuck(fault::Channel),
            Silent(fault::Channel),
            Late((fault::Channel, f64)),
            Noise((fault::Channel, f64)),
            SwappedCells((u8, u8)),
            WriteFails(fault::Output),
            WriteIgnored(fault::Output),
        }
        struct Faulty;
        impl<'de> Visitor<'de> for Faulty {
            type Value = Fault;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the name of a fault, or { fault = what }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Fault, E> {
                Fault::from_word(text).ok_or_else(|| E::custom(unknown::<Fault>(text)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fault, A::Error> {
                let detailed = Detailed::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Fault::Injected(match detailed {
                    Detailed::OpenWire(wire) => return Ok(Fault::OpenWire(wire)),
                    Detailed::WireResistance((wire, ohms)) => {
                        return Ok(Fault::WireResistance(wire, ohms.clamp(0.0, 1e3)));
                    }
                    Detailed::Stuck(channel) => FaultKind::Stuck(channel),
                    Detailed::Silent(channel) => FaultKind::Silent(channel),
                    Detailed::Late((channel, seconds)) => {
                        FaultKind::Late { channel, by_ms: saturating(seconds * 1e3).unsigned_abs() }
                    }
                    Detailed::Noise((channel, most)) => {
                        FaultKind::Noise { channel, amplitude: saturating(most * stored_per_unit(channel)) }
                    }
                    Detailed::SwappedCells((a, b)) => FaultKind::SwappedCells(a.saturating_sub(1), b.saturating_sub(1)),
                    Detailed::WriteFails(output) => FaultKind::WriteFails(output),
                    Detailed::WriteIgnored(output) => FaultKind::WriteIgnored(output),
                }))
            }
        }
        deserializer.deserialize_any(Faulty).map(Self)
    }
}

/// How many µV, mA or 0.1 °C make a V, A or °C of a channel.
fn stored_per_unit(channel: fault::Channel) -> f64 {
    match channel {
        fault::Channel::Cells | fault::Channel::Stack | fault::Channel::Terminal => 1e6,
        fault::Channel::Current => 1e3,
        fault::Channel::Temperatures => 10.0,
        fault::Channel::Feedback | fault::Channel::Inputs => 1.0,
    }
}
