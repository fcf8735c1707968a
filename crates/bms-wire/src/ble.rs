//! Bluetooth JK02: the conversation over one characteristic (FFE1 of service FFE0).
//!
//! The radio's firmware tells what happens ([`Peripheral::set_subscribed`], [`Peripheral::written`] …) and sends what
//! [`Peripheral::poll`] gives as one notification each.

use bms_core::access::{Reading, Session};
use bms_core::time::{Duration, Instant};

use crate::board::Board;
use crate::bytes::Accumulator;
use crate::field::Quantity;
use crate::native::{self, ACK, FRAME_LENGTH, FrameType, Layout, REQUEST_LENGTH, Request, RequestFraming};
use crate::secure::{Secure, SecureFrame};

/// Service to advertise.
pub const SERVICE: u16 = 0xffe0;
/// Its one characteristic: write, write without response, notify; its value handle must not be 3.
pub const CHARACTERISTIC: u16 = 0xffe1;
/// A manufacturer number that clients look for in the advertisement.
pub const MANUFACTURER: u16 = 0x0b65;
/// Period of the cell frames.
pub const PERIOD: Duration = Duration::from_millis(500);
/// From the end of a frame to its acknowledgement: one client fails if it comes in the same instant.
pub const ACK_DELAY: Duration = Duration::from_millis(45);
/// The longest notification.
pub const MAXIMUM_NOTIFICATION: usize = 244;
/// The MTU before the client asked for another.
const DEFAULT_MTU: u16 = 23;

/// Something to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Frame(FrameType),
    Ack,
}

/// The board's side of a connection. One at a time.
#[derive(Clone, Debug)]
pub struct Peripheral {
    layout: Layout,
    reading: Reading,
    session: Session,
    requests: Accumulator<RequestFraming, REQUEST_LENGTH>,
    secure: Secure,
    /// An answer of the authenticated mode.
    answer: SecureFrame,
    jobs: heapless::Deque<Job, 8>,
    /// The next job waits for this.
    not_before: Instant,
    streaming: Option<Instant>,
    subscribed: bool,
    mtu: u16,
    counter: u8,
    frame: [u8; FRAME_LENGTH],
    /// What of the frame was sent; all of it when idle.
    sent: usize,
}

/// One notification.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    bytes: [u8; MAXIMUM_NOTIFICATION],
    length: usize,
}

impl Notification {
    fn new(part: &[u8]) -> Self {
        let mut bytes = [0; MAXIMUM_NOTIFICATION];
        bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        Self { bytes, length: part.len().min(MAXIMUM_NOTIFICATION) }
    }
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl Peripheral {
    /// Not connected. [`Reading::Password`] is the manual's way on Bluetooth (D35); clients that know no password need
    /// [`Reading::Open`].
    #[must_use]
    pub const fn new(layout: Layout, reading: Reading) -> Self {
        Self {
            layout,
            reading,
            session: Session::new(),
            requests: Accumulator::new(),
            secure: Secure::new(),
            answer: SecureFrame::new(),
            jobs: heapless::Deque::new(),
            not_before: Instant::ZERO,
            streaming: None,
            subscribed: false,
            mtu: DEFAULT_MTU,
            counter: 0,
            frame: [0; FRAME_LENGTH],
            sent: FRAME_LENGTH,
        }
    }
    /// A client connected, or the connection ended: everything queued and everything shown is dropped.
    pub fn disconnected(&mut self) {
        *self = Self { counter: self.counter, ..Self::new(self.layout, self.reading) };
    }
    /// The MTU that was agreed; notifications are at most three bytes shorter.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.max(DEFAULT_MTU);
    }
    /// The client switched notifications on or off.
    pub fn set_subscribed(&mut self, subscribed: bool) {
        self.subscribed = subscribed;
        if !subscribed {
            self.jobs.clear();
            self.streaming = None;
            self.answer.clear();
            self.sent = FRAME_LENGTH;
        }
    }

