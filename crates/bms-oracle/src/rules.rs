//! The requirements, one row each.

use crate::oracle::{Oracle, scan_of};
use crate::readings::{News, Sensor, Sensors, Step};
use crate::watch::{Release, Seen, Time};
use bms_core::config::{ParameterId as P, Profile, SensorPolicy};
use bms_core::lifecycle::State;
use bms_core::protection::Alarm;

/// One alarm in one step.
pub struct Row {
    /// Which.
    pub alarm: Alarm,
    /// What the step showed.
    pub seen: Seen,
    /// How long it must last.
    pub delay: Time,
    /// How it ends.
    pub release: Release,
    /// Whether it is switched off.
    pub off: bool,
}

/// What an alarm keeps from happening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inhibits {
    /// Charging.
    pub charge: bool,
    /// Discharging.
    pub discharge: bool,
    /// Balancing.
    pub balance: bool,
    /// Heating.
    pub heater: bool,
}

/// The columns "inhibits" of P, X and D.
pub fn inhibits(alarm: Alarm) -> Inhibits {
    use Alarm as A;
    let (charge, discharge, balance, heater) = match alarm {
        A::CellUndervoltage => (false, true, false, false),
        A::CellOvervoltage => (true, false, false, false),
        A::ChargeOvercurrent | A::SevereChargeOvercurrent => (true, false, false, false),
        A::DischargeOvercurrent | A::SevereDischargeOvercurrent => (false, true, false, false),
        A::ShortCircuit => (true, true, true, true),
        A::ChargeOvertemperature => (true, false, true, true),
        A::DischargeOvertemperature => (false, true, true, true),
        A::ChargeUndertemperature => (true, false, true, false),
        A::DischargeUndertemperature => (false, true, true, false),
        A::MosOvertemperature => (true, true, true, true),
        A::AutoShutdown => (false, false, false, false),
        A::CellCountMismatch => (true, true, true, true),
        A::CellDataLost | A::CurrentDataLost | A::TemperatureDataLost => (true, false, true, true),
        A::DataLostLong => (false, true, false, false),
        A::BatterySensorFault => (true, true, true, true),
        A::MosSensorFault => (true, true, true, true),
        A::StackMismatch => (true, true, true, true),
        A::OpenWire => (true, true, true, false),
        A::WireResistance => (false, false, true, false),
        A::PackOvervoltage => (true, false, false, false),
        A::PackUndervoltage => (false, true, false, false),
        A::CellSpread | A::TemperatureSpread => (true, true, false, false),
        A::DeepDischarge => (true, false, true, false),
        A::Abuse => (true, true, true, true),
        A::WrongChemistry => (true, true, true, true),
        A::PrechargeFailed => (false, true, false, false),
        A::ResetHoldOff => (true, true, true, true),
        A::TerminalMismatch => (false, false, false, false),
        A::SelfTestFailed | A::LimitsCorrupt | A::StepLate | A::TimeWentBack | A::EmergencyStop | A::StorageCorrupt => {
            (true, true, true, true)
        }
        A::ChargeLockedOut => (true, false, false, false),
        A::DischargeLockedOut => (false, true, false, false),
        A::ChargeSwitchStuck => (true, false, true, false),
        A::DischargeSwitchStuck => (false, true, true, false),
        A::HeaterIneffective => (false, false, false, true),
        A::OutputFailed => (true, true, true, true),
        _ => (false, false, false, false),
    };
    Inhibits { charge, discharge, balance, heater }
}

/// Law 7: whether an alarm that was active before a reset is active after it.
pub fn survives_reset(alarm: Alarm) -> bool {
    use Alarm as A;
    let of_this_run = [A::AutoShutdown, A::LimitsCorrupt];
    !of_this_run.contains(&alarm)
}

fn row(rows: &mut Vec<Row>, alarm: Alarm, seen: Seen, delay: Time, release: Release) {
    rows.push(Row { alarm, seen, delay, release, off: false });
}

