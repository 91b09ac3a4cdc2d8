//! What runs where, and who talks to whom.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cnnf_core::directory::{Host, Instance};
use cnnf_core::flow::FlowStats;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::net::{Ports, is_private};
use cnnf_core::policy::{Mode, PolicySet};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Filter, Grouping, NodeKind, Peer, Radar, RadarEdge, View, diff, view};
use cnnf_rpc::convert::common::{time_range, time_text};
use cnnf_rpc::convert::{self, ConvertError};
use cnnf_rpc::v1;
use cnnf_rpc::v1::topology_service_server::TopologyService;
use cnnf_store::EventQuery;
use tonic::{Request, Response, Status};

use super::page::page;
use super::recorded::{MOST_EVENTS, Recorded, is_ranged, marks};
use super::{Api, caller, word};
use crate::clock::now;
use crate::controller::{Controller, refuse};
use crate::state::Snapshot;

/// How far back alerts and preventions mark an edge unless a range is asked for.
const MARKED: Duration = Duration::from_secs(3600);

#[tonic::async_trait]
impl TopologyService for Api {
    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let Snapshot { directory, policy, .. } = self.0.snapshot();
        // each host is looked at once, and nobody waits for it
        let mut running: BTreeMap<&ServiceKey, Vec<v1::Instance>> = BTreeMap::new();
        for (id, host) in directory.hosts() {
            for (key, instance) in &host.instances {
                running.entry(key).or_default().push(instance_message(id, host, instance));
            }
        }
        for key in policy.models.keys() {
            running.entry(key).or_default();
        }
        let all = running.into_iter().map(|(key, instances)| service_message(&policy, key, instances)).collect();
        let (services, next_token) = page(all, request.into_inner().page.as_ref())?;
        Ok(Response::new(v1::ListServicesResponse { services, next_token }))
    }

    async fn get_service(&self, request: Request<v1::GetServiceRequest>) -> Result<Response<v1::Service>, Status> {
        let known = self.0.snapshot();
        let key = known.service("service", &request.into_inner().service)?;
        Ok(Response::new(service_of(&known, &key)))
    }

    async fn set_service_mode(
        &self,
        request: Request<v1::SetServiceModeRequest>,
    ) -> Result<Response<v1::Service>, Status> {
        let who = caller(&request);
        let v1::SetServiceModeRequest { service: name, mode } = request.into_inner();
        let mode: Mode = word("mode", &mode)?;
        let key = self.0.snapshot().service("service", &name)?;
        self.0.edit_service_mode(&who, &key, mode).await?;
        Ok(Response::new(service_of(&self.0.snapshot(), &key)))
    }

    async fn list_edges(
        &self,
        request: Request<v1::ListEdgesRequest>,
    ) -> Result<Response<v1::ListEdgesResponse>, Status> {
        let request = request.into_inner();
        let (since, until) = time_range("time", request.time.as_ref())?;
        let (from, to) = {
            let known = self.0.snapshot();
            (end(&known, "from", &request.from)?, end(&known, "to", &request.to)?)
        };
        let wanted = View { connected_only: true, ..View::default() };
        let radar = self.0.aside(move |controller| draw(controller, since, until, &wanted)).await?;
        let is_at = |end: &Option<End>, peer: &Peer| end.as_ref().is_none_or(|end| end.is(peer));
        let edges = radar
            .edges
            .iter()
            .filter(|e| is_at(&from, &e.edge.client) && is_at(&to, &e.edge.server))
            .map(edge)
            .collect();
        let (edges, next_token) = page(edges, request.page.as_ref())?;
        Ok(Response::new(v1::ListEdgesResponse { edges, next_token }))
    }

    async fn get_radar(&self, request: Request<v1::GetRadarRequest>) -> Result<Response<v1::Radar>, Status> {
        let request = request.into_inner();
        let (since, until) = time_range("time", request.time.as_ref())?;
        let grouping = grouping(&request.group_by)?;
        let wanted = View { connected_only: request.connected, grouping, filter: filter(request)? };
        let radar = self.0.aside(move |controller| draw(controller, since, until, &wanted)).await?;
        let state = self.0.state();
        let nodes = radar.nodes.iter().map(|node| v1::RadarNode {
            id: match &node.peer {
                Peer::Object(name) => name.clone(),
                peer => peer.to_string(),
            },
            name: node.name.clone(),
            kind: match node.kind {
                NodeKind::Service => "service",
                NodeKind::Address => "address",
                NodeKind::Object => "object",
            }
            .to_owned(),
            instances: u32::try_from(node.hosts.len()).unwrap_or(u32::MAX),
            hosts: node.hosts.iter().map(|id| state.host_name(id)).collect(),
            phase: node.phase.map(|phase| phase.to_string()).unwrap_or_default(),
            mode: node.mode.map(|mode| mode.to_string()).unwrap_or_default(),
            worst: node.worst.map(|status| status.to_string()).unwrap_or_default(),
            group: node.group.clone(),
        });
        Ok(Response::new(v1::Radar { nodes: nodes.collect(), edges: radar.edges.iter().map(edge).collect() }))
    }

    async fn diff_edges(
        &self,
        request: Request<v1::DiffEdgesRequest>,
    ) -> Result<Response<v1::DiffEdgesResponse>, Status> {
        let v1::DiffEdgesRequest { time, before_ms } = request.into_inner();
        let (since, until) = time_range("time", time.as_ref())?;
        if since == Timestamp::default() {
            return Err(ConvertError::new("time.since_ms", "is missing: two times are compared").into());
        }
        let until = until.unwrap_or_else(now);
        let length = until.since(since);
        let before = if before_ms == 0 { since.minus(length) } else { Timestamp(before_ms) };
        if before.plus(length) > since {
            let latest = time_text(since.minus(length));
            let why = format!(
                "is too late: a time as long must be over when the later one begins, so it begins until {latest}"
            );
            return Err(ConvertError::new("before_ms", why).into());
        }
        self.0.aside(move |controller| compare(controller, before, since, until)).await.map(Response::new)
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        self.history(request.into_inner()).await.map(Response::new)
    }

    async fn get_reach(&self, request: Request<v1::GetReachRequest>) -> Result<Response<v1::Reach>, Status> {
        self.reach(request.into_inner()).await.map(Response::new)
    }
}

