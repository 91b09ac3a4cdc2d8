//! What other service definitions would rename, as far as can be told from what hosts report.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{End, Mode, PolicySet, ServicePattern};
use crate::directory::{Directory, Endpoint, Host, Instance};
use crate::id::{HostId, ServiceKey, ServiceKind};
use crate::identity::Definition;
use crate::model::Phase;

/// What a change of definitions does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renaming {
    /// Services on hosts that get another name.
    pub renamed: Vec<Renamed>,
    /// Services on hosts that only processes decide from then on, by the names that they have without definitions.
    pub by_process: BTreeSet<(HostId, ServiceKey)>,
    /// Keys that would be nowhere any more, with what names them.
    pub lost: BTreeMap<ServiceKey, Lost>,
}

/// A service on a host that gets another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The host.
    pub host: HostId,
    /// Its key now.
    pub old: ServiceKey,
    /// Its key then; `None` where only its host knows what it is called without definitions.
    pub new: Option<ServiceKey>,
    /// Whether that is certain; else it depends on what only its host sees.
    pub certain: bool,
    /// Whether it has a process now.
    pub live: bool,
}

/// A key that would be nowhere any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Whether that is certain.
    pub certain: bool,
    /// Rules that mean it and nothing that it becomes, by name.
    pub rules: Vec<String>,
    /// Its model's phase.
    pub phase: Option<Phase>,
    /// Its own mode.
    pub mode: Option<Mode>,
}

/// What a service can be called: the names in the order of their definitions. All but the last depend on what is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    possible: Vec<ServiceKey>,
    /// Whether its control group does not decide it.
    by_process: bool,
}

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    Maybe,
    Yes,
}

/// Says what happens if the definitions of `policy` become `new`.
#[must_use]
pub fn renaming(policy: &PolicySet, new: &[Definition], directory: &Directory) -> Renaming {
    let mut out = Renaming::default();
    // keys with what becomes of them: whether some of it certainly or maybe keeps the name, and what else it can become
    let mut fates: BTreeMap<ServiceKey, (Holds, BTreeSet<ServiceKey>)> = BTreeMap::new();
    for (id, host) in directory.hosts() {
        let old: Vec<&Definition> = of_host(&policy.definitions, host);
        let new: Vec<&Definition> = of_host(new, host);
        for (key, instance) in host.instances.iter().filter(|(key, _)| key.is_named()) {
            let fate = fates.entry(key.clone()).or_insert((Holds::No, BTreeSet::new()));
            let mut add = |new: Option<ServiceKey>, certain| {
                fate.1.extend(new.clone());
                out.renamed.push(Renamed { host: id.clone(), old: key.clone(), new, certain, live: instance.live });
            };
            let naturals = naturals(key, instance);
            if naturals.is_empty() {
                // which process it is only its host knows
                match (old == new, new.iter().any(|definition| definition.key() == *key)) {
                    (true, _) => fate.0 = Holds::Yes,
                    (false, true) if same_until(&old, &new, key) => fate.0 = Holds::Yes,
                    (false, true) => fate.0 = fate.0.max(Holds::Maybe),
                    (false, false) => add(None, true),
                }
                continue;
            }
            let alone = naturals.len() == 1;
            for natural in naturals {
                let (before, after) = (names(&old, natural, instance, alone), names(&new, natural, instance, alone));
                if before == after {
                    fate.0 = Holds::Yes;
                    continue;
                }
                if after.by_process && !before.by_process {
                    out.by_process.insert((id.clone(), natural.clone()));
                }
                let certain = after.possible.len() == 1;
                if after.possible.contains(key) {
                    fate.0 = fate.0.max(if certain { Holds::Yes } else { Holds::Maybe });
                }
                // what it could be called before is no news, unless nothing else is left
                let fresh = |name: &&ServiceKey| *name != key && !before.possible.contains(name);
                let none = !after.possible.contains(key) && !after.possible.iter().any(|name| fresh(&name));
                for name in after.possible.iter().filter(|name| none || fresh(name)) {
                    add(Some(name.clone()), certain);
                }
            }
        }
    }
    for (key, (keeps, becomes)) in fates {
        if keeps == Holds::Yes {
            continue;
        }
        let lost = Lost {
            certain: keeps == Holds::No,
            rules: rules_that_mean(policy, &key, &becomes),
            phase: policy.models.get(&key).map(|model| model.phase),
            mode: policy.service_modes.get(&key).copied(),
        };
        if !lost.rules.is_empty() || lost.phase.is_some() || lost.mode.is_some() {
            out.lost.insert(key, lost);
        }
    }
    out
}