/// A row that a parameter may switch off.
fn row_unless(rows: &mut Vec<Row>, off: bool, alarm: Alarm, seen: Seen, delay: Time, release: Release) {
    rows.push(Row { alarm, seen, delay, release, off });
}

/// Any cell beyond violates; all cells beyond the recovery recover; only a complete scan can tell that none violates.
fn cells_seen(step: &Step, violates: impl Fn(i64) -> bool, recovered: impl Fn(i64) -> bool) -> Seen {
    let Some((at, scan)) = scan_of(step) else {
        return if step.cells == News::None { Seen::Nothing } else { Seen::Bad };
    };
    if scan.good().into_iter().any(&violates) {
        return Seen::Violating(at);
    }
    match scan.complete() {
        None => Seen::Bad,
        Some(cells) if cells.iter().all(|cell| recovered(*cell)) => Seen::Recovered(at),
        Some(_) => Seen::Within(at),
    }
}

/// One value, above or below.
fn value_seen(news: &News<i64>, violates: impl Fn(i64) -> bool, recovered: impl Fn(i64) -> bool) -> Seen {
    match news {
        News::None => Seen::Nothing,
        News::Failed => Seen::Bad,
        News::New(at, value) if violates(*value) => Seen::Violating(*at),
        News::New(at, value) if recovered(*value) => Seen::Recovered(*at),
        News::New(at, _) => Seen::Within(*at),
    }
}

/// D16: the sensors that count: required ones, and those that were there once.
pub(crate) fn counting(oracle: &Oracle) -> Vec<usize> {
    let policies = oracle.config.board().sensors;
    let mut counting: Vec<usize> = (0..policies.len())
        .filter(|index| match policies[*index] {
            SensorPolicy::Required => true,
            SensorPolicy::Optional => oracle.sensor_seen[*index],
            SensorPolicy::NotFitted => false,
        })
        .collect();
    counting.sort_unstable();
    counting
}

/// N05: any battery sensor violates, all must recover.
fn battery_seen(oracle: &Oracle, step: &Step, violates: impl Fn(i64) -> bool, recovered: impl Fn(i64) -> bool) -> Seen {
    let News::New(at, sensors) = &step.temperatures else {
        return if step.temperatures == News::None { Seen::Nothing } else { Seen::Bad };
    };
    let counting = counting(oracle);
    if counting.is_empty() { Seen::Nothing } else { sensors_seen(oracle, *at, sensors, &counting, violates, recovered) }
}

/// Law 3: a sensor that shows 200 °C is faulty, but not less of a reason to open than one that shows 100 °C.
/// A sensor that was not read this time is what it was before, until that is too old.
fn sensors_seen(
    oracle: &Oracle,
    at: Time,
    sensors: &Sensors,
    which: &[usize],
    violates: impl Fn(i64) -> bool,
    recovered: impl Fn(i64) -> bool,
) -> Seen {
    let known = |index: &usize| match sensors[*index] {
        Sensor::Good(value) => Some(value),
        Sensor::Absent => {
            oracle.sensors[*index].last.filter(|_| oracle.sensors[*index].trusted).map(|(_, value)| value)
        }
        Sensor::Bad(_) => None,
    };
    // What a sensor showed before violates a limit that was changed since, too (S04).
    let shown = |index: &usize| sensors[*index].shown().or_else(|| known(index));
    if which.iter().filter_map(shown).any(&violates) {
        Seen::Violating(at)
    } else if which.iter().any(|index| known(index).is_none()) {
        Seen::Bad
    } else if which.iter().filter_map(known).all(recovered) {
        Seen::Recovered(at)
    } else {
        Seen::Within(at)
    }
}

/// A state of things that needs no measurement: true or not, now.
fn fact(oracle: &Oracle, violated: bool) -> Seen {
    if violated { Seen::Violating(oracle.now) } else { Seen::Recovered(oracle.now) }
}

