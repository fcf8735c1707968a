//! Checks of everything that acts.

use bms_core::balancing::{BalancerKind, Phase, Plan};
use bms_core::command::{Expiring, Power as PowerState, Switch};
use bms_core::port::{Balancer, Heater, LastResort, Power, Precharge, Switches};
use bms_core::time::{Duration, Instant, ms, secs};
use bms_core::units::{Current, ma};

use super::{Bench, Condition, Observed, Report, Verdict};

/// How long switches may take, longer than any contactor.
const SWITCHING: Duration = ms(100);

fn both(seen: &Observed) -> Option<(bool, bool)> {
    Some((seen.charge?, seen.discharge?))
}

/// Checks the switches. `make` constructs the port as the firmware does; it is called more than once, each time after the
/// former port was dropped.
pub fn switches<B: Bench, P: Switches>(bench: &mut B, mut make: impl FnMut(&mut B) -> P, report: &mut Report) {
    const START: &str = "Switches 1: both are open when the constructor returns";
    const OBEYS: &str = "Switches: follow what they are told";
    const ORDER: &str = "Switches 3: opens before it closes when both change";
    const LATCH: &str = "Switches 2: a short circuit opens both, with no call";
    const OVER: &str = "Switches 2: stay open while latched, whatever they are told";
    const LEVEL: &str = "Switches 4: the latch is not cleared while the comparator's level is set";
    const TOLD: &str = "Switches 4: the latch is cleared only when told";
    const CLEARS: &str = "Switches 4: the latch is cleared when told and the level is clear";
    const KNOWS: &str = "Switches 5: an error when it cannot know that the gates follow";
    use Switch::{Closed, Open};

    let mut port = make(bench);
    let mut wrong = None;
    let mut seen = Some(());
    for (charge, discharge) in [(Closed, Open), (Open, Closed), (Closed, Closed), (Open, Open), (Closed, Closed)] {
        let written = port.apply(charge, discharge, false).is_ok();
        bench.wait(SWITCHING);
        let now = both(&bench.observe());
        seen = seen.and(now.map(|_| ()));
        if !written || now.is_some_and(|now| now != (charge.is_closed(), discharge.is_closed())) {
            wrong = Some(format!("told {charge:?}, {discharge:?}: {now:?}"));
        }
    }
    report.observed(OBEYS, seen.map(|()| wrong.is_none()), || wrong.unwrap_or_default());

    // Both closed: a constructor that leaves them so is found out.
    drop(port);
    let mut port = make(bench);
    // No longer than a gate's own time.
    bench.wait(ms(10));
    let now = both(&bench.observe());
    report.observed(START, now.map(|now| now == (false, false)), || format!("{now:?}"));

    let _ = port.apply(Closed, Open, false);
    bench.wait(SWITCHING);
    bench.observe();
    let _ = port.apply(Open, Closed, false);
    bench.wait(SWITCHING);
    let overlap = bench.observe().both_conducted;
    report.observed(ORDER, overlap.map(|overlap| !overlap), || "both conducted in between".to_owned());

    let _ = port.apply(Closed, Closed, false);
    bench.wait(SWITCHING);
    if bench.provoke(Condition::ShortCircuit(true)) {
        bench.wait(ms(10));
        let open = |bench: &mut B| both(&bench.observe()).map(|now| now == (false, false));
        let opened = open(bench);
        report.observed(LATCH, opened, || "they still conduct".to_owned());
        let _ = port.apply(Closed, Closed, false);
        bench.wait(SWITCHING);
        let stayed = open(bench);
        report.observed(OVER, stayed, || "a command closed over the latch".to_owned());
        let _ = port.apply(Closed, Closed, true);
        let _ = port.apply(Closed, Closed, false);
        bench.wait(SWITCHING);
        let while_set = open(bench);
        report.observed(LEVEL, while_set, || "cleared while the short circuit lasts".to_owned());
        bench.provoke(Condition::ShortCircuit(false));
        let _ = port.apply(Closed, Closed, false);
        bench.wait(SWITCHING);
        let untold = open(bench);
        report.observed(TOLD, untold, || "cleared without being told".to_owned());
        let _ = port.apply(Open, Open, true);
        let _ = port.apply(Closed, Closed, false);
        bench.wait(SWITCHING);
        let closed = both(&bench.observe()).map(|now| now == (true, true));
        report.observed(CLEARS, closed, || "they never close again".to_owned());
    } else {
        for rule in [LATCH, OVER, LEVEL, TOLD, CLEARS] {
            report.add(rule, Verdict::NotPossible);
        }
    }
    let _ = port.apply(Open, Open, false);
    bench.wait(SWITCHING);
    if bench.provoke(Condition::GatesUnpowered(true)) {
        let written = port.apply(Closed, Closed, false).is_ok();
        report.check(KNOWS, !written, || "it reports success with the gate driver dead".to_owned());
        bench.provoke(Condition::GatesUnpowered(false));
        let _ = port.apply(Open, Open, false);
    } else {
        report.add(KNOWS, Verdict::NotPossible);
    }
}

