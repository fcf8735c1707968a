//! What a firmware keeps for its links, so that its loop only moves bytes and frames.
//!
//! ```text
//! step's status, events, key ─► Station ─desk()─► Board ◄─ Serial, InverterCan, JkCan …
//!                                  └─ record_to_store() ─► flash, before anything is sent
//! ```

use bms_core::access::{Access, AccessRecord};
use bms_core::bms::Bms;
use bms_core::event::Event;
use bms_core::fittings::Fittings;
use bms_core::status::Status;
use bms_core::time::{Duration, Instant};

use crate::board::{Board, Desk, Identity};
use crate::logbook::Logbook;
use crate::telemetry::Telemetry;
use crate::uart::Uart;

/// How long a key press lets changes in, if the board does not say otherwise (D34).
pub const KEY_WINDOW: Duration = Duration::from_millis(300_000);

/// The one place of a firmware for what all its links share.
#[derive(Debug)]
pub struct Station {
    access: Access,
    identity: &'static Identity,
    logbook: Logbook,
    telemetry: Telemetry,
    key: bool,
}

impl Station {
    /// `access` from the stored record ([`Access::restored`]) or [`Access::factory`]; `status` is what links show until the
    /// first step.
    #[must_use]
    pub fn new(access: Access, identity: &'static Identity, status: &Status<'_>) -> Self {
        Self { access, identity, logbook: Logbook::new(), telemetry: Telemetry::of(status), key: false }
    }
    /// After every step: its status, and whether the key at the board is pressed. The press, not the holding, opens the
    /// window of [`KEY_WINDOW`]. **The key's own input, never a link's.**
    pub fn stepped(&mut self, now: Instant, status: &Status<'_>, key: bool) {
        self.telemetry = Telemetry::of(status);
        if key && !self.key {
            self.access.presence_seen(now, KEY_WINDOW);
        }
        self.key = key;
        while let Some(event) = self.access.poll_event() {
            self.logbook.note(&event);
        }
    }
    /// Every event of the core, for the logbook.
    pub fn note(&mut self, event: &Event) {
        self.logbook.note(event);
    }
    /// The board as links see it.
    pub fn desk<'a, const N: usize, E, S, F: Fittings>(
        &'a mut self,
        bms: &'a mut Bms<N, E, S, F>,
    ) -> Desk<'a, N, E, S, F> {
        Desk {
            bms,
            access: &mut self.access,
            identity: self.identity,
            logbook: &self.logbook,
            telemetry: &self.telemetry,
        }
    }
    /// Passwords, name and failed attempts, if they changed: **store them before the answer is sent**, or a power cut gives
    /// a guess for nothing.
    pub fn record_to_store(&mut self) -> Option<AccessRecord> {
        self.access.record_to_store()
    }
}

/// The serial line "4E57" of a firmware: [`Uart`] with what of its answer is not sent yet.
#[derive(Debug)]
pub struct Serial {
    link: Uart,
    answer: usize,
    sent: usize,
}

impl Serial {
    /// Nothing was heard yet. `uploads`: as for [`Uart::new`].
    #[must_use]
    pub const fn new(uploads: bool) -> Self {
        Self { link: Uart::new(uploads), answer: 0, sent: 0 }
    }
    /// For a port that is polled: sends what the call before prepared, as far as `send` takes it, then reads what `receive`
    /// has. Store [`Station::record_to_store`] between two calls, and nothing is answered before it is stored.
    pub fn exchange(
        &mut self,
        now: Instant,
        board: &mut impl Board,
        mut receive: impl FnMut() -> Option<u8>,
        mut send: impl FnMut(u8) -> bool,
    ) {
        while let Some(byte) = self.unsent().first().copied() {
            if !send(byte) {
                break;
            }
            self.sent(1);
        }
        while let Some(byte) = receive() {
            self.receive(now, byte, board);
        }
        self.poll(now, board);
    }
    /// A byte came. An answer takes the place of what was not sent.
    pub fn receive(&mut self, now: Instant, byte: u8, board: &mut impl Board) {
        if let Some(answer) = self.link.receive(now, byte, board) {
            (self.answer, self.sent) = (answer.len(), 0);
        }
    }
    /// Prepares what is sent unasked, if it is time and nothing else waits.
    pub fn poll(&mut self, now: Instant, board: &impl Board) {
        if self.sent == self.answer
            && let Some(upload) = self.link.poll(now, board)
        {
            (self.answer, self.sent) = (upload.len(), 0);
        }
    }
    /// What is not sent yet; [`Serial::sent`] says how much of it went out.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.link.frame().get(self.sent..self.answer).unwrap_or(&[])
    }
    /// So many bytes of [`Serial::unsent`] went out.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.answer);
    }
}