/// D30: a charger is there.
pub fn charger_present(oracle: &Oracle) -> bool {
    let stale = oracle.stale();
    // A gap shuts nothing down: an input that failed says what it said before.
    let input = oracle.inputs.last.and_then(|(_, inputs)| inputs.charger);
    let current = oracle.current.usable(oracle.now, stale);
    let lifted = match (oracle.terminal.usable(oracle.now, stale), oracle.stack.usable(oracle.now, stale)) {
        (Some(terminal), Some(stack)) => !oracle.charge && terminal - stack > 500_000,
        _ => false,
    };
    input == Some(true) || current.is_some_and(|current| current > 200) || lifted
}

/// The whole table, for this step.
pub fn rows(oracle: &Oracle, step: &Step) -> Vec<Row> {
    let mut rows = Vec::new();
    let get = |parameter| oracle.get(parameter);
    voltages(oracle, step, &mut rows);
    currents(oracle, step, &mut rows);
    temperatures(oracle, step, &mut rows);
    trust(oracle, step, &mut rows);
    if oracle.config.profile() == Profile::Default {
        sensors(oracle, step, &mut rows);
    }
    beyond(oracle, step, &mut rows);
    // P11, D09
    let latched = match step.inputs.measured() {
        None if crate::outputs::latch_set(oracle) => Seen::Violating(oracle.now),
        None => Seen::Nothing,
        Some((at, inputs)) if inputs.short_circuit => Seen::Violating(at),
        Some((at, _)) => Seen::Recovered(at),
    };
    row(&mut rows, Alarm::ShortCircuit, latched, 0, Release::After(get(P::ShortCircuitRelease)));
    // X18
    row(&mut rows, Alarm::ResetHoldOff, Seen::Nothing, 0, Release::After(get(P::ShortCircuitRelease)));
    // X20, X21
    let failed = match step.inputs.measured() {
        None => Seen::Nothing,
        Some((at, inputs)) if inputs.self_test_failed => Seen::Violating(at),
        Some((at, _)) => Seen::Recovered(at),
    };
    row(&mut rows, Alarm::SelfTestFailed, failed, 0, Release::Level);
    let recovery = Release::GoodFor(get(P::DataRecoveryTime));
    row(&mut rows, Alarm::StepLate, fact(oracle, oracle.late), 0, recovery);
    row(&mut rows, Alarm::TimeWentBack, fact(oracle, oracle.time_back), 0, recovery);
    row(&mut rows, Alarm::OutputFailed, fact(oracle, oracle.output_failed == Some(true)), 0, recovery);
    row(&mut rows, Alarm::HeaterIneffective, fact(oracle, oracle.heating.ineffective), 0, Release::Level);
    row(&mut rows, Alarm::EmergencyStop, fact(oracle, oracle.emergency), 0, Release::Level);
    rows
}

fn voltages(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let get = |parameter| oracle.get(parameter);
    // P01, P02
    let (limit, recovery) = (get(P::CellUndervoltageProtection), get(P::CellUndervoltageRecovery));
    let seen = cells_seen(step, |cell| cell < limit, |cell| cell > recovery);
    row(rows, Alarm::CellUndervoltage, seen, get(P::CellUndervoltageDelay), Release::Level);
    // P03, P04
    let (limit, recovery) = (get(P::CellOvervoltageProtection), get(P::CellOvervoltageRecovery));
    let seen = cells_seen(step, |cell| cell > limit, |cell| cell < recovery);
    row(rows, Alarm::CellOvervoltage, seen, get(P::CellOvervoltageDelay), Release::Level);
    // P16, D02
    let deciding = scan_of(step).and_then(|(at, scan)| {
        let cells = scan.complete()?;
        let cell = if get(P::AutoShutdownByHighest) == 1 { cells.iter().max() } else { cells.iter().min() };
        cell.map(|cell| (at, *cell))
    });
    let awake = oracle.before - oracle.awake_since >= 60_000;
    let stopping = matches!(oracle.state, State::ShuttingDown | State::Off);
    let seen = if stopping {
        // It has done its work.
        deciding.map_or(Seen::Nothing, |(at, _)| Seen::Recovered(at))
    } else {
        match deciding {
            Some((at, _)) if charger_present(oracle) => Seen::Within(at),
            Some((at, cell)) if awake && cell <= get(P::AutoShutdownVoltage) => Seen::Violating(at),
            Some((at, _)) => Seen::Within(at),
            None => Seen::Nothing,
        }
    };
    // Never on an invalid reading: only a complete scan shuts down.
    let delay = if deciding.is_some() { get(P::AutoShutdownDelay) } else { Time::MAX };
    row(rows, Alarm::AutoShutdown, seen, delay, Release::Level);
    // P18
    let seen = match step.cells.measured() {
        Some((_, scan)) => fact(oracle, scan.count != scan.cells.len()),
        None => Seen::Nothing,
    };
    row(rows, Alarm::CellCountMismatch, seen, 0, Release::GoodFor(get(P::DataRecoveryTime)));
}