/// Work between the second and the third cell for a balancer of this kind.
fn work(kind: BalancerKind, phase: Phase, current: Current, until: Instant) -> Plan {
    match kind {
        BalancerKind::Transfer => Plan::Transfer { source: 1, destination: 2, phase, current, until },
        BalancerKind::Shuttle => Plan::Shuttle { source: 1, destination: 2, current, until },
        BalancerKind::Bleed => Plan::Bleed { mask: 0b10, until },
    }
}

/// Checks a balancer of any kind, at work on the second and the third cell.
pub fn balancer<B: Bench, P: Balancer>(
    bench: &mut B,
    mut make: impl FnMut(&mut B) -> P,
    cells: u8,
    report: &mut Report,
) {
    const START: &str = "Balancer 1: is off when its constructor returns";
    const RUNS: &str = "Balancer: carries a plan out";
    const EXPIRES: &str = "Balancer 2: stops by itself at the plan's end";
    const CURRENT: &str = "Balancer 3: never exceeds the plan's current";
    const ABLE: &str = "Balancer 3: never exceeds its own capabilities";
    const IDLE: &str = "Balancer 4: is off for an idle plan";
    const REFUSES: &str = "Balancer 4: refuses what it cannot carry out, and is off";
    const STORE: &str = "Balancer 5: never overfills its store";
    let off = |bench: &mut B| bench.observe().balance_current.map(|current| current == Current::ZERO);

    let mut port = make(bench);
    let able = port.capabilities();
    let half = able.maximum_current.divided_by(2).max(ma(1));
    let until = bench.now().after(secs(2));
    let accepted = port.apply(&work(able.kind, Phase::Take, half, until)).is_ok();
    bench.wait(ms(500));
    let flowing = bench.observe().balance_current;
    report.observed(RUNS, flowing.map(|now| accepted && now > Current::ZERO), || format!("{flowing:?}"));
    // A resistor draws what it draws.
    let told = if able.kind == BalancerKind::Bleed { able.maximum_current } else { half };
    let limit = told.plus(told.divided_by(20)).plus(ma(5));
    report.observed(CURRENT, flowing.map(|now| now <= limit), || format!("{flowing:?} of {told:?}"));
    bench.wait(ms(1_600));
    report.observed(EXPIRES, off(bench), || "it runs on".to_owned());

    let until = bench.now().after(secs(5));
    let _ = port.apply(&work(able.kind, Phase::Give, half, until));
    bench.wait(ms(100));
    let idled = port.apply(&Plan::Idle).is_ok();
    bench.wait(ms(10));
    report.observed(IDLE, off(bench).map(|off| off && idled), || "it runs on".to_owned());

    let until = bench.now().after(secs(2));
    let _ = port.apply(&work(able.kind, Phase::Take, half, until));
    bench.wait(ms(100));
    drop(port);
    let mut port = make(bench);
    bench.wait(ms(10));
    report.observed(START, off(bench), || "the old plan runs on".to_owned());

    let end = bench.now().after(secs(60));
    let too_much = work(able.kind, Phase::Take, able.maximum_current.times(2), end);
    let refused = port.apply(&too_much).is_err();
    bench.wait(ms(100));
    let within = bench.observe().balance_current.map(|current| refused || current <= able.maximum_current);
    report.observed(ABLE, within, || "twice its maximum flows".to_owned());
    let mut nonsense = vec![
        Plan::Transfer { source: cells, destination: 0, phase: Phase::Take, current: half, until: end },
        Plan::Transfer { source: 1, destination: 1, phase: Phase::Take, current: half, until: end },
        Plan::Shuttle { source: 0, destination: 2, current: half, until: end },
        Plan::Shuttle { source: cells.saturating_sub(1), destination: cells, current: half, until: end },
        Plan::Bleed { mask: 0, until: end },
        Plan::Bleed { mask: 1_u32.checked_shl(u32::from(cells)).unwrap_or(0), until: end },
    ];
    // What another kind of balancer does.
    let kinds = [BalancerKind::Transfer, BalancerKind::Shuttle, BalancerKind::Bleed];
    nonsense.extend(kinds.into_iter().filter(|kind| *kind != able.kind).map(|kind| work(kind, Phase::Take, half, end)));
    let mut kept = Some(true);
    for plan in &nonsense {
        let _ = port.apply(&work(able.kind, Phase::Take, half, end));
        bench.wait(ms(10));
        let refused = port.apply(plan).is_err();
        bench.wait(ms(20));
        kept = kept.zip(off(bench)).map(|(kept, off)| kept && refused && off);
    }
    report.observed(REFUSES, kept, || "accepted, or still running".to_owned());

    if able.kind != BalancerKind::Transfer {
        let _ = port.apply(&Plan::Idle);
        return;
    }
    let far = bench.now().after(Duration::from_millis(able.phase_time.as_millis().saturating_mul(20)));
    let _ = port.apply(&work(able.kind, Phase::Take, able.maximum_current, far));
    bench.wait(Duration::from_millis(able.phase_time.as_millis().saturating_mul(3)));
    report.observed(STORE, off(bench), || "still taking after three times its phase time".to_owned());
    let _ = port.apply(&Plan::Idle);
}

