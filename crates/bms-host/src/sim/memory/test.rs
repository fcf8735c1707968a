//! `store-test`: the campaign of power cuts, flipped bits and arbitrary images.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use crate::flash::campaign::{Figures, images, sequence};
use crate::sim::failure::{Failure, Outcome, write};

/// Arguments of `store-test`.
#[derive(Clone, Copy, Debug, Args)]
pub struct TestArguments {
    /// How long, in seconds; it ends with the sequence that is running then.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    pub seconds: u64,
    /// Operations in each sequence.
    #[arg(long, default_value_t = 120, value_name = "N")]
    pub operations: usize,
}

/// One kind of flash: its name, and a sequence on it.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Its name.
    pub name: &'static str,
    run: fn(u64, usize) -> Figures,
}

/// Words and pages of the chips; rings of two and three pages, and longer ones, that are erased ahead.
const TRIALS: [Trial; 8] = [
    Trial { name: "4-byte words, 2 kB pages, banks of 3", run: |seed, count| sequence::<4, 2_048>(seed, count, 3) },
    Trial { name: "8-byte words, 2 kB pages, banks of 3", run: |seed, count| sequence::<8, 2_048>(seed, count, 3) },
    Trial { name: "8-byte words, 2 kB pages, banks of 2", run: |seed, count| sequence::<8, 2_048>(seed, count, 2) },
    Trial { name: "4-byte words, 4 kB pages, banks of 2", run: |seed, count| sequence::<4, 4_096>(seed, count, 2) },
    Trial { name: "1-byte words, 4 kB pages, banks of 2", run: |seed, count| sequence::<1, 4_096>(seed, count / 4, 2) },
    Trial { name: "32-byte words, 8 kB pages, banks of 2", run: |seed, count| sequence::<32, 8_192>(seed, count, 2) },
    Trial { name: "4-byte words, 2 kB pages, banks of 5", run: |seed, count| sequence::<4, 2_048>(seed, 2 * count, 5) },
    Trial { name: "8-byte words, 2 kB pages, banks of 6", run: |seed, count| sequence::<8, 2_048>(seed, 2 * count, 6) },
];

/// Runs sequences on every kind of flash in turn until the time is over, each kind at least once, on every core.
#[must_use]
pub fn campaign(seed: u64, arguments: TestArguments) -> Figures {
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut all = Figures::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut figures = Figures::default();
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if number >= TRIALS.len() && Instant::now() >= until {
                            return figures;
                        }
                        let Some(trial) = TRIALS.get(number % TRIALS.len()) else { return figures };
                        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
                        figures.add((trial.run)(seed, arguments.operations));
                        figures.add(images(seed, 200));
                    }
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(figures) => all.add(figures),
                Err(_) => all.add(Figures { lost: 1, losses: vec!["a panic".to_owned()], ..Figures::default() }),
            }
        }
    });
    all
}

/// The command.
///
/// # Errors
/// If the result cannot be printed or written.
pub fn store_test(
    arguments: TestArguments,
    seed: u64,
    json: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let figures = campaign(seed, arguments);
    writeln!(out, "{} operations in {} sequences (seed {seed}), on", figures.operations, figures.sequences)?;
    for trial in TRIALS {
        writeln!(out, "  {}", trial.name)?;
    }
    for (count, what) in [
        (figures.cuts(), "power cuts tried, of which"),
        (figures.cuts_writing, "  at each word that is programmed, by half"),
        (figures.cuts_erasing, "  at each word that is erased, by half"),
        (figures.cuts_mending, "  a second one while the first is mended"),
        (figures.flips, "  with a bit flipped besides"),
        (figures.both_destroyed, "times both copies of a record destroyed, noticed"),
        (figures.images, "arbitrary images opened"),
        (figures.entries_flipped, "times a flipped bit took one log entry (of which there is one copy)"),
        (figures.lost, "LOSSES: neither old nor new, mixed, out of order, or not noticed"),
    ] {
        writeln!(out, "{count:>10} {what}")?;
    }
    for loss in &figures.losses {
        writeln!(out, "LOST: {loss}")?;
    }
    writeln!(out, "{:.1} s", began.elapsed().as_secs_f64())?;
    if let Some(file) = json {
        write(file, format!("{:#}\n", serde_json::json!(figures)).as_bytes())?;
    }
    Ok(Outcome::violated_if(figures.lost > 0))
}
