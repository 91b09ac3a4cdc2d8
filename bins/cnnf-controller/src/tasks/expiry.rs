//! Rules end at their moment, and operators are told.

use std::sync::Arc;

use cnnf_core::event::EventKind;
use cnnf_core::policy::{Effect, Rule, expiries, next_expiry};
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::time_text;
use cnnf_store::{NewEvent, Subject};

use crate::clock::now;
use crate::controller::Controller;

/// Waits until a rule expires or is to be told of; looks again whenever rules change.
pub(super) async fn next(controller: &Controller) {
    loop {
        let next = {
            let state = controller.state();
            next_expiry(&state.policy.rules, state.expiries_told)
        };
        let changed = controller.rules_changed.notified();
        match next {
            None => changed.await,
            Some(next) => {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(next.since(now())) => return,
                }
            }
        }
    }
}

/// What a rule means changes at its end, so policies are resolved anew; then operators are told.
pub(super) async fn tell(controller: &Arc<Controller>) {
    let at = now();
    let events: Vec<NewEvent> = {
        let mut state = controller.state();
        let told = std::mem::replace(&mut state.expiries_told, at);
        expiries(&state.policy.rules, told, at).map(|(kind, rule)| event(kind, rule, at)).collect()
    };
    controller.resolve_now.notify_one();
    match controller.store.tell_expiries(events, at).await {
        Ok(events) => controller.publish(events),
        Err(error) => tracing::error!(%error, "it could not be told that rules expire"),
    }
}

fn event(kind: EventKind, rule: &Rule, at: Timestamp) -> NewEvent {
    let name = &rule.name;
    let then = if rule.effect == Effect::Prevent { "only alerts" } else { "matches nothing" };
    let message = match (kind, rule.expires_at) {
        (EventKind::RuleExpiring, Some(end)) => {
            format!("rule '{name}' expires at {} and {then} from then on", time_text(end))
        }
        _ => format!("rule '{name}' has expired and {then} from now on"),
    };
    tracing::info!(rule = name, %kind, "a rule ends");
    NewEvent { kind, subject: Subject::System { host: None, message }, process: None, count: 1, at }
}