/// An end that edges are asked by.
enum End {
    Services(Vec<ServiceKey>),
    Address(IpAddr),
    Object(String),
}

impl End {
    fn is(&self, peer: &Peer) -> bool {
        match (self, peer) {
            (Self::Services(keys), Peer::Service(key)) => keys.contains(key),
            (Self::Address(address), Peer::Address(range)) => range.contains(*address),
            (Self::Address(address), Peer::Private) => is_private(*address),
            (Self::Address(address), Peer::Internet) => !is_private(*address),
            (Self::Object(name), Peer::Object(known)) => name == known,
            _ => false,
        }
    }
}

fn end(known: &Snapshot, field: &str, text: &str) -> Result<Option<End>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(address) = text.parse() {
        return Ok(Some(End::Address(address)));
    }
    if known.policy.objects.contains_key(text) {
        return Ok(Some(End::Object(text.to_owned())));
    }
    match known.services_like(text) {
        keys if keys.is_empty() => {
            let text: String = text.escape_debug().take(80).collect();
            Err(ConvertError::new(field, format_args!("'{text}' is no service, address or object that is known"))
                .into())
        }
        keys => Ok(Some(End::Services(keys))),
    }
}

fn grouping(text: &str) -> Result<Grouping, ConvertError> {
    match text {
        "" => Ok(Grouping::None),
        "host" => Ok(Grouping::Host),
        _ => match text.strip_prefix("label:") {
            Some(label) if !label.is_empty() => Ok(Grouping::Label(label.to_owned())),
            _ => Err(ConvertError::new("group_by", "is none of: host, label:KEY, or nothing")),
        },
    }
}

/// What a picture must have.
fn filter(request: v1::GetRadarRequest) -> Result<Filter, Status> {
    let ports = if request.ports.is_empty() {
        Ports::Any
    } else {
        Ports::parse(&request.ports).map_err(|error| ConvertError::new("ports", error))?
    };
    let statuses = request.statuses.iter().map(|text| word("statuses", text)).collect::<Result<_, _>>()?;
    let labels = convert::common::labels("labels", request.labels)?;
    Ok(Filter { name: request.name, labels, ports, statuses })
}

