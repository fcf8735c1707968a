//! Every scenario of `scenarios/` keeps its expectations, and every field of the format does what docs/scenarios.md says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used, missing_docs)]

use std::path::Path;

use bms_host::sim::run::{Finished, play};
use bms_host::sim::scenario::{Refused, load, parse};

const PACK: &str = "[pack]\nchemistry = \"lifepo4\"\ncells = 16\ncapacity_ah = 100\nmodel = \"B2A24S15P\"\n";
const OPEN: &str = "[plant]\nopen_loop = true\n[[at]]\nt_s = 0\nall_cells = 3.3\n";

/// Plays a pack with more text after it; every expectation must be met.
fn met(top: &str, rest: &str) -> Finished {
    let text = format!("{top}\n{PACK}\n{rest}");
    let scenario = match parse(Path::new("test.toml"), &text) {
        Ok(scenario) => scenario,
        Err(Refused::File(error)) => panic!("{error}\n{text}"),
        Err(Refused::Config(errors)) => panic!("{errors:?}\n{text}"),
    };
    let finished = play(&scenario, scenario.seed.unwrap_or(1)).unwrap();
    for verdict in &finished.verdicts {
        assert!(verdict.met, "expected: {}; what happened: {}\n{text}", verdict.expected, verdict.happened);
    }
    assert!(!finished.verdicts.is_empty(), "nothing is expected\n{text}");
    finished
}

/// The same in an open loop.
fn met_open(rest: &str) -> Finished {
    met("", &format!("{OPEN}{rest}"))
}

