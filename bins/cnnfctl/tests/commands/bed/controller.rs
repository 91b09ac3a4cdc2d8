//! The controller's services. Rules are kept and judged with the real conversions, everything else is fixed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use cnnf_core::id::ServiceKey;
use cnnf_core::policy::Delta;
use cnnf_rpc::convert::history::applied;
use cnnf_rpc::convert::policy::{objects, resolve_among, rule, rules};
use cnnf_rpc::tls::{PeerConnection, PeerIdentity};
use cnnf_rpc::v1::api_token_service_server::{ApiTokenService, ApiTokenServiceServer};
use cnnf_rpc::v1::audit_service_server::{AuditService, AuditServiceServer};
use cnnf_rpc::v1::channel_service_server::ChannelServiceServer;
use cnnf_rpc::v1::definition_service_server::{DefinitionService, DefinitionServiceServer};
use cnnf_rpc::v1::event_service_server::{EventService, EventServiceServer};
use cnnf_rpc::v1::fleet_service_server::{FleetService, FleetServiceServer};
use cnnf_rpc::v1::model_service_server::{ModelService, ModelServiceServer};
use cnnf_rpc::v1::policy_service_server::{PolicyService, PolicyServiceServer};
use cnnf_rpc::v1::settings_service_server::{SettingsService, SettingsServiceServer};
use cnnf_rpc::v1::status_service_server::{StatusService, StatusServiceServer};
use cnnf_rpc::v1::topology_service_server::{TopologyService, TopologyServiceServer};
use cnnf_rpc::v1::user_service_server::{UserService, UserServiceServer};
use cnnf_rpc::v1::{self, *};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Router, Server};
use tonic::{Request, Response, Status};

use super::answers;

pub(super) type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub(crate) struct Controller {
    requests: Arc<Mutex<Vec<String>>>,
    policy: Arc<Mutex<ListRulesResponse>>,
}

impl Controller {
    pub(crate) fn new(requests: Arc<Mutex<Vec<String>>>) -> Self {
        let policy =
            ListRulesResponse { rules: answers::rules(), objects: answers::objects(), revision: 7, unconfirmed: None };
        Self { requests, policy: Arc::new(Mutex::new(policy)) }
    }

    pub(crate) fn routes(self, mut server: Server) -> Router {
        server
            .add_service(StatusServiceServer::new(self.clone()))
            .add_service(TopologyServiceServer::new(self.clone()))
            .add_service(PolicyServiceServer::new(self.clone()))
            .add_service(ModelServiceServer::new(self.clone()))
            .add_service(EventServiceServer::new(self.clone()))
            .add_service(FleetServiceServer::new(self.clone()))
            .add_service(SettingsServiceServer::new(self.clone()))
            .add_service(UserServiceServer::new(self.clone()))
            .add_service(ApiTokenServiceServer::new(self.clone()))
            .add_service(AuditServiceServer::new(self.clone()))
            .add_service(ChannelServiceServer::new(self.clone()))
            .add_service(DefinitionServiceServer::new(self))
    }

    /// Lets administrators in, and notes what they ask.
    pub(super) fn admit<T: Debug>(&self, request: Request<T>) -> Result<T, Status> {
        let peer = request.extensions().get::<PeerConnection>().ok_or_else(|| Status::internal("no peer"))?;
        let bearer = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let known = bearer == Some("Bearer cnnf_api_good") && peer.identity == PeerIdentity::Anonymous;
        if !known && !matches!(peer.identity, PeerIdentity::Admin(_)) {
            return Err(Status::permission_denied(format!("{} is no administrator", peer.identity)));
        }
        let message = request.into_inner();
        self.requests.lock().expect("lock").push(format!("{message:?}"));
        Ok(message)
    }
}

/// Two entries a page, so that every list has several; the token is the next entry's number.
fn page<T: Clone>(all: &[T], page: Option<PageRequest>) -> (Vec<T>, String) {
    let page = page.unwrap_or_default();
    let start: usize = page.token.parse().unwrap_or(0);
    let size = if page.size == 0 { 2 } else { page.size.min(2) as usize };
    let end = (start + size).min(all.len());
    (all[start..end].to_vec(), if end < all.len() { end.to_string() } else { String::new() })
}

