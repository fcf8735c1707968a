//! Traces: every input survives the file, a replay is exact, a bad file says where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bms_core::balancing::{BalancerCapabilities, Phase};
use bms_core::command::{Beep, Expiring, Limits, LinkLed, Power, ScanMode};
use bms_core::measurement::Feedback;
use bms_core::port::ErrorKind;
use bms_core::prelude::*;
use bms_host::fault::{Channel, Fault, FaultKind, Output};
use bms_host::plant::{Charger, Load, SensorErrors};
use bms_host::rig::{Rig, Schedule, pack_for};
use bms_host::trace::{
    Header, Operation, Outputs, Record, RecordedInput, TraceError, TraceReader, TraceWriter, replay,
};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

const PACK: ValidConfig = const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(100)).validated() };

/// Draws anything that a row can hold.
struct Draw(Pcg64Mcg);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }
    fn number(&mut self) -> i32 {
        match self.below(4) {
            0 => i32::MIN,
            1 => i32::MAX,
            _ => self.0.next_u32() as i32,
        }
    }
    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }
    fn maybe_flag(&mut self) -> Option<bool> {
        [None, Some(false), Some(true)][self.below(3) as usize]
    }
    fn reading<Q>(&mut self, make: impl Fn(i32) -> Q) -> Reading<Q> {
        match self.below(5) {
            0 => Reading::NotMeasured,
            1 => Reading::Invalid,
            2 => Reading::Stale { age: ms(self.0.next_u32()) },
            _ => Reading::Valid(make(self.number())),
        }
    }
    fn group<T>(&mut self, now: Instant, value: T) -> Group<T> {
        match self.below(5) {
            0 => Group::NotMeasured,
            1 => Group::Failed,
            2 => Group::at(Instant::from_millis(self.below(1 << 40)), value),
            _ => Group::at(now, value),
        }
    }
    fn cells(&mut self) -> Cells<24> {
        let count = [0, 4, 16, 24, 25, 32, 255][self.below(7) as usize];
        let mut cells = Cells::new(count);
        for index in 0..usize::from(count).min(24) {
            if self.below(8) > 0 {
                cells.set_tenths(index, self.0.next_u32() as u16);
            }
        }
        cells
    }
    fn sample(&mut self, now: Instant) -> Sample {
        let cells = self.cells();
        let current = ma(self.number());
        let mut temperatures = Temperatures::default();
        for slot in temperatures.battery.iter_mut().chain([&mut temperatures.mos]) {
            *slot = self.reading(bms_core::units::Temperature::from_tenths);
        }
        let feedback = Feedback { balance_current: ma(self.number()), quiet: self.flag(), store_empty: self.flag() };
        let inputs = Inputs {
            short_circuit: self.flag(),
            charger: self.maybe_flag(),
            load: self.maybe_flag(),
            activation: self.flag(),
            reverse_wake: self.flag(),
            self_test_failed: self.flag(),
        };
        let (stack, terminal) = (uv(self.number()), uv(self.number()));
        Sample {
            cells: self.group(now, cells),
            current: self.group(now, current),
            temperatures: self.group(now, temperatures),
            stack: self.group(now, stack),
            terminal: self.group(now, terminal),
            feedback: self.group(now, feedback),
            inputs: self.group(now, inputs),
        }
    }
    fn expiring(&mut self) -> Expiring {
        if self.flag() { Expiring::On { until: Instant::from_millis(self.below(1 << 50)) } } else { Expiring::Off }
    }
    fn plan(&mut self) -> Plan {
        let until = Instant::from_millis(self.below(1 << 50));
        let (source, destination) = (self.below(32) as u8, self.below(32) as u8);
        let current = ma(self.below(100_000) as i32);
        match self.below(4) {
            0 => Plan::Idle,
            1 => {
                let phase = if self.flag() { Phase::Take } else { Phase::Give };
                Plan::Transfer { source, destination, phase, current, until }
            }
            2 => Plan::Bleed { mask: self.0.next_u32(), until },
            _ => Plan::Shuttle { source, destination, current, until },
        }
    }
    fn outputs(&mut self) -> Outputs {
        let command = Command {
            charge: Switch::closed_if(self.flag()),
            discharge: Switch::closed_if(self.flag()),
            precharge: self.expiring(),
            balance: self.plan(),
            heater: self.expiring(),
            power: if self.flag() { Power::Hold } else { Power::Release },
            last_resort: Switch::closed_if(self.flag()),
            clear_latch: self.flag(),
            scan: if self.flag() { ScanMode::Any } else { ScanMode::Quiet },
            beep: [Beep::None, Beep::Awake, Beep::Accepted][self.below(3) as usize],
            link_led: [LinkLed::Off, LinkLed::Flashing, LinkLed::Steady][self.below(3) as usize],
            limits: Limits {
                charge_voltage: uv(self.number()),
                charge_current: ma(self.number()),
                discharge_current: ma(self.number()),
            },
        };
        let soc_permille = match self.below(3) {
            0 => Reading::Invalid,
            1 => Reading::NotMeasured,
            _ => Reading::Valid(self.below(1_001) as u16),
        };
        Outputs { command, alarms: AlarmSet::from_bits(self.0.next_u64()), soc_permille }
    }
    fn operations(&mut self) -> Vec<Operation> {
        let all = [
            Operation::Request(Request::SetCharge(self.flag())),
            Operation::Request(Request::EmergencyStop),
            Operation::Request(Request::CalibrateVoltage(uv(self.number()))),
            Operation::SetParameter(ParameterId::BalanceTrigger, self.number()),
            Operation::Reconfigure(Box::new(PACK)),
            [Operation::SnapshotStored, Operation::SetLink(true)][self.below(2) as usize].clone(),
            Operation::SetBalancer(BalancerCapabilities::MANUAL),
            Operation::Reset(Box::new(Stored::Snapshot(Bms::new(PACK).snapshot())), ResetCause::BrownOut),
        ];
        (0..self.below(3)).map(|_| all[self.below(8) as usize].clone()).collect()
    }
    fn record(&mut self, now: Instant) -> Record {
        let kinds = [ErrorKind::Bus, ErrorKind::Integrity, ErrorKind::Timeout, ErrorKind::Unpowered, ErrorKind::Other];
        let kind = kinds[self.below(5) as usize];
        Record {
            now,
            operations: self.operations(),
            input: match self.below(6) {
                0 => RecordedInput::Tick,
                1 => RecordedInput::Lost(kind),
                _ => RecordedInput::Sample(self.sample(now)),
            },
            outputs: Some(self.outputs()),
            written: [None, Some(Ok(())), Some(Err(kind))][self.below(3) as usize],
        }
    }
}

