//! How fast a flash wears, reckoned from what is saved how often.
//!
//! A ring of pages is erased evenly. Half of a bank's ring is kept blank ahead of its use, so the newest record of every kind is
//! copied each time the other half has been written; the rest of the ring is there for what is new:
//!
//! ```text
//! erases a page = bytes written in a life ÷ (pages × usable bytes of a page − newest records × pages ÷ (pages − blank ones))
//! ```
//! ```
//! use bms_store::wear::{Flash, Rates, RATES};
//! // Two banks of ten pages and a log of eight, 4 kB pages, words of 4 bytes.
//! const FLASH: Flash = Flash { page: 4_096, word: 4, bank_pages: 10, log_pages: 8 };
//! const _: () = assert!(FLASH.erases_of_a_bank_page(RATES, 10) <= 10_000);
//! const _: () = assert!(FLASH.erases_of_a_log_page(RATES, 10) <= 10_000);
//! ```

use crate::bank::ahead;
use crate::keeper::schedule;

/// How often things are saved in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// The configuration.
    pub config: u32,
    /// Faults, trip counts, user switches.
    pub faults: u32,
    /// Counters.
    pub counters: u32,
    /// The access record.
    pub access: u32,
    /// Lifetime statistics.
    pub statistics: u32,
    /// What the balancing strategy has learned.
    pub balancing: u32,
    /// Log entries with a freeze frame.
    pub frames: u32,
    /// Log entries without.
    pub entries: u32,
    /// Starts of the firmware; each writes the directory and the counters.
    pub starts: u32,
}

/// A busy pack: two full cycles and twenty trips a day, a hundred other events, five changed settings, two starts. The
/// counters follow from the schedule: every hundredth of the capacity that moves, and every hour. Balancing is saved by what it
/// moves, a quarter of a percent of the capacity at a time, and after a charge: eight times a day is one percent moved every day.
pub const RATES: Rates = Rates {
    config: 5,
    faults: 40,
    counters: 4 * schedule::CHARGE_PART as u32 + 24,
    access: 2,
    statistics: 86_400_000 / schedule::STATISTICS_EVERY.as_millis() + 2,
    balancing: 8,
    frames: 20,
    entries: 100,
    starts: 2,
};

/// Bytes of a payload of each kind: directory, configuration, faults, counters, access, statistics, balancing.
const PAYLOADS: [u32; 7] = [20, 440, 21, 96, 160, 320, 68];
/// The same of an entry with a frame of 24 cells, and without.
const ENTRIES: [u32; 2] = [114, 36];

/// A flash and what of it the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flash {
    /// Bytes of a page.
    pub page: u32,
    /// Bytes of a word.
    pub word: u32,
    /// Pages of each bank.
    pub bank_pages: u32,
    /// Pages of the log.
    pub log_pages: u32,
}

impl Flash {
    /// What a payload takes: with its envelope (12) and key (1), the library's header (8), each rounded up to words.
    const fn taken(self, payload: u32) -> u64 {
        let word = if self.word == 0 { 1 } else { self.word };
        let header = 8_u32.div_ceil(word).saturating_mul(word);
        let record = payload.saturating_add(13).div_ceil(word).saturating_mul(word);
        header.saturating_add(record) as u64
    }
    /// What a page can hold between its two marks, less what stays empty at its end because the next record does not fit,
    /// on average half of a long one.
    const fn usable(self, longest: u32) -> u64 {
        let marks = self.word.saturating_mul(2);
        (self.page.saturating_sub(marks) as u64).saturating_sub(self.taken(longest) / 2)
    }
    /// Bytes that a bank takes a day.
    #[must_use]
    pub const fn bank_bytes_a_day(self, rates: Rates) -> u64 {
        let [directory, config, faults, counters, access, statistics, balancing] = PAYLOADS;
        let batches = rates
            .config
            .saturating_add(rates.faults)
            .saturating_add(rates.counters)
            .saturating_add(rates.access)
            .saturating_add(rates.statistics)
            .saturating_add(rates.balancing)
            .saturating_add(rates.starts.saturating_mul(2));
        self.taken(directory)
            .saturating_mul(batches as u64)
            .saturating_add(self.taken(config).saturating_mul(rates.config as u64))
            .saturating_add(self.taken(faults).saturating_mul(rates.faults as u64))
            .saturating_add(self.taken(counters).saturating_mul(rates.counters.saturating_add(rates.starts) as u64))
            .saturating_add(self.taken(access).saturating_mul(rates.access as u64))
            .saturating_add(self.taken(statistics).saturating_mul(rates.statistics as u64))
            .saturating_add(self.taken(balancing).saturating_mul(rates.balancing as u64))
    }
    /// Bytes that the log takes a day.
    #[must_use]
    pub const fn log_bytes_a_day(self, rates: Rates) -> u64 {
        let [frame, entry] = ENTRIES;
        let frames = self.taken(frame).saturating_mul(rates.frames as u64);
        frames.saturating_add(self.taken(entry).saturating_mul(rates.entries as u64))
    }
    /// How often each page of a bank is erased in so many years.
    #[must_use]
    pub const fn erases_of_a_bank_page(self, rates: Rates, years: u32) -> u64 {
        let written = self.bank_pages.saturating_sub(ahead(self.bank_pages)) as u64;
        let copies = match self.newest().saturating_mul(self.bank_pages as u64).checked_div(written) {
            Some(copies) => copies,
            None => return u64::MAX,
        };
        let ring = self.usable(440).saturating_mul(self.bank_pages as u64).saturating_sub(copies);
        per_turn(self.bank_bytes_a_day(rates), ring, years)
    }
    /// How many minutes a bank can be written with nothing erased, counted from a moment that allowed an erase: with the pages
    /// that are blank ahead, not counting what is left of the page in use.
    #[must_use]
    pub const fn minutes_without_erasing(self, rates: Rates) -> u64 {
        let room = self.usable(440).saturating_mul(ahead(self.bank_pages) as u64).saturating_sub(self.newest());
        minutes(room, self.bank_bytes_a_day(rates))
    }
    /// The same of the log, which has one page ahead.
    #[must_use]
    pub const fn log_minutes_without_erasing(self, rates: Rates) -> u64 {
        minutes(self.usable(114), self.log_bytes_a_day(rates))
    }
    /// What the newest record of every kind takes.
    const fn newest(self) -> u64 {
        let mut newest = 0_u64;
        let mut rest: &[u32] = &PAYLOADS;
        while let [payload, tail @ ..] = rest {
            newest = newest.saturating_add(self.taken(*payload));
            rest = tail;
        }
        newest
    }
    /// How often each page of the log is erased in so many years.
    #[must_use]
    pub const fn erases_of_a_log_page(self, rates: Rates, years: u32) -> u64 {
        let ring = self.usable(114).saturating_mul(self.log_pages as u64);
        per_turn(self.log_bytes_a_day(rates), ring, years)
    }
}

