//! Self-tests of the board: flash, ADC reference, clock, RAM; each opens everything, and says that it was it (X20).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::Cell;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use bms_core::port::{self, Clock, ErrorKind, ErrorType, InputSense};
use bms_core::prelude::*;
use bms_hal::{
    AdcReference, ClockCheck, FlashCheck, FnAdc, FnTest, NoInputs, SelfTest, SelfTestKind, SelfTestReport, SelfTested,
};

const KINDS: [SelfTestKind; 4] =
    [SelfTestKind::Flash, SelfTestKind::Ram, SelfTestKind::Clock, SelfTestKind::AdcReference];

/// X20: whichever self-test fails, the core's alarm comes in the same step and everything opens; the report says which; when it passes
/// again, the pack recovers. Blocking and awaited alike.
#[test]
fn each_self_test_opens_everything_and_is_told_apart() {
    for (asynchronous, failing) in [false, true].into_iter().flat_map(|way| KINDS.map(|kind| (way, kind))) {
        let fails = Cell::new(false);
        let mut tests = KINDS.map(|kind| {
            let fails = &fails;
            FnTest(kind, move || !(kind == failing && fails.get()))
        });
        let [flash, ram, clock, reference] = &mut tests;
        let mut list: [&mut dyn SelfTest; 4] = [flash, ram, clock, reference];
        let report = SelfTestReport::new();
        let mut inputs = SelfTested::new(NoInputs, &mut list, &report);

        const PACK: ValidConfig =
            const { Config::lifepo4(8).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated() };
        let mut bms = Bms::<24>::new(PACK);
        let mut now = Instant::from_millis(0);
        let mut run = |inputs: &mut SelfTested<'_, NoInputs>, steps: u32| {
            for _ in 0..steps {
                now = now.after(ms(100));
                let mut sample = Sample::new();
                let mut cells = Cells::new(8);
                (0..8).for_each(|cell| cells.set_tenths(cell, 33_000));
                sample.cells = Group::at(now, cells);
                sample.stack = Group::at(now, mv(26_400));
                sample.current = Group::at(now, ma(0));
                let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(25)), ..Temperatures::default() };
                temperatures.battery[..2].fill(Reading::Valid(deg_c(25)));
                sample.temperatures = Group::at(now, temperatures);
                let read = if asynchronous {
                    let mut future = std::pin::pin!(port::asynch::InputSense::inputs(inputs));
                    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(read) => read.unwrap(),
                        Poll::Pending => panic!("nothing to wait for"),
                    }
                } else {
                    inputs.inputs().unwrap()
                };
                sample.inputs = Group::at(now, read);
                bms.step(now, Input::Sample(&sample));
                bms.output_result(Ok(()));
            }
            let command = bms.command();
            (command.charge.is_closed(), command.discharge.is_closed(), bms.alarms().contains(Alarm::SelfTestFailed))
        };
        assert_eq!(run(&mut inputs, 100), (true, true, false));
        fails.set(true);
        assert_eq!(run(&mut inputs, 1), (false, false, true), "{failing:?}");
        assert!(report.any_fails());
        assert!(KINDS.iter().all(|kind| report.fails(*kind) == (*kind == failing)), "{report:?}");
        fails.set(false);
        assert_eq!(run(&mut inputs, 200), (true, true, false), "{failing:?}");
        assert!(!report.any_fails());
    }
}

/// X20: inputs that cannot be read stay an error, and a failure that the inputs tell themselves is kept.
#[test]
fn what_the_inputs_say_is_kept() {
    struct Broken;
    impl ErrorType for Broken {
        type Error = ErrorKind;
    }
    impl InputSense for Broken {
        fn inputs(&mut self) -> nb::Result<Inputs, ErrorKind> {
            Err(nb::Error::Other(ErrorKind::Bus))
        }
    }
    struct Failed;
    impl ErrorType for Failed {
        type Error = ErrorKind;
    }
    impl InputSense for Failed {
        fn inputs(&mut self) -> nb::Result<Inputs, ErrorKind> {
            Ok(Inputs { self_test_failed: true, ..Inputs::default() })
        }
    }
    let report = SelfTestReport::new();
    assert!(SelfTested::new(Broken, &mut [], &report).inputs().is_err());
    assert!(SelfTested::new(Failed, &mut [], &report).inputs().unwrap().self_test_failed);
}

