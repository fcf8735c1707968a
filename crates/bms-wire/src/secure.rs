//! The authenticated mode for new apps, beside the old protocols on the same byte links.
//!
//! A frame: A5 42 4D 53, kind, length of the body, body, CRC (Modbus, low byte first). Numbers are little endian. An answer
//! has 80 added to the kind. What is proved and sealed stands at [`bms_core::access`].
//!
//! | kind | body of the request | body of the answer |
//! |---|---|---|
//! | 1 challenge | password (0 connection, 1 settings) | password, salt (16), nonce (16), number (4) |
//! | 2 proof | proof (16) | result, seconds to wait (4) |
//! | 3 change | counter (4), register, length, value (0 to 13), code (16) | result |
//! | 4 password | counter (4), password, old, new, new again (16 each, NUL padded, masked), code (16) | result |
//!
//! The code of 3 and 4 is over the kind and what stands between counter and code; registers are those of Bluetooth.
//! Result: 0 done, 1 wrong, 2 blocked, 3 out of order, 4 refused.

use bms_core::access::{Challenge, LoginRefused, MAC_LENGTH, PasswordRefused, Session};
use bms_core::event::PasswordKind;
use bms_core::time::Instant;

use crate::ble;
use crate::board::Board;
use crate::bytes::{Accumulator, Found, Framing, Order, crc16, get, put, put_text};
use crate::native::{Layout, Request};

const HEAD: [u8; 4] = [0xa5, 0x42, 0x4d, 0x53];
/// Longest body: a change of a password.
const MAXIMUM_BODY: usize = 4 + 1 + 48 + MAC_LENGTH;
/// Longest frame.
pub const MAXIMUM_FRAME: usize = MAXIMUM_BODY + 8;

/// A frame, to be sent.
pub type SecureFrame = heapless::Vec<u8, MAXIMUM_FRAME>;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Outcome {
    /// Done.
    Done = 0,
    /// The proof, the code or the old password is wrong.
    Wrong = 1,
    /// Too many failures; wait.
    Blocked = 2,
    /// No challenge, no session, or a used counter.
    OutOfOrder = 3,
    /// The change itself is not allowed.
    Refused = 4,
}

/// Finds frames.
#[derive(Clone, Copy, Debug)]
pub struct SecureFraming;

impl Framing for SecureFraming {
    fn look(bytes: &[u8]) -> Found {
        let known = bytes.len().min(HEAD.len());
        if bytes.get(..known) != HEAD.get(..known) {
            return Found::Garbage;
        }
        let Some(length) = bytes.get(5) else { return Found::Incomplete };
        let length = usize::from(*length);
        if length > MAXIMUM_BODY {
            return Found::Garbage;
        }
        let total = length.saturating_add(8);
        match bytes.get(..total) {
            None => Found::Incomplete,
            Some(frame) if crate::modbus::is_whole(frame) => Found::Frame(total),
            Some(_) => Found::Garbage,
        }
    }
}

/// A frame around a body; what is too long is cut.
#[must_use]
pub fn frame(kind: u8, body: &[u8]) -> SecureFrame {
    let body = body.get(..MAXIMUM_BODY).unwrap_or(body);
    let mut frame = SecureFrame::new();
    let parts: [&[u8]; 3] = [&HEAD, &[kind, u8::try_from(body.len()).unwrap_or(0)], body];
    for part in parts {
        // It has room for the longest body.
        let _ = frame.extend_from_slice(part);
    }
    let crc = crc16(&frame);
    let _ = frame.extend_from_slice(&crc.to_le_bytes());
    frame
}

/// The board's side of the authenticated mode.
#[derive(Clone, Debug, Default)]
pub struct Secure {
    frames: Accumulator<SecureFraming, MAXIMUM_FRAME>,
}

