//! Checks of the clock and of everything that measures.

use bms_core::command::ScanMode;
use bms_core::measurement::{Cells, Group, Reading, Sample};
use bms_core::port::{Clock, CurrentSense, FeedbackSense, InputSense, Sampler, TemperatureSense};
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{Current, Voltage, amps, mv};

use super::{Bench, Condition, Report, Verdict};

/// Checks a clock. On a real board waits for about ten seconds.
pub fn clock(bench: &mut impl Bench, clock: &impl Clock, report: &mut Report) {
    const STEADY: &str = "Clock 1: never goes back and never stops";
    const PROMPT: &str = "Clock 3: never blocks";
    const RATE: &str = "Clock 4: tells time within 2 % of real time";
    let (start, reference) = (clock.now(), bench.now());
    let mut last = start;
    let mut back = None;
    let mut stopped = false;
    for _ in 0..100 {
        let before = clock.now();
        bench.wait(ms(100));
        let after = clock.now();
        stopped |= after <= before;
        for seen in [before, after, clock.now()] {
            if seen < last {
                back = Some((last, seen));
            }
            last = seen;
        }
    }
    report.check(STEADY, back.is_none() && !stopped, || match back {
        Some((last, seen)) => format!("it went back from {} to {} ms", last.as_millis(), seen.as_millis()),
        None => "it stood still for 100 ms".to_owned(),
    });
    let told = u64::from(clock.now().since(start).as_millis());
    let real = u64::from(bench.now().since(reference).as_millis());
    report.check(RATE, told.abs_diff(real) * 50 <= real, || format!("{told} ms told, {real} ms passed"));
    let before = bench.now();
    for _ in 0..1_000 {
        let _ = clock.now();
    }
    let taken = bench.now().since(before);
    report.check(PROMPT, taken <= ms(100), || format!("a thousand calls took {} ms", taken.as_millis()));
}

/// What a board promises of its sampler; the checks hold it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplerPromise {
    /// How many cells are wired.
    pub cells: u8,
    /// Within this time every group is delivered at least once.
    pub period: Duration,
    /// Error of a cell reading.
    pub cell_error: Voltage,
    /// Error of the current reading.
    pub current_error: Current,
    /// Time until the cells are free of the balancer's drops.
    pub settle_time: Duration,
    /// How long one call may take.
    pub call_time: Duration,
}

impl SamplerPromise {
    /// 200 ms, 10 mV, 0.5 A, settled after 20 ms, 2 ms a call.
    #[must_use]
    pub const fn new(cells: u8) -> Self {
        Self {
            cells,
            period: ms(200),
            cell_error: mv(10),
            current_error: Current::from_milliamps(500),
            settle_time: ms(20),
            call_time: ms(2),
        }
    }
}

/// One call of the sampler.
enum Call<const N: usize> {
    Delivered(Sample<N>),
    Nothing,
    Failed,
}

struct Watched<'a, B, P, const N: usize> {
    bench: &'a mut B,
    port: &'a mut P,
    promise: SamplerPromise,
    slowest: Duration,
}

impl<B: Bench, P: Sampler<N>, const N: usize> Watched<'_, B, P, N> {
    fn call(&mut self, mode: ScanMode) -> Call<N> {
        let mut sample = Sample::new();
        let before = self.bench.now();
        let answer = self.port.sample(mode, &mut sample);
        self.slowest = self.slowest.max(self.bench.now().since(before));
        match answer {
            Ok(()) => Call::Delivered(sample),
            Err(nb::Error::WouldBlock) => Call::Nothing,
            Err(nb::Error::Other(_)) => Call::Failed,
        }
    }
    /// Polls for a time; `each` sees every delivery with the bench's time.
    fn poll_for(&mut self, mode: ScanMode, time: Duration, mut each: impl FnMut(Instant, &Sample<N>)) {
        let end = self.bench.now().after(time);
        while self.bench.now() < end {
            if let Call::Delivered(sample) = self.call(mode) {
                each(self.bench.now(), &sample);
            }
            self.bench.wait(ms(1));
        }
    }
    /// The newest cells and current that were measured after now, within a few periods.
    fn fresh(&mut self) -> (Option<Cells<N>>, Option<Current>) {
        let start = self.bench.now();
        let (mut cells, mut current) = (None, None);
        self.poll_for(ScanMode::Any, self.span(), |_, sample| {
            // The first mean after a change still holds some of the time before it; the newest counts.
            if let Group::Measured { at, value } = sample.cells
                && at > start
            {
                cells = Some(value);
            }
            if let Group::Measured { at, value } = sample.current
                && at > start
            {
                current = Some(value);
            }
        });
        (cells, current)
    }
    fn span(&self) -> Duration {
        Duration::from_millis(self.promise.period.as_millis().saturating_mul(4))
    }
}

