//! Rules and address objects.

mod dare;
mod history;
mod live;
mod object;

use std::collections::BTreeMap;
use std::sync::Arc;

use cnnf_core::policy::{PolicySet, Rule, RuleId};
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::convert::{self, ConvertError};
use cnnf_rpc::v1;
use cnnf_rpc::v1::policy_service_server::PolicyService;
use cnnf_store::{Author, PolicyState, RuleUse};
use tonic::{Request, Response, Status};

use super::page::page;
use super::{Api, caller};
use crate::clock::now;
use crate::edit::{By, Draft, Edited};

#[tonic::async_trait]
impl PolicyService for Api {
    async fn list_rules(
        &self,
        request: Request<v1::ListRulesRequest>,
    ) -> Result<Response<v1::ListRulesResponse>, Status> {
        let asked = request.into_inner().page;
        let (policy, unconfirmed) = {
            let state = self.0.state();
            (Arc::clone(&state.policy), state.unconfirmed.as_ref().map(Into::into))
        };
        let all: Vec<(usize, &Rule)> = policy.rules.iter().enumerate().collect();
        // before there were pages all came at once
        let (rules, next_token) = match &asked {
            Some(_) => page(all, asked.as_ref())?,
            None => (all, String::new()),
        };
        let uses = {
            let state = self.0.state();
            let used = rules.iter().filter_map(|(_, rule)| Some((rule.id, *state.uses.get(&rule.id)?)));
            used.collect::<BTreeMap<_, _>>()
        };
        let rules = rules.into_iter().map(|(n, rule)| message(rule, n, &uses)).collect();
        let objects = policy.objects.values().map(Into::into).collect();
        let revision = policy.revision;
        Ok(Response::new(v1::ListRulesResponse { rules, objects, revision, unconfirmed, next_token }))
    }

    async fn add_rule(&self, request: Request<v1::AddRuleRequest>) -> Result<Response<v1::Rule>, Status> {
        let by = by(&request, "rule.add", &request.get_ref().reason)?;
        let written = request.into_inner().rule.ok_or_else(|| ConvertError::new("rule", "is missing"))?;
        let position = written.position;
        let add = |draft: &mut Draft| {
            let mut rule = draft.read(written)?;
            draft.number(&mut rule);
            let id = rule.id;
            let end = draft.new.rules.len();
            let at = if position == 0 { end } else { (position as usize - 1).min(end) };
            draft.new.rules.insert(at, rule);
            Ok(id)
        };
        self.answer(&self.0.edit_policy(Some(by), add).await?)
    }

    async fn update_rule(&self, request: Request<v1::UpdateRuleRequest>) -> Result<Response<v1::Rule>, Status> {
        let by = by(&request, "rule.update", &request.get_ref().reason)?;
        let v1::UpdateRuleRequest { rule, values, fields, reason: _ } = request.into_inner();
        let values = values.ok_or_else(|| ConvertError::new("values", "is missing"))?;
        if fields.is_empty() {
            return Err(ConvertError::new("fields", "is empty: name the fields to be changed").into());
        }
        let update = |draft: &mut Draft| {
            let at = draft.find(&rule)?;
            let Some(old) = draft.new.rules.get(at) else { return Err(Status::internal("the rule is gone")) };
            let id = old.id;
            let position = values.position;
            let mut message = v1::Rule::from(old);
            overlay(&mut message, values, &fields)?;
            let mut changed = draft.read(message)?;
            changed.id = id;
            draft.new.rules.remove(at);
            let to = if fields.iter().any(|field| field == "position") {
                place(position, draft.new.rules.len())?
            } else {
                at
            };
            draft.new.rules.insert(to, changed);
            Ok(id)
        };
        self.answer(&self.0.edit_policy(Some(by), update).await?)
    }

