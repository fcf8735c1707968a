//! What of a step's input is new, failed, or known from before.

use crate::watch::Time;
use bms_core::measurement::{BATTERY_SENSORS, Feedback, Group, Input, Inputs, Reading, Sample};
use bms_core::time::Instant;

/// What a group brought in this step.
#[derive(Clone, Debug, PartialEq)]
pub enum News<T> {
    /// Nothing.
    None,
    /// A failure.
    Failed,
    /// A measurement, taken then.
    New(Time, T),
}

impl<T> News<T> {
    /// The measurement, if there is one.
    pub fn measured(&self) -> Option<(Time, &T)> {
        match self {
            Self::New(at, value) => Some((*at, value)),
            _ => None,
        }
    }
}

/// A quantity that is remembered.
#[derive(Clone, Debug)]
pub struct Known<T> {
    /// The last good value and when it was taken.
    pub last: Option<(Time, T)>,
    /// Whether the newest attempt gave the last value.
    pub trusted: bool,
    /// Whether the newest attempt since the start failed.
    pub failed: bool,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { last: None, trusted: false, failed: false }
    }
}

impl<T: Copy> Known<T> {
    fn good(&mut self, at: Time, value: T) {
        *self = Self { last: Some((at, value)), trusted: true, failed: false };
    }
    /// How old the last good value is; without one, how long nothing came.
    pub fn age(&self, now: Time) -> Time {
        now - self.last.as_ref().map_or(0, |(at, _)| *at)
    }
    /// The value, if the newest attempt gave it and it is younger than `stale`.
    pub fn usable(&self, now: Time, stale: Time) -> Option<T> {
        self.last.filter(|(at, _)| self.trusted && now - at < stale).map(|(_, value)| value)
    }
}

/// The cells of one scan: microvolts, `None` where the reading is worthless.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// How many the front end measured.
    pub count: usize,
    /// The configured ones.
    pub cells: Vec<Option<i64>>,
}

impl Scan {
    /// Every cell's voltage, if all are good.
    pub fn complete(&self) -> Option<Vec<i64>> {
        self.cells.iter().copied().collect()
    }
    /// The good cells' voltages.
    pub fn good(&self) -> Vec<i64> {
        self.cells.iter().copied().flatten().collect()
    }
}

/// A temperature sensor's reading in tenths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensor {
    /// Not read this time.
    Absent,
    /// Open (`None`), or so far out of its range that it must be shorted.
    Bad(Option<i64>),
    /// Good.
    Good(i64),
}

impl Sensor {
    /// What it shows, good or not.
    pub fn shown(self) -> Option<i64> {
        match self {
            Self::Good(value) | Self::Bad(Some(value)) => Some(value),
            _ => None,
        }
    }
}

/// A board's temperatures: the battery's, then the switches'.
pub type Sensors = [Sensor; BATTERY_SENSORS + 1];

/// All news of a step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Cells.
    pub cells: News<Scan>,
    /// Milliamperes, charging positive.
    pub current: News<i64>,
    /// Temperatures.
    pub temperatures: News<Sensors>,
    /// Microvolts before the switches.
    pub stack: News<i64>,
    /// Microvolts behind the switches.
    pub terminal: News<i64>,
    /// Outputs' feedback.
    pub feedback: News<Feedback>,
    /// Digital inputs.
    pub inputs: News<Inputs>,
}

/// The newest time stamp of each group.
#[derive(Clone, Debug, Default)]
pub struct Stamps([Option<Time>; 7]);

impl Stamps {
    /// Nothing that was taken until then is news.
    pub fn from(now: Time) -> Self {
        Self([Some(now); 7])
    }
    fn take<T: Clone, U>(
        &mut self,
        index: usize,
        group: &Group<T>,
        clock: Clock,
        convert: impl Fn(&T) -> U,
    ) -> News<U> {
        match group {
            Group::NotMeasured => News::None,
            Group::Failed => News::Failed,
            Group::Measured { at, .. } if *at > clock.instant => News::Failed,
            Group::Measured { at, value } => {
                let age = (clock.instant.as_millis() - at.as_millis()) as Time;
                let taken = clock.now - age;
                if self.0[index].is_some_and(|last| taken <= last) {
                    return News::None;
                }
                self.0[index] = Some(taken);
                News::New(taken, convert(value))
            }
        }
    }
}

/// A step's time: what it was told, and the oracle's own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// As told.
    pub instant: Instant,
    /// The time that has passed.
    pub now: Time,
}

fn sensor(reading: Reading<bms_core::units::Temperature>) -> Sensor {
    match reading {
        Reading::NotMeasured => Sensor::Absent,
        Reading::Valid(value) if (-450..=1_250).contains(&value.as_tenths()) => Sensor::Good(value.as_tenths().into()),
        Reading::Valid(value) => Sensor::Bad(Some(value.as_tenths().clamp(-451, 1_251).into())),
        _ => Sensor::Bad(None),
    }
}

/// Sorts out what a step was given.
pub fn read<const N: usize>(stamps: &mut Stamps, input: &Input<'_, N>, clock: Clock, count: usize) -> Step {
    let nothing = Sample::<N>::new();
    let (sample, lost) = match input {
        Input::Sample(sample) => (*sample, false),
        Input::Lost(_) => (&nothing, true),
        Input::Tick => (&nothing, false),
    };
    if lost {
        return Step {
            cells: News::Failed,
            current: News::Failed,
            temperatures: News::Failed,
            stack: News::Failed,
            terminal: News::Failed,
            feedback: News::Failed,
            inputs: News::Failed,
        };
    }
    Step {
        cells: stamps.take(0, &sample.cells, clock, |cells| Scan {
            count: cells.count().into(),
            cells: (0..count).map(|index| cells.get(index).valid().map(|value| value.as_microvolts().into())).collect(),
        }),
        current: stamps.take(1, &sample.current, clock, |value| value.as_milliamps().into()),
        temperatures: stamps.take(2, &sample.temperatures, clock, |value| {
            let mut sensors = [Sensor::Absent; BATTERY_SENSORS + 1];
            for (index, reading) in value.battery.iter().enumerate() {
                sensors[index] = sensor(*reading);
            }
            sensors[BATTERY_SENSORS] = sensor(value.mos);
            sensors
        }),
        stack: stamps.take(3, &sample.stack, clock, |value| value.as_microvolts().into()),
        terminal: stamps.take(4, &sample.terminal, clock, |value| value.as_microvolts().into()),
        feedback: stamps.take(5, &sample.feedback, clock, |value| *value),
        // Whatever its time, what an input says now counts.
        inputs: Stamps::default().take(6, &sample.inputs, clock, |value| *value),
    }
}

/// Remembers what a step brought.
pub fn remember<T: Copy>(known: &mut Known<T>, news: &News<T>) {
    match news {
        News::None => {}
        News::Failed => {
            known.trusted = false;
            known.failed = true;
        }
        News::New(at, value) => known.good(*at, *value),
    }
}
