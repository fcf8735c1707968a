//! `--store`, `status` and `log` as a user runs them, on images that are good, empty, torn and somebody else's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn bms_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bms-sim")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A fresh directory for one test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

fn scenario() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/p08-discharge-overcurrent.toml");
    file.to_str().unwrap().to_owned()
}

fn image(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let file = path(directory, name);
    std::fs::write(&file, bytes).unwrap();
    file
}

/// A board that was used: discharge over-current twice.
fn used(directory: &Path) -> String {
    let file = path(directory, "used.bin");
    let output = bms_sim(&["run", &scenario(), "--store", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    file
}

/// Exit code, text, and JSON of `status` or `log`, with every export; reading never changes an image.
fn looked_at(command: &str, directory: &Path, file: &str) -> (i32, String, Value) {
    let before = std::fs::read(file).unwrap();
    let (json, csv) = (path(directory, "out.json"), path(directory, "out.csv"));
    let plots = directory.to_str().unwrap();
    let output = bms_sim(&[command, file, "--json", &json, "--csv", &csv, "--plots", "--out", plots]);
    assert_eq!(std::fs::read(file).unwrap(), before, "{command} changed the image");
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!told.contains("panicked"), "{told}");
    let svg = std::fs::read_to_string(path(directory, if command == "log" { "log.svg" } else { "statistics.svg" }));
    let svg = svg.unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    let json = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    (output.status.code().unwrap(), stdout(&output), json)
}

/// T10 T11 L01: what a run has left is there for `status`, `log` and the next run; CSV and JSON say the same as the text.
#[test]
fn a_used_image_is_told_and_exported_and_goes_on() {
    let directory = directory("used");
    let file = used(&directory);
    let (code, text, status) = looked_at("status", &directory, &file);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Firmware built for 16 cells") && text.contains("discharge over-current 2"), "{text}");
    assert_eq!((&status["corrupt"], &status["events_missing"]), (&Value::from(false), &Value::from(0)));
    let (code, text, log) = looked_at("log", &directory, &file);
    assert_eq!(code, 0, "{text}");
    let events = log.as_array().unwrap();
    assert_eq!(status["events"], events.len());
    let raised: Vec<_> = events.iter().filter(|event| event["event"] == "discharge_overcurrent raised").collect();
    assert!(raised.len() == 2 && raised.iter().all(|event| event["frame"]["cells_uv"].as_array().unwrap().len() == 16));
    let csv = std::fs::read_to_string(path(&directory, "out.csv")).unwrap();
    let mut rows = csv.lines();
    let columns = rows.next().unwrap().split(',').count();
    assert!(rows.clone().count() == events.len() && columns > 40, "{csv}");
    assert!(std::fs::read_to_string(path(&directory, "log.svg")).unwrap().contains("discharge_overcurrent"));

    // The next run begins with the second start, and the log goes on.
    let _ = bms_sim(&["run", &scenario(), "--store", &file]);
    let (_, text, again) = looked_at("log", &directory, &file);
    let (first, last) = (&events[0], again.as_array().unwrap().last().unwrap().clone());
    assert!(first["start"] == 1 && last["start"] == 2, "{text}");
    let numbers: Vec<u64> = again.as_array().unwrap().iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

/// L01: the time without power counts: a year of it takes charge, by the clock that the board had before.
#[test]
fn the_time_without_power_counts() {
    let directory = directory("off");
    let before = used(&directory);
    let charge = |off: &str| {
        let file = path(&directory, &format!("off{off}.bin"));
        std::fs::copy(&before, &file).unwrap();
        let output = bms_sim(&["run", &scenario(), "--store", &file, "--off", off]);
        assert!(output.status.code().unwrap() < 2, "{}", stdout(&output));
        let text = stdout(&bms_sim(&["status", &file]));
        let line = text.lines().find(|line| line.starts_with("State of charge")).unwrap_or_default().to_owned();
        let amp_hours = line.split(&[',', ' '][..]).filter_map(|word| word.parse::<f64>().ok()).nth(1);
        amp_hours.unwrap_or_else(|| panic!("{text}"))
    };
    let (at_once, later) = (charge("0"), charge("31536000"));
    println!("{at_once} Ah, after a year {later} Ah");
    assert!(later < at_once - 1.0, "{at_once} Ah, after a year {later} Ah");
}

/// An image that was never written is a new board, and no error.
#[test]
fn an_empty_image_is_a_new_board() {
    let directory = directory("empty");
    let file = image(&directory, "empty.bin", &[0xFF; 24 * 4_096]);
    let (code, text, status) = looked_at("status", &directory, &file);
    assert!(code == 0 && text.contains("never saved") && text.contains("Nothing measured"), "{text}");
    assert_eq!(status["corrupt"], false);
    let (code, text, log) = looked_at("log", &directory, &file);
    assert!(code == 0 && text.contains("0 events") && log.as_array().unwrap().is_empty(), "{text}");
    assert!(std::fs::read_to_string(path(&directory, "log.svg")).unwrap().contains("no alarms"));
    // Shorter than a store: unusable, said so.
    let short = image(&directory, "short.bin", &[0xFF; 5_000]);
    for command in ["status", "log"] {
        assert_eq!(bms_sim(&[command, &short]).status.code(), Some(2));
    }
}

/// T10: of a record that is torn in one bank the other copy is told; with both gone it is said, and nothing closes.
#[test]
fn a_torn_image_is_told_from_the_other_copy() {
    let directory = directory("torn");
    let good = std::fs::read(used(&directory)).unwrap();
    let mut torn = good.clone();
    let end = (0..4_092).rev().find(|at| torn[*at] != 0xFF).unwrap();
    torn[end - 5..=end].fill(0xFF);
    let (code, text, _) = looked_at("status", &directory, &image(&directory, "torn.bin", &torn));
    assert!(code == 0 && text.lines().any(|line| line.contains("good") && line.contains("┆ 1      │")), "{text}");

    let mut rotten = good;
    for at in (0..16 * 4_096).step_by(16) {
        rotten[at + (at >> 4 & 15)] ^= 1;
    }
    let file = image(&directory, "rotten.bin", &rotten);
    let (code, text, status) = looked_at("status", &directory, &file);
    assert!(code == 1 && text.contains("CORRUPT") && status["corrupt"] == true, "{text}");
    let (code, text, log) = looked_at("log", &directory, &file);
    assert!(code == 1 && text.contains("CORRUPT") && log.as_array().unwrap().len() > 4, "{text}");
}

/// Somebody else's data: said by every command; a run with it keeps everything open, and no link is served with its passwords.
#[test]
fn a_foreign_image_keeps_everything_open() {
    let directory = directory("foreign");
    let bytes: Vec<u8> = (0..24 * 4_096_u32).map(|at| (at >> 3) as u8).collect();
    let file = image(&directory, "foreign.bin", &bytes);
    for command in ["status", "log"] {
        let (code, text, _) = looked_at(command, &directory, &file);
        assert!(code == 1 && text.contains("CORRUPT"), "{text}");
    }
    let served = bms_sim(&["serve", "--link", "uart", "--store", &image(&directory, "served.bin", &bytes)]);
    let told = String::from_utf8(served.stderr).unwrap();
    assert!(served.status.code() == Some(2) && told.contains("passwords in it are unreadable"), "{told}");
    let run = bms_sim(&["run", &scenario(), "--store", &file]);
    assert_eq!(run.status.code(), Some(1), "{}", stdout(&run));
    let (code, text, status) = looked_at("status", &directory, &file);
    assert!(status["alarms"].as_array().unwrap().contains(&Value::from("storage_corrupt")), "{text}");
    assert!(code <= 1 && !text.contains("charge on, discharge on, heating"), "{text}");
}

/// S05: `serve` keeps a chosen password, and takes its own store again.
#[test]
fn a_served_board_keeps_its_passwords() {
    let directory = directory("served");
    let file = path(&directory, "served.bin");
    for start in 1..=2 {
        let served = bms_sim(&["serve", "--link", "uart", "--store", &file, "--settings-password", "harbour7"]);
        assert_eq!(served.status.code(), Some(0), "{}", String::from_utf8_lossy(&served.stderr));
        let (code, text, _) = looked_at("status", &directory, &file);
        let access = text.lines().find(|line| line.contains("access")).unwrap();
        assert!(code == 0 && access.contains("good") && text.contains(&format!("{start} starts")), "{text}");
    }
}
