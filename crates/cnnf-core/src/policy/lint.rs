//! What is wrong with rules that are right by themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::Reason;
use super::index::Index;
use super::place::Places;
use super::rule::{Effect, End, PolicySet, Rule, RuleId, ServicePattern, words};
use super::simulate::Judge;
use crate::directory::Directory;
use crate::failsafe::Failsafes;
use crate::id::ServiceKey;
use crate::net::{AddrRange, ParseError, PortRange, Ports};
use crate::time::Timestamp;
use crate::topology::{Edge, Peer};
use std::fmt;
use std::str::FromStr;

words! {
    /// What is wrong with a rule.
    Fault {
        /// An earlier rule decides everything that it speaks of.
        Shadowed = "shadowed",
        /// It selects nothing that is there.
        Inert = "inert",
        /// It overlaps with an earlier rule of another effect, so that their order decides.
        Contradicting = "contradicting",
        /// It allows more than was seen.
        Wide = "wide",
        /// It has expired.
        Expired = "expired",
        /// Nobody answers for it.
        Ownerless = "ownerless",
    } default Shadowed
}

/// Something that is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: RuleId,
    /// Its name.
    pub name: String,
    /// What.
    pub fault: Fault,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
    /// The name of the other rule, where there is one.
    pub other: Option<String>,
}

/// Pairs of rules that are compared at most; a policy of glob against glob could have billions.
pub const MAX_PAIRS: usize = 20_000_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// In the order of the rules.
    pub all: Vec<Finding>,
    /// Whether not all pairs of rules were compared, as there were more than [`MAX_PAIRS`].
    pub cut_short: bool,
}

/// The time of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All that is remembered.
    Ever,
    /// A part of it.
    Part,
}

/// Looks for what is wrong. `seen` are the edges that were recorded in `span`: by them it is known what an allowing rule is used for.
#[must_use]
pub fn lint<'e>(
    policy: &PolicySet,
    directory: &Directory,
    failsafes: &Failsafes,
    seen: impl IntoIterator<Item = &'e Edge>,
    span: Span,
    now: Timestamp,
) -> Findings {
    let index = Index::new(policy, directory);
    let known: BTreeSet<&ServiceKey> =
        directory.hosts().flat_map(|(_, host)| host.instances.keys()).chain(policy.models.keys()).collect();
    let used = uses(policy, directory, &index, failsafes, seen, now);
    let mut findings = Findings::default();
    let mut pairs = 0;
    for (at, rule) in policy.rules.iter().enumerate().filter(|(_, rule)| rule.enabled) {
        let mut found = |fault, why: String, fix: String, other: Option<&Rule>| {
            let other = other.map(|other| other.name.clone());
            findings.all.push(Finding { rule: rule.id, name: rule.name.clone(), fault, why, fix, other });
        };
        if rule.expires_at.is_some_and(|end| end <= now) {
            let now_does = if rule.effect == Effect::Prevent { "only alerts" } else { "matches nothing" };
            found(
                Fault::Expired,
                format!("it has expired and {now_does}"),
                "delete it, or give it a new expiry".into(),
                None,
            );
        }
        if rule.owner.is_empty() {
            found(Fault::Ownerless, "nobody answers for it".into(), "give it an owner".into(), None);
        }
        if rule.effect_at(now).is_none() {
            continue;
        }
        if let Some((why, fix)) = inert(policy, directory, &known, rule) {
            found(Fault::Inert, why, fix, None);
        }
        let mut shadowed = false;
        for earlier in index.before(at).filter_map(|n| policy.rules.get(n)) {
            pairs += 1;
            if pairs > MAX_PAIRS {
                break;
            }
            if earlier.effect_at(now).is_none() {
                continue;
            }
            if covers(policy, earlier, rule) && lasts(earlier, rule) {
                let same = earlier.effect == rule.effect && earlier.learned_allow == rule.learned_allow;
                let (why, fix) = if same {
                    ("decides all of it already, to the same effect", "delete it")
                } else {
                    ("decides all of it already, to another effect", "move it before that rule, or delete it")
                };
                found(Fault::Shadowed, format!("rule '{}' {why}", earlier.name), fix.into(), Some(earlier));
                shadowed = true;
                break;
            }
        }
        if !shadowed {
            for earlier in index.before(at).filter_map(|n| policy.rules.get(n)) {
                pairs += 1;
                if pairs > MAX_PAIRS {
                    break;
                }
                let differs = earlier.effect_at(now).is_some_and(|effect| Some(effect) != rule.effect_at(now));
                // the earlier one as an exception from this one is how rules are meant to be written
                if differs && overlap(policy, &known, earlier, rule) && !covers(policy, rule, earlier) {
                    let why =
                        format!("it overlaps with rule '{}', which comes first and has another effect", earlier.name);
                    let fix = "say in one of them what is meant where they overlap";
                    found(Fault::Contradicting, why, fix.into(), Some(earlier));
                    break;
                }
            }
        }
        if !shadowed && rule.effect == Effect::Allow {
            for (why, fix) in wide(&known, rule, used.get(&rule.id), span) {
                found(Fault::Wide, why, fix, None);
            }
        }
    }
    findings.cut_short = pairs > MAX_PAIRS;
    findings
}