impl Secure {
    /// Nothing was heard yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: Accumulator::new() }
    }
    /// One byte came; the answer, if it completed a frame.
    pub fn receive(
        &mut self,
        now: Instant,
        byte: u8,
        session: &mut Session,
        layout: Layout,
        board: &mut impl Board,
    ) -> Option<SecureFrame> {
        let found = self.frames.push(now, byte)?;
        let bytes = found.as_bytes();
        let kind = *bytes.get(4)?;
        let body = bytes.get(6..bytes.len().saturating_sub(2))?;
        match kind {
            1 => Some(challenge(password(*body.first()?)?, session, board)),
            2 => {
                let proof = body.first_chunk::<MAC_LENGTH>()?;
                let result = board.access().prove(session, now, proof);
                let wait = if let Err(LoginRefused::Blocked(wait)) = result { wait.as_millis() / 1_000 } else { 0 };
                let mut answer = [0; 5];
                put(&mut answer, 0, 1, Order::Little, i64::from(outcome(result) as u8));
                put(&mut answer, 1, 4, Order::Little, i64::from(wait));
                Some(frame(0x82, &answer))
            }
            3 | 4 => Some(frame(kind | 0x80, &[sealed(now, kind, body, session, layout, board) as u8])),
            _ => None,
        }
    }
}

const fn password(number: u8) -> Option<PasswordKind> {
    match number {
        0 => Some(PasswordKind::Connection),
        1 => Some(PasswordKind::Settings),
        _ => None,
    }
}

fn outcome(result: Result<(), LoginRefused>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(LoginRefused::Wrong) => Outcome::Wrong,
        Err(LoginRefused::Blocked(_)) => Outcome::Blocked,
        Err(LoginRefused::OutOfOrder) => Outcome::OutOfOrder,
    }
}

fn challenge(kind: PasswordKind, session: &mut Session, board: &mut impl Board) -> SecureFrame {
    let nonce = board.entropy();
    let Challenge { kind, salt, nonce, number } = board.access().challenge(session, kind, nonce);
    let mut body = [0; 37];
    put(&mut body, 0, 1, Order::Little, i64::from(kind as u8));
    put_text(&mut body, 1, 16, &salt);
    put_text(&mut body, 17, 16, &nonce);
    put(&mut body, 33, 4, Order::Little, i64::from(number));
    frame(0x81, &body)
}

/// A message with a counter in front and a code behind it.
fn sealed(
    now: Instant,
    kind: u8,
    body: &[u8],
    session: &mut Session,
    layout: Layout,
    board: &mut impl Board,
) -> Outcome {
    let Some((head, code)) = body.split_last_chunk::<MAC_LENGTH>() else { return Outcome::Wrong };
    let Some((_, content)) = head.split_first_chunk::<4>() else { return Outcome::Wrong };
    let counter = u32::try_from(get(head, 0, 4, Order::Little)).unwrap_or(0);
    let mut message: heapless::Vec<u8, MAXIMUM_BODY> = heapless::Vec::new();
    // A body fits, and so does its kind instead of the counter.
    let _ = message.push(kind);
    let _ = message.extend_from_slice(content);
    if let Err(refused) = board.access().unseal(session, now, counter, &message, code) {
        return outcome(Err(refused));
    }
    let result =
        if kind == 3 { change(now, content, session, layout, board) } else { passwords(now, content, session, board) };
    result.unwrap_or(Outcome::Refused)
}

fn change(now: Instant, content: &[u8], session: &Session, layout: Layout, board: &mut impl Board) -> Option<Outcome> {
    let [register, length, value @ ..] = content else { return None };
    if value.len() != usize::from(*length) || value.len() > 13 {
        return None;
    }
    let mut request = Request { register: *register, length: *length, value: [0; 13] };
    request.value.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
    let Some(change) = ble::change(&request, layout, board) else {
        board.access().note_change(now, false);
        return None;
    };
    board.change(session, now, change).ok().map(|()| Outcome::Done)
}

fn passwords(now: Instant, content: &[u8], session: &Session, board: &mut impl Board) -> Option<Outcome> {
    let (which, masked) = content.split_first()?;
    let mut texts = *masked.first_chunk::<48>()?;
    let salt = board.entropy();
    board.access().unmask(session, &mut texts);
    let text = |at: usize| {
        let field = texts.get(at..at.saturating_add(16)).unwrap_or(&[]);
        let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        field.get(..length).unwrap_or(field)
    };
    let asked = [text(0), text(16), text(32)];
    Some(match board.access().change_password(now, password(*which)?, asked, salt) {
        Ok(()) => Outcome::Done,
        Err(PasswordRefused::Login(refused)) => outcome(Err(refused)),
        Err(PasswordRefused::Differ | PasswordRefused::NotPossible) => Outcome::Refused,
    })
}