const fn minutes(room: u64, a_day: u64) -> u64 {
    match room.saturating_mul(1_440).checked_div(a_day) {
        Some(minutes) => minutes,
        None => u64::MAX,
    }
}

const fn per_turn(a_day: u64, ring: u64, years: u32) -> u64 {
    let life = a_day.saturating_mul(years as u64).saturating_mul(3_653) / 10;
    match life.checked_div(ring) {
        Some(turns) => turns.saturating_add(1),
        None => u64::MAX,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use bms_core::config::{Config, Model, ValidConfig};
    use bms_core::units::ah;

    use super::*;
    use crate::codec::Writer;

    /// The lengths above are those of the real payloads, or a little more.
    #[test]
    fn payloads_are_as_long_as_reckoned() {
        const PACK: ValidConfig =
            const { Config::lifepo4(16).with_model(Model::B2a24s15p).with_capacity(ah(280)).validated() };
        let length = |write: &dyn Fn(&mut Writer<'_>)| {
            let mut buffer = [0; 512];
            let mut out = Writer::new(&mut buffer);
            write(&mut out);
            u32::try_from(out.finish().unwrap()).unwrap()
        };
        let [directory, config, faults, counters, access, statistics, balancing] = PAYLOADS;
        assert_eq!(directory as usize, 4 * (crate::layout::Kind::COUNT - 2));
        let real = length(&|out| crate::item::config::encode(&PACK, &PACK, out));
        assert!(real <= config, "configuration {real}");
        assert_eq!(length(&|out| crate::Faults::NONE.encode(out)), faults);
        assert!(length(&|out| crate::Counters::NONE.encode(out)) <= counters);
        assert_eq!(access as usize, crate::ACCESS_LENGTH);
        assert!(length(&|out| crate::item::statistics::encode(&crate::Statistics::new(), out)) <= statistics);
        let nothing = bms_core::balancing::LearnedBalance::NOTHING;
        assert_eq!(length(&|out| crate::item::balancing::encode(&nothing, out)), balancing);
    }

    #[test]
    fn ten_years_on_ten_thousand_cycles() {
        for (name, flash) in [
            ("4 kB pages, 4-byte words (ESP32-C3)", Flash { page: 4_096, word: 4, bank_pages: 10, log_pages: 8 }),
            ("4 kB pages, bytes (RP2040)", Flash { page: 4_096, word: 1, bank_pages: 10, log_pages: 8 }),
            ("2 kB pages, 8-byte words (STM32G0/G4/L4)", Flash { page: 2_048, word: 8, bank_pages: 20, log_pages: 16 }),
            (
                "16 kB pages, 4-byte words (STM32F4, small sectors)",
                Flash { page: 16_384, word: 4, bank_pages: 2, log_pages: 3 },
            ),
            (
                "128 kB pages, 4-byte words (STM32F4, large sectors)",
                Flash { page: 131_072, word: 4, bank_pages: 2, log_pages: 3 },
            ),
        ] {
            let (bank, log) = (flash.erases_of_a_bank_page(RATES, 10), flash.erases_of_a_log_page(RATES, 10));
            println!("{name}: {bank} erases of a bank's page in 10 years, {log} of the log's");
            let hours = |minutes: u64| minutes as f64 / 60.0;
            let (bank_hours, log_hours) =
                (hours(flash.minutes_without_erasing(RATES)), hours(flash.log_minutes_without_erasing(RATES)));
            println!(
                "{name}: {bank_hours:.1} h of writing to the banks without one of the erases of a page, {log_hours:.1} h to the log"
            );
            assert!(bank <= 10_000 && log <= 10_000, "{name}: {bank}, {log}");
        }
    }
}
