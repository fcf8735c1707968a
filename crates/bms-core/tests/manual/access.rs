//! Passwords and authority (S05–S08, D34, D35).

use bms_core::access::{
    Access, AccessRecord, Change, DeviceName, LOCK_OUT, LOCK_OUT_FAILURES, LOGIN_TIME, LoginRefused, MAXIMUM_PASSWORD,
    PRESENCE_WINDOW, PasswordRefused, Reading, Session, derive_key, login_proof, seal, session_key, wait_after,
};
use bms_core::event::{AccessEvent, EventKind, PasswordKind};
use bms_core::prelude::*;

use PasswordKind::{Connection, Settings};

const OWN: &[u8] = b"Harbour8";

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn events(access: &mut Access) -> Vec<AccessEvent> {
    std::iter::from_fn(|| access.poll_event())
        .map(|event| match event.kind {
            EventKind::Access(event) => event,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn pack() -> Bms {
    Bms::new(Config::lifepo4(16).with_model(Model::B2a24s20p).with_capacity(ah(100)).validate().unwrap())
}

fn chosen() -> Access {
    let mut access = Access::factory([3; 16]);
    access.change_password(at(0), Settings, [b"123456", OWN, OWN], [4; 16]).unwrap();
    access
}

/// Tries a change of one parameter.
fn change(access: &mut Access, bms: &mut Bms, session: &Session, now: Instant) -> Result<(), Refusal> {
    let change = Change::Parameter(ParameterId::CellOvervoltageProtection, 3_550_000);
    access.change(bms, session, now, change)
}

/// S05 D34: the factory's password authorises a change only with presence, until it is changed.
#[test]
fn the_factory_password_needs_presence() {
    let (mut access, mut bms, mut session) = (Access::factory([1; 16]), pack(), Session::new());
    access.log_in(&mut session, at(1), Settings, b"123456").unwrap();
    assert_eq!(change(&mut access, &mut bms, &session, at(2)), Err(Refusal::NotAuthorised));
    access.presence_seen(at(3), PRESENCE_WINDOW);
    assert_eq!(change(&mut access, &mut bms, &session, at(4)), Ok(()));
    let after = at(3).after(PRESENCE_WINDOW);
    assert_eq!(change(&mut access, &mut bms, &session, after), Err(Refusal::NotAuthorised));
    access.change_password(at(400), Settings, [b"123456", OWN, OWN], [2; 16]).unwrap();
    access.log_in(&mut session, at(401), Settings, OWN).unwrap();
    assert_eq!(change(&mut access, &mut bms, &session, at(402)), Ok(()));
    assert_eq!(change(&mut access, &mut bms, &session, at(401).after(LOGIN_TIME)), Err(Refusal::NotAuthorised));
    let told = events(&mut access);
    for expected in [
        AccessEvent::LoggedIn(Settings),
        AccessEvent::ChangeRefused,
        AccessEvent::PresenceSeen,
        AccessEvent::Changed,
        AccessEvent::PasswordChanged(Settings),
    ] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
}

/// S05 D31: authority does not reach beyond ranges, orderings and hard caps; a refusal changes nothing and is told.
#[test]
fn authority_does_not_lift_the_caps() {
    let (mut access, mut bms, session) = (chosen(), pack(), Session::new());
    access.presence_seen(at(1), PRESENCE_WINDOW);
    let before = *bms.config();
    events(&mut access);
    for (parameter, value) in [
        (ParameterId::CellOvervoltageProtection, 4_000_000),
        (ParameterId::CellUndervoltageProtection, 1_500_000),
        (ParameterId::CellUndervoltageProtection, 3_550_000),
        (ParameterId::DischargeOvercurrentProtection, 400_000),
        (ParameterId::MosOvertemperatureProtection, 900),
        (ParameterId::VoltageGain, 1),
    ] {
        let refusal = access.change(&mut bms, &session, at(2), Change::Parameter(parameter, value));
        assert!(refusal.is_err(), "{parameter:?} {value}");
        assert_eq!(events(&mut access), [AccessEvent::ChangeRefused]);
    }
    assert_eq!(*bms.config(), before);
}

/// S05 D34: what clears faults, rewrites everything, calibrates or switches off needs somebody at the board.
#[test]
fn some_changes_need_presence() {
    let (mut access, mut bms, mut session) = (chosen(), pack(), Session::new());
    access.log_in(&mut session, at(1), Settings, OWN).unwrap();
    let local = [
        Change::Preset(Chemistry::LiFePo4),
        Change::Request(Request::Shutdown),
        Change::Request(Request::RestoreFactorySettings),
        Change::Request(Request::ClearLockout),
        Change::Request(Request::ClearPermanent),
        Change::Request(Request::ResetEmergencyStop),
    ];
    for change in local {
        assert_eq!(access.change(&mut bms, &session, at(2), change), Err(Refusal::NotAuthorised), "{change:?}");
    }
    for change in [Change::Request(Request::SetCharge(false)), Change::Request(Request::EmergencyStop)] {
        assert_eq!(access.change(&mut bms, &session, at(2), change), Ok(()), "{change:?}");
    }
    access.presence_seen(at(3), PRESENCE_WINDOW);
    for change in local {
        assert_eq!(access.change(&mut bms, &session, at(4), change), Ok(()), "{change:?}");
    }
}

/// S06 D35: the connection password allows reading and nothing else; the two are independent.
#[test]
fn two_independent_passwords() {
    let (mut access, mut bms, mut session) = (chosen(), pack(), Session::new());
    assert!(access.may_read(&session, Reading::Open));
    assert!(!access.may_read(&session, Reading::Password));
    assert_eq!(access.log_in(&mut session, at(1), Connection, OWN), Err(LoginRefused::Wrong));
    access.log_in(&mut session, at(10), Connection, b"1234").unwrap();
    assert!(access.may_read(&session, Reading::Password));
    assert_eq!(change(&mut access, &mut bms, &session, at(11)), Err(Refusal::NotAuthorised));
    session.close();
    assert!(!access.may_read(&session, Reading::Password));
    assert_eq!(access.record().failures(Settings), 0);
}

/// S07: a new password needs the old one, and the new one twice.
#[test]
fn a_new_password_needs_the_old_one_and_two_equal_entries() {
    let mut access = Access::factory([1; 16]);
    let mut now = 0;
    let mut ask = |access: &mut Access, texts: [&[u8]; 3]| {
        now += 2_000;
        access.change_password(at(now), Connection, texts, [5; 16])
    };
    let wrong = PasswordRefused::Login(LoginRefused::Wrong);
    assert_eq!(ask(&mut access, [b"4321", b"Quay9", b"Quay9"]), Err(wrong));
    assert_eq!(ask(&mut access, [b"1234", b"Quay9", b"Quay8"]), Err(PasswordRefused::Differ));
    let long = [b'x'; MAXIMUM_PASSWORD + 1];
    for impossible in [b"abc".as_slice(), &long, b"with blank", b"\x07bell", "größe".as_bytes()] {
        assert_eq!(ask(&mut access, [b"1234", impossible, impossible]), Err(PasswordRefused::NotPossible));
    }
    assert!(!access.record().is_chosen(Connection));
    assert_eq!(ask(&mut access, [b"1234", b"Quay9", b"Quay9"]), Ok(()));
    assert!(access.record().is_chosen(Connection) && !access.record().is_chosen(Settings));
    assert_eq!(ask(&mut access, [b"1234", b"Other1", b"Other1"]), Err(wrong));
    assert_eq!(ask(&mut access, [b"Quay9", b"Other1", b"Other1"]), Ok(()));
    assert!(events(&mut access).contains(&AccessEvent::PasswordChanged(Connection)));
}

/// S05: failures make the next attempt wait, longer each time; the count survives a reset, which starts the wait anew;
/// presence is never blocked and ends it.
#[test]
fn failures_wait_longer_each_time() {
    let mut access = chosen();
    access.record_to_store();
    let mut session = Session::new();
    let mut now = 10;
    for failure in 1..=LOCK_OUT_FAILURES + 2 {
        assert_eq!(access.log_in(&mut session, at(now), Settings, b"guess"), Err(LoginRefused::Wrong));
        let wait = wait_after(failure);
        // While it waits not even the right one is looked at.
        let blocked = access.log_in(&mut session, at(now), Settings, OWN);
        assert_eq!(blocked, Err(LoginRefused::Blocked(wait)));
        assert_eq!(access.record().failures(Settings), failure);
        assert_eq!(access.record_to_store().map(|record| record.failures(Settings)), Some(failure), "stored each time");
        now += u64::from(wait.as_millis()) / 1_000;
    }
    assert_eq!(wait_after(LOCK_OUT_FAILURES), LOCK_OUT);
    assert!((1..LOCK_OUT_FAILURES).all(|failures| wait_after(failures) < wait_after(failures + 1)));
    // Another password is not blocked.
    assert_eq!(access.log_in(&mut session, at(now), Connection, b"1234"), Ok(()));
    // The power is cut: the wait starts anew.
    let record = AccessRecord::from_bytes(&access.record().to_bytes()).unwrap();
    assert_eq!(record, *access.record());
    let mut access = Access::restored(record, at(0));
    assert_eq!(access.log_in(&mut session, at(1), Settings, OWN), Err(LoginRefused::Blocked(secs(3_599))));
    // Presence opens the window all the same, and ends the waiting.
    access.presence_seen(at(2), PRESENCE_WINDOW);
    assert_eq!(change(&mut access, &mut pack(), &session, at(3)), Ok(()));
    assert_eq!(access.log_in(&mut session, at(3), Settings, OWN), Ok(()));
    let told = events(&mut access);
    assert!(told.contains(&AccessEvent::Blocked(Settings)));
}

/// S05 S06: nothing that is stored or printed has a password in it; equal passwords look different.
#[test]
fn passwords_are_stored_salted_and_hashed() {
    let mut access = chosen();
    access.change_password(at(1), Connection, [b"1234", OWN, OWN], [8; 16]).unwrap();
    let bytes = access.record().to_bytes();
    for secret in [OWN, b"123456".as_slice(), b"1234"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
    }
    let printed = format!("{:?}", access.record());
    assert!(!printed.contains("Harbour8") && !printed.contains("key"));
    assert_ne!(bytes[17..49], bytes[66..98], "the same password under two salts");
    for (position, wrong) in [(0, 9), (49, 2), (98, 2), (105, b' ')] {
        let mut broken = bytes;
        broken[position] = wrong;
        assert_eq!(AccessRecord::from_bytes(&broken), None, "{position}");
    }
}

/// S08: the device name is made of 1 to 16 ASCII letters and digits.
#[test]
fn the_device_name() {
    for good in ["A", "Boat2", "ABCDEFGHIJKLMNOP"] {
        assert_eq!(DeviceName::new(good.as_bytes()).unwrap().as_bytes(), good.as_bytes());
    }
    for bad in ["", "ABCDEFGHIJKLMNOPQ", "my boat", "Boot-2", "Größe", "a\0b"] {
        assert!(DeviceName::new(bad.as_bytes()).is_err(), "{bad}");
    }
    let (mut access, mut bms, session) = (chosen(), pack(), Session::new());
    let rename = Change::Name(DeviceName::new(b"Boat2").unwrap());
    assert_eq!(access.change(&mut bms, &session, at(1), rename), Err(Refusal::NotAuthorised));
    access.presence_seen(at(1), PRESENCE_WINDOW);
    events(&mut access);
    assert_eq!(access.change(&mut bms, &session, at(2), rename), Ok(()));
    assert_eq!(events(&mut access), [AccessEvent::NameChanged, AccessEvent::Changed]);
    assert_eq!(AccessRecord::from_bytes(&access.record().to_bytes()).unwrap().name().as_bytes(), b"Boat2");
}

/// S05: challenge and response: a recorded login and a recorded message are worthless, also across resets.
#[test]
fn a_recording_is_worthless() {
    let mut access = chosen();
    let mut session = Session::new();
    let challenge = access.challenge(&mut session, Settings, [0; 16]);
    let key = derive_key(&challenge.salt, OWN);
    let proof = login_proof(&key, &challenge);
    access.prove(&mut session, at(1), &proof).unwrap();
    let session_key = session_key(&key, &challenge);
    let code = seal(&session_key, 1, b"message");
    assert!(access.unseal(&mut session, at(2), 1, b"message", &code).unwrap().is_some());
    assert_eq!(access.unseal(&mut session, at(3), 1, b"message", &code), Err(LoginRefused::OutOfOrder));
    assert_eq!(access.unseal(&mut session, at(3), 2, b"message", &code), Err(LoginRefused::Wrong));
    assert_eq!(access.unseal(&mut session, at(3), 1, b"massage", &code), Err(LoginRefused::Wrong));
    // The same nonce again (a board without entropy), after a reset: the number has moved on.
    let mut access = Access::restored(AccessRecord::from_bytes(&access.record().to_bytes()).unwrap(), at(0));
    let mut other = Session::new();
    assert_eq!(access.prove(&mut other, at(10), &proof), Err(LoginRefused::OutOfOrder), "no challenge");
    let again = access.challenge(&mut other, Settings, [0; 16]);
    assert!(again.number > challenge.number);
    assert_eq!(access.prove(&mut other, at(11), &proof), Err(LoginRefused::Wrong));
    assert_eq!(access.prove(&mut other, at(20), &proof), Err(LoginRefused::OutOfOrder), "one answer a challenge");
    assert_eq!(access.unseal(&mut other, at(21), 1, b"message", &code), Err(LoginRefused::OutOfOrder));
}
