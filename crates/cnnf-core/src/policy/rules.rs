//! Rules in their order, shared: a policy of 100,000 is in memory once, whoever looks at it and whichever of them is changed.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::rule::{Rule, RuleId};

/// Rules in their order. A copy costs nothing, a change of one rule a list of pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Arc<Vec<Arc<Rule>>>);

impl Rules {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule at this place, from 0.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Rule> {
        self.0.get(at).map(AsRef::as_ref)
    }

    /// In order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// In order, to be changed: those that are shared are copied.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        Arc::make_mut(&mut self.0).iter_mut().map(Arc::make_mut)
    }

    /// In order, to be shared.
    #[must_use]
    pub fn shared(&self) -> &[Arc<Rule>] {
        &self.0
    }

    /// Puts a rule before the one at `at`, or at the end.
    pub fn insert(&mut self, at: usize, rule: impl Into<Arc<Rule>>) {
        let rules = Arc::make_mut(&mut self.0);
        rules.insert(at.min(rules.len()), rule.into());
    }

    /// Takes the rule at `at` out; `None` if there is none.
    pub fn remove(&mut self, at: usize) -> Option<Arc<Rule>> {
        (at < self.len()).then(|| Arc::make_mut(&mut self.0).remove(at))
    }

    /// How many rules both begin with, and how many both end with, that are the same in memory: where two policies of which one was made
    /// of the other can differ is between these.
    #[must_use]
    pub fn common(&self, other: &Self) -> (usize, usize) {
        let same = |(a, b): &(&Arc<Rule>, &Arc<Rule>)| Arc::ptr_eq(a, b);
        let start = self.0.iter().zip(other.0.iter()).take_while(same).count();
        let rest = self.len().min(other.len()) - start;
        let end = self.0.iter().rev().zip(other.0.iter().rev()).take(rest).take_while(same).count();
        (start, end)
    }

    /// Counts `revision` on every rule that `old` does not have like that, and keeps the number of those that it has. What is the same is shared
    /// with `old` from then on.
    pub fn stamp(&mut self, old: &Self, revision: u64) {
        let (start, end) = self.common(old);
        if start + end == self.len() {
            return;
        }
        let known: BTreeMap<RuleId, &Arc<Rule>> = old.0.iter().map(|rule| (rule.id, rule)).collect();
        let last = self.len() - end;
        for rule in &mut Arc::make_mut(&mut self.0)[start..last] {
            let before = known.get(&rule.id);
            if before.is_some_and(|before| Arc::ptr_eq(before, rule)) {
                continue;
            }
            if let Some(before) = before
                && before.means(rule)
            {
                *rule = Arc::clone(before);
            } else {
                Arc::make_mut(rule).revision = revision;
            }
        }
    }
}

impl Rule {
    /// Whether `other` says the same, whenever that was last changed.
    fn means(&self, other: &Self) -> bool {
        let Self {
            id,
            name,
            enabled,
            source,
            destination,
            ports,
            effect,
            on_failure,
            learned_allow,
            expires_at,
            owner,
            ticket,
            notes,
            revision: _,
        } = self;
        (id, name, enabled, source, destination, ports, effect)
            == (&other.id, &other.name, &other.enabled, &other.source, &other.destination, &other.ports, &other.effect)
            && (on_failure, learned_allow, expires_at, owner, ticket, notes)
                == (
                    &other.on_failure,
                    &other.learned_allow,
                    &other.expires_at,
                    &other.owner,
                    &other.ticket,
                    &other.notes,
                )
    }
}

impl Index<usize> for Rules {
    type Output = Rule;

    fn index(&self, at: usize) -> &Rule {
        &self.0[at]
    }
}

impl IndexMut<usize> for Rules {
    fn index_mut(&mut self, at: usize) -> &mut Rule {
        Arc::make_mut(&mut Arc::make_mut(&mut self.0)[at])
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        rules.into_iter().map(Arc::new).collect()
    }
}

impl FromIterator<Arc<Rule>> for Rules {
    fn from_iter<T: IntoIterator<Item = Arc<Rule>>>(rules: T) -> Self {
        Self(Arc::new(rules.into_iter().collect()))
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        rules.into_iter().collect()
    }
}

impl From<Vec<Arc<Rule>>> for Rules {
    fn from(rules: Vec<Arc<Rule>>) -> Self {
        Self(Arc::new(rules))
    }
}

impl<'a> IntoIterator for &'a Rules {
    type Item = &'a Rule;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// See [`Rules::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(std::slice::Iter<'a, Arc<Rule>>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Rule;

    fn next(&mut self) -> Option<&'a Rule> {
        self.0.next().map(AsRef::as_ref)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(AsRef::as_ref)
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Effect, End, ServicePattern};

    fn rule(id: u64) -> Rule {
        let end = End::Service { pattern: ServicePattern("unit:db".into()), labels: Default::default() };
        Rule { revision: 1, ..Rule::new(RuleId(id), format!("rule {id}"), End::Any, end, Effect::Alert) }
    }

    #[test]
    fn a_change_of_one_rule_copies_no_other() {
        let old: Rules = (1..=100).map(rule).collect();
        let mut new = old.clone();
        assert_eq!(new.common(&old), (100, 0));
        new.insert(40, rule(101));
        assert_eq!((new.common(&old), old.common(&new)), ((40, 60), (40, 60)));
        new.stamp(&old, 2);
        assert_eq!(new.iter().filter(|rule| rule.revision == 2).map(|rule| rule.id.0).collect::<Vec<_>>(), [101]);
        assert_eq!(new.remove(40).map(|rule| rule.id), Some(RuleId(101)));
        assert_eq!((new.common(&old), new == old), ((100, 0), true));
        assert_eq!(new.remove(100), None);
    }

    #[test]
    fn what_is_written_anew_and_says_the_same_is_shared_again() {
        let old: Rules = (1..=100).map(rule).collect();
        let mut new: Rules = (1..=100).map(|id| Rule { revision: 0, ..rule(id) }).collect();
        assert_eq!(new.common(&old), (0, 0));
        new.stamp(&old, 2);
        assert_eq!((new.common(&old), new.get(7).map(|rule| rule.revision)), ((100, 0), Some(1)));
        let mut new: Rules = (1..=100).map(|id| Rule { enabled: id != 50, ..rule(id) }).collect();
        new.stamp(&old, 2);
        assert_eq!((new.common(&old), new.get(49).map(|rule| rule.revision)), ((49, 50), Some(2)));
    }
}
