//! The campaign: long random sequences of everything that a store does, with the power cut at every word that is written
//! and erased, bits flipped, and arbitrary images. It counts, and says what was lost.

mod operation;
mod torn;

use bms_core::config::{Config, Model, ValidConfig};
use bms_core::protection::Alarm;
use bms_core::snapshot::Stored;
use bms_core::units::ah;
use bms_store::{Gate, Loaded, Store, now};

use operation::{Contents, LOG, Operation, Ram, entry, open, perform};

use super::ram::{Noise, RamFlash, Step};

pub use torn::torn_and_flipped;

/// The pack of the campaign.
pub const PACK: ValidConfig =
    const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated() };

/// What was tried, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Sequences of operations.
    pub sequences: u64,
    /// Operations in them.
    pub operations: u64,
    /// Power cuts at a word being programmed.
    pub cuts_writing: u64,
    /// Power cuts at a word being erased.
    pub cuts_erasing: u64,
    /// Power cuts while what a first one had left was being mended.
    pub cuts_mending: u64,
    /// Power cuts with one bit flipped besides.
    pub flips: u64,
    /// Both copies of the newest record destroyed.
    pub both_destroyed: u64,
    /// Arbitrary images.
    pub images: u64,
    /// Entries of the log that a flipped bit made unreadable; there is one copy of them only.
    pub entries_flipped: u64,
    /// What was lost, mixed up, or not noticed; the first ones.
    pub losses: Vec<String>,
    /// How many.
    pub lost: u64,
}

impl Figures {
    /// All power cuts.
    #[must_use]
    pub const fn cuts(&self) -> u64 {
        self.cuts_writing + self.cuts_erasing + self.cuts_mending + self.flips
    }
    /// Adds another campaign's.
    pub fn add(&mut self, other: Self) {
        self.sequences += other.sequences;
        self.operations += other.operations;
        self.cuts_writing += other.cuts_writing;
        self.cuts_erasing += other.cuts_erasing;
        self.cuts_mending += other.cuts_mending;
        self.flips += other.flips;
        self.both_destroyed += other.both_destroyed;
        self.images += other.images;
        self.entries_flipped += other.entries_flipped;
        self.lost += other.lost;
        self.losses.extend(other.losses);
        self.losses.truncate(20);
    }
    fn loss(&mut self, what: String) {
        self.lost += 1;
        if self.losses.len() < 20 {
            self.losses.push(what);
        }
    }
}

/// What a check allows.
#[derive(Clone, Copy)]
struct Allowed {
    before: Contents,
    after: Contents,
    /// A bit was flipped: the log may lack one entry.
    flipped: bool,
}

/// Compares what was loaded; says what is wrong.
fn judge<const WORD: usize, const PAGE: usize>(
    store: &mut Store<'_, Ram<WORD, PAGE>>,
    loaded: &Loaded,
    allowed: Allowed,
    missing: &mut u64,
) -> Result<(), String> {
    let (before, after) = (allowed.before, allowed.after);
    let found = Contents::of(loaded);
    let either = |name: &str, is: String, was: String, will: String| {
        if is == was || is == will { Ok(()) } else { Err(format!("{name}: {is}, but it was {was} and became {will}")) }
    };
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let nothing_kept = Contents { next_event: 0, ..before } == Contents::default();
    if allowed.flipped && nothing_kept && loaded.report.wreck {
        // The very first record, torn in one bank and rotten in the other, with nothing older: that cannot be helped, only
        // said, and everything stays open. The log's entries have other pages.
        return Ok(());
    }
    if loaded.report.is_corrupt() || loaded.report.are_counters_corrupt() {
        return Err(format!("said to be corrupt: {:?}", loaded.report));
    }
    either("config", text(&found.config), text(&before.config), text(&after.config))?;
    either("faults", text(&found.faults), text(&before.faults), text(&after.faults))?;
    either("counters", text(&found.counters), text(&before.counters), text(&after.counters))?;
    either("access", text(&found.access), text(&before.access), text(&after.access))?;
    either("statistics", text(&found.statistics), text(&before.statistics), text(&after.statistics))?;
    either("balancing", text(&found.balancing), text(&before.balancing), text(&after.balancing))?;
    let mut numbers = Vec::new();
    let mut wrong = None;
    let walked = now(store.for_each_entry(|found| {
        if found != entry(found.number, found.frame.is_some()) {
            wrong = Some(found);
        }
        numbers.push(found.number);
    }));
    if !matches!(walked, Some(Ok(_))) {
        return Err(format!("the log is unreadable: {walked:?}"));
    }
    if let Some(entry) = wrong {
        return Err(format!("an entry is not what was logged: {entry:?}"));
    }
    if !numbers.is_sorted_by(|a, b| a < b) {
        return Err(format!("events out of order: {numbers:?}"));
    }
    let holes = match numbers.as_slice() {
        [first, .., last] => (last - first + 1) as usize - numbers.len(),
        _ => 0,
    };
    let end = numbers.last().map_or(0, |last| last + 1);
    let (least, most) = (before.next_event, after.next_event);
    let newest_missing = end < least || end > most;
    let kept = numbers.len() + holes >= (least as usize).min(10);
    if allowed.flipped {
        *missing += u64::from(holes > 0 || newest_missing);
        if holes + usize::from(end < least) > 1 || end > most {
            return Err(format!("more than one entry gone: {numbers:?}, next {least} or {most}"));
        }
    } else if holes > 0 || newest_missing || !kept {
        return Err(format!("the log has holes: {numbers:?}, next {least} or {most}"));
    }
    Ok(())
}

