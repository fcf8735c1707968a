//! Retries and lock-outs: D10, X18, law 5.

use bms_core::bms::Request;
use bms_core::command::Power;
use bms_core::config::{ParameterId, Profile};
use bms_core::event::EventKind;
use bms_core::protection::Alarm;
use bms_core::snapshot::ResetCause;
use bms_core::time::secs;
use bms_core::units::{Current, amps, mv};

use crate::harness::{Pack, Setup};

use ParameterId as P;

/// A pack in the default profile that trips above 100 A after a second and tries again after ten.
fn quick(profile: Profile) -> Setup {
    Setup::new(profile)
        .set(P::DischargeOvercurrentProtection, 100_000)
        .set(P::ChargeOvercurrentProtection, 100_000)
        .set(P::DischargeOvercurrentDelay, 1_000)
        .set(P::ChargeOvercurrentDelay, 1_000)
        .set(P::DischargeOvercurrentRelease, 10_000)
        .set(P::ChargeOvercurrentRelease, 10_000)
        .set(P::ShortCircuitRelease, 10_000)
}

/// Trips once on too much discharging current; the current ends with the trip.
fn trip(pack: &mut Pack) {
    pack.current = amps(-120);
    pack.until(secs(3), "trips", |pack| !pack.command.discharge.is_closed());
    pack.current = Current::ZERO;
}

/// Trips once and waits for the retry.
fn trip_and_retry(pack: &mut Pack) {
    trip(pack);
    pack.until(secs(13), "tries again", |pack| pack.closed() == (true, true));
}

fn locked(pack: &mut Pack) {
    pack.throughout(secs(900), "locked out", |pack| !pack.command.discharge.is_closed());
    assert!(pack.has(Alarm::DischargeLockedOut));
}

fn locked_out_pack() -> Pack {
    let mut pack = quick(Profile::Default).started();
    trip_and_retry(&mut pack);
    trip_and_retry(&mut pack);
    trip(&mut pack);
    pack.until(secs(15), "locked out", |pack| pack.has(Alarm::DischargeLockedOut));
    pack.advance(secs(15));
    assert_eq!(pack.closed(), (true, false), "charging stays allowed");
    pack
}

/// D10: three trips of one cause lock it out; the other direction goes on.
#[test]
fn the_third_trip_locks_out() {
    locked(&mut locked_out_pack());
    let mut pack = quick(Profile::Default).started();
    for count in 1..=3 {
        pack.current = amps(120);
        pack.until(secs(3), "trips", |pack| !pack.command.charge.is_closed());
        pack.current = Current::ZERO;
        pack.advance(secs(12));
        assert_eq!(pack.closed(), (count < 3, true), "trip {count}");
    }
    pack.throughout(secs(900), "locked out", |pack| pack.closed() == (false, true));
    assert!(pack.has(Alarm::ChargeLockedOut));
}

/// D10: a short circuit is locked out too, with both switches.
#[test]
fn the_third_short_circuit_locks_out() {
    let mut pack = quick(Profile::Default).started();
    for count in 1..=3 {
        pack.short = true;
        pack.step();
        pack.short = false;
        assert_eq!(pack.closed(), (false, false));
        pack.advance(secs(13));
        assert_eq!(pack.closed(), (count < 3, count < 3), "short circuit {count}");
    }
    pack.throughout(secs(900), "locked out", |pack| pack.closed() == (false, false));
}

/// D10: counted per cause: two of each are not three of one.
#[test]
fn trips_are_counted_per_cause() {
    let mut pack = quick(Profile::Default).started();
    for _ in 0..2 {
        trip_and_retry(&mut pack);
    }
    for _ in 0..2 {
        pack.short = true;
        pack.step();
        pack.short = false;
        pack.until(secs(13), "tries again", |pack| pack.closed() == (true, true));
    }
}

/// N06 D10: in the profile of the manual nothing is ever locked out.
#[test]
fn the_manual_never_locks_out() {
    let mut pack = quick(Profile::Manual).started();
    for _ in 0..10 {
        trip_and_retry(&mut pack);
    }
    for _ in 0..10 {
        pack.short = true;
        pack.step();
        pack.short = false;
        pack.until(secs(13), "tries again", |pack| pack.closed() == (true, true));
    }
}

/// D10: the limit is a parameter; zero is unlimited, one locks at the first trip.
#[test]
fn the_retry_limit_is_a_parameter() {
    let mut pack = quick(Profile::Default).set(P::RetryLimit, 0).started();
    for _ in 0..10 {
        trip_and_retry(&mut pack);
    }
    let mut pack = quick(Profile::Default).set(P::RetryLimit, 1).started();
    trip(&mut pack);
    locked(&mut pack);
}

/// D10: ten minutes of conduction without a trip clear the count, nine do not.
#[test]
fn ten_minutes_of_conduction_clear_the_count() {
    for (minutes, cleared) in [(9, false), (11, true)] {
        let mut pack = quick(Profile::Default).started();
        trip_and_retry(&mut pack);
        trip_and_retry(&mut pack);
        pack.current = amps(-20);
        pack.advance(secs(minutes * 60));
        trip(&mut pack);
        pack.advance(secs(20));
        assert_eq!(pack.closed(), (true, cleared), "{minutes} minutes");
    }
}

