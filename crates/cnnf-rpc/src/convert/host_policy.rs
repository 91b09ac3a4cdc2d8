//! The policy of one host.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{Definition, MAX_DEFINITIONS};
use cnnf_core::net::Ports;
use cnnf_core::policy::{
    Digest, Group, GroupDelta, GroupEntry, GroupId, HostDelta, HostPolicy, HostRule, LocalMatch, Mode, PeerMatch,
    Splice,
};

use super::common::port;
use super::event::{reason, reason_parts};
use super::policy::pattern;
use super::{ConvertError, list, parse, parse_some};
use crate::v1;

impl From<&HostPolicy> for v1::HostPolicy {
    fn from(policy: &HostPolicy) -> Self {
        Self {
            generation: policy.generation,
            mode: policy.mode.to_string(),
            service_modes: policy.service_modes.iter().map(|(key, mode)| (key.to_string(), mode.to_string())).collect(),
            egress: policy.egress.iter().map(Into::into).collect(),
            ingress: policy.ingress.iter().map(Into::into).collect(),
            groups: policy
                .groups
                .iter()
                .map(|(id, group)| v1::Group { id: id.0, entries: group.entries.iter().map(Into::into).collect() })
                .collect(),
            definitions: policy.definitions.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::HostPolicy> for HostPolicy {
    type Error = ConvertError;

    /// Also checks that every group that is referred to is there.
    fn try_from(message: v1::HostPolicy) -> Result<Self, ConvertError> {
        let mut service_modes = BTreeMap::new();
        for (key, mode) in message.service_modes {
            let within = |error: ConvertError| error.under("service_modes");
            service_modes.insert(parse(&key, &key).map_err(within)?, parse(&key, &mode).map_err(within)?);
        }
        let mut groups = BTreeMap::new();
        for (n, group) in message.groups.into_iter().enumerate() {
            let within = |error: ConvertError| error.under_index("groups", n);
            let id = group.id;
            if id == 0 {
                return Err(within(ConvertError::new("id", "0 stands for no group")));
            }
            let entries = list("entries", group.entries, usize::MAX, GroupEntry::try_from).map_err(within)?;
            if groups.insert(GroupId(id), entries.into_iter().collect()).is_some() {
                return Err(within(ConvertError::new("id", format_args!("there are two groups {id}"))));
            }
        }
        let definitions = list("definitions", message.definitions, MAX_DEFINITIONS, Definition::try_from)?;
        Definition::check_all(&definitions).map_err(|error| ConvertError::new("definitions", error))?;
        let convert = |rule| host_rule(rule, Some(&groups));
        Ok(Self {
            generation: message.generation,
            mode: parse("mode", &message.mode)?,
            service_modes,
            egress: list("egress", message.egress, usize::MAX, convert)?,
            ingress: list("ingress", message.ingress, usize::MAX, convert)?,
            groups,
            definitions,
        })
    }
}

impl From<&HostDelta> for v1::HostPolicyDelta {
    fn from(delta: &HostDelta) -> Self {
        let mode = |(key, mode): (&ServiceKey, &Option<Mode>)| {
            (key.to_string(), mode.map_or_else(String::new, |mode| mode.to_string()))
        };
        Self {
            from: delta.from,
            to: delta.to,
            digest: delta.digest.0.to_be_bytes().to_vec(),
            mode: delta.mode.to_string(),
            service_modes: delta.service_modes.iter().map(mode).collect(),
            egress: delta.egress.as_ref().map(Into::into),
            ingress: delta.ingress.as_ref().map(Into::into),
            groups: delta.groups.iter().map(|(id, group)| group_delta_message(*id, group)).collect(),
            redefined: delta.definitions.is_some(),
            definitions: delta.definitions.iter().flatten().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::HostPolicyDelta> for HostDelta {
    type Error = ConvertError;

    /// Whether it fits the policy that it is for, [`HostDelta::apply`] says.
    fn try_from(message: v1::HostPolicyDelta) -> Result<Self, ConvertError> {
        let digest: [u8; 16] =
            message.digest.as_slice().try_into().map_err(|_| ConvertError::new("digest", "has not 16 bytes"))?;
        let mut service_modes = BTreeMap::new();
        for (key, mode) in message.service_modes {
            let within = |error: ConvertError| error.under("service_modes");
            service_modes.insert(parse(&key, &key).map_err(within)?, parse_some(&key, &mode).map_err(within)?);
        }
        let mut groups = BTreeMap::new();
        for (n, group) in message.groups.into_iter().enumerate() {
            let within = |error: ConvertError| error.under_index("groups", n);
            let (id, delta) = group_delta(group).map_err(within)?;
            if groups.insert(id, delta).is_some() {
                return Err(within(ConvertError::new("id", format_args!("there are two of group {}", id.0))));
            }
        }
        let definitions = if message.redefined {
            let definitions = list("definitions", message.definitions, MAX_DEFINITIONS, Definition::try_from)?;
            Definition::check_all(&definitions).map_err(|error| ConvertError::new("definitions", error))?;
            Some(definitions)
        } else {
            None
        };
        let splice = |field: &str, splice: Option<v1::HostRuleSplice>| {
            splice.map(|splice| Splice::try_from(splice).map_err(|error| error.under(field))).transpose()
        };
        Ok(Self {
            from: message.from,
            to: message.to,
            digest: Digest(u128::from_be_bytes(digest)),
            mode: parse("mode", &message.mode)?,
            service_modes,
            egress: splice("egress", message.egress)?,
            ingress: splice("ingress", message.ingress)?,
            groups,
            definitions,
        })
    }
}

impl From<&Splice> for v1::HostRuleSplice {
    fn from(splice: &Splice) -> Self {
        // a list is far shorter
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { at: number(splice.at), out: number(splice.out), into: splice.into.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::HostRuleSplice> for Splice {
    type Error = ConvertError;

    fn try_from(message: v1::HostRuleSplice) -> Result<Self, ConvertError> {
        let number = |field: &str, n: u32| usize::try_from(n).map_err(|error| ConvertError::new(field, error));
        Ok(Self {
            at: number("at", message.at)?,
            out: number("out", message.out)?,
            into: list("into", message.into, usize::MAX, |rule| host_rule(rule, None))?,
        })
    }
}

fn group_delta_message(id: GroupId, group: &GroupDelta) -> v1::GroupDelta {
    let (gone, less, more) = match group {
        GroupDelta::Gone => (true, Vec::new(), Vec::new()),
        GroupDelta::Members { less, more } => {
            (false, less.iter().map(Into::into).collect(), more.iter().map(Into::into).collect())
        }
    };
    v1::GroupDelta { id: id.0, gone, less, more }
}

fn group_delta(message: v1::GroupDelta) -> Result<(GroupId, GroupDelta), ConvertError> {
    if message.id == 0 {
        return Err(ConvertError::new("id", "0 stands for no group"));
    }
    let members = |field: &str, members| -> Result<BTreeSet<GroupEntry>, ConvertError> {
        Ok(list(field, members, usize::MAX, GroupEntry::try_from)?.into_iter().collect())
    };
    let delta = if message.gone {
        GroupDelta::Gone
    } else {
        GroupDelta::Members { less: members("less", message.less)?, more: members("more", message.more)? }
    };
    Ok((GroupId(message.id), delta))
}

impl From<&GroupEntry> for v1::GroupEntry {
    fn from(entry: &GroupEntry) -> Self {
        let (protocol, port) = entry.port.map_or((String::new(), 0), |(p, n)| (p.to_string(), n.into()));
        Self { addresses: entry.addresses.to_string(), protocol, port, own: entry.own }
    }
}

impl TryFrom<v1::GroupEntry> for GroupEntry {
    type Error = ConvertError;

    fn try_from(message: v1::GroupEntry) -> Result<Self, ConvertError> {
        let port = if message.protocol.is_empty() {
            if message.port != 0 {
                return Err(ConvertError::new("protocol", "is missing: a port belongs to a protocol"));
            }
            None
        } else {
            let protocol = parse("protocol", &message.protocol)?;
            Some((protocol, port("port", protocol, message.port)?))
        };
        Ok(Self { addresses: parse("addresses", &message.addresses)?, own: message.own, port })
    }
}

impl From<&HostRule> for v1::HostRule {
    fn from(rule: &HostRule) -> Self {
        let (rule_id, rule_name, rule_revision, model) = reason_parts(&rule.reason);
        let (local_service, local_group) = match &rule.local {
            LocalMatch::Any => (String::new(), 0),
            LocalMatch::Service(pattern) => (pattern.0.clone(), 0),
            LocalMatch::Addresses(group) => (String::new(), group.0),
            LocalMatch::ServiceAt(pattern, group) => (pattern.0.clone(), group.0),
        };
        Self {
            rule_id,
            rule_name,
            rule_revision,
            model,
            local_service,
            local_group,
            peer_group: match rule.peer {
                PeerMatch::Any => 0,
                PeerMatch::Group(group) => group.0,
            },
            ports: rule.ports.to_texts(),
            effect: rule.effect.to_string(),
            on_failure: rule.on_failure.to_string(),
        }
    }
}

/// `groups` are those of its policy, if all of that is known.
fn host_rule(message: v1::HostRule, groups: Option<&BTreeMap<GroupId, Group>>) -> Result<HostRule, ConvertError> {
    let group = |field: &str, id: u32| match id {
        0 => Ok(None),
        id if groups.is_none_or(|groups| groups.contains_key(&GroupId(id))) => Ok(Some(GroupId(id))),
        id => Err(ConvertError::new(field, format_args!("there is no group {id}"))),
    };
    let service = match message.local_service.as_str() {
        "" => None,
        text => Some(pattern("local_service", text)?),
    };
    Ok(HostRule {
        reason: reason(message.rule_id, message.rule_name, message.rule_revision, &message.model)?,
        local: match (service, group("local_group", message.local_group)?) {
            (None, None) => LocalMatch::Any,
            (Some(service), None) => LocalMatch::Service(service),
            (None, Some(group)) => LocalMatch::Addresses(group),
            (Some(service), Some(group)) => LocalMatch::ServiceAt(service, group),
        },
        peer: group("peer_group", message.peer_group)?.map_or(PeerMatch::Any, PeerMatch::Group),
        ports: Ports::parse(&message.ports).map_err(|error| ConvertError::new("ports", error))?,
        effect: parse("effect", &message.effect)?,
        on_failure: parse("on_failure", &message.on_failure)?,
    })
}