/// What differs between two equally long times.
/// What is different between two times that are equally long.
fn compare(
    controller: &Controller,
    before: Timestamp,
    since: Timestamp,
    until: Timestamp,
) -> Result<v1::DiffEdgesResponse, Status> {
    let between = |since, until| controller.store.edges_between(since, until).map_err(refuse);
    let before_until = before.plus(until.since(since));
    // The later time has its first moment, so that no connection is in both.
    let found = diff(&between(before, before_until.minus(Duration::from_millis(1)))?, &between(since, until)?);
    let Snapshot { directory, policy, .. } = controller.snapshot();
    let drawn = |edges: Vec<(Edge, FlowStats)>| -> Vec<v1::ObservedEdge> {
        let wanted = View { connected_only: true, ..View::default() };
        let radar = view(&edges.into_iter().collect(), &directory, &policy, &BTreeMap::new(), &wanted, until);
        radar.edges.iter().map(edge).collect()
    };
    let were: Vec<u64> = found.changed.iter().map(|(_, before, _)| before.connections).collect();
    let changed = drawn(found.changed.into_iter().map(|(edge, _, after)| (edge, after)).collect());
    let changed = changed.into_iter().zip(were);
    Ok(v1::DiffEdgesResponse {
        new: drawn(found.new),
        gone: drawn(found.gone),
        changed: changed
            .map(|(edge, connections_before)| v1::ChangedEdge { edge: Some(edge), connections_before })
            .collect(),
        before: time_text(before),
        since: time_text(since),
        until: time_text(until),
        before_until: time_text(before_until),
    })
}

/// The picture of a time, or of all that was ever seen, from one moment of the state.
fn draw(controller: &Controller, since: Timestamp, until: Option<Timestamp>, wanted: &View) -> Result<Radar, Status> {
    let at = now();
    let marked_since = if is_ranged(since, until) { since } else { at.minus(MARKED) };
    let query = EventQuery { since: marked_since, until, open: true, ..EventQuery::default() };
    let events = controller.store.events(&query, MOST_EVENTS).map_err(refuse)?;
    let Snapshot { topology, directory, policy } = controller.snapshot();
    let recorded = Recorded::of(controller, topology, since, until, at)?;
    let marks = marks(&events, recorded.topology(), &policy);
    Ok(view(recorded.edges(), &directory, &policy, &marks, wanted, at))
}

fn service_of(known: &Snapshot, key: &ServiceKey) -> v1::Service {
    let hosts = known.directory.hosts();
    let instances = hosts.filter_map(|(id, host)| Some(instance_message(id, host, host.instances.get(key)?)));
    service_message(&known.policy, key, instances.collect())
}

fn instance_message(id: &HostId, host: &Host, instance: &Instance) -> v1::Instance {
    v1::Instance {
        host: host.name.clone(),
        host_id: id.to_string(),
        endpoints: instance.endpoints.iter().map(Into::into).collect(),
        live: instance.live,
    }
}

fn service_message(policy: &PolicySet, key: &ServiceKey, instances: Vec<v1::Instance>) -> v1::Service {
    v1::Service {
        key: key.to_string(),
        name: key.display_name(),
        instances,
        phase: policy.models.get(key).map(|model| model.phase.to_string()).unwrap_or_default(),
        mode: policy.service_modes.get(key).copied().unwrap_or(Mode::Enforce).to_string(),
    }
}

fn edge(e: &RadarEdge) -> v1::ObservedEdge {
    v1::ObservedEdge {
        client: Some((&e.edge.client).into()),
        server: Some((&e.edge.server).into()),
        protocol: e.edge.protocol.to_string(),
        port: e.edge.port.into(),
        status: e.status.to_string(),
        connections: e.stats.connections,
        bytes: e.stats.bytes,
        first_seen: time_text(e.stats.first),
        last_seen: time_text(e.stats.last),
    }
}