/// D10: time with the switch open is no conduction.
#[test]
fn time_with_an_open_switch_does_not_clear_the_count() {
    let mut pack = quick(Profile::Default).started();
    trip_and_retry(&mut pack);
    trip_and_retry(&mut pack);
    pack.request(Request::SetDischarge(false)).unwrap();
    pack.advance(secs(1_200));
    pack.request(Request::SetDischarge(true)).unwrap();
    pack.until(secs(2), "closed", |pack| pack.closed() == (true, true));
    trip(&mut pack);
    locked(&mut pack);
}

/// D10: removing the load, seen, clears the lock-out.
#[test]
fn load_removal_clears_the_lock_out() {
    let mut pack = locked_out_pack();
    pack.inputs.load = Some(true);
    pack.throughout(secs(30), "the load is there", |pack| pack.closed() == (true, false));
    pack.inputs.load = Some(false);
    pack.until(secs(15), "removed", |pack| pack.closed() == (true, true));
    assert!(!pack.has(Alarm::DischargeLockedOut));
}

/// D10: a load that was never seen cannot be seen to go.
#[test]
fn a_load_that_was_never_seen_does_not_clear_the_lock_out() {
    let mut pack = locked_out_pack();
    pack.inputs.load = Some(false);
    pack.throughout(secs(60), "nothing was removed", |pack| pack.closed() == (true, false));
    pack.inputs.load = None;
    pack.throughout(secs(60), "nothing is seen", |pack| pack.closed() == (true, false));
}

/// D10: removing the charger, seen, clears the lock-out of charging.
#[test]
fn charger_removal_clears_the_lock_out_of_charging() {
    let mut pack = quick(Profile::Default).set(P::RetryLimit, 1).started();
    pack.inputs.charger = Some(true);
    pack.current = amps(120);
    pack.until(secs(3), "trips", |pack| !pack.command.charge.is_closed());
    pack.current = Current::ZERO;
    pack.throughout(secs(60), "locked out", |pack| pack.closed() == (false, true));
    assert!(pack.has(Alarm::ChargeLockedOut));
    pack.inputs.charger = Some(false);
    pack.until(secs(15), "removed", |pack| pack.closed() == (true, true));
}

/// D10 N07: a local request clears it, is refused while the load is seen, and closes once only.
#[test]
fn a_local_request_closes_once() {
    let mut pack = locked_out_pack();
    pack.inputs.load = Some(true);
    pack.step();
    assert!(pack.request(Request::ClearLockout).is_err(), "the load is seen");
    pack.throughout(secs(30), "still locked out", |pack| pack.closed() == (true, false));

    let mut pack = locked_out_pack();
    assert!(pack.request(Request::ClearLockout).is_ok());
    pack.until(secs(15), "closes", |pack| pack.closed() == (true, true));
    trip(&mut pack);
    locked(&mut pack);
}

/// D10: a commanded shutdown and wake clear it.
#[test]
fn a_commanded_shutdown_and_wake_clear_the_lock_out() {
    let mut pack = locked_out_pack();
    pack.request(Request::Shutdown).unwrap();
    pack.until(secs(5), "shut down", |pack| pack.command.power == Power::Release);
    pack.throughout(secs(5), "stays down", |pack| pack.closed() == (false, false));
    // The supply is still there: it starts anew.
    pack.until(secs(30), "awake", |pack| pack.closed() == (true, true));

    let mut pack = locked_out_pack();
    pack.request(Request::Shutdown).unwrap();
    pack.until(secs(5), "shut down", |pack| pack.command.power == Power::Release);
    assert!(pack.saw(|event| *event == EventKind::ShuttingDown));
    let mut woken = pack.reset(ResetCause::PowerOn);
    woken.until(secs(15), "awake", |pack| pack.closed() == (true, true));
}

/// D10 X18: lock-outs and trip counts survive every kind of reset.
#[test]
fn lock_outs_and_counts_survive_resets() {
    for cause in [ResetCause::PowerOn, ResetCause::BrownOut, ResetCause::Watchdog, ResetCause::Unknown] {
        let mut pack = locked_out_pack().reset(cause);
        pack.throughout(secs(900), "still locked out", |pack| !pack.command.discharge.is_closed());

        let mut pack = quick(Profile::Default).started();
        trip_and_retry(&mut pack);
        trip_and_retry(&mut pack);
        let mut pack = pack.reset(cause);
        pack.start();
        trip(&mut pack);
        locked(&mut pack);
    }
}

/// D10: repeated rebound from under-voltage is locked out too.
#[test]
fn the_third_rebound_from_undervoltage_locks_out() {
    for (profile, limit) in [(Profile::Default, 3), (Profile::Manual, 10)] {
        let mut pack = quick(profile).started();
        for count in 1..=limit {
            pack.current = amps(-20);
            pack.all_cells(mv(2_690));
            pack.until(secs(2), "trips", |pack| !pack.command.discharge.is_closed());
            pack.current = Current::ZERO;
            pack.all_cells(mv(2_950));
            pack.advance(secs(5));
            let open = profile == Profile::Default && count == limit;
            assert_eq!(pack.closed(), (true, !open), "{profile:?}, rebound {count}");
        }
    }
}

/// P04 D10: over-voltage closes again every time; only the causes named are locked out.
#[test]
fn overvoltage_is_never_locked_out() {
    let mut pack = quick(Profile::Default).started();
    for _ in 0..10 {
        pack.all_cells(mv(3_601));
        pack.until(secs(2), "trips", |pack| !pack.command.charge.is_closed());
        pack.all_cells(mv(3_499));
        pack.until(secs(2), "recovers", |pack| pack.closed() == (true, true));
    }
}
