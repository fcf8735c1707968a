//! The configuration: every parameter that can change in service, and for which firmware it was made.

use bms_core::config::{Chemistry, Config, Model, ParameterId, Profile, Scope, ValidConfig, Violations};

use crate::codec::{Malformed, Reader, Writer};

/// The pack that a firmware was built for. Settings of another one are not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identity {
    /// Its chemistry.
    pub chemistry: Chemistry,
    /// Its number of cells.
    pub cells: u8,
    /// Its model.
    pub model: Option<Model>,
}

impl Identity {
    /// The identity of a firmware's built-in configuration.
    #[must_use]
    pub const fn of(firmware: &ValidConfig) -> Self {
        Self { chemistry: firmware.chemistry(), cells: firmware.cell_count(), model: firmware.model() }
    }
    fn encode(&self, out: &mut Writer<'_>) {
        out.u8(self.chemistry as u8);
        out.u8(self.cells);
        out.u8(self.model.map_or(NO_MODEL, |model| model as u8));
    }
    fn decode(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { chemistry: chemistry(input.u8()?)?, cells: input.u8()?, model: model(input.u8()?)? })
    }
}

const NO_MODEL: u8 = 0xFF;

fn chemistry(number: u8) -> Result<Chemistry, Malformed> {
    Chemistry::ALL.into_iter().find(|chemistry| *chemistry as u8 == number).ok_or(Malformed)
}

fn model(number: u8) -> Result<Option<Model>, Malformed> {
    if number == NO_MODEL {
        return Ok(None);
    }
    Model::ALL.into_iter().find(|model| *model as u8 == number).map(Some).ok_or(Malformed)
}

/// Stored: what people and calibration set. A rating of the board stays the firmware's (P15, D01).
fn is_stored(scope: Scope) -> bool {
    scope != Scope::Board
}

/// What a configuration record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one of them, for a moment, and no allocator")]
pub(crate) enum StoredConfig {
    /// It is valid by today's rules.
    Valid(ValidConfig),
    /// It is readable but breaks today's rules.
    Invalid(Violations),
    /// It was made by a firmware for another pack.
    OtherPack(Identity),
}

/// Version 1: firmware's chemistry, cells, model; chemistry, profile; count, then number and value of each parameter.
pub(crate) fn encode(config: &ValidConfig, firmware: &ValidConfig, out: &mut Writer<'_>) {
    Identity::of(firmware).encode(out);
    out.u8(config.chemistry() as u8);
    out.u8(config.profile() as u8);
    let stored = || ParameterId::ALL.into_iter().filter(|parameter| is_stored(parameter.scope()));
    out.u8(u8::try_from(stored().count()).unwrap_or(u8::MAX));
    for parameter in stored() {
        out.u8(parameter as u8);
        out.i32(config.get(parameter));
    }
}