fn currents(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let get = |parameter| oracle.get(parameter);
    // P06, P07
    let limit = get(P::ChargeOvercurrentProtection);
    let seen = value_seen(&step.current, |current| current > limit, |_| true);
    let release = Release::After(get(P::ChargeOvercurrentRelease));
    row(rows, Alarm::ChargeOvercurrent, seen, get(P::ChargeOvercurrentDelay), release);
    // P08, P09
    let limit = get(P::DischargeOvercurrentProtection);
    let seen = value_seen(&step.current, |current| -current > limit, |_| true);
    let release = Release::After(get(P::DischargeOvercurrentRelease));
    row(rows, Alarm::DischargeOvercurrent, seen, get(P::DischargeOvercurrentDelay), release);
}

fn temperatures(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let get = |parameter| oracle.get(parameter);
    let delay = get(P::TemperatureDelay);
    let mut above = |alarm, protection, recovery| {
        let (limit, recovery) = (get(protection), get(recovery));
        let seen = battery_seen(oracle, step, |value| value > limit, |value| value < recovery);
        row(rows, alarm, seen, delay, Release::Level);
    };
    // P12, P13
    above(Alarm::ChargeOvertemperature, P::ChargeOvertemperatureProtection, P::ChargeOvertemperatureRecovery);
    above(Alarm::DischargeOvertemperature, P::DischargeOvertemperatureProtection, P::DischargeOvertemperatureRecovery);
    let mut below = |off, alarm, protection, recovery| {
        let (limit, recovery) = (get(protection), get(recovery));
        let seen = battery_seen(oracle, step, |value| value < limit, |value| value > recovery);
        row_unless(rows, off, alarm, seen, delay, Release::Level);
    };
    // P14, D11
    let off = get(P::DischargeUndertemperature) == 0;
    below(false, Alarm::ChargeUndertemperature, P::ChargeUndertemperatureProtection, P::ChargeUndertemperatureRecovery);
    below(
        off,
        Alarm::DischargeUndertemperature,
        P::DischargeUndertemperatureProtection,
        P::DischargeUndertemperatureRecovery,
    );
    // P15
    let (limit, recovery) = (get(P::MosOvertemperatureProtection), get(P::MosOvertemperatureRecovery));
    let seen = match &step.temperatures {
        News::None => Seen::Nothing,
        News::Failed => Seen::Bad,
        News::New(at, sensors) => {
            sensors_seen(oracle, *at, sensors, &[5], |value| value > limit, |value| value < recovery)
        }
    };
    row(rows, Alarm::MosOvertemperature, seen, delay, Release::Level);
}