fn known() -> Vec<ServiceKey> {
    ["unit:nginx", "unit:fetch", "unit:redis", "container:redis"].map(|key| key.parse().expect(key)).to_vec()
}

fn named(name: &str) -> Result<String, Status> {
    let keys = known();
    let full = keys.iter().any(|key| key.as_str() == name);
    match keys.iter().filter(|key| key.name() == name).collect::<Vec<_>>().as_slice() {
        _ if full => Ok(name.to_owned()),
        [key] => Ok(key.to_string()),
        [] => Err(Status::not_found(format!("there is no service '{name}': see 'cnnfctl services list'"))),
        _ => Err(Status::failed_precondition(resolve_among(name, &keys).expect_err("several").to_string())),
    }
}

#[tonic::async_trait]
impl StatusService for Controller {
    async fn get_status(&self, request: Request<GetStatusRequest>) -> Answer<v1::Status> {
        self.admit(request)?;
        let unconfirmed = self.policy.lock().expect("lock").unconfirmed.clone();
        Ok(Response::new(v1::Status { unconfirmed, ..answers::status() }))
    }
}

#[tonic::async_trait]
impl TopologyService for Controller {
    async fn list_services(&self, request: Request<ListServicesRequest>) -> Answer<ListServicesResponse> {
        let (services, next_token) = page(&answers::services(), self.admit(request)?.page);
        Ok(Response::new(ListServicesResponse { services, next_token }))
    }

    async fn get_service(&self, request: Request<GetServiceRequest>) -> Answer<Service> {
        let key = named(&self.admit(request)?.service)?;
        let found = answers::services().into_iter().find(|service| service.key == key);
        found.map(Response::new).ok_or_else(|| Status::not_found("no such service"))
    }

    async fn set_service_mode(&self, request: Request<SetServiceModeRequest>) -> Answer<Service> {
        let ask = self.admit(request)?;
        Ok(Response::new(Service { key: named(&ask.service)?, mode: ask.mode, ..Service::default() }))
    }

    async fn list_edges(&self, request: Request<ListEdgesRequest>) -> Answer<ListEdgesResponse> {
        let (edges, next_token) = page(&answers::edges(), self.admit(request)?.page);
        Ok(Response::new(ListEdgesResponse { edges, next_token }))
    }

    async fn get_history(&self, _: Request<GetHistoryRequest>) -> Answer<GetHistoryResponse> {
        Err(Status::unimplemented("no command asks for charts"))
    }

    async fn get_reach(&self, request: Request<GetReachRequest>) -> Answer<Reach> {
        let asked = self.admit(request)?;
        let whole = answers::reach();
        let (targets, next_token) = page(&whole.targets, asked.page);
        Ok(Response::new(Reach { targets, next_token, ..whole }))
    }

    async fn diff_edges(&self, request: Request<DiffEdgesRequest>) -> Answer<DiffEdgesResponse> {
        self.admit(request)?;
        Ok(Response::new(answers::differences()))
    }

    async fn get_radar(&self, request: Request<GetRadarRequest>) -> Answer<Radar> {
        Ok(Response::new(answers::radar(&self.admit(request)?.group_by)))
    }
}

/// The place of the rule of this name or number.
fn place(rules: &[Rule], name: &str) -> Result<usize, Status> {
    rules
        .iter()
        .position(|rule| rule.name == name || rule.id.to_string() == name)
        .ok_or_else(|| Status::not_found(format!("there is no rule '{name}': see 'cnnfctl rules list'")))
}

fn number(rules: &mut [Rule]) {
    for (n, rule) in rules.iter_mut().enumerate() {
        rule.position = u32::try_from(n).expect("few") + 1;
    }
}