use bms_core::Bms;

#[test]
fn every_input_and_output_survives_the_file() {
    let mut draw = Draw(Pcg64Mcg::seed_from_u64(11));
    let records: Vec<Record> =
        (0..3_000_u64).map(|step| draw.record(Instant::from_millis(step * 100 + (1 << 33)))).collect();
    let mut file = Vec::new();
    let mut writer = TraceWriter::new(&mut file, &Header::new(PACK), 24).unwrap();
    for record in &records {
        writer.write(record).unwrap();
    }
    writer.finish().unwrap();
    let mut reader = TraceReader::new(file.as_slice()).unwrap();
    assert_eq!(*reader.header(), Header::new(PACK));
    for record in &records {
        let read = reader.next_record::<24>().unwrap().unwrap();
        assert_eq!(read, *record);
    }
    assert!(reader.next_record::<24>().unwrap().is_none());
}

/// A run with everything in it, as a file.
fn recorded() -> Vec<u8> {
    let mut spec = pack_for(&PACK);
    spec.soc = 0.90;
    spec.soc_spread = 0.02;
    spec.sensors = SensorErrors::realistic();
    let schedule = Schedule { jitter: 0.4, cells_every: 2, temperatures_every: 20, ..Schedule::every(ms(50)) };
    let mut rig: Rig = Rig::new(PACK, &spec).unwrap().with_schedule(schedule);
    let mut file = Vec::new();
    let mut writer = TraceWriter::new(&mut file, &rig.trace_header(), 16).unwrap();
    let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
    rig.faults().extend([
        Fault::during(at(20), secs(3), FaultKind::SamplerLost),
        Fault::during(at(30), secs(3), FaultKind::Late { channel: Channel::Cells, by_ms: 130 }),
        Fault::during(at(40), secs(1), FaultKind::WriteFails(Output::Switches)),
        Fault::during(at(45), secs(1), FaultKind::CellInvalid(3)),
    ]);
    let mut run = |rig: &mut Rig, seconds| {
        rig.run_for_each(secs(seconds), |rig, _| {
            if let Some(record) = rig.record() {
                writer.write(&record).unwrap();
            }
        });
    };
    run(&mut rig, 60);
    rig.plant_mut().set_charger(Some(Charger { voltage: 57.6, current: 40.0 }));
    run(&mut rig, 60);
    rig.plant_mut().set_charger(None);
    rig.request(Request::SetBalance(false)).unwrap();
    rig.set_parameter(ParameterId::BalanceTrigger, 4_000).unwrap_err();
    rig.set_parameter(ParameterId::CellOvervoltageProtection, 3_550_000).unwrap();
    rig.plant_mut().set_load(Load::Current(400.0));
    run(&mut rig, 30);
    rig.plant_mut().set_load(Load::Current(10.0));
    rig.reset(ResetCause::Watchdog);
    run(&mut rig, 90);
    rig.reconfigure(PACK).unwrap();
    run(&mut rig, 20);
    writer.finish().unwrap();
    file
}

