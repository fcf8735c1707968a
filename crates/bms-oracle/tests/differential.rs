//! The core and the oracle agree.

use bms_core::config::Profile;
use bms_oracle::differential::{Tally, run_where};

/// SplitMix64: small, fixed, good enough to draw test bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 56) as u8).collect()
    }
}

/// Removes what the difference does not need.
fn shrink(mut bytes: Vec<u8>, run: &impl Fn(&[u8]) -> Result<Tally, String>) -> Vec<u8> {
    let mut size = bytes.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < bytes.len() {
            let mut shorter = bytes.clone();
            shorter.drain(start..(start + size).min(bytes.len()));
            if run(&shorter).is_err() { bytes = shorter } else { start += size }
        }
        size /= 2;
    }
    bytes
}

#[test]
fn the_core_and_the_oracle_agree() {
    let cases: u64 = std::env::var("BMS_ORACLE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let seed: u64 = std::env::var("BMS_ORACLE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let profile: Option<u8> = std::env::var("BMS_ORACLE_PROFILE").ok().and_then(|text| text.parse().ok());
    let wanted = profile.map(|profile| if profile == 0 { Profile::Manual } else { Profile::Default });
    let run = |bytes: &[u8]| run_where(bytes, |config| wanted.is_none_or(|wanted| config.profile() == wanted));
    let mut random = Random(seed);
    let mut tally = Tally::new();
    let mut differences = std::collections::BTreeMap::new();
    for _ in 0..cases {
        let mut bytes = random.bytes(400);
        if let Some(profile) = profile {
            bytes[0] = bytes[0] % 3 + 3 * profile;
        }
        match run(&bytes) {
            Ok(one) => tally.add(&one),
            Err(why) => {
                // One example of each kind, the first few only.
                let kind = |text: &str| {
                    text.split('\n').next().unwrap_or_default().rsplit(": ").next().unwrap_or_default().to_owned()
                };
                if differences.len() < 6 && !differences.contains_key(&kind(&why)) {
                    let bytes = shrink(bytes, &run);
                    let why = run(&bytes).unwrap_err();
                    differences.insert(kind(&why), format!("{why}\nbytes {bytes:?}"));
                }
            }
        }
    }
    println!("{tally:?}");
    for text in differences.values() {
        eprintln!("{text}\n");
    }
    assert!(differences.is_empty(), "{} kinds of difference", differences.len());
}
