//! Rules and objects, kept and judged with the real conversions.

use std::collections::BTreeMap;

use cnnf_core::id::ServiceKey;
use cnnf_core::policy::{Delta, Rules};
use cnnf_rpc::convert::history::applied;
use cnnf_rpc::convert::policy::{objects, resolve_among, rule, rules};
use cnnf_rpc::v1::policy_service_server::PolicyService;
use cnnf_rpc::v1::*;
use tonic::{Request, Response, Status};

use super::super::answers;
use super::{Answer, Controller, known, named, page};

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
    let (old, new) = (Rules::from(old), Rules::from(new));
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
        let edges_since = if ask.time.is_some() { "2026-01-02T00:00:00Z" } else { "2025-11-30T10:00:00Z" };
        let edges_since = edges_since.to_owned();
        Ok(Response::new(LintPolicyResponse { findings, cut_short: !ask.draft, edges: 40, edges_since }))
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
