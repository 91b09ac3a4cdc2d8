//! Sets of rules, by their places in the order.

use std::collections::BTreeMap;

/// A sparse set of places: a bit for each block of 64 that has members, and these blocks. All of it lies together in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    /// The summary, a bit a block; for each of its words the number of blocks before it; the blocks.
    data: Box<[u64]>,
    /// Words of the summary.
    words: usize,
}

impl Set {
    /// From places in ascending order.
    pub(super) fn new(places: impl IntoIterator<Item = usize>) -> Self {
        let (mut summary, mut before, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for place in places {
            let (block, bit) = (place / 64, 1_u64 << (place % 64));
            if last == Some(block)
                && let Some(word) = blocks.last_mut()
            {
                *word |= bit;
                continue;
            }
            last = Some(block);
            while summary.len() <= block / 64 {
                before.push(blocks.len() as u64);
                summary.push(0_u64);
            }
            summary[block / 64] |= 1 << (block % 64);
            blocks.push(bit);
        }
        let words = summary.len();
        Self { data: summary.into_iter().chain(before).chain(blocks).collect(), words }
    }

    fn summary(&self, word: usize) -> u64 {
        if word < self.words { self.data[word] } else { 0 }
    }

    fn block(&self, block: usize) -> u64 {
        let (word, bit) = (block / 64, 1 << (block % 64));
        if self.summary(word) & bit == 0 {
            return 0;
        }
        let rank = self.data[self.words + word] + u64::from((self.data[word] & (bit - 1)).count_ones());
        self.data[2 * self.words + usize::try_from(rank).unwrap_or(usize::MAX)]
    }
}

/// The places that are in one of the sets of each group, in ascending order. Groups of no more than three sets.
pub(super) struct Common<'s> {
    groups: [[&'s Set; 3]; 3],
    words: usize,
    word: usize,
    /// Blocks of the current word of the summary that are still to be looked at.
    blocks: u64,
    block: usize,
    /// Places of the current block that are still to be given.
    places: u64,
}

impl<'s> Common<'s> {
    pub(super) fn new(groups: [[&'s Set; 3]; 3]) -> Self {
        let words = groups.map(|sets| sets.map(|set| set.words).into_iter().max().unwrap_or(0));
        Self { groups, words: words.into_iter().min().unwrap_or(0), word: 0, blocks: 0, block: 0, places: 0 }
    }

    fn common(&self, word: impl Fn(&Set) -> u64) -> u64 {
        self.groups.iter().fold(u64::MAX, |all, sets| all & sets.iter().fold(0, |any, set| any | word(set)))
    }
}

impl Iterator for Common<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            if self.places != 0 {
                let place = self.block * 64 + self.places.trailing_zeros() as usize;
                self.places &= self.places - 1;
                return Some(place);
            }
            if self.blocks != 0 {
                self.block = (self.word - 1) * 64 + self.blocks.trailing_zeros() as usize;
                self.blocks &= self.blocks - 1;
                self.places = self.common(|set| set.block(self.block));
                continue;
            }
            if self.word == self.words {
                return None;
            }
            self.blocks = self.common(|set| set.summary(self.word));
            self.word += 1;
        }
    }
}

/// How many members all sets of one [`Segments`] may have together. Beyond that there is one set for everything: slow, not large.
const MAX_MEMBERS: usize = 16_000_000;

/// What is said of ranges: for each key the set of those whose ranges have it.
#[derive(Clone, Debug)]
pub(super) struct Segments<K> {
    /// Where segments start.
    starts: Vec<K>,
    /// Of each segment.
    sets: Vec<Set>,
    /// Before the first.
    nothing: Set,
}

impl<K: Ord + Copy> Segments<K> {
    /// From ranges as (first, first after or none, place).
    pub(super) fn new(ranges: &[(K, Option<K>, usize)]) -> Self {
        let mut steps: BTreeMap<K, Vec<(usize, i32)>> = BTreeMap::new();
        for (low, after, place) in ranges {
            steps.entry(*low).or_default().push((*place, 1));
            if let Some(after) = after {
                steps.entry(*after).or_default().push((*place, -1));
            }
        }
        let mut segments = Self { starts: Vec::new(), sets: Vec::new(), nothing: Set::default() };
        let mut open: BTreeMap<usize, i32> = BTreeMap::new();
        let mut members = 0;
        for (start, steps) in steps {
            for (place, step) in steps {
                let count = open.entry(place).or_insert(0);
                *count += step;
                if *count == 0 {
                    open.remove(&place);
                }
            }
            members += open.len();
            if members > MAX_MEMBERS {
                return Self { starts: Vec::new(), sets: Vec::new(), nothing: Self::all(ranges) };
            }
            segments.starts.push(start);
            segments.sets.push(Set::new(open.keys().copied()));
        }
        segments
    }

    /// The number of the segment that has `key`; equal numbers have equal sets.
    pub(super) fn number(&self, key: K) -> usize {
        self.starts.partition_point(|start| *start <= key)
    }

    /// All sets in one.
    pub(super) fn all(ranges: &[(K, Option<K>, usize)]) -> Set {
        let mut all: Vec<usize> = ranges.iter().map(|(_, _, place)| *place).collect();
        all.sort_unstable();
        all.dedup();
        Set::new(all)
    }

    /// The set of those whose ranges have `key`.
    pub(super) fn at(&self, key: K) -> &Set {
        self.number(key).checked_sub(1).map_or(&self.nothing, |n| &self.sets[n])
    }
}