fn trust(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let get = |parameter| oracle.get(parameter);
    let now = oracle.now;
    let good_for = Release::GoodFor(get(P::DataRecoveryTime));
    let stale = oracle.stale();
    // X01: the age is the delay.
    let lost = |age: Time, limit: Time, fresh: bool, bad: bool| {
        if age >= limit {
            Seen::Violating(now)
        } else if fresh {
            Seen::Recovered(now)
        } else if bad {
            Seen::Bad
        } else {
            Seen::Nothing
        }
    };
    let fresh_cells = scan_of(step).is_some_and(|(_, scan)| scan.complete().is_some());
    let cells = lost(oracle.cells.age(now), stale, fresh_cells, !fresh_cells && step.cells != News::None);
    row(rows, Alarm::CellDataLost, cells, 0, good_for);
    let fresh = matches!(step.current, News::New(..));
    let current = lost(oracle.current.age(now), stale, fresh, step.current == News::Failed);
    row(rows, Alarm::CurrentDataLost, current, 0, good_for);
    let mut sensors = counting(oracle);
    sensors.push(5);
    let oldest = sensors.iter().map(|index| oracle.sensors[*index].age(now)).max().unwrap_or(0);
    let measured = matches!(step.temperatures, News::New(..));
    let fresh = measured && sensors.iter().all(|index| oracle.sensors[*index].trusted);
    let bad = sensors.iter().any(|index| !oracle.sensors[*index].trusted);
    let temperatures = lost(oldest, get(P::TemperatureLostTime), fresh, bad);
    row(rows, Alarm::TemperatureDataLost, temperatures, 0, good_for);
    // X01: discharging goes on for the grace.
    let grace = get(P::DischargeLostGrace);
    let long = oracle.cells.age(now) >= stale + grace
        || oracle.current.age(now) >= stale + grace
        || oldest >= get(P::TemperatureLostTime) + grace;
    let anything = step.cells != News::None || step.current != News::None || measured;
    // Nothing failed and was not read well since.
    let failed_before =
        oracle.cells.failed || oracle.current.failed || sensors.iter().any(|index| oracle.sensors[*index].failed);
    let failed = bad || step.current == News::Failed || (!fresh_cells && step.cells != News::None);
    let seen = if long {
        Seen::Violating(now)
    } else if failed {
        Seen::Bad
    } else if anything && !failed_before {
        Seen::Recovered(now)
    } else {
        Seen::Nothing
    };
    row(rows, Alarm::DataLostLong, seen, 0, good_for);
}

/// X02, D16
fn sensors(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let now = oracle.now;
    let good_for = Release::GoodFor(oracle.get(P::DataRecoveryTime));
    let seen = |indices: &[usize]| {
        // Missing: the newest attempt failed, or there was none since the start.
        let all_good = indices.iter().all(|index| oracle.sensors[*index].trusted);
        match &step.temperatures {
            _ if !all_good => Seen::Violating(now),
            News::New(..) => Seen::Recovered(now),
            _ => Seen::Nothing,
        }
    };
    row(rows, Alarm::BatterySensorFault, seen(&counting(oracle)), oracle.get(P::SensorFaultDelay), good_for);
    row(rows, Alarm::MosSensorFault, seen(&[5]), oracle.get(P::SensorFaultDelay), good_for);
}

/// Whether a new scan's sum agrees with the stack voltage as last measured (X03); `None` if either is not known.
fn stack_agrees(oracle: &Oracle, step: &Step) -> Option<(Time, bool)> {
    let (cells_at, scan) = scan_of(step)?;
    let cells = scan.complete()?;
    let stack = oracle.stack.usable(oracle.now, oracle.stale())?;
    // N02: both were known when the later of them was measured.
    let known_at = oracle.stack.last.map_or(cells_at, |(stack_at, _)| stack_at.max(cells_at));
    let sum: i64 = cells.iter().sum();
    let allowed_hundredfold = 100 * 3_000 * cells.len() as i64 + sum;
    Some((known_at, 100 * (stack - sum).abs() <= allowed_hundredfold))
}