/// Replaces the policy, or says what that would change.
fn replace(
    policy: &mut ListRulesResponse,
    mut new: Vec<cnnf_core::policy::Rule>,
    wanted: BTreeMap<String, cnnf_core::policy::AddressObject>,
    dry_run: bool,
) -> ApplyPolicyResponse {
    let all: Vec<ServiceKey> = known();
    let old_objects = objects(policy.objects.clone()).expect("objects");
    let old = rules(policy.rules.clone(), &old_objects, &|name| resolve_among(name, &all)).expect("rules");
    for (n, rule) in new.iter_mut().enumerate() {
        rule.id.0 = 100 + n as u64;
        if let Some(known) = old.iter().find(|known| known.name == rule.name) {
            (rule.id, rule.revision) = (known.id, known.revision);
        }
    }
    let delta = Delta::between((&old, &old_objects), (&new, &wanted));
    if !dry_run && !delta.is_empty() {
        let hits: BTreeMap<u64, Rule> = policy.rules.iter().map(|rule| (rule.id, rule.clone())).collect();
        policy.revision += 1;
        let same = |message: Rule| match hits.get(&message.id) {
            Some(old) => Rule { hits: old.hits, last_used: old.last_used.clone(), ..message },
            None => message,
        };
        policy.rules = new.iter().map(|rule| same(rule.into())).collect();
        policy.objects = wanted.values().map(Into::into).collect();
        number(&mut policy.rules);
    }
    applied(&delta, policy.revision)
}

#[tonic::async_trait]
impl PolicyService for Controller {
    async fn list_rules(&self, request: Request<ListRulesRequest>) -> Answer<ListRulesResponse> {
        self.admit(request)?;
        Ok(Response::new(self.policy.lock().expect("lock").clone()))
    }

    async fn add_rule(&self, request: Request<AddRuleRequest>) -> Answer<Rule> {
        let asked = self.admit(request)?.rule.unwrap_or_default();
        let mut policy = self.policy.lock().expect("lock");
        if place(&policy.rules, &asked.name).is_ok() {
            return Err(Status::already_exists(format!(
                "there is a rule '{}' already: choose another name",
                asked.name
            )));
        }
        let (keys, objects) = (known(), objects(policy.objects.clone())?);
        let kept = rule(asked.clone(), &objects, &|name| resolve_among(name, &keys))?;
        policy.revision += 1;
        let added = Rule { id: 9, revision: policy.revision, ..Rule::from(&kept) };
        let at = if asked.position == 0 { policy.rules.len() } else { asked.position as usize - 1 };
        policy.rules.insert(at, added);
        number(&mut policy.rules);
        Ok(Response::new(policy.rules[at].clone()))
    }

    async fn update_rule(&self, request: Request<UpdateRuleRequest>) -> Answer<Rule> {
        let ask = self.admit(request)?;
        let mut policy = self.policy.lock().expect("lock");
        let at = place(&policy.rules, &ask.rule)?;
        policy.revision += 1;
        let (revision, values) = (policy.revision, ask.values.unwrap_or_default());
        let rule = &mut policy.rules[at];
        rule.revision = revision;
        for field in ask.fields {
            match field.as_str() {
                "enabled" => rule.enabled = values.enabled,
                "effect" => rule.effect = values.effect.clone(),
                "ports" => rule.ports = values.ports.clone(),
                "owner" => rule.owner = values.owner.clone(),
                "expires" => rule.expires = values.expires.clone(),
                "from_labels" => rule.from_labels = values.from_labels.clone(),
                other => return Err(Status::invalid_argument(format!("fields: '{other}' cannot be changed here"))),
            }
        }
        Ok(Response::new(rule.clone()))
    }

    async fn move_rule(&self, request: Request<MoveRuleRequest>) -> Answer<Rule> {
        let ask = self.admit(request)?;
        let mut policy = self.policy.lock().expect("lock");
        let at = place(&policy.rules, &ask.rule)?;
        let moved = policy.rules.remove(at);
        let to = (ask.position as usize - 1).min(policy.rules.len());
        policy.rules.insert(to, moved);
        number(&mut policy.rules);
        Ok(Response::new(policy.rules[to].clone()))
    }