/// Checks a sampler against what its board promises.
pub fn sampler<const N: usize>(
    bench: &mut impl Bench,
    port: &mut impl Sampler<N>,
    promise: SamplerPromise,
    report: &mut Report,
) {
    let mut watched = Watched { bench, port, promise, slowest: Duration::ZERO };
    stamps(&mut watched, report);
    blocking(&mut watched, report);
    order(&mut watched, report);
    direction(&mut watched, report);
    failures(&mut watched, report);
    quiet(&mut watched, report);
    const PROMPT: &str = "Sampler 3: returns promptly";
    let slowest = watched.slowest;
    report.check(PROMPT, slowest <= promise.call_time, || format!("a call took {} ms", slowest.as_millis()));
}

fn stamps<B: Bench, P: Sampler<N>, const N: usize>(watched: &mut Watched<'_, B, P, N>, report: &mut Report) {
    const FUTURE: &str = "Sampler 1: no measurement is from the future";
    const NEW: &str = "Sampler 1: each delivery of a group was measured since the last one";
    const ALIVE: &str = "Sampler: delivers cells and current";
    let mut last: [Option<Instant>; 7] = [None; 7];
    let (mut future, mut repeated) = (None, None);
    watched.poll_for(ScanMode::Any, secs(3), |now, sample| {
        for (slot, at) in last.iter_mut().zip(times(sample)) {
            let Some(at) = at else { continue };
            if at > now {
                future = Some((at, now));
            }
            if slot.is_some_and(|last| at <= last) {
                repeated = Some(at);
            }
            *slot = Some(at);
        }
    });
    report.check(FUTURE, future.is_none(), || format!("{future:?}"));
    report.check(NEW, repeated.is_none(), || format!("{repeated:?} came again"));
    let [cells, current, ..] = last;
    report.check(ALIVE, cells.is_some() && current.is_some(), || "nothing came in 3 s".to_owned());
}

fn times<const N: usize>(sample: &Sample<N>) -> [Option<Instant>; 7] {
    fn at<T>(group: &Group<T>) -> Option<Instant> {
        match group {
            Group::Measured { at, .. } => Some(*at),
            Group::NotMeasured | Group::Failed => None,
        }
    }
    [
        at(&sample.cells),
        at(&sample.current),
        at(&sample.temperatures),
        at(&sample.stack),
        at(&sample.terminal),
        at(&sample.feedback),
        at(&sample.inputs),
    ]
}

fn blocking<B: Bench, P: Sampler<N>, const N: usize>(watched: &mut Watched<'_, B, P, N>, report: &mut Report) {
    const RULE: &str = "Sampler 3: returns WouldBlock while it has nothing new";
    let mut busy = 0;
    for _ in 0..10 {
        let first = watched.bench.now();
        let mut deliveries = 0;
        while watched.bench.now() == first && deliveries < 16 {
            match watched.call(ScanMode::Any) {
                Call::Delivered(_) => deliveries += 1,
                Call::Nothing => break,
                Call::Failed => deliveries += 1,
            }
        }
        busy = busy.max(deliveries);
        watched.bench.wait(ms(7));
    }
    // Groups may come in turn within a millisecond, but not without end.
    report.check(RULE, busy < 16, || "it always has something, even with no time passing".to_owned());
}

fn order<B: Bench, P: Sampler<N>, const N: usize>(watched: &mut Watched<'_, B, P, N>, report: &mut Report) {
    const ORDER: &str = "Sampler 4: gives cells in order, cell 1 at B−";
    const COUNT: &str = "Sampler 4: gives the number of cells that the hardware measures";
    const FOLLOWS: &str = "Sampler 2: never gives the last or a made-up value";
    let promise = watched.promise;
    let wanted = |index: u8, round: i32| mv(3_000 + 25 * i32::from(index) + 300 * round);
    let mut found = Vec::new();
    for round in 0..2 {
        let able = (0..promise.cells).all(|cell| watched.bench.provoke(Condition::Cell(cell, wanted(cell, round))));
        if !able {
            for rule in [ORDER, COUNT, FOLLOWS] {
                report.add(rule, Verdict::NotPossible);
            }
            return;
        }
        found.push((round, watched.fresh().0));
    }
    let error = |cells: &Cells<N>, index: u8, round: i32| {
        cells.get(usize::from(index)).valid().map(|read| read.minus(wanted(index, round)).magnitude())
    };
    let right = |round: i32, cells: &Cells<N>| {
        (0..promise.cells).all(|index| error(cells, index, round).is_some_and(|error| error <= promise.cell_error))
    };
    let first = found.first().and_then(|(_, cells)| *cells);
    let second = found.last().and_then(|(_, cells)| *cells);
    report
        .check(ORDER, first.is_some_and(|cells| right(0, &cells)), || "the readings are not those of the cells".into());
    report.check(FOLLOWS, second.is_some_and(|cells| right(1, &cells)), || {
        "the readings did not follow the cells".to_owned()
    });
    report.check(COUNT, second.is_some_and(|cells| cells.count() == promise.cells), || {
        format!("{} cells, {} are wired", second.map_or(0, |cells| cells.count()), promise.cells)
    });
}