/// X03 to X16.
fn beyond(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let get = |parameter| oracle.get(parameter);
    // X03
    // A stack voltage that was there and is lost is no better than one that differs.
    let lost = oracle.stack.last.is_some() && oracle.stack.age(oracle.now) >= oracle.stale();
    let seen = match stack_agrees(oracle, step) {
        _ if lost && get(P::StackCheck) == 0 => Seen::Bad,
        _ if lost => Seen::Violating(oracle.now),
        Some((at, false)) => Seen::Violating(at),
        Some((at, true)) => Seen::Recovered(at),
        None => Seen::Nothing,
    };
    let good_for = Release::GoodFor(get(P::DataRecoveryTime));
    row_unless(rows, get(P::StackCheck) == 0, Alarm::StackMismatch, seen, 2_000, good_for);
    // X05
    let limit = get(P::SevereDischargeCurrent);
    let seen = value_seen(&step.current, |current| -current > limit, |_| true);
    let release = Release::After(get(P::DischargeOvercurrentRelease));
    row_unless(rows, limit == 0, Alarm::SevereDischargeOvercurrent, seen, get(P::SevereDischargeDelay), release);
    // X06
    let (ratio, limit) = (get(P::SevereChargeRatio), get(P::ChargeOvercurrentProtection));
    let violates = |current: i64| current * 1_000 > ratio * limit;
    let seen = value_seen(&step.current, violates, |_| true);
    let release = Release::After(get(P::ChargeOvercurrentRelease));
    row_unless(rows, ratio == 0, Alarm::SevereChargeOvercurrent, seen, get(P::SevereChargeDelay), release);
    // X07
    let pack = match scan_of(step) {
        None if step.cells == News::None => News::None,
        None => News::Failed,
        Some((at, scan)) => scan.complete().map_or(News::Failed, |cells| News::New(at, cells.iter().sum())),
    };
    let (limit, recovery) = (get(P::PackOvervoltageProtection), get(P::PackOvervoltageRecovery));
    let seen = value_seen(&pack, |sum| sum > limit, |sum| sum < recovery);
    row_unless(rows, limit == 0, Alarm::PackOvervoltage, seen, get(P::CellOvervoltageDelay), Release::Level);
    let (limit, recovery) = (get(P::PackUndervoltageProtection), get(P::PackUndervoltageRecovery));
    let seen = value_seen(&pack, |sum| sum < limit, |sum| sum > recovery);
    row_unless(rows, limit == 0, Alarm::PackUndervoltage, seen, get(P::CellUndervoltageDelay), Release::Level);
    // X08
    let mut apart = |alarm, limit, delay, shown: Option<(Time, Vec<i64>, bool)>, group_failed: bool| {
        let limit = get(limit);
        let seen = match shown {
            None if group_failed => Seen::Bad,
            None => Seen::Nothing,
            Some((at, values, complete)) => {
                let spread = values.iter().max().unwrap_or(&0) - values.iter().min().unwrap_or(&0);
                if !complete && (limit == 0 || spread <= limit) {
                    Seen::Bad
                } else if spread > limit {
                    Seen::Violating(at)
                } else if 5 * spread < 4 * limit {
                    Seen::Recovered(at)
                } else {
                    Seen::Within(at)
                }
            }
        };
        let quiet = alarm != Alarm::CellSpreadWarning || !oracle.balancing;
        row_unless(rows, limit == 0, alarm, if quiet { seen } else { Seen::Nothing }, delay, Release::Level);
    };
    let cells = scan_of(step).map(|(at, scan)| (at, scan.good(), scan.complete().is_some()));
    let failed = step.cells == News::Failed;
    apart(Alarm::CellSpreadWarning, P::CellSpreadWarning, 0, cells.clone(), failed);
    apart(Alarm::CellSpread, P::CellSpreadProtection, get(P::CellOvervoltageDelay), cells, failed);
    let sensors = step.temperatures.measured().filter(|_| !counting(oracle).is_empty()).map(|(at, sensors)| {
        let counting = counting(oracle);
        let known = |index: &usize| match sensors[*index] {
            Sensor::Absent => {
                oracle.sensors[*index].last.filter(|_| oracle.sensors[*index].trusted).map(|(_, value)| value)
            }
            sensor => sensor.shown(),
        };
        let shown: Vec<i64> = counting.iter().filter_map(known).collect();
        let complete =
            counting.iter().all(|index| !matches!(sensors[*index], Sensor::Bad(_))) && shown.len() == counting.len();
        (at, shown, complete)
    });
    let failed = step.temperatures == News::Failed;
    apart(Alarm::TemperatureSpreadWarning, P::TemperatureSpreadWarning, 0, sensors.clone(), failed);
    apart(Alarm::TemperatureSpread, P::TemperatureSpreadProtection, get(P::TemperatureDelay), sensors, failed);
    warnings(oracle, step, rows);
    // X10
    let limit = get(P::StuckSwitchCurrent);
    let off = limit == 0;
    let seen = |open: bool, sign: i64| value_seen(&step.current, |current| open && sign * current > limit, |_| true);
    row_unless(rows, off, Alarm::ChargeSwitchStuck, seen(!oracle.charge, 1), 500, Release::Never);
    row_unless(rows, off, Alarm::DischargeSwitchStuck, seen(!oracle.discharge, -1), 500, Release::Never);
    // X13, X14
    let confirmed = |violates: &dyn Fn(i64) -> bool| match stack_agrees(oracle, step) {
        // The limits of another chemistry say nothing of these cells.
        _ if oracle.active(Alarm::WrongChemistry) => fact(oracle, false),
        Some((_, true)) => cells_seen(step, violates, |_| true),
        Some((_, false)) => Seen::Bad,
        None => Seen::Nothing,
    };
    let limit = get(P::NeverChargeVoltage);
    row_unless(rows, limit == 0, Alarm::DeepDischarge, confirmed(&|cell| cell < limit), 5_000, Release::Never);
    let limit = get(P::AbuseVoltage);
    row_unless(rows, limit == 0, Alarm::Abuse, confirmed(&|cell| cell > limit), 5_000, Release::Never);
}

