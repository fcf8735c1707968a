//! What may be closed, heated, balanced and re-armed.

use crate::oracle::{Oracle, scan_of};
use crate::readings::{Known, News, Sensor, Step};
use crate::rules::{charger_present, counting, inhibits};
use bms_core::config::{ParameterId as P, Topology};
use bms_core::lifecycle::State;
use bms_core::protection::Alarm;

/// D32: a complete valid sample of all required channels since the start.
pub fn complete(oracle: &Oracle) -> bool {
    let stale = oracle.stale();
    oracle.cells.usable(oracle.now, stale).is_some()
        && oracle.current.usable(oracle.now, stale).is_some()
        && temperatures_usable(oracle)
        && (oracle.chemistry_settled || oracle.get(P::ChemistryCheck) == 0)
}

fn temperatures_usable(oracle: &Oracle) -> bool {
    let mut sensors = counting(oracle);
    sensors.push(5);
    sensors.iter().all(|index| oracle.sensors[*index].usable(oracle.now, oracle.get(P::TemperatureLostTime)).is_some())
}

/// Law 2: a step that lacks a required reading closes nothing, nor does one that lacks what X03 and X19 compared before, nor one
/// whose inputs failed: they might tell of a failed self-test or a short circuit.
pub fn all_usable(oracle: &Oracle, step: &Step) -> bool {
    let stale = oracle.stale();
    let missing = |known: &Known<i64>| known.last.is_some() && known.usable(oracle.now, stale).is_none();
    let stack_compared = oracle.get(P::StackCheck) == 1;
    let terminal_compared = oracle.get(P::TerminalMismatchVoltage) != 0 && oracle.terminal.last.is_some();
    let uncompared = ((stack_compared || terminal_compared) && missing(&oracle.stack))
        || (terminal_compared && missing(&oracle.terminal));
    let unheard = matches!(step.inputs, News::Failed);
    scan_of(step).is_some_and(|(_, scan)| scan.complete().is_some()) && complete(oracle) && !uncompared && !unheard
}

pub(crate) fn latch_set(oracle: &Oracle) -> bool {
    oracle.inputs.last.is_some_and(|(_, inputs)| inputs.short_circuit)
}

/// Whether every sensor that counts delivered a good value in this step, or nothing was to be delivered.
pub fn all_sensors_good(oracle: &Oracle, step: &Step) -> bool {
    let mut sensors = counting(oracle);
    sensors.push(5);
    match &step.temperatures {
        News::None => true,
        News::Failed => false,
        News::New(_, shown) => sensors.iter().all(|index| matches!(shown[*index], Sensor::Good(_))),
    }
}

/// D09: the latch is re-armed within the last two periods before the release, so that it is seen clear then.
pub fn clear_latch(oracle: &Oracle) -> bool {
    let over = oracle.watches[Alarm::ShortCircuit as usize].raised.is_some_and(|raised| {
        oracle.now - raised >= oracle.get(P::ShortCircuitRelease) - 2 * oracle.get(P::SamplePeriod)
    });
    over && latch_set(oracle)
}

/// H01, D28: whether the heater may be on.
pub fn heater_wanted(oracle: &Oracle) -> bool {
    let get = |parameter| oracle.get(parameter);
    let lowest = oracle.scan.as_ref().and_then(|cells| cells.iter().min().copied());
    let source = if get(P::HeaterFromBattery) == 1 {
        // A scan that failed cannot vouch for the battery.
        oracle.cells.trusted && lowest.is_some_and(|cell| cell > get(P::CellUndervoltageRecovery))
    } else {
        // The charger's input feeds it; whether a charger must be seen there is the next question.
        true
    };
    let charger = get(P::HeaterNeedsCharger) == 0 || charger_present(oracle);
    let inhibited = Alarm::ALL.iter().any(|alarm| oracle.active(*alarm) && inhibits(*alarm).heater);
    get(P::HeaterResistance) > 0
        && oracle.state == State::Running
        && oracle.active(Alarm::ChargeUndertemperature)
        && source
        && charger
        && !inhibited
        && !counting(oracle).is_empty()
        && temperatures_usable(oracle)
}

/// The coldest battery sensor.
pub fn coldest(oracle: &Oracle) -> Option<i64> {
    counting(oracle).iter().filter_map(|index| oracle.sensors[*index].last.map(|(_, value)| value)).min()
}

/// X12: alarms of a cell's voltage or of one direction's temperature.
pub fn of_one_direction(alarm: Alarm, charge: bool) -> bool {
    use Alarm as A;
    if charge {
        matches!(alarm, A::CellOvervoltage | A::ChargeOvertemperature | A::ChargeUndertemperature)
    } else {
        matches!(alarm, A::CellUndervoltage | A::DischargeOvertemperature | A::DischargeUndertemperature)
    }
}

/// X12: whether the opposite current is so high that the open switch's diode is to be relieved.
pub fn bypassed(oracle: &Oracle, charge: bool) -> bool {
    let limit = oracle.get(P::DiodeBypassCurrent);
    let current = oracle.current.usable(oracle.now, oracle.stale());
    let opposite = if charge { -1 } else { 1 };
    limit > 0
        && oracle.config.board().topology == Topology::BackToBack
        && current.is_some_and(|current| opposite * current > limit)
        && Alarm::ALL.iter().any(|alarm| oracle.active(*alarm) && of_one_direction(*alarm, charge))
}

/// D27 and laws 1 and 2: whether no transfer may run now.
pub fn balance_forbidden(oracle: &Oracle, step: &Step, state: State) -> bool {
    let bad_scan = step.cells != News::None && scan_of(step).is_none_or(|(_, scan)| scan.complete().is_none());
    state != State::Running
        || !oracle.switches.balance
        || bad_scan
        || Alarm::ALL.iter().any(|alarm| oracle.active(*alarm) && inhibits(*alarm).balance)
}
