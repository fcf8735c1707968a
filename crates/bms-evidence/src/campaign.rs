//! A soak in parts: shards on all cores until the time is over; a state file carries the totals on.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bms_evidence::soak::{self, KINDS, Totals};
use serde::{Deserialize, Serialize};

/// Sections of a shard.
const SECTIONS: u32 = 20;

/// What a run leaves for the next one.
#[derive(Serialize, Deserialize)]
struct State {
    /// What was run; totals of different programs are not added up.
    commit: String,
    /// The first shard's seed.
    seed: u64,
    /// How many shards are done.
    shards: u64,
    totals: Totals,
}

struct Options {
    seconds: u64,
    seed: u64,
    state: Option<String>,
    commit: String,
    repeat: Option<u64>,
}

fn parse(options: &[String]) -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let mut parsed = Options { seconds: 60, seed: now << 24, state: None, commit: "unknown".to_owned(), repeat: None };
    for pair in options.chunks(2) {
        let [name, value] = pair else { return Err(format!("{}: a value is missing", pair[0])) };
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value} is no number"));
        match name.as_str() {
            "--seconds" => parsed.seconds = number()?,
            "--seed" => parsed.seed = number()?,
            "--repeat" => parsed.repeat = Some(number()?),
            "--state" => parsed.state = Some(value.clone()),
            "--commit" => parsed.commit.clone_from(value),
            _ => return Err(format!("{name}: unknown option")),
        }
    }
    Ok(parsed)
}

/// Runs, prints the figures, and tells whether no law was broken.
pub fn soak(options: &[String]) -> Result<bool, String> {
    let options = parse(options)?;
    if let Some(seed) = options.repeat {
        let totals = soak::shard(seed, SECTIONS, |violation| println!("VIOLATION {violation}"));
        print(&totals);
        return Ok(totals.violations == 0);
    }
    let mut state = load(&options)?;
    println!("seed {}, from shard {}", state.seed, state.shards);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let next = Mutex::new((state.shards, Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    let shard = {
                        let mut next = next.lock().expect("no thread panics");
                        next.0 += 1;
                        next.0 - 1
                    };
                    let totals = soak::shard(state.seed + shard, SECTIONS, |what| println!("VIOLATION {what}"));
                    next.lock().expect("no thread panics").1.add(&totals);
                }
            });
        }
    });
    let (shards, totals) = next.into_inner().expect("no thread panicked");
    state.shards = shards;
    state.totals.add(&totals);
    print(&state.totals);
    if let Some(file) = &options.state {
        let text = serde_json::to_string_pretty(&state).map_err(|error| error.to_string())?;
        std::fs::write(file, text + "\n").map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(state.totals.violations == 0)
}

fn load(options: &Options) -> Result<State, String> {
    let fresh = State { commit: options.commit.clone(), seed: options.seed, shards: 0, totals: Totals::default() };
    let Some(file) = &options.state else { return Ok(fresh) };
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let state: State = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
            if state.commit == options.commit {
                Ok(state)
            } else {
                Err(format!(
                    "{file}: of commit {}, this is {}; move it away to begin anew",
                    state.commit, options.commit
                ))
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(fresh),
        Err(error) => Err(format!("{file}: {error}")),
    }
}

fn print(totals: &Totals) {
    println!(
        "{} steps ({} at periods up to 100 ms), {:.1} pack-years, {} sections over 2^32 ms, {} steps with both switches closed",
        totals.steps,
        totals.fast_steps,
        totals.pack_years(),
        totals.wraps,
        totals.conducting
    );
    let faults: Vec<String> = KINDS.iter().zip(totals.faults).map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("faults: {}; {} resets, {} parameter changes", faults.join(", "), totals.resets, totals.changes);
    println!("{} trips, {} violations", totals.trips, totals.violations);
}
