//! What leads from one set of rules and objects to another, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::rule::{AddressObject, Rule, RuleId};
use super::rules::Rules;

/// The difference of two sets of rules and objects. Rules are the same by number, objects by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Delta {
    /// Rules that are new or different or elsewhere in the order, by their new place; then those that are gone, by their old one.
    pub rules: Vec<RuleDelta>,
    /// Objects that are new, different or gone, by name.
    pub objects: Vec<ObjectDelta>,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleDelta {
    /// As it was; `None` if it is new.
    pub before: Option<Placed>,
    /// As it is; `None` if it is gone.
    pub after: Option<Placed>,
    /// Whether it changed places with rules that stayed. The fewest rules that could have moved are said to have.
    pub moved: bool,
}

/// A rule and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Placed {
    /// Its place, from 0.
    pub at: usize,
    /// The rule.
    pub rule: Arc<Rule>,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ObjectDelta {
    /// As it was; `None` if it is new.
    pub before: Option<AddressObject>,
    /// As it is; `None` if it is gone.
    pub after: Option<AddressObject>,
}

/// A delta does not belong to what it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the change does not fit the rules that it is applied to")]
pub struct Misfit;

impl Delta {
    /// What leads from the `old` rules and objects to the `new` ones.
    #[must_use]
    pub fn between(
        old: (&Rules, &BTreeMap<String, AddressObject>),
        new: (&Rules, &BTreeMap<String, AddressObject>),
    ) -> Self {
        // what both begin and end with is in the same order, so only what lies between is looked at
        let (start, end) = old.0.common(new.0);
        let (were, are) = (old.0.shared(), new.0.shared());
        let (were, are) = (&were[..were.len() - end], &are[..are.len() - end]);
        let between = |rules| <[Arc<Rule>]>::iter(rules).enumerate().skip(start);
        let before: BTreeMap<RuleId, usize> = between(were).map(|(at, rule)| (rule.id, at)).collect();
        let order: Vec<usize> = between(are).filter_map(|(_, rule)| before.get(&rule.id).copied()).collect();
        let staying = longest_rise(&order);
        let placed = |rules: &[Arc<Rule>], at: usize| rules.get(at).map(|rule| Placed { at, rule: Arc::clone(rule) });
        let mut rules = Vec::new();
        let mut kept = BTreeSet::new();
        for (at, rule) in between(are) {
            let known = before.get(&rule.id).copied();
            kept.extend(known);
            let moved = known.is_some_and(|known| !staying.contains(&known));
            if moved || known.and_then(|known| were.get(known)) != Some(rule) {
                let before = known.and_then(|known| placed(were, known));
                rules.push(RuleDelta { before, after: placed(are, at), moved });
            }
        }
        let gone = (start..were.len()).filter(|at| !kept.contains(at));
        rules.extend(gone.map(|at| RuleDelta { before: placed(were, at), after: None, moved: false }));
        let names: BTreeSet<&String> = old.1.keys().chain(new.1.keys()).collect();
        let objects = names.into_iter().map(|name| (old.1.get(name), new.1.get(name)));
        let objects = objects.filter(|(before, after)| before != after);
        let objects = objects.map(|(before, after)| ObjectDelta { before: before.cloned(), after: after.cloned() });
        Self { rules, objects: objects.collect() }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.objects.is_empty()
    }

    /// What leads back.
    #[must_use]
    pub fn reversed(self) -> Self {
        let rule = |d: RuleDelta| RuleDelta { before: d.after, after: d.before, moved: d.moved };
        let object = |d: ObjectDelta| ObjectDelta { before: d.after, after: d.before };
        Self {
            rules: self.rules.into_iter().map(rule).collect(),
            objects: self.objects.into_iter().map(object).collect(),
        }
    }

    /// Makes the new rules and objects of the old ones.
    ///
    /// # Errors
    /// If these are not the old ones; then they are left in no defined state.
    pub fn apply(self, rules: &mut Rules, objects: &mut BTreeMap<String, AddressObject>) -> Result<(), Misfit> {
        let mut out = BTreeSet::new();
        let mut put = BTreeMap::new();
        let mut into = Vec::new();
        for RuleDelta { before, after, moved } in self.rules {
            if let Some(before) = &before
                && rules.get(before.at) != Some(&before.rule)
            {
                return Err(Misfit);
            }
            match (before, after) {
                (Some(before), Some(after)) if !moved => {
                    put.insert(before.at, after.rule);
                }
                (before, after) => {
                    out.extend(before.map(|before| before.at));
                    into.extend(after);
                }
            }
        }
        let mut stay = rules.shared().iter().enumerate().filter(|(at, _)| !out.contains(at));
        let mut stay =
            std::iter::from_fn(|| stay.next().map(|(at, rule)| put.remove(&at).unwrap_or_else(|| Arc::clone(rule))));
        into.sort_by_key(|placed| placed.at);
        let mut new: Vec<Arc<Rule>> = Vec::with_capacity(rules.len() + into.len());
        for Placed { at, rule } in into {
            while new.len() < at {
                new.push(stay.next().ok_or(Misfit)?);
            }
            new.push(rule);
        }
        new.extend(stay);
        *rules = new.into();
        for ObjectDelta { before, after } in self.objects {
            let name = before.as_ref().or(after.as_ref()).map(|object| object.name.clone()).ok_or(Misfit)?;
            if objects.remove(&name) != before {
                return Err(Misfit);
            }
            objects.extend(after.map(|object| (name, object)));
        }
        Ok(())
    }
}

impl fmt::Display for Delta {
    /// How much, such as `1 added, 2 changed, 1 object`; `nothing` if that is so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&RuleDelta) -> bool| self.rules.iter().filter(|delta| wanted(delta)).count();
        let objects = if self.objects.len() == 1 { "object" } else { "objects" };
        let parts = [
            (count(|d| d.before.is_none()), "added"),
            (count(|d| d.is_changed()), "changed"),
            (count(|d| d.moved && !d.is_changed()), "moved"),
            (count(|d| d.after.is_none()), "deleted"),
            (self.objects.len(), objects),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl RuleDelta {
    /// Whether the rule is an old one that says something else than before.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!((&self.before, &self.after), (Some(before), Some(after)) if before.rule != after.rule)
    }
}

/// The values of a longest subsequence of distinct `values` that rises (patience sorting).
fn longest_rise(values: &[usize]) -> BTreeSet<usize> {
    // for each length the index of the smallest value that a rise of it ends in
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(values.len());
    for (n, value) in values.iter().enumerate() {
        let length = ends.partition_point(|end| values[*end] < *value);
        previous.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(n);
        } else {
            ends[length] = n;
        }
    }
    std::iter::successors(ends.last().copied(), |n| previous[*n]).map(|n| values[n]).collect()
}