    /// The client wrote to the characteristic, in any chunking.
    pub fn written(&mut self, now: Instant, bytes: &[u8], board: &mut impl Board) {
        for byte in bytes {
            if let Some(answer) = self.secure.receive(now, *byte, &mut self.session, self.layout, board) {
                self.answer = answer;
            }
            let mut frame = self.requests.push(now, *byte);
            while let Some(found) = frame {
                if let Some(request) = found.as_bytes().first_chunk().and_then(Request::new) {
                    self.asked(now, &request, board);
                }
                frame = self.requests.next_frame();
            }
        }
    }
    fn asked(&mut self, now: Instant, request: &Request, board: &mut impl Board) {
        match request.register {
            0x97 => {
                self.queue(Job::Frame(FrameType::DeviceInfo));
                self.queue(Job::Ack);
            }
            _ if !board.access().may_read(&self.session, self.reading) => {}
            0x96 => {
                self.queue(Job::Frame(FrameType::Settings));
                self.queue(Job::Ack);
                // A repeat does not start a second stream.
                self.streaming = self.streaming.or(Some(now));
            }
            0xa1 => self.queue(Job::Frame(FrameType::Logbook)),
            _ => {
                let change = change(request, self.layout, board);
                let done = match change {
                    Some(change) => board.change(&self.session, now, change).is_ok(),
                    None => {
                        board.access().note_change(now, false);
                        false
                    }
                };
                // A refusal has no answer of its own: it looks like a lost acknowledgement.
                if done {
                    self.queue(Job::Ack);
                }
            }
        }
    }
    /// The same twice in a row is sent once; a full queue loses the newest, as a radio would.
    fn queue(&mut self, job: Job) {
        if self.jobs.back() != Some(&job) && !(matches!(job, Job::Frame(_)) && self.jobs.iter().any(|one| *one == job))
        {
            let _ = self.jobs.push_back(job);
        }
    }

    /// The next notification to send now, if there is one. Call again until there is none.
    pub fn poll(&mut self, now: Instant, board: &mut impl Board) -> Option<Notification> {
        if !self.subscribed {
            return None;
        }
        let room = usize::from(self.mtu.saturating_sub(3)).min(MAXIMUM_NOTIFICATION);
        if self.sent >= FRAME_LENGTH && !self.answer.is_empty() {
            let part = self.answer.get(..room).unwrap_or(&self.answer);
            let notification = Notification::new(part);
            self.answer = SecureFrame::from_slice(self.answer.get(room..).unwrap_or(&[])).unwrap_or_default();
            return Some(notification);
        }
        if self.sent >= FRAME_LENGTH
            && let Some(ack) = self.begin(now, board)?
        {
            return Some(ack);
        }
        let rest = self.frame.get(self.sent..)?;
        let part = rest.get(..room).unwrap_or(rest);
        let notification = Notification::new(part);
        self.sent = self.sent.saturating_add(part.len());
        if self.sent >= FRAME_LENGTH {
            self.not_before = now.after(ACK_DELAY);
        }
        Some(notification)
    }
    /// Takes up the next job. `None`: nothing to do now. `Some(None)`: a frame was made. `Some(Some(_))`: an
    /// acknowledgement.
    fn begin(&mut self, now: Instant, board: &mut impl Board) -> Option<Option<Notification>> {
        let job = match self.jobs.front() {
            Some(Job::Ack) if now < self.not_before => return None,
            Some(_) => self.jobs.pop_front()?,
            None if self.streaming.is_some_and(|due| now >= due && now >= self.not_before) => {
                // After a pause it goes on from now, without catching up.
                self.streaming = Some(now.after(PERIOD));
                Job::Frame(FrameType::CellInfo)
            }
            None => return None,
        };
        let Job::Frame(kind) = job else { return Some(Some(Notification::new(&ACK))) };
        match kind {
            FrameType::Logbook => native::encode_logbook(&mut self.frame, self.counter, board.logbook()),
            _ => native::encode(&mut self.frame, kind, self.layout, self.counter, &board.view()),
        }
        self.counter = self.counter.wrapping_add(1);
        self.sent = 0;
        Some(None)
    }
    /// When [`Peripheral::poll`] has something again; `None` if only a client's request can bring it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.jobs.front() {
            _ if !self.subscribed => None,
            _ if self.sent < FRAME_LENGTH || !self.answer.is_empty() => Some(Instant::ZERO),
            Some(Job::Frame(_)) => Some(Instant::ZERO),
            Some(Job::Ack) => Some(self.not_before),
            None => self.streaming.map(|due| due.max(self.not_before)),
        }
    }
}

/// The change that a register write asks for.
#[must_use]
pub fn change(request: &Request, layout: Layout, board: &impl Board) -> Option<bms_core::access::Change> {
    let of_register = |row: &&native::Row| request.register != 0 && row.register_in(layout) == request.register;
    if let Some(row) = native::SETTINGS.iter().find(of_register) {
        let field = row.in_layout(layout)?;
        return field.change(request.number(field.kind.is_signed())?);
    }
    let value = if request.length == 0 { 0 } else { request.number(true)? };
    let charging = Quantity::IsCharging.value(&board.view(), 0) == Some(1);
    native::action(request.register, value, layout, charging)
}