    async fn delete_rule(&self, request: Request<DeleteRuleRequest>) -> Answer<DeleteRuleResponse> {
        let ask = self.admit(request)?;
        let mut policy = self.policy.lock().expect("lock");
        let at = place(&policy.rules, &ask.rule)?;
        policy.rules.remove(at);
        policy.revision += 1;
        Ok(Response::new(DeleteRuleResponse { revision: policy.revision }))
    }

    async fn apply_policy(&self, request: Request<ApplyPolicyRequest>) -> Answer<ApplyPolicyResponse> {
        let ask = self.admit(request)?;
        let mut policy = self.policy.lock().expect("lock");
        if ask.base_revision != 0 && ask.base_revision != policy.revision {
            return Err(Status::aborted(format!("the rules changed to revision {}", policy.revision)));
        }
        let (keys, wanted) = (known(), objects(ask.objects.clone())?);
        let new = rules(ask.rules, &wanted, &|name| resolve_among(name, &keys))?;
        let base = policy.revision;
        let mut done = replace(&mut policy, new, wanted, ask.dry_run);
        if ask.confirm_within_seconds > 0 {
            policy.unconfirmed = Some(answers::unconfirmed(policy.revision, base, ask.confirm_within_seconds));
            done.unconfirmed.clone_from(&policy.unconfirmed);
        }
        Ok(Response::new(done))
    }

    async fn confirm_policy(&self, request: Request<ConfirmPolicyRequest>) -> Answer<ConfirmPolicyResponse> {
        self.admit(request)?;
        let mut policy = self.policy.lock().expect("lock");
        let waiting = policy.unconfirmed.take();
        let waiting = waiting.ok_or_else(|| Status::failed_precondition("nothing waits to be confirmed"))?;
        Ok(Response::new(ConfirmPolicyResponse { revision: waiting.revision }))
    }

    async fn list_objects(&self, request: Request<ListObjectsRequest>) -> Answer<ListObjectsResponse> {
        self.admit(request)?;
        let mut objects = self.policy.lock().expect("lock").objects.clone();
        objects[0].used_by = vec!["watch the page".into(), "nobody else".into()];
        Ok(Response::new(ListObjectsResponse { objects }))
    }

    async fn add_object(&self, request: Request<AddObjectRequest>) -> Answer<AddressObject> {
        let ask = self.admit(request)?;
        let object = ask.object.unwrap_or_default();
        let mut policy = self.policy.lock().expect("lock");
        if !ask.replace && policy.objects.iter().any(|known| known.name == object.name) {
            return Err(Status::already_exists(format!("there is an object '{}' already", object.name)));
        }
        policy.objects.retain(|known| known.name != object.name);
        policy.objects.push(object.clone());
        Ok(Response::new(object))
    }

    async fn delete_object(&self, request: Request<DeleteObjectRequest>) -> Answer<DeleteObjectResponse> {
        let name = self.admit(request)?.name;
        if name == "office" {
            return Err(Status::failed_precondition(
                "object 'office' is used by 'nobody else': change this rule first",
            ));
        }
        let mut policy = self.policy.lock().expect("lock");
        policy.objects.retain(|known| known.name != name);
        policy.revision += 1;
        Ok(Response::new(DeleteObjectResponse { revision: policy.revision }))
    }

    async fn list_revisions(&self, request: Request<ListRevisionsRequest>) -> Answer<ListRevisionsResponse> {
        let all: Vec<_> = answers::revisions().into_iter().map(|r| Revision { changes: Vec::new(), ..r }).collect();
        let (revisions, next_token) = page(&all, self.admit(request)?.page);
        let unconfirmed = self.policy.lock().expect("lock").unconfirmed.clone();
        Ok(Response::new(ListRevisionsResponse { revisions, next_token, unconfirmed }))
    }

    async fn get_revision(&self, request: Request<GetRevisionRequest>) -> Answer<Revision> {
        let wanted = self.admit(request)?.revision;
        let found = answers::revisions().into_iter().find(|revision| revision.revision == wanted);
        found.map(Response::new).ok_or_else(|| Status::not_found(format!("revision {wanted} is not kept")))
    }

