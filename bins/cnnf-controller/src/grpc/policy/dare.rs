//! What can be known of rules before they are in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnnf_core::id::HostId;
use cnnf_core::policy::{
    Effect, End, Fate, Finding, Reason, Shift, Span, Suggestion, Tally, close, lint, simulate, suggest,
};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::{time_range, time_text};
use cnnf_rpc::convert::event::side_text;
use cnnf_rpc::v1;
use tonic::Status;

use super::super::recorded::{Recorded, is_ranged};
use super::super::{Api, failsafes, word};
use crate::clock::now;

impl Api {
    pub(super) async fn simulated(
        &self,
        wanted: v1::SimulatePolicyRequest,
    ) -> Result<v1::SimulatePolicyResponse, Status> {
        let v1::SimulatePolicyRequest { rules, objects, time, live } = wanted;
        let (since, until) = time_range("time", time.as_ref())?;
        let work = move |controller: &crate::controller::Controller| {
            let draft = controller.draft(rules, objects)?;
            let (policy, directory, topology, names) = {
                let state = controller.state();
                let names: BTreeMap<HostId, String> =
                    state.hosts.iter().map(|(id, known)| (id.clone(), known.row.name.clone())).collect();
                (Arc::clone(&state.policy), Arc::clone(&state.directory), Arc::clone(&state.topology), names)
            };
            let at = now();
            let recorded = Recorded::of(controller, topology, since, until, at)?;
            let refused = recorded.refused(controller, since, until, &policy)?;
            let seen = recorded.edges().iter().chain(&refused);
            let result = simulate(&policy, &draft, &directory, &failsafes(), seen, at);
            let response = v1::SimulatePolicyResponse {
                edges: result.edges,
                connections: result.connections,
                prevented: Some(tally(&result.prevented)),
                alerted: Some(tally(&result.alerted)),
                allowed: Some(tally(&result.allowed)),
                shifts: result.shifts.iter().map(|one| shift(one, &names)).collect(),
                live: None,
            };
            Ok((response, draft))
        };
        let (mut response, draft) = self.0.aside(work).await?;
        if live {
            response.live = Some(self.live_cut(draft).await?);
        }
        Ok(response)
    }

    pub(super) async fn linted(&self, wanted: v1::LintPolicyRequest) -> Result<v1::LintPolicyResponse, Status> {
        let v1::LintPolicyRequest { draft, rules, objects, time } = wanted;
        let (since, until) = time_range("time", time.as_ref())?;
        let work = move |controller: &crate::controller::Controller| {
            let policy = match draft {
                true => Arc::new(controller.draft(rules, objects)?),
                false => Arc::clone(&controller.state().policy),
            };
            let (directory, topology) = {
                let state = controller.state();
                (Arc::clone(&state.directory), Arc::clone(&state.topology))
            };
            let at = now();
            let recorded = Recorded::of(controller, topology, since, until, at)?;
            let span = if is_ranged(since, until) { Span::Part } else { Span::Ever };
            let findings = lint(&policy, &directory, &failsafes(), recorded.edges().keys(), span, at);
            let first = recorded.edges().values().map(|stats| stats.first.max(since)).min();
            let message = |finding: Finding| v1::Finding {
                rule: finding.name,
                fault: finding.fault.to_string(),
                why: finding.why,
                fix: finding.fix,
                other: finding.other.unwrap_or_default(),
            };
            let cut_short = findings.cut_short;
            Ok(v1::LintPolicyResponse {
                findings: findings.all.into_iter().map(message).collect(),
                cut_short,
                edges: recorded.edges().len() as u64,
                edges_since: first.map(time_text).unwrap_or_default(),
            })
        };
        self.0.aside(work).await
    }

    pub(super) fn suggested(&self, wanted: &v1::SuggestRulesRequest) -> Result<v1::SuggestRulesResponse, Status> {
        let rest: Option<Effect> = match wanted.rest.as_str() {
            "" => None,
            text => Some(word("rest", text)?),
        };
        if rest == Some(Effect::Allow) {
            return Err(ConvertError::new("rest", "'allow' closes nothing: write alert or prevent").into());
        }
        let known = self.0.snapshot();
        let key = known.service("service", &wanted.service)?;
        let model = known.policy.models.get(&key);
        let model =
            model.ok_or_else(|| Status::not_found(format!("{key} has no model: it has one once it runs or talks")))?;
        let suggestions = suggest(&key, model);
        let ends = suggestions.iter().flat_map(|suggestion| [&suggestion.rule.source, &suggestion.rule.destination]);
        let named = ends.filter_map(|end| match end {
            End::Object(name) => known.policy.objects.get(name),
            _ => None,
        });
        let objects: BTreeMap<&str, v1::AddressObject> =
            named.map(|object| (object.name.as_str(), object.into())).collect();
        let objects = objects.into_values().collect();
        let rest = rest.into_iter().flat_map(|effect| close(&key, effect));
        let rest = rest.map(|rule| Suggestion { rule, witnesses: Vec::new(), widened: Vec::new() });
        let suggestions = suggestions.into_iter().chain(rest).map(suggestion).collect();
        Ok(v1::SuggestRulesResponse { suggestions, objects })
    }
}

fn tally(tally: &Tally) -> v1::Tally {
    v1::Tally {
        edges: tally.edges,
        connections: tally.connections,
        recent_edges: tally.recent,
        services: tally.services.iter().map(ToString::to_string).collect(),
    }
}

fn shift(shift: &Shift, names: &BTreeMap<HostId, String>) -> v1::Shift {
    v1::Shift {
        edge: Some((&shift.edge).into()),
        connections: shift.stats.connections,
        last_seen: time_text(shift.stats.last),
        before: Some(fate(&shift.before, names)),
        after: Some(fate(&shift.after, names)),
        partly: shift.partly,
        client_address: shift.example.0.to_string(),
        server_address: shift.example.1.to_string(),
    }
}

fn fate(fate: &Fate, names: &BTreeMap<HostId, String>) -> v1::Fate {
    let (rule, model) = match &fate.reason {
        Reason::Rule { name, .. } => (name.clone(), String::new()),
        Reason::Model(key) => (String::new(), key.to_string()),
        Reason::OtherSide | Reason::Default => (String::new(), String::new()),
    };
    v1::Fate {
        effect: fate.effect.to_string(),
        rule,
        model,
        side: side_text(fate.side).to_owned(),
        host: fate.host.as_ref().and_then(|id| names.get(id)).cloned().unwrap_or_default(),
        mode: fate.mode.map(|mode| mode.to_string()).unwrap_or_default(),
    }
}

fn suggestion(suggestion: Suggestion) -> v1::Suggestion {
    let witness = |(edge, seen): &(cnnf_core::topology::Edge, cnnf_core::model::Seen)| v1::LearnedEdge {
        edge: Some(edge.into()),
        first_seen: time_text(seen.first),
        last_seen: time_text(seen.last),
        connections: seen.connections,
        origin: seen.origin.to_string(),
    };
    v1::Suggestion {
        rule: Some((&suggestion.rule).into()),
        witnesses: suggestion.witnesses.iter().map(witness).collect(),
        widened: suggestion.widened.iter().map(ToString::to_string).collect(),
    }
}