#[test]
fn a_recorded_run_replays_bit_for_bit() {
    let file = recorded();
    let mut reader = TraceReader::new(file.as_slice()).unwrap();
    let outcome = replay::<24, _>(&mut reader).unwrap();
    assert!(outcome.steps > 4_000, "{}", outcome.steps);
    assert_eq!(outcome.compared, outcome.steps);
    assert_eq!(outcome.first, None);
    assert!(outcome.is_identical());
}

#[test]
fn a_changed_input_is_found() {
    let text = String::from_utf8(recorded()).unwrap();
    // One cell of one row out of range for good.
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let heading: Vec<&str> = lines[1].split(',').collect();
    let column = heading.iter().position(|name| *name == "cell05_uv").unwrap();
    for line in lines.iter_mut().skip(300).take(60) {
        let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
        if !fields[column].is_empty() {
            fields[column] = "3900000".to_owned();
        }
        *line = fields.join(",");
    }
    let changed = lines.join("\n");
    let mut reader = TraceReader::new(changed.as_bytes()).unwrap();
    let outcome = replay::<24, _>(&mut reader).unwrap();
    assert!(!outcome.is_identical());
    assert!(outcome.first.unwrap().step >= 298);
}

#[test]
fn a_file_written_by_hand_needs_few_columns() {
    let text = "time_ms,cell01_uv,cell02_uv,cell03_uv,cell04_uv,current_ma,t1_dc,mos_dc\n\
                0,3300000,3300000,x,3300000,-1500,250,300\n\
                100,3300000,3300000,3300000,3300000,,,\n";
    let mut reader = TraceReader::headless(text.as_bytes(), Header::new(PACK)).unwrap();
    let first: Record = reader.next_record().unwrap().unwrap();
    let RecordedInput::Sample(sample) = first.input else { panic!() };
    let Group::Measured { value: cells, at } = sample.cells else { panic!() };
    assert_eq!((cells.count(), at), (4, Instant::ZERO));
    assert_eq!(cells.get(2), Reading::Invalid);
    assert_eq!(sample.current, Group::at(Instant::ZERO, ma(-1_500)));
    assert_eq!(sample.stack, Group::NotMeasured);
    let second: Record = reader.next_record().unwrap().unwrap();
    let RecordedInput::Sample(sample) = second.input else { panic!() };
    assert_eq!((sample.current, sample.temperatures), (Group::NotMeasured, Group::NotMeasured));
    assert_eq!(second.outputs, None);
}