/// X09
fn warnings(oracle: &Oracle, step: &Step, rows: &mut Vec<Row>) {
    let get = |parameter| oracle.get(parameter);
    let quiet = |seen: Seen| if oracle.balancing { Seen::Nothing } else { seen };
    let margin = get(P::WarningVoltageMargin);
    let limit = get(P::CellUndervoltageProtection);
    let seen = cells_seen(step, |cell| cell < limit + margin, |cell| cell > limit + 2 * margin);
    row_unless(rows, margin == 0, Alarm::CellUndervoltageWarning, quiet(seen), 0, Release::Level);
    let limit = get(P::CellOvervoltageProtection);
    let seen = cells_seen(step, |cell| cell > limit - margin, |cell| cell < limit - 2 * margin);
    row_unless(rows, margin == 0, Alarm::CellOvervoltageWarning, quiet(seen), 0, Release::Level);
    let margin = get(P::WarningCurrentMargin);
    for (alarm, limit, sign) in [
        (Alarm::ChargeCurrentWarning, P::ChargeOvercurrentProtection, 1),
        (Alarm::DischargeCurrentWarning, P::DischargeOvercurrentProtection, -1),
    ] {
        let limit = get(limit);
        let seen = value_seen(
            &step.current,
            |current| 1_000 * sign * current > limit * (1_000 - margin),
            |current| 1_000 * sign * current < limit * (1_000 - 2 * margin),
        );
        row_unless(rows, margin == 0, alarm, seen, 0, Release::Level);
    }
    let margin = get(P::WarningTemperatureMargin);
    let limit = get(P::ChargeOvertemperatureProtection).min(get(P::DischargeOvertemperatureProtection));
    let seen = battery_seen(oracle, step, |value| value > limit - margin, |value| value < limit - 2 * margin);
    row_unless(rows, margin == 0, Alarm::OvertemperatureWarning, seen, 0, Release::Level);
    let limit = get(P::ChargeUndertemperatureProtection);
    let seen = battery_seen(oracle, step, |value| value < limit + margin, |value| value > limit + 2 * margin);
    row_unless(rows, margin == 0, Alarm::UndertemperatureWarning, seen, 0, Release::Level);
    let limit = get(P::MosOvertemperatureProtection);
    let seen = match &step.temperatures {
        News::None => Seen::Nothing,
        News::Failed => Seen::Bad,
        News::New(at, sensors) => {
            sensors_seen(oracle, *at, sensors, &[5], |value| value > limit - margin, |value| value < limit - 2 * margin)
        }
    };
    row_unless(rows, margin == 0, Alarm::MosTemperatureWarning, seen, 0, Release::Level);
}
