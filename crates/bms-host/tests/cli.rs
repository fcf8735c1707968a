//! The program as a user runs it: exit codes, messages, files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn bms_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bms-sim")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A fresh directory for one test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn scenario(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).to_str().unwrap().to_owned()
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Unusable input: exit code 2, one line on the error stream, nothing like a panic.
fn refuses(arguments: &[&str], reason: &str) {
    let output = bms_sim(arguments);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(reason) && told.lines().count() == 1 && !told.contains("panicked"), "{told}");
}

#[test]
fn the_demonstration_tells_what_tripped_and_draws_it() {
    let directory = directory("demonstration");
    let json = directory.join("day.json");
    let output = bms_sim(&["--out", directory.to_str().unwrap(), "--json", json.to_str().unwrap()]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "cell_overvoltage",
        "cell_undervoltage",
        "discharge_overcurrent",
        "short_circuit",
        "charge_undertemperature",
        "battery_sensor_fault",
        "open_wire",
        "Cell voltages",
        "State of charge",
        "times real time",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    for name in ["overview.svg", "voltages.svg", "current.svg", "switches.svg"] {
        let svg = std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && text.contains(name));
        assert!(svg.len() < 300_000, "{name}: {} bytes", svg.len());
    }
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let trips = report["trips"].as_array().unwrap();
    let delay = |alarm: &str| trips.iter().find(|trip| trip["alarm"] == alarm).unwrap()["after_s"].as_f64().unwrap();
    assert!(delay("short_circuit") <= 0.2);
    assert!((30.0..=30.2).contains(&delay("discharge_overcurrent")));
    assert!(!text.contains('\x1b'), "no colours and no progress bar without a terminal");
}

#[test]
fn a_scenario_that_keeps_its_expectations_gives_0() {
    let output = bms_sim(&["run", &scenario("p01-undervoltage.toml")]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("expectations met"));
}

