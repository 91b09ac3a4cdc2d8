//! A large table: 1,000 rules, 200 services and 100,000 endpoints.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use cnnf_core::failsafe::Failsafes;
use cnnf_core::id::ServiceKey;
use cnnf_core::net::{AddrRange, Ports, Protocol};
use cnnf_core::policy::{
    Effect, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId,
    ServicePattern,
};
use cnnf_core::ruleset::{HostFacts, LocalService, QueueBackend, Slot};

use crate::Fallible;
use crate::lane::{CLIENT, SERVER};

pub(crate) const RULES: u32 = 1000;
pub(crate) const SERVICES: u16 = 200;
pub(crate) const ENDPOINTS: u32 = 100_000;
/// Queues and copies of the table.
pub(crate) const IDENTIFY: u16 = 6400;
const EVIDENCE: u16 = 6401;
const LOG_GROUP: u16 = 6400;
/// Ports that the benchmark uses; the last rule of the client's service allows them.
pub(crate) const PORTS: std::ops::Range<u16> = 9000..9100;

/// The keys of the services; the first is the client's, the second that of unknown programs.
fn key(n: u16) -> ServiceKey {
    ServiceKey::unit(&format!("service-{n}"))
}

/// Each service has as many rules, each rule a group of its own, and what the client does is allowed by the last of its rules.
pub(crate) fn policy() -> Fallible<HostPolicy> {
    let mut policy = HostPolicy { generation: 1, mode: Mode::Enforce, ..HostPolicy::default() };
    let each = ENDPOINTS / RULES;
    for n in 0..RULES {
        let service = u16::try_from(n % u32::from(SERVICES))?;
        let last = n + u32::from(SERVICES) >= RULES;
        let mut entries: BTreeSet<GroupEntry> = (n * each..(n + 1) * each)
            .map(|e| endpoint(Ipv4Addr::from(0x0b00_0000 + e), Protocol::Tcp, 1024 + (e % 1000) as u16))
            .collect();
        if last && service == 0 {
            let server = SERVER.parse()?;
            entries.extend(PORTS.map(|port| endpoint(server, Protocol::Tcp, port)));
            entries.extend(PORTS.map(|port| endpoint(server, Protocol::Udp, port)));
        }
        policy.groups.insert(GroupId(n + 1), entries.into_iter().collect());
        policy.egress.push(HostRule {
            reason: Reason::Rule { id: RuleId(u64::from(n) + 1), name: format!("rule {}", n + 1), revision: 1 },
            local: LocalMatch::Service(ServicePattern::of(&key(service))),
            peer: PeerMatch::Group(GroupId(n + 1)),
            ports: Ports::Any,
            effect: if last { Effect::Allow } else { [Effect::Prevent, Effect::Alert][usize::from(n % 2 == 0)] },
            on_failure: OnFailure::Open,
        });
    }
    Ok(policy)
}

/// The worst that a policy can be: all of the client's rules are tried before the one that allows what it does, each with a network and a range of
/// ports of its own, so that no set holds two of them.
pub(crate) fn long_chain() -> Fallible<HostPolicy> {
    let mut policy = HostPolicy { generation: 1, mode: Mode::Enforce, ..HostPolicy::default() };
    let ports = Ports::parse(&["tcp/20000-20100", "udp/20000-20100"]).map_err(|error| error.to_string())?;
    let (server, bench) = (AddrRange::single(SERVER.parse()?), format!("{}-{}", PORTS.start, PORTS.end));
    let allowed =
        Ports::parse(&[&format!("tcp/{bench}"), &format!("udp/{bench}")]).map_err(|error| error.to_string())?;
    for n in 0..RULES {
        let last = n + 1 == RULES;
        let addresses = if last { server } else { format!("12.{}.{}.0/24", n / 256, n % 256).parse()? };
        let entry = GroupEntry { addresses, own: false, port: None };
        policy.groups.insert(GroupId(n + 1), [entry].into_iter().collect());
        policy.egress.push(HostRule {
            reason: Reason::Rule { id: RuleId(u64::from(n) + 1), name: format!("rule {}", n + 1), revision: 1 },
            local: LocalMatch::Service(ServicePattern::of(&key(0))),
            peer: PeerMatch::Group(GroupId(n + 1)),
            ports: if last { allowed.clone() } else { ports.clone() },
            effect: if last { Effect::Allow } else { Effect::Prevent },
            on_failure: OnFailure::Open,
        });
    }
    Ok(policy)
}

fn endpoint(address: Ipv4Addr, protocol: Protocol, port: u16) -> GroupEntry {
    GroupEntry { addresses: AddrRange::single(address.into()), own: false, port: Some((protocol, port)) }
}

/// A host with these services, the first in the control group `cgroup`.
pub(crate) fn facts(cgroup: u64, levels: u8, queue: QueueBackend) -> Fallible<HostFacts> {
    let services = (0..SERVICES).map(|n| {
        let cgroups = BTreeSet::from([if n == 0 { cgroup } else { (1 << 40) + u64::from(n) }]);
        let slot = Slot::new(Slot::FIRST + n).ok_or("a slot")?;
        Ok(LocalService { key: key(n), slot, cgroups })
    });
    Ok(HostFacts {
        services: services.collect::<Fallible<_>>()?,
        cgroup_levels: levels.max(3),
        queue,
        failsafes: Failsafes::with_controller(7443),
        addresses: BTreeSet::from([CLIENT.parse()?]),
        udp_ports: BTreeSet::from([68]),
        epoch: 0,
        log_group: LOG_GROUP,
        identify_queue: IDENTIFY,
        identify_queues: 1,
        evidence_queue: EVIDENCE,
        counters: true,
    })
}

/// Which slot unknown programs get in this benchmark.
pub(crate) fn program_slot() -> Fallible<Slot> {
    Ok(Slot::new(Slot::FIRST + 1).ok_or("a slot")?)
}
