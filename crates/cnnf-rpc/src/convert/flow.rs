//! What hosts observe.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cnnf_core::directory::{Endpoint, Instance};
use cnnf_core::flow::{FlowKey, FlowRecord, FlowStats};
use cnnf_core::id::ServiceKey;
use cnnf_core::policy::{RuleHits, RuleId};
use cnnf_core::time::Timestamp;

use super::common::{cut, port, timestamp};
use super::{ConvertError, list, parse, parse_some};
use crate::{limits, v1};

impl From<&FlowRecord> for v1::FlowRecord {
    fn from(flow: &FlowRecord) -> Self {
        let service = |key: &Option<ServiceKey>| key.as_ref().map(ToString::to_string).unwrap_or_default();
        Self {
            client_service: service(&flow.key.client_service),
            client_address: flow.key.client.to_string(),
            server_service: service(&flow.key.server_service),
            server_address: flow.key.server.to_string(),
            protocol: flow.key.protocol.to_string(),
            port: flow.key.port.into(),
            connections: flow.stats.connections,
            bytes: flow.stats.bytes,
            first_ms: flow.stats.first.0,
            last_ms: flow.stats.last.0,
        }
    }
}

impl TryFrom<v1::FlowRecord> for FlowRecord {
    type Error = ConvertError;

    fn try_from(message: v1::FlowRecord) -> Result<Self, ConvertError> {
        let protocol = parse("protocol", &message.protocol)?;
        Ok(Self {
            key: FlowKey {
                client_service: parse_some("client_service", &message.client_service)?,
                client: parse("client_address", &message.client_address)?,
                server_service: parse_some("server_service", &message.server_service)?,
                server: parse("server_address", &message.server_address)?,
                protocol,
                port: port("port", protocol, message.port)?,
            },
            stats: FlowStats {
                connections: message.connections,
                bytes: message.bytes,
                first: timestamp("first_ms", message.first_ms)?,
                last: timestamp("last_ms", message.last_ms)?,
            },
        })
    }
}

/// A report's flows.
///
/// # Errors
/// If there are more than [`limits::MAX_FLOWS`], or the first one that is wrong.
pub fn flows(message: v1::FlowReport) -> Result<Vec<FlowRecord>, ConvertError> {
    list("flows", message.flows, limits::MAX_FLOWS, FlowRecord::try_from)
}

/// The message of flows.
pub fn flow_report<'a>(flows: impl IntoIterator<Item = &'a FlowRecord>) -> v1::FlowReport {
    v1::FlowReport { flows: flows.into_iter().map(Into::into).collect() }
}

impl From<&RuleHits> for v1::RuleHits {
    fn from(hits: &RuleHits) -> Self {
        Self { rule_id: hits.rule.0, connections: hits.connections, last_ms: hits.last.0 }
    }
}

/// How often rules decided.
///
/// # Errors
/// If there are more than [`limits::MAX_RULES`], or the first one that is wrong.
pub fn hits(message: v1::HitReport) -> Result<Vec<RuleHits>, ConvertError> {
    list("hits", message.hits, limits::MAX_RULES, |hits| {
        let last = timestamp("last_ms", hits.last_ms)?;
        Ok(RuleHits { rule: RuleId(hits.rule_id), connections: hits.connections, last })
    })
}

/// What a host is and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its global addresses on its uplinks.
    pub addresses: BTreeSet<IpAddr>,
    /// Its services.
    pub instances: BTreeMap<ServiceKey, Instance>,
    /// When this was true.
    pub at: Timestamp,
}

impl From<&Inventory> for v1::Inventory {
    fn from(inventory: &Inventory) -> Self {
        let instance = |(service, instance): (&ServiceKey, &Instance)| v1::InstanceReport {
            service: service.to_string(),
            endpoints: instance.endpoints.iter().map(Into::into).collect(),
            live: instance.live,
            natural: instance.natural.iter().map(ToString::to_string).collect(),
        };
        Self {
            addresses: inventory.addresses.iter().map(ToString::to_string).collect(),
            instances: inventory.instances.iter().map(instance).collect(),
            at_ms: inventory.at.0,
        }
    }
}

impl TryFrom<v1::Inventory> for Inventory {
    type Error = ConvertError;

    fn try_from(message: v1::Inventory) -> Result<Self, ConvertError> {
        let instance = |message: v1::InstanceReport| {
            let service: ServiceKey = parse("service", &message.service)?;
            let endpoints = list("endpoints", message.endpoints, limits::MAX_ENDPOINTS, Endpoint::try_from)?;
            let natural = list("natural", message.natural, limits::MAX_INSTANCES, |text| parse("", &text))?;
            let (endpoints, natural) = (endpoints.into_iter().collect(), natural.into_iter().collect());
            Ok((service, Instance { endpoints, live: message.live, natural }))
        };
        Ok(Self {
            addresses: list("addresses", message.addresses, limits::MAX_ENDPOINTS, |text| parse("", &text))?
                .into_iter()
                .collect(),
            instances: list("instances", message.instances, limits::MAX_INSTANCES, instance)?.into_iter().collect(),
            at: timestamp("at_ms", message.at_ms)?,
        })
    }
}

/// Observations were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// How many; 0 where that is not known.
    pub lost: u64,
    /// What was lost.
    pub what: String,
}

impl From<&Gap> for v1::GapReport {
    fn from(gap: &Gap) -> Self {
        Self { from_ms: gap.from.0, until_ms: gap.until.0, lost: gap.lost, what: gap.what.clone() }
    }
}

impl TryFrom<v1::GapReport> for Gap {
    type Error = ConvertError;

    fn try_from(message: v1::GapReport) -> Result<Self, ConvertError> {
        Ok(Self {
            from: timestamp("from_ms", message.from_ms)?,
            until: timestamp("until_ms", message.until_ms)?,
            lost: message.lost,
            what: cut(message.what),
        })
    }
}
