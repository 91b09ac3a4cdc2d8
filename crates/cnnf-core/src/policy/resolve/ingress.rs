//! What judges a host's servers.

use super::super::evaluate::Reason;
use super::super::group::{Entries, Groups, intersect};
use super::super::host_policy::{HostRule, LocalMatch, PeerMatch};
use super::super::rule::{Effect, End, Rule, ServicePattern};
use super::{by_model, by_rule, judging, keep_addresses, local, modelled};

/// Appends what a rule means for local servers.
///
/// The services of a defended host are told apart by that host alone. So from there this side lets pass what any of its services may
/// do, and what the client's host reports itself.
pub(super) fn rule(groups: &mut Groups<'_>, rule: &Rule, effect: Effect, out: &mut Vec<HostRule>) {
    let Some(destination) = local(groups, &rule.destination) else { return };
    let (peer, wanted) = match &rule.source {
        End::Any => (PeerMatch::Any, None),
        End::Service { pattern, labels } => {
            if effect != Effect::Prevent {
                let hosts = groups.hosts_running(pattern, labels);
                let id = groups.keep(format!("hosts of {} {labels}", pattern.0), hosts);
                out.push(by_rule(rule, destination, PeerMatch::Group(id), Effect::Allow, Reason::OtherSide));
            }
            return;
        }
        end => match keep_addresses(groups, end) {
            Some((id, entries)) => (PeerMatch::Group(id), Some((id.0, entries))),
            None => return,
        },
    };
    if rule.learned_allow && effect != Effect::Allow {
        for (key, local) in modelled(groups, &destination) {
            let (meaning, clients) = within(&wanted, groups.learned_clients(&key, true));
            let id = groups.keep(format!("clients of {key}{meaning}"), clients);
            out.push(by_rule(rule, local, PeerMatch::Group(id), Effect::Allow, Reason::Model(key)));
        }
    }
    if effect != Effect::Prevent {
        let (meaning, hosts) = within(&wanted, groups.defended());
        let id = groups.keep(format!("defended{meaning}"), hosts);
        out.push(by_rule(rule, destination.clone(), PeerMatch::Group(id), Effect::Allow, Reason::OtherSide));
    }
    out.push(by_rule(rule, destination, peer, effect, Reason::rule(rule)));
}

/// Those entries that a rule's addresses, if it has any, mean too.
fn within(wanted: &Option<(u32, Entries)>, entries: Entries) -> (String, Entries) {
    match wanted {
        Some((id, wanted)) => (format!(" in group {id}"), intersect(&entries, wanted)),
        None => (String::new(), entries),
    }
}

/// Appends what the models of local servers mean.
pub(super) fn models(groups: &mut Groups<'_>, out: &mut Vec<HostRule>) {
    for (key, effect) in judging(groups) {
        let local = LocalMatch::Service(ServicePattern::of(&key));
        let defended = groups.defended();
        let defended = PeerMatch::Group(groups.keep("defended".to_owned(), defended));
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
