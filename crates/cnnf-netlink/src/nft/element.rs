//! Elements of sets and maps.
//!
//! They are encoded here and not by libnftnl, which takes one heap object and three calls an
//! element: there can be a hundred thousand in a batch.

use std::time::Duration;

use super::abi;
use super::expr::{Verdict, name_fault, value_fault};
use crate::attr::Writer;

/// What an element carries besides its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: an element of a set.
    None,
    /// A map's value.
    Bytes(Vec<u8>),
    /// A verdict map's verdict.
    Verdict(Verdict),
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The key's bytes, as long as the set's layout says.
    pub key: Vec<u8>,
    /// What the key maps to.
    pub value: Value,
    /// In an interval set: the first key that is no longer in the range.
    pub interval_end: bool,
    /// How long it lives, in whole milliseconds; `None` for ever.
    pub timeout: Option<Duration>,
}

impl Element {
    /// An element of a set.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: Value::None, interval_end: false, timeout: None }
    }

    /// An element of a map.
    pub fn map(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { value: Value::Bytes(value.into()), ..Self::key(key) }
    }

    /// An element of a verdict map.
    pub fn vmap(key: impl Into<Vec<u8>>, verdict: Verdict) -> Self {
        Self { value: Value::Verdict(verdict), ..Self::key(key) }
    }

    /// The same with a timeout; the set must allow it.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// A range `first..=last` of an interval set, as the two elements that the kernel wants: its
    /// start, with the value, and the key behind its end. A range up to the highest key has no end.
    /// Ranges of one set must not overlap.
    pub fn range(first: impl Into<Vec<u8>>, last: impl Into<Vec<u8>>, value: Value) -> Vec<Self> {
        let mut behind = last.into();
        let mut carry = true;
        for byte in behind.iter_mut().rev() {
            (*byte, carry) = byte.overflowing_add(u8::from(carry));
        }
        let mut out = vec![Self { value, ..Self::key(first) }];
        if !carry {
            out.push(Self { interval_end: true, ..Self::key(behind) });
        }
        out
    }

    pub(super) fn fault(&self) -> Option<String> {
        value_fault(&self.key).or_else(|| match &self.value {
            Value::None => None,
            Value::Bytes(b) => value_fault(b),
            Value::Verdict(v) => v.chain().and_then(|c| name_fault("chain", c)),
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.nest(abi::NFTA_LIST_ELEM, |w| {
            if self.interval_end {
                w.be32(abi::NFTA_SET_ELEM_FLAGS, abi::NFT_SET_ELEM_INTERVAL_END);
            }
            if let Some(t) = self.timeout {
                let ms = u64::try_from(t.as_millis()).unwrap_or(u64::MAX);
                w.attr(abi::NFTA_SET_ELEM_TIMEOUT, &ms.to_be_bytes());
            }
            w.nest(abi::NFTA_SET_ELEM_KEY, |w| {
                w.attr(abi::NFTA_DATA_VALUE, &self.key);
            });
            match &self.value {
                Value::None => {}
                Value::Bytes(b) => {
                    w.nest(abi::NFTA_SET_ELEM_DATA, |w| {
                        w.attr(abi::NFTA_DATA_VALUE, b);
                    });
                }
                Value::Verdict(v) => {
                    w.nest(abi::NFTA_SET_ELEM_DATA, |w| write_verdict(w, v));
                }
            }
        });
    }
}

fn write_verdict(w: &mut Writer, verdict: &Verdict) {
    w.nest(abi::NFTA_DATA_VERDICT, |w| {
        w.attr(abi::NFTA_VERDICT_CODE, &verdict.code().to_be_bytes());
        if let Some(chain) = verdict.chain() {
            w.strz(abi::NFTA_VERDICT_CHAIN, chain);
        }
    });
}
