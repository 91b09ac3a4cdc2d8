//! The stamp that the kernel keeps on every connection: 128 bits of conntrack label.

use std::ops::BitOr;

/// A service's number on one host, while its label may be on a live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Traffic without a local socket.
    pub const KERNEL: Self = Self(1);
    /// Traffic whose owner could not be found.
    pub const UNKNOWN: Self = Self(2);
    /// Traffic of a socket that several services hold.
    pub const AMBIGUOUS: Self = Self(3);
    /// The first number that is given to a service.
    pub const FIRST: u16 = 16;

    /// The slot of this number; `None` for 0.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its label word: the number and its complement. nft can only OR into a label, so a word that two services were written into has
    /// more than 16 bits set and is recognised.
    #[must_use]
    pub fn word(self) -> u32 {
        u32::from(self.0) | (u32::from(!self.0) << 16)
    }

    /// Reads a label word: `None` for 0 (nothing stamped), `AMBIGUOUS` for a mixture.
    #[must_use]
    pub fn from_word(word: u32) -> Option<Self> {
        let (low, high) = ((word & 0xffff) as u16, (word >> 16) as u16);
        if word == 0 {
            None
        } else if high == !low {
            Some(Self(low))
        } else {
            Some(Self::AMBIGUOUS)
        }
    }
}

/// Bits of a label's third word, of which the lower eight are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags;

impl Flags {
    /// Taken up mid-stream: nobody knows who opened it. Never learned from.
    pub const MIDSTREAM: u32 = 1;
    /// User space has decided who owns it.
    pub const RESOLVED: u32 = 2;
    /// An alert was given for it on the client's side.
    pub const ALERTED_OUT: u32 = 4;
    /// An alert was given for it on the server's side.
    pub const ALERTED_IN: u32 = 8;
    /// It was prevented on the client's side.
    pub const PREVENTED_OUT: u32 = 16;
    /// It was prevented on the server's side.
    pub const PREVENTED_IN: u32 = 32;
    /// It was counted for the rule that let it pass on the client's side.
    pub const COUNTED_OUT: u32 = 64;
    /// It was counted for the rule that let it pass on the server's side.
    pub const COUNTED_IN: u32 = 128;
}

/// A connection's label: client, server, flags, epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub [u32; 4]);

impl Label {
    /// The local client's slot.
    #[must_use]
    pub fn client(self) -> Option<Slot> {
        Slot::from_word(self.0[0])
    }

    /// The local server's slot.
    #[must_use]
    pub fn server(self) -> Option<Slot> {
        Slot::from_word(self.0[1])
    }

    /// Whether a [`Flags`] bit is set.
    #[must_use]
    pub fn has(self, flag: u32) -> bool {
        self.0[2] & flag != 0
    }
}

impl BitOr for Label {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] | other.0[n]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_of_two_slots_is_always_recognised() {
        let mut numbers = (1..=u16::MAX).step_by(257).chain([1, 2, 3, 16, 17, u16::MAX]).collect::<Vec<_>>();
        numbers.dedup();
        for a in &numbers {
            for b in &numbers {
                let mixed = Slot::from_word(Slot(*a).word() | Slot(*b).word());
                assert_eq!(mixed, Some(if a == b { Slot(*a) } else { Slot::AMBIGUOUS }), "{a} | {b}");
            }
        }
        assert_eq!(Slot::from_word(0), None);
    }
}
