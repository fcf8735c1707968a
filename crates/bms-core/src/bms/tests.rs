//! What only the inside can show.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Bms, Request};
use crate::config::{BoardDefinition, Chemistry, Config, Model, ParameterId as P, SensorPolicy, Topology, ValidConfig};
use crate::estimation::CoulombCounter;
use crate::event::EventKind;
use crate::fittings::{Fittings, HeaterFitted, NotFitted, PrechargeFitted, Unbalanced};
use crate::measurement::{Cells, Group, Input, Inputs, Reading, Sample, Temperatures};
use crate::port::Balancer;
use crate::port::ErrorKind;
use crate::protection::{Alarm, AlarmSet};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::units::{ah, deg_c, ma, mv, uv};

const PACK: ValidConfig = const { Config::lifepo4(8).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated() };

/// xorshift32: fixed, named, the same everywhere.
struct Xorshift(u32);

impl Xorshift {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % end
    }
    fn around(&mut self, middle: i32, width: u32) -> i32 {
        middle + self.below(2 * width + 1) as i32 - width as i32
    }
    fn one_in(&mut self, many: u32) -> bool {
        self.below(many) == 0
    }
}

fn sample(random: &mut Xorshift, now: Instant, calm: u32) -> Sample<8> {
    let mut sample = Sample::new();
    let middle = if random.one_in(20 * calm) { random.around(3_200, 700) } else { 3_300 };
    let mut cells = Cells::new(if random.one_in(200 * calm) { 7 } else { 8 });
    for index in 0..8 {
        cells.set(index, uv(random.around(middle * 1_000, 30_000)));
    }
    if random.one_in(40 * calm) {
        cells.set(random.below(8) as usize, mv(random.around(2_500, 2_500)));
    }
    if random.one_in(60 * calm) {
        cells.invalidate(random.below(8) as usize);
    }
    let sum: i32 = (0..8).filter_map(|index| cells.get(index).valid()).map(|cell| cell.as_millivolts()).sum();
    sample.cells = if random.one_in(30 * calm) { Group::Failed } else { Group::at(now, cells) };
    let amperes = if random.one_in(30 * calm) { random.around(0, 400) } else { random.around(0, 20) };
    sample.current = if random.one_in(50 * calm) { Group::Failed } else { Group::at(now, ma(amperes * 1_000)) };
    let reading = |random: &mut Xorshift| match random.below(60 * calm) {
        0 => Reading::Invalid,
        1 => Reading::Valid(deg_c(random.around(20, 120))),
        2 => Reading::NotMeasured,
        _ => Reading::Valid(deg_c(random.around(25, 5))),
    };
    let mut temperatures = Temperatures::default();
    temperatures.battery[0] = reading(random);
    temperatures.battery[1] = reading(random);
    temperatures.mos = reading(random);
    if !random.one_in(10) {
        sample.temperatures = Group::at(now, temperatures);
    }
    if !random.one_in(5) {
        sample.stack = Group::at(now, mv(sum + if random.one_in(40 * calm) { 3_000 } else { 0 }));
    }
    if random.one_in(3) {
        sample.terminal = Group::at(now, mv(sum + if random.one_in(20 * calm) { 2_000 } else { 100 }));
    }
    sample.inputs = Group::at(now, Inputs { short_circuit: random.one_in(300 * calm), ..Inputs::default() });
    sample
}

