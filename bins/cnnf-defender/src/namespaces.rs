//! What is said of the other network namespaces of this host, whose connections no table of ours judges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cnnf_core::directory::Endpoint;
use cnnf_core::id::ServiceKey;
use cnnf_host::observe::namespaces::{Namespace, Namespaces};

/// Namespaces that are told of one by one, at most.
const TOLD_MAX: usize = 32;
/// Services that are named in one line, at most.
const NAMED_MAX: usize = 8;

/// Where services in a namespace that was entered listen, or why that is not known.
pub(crate) type Entered = Result<BTreeMap<ServiceKey, BTreeSet<Endpoint>>, String>;

/// What is not covered because of them, in words: a line for each that has an interface, and how many there are beside those.
pub(crate) fn words(found: &Namespaces, entered: &BTreeMap<u64, Entered>) -> Vec<String> {
    let (connected, alone): (Vec<&Namespace>, Vec<&Namespace>) =
        found.others.iter().partition(|namespace| namespace.is_connected);
    let mut all: Vec<String> = connected
        .iter()
        .take(TOLD_MAX)
        .map(|namespace| {
            let who = services(&namespace.services, namespace.more);
            let known = match entered.get(&namespace.id) {
                None => String::new(),
                Some(Ok(services)) => {
                    format!("; {} listening sockets are known", services.values().map(BTreeSet::len).sum::<usize>())
                }
                Some(Err(why)) => format!("; it cannot be entered: {why}"),
            };
            format!("network namespace {} of {who} ({} processes){known}", namespace.id, namespace.processes)
        })
        .collect();
    let more = connected.len().saturating_sub(TOLD_MAX) + found.more;
    if more > 0 {
        all.push(format!("{more} more network namespaces"));
    }
    if !alone.is_empty() {
        let names: BTreeSet<ServiceKey> = alone.iter().flat_map(|namespace| namespace.services.clone()).collect();
        let left: usize = alone.iter().map(|namespace| namespace.more).sum();
        all.push(format!(
            "loopback in {} network namespaces without another interface, of {}",
            alone.len(),
            services(&names, left)
        ));
    }
    if found.hidden > 0 {
        all.push(format!("maybe {} processes whose network namespace may not be read (CAP_SYS_PTRACE)", found.hidden));
    }
    all
}

/// `a, b and 3 more`. Names are other people's: what could move a terminal's cursor is written out.
fn services(keys: &BTreeSet<ServiceKey>, more: usize) -> String {
    let named: Vec<String> = keys.iter().take(NAMED_MAX).map(|key| printable(key.as_str())).collect();
    let mut text = if named.is_empty() { "nobody known".to_owned() } else { named.join(", ") };
    let more = more + keys.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(id: u64, services: &[&str], is_connected: bool) -> Namespace {
        let services = services.iter().map(|name| ServiceKey::container(name)).collect();
        Namespace { id, services, processes: 2, is_connected, ..Namespace::default() }
    }

    #[test]
    fn each_namespace_is_told_of_with_who_lives_there() {
        let names: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = Namespaces {
            others: vec![
                namespace(1, &["nginx:1.25"], true),
                namespace(2, &["a\u{1b}[2J"], true),
                namespace(3, &["x"], false),
                Namespace { more: 5, ..namespace(4, &names, true) },
                namespace(5, &["nginx:1.25"], false),
            ],
            more: 7,
            hidden: 3,
        };
        let endpoint = Endpoint { protocol: cnnf_core::net::Protocol::Tcp, address: None, port: 80 };
        let known = BTreeMap::from([(ServiceKey::container("nginx:1.25"), [endpoint].into())]);
        let entered = BTreeMap::from([(1, Ok(known)), (2, Err("not permitted".into()))]);
        assert_eq!(
            words(&found, &entered),
            [
                "network namespace 1 of container:nginx:1.25 (2 processes); 1 listening sockets are known",
                "network namespace 2 of container:a\\u{1b}[2J (2 processes); it cannot be entered: not permitted",
                "network namespace 4 of container:c0, container:c1, container:c2, container:c3, container:c4, container:c5, \
                 container:c6, container:c7 and 7 more (2 processes)",
                "7 more network namespaces",
                "loopback in 2 network namespaces without another interface, of container:nginx:1.25, container:x",
                "maybe 3 processes whose network namespace may not be read (CAP_SYS_PTRACE)",
            ]
        );
        assert!(words(&Namespaces::default(), &BTreeMap::new()).is_empty());
    }

    #[test]
    fn a_crowd_is_counted() {
        let others = (0..1000).map(|id| namespace(id, &["x"], true)).collect();
        let said = words(&Namespaces { others, ..Namespaces::default() }, &BTreeMap::new());
        assert_eq!((said.len(), said[TOLD_MAX].as_str()), (TOLD_MAX + 1, "968 more network namespaces"));
    }
}