fn mistake(text: &str) -> TraceError {
    let mut reader = match TraceReader::headless(text.as_bytes(), Header::new(PACK)) {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    loop {
        match reader.next_record::<24>() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no mistake found in {text:?}"),
            Err(error) => return error,
        }
    }
}

#[test]
fn bad_files_say_where_and_why() {
    for (text, expected) in [
        ("current_ma\n1\n", "line 1: time_ms: is missing"),
        ("time_ms,curent_ma\n", "line 1: curent_ma: unknown column"),
        ("time_ms,current_ma,current_ma\n", "line 1: current_ma: stands there twice"),
        ("time_ms\n\"\"\n", "line 2: time_ms: is empty"),
        ("time_ms,current_ma\n0,5\n100,five\n", "line 3: current_ma: `five` is not a number that fits here"),
        ("time_ms,current_ma\n0,99999999999\n", "line 2: current_ma: `99999999999` is not a number that fits here"),
        ("time_ms,t1_dc\n0,25.0\n", "line 2: t1_dc: `25.0` is not a whole number"),
        ("time_ms,cell01_uv\n0,7000000\n", "line 2: cell01_uv: a cell lies between 0 and 6553500 µV"),
        ("time_ms,current_ma\n0\n", "line 2: 1 fields where the heading has 2"),
        ("time_ms,input\n0,lots\n", "line 2: input: `lots` is no input"),
        ("time_ms,short_circuit\n0,yes\n", "line 2: short_circuit: `yes` is neither 0 nor 1"),
        ("time_ms,operations\n0,jump\n", "line 2: operations: unknown operation `jump`"),
        ("time_ms,operations\n0,parameter:x=1\n", "line 2: operations: unknown parameter `x`"),
        ("time_ms,alarms,charge,discharge\n0,fire,0,0\n", "line 2: alarms: `fire` is no alarm"),
        ("time_ms,balance,charge,discharge\n0,take,0,0\n", "line 2: balance: `take` lacks its cells or its end"),
        ("time_ms,current_ma\n100,1\n50,1\n", "line 3: time_ms: goes back"),
    ] {
        assert_eq!(mistake(text).to_string(), expected, "{text:?}");
    }
    let no_header = TraceReader::new("time_ms\n0\n".as_bytes()).err().unwrap();
    assert_eq!(no_header.to_string(), "line 1: a trace begins with `# bms-trace 1`");
    assert!(TraceReader::new("".as_bytes()).is_err());
    let broken = TraceReader::new("# bms-trace 1 {\"config\":}\n".as_bytes()).err().unwrap();
    assert_eq!(broken.line, 1);
    assert!(mistake("time_ms,current_ma\n0,\u{fffd}\n").line == 2);
    let mut bytes = b"time_ms,current_ma\n0,".to_vec();
    bytes.extend([0xff, b'\n']);
    let mut reader = TraceReader::headless(bytes.as_slice(), Header::new(PACK)).unwrap();
    assert_eq!(reader.next_record::<24>().unwrap_err().to_string(), "line 2: not UTF-8 text");
}

#[test]
fn arbitrary_bytes_never_panic() {
    let good = recorded();
    let mut draw = Draw(Pcg64Mcg::seed_from_u64(3));
    for _ in 0..200 {
        let mut bad = good[..(good.len().min(40_000))].to_vec();
        for _ in 0..20 {
            let place = draw.below(bad.len() as u64) as usize;
            bad[place] = draw.below(256) as u8;
        }
        if let Ok(mut reader) = TraceReader::new(bad.as_slice()) {
            let _ = replay::<24, _>(&mut reader);
        }
    }
}