/// One sequence on one geometry, cut everywhere.
#[must_use]
pub fn sequence<const WORD: usize, const PAGE: usize>(seed: u64, operations: usize, bank: u32) -> Figures {
    let mut figures = Figures { sequences: 1, ..Figures::default() };
    if try_sequence::<WORD, PAGE>(seed, operations, bank, &mut figures).is_none() {
        figures.loss(format!("seed {seed}: the campaign could not run"));
    }
    figures
}

fn try_sequence<const WORD: usize, const PAGE: usize>(
    seed: u64,
    operations: usize,
    bank: u32,
    figures: &mut Figures,
) -> Option<()> {
    let gate = Gate::open();
    let mut noise = Noise(seed);
    let mut flash = RamFlash::<WORD, PAGE>::new((2 * bank + LOG) as usize);
    let mut image = flash.clone();
    flash.start_journal();
    let (mut store, _) = open(flash, &gate, bank)?;
    let mut models = vec![Contents::default()];
    let mut ends = Vec::new();
    for number in 0..operations {
        let model = *models.last()?;
        let operation = Operation::random(&mut noise, &model);
        let (next, result) = perform(store, &gate, bank, operation)?;
        store = next;
        if let Err(error) = result {
            figures.loss(format!("seed {seed}, operation {number} {operation:?}: {error}"));
        }
        models.push(operation.apply(model));
        ends.push(store.flash().0.journal_length());
        figures.operations += 1;
    }
    let mut flash = store.into_flash().0;
    if flash.rewrites > 0 {
        figures.loss(format!("seed {seed}: {} words were programmed twice", flash.rewrites));
    }
    let journal = flash.take_journal();
    let mut operation = 0;
    for (number, step) in journal.iter().enumerate() {
        while ends.get(operation).is_some_and(|end| *end <= number) {
            operation += 1;
        }
        let allowed = Allowed { before: *models.get(operation)?, after: *models.get(operation + 1)?, flipped: false };
        let place = format!("seed {seed}, operation {operation}, step {number} {step:?}");
        match step {
            Step::Write { .. } => {
                let mut torn = image.clone();
                torn.apply_torn(step, noise.next());
                figures.cuts_writing += 1;
                check(&torn, &gate, bank, allowed, &mut noise, figures, &place);
            }
            Step::Erase { address } => {
                // Every word; on large pages every few, or they would take all the time.
                for edge in (0..PAGE / WORD).step_by((PAGE / WORD / 512).max(1)) {
                    let mut torn = image.clone();
                    torn.apply_torn_erase(*address, edge, noise.next());
                    figures.cuts_erasing += 1;
                    check(&torn, &gate, bank, allowed, &mut noise, figures, &place);
                }
            }
        }
        image.apply(step);
    }
    destroy_both(&image, bank, &mut noise, figures);
    Some(())
}