fn reason(text: &str) -> String {
    match parse(Path::new("test.toml"), text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(Refused::File(error)) => error.to_string(),
        Err(Refused::Config(errors)) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

#[test]
fn every_scenario_keeps_its_expectations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20);
    let documentation = include_str!("../../../docs/scenarios.md");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(documentation.contains(name), "docs/scenarios.md lists every example, but not {name}");
        let scenario = load(&file).unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
        assert!(!scenario.requirements.is_empty() && !scenario.description.is_empty(), "{}", file.display());
        let finished = play(&scenario, scenario.seed.unwrap_or(1)).unwrap();
        assert!(!finished.verdicts.is_empty());
        for verdict in &finished.verdicts {
            let (place, line) = (file.display(), verdict.line);
            assert!(verdict.met, "{place}:{line}: expected: {}; what happened: {}", verdict.expected, verdict.happened);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/jitter.toml");
    let scenario = load(&file).unwrap();
    let steps = |seed| play(&scenario, seed).unwrap().session.record.events;
    assert_eq!(steps(5), steps(5));
    assert_ne!(steps(5), steps(6));
}

mod an_open_loop {
    use super::*;

    #[test]
    fn all_cells_come_before_single_ones() {
        met_open(
            "[[at]]\nt_s = 5\nall_cells = 3.4\ncell1 = 3.7\n[[expect]]\nalarm = \"cell_overvoltage\"\ncell = 1\nwindow = [5.5, 5.5]",
        );
    }
    #[test]
    fn current_and_temperatures_are_what_the_sensors_show() {
        met_open(
            "[[at]]\nt_s = 5\ncurrent = -400\n[[expect]]\nalarm = \"severe_discharge_overcurrent\"\nwindow = [5.3, 5.3]",
        );
        for (field, alarm) in [
            ("t1 = 61", "charge_overtemperature"),
            ("t2 = -1", "charge_undertemperature"),
            ("mos = 76", "mos_overtemperature"),
        ] {
            met_open(&format!("[[at]]\nt_s = 5\n{field}\n[[expect]]\nalarm = \"{alarm}\"\nwindow = [6, 6]"));
        }
    }
    #[test]
    fn the_stack_is_the_sum_until_it_is_told() {
        met_open(
            "[[at]]\nt_s = 5\nstack = 60\n[[at]]\nt_s = 20\nvalid = \"stack\"\n[[expect]]\nalarm = \"stack_mismatch\"\nwindow = [7, 7]\nuntil = 24\n\
             [[expect]]\nalarm = \"stack_mismatch\"\nstate = \"clear\"\nwindow = [24.9, 25.1]",
        );
    }
    #[test]
    fn a_terminal_above_the_stack_keeps_the_switches_open() {
        let text = format!(
            "{PACK}terminal_voltage = true\n{OPEN}terminal = 90\n[[expect]]\nalarm = \"terminal_mismatch\"\nthroughout = [1, 5]\n[[expect]]\noutput = \"charge\"\nstate = \"closed\"\nnever = [0, 5]"
        );
        let scenario = parse(Path::new("test.toml"), &text).unwrap();
        let finished = play(&scenario, 1).unwrap();
        assert!(finished.verdicts.iter().all(|verdict| verdict.met), "{:?}", finished.verdicts);
    }
    #[test]
    fn charger_and_load_are_seen() {
        // A removed load ends a lock-out (D10): see d10-lockout.toml. A charger keeps the shutdown away (D02).
        met_open(
            "charger = true\n[[at]]\nt_s = 65\ncell1 = 2.5\n[[at]]\nt_s = 90\ncharger = false\n\
             [[expect]]\noutput = \"power\"\nstate = \"on\"\nuntil = 90\n[[expect]]\noutput = \"power\"\nstate = \"off\"\nwindow = [90, 102]",
        );
    }
    #[test]
    fn activation_wakes_the_board() {
        met_open(
            "[[at]]\nt_s = 5\nrequest = \"shutdown\"\n[[at]]\nt_s = 20\nactivation = true\n\
             [[expect]]\noutput = \"power\"\nstate = \"off\"\nwindow = [5, 7]\nuntil = 20\n[[expect]]\noutput = \"discharge\"\nstate = \"closed\"\nwindow = [20, 21]",
        );
    }
    #[test]
    fn the_self_test_and_the_outputs_can_fail() {
        met_open(
            "[[at]]\nt_s = 5\nself_test_failed = true\n[[expect]]\nalarm = \"self_test_failed\"\nwindow = [5, 5.1]",
        );
        met_open(
            "[[at]]\nt_s = 5\nfault = { write_fails = \"switches\" }\n[[expect]]\nalarm = \"output_failed\"\nwindow = [5, 5.2]",
        );
        met_open(
            "[[at]]\nt_s = 5\nfault = \"sampler_silent\"\n[[expect]]\noutput = \"discharge\"\nstate = \"open\"\nwindow = [5.5, 6.3]",
        );
    }
    #[test]
    fn readings_go_wrong_on_their_way() {
        for (fault, alarm, window) in [
            ("{ silent = \"cells\" }", "cell_data_lost", "[5.5, 6.5]"),
            ("{ late = [\"cells\", 2.0] }", "cell_data_lost", "[5.5, 8]"),
            ("{ swapped_cells = [1, 2] }", "cell_overvoltage", "[8, 9]"),
            ("{ noise = [\"current\", 300] }", "discharge_current_warning", "[5, 60]"),
            ("\"inverted_current\"", "severe_charge_overcurrent", "[9, 9.1]"),
        ] {
            met_open(&format!(
                "[[at]]\nt_s = 5\nfault = {fault}\n[[at]]\nt_s = 8\ncell2 = 3.7\ncurrent = -280\n[[at]]\nt_s = 9.1\ncell2 = 3.3\ncurrent = 0\n\
                 [[expect]]\nalarm = \"{alarm}\"\nwindow = {window}"
            ));
        }
        // A stuck reading hides what comes after it; a repaired one shows it.
        met_open(
            "[[at]]\nt_s = 5\nfault = { stuck = \"cells\" }\n[[at]]\nt_s = 6\ncell1 = 3.7\n[[at]]\nt_s = 10\nfault = \"none\"\n\
             [[expect]]\nalarm = \"cell_overvoltage\"\ncell = 1\nwindow = [10.5, 10.6]",
        );
    }
    #[test]
    fn channels_are_lost_and_come_back() {
        for (channel, alarm) in [
            ("cells", "cell_data_lost"),
            ("cell7", "cell_data_lost"),
            ("current", "current_data_lost"),
            ("all", "cell_data_lost"),
            ("t1", "battery_sensor_fault"),
            ("mos", "mos_sensor_fault"),
        ] {
            met_open(&format!(
                "[[at]]\nt_s = 5\nlost = \"{channel}\"\n[[at]]\nt_s = 10\nvalid = [\"{channel}\"]\n[[expect]]\nalarm = \"{alarm}\"\nwindow = [5.5, 6.5]\nuntil = 14\n[[expect]]\nalarm = \"{alarm}\"\nstate = \"clear\"\nwindow = [14.5, 16]"
            ));
        }
        met_open(
            "[[at]]\nt_s = 5\nlost = [\"temperatures\", \"stack\", \"terminal\"]\n[[expect]]\nalarm = \"temperature_data_lost\"\nwindow = [14, 16]",
        );
    }
    #[test]
    fn the_front_end_may_find_other_cells() {
        met_open(
            "[[at]]\nt_s = 5\nmeasured_cells = 15\n[[expect]]\nalarm = \"cell_count_mismatch\"\nwindow = [5, 5.5]",
        );
    }
    #[test]
    fn requests_are_answered() {
        met_open("[[at]]\nt_s = 5\nrequest = { calibrate_voltage = 52.8 }\nrefused = true");
        met_open("[[at]]\nt_s = 5\nrequest = { calibrate_current = 10 }\nrefused = true");
        for word in [
            "balance_off",
            "balance_on",
            "charge_on",
            "discharge_on",
            "restore_factory_settings",
            "reset_emergency_stop",
        ] {
            met_open(&format!("[[at]]\nt_s = 5\nrequest = \"{word}\"\nrefused = false"));
        }
        met_open("load = true\n[[at]]\nt_s = 5\nrequest = \"clear_lockout\"\nrefused = true");
        met_open("[[at]]\nt_s = 5\nrequest = \"clear_permanent\"\nrefused = false");
    }
    #[test]
    fn a_reset_starts_anew() {
        for (cause, latest) in [("power_on", 6), ("brown_out", 66), ("unknown", 66)] {
            met_open(&format!(
                "[[at]]\nt_s = 5\nreset = \"{cause}\"\n[[at]]\nt_s = 66\ncurrent = 0\n[[expect]]\noutput = \"discharge\"\nstate = \"closed\"\nthroughout = [{latest}, 66.5]"
            ));
        }
    }
    #[test]
    fn the_sample_period_is_kept() {
        let finished = met(
            "sample_period_ms = 500\nduration_s = 10",
            &format!("{OPEN}[[expect]]\noutput = \"charge\"\nstate = \"on\"\nthroughout = [1, 10]"),
        );
        assert_eq!(finished.session.record.steps, 21);
    }
    #[test]
    fn the_initial_charge_is_known() {
        let text = format!(
            "{PACK}initial_soc = 40\n[plant]\nopen_loop = true\n[[expect]]\noutput = \"power\"\nstate = \"on\"\nuntil = 5\n"
        );
        let finished = play(&parse(Path::new("test.toml"), &text).unwrap(), 1).unwrap();
        assert_eq!(finished.session.bms().status().state_of_charge_permille.valid(), Some(400));
        assert_eq!(finished.session.bms().status().cells.voltage(0).unwrap().as_millivolts(), 3_140);
    }
}

mod a_plant {
    use super::*;

    #[test]
    fn a_charger_charges_and_a_load_discharges() {
        let finished = met(
            "duration_s = 60",
            "[[at]]\nt_s = 1\ncharger = { voltage = 56, current = 20 }\n[[at]]\nt_s = 30\ncharger = false\nload = 30\n[[expect]]\noutput = \"charge\"\nstate = \"on\"\nthroughout = [1, 60]",
        );
        let points = finished.session.record.series.points();
        let near = |t: u64| points.iter().find(|point| point.at_ms >= t).unwrap().current.0;
        assert!((near(20_000) - 20.0).abs() < 0.1 && (near(50_000) + 30.0).abs() < 0.1);
    }
    #[test]
    fn current_is_forced_and_a_present_load_draws() {
        for (field, amperes) in
            [("current = 12", 12.0), ("current = -12", -12.0), ("load = true", -20.0), ("charger = true", 50.0)]
        {
            let finished = met(
                "duration_s = 20",
                &format!("[[at]]\nt_s = 1\n{field}\n[[expect]]\noutput = \"power\"\nstate = \"on\"\nuntil = 20"),
            );
            let last = finished.session.record.series.points().last().unwrap().current.1;
            assert!((f64::from(last) - amperes).abs() < 0.1, "{field}: {last} A");
        }
    }
    #[test]
    fn a_short_circuit_opens_both_switches() {
        met(
            "duration_s = 10",
            "[[at]]\nt_s = 5\nshort_circuit = true\n[[at]]\nt_s = 5.5\nshort_circuit = false\n[[expect]]\nalarm = \"short_circuit\"\nwindow = [5, 5.2]",
        );
    }
    #[test]
    fn sensors_can_be_told_what_to_show_until_they_are_valid() {
        met(
            "duration_s = 20",
            "[[at]]\nt_s = 5\ncell3 = 3.7\n[[at]]\nt_s = 10\nvalid = \"cell3\"\n[[expect]]\nalarm = \"cell_overvoltage\"\ncell = 3\nwindow = [5.4, 5.7]\n[[expect]]\nalarm = \"cell_overvoltage\"\nstate = \"clear\"\nwindow = [10, 10.2]",
        );
        met(
            "duration_s = 20",
            "[[at]]\nt_s = 5\nt2 = 70\n[[at]]\nt_s = 10\nvalid = \"t2\"\n[[expect]]\nalarm = \"discharge_overtemperature\"\nsensor = 2\nwindow = [6, 6.2]\n[[expect]]\nalarm = \"discharge_overtemperature\"\nstate = \"clear\"\nwindow = [10, 10.2]",
        );
        met(
            "duration_s = 20",
            "[[at]]\nt_s = 5\nmos = 80\n[[expect]]\nalarm = \"mos_overtemperature\"\nwindow = [6, 6.2]",
        );
    }
    #[test]
    fn the_pack_gets_cold_and_warm() {
        met("duration_s = 20", "ambient = 30\n[[at]]\nt_s = 5\nambient = -1\n[[at]]\nt_s = 10\nambient = 20\n[[expect]]\nalarm = \"charge_undertemperature\"\nwindow = [6, 6.2]\nuntil = 9.9\n[[expect]]\nalarm = \"charge_undertemperature\"\nstate = \"clear\"\nwindow = [10, 10.2]".replacen("ambient", "[plant]\nambient", 1).as_str());
    }
    #[test]
    fn switches_weld_and_wires_break() {
        met(
            "duration_s = 20",
            "[[at]]\nt_s = 3\nload = 20\n[[at]]\nt_s = 5\nfault = \"discharge_stuck_closed\"\n[[at]]\nt_s = 8\nrequest = \"discharge_off\"\n[[expect]]\nalarm = \"discharge_switch_stuck\"\nwindow = [8.4, 9]",
        );
        met(
            "duration_s = 20",
            "[[at]]\nt_s = 3\ncurrent = 20\n[[at]]\nt_s = 5\nfault = \"charge_stuck_closed\"\n[[at]]\nt_s = 8\nrequest = \"charge_off\"\n[[expect]]\nalarm = \"charge_switch_stuck\"\nwindow = [8.4, 9]",
        );
        met(
            "duration_s = 30",
            "[[at]]\nt_s = 5\nfault = { open_wire = 4 }\n[[at]]\nt_s = 10\nfault = \"none\"\n[[expect]]\nalarm = \"open_wire\"\nwindow = [5, 6]\n[[expect]]\nalarm = \"open_wire\"\nstate = \"clear\"\nwindow = [10, 25]",
        );
    }
    #[test]
    fn switches_may_not_close_and_writes_may_be_ignored() {
        for fault in ["\"discharge_stuck_open\"", "{ write_ignored = \"switches\" }"] {
            let rest = format!(
                "[[at]]\nt_s = 0\nfault = {fault}\n[[at]]\nt_s = 3\nload = 20\n[[expect]]\noutput = \"discharge\"\nstate = \"on\"\nthroughout = [1, 10]"
            );
            let finished = met("duration_s = 10", &rest);
            let flows = finished.session.record.series.points().last().unwrap().current.1;
            assert!(flows.abs() < 0.1, "{fault}: {flows} A");
        }
        let rest = "[[at]]\nt_s = 0\nfault = \"charge_stuck_open\"\n[[at]]\nt_s = 3\ncurrent = 20\n[[expect]]\noutput = \"charge\"\nstate = \"on\"\nthroughout = [1, 10]";
        let finished = met("duration_s = 10", rest);
        assert!(finished.session.record.series.points().last().unwrap().current.1.abs() < 0.1);
    }
    #[test]
    fn sensor_errors_are_there() {
        let errors = "[plant]\nvoltage_bias = 0.01\nvoltage_noise = 0.001\ncurrent_gain = 1\ncurrent_offset = 0.2\ncurrent_noise = 0.01\ntemperature_bias = 2\n";
        let rest = "[[at]]\nt_s = 1\nload = 100\n[[expect]]\noutput = \"power\"\nstate = \"on\"\nuntil = 10\n";
        let wrong = met("duration_s = 10", &format!("{errors}{rest}"));
        let right = met("duration_s = 10", rest);
        let read = |finished: &Finished| {
            let status = finished.session.bms().status();
            let [t1, ..] = status.battery_temperatures;
            (
                status.cells.voltage(0).unwrap().as_microvolts(),
                status.current.valid().unwrap().as_milliamps(),
                t1.valid().unwrap().as_tenths(),
            )
        };
        let ((volts, amps, degrees), (true_volts, true_amps, true_degrees)) = (read(&wrong), read(&right));
        assert!((volts - true_volts - 10_000).abs() < 4_000);
        assert!((amps - (true_amps * 101 / 100 + 200)).abs() < 100);
        assert_eq!(degrees, true_degrees + 20);
    }
    #[test]
    fn cells_differ_and_wires_have_resistance() {
        let finished = met(
            "duration_s = 60\nseed = 2",
            "[plant]\ncapacity_spread = 5\nresistance_spread = 20\nwire_resistance = 0.05\n[[at]]\nt_s = 1\nload = 100\n[[expect]]\noutput = \"power\"\nstate = \"on\"\nuntil = 60",
        );
        assert!(finished.session.bms().status().cell_spread.valid().unwrap().as_millivolts() > 5);
        assert!((finished.session.world().pack().unwrap().plant.spec().wire_mohm - 50.0).abs() < 1e-9);
    }
}

#[test]
fn the_pack_table_describes_the_board() {
    let text = "[pack]\nchemistry = \"nmc\"\ncells = 14\ncapacity_ah = 50.5\nprofile = \"manual\"\nsensors = [\"required\"]\ntopology = \"contactors\"\nstack_voltage = true\nterminal_voltage = true\nprecharge = true\nlast_resort = true\nhardware_short_circuit = false\n[config]\ncharge_overcurrent_protection = 25\ndischarge_overcurrent_protection = 50.5\ntrickle = true\nseverity = 1\n";
    assert_eq!(
        reason(text),
        "test.toml:17: unknown parameter `severity`: did you mean `severe_charge_ratio`?"
            .replace("severe_charge_ratio", nearest(&reason(text)))
    );
    let scenario = parse(Path::new("test.toml"), &text.replace("severity = 1\n", "")).unwrap();
    let board = scenario.config.board();
    assert!(board.terminal_voltage && board.precharge && board.last_resort && !board.hardware_short_circuit);
    assert_eq!(format!("{:?}", board.topology), "Contactors");
    assert_eq!(format!("{:?}", board.sensors[0]), "Required");
    assert_eq!(format!("{:?}", board.sensors[1]), "NotFitted");
    assert_eq!(format!("{:?}", scenario.config.profile()), "Manual");
    assert_eq!(scenario.config.capacity().as_milliamp_hours(), 50_500);
}

/// The suggestion in a message.
fn nearest(message: &str) -> &str {
    message.rsplit('`').nth(1).unwrap()
}

/// Whatever is done to a good file, the answer is a scenario or one line that says what is wrong with it.
#[test]
fn damaged_files_never_panic() {
    let good = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/demonstration-day.toml")).unwrap();
    let mut random: u32 = 12_345;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random as usize / 7 % below
    };
    for _ in 0..3_000 {
        let mut bytes = good.clone();
        for _ in 0..=next(4) {
            let place = next(bytes.len());
            match next(4) {
                0 => bytes[place] = b"0123456789.-=[]{}\"\n,e"[next(21)],
                1 if bytes.len() > 100 => drop(bytes.drain(place..(place + next(20)).min(bytes.len()))),
                2 => bytes.truncate(place + 1),
                _ => {
                    let copied = bytes[place..(place + next(40)).min(bytes.len())].to_vec();
                    bytes.splice(place..place, copied);
                }
            }
        }
        if let Err(Refused::File(error)) = parse(Path::new("x"), &String::from_utf8_lossy(&bytes)) {
            let told = error.to_string();
            assert!(!told.contains('\n') && error.line.is_some(), "{told}");
        }
    }
}