    /// Every revision but the newest had no rule.
    async fn rollback_policy(&self, request: Request<RollbackPolicyRequest>) -> Answer<ApplyPolicyResponse> {
        let ask = self.admit(request)?;
        let mut policy = self.policy.lock().expect("lock");
        if ask.base_revision != 0 && ask.base_revision != policy.revision {
            return Err(Status::aborted(format!("the rules changed to revision {}", policy.revision)));
        }
        if ask.revision == policy.revision {
            return Ok(Response::new(ApplyPolicyResponse { revision: policy.revision, ..Default::default() }));
        }
        Ok(Response::new(replace(&mut policy, Vec::new(), BTreeMap::new(), ask.dry_run)))
    }

    async fn simulate_policy(&self, request: Request<SimulatePolicyRequest>) -> Answer<SimulatePolicyResponse> {
        let ask = self.admit(request)?;
        Ok(Response::new(answers::simulation(!ask.rules.is_empty())))
    }

    async fn lint_policy(&self, request: Request<LintPolicyRequest>) -> Answer<LintPolicyResponse> {
        let ask = self.admit(request)?;
        let findings = if ask.draft { Vec::new() } else { answers::findings() };
        Ok(Response::new(LintPolicyResponse { findings, cut_short: !ask.draft }))
    }

    async fn suggest_rules(&self, request: Request<SuggestRulesRequest>) -> Answer<SuggestRulesResponse> {
        let ask = self.admit(request)?;
        named(&ask.service)?;
        Ok(Response::new(answers::suggestions(&ask.rest)))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Answer<ExplainResponse> {
        named(&self.admit(request)?.from)?;
        Ok(Response::new(answers::explanation()))
    }
}

#[tonic::async_trait]
impl ModelService for Controller {
    async fn list_models(&self, request: Request<ListModelsRequest>) -> Answer<ListModelsResponse> {
        let models: Vec<_> = answers::models().into_iter().map(|model| Model { edges: Vec::new(), ..model }).collect();
        let (models, next_token) = page(&models, self.admit(request)?.page);
        Ok(Response::new(ListModelsResponse { models, next_token }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Answer<Model> {
        let key = named(&self.admit(request)?.service)?;
        let found = answers::models().into_iter().find(|model| model.service == key);
        found.map(Response::new).ok_or_else(|| Status::not_found(format!("{key} has no model")))
    }

    async fn relearn_model(&self, request: Request<RelearnModelRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "learning".into(), ..Model::default() }))
    }

    async fn reset_model(&self, request: Request<ResetModelRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "learning".into(), ..Model::default() }))
    }

    async fn start_learning(&self, request: Request<StartLearningRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "learning".into(), ..Model::default() }))
    }

    async fn stop_learning(&self, request: Request<StopLearningRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "dry_run".into(), ..Model::default() }))
    }

    async fn approve_edge(&self, request: Request<ApproveEdgeRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, edge_count: 3, ..Model::default() }))
    }

    async fn forget_edge(&self, request: Request<ForgetEdgeRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, edge_count: 1, ..Model::default() }))
    }

    async fn set_anomaly_effect(&self, request: Request<SetAnomalyEffectRequest>) -> Answer<Model> {
        let SetAnomalyEffectRequest { service, effect, .. } = self.admit(request)?;
        Ok(Response::new(Model { service: named(&service)?, anomaly_effect: effect, ..Model::default() }))
    }

    async fn activate_model(&self, request: Request<ActivateModelRequest>) -> Answer<Model> {
        let service = named(&self.admit(request)?.service)?;
        Ok(Response::new(Model { service, phase: "active".into(), anomaly_effect: "alert".into(), ..Model::default() }))
    }
}

