//! Learned behaviour.

use std::time::Duration;

use cnnf_core::event::EventParty;
use cnnf_core::id::ServiceKey;
use cnnf_core::model::{Model, Phase, Refusal};
use cnnf_core::net::AddrRange;
use cnnf_core::policy::Effect;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer, parse_port};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::{text, time_text};
use cnnf_rpc::v1;
use cnnf_rpc::v1::model_service_server::ModelService;
use cnnf_store::{AuditQuery, AuditRow, Subject};
use serde_json::Value;
use tonic::{Request, Response, Status};

use super::page::page;
use super::{Api, caller};
use crate::auth::Caller;
use crate::controller::refuse;
use crate::edit::{Deed, EDGE, WHY, no_model};
use crate::settings::duration_text;
use crate::state::Snapshot;

/// Decisions that are shown with a model.
const MOST_DECISIONS: usize = 100;

#[tonic::async_trait]
impl ModelService for Api {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let policy = self.0.snapshot().policy;
        let (models, next_token) = page(policy.models.iter().collect(), request.into_inner().page.as_ref())?;
        let models = models.into_iter().map(|(key, model)| message(key, model, policy.anomaly_effect)).collect();
        Ok(Response::new(v1::ListModelsResponse { models, next_token }))
    }

    async fn get_model(&self, request: Request<v1::GetModelRequest>) -> Answer {
        let model = {
            let known = self.0.snapshot();
            let key = known.service("service", &request.into_inner().service)?;
            let model = known.policy.models.get(&key).ok_or_else(|| no_model(&key))?;
            whole(&key, model, known.policy.anomaly_effect)
        };
        self.whole(model).await
    }

    async fn activate_model(&self, request: Request<v1::ActivateModelRequest>) -> Answer {
        let who = caller(&request);
        let v1::ActivateModelRequest { service, reason } = request.into_inner();
        self.edit(&who, &service, deed("model.activate", reason)?, Model::activate).await
    }

    async fn relearn_model(&self, request: Request<v1::RelearnModelRequest>) -> Answer {
        let who = caller(&request);
        let v1::RelearnModelRequest { service, reason } = request.into_inner();
        self.edit(&who, &service, deed("model.relearn", reason)?, Model::relearn).await
    }

    async fn reset_model(&self, request: Request<v1::ResetModelRequest>) -> Answer {
        let who = caller(&request);
        let v1::ResetModelRequest { service, reason } = request.into_inner();
        self.edit(&who, &service, deed("model.reset", reason)?, Model::reset).await
    }

    async fn start_learning(&self, request: Request<v1::StartLearningRequest>) -> Answer {
        let who = caller(&request);
        let v1::StartLearningRequest { service, reason } = request.into_inner();
        self.edit(&who, &service, deed("model.learn_start", reason)?, Model::start_learning).await
    }

    async fn stop_learning(&self, request: Request<v1::StopLearningRequest>) -> Answer {
        let who = caller(&request);
        let v1::StopLearningRequest { service: name, reason } = request.into_inner();
        let key = self.0.snapshot().service("service", &name)?;
        self.try_edit(&who, &key, deed("model.learn_stop", reason)?, Model::stop_learning).await
    }

    async fn approve_edge(&self, request: Request<v1::ApproveEdgeRequest>) -> Answer {
        let who = caller(&request);
        let v1::ApproveEdgeRequest { service: name, edge: written, event, reason } = request.into_inner();
        let key = self.0.snapshot().service("service", &name)?;
        let edge = match (written, event) {
            (Some(written), 0) => edge(&self.0.snapshot(), &key, &written)?,
            (None, id) if id > 0 => self.edge_of_event(&key, id).await?,
            _ => return Err(ConvertError::new("edge", "or event: exactly one of them is needed").into()),
        };
        let deed = Deed { edge: edge.to_string(), ..deed("model.approve", reason)? };
        self.try_edit(&who, &key, deed, |model, now| model.approve(&key, &edge, now).map(|_| ())).await
    }

    async fn forget_edge(&self, request: Request<v1::ForgetEdgeRequest>) -> Answer {
        let who = caller(&request);
        let v1::ForgetEdgeRequest { service: name, edge: written, reason } = request.into_inner();
        let known = self.0.snapshot();
        let key = known.service("service", &name)?;
        let written = written.ok_or_else(|| ConvertError::new("edge", "is missing"))?;
        let edge = edge(&known, &key, &written)?;
        drop(known);
        let deed = Deed { edge: edge.to_string(), ..deed("model.forget", reason)? };
        self.try_edit(&who, &key, deed, |model, _| model.forget(&edge)).await
    }

    async fn set_anomaly_effect(&self, request: Request<v1::SetAnomalyEffectRequest>) -> Answer {
        let who = caller(&request);
        let v1::SetAnomalyEffectRequest { service, effect, reason } = request.into_inner();
        let effect = match effect.as_str() {
            "" => None,
            "alert" => Some(Effect::Alert),
            "prevent" => Some(Effect::Prevent),
            _ => return Err(ConvertError::new("effect", "is none of: alert, prevent, or nothing").into()),
        };
        self.edit(&who, &service, deed("model.effect", reason)?, |model, _| model.set_effect(effect)).await
    }
}

type Answer = Result<Response<v1::Model>, Status>;

/// What is done and why, to a model as a whole.
fn deed(action: &'static str, reason: String) -> Result<Deed, Status> {
    Ok(Deed { action, edge: String::new(), why: text("reason", reason)? })
}

