//! Fuzzing on a stable compiler: every file of a corpus and then a bounded number of mutations of them, by a seeded generator.
//!
//! `FUZZ_ROUNDS` says how many mutations (50,000), `FUZZ_SEED` where the generator begins (1): a run can be repeated. An input that makes the
//! target panic is written into the corpus as `crash-…`: from then on it is tried in every run. Used by tests with `#[path]`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Inputs do not grow beyond this.
const LONGEST: usize = 8 << 10;

/// Xorshift64* (Marsaglia, Vigna).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }
}

/// What the environment says, or else what is usual.
pub(crate) fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs `target` over the corpus in `folder` of the crate and over mutations of it.
#[allow(dead_code, reason = "one of both is used where targets differ in what a round takes")]
pub(crate) fn fuzz(folder: &str, target: impl Fn(&[u8])) {
    run(folder, number("FUZZ_ROUNDS", 50_000), Duration::MAX, target);
}

/// As [`fuzz`], for a time instead of a number of rounds, which it says.
#[allow(dead_code, reason = "as above")]
pub(crate) fn fuzz_for(folder: &str, time: Duration, target: impl Fn(&[u8])) -> u64 {
    run(folder, u64::MAX, time, target)
}

fn run(folder: &str, rounds: u64, time: Duration, target: impl Fn(&[u8])) -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).expect("a corpus's file")).collect();
    assert!(!corpus.is_empty(), "an empty corpus");
    for (path, input) in files.iter().zip(&corpus) {
        tried(&target, input, &folder, &path.display().to_string());
    }
    let (seed, begin) = (number("FUZZ_SEED", 1), Instant::now());
    let mut random = Random::new(seed);
    for round in 0..rounds {
        if begin.elapsed() >= time {
            return round;
        }
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut random, &mut input, &corpus);
        }
        input.truncate(LONGEST);
        tried(&target, &input, &folder, &format!("round {round} of seed {seed}"));
    }
    rounds
}

fn tried(target: &impl Fn(&[u8]), input: &[u8], folder: &Path, what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let sum = input.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let kept = folder.join(format!("crash-{sum:08x}"));
        let _ = fs::write(&kept, input);
        eprintln!("{what}: kept as {}", kept.display());
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn mutate(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.below(input.len());
    match random.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        // lengths and counts: those of netlink lie at multiples of four, in either byte order
        2 => {
            let lengths = [0, 1, 3, 4, 5, 8, 15, 16, 17, 0x7fff, 0x8000, 0xffff, input.len() as u16];
            let value = lengths[random.below(lengths.len())];
            write(input, at & !1, &if random.below(2) == 0 { value.to_le_bytes() } else { value.to_be_bytes() });
        }
        3 => {
            let lengths =
                [0, 1, 15, 16, 17, 0x7fff_ffff, 0x8000_0000, u32::MAX, input.len() as u32, input.len() as u32 + 1];
            let value = lengths[random.below(lengths.len())];
            write(input, at & !3, &if random.below(2) == 0 { value.to_le_bytes() } else { value.to_be_bytes() });
        }
        4 => input.truncate(at),
        5 => {
            let end = (at + 1 + random.below(16)).min(input.len());
            input.drain(at.min(end)..end);
        }
        6 => {
            let byte = random.next() as u8;
            input.splice(at..at, std::iter::repeat_n(byte, 1 + random.below(16)));
        }
        7 => {
            let end = (at + 1 + random.below(64)).min(input.len());
            let again = input[at.min(end)..end].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, again);
        }
        _ => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

fn write(input: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = input.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