/// Cells far beyond what their chemistry allows are drawn all the same.
#[test]
fn implausible_voltages_are_drawn() {
    let out = directory("implausible");
    let file = scenario("x15-wrong-chemistry.toml");
    let output = bms_sim(&["run", &file, "--plots", "--out", &out.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(std::fs::read_to_string(out.join("voltages.svg")).unwrap().contains("</svg>"));
}

#[test]
fn a_violated_expectation_gives_1_and_tells_what_happened() {
    let directory = directory("violated");
    let text = std::fs::read_to_string(scenario("p01-undervoltage.toml")).unwrap();
    let file = write(&directory, "wrong.toml", &text.replacen("window = [10.5, 10.5]", "window = [10.0, 10.4]", 1));
    let json = directory.join("report.json");
    let output = bms_sim(&["run", &file, "--json", json.to_str().unwrap()]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("VIOLATED") && told.contains("wrong.toml:"), "{told}");
    assert!(told.contains("what happened: active from 10.500 s to 30.000 s"), "{told}");
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["expectations"].as_array().unwrap().iter().filter(|one| one["met"] == false).count(), 1);
}

#[test]
fn unusable_files_give_2_with_file_line_and_reason() {
    let directory = directory("unusable");
    let absent = directory.join("absent.toml");
    for command in ["run", "check"] {
        refuses(&[command, absent.to_str().unwrap()], "absent.toml: ");
        refuses(&[command, &write(&directory, "broken.toml", "a = 1\n[pack\n")], "broken.toml:2: ");
        refuses(&[command, &write(&directory, "field.toml", "colour = 1\n")], "field.toml:1: unknown field `colour`");
        refuses(&[command, directory.to_str().unwrap()], "directory");
    }
    let binary = directory.join("binary.toml");
    std::fs::write(&binary, b"a = 1\n\xff\xfe").unwrap();
    refuses(&["run", binary.to_str().unwrap()], "binary.toml:2: not UTF-8 text");
    refuses(&["replay", absent.to_str().unwrap()], "absent.toml: ");
    let header = "time_s,current_a,voltage_v,temp_c\n";
    refuses(
        &["replay", &write(&directory, "cell.csv", &format!("{header}1,1,x,25\n2,1,3,25\n"))],
        "cell.csv:2: voltage_v = `x`",
    );
    refuses(&["replay", &write(&directory, "head.csv", "a,b\n1,2\n")], "head.csv:1: no column time_s");
    refuses(&["watch"], "needs a terminal");
}

#[test]
fn bad_usage_gives_2() {
    for arguments in [
        &["frobnicate"] as &[&str],
        &["run"],
        &["replay", "x.csv", "--cells", "99"],
        &["replay", "x.csv", "--chemistry", "lead"],
        &["watch", "--speed", "0"],
    ] {
        let output = bms_sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr(&output).contains("panicked"));
    }
    let help = bms_sim(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in ["run", "replay", "trace", "watch", "check", "parameters"] {
        assert!(stdout(&help).contains(command));
    }
}

#[test]
fn output_that_cannot_be_written_gives_2() {
    let directory = directory("unwritable");
    let file = write(&directory, "file", "");
    refuses(&["run", &scenario("p01-undervoltage.toml"), "--plots", "--out", &file], "file");
    refuses(&["parameters", "--json", &format!("{file}/x.json")], "file");
}

#[test]
fn check_prints_every_violation_and_every_warning() {
    let directory = directory("check");
    let pack = "[pack]\nchemistry = \"li-ion\"\ncells = 24\ncapacity_ah = 100\nmodel = \"B2A24S15P\"\n";
    let output = bms_sim(&["check", &write(&directory, "good.toml", pack)]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("warning:") && told.contains("100 V supply") && told.contains("valid, "), "{told}");
    let bad = format!(
        "{pack}[config]\ncell_overvoltage_protection = 4.4\nauto_shutdown_voltage = 3.0\nheater_resistance = 1\n"
    );
    let json = directory.join("bad.json");
    let output = bms_sim(&["check", &write(&directory, "bad.toml", &bad), "--json", json.to_str().unwrap()]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in [
        "bad.toml:7: cell_overvoltage_protection",
        "bad.toml:8: auto_shutdown_voltage: must be below",
        "bad.toml:9: heater_resistance",
        "refused",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["valid"], false);
    // `run` refuses it in the same words.
    let output = bms_sim(&["run", &write(&directory, "bad.toml", &bad)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("invalid: "));
}

#[test]
fn the_parameters_come_as_table_markdown_and_json() {
    let directory = directory("parameters");
    let json = directory.join("parameters.json");
    let output = bms_sim(&["parameters", "--json", json.to_str().unwrap()]);
    assert!(stdout(&output).contains("cell_undervoltage_protection"));
    let table: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let row = table.as_array().unwrap().iter().find(|row| row["name"] == "cell_undervoltage_protection").unwrap();
    assert_eq!((&row["unit"], &row["defaults"]["lifepo4"]), (&"V".into(), &2.7.into()));
    let markdown = stdout(&bms_sim(&["parameters", "--markdown", "--chemistry", "lto"]));
    assert!(
        markdown.starts_with("# Parameters") && markdown.contains("| auto_shutdown_voltage | V | 1.2 … 4.35 | 1.7 |"),
        "{markdown}"
    );
}

#[test]
fn measured_data_is_replayed_as_a_pack() {
    let directory = directory("replay");
    let mut data = "time_s,current_a,voltage_v,temp_c,soc_ref\n".to_owned();
    for second in 0..1_600 {
        // A 3 Ah cell at 2 C, down to below the protection.
        let soc = 0.9 - f64::from(second) * 6.0 / 3.0 / 3_600.0;
        let volts = if soc > 0.1 { 3.1 + soc * 0.3 } else { 2.4 + soc * 7.0 };
        data.push_str(&format!("{},{},{volts:.4},25,{soc:.4}\n", second + 1, -6.0));
    }
    let file = write(&directory, "cell.csv", &data);
    let json = directory.join("replay.json");
    let arguments = [
        "replay",
        &file,
        "--cells",
        "12",
        "--capacity-ah",
        "60",
        "--spread",
        "1",
        "--seed",
        "4",
        "--out",
        directory.to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
    ];
    let output = bms_sim(&arguments);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for part in
        ["12 x lifepo4, 60 Ah", "cell_undervoltage", "met an open switch", "State of charge: counted", "overview.svg"]
    {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert!((report["cell_capacity_ah"].as_f64().unwrap() - 3.0).abs() < 0.05);
    assert_eq!(told, stdout(&bms_sim(&arguments)), "the same seed gives the same run");
}

#[test]
fn watch_draws_pages_without_a_terminal() {
    let output = bms_sim(&["watch", "--headless", "12", "--keys", "g__1__3_c8q", "--speed", "2"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    let pages: Vec<&str> = told.split("┌ 16 x LiFePO4").collect();
    assert_eq!(pages.len(), 12, "quit by its key at the eleventh page");
    assert!(pages[1].contains("charger connected") && pages[1].contains("00:00:02.000"));
    assert!(
        pages[4].contains("cell_overvoltage, cell 5") && pages[4].contains("Charge             Off"),
        "{}",
        pages[4]
    );
    assert!(pages[7].contains("open_wire"), "{}", pages[7]);
    let coloured = stdout(&bms_sim(&["watch", "--headless", "1", "--color", "always"]));
    assert!(coloured.contains("\x1b[0;1;94m") && coloured.contains("\x1b[0;1;91m"), "highest blue, lowest red");
}

#[test]
fn a_trace_is_stepped_again_bit_for_bit() {
    let directory = directory("trace");
    for name in [
        "p08-discharge-overcurrent.toml",
        "p16-auto-shutdown.toml",
        "s04-change-parameters.toml",
        "x18-reset.toml",
        "h01-heater.toml",
    ] {
        let file = directory.join(format!("{name}.csv"));
        let trace = file.to_str().unwrap();
        let output = bms_sim(&["run", &scenario(name), "--trace", trace]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        let output = bms_sim(&["trace", trace]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).starts_with("identical: "));
    }
    // One input changed: the first difference is told with its line.
    let file = directory.join("p08-discharge-overcurrent.toml.csv");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("-100001")).unwrap();
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    changed[first] = changed[first].replacen("-100001", "-100000", 1);
    let wrong = write(&directory, "changed.csv", &(changed.join("\n") + "\n"));
    let json = directory.join("changed.json");
    let output = bms_sim(&["trace", &wrong, "--json", json.to_str().unwrap()]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("DIFFERENT: ") && told.contains("changed.csv:"), "{told}");
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert!(report["first"]["line"].as_u64().unwrap() as usize > first);
    // Without its first line it needs a scenario.
    let headless = write(&directory, "headless.csv", &(lines[1..].join("\n") + "\n"));
    refuses(&["trace", &headless], "headless.csv:1: ");
    let output = bms_sim(&["trace", &headless, "--scenario", &scenario("p08-discharge-overcurrent.toml")]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    // And broken ones are refused.
    let broken = write(&directory, "broken.csv", &text.replacen("-100001", "much", 1));
    refuses(&["trace", &broken], &format!("broken.csv:{}: current_ma: ", first + 1));
    refuses(&["trace", directory.join("absent.csv").to_str().unwrap()], "absent.csv: ");
}
