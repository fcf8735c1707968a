//! Words of the file format: enumerations that are written as text.

use std::fmt;
use std::marker::PhantomData;

use bms_core::config::{Chemistry, Model, PARAMETERS, ParameterId, Profile, SensorPolicy, Topology};
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A value that is written as one word.
pub trait Word: Sized + 'static {
    /// What the word names, for messages.
    const KIND: &'static str;
    /// All words.
    fn words() -> Vec<String>;
    /// The value of a word.
    fn from_word(word: &str) -> Option<Self>;
}

/// Says why a word is not one of the expected: with the nearest, or all if there are few.
#[must_use]
pub fn unknown<T: Word>(word: &str) -> String {
    let words = T::words();
    if words.len() <= 12 {
        return format!("unknown {} `{word}`: expected {}", T::KIND, words.join(", "));
    }
    let nearest = words.iter().min_by_key(|known| strsim::damerau_levenshtein(known, word));
    match nearest {
        Some(nearest) => format!("unknown {} `{word}`: did you mean `{nearest}`?", T::KIND),
        None => format!("unknown {} `{word}`", T::KIND),
    }
}

/// Deserializes a [`Word`]; use as `#[serde(deserialize_with = "word")]`, or through [`Named`].
///
/// # Errors
/// If it is not one of the words.
pub fn word<'de, T: Word, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Words<T>(PhantomData<T>);
    impl<T: Word> Visitor<'_> for Words<T> {
        type Value = T;
        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "the name of a {}", T::KIND)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            T::from_word(text).ok_or_else(|| E::custom(unknown::<T>(text)))
        }
    }
    deserializer.deserialize_str(Words(PhantomData))
}

/// A [`Word`] as a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<T>(pub T);

impl<'de, T: Word> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer).map(Self)
    }
}

/// Implements [`Word`] for an enumeration with few values.
macro_rules! words {
    ($type:ty, $kind:literal, $($word:literal => $value:expr),* $(,)?) => {
        impl $crate::sim::scenario::Word for $type {
            const KIND: &'static str = $kind;
            fn words() -> Vec<String> {
                vec![$($word.to_owned()),*]
            }
            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some($value),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use words;

words!(Profile, "profile", "default" => Profile::Default, "manual" => Profile::Manual);
words!(Topology, "topology",
    "back_to_back" => Topology::BackToBack,
    "separate_ports" => Topology::SeparatePorts,
    "contactors" => Topology::Contactors,
);
words!(SensorPolicy, "sensor policy",
    "required" => SensorPolicy::Required,
    "optional" => SensorPolicy::Optional,
    "not_fitted" => SensorPolicy::NotFitted,
);
words!(ResetCause, "reset cause",
    "power_on" => ResetCause::PowerOn,
    "brown_out" => ResetCause::BrownOut,
    "watchdog" => ResetCause::Watchdog,
    "unknown" => ResetCause::Unknown,
);

impl Word for Chemistry {
    const KIND: &'static str = "chemistry";
    fn words() -> Vec<String> {
        ["li-ion", "nmc", "nca", "lifepo4", "lfp", "lto"].map(str::to_owned).to_vec()
    }
    fn from_word(word: &str) -> Option<Self> {
        Self::from_name(word)
    }
}

impl Word for Model {
    const KIND: &'static str = "model";
    fn words() -> Vec<String> {
        Self::ALL.iter().map(|model| model.ratings().name.to_owned()).collect()
    }
    fn from_word(word: &str) -> Option<Self> {
        Self::from_name(word)
    }
}

impl Word for ParameterId {
    const KIND: &'static str = "parameter";
    fn words() -> Vec<String> {
        PARAMETERS.iter().map(|parameter| parameter.name.to_owned()).collect()
    }
    fn from_word(word: &str) -> Option<Self> {
        Self::from_name(word)
    }
}

impl Word for Alarm {
    const KIND: &'static str = "alarm";
    fn words() -> Vec<String> {
        Self::ALL.iter().map(|alarm| alarm.name().to_owned()).collect()
    }
    fn from_word(word: &str) -> Option<Self> {
        Self::from_name(word)
    }
}
