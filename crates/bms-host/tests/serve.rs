//! `bms-sim serve` as a process: what comes out of its pipes, and how soon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Served {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Served {
    fn new(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bms-sim"))
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }
    fn send(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).unwrap();
        self.input.flush().unwrap();
    }
    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.output.read_exact(&mut bytes).unwrap();
        bytes
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READ_ALL: [u8; 21] = [0x4e, 0x57, 0, 0x13, 0, 0, 0, 0, 6, 3, 0, 0, 0, 0, 0, 0, 0x68, 0, 0, 1, 0x29];

fn state(text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("bms-sim-serve-{}-{}.json", std::process::id(), text.len()));
    std::fs::write(&path, text).unwrap();
    path
}

/// The best of several: the machine that runs the tests may be busy with others.
fn soon(mut once: impl FnMut() -> Duration) {
    let best = (0..10).map(|_| once()).min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}

/// I02: an answer within 50 ms, also byte by byte and after garbage.
#[test]
fn the_serial_line_answers_soon() {
    let mut served = Served::new(&["--link", "uart"]);
    served.send(&READ_ALL);
    let length = 2 + usize::from(u16::from_be_bytes(served.read(4)[2..4].try_into().unwrap()));
    served.read(length - 4);
    soon(|| {
        let began = Instant::now();
        served.send(&READ_ALL);
        served.read(length);
        began.elapsed()
    });
    served.send(b"NW\0\x13 garbage NW");
    for byte in READ_ALL {
        served.send(&[byte]);
    }
    assert_eq!(served.read(length)[..2], *b"NW");
}

/// I01: the same on Modbus, at the address that was asked for.
#[test]
fn modbus_answers_soon() {
    let mut served = Served::new(&["--link", "modbus", "--address", "5", "--cells", "8"]);
    // Address 5, register 1290: the pack's voltage.
    let request = [5, 3, 0x12, 0x90, 0, 2, 0xc0, 0xda];
    let crc = bms_wire::bytes::crc16(&request[..6]).to_le_bytes();
    soon(|| {
        let began = Instant::now();
        served.send(&[&request[..6], &crc].concat());
        let answer = served.read(9);
        assert_eq!(answer[..3], [5, 3, 4]);
        began.elapsed()
    });
}

/// I04: the text bridge: one connection after another, the device frame at once, its acknowledgement apart.
#[test]
fn the_bluetooth_bridge() {
    let mut served = Served::new(&["--link", "ble", "--layout", "24s"]);
    soon(|| {
        let began = Instant::now();
        served.send(format!("M 303\nS\nW aa5590eb97{}11\n", "00".repeat(14)).as_bytes());
        let first = served.line();
        let took = began.elapsed();
        assert!(first.starts_with("N 55aaeb9003"), "{first}");
        let second = served.line();
        assert_eq!(first.len() + second.len(), 4 + 600, "in two notifications of at most 244 bytes");
        assert_eq!(served.line(), "N aa5590ebc8010100000000000000000000000044");
        served.send(b"D\n");
        took
    });
}

/// I01: lines of candump both ways, without an end of the input too.
#[test]
fn can_speaks_unasked() {
    let file = state(r#"{"soc": 42, "soh": 98, "voltage": 51.5, "current": -12.3}"#);
    let mut served = Served::new(&["--link", "inverter-can", "--state", file.to_str().unwrap()]);
    served.send(b"305#0000000000000000\n");
    let lines: Vec<String> = (0..6).map(|_| served.line()).collect();
    assert!(lines.contains(&"355#2A006200".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("356#1E1485FF")), "{lines:?}");
    std::fs::remove_file(file).unwrap();
}

/// I03: a frame a second.
#[test]
fn the_display_speaks_unasked() {
    let mut served = Served::new(&["--link", "display"]);
    let first = served.read(96);
    assert_eq!(first[..6], [0xa5, 0x5a, 0x5d, 0x82, 0x10, 0]);
    // A pause of the machine makes the next one late, or the one after it early; over several it is a second.
    let began = Instant::now();
    (0..3).for_each(|_| assert_eq!(served.read(96)[..6], first[..6]));
    assert!(began.elapsed() > Duration::from_millis(1_900), "a second apart: {:?}", began.elapsed());
}

/// The end of the input ends a link that only answers, after what is under way.
#[test]
fn the_end_of_the_input_is_the_end() {
    let mut served = Served::new(&["--link", "uart"]);
    served.send(&READ_ALL);
    let Served { child, input, output } = &mut served;
    // Closes the pipe.
    drop(std::mem::replace(input, Command::new("true").stdin(Stdio::piped()).spawn().unwrap().stdin.take().unwrap()));
    let mut all = Vec::new();
    output.read_to_end(&mut all).unwrap();
    assert!(all.len() > 200);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_pseudo_terminal_is_served() {
    let mut served = Served::new(&["--link", "uart", "--pty"]);
    let path = served.line();
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    terminal.write_all(&READ_ALL).unwrap();
    let mut head = [0; 4];
    terminal.read_exact(&mut head).unwrap();
    assert_eq!(head[..2], *b"NW");
}

/// What cannot be served is said with the key that is wrong, and exit code 2.
#[test]
fn unusable_states_are_told() {
    for (text, word) in [
        (r#"{"sock": 1}"#, "sock"),
        (r#"{"alarms": ["cell_overvoltag"]}"#, "cell_overvoltag"),
        (r#"{"name": "my boat"}"#, "letters"),
        (r#"{"cell_voltages": []}"#, "cell_voltages"),
        ("{", "EOF"),
    ] {
        let file = state(text);
        let output = Command::new(env!("CARGO_BIN_EXE_bms-sim"))
            .args(["serve", "--link", "uart", "--state", file.to_str().unwrap()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(word), "{told}");
        std::fs::remove_file(file).unwrap();
    }
}
