//! A soak in parts: shards on all cores until the number or the time is over; a state file carries the totals on.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bms_evidence::soak::{self, KINDS, Totals};
use serde::{Deserialize, Serialize};

/// Shards between two writes of the state.
const BATCH: u64 = 16;

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
    seconds: Option<u64>,
    shards: Option<u64>,
    seed: u64,
    state: Option<String>,
    commit: String,
    repeat: Option<u64>,
}

fn parse(options: &[String]) -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let mut parsed = Options {
        seconds: None,
        shards: None,
        seed: now << 24,
        state: None,
        commit: "unknown".to_owned(),
        repeat: None,
    };
    for pair in options.chunks(2) {
        let [name, value] = pair else { return Err(format!("{}: a value is missing", pair[0])) };
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value} is no number"));
        match name.as_str() {
            "--seconds" => parsed.seconds = Some(number()?),
            "--shards" => parsed.shards = Some(number()?),
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
        let totals = soak::shard(seed, |violation| println!("VIOLATION {violation}"));
        print(&totals);
        return Ok(totals.violations == 0);
    }
    let mut state = load(&options)?;
    let end = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let last = match (options.shards, end) {
        (Some(shards), _) => state.shards.saturating_add(shards),
        (None, Some(_)) => u64::MAX,
        (None, None) => state.shards.saturating_add(BATCH),
    };
    println!("soak: commit {}, seed {}, from shard {}", state.commit, state.seed, state.shards);
    while state.shards < last && end.is_none_or(|end| Instant::now() < end) {
        let until = last.min(state.shards.saturating_add(BATCH));
        state.totals.add(&batch(state.seed, state.shards, until));
        state.shards = until;
        if let Some(file) = &options.state {
            let text = serde_json::to_string_pretty(&state).map_err(|error| error.to_string())?;
            std::fs::write(file, text + "\n").map_err(|error| format!("{file}: {error}"))?;
        }
    }
    print(&state.totals);
    Ok(state.totals.violations == 0)
}

/// Shards `from..until` of a seed, on `BMS_SOAK_THREADS` or all cores. The sum does not depend on how many there are.
fn batch(seed: u64, from: u64, until: u64) -> Totals {
    let told = std::env::var("BMS_SOAK_THREADS").ok().and_then(|text| text.parse().ok());
    let threads = told.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
    let next = Mutex::new((from, Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let shard = {
                        let mut next = next.lock().expect("no thread panics");
                        next.0 += 1;
                        next.0 - 1
                    };
                    if shard >= until {
                        return;
                    }
                    let totals = soak::shard(seed.wrapping_add(shard), |what| println!("VIOLATION {what}"));
                    next.lock().expect("no thread panics").1.add(&totals);
                }
            });
        }
    });
    next.into_inner().expect("no thread panicked").1
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
    let (awake, resting) = totals.years();
    let share = |part: u64| 100.0 * part as f64 / totals.steps.max(1) as f64;
    println!(
        "soak: {} steps, {:.0} % of them at periods up to 100 ms; {awake:.2} pack-years at work, {resting:.2} at rest ({} rests); {} \
         sections over 2^32 ms",
        totals.steps,
        share(totals.fast_steps),
        totals.rests,
        totals.wraps
    );
    println!(
        "soak: both switches closed in {:.0} % of the steps, balancing in {:.0} %",
        share(totals.conducting),
        share(totals.balancing)
    );
    let faults: Vec<String> = KINDS.iter().zip(totals.faults).map(|(kind, count)| format!("{count} {kind}")).collect();
    println!(
        "soak: faults: {}; {} resets, {} more by the watchdog, {} parameter changes",
        faults.join(", "),
        totals.resets,
        totals.bites,
        totals.changes
    );
    println!("soak: {} trips, {} violations", totals.trips, totals.violations);
}