/// Starts from what a cut has left: is everything there? Sometimes with a flipped bit, sometimes with a second cut.
fn check<const WORD: usize, const PAGE: usize>(
    image: &RamFlash<WORD, PAGE>,
    gate: &Gate,
    bank: u32,
    allowed: Allowed,
    noise: &mut Noise,
    figures: &mut Figures,
    place: &str,
) {
    let mut missing = 0;
    let mut verdict = |flash: RamFlash<WORD, PAGE>, allowed: Allowed, what: &str, figures: &mut Figures| {
        let (mut store, loaded) = open(flash, gate, bank)?;
        if let Err(error) = judge(&mut store, &loaded, allowed, &mut missing) {
            figures.loss(format!("{place}{what}: {error}"));
        }
        Some(store)
    };
    let Some(mut store) = verdict(image.clone(), allowed, "", figures) else { return };
    let choice = noise.below(24);
    if choice < 3 {
        // A bit rots besides: in a bank, where everything stands twice, or in the log.
        let mut flipped = image.clone();
        flipped.flip(noise.below(flipped.bytes().len() * 8));
        figures.flips += 1;
        verdict(flipped, Allowed { flipped: true, ..allowed }, ", and a bit flipped", figures);
    } else if choice < 5 {
        // The power goes again while this start mends things; then a third start.
        let _ = now(store.start());
        let steps = store.flash().0.words + u64::from(store.flash().0.wear().iter().sum::<u32>());
        let mut second = image.clone();
        second.cut_after(1 + noise.next() % steps.max(1), noise.next());
        if let Some((mut store, _)) = open(second, gate, bank) {
            let _ = now(store.start());
            let mut flash = store.into_flash().0;
            flash.restore_power();
            figures.cuts_mending += 1;
            verdict(flash, allowed, ", and again while mending", figures);
        }
    } else if choice == 5 {
        // It goes on working: everything can be saved and is there afterwards.
        let _ = now(store.start());
        let Some(mut model) = now_there(&mut store, allowed) else { return };
        for operation in [
            Operation::Counters(i64::MAX / 4),
            Operation::Log(true),
            Operation::Config(777_000),
            Operation::Access(99),
            Operation::Statistics(9_999),
            Operation::Balancing(4_444),
            Operation::Settle,
            Operation::Tidy,
        ] {
            let Some((next, result)) = perform(store, gate, bank, operation) else { return };
            store = next;
            if let Err(error) = result {
                figures.loss(format!("{place}, then {operation:?}: {error}"));
            }
            model = operation.apply(model);
        }
        let faults = Allowed { before: model, after: model, flipped: false };
        let flash = store.into_flash().0;
        let faults = Allowed {
            before: Contents { faults: allowed.before.faults, ..faults.before },
            after: Contents { faults: allowed.after.faults, ..faults.after },
            ..faults
        };
        verdict(flash, faults, ", then saved anew", figures);
    }
    figures.entries_flipped += missing;
}

/// The model that belongs to what the store has now: old or new.
fn now_there<const WORD: usize, const PAGE: usize>(
    store: &mut Store<'_, Ram<WORD, PAGE>>,
    allowed: Allowed,
) -> Option<Contents> {
    let next_event = store.next_event();
    let model = if next_event == allowed.after.next_event { allowed.after } else { allowed.before };
    Some(Contents { next_event, ..model })
}

/// Destroys the newest record of a kind in both banks: that must be noticed, for each kind in its way.
fn destroy_both<const WORD: usize, const PAGE: usize>(
    image: &RamFlash<WORD, PAGE>,
    bank: u32,
    noise: &mut Noise,
    figures: &mut Figures,
) {
    let gate = Gate::open();
    let (trigger, count) = (888_000_i32, i64::MAX / 2);
    let operations = [
        (Operation::Config(trigger), trigger.to_le_bytes().to_vec(), true),
        (Operation::Faults(0x5, 9), [5, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9].to_vec(), true),
        (Operation::Counters(count), count.to_le_bytes().to_vec(), false),
    ];
    for (operation, mark, corrupt) in operations {
        let done = || {
            let (mut store, _) = open(image.clone(), &gate, bank)?;
            now(store.start())?;
            let (store, saved) = perform(store, &gate, bank, operation)?;
            let (store, settled) = perform(store, &gate, bank, Operation::Settle)?;
            saved.and(settled).ok().map(|()| store.into_flash().0)
        };
        let Some(mut flash) = done() else {
            figures.loss(format!("{operation:?} could not be saved"));
            continue;
        };
        // Records are stored XOR a constant.
        let mark: Vec<u8> = mark.iter().map(|byte| byte ^ 0xA5).collect();
        let places = flash.bytes().windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        for place in &places {
            flash.flip(place * 8 + noise.below(mark.len() * 8));
        }
        figures.both_destroyed += 1;
        let Some((_, loaded)) = open(flash, &gate, bank) else { return };
        let noticed = if corrupt { loaded.report.is_corrupt() } else { loaded.report.are_counters_corrupt() };
        if !noticed {
            figures.loss(format!(
                "{} copies destroyed of {operation:?}, not noticed: {:?}",
                places.len(),
                loaded.report
            ));
        }
    }
}

