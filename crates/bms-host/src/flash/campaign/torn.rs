//! One power cut and one flipped bit, where a fuzzer wants them.

use bms_store::{Gate, now};

use super::operation::{Contents, LOG, Operation, open, perform};
use super::{Allowed, judge};
use crate::flash::ram::{Noise, RamFlash, Step};

const PAGE: usize = 2_048;

/// Plays the operations that the script tells, cuts the power at a step of the flash, flips a bit of what is left, and looks.
///
/// The script: which step (2 bytes), which of its bits get through (1; its lowest bit also chooses between banks of three
/// pages and of five), which bit flips (3), then a byte for each operation. What is shorter is fine.
///
/// # Errors
/// What was lost, mixed up, or not noticed.
pub fn torn_and_flipped(script: &[u8]) -> Result<(), String> {
    let [step_low, step_high, chance, place_low, place_mid, place_high, operations @ ..] = script else {
        return Ok(());
    };
    let bank = if chance & 1 == 0 { 3 } else { 5 };
    let impossible = || "the sequence could not run".to_owned();
    let gate = Gate::open();
    let mut flash = RamFlash::<4, PAGE>::new((2 * bank + LOG) as usize);
    let mut image = flash.clone();
    flash.start_journal();
    let (mut store, _) = open(flash, &gate, bank).ok_or_else(impossible)?;
    let mut models = vec![Contents::default()];
    let mut ends = Vec::new();
    for (number, told) in operations.iter().take(160).enumerate() {
        let mut noise = Noise((u64::from(*told) << 8) | number as u64);
        let model = models.last().copied().unwrap_or_default();
        let operation = Operation::random(&mut noise, &model);
        let (next, result) = perform(store, &gate, bank, operation).ok_or_else(impossible)?;
        result?;
        store = next;
        models.push(operation.apply(model));
        ends.push(store.flash().0.journal_length());
    }
    let journal = store.into_flash().0.take_journal();
    let wanted = usize::from(u16::from_le_bytes([*step_low, *step_high]));
    let Some(at) = wanted.checked_rem(journal.len()) else { return Ok(()) };
    let (done, Some(step)) = (journal.get(..at).unwrap_or_default(), journal.get(at)) else { return Ok(()) };
    done.iter().for_each(|step| image.apply(step));
    let chance = u64::from(*chance);
    match step {
        Step::Write { .. } => image.apply_torn(step, chance),
        Step::Erase { address } => image.apply_torn_erase(*address, chance as usize * (PAGE / 4) / 256, chance >> 1),
    }
    let bits = image.bytes().len() * 8;
    let place = u32::from_le_bytes([*place_low, *place_mid, *place_high, 0]) as usize % bits;
    image.flip(place);
    let operation = ends.iter().take_while(|end| **end <= at).count();
    let (Some(before), Some(after)) = (models.get(operation), models.get(operation + 1)) else { return Ok(()) };
    let allowed = Allowed { before: *before, after: *after, flipped: true };
    let told =
        |error: String| format!("banks of {bank}, step {at} of operation {operation} ({step:?}), bit {place}: {error}");
    let (mut store, loaded) = open(image, &gate, bank).ok_or_else(impossible)?;
    judge(&mut store, &loaded, allowed, &mut 0).map_err(told)?;
    // It goes on working, and the next start says the same.
    now(store.start()).ok_or_else(impossible)?;
    let (mut store, loaded) = open(store.into_flash().0, &gate, bank).ok_or_else(impossible)?;
    judge(&mut store, &loaded, allowed, &mut 0).map_err(|error| told(format!("after a start: {error}")))
}