/// The window only saves work: with it and without it every monitor ends where it would have.
#[test]
fn the_window_changes_nothing() {
    let mut random = Xorshift(0x1234_5678);
    let (mut held, mut steps) = (0_u32, 0_u32);
    for round in 0..60 {
        let mut bms = Bms::<8>::with_capacity(PACK);
        let mut now = Instant::from_millis(round);
        // Wild rounds and calm ones.
        let calm = if round % 2 == 0 { 1 } else { 50 };
        for _ in 0..600 {
            let longest = if random.one_in(50 * calm) { 5_000 } else { 200 };
            now = Instant::from_millis(now.as_millis() + u64::from(random.below(longest)));
            let sample = sample(&mut random, now, calm);
            let input = match random.below(40 * calm) {
                0 => Input::Lost(ErrorKind::Bus),
                1 => Input::Tick,
                _ => Input::Sample(&sample),
            };
            let mut quick = bms.clone();
            let elapsed = quick.pass_time(now);
            quick.take(now, elapsed, input);
            quick.look_at_start();
            let mut looked = quick.clone();
            looked.measurement.complete_extremes(&looked.config);
            let all = AlarmSet::of(&Alarm::ALL);
            let slow_edges = looked.protection.step(elapsed, all, &looked.clone().circumstances());
            steps += 1;
            held += u32::from(quick.is_clear());
            let before = quick.protection.active();
            if !quick.is_clear() {
                quick.look_at_rows(elapsed);
            }
            assert_eq!(looked.protection.active(), quick.protection.active());
            assert_eq!(looked.protection.pending(), quick.protection.pending());
            assert_eq!(slow_edges.raised, quick.protection.active().minus(before));
            for alarm in looked.protection.active().and(looked.protection.pending()).iter() {
                assert_eq!(looked.protection.timer(alarm), quick.protection.timer(alarm), "{alarm}");
            }
            bms.step(now, input);
        }
    }
    // The comparison is worth something only if the window held often, and did not often.
    assert!(held > steps / 20 && held < steps * 19 / 20, "held {held} of {steps}");
}

/// X20: one flipped bit in any limit is found within ten steps, and opens everything for good.
#[test]
fn a_flipped_bit_in_a_limit_opens_everything() {
    for word in 0..crate::config::PARAMETER_COUNT {
        for bit in [0, 13, 31] {
            let mut bms = Bms::<8>::with_capacity(PACK);
            bms.config.flip(word, bit);
            for step in 1..=11 {
                bms.step(Instant::from_millis(step * 100), Input::Tick);
            }
            assert!(bms.alarms().contains(Alarm::LimitsCorrupt), "word {word} bit {bit}");
            assert!(!bms.is_healthy());
        }
    }
}

/// X20: what is derived from the limits and decides in their place is checked too, and no flipped bit ends an alarm.
#[test]
fn a_flipped_bit_in_what_is_made_of_the_limits_opens_everything() {
    let flips: [fn(&mut Bms<8>); 5] = [
        |bms| bms.window.flip(),
        |bms| bms.window.widen(),
        |bms| bms.calibration.flip(),
        |bms| bms.measurement.channels.flip_limits(),
        |bms| bms.protection.flip(Alarm::CellOvervoltage),
    ];
    for flip in flips {
        let mut bms = Bms::<8>::with_capacity(PACK);
        for step in 0..30 {
            bms.step(Instant::from_millis(step * 100), Input::Tick);
            assert!(!bms.alarms().contains(Alarm::LimitsCorrupt));
        }
        flip(&mut bms);
        for step in 30..41 {
            bms.step(Instant::from_millis(step * 100), Input::Tick);
        }
        assert!(bms.alarms().contains(Alarm::LimitsCorrupt));
    }
}

/// X20: chemistry, model and board are checked as the limits are.
#[test]
fn a_changed_board_opens_everything() {
    type Change = fn(&mut Chemistry, &mut Option<Model>, &mut BoardDefinition);
    let changes: [Change; 8] = [
        |chemistry, _, _| *chemistry = Chemistry::LiIon,
        |_, model, _| *model = None,
        |_, model, _| *model = Some(Model::B1a8s20p),
        |_, _, board| board.topology = Topology::Contactors,
        |_, _, board| board.sensors[0] = SensorPolicy::NotFitted,
        |_, _, board| board.sensors[4] = SensorPolicy::Optional,
        |_, _, board| board.last_resort = true,
        |_, _, board| board.stack_voltage = false,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut bms = Bms::<8>::with_capacity(PACK);
        bms.config.replace(change);
        for step in 1..=11 {
            bms.step(Instant::from_millis(step * 100), Input::Tick);
        }
        assert!(bms.alarms().contains(Alarm::LimitsCorrupt), "change {number}");
    }
}