fn direction<B: Bench, P: Sampler<N>, const N: usize>(watched: &mut Watched<'_, B, P, N>, report: &mut Report) {
    const RULE: &str = "Sampler 5: gives current positive when charging";
    const RANGE: &str = "CurrentSense: gives an error beyond its range, not a clipped value";
    for (truth, rule) in [(amps(8), RULE), (amps(-8), RULE)] {
        if !watched.bench.provoke(Condition::Current(truth)) {
            report.add(rule, Verdict::NotPossible);
            continue;
        }
        let read = watched.fresh().1;
        let error = watched.promise.current_error;
        report.check(rule, read.is_some_and(|read| read.minus(truth).magnitude() <= error), || {
            format!("{} mA flow, {read:?} was read", truth.as_milliamps())
        });
    }
    if watched.bench.provoke(Condition::CurrentBeyondRange) {
        let read = watched.fresh().1;
        report.check(RANGE, read.is_none(), || format!("{read:?}"));
        watched.bench.provoke(Condition::Current(Current::ZERO));
    } else {
        report.add(RANGE, Verdict::NotPossible);
    }
}

fn failures<B: Bench, P: Sampler<N>, const N: usize>(watched: &mut Watched<'_, B, P, N>, report: &mut Report) {
    const HONEST: &str = "Sampler 2: reports a reading that could not be taken as Failed or Invalid";
    const USABLE: &str = "Sampler 7: stays usable after an error";
    if !watched.bench.provoke(Condition::SensingBroken(true)) {
        report.add(HONEST, Verdict::NotPossible);
        report.add(USABLE, Verdict::NotPossible);
        return;
    }
    let (cells, current) = watched.fresh();
    let shown = cells.and_then(|cells| (0..N).find_map(|index| cells.get(index).valid()));
    report.check(HONEST, shown.is_none() && current.is_none(), || {
        format!("with the sensing cut off it still gives {shown:?} and {current:?}")
    });
    watched.bench.provoke(Condition::SensingBroken(false));
    let (cells, current) = watched.fresh();
    report.check(USABLE, cells.is_some() && current.is_some(), || "nothing came any more".to_owned());
}

fn quiet<B: Bench, P: Sampler<N>, const N: usize>(watched: &mut Watched<'_, B, P, N>, report: &mut Report) {
    const WHILE: &str = "Sampler 6: no quiet scan while the balancer runs or settles";
    const SETTLED: &str = "Sampler 6: a quiet scan begins after the balancer has settled";
    const SAID: &str = "Sampler 6: says so in the feedback";
    if !watched.bench.provoke(Condition::Balancing(true)) {
        for rule in [WHILE, SETTLED, SAID] {
            report.add(rule, Verdict::NotPossible);
        }
        return;
    }
    // The rig keeps the balancer running although a quiet scan is wanted, as a core never does: cells may come once they
    // would have settled, so that protection goes on, but nobody may call them quiet.
    let would_settle = watched.bench.now().after(watched.promise.settle_time);
    let asked = watched.bench.now();
    let (mut early, mut lied) = (None, false);
    watched.poll_for(ScanMode::Quiet, ms(500), |_, sample| {
        if let Group::Measured { at, .. } = sample.cells
            && at > asked
            && at < would_settle
        {
            early = Some(at);
        }
        lied |= matches!(sample.feedback, Group::Measured { at, value } if at > asked && value.quiet);
    });
    report.check(WHILE, early.is_none() && !lied, || format!("cells of {early:?}, said to be quiet: {lied}"));
    watched.bench.provoke(Condition::Balancing(false));
    // The core's order: back to any scan, then a quiet one anew.
    watched.call(ScanMode::Any);
    let settled = watched.bench.now().after(watched.promise.settle_time);
    let (mut first, mut said, mut untrue) = (None, false, None);
    watched.poll_for(ScanMode::Quiet, watched.span().plus(secs(1)), |_, sample| {
        if let Group::Measured { at, .. } = sample.cells {
            first.get_or_insert(at);
        }
        if let Group::Measured { at, value } = sample.feedback
            && value.quiet
        {
            said = true;
            if at < settled {
                untrue = Some(at);
            }
        }
    });
    report.check(SETTLED, first.is_some_and(|at| at >= settled), || {
        format!("settled at {} ms, first quiet scan at {first:?}", settled.as_millis())
    });
    report.check(SAID, said && untrue.is_none(), || format!("said: {said}, untrue at {untrue:?}"));
}