    async fn move_rule(&self, request: Request<v1::MoveRuleRequest>) -> Result<Response<v1::Rule>, Status> {
        let by = by(&request, "rule.move", &request.get_ref().reason)?;
        let v1::MoveRuleRequest { rule, position, reason: _ } = request.into_inner();
        let shift = |draft: &mut Draft| {
            let at = draft.find(&rule)?;
            let moved = draft.new.rules.remove(at).ok_or_else(|| Status::internal("the rule is gone"))?;
            let id = moved.id;
            let to = place(position, draft.new.rules.len())?;
            draft.new.rules.insert(to, moved);
            Ok(id)
        };
        self.answer(&self.0.edit_policy(Some(by), shift).await?)
    }

    async fn delete_rule(
        &self,
        request: Request<v1::DeleteRuleRequest>,
    ) -> Result<Response<v1::DeleteRuleResponse>, Status> {
        let by = by(&request, "rule.delete", &request.get_ref().reason)?;
        let rule = request.into_inner().rule;
        let delete = |draft: &mut Draft| {
            let at = draft.find(&rule)?;
            draft.new.rules.remove(at);
            Ok(())
        };
        let revision = self.0.edit_policy(Some(by), delete).await?.revision;
        Ok(Response::new(v1::DeleteRuleResponse { revision }))
    }

    async fn apply_policy(
        &self,
        request: Request<v1::ApplyPolicyRequest>,
    ) -> Result<Response<v1::ApplyPolicyResponse>, Status> {
        let by = by(&request, "rules.apply", &request.get_ref().reason)?;
        let v1::ApplyPolicyRequest { rules, objects, base_revision, dry_run, reason: _, confirm_within_seconds, live } =
            request.into_inner();
        let within = history::within(confirm_within_seconds)?;
        let apply = |draft: &mut Draft| {
            draft.check_base(base_revision)?;
            draft.confirm_within = within;
            draft.replace(rules, objects)
        };
        let edited = self.0.edit_policy(Some(by).filter(|_| !dry_run), apply).await?;
        let mut applied = self.applied(&edited);
        if dry_run && live {
            let PolicyState { rules, objects, revision, .. } = edited.new;
            let policy = Arc::clone(&self.0.state().policy);
            let draft = PolicySet { rules, objects, revision, ..PolicySet::clone(&policy) };
            applied.live = Some(self.live_cut(draft).await?);
        }
        Ok(Response::new(applied))
    }

    async fn list_objects(
        &self,
        _: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        Ok(Response::new(v1::ListObjectsResponse { objects: object::list(&self.0.snapshot().policy) }))
    }

    async fn add_object(&self, request: Request<v1::AddObjectRequest>) -> Result<Response<v1::AddressObject>, Status> {
        let by = by(&request, "object.add", &request.get_ref().reason)?;
        let v1::AddObjectRequest { object, replace, reason: _ } = request.into_inner();
        let object = object::read(object)?;
        let edited = self.0.edit_policy(Some(by), |draft| object::add(draft, object, replace)).await?;
        Ok(Response::new(edited.answer))
    }

    async fn delete_object(
        &self,
        request: Request<v1::DeleteObjectRequest>,
    ) -> Result<Response<v1::DeleteObjectResponse>, Status> {
        let by = by(&request, "object.delete", &request.get_ref().reason)?;
        let name = request.into_inner().name;
        let revision = self.0.edit_policy(Some(by), |draft| object::delete(draft, &name)).await?.revision;
        Ok(Response::new(v1::DeleteObjectResponse { revision }))
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        self.revisions(request.into_inner()).await.map(Response::new)
    }

    async fn get_revision(&self, request: Request<v1::GetRevisionRequest>) -> Result<Response<v1::Revision>, Status> {
        self.revision(request.into_inner().revision).await.map(Response::new)
    }

    async fn rollback_policy(
        &self,
        request: Request<v1::RollbackPolicyRequest>,
    ) -> Result<Response<v1::ApplyPolicyResponse>, Status> {
        let by = by(&request, "rules.rollback", &request.get_ref().reason)?;
        self.rollback(by, request.into_inner()).await.map(Response::new)
    }

    async fn confirm_policy(
        &self,
        request: Request<v1::ConfirmPolicyRequest>,
    ) -> Result<Response<v1::ConfirmPolicyResponse>, Status> {
        let by = by(&request, "rules.confirm", "")?;
        let revision = self.0.confirm_policy(request.into_inner().revision, by).await?;
        Ok(Response::new(v1::ConfirmPolicyResponse { revision }))
    }

