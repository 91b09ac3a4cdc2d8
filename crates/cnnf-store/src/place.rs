//! Where rules stand in their order: far apart, so that one that is put between two others changes no other's row.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::policy::{Delta, RuleId, Rules};
use rusqlite::{Connection, OptionalExtension as _};

use crate::StoreError;
use crate::column::count;

/// How far rules that come after one another are apart at first: two dozen can be put between the same two before all are placed anew, and so can
/// a hundred million rules be.
const APART: i64 = 1 << 24;

/// The places of rules that are new or moved in `order`; of all rules, if there is no room between others.
pub(crate) fn assign(
    connection: &Connection,
    order: &Rules,
    delta: &Delta,
) -> Result<BTreeMap<RuleId, i64>, StoreError> {
    let homeless = delta.rules.iter().filter(|one| one.before.is_none() || one.moved);
    let homeless: BTreeSet<usize> = homeless.filter_map(|one| one.after.as_ref()).map(|placed| placed.at).collect();
    let mut place_of = connection.prepare_cached("SELECT position FROM rules WHERE id = ?1")?;
    let mut find = |at: Option<usize>| -> Result<Option<i64>, StoreError> {
        let Some(rule) = at.and_then(|at| order.get(at)) else { return Ok(None) };
        Ok(place_of.query_row([count(rule.id.0)], |row| row.get(0)).optional()?)
    };
    let mut places = BTreeMap::new();
    let mut left = homeless.iter().copied().peekable();
    while let Some(first) = left.next() {
        let mut last = first;
        while left.next_if_eq(&(last + 1)).is_some() {
            last += 1;
        }
        let (low, high) = (find(first.checked_sub(1))?, find(Some(last + 1))?);
        let many = i64::try_from(last - first + 1).unwrap_or(i64::MAX);
        let (start, step) = match (low, high) {
            (Some(low), Some(high)) => (low, (high - low) / many.saturating_add(1)),
            (None, Some(high)) => (high.saturating_sub(many.saturating_add(1).saturating_mul(APART)), APART),
            (low, None) => (low.unwrap_or(0), APART),
        };
        if step == 0 {
            return Ok(order.iter().map(|rule| rule.id).zip((1..).map(|n| n * APART)).collect());
        }
        let run = order.iter().skip(first).map(|rule| rule.id).zip((1..=many).map(|n| start + n * step));
        places.extend(run);
    }
    Ok(places)
}