#[tonic::async_trait]
impl EventService for Controller {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let (events, next_token) = page(&answers::events(), self.admit(request)?.page);
        Ok(Response::new(ListEventsResponse { events, next_token }))
    }

    async fn get_event(&self, request: Request<GetEventRequest>) -> Answer<Event> {
        let id = self.admit(request)?.id;
        let found = answers::events().into_iter().find(|event| event.id == id);
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("there is no event {id}: see 'cnnfctl events list'")))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    /// All events; of service "ending" none and the end, else nothing more ever.
    async fn watch_events(&self, request: Request<WatchEventsRequest>) -> Answer<Self::WatchEventsStream> {
        if self.admit(request)?.service == "ending" {
            return Ok(Response::new(Box::pin(tokio_stream::empty())));
        }
        let events = tokio_stream::iter(answers::events().into_iter().map(Ok));
        Ok(Response::new(Box::pin(events.chain(tokio_stream::pending()))))
    }

    async fn acknowledge_event(&self, request: Request<AcknowledgeEventRequest>) -> Answer<Event> {
        let AcknowledgeEventRequest { id, note } = self.admit(request)?;
        let found = answers::events().into_iter().find(|event| event.id == id);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no event {id}")))?;
        Ok(Response::new(Event { acknowledged: true, note, ..found }))
    }
}

#[tonic::async_trait]
impl FleetService for Controller {
    async fn list_defenders(&self, request: Request<ListDefendersRequest>) -> Answer<ListDefendersResponse> {
        let (defenders, next_token) = page(&answers::defenders(), self.admit(request)?.page);
        let upgrade_command = "(… sh install.sh --from https://controller.example:8443)".into();
        Ok(Response::new(ListDefendersResponse { defenders, next_token, upgrade_command }))
    }

    async fn set_defender_mode(&self, request: Request<SetDefenderModeRequest>) -> Answer<Defender> {
        let ask = self.admit(request)?;
        let found = answers::defenders().into_iter().find(|defender| defender.host == ask.host);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no host '{}'", ask.host)))?;
        Ok(Response::new(Defender { mode: ask.mode, ..found }))
    }

    async fn revoke_defender(&self, request: Request<RevokeDefenderRequest>) -> Answer<Defender> {
        let ask = self.admit(request)?;
        let found = answers::defenders().into_iter().find(|defender| defender.id == ask.host);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no host '{}'", ask.host)))?;
        Ok(Response::new(Defender { revoked: true, connected: false, ..found }))
    }

    async fn delete_defender(&self, request: Request<DeleteDefenderRequest>) -> Answer<DeleteDefenderResponse> {
        let ask = self.admit(request)?;
        let found = answers::defenders().into_iter().find(|defender| defender.id == ask.host);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no host '{}'", ask.host)))?;
        if found.connected {
            return Err(Status::failed_precondition(format!("host '{}' is connected: revoke it first", found.host)));
        }
        Ok(Response::new(DeleteDefenderResponse { host: found.host, id: found.id }))
    }

    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Answer<CreateTokenResponse> {
        let ask = self.admit(request)?;
        let token = format!("cnnf1.secret{}.pin", ask.ttl_seconds);
        let at = "controller.example:7443";
        Ok(Response::new(CreateTokenResponse {
            command: format!("cnnf-defender enroll --controller {at} --token {token}"),
            install_command: format!(
                "(… sh install.sh --from https://controller.example:8443 --controller {at} --token {token})"
            ),
            token,
            expires: "2026-11-24T06:40:00Z".into(),
            uses: ask.uses,
            controllers: vec![at.into()],
            ca_pin: "0f".repeat(32),
        }))
    }
}

#[tonic::async_trait]
impl SettingsService for Controller {
    async fn get_settings(&self, request: Request<GetSettingsRequest>) -> Answer<Settings> {
        self.admit(request)?;
        let values = [("learn_for", "1h"), ("anomaly_effect", "alert"), ("learning", "on")];
        Ok(Response::new(Settings { values: values.map(|(k, v)| (k.to_owned(), v.to_owned())).into() }))
    }

    async fn set_setting(&self, request: Request<SetSettingRequest>) -> Answer<Settings> {
        let ask = self.admit(request)?;
        if ask.name != "learn_for" {
            return Err(Status::invalid_argument(format!("there is no setting '{}': there is learn_for", ask.name)));
        }
        Ok(Response::new(Settings { values: [(ask.name, ask.value)].into() }))
    }
}

