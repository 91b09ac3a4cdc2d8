//! Who was not let in, for the record: the first of a minute from each place at once, those that follow as one entry with their number. So somebody
//! who tries for hours neither fills the record nor stays out of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cnnf_core::time::Timestamp;
use cnnf_store::Audit;
use serde_json::json;

use super::attempts::place;

/// Places and kinds that have entries of their own at most; all beyond have one together.
const MAX_PLACES: usize = 32;
/// Names that an entry has at most,
const MAX_NAMES: usize = 5;
/// and letters of each.
const MAX_NAME: usize = 64;

/// What was refused since the record was told last.
#[derive(Default)]
pub(crate) struct Refusals {
    /// By kind and place; no place for all that are beyond [`MAX_PLACES`].
    folded: BTreeMap<(&'static str, Option<IpAddr>), Folded>,
}

#[derive(Default)]
struct Folded {
    /// Besides the first.
    times: u64,
    names: Vec<String>,
    why: String,
}

impl Refusals {
    /// Notes that somebody who called themselves `name` was refused; an entry if it is to be recorded now.
    pub(crate) fn note(
        &mut self,
        kind: &'static str,
        from: IpAddr,
        name: &str,
        why: &str,
        at: Timestamp,
    ) -> Option<Audit> {
        let name: String = name.escape_debug().take(MAX_NAME).collect();
        let mut key = (kind, Some(place(from)));
        let first = !self.folded.contains_key(&key);
        if first && self.folded.len() < MAX_PLACES {
            self.folded.insert(key, Folded::default());
            return Some(entry(kind, &from.to_string(), &name, &json!({"why": why}), at));
        }
        if first {
            key.1 = None;
        }
        let folded = self.folded.entry(key).or_default();
        folded.times += 1;
        why.clone_into(&mut folded.why);
        if folded.names.len() < MAX_NAMES && !folded.names.contains(&name) {
            folded.names.push(name);
        }
        None
    }

    /// What was folded; from here on it begins anew.
    pub(crate) fn take(&mut self, at: Timestamp) -> Vec<Audit> {
        let folded = std::mem::take(&mut self.folded).into_iter().filter(|(_, folded)| folded.times > 0);
        folded
            .map(|((kind, from), Folded { times, names, why })| {
                let from = from.map(|from| from.to_string()).unwrap_or_default();
                entry(kind, &from, "", &json!({"times": times, "names": names, "why": why}), at)
            })
            .collect()
    }
}

/// Nobody has done it: nobody was let in.
fn entry(kind: &str, address: &str, name: &str, after: &serde_json::Value, at: Timestamp) -> Audit {
    Audit {
        at,
        address: address.to_owned(),
        action: kind.to_owned(),
        subject: name.to_owned(),
        after: after.to_string(),
        ..Audit::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "session.refused";

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        let mut refusals = Refusals::default();
        let first = refusals.note(KIND, ip(1), "ann", "wrong", Timestamp(1)).expect("at once");
        assert_eq!((first.subject.as_str(), first.address.as_str()), ("ann", "10.0.0.1"));
        for n in 0..100 {
            assert_eq!(refusals.note(KIND, ip(1), &format!("u{n}"), "wrong", Timestamp(2)), None);
        }
        assert!(refusals.note(KIND, ip(2), "bob", "wrong", Timestamp(2)).is_some(), "another place");
        assert!(refusals.note("host.refused", ip(1), "web", "expired", Timestamp(2)).is_some(), "another kind");
        let rest = refusals.take(Timestamp(3));
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert!(
            rest[0].after.contains("\"times\":100") && rest[0].after.contains("u4") && !rest[0].after.contains("u5")
        );
        assert!(refusals.take(Timestamp(4)).is_empty());
        assert!(refusals.note(KIND, ip(1), "ann", "wrong", Timestamp(5)).is_some(), "anew");
    }

    #[test]
    fn many_places_and_long_names_take_few_and_short_entries() {
        let mut refusals = Refusals::default();
        let told = (0..10_000).filter(|n| {
            let name = "\u{1b}[31m".repeat(10_000);
            refusals.note(KIND, ip(*n), &name, "wrong", Timestamp(1)).is_some_and(|one| one.subject.len() <= MAX_NAME)
        });
        assert_eq!(told.count(), MAX_PLACES);
        let rest = refusals.take(Timestamp(2));
        assert_eq!(rest.len(), 1);
        assert!(rest[0].after.contains(&format!("\"times\":{}", 10_000 - MAX_PLACES)) && rest[0].address.is_empty());
        assert!(rest[0].after.len() < 300, "{}", rest[0].after);
    }
}