/// A parameter that the record lacks, because the firmware that wrote it had none, takes its default.
pub(crate) fn decode(payload: &[u8], firmware: &ValidConfig) -> Result<StoredConfig, Malformed> {
    let mut input = Reader::new(payload);
    let identity = Identity::decode(&mut input)?;
    let chemistry = chemistry(input.u8()?)?;
    let profile = match input.u8()? {
        number if number == Profile::Manual as u8 => Profile::Manual,
        number if number == Profile::Default as u8 => Profile::Default,
        _ => return Err(Malformed),
    };
    let mut config =
        Config::preset(chemistry, firmware.cell_count()).with_profile(profile).with_board(*firmware.board());
    if let Some(model) = firmware.model() {
        config = config.with_model(model);
    }
    for parameter in ParameterId::ALL.into_iter().filter(|parameter| !is_stored(parameter.scope())) {
        config = config.with(parameter, firmware.get(parameter));
    }
    for _ in 0..input.u8()? {
        let (number, value) = (input.u8()?, input.i32()?);
        let parameter = ParameterId::from_number(number).ok_or(Malformed)?;
        if is_stored(parameter.scope()) {
            config = config.with(parameter, value);
        }
    }
    input.end()?;
    if identity != Identity::of(firmware) {
        return Ok(StoredConfig::OtherPack(identity));
    }
    Ok(match config.validate() {
        Ok(valid) => StoredConfig::Valid(valid),
        Err(violations) => StoredConfig::Invalid(violations),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod tests {
    use bms_core::protection::Alarm;
    use bms_core::units::ah;

    use super::*;
    use crate::codec::Writer;
    use crate::layout::BUFFER;

    const FIRMWARE: ValidConfig =
        const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated() };

    fn encoded(config: &ValidConfig, firmware: &ValidConfig) -> ([u8; BUFFER], usize) {
        let mut buffer = [0; BUFFER];
        let mut out = Writer::new(&mut buffer);
        encode(config, firmware, &mut out);
        let length = out.finish().unwrap();
        (buffer, length)
    }

    #[test]
    fn what_was_set_comes_back_and_ratings_stay_the_firmwares() {
        let changed = FIRMWARE
            .to_config()
            .with(ParameterId::BalanceTrigger, 20_000)
            .with(ParameterId::CurrentGain, -321)
            .with(ParameterId::CellCount, 15)
            .validate()
            .unwrap();
        let (buffer, length) = encoded(&changed, &FIRMWARE);
        assert!(length + crate::codec::ENVELOPE < BUFFER);
        assert_eq!(decode(&buffer[..length], &FIRMWARE), Ok(StoredConfig::Valid(changed)));
        // A new firmware with another rating of the board: its own counts.
        let faster = FIRMWARE.to_config().with(ParameterId::SamplePeriod, 50).validate().unwrap();
        let Ok(StoredConfig::Valid(loaded)) = decode(&buffer[..length], &faster) else { panic!("not valid") };
        assert_eq!(loaded.get(ParameterId::SamplePeriod), 50);
        assert_eq!(loaded.get(ParameterId::BalanceTrigger), 20_000);
    }

    #[test]
    fn settings_of_another_pack_or_against_todays_rules_are_not_taken() {
        let (mut buffer, length) = encoded(&FIRMWARE, &FIRMWARE);
        let other = Config::lifepo4(8).with_model(Model::B2a24s15p).with_capacity(ah(280)).validate().unwrap();
        assert!(matches!(decode(&buffer[..length], &other), Ok(StoredConfig::OtherPack(_))));
        // The first parameter behind the header of six bytes is the cell count.
        assert_eq!(buffer[6], ParameterId::CellCount as u8);
        buffer[7] = 99;
        assert!(matches!(decode(&buffer[..length], &FIRMWARE), Ok(StoredConfig::Invalid(_))));
        assert_eq!(decode(&buffer[..length - 1], &FIRMWARE), Err(Malformed));
        buffer[3] = 7;
        assert_eq!(decode(&buffer[..length], &FIRMWARE), Err(Malformed));
    }

    #[test]
    fn a_record_without_the_newest_parameters_takes_their_defaults() {
        let (mut buffer, length) = encoded(&FIRMWARE, &FIRMWARE);
        buffer[5] -= 1;
        let Ok(StoredConfig::Valid(loaded)) = decode(&buffer[..length - 5], &FIRMWARE) else { panic!("not valid") };
        assert_eq!(loaded, FIRMWARE);
    }

    /// S01: the numbers that images use are written down, and none is ever used again for something else.
    #[test]
    fn numbers_are_never_used_again() {
        let list = include_str!("numbers.txt");
        let part = |title: &str| -> Vec<&str> {
            let lines = list.lines().skip_while(|line| *line != title).skip(1);
            lines.take_while(|line| !line.starts_with('[')).collect()
        };
        let parameters: Vec<_> = bms_core::config::PARAMETERS.iter().map(|parameter| parameter.name).collect();
        let numbers: Vec<_> = ParameterId::ALL.iter().map(|id| *id as usize).collect();
        assert_eq!(part("[parameters]"), parameters, "add a new parameter at the end of the table and of numbers.txt");
        assert_eq!(numbers, (0..parameters.len()).collect::<Vec<_>>());
        let alarms: Vec<_> = Alarm::ALL.iter().map(|alarm| alarm.name()).collect();
        let numbers: Vec<_> = Alarm::ALL.iter().map(|alarm| *alarm as usize).collect();
        assert_eq!(part("[alarms]"), alarms, "add a new alarm at the end of the table and of numbers.txt");
        assert_eq!(numbers, (0..alarms.len()).collect::<Vec<_>>());
    }
}