    async fn simulate_policy(
        &self,
        request: Request<v1::SimulatePolicyRequest>,
    ) -> Result<Response<v1::SimulatePolicyResponse>, Status> {
        self.simulated(request.into_inner()).await.map(Response::new)
    }

    async fn lint_policy(
        &self,
        request: Request<v1::LintPolicyRequest>,
    ) -> Result<Response<v1::LintPolicyResponse>, Status> {
        self.linted(request.into_inner()).await.map(Response::new)
    }

    async fn suggest_rules(
        &self,
        request: Request<v1::SuggestRulesRequest>,
    ) -> Result<Response<v1::SuggestRulesResponse>, Status> {
        self.suggested(&request.into_inner()).map(Response::new)
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        super::explain::explain(&self.0.state(), &request.into_inner()).map(Response::new)
    }
}

impl Api {
    fn answer(&self, edited: &Edited<RuleId>) -> Result<Response<v1::Rule>, Status> {
        let found = edited.new.rules.iter().enumerate().find(|(_, rule)| rule.id == edited.answer);
        let (n, rule) = found.ok_or_else(|| Status::internal("the rule is gone"))?;
        Ok(Response::new(message(rule, n, &self.0.state().uses)))
    }
}

/// Who asks for a change, and why.
fn by<T>(request: &Request<T>, action: &str, reason: &str) -> Result<By, Status> {
    let why = convert::common::text("reason", reason.to_owned())?;
    let who = caller(request);
    let author = Author { at: now(), who: who.to_string(), why };
    Ok(By { author, record: who.record(action, "", None, None) })
}

fn message(rule: &Rule, index: usize, uses: &BTreeMap<RuleId, RuleUse>) -> v1::Rule {
    let used = uses.get(&rule.id).copied().unwrap_or_default();
    v1::Rule {
        position: u32::try_from(index + 1).unwrap_or(u32::MAX),
        hits: used.hits,
        last_used: used.last_used.map(time_text).unwrap_or_default(),
        ..rule.into()
    }
}

/// The index of a position from 1 among `others` other rules; beyond the end is the end.
fn place(position: u32, others: usize) -> Result<usize, ConvertError> {
    match position.checked_sub(1) {
        Some(index) => Ok((index as usize).min(others)),
        None => Err(ConvertError::new("position", "0 is no place: positions count from 1")),
    }
}

/// Puts the named fields of `from` into `into`.
fn overlay(into: &mut v1::Rule, from: v1::Rule, fields: &[String]) -> Result<(), ConvertError> {
    let mut from = from;
    for field in fields {
        match field.as_str() {
            "name" => into.name = std::mem::take(&mut from.name),
            "enabled" => into.enabled = from.enabled,
            "from" => into.from = std::mem::take(&mut from.from),
            "from_labels" => into.from_labels = std::mem::take(&mut from.from_labels),
            "to" => into.to = std::mem::take(&mut from.to),
            "to_labels" => into.to_labels = std::mem::take(&mut from.to_labels),
            "ports" => into.ports = std::mem::take(&mut from.ports),
            "effect" => into.effect = std::mem::take(&mut from.effect),
            "on_failure" => into.on_failure = std::mem::take(&mut from.on_failure),
            "learned" => into.learned = std::mem::take(&mut from.learned),
            "expires" => into.expires = std::mem::take(&mut from.expires),
            "owner" => into.owner = std::mem::take(&mut from.owner),
            "ticket" => into.ticket = std::mem::take(&mut from.ticket),
            "notes" => into.notes = std::mem::take(&mut from.notes),
            // Taken care of by whoever has the whole list.
            "position" => {}
            other => {
                let other: String = other.escape_debug().take(80).collect();
                let can = "name, enabled, position, from, from_labels, to, to_labels, ports, effect, on_failure, learned, expires, \
                           owner, ticket, notes";
                return Err(ConvertError::new("fields", format_args!("'{other}' cannot be changed: there are {can}")));
            }
        }
    }
    Ok(())
}
