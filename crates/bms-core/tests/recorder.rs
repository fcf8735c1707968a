//! The recorder over a real core: what is kept, what is displaced, what is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail")]

use bms_core::prelude::*;
use bms_core::recorder::Recorder;

const PACK: ValidConfig = const { Config::lifepo4(4).with_model(Model::B2a8s20p).with_capacity(ah(100)).validated() };

type SmallRecorder = Recorder<24, 16, 3>;

/// A core stepped every 100 ms, its recorder fed as a firmware would.
struct Bench {
    bms: Bms,
    recorder: SmallRecorder,
    now: Instant,
}

impl Bench {
    fn new(interval: Duration) -> Self {
        let mut bench =
            Self { bms: Bms::new(PACK), recorder: Recorder::new(interval), now: Instant::from_millis(1_000) };
        bench.run(10, mv(3_300));
        assert!(bench.bms.command().charge.is_closed());
        bench
    }
    /// Steps with cell 2 at this voltage.
    fn run(&mut self, steps: u32, cell: Voltage) {
        for _ in 0..steps {
            self.now = self.now.after(ms(100));
            let mut sample = Sample::new();
            sample.cells = Group::at(self.now, Cells::from_voltages(&[mv(3_300), cell, mv(3_300), mv(3_300)]));
            sample.current = Group::at(self.now, Current::ZERO);
            let mut temperatures = Temperatures { mos: Reading::Valid(deg_c(30)), ..Temperatures::default() };
            temperatures.battery[0] = Reading::Valid(deg_c(25));
            temperatures.battery[1] = Reading::Valid(deg_c(26));
            sample.temperatures = Group::at(self.now, temperatures);
            self.bms.step(self.now, Input::Sample(&sample));
            self.recorder.record(self.now, &self.bms.status());
            while let Some(event) = self.bms.poll_event() {
                self.recorder.event(&event, &self.bms.status());
            }
        }
    }
}

#[test]
fn the_ring_keeps_the_newest_records_oldest_first() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.run(40, mv(3_300));
    let times: Vec<_> = bench.recorder.records().map(|record| record.at().as_millis()).collect();
    let newest = bench.now.as_millis();
    assert_eq!(times, (0..16).map(|index| newest - 1_500 + index * 100).collect::<Vec<_>>());
    let last = bench.recorder.records().last().unwrap();
    assert_eq!((last.lowest_cell(), last.highest_cell()), (Some(mv(3_300)), Some(mv(3_300))));
    assert_eq!(last.warmest(), Some(deg_c(26)));
    assert_eq!(last.current(), Some(Current::ZERO));
    assert!(last.charge() && last.discharge() && !last.heater());
}

#[test]
fn between_intervals_only_changes_are_kept() {
    let mut bench = Bench::new(secs(10));
    let before = bench.recorder.records().count();
    bench.run(40, mv(3_300));
    assert!(bench.recorder.records().count() <= before + 1);
    bench.run(10, mv(3_700));
    let opened = bench.recorder.records().find(|record| record.alarms().contains(Alarm::CellOvervoltage));
    assert!(!opened.expect("kept though the interval is not over").charge());
}

#[test]
fn a_trip_is_framed_with_its_cells_and_holds_the_ring_a_quarter_later() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.run(40, mv(3_300));
    bench.run(100, mv(3_700));
    let frame = *bench.recorder.frames().find(|frame| frame.alarm() == Some(Alarm::CellOvervoltage)).unwrap();
    assert!(matches!(frame.event.kind, EventKind::Raised { index: Some(1), value: 3_700_000, .. }));
    assert_eq!(frame.cells.get(1), Reading::Valid(mv(3_700)));
    assert_eq!(frame.cells.count(), 4);
    assert_eq!(frame.temperatures().battery[0], Reading::Valid(deg_c(25)));
    assert_eq!(frame.record.at(), frame.event.at);
    assert!(!frame.record.charge());

    assert!(bench.recorder.is_held());
    let trip = bench.recorder.records().position(|record| record.at() == frame.event.at).expect("still there");
    assert_eq!(trip, 11, "twelve up to the trip, then four more");
    assert!(bench.recorder.records_missed() > 80);

    bench.recorder.rearm();
    bench.run(16, mv(3_700));
    assert!(bench.recorder.records().all(|record| record.at() > frame.event.at), "it runs again");
}

#[test]
fn displaced_frames_are_counted() {
    let mut bench = Bench::new(Duration::ZERO);
    for _ in 0..4 {
        bench.run(20, mv(3_700));
        bench.run(60, mv(3_300));
    }
    assert_eq!(bench.recorder.frames().count(), 3);
    assert!(bench.recorder.frames_lost() > 0);
    let times: Vec<_> = bench.recorder.frames().map(|frame| frame.event.at).collect();
    assert!(times.is_sorted(), "oldest first");
    assert_eq!(bench.recorder.take_frame().unwrap().event.at, times[0]);
    assert_eq!(bench.recorder.frames().count(), 2);
}