/// What was seen that a rule decides.
#[derive(Default)]
struct Use {
    clients: BTreeSet<Peer>,
    servers: BTreeSet<Peer>,
    ports: BTreeSet<PortRange>,
}

fn uses<'e>(
    policy: &PolicySet,
    directory: &Directory,
    index: &Index<'_>,
    failsafes: &Failsafes,
    seen: impl IntoIterator<Item = &'e Edge>,
    now: Timestamp,
) -> BTreeMap<RuleId, Use> {
    let mut places = Places::new(directory, &[policy], vec![index]);
    let judge = Judge { index, directory, failsafes, now };
    let mut uses: BTreeMap<RuleId, Use> = BTreeMap::new();
    for edge in seen {
        for connection in places.connections(edge, true) {
            if let Reason::Rule { id, .. } = judge.fate(&connection).reason {
                let used = uses.entry(id).or_default();
                used.clients.insert(edge.client.clone());
                used.servers.insert(edge.server.clone());
                used.ports.insert(edge.ports());
            }
        }
    }
    uses
}

/// Why a rule selects nothing.
fn inert(
    policy: &PolicySet,
    directory: &Directory,
    known: &BTreeSet<&ServiceKey>,
    rule: &Rule,
) -> Option<(String, String)> {
    for (side, end) in [("source", &rule.source), ("destination", &rule.destination)] {
        match end {
            End::Service { pattern, labels } => {
                if pattern.0.parse::<ServiceKey>().is_ok_and(|key| !key.is_named()) {
                    continue;
                }
                if !known.iter().any(|key| pattern.matches(key)) {
                    let fix = format!("correct its {side}: 'cnnfctl services list' shows what there is");
                    return Some((format!("no service is '{}'", pattern.0), fix));
                }
                if !labels.0.is_empty() {
                    let mut hosts = directory.hosts().map(|(_, host)| host).filter(|host| host.labels.satisfy(labels));
                    let runs = hosts.any(|host| host.instances.keys().any(|key| pattern.matches(key)));
                    if !runs {
                        let fix =
                            format!("correct the labels of its {side}: 'cnnfctl defenders list' shows the hosts'");
                        return Some((format!("no host with {labels} runs '{}'", pattern.0), fix));
                    }
                }
            }
            End::Object(name) if policy.objects.get(name).is_none_or(|object| object.addresses.is_empty()) => {
                return Some((format!("the object '{name}' has no address"), format!("correct its {side}")));
            }
            _ => {}
        }
    }
    if matches!(&rule.ports, Ports::Only(ranges) if ranges.is_empty()) {
        return Some(("it has no port".into(), "give it ports, or any".into()));
    }
    None
}

/// Whether everything that `inner` means is meant by `outer` too.
pub(super) fn covers(policy: &PolicySet, outer: &Rule, inner: &Rule) -> bool {
    let end = |outer: &End, inner: &End| match (outer, inner) {
        (End::Any, _) => true,
        (End::Service { pattern, labels }, End::Service { pattern: narrow, labels: scope }) => {
            // a star of the narrower pattern can only be matched by a star of the wider one, whatever it stands for
            let wider = pattern == narrow
                || (pattern.is_glob()
                    && narrow.0.parse().map_or(narrow.is_glob(), |key: ServiceKey| key.is_named())
                    && pattern.spans(narrow));
            wider && scope.satisfy(labels)
        }
        (outer, inner) => match (policy.addresses(outer), policy.addresses(inner)) {
            (Some(outer), Some(inner)) => {
                let outer = AddrRange::merge(outer.iter().copied());
                inner.iter().all(|range| outer.iter().any(|o| o.contains(range.low()) && o.contains(range.high())))
            }
            _ => false,
        },
    };
    let ports = match (&outer.ports, &inner.ports) {
        (Ports::Any, _) => true,
        (Ports::Only(_), Ports::Any) => false,
        (Ports::Only(outer), Ports::Only(inner)) => {
            inner.iter().all(|i| outer.iter().any(|o| o.protocol == i.protocol && o.low <= i.low && i.high <= o.high))
        }
    };
    ports && end(&outer.source, &inner.source) && end(&outer.destination, &inner.destination)
}

