//! How large a table may be. A kernel takes more, but takes long for it, and nobody means a policy of that size.

use super::{Ruleset, Set};

/// Rules of all chains.
pub const RULES_MAX: usize = 200_000;
/// Elements of all sets and maps: a million endpoints, for rules on both ways.
pub const ELEMENTS_MAX: usize = 2_000_000;

impl Ruleset {
    /// What of it is too large, in words for whoever wrote the policy; `None` if nothing is.
    #[must_use]
    pub fn excess(&self) -> Option<String> {
        let rules: usize = self.chains.values().map(|chain| chain.rules.len()).sum();
        let elements: usize = self.sets.values().map(Set::len).sum();
        [(rules, RULES_MAX, "rules"), (elements, ELEMENTS_MAX, "addresses and ports")]
            .into_iter()
            .find(|(number, most, _)| number > most)
            .map(|(number, most, what)| {
                format!("the policy comes to {number} {what} on this host, {most} are the most")
            })
    }
}

impl Set {
    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Addresses(_, ranges) => ranges.len(),
            Self::Endpoints(_, endpoints) => endpoints.len(),
            Self::Ports(ports) => ports.len(),
            Self::Cgroups(map) => map.len(),
            Self::Dispatch(map) => map.len(),
            Self::Pending(_) | Self::Flows(_) => 0,
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::{Chain, Rule};

    #[test]
    fn what_is_too_large_is_said_with_its_size() {
        let rule = || Rule { matches: Vec::new(), actions: Vec::new(), comment: String::new() };
        let mut table = Ruleset::default();
        table.sets.insert("g".into(), Set::Cgroups((0..10).map(|id| (id, 1)).collect()));
        table.chains.insert("a".into(), Chain { base: None, rules: vec![rule(); RULES_MAX] });
        assert_eq!(table.excess(), None);
        table.chains.insert("b".into(), Chain { base: None, rules: vec![rule()] });
        assert_eq!(
            table.excess().as_deref(),
            Some("the policy comes to 200001 rules on this host, 200000 are the most")
        );
    }
}