/// X20: every single flipped bit of the program is found within one pass, and no sooner than its byte is looked at.
#[test]
fn a_flipped_bit_in_flash_is_found_in_one_pass() {
    assert_eq!(FlashCheck::crc(b"123456789"), 0xCBF4_3926, "the check value of CRC-32/ISO-HDLC");
    let content: Vec<u8> = (0..200_u32).map(|index| (index * 37) as u8).collect();
    let expected = FlashCheck::crc(&content);
    for bytes_each in [0, 1, 7, 64, 200, 1_000] {
        let mut check = FlashCheck::new(&content, expected, bytes_each);
        assert!(check.whole());
        let passes = content.len().div_ceil(bytes_each.max(1));
        assert!((0..passes * 3).all(|_| check.advance()));
    }
    for bit in 0..content.len() * 8 {
        let mut bad = content.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut check = FlashCheck::new(&bad, expected, 16);
        let found = (1..).find(|_| !check.advance()).unwrap();
        assert_eq!(found, content.len().div_ceil(16), "bit {bit}");
        assert!(!check.whole() && !check.advance(), "it stays so");
    }
    assert!(FlashCheck::new(&[], FlashCheck::crc(&[]), 4).whole());
    assert!(!FlashCheck::new(&[], 1, 4).whole());
}

/// X20: a reference outside its window, an ADC that gives errors or nothing at all.
#[test]
fn the_adc_is_held_to_its_reference() {
    let answer = Cell::new(Ok(1_489_u16));
    let mut test =
        AdcReference::new(FnAdc(|channel| if channel == 17 { answer.get() } else { Ok(0) }), 17, 1_450, 1_530);
    for (given, good) in [
        (Ok(1_450), true),
        (Ok(1_449), false),
        (Ok(1_530), true),
        (Ok(1_531), false),
        (Ok(0), false),
        (Ok(1_489), true),
        (Err(nb::Error::Other(ErrorKind::Bus)), false),
        (Ok(1_489), true),
    ] {
        answer.set(given);
        assert_eq!(test.advance(), good, "{given:?}");
    }
    answer.set(Err(nb::Error::WouldBlock));
    let patient = (0..100).take_while(|_| test.advance()).count();
    assert!((1..=20).contains(&patient), "{patient} readings");
}

/// X20: a clock that is too slow, too fast or stands still is told by the other oscillator; so is a stopped oscillator; counts may wrap.
#[test]
fn the_clock_is_held_to_another_oscillator() {
    struct Time<'a>(&'a Cell<u64>);
    impl Clock for Time<'_> {
        fn now(&self) -> Instant {
            Instant::from_millis(self.0.get())
        }
    }
    // Milliseconds of the clock and ticks of a 32.768 kHz oscillator in each true 100 ms.
    for (milliseconds, ticks, good) in [
        (100, 3_277, true),
        (102, 3_277, true),
        (98, 3_277, true),
        (110, 3_277, false),
        (90, 3_277, false),
        (0, 3_277, false),
        (100, 0, false),
        (200, 3_277, false),
    ] {
        let (time, count) = (Cell::new(5), Cell::new(u32::MAX - 10_000));
        let mut test = ClockCheck::new(Time(&time), || count.get(), 32_768, 50);
        let mut seen = true;
        for _ in 0..50 {
            time.set(time.get() + milliseconds);
            count.set(count.get().wrapping_add(ticks));
            seen = test.advance();
        }
        assert_eq!(seen, good, "{milliseconds} ms, {ticks} ticks");
    }
}
