//! Rules and address objects.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::policy::{AddressObject, Rule, RuleId};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::v1;
use cnnf_rpc::v1::policy_service_server::PolicyService;
use cnnf_store::{PolicyState, RuleUse};
use tonic::{Request, Response, Status};

use super::Api;
use crate::edit::Draft;

#[tonic::async_trait]
impl PolicyService for Api {
    async fn list_rules(&self, _: Request<v1::ListRulesRequest>) -> Result<Response<v1::ListRulesResponse>, Status> {
        let state = self.0.state();
        let rules = state.policy.rules.iter().enumerate().map(|(n, rule)| message(rule, n, &state.uses)).collect();
        let objects = state.policy.objects.values().map(Into::into).collect();
        Ok(Response::new(v1::ListRulesResponse { rules, objects, revision: state.policy.revision }))
    }

    async fn add_rule(&self, request: Request<v1::AddRuleRequest>) -> Result<Response<v1::Rule>, Status> {
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
        let (id, new) = self.0.edit_policy(true, add).await?;
        self.answer(id, &new)
    }

    async fn update_rule(&self, request: Request<v1::UpdateRuleRequest>) -> Result<Response<v1::Rule>, Status> {
        let v1::UpdateRuleRequest { rule, values, fields } = request.into_inner();
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
        let (id, new) = self.0.edit_policy(true, update).await?;
        self.answer(id, &new)
    }

    async fn move_rule(&self, request: Request<v1::MoveRuleRequest>) -> Result<Response<v1::Rule>, Status> {
        let v1::MoveRuleRequest { rule, position } = request.into_inner();
        let shift = |draft: &mut Draft| {
            let at = draft.find(&rule)?;
            let moved = draft.new.rules.remove(at);
            let id = moved.id;
            let to = place(position, draft.new.rules.len())?;
            draft.new.rules.insert(to, moved);
            Ok(id)
        };
        let (id, new) = self.0.edit_policy(true, shift).await?;
        self.answer(id, &new)
    }

    async fn delete_rule(
        &self,
        request: Request<v1::DeleteRuleRequest>,
    ) -> Result<Response<v1::DeleteRuleResponse>, Status> {
        let rule = request.into_inner().rule;
        let delete = |draft: &mut Draft| {
            let at = draft.find(&rule)?;
            draft.new.rules.remove(at);
            Ok(())
        };
        let ((), new) = self.0.edit_policy(true, delete).await?;
        Ok(Response::new(v1::DeleteRuleResponse { revision: new.revision }))
    }

    async fn apply_policy(
        &self,
        request: Request<v1::ApplyPolicyRequest>,
    ) -> Result<Response<v1::ApplyPolicyResponse>, Status> {
        let v1::ApplyPolicyRequest { rules, objects, base_revision, dry_run } = request.into_inner();
        let apply = |draft: &mut Draft| {
            let newest = draft.old.revision;
            if base_revision != 0 && base_revision != newest {
                return Err(Status::aborted(format!(
                    "the rules have changed: they are at revision {newest}, not {base_revision}: look at them and apply again"
                )));
            }
            draft.new.objects = read_objects(objects)?;
            let known: BTreeMap<&str, RuleId> =
                draft.old.rules.iter().map(|rule| (rule.name.as_str(), rule.id)).collect();
            let mut read = draft.read_all(rules)?;
            let mut unnumbered = Vec::new();
            for (n, rule) in read.iter_mut().enumerate() {
                match known.get(rule.name.as_str()) {
                    Some(id) => rule.id = *id,
                    None => unnumbered.push(n),
                }
            }
            for n in unnumbered {
                if let Some(rule) = read.get_mut(n) {
                    draft.number(rule);
                }
            }
            draft.new.rules = read;
            Ok(differences(&draft.old, &draft.new))
        };
        let (mut answer, new) = self.0.edit_policy(!dry_run, apply).await?;
        answer.revision = if dry_run { self.0.state().policy.revision } else { new.revision };
        Ok(Response::new(answer))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        super::explain::explain(&self.0.state(), &request.into_inner()).map(Response::new)
    }
}

impl Api {
    fn answer(&self, id: RuleId, new: &PolicyState) -> Result<Response<v1::Rule>, Status> {
        let found = new.rules.iter().enumerate().find(|(_, rule)| rule.id == id);
        let (n, rule) = found.ok_or_else(|| Status::internal("the rule is gone"))?;
        Ok(Response::new(message(rule, n, &self.0.state().uses)))
    }
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

fn read_objects(messages: Vec<v1::AddressObject>) -> Result<BTreeMap<String, AddressObject>, ConvertError> {
    let mut objects = BTreeMap::new();
    for (n, message) in messages.into_iter().enumerate() {
        let object = AddressObject::try_from(message).map_err(|error| error.under_index("objects", n))?;
        let name = object.name.clone();
        if objects.insert(name.clone(), object).is_some() {
            let error = format_args!("two objects are named '{name}': names are unique").to_string();
            return Err(ConvertError::new("name", error).under_index("objects", n));
        }
    }
    Ok(objects)
}

/// What turns `old` into `new`, by name. A rule is elsewhere if its order among those that stay is another one.
fn differences(old: &PolicyState, new: &PolicyState) -> v1::ApplyPolicyResponse {
    let before: BTreeMap<&str, &Rule> = old.rules.iter().map(|rule| (rule.name.as_str(), rule)).collect();
    let after: BTreeSet<&str> = new.rules.iter().map(|rule| rule.name.as_str()).collect();
    let stay_before = old.rules.iter().map(|rule| rule.name.as_str()).filter(|name| after.contains(name));
    let stay_after = new.rules.iter().map(|rule| rule.name.as_str()).filter(|name| before.contains_key(name));
    let elsewhere: BTreeSet<&str> = stay_before.zip(stay_after).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
    let differs = |rule: &&Rule| {
        before.get(rule.name.as_str()).is_some_and(|known| {
            let same = Rule { revision: known.revision, ..(*rule).clone() };
            **known != same || elsewhere.contains(rule.name.as_str())
        })
    };
    let names: BTreeSet<&String> = old.objects.keys().chain(new.objects.keys()).collect();
    v1::ApplyPolicyResponse {
        added: new.rules.iter().map(|r| &r.name).filter(|name| !before.contains_key(name.as_str())).cloned().collect(),
        changed: new.rules.iter().filter(differs).map(|rule| rule.name.clone()).collect(),
        deleted: old.rules.iter().map(|r| &r.name).filter(|name| !after.contains(name.as_str())).cloned().collect(),
        objects: names.into_iter().filter(|name| old.objects.get(*name) != new.objects.get(*name)).cloned().collect(),
        revision: 0,
    }
}
