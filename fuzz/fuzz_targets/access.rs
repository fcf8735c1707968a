//! Any order of attempts, changes of passwords, presence, resets and time: there is authority only where it was earned.

#![no_main]

use bms_core::access::{Access, AccessRecord, Reading, Session, derive_key, login_proof, wait_after};
use bms_core::event::PasswordKind;
use bms_core::time::{Duration, Instant};
use libfuzzer_sys::fuzz_target;

const PASSWORDS: [&[u8]; 4] = [b"1234", b"123456", b"Harbour8", b"Quay9"];

/// What an independent bookkeeper believes.
struct Book {
    password: [&'static [u8]; 2],
    chosen: [bool; 2],
    failures: [u8; 2],
    blocked_until: [Instant; 2],
    present_until: Instant,
    connected: bool,
    settings_until: Instant,
}

impl Book {
    /// Whether an attempt is right; counts it.
    fn attempt(&mut self, now: Instant, kind: usize, right: bool) -> bool {
        if now < self.blocked_until[kind] {
            return false;
        }
        self.failures[kind] = if right { 0 } else { self.failures[kind].saturating_add(1) };
        self.blocked_until[kind] = now.after(wait_after(self.failures[kind]));
        right
    }
    fn logged_in(&mut self, now: Instant, kind: usize) {
        self.connected = true;
        if kind == 1 {
            self.settings_until = now.after(bms_core::access::LOGIN_TIME);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut access = Access::factory([5; 16]);
    let mut session = Session::new();
    let mut now = Instant::ZERO;
    let mut last_number = 0;
    let mut book = Book {
        password: [PASSWORDS[0], PASSWORDS[1]],
        chosen: [false; 2],
        failures: [0; 2],
        blocked_until: [Instant::ZERO; 2],
        present_until: Instant::ZERO,
        connected: false,
        settings_until: Instant::ZERO,
    };
    for [operation, detail] in data.as_chunks::<2>().0 {
        let kind = usize::from(detail & 1);
        let which = [PasswordKind::Connection, PasswordKind::Settings][kind];
        let tried = PASSWORDS[usize::from(detail >> 1) % 4];
        match operation % 8 {
            0 => now = now.after(Duration::from_millis(u32::from(*detail) * 100)),
            1 => now = now.after(Duration::from_millis(u32::from(*detail) * 60_000)),
            2 => {
                let right = book.attempt(now, kind, tried == book.password[kind]);
                assert_eq!(access.log_in(&mut session, now, which, tried).is_ok(), right);
                if right {
                    book.logged_in(now, kind);
                }
            }
            3 => {
                let new = PASSWORDS[usize::from(detail >> 3) % 4];
                let again = if detail & 0x80 == 0 { new } else { b"other" };
                let right = book.attempt(now, kind, tried == book.password[kind]);
                let done = access.change_password(now, which, [tried, new, again], [*detail; 16]).is_ok();
                assert_eq!(done, right && new == again);
                if done {
                    book.password[kind] = new;
                    book.chosen[kind] = true;
                }
            }
            4 => {
                access.presence_seen(now, Duration::from_millis(60_000));
                book.present_until = now.after(Duration::from_millis(60_000));
                book.failures = [0; 2];
                book.blocked_until = [now; 2];
            }
            5 => {
                // A reset: only the record survives, and waits start anew.
                let record = AccessRecord::from_bytes(&access.record().to_bytes()).expect("its own record");
                access = Access::restored(record, now);
                session.close();
                book.connected = false;
                book.settings_until = Instant::ZERO;
                book.present_until = Instant::ZERO;
                for kind in 0..2 {
                    book.blocked_until[kind] = now.after(wait_after(book.failures[kind]));
                }
            }
            6 => {
                session.close();
                book.connected = false;
                book.settings_until = Instant::ZERO;
            }
            _ => {
                let challenge = access.challenge(&mut session, which, [0; 16]);
                assert!(challenge.number > last_number, "a challenge came twice");
                last_number = challenge.number;
                let mut proof = login_proof(&derive_key(&challenge.salt, tried), &challenge);
                if detail & 0x80 != 0 {
                    proof[usize::from(*detail) % 16] ^= 1;
                }
                let right = book.attempt(now, kind, tried == book.password[kind] && detail & 0x80 == 0);
                assert_eq!(access.prove(&mut session, now, &proof).is_ok(), right);
                if right {
                    book.logged_in(now, kind);
                }
            }
        }
        let present = now < book.present_until;
        let earned = present || (now < book.settings_until && book.chosen[1]);
        let authority = access.authority(&session, now);
        assert_eq!(authority.is_some(), earned);
        assert_eq!(authority.is_some_and(|authority| authority.is_present()), present);
        assert_eq!(access.may_read(&session, Reading::Password), book.connected);
        while access.poll_event().is_some() {}
    }
});
