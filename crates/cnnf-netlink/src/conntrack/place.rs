//! Where a label's parts lie in conntrack's 128 bits.
//!
//! A [label](Labels) here has three whole words and eight bits of word 2; the other 24 bits are whoever else's, and are neither read nor written.
//! Which 24 those are can be chosen. The table, the answers of queues and conntrack's netlink have to agree on it, so it is one for the
//! process, and is chosen before any of them is used.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Labels;

/// Those of word 2 that are ours.
const OF_WORD_2: u32 = 0xff;
/// How far they are shifted up where the bits below them are others'.
const UP: u32 = 24;

static FIRST_FREE: AtomicU8 = AtomicU8::new(Place::USUAL);

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the kernel's words has word 2; the others follow in a circle.
    at: usize,
    /// Where in it the eight bits begin.
    shift: u32,
}

impl Place {
    /// The first bit that is others' unless another is chosen.
    pub const USUAL: u8 = 72;
    /// How many bits are others' from the first one on.
    pub const FREE: u8 = 24;

    /// The place that leaves the 24 bits from `first` on to others. `None` unless they are the upper or lower ones of a word: 0, 8, 32, 40, 64, 72, 96
    /// or 104.
    #[must_use]
    pub fn leaving(first: u8) -> Option<Self> {
        let shift = match first % 32 {
            0 => UP,
            8 => 0,
            _ => return None,
        };
        (first < 128).then_some(Self { at: usize::from(first / 32), shift })
    }

    /// The one in force.
    #[must_use]
    pub fn current() -> Self {
        Self::leaving(FIRST_FREE.load(Ordering::Relaxed)).unwrap_or(Self { at: 2, shift: 0 })
    }

    /// Puts it in force, for the whole process.
    pub fn choose(self) {
        let first = self.at as u8 * 32 + if self.shift == 0 { 8 } else { 0 };
        FIRST_FREE.store(first, Ordering::Relaxed);
    }

    /// Which of the kernel's words has this word of a label.
    #[must_use]
    pub fn word(self, word: u8) -> u8 {
        ((usize::from(word) + 2 + self.at) % 4) as u8
    }

    /// Bits of a word as they lie in the kernel's.
    #[must_use]
    pub fn bits(self, word: u8, bits: u32) -> u32 {
        if word == 2 { (bits & OF_WORD_2) << self.shift } else { bits }
    }

    /// A label as it lies in the kernel's words; others' bits are 0.
    #[must_use]
    pub fn to_kernel(self, label: Labels) -> Labels {
        let mut words = Labels::default();
        for (n, bits) in (0..).zip(label) {
            words[usize::from(self.word(n))] = self.bits(n, bits);
        }
        words
    }

    /// The label in the kernel's words.
    #[must_use]
    pub fn from_kernel(self, words: Labels) -> Labels {
        let mut label: Labels = std::array::from_fn(|n| words[usize::from(self.word(n as u8))]);
        label[2] = label[2] >> self.shift & OF_WORD_2;
        label
    }

    /// Others' bits in the kernel's words.
    #[must_use]
    pub fn others(self, words: Labels) -> Labels {
        let ours = self.to_kernel([u32::MAX; 4]);
        std::array::from_fn(|n| words[n] & !ours[n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_leaves_its_bits_alone_and_reads_what_it_writes() {
        let all: Vec<u8> = (0..=u8::MAX).filter(|first| Place::leaving(*first).is_some()).collect();
        assert_eq!(all, [0, 8, 32, 40, 64, 72, 96, 104]);
        for first in all {
            let place = Place::leaving(first).expect("one");
            let label = [0x1234_5678, 0x9abc_def0, 0xa5, 0x0f0f_0f0f];
            let words = place.to_kernel(label);
            let free: u128 = ((1 << Place::FREE) - 1) << first;
            let number = |words: Labels| words.iter().rev().fold(0_u128, |all, word| all << 32 | u128::from(*word));
            assert_eq!(number(words) & free, 0);
            assert_eq!(number(place.to_kernel([u32::MAX; 4])), !free);
            let mut with_others = words;
            with_others[usize::from(first / 32)] |= 0xff_ffff << (first % 32);
            assert_eq!(place.from_kernel(with_others), label, "{first}");
            assert_eq!(number(place.others(with_others)), free);
            for n in 0..4 {
                assert_eq!(words[usize::from(place.word(n))], place.bits(n, label[usize::from(n)]));
            }
        }
        assert_eq!(Place::leaving(Place::USUAL), Some(Place::current()));
        assert_eq!(Place::current().to_kernel([1, 2, 3, 4]), [1, 2, 3, 4]);
    }
}