#[test]
fn mistakes_are_told_with_their_line() {
    let pack = |more: &str| format!("{PACK}{more}");
    for (text, expected) in [
        (pack("colour = 1\n"), "test.toml:6: unknown field `colour`"),
        (pack("[plant]\nopen_lop = true\n"), "test.toml:7: unknown field `open_lop`"),
        (pack("[config]\nretry_limit = 1.5\n"), "test.toml:7: retry_limit = 1.5: expected whole numbers"),
        (
            pack("[config]\ncell_overvoltage_protection = 3.9\n"),
            "test.toml:7: cell_overvoltage_protection: above the chemistry's hard cap",
        ),
        (
            pack("[config]\ncell_undervoltage_protection = 3.0\n"),
            "test.toml:7: cell_undervoltage_protection: must be below cell_undervoltage_recovery",
        ),
        (pack("[[at]]\ncell1 = 3\n"), "test.toml:6: t_s is missing"),
        (pack("[[at]]\nt_s = -1\n"), "t_s = -1 s: expected 0 to 10000000 s"),
        (pack("[[at]]\nt_s = 1\ncell17 = 3\n"), "test.toml:8: cell 17 of a pack of 16 cells"),
        (pack("[[at]]\nt_s = 1\ncell0 = 3\n"), "test.toml:8: unknown field `cell0`"),
        (pack("[[at]]\nt_s = 1\ncell1 = \"x\"\n"), "test.toml:8: invalid type"),
        (pack("[[at]]\nt_s = 1\ncurrent = 1e9\n"), "test.toml:8: 1000000000: expected -2000 to 2000"),
        (pack("[[at]]\nt_s = 1\nlost = \"cell99\"\n"), "test.toml:8: unknown channel `cell99`"),
        (pack("[[at]]\nt_s = 1\nrequest = \"explode\"\n"), "test.toml:8: unknown request `explode`"),
        (
            pack("[[at]]\nt_s = 1\nfault = { open_wire = 17 }\n"),
            "test.toml:8: wire 17: the wires of 16 cells are 0 to 16",
        ),
        (pack("[[at]]\nt_s = 1\nrefused = true\n"), "refused needs a request or set"),
        (
            pack("[[at]]\nt_s = 1\nreset = \"cat\"\n"),
            "test.toml:8: unknown reset cause `cat`: expected power_on, brown_out, watchdog, unknown",
        ),
        (pack("[plant]\nopen_loop = true\nambient = 3\n"), "test.toml:8: ambient needs a plant"),
        (pack("[plant]\nopen_loop = true\n[[at]]\nt_s = 1\nambient = 3\n"), "test.toml:10: ambient needs a plant"),
        (
            pack("[plant]\nopen_loop = true\n[[at]]\nt_s = 1\nfault = \"charge_stuck_closed\"\n"),
            "test.toml:10: this fault needs a plant",
        ),
        (pack("[plant]\nvoltage_noise = 3\n"), "test.toml:7: voltage_noise = 3 V: expected 0 to 0.1 V"),
        (pack("[[expect]]\noutput = \"charge\"\nwindow = [1, 2]\n"), "state is missing"),
        (
            pack("[[expect]]\nalarm = \"abus\"\nnever = true\n"),
            "test.toml:7: unknown alarm `abus`: did you mean `abuse`?",
        ),
        (pack("[[expect]]\nalarm = \"abuse\"\n"), "when? expected window, until, throughout or never"),
        (pack("[[expect]]\nalarm = \"abuse\"\noutput = \"charge\"\nnever = true\n"), "expected either output or alarm"),
        (pack("[[expect]]\nalarm = \"abuse\"\nwindow = [3, 2]\n"), "window: expected"),
        (pack("[[expect]]\nalarm = \"abuse\"\nnever = false\n"), "false says nothing"),
        (pack("[[expect]]\nalarm = \"abuse\"\ncell = 30\nnever = true\n"), "cell 30 of a pack of 16 cells"),
        (pack("initial_soc = 0.5\n"), "test.toml:6: initial_soc = 0.5: expected %"),
        (pack("initial_soc = [50, 50]\n"), "test.toml:6: initial_soc has 2 numbers for 16 cells"),
        (format!("jitter = 2\n{PACK}"), "test.toml:1: jitter = 2"),
        (format!("sample_period_ms = 0\n{PACK}"), "test.toml:1: sample_period_ms = 0 ms: expected 1 to 10000 ms"),
        (PACK.replace("= 16", "= 3"), "test.toml:3: cells = 3: expected 4 to 24"),
        (
            PACK.replace("lifepo4", "lead"),
            "test.toml:2: unknown chemistry `lead`: expected li-ion, nmc, nca, lifepo4, lfp, lto",
        ),
        (PACK.replace("B2A24S15P", "B2A24S15"), "test.toml:5: unknown model `B2A24S15`: did you mean `B2A24S15P`?"),
        (
            PACK.replace("model = \"B2A24S15P\"\n", ""),
            "charge_overcurrent_protection: outside 0.1 A to 350 A (state a model, or this parameter)",
        ),
        ("[pack\n".to_owned(), "test.toml:1: "),
        (String::new(), "missing field `pack`"),
    ] {
        let told = reason(&text);
        assert!(told.contains(expected), "{told}\ninstead of\n{expected}\nfor\n{text}");
        assert!(told.starts_with("test.toml") && !told.contains('\n'), "{told}");
    }
}