/// Checks a current sensor.
pub fn current_sense(bench: &mut impl Bench, port: &mut impl CurrentSense, error: Current, report: &mut Report) {
    const SIGN: &str = "CurrentSense: gives charging positive";
    const RANGE: &str = "CurrentSense: gives an error beyond its range, not a clipped value";
    for truth in [amps(8), amps(-8)] {
        if bench.provoke(Condition::Current(truth)) {
            bench.wait(ms(10));
            let read = settled(bench, || port.current()).ok();
            report.check(SIGN, read.is_some_and(|read| read.minus(truth).magnitude() <= error), || format!("{read:?}"));
        } else {
            report.add(SIGN, Verdict::NotPossible);
        }
    }
    if bench.provoke(Condition::CurrentBeyondRange) {
        bench.wait(ms(10));
        let read = settled(bench, || port.current()).ok();
        report.check(RANGE, read.is_none(), || format!("{read:?}"));
    } else {
        report.add(RANGE, Verdict::NotPossible);
    }
}

/// Waits for a reading; a port that has nothing for a second counts as failed.
fn settled<T, E>(bench: &mut impl Bench, mut read: impl FnMut() -> nb::Result<T, E>) -> Result<T, Option<E>> {
    for _ in 0..1_000 {
        match read() {
            Ok(value) => return Ok(value),
            Err(nb::Error::Other(error)) => return Err(Some(error)),
            Err(nb::Error::WouldBlock) => bench.wait(ms(1)),
        }
    }
    Err(None)
}

/// Checks a temperature sense port with the sensor `index` (0 is T1).
pub fn temperature_sense(bench: &mut impl Bench, port: &mut impl TemperatureSense, index: u8, report: &mut Report) {
    const OPEN: &str = "TemperatureSense: reports an open sensor as Invalid";
    if !bench.provoke(Condition::ThermistorOpen(index, true)) {
        report.add(OPEN, Verdict::NotPossible);
        return;
    }
    bench.wait(ms(100));
    let read = settled(bench, || port.temperatures()).ok();
    let reading = read.and_then(|all| all.battery.get(usize::from(index)).copied());
    report.check(OPEN, reading.is_none_or(|reading| reading == Reading::Invalid), || format!("{reading:?}"));
    bench.provoke(Condition::ThermistorOpen(index, false));
}

/// Checks the balancer's feedback.
pub fn feedback_sense(bench: &mut impl Bench, port: &mut impl FeedbackSense, settle: Duration, report: &mut Report) {
    const QUIET: &str = "FeedbackSense: says quiet only when the balancer is off and the cells have settled";
    if !bench.provoke(Condition::Balancing(true)) {
        report.add(QUIET, Verdict::NotPossible);
        return;
    }
    bench.wait(ms(50));
    let running = settled(bench, || port.feedback()).is_ok_and(|feedback| feedback.quiet);
    bench.provoke(Condition::Balancing(false));
    let settling = settle > ms(2) && settled(bench, || port.feedback()).is_ok_and(|feedback| feedback.quiet);
    bench.wait(settle.plus(ms(5)));
    let afterwards = settled(bench, || port.feedback()).is_ok_and(|feedback| feedback.quiet);
    report.check(QUIET, !running && !settling && afterwards, || {
        format!("quiet while running: {running}, while settling: {settling}, afterwards: {afterwards}")
    });
}

/// Checks the digital inputs.
pub fn input_sense(bench: &mut impl Bench, port: &mut impl InputSense, report: &mut Report) {
    const LATCH: &str = "InputSense: reports the short-circuit latch, not the comparator's level";
    if !bench.provoke(Condition::ShortCircuit(true)) {
        report.add(LATCH, Verdict::NotPossible);
        return;
    }
    bench.wait(ms(10));
    bench.provoke(Condition::ShortCircuit(false));
    bench.wait(ms(10));
    let latched = settled(bench, || port.inputs()).is_ok_and(|inputs| inputs.short_circuit);
    report.check(LATCH, latched, || "the level has gone, and with it the report".to_owned());
}
