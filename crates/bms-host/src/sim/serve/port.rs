//! Where a served link's bytes come from and go to: standard input and output, a pseudo-terminal, a CAN interface.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// What a port delivers.
pub enum Arrival {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing will come any more.
    End,
}

/// Both directions of a port.
pub struct Port {
    /// What comes in, from a thread of its own.
    pub arrivals: Receiver<Arrival>,
    /// Where answers go.
    pub out: Box<dyn Write>,
}

/// Reads until the end and passes everything on.
fn pump(mut from: impl Read, to: &Sender<Arrival>) {
    let mut buffer = [0; 4_096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if to.send(Arrival::Bytes(bytes)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // Nobody listens if the program already ends.
    let _ = to.send(Arrival::End);
}

/// Standard input and output.
#[must_use]
pub fn standard() -> Port {
    let (send, arrivals) = channel();
    thread::spawn(move || pump(io::stdin().lock(), &send));
    Port { arrivals, out: Box::new(io::stdout()) }
}

/// A new pseudo-terminal in raw mode, with the path that a client opens.
///
/// # Errors
/// If the system gives none.
#[cfg(unix)]
pub fn pseudo_terminal() -> io::Result<(Port, String)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname(&master, Vec::new())?.to_string_lossy().into_owned();
    // Held open, so that clients may come and go without an end of the input.
    let terminal = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
    let mut settings = tcgetattr(&terminal)?;
    settings.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &settings)?;
    let master = std::fs::File::from(master);
    let reader = master.try_clone()?;
    let (send, arrivals) = channel();
    thread::spawn(move || {
        pump(reader, &send);
        drop(terminal);
    });
    Ok((Port { arrivals, out: Box::new(master) }, path))
}

/// No pseudo-terminals here.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn pseudo_terminal() -> io::Result<(Port, String)> {
    Err(io::Error::other("this system has no pseudo-terminals"))
}

/// A CAN interface of the system; its frames travel as candump's lines inside the program too.
///
/// # Errors
/// If there is no such interface.
#[cfg(target_os = "linux")]
pub fn can_interface(name: &str) -> io::Result<Port> {
    use socketcan::{CanFrame as SystemFrame, CanSocket, EmbeddedFrame, Socket};
    use std::sync::Arc;

    use super::candump::CanFrame;

    /// Sends each line as a frame.
    struct Sender(Arc<CanSocket>);
    impl Write for Sender {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            for line in String::from_utf8_lossy(lines).lines() {
                let frame = CanFrame::from_line(line);
                let frame =
                    frame.and_then(|frame| SystemFrame::new(EmbeddedFrame::id(&frame), EmbeddedFrame::data(&frame)));
                if let Some(frame) = frame {
                    self.0.write_frame(&frame)?;
                }
            }
            Ok(lines.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let socket = Arc::new(CanSocket::open(name)?);
    let reader = Arc::clone(&socket);
    let (send, arrivals) = channel();
    thread::spawn(move || {
        while let Ok(frame) = reader.read_frame() {
            let line = CanFrame::new(EmbeddedFrame::id(&frame), EmbeddedFrame::data(&frame));
            let line = line.map(|line| format!("{line}\n").into_bytes()).unwrap_or_default();
            if send.send(Arrival::Bytes(line)).is_err() {
                return;
            }
        }
        // Nobody listens if the program already ends.
        let _ = send.send(Arrival::End);
    });
    Ok(Port { arrivals, out: Box::new(Sender(socket)) })
}

/// No CAN interfaces here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn can_interface(_name: &str) -> io::Result<Port> {
    Err(io::Error::other("this system has no SocketCAN"))
}
