//! An owner's tool at the board's second UART: reads and writes by 4E57, and chooses a password in the authenticated mode.

use bms_core::access::{Challenge, derive_key, login_proof, mask, seal, session_key};
use bms_core::event::PasswordKind;
use bms_wire::secure;
use bms_wire::uart::View4e57;

use crate::Bench;

/// The commands.
mod command {
    pub const WRITE: u8 = 2;
    pub const READ: u8 = 3;
    pub const PASSWORD: u8 = 5;
}

/// The identifier of the cell overvoltage limit, in mV.
pub const OVERVOLTAGE: u8 = 0x90;
/// How long an answer is waited for, in ms: one that needs the flash first takes a few samples.
const PATIENCE: u64 = 3_000;

/// The key at the board is pressed once.
pub fn press_key(bench: &mut Bench<'_>) -> Result<(), String> {
    bench.change(|world| world.key = true)?;
    bench.run(300)?;
    bench.change(|world| world.key = false)?;
    bench.run(200)
}

/// The data of the answer to a request; `None` if there was none.
pub fn ask(bench: &mut Bench<'_>, wanted: u8, data: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut frame = vec![0x4e, 0x57, 0, 0, 0, 0, 0, 0, wanted, 3, 0];
    frame.extend_from_slice(data);
    frame.extend_from_slice(&[0, 0, 0, 0, 0x68]);
    let length = (frame.len() + 2) as u16;
    frame[2..4].copy_from_slice(&length.to_be_bytes());
    let sum: u32 = frame.iter().map(|byte| u32::from(*byte)).sum();
    frame.extend_from_slice(&(sum & 0xFFFF).to_be_bytes());
    let found = |link: &[u8]| {
        (0..link.len()).find_map(|at| {
            let length = usize::from(u16::from_be_bytes([*link.get(at + 2)?, *link.get(at + 3)?])) + 2;
            let view = View4e57::new(link.get(at..at.checked_add(length)?)?)?;
            (view.command() == wanted).then(|| view.data().to_vec())
        })
    };
    converse(bench, &frame, found)
}

/// Whether a write was acknowledged.
pub fn write(bench: &mut Bench<'_>, id: u8, value: u16) -> Result<bool, String> {
    let [high, low] = value.to_be_bytes();
    Ok(ask(bench, command::WRITE, &[id, high, low])?.is_some())
}

/// The value of an identifier of two bytes.
pub fn read(bench: &mut Bench<'_>, id: u8) -> Result<Option<u16>, String> {
    Ok(match ask(bench, command::READ, &[id])?.as_deref() {
        Some([_, high, low]) => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    })
}

/// Gives a settings password; what it was good for shows with the next write.
pub fn log_in(bench: &mut Bench<'_>, password: &[u8]) -> Result<(), String> {
    let mut data = vec![0];
    data.extend_from_slice(password);
    ask(bench, command::PASSWORD, &data).map(|_| ())
}

/// Chooses a new settings password; whether that was done.
pub fn choose_password(bench: &mut Bench<'_>, old: &[u8], new: &[u8]) -> Result<bool, String> {
    let Some(answer) = authenticated(bench, 1, &[1])? else { return Ok(false) };
    let mut challenge = Challenge { kind: PasswordKind::Settings, salt: [0; 16], nonce: [0; 16], number: 0 };
    let number: [u8; 4] = answer[33..37].try_into().map_err(|_| "a short challenge")?;
    challenge.salt.copy_from_slice(&answer[1..17]);
    challenge.nonce.copy_from_slice(&answer[17..33]);
    challenge.number = u32::from_le_bytes(number);
    let key = derive_key(&challenge.salt, old);
    if authenticated(bench, 2, &login_proof(&key, &challenge))?.is_none_or(|answer| answer[0] != 0) {
        return Ok(false);
    }
    let (session, counter) = (session_key(&key, &challenge), 1_u32);
    let mut texts = [0; 48];
    for (place, text) in [(0, old), (16, new), (32, new)] {
        texts[place..place + text.len()].copy_from_slice(text);
    }
    mask(&session, counter, &mut texts);
    let content: Vec<u8> = [1].into_iter().chain(texts).collect();
    let message: Vec<u8> = [4].into_iter().chain(content.iter().copied()).collect();
    let body = [counter.to_le_bytes().as_slice(), &content, &seal(&session, counter, &message)].concat();
    Ok(authenticated(bench, 4, &body)?.is_some_and(|answer| answer[0] == 0))
}

/// The body of the answer in the authenticated mode.
fn authenticated(bench: &mut Bench<'_>, kind: u8, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let start = [0xa5, 0x42, 0x4d, 0x53, kind | 0x80];
    let found = |link: &[u8]| {
        let at = link.windows(start.len()).position(|window| window == start)?;
        let length = usize::from(*link.get(at + 5)?);
        // With its check sum behind it.
        link.get(at + 6..at + 8 + length).map(|body| body[..length].to_vec())
    };
    converse(bench, &secure::frame(kind, body), found)
}

/// Sends, and lets time pass until the answer is found.
fn converse(
    bench: &mut Bench<'_>,
    frame: &[u8],
    found: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, String> {
    bench.link.clear();
    bench.emulator.link(frame)?;
    let end = bench.now + PATIENCE * crate::MS;
    while bench.now < end {
        bench.run(20)?;
        if let Some(answer) = found(&bench.link) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}
