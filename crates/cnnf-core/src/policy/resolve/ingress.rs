//! What judges a host's servers.

use super::super::evaluate::Reason;
use super::super::group::{Groups, intersect};
use super::super::host_policy::{HostRule, LocalMatch, PeerMatch};
use super::super::rule::{Effect, End, Rule, ServicePattern};
use super::{by_model, by_rule, judging, local, modelled};

/// Appends what a rule means for local servers.
///
/// The services of a defended host are told apart by that host alone. So from there this side lets pass what any of its services may
/// do, and what the client's host reports itself.
pub(super) fn rule<'a>(groups: &mut Groups<'_, 'a>, rule: &'a Rule, effect: Effect, out: &mut Vec<HostRule>) {
    let Some(destination) = local(groups, &rule.destination) else { return };
    let (peer, wanted) = match &rule.source {
        End::Any => (PeerMatch::Any, None),
        End::Service { pattern, labels } => {
            if effect != Effect::Prevent {
                let (known, hosts) = groups.hosts_running(&pattern.0, labels);
                let id = groups.keep_as(&known, hosts);
                out.push(by_rule(rule, destination, PeerMatch::Group(id), Effect::Allow, Reason::OtherSide));
            }
            return;
        }
        end => match groups.keep_addresses(end) {
            Some((id, entries, ranges)) => (PeerMatch::Group(id), Some((id, entries, ranges))),
            None => return,
        },
    };
    if rule.learned_allow && effect != Effect::Allow {
        for (key, local) in modelled(groups, &destination) {
            let clients = groups.learned_clients(&key, true);
            let (meaning, clients) = match &wanted {
                Some((id, wanted, _)) => (format!(" in group {}", id.0), intersect(&clients, wanted)),
                None => (String::new(), clients),
            };
            let id = groups.keep(format!("clients of {key}{meaning}"), clients);
            out.push(by_rule(rule, local, PeerMatch::Group(id), Effect::Allow, Reason::Model(key)));
        }
    }
    if effect != Effect::Prevent {
        let id = groups.keep_defended(wanted.map(|(id, _, ranges)| (id, ranges)));
        out.push(by_rule(rule, destination.clone(), PeerMatch::Group(id), Effect::Allow, Reason::OtherSide));
    }
    out.push(by_rule(rule, destination, peer, effect, Reason::rule(rule)));
}

/// Appends what the models of local servers mean.
pub(super) fn models(groups: &mut Groups<'_, '_>, out: &mut Vec<HostRule>) {
    for (key, effect) in judging(groups) {
        let local = LocalMatch::Service(ServicePattern::of(&key));
        let defended = PeerMatch::Group(groups.keep_defended(None));
        let other_side = by_model(&key, local.clone(), defended, Effect::Allow);
        out.push(HostRule { reason: Reason::OtherSide, ..other_side });
        let clients = groups.learned_clients(&key, false);
        if !clients.is_empty() {
            let id = groups.keep(format!("clients of {key} by address"), clients);
            out.push(by_model(&key, local.clone(), PeerMatch::Group(id), Effect::Allow));
        }
        out.push(by_model(&key, local, PeerMatch::Any, effect));
    }
}