#[tonic::async_trait]
impl DefinitionService for Controller {
    async fn list_definitions(&self, request: Request<ListDefinitionsRequest>) -> Answer<ListDefinitionsResponse> {
        self.admit(request)?;
        Ok(Response::new(ListDefinitionsResponse { definitions: answers::definitions(), revision: 4 }))
    }

    async fn set_definition(&self, request: Request<SetDefinitionRequest>) -> Answer<ServiceDefinition> {
        let set = self.admit(request)?.definition.unwrap_or_default();
        let position = if set.position == 0 { 3 } else { set.position };
        Ok(Response::new(ServiceDefinition { position, ..set }))
    }

    async fn delete_definition(&self, request: Request<DeleteDefinitionRequest>) -> Answer<DeleteDefinitionResponse> {
        let ask = self.admit(request)?;
        if ask.base_revision != 0 && ask.base_revision != 4 {
            return Err(Status::aborted("the definitions have changed: they are at revision 4, not 3"));
        }
        Ok(Response::new(DeleteDefinitionResponse { revision: 5 }))
    }

    async fn preview_definition(
        &self,
        request: Request<PreviewDefinitionRequest>,
    ) -> Answer<PreviewDefinitionResponse> {
        let ask = self.admit(request)?;
        if ask.delete == "gone" {
            return Err(Status::not_found("there is no definition of 'gone'"));
        }
        Ok(Response::new(answers::would_rename()))
    }
}

#[tonic::async_trait]
impl UserService for Controller {
    async fn list_users(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        self.admit(request)?;
        Ok(Response::new(ListUsersResponse { users: answers::users() }))
    }

    async fn add_user(&self, request: Request<AddUserRequest>) -> Answer<User> {
        let AddUserRequest { name, role, password: _ } = self.admit(request)?;
        if answers::users().iter().any(|user| user.name == name) {
            return Err(Status::already_exists(format!("there is a user '{name}' already")));
        }
        Ok(Response::new(User { name, role, must_change_password: true, ..User::default() }))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Answer<User> {
        let UpdateUserRequest { name, role, disabled, password } = self.admit(request)?;
        let mut user = answers::users()
            .into_iter()
            .find(|user| user.name == name)
            .ok_or_else(|| Status::not_found(format!("there is no user '{name}': 'cnnfctl users list' shows them")))?;
        user.role = role.unwrap_or(user.role);
        user.disabled = disabled.unwrap_or(user.disabled);
        user.must_change_password |= password.is_some();
        Ok(Response::new(user))
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Answer<DeleteUserResponse> {
        self.admit(request)?;
        Ok(Response::new(DeleteUserResponse {}))
    }
}

#[tonic::async_trait]
impl ApiTokenService for Controller {
    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Answer<ListTokensResponse> {
        self.admit(request)?;
        Ok(Response::new(ListTokensResponse { tokens: answers::tokens() }))
    }

    async fn create_token(&self, request: Request<CreateApiTokenRequest>) -> Answer<CreateApiTokenResponse> {
        let CreateApiTokenRequest { name, role, ttl_seconds } = self.admit(request)?;
        let made = answers::tokens().swap_remove(0);
        let token = Some(ApiToken { name, role, last_used: None, ..made });
        Ok(Response::new(CreateApiTokenResponse { token, secret: format!("cnnf_api_secret{ttl_seconds}") }))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Answer<RevokeTokenResponse> {
        self.admit(request)?;
        Ok(Response::new(RevokeTokenResponse {}))
    }
}

#[tonic::async_trait]
impl AuditService for Controller {
    async fn list_audit(&self, request: Request<ListAuditRequest>) -> Answer<ListAuditResponse> {
        let (entries, next_token) = page(&answers::audit(), self.admit(request)?.page);
        Ok(Response::new(ListAuditResponse { entries, next_token }))
    }

    async fn verify_audit(&self, request: Request<VerifyAuditRequest>) -> Answer<VerifyAuditResponse> {
        self.admit(request)?;
        let problem = "the entry, or one before it, is not what was recorded";
        Ok(Response::new(VerifyAuditResponse {
            intact: false,
            entries: 3,
            first_bad: 2,
            problem: problem.into(),
            head: "ab".repeat(32),
        }))
    }
}