/// Checks one output that expires.
fn expiring<B: Bench, P>(
    bench: &mut B,
    make: &mut dyn FnMut(&mut B) -> P,
    write: impl Fn(&mut P, Expiring) -> bool,
    see: impl Fn(&Observed) -> Option<bool>,
    rules: [&'static str; 4],
    report: &mut Report,
) {
    let [start, runs, expires, off] = rules;
    let on_for = |bench: &B, time: Duration| Expiring::On { until: bench.now().after(time) };
    let mut port = make(bench);
    let order = on_for(bench, secs(1));
    let accepted = write(&mut port, order);
    bench.wait(ms(500));
    let now = see(&bench.observe());
    report.observed(runs, now.map(|on| on && accepted), || "it is not on".to_owned());
    bench.wait(ms(600));
    let now = see(&bench.observe());
    report.observed(expires, now.map(|on| !on), || "still on after its end".to_owned());
    let order = on_for(bench, secs(60));
    write(&mut port, order);
    bench.wait(ms(50));
    write(&mut port, Expiring::Off);
    bench.wait(ms(50));
    let now = see(&bench.observe());
    report.observed(off, now.map(|on| !on), || "still on".to_owned());
    let order = on_for(bench, secs(60));
    write(&mut port, order);
    drop(port);
    let mut port = make(bench);
    bench.wait(ms(10));
    let now = see(&bench.observe());
    report.observed(start, now.map(|on| !on), || "the constructor leaves it on".to_owned());
    write(&mut port, Expiring::Off);
}

/// Checks a heater.
pub fn heater<B: Bench, P: Heater>(bench: &mut B, mut make: impl FnMut(&mut B) -> P, report: &mut Report) {
    expiring(
        bench,
        &mut make,
        |port, state| port.heat(state).is_ok(),
        |seen| seen.heater,
        [
            "Heater: is off when its constructor returns",
            "Heater: goes on",
            "Heater: switches off by itself at its time",
            "Heater: goes off when told",
        ],
        report,
    );
}

/// Checks a precharge path.
pub fn precharge<B: Bench, P: Precharge>(bench: &mut B, mut make: impl FnMut(&mut B) -> P, report: &mut Report) {
    expiring(
        bench,
        &mut make,
        |port, state| port.precharge(state).is_ok(),
        |seen| seen.precharge,
        [
            "Precharge: is off when its constructor returns",
            "Precharge: goes on",
            "Precharge: switches off by itself at its time",
            "Precharge: goes off when told",
        ],
        report,
    );
}

/// Checks the hold of the supply. It is released at the end.
pub fn power<B: Bench, P: Power>(bench: &mut B, mut make: impl FnMut(&mut B) -> P, report: &mut Report) {
    const START: &str = "Power: holds from the start until told to release";
    const RELEASES: &str = "Power: releases when told";
    let mut port = make(bench);
    bench.wait(ms(500));
    let held = bench.observe().power_held;
    let _ = port.power(PowerState::Hold);
    bench.wait(ms(100));
    let still = bench.observe().power_held;
    report.observed(START, held.zip(still).map(|(a, b)| a && b), || "the supply is gone".to_owned());
    let _ = port.power(PowerState::Release);
    bench.wait(ms(500));
    let released = bench.observe().power_held.map(|held| !held);
    report.observed(RELEASES, released, || "it holds on".to_owned());
}

/// Checks that the last resort is not fired by itself. Firing it is irreversible and left to the rig's owner.
pub fn last_resort<B: Bench, P: LastResort>(bench: &mut B, mut make: impl FnMut(&mut B) -> P, report: &mut Report) {
    const RULE: &str = "LastResort: is fired only when told";
    let mut port = make(bench);
    let _ = port.fire(Switch::Open);
    bench.wait(ms(100));
    let fired = bench.observe().fired;
    report.observed(RULE, fired.map(|fired| !fired), || "it was fired".to_owned());
}
