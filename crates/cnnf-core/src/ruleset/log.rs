//! What the kernel writes before a copy of a packet: which service, why, and what became of it.

use std::fmt;
use std::str::FromStr;

use crate::net::ParseError;
use crate::policy::{Effect, HostPolicy, Mode, Reason, RuleId, Vantage, fnv, words};

words! {
    /// What happened to a connection that is told of.
    Outcome {
        /// It passed.
        Alert = "alert",
        /// It passed, and would have been refused in mode enforce.
        Would = "would",
        /// It was refused.
        Prevent = "prevent",
    } default Alert
}

impl Outcome {
    /// What an effect comes to in a mode; `None` for what passes without a word.
    #[must_use]
    pub fn of(effect: Effect, mode: Mode) -> Option<Self> {
        match (effect, mode) {
            (Effect::Allow, _) => None,
            (Effect::Alert, _) => Some(Self::Alert),
            (Effect::Prevent, Mode::Observe) => Some(Self::Would),
            (Effect::Prevent, Mode::Enforce) => Some(Self::Prevent),
        }
    }
}

/// A reason, as short as a log prefix needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogReason {
    /// This rule.
    Rule(RuleId),
    /// The model of the service whose key has this FNV-1a sum.
    Model(u32),
}

impl LogReason {
    /// The short form of a reason that can alert or prevent.
    #[must_use]
    pub fn of(reason: &Reason) -> Option<Self> {
        match reason {
            Reason::Rule { id, .. } => Some(Self::Rule(*id)),
            Reason::Model(key) => Some(Self::Model(fnv(key.as_str().as_bytes()))),
            Reason::OtherSide | Reason::Default => None,
        }
    }
}

impl fmt::Display for LogReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(id) => write!(f, "r{}", id.0),
            Self::Model(sum) => write!(f, "m{sum:08x}"),
        }
    }
}

impl FromStr for LogReason {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = text.strip_prefix('r').and_then(|id| id.parse().ok()).map(|id| Self::Rule(RuleId(id)));
        let model = || text.strip_prefix('m').and_then(|sum| u32::from_str_radix(sum, 16).ok()).map(Self::Model);
        rule.or_else(model).ok_or_else(|| ParseError(format!("'{}' is no reason", text.escape_debug())))
    }
}

/// The prefix of a logged packet. Text form: `cnnf out 17 r12 alert`, at most 127 bytes (`NF_LOG_PREFIXLEN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPrefix {
    /// Which end is on this host: `out` for the client, `in` for the server.
    pub side: Vantage,
    /// The slot of the service at that end.
    pub slot: u16,
    /// Why.
    pub reason: LogReason,
    /// What happened.
    pub outcome: Outcome,
}

impl LogPrefix {
    /// The reason in full, found in the policy that the packet was judged by.
    #[must_use]
    pub fn full_reason<'a>(&self, policy: &'a HostPolicy) -> Option<&'a Reason> {
        let entries = match self.side {
            Vantage::Client => &policy.egress,
            Vantage::Server => &policy.ingress,
        };
        entries.iter().map(|entry| &entry.reason).find(|reason| LogReason::of(reason) == Some(self.reason))
    }
}

impl fmt::Display for LogPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Vantage::Client => "out",
            Vantage::Server => "in",
        };
        write!(f, "cnnf {side} {} {} {}", self.slot, self.reason, self.outcome)
    }
}

impl FromStr for LogPrefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = || ParseError(format!("'{}' is no prefix of cnnf's", text.escape_debug()));
        let words: Vec<&str> = text.split(' ').collect();
        let ["cnnf", side, slot, reason, outcome] = words[..] else { return Err(bad()) };
        let side = match side {
            "out" => Vantage::Client,
            "in" => Vantage::Server,
            _ => return Err(bad()),
        };
        let slot = slot.parse().map_err(|_| bad())?;
        Ok(Self { side, slot, reason: reason.parse()?, outcome: outcome.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_round_trip_and_fit() {
        for (side, reason, outcome, text) in [
            (Vantage::Client, LogReason::Rule(RuleId(12)), Outcome::Alert, "cnnf out 17 r12 alert"),
            (Vantage::Server, LogReason::Model(0xa9), Outcome::Would, "cnnf in 17 m000000a9 would"),
            (
                Vantage::Server,
                LogReason::Rule(RuleId(u64::MAX)),
                Outcome::Prevent,
                "cnnf in 17 r18446744073709551615 prevent",
            ),
        ] {
            let prefix = LogPrefix { side, slot: 17, reason, outcome };
            assert_eq!(prefix.to_string(), text);
            assert_eq!(text.parse(), Ok(prefix));
            assert!(text.len() <= 127);
        }
        for text in
            ["", "cnnf", "cnnf up 1 r1 alert", "cnnf out x r1 alert", "cnnf out 1 q1 alert", "cnnf out 1 r1 alert x"]
        {
            assert!(text.parse::<LogPrefix>().is_err(), "{text}");
        }
    }
}