/// Whether `earlier` goes on matching for as long as `rule` does.
fn lasts(earlier: &Rule, rule: &Rule) -> bool {
    match (earlier.expires_at, rule.expires_at) {
        (None, _) => true,
        _ if earlier.effect == Effect::Prevent => true, // an alert from then on
        (Some(earlier), Some(end)) if rule.effect != Effect::Prevent => end <= earlier,
        _ => false,
    }
}

/// Whether there can be a connection that both rules mean, among the services that are known.
fn overlap(policy: &PolicySet, known: &BTreeSet<&ServiceKey>, a: &Rule, b: &Rule) -> bool {
    let end = |a: &End, b: &End| match (a, b) {
        (End::Any, _) | (_, End::Any) => true,
        (End::Service { pattern: p, labels: l }, End::Service { pattern: q, labels: m }) => {
            let labels = l.0.iter().all(|(key, value)| m.0.get(key).is_none_or(|other| other == value));
            labels && (p == q || meet(known, p, q))
        }
        (a, b) => match (policy.addresses(a), policy.addresses(b)) {
            (Some(a), Some(b)) => a.iter().any(|a| b.iter().any(|b| super::space::overlap(*a, *b).is_some())),
            // where a service is may change: not worth a finding
            _ => false,
        },
    };
    let ports = match (&a.ports, &b.ports) {
        (Ports::Any, _) | (_, Ports::Any) => true,
        (Ports::Only(a), Ports::Only(b)) => {
            a.iter().any(|a| b.iter().any(|b| a.protocol == b.protocol && a.low <= b.high && b.low <= a.high))
        }
    };
    ports && end(&a.source, &b.source) && end(&a.destination, &b.destination)
}

fn meet(known: &BTreeSet<&ServiceKey>, p: &ServicePattern, q: &ServicePattern) -> bool {
    match (p.is_glob(), q.is_glob()) {
        (false, false) => false, // they differ
        (true, false) => q.0.parse().is_ok_and(|key| p.matches(&key)),
        (false, true) => p.0.parse().is_ok_and(|key| q.matches(&key)),
        (true, true) => known.iter().any(|key| p.matches(key) && q.matches(key)),
    }
}

/// Where an allowing rule is wider than what it was seen to allow.
fn wide(known: &BTreeSet<&ServiceKey>, rule: &Rule, used: Option<&Use>, span: Span) -> Vec<(String, String)> {
    let Some(used) = used else {
        let why = match span {
            Span::Ever => "nothing that it allows was ever seen",
            Span::Part => "nothing that it allows was seen in that time",
        };
        let why = why.to_owned();
        return vec![(why, "delete it, or let it expire".to_owned())];
    };
    let mut all = Vec::new();
    let seen = Ports::only(used.ports.iter().copied());
    let is_wider = |range: &PortRange| range.protocol.has_ports() && range.high - range.low > 16;
    let wide_ports = match &rule.ports {
        Ports::Any => true,
        Ports::Only(ranges) => ranges.iter().any(is_wider),
    };
    if wide_ports && seen != rule.ports {
        all.push((format!("it allows {} and only {seen} was seen", rule.ports), format!("set its ports to {seen}")));
    }
    for (side, end, peers) in
        [("source", &rule.source, &used.clients), ("destination", &rule.destination, &used.servers)]
    {
        let few = || {
            let names: Vec<String> = peers.iter().take(5).map(ToString::to_string).collect();
            let more = if peers.len() > 5 { format!(" and {} more", peers.len() - 5) } else { String::new() };
            names.join(", ") + &more
        };
        match end {
            End::Any => {
                all.push((
                    format!("its {side} is any and only {} was seen", few()),
                    format!("name these in its {side}"),
                ));
            }
            End::Service { pattern, .. } if pattern.is_glob() => {
                let meant = known.iter().filter(|key| pattern.matches(key)).count();
                let services = peers.iter().filter(|peer| matches!(peer, Peer::Service(_))).count();
                if services < meant {
                    let why = format!("its {side} '{}' means {meant} services and only {} was seen", pattern.0, few());
                    all.push((why, format!("name these in its {side}")));
                }
            }
            _ => {}
        }
    }
    all
}
