//! `serve`: a board that speaks one of the protocols of owners' tools, in real time.

mod board;
mod candump;
mod links;
mod port;
mod state;

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant as WallClock};

use bms_core::time::Instant;

pub use board::ServedBoard;
pub use state::State;

use super::arguments::{LinkKind, ServeArguments};
use super::failure::{Failure, FileError, Outcome};
use port::{Arrival, Port};

/// After the end of the input, answers that are under way are still sent for this long.
const LINGER_MS: u64 = 1_000;

/// The command.
///
/// # Errors
/// If a file or port cannot be used.
pub fn run(
    arguments: &ServeArguments,
    seed: Option<u64>,
    store: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let mut board = ServedBoard::new(arguments, seed.unwrap_or(1), store)?;
    board.save_access();
    let port = if let Some(interface) = &arguments.socketcan {
        if !matches!(arguments.link, LinkKind::JkCan | LinkKind::InverterCan) {
            return Err(FileError::whole(Path::new("--socketcan"), "only with jk-can and inverter-can").into());
        }
        port::can_interface(interface).map_err(|error| FileError::whole(Path::new(interface), error.to_string()))?
    } else if arguments.pty {
        let (port, path) =
            port::pseudo_terminal().map_err(|error| FileError::whole(Path::new("--pty"), error.to_string()))?;
        writeln!(out, "{path}")?;
        out.flush()?;
        port
    } else {
        port::standard()
    };
    let served = serve(&mut board, links::open(arguments).as_mut(), port);
    board.finish()?;
    match served {
        // The client went away.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
        other => Ok(other.map(|()| Outcome::Done)?),
    }
}

fn serve(board: &mut ServedBoard, link: &mut dyn links::Link, mut port: Port) -> io::Result<()> {
    let started = WallClock::now();
    let elapsed = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut ended: Option<u64> = None;
    let mut out = Vec::new();
    loop {
        let now_ms = elapsed();
        board.advance_to(now_ms);
        link.poll(Instant::from_millis(now_ms), board, &mut out);
        // First saved, then answered: else cutting the power after a wrong guess would give another one for nothing.
        board.save_access();
        if !out.is_empty() {
            port.out.write_all(&out)?;
            port.out.flush()?;
            out.clear();
        }
        let due = link.deadline().map_or(u64::MAX, Instant::as_millis).min(board.next_step_ms());
        let wait = Duration::from_millis(due.saturating_sub(elapsed()));
        if let Some(ended_ms) = ended {
            if !link.speaks_unasked() && (link.deadline().is_none() || elapsed() > ended_ms + LINGER_MS) {
                return Ok(());
            }
            std::thread::sleep(wait);
            continue;
        }
        match port.arrivals.recv_timeout(wait) {
            Ok(Arrival::Bytes(bytes)) => {
                let now_ms = elapsed();
                board.advance_to(now_ms);
                link.receive(Instant::from_millis(now_ms), &bytes, board, &mut out);
            }
            Ok(Arrival::End) | Err(RecvTimeoutError::Disconnected) => ended = Some(elapsed()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