/// Opens arbitrary images and writes into them: nothing panics, what is not blank is never taken for a new board, and what
/// is saved afterwards is there.
#[must_use]
pub fn images(seed: u64, count: u64) -> Figures {
    const PAGE: usize = 2_048;
    let mut figures = Figures::default();
    let mut noise = Noise(seed ^ 0x1ae5);
    let pages = 3 * 2 + LOG as usize;
    for number in 0..count {
        let mut bytes = vec![0xFF; pages * PAGE];
        match number % 4 {
            0 => bytes.iter_mut().for_each(|byte| *byte = noise.next().to_le_bytes()[0]),
            // Pages that look used, full of noise or of zeros.
            1 => {
                for page in bytes.chunks_mut(PAGE) {
                    if noise.below(3) > 0 {
                        let zero = noise.below(2) == 0;
                        page.iter_mut().for_each(|byte| *byte = if zero { 0 } else { noise.next().to_le_bytes()[0] });
                        page.iter_mut().take(4).for_each(|byte| *byte = 0);
                    }
                }
            }
            // Sparse damage.
            2 => {
                for _ in 0..noise.below(4_000) {
                    let place = noise.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte &= noise.next().to_le_bytes()[0];
                    }
                }
            }
            // Another firmware's data.
            _ => bytes.iter_mut().enumerate().for_each(|(place, byte)| *byte = (place >> 3).to_le_bytes()[0]),
        }
        figures.images += 1;
        if let Err(error) = one_image(bytes, &mut noise) {
            figures.loss(format!("seed {seed}, image {number}: {error}"));
        }
    }
    figures
}

/// Opens one image and uses it; says what is wrong.
///
/// # Errors
/// What must not be.
pub fn image(bytes: &[u8]) -> Result<(), String> {
    one_image(bytes.to_vec(), &mut Noise(bytes.len() as u64))
}

fn one_image(bytes: Vec<u8>, noise: &mut Noise) -> Result<(), String> {
    const WORD: usize = 4;
    const PAGE: usize = 2_048;
    let gate = Gate::open();
    let mut flash = RamFlash::<WORD, PAGE>::with_content(bytes);
    let least = (3 * 2 + LOG as usize) * PAGE;
    if flash.bytes().len() < least {
        let mut bytes = flash.bytes().to_vec();
        bytes.resize(least, 0xFF);
        flash = RamFlash::with_content(bytes);
    }
    let programmed: u32 = flash.bytes().iter().take(6 * PAGE).map(|byte| byte.count_zeros()).sum();
    let (mut store, loaded) = open(flash, &gate, 3).ok_or("it could not be opened")?;
    let new = loaded.stored == Stored::Nothing && !loaded.report.is_corrupt();
    if new && programmed > 5_000 {
        return Err(format!("{programmed} programmed bits were taken for a new board"));
    }
    now(store.start()).ok_or("the start waits")?;
    let corrupt = loaded.report.is_corrupt();
    // The next start must not think better of it.
    let flash = store.into_flash().0;
    let (store, again) = open(flash, &gate, 3).ok_or("it could not be opened again")?;
    if corrupt && !again.report.is_corrupt() {
        return Err("the first start says corrupt, the second does not".to_owned());
    }
    // Something else is saved first: what was wrong must still be said.
    let (store, saved) = perform(store, &gate, 3, Operation::Counters(1 + noise.below(9) as i64)).ok_or("it waits")?;
    let (_, third) = open(store.into_flash().0, &gate, 3).ok_or("it could not be opened a third time")?;
    let held = |loaded: &Loaded| match loaded.stored {
        Stored::Snapshot(snapshot) => snapshot.alarms.contains(Alarm::StorageCorrupt),
        Stored::Corrupt => true,
        _ => false,
    };
    if corrupt && !held(&third) {
        return Err(format!("after something was saved, nothing is said any more ({saved:?})"));
    }
    Ok(())
}

/// The image of a store that was used for so many operations: words of 4 bytes, pages of 2 kB, as [`image`] takes it.
#[must_use]
pub fn sample_image(seed: u64, operations: usize) -> Vec<u8> {
    let gate = Gate::open();
    let mut noise = Noise(seed);
    let mut contents = Contents::default();
    let mut flash = RamFlash::<4, 2_048>::new(6 + LOG as usize);
    for _ in 0..operations {
        let operation = Operation::random(&mut noise, &contents);
        let done = open(flash.clone(), &gate, 3).and_then(|(store, _)| perform(store, &gate, 3, operation));
        let Some((store, Ok(()))) = done else { break };
        flash = store.into_flash().0;
        contents = operation.apply(contents);
    }
    flash.bytes().to_vec()
}