impl Api {
    async fn edit(&self, who: &Caller, name: &str, deed: Deed, change: impl FnOnce(&mut Model, Timestamp)) -> Answer {
        let key = self.0.snapshot().service("service", name)?;
        let change = |model: &mut Model, now| {
            change(model, now);
            Ok(())
        };
        self.try_edit(who, &key, deed, change).await
    }

    async fn try_edit(
        &self,
        who: &Caller,
        key: &ServiceKey,
        deed: Deed,
        change: impl FnOnce(&mut Model, Timestamp) -> Result<(), Refusal>,
    ) -> Answer {
        let model = self.0.edit_model(who, key, deed, change).await?;
        let effect = self.0.state().policy.anomaly_effect;
        self.whole(whole(key, &model, effect)).await
    }

    /// A model with its edges and what was decided about it.
    async fn whole(&self, model: v1::Model) -> Answer {
        let query = AuditQuery {
            action: Some("model".to_owned()),
            subject: Some(model.service.clone()),
            ..AuditQuery::default()
        };
        let decided = self.0.aside(move |controller| controller.store.audit(&query, MOST_DECISIONS).map_err(refuse));
        let decisions = decided.await?.into_iter().map(decision).collect();
        Ok(Response::new(v1::Model { decisions, ..model }))
    }

    /// The edge that an event is about, as a service's model would have it: never wider than its addresses' buckets.
    async fn edge_of_event(&self, key: &ServiceKey, id: u64) -> Result<Edge, Status> {
        let found = self.0.aside(move |controller| controller.store.event(id).map_err(refuse)).await?;
        let event = found.ok_or_else(|| Status::not_found(format!("there is no event {id}")))?;
        let Subject::Connection { client, server, protocol, .. } = event.subject else {
            return Err(Status::failed_precondition(format!("event {id} is not about a connection")));
        };
        let state = self.0.state();
        let peer = |party: &EventParty| match &party.service {
            Some(key) => Peer::Service(key.clone()),
            None if party.host.is_some() => Peer::Address(AddrRange::single(party.address)),
            None => Peer::of_address(party.address, &state.policy.objects),
        };
        let edge = Edge { client: peer(&client), server: peer(&server), protocol, port: server.port };
        let own = Peer::Service(key.clone());
        if edge.client != own && edge.server != own {
            return Err(Status::failed_precondition(format!(
                "event {id} is about {edge}, which has {key} at neither end"
            )));
        }
        Ok(edge)
    }
}

/// An entry of the record of changes, as the model's history.
fn decision(AuditRow { id, entry, .. }: AuditRow) -> v1::ModelDecision {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (before, after) = (read(&entry.before), read(&entry.after));
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let edges = |of: &Value| of["edges"].as_u64().and_then(|edges| u32::try_from(edges).ok()).unwrap_or_default();
    v1::ModelDecision {
        at: time_text(entry.at),
        action: entry.action.strip_prefix("model.").unwrap_or(&entry.action).to_owned(),
        edge: text(&after, EDGE),
        reason: text(&after, WHY),
        phase_before: text(&before, "phase"),
        phase: text(&after, "phase"),
        edges_before: edges(&before),
        edges: edges(&after),
        anomaly_effect: text(&after, "anomaly_effect"),
        audit_id: id,
        who: entry.actor,
    }
}

/// An edge as a caller writes it.
fn edge(known: &Snapshot, key: &ServiceKey, written: &v1::EdgeOfService) -> Result<Edge, Status> {
    let v1::EdgeOfService { direction, peer, port } = written;
    let own = Peer::Service(key.clone());
    let far = match peer.parse::<Peer>() {
        Ok(Peer::Object(name)) if !known.policy.objects.contains_key(&name) => {
            let name: String = name.escape_debug().take(80).collect();
            return Err(ConvertError::new("edge.peer", format_args!("there is no address object '{name}'")).into());
        }
        Ok(far) => far,
        Err(_) if known.policy.objects.contains_key(peer) => Peer::Object(peer.clone()),
        Err(_) => Peer::Service(known.service("edge.peer", peer)?),
    };
    let (protocol, port) = parse_port(port).map_err(|error| ConvertError::new("edge.port", error))?;
    match direction.as_str() {
        "to" => Ok(Edge { client: own, server: far, protocol, port }),
        "from" => Ok(Edge { client: far, server: own, protocol, port }),
        _ => Err(ConvertError::new("edge.direction", "is none of: to, from").into()),
    }
}

fn message(key: &ServiceKey, model: &Model, effect: Effect) -> v1::Model {
    // Whole seconds: a clock that is stored every ten seconds has no finer truth.
    let observed = Duration::from_secs(model.observed_ms / 1000);
    v1::Model {
        service: key.to_string(),
        decisions: Vec::new(),
        phase: model.phase.to_string(),
        since: time_text(model.since),
        observed: duration_text(observed),
        edge_count: u32::try_from(model.edges.len()).unwrap_or(u32::MAX),
        connections: model.connections,
        anomaly_effect: model.anomaly_effect.unwrap_or(effect).to_string(),
        unseen_probability: model.unseen_probability(),
        edges: Vec::new(),
        expected_events: model.expected_events(),
        manual: model.manual,
        resume: if model.phase == Phase::Archived { model.resume.to_string() } else { String::new() },
        exposed: duration_text(Duration::from_secs(model.exposed_ms / 1000)),
    }
}

fn whole(key: &ServiceKey, model: &Model, effect: Effect) -> v1::Model {
    let edges = model.edges.iter().map(|(edge, seen)| v1::LearnedEdge {
        edge: Some(edge.into()),
        first_seen: time_text(seen.first),
        last_seen: time_text(seen.last),
        connections: seen.connections,
        origin: seen.origin.to_string(),
    });
    v1::Model { edges: edges.collect(), ..message(key, model, effect) }
}
