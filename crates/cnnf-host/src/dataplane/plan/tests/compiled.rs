//! Plans between tables that policies were compiled to.

use std::net::IpAddr;

use cnnf_core::failsafe::Failsafes;
use cnnf_core::id::ServiceKey;
use cnnf_core::net::Ports;
use cnnf_core::policy::{
    Effect, Group, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId,
    ServicePattern,
};
use cnnf_core::ruleset::{HostFacts, LocalService, QueueBackend, Slot, compile};
use proptest::collection::{btree_set, vec};
use proptest::sample::select;

use super::*;

const SERVICES: [&str; 3] = ["unit:web", "unit:pg@a", "exe:/usr/bin/curl"];
const PATTERNS: [&str; 5] = ["unit:web", "unit:*", "*", "exe:/usr/bin/curl", "unknown"];
const PORTS: [&str; 6] = ["any", "tcp/80", "tcp/79-81,80-90,443-5432", "udp/53 icmp", "sctp", "tcp/80 udp/53"];
const RANGES: [&str; 6] = ["10.0.0.0/24", "10.0.0.128-10.0.1.9", "0.0.0.0/0", "fd00::/64", "fd00::9", "10.0.0.7"];
const GROUPS: u32 = 3;

type Members = BTreeSet<GroupEntry>;

/// Members without ports: whatever they are, the group is one set a family.
fn addresses() -> impl Strategy<Value = BTreeSet<GroupEntry>> {
    let entry = (select(&RANGES[..]), any::<bool>()).prop_map(|(text, own)| GroupEntry {
        addresses: text.parse().expect("range"),
        own,
        port: None,
    });
    btree_set(entry, 0..4)
}

/// Exact endpoints of IPv4 on the ports that `ports` means.
fn endpoints(ports: &'static [u16]) -> impl Strategy<Value = BTreeSet<GroupEntry>> {
    let entry = (1_u8..200, select(ports)).prop_map(|(n, port)| GroupEntry {
        addresses: AddrRange::single(IpAddr::from([10, 0, 2, n])),
        own: false,
        port: Some((Protocol::Tcp, port)),
    });
    btree_set(entry, 1..9)
}

fn members() -> impl Strategy<Value = BTreeSet<GroupEntry>> {
    let ranged = addresses().prop_map(|set| {
        let on_port = |entry| GroupEntry { port: Some((Protocol::Udp, 53)), ..entry };
        set.into_iter().map(on_port).collect()
    });
    let parts = (addresses(), endpoints(&[80, 443]), ranged, 0_u8..8);
    parts.prop_map(|(addresses, endpoints, ranged, which): (_, _, BTreeSet<_>, _)| {
        let parts = [addresses, endpoints, ranged];
        (0..).zip(parts).filter(|(n, _)| which & (1 << n) != 0).flat_map(|(_, part)| part).collect()
    })
}

fn entry() -> impl Strategy<Value = HostRule> {
    let group = || (1..=GROUPS).prop_map(GroupId);
    let pattern = || select(&PATTERNS[..]).prop_map(|text| ServicePattern(text.into()));
    let local = prop_oneof![
        Just(LocalMatch::Any),
        pattern().prop_map(LocalMatch::Service),
        group().prop_map(LocalMatch::Addresses),
        (pattern(), group()).prop_map(|(pattern, group)| LocalMatch::ServiceAt(pattern, group)),
    ];
    let peer = prop_oneof![Just(PeerMatch::Any), group().prop_map(PeerMatch::Group)];
    let effect = select(&[Effect::Allow, Effect::Alert, Effect::Prevent][..]);
    (local, peer, select(&PORTS[..]), effect, 1_u64..9).prop_map(|(local, peer, ports, effect, id)| HostRule {
        reason: Reason::Rule { id: RuleId(id), name: format!("rule {id}"), revision: 1 },
        local,
        peer,
        ports: Ports::parse(&ports.split(' ').collect::<Vec<_>>()).expect("ports"),
        effect,
        on_failure: OnFailure::Open,
    })
}

prop_compose! {
    fn policy()(
        mode in select(&[Mode::Observe, Mode::Enforce][..]), egress in vec(entry(), 0..5), ingress in vec(entry(), 0..5),
        members in vec(members(), GROUPS as usize),
    ) -> HostPolicy {
        let groups = (1..).map(GroupId).zip(members.into_iter().map(Group::from_iter)).collect();
        HostPolicy { generation: 1, mode, egress, ingress, groups, ..HostPolicy::default() }
    }
}