/// What a board does not have makes no other difference: every command and every event of a core with all parts and a
/// board without balancer, heater and precharge is the same without those parts (P01 P03 P06 P08 X01).
#[test]
fn what_is_not_fitted_changes_nothing_else() {
    let mut random = Xorshift(0x0F17_7ED5);
    let (mut closed, mut events, mut steps) = (0_u32, 0_u32, 0_u32);
    for round in 0..40 {
        let mut full = Bms::<8>::with_capacity(PACK);
        full.set_balancer(NotFitted.capabilities());
        let mut plain = Unbalanced::<8>::without_balancer(PACK);
        let mut bare = Bms::<8, NotFitted, NotFitted, NotFitted>::with_parts(PACK, NotFitted, NotFitted);
        let calm = if round % 2 == 0 { 1 } else { 50 };
        let mut now = Instant::from_millis(round);
        for _ in 0..500 {
            now = Instant::from_millis(now.as_millis() + u64::from(random.below(200)));
            let sample = sample(&mut random, now, calm);
            let input = match random.below(40 * calm) {
                0 => Input::Lost(ErrorKind::Bus),
                1 => Input::Tick,
                _ => Input::Sample(&sample),
            };
            if random.one_in(100) {
                let request = [Request::SetDischarge(random.one_in(2)), Request::ClearLockout, Request::ClearPermanent]
                    [random.below(3) as usize];
                let answer = full.request(request);
                assert_eq!((plain.request(request), bare.request(request)), (answer, answer));
            }
            let command = full.step(now, input);
            assert_eq!((plain.step(now, input), bare.step(now, input)), (command, command));
            assert_eq!((plain.alarms(), bare.alarms()), (full.alarms(), full.alarms()));
            while let Some(event) = full.poll_event() {
                events += 1;
                assert_eq!(plain.poll_event(), Some(event));
                if !matches!(event.kind, EventKind::Full | EventKind::Empty) {
                    assert_eq!(bare.poll_event(), Some(event));
                }
            }
            assert_eq!((plain.poll_event(), bare.poll_event()), (None, None));
            // All that survives a reset too, but what a balancing strategy learned.
            let (of_full, of_plain) = (full.snapshot(), plain.snapshot());
            assert_eq!(Snapshot { balancing: of_full.balancing, ..of_plain }, of_full);
            closed += u32::from(command.charge.is_closed());
            steps += 1;
        }
    }
    assert!(closed > steps / 20 && events > 200, "closed in {closed} of {steps}, {events} events");
}

/// A core that was built without what the board needs says so, and stays on the safe side (X17, D28).
#[test]
fn a_board_with_more_than_the_core_was_built_for_says_so() {
    fn run<F: Fittings>(config: ValidConfig) -> (bool, AlarmSet) {
        let mut bms = Unbalanced::<8, F>::without_balancer(config);
        let mut sample = Sample::new();
        for step in 1..60 {
            let now = Instant::from_millis(step * 100);
            sample.cells = Group::at(now, Cells::from_voltages(&[mv(3_300); 8]));
            sample.current = Group::at(now, ma(0));
            let warm = Reading::Valid(deg_c(25));
            let mut temperatures = Temperatures { mos: warm, ..Temperatures::default() };
            temperatures.battery[0] = warm;
            temperatures.battery[1] = warm;
            sample.temperatures = Group::at(now, temperatures);
            sample.stack = Group::at(now, mv(8 * 3_300));
            sample.terminal = Group::at(now, mv(8 * 3_300));
            bms.step(now, Input::Sample(&sample));
        }
        assert!(bms.command().charge.is_closed());
        (bms.command().discharge.is_closed(), bms.alarms())
    }
    let board = BoardDefinition { precharge: true, terminal_voltage: true, ..BoardDefinition::MANUAL };
    let with_precharge = PACK.to_config().with_board(board).validate().unwrap();
    let with_heater = PACK.to_config().with(P::HeaterResistance, 10_000_000).validate().unwrap();
    let (none, failed) = (AlarmSet::EMPTY, AlarmSet::of(&[Alarm::PrechargeFailed]));
    assert_eq!(run::<PrechargeFitted>(with_precharge), (true, none));
    assert_eq!(run::<HeaterFitted>(with_precharge), (false, failed));
    assert_eq!(run::<HeaterFitted>(with_heater), (true, none));
    assert_eq!(run::<PrechargeFitted>(with_heater), (true, AlarmSet::of(&[Alarm::HeaterIneffective])));
}

/// What is not fitted takes no memory.
#[test]
fn what_is_not_fitted_is_not_stored() {
    let with_heater = size_of::<Unbalanced<8, HeaterFitted>>();
    assert!(size_of::<Unbalanced<8>>() < with_heater && with_heater < size_of::<Bms<8>>());
    assert!(
        size_of::<Bms<8, NotFitted, NotFitted, NotFitted>>() + size_of::<CoulombCounter>()
            <= size_of::<Unbalanced<8>>()
    );
}