fn of_host<'a>(definitions: &'a [Definition], host: &Host) -> Vec<&'a Definition> {
    definitions.iter().filter(|definition| host.labels.satisfy(&definition.labels)).collect()
}

/// What an instance is called without definitions; empty if only its host knows.
fn naturals<'a>(key: &'a ServiceKey, instance: &'a Instance) -> Vec<&'a ServiceKey> {
    if key.kind() == ServiceKind::Defined { instance.natural.iter().collect() } else { vec![key] }
}

/// Whether nothing changes for what the definition of `key` decides.
fn same_until(old: &[&Definition], new: &[&Definition], key: &ServiceKey) -> bool {
    let until = |all: &[&Definition]| all.iter().position(|definition| definition.key() == *key).map(|n| n + 1);
    until(old).zip(until(new)).is_some_and(|(a, b)| old[..a] == new[..b])
}

/// What a service can be called on a host with these definitions. `alone` says that the endpoints are its own and no other's too.
fn names(definitions: &[&Definition], natural: &ServiceKey, instance: &Instance, alone: bool) -> Names {
    let mut names = Names { possible: Vec::new(), by_process: false };
    let is_program = natural.kind() == ServiceKind::Program;
    for definition in definitions {
        let unit = match natural.kind() {
            ServiceKind::Unit if definition.fits_unit(Some(natural.name())) => Holds::Yes,
            _ if definition.fits_unit(None) => Holds::Yes,
            // in which scope it runs only its host knows
            ServiceKind::Program if definition.may_mean_programs() => Holds::Maybe,
            _ => Holds::No,
        };
        let ports = ports(definition, &instance.endpoints, alone);
        let program = match natural.as_str().strip_prefix("exe:") {
            _ if definition.executables.is_empty() => Holds::Yes,
            Some(path) if definition.fits_program(path, natural) => Holds::Yes,
            Some(_) => Holds::No,
            None => Holds::Maybe,
        };
        let seen =
            if definition.command_lines.is_empty() && definition.users.is_empty() { Holds::Yes } else { Holds::Maybe };
        let holds = unit.min(ports).min(program).min(seen);
        if holds == Holds::No {
            continue;
        }
        names.possible.push(definition.key());
        names.by_process |= !is_program && definition.asks_for_a_process();
        if holds == Holds::Yes {
            return names;
        }
    }
    names.possible.push(natural.clone());
    names
}

fn ports(definition: &Definition, endpoints: &BTreeSet<Endpoint>, alone: bool) -> Holds {
    if !definition.asks_for_ports() {
        return Holds::Yes;
    }
    let listens = endpoints.iter().any(|endpoint| definition.names_port(endpoint.protocol, endpoint.port));
    match (listens, alone) {
        (false, _) => Holds::No,
        (true, true) => Holds::Yes,
        (true, false) => Holds::Maybe,
    }
}

/// Rules with an end that means `key`, but not all that it becomes.
fn rules_that_mean(policy: &PolicySet, key: &ServiceKey, becomes: &BTreeSet<ServiceKey>) -> Vec<String> {
    let means = |pattern: &ServicePattern| {
        pattern.matches(key) && (becomes.is_empty() || !becomes.iter().all(|new| pattern.matches(new)))
    };
    let named = |end: &End| matches!(end, End::Service { pattern, .. } if means(pattern));
    let rules = policy.rules.iter().filter(|rule| named(&rule.source) || named(&rule.destination));
    rules.map(|rule| rule.name.clone()).collect()
}
