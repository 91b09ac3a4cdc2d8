//! What leads from one set of rules and objects to another, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rule::{AddressObject, Rule, RuleId};

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
    pub rule: Rule,
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
        old: (&[Rule], &BTreeMap<String, AddressObject>),
        new: (&[Rule], &BTreeMap<String, AddressObject>),
    ) -> Self {
        let before: BTreeMap<RuleId, usize> = old.0.iter().enumerate().map(|(at, rule)| (rule.id, at)).collect();
        let order: Vec<usize> = new.0.iter().filter_map(|rule| before.get(&rule.id).copied()).collect();
        let staying = longest_rise(&order);
        let placed = |rules: &[Rule], at: usize| rules.get(at).map(|rule| Placed { at, rule: rule.clone() });
        let mut rules = Vec::new();
        let mut kept = BTreeSet::new();
        for (at, rule) in new.0.iter().enumerate() {
            let known = before.get(&rule.id).copied();
            kept.extend(known);
            let moved = known.is_some_and(|known| !staying.contains(&known));
            if moved || known.and_then(|known| old.0.get(known)) != Some(rule) {
                let before = known.and_then(|known| placed(old.0, known));
                rules.push(RuleDelta { before, after: placed(new.0, at), moved });
            }
        }
        let gone = (0..old.0.len()).filter(|at| !kept.contains(at));
        rules.extend(gone.map(|at| RuleDelta { before: placed(old.0, at), after: None, moved: false }));
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
    pub fn apply(self, rules: &mut Vec<Rule>, objects: &mut BTreeMap<String, AddressObject>) -> Result<(), Misfit> {
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
        let old = std::mem::take(rules);
        let mut stay = old.into_iter().enumerate().filter(|(at, _)| !out.contains(at));
        let mut stay = std::iter::from_fn(|| stay.next().map(|(at, rule)| put.remove(&at).unwrap_or(rule)));
        into.sort_by_key(|placed| placed.at);
        for Placed { at, rule } in into {
            while rules.len() < at {
                rules.push(stay.next().ok_or(Misfit)?);
            }
            rules.push(rule);
        }
        rules.extend(stay);
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