prop_compose! {
    fn facts()(
        cgroups in btree_set(1_u64..9, 0..4), services in 0..=SERVICES.len(), epoch in 0_u8..3, levels in 1_u8..3,
        queue in select(&[QueueBackend::Native, QueueBackend::None][..]), host in 1_u8..3, udp in btree_set(53_u16..55, 0..2),
    ) -> HostFacts {
        let services = (0..).zip(&SERVICES[..services]).map(|(n, key)| LocalService {
            key: key.parse::<ServiceKey>().expect("key"),
            slot: Slot::new(Slot::FIRST + n).expect("slot"),
            cgroups: cgroups.iter().filter(|id| **id % 3 == u64::from(n)).copied().collect(),
        });
        HostFacts {
            services: services.collect(),
            cgroup_levels: levels,
            queue,
            failsafes: Failsafes::with_controller(7443),
            addresses: [IpAddr::from([10, 0, 0, host])].into(),
            udp_ports: udp,
            epoch,
            log_group: 7,
            identify_queue: 1,
            identify_queues: 2,
            evidence_queue: 2,
            counters: true,
        }
    }
}

fn by_elements_only(plan: &[Operation]) -> bool {
    plan.iter().all(|op| matches!(op, Operation::AddElements(..) | Operation::DeleteElements(..)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_leads_from_any_policy_to_any_other(a in (policy(), facts()), b in (policy(), facts())) {
        let [a, b] = [a, b].map(|(policy, facts)| compile(&policy, &facts));
        let mut fake = Fake::new(a.clone());
        let plan = plan(&a, &b);
        prop_assert!(keeps_bases(&a, &plan));
        let (ahead, rest) = ranges_ahead(plan);
        prop_assert_eq!(fake.apply(&ahead), Ok(()));
        prop_assert_eq!(fake.apply(&rest), Ok(()));
        prop_assert_eq!(fake.ruleset(), &b);
    }

    /// Groups that had members of a family and kind and have some still, be they addresses, endpoints or networks on a port or on ephemeral
    /// ones: no chain is touched, and no live connection judged again.
    #[test]
    fn other_members_are_only_elements(
        policy in policy(), facts in facts(),
        before in (endpoints(&[80]), vec((addresses(), addresses()), GROUPS as usize)),
        after in (endpoints(&[80]), vec((addresses(), addresses()), GROUPS as usize)),
    ) {
        let dns = Some((Protocol::Udp, 53));
        let dynamic = Some((Protocol::Tcp, cnnf_core::topology::DYNAMIC));
        let table = |(exact, drawn): &(Members, Vec<(Members, Members)>)| {
            let mut policy = policy.clone();
            for (group, (anywhere, somewhere)) in policy.groups.values_mut().zip(drawn) {
                let ever = [("192.0.2.1", None), ("2001:db8::1", None), ("192.0.2.1", dns), ("2001:db8::1", dns)];
                let networks = ["198.51.100.0/25", "2001:db8:1::/64"].into_iter().flat_map(|net| [(net, dns), (net, dynamic)]);
                let ever = ever.into_iter().chain(networks).map(|(text, port)| GroupEntry {
                    addresses: text.parse().expect("range"), own: false, port,
                });
                let on = |port| somewhere.iter().map(move |entry| GroupEntry { port, ..*entry });
                let drawn = anywhere.iter().chain(exact).copied().chain(on(dns)).chain(on(dynamic));
                *group = drawn.chain(ever).collect();
            }
            compile(&policy, &facts)
        };
        let (a, b) = (table(&before), table(&after));
        let plan = plan(&a, &b);
        prop_assert!(by_elements_only(&plan), "{:#?}", plan);
        let mut fake = Fake::new(a);
        prop_assert_eq!(fake.apply(&plan), Ok(()));
        prop_assert_eq!(fake.ruleset(), &b);
    }

    /// A service that was started anew has another control group, and nothing else changes.
    #[test]
    fn another_control_group_is_one_element(policy in policy(), facts in facts(), id in 100_u64..200) {
        let mut restarted = facts.clone();
        let Some(service) = restarted.services.first_mut() else { return Ok(()) };
        service.cgroups.insert(id);
        let plan = plan(&compile(&policy, &facts), &compile(&policy, &restarted));
        prop_assert!(matches!(&plan[..], [Operation::AddElements(..)]), "{:#?}", plan);
        prop_assert!(!rejudges(&plan, |_| true));
    }
}
